"""RecordIO as dmlc's C++ writes it: every expectation is built here from struct alone."""

import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from embedlab import progress
from embedlab.data import recordio
from embedlab.errors import UserError

MAGIC = bytes.fromhex("0a23d7ce")


def frame(kind, part):
    return MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + bytes(-len(part) % 4)


def header(label, number, *labels):
    return struct.pack("<IfQQ", len(labels), label, number, 0) + struct.pack(f"<{len(labels)}f", *labels)


def put(tmp_path, frames, index=None):
    (tmp_path / "a.rec").write_bytes(b"".join(frames))
    if index is not None:
        (tmp_path / "a.idx").write_text(index)
    return tmp_path / "a.rec"


def held(path):
    records = recordio.open_records(path)
    return {int(key): records.read(i) for i, key in enumerate(records.keys)}


# Writing


@pytest.mark.parametrize(
    ("record", "frames"),
    [
        (b"", [(0, b"")]),
        (b"abcde", [(0, b"abcde")]),
        (MAGIC, [(1, b""), (3, b"")]),
        (b"abcd" + MAGIC + b"ef", [(1, b"abcd"), (3, b"ef")]),
        (b"abcd" + MAGIC + MAGIC + b"efgh" + MAGIC, [(1, b"abcd"), (2, b""), (2, b"efgh"), (3, b"")]),
        (b"abc" + MAGIC + b"d", [(0, b"abc" + MAGIC + b"d")]),
        (b"a" + MAGIC[:3] + MAGIC[:2] + b"xy" + MAGIC, [(1, b"a" + MAGIC[:3] + MAGIC[:2] + b"xy"), (3, b"")]),
    ],
    ids=["nothing", "padded", "magic alone", "magic inside", "magic in a row", "unaligned", "nearly"],
)
def test_a_record_is_split_where_it_holds_the_magic_number(tmp_path, record, frames):
    assert recordio.framed(record) == b"".join(frame(*one) for one in frames)
    recordio.write(tmp_path / "a.rec", [(7, record), (3, b"after")])
    assert held(tmp_path / "a.rec") == {7: record, 3: b"after"}


def test_random_records_full_of_magic_come_back(tmp_path):
    rng = np.random.default_rng(0)
    pieces = [MAGIC, MAGIC[:2], b"\x00", b"abcd", MAGIC + MAGIC[:1]]
    given = {
        k: b"".join(pieces[p] for p in rng.integers(0, len(pieces), rng.integers(0, 30))) for k in range(200)
    }
    assert recordio.write(tmp_path / "a.rec", given.items()) == 200
    assert held(tmp_path / "a.rec") == given
    (tmp_path / "a.idx").unlink()
    assert len(recordio.scan(tmp_path / "a.rec")) == 200


def test_the_index_has_keys_and_bytes(tmp_path):
    recordio.write(tmp_path / "a.rec", [(0, b"abcde"), (12, b"x"), (5, b"")])
    assert (tmp_path / "a.idx").read_text() == "0\t0\n12\t16\n5\t28\n"


def test_a_record_too_long_is_refused_and_nothing_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(recordio, "LONGEST", 4)
    with pytest.raises(UserError, match="record 9 has 5 bytes, and RecordIO takes 4 at most"):
        recordio.write(tmp_path / "a.rec", [(9, b"12345")])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_nothing_stays(tmp_path):
    def records():
        yield 1, b"a"
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write .*a.rec: No space left on device: make room"):
        recordio.write(tmp_path / "a.rec", records())
    assert not list(tmp_path.iterdir())


# Headers


def test_one_label_stands_in_the_header_and_several_behind_it():
    assert recordio.pack(4, 17, b"jpeg") == header(4, 17) + b"jpeg"
    assert recordio.pack([4.5, 1], 17, b"jpeg") == header(0, 17, 4.5, 1) + b"jpeg"
    for label in (4, [4.5, 1]):
        labels, number, payload = recordio.unpack(recordio.pack(label, 17, b"jpeg"))
        np.testing.assert_array_equal(labels, np.atleast_1d(label))
        assert (number, payload, labels.dtype) == (17, b"jpeg", np.float32)


@pytest.mark.parametrize("record", [b"", header(1, 2)[:-1], struct.pack("<IfQQ", 3, 0, 0, 0) + bytes(8)])
def test_a_record_without_its_header_is_told(record):
    with pytest.raises(UserError, match=r"the record is too short \(\d+ bytes\) to hold a label"):
        recordio.unpack(record)


def test_the_headers_of_all_records_are_those_of_each(tmp_path, monkeypatch):
    monkeypatch.setattr(recordio, "_GATHERED", 3)
    magic = struct.unpack("<f", MAGIC)[0]
    given = [
        (1, recordio.pack(3, 11, b"image")),
        (2, recordio.pack([5, 1], 12, b"image")),
        (3, recordio.pack(6, 13)),
        (4, recordio.pack([7, 8, 9], 14)),
        (5, recordio.pack(2, 15, b"abcd" + MAGIC + b"ef")),
        # The magic number within the header splits it.
        (6, recordio.pack(8, struct.unpack("<I", MAGIC)[0], b"image")),
        (7, recordio.pack([magic, 2], 17, b"image")),
        (8, recordio.pack([4], 18, b"image")),
        (9, recordio.pack(0, 19, b"")),
    ]
    recordio.write(tmp_path / "a.rec", given)
    found = recordio.open_records(tmp_path / "a.rec").headers()
    each = [recordio.unpack(record) for _, record in given]
    np.testing.assert_array_equal(found.labels, [labels[0] for labels, _, _ in each])
    np.testing.assert_array_equal(found.ids, [number for _, number, _ in each])
    np.testing.assert_array_equal(found.empty, [not payload for _, _, payload in each])


