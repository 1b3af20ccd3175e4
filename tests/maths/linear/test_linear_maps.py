"""Linear maps against scikit-learn and scipy, and planted ones."""

import numpy as np
import pytest

from embedlab.maths.linear import linear_maps
from embedlab.maths.linear import procrustes as turned
from embedlab.maths.linear.linear_maps import (
    METHODS,
    PENALTIES,
    LinearMap,
    RidgePath,
    fit,
    mean_shift,
    procrustes,
)


def orthogonal(d, rng):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


def planted(rows=400, d_a=12, d_b=9, rank=9, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(rows, d_a)) * np.linspace(2, 0.5, d_a) + 3
    matrix = rng.normal(size=(d_a, rank)) @ rng.normal(size=(rank, d_b)) / np.sqrt(rank)
    return a, a @ matrix + 1 + noise * rng.normal(size=(rows, d_b)), matrix


def folds(rows, k=5, seed=1):
    return np.random.default_rng(seed).permutation(np.arange(rows) % k)


def gram_unit(a, weights=None):
    centred = a - np.average(a, axis=0, weights=weights)
    return ((centred**2).sum(axis=1) * (1 if weights is None else weights)).sum() / a.shape[1]


@pytest.mark.parametrize("rows", [400, 12, 7])
@pytest.mark.parametrize("penalty", [1e-4, 0.3, 50.0])
def test_ridge_is_that_of_scikit_learn_tall_square_and_wide(rows, penalty):
    from sklearn.linear_model import Ridge

    a, b, _ = planted(rows)
    found = RidgePath.of(a, b, None).ridge(penalty)
    theirs = Ridge(alpha=penalty * gram_unit(a)).fit(a, b)
    np.testing.assert_allclose(found.matrix, theirs.coef_.T, atol=1e-9)
    np.testing.assert_allclose(found.shift, theirs.intercept_, atol=1e-8)
    assert found.penalty == penalty


@pytest.mark.parametrize("rows", [400, 13, 12, 5, 2, 1])
def test_least_squares_is_that_of_scikit_learn_and_the_smallest_where_rows_are_few(rows):
    from sklearn.linear_model import LinearRegression

    a, b, _ = planted(rows)
    found, theirs = fit(a, b, "least squares"), LinearRegression().fit(a, b)
    np.testing.assert_allclose(found.matrix, theirs.coef_.T, atol=1e-7)
    np.testing.assert_allclose(found.apply(a), theirs.predict(a), atol=1e-7)
    assert found.rank == min(rows - 1, 9)


def test_directions_without_spread_are_left_alone():
    a, b, _ = planted(noise=0.0)
    a = np.column_stack([a, a[:, 0], np.full(len(a), 7.0)])
    found = fit(a, b, "least squares")
    np.testing.assert_allclose(found.apply(a), b, atol=1e-8)
    np.testing.assert_allclose(found.matrix[0], found.matrix[-2], atol=1e-8)
    np.testing.assert_allclose(found.matrix[-1], 0, atol=1e-8)


@pytest.mark.parametrize("rows", [300, 10])
def test_the_penalty_is_the_one_that_leave_fold_out_fits_choose(rows):
    """Each fold's error over the path is that of fitting scikit-learn's Ridge anew without the fold."""
    from sklearn.linear_model import Ridge

    a, b, _ = planted(rows, noise=2.0)
    fold = folds(rows)
    path = RidgePath.of(a, b, fold)
    for k in range(5):
        out = fold == k
        baseline = ((b[out] - b[~out].mean(axis=0)) ** 2).sum()
        for j in (0, 20, 27, 40):
            model = Ridge(alpha=PENALTIES[j] * gram_unit(a[~out])).fit(a[~out], b[~out])
            error = ((b[out] - model.predict(a[out])) ** 2).sum()
            assert path.errors[k, j] == pytest.approx(error / baseline, rel=1e-6)
    assert path.chosen == path.pooled.argmin()
    assert path.ridge().penalty == PENALTIES[path.chosen]


def test_leave_one_out_chooses_what_ridgecv_chooses():
    from sklearn.linear_model import RidgeCV

    rng = np.random.default_rng(3)
    a = rng.normal(size=(60, 20))
    b = a @ rng.normal(size=(20, 4)) + 6 * rng.normal(size=(60, 4))
    a -= a.mean(axis=0)
    path = RidgePath.of(a, b, np.arange(60))
    theirs = RidgeCV(alphas=PENALTIES * gram_unit(a)).fit(a, b)
    ratio = theirs.alpha_ / gram_unit(a) / path.ridge().penalty
    # One step of the path at most: the unit of λ changes a little when a row is left out.
    assert 0.55 < ratio < 1.8
    assert PENALTIES[0] < path.ridge().penalty < PENALTIES[-1]


