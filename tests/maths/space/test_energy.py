import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance, kstest

from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.people.permutation import p_value
from embedlab.maths.space import energy


def clouds(rng, people=15, images=3, dimension=4, shift=0.0):
    """Two noisy versions of points that belong to people, whose versions share part of their noise."""
    owners = np.repeat(np.arange(people), images)
    centres = rng.normal(size=(people, dimension))[owners]
    a, b = (
        centres + rng.normal(size=(people, dimension))[owners] + rng.normal(size=centres.shape)
        for _ in range(2)
    )
    return a, b + shift, owners


def test_on_a_line_it_is_scipys():
    """Theirs counts a point's two versions as a pair; ours leaves out what is of one person."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=40), rng.normal(size=40) + 0.7
    found = energy.between_people(a[:, None], b[:, None], np.arange(40)).distance(np.ones((1, 40)))[0]
    whole = found * 40 * 39 + 2 * np.abs(a - b).sum()
    assert whole / 40**2 == pytest.approx(energy_distance(a, b) ** 2)


def test_it_is_that_of_all_pairs_of_other_people(monkeypatch):
    monkeypatch.setattr(energy, "BLOCK", 7)
    a, b, owners = clouds(np.random.default_rng(1), shift=0.5)
    other = owners[:, None] != owners
    across, x, y = (cdist(p, q)[other].mean() for p, q in ((a, b), (a, a), (b, b)))
    found = energy.between_people(a, b, owners)
    assert found.distance(np.ones((1, 15)))[0] == pytest.approx(2 * across - x - y)
    assert found.share(np.ones((1, 15)))[0] == pytest.approx((2 * across - x - y) / (2 * across))


def test_resamples_and_swaps_are_those_of_the_points_themselves():
    rng = np.random.default_rng(2)
    a, b, owners = clouds(rng, shift=0.5)
    found = energy.between_people(a, b, owners)
    counts = resamples(15, 5, 0)
    kept = np.flatnonzero(counts[0])
    wide = np.repeat(counts[0], 3)
    weights = np.outer(wide, wide) * (owners[:, None] != owners)
    across, x, y = ((cdist(p, q) * weights).sum() / weights.sum() for p, q in ((a, b), (a, a), (b, b)))
    assert len(kept) < 15
    assert found.distance(counts)[0] == pytest.approx(2 * across - x - y)
    signs = rng.choice([-1.0, 1.0], size=(1, 15))
    change = (signs[0, owners] < 0)[:, None]
    swapped = energy.between_people(np.where(change, b, a), np.where(change, a, b), owners)
    assert found.swapped(signs)[0] == pytest.approx(swapped.distance(np.ones((1, 15)))[0])


def test_a_resample_of_one_person_is_no_number():
    a, b, owners = clouds(np.random.default_rng(3), people=3)
    assert np.isnan(energy.between_people(a, b, owners).distance(np.array([[3.0, 0.0, 0.0]])))[0]


def test_without_a_difference_it_is_zero_on_average_and_p_is_uniform():
    """Although the images of a person moved alike: people change places, not images."""
    values, ps = [], []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        a, b, owners = clouds(rng)
        found = energy.between_people(a, b, owners)
        nulls = found.swapped(rng.choice([-1.0, 1.0], size=(199, 15)))
        values.append(found.distance(np.ones((1, 15)))[0])
        ps.append(p_value(found.swapped(np.ones((1, 15)))[0], nulls))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(120)
    assert kstest(ps, "uniform").pvalue > 0.05


def test_a_difference_is_found():
    rng = np.random.default_rng(0)
    a, b, owners = clouds(rng, people=30, shift=1.5)
    found = energy.between_people(a, b, owners)
    nulls = found.swapped(rng.choice([-1.0, 1.0], size=(199, 30)))
    assert p_value(found.swapped(np.ones((1, 30)))[0], nulls) == pytest.approx(1 / 200)
    assert nulls.mean() == pytest.approx(0, abs=0.1 * found.distance(np.ones((1, 30)))[0])
