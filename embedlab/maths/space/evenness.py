"""Six measures of how evenly vectors lie on the sphere, and what uniform vectors give for each."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.people.bootstrap import LEVEL
from embedlab.maths.space import sphere
from embedlab.progress import track

MEASURES = (
    "mean resultant length",
    "mean resultant length of people's means",
    "uniformity",
    "effective rank",
    "two-NN dimension",
    "hubness",
)


@dataclass(frozen=True)
class Evenness:
    """The measures of one set; NaN for what cannot be told.

    Attributes
    ----------
    values
        In the order of ``MEASURES``.
    replicates
        The same for each resample.
    units
        How many people each rests on.
    found
        How many others of the sample have each of its vectors among their k nearest.
    """

    values: Float[np.ndarray, " measures"]
    replicates: Float[np.ndarray, "measures b"]
    units: tuple[int, ...]
    found: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Uniform:
    """The measures of uniform samples.

    Attributes
    ----------
    values
        A row a sample.
    found
        How many vectors of all samples were found by 0, 1, 2, … others.
    """

    values: Float[np.ndarray, "draws measures"]
    found: Int[np.ndarray, " times"]

    def span(self) -> tuple[Float[np.ndarray, " measures"], Float[np.ndarray, " measures"]]:
        """Give the range that a further uniform sample falls out of in at most 5 % of cases.

        It takes 39 samples at least: the range is then that from the least to the largest.
        """
        ordered = np.sort(self.values, axis=0)
        k = int((len(ordered) + 1) * (1 - LEVEL) / 2 + 1e-9)
        return ordered[k - 1], ordered[-k]


def measure(
    unit: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    counts: Float[np.ndarray, "b people"],
    sample: tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " m"], Float[np.ndarray, "b p"]],
    chosen: Int[np.ndarray, " c"],
    k: int,
) -> Evenness:
    """Measure unit vectors: resultants on all, what looks at pairs or neighbours on a sample of them.

    Parameters
    ----------
    unit, labels, counts
        All vectors, the person of each (0…people−1) and resamples of the people.
    sample
        The same three of the sample.
    chosen
        Rows of the sample that two-NN looks at.
    k
        Of hubness.
    """
    some, owners, drawn = sample
    sums, sizes = sphere.person_sums(unit, labels), np.bincount(labels)
    directions = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    ratios, kept = sphere.two_nn_ratios(some[chosen])
    alone = owners[chosen][kept]
    found = times_found(some, k)
    skews = sphere.skewness(found, owners, np.r_[np.ones((1, drawn.shape[1])), drawn])
    people = len(sizes), drawn.shape[1]
    measured = (
        sphere.mean_resultant_length(sums, sizes, counts),
        sphere.mean_resultant_length(directions, np.ones_like(sizes), counts),
        (sphere.uniformity(some), sphere.resampled_uniformity(some, owners, drawn)),
        (sphere.effective_rank(some), sphere.resampled_effective_rank(some, owners, drawn)),
        (sphere.two_nn_dimension(ratios)[0], sphere.two_nn_dimension(ratios, drawn[:, alone])),
        (skews[0], skews[1:]),
    )
    return Evenness(
        values=np.array([value for value, _ in measured], dtype=np.float64),
        replicates=np.stack([replicates for _, replicates in measured]),
        units=(people[0], people[0], people[1], people[1], len(np.unique(alone)), people[1]),
        found=found,
    )


def uniform(
    n: int, people: int, sampled: int, chosen: int, d: int, *, k: int, draws: int, seed: int
) -> Uniform:
    """Measure uniform samples of the same sizes by the same code.

    Parameters
    ----------
    n, people, sampled, chosen, d
        How many vectors, people, vectors of the sample, rows for two-NN and dimensions.
    k
        Of hubness.
    draws, seed
        How many samples, and the seed of them.
    """
    rng = np.random.default_rng([seed, 3])
    rows = []
    total = np.zeros(sampled, np.int64)
    for _ in track(range(draws), "uniform samples"):
        unit = sphere.uniform(sampled, d, rng)
        found = times_found(unit, k)
        total += np.bincount(found, minlength=sampled)
        rows.append(
            (
                sphere.uniform_resultant(n, d, rng),
                sphere.uniform_resultant(people, d, rng),
                sphere.uniformity(unit),
                sphere.effective_rank(unit),
                sphere.two_nn_dimension(sphere.two_nn_ratios(unit[:chosen])[0])[0],
                sphere.skewness(found, np.zeros(sampled, np.int64), np.ones((1, 1)))[0],
            )
        )
    return Uniform(np.array(rows), np.trim_zeros(total, "b"))


def times_found(unit: Float[np.ndarray, "n d"], k: int) -> Int[np.ndarray, " n"]:
    """Count k-occurrences, with k as ``k_for`` cuts it; all zero where it leaves none."""
    k = k_for(len(unit), k)
    return sphere.k_occurrence(unit, k) if k else np.zeros(len(unit), np.int64)


def k_for(n: int, k: int) -> int:
    """Cut k to at most half of the others: who is near to all is no hub."""
    return min(k, (n - 1) // 2)
