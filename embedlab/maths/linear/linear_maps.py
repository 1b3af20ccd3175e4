"""Linear maps from one space into another, fitted by least squares on matched rows.

========================  ========================================================================
method                    what it may do
========================  ========================================================================
``mean shift``            move; needs equally many dimensions
``Procrustes``            turn (and mirror) and move [1]_
``scaled Procrustes``     the same, and change of size
``least squares``         any linear map, and move; the smallest of the best ones where rows are few
``ridge``                 the same with its size penalised [2]_
``low-rank ridge``        ridge through no more than r directions: reduced-rank regression [3]_
========================  ========================================================================

Spaces of unequal dimension are brought to one by zeros for both forms of Procrustes, and what the turned
rows then have beyond the dimensions of the second space is dropped.

Least squares, ridge over a whole path of penalties and low-rank ridge come from one Gram matrix and one
eigendecomposition of it. The penalty is chosen on held-out folds: a fold's Gram is taken off the whole,
one eigendecomposition serves the path there too, and the held-out errors follow from the fold's own sums,
without another look at the rows.

A penalty λ has no unit: it is counted in mean eigenvalues of the Gram of the centred rows, so
``sklearn.linear_model.Ridge(alpha=λ·trace(Gram)/d_a)`` is the same fit, and λ means the same whatever the
scale and the number of rows. Rows of equal weight may be given weights, which act as repetitions would.

References
----------
.. [1] Schönemann, P. H. A generalized solution of the orthogonal Procrustes problem. Psychometrika
   31(1), 1966.
.. [2] Hoerl, A. E. and Kennard, R. W. Ridge regression: biased estimation for nonorthogonal problems.
   Technometrics 12(1), 1970.
.. [3] Mukherjee, A. and Zhu, J. Reduced rank ridge regression and its kernel extensions. Statistical
   Analysis and Data Mining 4(6), 2011.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear import procrustes as orthogonal
from embedlab.progress import track
from embedlab.shapes import check_shapes

Method = Literal[
    "mean shift", "Procrustes", "scaled Procrustes", "least squares", "ridge", "low-rank ridge"
]  # fmt: skip
METHODS: tuple[Method, ...] = get_args(Method)
PENALTIES = np.geomspace(1e-6, 1e4, 41)
BLOCK = 8192


@dataclass(frozen=True)
class LinearMap:
    """x ↦ x · matrix + shift.

    Attributes
    ----------
    method
        How it was fitted, one of ``METHODS``.
    matrix
        Of shape (d_a, d_b).
    shift
        Of shape (d_b,).
    penalty
        λ in mean eigenvalues of the Gram; 0 where nothing is penalised.
    rank
        The rank of the matrix.

    Raises
    ------
    TypeError
        If the arrays are no float64 of these shapes.
    """

    method: str
    matrix: Float[np.ndarray, "d_a d_b"]
    shift: Float[np.ndarray, " d_b"]
    penalty: float = 0.0
    rank: int = 0

    def __post_init__(self) -> None:
        check_shapes(self)

    def apply(self, x: Float[np.ndarray, "n d_a"]) -> Float[np.ndarray, "n d_b"]:
        """Map rows, in double precision.

        Raises
        ------
        ValueError
            If the rows do not have d_a numbers.
        """
        if x.ndim != 2 or x.shape[1] != len(self.matrix):
            raise ValueError(f"the map takes rows of {len(self.matrix)} numbers, not shape {x.shape}")
        mapped: np.ndarray = x.astype(np.float64) @ self.matrix + self.shift
        return mapped


def fit(
    a: Float[np.ndarray, "n d_a"],
    b: Float[np.ndarray, "n d_b"],
    method: Method,
    fold: Int[np.ndarray, " n"] | None = None,
    *,
    rank: int = 0,
    penalties: Float[np.ndarray, " path"] = PENALTIES,
    weights: Float[np.ndarray, " n"] | None = None,
) -> LinearMap:
    """Fit a map from the rows of ``a`` onto those of ``b``.

    Parameters
    ----------
    a, b
        Matched rows.
    method
        One of ``METHODS``.
    fold
        The fold of each row, 0…k−1, for the methods that choose: ``ridge`` and ``low-rank ridge``. Rows
        of one person belong into one fold.
    rank
        Directions of ``low-rank ridge``; 0 to choose them on the folds.
    penalties
        The path of λ.
    weights
        A number above zero a row; equal ones if None.

    Raises
    ------
    ValueError
        If the rows do not match, a mean shift is asked between unequal dimensions, or a method that
        chooses has no folds.
    """
    match method:
        case "mean shift":
            return mean_shift(a, b, weights)
        case "Procrustes" | "scaled Procrustes":
            return procrustes(a, b, scale=method == "scaled Procrustes", weights=weights)
        case "least squares":
            return RidgePath.of(a, b, None, penalties=penalties, weights=weights).least_squares()
        case "ridge":
            return RidgePath.of(a, b, fold, penalties=penalties, weights=weights).ridge()
        case "low-rank ridge":
            return RidgePath.of(a, b, fold, penalties=penalties, weights=weights).low_rank(rank)


def mean_shift(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"] | None = None,
    *,
    scale: bool = False,
) -> LinearMap:
    """Fit x ↦ x + t; with ``scale`` x ↦ s·x + t, s being 0 where the rows of ``a`` do not vary.

    Raises
    ------
    ValueError
        If the shapes differ, or there is no row.
    """
    if a.shape != b.shape or not len(a):
        raise ValueError(f"a mean shift needs matched rows of equal dimension, not {a.shape} and {b.shape}")
    mean_a, mean_b, d = _mean(a, weights), _mean(b, weights), a.shape[1]
    size = 1.0
    if scale:
        each = np.ones(len(a)) if weights is None else weights
        shared = float(np.einsum("n,nd,nd->", each, a - mean_a, b - mean_b))
        spread = float(np.einsum("n,nd,nd->", each, a - mean_a, a - mean_a))
        size = shared / spread if spread > 0 else 0.0
    name = "shift and scale" if scale else "mean shift"
    return LinearMap(name, size * np.eye(d), mean_b - size * mean_a, 0.0, d)


def procrustes(
    a: Float[np.ndarray, "n d_a"],
    b: Float[np.ndarray, "n d_b"],
    *,
    scale: bool = True,
    weights: Float[np.ndarray, " n"] | None = None,
) -> LinearMap:
    """Fit x ↦ s·x·R + t with orthogonal R; s is 1 without ``scale``.

    Raises
    ------
    ValueError
        If the rows do not match, or there is none.
    """
    _check(a, b)
    mean_a, mean_b = _mean(a, weights), _mean(b, weights)
    roots = 1.0 if weights is None else np.sqrt(weights)[:, None]
    x, y = (a - mean_a) * roots, (b - mean_b) * roots
    found = _between(x, y, scale=scale) if x.shape[1] != y.shape[1] else None
    matrix = _padded(x, y, scale=scale) if found is None else found
    name = "scaled Procrustes" if scale else "Procrustes"
    return LinearMap(name, matrix, mean_b - mean_a @ matrix, 0.0, min(matrix.shape))


def _between(x: np.ndarray, y: np.ndarray, *, scale: bool) -> np.ndarray | None:
    """Embed or project by what the rows say alone; None where they leave directions open."""
    left, strengths, right = orthogonal.thin_svd(x.T @ y)
    if not strengths[-1] > strengths[0] * max(len(x), x.shape[1], y.shape[1]) * np.finfo(np.float64).eps:
        return None
    size = float(strengths.sum()) / float((x**2).sum()) if scale else 1.0
    return np.ascontiguousarray(size * (left @ right))


def _padded(x: np.ndarray, y: np.ndarray, *, scale: bool) -> np.ndarray:
    """Turn rows brought to one dimension by zeros; directions that they leave open are turned least."""
    wide = max(x.shape[1], y.shape[1])
    x_wide, y_wide = (np.pad(rows, ((0, 0), (0, wide - rows.shape[1]))) for rows in (x, y))
    found = orthogonal.fit(x_wide, y_wide, scale=scale, shift=False)
    return np.ascontiguousarray(found.scale * found.rotation[: x.shape[1], : y.shape[1]])


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b) or not len(a):
        raise ValueError(f"a and b must be matched rows, not {a.shape} and {b.shape}")


def _mean(rows: np.ndarray, weights: np.ndarray | None) -> Float[np.ndarray, " d"]:
    found: np.ndarray = np.average(rows.astype(np.float64), axis=0, weights=weights)
    return found


@dataclass(frozen=True)
class _Sums:
    """Sums over matched rows, about an origin near their means; they add up, and can be taken off."""

    weight: float
    a: Float[np.ndarray, " r"]
    b: Float[np.ndarray, " d_b"]
    gram: Float[np.ndarray, "r r"]
    cross: Float[np.ndarray, "r d_b"]
    squares: float

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> "_Sums":
        found = []
        for start in range(0, len(a), BLOCK):
            x, y, w = (rows[start : start + BLOCK] for rows in (a, b, weights))
            wx, wy = x * w[:, None], y * w[:, None]
            squares = float(np.einsum("ij,ij->", wy, y))
            found.append(cls(float(w.sum()), wx.sum(axis=0), wy.sum(axis=0), wx.T @ x, wx.T @ y, squares))
        return _added(found)

    def plus(self, other: "_Sums", sign: float = 1.0) -> "_Sums":
        return _Sums(
            self.weight + sign * other.weight,
            self.a + sign * other.a,
            self.b + sign * other.b,
            self.gram + sign * other.gram,
            self.cross + sign * other.cross,
            self.squares + sign * other.squares,
        )

    def about(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Give Gram, cross products and squares of b about other points than the origin."""
        gram = self.gram - np.outer(self.a, x) - np.outer(x, self.a) + self.weight * np.outer(x, x)
        cross = self.cross - np.outer(self.a, y) - np.outer(x, self.b) + self.weight * np.outer(x, y)
        return gram, cross, self.squares - 2 * float(self.b @ y) + self.weight * float(y @ y)


