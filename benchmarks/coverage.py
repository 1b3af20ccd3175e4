"""Do 95 % intervals hold the truth in 95 % of samples? How wide are they? ``python -m benchmarks.coverage``.

People are drawn again and again from one population; the truth of a figure is its mean over all samples, and
the width that is right is 3.92 of its standard deviations over them. Both are taken from twice as many
samples as have intervals. Worlds: people with equal numbers of images; with numbers like those of Labeled
Faces in the Wild; with heavy tails; with 2 % of the images under a wrong name; one person of 60 images beside
others of three; faces told apart so well that few people make all the errors.

Each world has its own seeds. How intervals are made was chosen on stream 1; tables in docstrings are of
stream 2, that nothing was chosen on. ``--peer`` holds the widths beside those of cimat [1]_, if that is
installed.

References
----------
.. [1] Fogliato, R., Patil, P. and Perona, P. Confidence intervals for error rates in 1:1 matching tasks:
   critical statistical analysis and recommendations. arXiv 2306.01198, 2023; PyPI ``cimat``.
"""

import argparse
import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from embedlab.estimates import People
from embedlab.maths.pairs import moments, roc
from embedlab.maths.pairs.all_pairs import Weigh, all_pairs
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people import bootstrap
from embedlab.maths.people.effective import effective_number

FARS = np.array([1e-1, 1e-2, 1e-3, 1e-4])
TRANSFERRED = 1e-2
FIXED = 0.55
AREA, SHARE = {"share": True, "graded": True}, {"share": True}
KINDS: dict[str, dict[str, bool]] = {
    "mean genuine": {},
    "mean impostor": {},
    "d′": {},
    "overlap": AREA,
    "AUC": AREA,
    "EER": AREA,
    **{f"TAR@{far:.0e}".replace("e-0", "e-"): SHARE for far in FARS},
    "FAR at a fixed threshold": SHARE,
    "FAR of a threshold from others": SHARE,
}
NAMES = tuple(KINDS)
REPORTED = 2
PEOPLE, SETS, RESAMPLES, DIMENSION, FURTHER = 150, 200, 400, 16, 1
Images = tuple[np.ndarray, np.ndarray]


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

    number: int
    images: Callable[[np.random.Generator, int], np.ndarray] = equal
    noise: Callable[[np.random.Generator, tuple[int, int]], np.ndarray] = gaussian
    wrong: float = 0.0
    scale: float = 0.8

    def drawn(self, seed: int, people: int = PEOPLE, stream: int = REPORTED) -> Images:
        """Draw people with their images: unit rows, and labels."""
        rng = np.random.default_rng([7, stream, self.number, people, seed])
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
    "equal": World(0),
    "like LFW": World(1, like_lfw),
    "heavy tails": World(2, noise=heavy),
    "2 % wrong labels": World(3, wrong=0.02),
    "one person rules": World(4, one_rules),
    "AUC of .999": World(5, scale=0.42),
}


@dataclass(frozen=True)
class Sample:
    """Each statistic of a sample with its replicates, and how many people it rests on."""

    found: tuple[Drawn, ...]
    people: tuple[int, ...]
    drawn: People

    def ends(self) -> np.ndarray:
        """Give the ends of all intervals, (statistics, 2); NaN where there is none."""
        each = zip(self.found, self.people, KINDS.values(), strict=True)
        every = (self.drawn.estimate(one, n, **kind) for one, n, kind in each)
        return np.array([(one.low, one.high) for one in every], dtype=np.float64)


def measured(images: Images, weigh: Weigh, resamples: int, seed: int) -> Sample:
    """Measure a sample and its resamples, as the analyses do."""
    vectors, labels = images
    pairs = all_pairs(vectors, labels, weigh=weigh)
    people = len(pairs.images)
    counts = bootstrap.resamples(people, resamples, seed)
    rates = roc.rates(pairs, FARS, counts)
    spread = moments.Spread(pairs, counts)
    paired = round(effective_number(pairs.genuine_masses))
    found = [
        spread.intra(_score).mean,
        spread.inter(_score).mean,
        spread.d_prime(pairs.distance),
        spread.overlap(),
        Drawn(rates.auc, rates.auc_replicates),
        Drawn(rates.eer, rates.eer_replicates),
        *(Drawn(float(tar), each) for tar, each in zip(rates.tar, rates.tar_replicates.T, strict=True)),
        Drawn(roc.accepted_far(pairs, FIXED), roc.achieved_far(pairs, counts, np.full(len(counts), FIXED))),
        _transferred(vectors, labels, weigh, counts),
    ]
    of_impostors = [name.startswith(("FAR", "mean impostor")) for name in NAMES]
    resting = tuple(people if impostors else paired for impostors in of_impostors)
    return Sample(tuple(found), resting, People(counts, resamples, ""))


def _score(scores: np.ndarray) -> np.ndarray:
    return scores


