import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import genpareto

from embedlab.maths.space.neighbourhoods import (
    Twins,
    agreement,
    halves,
    kept,
    kept_of_others,
    means,
    nearest_people,
    p_values,
)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def images(places, count, noise, seed):
    """So many images of each person round their places, as unit rows, and whose they are."""
    owners = np.repeat(np.arange(len(places)), count)
    rows = places[owners] + noise * np.random.default_rng(seed).normal(size=(len(owners), places.shape[1]))
    return unit(rows).astype(np.float32), owners


@pytest.fixture
def places():
    return np.random.default_rng(1).normal(size=(300, 24))


def test_halves_share_no_image_and_take_turns():
    owners = np.repeat(np.arange(40), [2, 3, 4, 7] * 10)
    half = halves(owners, np.random.default_rng(0))
    for person in range(40):
        counts = np.bincount(half[owners == person], minlength=2)
        assert counts[0] - counts[1] == counts.sum() % 2
    assert (half != halves(owners, np.random.default_rng(1))).any()


def test_means_are_the_plain_ones_and_images_that_cancel_out_leave_a_direction():
    rows = unit(np.random.default_rng(0).normal(size=(7, 5)))
    rows[6] = -rows[5]
    owners = np.array([0, 1, 0, 1, 1, 2, 2])
    found = means(rows, owners)
    for person in (0, 1):
        assert found[person] == pytest.approx(unit(rows[owners == person].mean(axis=0)))
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3))
    some = means(rows, owners, np.array([0, 3, 5]))
    assert some == pytest.approx(rows[[0, 3, 5]])


def test_nearest_people_are_those_of_a_plain_search(places, monkeypatch):
    monkeypatch.setattr("embedlab.maths.space.neighbourhoods.BLOCK", 7 * len(places))
    rows = unit(places)
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -2)
    found = nearest_people(rows, 12, np.random.default_rng(0))
    assert (found == np.argsort(-cosines, axis=1)[:, :12]).all()


def test_spaces_that_tell_nobody_apart_agree_by_chance_only():
    same = np.tile([1.0, 0.0], (200, 1))
    lists = [nearest_people(same, 10, np.random.default_rng(seed)) for seed in range(60)]
    shares = [kept(first, second)[:, -1].mean() for first, second in pairwise(lists)]
    assert np.mean(shares) == pytest.approx(10 / 199, abs=0.03)


def test_kept_counts_common_names_among_the_first_ones():
    rng = np.random.default_rng(0)
    a, b = (np.stack([rng.permutation(12)[:6] for _ in range(12)]) for _ in range(2))
    a[0] = b[0]
    found = kept(a, b)
    for row in range(12):
        for k in range(1, 7):
            assert found[row, k - 1] == pytest.approx(len({*a[row, :k]} & {*b[row, :k]}) / k)
    assert found[0] == pytest.approx(np.ones(6))


def test_lists_of_others_share_what_all_pairs_of_people_share_on_average(places):
    a, b = (nearest_people(unit(places[:40, :d]), 5, np.random.default_rng(0)) for d in (3, 4))
    found = kept_of_others(a, b)
    for k in (1, 5):
        pairs = [len({*a[i, :k]} & {*b[j, :k]}) / k for i in range(len(a)) for j in range(len(a)) if i != j]
        assert found[k - 1] == pytest.approx(np.mean(pairs))


def test_a_turned_space_agrees_across_as_far_as_within(places):
    rows, owners = images(places, 4, 0.5, 0)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(24, 24)))[0].astype(np.float32)
    found = agreement(rows, rows @ turn, owners, 10, 20, 3, np.random.default_rng(0))
    assert found.across == pytest.approx(found.within[0], abs=1e-12)
    assert 0.1 < found.across[:, 9].mean() < 0.9
    # A share is a mean over pairs: the same from those who have neighbours and from those who are some.
    assert found.across_others.mean() == pytest.approx(found.across[:, 9].mean())
    assert found.within_others.mean(axis=1) == pytest.approx(found.within[:, :, 9].mean(axis=1))


def test_unrelated_spaces_agree_as_lists_of_others_do(places):
    rows, owners = images(places, 4, 0.5, 0)
    other, _ = images(np.random.default_rng(5).normal(size=(300, 24)), 4, 0.5, 0)
    found = agreement(rows, other, owners, 10, 10, 3, np.random.default_rng(0))
    assert found.across[:, 9].mean() == pytest.approx(found.strangers[9], abs=0.01)
    assert found.strangers[9] == pytest.approx(10 / 299, rel=0.3)


@pytest.mark.parametrize(("noise", "common"), [((0.4, 0.4), 0.0), ((0.3, 0.8), 0.0), ((0.4, 0.4), 0.9)])
def test_twins_agree_as_two_spaces_do_that_differ_in_noise_alone(places, noise, common):
    rng = np.random.default_rng(0)
    first = rng.normal(size=(1200, 24))
    second = common * first + np.sqrt(1 - common**2) * rng.normal(size=(1200, 24))
    owners = np.repeat(np.arange(300), 4)
    a, b = (
        unit(places[owners] + size * more).astype(np.float32)
        for size, more in zip(noise, (first, second), strict=True)
    )
    real = agreement(a, b, owners, 10, 10, 6, rng)
    same = kept(*(nearest_people(means(x, owners), 10, rng) for x in (a, b)))[:, -1].mean()
    levels = real.within[:, :, 9].mean(axis=1)
    twins = Twins.of(a, owners).matched((levels[0], levels[1]), same, 10, rng)
    found = twins.agreement(10, 10, 6, rng)
    assert found.within[:, :, 9].mean(axis=1) == pytest.approx(levels, abs=0.02)
    assert found.across[:, 9].mean() == pytest.approx(real.across[:, 9].mean(), abs=0.02)
    assert twins.shared == pytest.approx(common, abs=0.25)
    assert (twins.sizes[1] > 1.5 * twins.sizes[0]) == (noise[1] > noise[0])


def test_noise_is_the_same_whether_a_person_has_two_images_or_nine(places):
    owners = np.repeat(np.arange(300), [2, 9] * 150)
    rows = unit(places)[owners] + 0.1 * np.random.default_rng(0).normal(size=(len(owners), 24))
    squares = (Twins.of(rows, owners).residuals ** 2).mean(axis=1)
    many = owners % 2 == 1
    assert squares[many].mean() == pytest.approx(0.01, rel=0.05)
    assert squares[~many].mean() == pytest.approx(0.01, rel=0.05)


def test_twins_of_a_space_without_any_noise_left_stay_as_they_are(places):
    rows, owners = images(places, 3, 0.2, 0)
    twins = Twins.of(rows, owners).matched((1.0, 1.0), 1.0, 10, np.random.default_rng(0))
    assert twins.sizes == (0.0, 0.0)
    noisy = Twins.of(rows, owners).matched((0.0, 0.0), 0.0, 10, np.random.default_rng(0))
    assert noisy.sizes == (100.0, 100.0)
    assert noisy.shared == pytest.approx(0.0, abs=1e-12)
    assert dataclasses.replace(noisy, sizes=(0.0, 0.0)).agreement(
        10, 10, 1, np.random.default_rng(0)
    ).across.mean() == pytest.approx(1.0)


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
