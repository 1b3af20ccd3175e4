"""Matrix products on the thread that asks for them, where threads of our own share the work."""

import sys
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@cache
def _libraries(_scipy: bool) -> "ThreadpoolController":
    """Look for the libraries of numpy, and of scipy once it is loaded: 3 ms, longer than many a product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def unthreaded() -> AbstractContextManager[object]:
    """Have numpy and scipy multiply matrices on one thread for a while, in the whole process.

    Its own threads wait awake for the next product, and some ten milliseconds of work between two products
    would share the cores with them.
    """
    limited: AbstractContextManager[object] = _libraries("scipy.linalg" in sys.modules).limit(
        limits=1, user_api="blas"
    )
    return limited
