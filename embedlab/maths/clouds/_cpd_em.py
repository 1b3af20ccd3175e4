"""The loop of Coherent Point Drift: expectation, maximisation, extrapolation, and when to stop."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from embedlab.maths.clouds._expectation import Expectation

S = TypeVar("S")

MEMORY = 6
"""Steps that an extrapolation looks back on."""


FAR = 64.0
"""Plain steps that an extrapolation may go at most; a sixteenth of it after one that went too far."""

SLACK = 1e-7
"""Of the likelihood: what rounding in single precision may take from it."""

SHRUNK = 2e-3
"""A map that leaves no more than this of the sources' extent is a collapse."""

REASONS = (
    (False, "the limit of iterations was reached"),
    (True, "steps are below the tolerance"),
    (True, "the variance is at its floor: the clouds coincide"),
    (False, "collapsed: every target counts as an outlier"),
    (False, "collapsed: a step is not finite"),
    (False, "collapsed: the sources have shrunk to a point"),
)
"""Why a loop ends, and whether it has then converged."""

_LIMIT, _RESTS, _FLOORED, _UNANSWERED, _ENDLESS, _SHRUNK = REASONS


@dataclass(frozen=True)
class State:
    """A map ``points @ matrix + shift`` and a variance."""

    matrix: np.ndarray
    shift: np.ndarray
    sigma2: float

    def moved(self, points: np.ndarray) -> np.ndarray:
        """Map points."""
        mapped: np.ndarray = points @ self.matrix + self.shift
        return mapped


@dataclass(frozen=True)
class Outcome(Generic[S]):
    """Where a loop ended, and why."""

    state: S
    converged: bool
    reason: str
    sigma2: list[float]
    loglik: list[float]


@dataclass(frozen=True)
class Problem:
    """What the loop asks of a kind of registration.

    Attributes
    ----------
    y
        Sources before any map.
    expect
        From moved sources and σ² to the posterior.
    maximise
        From the posterior to the state of the next step.
    project
        From an extrapolated matrix, and one of the kind that it is extrapolated from, to one of the kind.
    targets
        How many there are.
    floor, extent
        The least σ², and the extent of the targets that movements are measured by.
    answered
        Targets that sources must answer for, or it is a collapse.
    """

    y: np.ndarray
    expect: Callable[[np.ndarray, float], Expectation]
    maximise: Callable[[Expectation], State]
    project: Callable[[np.ndarray, np.ndarray], np.ndarray]
    targets: int
    floor: float
    extent: float
    answered: float


def run(
    problem: Problem,
    start: State,
    *,
    iterations: int,
    tolerance: float,
    accelerate: bool,
    callback: Callable[[int, State], object] | None = None,
) -> Outcome[State]:
    """Iterate from a start until it rests, or as often as allowed."""
    memory = _Memory(problem)
    state, safe, best = start, start, -math.inf
    sigma2: list[float] = []
    loglik: list[float] = []

    def ended(at: State, why: tuple[bool, str]) -> Outcome[State]:
        return Outcome(at, *why, sigma2, loglik)

    for iteration in range(1, iterations + 1):
        e = problem.expect(state.moved(problem.y), state.sigma2)
        likelihood = e.loglik / problem.targets
        if state is not safe and not likelihood >= best - SLACK * (1 + abs(best)):
            # The extrapolation went too far: back to the plain step, which cannot fall.
            memory.distrust()
            state = safe
            sigma2.append(state.sigma2)
            loglik.append(best)
            continue
        if not e.p1.sum() > problem.answered:
            return ended(state, _UNANSWERED)
        plain = problem.maximise(e)
        if not (np.isfinite(plain.matrix).all() and math.isfinite(plain.sigma2)):
            return ended(state, _ENDLESS)
        if np.abs(plain.matrix).max() < SHRUNK:
            return ended(state, _SHRUNK)
        plain = replace(plain, sigma2=max(plain.sigma2, problem.floor))
        sigma2.append(plain.sigma2)
        loglik.append(likelihood)
        if callback is not None:
            callback(iteration, plain)
        # Once more at the floor: the step before may have been in single precision.
        if max(plain.sigma2, state.sigma2) <= problem.floor:
            return ended(plain, _FLOORED)
        still = _movement(problem, state, plain) < tolerance
        if still and abs(math.log(plain.sigma2 / state.sigma2)) < 10 * tolerance:
            return ended(plain, _RESTS)
        best, safe = likelihood, plain
        onward = accelerate and plain.sigma2 > problem.floor
        state = memory.extrapolate(state, plain) if onward else plain
    return ended(safe, _LIMIT)


def _movement(problem: Problem, before: State, after: State) -> float:
    """Give the root mean square way of the sources in a step, over the extent of the targets."""
    way = problem.y @ (after.matrix - before.matrix) + (after.shift - before.shift)
    return math.sqrt(float(np.vdot(way, way)) / way.size) / problem.extent


class _Memory:
    """The last steps, and what they say of where the steps lead (Anderson's method)."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.last: tuple[np.ndarray, np.ndarray] | None = None
        self.moves: list[np.ndarray] = []
        self.turns: list[np.ndarray] = []
        self.reach = FAR

    def distrust(self) -> None:
        """Go less far from now on: the last extrapolation was too long."""
        self.reach /= 16

    def extrapolate(self, before: State, after: State) -> State:
        """Take in a step and give a state further on."""
        here = self._pack(before)
        step = self._pack(after) - here
        before_that, self.last = self.last, (here, step)
        if before_that is None:
            return after
        self.moves.append(here - before_that[0])
        self.turns.append(step - before_that[1])
        if len(self.turns) == MEMORY:
            del self.moves[0], self.turns[0]
        moves, turns = np.array(self.moves), np.array(self.turns)
        gram = turns @ turns.T
        ridge = 1e-10 * np.trace(gram) + 1e-300
        share = np.linalg.solve(gram + ridge * np.eye(len(gram)), turns @ step)
        onward = -share @ moves - share @ turns
        longest = self.reach * float(np.linalg.norm(step))
        onward *= min(1.0, longest / max(float(np.linalg.norm(onward)), 1e-300))
        self.reach = min(2 * self.reach, FAR)
        return self._unpack(here + step + onward, after)

    def _pack(self, state: State) -> np.ndarray:
        d = len(state.shift)
        return np.concatenate(
            [
                state.matrix.ravel() * self.problem.extent,
                state.shift,
                [0.5 * math.sqrt(d) * self.problem.extent * math.log(state.sigma2)],
            ]
        )

    def _unpack(self, packed: np.ndarray, near: State) -> State:
        d = len(near.shift)
        matrix = self.problem.project(packed[: d * d].reshape(d, d) / self.problem.extent, near.matrix)
        ln = packed[-1] / (0.5 * math.sqrt(d) * self.problem.extent)
        ln = min(max(ln, math.log(near.sigma2) - 1), math.log(near.sigma2) + 1)
        return State(matrix, packed[d * d : -1], max(math.exp(ln), self.problem.floor))
