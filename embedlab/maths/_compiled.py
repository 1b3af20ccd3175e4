"""Compiled loops whose machine code is kept on disk where that can be."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Compile as ``numba.njit`` does, and keep the code; see ``kept``."""

    def decorate(function: F) -> F:
        made: F = njit(**options)(function)
        kept(made)
        return made

    return decorate


def kept(function: Any) -> None:
    """Keep a compiled function's code on disk; one that is full or read-only costs time, not the result."""
    try:
        function.enable_caching()
    except RuntimeError:
        # numba's word for: there is no folder that could be written to.
        return
    keep = function._cache.save_overload

    def save(signature: Any, code: Any) -> None:
        with suppress(OSError):
            keep(signature, code)

    function._cache.save_overload = save
