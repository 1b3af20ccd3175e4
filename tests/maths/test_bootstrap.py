import numpy as np
import pytest

from embedlab.maths import bootstrap


def test_each_resample_draws_as_many_people_as_there_are():
    counts = bootstrap.resamples(50, 200, seed=1)
    assert counts.shape == (200, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert abs(counts.var() - (1 - 1 / 50)) < 0.05


def test_equal_seeds_give_equal_resamples():
    np.testing.assert_array_equal(bootstrap.resamples(9, 5, 3), bootstrap.resamples(9, 5, 3))
    assert (bootstrap.resamples(9, 5, 3) != bootstrap.resamples(9, 5, 4)).any()


def test_a_population_is_its_people_and_its_draw():
    one = bootstrap.population(("a", "b"), 10, 0)
    assert one == bootstrap.population(("a", "b"), 10, 0)
    assert (
        len(
            {
                one,
                *(
                    bootstrap.population(*x)
                    for x in [(("a",), 10, 0), (("a", "b"), 9, 0), (("a", "b"), 10, 1)]
                ),
            }
        )
        == 4
    )


def test_weighted_mean_is_that_of_the_written_out_resample():
    values, owners = np.array([1.0, 2.0, 10.0]), np.array([0, 0, 1])
    counts = np.array([[1, 1], [2, 0], [0, 2]], np.float32)
    np.testing.assert_allclose(bootstrap.weighted_mean(values, owners, counts), [13 / 3, 1.5, 10])
    assert np.isnan(bootstrap.weighted_mean(values[:2], owners[:2], counts[2:, :])).all()


@pytest.mark.slow
def test_intervals_of_a_mean_cover_the_truth():
    """Images of one person are alike: the interval must be as wide as people, not images, ask."""
    rng = np.random.default_rng(0)
    people, images, hits = 60, 8, 0
    for _ in range(300):
        values = np.repeat(rng.normal(size=people), images) + 0.3 * rng.normal(size=people * images)
        owners = np.repeat(np.arange(people), images)
        counts = bootstrap.resamples(people, 400, int(rng.integers(1 << 30)))
        low, high = bootstrap.interval(bootstrap.weighted_mean(values, owners, counts))
        hits += low <= 0 <= high
    assert 0.91 <= hits / 300 <= 0.98


def test_zero_errors_get_the_rule_of_three():
    ones = np.ones(10)
    assert bootstrap.share_interval(1.0, ones, 300) == (pytest.approx(0.99), 1.0)
    assert bootstrap.share_interval(0.0, ones * 0, 300) == (0.0, pytest.approx(0.01))
    low, high = bootstrap.share_interval(0.5, np.linspace(0, 1, 1001), 300)
    assert (low, high) == (pytest.approx(0.025), pytest.approx(0.975))


def test_no_interval_where_most_replicates_are_no_numbers():
    assert bootstrap.interval(np.array([1.0, np.nan, np.nan])) == (None, None)


def test_shares_sum_to_one_or_are_no_numbers():
    found = bootstrap.shares(np.array([[1, 3], [0, 0]]))
    np.testing.assert_array_equal(found, [[0.25, 0.75], [np.nan, np.nan]])


def test_impostor_histograms_are_first_order_exact():
    """Weighing one person twice adds that person's pairs once."""
    by_person = np.array([[2, 1], [1, 1], [1, 2]])
    found = bootstrap.impostor_histograms(by_person, np.array([[1, 1, 1], [2, 1, 1]], np.float32))
    np.testing.assert_allclose(found, [[2, 2], [4, 3]])
