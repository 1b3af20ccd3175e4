"""Every kind of linear map from one space into another, fitted on some people and judged on others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths import linear_maps
from embedlab.maths.bootstrap import interval
from embedlab.maths.crossmodel import FIGURES, R2, RANK_1, Judge, Judged, cosines, ends_of
from embedlab.maths.folds import identity_folds
from embedlab.maths.linear_maps import METHODS, LinearMap, RidgePath
from embedlab.maths.matched import other_people
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
        The same fitted on pairs of different people; by chance where nothing is fitted. Only ridge has
        replicates.
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
    curve, curve_draws
        Rank-1 and R² of ridge and of a rotation fitted on so many, of shape (maps, sizes, 2), and their
        replicates (maps, sizes, 2, b); NaN where so few pairs are all of one person.
    """

    judged: Mapping[str, Judged]
    nulls: Mapping[str, Judged]
    in_sample: Float[np.ndarray, "two methods"]
    path: RidgePath
    penalty: float
    rank: int
    sizes: Int[np.ndarray, " sizes"]
    curve: Float[np.ndarray, "maps sizes two"]
    curve_draws: Float[np.ndarray, "maps sizes two b"]

    def gap_closed(self, entry: str) -> tuple[float, float | None, float | None] | None:
        """Give the share of the gap in rank-1 between unmapped vectors and the target that a map closes.

        Returns
        -------
        The share and its interval; None where the gap may be none.
        """
        floor, one, top = (self.judged[name] for name in (UNMAPPED, entry, TARGET))
        least = top.above(floor, RANK_1)[1]
        if least is None or least <= 0:
            return None
        gained, gap = (other.draws[RANK_1] - floor.draws[RANK_1] for other in (one, top))
        ratio = np.divide(gained, gap, out=np.full(len(gap), np.nan), where=gap > 0)
        value, whole = (other.values[RANK_1] - floor.values[RANK_1] for other in (one, top))
        return float(value / whole), *interval(ratio)

    def lost_with(self, size: int, entry: str) -> tuple[float, float | None, float | None]:
        """Give what a map of the curve loses in rank-1 when fitted on ``size`` pairs instead of all."""
        place, few = CURVES.index(entry), int(np.flatnonzero(self.sizes == size)[0])
        value, draws = (
            found[place, -1, 0] - found[place, few, 0] for found in (self.curve, self.curve_draws)
        )
        return float(value), *interval(draws)

    def arrays(self, people: int) -> dict[str, np.ndarray]:
        """Lay everything out by figures and ``ENTRIES``, with intervals; NaN where there is nothing."""
        values, low, high, nulls = (np.full((len(FIGURES), len(ENTRIES)), np.nan) for _ in range(4))
        accepted = np.zeros(len(ENTRIES), np.int64)
        draws = np.full((len(ENTRIES), self.curve_draws.shape[-1]), np.nan, np.float32)
        for name, one in self.judged.items():
            e = ENTRIES.index(name)
            values[:, e], nulls[:, e] = one.values, self.nulls[name].values
            accepted[e], draws[e] = one.false_accepts, one.draws[RANK_1]
            ends = [one.ends(figure, people) for figure in range(len(FIGURES))]
            low[:, e], high[:, e] = np.array(ends, np.float64).T
        curve_ends = np.full((2, *self.curve.shape), np.nan)
        for place in np.ndindex(*self.curve.shape):
            figure = (RANK_1, R2)[place[-1]]
            curve_ends[:, *place] = np.array(
                ends_of(float(self.curve[place]), self.curve_draws[place], figure, people), np.float64
            )
        return {
            "values": values,
            "low": low,
            "high": high,
            "nulls": nulls,
            "in_sample": self.in_sample,
            "false_accepts": accepted,
            "rank_draws": draws,
            "path_errors": self.path.errors,
            "path_pooled": self.path.pooled,
            "chosen_penalty": np.float64(self.penalty),
            "rank_errors": self.path.rank_errors,
            "chosen_rank": np.int64(self.rank),
            "curve": self.curve,
            "curve_low": curve_ends[0],
            "curve_high": curve_ends[1],
        }


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
    nulls = {
        name: (judge if name == RIDGE else short).mapped(_mapped(one, held))
        for name, one in track(shuffled.items(), "judging maps of shuffled pairs", len(shuffled))
    }
    chance = np.array([np.nan, np.nan, 1 / len(judge.who.gallery), judge.far or np.nan])
    if x.shape[1] == y.shape[1]:
        judged[UNMAPPED] = judge.mapped(held)
    judged |= {name: judge.native(own) for name, own in ((SOURCE, held), (TARGET, judge.target))}
    nulls |= {name: Judged(chance, chance[:, None], 0) for name in judged if name not in METHODS}
    sizes, curve, draws = _efficiency(x, y, people, held, judge, choices)
    for k, name in enumerate(CURVES):
        curve[k, -1], draws[k, -1] = judged[name].values[[RANK_1, R2]], judged[name].draws[[RANK_1, R2]]
    return MapTrial(
        judged=judged,
        nulls=nulls,
        in_sample=np.array([_in_sample(maps.get(name), x, y) for name in METHODS]).T,
        path=path,
        penalty=float(choices.penalties[path.chosen]),
        rank=maps["low-rank ridge"].rank,
        sizes=sizes,
        curve=curve,
        curve_draws=draws,
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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit on some of the pairs: rank-1 and R² for each number of them, and their replicates.

    The last number is that of all pairs, whose figures are left to the caller.
    """
    sizes = [*(size for size in SIZES if size < len(x)), len(x)]
    judge = replace(judge, far=0.0)
    values = np.full((len(CURVES), len(sizes), 2), np.nan)
    draws = np.full((*values.shape, len(judge.counts)), np.nan)
    for s, size in enumerate(track(sizes[:-1], "fitting maps on few pairs")):
        some = np.random.default_rng([choices.seed, 11]).permutation(len(x))[:size]
        own = np.unique(people[some], return_inverse=True)[1]
        if own.max() == 0:
            continue
        ridge = _path(x[some], y[some], _folds(own, choices), choices).ridge()
        rotation = linear_maps.procrustes(x[some], y[some], scale=False)
        for k, one in enumerate((ridge, rotation)):
            found = judge.mapped(_mapped(one, held))
            values[k, s], draws[k, s] = found.values[[RANK_1, R2]], found.draws[[RANK_1, R2]]
    return np.array(sizes), values, draws
