"""What a Parquet file states of its columns' sizes, read from its footer.

pyarrow's own way to these numbers ends the process where a footer is damaged, so they are decoded here: a
footer is a record in Thrift's compact protocol [1]_, and of it only some numbers are looked at [2]_.

References
----------
.. [1] Apache Thrift, ``doc/specs/thrift-compact-protocol.md``.
.. [2] Apache Parquet, ``src/main/thrift/parquet.thrift``: ``FileMetaData``, ``ColumnMetaData``.
"""

import struct
from pathlib import Path
from typing import Any, NamedTuple

BYTE_ARRAY, FIXED = 6, 7
WIDTHS = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8}
"""Bytes of a value by Parquet's number of its type: truth, int32, int64, int96, float, double."""
DEEPEST = 30


class Stated(NamedTuple):
    """What is stated of one column of one group of rows.

    Attributes
    ----------
    path
        Its name, and those of the fields within it.
    kind
        Parquet's number of its type.
    values
        How many values it has; of lists, those in them.
    bytes
        What it takes unpacked but still encoded.
    """

    path: tuple[str, ...]
    kind: int
    values: int
    bytes: int


def stated(path: Path) -> list[Stated]:
    """Give what a file states of its columns, group by group.

    Raises
    ------
    ValueError
        If the footer is damaged.
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        length, mark = struct.unpack("<I4s", file.read(8).rjust(8, b"\0"))
        if mark != b"PAR1" or length + 8 > size:
            raise ValueError("the footer is damaged")
        file.seek(size - 8 - length)
        footer = _Compact(file.read(length)).record()
    try:
        chunks = [chunk[3] for group in footer[4] for chunk in group[1]]
        return [
            Stated(tuple(name.decode() for name in one[3]), int(one[1]), int(one[5]), int(one[6]))
            for one in chunks
        ]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError("the footer is damaged") from error


class _Compact:
    """A reader of Thrift's compact protocol: records as dictionaries by the numbers of their fields."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.depth = data, 0, 0

    def record(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.whole()
            found[number] = self.value(head & 15)
        return found

    def value(self, kind: int, within: bool = False) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError("the footer is nested too deeply")
        found = self._value(kind, within)
        self.depth -= 1
        return found

    def _value(self, kind: int, within: bool) -> Any:
        match kind:
            case 1 | 2:
                return self.byte() == 1 if within else kind == 1
            case 3:
                return self.byte()
            case 4 | 5 | 6:
                return self.whole()
            case 7:
                return self.take(8)
            case 8:
                return self.take(self.count())
            case 9 | 10:
                head = self.byte()
                count = self.count() if head >> 4 == 15 else head >> 4
                # Every element takes a byte at least.
                if count > len(self.data) - self.at:
                    raise ValueError("the footer is cut short")
                return [self.value(head & 15, within=True) for _ in range(count)]
            case 11:
                return self.pairs()
            case 12:
                return self.record()
        raise ValueError(f"the footer has a field of the unknown type {kind}")

    def pairs(self) -> None:
        """Pass over a map; none of those in a footer is needed."""
        count = self.count()
        kinds = self.byte() if count else 0
        for _ in range(count):
            self.value(kinds >> 4, within=True)
            self.value(kinds & 15, within=True)

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self.data):
            raise ValueError("the footer is cut short")
        return self.data[self.at - count : self.at]

    def count(self) -> int:
        found = shift = 0
        while True:
            byte = self.byte()
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found
            if shift > 63:
                raise ValueError("the footer has a number that is too long")

    def whole(self) -> int:
        coded = self.count()
        return (coded >> 1) ^ -(coded & 1)
