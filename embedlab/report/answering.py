"""Answers of a report: judged over all its outcomes, on the first screen, in the terminal and as numbers."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from embedlab import question
from embedlab.question import Answer, listed
from embedlab.report import notes
from embedlab.report.glossary import names_in
from embedlab.report.numbers import jsonable, plain_estimate
from embedlab.runner import Outcome
from embedlab.wording import naming, said, sized

Overrides = Mapping[str, Mapping[str, Any]]

MANY = 3
"""Answers of one kind and verdict that are told one by one; of more the subjects are counted."""

FEW = 2
"""So many models have their answers told in sentences; of more the best one's, and the rest are counted."""

FIRST = "recognition"
"""The question that names the best model."""

PHRASES = 4
"""So many groups of the rest are told."""

OPEN = 6
"""So many lines of answers stand open on the first screen."""


@dataclass(frozen=True)
class Line:
    """An answer, and those of other subjects of the same kind: that come out alike, or, of many, all.

    Attributes
    ----------
    lead
        The answer that is told: of many models the best one's.
    likewise
        Those that come out alike.
    rest
        Those of all other models, which are counted.
    """

    lead: Answer
    likewise: tuple[Answer, ...] = ()
    rest: tuple[Answer, ...] = ()

    @property
    def told(self) -> str:
        """Say the other subjects with the numbers that decided; of many, who they are, or how many."""
        if self.rest:
            return self._counted()
        if not self.likewise:
            return ""
        if len(self.likewise) < MANY:
            each = (f"{' to '.join(one.subject)} {shown(one)}".strip() for one in self.likewise)
            return f"Likewise {' and '.join(each)}."
        return f"Likewise {listed(' and '.join(one.subject) for one in self.likewise)}."

    @property
    def noted(self) -> str:
        """Name its answers, as JSON, for a reader's notes."""
        return notes.keyed(plain([self.lead, *self.likewise, *self.rest]))

    def _counted(self) -> str:
        """Say how the others come out, the most frequent first: "The other 99: breaks at 16 px in 41 …"."""
        groups: dict[str, list[str]] = {}
        for one in self.rest:
            # Whom the first answer is about as well need not be said again.
            own = [name for name in one.subject if name not in self.lead.subject]
            groups.setdefault(one.brief, []).append(" and ".join(own or one.subject))
        order = sorted(groups.items(), key=lambda group: -len(group[1]))
        if len(order) == 1:
            return f"The other {len(self.rest):,}: {order[0][0]} in all."
        told, more = order[:PHRASES], order[PHRASES:]
        said = [
            f"{brief} in {' and '.join(who) if len(who) <= FEW else f'{len(who):,}'}" for brief, who in told
        ]
        if more:
            said.append(f"otherwise in {sum(len(who) for _, who in more):,}")
        return f"The other {len(self.rest):,}: {', '.join(said)}."


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
    best
        The model whose answers are told where there are many.
    """

    number: int
    name: str
    text: str
    answers: tuple[Answer, ...]
    best: str = ""

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
        """Tell answers of one kind and verdict in one line; open ones apart, each with its own outlook.

        Of more than ``FEW`` subjects all answers of a kind make one line: the best model's, and a count.
        """
        groups: dict[tuple[Any, ...], list[Answer]] = {}
        for k, one in enumerate(self.answers):
            alone = () if one.verdict in ("yes", "no") else (k,)
            key = (one.kind,) if self._is_many(one) else (one.kind, one.unit, one.verdict, *alone)
            groups.setdefault(key, []).append(one)
        return [self._line(them) for them in groups.values()]

    @property
    def grounds(self) -> list[Answer]:
        """Give the answers whose numbers a page shows: of many models those that are told."""
        counted = [one for line in self.lines for one in line.rest]
        return [one for one in self.answers if not any(one is other for other in counted)]

    def _is_many(self, answer: Answer) -> bool:
        return bool(answer.brief) and sum(one.kind == answer.kind for one in self.answers) > FEW

    def _line(self, them: Sequence[Answer]) -> Line:
        if not self._is_many(them[0]):
            return Line(them[0], tuple(them[1:]))
        lead = next((one for one in them if self.best in one.subject), them[0])
        return Line(lead, rest=tuple(one for one in them if one is not lead))


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
    inputs = [one for outcome in outcomes for run in outcome.runs for one in run.inputs]
    probes = tuple(dict.fromkeys(one.probe for one in inputs if one.probe))
    found = _each_model(question.answers(results, reasons, overrides), outcomes)
    with naming(lambda: {*names_in(chain(*results.values()), ()), *(one.model for one in inputs), *probes}):
        return [_worded(one, probes) for one in found]


def _each_model(answers: Sequence[Answer], outcomes: Sequence[Outcome]) -> list[Answer]:
    """Say after a question's answers of which models an analysis that it needs gave nothing, and why."""
    told: list[Answer] = []
    for name, them in itertools.groupby(answers, lambda one: one.question):
        told += (given := list(them))
        spoken = {model for one in given for model in one.subject}
        silent: dict[str, str] = {}
        for outcome in (one for one in outcomes if spoken and one.analysis.name in question.get(name).needs):
            found = {model for run in outcome.runs if run.result is not None for model in run.models}
            for run in outcome.runs:
                if len(run.models) == 1 and run.models[0] not in found | spoken:
                    silent.setdefault(run.models[0], run.reason or "it failed")
        for why in dict.fromkeys(silent.values()):
            models = tuple(model for model, reason in silent.items() if reason == why)
            told.append(Answer(name, models, "cannot", f"Of {listed(models)} nothing can be said: {why}"))
    return told


