"""By how much a bootstrap over people exaggerates how impostor figures vary, and what mends it.

An impostor figure is a mean over pairs of two people, h(i, j) = θ + uᵢ + uⱼ + eᵢⱼ: both people have a share
in it, and the pair has one of its own. A resample that draws person i wᵢ = 1 + δᵢ times weighs that pair
wᵢwⱼ = 1 + δᵢ + δⱼ + δᵢδⱼ. The people's share then varies as it does from sample to sample, but the pairs' own
three times as much, once through each person and once through both; without the last term twice as much [1]_.
It is most of the variance where false accepts are rare, so intervals were up to √3 times too wide.

Let V be the variance of the figure over resamples to first order, and E that of the pairs' own share, which
some pairs of people that were drawn at random tell. The right variance is V − E. Weights 1 + cδᵢ have it
where c²V + c⁴E = V − E; to first order where c²V = V − E. With c ≤ 1 no weight is negative, and where people
are all that varies c is one.

Mean widths of intervals before and after, where 3.92 standard deviations over samples are one: of 150
people with four images (150 samples, ``benchmarks/coverage.py``), and of 200 lists of 600 pairs:

=====================================  ======  =====
figure                                 before  after
=====================================  ======  =====
mean of impostor pairs                 1.51    1.12
FAR at a fixed threshold               1.68    0.98
FAR of a threshold from other people   2.74    1.44
10-fold accuracy of a list             1.55    1.13
TAR at FAR 0.05 of a list              1.65    1.07
AUC of a list                          1.41    1.00
=====================================  ======  =====

References
----------
.. [1] Owen, A. B. The pigeonhole bootstrap. Annals of Applied Statistics 1(2), 2007.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.pairs.all_pairs import Pairs

STEPS = 20
"""Shrinkage is rounded to so many steps up to one, so that levels can share a pass."""


def shrinkage(
    whole: Float[np.ndarray, "*k"], own: Float[np.ndarray, "*k"], *, products: bool
) -> Float[np.ndarray, "*k"]:
    """Give the c of the weights 1 + c(w − 1) under which a figure varies as it should.

    Parameters
    ----------
    whole
        Its variance over resamples, to first order.
    own
        The part of pairs, each counted once.
    products
        Whether a pair weighs the product of both people's weights, or their sum less one.

    Returns
    -------
    Between 0.64 (0.71 for sums), where pairs are all that varies, and 1, where people are.
    """
    whole, own = np.asarray(whole, np.float64), np.asarray(own, np.float64)
    # People's share is no less than nothing.
    part = np.divide(own, np.maximum(whole, 2 * own), out=np.zeros(own.shape), where=own > 0)
    if not products:
        sums: np.ndarray = np.sqrt(1 - part)
        return sums
    small = part < 1e-9
    safe = np.where(small, 1.0, part)
    squared = (np.sqrt(1 + 4 * safe * (1 - safe)) - 1) / (2 * safe)
    found: np.ndarray = np.sqrt(np.where(small, 1.0, squared))
    return found


def shrunk(counts: Float[np.ndarray, "b people"], c: float) -> Float[np.ndarray, "b people"]:
    """Draw weights of resamples towards one."""
    if c == 1:
        return counts
    found: np.ndarray = (1 + c * (counts.astype(np.float64) - 1)).astype(counts.dtype)
    return found


def of_function(pairs: Pairs, values: Float[np.ndarray, " coarse"]) -> float:
    """Give c, to first order, for the mean of a function of the impostor scores, a value a coarse bin."""
    masses = pairs.impostor_by_person.sum(axis=1)
    whole = masses.sum() / 2
    if not whole > 0 or not len(pairs.sampled):
        return 1.0
    mean = float(pairs.impostor_by_person.sum(axis=0) @ values) / (2 * whole)
    people = pairs.impostor_by_person @ values - mean * masses
    each = pairs.sampled @ values - mean
    own = float(np.mean(pairs.sampled_masses * each**2)) * whole
    return float(shrinkage(np.array(float(people @ people)), np.array(own), products=False))


@dataclass(frozen=True)
class Tail:
    """Impostor pairs of the kept tail, each with the number of its two people."""

    pairs: Pairs
    weights: Float[np.ndarray, " t"]
    both: Int[np.ndarray, " t"]

    @classmethod
    def of(cls, pairs: Pairs) -> "Tail":
        """Give each pair the number of its two people."""
        one, other = pairs.tail_people.T
        low, high = np.minimum(one, other), np.maximum(one, other)
        _, both = np.unique(low * len(pairs.images) + high, return_inverse=True)
        return cls(pairs, pairs.row_weights[one] * pairs.column_weights[other], both)

    def shrinkage(self, depth: int) -> float:
        """Give c for the share of the first ``depth`` pairs among all, as products of weights."""
        masses = self.pairs.impostor_by_person.sum(axis=1)
        weights = self.weights[:depth]
        if depth == 0 or not masses.sum() > 0:
            return 1.0
        share = weights.sum() / (masses.sum() / 2)
        people = -share * masses
        for side in (0, 1):
            people += np.bincount(self.pairs.tail_people[:depth, side], weights, minlength=len(masses))
        each = np.bincount(self.both[:depth], weights)
        own = float(each @ each) * (1 - share)
        return float(shrinkage(np.array(float(people @ people)), np.array(own), products=True))


def stepped(c: float) -> float:
    """Round c to a step."""
    return round(c * STEPS) / STEPS
