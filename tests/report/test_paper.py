"""Figures, tables and text for a paper: whole, called by what they show, and safe whatever names hold."""

import ast
import csv
import io
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from embedlab.analysis import Estimate, Finding
from embedlab.charts import Cell, Curve, Curves, Heatmap, Table
from embedlab.errors import UserError
from embedlab.question import Answer
from embedlab.report import Section, paper
from embedlab.report.build import Head
from embedlab.report.sections import Numbers

HOSTILE = (
    "<script>alert(1)</script>",
    "[x](http://evil.example)",
    "![x](http://evil.example/a.png)",
    "\\input{/etc/passwd}",
    "\\end{tabular}\\write18{rm -rf x}",
    "$\\frac$ 100 % & # _ { } ~ ^ \\",
    "`code` **bold** ~~gone~~ | cell",
    "=HYPERLINK(1)",
    "two\nlines \x1b[31m \u202e turned",
    "/home/somebody/secret/name.png",
    "[1pt] * after a row",
)
HEAD = Head("A report", ("a", "b"), {}, ("faces",))


def table(name="a"):
    share = Estimate(0.5, 0.4, 0.6, 20)
    return Table(
        title=f"Of {name}",
        columns=("who", name, "share", "n"),
        rows=((name, "x", share, 3), ("b", name, Cell(Estimate(0.25), "25 %"), None)),
        note=name,
    )


def section(name="a", heading="What is it?", called="verification"):
    x = np.linspace(0.1, 1, 5)
    charts = (
        Curves(title=f"Curves of {name}", xlabel=name, ylabel="y", curves=(Curve(name, x, x, model="a"),)),
        Heatmap(title="A map", xlabels=(name, "b"), ylabels=("c",), values=np.array([[1.0, np.nan]])),
        table(name),
    )
    numbers = Numbers((name,), {name: (Estimate(1.0, 0.5, 1.5),), "other": (None,)})
    return Section(called, heading, (Finding(f"It is {name}."),), charts, numbers, cautions=(name,))


def written(folder, *sections, answers=()):
    return paper.write(folder, sections, HEAD, answers).read_text(encoding="utf-8")


def test_every_figure_and_table_is_there_and_linked(tmp_path):
    folder = tmp_path / "paper"
    text = written(folder, section())
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert made == {
        "report.md",
        *("figures/verification-curves-of-a.pdf", "figures/verification-a-map.pdf"),
        *(f"tables/verification-{what}.{kind}" for what in ("of-a", "numbers") for kind in ("csv", "tex")),
    }
    assert set(re.findall(r"\]\((.+?)\)", text)) == made - {"report.md"}
    for name in made:
        if name.endswith("pdf"):
            assert (folder / name).read_bytes().startswith(b"%PDF-")
    assert "It is a." in text
    assert list(tmp_path.iterdir()) == [folder], "no temporary name is left"


def test_names_do_not_move_when_another_section_comes(tmp_path):
    written(tmp_path / "one", section())
    written(tmp_path / "two", section(called="accuracy"), section())
    one, two = ({path.name for path in (tmp_path / name).rglob("*.pdf")} for name in ("one", "two"))
    assert one < two


def test_the_same_report_gives_the_same_bytes(tmp_path):
    for name in "ab":
        written(tmp_path / name, section())
    first, second = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()}
        for n in "ab"
    )
    assert first == second


def test_answers_are_told_with_their_verdicts(tmp_path):
    answers = [
        Answer("recognition", ("a", "b"), "yes", "a is better.", over=3),
        Answer("sizes", ("a",), "undecided", "Whether a breaks is open.", over=3),
        Answer("data", (), "yes", "An image looks wrong.", over=3, hazard=True),
    ]
    text = written(tmp_path / "p", section(), answers=answers)
    assert "**yes**: a is better." in text
    assert "**open**: Whether a breaks is open." in text
    assert "**hazard, yes**: An image looks wrong." in text
    assert "simultaneous over 3 claims" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_neither_link_nor_run_nor_steer(tmp_path, name):
    folder = tmp_path / "p"
    text = written(folder, section(name, heading=name))
    assert not re.search(r"<(?!\s)", text), "an element of HTML"
    # A backslash that is one itself escapes nothing.
    assert set(re.findall(r"(?<!\\)\]\((.+?)\)", text.replace("\\\\", ""))) == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.name != "report.md"
    }
    assert not re.search(r"(?<!\\)(?:\*\*b|`|~~|\$)", text.replace("**", "") if "**" not in name else text)
    assert "http://" not in text
    assert "/home/" not in text
    for path in [*folder.rglob("*.tex"), *folder.rglob("*.csv"), folder / "report.md"]:
        whole = path.read_text(encoding="utf-8")
        assert not set(whole) & set("\x1b\u202e")
        assert "somebody" not in whole
        assert path.name.isascii()
    for path in folder.rglob("*.tex"):
        whole = path.read_text(encoding="utf-8")
        commands = set(re.findall(r"\\([a-zA-Z]+)", whole))
        assert not commands & {"input", "write", "frac"}
        assert whole.count(r"\end{tabular}") == whole.count(r"\begin{tabular}") == 1
        rows = whole[whole.index(r"\midrule") : whole.index(r"\bottomrule")].strip().splitlines()[1:]
        assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] in ([3, 3], [1, 1])
        assert not any(row.startswith(("[", "*")) for row in rows)
    for path in folder.rglob("*.csv"):
        for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
            assert not any(one.startswith(("=", "@", "+")) for one in row)


