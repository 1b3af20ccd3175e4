"""Work dealt to processes: this one does its share, and each further one has an interpreter of its own.

Threads do not serve where much of the work is Python's own. Processes are started anew and not forked, for
a forked child would inherit the threads of BLAS and numba in a state that nobody knows.
"""

import os
import signal
import threading
from collections.abc import Callable, Container, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from embedlab import progress
from embedlab.errors import first_line

T = TypeVar("T")
R = TypeVar("R")

HERE = 0
"""This process, among those that take work."""

PATIENCE_S = 5.0
"""How long a process that has no more work may take to end."""

THREAD_WORDS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
    "VECLIB_MAXIMUM_THREADS",
)
"""What libraries read before they start their threads."""


@dataclass(frozen=True)
class Dealt(Generic[T, R]):
    """How work is done here, and in processes.

    Attributes
    ----------
    here
        Does a piece of work in this process.
    begin, given
        ``begin(*given)`` gives a function that does a piece in another process; both can be pickled.
    packed
        What stands for a piece of work on its way there; None where it can only be done here.
    size
        How long a piece may take, in any unit: processes begin with the longest, this one with the first.
    like
        Equal for pieces that share what is read and counted: one process takes them all if it can.
    lost
        Makes a result of a piece of work whose process ended, and the reason.
    """

    here: Callable[[T], R]
    begin: Callable[..., Callable[[Any], R]]
    given: tuple[Any, ...]
    packed: Callable[[T], Any]
    size: Callable[[T], float]
    like: Callable[[T], Hashable]
    lost: Callable[[T, str], R]


@dataclass
class _Board(Generic[T, R]):
    """What is still to be done, and what is done; everybody takes from it."""

    work: Sequence[T]
    how: Dealt[T, R]
    pending: list[int]
    owners: dict[Hashable, int] = field(default_factory=dict)
    done: list[tuple[int, R]] = field(default_factory=list)
    feeders: list[threading.Thread] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, who: int, among: Container[int]) -> int | None:
        """Give the place of a piece that nobody has: here in their order, elsewhere the longest first."""

        def order(place: int) -> tuple[Any, ...]:
            owner = self.owners.get(self.how.like(self.work[place]))
            # What is like another's is left to it while there is anything else.
            others = owner not in (None, who)
            return (
                (others, place)
                if who == HERE
                else (others, -self.how.size(self.work[place]), owner is None, place)
            )

        with self.changed:
            taken = min((place for place in self.pending if place in among), key=order, default=None)
            if taken is not None:
                self.pending.remove(taken)
                self.owners.setdefault(self.how.like(self.work[taken]), who)
            return taken

    def put(self, place: int, result: R) -> None:
        with self.changed:
            self.done.append((place, result))
            self.changed.notify_all()

    def cleared(self, *, wait: bool) -> list[tuple[int, R]]:
        """Give what was done since the last time; with ``wait``, wait for it while anybody works."""
        with self.changed:
            while wait and not self.done and any(feeder.is_alive() for feeder in self.feeders):
                # With a limit, for Ctrl-C to be heard everywhere, and since one that ends does not say so.
                self.changed.wait(0.2)
            found, self.done = self.done, []
            return found


def dealt(work: Sequence[T], how: Dealt[T, R], processes: int, what: str) -> Iterator[tuple[int, R]]:
    """Do pieces of work, in this process and in others beside it.

    Parameters
    ----------
    work
        The pieces.
    how
        How each is done.
    processes
        How many processes do so, this one included.
    what
        What is being done, for whoever listens to progress.

    Yields
    ------
    The place of a piece, and its result, as they are done. In one process that is their order.
    """
    board = _Board(work, how, list(range(len(work))))
    finished = _finished(board)
    with ExitStack() as open_:
        if processes > 1:
            open_.enter_context(_beside(board, processes))
        yield from progress.track(finished, what, len(work))


def _finished(board: _Board[T, R]) -> Iterator[tuple[int, R]]:
    every = range(len(board.work))
    while (taken := board.take(HERE, every)) is not None:
        board.put(taken, board.how.here(board.work[taken]))
        yield from board.cleared(wait=False)
    while found := board.cleared(wait=True):
        yield from found


