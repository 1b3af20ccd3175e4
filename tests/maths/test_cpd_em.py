import math

import numpy as np
import pytest

from embedlab.maths.clouds._cpd_em import FAR, Problem, State, _Memory, run
from embedlab.maths.clouds._expectation import Expectation, expectation
from embedlab.maths.clouds.cpd import Settings, rigid

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