def _transferred(vectors: np.ndarray, labels: np.ndarray, weigh: Weigh, counts: np.ndarray) -> Drawn:
    """FAR that a threshold chosen on one half of the people gets on the other, both ways round."""
    own = [np.flatnonzero(labels % 2 == k) for k in range(2)]
    one, other = (all_pairs(vectors[rows], labels[rows] // 2, weigh=weigh) for rows in own)
    return roc.both_ways((one, other), TRANSFERRED, (counts[:, ::2], counts[:, 1::2]))[1]


@dataclass(frozen=True)
class Held:
    """How often intervals hold the truth, and their mean width where the right one is one."""

    share: np.ndarray
    width: np.ndarray


def held(
    world: World,
    weigh: Weigh,
    sets: int = SETS,
    resamples: int = RESAMPLES,
    people: int = PEOPLE,
    stream: int = REPORTED,
) -> Held:
    """Draw samples of a world, and compare their intervals with all of their values."""
    every = [
        measured(world.drawn(seed, people, stream), weigh, resamples if seed < sets else 1, seed)
        for seed in range((1 + FURTHER) * sets)
    ]
    values = np.array([[one.value for one in sample.found] for sample in every])
    truth, spread = values.mean(axis=0), values.std(axis=0)
    low, high = np.moveaxis(np.stack([sample.ends() for sample in every[:sets]]), -1, 0)
    # A sample without an interval says nothing, and so cannot be wrong.
    inside = np.where(np.isfinite(low), (low <= truth) & (truth <= high), np.nan)
    return Held(np.nanmean(inside, axis=0), np.nanmean(high - low, axis=0) / (3.92 * spread))


def table(
    worlds: Iterable[str], ways: Iterable[Weigh], sets: int, resamples: int, people: int, stream: int
) -> None:
    """Print a line a statistic and weighing, a column a world: held %, and width."""
    for weigh in ways:
        found = {name: held(WORLDS[name], weigh, sets, resamples, people, stream) for name in worlds}
        print(f"weigh={weigh}, {people} people".ljust(34), *(name.rjust(16) for name in found))
        for k, name in enumerate(NAMES):
            cells = (f"{100 * one.share[k]:5.1f} w{one.width[k]:4.2f}".rjust(16) for one in found.values())
            print(name.ljust(34), *cells, flush=True)


def peer(world: str, sets: int, resamples: int, people: int) -> None:
    """Print coverage and width beside those of cimat: of pairs at one threshold, and of AUC and TAR."""
    from cimat import UncertaintyEstimator  # type: ignore[import-not-found]

    names = ("FAR at a fixed threshold", "FRR at a fixed threshold", "AUC", "TAR@1e-2")
    values, ours, theirs = [], [], []
    for seed in range(sets):
        vectors, labels = WORLDS[world].drawn(seed, people)
        sample = measured((vectors, labels), "pairs", resamples, seed)
        pairs, counts = all_pairs(vectors, labels), sample.drawn.counts
        ones, fixed = np.ones((1, people), np.float32), np.full((resamples, 1), FIXED)
        taken = roc.accepted_share(pairs, ones, fixed[:1])[0, 0], roc.accepted_share(pairs, counts, fixed)
        missed = sample.drawn.estimate(Drawn(1 - float(taken[0]), 1 - taken[1][:, 0]), people, share=True)
        at = [NAMES.index(name) for name in ("FAR at a fixed threshold", "AUC", "TAR@1e-2")]
        ends = sample.ends()[at]
        ours.append([ends[0], (missed.low, missed.high), *ends[1:]])
        values.append([sample.found[at[0]].value, missed.value, *(sample.found[k].value for k in at[1:])])
        scores = vectors @ vectors.T
        rows = [np.flatnonzero(labels == k) for k in range(people)]
        every = {
            i: {
                j: (scores[np.ix_(a, b)] if i != j else scores[np.ix_(a, b)][np.triu_indices(len(a), 1)])
                .ravel()
                .tolist()
                for j, b in enumerate(rows)
            }
            for i, a in enumerate(rows)
        }
        np.random.seed(seed)  # noqa: NPY002  (it draws from there)
        estimator = UncertaintyEstimator(every)
        with contextlib.redirect_stderr(io.StringIO()):
            frr, far = estimator.get_binerror_ci(FIXED)
            estimator.run_bootstrap(resamples // 4)
            tar, auc = estimator.get_roc_ci([1e-2])
        where = np.searchsorted(estimator.get_roc()[0], 1e-2)
        theirs.append([far, frr, auc, np.array(tar)[:, min(where, np.array(tar).shape[1] - 1)]])
    spread, truth = np.std(values, axis=0), np.mean(values, axis=0)
    for k, name in enumerate(names):
        cells = []
        for ends in (np.array(ours, np.float64), np.array(theirs, np.float64)):
            low, high = ends[:, k].T
            inside = ((low <= truth[k]) & (truth[k] <= high)).mean()
            cells.append(f"{100 * inside:5.1f} w{(high - low).mean() / (3.92 * spread[k]):4.2f}".rjust(16))
        print(name.ljust(34), *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--weigh", nargs="*", default=["people", "pairs"], choices=["people", "pairs"])
    parser.add_argument("--sets", type=int, default=SETS)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--stream", type=int, default=REPORTED)
    parser.add_argument("--peer", action="store_true", help="beside cimat, which has to be installed")
    asked = parser.parse_args()
    if asked.peer:
        for world in asked.worlds:
            peer(world, asked.sets, asked.resamples, asked.people)
    else:
        table(asked.worlds, asked.weigh, asked.sets, asked.resamples, asked.people, asked.stream)


if __name__ == "__main__":
    main()
