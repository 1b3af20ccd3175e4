"""Who is held out, and what is matched with what."""

import numpy as np
import pytest

from embedlab.maths.linear.matched import held_out, other_people, same_person


def rng():
    return np.random.default_rng(0)


def test_the_same_share_of_people_with_several_images_and_with_one_is_held_out():
    images = np.array([3] * 40 + [1] * 60)
    held = held_out(images, 0.25, rng())
    assert held[:40].sum() == 10
    assert held[40:].sum() == 15


@pytest.mark.parametrize("images", [[1, 1, 1, 1], [3, 3, 3, 3], [5, 1, 1, 1], [2, 2, 2, 1, 1]])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_two_people_at_least_are_on_either_side(images, share):
    held = held_out(np.array(images), share, rng())
    assert 2 <= held.sum() <= len(images) - 2


def test_three_people_cannot_be_divided():
    with pytest.raises(ValueError, match="3 people"):
        held_out(np.array([1, 1, 1]), 0.5, rng())


def test_each_row_is_matched_with_another_of_the_same_person():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(6), [1, 2, 3, 4, 5, 1]))
    rows, partners = same_person(labels, rng())
    np.testing.assert_array_equal(labels[rows], labels[partners])
    assert (rows != partners).all()
    assert sorted(rows) == sorted(partners) == sorted(np.flatnonzero((labels > 0) & (labels < 5)))


def test_people_with_one_image_have_no_partner():
    rows, partners = same_person(np.arange(5), rng())
    assert len(rows) == len(partners) == 0


@pytest.mark.parametrize("images", [[1] * 7, [3] * 5, [6, 1, 2, 3], [4, 4]])
def test_shuffled_rows_are_of_other_people(images):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(images)), images))
    partners = other_people(labels, rng())
    assert (labels != labels[partners]).all()
    assert sorted(partners) == list(range(len(labels)))
