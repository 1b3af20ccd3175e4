"""What is kept between analyses; that pairs and twins come out as measured anew stands with theirs."""

from dataclasses import dataclass

import numpy as np

from embedlab.maths import reused


@dataclass
class Held:
    rows: np.ndarray
    more: list[np.ndarray]
    name: str = "held"


def test_all_arrays_of_a_value_count():
    held = Held(np.zeros(3), [np.zeros((2, 2), np.float32), np.zeros(1)])
    assert reused.size(held) == 3 * 8 + 2 * 2 * 4 + 8
    assert reused.size((5, held, None)) == reused.size(held)


def test_the_longest_unused_goes_first(monkeypatch):
    monkeypatch.setattr(reused, "KEPT", 160)
    kept = reused.Kept()
    for key in (b"a", b"b"):
        kept.put(key, np.zeros(10))
    assert kept.get(b"a") is not None
    kept.put(b"c", np.zeros(10))
    assert list(kept.found) == [b"a", b"c"]
    kept.put(b"d", np.zeros(21))
    assert not kept.found


def test_nothing_keeps_outside_of_a_study():
    assert reused.in_use() is None
    kept = reused.Kept()
    with kept.in_use():
        assert reused.in_use() is kept
    assert reused.in_use() is None


def test_keys_tell_arrays_by_all_that_they_hold():
    rows = np.arange(6, dtype=np.float32)
    keys = {
        reused.key(arrays, *options)
        for arrays, options in [
            ([rows], ()),
            ([rows.reshape(2, 3)], ()),
            ([rows.astype(np.float64)], ()),
            ([rows[::-1]], ()),
            ([rows, rows], ()),
            ([rows], ("pairs",)),
        ]
    }
    assert len(keys) == 6
    assert reused.key([np.repeat(rows, 2)[::2]]) == reused.key([rows])
