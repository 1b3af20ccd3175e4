"""What was said before, held against the answers of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from embedlab.question import Answer, Verdict, listed
from embedlab.study import Statement

Borne = Literal["supported", "not supported", "undecided here"]


@dataclass(frozen=True)
class Held:
    """A statement and what these data say of it.

    Attributes
    ----------
    text
        What was said.
    borne
        Whether the answers bear it out; ``undecided here`` where one of them is open or cannot be given.
    because
        The sentences of those answers.
    """

    text: str
    borne: Borne
    because: tuple[str, ...]


def held(statements: Sequence[Statement], answers: Sequence[Answer]) -> list[Held]:
    """Hold each statement against the answers that it is about.

    A statement of several models, or of all, is supported where every answer is as it says, and not where one
    is the opposite.
    """
    return [_held(one, answers) for one in statements]


def _held(said: Statement, answers: Sequence[Answer]) -> Held:
    about = [
        one
        for one in answers
        if one.question == said.question
        and said.about in one.unit
        and (not said.models or set(one.subject) & set(said.models))
    ]
    verdicts = {_of(said, one) for one in about}
    opposite = "no" if said.verdict == "yes" else "yes"
    borne: Borne = "undecided here"
    if opposite in verdicts:
        borne = "not supported"
    elif verdicts == {said.verdict}:
        borne = "supported"
    because = tuple(one.text for one in about) or (_unanswered(said, answers),)
    return Held(said.text, borne, because)


def _unanswered(said: Statement, answers: Sequence[Answer]) -> str:
    of = dict.fromkeys(model for one in answers if one.question == said.question for model in one.subject)
    if not of or not said.models:
        return "the report does not answer that question."
    return f"the report answers that question of {listed(of)}, not of {listed(said.models)}."


def _of(said: Statement, one: Answer) -> Verdict:
    """Give the verdict on the models that the statement names: where another one wins, they do not."""
    lost = one.verdict == "yes" and bool(one.winner and said.models) and one.winner not in said.models
    return "no" if lost else one.verdict


def as_text(them: Sequence[Held]) -> list[str]:
    """Write them as lines for a terminal."""
    return [f"   {one.borne:>14}  {one.text}" for one in them]


def plain(them: Sequence[Held]) -> list[Mapping[str, Any]]:
    """Give them as plain values, for ``report.json``."""
    return [{"text": one.text, "borne": one.borne, "because": list(one.because)} for one in them]
