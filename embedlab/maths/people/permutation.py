"""The p value of a permutation test, which an exact test needs to count itself [1]_; and of many tests.

References
----------
.. [1] Phipson, B. and Smyth, G. K. Permutation P-values should never be zero. Statistical Applications
   in Genetics and Molecular Biology 9(1), 2010.
.. [2] Holm, S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics
   6(2), 1979.
.. [3] Hahn, G. J. and Meeker, W. Q. Statistical Intervals: A Guide for Practitioners. Wiley, 1991.
"""

import numpy as np
from jaxtyping import Float

ROUNDING = 1e-9


def p_value(value: float, null_values: Float[np.ndarray, " b"]) -> float:
    """Give how often chance does as well: (1 + #{null ≥ value}) / (1 + B), one-sided.

    Parameters
    ----------
    value
        The statistic as measured; larger is more extreme.
    null_values
        The same statistic of B random permutations.

    Returns
    -------
    Between 1/(1 + B) and 1, never 0. What differs from ``value`` by rounding alone, and what is no
    number, counts as no less extreme: a test may err towards caution only.
    """
    less = np.asarray(null_values, dtype=np.float64) < value - ROUNDING * abs(value)
    return float((1 + np.count_nonzero(~less)) / (1 + less.size))


def further_p_value(value: float, null_values: Float[np.ndarray, " b"]) -> float:
    """Test whether one further observation of the null would be so high, one-sided.

    If a null value is as high, the share of those that are. Above all of them counting cannot give a small
    p value: then Student's t of one further observation [3]_, which takes them to be normal. Of 19 null
    values or more at most 5 % of tests have p ≤ .05 where there is nothing to find, normal or not.
    """
    from scipy.stats import t

    counted = p_value(value, null_values)
    spread = (
        float(null_values.std(ddof=1)) * np.sqrt(1 + 1 / len(null_values)) if len(null_values) > 1 else 0.0
    )
    gap = value - float(null_values.mean())
    if spread <= 1e-12:
        return 1 / (1 + len(null_values)) if gap > 1e-9 else 1.0
    normal = float(t.sf(gap / spread, len(null_values) - 1))
    return normal if counted * (1 + len(null_values)) < 1.5 else max(normal, counted)


def told(value: float, smallest: float = 0.0) -> str:
    """Write a p value, and whether it is the smallest that so many shuffles, or places, can give."""
    if value < 1e-4:
        return "p below 0.0001"
    digits = 4 if value < 0.001 else 3 if value < 0.1 else 2
    return f"p = {value:.{digits}f}" + (", the smallest possible" if value <= smallest + ROUNDING else "")


def holm(p_values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Correct p values for there being k of them: the chance of any false claim stays at the level [2]_."""
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
