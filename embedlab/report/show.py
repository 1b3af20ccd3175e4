"""The same section in a notebook: findings, numbers and charts of some results."""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType, ModuleType
from typing import Any

from embedlab.analysis import Analysis, Result
from embedlab.charts import Chart, Table, faces_at_hand, faces_from, model_colours
from embedlab.charts.base import visible
from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.store import Lab
from embedlab.question import Answer
from embedlab.report import answering, sections
from embedlab.report.glossary import names_in
from embedlab.report.sections import Section
from embedlab.runner import Outcome, run_study, versions
from embedlab.study import Study
from embedlab.wording import Words, checked, naming, said, speaking

# Plotly's own set of buttons has one that sends the figure, and so the data, to its maker.
CONFIG = {"showSendToCloud": False, "displaylogo": False, "plotlyServerURL": ""}


def show(analysis: Analysis[Any, Any] | ModuleType, results: Result | Sequence[Result]) -> None:
    """Show what an analysis found, as the report does.

    In a notebook this displays the findings, the numbers and the plotly charts; elsewhere it prints
    the findings and the numbers as text. Faces are those of the lab's data sets; inside
    ``with faces_from(lookup):`` those that ``lookup`` gives.

    Parameters
    ----------
    analysis
        An analysis, or the module that declares one: ``embedlab.analyses.verification``.
    results
        One result or several to compare.

    Raises
    ------
    TypeError
        If a module declares no analysis.
    """
    if isinstance(analysis, ModuleType):
        declared = getattr(analysis, "ANALYSIS", None)
        if not isinstance(declared, Analysis):
            raise TypeError(f"{analysis.__name__} declares no ANALYSIS")
        analysis = declared
    with faces_of(Lab()):
        section = sections.of_results(analysis, [results] if isinstance(results, Result) else list(results))
        _show(section)


class Answers(tuple[Answer, ...]):
    """Answers that a notebook shows as the report does, and that print as lines.

    Attributes
    ----------
    words
        What the study calls people and images.
    """

    words: Words = MappingProxyType({})

    def __str__(self) -> str:
        with speaking(self.words):
            return "\n".join(answering.as_text(self))

    def _repr_html_(self) -> str:
        from embedlab.report.build import answers_fragment

        with speaking(self.words):
            return answers_fragment(self)


def _answers(outcomes: Sequence[Outcome], overrides: answering.Overrides, words: Words) -> Answers:
    with speaking(words):
        found = Answers(answering.of(outcomes, overrides))
    found.words = words
    return found


def answers(lab: Lab, study: Study) -> Answers:
    """Run what a study asks, or fetch what is stored, and judge the questions that it bears on.

    Raises
    ------
    UserError
        As `embedlab.runner.outcomes` does.
    """
    return _answers(run_study(lab, study), study.overrides, study.words)


def report_of(
    sets: Sequence[EmbeddingSet],
    path: Path | str,
    *,
    analyses: Sequence[str] = (),
    overrides: answering.Overrides | None = None,
    title: str = "",
    words: Words | None = None,
) -> Answers:
    """Write the whole report of sets that lie in memory, and give its answers.

    Parameters
    ----------
    sets
        Of any models and probes; models are held against each other where they have a probe in common.
    path
        The page to write, ``.html``, or the folder for it; ``report.json`` stands beside it.
    analyses
        Which; all where none is named.
    overrides
        Parameters by analysis or question: ``{"verification": {"far": 0.01}}``.
    title
        The report's heading; by default its models.
    words
        What people and images are called: ``{"identity": "speaker", "item": "utterance"}``.

    Raises
    ------
    UserError
        If there is no set, or two of one model and probe; if words are none; as `embedlab.runner.outcomes`
        does; or if the report cannot be written.
    """
    from embedlab.lab import embeddings
    from embedlab.report.build import Head, check_place
    from embedlab.report.growing import growing
    from embedlab.runner import outcomes, sets_used
    from embedlab.study import names

    page = Path(path) if Path(path).suffix.lower() in (".html", ".htm") else Path(path) / "index.html"
    named = [(one.model, one.probe) for one in sets]
    if not named:
        raise UserError("there is nothing to report on: give one set at least")
    if twice := next((one.title for one in sets if named.count((one.model, one.probe)) > 1), ""):
        raise UserError(f"{twice} is given twice: call the sets by different models or probes")
    check_place(page)
    models, probes = (tuple(dict.fromkeys(part)) for part in zip(*named, strict=True))
    called = checked(words or {}, "words")
    study = Study(models, probes, tuple(analyses), overrides or {}, words=called)
    with TemporaryDirectory() as folder:
        lab = Lab(folder)
        for one in sets:
            file = lab.embeddings_file(one.model, one.probe)
            file.parent.mkdir(parents=True, exist_ok=True)
            embeddings.write(file, one, {})
        head = Head(
            title or " and ".join(models),
            models,
            {},
            probes,
            overrides=study.overrides,
            sets=sets_used(lab, study),
            words=study.words,
        )
        found = []
        with growing(page, head, names(study)) as made:
            for outcome in outcomes(lab, study):
                made.add(outcome)
                found.append(outcome)
            made.finish({"Versions": list(versions().items())})
    return _answers(found, study.overrides, study.words)


