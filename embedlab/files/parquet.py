"""Parquet files of any maker, and folders of their parts, read as tables of what has a use."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embedlab.errors import UserError, first_line
from embedlab.files import columns, footers, headroom, signatures
from embedlab.files.names import LONGEST

BATCH = 1 << 16
"""Rows of a group, and rows of vectors read at once."""

LETTER = 4
"""Bytes of a letter in numpy's arrays of text."""

METADATA_KEY = b"embedlab"
"""Where in a schema what is known of the rows stands, as JSON."""


class Read(NamedTuple):
    """A table, the columns that were not unpacked with what they hold, and the names of all."""

    table: Any
    left_out: dict[str, str]
    names: list[str]


def parts(path: Path) -> list[Path]:
    """List the Parquet files that a path means: itself, or those of a folder, in the order of their names.

    Raises
    ------
    UserError
        If it is a folder without such files, or one with folders of them (partitions), whose names hold a
        column; or if it is a pipe or a device.
    """
    if not path.is_dir():
        signatures.check_regular(path, "Parquet")
        return [path]
    try:
        inside = sorted(entry for entry in path.iterdir() if entry.name[0] not in "._")
    except OSError as error:
        raise UserError(f"cannot list {path}: {error.strerror or error}: make the folder readable") from None
    found = [entry for entry in inside if entry.suffix.lower() == ".parquet" and entry.is_file()]
    if folders := [entry.name for entry in inside if entry.is_dir()]:
        raise UserError(
            f"{path} is a folder with folders in it, such as {folders[0]!r}: give a folder of Parquet files "
            "alone, or one file"
        )
    if not found:
        raise UserError(f"{path} is a folder without Parquet files: give a file, or a folder of its parts")
    return found


def read(path: Path, wanted: Collection[str], apart: str) -> Read:
    """Read a file, or a folder of parts in the order of their names, but for the vectors.

    Parameters
    ----------
    path
        The file or the folder.
    wanted
        Columns to read whatever they hold. Of the others only those that can be attributes are unpacked.
    apart
        The column of vectors, which ``vectors`` reads.

    Raises
    ------
    UserError
        If a file is no Parquet file, is cut short or has other columns than the first part, a column stands
        twice, or the contents would fill the memory.
    """
    import pyarrow as pa

    files = parts(path)
    found: list[Read] = []
    held = 0
    for file in files:
        found.append(_one(file, wanted, apart, held))
        held += _bytes(found[-1].table)
        if sorted(found[-1].names) != sorted(found[0].names):
            raise UserError(
                f"{file} has other columns ({', '.join(found[-1].names)}) than {files[0].name} "
                f"({', '.join(found[0].names)}): make the parts alike"
            )
    left_out = {name: kind for one in found for name, kind in one.left_out.items()}
    tables = [one.table.drop_columns([n for n in left_out if n in one.table.column_names]) for one in found]
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
        bare = [one.name for one in whole.schema if pa.types.is_null(one.type) and one.name not in wanted]
        return Read(whole.drop_columns(bare), left_out | dict.fromkeys(bare, "null"), found[0].names)
    except pa.ArrowException as error:
        raise UserError(
            f"the parts of {path} hold different types ({first_line(error)}): make them alike"
        ) from None


def vectors(path: Path, name: str, rows: int) -> Float[np.ndarray, "n d"]:
    """Read the column of vectors, some rows at a time: beside the vectors themselves it takes bounded memory.

    Parameters
    ----------
    path
        The file or the folder of parts.
    name
        The column.
    rows
        How many rows there are, as ``read`` found.

    Raises
    ------
    UserError
        If a file is damaged, the column holds no vectors of one length, or they would fill the memory.
    """
    found, at = np.empty((rows, 0), np.float32), 0
    files = parts(path)
    try:
        stated = [one for file in files for one in footers.stated(file) if one.path and one.path[0] == name]
    except (ValueError, OSError) as error:
        raise unreadable(path, error) from None
    headroom.check(path, 4 * sum(one.values for one in stated))
    for file in files:
        for column in _batches(file, name):
            part = columns.matrix(column, path, at)
            if at == 0:
                found = np.empty((rows, part.shape[1]), np.float32)
            if at + len(part) > rows:
                raise _short(path, at + len(part), rows)
            if part.shape[1] != found.shape[1]:
                raise UserError(
                    f"{path}: row {at} has {part.shape[1]} numbers where row 0 has {found.shape[1]}: all "
                    "vectors of a set must be of one length"
                )
            found[at : at + len(part)] = part
            at += len(part)
    if at != rows:
        raise _short(path, at, rows)
    return found


