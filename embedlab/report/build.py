"""Write sections as one HTML file that opens from disk and asks the network for nothing."""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from embedlab import wording
from embedlab.analysis import Estimate, Finding
from embedlab.charts import Bars, Chart, Table, alt, colour, groups, model_colours
from embedlab.charts.base import cell, look, look_apart, visible
from embedlab.errors import ESCAPED, UserError
from embedlab.estimates import counted
from embedlab.lab import store
from embedlab.question import Answer
from embedlab.report import answering, methods, numbers, overview, sections, statements
from embedlab.report.glossary import Marker, names_in
from embedlab.report.items import Items
from embedlab.report.pseudonyms import without_paths
from embedlab.report.sections import Note, Section
from embedlab.runner import Outcome
from embedlab.study import CHAPTERS, FURTHER, Statement, chapter_of
from embedlab.wording import Words, naming, said_in_html, speaking

TONES = {"good": ("✓", "good"), "bad": ("!", "attention"), "plain": ("•", "")}
WIDE = ("Tiles", "Faces", "Table")
# A picture that stands open is not higher than this, if its kind is as clear at any height.
FLAT, LEAD_PX = ("Bars", "Curves", "Histogram"), 272
# A table of more rows scrolls in a window of its own.
LONG = 16
# So many findings of a section stand open, of those that call for attention more; the others are folded away.
SHOWN, ALARMS = 2, 3
# The first of these that has a picture lends it to the answers.
KEYS = ("resolution", "verification", "distances")
# What plotly keeps free for a heading of its own.
HEADING_PX = 44
PLOTLY_TOP, PLOTLY_HEIGHT = 100, 450
# Each builds on those before it.
SCRIPTS = ("report.js", "tools.js", "roll.js", "words.js", "linked.js", "notes.js")
STYLES = ("style.css", "notes.css")
# A section's first picture as it is shown, and as it is folded; unfolded it brings the others with it.
FOLDED = {
    '<details class="fold picture" open>': '<details class="fold picture">',
    '<details class="fold rest">': '<details class="fold rest" open>',
}
# By it a report is known again, so that nobody else's page is replaced.
FOOTER = "Made by embedlab."


def build(
    path: Path,
    *,
    title: str,
    outcomes: Sequence[Outcome],
    models: Sequence[str],
    provenance: Mapping[str, Sequence[tuple[str, str]]],
    probes: Sequence[str] = (),
    prose: str = "",
    extra: Sequence[Section] = (),
) -> Path:
    """Write the report, and its numbers as JSON beside it.

    Parameters
    ----------
    path
        Where the HTML goes; ``index.html`` has its numbers in ``report.json``, any other
        ``name.html`` in ``name.json``.
    title
        The heading.
    outcomes
        What the analyses gave; a section each, in this order.
    models
        The models in the order that gives them their colours.
    provenance
        Heading → (what, value) rows.
    probes
        The probes, for the line under the heading.
    prose
        Paragraphs put before the findings.
    extra
        Sections that no analysis made, such as learning curves; they stand after the analyses.

    Returns
    -------
    The path of the HTML file. The same arguments give the same bytes.

    Raises
    ------
    UserError
        If the path does not end in ``.html`` or cannot be written.
    """
    with model_colours(models):
        items = Items()
        parts = [part_of(sections.of_outcome(one), k, items, one) for k, one in enumerate(outcomes)]
        parts += [part_of(section, len(parts) + k, items) for k, section in enumerate(extra)]
        return write(path, parts, Head(title, models, provenance, probes, prose), items)


