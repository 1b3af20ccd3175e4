"""Images are changed as the formulas say, each by its own draws."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from embedlab.training import augment


def faces(count=3, side=16, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (count, 3, side, side))).float()


def test_some_are_mirrored():
    x = faces()
    made = augment.flipped(x.clone(), np.array([True, False, True]))
    assert torch.equal(made, torch.stack([x[0].flip(-1), x[1], x[2].flip(-1)]))


def by_hand(image, brightness, contrast, saturation):
    """What torchvision does to an image of floats, written out; 3 × h × w in 0…255."""
    image = np.clip(brightness * image, 0, 255)
    mean = np.mean(0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2])
    image = np.clip(contrast * image + (1 - contrast) * mean, 0, 255)
    grey = 0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    return np.clip(saturation * image + (1 - saturation) * grey, 0, 255)


def test_colours_change_by_torchvisions_formulas():
    x = faces(4)
    factors = np.array([[1.3, 0.7, 0.4], [0.6, 1.5, 1.8], [1.0, 1.0, 1.0], [2.0, 0.0, 0.0]])
    made = augment.jittered(x.clone(), factors).numpy()
    expected = np.stack([by_hand(one, *f) for one, f in zip(x.numpy().astype(float), factors, strict=True)])
    np.testing.assert_allclose(made, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("column", "enhance"),
    list(enumerate([ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color])),
)
def test_colours_change_as_pil_changes_them(column, enhance):
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    factors = np.ones((1, 3))
    factors[0, column] = 0.6
    made = augment.jittered(torch.from_numpy(image).permute(2, 0, 1)[None].float(), factors)[0]
    pil = np.asarray(enhance(Image.fromarray(image)).enhance(0.6)).transpose(2, 0, 1)
    # PIL cuts to whole numbers, its grey and its mean as well.
    assert np.abs(made.numpy() - pil).max() < 1.7


def test_a_factor_of_one_changes_nothing():
    x = faces()
    assert augment.jittered(x, np.ones((3, 3))) is x
    some = augment.jittered(x.clone(), np.array([[1, 1, 1], [2, 1, 1], [1, 1, 1]]))
    assert torch.equal(some[0], x[0])


def test_a_rectangle_of_the_asked_size_is_blanked_out_where_it_was_asked():
    x = faces(4, side=20)
    rectangles = np.array(
        [[0.5, 0.25, 0.0, 1.0], [0.0, 0, 0.5, 0.5], [1.0, 1.0, 0.3, 0.9], [0.01, 0.5, 0.999, 0.5]]
    )
    made = augment.erased(x.clone(), rectangles, (1.0, 2.0, 3.0))
    expected = x.clone()
    colour = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    expected[0, :, :10, 15:] = colour
    expected[2] = colour
    expected[3, :, 19:, 5:15] = colour
    assert torch.equal(made, expected)


def test_nothing_drawn_is_nothing_done():
    x = faces()
    assert augment.flipped(x, np.zeros(3, bool)) is x
    assert augment.erased(x, np.zeros((3, 4)), (0.0, 0.0, 0.0)) is x
