"""Four measures of how evenly vectors lie on the sphere, and what uniform vectors give for each."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.maths.people.bootstrap import LEVEL
from embedlab.maths.people.evidence import LEAST_FOR_CLAIM
from embedlab.maths.people.permutation import further_p_value, p_value
from embedlab.maths.space import sphere, subsampling
from embedlab.maths.sums import by_person
from embedlab.progress import track

MEASURES = (
    "mean resultant length of people's means",
    "uniformity",
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


def measure(
    unit: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    counts: Float[np.ndarray, "b people"],
    sample: tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " m"], Float[np.ndarray, "b p"]],
    chosen: Int[np.ndarray, " c"],
    *,
    k: int,
    seed: int,
) -> Evenness:
    """Measure unit vectors: people's means over all, what looks at pairs or neighbours on a sample of them.

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
    seed
        Seed of the thirds of people among which neighbours are found anew.
    """
    some, owners, drawn = sample
    sums = by_person(unit, labels)
    directions = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    thirds = subsampling.thirds(drawn.shape[1], len(drawn), seed)[:, owners]
    dimension, dimensions, rows = sphere.two_nn(some[chosen], thirds[:, chosen])
    skew, skews, found = sphere.hubness(some, k, thirds, owners)
    measured = (
        sphere.mean_resultant_length(directions, np.ones(len(sums), np.int64), counts),
        (sphere.uniformity(some), sphere.resampled_uniformity(some, owners, drawn)),
        (dimension, dimensions),
        (skew, skews),
    )
    alone = len(np.unique(owners[chosen[rows]]))
    return Evenness(
        values=np.array([value for value, _ in measured], dtype=np.float64),
        replicates=np.stack([replicates for _, replicates in measured]),
        units=(len(sums), drawn.shape[1], alone, drawn.shape[1]),
        found=found,
    )


def uniform(
    people: int, sampled: int, chosen: int, d: int, *, k: int, draws: int, seed: int
) -> Float[np.ndarray, "draws measures+1"]:
    """Measure uniform samples of the same sizes by the same code, a row a sample; last comes the largest hub.

    Parameters
    ----------
    people, sampled, chosen, d
        How many people, vectors of the sample, rows for two-NN and dimensions.
    k
        Of hubness.
    draws, seed
        How many samples, and the seed of them.
    """
    rng = np.random.default_rng([seed, 3])
    rows = []
    for _ in track(range(draws), "uniform samples"):
        unit = sphere.uniform(sampled, d, rng)
        skew, _, found = sphere.hubness(unit, k, np.empty((0, sampled), bool))
        dimension = sphere.two_nn(unit[:chosen], np.empty((0, chosen), bool))[0]
        resultant, even = sphere.uniform_resultant(people, d, rng), sphere.uniformity(unit)
        rows.append((resultant, even, dimension, skew, largest_hub(found)))
    return np.array(rows)


def largest_hub(found: Int[np.ndarray, " n"]) -> float:
    """Give the share of the others that have the most popular vector among their k nearest."""
    return float(found.max()) / max(len(found) - 1, 1)


def unlike_uniform(even: Evenness, uniform: Float[np.ndarray, "draws measures+1"]) -> Float[np.ndarray, " 3"]:
    """Test a set against uniform samples: uniformity either way, resultant length and largest hub upwards.

    Returns
    -------
    Their p values: counted, and beyond all samples Student's of one further, where that is smaller. So
    that of uniformity is at most 5 % outside of ``span``, and nowhere else. NaN where too few people stand
    behind any claim.
    """
    if even.units[0] < LEAST_FOR_CLAIM:
        return np.full(3, np.nan)

    def above(value: float, null: np.ndarray) -> float:
        return min(p_value(value, null), further_p_value(value, null))

    resultant, spread = even.values[:2]
    either = 2 * min(above(spread, uniform[:, 1]), above(-spread, -uniform[:, 1]))
    hub = above(largest_hub(even.found), uniform[:, -1])
    return np.array([min(either, 1.0), above(resultant, uniform[:, 0]), hub])


def span(values: Float[np.ndarray, "draws measures"]) -> Float[np.ndarray, "2 measures"]:
    """Give the range that a further uniform sample falls out of in at most 5 % of cases.

    It takes 39 samples at least: the range is then that from the least to the largest.
    """
    ordered = np.sort(values, axis=0)
    k = int((len(ordered) + 1) * (1 - LEVEL) / 2 + 1e-9)
    return ordered[[k - 1, -k]]


def some_by_name(items: Shaped[np.ndarray, " n"], most: int, seed: int) -> Int[np.ndarray, " m"]:
    """Draw rows by name: probes and models of the same images get the same ones, in the same order."""
    order = np.argsort(items)
    if len(order) <= most:
        return order
    rng = np.random.default_rng([seed, 1])
    return order[np.sort(rng.choice(len(order), most, replace=False))]


def one_each(labels: Int[np.ndarray, " n"], seed: int) -> Int[np.ndarray, " people"]:
    """Draw a row of each person."""
    shuffled = np.random.default_rng([seed, 2]).permutation(len(labels))
    _, first = np.unique(labels[shuffled], return_index=True)
    return np.sort(shuffled[first])
