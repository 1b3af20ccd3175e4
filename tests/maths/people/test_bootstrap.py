import numpy as np
import pytest
from scipy import stats

from embedlab.maths.people import bootstrap


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


def test_zero_errors_get_the_rule_of_three():
    ones = np.ones(10)
    assert bootstrap.share_interval(1.0, ones, 300) == (pytest.approx(0.99), 1.0)
    assert bootstrap.share_interval(0.0, ones * 0, 300) == (0.0, pytest.approx(0.01))
    half = np.repeat([0.0, 0.8], 500)
    assert bootstrap.share_interval(0.0, half, 300) == (0.0, pytest.approx(0.8))
    assert bootstrap.share_interval(1.0, 1 - half, 300) == (pytest.approx(0.2), 1.0)
    low, high = bootstrap.share_interval(0.5, np.linspace(0, 1, 1001), 300)
    assert (low, high) == (pytest.approx(0.025), pytest.approx(0.975))


def test_each_person_is_left_out_once():
    for people in (7, 250):
        rows = bootstrap.left_out(people, seed=0)
        assert rows.shape == (min(100, people), people)
        assert ((1 - rows).sum(axis=0) == 1).all()


def test_bca_is_the_one_of_scipy():
    values = np.random.default_rng(0).exponential(size=60)
    counts = np.vstack([bootstrap.resamples(60, 4000, 1), bootstrap.left_out(60, 1)])
    means = bootstrap.weighted_mean(values, np.arange(60), counts)
    low, high = bootstrap.bca_interval(values.mean(), means[:4000], means[4000:])
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="BCa", rng=2).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.01)
    assert high == pytest.approx(theirs.high, abs=0.02)
    # Skewed to the right, so both ends lie above those of the percentile interval.
    plain = bootstrap.interval(means[:4000])
    assert low > plain[0]
    assert high > plain[1]


def test_groups_of_people_have_the_acceleration_of_single_people():
    values = np.random.default_rng(0).exponential(size=2000)
    ends = []
    for groups in (100, 2000):
        counts = np.vstack([bootstrap.resamples(2000, 4000, 1), bootstrap.left_out(2000, 1, groups)])
        means = bootstrap.weighted_mean(values, np.arange(2000), counts)
        ends.append(bootstrap.bca_interval(values.mean(), means[:4000], means[4000:]))
    np.testing.assert_allclose(ends[0], ends[1], atol=2e-3)


def test_bca_falls_back_on_percentiles():
    draws = np.linspace(0, 1, 101)
    assert bootstrap.bca_interval(2.0, draws, np.array([0.1, 0.2])) == bootstrap.interval(draws)
    assert bootstrap.bca_interval(0.5, draws, np.full(3, np.nan)) == bootstrap.interval(draws)
    assert bootstrap.bca_interval(0.5, np.full(9, np.nan), draws) == (None, None)


def test_ties_count_half_so_a_statistic_of_few_values_is_not_called_biased():
    draws = np.repeat([0.0, 1.0, 2.0], [4, 92, 4])
    assert bootstrap.bca_interval(1.0, draws, np.array([0.9, 1.1])) == bootstrap.interval(draws)


def test_exact_intervals_of_shares():
    theirs = stats.binomtest(7, 40).proportion_ci(method="exact")
    assert bootstrap.clopper_pearson(7, 40) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert bootstrap.clopper_pearson(0, 300) == (0.0, pytest.approx(1 - 0.025 ** (1 / 300)))
    assert bootstrap.clopper_pearson(300, 300) == (pytest.approx(0.025 ** (1 / 300)), 1.0)
    with pytest.raises(ValueError, match="no share"):
        bootstrap.clopper_pearson(1, 0)


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


def test_resamples_drawn_some_at_a_time_are_the_same(monkeypatch):
    whole = np.random.default_rng(3).multinomial(30, np.full(30, 1 / 30), size=50)
    for block in (1, 30 * 7, 1 << 22):
        monkeypatch.setattr("embedlab.maths.people.bootstrap.BLOCK", block)
        bootstrap._kept.cache_clear()
        np.testing.assert_array_equal(bootstrap.resamples(30, 50, 3), whole)


@pytest.mark.parametrize("kept", [0, 30 * 50])
def test_a_draw_that_is_kept_is_not_spoilt_by_who_writes_into_it(kept, monkeypatch):
    monkeypatch.setattr(bootstrap, "KEPT", kept)
    first = bootstrap.resamples(30, 50, 11)
    whole = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(bootstrap.resamples(30, 50, 11), whole)


def test_a_draw_too_large_is_not_kept(monkeypatch):
    bootstrap._kept.cache_clear()
    monkeypatch.setattr(bootstrap, "KEPT", 30 * 50 - 1)
    bootstrap.resamples(30, 50, 12)
    assert bootstrap._kept.cache_info().currsize == 0
