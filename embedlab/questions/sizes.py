"""Asks down to which size recognition holds, and whether one threshold is safe for all sizes."""

from dataclasses import dataclass

from embedlab.analyses.drift import FAR, Drift
from embedlab.analyses.resolution import TAR, Resolution
from embedlab.analysis import Params, bounded
from embedlab.question import Claim, Question, Results


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
    losses = [native - r.at(TAR, (r.last, k)) for k in range(r.last)]
    at = max((k for k in range(r.last) if losses[k].value > matters), default=0)
    size = r.names[at]
    left = r.at(TAR, (r.last, at)).value
    told = f"against a sharp gallery {left:.1%} are accepted, {native.value:.1%} as they are"
    return Claim(
        (r.model,),
        losses[at],
        matters,
        {
            "yes": f"{r.model} breaks at {size}: {told}",
            "no": f"{r.model} holds down to {size}: {told}",
            "undecided": f"Whether {r.model} breaks at {size} is open: {told}",
        },
        unit="points of TAR lost",
        among=r.last,
        evidence={f"TAR, native × {r.names[k]}": r.at(TAR, (r.last, k)) for k in range(r.last + 1)},
    )


def _unsafe(r: Drift, unsafe: float) -> Claim:
    cells = [(r.last, k) for k in range(r.last)] + [(k, k) for k in range(r.last)]
    worst = max(cells, key=lambda cell: r.at(FAR, cell).value)
    got, place = r.at(FAR, worst), " and ".join(dict.fromkeys(r.names[k] for k in worst))
    told = f"set for FAR {r.far:g} on native images, it gets {got.value:.2g} between those of {place}"
    return Claim(
        (r.model,),
        got,
        unsafe * r.far,
        {
            "yes": f"One threshold of {r.model} for all sizes is unsafe: {told}",
            "no": f"One threshold of {r.model} is safe for all sizes: {told}, the most",
            "undecided": f"Whether one threshold of {r.model} is safe for all sizes is open: {told}",
        },
        spec=".2g",
        unit="FAR",
        among=len(cells),
        hazard="yes",
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
)
