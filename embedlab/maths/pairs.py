"""All pairs of images, streamed in blocks: the hot kernel under distances and verification.

Never an N×N array: a block of scores is computed, counted by one compiled loop and forgotten. What
is kept serves every statistic and its identity bootstrap: fine histograms, a coarse histogram a
person, every genuine score, and the highest impostor scores with both their people.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

BINS = 65_536
COARSE = 256
BLOCK = 2_048
CHUNKS = 8
SAMPLE = 100_000


@dataclass(frozen=True)
class Pairs:
    """Scores of all pairs, counted.

    ``bins`` equal bins cut the range [−1, 1] of cosine similarity; ``coarse`` ones do so a person.

    Attributes
    ----------
    images
        Rows a person, of shape (people,).
    impostor
        Pairs of two people, of shape (bins,).
    impostor_by_person
        Impostor pairs that a person is part of, of shape (people, coarse); each pair stands in two
        rows.
    genuine_scores, genuine_people
        Pairs of two images of one person, of shape (g,): the score, and the index of the person.
    same_item_scores, same_item_people
        Pairs of one image under two probes, of shape (s,); empty within one probe.
    tail_scores, tail_people
        The highest impostor scores, falling, of shape (t,), and both their people, (t, 2). All
        impostor pairs above ``tail_scores[-1]`` are there.
    """

    images: Int[np.ndarray, " people"]
    impostor: Int[np.ndarray, " bins"]
    impostor_by_person: Int[np.ndarray, "people coarse"]
    genuine_scores: Float[np.ndarray, " g"]
    genuine_people: Int[np.ndarray, " g"]
    same_item_scores: Float[np.ndarray, " s"]
    same_item_people: Int[np.ndarray, " s"]
    tail_scores: Float[np.ndarray, " t"]
    tail_people: Int[np.ndarray, "t 2"]

    @property
    def genuine(self) -> Int[np.ndarray, " bins"]:
        """Histogram of the genuine scores in the fine bins."""
        return histogram(self.genuine_scores, len(self.impostor))

    @property
    def genuine_by_person(self) -> Int[np.ndarray, "people coarse"]:
        """Coarse histogram of each person's genuine scores."""
        people, coarse = self.impostor_by_person.shape
        index = self.genuine_people * coarse + _bin(self.genuine_scores, coarse)
        return np.bincount(index, minlength=people * coarse).reshape(people, coarse)


def _bin(scores: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " n"]:
    return np.clip(((scores.astype(np.float64) + 1.0) * 0.5 * bins).astype(np.int64), 0, bins - 1)


def histogram(scores: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " bins"]:
    """Count cosine similarities in equal bins over [−1, 1]."""
    return np.bincount(_bin(scores, bins), minlength=bins)


def edges(bins: int) -> Float[np.ndarray, " bins+1"]:
    """Give the edges of the equal bins over [−1, 1]."""
    return np.linspace(-1.0, 1.0, bins + 1)


