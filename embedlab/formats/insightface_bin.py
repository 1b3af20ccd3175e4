"""InsightFace's ``.bin`` files (``lfw.bin``, ``cfp_fp.bin``), read without pickle's powers.

Such a file is a pickle of ``(encoded images, same)``: two images a pair, and whether they show one
person. A pickle may name any function of the machine and have it called, so a file is looked at twice:
its instructions are read first, without following them, and must be the few that lists of bytes, truth
values and numpy arrays need; then it is loaded by a reader that knows stand-ins for numpy's names and no
other name. No function of numpy or of Python is called by the file.
"""

import hashlib
import io
import math
import pickle
import pickletools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedlab.errors import UserError, first_line
from embedlab.files import signatures
from embedlab.lab.store import atomic_file

MOST_BYTES = 4 << 30
NAME_DIGITS = 16

INSTRUCTIONS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET NONE "
    "NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST LIST "
    "APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 GLOBAL STACK_GLOBAL REDUCE BUILD"
)
"""What a pickle of bytes, truth values, lists and numpy arrays is written with; by Python 2
from protocol 1 on."""


@dataclass(frozen=True)
class Bin:
    """What a ``.bin`` file holds.

    Attributes
    ----------
    images
        Item → the encoded image. An item's name is the start of its bytes' SHA-256, so that a picture
        that stands in several pairs is one item.
    a, b
        The items of each pair, in the file's order.
    same
        Whether both show one person.
    """

    images: dict[str, bytes]
    a: tuple[str, ...]
    b: tuple[str, ...]
    same: tuple[bool, ...]


def read(path: Path | str) -> Bin:
    """Read a ``.bin`` file, as Python 2 or 3 wrote it.

    Raises
    ------
    UserError
        If it cannot be read, is cut short, or holds anything but images and truth values.
    """
    path = Path(path)
    signatures.check_regular(path, "a .bin file of image pairs")
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{path} has {size / 1e9:,.1f} GB, more than the {MOST_BYTES / 1e9:.0f} GB that are read "
                "into memory at most: give the images as a folder and the pairs as a CSV file"
            )
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}: give the path of a .bin file"
        ) from None
    try:
        _inspect(data)
        found = _Reader(io.BytesIO(data), encoding="bytes").load()
        blobs, same = _parts(found)
    except Exception as error:
        # Bytes that are no pickle make its reader raise nearly anything.
        raise signatures.mistaken(path, ".bin file of image pairs") or UserError(
            f"{path} is no .bin file of image pairs ({first_line(error)}): such a file holds encoded images, "
            "two a pair, and whether they show one person, and nothing else is taken from it"
        ) from None
    names = [hashlib.sha256(blob).hexdigest()[:NAME_DIGITS] for blob in blobs]
    return Bin(dict(zip(names, blobs, strict=True)), tuple(names[::2]), tuple(names[1::2]), same)


def write(path: Path | str, images: Sequence[bytes], same: Sequence[bool]) -> None:
    """Write a ``.bin`` file as InsightFace reads it, atomically.

    Python's own bytes and truth values in a pickle of protocol 4, which ``pickle.load`` of InsightFace's
    ``load_bin`` reads as it stands, and with ``encoding="bytes"``. A picture that stands in several pairs
    is written once, if it is given as one object.

    Parameters
    ----------
    path
        The file to write.
    images
        Encoded images, PNG or JPEG; two for each pair, one after the other.
    same
        Whether the two of each pair show one person.

    Raises
    ------
    UserError
        If there are no pairs, an image is empty, there is more than ``read`` takes, or the file cannot be
        written.
    ValueError
        If there are not two images a pair. This is a bug in the code that calls.
    """
    path = Path(path)
    if len(images) != 2 * len(same):
        raise ValueError(f"{len(images)} images for {len(same)} pairs, where two a pair are needed")
    if len(same) == 0:
        raise UserError(f"there are no pairs to write to {path}: give it at least one")
    if not all(images):
        raise UserError(
            f"an image of pair {list(map(bool, images)).index(False) // 2} is empty: leave it out"
        )
    total = sum({id(image): len(image) for image in images}.values())
    if total > MOST_BYTES:
        raise UserError(
            f"{path} would have {total / 1e9:,.1f} GB, more than the {MOST_BYTES / 1e9:.0f} GB that are read "
            "into memory at most: write fewer pairs, or smaller images"
        )
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        pickle.dump((list(images), [bool(value) for value in same]), file, protocol=4)


def _inspect(data: bytes) -> None:
    """Read the instructions without following them; refuse all but the few that are needed."""
    known = frozenset(INSTRUCTIONS.split())
    highest = count = 0
    for instruction, argument, _ in pickletools.genops(data):
        if instruction.name not in known:
            raise ValueError(f"the instruction {instruction.name} has no place in it")
        count += 1
        if instruction.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            highest = max(highest, int(argument or 0))
    # The reader makes room for the highest place that is named: gigabytes, if a file lies about it.
    if highest > count:
        raise ValueError(f"place {highest} of {count} is out of order")


