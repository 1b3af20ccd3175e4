import math

import numpy as np
import pytest

from embedlab.maths.clouds import cpd
from embedlab.maths.clouds._cpd_em import FAR, Problem, State, _Memory, run
from embedlab.maths.clouds._expectation import Expectation, expectation
from embedlab.maths.clouds.cpd import Settings, affine, frame, log_volume, rigid

X = np.random.default_rng(0).normal(size=(60, 3))
START = State(np.eye(3), np.zeros(3), 0.5)


def problem(maximise, answered=0.5):
    return Problem(
        y=X, expect=lambda moved, sigma2: expectation(X, moved, sigma2, 0.1), maximise=maximise,
        project=lambda matrix, near: matrix, targets=len(X), floor=1e-12, extent=1.0, answered=answered,
    )  # fmt: skip


def ended(maximise, **settings):
    return run(problem(maximise), START, iterations=5, tolerance=1e-6, accelerate=False, **settings)


def test_a_step_that_is_not_finite_is_a_collapse():
    for state in (State(np.full((3, 3), np.nan), np.zeros(3), 1.0), State(np.eye(3), np.zeros(3), math.inf)):
        end = ended(lambda e, state=state: state)
        assert (end.converged, end.reason) == (False, "collapsed: a step is not finite")
        assert end.state is START


def test_sources_that_shrink_to_a_point_are_a_collapse():
    end = ended(lambda e: State(1e-3 * np.eye(3), np.zeros(3), 1.0))
    assert (end.converged, end.reason) == (False, "collapsed: the sources have shrunk to a point")


def test_targets_that_no_source_answers_for_are_a_collapse():
    end = rigid(X, X, shift=np.full(3, 50.0), settings=Settings(sigma2=0.01))
    assert (end.converged, end.reason) == (False, "collapsed: every target counts as an outlier")
    assert np.isfinite(end.moved).all()


def test_a_state_that_maps_onto_itself_is_at_rest():
    end = ended(lambda e: START)
    assert (end.converged, end.reason) == (True, "steps are below the tolerance")
    assert len(end.sigma2) == 1


def test_a_variance_at_its_floor_ends_it_after_one_more_step():
    end = ended(lambda e: State(np.eye(3), np.zeros(3), -1e-20))
    assert (end.converged, end.sigma2) == (True, [1e-12, 1e-12])


def test_steps_that_shrink_by_a_constant_factor_are_extrapolated_to_their_limit():
    """x ← 0.9 x + 1 has its limit at 10: one look back finds it."""
    memory = _Memory(problem(lambda e: START))

    def at(place):
        return State(np.eye(3), np.array([place, 0.0, 0.0]), 0.5)

    memory.extrapolate(at(0.0), at(1.0))
    assert memory.extrapolate(at(1.0), at(1.9)).shift[0] == pytest.approx(10.0, rel=1e-4)


def test_after_an_extrapolation_that_went_too_far_the_next_goes_less_far():
    memory = _Memory(problem(lambda e: START))

    def at(place):
        return State(np.eye(3), np.array([place, 0.0, 0.0]), 0.5)

    memory.extrapolate(at(0.0), at(1.0))
    memory.distrust()
    memory.distrust()
    far = memory.extrapolate(at(1.0), at(1.9)).shift[0]
    assert far == pytest.approx(1.9 + 0.9 * FAR / 256)
    assert memory.reach == FAR / 128


def test_an_extrapolation_that_lowers_the_likelihood_is_taken_back():
    """Steps go from 0 to 1 to 1.9, and extrapolation from there to 10, which the likelihood forbids."""
    likelihoods, tried = iter([-100.0, -90.0, -200.0, -80.0]), []

    def expect(moved, sigma2):
        tried.append(float((moved - X)[0, 0]))
        return Expectation(np.ones(60), np.ones(60), X, next(likelihoods))

    def maximise(e):
        return State(np.eye(3), np.array([0.9 * tried[-1] + 1, 0.0, 0.0]), 0.5)

    given = Problem(**{**problem(maximise).__dict__, "expect": expect})
    end = run(given, START, iterations=4, tolerance=1e-9, accelerate=True)
    assert tried == pytest.approx([0, 1, 10, 1.9], rel=1e-4)
    assert end.loglik == pytest.approx([-100 / 60, -90 / 60, -90 / 60, -80 / 60])


# The loop that is compiled as a whole


