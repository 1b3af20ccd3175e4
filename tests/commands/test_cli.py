"""The command line from one end to the other, on tiny data."""

import errno
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from embedlab.commands import cli
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from tests.planted import embedding_set


@pytest.fixture
def faces(tmp_path):
    """Six people with four pictures each: a colour a person, noise a picture."""
    rng = np.random.default_rng(0)
    root = tmp_path / "faces"
    for person in range(6):
        (root / f"p{person}").mkdir(parents=True)
        base = rng.integers(40, 215, size=(6, 6, 3))
        for k in range(4):
            picture = np.clip(np.kron(base, np.ones((8, 8, 1))) + rng.normal(0, 12, (48, 48, 3)), 0, 255)
            Image.fromarray(picture.astype(np.uint8)).save(root / f"p{person}" / f"{k}.png")
    return root


@pytest.fixture
def vectors(tmp_path):
    """A Parquet file of embeddings, as another program may have written it."""
    path = tmp_path / "theirs.parquet"
    embeddings.write(path, embedding_set(people=12), {})
    return path


def run(*words):
    return cli.main([str(word) for word in words])


def said(capsys):
    captured = capsys.readouterr()
    return captured.out, captured.err.strip().splitlines()[-1] if captured.err.strip() else ""


def test_report_from_a_file_of_embeddings(tmp_path, vectors, capsys):
    out = tmp_path / "out"
    assert run("report", "--models", vectors, "--lab", tmp_path / "lab", "--out", out) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "imported in theirs" in page
    numbers = json.loads((out / "report.json").read_text())
    states = {section["name"]: section["state"] for section in numbers["sections"]}
    assert states["kernels"] == "inapplicable"
    assert [states[name] for name in ("verification", "distances", "projection")] == ["ok"] * 3
    assert f"report: {out / 'index.html'}" in capsys.readouterr().out


def test_train_extract_report_on_a_folder_of_faces(tmp_path, faces, capsys):
    lab = tmp_path / "lab"
    data = tmp_path / "data"
    data.mkdir()
    faces.rename(data / "lowres")
    tiny = ["width=2", "dimension=8", "epochs=1", "batch=8", "input_size=32", "scale=8"]
    assert run("train", "lowres144", "--data", data, "--scale", "demo", "--lab", lab, "--set", *tiny) == 0
    faces = data / "lowres"
    words = ["--models", "lowres144", "--data", faces, "--lab", lab]
    assert run("extract", *words, "--probes", "lowres", "lowres@16") == 0
    assert Lab(lab).probes("lowres144") == ["lowres", "lowres@16"]
    assert run("run", "verification", *words, "--probes", "lowres", "--set", "far=0.1", "--json") == 0
    captured = capsys.readouterr().out
    document = json.loads(captured[captured.index("{") :])
    assert document["sections"][0]["numbers"]["lowres in lowres144"]["people"] == 6
    assert run("report", *words, "--out", tmp_path / "r.html", "--only", "distances", "projection") == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "lowres@32 in lowres144" in page or "lowres@32" in page
    assert "lowres144 was trained on the images of lowres@32: all its figures there are in-sample" in page
    assert (tmp_path / "r.json").exists()


def test_list_and_doctor_show_the_lab(tmp_path, vectors, capsys):
    lab = tmp_path / "lab"
    assert run("import", vectors, "--model", "theirs", "--probe", "faces", "--lab", lab) == 0
    assert run("list", "--lab", lab) == 0
    text = capsys.readouterr().out
    for word in ("theirs", "embeddings only", "faces", "lowres144", "not trained", "verification"):
        assert word in text
    assert run("list", "models", "--lab", tmp_path / "empty") == 0
    assert "none yet" in capsys.readouterr().out
    assert run("doctor", "--lab", lab) == 0
    text = capsys.readouterr().out
    for word in ("numpy", "device", "threads", "1 models"):
        assert word in text


