"""Whether an image finds its own person, and what foretells it."""

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.maths.space.neighbours import nearest
from embedlab.progress import blocks

# Weights of one block of resamples, in entries.
BLOCK = 1 << 21


def leave_one_out(
    unit: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " q"], Bool[np.ndarray, " q"]]:
    """Say of each image whether the nearest of all others shows the same person.

    Returns
    -------
    The rows of people with at least two images, and whether each is recognised (rank 1).
    """
    rows = np.flatnonzero(np.bincount(labels)[labels] > 1)
    if not len(rows):
        return rows, np.empty(0, bool)
    indices, _ = nearest(unit, 1)
    return rows, labels[indices[rows, 0]] == labels[rows]


def resampled_auc(
    values: Float[np.ndarray, " n"],
    hits: Bool[np.ndarray, " n"],
    owners: Int[np.ndarray, " n"],
    counts: Float[np.ndarray, "b p"],
) -> Float[np.ndarray, " b"]:
    """Give the chance that a hit has a larger value than a miss, ties counted half, a resample [1]_.

    Parameters
    ----------
    values, hits, owners
        A value a row, whether it is a hit, and its person 0…p−1.
    counts
        How often each person stands in each resample.

    Returns
    -------
    The AUC; NaN where a resample holds no hit or no miss.

    References
    ----------
    .. [1] Hanley, J. A. and McNeil, B. J. The meaning and use of the area under a receiver operating
       characteristic (ROC) curve. Radiology 143(1), 1982.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    found = np.full(len(counts), np.nan)
    if not len(ordered):
        return found
    ties = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    hit = hits[order].astype(np.float64)
    step = max(1, BLOCK // len(order))
    for start in blocks(range(0, len(counts), step), "resamples of AUC"):
        weights = counts[start : start + step, owners[order]]
        above = np.add.reduceat(weights * hit, ties, axis=1)
        below = np.add.reduceat(weights * (1 - hit), ties, axis=1)
        won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
        pairs = above.sum(axis=1) * below.sum(axis=1)
        np.divide(won, pairs, out=found[start : start + step], where=pairs > 0)
    return found
