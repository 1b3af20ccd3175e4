"""The closed-form maximisation steps of Coherent Point Drift: the best map for a given posterior.

References
----------
.. [1] Myronenko, A. and Song, X. Point set registration: Coherent Point Drift. IEEE TPAMI 32(12),
   2010, arXiv:0905.2635, figs. 2 and 3.
.. [2] Umeyama, S. Least-squares estimation of transformation parameters between two point patterns.
   IEEE TPAMI 13(4), 1991.
.. [3] Wen, Z. and Yin, W. A feasible method for optimization with orthogonality constraints.
   Mathematical Programming 142, 2013.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from embedlab.maths.clouds._expectation import Expectation


@dataclass(frozen=True)
class Step:
    """The map ``points @ matrix + shift`` of least weighted squares, and what it leaves.

    Attributes
    ----------
    matrix, shift
        Of shape (d, d) and (d,).
    scale, rotation
        ``matrix`` is their product where rigid; where affine, 1 and ``matrix``.
    residual
        Σ P ‖x − y·matrix − shift‖² over all pairs.
    weight
        Σ P, the number of targets that are answered for.
    sigma2
        residual / (d · weight); may come out at or a rounding below zero.
    """

    matrix: Float[np.ndarray, "d d"]
    shift: Float[np.ndarray, " d"]
    scale: float
    rotation: Float[np.ndarray, "d d"]
    residual: float
    weight: float
    sigma2: float


Maximise = Callable[[np.ndarray, np.ndarray, Expectation], Step]


def rigid_step(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    e: Expectation,
    *,
    scale: bool = True,
    reflect: bool = False,
) -> Step:
    """Find the rotation, shift and, where asked to, scale of least weighted squares.

    Parameters
    ----------
    x, y
        Targets, and sources before any map.
    e
        The posterior.
    scale
        Whether size may change, else it is one.
    reflect
        Whether the rotation may mirror.

    Returns
    -------
    The step. Directions that the points leave open are turned as little as they can be.
    """
    weight, mean_x, mean_y, cross = _moments(y, e)
    spread_x, spread_y = _spread(x, mean_x, e.pt1), _spread(y, mean_y, e.p1)
    rotation, agreement = _turn(cross, reflect=reflect)
    size = agreement / spread_y if scale else 1.0
    residual = spread_x - 2 * size * agreement + size**2 * spread_y
    matrix = size * rotation
    return _step(matrix, mean_x - mean_y @ matrix, size, rotation, residual, weight)


def affine_step(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], e: Expectation) -> Step:
    """Find the matrix and shift of least weighted squares.

    Directions in which the sources do not extend are left as they are.
    """
    weight, mean_x, mean_y, cross = _moments(y, e)
    spread_x = _spread(x, mean_x, e.pt1)
    centred = y - mean_y
    gram = centred.T @ (centred * e.p1[:, None])
    strengths, axes = np.linalg.eigh(gram)
    known = strengths > strengths[-1] * len(gram) * np.finfo(np.float64).eps
    flat = axes[:, ~known]
    if known.all():
        matrix = np.linalg.solve(gram, cross)
    else:
        matrix = (axes[:, known] / strengths[known]) @ (axes[:, known].T @ cross) + flat @ flat.T
    residual = spread_x - 2 * float((matrix * cross).sum()) + float((matrix * (gram @ matrix)).sum())
    return _step(matrix, mean_x - mean_y @ matrix, 1.0, matrix, residual, weight)


def nearest_rotation(matrix: Float[np.ndarray, "d d"], *, reflect: bool = False) -> Float[np.ndarray, "d d"]:
    """Give the rotation nearest to a matrix in the sense of least squares."""
    return _turn(matrix, reflect=reflect)[0]


def turned(near: Float[np.ndarray, "d d"], towards: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Turn a rotation towards a matrix, by Cayley's map [3]_: for a small way to the rotation nearest to it.

    Parameters
    ----------
    near
        A rotation times a size.
    towards
        Any matrix.

    Returns
    -------
    A rotation that mirrors where ``near`` does. It takes one linear system, a quarter of the time of a
    singular value decomposition, and a direction that both leave open does not hang on rounding.
    """
    size = np.linalg.norm(near) / np.sqrt(len(near))
    way = near.T @ towards / (4 * size**2)
    way -= way.T.copy()
    onward = -way
    for one in (way, onward):
        one[np.diag_indices_from(one)] += 1.0
    found: np.ndarray = near @ np.linalg.solve(onward, way) / size
    return found


def _moments(y: np.ndarray, e: Expectation) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Give the weight, both weighted means and the cross moment about them, of shape (d, d)."""
    weight = float(e.p1.sum())
    mean_x, mean_y = e.px.sum(axis=0) / weight, e.p1 @ y / weight
    return weight, mean_x, mean_y, (y - mean_y).T @ (e.px - e.p1[:, None] * mean_x)


def _spread(points: np.ndarray, mean: np.ndarray, weights: np.ndarray) -> float:
    return float((weights @ (points - mean) ** 2).sum())


def _turn(cross: np.ndarray, *, reflect: bool) -> tuple[np.ndarray, float]:
    """Find the rotation R of greatest Σ R∘cross, and that sum."""
    left, strengths, right = np.linalg.svd(cross)
    known = strengths > strengths[0] * len(cross) * np.finfo(np.float64).eps
    if not known.all():
        # What the points leave open: turn it least.
        outer, _, inner = np.linalg.svd(left[:, ~known].T @ right[~known].T)
        left[:, ~known] = left[:, ~known] @ outer
        right[~known] = inner @ right[~known]
    if not reflect and np.linalg.det(left @ right) < 0:
        left[:, -1] *= -1
        strengths[-1] *= -1
    return left @ right, float(strengths.sum())


def _step(
    matrix: np.ndarray, shift: np.ndarray, scale: float, rotation: np.ndarray, residual: float, weight: float
) -> Step:
    sigma2 = residual / (weight * len(shift))
    return Step(matrix, shift, scale, rotation, residual, weight, sigma2)
