"""Who may change places with whom, where chance is what spaces share whose people are dealt anew.

People have unequal numbers of images. Laid side by side with somebody of another number, one person's
images meet several people's, and whatever both spaces owe to *who is who* is lost: two spaces that share
nothing else then look alike beyond chance. So people change places with others of as many images alone.
"""

import numpy as np
from jaxtyping import Int

from embedlab.maths.turns import shuffled

# Of fewer, too many would meet themselves.
LEAST = 20


def levelled(
    owners: Int[np.ndarray, " n"], rng: np.random.Generator, *, least: int = LEAST
) -> Int[np.ndarray, " m"]:
    """Leave out images until everybody can change places with others of as many.

    People of about as many images are put together, ``least`` at least, and each keeps as many as the one
    who has fewest of them. Of the last ones, who have fewest of all, up to a quarter are left out.

    Parameters
    ----------
    owners
        The person of each row, 0…people−1.
    rng
        Draws the rows that stay.
    least
        How many people, if there are so many, have one number of images.

    Returns
    -------
    The rows that stay, as they lie: all where all people have as many.
    """
    sizes = np.bincount(owners)
    falling, most = np.sort(sizes)[::-1], np.zeros(len(sizes), np.int64)
    start = 0
    while len(falling) - start > 1:
        rest = falling[start:]
        if len(rest) >= 2 * least:
            few = rest[least - 1]
        else:
            # Few may be left out, where the others then keep more.
            last = np.arange(-(-3 * len(rest) // 4), len(rest) + 1)
            few = rest[last[np.argmax(last * rest[last - 1])] - 1]
        # Whoever has exactly as many belongs to them as well.
        most[(sizes >= few) & (most == 0)] = few
        start = len(falling) if len(rest) < 2 * least else int((sizes >= few).sum())
    order, turn = shuffled(owners, rng)
    return np.sort(order[turn < most[owners[order]]])


def halves_of(owners: Int[np.ndarray, " n"], seed: int) -> Int[np.ndarray, " n"]:
    """Deal people into halves 0 and 1, those of as many images evenly; give the half of each row."""
    sizes = np.bincount(owners)
    place = np.random.default_rng([seed, 2]).permutation(len(sizes))
    half = np.empty(len(sizes), np.int64)
    half[np.lexsort((place, sizes))] = np.arange(len(sizes)) % 2
    found: np.ndarray = half[owners]
    return found


def rematched(
    owners: Int[np.ndarray, " n"], rng: np.random.Generator, *, together: bool
) -> Int[np.ndarray, " n"]:
    """Draw an order that matches each row with another at random.

    Parameters
    ----------
    owners
        The person of each row.
    rng
        Where chance comes from.
    together
        Whether a person's rows stay together: people of as many rows change places, each with their rows
        in random order. Rows of one person are not independent, and what both spaces owe to that alone is
        then part of the null. Whoever has a number of rows to themselves meets themselves, so ``levelled``
        comes first: laid beside somebody of another number, people would share less than they do.
    """
    if not together:
        return rng.permutation(len(owners))
    people, sizes = int(owners.max()) + 1, np.bincount(owners)[owners]
    first, second = (
        np.lexsort((rng.permutation(len(owners)), rng.permutation(people)[owners], sizes)) for _ in range(2)
    )
    order = np.empty(len(owners), np.int64)
    order[first] = second
    return order
