"""Coherent Point Drift under pycpd's names: change the import, and nothing else.

``RigidRegistration``, ``AffineRegistration`` and ``DeformableRegistration`` take pycpd's keywords, run
the algorithm that pycpd runs [2]_ from the same start to the same end, and leave the same attributes
behind: iterates agree with pycpd's to rounding. The expectation step is embedlab's, a tenth to a
hundredth of the time and no array of all pairs.

Where they differ from pycpd 2.0.0, on purpose:

- ``P`` is never formed; ``P1``, ``Pt1``, ``PX`` and ``Np`` are there.
- A target far from every source keeps its share where pycpd's kernel underflows and drops it.
- Rigid registration works in any number of dimensions, and starts from any rotation, those by 120° and
  180° too. ``scale=False`` keeps the size, with the σ² that goes with it.
- The affine objective is the paper's, tr(Bᵀ·YPY·B), so that affine registration stops where that comes
  to rest, which is mostly earlier.
- Deformable registration maps new points by the kernel to the old ones; ``low_rank`` and ``num_eig``
  work as in pycpd's repository, without an eigendecomposition of the whole kernel. Its objective ``q``
  is the paper's, where pycpd reports infinity.
- Deformable registration still stops by the change of σ² in square units of the data, as pycpd does;
  where the tolerance is above σ² from the start, and nothing would move, it warns.

For new work see `embedlab.maths.clouds.cpd` and `cpd_deformable` beside it: their settings mean the same
in every unit, they say why they stopped, and they need fewer iterations.

References
----------
.. [1] Myronenko, A. and Song, X. Point Set Registration: Coherent Point Drift. IEEE TPAMI 32(12), 2010.
.. [2] Khallaghi, S. pycpd: pure numpy implementation of the Coherent Point Drift algorithm. 2017.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from embedlab.errors import UserError
from embedlab.maths.clouds import _coherence
from embedlab.maths.clouds._pycpd_em import EMRegistration, check_number


class RigidRegistration(EMRegistration):
    """Turn, scale and shift Y onto X: TY = s·Y·R + t, in any number of dimensions.

    Parameters
    ----------
    R, t, s
        Where to start: a matrix (D, D) of positive determinant, a shift (1, D) and a positive scale;
        without them at rest.
    scale
        Whether the scale is found; if not it stays ``s``.
    **kwargs
        X, Y, sigma2, max_iterations, tolerance and w; see `EMRegistration`.
    """

    def __init__(
        self,
        R: np.ndarray | None = None,
        t: np.ndarray | None = None,
        s: float | None = None,
        scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_number("s", s, above=0)
        self.R = np.eye(self.D) if R is None else _matrix(R, "R", self.D)
        if np.linalg.det(self.R) < 0:
            raise ValueError("R mirrors: its determinant must be positive")
        self.t = _shift(t, self.D)
        self.s = 1.0 if s is None else float(s)
        self.scale = scale

    def update_transform(self) -> None:
        """Find the rotation, the scale and the shift; fig. 2 of [1]_."""
        mu_x, mu_y, about = self._moments()
        self.YPY = float(self.P1 @ (about**2).sum(axis=1))
        left, _, right = np.linalg.svd(self.A)
        left[:, -1] *= np.sign(np.linalg.det(left @ right))
        self.R = (left @ right).T
        if self.scale:
            self.s = float((self.A.T * self.R).sum()) / self.YPY
        self.t = mu_x - self.s * (mu_y @ self.R)

    def transform_point_cloud(self, Y: np.ndarray | None = None) -> np.ndarray | None:
        """Map ``Y`` of shape (k, D) and return it; without it, move the sources to ``TY``."""
        moved: np.ndarray = self.s * ((self.Y if Y is None else Y) @ self.R) + self.t
        if Y is not None:
            return moved
        self.TY = moved
        return None

    def update_variance(self) -> None:
        """Find the variance; fig. 2 of [1]_, for a scale that is found or kept."""
        spread, turned = self._spread(), self.s * float((self.A.T * self.R).sum())
        rest = spread - 2 * turned + self.s**2 * self.YPY
        self._settle(rest, (spread - turned if self.scale else rest) / (self.Np * self.D))

    def get_registration_parameters(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Give scale, rotation and shift."""
        return self.s, self.R, self.t


