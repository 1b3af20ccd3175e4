"""What other programs are given opens in their own readers, with the numbers that were written."""

import base64
import csv
import io
import json
import warnings
import zlib

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from embedlab.commands import cli
from embedlab.errors import UserError
from embedlab.files import parquet
from embedlab.formats import exports, protocols
from embedlab.formats.protocols import PairList
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.space import neighbours
from tests.planted import embedding_set

ODD = "a\tb\n<i>"


def named(items, people, n=None):
    vectors = np.random.default_rng(0).normal(size=(n or len(items), 4)).astype(np.float32)
    return EmbeddingSet.from_rows("m", "p", vectors, items, people)


def test_the_table_holds_the_set_a_map_that_keeps_people_and_exact_neighbours(tmp_path):
    one = embedding_set(noise=0.3)
    path = tmp_path / "t.parquet"
    exports.explorer(path, one, neighbours=4)
    found = pq.read_table(path).to_pandas()
    assert found["item"].tolist() == one.items.tolist()
    peer = NearestNeighbors(n_neighbors=4, metric="cosine").fit(one.unit)
    distances, ids = peer.kneighbors()
    assert np.array_equal(np.stack([row["ids"] for row in found["neighbors"]]), ids)
    np.testing.assert_allclose(
        np.stack([row["distances"] for row in found["neighbors"]]), distances, atol=1e-6
    )
    assert found["neighbor_items"][0].tolist() == one.items[ids[0]].tolist()
    same = (one.labels[ids] == one.labels[:, None]).sum(axis=1)
    assert found["neighbors_of_same_identity"].tolist() == same.tolist()
    # Planted people lie apart, so an image's nearest point on the map shows the same person.
    placed = found[["projection_x", "projection_y"]].to_numpy()
    nearest = NearestNeighbors(n_neighbors=1).fit(placed).kneighbors(return_distance=False)[:, 0]
    assert (one.labels[nearest] == one.labels).mean() > 0.9
    again = embeddings.read(path)
    assert again.items.tolist() == one.items.tolist()
    np.testing.assert_array_equal(again.vectors, one.vectors)


