"""InsightFace's .bin files are read as both Pythons wrote them, and run nothing."""

import os
import pickle
import struct
from contextlib import suppress

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.formats import insightface_bin as bins

IMAGES = [f"image {k}, é\x00\xff".encode("latin1") * 30 for k in (0, 1, 2, 0, 3, 4)]
SAME = [True, False, True]


def written(tmp_path, data):
    path = tmp_path / "lfw.bin"
    path.write_bytes(data)
    return path


def python2():
    """What Python 2 wrote: bytes as plain strings."""
    parts = [b"\x80\x02]q\x00("]
    parts += [
        b"T" + struct.pack("<i", len(one)) + one + b"q" + bytes([k + 1]) for k, one in enumerate(IMAGES)
    ]
    return b"".join([*parts, b"e]q\x07(", *(b"\x88" if same else b"\x89" for same in SAME), b"e\x86q\x08."])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "held",
    [
        (IMAGES, SAME),
        [IMAGES, tuple(SAME)],
        ([np.frombuffer(one, np.uint8) for one in IMAGES], SAME),
        (IMAGES, np.array(SAME)),
        (IMAGES, list(np.array(SAME))),
        (IMAGES, list(np.array(SAME, np.uint8))),
        (IMAGES, [1, 0, 1]),
    ],
    ids=["lists", "tuple", "arrays of bytes", "array of truth", "numpy's truth", "numpy's bytes", "numbers"],
)
def test_every_writing_of_a_file_says_the_same(tmp_path, protocol, held):
    found = bins.read(written(tmp_path, pickle.dumps(held, protocol)))
    assert [found.images[a] for a in found.a] == IMAGES[::2]
    assert [found.images[b] for b in found.b] == IMAGES[1::2]
    assert found.same == (True, False, True)
    assert all(isinstance(value, bool) for value in found.same)


def test_what_python_2_wrote_is_read(tmp_path):
    found = bins.read(written(tmp_path, python2()))
    assert [found.images[a] for a in found.a] == IMAGES[::2]
    assert found.same == (True, False, True)


def test_a_picture_in_several_pairs_is_one_item(tmp_path):
    found = bins.read(written(tmp_path, pickle.dumps((IMAGES, SAME))))
    assert len(found.images) == 5
    assert found.a[0] == found.b[1]
    assert len(set(found.images)) == 5


class Calls:
    def __init__(self, function, *arguments):
        self.called = (function, arguments)

    def __reduce__(self):
        return self.called


def hostile(marker):
    class Setting:
        def __reduce__(self):
            return np.dtype, ("u1",), {"__class__": 1}

    return {
        "a command": Calls(os.system, f"touch {marker}"),
        "an evaluation": Calls(eval, f"open({str(marker)!r}, 'w')"),
        "a command in the images": ([Calls(os.system, f"touch {marker}")] * 2, [True]),
        "a lookup": ([os.system, b"x"], [True]),
        "a getter": Calls(getattr, "os", "system"),
        "an array of objects": (np.array([Calls(os.system, f"touch {marker}"), b"x"]), [True]),
        "numbers that are no bytes": (IMAGES, np.array([1.0, 0.0, 1.0])),
        "a picture of pixels": ([np.zeros((2, 2, 3), np.uint8)] * 2, [True]),
        "another class": Setting(),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", list(hostile("")))
def test_a_file_that_names_anything_else_is_refused_and_nothing_runs(tmp_path, name, protocol):
    marker = tmp_path / "ran"
    data = pickle.dumps(hostile(marker)[name], protocol)
    with pytest.raises(UserError, match=r"lfw\.bin is no \.bin file of image pairs"):
        bins.read(written(tmp_path, data))
    assert not marker.exists()


def test_old_instructions_that_run_code_are_refused(tmp_path):
    marker = tmp_path / "ran"
    for data in (
        b"(S'touch " + str(marker).encode() + b"'\nios\nsystem\n.",
        b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.",
        b"(cos\nsystem\nS'touch " + str(marker).encode() + b"'\no.",
        b"Pname\n.",
        b"\x82\x01.",
    ):
        with pytest.raises(UserError, match="is no .bin file"):
            bins.read(written(tmp_path, data))
    assert not marker.exists()


def test_a_stand_in_cannot_be_changed_by_a_file(tmp_path):
    # BUILD with a state for slots would set an attribute of whatever stands on the stack.
    data = b"\x80\x02c_codecs\nencode\nN}U\x08__call__K\x01s\x86b."
    with pytest.raises(UserError, match="is no .bin file"):
        bins.read(written(tmp_path, data))
    assert bins.STANDS["_codecs", "encode"]("a", "latin1") == b"a"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04r\xff\xff\xff\xff.", r"place 4294967295 of|no items on stack|empty"),
        (b"\x80\x04]r\xff\xff\xff\xff.", "place 4294967295 of 4 is out of order"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x00.", r"expected \d+ bytes"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00.", r"expected \d+ bytes"),
        (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01b\x87R.",
            "it is no pair",
        ),
    ],
    ids=[
        "place without a value",
        "a far place",
        "a huge array",
        "huge bytes",
        "an empty array that claims much",
    ],
)
def test_sizes_that_a_file_only_claims_take_no_memory(tmp_path, data, message):
    with pytest.raises(UserError, match=message):
        bins.read(written(tmp_path, data))


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ((IMAGES, SAME[:2]), "6 images for 2 pairs"),
        ((IMAGES, SAME, 1), "it is no pair of images and truth values"),
        ((IMAGES, [True, 2, False]), "pair 1 is neither true nor false"),
        ((IMAGES, [True, None, False]), "pair 1 is neither true nor false"),
        (([*IMAGES[:5], b""], SAME), "image 5 is no encoded image"),
        (([*IMAGES[:5], "text"], SAME), "image 5 is no encoded image but str"),
        (([], []), "it holds no pairs"),
        ((7, SAME), "int where a list is needed"),
        ({"a": 1}, "EMPTY_DICT has no place"),
    ],
)
def test_what_is_no_list_of_pairs_is_told(tmp_path, held, message):
    with pytest.raises(UserError, match=message):
        bins.read(written(tmp_path, pickle.dumps(held)))


