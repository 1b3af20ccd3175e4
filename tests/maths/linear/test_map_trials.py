"""All kinds of map at once, on planted spaces."""

from dataclasses import replace

import numpy as np
import pytest

from embedlab.analyses.mapping import MappingParams
from embedlab.maths.linear import linear_maps
from embedlab.maths.linear.crossmodel import R2, RANK_1, TAR
from embedlab.maths.linear.linear_maps import PENALTIES
from embedlab.maths.linear.map_inputs import MapInputs
from embedlab.maths.linear.map_trials import (
    MAPS,
    RIDGE,
    ROTATION,
    SCALED_SHIFT,
    SOURCE,
    TARGET,
    UNMAPPED,
    Choices,
    try_maps,
)
from embedlab.maths.people.bootstrap import interval, resamples
from tests.maps import faces

CHOICES = Choices(5, 10, 0.01, 0)
PARAMS = MappingParams(folds=5)


def planted(d_b=10, people=120, images=4, seed=0):
    """A space, and a turned and bent copy of it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(people, 10)).repeat(images, axis=0) + 0.4 * rng.normal(size=(people * images, 10))
    y = x @ np.random.default_rng(5).normal(size=(10, d_b)) + 0.3 * rng.normal(size=(len(x), d_b))
    return MapInputs.of(faces(x, images=images), faces(y, "b", images=images), PARAMS)


def run(inputs, curve=True):
    return try_maps(inputs, resamples(int(inputs.held.sum()), 50, 0), CHOICES, curve=curve)


@pytest.fixture(scope="module")
def found():
    return run(planted())


def test_every_kind_of_map_is_tried_beside_floor_ceilings_and_null(found):
    assert set(found.judged) == {RIDGE, ROTATION, SCALED_SHIFT, UNMAPPED, SOURCE, TARGET}
    assert set(found.judged[RIDGE]) == {R2, RANK_1, TAR}
    assert found.judged[RIDGE][RANK_1].value > 0.5 > 0.1 > found.judged[UNMAPPED][RANK_1].value
    assert found.shuffled[R2].value < 0.05
    assert np.isfinite(found.each).all()
    assert (found.each[:, 2] > found.each[:, 0])[MAPS.index(ROTATION) :].all()


def test_spaces_of_unequal_dimension_have_no_shift_and_no_floor():
    found = run(planted(d_b=7), curve=False)
    assert set(found.judged) == {RIDGE, ROTATION, SOURCE, TARGET}
    assert np.isnan(found.each[:2]).all()
    assert found.sizes.tolist() == [240]


def test_the_ridge_judged_is_the_one_fitted_on_the_fitting_people_alone(found):
    inputs = planted()
    fit, held = inputs.rows, inputs.judged
    one = linear_maps.RidgePath.of(inputs.a[fit], inputs.b[fit], None).ridge(found.penalty)
    assert found.penalty in PENALTIES
    mapped, truth = one.apply(inputs.a[held]), inputs.b[held]
    r2 = 1 - ((mapped - truth) ** 2).sum() / ((truth - inputs.b[fit].mean(axis=0)) ** 2).sum()
    assert found.judged[RIDGE][R2].value == pytest.approx(r2, abs=1e-5)


def test_more_pairs_do_better_and_the_last_number_is_that_of_all(found):
    np.testing.assert_array_equal(found.sizes, [30, 100, 240])
    assert found.fewer[240] is found.judged[RIDGE]
    assert (np.diff([found.fewer[size][R2].value for size in found.sizes]) > 0).all()


def test_intervals_cover_whom_the_map_was_fitted_on(found):
    """With many people to judge on and few to fit on, most of what moves R² is the fit."""
    inputs = planted()
    few = replace(inputs, rows=inputs.rows[:40], partners=inputs.partners[:40])
    low, high = interval(run(few, curve=False).judged[RIDGE][R2].replicates)
    lows, highs = interval(found.judged[RIDGE][R2].replicates)
    assert high - low > 1.5 * (highs - lows)


@pytest.mark.slow
def test_intervals_hold_the_expected_value():
    """Rank-1 and R² of a map, and their differences, over new people, fits and galleries."""
    values, ends = [], []
    for seed in range(60):
        done = run(planted(people=80, seed=seed), curve=False)
        ridge, rotation, top = (done.judged[name] for name in (RIDGE, ROTATION, TARGET))
        one = (ridge[R2], ridge[RANK_1], ridge[R2] - rotation[R2], ridge[RANK_1] - top[RANK_1])
        values.append([found.value for found in one])
        ends.append([interval(found.replicates) for found in one])
    truth, (low, high) = np.mean(values, axis=0), np.transpose(ends, (2, 0, 1))
    held = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert (held > 0.88).all(), held
