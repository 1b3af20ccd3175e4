import os
import shutil
import subprocess
import sys
import threading
import time
from io import StringIO

import numpy as np
import pytest
from safetensors.numpy import save_file

from embedlab import embeddings, progress
from embedlab.errors import UserError
from embedlab.store import (
    Lab,
    atomic_file,
    atomic_folder,
    checked_name,
    locked,
    made_name,
    sha256_of,
    write_json,
)
from tests.planted import embedding_set


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert os.listdir(target.parent) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with atomic_file(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(UserError, match="cannot write .*file/a.txt"),
        atomic_file(tmp_path / "file" / "a.txt"),
    ):
        pass


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match="cannot write .*a.txt"), atomic_file(tmp_path / "a.txt"):
        pass


def test_the_first_of_two_equal_folders_stays(tmp_path):
    target = tmp_path / "key"
    with atomic_folder(target) as late:
        (late / "x").write_text("late")
        with atomic_folder(target) as early:
            (early / "x").write_text("early")
    assert (target / "x").read_text() == "early"
    assert os.listdir(tmp_path) == ["key"]


def test_a_folder_is_replaced_when_asked(tmp_path):
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "key", replace=True) as folder:
            (folder / "x").write_text(text)
    assert (tmp_path / "key" / "x").read_text() == "new"


def test_json_without_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "-x", "<b>"])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(UserError, match="cannot be the name of a model"):
        checked_name(name, "model")


def test_the_lab_lists_what_it_holds(tmp_path):
    lab = Lab(tmp_path)
    assert lab.models() == []
    path = lab.embeddings_file("m", "faces@32")
    with atomic_file(path) as temporary:
        embeddings.write(temporary, embedding_set(), {})
    (path.parent / ".faces.parquet.x").write_text("a leftover of a killed run")
    assert lab.models() == ["m"]
    assert lab.probes("m") == ["faces@32"]
    assert lab.trained() == []
    np.testing.assert_array_equal(lab.embeddings("m", "faces@32").vectors, embedding_set().vectors)


def test_missing_embeddings_name_what_there_is_and_the_command(tmp_path):
    with pytest.raises(
        UserError, match=r"no embeddings of probe 'p' in model 'm' \(there are: none\).*embedlab extract"
    ):
        Lab(tmp_path).embeddings("m", "p")


def test_a_model_without_weights_says_so(tmp_path):
    with pytest.raises(UserError, match="m has no checkpoint"):
        Lab(tmp_path).weights("m")


def test_the_lab_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("EMBEDLAB_LAB", str(tmp_path))
    assert Lab().root == tmp_path
    assert str(Lab("here").root) == "here"
    assert repr(Lab("here")) == "Lab('here')"


@pytest.mark.parametrize(
    ("stem", "name"),
    [("faces", "faces"), ("my file (1)", "my_file_1_"), ("..x", "x"), ("é", "_"), ("@", "other")],
)
def test_a_made_name_is_one_that_is_taken(stem, name):
    assert made_name(stem, "other") == name
    assert checked_name(name, "model") == name


def test_a_hash_is_that_of_the_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_two_seeds_of_one_recipe_are_known_as_such(tmp_path):
    lab = Lab(tmp_path)
    recipes = {"one": {"epochs": 4, "seed": 1}, "other": {"epochs": 4, "seed": 2}, "longer": {"epochs": 9}}
    for model, recipe in recipes.items():
        lab.checkpoint(model).mkdir(parents=True)
        record = {"recipe": recipe, "identities_sha256": "people", "weights_sha256": model}
        write_json(lab.checkpoint(model) / "model.json", record)
        path = lab.embeddings_file(model, "p")
        path.parent.mkdir(parents=True)
        embeddings.write(path, embedding_set(model=model), {"model_sha256": model})
        embeddings.write(path.with_stem("retrained"), embedding_set(model=model), {"model_sha256": "before"})
        embeddings.write(path.with_stem("imported"), embedding_set(model=model), {})
    assert lab.recipe("one") == lab.recipe("other") != lab.recipe("longer")
    assert lab.recipe("stranger") == ""
    assert lab.embeddings("one", "p").recipe == lab.recipe("one")
    assert lab.embeddings("one", "p").fingerprint != embedding_set(model="one").fingerprint
    for probe in ("retrained", "imported"):
        assert lab.embeddings("one", probe).recipe == ""
        assert not lab.is_made_here("one", probe)


