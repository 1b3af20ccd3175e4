"""Moments of two halves of people: what they are, without some rows, and along the axes that rows span."""

import numpy as np
import pytest

from embedlab.maths.likeness.moments import Cross, Halves, products


@pytest.fixture
def spaces():
    rng = np.random.default_rng(0)
    return rng.integers(0, 2, 40), [rng.normal(size=(40, d)) + 3 for d in (5, 3)]


def test_a_half_has_the_moments_of_its_own_rows(spaces):
    half, (x, y) = spaces
    a, b = Halves.of(x, half), Halves.of(y, half)
    order = np.arange(40)
    for h in (0, 1):
        mine = half == h
        order[mine] = np.random.default_rng(h).permutation(order[mine])
        np.testing.assert_allclose(a.means[h], x[mine].mean(axis=0) - x.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(a.scatters[h], np.cov(x[mine].T, bias=True) * mine.sum())
    matched, shuffled = Cross.of(a, b), Cross.of(a, b, order)
    for h in (0, 1):
        mine = half == h
        about = x[mine] - x[mine].mean(axis=0)
        np.testing.assert_allclose(matched.centred[h], about.T @ y[mine], atol=1e-11)
        np.testing.assert_allclose(shuffled.centred[h], about.T @ y[order[mine]], atol=1e-11)
        np.testing.assert_allclose(matched.raw[h], (x[mine] - x.mean(axis=0)).T @ b.rows[mine], atol=1e-11)


def test_without_some_rows_they_are_those_of_the_others(spaces):
    half, rows = spaces
    gone = np.arange(7)
    whole = [Halves.of(x, half) for x in rows]
    fewer = [one.without(gone) for one in whole]
    anew = [Halves.of(x[7:], half[7:]) for x in rows]
    for one, other, x in zip(fewer, anew, rows, strict=True):
        np.testing.assert_allclose(one.scatters, other.scatters, atol=1e-11)
        # Each about the mean of its own rows.
        np.testing.assert_allclose(one.means + x.mean(axis=0), other.means + x[7:].mean(axis=0), atol=1e-12)
        np.testing.assert_array_equal(one.sizes, other.sizes)
    np.testing.assert_allclose(
        Cross.of(*whole).without(*fewer, gone).centred, Cross.of(*anew).centred, atol=1e-11
    )


def test_spread_is_the_sum_of_squares_of_the_narrower_half():
    half = np.arange(40) % 2
    x = np.random.default_rng(0).normal(size=(40, 3)) * np.where(half, 1, 5)[:, None]
    narrow = x[half == 1]
    assert Halves.of(x, half).spread == pytest.approx(((narrow - narrow.mean(axis=0)) ** 2).sum())


def test_few_rows_of_many_numbers_lie_along_the_axes_they_span_and_lose_nothing():
    x = np.random.default_rng(0).normal(size=(12, 50))
    found = Halves.of(x, np.arange(12) % 2)
    assert found.rows.shape[1] == 12
    np.testing.assert_allclose(found.rows @ found.basis.T, x - x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(
        found.basis @ found.means[0], (x[::2] - x.mean(axis=0)).mean(axis=0), atol=1e-12
    )
    assert Halves.of(x[:, :5], np.arange(12) % 2).basis is None


def test_of_vectors_of_32_bits_sums_are_taken_in_64():
    """A common offset far larger than what differs costs no digits beyond those the vectors had."""
    x = np.random.default_rng(0).normal(size=(4000, 2)).astype(np.float32) + np.float32(100)
    half = np.arange(4000) % 2
    exact = [x[half == h].astype(np.float64) for h in (0, 1)]
    found = Halves.of(x, half)
    for h in (0, 1):
        about = exact[h] - exact[h].mean(axis=0)
        np.testing.assert_allclose(np.diag(found.scatters[h]), (about**2).sum(axis=0), rtol=1e-6)


def test_products_are_summed_over_all_blocks(monkeypatch):
    from embedlab.maths.likeness import moments

    monkeypatch.setattr(moments, "blocks", lambda n: [slice(k, k + 3) for k in range(0, n, 3)])
    rng = np.random.default_rng(0)
    x, y, half = rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), np.arange(20) % 2
    for order in (None, np.r_[2:20:2, 0, 1:20:2].reshape(2, -1).T.ravel()):
        other = y if order is None else y[order]
        for h in (0, 1):
            np.testing.assert_allclose(
                products(x, y, half, order)[h], x[half == h].T @ other[half == h], atol=1e-12
            )
