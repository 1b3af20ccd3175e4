"""Do 95 % intervals hold the truth in 95 % of samples? How wide are they? ``python -m benchmarks.coverage``.

People are drawn again and again from one population; the truth of a figure is its mean over all samples, and
the width that is right is 3.92 of its standard deviations over them. Worlds: people with equal numbers of
images; with numbers like those of Labeled Faces in the Wild; with heavy tails; with 2 % of the images under a
wrong name; one person of 60 images beside others of three. Tables of it stand in docstrings; a test holds a
shorter run.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from embedlab.maths.pairs import moments, roc
from embedlab.maths.pairs.all_pairs import Pairs, Weigh, all_pairs
from embedlab.maths.people import bootstrap, evidence
from embedlab.maths.people.effective import effective_number

FARS = np.array([1e-1, 1e-2, 1e-3])
TRANSFERRED = 1e-2
FIXED = 0.55
NAMES = (
    "mean genuine", "mean impostor", "d′", "overlap", "AUC", "EER", "TAR@1e-1", "TAR@1e-2", "TAR@1e-3",
    "FAR at a fixed threshold", "FAR of a threshold from others",
)  # fmt: skip
PEOPLE, SETS, RESAMPLES, DIMENSION = 150, 400, 400, 16
Drawn = tuple[np.ndarray, np.ndarray]


def equal(_: np.random.Generator, people: int) -> np.ndarray:
    return np.full(people, 4)


def like_lfw(rng: np.random.Generator, people: int) -> np.ndarray:
    """Most people have one or two images, some have very many."""
    return np.minimum(np.floor(rng.pareto(1.1, size=people) + 1).astype(int) + 1, 60)


def one_rules(_: np.random.Generator, people: int) -> np.ndarray:
    return np.r_[60, np.full(people - 1, 3)]


def gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.normal(size=shape)


def heavy(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_t(3, size=shape) / np.sqrt(3)


@dataclass(frozen=True)
class World:
    """How many images people have, how images differ from their person, and how many names are wrong."""

    images: Callable[[np.random.Generator, int], np.ndarray] = equal
    noise: Callable[[np.random.Generator, tuple[int, int]], np.ndarray] = gaussian
    wrong: float = 0.0
    scale: float = 0.8

    def drawn(self, seed: int, people: int = PEOPLE) -> Drawn:
        """Draw people with their images: unit rows, and labels."""
        rng = np.random.default_rng([7, seed])
        labels = np.repeat(np.arange(people), self.images(rng, people))
        # Some people's images differ more than others'.
        spread = self.scale * np.exp(rng.normal(0, 0.25, size=people))[labels, None]
        own = rng.normal(size=(people, DIMENSION))[labels]
        rows = own + spread * self.noise(rng, (len(labels), DIMENSION))
        other = rng.random(len(labels)) < self.wrong
        names = np.where(other, rng.integers(people, size=len(labels)), labels)
        _, names = np.unique(names, return_inverse=True)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), names


WORLDS = {
    "equal": World(),
    "like LFW": World(like_lfw),
    "heavy tails": World(noise=heavy),
    "2 % wrong labels": World(wrong=0.02),
    "one person rules": World(one_rules),
    "AUC of .999": World(scale=0.42),
}


def statistics(drawn: Drawn, weigh: Weigh, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Each statistic of the set itself, and of each resample; and how many people pairs rest on."""
    vectors, labels = drawn
    pairs = all_pairs(vectors, labels, weigh=weigh)
    people = len(pairs.images)
    counts = bootstrap.resamples(people, resamples, seed)
    rates = roc.rates(pairs, FARS, counts)
    spread = moments.Spread(pairs, counts)
    fixed = np.full(len(counts), FIXED)
    rows: list[tuple[float, np.ndarray]] = [
        (one.value, one.replicates)
        for one in (
            spread.intra(_score).mean, spread.inter(_score).mean, spread.d_prime(pairs.distance),
            spread.overlap(),
        )
    ]  # fmt: skip
    rows += [(rates.auc, rates.auc_replicates), (rates.eer, rates.eer_replicates)]
    rows += list(zip(rates.tar, rates.tar_replicates.T, strict=True))
    rows.append((roc.accepted_far(pairs, FIXED), roc.achieved_far(pairs, counts, fixed)))
    rows.append(_transferred(vectors, labels, weigh, counts))
    values, replicates = zip(*rows, strict=True)
    return np.array(values), np.column_stack(replicates), effective_number(pairs.genuine_masses)


def _score(scores: np.ndarray) -> np.ndarray:
    return scores


def _transferred(
    vectors: np.ndarray, labels: np.ndarray, weigh: Weigh, counts: np.ndarray
) -> tuple[float, np.ndarray]:
    """FAR that a threshold chosen on one half of the people gets on the other, both ways round."""
    halves: list[tuple[Pairs, np.ndarray]] = []
    for k in range(2):
        own = np.flatnonzero(labels % 2 == k)
        halves.append((all_pairs(vectors[own], labels[own] // 2, weigh=weigh), counts[:, k::2]))
    ways = [
        roc.transferred(halves[k][0], halves[1 - k][0], TRANSFERRED, halves[k][1], halves[1 - k][1])
        for k in range(2)
    ]
    return float(np.mean([way[2] for way in ways])), np.mean([way[3] for way in ways], axis=0)


@dataclass(frozen=True)
class Held:
    """How often intervals hold the truth, and their mean width where the right one is one."""

    share: np.ndarray
    width: np.ndarray


def held(
    world: World, weigh: Weigh, sets: int = SETS, resamples: int = RESAMPLES, people: int = PEOPLE
) -> Held:
    """Draw samples of a world, and compare their intervals with all of their values."""
    found = [statistics(world.drawn(seed, people), weigh, resamples, seed) for seed in range(sets)]
    values = np.stack([one[0] for one in found])
    truth, spread = values.mean(axis=0), values.std(axis=0)
    ends = np.array(
        [
            [
                evidence.expanded(value, column, round(n))
                for value, column in zip(values_of, drawn.T, strict=True)
            ]
            for values_of, drawn, n in found
        ],
        dtype=np.float64,
    )
    low, high = ends[..., 0], ends[..., 1]
    # A sample without an interval says nothing, and so cannot be wrong.
    there = np.isfinite(low)
    inside = np.where(there, (low <= truth) & (truth <= high), np.nan)
    return Held(np.nanmean(inside, axis=0), np.nanmean(high - low, axis=0) / (3.92 * spread))


def table(worlds: Iterable[str], sets: int, resamples: int) -> None:
    """Print a line a statistic and weighing, a column a world: held %, and width."""
    for weigh in ("people", "pairs"):
        found = {name: held(WORLDS[name], weigh, sets, resamples) for name in worlds}
        print(f"weigh={weigh}".ljust(34), *(name.rjust(16) for name in found))
        for k, name in enumerate(NAMES):
            cells = (f"{100 * one.share[k]:5.1f} w{one.width[k]:4.2f}".rjust(16) for one in found.values())
            print(name.ljust(34), *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--sets", type=int, default=SETS)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    asked = parser.parse_args()
    table(asked.worlds, asked.sets, asked.resamples)


if __name__ == "__main__":
    main()
