"""A p that goes below one resample, and the rule that decides among many."""

import numpy as np
import pytest
from scipy import stats

from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.people.evidence import adjusted, least_p, normal_p, two_sided_p


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
