"""How structured convolution kernels are: smooth, even, or like a Gabor function.

A kernel is its h × w weights over c input channels. Three statistics, none of which depends on the kernel's
size, and each larger for more structure:

- *low-frequency share*: energy (squared weights) in the slow half of the cosine transform, u/(h−1) + v/(w−1)
  ≤ ½. Of a 3×3 kernel these are the mean and the two gradients, 3 of 9 numbers: a third, if weights are
  independent.
- *evenness*: minus the mean squared difference of weights that are neighbours, in units of the mean square.
  −2 on average for independent weights, 0 for a constant kernel.
- *Gabor share*: the share of the energy that the best Gabor function [1]_ of a grid explains, with one shape
  for all channels and a factor for each; phase and factors are solved for. Below 5×5 the envelope is round,
  in the middle and of one width, so that direction, frequency, phase and a factor a channel are fitted:
  4 numbers of 9 for one channel, 6 of 27 for three.

As a Gabor function fits any few numbers well, none of them means anything alone: `shuffles` holds them
against the same weights in other places.

References
----------
.. [1] Daugman, J. G. Uncertainty relation for resolution in space, spatial frequency, and orientation
   optimized by two-dimensional visual cortical filters. JOSA A 2(7), 1985.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

STATISTICS = ("low-frequency share", "evenness", "Gabor share")
SMALL = 5
BLOCK = 500_000


def statistics(kernels: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n 3"]:
    """Measure each kernel; columns as in ``STATISTICS``, all larger for more structure.

    Raises
    ------
    ValueError
        If the kernels are 1×1, which have no pattern, or one has no weight other than zero.
    """
    n, _, h, w = kernels.shape
    if (h, w) == (1, 1):
        raise ValueError("kernels of 1×1 weights have no pattern")
    energy = (kernels**2).sum(axis=(1, 2, 3))
    if n and energy.min() == 0:
        raise ValueError("a kernel of zeros has no pattern")
    # One product of two matrices is many times as fast as one a kernel.
    rows = kernels.reshape(-1, h * w)
    low, even = (
        np.einsum("rp,rp->r", rows @ form(h, w), rows).reshape(n, -1).sum(axis=1) / energy
        for form in (slow_form, even_form)
    )
    return np.stack([low, even, gabor(kernels)], axis=1)


def same_inner_products(kernels: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n r h w"]:
    """Give kernels over no more than h·w channels in which every statistic is as in those over c.

    Sums over channels of products of two places are all that the statistics, and shuffles of places, see.
    """
    n, c, h, w = kernels.shape
    if c <= h * w:
        return kernels
    rows = np.asarray(np.linalg.qr(kernels.reshape(n, c, h * w), mode="r"))
    return rows.reshape(n, h * w, h, w)


@lru_cache(maxsize=32)
def slow_form(h: int, w: int) -> Float[np.ndarray, "p p"]:
    """Give the quadratic form of the energy in the slow half of the cosine transform."""
    from scipy.fft import dct

    down, across = (dct(np.eye(side), axis=0, norm="ortho") for side in (h, w))
    u, v = (np.arange(side) / max(side - 1, 1) for side in (h, w))
    slow = (u[:, None] + v <= 0.5 + 1e-9).ravel()
    basis = np.kron(down, across)[slow]
    form: np.ndarray = basis.T @ basis
    return form


@lru_cache(maxsize=32)
def even_form(h: int, w: int) -> Float[np.ndarray, "p p"]:
    """Give the quadratic form of minus the mean squared step between neighbours, over the mean square."""
    places = np.eye(h * w).reshape(h, w, h * w)
    steps = np.concatenate([np.diff(places, axis=axis).reshape(-1, h * w) for axis in (0, 1)])
    form: np.ndarray = -h * w / len(steps) * steps.T @ steps
    return form


def gabor(kernels: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, " n"]:
    """Give the share of each kernel's energy that the best Gabor function of a grid explains."""
    n, c, h, w = kernels.shape
    bases = [basis.T for basis in _bases(_grid(h, w), h, w)]
    shares = np.empty(n)
    size = max(1, BLOCK // (bases[0].shape[1] * c))
    for start in range(0, n, size):
        some = kernels[start : start + size]
        even, odd = ((some.reshape(-1, h * w) @ basis).reshape(len(some), c, -1) for basis in bases)
        shares[start : start + size] = _explained(even, odd).max(axis=1)
    explained: np.ndarray = shares / (kernels**2).sum(axis=(1, 2, 3))
    return explained


@lru_cache(maxsize=32)
def _grid(h: int, w: int) -> Float[np.ndarray, "t 6"]:
    """Give direction, frequency (cycles a weight), width, aspect and middle of each Gabor function."""
    side = max(h, w)
    small = side < SMALL
    turns = np.arange(12 if small else 8) * np.pi / (12 if small else 8)
    frequencies = np.arange(0.05, 0.71, 0.1) if small else np.linspace(0.5 / side, 0.5, 5)
    widths = [side / 3] if small else [0.2 * side, 0.4 * side]
    places = [0.0] if small else [-side / 5, 0.0, side / 5]
    axes = np.meshgrid(turns, frequencies, np.log(widths), [0.0], places, places, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1)


def _bases(members: Float[np.ndarray, "t 6"], h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Give orthonormal vectors of shape (t, h·w) that span each Gabor function in all its phases."""
    y, x = (axis.ravel() - (side - 1) / 2 for axis, side in zip(np.indices((h, w)), (h, w), strict=True))
    turn, frequency, width, aspect, right, down = members.T[..., None]
    across = (x - right) * np.cos(turn) + (y - down) * np.sin(turn)
    along = (y - down) * np.cos(turn) - (x - right) * np.sin(turn)
    envelope = np.exp(-(across**2 + (np.exp(aspect) * along) ** 2) / (2 * np.exp(2 * width)))
    even = envelope * np.cos(2 * np.pi * frequency * across)
    odd = envelope * np.sin(2 * np.pi * frequency * across)
    even = _unit(even)
    return even, _unit(odd - (odd * even).sum(axis=1, keepdims=True) * even)


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: np.ndarray = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-9)
    return found


def _explained(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """Give the energy at the best phase: the larger eigenvalue of a 2×2 matrix of sums over channels."""
    first, second, mixed = (even**2).sum(axis=1), (odd**2).sum(axis=1), (even * odd).sum(axis=1)
    found: np.ndarray = (first + second) / 2 + np.sqrt(((first - second) / 2) ** 2 + mixed**2)
    return found


def centred(kernels: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n c h w"]:
    """Take each channel's mean out: what is left of an evenly blurring kernel is nothing, of an edge all.

    What rounding leaves of a constant kernel becomes zero.
    """
    left = kernels - kernels.mean(axis=(2, 3), keepdims=True)
    size = np.sqrt((kernels**2).sum(axis=(1, 2, 3), keepdims=True))
    rest = np.sqrt((left**2).sum(axis=(1, 2, 3), keepdims=True))
    found: np.ndarray = np.where(rest > 1e-6 * size, left, 0.0)
    return found


def planted(count: int, channels: int, height: int, width: int, seed: int) -> Float[np.ndarray, "n c h w"]:
    """Draw Gabor functions of random direction, frequency, phase, place and colour, of unit length."""
    rng = np.random.default_rng([seed, 19])
    grid = _grid(height, width)
    low, high = grid.min(axis=0), grid.max(axis=0)
    even, odd = _bases(rng.uniform(low, high, size=(count, len(low))), height, width)
    phase = rng.uniform(0, 2 * np.pi, size=(count, 1))
    shape = np.cos(phase) * even + np.sin(phase) * odd
    colour = _unit(rng.normal(size=(count, channels)))
    found: np.ndarray = colour[:, :, None] * _unit(shape)[:, None]
    return found.reshape(count, channels, height, width)
