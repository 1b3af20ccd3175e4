"""Asks whether a linear map can undo what blur does to the vectors."""

from dataclasses import dataclass

from embedlab.analyses.restoration import Restoration
from embedlab.analysis import Params, bounded
from embedlab.estimates import as_points, shares
from embedlab.maths.linear.crossmodel import RANK_1
from embedlab.maths.linear.map_trials import RIDGE, TARGET, UNMAPPED
from embedlab.question import Claim, Question, Results


@dataclass(frozen=True)
class UndoingParams(Params):
    """What counts as undone."""

    matters: float = bounded(0.02, least=0, below=1)
    """The rise of rank-1 that makes a map worth having."""


def judge(results: Results, params: UndoingParams) -> list[Claim]:
    """Judge each model by the degraded probe that loses most: what ridge brings back of it."""
    models: dict[str, list[Restoration]] = {}
    for r in results["restoration"]:
        if isinstance(r, Restoration):
            models.setdefault(r.model, []).append(r)
    return [_undone(max(them, key=_lost), len(them), params.matters) for them in models.values()]


def _lost(r: Restoration) -> float:
    return r.estimates[RANK_1, TARGET].value - r.estimates[RANK_1, UNMAPPED].value


def _undone(r: Restoration, among: int, matters: float) -> Claim:
    found = {entry: r.estimates[RANK_1, entry] for entry in (UNMAPPED, RIDGE, TARGET)}
    unmapped, mapped, sharp = shares(*found.values())
    told = f"rank-1 is {unmapped} blurred, {mapped} mapped, {sharp} sharp"
    what, points = f"what {r.degraded} loses in {r.model}", as_points(matters)
    a_map = "linear map brings back"
    little = "nothing" if found[RIDGE].value <= found[UNMAPPED].value else f"less than {points}"
    lost = found[TARGET] - found[UNMAPPED]
    aside = f"among {r.gallery:,} people, by a map learned from {r.fitted_people:,} others"
    if lost.value <= matters:
        costs = f"blur costs {r.degraded}"
        return Claim(
            (r.model,),
            lost,
            matters,
            {
                "no": f"There is little to undo in {r.model}: {costs} less than {points}; {told}",
                "undecided": f"Whether {costs} over {points} in {r.model}, to be undone, is open: {told}",
                "some": f"In {r.model} {costs} something; whether over {points} is open: {told}",
            },
            word="loss",
            aside=aside,
            unit=f"points of rank-1 lost by {r.degraded}",
            among=among,
            kind="map",
            marks={"no": "no need"},
            brief={"no": "little to undo", "undecided": "open"},
            evidence={f"rank-1, {entry}": one for entry, one in found.items()},
        )
    gain = found[RIDGE] - found[UNMAPPED]
    worse = f"A linear map makes {r.degraded} in {r.model} worse instead of better: {told}"
    harms = gain.sign == -1
    return Claim(
        (r.model,),
        gain,
        matters,
        {
            "yes": f"A {a_map} some of {what}: {told}",
            "no": worse if harms else f"A {a_map} {little} of {what}: {told}",
            "undecided": f"Whether a {a_map} over {points} of {what} is open: {told}",
            "some": f"A {a_map} some of {what}; whether over {points} is open: {told}",
        },
        word="gain",
        aside=aside,
        unit=f"points of rank-1 of {r.degraded}",
        among=among,
        kind="map",
        marks={"yes": "partly", "no": "worse" if harms else "hardly"},
        brief={
            "yes": "a map brings back some",
            "no": "a map makes it worse" if harms else "a map brings back little",
            "undecided": "open",
        },
        evidence={f"rank-1, {entry}": one for entry, one in found.items()},
    )


QUESTION = Question(
    text="Can a linear map undo what blur does?",
    needs={"restoration": "it fits maps from blurred to sharp vectors, and judges them on other people"},
    params=UndoingParams(),
    judge=judge,
)
