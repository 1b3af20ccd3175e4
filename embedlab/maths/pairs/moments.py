"""Means, variances, quantiles and overlap of counted pairs: of the set, and of each resample.

Genuine scores are few and are weighed one by one. Of impostor pairs the set's own figures come from the
fine histogram, and how they move from resample to resample from the coarse histograms a person.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Float

from embedlab.maths.pairs import excess
from embedlab.maths.pairs.all_pairs import Pairs
from embedlab.maths.people.bootstrap import impostor_histograms, shares, weighted_mean

Scale = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Drawn:
    """A statistic.

    Attributes
    ----------
    value
        Of the set itself.
    replicates
        Of each resample, of shape (b,); NaN where a resample has none.
    """

    value: float
    replicates: Float[np.ndarray, " b"]

    @classmethod
    def of(cls, rows: Float[np.ndarray, " b+1"]) -> Self:
        """Take the first number as that of the set, and the others as those of its resamples."""
        return cls(float(rows[0]), rows[1:])

    def __sub__(self, other: "Drawn") -> "Drawn":
        """Give the difference, resample by resample."""
        return Drawn(self.value - other.value, self.replicates - other.replicates)


def chord(scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Turn cosines into Euclidean distances of unit vectors."""
    return np.sqrt(2.0 * np.maximum(1.0 - scores, 0.0))


@dataclass(frozen=True)
class Moments:
    """Mean and variance of distances."""

    mean: Drawn
    variance: Drawn


def mean(
    values: Float[np.ndarray, " n"],
    owners: np.ndarray,
    counts: Float[np.ndarray, "b people"],
    weights: Float[np.ndarray, " people"] | None = None,
) -> Drawn:
    """Give the mean of values that belong to people; ``weights`` is what a value of each person weighs."""
    values = values.astype(np.float64)
    if weights is None:
        return Drawn(float(values.mean()), weighted_mean(values, owners, counts))
    value = float(np.average(values, weights=weights[owners])) if len(values) else float("nan")
    return Drawn(value, weighted_mean(values, owners, counts * weights))