def all_pairs(
    a: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    b: Float[np.ndarray, "n d"] | None = None,
    *,
    tail: int = 500_000,
    bins: int = BINS,
    coarse: int = COARSE,
) -> Pairs:
    """Score every pair of images by cosine similarity.

    Parameters
    ----------
    a
        Unit rows of shape (n, d).
    labels
        The person of each row, 0…people−1, of shape (n,).
    b
        The same images under another probe, row for row. Without it each unordered pair of rows of
        ``a`` is scored once; with it every row of ``a`` against every row of ``b``, and the pairs
        of an image with itself are kept apart.
    tail
        About how many of the highest impostor scores to keep, with their people: never more, and all
        where there are not twice as many.
    bins, coarse
        Numbers of bins; the first is the second times a power of two.

    Raises
    ------
    ValueError
        If it is not.

    Notes
    -----
    Memory beyond the inputs: about 200 MB of blocks, plus people × coarse × 4 bytes × 9.
    """
    from embedlab.maths._sweep import sweep

    coarse = min(coarse, bins)
    shift = (bins // coarse).bit_length() - 1
    if coarse << shift != bins:
        raise ValueError(f"bins must be coarse times a power of two, not {bins} with coarse {coarse}")
    order = np.argsort(labels, kind="stable")
    left = np.ascontiguousarray(a[order], dtype=np.float32)
    right = left if b is None else np.ascontiguousarray(b[order], dtype=np.float32)
    people = labels[order].astype(np.uint32)
    n, persons = len(left), int(labels.max()) + 1
    fine = np.zeros((CHUNKS, bins), np.int64)
    by_person = np.zeros((CHUNKS, persons, coarse), np.int32)
    per_chunk = -(-min(BLOCK, n) // CHUNKS) * min(BLOCK, n)
    scratch_scores = np.empty((CHUNKS, per_chunk), np.float32)
    scratch_people = np.empty((CHUNKS, per_chunk, 2), np.int32)
    sizes = np.zeros(CHUNKS, np.int64)
    top = _Tail(tail, _floor(left, right, people, tail, cross=b is not None))
    for row in range(0, n, BLOCK):
        rows = slice(row, min(row + BLOCK, n))
        for column in range(row if b is None else 0, n, BLOCK):
            columns = slice(column, min(column + BLOCK, n))
            scores = left[rows] @ right[columns].T
            offset = row - column if b is None else -n - 1
            sweep(
                scores, people[rows], people[columns], offset, shift, fine, by_person,
                top.floor, scratch_scores, scratch_people, sizes,
            )  # fmt: skip
            for chunk, size in enumerate(sizes):
                top.add(scratch_scores[chunk, :size], scratch_people[chunk, :size])
    genuine, genuine_people, same, same_people = _within_people(left, right, people, cross=b is not None)
    tail_scores, tail_people = top.sorted()
    return Pairs(
        images=np.bincount(people, minlength=persons),
        impostor=fine.sum(axis=0),
        impostor_by_person=by_person.sum(axis=0, dtype=np.int64),
        genuine_scores=genuine,
        genuine_people=genuine_people,
        same_item_scores=same,
        same_item_people=same_people,
        tail_scores=tail_scores,
        tail_people=tail_people,
    )


def _floor(left: np.ndarray, right: np.ndarray, people: np.ndarray, tail: int, *, cross: bool) -> float:
    """Guess from a sample a score that half as many pairs again as asked for lie above.

    Pairs below it need not be kept at all. A guess that is too high only shortens the tail.
    """
    if tail == 0:
        return float("inf")
    n = len(left)
    total = n * n if cross else n * (n - 1) // 2
    if 2 * tail >= total:
        return -float("inf")
    rng = np.random.default_rng(0)
    a, b = rng.integers(n, size=(2, SAMPLE))
    apart = people[a] != people[b]
    scores = np.einsum("ij,ij->i", left[a[apart]], right[b[apart]])
    return float(np.quantile(scores, 1 - 1.5 * tail / total))


class _Tail:
    """The highest scores seen so far; the floor rises as better ones come."""

    def __init__(self, size: int, floor: float) -> None:
        self.size = size
        self.floor = floor
        self.scores: list[np.ndarray] = []
        self.people: list[np.ndarray] = []
        self.held = 0

    def add(self, scores: np.ndarray, people: np.ndarray) -> None:
        self.scores.append(scores.copy())
        self.people.append(people.copy())
        self.held += len(scores)
        if self.held > 2 * self.size:
            self._cut()

    def _cut(self) -> None:
        scores, people = np.concatenate(self.scores), np.concatenate(self.people)
        if len(scores) > self.size:
            # Scores equal to the floor go too: which of them came first must not matter.
            self.floor = float(np.partition(scores, len(scores) - self.size)[len(scores) - self.size])
            kept = scores > self.floor
            scores, people = scores[kept], people[kept]
        self.scores, self.people, self.held = [scores], [people], len(scores)

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        self._cut()
        scores, people = self.scores[0], self.people[0]
        # Pairs come in the same order whatever the threads do, so a stable sort settles ties alike.
        order = np.argsort(-scores, kind="stable")
        return scores[order], people[order].astype(np.int64)


def _within_people(
    left: np.ndarray, right: np.ndarray, people: np.ndarray, *, cross: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Score the pairs inside each person; rows are sorted by person."""
    starts = np.flatnonzero(np.r_[True, people[1:] != people[:-1], True])
    scores: list[np.ndarray] = [np.empty(0, np.float32)]
    owners: list[np.ndarray] = [np.empty(0, np.int64)]
    for begin, end in pairwise(starts):
        if end - begin < 2:
            continue
        block = left[begin:end] @ right[begin:end].T
        mask = ~np.eye(len(block), dtype=bool) if cross else np.triu(np.ones_like(block, dtype=bool), 1)
        found = block[mask]
        scores.append(found)
        owners.append(np.full(len(found), people[begin], dtype=np.int64))
    same = np.einsum("ij,ij->i", left, right) if cross else np.empty(0, np.float32)
    return np.concatenate(scores), np.concatenate(owners), same, people[: len(same)].copy()
