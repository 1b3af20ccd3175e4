"""How sure a number is, how strong the evidence for a difference, and which of many are claimed.

How often a difference was claimed at 5 % where there is none, in 2,000 samples of so many people with a
number each, by the percentile interval and by the one expanded for few people (``expanded``):

======  ==============  ==============  ===================  ==================
people  normal          t of 3 degrees  −1, 0, 1 (half 0)    shares of 5 images
======  ==============  ==============  ===================  ==================
2       48 %, 48 %      51 %, 51 %      12 %, 12 %           16 %, 16 %
3       26 %, 26 %      25 %, 25 %      3 %, 3 %             5 %, 5 %
4       21 %, 13 %      22 %, 14 %      6 %, 1 %             8 %, 1 %
5       17 %, 8 %       18 %, 8 %       8 %, 2 %             12 %, 2 %
8       10 %, 5 %       11 %, 5 %       9 %, 5 %             9 %, 5 %
10      10 %, 6 %       11 %, 6 %       7 %, 5 %             8 %, 5 %
20      8 %, 5 %        8 %, 6 %        5 %, 4 %             6 %, 4 %
40      6 %, 5 %        8 %, 7 %        5 %, 5 %             6 %, 5 %
======  ==============  ==============  ===================  ==================

References
----------
.. [1] Davison, A. C. and Hinkley, D. V. Bootstrap Methods and their Application. Cambridge, 1997, ch. 4.
.. [2] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate: a practical and powerful
   approach to multiple testing. Journal of the Royal Statistical Society B 57(1), 1995.
.. [3] Hesterberg, T. C. What teachers should know about the bootstrap. The American Statistician 69(4), 2015.
.. [4] Korn, E. L. and Graubard, B. I. Confidence intervals for proportions with small expected number of
   positive counts estimated from survey data. Survey Methodology 24(2), 1998.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Float

from embedlab.maths.people.bootstrap import share_interval

LEVEL = 0.05
"""Share of false claims among the claims of a report that is put up with."""

LEAST_FOR_INTERVAL = 5
"""Fewer people have no interval.

Of four there are 35 different resamples, whose most extreme ones (one person four times) have a probability
of 0.4 % each: no quantile beyond can be read. Of five an expanded interval holds 92 %, of four 87 %.
"""

LEAST_FOR_CLAIM = 10
"""Fewer people support no claim, whatever their interval.

