import numpy as np
import pytest

from embedlab.maths import pairs
from embedlab.maths.pairs import all_pairs
from tests.planted import embedding_set


def written_out(unit, labels, other=None):
    scores = unit @ (unit if other is None else other).T
    same = labels[:, None] == labels
    diagonal = np.eye(len(labels), dtype=bool)
    counted = np.triu(np.ones_like(same), 1) if other is None else np.ones_like(same)
    return scores[same & counted & ~diagonal], scores[~same & counted], scores[diagonal]


@pytest.mark.parametrize("cross", [False, True])
def test_every_pair_is_counted_once(cross, monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 17)  # Several blocks, the last ones cut.
    a = embedding_set(people=30, images=3)
    order = np.random.default_rng(1).permutation(len(a.items))
    unit, labels = a.unit[order], a.labels[order]
    other = embedding_set(people=30, images=3, seed=5).unit[order] if cross else None
    found = all_pairs(unit, labels, other)
    genuine, impostor, same = written_out(unit, labels, other)
    np.testing.assert_allclose(np.sort(found.genuine_scores), np.sort(genuine), atol=1e-6)
    np.testing.assert_allclose(found.tail_scores, np.sort(impostor)[::-1], atol=1e-6)
    assert found.impostor.sum() == len(impostor)
    assert found.genuine.sum() == len(genuine)
    assert len(found.same_item_scores) == (len(labels) if cross else 0)
    np.testing.assert_allclose(np.sort(found.same_item_scores), np.sort(same) if cross else [], atol=1e-6)


def test_histogram_is_that_of_numpy_but_for_scores_on_an_edge():
    a = embedding_set(people=20, images=4)
    found = all_pairs(a.unit, a.labels, bins=64)
    _, impostor, _ = written_out(a.unit.astype(np.float64), a.labels)
    expected, _ = np.histogram(impostor, pairs.edges(64))
    assert np.abs(found.impostor - expected).sum() <= 2


def test_each_impostor_pair_stands_with_both_its_people():
    a = embedding_set(people=10, images=3)
    found = all_pairs(a.unit, a.labels)
    assert found.impostor_by_person.sum() == 2 * found.impostor.sum()
    assert (found.impostor_by_person.sum(axis=1) == 3 * 27).all()
    assert (found.genuine_by_person.sum(axis=1) == 3).all()


def test_the_tail_keeps_the_highest_scores_with_their_people():
    a = embedding_set(people=40, images=2)
    whole = all_pairs(a.unit, a.labels)
    cut = all_pairs(a.unit, a.labels, tail=50)
    assert 0 < len(cut.tail_scores) <= 50
    np.testing.assert_array_equal(cut.tail_scores, whole.tail_scores[: len(cut.tail_scores)])
    np.testing.assert_array_equal(cut.tail_people, whole.tail_people[: len(cut.tail_scores)])


def test_scores_beyond_one_by_rounding_stay_in_the_last_bin():
    unit = np.array([[1.0000001, 0], [1.0000001, 0], [-1.0000001, 0]], np.float32)
    found = all_pairs(unit, np.array([0, 1, 2]), bins=8)
    assert found.impostor.tolist() == [2, 0, 0, 0, 0, 0, 0, 1]


def test_row_order_changes_nothing():
    a = embedding_set()
    order = np.random.default_rng(3).permutation(len(a.items))
    one, two = all_pairs(a.unit, a.labels), all_pairs(a.unit[order], a.labels[order])
    np.testing.assert_allclose(one.tail_scores, two.tail_scores, atol=1e-6)
    assert np.abs(one.impostor - two.impostor).sum() <= 4  # Rounding may move a score over an edge.


def test_bins_that_do_not_nest_are_refused():
    with pytest.raises(ValueError, match="bins must be coarse times a power of two, not 100 with coarse 64"):
        all_pairs(np.eye(3, dtype=np.float32), np.arange(3), bins=100, coarse=64)
