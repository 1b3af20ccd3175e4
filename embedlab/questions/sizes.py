"""Asks down to which size recognition holds, and whether one threshold is safe for all sizes."""

from dataclasses import dataclass

from embedlab.analyses.resolution import GOT, OWN, Resolution
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
    found = []
    for r in results["resolution"]:
        if isinstance(r, Resolution) and r.last > 0:
            found += [_breaks(r, params.matters), _unsafe(r, params.unsafe)]
    return found


def _breaks(r: Resolution, matters: float) -> Claim:
    native = r.at(OWN, (r.last, r.last))
    losses = [native - r.at(OWN, (r.last, k)) for k in range(r.last)]
    broken = [k for k in range(r.last) if losses[k].value > matters]
    at = max(broken, default=0)
    told = f"a sharp gallery accepts {r.at(OWN, (r.last, at)).value:.1%} of {r.names[at]} probes"
    told += f", {native.value:.1%} of sharp ones"
    name = r.names[at]
    return Claim(
        (r.model,),
        losses[at],
        matters,
        {
            "yes": f"{r.model} breaks at {name}: {told}",
            "no": f"{r.model} holds down to {name}: {told}",
            "undecided": f"Whether {r.model} breaks at {name} is open: {told}",
        },
        unit="points of TAR lost",
        among=r.last,
        evidence={
            f"TAR at FAR {r.far:g}, native × {r.names[k]}": r.at(OWN, (r.last, k)) for k in range(r.last)
        },
    )


def _unsafe(r: Resolution, unsafe: float) -> Claim:
    cells = [(g, p) for g in range(r.last + 1) for p in range(g + 1) if (g, p) != (r.last, r.last)]
    worst = max(cells, key=lambda cell: r.at(GOT, cell).value)
    got = r.at(GOT, worst)
    place = " and ".join(dict.fromkeys(r.names[k] for k in worst))
    told = f"set for FAR {r.far_asked:g} on native images, it gets {got.value:.2g} among {place} images"
    return Claim(
        (r.model,),
        got,
        unsafe * r.far_asked,
        {
            "yes": f"One threshold of {r.model} for all sizes is unsafe: {told}",
            "no": f"One threshold of {r.model} is safe for all sizes: {told}, the most",
            "undecided": f"Whether one threshold of {r.model} is safe for all sizes is open: {told}",
        },
        spec=".2g",
        unit="FAR",
        among=len(cells),
        hazard="yes",
        evidence={f"FAR, {' × '.join(r.names[k] for k in cell)}": r.at(GOT, cell) for cell in cells},
    )


QUESTION = Question(
    text="Down to which size does recognition hold, and is one threshold safe for all sizes?",
    needs={"resolution": "it matches galleries and probes of every size"},
    params=SizesParams(),
    judge=judge,
)