def test_a_study_file_is_reported(tmp_path, vectors, capsys):
    lab = tmp_path / "lab"
    run("import", vectors, "--model", "a", "--probe", "p", "--lab", lab)
    study = tmp_path / "s.toml"
    study.write_text('title = "Why?"\nmodels = ["a"]\nprobes = ["p"]\nanalyses = ["distances"]\n')
    assert run("report", study, "--lab", lab, "--out", tmp_path / "out") == 0
    assert "Why?" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report"], "nothing to report on: give --models"),
        (["report", "s.toml", "--models", "a"], "either a study file or --models, not both"),
        (["report", "--models", "nobody"], "unknown model 'nobody': name one of"),
        (
            ["report", "--models", "lowres144"],
            "train it with `embedlab train lowres144 --scale demo` \\(roughly",
        ),
        (["report", "--models", "a", "a"], "model 'a' is named twice"),
        (["report", "--models", "x.onnx"], "x.onnx"),
        (["report", "--models", "lowres144", "--only", "nope"], "unknown analysis 'nope'"),
        (["report", "--models", "lowres144", "--set", "bins=3"], "write it as analysis.parameter=value"),
        (["report", "--models", "lowres144", "--probes", "x@0"], "'x@0' is not a probe"),
        (
            ["report", "--models", "lowres144", "--preprocessing", "mobile=imagenet"],
            "--preprocessing names 'mobile', and no model file is called that: there are none",
        ),
        (["run", "nope", "--models", "lowres144"], "unknown analysis 'nope'"),
        (["run", "distances", "--models", "lowres144", "--set", "bin=3"], "unknown parameter distances.bin"),
        (["train", "nope"], "unknown recipe 'nope'"),
        (["train", "lowres144", "--set", "wide=3"], "unknown parameter"),
        (["extract", "--models", "lowres144", "--batch", "0"], "--batch must be at least 1"),
        (["import", "no.csv"], "no.csv"),
        (["import", "no.pickle"], "is no file of embeddings"),
        (["import", "no.npy", "--model", "../x"], "cannot be the name of a model"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    out, last = said(capsys)
    assert out == ""
    assert last.startswith("embedlab: ")
    assert re.search(message, last)
    assert not (tmp_path / "reports").exists() or not list((tmp_path / "reports").rglob("*.html"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "no images|holds no"),
        (
            lambda root: (root / "only").mkdir(parents=True) or picture(root / "only" / "a.png"),
            "at least two people",
        ),
    ],
    ids=["missing", "empty", "one person"],
)
def test_data_that_cannot_be_used_are_told(make, message, tmp_path, capsys):
    root = tmp_path / "data"
    make(root)
    model = tmp_path / "m.pth"
    save_network(model)
    words = [
        "report",
        "--models",
        model,
        "--data",
        root,
        "--lab",
        tmp_path / "lab",
        "--out",
        tmp_path / "out",
    ]
    assert run(*words) == 2
    assert re.search(message, said(capsys)[1])


def picture(path, size=48):
    Image.new("RGB", (size, size), (10, 200, 30)).save(path)


def save_network(path):
    import torch

    from embedlab.networks.backbones import build

    torch.manual_seed(0)
    torch.save(build("ir_se_18", input_size=32, width=2, dimension=8).state_dict(), path)


def test_an_unknown_probe_is_told(tmp_path, faces, capsys):
    save_network(tmp_path / "m.pth")
    words = [
        "--models",
        tmp_path / "m.pth",
        "--data",
        faces,
        "--lab",
        tmp_path / "lab",
        "--probes",
        "other@32",
    ]
    assert run("report", *words, "--out", tmp_path / "out") == 2
    assert "unknown probe 'other@32': the data given are called 'faces'" in said(capsys)[1]


