"""The tail of impostor scores, beyond what was measured: the generalised Pareto distribution of exceedances.

Above a high score u, the share of scores beyond t falls as ζ·(1 + ξ(t − u)/σ)^(−1/ξ), whatever the
distribution, where u is high enough [1]_. The scale on which scores are written decides how high that is
[2]_. Cosines s are taken as −log(1 − s²): of vectors that lie evenly in d dimensions this falls as e^(−(d −
1)/2 ·) from nearly any u on, so that ξ = 0, and no threshold is above 1. On their own scale thresholds a
thousand times beyond the data came out too low by more than their SD. The fit maximises the likelihood,
profiled over ξ/σ [3]_, on a grid that all resamples share; ξ ≥ −½, beyond which maximum likelihood is not
regular.

Scores of pairs that share a person are not independent, so that tables of tests for independent ones reject
too often. Whether the fit holds is asked of resamples of people. The distance of a resample's tail from its
own fit, less that of the whole from its own, says how large the latter is by chance [4]_; and ξ fitted to
the upper half of the exceedances is that of all, within what the difference varies.

References
----------
.. [1] Coles, S. An Introduction to Statistical Modeling of Extreme Values. Springer, 2001, ch. 4.
.. [2] Wadsworth, J. L., Tawn, J. A. and Jonathan, P. Accounting for choice of measurement scale in extreme
   value modeling. Annals of Applied Statistics 4(3), 2010.
.. [3] Grimshaw, S. D. Computing maximum likelihood estimates for the generalized Pareto distribution.
   Technometrics 35(2), 1993.
.. [4] Babu, G. J. and Rao, C. R. Goodness-of-fit tests when parameters are estimated. Sankhya 66(1), 2004.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from embedlab.maths.pairs import excess, roc
from embedlab.maths.pairs.all_pairs import Pairs
from embedlab.maths.people.evidence import two_sided_p
from embedlab.maths.people.permutation import p_value

LEAST = 40
"""Fewer exceedances are not fitted."""
DEEPEST = 0.02
"""No more than this share of the impostor pairs is taken for the tail."""
HOLDS = 0.05
"""A fit holds at p values of so much."""
HEAVIEST = 0.25
"""A fit of a larger ξ does not hold: beyond are pairs of one person under two names, not of two people."""
TRIES = 3
# ξ/σ times the largest exceedance: from a tail that ends there to one far heavier than any of scores.
GRID = np.r_[np.geomspace(1e-3, 1, 120)[:-1] - 1, 0.0, np.geomspace(1e-2, 50, 60)]
# What 1 − s² is at least: single precision tells no smaller one.
LIMIT = 1e-6
# Scores above which fewer lie weigh no more in the distance.
TOP = 10


@dataclass(frozen=True)
class Fit:
    """The fitted tail of a set (row 0) and of each resample of its people.

    Attributes
    ----------
    start
        The score u above which it is fitted.
    exceedances
        How many scores lie above.
    share, shape, scale
        ζ, ξ and σ, of shape (rows,).
    p, steady_p
        How often chance gives as large a distance from the fit, and as large a change of ξ in the upper half.
    """

    start: float
    exceedances: int
    share: Float[np.ndarray, " rows"]
    shape: Float[np.ndarray, " rows"]
    scale: Float[np.ndarray, " rows"]
    p: float
    steady_p: float = 1.0

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the fit."""
        return min(self.p, self.steady_p) >= HOLDS and float(self.shape[0]) <= HEAVIEST

    def beyond(self, scores: Float[np.ndarray, " m"]) -> Float[np.ndarray, "rows m"]:
        """Give the share of impostor scores above each score, none of which is below the start."""
        over = stretched(scores) - stretched(np.array(self.start))
        found: np.ndarray = self.share[:, None] * survival(over, self.shape, self.scale)
        return found

    def threshold(self, rates: Float[np.ndarray, " r"]) -> Float[np.ndarray, "rows r"]:
        """Give the score above which each share lies, none of them above the share of the tail."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.log(self.share[:, None] / rates)
        shape, scale = self.shape[:, None], self.scale[:, None]
        at = stretched(np.array(self.start)) + scale * log * _grown(shape * log)
        found: np.ndarray = np.sign(at) * np.sqrt(-np.expm1(-np.abs(at)))
        return found


def stretched(scores: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Give −log(1 − s²) of cosines s, with their sign: on this scale a tail that ends at 1 has no end."""
    found: np.ndarray = -np.sign(scores) * np.log(np.maximum(1 - np.square(scores, dtype=np.float64), LIMIT))
    return found


def _grown(x: np.ndarray) -> np.ndarray:
    """Give (eˣ − 1) / x, which is 1 at 0."""
    found: np.ndarray = np.divide(np.expm1(x), x, out=np.ones_like(x), where=np.abs(x) > 1e-12)
    return found


