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
