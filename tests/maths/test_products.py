"""Products on the thread that asks for them, in as many digits as they need."""

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from embedlab.maths.products import told_apart, unthreaded


def threads():
    return [one.num_threads for one in ThreadpoolController().select(user_api="blas").lib_controllers]


def test_products_are_on_one_thread_and_afterwards_on_as_many_as_before():
    np.ones((2, 2)) @ np.ones((2, 2))
    for there in (2, 3):
        with threadpool_limits(there, "blas"):
            before = threads()
            with unthreaded():
                assert threads()[0] == 1
            assert threads() == before
            assert before[0] == there


def test_rows_that_point_one_way_are_multiplied_in_double_precision():
    spread = np.random.default_rng(0).normal(size=(50, 8))
    unit, cone = (
        (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (spread, spread + 3000)
    )
    left, right = told_apart(unit, unit)
    assert left is right is unit
    left, right = told_apart(cone, cone)
    assert left is right
    exact = (spread + 3000) / np.linalg.norm(spread + 3000, axis=1, keepdims=True)
    gaps = ((exact[:, None] - exact) ** 2).sum(axis=2)
    np.testing.assert_allclose(2 - 2 * left @ right.T, gaps, atol=0.1 * gaps.max())
    assert (left @ right.T).std() > 0
    both = told_apart(cone[:3], cone[3:])
    assert [one.dtype for one in both] == [np.float64] * 2
    assert told_apart(cone[:0], cone[:0])[0].shape == (0, 8)
