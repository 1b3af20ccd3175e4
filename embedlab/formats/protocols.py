"""Verification protocols: lists of image pairs that show the same person or two people.

Three kinds of file are read: CSV with the columns ``image_a,image_b,same`` and, if there, ``fold``; the
``pairs.txt`` of Labeled Faces in the Wild; and InsightFace's ``.bin``, which holds the images as well. The
first two are written too.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from embedlab.digest import Digest
from embedlab.errors import UserError
from embedlab.files import names, tables
from embedlab.formats import insightface_bin as bins
from embedlab.lab.store import atomic_file
from embedlab.progress import say
from embedlab.shapes import check_shapes

COLUMNS = ("image_a", "image_b", "same")
TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
BIN_FOLDS = 10
WHAT = "a list of pairs"


@dataclass(frozen=True, eq=False)
class PairList:
    """Pairs of items, in order.

    Attributes
    ----------
    a, b
        Item names of the two images of each pair.
    same
        Whether both show one person; bool of shape (n,).
    folds
        The fold each pair belongs to, or None if the protocol has no folds; int64 of shape (n,).
    source
        The file they were read from, as it was named; empty if none.

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
    source: str = ""

    def __post_init__(self) -> None:
        check_shapes(self)
        columns = (self.a, self.b, self.same, *(() if self.folds is None else (self.folds,)))
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"columns of pairs differ in length: {[len(column) for column in columns]}")
        if not self.a:
            raise UserError("a list of pairs is empty: give it at least one pair")

    def __len__(self) -> int:
        return len(self.a)

    @property
    def name(self) -> str:
        """What the list is called in texts: the name of its file."""
        return Path(self.source).name if self.source else "the list given"

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the pairs, in order, and their folds; equal lists have equal fingerprints."""
        digest = Digest()
        for column in (self.a, self.b, self.same, *(() if self.folds is None else (self.folds,))):
            digest.column(column)
        return digest.hexdigest()

    def rows(self, items: Sequence[str]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Find where the items of each pair stand.

        Parameters
        ----------
        items
            The names to look among. A name that is not among them as it stands is looked for without
            their suffixes: ``Zico/Zico_0001`` finds ``Zico/Zico_0001.jpg``.

        Returns
        -------
        For ``a`` and for ``b`` the position in ``items`` of each pair's image, -1 where there is none;
        int64 of shape (n,) each.

        Raises
        ------
        UserError
            If two items differ in nothing but the suffix, and a pair names one of them without it.
        """
        exact = {str(item): row for row, item in enumerate(items)}
        bare: dict[str, list[int]] = {}
        for item, row in exact.items():
            bare.setdefault(_without_suffix(item), []).append(row)

        def row_of(name: str) -> int:
            if name in exact:
                return exact[name]
            found = bare.get(name, [-1])
            if len(found) > 1:
                raise UserError(
                    f"the pairs name {name!r}, and there are {str(items[found[0]])!r} and "
                    f"{str(items[found[1]])!r}: write the name with its suffix"
                )
            return found[0]

        a, b = (np.array([row_of(name) for name in names], dtype=np.int64) for names in (self.a, self.b))
        return a, b


def _without_suffix(item: str) -> str:
    folder, slash, name = item.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem else item


def check(path: Path | str) -> None:
    """Refuse what cannot be opened as a list of pairs, without reading it.

    Raises
    ------
    UserError
        If there is no such file, or it may not be read.
    """
    tables.start(Path(path), WHAT)


