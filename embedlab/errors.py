"""The exceptions that are meant for the person at the keyboard, and what others say that is meant so too."""

import codecs
import errno
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_PART = 255
"""Bytes between two slashes of a path at most, on the file systems in use."""


class UserError(Exception):
    """Something the user can put right; the message says what is wrong and what to do.

    The command line prints it as one line on stderr and exits with ``status``. Any other
    exception is a bug and keeps its traceback.
    """

    status = 2

    def __str__(self) -> str:
        """Give the message in one line, whatever the names in it hold."""
        return " ".join(super().__str__().splitlines())


EXTRAS = {"torch": "train", "onnxruntime": "onnx", "cv2": "detection", "anywidget": "notebooks"}
"""Packages that only some work needs → the extra that brings them."""


def lacking(error: BaseException) -> str | None:
    """Say which extra brings the package that could not be imported; None if it is none of those."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if package not in EXTRAS:
        return None
    return f"this needs {package}, which is not installed: `pip install 'embedlab[{EXTRAS[package]}]'`"


class Terminated(SystemExit):
    """The process was asked to end by a signal; status 143 for SIGTERM, 129 for SIGHUP."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(128 + number)
        self.number = number


_ELSEWHERE = "make it writable, or choose another place"
UNWRITABLE = {
    errno.ENOSPC: "make room there, or choose another place",
    errno.EDQUOT: "make room there, or choose another place",
    errno.EFBIG: "raise the limit of a file's size (`ulimit -f`), or choose another disk",
    errno.EROFS: "choose another place",
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EIO: "look after that disk, or choose another",
    errno.ESTALE: "look after that disk, or choose another",
}
"""What to do about each reason why nothing can be written in a place."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRAPPED = (*FULL, errno.EROFS, errno.EACCES, errno.EIO)
"""Those that other libraries tell in words alone."""


class Unwritable(UserError):
    """A file or folder that cannot be written: a full disk, a quota, a place that is read-only.

    Attributes
    ----------
    path
        What cannot be written.
    number
        The system's number of the reason.
    """

    def __init__(self, path: Path, number: int) -> None:
        advice = UNWRITABLE.get(number, "choose another place")
        super().__init__(f"cannot write {path}: {os.strerror(number)}: {advice}")
        self.path, self.number = path, number

    def __reduce__(self) -> tuple[type["Unwritable"], tuple[Path, int]]:
        """Say how another process makes it, to hear of it."""
        return Unwritable, (self.path, self.number)


def unwritable(error: BaseException) -> int | None:
    """Give the system's number of the reason if an error says that something cannot be written, else None."""
    if isinstance(error, Unwritable):
        return error.number
    number = getattr(error, "errno", None)
    if number in UNWRITABLE:
        return int(number)
    # pyarrow and safetensors wrap what the system said; its number stands in their words alone.
    said = str(error)
    if isinstance(error, OSError) and " requested and " in said:
        return errno.ENOSPC  # numpy's words for a write that was cut short
    # A reader's message may tell of other rights than these.
    told = FULL if isinstance(error, UserError) else WRAPPED
    return next((number for number in told if os.strerror(number) in said), None)


_NO_MEMORY = (
    *("can't allocate memory", "cannot allocate memory", "unable to allocate", "failed to allocate memory"),
    *("out of memory", "bad_alloc", "bad allocation", "can't start new thread"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on the host or on a device, whoever says it."""
    if isinstance(error, UserError):
        return False
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY)


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Say in a line that memory does not suffice for something.

    Raises
    ------
    UserError
        If memory runs out inside.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"not enough memory for {what} ({first_line(error)}): {advice}") from None


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


ESCAPED = "embedlab.escaped"
"""How to encode text whatever is in it, as in ``open(…, errors=ESCAPED)``: the rest becomes \\u2265."""


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # As in JSON, so that what is escaped in JSON is still JSON.
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPED, _escaped)