def test_a_pth_that_holds_code_is_refused(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (print, ("code ran",))

    import torch

    torch.save({"x": Evil()}, tmp_path / "evil.pth")
    words = [
        "report",
        "--models",
        tmp_path / "evil.pth",
        "--lab",
        tmp_path / "lab",
        "--out",
        tmp_path / "out",
    ]
    assert run(*words) == 2
    out, last = said(capsys)
    assert "code ran" not in out
    assert "evil.pth" in last


def test_unreadable_images_are_counted_and_named_or_fatal(tmp_path, faces, capsys):
    (faces / "p0" / "broken.png").write_bytes(b"\x89PNG not really")
    picture(faces / "p1" / "tiny.png", size=1)
    save_network(tmp_path / "m.pth")
    words = ["--models", tmp_path / "m.pth", "--data", faces, "--lab", tmp_path / "lab", "--probes", "faces"]
    assert run("extract", *words, "--strict") == 2
    assert "broken.png" in said(capsys)[1]
    assert run("report", *words, "--out", tmp_path / "out", "--only", "distances") == 0
    assert "2 of 26 images" in capsys.readouterr().err
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "p1/tiny.png" in page
    assert "1 × 1 pixels" in page or "1 x 1 pixels" in page


def test_a_report_that_cannot_be_written_is_told_before_the_work(tmp_path, vectors, capsys):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "index.html"
    assert run("report", "--models", vectors, "--lab", tmp_path / "lab", "--out", out) == 2
    assert "cannot write" in said(capsys)[1]
    assert not (tmp_path / "lab").exists()


def test_two_files_of_one_name_are_told(tmp_path, vectors, capsys):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "theirs.parquet"
    other.write_bytes(vectors.read_bytes())
    assert run("report", "--models", vectors, other, "--lab", tmp_path / "lab", "--out", tmp_path / "o") == 2
    assert "two of the models are called 'theirs'" in said(capsys)[1]


def test_models_on_different_images_are_compared_as_far_as_they_can_be(tmp_path, vectors):
    other = tmp_path / "others.parquet"
    s = embedding_set(people=9, model="n")
    renamed = embeddings.EmbeddingSet.from_rows(
        "n", "p", s.vectors, [f"x{i}" for i in s.items], [f"q{k}" for k in s.labels]
    )
    embeddings.write(other, renamed, {})
    out = tmp_path / "out"
    assert run("report", "--models", vectors, other, "--lab", tmp_path / "lab", "--out", out) == 0
    assert "measured on different people" in (out / "index.html").read_text(encoding="utf-8")


def test_a_bug_leaves_a_report_and_exit_1(tmp_path, vectors, monkeypatch, capsys):
    import dataclasses

    from embedlab import analysis

    real = analysis.get

    def broken(sets, params):
        raise ZeroDivisionError("planted")

    broken.__module__ = "embedlab.analyses.distances"

    def get(name):
        return dataclasses.replace(real(name), compute=broken) if name == "distances" else real(name)

    monkeypatch.setattr(analysis, "get", get)
    out = tmp_path / "out"
    assert run("report", "--models", vectors, "--lab", tmp_path / "lab", "--out", out) == 1
    assert "ZeroDivisionError: planted" in (out / "index.html").read_text(encoding="utf-8")
    assert "failed with a bug" in said(capsys)[1]


def test_interruption_is_one_line_and_130(monkeypatch, capsys, tmp_path):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "list_", interrupted)
    assert run("list", "--lab", tmp_path) == 130
    assert "interrupted" in said(capsys)[1]


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "embedlab", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("embedlab 0.")


def test_pairs_and_attributes_are_read_from_files(tmp_path, vectors, capsys):
    (tmp_path / "a.csv").write_text("identity,gender\nperson000,f\nperson001,m\n")
    words = ["--models", vectors, "--lab", tmp_path / "lab", "--attributes", tmp_path / "a.csv"]
    assert run("run", "distances", *words) == 0
    assert "10 people of imported in theirs have no row in" in capsys.readouterr().err
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("image_a,image_b,same\nitem0000,item0001,1\nitem0000,item0003,0\n")
    assert run("run", "accuracy", *words, "--pairs", pairs, "--json") == 0
    captured = capsys.readouterr().out
    section = json.loads(captured[captured.index("{") :])["sections"][0]
    assert section["params"]["pairs"] == str(pairs)
    assert run("run", "accuracy", *words, "--pairs", tmp_path / "a.csv") == 2
    assert "has no column 'image_a'" in said(capsys)[1]
    assert run("run", "distances", *words, "--pairs", pairs) == 2
    assert "are for accuracy, which is not run" in said(capsys)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "distances", "--probes", "typo"], "unknown probe 'typo': .* stored are imported of theirs"),
        (["run", "distances", "--probes", "imported", "typo"], "unknown probe 'typo'"),
        (["report", "--only", "distances", "--probes", "typo"], "unknown probe 'typo'"),
        (["extract", "--probes", "typo"], "unknown probe 'typo'"),
        (["run", "kernels"], "kernels compares the weights of two networks, and of theirs there are none"),
        (["run", "registration"], "registration compares two probes of one model or two models, and there"),
        (["run", "similarity"], r"asked for \(similarity\) applies to theirs .*the only model"),
        (["report", "--only", "similarity", "registration"], "similarity, regis.*applies .*only model.*; it"),
        (["run", "distances", "--set", "bin=3"], "unknown parameter distances.bin: there are"),
    ],
)  # fmt: skip
def test_what_was_asked_and_gives_nothing_is_exit_2_and_names_what_there_is(
    words, message, tmp_path, vectors, capsys
):
    out = ["--out", tmp_path / "out"] if words[0] == "report" else []
    assert run(*words, "--models", vectors, "--lab", tmp_path / "lab", *out) == 2
    text, last = said(capsys)
    assert re.search(f"^embedlab: .*{message}", last)
    assert text == ""
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_one_answer_among_several_is_an_answer(tmp_path, vectors):
    words = ["--models", vectors, "--lab", tmp_path / "lab", "--out", tmp_path / "r.html"]
    assert run("report", *words, "--only", "registration", "distances") == 0
    sections = json.loads((tmp_path / "r.json").read_text())["sections"]
    assert [one["state"] for one in sections] == ["inapplicable", "ok"]


