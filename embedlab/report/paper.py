"""A report to be taken into a paper: figures as PDF, tables as LaTeX and CSV, and the text as Markdown.

Files are called by what they show, never by where they stand, so that a paper that includes one finds it
still when another analysis was asked for. The folder comes into its place whole; one that holds anybody
else's file is left alone.
"""

import csv
import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from embedlab.charts import Cell, Chart, Table
from embedlab.charts.base import cell, visible
from embedlab.errors import UserError
from embedlab.estimates import Estimate
from embedlab.lab.store import atomic_folder, check_writable
from embedlab.question import Answer
from embedlab.report import answering
from embedlab.report.overview import Overview
from embedlab.report.pseudonyms import without_paths
from embedlab.report.sections import Section, number_text
from embedlab.study import CHAPTERS, FURTHER, chapter_of
from embedlab.wording import said

if TYPE_CHECKING:
    from embedlab.report.build import Head

MARKDOWN = "report.md"
WIDTH_IN, HEIGHT_IN, MOST_IN = 6.5, 4.2, 20.0
ROW_IN = 0.17
UNDATED = {"CreationDate": None, "Producer": None, "Creator": "embedlab"}
# Of a longer name the end is cut off.
LONGEST = 80
# A longer table runs over several pages.
PAGE_ROWS = 40
STYLE: Any = {"pdf.fonttype": 42, "font.size": 9.0, "axes.titlesize": 10.0}

_TEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "{''}",
        "`": r"\textasciigrave{}",
    },
    # After the end of a row these would be its options.
    **{"[": "{[}", "*": "{*}"},
    **{"\N{NO-BREAK SPACE}": "~", "\N{EN DASH}": "--", "\N{EM DASH}": "---", "…": r"\ldots{}"},
    **{"“": "``", "”": "''", "\N{LEFT SINGLE QUOTATION MARK}": "`", "’": "'"},
    **{
        mark: f"${formula}$"
        for mark, formula in {
            **{"≥": r"\geq", "≤": r"\leq", "×": r"\times", "−": "-", "′": "'", "½": r"\frac12"},
            **{"≈": r"\approx", "±": r"\pm", "∓": r"\mp", "∞": r"\infty", "→": r"\rightarrow", "·": r"\cdot"},
            **{"√": r"\surd", "÷": r"\div", "∘": r"\circ", "↦": r"\mapsto", "‖": r"\Vert", "µ": r"\mu"},
            **{"‹": "<", "›": ">", "•": r"\bullet", "✓": r"\surd"},
        }.items()
    },
}
# Capitals that look like Latin ones have no command.
_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"
_MARKED = re.compile(r"[\\`*_{}\[\]|~$]|^[#+\-=]|(?<=^\d)[.)]|(?<=:)/(?=/)|(?<=www)\.")


@dataclass
class _Files:
    """Names of files that are taken."""

    taken: set[str] = field(default_factory=set)

    def name(self, *words: str) -> str:
        """Make a name of words, and another one where it is taken."""
        made = (
            re.sub(r"[^a-z0-9]+", "-", " ".join(map(clean, words)).lower()).strip("-")[:LONGEST].strip("-")
            or "unnamed"
        )
        name, number = made, 2
        while name in self.taken:
            name, number = f"{made}-{number}", number + 1
        self.taken.add(name)
        return name


def check_place(folder: Path, page: Path | None = None) -> None:
    """See that a folder may be written, and that nobody's file is lost there.

    A folder of an earlier run is replaced.

    Parameters
    ----------
    folder
        The folder.
    page
        Where the report itself goes, if it does.

    Raises
    ------
    UserError
        If it is no folder, holds the report or a file that no earlier run made, or cannot be written.
    """
    if page is not None and folder.resolve() in (page.resolve(), *page.resolve().parents):
        raise UserError(f"--paper {folder} holds the report itself: give a folder of its own")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"cannot write {folder}: it is no folder: give --paper the name of a new one")
    inside = sorted(path for path in folder.rglob("*") if not path.is_dir()) if folder.is_dir() else []
    made = folder / MARKDOWN
    text = made.read_text(encoding="utf-8", errors="replace") if made.is_file() else ""
    ours = {MARKDOWN, *re.findall(r"\]\(((?:figures|tables)/[a-z0-9-]+\.(?:pdf|tex|csv))\)", text)}
    if strangers := [path for path in inside if path.relative_to(folder).as_posix() not in ours]:
        raise UserError(f"{strangers[0]} is there, and --paper did not write it: give another folder")
    if made in inside and not text.rstrip().endswith("Made by embedlab."):
        raise UserError(f"{made} is there, and --paper did not write it: give another folder")
    check_writable(folder, folder=True)


