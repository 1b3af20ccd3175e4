"""Asks whether a linear map can undo what blur does to the vectors."""

from dataclasses import dataclass

from embedlab.analyses.restoration import Restoration
from embedlab.analysis import Params, bounded
from embedlab.estimates import Estimate, as_points, shares
from embedlab.maths.linear.crossmodel import RANK_1
from embedlab.maths.linear.map_trials import RIDGE, TARGET, UNMAPPED
from embedlab.question import MANY_CLAIMS, Claim, Question, Results, no_room, simultaneous, worst_of


@dataclass(frozen=True)
class UndoingParams(Params):
    """What counts as undone."""

    matters: float = bounded(0.02, least=0, below=1)
    """The rise of rank-1 that makes a map worth having."""


def judge(results: Results, params: UndoingParams) -> list[Claim]:
    """Judge each model by the degraded probe of which ridge brings back most, where one loses what matters.

    Where none does it is the one that loses most.
    """
    models: dict[str, list[Restoration]] = {}
    for r in results["restoration"]:
        if isinstance(r, Restoration):
            models.setdefault(r.model, []).append(r)
    return [_undone(_deciding(them, params.matters), len(them), params.matters) for them in models.values()]


def _deciding(them: list[Restoration], matters: float) -> Restoration:
    """Pick as ``worst_of`` does: of what loses all, as faces of 8 px do, no map brings anything back."""
    lossy = {k: _gain(r) for k, r in enumerate(them) if _lost(r).value > matters}
    return them[worst_of(lossy, matters)] if lossy else max(them, key=lambda r: _lost(r).value)


def _lost(r: Restoration) -> Estimate:
    return r.estimates[RANK_1, TARGET] - r.estimates[RANK_1, UNMAPPED]


def _gain(r: Restoration) -> Estimate:
    return r.estimates[RANK_1, RIDGE] - r.estimates[RANK_1, UNMAPPED]


def _undone(r: Restoration, among: int, matters: float) -> Claim:
    found = {entry: r.estimates[RANK_1, entry] for entry in (UNMAPPED, RIDGE, TARGET)}
    sharp_alone = f"Rank-1 of sharp images in {r.model}, among {r.gallery:,} people,"
    if (none := no_room((r.model,), found[TARGET], matters, sharp_alone, "map")) is not None:
        return none
    what, points = f"what {r.degraded} loses in {r.model}", as_points(matters)
    a_map = "linear map brings back"
    little = "nothing" if found[RIDGE].value <= found[UNMAPPED].value else f"less than {points}"
    lost, gain = _lost(r), _gain(r)
    # As finely as the one difference asks for that is told.
    order = (UNMAPPED, TARGET, RIDGE) if lost.value <= matters else (UNMAPPED, RIDGE, TARGET)
    first, second, last = (found[entry] for entry in order)
    written = dict(zip(order, shares(first, second, beside=(last,)), strict=True))
    told = f"rank-1 is {written[UNMAPPED]} blurred, {written[RIDGE]} mapped, {written[TARGET]} sharp"
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
    worse = f"A linear map makes {r.degraded} in {r.model} worse instead of better: {told}"
    harms = simultaneous(gain, MANY_CLAIMS).sign == -1
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
