"""Work in pieces, of which other processes may take their share.

Code that counts writes ``for part in shared(task, 64)`` and knows nothing of who helps. Nobody helps by
default; ``ranks.led`` lets the other processes that ``torchrun`` started do so.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

Task = Callable[[Sequence[int]], Iterator[T]]
"""Gives what is found of each of some pieces, one at least, in their order. Another process unpickles it."""

_helpers: ContextVar[Callable[[Task[Any], int], Iterator[Any]] | None] = ContextVar("helpers", default=None)
_beside: ContextVar[int] = ContextVar("beside", default=1)


def shared(task: Task[T], pieces: int) -> Iterator[T]:
    """Give what a task finds of pieces 0…pieces−1, in order, whoever works at each."""
    helpers = _helpers.get()
    return task(range(pieces)) if helpers is None else helpers(task, pieces)


def beside() -> int:
    """Count the processes that share the cores of this machine, this one among them."""
    return _beside.get()


@contextmanager
def among(helpers: Callable[[Task[Any], int], Iterator[Any]] | None, processes: int) -> Iterator[None]:
    """Let somebody deal out what is shared within the block.

    Parameters
    ----------
    helpers
        Does what ``shared`` does; None where this process helps another.
    processes
        How many processes share the cores of this machine.
    """
    tokens = _helpers.set(helpers), _beside.set(processes)
    try:
        yield
    finally:
        _helpers.reset(tokens[0])
        _beside.reset(tokens[1])
