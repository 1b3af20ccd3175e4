"""Analyses of other packages: the documented one works, and a broken one costs itself alone."""

import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from embedlab import analysis, question, study
from embedlab.commands import catalogue, cli
from embedlab.errors import Terminated, UserError
from embedlab.formats import interchange
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from embedlab.training import recipe
from tests.planted import embedding_set

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE, PROJECT = (
    re.findall(rf"```{kind}\n(.*?)```", TEXT, flags=re.DOTALL)[-1] for kind in ("python", "toml")
)
ASKED = re.findall(r'question="(.*)"', CODE)[0]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put modules and the record of a package onto the path, as pip does."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    modules = []

    def add(package, points, group="embedlab.analyses", **files):
        record = site / f"{package}-1.0.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (record / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        for name, text in files.items():
            (site / f"{name}.py").write_text(text)
            modules.append(name)
        importlib.invalidate_caches()

    yield add
    question._imported.cache_clear()
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture
def documented(install):
    project = tomllib.loads(PROJECT)["project"]
    (module,) = tomllib.loads(PROJECT)["tool"]["setuptools"]["py-modules"]
    install(project["name"], project["entry-points"]["embedlab.analyses"], **{module: CODE})


@pytest.fixture
def vectors(tmp_path):
    embeddings.write(tmp_path / "m.parquet", embedding_set(), {})
    return ["--models", str(tmp_path / "m.parquet"), "--lab", str(tmp_path / "lab")]


def test_a_package_that_comes_or_goes_while_a_program_runs_is_seen(install, tmp_path):
    assert "spread" not in analysis.names()
    install("one", {"spread": "nothing"})
    assert analysis.names()["spread"] == "nothing"
    shutil.rmtree(tmp_path / "site" / "one-1.0.dist-info")
    assert "spread" not in analysis.names()


