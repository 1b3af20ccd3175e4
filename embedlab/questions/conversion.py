"""Asks whether two models' spaces are the same up to a linear map: what converting a gallery loses."""

from dataclasses import dataclass

from embedlab.analyses.mapping import Mapping
from embedlab.analysis import Params, bounded
from embedlab.estimates import Estimate, shares
from embedlab.maths.linear.crossmodel import RANK_1
from embedlab.maths.linear.map_trials import RIDGE, TARGET
from embedlab.over import degraded_pairs
from embedlab.question import Claim, Question, Results

FEW = 2


@dataclass(frozen=True)
class ConversionParams(Params):
    """What counts as a loss."""

    matters: float = bounded(0.02, least=0, below=1)
    """The loss of rank-1 that a converted gallery may have before it is said to lose."""


def judge(results: Results, params: ConversionParams) -> list[Claim]:
    """Judge both directions of two models on images as they are; of more, the best and the worst one."""
    every = [r for r in results["mapping"] if isinstance(r, Mapping)]
    degraded = {probe for _, probe in degraded_pairs(tuple(dict.fromkeys(r.probe for r in every)))}
    ways = [(r, *way) for r in every if r.probe not in degraded for way in (r.sources, r.sources[::-1])]
    ways.sort(key=lambda way: _loss(*way).value)
    shown = ways if len(ways) <= FEW else [ways[0], ways[-1]]
    return [_converted(*way, among=max(1, len(ways) // len(shown)), matters=params.matters) for way in shown]


def _loss(r: Mapping, source: str, target: str) -> Estimate:
    return r.estimates[RANK_1, TARGET, source, target] - r.estimates[RANK_1, RIDGE, source, target]


def _converted(r: Mapping, source: str, target: str, *, among: int, matters: float) -> Claim:
    mapped, own = (r.estimates[RANK_1, entry, source, target] for entry in (RIDGE, TARGET))
    top, left = shares(own, mapped)
    told = f"rank-1 among {r.gallery:,} others is {left} converted, {top} in {target} itself"
    what = f"Converting {source} to {target} by a map learned from {r.fitted_people:,} people"
    return Claim(
        (source, target),
        _loss(r, source, target),
        matters,
        {
            "yes": f"{what} loses: {told}",
            "no": f"{what} loses less than {100 * matters:g} points: {told}",
            "undecided": f"Whether c{what[1:]} loses over {100 * matters:g} points is open: {told}",
            "some": f"{what} loses; whether over {100 * matters:g} points is open: {told}",
        },
        word="loss",
        unit="points of rank-1 lost",
        marks={"yes": "loses", "no": "keeps"},
        among=among,
        evidence={f"rank-1, {entry}": one for entry, one in ((RIDGE, mapped), (TARGET, own))},
    )


QUESTION = Question(
    text="Does converting a gallery from one model's space to another's by a linear map lose?",
    needs={"mapping": "it fits maps between the models, and judges them on other people"},
    params=ConversionParams(),
    judge=judge,
)
