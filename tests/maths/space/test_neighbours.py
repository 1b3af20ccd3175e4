"""Exact neighbours, ties included; how far a picture keeps them."""

import hashlib
from itertools import count

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn import manifold

from embedlab import progress
from embedlab.maths.space import neighbours
from embedlab.maths.space.neighbours import (
    chance_trustworthiness,
    descended,
    nearest,
    overlap,
    trustworthiness,
    within_reach,
)
from tests.heard import heard
from tests.processes import together

TWO = """
from embedlab import ranks
from embedlab.maths.space import neighbours
from tests.maths.space.test_neighbours import searched

neighbours.BLOCK = neighbours.ROWS = 16
with ranks.joined() as here:
    for line in ranks.led(here, searched) or ():
        print(line)
"""


def searched():
    """Search in several ways, and give a hash of the bits of each."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(150, 8)).astype(np.float32), rng.normal(size=(70, 8))
    # Equal rows are in many places.
    a[::3] = a[0]
    found = [nearest(a, 5), nearest(a, 5, others=b, metric="euclidean"), nearest(b[:9], 3)]
    return [hashlib.sha256(i.tobytes() + d.tobytes()).hexdigest() for i, d in found]


def plainly(a, b, k, metric, *, alone):
    """Search without any cunning."""
    distances = cdist(a.astype(float), b.astype(float), metric)
    if alone:
        np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


@pytest.fixture(params=[1 << 23, 1000], ids=["one block", "many blocks"])
def block(request, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", request.param)
    monkeypatch.setattr(neighbours, "PAIRS", request.param)
    # Groups of which several entries are one, in the one case; in the other most stand alone.
    few = request.param == 1000
    monkeypatch.setattr(neighbours, "ROWS", 3 if few else 256)
    monkeypatch.setattr(neighbours, "LEAST", 16 if few else 512)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("shift", [0.0, 300.0])
@pytest.mark.usefixtures("block")
def test_neighbours_are_those_of_a_plain_search(metric, shift):
    a = (np.random.default_rng(0).normal(size=(230, 12)) + shift).astype(np.float32)
    indices, distances = nearest(a, 7, metric=metric)
    expected, far = plainly(a, a, 7, metric, alone=True)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, far, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.usefixtures("block")
def test_neighbours_among_others_are_those_of_a_plain_search(metric):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 9)), 100 * rng.normal(size=(150, 9)) ** 3
    indices, distances = nearest(a, 150, others=b, metric=metric)
    expected, far = plainly(a, b, 150, metric, alone=False)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, far, rtol=1e-9)


def test_a_long_search_tells_its_time_beforehand(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 1)
    monkeypatch.setattr(neighbours, "ROWS", 2)
    monkeypatch.setattr(progress.time, "monotonic", count(step=3).__next__)
    with heard() as lines:
        nearest(np.random.default_rng(0).normal(size=(40, 4)), 3)
    assert lines == ["  3 nearest of 40 images, in blocks: 40 against 40, about 60 s"]


def test_a_row_is_found_among_others_that_hold_it():
    a = np.random.default_rng(0).normal(size=(20, 4))
    indices, distances = nearest(a, 1, others=a)
    np.testing.assert_array_equal(indices[:, 0], np.arange(20))
    np.testing.assert_array_equal(distances, 0.0)


@pytest.mark.usefixtures("block")
def test_equally_near_rows_come_by_index():
    """Copies and points of a grid, whose distances single precision would shuffle."""
    rng = np.random.default_rng(0)
    copies = rng.normal(size=(6, 5))[rng.integers(6, size=120)]
    grid = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), axis=-1).reshape(-1, 3)
    for rows, k in ((copies, 5), (copies, 60), (grid, 10)):
        expected, _ = plainly(rows, rows, k, "sqeuclidean", alone=True)
        np.testing.assert_array_equal(nearest(rows, k, metric="euclidean")[0], expected)


def test_nearly_equal_rows_keep_their_small_distances():
    """One part in a million, which the product of single precision cannot see."""
    a = np.random.default_rng(0).normal(size=(50, 16))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    shifted = a.copy()
    shifted[:, 0] += 1e-6
    indices, distances = nearest(np.concatenate([a, shifted]), 1, metric="euclidean")
    np.testing.assert_array_equal(indices[:50, 0], np.arange(50, 100))
    np.testing.assert_allclose(distances, 1e-6, rtol=1e-6)


@pytest.mark.parametrize("k", [0, 10])
def test_more_neighbours_than_rows_is_an_error(k):
    with pytest.raises(ValueError, match=r"k must lie in 1…9"):
        nearest(np.eye(10), k)


def test_overlap_is_the_share_of_common_neighbours():
    a = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3]])
    b = np.array([[3, 1, 2], [4, 5, 0], [7, 8, 9]])
    np.testing.assert_allclose(overlap(a, b), [1, 1 / 3, 0])


def test_unrelated_lists_overlap_as_chance_has_it():
    rng = np.random.default_rng(0)
    a, b = (nearest(rng.normal(size=(600, 8)), 15)[0] for _ in range(2))
    assert overlap(a, b).mean() == pytest.approx(15 / 599, abs=0.004)


@pytest.mark.usefixtures("block")
def test_trustworthiness_is_that_of_scikit_learn():
    space = np.random.default_rng(0).normal(size=(120, 10))
    for picture in (space[:, :3], space[:, :1], space[::-1, :2]):
        expected = manifold.trustworthiness(space, picture, n_neighbors=15)
        assert trustworthiness(space, picture, 15).mean() == pytest.approx(expected, abs=1e-9)
    np.testing.assert_array_equal(trustworthiness(space, 2 * space + 1, 15), 1.0)


@pytest.mark.parametrize(("n", "k"), [(20, 8), (300, 15)])
def test_random_positions_are_trusted_as_chance_has_it(n, k):
    rng = np.random.default_rng(0)
    drawn = [trustworthiness(rng.normal(size=(n, 10)), rng.normal(size=(n, 2)), k).mean() for _ in range(60)]
    assert np.mean(drawn) == pytest.approx(chance_trustworthiness(n, k), abs=0.01)


def test_trustworthiness_needs_more_points_than_twice_the_neighbours():
    with pytest.raises(ValueError, match="less than half of the 10 points, not 5"):
        trustworthiness(np.eye(10), np.eye(10), 5)


@pytest.mark.slow
def test_neighbours_that_are_not_exact_are_nearly_all_and_how_many_is_told():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 8))[np.repeat(np.arange(300), 8)] + 0.3 * rng.normal(size=(2400, 8))
    rows[::100] = rows[0]  # equal rows: nobody is their own neighbour for that
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    near, distances, share = descended(unit, 5)
    assert not (near == np.arange(len(unit))[:, None]).any()
    assert all(len(set(row)) == 5 for row in near.tolist())
    cosines = np.einsum("ijk,ik->ij", unit[near].astype(float), unit.astype(float))
    np.testing.assert_allclose(distances, np.maximum(1 - cosines, 0), atol=1e-6)
    assert (np.diff(distances) >= -1e-7).all()
    plain = np.ones(len(unit), dtype=bool)
    plain[::100] = False
    exact, _ = nearest(unit, 5)
    assert overlap(near, exact)[plain].mean() > 0.95
    assert share == pytest.approx(overlap(near, exact)[plain].mean(), abs=0.05)


def test_the_few_rows_searched_for_alone_are_those_of_the_exact_search():
    unit = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    rows = np.array([0, 17, 399])
    near, distances = neighbours._searched(unit, rows, 6)
    exact, apart = nearest(unit, 6)
    np.testing.assert_array_equal(near, exact[rows])
    np.testing.assert_allclose(distances, apart[rows], atol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_few_entries_hold_the_least_of_each_row_in_the_order_in_which_they_lie(k):
    apart = np.random.default_rng(0).integers(0, 60, size=(30, 90)).astype(np.float32)
    few, columns = within_reach(apart, k)
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(columns, np.argsort(few, axis=1, kind="stable")[:, :k], axis=1)
    np.testing.assert_array_equal(found, order)
    assert few.shape[1] < 90


def test_two_processes_that_share_a_search_give_the_bits_of_one(monkeypatch):
    shares = []
    monkeypatch.setattr(neighbours, "BLOCK", 16)
    monkeypatch.setattr(neighbours, "ROWS", 16)
    monkeypatch.setattr(neighbours, "shared", lambda task, n: shares.append(n) or task(range(n)))
    alone = searched()
    assert shares == [10, 10, 1]
    assert together(TWO) == ([alone, []], [0, 0])
