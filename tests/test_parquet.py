"""Parquet and numpy's files are judged by their heads; folders of parts are one file."""

import io
import struct
import zipfile
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedlab import conversion, embeddings, footers, memory, parquet
from embedlab.errors import UserError
from embedlab.interchange import import_embeddings, save
from embedlab.store import Lab
from tests.heard import heard
from tests.planted import embedding_set

N, D = 2000, 512


def imported(path, **options):
    return import_embeddings(path, model="m", probe="p", **options)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 2 << 20)


def table(n=N, **columns):
    flat = pa.array(np.ones(n * D, np.float32))
    names = [f"i{k}" for k in range(n)]
    return pa.table(
        {
            "item": names,
            "identity": ["p"] * n,
            "embedding": pa.FixedSizeListArray.from_arrays(flat, D),
            **columns,
        }
    )


# Sizes


def test_a_small_file_of_many_numbers_is_refused_before_it_is_unpacked(tmp_path, little_memory):
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    assert path.stat().st_size < 50_000
    before = pa.total_allocated_bytes()
    for read in (imported, embeddings.read):
        with pytest.raises(
            UserError, match=r"a\.parquet is not read: it unpacks to 0\.0 GB, .* are free: give"
        ):
            read(path)
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_the_size_that_is_told_is_the_size_it_takes(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    monkeypatch.setattr(memory, "free", lambda: 3 * 4 * N * D)
    assert imported(path).vectors.shape == (N, D)
    monkeypatch.setattr(memory, "free", lambda: 4 * N * D)
    with pytest.raises(UserError, match="is not read"):
        imported(path)


def test_a_footer_says_what_pyarrow_says(tmp_path):
    kinds = {
        "flag": [True],
        "day": pa.array([1], pa.int32()),
        "map": pa.array([[("a", 1)]], pa.map_("string", "int8")),
    }
    kinds |= {"a.b": [1.0], "code": pa.array([b"1234"], pa.binary(4)), "deep": [{"x": [[1.0, 2.0], [3.0]]}]}
    pq.write_table(pa.concat_tables([pa.table(kinds)] * 40), tmp_path / "a.parquet", row_group_size=7)
    file = pq.read_metadata(tmp_path / "a.parquet")
    groups = [file.row_group(k) for k in range(file.num_row_groups)]
    chunks = [group.column(k) for group in groups for k in range(file.num_columns)]
    found = footers.stated(tmp_path / "a.parquet")
    assert [(".".join(one.path), one.values, one.bytes) for one in found] == [
        (one.path_in_schema, one.num_values, one.total_uncompressed_size) for one in chunks
    ]
    names = ["BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"]
    assert [names[one.kind] for one in found] == [one.physical_type for one in chunks]


def test_a_footer_with_any_bit_turned_is_read_or_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"item": ["a", "b"], "embedding": [[1.0], [2.0]]}), path)
    whole = path.read_bytes()
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    read = 0
    for at in range(start, len(whole)):
        for bit in (0, 3, 7):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            with suppress(ValueError):
                footers.stated(path)
                read += 1
    assert 100 < read < 3 * (len(whole) - start)


@pytest.mark.parametrize("column", ["identity", "note"])
def test_a_long_text_in_every_row_is_refused_before_it_is_unpacked(tmp_path, little_memory, column):
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10, np.int32)), pa.array(["x" * 500_000]))
    whole = pa.table({"item": list("abcdefghij"), "identity": ["p"] * 10, "embedding": [[1.0]] * 10})
    whole = whole.drop_columns([column]) if column in whole.column_names else whole
    pq.write_table(whole.append_column(column, long), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet is not read: it unpacks to"):
        imported(tmp_path / "a.parquet")


def test_columns_without_a_use_are_not_unpacked(tmp_path, little_memory):
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(10 * 200_000)), 200_000)
    whole = pa.table(
        {"item": list("abcdefghij"), "identity": ["p"] * 10, "embedding": [[1.0]] * 10, "box": boxes}
    )
    pq.write_table(whole, tmp_path / "a.parquet")
    with heard() as lines:
        assert len(imported(tmp_path / "a.parquet").items) == 10
    assert "columns left out: box (fixed_size_list" in lines[0]


def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def test_an_array_without_a_use_is_not_unpacked(tmp_path, little_memory):
    vectors = np.ones((2, 3), np.float32)
    path = npz(
        tmp_path / "a.npz",
        vectors=vectors,
        items=["a", "b"],
        labels=[0, 1],
        bomb=np.zeros(4 << 20),
        box=np.zeros((2, 2 << 20)),
    )
    assert path.stat().st_size < 100_000
    assert imported(path).vectors.shape == (2, 3)


def test_an_array_that_would_fill_the_memory_is_refused(tmp_path, little_memory):
    path = npz(tmp_path / "a.npz", vectors=np.ones((1000, 2000), np.float32), items=["a"], labels=[0])
    with pytest.raises(UserError, match=r"a\.npz is not read: it unpacks to"):
        imported(path)
    np.save(tmp_path / "a.npy", np.ones((1000, 2000), np.float32))
    with pytest.raises(UserError, match=r"a\.npy is not read: it unpacks to"):
        imported(tmp_path / "a.npy", items=tmp_path / "items.csv")


def head_of(shape, code="<f4"):
    text = f"{{'descr': '{code}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (63 - (len(text) + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize(
    "shape", [(1 << 40, 512), (3, 1 << 50), (5, 2), (1 << 62, 1 << 62), (-1, 2), (-4, -4)]
)
def test_a_head_that_declares_more_than_is_there_is_refused(tmp_path, suffix, shape):
    data = head_of(shape) + b"\0" * 32
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("vectors.npy", data)
    with pytest.raises(UserError, match=r"cannot read .*a\.np.* in 32 bytes"):
        imported(path, items=tmp_path / "items.csv")


