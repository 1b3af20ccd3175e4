"""CSV files of any making: one reader for vectors, pairs, attributes and landmarks.

Fields may be separated by commas, semicolons or tabs, text may be UTF-8 or, with its mark, UTF-16, and
where commas do not separate they may stand before decimals. What is taken is said.
"""

import codecs
import csv
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from embedlab.errors import UserError, first_line
from embedlab.files import signatures
from embedlab.files.names import Place, clean
from embedlab.progress import say

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
BLOCK = 1 << 24
"""Bytes read at once; no row may be longer."""
START = 80
EXACT_DIGITS = 15
"""Whole numbers of more digits are not exact as floats."""

_NUMBER = re.compile(
    r"\s*[+-]?(?:(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:e[+-]?[0-9]+)?|nan|inf|infinity)\s*", re.I
)
_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass
class Csv:
    """A CSV file whose head is known.

    Attributes
    ----------
    path
        The file.
    head
        The columns' names, without white space around them; each its own.
    separator
        What stands between fields.
    encoding
        Python's name of how its text is written.
    begins
        How many lines stand before the first row.
    quotes
        How many quotation marks are in it.
    decimal
        What stands before decimals, and the first line that shows it; empty until a number does.
    """

    path: Path
    head: list[str]
    separator: str
    encoding: str
    begins: int
    quotes: int
    decimal: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class Rows:
    """Rows of a file, as text.

    Attributes
    ----------
    file
        The file they are from.
    columns
        An Arrow array of text by a column's name; empty fields are null.
    lines
        The line of the file that each row begins in.
    """

    file: Csv
    columns: Mapping[str, Any]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def place(self) -> Place:
        """Where the rows stand, for messages."""
        return Place(self.file.path, "line", self.lines)

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return list(self.columns)

    def without(self, names: Collection[str]) -> "Rows":
        """Leave out columns."""
        return replace(self, columns={name: c for name, c in self.columns.items() if name not in names})

    def texts(self, name: str) -> list[str]:
        """Give a column as it is written, empty where the field is."""
        return [value or "" for value in self.columns[name].to_pylist()]

    def numbers(self, names: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Give columns as numbers, NaN where a field is empty.

        Raises
        ------
        UserError
            If a field holds anything else; names line and column.
        """
        found = np.empty((len(self), len(names)))
        for k, name in enumerate(names):
            column = _pointed(self, name)
            try:
                found[:, k] = _floats(column).to_numpy(zero_copy_only=False)
            except ValueError:
                values = self.columns[name].to_pylist()
                wrong = (r for r, v in enumerate(column.to_pylist()) if v and not _NUMBER.fullmatch(v))
                row = next(wrong, 0)
                raise UserError(
                    f"{self.place(row)}: {name} is {values[row][:40]!r}, not a number: correct the row"
                ) from None
        return found

    def guessed(self, name: str) -> np.ndarray:
        """Give a column as whole numbers, numbers or text, whichever all of its fields are."""
        import pyarrow as pa

        texts = [text.strip() for text in self.texts(name)]
        there = [text for text in texts if text]
        if there and all(map(_WHOLE.fullmatch, there)):
            try:
                if len(there) == len(texts):
                    return np.array(pa.array(texts).cast(pa.int64()).to_numpy(zero_copy_only=False))
            except pa.ArrowInvalid:
                pass
            if max(map(len, there)) > EXACT_DIGITS:
                return np.asarray(texts, dtype=str)
        if there and all(map(_NUMBER.fullmatch, there)):
            try:
                return self.numbers([name])[:, 0]
            except UserError:
                pass
        return np.asarray(texts, dtype=str)


def _floats(column: Any) -> Any:
    """Cast text to numbers; ValueError if it holds anything else."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid:
        bare = pc.utf8_trim_whitespace(column)
        return pc.if_else(pc.equal(bare, ""), None, bare).cast(pa.float64())


def _pointed(rows: Rows, name: str) -> Any:
    """Give a column whose decimals stand after points, whatever the file has."""
    import pyarrow.compute as pc

    column, file = rows.columns[name], rows.file
    if file.separator == ",":
        return column
    for mark in ",.":
        row = pc.index(pc.fill_null(pc.match_substring(column, mark), False), True).as_py()
        if row < 0:
            continue
        text = column[row].as_py()
        if not file.decimal[0]:
            file.decimal = mark, rows.lines[row]
            if mark == ",":
                say(f"  {file.path}: decimals are read behind commas, as in {text[:40]!r}", once=True)
        if file.decimal[0] != mark:
            raise UserError(
                f"{rows.place(row)}: {name} is {text[:40]!r}, where decimals stand behind a "
                f"{'comma' if mark == '.' else 'point'} (line {file.decimal[1]}): write all numbers alike, "
                "with no sign between thousands"
            )
    return pc.replace_substring(column, ",", ".") if file.decimal[0] == "," else column


def read(path: Path, what: str) -> Rows:
    """Read a whole CSV file as text.

    Parameters
    ----------
    path
        The file.
    what
        What it should be, for messages: "a list of pairs".

    Raises
    ------
    UserError
        If it is no text, has no head, two columns of one name or a row of too many or few fields; the
        message names the line.
    """
    file = opened(path, what)
    return joined(file, list(batches(file)))


def joined(file: Csv, parts: Sequence[Rows]) -> Rows:
    """Put batches of one file together."""
    import pyarrow as pa

    # As a large string, for some files hold more than 2 GB of text.
    columns = {
        name: pa.concat_arrays([part.columns[name].cast(pa.large_string()) for part in parts])
        for name in parts[0].columns
    }
    return Rows(file, columns, [line for part in parts for line in part.lines])


def opened(path: Path, what: str) -> Csv:
    """Look at a file's text and its head; raises as ``read`` does."""
    encoding, quotes = _checked_text(path, what)
    with path.open(encoding=encoding, newline="") as file:
        begins, stated, first = 0, "", ""
        # Excel may say in a line of its own what separates fields; empty lines may stand before the head.
        for first in file:
            if told := re.fullmatch(r"sep=([,;\t])\s*", first, re.IGNORECASE):
                stated = told[1]
            elif first.strip():
                break
            begins += 1
        else:
            raise UserError(f"{path} is empty: give it a first line that names its columns, and rows")
        try:
            fields = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in SEPARATORS}
            separator = stated or max(fields, key=lambda mark: fields[mark])
            reader = csv.reader(itertools.chain([first], file), delimiter=separator)
            head = [clean(name) for name in next(reader, [])]
        except csv.Error as error:
            raise UserError(f"{path}, line {begins + 1}: no CSV ({error}): correct the line") from None
    if twice := [name for name in head if head.count(name) > 1]:
        raise UserError(f"{path} has two columns of one name, {twice[0]!r}, in its first line: rename one")
    if separator != ",":
        say(f"  {path}: its fields are separated by {SEPARATORS[separator]}", once=True)
    return Csv(path, head, separator, encoding, begins + reader.line_num, quotes)


