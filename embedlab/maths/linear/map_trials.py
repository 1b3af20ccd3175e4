"""Every kind of linear map from one space into another, fitted on some people and judged on others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear import linear_maps
from embedlab.maths.linear.crossmodel import R2, RANK_1, Figures, Judge, Mapped, Trial, trial
from embedlab.maths.linear.linear_maps import PENALTIES, LinearMap, RidgePath
from embedlab.maths.linear.map_inputs import MapInputs
from embedlab.maths.linear.matched import other_people
from embedlab.maths.people.folds import identity_folds
from embedlab.progress import track

UNMAPPED, SOURCE, TARGET = "unmapped", "source by itself", "target by itself"
SHIFT, SCALED_SHIFT, ROTATION, RIDGE = "shift", "shift and scale", "rotation and shift", "ridge"
MAPS = (SHIFT, SCALED_SHIFT, ROTATION, "rotation, shift and scale", "least squares", RIDGE, "low-rank ridge")
ENTRIES = (UNMAPPED, *MAPS, SOURCE, TARGET)
SIZES = (30, 100, 300, 500, 1000, 3000, 10_000, 30_000, 100_000)
# Numbers of pairs to fit on are tried up to this share of all.
ENOUGH = 0.85


@dataclass(frozen=True)
class Choices:
    """How maps are fitted and judged.

    Attributes
    ----------
    folds
        Folds of people that choose λ and the rank; intervals leave out one after another.
    probes
        How many probes a held-out person brings at most.
    far
        The false accept rate of TAR, which is left out where FAR × impostor pairs is below 1.
    seed
        Seed of the folds, galleries, shuffled pairs and the pairs drawn for the curve.
    """

    folds: int
    probes: int
    far: float
    seed: int

    def trial(self, inputs: MapInputs) -> Trial:
        """Draw the gallery and its probes."""
        return trial(inputs.owners, self.probes, self.seed)

    def far_of(self, who: Trial) -> float:
        """Give the false accept rate, if the impostor pairs reach it; else 0."""
        return self.far if self.far * who.impostors >= 1 else 0.0


@dataclass(frozen=True, eq=False)
class MapTrial:
    """What maps from one space into another reach.

    Attributes
    ----------
    judged
        Ridge, a rotation, shift and scale, the vectors as they are (the latter two where dimensions are
        equal) and both spaces searched by themselves, with replicates; TAR not of all.
    shuffled
        Ridge fitted on pairs of different people.
    each
        Of every map R² and rank-1 of held-out people and R² of the pairs fitted on; NaN where there is none.
    penalty, rank
        Those of ridge and of low-rank ridge.
    sizes
        Numbers of pairs, rising to all.
    fewer
        Ridge fitted on so many; none where so few pairs are all of one person.
    """

    judged: Mapping[str, Figures]
    shuffled: Figures
    each: Float[np.ndarray, "maps 3"]
    penalty: float
    rank: int
    sizes: Int[np.ndarray, " sizes"]
    fewer: Mapping[int, Figures]


def try_maps(
    inputs: MapInputs, counts: Float[np.ndarray, "b people"], choices: Choices, *, curve: bool
) -> MapTrial:
    """Fit every kind of map from the first space to the second, judge it, and ridge on shuffled pairs too.

    Parameters
    ----------
    inputs
        The two spaces.
    counts
        Resamples of the people held out.
    choices
        How maps are fitted.
    curve
        Whether to fit on fewer pairs as well.
    """
    x, y = inputs.a[inputs.rows], inputs.b[inputs.partners]
    held, target = inputs.a[inputs.judged], inputs.b[inputs.judged]
    centre = y.mean(axis=0, dtype=np.float64)
    who = choices.trial(inputs)
    judge = Judge(target, inputs.owners, centre, who, counts, choices.far_of(who), choices.seed)
    plain = replace(judge, far=0.0)
    fold = _folds(inputs.people, choices)
    path = _path(x, y, fold, inputs.units[0])
    maps = _maps(x, y, path)
    judged = {
        RIDGE: judge.mapped(Mapped.by(maps[RIDGE], held), [Mapped.by(o, held) for o in path.without_each()])
    }
    for name in track([name for name in (SCALED_SHIFT, ROTATION) if name in maps], "judging maps"):
        others = (_simple(name, x[fold != k], y[fold != k]) for k in np.unique(fold))
        judged[name] = plain.mapped(Mapped.by(maps[name], held), [Mapped.by(one, held) for one in others])
    if x.shape[1] == y.shape[1]:
        judged[UNMAPPED] = judge.mapped(held)
    judged |= {name: judge.native(own) for name, own in ((SOURCE, held), (TARGET, target))}
    partners = other_people(inputs.people, np.random.default_rng([choices.seed, 10]))
    shuffled = _path(x, y[partners], fold, inputs.units[0]).ridge()
    sizes, fewer = _efficiency(x, y, inputs, held, plain, choices) if curve else ([len(x)], {})
    return MapTrial(
        judged=judged,
        shuffled=judge.mapped(Mapped.by(shuffled, held)),
        each=np.array([_values(maps.get(name), judged.get(name), x, y, held, plain) for name in MAPS]),
        penalty=path.penalties[path.chosen] / inputs.units[0],
        rank=maps["low-rank ridge"].rank,
        sizes=np.array(sizes),
        fewer=fewer | {len(x): judged[RIDGE]},
    )


def _folds(people: np.ndarray, choices: Choices) -> np.ndarray:
    there = int(people.max()) + 1
    found: np.ndarray = identity_folds(there, min(choices.folds, there), choices.seed)[people]
    return found


def _path(x: np.ndarray, y: np.ndarray, fold: np.ndarray, unit: float) -> RidgePath:
    # Where rows are given within their span λ is counted as in the whole space.
    return RidgePath.of(x, y, fold, penalties=PENALTIES * unit)


def _simple(name: str, x: np.ndarray, y: np.ndarray) -> LinearMap:
    if name == ROTATION:
        return linear_maps.procrustes(x, y, scale=False)
    return linear_maps.mean_shift(x, y, scale=name == SCALED_SHIFT)


def _maps(x: np.ndarray, y: np.ndarray, path: RidgePath) -> dict[str, LinearMap]:
    shifts = (SHIFT, SCALED_SHIFT) if x.shape[1] == y.shape[1] else ()
    return {name: _simple(name, x, y) for name in (*shifts, ROTATION)} | {
        "rotation, shift and scale": linear_maps.procrustes(x, y, scale=True),
        "least squares": path.least_squares(),
        RIDGE: path.ridge(),
        "low-rank ridge": path.low_rank(),
    }


def _values(
    one: LinearMap | None, known: Figures | None, x: np.ndarray, y: np.ndarray, held: np.ndarray, judge: Judge
) -> tuple[float, float, float]:
    """Give R² and rank-1 of held-out people, and R² of the pairs fitted on."""
    if one is None:
        return np.nan, np.nan, np.nan
    found = known or replace(judge, counts=judge.counts[:1]).mapped(Mapped.by(one, held))
    whole = ((y - y.mean(axis=0, dtype=np.float64)) ** 2).sum()
    return found[R2].value, found[RANK_1].value, float(1 - ((y - one.apply(x)) ** 2).sum() / whole)


def _efficiency(
    x: np.ndarray, y: np.ndarray, inputs: MapInputs, held: np.ndarray, judge: Judge, choices: Choices
) -> tuple[list[int], dict[int, Figures]]:
    """Fit ridge on some of the pairs, and judge it for each number of them but that of all."""
    found = {}
    sizes = [size for size in SIZES if size <= ENOUGH * len(x)]
    order = np.random.default_rng([choices.seed, 11]).permutation(len(x))
    for size in track(sizes, "fitting maps on few pairs"):
        some = order[:size]
        own = np.unique(inputs.people[some], return_inverse=True)[1]
        if own.max() > 0:
            path = _path(x[some], y[some], _folds(own, choices), inputs.units[0])
            without = [Mapped.by(one, held) for one in path.without_each()]
            found[size] = judge.mapped(Mapped.by(path.ridge(), held), without)
    return [*sizes, len(x)], found