def _worded(answer: Answer, probes: Sequence[str]) -> Answer:
    """Say it in a study's words, and of shrunk images how large they are."""

    def say(text: str) -> str:
        return said(sized(text, probes))

    return replace(
        answer,
        text=say(answer.text),
        unit=say(answer.unit),
        brief=say(answer.brief),
        evidence={say(what): one for what, one in answer.evidence.items()},
    )


def by_question(answers: Sequence[Answer]) -> list[Asked]:
    """Group answers by their question, in the order in which questions are asked."""
    groups: dict[str, list[Answer]] = {}
    for one in answers:
        groups.setdefault(one.question, []).append(one)
    order = question.names()
    best = next((one.subject[0] for one in groups.get(FIRST, ()) if one.subject), "")
    return [
        Asked(order.index(name) + 1, name, said(question.get(name).text), tuple(them), best)
        for name, them in groups.items()
    ]


@dataclass(frozen=True)
class Screen:
    """Questions by where they stand.

    Attributes
    ----------
    told
        Those that stand open: the first, those with a hazard, and others in their order, while there is room.
    further
        Decided ones for which there was none.
    undecided
        Those that nothing decided.
    unable
        Those that cannot be answered.
    over
        How many claims are judged together.
    """

    told: tuple[Asked, ...]
    further: tuple[Asked, ...]
    undecided: tuple[Asked, ...]
    unable: tuple[Asked, ...]
    over: int


def screen(answers: Sequence[Answer]) -> Screen:
    """Sort answers for the first screen; the first question is told even where nothing decides it."""
    every = by_question(answers)
    can = [asked for asked in every if asked.can]
    decided = [asked for k, asked in enumerate(can) if k == 0 or not asked.is_open]
    told = _roomy(decided)
    return Screen(
        told=tuple(told),
        further=tuple(asked for asked in decided if asked not in told),
        undecided=tuple(asked for asked in can if asked not in decided),
        unable=tuple(asked for asked in every if not asked.can),
        over=max((one.over for one in answers), default=0),
    )


def _roomy(decided: Sequence[Asked]) -> list[Asked]:
    """Choose the questions for which the first screen has room; hazards go before others."""
    first, others = decided[:1], decided[1:]
    hazards = [asked for asked in others if any(line.lead.hazard for line in asked.lines)]
    told, room = list(first), OPEN - sum(len(asked.lines) for asked in first)
    for asked in [*hazards, *(one for one in others if one not in hazards)]:
        if len(asked.lines) <= room:
            told.append(asked)
            room -= len(asked.lines)
    return [asked for asked in decided if asked in told]


def as_text(answers: Sequence[Answer]) -> list[str]:
    """Write answers as lines for a terminal."""
    lines = []
    width = max((len(one.shown_as) for one in answers), default=0)
    for asked in by_question(answers):
        lines.append(f"{asked.number:2d} {asked.text}")
        for line in asked.lines:
            mark = "!" if line.lead.hazard else " "
            lines.append(f"   {mark} {line.lead.shown_as:>{width}}  {line.lead.text} {line.told}".rstrip())
    return lines


def plain(answers: Sequence[Answer]) -> list[Mapping[str, Any]]:
    """Give answers as plain values, for ``report.json``."""
    return [
        jsonable(
            {
                "question": one.question,
                "subject": list(one.subject),
                "verdict": one.verdict,
                "shown as": one.shown_as,
                "text": one.text,
                "hazard": one.hazard,
                "effect": one.effect and plain_estimate(one.effect),
                "matters": one.matters,
                "unit": one.unit,
                "kind": one.kind,
                "simultaneous over": one.over,
                "evidence": {what: plain_estimate(found) for what, found in one.evidence.items()},
            }
        )
        for one in answers
    ]
