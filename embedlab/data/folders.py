"""Images in folders of people: which files are images, whom they show, and what was left out."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

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

UNREAD = (".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".psd", ".dng", ".cr2", ".nef", ".arw")
"""Suffixes of pictures that are passed over, which whoever has them may not expect."""

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
    pictures = Counter(PurePosixPath(name).suffix.lower() for name in walked.files)
    unread = [f"{suffix} ({pictures[suffix]:,})" for suffix in UNREAD if pictures[suffix]]
    if unread:
        note = (*note, f"pictures of kinds that are not read were passed over: {', '.join(unread)}")
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
    people = _folders(items, 0)
    outer = sorted(set(people))
    deep = sum(item.count("/") > 1 for item in items)
    if all(_PART.fullmatch(name) for name in outer):
        shallow = next((item for item in items if item.count("/") == 1), None)
        if shallow is not None:
            raise UserError(
                f"{root} holds the folders {listed(outer)}, which are names of parts of a data set, and "
                f"images lie in them directly, such as {shallow}: lay them out as "
                f"{outer[0]}/<person>/<image>, or rename the folders if these are people"
            )
        within = _folders(items, 1)
        return within, (), _of_parts(outer, set(zip(people, within, strict=True)))
    if deep == len(items):
        return people, (), _of_depth(items[0], outer, set(zip(people, _folders(items, 1), strict=True)))
    if not deep:
        return people, (), ""
    first = next(item for item in items if item.count("/") > 1)
    note = (
        f"{deep:,} of {len(items):,} images lie deeper than <person>/<image>, such as {first}: taken for "
        "images of their outermost folder's person"
    )
    return people, (note,), ""


def _folders(items: Sequence[str], level: int) -> tuple[str, ...]:
    # One string a folder, where there may be millions of images.
    once: dict[str, str] = {}
    names = (item.split("/", level + 1)[level] for item in items)
    return tuple(once.setdefault(name, name) for name in names)


def _of_parts(outer: Sequence[str], within: set[tuple[str, str]]) -> str:
    people = Counter(name for _, name in within)
    both = sum(count > 1 for count in people.values())
    shared = f"; {both:,} of them stand in several, as one person" if both else ""
    return (
        f"the folders {listed(outer)} were taken for parts of one data set, and the folders within them for "
        f"people ({len(people):,}{shared})"
    )


def _of_depth(first: str, outer: Sequence[str], within: set[tuple[str, str]]) -> str:
    common = sorted(name for name, count in Counter(name for _, name in within).items() if count > 1)
    shared = f"; {listed(common)} stand in several of them" if common else ""
    return (
        f"all images lie deeper than <person>/<image>, such as {first}: the {len(outer):,} outermost "
        f"folders ({listed(outer)}) were taken for people, and not the {len(within):,} within them{shared}; "
        "if the people are those, give an index file of images and people"
    )


def listed(names: Iterable[str]) -> str:
    """Name some, and say that there are more."""
    names = list(names)
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