def _short(path: Path, held: int, rows: int) -> UserError:
    return unreadable(path, ValueError(f"{held:,} vectors for {rows:,} rows"))


def _batches(path: Path, name: str) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(BATCH, columns=[name]):
                if len(batch):
                    batch.validate(full=True)
                    yield batch.column(0)
    except (ValueError, pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None


def _one(path: Path, wanted: Collection[str], apart: str, held: int) -> Read:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        kept = [
            one.name
            for one in schema
            # What is missing throughout one part may be there in another.
            if one.name != apart
            and (one.name in wanted or columns.is_plain(one.type) or pa.types.is_null(one.type))
        ]
        if twice := [name for name in schema.names if schema.names.count(name) > 1]:
            raise UserError(f"{path} has two columns of one name, {twice[0]!r}: rename one")
        # As a dictionary a text that stands in many rows is unpacked once.
        texts = [name for name in kept if columns.is_text(schema.field(name).type)]
        with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
            headroom.check(path, held + _unpacked(path, file, kept))
            table = file.read(columns=kept)
        # Text that is no UTF-8, or a number that points past the dictionary, would only fail where looked at.
        table.validate(full=True)
        headroom.check(path, held + _bytes(table))
    except (ValueError, pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None
    left_out = {one.name: str(one.type) for one in schema if one.name not in (*kept, apart)}
    return Read(table, left_out, schema.names)


def _unpacked(path: Path, file: Any, kept: Collection[str]) -> int:
    """Give the bytes that columns take, from what the file states; lists are copied once.

    Texts are kept as a dictionary and numbers into it.
    """
    leaves = {}
    for k in range(len(file.schema)):
        leaf = file.schema.column(k)
        leaves[leaf.path] = leaf.length, leaf.max_repetition_level > 0
    total = 0
    for one in footers.stated(path):
        length, repeated = leaves.get(".".join(one.path), (0, True))
        width = footers.WIDTHS.get(one.kind, length if one.kind == footers.FIXED else 4)
        if one.path and one.path[0] in kept:
            total += one.values * (width + 4 * repeated) + (
                one.bytes if one.kind == footers.BYTE_ARRAY else 0
            )
    return total


def _bytes(table: Any) -> int:
    """Give the bytes that a table takes once texts are numpy's: the longest one's room in each row."""
    return int(table.nbytes) + sum(map(_text_bytes, table.columns))


def _text_bytes(column: Any) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    longest = total = 0
    for chunk in column.chunks:
        coded = pa.types.is_dictionary(chunk.type)
        texts = chunk.dictionary if coded else chunk
        if not columns.is_text(texts.type):
            return 0
        is_view = pa.types.is_string_view(texts.type) or pa.types.is_binary_view(texts.type)
        lengths = pc.binary_length(texts.cast(pa.large_binary()) if is_view else texts)
        longest = max(longest, pc.max(lengths).as_py() or 0)
        total += pc.sum(lengths.take(chunk.indices) if coded else lengths).as_py() or 0
    # What is longer is no name and no attribute, and never becomes such an array.
    return max(total, LETTER * longest * len(column)) if longest <= LONGEST else total


def unreadable(path: Path, error: Exception) -> UserError:
    """Say that a file is no Parquet file, and why."""
    return signatures.mistaken(path, "Parquet file", signatures.PARQUET) or UserError(
        f"cannot read {path} as Parquet ({first_line(error)}): the file is missing, damaged, cut short or of "
        "another kind; make it again"
    )


def write(path: Path, tables: Iterable[Any], metadata: Mapping[str, Any]) -> int:
    """Write tables of one schema as one file to ``path`` (which the caller makes atomic).

    Pages are compressed with zstd and have checksums.

    Parameters
    ----------
    path
        The file; without tables there is none.
    tables
        Arrow tables, each row groups of at most 65,536 rows; what their own schemas say beside the
        columns is left out.
    metadata
        Goes as JSON under the schema's key ``embedlab``.

    Returns
    -------
    int
        Rows written.
    """
    import pyarrow.parquet as pq

    head, writer, rows = {METADATA_KEY: json.dumps(metadata).encode()}, None, 0
    try:
        for table in tables:
            described = table.replace_schema_metadata(head)
            if writer is None:
                writer = pq.ParquetWriter(
                    path, described.schema, compression="zstd", write_page_checksum=True
                )
            writer.write_table(described, row_group_size=BATCH)
            rows += len(table)
    finally:
        if writer is not None:
            writer.close()
    return rows
