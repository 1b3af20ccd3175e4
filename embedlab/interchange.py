"""Embeddings that others made: ``.npy``, ``.npz``, CSV and foreign Parquet become embedding sets."""

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from embedlab import __version__, embeddings
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError, first_line
from embedlab.progress import say
from embedlab.store import Lab, atomic_file, checked_name, sha256_of

SUFFIXES = (".npy", ".npz", ".csv", ".parquet")

# What arrays of vectors and of people are usually called in .npz files.
VECTOR_ARRAYS = ("embedding", "embeddings", "vectors", "features")
ITEM_ARRAYS = ("item", "items", "names", "paths")
PEOPLE_ARRAYS = ("identity", "identities", "labels")


@dataclass(frozen=True)
class _Columns:
    """Who the rows are, and where in which file each stands."""

    file: Path
    rows: Sequence[int]
    row_word: str
    items: list[str]
    people: list[str]
    attributes: Mapping[str, Any]

    def where(self, row: int) -> str:
        return f"{self.file}, {self.row_word} {self.rows[row]}"


def import_embeddings(
    path: Path | str,
    *,
    model: str,
    probe: str,
    items: Path | str | None = None,
    item_column: str = "item",
    identity_column: str = "identity",
    vector_column: str = "embedding",
) -> EmbeddingSet:
    """Read embeddings of another maker.

    * ``.npy``: vectors of shape (n, d); ``items`` must be given.
    * ``.npz``: an array of vectors, and arrays of items and people unless ``items`` is given. Numbers in
      ``labels`` may point into a shorter array ``identities``.
    * ``.csv``: item, identity, and a numbered column a dimension (``0``, ``1`` …; ``e0`` …; ``dim_0`` …).
    * ``.parquet``: item, identity, and a column of vectors: lists of numbers of any width.

    Further columns become attributes. Nothing is ever unpickled.

    Parameters
    ----------
    path
        The file.
    model, probe
        Names the set gets.
    items
        A CSV file with the columns item and identity and a row a vector, for ``.npy`` and ``.npz``.
    item_column, identity_column, vector_column
        What these columns are called in the file.

    Raises
    ------
    UserError
        If a file cannot be read, a column is missing, counts differ, a vector is not finite or zero, or
        an item is unnamed or stands twice; the message names file and row (for CSV the line in the file,
        else counted from 0).
    """
    path = Path(path)
    checked_name(model, "model")
    checked_name(probe, "probe")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path} is no file of embeddings: give one of {', '.join(SUFFIXES)}")
    if items is not None and suffix in (".csv", ".parquet"):
        raise UserError(f"{path} names its items itself: leave out the list of items {items}")
    names = item_column, identity_column, vector_column
    if suffix == ".csv":
        vectors, columns = _from_csv(path, *names)
    elif suffix == ".parquet":
        vectors, columns = _from_parquet(path, *names)
    else:
        vectors, columns = _from_numpy(path, None if items is None else Path(items), *names)
    _check(path, vectors, columns)
    return EmbeddingSet.from_rows(
        model, probe, vectors, columns.items, columns.people, _attributes(columns.attributes)
    )


def save(lab: Lab, embedded: EmbeddingSet, source: Path | str) -> Path:
    """Store an imported set in the lab, with the name and hash of the file it came from.

    Returns
    -------
    The Parquet file in the lab; one that was there is replaced, and that is said.

    Raises
    ------
    UserError
        If a network of the lab has the set's name: its weights would be taken for those of the vectors.
    """
    source = Path(source)
    if embedded.model in lab.trained():
        raise UserError(
            f"{source} cannot be stored as {embedded.model!r}, for a network in {lab.root} is called so and "
            "would be taken for theirs: give the vectors another name with --model"
        )
    path = lab.embeddings_file(embedded.model, embedded.probe)
    if path.is_file():
        say(f"  {path} was there and is replaced")
    import pyarrow as pa

    head = {
        "imported_from": {"name": source.name, "sha256": sha256_of(source)},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"embedlab": __version__, "numpy": np.__version__, "pyarrow": pa.__version__},
    }
    with atomic_file(path) as temporary:
        embeddings.write(temporary, embedded, head)
    return path


def _check(path: Path, vectors: Float[np.ndarray, "n d"], columns: _Columns) -> None:
    if len(vectors) != len(columns.items):
        raise UserError(
            f"{path} has {len(vectors):,} vectors, but {columns.file} names {len(columns.items):,} items: "
            "they must be as many, in the same order"
        )
    if len(vectors) == 0 or vectors.shape[1] == 0:
        raise UserError(f"{path} holds no vectors: give at least one")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise UserError(
            f"{columns.where(row)} (item {columns.items[row]!r}): the vector has NaN, infinity or a gap, as "
            f"do {int((~finite).sum()) - 1:,} more: remove those rows"
        )
    length = vectors.any(axis=1)
    if not length.all():
        row = int(np.argmin(length))
        raise UserError(
            f"{columns.where(row)} (item {columns.items[row]!r}): the vector is zero and has no direction to "
            "compare: remove the row"
        )
    first: dict[str, int] = {}
    for row, (item, person) in enumerate(zip(columns.items, columns.people, strict=True)):
        if not item or not person:
            what = "person" if item else "item"
            raise UserError(f"{columns.where(row)}: the {what} has no name: give it one, or remove the row")
        if item in first:
            raise UserError(
                f"{columns.where(row)}: item {item!r} stands in {columns.row_word} "
                f"{columns.rows[first[item]]} already: give every image a name of its own"
            )
        first[item] = row


