"""Coherent motion of points: the Gaussian kernel G of a cloud, and the smooth drift it allows.

The drift of the points is G·W, with (d(P1)·G + λI)·W = PX − d(P1)·Y as in [1]_. Solved as it stands
that takes a general m×m system. Here G = Φ·Φᵀ wherever Φ is markedly narrower than G, and the drift is
Φ·a with (Φᵀ·d(P1)·Φ + λI)·a = Φᵀ·(PX − d(P1)·Y), a ridge regression in as many unknowns as Φ has
columns. A Gaussian kernel over few dimensions has so few columns *to rounding*, found by a Cholesky
factorisation with pivots; else the system is solved in its symmetric form. Where fewer columns are
asked for, Φ comes from a randomised Nyström factorisation [2]_ that never holds G.

References
----------
.. [1] Myronenko, A. and Song, X. Point Set Registration: Coherent Point Drift. IEEE TPAMI 32(12),
   2010, eqs. 20-23.
.. [2] Halko, N., Martinsson, P.-G. and Tropp, J. A. Finding structure with randomness: probabilistic
   algorithms for constructing approximate matrix decompositions. SIAM Review 53(2), 2011, section 5.4.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from embedlab.errors import UserError

LARGEST = 8_000
"""So many points may have a kernel matrix of their own: 0.5 GB, and as much again to work in."""

_ROUNDING = 1e-14
_SPARE = 10
_SEED = 0


@dataclass(frozen=True)
class Drift:
    """How the points of a cloud move.

    Attributes
    ----------
    steps
        The drift of each point, of shape (m, d).
    weights
        W of shape (m, d): the drift anywhere is the kernel to the points, times W.
    energy
        tr(Wᵀ·G·W), which the regularisation keeps small.
    """

    steps: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, "m d"]
    energy: float


class Coherence(Protocol):
    """A cloud's kernel, ready to be solved with."""

    def drift(self, p1: Float[np.ndarray, " m"], pull: Float[np.ndarray, "m d"], penalty: float) -> Drift:
        """Find the drift for the weights P1, the pull PX − d(P1)·Y, and λ = ασ²."""


@dataclass(frozen=True)
class Factored:
    """G = Φ·Φᵀ.

    Attributes
    ----------
    factor
        Φ, of shape (m, r).
    lift
        Of shape (m, r) with G·lift = Φ, where Φ holds G's leading part only; else None.
    """

    factor: Float[np.ndarray, "m r"]
    lift: Float[np.ndarray, "m r"] | None = None

    def drift(self, p1: Float[np.ndarray, " m"], pull: Float[np.ndarray, "m d"], penalty: float) -> Drift:
        """Find the drift; see `Coherence`."""
        from scipy.linalg import cho_factor, cho_solve

        penalty = _least(penalty, p1)
        weighted = self.factor * p1[:, None]
        system = weighted.T @ self.factor
        system[np.diag_indices_from(system)] += penalty
        solved = cho_factor(system, overwrite_a=True, check_finite=False)
        a = cho_solve(solved, self.factor.T @ pull, check_finite=False)
        weights = (pull - weighted @ a) / penalty if self.lift is None else self.lift @ a
        return Drift(self.factor @ a, weights, float((a**2).sum()))


@dataclass(frozen=True)
class Dense:
    """G whole.

    Attributes
    ----------
    gram
        Of shape (m, m); only its upper triangle is read.
    room
        As large, to work in.
    """

    gram: Float[np.ndarray, "m m"]
    room: Float[np.ndarray, "m m"]

    def drift(self, p1: Float[np.ndarray, " m"], pull: Float[np.ndarray, "m d"], penalty: float) -> Drift:
        """Find the drift; see `Coherence`."""
        from scipy.linalg import blas, cho_factor, cho_solve

        penalty = _least(penalty, p1)
        # W = s·V with s = √P1 makes the system symmetric: (s·G·s + λI)·V = pull / s.
        root = np.sqrt(p1)
        np.multiply(self.gram, root, out=self.room)
        np.multiply(self.room, root[:, None], out=self.room)
        self.room[np.diag_indices_from(self.room)] += penalty
        solved = cho_factor(self.room, lower=False, overwrite_a=True, check_finite=False)
        scaled = np.divide(pull, root[:, None], out=np.zeros_like(pull), where=root[:, None] > 0)
        weights = root[:, None] * cho_solve(solved, scaled, check_finite=False)
        steps = np.ascontiguousarray(blas.dsymm(1.0, self.gram, weights, lower=0))
        return Drift(steps, weights, float((weights * steps).sum()))


def _least(penalty: float, p1: Float[np.ndarray, " m"]) -> float:
    """Keep λ where the system is positive definite in spite of rounding."""
    return max(penalty, 4 * np.finfo(np.float64).eps * len(p1) * float(p1.max()), np.finfo(np.float64).tiny)