def test_arrays_of_nothing_are_told(tmp_path):
    for shape, code in (((1 << 50, 0), "<f4"), ((0, 3), "<f4")):
        (tmp_path / "a.npy").write_bytes(head_of(shape, code))
        (tmp_path / "i.csv").write_text("item,identity\n")
        with pytest.raises(UserError, match="holds no vectors|is not read|vectors, but .* names 0 items"):
            imported(tmp_path / "a.npy", items=tmp_path / "i.csv")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        file = io.BytesIO()
        np.save(file, np.ones((2, 2)))
        archive.writestr("vectors.npy", file.getvalue())
        archive.writestr("items.npy", head_of((1 << 50,), "|S0"))
        archive.writestr("labels.npy", head_of((1 << 50,), "|S0"))
    with pytest.raises(UserError, match="'items' has shape"):
        imported(tmp_path / "a.npz")


def test_free_memory_is_what_the_system_says():
    assert 1 << 20 < memory.free() < 1 << 50


def test_a_footer_nested_without_end_is_refused(tmp_path):
    for nested in (b"\x1c" * 5000, b"\x19" + b"\x19" * 5000):
        (tmp_path / "a.parquet").write_bytes(b"PAR1" + nested + struct.pack("<I", len(nested)) + b"PAR1")
        with pytest.raises(ValueError, match="nested too deeply"):
            footers.stated(tmp_path / "a.parquet")


# Parts


@pytest.fixture
def parts(tmp_path):
    """A set, as one file and as a folder of parts."""
    whole = embedding_set(12, images=4, dimension=6, model="old")
    embeddings.write(tmp_path / "whole.parquet", whole, {"seed": 3})
    rows = pq.read_table(tmp_path / "whole.parquet")
    folder = tmp_path / "parts.parquet"
    folder.mkdir()
    for k in range(3):
        pq.write_table(rows.slice(16 * k, 16), folder / f"part-{k}.snappy.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.crc").touch()
    return whole, folder


def test_a_folder_of_parts_is_one_set(tmp_path, parts):
    whole, folder = parts
    assert embeddings.read(folder).fingerprint == whole.fingerprint
    found = imported(folder)
    assert found.items.tolist() == whole.items.tolist()
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    head = embeddings.metadata(save(Lab(tmp_path / "lab"), found, folder))
    assert head["imported_from"]["name"] == "parts.parquet"
    assert len(head["imported_from"]["sha256"]) == 64
    assert conversion.read_vectors(folder).fingerprint == whole.fingerprint


def test_a_folder_of_parts_is_mapped_as_one_file_is(tmp_path, parts):
    whole, folder = parts
    made = conversion.fit(whole, embedding_set(12, images=4, dimension=6, noise=0.6, model="new"), folds=3)
    conversion.save(made, tmp_path / "m.safetensors")
    counts = [
        conversion.apply(made, source, tmp_path / f"{k}.parquet", map_file=tmp_path / "m.safetensors")
        for k, source in enumerate((folder, tmp_path / "whole.parquet"))
    ]
    assert counts == [48, 48]
    one, other = (embeddings.read(tmp_path / f"{k}.parquet") for k in range(2))
    assert one.fingerprint == other.fingerprint


def test_a_folder_of_parts_is_given_to_a_report_as_a_model(tmp_path, parts):
    from embedlab.preparation import _network
    from embedlab.request import Request

    _, folder = parts
    assert _network(Request(lab=Lab(tmp_path / "lab")), str(folder)) is None
    with pytest.raises(UserError, match="does not exist"):
        _network(Request(lab=Lab(tmp_path / "lab")), str(tmp_path / "none.parquet"))


def test_parts_that_are_not_alike_are_named(parts):
    _, folder = parts
    rows = pq.read_table(folder / "part-1.snappy.parquet")
    pq.write_table(rows.append_column("age", pa.array(range(16))), folder / "part-1.snappy.parquet")
    with pytest.raises(UserError, match=r"part-1.* has other columns .*age\) than part-0"):
        embeddings.read(folder)
    pq.write_table(rows.set_column(0, "item", pa.array([[1.0]] * 16)), folder / "part-1.snappy.parquet")
    with pytest.raises(UserError, match="parts of .* hold different types"):
        embeddings.read(folder)
    (folder / "part-1.snappy.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"cannot read .*part-1.* as Parquet"):
        embeddings.read(folder)


def test_numbers_of_parts_may_differ_in_width(parts):
    _, folder = parts
    for k, kind in enumerate((pa.int32(), pa.float64(), pa.int64())):
        rows = pq.read_table(folder / f"part-{k}.snappy.parquet")
        pq.write_table(
            rows.append_column("age", pa.array([k] * 16, kind)), folder / f"part-{k}.snappy.parquet"
        )
    assert embeddings.read(folder).attributes["age"].tolist() == [0.0] * 16 + [1.0] * 16 + [2.0] * 16


def test_a_folder_that_is_no_set_of_parts_is_told(tmp_path):
    folder = tmp_path / "a.parquet"
    (folder / "identity=ann").mkdir(parents=True)
    with pytest.raises(UserError, match="a folder with folders in it, such as 'identity=ann'"):
        imported(folder)
    (folder / "identity=ann").rmdir()
    with pytest.raises(UserError, match="a folder without Parquet files"):
        imported(folder)
    assert parquet.parts(tmp_path / "one.parquet") == [tmp_path / "one.parquet"]
