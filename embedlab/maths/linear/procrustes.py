"""Orthogonal Procrustes: the rotation, size and shift that bring one cloud of points onto another.

References
----------
.. [1] Schönemann, P. H. A generalized solution of the orthogonal Procrustes problem. Psychometrika
   31(1), 1966.
.. [2] Gower, J. C. and Dijksterhuis, G. B. Procrustes Problems. Oxford University Press, 2004.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from embedlab.maths.linear.span import basis_of


@dataclass(frozen=True)
class Procrustes:
    """A similarity map x ↦ scale · x · rotation + shift.

    Attributes
    ----------
    rotation
        Orthogonal, of shape (d, d); it may mirror.
    scale
        Above one where the second cloud is the wider one; never below zero.
    shift
        Of shape (d,).
    """

    rotation: Float[np.ndarray, "d d"]
    scale: float
    shift: Float[np.ndarray, " d"]

    def apply(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Map the rows of ``x``."""
        mapped: np.ndarray = self.scale * (x @ self.rotation) + self.shift
        return mapped


def fit(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"], *, scale: bool = True, shift: bool = True
) -> Procrustes:
    """Fit the map of least squares from ``a`` onto ``b``, row onto row: min ‖s·a·R + t − b‖².

    Parameters
    ----------
    a, b
        Matched rows.
    scale, shift
        Whether the map may change size (else s = 1) and place (else t = 0).

    Returns
    -------
    The map. Directions that the rows leave open, as fewer than d + 1 rows always do, are turned as
    little as they can be, so that the map is unique and says nothing of what it has not seen.

    Raises
    ------
    ValueError
        If the shapes differ, or there is no row.
    """
    if a.shape != b.shape or a.ndim != 2 or not len(a):
        raise ValueError(f"a and b must be matched rows of shape (n, d), not {a.shape} and {b.shape}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    none = np.zeros(a.shape[1])
    centre_a, centre_b = (a.mean(axis=0), b.mean(axis=0)) if shift else (none, none)
    centred, onto = a - centre_a, b - centre_b
    basis = basis_of(centred, onto)
    if basis is None:
        rotation, strength = _turn(centred, onto)
    else:
        # What is at right angles to all rows of both is not turned at all.
        turn, strength = _turn(centred @ basis, onto @ basis)
        rotation = basis @ (turn - np.eye(len(turn))) @ basis.T
        rotation[np.diag_indices_from(rotation)] += 1.0
    spread = float((centred**2).sum())
    size = strength / spread if scale and spread else 1.0
    return Procrustes(rotation, size, centre_b - size * (centre_a @ rotation))


def _turn(a: np.ndarray, b: np.ndarray) -> tuple[Float[np.ndarray, "d d"], float]:
    """Give the rotation of least squares, open directions turned least, and the sum of what it gains."""
    left, strengths, right = thin_svd(a.T @ b)
    known = strengths > strengths[0] * max(a.shape) * np.finfo(np.float64).eps
    rotation = left[:, known] @ right[known]
    if not known.all():
        outer, _, inner = thin_svd(left[:, ~known].T @ right[~known].T)
        rotation = rotation + left[:, ~known] @ outer @ inner @ right[~known]
    return rotation, float(strengths[known].sum())


def thin_svd(matrix: Float[np.ndarray, "m n"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take a matrix apart; by the slower of LAPACK's two ways where the faster does not converge."""
    from scipy.linalg import svd

    try:
        left, strengths, right = svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        left, strengths, right = svd(matrix, full_matrices=False, lapack_driver="gesvd")
    return left, strengths, right
