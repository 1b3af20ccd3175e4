"""Asks whether sharp and blurred images of one person land in the same place."""

from dataclasses import dataclass

from embedlab.analyses.resolution import TAR, Resolution
from embedlab.analysis import Params, bounded
from embedlab.estimates import Estimate, as_points, shares
from embedlab.question import Claim, Question, Results, no_room, worst_of


@dataclass(frozen=True)
class PlacesParams(Params):
    """What counts as apart."""

    matters: float = bounded(0.02, least=0, below=1)
    """The TAR that mixing sharp and blurred images may cost before they are called apart."""


def judge(results: Results, params: PlacesParams) -> list[Claim]:
    """Judge each model by what mixing costs: a sharp with a blurred image against the worse of two alike."""
    return [
        _apart(r, params.matters) for r in results["resolution"] if isinstance(r, Resolution) and r.last > 0
    ]


def _worse(r: Resolution, k: int) -> Estimate:
    """Give the TAR of images of a size among themselves or that of native ones, whichever is less."""
    native, alike = (r.at(TAR, (p, p)) for p in (r.last, k))
    return min(alike, native, key=lambda one: one.value)


def _apart(r: Resolution, matters: float) -> Claim:
    worse = {k: _worse(r, k) for k in range(r.last)}
    what = f"TAR of {r.model} at FAR {r.far:g} on images of any one size"
    top = max(worse.values(), key=lambda one: one.value)
    if (none := no_room((r.model,), top, matters, what, "mixing")) is not None:
        return none
    costs = {k: one - r.at(TAR, (r.last, k)) for k, one in worse.items() if one.value > matters}
    at = worst_of(costs, matters)
    native, alike, mixed = (r.at(TAR, cell) for cell in ((r.last, r.last), (at, at), (r.last, at)))
    which = "blurred" if alike.value <= native.value else "sharp"
    whole, left = shares(worse[at], mixed)
    told = f"{left} of mixed genuine pairs at {r.names[at]} are accepted, {whole} of {which} ones"
    mixing, points = f"ixing sharp and blurred images costs {r.model}", as_points(matters)
    return Claim(
        (r.model,),
        costs[at],
        matters,
        {
            "yes": f"M{mixing} over {points} beyond blur itself: {told}",
            "no": f"M{mixing} less than {points} beyond blur itself: {told}",
            "undecided": f"Whether m{mixing} over {points} beyond blur itself is open: {told}",
        },
        unit=f"points of TAR that mixing costs at {r.names[at]}",
        among=r.last,
        word="cost",
        aside=f"each at its own threshold of FAR {r.far:g}",
        evidence={f"cost of mixing native and {r.names[k]}": cost for k, cost in costs.items()},
        kind="mixing",
        marks={"yes": "apart", "no": "together"},
        brief={"yes": "mixing costs", "no": "mixing costs little", "undecided": "open"},
    )


QUESTION = Question(
    text="Do sharp and blurred images of one person land in different places?",
    needs={"resolution": "it matches sharp with blurred images, and each with its like"},
    params=PlacesParams(),
    judge=judge,
)
