"""Deformable Coherent Point Drift: bring one cloud onto another by a smooth field of displacements.

Every source drifts by G·W, where G is a Gaussian kernel between the sources, so that neighbours drift
alike [1]_. An iteration shares the targets out among the sources, solves
(d(P1)·G + ασ²I)·W = PX − d(P1)·Y, and takes the variance that is left. The objective that it lowers is
the paper's: the negative log-likelihood with (α/2)·tr(Wᵀ·G·W) for the roughness of the field.

Before that both clouds are taken about their own centres and over one common size, the targets' root
mean square distance from their centre, so that α, β and every setting mean the same in any unit and any
number of dimensions. Steps are extrapolated along the directions in which they are slow.

References
----------
.. [1] Myronenko, A. and Song, X. Point Set Registration: Coherent Point Drift. IEEE TPAMI 32(12), 2010,
   arXiv:0905.2635, section 5 and fig. 4.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from embedlab.maths.clouds import _coherence
from embedlab.maths.clouds._cpd_em import SLACK
from embedlab.maths.clouds._cpd_frame import without_strays
from embedlab.maths.clouds._deformable_em import State, run
from embedlab.maths.clouds._expectation import Expectation, expectation, start_sigma2
from embedlab.maths.clouds.cpd import Callback, Registration, Settings, frame, log_volume
from embedlab.maths.products import unthreaded

FLOOR = 1e-8
"""The least σ², over the square of the targets' size; below, rounding is all that W would hold."""

_DEFAULTS = Settings()


