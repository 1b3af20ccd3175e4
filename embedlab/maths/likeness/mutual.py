"""Whether two spaces agree on who is nearest: mutual nearest neighbours, and CKA on these alone.

References
----------
.. [1] Huh, M., Cheung, B., Wang, T. and Isola, P. The platonic representation hypothesis. ICML 2024.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.maths.likeness.hsic import norm, of_sparse
from embedlab.maths.space.neighbours import nearest, overlap
from embedlab.progress import track


@dataclass(frozen=True)
class Near:
    """Each item's nearest others in one space.

    Attributes
    ----------
    indices
        Nearest first: the k nearest, and further ones that take the place of those left out.
    cosines
        Their similarities.
    k
        How many of them are neighbours.
    """

    indices: Int[np.ndarray, "n depth"]
    cosines: Float[np.ndarray, "n depth"]
    k: int

    @classmethod
    def of(
        cls, vectors: Float[np.ndarray, "n d"], k: int, group: Int[np.ndarray, " n"] | None = None
    ) -> "Near":
        """Find them, exactly, and as many more that any one group of items may be left out."""
        depth, most = k, len(vectors) - 1
        while True:
            indices, distances = nearest(vectors, depth)
            # The k nearest without a group: k, and all of it that stand among as many.
            short = depth - k < (0 if group is None else _most_of_a_group(group[indices]))
            if depth == most or not short:
                return cls(indices, 1.0 - distances, k)
            depth = min(most, 2 * depth + 8)

    @property
    def neighbours(self) -> Int[np.ndarray, "n k"]:
        """The k nearest of each item."""
        return self.indices[:, : self.k]

    def renamed(self, order: Int[np.ndarray, " n"]) -> "Near":
        """Call item ``order[i]`` i."""
        names = np.empty(len(order), np.int64)
        names[order] = np.arange(len(order))
        return Near(names[self.neighbours[order]], self.cosines[order, : self.k], self.k)

    def without(self, gone: Bool[np.ndarray, " n"]) -> "Near":
        """Leave items out; whoever was next to them takes their place."""
        stay = ~gone
        names, indices = np.cumsum(stay) - 1, self.indices[stay]
        there = stay[indices]
        k = min(self.k, int(there.sum(axis=1).min()))
        first = np.argsort(~there, axis=1, kind="stable")[:, :k]
        return Near(
            names[np.take_along_axis(indices, first, 1)], np.take_along_axis(self.cosines[stay], first, 1), k
        )

    def kernel(self, *, counted: bool = False) -> Any:
        """Give a scipy.sparse matrix of shape (n, n), a row's neighbours in it: similarities, or ones."""
        from scipy.sparse import csr_array

        (n, k), values = self.neighbours.shape, self.cosines[:, : self.k]
        values = np.ones((n, k)) if counted else values
        return csr_array((values.ravel(), self.neighbours.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))


def mutual(
    a: Near, b: Near, shuffles: Iterable[Int[np.ndarray, " n"]] = ()
) -> tuple[float, Float[np.ndarray, " b"]]:
    """Give the mean share of neighbours that stand in both lists of an item: mutual k-NN [1]_.

    Returns
    -------
    The share, and its value in each shuffle of the items of ``b``.
    """
    nulls = [float(overlap(a.neighbours, b.renamed(order).neighbours).mean()) for order in shuffles]
    return float(overlap(a.neighbours, b.neighbours).mean()), np.array(nulls)


def cknna(
    a: Near, b: Near, shuffles: Iterable[Int[np.ndarray, " n"]] = ()
) -> tuple[float, Float[np.ndarray, " b"]]:
    """Align the two cosine kernels on neighbours in both lists alone, debiased: CKNNA [1]_.

    As its authors' code has it: who is whose neighbour is not symmetric, and so the figure depends, in
    the fifth digit or so, on which space comes first.

    Returns
    -------
    The alignment, and its value in each shuffle.
    """
    size = norm(*(of_sparse(one.kernel(), one.kernel()) for one in (a, b)))
    nulls = [_common(a, b.renamed(order)) / size for order in track(shuffles, "shuffles of CKNNA")]
    return _common(a, b) / size, np.array(nulls)


def _common(a: Near, b: Near) -> float:
    both = a.kernel(counted=True).multiply(b.kernel(counted=True))
    return of_sparse(a.kernel().multiply(both).tocsr(), b.kernel().multiply(both).tocsr())


def _most_of_a_group(groups: Int[np.ndarray, "n depth"]) -> int:
    """Give the largest number of equal entries in a row."""
    ordered = np.sort(groups, axis=1)
    starts = np.diff(ordered, axis=1, prepend=-1) != 0
    return int(np.bincount(np.cumsum(starts.ravel()) - 1).max())