@contextmanager
def _beside(board: _Board[T, R], processes: int) -> Iterator[None]:
    work, how = board.work, board.how
    packed = {place: told for place in board.pending if (told := how.packed(work[place])) is not None}
    threads = max(1, cores() // processes)
    with _threads(threads):
        others = [_Other(how.begin, how.given) for _ in range(processes - 1)]

    def feed(who: int, other: _Other) -> None:
        try:
            while (taken := board.take(who, packed)) is not None:
                try:
                    board.put(taken, other.result(packed[taken]))
                except Exception as error:
                    board.put(taken, how.lost(work[taken], first_line(error)))
                    return
        finally:
            other.end()

    board.feeders += [
        threading.Thread(target=copy_context().run, args=(feed, who, other), daemon=True)
        for who, other in enumerate(others, HERE + 1)
    ]
    try:
        with _narrowed(threads):
            for feeder in board.feeders:
                feeder.start()
            yield
    finally:
        with board.changed:
            board.pending.clear()
        for other in others:
            other.process.terminate()
        for other, feeder in zip(others, board.feeders, strict=True):
            if feeder.ident is not None:
                feeder.join()
            other.end()


class _Ended(Exception):
    """A process ended before it gave its result."""


class _Other:
    """A process that does one piece of work after the other."""

    def __init__(self, begin: Callable[..., Callable[[Any], Any]], given: tuple[Any, ...]) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, begin, given), daemon=True, name="embedlab worker"
        )
        self.process.start()
        theirs.close()

    def result(self, packed: Any) -> Any:
        """Hand over a piece of work, pass on what is told meanwhile, and give the result.

        Raises
        ------
        _Ended
            If the process ends, or what it does cannot be handed over.
        """
        try:
            self.pipe.send(packed)
            while True:
                kind, told = self.pipe.recv()
                if kind == "done":
                    return told
                if kind == "failed":
                    raise _Ended(told)
                progress.say(told, once=True) if kind == "said" else progress.line(told)
        except (EOFError, OSError):
            self.process.join(5)
            raise _Ended(_how(self.process.exitcode)) from None

    def end(self) -> None:
        """Let the process end; what does not within ``PATIENCE_S`` is ended."""
        if not self.pipe.closed:
            self.pipe.close()
        self.process.join(PATIENCE_S)
        self.process.terminate()
        self.process.join()


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"the process that measured it was ended by {signal.Signals(-code).name}"
    return f"the process that measured it ended with status {code}"


def _serve(pipe: Connection, begin: Callable[..., Callable[[Any], Any]], given: tuple[Any, ...]) -> None:
    # A terminal's Ctrl-C reaches all its processes; the one that started this one tells it to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    lock = threading.Lock()

    def send(kind: str, told: Any) -> None:
        with lock:
            pipe.send((kind, told))

    with progress.passed_on(send), suppress(EOFError, BrokenPipeError):
        work = begin(*given)
        while True:
            packed = pipe.recv()
            try:
                send("done", work(packed))
            except OSError:
                raise
            except Exception as error:
                send("failed", f"{type(error).__name__}: {error}")


def end_with_parent() -> None:
    """Wait for the process that started this one to end, and end: killed, it cannot tell its workers to."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let processes that are started now have so many threads each, or fewer where fewer are asked for."""
    before = {word: os.environ.get(word) for word in THREAD_WORDS}
    for word, value in before.items():
        os.environ[word] = str(min(count, int(value)) if value and value.isdigit() else count)
    try:
        yield
    finally:
        for word, value in before.items():
            if value is None:
                del os.environ[word]
            else:
                os.environ[word] = value


@contextmanager
def _narrowed(count: int) -> Iterator[None]:
    """Let this process have no more than so many threads for a while."""
    import numba
    from threadpoolctl import threadpool_limits

    there = numba.get_num_threads()
    with threadpool_limits(count):
        numba.set_num_threads(min(count, there))
        try:
            yield
        finally:
            numba.set_num_threads(there)
