import io
import re

import numpy as np
import pytest
from PIL import Image

from embedlab import progress
from embedlab.data.datasets import open_dataset
from embedlab.data.degradations import FITS, Probe, parse_probe, prepare, squared
from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.networks.embedder import PRESETS


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        ("highres_eval", Probe("highres_eval")),
        ("highres_eval@32", Probe("highres_eval", 32)),
        (" lfw@2 ", Probe("lfw", 2)),
    ],
)
def test_a_probe_reads_and_writes(text, probe):
    assert parse_probe(text) == probe
    assert parse_probe(str(probe)) == probe
    assert str(probe) == text.strip()


@pytest.mark.parametrize(
    "text", ["x@0", "x@1", "x@-3", "x@abc", "x@", "x@3.5", "x@+32", "x@3_2", "x@٣٢", "a@b@32", "@x"]
)
def test_a_bad_number_of_pixels_is_refused(text):
    with pytest.raises(UserError, match="is not a probe: after @ stands the side in pixels"):
        parse_probe(text)


@pytest.mark.parametrize("text", ["@32", "", "a/b", "a/b@32", "../x"])
def test_a_bad_name_is_refused(text):
    with pytest.raises(UserError, match="cannot be the name of a data set"):
        parse_probe(text)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_pil(image, *sizes):
    square = Image.fromarray(image)
    for size in sizes:
        square = square.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square)


@pytest.mark.parametrize("size", [32, 112, 144, 200])
def test_an_image_is_brought_to_the_networks_size_as_pil_does(size):
    image = noise(144, 144)
    np.testing.assert_array_equal(prepare(image, None, size), by_pil(image, size))


def test_an_image_of_the_right_size_is_left_as_it_is():
    image = noise(112, 112)
    prepared = prepare(image, None, 112)
    np.testing.assert_array_equal(prepared, image)
    assert prepared.flags.writeable
    assert prepared is not image


@pytest.mark.parametrize(("pixels", "size"), [(32, 112), (32, 32), (100, 32), (2, 144)])
def test_a_probe_shrinks_first_and_then_brings_to_size(pixels, size):
    image = noise(144, 144)
    np.testing.assert_array_equal(prepare(image, pixels, size), by_pil(image, pixels, size))


@pytest.mark.parametrize("pixels", [40, 41, 500])
def test_a_probe_never_enlarges_an_image_to_shrink_it_again(pixels):
    image = noise(40, 40)
    np.testing.assert_array_equal(prepare(image, pixels, 32), by_pil(image, 32))


@pytest.mark.parametrize(("height", "width", "box"), [(60, 100, (20, 0, 80, 60)), (101, 60, (0, 20, 60, 80))])
def test_the_central_square_is_cut_out_first(height, width, box):
    image = noise(height, width)
    square = np.asarray(Image.fromarray(image).crop(box))
    np.testing.assert_array_equal(prepare(image, 20, 32), by_pil(square, 20, 32))


def test_shrinking_removes_what_is_finer_than_the_probe():
    stripes = np.zeros((144, 144, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = prepare(stripes, 32, 144)
    assert np.ptp(shrunk[20:-20, 20:-20]) < 60
    assert np.ptp(stripes) == 255


# Images that are not square


@pytest.mark.parametrize("fit", FITS)
def test_square_images_stay_as_they_are(fit):
    image = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    np.testing.assert_array_equal(squared(image, fit), image)


@pytest.mark.parametrize("shape", [(9, 14, 3), (14, 9, 3), (10, 13, 3)])
def test_padding_keeps_every_pixel_in_the_middle_of_grey(shape):
    image = np.random.default_rng(0).integers(0, 100, shape, dtype=np.uint8)
    padded = squared(image, "pad")
    side = max(shape)
    assert padded.shape == (side, side, 3)
    inside = padded[(padded < 100).all(2)]
    np.testing.assert_array_equal(inside, image.reshape(-1, 3))
    bars = (padded == 128).all(2)
    rows, columns = np.flatnonzero(~bars.all(1)), np.flatnonzero(~bars.all(0))
    assert abs((side - 1 - rows[-1]) - rows[0]) <= 1
    assert abs((side - 1 - columns[-1]) - columns[0]) <= 1


def test_an_unknown_way_is_refused():
    with pytest.raises(UserError, match="cannot be made square by 'squeeze'"):
        squared(np.zeros((9, 14, 3), np.uint8), "squeeze")


class Mean:
    """A network of one number a colour."""

    name, dimension, fingerprint, device, assumed_preprocessing = "mean", 3, "m", "cpu", False

    def __init__(self):
        self.preprocessing = PRESETS["insightface"].at(8)

    def embed(self, images):
        return images.reshape(len(images), -1, 3).mean(1).astype(np.float32) + 1


def extracted(tmp_path, faces):
    from embedlab.extraction.extract import extract_all

    extract_all(Lab(tmp_path / "lab"), Mean(), faces, [Probe("faces"), Probe("faces", 8)])


def trained(tmp_path, faces):
    from embedlab.training import images

    images.read([faces], PRESETS["insightface"].at(8))


def validated(tmp_path, faces):
    from embedlab.data.split import draw_pairs
    from embedlab.training import validation

    validation.prepared(faces, draw_pairs(faces), PRESETS["insightface"].at(8))


def doctored(tmp_path, faces):
    from embedlab.extraction.selftest import selftest

    selftest(Mean(), faces, images=24)


def packed(tmp_path, faces):
    from embedlab.data.packed import pack

    pack(faces, tmp_path / "faces.pack")


def written_rec(tmp_path, faces):
    from embedlab.data.recorded import write_rec

    write_rec(faces, tmp_path / "x.rec", size=12)


def written_bin(tmp_path, faces):
    from embedlab.data.binned import write_bin
    from embedlab.data.split import draw_pairs

    write_bin(faces, draw_pairs(faces), tmp_path / "x.bin", size=12)


@pytest.mark.parametrize("work", [extracted, trained, validated, doctored, packed, written_rec, written_bin])
@pytest.mark.parametrize("shape", [(28, 23), (24, 24)])
def test_whoever_cuts_images_to_squares_says_so_once(tmp_path, work, shape):
    draw = np.random.default_rng(0)
    for person in range(12):
        for k in range(4):
            path = tmp_path / "faces" / f"p{person:02d}" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(path)
    heard = io.StringIO()
    with progress.shown(heard):
        work(tmp_path, open_dataset(tmp_path / "faces"))
    told = re.findall(
        r"(\d+) of \1 images of faces are not square, but of (\d+) x (\d+) px: only", heard.getvalue()
    )
    assert [pair[1:] for pair in told] == ([("23", "28")] if shape == (28, 23) else [])
