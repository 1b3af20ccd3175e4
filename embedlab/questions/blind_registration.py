"""Asks whether registration that is told no pairs finds the true correspondence."""

from dataclasses import dataclass

from embedlab.analyses.registration import RIVALS, Registration
from embedlab.analysis import Params, bounded
from embedlab.maths.clouds.trials import AFTER, IMAGE, PROCRUSTES
from embedlab.question import Claim, Question, Results


@dataclass(frozen=True)
class BlindParams(Params):
    """What counts as found."""

    matters: float = bounded(0.02, least=0, below=1)
    """The share of images that must find themselves beyond what does so without registration."""


def judge(results: Results, params: BlindParams) -> list[Claim]:
    """Judge the pair, of blurred and sharp and of two models, for which registration adds most."""
    kinds: dict[bool, list[tuple[Registration, int]]] = {}
    for r in results["registration"]:
        if isinstance(r, Registration):
            within = r.models[0] == r.models[1]
            kinds.setdefault(within, []).extend((r, k) for k in range(len(r.spaces)))
    return [_found(*max(them, key=_gain), len(them), params.matters) for them in kinds.values()]


def _gain(one: tuple[Registration, int]) -> float:
    r, space = one
    return r.of(IMAGE, AFTER, space).value - r.of(IMAGE, r.most(RIVALS, space), space).value


def _found(r: Registration, space: int, among: int, matters: float) -> Claim:
    rival = r.most(RIVALS, space)
    after, before, known = (r.of(IMAGE, how, space) for how in (AFTER, rival, PROCRUSTES))
    told = f"on {r.spaces[space]}, {after.value:.1%} of images find themselves, {before.value:.1%} without"
    told += f" it, {known.value:.1%} by known pairs"
    return Claim(
        tuple(dict.fromkeys(r.models)),
        after - before,
        matters,
        {
            "yes": f"Registration finds more than was there for {r.short}: {told}",
            "no": f"Registration finds nothing that was not there for {r.short}: {told}",
            "undecided": f"Whether registration finds more than was there for {r.short} is open: {told}",
        },
        unit="points of images",
        among=among,
        evidence={f"same image, {how}": r.of(IMAGE, how, space) for how in r.maps},
    )


QUESTION = Question(
    text="Does registration without pairs find the true correspondence?",
    needs={"registration": "it registers clouds blindly, and judges on other people"},
    params=BlindParams(),
    judge=judge,
)
