"""numpy's files are judged by their heads, and only what has a use is unpacked."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.files import columns, headroom
from embedlab.formats.interchange import import_embeddings


def imported(path, **options):
    return import_embeddings(path, model="m", probe="p", **options)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(headroom, "free", lambda: 2 << 20)


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
    np.save(tmp_path / "a.npy", np.ones((1000, 2000), np.float64))
    with pytest.raises(UserError, match=r"a\.npy is not read: it unpacks to"):
        imported(tmp_path / "a.npy", items=tmp_path / "items.csv")


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f2", "<f8", "<i2", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_opened_in_place_holds_what_numpy_reads(tmp_path, kind, order):
    numbers = np.asarray(np.random.default_rng(0).normal(size=(501, 7)) * 9 + 60, dtype=kind, order=order)
    np.save(tmp_path / "a.npy", numbers)
    (tmp_path / "items.csv").write_text("item,identity\n" + "".join(f"i{k},p{k // 3}\n" for k in range(501)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "CELLS", 50)
        found = imported(tmp_path / "a.npy", items=tmp_path / "items.csv")
    np.testing.assert_array_equal(found.vectors, numbers.astype(np.float32))
    np.testing.assert_array_equal(found.norms, np.linalg.norm(numbers.astype(np.float32), axis=1))
    assert found.vectors.dtype == np.float32


@pytest.mark.parametrize(("kind", "copies"), [(np.float32, 0), (np.float64, 1), (np.float16, 1)])
def test_a_file_opened_in_place_is_copied_at_most_once_and_never_as_a_whole_twice(tmp_path, kind, copies):
    n, d = 20_000, 256
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(n, d)).astype(kind))
    (tmp_path / "items.csv").write_text("item,identity\n" + "".join(f"i{k},p{k // 3}\n" for k in range(n)))
    imported(tmp_path / "a.npy", items=tmp_path / "items.csv")  # what is imported and compiled once
    tracemalloc.start()
    try:
        found = imported(tmp_path / "a.npy", items=tmp_path / "items.csv")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    whole = 4 * n * d
    assert len(found.norms) == n
    # Names of 20,000 rows and blocks of rows: half of the vectors' bytes is more than both.
    assert copies * whole <= peak < (copies + 0.9) * whole


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