LONG = "x" * 300
ABSURD = [
    (["report", "--models", LONG], "--models 'x+'… has a name of 300 bytes"),
    (["report", "--models", f"{LONG}.parquet"], "--models 'x+'… has a name of 308 bytes"),
    (["report", "--models", "ü" * 200], "has a name of 400 bytes"),
    (["run", "distances", "--models", "a", "--probes", "x" * 200], "the name of a data set: it has 200"),
    (["run", "distances", "--models", "a", ""], "--models is given an empty word"),
    (["run", "distances", "--models", "a", "--probes", " "], "--probes is given an empty word"),
    (["run", "", "--models", "a"], "--analysis is given an empty word"),
    (["report", f"{LONG}.toml"], "has a name of 305 bytes"),
    (["report", "--models", "a", "--data", LONG], "--data 'x+'… has a name"),
    (["report", "--models", "a", "--lab", LONG], "--lab 'x+'… has a name"),
    (["report", "--models", "a", "--out", f"here/{LONG}/r.html"], "--out 'here/x+'… has a name"),
    (["report", "--models", "a", "--lab", "file"], "the lab file is no folder"),
    (["list", "--lab", "file"], "the lab file is no folder"),
    (["doctor", "--lab", "file"], "the lab file is no folder"),
    (["import", "file.npy", "--lab", "file"], "the lab file is no folder"),
    (["import", "v.npy", "--model", "x" * 121], "cannot be the name of a model: it has 121 letters"),
    (["extract", "--models", "a", "--batch", "-1"], "--batch must be at least 1 and at most 65536, not -1"),
    (["extract", "--models", "a", "--batch", "9" * 30], "--batch must be .*, not a number that large"),
    (["doctor", "--model", "a", "--images", "0"], "--images must be at least 1"),
    (["doctor", "--model", "a", "--images", "9" * 12], "--images must be at least 1 and at most 10000000"),
    (["import", "a.pth", "--input", "0"], "--input must be at least 1"),
    (["data", "pack", "a", "--size", "-3"], "--size must be at least 2"),
    (["data", "pack", "a", "--size", "1000000"], "--size must be at least 2 and at most 4096"),
    (["data", "pack", "a", "--hold-out", "nan"], "--hold-out must be at least 0.0"),
    (["data", "pack", "a", "--hold-out", "1"], "--hold-out must be at least 0.0 and at most 0.99, not 1.0"),
    (["data", "pack", "a", "--seed", "-1"], "--seed must be at least 0"),
    (["map", "fit", "a", "b", "--map", "m.safetensors", "--folds", "1"], "--folds must be at least 2"),
    (["map", "fit", "a", "b", "--map", "m.safetensors", "--seed", "-1"], "--seed must be at least 0"),
    (["map", "apply", "", "--map", "m.safetensors"], "--old is given an empty word"),
    (["train", "lowres144", "--set", "seed=1e400"], "seed must be int"),
    (["train", "lowres144", "--set", f"width={'9' * 40}"], "width must be a whole number of at most 64 bits"),
    (["train", "lowres144", "--name", LONG], "--name 'x+'… has a name"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), ABSURD)
