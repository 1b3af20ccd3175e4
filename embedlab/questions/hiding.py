"""Asks which model's vectors hide better how large an image was, as one trained to hide it should."""

from dataclasses import dataclass

from embedlab.analyses.separability import Separability
from embedlab.analysis import Params, bounded
from embedlab.errors import UserError
from embedlab.estimates import Estimate, as_points, shares
from embedlab.question import Claim, Question, Results, best_of, listed


@dataclass(frozen=True)
class HidingParams(Params):
    """What counts as hiding better."""

    matters: float = bounded(0.05, least=0, below=1)
    """The smallest difference in how many images' sizes are read rightly that is worth speaking of."""


def judge(results: Results, params: HidingParams) -> list[Claim]:
    """Hold the model that hides best against the second, at the probe that is read worst in all of them."""
    every = [r for r in results["separability"] if isinstance(r, Separability)]
    if not every:
        return []
    alike = {r.title: r for r in every if r.reference == every[0].reference}
    shared = [name for name in every[0].probes if all(name in r.probes for r in alike.values())]
    if len({r.title for r in every}) < 2:
        raise UserError(f"{every[0].title} is held against no other model: name two")
    if len(alike) < 2 or not shared:
        models = listed(dict.fromkeys(r.title for r in every))
        raise UserError(f"{models} have no degraded images in common: embed the same probes for all")
    probe = min(shared, key=lambda name: sum(r.of(name).value for r in alike.values()))
    return [_hides(alike, probe, len(shared), params.matters)]


def _hides(models: dict[str, Separability], probe: str, probes: int, matters: float) -> Claim:
    read: dict[str, Estimate] = {name: r.of(probe) for name, r in models.items()}
    best, second, gap, among = best_of({name: -one for name, one in read.items()})
    native, points = models[best].reference, as_points(matters)
    told = " and ".join(shares(read[best], read[second]))
    told = f"a linear classifier tells {probe} from {native} in {told} of new people's images"
    return Claim(
        (best, second),
        gap,
        matters,
        {
            "yes": f"{best} hides the size of images better than {second}",
            "no": f"{best} hides the size of images less than {points} better than {second}",
            "undecided": f"Whether {best} hides sizes over {points} better than {second} is open",
            "some": f"{best} hides the size of images better than {second}; whether by over {points} is open",
        },
        aside=told,
        marks={"yes": "better", "no": "alike"},
        unit=f"points of accuracy at {probe}",
        among=among * probes,
        evidence={f"accuracy at {probe}, {name}": one for name, one in read.items()},
        winner=best,
    )


QUESTION = Question(
    text="Which model's vectors hide better how many pixels an image had?",
    needs={"separability": "it reads resolution from vectors, and is judged on other people"},
    params=HidingParams(),
    judge=judge,
)
