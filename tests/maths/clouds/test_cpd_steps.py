import numpy as np
import pytest

from embedlab.maths.clouds._expectation import expectation
from embedlab.maths.clouds.cpd_steps import affine_step, nearest_rotation, rigid_step, turned
from embedlab.maths.linear import procrustes


@pytest.mark.parametrize("d", [2, 3, 7])
def test_the_affine_objective_is_the_papers(d):
    """pycpd takes tr(B·YPY·B) for tr(Bᵀ·YPY·B)."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(40, d)), draw.normal(size=(30, d))
    e = expectation(x, y, 0.7, 0.1)
    p = np.exp(-((x[None] - y[:, None]) ** 2).sum(axis=2) / 1.4)
    p *= e.pt1 / p.sum(axis=0)
    for step in (affine_step(x, y, e), rigid_step(x, y, e), rigid_step(x, y, e, scale=False)):
        left = (p * ((x[None] - (y @ step.matrix + step.shift)[:, None]) ** 2).sum(axis=2)).sum()
        assert step.residual == pytest.approx(left)
        assert step.sigma2 == pytest.approx(left / (d * p.sum()))


def test_steps_are_the_least_squares_fits_of_known_pairs():
    draw = np.random.default_rng(0)
    y = draw.normal(size=(50, 4))
    x = 1.7 * y @ np.linalg.qr(draw.normal(size=(4, 4)))[0] + 3 + 0.2 * draw.normal(size=(50, 4))
    e = expectation(x, x, 1e-9, 0.0)
    known = procrustes.fit(y, x)
    step = rigid_step(x, y, e, reflect=True)
    np.testing.assert_allclose(step.matrix, known.scale * known.rotation, atol=1e-9)
    np.testing.assert_allclose(step.shift, known.shift, atol=1e-9)
    full = np.linalg.lstsq(np.hstack([y, np.ones((50, 1))]), x, rcond=None)[0]
    np.testing.assert_allclose(affine_step(x, y, e).matrix, full[:-1], atol=1e-9)


def test_the_nearest_rotation_mirrors_only_where_it_may():
    mirrored = np.diag([1.0, 2.0, -0.5])
    np.testing.assert_allclose(nearest_rotation(mirrored), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(nearest_rotation(mirrored, reflect=True), np.diag([1.0, 1, -1]), atol=1e-12)


def test_a_step_does_not_mirror_unless_it_may():
    draw = np.random.default_rng(1)
    y = draw.normal(size=(30, 3))
    x = y @ np.diag([1.0, 1.0, -1.0])
    e = expectation(x, x, 1e-9, 0.0)
    assert np.linalg.det(rigid_step(x, y, e).rotation) == pytest.approx(1)
    np.testing.assert_allclose(rigid_step(x, y, e, reflect=True).matrix, np.diag([1.0, 1, -1]), atol=1e-9)


@pytest.mark.parametrize("d", [2, 3, 40])
def test_a_turn_towards_a_matrix_is_to_first_order_that_to_the_rotation_nearest_to_it(d):
    draw = np.random.default_rng(2)
    near = np.linalg.qr(draw.normal(size=(d, d)))[0]
    way = draw.normal(size=(d, d)) / np.sqrt(d)
    for small in (0.1, 0.01):
        towards = near + small * way
        found = turned(1.7 * near, 1.7 * towards)
        np.testing.assert_allclose(found @ found.T, np.eye(d), atol=1e-12)
        off = np.abs(found - nearest_rotation(towards, reflect=True)).max()
        assert off < 2 * small**2 < np.abs(found - near).max()
    np.testing.assert_allclose(turned(0.3 * near, 5 * near), near, atol=1e-12)


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_a_turn_mirrors_where_it_begins_mirrored(mirror):
    near = np.diag([1.0, 1.0, mirror])
    for towards in (np.eye(3), -np.eye(3), np.zeros((3, 3)), np.diag([1.0, 1.0, -mirror])):
        assert np.linalg.det(turned(near, towards)) == pytest.approx(mirror)
