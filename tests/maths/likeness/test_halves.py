"""Halves and shuffles: whether a person's items stay together."""

import numpy as np

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