@dataclass(frozen=True)
class Head:
    """What a report says above and below its sections.

    Attributes
    ----------
    title, models, provenance, probes, prose
        As ``build`` takes them.
    unfinished
        What is still to come, in a sentence; empty if nothing is.
    overrides
        Parameters of questions: what matters to whoever asks.
    sets
        The sets that were measured, as ``runner.sets_used`` lists them.
    said
        What was said before, to be held against the answers.
    focus
        Of many models those that are looked into, the best first; empty where all are.
    facts
        What is known of models besides results, for the table of them.
    sources
        Where the vectors came from, for the methods.
    words
        What a study calls people and images; see ``wording.speaking``.
    """

    title: str
    models: Sequence[str]
    provenance: Mapping[str, Sequence[tuple[str, str]]]
    probes: Sequence[str] = ()
    prose: str = ""
    unfinished: str = ""
    overrides: answering.Overrides = field(default_factory=dict)
    sets: Sequence[Mapping[str, Any]] = ()
    said: Sequence[Statement] = ()
    focus: Sequence[str] = ()
    facts: overview.Facts = field(default_factory=dict)
    sources: methods.Sources = field(default_factory=methods.Sources)
    words: Words = field(default_factory=dict)

    @property
    def shown(self) -> Sequence[str]:
        """The models that have a colour of their own."""
        return self.focus or self.models


@dataclass(frozen=True)
class Drawn:
    """A chart in the page: HTML of a table, else plotly JSON and its height in pixels.

    ``panel`` is the number of the group of charts that show the same of several models; ``alt`` what the
    picture says, for whoever does not see it; ``low`` whether it is as clear at a smaller height.
    """

    kind: str
    title: str
    note: str
    text: Any
    height: int = 0
    wide: bool = True
    alt: str = ""
    panel: int = -1
    low: bool = False


@dataclass(frozen=True)
class Part:
    """A section as it stands in the page, so that it is drawn once however often the page is written.

    Attributes
    ----------
    name, anchor, state
        The section's own.
    sound
        Whether nothing of it failed with a bug.
    section, charts, index
        What it was drawn from: its findings are worded anew when other sections come.
    body
        The section itself, as HTML.
    numbers
        What ``report.json`` says of it.
    outcome
        What the questions are judged by; None where no analysis made it.
    """

    name: str
    anchor: str
    state: str
    sound: bool
    section: Section
    charts: Sequence[Drawn]
    index: int
    body: str
    numbers: Mapping[str, Any]
    outcome: Outcome | None = None

    @property
    def drawn(self) -> bool:
        """Whether it has charts that the library draws."""
        return bool(self.lead)

    @property
    def lead(self) -> Sequence[int]:
        """Which of its charts are shown before it is unfolded; none where there are only tables."""
        return _lead(self.charts)

    def worded(self, section: Section) -> "Part":
        """Give it with the findings and cautions of ``section``, which depend on the other sections."""
        if (section.findings, section.cautions) == (self.section.findings, self.section.cautions):
            return self
        plain = {**self.numbers, "findings": numbers.jsonable(numbers.findings_of(section.findings))}
        return replace(self, section=section, body=_rendered(section, self.charts, self.index), numbers=plain)


def part_of(section: Section, index: int, items: Items, outcome: Outcome | None = None) -> Part:
    """Draw one section; what of it cannot be drawn becomes a boxed remark with its traceback.

    Parameters
    ----------
    section
        What to draw.
    index
        Its place in the report, which makes the names of its charts unique.
    items
        The table of people and images that the report's pictures refer to.
    outcome
        The runs that it was made of, for ``report.json``.
    """
    results = outcome.results if outcome else ()
    try:
        with naming(lambda: names_in(results, section.charts)):
            return _part(section, index, items, outcome)
    except Exception:
        return _part(sections.broken(section.name, section.heading), index, items, outcome)


def _part(section: Section, index: int, items: Items, outcome: Outcome | None) -> Part:
    drawn, notes = _drawn(section.charts, items)
    if notes:
        state = "partial" if section.state == "ok" else section.state
        section = replace(section, notes=(*section.notes, *notes), state=state)
    plain = numbers.part(section, outcome)
    return Part(
        name=section.name,
        anchor=section.anchor,
        state=section.state,
        sound=section.sound and plain["state"] == section.state,
        section=section,
        charts=drawn,
        index=index,
        body=_rendered(section, drawn, index),
        numbers=plain,
        outcome=outcome,
    )


