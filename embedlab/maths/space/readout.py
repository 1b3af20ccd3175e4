"""A linear classifier of two versions of the same points, judged on people it was not fitted on.

Fisher's discriminant [1]_ with a small ridge: the cut runs along (T + λI)⁻¹·(mean difference), through the
middle of both versions, with T the covariance of both together. T does not change where versions change
places, so all permutations share one decomposition, and a fit on some people is a sum over groups of
people. Every person counts once, however many points it has.

References
----------
.. [1] Hastie, T., Tibshirani, R. and Friedman, J. The Elements of Statistical Learning. Springer, 2nd ed.
   2009.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear.span import within_span
from embedlab.maths.sums import by_person
from embedlab.progress import track

RIDGE = 1e-3
"""λ as a share of the mean variance."""
GROUPS = 4
"""Groups of people a fold, from which fits on fewer people, and on resampled ones, are put together."""
BLOCK = 4096


@dataclass(frozen=True)
class Readout:
    """What a straight cut tells of people that it was not fitted on.

    Attributes
    ----------
    odds
        The log odds that each point, under its first and its second version, is a second one, if both
        versions were normal with one covariance.
    right
        Each person's share of versions named rightly.
    by_chance
        The mean of it where versions change places, fitted anew for each labelling.
    refitted
        The mean of it over all people by cuts that were fitted on resampled people.
    fewer
        The mean of it by cuts that were fitted on a quarter of the people, on half of them, and on all.
    """

    odds: Float[np.ndarray, "2 n"]
    right: Float[np.ndarray, " people"]
    by_chance: Float[np.ndarray, " b"]
    refitted: Float[np.ndarray, " r"]
    fewer: Float[np.ndarray, " 3"]


@dataclass(frozen=True)
class _Sums:
    """Weights, sums of both versions, and their products, of each group of people."""

    weight: Float[np.ndarray, " groups"]
    sums: Float[np.ndarray, "groups 2 d"]
    products: Float[np.ndarray, "groups d d"]
    dimension: int

    @classmethod
    def of(cls, versions: np.ndarray, weights: np.ndarray, group: np.ndarray, dimension: int) -> "_Sums":
        groups, d = int(group.max()) + 1, versions.shape[2]
        sums, products = np.zeros((groups, 2, d)), np.zeros((groups, d, d))
        for g in track(range(groups), "summing up groups of people"):
            mine = group == g
            heavy = np.sqrt(weights[mine])[:, None]
            for k in range(2):
                rows = versions[k, mine] * heavy
                sums[g, k] = (rows * heavy).sum(axis=0)
                products[g] += rows.T @ rows
        return cls(np.bincount(group, weights, minlength=groups), sums, products, dimension)

    def fit(self, counts: np.ndarray) -> "_Cut":
        """Fit on groups, each as often as ``counts`` says."""
        weight = float(counts @ self.weight)
        sums = np.tensordot(counts, self.sums, 1)
        centre = sums.sum(axis=0) / (2 * weight)
        spread = np.tensordot(counts, self.products, 1) / (2 * weight) - np.outer(centre, centre)
        spread[np.diag_indices_from(spread)] += RIDGE * np.trace(spread) / self.dimension or 1.0
        return _Cut(centre, spread, (sums[1] - sums[0]) / weight)


@dataclass(frozen=True)
class _Cut:
    centre: Float[np.ndarray, " d"]
    spread: Float[np.ndarray, "d d"]
    gap: Float[np.ndarray, " d"]

    def along(self, gaps: np.ndarray) -> Float[np.ndarray, "k d"]:
        """Give the direction of the cut for each mean difference."""
        from scipy.linalg import solve

        found: np.ndarray = solve(self.spread, gaps.T, assume_a="pos", check_finite=False).T
        return found


def held_out(
    versions: Float[np.ndarray, "2 n d"],
    owners: Int[np.ndarray, " n"],
    fold: Int[np.ndarray, " people"],
    signs: Float[np.ndarray, "b people"],
    *,
    refits: int = 0,
    seed: int = 0,
) -> Readout:
    """Judge each fold's people by a cut that was fitted on all others.

    Parameters
    ----------
    versions
        Both versions of each point.
    owners
        The person of each point, 0…people−1.
    fold
        The fold of each person, 0…k−1.
    signs
        A labelling a row: −1 where the versions of that person's points change places, else 1.
    refits
        How many cuts are fitted on resampled people.
    seed
        Seed of the groups of people and of those resamples.
    """
    dimension = versions.shape[2]
    versions = np.stack(within_span(*versions)).astype(np.float64)
    versions -= versions.mean(axis=(0, 1))
    rng, people, folds = np.random.default_rng([seed, 13]), len(fold), int(fold.max()) + 1
    weights = 1.0 / np.bincount(owners)[owners]
    group = _groups(fold, rng)
    sums = _Sums.of(versions, weights, group[owners], dimension)
    gaps = by_person((versions[1] - versions[0]) * weights[:, None], owners, people)
    odds, right = np.empty(versions.shape[:2]), np.empty(len(owners))
    found = np.zeros(3 + refits + len(signs))
    labels = np.concatenate([np.ones((3 + refits, people)), signs])
    for k in track(range(folds), "fitting and judging classifiers", folds):
        counts = _counts(sums.weight, k, refits, rng)
        cuts = [sums.fit(row) for row in counts]
        whole = cuts[0]
        others = fold != k
        own = [cut.along(cut.gap[None])[0] for cut in cuts]
        permuted = whole.along(signs[:, others] @ gaps[others] / np.count_nonzero(others))
        along = np.concatenate([own, permuted])
        middle = np.concatenate([np.stack([c.centre for c in cuts]), np.tile(whole.centre, (len(signs), 1))])
        offset = np.einsum("kd,kd->k", along, middle)
        # The covariance within versions is that of both less what lies between them.
        scale = 1.0 / max(1.0 - own[0] @ whole.gap / 4, 1e-12)
        out = np.flatnonzero(fold[owners] == k)
        for start in range(0, len(out), BLOCK):
            some = out[start : start + BLOCK]
            first, second = (version[some] @ along.T - offset for version in versions)
            sign = labels[:, owners[some]].T
            # Of two equal versions one is named rightly, whichever it is.
            named = ((first * sign <= 0).astype(float) + (second * sign > 0)) / 2
            found += weights[some] @ named
            right[some], odds[:, some] = named[:, 0], np.stack([first[:, 0], second[:, 0]]) * scale
    found /= people
    return Readout(
        odds=odds,
        right=np.bincount(owners, weights * right, minlength=people),
        by_chance=found[3 + refits :],
        refitted=found[3 : 3 + refits],
        fewer=found[[2, 1, 0]],
    )


def _groups(fold: np.ndarray, rng: np.random.Generator) -> Int[np.ndarray, " people"]:
    """Deal the people of each fold into groups."""
    group = np.empty(len(fold), np.int64)
    for k in range(int(fold.max()) + 1):
        mine = np.flatnonzero(fold == k)
        group[mine] = GROUPS * k + rng.permutation(np.arange(len(mine)) % GROUPS)
    return group


def _counts(weight: np.ndarray, k: int, refits: int, rng: np.random.Generator) -> np.ndarray:
    """Say how often each group is fitted on where fold ``k`` is left out: all, half, a quarter, resampled."""
    g = np.arange(len(weight))
    fits = (g // GROUPS != k) & (weight > 0)
    parts = [fits & (g % GROUPS < size) for size in (GROUPS, GROUPS // 2, GROUPS // 4)]
    there = np.count_nonzero(fits)
    drawn = np.zeros((refits, len(weight)))
    drawn[:, fits] = rng.multinomial(there, np.full(there, 1 / there), size=refits)
    return np.concatenate([np.stack([part if part.any() else fits for part in parts]), drawn]).astype(float)
