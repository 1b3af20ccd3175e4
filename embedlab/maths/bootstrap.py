"""Intervals from a bootstrap over identities.

Images of one person are not independent, so people are resampled, not images or pairs [1]_. A
resample is a count a person: a genuine pair of person i weighs wᵢ, an impostor pair of i and j weighs
wᵢ·wⱼ, and no pair is ever scored again. Counts come from the seed and the number of people alone, so
two models measured on the same people are resampled alike, and the differences of their replicates
are those of the difference [2]_.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [2] Efron, B. and Tibshirani, R. J. An Introduction to the Bootstrap. Chapman & Hall, 1993.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

LEVEL = 0.95


def resamples(people: int, count: int, seed: int) -> Float[np.ndarray, "resamples people"]:
    """Draw how often each person stands in each resample.

    Parameters
    ----------
    people
        How many people there are.
    count
        How many resamples to draw.
    seed
        Equal seeds give equal resamples.

    Returns
    -------
    Counts of shape (count, people) as float32; each row sums to ``people``.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(people, np.full(people, 1.0 / people), size=count).astype(np.float32)


def population(identities: Sequence[str], count: int, seed: int) -> str:
    """Name a set of people and a draw: results of one population were resampled alike."""
    text = "\0".join([*identities, str(count), str(seed)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def interval(replicates: Float[np.ndarray, " b"]) -> tuple[float | None, float | None]:
    """Give the 95 % percentile interval of a statistic's replicates; NaN ones are passed over.

    Returns
    -------
    The 2.5 % and 97.5 % quantiles, or None twice where fewer than half the replicates are numbers.
    """
    finite = replicates[np.isfinite(replicates)]
    if len(finite) < max(2, len(replicates) / 2):
        return None, None
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def share_interval(
    value: float, replicates: Float[np.ndarray, " b"], people: int
) -> tuple[float | None, float | None]:
    """Give the interval of a share, by the rule of three where nobody or everybody is counted.

    At 0 or 1 every resample gives the same share, which says nothing of how sure it is: the upper
    (or lower) end is then 3/people away [1]_.

    References
    ----------
    .. [1] Hanley, J. A. and Lippman-Hand, A. If nothing goes wrong, is everything all right?
       JAMA 249(13), 1983.
    """
    if value >= 1.0:
        return max(0.0, 1.0 - 3.0 / people), 1.0
    if value <= 0.0:
        return 0.0, min(1.0, 3.0 / people)
    return interval(replicates)


def weighted_mean(
    values: Float[np.ndarray, " n"], owners: np.ndarray, counts: Float[np.ndarray, "b people"]
) -> Float[np.ndarray, " b"]:
    """Give the mean of values that belong to people, a resample.

    Parameters
    ----------
    values
        A number a row.
    owners
        The person of each row.
    counts
        Resamples as ``resamples`` gives them.
    """
    people = counts.shape[1]
    sums = np.bincount(owners, values, minlength=people)
    sizes = np.bincount(owners, minlength=people)
    totals: np.ndarray = counts @ sizes
    means: np.ndarray = np.divide(counts @ sums, totals, out=np.full(len(counts), np.nan), where=totals > 0)
    return means


def shares(histograms: np.ndarray) -> Float[np.ndarray, "b bins"]:
    """Bring each row of counts to sum one; NaN where a resample left it empty."""
    totals = histograms.sum(axis=1, keepdims=True)
    empty = np.full(histograms.shape, np.nan)
    found: np.ndarray = np.divide(histograms, totals, out=empty, where=totals > 0)
    return found


def impostor_histograms(
    by_person: np.ndarray, counts: Float[np.ndarray, "b people"]
) -> Float[np.ndarray, "b bins"]:
    """Give each resample's histogram of impostor scores, to first order.

    With wᵢ = 1 + δᵢ the weight wᵢwⱼ of a pair is 1 + δᵢ + δⱼ + δᵢδⱼ. The last term, of mean zero, is
    left out here; it matters only where few pairs are counted, and there (low false accept rates)
    the pairs themselves are at hand and weighed exactly.

    Parameters
    ----------
    by_person
        Impostor pairs a person is part of, of shape (people, bins); each pair stands in two rows.
    counts
        Resamples as ``resamples`` gives them.
    """
    whole = by_person.sum(axis=0) / 2
    found: np.ndarray = np.maximum(whole + (counts - 1) @ by_person.astype(np.float32), 0.0)
    return found
