"""Rows added up by person."""

import numpy as np
from jaxtyping import Float, Int

# Columns added up at once: all of them, in double precision, would be a second copy of the rows.
COLUMNS = 64


def by_person(
    values: Float[np.ndarray, "n d"], owners: Int[np.ndarray, " n"], people: int | None = None
) -> Float[np.ndarray, "people d"]:
    """Add up each person's rows, one after another in double precision.

    The same bits as ``np.add.at``, in a tenth of the time: a product with a sparse matrix.

    Parameters
    ----------
    values
        Rows.
    owners
        The person of each row, 0…people−1.
    people
        How many there are; those of ``owners`` by default.
    """
    from scipy.sparse import csr_array

    people = int(owners.max()) + 1 if people is None else people
    order = np.argsort(owners, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=people))])
    member = csr_array((np.ones(len(order)), order, ends), shape=(people, len(owners)))
    sums = np.empty((people, values.shape[1]))
    for first in range(0, values.shape[1], COLUMNS):
        some = slice(first, first + COLUMNS)
        sums[:, some] = member @ values[:, some]
    return sums
