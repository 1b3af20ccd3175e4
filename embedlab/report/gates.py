"""Gates: whether a model is worse than yesterday's, or a number is where it has to be; for other people's CI.

A report is held against an earlier one of the same images by the draws that both keep: the difference of a
number has the interval of its paired resamples. ``worse``: the whole interval lies below zero, and not within
the margin. ``not worse``: all of it lies above minus the margin, as in a trial of non-inferiority [1]_.
``open``: neither. ``cannot``: nothing can be told, and why. All intervals of one comparison hold together
with 99 % (Bonferroni), so that a model that is as good as before is called worse in at most 1 % of runs.

References
----------
.. [1] Piaggio, G. et al. Reporting of noninferiority and equivalence randomized trials. JAMA 308(24), 2012.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from embedlab import question
from embedlab.errors import UserError
from embedlab.estimates import Estimate, as_points, counted, shares
from embedlab.files.documents import toml
from embedlab.maths.people.evidence import LEAST_FOR_CLAIM
from embedlab.question import simultaneous
from embedlab.report.notes import Applied, Note, applied
from embedlab.report.past import Answered, Key, Past

Outcome = Literal["worse", "fails", "accepted", "open", "cannot", "not worse", "better", "holds"]

LEVEL = 0.01
"""The chance that anything is called worse, or failing, where nothing is."""

DEFAULTS = ("verification:TAR@FAR=0.001", "verification:EER", "identification:rank-1")
MARGIN = 0.02
"""The largest loss that is put up with, where nobody says otherwise: two points, as in questions."""

MEASURES = (
    ("*TAR*", 1, True),
    ("*TPIR*", 1, True),
    ("*rank-*", 1, True),
    ("*accuracy*", 1, True),
    ("*AUC*", 1, False),
    ("*:d′*", 1, False),
    ("*:R²", 1, False),
    ("*EER*", -1, True),
    ("*:FAR*", -1, True),
    ("*:overlap*", -1, True),
    ("*:images nearer to somebody else", -1, True),
    ("*:people with a negative margin", -1, True),
)
"""Measures, whether more of it is better, and whether it is a share, told in per cent."""


class NotComparable(UserError):
    """Two reports that say nothing about each other, or too little data; exit status 3."""

    status = 3


@dataclass(frozen=True)
class Gate:
    """One entry of a file of gates.

    Attributes
    ----------
    measure, model, probe, where
        Which estimates: patterns as of a shell. ``measure`` is analysis and what, ``verification:EER``.
    margin
        Against an earlier report: the loss that is put up with, in the measure's own unit.
    at_least, at_most
        Of one report: where the number has to be.
    question, verdicts
        Of one report: which verdicts of a question are right.
    no_hazards
        Of one report: that none of its answers is a hazard.
    better
        Whether more or less is better, where the measure is not known: 1 or −1; 0 if it is.
    """

    measure: str = ""
    model: str = "*"
    probe: str = "*"
    where: str = "*"
    margin: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    question: str = ""
    verdicts: tuple[str, ...] = ()
    no_hazards: bool = False
    better: int = 0

    @property
    def is_absolute(self) -> bool:
        """Whether it asks something of one report alone."""
        return self.at_least is not None or self.at_most is not None or bool(self.question) or self.no_hazards

    def answers(self, report: Past) -> list[Answered]:
        """List the answers of a report that it is about."""
        return [
            one
            for one in report.answers
            if self.question in ("", one.question)
            and all(fnmatchcase(name, self.model) for name in one.models)
        ]

    def takes(self, key: Key) -> bool:
        """Say whether an estimate is meant."""
        return (
            fnmatchcase(key.measure, self.measure)
            and all(fnmatchcase(one, self.model) for one in key.models)
            and (self.probe == "*" or any(fnmatchcase(one, self.probe) for one in key.probes))
            and (self.where == "*" or any(fnmatchcase(one, self.where) for one in key.where))
        )


@dataclass(frozen=True)
class Row:
    """One thing that was judged.

    Attributes
    ----------
    name
        What.
    outcome
        How it is.
    text
        The numbers, in words.
    """

    name: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Judged:
    """All that was judged, for the terminal, a pull request, or a CI server.

    Attributes
    ----------
    title
        What was held against what.
    rows
        What was judged, the worst first.
    intervals
        How many intervals were judged together.
    notes
        What else changed, and what a reader disputes; nothing fails by it.
    """

    title: str
    rows: Sequence[Row]
    intervals: int
    notes: Sequence[str] = field(default_factory=tuple)

    def count(self, *outcomes: Outcome) -> int:
        """Count the rows of some outcomes."""
        return sum(row.outcome in outcomes for row in self.rows)

    def status(self, *, unproven: bool = False) -> int:
        """Give the exit status: 1 if anything is worse or fails, 3 if nothing can be told of something.

        With ``unproven`` what is open is too little data as well.
        """
        if self.count("worse", "fails"):
            return 1
        return 3 if self.count("cannot") or (unproven and self.count("open")) else 0


ORDER: tuple[Outcome, ...] = ("worse", "fails", "cannot", "accepted", "open", "not worse", "better", "holds")


def read(path: Path) -> list[Gate]:
    """Read a file of gates: TOML of ``[[gate]]`` tables.

    Raises
    ------
    UserError
        If the file cannot be read, or a gate does not say what it asks for.
    """
    found = toml(path, "the gates")
    if set(found) != {"gate"} or not isinstance(found["gate"], list) or not found["gate"]:
        raise UserError(f"{path}: gates are tables of the name [[gate]], one at least, and nothing else")
    return [_gate(path, number, one) for number, one in enumerate(found["gate"], 1)]


KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("measure", "model", "probe", "where", "question"), (str,)),
    **dict.fromkeys(("margin", "at_least", "at_most"), (int, float)),
    "no_hazards": (bool,),
}


USED = (
    ("measure", "model", "probe", "where", "margin", "at_least", "at_most", "better"),
    ("question", "verdict", "model"),
    ("no_hazards", "model"),
)
"""What a gate of a measure, of a question and of hazards may say."""


def _gate(path: Path, number: int, given: Any) -> Gate:
    where = f"{path}: gate {number}"
    if not isinstance(given, dict):
        raise UserError(f"{where} is no table: write [[gate]]")
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "verdict":
            words = [value] if isinstance(value, str) else value
            if not isinstance(words, list) or not set(words) <= {"yes", "no", "undecided", "cannot"}:
                raise UserError(f"{where}: verdict must be of yes, no, undecided and cannot")
            values["verdicts"] = tuple(words)
        elif key == "better":
            if value not in ("higher", "lower"):
                raise UserError(f'{where}: better must be "higher" or "lower"')
            values["better"] = 1 if value == "higher" else -1
        elif key not in KINDS:
            raise UserError(
                f"{where}: unknown key {key!r}: a gate has {', '.join([*KINDS, 'verdict', 'better'])}"
            )
        elif not isinstance(value, KINDS[key]) or (isinstance(value, bool) and key != "no_hazards"):
            raise UserError(
                f"{where}: {key} must be {'a number' if float in KINDS[key] else 'text'}, not {value!r:.40}"
            )
        elif isinstance(value, float | int) and not math.isfinite(value):
            raise UserError(f"{where}: {key} must be a finite number")
        else:
            values[key] = value
    gate = Gate(**values)
    limits = (gate.margin, gate.at_least, gate.at_most)
    asked = (
        bool(gate.measure) and any(one is not None for one in limits),
        bool(gate.question),
        gate.no_hazards,
    )
    if sum(asked) != 1 or bool(gate.question) != bool(gate.verdicts) or (gate.margin or 0) < 0:
        raise UserError(
            f"{where} asks for nothing that can be judged: give a measure with margin (0 or more), at_least "
            "or at_most; or a question with its verdict; or no_hazards = true"
        )
    idle = [key for key in given if key not in USED[asked.index(True)]]
    if idle:
        raise UserError(f"{where}: {idle[0]} says nothing there: leave it out")
    if gate.at_least is not None and gate.at_most is not None and gate.at_least > gate.at_most:
        raise UserError(f"{where}: no number is at least {gate.at_least:g} and at most {gate.at_most:g}")
    return gate


def compare(
    old: Past, new: Past, gates: Sequence[Gate] = (), margin: float = MARGIN, notes: Sequence[Note] = ()
) -> Judged:
    """Hold a report against an earlier one of the same images.

    Parameters
    ----------
    old, new
        The reports; models are one where their names are.
    gates
        What to look at, each with its margin; those that ask something of one report alone are passed over.
        None: ``DEFAULTS``.
    margin
        That of ``DEFAULTS``.
    notes
        A reader's, on answers of ``new``. Who accepts an answer accepts the losses it rests on: those that
        analyses which its question needs measured of its subject.

    Raises
    ------
    NotComparable
        If they share no model, or a set of one name holds other images or people.
    UserError
        If the earlier report has nothing that a gate asks for, or it is not known whether more is better.
    """
    if both := [
        pair for pair in old.members if pair in new.members and old.members[pair] != new.members[pair]
    ]:
        model, probe = both[0]
        raise NotComparable(
            f"{probe} in {model} holds other images or people in {new.name} than in {old.name}: compare "
            "reports of the same images"
        )
    if not (old.members and new.members):
        late = new.name if old.members else old.name
        raise NotComparable(f"{late} does not say on whom it was measured: write the report anew")
    if not set(old.models) & set(new.models):
        raise NotComparable(
            f"the reports share no model: {old.name} has {', '.join(old.models) or 'none'}, {new.name} "
            f"{', '.join(new.models) or 'none'}: say which is which with --rename OLD=NEW"
        )
    usual = [Gate(measure=measure, margin=margin) for measure in DEFAULTS]
    asked = [gate for gate in gates if gate.margin is not None] or usual
    pairs = [(key, gate) for gate in asked for key in _taken(old, gate, needed=asked is not usual)]
    # What a wildcard meets beside numbers with draws can never be compared, and is told apart.
    able = [(k, gate) for k, gate in pairs if len(old.estimates[k].draws) or k.measure == gate.measure]
    # Each gate that takes a number is judged by its own margin: a wide one must not stand for a narrow one.
    judged = {(key, gate.margin, gate.better): (key, gate) for key, gate in able or pairs}.values()
    if not judged:
        raise UserError(f"{old.name} has none of {', '.join(DEFAULTS)}: say what to compare with --measure")
    keys = {key for key, _ in judged}
    found = applied(notes, new.answers)
    rows = [_put_up_with(_change(key, gate, old, new, len(keys)), key, new, found) for key, gate in judged]
    told = [*_changes(old, new), *found.told(new.answers)]
    if passed := sorted({key.measure for key, _ in pairs if key not in keys}):
        told.append(f"not compared, for a report keeps no draws of it: {', '.join(passed)}")
    return Judged(f"{new.name} against {old.name}", _sorted(rows), len(keys), told)


def _put_up_with(row: Row, key: Key, new: Past, notes: Applied) -> Row:
    """Let a loss pass where a reader accepted an answer that rests on it."""
    if row.outcome != "worse":
        return row
    for answer in new.answers:
        note = notes.accepted(answer)
        about = key.models and set(key.models) <= set(answer.models)
        if note and about and key.analysis in _needed(answer.question):
            return _accepted(row, note)
    return row


def _needed(name: str) -> Collection[str]:
    """List the analyses that a question reads; none where it is of a package that is not here."""
    return question.get(name).needs if name in question.names() else ()


def _accepted(row: Row, note: Note) -> Row:
    return Row(row.name, "accepted", f"{row.outcome}, and accepted{note.because}: {row.text}")


def check(report: Past, gates: Sequence[Gate], notes: Sequence[Note] = ()) -> Judged:
    """Ask of one report whether its numbers and answers are where they have to be.

    An answer that a reader accepted in ``notes`` does not fail, be it of another verdict or a hazard. Limits
    of numbers hold whatever is accepted.

    Raises
    ------
    UserError
        If there is nothing to ask, or the report has nothing that a gate asks for.
    """
    asked = [gate for gate in gates if gate.is_absolute]
    if not asked:
        raise UserError(
            "none of the gates asks anything of one report: give at_least, at_most, a verdict or no_hazards, "
            "or ask `embedlab compare` against an earlier one"
        )
    limits = [(key, gate) for gate in asked if gate.measure for key in _taken(report, gate, needed=True)]
    rows = [_limit(key, gate, report.estimates[key], len(limits)) for key, gate in limits]
    found = applied(notes, report.answers)
    for gate in asked:
        rows += (
            _verdicts(report, gate, found)
            if gate.question
            else _hazards(report, gate, found)
            if gate.no_hazards
            else []
        )
    return Judged(report.name, _sorted(rows), len(limits), found.told(report.answers))


def _taken(report: Past, gate: Gate, *, needed: bool) -> list[Key]:
    found = [key for key in report.estimates if gate.takes(key)]
    if not found and needed:
        there = sorted({key.measure for key in report.estimates})
        near = [one for one in there if one.partition(":")[0] == gate.measure.partition(":")[0]] or there
        raise UserError(
            f"{report.name} has no estimate {gate.measure!r} of model {gate.model!r}, probe {gate.probe!r}, "
            f"where {gate.where!r}: there are {', '.join(near[:12])}{' …' if len(near) > 12 else ''}"
        )
    return found


def _kind(key: Key, gate: Gate) -> tuple[int, bool]:
    """Say whether more is better, and whether it is a share."""
    known = next(
        ((sign, share) for name, sign, share in MEASURES if fnmatchcase(key.measure, name)), (0, False)
    )
    sign = gate.better or known[0]
    if not sign:
        raise UserError(
            f'whether more of {key.measure} is better is not known: add better = "higher" or "lower"'
        )
    return sign, known[1]


def _possible(key: Key, asked: Mapping[str, float | None]) -> None:
    """Refuse a limit that no share can come up to, as 2 where two points are meant."""
    for word, limit in asked.items():
        most = 1.0 if word != "margin" else math.nextafter(1.0, 0.0)
        if limit is not None and not 0 <= limit <= most:
            unit = "points" if word == "margin" else "%"
            raise UserError(
                f"{key.measure} is a share, from 0 to 1, and {word} is {limit:g}: "
                f"{f'write {limit / 100:g} for {limit:g} {unit}' if limit > 0 else 'write one in between'}"
            )


def _change(key: Key, gate: Gate, old: Past, new: Past, among: int) -> Row:
    sign, share = _kind(key, gate)
    if share:
        _possible(key, {"margin": gate.margin})
    before, after = old.estimates[key], new.estimates.get(key)
    if why := _incomparable(key, old, new):
        return Row(key.text, "cannot", why)
    assert after is not None
    gap = simultaneous(after - before, among, LEVEL)
    margin = gate.margin or 0.0
    digits = max(1, len(shares(before, after)[0].partition(".")[2]) - 1) if share else 3
    both = f"{_told(before, share, digits)} → {_told(after, share, digits)}"
    if not _is_whole(gap) or gap.low is None or gap.high is None:
        return Row(key.text, "cannot", f"{both}; the difference has no interval")
    low, high = (gap.low, gap.high) if sign > 0 else (-gap.high, -gap.low)
    outcome: Outcome = (
        "better" if low > 0 else "not worse" if low >= -margin else "worse" if high < 0 else "open"
    )
    told = gap.points() if share else format(gap, "+.3f")
    allowed = as_points(margin) if share else f"{margin:g}"
    return Row(key.text, outcome, f"{both} ({told}; margin {allowed})")


def _incomparable(key: Key, old: Past, new: Past) -> str:
    """Say why nothing can be told of a number; empty if something can."""
    before, after = old.estimates[key], new.estimates.get(key)
    if after is None:
        return f"{new.name} does not have it"
    a, b = (one.params.get(key.analysis, {}) for one in (old, new))
    if other := [name for name in {**a, **b} if a.get(name) != b.get(name)]:
        return f"{other[0]} was {a.get(other[0])!r:.40} and is {b.get(other[0])!r:.40}"
    if not (len(before.draws) and len(after.draws)):
        return "its draws were not kept"
    if before.drawn_from != after.drawn_from or len(before.draws) != len(after.draws):
        return "it was measured on other people, images or pairs, or with other resamples"
    if min(before.n, after.n) < LEAST_FOR_CLAIM:
        return f"{counted(min(before.n, after.n), 'person is', 'people are')} too few"
    return ""


def _limit(key: Key, gate: Gate, found: Estimate, among: int) -> Row:
    _, share = _kind(key, dataclasses.replace(gate, better=1))
    if share:
        _possible(key, {"at_least": gate.at_least, "at_most": gate.at_most})
    wide = simultaneous(found, among, LEVEL)
    if share and wide.low is not None and wide.high is not None:
        # Widened, the ends would pass what a share can be.
        wide = dataclasses.replace(wide, low=max(wide.low, 0.0), high=min(wide.high, 1.0))
    asked = " and ".join(
        f"{word} {f'{100 * limit:g}%' if share else f'{limit:g}'}"
        for word, limit in (("at least", gate.at_least), ("at most", gate.at_most))
        if limit is not None
    )
    text = f"{_told(wide, share, 1 if share else 3)}, asked {asked}"
    if not _is_whole(wide) or wide.low is None or wide.high is None or 0 < found.n < LEAST_FOR_CLAIM:
        return Row(key.text, "cannot", f"{text}; it has no interval that a gate can go by")
    least = -math.inf if gate.at_least is None else gate.at_least
    most = math.inf if gate.at_most is None else gate.at_most
    if wide.high < least or wide.low > most:
        return Row(key.text, "fails", text)
    return Row(key.text, "holds" if least <= wide.low and wide.high <= most else "open", text)


def _verdicts(report: Past, gate: Gate, notes: Applied) -> list[Row]:
    found = gate.answers(report)
    if not found:
        there = ", ".join(sorted({one.question for one in report.answers})) or "none"
        raise UserError(
            f"{report.name} answers no question {gate.question!r} of model {gate.model!r}: there are {there}"
        )
    asked = " or ".join(gate.verdicts)
    return [
        _judged(
            one,
            good=one.verdict in gate.verdicts,
            name=one.name,
            text=f"{one.verdict}, asked {asked}: {one.text}",
            notes=notes,
        )
        for one in found
    ]


def _judged(answer: Answered, *, good: bool, name: str, text: str, notes: Applied) -> Row:
    row = Row(name, "holds" if good else "fails", text)
    note = notes.accepted(answer)
    return row if good or note is None else _accepted(row, note)


def _hazards(report: Past, gate: Gate, notes: Applied) -> list[Row]:
    told = [one for one in gate.answers(report) if one.verdict != "cannot"]
    found = [
        _judged(one, good=False, name=f"hazard, {one.name}", text=one.text, notes=notes)
        for one in told
        if one.hazard
    ]
    able = [name for name in question.names() if question.get(name).hazards]
    silent = [name for name in able if name not in {one.question for one in told}]
    if not found and silent == able:
        raise UserError(
            f"{report.name} answers no question of model {gate.model!r} that can find a hazard "
            f"({', '.join(able)}): make the report with what they need, or leave no_hazards out"
        )
    but = f"; not answered: {', '.join(silent)}" if silent else ""
    return found or [Row("hazards", "holds", f"no answer is a hazard{but}")]


def _changes(old: Past, new: Past) -> list[str]:
    """Say which verdicts and sets changed."""
    notes = []
    for one in new.answers:
        before = [each for each in old.answers if each.about == one.about]
        if not before or any((one.verdict, one.hazard) == (each.verdict, each.hazard) for each in before):
            continue
        mark = "a new hazard: " if one.hazard and not any(each.hazard for each in before) else ""
        was = " and ".join(dict.fromkeys(each.verdict for each in before))
        notes.append(f"{mark}{one.name} was {was}, is {one.verdict}: {one.text}")
    for word, these, others in (("gone", old, new), ("new", new, old)):
        notes += [
            f"{word}: {probe} in {model}"
            for model, probe in these.members
            if (model, probe) not in others.members
        ]
    return notes


def _is_whole(one: Estimate) -> bool:
    """Whether value and interval are numbers: NaN is neither above nor below a limit, and would pass."""
    return all(end is not None and math.isfinite(end) for end in (one.value, one.low, one.high))


def _told(one: Estimate, share: bool, digits: int) -> str:
    return format(one, f".{digits}{'%' if share else 'f'}")


def _sorted(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: ORDER.index(row.outcome))


def as_text(judged: Judged, *, unproven: bool = False) -> list[str]:
    """Say it in lines for a terminal."""
    width = max((len(row.outcome) for row in judged.rows), default=0)
    lines = [f"  {row.outcome:>{width}}  {row.name}: {row.text}" for row in judged.rows]
    return [
        judged.title,
        *lines,
        *(f"  note: {one}" for one in judged.notes),
        summary(judged, unproven=unproven),
    ]


def summary(judged: Judged, *, unproven: bool = False) -> str:
    """Say the whole in a sentence."""
    counts = ", ".join(f"{judged.count(one)} {one}" for one in ORDER if judged.count(one))
    status = {0: "passed", 1: "failed", 3: "not decided: too little to tell by"}[
        judged.status(unproven=unproven)
    ]
    together = f"; the intervals that decide hold together at {1 - LEVEL:.0%}" if judged.intervals else ""
    return f"{status}: {counts}{together}"


def as_markdown(judged: Judged, *, unproven: bool = False) -> str:
    """Write it for a pull request; names in it are shown as they are, whatever signs they hold."""
    rows = "\n".join(
        f"| {'**' + row.outcome + '**' if row.outcome in ('worse', 'fails') else row.outcome} "
        f"| {_plain(row.name)} | {_plain(row.text)} |"
        for row in judged.rows
    )
    notes = "".join(f"\n- {_plain(one)}" for one in judged.notes)
    return (
        f"### {_plain(judged.title)}\n\n{_plain(summary(judged, unproven=unproven))}\n\n"
        f"| | what | numbers |\n|---|---|---|\n{rows}\n{notes}"
    ).rstrip() + "\n"


def _plain(text: str) -> str:
    """Keep a name from being Markdown or HTML: signs that mean something are written by their number."""
    kept = " ".join(text.split())
    return "".join(f"&#{ord(sign)};" if sign in "\\`*_{}[]<>#|!~&@$" else sign for sign in kept)


def as_junit(judged: Judged, *, unproven: bool = False) -> str:
    """Write it as JUnit XML: open or accepted rows are skipped cases, what cannot be told an error."""
    from xml.etree import ElementTree as ET

    failing = judged.count("worse", "fails")
    errors = judged.count("cannot") + (judged.count("open") if unproven else 0)
    skipped = judged.count("accepted") + (0 if unproven else judged.count("open"))
    head = {"name": "embedlab", "tests": str(len(judged.rows)), "failures": str(failing)}
    suite = ET.Element("testsuite", head | {"errors": str(errors), "skipped": str(skipped)})
    for row in judged.rows:
        case = ET.SubElement(suite, "testcase", {"classname": "embedlab", "name": _printable(row.name)})
        kind = {"worse": "failure", "fails": "failure", "cannot": "error", "accepted": "skipped"}.get(
            row.outcome
        )
        kind = kind or (("error" if unproven else "skipped") if row.outcome == "open" else None)
        if kind:
            ET.SubElement(case, kind, {"message": _printable(f"{row.outcome}: {row.text}")})
        else:
            ET.SubElement(case, "system-out").text = _printable(row.text)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Leave out what XML cannot say."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)