def test_words_and_numbers_that_no_command_can_use_are_one_line(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert run(*words) == 2
    text, last = said(capsys)
    assert re.search(f"^embedlab: .*{message}", last)
    assert (text, len(last) < 500) == ("", True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_vectors_whose_items_lie_elsewhere_are_read_by_every_command(tmp_path, capsys):
    for name, seed in (("ours", 0), ("theirs", 1)):
        s = embedding_set(people=20, model=name, seed=seed)
        np.save(tmp_path / f"{name}.npy", s.vectors)
        rows = [f"{item},{s.identities[k]}" for item, k in zip(s.items, s.labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["name,who", *rows]))
    ours, theirs = tmp_path / "ours.npy", tmp_path / "theirs.npy"
    lists = [f"{name}={tmp_path / name}.csv" for name in ("ours", "theirs")]
    columns = ["--item-column", "name", "--identity-column", "who"]
    words = ["--models", ours, theirs, "--lab", tmp_path / "lab", "--items", *lists, *columns]
    assert run("run", "distances", *words, "--json") == 0
    captured = capsys.readouterr().out
    assert list(json.loads(captured)["sections"][0]["numbers"]) == ["ours", "theirs"]
    assert run("report", *words, "--only", "verification", "--out", tmp_path / "r.html") == 0
    assert run("extract", *words) == 0
    several = ["--items", lists[0], "--items", lists[1], *columns]
    assert run("map", "fit", ours, theirs, "--map", tmp_path / "m.safetensors", *several) == 0
    assert run("map", "apply", ours, "--map", tmp_path / "m.safetensors", *several[:2], *columns) == 0
    assert len(embeddings.read(tmp_path / "ours-as-theirs.parquet").items) == 60
    assert run("map", "apply", theirs, "--map", tmp_path / "m.safetensors") == 2
    assert "with --items" in said(capsys)[1]


def test_a_map_reads_a_column_of_vectors_of_any_name(tmp_path):
    import pyarrow.parquet as pq

    embeddings.write(tmp_path / "a.parquet", embedding_set(people=20), {})
    table = pq.read_table(tmp_path / "a.parquet").replace_schema_metadata({})
    pq.write_table(table.rename_columns(["item", "identity", "v", "norm"]), tmp_path / "b.parquet")
    a, b, m = (tmp_path / name for name in ("a.parquet", "b.parquet", "m.safetensors"))
    assert run("map", "fit", b, a, "--map", m, "--vector-column", "b=v") == 0
    assert run("map", "apply", b, "--map", m, "--out", tmp_path / "c.parquet") == 2
    assert run("map", "apply", b, "--map", m, "--out", tmp_path / "c.parquet", "--vector-column", "v") == 0
    assert pq.read_schema(tmp_path / "c.parquet").names == ["item", "identity", "v", "norm"]


def test_a_map_of_a_model_that_is_called_like_a_path_writes_beside_the_old_vectors(tmp_path):
    import dataclasses

    from embedlab.formats import conversion

    a, b = (embedding_set(people=20, model=name, seed=k) for k, name in enumerate(("old", "../../new/x")))
    found = dataclasses.replace(conversion.fit(a, b), source="old")
    conversion.save(found, tmp_path / "m.safetensors")
    (tmp_path / "here").mkdir()
    embeddings.write(tmp_path / "here" / "a.parquet", a, {})
    assert run("map", "apply", tmp_path / "here" / "a.parquet", "--map", tmp_path / "m.safetensors") == 0
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "a-as-_.._new_x.parquet",
        "a.parquet",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "m.json", "m.safetensors"]


@pytest.mark.parametrize(
    ("models", "name"),
    [
        (["lowres144", "v1.2"], "lowres144-v1.2"),
        (["some/where/arc.onnx", "my.net:load"], "arc-my.net_load"),
        (["a" * 100, "b" * 100], "a" * 100 + "-" + "b" * 10 + "-d525b058"),
    ],
)
def test_a_report_without_a_place_gets_a_name_of_its_models(models, name):
    from embedlab.commands import pipeline

    assert pipeline.named(models) == name
    assert len(name) <= 120


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_end_runs_what_tidies_up(monkeypatch, capsys, tmp_path, number, status):
    tidied = []

    def ending(options):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), number)  # Who asks twice does not disturb it.
            time.sleep(0.01)
            tidied.append(1)

    monkeypatch.setattr(cli, "list_", ending)
    assert run("list", "--lab", tmp_path) == status
    assert tidied == [1]
    assert f"ended by {number.name}; what was finished is kept" in said(capsys)[1]
    assert signal.getsignal(number) == signal.SIG_DFL


