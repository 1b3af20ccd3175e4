"""Packs: a data set's images in a few files of bytes, read by memory map instead of one by one.

::

    lowres.pack/
        36.npy          uint8 of shape (images, 36, 36, 3), RGB; a file for each size
        144.npy
        items.parquet   item, identity, file, row: an image a row, in the data set's order
        pack.json       name, fingerprints, counts, images left out, …
        .checked.json   files whose contents were compared with the fingerprint, and when

Each image is square, by one of the ways of ``degradations.squared``, at its own size or shrunk to the pack's.
numpy opens the files as they are.
"""

import hashlib
import json
import math
import os
import re
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int, UInt8

from embedlab.data.datasets import MAX_PIXELS, MIN_SIDE, Dataset, UnreadableImage
from embedlab.data.degradations import FITS, Cropped, prepare, squared
from embedlab.errors import UserError, first_line
from embedlab.files.names import clean
from embedlab.lab.store import atomic_folder, checked_name, locked, sweep, write_json
from embedlab.progress import say, track

MAX_SIZES = 8
"""Sizes that a pack keeps: the largest, and the most frequent others."""

TABLE, ABOUT, CHECKED = "items.parquet", "pack.json", ".checked.json"
COLUMNS = ("item", "identity", "file", "row")
SCHEMA = 1

DIGEST = 32
TOGETHER = 32
"""Images a task, so that handing tasks to threads costs little beside reading the images."""
MOST_JSON = 256 << 20
MOST_TABLE = 8 << 30
SETTLED_NS = 2_000_000_000
"""A file that was changed since no longer than this could be changed again without a later date."""

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, eq=False)
class PackedDataset(Dataset):
    """Images of a pack; ``path`` leads nowhere.

    Attributes
    ----------
    blocks
        The files, memory-mapped: uint8 of shape (k, s, s, 3), one of each size, smallest first.
    block, row
        For each item, which block it lies in and at which row; int64 of shape (n,).
    skipped
        Images of the source that could not be read, each with ``item`` and ``reason``.
    source
        Fingerprint of the data set that was packed.
    size
        Side that larger images were shrunk to; 0 if none were.
    fit
        How images were made square, one of ``degradations.FITS``.
    contents
        The fingerprint that the pack says it has.
    stamps
        Size, dates and number of each file when it was opened.
    """

    blocks: tuple[UInt8[np.ndarray, "k s s 3"], ...] = field(default=(), repr=False)
    block: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    row: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    skipped: tuple[dict[str, str], ...] = ()
    source: str = ""
    size: int = 0
    fit: str = "crop"
    contents: str = ""
    stamps: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def image(self, i: int) -> UInt8[np.ndarray, "s s 3"]:
        """Copy item ``i`` out of the memory map."""
        return np.array(self.blocks[self.block[i]][self.row[i]])

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of item names, identities and pixels, taken when they were packed and compared with them.

        All pixels are read where size or dates of a file are not those of the last comparison. The
        fingerprint does not depend on how the images are laid out in files, nor on the encoded files they
        came from: two packs of one fingerprint train and extract alike. It is not that of the source, which
        hashes encoded files.

        Raises
        ------
        UserError
            If the pack was changed since.
        """
        if not _is_checked(self):
            if _fingerprint(_entries(self)) != self.contents:
                raise UserError(
                    f"{self.root} was changed after it was packed, for its images, their names or their "
                    "people are not those of its fingerprint: remove it and pack the images anew"
                )
            _note_checked(self)
        return self.contents


def is_pack(path: Path | str) -> bool:
    """Say whether a path is a pack's folder."""
    return (Path(path) / ABOUT).is_file()