@dataclass(frozen=True)
class _Solved:
    """A centred Gram taken apart once: every ridge fit is V · diag(1/(e + λu)) · VᵀC."""

    mean_a: np.ndarray
    mean_b: np.ndarray
    values: Float[np.ndarray, " r"]
    vectors: Float[np.ndarray, "r r"]
    rotated: Float[np.ndarray, "r d_b"]
    unit: float
    smallest: float

    @classmethod
    def of(cls, sums: _Sums, dimensions: int, rows: int) -> "_Solved":
        mean_a, mean_b = sums.a / sums.weight, sums.b / sums.weight
        gram, cross, _ = sums.about(mean_a, mean_b)
        values, vectors = np.linalg.eigh(gram)
        smallest = max(float(values[-1]), 0.0) * max(rows, dimensions) * np.finfo(np.float64).eps
        unit = float(np.trace(gram)) / dimensions
        return cls(mean_a, mean_b, np.maximum(values, 0.0), vectors, vectors.T @ cross, unit, smallest)

    def factors(self, penalties: Float[np.ndarray, " path"]) -> Float[np.ndarray, "path r"]:
        """Give 1/(e + λu); nothing along directions without spread."""
        below = self.values + np.asarray(penalties)[:, None] * self.unit
        found: np.ndarray = np.divide(
            1.0, below, out=np.zeros(below.shape), where=(self.values > self.smallest) & (below > 0)
        )
        return found

    def directions(self, penalty: float) -> Float[np.ndarray, "d_b k"]:
        """Give the directions of b that the fitted rows spread along, most first.

        They are the right singular vectors of the fitted values, to which the penalty adds √(λu)·W
        as if it were further rows.
        """
        fitted = np.sqrt(self.factors(np.array([penalty]))[0])[:, None] * self.rotated
        if fitted.shape[0] >= fitted.shape[1]:
            whole: np.ndarray = np.linalg.eigh(fitted.T @ fitted)[1][:, ::-1]
            return whole
        squares, left = np.linalg.eigh(fitted @ fitted.T)
        known = squares > max(float(squares[-1]), 0.0) * len(squares) * np.finfo(np.float64).eps
        found: np.ndarray = (fitted.T @ left[:, known] / np.sqrt(squares[known]))[:, ::-1]
        return found


