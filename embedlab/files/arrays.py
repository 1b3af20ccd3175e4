"""numpy's ``.npy`` and ``.npz`` files: their heads first, then only the arrays that have a use."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embedlab.errors import UserError, first_line
from embedlab.files import headroom, signatures
from embedlab.files.columns import narrowed, row_by_row


class Head(NamedTuple):
    """What the head of an array says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def is_plain(self) -> bool:
        """Whether it holds numbers, truth values or text."""
        return self.dtype.kind in "fiubSU"


@dataclass(frozen=True)
class Arrays:
    """The arrays of a file, read one at a time.

    Attributes
    ----------
    path
        The file.
    heads
        What each array is, by its name; that of a ``.npy`` is "".
    """

    path: Path
    heads: dict[str, Head]
    archive: zipfile.ZipFile | None

    def read(self, name: str) -> np.ndarray:
        """Read one array.

        Raises
        ------
        UserError
            If it is damaged, or would fill the memory.
        """
        head = self.heads[name]
        # Text becomes Python's, some ten times as large.
        headroom.check(self.path, 2 * math.prod(head.shape) * head.dtype.itemsize)
        with _told(self.path), self._stream(name) as file:
            found: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
            return found

    def matrix(self, name: str) -> Float[np.ndarray, "n d"]:
        """Give an array of numbers of shape (n, d) as float32.

        That of a ``.npy`` file is opened in place and read when it is looked at: float32 takes no memory,
        and other types are converted some rows at a time.

        Raises
        ------
        UserError
            If it is damaged, or would fill the memory.
        """
        if self.archive is not None or self.heads[name].dtype.kind not in "fiu":
            return narrowed(self.read(name))
        n, d = self.heads[name].shape
        with _told(self.path):
            found = np.load(self.path, mmap_mode="r", allow_pickle=False)
        if found.dtype == np.float32 and found.flags.c_contiguous:
            return np.asarray(found)
        headroom.check(self.path, 4 * n * d)
        return row_by_row(narrowed, found, np.empty((n, d), np.float32))

    def _stream(self, name: str) -> IO[bytes]:
        return self.path.open("rb") if self.archive is None else self.archive.open(f"{name}.npy")


@contextmanager
def opened(path: Path) -> Iterator[Arrays]:
    """Open a file, and judge the heads of its arrays by the bytes that are there.

    Raises
    ------
    UserError
        If it cannot be read, is cut short, or an array declares more than it holds.
    """
    with _told(path):
        signatures.check_regular(path, "a file of arrays")
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                heads = {"": _head(file, path.stat().st_size)}
            archive = None
        else:
            archive = zipfile.ZipFile(path)
            heads = _heads(archive)
    try:
        yield Arrays(path, heads, archive)
    finally:
        if archive is not None:
            archive.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # A damaged archive makes zipfile, zlib and numpy raise nearly anything.
        of_numpy = (signatures.ZIP, signatures.NUMPY)
        raise signatures.mistaken(path, "file of numpy's arrays", *of_numpy) or UserError(
            f"cannot read {path} ({first_line(error)}): the file is missing, cut short, or holds pickled "
            "objects, which are never opened; save plain arrays of numbers and text"
        ) from None


def _heads(archive: zipfile.ZipFile) -> dict[str, Head]:
    heads = {}
    for one in archive.infolist():
        if one.filename.endswith(".npy"):
            with archive.open(one) as file:
                heads[one.filename.removesuffix(".npy")] = _head(file, one.file_size)
    return heads


def _head(file: IO[bytes], size: int) -> Head:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        # The third differs in how names of fields are written, and what has fields is never used.
        (2, 0): np.lib.format.read_array_header_2_0,
        (3, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"an array of version {version}")
    shape, _, dtype = read(file)
    held = size - file.tell()
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or (not dtype.hasobject and size > held):
        raise ValueError(f"an array of shape {shape} and type {dtype} in {held:,} bytes")
    return Head(shape, dtype)
