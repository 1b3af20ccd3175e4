"""Asks whether a score promises the same probability on other probes as on the first one."""

from dataclasses import dataclass

from embedlab.analyses.calibration import NATIVE, OWN, Calibrated
from embedlab.analysis import Params, bounded
from embedlab.errors import UserError
from embedlab.question import Claim, Question, Results, worst_of


@dataclass(frozen=True)
class WorthParams(Params):
    """What counts as misleading."""

    matters: float = bounded(0.05, above=0, below=1)
    """The bits a pair that a calibration may cost beyond one of the probe's own; saying nothing costs one."""


def judge(results: Results, params: WorthParams) -> list[Claim]:
    """Judge each model by the probe on which the first one's calibration costs most.

    Raises
    ------
    UserError
        If there is one probe only.
    """
    every = [r for r in results["calibration"] if isinstance(r, Calibrated)]
    found = [_misleads(r, params.matters) for r in every if len(r.probes) > 1]
    if every and not found:
        raise UserError(f"scores were calibrated on {every[0].probes[0]} only: name a second probe")
    return found


def _misleads(r: Calibrated, matters: float) -> Claim:
    first, *others = r.probes
    losses = {probe: r.estimates[NATIVE, probe] - r.estimates[OWN, probe] for probe in others}
    probe = worst_of(losses, matters)
    by, own = (r.estimates[what, probe] for what in (NATIVE, OWN))
    told = f"Cllr is {by.value:.3f} by the calibration of {first}, {own.value:.3f} by its own"
    what = f"a score of {r.model} is worth on {probe} what it is on {first}"
    return Claim(
        (r.model,),
        losses[probe],
        matters,
        {
            "yes": f"On {probe} a score of {r.model} is not worth what it is on {first}: {told}",
            "no": f"A{what[1:]}: {told}",
            "undecided": f"Whether {what} is open: {told}",
        },
        spec="+.3f",
        word="cost",
        unit=f"bits a pair on {probe}",
        among=len(others),
        marks={"yes": "misleads", "no": "holds"},
        brief={"yes": "misleads", "no": "holds", "undecided": "open"},
        evidence={f"{what}, {at}": r.estimates[what, at] for at in others for what in (NATIVE, OWN)},
    )


QUESTION = Question(
    text="Does a score promise the same probability on other images as on the sharp ones?",
    needs={"calibration": "it turns scores into probabilities on one probe, and judges them on others"},
    params=WorthParams(),
    judge=judge,
)
