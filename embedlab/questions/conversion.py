"""Asks what a gallery loses that a map moves to another model, and how many people must be known for it."""

import math
from dataclasses import dataclass, field

from embedlab.analyses.mapping import Mapping
from embedlab.analyses.migration import NEEDED, Migration
from embedlab.analysis import Params, bounded
from embedlab.estimates import Estimate, as_points, shares
from embedlab.maths.clouds.migration import ADAPTERS, MOVED, NEW, WRONG
from embedlab.maths.linear.crossmodel import RANK_1
from embedlab.maths.linear.map_trials import RIDGE, TARGET
from embedlab.over import degraded_pairs
from embedlab.question import MANY, Claim, Question, Results, no_room

FEW = 2


@dataclass(frozen=True)
class ConversionParams(Params):
    """What counts as a loss, and as few people."""

    matters: float = bounded(0.02, least=0, below=1)
    """The loss of rank-1 that a moved gallery may have before it is said to lose."""
    known: int = bounded(100, least=1)
    """How many people are few enough to have them photographed, or to embed their images, anew."""


@dataclass(frozen=True)
class _Way:
    """A gallery of one model, moved to another: rank-1 of a map from so many known people, and anew.

    ``needed`` are known people by adapter, where the map finds more than chance. With ``searched`` the
    gallery is the other's own, and the images that are searched for were mapped: not the same number.
    """

    ends: tuple[str, str]
    probe: str
    moved: Estimate
    own: Estimate
    known: int
    others: int
    near: float = 0.0
    needed: dict[str, Estimate] = field(default_factory=dict)
    searched: bool = False

    @property
    def loss(self) -> Estimate:
        return self.own - self.moved


def judge(results: Results, params: ConversionParams) -> list[Claim]:
    """Judge both directions of two models on images as they are; of more, the best and the worst one."""
    # Where both moved a gallery, migration did what is asked: it mapped the gallery, not what is searched.
    tried = [r for name in ("mapping", "migration") for r in results.get(name, ())]
    both = [r for r in tried if isinstance(r, Mapping | Migration)]
    degraded = {probe for _, probe in degraded_pairs(tuple(dict.fromkeys(r.probe for r in both)))}
    every: dict[tuple[str, ...], _Way] = {}
    for r in (one for one in both if one.probe not in degraded):
        for ends in (r.sources, r.sources[::-1]):
            every[r.probe, *ends] = _mapped(r, ends) if isinstance(r, Mapping) else _moved(r, ends)
    ways = sorted(every.values(), key=lambda way: way.loss.value)
    shown = ways if len(ways) <= FEW else [ways[0], ways[-1]]
    among = max(1, len(ways) // max(1, len(shown)))
    lost = [_loses(way, among, params.matters) for way in shown]
    # Of no more people than that any number would be few.
    asked = [way for way in shown if way.needed and way.known > params.known]
    return lost + [_takes(way, among, params.known) for way in asked]


def _mapped(r: Mapping, ends: tuple[str, str]) -> _Way:
    moved, own = (r.estimates[RANK_1, entry, *ends] for entry in (RIDGE, TARGET))
    return _Way(ends, r.probe, moved, own, r.fitted_people, r.gallery, searched=True)


def _moved(r: Migration, ends: tuple[str, str]) -> _Way:
    moved, own, wrong = (r.estimates[RANK_1, gallery, *ends] for gallery in (MOVED, NEW, WRONG))
    found = {name: r.estimates.at(NEEDED, (name, *ends)) for name in ADAPTERS}
    needed = {name: one for name, one in found.items() if one and (moved - wrong).sign == 1}
    return _Way(ends, r.probe, moved, own, r.known, r.gallery, r.matters, needed)


def _loses(way: _Way, among: int, matters: float) -> Claim:
    (old, new), (top, left) = way.ends, shares(way.own, way.moved)
    kind = "searched" if way.searched else ""
    itself = f"Rank-1 of {new} by itself, among {way.others:,} others of {way.probe},"
    if (none := no_room(way.ends, way.own, matters, itself, kind)) is not None:
        return none
    told = f"rank-1 among {way.others:,} others of {way.probe} is {left} moved, {top} enrolled anew"
    what = f"moving a gallery of {old} to {new}"
    if way.searched:
        told = f"rank-1 among {way.others:,} others of {way.probe} is {left} mapped, {top} by its own"
        what = f"searching a gallery of {new} by mapped images of {old}"
    points = as_points(matters)
    return Claim(
        way.ends,
        way.loss,
        matters,
        {
            "yes": f"{what[0].upper()}{what[1:]} loses: {told}",
            "no": f"{what[0].upper()}{what[1:]} loses less than {points}: {told}",
            "undecided": f"Whether {what} loses over {points} is open: {told}",
            "some": f"{what[0].upper()}{what[1:]} loses; whether over {points} is open: {told}",
        },
        word="loss",
        aside=f"by a map learned from {way.known:,} people",
        unit=f"points of rank-1 lost on {way.probe}{' by searching' if way.searched else ''}",
        marks={"yes": "loses", "no": "keeps"},
        among=among,
        kind=kind,
        evidence={f"rank-1, {name}": one for name, one in (("moved", way.moved), ("anew", way.own))},
    )


def _takes(way: _Way, among: int, enough: int) -> Claim:
    (old, new), best = way.ends, min(way.needed, key=lambda name: way.needed[name].value)
    there = f"move a gallery of {old} to {new} within {as_points(way.near)} of what {way.known:,} do"
    return Claim(
        way.ends,
        way.needed[best].log,
        math.log(enough),
        {
            "yes": f"More than {enough:,} known people are needed to {there}",
            "no": f"Fewer than {enough:,} known people {there}",
            "undecided": f"Whether over {enough:,} known people are needed to {there} is open",
        },
        spec=MANY,
        unit="known people",
        marks={"yes": "many", "no": "few"},
        aside=f"by {best}",
        among=among * len(way.needed),
        kind=NEEDED,
        most=math.log(way.known),
        evidence={f"{NEEDED}, {name}": one for name, one in way.needed.items()},
    )


QUESTION = Question(
    text="Does a gallery lose when a map moves it to another model, and how many people must be known?",
    needs={
        "migration": "it moves galleries by maps from rising numbers of known people",
        "mapping": "it fits maps between the models, and judges them on other people",
    },
    params=ConversionParams(),
    judge=judge,
)
