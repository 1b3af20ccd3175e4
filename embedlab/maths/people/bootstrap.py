"""Intervals from a bootstrap over identities.

Images of one person are not independent, so people are resampled, not images or pairs [1]_. A
resample is a count a person: a genuine pair of person i weighs wᵢ, an impostor pair of i and j weighs
wᵢ·wⱼ, and no pair is ever scored again. Counts come from the seed and the number of people alone, so
two models measured on the same people are resampled alike, and the differences of their replicates
are those of the difference [2]_.

How often a 95 % interval, as ``estimates.People`` gives it, held the truth, and its mean width where the
right one is one: samples of 150 people whose pairs weigh by person (``benchmarks/coverage.py`` measures it
anew, and by pair). With four images each; with numbers like those of Labeled Faces in the Wild; with four
each, 2 % of them under a wrong name; one person with 60 images and the others with three; and with four each
where AUC is 0.998. 120 samples each, 200 of the last two.

========================  ==========  ==========  ===========  ==========  ===========
statistic                 equal       like LFW    2 % wrong    one rules   AUC 0.999
========================  ==========  ==========  ===========  ==========  ===========
mean of genuine pairs     97 %, 0.97  92 %, 1.04  94 %, 1.02   96 %, 0.99  95 %, 0.96
mean of impostor pairs    90 %, 1.00  94 %, 1.04  98 %, 1.06   94 %, 1.05  95 %, 1.02
d′                        96 %, 0.94  92 %, 1.03  93 %, 1.02   94 %, 0.98  95 %, 0.96
overlap                   98 %, 0.97  94 %, 1.07  97 %, 1.06   96 %, 1.05  96 %, 1.06
AUC                       96 %, 1.01  93 %, 1.12  96 %, 1.07   94 %, 1.06  89 %, 1.36
EER                       96 %, 1.01  95 %, 1.06  96 %, 1.04   96 %, 1.09  95 %, 1.10
TAR at FAR 1e-1           98 %, 1.03  94 %, 1.08  98 %, 1.08   97 %, 1.08  100 %, 1.44
TAR at FAR 1e-2           96 %, 1.00  97 %, 1.09  98 %, 1.04   95 %, 1.02  98 %, 1.10
TAR at FAR 1e-3           95 %, 1.03  96 %, 1.02  96 %, 1.05   97 %, 1.06  98 %, 1.07
TAR at FAR 1e-4           97 %, 1.08  97 %, 1.13  95 %, 1.16   97 %, 1.18  97 %, 1.00
FAR at a fixed threshold  95 %, 1.02  94 %, 1.02  92 %, 0.96   94 %, 1.00  96 %, 1.04
FAR of others' threshold  99 %, 1.57  99 %, 1.43  100 %, 1.36  99 %, 1.45  99 %, 1.40
========================  ==========  ==========  ===========  ==========  ===========

Chance moves shares by two points and widths by 0.05; these samples have seeds that nothing was chosen on.
On the 400 samples a world that the way was chosen on, the first world's hold all rows but the last in 94 to
97 %, at widths of 1.01 to 1.10, and the last world's the AUC in 86 %: where eight of 150 people make all the
errors, samples without the one who makes most do not know of him. The quantiles of the replicates held it in
80 %. With one person who has 60 images, no intervals are given by pair: the pairs tell as much as two
people do.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [2] Efron, B. and Tibshirani, R. J. An Introduction to the Bootstrap. Chapman & Hall, 1993.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from embedlab.progress import blocks

LEVEL = 0.95
# Counts drawn at once.
BLOCK = 1 << 22
# Counts of a draw that is kept.
KEPT = 1 << 24


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

    Notes
    -----
    Most analyses of a set ask for the same draw; the last two are kept, where they are no larger than 64 MB.
    """
    if people * count > KEPT:
        return _drawn(people, count, seed)
    return _kept(people, count, seed).copy()


