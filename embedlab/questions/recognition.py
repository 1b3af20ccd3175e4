"""Asks which model recognises better, and from which score on two images are called one person.

Models are held apart by points of TAR, and where errors are few by how many times as many the second makes:
of 0.9 % and 1.8 % twice as many, though that is no point. With d points and r times that matter, the ratio
judges where the best errs in less than d / (r − 1) of pairs: there, who lies d points behind errs r times as
often as well, and of more errors it is the other way round. So one claim covers both.
"""

import math
from dataclasses import dataclass, replace

from embedlab.analyses.verification import Verification
from embedlab.analysis import Params, bounded
from embedlab.errors import UserError
from embedlab.estimates import MOST_TIMES, Estimate, as_points, shares, times_the_errors
from embedlab.over import degraded_pairs
from embedlab.question import TIMES, Claim, Question, Results

CLOSE = 1e-3
"""A threshold so near to 1 is one of scores that lie close together, and needs more digits."""


@dataclass(frozen=True)
class RecognitionParams(Params):
    """What matters when models are compared."""

    matters: float = bounded(0.02, least=0, below=1)
    """The smallest difference of TAR that is worth changing a model for."""
    ratio: float = bounded(1.5, above=1)
    """How many times the errors are worth it, where errors are so few that points of TAR say little."""
    wanted: float = bounded(0.95, above=0, below=1)
    """The TAR that a single model is asked to reach."""


def judge(results: Results, params: RecognitionParams) -> list[Claim]:
    """Hold the best model against the others, on images as they are; one model against what is wanted."""
    every = [r for r in results["verification"] if isinstance(r, Verification) and not r.templates]
    probes = tuple(dict.fromkeys(r.probe for r in every))
    degraded = {probe for _, probe in degraded_pairs(probes)}
    found = []
    for probe in (probe for probe in probes if probe not in degraded):
        there = {r.model: r for r in every if r.probe == probe and r.at(r.far) is not None}
        if len(there) > 1:
            found += _best(there, probe, params)
        else:
            found += [_enough(r, probe, params.wanted) for r in there.values()]
    if not found and every:
        raise UserError(
            f"{every[0].impostor_pairs:,} impostor pairs resolve no FAR of {every[0].far:g}: add images of "
            "more people"
        )
    return found


def _tar(r: Verification) -> Estimate:
    return r.tar(r.far)


def _threshold(r: Verification) -> str:
    score = float(r.thresholds[r.at(r.far) or 0])
    return f"{score:.4f}" if abs(1 - score) > CLOSE else f"{score:.8f}"


def _best(there: dict[str, Verification], probe: str, params: RecognitionParams) -> list[Claim]:
    """Hold the best of some models against all others: first the second, which decides whether it is best."""
    order = sorted(there, key=lambda name: -_tar(there[name]).value)
    best, second, *others = (there[name] for name in order)
    lead = _apart(best, second, probe, params, math.comb(len(order), 2))
    found = {f"TAR at FAR {r.far:g}, {name}": _tar(r) for name, r in there.items()}
    thresholds = f"thresholds {_threshold(best)} and {_threshold(second)}"
    rest = [_apart(best, other, probe, params, lead.among) for other in others]
    return [
        replace(lead, evidence=found, aside=thresholds),
        # Each of its own unit, so that of few models each is told by itself.
        *(replace(one, unit=f"{one.unit} of {one.subject[1]}") for one in rest),
    ]


def _apart(
    first: Verification, other: Verification, probe: str, params: RecognitionParams, among: int
) -> Claim:
    best, second = first.model, other.model
    pairs = f"of genuine pairs at FAR {first.far:g}"
    points, times = as_points(params.matters), f"{params.ratio:g} times as often"
    gap, ratio = _tar(first) - _tar(other), times_the_errors(_tar(first), _tar(other))
    # Where errors are so few, so many times as many are not yet points that matter; else it is the other way.
    if ratio is not None and (params.ratio - 1) * (1 - _tar(first).value) < params.matters:
        told = f"{_tar(first).value:.1%} against {_tar(other).value:.1%} {pairs}"
        gap, matters, spec, unit = ratio, math.log(params.ratio), TIMES, "times the errors"
        yes = f"{best} recognises more on {probe} than {second}, which errs over {times}"
        no = f"{best} and {second} recognise alike on {probe}, to within {params.ratio:g} times the errors"
        some = f"{best} recognises more on {probe} than {second}; whether {second} errs over {times} is open"
    else:
        told = f"{' against '.join(shares(_tar(first), _tar(other)))} {pairs}"
        matters, spec, unit = params.matters, "points", "points of TAR"
        yes = f"{best} recognises more on {probe} than {second}"
        no = f"{best} and {second} recognise alike on {probe}, to within {points}"
        some = f"{best} recognises more on {probe} than {second}; whether over {points} more is open"
    return Claim(
        (best, second),
        gap,
        matters,
        {
            "yes": f"{yes}: {told}",
            "no": f"{no}: {told}",
            "undecided": f"Which of {best} and {second} recognises more on {probe} is open: {told}",
            "some": f"{some}: {told}",
        },
        spec,
        unit,
        among,
        winner=best,
        kind=f"the best on {probe}",
        brief={"yes": f"less than {best}", "no": f"like {best}", "undecided": "open"},
        marks={"yes": "better", "no": "alike"},
        most=MOST_TIMES,
    )


def _enough(r: Verification, probe: str, wanted: float) -> Claim:
    tar = _tar(r)
    told = f"of genuine pairs on {probe} at FAR {r.far:g}, threshold {_threshold(r)}"
    return Claim(
        (r.model,),
        tar,
        wanted,
        {
            "yes": f"{r.model} accepts more than the wanted {wanted:.0%} {told}",
            "no": f"{r.model} accepts less than the wanted {wanted:.0%} {told}",
            "undecided": f"Whether {r.model} accepts the wanted {wanted:.0%} {told}, is open",
        },
        spec=".1%",
        unit="TAR",
        evidence={f"TAR at FAR {r.far:g}": tar},
        winner=r.model,
        marks={"yes": "enough", "no": "too few"},
    )


QUESTION = Question(
    text="Which model recognises better, and from which score on is it one person?",
    needs={"verification": "it measures how many genuine pairs are accepted at a stated risk"},
    params=RecognitionParams(),
    judge=judge,
)
