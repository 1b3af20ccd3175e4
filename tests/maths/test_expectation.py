import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from embedlab.maths.clouds._expectation import (
    Expectation,
    expectation,
    likelihood,
    likelihoods,
    start_sigma2,
)


def clouds(n, m, d, *, seed=0, offset=3.0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, d)) + offset, draw.normal(size=(m, d)) + offset


def by_hand(x, y, sigma2, outliers, volume=None):
    """Do as the paper writes it, with every pair at once, logarithms all the way."""
    (n, d), m = x.shape, len(y)
    logs = -((x[None] - y[:, None]) ** 2).sum(axis=2) / (2 * sigma2)
    with np.errstate(divide="ignore"):
        clutter = 0.5 * d * np.log(2 * np.pi * sigma2) + np.log(outliers / (1 - outliers)) + np.log(m)
    clutter = clutter - (np.log(n) if volume is None else volume)
    whole = np.logaddexp(np.logaddexp.reduce(logs, axis=0), clutter)
    p = np.exp(logs - whole)
    loglik = (whole + np.log1p(-outliers) - np.log(m) - 0.5 * d * np.log(2 * np.pi * sigma2)).sum()
    return Expectation(p.sum(axis=1), p.sum(axis=0), p @ x, loglik)


def assert_close(found, true, tolerance):
    for name in ("p1", "pt1", "px", "loglik"):
        a, b = getattr(found, name), getattr(true, name)
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max(), name


@pytest.mark.parametrize("outliers", [0.0, 0.1])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 16, 17, 40])
def test_agrees_with_the_paper_pair_by_pair(d, outliers):
    x, y = clouds(333, 257, d)
    true = by_hand(x, y, 0.5, outliers)
    assert_close(expectation(x, y, 0.5, outliers), true, 1e-12)
    assert_close(expectation(x, y, 0.5, outliers, dtype=np.float32), true, 1e-5)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 700), (700, 1), (3, 5), (515, 1025), (40, 2600)])
def test_any_number_of_points_on_either_side(n, m):
    x, y = clouds(n, m, 3)
    assert_close(expectation(x, y, 0.3, 0.1), by_hand(x, y, 0.3, 0.1), 1e-12)


@pytest.mark.parametrize("d", [3, 30])
def test_torch_and_the_compiled_loop_agree(d):
    x, y = clouds(300, 200, d)
    there = expectation(x, y, 0.4, 0.1, device="torch", block=10_000)
    assert_close(there, expectation(x, y, 0.4, 0.1, device="cpu"), 1e-12)
    single = expectation(x, y, 0.4, 0.1, device="torch", dtype=np.float32)
    assert_close(single, expectation(x, y, 0.4, 0.1, device="cpu"), 1e-5)


def test_many_pairs_ask_which_device_was_chosen(monkeypatch):
    from embedlab import compute
    from embedlab.maths.clouds import _expectation

    asked = []
    monkeypatch.setattr(_expectation, "FEW", 100)
    monkeypatch.setattr(compute, "device", lambda: asked.append(1) or "cpu")
    x, y = clouds(10, 10, 3)
    expectation(x, y, 0.4, 0.1)
    assert asked == []
    expectation(*clouds(20, 10, 3), 0.4, 0.1)
    assert asked == [1]


@pytest.mark.parametrize("d", [3, 30])
def test_the_block_size_changes_nothing_but_rounding(d):
    x, y = clouds(1000, 600, d)
    whole = expectation(x, y, 0.4, 0.1)
    for block in (1, 50_000, 1 << 26):
        assert_close(expectation(x, y, 0.4, 0.1, block=block), whole, 1e-13)


@pytest.mark.parametrize("d", [3, 30])
def test_one_thread_and_two_give_the_same_bits(d, monkeypatch):
    import numba

    x, y = clouds(2000, 600, d)
    both = []
    for threads in (1, 2):
        monkeypatch.setattr(numba, "get_num_threads", lambda count=threads: count)
        both.append(expectation(x, y, 0.4, 0.1, block=50_000))
    assert both[0].loglik == both[1].loglik
    assert (both[0].px == both[1].px).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("d", [3, 30])
@pytest.mark.parametrize("outliers", [0.0, 0.1])
def test_a_far_point_underflows_nowhere(d, outliers, dtype):
    x, y = clouds(50, 40, d)
    x[0] += 1e4
    found, true = expectation(x, y, 0.01, outliers, dtype=dtype), by_hand(x, y, 0.01, outliers)
    assert np.isfinite(found.px).all()
    assert found.pt1[0] == pytest.approx(1.0 if outliers == 0 else 0.0)
    np.testing.assert_allclose(found.pt1, true.pt1, atol=1e-3 if dtype == np.float32 else 1e-9)
    if dtype == np.float64:
        assert_close(found, true, 1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sigma2", [1e-4, 1e-12, 1e-30, 1e-100])
def test_a_tiny_variance_gives_each_target_to_its_nearest_source(sigma2, dtype):
    x, y = clouds(60, 40, 3)
    found = expectation(x, y, sigma2, 0.0, dtype=dtype)
    nearest = ((x[:, None] - y) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_allclose(found.p1, np.bincount(nearest, minlength=40), atol=0.02)
    assert np.isfinite(found.loglik)


def test_high_dimensions_do_not_underflow_as_kernels_of_a_whole_distance_do():
    x, y = clouds(40, 30, 512)
    assert (np.exp(-((x[:, None] - y) ** 2).sum(axis=2) / (2 * 0.1)) == 0).all()
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-2)):
        assert_close(expectation(x, y, 0.1, 0.0, dtype=dtype), by_hand(x, y, 0.1, 0.0), tolerance)


