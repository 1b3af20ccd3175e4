"""One door to Coherent Point Drift: the kind of map, and whose engine fits it.

References
----------
.. [1] Myronenko, A. and Song, X. Point Set Registration: Coherent Point Drift. IEEE TPAMI 32(12), 2010.
.. [2] Khallaghi, S. pycpd: pure numpy implementation of the Coherent Point Drift algorithm. 2017.
"""

import math
import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from embedlab.errors import UserError, first_line
from embedlab.maths.clouds._expectation import expectation
from embedlab.maths.clouds.cpd import Callback, Registration, Settings, affine, log_volume, rigid
from embedlab.maths.clouds.cpd_deformable import Common, Deformation, deformable
from embedlab.maths.clouds.cpd_steps import nearest_rotation

Kind = Literal["rigid", "similarity", "affine", "deformable"]
Engine = Literal["embedlab", "pycpd"]

PYCPD_BYTES = 6e9
"""What pycpd may take for its arrays of all pairs."""

_DEFAULTS = Settings()


def register(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    kind: Kind,
    *,
    engine: Engine = "embedlab",
    settings: Settings = _DEFAULTS,
    alpha: float = 2.0,
    beta: float = 2.0,
    rank: int | None = None,
    callback: Callback | None = None,
) -> Registration:
    """Move the cloud ``y`` onto the cloud ``x``, without knowing which point belongs to which.

    Parameters
    ----------
    x
        The fixed cloud, of shape (n, d).
    y
        The cloud that moves, of shape (m, d).
    kind
        ``rigid`` turns and shifts, ``similarity`` also changes the size, ``affine`` is any linear
        map with a shift, ``deformable`` any smooth field of displacements.
    engine
        ``embedlab``, or ``pycpd`` to let that package fit, with its own start and stopping rule; the
        clouds are standardised for it as for ``deformable``, so that alpha and beta mean the same.
    settings
        How it is run. Of it, pycpd knows ``outliers``, ``iterations``, ``sigma2`` and ``standardise``.
    alpha, beta, rank
        For ``deformable``: see `embedlab.maths.clouds.cpd_deformable.deformable`.
    callback
        Called after each iteration with its number (from 1), the moved cloud and σ².

    Returns
    -------
    The registration; its ``transform`` maps new points.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, a cloud has no extent, or a setting makes no sense.
    UserError
        If there are too many points for what is asked for, or pycpd is missing, has no such map, or
        fails.
    """
    if engine == "pycpd":
        return _pycpd(x, y, kind, settings, alpha, beta, rank, callback)
    if kind == "deformable":
        return deformable(x, y, alpha=alpha, beta=beta, rank=rank, settings=settings, callback=callback)
    if kind == "affine":
        return affine(x, y, settings=settings, callback=callback)
    found = rigid(x, y, scale=kind == "similarity", settings=settings, callback=callback)
    return replace(found, kind=kind)


def _pycpd(
    x: np.ndarray,
    y: np.ndarray,
    kind: Kind,
    settings: Settings,
    alpha: float,
    beta: float,
    rank: int | None,
    callback: Callback | None,
) -> Registration:
    """Let pycpd fit, and bring what it leaves behind into our terms."""
    clouds = Common.of(x, y, standardise=settings.standardise)
    _possible(clouds, kind, rank)
    package = _package()
    unit, d = clouds.unit, clouds.x.shape[1]
    volume = log_volume(clouds.x)
    sigma2: list[float] = []
    loglik: list[float] = []
    common = {"X": clouds.x, "Y": clouds.y, "w": settings.outliers, "max_iterations": settings.iterations}
    if settings.sigma2 is not None:
        common["sigma2"] = settings.sigma2 / unit**2
    with np.errstate(all="ignore"):
        if kind == "deformable":
            fit = package.DeformableRegistration(alpha=alpha, beta=beta, **common)
        else:
            fit = getattr(package, {"affine": "AffineRegistration"}.get(kind, "RigidRegistration"))(**common)
        last = (np.array(fit.TY), float(fit.sigma2))

        def tell(**_: object) -> None:
            nonlocal last
            sigma2.append(float(fit.sigma2) * unit**2)
            moved, variance = last
            loglik.append(
                expectation(clouds.x, moved, variance, settings.outliers, log_volume=volume).loglik / len(x)
            )
            last = (np.array(fit.TY), float(fit.sigma2))
            if callback is not None:
                callback(int(fit.iteration), clouds.to_data(last[0]), sigma2[-1])

        try:
            fit.register(tell)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise UserError(
                f"pycpd gave up after {fit.iteration} iterations ({first_line(error)}): use engine='embedlab'"
            ) from error
    converged = bool(fit.diff <= fit.tolerance)
    reason = "pycpd's change is below its tolerance" if converged else "the limit of iterations was reached"
    ended = {
        "moved": clouds.to_data(fit.TY), "sigma2": float(fit.sigma2) * unit**2, "outliers": settings.outliers,
        "iterations": int(fit.iteration), "converged": converged, "reason": reason,
        "trace_sigma2": np.array(sigma2), "trace_loglik": np.array(loglik) - d * math.log(unit),
    }  # fmt: skip
    if kind == "deformable":
        shift = clouds.centre_x - clouds.centre_y
        return Deformation(
            kind, np.eye(d), shift, 1.0, np.eye(d), sources=np.asarray(y, np.float64),
            weights=fit.W * unit, width=beta * unit, **ended,
        )  # fmt: skip
    matrix = fit.B if kind == "affine" else fit.s * fit.R
    shift = np.ravel(fit.t) * unit + clouds.centre_x - clouds.centre_y @ matrix
    scale = math.exp(np.linalg.slogdet(matrix)[1] / d)
    return Registration(kind, matrix, shift, scale, nearest_rotation(matrix, reflect=True), **ended)


def _possible(clouds: Common, kind: Kind, rank: int | None) -> None:
    """Refuse what pycpd cannot do."""
    (n, d), m = clouds.x.shape, len(clouds.y)
    if kind == "rigid":
        raise UserError("pycpd always fits a scale: use kind='similarity' or engine='embedlab'")
    if kind == "similarity" and d > 3:
        raise UserError(f"pycpd turns points in 2 or 3 dimensions, not {d}: use engine='embedlab'")
    if rank is not None and kind == "deformable":
        raise UserError("pycpd has no low rank: give rank=None or engine='embedlab'")
    size = 16.0 * d * m * (2 * m if kind == "deformable" else n)
    if size > PYCPD_BYTES:
        raise UserError(
            f"pycpd would take {size / 1e9:.0f} GB for all pairs of {n:,} and {m:,} points: give fewer "
            "points, or engine='embedlab'"
        )


def _package() -> Any:
    """Import pycpd, whose sources today's Python warns of."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            import pycpd
    except ImportError:
        raise UserError("pycpd is not installed: pip install pycpd, or use engine='embedlab'") from None
    return pycpd