def encoding_of(start: bytes) -> str:
    """Tell by a file's first bytes how its text is written."""
    return next((name for mark, name in MARKS if start.startswith(mark)), "utf-8")


def start(path: Path, what: str) -> tuple[bytes, str]:
    """Give the first bytes of a file, and its first line as far as they reach; raises as ``text`` does."""
    try:
        signatures.check_regular(path, what)
        with path.open("rb") as file:
            begin = file.read(START)
    except OSError as error:
        raise UserError(
            f"cannot read {path} as {what} ({error.strerror or error}): correct the path"
        ) from None
    line = re.split("[\r\n]", begin.decode(encoding_of(begin), "replace"))[0]
    return begin, line.lstrip("\ufeff")


def text(path: Path, what: str) -> str:
    """Read a whole file of text, UTF-8 or marked UTF-16, with line ends as Python has them.

    Raises
    ------
    UserError
        If it cannot be read or is no text.
    """
    encoding, _ = _checked_text(path, what)
    return path.read_text(encoding=encoding).lstrip("\ufeff")


def _checked_text(path: Path, what: str) -> tuple[str, int]:
    """Give a file's encoding and its quotation marks; refuse what is no text.

    pyarrow would notice only where a field is looked at.
    """
    try:
        signatures.check_regular(path, what)
        with path.open("rb") as file:
            begin = file.read(signatures.HEAD)
            if signatures.of_bytes(begin) in (signatures.LFS, signatures.PAGE):
                raise ValueError("no table")
            encoding = encoding_of(begin)
            file.seek(0)
            decoder = codecs.getincrementaldecoder(encoding)()
            quotes = 0
            while block := file.read(1 << 20):
                quotes += decoder.decode(block).count('"')
            decoder.decode(b"", final=True)
            return encoding, quotes
    except OSError as error:
        raise UserError(f"cannot read {path} as {what} ({error.strerror or error}): correct it") from None
    except ValueError as error:
        raise signatures.mistaken(path, what.removeprefix("a ")) or UserError(
            f"cannot read {path} as {what} ({first_line(error)}): save it as UTF-8 text"
        ) from None