def read(path: Path | str) -> PairList:
    """Read pairs from CSV, LFW's ``pairs.txt`` or InsightFace's ``.bin``, whichever the file is.

    * CSV has the columns ``image_a,image_b,same`` and, if there, ``fold``; ``same`` is 1 or 0, true or
      false, yes or no; other columns are left alone.
    * ``pairs.txt`` begins with ``10 300`` (folds, and pairs of each kind a fold) or ``1100`` (pairs of
      each kind, one fold and therefore none); then come, fold by fold, lines ``name n1 n2`` of one
      person and lines ``name1 n1 name2 n2`` of two. An image is called ``name/name_0001`` [1]_.
      Tabs separate where there are any, for names may hold spaces.
    * A ``.bin`` names no images: an item is called by its contents, as in the data set of that file.
      Its folds are ten runs of neighbouring pairs, as InsightFace cuts them.

    A pair that is listed twice counts twice, as the list says, and that is said.

    Raises
    ------
    UserError
        If the file cannot be read or has a wrong line, or lists a pair as of one person and of two; the
        message names the lines. (Of a ``.bin``, whose pairs have no lines, the last is only said.)

    References
    ----------
    .. [1] Huang, G. B., Ramesh, M., Berg, T. and Learned-Miller, E. Labeled Faces in the Wild.
       University of Massachusetts, Amherst, technical report 07-49, 2007.
    """
    source, path = str(path), Path(path)
    start, first = tables.start(path, WHAT)
    # A pickle of protocol 2 or later begins with 0x80 and the protocol.
    if path.suffix.lower() == ".bin" or (start[:1] == b"\x80" and b"\x02" <= start[1:2] <= b"\x05"):
        pairs = of_bin(bins.read(path))
        _say_doubtful(path, pairs)
        return replace(pairs, source=source)
    if 1 <= len(words := first.split()) <= 2 and all(map(_is_number, words)):
        pairs, lines = _lfw(path, tables.text(path, WHAT).split("\n"))
    else:
        pairs, lines = _csv(path)
    _check_truth(path, pairs, lines)
    _say_doubtful(path, pairs)
    return replace(pairs, source=source)


