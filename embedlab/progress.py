"""Progress of long work: ambient and output-only, like logging.

Code that loops writes ``for x in track(xs, "drawing faces")`` and knows nothing of who listens.
Nobody listens by default; the command line opens ``shown()``, which draws rich bars on a terminal
and plain lines elsewhere.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TextIO, TypeVar

T = TypeVar("T")

PLAIN_INTERVAL_S = 10.0


class Listener(Protocol):
    """Hears of progress and shows it."""

    def loop(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
        """Pass the items through, showing how far the loop is."""

    def say(self, message: str) -> None:
        """Show one line that stays."""


_listener: ContextVar[Listener | None] = ContextVar("embedlab_progress", default=None)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and tell whoever listens how far the loop is.

    Parameters
    ----------
    items
        What the loop runs over.
    what
        What is being done, as a person would say it: "drawing faces".
    total
        How many items there will be; taken from ``len(items)`` where it has one.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    listener = _listener.get()
    return iter(items) if listener is None else listener.loop(items, what, total)


def say(message: str, *, once: bool = False) -> None:
    """Tell whoever listens one line: a stage that ended, a thing that was skipped.

    Parameters
    ----------
    message
        The line.
    once
        Not if the same line was told to the same listener already: files are read by several analyses.
    """
    listener = _listener.get()
    if listener is None:
        return
    told: set[str] = vars(listener).setdefault("told", set())
    if not once or message not in told:
        told.add(message)
        listener.say(message)


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[None]:
    """Show progress while the block runs: bars on a terminal, plain lines elsewhere."""
    stream = stream or sys.stderr
    listener: Listener = _Bars(stream) if stream.isatty() else _Lines(stream)
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class _Lines:
    """A line at the start, every ten seconds, and at the end."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def loop(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
        begun = last = time.monotonic()
        of = f" of {total:,}" if total is not None else ""
        done = 0
        for item in items:
            yield item
            done += 1
            now = time.monotonic()
            if now - last >= PLAIN_INTERVAL_S and done != total:
                last = now
                self.say(f"  {what}: {done:,}{of}, {now - begun:.0f} s")
        self.say(f"  {what}: {done:,} done in {time.monotonic() - begun:.1f} s")

    def say(self, message: str) -> None:
        print(message, file=self.stream, flush=True)


class _Bars:
    """Bars by rich, one under another while loops are nested; they go when the outermost ends."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.progress = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,
        )
        self.depth = 0

    def loop(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
        if self.depth == 0:
            self.progress.start()
        self.depth += 1
        task = self.progress.add_task(what, total=total)
        try:
            for item in items:
                yield item
                self.progress.advance(task)
        finally:
            self.progress.remove_task(task)
            self.depth -= 1
            if self.depth == 0:
                self.progress.stop()

    def say(self, message: str) -> None:
        self.progress.console.print(message, markup=False, highlight=False, soft_wrap=True)