def test_of_many_images_neighbours_are_not_exact_and_the_file_says_of_how_many(tmp_path, monkeypatch, capsys):
    def missing_the_third(unit, k, *, seed):
        near, distances = neighbours.nearest(unit, k + 1)
        return np.delete(near, 2, axis=1), np.delete(distances, 2, axis=1), 0.876

    monkeypatch.setattr(neighbours, "descended", missing_the_third)
    monkeypatch.setattr(exports, "EXACT", 500)
    monkeypatch.setattr(parquet, "BATCH", 256)
    one = embedding_set(people=200, images=4, noise=0.3)
    embeddings.write(tmp_path / "a.parquet", one, {})
    out = tmp_path / "t.parquet"
    assert cli.main(["export", str(tmp_path / "a.parquet"), "--out", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said.endswith("not exact: 87.6% of those of 500 images were found")
    assert embeddings.metadata(out)["neighbors"] == said
    found = pq.read_table(out).to_pandas()
    assert found["item"].tolist() == one.items.tolist()
    exact, distances = neighbours.nearest(one.unit, exports.NEIGHBOURS + 1)
    assert np.stack([row["ids"] for row in found["neighbors"]]).tolist() == np.delete(exact, 2, 1).tolist()
    written = np.stack([row["distances"] for row in found["neighbors"]])
    np.testing.assert_allclose(written, np.delete(distances, 2, 1), atol=1e-6)
    first = found["neighbors"][700]["ids"]
    assert found["neighbor_items"][700].tolist() == one.items[first].tolist()
    assert found["neighbors_of_same_identity"][700] == (one.labels[first] == one.labels[700]).sum() == 2


def test_a_map_of_few_images_or_a_column_of_its_name_is_refused_in_a_line(tmp_path):
    with pytest.raises(UserError, match="4 images: a map takes at least 5"):
        exports.explorer(tmp_path / "t.parquet", named(list("abcd"), list("aabb")))
    vectors = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    clash = EmbeddingSet.from_rows(
        "m", "p", vectors, list("abcdefgh"), list("aabbccdd"), {"neighbors": np.arange(8)}
    )
    with pytest.raises(UserError, match="column 'neighbors' of its own"):
        exports.explorer(tmp_path / "t.parquet", clash)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def plugin():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorboard.plugins.projector.projector_plugin")


def test_tensorboard_serves_the_vectors_and_names_of_the_folder(tmp_path, plugin):
    from tensorboard.plugins.base_plugin import TBContext
    from werkzeug.test import Client

    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    one = EmbeddingSet.from_rows(
        "m", 'p"}', vectors, ["x", ODD, "ü"], ["a", "a", "b"], {"light": ["1", "2", "3"]}
    )
    exports.projector(tmp_path / "log", one)
    exports.projector(tmp_path / "log", one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        served = plugin.ProjectorPlugin(
            TBContext(logdir=str(tmp_path / "log"), multiplexer=None)
        ).get_plugin_apps()
        (run,) = Client(served["/runs"]).get("/runs").json
        config = Client(served["/info"]).get(f"/info?run={run}").json
        (entry,) = config["embeddings"]
        assert (entry["tensorName"], entry["tensorShape"]) == (one.title, [3, 4])
        ask = {"run": run, "name": one.title}
        raw = Client(served["/tensor"]).get("/tensor", query_string=ask).data
        text = Client(served["/metadata"]).get("/metadata", query_string=ask).data.decode()
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4").reshape(3, 4), one.vectors)
    head, *rows = (line.split("\t") for line in text.splitlines())
    assert head == ["item", "identity", "norm", "light"]
    assert [row[0] for row in rows] == ["x", "a b <i>", "ü"]
    assert [row[3] for row in rows] == ["1", "2", "3"]


def bob_four(path):
    """As `bob.bio.base.score.load` 8.1 iterates lines of four columns, and splits them."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file, delimiter=" "))
    assert {len(row) for row in rows} == {4}
    found = {True: [], False: []}
    for claimed, real, _, score in rows:
        found[claimed == real].append(float(score))
    return found


def bob_csv(path):
    """As its `split_csv_scores` does, with pandas in the place of dask."""
    rows = pd.read_csv(path, dtype=dict.fromkeys(exports.BOB[:4], str))
    same = rows.probe_subject_id == rows.bio_ref_subject_id
    return {True: rows[same].score.tolist(), False: rows[~same].score.tolist()}


@pytest.mark.parametrize(("name", "reader"), [("s.txt", bob_four), ("s.csv", bob_csv)])
def test_scores_of_all_pairs_are_the_cosines(tmp_path, monkeypatch, name, reader):
    monkeypatch.setattr(exports, "STEP", 100)
    one = embedding_set(noise=0.3)
    n = len(one.items)
    assert exports.scores(tmp_path / name, one) == n * (n - 1) // 2
    a, b = np.triu_indices(n, 1)
    cosines = (one.unit.astype(float) @ one.unit.T.astype(float))[a, b]
    same = one.labels[a] == one.labels[b]
    found = reader(tmp_path / name)
    for truth in (True, False):
        np.testing.assert_allclose(sorted(found[truth]), sorted(cosines[same == truth]), atol=1e-6)


def test_listed_pairs_keep_their_order_and_their_sides(tmp_path):
    one = named(["x", "y", "z"], ["ann, b", "ann, b", 'e"ve'])
    pairs = PairList(("z", "x"), ("y", "y"), np.array([False, True]))
    assert exports.scores(tmp_path / "s.csv", one, pairs) == 2
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = [
        (r["bio_ref_template_id"], r["bio_ref_subject_id"], r["probe_template_id"], r["probe_subject_id"])
        for r in rows
    ]
    assert told == [("z", 'e"ve', "y", "ann, b"), ("x", "ann, b", "y", "ann, b")]
    assert float(rows[0]["score"]) == pytest.approx(float(one.unit[2] @ one.unit[1]), abs=1e-6)


def test_what_cannot_be_written_is_told_in_a_line_and_leaves_nothing(tmp_path, monkeypatch):
    one = named(["x", "y", "z z"], ["a", "a", "b"])
    for path, pairs, said in (
        ("s.txt", None, "'z z' would be no column of its own"),
        ("s.csv", PairList(("x",), ("w",), np.array([True])), "names 1 pair that .* does not hold"),
        ("s.csv", PairList(("x",), ("y",), np.array([False])), "do not agree whether 'x' and 'y'"),
    ):
        with pytest.raises(UserError, match=said):
            exports.scores(tmp_path / path, one, pairs)
    monkeypatch.setattr(exports, "MOST_SCORES", 2)
    with pytest.raises(UserError, match="all 3 pairs of 3 images are too many"):
        exports.scores(tmp_path / "s.csv", one)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_each_by_its_ending(tmp_path, capsys):
    one = embedding_set()
    file = tmp_path / "m.parquet"
    embeddings.write(file, one, {})
    pairs = tmp_path / "pairs.csv"
    protocols.write(
        pairs, PairList((str(one.items[0]),), (str(one.items[1]),), one.labels[:1] == one.labels[1:2])
    )
    for words, there in (
        (["t.parquet"], "t.parquet"),
        (["s.txt"], "s.txt"),
        (["s.csv", "--pairs", str(pairs)], "s.csv"),
        (["log"], "log/projector_config.pbtxt"),
    ):
        assert cli.main(["export", str(file), "--out", str(tmp_path / words[0]), *words[1:]]) == 0
        assert (tmp_path / there).is_file()
    assert "(1 pairs)" not in capsys.readouterr().out
    for words, said in (
        (["x.json"], "no ending that is known"),
        (["x", "--pairs", str(pairs)], "holds none"),
        (["taken"], "holds no projector"),
    ):
        (tmp_path / "taken").mkdir(exist_ok=True)
        assert cli.main(["export", str(file), "--out", str(tmp_path / words[0]), *words[1:]]) == 2
        assert said in capsys.readouterr().err


@pytest.fixture
def shown(tmp_path):
    """A set with attributes, and a folder of its images."""
    items = [f"p{k // 3}/{k}.png" for k in range(12)]
    for k, item in enumerate(items):
        path = tmp_path / "faces" / item
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((30, 30, 3), 20 * k, np.uint8)).save(path)
    one = EmbeddingSet.of(
        np.random.default_rng(0).normal(size=(12, 5)),
        [item.split("/")[0] for item in items],
        items,
        model="m",
        probe="faces",
        attributes={
            "age": range(12),
            "bright": [True, False] * 6,
            "light": [0.5] * 12,
            "cam": list("ab") * 6,
        },
    )
    embeddings.write(tmp_path / "a.parquet", one, {})
    return one, ["export", str(tmp_path / "a.parquet"), "--data", str(tmp_path / "faces"), "--to", "fiftyone"]


def test_a_folder_for_fiftyone_holds_images_vectors_and_a_schema_of_every_field(shown, tmp_path):
    """As `fiftyone.Dataset.from_dir` read it in 1.22, which brought its version up to date by itself."""
    one, words = shown
    out = tmp_path / "fo"
    assert cli.main([*words, "--out", str(out)]) == 0
    head = json.loads((out / "metadata.json").read_text())
    samples = json.loads((out / "samples.json").read_text())["samples"]
    assert [sample["item"] for sample in samples] == one.items.tolist()
    kinds = {field["name"]: field["ftype"].rpartition(".")[2] for field in head["sample_fields"]}
    assert kinds["embedding"] == "VectorField"
    assert [kinds[name] for name in one.attributes] == [
        "IntField",
        "BooleanField",
        "FloatField",
        "StringField",
    ]
    for k, sample in enumerate(samples):
        with Image.open(out / sample["filepath"]) as image:
            assert np.abs(np.asarray(image).astype(int) - 20 * k).max() <= 3
        packed = zlib.decompress(base64.b64decode(sample["embedding"]["$binary"]["base64"]))
        np.testing.assert_array_equal(np.load(io.BytesIO(packed)), one.vectors[k])
        assert sample["identity"]["label"] == one.identities[one.labels[k]]
        assert {name for name in sample if name[0] != "_"} < set(kinds)
        assert (sample["age"], sample["bright"]) == (k, k % 2 == 0)
    assert len({sample["_id"]["$oid"] for sample in samples}) == 12
    assert cli.main([*words, "--out", str(out)]) == 0, "its own folder is replaced"


def test_fiftyone_s_mistakes_are_one_line(shown, tmp_path, capsys):
    one, words = shown
    out = ["--out", str(tmp_path / "fo")]

    def said(*given):
        assert cli.main(list(given)) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "FiftyOne takes a folder and shows images" in said(*words, "--out", str(tmp_path / "a.csv"))
    assert "FiftyOne takes a folder" in said(words[0], words[1], "--to", "fiftyone", *out)
    assert "--data names the images for FiftyOne" in said(*words[:4], *out)
    (tmp_path / "faces" / one.items[3]).unlink()
    assert "has no image of 1 item, the first 'p1/3.png'" in said(*words, *out)
    clash = EmbeddingSet.of(one.vectors, [0] * 12, model="m", attributes={"filepath": range(12)})
    with pytest.raises(UserError, match="a column 'filepath', which is no name for FiftyOne"):
        exports.fiftyone(tmp_path / "fo", clash, lambda item: b"")
    (tmp_path / "fo").mkdir()
    (tmp_path / "fo" / "mine.txt").write_text("")
    assert "holds no samples of FiftyOne" in said(*words, *out)
