import numpy as np
import pytest

from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.pairs.grid import Grid


def test_bins_are_fine_over_the_bulk_and_hold_all_that_there_can_be():
    rng = np.random.default_rng(0)
    scores = 0.9 + 1e-3 * rng.normal(size=5_000)
    grid = Grid.of([scores, np.r_[scores + 2e-3, -0.5]])
    edges = grid.edges(1024)
    assert edges[[0, -1]].tolist() == [-1, 1]
    assert (np.diff(edges) > 0).all()
    bulk = slice(*grid.bulk(1024))
    assert edges[bulk][0] > 0.89
    assert np.diff(edges[bulk]) == pytest.approx(np.diff(edges[bulk])[0])
    every = np.r_[-1, -0.5, scores, 1]
    np.testing.assert_array_equal(grid.index(every, 1024), np.clip(np.digitize(every, edges) - 1, 0, 1023))
    np.testing.assert_allclose(grid.edges(64), edges[::16])


@pytest.mark.parametrize("scores", [[], [0.5, 0.5], [np.float32(1)] * 3])
def test_equal_scores_leave_one_even_piece(scores):
    np.testing.assert_array_equal(Grid.of([np.array(scores)]).edges(8), np.linspace(-1, 1, 9))


def test_one_constant_kind_and_one_outlier_leave_bins_that_tell_apart():
    """Quartiles of nearly all scores are one number, so the bulk is whatever else there is."""
    grid = Grid.of([np.full(100, 0.3), np.r_[np.full(100, 0.3), 0.2]])
    one, other = grid.index(np.array([0.3, 0.2]), 256)
    assert one != other


@pytest.mark.parametrize("spread", [1e-2, 1e-4, 1e-7])
def test_cosines_however_close_are_told_apart_in_double_precision(spread):
    """cos(x, y) of vectors c + δ: single precision leaves only a few values of those within 1e-7 of one."""
    rng = np.random.default_rng(3)
    rows = np.eye(24)[0] + np.sqrt(spread) * rng.normal(size=(90, 24)) / 8
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    pairs = all_pairs(unit, np.repeat(np.arange(30), 3))
    exact = unit.astype(float)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    apart = exact[:, None] - exact[None]
    scores = 1 - (apart**2).sum(axis=2) / 2
    kind = np.repeat(np.arange(30), 3)
    expected = np.sort(scores[np.triu(kind[:, None] != kind)])[::-1]
    np.testing.assert_allclose(1 - pairs.tail_scores, 1 - expected, rtol=1e-3, atol=spread * 1e-4)
    assert not pairs.unresolved
    assert pairs.impostor.max() < 40


def test_a_mean_knows_scores_that_lie_far_outside_the_bulk():
    rng = np.random.default_rng(3)
    rows = np.eye(24)[0] + 1e-4 * rng.normal(size=(90, 24))
    rows[0] = -rows[0]
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    pairs = all_pairs(unit, np.repeat(np.arange(30), 3))
    mean = (pairs.impostor_mass @ pairs.centres(len(pairs.impostor))) / pairs.impostor_mass.sum()
    assert mean == pytest.approx(pairs.tail_scores.mean(), abs=1e-7)