def pack(dataset: Dataset, out: Path | str, *, size: int | None = None, fit: str = "crop") -> PackedDataset:
    """Read every image of a data set once, and write them as a pack.

    Memory stays bounded, whatever the number of images. Images that cannot be read are left out, counted
    and named. Where there are more than ``MAX_SIZES`` sizes, images of the rarer ones are brought to the
    nearest size that is kept, and that is said. The folder appears when it is whole; if the same images
    are packed there already, at the same size, nothing is done.

    Parameters
    ----------
    dataset
        What to pack.
    out
        The folder to make, by custom ``<name>.pack``.
    size
        Side in pixels that larger images are shrunk to; None leaves all at their own size.
    fit
        How images that are not square are made so, see ``degradations.squared``. How many there are is said.

    Raises
    ------
    UserError
        If something else lies at ``out``, no image can be read, ``size`` is no side of a face, or the
        pack cannot be written.
    """
    out = Path(out)
    if size is not None and (size < MIN_SIDE or size**2 > MAX_PIXELS):
        raise UserError(
            f"size {size} cannot be the side of a face: choose from {MIN_SIDE} to {math.isqrt(MAX_PIXELS)} px"
        )
    if fit not in FITS:
        raise UserError(f"images cannot be made square by {fit!r}: choose {', '.join(FITS)}")
    with locked(out, f"packing {out}"):
        if out.exists():
            sweep(out.parent)
            if is_pack(out):
                there = open_pack(out)
                wanted = (dataset.name, dataset.fingerprint, size or 0, fit)
                if (there.name, there.source, there.size, there.fit) == wanted:
                    assert there.fingerprint  # Not if they were changed since.
                    say(f"  {out} holds these images already")
                    return there
            raise UserError(
                f"{out} exists already and does not hold these images: remove it, or choose another place"
            )
        source = dataset.fingerprint
        with atomic_folder(out) as folder:
            _write(dataset, folder, size, fit, source)
    return open_pack(out)


@dataclass
class _Packing:
    """What is known of the images packed so far, in the data set's order."""

    items: "array[int]" = field(default_factory=lambda: array("q"))
    sides: "array[int]" = field(default_factory=lambda: array("q"))
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    digests: bytearray = field(default_factory=bytearray)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def add(self, i: int, square: UInt8[np.ndarray, "s s 3"], row: int, digest: bytes) -> None:
        """Enter image ``i`` of the data set."""
        self.items.append(i)
        self.sides.append(len(square))
        self.rows.append(row)
        self.digests += digest

    def move(self, k: int, square: UInt8[np.ndarray, "s s 3"], row: int) -> None:
        """Enter that the ``k``-th image has become another."""
        self.sides[k], self.rows[k] = len(square), row
        self.digests[k * DIGEST : (k + 1) * DIGEST] = hashlib.sha256(square.data).digest()

    def digest(self, k: int) -> bytes:
        return bytes(self.digests[k * DIGEST : (k + 1) * DIGEST])


def _fitted(image: UInt8[np.ndarray, "h w 3"], fit: str) -> UInt8[np.ndarray, "s s 3"]:
    height, width = image.shape[:2]
    if fit != "crop" and max(height, width) ** 2 > MAX_PIXELS:
        raise UnreadableImage(f"{width} x {height} pixels would be too large once they are square")
    return squared(image, fit)


CROPPED = "only their central square is packed; --fit pad keeps all of it, with bars, --fit stretch without"
MADE = {"crop": CROPPED, "pad": "bars of grey were put beside them", "stretch": "they were stretched"}


def _write(dataset: Dataset, folder: Path, size: int | None, fit: str, source: str) -> None:
    done, files, cropped = _Packing(), _Files(folder), Cropped()

    def read(numbers: range) -> "list[tuple[np.ndarray, bytes] | UnreadableImage]":
        found: list[tuple[np.ndarray, bytes] | UnreadableImage] = []
        for i in numbers:
            try:
                image = dataset.image(i)
                whole = _fitted(image, fit)
            except UnreadableImage as error:
                found.append(error)
                continue
            cropped.see(image)
            square = prepare(whole, None, len(whole) if size is None else min(len(whole), size))
            found.append((square, hashlib.sha256(square.data).digest()))
        return found

    tasks = [range(k, min(k + TOGETHER, len(dataset))) for k in range(0, len(dataset), TOGETHER)]
    threads = min(8, os.cpu_count() or 1)
    with files, ThreadPoolExecutor(threads) as pool:
        images = (one for task in _ahead(pool, read, tasks, 2 * threads) for one in task)
        for i, one in enumerate(track(images, f"packing {dataset.name}", len(dataset))):
            if isinstance(one, UnreadableImage):
                done.skipped.append({"item": dataset.items[i], "reason": str(one)})
                continue
            square, digest = one
            done.add(i, square, files.append(square), digest)
        if not done.items:
            first = f" ({done.skipped[0]['item']}: {done.skipped[0]['reason']})" if done.skipped else ""
            raise UserError(f"none of the {len(dataset):,} images of {dataset.name} can be read{first}")
        if done.skipped:
            first = f"{done.skipped[0]['item']}: {done.skipped[0]['reason']}"
            say(f"  left out {len(done.skipped):,} unreadable images ({first})")
        cropped.told(dataset.name, MADE[fit])
        _merge(done, files)
    _write_table(dataset, done, folder)
    people = dataset.labels[done.items]
    write_json(
        folder / ABOUT,
        {
            "schema": SCHEMA,
            "name": dataset.name,
            "fingerprint": _fingerprint(
                (dataset.items[i], dataset.identities[dataset.labels[i]], side, done.digest(k))
                for k, (i, side) in enumerate(zip(done.items, done.sides, strict=True))
            ),
            "source": source,
            "size": size or 0,
            "fit": fit,
            "images": len(done.items),
            "identities": len(np.unique(people)),
            "files": {f"{side}.npy": count for side, count in sorted(files.counts.items())},
            "skipped": done.skipped,
            "ignored": dataset.ignored,
            "caution": dataset.caution,
        },
    )