def checkpoint(lab, model, seed=0):
    """Write a network of one convolution, as the lab keeps it."""
    folder = lab.checkpoint(model)
    folder.mkdir(parents=True)
    kernels = np.random.default_rng(seed).normal(size=(8, 3, 3, 3)).astype(np.float32)
    save_file({"conv.weight": kernels}, folder / "model.safetensors")
    sha256 = sha256_of(folder / "model.safetensors")
    write_json(
        folder / "model.json", {"recipe": {"seed": seed}, "identities_sha256": "x", "weights_sha256": sha256}
    )
    return sha256


def stored(lab, model, probe, head):
    with atomic_file(lab.embeddings_file(model, probe)) as path:
        embeddings.write(path, embedding_set(model=model, probe=probe), head)


def test_a_copied_folder_is_what_it_is_called_now(tmp_path):
    lab = Lab(tmp_path)
    sha256 = checkpoint(lab, "a")
    stored(lab, "a", "p", {"model_sha256": sha256})
    for kind in ("embeddings", "checkpoints"):
        shutil.copytree(tmp_path / kind / "a", tmp_path / kind / "b")
    (tmp_path / "embeddings" / "b" / "p.parquet").rename(tmp_path / "embeddings" / "b" / "q.parquet")
    first, second = lab.embeddings("a", "p"), lab.embeddings("b", "q")
    assert (first.title, second.title) == ("p in a", "q in b")
    assert first.fingerprint != second.fingerprint
    assert first.recipe == second.recipe != ""
    assert (lab.weights("a").title, lab.weights("b").title) == ("a", "b")
    assert lab.weights("a").fingerprint != lab.weights("b").fingerprint


def test_weights_are_not_those_of_vectors_from_elsewhere(tmp_path):
    lab = Lab(tmp_path)
    stored(lab, "a", "p", {"model_sha256": checkpoint(lab, "a")})
    assert list(lab.weights("a").layers) == ["conv"]
    (lab.embeddings_file("a", "damaged")).write_bytes(b"PAR1")
    assert list(lab.weights("a").layers) == ["conv"]
    stored(lab, "a", "imported", {"imported_from": {"name": "a.parquet"}})
    with pytest.raises(
        UserError, match=r"imported.parquet holds vectors from elsewhere, and a network called a"
    ):
        lab.weights("a")
    assert lab.embeddings("a", "imported").recipe == ""


def test_weights_that_changed_since_they_were_written_are_refused(tmp_path):
    lab = Lab(tmp_path)
    checkpoint(lab, "a")
    path = lab.checkpoint("a") / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"model.safetensors is not the file that model.json"):
        lab.weights("a")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 10_000])
def test_a_record_that_is_none_tells_of_no_recipe(tmp_path, text):
    lab = Lab(tmp_path)
    checkpoint(lab, "a")
    (lab.checkpoint("a") / "model.json").write_text(text)
    assert lab.recipe("a") == ""


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path):
    """Held in a child process, so that the lock is one between processes."""
    script = (
        "import sys; from pathlib import Path; from embedlab.store import locked\n"
        "with locked(Path(sys.argv[1]), 'drawing'):\n"
        "    print('held', flush=True); sys.stdin.readline()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "data")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "held\n"
    heard = StringIO()

    def release():
        while "waiting" not in heard.getvalue():
            time.sleep(0.01)
        child.communicate("go on\n", timeout=30)

    ending = threading.Thread(target=release, daemon=True)
    ending.start()
    with progress.shown(heard), locked(tmp_path / "data", "drawing"):
        ending.join(30)
        assert child.returncode == 0
    assert "another process is drawing: waiting for it" in heard.getvalue()
