"""Corrected scores of planted values, nulls and ceilings."""

import numpy as np
import pytest

from embedlab.maths.likeness.scores import NAMES, of_most, scores
from embedlab.maths.likeness.similarity import Measured
from embedlab.maths.people.bootstrap import interval, resamples

PEOPLE = 50


def pair(value, null, influence=0.0):
    """A pair of spaces to which all measures give one value, about one null, with one influence."""
    one = Measured(value, influence * np.ones(PEOPLE), np.array([null - 0.05, null + 0.05]))
    return dict.fromkeys(NAMES, one)


def leaning(value, null, slope):
    """A pair whose value grows with the weight of the first half of the people."""
    influence = slope * np.repeat([1.0, -1.0], PEOPLE // 2) / PEOPLE
    return dict.fromkeys(NAMES, Measured(value, influence, np.array([null])))


def test_a_score_is_the_place_between_its_own_null_and_the_mean_of_all_seeds():
    """Spaces a, a, b, b: pairs 0 and 5 are seeds, with a ceiling of (0.9 + 0.7)/2 = 0.8."""
    found = [pair(0.9, 0.1), pair(0.5, 0.2), pair(0.2, 0.2), pair(0.1, 0.3), pair(0.8, 0.0), pair(0.7, 0.4)]
    table = scores(found, resamples(PEOPLE, 20, 0), ("a", "a", "b", "b"))
    assert table.twins == (0, 5)
    assert table.by_seeds.all()
    np.testing.assert_allclose(table.ceiling, 0.8)
    np.testing.assert_allclose(table.null[:, 0], [0.1, 0.2, 0.2, 0.3, 0.0, 0.4])
    expected = np.array([0.8 / 0.7, 0.5, 0, -0.4, 1, 0.75])
    np.testing.assert_allclose(table.score, np.repeat(expected[:, None], len(NAMES), axis=1), atol=1e-12)
    # No person moves anything here, so that every resample says the same.
    np.testing.assert_allclose(table.drawn, np.repeat(table.score[..., None], 20, axis=2), atol=1e-12)


@pytest.mark.parametrize(
    ("recipes", "seeds", "twins"),
    [
        (("a", "b", "c"), 0.9, ()),
        (("", "", ""), 0.9, ()),
        (("a", "a", "a"), 0.9, (0, 1, 2)),
        (("a", "a", "b"), 0.1, (0,)),
    ],
    ids=["no seeds", "recipes unknown", "nothing but seeds", "seeds no more alike than chance"],
)
def test_the_ceiling_is_one_without_seeds_to_set_it(recipes, seeds, twins):
    found = [pair(seeds, 0.2), pair(0.6, 0.2), pair(0.4, 0.2)]
    table = scores(found, resamples(PEOPLE, 20, 0), recipes)
    assert table.twins == twins
    assert not table.by_seeds.any()
    np.testing.assert_array_equal(table.ceiling, 1)
    np.testing.assert_allclose(table.score[:, 0], [(seeds - 0.2) / 0.8, 0.5, 0.25])


def test_seeds_must_beat_the_highest_of_their_nulls():
    rest = [pair(0.5, 0.1)] * 4
    for null, enough in ((0.75, True), (0.85, False)):
        found = [pair(0.9, 0.1), *rest, pair(0.7, null)]
        table = scores(found, resamples(PEOPLE, 20, 0), ("a", "a", "b", "b"))
        assert (table.by_seeds == enough).all()


def test_resamples_move_value_and_ceiling_alike_and_leave_the_null():
    found = [leaning(0.8, 0.2, 0.3), leaning(0.5, 0.1, 0.6), leaning(0.4, 0.2, 0.0)]
    counts = resamples(PEOPLE, 200, 0)
    table = scores(found, counts, ("a", "a", "b"))
    tilt = (counts[:, : PEOPLE // 2].sum(axis=1) - counts[:, PEOPLE // 2 :].sum(axis=1)) / PEOPLE
    assert tilt.std() > 0.1
    ceiling = 0.8 + 0.3 * tilt
    np.testing.assert_allclose(table.drawn[1, 0], (0.5 + 0.6 * tilt - 0.1) / (ceiling - 0.1), rtol=1e-6)
    np.testing.assert_allclose(table.drawn[2, 0], 0.2 / (ceiling - 0.2), rtol=1e-6)
    # The only pair of seeds is the ceiling in every resample, however far both move.
    np.testing.assert_allclose(table.drawn[0], 1)
    low, high = interval(table.drawn[1, 0])
    assert table.score[1, 0] == pytest.approx(0.4 / 0.7)
    assert low < table.score[1, 0] < high


def test_no_score_where_the_ceiling_is_not_above_the_null_or_a_measure_has_no_number():
    found = [pair(0.5, 0.1), pair(0.6, 0.5), pair(float("nan"), 0.1), pair(0.3, 0.1)]
    table = scores([*found, pair(0.2, 0.1), pair(0.4, 0.1)], resamples(PEOPLE, 20, 0), ("a", "a", "b", "c"))
    np.testing.assert_allclose(table.score[:, 0], [1, np.nan, np.nan, 0.5, 0.25, 0.75])
    assert np.isnan(table.drawn[1:3]).all()
    assert np.isfinite(np.delete(table.drawn, [1, 2], axis=0)).all()


def test_more_than_half_of_tests_is_a_test():
    """Of dependent ones too: the same p eight times, or each its own."""
    assert of_most(np.full(8, 0.01)) == pytest.approx(0.016)
    assert of_most(np.array([0.01, 0.02, 0.9])) == pytest.approx(0.03)
    assert of_most(np.array([0.01, np.nan])) == pytest.approx(0.01)
    assert np.isnan(of_most(np.full(2, np.nan)))
    rng = np.random.default_rng(0)
    for share in (0.0, 0.5, 1.0):
        common = rng.random((4000, 1)) < share
        p = np.where(common, rng.random((4000, 1)), rng.random((4000, 8)))
        assert np.mean([of_most(one) <= 0.05 for one in p]) <= 0.06