def test_clouds_far_from_the_origin_lose_no_digits():
    x, y = clouds(200, 150, 3, offset=0.0)
    near, far = (expectation(x + o, y + o, 0.3, 0.1, dtype=np.float32) for o in (0.0, 1e6))
    np.testing.assert_allclose(far.p1, near.p1, rtol=1e-4)
    np.testing.assert_allclose(far.px / far.p1[:, None] - 1e6, near.px / near.p1[:, None], atol=1e-4)


def test_outliers_spread_over_a_given_volume():
    x, y = clouds(50, 40, 3)
    assert_close(expectation(x, y, 0.3, 0.2, log_volume=4.0), by_hand(x, y, 0.3, 0.2, 4.0), 1e-12)
    few, many = (expectation(x, y, 0.3, 0.2, log_volume=v).pt1 for v in (0.0, 9.0))
    assert (few < many).all()


def test_the_exponential_of_the_loop_is_good_to_rounding():
    from embedlab.maths.clouds._expectation_loops import _weigh

    for dtype, bound in ((np.float32, 3e-7), (np.float64, 5e-16)):
        powers = np.linspace(0, 100, 100_001).astype(dtype)[None]
        values = powers.copy()
        total = _weigh(values, 0, dtype(0))
        true = np.exp2(-powers[0].astype(np.longdouble))
        assert np.abs(values[0] / true - 1).max() < bound
        assert total == pytest.approx(float(true.sum()), rel=1e-5)


def test_start_and_step_allocate_no_array_of_pairs():
    """Peers hold (m, n) or even (m, n, d) doubles: here 0.6 and 9.2 GB."""
    x, y = clouds(9000, 9000, 16)
    expectation(x[:9], y[:9], 0.3, 0.1, dtype=np.float32)
    tracemalloc.start()
    start_sigma2(x, y)
    expectation(x, y, 0.3, 0.1, dtype=np.float32, device="cpu")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6


def test_start_sigma2_is_the_mean_over_all_pairs():
    x, y = clouds(30, 50, 5)
    assert start_sigma2(x, y + 2) == pytest.approx(((x[:, None] - y - 2) ** 2).mean(), rel=1e-12)


def test_a_small_problem_loads_no_torch():
    code = (
        "import sys, numpy as np; from embedlab.maths.clouds._expectation import expectation; "
        "expectation(np.eye(3), np.eye(3), 1.0, 0.1); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


@pytest.mark.parametrize(
    ("x", "y", "sigma2", "outliers", "match"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), 1.0, 0.0, "one dimension"),
        (np.zeros(3), np.zeros((3, 3)), 1.0, 0.0, "one dimension"),
        (np.zeros((0, 3)), np.zeros((3, 3)), 1.0, 0.0, "one dimension"),
        (np.eye(3), np.eye(3), 0.0, 0.0, "sigma2 must be above 0"),
        (np.eye(3), np.eye(3), np.nan, 0.0, "sigma2 must be above 0"),
        (np.eye(3), np.eye(3), 1e-305, 0.0, "too small for these points"),
        (np.full((3, 3), np.nan), np.eye(3), 1.0, 0.0, "not finite"),
        (np.eye(3), np.eye(3), 1.0, 1.0, "outliers in"),
        (np.eye(3), np.eye(3), 1.0, -0.1, "outliers in"),
    ],
)
def test_what_makes_no_sense_is_refused(x, y, sigma2, outliers, match):
    with pytest.raises(ValueError, match=match):
        expectation(x, y, sigma2, outliers)


@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("outliers", [0.0, 0.2])
@pytest.mark.parametrize("dimensions", [3, 24])
def test_the_likelihood_alone_is_that_of_the_whole_step(dimensions, outliers, dtype, close):
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(70, dimensions)), draw.normal(size=(50, dimensions))
    squares = ((x[:, None] - y) ** 2).sum(axis=2)
    for volume in (None, 3.0):
        whole = expectation(x, y, 0.3, outliers, log_volume=volume).loglik
        alone = likelihood(squares, dimensions, 0.3, outliers, log_volume=volume, dtype=dtype)
        assert alone == pytest.approx(whole, rel=close)


@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("outliers", [0.0, 0.2])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_likelihoods_of_several_maps_are_those_of_whole_steps(dimensions, outliers, dtype, close):
    x, y = clouds(70, 50, dimensions)
    matrices = np.random.default_rng(1).normal(size=(3, dimensions, dimensions))
    for volume in (None, 3.0):
        whole = [expectation(x, y @ one, 0.3, outliers, log_volume=volume).loglik for one in matrices]
        found = likelihoods(x, y, matrices, 0.3, outliers, log_volume=volume, dtype=dtype)
        np.testing.assert_allclose(found, whole, rtol=close)
        assert len({*np.round(found, 3)}) == 3
