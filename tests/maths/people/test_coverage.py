"""Do 95 % intervals hold the truth in 95 % of samples? ``benchmarks/coverage.py`` prints the table."""

import pytest

from benchmarks import coverage


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    percentile, bca = coverage.held()
    assert ((bca >= 0.93) & (bca <= 0.97)).all()
    assert ((percentile >= 0.92) & (percentile <= 0.97)).all()
    # Of a skewed statistic near its end the percentile interval is the shorter of the two.
    assert (percentile[:-1] >= 0.93).all()