def test_an_estimate_takes_three_columns_of_the_csv():
    rows = list(csv.reader(io.StringIO(paper.as_csv(table()))))
    assert rows[0] == ["who", "a", "share", "share low", "share high", "n"]
    assert rows[1] == ["a", "x", "0.5", "0.4", "0.6", "3"]
    assert rows[2] == ["b", "a", "0.25", "", "", ""]


def test_a_long_table_runs_over_pages():
    long = Table(title="Long", columns=("n",), rows=tuple((k,) for k in range(100)))
    text = paper.latex(long, "long")
    assert r"\begin{longtable}" in text
    assert text.count(r"\\") == 102
    assert r"\label{tab:long}" in text


def test_a_figure_that_cannot_be_drawn_costs_no_other(tmp_path, monkeypatch):
    def broken(self, ax):
        raise ValueError("no ink")

    monkeypatch.setattr(Heatmap, "matplotlib", broken)
    text = written(tmp_path / "p", section())
    assert "A map could not be drawn; this is a bug: ValueError: no ink" in text
    assert (tmp_path / "p/figures/verification-curves-of-a.pdf").is_file()


def test_a_folder_of_an_earlier_run_is_replaced_and_one_of_somebody_else_is_not(tmp_path):
    folder = tmp_path / "p"
    written(folder, section(), section("b", called="accuracy"))
    written(folder, section())
    assert not list(folder.rglob("accuracy*")), "what an earlier report had is gone"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt is there, and --paper did not write it"):
        written(folder, section())
    assert (folder / "notes.txt").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.md").write_text("# My report\n")
    with pytest.raises(UserError, match=r"report\.md is there, and --paper did not write it"):
        paper.check_place(other)
    with pytest.raises(UserError, match="it is no folder"):
        paper.check_place(folder / "notes.txt")


def test_a_run_that_is_stopped_leaves_the_earlier_one(tmp_path, monkeypatch):
    folder = tmp_path / "p"
    before = written(folder, section())

    def stopped(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(paper, "_table", stopped)
    with pytest.raises(KeyboardInterrupt):
        written(folder, section("b"))
    assert (folder / "report.md").read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [folder]


@pytest.fixture
def compiled(tmp_path):
    """Compile a document of some tables, as a paper would have them."""
    if not shutil.which("pdflatex"):
        pytest.skip("no LaTeX to compile with: install pdflatex (texlive-latex-recommended)")

    def compiled(body):
        packages = "\\usepackage[T1]{fontenc}\\usepackage{textcomp,lmodern,booktabs,longtable,graphicx}"
        source = f"\\documentclass{{article}}{packages}\\begin{{document}}{body}\\end{{document}}"
        (tmp_path / "t.tex").write_text(source, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        said = made.stdout.decode(errors="replace")
        assert made.returncode == 0, said[-2000:]
        assert "Missing character" not in said
        return said

    return compiled


def test_latex_sets_hostile_names(compiled):
    """One document of all: a program that starts anew for each would take most of the time."""
    body = ""
    for name in HOSTILE:
        long = Table(title=name, columns=(name,), rows=((name,),) * 50)
        body += paper.latex(table(name), "a") + paper.latex(long, "b")
    compiled(body)


def test_a_wide_table_shrinks_to_the_text_and_a_narrow_one_stays(compiled):
    wide = Table(title="Wide", columns=tuple("abcdefghijkl"), rows=((("a long name " * 2),) * 12,))
    assert "Overfull" not in compiled(paper.latex(wide, "wide"))
    narrow = paper.latex(Table(title="Narrow", columns=("a",), rows=(("b",),)), "narrow")
    inside = narrow[narrow.index(r"\resizebox") : narrow.index(r"\end{table}")]
    (width,) = re.findall(r"width ([\d.]+)pt", compiled(rf"\sbox0{{{inside}}}\typeout{{width \the\wd0}}"))
    assert 5 < float(width) < 50


def signs():
    """All signs beyond ASCII in texts of the package, but for those that show what is no text."""
    found = set()
    room = Path(paper.__file__).parents[1]
    for path in sorted(room.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
        for one in ast.walk(tree):
            if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in docs:
                found |= {sign for sign in one.value if not sign.isascii()}
    return "".join(
        sorted(sign for sign in found if unicodedata.category(sign)[0] != "C" and sign != "\ufffd")
    )


def test_latex_sets_every_sign_of_every_text(compiled):
    there = signs() + "⁻⁵₀¹²ᵢξΣθζẑéç°§αωΩ"
    assert {"≥", "′", "•"} <= set(there)
    compiled(paper.latex(Table(title=there, columns=(there,), rows=((there,),)), "signs"))


def test_raised_and_lowered_signs_and_greek_are_formulas():
    assert paper.tex("10⁻⁵, σ², S₃") == "10$^{-}$$^{5}$, $\\sigma$$^{2}$, S$_{3}$"
    assert paper.tex("Δξ°") == "$\\Delta$$\\xi$°"
