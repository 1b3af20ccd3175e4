import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.maths.kernels.first_layers import (
    first_layer_match,
    matched_in_other_places,
    matched_turned,
    pictures,
)


def test_first_kernels_are_matched_up_to_order_and_sign():
    rng = np.random.default_rng(0)
    ka = rng.normal(size=(6, 3, 3, 3))
    order, sign = rng.permutation(6), rng.choice([-1, 1], 6)
    kb = np.empty_like(ka)
    kb[order] = 2.5 * sign[:, None, None, None] * ka + 0.7
    found = first_layer_match(ka, kb)
    np.testing.assert_array_equal(found.order, order)
    np.testing.assert_array_equal(found.sign, sign)
    np.testing.assert_allclose(found.correlation, 1)


def test_first_kernels_of_other_widths_leave_some_without_a_partner():
    ka = np.random.default_rng(0).normal(size=(5, 3, 3, 3))
    wide = first_layer_match(ka, ka[[3, 1]])
    np.testing.assert_array_equal(wide.order, [-1, 1, -1, 0, -1])
    np.testing.assert_array_equal(np.isnan(wide.correlation), [True, False, True, False, True])
    np.testing.assert_array_equal(wide.sign, 1)
    np.testing.assert_array_equal(first_layer_match(ka[[3, 1]], ka).order, [3, 1])


def test_first_kernels_correlate_as_numpy_says_and_flat_ones_not_at_all():
    rng = np.random.default_rng(1)
    ka, kb = rng.normal(size=(2, 3, 3, 3, 3))
    ka[0] = 0.1
    found = first_layer_match(ka, kb)
    assert found.correlation[0] == 0
    for k in (1, 2):
        expected = np.corrcoef(ka[k].ravel(), kb[found.order[k]].ravel())[0, 1]
        assert found.sign[k] * found.correlation[k] == pytest.approx(expected)


def test_first_kernels_of_other_sizes_cannot_be_matched():
    with pytest.raises(UserError, match="first-layer kernels of shapes"):
        first_layer_match(np.ones((4, 3, 3, 3)), np.ones((4, 3, 5, 5)))


def test_kernels_in_other_places_are_those_of_no_relation_and_turned_ones_are_as_alike_as_their_kind():
    rng = np.random.default_rng(2)
    ka, kb = rng.normal(size=(2, 8, 3, 3, 3))
    unrelated = np.nanmean(first_layer_match(ka, kb).correlation)
    for null in (matched_in_other_places, matched_turned):
        found = null(ka, kb, 50, 0)
        assert found.shape == (50,)
        assert found.mean() == pytest.approx(unrelated, abs=0.08)
    even = rng.normal(size=(8, 3, 1, 1)) * np.ones((3, 3))
    np.testing.assert_allclose(matched_turned(even, even, 9, 0), 1)
    assert matched_in_other_places(even, even, 50, 0).mean() < 0.8


def test_kernels_that_are_not_square_are_mirrored_only():
    kernels = np.random.default_rng(3).normal(size=(4, 3, 2, 5))
    found = matched_turned(kernels[:1], kernels[:1], 60, 0)
    by_hand = {
        round(abs(np.corrcoef(kernels[0].ravel(), kernels[0][:, ::a, ::b].ravel())[0, 1]), 6)
        for a in (1, -1)
        for b in (1, -1)
    }
    assert {round(one, 6) for one in found} == by_hand


def test_pictures_are_grey_at_zero():
    colours = pictures(np.array([[[[0.0]], [[2.0]], [[-2.0]]]]))
    assert colours[0].tolist() == [[[128, 255, 0]]]
    assert pictures(np.full((1, 1, 1, 1), -3.0))[0].tolist() == [[-1.0]]
