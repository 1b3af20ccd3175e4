"""Registrations of a few points, by the loop that is compiled as a whole."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embedlab.maths.clouds._cpd_em import FAR, MEMORY, REASONS, SHRUNK, SLACK, Outcome, State
from embedlab.maths.clouds._expectation import LOOPS, odds

PAIRS = 1 << 20
"""Up to so many pairs of points a step takes as long in Python as its pairs do."""


def possible(targets: int, sources: int, dimensions: int) -> bool:
    """Say whether there are few enough points."""
    return targets * sources <= PAIRS and dimensions <= LOOPS


@dataclass(frozen=True)
class Few:
    """What ``_cpd_em.Problem`` holds, for the compiled loop.

    Attributes
    ----------
    x, y
        Targets of shape (n, d) and sources (m, d).
    kind
        Whether rigid, and then whether size may change and the turn may mirror.
    outliers, log_volume
        As in ``expectation``.
    single
        The variance, over that of the extent, above which pairs are computed in single precision.
    floor, extent, answered
        As in ``_cpd_em.Problem``.
    """

    x: np.ndarray
    y: np.ndarray
    kind: tuple[bool, bool, bool]
    outliers: float
    log_volume: float | None
    single: float
    floor: float
    extent: float
    answered: float

    @cached_property
    def amid(self) -> np.ndarray:
        """A place amid the sources, whatever lies far out."""
        middle: np.ndarray = np.partition(self.y, len(self.y) // 2, axis=0)[len(self.y) // 2].copy()
        return middle

    def run(
        self, start: State, *, iterations: int, tolerance: float, accelerate: bool
    ) -> Outcome[State] | None:
        """Do what ``_cpd_em.run`` does, to rounding; None where the case is left to it."""
        from embedlab.maths.clouds._cpd_loops import em

        (n, d), m = self.x.shape, len(self.y)
        state = np.concatenate([start.matrix.ravel(), start.shift, [start.sigma2]])
        sigma2, loglik = np.empty(iterations), np.empty(iterations)
        why, taken = em(
            self.x, self.y, self.amid, state, self.kind, odds(n, m, self.outliers, self.log_volume),
            (iterations, float(tolerance), self.floor, self.extent, self.answered, self.single, SHRUNK),
            (MEMORY if accelerate else 0, FAR, SLACK), sigma2, loglik,
        )  # fmt: skip
        if why < 0:
            return None
        found = State(state[: d * d].reshape(d, d), state[d * d : -1], float(state[-1]))
        return Outcome(found, *REASONS[why], sigma2[:taken].tolist(), loglik[:taken].tolist())
