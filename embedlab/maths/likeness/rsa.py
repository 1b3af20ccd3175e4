"""Representational similarity analysis: whether two spaces rank pairs of items alike.

References
----------
.. [1] Kriegeskorte, N., Mur, M. and Bandettini, P. Representational similarity analysis: connecting the
   branches of systems neuroscience. Frontiers in Systems Neuroscience 2, 2008.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.progress import track


@dataclass(frozen=True)
class Ranked:
    """The representational dissimilarity matrix of a space, as ranks of its pairs.

    Attributes
    ----------
    ranks
        Of each pair i < j among all, less their mean, divided by the number of pairs; of equal
        dissimilarities the mean rank. In the order of ``scipy.spatial.distance.squareform``.
    order
        The pairs by rising dissimilarity.
    """

    ranks: Float[np.ndarray, " pairs"]
    order: Int[np.ndarray, " pairs"]

    @classmethod
    def of(cls, vectors: Float[np.ndarray, "n d"]) -> "Ranked":
        """Rank the cosine dissimilarities 1 − cos of all pairs of rows."""
        unit = vectors.astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        apart = 1.0 - (unit @ unit.T)[np.triu_indices(len(unit), 1)]
        order = np.argsort(apart, kind="stable").astype(np.int32)
        rising = apart[order]
        starts = np.flatnonzero(np.r_[True, rising[1:] > rising[:-1]])
        lengths = np.diff(np.r_[starts, len(rising)])
        ranks = np.empty(len(rising))
        ranks[order] = np.repeat(starts + (lengths - len(rising)) / 2, lengths) / len(rising)
        return cls(ranks, order)

    @property
    def square(self) -> Float[np.ndarray, "n n"]:
        """The ranks as a symmetric matrix with a zero diagonal, in single precision."""
        from scipy.spatial.distance import squareform

        found: np.ndarray = squareform(self.ranks.astype(np.float32))
        return found


def spearman(
    a: Ranked, b: Ranked, shuffles: Iterable[Int[np.ndarray, " n"]] = ()
) -> tuple[float, Float[np.ndarray, " n"], Float[np.ndarray, " b"]]:
    """Correlate the ranks of two dissimilarity matrices of the same items [1]_.

    Parameters
    ----------
    a, b
        The ranked matrices.
    shuffles
        Orders of the items in which ``b`` is matched with ``a`` instead.

    Returns
    -------
    The correlation, NaN where a space has one dissimilarity only; its derivative by the weight of
    each item (a pair weighs the product of its items' weights; ranks move with the weights); and its
    value in each shuffle.
    """
    from scipy.spatial.distance import squareform

    size = float(np.sqrt((a.ranks @ a.ranks) * (b.ranks @ b.ranks)))
    if size == 0:
        items = len(a.square)
        return np.nan, np.full(items, np.nan), np.full(len(list(shuffles)), np.nan)
    value = float(a.ranks @ b.ranks) / size
    moved = a.ranks * b.ranks + _above(a, b.ranks) + _above(b, a.ranks)
    gradient = squareform(moved - moved.mean()).sum(axis=1) / size
    one, other = a.square, b.square
    nulls = [_matched(one, other, order) / (2 * size) for order in track(shuffles, "shuffles of RSA")]
    return value, gradient, np.array(nulls)


def _above(a: Ranked, values: np.ndarray) -> np.ndarray:
    """Give for each pair the mean over all pairs of ``values`` where these are further apart in ``a``."""
    sorted_values = values[a.order]
    below = np.cumsum(sorted_values) - sorted_values / 2
    found = np.empty(len(values))
    found[a.order] = (sorted_values.sum() - below) / len(values)
    return found


def _matched(one: np.ndarray, other: np.ndarray, order: np.ndarray) -> float:
    return float(np.vdot(one, other[order][:, order]))
