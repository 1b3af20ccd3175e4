import dataclasses
import errno
import io
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from embedlab import analysis, progress, runner
from embedlab.analyses import distances
from embedlab.errors import UserError
from embedlab.formats import protocols
from embedlab.lab import embeddings
from embedlab.lab.store import Lab, atomic_file, write_json
from embedlab.maths.pairs import all_pairs
from embedlab.over import Input
from embedlab.runner import run_study
from embedlab.study import Study
from embedlab.workers import dealt
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


def test_analyses_of_one_study_share_counted_pairs_and_say_what_each_says_alone(lab, monkeypatch):
    names, sweeps, sweep_all = ("verification", "resolution", "drift", "distances"), [], all_pairs._sweep_all
    monkeypatch.setattr(all_pairs, "_sweep_all", lambda *a, **k: sweeps.append(1) or sweep_all(*a, **k))
    alone = [run_study(lab, Study(("a",), ASKED.probes, (name,)), fresh=True)[0] for name in names]
    apart = len(sweeps)
    together = run_study(lab, Study(("a",), ASKED.probes, names), fresh=True)
    # Both probes by themselves are counted by all four, and one with the other by three.
    assert len(sweeps) - apart == apart - 2 * 3 - 2
    together = {outcome.analysis.name: outcome for outcome in together}
    for one in alone:
        for run, other in zip(one.runs, together[one.analysis.name].runs, strict=True):
            assert run.result is not None
            assert run.result.numbers() == other.result.numbers()


def test_side_by_side_analyses_find_what_they_find_in_turn(lab, tmp_path):
    names = ("verification", "distances", "neighbours", "similarity", "resolution")
    asked = dataclasses.replace(ASKED, analyses=names)
    in_turn = run_study(lab, asked)
    elsewhere = Lab(tmp_path / "elsewhere")
    shutil.copytree(lab.root / "embeddings", elsewhere.root / "embeddings")
    beside = run_study(elsewhere, asked, jobs=2)
    assert [one.analysis.name for one in beside] == [one.analysis.name for one in in_turn]
    for one, other in zip(in_turn, beside, strict=True):
        assert [run.title for run in one.runs] == [run.title for run in other.runs]
        assert [run.inputs for run in one.runs] == [run.inputs for run in other.runs]
        for a, b in zip(one.results, other.results, strict=True):
            assert a.numbers() == b.numbers()
        assert [run.record["key"] for run in one.runs] == [run.record["key"] for run in other.runs]
    assert all(run.cached for one in run_study(elsewhere, asked, jobs=2) for run in one.runs)


def test_processes_are_started_for_large_sets_and_much_work_only(lab, monkeypatch):
    asked, started = dataclasses.replace(ASKED, analyses=("distances", "verification")), []

    def counted(work, how, processes, what):
        started.append(processes)
        return dealt(work, how, 1, what)

    monkeypatch.setattr(runner, "dealt", counted)
    monkeypatch.setattr(runner, "cores", lambda: 2)
    run_study(lab, asked, jobs=None)
    monkeypatch.setattr(runner, "WORTH_A_PROCESS", 1)
    run_study(lab, asked, jobs=None)
    run_study(lab, asked, jobs=None, fresh=True)
    monkeypatch.setattr(runner.headroom, "free", lambda: runner.PROCESS_BYTES)
    run_study(lab, asked, jobs=None, fresh=True)
    # Small sets; then all is stored; then there is something to compute; then memory for one alone.
    assert started == [1, 1, 2, 1]


