"""The p value of a permutation test, which an exact test needs to count itself [1]_.

References
----------
.. [1] Phipson, B. and Smyth, G. K. Permutation P-values should never be zero. Statistical Applications
   in Genetics and Molecular Biology 9(1), 2010.
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
