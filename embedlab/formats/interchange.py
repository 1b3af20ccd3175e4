"""Embeddings that others made: ``.npy``, ``.npz``, CSV and foreign Parquet become embedding sets."""

import hashlib
import re
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embedlab import __version__, plugins
from embedlab.errors import Terminated, UserError, first_line
from embedlab.files import arrays, names, parquet, tables
from embedlab.files import columns as convert
from embedlab.files.columns import narrowed
from embedlab.files.names import Place
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.store import Lab, atomic_file, checked_name, sha256_of
from embedlab.progress import say

ENTRY_POINTS = "embedlab.readers"
SUFFIXES = (".npy", ".npz", ".csv", ".parquet")

# What arrays of vectors and of people are usually called in .npz files.
VECTOR_ARRAYS = ("embedding", "embeddings", "vectors", "features")
ITEM_ARRAYS = ("item", "items", "names", "paths")
PEOPLE_ARRAYS = ("identity", "identities", "labels")

MUCH_LONGER = 4
"""A run of numbered columns that has so many times the columns of every other is the vector."""


class _Names(NamedTuple):
    """What columns are called in a file."""

    item: str
    identity: str
    vector: str


class _Found(NamedTuple):
    """What a file holds, as it is written there; further columns are Arrow's or numpy's."""

    vectors: Float[np.ndarray, "n d"]
    items: list[str]
    people: list[str]
    place: Place
    further: Mapping[str, Any]
    left_out: Mapping[str, str]


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
      Where there are several runs of numbered columns, the one named like a vector or much longer than the
      others is taken, and that is said.
    * ``.parquet``: item, identity, and a column of vectors: lists of numbers of any width. A folder of
      such files is read as one.

    Further columns become attributes; which cannot is said. Names are written as ``embedlab.files.names``
    writes them. Nothing is ever unpickled.

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
        If a file cannot be read or would fill the memory, a column is missing or of a type that is none of
        names or vectors, counts differ, a vector is not finite or zero, or an item is unnamed or stands
        twice; the message names file and row (for CSV the line in the file, else counted from 0).
    """
    path = Path(path)
    checked_name(model, "model")
    checked_name(probe, "probe")
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, *readers()):
        there = ", ".join((*SUFFIXES, *readers()))
        raise UserError(f"{path} is no file of embeddings: give one of {there}")
    if items is not None and suffix not in (".npy", ".npz"):
        raise UserError(f"{path} names its items itself: leave out the list of items {items}")
    columns = _Names(item_column, identity_column, vector_column)
    if suffix == ".csv":
        found = _from_csv(path, columns)
    elif suffix == ".parquet":
        found = _from_parquet(path, columns)
    elif suffix not in SUFFIXES:
        found = _from_reader(path, readers()[suffix])
    else:
        found = _from_numpy(path, None if items is None else Path(items), columns)
    _check(path, found)
    if clash := [name for name in found.further if name in embeddings.COLUMNS and name != "norm"]:
        say(f"  left out, for their names have a meaning here: {', '.join(clash)}")
    made = EmbeddingSet.from_rows(
        model,
        probe,
        found.vectors,
        names.of_items(found.items, found.place),
        names.of_people(found.people, found.place),
        embeddings.attributes(found.further, found.left_out),
    )
    if "norm" in found.further and not _are_lengths(found.further["norm"], made.norms):
        say("  left out: norm, which is not the length of these vectors; give it another name to keep it")
    return made


def _are_lengths(column: Any, lengths: np.ndarray) -> bool:
    """Whether a column says what vectors are long, as embedlab writes it beside them."""
    try:
        return np.allclose(convert.attribute(column).astype(np.float64), lengths, rtol=1e-3)
    except ValueError:
        return False


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

    lab.imported[embedded.model, embedded.probe] = str(source), (sha256 := _sha256(source))
    head = {
        "imported_from": {"name": source.name, "sha256": sha256},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"embedlab": __version__, "numpy": np.__version__, "pyarrow": pa.__version__},
    }
    with atomic_file(path) as temporary:
        embeddings.write(temporary, embedded, head)
    return path


def _sha256(source: Path) -> str:
    """Hash a file, or the hashes of a folder's parts."""
    hashes = [sha256_of(part) for part in parquet.parts(source)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _check(path: Path, found: _Found) -> None:
    vectors = found.vectors
    if len(vectors) != len(found.items):
        raise UserError(
            f"{path} has {len(vectors):,} vectors, but {found.place.file} names {len(found.items):,} items: "
            "they must be as many, in the same order"
        )
    if len(vectors) == 0 or vectors.shape[1] == 0:
        raise UserError(f"{path} holds no vectors: give at least one")
    finite = convert.finite(vectors)
    if not finite.all():
        row = int(np.argmin(finite))
        raise UserError(
            f"{found.place(row)} (item {found.items[row]!r}): the vector has NaN, infinity or a gap, as "
            f"do {int((~finite).sum()) - 1:,} more: remove those rows"
        )
    length = convert.row_by_row(lambda rows: np.any(rows, axis=1), vectors)
    if not length.all():
        row = int(np.argmin(length))
        raise UserError(
            f"{found.place(row)} (item {found.items[row]!r}): the vector is zero and has no direction to "
            "compare: remove the row"
        )


def _check_named(path: Path, there: Sequence[str], columns: _Names) -> None:
    for name, option in ((columns.item, "--item-column"), (columns.identity, "--identity-column")):
        if name not in there:
            raise _missing(path, name, there, option)


def _missing(path: Path, name: str, there: Sequence[str], option: str) -> UserError:
    return UserError(
        f"{path} has no column {name!r} (it has {', '.join(there) or 'none'}): name the right one with "
        f"{option}"
    )


def _from_csv(path: Path, columns: _Names) -> _Found:
    file = tables.opened(path, "CSV")
    _check_named(path, file.head, columns)
    run = _vector_columns(path, file.head, columns)
    parts = []
    rest: list[tables.Rows] = []
    for rows in tables.batches(file):
        # Text takes twice what numbers take, so it goes as soon as they are known.
        parts.append(narrowed(rows.numbers(run)))
        rest.append(rows.without(run))
    rows = tables.joined(file, rest)
    further = {name: rows.guessed(name) for name in rows.names if name not in columns[:2]}
    return _Found(np.concatenate(parts), *_listed(rows, columns), further, {})


def _listed(rows: tables.Rows, columns: _Names) -> tuple[list[str], list[str], Place]:
    return rows.texts(columns.item), rows.texts(columns.identity), rows.place


def _vector_columns(path: Path, head: Sequence[str], columns: _Names) -> list[str]:
    """Find the columns of a vector: one prefix, numbered from 0 or 1 without a gap.

    Raises
    ------
    UserError
        If there are none; or several such runs of which none is called as vectors are, nor is by far the
        longest.
    """
    runs: dict[str, dict[int, str]] = {}
    for name in head:
        match = re.fullmatch(r"(.*?)([0-9]{1,9})", name)
        if match and name not in columns[:2]:
            runs.setdefault(match[1], {})[int(match[2])] = name
    whole = {
        prefix: [run[k] for k in sorted(run)]
        for prefix, run in runs.items()
        if min(run) in (0, 1) and max(run) - min(run) == len(run) - 1 > 0
    }
    if not whole:
        raise UserError(
            f"{path} has no vectors (its columns are {_some(head)}): give it a numbered column a dimension, "
            f"such as {columns.vector}0, {columns.vector}1 … or 0, 1 …"
        )
    bare = {prefix: prefix.rstrip("_-. ") for prefix in whole}
    first, *others = sorted(whole.values(), key=len, reverse=True)
    for meant in (
        [whole[prefix] for prefix in whole if bare[prefix] == columns.vector],
        [whole[prefix] for prefix in whole if bare[prefix].lower() in VECTOR_ARRAYS],
        [first] if all(len(first) >= MUCH_LONGER * len(other) for other in others) else [],
    ):
        if len(meant) == 1:
            if others:
                say(f"  {path}: the vector is {meant[0][0]} … {meant[0][-1]}; other columns are attributes")
            return meant[0]
    raise UserError(
        f"{path} has several numbered runs of columns, "
        f"{' and '.join(f'{run[0]} … {run[-1]}' for run in whole.values())}: say which is the vector with "
        f"--vector-column {' or '.join(bare.values())}"
    )


def _some(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _from_parquet(path: Path, columns: _Names) -> _Found:
    table, left_out, there = parquet.read(path, columns[:2], columns.vector)
    if columns.vector not in there:
        raise _missing(path, columns.vector, there, "--vector-column")
    _check_named(path, there, columns)
    place = Place(path, "row", range(table.num_rows))
    items, people = (convert.names(table.column(name), name, place) for name in columns[:2])
    vectors = np.empty((0, 0), np.float32)
    if table.num_rows:
        vectors = parquet.vectors(path, columns.vector, table.num_rows)
    further = {name: table.column(name) for name in table.column_names if name not in columns}
    return _Found(vectors, items, people, place, further, left_out)


def _from_numpy(path: Path, items: Path | None, columns: _Names) -> _Found:
    if path.suffix.lower() == ".npy" and items is None:
        raise UserError(
            f"{path} does not say whose vectors it holds: give a CSV file with the columns {columns.item} "
            f"and {columns.identity} with --items"
        )
    with arrays.opened(path) as file:
        name = _first(file.heads, ("", columns.vector, *VECTOR_ARRAYS))
        if name is None:
            raise _missing(path, columns.vector, list(file.heads), "--vector-column")
        head = file.heads[name]
        if head.dtype.kind != "O" and (len(head.shape) != 2 or head.dtype.kind not in "fiu"):
            raise UserError(
                f"{path} holds {head.dtype} of shape {head.shape}, not vectors: it must be numbers of "
                "shape (n, d)"
            )
        vectors = file.matrix(name)
        if items is None:
            return _from_arrays(file, name, vectors, columns)
    rows = tables.read(items, "CSV")
    _check_named(items, rows.names, columns)
    further = {name: rows.guessed(name) for name in rows.names if name not in columns[:2]}
    return _Found(vectors, *_listed(rows, columns), further, {})


def readers() -> dict[str, EntryPoint]:
    """List other packages' readers by the ending of their files, as in ``.fea``; embedlab's own go before."""
    found = {f".{point.name.lower()}": point for point in reversed(plugins.points(ENTRY_POINTS))}
    return {ending: point for ending, point in found.items() if ending not in SUFFIXES}


def _from_reader(path: Path, point: EntryPoint) -> _Found:
    """Read by another package's function: path → ``vectors``, ``items``, ``identities``, more columns."""
    read = plugins.load("reader", point.name, point.value, "read")
    try:
        given = dict(read(path))
        vectors = np.asarray(given.pop("vectors"))
        columns = {name: np.asarray(column) for name, column in given.items()}
        items, people = columns.pop("items"), columns.pop("identities")
    except (UserError, Terminated):
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{plugins.where('reader', point.name, point.value)} cannot read {path} ({type(error).__name__}: "
            f"{first_line(error)}): check the file, or mend that package"
        ) from error
    n = len(vectors) if vectors.ndim == 2 and vectors.dtype.kind in "fiu" else -1
    if odd := [one.shape for one in (items, people, *columns.values()) if one.shape != (n,)]:
        raise UserError(
            f"{plugins.where('reader', point.name, point.value)} gave, of {path}, vectors of {vectors.dtype} "
            f"and shape {vectors.shape}, and a column of shape {odd[0]}: it must give numbers of shape (n, "
            "d) and columns of n"
        )
    place = Place(path, "row", range(n))
    plain = {name: column for name, column in columns.items() if column.dtype.kind in "fiubSU"}
    left_out = {name: str(column.dtype) for name, column in columns.items() if name not in plain}
    return _Found(
        narrowed(vectors),
        convert.names(items, "items", place),
        convert.names(people, "identities", place),
        place,
        plain,
        left_out,
    )


def _first(there: Container[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in there), None)


def _from_arrays(file: arrays.Arrays, used: str, vectors: np.ndarray, columns: _Names) -> _Found:
    item_name = _first(file.heads, (columns.item, *ITEM_ARRAYS))
    people_name = _first(file.heads, (columns.identity, *PEOPLE_ARRAYS))
    if item_name is None or people_name is None:
        raise UserError(
            f"{file.path} has no array of items or of people (it has {', '.join(file.heads)}): save them as "
            "'items' and 'identities', or give a CSV file with --items"
        )
    n = len(vectors)
    place = Place(file.path, "row", range(n))
    _check_shape(file, item_name, n)
    further = {
        name: file.read(name)
        for name, head in file.heads.items()
        if head.shape == (n,) and head.is_plain and name not in (used, item_name, people_name, "labels")
    }
    left_out = {
        name: str(head.dtype) for name, head in file.heads.items() if head.shape == (n,) and not head.is_plain
    }
    others = {name: head.shape for name, head in file.heads.items() if head.shape != (n,)}
    if odd := [
        f"{k} (of shape {v}, not one value a row)" for k, v in others.items() if k not in (used, people_name)
    ]:
        say(f"  arrays left out: {', '.join(odd)}", once=True)
    return _Found(
        vectors,
        convert.names(file.read(item_name), item_name, place),
        _people(file, people_name, place),
        place,
        further,
        left_out,
    )


def _check_shape(file: arrays.Arrays, name: str, n: int) -> None:
    if (shape := file.heads[name].shape) != (n,):
        raise UserError(
            f"{file.path}: {name!r} has shape {shape}, but there are {n:,} vectors: give one a vector"
        )


def _people(file: arrays.Arrays, name: str, place: Place) -> list[str]:
    """Read the people: a name a row, or each name once and ``labels`` that point at them."""
    n, people, labels = len(place.rows), file.heads[name], file.heads.get("labels")
    if labels is None or labels.dtype.kind not in "iu" or len(people.shape) != 1 or people.shape == (n,):
        _check_shape(file, name, n)
        return convert.names(file.read(name), name, place)
    _check_shape(file, "labels", n)
    at = file.read("labels")
    if at.size and not 0 <= at.min() <= at.max() < people.shape[0]:
        raise UserError(
            f"{file.path}: 'labels' point outside {name!r}, which names {people.shape[0]:,} people"
        )
    once = convert.names(file.read(name), name, Place(file.path, "place", range(people.shape[0])))
    return [once[k] for k in at.tolist()]
