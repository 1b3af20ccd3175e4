"""How much a file's contents may take in memory: asked before anything is unpacked."""

import os
from contextlib import suppress
from pathlib import Path

from embedlab.errors import UserError

SMALL = 1 << 26
"""Bytes that are there in any case."""


def free() -> int:
    """Give the bytes of memory that may still be taken, as far as the system says."""
    found = []
    with suppress(OSError, ValueError, LookupError):
        stated = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text("ascii").splitlines())
        found.append(int(stated["MemAvailable"].split()[0]) << 10)
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most, taken = ((group / f"memory.{word}").read_text("ascii") for word in ("max", "current"))
        found.append(int(most) - int(taken))
    if not found:
        with suppress(AttributeError, OSError, ValueError):
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return max(0, min(found, default=1 << 62))


def check(path: Path, needed: int) -> None:
    """Refuse a file that would fill the memory.

    Parameters
    ----------
    path
        The file.
    needed
        How many bytes its contents take in memory.

    Raises
    ------
    UserError
        If that is more than is free.
    """
    _check(f"{path} is not read: it unpacks to", needed, "give a file of fewer rows")


def check_rows(title: str, needed: int) -> None:
    """Refuse to make vectors of a set that would fill the memory; of few bytes nothing is asked.

    Parameters
    ----------
    title
        The set's.
    needed
        How many bytes they take.

    Raises
    ------
    UserError
        If that is more than is free.
    """
    if needed > SMALL:
        _check(f"{title} at length one takes", needed, "give fewer images")


def _check(what: str, needed: int, advice: str) -> None:
    if needed > (there := free()):
        raise UserError(
            f"{what} {needed / 1e9:,.1f} GB, and {there / 1e9:,.1f} GB of memory are free: {advice}, or use "
            "a machine of more memory"
        )
