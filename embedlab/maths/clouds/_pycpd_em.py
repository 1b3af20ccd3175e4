"""What the three registrations of ``cpd_pycpd`` share: pycpd's loop over our expectation step."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from embedlab.errors import UserError
from embedlab.maths.clouds._expectation import expectation, start_sigma2
from embedlab.maths.products import unthreaded


class EMRegistration:
    """What the three registrations share.

    Attributes
    ----------
    X, Y, TY
        Targets (N, D), sources (M, D), and sources where they are now.
    N, M, D
        How many there are, and their dimensions.
    sigma2
        Variance of the mixture; at the start the mean over all pairs unless given.
    w
        Share of outliers, in [0, 1).
    max_iterations, tolerance
        It ends after so many iterations, or once ``diff`` is not above the tolerance.
    iteration, q, diff
        Iterations done, the objective, and the change that is held against the tolerance.
    P1, Pt1, PX, Np
        P·1 (M,), Pᵀ·1 (N,), P·X (M, D), and the sum of P.
    """

    def __init__(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        sigma2: float | None = None,
        max_iterations: float | None = None,
        tolerance: float | None = None,
        w: float | None = None,
    ) -> None:
        self.X, self.Y = _cloud(X, "target", "X"), _cloud(Y, "source", "Y")
        if self.X.shape[1] != self.Y.shape[1]:
            raise ValueError("Both point clouds need to have the same number of dimensions.")
        check_number("sigma2", sigma2, above=0)
        check_number("max_iterations", max_iterations, least=0)
        check_number("tolerance", tolerance, least=0)
        check_number("w", w, least=0, below=1)
        self.N, self.D = self.X.shape
        self.M = len(self.Y)
        self.TY = self.Y
        self.sigma2 = start_sigma2(self.X, self.Y) if sigma2 is None else float(sigma2)
        if self.sigma2 <= 0:
            raise UserError("all points of X and Y are one: there is nothing to register")
        self.tolerance = 0.001 if tolerance is None else float(tolerance)
        self.w = 0.0 if w is None else float(w)
        self.max_iterations = 100 if max_iterations is None else int(max_iterations)
        self.iteration = 0
        self.diff = self.q = np.inf
        self.P1, self.Pt1 = np.zeros(self.M), np.zeros(self.N)
        self.Np = 0.0
        # Sums of squares are taken about the middle of X, where they do not cancel.
        self._centre = self.X.mean(axis=0)
        self._x, self._y = self.X - self._centre, self.Y - self._centre
        self._px = np.zeros((self.M, self.D))
        self._least = np.finfo(np.float64).eps * self.sigma2
        # Products of the maximisation are small beside the expectation.
        self._small = True

    @property
    def P(self) -> np.ndarray:
        """The posterior of all pairs, which is never formed."""
        raise AttributeError("P is never formed: P1, Pt1, PX and Np hold its sums")

    @property
    def PX(self) -> np.ndarray:
        """P·X, of shape (M, D)."""
        moved: np.ndarray = self._px + self.P1[:, None] * self._centre
        return moved

    def register(
        self, callback: Callable[..., object] | None = lambda **_: None, **_: object
    ) -> tuple[np.ndarray, tuple[Any, ...]]:
        """Iterate to the end.

        Parameters
        ----------
        callback
            Called after each iteration as ``callback(iteration=, error=, X=, Y=)``: the number from
            1, the objective, the targets and the moved sources.

        Returns
        -------
        The moved sources, and what ``get_registration_parameters`` gives.
        """
        self.transform_point_cloud()
        while self.iteration < self.max_iterations and self.diff > self.tolerance:
            self.iterate()
            if callable(callback):
                callback(iteration=self.iteration, error=self.q, X=self.X, Y=self.TY)
        return self.TY, self.get_registration_parameters()

    def iterate(self) -> None:
        """Take one step of expectation and maximisation."""
        with unthreaded() if self._small else nullcontext():
            self.expectation()
            self.maximization()
        self.iteration += 1

    def expectation(self) -> None:
        """Share the targets out among the sources."""
        found = expectation(self._x, self.TY - self._centre, self.sigma2, self.w)
        self.P1, self.Pt1, self._px = found.p1, found.pt1, found.px
        self.Np = float(found.p1.sum())
        self._loglik = found.loglik
        if not self.Np > 0:
            raise UserError(
                f"no source reaches any target at sigma2 = {self.sigma2:.3g}: start with a larger sigma2, a "
                "smaller w, or clouds that lie nearer each other"
            )

    def maximization(self) -> None:
        """Find the map and the variance for the shares."""
        self.update_transform()
        self.transform_point_cloud()
        self.update_variance()

    def get_registration_parameters(self) -> tuple[Any, ...]:
        """Give the parameters of the map."""
        raise NotImplementedError

    def update_transform(self) -> None:
        """Find the map."""
        raise NotImplementedError

    def transform_point_cloud(self, Y: np.ndarray | None = None) -> np.ndarray | None:
        """Map ``Y`` of shape (k, D) and return it; without it, move the sources to ``TY``."""
        raise NotImplementedError

    def update_variance(self) -> None:
        """Find the variance, and how far things have changed."""
        raise NotImplementedError

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Set X_hat and A; return the weighted means of both clouds and the sources about theirs."""
        mu_x, mu_y = self._px.sum(axis=0) / self.Np, self.P1 @ self._y / self.Np
        self.X_hat = self._x - mu_x
        about = self._y - mu_y
        self.A = (self._px - self.P1[:, None] * mu_x).T @ about
        return mu_x + self._centre, mu_y + self._centre, about

    def _settle(self, rest: float, variance: float) -> None:
        """Take the objective from the weighted squared residual, and then the new variance."""
        before = self.q
        self.q = rest / (2 * self.sigma2) + self.D * self.Np / 2 * np.log(self.sigma2)
        self.diff = abs(self.q - before)
        self._vary(variance)

    def _vary(self, variance: float) -> None:
        # As pycpd: rounding may bring the variance of clouds that coincide to zero or below.
        self.sigma2 = variance if variance > 0 else max(self.tolerance / 10, self._least)

    def _spread(self) -> float:
        return float(self.Pt1 @ (self.X_hat**2).sum(axis=1))


def _cloud(points: Any, role: str, name: str) -> np.ndarray:
    if not isinstance(points, np.ndarray) or points.ndim != 2 or not points.size:
        raise ValueError(f"The {role} point cloud ({name}) must be a 2D numpy array.")
    if not np.isfinite(points).all():
        raise ValueError(f"The {role} point cloud ({name}) holds numbers that are not finite.")
    return np.asarray(points, np.float64)


def check_number(
    name: str, value: Any, *, least: float = -np.inf, above: float = -np.inf, below: float = np.inf
) -> None:
    """Refuse what is no number in its range; None stands for the default."""
    if value is not None and not (
        isinstance(value, (int, float, np.integer, np.floating)) and least <= value < below and value > above
    ):
        bounds = ((">= ", least), ("> ", above), ("< ", below))
        asked = " and ".join(f"{sign}{bound}" for sign, bound in bounds if np.isfinite(bound))
        raise ValueError(f"{name} must be a number {asked}, not {value!r}")
