"""Pairs weighed by person: held against pairs written out with their weights."""

import numpy as np
import pytest

from embedlab.maths.pairs import roc
from embedlab.maths.pairs.all_pairs import all_pairs, template_pairs
from embedlab.maths.pairs.moments import Spread
from embedlab.maths.people.bootstrap import resamples
from tests.planted import embedding_set

PEOPLE = 25
LOW = 0.2


@pytest.fixture(scope="module")
def uneven():
    """One person of twenty images, who looks like somebody else in each; the others have one to four."""
    a = embedding_set(PEOPLE, 20, noise=0.9)
    images = np.r_[20, np.arange(PEOPLE - 1) % 4 + 1]
    return a.take(np.flatnonzero(np.arange(len(a.items)) % 20 < images[a.labels]))


def written(a, counts, other=None):
    """Scores and weights of genuine and impostor pairs: each person's, each two people's sum to one."""
    scores = a.unit.astype(float) @ (a.unit if other is None else other).astype(float).T
    images = np.bincount(a.labels).astype(float)
    same = a.labels[:, None] == a.labels
    counted = np.triu(np.ones_like(same), 1) if other is None else ~np.eye(len(same), dtype=bool)
    person = np.broadcast_to(a.labels[:, None], same.shape)[same & counted]
    genuine = counts[person] / np.bincount(person, minlength=PEOPLE)[person]
    weights = np.outer(counts[a.labels] / images[a.labels], counts[a.labels] / images[a.labels])
    apart = ~same & counted
    return scores[same & counted], genuine, scores[apart], weights[apart]


@pytest.mark.parametrize("across", [False, True])
def test_every_statistic_is_that_of_the_written_out_weights(uneven, across, monkeypatch):
    monkeypatch.setattr("embedlab.maths.pairs.excess.shrunk", lambda counts, c: counts)
    other = uneven.unit[::-1].copy() if across else None
    pairs = all_pairs(uneven.unit, uneven.labels, other, weigh="people")
    counts = resamples(PEOPLE, 6, 0)
    rows = np.vstack([np.ones((1, PEOPLE), np.float32), counts])
    fars = np.array([0.1, 0.02])
    limits = roc.limits(pairs, fars, counts)
    tar = roc.accepted_share(pairs, rows, np.vstack([limits[0], limits[1]]))
    far = roc.achieved_far(pairs, rows, np.full(len(rows), LOW))
    whole = roc.impostor_weight(pairs, rows)
    for k, row in enumerate(rows):
        genuine, own, impostor, weights = written(uneven, row.astype(float), other)
        limit = limits[0] if k == 0 else limits[1][k - 1]
        assert whole[k] == pytest.approx(weights.sum())
        for level, at in zip(fars, limit, strict=True):
            assert weights[impostor > at + 1e-6].sum() <= level * weights.sum() * (1 + 1e-9)
            assert weights[impostor > at - 1e-6].sum() > level * weights.sum() * (1 - 1e-9)
        expected = [own[genuine > at + 1e-7].sum() / own.sum() for at in limit]
        np.testing.assert_allclose(tar[k], expected, atol=1e-6)
        assert far[k] == pytest.approx(weights[impostor > LOW].sum() / weights.sum())
    genuine, own, impostor, weights = written(uneven, np.ones(PEOPLE), other)
    spread, distance = Spread(pairs, counts), pairs.distance
    for moments, values, w in (
        (spread.intra(distance), genuine, own),
        (spread.inter(distance), impostor, weights),
    ):
        mean = np.average(values, weights=w)
        assert moments.mean.value == pytest.approx(1 - mean, abs=2e-5)
        assert moments.variance.value == pytest.approx(np.average((values - mean) ** 2, weights=w), rel=1e-3)
    auc, _, _, _ = roc.auc_and_eer(pairs, counts)
    above = np.sum(own[:, None] * weights * (genuine[:, None] > impostor), dtype=float)
    assert auc == pytest.approx(above / (own.sum() * weights.sum()), abs=1e-4)
    assert roc.accepted_far(pairs, LOW) == pytest.approx(weights[impostor > LOW].sum() / weights.sum())
    assert roc.false_accepts(pairs, LOW) == (impostor > LOW).sum()


def test_equal_numbers_of_images_weigh_alike_either_way():
    a = embedding_set(20, 4, noise=0.9)
    counts = resamples(20, 30, 0)
    each, alike = (all_pairs(a.unit, a.labels, weigh=weigh) for weigh in ("pairs", "people"))
    one, two = (roc.rates(pairs, np.array([0.1, 0.01]), counts) for pairs in (each, alike))
    np.testing.assert_allclose(one.tar_replicates, two.tar_replicates)
    np.testing.assert_allclose(one.auc_replicates, two.auc_replicates)
    np.testing.assert_array_equal(one.thresholds, two.thresholds)
    np.testing.assert_allclose(each.impostor_mass, 16 * alike.impostor_mass)
    np.testing.assert_allclose(alike.genuine_masses, 1)


def test_each_two_people_weigh_one_whatever_images_they_have(uneven):
    within = all_pairs(uneven.unit, uneven.labels, weigh="people", tail=50)
    assert within.impostor_mass.sum() == pytest.approx(PEOPLE * (PEOPLE - 1) / 2)
    np.testing.assert_allclose(within.impostor_by_person.sum(axis=1), PEOPLE - 1)
    templates = template_pairs(uneven.unit, uneven.labels, weigh="people")
    assert templates.impostor_mass.sum() == pytest.approx(PEOPLE * (PEOPLE - 1))
    assert templates.genuine_masses[np.bincount(uneven.labels) > 1] == pytest.approx(1)
    counts = resamples(PEOPLE, 5, 0)
    each = roc.impostor_weight(templates, counts)
    np.testing.assert_allclose(each, counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1))
    # Pairs are counted in whole numbers all the same.
    images = np.bincount(uneven.labels)
    assert within.impostor.sum() == (images.sum() ** 2 - (images**2).sum()) // 2