def survival(
    excess_of: Float[np.ndarray, " m"], shape: Float[np.ndarray, " rows"], scale: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows m"]:
    """Give the share of exceedances that are larger, in each row's fit."""
    scaled = np.maximum(excess_of, 0.0) / scale[:, None]
    inner = shape[:, None] * scaled
    with np.errstate(divide="ignore"):
        safe = np.where(shape == 0, 1.0, shape)[:, None]
        log = np.where(np.abs(inner) < 1e-9, scaled, np.log1p(np.maximum(inner, -1.0)) / safe)
    found: np.ndarray = np.exp(-log)
    return found


def parameters(
    exceedances: Float[np.ndarray, " k"], weights: Float[np.ndarray, "rows k"]
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Find shape and scale of each weighting's maximum likelihood; NaN where one weighs nothing."""
    largest = float(exceedances.max())
    ratio = GRID / largest
    logs = np.log1p(exceedances[:, None] * ratio)
    whole = weights.sum(axis=1, keepdims=True)
    whole = np.where(whole > 0, whole, np.nan)
    shape, mean = weights @ logs / whole, weights @ exceedances[:, None] / whole
    scale = np.where(ratio == 0, mean, shape / np.where(ratio == 0, 1.0, ratio))
    with np.errstate(invalid="ignore", divide="ignore"):
        likelihood = np.where(shape >= -0.5, -np.log(scale) - shape, -np.inf)
    best = np.clip(np.nan_to_num(likelihood, nan=-np.inf).argmax(axis=1), 1, len(GRID) - 2)
    rows = np.arange(len(weights))
    low, mid, high = (likelihood[rows, best + k] for k in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.nan_to_num((low - high) / (low - 2 * mid + high) / 2, nan=0.0, posinf=0.0, neginf=0.0)
    step = np.clip(step, -0.5, 0.5)
    found = []
    for values in (shape, scale):
        a, b, c = (values[rows, best + k] for k in (-1, 0, 1))
        found.append(b + step * (c - a) / 2 + step**2 * (a - 2 * b + c) / 2)
    return found[0], found[1]


def fitted(pairs: Pairs, counts: Float[np.ndarray, "b people"], most: int) -> Fit | None:
    """Fit the tail, from as low a score as the fit holds.

    Parameters
    ----------
    pairs
        All pairs of a set, with a tail kept.
    counts
        Resamples of its people.
    most
        How many exceedances to begin with; half of them, and a quarter, where the fit does not hold.

    Returns
    -------
    The first that holds, or the first of all; None where there are fewer than ``LEAST`` exceedances, or
    no two of them can be told apart.
    """
    impostors = int(pairs.impostor.sum())
    size = min(most, int(DEEPEST * impostors), len(pairs.tail_scores) - 1)
    own, fits = excess.Tail.of(pairs), []
    for part in (size // 2**k for k in range(TRIES + 1)):
        if part < LEAST:
            break
        drawn = excess.shrunk(counts, own.shrinkage(part))
        rows = np.concatenate([np.ones((1, counts.shape[1]), counts.dtype), drawn]).astype(np.float64)
        if (one := _fit(pairs, rows, part)) is None:
            break
        fits.append(one)
    for k, (lower, upper) in enumerate(pairwise(fits)):
        change = upper.shape - lower.shape
        fits[k] = replace(lower, steady_p=two_sided_p(float(change[0]), change[1:]))
    tried = fits[:TRIES]
    return next((one for one in tried if one.holds), tried[0] if tried else None)


def without(pairs: Pairs, suspects: int) -> Pairs:
    """Leave out of the tail all pairs of those two people, so many times, who score highest."""
    both = np.sort(pairs.tail_people, axis=1) @ np.array([len(pairs.images), 1])
    _, first = np.unique(both, return_index=True)
    kept = ~np.isin(both, both[np.sort(first)[:suspects]])
    return replace(pairs, tail_scores=pairs.tail_scores[kept], tail_people=pairs.tail_people[kept])


def _fit(pairs: Pairs, rows: np.ndarray, size: int) -> Fit | None:
    start = float(pairs.tail_scores[size])
    above = int(np.searchsorted(-pairs.tail_scores, -start))
    # Above the limit of single precision all scores are one.
    if above < LEAST or 1 - start**2 <= LIMIT:
        return None
    over = stretched(pairs.tail_scores[:above]) - stretched(np.array(start))
    one, other = pairs.tail_people[:above].T
    weights = (rows * pairs.row_weights)[:, one] * (rows * pairs.column_weights)[:, other]
    shape, scale = parameters(over, weights)
    with np.errstate(invalid="ignore"):
        share = weights.sum(axis=1) / roc.impostor_weight(pairs, rows)
        there = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    gaps = there - survival(over, shape, scale)
    worth = np.sqrt(np.maximum(there[0] - gaps[0], TOP / above))
    distance = np.abs(gaps[0] / worth).max()
    p = p_value(float(distance), np.abs((gaps[1:] - gaps[0]) / worth).max(axis=1))
    return Fit(start, above, share, shape, scale, p)
