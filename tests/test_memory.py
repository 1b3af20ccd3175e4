from pathlib import Path

import pytest

from embedlab import memory
from embedlab.errors import UserError


def test_free_memory_is_what_the_system_says():
    assert 1 << 20 < memory.free() < 1 << 50


def test_what_is_too_large_is_told_with_both_sizes(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 2_000_000_000)
    memory.check(Path("a.npz"), 2_000_000_000)
    with pytest.raises(
        UserError, match="a.npz is not read: it unpacks to 6.0 GB, and 2.0 GB of memory are free"
    ):
        memory.check(Path("a.npz"), 6_000_000_000)


def test_a_system_that_says_nothing_is_not_in_the_way(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_: "")
    monkeypatch.setattr("os.sysconf", lambda _: 1 << 15)
    assert memory.free() == 1 << 30