def _rendered(section: Section, charts: Sequence[Drawn], index: int, *, away: bool = False) -> str:
    made = environment().get_template("section.html.jinja")
    return str(made.render(section=section, charts=charts, lead=_lead(charts), index=index, away=away))


def _lead(charts: Sequence[Drawn]) -> list[int]:
    """Choose the first picture, with the one that shows the same of another model."""
    first = next((k for k, chart in enumerate(charts) if chart.kind != "Table"), None)
    if first is None:
        return []
    group = charts[first].panel
    panels = [k for k, chart in enumerate(charts) if chart.panel == group >= 0]
    return panels if len(panels) == 2 and charts[first].kind not in WIDE else [first]


def settled(parts: Sequence[Part]) -> list[Part]:
    """Word the findings of all sections of a page as their number asks for."""
    worded = sections.together([part.section for part in parts])
    return [part.worded(section) for part, section in zip(parts, worded, strict=True)]


def _drawn(charts: Sequence[Chart], items: Items) -> tuple[list[Drawn], list[Note]]:
    """Draw each chart by itself, so that one that fails costs no other."""
    drawn: list[Drawn] = []
    notes: list[Note] = []
    for chart, panel in zip(charts, groups(charts), strict=True):
        try:
            drawn.append(replace(_one(chart, items), panel=panel))
        except Exception:
            notes.append(sections.bug(f"The chart {str(getattr(chart, 'title', ''))!r} could not be drawn"))
    lead = _lead(drawn)
    rest = [k for k in range(len(drawn)) if k not in lead]
    flags = dict(zip(rest, across([drawn[k].kind for k in rest]), strict=True))
    return [replace(one, wide=flags.get(k, len(lead) == 1)) for k, one in enumerate(drawn)], notes


def _one(chart: Chart, items: Items) -> Drawn:
    if isinstance(chart, Table):
        made = environment().get_template("elements.html.jinja").module.table(chart)
        return Drawn("Table", chart.title, chart.note, made)
    text, height = figure_json(chart, items)
    kind = type(chart).__name__
    low = kind in FLAT and not (isinstance(chart, Bars) and chart.is_crowded())
    return Drawn(kind, chart.title, chart.note, _for_script(text), height, alt=alt(chart), low=low)


def numbers_beside(path: Path) -> Path:
    """Give where the numbers of a report stand: ``report.json`` beside ``index.html``, else its own name."""
    return path.with_name("report.json" if path.stem == "index" else f"{path.stem}.json")


