"""Asks whether a model fails once very many people are enrolled: how many it then leaves unnamed."""

from dataclasses import dataclass

from embedlab.analyses.scaling import FNIR, FPIR, THRESHOLD, Scaling, enrolled
from embedlab.analysis import Params, bounded
from embedlab.question import Claim, Question, Results


@dataclass(frozen=True)
class GrowthParams(Params):
    """What counts as failing."""

    matters: float = bounded(0.1, above=0, below=1)
    """The share of enrolled people's probes that may go unnamed."""


def judge(results: Results, params: GrowthParams) -> list[Claim]:
    """Judge each model on the first of its probes whose tail could be fitted."""
    first: dict[str, Scaling] = {}
    for r in results["scaling"]:
        if isinstance(r, Scaling):
            first.setdefault(r.model, r)
    return [_fails(r, params.matters) for r in first.values()]


def _fails(r: Scaling, matters: float) -> Claim:
    size = enrolled(r.people)
    fnir = r.estimates[FNIR, size]
    told = f"FNIR extrapolated from {r.probe}, at FPIR {r.fpir:g}"
    among, on = f"of enrolled people’s images unnamed once {r.people:,} are enrolled", ""
    if "@" in r.probe:
        # Only shrunk images could be judged, which may fail before there are many people.
        told, on = f"FNIR extrapolated, at FPIR {r.fpir:g}", f" on {r.probe}"
        among = f"of enrolled people’s images of {r.probe} unnamed once {r.people:,} are enrolled"
    return Claim(
        (r.model,),
        fnir,
        matters,
        {
            "yes": f"{r.model} leaves over {matters:.0%} {among}: {told}",
            "no": f"{r.model} leaves at most {matters:.0%} {among}: {told}",
            "undecided": f"Whether {r.model} leaves over {matters:.0%} {among} is open: {told}",
        },
        spec=".1%",
        unit=f"FNIR{on}",
        kind=f"{size}{on}",
        marks={"yes": "fails", "no": "holds"},
        brief={"yes": "fails", "no": "holds", "undecided": "open"},
        evidence={what: r.estimates[what, size] for what in (THRESHOLD, FPIR)},
    )


QUESTION = Question(
    text="Does it fail once very many people are enrolled?",
    needs={"scaling": "it foretells FNIR among more people than there are"},
    params=GrowthParams(),
    judge=judge,
)
