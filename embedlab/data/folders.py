"""Images in folders of people: which files are images, whom they show, and what was left out."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embedlab.errors import UserError

PROGRAMS = frozenset(
    (
        *("@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "__macosx", "__pycache__", "lost+found"),
        *("$recycle.bin", "system volume information", "network trash folder", "temporary items"),
    )
)
"""Folders that file servers, archivers and systems make beside images, in lower case: nobody's pictures."""

_PART = re.compile(
    r"(train(ing)?|test(ing)?|val(id(ation)?)?|eval(uation)?|dev(elopment)?|hold[ _-]?out"
    r"|galler(y|ies)|probes?|quer(y|ies)|enrol(l?ment|l)?|references?)"
    r"([ _-]?(set|split|data|images?|faces|people|[0-9]+))*",
    re.IGNORECASE,
)
"""Names of the parts that data sets are split into."""

NAMED = 3


class NoImages(UserError):
    """A folder without an image of a person."""


@dataclass(frozen=True)
class Listing:
    """The images of a folder of people.

    Attributes
    ----------
    items
        Paths from the folder, with forward slashes, sorted.
    people
        Whom each shows.
    ignored
        How many files are no images of a person.
    notes
        Sentences on what was left out or chosen.
    caution
        What a reader of figures should know of how the people were found; empty if nothing.
    """

    items: tuple[str, ...]
    people: tuple[str, ...]
    ignored: int
    notes: tuple[str, ...]
    caution: str


@dataclass
class _Walked:
    files: list[str] = field(default_factory=list)
    programs: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        found = []
        if self.programs:
            found.append(
                f"folders that programs made were passed over: {listed(sorted(self.programs))} "
                f"({self.programs.total():,} in all)"
            )
        if self.odd:
            found.append(
                f"{listed(sorted(self.odd))} ({len(self.odd):,} in all): no file or folder, but a pipe, a "
                "socket, a device, or a link to nothing or to itself; passed over"
            )
        if self.again:
            found.append(
                f"links to folders that were listed already were passed over: {listed(sorted(self.again))} "
                f"({len(self.again):,} in all)"
            )
        return tuple(found)


def listing(root: Path, suffixes: tuple[str, ...]) -> Listing:
    """List the images of ``<person>/<image>`` below a folder, and whom they show.

    The person is the outermost folder. Where all outermost folders bear names of a data set's parts
    (``train``, ``test``, ``gallery``, …), it is the folder within. Hidden files, folders that programs make
    (``@eaDir``), and whatever is no file are left out. Links are followed, to each folder once.

    Parameters
    ----------
    root
        The folder.
    suffixes
        What the names of images end in, in lower case.

    Raises
    ------
    NoImages
        If there is no image in a folder.
    UserError
        If a folder cannot be listed, a name is not UTF-8, or images lie in folders of parts, without a
        folder of a person.
    """
    walked = _walk(root)
    items = []
    for relative in walked.files:
        hidden = relative.rpartition("/")[2].startswith(".")
        if "/" in relative and not hidden and relative.lower().endswith(suffixes):
            items.append(_utf8(relative, root))
    ignored = len(walked.files) - len(items)
    if not items:
        left_out = "".join(f"; {note}" for note in walked.notes())
        raise NoImages(
            f"{root} holds no images in folders of people ({ignored} other files{left_out}): lay them out as "
            f"{root}/<person>/<image>, with images ending in {' '.join(suffixes)}"
        )
    items.sort()
    people, note, caution = _people(items, root)
    return Listing(tuple(items), people, ignored, (*walked.notes(), *note), caution)


def _walk(root: Path) -> _Walked:
    """Walk a folder; links last, so that what a link leads to is known by its own place if it has one."""
    walked = _Walked()
    folders, links = [(str(root), "")], list[tuple[str, str]]()
    seen: set[tuple[int, int]] = set()
    while folders or links:
        folder, prefix = folders.pop() if folders else links.pop(0)
        here, entries = _entries(folder)
        if here in seen:
            walked.again.append(prefix.rstrip("/"))
            continue
        seen.add(here)
        for entry in entries:
            kind = _kind(entry)
            if kind == "file":
                walked.files.append(prefix + entry.name)
            elif kind == "odd":
                walked.odd.append(prefix + entry.name)
            elif entry.name.startswith(".") or entry.name.lower() in PROGRAMS:
                walked.programs[entry.name] += 1
            else:
                below = links if entry.is_symlink() else folders
                below.append((entry.path, f"{prefix}{entry.name}/"))
    return walked


def _entries(folder: str) -> tuple[tuple[int, int], list["os.DirEntry[str]"]]:
    try:
        status = os.stat(folder)  # noqa: PTH116
        with os.scandir(folder) as found:
            return (status.st_dev, status.st_ino), sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"cannot list {folder}: {error.strerror or error}: make the folder readable, or move it away"
        ) from None


def _kind(entry: "os.DirEntry[str]") -> str:
    """Say whether an entry is, after links, a file, a folder or something that must not be opened."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "odd"
    except OSError:
        # A link to itself, or through a folder that may not be entered.
        return "odd"


def _utf8(item: str, where: Path) -> str:
    try:
        item.encode()
    except UnicodeEncodeError:
        raise UserError(f"{where} holds a file whose name is not UTF-8, {item!r}: rename it") from None
    return item


def _people(items: Sequence[str], root: Path) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Give the person of each item, notes and a caution."""
    parts = [item.split("/") for item in items]
    outer = sorted({one[0] for one in parts})
    deep = [item for item, one in zip(items, parts, strict=True) if len(one) > 2]
    if all(_PART.fullmatch(name) for name in outer):
        shallow = next((item for item, one in zip(items, parts, strict=True) if len(one) == 2), None)
        if shallow is not None:
            raise UserError(
                f"{root} holds the folders {listed(outer)}, which are names of parts of a data set, and "
                f"images lie in them directly, such as {shallow}: lay them out as "
                f"{outer[0]}/<person>/<image>, or rename the folders if these are people"
            )
        return tuple(one[1] for one in parts), (), _of_parts(outer, parts)
    people = tuple(one[0] for one in parts)
    if len(deep) == len(items):
        return people, (), _of_depth(items, parts, outer)
    if not deep:
        return people, (), ""
    note = (
        f"{len(deep):,} of {len(items):,} images lie deeper than <person>/<image>, such as {deep[0]}: taken "
        "for images of their outermost folder's person"
    )
    return people, (note,), ""


def _of_parts(outer: Sequence[str], parts: Sequence[Sequence[str]]) -> str:
    within = {one: {each[1] for each in parts if each[0] == one} for one in outer}
    people = Counter(name for names in within.values() for name in names)
    both = sum(count > 1 for count in people.values())
    shared = f"; {both:,} of them stand in several, as one person" if both else ""
    return (
        f"the folders {listed(outer)} were taken for parts of one data set, and the folders within them for "
        f"people ({len(people):,}{shared})"
    )


def _of_depth(items: Sequence[str], parts: Sequence[Sequence[str]], outer: Sequence[str]) -> str:
    inner = {(one[0], one[1]) for one in parts}
    common = sorted(name for name, count in Counter(name for _, name in inner).items() if count > 1)
    shared = f"; {listed(common)} stand in several of them" if common else ""
    return (
        f"all images lie deeper than <person>/<image>, such as {items[0]}: the {len(outer):,} outermost "
        f"folders ({listed(outer)}) were taken for people, and not the {len(inner):,} within them{shared}; "
        "if the people are those, give an index file of images and people"
    )


def listed(names: Iterable[str]) -> str:
    """Name some, and say that there are more."""
    names = list(names)
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
