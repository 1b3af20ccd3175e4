"""As many people as the analyses take in a given time, found by taking ever more of them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from time import perf_counter
from typing import TYPE_CHECKING

from embedlab.commands.preparation import Prepared, Stages, prepare
from embedlab.commands.request import Request
from embedlab.errors import UserError
from embedlab.progress import say
from embedlab.study import Study

if TYPE_CHECKING:
    from embedlab.study import Planned

FIRST = 200
"""People of the first try."""
WORTH = 1.3
"""How many times as many people there must be in a further try, which costs the time of all before it."""
MOST = 8.0
"""How many times as many there may be at most, however short a try was: loading is much of the first."""
UNITS = {"": 1, "s": 1, "min": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """Read ``90s``, ``5min`` or ``2h``; a plain number is seconds.

    Raises
    ------
    UserError
        If it is none of these, or no time at all.
    """
    told = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|)\s*", text)
    if told is None or not float(told[1]):
        raise UserError(f"--within {text!r} is no time: write 90s, 5min or 2h")
    return float(told[1]) * UNITS[told[2]]


def fitted(
    request: Request, study: Study, questions: "Sequence[Planned]", seconds: float
) -> tuple[Request, Prepared]:
    """Draw as many people as are analysed within a time, and analyse them.

    Analyses take at most four times as long for twice the people. So the time of one try says how many more
    the next one can have, and a try computes all anew: what is fetched says nothing of time. Results of the
    last one are in the lab, for the report to fetch.

    Parameters
    ----------
    request, study, questions
        What is asked, of all people.
    seconds
        How long the analyses may take, all tries together; embedding the people who are tried is not counted.

    Returns
    -------
    What is asked now, which no longer computes anything again, and the study with the number of people in it.

    Raises
    ------
    UserError
        As ``prepare`` does, or if the study says already how many people are drawn.
    """
    from embedlab.runner import outcomes, sets_used

    if study.people:
        raise UserError(
            f"the study draws {study.people:,} people already: leave out --within, or people = in the study"
        )
    people, left, made, stages = FIRST, seconds, request, Stages()
    every = people + 1
    while people < every:
        # Of images, only those of the people who are tried are embedded.
        tried = _prepared(made, replace(study, people=people), questions, stages)
        # What was trained and embedded anew once is not for every try.
        made = replace(request, fresh=False)
        sets = sets_used(request.lab, tried.study, tried.planned)
        every = max((int(one.get("of_people", one["people"])) for one in sets), default=0)
        if people >= every:
            break
        begun = perf_counter()
        for _ in outcomes(request.lab, tried.study, tried.planned, fresh=True, quiet=True, jobs=made.jobs):
            pass
        took = perf_counter() - begun
        left -= took
        say(f"  {people:,} of {every:,} people: analysed in {took:.0f} s; {max(left, 0.0):.0f} s are left")
        more = min(MOST, sqrt(max(left, 0.0) / took))
        if more < WORTH:
            return made, tried
        people = int(people * more)
    return request, _prepared(made, study, questions, stages)


def _prepared(request: Request, study: Study, questions: "Sequence[Planned]", stages: Stages) -> Prepared:
    """Prepare a try, and add its stages to those of the tries before."""
    found = prepare(request, study, questions)
    for name, seconds in found.stages.seconds.items():
        stages.seconds[name] = stages.seconds.get(name, 0.0) + seconds
    return replace(found, stages=stages)
