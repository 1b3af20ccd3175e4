import io
import threading
import time

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from embedlab.data import jpeg
from embedlab.data.datasets import MAX_PIXELS, MIN_SIDE, UnreadableImage, read_image

WAYS = (
    {"quality": 75},
    {"quality": 95, "subsampling": 0},
    {"subsampling": 1},
    {"progressive": True},
    {"progressive": True, "subsampling": 0, "quality": 30},
    {"restart_marker_blocks": 3},
    {"restart_marker_rows": 1, "progressive": True},
    {"quality": 90, "keep_rgb": True},
)
SIZES = ((64, 64), (33, 47), (9, 8), (140, 143))


def drawn(size, mode="RGB", seed=0):
    """Smooth colours under some noise, so that every coefficient has something to do."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    noisy = np.asarray(coarse).astype(int) + rng.integers(-9, 10, (size[1], size[0], 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode)


def saved(image, format="JPEG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def decoded(content):
    return jpeg.decoded(io.BytesIO(content), MIN_SIDE, MAX_PIXELS)


@pytest.fixture
def by_pil(monkeypatch):
    """Read a file as if there were no simplejpeg; give its pixels, or the words it is refused with."""

    def read(content):
        with monkeypatch.context() as without:
            without.setattr(jpeg, "_library", lambda: None)
            return tried(content)

    return read


def tried(content):
    try:
        return read_image(io.BytesIO(content))
    except UnreadableImage as error:
        return str(error)


def alike(a, b):
    return a == b if isinstance(a, str) or isinstance(b, str) else np.array_equal(a, b)


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_of_pil(options, mode, by_pil):
    if mode == "L":
        options = {key: value for key, value in options.items() if key != "keep_rgb"}
    for size in SIZES:
        content = saved(drawn(size, mode), **options)
        found = decoded(content)
        np.testing.assert_array_equal(found, by_pil(content))
        assert found.flags.writeable
        np.testing.assert_array_equal(read_image(io.BytesIO(content)), found)


@pytest.mark.parametrize("sampling", ["444", "422", "420", "440", "411"])
def test_pixels_are_those_of_pil_however_colours_are_sampled(sampling, by_pil):
    for size in SIZES:
        content = simplejpeg.encode_jpeg(np.array(drawn(size)), colorsubsampling=sampling)
        np.testing.assert_array_equal(decoded(content), by_pil(content))


def test_real_faces_have_the_pixels_of_pil(shared_data, by_pil):
    for path in sorted((shared_data / "lfw144").glob("A*/*.jpg"))[:300]:
        content = path.read_bytes()
        np.testing.assert_array_equal(decoded(content), by_pil(content))


def test_damaged_files_are_read_or_refused_in_the_same_words(by_pil):
    rng = np.random.default_rng(1)
    files = [saved(drawn(size), **options) for size in SIZES for options in WAYS]
    for k in range(600):
        content = bytearray(files[k % len(files)])
        at = int(rng.integers(4, len(content)))
        if k % 4 == 0:
            content = content[:at]
        elif k % 4 == 1:
            content[at] ^= 1 << int(rng.integers(8))
        elif k % 4 == 2:
            content = content[:at] + rng.bytes(5) + content[at:]
        else:
            # Ended in time, after some of the scans of a progressive file.
            content = content[: content.rindex(b"\xff\xda")] + b"\xff\xd9"
        assert alike(tried(bytes(content)), by_pil(bytes(content)))


def test_what_needs_a_further_look_is_left_to_pil():
    turned = Image.Exif()
    turned[0x0112] = 6
    image = drawn((40, 24))
    assert decoded(saved(image)) is not None
    for content in (
        saved(image, exif=turned),
        saved(image, xmp=b'<x tiff:Orientation="6"/>'),
        saved(image.convert("CMYK")),
        saved(image, "PNG"),
        saved(drawn((40, MIN_SIDE - 1))),
        saved(image)[:-2],
        b"",
    ):
        assert decoded(content) is None
    assert jpeg.decoded(io.BytesIO(saved(image)), MIN_SIDE, 40 * 24 - 1) is None
    assert read_image(io.BytesIO(saved(image, exif=turned))).shape == (40, 24, 3)


def test_a_large_file_is_not_read_whole(monkeypatch):
    content = saved(drawn((40, 24)))
    monkeypatch.setattr(jpeg, "LARGEST", len(content) - 1)
    file = io.BytesIO(content)
    assert jpeg.decoded(file, MIN_SIDE, MAX_PIXELS) is None
    assert file.tell() == len(content)
    assert read_image(file).shape == (24, 40, 3)


def test_without_the_library_pil_reads(monkeypatch):
    content = saved(drawn((40, 24)))
    found = decoded(content)
    monkeypatch.setattr(jpeg, "_library", lambda: None)
    assert decoded(content) is None
    np.testing.assert_array_equal(read_image(io.BytesIO(content)), found)


def test_other_threads_go_on_while_a_picture_is_decoded():
    content = saved(drawn((3000, 3000)))
    began, inside, ended = threading.Event(), [], threading.Event()

    def decode():
        began.set()
        decoded(content)
        ended.set()

    thread = threading.Thread(target=decode)
    thread.start()
    began.wait()
    while not ended.is_set():
        inside.append(time.perf_counter())
        time.sleep(0.001)
    thread.join()
    assert len(inside) > 5