def _attributes(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the columns that the stored set has no other use for."""
    clash = [name for name in columns if name in embeddings.COLUMNS and name != "norm"]
    if clash:
        say(f"  left out, for their names have a meaning here: {', '.join(clash)}")
    return {name: values for name, values in columns.items() if name not in embeddings.COLUMNS}


def _missing(path: Path, name: str, there: Sequence[str], option: str) -> UserError:
    return UserError(
        f"{path} has no column {name!r} (it has {', '.join(there) or 'none'}): name the right one with "
        f"{option}"
    )


def _csv_table(path: Path, texts: Sequence[str]) -> tuple[Any, Sequence[int]]:
    """Read a CSV file, the named columns as text; give the table and each row's line in the file."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    _check_utf8(path)
    ragged: list[Any] = []

    def keep(row: Any) -> str:
        ragged.append(row)
        return "skip"

    try:
        table = csv.read_csv(
            path,
            # Only one thread counts the lines.
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=keep),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string())),
        )
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"cannot read {path} as CSV ({first_line(error)}): correct it") from None
    if ragged:
        row = ragged[0]
        raise UserError(
            f"{path}, line {row.number}: {row.actual_columns} fields where the head has "
            f"{row.expected_columns}: correct the row"
        )
    if len(set(table.column_names)) < len(table.column_names):
        raise UserError(f"{path} has two columns of one name in its first line: rename one")
    lines = np.arange(2, 2 + table.num_rows)
    blank = np.ones(table.num_rows, dtype=bool)
    for column in table.columns:
        gap = column.is_null()
        if pa.types.is_string(column.type):
            gap = pc.or_kleene(gap, pc.equal(column, ""))
        blank &= pc.fill_null(gap, True).to_numpy(zero_copy_only=False).astype(bool)
    return table.filter(pa.array(~blank)), lines[~blank].tolist()


