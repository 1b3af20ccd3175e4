"""Do 95 % intervals hold the truth in 95 % of samples? ``benchmarks/coverage.py`` prints the table."""

import numpy as np
import pytest

from benchmarks import coverage
from embedlab.maths.people import evidence
from embedlab.maths.people.bootstrap import resamples


@pytest.mark.slow
@pytest.mark.parametrize(("world", "weigh"), [("equal", "pairs"), ("one person rules", "people")])
def test_intervals_hold_the_truth_and_are_as_wide_as_that_takes(world, weigh):
    """Of forty samples 95 % are 34 to 40, and a standard deviation of eighty is sure to a sixth."""
    held = coverage.held(coverage.WORLDS[world], weigh, sets=40, resamples=150, people=60)
    assert (held.share >= 0.85).all()
    widths = dict(zip(coverage.NAMES, held.width, strict=True))
    # A mean of two ways round whose errors cancel, and a threshold that three false accepts decide.
    assert widths.pop("FAR of a threshold from others") < 1.8
    assert widths.pop("TAR@1e-4") < 1.8
    assert all(0.7 < width < 1.35 for width in widths.values())


@pytest.mark.parametrize(("graded", "least"), [(False, 0.94), (True, 0.92)])
def test_a_share_of_which_few_people_take_is_held(graded, least):
    """Of 150 people three in a hundred err; by as much each, or by very different amounts."""
    rng, sets = np.random.default_rng(17), 400
    errors = (rng.random((sets, 150)) < 0.03) * (rng.lognormal(-2.5, 1, (sets, 150)) if graded else 1 / 3)
    values, drawn = np.minimum(errors, 1).mean(axis=1), resamples(150, 400, 3) @ np.minimum(errors, 1).T / 150
    truth = values.mean()

    def held(ends):
        low, high = np.array(ends, np.float64).T
        return np.mean((low <= truth) & (truth <= high))

    pairs = list(zip(values, drawn.T, strict=True))
    found = held([evidence.of_share(*one, 150, graded=graded) for one in pairs])
    assert found >= least
    assert held([evidence.expanded(*one, 150) for one in pairs]) < found - 0.015