def test_the_documented_package_is_an_analysis_like_any_other(documented, vectors, tmp_path, capsys):
    assert cli.main(["list", "analyses", "--lab", str(tmp_path / "lab")]) == 0
    assert re.search(rf"spread +over: model +0 stored +{re.escape(ASKED)}", capsys.readouterr().out)
    assert cli.main(["run", "spread", *vectors, "--set", "resamples=200", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    found = whole["sections"][0]["numbers"]["m"]["spread, imported"]
    one = embedding_set()
    people = np.arange(len(one.identities))
    means = [
        [one.unit[(one.labels == p) & (np.arange(len(one.labels)) != k)].mean(axis=0) for p in people]
        for k in range(len(one.labels))
    ]
    cosines = np.einsum("nd,npd->np", one.unit, means) / np.linalg.norm(means, axis=2)
    own = 1 - cosines[np.arange(len(one.labels)), one.labels]
    strangers = 1 - cosines[np.arange(len(one.labels)), one.labels - 1]
    assert found["value"] == pytest.approx(own.mean() / strangers.mean(), abs=1e-6)
    assert found["low"] < found["value"] < found["high"] < found["null"] == 1
    assert whole["sections"][0]["params"]["resamples"] == 200
    assert whole["sections"][0]["findings"][0]["text"].startswith("In m an image of imported lies ")


def test_the_documented_analysis_tells_of_blur_that_widens_people(documented):
    found = analysis.get("spread")
    sharp, blurred = (embedding_set(probe=p, noise=n) for p, n in (("p", 0.3), ("p@8", 0.9)))
    results = [found.run((sharp, blurred), found.params)]
    assert found.charts(results)[0].categories == ("p", "p@8")
    _, change = found.findings(results)
    assert "a difference of +" in change.text
    assert change.p < 0.001
    single = embedding_set(images=1)
    with pytest.raises(UserError, match="nobody has two images in p in m: give"):
        found.run((single,), found.params)


def test_both_forms_of_an_entry_point_are_taken_under_its_own_name(documented, install):
    whole = CODE.replace("ANALYSIS =", "class Deep:\n    pass\n\n\nDeep.one = ANALYSIS =")
    points = {"one": "deep_spread", "two": "deep_spread:Deep.one", "three": "deep_spread:ANALYSIS [extra]"}
    install("deep", points, deep_spread=whole)
    assert not analysis.unusable()
    for name in ("spread", *points):
        found = analysis.get(name)
        assert (found.name, found.question) == (name, ASKED)
        assert "resamples" in study.params_of(name)
    assert study.names(study.Study(("a",)))[-4:] == ("one", "spread", "three", "two")


BROKEN = {
    "an import that fails": ("plugged", {"plugged": "import no_such_thing_"}, "ModuleNotFoundError"),
    "code that fails": ("plugged", {"plugged": "1 / 0"}, "ZeroDivisionError: division by zero"),
    "code that leaves": ("plugged:ANALYSIS", {"plugged": "import sys; sys.exit(3)"}, "SystemExit: 3"),
    "a syntax error": ("plugged", {"plugged": "def ("}, "SyntaxError"),
    "several lines": ("plugged", {"plugged": "raise ValueError('one\\ntwo')"}, r"ValueError: one\)"),
    "no module": ("nowhere_to_be_found", {}, "ModuleNotFoundError"),
    "no attribute": ("plugged:ANALYSIS", {"plugged": ""}, "AttributeError"),
    "no such attribute": ("plugged:A.B", {"plugged": "A = 1"}, "AttributeError"),
    "another thing": ("plugged:A", {"plugged": "A = 1"}, "is int, not an embedlab.analysis.Analysis"),
    "runs of no kind": (
        "plugged",
        {
            "plugged": "import dataclasses\nfrom embedlab.analyses import distances\n"
            "ANALYSIS = dataclasses.replace(distances.ANALYSIS, over='sets')"
        },
        r"cannot be run \(no analysis can be over 'sets'",
    ),
    "an empty value": ("plugged:", {"plugged": "ANALYSIS = None"}, "is NoneType"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_one_is_named_in_a_line_and_costs_itself_alone(install, kind):
    value, files, message = BROKEN[kind]
    install("broken", {"mine": value}, **files)
    assert re.search(message, analysis.unusable()["mine"])
    with pytest.raises(UserError, match=f"'mine', which another package declares as .*{message}") as told:
        analysis.get("mine")
    assert "\n" not in str(told.value)
    assert "mine" not in study.names(study.Study(("a",)))
    with pytest.raises(UserError, match="mend or uninstall that package"):
        study.plan(study.Study(("a",), ("p",), ("mine",)))


def test_list_and_report_go_on_beside_a_broken_one(
    install, documented, vectors, tmp_path, monkeypatch, capsys
):
    install("broken", {"mine": "plugged"}, plugged="1 / 0")
    assert cli.main(["list", "analyses", "--lab", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"mine +cannot be used +the analysis 'mine', .*ZeroDivisionError", text)
    assert "spread " in text
    monkeypatch.setattr(analysis, "builtin", dict)
    page = tmp_path / "r.html"
    assert cli.main(["report", *vectors, "--out", str(page)]) == 0
    assert "caution: the analysis 'mine', which another package" in capsys.readouterr().err
    assert re.search("<em>Caution</em>: the analysis .{1,9}mine", page.read_text(encoding="utf-8"))
    whole = json.loads(page.with_suffix(".json").read_text())
    assert [section["name"] for section in whole["sections"]] == ["spread"]
    assert cli.main(["report", *vectors, "--only", "mine", "--out", str(page)]) == 2
    assert "cannot be imported (ZeroDivisionError" in capsys.readouterr().err.splitlines()[-1]


def test_a_name_that_is_taken_stays_what_it_was_and_that_is_said(install, capsys, tmp_path):
    install("first", {"distances": "plugged", "mine": "plugged"}, plugged=CODE)
    install("second", {"mine": "plugged_too"}, plugged_too=CODE)
    assert analysis.get("distances").compute.__module__ == "embedlab.analyses.distances"
    assert analysis.get("mine").compute.__module__ == "plugged"
    told = analysis.unusable()
    assert list(told) == ["distances = plugged", "mine = plugged_too"]
    assert all("and is left out: rename its entry point" in reason for reason in told.values())
    assert {"distances", "mine"} <= set(study.names(study.Study(("a",))))
    text = catalogue.listing(Lab(tmp_path), "analyses")
    assert re.search(
        r"distances = plugged +cannot be used +the analysis 'distances' of plugged has the name", text
    )


def test_the_catalogue_in_the_repository_lists_none_of_them(documented):
    assert "[spread]" not in catalogue.markdown()


@pytest.mark.parametrize("name", ["two words", "a/b", "x" * 300])
def test_a_name_that_no_result_can_bear_is_told_before_it_is_run(install, name):
    install("broken", {name: "plugged"}, plugged="")
    assert "cannot be the name of an analysis" in analysis.unusable()[name]


def test_being_ended_is_not_taken_for_a_plugin_that_leaves(install):
    code = "from embedlab.errors import Terminated\nraise Terminated"
    install("broken", {"mine": "plugged"}, plugged=code)
    with pytest.raises(Terminated):
        analysis.unusable()


@pytest.mark.parametrize("where", ["compute", "findings", "charts"])
def test_an_analysis_that_leaves_costs_itself_alone(install, documented, vectors, tmp_path, where):
    code = CODE + "\n\ndef leave(*_):\n    raise SystemExit(0)\n\n\n"
    code += f"ANALYSIS = __import__('dataclasses').replace(ANALYSIS, {where}=leave)\n"
    install("leaving", {"leaving": "leaving_plugin"}, leaving_plugin=code)
    out = tmp_path / "out"
    assert cli.main(["report", *vectors, "--only", "leaving", "norms", "--out", str(out)]) == 1
    states = {one["name"]: one["state"] for one in json.loads((out / "report.json").read_text())["sections"]}
    assert (states["norms"], states["leaving"]) == ("ok", "failed" if where == "compute" else "partial")
    assert "SystemExit" in (out / "index.html").read_text()


QUESTION = """
from embedlab.analysis import Params
from embedlab.question import Claim, Question


def judge(results, params):
    return [Claim((r.model,), r.eer, 0.5, {"no": "It errs", "yes": "It guesses", "undecided": "Open"}, ".1%")
            for r in results["verification"]]


QUESTION = Question("Is it better than guessing?", {"verification": "its EER"}, Params(), judge)
"""


@pytest.mark.parametrize("value", ["guessing", "guessing:QUESTION"])
def test_a_question_of_another_package_is_asked_after_all_others(install, vectors, tmp_path, capsys, value):
    install("asking", {"guessing": value}, group="embedlab.questions", guessing=QUESTION)
    assert question.names()[-1] == "guessing"
    assert not question.unusable()
    out = tmp_path / "out"
    assert cli.main(["report", *vectors, "--only", "verification", "--out", str(out)]) == 0
    assert "Is it better than guessing?" in capsys.readouterr().err
    answers = json.loads((out / "report.json").read_text())["answers"]
    assert [one["verdict"] for one in answers if one["question"] == "guessing"] == ["no"]


def test_a_question_that_leaves_costs_itself_alone(install, vectors, tmp_path):
    code = QUESTION.replace("    return [Claim", "    raise SystemExit(0)\n    return [Claim")
    install("asking", {"guessing": "guessing"}, group="embedlab.questions", guessing=code)
    out = tmp_path / "out"
    assert cli.main(["report", *vectors, "--only", "verification", "--out", str(out)]) == 0
    answers = json.loads((out / "report.json").read_text())["answers"]
    assert [one["verdict"] for one in answers if one["question"] == "guessing"] == ["cannot"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("asking_", "1 / 0", "ZeroDivisionError"),
        ("asking_", "import sys; sys.exit(2)", "SystemExit"),
        ("asking_", "", "is module, not an embedlab.question.Question"),
        ("asking_", "QUESTION = 3", "is int, not an"),
        ("sizes", QUESTION, "has the name of another"),
        ("other", QUESTION, "is called 'asking_' after the module of its judge"),
    ],
)
def test_a_broken_question_of_another_package_costs_itself_alone(install, tmp_path, capsys, name, text, said):
    before = question.names()
    install("asking", {name: "asking_"}, group="embedlab.questions", asking_=text)
    assert question.names() == before
    assert said in question.unusable()[name]
    assert cli.main(["list", "analyses", "--lab", str(tmp_path / "lab")]) == 0
    assert "cannot be used" in capsys.readouterr().out


READER = """
import numpy as np


def read(path):
    rows = [line.split() for line in path.read_text().splitlines()]
    return {
        "vectors": np.array([row[2:] for row in rows], float),
        "items": [row[0] for row in rows],
        "identities": [row[1] for row in rows],
        "light": np.arange(len(rows)),
    }
"""


@pytest.fixture
def fea(tmp_path):
    one = embedding_set()
    path = tmp_path / "theirs.fea"
    people = np.asarray(one.identities)[one.labels]
    rows = zip(one.items, people, one.vectors, strict=True)
    path.write_text("".join(f"{i} {who} {' '.join(map(str, v.tolist()))}\n" for i, who, v in rows))
    return one, path


@pytest.mark.parametrize("value", ["reading_fea", "reading_fea:read"])
def test_a_file_of_another_package_s_reader_is_taken_like_any_other(install, fea, tmp_path, capsys, value):
    one, path = fea
    install("reading", {"FEA": value}, group="embedlab.readers", reading_fea=READER)
    found = interchange.import_embeddings(path, model="m", probe="p")
    assert found.items.tolist() == one.items.tolist()
    np.testing.assert_array_equal(found.vectors, one.vectors)
    assert found.attributes["light"].tolist() == list(range(len(one.items)))
    words = ["--models", str(path), "--lab", str(tmp_path / "lab"), "--set", "resamples=50", "--json"]
    assert cli.main(["run", "verification", *words]) == 0
    assert "imported in theirs" in json.loads(capsys.readouterr().out)["sections"][0]["numbers"]
    with pytest.raises(UserError, match="names its items itself"):
        interchange.import_embeddings(path, model="m", probe="p", items=path)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", r"the reader 'fea', .* cannot be imported \(ZeroDivisionError"),
        (
            "def read(path):\n    raise ValueError('one\\ntwo')",
            r"cannot read .*theirs.fea \(ValueError: one\)",
        ),
        ("def read(path):\n    raise SystemExit(0)", r"cannot read .*theirs.fea \(SystemExit: 0\)"),
        ("def read(path):\n    return {}", r"cannot read .* \(KeyError"),
        ("def read(path):\n    return None", r"cannot read .* \(TypeError"),
        (READER.replace("[row[0] for row in rows]", '"x"'), r"a column of shape \(\): it must give"),
        (READER.replace("row[2:]", "row[3]"), r"vectors of float64 and shape \(\d+,\)"),
        (READER.replace(", float)", ")"), r"vectors of <U\d+ and shape"),
    ],
)
def test_a_broken_reader_is_told_in_a_line(install, fea, code, said):
    _, path = fea
    install("reading", {"fea": "reading_bad"}, group="embedlab.readers", reading_bad=code)
    with pytest.raises(UserError, match=said) as told:
        interchange.import_embeddings(path, model="m", probe="p")
    assert "\n" not in str(told.value)


def test_a_reader_of_an_ending_that_embedlab_reads_is_passed_over(install, tmp_path):
    install("reading", {"npy": "reading_bad"}, group="embedlab.readers", reading_bad="1 / 0")
    with pytest.raises(UserError, match="does not say whose vectors"):
        interchange.import_embeddings(tmp_path / "x.npy", model="m", probe="p")
    with pytest.raises(UserError, match="is no file of embeddings: give one of .npy, .npz, .csv, .parquet$"):
        interchange.import_embeddings(tmp_path / "x.fea", model="m", probe="p")


def test_a_recipe_of_another_package_is_listed_and_read(install, tmp_path, monkeypatch, capsys):
    package = tmp_path / "shipped"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "theirs.toml").write_text('title = "Faces of theirs"\ndata = "lowres"\n[demo]\nepochs = 1\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    points = {
        "theirs": "shipped",
        "gone": "shipped",
        "broken": "no_such_",
        "lowres32": "shipped",
        "flat": "alone",
    }
    install("shipping", points, group="embedlab.recipes", alone="")
    try:
        assert recipe.load("theirs", "demo").epochs == 1
        why = recipe.unusable()
        assert set(why) == {"gone", "broken", "flat", "lowres32 = shipped"}
        assert "is no package that holds gone.toml" in why["gone"]
        assert "ModuleNotFoundError" in why["broken"]
        assert recipe.title("lowres32") != ""
        with pytest.raises(UserError, match="holds gone.toml: mend or uninstall"):
            recipe.load("gone")
        assert cli.main(["list", "recipes", "--lab", str(tmp_path / "lab")]) == 0
        text = capsys.readouterr().out
        assert re.search("theirs +not trained +Faces of theirs", text)
        assert re.search("broken +cannot be used +the recipe 'broken', ", text)
    finally:
        sys.modules.pop("shipped", None)


CHART = """

class Ring:
    title, note, projection = "A ring of one's own", "Drawn by another package.", None

    def plotly(self):
        import plotly.graph_objects as go

        return go.Figure(go.Scatter(x=[0, 1], y=[1, 0]))

    def matplotlib(self, ax):
        ax.plot([0, 1], [1, 0])


import dataclasses
ANALYSIS = dataclasses.replace(ANALYSIS, charts=lambda results: [Ring()])
"""


def test_a_chart_of_one_s_own_stands_in_the_page_without_being_declared(install, vectors, tmp_path):
    install("ringed", {"ringed": "ringed_spread"}, ringed_spread=CODE + CHART)
    page = tmp_path / "r.html"
    assert cli.main(["report", *vectors, "--only", "ringed", "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert 'class="chart ring"' in text
    assert "Drawn by another package." in text


OFFICE = Path(__file__).parent.parent / "docs" / "examples" / "embedlab-office"


@pytest.fixture
def office(tmp_path, monkeypatch):
    """The package of the docs, as pip installs it."""
    pytest.importorskip("hatchling", reason="hatchling is not installed: make test installs it")
    source, site = tmp_path / "source", tmp_path / "office"
    shutil.copytree(OFFICE, source)
    words = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *words, "--target", str(site), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.startswith("embedlab_office")]:
        sys.modules.pop(name)


@pytest.mark.slow
def test_the_documented_reader_and_recipe_are_installed_and_used(office, tmp_path, capsys):
    one = embedding_set()
    people = np.asarray(one.identities)[one.labels]
    rows = zip(people, one.items, one.vectors, strict=True)
    path = tmp_path / "faces.vec"
    path.write_text("".join(f"{who} {item} {' '.join(map(str, v.tolist()))}\n" for who, item, v in rows))
    np.testing.assert_array_equal(
        interchange.import_embeddings(path, model="m", probe="p").vectors, one.vectors
    )
    lab = ["--lab", str(tmp_path / "lab")]
    assert cli.main(["run", "verification", "--models", str(path), *lab, "--set", "resamples=50"]) == 0
    assert "imported in faces" in capsys.readouterr().out
    path.write_text("ann ann/1 1 2\nann ann/2 1\n")
    with pytest.raises(UserError, match="lines are not equally long"):
        interchange.import_embeddings(path, model="m", probe="p")
    assert recipe.load("office", "demo").epochs == 2
    assert recipe.load("office").backbone == "mobilefacenet"
    assert cli.main(["list", "recipes", *lab]) == 0
    assert re.search("office +not trained +Office cameras", capsys.readouterr().out)
