"""Do 95 % intervals hold the truth in 95 % of samples? ``benchmarks/coverage.py`` prints the table."""

import pytest

from benchmarks import coverage


@pytest.mark.slow
@pytest.mark.parametrize(("world", "weigh"), [("equal", "pairs"), ("one person rules", "people")])
def test_intervals_hold_the_truth_and_are_as_wide_as_that_takes(world, weigh):
    """Of forty samples 95 % are 34 to 40, and a standard deviation is sure to a quarter."""
    held = coverage.held(coverage.WORLDS[world], weigh, sets=40, resamples=100, people=60)
    assert (held.share >= 0.8).all()
    named = dict(zip(coverage.NAMES, held.width, strict=True))
    # A mean of two ways round whose errors cancel: what is left is of second order.
    assert named.pop("FAR of a threshold from others") < 2.2
    assert all(0.7 < width < 1.4 for width in named.values())
