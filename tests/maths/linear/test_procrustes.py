import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from embedlab.maths.linear import procrustes


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_planted_rotation_size_and_shift_are_found(rng):
    a = rng.normal(size=(50, 6))
    rotation, shift = ortho_group.rvs(6, random_state=1), rng.normal(size=6)
    found = procrustes.fit(a, 2.5 * a @ rotation + shift)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-12)
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.shift, shift, atol=1e-12)
    np.testing.assert_allclose(found.apply(a), 2.5 * a @ rotation + shift, atol=1e-12)


def test_without_size_and_shift_it_is_scipys_rotation(rng):
    a, b = rng.normal(size=(2, 40, 5))
    theirs, _ = orthogonal_procrustes(a, b)
    found = procrustes.fit(a, b, scale=False, shift=False)
    np.testing.assert_allclose(found.rotation, theirs, atol=1e-12)
    assert found.scale == 1.0
    assert not found.shift.any()


def test_size_and_shift_are_those_of_least_squares(rng):
    """No map nearby fits better, and leaving out size or shift fits worse."""
    a, b = rng.normal(size=(2, 30, 4)) + rng.normal(size=(2, 1, 4))
    found = procrustes.fit(a, b)

    def misfit(x):
        return ((x - b) ** 2).sum()

    best = misfit(found.apply(a))
    for step in (-1e-3, 1e-3):
        assert misfit((found.scale + step) * a @ found.rotation + found.shift) > best
        assert misfit(found.apply(a) + step) > best
    assert misfit(procrustes.fit(a, b, scale=False).apply(a)) > best
    assert misfit(procrustes.fit(a, b, shift=False).apply(a)) > best


def test_directions_that_no_row_shows_are_left_as_they_are(rng):
    """Three rows span a plane; the rest of the space must not be turned at random."""
    a = np.zeros((3, 8))
    a[:, :2] = rng.normal(size=(3, 2))
    b = a.copy()
    b[:, :2] = a[:, :2] @ ortho_group.rvs(2, random_state=3)
    found = procrustes.fit(a, b)
    np.testing.assert_allclose(found.apply(a), b, atol=1e-12)
    np.testing.assert_allclose(found.rotation[2:, 2:], np.eye(6), atol=1e-12)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(8), atol=1e-12)


def test_one_row_and_equal_rows_give_a_shift_alone(rng):
    a, b = rng.normal(size=(2, 1, 4))
    for rows in (1, 3):
        found = procrustes.fit(np.repeat(a, rows, axis=0), np.repeat(b, rows, axis=0))
        np.testing.assert_allclose(found.rotation, np.eye(4), atol=1e-12)
        np.testing.assert_allclose(found.apply(a), b, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 3), (5, 2), (0, 3)])
def test_rows_that_do_not_match_are_refused(shape):
    with pytest.raises(ValueError, match="must be matched rows"):
        procrustes.fit(np.ones(shape), np.ones((0, 3) if shape[0] == 0 else (5, 3)))


def test_where_the_fast_decomposition_fails_the_slow_one_serves(rng, monkeypatch):
    from scipy import linalg

    a, b = rng.normal(size=(2, 30, 4))
    expected, whole = procrustes.fit(a, b), linalg.svd

    def failing(matrix, lapack_driver="gesdd", **options):
        if lapack_driver == "gesdd":
            raise np.linalg.LinAlgError("SVD did not converge")
        return whole(matrix, lapack_driver=lapack_driver, **options)

    monkeypatch.setattr(linalg, "svd", failing)
    np.testing.assert_allclose(procrustes.fit(a, b).rotation, expected.rotation, atol=1e-10)
