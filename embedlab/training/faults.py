"""What goes wrong on long runs: signals to stop, full disks, too little memory."""

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from embedlab.errors import Terminated, UserError, unwritable

CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
REFINEMENTS = 3


class Signals:
    """While it is open, SIGTERM, SIGHUP and Ctrl-C are noted, for the loop to end at a step.

    A second Ctrl-C interrupts at once. Outside the main thread, where Python allows no handlers, signals
    do what they did.

    Attributes
    ----------
    asked
        The signal that came, 0 for none.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                # Whom nohup started is to outlive the terminal.
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT == self.asked:
            raise KeyboardInterrupt
        # Who asks a program to end must not be overruled by an earlier Ctrl-C, nor the other way round.
        self.asked = self.asked or number


def obey(number: int, *, aloud: bool = True) -> NoReturn:
    """Raise what belongs to a signal.

    Raises
    ------
    Terminated
        For SIGTERM and SIGHUP.
    KeyboardInterrupt
        For SIGINT; not ``aloud``, SystemExit with its status 130.
    """
    if number != signal.SIGINT:
        raise Terminated(number)
    raise KeyboardInterrupt if aloud else SystemExit(128 + signal.SIGINT)


def spoken(number: int) -> str:
    """Name a signal as a person would."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a disk that is full, or may not be written to, into a line of words.

    Raises
    ------
    UserError
        If a write inside fails for lack of space, a quota, a limit of the size or a permission.
    """
    try:
        yield
    except Exception as error:
        if (number := unwritable(error)) is None:
            raise
        advice = "make it writable" if number in CLOSED else "make room there"
        raise UserError(
            f"cannot write to {folder} ({os.strerror(number)}): {advice}, and the same command goes on from "
            "the last state that was kept"
        ) from None


def largest_batch(batch: int, fits: Callable[[int], bool], multiple: int = 1) -> int:
    """Find by trial how many images a step can take; 0 if not even two fit.

    The batch is halved until a trial passes; then the gap to the last one that failed is halved some
    times.

    Parameters
    ----------
    batch
        What did not fit.
    fits
        Takes a step of that many images, and tells whether memory sufficed.
    multiple
        What the batch must be a multiple of.
    """
    good, bad = 0, batch
    while good == 0:
        half = _cut(bad // 2, multiple)
        if half < 2:
            return 0
        if fits(half):
            good = half
        else:
            bad = half
    for _ in range(REFINEMENTS):
        middle = _cut((good + bad) // 2, multiple)
        if middle in (good, bad):
            break
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def _cut(number: int, multiple: int) -> int:
    return number // multiple * multiple
