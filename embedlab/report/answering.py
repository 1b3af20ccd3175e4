"""Answers of a report: judged over all its outcomes, on the first screen, in the terminal and as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedlab import question
from embedlab.lab.store import Lab
from embedlab.question import Answer, listed
from embedlab.report.numbers import jsonable, plain_estimate
from embedlab.runner import Outcome, run_study
from embedlab.study import Study

VERDICTS = {"yes": "yes", "no": "no", "undecided": "open", "cannot": "n/a"}
"""How a verdict is written where there is little room."""

MANY = 4
"""Answers to one question that are told one by one; more are told by verdict, and folded."""


@dataclass(frozen=True)
class Asked:
    """A question with its answers, as the first screen shows them.

    Attributes
    ----------
    number
        Its place among all questions, from 1.
    name, text
        The question's own.
    answers
        What it was answered for each subject.
    """

    number: int
    name: str
    text: str
    answers: tuple[Answer, ...]

    @property
    def can(self) -> bool:
        """Whether anything could be judged."""
        return any(one.verdict != "cannot" for one in self.answers)

    @property
    def summary(self) -> str:
        """Say the answers by verdict, where there are too many to be told one by one."""
        if len(self.answers) <= MANY:
            return ""
        groups: dict[str, list[str]] = {}
        for one in self.answers:
            groups.setdefault(VERDICTS[one.verdict], []).append(" and ".join(one.subject))
        return "; ".join(f"{verdict}: {listed(them)}" for verdict, them in groups.items()) + "."


def of(outcomes: Sequence[Outcome]) -> list[Answer]:
    """Judge the questions that some outcomes bear on."""
    results = {one.analysis.name: one.results for one in outcomes}
    reasons = {
        one.analysis.name: next((run.reason or "it failed" for run in one.runs if run.result is None), "")
        for one in outcomes
        if not one.results and one.runs
    }
    return question.answers(results, reasons)


class Answers(tuple[Answer, ...]):
    """Answers that a notebook shows as the report does, and that print as lines."""

    def __str__(self) -> str:
        return "\n".join(as_text(self))

    def _repr_html_(self) -> str:
        from embedlab.report.build import answers_fragment

        return answers_fragment(self)


def answers(lab: Lab, study: Study) -> Answers:
    """Run what a study asks, or fetch what is stored, and judge the questions that it bears on.

    Raises
    ------
    UserError
        As `embedlab.runner.outcomes` does.
    """
    return Answers(of(run_study(lab, study)))


def by_question(answers: Sequence[Answer]) -> list[Asked]:
    """Group answers by their question, in the order in which questions are asked."""
    groups: dict[str, list[Answer]] = {}
    for one in answers:
        groups.setdefault(one.question, []).append(one)
    order = question.names()
    return [
        Asked(order.index(name) + 1, name, question.get(name).text, tuple(them))
        for name, them in groups.items()
    ]


def as_text(answers: Sequence[Answer]) -> list[str]:
    """Write answers as lines for a terminal."""
    lines = []
    for asked in by_question(answers):
        lines.append(f"{asked.number:2d} {asked.text}")
        lines += [
            f"   {'!' if one.hazard else ' '}{VERDICTS[one.verdict]:>5}  {one.text}" for one in asked.answers
        ]
    return lines


def plain(answers: Sequence[Answer]) -> list[Mapping[str, Any]]:
    """Give answers as plain values, for ``report.json``."""
    return [
        jsonable(
            {
                "question": one.question,
                "subject": list(one.subject),
                "verdict": one.verdict,
                "text": one.text,
                "hazard": one.hazard,
                "effect": one.effect and plain_estimate(one.effect),
                "matters": one.matters,
                "unit": one.unit,
                "simultaneous over": one.over,
                "evidence": {what: plain_estimate(found) for what, found in one.evidence.items()},
            }
        )
        for one in answers
    ]