def _ahead(pool: ThreadPoolExecutor, work: Callable[[A], B], tasks: Iterable[A], most: int) -> Iterator[B]:
    """Map in threads and in order, at most so many tasks ahead."""
    waiting: deque[Future[B]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()


class _Files:
    """Files of images that grow, one for each side; their headers are made right when they close."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: dict[int, int] = {}
        self._held: dict[int, list[np.ndarray]] = {}
        self._bytes = 0

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.flush()

    def append(self, square: UInt8[np.ndarray, "s s 3"]) -> int:
        """Add an image to the file of its side, and give its row there."""
        side = len(square)
        row = self.counts.get(side, 0)
        self.counts[side] = row + 1
        self._held.setdefault(side, []).append(square)
        self._bytes += square.nbytes
        # Many sizes would be many open files, so each is opened for as much as is worth it.
        if self._bytes >= HELD_BYTES:
            self.flush()
        return row

    def flush(self) -> None:
        """Write what is held, and make the headers say how many images there are."""
        for side, held in self._held.items():
            path = self.folder / f"{side}.npy"
            with path.open("r+b" if path.exists() else "w+b") as file:
                file.write(_header(self.counts[side], side))
                file.seek(0, os.SEEK_END)
                for square in held:
                    file.write(square.data)
        self._held.clear()
        self._bytes = 0

    def take(self, side: int) -> Iterator[np.ndarray]:
        """Give the images of one side, and remove their file."""
        self.flush()
        path = self.folder / f"{side}.npy"
        images = np.load(path, mmap_mode="r")
        yield from map(np.array, images)
        del images, self.counts[side]
        path.unlink()


HELD_BYTES = 64 << 20
"""Images held in memory before they are written."""


def _header(count: int, side: int) -> bytes:
    """Write a header of .npy that is of one length for every count."""
    shape = f"({count}, {side}, {side}, 3)"
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00\x76\x00" + f"{text:<117}\n".encode("latin1")


def _merge(done: _Packing, files: _Files) -> None:
    """Bring the images of rare sizes to the nearest size that is kept."""
    # What is brought to a smaller size loses detail, so the largest is kept, however rare.
    largest = max(files.counts)
    often = sorted(files.counts, key=lambda side: (side != largest, -files.counts[side], -side))
    kept = often[:MAX_SIZES]
    rare = sorted(often[MAX_SIZES:])
    if not rare:
        return
    of_side: dict[int, list[int]] = {side: [] for side in rare}
    for k, side in enumerate(done.sides):
        if side in of_side:
            of_side[side].append(k)
    moved = sum(map(len, of_side.values()))
    for side in track(rare, "bringing rare sizes to the nearest frequent one"):
        nearest = min(kept, key=lambda one: (abs(math.log(one / side)), -one))
        for k, image in zip(of_side[side], files.take(side), strict=True):
            square = prepare(image, None, nearest)
            done.move(k, square, files.append(square))
    say(
        f"  {moved:,} images of {len(rare):,} rare sizes were brought to the nearest of "
        f"{', '.join(map(str, sorted(kept)))} px"
    )


def _fingerprint(entries: Iterable[tuple[str, str, int, bytes]]) -> str:
    """Hash item, person, side and hash of the pixels of each image."""
    digest = hashlib.sha256()
    for item, person, side, pixels in entries:
        digest.update(f"{item}\0{person}\0{side}\0".encode() + pixels)
    return digest.hexdigest()


def _entries(there: PackedDataset) -> Iterator[tuple[str, str, int, bytes]]:
    """Read every image of a pack, and give what its fingerprint is made of."""

    def hashed(numbers: range) -> list[bytes]:
        return [hashlib.sha256(there.blocks[there.block[i]][there.row[i]].data).digest() for i in numbers]

    n = len(there)
    tasks = [range(k, min(k + TOGETHER, n)) for k in range(0, n, TOGETHER)]
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        digests = (one for task in _ahead(pool, hashed, tasks, 2 * threads) for one in task)
        for i, pixels in enumerate(track(digests, f"comparing {there.name} with its fingerprint", n)):
            side = len(there.blocks[there.block[i]][0])
            yield there.items[i], there.identities[there.labels[i]], side, pixels


def _stamps(folder: Path, names: Iterable[str]) -> dict[str, list[int]]:
    """Give what changes with a file; its date of change too, which cannot be set back."""
    found = {}
    for name in names:
        try:
            status = (folder / name).stat()
        except OSError:
            continue  # Opening it will fail, and tell.
        found[name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return found


def _is_checked(there: PackedDataset) -> bool:
    try:
        noted = json.loads((there.root / CHECKED).read_text(encoding="utf-8"))
        return bool(noted == {"fingerprint": there.contents, "files": there.stamps})
    except (OSError, ValueError, RecursionError):
        return False


def _note_checked(there: PackedDataset) -> None:
    last = max(max(stamp[1:3]) for stamp in there.stamps.values())
    if time.time_ns() - last < SETTLED_NS:
        return
    # A folder that cannot be written to is compared each time.
    with suppress(UserError, OSError):
        write_json(there.root / CHECKED, {"fingerprint": there.contents, "files": there.stamps})


def _write_table(dataset: Dataset, done: _Packing, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = pa.array(dataset.labels[done.items], pa.int32())
    sides, which = np.unique(done.sides, return_inverse=True)
    columns = {
        "item": pa.array([dataset.items[i] for i in done.items], pa.string()),
        "identity": pa.DictionaryArray.from_arrays(labels, pa.array(dataset.identities, pa.string())),
        "file": pa.DictionaryArray.from_arrays(
            pa.array(which, pa.int32()), pa.array([f"{side}.npy" for side in sides], pa.string())
        ),
        "row": pa.array(done.rows, pa.int64()),
    }
    pq.write_table(pa.table(columns), folder / TABLE, compression="zstd")


def open_pack(folder: Path | str) -> PackedDataset:
    """Open a pack; images stay on disk until they are asked for.

    Parameters
    ----------
    folder
        The pack's folder.

    Raises
    ------
    UserError
        If it is no pack, or one that is cut short, changed or of another version.
    """
    folder = Path(folder)
    about = _about(folder)
    # Before they are opened, so that a change in between is noticed at the next opening.
    stamps = _stamps(folder, [TABLE, *about["files"]])
    files = dict(sorted(about["files"].items(), key=lambda one: int(Path(one[0]).stem)))
    blocks = [_block(folder / name, count) for name, count in files.items()]
    items, people, labels, block, row = _table(folder / TABLE, list(files), list(files.values()))
    return PackedDataset(
        name=checked_name(about["name"], "data set"),
        root=folder,
        items=items,
        labels=labels,
        identities=people,
        ignored=about["ignored"],
        caution=about["caution"],
        blocks=tuple(blocks),
        block=block,
        row=row,
        skipped=tuple({"item": one["item"], "reason": one["reason"]} for one in about["skipped"]),
        source=about["source"],
        size=about["size"],
        # Packs from before there was a choice are cropped.
        fit=about.get("fit", "crop"),
        contents=about["fingerprint"],
        stamps=stamps,
    )


def _broken(path: Path, why: str) -> UserError:
    return UserError(f"{path} is no part of a whole pack: {why}; pack the images anew")


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        if path.stat().st_size > MOST_JSON:
            raise _broken(path, "it is far too large")
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} is no pack, for it has no {ABOUT}: name a folder that was packed"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, f"it cannot be read ({first_line(error)})") from None
    kinds = {
        "name": str, "fingerprint": str, "source": str, "size": int, "ignored": int,
        "caution": str, "files": dict, "skipped": list,
    }  # fmt: skip
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise _broken(path, f"its schema is not {SCHEMA}, the one that this version reads")
    for key, kind in kinds.items():
        if not isinstance(about.get(key), kind) or isinstance(about[key], bool):
            raise _broken(path, f"{key!r} is missing or is no {kind.__name__}")
    if about.get("fit", "crop") not in FITS:
        raise _broken(path, f"'fit' is none of {', '.join(FITS)}")
    if not about["files"] or "@" in about["name"]:
        raise _broken(path, "it names no files, or a data set that cannot be called so")
    for name, count in about["files"].items():
        if not re.fullmatch(r"[1-9][0-9]{0,4}\.npy", name) or type(count) is not int or count < 1:
            raise _broken(path, f"{name!r} with {count!r} images is no file of images")
    for one in about["skipped"]:
        if not (
            isinstance(one, dict) and isinstance(one.get("item"), str) and isinstance(one.get("reason"), str)
        ):
            raise _broken(path, "'skipped' holds something that is no item and reason")
    return about


def _block(path: Path, count: int) -> UInt8[np.ndarray, "k s s 3"]:
    try:
        images = np.lib.format.open_memmap(path, mode="r").view(np.ndarray)
    except Exception as error:
        # A header of nonsense makes numpy raise nearly anything.
        raise _broken(path, f"it cannot be mapped ({first_line(error)})") from None
    side = int(path.stem)
    if images.dtype != np.uint8 or images.shape != (count, side, side, 3) or not images.flags.c_contiguous:
        raise _broken(
            path, f"it holds {images.dtype} of shape {images.shape}, not ({count}, {side}, {side}, 3)"
        )
    return images


def _table(
    path: Path, names: list[str], counts: list[int]
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Read items, identities, labels, block and row."""
    (items, people, files), row = _columns(path, sum(counts))
    names_of = tuple(items.words[k] for k in items.which.tolist())
    if len(set(names_of)) != len(names_of):
        raise _broken(path, "two of its images have one name")
    used, which = files.numbered()
    if unknown := set(used) - set(names):
        raise _broken(path, f"it names the file {min(unknown)!r}, which is none of the pack's")
    block = np.array([names.index(name) for name in used], np.int64)[which]
    held = np.array(counts, np.int64)
    if (row < 0).any() or (row >= held[block]).any():
        raise _broken(path, "it names a row that its file does not have")
    starts = np.cumsum(held) - held
    if len(np.unique(starts[block] + row)) != len(row):
        raise _broken(path, "two of its images lie at one place")
    return names_of, *people.numbered(), block, row


@dataclass
class _Text:
    """A column of text: its different words, and for each row which of them it has."""

    words: list[str]
    which: Int[np.ndarray, " n"]

    def numbered(self) -> tuple[tuple[str, ...], Int[np.ndarray, " n"]]:
        """Give the words that occur, sorted, and for each row the number of its word."""
        used = np.unique(self.which).tolist()
        order = tuple(sorted({self.words[k] for k in used}))
        number = {word: n for n, word in enumerate(order)}
        table = np.zeros(len(self.words), np.int64)
        table[used] = [number[self.words[k]] for k in used]
        return order, table[self.which]


def _columns(path: Path, images: int) -> tuple[list[_Text], Int[np.ndarray, " n"]]:
    """Read items, identities and files as text, and rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = [name for name in COLUMNS if name != "row"]
    try:
        # As a dictionary a text that stands in many rows is unpacked once.
        with pq.ParquetFile(path, read_dictionary=text) as file:
            stated = file.metadata
            groups = (stated.row_group(k).total_byte_size for k in range(stated.num_row_groups))
            if stated.num_rows != images:
                raise _broken(path, f"it lists {stated.num_rows:,} images, and the files hold {images:,}")
            if sum(groups) > MOST_TABLE:
                raise _broken(path, "it would fill the memory")
            found = file.read(columns=list(COLUMNS)).combine_chunks()
        if len(found) != images or found.column_names != list(COLUMNS):
            raise _broken(path, f"it must have the columns {', '.join(COLUMNS)}")
        row = found["row"]
        if row.type != pa.int64() or row.null_count:
            raise _broken(path, "its column 'row' must hold whole numbers, without gaps")
        return [_words(path, name, found[name]) for name in text], row.to_numpy()
    except (OSError, ValueError, KeyError, pa.ArrowException, MemoryError) as error:
        raise _broken(path, f"it cannot be read ({first_line(error)})") from None


def _words(path: Path, name: str, column: Any) -> _Text:
    import pyarrow as pa

    words: list[Any] = []
    which: list[np.ndarray] = []
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type) or chunk.null_count or chunk.dictionary.null_count:
            raise _broken(path, f"its column {name!r} must hold text, without gaps")
        at, different = chunk.indices.to_numpy().astype(np.int64), chunk.dictionary.to_pylist()
        # Of a damaged file a number may point past the words.
        if (at < 0).any() or (at >= len(different)).any():
            raise _broken(path, f"its column {name!r} names words that it does not have")
        which.append(at + len(words))
        words += different
    if not all(isinstance(word, str) for word in words):
        raise _broken(path, f"its column {name!r} must hold text, without gaps")
    # Packs of older versions hold names as their source wrote them.
    return _Text([clean(word) for word in words], np.concatenate(which))
