"""Asks whether two networks have the same first-layer filters."""

from dataclasses import dataclass

from embedlab.analyses.kernels import Kernels
from embedlab.analysis import Params, bounded
from embedlab.question import Claim, Question, Results


@dataclass(frozen=True)
class FiltersParams(Params):
    """What counts as the same."""

    matters: float = bounded(0.05, least=0, below=1)
    """The correlation of matched kernels that is worth speaking of, beyond that of turned ones."""


def judge(results: Results, params: FiltersParams) -> list[Claim]:
    """Judge the two networks whose matched kernels agree most beyond turned ones, by its test."""
    every = [r for r in results["kernels"] if isinstance(r, Kernels) and r.correlation is not None]
    if not every:
        return []
    return [_same(max(every, key=_beyond), len(every), params.matters)]


def _beyond(r: Kernels) -> float:
    return (r.correlation.value if r.correlation else 0.0) - r.turned


def _same(r: Kernels, among: int, matters: float) -> Claim:
    mean = r.correlation
    value = mean.value if mean else float("nan")
    told = f"matched ones correlate at {value:.2f}, at {r.turned:.2f} where turned at random"
    pair = f"{r.a} and {r.b}"
    return Claim(
        (r.a, r.b),
        mean and type(mean)(_beyond(r), n=mean.n),
        matters,
        {
            "yes": f"{pair} share filters in their first layers: {told}",
            "undecided": f"That {pair} share filters in their first layers is not shown: {told}",
        },
        spec=".2f",
        unit="correlation",
        marks={"yes": "shared"},
        among=among,
        evidence={"mean |r| of matched kernels": mean} if mean else {},
        p=r.turned_p,
    )


QUESTION = Question(
    text="Are two networks' filters the same?",
    needs={"kernels": "it matches the first-layer kernels of two networks"},
    params=FiltersParams(),
    judge=judge,
)
