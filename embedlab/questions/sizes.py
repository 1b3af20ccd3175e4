"""Asks down to which size recognition holds, and whether one threshold is safe for all sizes."""

from dataclasses import dataclass

from embedlab.analyses.drift import FAR, Drift
from embedlab.analyses.resolution import TAR, Resolution
from embedlab.analysis import Params, bounded
from embedlab.estimates import as_points, shares
from embedlab.question import (
    MANY_CLAIMS,
    Claim,
    Question,
    Results,
    no_room,
    simultaneous,
    verdict_of,
    worst_of,
)
from embedlab.resolutions import between

BREAKS, UNSAFE = "break", "threshold"
"""The kinds of claims: where recognition breaks, and whether one threshold will do."""


@dataclass(frozen=True)
class SizesParams(Params):
    """What counts as a loss and as unsafe."""

    matters: float = bounded(0.1, least=0, below=1)
    """The loss of TAR against native images that is called a break."""
    unsafe: float = bounded(3.0, least=1)
    """How many times the FAR that was asked for a threshold may let in."""


def judge(results: Results, params: SizesParams) -> list[Claim]:
    """Look for the largest size that breaks each model, and for the sizes at which its threshold is worst."""
    held = [_breaks(r, params.matters) for r in results.get("resolution", ()) if isinstance(r, Resolution)]
    return held + [_unsafe(r, params.unsafe) for r in results.get("drift", ()) if isinstance(r, Drift)]


def _breaks(r: Resolution, matters: float) -> Claim:
    native = r.at(TAR, (r.last, r.last))
    what = f"TAR of {r.model} at FAR {r.far:g} on native images"
    if (none := no_room((r.model,), native, matters, what, BREAKS)) is not None:
        return none
    losses = [native - r.at(TAR, (r.last, k)) for k in range(r.last)]
    broken = [k for k in range(r.last) if losses[k].value > matters]
    sure = [k for k in broken if verdict_of(simultaneous(losses[k], MANY_CLAIMS), matters) == "yes"]
    at = max(sure or broken, default=0)
    size, latest = r.names[at], " at the latest" if broken and at < broken[-1] else ""
    whole, left = shares(native, r.at(TAR, (r.last, at)))
    told = (
        f"at FAR {r.far:g}, {left} of genuine pairs are accepted if one image is so small, {whole} if neither"
    )
    return Claim(
        (r.model,),
        losses[at],
        matters,
        {
            "yes": f"{r.model} breaks at {size}{latest}: {told}",
            "no": f"{r.model} holds down to {size}: {told}",
            "undecided": f"Whether {r.model} loses over {as_points(matters)} at {size} is open: {told}",
        },
        unit=f"points of TAR lost at {size}{latest}",
        among=r.last,
        word="loss",
        evidence={f"TAR, native × {r.names[k]}": r.at(TAR, (r.last, k)) for k in range(r.last + 1)},
        kind=BREAKS,
        marks={"yes": "breaks", "no": "holds"},
        brief={"yes": f"breaks at {size}", "no": f"holds down to {size}", "undecided": "open"},
    )


def _unsafe(r: Drift, unsafe: float) -> Claim:
    cells = [(r.last, k) for k in range(r.last)] + [(k, k) for k in range(r.last)]
    worst = worst_of({cell: r.at(FAR, cell) for cell in cells}, unsafe * r.far)
    got, place = r.at(FAR, worst), between(r.place(worst))
    one, told = f"One threshold of {r.model}", f"set for FAR {r.far:g} on native images, it"
    return Claim(
        (r.model,),
        got,
        unsafe * r.far,
        {
            "yes": f"{one} for all sizes is unsafe: {told} lets in many more strangers {place}",
            "no": f"{one} is safe for all sizes: {told} lets in few more, even {place}",
            "undecided": f"Whether o{one[1:]} is safe for all sizes is open: {told} may let in many more "
            f"{place}",
        },
        spec=".2g",
        least=0.0,
        most=1.0,
        unit=f"FAR {place}",
        among=len(cells),
        hazard="yes",
        word="FAR",
        kind=UNSAFE,
        marks={"yes": "unsafe", "no": "safe"},
        brief={"yes": "one threshold is unsafe", "no": "one threshold is safe", "undecided": "open"},
        evidence={f"FAR, {' × '.join(r.names[k] for k in cell)}": r.at(FAR, cell) for cell in cells},
    )


QUESTION = Question(
    text="Down to which size does recognition hold, and is one threshold safe for all sizes?",
    needs={
        "resolution": "it matches sharp galleries with probes of every size",
        "drift": "it keeps one threshold for all sizes",
    },
    params=SizesParams(),
    judge=judge,
    hazards=True,
)
