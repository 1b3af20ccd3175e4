"""A reader's notes: answers accepted or disputed in the page, which ``compare`` and ``check`` read.

A note is about one answer, named by question, subject and kind, and bound to that answer's fingerprint. If
the answer changes, in its numbers too, the note does not apply any more, and that is said.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.errors import UserError
from embedlab.files.documents import text_of

if TYPE_CHECKING:
    from embedlab.report.past import Answered

SCHEMA = 1
"""What stands where in a file of notes; a change that breaks readers raises it."""

STANCES = ("accepted", "disputed")


@dataclass(frozen=True)
class Note:
    """What a reader thinks of one answer.

    Attributes
    ----------
    question, subject, kind
        Which answer: the question's name, the models it is about, and which of several things it says.
    fingerprint
        That of the answer which was read.
    stance
        ``accepted`` or ``disputed``.
    text
        Why, in the reader's words; may be empty.
    """

    question: str
    subject: tuple[str, ...]
    kind: str
    fingerprint: str
    stance: str
    text: str = ""

    @property
    def name(self) -> str:
        """Name the answer in words."""
        kind = f" ({self.kind})" if self.kind else ""
        return f"{self.question}, {' and '.join(self.subject) or 'the report'}{kind}"

    @property
    def because(self) -> str:
        """Give the reason, to be put behind a sentence."""
        return f" ({self.text})" if self.text else ""


def fingerprint(answer: Mapping[str, Any]) -> str:
    """Hash an answer as ``report.json`` has it: its words and every number it rests on, at full precision."""
    text = json.dumps(answer, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def keyed(answers: Sequence[Mapping[str, Any]]) -> str:
    """Write, as JSON, by what the page names some answers in a file of notes."""
    return json.dumps(
        [
            {**{part: one[part] for part in ("question", "subject", "kind")}, "fingerprint": fingerprint(one)}
            for one in answers
        ]
    )


def read(path: Path) -> tuple[Note, ...]:
    """Read the notes that the page saved.

    Raises
    ------
    UserError
        If the file cannot be read, or is not as the page writes it.
    """
    text = text_of(path, "the notes")
    try:
        found = json.loads(text)
        if found["schema"] != SCHEMA:
            raise UserError(
                f"{path} has schema {str(found['schema'])[:20]!r}, this embedlab reads {SCHEMA}: save the "
                "notes anew from a page of this embedlab"
            )
        notes = tuple(map(_note, found["notes"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} holds no reader's notes ({type(error).__name__}: {str(error)[:80]!r}): give the file "
            "that “Save notes” of a report's page writes"
        ) from None
    about = [(note.question, note.subject, note.kind, note.fingerprint) for note in notes]
    if twice := next((note for note, one in zip(notes, about, strict=True) if about.count(one) > 1), None):
        raise UserError(f"{path} says two things of one answer ({twice.name}): leave one")
    return notes


def _note(given: Any) -> Note:
    if not isinstance(given, dict) or not isinstance(given["subject"], list):
        raise TypeError(f"a note is {given!r:.40}")
    if given["stance"] not in STANCES:
        raise ValueError(f"a stance is {given['stance']!r:.20}")
    parts = {part: given[part] for part in ("question", "kind", "fingerprint", "stance", "text")}
    if other := next((one for one in (*parts.values(), *given["subject"]) if not isinstance(one, str)), None):
        raise TypeError(f"a text is {other!r:.40}")
    parts["text"] = " ".join("".join(c if c.isprintable() else " " for c in parts["text"]).split())
    return Note(subject=tuple(given["subject"]), **parts)


@dataclass(frozen=True)
class Applied:
    """Notes sorted by whether they are of a report's answers.

    Attributes
    ----------
    by_answer
        Fingerprint of an answer of the report → the note on it.
    idle
        Notes on answers that the report does not give, or not any more.
    """

    by_answer: Mapping[str, Note]
    idle: tuple[Note, ...]

    def accepted(self, answer: "Answered") -> Note | None:
        """Give the note that accepts an answer, if there is one."""
        note = self.by_answer.get(answer.fingerprint)
        return note if note is not None and note.stance == "accepted" else None

    def told(self, answers: "Sequence[Answered]") -> list[str]:
        """Say which answers are disputed, and which notes do not apply."""
        found = [(self.by_answer.get(one.fingerprint), one) for one in answers]
        disputed = [
            f"disputed: {one.name}: {one.text}{note.because}"
            for note, one in found
            if note is not None and note.stance == "disputed"
        ]
        return disputed + [
            f"the note on {note.name} ({note.stance}) is of another answer and does not apply"
            for note in self.idle
        ]


def applied(notes: Sequence[Note], answers: "Sequence[Answered]") -> Applied:
    """Find the answers that notes are of: all of question, subject, kind and fingerprint must agree."""
    there = {(one.question, one.models, one.kind, one.fingerprint) for one in answers}
    by_answer, idle = {}, []
    for note in notes:
        if (note.question, note.subject, note.kind, note.fingerprint) in there:
            by_answer[note.fingerprint] = note
        else:
            idle.append(note)
    return Applied(by_answer, tuple(idle))
