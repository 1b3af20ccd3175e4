"""What a lab holds is counted, what is stale is found, and what is removed or moved is what was meant."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from embedlab.errors import UserError
from embedlab.lab import embeddings, upkeep
from embedlab.lab.store import Lab
from tests.planted import embedding_set

CODE = {"distances": "now"}.get


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path / "lab")
    for model in ("a", "b"):
        path = made.embeddings_file(model, "p")
        path.parent.mkdir(parents=True)
        embeddings.write(
            path, embedding_set(5, model=model, probe="p"), {"created": "2026-01-02T00:00:00+00:00"}
        )
    result(made, "1", ["p in a"])
    result(made, "2", ["p in b"])
    result(made, "3", ["p in a", "p in b"])
    return made


def result(lab, key, inputs, code="now", analysis="distances", when="2026-01-03T00:00:00+00:00"):
    folder = lab.result(analysis, key)
    folder.mkdir(parents=True)
    record = {"inputs": [{"input": one, "fingerprint": "f"} for one in inputs], "code": code, "created": when}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "arrays.npz").write_bytes(b"x" * 1000)
    return folder


def why(lab):
    return {one.folder.name: one.why for one in upkeep.results(lab, CODE)}


def test_results_in_use_are_not_stale(lab):
    assert set(why(lab).values()) == {""}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": "then"}, "other than it was"),
        ({"analysis": "gone"}, "no such analysis"),
        ({"inputs": ["q in a"]}, "q in a is gone"),
        ({"when": "2026-01-01T00:00:00+00:00"}, "made later"),
    ],
)
def test_what_no_report_can_fetch_is_stale(lab, change, said):
    result(lab, **{"key": "9", "inputs": ["p in a"], **change})
    assert said in why(lab)["9"]


def test_a_copied_lab_is_as_fresh_as_it_was(lab):
    for path in lab.root.rglob("*.parquet"):
        os.utime(path)
    assert set(why(lab).values()) == {""}


def test_results_of_other_weights_are_stale(lab):
    checkpoint = lab.checkpoint("a")
    checkpoint.mkdir(parents=True)
    kernels = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    save_file({"conv.weight": kernels}, checkpoint / "model.safetensors")
    (checkpoint / "model.json").write_text("{}")
    upkeep_of = {"distances": "now", "kernels": "now"}.get
    (lab.root / "embeddings" / "a" / "p.parquet").unlink()
    now = lab.weights("a").fingerprint
    for key, fingerprint in (("7", now), ("8", "other")):
        folder = result(lab, key, ["weights of a"], analysis="kernels")
        record = json.loads((folder / "run.json").read_text())
        record["inputs"][0]["fingerprint"] = fingerprint
        (folder / "run.json").write_text(json.dumps(record))
    told = {one.folder.name: one.why for one in upkeep.results(lab, upkeep_of)}
    assert (told["7"], told["8"]) == ("", "its weights are others")


def test_a_list_of_pairs_is_no_set_that_could_be_gone(lab):
    result(lab, "9", ["p in a", "pairs of lfw.txt"])
    assert why(lab)["9"] == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inputs": 3}', '{"inputs": [{}], "code": 1}', "[" * 10**5])
def test_a_record_that_cannot_be_read_is_stale(lab, text):
    folder = result(lab, "9", ["p in a"])
    (folder / "run.json").write_text(text)
    assert why(lab)["9"] == "it cannot be read"


def test_a_model_goes_with_what_rests_on_it_and_nothing_else(lab):
    gone = upkeep.of_model(lab, "a", upkeep.results(lab, CODE))
    upkeep.remove(lab, gone)
    assert lab.models() == ["b"]
    assert list(why(lab)) == ["2"]
    with pytest.raises(UserError, match="no model 'a': there are b"):
        upkeep.of_model(lab, "a", [])


def test_nothing_that_a_link_leads_to_is_counted_or_removed(lab, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_bytes(b"x" * 5000)
    before = upkeep.size_of(lab.root)
    (lab.result("distances", "1") / "link").symlink_to(elsewhere)
    assert upkeep.size_of(lab.root) == before
    upkeep.remove(lab, [lab.result("distances", "1")])
    assert (elsewhere / "mine").is_file()


def test_what_killed_processes_left_goes_and_what_is_in_use_stays(lab):
    dead, alive = (lab.root / "results" / f".x.{pid}-abcdefgh.tmp" for pid in (2**22 + 1, os.getpid()))
    for folder in (dead, alive):
        folder.mkdir()
    assert upkeep.temporaries(lab) == sorted([dead, alive])
    upkeep.clean(lab)
    assert upkeep.temporaries(lab) == [alive]


def test_a_packed_lab_is_the_same_elsewhere(lab, tmp_path):
    (lab.root / "results" / ".x.1-abcdefgh.tmp").mkdir()
    dropped = lab.result("distances", "2")
    count = upkeep.pack(lab, tmp_path / "lab.tar", keep=lambda path: path != dropped)
    other = Lab(tmp_path / "other")
    assert upkeep.unpack(tmp_path / "lab.tar", other) == count == 2 + 2 * 2
    assert other.models() == ["a", "b"]
    assert why(other) == {"1": "", "3": ""}
    assert not upkeep.temporaries(other)
    assert (other.embeddings("a", "p").vectors == lab.embeddings("a", "p").vectors).all()


def test_a_lab_in_use_is_not_unpacked_over(lab, tmp_path):
    upkeep.pack(lab, tmp_path / "lab.tar")
    with pytest.raises(UserError, match="is not empty"):
        upkeep.unpack(tmp_path / "lab.tar", lab)
    with pytest.raises(UserError, match="lies in the lab"):
        upkeep.pack(lab, lab.root / "data" / "lab.tar")
    with pytest.raises(UserError, match="there is no lab"):
        upkeep.pack(Lab(tmp_path / "nowhere"), tmp_path / "x.tar")


def packed(path, members):
    with tarfile.open(path, "w") as made:
        for name, content, kind in [
            (upkeep.HEAD, json.dumps(upkeep.PACKED).encode(), tarfile.REGTYPE),
            *members,
        ]:
            one = tarfile.TarInfo(name)
            one.size, one.type = len(content), kind
            one.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            made.addfile(one, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil", tarfile.REGTYPE),
        ("data/../../evil", tarfile.REGTYPE),
        ("/data/evil", tarfile.REGTYPE),
        ("home/evil", tarfile.REGTYPE),
        ("data/link", tarfile.SYMTYPE),
        ("data/device", tarfile.CHRTYPE),
        ("data", tarfile.REGTYPE),
    ],
)
def test_nothing_gets_out_of_the_lab(tmp_path, name, kind):
    packed(tmp_path / "evil.tar", [(name, b"", kind)])
    with pytest.raises(UserError):
        upkeep.unpack(tmp_path / "evil.tar", Lab(tmp_path / "lab"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar"]


def test_what_is_no_packed_lab_is_told_in_a_line(lab, tmp_path):
    upkeep.pack(lab, tmp_path / "lab.tar")
    whole = (tmp_path / "lab.tar").read_bytes()
    with tarfile.open(tmp_path / "other.tar", "w") as made:
        made.add(lab.root / "embeddings", "data")
    for name, content in (("cut", whole[: len(whole) // 2]), ("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
    for name in ("cut", "text", "empty", "other.tar", "nowhere"):
        with pytest.raises(UserError, match=name):
            upkeep.unpack(tmp_path / name, Lab(tmp_path / "new"))
        assert not (tmp_path / "new").exists()


def test_what_stands_for_a_packed_lab_is_told(tmp_path):
    (tmp_path / "lab.tar").write_text("version https://git-lfs.github.com/spec/v1\n" + "x" * 600)
    with pytest.raises(
        UserError, match="lab.tar is no packed lab, but a Git LFS pointer, not the file itself"
    ):
        upkeep.unpack(tmp_path / "lab.tar", Lab(tmp_path / "lab"))
