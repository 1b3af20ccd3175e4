"""Measures of similarity as a whole: what is planted, samples, what each measure does not see."""

from functools import cache

import numpy as np
import pytest

from embedlab.maths.likeness.similarity import (
    CKNNA,
    LINEAR_CKA,
    MEASURES,
    MUTUAL,
    PROCRUSTES,
    PWCCA,
    RBF_CKA,
    RSA,
    SVCCA,
    Space,
    compare,
)
from embedlab.maths.people.bootstrap import interval, resamples
from tests.spaces import clustered, measured, plan, rotation

NAMES = [measure.name for measure in MEASURES]


# Planted truths ---------------------------------------------------------------------------------------


@cache
def by_measure(change):
    owners, x = clustered()
    rng = np.random.default_rng(5)
    y = x @ rng.normal(size=(8, 6)) + rng.normal(size=(len(x), 6))
    changed = {
        "nothing": y,
        "orthogonal": y @ rotation(6),
        "scaling": 3.7 * y,
        "translation": np.add(y, [3, -1, 0, 2, 0, 1]),
        "permutation": y[:, [3, 0, 5, 1, 2, 4]],
        "invertible": y @ (rotation(6, 2) * [4, 2, 1, 1, 0.5, 0.2]) @ rotation(6, 3),
    }[change]
    return {name: one.value for name, one in measured(x, changed, owners, shuffles=1, refits=1).items()}


@pytest.mark.parametrize("change", ["orthogonal", "scaling", "translation", "invertible", "permutation"])
@pytest.mark.parametrize("measure", MEASURES, ids=NAMES)
def test_each_measure_overlooks_what_it_says_and_nothing_else(measure, change):
    gap = abs(by_measure(change)[measure.name] - by_measure("nothing")[measure.name])
    if getattr(measure, change):
        assert gap < 1e-6
    else:
        assert gap > 1e-3


def test_a_turned_larger_copy_is_the_same_space_by_every_measure_that_overlooks_turns():
    owners, x = clustered()
    found = measured(x, 3 * x @ rotation(8), owners, shuffles=5, refits=5)
    for measure in MEASURES:
        one = found[measure.name]
        if measure.orthogonal:
            assert one.value == pytest.approx(1, abs=1e-6), measure.name
            low, high = interval(one.replicates(resamples(60, 100, 0)))
            assert high - low < 1e-6, measure.name


@cache
def of_noise(together):
    """Independent spaces, 14 times; with ``together`` people are centres in both, but other ones."""
    found = []
    for seed in range(14):
        owners, x = clustered(seed=seed) if together else (clustered()[0], None)
        rng = np.random.default_rng([seed, 1])
        x = rng.normal(size=(240, 8)) if x is None else x
        y = clustered(dimension=6, seed=1000 + seed)[1] if together else rng.normal(size=(240, 6))
        found.append(measured(x, y, owners, seed=seed, shuffles=19, refits=9))
    return found


@pytest.mark.parametrize("together", [False, True], ids=["noise", "people in other places"])
@pytest.mark.parametrize("name", NAMES)
def test_unrelated_spaces_are_at_their_null_by_every_measure(name, together):
    """The value less the null is nothing, on average and within its interval nearly always."""
    counts = resamples(60, 200, 0)
    gaps, inside = [], 0
    for found in of_noise(together):
        one = found[name]
        null = one.nulls.mean()
        gaps.append(one.value - null)
        low, high = interval(one.replicates(counts))
        inside += low <= null <= high
    assert abs(np.mean(gaps)) < 3.5 * np.std(gaps) / np.sqrt(len(gaps))
    assert inside >= 11


def test_what_both_spaces_owe_to_grouping_people_is_part_of_the_null():
    """Neighbours are shared because people are; re-pairing images instead would call that likeness."""
    for name in (MUTUAL, CKNNA, RBF_CKA):
        apart = np.mean([found[name].value for found in of_noise(True)])
        owners, x = clustered(seed=0)
        y = clustered(dimension=6, seed=1000)[1]
        scattered = measured(x, y, owners, together=False, shuffles=19, refits=1)[name].nulls
        assert apart > scattered.max(), name


