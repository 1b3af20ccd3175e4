import numpy as np
import pytest
from PIL import Image

from embedlab.data.degradations import Probe, parse_probe, prepare
from embedlab.errors import UserError


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
