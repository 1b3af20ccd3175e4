import numpy as np
import pytest

from embedlab.maths import reused
from embedlab.maths.pairs import extremes
from embedlab.maths.pairs.extremes import (
    false_alarms,
    false_matches,
    first_of_each,
    nearest_impostors,
    within_people,
)
from tests.planted import embedding_set

PROBES = [None, 5]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(extremes, "BLOCK", 1000)  # Several blocks, the last one cut.


def planted(other=None):
    """Rows in no order, people with one to four images, and the same images under another probe."""
    a = embedding_set(people=30, images=4)
    rows = np.random.default_rng(1).permutation(len(a.items))
    rows = rows[a.labels[rows] % 4 >= rows % 4]
    b = None if other is None else embedding_set(people=30, images=4, seed=other).unit[rows]
    scores = (a.unit[rows].astype(float)) @ (a.unit[rows] if b is None else b).astype(float).T
    return a.unit[rows], a.labels[rows], b, scores


@pytest.mark.parametrize("probe", PROBES)
def test_the_nearest_impostor_is_that_of_the_written_out_matrix(probe):
    a, labels, b, scores = planted(probe)
    scores[labels[:, None] == labels] = -np.inf
    rows, found = nearest_impostors(a, labels, b)
    np.testing.assert_array_equal(rows, scores.argmax(axis=1))
    np.testing.assert_allclose(found, scores.max(axis=1), atol=1e-7)


def test_impostors_that_were_found_are_given_again(monkeypatch):
    a, labels = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32), np.arange(12) // 3
    plain, of_others = extremes.nearest_impostors(a, labels), extremes.nearest_impostors(a[::-1], labels)
    with reused.Kept().in_use():
        first = extremes.nearest_impostors(a, labels)
        np.testing.assert_array_equal(extremes.nearest_impostors(a[::-1], labels), of_others)
        monkeypatch.setattr(extremes, "_nearest", None)
        again = extremes.nearest_impostors(a.copy(), labels)
    for found in (first, again):
        np.testing.assert_array_equal(found, plain)


def test_one_person_has_no_impostor():
    with pytest.raises(ValueError, match="one person only"):
        nearest_impostors(np.eye(3, dtype=np.float32), np.zeros(3, int))


@pytest.mark.parametrize("count", [1, 7, 100_000])
@pytest.mark.parametrize("probe", PROBES)
def test_the_worst_false_matches_are_the_highest_scores_each_pair_once(probe, count):
    a, labels, b, scores = planted(probe)
    counted = labels[:, None] != labels
    if probe is None:
        counted &= np.triu(np.ones_like(counted), 1)
    expected = np.argwhere(counted)[np.argsort(-scores[counted], kind="stable")][:count]
    found = false_matches(a, labels, nearest_impostors(a, labels, b)[1], count, b)
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_allclose(found.scores, scores[tuple(expected.T)], atol=1e-7)


def test_where_all_pairs_are_equal_some_are_given():
    a, labels = np.ones((60, 4), np.float32) / 2, np.arange(60) % 20
    found = false_matches(a, labels, nearest_impostors(a, labels)[1], 5)
    np.testing.assert_allclose(found.scores, 1.0)
    assert len({tuple(pair) for pair in found.rows}) == 5
    assert (labels[found.rows[:, 0]] != labels[found.rows[:, 1]]).all()


@pytest.mark.parametrize("probe", PROBES)
def test_each_person_stands_once_among_the_false_non_matches(probe):
    a, labels, b, scores = planted(probe)
    counted = np.triu(np.ones_like(scores, bool), 1) if probe is None else ~np.eye(len(scores), dtype=bool)
    found = within_people(a, labels, b)
    lowest = {}
    for person in range(30):
        own = scores[(labels[:, None] == person) & (labels == person) & counted]
        if len(own) == 0:
            assert np.isnan(found.mean[person])
            continue
        assert found.mean[person] == pytest.approx(own.mean(), abs=1e-6)
        lowest[person] = own.min()
    people = labels[found.lowest.rows]
    assert (people[:, 0] == people[:, 1]).all()
    assert people[:, 0].tolist() == sorted(lowest, key=lowest.__getitem__)
    np.testing.assert_allclose(found.lowest.scores, sorted(lowest.values()), atol=1e-7)
    np.testing.assert_allclose(found.lowest.scores, scores[tuple(found.lowest.rows.T)], atol=1e-7)


def test_people_with_one_image_have_no_pair():
    found = within_people(np.eye(3, dtype=np.float32), np.arange(3))
    assert np.isnan(found.mean).all()
    assert found.lowest.rows.shape == (0, 2)


def test_each_person_is_met_at_the_row_of_highest_score():
    labels = np.array([1, 0, 1, 0, 1])
    assert first_of_each(np.array([0.3, 0.1, 0.9, 0.1, 0.9]), labels).tolist() == [1, 2]


def test_false_alarms_are_those_of_the_written_out_matrix():
    a, labels, _, scores = planted()
    scores[labels[:, None] == labels] = -np.inf
    found = sorted(zip(*(part.tolist() for part in false_alarms(a, labels, 0.3)), strict=True))
    assert found == list(zip(*(part.tolist() for part in np.nonzero(scores > 0.3)), strict=True))
    assert found
    assert not len(false_alarms(a, labels, 1.1)[0])
