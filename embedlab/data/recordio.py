"""MXNet's RecordIO, read and written without MXNet: what InsightFace's ``train.rec`` is made of.

A file is a run of frames: the magic number, a word whose upper three bits say how the frame goes on and
whose lower 29 are the length of what follows, and the bytes themselves, filled up to four. Where the
bytes of a record hold the magic number at a multiple of four, the writer leaves it out and begins a new
frame, so that a reader may find its way from any place; it is put back on reading [1]_. The record of an
image begins with a header of 24 bytes (how many labels follow, a label, two numbers) [2]_. Beside the
file lies an ``.idx`` with a line a record: its key, a tab, and the byte that it begins at.

References
----------
.. [1] dmlc-core, ``include/dmlc/recordio.h`` and ``src/recordio.cc``.
.. [2] Apache MXNet, ``python/mxnet/recordio.py``: ``IRHeader``, ``pack``, ``MXIndexedRecordIO``.
"""

import os
import struct
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from embedlab.errors import UserError
from embedlab.files import signatures
from embedlab.lab.store import atomic_file, locked
from embedlab.progress import say, track

MAGIC = 0xCED7230A
LONGEST = (1 << 29) - 1
WHOLE, FIRST, MIDDLE, LAST = range(4)

_MAGIC = struct.pack("<I", MAGIC)
_FRAME = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_GATHERED = 1 << 16
_SEEN = _FRAME.size + _HEADER.size + 8


@dataclass(frozen=True)
class Headers:
    """The headers of many records.

    Attributes
    ----------
    labels
        The first label of each; float32 of shape (n,).
    ids
        The number that each gives itself; uint64 of shape (n,).
    empty
        Whether nothing follows the labels, so that it is no image; bool of shape (n,).
    """

    labels: Float[np.ndarray, " n"]
    ids: UInt[np.ndarray, " n"]
    empty: Bool[np.ndarray, " n"]


class Records:
    """The records of one file, read in any order and by many threads.

    Attributes
    ----------
    path
        The ``.rec`` file.
    keys
        The key of each record, in the index's order; int64 of shape (n,).
    offsets
        The byte each begins at; int64 of shape (n,).
    size
        The file's length in bytes.
    """

    def __init__(self, path: Path, keys: Int[np.ndarray, " n"], offsets: Int[np.ndarray, " n"]) -> None:
        self.path, self.keys, self.offsets = path, keys, offsets
        self._file = _opened(path)
        weakref.finalize(self, os.close, self._file)
        self.size = os.fstat(self._file).st_size

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, i: int) -> bytes:
        """Read the record at place ``i`` of the index, whole, however many frames it lies in.

        Raises
        ------
        UserError
            If the file is damaged there; the message names the byte.
        """
        offset, parts, before = int(self.offsets[i]), [], -1
        while True:
            kind, length = self._frame(offset, before)
            parts.append(os.pread(self._file, length, offset + _FRAME.size))
            if len(parts[-1]) < length:
                _broken(self.path, offset, "the file was cut short while it was read")
            if kind in (WHOLE, LAST):
                return _MAGIC.join(parts)
            offset, before = offset + _FRAME.size + _padded(length), kind

    def _frame(self, offset: int, before: int) -> tuple[int, int]:
        head = os.pread(self._file, _FRAME.size, offset)
        if len(head) < _FRAME.size:
            _broken(self.path, offset, "the file ends in the middle of a record")
        return _checked(self.path, offset, head, self.size, before)

    def headers(self) -> Headers:
        """Read every record's header, and check that a whole frame begins at every byte of the index.

        Raises
        ------
        UserError
            If the file is damaged, or the index belongs to another; the message names the byte.
        """
        n = len(self)
        found = Headers(np.zeros(n, np.float32), np.zeros(n, np.uint64), np.zeros(n, bool))
        # A million calls of pread take seconds; the pages that are needed are the same.
        data = np.memmap(self.path, np.uint8, "r")
        starts = range(0, n, _GATHERED)
        for start in track(starts, f"reading the labels of {self.path.name}"):
            self._gather(data, slice(start, min(n, start + _GATHERED)), found)
        return found

    def _gather(self, data: np.ndarray, part: slice, found: Headers) -> None:
        offsets = self.offsets[part]
        at = offsets[:, None] + np.arange(_SEEN)
        seen = np.ascontiguousarray(data[np.minimum(at, len(data) - 1)])
        words = seen.view("<u4")
        kind, length = words[:, 1] >> 29, (words[:, 1] & LONGEST).astype(np.int64)
        count = words[:, 2].astype(np.int64)
        labels = np.where(count > 0, seen.view("<f4")[:, 8], seen.view("<f4")[:, 3])
        needed = _HEADER.size + 4 * count
        good = (words[:, 0] == MAGIC) & (offsets + _FRAME.size + length <= self.size)
        plain = good & (kind == WHOLE) & (length >= needed)
        found.labels[part] = labels
        found.ids[part] = seen[:, 16:24].copy().view("<u8")[:, 0]
        found.empty[part] = plain & (length == needed)
        # Damaged ones, and those whose first frame may end within the header, are read whole.
        for k in np.flatnonzero(~(plain | (good & (kind == FIRST) & (length >= needed)))):
            row = part.start + int(k)
            values, number, payload = unpack(self.read(row), self.where(row))
            found.labels[row], found.ids[row], found.empty[row] = values[0], number, not payload

    def where(self, i: int) -> str:
        """Name the file, the key and the byte of a record, for messages."""
        return f"{self.path}, record {self.keys[i]} (byte {self.offsets[i]:,})"


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}: give the path of a .rec") from None


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4


