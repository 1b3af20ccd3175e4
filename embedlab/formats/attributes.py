"""Columns of a CSV file, such as gender or camera, joined onto embedding sets by item or by person."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from embedlab.errors import UserError
from embedlab.files import names, tables
from embedlab.lab.embeddings import COLUMNS, EmbeddingSet

KEYS = {"item": "items", "identity": "people", "name": "people"}


@dataclass
class Attributes:
    """Further columns by item or by person, and which of their rows have been used.

    Attributes
    ----------
    path
        The file they come from.
    by
        What the rows are named by: ``items`` or ``people``.
    columns
        Column → name → value.
    used
        The names that a set had so far.
    """

    path: Path
    by: str
    columns: Mapping[str, Mapping[str, str]]
    used: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        """The items or people that the file has rows for."""
        return set(next(iter(self.columns.values())))

    def joined(self, embeddings: EmbeddingSet) -> tuple[EmbeddingSet, int]:
        """Give a set with these columns, and how many of its items or people have no row here.

        Whoever has no row gets an empty text.

        Raises
        ------
        UserError
            If the set has an attribute of one of these names already.
        """
        if clash := [name for name in self.columns if name in embeddings.attributes]:
            raise UserError(
                f"{self.path} has a column {clash[0]!r}, and {embeddings.title} has an attribute of that "
                "name already: rename the column"
            )
        people = np.asarray(embeddings.identities, dtype=str)
        keys = embeddings.items if self.by == "items" else people
        known = self.names & set(map(str, keys))
        self.used |= known
        added = {}
        for column, values in self.columns.items():
            found = np.array([values.get(str(key), "") for key in keys], dtype=str)
            added[column] = found if self.by == "items" else found[embeddings.labels]
        return replace(embeddings, attributes={**embeddings.attributes, **added}), len(keys) - len(known)

    def unknown(self) -> list[str]:
        """List the names that no set had."""
        return sorted(self.names - self.used)


def read(path: Path | str) -> Attributes:
    """Read a CSV file with a column ``item``, or else ``identity`` or ``name``, and further columns.

    Raises
    ------
    UserError
        If the file cannot be read, names nobody, or has a wrong row; the message names the line.
    """
    path = Path(path)
    rows = tables.read(path, "a table of attributes")
    key, others = _head(path, rows.names)
    if not len(rows):
        raise UserError(f"{path} has no rows: give it one {key} a line")
    written = rows.texts(key)
    what = KEYS[key]
    found = names.cleaned(written, what, path)
    lines: dict[str, int] = {}
    for row, name in enumerate(found):
        if not name:
            raise UserError(f"{rows.place(row)}: the {key} has no name: give it, or remove the row")
        if name in lines:
            raise UserError(
                f"{rows.place(row)}: {name!r} stands in line {lines[name]} already: remove one of them"
            )
        lines[name] = rows.lines[row]
    columns = {column: dict(zip(found, _values(rows, column), strict=True)) for column in others}
    return Attributes(path, what, columns)


def of_images(embeddings: EmbeddingSet, column: str, knob: str) -> list[Any]:
    """Give what a column says of each image.

    Raises
    ------
    UserError
        If there is no such column; the message says what ``knob``, which named it, may name.
    """
    if column not in embeddings.attributes:
        there = ", ".join(embeddings.attributes) or "none"
        raise UserError(f"{embeddings.title} has no column {column!r}: {knob} may name {there}")
    found: list[Any] = np.asarray(embeddings.attributes[column]).tolist()
    return found


def of_people(embeddings: EmbeddingSet, column: str, knob: str) -> np.ndarray | None:
    """Give what a column says of each person, as text, empty where it says nothing.

    Raises
    ------
    UserError
        As ``of_images`` does.

    Returns
    -------
    Of shape (people,); None where it says different things of images of one person, such as their pose.
    """
    values = np.array([_text(value) for value in of_images(embeddings, column, knob)], dtype=str)
    there, labels = values != "", embeddings.labels
    found = np.full(len(embeddings.identities), "", dtype=values.dtype)
    found[labels[there]] = values[there]
    return found if (found[labels] == values)[there].all() else None


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def _values(rows: tables.Rows, column: str) -> list[str]:
    values = [value.strip() for value in rows.texts(column)]
    if too_long := [row for row, value in enumerate(values) if len(value) > names.LONGEST]:
        raise UserError(
            f"{rows.place(too_long[0])}: {column} has {len(values[too_long[0]]):,} letters: give values of "
            f"at most {names.LONGEST:,}, and close every quotation mark"
        )
    return values


def _head(path: Path, head: list[str]) -> tuple[str, list[str]]:
    key = next((name for name in KEYS if name in head), None)
    if key is None:
        raise UserError(
            f"{path} has no column item, identity or name (its first line is {','.join(head)[:80]!r}): name "
            "the images or the people in one"
        )
    others = [name for name in head if name != key]
    if not others:
        raise UserError(f"{path} has no column beside {key!r}: add one, such as gender")
    if bad := [name for name in others if not name or name in COLUMNS or others.count(name) > 1]:
        raise UserError(
            f"{path}: {bad[0]!r} cannot be the name of an attribute: it is empty, stands twice, or has a "
            "meaning of its own; rename the column"
        )
    return key, others
