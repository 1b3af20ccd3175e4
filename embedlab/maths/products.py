"""Matrix products: on the thread that asks for them, and in as many digits as they need."""

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

CLOSE = 0.01
"""Unit rows that vary less about their mean, in squares, have cosines that single precision blurs."""

SOME = 10_000
"""Rows that this is told by."""


@cache
def _libraries(_scipy: bool) -> "ThreadpoolController":
    """Look for the libraries of numpy, and of scipy once it is loaded: 3 ms, longer than many a product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_guard = threading.Lock()
_within = 0
_limits = ExitStack()
_setter = threading.current_thread()


@contextmanager
def unthreaded() -> Iterator[None]:
    """Have numpy and scipy multiply matrices on one thread for a while, in the whole process.

    Its own threads wait awake for the next product, and some ten milliseconds of work between two products
    would share the cores with them. Whoever is the last of several threads to leave puts it back.
    """
    global _within, _setter
    with _guard:
        if _within == 0:
            _setter = threading.current_thread()
            _limits.enter_context(_libraries("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas"))
        _within += 1
    try:
        yield
    finally:
        with _guard:
            _within -= 1
            if _within == 0:
                _lift()


def _lift() -> None:
    import threadpoolctl

    # Newer versions let only the thread that set a limit change it, unless told otherwise.
    control = getattr(getattr(threadpoolctl, "OpenBLASController", None), "clear_controlling_thread", None)
    if control is not None and _setter is not threading.current_thread():
        control(force=True)
    _limits.close()


def exactly_one(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Bring rows that single precision made one long to that length in double precision."""
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    found: np.ndarray = rows / norms if np.abs(norms - 1).max(initial=0.0) < 1e-5 else rows
    return found


def told_apart(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give both sides of a product of unit rows, in double precision where they all point one way.

    The cosines of vectors about (300, 300, …) differ in the sixth digit and later, where a sum in single
    precision has errors: who is nearest is then chance.
    """
    sides = (left,) if right is left else (left, right)
    some = np.concatenate([rows[:: len(rows) // SOME + 1] for rows in sides])
    if len(some) == 0 or some.var(axis=0, dtype=np.float64).sum() >= CLOSE:
        return left, right
    first = exactly_one(left)
    return first, first if right is left else exactly_one(right)
