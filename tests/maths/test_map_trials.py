"""All kinds of map at once, on planted spaces."""

import numpy as np
import pytest

from embedlab.maths import linear_maps
from embedlab.maths.bootstrap import resamples
from embedlab.maths.crossmodel import R2, RANK_1, Judge, trial
from embedlab.maths.linear_maps import METHODS, PENALTIES
from embedlab.maths.map_trials import CURVES, ENTRIES, SIZES, SOURCE, TARGET, UNMAPPED, Choices, try_maps


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
    assert found.judged["ridge"].values[RANK_1] > 0.5 > 0.1 > found.judged[UNMAPPED].values[RANK_1]
    for method in METHODS:
        assert found.nulls[method].values[RANK_1] < 0.1
    assert found.nulls[SOURCE].values[RANK_1] == found.nulls[TARGET].values[RANK_1] == 1 / 60
    assert found.nulls["ridge"].values[R2] < 0.05


def test_spaces_of_unequal_dimension_have_no_shift_and_no_floor():
    found, _ = run(d_b=7)
    assert set(ENTRIES) - set(found.judged) == {UNMAPPED, "mean shift"}
    assert np.isnan(found.in_sample[:, METHODS.index("mean shift")]).all()
    assert np.isnan(found.arrays(60)["values"][:, ENTRIES.index(UNMAPPED)]).all()


def test_the_ridge_judged_is_the_one_fitted_on_the_fitting_people_alone():
    found, (x, y, fit) = run()
    one = linear_maps.RidgePath.of(x[fit], y[fit], None).ridge(float(PENALTIES[found.path.chosen]))
    mapped, truth = one.apply(x[~fit]), y[~fit]
    r2 = 1 - ((mapped - truth) ** 2).sum() / ((truth - y[fit].mean(axis=0)) ** 2).sum()
    assert found.judged["ridge"].values[R2] == pytest.approx(r2, abs=1e-5)


def test_more_pairs_do_better_and_the_last_number_is_that_of_all():
    found, _ = run()
    np.testing.assert_array_equal(found.sizes, [*SIZES[:3], 240])
    for k, name in enumerate(CURVES):
        np.testing.assert_array_equal(found.curve[k, -1], found.judged[name].values[[RANK_1, R2]])
    assert (np.diff(found.curve[0, :, 1]) > 0).all()
    value, low, high = found.lost_with(10, "ridge")
    assert value == found.curve[0, -1, 0] - found.curve[0, 0, 0]
    assert 0 < low < value < high


def test_the_share_of_the_gap_is_one_for_a_map_as_good_as_the_target():
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    found, _ = run(spread=turn)
    value, low, high = found.gap_closed("ridge")
    assert 0.7 < low < value < high
    floor, one, top = (found.judged[name].values[RANK_1] for name in (UNMAPPED, "ridge", TARGET))
    assert value == pytest.approx((one - floor) / (top - floor))


def test_no_share_of_a_gap_that_may_be_none():
    found, _ = run(spread=np.eye(10))
    assert found.gap_closed("ridge") is None
