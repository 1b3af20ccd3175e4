"""Matrix products on the thread that asks for them, where threads of our own share the work."""

from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> "ThreadpoolController":
    """Look for numpy's library once: that takes 3 ms, longer than many a product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def unthreaded() -> AbstractContextManager[object]:
    """Have numpy multiply matrices on one thread for a while, in the whole process."""
    limited: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limited
