"""TOML files that somebody wrote: read, or refused in one line."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedlab.errors import UserError, first_line
from embedlab.files import signatures

LARGEST = 2**63
"""Beyond this whole numbers are no TOML, and the longest cannot even be printed."""


def text_of(path: Path, what: str) -> str:
    """Read a text file, with or without the mark that some editors put before UTF-8.

    Parameters
    ----------
    path
        The file.
    what
        What it is, as in "the study".

    Raises
    ------
    UserError
        If it cannot be read, is no regular file or no UTF-8, or stands for a file that was not fetched.
    """
    try:
        # Nobody may ever write to a pipe.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"cannot read {what} {path}: it is no regular file: give the path of one")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"cannot read {what} {path}: it is no UTF-8 (byte {error.start:,}): save it as UTF-8 text"
        ) from None
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"cannot read {what} {path}: {said}: correct its path") from None
    kind = signatures.of_bytes(text[: signatures.HEAD].encode())
    if kind in (signatures.LFS, signatures.PAGE):
        raise UserError(f"cannot read {what} {path}: it is {kind.name}: {kind.cure}")
    return text


def toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file; arguments as those of ``text_of``.

    Raises
    ------
    UserError
        If it cannot be read, is no TOML, is nested too deeply, or holds a whole number beyond 64 bits.
    """
    text = text_of(path, what)
    where = f"cannot read {what} {path}: it"
    try:
        found = tomllib.loads(text)
        large = next((key for key, value in _leaves(found) if _is_large(value)), None)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is not valid TOML: {first_line(error)}: correct that line") from None
    except RecursionError:
        raise UserError(f"{where} is not valid TOML: it is nested too deeply: correct it") from None
    except ValueError as error:
        # Numbers of more digits than Python turns into one, and dates that are none.
        raise UserError(f"{where} is not valid TOML: {first_line(error)}: correct that value") from None
    if large is not None:
        raise UserError(f"{where} is not valid TOML: {large} is a whole number beyond 64 bits: correct it")
    return found


def _leaves(value: Any, key: str = "it") -> Iterator[tuple[str, Any]]:
    """Give every value within tables and lists, with the key it stands under."""
    if isinstance(value, dict):
        for name, within in value.items():
            yield from _leaves(within, name)
    elif isinstance(value, list):
        for within in value:
            yield from _leaves(within, key)
    else:
        yield key, value


def _is_large(value: Any) -> bool:
    return isinstance(value, int) and not -LARGEST <= value < LARGEST
