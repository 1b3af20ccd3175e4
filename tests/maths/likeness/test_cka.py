"""CKA by linear and RBF kernels, shuffled and in minibatches, beside naive forms."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from embedlab.maths.likeness import cka
from embedlab.maths.likeness.exchange import rematched
from embedlab.maths.likeness.moments import Halves
from tests.spaces import clustered, example, linear_hsic, naive_hsic, rotation


def test_shuffled_linear_cka_is_that_of_the_shuffled_rows():
    owners, x = clustered()
    y = x @ rotation(8) + np.random.default_rng(3).normal(size=x.shape)
    half = owners % 2
    a, b = Halves.of(x, half), Halves.of(y, half)
    order = rematched(owners, np.random.default_rng(0), together=False)
    product = a.rows.T @ b.rows[order]
    own = (linear_hsic(x, x), linear_hsic(y, y))
    _, nulls = cka.linear(a.rows, b.rows, a.rows.T @ b.rows, own, [(order, product)])
    naive = naive_hsic(x @ x.T, y[order] @ y[order].T) / np.sqrt(own[0].value * own[1].value)
    assert nulls[0] == pytest.approx(naive, rel=1e-9)


def test_rbf_cka_by_one_minibatch_is_the_naive_one_and_shuffles_too():
    x, y = example()

    def kernel(rows):
        sigma = 0.7 * np.median(pdist(rows))
        return np.exp(-((rows[:, None] - rows) ** 2).sum(axis=2) / (2 * sigma**2))

    order = np.random.default_rng(0).permutation(60)
    found, nulls = cka.rbf(x, y, bandwidth=0.7, batch=60, seed=0, orders=[order])
    size = np.sqrt(naive_hsic(kernel(x), kernel(x)) * naive_hsic(kernel(y), kernel(y)))
    assert found.value == pytest.approx(naive_hsic(kernel(x), kernel(y)) / size, rel=1e-10)
    assert nulls[0] == pytest.approx(naive_hsic(kernel(x), kernel(y[order])) / size, abs=1e-5)


def test_minibatches_of_rbf_cka_mean_the_same_as_the_whole():
    _, x = clustered(people=300, images=1)
    y = x @ rotation(8) + np.random.default_rng(3).normal(size=x.shape)
    whole, _ = cka.rbf(x, y, bandwidth=0.5, batch=300, seed=0)
    parts = [cka.rbf(x, y, bandwidth=0.5, batch=30, seed=k)[0].value for k in range(20)]
    assert abs(np.mean(parts) - whole.value) < 3 * np.std(parts) / np.sqrt(len(parts))
    assert np.std(parts) < 0.1
