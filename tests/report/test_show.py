"""show() displays the same section in a notebook, and prints it elsewhere."""

import base64
import dataclasses
import json
import re
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result
from embedlab.charts import PALETTE, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import claim
from embedlab.examples import planted
from embedlab.report.sections import Note, Numbers, Section
from embedlab.report.show import _picture, as_text, report_of, show, told
from tests.charts.test_degenerate import KINDS, PLAIN


@dataclass(frozen=True)
class Height(Result):
    """A height."""

    height: Estimate


def compute(a, params):
    return Height(a, Estimate(0.5, 0.4, 0.6, n=12, null=0.1))


def charts(results):
    x = np.array([0.0, 1.0])
    curves = tuple(Curve(result.title, x, x, model=result.title) for result in results)
    return [
        Curves(title="growth", xlabel="day", ylabel="m", curves=curves, note="It <grows>."),
        Table(title="heights", columns=("tree", "m"), rows=(("<oak>", 12),)),
    ]


TREES = Analysis("How high?", "set", Params(), Height, compute, charts, lambda _: [Finding("High.", "good")])
RESULTS = [compute("oak", None), compute("elm", None)]


@pytest.fixture
def displayed(monkeypatch):
    """What a notebook was asked to display."""
    shown = []
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = SimpleNamespace
    ipython.display = display
    ipython.version_info = (9, 0)
    display.HTML = lambda text: text
    display.display = lambda what, raw=False: shown.append(what)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def test_a_notebook_shows_findings_numbers_charts_and_notes(displayed):
    assert show(TREES, RESULTS) is None
    section, chart, note = displayed
    figure = chart["application/vnd.plotly.v1+json"]
    assert figure["config"]["showSendToCloud"] is False
    assert base64.b64decode(chart["image/png"]).startswith(b"\x89PNG")
    assert chart["text/plain"] == "growth. It <grows>."
    assert "High." in section
    assert "0.500 [0.400, 0.600]" in section
    assert "null 0.100 · n 12" in section
    assert "&lt;oak&gt;" in section
    assert [trace["name"] for trace in figure["data"]] == ["oak", "elm"]
    assert [trace["line"]["color"] for trace in figure["data"]] == list(PALETTE[:2])
    assert "It &lt;grows&gt;." in note


def test_how_many_comparisons_stand_behind_the_sentences_is_said(displayed):
    said = [claim("It grew.", "It may have grown.", 0.03), claim("It fell.", "It may have fallen.", 0.9)]
    show(dataclasses.replace(TREES, findings=lambda _: said), RESULTS)
    assert "It may have grown (one of 2 comparisons)." in displayed[0]
    assert "Of 2 comparisons fewer than one" in displayed[1]


def test_elsewhere_the_same_is_printed(capsys):
    show(TREES, RESULTS[0])
    printed = capsys.readouterr().out
    assert printed.startswith("How high?")
    assert "+ High." in printed
    assert "0.500 [0.400, 0.600] (null 0.100 · n 12)" in printed
    assert "<oak>" in printed


def test_a_module_that_declares_an_analysis_will_do(capsys):
    module = ModuleType("trees")
    module.ANALYSIS = TREES
    show(module, RESULTS)
    assert "elm" in capsys.readouterr().out


def test_a_module_without_an_analysis_is_an_error():
    with pytest.raises(TypeError, match="trees declares no ANALYSIS"):
        show(ModuleType("trees"), RESULTS)


def test_a_chart_that_cannot_be_made_is_said(capsys):
    broken = Analysis("How high?", "set", Params(), Height, compute, lambda _: 1 / 0, TREES.findings)
    show(broken, RESULTS)
    printed = capsys.readouterr().out
    assert "charts could not be made" in printed
    assert "ZeroDivisionError" in printed