def _check_utf8(path: Path) -> None:
    """Refuse what is no text before pyarrow, which notices only where a name or a row is looked at."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except OSError as error:
        raise UserError(f"cannot read {path} as CSV ({error.strerror or error}): correct it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path} as CSV ({first_line(error)}): save it as UTF-8 text") from None


def _from_csv(
    path: Path, item_column: str, identity_column: str, vector_column: str
) -> tuple[Float[np.ndarray, "n d"], _Columns]:
    import pyarrow as pa

    table, lines = _csv_table(path, (item_column, identity_column))
    rest = [name for name in table.column_names if name not in (item_column, identity_column)]
    numbered = _numbered(rest, vector_column)
    if not numbered:
        raise UserError(
            f"{path} has no vectors (its columns are {', '.join(table.column_names)}): give it a numbered "
            f"column a dimension, such as {vector_column}0, {vector_column}1 … or 0, 1 …"
        )
    vectors = np.empty((table.num_rows, len(numbered)), dtype=np.float32)
    for k, name in enumerate(numbered):
        column = table.column(name)
        if not (
            pa.types.is_floating(column.type)
            or pa.types.is_integer(column.type)
            or pa.types.is_null(column.type)
        ):
            row = _first_text(column)
            raise UserError(
                f"{path}, line {lines[row]}: {name} is {column[row].as_py()!r}, not a number: correct the row"
            )
        vectors[:, k] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return vectors, _named(path, table, lines, "line", item_column, identity_column, numbered)


def _first_text(column: Any) -> int:
    for row, value in enumerate(column.to_pylist()):
        try:
            float(str(value or "nan"))
        except ValueError:
            return row
    return 0


def _numbered(names: Sequence[str], vector_column: str) -> list[str]:
    """Find the columns of a vector: one prefix, numbered from 0 or 1 without a gap; the longest such run."""
    runs: dict[str, dict[int, str]] = {}
    for name in names:
        match = re.fullmatch(r"(.*?)(\d+)", name)
        if match:
            runs.setdefault(match[1], {})[int(match[2])] = name
    whole = {
        prefix: [run[k] for k in sorted(run)]
        for prefix, run in runs.items()
        if min(run) in (0, 1) and max(run) - min(run) == len(run) - 1
    }
    preferred = [p for p in whole if p.rstrip("_-.") == vector_column and len(whole[p]) > 1]
    longest = max(whole.values(), key=len, default=[])
    return whole[preferred[0]] if preferred else longest if len(longest) > 1 else []


def _named(
    path: Path,
    table: Any,
    rows: Sequence[int],
    row_word: str,
    item_column: str,
    identity_column: str,
    used: Sequence[str],
) -> _Columns:
    """Take items, people and attributes from a table."""
    import pyarrow as pa

    there = table.column_names
    for name, option in ((item_column, "--item-column"), (identity_column, "--identity-column")):
        if name not in there:
            raise _missing(path, name, there, option)
    attributes = {}
    left_out = []
    for name in there:
        if name in (item_column, identity_column, *used):
            continue
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if _plain(column.type):
            attributes[name] = np.asarray(column.to_pylist())
        else:
            left_out.append(name)
    if left_out:
        say(f"  left out, for they hold neither text nor numbers: {', '.join(left_out)}")
    return _Columns(
        file=path,
        rows=rows,
        row_word=row_word,
        items=["" if value is None else str(value) for value in table.column(item_column).to_pylist()],
        people=["" if value is None else str(value) for value in table.column(identity_column).to_pylist()],
        attributes=attributes,
    )


def _plain(kind: Any) -> bool:
    import pyarrow as pa

    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
    )
    return any(test(kind) for test in tests)


def _from_parquet(
    path: Path, item_column: str, identity_column: str, vector_column: str
) -> tuple[Float[np.ndarray, "n d"], _Columns]:
    table = embeddings.read_table(path)
    if vector_column not in table.column_names:
        raise _missing(path, vector_column, table.column_names, "--vector-column")
    columns = _named(
        path, table, range(table.num_rows), "row", item_column, identity_column, (vector_column,)
    )
    if table.num_rows == 0:
        return np.empty((0, 0), np.float32), columns
    return embeddings.matrix(table.column(vector_column), path), columns


def _from_numpy(
    path: Path, items: Path | None, item_column: str, identity_column: str, vector_column: str
) -> tuple[Float[np.ndarray, "n d"], _Columns]:
    arrays = _arrays(path)
    if path.suffix.lower() == ".npy":
        vectors = arrays[""]
        if items is None:
            raise UserError(
                f"{path} does not say whose vectors it holds: give a CSV file with the columns {item_column} "
                f"and {identity_column} with --items"
            )
    else:
        name = _first(arrays, (vector_column, *VECTOR_ARRAYS))
        if name is None:
            raise _missing(path, vector_column, list(arrays), "--vector-column")
        vectors = arrays[name]
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise UserError(
            f"{path} holds {vectors.dtype} of shape {vectors.shape}, not vectors: it must be numbers of "
            "shape (n, d)"
        )
    if items is not None:
        table, lines = _csv_table(items, (item_column, identity_column))
        columns = _named(items, table, lines, "line", item_column, identity_column, ())
    else:
        columns = _from_arrays(path, arrays, item_column, identity_column, len(vectors))
    return vectors.astype(np.float32), columns


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here because numpy leaves a damaged archive open.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": loaded}
            return {name: loaded[name] for name in loaded.files}
    except Exception as error:
        # A damaged archive makes zipfile, zlib and numpy raise nearly anything.
        raise UserError(
            f"cannot read {path} ({first_line(error)}): the file is missing, cut short, or holds pickled "
            "objects, which are never opened; save plain arrays of numbers and text"
        ) from None


def _first(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in arrays), None)


def _from_arrays(
    path: Path, arrays: dict[str, np.ndarray], item_column: str, identity_column: str, n: int
) -> _Columns:
    item_name = _first(arrays, (item_column, *ITEM_ARRAYS))
    people_name = _first(arrays, (identity_column, *PEOPLE_ARRAYS))
    if item_name is None or people_name is None:
        raise UserError(
            f"{path} has no array of items or of people (it has {', '.join(arrays)}): save them as 'items' "
            "and 'identities', or give a CSV file with --items"
        )
    people = arrays[people_name]
    labels = arrays.get("labels")
    if labels is not None and labels.dtype.kind in "iu" and people.ndim == 1 and len(people) != n:
        # The names of the people once, and an index into them a row.
        if labels.size and not 0 <= labels.min() <= labels.max() < len(people):
            raise UserError(
                f"{path}: 'labels' point outside {people_name!r}, which names {len(people)} people"
            )
        people = people[labels]
    for name, values in ((item_name, arrays[item_name]), (people_name, people)):
        if values.shape != (n,):
            raise UserError(
                f"{path}: {name!r} has shape {values.shape}, but there are {n:,} vectors: give one a vector"
            )
    used = (item_name, people_name, "labels")
    return _Columns(
        file=path,
        rows=range(n),
        row_word="row",
        items=[str(item) for item in arrays[item_name].tolist()],
        people=[str(person) for person in people.tolist()],
        attributes={
            name: values for name, values in arrays.items() if values.shape == (n,) and name not in used
        },
    )
