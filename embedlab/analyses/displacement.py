"""Displacement: how the vectors of images move when the images are blurred.

The first probe is the reference, every other one is held against it, on all images that every probe shows
and on unit vectors. Four maps are fitted by least squares [1]_ on the people of all folds but one, and
judged on the others: a *shift* common to all; shift and *scale*, towards or away from the mean; shift and
*rotation* at scale one; and all three. What is *left* is the others' mean squared displacement after the
map, as a share of the displacement itself. Every person counts once, however many images there are.

Two figures say what the scale is made of, for least squares also shrinks what is merely noisy. The *spread*
is the ratio of the root mean squared distances from the mean, blurred over sharp: below one the faces
really lie closer together. The *part that follows* is the least-squares scale: where a sharp vector lies
one unit off the mean, the blurred one lies so much off it in the same direction. From sharp to blurred and
back they differ: their product is the squared correlation of both, so that below one it is detail lost,
whatever the spread.

A rotation is claimed only where all three maps leave less than shift and scale do, on people not fitted on,
with the whole interval of the difference. Intervals are 95 % percentile intervals of a bootstrap over
people; what was fitted stays as it is.

How to read it
--------------
What is left after the shift tells what subtracting one vector cannot undo. Above one a map does harm to
people it was not fitted on. A rotation that leaves more than shift and scale do has learned the people it
was fitted on, and nothing of resolution.

Limits
------
A rotation has d(d − 1)/2 angles: with few people it turns by noise, and a true small one is not found. A
shift of unit vectors is no pure shift on the sphere. Maps are one for all: what differs from person to
person in a lawful way counts as left.

In 200 simulated sets each (as in ``benchmarks/separability.py``: unequal numbers of images, 100 to 300
people) 95 % intervals held the mean of what is left, of the spread and of the part that follows in 93–97 %,
and 3.5–6 % of two equal models were told apart by what a shift leaves. With fewer people than dimensions
intervals of a rotation are too short.

References
----------
.. [1] Gower, J. C. and Dijksterhuis, G. B. Procrustes Problems. Oxford University Press, 2004.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Chart, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, bars, claim, judged
from embedlab.lab.embeddings import EmbeddingSet, shared_by
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.folds import identity_folds
from embedlab.maths.space.displacement import Moved, moved
from embedlab.progress import track

FEWEST_PEOPLE = 4
# Below it a rest is the rounding of what is zero.
ROUNDING = 1e-6
LENGTH, SPREAD = "mean displacement", "spread, over that of the reference"
MAPS = ("left by shift", "left by shift and rotation", "left by shift and scale", "left by all three")
SHIFT, TURNED, SCALED, WHOLE = MAPS
FOLLOWS, TURN = "part that follows", "what rotation takes beyond shift and scale"
BACK = {what: f"{what}, back" for what in (SCALED, WHOLE, FOLLOWS)}


@dataclass(frozen=True)
class DisplacementParams(Params):
    """Knobs of the displacement analysis."""

    folds: int = bounded(5, least=2)
    """How many folds of people the maps are judged on."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the folds and of the resamples."""


@dataclass(frozen=True)
class Displacement(Result):
    """How the other probes of one model are displaced from its first; from there and ``back``."""

    people: int
    images: int = field(metadata={"label": "images of each probe"})
    dropped: int = field(metadata={"label": "images not in every probe, left out"})
    reference: str = field(metadata={"hidden": True})
    probes: tuple[str, ...]
    estimates: Estimates

    @property
    def movers(self) -> tuple[str, ...]:
        """The probes under which anything moves."""
        return tuple(name for (name,) in self.estimates.places(SHIFT))


