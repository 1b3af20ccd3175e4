"""InsightFace's ``train.rec``: millions of face images in one file, read and written."""

import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from embedlab.data import recordio
from embedlab.data.datasets import Dataset, UnreadableImage, read_image
from embedlab.data.degradations import Cropped, prepare
from embedlab.data.encoding import Encode, encoder
from embedlab.errors import UserError
from embedlab.lab.store import atomic_file, locked, made_name
from embedlab.progress import say, track

KEY_DIGITS = 8
LABEL_DIGITS = 6
EXACT = 1 << 24
"""float32 holds no whole number beyond this exactly."""
BLOCK = 16 << 20
AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class RecDataset(Dataset):
    """Images that lie in a ``.rec`` file; ``path`` leads nowhere.

    Attributes
    ----------
    records
        The file's records.
    rows
        The record of each item; int64 of shape (n,).
    shape
        Height and width that the ``property`` file beside it announces, or None.
    """

    records: recordio.Records = field(kw_only=True, repr=False)
    rows: Int[np.ndarray, " n"] = field(kw_only=True, repr=False)
    shape: tuple[int, int] | None = None

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Read and decode item ``i``; from many threads at once if wished.

        Raises
        ------
        UnreadableImage
            As ``read_image`` does, or if the file is damaged there.
        """
        row = int(self.rows[i])
        try:
            _, _, encoded = recordio.unpack(self.records.read(row), self.records.where(row))
        except UserError as error:
            raise UnreadableImage(str(error)) from None
        return read_image(io.BytesIO(encoded))

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of the whole file as it lies there, and of which record is which item of whom.

        The file is read once from end to end, which a disk does far faster than it opens images.
        """
        digest = hashlib.sha256()
        blocks = range(0, self.records.size, BLOCK)
        with self.records.path.open("rb", buffering=0) as file:
            for _ in track(blocks, f"hashing {self.name}"):
                digest.update(file.read(BLOCK))
        for numbers in (self.records.keys[self.rows], self.records.offsets[self.rows], self.labels):
            digest.update(np.ascontiguousarray(numbers, dtype="<i8").tobytes())
        digest.update("\0".join(self.identities).encode())
        return digest.hexdigest()


def open_rec(path: Path | str) -> RecDataset:
    """List the images of InsightFace's ``.rec`` file; none is decoded before it is asked for.

    An item is called by its record's key, with zeros before it (``00000017``), and a person by the label
    (``000004``). Record 0 says which keys are images, if it holds that range (written so by
    ``face2rec2.py``, read so by ``MXFaceDataset``), and else every record is one; records of no image, as
    of the people's ranges, are passed over. In memory an item takes some 100 bytes, most of them its name.

    Parameters
    ----------
    path
        The ``.rec`` file, its ``.idx``, or the folder of ``train.rec`` (or of one other ``.rec``).

    Raises
    ------
    UserError
        If there is no such file, it is damaged, a label is no number of a person, or all images are of
        one person; the message names the record.
    """
    path = _rec(Path(path))
    records = recordio.open_records(path)
    headers = records.headers()
    rows = _images(records, headers)
    numbers = _numbers(records, headers, rows)
    people, labels = np.unique(numbers, return_inverse=True)
    if len(people) < 2:
        raise UserError(f"{path} holds images of one person only: at least two people are needed to compare")
    # All of InsightFace's are called train.
    name = path.resolve().parent.name if path.stem == "train" else path.stem
    digits = max(KEY_DIGITS, len(str(records.keys[rows].max())))
    names = max(LABEL_DIGITS, len(str(people[-1])))
    return RecDataset(
        name=made_name(name.replace("@", " "), "data"),
        root=path,
        items=tuple(f"{key:0{digits}d}" for key in records.keys[rows].tolist()),
        labels=labels.astype(np.int64),
        identities=tuple(f"{person:0{names}d}" for person in people.tolist()),
        records=records,
        rows=rows,
        shape=_property(path.with_name("property"), len(people)),
    )