def loops(x, y, kind, tolerance=1e-6, **settings):
    """Give the end of the compiled loop, and of Python's from the same start."""
    chosen = Settings(**settings)
    f = frame(x, y)
    loop = cpd._Loop(f.x, f.y, kind, chosen, volume=log_volume(f.x), extent=1.0)
    d = x.shape[1]
    start = State(np.eye(d), np.full(d, 0.05), 0.2)
    ends = {"iterations": chosen.iterations, "tolerance": tolerance, "accelerate": chosen.accelerate}
    return loop.few.run(start, **ends), run(loop.problem, start, **ends)


KINDS = [cpd._Rigid(True, False), cpd._Rigid(False, False), cpd._Rigid(True, True), cpd._Affine()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 16])
def test_the_compiled_loop_ends_where_pythons_does(kind, d):
    draw = np.random.default_rng(d)
    y = draw.normal(size=(90, d)) * np.linspace(1.5, 0.7, d)
    x = y @ (np.eye(d) + 0.1 * draw.normal(size=(d, d))) + 0.1 * draw.normal(size=(90, d))
    x = np.vstack([x, draw.uniform(-4, 4, size=(10, d))])
    # On one axis 200 steps end on a plateau, where rounding decides how far one has come.
    for dtype, exact in (("float64", 1e-6), ("mixed", 1e-4)):
        for accelerate in (True, False):
            given = {"dtype": dtype, "accelerate": accelerate, "iterations": 1000}
            found, expected = loops(x, y, kind, exact / 100, **given)
            np.testing.assert_allclose(found.state.matrix, expected.state.matrix, atol=exact)
            np.testing.assert_allclose(found.state.shift, expected.state.shift, atol=exact)
            assert found.state.sigma2 == pytest.approx(expected.state.sigma2, rel=10 * exact)
            assert found.loglik[-1] == pytest.approx(expected.loglik[-1], abs=1e-5)
            assert found.reason == expected.reason


@pytest.mark.parametrize("kind", KINDS)
def test_the_compiled_loop_takes_the_steps_that_pythons_does(kind):
    """Also over more sources than are taken at once, and as many as a limit allows."""
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(70, 3)), draw.normal(size=(1100, 3))
    found, expected = loops(x, y, kind, dtype="float64", iterations=8, outliers=0.0)
    assert (found.converged, found.reason) == (False, "the limit of iterations was reached")
    np.testing.assert_allclose(found.loglik, expected.loglik, rtol=1e-9)
    np.testing.assert_allclose(found.sigma2, expected.sigma2, rtol=1e-7)
    np.testing.assert_allclose(found.state.matrix, expected.state.matrix, atol=1e-7)


def test_the_compiled_loop_says_why_it_stopped():
    found, expected = loops(X, X, KINDS[0])
    assert found.reason == expected.reason == "the variance is at its floor: the clouds coincide"
    f = frame(X, X)
    loop = cpd._Loop(f.x, f.y, KINDS[0], Settings(), volume=5.0, extent=1.0)
    ends = {"iterations": 50, "tolerance": 1e-6, "accelerate": True}
    away = State(np.eye(3), np.full(3, 50.0), 0.01)
    assert loop.few.run(away, **ends).reason == "collapsed: every target counts as an outlier"
    assert loop.few.run(State(np.eye(3), np.zeros(3), 0.5), **{**ends, "iterations": 0}).loglik == []


def test_what_points_leave_open_is_left_to_pythons_loop():
    flat = X * [1, 1, 0]
    for kind in KINDS:
        found, expected = loops(flat @ np.linalg.qr(X[:3])[0], flat, kind)
        assert found is None
        assert np.isfinite(expected.state.matrix).all()
    # A variance that no type has room for is refused there too.
    f = frame(X, X)
    loop = cpd._Loop(f.x, f.y, KINDS[0], Settings(), volume=5.0, extent=1.0)
    tiny = State(np.eye(3), np.zeros(3), 1e-300)
    assert loop.few.run(tiny, iterations=5, tolerance=1e-6, accelerate=True) is None


def test_a_callback_a_device_and_a_block_ask_for_pythons_loop(monkeypatch):
    calls = []
    monkeypatch.setattr(cpd, "run", lambda *a, **k: calls.append(1) or run(*a, **k))
    quick = {"search": False, "iterations": 3}
    rigid(X, X[::-1], settings=Settings(**quick))
    affine(X, X[::-1], settings=Settings(**quick))
    assert not calls
    rigid(X, X[::-1], settings=Settings(**quick), callback=lambda *_: None)
    rigid(X, X[::-1], settings=Settings(**quick, block=1 << 16))
    rigid(X, X[::-1], settings=Settings(**quick, device="torch"))
    assert len(calls) == 3
