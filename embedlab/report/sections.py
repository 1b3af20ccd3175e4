"""Sections: what a report shows of one question, whichever analysis answered it."""

import dataclasses
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from embedlab import study
from embedlab.analysis import Analysis, Estimate, Finding, Number, Result, Tone
from embedlab.charts import Chart, Faces, alike
from embedlab.charts.base import cell, short
from embedlab.errors import Terminated, UserError
from embedlab.estimates import Comparisons, in_order, settled
from embedlab.report.glossary import names_in
from embedlab.runner import Outcome, Run
from embedlab.wording import naming, said, sized

State = Literal["ok", "partial", "inapplicable", "failed", "broken"]
ROWS = 400
"""So many numbers a section lists; pairs of many models have thousands."""

HEADINGS = ("How to read it", "Limits", "References")
T = TypeVar("T")


@dataclass(frozen=True)
class Note:
    """A boxed remark: ``grey`` for what does not apply, ``error`` for a bug, with its traceback."""

    text: str
    kind: Literal["grey", "error"] = "grey"
    detail: str = ""


@dataclass(frozen=True)
class Numbers:
    """Numbers of several results side by side.

    Attributes
    ----------
    columns
        The results' titles.
    rows
        Label → a number a result; None where a result has none of that label.
    left_out
        How many labels beyond ``ROWS`` there are, which nobody reads; the estimates in ``report.json`` have
        them.
    """

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Number | None, ...]]
    left_out: int = 0


@dataclass(frozen=True)
class RunRow:
    """Where one result came from, as it is written."""

    title: str
    inputs: tuple[tuple[str, str], ...]
    seconds: str
    source: str


