"""How a statistic that is searched or fitted anew moves with each person: people are left out in groups.

A derivative that holds lists of neighbours and fitted maps fixed gives intervals that are up to twice as long
as they should be (lists: whoever is left out makes room for the next), or a fifth too short (fits: they vary
too). So groups of people are left out, one at a time, and the statistic is made anew. That counts what two
people do together twice; how much it is, leaving out two groups at a time tells, and it is taken off [1]_.

References
----------
.. [1] Efron, B. and Stein, C. The jackknife estimate of variance. Annals of Statistics 9(3), 1981.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.progress import track

# Of people, who are left out in turn.
GROUPS = 20


def groups_of(people: int, seed: int) -> Int[np.ndarray, " people"]:
    """Deal people into groups of equal size, each of one person at least."""
    dealt = np.random.default_rng([seed, 3]).permutation(np.arange(people) % min(GROUPS, people))
    return np.asarray(dealt)


def left_out(
    statistics: Callable[[Bool[np.ndarray, " n"]], tuple[float, ...]], group: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "statistics 2 groups"]:
    """Make statistics anew without each group of rows, and without each and the next.

    Parameters
    ----------
    statistics
        Rows that are left out → the statistics of the others.
    group
        The group of each row, 0, 1, ….
    """
    groups = int(group.max()) + 1

    def sets() -> Iterator[np.ndarray]:
        for one in track(range(groups), "leaving people out"):
            yield group == one
            yield (group == one) | (group == (one + 1) % groups)

    found = np.array([statistics(gone) for gone in sets()])
    return found.T.reshape(found.shape[1], groups, 2).transpose(0, 2, 1)


def influence(
    value: float, without: Float[np.ndarray, "2 groups"], group: Int[np.ndarray, " people"]
) -> Float[np.ndarray, " people"]:
    """Give each person's part, so that value + (counts − 1)·influence varies as the jackknife says.

    Parameters
    ----------
    value, without
        The statistic, and what ``left_out`` gave of it.
    group
        The group of each person; below 0 that of people who have no part in it.
    """
    from scipy.special import stdtrit

    (one, two), groups = without, without.shape[1]
    moved = one.mean() - one
    first = (groups - 1) / groups * (moved**2).sum()
    together = value - one - np.roll(one, -1) + two
    second = groups * (groups - 1) / 2 * (together**2).mean() * ((groups - 2) / groups) ** 2
    share = np.sqrt(1 - min(0.5, second / first)) if first > 0 else 1.0
    # Few groups are unsure of the spread, which Student's t allows for.
    share *= stdtrit(groups - 1, 0.975) / 1.959964
    sizes = np.bincount(group[group >= 0])
    each = share * moved * np.sqrt((groups - 1) / (groups * sizes))
    return np.where(group >= 0, each[group], 0.0)
