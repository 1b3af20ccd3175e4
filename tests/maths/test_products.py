"""Products on the thread that asks for them."""

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from embedlab.maths.products import unthreaded


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
