"""Do intervals of how many known people a migration needs hold the truth? ``python -m benchmarks.known``.

People are drawn again and again from one population, and their gallery is moved as the analysis of migration
does it. The truth of an adapter is the number at which the mean of its curves over all samples is enough: of
other people, and of other known ones. Worlds: the new space is the old one turned, or a linear map that a
rotation cannot follow; with noise on each image in either. Minutes.
"""

import argparse
from collections.abc import Callable

import numpy as np

from embedlab.analyses.migration import MigrationParams
from embedlab.estimates import Estimate, People
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.clouds import migration
from embedlab.maths.clouds.migration import ADAPTERS, RIDGE, Attempts, Moving, knee
from embedlab.maths.linear.crossmodel import trial
from embedlab.maths.linear.map_inputs import MapInputs

PEOPLE, IMAGES, DIMENSION = 160, 4, 24
OWN = 0.35


def turned(rng: np.random.Generator) -> np.ndarray:
    """Draw a rotation."""
    found: np.ndarray = np.linalg.qr(rng.normal(size=(DIMENSION, DIMENSION)))[0]
    return found


def stretched(rng: np.random.Generator) -> np.ndarray:
    """Draw a linear map whose directions are stretched by up to three times."""
    return turned(rng) * np.geomspace(1, 3, DIMENSION) @ turned(rng)


WORLDS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], float]] = {
    "turned": (turned, 0.25),
    "turned, noisy": (turned, 0.75),
    "stretched": (stretched, 0.25),
}


def sets(name: str, seed: int, people: int) -> list[EmbeddingSet]:
    """Draw people, the same map for all, and noise on each image in either space."""
    draw, noise = WORLDS[name]
    matrix, rng = draw(np.random.default_rng(17)), np.random.default_rng([18, seed])
    labels = np.arange(people).repeat(IMAGES)
    rows = rng.normal(size=(people, DIMENSION))[labels] + OWN * rng.normal(size=(len(labels), DIMENSION))
    spaces = [rows + noise * rng.normal(size=rows.shape), rows @ matrix]
    spaces[1] = spaces[1] + noise * spaces[1].std() * rng.normal(size=rows.shape)
    items, who = [f"i{k:05d}" for k in range(len(rows))], [f"person{k:04d}" for k in labels]
    return [EmbeddingSet.from_rows(m, "p", one, items, who) for m, one in zip("ab", spaces, strict=True)]


def measured(
    pair: list[EmbeddingSet], params: MigrationParams
) -> tuple[dict[int, Attempts], dict[str, Estimate]]:
    """Move a gallery from rising numbers of known people, and estimate how many are needed."""
    there = MapInputs.of(*pair, params)
    who = trial(there.owners, params.probes, params.seed)
    people = People.of(range(len(who.gallery)), params)
    tried = migration.along(Moving(there, who, people.counts, 0.0, params.seed), params.draws)
    needed = migration.knees(tried, params.matters, params.seed)
    return tried, {name: people.estimate(drawn, who.searched) for name, drawn in needed.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=120)
    parser.add_argument("--people", type=int, default=PEOPLE)
    args = parser.parse_args()
    for name in WORLDS:
        found: dict[str, list[Estimate]] = {adapter: [] for adapter in ADAPTERS}
        curves = {adapter: [] for adapter in ADAPTERS}
        for seed in range(args.samples):
            params = MigrationParams(resamples=300, seed=seed)
            tried, needed = measured(sets(name, seed, args.people), params)
            for adapter in ADAPTERS:
                found[adapter] += [needed[adapter]] if adapter in needed else []
                curves[adapter].append([one.rank_1[adapter][:, 0].mean() for one in tried.values()])
        means = {adapter: np.mean(each, axis=0) for adapter, each in curves.items()}
        enough = means[RIDGE][-1] - params.matters
        for adapter, each in found.items():
            truth = knee(list(tried), means[adapter][:, None], np.array([enough]))[0]
            ends = np.array([(one.value, one.low, one.high) for one in each], np.float64).reshape(-1, 3)
            held = (ends[:, 1] <= truth) & (truth <= ends[:, 2])
            values = np.log(ends[:, 0])
            width, right = np.log(ends[:, 2] / np.maximum(ends[:, 1], 1)).mean(), 3.92 * values.std()
            print(
                f"{name:14s} {adapter:14s} truth {truth:6.1f}; median {np.exp(np.median(values)):6.1f}; "
                f"held in {held.mean():.0%} of {len(each)}; missed below {(ends[:, 2] < truth).mean():.0%}, "
                f"above {(ends[:, 1] > truth).mean():.0%}; logarithms {width:.2f} wide, right {right:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
