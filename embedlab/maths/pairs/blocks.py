"""Error rates of groups of people at one threshold: blocks of the matrix of scores, and what sums them up.

References
----------
.. [1] Howard, J. J. et al. Evaluating proposed fairness models for face recognition algorithms. 2022.
   arXiv:2203.05051.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.pairs import excess
from embedlab.maths.pairs.all_pairs import Pairs
from embedlab.maths.pairs.moments import Drawn, mean
from embedlab.progress import track

CHUNK = 100


@dataclass(frozen=True)
class Errors:
    """What goes wrong at one limit, by person and by two people.

    Attributes
    ----------
    accepted
        What the accepted impostor pairs of each two people weigh, sparse and symmetric: (people, people).
    images, masses
        Images of each person, and what they weigh on one side of impostor pairs, of shape (people,).
    genuine_people, rejected
        Of each genuine pair the person, and whether it is rejected, (g,).
    genuine_weights
        What one genuine pair of each person weighs, (people,).
    """

    accepted: Any
    images: Int[np.ndarray, " people"]
    masses: Float[np.ndarray, " people"]
    genuine_people: Int[np.ndarray, " g"]
    rejected: Float[np.ndarray, " g"]
    genuine_weights: Float[np.ndarray, " people"]

    @classmethod
    def of(cls, pairs: Pairs, limit: float) -> Self:
        """Collect the errors of pairs whose kept tail reaches down to the limit, within one probe."""
        from scipy.sparse import coo_array

        one, other = pairs.tail_people[pairs.tail_scores > limit].T
        weights = pairs.row_weights[one] * pairs.column_weights[other]
        size = len(pairs.images)
        half = coo_array((weights, (one, other)), (size, size)).tocsr()
        return cls(
            accepted=half + half.T,
            images=pairs.images,
            masses=pairs.images * pairs.row_weights,
            genuine_people=pairs.genuine_people,
            rejected=(pairs.genuine_scores <= limit).astype(np.float64),
            genuine_weights=pairs.genuine_weights,
        )

    def fmr(
        self, g: Int[np.ndarray, " m"], h: Int[np.ndarray, " k"], counts: Float[np.ndarray, "b people"]
    ) -> Drawn:
        """Give the FMR of people ``g`` against ``h``, who are the same or share nobody, with its replicates.

        Resamples are drawn towards one as ``excess`` says, since every pair has a share of its own.
        """
        block, same = self.accepted[g][:, h], g is h
        each = block.data / (2 if same else 1) ** 0.5
        whole = self._all(g, h, np.ones((1, len(self.masses))), same=same)[0] * (2 if same else 1)
        share = float(block.sum()) / whole
        others = self.masses[h].sum() - (self.masses[g] if same else 0)
        sides = [block.sum(axis=1) - share * self.masses[g] * others]
        sides += [] if same else [block.sum(axis=0) - share * self.masses[h] * self.masses[g].sum()]
        people = np.concatenate(sides)
        own = float(each @ each) * (1 - share)
        c = float(excess.shrinkage(np.array(float(people @ people)), np.array(own), products=True))
        drawn = np.empty(len(counts))
        for start in range(0, len(counts), CHUNK):
            some = excess.shrunk(counts[start : start + CHUNK].astype(np.float64), c)
            met = ((some[:, g] @ block) * some[:, h]).sum(axis=1) / (2 if same else 1)
            every = self._all(g, h, some, same=same)
            drawn[start : start + CHUNK] = np.divide(
                met, every, out=np.full(len(met), np.nan), where=every > 0
            )
        return Drawn(share, drawn)

    def _all(
        self, g: np.ndarray, h: np.ndarray, weights: np.ndarray, *, same: bool
    ) -> Float[np.ndarray, " b"]:
        """Sum what all impostor pairs of two groups weigh."""
        one, other = weights[:, g] @ self.masses[g], weights[:, h] @ self.masses[h]
        whole: np.ndarray = one * other
        return (whole - weights[:, g] ** 2 @ self.masses[g] ** 2) / 2 if same else whole

    def fnmr(self, g: Int[np.ndarray, " m"], counts: Float[np.ndarray, "b people"]) -> Drawn:
        """Give the FNMR of people ``g``, with its replicates."""
        mine = np.isin(self.genuine_people, g)
        return mean(self.rejected[mine], self.genuine_people[mine], counts, self.genuine_weights)

    def summed_up(
        self,
        members: Sequence[Int[np.ndarray, " m"]],
        rates: tuple[Sequence[Drawn], Sequence[Drawn]],
        shuffles: int,
        seed: int,
    ) -> tuple[list[Drawn], Float[np.ndarray, "4 shuffles"]]:
        """Sum up rates of groups of people, and those of the same people dealt into them anew.

        Parameters
        ----------
        members
            The people of each group.
        rates
            FMR within each group, and FNMR of each, as ``fmr`` and ``fnmr`` give them.
        shuffles, seed
            How often people are dealt anew, and the seed of it.

        Returns
        -------
        What ``summaries`` gives, and the same by chance.
        """
        halves = np.array([self._halves(g) for g in members]).T
        fmr, fnmr = (np.array([one.value for one in each]) for each in rates)
        drawn_fmr, drawn_fnmr = (np.stack([one.replicates for one in each], axis=1) for each in rates)
        value, drawn = summaries(fmr, fnmr, halves), summaries(drawn_fmr, drawn_fnmr, halves)
        everybody, k = np.concatenate(members), len(members)
        dealt = np.repeat(np.arange(k), [len(g) for g in members])
        rng = np.random.default_rng([seed, 18])
        chance = np.empty((4, shuffles))
        for s in track(range(shuffles), "dealing people anew into groups"):
            labels = np.full(len(self.images), k)
            labels[everybody] = rng.permutation(dealt)
            chance[:, s] = summaries(*self._of_groups(labels, k), halves)
        return [Drawn(float(v), d) for v, d in zip(value, drawn, strict=True)], chance

    def _of_groups(self, labels: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
        """Give FMR within groups and FNMR; ``labels`` is the group of each person, or ``groups`` for none."""
        ones = (labels[:, None] == np.arange(groups)).astype(np.float64)
        met = (ones * (self.accepted @ ones)).sum(axis=0)
        missed, paired = self._genuine_masses
        every = paired @ ones
        fnmr = np.divide(missed @ ones, every, out=np.full(groups, np.nan), where=every > 0)
        return met / ((self.masses @ ones) ** 2 - self.masses**2 @ ones), fnmr

    @cached_property
    def _genuine_masses(self) -> Float[np.ndarray, "2 people"]:
        """What the rejected genuine pairs of each person weigh, and what all of them do."""
        each = (self.rejected, np.ones(len(self.rejected)))
        masses = [np.bincount(self.genuine_people, of, minlength=len(self.images)) for of in each]
        found: np.ndarray = np.stack(masses) * self.genuine_weights
        return found

    def _halves(self, g: Int[np.ndarray, " m"]) -> tuple[float, float]:
        """Give what half a false match, and half a miss, among the pairs of a group would be."""
        has = self.images[g].astype(np.float64)
        return float(1 / (has.sum() ** 2 - (has**2).sum())), 0.5 / float((has * (has - 1) / 2).sum())


def summaries(
    fmr: Float[np.ndarray, "*b k"],
    fnmr: Float[np.ndarray, "*b k"],
    halves: Float[np.ndarray, "2 k"],
) -> Float[np.ndarray, "4 ..."]:
    """Sum up how far rates of groups differ.

    Parameters
    ----------
    fmr, fnmr
        Rates of groups, along the last axis.
    halves
        What half an error would be: no rate counts as less in ratios.

    Returns
    -------
    The largest FMR over the geometric mean, the same of FNMR, inequity, and GARBE [1]_, both errors alike.
    """
    floored = [np.maximum(rates, least) for rates, least in zip((fmr, fnmr), halves, strict=True)]
    largest = [rates.max(axis=-1) / np.exp(np.log(rates).mean(axis=-1)) for rates in floored]
    a, b = (rates.max(axis=-1) / rates.min(axis=-1) for rates in floored)
    return np.stack([*largest, np.sqrt(a * b), (gini(fmr) + gini(fnmr)) / 2])


def gini(rates: Float[np.ndarray, "*b k"]) -> Float[np.ndarray, "*b"]:
    """Give the Gini coefficient as GARBE has it: 0 where all are alike, 1 where one has everything."""
    n = rates.shape[-1]
    gaps = np.abs(rates[..., :, None] - rates[..., None, :]).sum(axis=(-1, -2))
    whole = 2 * n * (n - 1) * rates.mean(axis=-1)
    found: np.ndarray = np.divide(gaps, whole, out=np.zeros_like(gaps), where=whole != 0)
    return found
