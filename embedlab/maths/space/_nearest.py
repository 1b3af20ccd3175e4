"""The compiled inner loop of ``neighbours``: apart, because importing numba takes a second."""

import numpy as np

from embedlab.maths._compiled import compiled


@compiled(nogil=True)
def near(
    apart: np.ndarray,
    slack: np.ndarray,
    own_slack: np.ndarray,
    k: int,
    groups: int,
    each: np.ndarray,
    columns: np.ndarray,
) -> int:
    """Find of each row the few columns that may be among its k least, and return how many there are in all.

    ``apart`` of shape (n, m) may be too high by ``slack``, (m,), and by ``own_slack``, (n,), beside its row's
    others. Row by row the columns go into ``columns``, and how many they are into ``each``.

    Columns lie in turn in so many groups, k at least; the k-th of the groups' least is a number that k
    entries do not exceed. Groups whose least lies above it are not looked into again.
    """
    n, m = apart.shape
    widest = slack.max()
    least = np.empty(groups, apart.dtype)
    size = 0
    for i in range(n):
        row = apart[i]
        least[:] = row[:groups]
        for start in range(groups, m, groups):
            # A slice, whose indices count from zero: the compiler turns this into vector instructions.
            line = row[start : start + groups]
            for g in range(len(line)):
                least[g] = min(least[g], line[g])
        limit = np.partition(least, k - 1)[k - 1] + own_slack[i]
        begun = size
        for g in range(groups):
            if least[g] <= limit + widest:
                for j in range(g, m, groups):
                    if row[j] - slack[j] <= limit:
                        columns[size] = j
                        size += 1
        each[i] = size - begun
    return size