def _broken(path: Path, offset: int, what: str) -> NoReturn:
    raise UserError(f"{path} is damaged at byte {offset:,} ({what}): fetch it again, or give its own .idx")


def _checked(path: Path, offset: int, head: bytes, size: int, before: int) -> tuple[int, int]:
    """Judge a frame's head by the frame before it; -1 where a record begins."""
    magic, word = _FRAME.unpack(head)
    kind, length = word >> 29, word & LONGEST
    if magic != MAGIC:
        if offset == 0 and (other := signatures.mistaken(path, ".rec file")) is not None:
            raise other
        _broken(path, offset, "no record begins there")
    if kind not in ((WHOLE, FIRST) if before == -1 else (MIDDLE, LAST)):
        _broken(path, offset, "a record's parts are out of order")
    if offset + _FRAME.size + length > size:
        _broken(path, offset, f"a record of {length:,} bytes reaches beyond the file's {size:,}")
    return kind, length


def open_records(path: Path | str, index: Path | str | None = None) -> Records:
    """Open a ``.rec`` file with its index.

    Where there is no ``.idx`` the file is walked through once, which is said; keys are then the numbers
    that the records give themselves, if no two are the same (InsightFace writes them so), else their
    places in the file.

    Parameters
    ----------
    path
        The ``.rec`` file.
    index
        Its ``.idx``; by default the file of the same name beside it.

    Raises
    ------
    UserError
        If either is damaged or cannot be read, or they are not of one another; the message names the
        byte of the ``.rec``, or the line of the ``.idx``.
    """
    path = Path(path)
    beside = path.with_suffix(".idx") if index is None else Path(index)
    if index is not None or beside.exists():
        keys, offsets = read_index(beside)
        records = Records(path, keys, offsets)
        # Nothing shorter than a frame's head begins a record.
        if len(out := np.flatnonzero((offsets < 0) | (offsets > records.size - _FRAME.size))):
            raise UserError(
                f"{beside}, record {keys[out[0]]}: it begins at byte {offsets[out[0]]:,}, and {path} has "
                f"{records.size:,} bytes: the .rec is cut short, or the .idx is that of another file"
            )
        return records
    offsets = np.frombuffer(scan(path), np.int64)
    records = Records(path, np.arange(len(offsets)), offsets)
    ids = records.headers().ids
    own = len(np.unique(ids)) == len(ids) and bool((ids < 1 << 62).all())
    if own:
        records.keys = ids.astype(np.int64)
    say(
        f"{beside} is missing: the {len(offsets):,} records of {path.name} were found by walking through it; "
        f"their keys are {'the numbers they give themselves' if own else 'their places in the file'}"
    )
    return records


def scan(path: Path) -> "array[int]":
    """Walk through a ``.rec`` file and give the byte that each record begins at.

    Raises
    ------
    UserError
        If the file is damaged or holds no record; the message names the byte.
    """
    offsets = array("q", track(_walked(path), f"walking through {path.name}"))
    if not offsets:
        raise UserError(f"{path} holds no records: it is empty")
    return offsets


def _walked(path: Path) -> Iterator[int]:
    file = _opened(path)
    try:
        size, offset, before = os.fstat(file).st_size, 0, -1
        while offset < size:
            head = os.pread(file, _FRAME.size, offset)
            if len(head) < _FRAME.size:
                _broken(path, offset, "the file ends in the middle of a record")
            kind, length = _checked(path, offset, head, size, before)
            if before == -1:
                yield offset
            before = -1 if kind in (WHOLE, LAST) else kind
            offset += _FRAME.size + _padded(length)
        if before != -1:
            _broken(path, size, "the last record has no end")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}: give the path of a .rec") from None
    finally:
        os.close(file)


