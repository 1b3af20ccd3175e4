"""Batches are resized to the very bits that PIL gives, each image at its own resolution."""

import numpy as np
import pytest
import torch
from PIL import Image

from embedlab.training import resize


def faces(count, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def by_pil(image, side, size):
    picture = Image.fromarray(image)
    if 0 < side < picture.width:
        picture = picture.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))


def tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def array(images):
    return images.permute(0, 2, 3, 1).numpy()


@pytest.fixture(params=[resize.through, resize.by_matrices], ids=["cpu", "matrices"])
def through(request):
    return request.param


@pytest.mark.parametrize(("height", "size"), [(144, 144), (36, 144), (145, 112), (97, 33), (36, 32)])
def test_every_side_of_a_batch_is_what_pil_makes_of_it(through, height, size):
    sides = np.arange(2, height + 2)
    images = faces(len(sides), height, seed=size)
    made = array(through(tensor(images), sides, size))
    expected = np.stack([by_pil(image, side, size) for image, side in zip(images, sides, strict=True)])
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("value", [0, 255])
def test_black_stays_black_and_white_stays_white(through, value):
    images = torch.full((20, 3, 144, 144), value, dtype=torch.uint8)
    assert (through(images, np.arange(8, 28), 144) == value).all()


def test_images_of_another_batch_change_no_bit(through):
    images, sides = tensor(faces(9, 50)), np.array([0, 8, 9, 30, 30, 49, 50, 60, 17])
    whole = through(images, sides, 48)
    parts = [through(images[i : i + 1], sides[i : i + 1], 48) for i in range(9)]
    assert torch.equal(whole, torch.cat(parts))


def test_no_side_and_a_larger_side_leave_the_image_as_it_is(through):
    images = tensor(faces(3, 32))
    assert torch.equal(through(images, np.array([0, 32, 100]), 32), images)


def test_autocast_and_tf32_change_no_bit():
    images, sides = tensor(faces(4, 40)), np.array([8, 11, 20, 39])
    plain = resize.by_matrices(images, sides, 40)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize.by_matrices(images, sides, 40), plain)
    # TF32 keeps eleven bits of each factor.
    for table in (
        resize._bucket(144, 16, torch.device("cpu"), "down"),
        resize._matrix(144, 112, torch.device("cpu")),
    ):
        mantissa = torch.frexp(table)[0] * 2**11
        assert torch.equal(mantissa, mantissa.round())


def test_threads_change_nothing():
    images, sides = tensor(faces(16, 40)), np.arange(8, 24)
    one = resize.through(images, sides, 32)
    torch.set_num_threads(2)
    assert torch.equal(resize.through(images, sides, 32), one)


def test_the_weights_are_pils_triangle_by_hand():
    # Halving: a triangle two pixels wide each way over centres at ±½ and ±1½, cut at the edge.
    weights = resize.coefficients(8, 4) / 2**22
    np.testing.assert_allclose(weights[1], [0, 1 / 8, 3 / 8, 3 / 8, 1 / 8, 0, 0, 0], atol=2**-22)
    np.testing.assert_allclose(weights[0], [3 / 7, 3 / 7, 1 / 7, 0, 0, 0, 0, 0], atol=2**-22)
    np.testing.assert_array_equal(resize.coefficients(5, 5), np.eye(5) * 2**22)
