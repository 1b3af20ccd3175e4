"""Principal components of one sample, and what they say of another."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from embedlab.maths.people.bootstrap import interval, resamples
from embedlab.maths.space import components
from embedlab.maths.space.components import (
    RatioAcross,
    participation_ratio,
    principal,
    ratio_between,
    shares,
)


def test_components_are_those_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(components, "BLOCK", 17)
    x = np.random.default_rng(0).normal(size=(120, 9)) * np.arange(1, 10) + 50
    found, theirs = principal(x), PCA().fit(x)
    np.testing.assert_allclose(found.mean, x.mean(axis=0))
    np.testing.assert_allclose(found.variances, theirs.explained_variance_ * 119 / 120)
    np.testing.assert_allclose(np.abs(found.directions.T), np.abs(theirs.components_), atol=1e-8)
    np.testing.assert_allclose(np.abs(found.project(x, 3)), np.abs(theirs.transform(x)[:, :3]), atol=1e-7)
    largest = np.abs(found.directions).argmax(axis=0)
    assert (found.directions[largest, np.arange(9)] > 0).all()


def test_squares_are_added_up_by_person(monkeypatch):
    monkeypatch.setattr(components, "BLOCK", 7)
    rng = np.random.default_rng(0)
    found, x, owners = principal(rng.normal(size=(50, 4))), rng.normal(size=(30, 4)), rng.integers(5, size=30)
    squares = found.squares(x, owners, 6)
    for person in range(6):
        expected = (found.project(x[owners == person], 4) ** 2).sum(axis=0)
        np.testing.assert_allclose(squares[person], expected, atol=1e-12)


def planted(rng, rows=60, dimension=100, images=1):
    """Two samples of people, and what the ratio across them is measured on."""
    halves = [rng.normal(size=(rows, dimension)) for _ in range(2)]
    owners = np.arange(rows) // images
    return halves, owners, RatioAcross.of(halves[0], owners, halves[1], owners, halves[0].mean(axis=0))


def test_the_ratio_across_two_samples_is_right_where_that_of_one_falls_short():
    """Sixty rows in a hundred equal directions: one sample has at most fifty-nine."""
    rng = np.random.default_rng(0)
    plain, across = [], []
    for _ in range(40):
        halves, _, found = planted(rng)
        plain.append(participation_ratio(principal(halves[0]).variances))
        across.append((found.spread_a.sum() * found.spread_b.sum()) / found.common_a.sum())
    assert np.mean(plain) < 45
    assert np.mean(across) == pytest.approx(100, abs=2)


def test_the_ratio_is_that_of_the_covariances_and_a_resample_that_of_repeated_people(monkeypatch):
    """Where one half alone is resampled the first order is all there is."""
    monkeypatch.setattr(components, "BLOCK", 7)
    halves, owners, found = planted(np.random.default_rng(3), 24, 5, images=4)
    a, b = (h - halves[0].mean(axis=0) for h in halves)
    once, twice = np.ones((1, 6)), np.array([[2.0, 0, 1, 1, 2, 0]])
    repeated = np.repeat(a, twice[0].astype(int)[owners], axis=0)
    for rows, counts in ((a, once), (repeated, twice)):
        s, t = rows.T @ rows, b.T @ b
        expected = np.trace(s) * np.trace(t) / np.trace(s @ t)
        assert found.replicates(counts, once)[0] == pytest.approx(min(expected, 5))
    assert found.common_a.sum() == pytest.approx(found.common_b.sum())


def test_the_plain_ratio_of_known_variances_is_known():
    assert participation_ratio(np.array([1.0, 1, 0, 0])) == 2
    assert participation_ratio(np.array([4.0, 2, 1])) == pytest.approx(49 / 21)


def test_the_ratio_stays_between_one_and_the_dimension():
    apart = RatioAcross(np.ones(2), np.ones(2), np.zeros(2), np.zeros(2), 3)
    alike = RatioAcross(np.ones(2), np.ones(2), np.full(2, 9.0), np.full(2, 9.0), 3)
    still = RatioAcross(np.zeros(2), np.ones(2), np.zeros(2), np.zeros(2), 3)
    assert (apart.value, alike.value) == (3.0, 1.0)
    assert np.isnan(still.value)


@pytest.mark.parametrize("people", [20, 100])
@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 0.1)])
def test_intervals_of_the_ratio_hold_the_truth(people, ends):
    scale = np.linspace(*ends, 24)
    truth = participation_ratio(scale**2)
    owners = np.repeat(np.arange(people // 2), 3)
    counts = [resamples(people // 2, 400, seed) for seed in (1, 2)]
    held = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        a, b = (
            scale * (rng.normal(size=(people // 2, 24))[owners] + 0.5 * rng.normal(size=(len(owners), 24)))
            for _ in range(2)
        )
        found = RatioAcross.of(a, owners, b, owners, a.mean(axis=0))
        low, high = interval(found.replicates(*counts))
        held.append(low <= truth <= high)
    assert np.mean(held) > 0.92


def test_shares_add_up_to_one_or_are_none():
    np.testing.assert_array_equal(shares(np.array([[1.0, 3], [0, 0]])), [[0.25, 0.75], [np.nan, np.nan]])


def naive_rank(rows, owners):
    """The ratio pair by pair, over pairs of two people, each of whom weighs one."""
    weights = 1 / np.bincount(owners)[owners]
    rows = rows - np.average(rows, axis=0, weights=weights)
    apart = owners[:, None] != owners
    products = np.average((rows @ rows.T)[apart] ** 2, weights=np.outer(weights, weights)[apart])
    return np.average((rows**2).sum(axis=1), weights=weights) ** 2 / products


@pytest.mark.parametrize("dimension", [5, 200])
def test_the_ratio_between_people_is_that_of_pairs_of_two_people(dimension):
    rng = np.random.default_rng(3)
    owners = rng.permutation(np.repeat(np.arange(12), rng.integers(1, 9, size=12)))
    rows = (rng.normal(size=(12, dimension)) * np.linspace(3, 1, dimension))[owners]
    rows += rng.normal(size=rows.shape)
    once = np.ones((1, 12), np.float32)
    value, replicates = ratio_between(rows, owners, once)
    assert value == pytest.approx(min(naive_rank(rows, owners), dimension))
    assert replicates[0] == pytest.approx(value)


def test_the_ratio_between_people_of_r_equal_directions_is_r_however_few_the_people():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(60, 60)))[0][:, :40]
    ranks = [
        ratio_between(rng.normal(size=(people, 40)) @ basis.T + 3, np.arange(people), np.ones((1, people)))[0]
        for people in (80, 2000)
    ]
    assert ranks == pytest.approx([40, 40], rel=0.06)


def test_who_has_most_of_the_images_is_not_the_cloud():
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(90), [400, *[2] * 89])
    rows = rng.normal(size=(90, 16))[owners] + 0.5 * rng.normal(size=(len(owners), 16))
    value, replicates = ratio_between(rows, owners, resamples(90, 200, 0))
    assert value > 13
    assert interval(replicates)[0] > 10


def test_equal_vectors_or_one_person_have_no_ratio():
    assert np.isnan(ratio_between(np.ones((50, 4)), np.arange(50), np.ones((1, 50)))[0])
    assert np.isnan(ratio_between(np.eye(4), np.zeros(4, int), np.ones((1, 1)))[0])


@pytest.mark.parametrize("images", [(3, 3), (1, 12)])
def test_intervals_of_the_ratio_between_people_hold_the_truth_and_are_no_longer_than_they_need(images):
    """For equal and for unequal numbers of images."""
    scale = np.linspace(2, 0.3, 24)
    counts = resamples(80, 200, 0)
    values, ends = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        owners = np.repeat(np.arange(80), rng.integers(images[0], images[1] + 1, size=80))
        rows = (scale * rng.normal(size=(80, 24)))[owners] + 0.5 * rng.normal(size=(len(owners), 24))
        value, replicates = ratio_between(rows, owners, counts)
        values.append(value)
        ends.append(interval(replicates))
    truth, (low, high) = np.mean(values), np.array(ends).T
    assert 0.92 < ((low <= truth) & (truth <= high)).mean() < 0.99
    assert 0.9 < (high - low).mean() / (3.92 * np.std(values)) < 1.2