@dataclass(frozen=True)
class _HeldOut:
    """A fold's sums in the eigenbasis of what was fitted without it."""

    solved: _Solved
    gram: Float[np.ndarray, "r r"]
    cross: Float[np.ndarray, "r d_b"]
    squares: float

    @classmethod
    def of(cls, own: _Sums, whole: _Sums, dimensions: int, rows: int) -> "_HeldOut":
        solved = _Solved.of(whole.plus(own, -1.0), dimensions, rows)
        gram, cross, squares = own.about(solved.mean_a, solved.mean_b)
        turn = solved.vectors.T
        return cls(solved, turn @ gram @ turn.T, turn @ cross, squares)

    def over_penalties(self, penalties: np.ndarray) -> Float[np.ndarray, " path"]:
        """Give the held-out squared error at each penalty."""
        factors, rotated = self.solved.factors(penalties), self.solved.rotated
        agreed = np.einsum("ij,ij->i", rotated, self.cross)
        products = self.gram * (rotated @ rotated.T)
        found: np.ndarray = (
            self.squares - 2 * factors @ agreed + np.einsum("pi,pi->p", factors @ products, factors)
        )
        return found

    def over_ranks(self, penalty: float, most: int) -> Float[np.ndarray, " ranks"]:
        """Give the held-out squared error of each rank from 0 to ``most``."""
        along = self.solved.directions(penalty)[:, :most]
        mapped = self.solved.factors(np.array([penalty]))[0][:, None] * (self.solved.rotated @ along)
        gained = np.einsum("ij,ij->j", mapped, 2 * self.cross @ along - self.gram @ mapped)
        gained = np.pad(gained, (0, most - len(gained)))
        found: np.ndarray = self.squares - np.r_[0.0, np.cumsum(gained)]
        return found