def test_in_sample_figures_of_noise_are_high_where_held_out_ones_are_nothing():
    rng = np.random.default_rng(0)
    found = measured(rng.normal(size=(240, 40)), rng.normal(size=(240, 40)), clustered()[0])
    for name in (SVCCA, PWCCA, PROCRUSTES):
        one = found[name]
        assert one.in_sample > 0.4, name
        assert one.in_sample_null == pytest.approx(one.in_sample, abs=0.05), name
        assert abs(one.value) < 0.1, name


def test_it_does_not_matter_which_space_comes_first():
    owners, x = clustered()
    y = x @ np.random.default_rng(2).normal(size=(8, 6)) + np.random.default_rng(3).normal(size=(240, 6))
    there, back = (measured(*pair, owners, shuffles=1, refits=1) for pair in ((x, y), (y, x)))
    for name in NAMES:
        # The published CKNNA takes sums over who names an item in one space and whom it names in the other.
        rounding = 1e-4 if name == CKNNA else 1e-9
        assert there[name].value == pytest.approx(back[name].value, abs=rounding), name
        np.testing.assert_allclose(there[name].influence, back[name].influence, atol=rounding)


@pytest.mark.parametrize("name", NAMES)
def test_more_noise_is_less_alike(name):
    owners, x = clustered()
    noise = np.random.default_rng(3).normal(size=x.shape)
    near, far = (measured(x, x + size * noise, owners, shuffles=1, refits=1)[name].value for size in (0.2, 1))
    assert 1 > near > far > 0


def test_intervals_hold_the_mean_of_all_samples_about_as_often_as_they_say():
    """``benchmarks/likeness.py`` has more of them, and unequal numbers of images."""
    counts = resamples(60, 200, 0)
    values, ends = {name: [] for name in NAMES}, {name: [] for name in NAMES}
    for seed in range(25):
        owners, x = clustered(seed=seed)
        y = x + 1.2 * np.random.default_rng([seed, 7]).normal(size=x.shape)
        for name, one in measured(x, y, owners, seed=seed, shuffles=1, refits=1).items():
            values[name].append(one.value)
            ends[name].append(interval(one.replicates(counts)))
    for name in NAMES:
        low, high = np.array(ends[name]).T
        truth = np.mean(values[name])
        assert np.mean((low <= truth) & (truth <= high)) >= 0.84, name
        assert np.mean(high - low) / 3.92 < 1.5 * np.std(values[name]), name


# Samples ----------------------------------------------------------------------------------------------


def test_a_sample_is_of_whole_people_and_no_larger_than_asked_for():
    rng = np.random.default_rng(0)
    owners = rng.permutation(np.repeat(np.arange(200), rng.integers(1, 9, size=200)))
    chosen = plan(owners, sample=100, together=False)
    assert 80 < len(chosen.rows) <= 100
    taken = np.bincount(owners[chosen.rows], minlength=200)
    assert set(taken[taken > 0]) <= set(np.bincount(owners)[taken > 0])
    np.testing.assert_array_equal(taken[taken > 0], np.bincount(owners)[taken > 0])
    assert chosen.sampled_people == (taken > 0).sum()


@pytest.mark.parametrize("seed", range(8))
def test_a_person_of_very_many_images_does_not_fill_the_sample(seed):
    owners = np.r_[np.zeros(5000, int), np.repeat(np.arange(1, 31), 4)]
    chosen = plan(owners, sample=100, seed=seed)
    assert np.bincount(owners[chosen.rows])[0] <= 10
    assert chosen.sampled_people > 20


def test_all_images_are_the_sample_where_they_fit():
    owners = np.repeat(np.arange(30), 4)
    np.testing.assert_array_equal(plan(owners, sample=120).rows, np.arange(120))


def test_sampled_measures_do_not_hear_of_people_outside_the_sample():
    owners, x = clustered()
    y = x + np.random.default_rng(3).normal(size=x.shape)
    chosen = plan(owners, sample=100)
    found = compare(Space.of(x, chosen), Space.of(y, chosen), chosen)
    outside = np.setdiff1d(np.arange(60), owners[chosen.rows])
    assert len(outside)
    for name in (RSA, MUTUAL, CKNNA):
        assert not found[name].influence[outside].any()
    for name in (LINEAR_CKA, RBF_CKA, SVCCA, PWCCA, PROCRUSTES):
        assert found[name].influence[outside].all()
