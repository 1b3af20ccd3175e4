"""A hash of a sequence of values that no other sequence has: each goes in with its kind and its length."""

import hashlib
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

ROWS = 1 << 16
"""Values encoded at once, so that a column of any length takes bounded memory."""


class Digest:
    """A sha256 of values in order.

    Numbers are taken by what they are and not by how many bytes they lie in: columns that are equal as
    truth values, whole numbers, numbers, text or bytes have equal hashes, and 1, 1.0, True and "1" have
    four.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def hexdigest(self) -> str:
        """Give the hash of what was added so far, as 64 hexadecimal digits."""
        return self._sha256.hexdigest()

    def text(self, value: str) -> None:
        """Add a text."""
        encoded = value.encode("utf-8", "surrogatepass")
        self._begin("text", len(encoded))
        self._sha256.update(encoded)

    def array(self, values: np.ndarray) -> None:
        """Add an array of numbers, truth values or fixed bytes, with its type and shape."""
        self._begin(values.dtype.str, *values.shape)
        rows = np.atleast_1d(values)
        step = max(1, ROWS // max(1, rows[:1].size))
        for k in range(0, len(rows), step):
            self._sha256.update(np.ascontiguousarray(rows[k : k + step]).tobytes())

    def column(self, values: Any) -> None:
        """Add a column: an array, or a sequence of any values."""
        array = np.asarray(values)
        if array.dtype.kind not in _WIDE:
            self._each(array.tolist())
        elif array.ndim != 1:
            self._begin("table")
            self.array(array)
        else:
            self._alike(array)

    def _alike(self, array: np.ndarray) -> None:
        kind = array.dtype.kind
        if kind == "u" and (array <= np.iinfo(np.int64).max).all():
            kind = "i"
        self._begin("column", kind, len(array))
        for k in range(0, len(array), ROWS):
            block = array[k : k + ROWS]
            if wide := _WIDE[kind]:
                self._sha256.update(np.ascontiguousarray(block, dtype=wide).tobytes())
            else:
                self._texts(block.tolist())

    def _texts(self, block: list[Any]) -> None:
        encoded = [one if isinstance(one, bytes) else one.encode("utf-8", "surrogatepass") for one in block]
        self._sha256.update(np.array([len(one) for one in encoded], dtype="<i8").tobytes())
        self._sha256.update(b"".join(encoded))

    def _each(self, values: Iterable[Any]) -> None:
        """Add values of no common type, by the name of their type and how they are written."""
        rest = iter(values)
        self._begin("values")
        while block := list(islice(rest, ROWS)):
            self._begin("block", len(block))
            self._texts([type(one).__name__ for one in block])
            self._texts([repr(one) for one in block])
        self._begin("end")

    def _begin(self, kind: str, *sizes: int | str) -> None:
        head = repr((kind, *sizes)).encode()
        self._sha256.update(len(head).to_bytes(8, "little") + head)


_WIDE: dict[str, str] = {"b": "|b1", "i": "<i8", "u": "<u8", "f": "<f8", "U": "", "S": ""}
