import numpy as np
import pytest

from embedlab.maths.pairs.ranked import Ranked

WEIGHTS = np.array([0.5, 1.0, 2.0])


def values(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.integers(3, size=n)


def test_sums_are_those_of_each_value_by_hand():
    scores, owners = values(50)
    each, counts = np.arange(50.0), np.array([[1, 1, 1], [3, 0, 1]], np.float32)
    found = Ranked.of(scores, owners, WEIGHTS).sums(each, counts)
    order = np.argsort(scores)
    for k, row in enumerate(counts):
        expected = (each * WEIGHTS[owners] * row[owners])[order]
        np.testing.assert_allclose(found[k], expected, rtol=1e-6)


def test_equal_values_stand_in_one_group():
    found = Ranked.of(np.array([2.0, 1.0, 2.0]), np.array([0, 1, 2]), WEIGHTS)
    assert found.group.tolist() == [1, 0, 1]


def test_many_values_stand_in_few_groups_of_like_weight_in_their_order():
    scores, owners = values(10_000)
    found = Ranked.of(scores, owners, WEIGHTS, most=100)
    assert 90 <= found.group.max() + 1 <= 101
    mass = np.bincount(found.group, found.weights)
    assert mass.max() < 3 * mass.mean()
    assert (np.diff(found.group[np.argsort(scores)]) >= 0).all()
    total = found.sums(np.ones(10_000), np.ones((1, 3), np.float32)).sum()
    assert total == pytest.approx(WEIGHTS[owners].sum())
