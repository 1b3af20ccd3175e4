"""Asks whether the sphere is used: how many of their dimensions the vectors of a model spread along."""

from dataclasses import dataclass, replace

from embedlab.analyses.geometry import RANK, Geometry
from embedlab.analysis import Params, bounded
from embedlab.estimates import Estimate
from embedlab.over import degraded_pairs
from embedlab.question import Claim, Question, Results


@dataclass(frozen=True)
class SphereParams(Params):
    """What counts as used."""

    matters: float = bounded(0.5, above=0, below=1)
    """The share of the dimensions that the vectors must spread along."""


def judge(results: Results, params: SphereParams) -> list[Claim]:
    """Judge each model on images as they are, by its effective rank as a share of its dimensions."""
    found = []
    for r in results["geometry"]:
        if isinstance(r, Geometry):
            degraded = {probe for _, probe in degraded_pairs(r.probes)}
            probe = next(one for one in r.probes if one not in degraded)
            if (rank := r.get(RANK, probe)) is not None:
                found.append(_used(r, probe, rank, params.matters))
    return found


def _used(r: Geometry, probe: str, rank: Estimate, matters: float) -> Claim:
    told = f"its vectors of {probe} spread along {rank.value:.0f} of {r.dimension} dimensions"
    return Claim(
        (r.title,),
        _share(rank, r.dimension),
        matters,
        {
            "yes": f"{r.title} uses most of its sphere: {told}",
            "no": f"{r.title} uses the smaller part of its sphere: {told}",
            "undecided": f"Whether {r.title} uses most of its sphere is open: {told}",
        },
        spec=".0%",
        unit="share of the dimensions",
        evidence={RANK: rank},
    )


def _share(one: Estimate, of: int) -> Estimate:
    low, high = (None if end is None else end / of for end in (one.low, one.high))
    return replace(one, value=one.value / of, low=low, high=high, null=1.0, draws=one.draws / of)


QUESTION = Question(
    text="Is the sphere used?",
    needs={"geometry": "it measures how the vectors lie on the sphere"},
    params=SphereParams(),
    judge=judge,
)