class AffineRegistration(EMRegistration):
    """Map Y onto X by any matrix and a shift: TY = Y·B + t.

    Parameters
    ----------
    B, t
        Where to start: an invertible matrix (D, D) and a shift (1, D); without them at rest.
    **kwargs
        X, Y, sigma2, max_iterations, tolerance and w; see `EMRegistration`.
    """

    def __init__(self, B: np.ndarray | None = None, t: np.ndarray | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.B = np.eye(self.D) if B is None else _matrix(B, "B", self.D)
        self.t = _shift(t, self.D)

    def update_transform(self) -> None:
        """Find the matrix and the shift; fig. 3 of [1]_."""
        mu_x, mu_y, about = self._moments()
        self.YPY = (about * self.P1[:, None]).T @ about
        try:
            self.B = np.linalg.solve(self.YPY, self.A.T)
        except np.linalg.LinAlgError:
            raise UserError(
                f"Y lies in fewer than its {self.D} dimensions, where no affine map is the best one: "
                "register rigidly, or leave dimensions out"
            ) from None
        self.t = mu_x - mu_y @ self.B

    def transform_point_cloud(self, Y: np.ndarray | None = None) -> np.ndarray | None:
        """Map ``Y`` of shape (k, D) and return it; without it, move the sources to ``TY``."""
        moved: np.ndarray = (self.Y if Y is None else Y) @ self.B + self.t
        if Y is not None:
            return moved
        self.TY = moved
        return None

    def update_variance(self) -> None:
        """Find the variance; fig. 3 of [1]_."""
        spread, turned = self._spread(), float((self.A.T * self.B).sum())
        size = float((self.B * (self.YPY @ self.B)).sum())
        self._settle(spread - 2 * turned + size, (spread - turned) / (self.Np * self.D))

    def get_registration_parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Give matrix and shift."""
        return self.B, self.t


class DeformableRegistration(EMRegistration):
    """Move Y onto X by a smooth field: TY = Y + G·W.

    Parameters
    ----------
    alpha, beta
        How much smoothness weighs, and the width of the kernel in units of the data.
    low_rank, num_eig
        Whether only so many leading eigenvectors of G are used; ``Q`` (M, num_eig) and the diagonal
        ``S`` then hold them, and G is not formed until it is asked for.
    **kwargs
        X, Y, sigma2, max_iterations, tolerance and w; see `EMRegistration`.

    Raises
    ------
    UserError
        If there are more than `embedlab.maths.clouds._coherence.LARGEST` sources, and not ``low_rank``.
    """

    def __init__(
        self,
        alpha: float | None = None,
        beta: float | None = None,
        low_rank: bool = False,
        num_eig: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_number("alpha", alpha, above=0)
        check_number("beta", beta, above=0)
        self.alpha = 2.0 if alpha is None else float(alpha)
        self.beta = 2.0 if beta is None else float(beta)
        self.low_rank, self.num_eig = low_rank, num_eig
        self._small = low_rank
        self.W = np.zeros((self.M, self.D))
        self._steps = np.zeros((self.M, self.D))
        self._energy = 0.0
        self._coherence: _coherence.Coherence
        if low_rank:
            self.Q, values = _coherence.low_rank(self._y, self.beta, num_eig)
            self.S, self.inv_S = np.diag(values), np.diag(1 / values)
            roots = np.sqrt(values)
            self._coherence = _coherence.Factored(self.Q * roots, self.Q / roots)
        else:
            self._coherence = _coherence.full(self._y, self.beta, instead="low_rank=True")

    @property
    def G(self) -> np.ndarray:
        """The kernel of the sources, of shape (M, M), made when it is asked for."""
        whole = np.empty((self.M, self.M))
        _coherence.kernel(self._y, self._y, self.beta, out=whole)
        return whole

    def register(
        self, callback: Callable[..., object] | None = lambda **_: None, **kwargs: object
    ) -> tuple[np.ndarray, tuple[Any, ...]]:
        """Iterate to the end; see `EMRegistration.register`."""
        if self.tolerance >= self.sigma2:
            warnings.warn(
                f"the tolerance {self.tolerance:g} is above sigma2 = {self.sigma2:.3g}, which stops this "
                "at once: give a smaller tolerance, or points in larger units",
                RuntimeWarning,
                stacklevel=2,
            )
        return super().register(callback, **kwargs)

    def update_transform(self) -> None:
        """Find the weights of the kernel; eq. 22 of [1]_."""
        pull = self._px - self.P1[:, None] * self._y
        drift = self._coherence.drift(self.P1, pull, self.alpha * self.sigma2)
        self.W, self._steps, self._energy = drift.weights, drift.steps, drift.energy

    def transform_point_cloud(self, Y: np.ndarray | None = None) -> np.ndarray | None:
        """Map ``Y`` of shape (k, D) and return it; without it, move the sources to ``TY``."""
        if Y is not None:
            moved: np.ndarray = Y + _coherence.product(Y - self._centre, self._y, self.beta, self.W)
            return moved
        self.TY = self.Y + self._steps
        return None

    def update_variance(self) -> None:
        """Find the variance; eq. 23 of [1]_."""
        before, here = self.sigma2, self.TY - self._centre
        self.q = self.alpha / 2 * self._energy - self._loglik
        rest = self.Pt1 @ (self._x**2).sum(axis=1) + self.P1 @ (here**2).sum(axis=1)
        self._vary(float(rest - 2 * (here * self._px).sum()) / (self.Np * self.D))
        self.diff = abs(self.sigma2 - before)

    def get_registration_parameters(self) -> tuple[Any, np.ndarray]:
        """Give G, or with ``low_rank`` the pair (Q, S) in its place, and W."""
        return ((self.Q, self.S) if self.low_rank else self.G), self.W


def _matrix(given: np.ndarray, name: str, d: int) -> np.ndarray:
    given = np.asarray(given, np.float64)
    if given.shape != (d, d) or not np.isfinite(given).all() or not abs(np.linalg.det(given)) > 0:
        raise ValueError(f"{name} must be an invertible matrix of shape ({d}, {d}), not {given}")
    return given


def _shift(given: np.ndarray | None, d: int) -> np.ndarray:
    shift = np.zeros((1, d)) if given is None else np.asarray(given, np.float64)
    if shift.shape not in ((1, d), (d,)) or not np.isfinite(shift).all():
        raise ValueError(f"t must be a shift of shape (1, {d}), not {given}")
    return shift
