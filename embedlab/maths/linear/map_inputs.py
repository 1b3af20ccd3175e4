"""Two sets of the same images, the people divided into those a map is fitted on and those it is judged on."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.linear.matched import held_out, same_person
from embedlab.maths.linear.span import within_span
from embedlab.maths.turns import some_of_each


class Drawn(Protocol):
    """How people and images are drawn, and pairs are made: the parameters of an analysis."""

    @property
    def pairs(self) -> str:
        """What is matched: "same image" or "same person"."""

    @property
    def held(self) -> float:
        """The share of people held out."""

    @property
    def people(self) -> int:
        """How many people are drawn at most."""

    @property
    def images(self) -> int:
        """How many images a person brings at most."""

    @property
    def seed(self) -> int:
        """Seed of all draws."""


@dataclass(frozen=True, eq=False)
class MapInputs:
    """The drawn images in both spaces at length one, by person and item.

    Attributes
    ----------
    a, b
        Vectors, of shape (n, k); of spaces of one dimension along common axes, as few as rows span.
    units
        The number of axes kept, as a share of either space's dimension.
    labels
        The person of each row.
    held
        Whether each person is held out.
    rows, partners
        Matched rows of the people fitted on: of the source and of the target space.
    all_people
        How many there were before people were drawn.
    names
        Of people and images, by which draws are told apart.
    """

    a: Float[np.ndarray, "n k"]
    b: Float[np.ndarray, "n l"]
    units: tuple[float, float]
    labels: Int[np.ndarray, " n"]
    held: Bool[np.ndarray, " people"]
    rows: Int[np.ndarray, " m"]
    partners: Int[np.ndarray, " m"]
    all_people: int
    names: tuple[str, ...]

    @classmethod
    def of(cls, a: EmbeddingSet, b: EmbeddingSet, params: Drawn) -> "MapInputs":
        """Join the sets, draw people and images, hold people out, and match rows of the others.

        Raises
        ------
        UserError
            If the sets share no item or too few people, or all vectors of one are one.
        """
        pair = aligned(a, b)
        rng = np.random.default_rng([params.seed, 8])
        # By names, so that how the rows lie changes nothing.
        order = np.lexsort((pair.a.items, pair.a.labels))
        labels = pair.a.labels[order]
        everybody = len(pair.a.identities)
        if everybody < 4:
            raise UserError(
                f"{a.title} and {b.title} share {everybody} people: four are needed, two to fit a map on and "
                "two to judge it on; add images of other people"
            )
        drawn = rng.permutation(everybody)[: params.people]
        few = some_of_each(labels, params.images, rng)
        kept = order[few[np.isin(labels[few], drawn)]]
        first, second = pair.a.take(kept), pair.b.take(kept)
        held = held_out(np.bincount(first.labels), params.held, rng)
        rows, partners = _matched(first.labels, held, params)
        alike = first.vectors.shape[1] == second.vectors.shape[1]
        spaces = within_span(first.unit, second.unit) if alike else (first.unit, second.unit)
        for one, space, some in ((a, spaces[0], rows), (b, spaces[1], partners)):
            for own in (some, np.flatnonzero(held[first.labels])):
                if ((space[own] - space[some].mean(axis=0, dtype=np.float64)) ** 2).sum() <= 1e-9:
                    raise UserError(f"all drawn images of {one.title} have one vector: check the vectors")
        return cls(
            a=spaces[0],
            b=spaces[1],
            units=(
                spaces[0].shape[1] / first.vectors.shape[1],
                spaces[1].shape[1] / second.vectors.shape[1],
            ),
            labels=first.labels,
            held=held,
            rows=rows,
            partners=partners,
            all_people=everybody,
            names=(*first.identities, *first.items, str(params.held)),
        )

    def turned(self) -> "MapInputs":
        """Give the same from the second space to the first."""
        return MapInputs(
            self.b, self.a, self.units[::-1], self.labels, self.held, self.rows, self.partners,
            self.all_people, self.names,
        )  # fmt: skip

    @property
    def people(self) -> Int[np.ndarray, " m"]:
        """The person of each row fitted on, 0…p−1."""
        found: np.ndarray = np.unique(self.labels[self.rows], return_inverse=True)[1]
        return found

    @property
    def judged(self) -> Int[np.ndarray, " h"]:
        """The rows of held-out people."""
        return np.flatnonzero(self.held[self.labels])

    @property
    def owners(self) -> Int[np.ndarray, " h"]:
        """The person of each row of held-out people, 0…q−1."""
        found: np.ndarray = np.unique(self.labels[self.judged], return_inverse=True)[1]
        return found


def _matched(labels: np.ndarray, held: np.ndarray, params: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Match rows of the people fitted on."""
    rows = np.flatnonzero(~held[labels])
    if params.pairs == "same image":
        return rows, rows
    own, partners = same_person(labels[rows], np.random.default_rng([params.seed, 9]))
    if len(np.unique(labels[rows[own]])) < 2:
        raise UserError(
            "fewer than two of the people fitted on have two images, so pairs of one person cannot be "
            "made: set pairs to 'same image', or add images"
        )
    return rows[own], rows[partners]