@dataclass(frozen=True, eq=False)
class RidgePath:
    """Ridge at every penalty of a path, least squares and low-rank ridge, from one eigendecomposition.

    Attributes
    ----------
    penalties
        λ, of shape (path,).
    errors
        Squared error of each held-out fold as a share of its squared distance from the mean of the rows
        fitted on, 1 − R², of shape (folds, path); without rows where there are no folds.
    pooled
        The same over all folds at once, of shape (path,); empty where there are no folds.
    """

    penalties: Float[np.ndarray, " path"]
    errors: Float[np.ndarray, "folds path"]
    pooled: Float[np.ndarray, " some"]
    _origin_a: np.ndarray = field(repr=False)
    _origin_b: np.ndarray = field(repr=False)
    _basis: np.ndarray | None = field(repr=False)
    _solved: _Solved = field(repr=False)
    _held_out: tuple[_HeldOut, ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        a: Float[np.ndarray, "n d_a"],
        b: Float[np.ndarray, "n d_b"],
        fold: Int[np.ndarray, " n"] | None,
        *,
        penalties: Float[np.ndarray, " path"] = PENALTIES,
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> "RidgePath":
        """Sum up matched rows, fold by fold, and take the Gram apart.

        Parameters
        ----------
        a, b
            Matched rows.
        fold
            The fold of each row, 0…k−1, k at least 2; None to choose nothing.
        penalties
            The path of λ, none below zero.
        weights
            A number above zero a row; equal ones if None.

        Raises
        ------
        ValueError
            If the rows do not match, or all are in one fold.

        Notes
        -----
        Time: one pass over the rows, then k + 1 eigendecompositions of min(n, d_a) rows each, whatever
        the length of the path.
        """
        _check(a, b)
        origin_a, origin_b = _mean(a, weights), _mean(b, weights)
        x, y = a - origin_a, b - origin_b
        # Fewer rows than dimensions span few directions, and no fit leaves them.
        basis = np.linalg.qr(x.T)[0] if len(x) < x.shape[1] else None
        if basis is not None:
            x = x @ basis
        each = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
        groups = [np.ones(len(x), bool)] if fold is None else [fold == k for k in np.unique(fold)]
        if fold is not None and len(groups) < 2:
            raise ValueError("all rows are in one fold: two or more are needed to choose a penalty")
        parts = [_Sums.of(x[own], y[own], each[own]) for own in groups]
        whole = _added(parts)
        size = (a.shape[1], len(a))
        held_out = (
            ()
            if fold is None
            else tuple(_HeldOut.of(part, whole, *size) for part in track(parts, "ridge, a fold left out"))
        )
        squared = np.array([one.over_penalties(penalties) for one in held_out])
        baseline = np.array([one.squares for one in held_out])
        return cls(
            penalties=np.asarray(penalties, np.float64),
            errors=_share(squared, baseline[:, None]) if held_out else np.empty((0, len(penalties))),
            pooled=_share(squared.sum(axis=0), baseline.sum()) if held_out else np.empty(0),
            _origin_a=origin_a,
            _origin_b=origin_b,
            _basis=basis,
            _solved=_Solved.of(whole, *size),
            _held_out=held_out,
        )

    @property
    def chosen(self) -> int:
        """The place on the path of the least pooled error.

        Raises
        ------
        ValueError
            If there are no folds.
        """
        if not len(self.pooled):
            raise ValueError("no folds were given, so nothing can be chosen: give the fold of each row")
        return int(self.pooled.argmin())

    @cached_property
    def rank_errors(self) -> Float[np.ndarray, " ranks"]:
        """1 − R² over all held-out folds of each rank from 0 up, at the penalty chosen."""
        penalty = float(self.penalties[self.chosen])
        most = min(len(self._solved.values), len(self._origin_b))
        squared = sum(one.over_ranks(penalty, most) for one in self._held_out)
        return _share(np.asarray(squared), sum(one.squares for one in self._held_out))

    def least_squares(self) -> LinearMap:
        """Fit without penalty; of several best maps the smallest."""
        return self._map("least squares", 0.0)

    def ridge(self, penalty: float | None = None) -> LinearMap:
        """Fit with a penalty; None for the one that the folds choose."""
        return self._map("ridge", float(self.penalties[self.chosen]) if penalty is None else penalty)

    def without_each(self, penalty: float | None = None) -> list[LinearMap]:
        """Fit ridge on all folds but one, for each, with one penalty; None for the one chosen."""
        penalty = float(self.penalties[self.chosen]) if penalty is None else penalty
        return [self._map("ridge", penalty, solved=one.solved) for one in self._held_out]

    def low_rank(self, rank: int = 0, penalty: float | None = None) -> LinearMap:
        """Fit ridge through ``rank`` directions of b; 0 for as many as the folds choose, at least one.

        Fitted values are cut to the directions along which they spread most, as by their truncated SVD.
        """
        if penalty is None:
            penalty = float(self.penalties[self.chosen])
        rank = rank or 1 + int(self.rank_errors[1:].argmin())
        along = self._solved.directions(penalty)[:, :rank]
        return self._map("low-rank ridge", penalty, along)

    def _map(
        self, name: str, penalty: float, along: np.ndarray | None = None, solved: _Solved | None = None
    ) -> LinearMap:
        solved = solved or self._solved
        factors = solved.factors(np.array([penalty]))[0]
        matrix = solved.vectors @ (factors[:, None] * solved.rotated)
        rank = min(int((factors > 0).sum()), matrix.shape[1])
        if along is not None:
            matrix = (matrix @ along) @ along.T
            rank = min(rank, along.shape[1])
        centre_a = solved.mean_a
        if self._basis is not None:
            matrix, centre_a = self._basis @ matrix, self._basis @ centre_a
        shift = solved.mean_b + self._origin_b - (centre_a + self._origin_a) @ matrix
        return LinearMap(name, matrix, shift, penalty, rank)


def _added(parts: Sequence[_Sums]) -> _Sums:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.plus(part)
    return whole


def _share(squared: np.ndarray, of: np.ndarray | float) -> np.ndarray:
    of = np.broadcast_to(np.asarray(of, np.float64), squared.shape)
    found: np.ndarray = np.divide(squared, of, out=np.full(squared.shape, np.nan), where=of > 0)
    return found
