"""Mutual k-NN and CKNNA: what published code gives, weights, shuffled items."""

import numpy as np
import pytest

from embedlab.maths.likeness.neighbour_alignment import Near, cknna, mutual
from tests.spaces import example


def test_mutual_k_nn_is_that_of_platonic_rep():
    """Its mutual_knn(topk=5) on rows of length one."""
    x, y = example()
    value, _, _ = mutual(Near.of(x, 5), Near.of(y, 5))
    assert value == pytest.approx(0.3033333333333334, abs=1e-12)


def test_cknna_is_that_of_platonic_rep():
    """Its cknna(topk=5) on rows of length one, without the 1e-6 under the line."""
    x, y = example()
    across, own_x, own_y = 0.011207738541342775, 0.03751111657607179, 0.03789625455921549
    found, _ = cknna(Near.of(x, 5), Near.of(y, 5))
    assert found.value == pytest.approx(across / np.sqrt(own_x * own_y), rel=1e-10)


def test_the_gradient_of_mutual_k_nn_counts_a_neighbour_by_its_weight():
    x, y = example()
    a, b = Near.of(x, 5), Near.of(y, 5)
    value, gradient, _ = mutual(a, b)

    def weighed(w):
        shares = []
        for one, other in zip(a.indices, b.indices, strict=True):
            common = w[np.intersect1d(one, other)].sum()
            shares.append(common / ((w[one].sum() + w[other].sum()) / 2))
        return np.average(shares, weights=w)

    direction = np.random.default_rng(0).normal(size=60)
    slope = (weighed(1 + 1e-5 * direction) - weighed(1 - 1e-5 * direction)) / 2e-5
    assert weighed(np.ones(60)) == pytest.approx(value)
    assert gradient @ direction == pytest.approx(slope, rel=1e-6)


def test_neighbours_of_shuffled_items_are_those_found_anew():
    x, y = example()
    order = np.random.default_rng(0).permutation(60)
    near, (value, _, nulls) = Near.of(x, 5), mutual(Near.of(x, 5), Near.of(y, 5), [order])
    anew = Near.of(y[order], 5)
    np.testing.assert_array_equal(Near.of(y, 5).renamed(order).indices, anew.indices)
    assert nulls[0] == mutual(near, anew)[0] != value
    _, aligned = cknna(near, Near.of(y, 5), [order])
    assert aligned[0] == pytest.approx(cknna(near, anew)[0].value, rel=1e-9)
