"""Asks whether sharp and blurred images of one person land in the same place."""

from dataclasses import dataclass

from embedlab.analyses.resolution import TAR, Resolution
from embedlab.analysis import Params, bounded
from embedlab.estimates import Estimate, as_points, shares
from embedlab.question import Claim, Question, Results, worst_of


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


def _cost(r: Resolution, k: int) -> Estimate:
    """Give what is lost between native images and those of a size, beyond what that size itself costs."""
    native, alike = (r.at(TAR, (p, p)) for p in (r.last, k))
    return min(native, alike, key=lambda one: one.value) - r.at(TAR, (r.last, k))


def _apart(r: Resolution, matters: float) -> Claim:
    costs = {k: _cost(r, k) for k in range(r.last)}
    at = worst_of(costs, matters)
    native, alike, mixed = (r.at(TAR, cell) for cell in ((r.last, r.last), (at, at), (r.last, at)))
    which = "blurred" if alike.value <= native.value else "sharp"
    worse, left = shares(min(alike, native, key=lambda one: one.value), mixed)
    told = f"{left} of mixed genuine pairs at {r.names[at]} are accepted, {worse} of {which} ones"
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
