from itertools import permutations

import numpy as np
import pytest

from embedlab.maths.kernels import shuffles
from embedlab.maths.kernels.kernel_structure import centred, planted, statistics
from embedlab.maths.kernels.shuffles import (
    arrangements,
    beside_shuffled,
    low_frequency_beside_shuffled,
    share_by_chance,
    smallest_p,
    structured,
)


def drawn(seed, shape=(12, 3, 3, 3)):
    return np.random.default_rng(seed).standard_t(3, size=shape)


def test_p_values_are_what_counting_all_orders_by_hand_gives():
    kernels = centred(drawn(0, (2, 2, 1, 5)))
    orders = np.array(list(permutations(range(5))))
    found = np.stack([statistics(kernels[..., order]) for order in orders]).round(9)
    exact = []
    for k in (0, 1):
        reached = (found[None, :, k] >= found[:, None, k]).mean(axis=1).min(axis=1)
        exact.append((reached <= reached[0] + 1e-12).mean())
    np.testing.assert_allclose(beside_shuffled(kernels, 2000, 0, signs=False).p_values, exact, atol=0.04)


@pytest.mark.parametrize("signs", [False, True])
def test_single_kernels_without_a_pattern_are_found_as_often_as_the_level_says(signs):
    kernels = drawn(1, (400, 3, 3, 3))
    found = beside_shuffled(kernels if signs else centred(kernels), 399, 0, signs=signs)
    assert (found.p_values <= 0.05).mean() == pytest.approx(0.05, abs=0.035)
    assert (found.p_values <= 0.5).mean() == pytest.approx(0.5, abs=0.1)


def test_places_that_are_shuffled_alike_take_account_of_kernels_that_resemble_one_another():
    p_values = []
    for seed in range(60):
        common = drawn([2, seed], (1, 1, 3, 3))
        kernels = centred(common * drawn([3, seed], (8, 3, 1, 1)))
        p_values.append(beside_shuffled(kernels, 59, seed, signs=False).layer_p)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.13
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("shape", [(3, 3, 3), (3, 5, 5)])
def test_a_planted_bank_of_gabor_kernels_is_found_one_by_one_and_as_a_whole(shape):
    found = beside_shuffled(centred(planted(12, *shape, seed=1)), 499, 0, signs=False)
    assert structured(found.p_values, 0.05).mean() > 0.6
    assert found.layer_p <= 0.02


def test_a_blur_is_structured_with_signs_and_is_its_own_shuffle_without():
    blurs = drawn(4, (6, 3, 1, 1)) * np.ones((3, 3))
    assert beside_shuffled(blurs, 499, 0, signs=True).layer_p <= 0.02
    assert beside_shuffled(blurs, 99, 0, signs=False).layer_p == 1


def test_blocks_of_shuffles_change_nothing(monkeypatch):
    kernels = drawn(5)
    whole = beside_shuffled(kernels, 49, 0, signs=True)
    monkeypatch.setattr(shuffles, "BLOCK", 1)
    for one, other in zip(whole, beside_shuffled(kernels, 49, 0, signs=True), strict=True):
        np.testing.assert_allclose(one, other)


def test_a_layers_low_frequencies_are_those_of_its_kernels_and_so_is_their_null():
    kernels = drawn(6, (20, 5, 3, 3))
    share, null, _ = low_frequency_beside_shuffled(kernels, 999, 0)
    assert share == pytest.approx(statistics(kernels)[:, 0].mean())
    assert null == pytest.approx(1 / 3, abs=0.02)


def test_layers_are_called_smoother_if_they_are_and_dead_kernels_do_not_count():
    rng = np.random.default_rng(7)
    smooth = rng.normal(size=(16, 8, 3, 3)) + 0.5 * rng.normal(size=(16, 8, 1, 1))
    share, null, p_value = low_frequency_beside_shuffled(smooth, 199, 0)
    assert share > null + 0.05
    assert p_value == pytest.approx(1 / 200)
    dead = np.concatenate([smooth, 0 * smooth])
    assert low_frequency_beside_shuffled(dead, 199, 0)[0] == pytest.approx(share)
    assert np.isnan(low_frequency_beside_shuffled(0 * smooth, 19, 0)[0])


def test_the_first_arrangement_leaves_all_as_it_is():
    order, sign = arrangements(9, 30, 0, True)
    np.testing.assert_array_equal(order[0], np.arange(9))
    np.testing.assert_array_equal(sign[0], 1)
    assert (np.sort(order, axis=1) == np.arange(9)).all()
    assert set(np.unique(sign)) == {-1, 1}


def test_the_smallest_p_value_is_that_of_the_shuffles_or_of_a_kernel_turned():
    assert smallest_p(3, 3, 1999) == pytest.approx(1 / 2000)
    assert smallest_p(2, 2, 1999) == pytest.approx(8 / 24)
    assert smallest_p(1, 3, 1999) == pytest.approx(2 / 6)
    assert smallest_p(1, 1, 1999) == 1
    assert smallest_p(2, 2, 1999, signs=True) == pytest.approx(8 / (24 * 8))
    kernels = centred(np.array([[[[3.0, 1.0], [1.0, -2.0]]]]))
    assert beside_shuffled(kernels, 1999, 0, signs=False).p_values[0] >= 0.3


def test_the_share_of_kernels_called_structured_by_chance_is_small_and_none_of_none():
    assert 0 < share_by_chance(8, 0.05, 0) < 0.02
    assert structured(np.zeros(0), 0.05).shape == (0,)