def test_more_noise_asks_for_a_larger_penalty_and_none_for_the_smallest():
    chosen = []
    for noise in (0.0, 1.0, 10.0, 100.0):
        a, b, _ = planted(200, noise=noise)
        chosen.append(RidgePath.of(a, b, folds(200)).ridge().penalty)
    assert chosen[0] == PENALTIES[0]
    assert chosen == sorted(chosen)
    assert chosen[-1] > 1


def test_a_planted_map_of_known_rank_gives_its_rank_and_its_share_of_variance():
    a, b, matrix = planted(2000, 40, 30, rank=4, noise=1.5)
    signal = ((a - a.mean(axis=0)) @ matrix).var(axis=0).sum()
    path = RidgePath.of(a, b, folds(2000))
    found = path.low_rank()
    assert found.rank == 4
    assert np.linalg.matrix_rank(found.matrix) == 4
    assert 1 - path.rank_errors[4] == pytest.approx(signal / (signal + 30 * 1.5**2), abs=0.02)
    assert ((found.matrix - matrix) ** 2).sum() < ((path.ridge().matrix - matrix) ** 2).sum() / 2
    assert path.rank_errors[0] == pytest.approx(1, abs=0.01)


def test_rank_errors_are_those_of_fitting_anew_without_the_fold():
    a, b, _ = planted(90, noise=2.0)
    fold = folds(90, 3)
    path = RidgePath.of(a, b, fold)
    for rank in (1, 4, 9):
        error = baseline = 0.0
        for k in range(3):
            out = fold == k
            held = RidgePath.of(a[~out], b[~out], None).low_rank(rank, float(PENALTIES[path.chosen]))
            error += ((held.apply(a[out]) - b[out]) ** 2).sum()
            baseline += ((b[out] - b[~out].mean(axis=0)) ** 2).sum()
        assert path.rank_errors[rank] == pytest.approx(error / baseline, rel=1e-6)
    assert path.rank_errors[9] == pytest.approx(path.pooled[path.chosen], rel=1e-9)


@pytest.mark.parametrize(("d_a", "d_b"), [(12, 9), (5, 9)])
def test_low_rank_ridge_is_the_truncated_svd_of_the_fitted_values(d_a, d_b):
    """With the penalty written as further rows, the best map of rank r cuts the fitted values' SVD."""
    a, b, _ = planted(200, d_a, d_b, rank=5, noise=1.0)
    found = RidgePath.of(a, b, None).low_rank(3, 0.5)
    x, y = a - a.mean(axis=0), b - b.mean(axis=0)
    rows = np.vstack([x, np.sqrt(0.5 * gram_unit(a)) * np.eye(d_a)])
    full = np.linalg.lstsq(rows, np.vstack([y, np.zeros((d_a, d_b))]), rcond=None)[0]
    right = np.linalg.svd(rows @ full)[2][:3]
    np.testing.assert_allclose(found.matrix, full @ right.T @ right, atol=1e-9)
    assert found.rank == 3


def test_low_rank_of_all_ranks_is_ridge():
    a, b, _ = planted(20, 30, 9)
    path = RidgePath.of(a, b, folds(20))
    np.testing.assert_allclose(path.low_rank(9).matrix, path.ridge().matrix, atol=1e-10)


def test_procrustes_is_that_of_scipy():
    from scipy.linalg import orthogonal_procrustes

    a, b, _ = planted(300, 8, 8, rank=8, noise=0.5)
    x, y = a - a.mean(axis=0), b - b.mean(axis=0)
    rotation, strength = orthogonal_procrustes(x, y)
    np.testing.assert_allclose(procrustes(a, b, scale=False).matrix, rotation, atol=1e-9)
    np.testing.assert_allclose(procrustes(a, b).matrix, strength / (x**2).sum() * rotation, atol=1e-9)
    np.testing.assert_allclose(procrustes(a, b).apply(a).mean(axis=0), b.mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("rows", [4, 7, 200])
def test_procrustes_between_unequal_dimensions_is_that_of_rows_filled_up_with_zeros(rows, wide, scale):
    draw = np.random.default_rng(rows)
    a, b = draw.normal(size=(rows, 9)) * np.linspace(1, 1e-3, 9), draw.normal(size=(rows, 5))
    b[:, :5] += a[:, :5]
    x, y = (b, a) if wide else (a, b)
    filled = [np.pad(one - one.mean(axis=0), ((0, 0), (0, 9 - one.shape[1]))) for one in (x, y)]
    theirs = turned.fit(*filled, scale=scale, shift=False)
    expected = (theirs.scale * theirs.rotation)[: x.shape[1], : y.shape[1]]
    np.testing.assert_allclose(procrustes(x, y, scale=scale).matrix, expected, atol=1e-9)


def test_procrustes_between_unequal_dimensions_embeds_or_projects():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50, 4)) + 2
    b = np.column_stack([a, np.zeros((50, 3))]) @ orthogonal(7, rng) - 1
    there, back = procrustes(a, b), procrustes(b, a)
    np.testing.assert_allclose(there.apply(a), b, atol=1e-9)
    np.testing.assert_allclose(back.apply(b), a, atol=1e-9)
    np.testing.assert_allclose(there.matrix @ there.matrix.T, np.eye(4), atol=1e-9)
    assert there.rank == back.rank == 4