def compute(sets: Sequence[EmbeddingSet], params: DisplacementParams) -> Displacement:
    """Hold every other probe of a model against its first, on the images that all of them show.

    Raises
    ------
    UserError
        If there is one probe only, or the probes share no image or fewer than four people.
    """
    if len(sets) < 2:
        raise UserError(f"{sets[0].title} is the model's only probe: name a second one of the same images")
    (shared, *others), dropped = shared_by(sets)
    people = len(shared.identities)
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{sets[0].model}: maps are fitted on some people and judged on others, and only {people} are in "
            f"every probe: give images of at least {FEWEST_PEOPLE}"
        )
    everybody = People.of(shared.identities, params, items=shared.items)
    fold = identity_folds(people, min(params.folds, people), params.seed)
    found = Estimates()
    for other in track(others, "comparing probes"):
        parts = moved(shared.unit, other.unit, shared.labels, fold)
        found |= _estimates(parts, everybody, other.probe)
    return Displacement(
        title=sets[0].model,
        people=people,
        images=len(shared.items),
        dropped=dropped,
        reference=sets[0].probe,
        probes=tuple(other.probe for other in sets[1:]),
        estimates=found,
    )


def _estimates(parts: Moved, everybody: People, name: str) -> Estimates:
    """Turn sums over people into estimates; only the length is given where nothing moves."""
    people = len(parts.before)

    def ratio(above: np.ndarray, below: np.ndarray, null: float, power: float = 1.0) -> Estimate:
        over, under = (everybody.counts.astype(np.float64) @ x for x in (above, below))
        drawn = np.divide(over, under, out=np.full(len(over), np.nan), where=under > 0) ** power
        return everybody.estimate(Drawn(float(above.sum() / below.sum()) ** power, drawn), people, null)

    found = Estimates({(LENGTH, name): ratio(parts.length, np.ones(people), 0.0)})
    if not parts.before.any() or not parts.spread.sum(axis=1).all():
        return found
    found[SHIFT, name] = ratio(parts.shift, parts.before, 1.0)
    found[TURNED, name] = ratio(parts.turned, parts.before, 1.0)
    found[SPREAD, name] = ratio(parts.spread[1], parts.spread[0], 1.0, 0.5)
    for way, called in enumerate(({what: what for what in BACK}, BACK)):
        found[called[SCALED], name] = ratio(parts.scaled[way], parts.before, 1.0)
        found[called[WHOLE], name] = ratio(parts.whole[way], parts.before, 1.0)
        found[called[FOLLOWS], name] = ratio(parts.together, parts.spread[way], 0.0)
    found[TURN, name] = ratio(parts.scaled[0] - parts.whole[0], parts.before, 0.0)
    return found


def charts(results: Sequence[Displacement]) -> list[Chart]:
    """Show how far images move, what each map leaves of it, and scales, there and back, in a table."""
    names = tuple(dict.fromkeys(name for r in results for name in r.probes))
    drawn: list[Chart] = [
        Bars(
            title="How far images move",
            ylabel="distance of unit vectors",
            categories=names,
            series=bars({r.title: r.estimates for r in results}, LENGTH, [(name,) for name in names]),
            nulls=np.zeros(len(names)),
        )
    ]
    for name in dict.fromkeys(name for r in results for name in r.movers):
        there = [r for r in results if name in r.movers]
        drawn.append(
            Bars(
                title=f"What is left of the displacement to {name}",
                ylabel="share of the squared displacement",
                categories=tuple(what.removeprefix("left by ") for what in MAPS),
                series=tuple(_bars(r, name) for r in there),
                nulls=np.ones(len(MAPS)),
                note="On people not fitted on. Mark: as it was; above it a map does harm. "
                + " ".join(dict.fromkeys(f"{r.people:,} people, {r.images:,} images." for r in there)),
            )
        )
    return [*drawn, _table(results)] if drawn[1:] else drawn


def _bars(r: Displacement, name: str) -> BarSeries:
    columns = [r.estimates.row(what, [(name,)]) for what in MAPS]
    value, low, high = (np.concatenate(ends) for ends in zip(*columns, strict=True))
    return BarSeries(r.title, value, low, high, model=r.title)


