"""How unit vectors lie on their sphere: direction, spread, dimension, hubs.

Statistics over pairs are resampled by the sums of their kernel over the images of each two people. A
resample that draws person i wᵢ times weighs pairs of i and j wᵢwⱼ and pairs within i wᵢ: the pairs
between the copies of one person are left out, because they would make every resample look more
concentrated than people are.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.space.neighbours import nearest
from embedlab.progress import blocks

# Rows of one block of a kernel matrix.
BLOCK = 1_024
# Share of the largest ratios that two-NN leaves out, as its authors advise.
DISCARDED = 0.1

Kernel = Callable[[np.ndarray], np.ndarray]


def uniform(n: int, d: int, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """Draw n unit vectors uniformly on the sphere in d dimensions, as float32."""
    drawn = rng.standard_normal((n, d), dtype=np.float32)
    found: np.ndarray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return found


def uniform_resultant(n: int, d: int, rng: np.random.Generator) -> float:
    """Give the mean resultant length of n vectors drawn uniformly, a block of them at a time.

    The mean of its square is 1/n in every dimension.
    """
    total = np.zeros(d)
    for start in range(0, n, 16 * BLOCK):
        total += uniform(min(16 * BLOCK, n - start), d, rng).sum(axis=0, dtype=np.float64)
    return float(np.linalg.norm(total) / n)


def person_sums(unit: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "p d"]:
    """Add up each person's vectors; labels are 0…p−1."""
    sums = np.zeros((int(labels.max()) + 1, unit.shape[1]))
    np.add.at(sums, labels, unit)
    return sums


def mean_resultant_length(
    sums: Float[np.ndarray, "p d"], sizes: Int[np.ndarray, " p"], counts: Float[np.ndarray, "b p"]
) -> tuple[float, Float[np.ndarray, " b"]]:
    """Give the length of the mean of all unit vectors [1]_, and its replicates.

    Parameters
    ----------
    sums, sizes
        The sum and the number of each person's vectors.
    counts
        Resamples as ``bootstrap.resamples`` gives them.

    References
    ----------
    .. [1] Mardia, K. V. and Jupp, P. E. Directional Statistics. Wiley, 2000.
    """
    value = float(np.linalg.norm(sums.sum(axis=0)) / sizes.sum())
    whole = ((counts @ sums) ** 2).sum(axis=1)
    squared = _without_copies(whole, (sums**2).sum(axis=1), sizes, counts, itself=True)
    return value, np.sqrt(np.maximum(squared, 0.0))


def alignment(
    sums: Float[np.ndarray, "p d"], sizes: Int[np.ndarray, " p"], counts: Float[np.ndarray, "b p"]
) -> tuple[float, Float[np.ndarray, " b"], float]:
    """Give the mean squared distance of two images of one person, its replicates, and of two people.

    Over unit vectors it is 2 − 2 times the mean dot product, which the sums hold; no pair is looked at.

    Returns
    -------
    The mean over pairs of one person, NaN without one; its replicates; the mean over pairs of two people.
    """
    own = (sums**2).sum(axis=1)
    pairs = sizes * (sizes - 1.0)
    ones = np.ones((1, len(sizes)))
    within = [_quotient(w @ (own - sizes), w @ pairs) for w in (ones, counts)]
    between = (sums.sum(axis=0) ** 2).sum() - own.sum()
    apart = sizes.sum() ** 2 - (sizes**2).sum()
    return 2 - 2 * float(within[0][0]), 2 - 2 * within[1], float(2 - 2 * between / apart)


def potential(products: np.ndarray) -> np.ndarray:
    """Turn dot products of unit vectors into exp(−2‖x − y‖²)."""
    found: np.ndarray = np.exp(4 * products - 4)
    return found


def uniformity(unit: Float[np.ndarray, "n d"]) -> float:
    """Give log E exp(−2‖x − y‖²) over all pairs of two rows: lower is more even [1]_.

    Uniform vectors give −4 + log ₀F₁(; d/2; 4) on average over samples, before the logarithm.

    References
    ----------
    .. [1] Wang, T. and Isola, P. Understanding contrastive representation learning through alignment
       and uniformity on the hypersphere. ICML 2020.
    """
    n = len(unit)
    return float(np.log(pair_sums(unit, None, potential, itself=False).sum() / (n * (n - 1))))


def effective_rank(vectors: Float[np.ndarray, "n d"]) -> float:
    """Give the participation ratio (Σλ)²/Σλ² of the covariance's eigenvalues [1]_; NaN without variance.

    It is d where all directions vary alike and there are many rows, about nd/(n + d) where there are few.

    References
    ----------
    .. [1] Gao, P. et al. A theory of multineuronal dimensionality, dynamics and measurement. bioRxiv
       214262, 2017.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    # Of both products the smaller; they have the same eigenvalues beside zeros.
    spread = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    trace = float(np.trace(spread))
    # What rounding leaves of equal rows is no direction.
    return trace**2 / float((spread**2).sum()) if trace > 1e-10 * len(vectors) else float("nan")


def resampled_uniformity(
    unit: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], counts: Float[np.ndarray, "b p"]
) -> Float[np.ndarray, " b"]:
    """Give the replicates of ``uniformity``; memory is p × p × 8 bytes."""
    sums = pair_sums(unit, labels, potential, itself=False)
    means = _resampled_mean(sums, np.bincount(labels), counts, itself=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: np.ndarray = np.log(means)
    return logs


def resampled_effective_rank(
    vectors: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], counts: Float[np.ndarray, "b p"]
) -> Float[np.ndarray, " b"]:
    """Give the replicates of ``effective_rank``; memory is p × p × 8 bytes.

    The mean is that of all rows in every resample: what it moves matters to second order only.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    sizes = np.bincount(labels)
    squares = pair_sums(centred, labels, np.square, itself=True)
    spread = np.bincount(labels, (centred**2).sum(axis=1))
    mean = _quotient(counts @ spread, counts @ sizes)
    return _quotient(mean**2, _resampled_mean(squares, sizes, counts, itself=True))


