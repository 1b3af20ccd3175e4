import numpy as np
import pytest

from embedlab.maths.clouds.self_training import agreement, mutual, rotation, self_trained
from embedlab.maths.linear import linear_maps
from embedlab.maths.linear.crossmodel import unit
from tests.maps import turn, vectors


def test_a_rotation_of_many_rows_is_that_of_procrustes():
    x = vectors(60, 1, d=12)
    y = x @ turn() + 0.1
    found, known = rotation(x, y), linear_maps.procrustes(x, y, scale=False)
    np.testing.assert_allclose(found.apply(x), known.apply(x), atol=1e-9)
    np.testing.assert_allclose(found.apply(x), y, atol=1e-9)


@pytest.mark.parametrize(("wide", "narrow"), [(12, 7), (7, 12)])
def test_a_rotation_between_unequal_dimensions_is_the_polar_factor(wide, narrow):
    from scipy.linalg import polar

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, wide)), rng.normal(size=(50, narrow))
    cross = (x - x.mean(axis=0)).T @ (y - y.mean(axis=0))
    np.testing.assert_allclose(rotation(x, y).matrix, polar(cross)[0], atol=1e-9)


def test_directions_that_rows_leave_open_go_nowhere():
    x = vectors(4, 1, d=12)
    found = rotation(x, x @ turn())
    assert found.rank == 3
    open_ = np.linalg.svd(x - x.mean(axis=0))[2][3:]
    np.testing.assert_allclose(open_ @ found.matrix, 0, atol=1e-9)


def test_mutual_neighbours_are_those_of_the_written_out_scores():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(30, 6)), rng.normal(size=(40, 6))
    unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b)]
    cosine = unit[0] @ unit[1].T
    csls = (
        2 * cosine
        - np.sort(cosine, axis=1)[:, -5:].mean(axis=1)[:, None]
        - np.sort(cosine, axis=0)[-5:].mean(axis=0)
    )
    wanted = [(i, j) for i in range(30) for j in [csls[i].argmax()] if csls[:, j].argmax() == i]
    assert list(zip(*(part.tolist() for part in mutual(a, b, 5)), strict=True)) == wanted
    assert wanted


def test_mutual_neighbours_of_many_points_with_equals_among_them_are_those_of_sorted_scores():
    """Few scores are looked at, and of equal ones the first counts."""
    rng = np.random.default_rng(4)
    a, b = (rng.normal(size=(n, 6)).astype(np.float32) for n in (150, 230))
    a[20:40], b[100:150] = a[:20], b[:50]
    scores = unit(a) @ unit(b).T
    csls = (
        2 * scores
        - np.sort(scores, axis=1)[:, -10:].mean(axis=1)[:, None]
        - np.sort(scores, axis=0)[-10:].mean(axis=0)
    )
    rows, partners = mutual(a, b, 10)
    wanted = np.flatnonzero(csls.argmax(axis=0)[csls.argmax(axis=1)] == np.arange(150))
    assert (rows == wanted).all()
    assert (partners == csls.argmax(axis=1)[wanted]).all()
    assert len(rows) > 30


@pytest.mark.parametrize(("narrow", "wide"), [(8, 40), (40, 8)])
def test_the_map_is_the_rotation_of_known_pairs_and_matches(narrow, wide):
    rng = np.random.default_rng(5)
    x, way = rng.normal(size=(120, narrow)) + 1.0, rng.normal(size=(narrow, wide))
    y = x @ way + 0.3 * rng.normal(size=(120, wide))
    found = self_trained(x[:90], y[:90], (x[90:], y[90:]))
    pairs = [np.concatenate([z[90:], z[rows]]) for z, rows in ((x, found.rows), (y, found.partners))]
    np.testing.assert_allclose(found.map.apply(x), rotation(*pairs).apply(x), atol=1e-9)


def test_a_point_near_everything_is_nobodys_match():
    """By the cosine alone a hub takes most; CSLS takes its crowd off."""
    rng = np.random.default_rng(0)
    x = np.eye(20) + 0.05 * rng.normal(size=(20, 20))
    hub = np.concatenate(
        [np.eye(20) + 1.5 * rng.random((20, 20)) * (1 - np.eye(20)) * 0.2, np.full((1, 20), 1.0)]
    )
    rows, partners = mutual(x, hub, 10)
    assert 20 not in partners
    assert (rows == partners).all()


def test_few_known_pairs_become_all():
    x = vectors(200, 1, d=24)
    y = x @ turn(24) + 0.02 * np.random.default_rng(2).normal(size=x.shape)
    order = np.random.default_rng(3).permutation(200)
    found = self_trained(x, y[order], (x[:6], y[:6]))
    assert (order[found.partners] == found.rows).all()
    assert len(found.rows) == 200
    assert found.settled
    assert found.agreement > 0.95


def test_wrong_known_pairs_end_in_a_map_that_its_halves_do_not_agree_on():
    x = vectors(200, 1, d=24)
    y = x @ turn(24) + 0.02 * np.random.default_rng(2).normal(size=x.shape)
    found = self_trained(x, y, (x[:6], y[10:16]))
    assert (found.partners == found.rows).mean() < 0.1
    assert found.agreement < 0.8


def test_halves_of_too_few_pairs_agree_on_nothing():
    x = vectors(3, 1)
    assert agreement(x, x, x, seed=0) == 0.0


def test_what_cannot_be_fitted_is_refused():
    x = vectors(3, 1)
    with pytest.raises(ValueError, match="1 known pairs are too few"):
        self_trained(x, x, (x[:1], x[:1]))
    with pytest.raises(ValueError, match="must be matched rows"):
        rotation(x, x[:2])
