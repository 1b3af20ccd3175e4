"""Each person's rows in turn: who comes first, second …; and draws of a few rows of each person."""

import numpy as np
from jaxtyping import Int, Shaped


def turns(owners: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Count of each row how many rows of its person come before it.

    Parameters
    ----------
    owners
        The person of each row, from 0 on, in any order.
    """
    images = np.bincount(owners)
    found = np.empty(len(owners), np.int64)
    together = np.argsort(owners, kind="stable")
    found[together] = np.arange(len(owners)) - np.repeat(np.cumsum(images) - images, images)
    return found


def shuffled(
    owners: Int[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Put people one after another, the rows of each in random order.

    Returns
    -------
    The rows in this order, and the turn of each of them among its person's.
    """
    order = np.lexsort((rng.random(len(owners)), owners))
    return order, turns(owners[order])


def some_of_each(owners: Int[np.ndarray, " n"], most: int, rng: np.random.Generator) -> Int[np.ndarray, " m"]:
    """Draw up to some rows of each person, and give them in the order in which they lie."""
    order, turn = shuffled(owners, rng)
    return np.sort(order[turn < most])


def some_by_name(
    names: Shaped[np.ndarray, " n"], owners: Int[np.ndarray, " n"], most: int, rng: np.random.Generator
) -> Int[np.ndarray, " m"]:
    """Draw up to some rows of each person, the same names however rows lie.

    Returns
    -------
    Rows, people one after another, the rows of each in random order.
    """
    rows = np.argsort(names)[rng.permutation(len(names))]
    rows = rows[np.argsort(owners[rows], kind="stable")]
    return rows[turns(owners[rows]) < most]
