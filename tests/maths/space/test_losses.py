"""Who loses more than noise takes: p values of pooled null values, and who is near to whom."""

import numpy as np
import pytest
from scipy.stats import genpareto

from embedlab.maths.space.losses import p_values


def test_p_values_are_uniform_where_noise_alone_is_at_work():
    rng = np.random.default_rng(0)
    found = p_values(rng.normal(size=4000), rng.normal(size=(3, 4000)), np.full(4000, 3))
    for level in (0.5, 0.1, 0.01, 0.001):
        assert (found <= level).mean() == pytest.approx(level, rel=0.5, abs=5e-4)
    assert found.min() > 1e-6


def test_the_tail_is_that_of_the_pareto_distribution_it_was_drawn_from():
    draws = genpareto.rvs(0.2, size=(3, 5000), random_state=0)
    far = np.array([10.0, 15.0])
    values = np.concatenate([-far, np.zeros(4998)])
    found = p_values(values, -draws, np.full(5000, 2))[:2]
    assert np.log10(found) == pytest.approx(np.log10(genpareto.sf(far, 0.2)), abs=0.5)


def test_null_values_without_any_spread_are_counted():
    found = p_values(np.array([-1.0, 0.0, 1.0]), np.zeros((3, 3)), np.full(3, 2))
    assert found == pytest.approx([1 / 10, 1.0, 1.0])


def test_people_with_few_images_are_judged_by_their_own_noise():
    rng = np.random.default_rng(0)
    count = np.repeat([2, 9], 500)
    size = np.where(count == 2, 1.0, 0.1)
    found = p_values(np.full(1000, -0.5), size * rng.normal(size=(3, 1000)), count)
    assert found[:500].max() > 0.2
    assert found[500:].max() < 1e-4
