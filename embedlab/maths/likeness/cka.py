"""Debiased centred kernel alignment: linear in feature space, RBF over minibatches.

References
----------
.. [1] Kornblith, S., Norouzi, M., Lee, H. and Hinton, G. Similarity of neural network representations
   revisited. ICML 2019.
.. [2] Nguyen, T., Raghu, M. and Kornblith, S. Do wide and deep networks learn the same things?
   Uncovering how neural network representations vary with width and depth. ICLR 2021.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.likeness.hsic import (
    FEWEST,
    Alignment,
    Hsic,
    norm,
    of_features,
    of_kernels,
    squares,
    u_centred,
)
from embedlab.progress import track

# Rows whose distances give the median.
MEDIAN_ROWS = 1000

Product = Float[np.ndarray, "p q"]


def linear(
    x: Float[np.ndarray, "n p"],
    y: Float[np.ndarray, "n q"],
    cross: Product,
    own: tuple[Hsic, Hsic],
    shuffles: Iterable[tuple[Int[np.ndarray, " n"], Product]] = (),
) -> tuple[Alignment, Float[np.ndarray, " b"]]:
    """Align the linear kernels of two matrices [1]_ by unbiased HSICs [2]_; nowhere an n×n array.

    Parameters
    ----------
    x, y
        Matched rows about their means.
    cross
        XᵀY.
    own
        HSIC of each matrix with itself, by ``hsic.of_features``.
    shuffles
        Orders in which the rows of ``y`` are matched with those of ``x`` instead, each with its XᵀY.

    Returns
    -------
    The alignment, and its value in each shuffle.
    """
    n = len(x)
    found = Alignment.of(of_features(x, y, cross), *own)
    own_x, own_y = squares(x), squares(y)
    # What else a shuffle changes are dot products of two columns; rows are about their means, so that
    # 1ᵀK is minus the squared lengths.
    outer = own_x.sum() * own_y.sum() / ((n - 1) * (n - 2))
    size = norm(own[0].value, own[1].value) * n * (n - 3)
    nulls = [
        float((product**2).sum() - own_x @ own_y[order] * (1 + 2 / (n - 2)) + outer) / size
        for order, product in shuffles
    ]
    return found, np.array(nulls)


def rbf(
    x: Float[np.ndarray, "n p"],
    y: Float[np.ndarray, "n q"],
    *,
    bandwidth: float,
    batch: int,
    seed: int,
    orders: Sequence[Int[np.ndarray, " n"]] = (),
) -> tuple[Alignment, Float[np.ndarray, " b"]]:
    """Align RBF kernels exp(−|xᵢ − xⱼ|²/2σ²) by unbiased HSICs, averaged over minibatches [2]_.

    Each row stands in one minibatch. Averages of unbiased estimates are unbiased, so with two
    minibatches or two hundred the figure means the same; more rows in one make it surer.

    Parameters
    ----------
    x, y
        Matched rows.
    bandwidth
        σ in units of the median distance of the space's rows [1]_.
    batch
        Rows in a minibatch, at most (but never fewer than four).
    seed
        Seed of the minibatches.
    orders
        Orders in which the rows of ``y`` are matched with those of ``x`` instead.

    Returns
    -------
    The alignment, and its value in each order.
    """
    n = len(x)
    parts = np.array_split(
        np.random.default_rng([seed, 0]).permutation(n), max(1, min(-(-n // batch), n // FEWEST))
    )
    widths = [bandwidth * median_distance(space, seed) for space in (x, y)]
    gradients, values, nulls = np.zeros((3, n)), np.zeros(3), np.zeros(len(orders))
    rough = y.astype(np.float32)
    for rows in track(parts, "minibatches of RBF CKA"):
        a, b = (
            _rbf_kernel(space[rows].astype(np.float64), width)
            for space, width in zip((x, y), widths, strict=True)
        )
        for place, (one, other) in enumerate(((a, b), (a, a), (b, b))):
            found = of_kernels(one, other)
            values[place] += found.value / len(parts)
            gradients[place, rows] = found.gradient / len(parts)
        # One centred kernel is enough: centring is a projection.
        centred, m = u_centred(a).astype(np.float32), len(rows)
        for place, order in enumerate(orders):
            by_chance = _rbf_kernel(rough[order[rows]], widths[1])
            nulls[place] += np.vdot(centred, by_chance) / (m * (m - 3) * len(parts))
    across, *own = (Hsic(float(v), g) for v, g in zip(values, gradients, strict=True))
    return Alignment.of(across, *own), nulls / norm(own[0].value, own[1].value)


def median_distance(rows: Float[np.ndarray, "n d"], seed: int) -> float:
    """Give the median distance of up to a thousand rows; 1 where it is zero."""
    from scipy.spatial.distance import pdist

    n = len(rows)
    some = np.sort(np.random.default_rng([seed, 1]).permutation(n)[:MEDIAN_ROWS])
    return float(np.median(pdist(rows[some].astype(np.float64)))) or 1.0


def _rbf_kernel(rows: np.ndarray, width: float) -> np.ndarray:
    """Give the kernel without its diagonal, in the precision of the rows."""
    a = (rows - rows.mean(axis=0)) / rows.dtype.type(width)
    own = np.einsum("ij,ij->i", a, a) / 2
    kernel: np.ndarray = a @ a.T
    kernel -= own[:, None]
    kernel -= own
    np.exp(kernel, out=kernel)
    np.fill_diagonal(kernel, 0.0)
    return kernel
