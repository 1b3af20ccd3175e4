"""Halves and shuffles: whether a person's items stay together, and who changes places with whom."""

import numpy as np
import pytest

from embedlab.maths.likeness.exchange import halves_of, levelled, rematched
from tests.spaces import plan


def test_people_keep_together_in_halves_and_shuffles():
    owners = np.repeat(np.arange(30), 4)
    chosen = plan(owners)
    for order in chosen.orders[:5]:
        assert sorted(order.tolist()) == list(range(120))
        np.testing.assert_array_equal(chosen.half[order], chosen.half)
        met = owners[order].reshape(30, 4)
        assert (met == met[:, :1]).all()
    assert any((owners[order] != owners).any() for order in chosen.orders)


def test_shuffled_images_do_not_keep_together():
    owners = np.repeat(np.arange(30), 4)
    met = owners[plan(owners, together=False).orders[0]].reshape(30, 4)
    assert (met != met[:, :1]).any()


def test_people_change_places_with_others_of_as_many_images():
    owners = np.repeat(np.arange(30), np.r_[np.full(15, 3), np.full(15, 2)])
    order = rematched(owners, np.random.default_rng(0), together=True)
    sizes = np.bincount(owners)
    np.testing.assert_array_equal(sizes[owners[order]], sizes[owners])
    np.testing.assert_array_equal(np.bincount(owners[order]), sizes)
    assert (owners[order] != owners).mean() > 0.8


def levels(sizes, **least):
    owners = np.repeat(np.arange(len(sizes)), sizes)
    rows = levelled(owners, np.random.default_rng(0), **least)
    return np.bincount(owners[rows], minlength=len(sizes)).tolist()


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([4] * 30, [4] * 30),
        # One of very many keeps as many as the next few.
        ([60, *[3] * 40], [3] * 41),
        ([9, 8, 7, 3, 3, 3, 3, 3, 1], [7, 7, 7, 3, 3, 3, 3, 3, 0]),
        # Alone with a number, one would change places with nobody.
        ([3] * 7 + [1], [3] * 7 + [0]),
        ([5, 4, 3, 2, 1], [2, 2, 2, 2, 0]),
        ([2, 2, 1, 1, 1], [1] * 5),
    ],
)
def test_people_keep_as_many_images_as_a_few_others(sizes, kept):
    assert levels(sizes, least=3) == kept


def test_a_levelled_set_is_level():
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(200), rng.zipf(1.7, 200).clip(1, 60))
    _, once = np.unique(owners[levelled(owners, rng)], return_inverse=True)
    assert len(levelled(once, rng)) == len(once)
    sizes, people = np.unique(np.bincount(once), return_counts=True)
    assert (people >= 20).all()
    half = halves_of(once, 0)
    for size in sizes:
        both = np.bincount(half[np.isin(once, np.flatnonzero(np.bincount(once) == size))], minlength=2)
        assert abs(both[0] - both[1]) <= size
