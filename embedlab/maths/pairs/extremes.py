"""Extremes of all pairs, exact: each row's nearest impostor, the worst false matches and non-matches.

Rows are compared a block at a time, in single precision where that tells them apart; what is handed back is
scored again in double precision. Scores are inner products: the cosine where rows have length one. With
``b``, the same images under another probe, rows of ``a`` are held against rows of ``b``, and an image is no
pair with itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths import reused
from embedlab.maths.products import told_apart
from embedlab.progress import sweep, track

# Entries of one block of scores, of four bytes each.
BLOCK = 1 << 23
# Rows of a block at least: with fewer the others are read from memory for each of them again.
ROWS = 64
# Pairs of rows that are looked through for one pair of each two people.
MOST = 100_000


@dataclass(frozen=True)
class Worst:
    """Some pairs of rows, worst first.

    Attributes
    ----------
    scores
        Of shape (k,).
    rows
        Of shape (k, 2): a row of ``a`` and one of ``b`` (or of ``a`` again).
    """

    scores: Float[np.ndarray, " k"]
    rows: Int[np.ndarray, "k 2"]


def nearest_impostors(
    a: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], b: Float[np.ndarray, "n d"] | None = None
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Find for each row the most similar row of another person.

    Parameters
    ----------
    a
        Unit rows of shape (n, d).
    labels
        The person of each row, 0…people−1, of shape (n,).
    b
        The same images under another probe, row for row, where the impostors are looked for.

    Returns
    -------
    That row, and its score, both of shape (n,).

    Raises
    ------
    ValueError
        If there is one person only.

    Notes
    -----
    Memory beyond the inputs: copies of them in single precision and a block of 32 MB, or of 64 rows if that
    is more. While ``Kept`` is in use, impostors that were found already are given again.
    """
    if labels.min() == labels.max():
        raise ValueError("the rows show one person only: nobody is an impostor")
    memory = reused.in_use()
    if memory is None:
        return _nearest(a, labels, b)
    key = reused.key((a, labels, b), "nearest impostors")
    found: tuple[np.ndarray, np.ndarray] | None = memory.get(key)
    if found is None:
        found = _nearest(a, labels, b)
        memory.put(key, found)
    return found