# Reading in any order


def test_many_threads_read_the_same(tmp_path):
    given = {k: bytes([k]) * (k + 1) + MAGIC * (k % 3) for k in range(200)}
    recordio.write(tmp_path / "a.rec", given.items())
    records = recordio.open_records(tmp_path / "a.rec")
    order = np.random.default_rng(0).integers(0, 200, 2000).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(records.read, order)) == [given[k] for k in order]


# Without an index


def walked(path, capsys):
    with progress.shown():
        records = recordio.open_records(path)
    return records, capsys.readouterr().err


def test_without_an_index_keys_are_the_records_own_numbers(tmp_path, capsys):
    recordio.write(tmp_path / "a.rec", [(k, recordio.pack(k, k, b"x")) for k in (1, 2, 0, 3)])
    (tmp_path / "a.idx").unlink()
    records, told = walked(tmp_path / "a.rec", capsys)
    assert records.keys.tolist() == [1, 2, 0, 3]
    assert recordio.unpack(records.read(2))[1] == 0
    assert "a.idx is missing: the 4 records of a.rec were found by walking through it" in told
    assert "the numbers they give themselves" in told


def test_numbers_that_are_no_names_give_way_to_places(tmp_path, capsys):
    recordio.write(tmp_path / "a.rec", [(k, recordio.pack(k, 0, b"x")) for k in (1, 2)])
    (tmp_path / "a.idx").unlink()
    records, told = walked(tmp_path / "a.rec", capsys)
    assert records.keys.tolist() == [0, 1]
    assert "their places in the file" in told


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "holds no records: it is empty"),
        ([b"version https://git-lfs.github.com/spec/v1\n"], "a.rec is no .rec file, but a Git LFS pointer"),
        ([frame(0, header(1, 1)), b"garbage!"], r"damaged at byte 32 \(no record begins there\)"),
        ([frame(0, header(1, 1)), MAGIC], r"damaged at byte 32 \(the file ends in the middle of a record"),
        ([frame(0, header(1, 1))[:-8]], r"byte 0 \(a record of 24 bytes reaches beyond the file's 24"),
        ([frame(3, header(1, 1))], r"byte 0 \(a record's parts are out of order"),
        ([frame(1, b"abcd"), frame(0, b"")], r"byte 12 \(a record's parts are out of order"),
        ([frame(4, b"abcd")], r"byte 0 \(a record's parts are out of order"),
        ([frame(1, b"abcd")], r"byte 12 \(the last record has no end"),
        ([frame(0, b"abcd")], "record 0 .byte 0. is too short .4 bytes. to hold a label"),
    ],
)
def test_a_damaged_file_is_named_with_its_byte(tmp_path, frames, message):
    with pytest.raises(UserError, match=message):
        recordio.open_records(put(tmp_path, frames))


# With one


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", r"a.idx lists no records"),
        ("0 0\n", "a.idx, line 1: '0 0' is no key and byte"),
        ("0\t0\n1\t-5\n", "line 2: '1.t-5' is no key and byte"),
        ("0\t0\n\n1\t2\t3\n", "line 3: .* is no key and byte"),
        ("0\t0\n1\n", "line 2: '1' is no key and byte"),
        ("0\t0\n1\t" + "9" * 19 + "\n", "line 2: .* is no key and byte"),
        ("0\t0\n7\t0\n0\t0\n", "names record 0 in its rows 1 and 3"),
        ("0\t0\n1\t28\n", "record 1: it begins at byte 28, and .*a.rec has 32 bytes: the .rec is cut short"),
        ("0\t1\t\n", "line 1: .* is no key and byte"),
    ],
)
def test_a_wrong_index_is_named_with_its_line(tmp_path, index, message):
    with pytest.raises(UserError, match=message):
        recordio.open_records(put(tmp_path, [frame(0, header(1, 1))], index))


def test_an_index_of_another_file_is_found_out_by_its_bytes(tmp_path):
    path = put(tmp_path, [frame(0, header(1, 1)), frame(0, header(1, 2))], "0\t0\n1\t16\n")
    records = recordio.open_records(path)
    with pytest.raises(UserError, match=r"damaged at byte 16 \(no record begins there\)"):
        records.headers()
    with pytest.raises(UserError, match=r"damaged at byte 16 \(no record begins there\)"):
        records.read(1)
    assert records.read(0) == header(1, 1)


def test_a_file_cut_after_it_was_opened_is_told(tmp_path):
    path = put(tmp_path, [frame(0, header(1, 1) + bytes(100))], "0\t0\n")
    records = recordio.open_records(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r"byte 0 \(the file was cut short while it was read"):
        records.read(0)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"byte 0 \(the file ends in the middle of a record"):
        records.read(0)


def test_line_ends_of_windows_are_no_matter(tmp_path):
    path = put(tmp_path, [frame(0, header(1, 1))] * 2, "4\t0\r\n2\t32\r\n")
    assert recordio.open_records(path).keys.tolist() == [4, 2]
    given = tmp_path / "other.idx"
    given.write_text("9\t32\n")
    assert recordio.open_records(path, given).keys.tolist() == [9]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone.rec: No such file"):
        recordio.open_records(tmp_path / "gone.rec")
    with pytest.raises(UserError, match=r"cannot read .*gone.idx: No such file"):
        recordio.open_records(tmp_path / "gone.rec", tmp_path / "gone.idx")
    (tmp_path / "folder.rec").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*folder.rec: Is a directory"):
        recordio.open_records(tmp_path / "folder.rec")
