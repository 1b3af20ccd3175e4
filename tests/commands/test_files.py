"""The commands about files, as a person types them."""

import json

import numpy as np
import pytest
from PIL import Image

from embedlab.commands import cli
from embedlab.data.datasets import open_dataset
from embedlab.data.sources import open_source
from embedlab.data.split import draw_pairs
from embedlab.formats import protocols


@pytest.fixture
def faces(tmp_path):
    """An identity folder of six people with two images each, LFW's way of naming them."""
    draw = np.random.default_rng(0)
    for person in "abcdef":
        for image in (1, 2):
            path = tmp_path / "faces" / person / f"{person}_{image:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(path)
    return tmp_path / "faces"


def test_packing_keeps_some_people_apart_and_draws_their_pairs(faces, tmp_path, capsys):
    out = tmp_path / "packs"
    words = ["data", "pack", str(faces), "--out", str(out), "--hold-out", "0.34", "--size", "16"]
    assert cli.main(words) == 0
    train, held = (open_source(out / f"faces_{part}.pack") for part in ("train", "held"))
    assert (len(train.identities), len(held.identities)) == (4, 2)
    assert not set(train.identities) & set(held.identities)
    assert train.image(0).shape == (16, 16, 3)
    pairs = protocols.read(out / "faces_held_pairs.csv")
    assert (min(pairs.rows(held.items)[0]), pairs.same.sum()) == (0, 2)
    said = capsys.readouterr().out
    assert "faces_train.pack (8 images of 4 people)" in said
    assert "pairs: " in said


def test_packing_all_makes_one_pack(faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "pack", str(faces)]) == 0
    assert len(open_source(tmp_path / "faces.pack")) == 12


@pytest.mark.parametrize(("fit", "side"), [("crop", 20), ("pad", 24), ("stretch", 24)])
def test_images_that_are_not_square_are_fitted_as_asked(faces, tmp_path, capsys, fit, side):
    assert cli.main(["data", "pack", str(faces), "--out", str(tmp_path), "--fit", fit]) == 0
    there = open_source(tmp_path / "faces.pack")
    assert there.image(0).shape == (side, side, 3)
    assert "12 of 12 images of faces are not square, but of 20 x 24 px: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("probe", "stored"),
    [("a", "a"), ("a@32", "a@32"), ("a@032", "a@32"), ("a@0", ""), ("a@b", ""), ("a@-3", "")],
)
def test_vectors_are_imported_under_a_probe_that_commands_can_name(tmp_path, capsys, probe, stored):
    (tmp_path / "v.csv").write_text("item,identity,e0,e1\na,b,1,2\nc,d,2,1\n")
    words = ["import", str(tmp_path / "v.csv"), "--probe", probe, "--lab", str(tmp_path / "lab")]
    assert cli.main(words) == (0 if stored else 2)
    assert stored or "is not a probe: after @ stands the side in pixels" in capsys.readouterr().err
    there = [path.stem for path in (tmp_path / "lab").rglob("*.parquet")]
    assert there == ([stored] if stored else [])


def test_an_onnx_network_needs_no_import(tmp_path, capsys):
    (tmp_path / "a.onnx").write_bytes(b"x")
    assert cli.main(["import", str(tmp_path / "a.onnx"), "--lab", str(tmp_path / "lab")]) == 2
    assert "is used as it is, without an import: name it as a model, --models" in capsys.readouterr().err


def test_faces_are_cut_out(faces, tmp_path, capsys):
    out = tmp_path / "cut"
    assert cli.main(["data", "align", str(faces), "--crop", "--size", "16", "--out", str(out)]) == 0
    assert open_dataset(out).image(0).shape == (16, 16, 3)
    assert "cut (12 images of 6 people)" in capsys.readouterr().out


@pytest.mark.parametrize("ending", [".bin", ".txt", ".csv"])
def test_pairs_are_written_as_other_programs_read_them(faces, tmp_path, ending, capsys):
    pairs = draw_pairs(open_dataset(faces), 3)
    protocols.write(tmp_path / "pairs.csv", pairs)
    out = tmp_path / f"out{ending}"
    assert (
        cli.main(["data", "export", str(faces), "--pairs", str(tmp_path / "pairs.csv"), "--out", str(out)])
        == 0
    )
    assert protocols.read(out).same.tolist() == pairs.same.tolist()
    assert "(6 pairs)" in capsys.readouterr().out


