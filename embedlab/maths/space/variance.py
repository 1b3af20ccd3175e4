"""η²: the share of a variance that a grouping explains, by people: resampled and permuted.

η² = 1 − (sum of squares within groups)/(total), between 0 and 1 [1]_. The literature on clustering also
prints within/total, the other way round.

References
----------
.. [1] Cohen, J. Eta-squared and partial eta-squared in fixed factor ANOVA designs. Educational and
   Psychological Measurement 33(1), 1973.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.sums import by_person
from embedlab.progress import track

Shuffle = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Units:
    """Points summed up to what always stays in one group together.

    Attributes
    ----------
    owners
        The person of each unit, 0…people−1.
    sizes
        How many points it holds.
    sums, squares
        The sum of its points, and of their squares, along each of k axes.
    """

    owners: Int[np.ndarray, " units"]
    sizes: Float[np.ndarray, " units"]
    sums: Float[np.ndarray, "units k"]
    squares: Float[np.ndarray, "units k"]

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.owners.max()) + 1

    def eta_squared(self, codes: Int[np.ndarray, " units"]) -> Float[np.ndarray, " k"]:
        """Give η² along each axis for the groups 0…g−1 that ``codes`` put the units into."""
        member = np.eye(int(codes.max()) + 1)[codes].T
        return eta_squared(member @ self.sums, member @ self.sizes, self.squares.sum(axis=0))

    def resampled(
        self, codes: Int[np.ndarray, " units"], counts: Float[np.ndarray, "b people"]
    ) -> Float[np.ndarray, "b k"]:
        """Give η² of each resample of people, as ``bootstrap.resamples`` draws them."""
        member = np.eye(int(codes.max()) + 1)[codes]
        people, groups, axes = counts.shape[1], member.shape[1], self.sums.shape[1]
        spread = (member[:, :, None] * self.sums[:, None]).reshape(len(member), -1)
        sums, sizes, squares = (
            by_person(values, self.owners, people)
            for values in (spread, member * self.sizes[:, None], self.squares)
        )
        drawn = (counts @ sums).reshape(len(counts), groups, axes)
        return eta_squared(drawn, counts @ sizes, counts @ squares)

    def by_chance(
        self, shuffle: Shuffle, permutations: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "b k"]:
        """Give η² of random groupings."""
        return np.stack(
            [self.eta_squared(shuffle(rng)) for _ in track(range(permutations), "η² of random groups")]
        )


def eta_squared(
    sums: Float[np.ndarray, "*b groups k"],
    sizes: Float[np.ndarray, "*b groups"],
    squares: Float[np.ndarray, "*b k"],
) -> Float[np.ndarray, "*b k"]:
    """Give 1 − within/total from the sum and size of each group and the total of squares.

    Rounded to twelve decimals, that equal partitions stay equal whatever the order of their sums.
    NaN where nothing varies.
    """
    middle = sums.sum(axis=-2) ** 2 / sizes.sum(axis=-1)[..., None]
    between = (sums**2 / np.maximum(sizes, 1)[..., None]).sum(axis=-2) - middle
    total = squares - middle
    found: np.ndarray = np.divide(
        between, total, out=np.full(total.shape, np.nan), where=total > 1e-12 * squares
    )
    rounded: np.ndarray = np.round(np.clip(found, 0.0, 1.0), 12)
    return rounded


def versions_changed(versions: int, people: int) -> Shuffle:
    """Let each person's versions change places; units stand by version, then by person."""
    return lambda rng: rng.random((versions, people)).argsort(axis=0).ravel()


def dealt_out(codes: Int[np.ndarray, " units"], owners: Int[np.ndarray, " units"]) -> Shuffle:
    """Deal the values of units out to other people.

    Where a person has one value, people exchange theirs. Else values are shuffled within people and
    then passed on in hands of one person's, since values as well as points of a person are alike.
    """
    _, first = np.unique(owners, return_index=True)
    people = len(first)
    if (codes[first][owners] == codes).all():
        return lambda rng: codes[first][rng.permutation(people)][owners]
    place = np.argsort(owners, kind="stable")

    def shuffled(rng: np.random.Generator) -> np.ndarray:
        dealt = np.empty_like(codes)
        dealt[place] = codes[np.lexsort((rng.random(len(codes)), rng.permutation(people)[owners]))]
        return dealt

    return shuffled