def pair_sums(
    vectors: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"] | None, kernel: Kernel, *, itself: bool
) -> Float[np.ndarray, "p p"]:
    """Add a kernel of dot products up over the rows of each two people.

    Parameters
    ----------
    vectors
        Rows of shape (n, d).
    labels
        The person of each row, 0…p−1, each there; None for one sum over all, of shape (1, 1).
    kernel
        Turns dot products into what is added up.
    itself
        Whether the pair of a row with itself counts.
    """
    n = len(vectors)
    labels = np.zeros(n, np.int64) if labels is None else labels
    order = np.argsort(labels, kind="stable")
    rows, owners = vectors[order], labels[order]
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    sums = np.zeros((len(starts), len(starts)))
    for start in blocks(range(0, n, BLOCK), "pairs of people, in blocks"):
        here = np.arange(start, min(start + BLOCK, n))
        values = kernel(rows[here] @ rows.T)
        if not itself:
            values[here - start, here] = 0.0
        across = np.add.reduceat(values, starts, axis=1)
        firsts = np.flatnonzero(np.r_[True, owners[here[1:]] != owners[here[:-1]]])
        sums[owners[here[firsts]]] += np.add.reduceat(across, firsts, axis=0)
    return sums


def _resampled_mean(sums: np.ndarray, sizes: np.ndarray, counts: np.ndarray, *, itself: bool) -> np.ndarray:
    whole = np.einsum("bp,bp->b", counts @ sums, counts.astype(np.float64))
    return _without_copies(whole, sums.diagonal(), sizes, counts, itself=itself)


def _without_copies(
    whole: np.ndarray, own: np.ndarray, sizes: np.ndarray, counts: np.ndarray, *, itself: bool
) -> np.ndarray:
    """Turn Σ wᵢwⱼsᵢⱼ into the mean over pairs that are not of two copies of one person."""
    weights = counts.astype(np.float64)
    copies = weights**2 - weights
    images = weights @ sizes
    pairs = images**2 - copies @ sizes**2.0 - (0.0 if itself else images)
    return _quotient(whole - copies @ own, pairs)


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return found


def two_nn_ratios(vectors: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Give the ratio of each row's second to its first nearest neighbour's distance, and its row.

    Distances are Euclidean. Rows that have a twin at distance zero have no ratio and are left out.
    """
    if len(vectors) < 3:
        return np.empty(0), np.empty(0, np.int64)
    _, distances = nearest(vectors, 2, metric="euclidean")
    rows = np.flatnonzero(distances[:, 0] > 0)
    return distances[rows, 1] / distances[rows, 0], rows


def two_nn_dimension(
    ratios: Float[np.ndarray, " m"], weights: Float[np.ndarray, "b m"] | None = None
) -> Float[np.ndarray, " b"]:
    """Give the two-NN intrinsic dimension [1]_: the slope of −log(1 − F) over the log of the ratios.

    The line goes through the origin; the largest tenth of the ratios is left out of the fit.

    Parameters
    ----------
    ratios
        As ``two_nn_ratios`` gives them.
    weights
        How often each counts, a resample a row; without it once each.

    Returns
    -------
    A dimension a row of ``weights``; NaN where nothing is left to fit.

    References
    ----------
    .. [1] Facco, E. et al. Estimating the intrinsic dimension of datasets by a minimal neighborhood
       information. Scientific Reports 7, 2017.
    """
    weights = np.ones((1, len(ratios))) if weights is None else weights
    order = np.argsort(ratios, kind="stable")
    x = np.log(ratios[order])
    w = weights[:, order].astype(np.float64)
    share = np.cumsum(w, axis=1)
    share /= np.maximum(share[:, -1:], 1.0)
    w[share > 1 - DISCARDED + 1e-9] = 0.0
    y = -np.log1p(-np.minimum(share, 1 - DISCARDED + 1e-9))
    return _quotient((w * y) @ x, w @ x**2)


def k_occurrence(unit: Float[np.ndarray, "n d"], k: int) -> Int[np.ndarray, " n"]:
    """Count of how many rows each row is among the k nearest [1]_.

    References
    ----------
    .. [1] Radovanović, M., Nanopoulos, A. and Ivanović, M. Hubs in space: popular nearest neighbors in
       high-dimensional data. JMLR 11, 2010.
    """
    indices, _ = nearest(unit, k)
    return np.bincount(indices.ravel(), minlength=len(unit))


def skewness(
    values: Int[np.ndarray, " n"], owners: Int[np.ndarray, " n"], counts: Float[np.ndarray, "b p"]
) -> Float[np.ndarray, " b"]:
    """Give the third standardised moment of people's values, a resample; NaN where all are equal."""
    sizes = counts @ np.bincount(owners).astype(np.float64)
    centred = values - values.mean()
    first, second, third = (_quotient(counts @ np.bincount(owners, centred**p), sizes) for p in (1, 2, 3))
    variance = second - first**2
    variance = np.where(variance > 1e-12, variance, 0.0)
    return _quotient(third - 3 * first * second + 2 * first**3, variance**1.5)