def _seen(pairs: PairList) -> dict[tuple[str, str], list[int]]:
    """Give the rows of each pair, whichever of its images comes first."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, (a, b) in enumerate(zip(pairs.a, pairs.b, strict=True)):
        rows.setdefault((a, b) if a <= b else (b, a), []).append(row)
    return rows


def _check_truth(path: Path, pairs: PairList, lines: Sequence[int]) -> None:
    for (a, b), rows in _seen(pairs).items():
        if len(set(pairs.same[rows].tolist())) > 1:
            other = next(row for row in rows if pairs.same[row] != pairs.same[rows[0]])
            raise UserError(
                f"{path}: line {lines[rows[0]]} says that {a!r} and {b!r} show "
                f"{'one person' if pairs.same[rows[0]] else 'two people'}, and line {lines[other]} says the "
                "opposite: remove one of them"
            )


def _say_doubtful(path: Path, pairs: PairList) -> None:
    """Say what a list of pairs does not have as a rule; it is judged as the list says all the same."""
    seen = _seen(pairs)
    if again := len(pairs) - len(seen):
        a, b = next(pair for pair, rows in seen.items() if len(rows) > 1)
        say(
            f"  {path}: {again:,} of {len(pairs):,} pairs stand there already, such as {a!r} and {b!r}; each "
            "counts as often as it is listed",
            once=True,
        )
    if alone := [a for a, b in seen if a == b]:
        say(f"  {path}: {len(alone):,} pairs are of a picture with itself, such as {alone[0]!r}", once=True)
    if both := [pair for pair, rows in seen.items() if len(set(pairs.same[rows].tolist())) > 1]:
        a, b = both[0]
        say(
            f"  {path}: {len(both):,} pairs are listed as one person and as two, such as {a!r} and {b!r}",
            once=True,
        )


def of_bin(held: bins.Bin) -> PairList:
    """Give the pairs of a ``.bin`` file; folds if there are at least ten pairs."""
    n = len(held.same)
    # The sizes are those of scikit-learn's KFold without shuffling, which InsightFace uses.
    parts = np.array_split(np.arange(n), BIN_FOLDS)
    folds = np.concatenate([np.full(len(part), fold) for fold, part in enumerate(parts)])
    return PairList(
        held.a, held.b, np.array(held.same, dtype=bool), folds.astype(np.int64) if n >= BIN_FOLDS else None
    )


def _lfw(path: Path, lines: Sequence[str]) -> tuple[PairList, list[int]]:
    *sets, each = map(int, lines[0].split())
    folds = sets[0] if sets else 1
    rows = [(number, _fields(line)) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if not folds * each:
        raise UserError(
            f"{path}, line 1: {lines[0]!r} announces no pairs: write folds and pairs, as in 10 300"
        )
    if len(rows) != 2 * folds * each:
        raise UserError(
            f"{path} holds {len(rows):,} pairs where its first line, {lines[0].strip()!r}, announces "
            f"{2 * folds * each:,} ({folds} folds of {each} + {each}): the file is cut short, or that line "
            "is wrong"
        )
    a, b, same = [], [], []
    for place, (number, words) in enumerate(rows):
        alike = place // each % 2 == 0
        where = f"{path}, line {number}"
        if len(words) != (3 if alike else 4):
            form = "one person, `name n1 n2`" if alike else "two people, `name1 n1 name2 n2`"
            raise UserError(
                f"{where}: {' '.join(words)!r} stands where a pair of {form}, belongs (fold "
                f"{place // (2 * each) + 1}): correct the line or the numbers in line 1, or put tabs between "
                "the fields if names hold spaces"
            )
        first, second = (words[0], words[1]), (words[-2] if not alike else words[0], words[-1])
        if first == second or (first[0] == second[0]) != alike:
            kind = "two images" if alike else "two people"
            raise UserError(f"{where}: {' '.join(words)!r} is no pair of {kind}: correct it")
        a.append(_lfw_item(*first, where))
        b.append(_lfw_item(*second, where))
        same.append(alike)
    every = np.arange(len(rows), dtype=np.int64) // (2 * each) if sets else None
    named = names.cleaned([*a, *b], "items", path)
    pairs = PairList(tuple(named[: len(a)]), tuple(named[len(a) :]), np.array(same, dtype=bool), every)
    return pairs, [number for number, _ in rows]


def _fields(line: str) -> list[str]:
    """Cut a line at its tabs, as LFW's own file has them, for names may hold spaces; else at white space."""
    fields = [field.strip() for field in line.split("\t") if field.strip()]
    return fields if len(fields) in (3, 4) else line.split()


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 8


def _lfw_item(name: str, number: str, where: str) -> str:
    if not _is_number(number):
        raise UserError(f"{where}: {number!r} is no number of an image of {name}: write a whole number")
    return f"{name}/{name}_{int(number):04d}"


def _csv(path: Path) -> tuple[PairList, list[int]]:
    file = tables.opened(path, WHAT)
    if missing := [column for column in COLUMNS if column not in file.head]:
        raise UserError(
            f"{path} has no column {missing[0]!r} (its first line is {','.join(file.head)[:80]!r}): name the "
            f"columns {','.join(COLUMNS)} there, or begin LFW's pairs.txt with its numbers, 10 300"
        )
    rows = tables.joined(file, list(tables.batches(file)))
    if not len(rows):
        raise UserError(f"{path} lists no pairs: give it at least one row")
    n = len(rows)
    named = names.cleaned([*rows.texts("image_a"), *rows.texts("image_b")], "items", path)
    a, b = named[:n], named[n:]
    truth = [value.strip().lower() for value in rows.texts("same")]
    for row, (first, second, same) in enumerate(zip(a, b, truth, strict=True)):
        where = rows.place(row)
        if not first or not second:
            raise UserError(f"{where}: an image has no name: give both, or remove the row")
        if first == second:
            raise UserError(f"{where}: {first!r} is paired with itself: remove the row")
        if same not in TRUTH:
            raise UserError(f"{where}: same is {same[:20]!r}: write 1 or 0, true or false, yes or no")
    folds = None
    if "fold" in rows.names:
        folds = np.array(
            [_fold(word, rows.place(row)) for row, word in enumerate(rows.texts("fold"))], np.int64
        )
    same_person = np.array([TRUTH[same] for same in truth], dtype=bool)
    return PairList(tuple(a), tuple(b), same_person, folds), list(rows.lines)


