"""An old gallery moved into a new model's space from few known people, judged on people nobody knows.

Of known people all images were embedded by both models. Of the others only the old gallery is there, one
vector a person, and the new model's vectors of other images of them come in as probes. Each adapter maps the
gallery: ridge and a rotation fitted on the known people, and the rotation trained on by itself
(`self_training`) with the old gallery and the new probes, whose people it is not told. From all known people
a small network is tried too (`residual_mlp`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.maths.clouds.self_training import rotation, self_trained
from embedlab.maths.clouds.trials import over_trials
from embedlab.maths.linear import residual_mlp
from embedlab.maths.linear.crossmodel import R2, Figures, Judge, Trial, search
from embedlab.maths.linear.linear_maps import PENALTIES, RidgePath
from embedlab.maths.linear.map_inputs import MapInputs
from embedlab.maths.linear.matched import other_people
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.folds import identity_folds
from embedlab.maths.people.permutation import further_p_value
from embedlab.progress import track

RIDGE, ROTATION, SELF = "ridge", "rotation", "self-training"
ADAPTERS = (RIDGE, ROTATION, SELF)
SIZES = (5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
# Numbers of known people are tried up to this share of all.
ENOUGH = 0.85
# Folds that choose ridge's penalty; and of all known people, left out one after another for intervals.
FOLDS, REFITS = 5, 10
OLD, MOVED, HALF, NEW, WRONG = "old by itself", "moved", "half moved", "new by itself", "wrong pairs"
MLP = "moved by a residual MLP"
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Moving:
    """Two spaces, who may be known, and who is searched.

    Attributes
    ----------
    inputs
        The old space and the new one; held-out people are those nobody knows.
    who
        The old gallery, a row a held-out person, and the probes of the new model.
    counts
        Resamples of the people searched.
    far
        The false accept rate of TAR; 0 leaves it out.
    seed
        Seed of all draws.
    """

    inputs: MapInputs
    who: Trial
    counts: Float[np.ndarray, "b people"]
    far: float
    seed: int

    @property
    def old(self) -> Float[np.ndarray, "h d_a"]:
        """The old model's vectors of those nobody knows."""
        rows: np.ndarray = self.inputs.a[self.inputs.judged]
        return rows

    @property
    def new(self) -> Float[np.ndarray, "h d_b"]:
        """The new model's."""
        rows: np.ndarray = self.inputs.b[self.inputs.judged]
        return rows

    @property
    def pool(self) -> Int[np.ndarray, " people"]:
        """Who may be known."""
        return np.flatnonzero(~self.inputs.held)

    def known(self, people: Int[np.ndarray, " k"]) -> tuple[np.ndarray, np.ndarray, Int[np.ndarray, " n"]]:
        """Give the rows of known people in both spaces, and whose they are, 0…k−1."""
        rows = np.flatnonzero(np.isin(self.inputs.labels, people))
        owners = np.unique(self.inputs.labels[rows], return_inverse=True)[1]
        return self.inputs.a[rows], self.inputs.b[rows], owners

    def folds(self, owners: np.ndarray, folds: int) -> Int[np.ndarray, " n"]:
        """Deal known people into folds; of so few as there are."""
        people = int(owners.max()) + 1
        dealt: np.ndarray = identity_folds(people, min(folds, people), self.seed)[owners]
        return dealt

    def ridge(self, x: np.ndarray, y: np.ndarray, owners: np.ndarray, folds: int = FOLDS) -> RidgePath:
        """Fit ridge on known people."""
        return RidgePath.of(x, y, self.folds(owners, folds), penalties=PENALTIES * self.inputs.units[0])


@dataclass(frozen=True, eq=False)
class Attempts:
    """So many known people, drawn several times.

    Attributes
    ----------
    rank_1
        By adapter, of each draw and each resample, of shape (draws, 1 + b).
    agreement, wrong
        Of self-training in each draw, and of the same from pairs of different people, (draws,).
    """

    rank_1: Mapping[str, Float[np.ndarray, "draws b+1"]]
    agreement: Float[np.ndarray, " draws"]
    wrong: Float[np.ndarray, " draws"]

    def of(self, adapter: str, seed: int) -> Drawn:
        """Give rank-1 over draws of known people, which are drawn again too."""
        rows = self.rank_1[adapter]
        return over_trials(rows, seed) if len(rows) > 1 else Drawn.of(rows[0])