@dataclass(frozen=True)
class Section:
    """One question with its answer.

    Attributes
    ----------
    name
        Short name, also the anchor.
    heading
        The question.
    findings, charts, numbers, notes
        The answer: sentences, pictures, a table, boxed remarks.
    about
        (heading, text) of the docstring's parts; the first heading is "What it measures".
    params
        (name, value, default if it differs, what it means).
    runs
        Where the results came from.
    state
        ``partial`` if some runs gave no result; ``inapplicable`` or ``failed`` if none did; ``broken`` if
        there are results and they cannot be shown.
    cautions
        Sentences on what results rest on, such as images that were left out.
    """

    name: str
    heading: str
    findings: tuple[Finding, ...] = ()
    charts: tuple[Chart, ...] = ()
    numbers: Numbers | None = None
    notes: tuple[Note, ...] = ()
    about: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str, str, str], ...] = ()
    runs: tuple[RunRow, ...] = ()
    state: State = "ok"
    cautions: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing of it failed with a bug."""
        return not any(note.kind == "error" for note in self.notes)

    @property
    def anchor(self) -> str:
        """The name as it may stand in an address."""
        return "section-" + (re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "unnamed")


def of_outcome(outcome: Outcome) -> Section:
    """Turn all runs of one analysis into a section.

    A run without a result becomes a note, and so does an exception from ``charts``, ``findings`` or
    anything else of the analysis: one mistake never costs the report.
    """
    try:
        return _of_outcome(outcome.shown)
    except Exception:
        return broken(outcome.analysis.name, outcome.analysis.question)


def _of_outcome(outcome: Outcome) -> Section:
    inputs = [one for run in outcome.runs for one in run.inputs]
    probes = tuple(dict.fromkeys(one.probe for one in inputs if one.probe))
    section = of_results(outcome.analysis, outcome.results, probes)
    notes = [*_notes([run for run in outcome.runs if run.result is None]), *section.notes]
    state: State = "ok"
    if not outcome.results:
        state = "failed" if any(run.error for run in outcome.runs) else "inapplicable"
    elif notes:
        state = "partial"
    return dataclasses.replace(
        section,
        notes=tuple(notes),
        params=_params(outcome),
        runs=tuple(_run_row(run) for run in outcome.runs if run.result is not None),
        state=state,
        cautions=tuple(_cautions(outcome)),
    )


def broken(name: str, heading: str) -> Section:
    """Give the section that stands for one that cannot be shown, inside ``except``: its traceback."""
    note = bug("This section could not be shown")
    return Section(str(name), str(heading), notes=(note,), state="broken")


def _cautions(outcome: Outcome) -> Iterator[str]:
    if outcome.caution:
        yield f"{outcome.caution}."
    rest_on: dict[str, list[str]] = {}
    for run in outcome.runs:
        if run.caution:
            rest_on.setdefault(run.caution, []).append(run.title)
    for caution, titles in rest_on.items():
        yield f"{'; '.join(titles)}: {caution}"
    for run in outcome.runs:
        if run.unstored:
            yield f"{run.title}: the result could not be stored and will be computed again: {run.unstored}"


def of_results(
    analysis: Analysis[Any, Any], results: Sequence[Result], probes: Sequence[str] = ()
) -> Section:
    """Turn results of one analysis into a section, without their provenance.

    Sentences name ``probes``, or those that titles of results name, by the size of their images.
    """
    notes: list[Note] = []
    # Titles name models and probes only.
    probes = probes or tuple(dict.fromkeys(one for r in results for one in re.findall(r"[\w.@+-]+", r.title)))

    def tried(make: Callable[[Sequence[Result]], T], what: str, otherwise: T) -> T:
        try:
            return make(results) if results else otherwise
        except Terminated:
            raise
        except (Exception, SystemExit):
            notes.append(bug(f"The {what} could not be made"))
            return otherwise

    def say(them: Sequence[Result]) -> tuple[Finding, ...]:
        return _checked(analysis.findings(them), probes)

    nothing: tuple[Finding, ...] = ()
    with naming(lambda: names_in(results, ())):
        findings = tried(say, "findings", nothing)
    return Section(
        analysis.name,
        analysis.question,
        findings=findings,
        charts=tried(
            lambda them: _comparable(filter(_is_worth_showing, analysis.charts(them))), "charts", ()
        ),
        numbers=tried(numbers_of, "numbers", None),
        notes=tuple(notes),
        about=parts(analysis.doc),
    )


def bug(what: str) -> Note:
    """Give the remark on an exception, inside ``except``: what could not be made, and the traceback."""
    why = "there is not enough memory" if isinstance(sys.exception(), MemoryError) else "this is a bug"
    return Note(f"{what}; {why}.", "error", traceback.format_exc())


def _checked(findings: Sequence[Finding], probes: Sequence[str]) -> tuple[Finding, ...]:
    for one in findings:
        if one.tone not in get_args(Tone):
            raise ValueError(f"{one!r} has a tone that there is not")
    return tuple(in_order(settled(_worded(one, probes) for one in findings)))


def _worded(finding: Finding, probes: Sequence[str]) -> Finding:
    """Say it in a study's words, and of shrunk images how large they are."""
    text, claim, otherwise = (
        said(sized(one, probes)) for one in (finding.text, finding.claim[0], finding.otherwise)
    )
    return dataclasses.replace(finding, text=text, claim=(claim, finding.claim[1]), otherwise=otherwise)


def together(sections: Sequence[Section]) -> list[Section]:
    """Decide over all findings of some sections, as one report has them, which are claimed.

    A caution that an earlier section gives already is left out.
    """
    every = iter(settled(finding for section in sections for finding in section.findings))
    given: set[str] = set()
    found = []
    for section in sections:
        findings = tuple(in_order(next(every) for _ in section.findings))
        cautions = tuple(caution for caution in section.cautions if caution not in given)
        given.update(cautions)
        found.append(dataclasses.replace(section, findings=findings, cautions=cautions))
    return found


def comparisons(sections: Sequence[Section]) -> Comparisons:
    """Count what the findings of some sections claim."""
    return Comparisons.of(finding for section in sections for finding in section.findings)


def _is_worth_showing(chart: Chart) -> bool:
    """Leave out faces without any picture, as where other images are at hand than those of the results."""
    return not isinstance(chart, Faces) or chart.found() > 0


def _comparable(charts: Iterable[Chart]) -> tuple[Chart, ...]:
    """Bring charts of several models to one span; where one is broken, it fails when it is drawn."""
    them = tuple(charts)
    try:
        return alike(them)
    except Exception:
        return them


