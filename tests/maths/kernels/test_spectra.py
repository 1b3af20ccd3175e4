import numpy as np
import pytest

from embedlab.maths.kernels.spectra import (
    common_directions,
    relative_to_edge,
    singular_values,
    stable_rank,
    with_random_signs,
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


def test_random_signs_leave_every_weight_as_large_and_no_direction_in_common():
    kernels = np.ones((64, 16, 3, 3)) * np.linspace(1, 2, 16)[:, None, None]
    found = with_random_signs(kernels, 0)
    np.testing.assert_array_equal(np.abs(found), kernels)
    assert stable_rank(singular_values(kernels)) == pytest.approx(1)
    assert stable_rank(singular_values(found)) > 20
    assert not np.array_equal(found, with_random_signs(kernels, 1))


def test_directions_in_common_are_the_cosine_of_the_partial_isometries():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 4, 3, 3))
    value, count = common_directions(x, y, 0.5)
    cut = []
    for kernels in (x, y):
        left, strengths, right = np.linalg.svd(kernels.reshape(6, -1), full_matrices=False)
        assert (strengths >= 0.5 * strengths[0]).sum() >= count
        cut.append(left[:, :count] @ right[:count])
    assert value == pytest.approx((cut[0] * cut[1]).sum() / count)
    assert common_directions(x, x, 0.5)[0] == pytest.approx(1)
    assert common_directions(x, -x, 0.5)[0] == pytest.approx(-1)
    assert common_directions(x, 0 * x, 0.5) == (0.0, 0)
