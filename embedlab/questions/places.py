"""Asks whether sharp and blurred images of one person land in the same place."""

from dataclasses import dataclass

from embedlab.analyses.resolution import TAR, Resolution
from embedlab.analysis import Params, bounded
from embedlab.estimates import Estimate
from embedlab.question import Claim, Question, Results


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
    at = max(costs, key=lambda k: costs[k].value)
    size = r.names[at]
    alike, mixed = r.at(TAR, (at, at)).value, r.at(TAR, (r.last, at)).value
    told = f"at {size}, {mixed:.1%} of mixed pairs are accepted, {alike:.1%} of blurred ones"
    where = f"in {r.model} sharp and blurred images of a person"
    return Claim(
        (r.model,),
        costs[at],
        matters,
        {
            "yes": f"Yes: {where} land in different places: {told}",
            "no": f"No: {where} land in the same place: {told}",
            "undecided": f"Whether {where} land apart is open: {told}",
        },
        unit="points of TAR that mixing costs",
        among=r.last,
        evidence={f"cost of mixing native and {r.names[k]}": cost for k, cost in costs.items()},
    )


QUESTION = Question(
    text="Do sharp and blurred images of one person land in different places?",
    needs={"resolution": "it matches sharp with blurred images, and each with its like"},
    params=PlacesParams(),
    judge=judge,
)
