"""Whether two spaces agree on who is nearest: mutual nearest neighbours, and CKA on these alone.

References
----------
.. [1] Huh, M., Cheung, B., Wang, T. and Isola, P. The platonic representation hypothesis. ICML 2024.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.likeness.hsic import Alignment, Hsic, norm, of_sparse
from embedlab.maths.space.neighbours import nearest, overlap
from embedlab.progress import track


@dataclass(frozen=True)
class Near:
    """Each item's k nearest others in one space.

    Attributes
    ----------
    indices
        Nearest first.
    cosines
        Their similarities.
    """

    indices: Int[np.ndarray, "n k"]
    cosines: Float[np.ndarray, "n k"]

    @classmethod
    def of(cls, vectors: Float[np.ndarray, "n d"], k: int) -> "Near":
        """Find them, exactly."""
        indices, distances = nearest(vectors, k)
        return cls(indices, 1.0 - distances)

    def renamed(self, order: Int[np.ndarray, " n"]) -> "Near":
        """Call item ``order[i]`` i."""
        names = np.empty(len(order), np.int64)
        names[order] = np.arange(len(order))
        return Near(names[self.indices[order]], self.cosines[order])

    def kernel(self) -> Any:
        """Give the similarities as a scipy.sparse matrix of shape (n, n): a row's neighbours stand in it."""
        return _sparse(self.indices, self.cosines)


def mutual(
    a: Near, b: Near, shuffles: Iterable[Int[np.ndarray, " n"]] = ()
) -> tuple[float, Float[np.ndarray, " n"], Float[np.ndarray, " b"]]:
    """Give the mean share of neighbours that stand in both lists of an item: mutual k-NN [1]_.

    Returns
    -------
    The share; its derivative by the weight of each item, the lists held fixed and a neighbour
    counted by its weight; and its value in each shuffle of the items of ``b``.
    """
    n, k = a.indices.shape
    each = overlap(a.indices, b.indices)
    value = float(each.mean())
    in_a, in_b = _counted(a), _counted(b)
    found_in_both = np.asarray(in_a.multiply(in_b).sum(axis=0)).ravel()
    expected = (in_a.T @ each + in_b.T @ each) / 2
    gradient = (each - value + (found_in_both - expected) / k) / n
    nulls = [float(overlap(a.indices, b.renamed(order).indices).mean()) for order in shuffles]
    return value, gradient, np.array(nulls)


def cknna(
    a: Near, b: Near, shuffles: Iterable[Int[np.ndarray, " n"]] = ()
) -> tuple[Alignment, Float[np.ndarray, " b"]]:
    """Align the two cosine kernels on neighbours in both lists alone, debiased: CKNNA [1]_.

    As its authors' code has it: who is whose neighbour is not symmetric, and so the figure depends, in
    the fifth digit or so, on which space comes first.

    Returns
    -------
    The alignment, its gradient with the lists held fixed, and its value in each shuffle.
    """
    own = [of_sparse(one.kernel(), one.kernel()) for one in (a, b)]
    size = norm(own[0].value, own[1].value)
    nulls = [_common(a, b.renamed(order)).value / size for order in track(shuffles, "shuffles of CKNNA")]
    return Alignment.of(_common(a, b), *own), np.array(nulls)


def _common(a: Near, b: Near) -> Hsic:
    both = _counted(a).multiply(_counted(b))
    return of_sparse(a.kernel().multiply(both).tocsr(), b.kernel().multiply(both).tocsr())


def _counted(near: Near) -> Any:
    return _sparse(near.indices, np.ones(near.indices.shape))


def _sparse(indices: np.ndarray, values: np.ndarray) -> Any:
    from scipy.sparse import csr_array

    n, k = indices.shape
    return csr_array((values.ravel(), indices.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
