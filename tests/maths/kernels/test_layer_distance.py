import numpy as np
import pytest

from embedlab.maths.kernels.layer_distance import (
    further_range,
    lowest_p_values,
    norm_drift,
    relative_distance,
)


def drawn(seed, channels=32):
    return np.random.default_rng(seed).normal(size=(channels, 4, 3, 3))


def test_the_distance_is_the_one_written_out():
    x, y = drawn(0), 2 * drawn(1)
    size = np.sqrt((np.linalg.norm(x) ** 2 + np.linalg.norm(y) ** 2) / 2)
    assert relative_distance(x, y).value == pytest.approx(np.linalg.norm(x - y) / size)


def test_equal_opposite_and_zero_kernels():
    x = drawn(0)
    assert relative_distance(x, x, replicates=50) == pytest.approx((0, 0, 0, np.nan, np.nan), nan_ok=True)
    assert relative_distance(x, -x).value == pytest.approx(2)
    assert relative_distance(0 * x, 0 * x, shuffles=9).value == 0


def test_unrelated_kernels_stand_at_the_null_and_kin_do_not():
    x = drawn(0)
    far = relative_distance(x, drawn(1), shuffles=199, replicates=200)
    assert far.null == pytest.approx(np.sqrt(2), abs=0.03)
    assert far.p_value > 0.05
    near = relative_distance(x, x + drawn(1), shuffles=199, replicates=200)
    assert near.p_value == pytest.approx(1 / 200)
    assert near.low < near.value < near.high < near.null


def test_the_null_is_what_shuffles_by_hand_give():
    x, y = drawn(0, 6), drawn(1, 6)
    rng = np.random.default_rng(3)
    by_hand = [relative_distance(x, y[rng.permutation(6)]).value for _ in range(400)]
    assert relative_distance(x, y, shuffles=400).null == pytest.approx(np.mean(by_hand), abs=0.01)


def test_few_channels_have_no_interval():
    assert relative_distance(drawn(0, 4), drawn(1, 4), replicates=50).low is None


def test_a_further_observation_lies_in_its_range_as_often_as_the_level_says():
    values = np.random.default_rng(0).normal(size=(4000, 9))
    low, high = further_range(values[:, 1:4].T)
    assert ((low < values[:, 0]) & (values[:, 0] < high)).mean() == pytest.approx(0.95, abs=0.012)


def test_the_lowest_of_many_is_judged_by_the_lowest_of_all():
    rng = np.random.default_rng(2)
    drawn = rng.standard_t(3, size=(400, 20, 8)) * rng.uniform(1, 9, 8)
    p_values = np.array([lowest_p_values(one[0], one[1:]) for one in drawn])
    assert (p_values.min(axis=1) <= 0.05).mean() == pytest.approx(0.05, abs=0.03)
    far = drawn[0][0].copy()
    far[3] -= 400
    found = lowest_p_values(far, drawn[0][1:])
    assert found[3] < 1e-4
    assert np.delete(found, 3).min() > 0.05


def norm(seed, channels=40):
    rng = np.random.default_rng(seed)
    return {"running_mean": rng.normal(size=channels), "running_var": rng.uniform(1, 4, size=channels)}


def test_norm_layers_drift_by_what_was_planted():
    a = norm(0)
    b = {"running_mean": a["running_mean"] + 0.5 * np.sqrt(a["running_var"]), "running_var": a["running_var"]}
    found = norm_drift(a, b, shuffles=199, replicates=100, seed=0)
    assert found.mean.value == pytest.approx(0.5)
    assert found.variance.value == 0
    assert found.mean.p_value == found.variance.p_value == pytest.approx(1 / 200)
    twice = norm_drift(a, {**a, "running_var": 2 * a["running_var"]}, shuffles=9, replicates=100, seed=0)
    assert twice.variance.value == pytest.approx(np.log(2))


def test_drift_is_the_same_both_ways_and_unrelated_layers_stand_at_the_null():
    there, back = (norm_drift(*pair, shuffles=199, replicates=50, seed=0) for pair in
                   ((norm(0), norm(1)), (norm(1), norm(0))))  # fmt: skip
    assert there.mean.value == pytest.approx(back.mean.value)
    assert there.variance.value == pytest.approx(back.variance.value)
    assert there.mean.p_value > 0.05


def test_channels_without_variance_are_left_out():
    a, b = norm(0), norm(1)
    a["running_var"][:3] = 0
    assert norm_drift(a, b, shuffles=9, replicates=9, seed=0).channels == 37
    a["running_var"][:] = 0
    assert norm_drift(a, b, shuffles=9, replicates=9, seed=0).mean is None
