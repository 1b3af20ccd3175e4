from pathlib import Path

import pytest

from embedlab.errors import UserError
from embedlab.files import headroom


def test_free_memory_is_what_the_system_says():
    assert 1 << 20 < headroom.free() < 1 << 50


def test_what_is_too_large_is_told_with_both_sizes(monkeypatch):
    monkeypatch.setattr(headroom, "free", lambda: 2_000_000_000)
    headroom.check(Path("a.npz"), 2_000_000_000)
    with pytest.raises(
        UserError, match="a.npz is not read: it unpacks to 6.0 GB, and 2.0 GB of memory are free"
    ):
        headroom.check(Path("a.npz"), 6_000_000_000)


def test_a_system_that_says_nothing_is_not_in_the_way(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_: "")
    monkeypatch.setattr("os.sysconf", lambda _: 1 << 15)
    assert headroom.free() == 1 << 30