def attempts(moving: Moving, size: int, draws: int) -> Attempts:
    """Move the gallery from ``size`` known people, drawn ``draws`` times; once where that is all of them.

    The smaller number of a draw lies within its larger ones.
    """
    pool, new = moving.pool, moving.new
    gallery, probes = moving.old[moving.who.gallery], new[moving.who.probes]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ADAPTERS}
    agreed, wrong = [], []
    for draw in range(draws if size < len(pool) else 1):
        rng = np.random.default_rng([moving.seed, 28, draw])
        x, y, owners = moving.known(rng.permutation(pool)[:size])
        pairs = [(x, y), (x, y[other_people(owners, rng)])]
        trained, null = (self_trained(gallery, probes, known, seed=moving.seed) for known in pairs)
        mapped = {RIDGE: moving.ridge(x, y, owners).ridge().apply(moving.old)}
        mapped |= {ROTATION: rotation(x, y).apply(moving.old), SELF: trained.map.apply(moving.old)}
        for name, moved in mapped.items():
            found = search(new, moved, moving.who, 0.0).rank_1(moving.counts)
            rows[name].append(np.concatenate([[found.value], found.replicates]))
        agreed.append(trained.agreement)
        wrong.append(null.agreement)
    return Attempts({name: np.array(each) for name, each in rows.items()}, np.array(agreed), np.array(wrong))


def sizes_of(people: int) -> list[int]:
    """Give the numbers of known people that are tried, rising to all."""
    return [*(size for size in SIZES if size <= ENOUGH * people), people]


def along(moving: Moving, draws: int) -> dict[int, Attempts]:
    """Move the gallery from rising numbers of known people."""
    sizes = sizes_of(len(moving.pool))
    return {size: attempts(moving, size, draws) for size in track(sizes, "moving a gallery from few known")}


def galleries(moving: Moving) -> tuple[dict[str, Figures], Figures]:
    """Judge galleries by all known people: old by itself, moved, half moved, new; by wrong pairs, by an MLP.

    One half of the people is moved while the other is enrolled anew, and the other way round, so that the
    mean of both is of the same people as the mean of a gallery that is all moved and one that is all new.

    Returns
    -------
    Figures by gallery; and what being half moved costs, the mean of moved and new less half moved.
    """
    x, y, owners = moving.known(moving.pool)
    old, new, rng = moving.old, moving.new, np.random.default_rng([moving.seed, 29])
    judge = Judge(
        new, moving.inputs.owners, y.mean(axis=0, dtype=np.float64), moving.who, moving.counts, moving.far,
        moving.seed, moved=True,
    )  # fmt: skip
    path = moving.ridge(x, y, owners, REFITS)
    wrong = moving.ridge(x, y[other_people(owners, rng)], owners, REFITS)
    bent, others = residual_mlp.fit(x, y, moving.folds(owners, REFITS), path, seed=moving.seed)
    moved = path.ridge().apply(old)
    first = rng.permutation(np.arange(len(moving.who.gallery)) % 2 == 0)
    halves = [judge.mapped(_mixed(moved, new, moving.who, half)) for half in (first, ~first)]
    half = {what: _mean(*(one[what] for one in halves)) for what in halves[0] if what != R2}
    # What it costs is of this map alone; the moved gallery's own figures are of other known people too.
    plain, own = judge.mapped(moved), judge.native(new)
    found = {
        OLD: judge.native(old),
        MOVED: judge.mapped(moved, [one.apply(old) for one in path.without_each()]),
        MLP: judge.mapped(bent.apply(old), [one.apply(old) for one in others]),
        HALF: half,
        NEW: own,
        WRONG: replace(judge, seed=judge.seed + 1).mapped(
            wrong.ridge().apply(old), [one.apply(old) for one in wrong.without_each()]
        ),
    }
    return found, {what: _mean(plain[what], own[what]) - one for what, one in half.items()}


