"""Sharpness is the variance of the Laplacian, as OpenCV and SciPy compute it."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from embedlab.networks.sharpness import sharpness


def images(count: int = 5, side: int = 17) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.tensordot(np.array([0.299, 0.587, 0.114]), pixels.astype(np.float64), (0, 1))


def test_it_is_the_variance_of_scipys_laplacian():
    pixels = images()
    expected = [ndimage.laplace(one, mode="mirror").var() for one in grey(pixels)]
    assert sharpness(torch.from_numpy(pixels)).tolist() == pytest.approx(expected, rel=1e-5)


def test_it_is_the_variance_of_opencvs_laplacian():
    cv2 = pytest.importorskip("cv2")
    pixels = images()
    expected = [cv2.Laplacian(one, cv2.CV_64F).var() for one in grey(pixels)]
    assert sharpness(torch.from_numpy(pixels)).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_flat_image_has_none_and_a_blurred_one_less():
    flat = torch.full((1, 3, 9, 9), 200.0)
    assert sharpness(flat).item() == pytest.approx(0.0, abs=1e-6)
    sharp = images(1, 32).astype(np.float64)
    blurred = ndimage.gaussian_filter(sharp, (0, 0, 1.5, 1.5))
    values = sharpness(torch.from_numpy(np.concatenate([sharp, blurred])))
    assert values[1] < values[0] / 10


def test_half_precision_around_it_and_the_layout_change_nothing():
    x = torch.from_numpy(images()).float()
    with torch.autocast("cpu", torch.bfloat16):
        within = sharpness(x.to(memory_format=torch.channels_last))
    assert within.dtype == torch.float32
    assert torch.equal(within, sharpness(x))


def test_no_gradient_goes_through_it():
    assert not sharpness(torch.rand(2, 3, 8, 8, requires_grad=True)).requires_grad
