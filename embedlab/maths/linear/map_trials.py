"""Every kind of linear map from one space into another, fitted on some people and judged on others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear import linear_maps
from embedlab.maths.linear.crossmodel import RANK_1, TAR, Figures, Judge, cosines
from embedlab.maths.linear.linear_maps import METHODS, LinearMap, RidgePath
from embedlab.maths.linear.matched import other_people
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.folds import identity_folds
from embedlab.progress import track

UNMAPPED, SOURCE, TARGET = "unmapped", "source by itself", "target by itself"
ENTRIES = (UNMAPPED, *METHODS, SOURCE, TARGET)
RIDGE, ROTATION = "ridge", "Procrustes"
CURVES = (RIDGE, ROTATION)
SIZES = (10, 30, 100, 300, 500, 1000, 3000, 10_000, 30_000, 100_000)


@dataclass(frozen=True)
class Choices:
    """How maps are fitted.

    Attributes
    ----------
    folds
        Folds of people that choose λ and the rank.
    penalties
        The path of λ.
    rank
        Directions of low-rank ridge; 0 to choose them.
    seed
        Seed of the folds, of shuffled pairs and of the pairs drawn for the curve.
    unit
        Where rows are given within their span: its dimension as a share of the source space's, so that λ
        means the same.
    """

    folds: int
    penalties: Float[np.ndarray, " path"]
    rank: int
    seed: int
    unit: float = 1.0


@dataclass(frozen=True, eq=False)
class MapTrial:
    """What maps from one space into another reach.

    Attributes
    ----------
    judged
        By entry: each method, the vectors as they are (where the dimensions are equal), and both spaces
        searched by themselves.
    nulls
        The values where fitted on pairs of different people; by chance where nothing is fitted.
    shuffled
        Ridge fitted on pairs of different people, with replicates.
    in_sample
        R² and mean cosine of the pairs fitted on, of shape (2, methods); NaN where there is no such map.
    path
        Ridge over the whole path.
    penalty
        The λ chosen on it.
    rank
        Rank of the low-rank map.
    sizes
        Numbers of pairs, rising to all.
    fewer
        Ridge and a rotation fitted on so many, by entry and number; none where so few pairs are all of one
        person.
    """

    judged: Mapping[str, Figures]
    nulls: Mapping[str, Mapping[str, float]]
    shuffled: Figures
    in_sample: Float[np.ndarray, "two methods"]
    path: RidgePath
    penalty: float
    rank: int
    sizes: Int[np.ndarray, " sizes"]
    fewer: Mapping[tuple[str, int], Figures]

    def gap_closed(self, entry: str) -> Drawn:
        """Give the share of the gap in rank-1 between unmapped vectors and the target that a map closes."""
        floor, one, top = (self.judged[name][RANK_1] for name in (UNMAPPED, entry, TARGET))
        gained, gap = one - floor, top - floor
        empty = np.full(len(gap.replicates), np.nan)
        ratio = np.divide(gained.replicates, gap.replicates, out=empty, where=gap.replicates > 0)
        return Drawn(gained.value / gap.value, ratio)

    def lost_with(self, size: int, entry: str) -> Drawn | None:
        """Give what a map loses in rank-1 when fitted on ``size`` pairs instead of all, if it can be."""
        few = self.fewer.get((entry, size))
        return self.judged[entry][RANK_1] - few[RANK_1] if few else None


def try_maps(
    x: Float[np.ndarray, "n d_a"],
    y: Float[np.ndarray, "n d_b"],
    people: Int[np.ndarray, " n"],
    held: Float[np.ndarray, "m d_a"],
    judge: Judge,
    choices: Choices,
) -> MapTrial:
    """Fit every kind of map on matched rows, judge it, and do the same with rows of different people.

    Parameters
    ----------
    x, y
        Matched rows of source and target space.
    people
        The person of each, 0…people−1, two at least.
    held
        The images in the source space that stand for those of ``judge``.
    judge
        The images of held-out people in the target space.
    choices
        How maps are fitted.
    """
    fold = _folds(people, choices)
    maps, path = _maps(x, y, fold, choices)
    partners = other_people(people, np.random.default_rng([choices.seed, 10]))
    shuffled, _ = _maps(x, y[partners], fold, choices)
    judged = {
        name: judge.mapped(_mapped(one, held)) for name, one in track(maps.items(), "judging maps", len(maps))
    }
    # Of the nulls the values are wanted, and the replicates of one.
    short = replace(judge, counts=judge.counts[:1])
    nulls_of = track(shuffled.items(), "judging maps of shuffled pairs", len(shuffled))
    unrelated = {
        name: (judge if name == RIDGE else short).mapped(_mapped(one, held)) for name, one in nulls_of
    }
    nulls = {name: {what: one.value for what, one in found.items()} for name, found in unrelated.items()}
    chance = {RANK_1: 1 / len(judge.who.gallery)} | ({TAR: judge.far} if judge.far else {})
    if x.shape[1] == y.shape[1]:
        judged[UNMAPPED] = judge.mapped(held)
    judged |= {name: judge.native(own) for name, own in ((SOURCE, held), (TARGET, judge.target))}
    nulls |= {name: chance for name in judged if name not in METHODS}
    sizes, fewer = _efficiency(x, y, people, held, judge, choices)
    return MapTrial(
        judged=judged,
        nulls=nulls,
        shuffled=unrelated[RIDGE],
        in_sample=np.array([_in_sample(maps.get(name), x, y) for name in METHODS]).T,
        path=path,
        penalty=float(choices.penalties[path.chosen]),
        rank=maps["low-rank ridge"].rank,
        sizes=sizes,
        fewer=fewer | {(name, len(x)): judged[name] for name in CURVES},
    )


def _mapped(one: LinearMap, rows: np.ndarray) -> np.ndarray:
    """Map rows in single precision, which is enough to judge them and takes half the time."""
    mapped: np.ndarray = rows @ one.matrix.astype(np.float32) + one.shift.astype(np.float32)
    return mapped


def _folds(people: np.ndarray, choices: Choices) -> np.ndarray:
    there = int(people.max()) + 1
    found: np.ndarray = identity_folds(there, min(choices.folds, there), choices.seed)[people]
    return found


def _path(x: np.ndarray, y: np.ndarray, fold: np.ndarray, choices: Choices) -> RidgePath:
    return RidgePath.of(x, y, fold, penalties=choices.penalties * choices.unit)


def _maps(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, choices: Choices
) -> tuple[dict[str, LinearMap], RidgePath]:
    path = _path(x, y, fold, choices)
    found = {"mean shift": linear_maps.mean_shift(x, y)} if x.shape[1] == y.shape[1] else {}
    return found | {
        "Procrustes": linear_maps.procrustes(x, y, scale=False),
        "scaled Procrustes": linear_maps.procrustes(x, y, scale=True),
        "least squares": path.least_squares(),
        "ridge": path.ridge(),
        "low-rank ridge": path.low_rank(choices.rank),
    }, path


def _in_sample(one: LinearMap | None, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Give R² and mean cosine of the pairs fitted on."""
    if one is None:
        return np.nan, np.nan
    mapped = one.apply(x)
    whole = ((y - y.mean(axis=0, dtype=np.float64)) ** 2).sum()
    return float(1 - ((y - mapped) ** 2).sum() / whole), float(cosines(mapped, y).mean())


def _efficiency(
    x: np.ndarray, y: np.ndarray, people: np.ndarray, held: np.ndarray, judge: Judge, choices: Choices
) -> tuple[np.ndarray, dict[tuple[str, int], Figures]]:
    """Fit on some of the pairs, and judge it for each number of them but that of all."""
    sizes = [*(size for size in SIZES if size < len(x)), len(x)]
    judge = replace(judge, far=0.0)
    found = {}
    for size in track(sizes[:-1], "fitting maps on few pairs"):
        some = np.random.default_rng([choices.seed, 11]).permutation(len(x))[:size]
        own = np.unique(people[some], return_inverse=True)[1]
        if own.max() == 0:
            continue
        ridge = _path(x[some], y[some], _folds(own, choices), choices).ridge()
        rotation = linear_maps.procrustes(x[some], y[some], scale=False)
        for name, one in zip(CURVES, (ridge, rotation), strict=True):
            found[name, size] = judge.mapped(_mapped(one, held))
    return np.array(sizes), found
