"""Asks whether the sphere is used: how many of their dimensions the vectors of a model spread along."""

from dataclasses import dataclass

from embedlab.analyses.geometry import RANK, RESULTANT, Geometry
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
    """Judge each model on images as they are, by the share of its dimensions that it spreads along."""
    found = []
    for r in results["geometry"]:
        if isinstance(r, Geometry):
            degraded = {probe for _, probe in degraded_pairs(r.probes)}
            probe = next(one for one in r.probes if one not in degraded)
            if (rank := r.get(RANK, probe)) is not None:
                found.append(_used(r, probe, rank, params.matters))
    return found


def _used(r: Geometry, probe: str, rank: Estimate, matters: float) -> Claim:
    shared = r.get(RESULTANT, probe) or Estimate(0.0, 0.0, 0.0)
    share = _share(rank, shared, r.dimension)
    about = f"{share.value * r.dimension:.0f} of {r.dimension} dimensions"
    told = f"its vectors of {probe}, their mean counted, spread as if along {about}"
    return Claim(
        (r.title,),
        share,
        matters,
        {
            "yes": f"{r.title} uses most of its sphere: {told}",
            "no": f"{r.title} uses the smaller part of its sphere: {told}",
            "undecided": f"Whether {r.title} uses most of its sphere is open: {told}",
        },
        spec=".0%",
        unit="share of the dimensions",
        kind="use",
        marks={"yes": "mostly", "no": "partly"},
        brief={"yes": "most is used", "no": "the smaller part is used", "undecided": "open"},
        evidence={RANK: rank} | ({RESULTANT: shared} if shared.n else {}),
    )


def _share(rank: Estimate, shared: Estimate, of: int) -> Estimate:
    """Count a direction that all vectors share among those they spread along: a narrow cone is one."""

    def along(spread: float | None, mean: float | None) -> float | None:
        if spread is None or mean is None:
            return None
        # People who share nothing have a mean of some length too, the null's.
        common = min(max(mean**2 - (shared.null or 0.0) ** 2, 0.0), 1.0)
        return min(1.0, 1 / (common**2 + (1 - common) ** 2 / max(spread, 1.0)) / of)

    value = along(rank.value, shared.value) or 0.0
    # A short mean adds a direction and a long one takes from the others, so either end may be the lower one.
    ends = [along(spread, mean) for spread in (rank.low, rank.high) for mean in (shared.low, shared.high)]
    told = [end for end in ends if end is not None]
    low, high = (min(*told, value), max(*told, value)) if len(told) == len(ends) else (None, None)
    return Estimate(value, low, high, rank.n, 1.0)


QUESTION = Question(
    text="Is the sphere used?",
    needs={"geometry": "it measures how the vectors lie on the sphere"},
    params=SphereParams(),
    judge=judge,
)
