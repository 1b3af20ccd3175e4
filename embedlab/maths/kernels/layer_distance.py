"""How far two networks are apart, layer by layer: their kernels, and the statistics of their norm layers.

References
----------
.. [1] Hahn, G. J. and Meeker, W. Q. Statistical Intervals: A Guide for Practitioners. Wiley, 1991 (ch. 4:
   the prediction interval for one further observation).
.. [2] Westfall, P. H. and Young, S. S. Resampling-Based Multiple Testing. Wiley, 1993.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from embedlab.maths.people.bootstrap import LEVEL, interval, resamples
from embedlab.maths.people.permutation import ROUNDING, further_p_value, p_value

FEWEST = 5
"""Channels that an interval takes: a resample of fewer is one channel too often."""


class Distance(NamedTuple):
    """A number of one layer, its 95 % interval over channels, and what shuffled channels give."""

    value: float
    low: float | None
    high: float | None
    null: float
    p_value: float


def relative_distance(
    x: Float[np.ndarray, "o ..."],
    y: Float[np.ndarray, "o ..."],
    *,
    shuffles: int = 0,
    replicates: int = 0,
    seed: int = 0,
) -> Distance:
    """Give ‖x − y‖ / √(½(‖x‖² + ‖y‖²)): 0 for equal kernels, √2 for orthogonal, 2 for opposite ones.

    Parameters
    ----------
    x, y
        Kernels of one shape; the first axis counts the output channels.
    shuffles
        How many shuffles of y's output channels make the null; the p value is their share that is as
        near or nearer. Without any, null and p value are nan.
    replicates
        How many bootstrap resamples of the output channels make the interval; 0 for none.

    Returns
    -------
    See ``Distance``; 0 if both are zero everywhere.
    """
    x, y = (v.reshape(len(v), -1).astype(np.float64) for v in (x, y))
    # ‖x − Py‖² = ‖x‖² + ‖y‖² − 2·Σᵢ xᵢ·y_π(i): one product of the channels serves all shuffles.
    sizes = ((x**2).sum(axis=1) + (y**2).sum(axis=1)) / 2
    common = (x * y).sum(axis=1)
    size = sizes.sum()
    if size == 0:
        return Distance(0.0, None, None, 0.0, 1.0)
    value = float(np.sqrt(((x - y) ** 2).sum() / size))
    low, high = None, None
    if replicates:
        counts = resamples(len(x), replicates, seed)
        weights = counts @ sizes
        drawn = np.divide(counts @ common, weights, out=np.zeros(len(counts)), where=weights > 0)
        low, high = interval(_from_cosine(drawn)) if len(x) >= FEWEST else (None, None)
    if not shuffles:
        return Distance(value, low, high, float("nan"), float("nan"))
    null = _from_cosine(_shuffled(x @ y.T, shuffles, seed) * len(x) / size)
    return Distance(value, low, high, float(null.mean()), p_value(-value, -null))


def _from_cosine(cosine: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sqrt(np.maximum(0.0, 2 - 2 * cosine))
    return found


def _shuffled(pairs: Float[np.ndarray, "c c"], shuffles: int, seed: int) -> Float[np.ndarray, " b"]:
    """Give the mean of one entry a row and column, of random assignments."""
    count = len(pairs)
    columns = np.random.default_rng([seed, 21]).permuted(np.tile(np.arange(count), (shuffles, 1)), axis=1)
    found: np.ndarray = pairs[np.arange(count), columns].mean(axis=1)
    return found


def lowest_p_values(values: Float[np.ndarray, " k"], null_values: Float[np.ndarray, "s k"]) -> np.ndarray:
    """Test which of k observations are lower than theirs would be, corrected for there being k.

    Each is judged by how far the furthest of all k is out in the null [2]_, in units of its own spread: of
    all sets of observations at most the level's share holds any false claim, whatever their law and
    however they hang together.

    Returns
    -------
    P values of shape (k,). Below all of the null counting cannot give a small one: then that of one further
    observation, times k.
    """
    pool = np.vstack([values, null_values])
    spread = pool.std(axis=0)
    out = np.divide(pool - pool.mean(axis=0), spread, out=np.zeros_like(pool), where=spread > 1e-12)
    counted = (out.min(axis=1)[:, None] <= out[0] + ROUNDING).mean(axis=0)
    further = [
        len(values) * further_p_value(-one, -null) for one, null in zip(values, null_values.T, strict=True)
    ]
    found: np.ndarray = np.where(counted * len(pool) < 1.5, np.minimum(counted, further), counted)
    return found


def further_range(null_values: Float[np.ndarray, "s ..."]) -> tuple[np.ndarray, np.ndarray]:
    """Give where one further observation lies with 95 % probability [1]_, along the first axis."""
    from scipy.stats import t

    count = len(null_values)
    reach = t.ppf((1 + LEVEL) / 2, count - 1) * null_values.std(axis=0, ddof=1) * np.sqrt(1 + 1 / count)
    middle = null_values.mean(axis=0)
    return middle - reach, middle + reach


class Drift(NamedTuple):
    """How far apart two norm layers are; either is None where no channel varies in both."""

    mean: Distance | None
    """Mean over channels of |mean of a − mean of b| / √((variance of a + variance of b) / 2)."""
    variance: Distance | None
    """Mean over channels of |ln(variance of a / variance of b)|."""
    channels: int


def norm_drift(
    a: Mapping[str, Float[np.ndarray, " c"]],
    b: Mapping[str, Float[np.ndarray, " c"]],
    *,
    shuffles: int,
    replicates: int,
    seed: int,
) -> Drift:
    """Compare the running statistics of two norm layers, channel by channel, beside shuffled channels.

    Channels without variance in either network have no scale to be measured on, and are left out.
    """
    means = [np.asarray(n["running_mean"], np.float64) for n in (a, b)]
    variances = [np.asarray(n["running_var"], np.float64) for n in (a, b)]
    kept = (variances[0] > 0) & (variances[1] > 0)
    if not kept.any():
        return Drift(None, None, 0)
    (ma, mb), (va, vb) = ([v[kept] for v in pair] for pair in (means, variances))
    shift = np.abs(ma[:, None] - mb) / np.sqrt((va[:, None] + vb) / 2)
    ratio = np.abs(np.log(va[:, None]) - np.log(vb))
    mean, variance = (_paired(pairs, shuffles, replicates, seed) for pairs in (shift, ratio))
    return Drift(mean, variance, int(kept.sum()))


def _paired(pairs: Float[np.ndarray, "c c"], shuffles: int, replicates: int, seed: int) -> Distance:
    own = np.diagonal(pairs)
    low, high = None, None
    if len(own) >= FEWEST:
        low, high = interval(resamples(len(own), replicates, seed) @ own / len(own))
    null = _shuffled(pairs, shuffles, seed)
    value = float(own.mean())
    return Distance(value, low, high, float(null.mean()), p_value(-value, -null))
