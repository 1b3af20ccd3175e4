"""Coherent Point Drift: bring one cloud of points onto another without knowing which belongs to which.

Sources become the centres of a Gaussian mixture, one variance σ² for all, that is moved as a whole
until it explains the targets best [1]_. ``rigid`` turns, shifts and, where asked to, scales, in any
number of dimensions; ``affine`` takes any matrix. Rows are points, and points are mapped as
``points @ matrix + shift``.

How it gets there: both clouds are standardised (each about its own mean, in units of its own
extent), so that no setting has a unit. The variance starts from a share of the mean squared
difference of all pairs. Each iteration is an expectation step and a closed-form maximisation, and
Anderson's extrapolation over the last of them, kept only where the likelihood does not fall, takes
the place of the hundreds of small steps that overlapping clouds need otherwise [2]_ [3]_.

How far a cloud may be turned: expectation-maximisation finds the nearest optimum only. Percentage of
draws that end within 5 % of the error of Procrustes, which knows the pairs (``benchmarks/cpd_basin.py``:
600 to 1,000 points, people of ten images each, noise of 10 % in three dimensions and else 20 % of the
cloud's extent on each point, turned by an angle in a random plane, scaled, shifted and shuffled; three
to ten draws a figure):

=============================  ====  ====  ====  ====  ====  ====  ====  ====
degrees                        0–45    60    75    90   120   150   180   any
=============================  ====  ====  ====  ====  ====  ====  ====  ====
3-D, turns tried (default)      100   100   100   100   100   100   100   100
3-D, ``search=False``           100    90    80    50    10     0     0    10
2-D, turns tried (default)      100   100   100   100   100   100   100     –
2-D, ``search=False``           100   100   100    60     0     0     0     –
16- and 128-D, default          100   100   100   100   100   100   100   100
16- and 128-D, no search        100   100   100   100   100   100   100     0
=============================  ====  ====  ====  ====  ====  ====  ====  ====

"any" is a turn drawn from all there are; one in a single plane moves little of a cloud of many
dimensions. In two and three dimensions turns are tried all around; in more, only the one that lays
principal axes onto principal axes, which needs both clouds to have the same axes in the same order: two
unlike models need not. A cloud that looks alike from all sides cannot be turned back by anyone.

References
----------
.. [1] Myronenko, A. and Song, X. Point set registration: Coherent Point Drift. IEEE TPAMI 32(12),
   2010, arXiv:0905.2635.
.. [2] Walker, H. F. and Ni, P. Anderson acceleration for fixed-point iterations. SIAM Journal on
   Numerical Analysis 49(4), 2011.
.. [3] Henderson, N. C. and Varadhan, R. Damped Anderson acceleration with restarts and monotonicity
   control for accelerating EM and EM-like algorithms. JCGS 28(4), 2019.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from embedlab.maths.clouds import _cpd_few, _cpd_turns
from embedlab.maths.clouds._cpd_em import Outcome, Problem, State, run
from embedlab.maths.clouds._cpd_frame import Frame, core, frame, log_volume
from embedlab.maths.clouds._expectation import (
    Expectation,
    expectation,
    likelihood,
    likelihoods,
    start_sigma2,
)
from embedlab.maths.clouds.cpd_steps import affine_step, nearest_rotation, rigid_step, turned
from embedlab.maths.products import unthreaded

__all__ = ["FLOOR", "Callback", "Frame", "Registration", "Settings", "affine", "frame", "log_volume", "rigid"]

FLOOR = 1e-12
"""The least σ² in standardised units: clouds that coincide to a millionth of their extent."""

Callback = Callable[[int, np.ndarray, float], object]
Precision = Literal["mixed", "float32", "float64"]


@dataclass(frozen=True)
class Settings:
    """How a registration is run; no number here has a unit, save ``sigma2``.

    Attributes
    ----------
    outliers
        Share of the targets that no source answers for, in [0, 1).
    iterations
        Most expectation steps.
    tolerance
        Converged once a step moves the sources by less than this share of the targets' extent (root
        of the mean square) and changes ln σ² by less than ten times as much.
    start
        σ² at the start as a share of the mean squared difference a coordinate over all pairs, but for few
        points far away from the others.
    sigma2
        σ² at the start in the units of the data, in place of ``start``.
    dtype
        Of the pairs' arithmetic. "mixed" takes float32 while that is precise enough for the
        variance reached, and float64 from there.
    block
        Bytes of kernel values held at once; chosen for the cache where not given.
    device
        As in ``expectation``; ``compute.device()`` where not given.
    standardise
        Whether both clouds are first brought to mean zero and extent one. If not, the start is the
        clouds as they stand.
    accelerate
        Whether steps are extrapolated. If not, each iteration is one of plain EM.
    search
        Whether turns are tried on a sample before. Not where a start or ``sigma2`` is given, or the
        clouds are not standardised.
    seed
        Of the sample's draw.
    paper_outliers
        Whether outliers are spread as in the paper, with a density of 1/n a target whatever the
        unit and the dimension, and not over the volume that the targets fill.
    """

    outliers: float = 0.1
    iterations: int = 500
    tolerance: float = 1e-6
    start: float = 0.1
    sigma2: float | None = None
    dtype: Precision = "mixed"
    block: int | None = None
    device: str | None = None
    standardise: bool = True
    accelerate: bool = True
    search: bool = True
    seed: int = 0
    paper_outliers: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.outliers < 1:
            raise ValueError(f"outliers must be in [0, 1), not {self.outliers}")
        if not (self.iterations >= 0 and self.tolerance >= 0):
            raise ValueError("iterations and tolerance must not be negative, nor NaN")
        if self.iterations % 1 != 0:
            raise ValueError(f"iterations must be a whole number, not {self.iterations}")
        if not all(0 < one < math.inf for one in (self.start, self.sigma2) if one is not None):
            raise ValueError("start and sigma2 must be above 0, and finite")
        if self.dtype not in ("mixed", "float32", "float64"):
            raise ValueError(f"dtype must be mixed, float32 or float64, not {self.dtype!r}")

    def precision(self, sigma2: float, dimensions: int) -> type[np.floating]:
        """Give the type to compute pairs in at a variance, in units of the clouds' extent.

        An exponent is off by about the rounding error of a squared distance over 2σ²; float32 is
        left where that comes near 1e-3.
        """
        return np.float32 if sigma2 > self.single(dimensions) else np.float64

    def single(self, dimensions: int) -> float:
        """Give the variance above which pairs are computed in float32."""
        if self.dtype == "mixed":
            return 1e-4 * max(1.0, dimensions / 16)
        return 0.0 if self.dtype == "float32" else math.inf


@dataclass(frozen=True)
class Registration:
    """A map of points, and how it was found.

    Attributes
    ----------
    kind
        "rigid" or "affine".
    matrix, shift
        Points are mapped as ``points @ matrix + shift``; of shape (d, d) and (d,).
    scale, rotation
        ``matrix`` is scale · rotation where rigid; where affine, the mean stretch (d-th root of the
        determinant's size) and the turn without it, by polar decomposition.
    moved
        Sources after the map, of shape (m, d).
    sigma2
        Variance a coordinate at the end, in the square of the data's unit.
    outliers
        The share that was assumed.
    iterations
        Expectation steps taken.
    converged, reason
        Whether it came to rest, and a short phrase why it stopped.
    trace_sigma2, trace_loglik
        Variance after, and mean log-likelihood of a target before, each step; of shape (iterations,).
    """

    kind: str
    matrix: Float[np.ndarray, "d d"]
    shift: Float[np.ndarray, " d"]
    scale: float
    rotation: Float[np.ndarray, "d d"]
    moved: Float[np.ndarray, "m d"]
    sigma2: float
    outliers: float
    iterations: int
    converged: bool
    reason: str
    trace_sigma2: Float[np.ndarray, " it"]
    trace_loglik: Float[np.ndarray, " it"]

    def transform(self, points: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
        """Map points, those of the fit or new ones."""
        if points.ndim != 2 or points.shape[1] != len(self.shift):
            raise ValueError(f"points must be of shape (k, {len(self.shift)}), not {points.shape}")
        mapped: np.ndarray = points @ self.matrix + self.shift
        return mapped


def rigid(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    *,
    scale: bool = True,
    reflect: bool = False,
    rotation: Float[np.ndarray, "d d"] | None = None,
    size: float | None = None,
    shift: Float[np.ndarray, " d"] | None = None,
    settings: Settings = Settings(),
    callback: Callback | None = None,
) -> Registration:
    """Turn, shift and scale sources onto targets.

    Parameters
    ----------
    x
        Targets, which stay.
    y
        Sources, which move.
    scale
        Whether size may change.
    reflect
        Whether the turn may mirror.
    rotation, size, shift
        Where to start: an orthogonal matrix of any angle, a factor, and a shift in the units of the
        data. What is not given starts as no turn, as the ratio of the clouds' sizes (one where
        ``scale`` is off), and as what brings the centres together.
    settings
        How it is run.
    callback
        Called after each step with its number, the moved sources and σ².

    Returns
    -------
    The registration.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, a cloud has no extent, or a start makes no sense.
    """
    f = frame(x, y, standardise=settings.standardise, one_size=not scale)
    volume = log_volume(f.x)
    start = _rigid_start(f, rotation, size, shift, settings, scale=scale, reflect=reflect)
    if rotation is None and size is None and shift is None:
        start = _searched(f, start, settings, volume, scale=scale, reflect=reflect)
    return _register("rigid", f, start, _Rigid(scale, reflect), settings, volume, callback)


def affine(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    *,
    matrix: Float[np.ndarray, "d d"] | None = None,
    shift: Float[np.ndarray, " d"] | None = None,
    settings: Settings = Settings(),
    callback: Callback | None = None,
) -> Registration:
    """Bring sources onto targets by any matrix and a shift.

    Parameters
    ----------
    x, y
        Targets, which stay, and sources, which move.
    matrix, shift
        Where to start, in the units of the data; if not given, the ratio of the clouds' sizes, and
        what brings the centres together.
    settings, callback
        As in ``rigid``.

    Returns
    -------
    The registration.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, a cloud has no extent, or a start makes no sense.
    """
    f = frame(x, y, standardise=settings.standardise)
    volume, d = log_volume(f.x), f.x.shape[1]
    if matrix is not None and (np.shape(matrix) != (d, d) or not np.isfinite(matrix).all()):
        raise ValueError(f"matrix must be finite and of shape ({d}, {d})")
    first = np.eye(d) if matrix is None else np.asarray(matrix, np.float64) * f.size_y / f.size_x
    start = _start(f, first, shift, settings)
    if matrix is None and shift is None:
        start = _searched(f, start, settings, volume, scale=True, reflect=False)
    return _register("affine", f, start, _Affine(), settings, volume, callback)


@dataclass(frozen=True)
class _Rigid:
    """The maximisation of a rigid registration."""

    scale: bool
    reflect: bool

    @property
    def options(self) -> tuple[bool, bool, bool]:
        return True, self.scale, self.reflect

    def maximise(self, x: np.ndarray, y: np.ndarray, e: Expectation) -> State:
        step = rigid_step(x, y, e, scale=self.scale, reflect=self.reflect)
        return State(step.matrix, step.shift, step.sigma2)

    def project(self, matrix: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Give a map of the kind; sizes below a thousandth count as that."""
        turn = turned(near, matrix)
        return turn * (max(float((turn * matrix).sum()) / len(turn), 1e-3) if self.scale else 1.0)