def faces_of(lab: Lab) -> AbstractContextManager[None]:
    """Let charts find the faces that lie in a lab, unless somebody lends others already."""
    from embedlab.data.pictures import pictures_in

    found = None if faces_at_hand() else pictures_in(lab.data)
    return nullcontext() if found is None else faces_from(found)


def _show(section: Section) -> None:
    with model_colours(_models(section.charts)):
        if _in_notebook():
            _display(section)
        else:
            print(as_text(section))  # noqa: T201
            if compared := sections.comparisons([section]).text():
                print(f"\n{compared}")  # noqa: T201


def _in_notebook() -> bool:
    import sys

    # Whoever runs in IPython has imported it; importing it here would only slow scripts down.
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _models(charts: Iterable[Chart]) -> list[str]:
    found: dict[str, None] = {}
    for chart in charts:
        for part in (*getattr(chart, "curves", ()), *_series(chart)):
            if model := getattr(part, "model", ""):
                found[model] = None
    return list(found)


def _series(chart: Chart) -> Iterable[Any]:
    series = getattr(chart, "series", ())
    return series if isinstance(series, tuple) else ()


def _display(section: Section) -> None:
    from IPython.display import HTML, display

    from embedlab.report.build import fragment

    display(HTML(fragment(section)))
    if compared := sections.comparisons([section]).text():
        display(HTML(fragment(compared)))
    for chart in section.charts:
        if isinstance(chart, Table):
            continue
        display(_mimes(chart), raw=True)
        if chart.note:
            display(HTML(fragment(chart.note)))


def _mimes(chart: Chart) -> dict[str, Any]:
    """Give a chart as plotly's type and as PNG: what does not run scripts shows the picture.

    Those are nbconvert, GitHub, and a notebook that is not trusted.
    """
    return {
        "application/vnd.plotly.v1+json": {**json.loads(chart.plotly().to_json()), "config": CONFIG},
        "image/png": base64.b64encode(_picture(chart)).decode(),
        "text/plain": f"{chart.title}. {chart.note}".strip(),
    }


def _picture(chart: Chart) -> bytes:
    from embedlab.report import paper

    file = io.BytesIO()
    paper.draw(chart, file, format="png", dpi=110)
    return file.getvalue()


def told(section: Section) -> tuple[str, bool]:
    """Write a section as plain text, and say whether nothing of it failed with a bug."""
    try:
        return as_text(section), section.sound
    except Exception:
        return as_text(sections.broken(section.name, section.heading)), False


def as_text(section: Section) -> str:
    """Write findings and numbers of a section as plain text; what would steer a terminal is shown."""
    marks = {"good": "+", "bad": "!", "plain": "-"}
    lines = [section.heading, ""]
    lines += [f"{marks[finding.tone]} {_line(finding.text)}" for finding in section.findings]
    for note in section.notes:
        lines += [f"! {_line(note.text)}", *note.detail.splitlines()]
    lines += [f"- {_line(caution)}" for caution in section.cautions]
    if section.numbers is not None:
        rows = [
            [label, *(_with_aside(value) for value in row)] for label, row in section.numbers.rows.items()
        ]
        lines += ["", *_aligned([["", *section.numbers.columns], *rows])]
    for chart in section.charts:
        if isinstance(chart, Table):
            lines += ["", _line(chart.title), *_aligned([list(chart.columns), *chart.cells()])]
    with naming(lambda: names_in((), section.charts)):
        return "\n".join(visible(said(line)) for line in lines)


def _line(text: str) -> str:
    return " ".join(text.splitlines())


def _with_aside(value: Any) -> str:
    aside = sections.aside_text(value)
    return sections.number_text(value) + (f" ({aside})" if aside else "")


def _aligned(rows: list[list[str]]) -> list[str]:
    rows = [[_line(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
