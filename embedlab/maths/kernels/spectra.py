"""The singular values of convolution kernels, laid out as matrices, and their null.

A layer of shape (o, i, h, w) is a matrix of o rows. Its stable rank ‖W‖_F² / ‖W‖₂² [2]_ is the number of
directions it would have if all were as strong as the strongest; it is between 1 and the rank. The
singular values of independent weights of one variance end, in large matrices, at the Marchenko–Pastur
edge s·(√rows + √columns), s being the root mean square of the weights [1]_.

References
----------
.. [1] Marchenko, V. A. and Pastur, L. A. Distribution of eigenvalues for some sets of random matrices.
   Mathematics of the USSR-Sbornik 1(4), 1967.
.. [2] Rudelson, M. and Vershynin, R. Sampling from large matrices: an approach through geometric functional
   analysis. Journal of the ACM 54(4), 2007.
.. [3] Ito, A., Yamada, M. and Kumagai, A. Analysis of linear mode connectivity via permutation-based weight
   matching: with insights into other permutation search methods. ICLR 2025. arXiv 2402.04051.
"""

import numpy as np
from jaxtyping import Float


def singular_values(kernels: Float[np.ndarray, "o i h w"]) -> Float[np.ndarray, " r"]:
    """Give the singular values of a layer as a matrix (o, i·h·w), largest first.

    They come from the Gram matrix of the shorter side, so that small ones, below about 1e-7 of the
    largest, are rounding.
    """
    matrix = kernels.reshape(len(kernels), -1).astype(np.float64)
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    found: np.ndarray = np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))
    return found


def relative_to_edge(singular: Float[np.ndarray, " r"], shape: tuple[int, ...]) -> Float[np.ndarray, " r"]:
    """Give singular values in units of the Marchenko–Pastur edge of the layer's own size."""
    rows, columns = shape[0], int(np.prod(shape[1:]))
    size = float(np.sqrt((singular**2).sum() / (rows * columns)))
    found: np.ndarray = singular / (size * (np.sqrt(rows) + np.sqrt(columns))) if size else singular
    return found


def stable_rank(singular: Float[np.ndarray, " r"]) -> float:
    """Give ‖W‖_F² / ‖W‖₂²; nan for a layer of zeros."""
    top = float(singular.max(initial=0.0))
    return float(((singular / top) ** 2).sum()) if top > 0 else float("nan")


def with_random_signs(kernels: Float[np.ndarray, "o i h w"], seed: int) -> Float[np.ndarray, "o i h w"]:
    """Give every weight a random sign: as large in each place, but without a direction in common."""
    bits = np.random.default_rng([seed, 22]).integers(0, 2, kernels.shape, np.int8)
    found: np.ndarray = kernels * (2 * bits - 1).astype(kernels.dtype)
    return found


def common_directions(
    x: Float[np.ndarray, "o i h w"], y: Float[np.ndarray, "o i h w"], least: float
) -> tuple[float, int]:
    """Say how far the dominant singular directions of two layers are the same [3]_.

    Both layers are cut to their singular vectors from ``least`` of the largest singular value on, as many as
    the one of them that has fewer, and each of these counts alike, however large.

    Parameters
    ----------
    x, y
        Kernels of one shape, their channels matched.
    least
        From which share of the largest singular value on a direction is dominant.

    Returns
    -------
    The mean over directions of Σⱼ (uᵢ·u′ⱼ)(vᵢ·v′ⱼ): 1 for equal directions, 0 for unrelated ones, −1 for
    opposite; and how many directions there are, 0 where a layer is zero.
    """
    from embedlab.maths.linear.procrustes import thin_svd

    taken = [thin_svd(kernels.reshape(len(kernels), -1).astype(np.float64)) for kernels in (x, y)]
    if not all(strengths[0] > 0 for _, strengths, _ in taken):
        return 0.0, 0
    count = min(int((strengths >= least * strengths[0]).sum()) for _, strengths, _ in taken)
    (left, _, right), (others, _, theirs) = taken
    products = (left[:, :count].T @ others[:, :count]) * (right[:count] @ theirs[:count].T)
    return float(products.sum() / count), count
