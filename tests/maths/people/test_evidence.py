"""A p that goes below one resample, and the rule that decides among many."""

import numpy as np
import pytest
from scipy import stats

from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.people.evidence import (
    adjusted,
    expanded,
    holding,
    least_p,
    normal_p,
    of_share,
    two_sided_p,
)


def test_the_p_of_a_mean_is_that_of_students_test():
    values = np.random.default_rng(0).normal(0.5, 1.0, 60)
    drawn = resamples(60, 4000, 0) @ values / 60
    assert two_sided_p(values.mean(), drawn, 60) == pytest.approx(
        stats.ttest_1samp(values, 0).pvalue, rel=0.3
    )


def test_without_a_replicate_beyond_zero_p_still_falls():
    values = np.random.default_rng(0).normal(2.0, 1.0, 60)
    drawn = resamples(60, 200, 0) @ values / 60
    # How far from zero 200 replicates spread is known to a twentieth; so is the exponent to a fifth.
    exponent = np.log10(two_sided_p(values.mean(), drawn, 60))
    assert exponent == pytest.approx(np.log10(stats.ttest_1samp(values, 0).pvalue), rel=0.4)
    assert exponent < -10


def test_a_tail_that_the_deviation_does_not_see_counts():
    skewed = np.concatenate([np.full(96, 1.0), np.full(4, -0.01)])
    assert two_sided_p(1.0, skewed) == pytest.approx(0.08)
    assert normal_p(1.0, float(skewed.std())) < 0.001


def test_where_nothing_differs_p_is_even():
    """Two-sided at 5 %: twenty people of which each has a difference about zero."""
    rng = np.random.default_rng(1)
    drawn = resamples(20, 500, 1) / 20
    found = [two_sided_p(x.mean(), drawn @ x, 20) for x in rng.normal(size=(600, 20))]
    for level in (0.01, 0.05, 0.2):
        held = np.mean(np.array(found) <= level)
        assert held == pytest.approx(level, abs=3 * np.sqrt(level / 600))


def test_few_people_cannot_show_a_small_p():
    assert two_sided_p(1.0, np.ones(100), 6) == least_p(6) == 2**-5
    assert two_sided_p(1.0, np.ones(100)) == least_p(0) == 0.0


def test_the_interval_of_a_mean_of_few_people_is_students():
    rng = np.random.default_rng(6)
    for n in (6, 12, 50):
        values = rng.normal(size=n)
        ends = expanded(values.mean(), resamples(n, 20_000, 0) @ values / n, n)
        student = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
        np.testing.assert_allclose(ends, student, atol=0.25 * (student[1] - student[0]))
    drawn = resamples(5000, 4000, 0) @ rng.normal(size=5000) / 5000
    np.testing.assert_allclose(expanded(0.0, drawn, 5000), np.quantile(drawn, [0.025, 0.975]), rtol=0.02)


def test_where_nothing_differs_few_people_are_claimed_as_seldom_as_many():
    """The table of the module, in short: the percentile interval claims in 10 % of samples of ten."""
    rng = np.random.default_rng(7)
    for n in (8, 10, 20):
        drawn, values = resamples(n, 2000, 2) / n, rng.normal(size=(500, n))
        ends = [expanded(x.mean(), drawn @ x, n) for x in values]
        claimed = np.mean([low > 0 or high < 0 for low, high in ends])
        assert claimed == pytest.approx(
            (stats.ttest_1samp(values, 0, axis=1).pvalue < 0.05).mean(), abs=0.025
        )
    narrow = [np.quantile(drawn @ x, [0.025, 0.975]) for x in values]
    assert all(a <= c and d <= b for (a, b), (c, d) in zip(ends, narrow, strict=True))


def test_the_interval_of_a_share_of_independent_people_is_clopper_and_pearsons():
    for right in (1, 3, 197, 120):
        values = np.arange(200) < right
        ends = of_share(right / 200, resamples(200, 20_000, 0) @ values / 200, 200)
        exact = stats.binomtest(right, 200).proportion_ci(0.95, "exact")
        np.testing.assert_allclose(ends, exact, atol=0.04 * (exact[1] - exact[0]))
    assert of_share(1.0, np.ones(400), 200) == (pytest.approx(0.985), 1.0)
    assert of_share(0.5, np.ones(400), 200) == (0.5, 1.0)
    assert of_share(0.5, np.ones(400), 3) == (None, None)


def test_where_people_err_by_more_and_less_the_interval_is_wider():
    """Eight of 150 people have all the errors: how much these vary is known from eight, not from 150."""
    errors = np.where(np.arange(150) < 8, np.geomspace(0.01, 0.3, 150), 0.0)[::-1]
    drawn = 1 - resamples(150, 4000, 1) @ errors / 150
    value = 1 - errors.mean()
    alike, graded = (of_share(value, drawn, 150, graded=graded) for graded in (False, True))
    assert 0 < graded[0] < alike[0] < value < alike[1] < graded[1] < 1
    assert 1 - graded[0] < 4 * (1 - value)


def test_an_interval_beside_its_value_covers_both_what_it_was_and_where_it_should_be():
    assert holding(0.843, 0.679, 0.821, 0.75) == (0.679, pytest.approx(0.914))
    assert holding(0.5, 0.6, 0.8, 0.7) == (pytest.approx(0.4), 0.8)
    assert holding(0.7, 0.6, 0.8, 0.9) == (0.6, 0.8)


@pytest.mark.parametrize(
    ("value", "drawn", "expected"),
    [(0.0, np.zeros(10), 1.0), (1.0, np.full(10, np.nan), np.nan), (np.nan, np.ones(10), np.nan)],
)
def test_nothing_and_no_number(value, drawn, expected):
    np.testing.assert_equal(two_sided_p(value, drawn, 9), expected)


def test_q_is_benjamini_and_hochbergs():
    p = np.random.default_rng(2).random(40) ** 3
    np.testing.assert_allclose(adjusted(p), stats.false_discovery_control(p), rtol=1e-12)
    assert adjusted([]) == []
