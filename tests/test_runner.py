import json

import pytest

from embedlab import analysis, embeddings, runner
from embedlab.analyses import distances
from embedlab.runner import run_study
from embedlab.store import Lab, atomic_file
from embedlab.study import Study
from tests.planted import embedding_set


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "lab")
    for model in "ab":
        for probe in ("p", "p@32"):
            with atomic_file(lab.embeddings_file(model, probe)) as path:
                embeddings.write(path, embedding_set(model=model, probe=probe, seed=len(probe)), {"seed": 0})
    return lab


ASKED = Study(("a", "b"), ("p", "p@32"), ("distances",))


def test_a_second_run_is_fetched_and_equal(lab):
    first, second = run_study(lab, ASKED), run_study(lab, ASKED)
    assert [run.cached for run in first[0].runs] == [False, False]
    assert [run.cached for run in second[0].runs] == [True, True]
    assert first[0].results[0].numbers() == second[0].results[0].numbers()
    assert first[0].runs[0].record == second[0].runs[0].record


def test_fresh_computes_again_and_replaces(lab):
    run_study(lab, ASKED)
    again = run_study(lab, ASKED, fresh=True)
    assert not again[0].runs[0].cached
    assert len(list(lab.root.glob("results/distances/*"))) == 2


def test_changed_embeddings_are_computed_anew(lab):
    run_study(lab, ASKED)
    with atomic_file(lab.embeddings_file("a", "p")) as path:
        embeddings.write(path, embedding_set(model="a", probe="p", noise=1.0), {})
    assert [run.cached for run in run_study(lab, ASKED)[0].runs] == [False, True]


def test_provenance_stands_beside_the_result(lab):
    run_study(lab, ASKED)
    (folder, *_) = lab.root.glob("results/distances/*")
    record = json.loads((folder / "run.json").read_text())
    assert record["analysis"] == "distances"
    assert record["params"]["bins"] == 64
    assert len(record["inputs"]) == 2
    assert record["versions"]["numpy"]
    assert record["seconds"] >= 0


def test_an_analysis_that_does_not_apply_says_why(lab):
    (outcome,) = run_study(lab, Study(("a", "b"), ("p",), ("kernels",)))
    assert outcome.results == []
    assert "a has no checkpoint" in outcome.runs[0].reason


def test_a_comparison_without_a_second_model_says_what_it_needs(lab):
    (outcome,) = run_study(lab, Study(("a",), ("p",), ("kernels",)))
    assert outcome.runs[0].reason == "it compares two models, and the study names 1 model(s) and 1 probe(s)"


def test_a_bug_in_one_analysis_does_not_cost_the_others(lab, monkeypatch):
    def broken(sets, params):
        raise ZeroDivisionError("planted")

    broken.__module__ = distances.__name__
    real = analysis.get
    spoiled = analysis.Analysis(**{**vars(distances.ANALYSIS), "compute": broken})
    monkeypatch.setattr(analysis, "get", lambda name: spoiled if name == "distances" else real(name))
    bad, good = run_study(lab, Study(("a",), ("p",), ("distances", "verification")))
    assert "ZeroDivisionError: planted" in bad.runs[0].error
    assert len(good.results) == 1
    assert not list(lab.root.glob("results/distances/*"))


def test_missing_embeddings_are_a_reason_not_a_crash(lab):
    (outcome,) = run_study(lab, Study(("a",), ("nowhere",), ("distances",)))
    assert "no embeddings of probe 'nowhere'" in outcome.runs[0].reason


def test_embedding_records_give_each_files_metadata(lab):
    records = runner.embedding_records(lab, ASKED)
    assert [(r["model"], r["probe"]) for r in records] == [
        ("a", "p"),
        ("a", "p@32"),
        ("b", "p"),
        ("b", "p@32"),
    ]


def test_versions_name_what_numbers_depend_on():
    assert set(runner.versions()) >= {"python", "numpy", "torch", "embedlab"}