def test_who_is_told_to_outlive_the_terminal_does(monkeypatch, tmp_path):
    def ending(options):
        os.kill(os.getpid(), signal.SIGHUP)
        return 0

    monkeypatch.setattr(cli, "list_", ending)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run("list", "--lab", tmp_path) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


SLOW = """
import sys, time
from pathlib import Path
from embedlab.commands import cli
from embedlab.formats import interchange
from embedlab.lab.store import atomic_file
def slow(*_):
    with atomic_file(Path(sys.argv[-1]) / "a") as temporary:
        temporary.write_bytes(bytes(1000))
        print("begun", flush=True)
        time.sleep(30)
cli.list_ = slow
sys.exit(cli.main(["list", "--lab", sys.argv[-1]]))
"""


def test_a_process_that_is_ended_leaves_nothing_half_written(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "begun\n"
    child.terminate()
    _, err = child.communicate(timeout=30)
    assert child.returncode == 143
    assert err == "embedlab: ended by SIGTERM; what was finished is kept, and the same command goes on\n"
    assert os.listdir(tmp_path) == []


def shown_in(encoding, monkeypatch, *words):
    """Run a command on a terminal of an encoding; give its status and what was written to it."""
    with io.TextIOWrapper(io.BytesIO(), encoding=encoding) as out:
        monkeypatch.setattr(sys, "stdout", out)
        status = run(*words)
        out.flush()
        return status, out.buffer.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_takes_every_sign(vectors, tmp_path, monkeypatch, encoding):
    words = ["run", "distances", "--models", vectors, "--lab", tmp_path / "lab"]
    status, told = shown_in(encoding, monkeypatch, *words)
    assert status == 0
    assert (b"\\u" in told) == (encoding != "utf-8")
    assert ("′" in told.decode(encoding)) == (encoding == "utf-8")
    status, told = shown_in(encoding, monkeypatch, *words, "--json")
    assert status == 0
    assert json.loads(told.decode(encoding))["sections"][0]["name"] == "distances"


def test_a_path_that_is_no_text_is_written_all_the_same(vectors, tmp_path, monkeypatch):
    """A folder's name in latin-1 stands in the command that the report repeats."""
    out = tmp_path / os.fsdecode("r\xe9sultats".encode("latin-1"))
    words = ["report", "--models", vectors, "--only", "distances", "--lab", tmp_path / "lab", "--out", out]
    monkeypatch.setattr(sys, "argv", ["embedlab", *map(str, words)])
    status, told = shown_in("utf-8", monkeypatch, *words)
    assert status == 0
    assert b"r\\udce9sultats" in told
    json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert "udce9sultats" in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ("report", "--models", "{vectors}", "--out"),
        ("map", "fit", "{vectors}", "{vectors}", "--map"),
        ("map", "apply", "{vectors}", "--map", "{map}", "--out"),
        ("data", "pack", "{faces}", "--out"),
        ("data", "align", "{faces}", "--crop", "--out"),
        ("data", "export", "{faces}", "--out"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(vectors, faces, tmp_path, capsys, words):
    new = tmp_path / "new.parquet"
    embeddings.write(new, embedding_set(model="new", people=12, seed=1), {})
    assert run("map", "fit", vectors, new, "--map", tmp_path / "map.safetensors") == 0
    places = {"vectors": vectors, "faces": faces, "map": tmp_path / "map.safetensors"}
    ending = {"apply": ".parquet", "export": ".rec", "fit": ".safetensors"}.get(words[1], "")
    (tmp_path / "file").write_text("in the way")
    before = sorted(tmp_path.rglob("*"))
    for out, why in (
        (tmp_path / "file" / f"a{ending}", "Not a directory"),
        (tmp_path / f"{'x' * 300}{ending}", "give a shorter one"),
        *([(tmp_path / "folder.rec", "it is a folder")] if words[1] == "export" else []),
    ):
        if why == "it is a folder":
            out.mkdir()
            before = sorted(tmp_path.rglob("*"))
        asked = [word.format(**places) for word in words]
        if words[0] == "report":
            asked += [str(out), "--lab", str(tmp_path / "lab")]
        else:
            asked.append(str(out))
        assert run(*asked) == 2
        line = said(capsys)[1]
        assert line.startswith("embedlab: ")
        assert ("cannot write " in line) != (why == "give a shorter one")
        assert why in line
        assert sorted(tmp_path.rglob("*")) == before


def complaints(done):
    """What a command said besides that it is still at work, as it does after seconds on a busy machine."""
    return re.sub(r"^  list: \d+ s\n", "", done.stderr, flags=re.MULTILINE)


def test_output_that_has_no_room_is_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "embedlab", "list", "analyses", "--lab", str(tmp_path)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert complaints(done) == (
        "embedlab: cannot write the output: No space left on device: make room there, or choose another "
        "place\n"
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_somebody_closed_cost_nothing(tmp_path, closed):
    words = f"{sys.executable} -m embedlab list analyses --lab {tmp_path} {closed}"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert (done.returncode, complaints(done)) == (0, "")
    assert ("verification" in done.stdout) == (closed == "2>&-")


def test_a_reader_that_goes_is_no_error(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "embedlab", "list", "analyses", "--lab", str(tmp_path)],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, complaints(done)) == (0, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError("Unable to allocate 9 GiB"), "not enough memory (Unable to allocate 9 GiB): end other"),
        (OSError(errno.ENOSPC, "x"), "cannot write the output: No space left on device: make room"),
        (OSError(errno.EROFS, "x", "/a/b"), "cannot write /a/b: Read-only file system: choose another"),
    ],
)
def test_a_machine_that_is_too_small_is_one_line(monkeypatch, capsys, tmp_path, error, line):
    def small(options):
        raise error

    monkeypatch.setattr(cli, "list_", small)
    assert run("list", "--lab", tmp_path) == 2
    assert line in said(capsys)[1]


