"""What other packages add through entry points: analyses, questions, recipes and readers of files.

Each kind has a group, ``embedlab.<kind>``. Nothing is imported before it is asked for, except where a list
has to say what cannot be used; and what cannot be imported costs itself alone.
"""

import importlib
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from embedlab.errors import Terminated, UserError, first_line

MEND = "mend or uninstall that package"


def points(group: str) -> Sequence[EntryPoint]:
    """List what packages declare in a group, by name; what is declared twice alike stands once."""
    return _points(group, tuple((place, _changed(place)) for place in sys.path))


def _changed(place: str) -> int:
    """Tell when something came into a folder of packages or left it, as installing does; 0 of no folder."""
    try:
        return Path(place).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=32)
def _points(group: str, places: tuple[tuple[str, int], ...]) -> Sequence[EntryPoint]:  # noqa: ARG001
    # Reading what hundreds of packages declare takes some milliseconds, and is asked again and again.
    return tuple(sorted(set(entry_points(group=group)), key=lambda point: (point.name, point.value)))


def where(kind: str, name: str, value: str) -> str:
    """Begin a sentence about one of them."""
    return f"the {kind} {name!r}, which another package declares as {value},"


def parts(value: str) -> tuple[str, str]:
    """Give the module and the attribute, empty if there is none, that an entry point's value names."""
    module, _, named = value.partition("[")[0].partition(":")
    return module.strip(), named.strip()


def load(kind: str, name: str, value: str, attribute: str = "") -> Any:
    """Import what an entry point names.

    Parameters
    ----------
    kind, name
        What it is, as in "the analysis 'spread'".
    value
        ``module``, or ``module:attribute``, as the package declares it.
    attribute
        What is taken of a module whose attribute is not named; the module itself if empty.

    Raises
    ------
    UserError
        If it cannot be imported, whatever its code does.
    """
    module, named = parts(value)
    try:
        found: Any = importlib.import_module(module)
        for part in filter(None, (named or attribute).split(".")):
            found = getattr(found, part)
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{where(kind, name, value)} cannot be imported ({told}): {MEND}") from error
    return found
