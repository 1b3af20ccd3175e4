"""Whose nearest people are the same in two spaces, by lists of neighbours alone.

Lists need no common axes and no common dimension. Two of them agree no further than two halves of one
person's images let them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.space.neighbours import within_reach
from embedlab.maths.turns import shuffled
from embedlab.progress import blocks, track

BLOCK = 1 << 22


def halves(owners: Int[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Deal each person's images into halves 0 and 1 at random; of an odd number half 0 has one more."""
    order, turn = shuffled(owners, rng)
    half = np.empty(len(owners), np.int64)
    half[order] = turn % 2
    return half


def means(
    unit: Float[np.ndarray, "n d"], owners: Int[np.ndarray, " n"], rows: Int[np.ndarray, " m"] | None = None
) -> Float[np.ndarray, "people d"]:
    """Give each person's mean direction, of length one.

    Parameters
    ----------
    unit
        Rows of length one.
    owners
        The person of each row, 0…people−1.
    rows
        Which rows to take, at least one of each person; all by default.
    """
    from scipy.sparse import csr_array

    rows = np.arange(len(owners)) if rows is None else rows
    taken = (np.ones(len(rows), unit.dtype), (owners[rows], rows))
    # A product with a sparse matrix takes a tenth of the time of np.add.at or np.add.reduceat.
    sums: np.ndarray = csr_array(taken, shape=(int(owners.max()) + 1, len(owners))) @ unit
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    gone = lengths[:, 0] < 1e-6
    if gone.any():
        # Images that cancel out leave no direction; one of them is as good as another.
        one = np.empty(len(sums), np.int64)
        one[owners[rows]] = rows
        sums[gone] = unit[one[gone]]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    found: np.ndarray = sums / lengths
    return found


def nearest_people(
    means: Float[np.ndarray, "n d"], k: int, rng: np.random.Generator
) -> Int[np.ndarray, "n k"]:
    """List each person's k nearest other people by cosine, nearest first, in single precision.

    Equally near ones come in random order: by number, two spaces that tell nobody apart would agree.

    Parameters
    ----------
    means
        Of length one, of shape (n, d).
    k
        How many: at most n − 1.
    rng
        Decides between equals.
    """
    n = len(means)
    order = rng.permutation(n)
    place = np.argsort(order)
    away = -means[order].astype(np.float32)
    found = np.empty((n, k), np.int64)
    step = max(1, BLOCK // n)
    for start in blocks(range(0, n, step), f"{k} nearest of {n:,} people, in blocks"):
        rows = np.arange(start, min(start + step, n))
        apart = means[rows].astype(np.float32) @ away.T
        apart[rows - start, place[rows]] = np.inf
        few, who = within_reach(apart, k)
        ranked = np.argsort(few, axis=1, kind="stable")[:, :k]
        found[rows] = order[np.take_along_axis(who, ranked, axis=1)]
    return found


def kept(a: Int[np.ndarray, "n k"], b: Int[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Give the share of each row's first 1, 2, …, k neighbours that stand in both lists.

    Parameters
    ----------
    a, b
        Lists of the same people, nearest first, nobody twice in a list.
    """
    who, _, place = _common(a, b)
    return _kept(who, place, a.shape)


def _kept(who: np.ndarray, place: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    n, k = shape
    enters = np.bincount(who * k + place, minlength=n * k).reshape(n, k)
    share: np.ndarray = enters.cumsum(axis=1) / np.arange(1, k + 1)
    return share


def _common(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find whom each row's lists have in common, and from what place on: the later of the two."""
    n, k = a.shape
    rows = np.repeat(np.arange(n), k)
    keys, sought = (rows * np.int64(n) + x.ravel() for x in (a, b))
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, sought, sorter=order), n * k - 1)
    there = np.flatnonzero(keys[order[at]] == sought)
    at = order[at[there]]
    return rows[at], a.ravel()[at], np.maximum(at % k, there % k)


def kept_of_others(a: Int[np.ndarray, "n k"], b: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """Give the mean share that a person's list in one space has in common with another's in the other.

    The exact mean over all ordered pairs of two people: k/(n − 1), and more where both spaces have the
    same hubs, people whom many are near to.
    """
    n, k = a.shape
    seen_a, seen_b = np.zeros(n), np.zeros(n)
    found = np.empty(k)
    own = kept(a, b).sum(axis=0) * np.arange(1, k + 1)
    for j in range(k):
        seen_a += np.bincount(a[:, j], minlength=n)
        seen_b += np.bincount(b[:, j], minlength=n)
        found[j] = (seen_a @ seen_b - own[j]) / (n * (n - 1) * (j + 1))
    return found


@dataclass(frozen=True)
class Agreement:
    """How far lists of neighbours agree.

    Attributes
    ----------
    within
        Share that two halves of a person's images have in common in each space, for lists of 1…longest.
    across
        Share that one half in the first space and the other half in the second have in common.
    within_others, across_others
        By how much a person is more often a common neighbour among the first k of others' lists, for each
        of the k, than those whose place they take.
    strangers
        Mean share that lists of two different people have in common across the spaces.
    """

    within: Float[np.ndarray, "2 people longest"]
    across: Float[np.ndarray, "people longest"]
    within_others: Float[np.ndarray, "2 people"]
    across_others: Float[np.ndarray, " people"]
    strangers: Float[np.ndarray, " longest"]


def agreement(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "n e"],
    owners: Int[np.ndarray, " n"],
    k: int,
    longest: int,
    splits: int,
    rng: np.random.Generator,
) -> Agreement:
    """Compare the nearest people in two spaces, never by the same image twice.

    Everybody's images are dealt into two halves, the same in both spaces, and each half is a space of
    mean directions. Means over several deals, and over both ways of crossing.

    Parameters
    ----------
    a, b
        The same images in both spaces, as unit rows, those of a person one after another.
    owners
        The person of each row, rising, each at least twice.
    k, longest
        How many nearest people are a neighbourhood, and the longest list: at most people − 1.
    splits
        How many deals.
    rng
        Deals, and decides between equals.
    """
    people = int(owners[-1]) + 1
    shares, others = np.zeros((4, people, longest)), np.zeros((4, people))
    strangers = np.zeros(longest)
    for _ in track(range(splits), "dealing images into halves"):
        half = halves(owners, rng)
        (a0, a1), (b0, b1) = (halves_lists(x, owners, half, longest, rng) for x in (a, b))
        for j, (one, other) in enumerate(((a0, a1), (b0, b1), (a0, b1), (a1, b0))):
            who, whom, place = _common(one, other)
            share = _kept(who, place, one.shape)
            shares[j] += share / splits
            # Whoever is one more neighbour takes the place of another, of whom so much is kept.
            instead = sum(_weighed(x[:, :k], share[:, k - 1]) for x in (one, other)) / 2
            others[j] += (np.bincount(whom[place < k], minlength=people) - instead) / (k * splits)
        strangers += (kept_of_others(a0, b1) + kept_of_others(a1, b0)) / (2 * splits)
    return Agreement(shares[:2], shares[2:].mean(axis=0), others[:2], others[2:].mean(axis=0), strangers)


def _weighed(lists: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of each person the weights of the lists that they stand in."""
    return np.bincount(lists.ravel(), np.repeat(weights, lists.shape[1]), minlength=len(lists))


def halves_lists(
    unit: np.ndarray, owners: np.ndarray, half: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """List everybody's k nearest people by either half of the images."""
    first, second = (
        nearest_people(means(unit, owners, np.flatnonzero(half == side)), k, rng) for side in (0, 1)
    )
    return first, second