def test_images_are_written_as_insightface_reads_them(faces, tmp_path, capsys):
    out = tmp_path / "train.rec"
    assert cli.main(["data", "export", str(faces), "--size", "16", "--out", str(out)]) == 0
    assert len(open_source(out)) == 12
    assert "train.rec (12 images of 6 people)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("out", "told"), [("out.zip", "has no ending that is known"), ("out.bin", "holds pairs: say which")]
)
def test_what_cannot_be_exported_is_told(faces, tmp_path, out, told, capsys):
    assert cli.main(["data", "export", str(faces), "--out", str(tmp_path / out)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["export", "a.csv", "--out", "a.csv"],
        ["export", "a.npy", "--items", "a.csv", "--out", "a.csv"],
        ["data", "align", "faces", "--crop", "--out", "faces/cut"],
        ["data", "export", "faces", "--pairs", "a.csv", "--out", "a.csv"],
        ["data", "export", "a.rec", "--out", "a.rec"],
        ["data", "export", ".", "--out", "a.rec"],
        ["run", "audit", "--models", "a.csv", "--save", "a.csv"],
        ["run", "audit", "--models", "a.npy", "--items", "a=a.csv", "--save", "a.csv"],
        ["run", "audit", "--models", "a.npy", "--attributes", "a.csv", "--save", "a.csv"],
    ],
    ids=" ".join,
)
def test_no_command_writes_over_what_it_reads(faces, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "a.npy", "a.rec"):
        (tmp_path / name).write_text("item,age\n1,2\n")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(words) == 2
    assert "give another name" in capsys.readouterr().err
    assert {(tmp_path / name).read_text() for name in ("a.csv", "a.npy", "a.rec")} == {"item,age\n1,2\n"}
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_from_elsewhere_become_a_model_of_the_lab(tmp_path, capsys):
    import torch

    from embedlab.lab.store import Lab
    from embedlab.networks.backbones import build

    torch.save(build("ir_se_18", input_size=32, width=4, dimension=8).state_dict(), tmp_path / "net.pth")
    words = ["import", str(tmp_path / "net.pth"), "--recipe", "ir_se_18", "--input", "32"]
    assert cli.main([*words, "--model", "theirs", "--lab", str(tmp_path / "lab")]) == 0
    assert "checkpoint: " in capsys.readouterr().out
    assert Lab(tmp_path / "lab").trained() == ["theirs"]


MINE = """
import numpy as np

def load():
    draw = np.random.default_rng(0).normal(size=(16 * 16 * 3, 24))
    return lambda images: ((images / 127.5 - 1).reshape(len(images), -1) @ draw).astype(np.float32)

load.preprocessing = {"size": 16}
"""


def test_what_ones_own_code_prints_does_not_stand_in_the_json(faces, tmp_path, monkeypatch, capsys):
    talking = MINE.replace("    draw =", "    print('loading')\n    draw =") + "\nprint('imported')\n"
    (tmp_path / "talks_for_a_test.py").write_text(talking)
    monkeypatch.chdir(tmp_path)
    words = ["run", "norms", "--models", "talks_for_a_test:load", "--data", str(faces), "--json"]
    assert cli.main([*words, "--lab", str(tmp_path / "lab")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"]
    assert "loading" in err


def test_a_model_of_ones_own_code_is_examined_and_embedded(faces, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_for_a_test.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    assert (
        cli.main(["doctor", "--model", "mine_for_a_test:load", "--data", str(faces), "--images", "12"]) == 0
    )
    assert "channels" in capsys.readouterr().out
    words = [
        "extract",
        "--models",
        "mine_for_a_test:load",
        "--data",
        str(faces),
        "--probes",
        "faces",
        "--flip",
    ]
    assert cli.main([*words, "--lab", str(tmp_path / "lab")]) == 0
    from embedlab.lab import embeddings

    path = tmp_path / "lab" / "embeddings" / "mine_for_a_test_load" / "faces.parquet"
    assert f"embeddings: {path}" in capsys.readouterr().out
    assert embeddings.metadata(path)["flip"] is True


def test_a_model_that_is_only_embeddings_cannot_be_examined(faces, tmp_path, capsys):
    from embedlab.lab import embeddings
    from tests.planted import embedding_set

    embeddings.write(tmp_path / "theirs.parquet", embedding_set(), {})
    words = ["doctor", "--model", str(tmp_path / "theirs.parquet"), "--data", str(faces)]
    assert cli.main([*words, "--lab", str(tmp_path / "lab")]) == 2
    assert "is no network that can be run here" in capsys.readouterr().err