def check_place(path: Path) -> None:
    """See that a report may be written to a place, and that nobody else's file is lost there.

    A report of an earlier run is replaced. A link is replaced as well; what it leads to stays.

    Raises
    ------
    UserError
        If the path does not end in ``.html``, or a folder or a file of somebody else stands there.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path} is no name for a report: end it in .html")
    for one, mark in ((path, FOOTER), (numbers_beside(path), '"provenance": {')):
        if one.is_dir():
            raise UserError(f"cannot write {one}: it is a folder: give the name of a file in it")
        if one.is_file() and not one.is_symlink() and not _is_ours(one, mark):
            raise UserError(
                f"{one} is there, and embedlab did not write it: move it away, or give another place"
            )


def _is_ours(path: Path, mark: str) -> bool:
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return not text.strip() or mark.encode() in text


def write(path: Path, parts: Sequence[Part], head: Head, items: Items) -> Path:
    """Put sections together into the page, and their numbers into the JSON beside it.

    Raises
    ------
    UserError
        If the place will not do, as ``check_place`` says, or cannot be written.
    """
    check_place(path)
    with speaking(head.words, {head.title, *names_of(parts, head)} if head.words else ()):
        page, whole = _written(settled(parts), head, items)
    # Else the page of one and the numbers of another could stand side by side.
    with store.locked(path, f"writing {path}"), store.atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors=ESCAPED, newline="\n")
        # Where these have no room the page stays as it was, too.
        store.write_json(numbers_beside(path), whole)
    return path


def _written(parts: Sequence[Part], head: Head, items: Items) -> tuple[str, dict[str, Any]]:
    """Give the page, and its numbers."""
    compared = sections.comparisons([part.section for part in parts])
    answers = answering.of([part.outcome for part in parts if part.outcome], head.overrides)
    outcomes = [part.outcome for part in parts if part.outcome]
    models = overview.of(outcomes, answers, head.facts)
    made = methods.of(outcomes, head.sources, answers, compared, head.provenance.get("Versions", ()))
    said = statements.held(head.said, answers)
    page = _page(parts, head, items, answers, compared.text(), models, made, said)
    whole = numbers.assembled(
        head.title,
        head.models,
        head.probes,
        [part.numbers for part in parts],
        head.provenance,
        answers=_without_paths(answering.plain(answers)),
        sets=head.sets,
        said=_without_paths(statements.plain(said)),
        compared=compared,
        overview=models.plain() if models else None,
        unfinished=bool(head.unfinished),
        methods=made,
    )
    return said_in_html(page), whole


def _without_paths(value: Any) -> Any:
    """Leave out the folders of every path in plain values."""
    if isinstance(value, str):
        return without_paths(value)
    if isinstance(value, dict):
        return {_without_paths(key): _without_paths(one) for key, one in value.items()}
    return [_without_paths(one) for one in value] if isinstance(value, list | tuple) else value


def _with_key(parts: Sequence[Part]) -> tuple[list[Part], Part | None]:
    """Choose the section whose picture stands with the answers, and take it out of the section."""
    there = {part.name: part for part in parts if part.drawn}
    key = next((there[name] for name in KEYS if name in there), None)
    if key is None:
        return list(parts), None
    body = _rendered(key.section, key.charts, key.index, away=True)
    return [replace(part, body=body) if part is key else part for part in parts], key


def _page(
    parts: Sequence[Part],
    head: Head,
    items: Items,
    answers: Sequence[Answer],
    compared: str,
    models: overview.Overview | None,
    made: methods.Methods,
    said: Sequence[statements.Held],
) -> str:
    static = files("embedlab.report") / "static"
    script = "\n".join((static / name).read_text(encoding="utf-8") for name in SCRIPTS)
    clustered = _one(models.heatmap, items) if answers and models and models.heatmap else None
    drawn = clustered is not None or any(part.drawn for part in parts)
    plotly, packed = packing().result() if drawn else ("", "")
    # Of many models the heatmap shows all, and a curve each would show nothing.
    keyed = answers and not (clustered and head.focus)
    parts, key = _with_key(parts) if keyed else (list(parts), None)
    looks = {name: look(dark=name == "dark").to_plotly_json() for name in ("light", "dark")}
    return str(
        environment()
        .get_template("page.html.jinja")
        .render(
            head=head,
            compared=compared,
            methods=made,
            explained=Marker(names_of(parts, head)),
            shrunk=next((found[0] for probe in head.probes if (found := re.search(r"@\d+$", probe))), ""),
            models=[(name, colour(name)) for name in head.shown],
            shades={name: colour(name) for name in head.shown},
            key=key,
            overview=models,
            clustered=clustered,
            chapters=_chapters([replace(part, body=_safe(part.body)) for part in parts]),
            answers=bool(answers),
            screen=answering.screen(answers),
            said=said,
            footer=FOOTER,
            style=_safe("\n".join((static / name).read_text(encoding="utf-8") for name in STYLES)),
            script=_safe(script),
            plotly=packed,
            looks=_for_script(json.dumps(looks, sort_keys=True)),
            items=_for_script(items.plain()),
            policy=_policy(script, plotly),
        )
    )


def names_of(parts: Sequence[Part], head: Head) -> set[str]:
    """Gather the names of models, probes, people and images, in which no word is explained."""
    found = {*head.models, *head.probes}
    for part in parts:
        found |= names_in(part.outcome.results if part.outcome else (), part.section.charts)
    return found


def _chapters(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """Group sections by the chapter that they stand in, in the order of the chapters."""
    found: dict[str, list[Part]] = {chapter: [] for chapter in (*CHAPTERS, FURTHER)}
    for part in parts:
        there = found[chapter_of(part.name)]
        # A chapter opens with one picture; the others are a click away.
        there.append(replace(part, body=_safe(_folded(part.body))) if there else part)
    return {chapter: there for chapter, there in found.items() if there}


def _folded(body: str) -> str:
    text = str(body)
    for shown, folded in FOLDED.items():
        text = text.replace(shown, folded)
    return text


def across(kinds: Sequence[str]) -> list[bool]:
    """Say which kinds of charts take the whole width: tables, tiles, and every one without a neighbour."""
    flags = [kind in WIDE for kind in kinds]
    start = 0
    while start < len(flags):
        end = start
        while end < len(flags) and not flags[end]:
            end += 1
        if (end - start) % 2:
            flags[end - 1] = True
        start = end + 1
    return flags


def _policy(*scripts: str) -> str:
    """Forbid everything but what the page itself holds; only scripts of these very texts may run."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts if text]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