def write(
    folder: Path,
    sections: Sequence[Section],
    head: "Head",
    answers: Sequence[Answer],
    models: Overview | None = None,
) -> Path:
    """Write figures, tables and text into a folder, all or nothing.

    Parameters
    ----------
    folder
        As ``check_place`` has it.
    sections
        As the report shows them.
    head
        What stands above them.
    answers
        The answers.
    models
        The table of models.

    Returns
    -------
    The Markdown file.

    Raises
    ------
    UserError
        As ``check_place`` does.
    """
    check_place(folder)
    with atomic_folder(folder, replace=folder.is_dir()) as temporary:
        for room in ("figures", "tables"):
            (temporary / room).mkdir()
        lines = list(_text(temporary, _Files(), sections, head, answers, models))
        (temporary / MARKDOWN).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return folder / MARKDOWN


def _text(
    folder: Path,
    files: _Files,
    sections: Sequence[Section],
    head: "Head",
    answers: Sequence[Answer],
    models: Overview | None,
) -> Iterator[str]:
    yield f"# {markdown(head.title)}"
    shown = f"{len(head.models)} models" if head.focus else ", ".join(head.models)
    yield (
        f"\n{markdown(shown)} on {markdown(', '.join(head.probes))}"
        if head.probes
        else f"\n{markdown(shown)}"
    )
    if answers:
        yield "\n## Answers\n"
    for asked in answering.by_question(answers):
        yield f"{asked.number}. {markdown(asked.text)}"
        for line in asked.lines:
            mark = "hazard, " if line.lead.hazard else ""
            verdict = f"**{mark}{line.lead.shown_as}**"
            yield f"   - {verdict}: {markdown(f'{line.lead.text} {line.told}'.strip())}"
    if over := max((one.over for one in answers), default=0):
        yield f"\nIntervals of answers are simultaneous over {over:,} claims."
    if models:
        title = f"Models on {models.probe}, the best first"
        table = Table(title=title, columns=models.columns, rows=tuple(map(tuple, models.cells())))
        yield from _table(folder, files.name("models"), table)
        if models.heatmap:
            yield from _figure(folder, files.name("models", models.heatmap.title), models.heatmap)
    for chapter in (*CHAPTERS, FURTHER):
        there = [section for section in sections if chapter_of(section.name) == chapter]
        if there:
            yield f"\n## {chapter}"
        for section in there:
            yield from _section(folder, files, section)
    yield "\nMade by embedlab."


def _section(folder: Path, files: _Files, section: Section) -> Iterator[str]:
    yield f"\n### {markdown(section.heading)} ({markdown(section.name)})\n"
    yield from (f"- {markdown(one.text)}" for one in section.findings)
    yield from (f"\n{markdown(note.text)}" for note in section.notes)
    yield from (f"\n{markdown(caution)}" for caution in section.cautions)
    for chart in section.charts:
        name = files.name(section.name, chart.title)
        yield from _table(folder, name, chart) if isinstance(chart, Table) else _figure(folder, name, chart)
    if section.numbers is not None:
        rows = tuple((label, *row) for label, row in section.numbers.rows.items())
        table = Table(
            title=f"Numbers of {section.name}", columns=("number", *section.numbers.columns), rows=rows
        )
        yield from _table(folder, files.name(section.name, "numbers"), table)


def _figure(folder: Path, name: str, chart: Chart) -> Iterator[str]:
    """Draw one figure; one that cannot be drawn costs no other."""
    try:
        draw(chart, folder / "figures" / f"{name}.pdf", format="pdf", metadata=UNDATED)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        yield f"\n{markdown(chart.title)} could not be drawn; this is a bug: {markdown(why)}"
        return
    yield f"\n![{markdown(chart.title)}](figures/{name}.pdf)"
    if chart.note:
        yield f"\n{markdown(chart.note)}"


