"""Energy distance of two clouds of paired points, by people: resampled and permuted without new distances.

For clouds X and Y it is 2·E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖, zero only where both are spread alike [1]_.
Pairs of points of one person are left out, so that it is unbiased: it may come out below zero, and a
resample that holds a person twice is not drawn together by that.

References
----------
.. [1] Székely, G. J. and Rizzo, M. L. Energy statistics: a class of statistics based on distances.
   Journal of Statistical Planning and Inference 143(8), 2013.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.progress import blocks

BLOCK = 1_024


@dataclass(frozen=True)
class Energy:
    """Sums of distances over the pairs of points of each two people, zero for a person with itself.

    Attributes
    ----------
    within
        X to X and Y to Y.
    across
        X to Y and Y to X.
    pairs
        How many pairs of one kind there are.
    """

    within: Float[np.ndarray, "people people"]
    across: Float[np.ndarray, "people people"]
    pairs: Float[np.ndarray, "people people"]

    def distance(self, weights: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give the energy distance where people weigh so; NaN where a resample holds one person only."""
        return _ratio(_quadratic(self.across - self.within, weights), _quadratic(self.pairs, weights))

    def share(self, weights: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give the energy distance divided by 2·E‖X − Y‖: 0 for equal clouds, 1 at most."""
        return _ratio(_quadratic(self.across - self.within, weights), _quadratic(self.across, weights))

    def swapped(self, signs: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give the energy distance where people of sign −1 have their points of X and Y exchanged.

        What lay within a cloud then lies across wherever the signs of two people differ, so that no
        distance is taken again.
        """
        whole = np.full(len(signs), self.pairs.sum())
        return _ratio(_quadratic(self.across - self.within, signs), whole)


def between_people(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"], owners: Int[np.ndarray, " n"]
) -> Energy:
    """Sum the distances of two paired clouds, a block of rows at a time.

    Parameters
    ----------
    a, b
        The clouds, row for row.
    owners
        The person of each row, 0…people−1, rising.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    sizes = np.bincount(owners).astype(np.float64)
    sums = np.zeros((3, len(sizes), len(sizes)))
    for row in blocks(range(0, len(owners), BLOCK), "distances of all pairs, in blocks"):
        rows = slice(row, row + BLOCK)
        for total, x, y in zip(sums, (a, b, a), (a, b, b), strict=True):
            apart = np.add.reduceat(euclidean_distances(x[rows], y), starts, axis=1)
            np.add.at(total, owners[rows], apart)
    counted = np.outer(sizes, sizes)
    for matrix in (*sums, counted):
        np.fill_diagonal(matrix, 0.0)
    return Energy(sums[0] + sums[1], sums[2] + sums[2].T, counted)


def _quadratic(matrix: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.einsum("bp,bp->b", weights @ matrix, weights)
    return found


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide, and round to twelve decimals, that clouds and partitions that are equal stay so."""
    found: np.ndarray = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    rounded: np.ndarray = np.round(found, 12)
    return rounded
