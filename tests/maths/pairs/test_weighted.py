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


def test_however_tables_lie_in_memory_loops_are_compiled_once(scored):
    falling, people, weights = scored
    allowed = np.outer(np.arange(1.0, 51), [0.5, 3.0])
    limits = weighted.thresholds(falling, people, weights, allowed, weights)
    rising, own = falling[::-1].copy(), people[::-1, 0].copy()
    shares = weighted.shares(rising, own, weights, limits)
    compiled = [len(loop.signatures) for loop in (weighted_thresholds, weighted_shares)]
    turned, sliced = np.asfortranarray(weights), np.repeat(weights, 2, axis=1)[:, ::2]
    for one, two in ((turned, sliced), (sliced, turned)):
        np.testing.assert_array_equal(weighted.thresholds(falling, people, one, allowed, two), limits)
        np.testing.assert_array_equal(weighted.shares(rising, own, one, np.asfortranarray(limits)), shares)
    assert [len(loop.signatures) for loop in (weighted_thresholds, weighted_shares)] == compiled


def by_hand(scores, people, weights, others, allowed):
    """Walk down the scores of one resample, pairs of one score at a time."""
    found, let_in = np.full(len(allowed), np.nan), 0.0
    for level, limit in enumerate(allowed):
        let_in = 0.0
        for score in np.unique(scores)[::-1]:
            one, other = people[scores == score].T
            let_in += (weights[one].astype(float) * others[other]).sum()
            if let_in > limit:
                found[level] = score
                break
    return found


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("resamples", [1, 8, 13])
@pytest.mark.parametrize("distinct", [3, 40, 100_000])
def test_limits_are_those_of_a_walk_down_the_scores_however_many_are_tied(kind, resamples, distinct):
    rng = np.random.default_rng(distinct)
    scores = np.sort(rng.integers(distinct, size=500).astype(np.float32))[::-1].copy()
    people = rng.integers(20, size=(500, 2))
    weights = rng.multinomial(20, np.full(20, 0.05), size=resamples).astype(kind)
    others = weights * rng.integers(1, 4, size=20).astype(kind)
    allowed = (weights[:, people[:, 0]] * others[:, people[:, 1]]).sum(axis=1)[:, None] * np.array(
        [0.0, 0.001, 0.4, 0.4, 0.9, 1.0]
    )
    limits = weighted.thresholds(scores, people, weights, allowed, others)
    for row in range(resamples):
        expected = by_hand(scores, people, weights[row], others[row], allowed[row])
        np.testing.assert_array_equal(limits[row], expected)


@pytest.mark.parametrize("resamples", [1, 8, 13])
@pytest.mark.parametrize("n", [0, 1, 64, 500])
def test_shares_are_those_of_a_weighted_count(resamples, n):
    rng = np.random.default_rng(n)
    scores, people = np.sort(rng.integers(90, size=n) / 90), rng.integers(20, size=n)
    weights = rng.multinomial(20, np.full(20, 0.05), size=resamples).astype(np.float32)
    limits = np.concatenate([rng.random((resamples, 3)), np.tile([-1.0, 0.5, 2.0], (resamples, 1))], axis=1)
    found = weighted.shares(scores, people, weights, limits)
    for row in range(resamples):
        own = weights[row, people]
        if own.sum() == 0:
            assert np.isnan(found[row]).all()
        else:
            expected = [own[scores > limit].sum() / own.sum() for limit in limits[row]]
            np.testing.assert_allclose(found[row], expected, atol=1e-12)


@pytest.mark.parametrize("resamples", [0, 1, 13])
def test_sums_of_first_pairs_are_those_of_a_product(resamples):
    rng = np.random.default_rng(1)
    people, ends = rng.integers(20, size=(200, 2)), rng.integers(201, size=resamples)
    weights, others = rng.random((2, resamples, 20))
    found = weighted.sums(people, weights, others, ends)
    expected = [weights[k, people[:end, 0]] @ others[k, people[:end, 1]] for k, end in enumerate(ends)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
