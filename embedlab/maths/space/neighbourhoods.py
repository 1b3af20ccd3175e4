"""Whose nearest people are the same in two spaces, and what the choice of images alone would change.

Only lists of neighbours are compared, which needs no common axes and no common dimension. Two lists agree
no further than two halves of one person's images let them [1]_. What remains after that is told from
noise by *twins*: pairs of spaces drawn to hold the same people in the same places, each as noisy as the
real one.

References
----------
.. [1] Spearman, C. The proof and measurement of association between two things. American Journal of
   Psychology 15(1), 1904.
.. [2] Knijnenburg, T. A., Wessels, L. F. A., Reinders, M. J. T. and Shmulevich, I. Fewer permutations,
   more accurate P-values. Bioinformatics 25(12), 2009.
.. [3] Hosking, J. R. M. and Wallis, J. R. Parameter and quantile estimation for the generalized Pareto
   distribution. Technometrics 29(3), 1987.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.turns import shuffled
from embedlab.progress import blocks, track

BLOCK = 1 << 22
# How finely the noise of twins is matched, and over how many draws of it.
CLOSE, MATCHED = 0.02, 2
# The share of null values that a tail is fitted to, and the fewest of them.
TAIL, FEWEST = 0.1, 20
# People in a group of about as many images.
GROUP = 50


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
        near = np.argpartition(apart, k - 1, axis=1)[:, :k]
        ranked = np.argsort(np.take_along_axis(apart, near, axis=1), axis=1, kind="stable")
        found[rows] = order[np.take_along_axis(near, ranked, axis=1)]
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
        How often a person is a common neighbour among the first k of others' lists, for each of the k:
        the mean over people is that of the shares.
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
        (a0, a1), (b0, b1) = (_lists(x, owners, half, longest, rng) for x in (a, b))
        for j, (one, other) in enumerate(((a0, a1), (b0, b1), (a0, b1), (a1, b0))):
            who, whom, place = _common(one, other)
            shares[j] += _kept(who, place, one.shape) / splits
            others[j] += np.bincount(whom[place < k], minlength=people) / (k * splits)
        strangers += (kept_of_others(a0, b1) + kept_of_others(a1, b0)) / (2 * splits)
    return Agreement(shares[:2], shares[2:].mean(axis=0), others[:2], others[2:].mean(axis=0), strangers)


def _lists(
    unit: np.ndarray, owners: np.ndarray, half: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    first, second = (
        nearest_people(means(unit, owners, np.flatnonzero(half == side)), k, rng) for side in (0, 1)
    )
    return first, second


@dataclass(frozen=True)
class Twins:
    """Pairs of spaces that hold the same people in the same places and differ in noise alone.

    Attributes
    ----------
    centres
        Where people lie, of shape (people, d).
    residuals
        How far images lie from their people, of shape (n, d).
    owners
        The person of each image, rising.
    sizes
        How large the noise is in each twin, 1 for that of ``residuals``.
    shared
        What share of its noise an image has in common in both: their correlation.
    """

    centres: Float[np.ndarray, "people d"]
    residuals: Float[np.ndarray, "n d"]
    owners: Int[np.ndarray, " n"]
    sizes: tuple[float, float] = (1.0, 1.0)
    shared: float = 0.0

    @classmethod
    def of(cls, unit: Float[np.ndarray, "n d"], owners: Int[np.ndarray, " n"]) -> "Twins":
        """Take places and noise from a space; rows as for ``agreement``."""
        images = np.bincount(owners)
        centres = np.add.reduceat(unit, np.cumsum(images) - images, axis=0) / images[:, None]
        # A mean of few images lies nearer to each of them than the person does.
        residuals = (unit - centres[owners]) * np.sqrt(images / (images - 1))[owners, None]
        return cls(centres.astype(np.float32), residuals.astype(np.float32), owners)

    def matched(self, levels: tuple[float, float], same: float, k: int, rng: np.random.Generator) -> "Twins":
        """Make the twins as noisy as two real spaces.

        Parameters
        ----------
        levels
            The share of the k nearest people that two halves of a person's images have in common in each
            space. It is largest without any noise.
        same
            The share that all images of a person have in common across the spaces, the same in both. What
            is missing counts as noise of each space's own, so a real change makes the twins differ more
            than they need: they err towards finding nobody changed.
        k
            How many nearest people.
        rng
            Draws the noise.
        """
        deals = [(halves(self.owners, rng), self._noise(rng)) for _ in range(MATCHED)]

        @cache
        def share(size: float) -> float:
            lists = [_lists(self._seen(size * noise), self.owners, half, k, rng) for half, noise in deals]
            return float(np.mean([kept(*pair)[:, -1] for pair in lists]))

        sizes = _found(share, levels[0]), _found(share, levels[1])
        pairs = [(self._noise(rng), self._noise(rng)) for _ in range(MATCHED)]

        @cache
        def apart(angle: float) -> float:
            both = [self._pair(sizes, float(np.cos(angle)), *pair) for pair in pairs]
            lists = [[nearest_people(means(x, self.owners), k, rng) for x in pair] for pair in both]
            return float(np.mean([kept(*pair)[:, -1] for pair in lists]))

        angle = min(_found(apart, same, most=np.pi / 2), np.pi / 2)
        return replace(self, sizes=sizes, shared=float(np.cos(angle)))

    def agreement(self, k: int, longest: int, splits: int, rng: np.random.Generator) -> Agreement:
        """Draw both twins and compare them as the real spaces are compared."""
        a, b = self._pair(self.sizes, self.shared, self._noise(rng), self._noise(rng))
        return agreement(a, b, self.owners, k, longest, splits, rng)

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        """Deal the images' departures from their people anew, each to any image, of either sign."""
        sign = rng.choice(np.array([-1, 1], np.float32), size=(len(self.residuals), 1))
        dealt: np.ndarray = self.residuals[rng.permutation(len(self.residuals))] * sign
        return dealt

    def _seen(self, noise: np.ndarray) -> np.ndarray:
        rows = self.centres[self.owners] + noise.astype(np.float32)
        found: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return found

    def _pair(
        self, sizes: tuple[float, float], shared: float, noise: np.ndarray, other: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        second = shared * noise + np.sqrt(max(0.0, 1 - shared**2)) * other
        return self._seen(sizes[0] * noise), self._seen(sizes[1] * second)


def _found(share: Callable[[float], float], level: float, most: float = 100.0) -> float:
    """Find where a share, which falls from 0 on, comes down to a level; the end where it never does."""
    from scipy.optimize import brentq

    low, high = 0.0, min(1.0, most)
    while share(high) > level:
        if high >= most:
            return most
        low, high = high, min(2 * high, most)
    if low == 0 and share(0.0) <= level:
        return 0.0
    found: float = brentq(lambda at: share(at) - level, low, high, xtol=CLOSE * high, full_output=False)
    return found


def p_values(
    values: Float[np.ndarray, " n"], null: Float[np.ndarray, "draws n"], images: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Give for each person how often noise alone leads as low, one-sided.

    Null values of people with about as many images are taken together. Their lowest tenth is
    extrapolated by a generalised Pareto distribution [2]_, fitted by its moments [3]_ and never taken
    to have an end.

    Parameters
    ----------
    values
        A number a person; small is more extreme.
    null
        The same where noise alone is at work, drawn several times.
    images
        How many images each person has.
    """
    found = np.empty(len(values))
    for rows in _alike(images):
        found[rows] = _tail(-values[rows], np.sort(-null[:, rows], axis=None)[::-1])
    return found


def _alike(images: np.ndarray) -> list[np.ndarray]:
    """Group people with about as many images, at least ``GROUP`` together and equal numbers never apart."""
    order = np.argsort(images, kind="stable")
    starts = [0]
    for cut in np.flatnonzero(np.diff(images[order])) + 1:
        if cut - starts[-1] >= GROUP and len(images) - cut >= GROUP:
            starts.append(int(cut))
    return np.split(order, starts[1:])


def _tail(values: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Give the share of null values, which fall, that reach each value."""
    n = len(null)
    reached = np.searchsorted(-null, -values, side="right")
    found: np.ndarray = (1 + reached) / (1 + n)
    size = min(n - 1, max(FEWEST, round(TAIL * n)))
    edge = null[size]
    beyond = null[:size] - edge
    mean, variance = beyond.mean(), beyond.var()
    if variance == 0:
        return found
    # An exponential tail at least: a shorter one would make what few null values show certain.
    shape = max(0.0, 0.5 * (1 - mean**2 / variance))
    scale = mean * (1 - shape)
    far = values > edge
    excess = (values[far] - edge) / scale
    share = np.exp(-excess) if shape == 0 else (1 + shape * excess) ** (-1 / shape)
    found[far] = size / n * share
    return found
