"""Asks whether some groups of people are treated worse than others: falsely matched or missed more often."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from embedlab.analyses.groups import FMR, FNMR, Groups
from embedlab.analysis import Params, bounded
from embedlab.estimates import MOST_TIMES, Estimate, as_points, shares, times
from embedlab.question import TIMES, Claim, Question, Results, listed, worst_of

Place = tuple[str, str, str, str]
"""A probe and a column, the group that is worse off there, and the one it is held against."""


@dataclass(frozen=True)
class GroupsParams(Params):
    """What counts as treated worse."""

    times: float = bounded(1.5, least=1)
    """How many times the FMR of another group is called worse."""
    missed: float = bounded(0.02, least=0, below=1)
    """The FNMR above that of another group that is called worse."""


def judge(results: Results, params: GroupsParams) -> list[Claim]:
    """Look in each model for the two groups that differ most, in FMR within them and in FNMR."""
    every = [r for r in results["groups"] if isinstance(r, Groups)]
    models = dict.fromkeys(r.model for r in every)
    return [
        claim
        for model in models
        for mine in [[r for r in every if r.model == model]]
        for claim in (_matched(model, mine, params.times), _missed(model, mine, params.missed))
    ]


def _rates(what: str, mine: Sequence[Groups]) -> dict[Place, tuple[Estimate, Estimate]]:
    """Hold each group against each other one, both ways round."""
    return {
        (r.probe, column, a, b): (rates[a], rates[b])
        for r in mine
        for column in r.columns
        for rates in [r.within(what, column)]
        for a, b in itertools.permutations(rates, 2)
    }


def _matched(model: str, mine: Sequence[Groups], limit: float) -> Claim:
    rates = _rates(FMR, mine)
    never = {f"{column} “{b}”": 0 for (_, column, _, b), (_, other) in rates.items() if other.value == 0}
    ratios = {place: times(one, other) for place, (one, other) in rates.items()}
    effects = {place: ratio for place, ratio in ratios.items() if ratio is not None}
    if never and not effects:
        none = next(iter(never))
        text = f"In {model} no two people of {none} match falsely, so that FMR has no ratio to theirs"
        return Claim((model,), None, limit, {"cannot": text}, fact="cannot")
    matters = math.log(limit)
    worst = worst_of(effects, matters)
    probe, column, a, b = worst
    one, other = rates[worst]
    two = f"two people of {column} “{a}”"
    told = f"FMR is {one.value:.2g} against {other.value:.2g} on {probe}"
    return Claim(
        (model,),
        effects[worst],
        matters,
        {
            "yes": f"In {model} {two} match falsely more often than two of “{b}”: {told}",
            "no": f"In {model} people of no {'other ' if never else ''}group match falsely over {limit:g} "
            f"times as often as of another: of {column} “{a}” and “{b}”, {told}",
            "undecided": f"Whether in {model} {two} match falsely over {limit:g} times as often as two of "
            f"“{b}” is open: {told}",
        },
        spec=TIMES,
        aside=f"no false match within {listed(list(never))}" if never else "",
        unit="times the FMR of another group",
        most=MOST_TIMES,
        kind=f"{FMR}, {column} “{a}” over “{b}” on {probe}",
        among=len(effects) // 2,
        hazard="yes",
        marks={"yes": "unequal", "no": "alike"},
        evidence={FMR: one, "FMR of the other group": other},
    )


def _missed(model: str, mine: Sequence[Groups], points: float) -> Claim:
    rates = _rates(FNMR, mine)
    effects = {place: one - other for place, (one, other) in rates.items()}
    worst = worst_of(effects, points)
    probe, column, a, b = worst
    one, other = rates[worst]
    they = f"people of {column} “{a}”"
    told = f"FNMR is {' against '.join(shares(one, other))} on {probe}"
    return Claim(
        (model,),
        effects[worst],
        points,
        {
            "yes": f"In {model} {they} are missed more often than those of “{b}”: {told}",
            "no": f"In {model} no group is missed over {as_points(points)} more often than another: of "
            f"{column} “{a}” and “{b}”, {told}",
            "undecided": f"Whether in {model} {they} are missed over {as_points(points)} more often than "
            f"those of “{b}” is open: {told}",
        },
        unit="points of FNMR above another group",
        kind=f"{FNMR}, {column} “{a}” over “{b}” on {probe}",
        among=len(effects) // 2,
        hazard="yes",
        marks={"yes": "unequal", "no": "alike"},
        evidence={FNMR: one, "FNMR of the other group": other},
    )


QUESTION = Question(
    text="Are some groups of people treated worse than others?",
    needs={"groups": "it measures FMR and FNMR of the groups that the columns of attributes name"},
    params=GroupsParams(),
    judge=judge,
    hazards=True,
)
