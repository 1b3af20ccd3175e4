import numpy as np
import pytest

from embedlab.maths.pairs import weighted
from embedlab.maths.pairs._sweep import weighted_shares, weighted_thresholds


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    falling = np.sort(rng.random(300).astype(np.float32))[::-1].copy()
    people = rng.integers(20, size=(300, 2))
    weights = rng.multinomial(20, np.full(20, 0.05), size=50).astype(np.float32)
    return falling, people, weights


@pytest.mark.parametrize("entries", [1, 300 * 20, 1 << 28])
def test_some_at_a_time_are_what_all_at_once_are(scored, monkeypatch, entries):
    falling, people, weights = scored
    monkeypatch.setattr(weighted, "ENTRIES", entries)
    monkeypatch.setattr(weighted, "LEAST", 7)
    allowed = np.outer(np.arange(1.0, 51), [0.5, 3.0, 1e9])
    limits = weighted.thresholds(falling, people, weights, allowed)
    np.testing.assert_array_equal(limits, weighted_thresholds(falling, people, weights, weights, allowed))
    assert np.isnan(limits[:, 2]).all()
    assert np.isfinite(limits[:, 0]).any()
    rising, own = falling[::-1].copy(), people[::-1, 0].copy()
    shares = weighted.shares(rising, own, weights, limits)
    np.testing.assert_array_equal(shares, weighted_shares(rising, own, weights, limits))
