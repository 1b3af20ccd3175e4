"""All probes of a model in one, and people drawn from them."""

import numpy as np

from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.linear.joint import Joint
from tests.planted import embedding_set


def test_rows_keep_their_person_probe_and_item():
    a, b = embedding_set(5), embedding_set(6, probe="p@32", seed=1)
    rows = Joint.of((a, b))
    assert rows.identities.tolist() == list(b.identities)
    np.testing.assert_array_equal(rows.probe, [0] * 15 + [1] * 18)
    np.testing.assert_array_equal(rows.vectors, np.concatenate([a.unit, b.unit]))
    np.testing.assert_array_equal(rows.identities[rows.person[15:]], np.asarray(b.identities)[b.labels])
    np.testing.assert_array_equal(rows.items[:15], a.items)


def test_halves_hold_everybody_once_and_depend_on_the_number_of_people_alone():
    rows = Joint.of((embedding_set(9),))
    fitted, others = rows.halves(3)
    assert (len(fitted), len(others)) == (4, 5)
    assert sorted([*fitted, *others]) == list(range(9))
    np.testing.assert_array_equal(fitted, Joint.of((embedding_set(9, images=1, dimension=4),)).halves(3)[0])
    assert fitted.tolist() != rows.halves(4)[0].tolist()


def test_a_sample_holds_the_same_images_under_every_probe_in_one_order():
    sets = embedding_set(8, 6), embedding_set(8, 6, probe="p@32", seed=1)
    rows = Joint.of((sets[0], sets[1].take(np.random.default_rng(0).permutation(48))))
    sample = rows.sample(np.array([1, 4]), 3, seed=0)
    np.testing.assert_array_equal(sample.owners, [0] * 6 + [1] * 6)
    np.testing.assert_array_equal(rows.person[sample.rows], [1] * 6 + [4] * 6)
    np.testing.assert_array_equal(rows.probe[sample.rows], [0, 0, 0, 1, 1, 1] * 2)
    items = rows.items[sample.rows].reshape(4, 3)
    np.testing.assert_array_equal(items[0], items[1])
    assert (items[0, :-1] < items[0, 1:]).all()
    other = rows.sample(np.array([1, 4]), 3, seed=5)
    assert set(rows.items[other.rows]) != set(items.ravel())


def test_the_most_photographed_are_counted_by_images_not_by_rows():
    """The second person's images stand under both probes, the third's under one."""
    people, items = ["a", "b", "b", "c", "c", "c"], ["1", "2", "3", "4", "5", "6"]
    both = EmbeddingSet.from_rows("m", "p", np.eye(6), items, people)
    some = EmbeddingSet.from_rows("m", "p@32", np.eye(6)[:3], items[:3], people[:3])
    rows = Joint.of((both, some))
    assert rows.most_photographed(np.array([2, 0, 1]), 1).tolist() == [2]
    assert rows.most_photographed(np.array([2, 0, 1]), 2).tolist() == [1, 2]
    assert rows.most_photographed(np.array([1, 0]), 5).tolist() == [0, 1]


def test_owners_are_places_in_their_group():
    rows = Joint.of((embedding_set(4, 2),))
    first, second = rows.owners(np.array([2, 0]), np.array([3, 1]))
    assert first.tolist() == [1, 1, 0, 0]
    assert second.tolist() == [1, 1, 0, 0]
