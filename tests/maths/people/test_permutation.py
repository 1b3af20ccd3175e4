import numpy as np
import pytest
from scipy.stats import permutation_test

from embedlab.maths.people.permutation import further_p_value, holm, p_value, told


def test_the_measured_value_counts_itself():
    nulls = np.array([1.0, 2.0, 3.0, 4.0])
    assert p_value(5.0, nulls) == pytest.approx(1 / 5)
    assert p_value(3.0, nulls) == pytest.approx(3 / 5)
    assert p_value(0.0, nulls) == 1.0
    assert p_value(9.0, np.empty(0)) == 1.0


def test_what_rounding_moved_is_still_as_extreme():
    value = 0.1 + 0.2
    assert p_value(value, np.array([0.3, 0.2, 0.1])) == pytest.approx(2 / 4)
    assert p_value(-value, np.array([-0.3, -0.4, -0.5])) == pytest.approx(2 / 4)


def test_what_is_no_number_speaks_for_caution():
    assert p_value(1.0, np.array([0.0, np.nan])) == pytest.approx(2 / 3)
    assert p_value(np.nan, np.zeros(9)) == 1.0


def test_it_is_scipys_p_value():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=12) + 0.5, rng.normal(size=12)
    theirs = permutation_test(
        (a, b), lambda x, y: x.mean() - y.mean(), n_resamples=500, alternative="greater", rng=1
    )
    assert p_value(theirs.statistic, theirs.null_distribution) == pytest.approx(theirs.pvalue)


def test_holms_correction_is_the_one_written_out_and_no_less_powerful_than_bonferronis():
    p_values = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert (holm(p_values) <= 4 * p_values).all()
    assert holm(np.zeros(0)).shape == (0,)


def test_a_p_value_says_whether_it_is_the_smallest_possible():
    assert told(0.25) == "p = 0.25"
    assert told(0.021, 0.005) == "p = 0.021"
    assert told(0.005, 0.005) == "p = 0.005, the smallest possible"
    assert told(0.0005, 0.0005) == "p = 0.0005, the smallest possible"
    assert told(1e-9) == "p below 0.0001"


def test_a_further_observation_is_called_high_as_often_as_the_level_says():
    values = np.random.default_rng(0).normal(size=(4000, 4))
    p_values = np.array([further_p_value(row[0], row[1:]) for row in values])
    assert (p_values <= 0.05).mean() == pytest.approx(0.05, abs=0.012)


def test_what_lies_far_above_few_null_values_has_a_small_p_value_and_what_does_not_is_counted():
    nulls = np.random.default_rng(1).normal(size=39)
    assert further_p_value(8.0, nulls) < 1e-6 < p_value(8.0, nulls)
    assert further_p_value(0.0, nulls) >= p_value(0.0, nulls)


def test_null_values_that_are_all_alike_leave_no_more_doubt_than_their_number():
    assert further_p_value(1.1, np.ones(4)) == pytest.approx(0.2)
    assert further_p_value(1.0, np.ones(4)) == 1


def test_a_further_observation_of_a_skewed_law_is_not_called_high_too_often():
    values = np.random.default_rng(1).lognormal(sigma=1.5, size=(2000, 20))
    normal = [(row[0] - row[1:].mean()) / row[1:].std() > 1.75 for row in values]
    assert np.mean(normal) > 0.055
    assert np.mean([further_p_value(row[0], row[1:]) <= 0.05 for row in values]) <= 0.06