def read_index(path: Path | str) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Read an ``.idx``: keys and the bytes that their records begin at, in the file's order.

    Returns
    -------
    Keys and offsets; int64 of shape (n,) each.

    Raises
    ------
    UserError
        If the file cannot be read, a line is no key and byte, or two lines have one key.
    """
    path = Path(path)
    signatures.check_regular(path, "an .idx")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}: give the path of an .idx") from None
    numbers = _numbers(text)
    if numbers is None:
        raise _wrong_line(path, text)
    if not len(numbers):
        raise UserError(f"{path} lists no records: remove it, and the .rec is walked through instead")
    keys, offsets = np.ascontiguousarray(numbers[:, 0]), np.ascontiguousarray(numbers[:, 1])
    order = np.argsort(keys, kind="stable")
    if len(twice := np.flatnonzero(np.diff(keys[order]) == 0)):
        first, second = order[twice[0]] + 1, order[twice[0] + 1] + 1
        raise UserError(
            f"{path} names record {keys[first - 1]} in its rows {first:,} and {second:,}: remove the file, "
            "and the .rec is walked through instead"
        )
    return keys, offsets


def _numbers(text: bytes) -> np.ndarray | None:
    """Give the two columns of an index; None where it has others."""
    if not text.strip():
        return np.zeros((0, 2), np.int64)
    # Digits, tabs and line ends only, so that pyarrow and MXNet mean the same numbers.
    if text.translate(None, b"0123456789\t\r\n"):
        return None
    import pyarrow as pa
    from pyarrow import csv

    try:
        table = csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(column_names=["key", "offset"], use_threads=False),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types={"key": pa.int64(), "offset": pa.int64()}, null_values=[]
            ),
        )
    except pa.ArrowException:
        return None
    return np.stack([table[name].to_numpy() for name in ("key", "offset")], axis=1)


def _wrong_line(path: Path, text: bytes) -> UserError:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(b"\t")
        if line.strip() and (len(words) != 2 or not all(w.isdigit() and len(w) < 19 for w in words)):
            shown = line[:60].decode("ascii", "replace")
            return UserError(
                f"{path}, line {number}: {shown!r} is no key and byte with a tab between them: remove the "
                "file, and the .rec is walked through instead"
            )
    return UserError(
        f"{path} is no list of keys and bytes: remove it, and the .rec is walked through instead"
    )


def pack(label: float | Sequence[float], number: int, payload: bytes = b"") -> bytes:
    """Make the record of an image: its header, further labels, and the encoded image.

    Parameters
    ----------
    label
        One label, or several; kept as float32.
    number
        The number that the record gives itself: its key, as a rule.
    payload
        The encoded image; nothing for a record that only holds labels.
    """
    labels = np.asarray(label, dtype="<f4")
    if labels.ndim == 0:
        return _HEADER.pack(0, float(labels), number, 0) + payload
    return _HEADER.pack(labels.size, 0, number, 0) + labels.tobytes() + payload


def unpack(record: bytes, where: str = "the record") -> tuple[Float[np.ndarray, " k"], int, bytes]:
    """Take the record of an image apart.

    Returns
    -------
    Its labels, at least one (float32 of shape (k,)), its number, and the encoded image.

    Raises
    ------
    UserError
        If it is shorter than its header says.
    """
    if len(record) >= _HEADER.size:
        count, label, number, _ = _HEADER.unpack_from(record)
        end = _HEADER.size + 4 * count
        if len(record) >= end:
            several = np.frombuffer(record, "<f4", count, _HEADER.size)
            return several if count else np.array([label], np.float32), int(number), record[end:]
    raise UserError(
        f"{where} is too short ({len(record)} bytes) to hold a label and an image: it is no file of images, "
        "or damaged; fetch it again"
    )


def write(path: Path | str, records: Iterable[tuple[int, bytes]]) -> int:
    """Write records to ``path`` and their index to the ``.idx`` beside it, both at the end or not at all.

    Parameters
    ----------
    path
        The ``.rec`` file.
    records
        Key and bytes of each.

    Returns
    -------
    How many there were.

    Raises
    ------
    UserError
        If a record has more than 2²⁹ − 1 bytes, or the files cannot be written.
    """
    path = Path(path)
    offset = count = 0
    with (
        locked(path, f"writing {path}"),
        atomic_file(path.with_suffix(".idx")) as index,
        atomic_file(path) as temporary,
        temporary.open("wb") as file,
        index.open("w", encoding="ascii", newline="\n") as lines,
    ):
        for key, record in records:
            if len(record) > LONGEST:
                raise UserError(
                    f"record {key} has {len(record):,} bytes, and RecordIO takes {LONGEST:,} at most: shrink "
                    "the image"
                )
            lines.write(f"{key}\t{offset}\n")
            offset += file.write(framed(record))
            count += 1
    return count


def framed(record: bytes) -> bytes:
    """Give the frames of a record, split where it holds the magic number at a multiple of four."""
    cuts = []
    at = record.find(_MAGIC)
    while at != -1:
        if at % 4 == 0 and at + 4 <= len(record):
            cuts.append(at)
            at = record.find(_MAGIC, at + 4)
        else:
            at = record.find(_MAGIC, at + 1)
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(record)]
    frames = []
    for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
        kind = WHOLE if not cuts else FIRST if k == 0 else LAST if k == len(cuts) else MIDDLE
        part = record[start:end]
        frames += [_FRAME.pack(MAGIC, kind << 29 | len(part)), part, bytes(_padded(len(part)) - len(part))]
    return b"".join(frames)