@dataclass(frozen=True)
class _Affine:
    """The maximisation of an affine registration."""

    options = (False, True, True)

    def maximise(self, x: np.ndarray, y: np.ndarray, e: Expectation) -> State:
        step = affine_step(x, y, e)
        return State(step.matrix, step.shift, step.sigma2)

    def project(self, matrix: np.ndarray, _near: np.ndarray) -> np.ndarray:
        return matrix


def _rigid_start(
    f: Frame,
    rotation: np.ndarray | None,
    size: float | None,
    shift: np.ndarray | None,
    settings: Settings,
    *,
    scale: bool,
    reflect: bool,
) -> State:
    """Set up the first state of a rigid registration, and refuse what is none."""
    d = f.x.shape[1]
    turn = np.eye(d) if rotation is None else np.asarray(rotation, np.float64)
    if rotation is not None:
        if turn.shape != (d, d) or not np.allclose(turn.T @ turn, np.eye(d), atol=1e-6):
            raise ValueError(f"rotation must be orthogonal and of shape ({d}, {d})")
        if not reflect and np.linalg.det(turn) < 0:
            raise ValueError("rotation mirrors: give one of determinant 1, or reflect=True")
    if size is not None and not (size > 0 and math.isfinite(size)):
        raise ValueError(f"size must be above 0, not {size}")
    if size is not None and not scale and size != 1:
        raise ValueError("size must be 1 where scale is off")
    return _start(f, turn * (1.0 if size is None else size * f.size_y / f.size_x), shift, settings)


