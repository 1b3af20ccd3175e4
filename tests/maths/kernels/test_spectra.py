import numpy as np
import pytest

from embedlab.maths.kernels.spectra import (
    fresh_singular_values,
    relative_to_edge,
    singular_values,
    stable_rank,
)


@pytest.mark.parametrize("shape", [(6, 2, 3, 3), (40, 2, 3, 3), (5, 1, 1, 1)])
def test_singular_values_are_those_of_numpy(shape):
    kernels = np.random.default_rng(0).normal(size=shape)
    expected = np.linalg.svd(kernels.reshape(len(kernels), -1), compute_uv=False)
    np.testing.assert_allclose(singular_values(kernels), expected, atol=1e-9)


def test_stable_rank_of_equal_directions_is_their_number_and_of_one_is_one():
    assert stable_rank(singular_values(np.eye(8).reshape(8, 8, 1, 1))) == pytest.approx(8)
    assert stable_rank(singular_values(np.ones((8, 3, 3, 3)))) == pytest.approx(1)
    assert np.isnan(stable_rank(singular_values(np.zeros((8, 3, 3, 3)))))


def test_independent_weights_end_at_the_edge_and_a_planted_direction_lies_beyond():
    shape = (128, 64, 3, 3)
    kernels = 0.01 * np.random.default_rng(0).normal(size=shape)
    assert relative_to_edge(singular_values(kernels), shape)[0] == pytest.approx(1, abs=0.02)
    planted = kernels + 0.01 * np.outer(np.ones(128), np.ones(576)).reshape(shape) * 0.2
    assert relative_to_edge(singular_values(planted), shape)[0] > 1.3


def test_fresh_layers_do_not_depend_on_who_asks_and_cannot_be_changed():
    found = fresh_singular_values((8, 3, 3, 3), 4, 0)
    assert found.shape == (4, 8)
    np.testing.assert_array_equal(found, fresh_singular_values((8, 3, 3, 3), 4, 0))
    assert not np.array_equal(found, fresh_singular_values((8, 3, 3, 3), 4, 1))
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0
