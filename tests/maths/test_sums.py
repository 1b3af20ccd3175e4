import tracemalloc

import numpy as np
import pytest

from embedlab.maths import sums
from embedlab.maths.sums import by_person


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 3, 2 * sums.COLUMNS + 1])
def test_sums_are_those_of_adding_row_after_row_to_the_bit(dtype, width):
    draw = np.random.default_rng(0)
    values, owners = draw.normal(size=(500, width)).astype(dtype), draw.integers(40, size=500)
    by_hand = np.zeros((43, width))
    np.add.at(by_hand, owners, values)
    np.testing.assert_array_equal(by_person(values, owners, 43), by_hand)
    np.testing.assert_array_equal(by_person(values, owners), by_hand[: owners.max() + 1])


def test_whoever_has_no_row_has_no_sum():
    assert (by_person(np.empty((0, 4)), np.empty(0, int), 2) == 0).all()


def test_rows_are_not_copied_as_a_whole():
    values, owners = np.ones((2000, 20 * sums.COLUMNS), np.float32), np.arange(2000) % 5
    by_person(values[:9], owners[:9])
    tracemalloc.start()
    by_person(values, owners)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 2
