"""Columns of any Arrow or numpy type as names, attributes or vectors: a right value, or a reason.

numpy's arrays become Arrow's first, so that there is one table of types.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from embedlab.errors import UserError
from embedlab.files.names import LONGEST, Place

CELLS = 1 << 20
"""Numbers looked at in one go."""

SMALL = 1e-15
"""Shorter vectors are measured in double precision."""

EXACT = 1 << 53
"""Larger whole numbers are not exact as floats."""

NARROW = {"bfloat16": 1 << 8, "float16": 1 << 11, "halffloat": 1 << 11, "float32": 1 << 24, "float": 1 << 24}
"""The same of narrower floats, by what numpy, torch and Arrow call them."""


def from_array(array: np.ndarray) -> Any:
    """Turn a numpy array into an Arrow array; None where Arrow has no such type, or the text is none."""
    import pyarrow as pa

    kind = array.dtype.kind
    if kind not in "fiubSU" or array.ndim != 1:
        return None
    try:
        if kind in "SU":
            return pa.array(array.tolist(), pa.binary() if kind == "S" else pa.string())
        if kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        return pa.array(array.astype(array.dtype.newbyteorder("=")))
    except (pa.ArrowException, ValueError, OverflowError):
        return None


def unwrapped(column: Any) -> Any:
    """Give a column's values without the ways of packing them: dictionaries, runs, extensions."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.ChunkedArray):
        chunks = [unwrapped(chunk) for chunk in column.chunks]
        return pa.chunked_array(chunks) if chunks else pa.chunked_array([], _inner(column.type))
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return unwrapped(column.storage.cast(_inner(kind)) if _is_bool8(kind) else column.storage)
    if pa.types.is_dictionary(kind):
        return unwrapped(column.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return unwrapped(pc.run_end_decode(column))
    return column


def _is_bool8(kind: Any) -> bool:
    return str(getattr(kind, "extension_name", "")) == "arrow.bool8"


def _inner(kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return pa.bool_() if _is_bool8(kind) else _inner(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _inner(kind.value_type)
    return kind


def is_plain(kind: Any) -> bool:
    """Say whether a column of a type can be an attribute: text, numbers or truth values."""
    import pyarrow as pa

    t, kind = pa.types, _inner(kind)
    return is_text(kind) or any(
        test(kind) for test in (t.is_boolean, t.is_integer, t.is_floating, t.is_decimal)
    )


def is_text(kind: Any) -> bool:
    """Say whether a type is text, or bytes that may be text."""
    import pyarrow as pa

    t = pa.types
    tests = (t.is_string, t.is_large_string, t.is_string_view, t.is_binary, t.is_large_binary)
    return any(test(kind) for test in (*tests, t.is_binary_view, t.is_fixed_size_binary))


def attribute(column: Any) -> np.ndarray:
    """Give a column as an attribute that can be stored and read back.

    Parameters
    ----------
    column
        An Arrow column, or a numpy array of shape (n,).

    Returns
    -------
    int64, float64, bool or text of shape (n,); gaps are NaN or empty text.

    Raises
    ------
    ValueError
        If that would not be what the column holds; the message is the reason, in a few words.
    """
    import pyarrow as pa

    kind = column.dtype if isinstance(column, np.ndarray) else column.type
    given = from_array(column) if isinstance(column, np.ndarray) else column
    if given is None or not is_plain(given.type):
        raise ValueError(f"{kind} is neither text nor numbers")
    given = unwrapped(given)
    if given.null_count == len(given):
        raise ValueError("empty")
    if is_text(given.type):
        return _text(given)
    if pa.types.is_boolean(given.type):
        if not given.null_count:
            return np.asarray(given.to_pylist(), dtype=bool)
        return np.asarray(["" if value is None else str(value) for value in given.to_pylist()])
    return _whole(given) if pa.types.is_integer(given.type) else _float(given)


def _text(column: Any) -> np.ndarray:
    try:
        values = [_decoded(value) for value in column.to_pylist()]
    except UnicodeDecodeError:
        raise ValueError("bytes that are no text") from None
    longest = max(map(len, values), default=0)
    if longest == 0:
        raise ValueError("empty")
    if longest > LONGEST:
        raise ValueError(f"text of {longest:,} letters")
    return np.asarray(values, dtype=str)


def _decoded(value: Any) -> str:
    # Fields of one width are filled up with zeros.
    return value.rstrip(b"\0").decode() if isinstance(value, bytes) else value or ""


def _whole(column: Any) -> np.ndarray:
    import pyarrow as pa

    try:
        whole = column.cast(pa.int64())
    except pa.ArrowInvalid:
        raise ValueError("whole numbers beyond 63 bits") from None
    if not whole.null_count:
        return _values(whole)
    if any(abs(value) > EXACT for value in whole.to_pylist() if value is not None):
        raise ValueError("whole numbers beyond 53 bits, with gaps")
    return _float(whole)


def _float(column: Any) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    return _values(column.cast(pa.float64()))


def _values(column: Any) -> np.ndarray:
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    # A copy, because what Arrow shares is read-only.
    return np.array(shared(column))


def shared(numbers: Any) -> np.ndarray:
    """Give an Arrow array of numbers as numpy sees it, read-only; where one is missing, as floats with NaN.

    Arrow's own ``to_numpy`` loads pandas, which takes longer than reading a set of thousands of vectors.
    """
    return numbers.to_numpy(zero_copy_only=False) if numbers.null_count else np.from_dlpack(numbers)


def names(column: Any, what: str, place: Place) -> list[str]:
    """Give a column as names, as they are written; empty where there is none.

    Text stands as it is, bytes are the UTF-8 text they hold, whole numbers are written without decimals.

    Parameters
    ----------
    column
        An Arrow column, or a numpy array of shape (n,).
    what
        What the column is called, for messages.
    place
        Where its rows stand, for messages.

    Raises
    ------
    UserError
        If it holds anything else: fractions, dates, truth values, lists, bytes that are no text.
    """
    import pyarrow as pa

    held = column.dtype if isinstance(column, np.ndarray) else column.type
    given = from_array(column) if isinstance(column, np.ndarray) else column
    inner = None if given is None else _inner(given.type)
    if inner is None or not is_plain(inner) or pa.types.is_boolean(inner):
        raise UserError(
            f"{place.file}: {what!r} holds {held}, not names: give text or whole numbers, or name another "
            "column"
        )
    values = unwrapped(given).to_pylist()
    if pa.types.is_string(inner) or pa.types.is_large_string(inner):
        return [value or "" for value in values]
    if pa.types.is_floating(inner):
        most = exact(inner)
        if large := [
            row for row, value in enumerate(values) if value is not None and most <= abs(value) < np.inf
        ]:
            raise UserError(
                f"{place(large[0])}: {what!r} is {values[large[0]]:.0f}, and {held} holds not every whole "
                "number of that size: give text or whole numbers, or name another column"
            )
    found = []
    for row, value in enumerate(values):
        try:
            found.append(_name(value))
        except (ValueError, OverflowError):
            raise UserError(
                f"{place(row)}: {what!r} is {str(value)[:40]}, no name: give text or whole numbers, or name "
                "another column"
            ) from None
    return found


def _name(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, str | bytes):
        return _decoded(value)
    if value != (whole := int(value)):
        raise ValueError(value)
    return str(whole)


def matrix(column: Any, path: Path, first: int = 0) -> Float[np.ndarray, "n d"]:
    """Turn a list column of numbers into an (n, d) float32 matrix; ``first`` is the number of its first row.

    Raises
    ------
    UserError
        If the column does not hold lists of numbers, or they differ in length; names the row.
    """
    import pyarrow as pa

    lists = unwrapped(column)
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks)
    t = pa.types
    tests = (t.is_list, t.is_large_list, t.is_fixed_size_list, t.is_list_view, t.is_large_list_view)
    if not any(test(lists.type) for test in tests):
        raise UserError(f"{path}: the vector column holds {lists.type}, not lists of numbers: name another")
    if lists.null_count:
        row = lists.is_null().index(True).as_py()
        raise UserError(f"{path}: row {first + row} has no vector: remove it or extract it again")
    sizes = shared(lists.value_lengths())
    if len(sizes) and (sizes != sizes[0]).any():
        row = int(np.argmax(sizes != sizes[0]))
        raise UserError(
            f"{path}: row {first + row} has {sizes[row]} numbers where row {first} has {sizes[0]}: all "
            "vectors of a set must be of one length"
        )
    values = unwrapped(lists.flatten())
    if t.is_decimal(values.type):
        values = values.cast(pa.float64())
    if not (t.is_floating(values.type) or t.is_integer(values.type)):
        raise UserError(f"{path}: the vectors hold {values.type}, not numbers: name another column")
    return narrowed(shared(values).reshape(len(lists), -1))


def row_by_row(
    found: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, into: np.ndarray | None = None
) -> np.ndarray:
    """Apply a function of rows to some rows at a time, so that what it makes on the way takes bounded memory.

    Parameters
    ----------
    found
        Rows → as many values or rows.
    rows
        Of shape (n, d).
    into
        Where the results go; an array of their own if None.
    """
    step = max(1, CELLS // max(1, rows.shape[1]))
    for k in range(0, max(1, len(rows)), step):
        part = found(rows[k : k + step])
        if into is None:
            into = np.empty((len(rows), *part.shape[1:]), part.dtype)
        into[k : k + step] = part
    assert into is not None
    return into


def exact(kind: Any) -> int:
    """Give the whole number beyond which neighbours, and so two people, are one as floats of a type."""
    return NARROW.get(str(kind).lower().removeprefix("torch."), EXACT)


def finite(vectors: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """Say which rows hold finite numbers only."""
    return row_by_row(lambda rows: np.isfinite(rows).all(axis=1), vectors)


def lengths(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Give the Euclidean length of each row; infinite where that is beyond 32 bits."""
    with np.errstate(over="ignore"):
        return row_by_row(_lengths, vectors)


def _lengths(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    found: np.ndarray = np.linalg.norm(rows, axis=1)
    # Squares of so small numbers have few digits in single precision, or none.
    small = found < SMALL
    found[small] = np.linalg.norm(rows[small].astype(np.float64), axis=1)
    return found


def narrowed(numbers: np.ndarray) -> Float[np.ndarray, "n d"]:
    """Give numbers as float32; what is beyond its range becomes infinite, and is told as such."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(numbers, dtype=np.float32)