@dataclass(frozen=True)
class Spread:
    """The two distributions of counted pairs, intra and inter, under resamples.

    Methods that take a ``scale``, which turns scores into distances, speak of distances.

    Attributes
    ----------
    pairs
        The counted pairs.
    counts
        Resamples as ``bootstrap.resamples`` gives them, of shape (b, people).
    """

    pairs: Pairs
    counts: Float[np.ndarray, "b people"]

    @cached_property
    def _intra(self) -> np.ndarray:
        return (self.counts @ self.pairs.genuine_by_person.astype(np.float32)).astype(np.float64)

    @cached_property
    def _inter(self) -> np.ndarray:
        c = excess.of_function(self.pairs, self.pairs.centres(self.pairs.impostor_by_person.shape[1]))
        counts = excess.shrunk(self.counts, c)
        return impostor_histograms(self.pairs.impostor_by_person, counts).astype(np.float64)

    @cached_property
    def _whole(self) -> tuple[np.ndarray, np.ndarray]:
        """The set's own coarse histograms, intra and inter, of shape (1, coarse)."""
        genuine, impostor = self.pairs.genuine_by_person, self.pairs.impostor_by_person
        return genuine.sum(axis=0)[None], impostor.sum(axis=0)[None] / 2

    def intra(self, scale: Scale) -> Moments:
        """Give mean and variance of the distances between two images of one person."""
        distances = scale(self.pairs.genuine_scores.astype(np.float64))
        owners, weights = self.pairs.genuine_people, self.pairs.genuine_weights
        first = mean(distances, owners, self.counts, weights)
        # About the mean: squares of numbers that are all large would lose their differences.
        second = mean((distances - first.value) ** 2, owners, self.counts, weights)
        moved = second.replicates - (first.replicates - first.value) ** 2
        return Moments(first, Drawn(second.value, np.maximum(moved, 0)))

    def inter(self, scale: Scale) -> Moments:
        """Give mean and variance of the distances between images of two people, exact to a bin."""
        value = self._moments(self.pairs.impostor_mass[None], scale)
        coarse = self._moments(self._whole[1], scale)
        drawn = self._moments(self._inter, scale)
        first, second = (Drawn(float(v[0]), d - c + v) for v, d, c in zip(value, drawn, coarse, strict=True))
        return Moments(first, Drawn(second.value, np.maximum(second.replicates, 0)))

    def d_prime(self, scale: Scale) -> Drawn:
        """Give d′: the gap of the means in units of the pooled deviation; NaN where nothing varies."""
        intra, inter = self.intra(scale), self.inter(scale)
        gap = inter.mean - intra.mean
        value = _in_units(
            np.array([gap.value]), np.array([(inter.variance.value + intra.variance.value) / 2])
        )
        drawn = _in_units(gap.replicates, (inter.variance.replicates + intra.variance.replicates) / 2)
        return Drawn(float(value[0]), drawn)

    def overlap(self) -> Drawn:
        """Give the area that both distributions cover, as one minus the largest gap of what lies below.

        That is the area where the curves cross once, as two humps do; where they cross more often the area
        is smaller. No bins have to be chosen, and few pairs leave none of them empty. A largest gap is
        larger in resamples, so they are brought back to the set's own [1]_.

        References
        ----------
        .. [1] Bertail, P., Clémençon, S. and Vayatis, N. On bootstrapping the ROC curve. NeurIPS, 2008.
        """
        value = float(_common(self.pairs.genuine[None], self.pairs.impostor_mass[None])[0])
        drawn = _common(self._intra, self._inter)
        known = np.isfinite(drawn)
        centre = float(drawn[known].mean()) if known.any() else value
        return Drawn(value, np.clip(drawn - centre + value, 0.0, 1.0))

    def quantiles(self, levels: Sequence[float]) -> tuple[list[Drawn], list[Drawn]]:
        """Give quantiles of the genuine and of the impostor scores.

        The set's own are exact, or exact to a fine bin; a resample's differ from them by what its
        coarse histogram says, read between the edges.
        """
        own = _of_weighted(
            self.pairs.genuine_scores, self.pairs.genuine_weights[self.pairs.genuine_people], levels
        )
        fine = self._quantiles(self.pairs.impostor_mass[None], levels)[0]
        return (
            self._moved(own, self._intra, self._whole[0], levels),
            self._moved(fine, self._inter, self._whole[1], levels),
        )

    def _moments(self, histograms: np.ndarray, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
        places = scale(self.pairs.centres(histograms.shape[1]))
        share = shares(histograms)
        first = share @ places
        # About the set's own mean: squares of numbers that are all large would lose their differences.
        middle = float(np.nanmean(first)) if np.isfinite(first).any() else 0.0
        return first, share @ (places - middle) ** 2 - (first - middle) ** 2

    def _moved(
        self, value: np.ndarray, drawn: np.ndarray, whole: np.ndarray, levels: Sequence[float]
    ) -> list[Drawn]:
        replicates = self._quantiles(drawn, levels) - self._quantiles(whole, levels) + value
        return [Drawn(float(value[k]), replicates[:, k]) for k in range(len(levels))]

    def _quantiles(self, histograms: np.ndarray, levels: Sequence[float]) -> Float[np.ndarray, "b levels"]:
        """Read quantiles of histograms between their edges; NaN where one is empty."""
        places = self.pairs.grid.edges(histograms.shape[1])
        below = np.pad(np.cumsum(shares(histograms), axis=1), ((0, 0), (1, 0)))
        found = np.full((len(histograms), len(levels)), np.nan)
        for row in np.flatnonzero(np.isfinite(below[:, -1])):
            found[row] = np.interp(levels, below[row], places)
        return found


def _in_units(gap: np.ndarray, variance: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.divide(
        gap, np.sqrt(np.maximum(variance, 0)), out=np.full(len(gap), np.nan), where=variance > 1e-12 * gap**2
    )
    return found


def _common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    gaps = np.cumsum(shares(a), axis=1) - np.cumsum(shares(b), axis=1)
    found: np.ndarray = 1.0 - np.abs(gaps).max(axis=1)
    # Sums of many shares round.
    return np.where(found < 1e-9, 0.0, found)


def _of_weighted(values: np.ndarray, weights: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    if np.ptp(weights) == 0:
        return np.quantile(values.astype(np.float64), levels)
    found: np.ndarray = np.quantile(values.astype(np.float64), levels, weights=weights, method="inverted_cdf")
    return found
