"""What lies in memory, in whichever library's arrays, as plain columns and float32 vectors.

No library is imported for this: who has a tensor or a data frame has its library.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from embedlab.errors import UserError, first_line
from embedlab.files import names as names_
from embedlab.files.columns import exact


def matrix(vectors: Any) -> Float[np.ndarray, "n d"]:
    """Turn vectors into a float32 array of shape (n, d).

    Raises
    ------
    UserError
        If they are not numbers of that shape, or a masked one is among them.
    """
    try:
        found = _numbers(vectors)
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        # torch has RuntimeError and its kind for tensors without numbers, as on the device "meta".
        raise UserError(
            f"the vectors cannot be made an array ({first_line(error)}): give numbers of shape (n, d), "
            "equally many a row"
        ) from None
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise UserError(
            f"the vectors are {found.dtype} of shape {found.shape}: give numbers of shape (n, d), a row an "
            "image"
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(found, dtype=np.float32)


def names(values: Any, what: str, n: int) -> list[str]:
    """Turn a column into ``n`` names; whole numbers are written without decimals.

    Parameters
    ----------
    values
        A list, array, tensor, Series or the like.
    what
        What it is, for messages.
    n
        How many rows there are.

    Raises
    ------
    UserError
        If it is no column, of another length, or a value is missing, a number with decimals or no name.
    """
    most = exact(getattr(values, "dtype", getattr(values, "type", "")))
    found = enumerate(_column(values, what, n))
    return [names_.clean(_name(value, what, row, most)) for row, value in found]


def columns(attributes: Any, n: int) -> dict[str, np.ndarray]:
    """Turn a mapping or data frame of extra columns into arrays of ``n`` values.

    Raises
    ------
    UserError
        If a column is of another length, or is no column.
    """
    if attributes is None:
        return {}
    of = attributes.items() if isinstance(attributes, Mapping) else _table(attributes)
    return {str(name): np.asarray(_column(values, f"attribute {name}", n)) for name, values in of}


def _table(frame: Any) -> list[tuple[str, Any]]:
    """Give a table's columns with their names, of which two may be alike."""
    if hasattr(frame, "iloc"):
        return [(str(name), frame.iloc[:, k]) for k, name in enumerate(frame.columns)]
    names = getattr(frame, "column_names", getattr(frame, "columns", None))
    if names is None:
        raise UserError(f"the attributes are {type(frame).__name__}: give a dictionary of columns by name")
    return [(str(name), frame[name]) for name in names]


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "cpu")


def _from_tensor(value: Any) -> Any:
    """Bring a tensor to numpy, of whatever type and wherever it lies."""
    value = value.detach()
    if value.is_quantized:
        value = value.dequantize()
    value = value.to_dense() if value.is_sparse else value
    value = value.resolve_conj().resolve_neg().cpu()
    # Numpy has no type for the short ones.
    return (value.float() if value.is_floating_point() else value).numpy()


def _numbers(vectors: Any) -> np.ndarray:
    if _is_tensor(vectors):
        return np.asarray(_from_tensor(vectors))
    if hasattr(vectors, "columns"):
        return _of_columns(vectors)
    if isinstance(vectors, np.ma.MaskedArray) and np.ma.is_masked(vectors):
        row = int(np.argmax(np.ma.getmaskarray(vectors).reshape(len(vectors), -1).any(axis=1)))
        raise UserError(f"row {row} of the vectors is masked: remove it, or fill it")
    if not isinstance(vectors, np.ndarray) or vectors.dtype == object:
        ways = (way for way in ("to_pylist", "tolist") if hasattr(vectors, way))
        rows = getattr(vectors, next(ways, ""), lambda: list(vectors))()
        return np.asarray([_from_tensor(row) if _is_tensor(row) else row for row in rows])
    return np.asarray(vectors)


def _of_columns(frame: Any) -> np.ndarray:
    """Take a table's columns for the numbers of each vector, or its one column of lists for the vectors."""
    there = _table(frame)
    arrays = [np.asarray(column) for _, column in there]
    if len(arrays) == 1 and arrays[0].dtype == object:
        return _numbers(list(arrays[0]))
    if others := [name for (name, _), x in zip(there, arrays, strict=True) if x.dtype.kind not in "fiu"]:
        raise UserError(
            f"columns of the vectors hold no numbers ({', '.join(others[:3])}): give the columns of the "
            "vectors alone, and the others as labels, items or attributes"
        )
    return np.stack([x.astype(np.float64) for x in arrays], axis=1)


def _column(values: Any, what: str, n: int) -> list[Any]:
    if _is_tensor(values):
        values = _from_tensor(values)
    for way in ("to_pylist", "tolist", "to_list"):
        if hasattr(values, way):
            values = getattr(values, way)()
            break
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise UserError(f"{what}: {type(values).__name__} is no column: give a value a row")
    found = [value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value for value in values]
    if len(found) != n:
        raise UserError(f"{what}: there are {len(found):,} values for {n:,} vectors: give one a vector")
    if nested := [row for row, value in enumerate(found) if isinstance(value, list | tuple | np.ndarray)]:
        raise UserError(f"{what}: row {nested[0]} holds several values: give one a vector, of shape (n,)")
    return found


def _name(value: Any, what: str, row: int, most: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in ("<NA>", "NaT", ""):
        raise UserError(f"{what}: row {row} has no name: give it one, or remove the row")
    if isinstance(value, float):
        if not value.is_integer():
            raise UserError(
                f"{what}: row {row} is {value}, a number with decimals: give names or whole numbers"
            )
        if abs(value) >= most:
            raise UserError(
                f"{what}: row {row} is {value:.0f}, and floats do not hold every whole number of that size: "
                "give text or whole numbers"
            )
        value = int(value)
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise UserError(f"{what}: row {row} holds bytes that are no UTF-8: give names as text") from None
    return str(value)