def _mixed(moved: np.ndarray, new: np.ndarray, who: Trial, half: Bool[np.ndarray, " people"]) -> np.ndarray:
    mixed = moved.astype(np.float64)
    rows = who.gallery[half]
    mixed[rows] = new[rows]
    return mixed


def _mean(a: Drawn, b: Drawn) -> Drawn:
    return Drawn((a.value + b.value) / 2, (a.replicates + b.replicates) / 2)


def knee(
    sizes: Sequence[int], curve: Float[np.ndarray, "sizes b"], enough: Float[np.ndarray, " b"]
) -> Float[np.ndarray, " b"]:
    """Give the number of people from which a curve stays at or above what is enough.

    Between two numbers that were tried the curve is a line over the logarithm of the number.

    Returns
    -------
    The first number where the curve is enough from there on; NaN where it is not even at the last.
    """
    short = curve < enough
    # Row of the last number that is not enough; −1 where all are.
    last = len(sizes) - 1 - np.argmax(short[::-1], axis=0)
    last = np.where(short.any(axis=0), last, -1)
    logs, each = np.log(np.asarray(sizes, np.float64)), np.arange(curve.shape[1])
    before, after = np.clip(last, 0, len(sizes) - 2), np.clip(last + 1, 1, len(sizes) - 1)
    low, high = curve[before, each], curve[after, each]
    part = np.divide(enough - low, high - low, out=np.zeros(len(each)), where=high > low)
    part = np.clip(part, 0, 1)
    found: np.ndarray = np.exp(logs[before] + part * (logs[after] - logs[before]))
    found = np.where(last < 0, float(sizes[0]), found)
    return np.where(last == len(sizes) - 1, np.nan, found)


def knees(tried: Mapping[int, Attempts], matters: float, seed: int) -> dict[str, Drawn]:
    """Give the number of known people from which each adapter loses at most ``matters`` against ridge on all.

    An adapter that does not get there is not among them. A resample in which it does not needs all people.
    """
    sizes, found = list(tried), {}
    curves = {
        name: np.array([[d.value, *d.replicates] for d in (one.of(name, seed) for one in tried.values())])
        for name in ADAPTERS
    }
    for name, curve in curves.items():
        row = knee(sizes, curve, curves[RIDGE][-1] - matters)
        if np.isfinite(row[0]):
            found[name] = Drawn.of(np.where(np.isfinite(row), row, float(sizes[-1])))
    return found


@dataclass(frozen=True, eq=False)
class Certificate:
    """Whether halves of what self-training matched agree beyond what they do from wrong pairs.

    Attributes
    ----------
    agreement, wrong
        From known pairs and from wrong ones, of shape (sizes, draws); NaN beyond the one draw of all people.
    holds_from
        The number of known people from which on it holds in every draw; 0 where it does not even from all.
    p_value
        There, or from all people, after how many numbers were tried.
    """

    agreement: Float[np.ndarray, "sizes draws"]
    wrong: Float[np.ndarray, "sizes draws"]
    holds_from: int
    p_value: float

    @classmethod
    def of(cls, tried: Mapping[int, Attempts]) -> Self:
        """Hold the least agreement of each number of known people against that of all wrong pairs."""
        draws = max(len(one.agreement) for one in tried.values())
        both = np.full((2, len(tried), draws), np.nan)
        for k, one in enumerate(tried.values()):
            both[:, k, : len(one.agreement)] = one.agreement, one.wrong
        null = both[1][np.isfinite(both[1])]
        p = [min(1.0, len(tried) * further_p_value(float(np.nanmin(row)), null)) for row in both[0]]
        at = len(tried)
        while at and p[at - 1] <= LEVEL:
            at -= 1
        holds = at < len(tried)
        return cls(both[0], both[1], list(tried)[at] if holds else 0, p[at] if holds else p[-1])
