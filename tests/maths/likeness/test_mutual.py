"""Mutual k-NN and CKNNA: what published code gives, weights, shuffled items."""

import numpy as np
import pytest

from embedlab.maths.likeness.mutual import Near, cknna, mutual
from tests.spaces import example


def test_mutual_k_nn_is_that_of_platonic_rep():
    """Its mutual_knn(topk=5) on rows of length one."""
    x, y = example()
    value, _ = mutual(Near.of(x, 5), Near.of(y, 5))
    assert value == pytest.approx(0.3033333333333334, abs=1e-12)


def test_cknna_is_that_of_platonic_rep():
    """Its cknna(topk=5) on rows of length one, without the 1e-6 under the line."""
    x, y = example()
    across, own_x, own_y = 0.011207738541342775, 0.03751111657607179, 0.03789625455921549
    found, _ = cknna(Near.of(x, 5), Near.of(y, 5))
    assert found == pytest.approx(across / np.sqrt(own_x * own_y), rel=1e-10)


@pytest.mark.parametrize("groups", [2, 12, 60])
def test_those_left_out_make_room_for_the_next(groups):
    x, y = example()
    group = np.arange(60) % groups
    a, b = (Near.of(rows, 5, group) for rows in (x, y))
    for one in range(min(groups, 3)):
        gone = group == one
        for near, rows in ((a, x), (b, y)):
            anew = Near.of(rows[~gone], 5)
            np.testing.assert_array_equal(near.without(gone).neighbours, anew.neighbours)
        there = mutual(a.without(gone), b.without(gone))[0]
        assert there == mutual(Near.of(x[~gone], 5), Near.of(y[~gone], 5))[0]


def test_neighbours_of_shuffled_items_are_those_found_anew():
    x, y = example()
    order = np.random.default_rng(0).permutation(60)
    near, (value, nulls) = Near.of(x, 5), mutual(Near.of(x, 5), Near.of(y, 5), [order])
    anew = Near.of(y[order], 5)
    np.testing.assert_array_equal(Near.of(y, 5).renamed(order).indices, anew.indices)
    assert nulls[0] == mutual(near, anew)[0] != value
    _, aligned = cknna(near, Near.of(y, 5), [order])
    assert aligned[0] == pytest.approx(cknna(near, anew)[0], rel=1e-9)