def test_a_shift_is_found():
    a = np.random.default_rng(0).normal(size=(20, 5))
    found = mean_shift(a, a + np.arange(5))
    np.testing.assert_allclose(found.apply(a), a + np.arange(5))


@pytest.mark.parametrize("method", METHODS)
def test_weights_act_as_repetitions(method):
    a, b, _ = planted(60, 6, 6, rank=6, noise=1.0)
    times = np.random.default_rng(0).integers(1, 4, size=60)
    fold = folds(60)
    each = np.repeat(np.arange(60), times)
    weighed = fit(a, b, method, fold, weights=times.astype(float))
    repeated = fit(a[each], b[each], method, fold[each])
    np.testing.assert_allclose(weighed.matrix, repeated.matrix, atol=1e-9)
    np.testing.assert_allclose(weighed.shift, repeated.shift, atol=1e-9)
    assert (weighed.penalty, weighed.rank) == (repeated.penalty, repeated.rank)


@pytest.mark.parametrize("method", METHODS)
def test_scale_and_place_of_the_data_change_nothing(method):
    a, b, _ = planted(80, 6, 6, rank=6, noise=1.0)
    fold = folds(80)
    # What cannot change size follows only where both spaces do.
    scale = (100.0, 100.0) if method in ("mean shift", "Procrustes") else (100.0, 0.01)
    near, far = fit(a, b, method, fold), fit(scale[0] * a + 1000, scale[1] * b - 5, method, fold)
    mapped = (far.apply(scale[0] * a + 1000) + 5) / scale[1]
    np.testing.assert_allclose(mapped, near.apply(a), rtol=1e-6, atol=1e-6)
    assert far.penalty == near.penalty


def test_blocks_of_rows_change_nothing(monkeypatch):
    a, b, _ = planted(100, noise=1.0)
    whole = RidgePath.of(a, b, folds(100)).ridge()
    monkeypatch.setattr(linear_maps, "BLOCK", 7)
    np.testing.assert_allclose(RidgePath.of(a, b, folds(100)).ridge().matrix, whole.matrix, atol=1e-10)


def test_one_eigendecomposition_serves_the_path(monkeypatch):
    taken = []
    plain = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda gram: taken.append(len(gram)) or plain(gram))
    a, b, _ = planted(300)
    RidgePath.of(a, b, folds(300, 5)).ridge()
    assert taken == [12] * 6


def test_single_precision_rows_are_mapped_in_double():
    a, b, _ = planted(50)
    found = fit(a.astype(np.float32), b.astype(np.float32), "ridge", folds(50))
    assert found.matrix.dtype == found.apply(a.astype(np.float32)).dtype == np.float64


def test_what_does_not_fit_is_refused():
    a, b, _ = planted(20)
    with pytest.raises(ValueError, match="equal dimension"):
        mean_shift(a, b)
    with pytest.raises(ValueError, match="matched rows"):
        procrustes(a, b[:5])
    with pytest.raises(ValueError, match="matched rows"):
        fit(a[:0], b[:0], "least squares")
    with pytest.raises(ValueError, match="one fold"):
        RidgePath.of(a, b, np.zeros(20, int))
    with pytest.raises(ValueError, match="no folds were given"):
        fit(a, b, "ridge")
    with pytest.raises(ValueError, match="takes rows of 12 numbers"):
        fit(a, b, "least squares").apply(b)
    with pytest.raises(TypeError, match="LinearMap"):
        LinearMap("ridge", np.eye(3), np.zeros(2))


def test_shift_and_scale_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50, 4))
    b = 0.4 * a + np.array([1.0, 2, 3, 4]) + 0.1 * rng.normal(size=a.shape)
    found = linear_maps.mean_shift(a, b, scale=True)
    size = found.matrix[0, 0]
    np.testing.assert_array_equal(found.matrix, size * np.eye(4))
    x, y = ((z - z.mean(axis=0)).ravel() for z in (a, b))
    assert size == pytest.approx(np.polyfit(x, y, 1)[0])
    assert linear_maps.mean_shift(np.ones((3, 4)), b[:3], scale=True).matrix.sum() == 0


def test_ridge_without_each_fold_is_ridge_of_the_others():
    rng = np.random.default_rng(0)
    a, b, fold = rng.normal(size=(60, 5)), rng.normal(size=(60, 3)), np.arange(60) % 3
    path = RidgePath.of(a, b, fold)
    for k, one in enumerate(path.without_each(0.1)):
        alone = RidgePath.of(a[fold != k], b[fold != k], None).ridge(0.1)
        np.testing.assert_allclose(one.matrix, alone.matrix, rtol=1e-8)
        np.testing.assert_allclose(one.shift, alone.shift, atol=1e-10)
