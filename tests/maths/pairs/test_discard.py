import numpy as np
import pytest

from embedlab.maths.pairs import discard
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.pairs.ranked import Ranked

SHARES = np.linspace(0, 0.5, 101)


def one_each(quality, wrong, counts=None):
    owners = np.arange(len(quality))
    rows = np.ones((1, len(quality)), np.float32) if counts is None else counts
    return discard.left(Ranked.of(quality, owners, np.ones(len(quality))), wrong, rows, SHARES)


def test_pairs_stand_in_the_order_of_their_scores():
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(6), [1, 2, 3, 4, 5, 1]))
    # A quality that can be read from the score: the vectors of a person lie on an arc.
    angle = rng.uniform(0, 0.2, len(labels))
    pairs = all_pairs(np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32), labels)
    found = discard.of_pairs(angle, labels)
    other = -discard.of_pairs(-angle, labels)
    np.testing.assert_allclose(np.cos(other - found), pairs.genuine_scores, atol=1e-6)


def test_what_is_left_is_what_is_counted_by_hand():
    rng = np.random.default_rng(1)
    quality, wrong = rng.normal(size=200), (rng.random(200) < 0.2).astype(float)
    found = one_each(quality, wrong)[0]
    order = np.argsort(quality)
    for k in (0, 20, 50, 100):
        assert found[k] == pytest.approx(wrong[order][k:].mean())


def test_equal_qualities_are_discarded_at_random():
    wrong = np.array([1.0, 0, 0, 0])
    np.testing.assert_allclose(one_each(np.ones(4), wrong)[0], 0.25)


def test_discarding_the_errors_themselves_is_the_best():
    wrong = np.repeat([1.0, 0.0], [30, 170])
    found = one_each(-wrong + np.linspace(0, 0.1, 200), wrong)
    np.testing.assert_allclose(found, discard.best(found[:, 0], SHARES), atol=1e-12)
    assert discard.area(found)[0] == pytest.approx((0.15 + 0.85 * np.log(0.85)) / 0.5, abs=1e-3)


def test_a_resample_counts_people_as_often_as_they_were_drawn():
    quality, wrong = np.arange(4.0), np.array([1.0, 0, 1, 0])
    counts = np.array([[2, 1, 1, 0], [0, 0, 0, 0]], np.float32)
    found = one_each(quality, wrong, counts)
    assert found[0, 0] == 0.75
    assert found[0, -1] == 0.5
    assert np.isnan(found[1]).all()
