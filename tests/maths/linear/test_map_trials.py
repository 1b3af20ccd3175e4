"""All kinds of map at once, on planted spaces."""

import numpy as np
import pytest

from embedlab.maths.linear import linear_maps
from embedlab.maths.linear.crossmodel import R2, RANK_1, Judge, trial
from embedlab.maths.linear.linear_maps import METHODS, PENALTIES
from embedlab.maths.linear.map_trials import (
    CURVES,
    ENTRIES,
    SIZES,
    SOURCE,
    TARGET,
    UNMAPPED,
    Choices,
    try_maps,
)
from embedlab.maths.people.bootstrap import interval, resamples


def run(d_b=10, people=60, images=4, seed=0, spread=None):
    """Map a space onto a turned and bent copy of it, judged on as many other people."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(2 * people), images)
    x = rng.normal(size=(2 * people, 10))[labels] + 0.4 * rng.normal(size=(len(labels), 10))
    matrix = rng.normal(size=(10, d_b)) if spread is None else spread
    y = x @ matrix + 0.3 * rng.normal(size=(len(x), d_b))
    x, y = (z.astype(np.float32) for z in (x, y))
    fit = labels < people
    owners = labels[~fit] - people
    counts = resamples(people, 50, 0)
    judge = Judge(y[~fit], owners, y[fit].mean(axis=0), trial(owners, 10, 0), counts, 0.01)
    return try_maps(x[fit], y[fit], labels[fit], x[~fit], judge, Choices(5, PENALTIES, 0, 0)), (x, y, fit)


def test_every_kind_of_map_is_tried_beside_floor_ceilings_and_nulls():
    found, _ = run()
    assert set(found.judged) == set(found.nulls) == set(ENTRIES)
    assert found.judged["ridge"][RANK_1].value > 0.5 > 0.1 > found.judged[UNMAPPED][RANK_1].value
    for method in METHODS:
        assert found.nulls[method][RANK_1] < 0.1
    assert found.nulls[SOURCE][RANK_1] == found.nulls[TARGET][RANK_1] == 1 / 60
    assert found.nulls["ridge"][R2] == found.shuffled[R2].value < 0.05
    assert len(found.shuffled[RANK_1].replicates) == 50


def test_spaces_of_unequal_dimension_have_no_shift_and_no_floor():
    found, _ = run(d_b=7)
    assert set(ENTRIES) - set(found.judged) == {UNMAPPED, "mean shift"}
    assert np.isnan(found.in_sample[:, METHODS.index("mean shift")]).all()


def test_the_ridge_judged_is_the_one_fitted_on_the_fitting_people_alone():
    found, (x, y, fit) = run()
    one = linear_maps.RidgePath.of(x[fit], y[fit], None).ridge(float(PENALTIES[found.path.chosen]))
    mapped, truth = one.apply(x[~fit]), y[~fit]
    r2 = 1 - ((mapped - truth) ** 2).sum() / ((truth - y[fit].mean(axis=0)) ** 2).sum()
    assert found.judged["ridge"][R2].value == pytest.approx(r2, abs=1e-5)


def test_more_pairs_do_better_and_the_last_number_is_that_of_all():
    found, _ = run()
    np.testing.assert_array_equal(found.sizes, [*SIZES[:3], 240])
    for name in CURVES:
        assert found.fewer[name, 240] is found.judged[name]
    assert (np.diff([found.fewer["ridge", size][R2].value for size in found.sizes]) > 0).all()
    lost = found.lost_with(10, "ridge")
    assert lost.value == found.fewer["ridge", 240][RANK_1].value - found.fewer["ridge", 10][RANK_1].value
    low, high = interval(lost.replicates)
    assert 0 < low < lost.value < high
    assert found.lost_with(11, "ridge") is None


def test_the_share_of_the_gap_is_one_for_a_map_as_good_as_the_target():
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    found, _ = run(spread=turn)
    closed = found.gap_closed("ridge")
    low, high = interval(closed.replicates)
    assert 0.7 < low < closed.value < high
    floor, one, top = (found.judged[name][RANK_1].value for name in (UNMAPPED, "ridge", TARGET))
    assert closed.value == pytest.approx((one - floor) / (top - floor))