def _start(f: Frame, matrix: np.ndarray, shift: np.ndarray | None, settings: Settings) -> State:
    """Set up the first state in standardised units."""
    if shift is None:
        own = np.zeros(f.x.shape[1])
    else:
        if np.size(shift) != f.x.shape[1] or not np.isfinite(shift).all():
            raise ValueError(f"shift must be {f.x.shape[1]} finite numbers")
        own = (np.ravel(shift) - f.centre_x + f.centre_y @ matrix * f.size_x / f.size_y) / f.size_x
    if settings.sigma2 is not None:
        sigma2 = settings.sigma2 / f.size_x**2
    else:
        sigma2 = settings.start * start_sigma2(f.settled_x, f.settled_y @ matrix + own)
    return State(matrix, own, sigma2)


def _searched(
    f: Frame, start: State, settings: Settings, volume: float, *, scale: bool, reflect: bool
) -> State:
    """Try turns on a sample, and give the start that the likeliest leads to."""
    if not settings.search or not settings.standardise or settings.sigma2 is not None:
        return start
    draw = np.random.default_rng(settings.seed)
    clouds = f.settled_x, f.settled_y
    x, y = (points[draw.permutation(len(points))[: _cpd_turns.FINE]] for points in clouds)
    kind, d = _Rigid(scale, reflect), x.shape[1]
    few, others = x[: _cpd_turns.COARSE], y[: _cpd_turns.COARSE]
    spread = 0.1 if d <= 3 else 0.4
    dtype = settings.precision(spread, d)

    def of_squares(squares: np.ndarray) -> float:
        return likelihood(squares, d, spread, settings.outliers, log_volume=volume, dtype=dtype)

    if d <= 3:
        beside = _cpd_turns.alongside(x, y, reflect=reflect)
        tried = np.concatenate([_cpd_turns.evenly(d, reflect=reflect), beside])
        # All by some of the targets, and the best of them by all.
        for targets, kept in ((_cpd_turns.SKETCH, _cpd_turns.HOPEFUL), (len(few), len(tried))):
            scores = likelihoods(
                few[:targets], others, tried, spread, settings.outliers, log_volume=volume, dtype=dtype
            )
            tried = tried[np.argsort(-scores, kind="stable")[:kept]]
    else:
        tried = _cpd_turns.principal(x, y, (few, others), of_squares, reflect=reflect)[None]
    loop = _Loop(x, y, kind, settings, volume=volume, extent=1.0)

    spreads, (mean_x, mean_y) = start_sigma2(x - x.mean(axis=0), y - y.mean(axis=0)), (x.mean(0), y.mean(0))

    def follow(first: State, iterations: int) -> Outcome[State]:
        return loop.run(first, iterations, 1e-4)

    def begin(turn: np.ndarray) -> Outcome[State]:
        # σ² as by ``start_sigma2`` of turned sources, whose own spread a turn leaves as it is.
        between = mean_x - mean_y @ turn
        sigma2 = settings.start * (spreads + float(between @ between) / d)
        return follow(State(turn, start.shift, sigma2), _cpd_turns.BEGUN if d <= 3 else _cpd_turns.BEGUN_MANY)

    # All a few steps, and the best of them further: what many axes have not told soon they do not tell.
    begun = [begin(turn) for turn in _cpd_turns.apart(tried, _cpd_turns.FOLLOWED, math.radians(25))]
    begun.sort(key=_likelihood, reverse=True)
    ends = [begin(start.matrix).state, *(one.state for one in begun[: _cpd_turns.FINISHED])]
    further = min(max(settings.iterations // 4, 10), 50)
    own, *done = [follow(state, further) for state in ends]
    best = max([own, *done], key=_likelihood)
    if not _likelihood(best) > _likelihood(own) + _cpd_turns.MARGIN / len(x):
        best = own
    if not math.isfinite(_likelihood(best)):
        return start
    return State(best.state.matrix, best.state.shift, min(max(2 * best.state.sigma2, 1e-3), start.sigma2))


def _likelihood(end: Outcome[State]) -> float:
    return end.loglik[-1] if end.loglik and not end.reason.startswith("collapsed") else -math.inf


class _Loop:
    """Both clouds, a kind of map and settings, to be iterated from any start."""

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        kind: _Rigid | _Affine,
        settings: Settings,
        *,
        volume: float | None,
        extent: float,
    ) -> None:
        s, d, floor = settings, x.shape[1], FLOOR * extent**2
        answered = 0.0 if s.paper_outliers else 0.5
        self.settings, self.few = settings, None
        if s.block is None and s.device in (None, "cpu") and _cpd_few.possible(len(x), len(y), d):
            x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
            self.few = _cpd_few.Few(
                x, y, kind.options, s.outliers, volume, s.single(d), floor, extent, answered
            )

        def expect(moved: np.ndarray, sigma2: float) -> Expectation:
            return expectation(
                x, moved, sigma2, s.outliers, log_volume=volume, dtype=s.precision(sigma2 / extent**2, d),
                block=s.block, device=s.device,
            )  # fmt: skip

        self.problem = Problem(
            y, expect, lambda e: kind.maximise(x, y, e), kind.project, len(x), floor, extent, answered
        )

    def run(
        self,
        start: State,
        iterations: int,
        tolerance: float,
        callback: Callable[[int, State], object] | None = None,
    ) -> Outcome[State]:
        """Iterate from a start: with a few points in the compiled loop, else in Python's."""
        accelerate = self.settings.accelerate
        if self.few is not None and callback is None:
            found = self.few.run(start, iterations=iterations, tolerance=tolerance, accelerate=accelerate)
            if found is not None:
                return found
        with unthreaded():
            return run(
                self.problem, start, iterations=iterations, tolerance=tolerance, accelerate=accelerate,
                callback=callback,
            )  # fmt: skip


def _register(
    name: str,
    f: Frame,
    start: State,
    kind: _Rigid | _Affine,
    settings: Settings,
    volume: float,
    callback: Callback | None,
) -> Registration:
    """Run the loop and bring what it finds into the units of the data."""
    extent = 1.0 if settings.standardise else core(f.x, "x")[1]

    def tell(iteration: int, state: State) -> None:
        if callback is not None:
            callback(iteration, f.to_data(state.moved(f.y)), state.sigma2 * f.size_x**2)

    own = None if settings.paper_outliers else volume
    loop = _Loop(f.x, f.y, kind, settings, volume=own, extent=extent)
    done = loop.run(start, settings.iterations, settings.tolerance, None if callback is None else tell)
    matrix = done.state.matrix * (f.size_x / f.size_y)
    shift = f.to_data(done.state.shift) - f.centre_y @ matrix
    d = len(shift)
    rotation = nearest_rotation(matrix, reflect=True)
    if name == "rigid":
        scale = float((rotation * matrix).sum()) / d
    else:
        scale = math.exp(np.linalg.slogdet(matrix)[1] / d)
    return Registration(
        name, matrix, shift, scale, rotation, f.to_data(done.state.moved(f.y)),
        done.state.sigma2 * f.size_x**2, settings.outliers, len(done.sigma2), done.converged, done.reason,
        np.array(done.sigma2) * f.size_x**2, np.array(done.loglik) - d * math.log(f.size_x),
    )  # fmt: skip
