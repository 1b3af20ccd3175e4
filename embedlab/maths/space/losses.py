"""Who keeps fewer of their nearest people than noise alone would leave.

References
----------
.. [1] Knijnenburg, T. A., Wessels, L. F. A., Reinders, M. J. T. and Shmulevich, I. Fewer permutations,
   more accurate P-values. Bioinformatics 25(12), 2009.
.. [2] Hosking, J. R. M. and Wallis, J. R. Parameter and quantile estimation for the generalized Pareto
   distribution. Technometrics 29(3), 1987.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.space.neighbourhoods import AtK

# The share of null values that a tail is fitted to, and the fewest of them.
TAIL, FEWEST = 0.1, 20
# People in a group of about as many images.
GROUP = 50


def beyond_noise(
    at_k: Sequence[AtK], level: float
) -> tuple[Float[np.ndarray, " people"], Float[np.ndarray, " people"], Float[np.ndarray, "twins people"]]:
    """Give the share expected of each person, the difference from it, and the twins' differences.

    What is expected follows from how far a person's own halves agree, along the line that fits the twins.

    Parameters
    ----------
    at_k
        Shares in the real spaces, and in each pair of twins.
    level
        The mean share that noise alone would leave.
    """
    real, *alike = at_k
    own, across = np.stack([t.own for t in alike]), np.stack([t.rows[2] for t in alike])
    centred = own - own.mean()
    spread = (centred**2).sum()
    slope = float((centred * across).sum() / spread) if spread > 0 else 0.0
    expected = np.clip(level + slope * (real.own - real.own.mean()), 0.0, 1.0)
    return expected, real.rows[2] - expected, across - (across.mean() + slope * centred)


def places(
    means: Float[np.ndarray, "people d"], rows: Int[np.ndarray, " shown"]
) -> Int[np.ndarray, "shown people"]:
    """Give what place everybody has from a person, 0 the nearest; the person comes last."""
    near = means[rows] @ means.T
    near[np.arange(len(rows)), rows] = -np.inf
    order = np.argsort(-near, axis=1, kind="stable")
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(len(means))[None], axis=1)
    return found


def p_values(
    values: Float[np.ndarray, " n"], null: Float[np.ndarray, "draws n"], images: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Give for each person how often noise alone leads as low, one-sided.

    Null values of people with about as many images are taken together. Their lowest tenth is
    extrapolated by a generalised Pareto distribution [1]_, fitted by its moments [2]_ and never taken
    to have an end.

    Parameters
    ----------
    values
        A number a person; small is more extreme.
    null
        The same where noise alone is at work, drawn several times.
    images
        How many images each person has.
    """
    found = np.empty(len(values))
    for rows in _alike(images):
        found[rows] = _tail(-values[rows], np.sort(-null[:, rows], axis=None)[::-1])
    return found


def _alike(images: np.ndarray) -> list[np.ndarray]:
    """Group people with about as many images, at least ``GROUP`` together and equal numbers never apart."""
    order = np.argsort(images, kind="stable")
    starts = [0]
    for cut in np.flatnonzero(np.diff(images[order])) + 1:
        if cut - starts[-1] >= GROUP and len(images) - cut >= GROUP:
            starts.append(int(cut))
    return np.split(order, starts[1:])


def _tail(values: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Give the share of null values, which fall, that reach each value."""
    n = len(null)
    reached = np.searchsorted(-null, -values, side="right")
    found: np.ndarray = (1 + reached) / (1 + n)
    size = min(n - 1, max(FEWEST, round(TAIL * n)))
    edge = null[size]
    beyond = null[:size] - edge
    mean, variance = beyond.mean(), beyond.var()
    if variance == 0:
        return found
    # An exponential tail at least: a shorter one would make what few null values show certain.
    shape = max(0.0, 0.5 * (1 - mean**2 / variance))
    scale = mean * (1 - shape)
    far = values > edge
    excess = (values[far] - edge) / scale
    share = np.exp(-excess) if shape == 0 else (1 + shape * excess) ** (-1 / shape)
    found[far] = size / n * share
    return found
