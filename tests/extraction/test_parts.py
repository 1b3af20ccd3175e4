import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from embedlab.data.datasets import open_dataset
from embedlab.extraction import parts as extraction_parts
from embedlab.extraction.parts import Part, Parts, merge, usable
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet

HEAD = {"model": "m", "probe": "faces", "note": 7}


@pytest.fixture
def faces(tmp_path):
    for person in "ba":
        (tmp_path / "faces" / person).mkdir(parents=True)
        for k in range(5):
            Image.new("RGB", (8, 8)).save(tmp_path / "faces" / person / f"{k}.png")
    return open_dataset(tmp_path / "faces")


def filled(folder, skipped=()):
    parts = Parts(folder / "parts", {"a": 1}, range(0, 10, 3))
    parts.open(fresh=False)
    vectors = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    for start in parts.starts:
        rows = [row for row in range(start, min(start + 3, 10)) if row not in skipped]
        bad = tuple((row, "broken") for row in range(start, min(start + 3, 10)) if row in skipped)
        parts.write(start, Part(vectors[rows], np.array(rows, np.int64), bad, 0.5))
    return parts, vectors


@pytest.mark.parametrize("skipped", [(), (0, 4), (3, 4, 5), (0, 1, 2, 3, 4, 5, 9)])
@pytest.mark.parametrize("group", [1, 2, 64])
def test_merged_parts_are_the_file_that_a_whole_set_is_written_as(
    tmp_path, faces, skipped, group, monkeypatch
):
    monkeypatch.setattr(extraction_parts, "GROUP", group)
    parts, vectors = filled(tmp_path, skipped)
    good = [row for row in range(10) if row not in skipped]
    assert merge(parts, tmp_path / "merged.parquet", faces, HEAD) == len(good)
    whole = EmbeddingSet.from_rows(
        model="m",
        probe="faces",
        vectors=vectors[good],
        items=[faces.items[row] for row in good],
        people=[faces.identities[faces.labels[row]] for row in good],
    )
    embeddings.write(tmp_path / "whole.parquet", whole, {"note": 7})
    merged, expected = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("merged", "whole"))
    assert merged.schema.equals(expected.schema)
    assert merged.equals(expected)
    assert embeddings.metadata(tmp_path / "merged.parquet") == HEAD
    assert embeddings.read(tmp_path / "merged.parquet").fingerprint == whole.fingerprint


def test_parts_remember_what_was_skipped_and_what_they_took(tmp_path):
    parts, _ = filled(tmp_path, (0, 4))
    assert [parts.skipped(start) for start in parts.starts] == [((0, "broken"),), ((4, "broken"),), (), ()]
    assert parts.seconds() == 2.0


@pytest.mark.parametrize("how", ["empty", "cut", "flipped"])
def test_a_damaged_part_is_made_again(tmp_path, how):
    parts, _ = filled(tmp_path)
    path = parts.folder / "000000003.npz"
    data = path.read_bytes()
    at = data.index(b"\x93NUMPY") + 130
    flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    path.write_bytes({"empty": b"", "cut": data[:-40], "flipped": flipped}[how])
    assert [parts.has(start) for start in parts.starts] == [True, False, True, True]


def test_parts_are_kept_for_the_same_set_only(tmp_path):
    parts, _ = filled(tmp_path)
    again = Parts(parts.folder, {"a": 1}, parts.starts)
    again.open(fresh=False)
    assert again.has(0)
    other = Parts(parts.folder, {"a": 2}, parts.starts)
    other.open(fresh=False)
    assert not other.has(0)
    parts.open(fresh=False)
    parts.write(0, Part(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), (), 0))
    parts.open(fresh=True)
    assert not parts.has(0)


def test_vectors_without_a_direction_are_skipped_with_the_reason():
    vectors = np.array([[1, 2], [0, 0], [np.inf, 0], [3, 4]])
    part = usable(vectors, [5, 6, 8, 9], [(7, "broken")], 1.0)
    assert part.rows.tolist() == [5, 9]
    assert part.vectors.tolist() == [[1, 2], [3, 4]]
    assert part.vectors.dtype == np.float32
    assert part.skipped == (
        (6, "the network's vector is zero"),
        (7, "broken"),
        (8, "the network's vector is not finite"),
    )