def _table(results: Sequence[Displacement]) -> Table:
    rows = [
        (
            *(
                r.title,
                f"{name}, back" if back else name,
                r.estimates[LENGTH, name],
                r.estimates[SPREAD, name],
            ),
            *(r.estimates[BACK[what] if back else what, name] for what in (FOLLOWS, SCALED, WHOLE)),
        )
        for r in results
        for name in r.movers
        for back in (False, True)
    ]
    return Table(
        title="Scale, there and back",
        columns=("model", "from the reference to", LENGTH, SPREAD, FOLLOWS, SCALED, WHOLE),
        rows=tuple(rows),
        note="What follows there, times what follows back, is the squared correlation of both versions.",
    )


def findings(results: Sequence[Displacement]) -> list[Finding]:
    """Say what a shift, the spread and a rotation have to do with it, and which model is shifted more."""
    said = [one for r in results for one in _moving(r)]
    for a, b in combinations(results, 2):
        moving = [name for name in a.movers if name in b.movers and a.reference == b.reference]
        if moving:
            name = max(moving, key=lambda name: sum(r.estimates[LENGTH, name].value for r in (a, b)))
            less, more = sorted((a, b), key=lambda r: r.estimates[SHIFT, name].value)
            one, other = (r.estimates[SHIFT, name] for r in (less, more))
            text = (
                f"From {a.reference} to {name}, one shift for all explains {1 - one.value:.0%} of how "
                f"vectors move in {less.title} and {1 - other.value:.0%} in {more.title}"
            )
            said.append(judged(text, other - one, paired=one.is_paired(other), tones=("plain", "plain")))
    return said


def _moving(r: Displacement) -> list[Finding]:
    if not r.movers:
        return [Finding(f"In {r.title} no image has another vector under another probe.")]
    name = max(r.movers, key=lambda name: r.estimates[LENGTH, name].value)
    way, where = f"From {r.reference} to {name}", f"of the squared movement of vectors in {r.title}"
    shift, spread, turn, follows, back = (
        r.estimates[what, name] for what in (SHIFT, SPREAD, TURN, FOLLOWS, BACK[FOLLOWS])
    )
    whole, scaled = (r.estimates[what, name].value for what in (WHOLE, SCALED))
    narrower = "closer together" if spread.value < 1 else "farther apart"
    said = [
        claim(
            f"{way}, one shift for all explains {_taken(shift):.0%} {where}, on people it was not fitted on.",
            f"{way}, no shift for all is found: it explains {_taken(shift):.0%} {where}, on people it was "
            "not fitted on.",
            _p(shift, below=1 - ROUNDING),
        ),
        claim(
            f"In {r.title} images lie {narrower} on {name} than on {r.reference}: their spread about the "
            f"mean is {spread:.2f} times as large.",
            f"In {r.title} the spread of images about their mean is not shown to change from {r.reference} "
            f"to {name} ({spread:.2f} times).",
            _p(spread),
        ),
        claim(
            f"{way}, one rotation for all explains another {turn:.1%} {where}, beyond the {1 - scaled:.0%} "
            "of shift and scale.",
            f"{way}, no rotation for all is found: with one {1 - whole:.0%} {where} is explained, without "
            f"{1 - scaled:.0%}.",
            _p(turn, above=ROUNDING),
        ),
    ]
    if follows.value < 0.95:
        said.insert(
            2,
            Finding(
                f"{way}, a vector in {r.title} keeps {follows:.0%} of what sets it apart from the mean "
                f"(back: {back:.0%})."
            ),
        )
    return said


def _taken(left: Estimate) -> Estimate:
    """Turn what is left into what is explained."""
    low, high = (None if end is None else 1 - end for end in (left.high, left.low))
    return Estimate(1 - left.value, low, high, left.n)


def _p(found: Estimate, below: float = math.inf, above: float = -math.inf) -> float:
    """Give the p of what lies off its null; none on the side on which there is nothing to find."""
    off = found.over_null
    return off.p if off is not None and above < found.value < below else math.nan


ANALYSIS = Analysis(
    question="How do vectors move when images are blurred: together, towards the mean, or each its own way?",
    over="model",
    params=DisplacementParams(),
    result=Displacement,
    compute=compute,
    charts=charts,
    findings=findings,
)