def full(points: Float[np.ndarray, "m d"], beta: float, *, instead: str = "a rank") -> Factored | Dense:
    """Take the kernel of ``points`` as it is, to rounding.

    Raises
    ------
    UserError
        If there are more than `LARGEST` points; it says to give ``instead``.
    """
    from scipy.linalg.lapack import dpstrf

    m = len(points)
    if m > LARGEST:
        raise UserError(
            f"the whole kernel of {m:,} points would take {16e-9 * m * m:.1f} GB, more than that of "
            f"{LARGEST:,} points: give {instead}"
        )
    gram = np.empty((m, m), order="F")
    kernel(points, points, beta, out=gram.T)
    # LAPACK works in the lower triangle and leaves the upper one alone.
    gram, pivots, rank, _ = dpstrf(gram, tol=_ROUNDING, lower=1, overwrite_a=1)
    if rank > m // 2:
        gram[np.diag_indices_from(gram)] = 1.0
        return Dense(gram, np.empty_like(gram))
    factor = np.empty((m, rank))
    factor[pivots - 1] = np.tril(gram[:, :rank])
    return Factored(factor)


def low_rank(points: Float[np.ndarray, "m d"], beta: float, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the leading eigenvectors and eigenvalues of the kernel of ``points``, by sketching.

    Two passes over the kernel, a block at a time: one in single precision finds the range, the other
    acts on it. The sketch is drawn from a fixed seed.

    Returns
    -------
    Eigenvectors of shape (m, r) and eigenvalues of shape (r,), falling; r is ``rank``, or fewer where
    the kernel has no more to rounding.
    """
    from scipy.linalg import cholesky, eigh, qr, solve_triangular

    m = len(points)
    width = min(rank + _SPARE, m)
    sketch = np.random.default_rng(_SEED).standard_normal((m, width)).astype(np.float32)
    basis = qr(product(points, points, beta, sketch).astype(np.float64), mode="economic", overwrite_a=True)[0]
    acted = product(points, points, beta, basis)
    shift = np.finfo(np.float64).eps * np.linalg.norm(acted)
    acted += shift * basis
    inner = basis.T @ acted
    half = cholesky((inner + inner.T) / 2, lower=True)
    acted = solve_triangular(half, acted.T, lower=True, check_finite=False).T
    values, vectors = eigh(acted.T @ acted)
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    kept = values > 10 * shift
    return acted @ (vectors[:, kept] / np.sqrt(values[kept])), values[kept] - shift


def reduced(points: Float[np.ndarray, "m d"], beta: float, rank: int) -> Factored:
    """Take the leading part of the kernel of ``points``; see `low_rank`."""
    vectors, values = low_rank(points, beta, rank)
    roots = np.sqrt(values)
    return Factored(vectors * roots, vectors / roots)


def kernel(
    a: Float[np.ndarray, "k d"],
    b: Float[np.ndarray, "m d"],
    beta: float,
    *,
    out: Float[np.ndarray, "k m"],
) -> None:
    """Write exp(−‖a − b‖² / 2β²) for all pairs into ``out``, whose dtype it is computed in."""
    from embedlab.maths.clouds._coherence_loops import powers

    left, right = _lifted(a, b, beta, out.dtype)
    rows = _rows(len(b), out.dtype)
    for first in range(0, len(a), rows):
        block = out[first : first + rows]
        np.matmul(left[first : first + rows], right, out=block)
        powers(block)


def product(
    a: Float[np.ndarray, "k d"], b: Float[np.ndarray, "m d"], beta: float, weights: Float[np.ndarray, "m c"]
) -> Float[np.ndarray, "k c"]:
    """Multiply the kernel between two clouds by weights, without ever holding it; in their dtype."""
    from embedlab.maths.clouds._coherence_loops import powers

    left, right = _lifted(a, b, beta, weights.dtype)
    rows = min(_rows(len(b), weights.dtype), len(a))
    block = np.empty((rows, len(b)), weights.dtype)
    found = np.empty((len(a), weights.shape[1]), weights.dtype)
    for first in range(0, len(a), rows):
        own = block[: len(a) - first]
        np.matmul(left[first : first + rows], right, out=own)
        powers(own)
        np.matmul(own, weights, out=found[first : first + rows])
    return found


def _rows(columns: int, dtype: DTypeLike) -> int:
    return max(16, (1 << 22) // (columns * np.dtype(dtype).itemsize))


def _lifted(a: np.ndarray, b: np.ndarray, beta: float, dtype: DTypeLike) -> tuple[np.ndarray, np.ndarray]:
    """Write −‖a − b‖² / 2β², as a power of two, as one matrix product; about the middle of ``b``."""
    centre, unit = b.mean(axis=0), np.sqrt(np.log2(np.e)) / beta
    a, b = (a - centre) * unit, (b - centre) * unit
    ones = np.ones((max(len(a), len(b)), 1))
    left = np.hstack([a, (a**2).sum(axis=1, keepdims=True), ones[: len(a)]])
    right = np.hstack([b, -0.5 * ones[: len(b)], -0.5 * (b**2).sum(axis=1, keepdims=True)])
    return left.astype(dtype), np.ascontiguousarray(right.T.astype(dtype))
