"""Whether one cloud of points lies on another the way it should: each point on its own counterpart.

The rows of both clouds are the same items. Clouds may overlap perfectly although no point lies on its
own counterpart, so that it is counterparts that are counted: how often the nearest point of the other
cloud is the same item, or of the same person, and how far apart counterparts lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.people.bootstrap import weighted_mean
from embedlab.maths.sums import by_person

BLOCK = 512


@dataclass(frozen=True)
class Correspondence:
    """How the points of a moved cloud lie to those of the fixed one.

    Attributes
    ----------
    owners
        The person of each row, 0…people−1, rising.
    items, people
        How often the nearest fixed point is the row's own item, and of the same person: 0 or 1 of a
        cloud, a share of several pooled ones.
    squares
        Squared distance of each row to its own counterpart.
    sums, pairs
        Sum and number of distances from the moved points of one person to the fixed ones of another.
    """

    owners: Int[np.ndarray, " n"]
    items: Float[np.ndarray, " n"]
    people: Float[np.ndarray, " n"]
    squares: Float[np.ndarray, " n"]
    sums: Float[np.ndarray, "people people"]
    pairs: Float[np.ndarray, "people people"]

    def rmse(self, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give the root mean square distance of counterparts where people weigh so."""
        found: np.ndarray = np.sqrt(weighted_mean(self.squares, self.owners, counts))
        return found

    def intra(self, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give the mean distance of a person's moved points to the same person's fixed ones."""
        whole = counts @ self.pairs.diagonal()
        found: np.ndarray = np.divide(
            counts @ self.sums.diagonal(), whole, out=np.full(len(counts), np.nan), where=whole > 0
        )
        return found

    def inter(self, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give the mean distance between two people's points; NaN where a resample holds one person."""
        above, below = (
            np.einsum("bp,bp->b", counts @ (m - np.diag(m.diagonal())), counts)
            for m in (self.sums, self.pairs)
        )
        found: np.ndarray = np.divide(above, below, out=np.full(len(counts), np.nan), where=below > 0)
        return found

    def ratio(self, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give intra over inter: 1 where a person's own points lie no nearer; shrinking leaves it."""
        inter = self.inter(counts)
        found: np.ndarray = np.divide(
            self.intra(counts), inter, out=np.full(len(counts), np.nan), where=inter > 0
        )
        return found


def judge(
    moved: Float[np.ndarray, "n d"], fixed: Float[np.ndarray, "n d"], owners: Int[np.ndarray, " n"]
) -> Correspondence:
    """Hold a moved cloud against a fixed one, a block of rows at a time.

    Parameters
    ----------
    moved, fixed
        The clouds, row for row the same items.
    owners
        The person of each row, 0…people−1, rising.

    Raises
    ------
    ValueError
        If the shapes differ or the owners do not rise from 0 without a gap.
    """
    if moved.shape != fixed.shape or len(owners) != len(moved):
        raise ValueError(f"clouds of shape {moved.shape} and {fixed.shape} for {len(owners)} owners")
    steps = np.diff(owners, prepend=-1)
    if not len(owners) or owners[0] != 0 or (steps[1:] < 0).any() or (steps[1:] > 1).any():
        raise ValueError("owners must rise from 0, one at a time")
    starts = np.flatnonzero(steps)
    sizes = np.bincount(owners).astype(np.float64)
    sums = np.zeros((len(sizes), len(sizes)))
    nearest = np.empty(len(owners), np.int64)
    for start in range(0, len(owners), BLOCK):
        rows = slice(start, start + BLOCK)
        apart = _distances(moved[rows], fixed)
        nearest[rows] = apart.argmin(axis=1)
        sums += by_person(np.add.reduceat(apart, starts, axis=1), owners[rows], len(sizes))
    return Correspondence(
        owners=owners,
        items=(nearest == np.arange(len(owners))).astype(np.float64),
        people=(owners[nearest] == owners).astype(np.float64),
        squares=((moved - fixed) ** 2).sum(axis=1),
        sums=sums,
        pairs=np.outer(sizes, sizes),
    )


def pooled(many: Sequence[Correspondence]) -> Correspondence:
    """Give the mean of several moves of one cloud, as of the null's draws."""
    first = many[0]
    items, people, squares, sums = (
        np.mean([getattr(one, name) for one in many], axis=0)
        for name in ("items", "people", "squares", "sums")
    )
    return Correspondence(first.owners, items, people, squares, sums, first.pairs)


def chance(owners: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Give how often a fixed point picked at random is the row's own item, and of the same person."""
    sizes = np.bincount(owners).astype(np.float64)
    return 1.0 / len(owners), float((sizes**2).sum() / len(owners) ** 2)


def _distances(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, "n m"]:
    from scipy.spatial.distance import cdist
    from sklearn.metrics.pairwise import euclidean_distances

    # Differences are exact and fast in few dimensions; a matrix product is the faster in many.
    return np.asarray(cdist(a, b) if a.shape[1] <= 8 else euclidean_distances(a, b))
