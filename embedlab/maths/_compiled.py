"""Compiled loops whose machine code is kept on disk where that can be."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from numba import njit

from embedlab.closure import fingerprint

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Compile as ``numba.njit`` does, and keep the code; see ``kept``."""

    def decorate(function: F) -> F:
        made: F = njit(**options)(function)
        kept(made, _sources(function.__module__))
        return made

    return decorate


def part(**options: Any) -> Callable[[F], F]:
    """Compile what other compiled functions call, as a piece of each of them.

    Otherwise a process that compiles may run, in place of a caller's own copy, one that was compiled by
    itself, which under ``fastmath`` sums in another order: numbers would differ from those of every later
    process, which loads the caller's copy from disk.
    """
    made: Callable[[F], F] = njit(nogil=True, forceinline=True, **options)
    return made


def kept(function: Any, stamp: str = "") -> None:
    """Keep a compiled function's code on disk; one that is full or read-only costs time, not the result.

    Parameters
    ----------
    function
        What ``numba.njit`` gave.
    stamp
        Says on what the code depends beside the function's own file, to which alone numba looks.
    """
    try:
        function.enable_caching()
    except RuntimeError:
        # numba's word for: there is no folder that could be written to.
        return
    index = function._cache._cache_file
    index._source_stamp = index._source_stamp, stamp
    keep = function._cache.save_overload

    def save(signature: Any, code: Any) -> None:
        with suppress(OSError):
            keep(signature, code)

    function._cache.save_overload = save


@cache
def _sources(module: str) -> str:
    """Stand for the source of a module and of what it imports, which the compiler may copy into it."""
    with suppress(ModuleNotFoundError):
        return fingerprint(module)
    return ""  # Such as of a script.