From eight or ten people on an expanded interval is false in 5 to 6 % (see the table); and n people agree by
chance in 2^(1 − n): ten can show p = 0.2 %, which stands among 25 comparisons, eight only 0.8 %.
"""


def expanded(
    value: float, replicates: Float[np.ndarray, " b"], n: int = 0
) -> tuple[float | None, float | None]:
    """Give the 95 % percentile interval, as much wider as few people ask for, and with the value inside.

    The replicates of n people spread √((n − 1) / n) too little, and by a normal law rather than a t of
    n − 1 degrees of freedom. The quantiles read are those that mend both for a mean [3]_: 2.5 % for very
    many people, 1.6 % for 20 and 0.1 % for 5.

    Where the value lies outside, resampling shifts the statistic by more than it spreads, and nobody can tell
    whether the sample itself is shifted as much. The interval then covers the replicates, and the same
    replicates moved to have the value as their median.

    Parameters
    ----------
    value
        The statistic of the set itself.
    replicates
        The statistic of each resample; those that are no numbers are passed over.
    n
        How many people it rests on; 0 where nobody knows, and nothing is expanded.

    Returns
    -------
    The ends; None twice where fewer than half of the replicates are numbers, or fewer people than
    ``LEAST_FOR_INTERVAL`` stand behind them.
    """
    read = _read(replicates, n)
    return (None, None) if read is None else holding(value, *read)


def _read(replicates: Float[np.ndarray, " b"], n: int) -> tuple[float, float, float] | None:
    """Read low end, high end and median; None where there is no interval."""
    finite = replicates[np.isfinite(replicates)]
    if len(finite) < max(2, len(replicates) / 2) or 0 < n < LEAST_FOR_INTERVAL:
        return None
    tail = _tail(n)
    low, high, middle = np.quantile(finite, [tail, 1 - tail, 0.5])
    return float(low), float(high), float(middle)


def of_share(
    value: float, replicates: Float[np.ndarray, " b"], n: int, *, graded: bool = False
) -> tuple[float | None, float | None]:
    """Give the 95 % interval of a share: the exact binomial one of as many trials as would vary as much [4]_.

    Near 0 and 1 a share varies the less the nearer it is, so that samples that come out too near also look
    too sure: with few people who err the percentile interval held the truth in 78 to 91 %. A share p whose
    replicates have the variance V tells as much as p(1 − p)/V independent trials; theirs is the interval of
    Clopper and Pearson, which knows that few errors are Poisson's and not normal. Student's law of n − 1
    degrees of freedom makes the trials fewer.

    Parameters
    ----------
    value, replicates, n
        As ``expanded`` takes them.
    graded
        Whether the people who err do so by more and less, as in AUC. How much they vary is then known from
        as many as err only, and that is the number of Student's degrees of freedom.

    Returns
    -------
    The ends, between 0 and 1. At 0 and 1 the rule of three, or as far as replicates that differ; that of
    ``expanded`` where the replicates do not hold the value, do not vary, or n is not known; None as there.
    """
    from scipy.special import betaincinv, ndtri, stdtrit

    read = _read(replicates, n)
    if read is None:
        return None, None
    low, high, _ = read
    if n and value in (0.0, 1.0):
        least, most = share_interval(value, replicates, n)
        return (0.0, max(most or 0.0, high)) if value == 0.0 else (min(least or 0.0, low), 1.0)
    spread = float(np.nanstd(replicates)) * math.sqrt(n / max(n - 1, 1))
    if spread > 1e-9 and 0 < value < 1 and low <= value <= high:
        trials = value * (1 - value) / spread**2
        freedom = min(n - 1, min(value, 1 - value) * trials + 1) if graded else n - 1
        trials *= float(ndtri(LEVEL / 2) / stdtrit(freedom, LEVEL / 2)) ** 2
        right, wrong = value * trials, (1 - value) * trials
        low = float(betaincinv(right, wrong + 1, LEVEL / 2))
        high = float(betaincinv(right + 1, wrong, 1 - LEVEL / 2))
        return low, high
    low, high = holding(value, *read)
    return max(low, 0.0), min(high, 1.0)


def holding(value: float, low: float, high: float, middle: float) -> tuple[float, float]:
    """Widen an interval that does not hold its value by itself moved so that its middle is the value."""
    if low <= value <= high or not math.isfinite(value):
        return low, high
    shift = value - middle
    return min(low, low + shift, value), max(high, high + shift, value)


@cache
def _tail(n: int) -> float:
    from scipy.special import ndtr, stdtrit

    if n < 2:
        return LEVEL / 2
    return float(ndtr(stdtrit(n - 1, LEVEL / 2) * math.sqrt(n / (n - 1))))


def two_sided_p(value: float, replicates: Float[np.ndarray, " b"], n: int = 0) -> float:
    """Give the chance of a difference at least as far from zero where there is none.

    The larger of two, so that neither is trusted where it is weak. The *normal* one takes value / SD of the
    replicates for a t of n − 1 degrees of freedom; it goes on where no replicate lies beyond zero, below
    1 / replicates, which claims among many comparisons need. The *tail* one is twice the share of replicates
    beyond zero, the level of the percentile interval that ends there [1]_; it sees where the replicates
    are skewed.

    Parameters
    ----------
    value
        The difference itself.
    replicates
        The difference in each resample; those that are no numbers are passed over.
    n
        How many people it rests on; 0 where nobody knows, and the normal law is taken.

    Returns
    -------
    Never below 2^(1 − n), the chance that n people agree in the sign of their differences without cause; 1
    where the value is zero; NaN where fewer than half of the replicates are numbers.
    """
    finite = np.asarray(replicates, np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) < max(2, len(replicates) / 2) or not math.isfinite(value):
        return math.nan
    if value == 0:
        return 1.0
    tail = 2.0 * min(float((finite <= 0).mean()), float((finite >= 0).mean()))
    return min(1.0, max(normal_p(value, float(finite.std()), n), tail))


def normal_p(value: float, spread: float, n: int = 0) -> float:
    """Give the chance of a difference at least as far from zero, by its standard deviation.

    The law is a t of n − 1 degrees of freedom, the normal one where n is not known; never below ``least_p``.
    """
    from scipy.special import ndtr, stdtr

    if value == 0:
        return 1.0
    z = abs(value) / spread if spread > 0 else math.inf
    return max(2.0 * float(stdtr(n - 1, -z) if n > 1 else ndtr(-z)), least_p(n))


def least_p(n: int) -> float:
    """Give the smallest p that n people can show: 2^(1 − n); 0 where their number is not known."""
    return 2.0 ** (1 - min(n, 1000)) if n else 0.0


def adjusted(p: Sequence[float]) -> list[float]:
    """Give the q value of each of many p values, by Benjamini and Hochberg's step-up rule [2]_.

    Those of q ≤ ``LEVEL`` are claimed: of them at most that share is expected to be false, where the
    statistics are independent or depend positively on each other.
    """
    if not len(p):
        return []
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p, np.float64)[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return [float(q) for q in found]
