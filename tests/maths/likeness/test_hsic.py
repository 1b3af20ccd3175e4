"""HSIC: what published code gives, what naive forms give, how weights move it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from embedlab.maths.likeness import hsic
from tests.spaces import example, linear_hsic, naive_hsic, off_diagonal


def test_unbiased_hsic_is_that_of_platonic_rep():
    """minyoungg/platonic-rep 07ef02a, metrics.py, hsic_unbiased, in double precision."""
    x, y = example()
    theirs = (458.4111475292156, 75.95502795072628, 6380.545935009699)
    ours = [linear_hsic(a, b).value for a, b in ((x, y), (x, x), (y, y))]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_unbiased_hsic_of_rbf_kernels_is_that_of_platonic_rep():
    """The three of its cka(kernel_metric="rbf", rbf_sigma=2.5, unbiased=True)."""
    x, y = (squareform(np.exp(-(pdist(rows) ** 2) / (2 * 2.5**2))) for rows in example())
    theirs = (0.0026938666500359396, 0.02802629659567161, 0.003872002349037367)
    ours = [hsic.of_kernels(a, b).value for a, b in ((x, y), (x, x), (y, y))]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_feature_space_and_kernel_forms_are_the_naive_one():
    x, y = example()
    naive = naive_hsic(x @ x.T, y @ y.T)
    assert linear_hsic(x, y).value == pytest.approx(naive, rel=1e-12)
    kernels = [off_diagonal(rows @ rows.T) for rows in (x, y)]
    assert hsic.of_kernels(*kernels).value == pytest.approx(naive, rel=1e-12)
    centred = [hsic.u_centred(kernel) for kernel in kernels]
    assert (centred[0] * centred[1]).sum() / (60 * 57) == pytest.approx(naive, rel=1e-12)


@pytest.mark.parametrize("form", ["features", "kernels"])
def test_the_gradient_is_what_a_small_change_of_weight_does(form):
    x, y = example()
    rng = np.random.default_rng(0)
    a, b = (off_diagonal(rows @ rows.T) for rows in (x - x.mean(axis=0), y - y.mean(axis=0)))
    found = {
        "features": lambda: linear_hsic(x, y),
        "kernels": lambda: hsic.of_kernels(a, b),
    }[form]()
    direction = rng.normal(size=60)
    step = 1e-5 * direction
    slope = (naive_hsic(a, b, 1 + step) - naive_hsic(a, b, 1 - step)) / 2e-5
    assert found.value == pytest.approx(naive_hsic(a, b), rel=1e-10)
    assert found.gradient @ direction == pytest.approx(slope, rel=1e-6)


def test_sparse_kernels_that_are_not_symmetric_are_the_naive_ones():
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    a, b = (off_diagonal(rows @ rows.T) * (rng.random((60, 60)) < 0.3) for rows in example())
    assert hsic.of_sparse(csr_array(a), csr_array(b)) == pytest.approx(naive_hsic(a, b), rel=1e-10)


def test_rows_in_single_precision_and_many_blocks_change_nothing(monkeypatch):
    x, y = example()
    whole = linear_hsic(x, y)
    monkeypatch.setattr(hsic, "BLOCK", 7)
    np.testing.assert_allclose(linear_hsic(x, y).gradient, whole.gradient, rtol=1e-9, atol=1e-9)
    rough = linear_hsic(x.astype(np.float32), y.astype(np.float32))
    assert rough.value == pytest.approx(whole.value, rel=1e-4)


def test_a_kernel_whose_own_hsic_is_not_above_zero_aligns_with_nothing():
    flat = hsic.Hsic(0.0, np.zeros(5))
    found = hsic.Alignment.of(hsic.Hsic(0.1, np.ones(5)), flat, replace(flat, value=1.0))
    assert np.isnan(found.value)
    assert np.isnan(found.gradient).all()
