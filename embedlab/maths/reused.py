"""What one analysis measured and another asks for again: kept while a study runs, within bounds."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

KEPT = 512 << 20
"""Bytes kept together unless more are allowed. Counted pairs take 30 MB each at 13,000 images."""


class Kept:
    """What was measured, the latest used last, of at most so many bytes together.

    While it is in use, equal inputs are not measured again. Nobody may then write into what is given.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = KEPT if most is None else most
        self.found: dict[bytes, Any] = {}

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let those who measure look here first, and put here what they find."""
        token = _kept.set(self)
        try:
            yield
        finally:
            _kept.reset(token)

    def get(self, key: bytes) -> Any:
        """Give what was put under a key; None where there is nothing."""
        if key not in self.found:
            return None
        self.found[key] = value = self.found.pop(key)
        return value

    def put(self, key: bytes, value: Any) -> None:
        """Keep a value, and let the longest unused go."""
        self.found.pop(key, None)
        self.found[key] = value
        while self.found and sum(map(size, self.found.values())) > self.most:
            del self.found[next(iter(self.found))]


_kept: ContextVar[Kept | None] = ContextVar("kept", default=None)


def in_use() -> Kept | None:
    """Give what keeps at the moment, if anything does."""
    return _kept.get()


def size(value: Any) -> int:
    """Count the bytes of all arrays in a value: in its fields, and theirs, and in sequences."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list | tuple):
        return sum(map(size, value))
    return sum(map(size, vars(value).values())) if hasattr(value, "__dict__") else 0


def key(arrays: Iterable[np.ndarray | None], *options: Any) -> bytes:
    """Name inputs by what they hold: arrays, and whatever else tells results apart by its ``repr``."""
    digest = hashlib.blake2b(repr(options).encode(), digest_size=16)
    for one in arrays:
        if one is not None:
            digest.update(repr((one.shape, one.dtype.str)).encode())
            digest.update(np.ascontiguousarray(one).data)
    return digest.digest()
