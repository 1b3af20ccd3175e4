"""Verification protocols: lists of image pairs that show the same person or two people."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from embedlab.errors import UserError
from embedlab.shapes import check_shapes
from embedlab.store import atomic_file

COLUMNS = ("image_a", "image_b", "same")
TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of items, in order.

    Attributes
    ----------
    a, b
        Item names of the two images of each pair.
    same
        Whether both show one person; bool of shape (n,).
    folds
        The fold each pair belongs to, or None if the protocol has no folds; int64 of shape (n,).

    Raises
    ------
    UserError
        If there is no pair.
    ValueError
        If the columns differ in length. This is a bug in the code that made the record.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    same: Bool[np.ndarray, " n"]
    folds: Int[np.ndarray, " n"] | None = None

    def __post_init__(self) -> None:
        check_shapes(self)
        columns = (self.a, self.b, self.same, *(() if self.folds is None else (self.folds,)))
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"columns of pairs differ in length: {[len(column) for column in columns]}")
        if not self.a:
            raise UserError("a list of pairs is empty: give it at least one pair")

    def __len__(self) -> int:
        return len(self.a)


def read_pairs(path: Path | str) -> Pairs:
    """Read pairs from a CSV file with the columns ``image_a,image_b,same`` and, if there, ``fold``.

    ``same`` is 1 or 0, true or false, yes or no; other columns are left alone.

    Raises
    ------
    UserError
        If the file cannot be read, lacks a column or has a wrong row; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path} as a list of pairs ({error}): it must be UTF-8 text with the columns "
            f"{','.join(COLUMNS)}"
        ) from None
    rows = csv.reader(io.StringIO(text, newline=""))
    head = [column.strip() for column in next(rows, [])]
    missing = [column for column in COLUMNS if column not in head]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]!r} (its first line is {','.join(head)!r}): name the columns "
            f"{','.join(COLUMNS)} there"
        )
    a, b, same, folds = [], [], [], []
    at_a, at_b, at_same = (head.index(column) for column in COLUMNS)
    at_fold = head.index("fold") if "fold" in head else None
    for row in rows:
        if not row:
            continue
        where = f"{path}, line {rows.line_num}"
        if len(row) != len(head):
            raise UserError(f"{where}: {len(row)} fields where the head has {len(head)}: correct the row")
        first, second, truth = row[at_a].strip(), row[at_b].strip(), row[at_same].strip().lower()
        if not first or not second:
            raise UserError(f"{where}: an image has no name: give both, or remove the row")
        if first == second:
            raise UserError(f"{where}: {first!r} is paired with itself: remove the row")
        if truth not in TRUTH:
            raise UserError(f"{where}: same is {truth!r}: write 1 or 0, true or false, yes or no")
        if at_fold is not None:
            try:
                folds.append(int(row[at_fold]))
            except ValueError:
                raise UserError(f"{where}: fold is {row[at_fold]!r}: write a whole number") from None
        a.append(first)
        b.append(second)
        same.append(TRUTH[truth])
    if not a:
        raise UserError(f"{path} lists no pairs: give it at least one row")
    return Pairs(
        tuple(a),
        tuple(b),
        np.array(same, dtype=bool),
        None if at_fold is None else np.array(folds, dtype=np.int64),
    )


def write_pairs(path: Path | str, pairs: Pairs) -> None:
    """Write pairs as the CSV that ``read_pairs`` reads, atomically."""
    columns = [pairs.a, pairs.b, pairs.same.astype(int).tolist()]
    head = list(COLUMNS)
    if pairs.folds is not None:
        columns.append(pairs.folds.tolist())
        head.append("fold")
    with atomic_file(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(zip(*columns, strict=True))