@cache
def packing() -> Future[tuple[str, str]]:
    """Begin to pack plotly.js, beside other work: zlib leaves the interpreter to that."""
    pool = ThreadPoolExecutor(1)
    packed = pool.submit(_plotly)
    pool.shutdown(wait=False)
    return packed


def _plotly() -> tuple[str, str]:
    """Give plotly.js as text, and as the page holds it: gzip in base64, a third of the size."""
    from plotly.offline import get_plotlyjs

    text = get_plotlyjs().replace("\r\n", "\n")
    return text, base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def figure_json(chart: Any, items: Items) -> tuple[str, int]:
    """Give a chart as plotly JSON without the heading, which the page writes itself, and its height.

    The look is left out as well; the page holds a light and a dark one for all charts, and the names of
    all people and images, in ``items``.
    """
    with look_apart():
        figure = chart.plotly()
    whole = json.loads(figure.to_json())
    for trace in whole["data"]:
        for name in trace.keys() & {"name", "text", "hovertext"}:
            trace[name] = _without_paths(trace[name])
    items.brief(whole)
    layout = whole["layout"]
    for name in ("template", "title", "height"):
        layout.pop(name, None)
    margin = layout.setdefault("margin", {})
    # A chart of another package may say neither; then plotly's own values hold.
    top = margin.get("t", figure.layout.template.layout.margin.t)
    margin["t"] = max(20, (PLOTLY_TOP if top is None else top) - HEADING_PX)
    height = int(figure.layout.height or PLOTLY_HEIGHT) - HEADING_PX
    return json.dumps(whole, separators=(",", ":"), sort_keys=True), height


def _for_script(text: str) -> Any:
    # "<" only stands inside strings in JSON, where its escape means the same.
    return _safe(text.replace("<", "\\u003c"))


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def answers_fragment(answers: Sequence[Answer]) -> str:
    """Give answers as HTML for a notebook."""
    made = environment().get_template("answers.html.jinja").module
    names = {name for one in answers for name in one.subject}
    return for_notebook(made.answers(answering.screen(answers), {}), names)


def for_notebook(made: str, names: Collection[str]) -> str:
    """Give a template's HTML as a notebook shows it: in a study's words but for ``names``, and explained."""
    style = (files("embedlab.report") / "static" / "notebook.css").read_text(encoding="utf-8")
    with naming(lambda: names):
        body = said_in_html(Marker(names, as_link=False)(made))
    return f'<style>{style}</style><div class="embedlab">{body}</div>'


