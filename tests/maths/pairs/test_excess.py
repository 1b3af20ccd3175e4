"""Intervals of impostor figures: held against what varies from sample to sample."""

import numpy as np
import pytest

from embedlab.maths.pairs import excess, roc
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.pairs.moments import Spread
from embedlab.maths.people.bootstrap import resamples
from tests.planted import embedding_set

PEOPLE, SAMPLES = 40, 80


def sample(seed, common):
    """People's images; with ``common`` some people are more like everybody else than others are."""
    rng = np.random.default_rng([5, seed])
    labels = np.repeat(np.arange(PEOPLE), 2)
    alike = common * rng.uniform(0, 1, size=PEOPLE)[labels, None] * np.eye(12)[0]
    rows = rng.normal(size=(PEOPLE, 12))[labels] + 0.6 * rng.normal(size=(len(labels), 12)) + alike
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("common", [0, 5])
def test_resamples_vary_as_samples_do_whether_pairs_vary_or_people(common):
    """The variance of one figure over samples, and the mean of that over resamples, are about the same."""
    figures, spreads, kept = [], [], []
    for seed in range(SAMPLES):
        pairs = all_pairs(*sample(seed, common))
        counts = resamples(PEOPLE, 60, seed)
        at = np.full(60, 0.6)
        mean = Spread(pairs, counts).inter(pairs.distance).mean
        figures.append((roc.accepted_far(pairs, 0.6), mean.value))
        spreads.append((roc.achieved_far(pairs, counts, at).var(), mean.replicates.var()))
        kept.append(excess.Tail.of(pairs).shrinkage(int((pairs.tail_scores > 0.6).sum())))
    ratio = np.sqrt(np.mean(spreads, axis=0)) / np.std(figures, axis=0)
    assert ratio == pytest.approx(1, abs=0.25)
    assert (np.mean(kept) > 0.9) == (common > 0)


def test_the_shrinkage_is_the_root_that_it_says():
    whole, own = np.array([2.0, 5.0, 1.0]), np.array([1.0, 0.5, 0.0])
    c = excess.shrinkage(whole, own, products=True)
    np.testing.assert_allclose(c**2 * whole + c**4 * own, whole - own)
    c = excess.shrinkage(whole, own, products=False)
    np.testing.assert_allclose(c**2 * whole, whole - own)


def test_pairs_are_all_that_varies_at_the_least():
    assert excess.shrinkage(np.array(0.0), np.array(1.0), products=True) == pytest.approx(
        np.sqrt(np.sqrt(2) - 1)
    )
    assert excess.shrinkage(np.array(0.0), np.array(0.0), products=True) == 1


@pytest.mark.parametrize(("weigh", "across"), [("pairs", False), ("people", False), ("people", True)])
def test_the_own_share_of_two_people_is_that_of_all_two_people_written_out(weigh, across):
    a = embedding_set(40, 6, noise=1.5)
    rows = np.flatnonzero(np.arange(len(a.items)) % 6 <= a.labels % 6)
    unit, labels = a.unit[rows], a.labels[rows]
    other = unit[::-1].copy() if across else unit
    pairs = all_pairs(unit, labels, other if across else None, weigh=weigh)
    values = pairs.centres(256)
    scores, who = (unit @ other.T).astype(float), np.eye(40)[labels]
    sums, counts = who.T @ scores @ who, np.outer(who.sum(axis=0), who.sum(axis=0))
    if across:
        sums, counts = sums / counts + (sums / counts).T, 2 * np.ones_like(counts)
    elif weigh == "people":
        sums, counts = sums / counts, np.ones_like(counts)
    upper = np.triu_indices(40, 1)
    sums, counts = sums[upper], counts[upper]
    mean = sums.sum() / counts.sum()
    expected = ((sums - mean * counts) ** 2).sum() / counts.sum()
    found = np.mean(pairs.sampled_masses * (pairs.sampled @ values - mean) ** 2)
    assert found == pytest.approx(expected, rel=0.2)