@dataclass(frozen=True)
class Deformation(Registration):
    """A smooth map of points, and how it was found.

    Points are mapped to ``points @ matrix + shift`` plus the drift there, which fades to nothing far
    from all sources; ``matrix`` is the identity, and ``shift`` brings the clouds' centres together.

    Attributes
    ----------
    sources, weights
        The sources before any map and W, both of shape (m, d), in the units of the data.
    width
        Of the kernel, in the units of the data.
    trace_loglik
        Mean log-likelihood of a target less its share of (α/2)·tr(Wᵀ·G·W) before each step, which no
        step lowers.
    """

    sources: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, "m d"]
    width: float

    def transform(self, points: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
        """Map points, those of the fit or any others."""
        mapped = super().transform(points)
        mapped += _coherence.product(points, self.sources, self.width, self.weights)
        return mapped


def deformable(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    *,
    alpha: float = 2.0,
    beta: float = 2.0,
    rank: int | None = None,
    settings: Settings = _DEFAULTS,
    callback: Callback | None = None,
) -> Deformation:
    """Bring sources onto targets by a smooth field of displacements.

    Parameters
    ----------
    x
        Targets, which stay, of shape (n, d).
    y
        Sources, which move, of shape (m, d).
    alpha
        How much a smooth field weighs against a close fit.
    beta
        Width of the kernel in units of the targets' root mean square distance from their centre: the
        larger, the further points drift together.
    rank
        How many leading eigenvectors of the kernel span the field. Without it the kernel is whole, for
        at most `embedlab.maths.clouds._coherence.LARGEST` sources.
    settings
        How it is run; with ``standardise`` off, alpha and beta are in the units of the data as well.
        ``search`` changes nothing here.
    callback
        Called after each step with its number, the moved sources and σ².

    Returns
    -------
    The registration.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, a cloud has no extent, or alpha, beta or rank is not
        above zero.
    UserError
        If there are too many sources for a whole kernel.
    """
    if not (alpha > 0 and beta > 0 and math.isfinite(alpha) and math.isfinite(beta)):
        raise ValueError(f"alpha and beta must be above 0, not {alpha} and {beta}")
    if rank is not None and rank < 1:
        raise ValueError(f"rank must be at least 1, not {rank}")
    clouds = Common.of(x, y, standardise=settings.standardise)
    unit, d = clouds.unit, clouds.y.shape[1]
    coherence: _coherence.Coherence = (
        _coherence.full(clouds.y, beta) if rank is None else _coherence.reduced(clouds.y, beta, rank)
    )
    volume = None if settings.paper_outliers else log_volume(clouds.x)
    if settings.sigma2 is not None:
        start = settings.sigma2 / unit**2
    else:
        start = settings.start * start_sigma2(without_strays(clouds.x), without_strays(clouds.y))
    still = np.zeros_like(clouds.y)

    def tell(iteration: int, state: State) -> None:
        if callback is not None:
            callback(iteration, clouds.to_data(clouds.y + state.steps), state.sigma2 * unit**2)

    problem = _Problem(clouds, alpha, coherence, settings, volume)
    # A whole kernel's equations take longer than the expectation, and gain by threads.
    with nullcontext() if rank is None else unthreaded():
        done = run(
            problem, State(still, still, 0.0, start), iterations=settings.iterations,
            tolerance=settings.tolerance, accelerate=settings.accelerate, callback=tell,
        )  # fmt: skip
    return Deformation(
        "deformable", np.eye(d), clouds.centre_x - clouds.centre_y, 1.0, np.eye(d),
        clouds.to_data(clouds.y + done.state.steps), done.state.sigma2 * unit**2, settings.outliers,
        len(done.sigma2), done.converged, done.reason, np.array(done.sigma2) * unit**2,
        np.array(done.loglik) - d * math.log(unit), np.asarray(y, np.float64), done.state.weights * unit,
        beta * unit,
    )  # fmt: skip


@dataclass(frozen=True)
class Common:
    """Both clouds about their own centres, in one unit.

    Attributes
    ----------
    x, y
        Targets and sources so.
    centre_x, centre_y
        The centres.
    unit
        Root mean square distance of the targets from their centre, far outliers left out; one, and the
        centres zero, where the clouds are left as they stand.
    extent
        That distance in this unit.
    """

    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, "m d"]
    centre_x: Float[np.ndarray, " d"]
    centre_y: Float[np.ndarray, " d"]
    unit: float
    extent: float

    @classmethod
    def of(
        cls, x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], *, standardise: bool = True
    ) -> "Common":
        """Bring two clouds into one unit.

        Raises
        ------
        ValueError
            If shapes do not fit, a value is not finite, or a cloud has no extent.
        """
        f = frame(x, y, one_size=True)
        d = f.x.shape[1]
        # From the root of the mean square of a coordinate to that of a distance.
        size = f.size_x * math.sqrt(d)
        if standardise:
            return cls(f.x / math.sqrt(d), f.y / math.sqrt(d), f.centre_x, f.centre_y, size, 1.0)
        none = np.zeros(d)
        return cls(np.asarray(x, np.float64), np.asarray(y, np.float64), none, none, 1.0, size)

    def to_data(self, moved: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        """Bring moved sources back into the units of the data."""
        back: np.ndarray = moved * self.unit + self.centre_x
        return back


@dataclass(frozen=True)
class _Problem:
    """What an iteration does."""

    clouds: Common
    alpha: float
    coherence: _coherence.Coherence
    settings: Settings
    volume: float | None

    @property
    def targets(self) -> int:
        return len(self.clouds.x)

    @property
    def floor(self) -> float:
        return FLOOR * self.clouds.extent**2

    def precision(self, sigma2: float) -> type[np.floating]:
        d = self.clouds.x.shape[1]
        return self.settings.precision(sigma2 * d / self.clouds.extent**2, d)

    def slack(self, sigma2: float) -> float:
        return SLACK if self.precision(sigma2) is np.float32 else 1e-12

    def expect(self, state: State) -> Expectation:
        c, s = self.clouds, self.settings
        return expectation(
            c.x, c.y + state.steps, state.sigma2, s.outliers, log_volume=self.volume,
            dtype=self.precision(state.sigma2), block=s.block, device=s.device,
        )  # fmt: skip

    def maximise(self, e: Expectation, sigma2: float) -> State:
        c = self.clouds
        drift = self.coherence.drift(e.p1, e.px - e.p1[:, None] * c.y, self.alpha * sigma2)
        here = c.y + drift.steps
        rest = e.pt1 @ (c.x**2).sum(axis=1) + e.p1 @ (here**2).sum(axis=1) - 2 * (here * e.px).sum()
        left = max(float(rest) / (e.p1.sum() * c.x.shape[1]), self.floor)
        return State(drift.steps, drift.weights, drift.energy, left)

    def movement(self, before: State, after: State) -> float:
        """Give the root mean square way of the sources in a step, over the extent of the targets."""
        way = ((after.steps - before.steps) ** 2).sum(axis=1).mean()
        return math.sqrt(float(way)) / self.clouds.extent