def test_faces_are_those_of_the_lab_and_left_out_where_there_are_none(tmp_path, monkeypatch, displayed):
    from PIL import Image

    from embedlab.charts import Face, Faces, faces_at_hand, faces_from

    def faces(results):
        return [Faces(title="worst", rows=(("r", (Face("p", "ann/1.png"),)),))] if faces_at_hand() else []

    oaks = Analysis("How high?", "set", Params(), Height, compute, faces, TREES.findings)
    monkeypatch.setenv("EMBEDLAB_LAB", str(tmp_path))
    show(oaks, RESULTS)
    assert len(displayed) == 1
    for person in ("ann", "bob"):
        (tmp_path / "data" / "p" / person).mkdir(parents=True)
        Image.new("RGB", (20, 20), (1, 2, 3)).save(tmp_path / "data" / "p" / person / "1.png")
    (tmp_path / "data" / "p_ids.txt").write_text("p/ann/1.png 0\np/bob/1.png 1\n")
    show(oaks, RESULTS)
    assert len(displayed) == 3
    with faces_from(lambda probe, item: None):
        show(oaks, RESULTS)
    assert len(displayed) == 4


def test_text_for_a_terminal_keeps_its_lines_and_steers_nothing():
    name = "a\nb\x1b[31m\u202e"
    section = Section(
        "s",
        "Is it?",
        findings=(Finding(f"It is {name}."),),
        numbers=Numbers((name,), {name: (Estimate(0.5),)}),
        charts=(Table(title=name, columns=(name,), rows=((name,),)),),
        notes=(Note(name, "error", "Traceback:\n  line"),),
        cautions=(f"{name} was left out",),
    )
    text = as_text(section)
    assert not set("\x1b\u202e") & set(text)
    assert "- It is a b\\u001b[31m\\u202e." in text.splitlines()
    assert "- a b\\u001b[31m\\u202e was left out" in text.splitlines()
    assert text.count("Traceback:\n  line") == 1


def test_a_section_that_cannot_be_written_is_its_traceback():
    text, sound = told(Section("s", "Is it?", findings=(None,)))
    assert not sound
    assert text.startswith("Is it?")
    assert "AttributeError" in text
    assert told(Section("s", "Is it?", findings=(Finding("It is."),)))[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_chart_has_its_picture(kind):
    assert _picture(KINDS[kind]("many", PLAIN)).startswith(b"\x89PNG")


def test_a_whole_report_is_made_of_sets_in_memory(tmp_path):
    sets = [planted("sharp"), planted("noisy", noise=1.5), planted("noisy", "faces@32", noise=2.0)]
    matters = {"verification": {"far": 0.01}, "recognition": {"matters": 0.9}}
    found = report_of(sets, tmp_path / "out", analyses=("verification",), overrides=matters)
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["text"] for one in document["answers"]] == [one.text for one in found]
    assert "FAR 0.01" in found[0].text
    assert "90 points" in document["answers"][0]["text"]
    assert {(one["model"], one["probe"]) for one in document["sets"]} == {(s.model, s.probe) for s in sets}
    assert "noisy" in (tmp_path / "out" / "index.html").read_text()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["index.html", "out", "report.json"]


def test_a_place_that_will_not_do_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("embedlab.runner.outcomes", lambda *_: pytest.fail("measured in vain"))
    (tmp_path / "index.html").write_text("somebody else's")
    with pytest.raises(UserError, match="embedlab did not write it"):
        report_of([planted("sharp")], tmp_path)


def test_sets_that_cannot_be_told_apart_are_refused(tmp_path):
    with pytest.raises(UserError, match="faces in sharp is given twice"):
        report_of([planted("sharp"), planted("sharp", noise=1)], tmp_path)
    with pytest.raises(UserError, match="nothing to report on"):
        report_of([], tmp_path)


def test_a_notebook_that_strips_styles_still_tells_numbers_apart(displayed):
    show(TREES, RESULTS)
    bare = re.sub(r"<style>.*?</style>| (?:style|class)=\"[^\"]*\"", "", displayed[0], flags=re.DOTALL)
    assert "0.500 [0.400, 0.600]<br><small>null 0.100 · n 12</small>" in bare
    assert "</span> <span>" in bare
