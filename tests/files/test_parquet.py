"""Parquet and numpy's files are judged by their heads; folders of parts are one file."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedlab.errors import UserError
from embedlab.files import headroom, parquet
from embedlab.formats import conversion
from embedlab.formats.interchange import import_embeddings, save
from embedlab.lab import embeddings
from embedlab.lab.store import Lab
from tests.heard import heard
from tests.planted import embedding_set

N, D = 2000, 512


def imported(path, **options):
    return import_embeddings(path, model="m", probe="p", **options)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(headroom, "free", lambda: 2 << 20)


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


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.float16()])
@pytest.mark.parametrize("group", [1000, 1 << 20])
def test_vectors_are_read_some_rows_at_a_time_whatever_the_groups(tmp_path, monkeypatch, kind, group):
    monkeypatch.setattr(parquet, "BATCH", 300)
    vectors = np.random.default_rng(0).normal(size=(N, 8)).astype(np.float16)
    flat = pa.array(vectors.reshape(-1)).cast(pa.float32()).cast(kind)
    lists = pa.FixedSizeListArray.from_arrays(flat, 8)
    folder = tmp_path / "parts.parquet"
    folder.mkdir()
    for k in range(2):
        columns = {"item": [f"i{k}-{j}" for j in range(N)], "identity": ["p"] * N, "embedding": lists}
        pq.write_table(pa.table(columns), folder / f"{k}.parquet", row_group_size=group)
    np.testing.assert_array_equal(imported(folder).vectors, np.tile(vectors.astype(np.float32), (2, 1)))


def test_reading_takes_the_vectors_once_and_little_beside_them(tmp_path):
    n, d = 200_000, 64
    numbers = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), d)
    columns = {"item": [f"i{k}" for k in range(n)], "identity": [f"p{k // 9}" for k in range(n)]}
    parquet.write(tmp_path / "a.parquet", [pa.table({**columns, "embedding": flat})], {})
    del flat
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        found = parquet.vectors(tmp_path / "a.parquet", "embedding", n)
    finally:
        pa.set_memory_pool(before)
    np.testing.assert_array_equal(found, numbers)
    # Of the vectors' bytes Arrow holds those of one batch, a few times over.
    assert pool.max_memory() < 0.9 * numbers.nbytes * 4 * parquet.BATCH / n


@pytest.mark.parametrize("row", [0, 450, 700, 2 * N - 1])
def test_the_row_of_a_vector_that_is_none_is_named_in_whichever_part_it_stands(tmp_path, monkeypatch, row):
    monkeypatch.setattr(parquet, "BATCH", 300)
    folder = tmp_path / "parts.parquet"
    folder.mkdir()
    for k in range(2):
        lists = [[1.0, 2.0] if k * N + j != row else None for j in range(N)]
        columns = {"item": [f"i{k}-{j}" for j in range(N)], "identity": ["p"] * N, "embedding": lists}
        pq.write_table(pa.table(columns), folder / f"{k}.parquet")
    with pytest.raises(UserError, match=rf"row {row} has no vector"):
        imported(folder)


def test_vectors_of_two_lengths_in_two_batches_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BATCH", 300)
    lists = [[1.0, 2.0]] * 600 + [[1.0, 2.0, 3.0]] * 300
    columns = {"item": [f"i{j}" for j in range(900)], "identity": ["p"] * 900, "embedding": lists}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="row 600 has 3 numbers where row 0 has 2"):
        imported(tmp_path / "a.parquet")


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
    monkeypatch.setattr(headroom, "free", lambda: 4 * N * D)
    assert imported(path).vectors.shape == (N, D)
    monkeypatch.setattr(headroom, "free", lambda: 4 * N * D - 1)
    with pytest.raises(UserError, match="is not read"):
        imported(path)


@pytest.mark.parametrize("column", ["identity", "note"])
def test_a_long_text_in_every_row_is_refused_before_it_is_unpacked(tmp_path, little_memory, column):
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10, np.int32)), pa.array(["x" * 500_000]))
    whole = pa.table({"item": list("abcdefghij"), "identity": ["p"] * 10, "embedding": [[1.0]] * 10})
    whole = whole.drop_columns([column]) if column in whole.column_names else whole
    pq.write_table(whole.append_column(column, long), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet is not read: it unpacks to"):
        imported(tmp_path / "a.parquet")


@pytest.mark.parametrize("column", ["item", "identity", "note"])
@pytest.mark.parametrize("kind", [pa.string(), pa.string_view(), pa.binary()])
def test_one_long_text_is_room_in_every_row(tmp_path, little_memory, column, kind):
    n = 1000
    texts = [f"i{k}" for k in range(n - 1)] + ["x" * 1000]
    whole = {"item": pa.array([f"i{k}" for k in range(n)]), "identity": ["p"] * n, "embedding": [[1.0]] * n}
    pq.write_table(pa.table({**whole, column: pa.array(texts, kind)}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 30_000
    with pytest.raises(UserError, match=r"a\.parquet is not read: it unpacks to"):
        imported(tmp_path / "a.parquet")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.parquet")
    for read in (imported, embeddings.read, embeddings.metadata, conversion.read_vectors):
        with pytest.raises(UserError, match=r"cannot read .*a\.parquet as Parquet: it is no regular file"):
            read(tmp_path / "a.parquet")


def test_columns_without_a_use_are_not_unpacked(tmp_path, little_memory):
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(10 * 200_000)), 200_000)
    whole = pa.table(
        {"item": list("abcdefghij"), "identity": ["p"] * 10, "embedding": [[1.0]] * 10, "box": boxes}
    )
    pq.write_table(whole, tmp_path / "a.parquet")
    with heard() as lines:
        assert len(imported(tmp_path / "a.parquet").items) == 10
    assert "columns left out: box (fixed_size_list" in lines[0]


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


def test_the_parts_of_a_folder_are_all_judged_before_they_are_mapped(tmp_path, parts):
    whole, folder = parts
    found = conversion.fit(whole, embedding_set(12, images=4, dimension=6, noise=0.6, model="new"), folds=3)
    conversion.save(found, tmp_path / "m.safetensors")
    last = folder / "part-2.snappy.parquet"
    with pytest.raises(UserError, match="or have it as a part: give another name with --out"):
        conversion.apply(found, folder, folder / "new.parquet", map_file=tmp_path / "m.safetensors")
    told = {parquet.METADATA_KEY: b'{"model": "another"}'}
    pq.write_table(pq.read_table(last).replace_schema_metadata(told), last)
    with pytest.raises(UserError, match=f"{last.name} holds vectors of another, and the map is for"):
        conversion.apply(found, folder, tmp_path / "new.parquet", map_file=tmp_path / "m.safetensors")


def test_a_folder_of_parts_is_given_to_a_report_as_a_model(tmp_path, parts):
    from embedlab.commands import words
    from embedlab.commands.request import Request

    _, folder = parts
    request = Request(lab=Lab(tmp_path / "lab"))
    found = words.recognised(str(folder), request.lab)
    assert isinstance(found, words.VectorsFile)
    assert found.opened(request) is None
    with pytest.raises(UserError, match="does not exist"):
        words.recognised(str(tmp_path / "none.parquet"), request.lab).opened(request)


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