def batches(file: Csv) -> Iterator[Rows]:
    """Read the rows of a file, some at a time and without empty ones; at least one batch.

    Raises
    ------
    UserError
        If a row has too many or few fields, or a quotation mark is never closed.
    """
    import pyarrow as pa

    ragged: list[Any] = []
    line, last = file.begins + 1, ""
    for batch in _blocks(file, ragged):
        if ragged:
            break
        if not batch.num_rows:
            continue
        rows, line = _numbered(file, batch, line)
        last = str(batch.columns[-1][-1].as_py() or "")
        yield rows
    if ragged:
        raise _ragged(file, ragged[0])
    if file.quotes % 2 and "\n" in last:
        raise UserError(
            f"{file.path}: a quotation mark is never closed, and all that follows it is one field: close it"
        )
    yield Rows(file, dict.fromkeys(file.head, pa.array([], pa.string())), [])


def _blocks(file: Csv, ragged: list[Any]) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    def keep(row: Any) -> str:
        ragged.append(row)
        return "skip"

    names = [str(k) for k in range(len(file.head))]
    try:
        yield from arrow.open_csv(
            file.path,
            # Only one thread counts the lines.
            read_options=arrow.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=names,
                skip_rows=file.begins,
                encoding=file.encoding.removesuffix("-sig"),
            ),
            parse_options=arrow.ParseOptions(
                delimiter=file.separator,
                ignore_empty_lines=False,
                newlines_in_values=file.quotes > 0,
                invalid_row_handler=keep,
            ),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except (pa.ArrowException, OSError) as error:
        # A file that ends with its head is one without rows.
        if "Empty CSV" not in str(error) and "Could not skip" not in str(error):
            raise UserError(f"cannot read {file.path} as CSV ({first_line(error)}): correct it") from None


def _numbered(file: Csv, batch: Any, line: int) -> tuple[Rows, int]:
    """Give each row its line, leave out empty rows, and give the line after them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    height = np.ones(batch.num_rows, dtype=np.int64)
    filled = np.zeros(batch.num_rows, dtype=bool)
    for column in batch.columns:
        filled |= column.is_valid().to_numpy(zero_copy_only=False)
        if file.quotes:
            height += pc.fill_null(pc.count_substring(column, "\n"), 0).to_numpy(zero_copy_only=False)
    ends = line + np.cumsum(height)
    lines = (ends - height)[filled].tolist()
    if not filled.all():
        batch = batch.filter(pa.array(filled))
    return Rows(file, dict(zip(file.head, batch.columns, strict=True)), lines), int(ends[-1])


def _ragged(file: Csv, row: Any) -> UserError:
    line, hint = row.number, ""
    if file.quotes:
        # pyarrow counts rows, and a field in quotation marks may hold line ends.
        with file.path.open(encoding=file.encoding, newline="") as text:
            rows = csv.reader(itertools.islice(text, file.begins, None), delimiter=file.separator)
            try:
                for _ in range(row.number - file.begins - 1):
                    next(rows, None)
            except csv.Error:
                pass
            line = file.begins + rows.line_num + 1
        hint = ", and its quotation marks" if '"' in row.text else ""
    return UserError(
        f"{file.path}, line {line}: {row.actual_columns} fields where the head has {row.expected_columns}: "
        f"correct the row{hint}"
    )