def test_a_bug_keeps_its_traceback(monkeypatch, tmp_path):
    def bug(options):
        raise PermissionError(errno.EACCES, "Permission denied", "/some/input")

    monkeypatch.setattr(cli, "list_", bug)
    with pytest.raises(PermissionError):
        run("list", "--lab", tmp_path)


def test_a_report_that_memory_does_not_suffice_for_says_so(vectors, tmp_path, monkeypatch, capsys):
    build = importlib.import_module("embedlab.report.build")

    def hungry(*_, **__):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(build, "_page", hungry)
    words = ["--only", "distances", "--lab", tmp_path / "lab", "--out", tmp_path / "out"]
    assert run("report", "--models", vectors, *words) == 2
    assert said(capsys)[1] == (
        "embedlab: not enough memory for the report (Unable to allocate 9 GiB): ask for fewer analyses "
        "(--only), probes or models"
    )


def test_a_report_says_which_results_could_not_be_stored(vectors, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    words = ["--only", "distances", "--lab", tmp_path / "lab", "--out", tmp_path / "out"]
    assert run("report", "--models", vectors, *words) == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert ": the result could not be stored and will be computed again: cannot write" in page
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sections"][0]["state"] == "ok"


def test_a_lab_on_a_disk_that_is_read_only_is_read_and_reported(small_disk, vectors, tmp_path, capsys):
    lab = small_disk / "lab"
    assert run("import", vectors, "--model", "m", "--probe", "p", "--lab", lab) == 0
    assert run("run", "distances", "--models", "m", "--lab", lab) == 0
    first = capsys.readouterr().out
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert run("run", "distances", "--models", "m", "--lab", lab) == 0
    assert first.endswith(capsys.readouterr().out)
    assert (
        run("report", "--models", "m", "--only", "verification", "--lab", lab, "--out", tmp_path / "o") == 0
    )
    assert "could not be stored: cannot write" in capsys.readouterr().err
    page = (tmp_path / "o" / "index.html").read_text(encoding="utf-8")
    assert "could not be stored and will be computed again" in page
    for words in (
        ("import", vectors, "--model", "n", "--lab", lab),
        ("report", "--models", "m", "--lab", lab, "--out", small_disk / "out"),
        ("run", "distances", "--models", vectors, "--lab", lab),
    ):
        assert run(*words) == 2
        assert re.search("^embedlab: cannot write .*: Read-only file system: choose", said(capsys)[1])
