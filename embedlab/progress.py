"""Progress of long work: ambient and output-only, like logging.

Code that loops writes ``for x in track(xs, "drawing faces")`` and knows nothing of who listens.
Nobody listens by default; the command line opens ``shown()``, which draws rich bars on a terminal
and plain lines elsewhere. While anything is tracked, no listener is silent for longer than
``PLAIN_INTERVAL_S``: where a step takes longer, a thread says what is being waited for.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import ParamSpec, Protocol, TextIO, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

PLAIN_INTERVAL_S = 5.0
# The thread that breaks silences.
BEAT = "embedlab progress"
# After so many seconds the length of a sweep is told.
TRIED_S = 1.0
# A stretch of time is not told more finely than this share of it.
SOON_S, LONG_S = 90.0, 5400.0


class Listener(Protocol):
    """Hears of progress and shows it."""

    def loop(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
        """Pass the items through, showing how far the loop is."""

    def wait(self, what: str, seconds: float | None) -> AbstractContextManager[None]:
        """Show that one thing, which cannot be looked into, is being waited for."""

    def say(self, message: str) -> None:
        """Show one line that stays."""

    def line(self, message: str) -> None:
        """Show a line of progress that another process made, where lines are shown."""


_listener: ContextVar[Listener | None] = ContextVar("embedlab_progress", default=None)
_about: ContextVar[str] = ContextVar("embedlab_progress_about", default="")
_stopped: ContextVar[threading.Event | None] = ContextVar("embedlab_progress_stopped", default=None)


_saying = threading.Lock()


class Stopped(Exception):
    """Ends the work of a thread whose results nobody waits for any more."""


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
    stopped = _stopped.get()
    if stopped is not None:
        items = _until(items, stopped)
    listener = _listener.get()
    return iter(items) if listener is None else listener.loop(items, _named(what), total)


def blocks(starts: range, what: str) -> Iterator[int]:
    """Track a sweep over blocks of rows; one of a single block is over before it could be told of."""
    return track(starts, what) if len(starts) > 1 else iter(starts)


def sweep(items: Iterable[T], what: str, total: int, size: str) -> Iterator[T]:
    """Track what may take very long: its first steps tell about how long, before anybody has to wonder.

    Parameters
    ----------
    items, what, total
        As for ``track``.
    size
        How much there is, in words: "499,500 pairs of 1,000 images".
    """
    begun, told = 0.0, False
    for k, item in enumerate(track(items, what, total)):
        # The first step may compile or read something, and says little of those that follow.
        begun = time.monotonic() if k == 1 else begun
        if k > 1 and not told and (passed := time.monotonic() - begun) >= TRIED_S:
            told, expected = True, passed / (k - 1) * total
            if expected > PLAIN_INTERVAL_S:
                say(f"  {_named(what)}: {size}, about {in_words(expected)}")
        yield item


@contextmanager
def busy(what: str, seconds: float | None = None) -> Iterator[None]:
    """Tell of one call that cannot be looked into, for as long as the block runs.

    Parameters
    ----------
    what
        What is being done: "t-SNE of 1,000 images".
    seconds
        About how long it will take, where that is known.
    """
    listener = _listener.get()
    if listener is None:
        yield
    else:
        with listener.wait(_named(what), seconds):
            yield


@contextmanager
def about(what: str) -> Iterator[None]:
    """Name what everything tracked within the block belongs to: "geometry, lowres144"."""
    token = _about.set(_named(what))
    try:
        yield
    finally:
        _about.reset(token)


def _named(what: str) -> str:
    return f"{where}: {what}" if (where := _about.get()) else what


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
    # Several processes say the same at once, each through a thread of its own.
    with _saying:
        told: set[str] = vars(listener).setdefault("told", set())
        new = message not in told
        told.add(message)
    if new or not once:
        listener.say(message)


def line(message: str) -> None:
    """Tell whoever listens how far work is that goes on in another process."""
    listener = _listener.get()
    if listener is not None:
        listener.line(message)


@contextmanager
def passed_on(send: Callable[[str, str], None]) -> Iterator[None]:
    """Hand what is told within the block to another process: ``send("said" or "line", text)``."""
    with _heard(_PassedOn(send)):
        yield


def carried(function: Callable[P, T], stopped: threading.Event) -> Callable[P, T]:
    """Let a function that other threads call tell whoever listens here, and end once nobody waits.

    Parameters
    ----------
    function
        What they call.
    stopped
        Set, it ends every loop tracked in there with ``Stopped``.
    """
    context = copy_context()
    context.run(_stopped.set, stopped)
    return lambda *args, **named: context.copy().run(function, *args, **named)


def _until(items: Iterable[T], stopped: threading.Event) -> Iterator[T]:
    for item in items:
        if stopped.is_set():
            raise Stopped
        yield item


def in_words(seconds: float) -> str:
    """Give a stretch of time as a person would: "40 s", "12 min", "3.5 h"."""
    if seconds < SOON_S:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < LONG_S else f"{seconds / 3600:.1f} h"


@contextmanager
def shown(stream: TextIO | None = None, doing: str = "") -> Iterator[None]:
    """Show progress while the block runs: bars on a terminal, plain lines elsewhere.

    Parameters
    ----------
    stream
        Where to; standard error if None.
    doing
        What lines name where nothing is tracked and yet time passes; empty to be silent there.
    """
    stream = stream or sys.stderr
    with _heard(_Bars(stream) if stream.isatty() else _Lines(stream, doing)):
        yield


@contextmanager
def _heard(listener: "_Bars | _Lines") -> Iterator[None]:
    """Let a listener hear what is told within the block, and end it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
        listener.close()