def _nearest(a: np.ndarray, labels: np.ndarray, b: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(labels, kind="stable")
    left, right = _sorted(a, b, order)
    found = np.empty(len(order), np.int64)
    every = np.arange(len(order))
    for rows, scores in _against_others(left, right, labels[order], every, "nearest impostors"):
        found[order[rows]] = order[scores.argmax(axis=1)]
    return found, _scored(a, a if b is None else b, np.arange(len(found)), found)


def first_of_each(
    scores: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " people"]:
    """Give each person's row of highest score, the first of equal ones."""
    order = np.lexsort((-scores, labels))
    rows: np.ndarray = order[np.unique(labels[order], return_index=True)[1]]
    return rows


def false_matches(
    a: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    nearest: Float[np.ndarray, " n"],
    count: int,
    b: Float[np.ndarray, "n d"] | None = None,
) -> Worst:
    """Find the most similar pairs of rows of two people.

    Parameters
    ----------
    a, labels, b
        As for ``nearest_impostors``.
    nearest
        The scores that ``nearest_impostors`` gave.
    count
        How many pairs to find.

    Returns
    -------
    The ``count`` highest scores, falling, or all where there are fewer pairs; within one probe each pair
    stands once, the lower row first. Which of equal pairs are cut off is not said.

    Notes
    -----
    A pair can only be among the worst if it is no better than the 2·``count``-th of the rows' nearest:
    that many rows hold at least ``count`` pairs. So few rows are compared again.
    """
    order = np.argsort(labels, kind="stable")
    left, right = _sorted(a, b, order)
    ranked = np.sort(nearest)[::-1]
    # Single precision may put a pair this much too low.
    floor = float(ranked[2 * count - 1]) - 1e-4 if 2 * count <= len(ranked) else -np.inf
    hot = np.flatnonzero(nearest[order] >= floor)
    kept = [(np.empty(0, np.float32), np.empty((0, 2), np.int64))]
    for rows, scores in _against_others(left, right, labels[order], hot, "worst false matches"):
        if b is None:
            # Of a pair in two rows, the one where the lower row stands first.
            scores[order[rows][:, None] > order] = -np.inf
        at, column = np.divmod(np.flatnonzero(scores > floor), scores.shape[1])
        kept.append((scores[at, column], np.stack([order[rows[at]], order[column]], axis=1)))
        kept = [_most(np.concatenate([k[0] for k in kept]), np.concatenate([k[1] for k in kept]), count)]
        if len(kept[0][0]) == count:
            floor = max(floor, float(kept[0][0].min()))
    pairs = kept[0][1]
    scores = _scored(a, a if b is None else b, pairs[:, 0], pairs[:, 1])
    worst = np.argsort(-scores, kind="stable")
    return Worst(scores[worst], pairs[worst])


def false_alarms(
    a: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], limit: float
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Find all pairs of rows of two people that score above a limit.

    Parameters
    ----------
    a, labels
        As for ``nearest_impostors``.
    limit
        What a score has to exceed.

    Returns
    -------
    Both rows of each; a pair stands twice, once in either order.
    """
    order = np.argsort(labels, kind="stable")
    left, right = _sorted(a, None, order)
    found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for rows, scores in _against_others(left, right, labels[order], np.arange(len(order)), "false alarms"):
        at, column = np.divmod(np.flatnonzero(scores > limit), scores.shape[1])
        found.append((order[rows[at]], order[column]))
    first, second = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second


def false_matches_of_people(
    a: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    nearest: Float[np.ndarray, " n"],
    count: int,
    b: Float[np.ndarray, "n d"] | None = None,
) -> Worst:
    """Find the most similar pair of rows of each two people, of the ``count`` two people most alike.

    Parameters are those of ``false_matches``. One pair of each two people, so that one mislabelled image does
    not fill the list; fewer where ``MOST`` pairs of rows show fewer.
    """
    asked = 4 * count
    while True:
        found = false_matches(a, labels, nearest, asked, b)
        both = np.sort(labels[found.rows], axis=1)
        first = np.sort(np.unique(both, axis=0, return_index=True)[1])[:count]
        if len(first) == count or len(found.scores) < asked or asked >= MOST:
            return Worst(found.scores[first], found.rows[first])
        asked = min(8 * asked, MOST)


@dataclass(frozen=True)
class Within:
    """What lies between the images of each person.

    Attributes
    ----------
    mean
        Mean score of each person's pairs, of shape (people,); NaN where there is none.
    lowest
        Each person's least similar pair, worst first, people without a pair left out.
    row_mean, row_best
        Mean and highest score of each row of ``a`` with others of its person, of shape (n,); NaN where
        there is none.
    """

    mean: Float[np.ndarray, " people"]
    lowest: Worst
    row_mean: Float[np.ndarray, " n"]
    row_best: Float[np.ndarray, " n"]


def within_people(
    a: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], b: Float[np.ndarray, "n d"] | None = None
) -> Within:
    """Find each person's mean score and least similar pair.

    Parameters are those of ``nearest_impostors``. One pair a person, so that one mislabelled person
    does not fill the list of false non-matches.
    """
    order = np.argsort(labels, kind="stable")
    left, right = _sorted(a, b, order)
    bounds = np.searchsorted(labels[order], np.arange(int(labels.max()) + 2))
    means = np.full(len(bounds) - 1, np.nan)
    row_mean, row_best = np.full((2, len(labels)), np.nan)
    lowest = []
    for person in track(np.flatnonzero(np.diff(bounds) > 1), "pairs of one person"):
        own = slice(bounds[person], bounds[person + 1])
        scores = left[own] @ right[own].T
        rows = order[own]
        diagonal = np.eye(len(scores), dtype=bool)
        row_best[rows] = np.where(diagonal, -np.inf, scores).max(axis=1)
        row_mean[rows] = np.where(diagonal, 0.0, scores).sum(axis=1, dtype=np.float64) / (len(scores) - 1)
        counted = ~diagonal if b is not None else np.triu(np.ones_like(scores, bool), 1)
        means[person] = scores[counted].mean(dtype=np.float64)
        scores[~counted] = np.inf
        lowest.append(np.array(np.unravel_index(scores.argmin(), scores.shape)) + own.start)
    rows = order[np.array(lowest, dtype=np.int64).reshape(-1, 2)]
    scores = _scored(a, a if b is None else b, rows[:, 0], rows[:, 1])
    worst = np.argsort(scores, kind="stable")
    return Within(means, Worst(scores[worst], rows[worst]), row_mean, row_best)


def _sorted(a: np.ndarray, b: np.ndarray | None, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    left = np.ascontiguousarray(a[order], dtype=np.float32)
    return told_apart(left, left if b is None else np.ascontiguousarray(b[order], dtype=np.float32))


def _against_others(
    left: np.ndarray, right: np.ndarray, people: np.ndarray, rows: np.ndarray, what: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Score some rows against all others, a block of rows at a time; their own person scores −∞."""
    begins, ends = np.searchsorted(people, people[rows]), np.searchsorted(people, people[rows], side="right")
    starts = range(0, len(rows), max(ROWS, BLOCK // len(right)))
    step = starts.step
    size = f"{len(rows):,} images against {len(right):,}"
    for start in sweep(starts, f"{what}, in blocks", len(starts), size) if len(starts) > 1 else starts:
        some = slice(start, start + step)
        scores = left[rows[some]] @ right.T
        for row, begin, end in zip(scores, begins[some], ends[some], strict=True):
            row[begin:end] = -np.inf
        yield rows[some], scores


def _most(scores: np.ndarray, pairs: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut pairs to the highest scores, equal ones by their rows."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -scores))[:count]
    return scores[order], pairs[order]


def _scored(a: np.ndarray, b: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.einsum("ij,ij->i", *told_apart(a[rows], b[others]), dtype=np.float64)
    return found