def draw(chart: Chart, file: Path | BinaryIO, **how: Any) -> None:
    """Draw a chart into a file, as high as its rows ask for, without touching figures that are open.

    Parameters
    ----------
    chart, file
        What, and where to.
    how
        ``format`` and whatever else matplotlib's ``savefig`` takes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = max(len(getattr(chart, "ylabels", ())), len(getattr(chart, "labels", ())))
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the table beside the figure has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure((WIDTH_IN, min(MOST_IN, max(HEIGHT_IN, 1.5 + ROW_IN * rows))), layout="constrained")
        chart.matplotlib(figure.add_subplot(projection=chart.projection))
        figure.savefig(file, **how)


def _table(folder: Path, name: str, table: Table) -> Iterator[str]:
    for kind, text in (("tex", latex(table, name)), ("csv", as_csv(table))):
        (folder / "tables" / f"{name}.{kind}").write_text(text, encoding="utf-8", newline="")
    title = markdown(table.title)
    yield f"\nTable: {title} ([CSV](tables/{name}.csv), [LaTeX](tables/{name}.tex))"


def clean(text: object) -> str:
    """Make one line of a text, in a study's words: without folders of a machine, and without what steers."""
    return without_paths(visible(said(" ".join(str(text).split()))))


def markdown(text: object) -> str:
    """Write text so that Markdown shows it as it is: no emphasis, no link, no element of HTML."""
    safe = _MARKED.sub(r"\\\g<0>", clean(text))
    return safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def tex(text: object) -> str:
    """Write text so that LaTeX sets it as it is and runs nothing of it."""
    return "".join(_TEX.get(mark) or _formula(mark) for mark in clean(text))


def _formula(mark: str) -> str:
    """Write Greek letters and raised or lowered signs as formulas; others stay as they are."""
    if mark in _GREEK:
        name = unicodedata.name(mark).rpartition(" ")[2].replace("LAMDA", "LAMBDA")
        return rf"$\{name.lower() if mark.islower() else name.capitalize()}$"
    kind, _, code = unicodedata.decomposition(mark).partition(" ")
    if kind in ("<super>", "<sub>") and " " not in code:
        return f"${'^' if kind == '<super>' else '_'}{{{tex(chr(int(code, 16))).strip('$')}}}$"
    return mark


def latex(table: Table, name: str) -> str:
    """Write a table as LaTeX, in the manner of booktabs; a long one as a longtable.

    Letters that pdfLaTeX does not know are left as they are: XeLaTeX and LuaLaTeX set them.

    Parameters
    ----------
    table
        What to write.
    name
        Its label is ``tab:name``.
    """
    first = table.rows[0] if table.rows else ("",) * len(table.columns)
    columns = "".join("l" if isinstance(value, str) or value is None else "r" for value in first) or "l"
    heads = " & ".join(map(tex, table.columns)) + r" \\"
    body = [" & ".join(tex(number_text(value)) for value in row) + r" \\" for row in table.rows]
    caption = rf"\caption{{{tex(table.title)}}}\label{{tab:{name}}}"
    if len(table.rows) > PAGE_ROWS:
        lines = ["% needs booktabs and longtable", rf"\begin{{longtable}}{{{columns}}}", rf"{caption}\\"]
        lines += [r"\toprule", heads, r"\midrule", r"\endhead", *body, r"\bottomrule", r"\end{longtable}"]
    else:
        lines = ["% needs booktabs and graphicx", r"\begin{table}", r"\centering", caption]
        # A table that is wider than the text shrinks to it.
        lines += [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
        lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", heads, r"\midrule", *body, r"\bottomrule"]
        lines += [r"\end{tabular}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def as_csv(table: Table) -> str:
    """Write a table as CSV; an estimate takes three columns, its value and the ends of its interval.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    wide = [
        any(isinstance(_value(row[k]), Estimate) for row in table.rows) for k in range(len(table.columns))
    ]
    out = io.StringIO()
    sheet = csv.writer(out)
    heads = zip(table.columns, wide, strict=True)
    sheet.writerow(
        [
            _safe(part)
            for name, w in heads
            for part in ((name, f"{name} low", f"{name} high") if w else (name,))
        ]
    )
    for row in table.rows:
        sheet.writerow(
            [part for value, w in zip(row, wide, strict=True) for part in _parts(_value(value), w)]
        )
    return out.getvalue()


def _value(value: Any) -> Any:
    value = value.value if isinstance(value, Cell) else value
    return value.item() if isinstance(value, np.generic) else value


def _parts(value: Any, wide: bool) -> list[Any]:
    if isinstance(value, Estimate):
        return [value.value, "" if value.low is None else value.low, "" if value.high is None else value.high]
    one = "" if value is None else _safe(value) if isinstance(value, str) else value
    if not isinstance(one, str | int | float):
        one = _safe(cell(one))
    return [one, "", ""] if wide else [one]


def _safe(text: str) -> str:
    text = clean(text)
    is_number = re.fullmatch(r"[-+]?[\d.,]+(e[-+]?\d+)?( .*)?", text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") and not is_number else text