def killed(*_given):
    """Begin in another process like the runner, and be killed as a system does that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_whose_process_is_killed_failed_and_is_not_said_not_to_apply(lab, monkeypatch):
    monkeypatch.setattr(runner, "_elsewhere", killed)
    asked = dataclasses.replace(ASKED, analyses=("distances", "verification"))
    stream = io.StringIO()
    with progress.shown(stream):
        runs = [run for one in run_study(lab, asked, jobs=2) for run in one.runs]
    (lost,) = [run for run in runs if run.result is None]
    assert not lost.reason
    assert re.fullmatch(r"the process that measured it was ended by SIGKILL: analyse fewer .*", lost.error)
    assert "failed on" in stream.getvalue()
    assert "does not apply" not in stream.getvalue()


def test_an_analysis_of_the_callers_own_is_run_here(lab, monkeypatch):
    seen = []

    def compute(a, params):
        seen.append(os.getpid())
        return distances.compute(a, params)

    mine = dataclasses.replace(analysis.get("distances"), compute=compute, called="distances")
    planned = [dataclasses.replace(one, analysis=mine) for one in runner.plan(ASKED)]
    outcomes = run_study(lab, ASKED, planned, jobs=2)
    assert seen == [os.getpid()] * 2
    assert all(run.result is not None for run in outcomes[0].runs)


def test_changed_embeddings_are_computed_anew(lab):
    run_study(lab, ASKED)
    with atomic_file(lab.embeddings_file("a", "p")) as path:
        embeddings.write(path, embedding_set(model="a", probe="p", noise=1.0), {})
    assert [run.cached for run in run_study(lab, ASKED)[0].runs] == [False, True]


def pairs_file(path, same):
    path.write_text(f"image_a,image_b,same\nitem0000,item0001,{same}\nitem0000,item0003,{1 - same}\n")
    return str(path)


def test_a_list_of_pairs_is_an_input_of_a_result(lab, tmp_path):
    path = pairs_file(tmp_path / "pairs.csv", 1)
    asked = Study(("a",), ("p",), ("accuracy",), {"accuracy": {"resamples": 20}}, pairs=path)
    (first,) = run_study(lab, asked)[0].runs
    assert first.record["inputs"][1] == {
        "input": "pairs of pairs.csv",
        "fingerprint": protocols.read(path).fingerprint,
    }
    assert first.result.source == "pairs of pairs.csv"
    Path(path).write_text(Path(path).read_text().replace(",", ", "))
    assert run_study(lab, asked)[0].runs[0].cached
    pairs_file(Path(path), 0)
    (changed,) = run_study(lab, asked)[0].runs
    assert not changed.cached
    assert (first.result.contradicted, changed.result.contradicted) == (0, 2)


def test_every_analysis_that_declares_a_list_of_pairs_gets_the_one_that_is_given(lab, tmp_path, monkeypatch):
    given = []

    @dataclasses.dataclass(frozen=True)
    class Params(type(distances.ANALYSIS.params)):
        judged: str = dataclasses.field(default="", metadata={"pairs": True})

    def compute(a, params, judged=None):
        given.append(judged)
        return distances.compute(a, params)

    real = analysis.get
    other = dataclasses.replace(real("distances"), params=Params(), compute=compute, called="distances")
    monkeypatch.setattr(analysis, "get", lambda name: other if name == "distances" else real(name))
    path = pairs_file(tmp_path / "pairs.csv", 1)
    outcomes = run_study(lab, dataclasses.replace(ASKED, pairs=path))
    assert [run.error for run in outcomes[0].runs] == ["", ""]
    assert [one.source for one in given] == [path, path]
    assert given[0] is given[1]
    run_study(lab, ASKED)
    assert given[2:] == [None, None]


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
    assert "a has no weights to read" in outcome.runs[0].reason


def test_a_comparison_without_a_second_model_says_what_it_needs(lab):
    (outcome,) = run_study(lab, Study(("a",), ("p",), ("kernels",)))
    assert outcome.runs[0].reason == "it compares two models, and the study names 1 model and 1 probe"


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


# Sets of unlike items


@pytest.fixture
def unlike(lab):
    """Of model b, p lacks five of its ninety images and p@32 has one more than all others."""
    whole = embedding_set(model="b", seed=1)
    embeddings.write(lab.embeddings_file("b", "p"), whole.take(range(85)), {})
    more = dataclasses.replace(
        embedding_set(31, model="b", probe="p@32", seed=4).take(range(91)), model="b", probe="p@32"
    )
    embeddings.write(lab.embeddings_file("b", "p@32"), more, {})
    return lab


@pytest.mark.parametrize("quiet", [False, True])
def test_whoever_tells_reasons_itself_does_not_hear_them_twice(lab, monkeypatch, quiet):
    lines: list[str] = []
    monkeypatch.setattr(runner, "say", lines.append)
    (outcome,) = run_study(lab, Study(("a",), ("p",), ("similarity",)), quiet=quiet)
    assert outcome.runs[0].reason
    assert any(outcome.runs[0].reason in line for line in lines) != quiet


@pytest.mark.parametrize("quiet", [False, True])
def test_whoever_tells_bugs_itself_does_not_hear_them_twice(lab, monkeypatch, quiet):
    lines: list[str] = []
    monkeypatch.setattr(runner, "say", lines.append)
    monkeypatch.setattr(analysis.Analysis, "run", lambda *_: 1 / 0)
    (outcome,) = run_study(lab, Study(("a",), ("p",), ("distances",)), quiet=quiet)
    assert outcome.runs[0].error
    assert lines == ([] if quiet else [f"  distances failed on p in a:\n{outcome.runs[0].error}"])


@pytest.mark.parametrize(
    ("name", "cautions"),
    [
        ("verification", ["", ""]),
        ("distances", ["6 images stood in one set only and were left out where the sets are compared"]),
        ("resolution", ["6 images stood in one set only and were left out where the sets are compared"]),
        ("geometry", ["6 images stood in one set only and were left out where the sets are compared"]),
    ],
)
def test_images_in_some_sets_only_are_counted_for_every_run_over_several(unlike, name, cautions):
    asked = Study(("b",), ("p", "p@32"), (name,), {name: {"resamples": 50}})
    (first,), (fetched,) = run_study(unlike, asked), run_study(unlike, asked)
    assert [run.caution for run in first.runs] == cautions
    assert [run.caution for run in fetched.runs] == cautions


@pytest.mark.parametrize("name", ["mapping", "neighbours", "registration", "similarity"])
def test_two_models_of_unlike_images_say_how_many_were_left_out(unlike, name):
    more = {"nulls": 1} if name == "registration" else {}
    outcome = run_study(unlike, Study(("a", "b"), ("p@32",), (name,), {name: {"resamples": 50, **more}}))[0]
    found = [run for run in outcome.runs if run.result is not None]
    assert [run.title for run in found] == ["p@32 in a and p@32 in b"]
    assert found[0].caution == "1 image stood in one set only and was left out where the sets are compared"


def test_sets_of_the_same_images_in_another_order_are_said_nothing_of(lab):
    turned = embedding_set(model="b", probe="p", seed=1).take(range(89, -1, -1))
    embeddings.write(lab.embeddings_file("b", "p"), turned, {})
    (outcome,) = run_study(lab, Study(("b",), ("p", "p@32"), ("distances",)))
    assert outcome.runs[0].caution == ""


def test_three_sets_are_told_of_as_such(unlike):
    with atomic_file(unlike.embeddings_file("b", "p@16")) as path:
        embeddings.write(path, embedding_set(model="b", probe="p@16"), {})
    (outcome,) = run_study(unlike, Study(("b",), ("p", "p@32", "p@16"), ("distances",)))
    assert outcome.runs[0].caution.startswith("6 images stood in some of the sets only and were left out")


# One after the other


def test_outcomes_come_one_by_one(lab):
    asked = Study(("a",), ("p",), ("verification", "distances"))
    coming = runner.outcomes(lab, asked)
    assert next(coming).analysis.name == "verification"
    assert not list(lab.root.glob("results/distances/*"))
    assert [outcome.analysis.name for outcome in coming] == ["distances"]


@pytest.fixture
def wanting(monkeypatch):
    """Distances wants two probes more, and keeps the names of those it got."""
    real = analysis.get

    def get(name):
        return dataclasses.replace(real(name), probes=lambda params, probes: (*probes, "p@8", "p@16"))

    monkeypatch.setattr(analysis, "get", get)


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr(runner, "say", lines.append)
    return lines


def test_probes_beyond_the_study_are_used_where_they_are_and_missed_in_words(lab, wanting, told):
    with atomic_file(lab.embeddings_file("a", "p@8")) as path:
        embeddings.write(path, embedding_set(model="a", probe="p@8"), {})
    (outcome,) = run_study(lab, ASKED)
    assert [run.title for run in outcome.runs] == [
        "p in a and p@32 in a and p@8 in a",
        "p in b and p@32 in b",
    ]
    assert told == [
        f"  distances goes without {gone}: the lab has no embeddings of it, and no network to make them"
        for gone in ("p@16 in a", "p@8, p@16 in b")
    ]
    assert runner.probes_used(lab, ASKED) == ("p", "p@32", "p@8")
    assert ("a", "p@8") in [(r["model"], r["probe"]) for r in runner.embedding_records(lab, ASKED)]


def test_models_that_go_without_the_same_probes_are_told_of_in_one_line(lab, wanting, told):
    run_study(lab, ASKED)
    assert told == [
        "  distances goes without p@8, p@16 in a and b: the lab has no embeddings of it, and no network to "
        "make them"
    ]


def test_a_reason_that_runs_share_but_for_their_names_is_told_once(lab, told):
    (outcome,) = run_study(lab, Study(("a", "b"), ("p",), ("groups",)))
    one, other = (run.reason for run in outcome.runs)
    assert other == one.replace("p in a", "p in b") != one
    assert told == [f"  groups does not apply to p in a, nor to 1 other: {one}"]


def test_a_missing_probe_of_the_study_itself_is_still_a_reason(lab, wanting, told):
    (outcome,) = run_study(lab, Study(("a",), ("p", "gone"), ("distances",)))
    assert "no embeddings of probe 'gone'" in outcome.runs[0].reason


def attributed(tmp_path, text):
    path = tmp_path / "attributes.csv"
    path.write_text(text)
    return dataclasses.replace(ASKED, attributes=str(path))


def test_attributes_are_joined_and_what_has_no_partner_is_counted(lab, tmp_path, told, monkeypatch):
    seen = []
    real = analysis.get
    spying = dataclasses.replace(
        real("distances"), compute=lambda *given: seen.append(given[0]) or real("distances").compute(*given)
    )
    spying.compute.__module__ = distances.__name__
    monkeypatch.setattr(analysis, "get", lambda name: spying)
    asked = attributed(tmp_path, "identity,gender\nperson000,f\nperson001,m\nnobody,f\n")
    run_study(lab, asked)
    assert [s.attributes["gender"][:7].tolist() for s in seen[0]] == [["f"] * 3 + ["m"] * 3 + [""]] * 2
    assert told[0] == f"  28 people of p in a and of 3 other sets have no row in {asked.attributes}"
    assert told[1] == f"  1 people of {asked.attributes} are in no set, such as 'nobody'"
    assert len(told) == 2
    assert run_study(lab, asked)[0].runs[0].cached
    assert not run_study(lab, ASKED)[0].runs[0].cached


def test_attributes_that_name_nobody_are_refused(lab, tmp_path):
    asked = attributed(tmp_path, "item,g\nx.png,1\n")
    with pytest.raises(
        UserError, match="names none of the items of p in a: its names, such as 'x.png'.*'item0000'"
    ):
        run_study(lab, asked)


def test_attributes_of_the_same_name_are_refused_before_the_work(lab, tmp_path):
    with atomic_file(lab.embeddings_file("b", "p")) as path:
        known = dataclasses.replace(embedding_set(model="b"), attributes={"g": np.arange(90)})
        embeddings.write(path, known, {})
    with pytest.raises(UserError, match="has a column 'g', and p in b has an attribute of that name"):
        run_study(lab, attributed(tmp_path, "identity,g\nperson000,1\n"))
    assert not (lab.root / "results").exists()


def test_an_unreadable_set_is_a_reason_with_attributes_too(lab, tmp_path):
    lab.embeddings_file("a", "p").write_bytes(b"x")
    (outcome,) = run_study(lab, attributed(tmp_path, "identity,g\nperson000,1\n"))
    assert "cannot read" in outcome.runs[0].reason
    assert outcome.runs[1].result is not None


def spoilt(folder, name, how):
    path = folder / name
    data = path.read_bytes()
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "flipped":
            path.write_bytes(data[:-30] + bytes([data[-30] ^ 1]) + data[-29:])
        case "edited":
            digit = next(k for k in range(len(data) - 1, 0, -1) if data[k : k + 1].isdigit())
            path.write_bytes(
                data[:digit] + b"%d" % ((int(data[digit : digit + 1]) + 1) % 10) + data[digit + 1 :]
            )
        case "nested":
            path.write_text("[" * 100_000)


@pytest.mark.parametrize("name", ["result.json", "arrays.npz", "run.json"])
def test_a_stored_result_that_is_not_what_was_written_is_computed_again(lab, told, name):
    asked = Study(("a",), ("p",), ("distances",))
    ((first,),) = (one.runs for one in run_study(lab, asked))
    (folder,) = lab.root.glob("results/distances/*")
    for how in ("missing", "empty", "cut", "flipped", "edited", "nested"):
        spoilt(folder, name, how)
        told.clear()
        ((again,),) = (one.runs for one in run_study(lab, asked))
        assert (again.cached, again.error, again.reason) == (False, "", ""), how
        assert again.result.numbers() == first.result.numbers()
        (said,) = told
        assert said.startswith("  the stored distances of p in a is not used, for ")
        assert said.endswith("it is computed again")
        assert "\n" not in said
    ((healed,),) = (one.runs for one in run_study(lab, asked))
    assert healed.cached
    assert healed.result.numbers() == first.result.numbers()


def test_a_result_in_the_folder_of_another_is_not_taken_for_it(lab, told):
    run_study(lab, ASKED)
    first, second = lab.root.glob("results/distances/*")
    shutil.rmtree(first)
    shutil.copytree(second, first)
    runs = run_study(lab, ASKED)[0].runs
    assert sorted(run.cached for run in runs) == [False, True]
    assert {run.result.title for run in runs} == {
        run.result.title for run in run_study(lab, ASKED, fresh=True)[0].runs
    }
    assert any("run.json changed since" in line for line in told)


def test_an_edited_helper_of_an_analysis_is_not_answered_by_the_old_result(lab, monkeypatch):
    run_study(lab, ASKED)
    monkeypatch.setattr(analysis, "code_fingerprint", lambda *modules: "another")
    assert not any(run.cached for run in run_study(lab, ASKED)[0].runs)


def test_a_damaged_file_of_embeddings_is_a_reason_and_does_not_cost_the_others(lab):
    path = lab.embeddings_file("a", "p")
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    (outcome,) = run_study(lab, Study(("a", "b"), ("p",), ("distances",)))
    bad, good = outcome.runs
    assert f"cannot read {path}" in bad.reason
    assert good.result is not None
    path.write_bytes(data[:-20])
    told = runner.embedding_records(lab, Study(("a", "b"), ("p",), ("distances",)))
    assert f"cannot read {path}" in told[0]["unreadable"]
    assert told[0]["model"] == "a"
    assert told[1]["model"] == "b"


def test_vectors_of_a_network_that_was_trained_anew_are_told(lab, told):
    write_json(
        lab.checkpoint("a") / "model.json", {"recipe": {}, "identities_sha256": "x", "weights_sha256": "new"}
    )
    for probe, made_by in (("p", "old"), ("p@32", "new")):
        with atomic_file(lab.embeddings_file("a", probe)) as path:
            embeddings.write(path, embedding_set(model="a", probe=probe), {"model_sha256": made_by})
    run_study(lab, Study(("a",), ("p", "p@32"), ("distances",)))
    (said,) = told
    assert said.startswith("  p in a was not made by the network a as it is in")
    assert "embedlab extract --models a" in said
    records = runner.embedding_records(lab, Study(("a",), ("p", "p@32"), ("distances",)))
    assert [one.get("stale", False) for one in records] == [True, False]


def test_records_bear_the_names_that_folder_and_file_have_now(lab):
    shutil.copytree(lab.root / "embeddings" / "a", lab.root / "embeddings" / "c")
    (record,) = runner.embedding_records(lab, Study(("c",), ("p",), ("distances",)))
    assert (record["model"], record["probe"]) == ("c", "p")


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_result_that_cannot_be_stored_is_shown_all_the_same(lab, monkeypatch, told):
    def full(*_, **__):
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", full)
        (outcome,) = run_study(lab, Study(("a",), ("p",), ("distances",)))
    assert len(outcome.results) == 1
    (run,) = outcome.runs
    assert run.unstored.startswith(f"cannot write {lab.root / 'results' / 'distances'}")
    assert "No space left on device: make room" in run.unstored
    assert any("distances of p in a could not be stored: cannot write" in line for line in told)
    assert not list(lab.root.glob("results/*/*"))
    (again,) = run_study(lab, Study(("a",), ("p",), ("distances",)))
    assert not again.runs[0].cached
    assert again.runs[0].unstored == ""
    assert again.results[0].numbers() == outcome.results[0].numbers()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(
            "Unable to allocate 3.20 GiB for an array with shape (20000, 20000) and data type float64"
        ),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:40],
)
def test_too_little_memory_is_a_reason_not_a_bug(lab, monkeypatch, error):
    def hungry(sets, params):
        raise error

    hungry.__module__ = distances.__name__
    real = analysis.get
    spoiled = dataclasses.replace(distances.ANALYSIS, compute=hungry)
    monkeypatch.setattr(analysis, "get", lambda name: spoiled if name == "distances" else real(name))
    bad, good = run_study(lab, Study(("a",), ("p",), ("distances", "verification")))
    assert bad.runs[0].error == ""
    assert bad.runs[0].reason.startswith("not enough memory for distances of p in a (")
    assert "give it fewer images" in bad.runs[0].reason
    assert "\n" not in bad.runs[0].reason
    assert len(good.results) == 1


def test_numpys_own_words_for_too_little_memory_are_known(lab, monkeypatch):
    def hungry(sets, params):
        np.empty((1 << 30, 1 << 20))

    hungry.__module__ = distances.__name__
    spoiled = dataclasses.replace(distances.ANALYSIS, compute=hungry)
    monkeypatch.setattr(analysis, "get", lambda name: spoiled)
    (bad,) = run_study(lab, Study(("a",), ("p",), ("distances",)))
    assert "not enough memory for distances of p in a (Unable to allocate" in bad.runs[0].reason


def test_a_result_that_is_replaced_while_it_is_fetched_is_fetched_again(lab, monkeypatch):
    """Another process, computing afresh, puts its folder in the place of the one that is being read."""
    asked = Study(("a",), ("p",), ("distances",))
    run_study(lab, asked)
    load = distances.ANALYSIS.result.load
    replaced = []

    def overtaken(folder: Path):
        if not replaced:
            replaced.append(1)
            run_study(lab, asked, fresh=True)
            raise FileNotFoundError(folder / "result.json")
        return load(folder)

    monkeypatch.setattr(distances.ANALYSIS.result, "load", overtaken)
    (outcome,) = run_study(lab, asked)
    assert outcome.runs[0].cached
    assert outcome.runs[0].error == ""


def test_processes_share_the_work_by_model(tmp_path, monkeypatch):
    """What one counted of a model's sets serves the next run of it, whichever of them that takes."""
    seen = []

    def watched(work, how, *rest):
        seen.append(how.like)
        return dealt(work, how, *rest)

    monkeypatch.setattr(runner, "dealt", watched)
    one, other = (Input("set", "m", probe) for probe in ("p", "p@32"))
    path = tmp_path / "m.parquet"
    embeddings.write(path, embedding_set(), {})
    run_study(Lab(tmp_path / "lab"), Study((str(path),), analyses=("distances",)))
    (like,) = {*seen}
    assert like((0, (one,))) == like((1, (one, other))) == like((2, (other,)))
    assert (
        like((0, (one,))) != like((1, (one, Input("set", "n", "p")))) != like((2, (Input("set", "n", "p"),)))
    )
