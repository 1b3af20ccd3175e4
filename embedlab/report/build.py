"""Write sections as one HTML file that opens from disk and asks the network for nothing."""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from embedlab import store
from embedlab.analysis import Estimate
from embedlab.charts import Table, colour, model_colours
from embedlab.charts.base import cell, look
from embedlab.errors import ESCAPED, UserError
from embedlab.report import numbers, sections
from embedlab.report.sections import Section
from embedlab.runner import Outcome

TONES = {"good": ("✓", "good"), "bad": ("!", "attention"), "plain": ("•", "")}
WIDE = ("Tiles", "Faces", "Table")
# A table of more rows scrolls in a window of its own.
LONG = 16
# So many findings of a section stand on the first screen; the others are folded away there.
SHOWN = 4
# What plotly keeps free for a heading of its own.
HEADING_PX = 44


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
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path} is no name for a report: end it in .html")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder: give the name of a file in it")
    with model_colours(models):
        every = [*(sections.of_outcome(outcome) for outcome in outcomes), *extra]
        page = _page(every, title=title, models=models, probes=probes, provenance=provenance, prose=prose)
    whole = numbers.document(title, models, probes, every, outcomes, provenance)
    beside = path.with_name("report.json" if path.stem == "index" else f"{path.stem}.json")
    # Else the page of one and the numbers of another could stand side by side.
    with store.locked(path, f"writing {path}"):
        with store.atomic_file(path) as temporary:
            temporary.write_text(page, encoding="utf-8", errors=ESCAPED, newline="\n")
        store.write_json(beside, whole)
    return path


def _page(
    every: Sequence[Section],
    *,
    title: str,
    models: Sequence[str],
    probes: Sequence[str],
    provenance: Mapping[str, Sequence[tuple[str, str]]],
    prose: str,
) -> str:
    figures = {
        (i, j): f"chart-{i}-{j}"
        for i, section in enumerate(every)
        for j, chart in enumerate(section.charts)
        if not isinstance(chart, Table)
    }
    drawn = {place: figure_json(every[place[0]].charts[place[1]]) for place in figures}
    static = files("embedlab.report") / "static"
    script = (static / "report.js").read_text(encoding="utf-8")
    plotly, packed = _plotly() if figures else ("", "")
    looks = {name: look(dark=name == "dark").to_plotly_json() for name in ("light", "dark")}
    return str(
        environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            models=[(name, colour(name)) for name in models],
            probes=probes,
            prose=prose,
            sections=every,
            figures=figures,
            wide={i: across(section.charts) for i, section in enumerate(every)},
            drawn={place: (_for_script(text), height) for place, (text, height) in drawn.items()},
            provenance=provenance,
            style=_safe((static / "style.css").read_text(encoding="utf-8")),
            script=_safe(script),
            plotly=packed,
            looks=_for_script(json.dumps(looks, sort_keys=True)),
            policy=_policy(script, plotly),
        )
    )


def across(charts: Sequence[Any]) -> list[bool]:
    """Say which charts take the whole width: tables, tiles, and every one left without a neighbour."""
    flags = [type(chart).__name__ in WIDE for chart in charts]
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
def _plotly() -> tuple[str, str]:
    """Give plotly.js as text, and as the page holds it: gzip in base64, a third of the size."""
    from plotly.offline import get_plotlyjs

    text = get_plotlyjs().replace("\r\n", "\n")
    return text, base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def figure_json(chart: Any) -> tuple[str, int]:
    """Give a chart as plotly JSON without the heading, which the page writes itself, and its height.

    The look is left out as well; the page holds a light and a dark one for all charts.
    """
    figure = chart.plotly()
    whole = json.loads(figure.to_json())
    layout = whole["layout"]
    for name in ("template", "title", "height"):
        layout.pop(name, None)
    margin = layout.setdefault("margin", {})
    margin["t"] = max(20, margin.get("t", figure.layout.template.layout.margin.t) - HEADING_PX)
    height = int(figure.layout.height) - HEADING_PX
    return json.dumps(whole, separators=(",", ":"), sort_keys=True), height


def _for_script(text: str) -> Any:
    # "<" only stands inside strings in JSON, where its escape means the same.
    return _safe(text.replace("<", "\\u003c"))


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def fragment(part: Section | str) -> str:
    """Give a section without its pictures, or one sentence, as HTML for a notebook."""
    if isinstance(part, str):
        return f'<p style="opacity: 0.75">{html.escape(part)}</p>'
    style = (files("embedlab.report") / "static" / "notebook.css").read_text(encoding="utf-8")
    return str(environment().get_template("notebook.html.jinja").render(section=part, style=_safe(style)))


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
    )
    made.filters |= {
        "prose": prose_html,
        "number": sections.number_text,
        "aside": sections.aside_text,
        "cell": cell,
        "words": words_of,
        "unbroken": lambda value: (
            sections.number_text(value).replace(", ", ",\N{NO-BREAK SPACE}")
            if isinstance(value, Estimate)
            else sections.number_text(value)
        ),
    }
    made.globals |= {"TONES": TONES, "LONG": LONG, "SHOWN": SHOWN, "kind": lambda thing: type(thing).__name__}
    return made


def words_of(table: Table) -> list[bool]:
    """Say which columns hold words, to be set from the left, and which numbers."""
    first = table.rows[0] if table.rows else ()
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
    safe = html.escape(text)
    safe = re.sub(r"\[(\w+)\]_", r"[\1]", safe)
    safe = re.sub(r"``(.+?)``", r"<code>\1</code>", safe)
    return re.sub(r"(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])", r"<em>\1</em>", safe)
