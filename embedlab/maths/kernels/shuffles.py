"""Whether convolution kernels are structured: the same weights, in other places, are the null.

Where no pattern is, it does not matter where in a kernel a weight stands. So a kernel is held against
itself with its places shuffled, alike in all its channels: what the weights' law is (Gaussian, uniform,
heavy-tailed), how long each channel's slice is, and how the channels go together stays as it was, and the
test is exact for all of them [1]_. Shuffling keeps the mean of a channel, so it judges what is beyond the
mean. To judge a kernel as it is, blurs included, each place also gets a random sign, alike in all channels:
exact wherever weights are as often negative as positive.

A layer is judged by shuffling the places of all its kernels alike, so that kernels may resemble one
another as much as they like. The smallest of the p values of three statistics is judged by the smallest of
the shuffles [2]_, so that looking three times costs what it should.

References
----------
.. [1] Phipson, B. and Smyth, G. K. Permutation P-values should never be zero. Statistical Applications
   in Genetics and Molecular Biology 9(1), 2010.
.. [2] Westfall, P. H. and Young, S. S. Resampling-Based Multiple Testing. Wiley, 1993.
.. [3] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate. Journal of the Royal Statistical
   Society B 57(1), 1995.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.maths.kernels.kernel_structure import same_inner_products, slow_form, statistics
from embedlab.progress import track

BLOCK = 1_000_000
DIGITS = 9
"""To so many digits are statistics compared: what differs by less is a tie."""


class Beside(NamedTuple):
    """Kernels beside their own weights in other places."""

    measured: Float[np.ndarray, "n 3"]
    """The three statistics of each kernel."""
    shuffled: Float[np.ndarray, "draws n 3"]
    """The same after each shuffle."""
    p_values: Float[np.ndarray, " n"]
    """Of each kernel."""
    layer_p: float
    """Of all kernels together."""


def beside_shuffled(
    kernels: Float[np.ndarray, "n c h w"], shuffles: int, seed: int, *, signs: bool = False
) -> Beside:
    """Test each kernel, and all together, for structure; none may be all zero.

    Parameters
    ----------
    kernels
        As they are for a test with signs, else without their means (`kernel_structure.centred`).
    shuffles, seed
        How many shuffles, and their seed.
    signs
        Whether places get random signs too.
    """
    n, _, h, w = kernels.shape
    kernels = same_inner_products(kernels)
    rows = kernels.reshape(n, -1, h * w)
    order, sign = arrangements(h * w, shuffles, seed, signs)
    found = np.empty((shuffles + 1, n, 3))
    size = max(1, BLOCK // max(rows.size, 1))
    for start in track(range(0, shuffles + 1, size), "shuffling the weights of kernels"):
        some = slice(start, start + size)
        moved = (rows[:, :, order[some]] * sign[some]).transpose(2, 0, 1, 3)
        found[some] = statistics(moved.reshape(-1, *kernels.shape[1:])).reshape(-1, n, 3)
    spread = np.maximum(found.std(axis=0), 1e-12)
    together = ((found - found.mean(axis=0)) / spread).sum(axis=1, keepdims=True)
    return Beside(found[0], found[1:], _p_values(found), float(_p_values(together)[0]))


def low_frequency_beside_shuffled(
    kernels: Float[np.ndarray, "o i h w"], shuffles: int, seed: int
) -> tuple[float, float, float]:
    """Test whether a layer's kernels hold more energy in low frequencies than the same weights elsewhere.

    Every output channel's kernel counts alike; one that is all zero does not count. All slices together
    are h·w × h·w sums of products, so that many channels take no longer to shuffle than few.

    Returns
    -------
    The share; its mean over shuffles with random signs; and the p value. NaN, NaN and 1 where all is zero.
    """
    o, _, h, w = kernels.shape
    rows = kernels.reshape(o, -1, h * w)
    products = np.matmul(rows.transpose(0, 2, 1), rows).astype(np.float64)
    energy = np.trace(products, axis1=1, axis2=2)
    if not (energy > 0).any():
        return math.nan, math.nan, 1.0
    mean = (products[energy > 0] / energy[energy > 0, None, None]).mean(axis=0)
    order, sign = arrangements(h * w, shuffles, seed, True)
    found = np.empty(shuffles + 1)
    size = max(1, BLOCK // (h * w) ** 2)
    for start in range(0, shuffles + 1, size):
        some = slice(start, start + size)
        moved = mean[order[some, :, None], order[some, None]] * (sign[some, :, None] * sign[some, None])
        found[some] = (moved * slow_form(h, w)).sum(axis=(1, 2))
    return float(found[0]), float(found[1:].mean()), float(_shares(found)[0])


@lru_cache(maxsize=8)
def arrangements(
    places: int, shuffles: int, seed: int, signs: bool
) -> tuple[Int[np.ndarray, "b p"], Int[np.ndarray, "b p"]]:
    """Draw orders of the places and, if wanted, their signs; the first row leaves all as it is."""
    rng = np.random.default_rng([seed, 16, places])
    order = np.tile(np.arange(places), (shuffles + 1, 1))
    order[1:] = rng.permuted(order[1:], axis=1)
    sign = np.ones_like(order)
    if signs:
        sign[1:] = rng.choice([-1, 1], (shuffles, places))
    return order, sign


def smallest_p(height: int, width: int, shuffles: int, *, signs: bool = False) -> float:
    """Give the smallest p value that kernels of this size can get.

    With few places many shuffles are the kernel itself, mirrored or turned, which is as structured.
    """
    alike = 1 if min(height, width) == 1 else 8 if height == width else 4
    alike = 2 if min(height, width) == 1 and max(height, width) > 1 else alike
    ways = math.factorial(height * width) * (2 ** (height * width - 1) if signs else 1)
    return max(1 / (1 + shuffles), alike / ways)


def _shares(values: Float[np.ndarray, "b ..."]) -> Float[np.ndarray, "b ..."]:
    """Give the share of the first axis that reaches each value."""
    from scipy.stats import rankdata

    found: np.ndarray = rankdata(-np.round(values, DIGITS), method="max", axis=0) / len(values)
    return found


def _p_values(found: Float[np.ndarray, "b n s"]) -> Float[np.ndarray, " n"]:
    """Judge the smallest share over the statistics by that of every shuffle; the first row is measured."""
    least = _shares(found).min(axis=2)
    p_values: np.ndarray = (least <= least[0]).mean(axis=0)
    return p_values


def structured(p_values: Float[np.ndarray, "... n"], level: float) -> Bool[np.ndarray, "... n"]:
    """Call kernels of one layer structured, at a false discovery rate of ``level`` [3]_."""
    from scipy.stats import false_discovery_control

    if not p_values.size:
        return np.zeros(p_values.shape, dtype=bool)
    found: np.ndarray = false_discovery_control(p_values, axis=-1) <= level
    return found


def share_by_chance(count: int, level: float, seed: int, draws: int = 2000) -> float:
    """Give the share of ``count`` kernels without structure that ``structured`` calls so on average."""
    drawn = np.random.default_rng([seed, 23]).uniform(size=(draws, count))
    return float(structured(drawn, level).mean())
