"""The images that several models share, so chosen that people can change places."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet, shared_by
from embedlab.maths.likeness.exchange import halves_of, levelled

FEWEST_PEOPLE = 10


@dataclass(frozen=True)
class Shared:
    """Images of several sets, in the order of their names.

    Attributes
    ----------
    images
        Those of the first set, in which people and names stand.
    vectors
        The unit vectors of each set, row for row.
    dropped
        How many images are not in every set.
    uneven
        How many were left out so that people of as many images can change places.
    """

    images: EmbeddingSet
    vectors: Sequence[Float[np.ndarray, "n _d"]]
    dropped: int
    uneven: int


def shared(sets: Sequence[EmbeddingSet], seed: int, *, together: bool = True) -> Shared:
    """Find the images that all sets show, and let people keep about as many where they change places.

    Parameters
    ----------
    sets
        One of each model.
    seed
        Of the images that stay, and of the halves of people.
    together
        Whether people change places, and not images.

    Raises
    ------
    UserError
        If there is one model only, the models share too few people, or all vectors of a model are one.
    """
    if len(sets) < 2:
        raise UserError(
            f"{sets[0].model} is the only model, and there is nothing to hold it against: name a second one"
        )
    cut, dropped = shared_by(sets)
    count = len(cut[0].items)
    if together:
        stay = levelled(cut[0].labels, np.random.default_rng([seed, 23]))
        cut = [one.take(stay) for one in cut]
    images = cut[0]
    people = len(images.identities)
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{sets[0].probe}: maps are fitted on half of the people and judged on the others, and the "
            f"models share only {people}: give images of at least {FEWEST_PEOPLE}"
        )
    half = halves_of(images.labels, seed)
    vectors = [one.unit for one in cut]
    for one, rows in zip(sets, vectors, strict=True):
        if any(np.ptp(rows[half == h], axis=0).max() < 1e-6 for h in (0, 1)):
            raise UserError(f"all vectors of {one.title} are one: check how they were made")
    return Shared(images, vectors, dropped, count - len(images.items))