@pytest.mark.parametrize("whole", [pickle.dumps((IMAGES, SAME)), python2()], ids=["3", "2"])
def test_a_file_cut_short_is_told_wherever_it_was_cut(tmp_path, whole):
    for end in (*range(0, len(whole), 7), *range(len(whole) - 40, len(whole))):
        with pytest.raises(UserError, match="is no .bin file"):
            bins.read(written(tmp_path, whole[:end]))


def test_spoiled_bytes_are_read_or_told_but_never_crash(tmp_path):
    rng = np.random.default_rng(0)
    arrays = pickle.dumps(([np.frombuffer(one, np.uint8) for one in IMAGES], np.array(SAME)), 2)
    for whole in (pickle.dumps((IMAGES, SAME)), arrays):
        for _ in range(400):
            spoiled = bytearray(whole)
            for place in rng.integers(len(whole), size=rng.integers(1, 6)):
                spoiled[place] = rng.integers(256)
            # Whatever is raised but a UserError is a crash.
            with suppress(UserError):
                assert len(bins.read(written(tmp_path, bytes(spoiled))).same) == 3


def test_random_bytes_are_told(tmp_path):
    rng = np.random.default_rng(1)
    for size in rng.integers(0, 200, 500):
        with pytest.raises(UserError, match="is no .bin file"):
            bins.read(written(tmp_path, rng.bytes(size)))


def test_a_missing_or_an_enormous_file_is_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"cannot read .*gone.bin: No such file"):
        bins.read(tmp_path / "gone.bin")
    monkeypatch.setattr(bins, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="that are read into memory at most"):
        bins.read(written(tmp_path, b"x" * 11))


# Writing


def load_bin(path):
    """How InsightFace opens one (``arcface_torch/eval/verification.py``), but for the decoding."""
    try:
        with open(path, "rb") as file:
            images, same = pickle.load(file)  # noqa: S301
    except UnicodeDecodeError:
        with open(path, "rb") as file:
            images, same = pickle.load(file, encoding="bytes")  # noqa: S301
    return [images[k] for k in range(2 * len(same))], same


def test_what_is_written_is_read_by_insightface_and_back(tmp_path):
    bins.write(tmp_path / "a.bin", IMAGES, np.array(SAME))
    assert load_bin(tmp_path / "a.bin") == (IMAGES, SAME)
    with open(tmp_path / "a.bin", "rb") as file:
        assert pickle.load(file, encoding="bytes") == (IMAGES, SAME)  # noqa: S301
    found = bins.read(tmp_path / "a.bin")
    assert [found.images[a] for a in found.a] == IMAGES[::2]
    assert [found.images[b] for b in found.b] == IMAGES[1::2]
    assert found.same == tuple(SAME)


def test_a_picture_of_several_pairs_is_written_once(tmp_path):
    picture = bytes(100_000)
    bins.write(tmp_path / "a.bin", [picture] * 20, [True] * 10)
    assert (tmp_path / "a.bin").stat().st_size < 110_000
    assert len(bins.read(tmp_path / "a.bin").same) == 10


def test_what_cannot_be_written_is_told(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    with pytest.raises(UserError, match=r"there are no pairs to write to .*a.bin"):
        bins.write(path, [], [])
    with pytest.raises(UserError, match="an image of pair 1 is empty"):
        bins.write(path, [b"a", b"b", b"c", b""], [True, False])
    with pytest.raises(ValueError, match="3 images for 1 pairs"):
        bins.write(path, [b"a", b"b", b"c"], [True])
    monkeypatch.setattr(bins, "MOST_BYTES", 3)
    with pytest.raises(UserError, match=r"a.bin would have 0.0 GB, more than"):
        bins.write(path, [b"aa", b"bb"], [True])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_nothing_stays(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bins.pickle, "dump", full)
    with pytest.raises(UserError, match=r"cannot write .*a.bin: No space left on device: make room"):
        bins.write(tmp_path / "a.bin", IMAGES, SAME)
    assert not list(tmp_path.iterdir())
