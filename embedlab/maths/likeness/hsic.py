"""The unbiased Hilbert-Schmidt independence criterion, and how it moves with each row's weight.

Of two kernels K and L over the same n rows, diagonals set to zero, Song et al. [1]_ (eq. 5) estimate

    HSIC₁ = (tr KL + 1ᵀK1·1ᵀL1/((n − 1)(n − 2)) − 2·1ᵀKL1/(n − 2)) / (n(n − 3)),

which is 0 on average for independent rows, whatever n and the dimensions, where the biased form grows
with the dimension [2]_. Linear kernels need no n×n array: with K = XXᵀ and L = YYᵀ the trace is
‖XᵀY‖² − Σ|xᵢ|²|yᵢ|², and the sums follow from the columns'.

Beside the value stands its derivative by each row's weight, at weights of one and with n the sum of the
weights: HSIC₁ of a resample is value + (w − 1)·gradient to first order, so a bootstrap costs no kernel.

References
----------
.. [1] Song, L., Smola, A., Gretton, A., Bedo, J. and Borgwardt, K. Feature selection via dependence
   maximization. Journal of Machine Learning Research 13, 2012.
.. [2] Murphy, A., Zylberberg, J. and Fyshe, A. Correcting biased centered kernel alignment measures in
   biological and artificial neural networks. arXiv 2405.01012, 2024.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

# Below four rows the estimate divides by zero.
FEWEST = 4
BLOCK = 8192


@dataclass(frozen=True)
class Hsic:
    """An unbiased HSIC.

    Attributes
    ----------
    value
        The estimate; below zero about as often as above where there is no dependence.
    gradient
        Its derivative by the weight of each row, of shape (n,).
    """

    value: float
    gradient: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Alignment:
    """Centred kernel alignment from unbiased HSICs: 1 for equal kernels, 0 on average for unrelated ones.

    Attributes
    ----------
    value
        HSIC₁(K, L)/√(HSIC₁(K, K)·HSIC₁(L, L)); NaN where a kernel's own estimate is not above zero.
    gradient
        Its derivative by the weight of each row, of shape (n,).
    """

    value: float
    gradient: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, across: Hsic, a: Hsic, b: Hsic) -> "Alignment":
        """Relate the HSIC of two kernels to those of each with itself."""
        size = norm(a.value, b.value)
        value = across.value / size
        own = (
            a.gradient / a.value + b.gradient / b.value if size == size else np.full(len(a.gradient), np.nan)
        )
        return cls(value, across.gradient / size - value / 2 * own)


def norm(a: float, b: float) -> float:
    """Give the geometric mean of two HSICs; NaN where one is not above zero."""
    return float(np.sqrt(a * b)) if a > 0 and b > 0 else float("nan")


def of_features(x: Float[np.ndarray, "n p"], y: Float[np.ndarray, "n q"], cross: np.ndarray) -> Hsic:
    """Measure the linear kernels of two matrices without forming them.

    Parameters
    ----------
    x, y
        Matched rows. The estimate does not depend on where their means lie, its rounding does: give
        rows about their means.
    cross
        XᵀY in double precision, of shape (p, q).
    """
    n = len(x)
    own_x, own_y = squares(x), squares(y)
    sum_x, sum_y = x.sum(axis=0, dtype=np.float64), y.sum(axis=0, dtype=np.float64)
    common, sums_x, sums_y, back = (np.empty(n) for _ in range(4))
    for some in blocks(n):
        a, b = x[some].astype(np.float64), y[some].astype(np.float64)
        common[some] = 2 * (np.einsum("ij,ij->i", a @ cross, b) - own_x[some] * own_y[some])
        sums_x[some] = a @ sum_x - own_x[some]
        sums_y[some] = b @ sum_y - own_y[some]
    weighed_x, weighed_y = _weighed(x, sums_y), _weighed(y, sums_x)
    for some in blocks(n):
        back[some] = x[some] @ weighed_x + y[some] @ weighed_y
    back -= own_x * sums_y + own_y * sums_x
    return _assembled(common, (2 * sums_x, 2 * sums_y), (sums_x, sums_y), back)


def of_kernels(a: Float[np.ndarray, "n n"], b: Float[np.ndarray, "n n"]) -> Hsic:
    """Measure two symmetric kernels whose diagonals are zero."""
    sums_a, sums_b = a.sum(axis=1), b.sum(axis=1)
    common = 2 * np.einsum("ij,ij->i", a, b)
    return _assembled(common, (2 * sums_a, 2 * sums_b), (sums_a, sums_b), a @ sums_b + b @ sums_a)


def of_sparse(a: Any, b: Any) -> float:
    """Give HSIC₁ of two scipy.sparse kernels of shape (n, n) without diagonals, symmetric or not."""
    n = a.shape[0]
    down, across = np.asarray(a.sum(axis=0)).ravel(), np.asarray(b.sum(axis=1)).ravel()
    total = a.multiply(b.T).sum() + down.sum() * across.sum() / ((n - 1) * (n - 2))
    return float((total - 2 * (down @ across) / (n - 2)) / (n * (n - 3)))


def u_centred(kernel: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Centre a symmetric kernel so that Σᵢⱼ K̂ᵢⱼL̂ᵢⱼ/(n(n − 3)) is the unbiased HSIC [1]_.

    References
    ----------
    .. [1] Székely, G. J. and Rizzo, M. L. Partial distance correlation with methods for dissimilarities.
       Annals of Statistics 42(6), 2014.
    """
    n = len(kernel)
    off = kernel.copy()
    np.fill_diagonal(off, 0.0)
    sums = off.sum(axis=1) / (n - 2)
    off += sums.sum() / (n - 1) - sums[:, None] - sums
    np.fill_diagonal(off, 0.0)
    return off


def squares(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Give each row's squared length in double precision."""
    return np.concatenate(
        [np.einsum("ij,ij->i", a, a) for a in (rows[some].astype(np.float64) for some in blocks(len(rows)))]
    )


def blocks(n: int) -> list[slice]:
    """Cut n rows into blocks, so that copies of them stay small."""
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def _weighed(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sum([weights[some] @ rows[some] for some in blocks(len(rows))], axis=0)
    return found


def _assembled(
    common: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray],
    sums: tuple[np.ndarray, np.ndarray],
    back: np.ndarray,
) -> Hsic:
    """Put the three terms and their derivatives together.

    Parameters
    ----------
    common, rows
        The derivatives of tr KL, and of 1ᵀK1 and 1ᵀL1, by the weights; each sums to twice its term.
    sums, back
        1ᵀK and L1, and the part K(L1) + Lᵀ(1ᵀK) of the derivative of 1ᵀKL1.
    """
    n = len(common)
    trace, whole_k, whole_l = common.sum() / 2, rows[0].sum() / 2, rows[1].sum() / 2
    through = float(sums[0] @ sums[1])
    outer, inner, lead = (n - 1) * (n - 2), n - 2, n * (n - 3)
    total = trace + whole_k * whole_l / outer - 2 * through / inner
    moved = (
        common
        + (rows[0] * whole_l + whole_k * rows[1]) / outer
        - whole_k * whole_l * (2 * n - 3) / outer**2
        - 2 * (sums[0] * sums[1] + back) / inner
        + 2 * through / inner**2
    )
    value = float(total / lead)
    return Hsic(value, (moved - value * (2 * n - 3)) / lead)