def fragment(part: Section | str) -> str:
    """Give a section without its pictures, or one sentence, as HTML for a notebook."""
    if isinstance(part, str):
        return f'<p style="opacity: 0.75">{html.escape(wording.said(part))}</p>'
    style = (files("embedlab.report") / "static" / "notebook.css").read_text(encoding="utf-8")
    made = str(environment().get_template("notebook.html.jinja").render(section=part, style=_safe(style)))
    names = {*names_in((), part.charts), *(part.numbers.columns if part.numbers else ())}
    with naming(lambda: names):
        return said_in_html(str(Marker(names, as_link=False)(made)))


@cache
def environment() -> Any:
    """Give the Jinja environment of the templates, with everything from data escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("embedlab.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        # What is safe already has had its own turn.
        finalize=lambda value: value if hasattr(value, "__html__") else without_paths(visible(str(value))),
    )
    made.filters |= {
        "prose": prose_html,
        "number": sections.number_text,
        "aside": sections.aside_text,
        "cell": cell,
        "words": words_of,
        "shown": shown_of,
        "counted": lambda n, what: counted(n, what),
        "kinds": kinds_of,
        "without": lambda charts, some: [k for k in range(len(charts)) if k not in some],
        "unbroken": lambda value: (
            sections.number_text(value).replace(", ", ",\N{NO-BREAK SPACE}")
            if isinstance(value, Estimate)
            else sections.number_text(value)
        ),
    }
    made.globals |= {
        "TONES": TONES,
        "WIDE": WIDE,
        "LEAD": LEAD_PX,
        "LONG": LONG,
        "kind": lambda thing: type(thing).__name__,
    }
    return made


def shown_of(findings: Sequence[Finding]) -> int:
    """Say how many findings of a section stand open: a few, and one more where they call for attention.

    Those that may be chance stand open only where nothing else does.
    """
    alarms = sum(one.tone == "bad" for one in findings[:ALARMS])
    sure = sum(one.claimed is not False for one in findings[:SHOWN])
    return max(1, sure, alarms)


def kinds_of(charts: Sequence[Drawn], but: Sequence[int] = ()) -> str:
    """Count pictures and tables among charts, leaving out some: "3 pictures, 1 table"."""
    tables = sum(one.kind == "Table" for k, one in enumerate(charts) if k not in but)
    pictures = len(charts) - len(but) - tables
    counts = [counted(n, what) for n, what in ((pictures, "picture"), (tables, "table")) if n]
    return ", ".join(counts)


def words_of(table: Table) -> list[bool]:
    """Say which columns hold words, to be set from the left, and which numbers."""
    first = table.rows[0] if table.rows else ("",) * len(table.columns)
    return [isinstance(value, str) and value[:1].isalpha() for value in first]


def prose_html(text: str) -> Any:
    """Turn docstring text into HTML: paragraphs, lists, references, ``code`` and *emphasis*.

    Everything is escaped first, so that no text can bring elements of its own.
    """
    out = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines()]
        if not any(lines):
            continue
        pattern = r"(?:[-*]|\d+\.|\.\. \[\w+\])\s+"
        if re.match(pattern, lines[0]):
            items: list[str] = []
            for line in lines:
                if re.match(pattern, line):
                    items.append(re.sub(r"^(?:[-*]|\d+\.)\s+|^\.\. ", "", line))
                else:
                    items[-1] += f" {line}"
            out.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")
        else:
            out.append(f"<p>{_inline(' '.join(lines))}</p>")
    return _safe("\n".join(out))


def _inline(text: str) -> str:
    safe = html.escape(visible(text))
    safe = re.sub(r"\[(\w+)\]_", r"[\1]", safe)
    safe = re.sub(r"``(.+?)``", r"<code>\1</code>", safe)
    return re.sub(r"(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])", r"<em>\1</em>", safe)
