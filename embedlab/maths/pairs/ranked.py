"""Values of people in their order, in groups fine enough that a resample need not sort them again."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int

MOST = 4096


@dataclass(frozen=True)
class Ranked:
    """Weighted values, each of a person, in groups of rising values; equal values stand in one group.

    Attributes
    ----------
    owners, weights
        The person of each value, and what it weighs, of shape (n,).
    group
        The group of each value, 0…groups − 1, (n,).
    people
        How many people there are.
    """

    owners: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    group: Int[np.ndarray, " n"]
    people: int

    @classmethod
    def of(
        cls,
        values: Float[np.ndarray, " n"],
        owners: Int[np.ndarray, " n"],
        weights: Float[np.ndarray, " people"],
        most: int = MOST,
    ) -> Self:
        """Rank values, each a group if no more than ``most``; one of each person weighs as told."""
        each = weights[owners]
        distinct, group = np.unique(values, return_inverse=True)
        if len(distinct) > most:
            mass = np.bincount(group, each)
            middle = (np.cumsum(mass) - mass / 2) / mass.sum()
            group = np.unique((middle * most).astype(np.int64), return_inverse=True)[1][group]
        return cls(owners, each, group, len(weights))

    def sums(
        self, values: Float[np.ndarray, " n"], counts: Float[np.ndarray, "b people"]
    ) -> Float[np.ndarray, "b groups"]:
        """Sum values, as they weigh, by group and resample."""
        from scipy.sparse import coo_array

        there = np.flatnonzero(values)
        places = self.owners[there], self.group[there]
        shape = self.people, int(self.group.max(initial=-1)) + 1
        found: np.ndarray = counts @ coo_array((values[there] * self.weights[there], places), shape).tocsr()
        return found
