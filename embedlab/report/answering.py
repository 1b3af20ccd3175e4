"""Answers of a report: judged over all its outcomes, on the first screen, in the terminal and as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedlab import question
from embedlab.question import Answer, listed
from embedlab.report.numbers import jsonable, plain_estimate
from embedlab.runner import Outcome

Overrides = Mapping[str, Mapping[str, Any]]

VERDICTS = {"yes": "yes", "no": "no", "undecided": "open", "cannot": "n/a"}
"""How a verdict is written where there is little room."""

MANY = 3
"""Answers of one kind and verdict that are told one by one; of more the subjects are counted."""


@dataclass(frozen=True)
class Line:
    """An answer, and those of other subjects that are of the same kind and come out alike."""

    lead: Answer
    likewise: tuple[Answer, ...] = ()

    @property
    def told(self) -> str:
        """Say the other subjects with the numbers that decided; of many, who they are."""
        if not self.likewise:
            return ""
        if len(self.likewise) < MANY:
            each = (f"{' to '.join(one.subject)} {shown(one)}".strip() for one in self.likewise)
            return f"Likewise {' and '.join(each)}."
        return f"Likewise {listed(' and '.join(one.subject) for one in self.likewise)}."


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
    def is_open(self) -> bool:
        """Whether nothing was decided."""
        return all(one.verdict in ("undecided", "cannot") for one in self.answers)

    @property
    def lines(self) -> list[Line]:
        """Tell answers of one kind and verdict in one line; open ones apart, each with its own outlook."""
        groups: dict[tuple[Any, ...], list[Answer]] = {}
        for k, one in enumerate(self.answers):
            alone = () if one.verdict in ("yes", "no") else (k,)
            groups.setdefault((one.unit, one.verdict, *alone), []).append(one)
        return [Line(them[0], tuple(them[1:])) for them in groups.values()]


def shown(answer: Answer) -> str:
    """Write the number that decided, in brackets."""
    return f"({answer.told})" if answer.told else ""


def of(outcomes: Sequence[Outcome], overrides: Overrides | None = None) -> list[Answer]:
    """Judge the questions that some outcomes bear on, by what matters to somebody or by default."""
    results = {one.analysis.name: one.results for one in outcomes}
    reasons = {
        one.analysis.name: next((run.reason or "it failed" for run in one.runs if run.result is None), "")
        for one in outcomes
        if not one.results and one.runs
    }
    return question.answers(results, reasons, overrides)


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


@dataclass(frozen=True)
class Screen:
    """Questions by where they stand: told, folded since nothing decided them, and not to be answered."""

    told: tuple[Asked, ...]
    undecided: tuple[Asked, ...]
    unable: tuple[Asked, ...]
    over: int


def screen(answers: Sequence[Answer]) -> Screen:
    """Sort answers for the first screen; the first question is told even where nothing decides it."""
    every = by_question(answers)
    can = [asked for asked in every if asked.can]
    told = [asked for k, asked in enumerate(can) if k == 0 or not asked.is_open]
    return Screen(
        told=tuple(told),
        undecided=tuple(asked for asked in can if asked not in told),
        unable=tuple(asked for asked in every if not asked.can),
        over=max((one.over for one in answers), default=0),
    )


def as_text(answers: Sequence[Answer]) -> list[str]:
    """Write answers as lines for a terminal."""
    lines = []
    for asked in by_question(answers):
        lines.append(f"{asked.number:2d} {asked.text}")
        for line in asked.lines:
            mark = "!" if line.lead.hazard else " "
            lines.append(f"   {mark}{VERDICTS[line.lead.verdict]:>5}  {line.lead.text} {line.told}".rstrip())
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
