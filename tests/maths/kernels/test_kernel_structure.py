import numpy as np
import pytest

from embedlab.maths.kernels.kernel_structure import (
    centred,
    even_form,
    gabor,
    planted,
    same_inner_products,
    slow_form,
    statistics,
)

SHAPES = [(3, 3, 3), (1, 7, 7)]


def kernel(rows):
    return np.array(rows, dtype=np.float64)[None, None]


def low_frequency(kernels):
    return statistics(kernels)[:, 0]


def test_an_even_kernel_is_all_low_frequency_and_a_chequerboard_none():
    even = np.ones((1, 1, 3, 3))
    board = kernel([[1, -1, 1], [-1, 1, -1], [1, -1, 1]])
    assert low_frequency(even) == pytest.approx(1)
    assert low_frequency(board - board.mean()) < 0.02


def test_a_sobel_kernel_is_an_edge_of_low_frequency_that_a_gabor_function_explains():
    sobel = kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    assert low_frequency(sobel) > 0.8
    assert gabor(sobel) > 0.9


@pytest.mark.parametrize(("side", "slow"), [(2, 1), (3, 3), (5, 6), (7, 10)])
def test_fresh_kernels_have_the_slow_numbers_share_of_their_energy_in_low_frequencies(side, slow):
    drawn = np.random.default_rng(0).normal(size=(4000, 1, side, side))
    assert low_frequency(drawn).mean() == pytest.approx(slow / side**2, abs=0.015)


def test_low_frequencies_are_those_of_scipys_cosine_transform():
    from scipy.fft import dctn

    kernels = np.random.default_rng(0).normal(size=(5, 2, 3, 4))
    energy = (dctn(kernels, axes=(2, 3), norm="ortho") ** 2).sum(axis=1)
    slow = (np.arange(3) / 2)[:, None] + np.arange(4) / 3 <= 0.5
    np.testing.assert_allclose(low_frequency(kernels), energy[:, slow].sum(axis=1) / energy.sum(axis=(1, 2)))


def test_evenness_is_minus_the_mean_squared_step_over_the_mean_square():
    steps = kernel([[0, 1, 2], [0, 1, 2], [0, 1, 2]])
    # Six steps of one across, six of none down.
    assert statistics(steps)[0, 1] == pytest.approx(-0.5 / (steps**2).mean())
    assert even_form(1, 3).shape == slow_form(3, 1).shape == (3, 3)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_statistic_depends_on_the_size_of_the_weights(shape):
    drawn = np.random.default_rng(0).normal(size=(20, *shape))
    np.testing.assert_allclose(statistics(drawn), statistics(-7 * drawn), atol=1e-9)


def test_many_channels_are_measured_by_as_few_as_have_the_same_inner_products():
    drawn = np.random.default_rng(0).normal(size=(4, 40, 3, 3))
    few = same_inner_products(drawn)
    assert few.shape == (4, 9, 3, 3)
    np.testing.assert_allclose(statistics(few), statistics(drawn))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_planted_gabor_function_is_nearly_explained_and_nothing_more_than_all(shape):
    found = gabor(planted(100, *shape, seed=3))
    assert np.quantile(found, 0.1) > 0.65
    assert found.max() <= 1 + 1e-9
    assert gabor(np.random.default_rng(1).normal(size=(50, *shape))).max() < 0.8


def test_the_grid_finds_nearly_what_a_search_by_scipy_finds():
    from scipy.optimize import minimize

    kernels = np.random.default_rng(1).normal(size=(2, 2, 3, 3))
    y, x = np.mgrid[-1:2, -1:2]

    def left(values, k):
        turn, frequency, phase, *amplitudes = values
        across = x * np.cos(turn) + y * np.sin(turn)
        shape = np.exp(-(x**2 + y**2) / 2) * np.cos(2 * np.pi * frequency * across + phase)
        return ((k - np.array(amplitudes)[:, None, None] * shape) ** 2).sum() / (k**2).sum()

    rng = np.random.default_rng(2)
    for k, share in zip(kernels, gabor(kernels), strict=True):
        starts = rng.uniform([0, 0.02, 0, -1, -1], [np.pi, 0.71, 6.3, 1, 1], size=(15, 5))
        limits = [(None, None), (0.02, 0.71), (None, None), (None, None), (None, None)]
        best = 1 - min(minimize(left, s, args=(k,), bounds=limits).fun for s in starts)
        assert best - 0.05 < share < best + 0.005


def test_beyond_its_mean_a_blur_is_nothing_and_an_edge_is_all():
    blur, edge = np.full((1, 1, 3, 3), 0.3), kernel([[-1, 0, 1]] * 3)
    assert not centred(blur).any()
    np.testing.assert_allclose(centred(edge), edge)


def test_kernels_without_a_pattern_are_refused():
    with pytest.raises(ValueError, match="1×1 weights have no pattern"):
        statistics(np.ones((2, 3, 1, 1)))
    with pytest.raises(ValueError, match="kernel of zeros"):
        statistics(np.zeros((2, 3, 3, 3)))