def _drawn(people: int, count: int, seed: int) -> Float[np.ndarray, "resamples people"]:
    rng = np.random.default_rng(seed)
    found, even = np.empty((count, people), np.float32), np.full(people, 1.0 / people)
    step = max(1, BLOCK // max(people, 1))
    for start in blocks(range(0, count, step), "drawing resamples of people"):
        found[start : start + step] = rng.multinomial(people, even, size=min(step, count - start))
    return found


_kept = lru_cache(maxsize=2)(_drawn)


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


def left_out(people: int, seed: int, groups: int = 100) -> Float[np.ndarray, "groups people"]:
    """Give the weights of a jackknife that leaves out one group of people at a time.

    Statistics take these rows as they take resamples. The acceleration of a statistic that is nearly
    a mean over people is the same whether people or random groups of them are left out, so a hundred
    groups will do, however many people there are.

    Parameters
    ----------
    people
        How many people there are; with fewer than ``groups`` each is a group.
    seed
        Seed of the groups.
    groups
        How many groups to make.
    """
    groups = min(groups, people)
    group = np.random.default_rng([seed, 3]).permutation(np.arange(people) % groups)
    found: np.ndarray = (group != np.arange(groups)[:, None]).astype(np.float32)
    return found


def bca_interval(
    value: float, replicates: Float[np.ndarray, " b"], jackknife: Float[np.ndarray, " g"]
) -> tuple[float | None, float | None]:
    """Give the 95 % bias-corrected and accelerated interval [1]_, eqs. 14.9–14.15.

    Parameters
    ----------
    value
        The statistic of the set itself.
    replicates
        The statistic of each resample.
    jackknife
        The statistic of each row of ``left_out``.

    Returns
    -------
    The interval; the percentile one where the value lies outside all replicates or the jackknife has
    no number; None twice where fewer than half the replicates are numbers.

    References
    ----------
    .. [1] Efron, B. and Tibshirani, R. J. An Introduction to the Bootstrap. Chapman & Hall, 1993.
    """
    from scipy.special import ndtr, ndtri

    finite = replicates[np.isfinite(replicates)]
    if len(finite) < max(2, len(replicates) / 2):
        return None, None
    # Ties count half, or a statistic of few values would look biased.
    below = float((finite < value).mean() + (finite == value).mean() / 2)
    gaps = jackknife[np.isfinite(jackknife)]
    gaps = gaps.mean() - gaps if len(gaps) else gaps
    spread = float((gaps**2).sum())
    if not 0 < below < 1 or spread == 0:
        return interval(replicates)
    bias = ndtri(below)
    acceleration = float((gaps**3).sum()) / (6 * spread**1.5)
    ends = bias + ndtri([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.quantile(finite, ndtr(bias + ends / (1 - acceleration * ends)))
    return float(low), float(high)


def clopper_pearson(successes: int, trials: int) -> tuple[float, float]:
    """Give the exact 95 % interval of a share of independent trials [1]_.

    Never shorter than it should be, and sound at no success or no failure, where a bootstrap has
    nothing to resample.

    Raises
    ------
    ValueError
        If there is no trial, or there are more successes than trials.

    References
    ----------
    .. [1] Clopper, C. J. and Pearson, E. S. The use of confidence or fiducial limits illustrated in
       the case of the binomial. Biometrika 26(4), 1934.
    """
    from scipy.special import betaincinv

    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials} trials are no share")
    tail = (1 - LEVEL) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def share_interval(
    value: float, replicates: Float[np.ndarray, " b"], people: int
) -> tuple[float | None, float | None]:
    """Give the interval of a share, by the rule of three where nobody or everybody is counted.

    At 0 or 1 every resample may give the same share, which says nothing of how sure it is: the upper
    (or lower) end is then 3/people away [1]_. Resamples that differ, as where they choose a threshold anew
    and leave out whoever raised it, move it further.

    References
    ----------
    .. [1] Hanley, J. A. and Lippman-Hand, A. If nothing goes wrong, is everything all right?
       JAMA 249(13), 1983.
    """
    low, high = interval(replicates)
    if value >= 1.0:
        return min(max(0.0, 1.0 - 3.0 / people), 1.0 if low is None else low), 1.0
    if value <= 0.0:
        return 0.0, max(min(1.0, 3.0 / people), 0.0 if high is None else high)
    return low, high


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
    found: np.ndarray = np.maximum(whole + impostor_moves(by_person, counts), 0.0)
    return found


def impostor_moves(
    by_person: np.ndarray, counts: Float[np.ndarray, "b people"]
) -> Float[np.ndarray, "b bins"]:
    """Give what each resample adds to the histogram of impostor scores, as ``impostor_histograms`` says."""
    found: np.ndarray = (counts - 1) @ by_person.astype(np.float32)
    return found
