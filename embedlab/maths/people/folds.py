"""Folds of people: nobody is in two of them."""

import numpy as np
from jaxtyping import Int


def identity_folds(people: int, k: int, seed: int) -> Int[np.ndarray, " people"]:
    """Deal people into folds, so that what is fitted on some is judged on strangers.

    Parameters
    ----------
    people
        How many people there are.
    k
        How many folds; no more than there are people.
    seed
        Equal seeds give equal folds.

    Returns
    -------
    The fold of each person, 0…k−1; sizes differ by one at most.

    Raises
    ------
    ValueError
        If there are fewer people than folds, or fewer than two folds.
    """
    if not 2 <= k <= people:
        raise ValueError(f"{people} people cannot be dealt into {k} folds")
    folds: np.ndarray = np.random.default_rng([seed, 2]).permutation(np.arange(people) % k)
    return folds