def numbers_of(results: Sequence[Result]) -> Numbers | None:
    """Set the numbers of results side by side; None if there are none."""
    columns = [result.numbers() for result in results]
    labels = dict.fromkeys(label for column in columns for label in column)
    if not labels:
        return None
    shown = list(labels)[:ROWS]
    rows = {label: tuple(column.get(label) for column in columns) for label in shown}
    return Numbers(tuple(result.title for result in results), rows, len(labels) - len(shown))


def parts(doc: str) -> tuple[tuple[str, str], ...]:
    """Cut an analysis's docstring at its headings; what stands before the first is "What it measures".

    A heading is a line of its own, "Limits", with or without a colon or an underline.
    """
    known = {heading.lower(): heading for heading in HEADINGS}
    found: list[tuple[str, list[str]]] = [("What it measures", [])]
    for line in doc.splitlines():
        word = line.strip().strip("*").rstrip(":").strip("*").lower()
        if word in known:
            found.append((known[word], []))
        elif not (re.fullmatch(r"\s*(-{3,}|={3,})\s*", line) and not any(x.strip() for x in found[-1][1])):
            found[-1][1].append(line)
    texts = [(heading, "\n".join(lines).strip()) for heading, lines in found]
    return tuple((heading, text) for heading, text in texts if text)


def estimate_text(estimate: Estimate) -> str:
    """Write an Estimate with its interval, with as many decimals as its size asks for."""
    ends = (estimate.value, estimate.low, estimate.high)
    sizes = [abs(end) for end in ends if end is not None and abs(end) < float("inf")]
    reach = max(sizes, default=0.0)
    if 0 < reach < 0.01:
        return format(estimate, ".2g")
    return format(estimate, ",.0f" if reach >= 10_000 else ".1f" if reach >= 100 else ".3f")


def number_text(value: Number | None) -> str:
    """Write a number of the table; a missing one is "n/a", never zero."""
    return estimate_text(value) if isinstance(value, Estimate) else cell(value)


def aside_text(value: Number | None) -> str:
    """Write what stands below a number: its null and how many units it rests on."""
    if not isinstance(value, Estimate):
        return ""
    null = f"null {short_null(value)}" if value.null is not None else ""
    return " · ".join(filter(None, (null, f"n {value.n:,}" if value.n else "")))


def short_null(estimate: Estimate) -> str:
    """Write the null as finely as the number that stands above it."""
    null = estimate.null if estimate.null is not None else float("nan")
    return short(null) if 0 < abs(null) < 0.01 else estimate_text(Estimate(null))


def _notes(runs: Sequence[Run]) -> Iterator[Note]:
    """Say what failed on each run, and once why it does not apply to those that share the reason."""
    shared: dict[str, list[str]] = {}
    for run in runs:
        if run.error:
            last = run.error.strip().splitlines()[-1]
            yield Note(f"Failed on {run.title}: {last}", "error", run.error.strip())
        else:
            shared.setdefault(str(run.reason), []).append(run.title)
    for reason, titles in shared.items():
        yield Note(f"Does not apply to {'; nor to '.join(titles)}: {reason}")


def _params(outcome: Outcome) -> tuple[tuple[str, str, str, str], ...]:
    values = dataclasses.asdict(outcome.params)
    try:
        known = study.params_of(outcome.analysis.name)
    except (UserError, OSError, TypeError, SyntaxError):
        # An analysis that is only defined in a notebook has no source to read docstrings from, and one of a
        # function has it indented.
        known = {}
    defaults = dataclasses.asdict(outcome.analysis.params)
    rows = []
    for name, value in values.items():
        default = defaults.get(name, value)
        doc = known[name][1] if name in known else ""
        rows.append((name, cell(value), "" if default == value else cell(default), doc))
    return tuple(rows)


def _run_row(run: Run) -> RunRow:
    inputs = tuple((str(i["input"]), str(i["fingerprint"])[:12]) for i in run.record.get("inputs", ()))
    seconds = run.record.get("seconds")
    took = f"{seconds:.1f} s" if isinstance(seconds, int | float) else "n/a"
    created = str(run.record.get("created", "")).replace("T", " ").replace("+00:00", " UTC")
    source = f"stored result of {created}" if run.cached else f"computed {created}"
    return RunRow(run.title, inputs, took, source.strip())
