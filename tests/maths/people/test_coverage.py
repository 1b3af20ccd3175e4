"""Do 95 % intervals hold the truth in 95 % of samples? ``benchmarks/coverage.py`` prints the table."""

import pytest

from benchmarks import coverage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "weigh"), [("equal", "pairs"), ("one person rules", "people"), ("AUC of .999", "people")]
)
def test_intervals_hold_the_truth_and_are_as_wide_as_that_takes(world, weigh):
    """Of forty samples 95 % are 34 to 40, and a standard deviation of eighty is sure to a sixth."""
    held = coverage.held(coverage.WORLDS[world], weigh, sets=40, resamples=150, people=60)
    shares, widths = (dict(zip(coverage.NAMES, each, strict=True)) for each in (held.share, held.width))
    # Of sixty people told apart so well three or four make all the errors.
    few = 0.75 if world == "AUC of .999" else 0.85
    assert shares.pop("AUC") >= few
    assert min(shares.values()) >= 0.85
    # A mean of two ways round whose errors cancel: what is left is of second order.
    assert widths.pop("FAR of a threshold from others") < 1.8
    if world != "AUC of .999":
        assert all(0.75 < width < 1.3 for width in widths.values())
