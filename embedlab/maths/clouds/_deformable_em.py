"""The loop of deformable Coherent Point Drift: expectation, maximisation, extrapolation, and when to stop.

Where clouds overlap, steps of expectation-maximisation follow each other along a few slow directions for
thousands of iterations. An extrapolation lengthens them there [2]_: the map of a step, seen on the span of
the last moves, has the share of missing information as its eigenvalues [1]_, and where that is λ, a direction
is followed 1/(1 − λ) times as far. Two things keep it near the way that plain steps would take. No direction
is ever turned round: at a saddle, where λ is above one, Anderson's method heads for the saddle, and this goes
further away from it. And σ² and the points go little further at once, so that σ² falls as gradually.

References
----------
.. [1] Dempster, A. P., Laird, N. M. and Rubin, D. B. Maximum likelihood from incomplete data via the EM
   algorithm. JRSS B 39(1), 1977, section 3.
.. [2] Jamshidian, M. and Jennrich, R. I. Acceleration of the EM algorithm by using quasi-Newton methods.
   JRSS B 59(3), 1997.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from embedlab.maths.clouds._cpd_em import REASONS, Outcome
from embedlab.maths.clouds._expectation import Expectation

MEMORY = 8
"""Steps that an extrapolation looks back on."""

FAR = 64.0
"""Plain steps that one may go at most: a quarter of it after one that went too far, and slowly more again."""

NEAR = 0.02
"""How far ln σ² may go at most beyond a plain step, and, in units of σ, the points."""

_LIMIT, _RESTS, _FLOORED, _UNANSWERED = REASONS[:4]


@dataclass(frozen=True)
class State:
    """Where the sources have drifted to, the weights W and the energy tr(Wᵀ·G·W) of it, and σ²."""

    steps: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, "m d"]
    energy: float
    sigma2: float


class Problem(Protocol):
    """What the loop asks of a registration."""

    @property
    def alpha(self) -> float:
        """How much smoothness weighs."""

    @property
    def targets(self) -> int:
        """How many there are."""

    @property
    def floor(self) -> float:
        """The least σ²."""

    def slack(self, sigma2: float) -> float:
        """Give what rounding may take from the likelihood."""

    def expect(self, state: State) -> Expectation:
        """Give the posterior."""

    def maximise(self, e: Expectation, sigma2: float) -> State:
        """Give the state of the next step."""

    def movement(self, before: State, after: State) -> float:
        """Give the root mean square way of the sources in a step, over the extent of the targets."""


def run(
    problem: Problem,
    start: State,
    *,
    iterations: int,
    tolerance: float,
    accelerate: bool,
    callback: Callable[[int, State], object],
) -> Outcome[State]:
    """Iterate from a start until it rests, or as often as allowed."""
    subspace = _Subspace(problem.alpha)
    state, safe, best = start, start, -math.inf
    sigma2: list[float] = []
    loglik: list[float] = []

    def ended(at: State, why: tuple[bool, str]) -> Outcome[State]:
        return Outcome(at, *why, sigma2, loglik)

    for iteration in range(1, iterations + 1):
        e = problem.expect(state)
        likelihood = (e.loglik - problem.alpha / 2 * state.energy) / problem.targets
        if state is not safe and not likelihood >= best - problem.slack(state.sigma2) * (1 + abs(best)):
            # The extrapolation went too far: back to the plain step, which cannot fall.
            subspace.distrust()
            state = safe
            sigma2.append(state.sigma2)
            loglik.append(best)
            continue
        if not e.p1.sum() > 0:
            return ended(state, _UNANSWERED)
        plain = problem.maximise(e, state.sigma2)
        sigma2.append(plain.sigma2)
        loglik.append(likelihood)
        callback(iteration, plain)
        if plain.sigma2 <= problem.floor:
            return ended(plain, _FLOORED)
        still = problem.movement(state, plain) < tolerance
        if still and abs(math.log(plain.sigma2 / state.sigma2)) < 10 * tolerance:
            return ended(plain, _RESTS)
        best, safe = likelihood, plain
        state = subspace.extrapolate(state, plain, e, problem.floor) if accelerate else plain
    return ended(safe, _LIMIT)


@dataclass(frozen=True)
class _Way:
    """The difference of two states; that of their variances as of ln σ²."""

    steps: np.ndarray
    weights: np.ndarray
    ln: float

    def __sub__(self, other: "_Way") -> "_Way":
        return _Way(self.steps - other.steps, self.weights - other.weights, self.ln - other.ln)


class _Subspace:
    """The last steps, and what they say of where the steps lead."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.reach = FAR
        self._forget()

    def _forget(self) -> None:
        self.last: tuple[_Way, _Way] | None = None
        self.moves: list[_Way] = []
        self.turns: list[_Way] = []

    def distrust(self) -> None:
        """Go less far from now on: the last extrapolation was too long."""
        self.reach /= 4
        self._forget()

    def extrapolate(self, before: State, after: State, e: Expectation, floor: float) -> State:
        """Take in a step and give a state further on."""
        here = _Way(before.steps, before.weights, math.log(before.sigma2))
        step = _Way(after.steps, after.weights, math.log(after.sigma2)) - here
        before_that, self.last = self.last, (here, step)
        if before_that is None:
            return after
        self.moves.append(here - before_that[0])
        self.turns.append(step - before_that[1])
        if len(self.turns) > MEMORY:
            del self.moves[0], self.turns[0]
        onward = self._onward(step, e, before.sigma2)
        way, own = _length(onward, after.sigma2), _length(step, after.sigma2)
        part = min(1.0, NEAR / max(way, 1e-300), self.reach * own / max(way, 1e-300))
        self.reach = min(1.3 * self.reach, FAR)
        steps, weights = after.steps + part * onward.steps, after.weights + part * onward.weights
        sigma2 = max(after.sigma2 * math.exp(part * onward.ln), floor)
        return State(steps, weights, float((steps * weights).sum()), sigma2)

    def _onward(self, step: _Way, e: Expectation, sigma2: float) -> _Way:
        """Give what the step's slow directions lack, by Rayleigh and Ritz on the span of the moves."""
        # The information of complete data, in whose metric a step's map is symmetric.
        answered = e.p1[:, None] / sigma2
        half = 0.5 * step.steps.shape[1] * float(e.p1.sum())
        moves = np.array([move.steps.ravel() for move in self.moves])
        turns = np.array([turn.steps.ravel() for turn in self.turns])
        duals = np.array([(answered * m.steps + self.alpha * m.weights).ravel() for m in self.moves])
        ln = np.array([move.ln for move in self.moves])
        square = duals @ moves.T + half * np.outer(ln, ln)
        along = duals @ turns.T + half * np.outer(ln, [turn.ln for turn in self.turns])
        asked = duals @ step.steps.ravel() + half * ln * step.ln
        unit = 1 / np.sqrt(np.maximum(np.diag(square), 1e-300))
        strengths, basis = np.linalg.eigh((square + square.T) / 2 * np.outer(unit, unit))
        kept = strengths > 1e-8 * strengths[-1]
        basis = unit[:, None] * basis[:, kept] / np.sqrt(strengths[kept])
        # Eigenvalues λ − 1 of the step's map: below minus one is rounding, above none a saddle.
        pulls, axes = np.linalg.eigh(basis.T @ (along + along.T) @ basis / 2)
        axes = basis @ axes
        share = axes @ ((axes.T @ asked) * (1 / np.clip(-pulls, 1 / FAR, 1) - 1))
        weights = np.tensordot(share, np.array([move.weights for move in self.moves]), 1)
        return _Way((share @ moves).reshape(step.steps.shape), weights, float(share @ ln))


def _length(way: _Way, sigma2: float) -> float:
    """Measure a way of points in units of σ, or that of ln σ², whichever is longer."""
    return max(math.sqrt(float((way.steps**2).sum(axis=1).mean()) / sigma2), abs(way.ln))