def _fold(text: str, where: str) -> int:
    try:
        number = int(text)
        if abs(number) < 1 << 31:
            return number
    except ValueError:
        pass
    raise UserError(f"{where}: fold is {text[:20]!r}: write a whole number")


def write(path: Path | str, pairs: PairList) -> None:
    """Write pairs as the CSV that ``read`` reads, atomically."""
    columns = [pairs.a, pairs.b, pairs.same.astype(int).tolist()]
    head = list(COLUMNS)
    if pairs.folds is not None:
        columns.append(pairs.folds.tolist())
        head.append("fold")
    with atomic_file(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(zip(*columns, strict=True))


def write_lfw(path: Path | str, pairs: PairList) -> None:
    """Write pairs as LFW's ``pairs.txt``, atomically.

    The format has an order of its own: fold by fold, in each the pairs of one person before those of two
    people; within these the pairs keep theirs. Folds stand in the order of their numbers, and lose them;
    items lose their suffix, and are found without it (``PairList.rows``).

    Raises
    ------
    UserError
        If the format cannot express the pairs: an item is not called ``name/name_0001``, the name of a
        person contradicts ``same``, or folds do not hold as many pairs of one person as of two, and as
        many as each other. The message names the pair, counted from 1, or the fold.
    """
    path = Path(path)
    lines = []
    for row, (a, b, same) in enumerate(zip(pairs.a, pairs.b, pairs.same.tolist(), strict=True), 1):
        (first, one), (second, other) = _lfw_name(a, row), _lfw_name(b, row)
        if (first == second) != same or (first, one) == (second, other):
            kind = "one person" if same else "two people"
            raise UserError(
                f"pair {row}: {a!r} and {b!r} are no two images of {kind} by their names, and pairs.txt says "
                "it by names alone: write the pairs as CSV"
            )
        lines.append(f"{first}\t{one}\t{other}\n" if same else f"{first}\t{one}\t{second}\t{other}\n")
    folds = np.zeros(len(pairs), dtype=np.int64) if pairs.folds is None else pairs.folds
    numbers = np.unique(folds)
    counts = {
        (fold, same): int(((folds == fold) & (pairs.same == same)).sum())
        for fold in numbers
        for same in (1, 0)
    }
    each = counts[numbers[0], 1]
    if wrong := [fold for fold in numbers if {counts[fold, 1], counts[fold, 0]} != {each}]:
        raise UserError(
            f"fold {wrong[0]} holds {counts[wrong[0], 1]:,} pairs of one person and {counts[wrong[0], 0]:,} "
            f"of two people, and pairs.txt has as many of each kind in every fold (here {each:,}): write the "
            "pairs as CSV"
        )
    head = f"{each}\n" if pairs.folds is None else f"{len(numbers)}\t{each}\n"
    order = np.lexsort((~pairs.same, folds))
    with atomic_file(path) as temporary:
        temporary.write_text(head + "".join(lines[k] for k in order), encoding="utf-8", newline="\n")


def _lfw_name(item: str, row: int) -> tuple[str, int]:
    for name in (item, _without_suffix(item)):
        person, _, image = name.partition("/")
        if (found := re.fullmatch(r"(.*)_([0-9]{4,7})", image)) and found[1] == person:
            number = int(found[2])
            if image == f"{person}_{number:04d}" and person == names.clean(person) and person.isprintable():
                return person, number
    raise UserError(
        f"pair {row}: {item!r} is not called name/name_0001, which pairs.txt needs: rename the image, or "
        "write the pairs as CSV"
    )