def _rec(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.rec"))
        if path / "train.rec" in found or len(found) == 1:
            return path / "train.rec" if len(found) > 1 else found[0]
        raise UserError(
            f"{path} holds {len(found) or 'no'} .rec files, and none is called train.rec: give the "
            "path of one"
        )
    if path.suffix.lower() == ".idx":
        path = path.with_suffix(".rec")
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of a .rec file, or of its folder")
    return path


def _images(records: recordio.Records, headers: recordio.Headers) -> Int[np.ndarray, " n"]:
    """Find the records that are images, in the order of their keys."""
    order = np.argsort(records.keys, kind="stable")
    keys, full = records.keys[order], ~headers.empty[order]
    wanted = full
    if keys[0] == 0 and not full[0]:
        labels, _, _ = recordio.unpack(records.read(int(order[0])))
        end = float(labels[0])
        # Beyond what float32 holds the range is rounded, and the records themselves know better.
        if not end >= EXACT:
            wanted = _announced(records, keys, full, end)
    elif not full.all():
        say(f"  {records.path.name}: {(~full).sum():,} records hold no image and were passed over")
    if not wanted.any():
        raise UserError(f"{records.path} holds no images, only records of numbers: fetch it again")
    found: np.ndarray = order[wanted]
    return found


def _announced(
    records: recordio.Records, keys: Int[np.ndarray, " n"], full: np.ndarray, end: float
) -> np.ndarray:
    if not (end >= 2 and end == int(end)):
        raise UserError(
            f"{records.path}, record 0: it says that images end before record {end:g}, which is no place "
            "for an end: the file is damaged, or none of InsightFace's; fetch it again"
        )
    inside = (keys >= 1) & (keys < end)
    if (missing := int(end) - 1 - int(inside.sum())) > 0:
        first = next(k for k, key in enumerate([*keys[inside].tolist(), -1], 1) if k != key)
        raise UserError(
            f"{records.path}: record 0 announces images 1 to {int(end) - 1:,}, and {missing:,} of them are "
            f"not in the index, first {first}: remove the .idx, and the .rec is walked through instead"
        )
    if empty := int((inside & ~full).sum()):
        say(f"  {records.path.name}: {empty:,} of its {int(inside.sum()):,} images are empty; passed over")
    if beyond := int((~inside & full).sum()):
        say(f"  {records.path.name}: {beyond:,} images beyond the range that record 0 announces; passed over")
    wanted: np.ndarray = inside & full
    return wanted


def _numbers(
    records: recordio.Records, headers: recordio.Headers, rows: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    labels = headers.labels[rows]
    with np.errstate(invalid="ignore"):
        wrong = ~((labels >= 0) & (labels <= EXACT) & (labels == np.floor(labels)))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise UserError(
            f"{records.where(int(rows[first]))}: its label is {labels[first]:g} ({wrong.sum():,} such), and "
            "a person's number is whole and not negative: take these records out, or write the file again"
        )
    numbers: np.ndarray = labels.astype(np.int64)
    return numbers


def _property(path: Path, people: int) -> tuple[int, int] | None:
    """Read ``classes,height,width``; it says nothing that is needed, so that a wrong one is only told."""
    try:
        # Nobody may ever write to a pipe.
        words = path.read_bytes()[:200].split(b",") if path.is_file() else []
        classes, height, width = (int(word) if word.strip().isdigit() else -1 for word in words)
    except (OSError, ValueError):
        classes = height = width = -1
    if min(classes, height, width) < 1:
        if path.exists():
            say(f"  {path} is not `classes,height,width` and was passed over")
        return None
    if classes != people:
        say(f"  {path} announces {classes:,} people; the records show {people:,}")
    return height, width


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes
    ----------
    path
        The file.
    images, people
        How many it holds.
    left_out
        Images that could not be read, each with ``item`` and ``reason``.
    """

    path: Path
    images: int
    people: int
    left_out: tuple[dict[str, str], ...]


def write_rec(
    dataset: Dataset, path: Path | str, *, size: int | None = None, encoding: str = "png", quality: int = 95
) -> Written:
    """Write a data set as InsightFace trains from it: ``.rec``, ``.idx``, ``.lst`` and ``property``.

    The layout is that of ``face2rec2.py``: images from key 1 on, person by person; record 0 with their
    range; and a record for each person's range. The ``.lst`` keeps what each key was called.

    Parameters
    ----------
    dataset
        The images.
    path
        The ``.rec`` file, or a folder for ``train.rec``, as ``MXFaceDataset`` looks for it.
    size
        Side in pixels that every image is brought to; by default they stay as they are, and must be of
        one size, because InsightFace makes batches of them as they are.
    encoding
        ``png``, which loses nothing, or ``jpg``.
    quality
        Of JPEG, without halving the colours' resolution.

    Raises
    ------
    UserError
        If images differ in size, fewer than two people can be read, there are more records than
        InsightFace's reader can count, or the files cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".rec":
        path = path / "train.rec"
    encode = encoder(encoding, quality)
    # Record 0 holds the count as float32.
    if (most := len(dataset) + len(dataset.identities) + 1) > EXACT:
        raise UserError(
            f"{most:,} records are more than the {EXACT:,} that record 0 of a .rec can count: write it "
            "in parts"
        )
    writing = _Writing(dataset, size)
    with locked(path, f"writing {path}"):
        recordio.write(path, writing.records(encode))
        assert writing.shape is not None
        height, width = writing.shape
        for name, text in (
            (path.with_suffix(".lst"), "".join(writing.listed)),
            (path.with_name("property"), f"{len(writing.ranges)},{height},{width}\n"),
        ):
            with atomic_file(name) as temporary:
                temporary.write_text(text, encoding="utf-8")
    writing.cropped.told(dataset.name, "only their central square was written")
    if writing.left_out:
        first = writing.left_out[0]
        say(
            f"  {len(writing.left_out):,} unreadable images of {dataset.name} were left out, first "
            f"{first['item']}: {first['reason']}"
        )
    return Written(path, len(writing.listed), len(writing.ranges), tuple(writing.left_out))


class _Writing:
    """Turns a data set into records, and keeps what is only known at the end."""

    def __init__(self, dataset: Dataset, size: int | None) -> None:
        self.dataset, self.size = dataset, size
        self.shape: tuple[int, ...] | None = None
        self.listed: list[str] = []
        self.ranges: list[tuple[int, int]] = []
        self.left_out: list[dict[str, str]] = []
        self.cropped = Cropped()

    def records(self, encode: Encode) -> Iterator[tuple[int, bytes]]:
        key, before = 1, -1
        for i, encoded in self._encoded(encode):
            person = int(self.dataset.labels[i])
            if person != before:
                # Without the people of whom no image could be read, labels still have no gaps.
                self.ranges.append((key, key))
                before = person
            label = len(self.ranges) - 1
            self.ranges[-1] = (self.ranges[-1][0], key + 1)
            self.listed.append(f"1\t{self.dataset.items[i]}\t{label}\n")
            yield key, recordio.pack(label, key, encoded)
            key += 1
        if len(self.ranges) < 2:
            raise UserError(
                f"{self.dataset.name}: images of {len(self.ranges)} people can be read, and a .rec needs two"
            )
        yield 0, recordio.pack([key, key + len(self.ranges)], 0)
        for number, ends in enumerate(self.ranges, key):
            yield number, recordio.pack(ends, number)

    def _encoded(self, encode: Encode) -> Iterator[tuple[int, bytes]]:
        order = np.argsort(self.dataset.labels, kind="stable")
        blocks = [order[k : k + AT_ONCE].tolist() for k in range(0, len(order), AT_ONCE)]

        def made(i: int) -> tuple[tuple[int, ...], bytes] | UnreadableImage:
            try:
                image = self.dataset.image(i)
            except UnreadableImage as error:
                return error
            if self.size is not None:
                self.cropped.see(image)
                image = prepare(image, None, self.size)
            return image.shape[:2], encode(image)

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for block in track(blocks, f"writing {self.dataset.name}"):
                for i, one in zip(block, pool.map(made, block), strict=True):
                    if isinstance(one, UnreadableImage):
                        self.left_out.append({"item": self.dataset.items[i], "reason": str(one)})
                        continue
                    self._check(i, one[0])
                    yield i, one[1]

    def _check(self, i: int, shape: tuple[int, ...]) -> None:
        self.shape = self.shape or shape
        if shape != self.shape:
            raise UserError(
                f"{self.dataset.items[i]} has {shape[1]} x {shape[0]} pixels and the images before it "
                f"{self.shape[1]} x {self.shape[0]}, and InsightFace makes batches of them as they are: "
                "name the size to bring them to, as 112"
            )