def _parts(found: Any) -> tuple[list[bytes], tuple[bool, ...]]:
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise ValueError("it is no pair of images and truth values")
    blobs, same = (_listed(part) for part in found)
    images = [_image(blob, k) for k, blob in enumerate(blobs)]
    if not same:
        raise ValueError("it holds no pairs")
    if len(images) != 2 * len(same):
        raise ValueError(f"{len(images)} images for {len(same)} pairs, where two a pair are needed")
    for number, value in enumerate(same):
        if not isinstance(value, int) or value not in (0, 1):
            raise ValueError(f"pair {number} is neither true nor false")
    return images, tuple(map(bool, same))


def _listed(part: Any) -> Sequence[Any]:
    if isinstance(part, _Array):
        return part.values()
    if not isinstance(part, list | tuple):
        raise ValueError(f"{type(part).__name__} where a list is needed")
    return [int.from_bytes(one.data, "little") if isinstance(one, _Scalar) else one for one in part]


def _image(blob: Any, number: int) -> bytes:
    if isinstance(blob, _Array):
        blob = bytes(blob.values())
    if not isinstance(blob, bytes | bytearray) or not blob:
        raise ValueError(f"image {number} is no encoded image but {type(blob).__name__}")
    return bytes(blob)


class _Array:
    """Stands in for a numpy array of bytes or truth values."""

    __slots__ = ("data", "shape")

    def __init__(self) -> None:
        self.data = b""
        self.shape: tuple[int, ...] = (0,)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, _, data = state
        self.fill(shape, kind, data)

    def fill(self, shape: Any, kind: Any, data: Any) -> None:
        if not isinstance(kind, _Kind) or not isinstance(data, bytes | bytearray):
            raise ValueError("an array of something else than bytes or truth values")
        if not isinstance(shape, tuple) or not all(isinstance(side, int) for side in shape):
            raise ValueError("an array without a shape")
        if math.prod(shape) != len(data):
            raise ValueError(f"an array of shape {shape} with {len(data)} values")
        self.shape, self.data = shape, bytes(data)

    def values(self) -> bytes:
        if len(self.shape) != 1:
            raise ValueError(f"an array of shape {self.shape} where a row of values is needed")
        return self.data


class _Kind:
    """Stands in for numpy's dtypes of one byte; there is nothing to set."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class _Scalar:
    """Stands in for numpy's single values."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Stand:
    """Stands for a name in a pickle. Without slots there is nothing that a pickle could change in it."""

    __slots__ = ()


class _NDArray(_Stand):
    __slots__ = ()


class _DType(_Stand):
    __slots__ = ()

    def __call__(self, code: Any, *_: Any) -> _Kind:
        if code not in ("b1", "u1", "?", "B", "|b1", "|u1", b"b1", b"u1", b"|b1", b"|u1"):
            raise ValueError(f"values of dtype {code!r}")
        return _Kind()


class _Reconstruct(_Stand):
    __slots__ = ()

    def __call__(self, kind: Any, *_: Any) -> _Array:
        if not isinstance(kind, _NDArray):
            raise ValueError("an object that is no array")
        return _Array()


class _FromBuffer(_Stand):
    __slots__ = ()

    def __call__(self, data: Any, kind: Any, shape: Any, _: Any) -> _Array:
        made = _Array()
        made.fill(shape, kind, data)
        return made


class _MakeScalar(_Stand):
    __slots__ = ()

    def __call__(self, kind: Any, data: Any) -> _Scalar:
        if not isinstance(kind, _Kind) or not isinstance(data, bytes) or len(data) != 1:
            raise ValueError("a value that is neither true nor false")
        return _Scalar(data)


class _Encode(_Stand):
    """How Python 3 writes bytes for Python 2: as text, to be encoded again."""

    __slots__ = ()

    def __call__(self, text: Any, code: Any) -> bytes:
        if not isinstance(text, str) or code not in ("latin1", b"latin1"):
            raise ValueError("bytes in an unknown writing")
        return text.encode("latin1")


class _Bytes(_Stand):
    __slots__ = ()

    def __call__(self) -> bytes:
        return b""


STANDS: dict[tuple[str, str], _Stand] = {
    ("numpy", "ndarray"): _NDArray(),
    ("numpy", "dtype"): _DType(),
    ("_codecs", "encode"): _Encode(),
    ("builtins", "bytes"): _Bytes(),
    ("__builtin__", "bytes"): _Bytes(),
}
for _numpy in ("numpy.core", "numpy._core"):
    STANDS[f"{_numpy}.multiarray", "_reconstruct"] = _Reconstruct()
    STANDS[f"{_numpy}.multiarray", "scalar"] = _MakeScalar()
    STANDS[f"{_numpy}.numeric", "_frombuffer"] = _FromBuffer()


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Give the stand-in for a name.

        Raises
        ------
        ValueError
            If there is none: nothing else is ever imported.
        """
        if (module, name) not in STANDS:
            raise ValueError(f"it names {module}.{name}, which is not looked up")
        return STANDS[module, name]
