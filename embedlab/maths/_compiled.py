"""Compiled loops whose machine code is kept on disk where that can be."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Compile as ``numba.njit`` does; a disk that is full or read-only costs time, not the result."""

    def decorate(function: F) -> F:
        try:
            made: Any = njit(cache=True, **options)(function)
        except RuntimeError:
            # numba's word for: there is no folder that could be written to.
            made = njit(**options)(function)
            return made  # type: ignore[no-any-return]
        keep = made._cache.save_overload

        def save(signature: Any, code: Any) -> None:
            with suppress(OSError):
                keep(signature, code)

        made._cache.save_overload = save
        return made  # type: ignore[no-any-return]

    return decorate
