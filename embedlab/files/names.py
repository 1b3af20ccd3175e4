"""Names of items and people, written one way whatever file they come from.

Every reader passes its names through here, so that ``p00/i0`` of one file is ``p00/i0`` of every other:
Unicode in its composed form (NFC), no white space or invisible signs around it, bytes as the text they
hold, whole numbers without decimals. What is changed is said in a sentence.
"""

import ast
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from embedlab.errors import UserError
from embedlab.progress import say

LONGEST = 4096
"""Longer names, in letters, are no names: a table of them would fill the memory."""

INVISIBLE = "\x00\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_WHITE = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
_AROUND = _WHITE + "".join(map(chr, range(0x2000, 0x200B))) + INVISIBLE
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.0)?")
_BYTES = re.compile(r"""b(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")""", re.ASCII)


@dataclass(frozen=True)
class Place:
    """Where names stand, for messages.

    Attributes
    ----------
    file
        The file they were read from.
    word
        What a row is called there: ``line`` or ``row``.
    rows
        The number of each row.
    """

    file: Path
    word: str
    rows: Sequence[int]

    def __call__(self, row: int) -> str:
        """Name a row: "a.csv, line 3"."""
        return f"{self.file}, {self.word} {self.rows[row]}"


def clean(name: str) -> str:
    """Write one name as every reader writes it."""
    if name.isascii() and name.isprintable():
        return name.strip(" ")
    return unicodedata.normalize("NFC", name).strip(_AROUND)


def cleaned(written: Sequence[str], what: str, file: Path) -> list[str]:
    """Write a column of names as every reader writes them; say it where that changes any.

    Parameters
    ----------
    written
        As the file has them.
    what
        What they name, in the plural: ``items`` or ``people``.
    file
        Where they stand.

    Raises
    ------
    UserError
        If a name has more than ``LONGEST`` letters.
    """
    if too_long := next((name for name in written if len(name) > LONGEST), None):
        raise UserError(
            f"{file}: one of the {what}, {too_long[:20]!r}…, has a name of {len(too_long):,} letters: give "
            f"names of at most {LONGEST:,}"
        )
    names = _of_numbers(_of_bytes([clean(name) for name in written]))
    if changed := [k for k, (old, new) in enumerate(zip(written, names, strict=True)) if old != new]:
        first = changed[0]
        spellings, different = len(set(written)), len(set(names))
        one = f"; {spellings:,} spellings are {different:,} names" if different < spellings else ""
        say(
            f"  {file}: {len(changed):,} of {len(names):,} names of {what} are tidied (white space, form of "
            f"letters, decimals), such as {shown(written[first])} to {names[first]!r}{one}",
            once=True,
        )
    return names


def shown(name: str) -> str:
    """Show a name with what cannot be seen in it."""
    return ascii(name) if clean(name) != name else repr(name)


def _of_bytes(names: list[str]) -> list[str]:
    """Undo what ``str`` made of bytes, ``b'ann'``, where a whole column is such."""
    there = [name for name in names if name]
    if not there or not all(map(_BYTES.fullmatch, there)):
        return names
    try:
        return [clean(ast.literal_eval(name).decode()) if name else name for name in names]
    except (ValueError, SyntaxError):
        return names


def _of_numbers(names: list[str]) -> list[str]:
    """Write whole numbers without decimals where a column has nothing else: 3, not 3.0.

    Some may have none already, as in a table that was put together of two.
    """
    there = [name for name in names if name]
    if not there or not all(map(_WHOLE.fullmatch, there)):
        return names
    return [name.removesuffix(".0") for name in names]


def of_items(written: Sequence[str], place: Place) -> list[str]:
    """Give the names of items: each its own.

    Raises
    ------
    UserError
        If one is empty, or two are the same once they are written one way; names both rows.
    """
    names = _named(written, "items", "item", place)
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if (before := first.setdefault(name, row)) == row:
            continue
        as_written = {written[before], written[row]}
        apart = (
            "" if len(as_written) == 1 else f" ({' and '.join(map(shown, sorted(as_written)))} are one name)"
        )
        raise UserError(
            f"{place(row)}: item {name!r} stands in {place.word} {place.rows[before]} already{apart}: give "
            "every image a name of its own"
        )
    return names


def of_people(written: Sequence[str], place: Place) -> list[str]:
    """Give the names of people; several rows may have one.

    Raises
    ------
    UserError
        If one is empty; names the row.
    """
    return _named(written, "people", "person", place)


def _named(written: Sequence[str], what: str, one: str, place: Place) -> list[str]:
    names = cleaned(written, what, place.file)
    if "" in names:
        raise UserError(f"{place(names.index(''))}: the {one} has no name: give it one, or remove the row")
    return names


def _letters(name: str) -> str:
    apart = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("large and small letters", str.casefold),
    ("spaces", lambda name: "".join(name.split())),
    ("/ and \\", lambda name: name.replace("\\", "/")),
    ("the suffix", lambda name: re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name)),
    ("accents or the form of letters", _letters),
    ("the folder", lambda name: name.rpartition("/")[2]),
)
"""In what names of one image may differ between two programs; from the least to the most."""

MOST_COMPARED = 50_000


def differing(a: Sequence[str], b: Sequence[str]) -> str:
    """Say in what two lists of names differ, if they would share names without it; else nothing.

    Parameters
    ----------
    a, b
        Names without a common one; of many, the first are looked at.

    Returns
    -------
    A part of a sentence, such as "50 differ only in the suffix ('a/1.png' and 'a/1')", or "".
    """
    left, right = ({str(name): str(name) for name in names[:MOST_COMPARED]} for names in (a, b))
    words: list[str] = []
    for word, form in FORMS:
        fewer = [{form(key): name for key, name in names.items()} for names in (left, right)]
        if word == FORMS[-1][0] and (len(fewer[0]) < len(left) or len(fewer[1]) < len(right)):
            # Images of several people are called 1.png.
            return ""
        left, right = fewer
        words.append(word)
        if shared := left.keys() & right.keys():
            key = min(shared)
            needed = " and ".join(_needed(left[key], right[key], words))
            return f"{len(shared):,} differ only in {needed}, as {left[key]!r} and {right[key]!r}"
    return ""


def _needed(one: str, other: str, words: Sequence[str]) -> list[str]:
    """Leave out the words that this pair of names is the same without."""
    kept = list(words)
    for word in words:
        a, b = one, other
        for name, form in FORMS:
            if name in kept and name != word:
                a, b = form(a), form(b)
        if a == b:
            kept.remove(word)
    return kept


def near(name: str, there: Iterable[object]) -> str:
    """Say which of the names that are there somebody may have meant by one that is not.

    Returns
    -------
    The end of a message, such as "did you mean 'Ann'?", or the first names that are there.
    """
    known = [str(one) for one in itertools.islice(there, MOST_COMPARED)]
    folded = {one.casefold(): one for one in known}
    close = get_close_matches(name.casefold(), folded, n=3)
    if close:
        return f"did you mean {' or '.join(repr(folded[one]) for one in close)}?"
    return f"there are {', '.join(repr(one) for one in known[:3])}{' …' if len(known) > 3 else ''}"
