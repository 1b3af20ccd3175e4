"""How strong the evidence for a difference is, and which of many differences are claimed.

References
----------
.. [1] Davison, A. C. and Hinkley, D. V. Bootstrap Methods and their Application. Cambridge, 1997, ch. 4.
.. [2] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate: a practical and powerful
   approach to multiple testing. Journal of the Royal Statistical Society B 57(1), 1995.
.. [3] Hesterberg, T. C. What teachers should know about the bootstrap. The American Statistician 69(4), 2015.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

LEVEL = 0.05
"""Share of false claims among the claims of a report that is put up with."""


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
