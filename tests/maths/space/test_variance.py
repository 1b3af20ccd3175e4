import numpy as np
import pytest
from scipy.stats import f_oneway, kstest

from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.people.permutation import p_value
from embedlab.maths.space.variance import Units, dealt_out, versions_changed


def units_of(points, owners):
    return Units(owners, np.ones(len(owners)), points, points**2)


def test_it_follows_from_the_f_of_an_analysis_of_variance():
    rng = np.random.default_rng(0)
    points, codes = rng.normal(size=(50, 2)), rng.integers(0, 3, 50)
    points[:, 1] += codes
    found = units_of(points, np.arange(50)).eta_squared(codes)
    for k in range(2):
        f = f_oneway(*(points[codes == g, k] for g in range(3))).statistic
        assert found[k] == pytest.approx(2 * f / (2 * f + 50 - 3))


def test_it_is_one_where_groups_explain_all_and_zero_where_nothing():
    codes = np.repeat([0, 1], 4)
    points = np.stack([codes * 2.0, np.tile([0.0, 1.0], 4), np.full(8, 3.0)], axis=1)
    one, zero, none = units_of(points, np.arange(8)).eta_squared(codes)
    assert one == 1.0
    assert zero == 0.0
    assert np.isnan(none)


def test_units_summed_up_give_what_their_points_give():
    rng = np.random.default_rng(1)
    points, owners, codes = rng.normal(size=(40, 3)), np.repeat(np.arange(10), 4), np.tile([0, 0, 1, 1], 10)
    halves = points.reshape(10, 2, 2, 3)
    summed = Units(
        np.repeat(np.arange(10), 2),
        np.full(20, 2.0),
        halves.sum(axis=2).reshape(20, 3),
        (halves**2).sum(axis=2).reshape(20, 3),
    )
    np.testing.assert_allclose(
        summed.eta_squared(np.tile([0, 1], 10)), units_of(points, owners).eta_squared(codes)
    )


def test_a_resample_is_the_set_with_people_as_often_as_drawn():
    rng = np.random.default_rng(2)
    points, owners = rng.normal(size=(30, 2)), np.repeat(np.arange(10), 3)
    codes = rng.integers(0, 3, 30)
    counts = resamples(10, 4, 0)
    rows = np.repeat(np.arange(30), counts[0, owners].astype(int))
    again = units_of(points[rows], np.arange(len(rows))).eta_squared(codes[rows])
    np.testing.assert_allclose(units_of(points, owners).resampled(codes, counts)[0], again)


def test_versions_change_places_within_each_person():
    shuffled = versions_changed(3, 5)(np.random.default_rng(0)).reshape(3, 5)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.repeat(np.arange(3), 5).reshape(3, 5))
    assert (shuffled != np.arange(3)[:, None]).any()


def test_a_value_of_a_person_stays_with_all_images_of_another():
    owners = np.array([0, 0, 0, 1, 2, 2, 3])
    codes = np.array([0, 1, 1, 0])[owners]
    shuffle = dealt_out(codes, owners)
    drawn = [shuffle(np.random.default_rng(seed)) for seed in range(5)]
    for one in drawn:
        people = [set(one[owners == k]) for k in range(4)]
        assert all(len(values) == 1 for values in people)
        assert sorted(next(iter(v)) for v in people) == [0, 0, 1, 1]
    assert len({tuple(one) for one in drawn}) > 1


def test_values_that_differ_within_people_are_all_dealt_out_again():
    owners = np.array([2, 0, 0, 1, 1, 2])
    codes = np.array([0, 0, 1, 2, 2, 1])
    shuffle = dealt_out(codes, owners)
    drawn = {tuple(shuffle(np.random.default_rng(seed))) for seed in range(40)}
    assert len(drawn) > 10
    # One person's two equal values go to one person.
    assert all(any(set(np.array(one)[owners == k]) == {2} for k in range(3)) for one in drawn)


@pytest.mark.parametrize("within", [False, True], ids=["values of people", "values of images"])
def test_p_is_uniform_for_an_attribute_that_means_nothing(within):
    """Although points of a person are alike, and values too."""
    ps = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        owners = np.repeat(np.arange(25), 4)
        points = rng.normal(size=(25, 3))[owners] + 0.3 * rng.normal(size=(100, 3))
        codes = rng.integers(0, 2, 25)[owners]
        if within:
            codes = np.where(rng.random(100) < 0.2, 1 - codes, codes)
        units = units_of(points, owners)
        nulls = units.by_chance(dealt_out(codes, owners), 99, rng).max(axis=1)
        ps.append(p_value(units.eta_squared(codes).max(), nulls))
    assert kstest(ps, "uniform").pvalue > 0.05
