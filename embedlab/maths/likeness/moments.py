"""Two spaces' second moments in two halves of the people, so that what one fits the other judges."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.likeness.hsic import blocks
from embedlab.maths.linear.span import basis_of


@dataclass(frozen=True)
class Halves:
    """The rows of one space and their moments in each half.

    Attributes
    ----------
    rows
        About the mean of all of them, of shape (n, d), in the precision they were given in.
    half
        The half of each row, 0 or 1.
    sizes
        How many rows each half has.
    means
        Of each half.
    scatters
        Sums of products about the half's own mean.
    basis
        The axes that all these are coordinates along, as columns; None where they are the space's own.
    """

    rows: Float[np.ndarray, "n d"]
    half: Int[np.ndarray, " n"]
    sizes: Int[np.ndarray, " 2"]
    means: Float[np.ndarray, "2 d"]
    scatters: Float[np.ndarray, "2 d d"]
    basis: Float[np.ndarray, "e d"] | None = None

    @classmethod
    def of(cls, vectors: Float[np.ndarray, "n e"], half: Int[np.ndarray, " n"]) -> "Halves":
        """Take a space apart; of few rows, the space that they span."""
        basis = basis_of(vectors)
        if basis is not None:
            vectors = vectors @ basis
        rows = (vectors - vectors.mean(axis=0, dtype=np.float64)).astype(vectors.dtype)
        sizes = np.bincount(half, minlength=2)
        means = np.stack([rows[half == h].mean(axis=0, dtype=np.float64) for h in (0, 1)])
        scatters = products(rows, rows, half) - _of_means(sizes, means, means)
        return cls(rows, half, sizes, means, scatters, basis)

    @property
    def spread(self) -> float:
        """The sum of squares of the half that has less."""
        return float(min(np.trace(one) for one in self.scatters))

    def without(self, gone: Int[np.ndarray, " m"]) -> "Halves":
        """Give the moments of all rows but some; ``rows`` stay as they are."""
        rows, half = self.rows[gone], self.half[gone]
        sizes = self.sizes - np.bincount(half, minlength=2)
        means = self.sizes[:, None] * self.means
        means = (means - [rows[half == h].sum(axis=0, dtype=np.float64) for h in (0, 1)]) / sizes[:, None]
        raw = self.scatters + _of_means(self.sizes, self.means, self.means) - products(rows, rows, half)
        scatters = raw - _of_means(sizes, means, means)
        return replace(self, sizes=sizes, means=means, scatters=scatters)


@dataclass(frozen=True)
class Cross:
    """Sums of products of two spaces' matched rows.

    Attributes
    ----------
    raw
        About the means of all rows, a half each, of shape (2, p, q).
    centred
        About each half's own means.
    """

    raw: Float[np.ndarray, "2 p q"]
    centred: Float[np.ndarray, "2 p q"]

    @classmethod
    def of(cls, a: Halves, b: Halves, order: Int[np.ndarray, " n"] | None = None) -> "Cross":
        """Match row i of ``a`` with row ``order[i]`` of ``b``, of the same half; without it with row i.

        Shuffled products, which many are made of, are summed in the rows' own precision.
        """
        raw = products(a.rows, b.rows, a.half, order)
        return cls(raw, raw - _of_means(a.sizes, a.means, b.means))

    def without(self, a: Halves, b: Halves, gone: Int[np.ndarray, " m"]) -> "Cross":
        """Leave out the same rows of both spaces, whose own moments are already without them."""
        raw = self.raw - products(a.rows[gone], b.rows[gone], a.half[gone])
        return Cross(raw, raw - _of_means(a.sizes, a.means, b.means))


def products(
    x: Float[np.ndarray, "n p"],
    y: Float[np.ndarray, "n q"],
    half: Int[np.ndarray, " n"],
    order: Int[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, "2 p q"]:
    """Sum the outer products of matched rows in each half."""
    found = np.zeros((2, x.shape[1], y.shape[1]))
    for h in (0, 1):
        mine = np.flatnonzero(half == h)
        for some in blocks(len(mine)):
            rows = mine[some]
            if order is None:
                found[h] += x[rows].T.astype(np.float64) @ y[rows].astype(np.float64)
            else:
                found[h] += x[rows].T @ y[order[rows]]
    return found


def _of_means(sizes: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found: np.ndarray = sizes[:, None, None] * a[:, :, None] * b[:, None, :]
    return found
