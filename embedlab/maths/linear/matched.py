"""Which rows of two spaces a map is fitted on: people held out, and partners for rows."""

import numpy as np
from jaxtyping import Bool, Int

from embedlab.maths.turns import shuffled


def held_out(
    images: Int[np.ndarray, " people"], share: float, rng: np.random.Generator
) -> Bool[np.ndarray, " people"]:
    """Hold out the same share of people with several images and of those with one.

    Parameters
    ----------
    images
        How many images each person has.
    share
        The share to hold out; two people at least are held out, and two are not.
    rng
        Where the draw comes from.

    Raises
    ------
    ValueError
        If there are fewer than four people.
    """
    if len(images) < 4:
        raise ValueError(f"{len(images)} people cannot be divided into twice two")
    size = int(np.clip(round(share * len(images)), 2, len(images) - 2))
    several, single = (rng.permutation(np.flatnonzero(group)) for group in (images > 1, images == 1))
    first = int(np.clip(round(share * len(several)), size - len(single), size))
    found = np.zeros(len(images), bool)
    found[several[:first]] = True
    found[single[: size - first]] = True
    return found


def same_person(
    labels: Int[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Match each row with another row of the same person; each row is the partner of one.

    Returns
    -------
    The rows of people with at least two, and their partners.
    """
    images = np.bincount(labels)[labels]
    several = np.flatnonzero(images > 1)
    # Each person's rows in random order: each is matched with the next, and the last with the first.
    order, turn = shuffled(labels[several], rng)
    mixed = several[order]
    return mixed, mixed[np.arange(len(mixed)) - turn + (turn + 1) % images[mixed]]


def other_people(labels: Int[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Give each row a partner of another person; each row is the partner of one.

    A person who has more than half of all rows cannot have other partners only.
    """
    key = rng.permutation(int(labels.max()) + 1)[labels]
    order = np.lexsort((rng.random(len(labels)), key))
    partners = np.empty_like(order)
    partners[order] = np.roll(order, int(np.bincount(labels).max()))
    return partners
