"""Matrix products on the thread that asks for them, where threads of our own share the work."""

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@cache
def _libraries(_scipy: bool) -> "ThreadpoolController":
    """Look for the libraries of numpy, and of scipy once it is loaded: 3 ms, longer than many a product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_guard = threading.Lock()
_within = 0
_limits = ExitStack()


@contextmanager
def unthreaded() -> Iterator[None]:
    """Have numpy and scipy multiply matrices on one thread for a while, in the whole process.

    Its own threads wait awake for the next product, and some ten milliseconds of work between two products
    would share the cores with them. Whoever is the last of several threads to leave puts it back.
    """
    global _within
    with _guard:
        if _within == 0:
            _limits.enter_context(_libraries("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas"))
        _within += 1
    try:
        yield
    finally:
        with _guard:
            _within -= 1
            if _within == 0:
                _limits.close()
