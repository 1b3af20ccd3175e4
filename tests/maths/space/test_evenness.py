import numpy as np
import pytest
from scipy.special import hyp0f1

from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space import evenness, sphere


def measured(unit, k=10):
    labels = np.arange(len(unit))
    counts = resamples(len(unit), 20, 0)
    return evenness.measure(unit, labels, counts, (unit, labels, counts), labels, k=k, seed=0)


def test_the_same_code_measures_uniform_samples():
    """One drawn with the seed of the nulls has the very figures of their first."""
    null = evenness.uniform(200, 200, 200, 6, k=10, draws=39, seed=5)
    first = sphere.uniform(200, 6, np.random.default_rng([5, 3]))
    np.testing.assert_allclose(measured(first).values[1:], null[0, 1:-1], rtol=1e-6)


def test_the_nulls_are_near_what_is_known_of_them():
    null = evenness.uniform(100, 300, 100, 16, k=10, draws=60, seed=0).mean(axis=0)
    assert null[0] == pytest.approx(1 / np.sqrt(100), rel=0.1)
    assert null[1] == pytest.approx(-4 + np.log(hyp0f1(8, 4)), abs=5e-3)


def test_a_further_uniform_sample_falls_out_of_the_range_in_one_case_of_twenty():
    low, high = evenness.span(evenness.uniform(120, 120, 120, 5, k=5, draws=79, seed=0))
    rng = np.random.default_rng(1)
    values = np.array([sphere.uniformity(sphere.uniform(120, 5, rng)) for _ in range(2000)])
    assert ((values < low[1]) | (values > high[1])).mean() == pytest.approx(0.05, abs=0.04)


def test_39_samples_give_the_range_from_least_to_largest():
    values = np.random.default_rng(0).normal(size=(39, 4))
    low, high = evenness.span(values)
    np.testing.assert_array_equal(low, values.min(axis=0))
    np.testing.assert_array_equal(high, values.max(axis=0))


def test_an_unlike_set_is_so_at_five_per_cent_exactly_outside_of_the_range():
    null = evenness.uniform(60, 60, 60, 5, k=5, draws=39, seed=0)
    low, high = evenness.span(null)[:, 1]
    seen = []
    for seed in range(200):
        one = measured(sphere.uniform(60, 5, np.random.default_rng(seed)), k=5)
        p = evenness.unlike_uniform(one, null)
        assert (p[0] <= 0.05) == (not low <= one.values[1] <= high)
        seen.append(p <= 0.05)
    assert (np.mean(seen, axis=0) < 0.12).all()


def test_what_is_far_from_uniform_has_a_p_that_stands_among_many():
    rng = np.random.default_rng(0)
    null = evenness.uniform(60, 60, 60, 16, k=5, draws=39, seed=0)
    x = np.eye(16)[0] + rng.normal(size=(60, 16)) / 8
    x[7] = np.eye(16)[0]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert (evenness.unlike_uniform(measured(x, k=5), null) < 1e-4).all()


def test_too_few_people_are_not_tested():
    few = measured(sphere.uniform(9, 5, np.random.default_rng(0)), k=3)
    assert np.isnan(evenness.unlike_uniform(few, evenness.uniform(9, 9, 9, 5, k=3, draws=39, seed=0))).all()
