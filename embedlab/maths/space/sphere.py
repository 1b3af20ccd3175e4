"""How unit vectors lie on their sphere: direction, spread, dimension, hubs.

Statistics over pairs are resampled by the sums of their kernel over the images of each two people. A
resample that draws person i wᵢ times weighs pairs of i and j wᵢwⱼ and pairs within i wᵢ: the pairs
between the copies of one person are left out, because they would make every resample look more
concentrated than people are.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.maths.space import subsampling
from embedlab.maths.space.neighbours import nearest
from embedlab.progress import blocks

# Rows of one block of a kernel matrix.
BLOCK = 1_024
# Share of the largest ratios that two-NN leaves out, as its authors advise.
DISCARDED = 0.1
# Neighbours found of each row, so that among a third of all there are two, or k, in all but a few of
# ten thousand rows.
TWO_OF, NEAREST_OF = 60, 12

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

    Every person, and every two people, weigh the same, however many images they have. Over unit vectors a
    mean squared distance is 2 − 2 times the mean dot product, which the sums hold; no pair is looked at.

    Returns
    -------
    The mean over people with two images, NaN without one; its replicates; the mean over pairs of two people.
    """
    several = sizes > 1
    own, pairs = (sums**2).sum(axis=1) - sizes, sizes * (sizes - 1.0)
    within = 2 - 2 * own[several] / pairs[several]
    weights = np.r_[np.ones((1, len(sizes))), counts][:, several]
    means = _quotient(weights @ within, weights.sum(axis=1))
    centres = sums / sizes[:, None]
    between = (centres.sum(axis=0) ** 2).sum() - (centres**2).sum()
    apart = len(sizes) * (len(sizes) - 1)
    return float(means[0]), means[1:], float(2 - 2 * between / apart)


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


def resampled_uniformity(
    unit: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], counts: Float[np.ndarray, "b p"]
) -> Float[np.ndarray, " b"]:
    """Give the replicates of ``uniformity``; memory is p × p × 8 bytes."""
    sums = pair_sums(unit, labels, potential, itself=False)
    means = _resampled_mean(sums, np.bincount(labels), counts, itself=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: np.ndarray = np.log(means)
    return logs


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


def two_nn_dimension(ratios: Float[np.ndarray, " m"]) -> float:
    """Give the two-NN intrinsic dimension [1]_: the slope of −log(1 − F) over the log of the ratios.

    The line goes through the origin; the largest tenth of the ratios is left out of the fit.

    Parameters
    ----------
    ratios
        Of each row the distance of its second nearest neighbour over that of its nearest.

    Returns
    -------
    The dimension; NaN where nothing is left to fit.

    References
    ----------
    .. [1] Facco, E. et al. Estimating the intrinsic dimension of datasets by a minimal neighborhood
       information. Scientific Reports 7, 2017.
    """
    kept = int((1 - DISCARDED) * len(ratios) + 1e-9)
    x = np.log(np.sort(ratios)[:kept])
    y = -np.log1p(-np.arange(1, kept + 1) / max(len(ratios), 1))
    squares = float(x @ x)
    return float(x @ y) / squares if squares > 0 else np.nan


def two_nn(
    vectors: Float[np.ndarray, "n d"], drawn: Bool[np.ndarray, "b n"]
) -> tuple[float, Float[np.ndarray, " b"], Int[np.ndarray, " m"]]:
    """Give the two-NN dimension, its replicates, and the rows it rests on.

    Rows that have a twin at distance zero have no ratio and are left out.

    Parameters
    ----------
    vectors
        Rows of shape (n, d).
    drawn
        Rows to look at, as ``subsampling.thirds`` draws them.
    """
    if len(vectors) < 3:
        return np.nan, np.full(len(drawn), np.nan), np.empty(0, np.int64)
    indices, distances = nearest(
        vectors, min(TWO_OF if len(drawn) else 2, len(vectors) - 1), metric="euclidean"
    )
    values = []
    for inside in (np.ones(len(vectors), bool), *drawn):
        rows = np.flatnonzero(inside)
        two = subsampling.first_within(indices[rows], inside, 2)
        rows, two = (some[two.sum(axis=1) == 2] for some in (rows, two))
        near, next_ = distances[rows][two].reshape(-1, 2).T
        apart = near > 0
        values.append((two_nn_dimension(next_[apart] / near[apart]), rows[apart]))
    value, rested = values[0]
    found = np.array([one for one, _ in values[1:]])
    return value, subsampling.replicates(value, found, _share(drawn)), rested


def hubness(
    unit: Float[np.ndarray, "n d"],
    k: int,
    drawn: Bool[np.ndarray, "b n"],
    owners: Int[np.ndarray, " n"] | None = None,
) -> tuple[float, Float[np.ndarray, " b"], Int[np.ndarray, " n"]]:
    """Give the skewness of the k-occurrence, its replicates, and the k-occurrence itself [1]_.

    The k-occurrence of a row counts of how many others it is among the k nearest.

    Parameters
    ----------
    unit
        Rows of shape (n, d).
    k
        How many are nearest, the same among the rows drawn; cut to half of the others, since who is near to
        all is no hub.
    drawn
        Rows to look at, as ``subsampling.thirds`` draws their people.
    owners
        The person of each row, where the k-occurrence itself shall count rows of others alone: whoever has
        many images is near to many of their own, and no hub for that.

    References
    ----------
    .. [1] Radovanović, M., Nanopoulos, A. and Ivanović, M. Hubs in space: popular nearest neighbors in
       high-dimensional data. JMLR 11, 2010.
    """
    k = min(k, (len(unit) - 1) // 2)
    if k < 1:
        return np.nan, np.full(len(drawn), np.nan), np.zeros(len(unit), np.int64)
    indices, _ = nearest(unit, min(NEAREST_OF * k if len(drawn) else k, len(unit) - 1))
    times = np.bincount(indices[:, :k].ravel(), minlength=len(unit))
    values = []
    for inside in drawn:
        rows = np.flatnonzero(inside)
        found = indices[rows][subsampling.first_within(indices[rows], inside, k)]
        values.append(skewness(np.bincount(found, minlength=len(unit))[rows]))
    value = skewness(times)
    if owners is not None:
        near = indices[:, :k]
        times = np.bincount(near[owners[near] != owners[:, None]], minlength=len(unit))
    return value, subsampling.replicates(value, np.array(values), _share(drawn)), times


def _share(drawn: np.ndarray) -> float:
    return float(drawn.mean()) if drawn.size else 1.0


def skewness(values: Int[np.ndarray, " n"]) -> float:
    """Give the third standardised moment; NaN where all are equal."""
    centred = values - values.mean()
    variance = float((centred**2).mean())
    return float((centred**3).mean()) / variance**1.5 if variance > 1e-12 else np.nan
