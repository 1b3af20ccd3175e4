"""The one exception that is meant for the person at the keyboard."""

import os

LONGEST_PART = 255
"""Bytes between two slashes of a path at most, on the file systems in use."""


class UserError(Exception):
    """Something the user can put right; the message says what is wrong and what to do.

    The command line prints it as one line on stderr and exits with status 2. Any other
    exception is a bug and keeps its traceback.
    """


def first_line(error: BaseException) -> str:
    """Give the first line of what another library says, short enough for a message of one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def checked_word(word: str, where: str) -> str:
    """Return a word that may name a model, a probe or a file.

    Parameters
    ----------
    word
        As somebody gave it.
    where
        What it was given for: ``--models``.

    Raises
    ------
    UserError
        If it is empty, or longer than the name of a file may be.
    """
    if not word.strip():
        raise UserError(f"{where} is given an empty word: name something, or leave it out")
    longest = max(len(os.fsencode(part)) for part in word.split("/"))
    if longest > LONGEST_PART:
        raise UserError(
            f"{where} {word[:40]!r}… has a name of {longest:,} bytes, and {LONGEST_PART} are the most: give "
            "a shorter one"
        )
    return word
