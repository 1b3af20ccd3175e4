"""Bring the images of a batch to resolutions of their own, bit for bit as PIL's bilinear filter does.

PIL resizes along one axis after the other, and stores 8 bits after each. Its weights are whole numbers
of 2⁻²², so a pass is ``⌊(Σ weight · pixel + 2²¹) / 2²²⌋``. On an accelerator a pass is a matrix product
in 32-bit floats. Each weight is split into two halves of eleven bits: then every product and every sum
is a whole number that floats hold exactly, in TF32 too, and neither the order of the sum nor the
neighbours in the batch change a bit of the result.

References
----------
Pillow, ``src/libImaging/Resample.c``: ``precompute_coeffs``, ``normalize_coeffs_8bpc``.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from embedlab.data.degradations import prepare

PRECISION = 22
"""Bits behind the point of PIL's weights."""
HALF = PRECISION // 2
BUCKET = 16
"""Resolutions that differ by less share a product, padded to the largest."""


def through(
    images: UInt8[Tensor, "b 3 h h"], sides: Int[np.ndarray, " b"], size: int
) -> UInt8[Tensor, "b 3 s s"]:
    """Shrink each image to a side of its own, then bring all to one size, as ``prepare`` does.

    Parameters
    ----------
    images
        8-bit images, on any device.
    sides
        Side in pixels that each image is shrunk to first; 0, or at least ``h``, leaves it as it is.
    size
        Side in pixels of all images afterwards.

    Returns
    -------
    Tensor
        8-bit images on the same device; each has the very bits that PIL gives.
    """
    if images.device.type == "cpu":
        return _by_pil(images, sides, size)
    return by_matrices(images, sides, size)


def _by_pil(images: Tensor, sides: Int[np.ndarray, " b"], size: int) -> Tensor:
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
    made = np.empty((len(arrays), size, size, 3), np.uint8)

    def one(i: int) -> None:
        made[i] = prepare(arrays[i], int(sides[i]) or None, size)

    if (threads := torch.get_num_threads()) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(len(arrays))))
    else:
        for i in range(len(arrays)):
            one(i)
    return torch.from_numpy(made).permute(0, 3, 1, 2).contiguous()


def by_matrices(
    images: UInt8[Tensor, "b 3 h h"], sides: Int[np.ndarray, " b"], size: int
) -> UInt8[Tensor, "b 3 s s"]:
    """Do what ``through`` does by matrix products, which is how it does it off the CPU."""
    height, device = images.shape[-1], images.device
    made = torch.empty(len(images), 3, size, size, dtype=torch.uint8, device=device)
    shrunk = (sides > 0) & (sides < height)
    buckets = np.where(shrunk, -(-sides // BUCKET) * BUCKET, 0)
    # Rounding to bfloat16 would undo the exact sums.
    with torch.autocast(device.type, enabled=False):
        for bucket in np.unique(buckets).tolist():
            here = np.flatnonzero(buckets == bucket)
            rows = torch.from_numpy(here).to(device)
            x = images[rows].float()
            if bucket:
                which = torch.from_numpy(bucket - sides[here]).to(device)
                x = _resized(x, _bucket(height, bucket, device, "down")[which])
                x = _resized(x, _bucket(size, bucket, device, "up")[which])
            elif height != size:
                x = _resized(x, _matrix(height, size, device).expand(len(here), -1, -1))
            made[rows] = x.to(torch.uint8)
    return made


def _resized(x: Float[Tensor, "b 3 n n"], weights: Float[Tensor, "b n two_m"]) -> Float[Tensor, "b 3 m m"]:
    """Resize along the columns, then along the rows."""
    for _ in range(2):
        b, _, rows, n = x.shape
        y = torch.bmm(x.reshape(b, 3 * rows, n), weights)
        high, low = y.view(b, 3, rows, -1).tensor_split(2, dim=-1)
        # ⌊(2¹¹ high + low + 2²¹) / 2²²⌋, without a number that 24 bits do not hold.
        low = low.add(2.0 ** (PRECISION - 1)).mul_(2.0**-HALF).floor_()
        x = low.add_(high).mul_(2.0**-HALF).floor_().transpose(2, 3)
    return x


@lru_cache(64)
def _bucket(size: int, bucket: int, device: torch.device, way: str) -> Float[Tensor, "sides n two_m"]:
    """Stack the matrices from ``size`` to the sides of a bucket, or back, largest side first."""
    made = []
    for side in range(bucket, bucket - BUCKET, -1):
        full = np.zeros((bucket, size) if way == "down" else (size, bucket), np.int64)
        if side and way == "down":
            full[:side] = coefficients(size, side)
        elif side:
            full[:, :side] = coefficients(side, size)
        made.append(_halves(full))
    return torch.stack(made).to(device)


@lru_cache(64)
def _matrix(source: int, target: int, device: torch.device) -> Float[Tensor, "n two_m"]:
    return _halves(coefficients(source, target)).to(device)


def _halves(weights: Int[np.ndarray, "m n"]) -> Float[Tensor, "n two_m"]:
    high = (weights + (1 << HALF - 1)) >> HALF
    low = weights - (high << HALF)
    return torch.from_numpy(np.ascontiguousarray(np.concatenate([high, low]).T.astype(np.float32)))


def coefficients(source: int, target: int) -> Int[np.ndarray, "target source"]:
    """Give PIL's weights of each source pixel in each target pixel, in units of 2⁻²²."""
    scale = source / target
    support = max(scale, 1.0)
    centre = (np.arange(target)[:, None] + 0.5) * scale
    first = np.floor(np.maximum(centre - support + 0.5, 0))
    last = np.minimum(np.floor(centre + support + 0.5), source)
    at = np.arange(source)
    weights = np.maximum(0.0, 1.0 - np.abs(at - centre + 0.5) / support)
    weights = np.where((at >= first) & (at < last), weights, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    rounded: np.ndarray = np.floor(weights * (1 << PRECISION) + 0.5).astype(np.int64)
    return rounded
