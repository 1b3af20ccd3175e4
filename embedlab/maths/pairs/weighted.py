"""Thresholds and shares of scores under many weightings of people, some weightings at a time.

The compiled loops of ``_sweep`` cannot be looked into or interrupted while they run, so that a call must
not take long.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from embedlab.progress import blocks

# Scores times weightings of one call, and weightings at least: below that threads have nothing to share.
ENTRIES = 1 << 26
LEAST = 16


def thresholds(
    scores: Float[np.ndarray, " n"],
    people: Int[np.ndarray, "n 2"],
    weights: Float[np.ndarray, "b people"],
    allowed: Float[np.ndarray, "b levels"],
    others: Float[np.ndarray, "b people"] | None = None,
) -> Float[np.ndarray, "b levels"]:
    """Find, a weighting and level, the highest impostor score that may no longer be accepted.

    Parameters
    ----------
    scores, people
        Impostor scores, falling, and both their people.
    weights
        How much each person weighs; a pair weighs the product of both.
    allowed
        The weight of impostor pairs that each level lets in, rising along levels.
    others
        How much each person weighs as the second of a pair, where that differs.

    Returns
    -------
    The scores; NaN where they end first.
    """
    from embedlab.maths.pairs._sweep import weighted_thresholds

    found = np.empty(allowed.shape)
    others = weights if others is None else others
    for some in _some(len(allowed), len(scores), "thresholds of resamples"):
        found[some] = weighted_thresholds(scores, people, *_laid(weights[some], others[some], allowed[some]))
    return found


def shares(
    scores: Float[np.ndarray, " n"],
    people: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "b people"],
    limits: Float[np.ndarray, "b levels"],
) -> Float[np.ndarray, "b levels"]:
    """Give, a weighting and limit, the weighted share of scores strictly above the limit.

    Parameters
    ----------
    scores, people
        Genuine scores, rising, and their people.
    weights
        How much each person weighs.
    limits
        The limits of each weighting.

    Returns
    -------
    The shares; NaN where a weighting weighs nothing.
    """
    from embedlab.maths.pairs._sweep import weighted_shares

    found = np.empty(limits.shape)
    for some in _some(len(limits), len(scores), "accepted shares of resamples"):
        found[some] = weighted_shares(scores, people, *_laid(weights[some], limits[some]))
    return found


def sums(
    people: Int[np.ndarray, "n 2"],
    weights: Float[np.ndarray, "b people"],
    others: Float[np.ndarray, "b people"],
    ends: Int[np.ndarray, " b"],
) -> Float[np.ndarray, " b"]:
    """Sum, a weighting, what its first pairs of two people weigh.

    Parameters
    ----------
    people
        Both people of each pair.
    weights, others
        How much each person weighs as the first and as the second of a pair.
    ends
        How many pairs each weighting sums.
    """
    from embedlab.maths.pairs._sweep import weighted_sums

    found = np.empty(len(ends))
    for some in _some(len(ends), len(people), "weights of pairs"):
        found[some] = weighted_sums(people, *_laid(weights[some], others[some], ends[some]))
    return found


def _laid(*tables: np.ndarray) -> Iterator[np.ndarray]:
    """Lay tables out row after row: for every other order all would be compiled once more."""
    return map(np.ascontiguousarray, tables)


def _some(rows: int, columns: int, what: str) -> Iterator[slice]:
    step = max(LEAST, ENTRIES // max(columns, 1))
    for start in blocks(range(0, rows, step), what):
        yield slice(start, start + step)