@dataclass(eq=False)
class _Work:
    """A loop or a call under way."""

    what: str
    total: int | None
    seconds: float | None = None
    counted: bool = True
    done: int = 0
    told: bool = False
    begun: float = field(default_factory=lambda: time.monotonic())

    def line(self) -> str:
        """Say how far it is, and how long it will take at the pace so far."""
        passed = time.monotonic() - self.begun
        of = f" of {self.total:,}" if self.total is not None else ""
        place = f"{self.done:,}{of}, " if self.counted else ""
        left = None if self.seconds is None else self.seconds - passed
        if self.total is not None and self.done:
            left = passed / self.done * (self.total - self.done)
        remaining = f", about {in_words(left)} left" if left is not None and left > 0 else ""
        return f"  {self.what}: {place}{passed:.0f} s{remaining}"


class _Lines:
    """A line whenever five seconds have passed, and at the end of what stands alone or took as long.

    What is told is the innermost loop or call under way.
    """

    spaced = 1
    """So many times ``PLAIN_INTERVAL_S`` pass between lines."""

    def __init__(self, stream: TextIO, doing: str = "") -> None:
        self.stream = stream
        self.lock = threading.RLock()
        self.whole = _Work(doing, None, counted=False)
        self.under_way: list[_Work] = []
        self.last = time.monotonic()
        self.closed = threading.Event()
        self.beat: threading.Thread | None = None
        if doing:
            self._listen()

    def loop(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
        with self._work(_Work(what, total)) as work:
            for item in items:
                yield item
                work.done += 1
                if work.done != total:
                    self._tell(work, self.interval)
        if work.told or not any(one.counted for one in self.under_way):
            self._show(f"  {what}: {work.done:,} done in {time.monotonic() - work.begun:.1f} s")

    @contextmanager
    def wait(self, what: str, seconds: float | None) -> Iterator[None]:
        if seconds is not None and seconds >= self.interval:
            self._show(f"  {what}, about {in_words(seconds)}")
        with self._work(_Work(what, None, seconds, counted=False)) as work:
            yield
        if work.told:
            self._show(f"  {what}: done in {time.monotonic() - work.begun:.1f} s")

    def say(self, message: str) -> None:
        with self.lock:
            self.last = time.monotonic()
            print(message, file=self.stream, flush=True)

    def line(self, message: str) -> None:
        # How far all is stays due: this says nothing of that.
        with self.lock:
            print(message, file=self.stream, flush=True)

    def _show(self, message: str) -> None:
        self.say(message)

    def close(self) -> None:
        """End the thread that breaks silences."""
        self.closed.set()
        if self.beat is not None:
            self.beat.join()

    @property
    def interval(self) -> float:
        """Give the seconds between lines."""
        return self.spaced * PLAIN_INTERVAL_S

    @contextmanager
    def _work(self, work: _Work) -> Iterator[_Work]:
        with self.lock:
            if not self.under_way and not self.whole.what:
                self.last = time.monotonic()
            self.under_way.append(work)
            self._listen()
        try:
            yield work
        finally:
            with self.lock:
                self.under_way.remove(work)

    def _listen(self) -> None:
        if self.beat is None:
            self.beat = threading.Thread(target=self._break_silences, name=BEAT, daemon=True)
            self.beat.start()

    def _tell(self, work: _Work, silence: float) -> None:
        if time.monotonic() - self.last >= silence:
            with self.lock:
                work.told = True
                self._show(work.line())

    def _break_silences(self) -> None:
        """Tell of the innermost work wherever a step of it takes long."""
        while True:
            # A little before the interval is over, or the line would come a little after it.
            silence = max(self.interval - 0.75, 0.25)
            if self.closed.wait(max(silence - (time.monotonic() - self.last), 0.05)):
                return
            with self.lock:
                work = self.under_way[-1] if self.under_way else self.whole
                if work.what:
                    self._tell(work, silence)


class _PassedOn(_Lines):
    """The same lines, for another process to show; not so many, since several tell at once."""

    spaced = 4

    def __init__(self, send: Callable[[str, str], None]) -> None:
        super().__init__(sys.stderr)
        self.send = send
        # What it loops over stands within a loop of the other process.
        self.under_way.append(_Work("", None))

    def say(self, message: str) -> None:
        self.send("said", message)

    def _show(self, message: str) -> None:
        with self.lock:
            self.last = time.monotonic()
        self.send("line", message)


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
            # What is printed may go to a file, whatever is shown here.
            redirect_stdout=False,
            # By the pace of the last hour: of steps that take longer than rich's half a minute it knows none.
            speed_estimate_period=3600.0,
        )
        self.lock = threading.Lock()
        self.depth = 0

    def loop(self, items: Iterable[T], what: str, total: int | None) -> Iterator[T]:
        with self._task(what, total) as advance:
            for item in items:
                yield item
                advance()

    @contextmanager
    def wait(self, what: str, seconds: float | None) -> Iterator[None]:
        expected = "" if seconds is None else f", about {in_words(seconds)}"
        with self._task(what + expected, None):
            yield

    @contextmanager
    def _task(self, what: str, total: int | None) -> Iterator[Callable[[], None]]:
        with self.lock:
            if self.depth == 0:
                self.progress.start()
            self.depth += 1
        task = self.progress.add_task(what, total=total)
        try:
            yield lambda: self.progress.advance(task)
        finally:
            self.progress.remove_task(task)
            with self.lock:
                self.depth -= 1
                if self.depth == 0:
                    self.progress.stop()

    def say(self, message: str) -> None:
        self.progress.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def line(self, message: str) -> None:
        """Show nothing: a bar tells how far all is."""

    def close(self) -> None:
        """Nothing is left open."""
