"""All pairs of images, streamed in blocks: the hot kernel under distances and verification.

Never an N×N array: a block of scores is computed, counted by one compiled loop and forgotten. What
is kept serves every statistic and its identity bootstrap: fine histograms, a coarse histogram a
person, every genuine score, and the highest impostor scores with both their people.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, pairwise
from queue import SimpleQueue
from threading import Event
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths import reused
from embedlab.maths.pairs.grid import Grid
from embedlab.maths.products import exactly_one, unthreaded
from embedlab.maths.sums import by_person
from embedlab.progress import sweep, track
from embedlab.shares import beside, shared

BINS = 65_536
COARSE = 256
BLOCK = 1_024
THREADS = 16
# Runs of blocks that are counted apart: enough for many threads in many processes to end together.
SHARES = 64
SAMPLE = 100_000
# The highest impostor scores that are kept unless more or fewer are asked for.
TAIL = 500_000
# How many times two people are drawn whose pairs are looked at together.
TWO_PEOPLE = 300
# Cosines whose bulk lies within this are scored about their mean.
CLOSE = 0.02
# Rows that the middle of all is taken from.
MIDDLE = 10_000
# Bytes that the threads' histograms a person may take together.
ROOM = 2 << 30
T = TypeVar("T")
Metric = Literal["cosine", "euclidean"]
Weigh = Literal["pairs", "people"]
"""Each pair weighs the same, as in the field's protocols; or each person's genuine pairs together weigh
one, and so do the impostor pairs of each two people."""
Place = tuple[slice, slice]


@dataclass(frozen=True)
class Pairs:
    """Scores of all pairs, counted.

    A score lies in [−1, 1] and grows with likeness: cosine similarity, or for Euclidean distance d
    the number 1 − 2d/``reach``. ``bins`` bins cut that range, ``coarse`` ones do so a person.

    Attributes
    ----------
    weigh
        What weighs the same: each pair, or each person and each two people.
    images, others
        Rows a person on either side of the pairs, of shape (people,).
    ordered
        Whether an image of i with one of j, and one of j with an image of i, are two pairs, as they
        are across probes.
    reach
        The distance of two vectors of score −1; 2 for the cosine distance.
    grid
        Where the bins lie.
    impostor
        Pairs of two people, counted, of shape (bins,).
    impostor_beyond
        Their mean score in the bins outside the bulk, which are wide, (bins,); NaN elsewhere.
    impostor_mass
        What they weigh, (bins,); their numbers again where each pair weighs the same.
    impostor_by_person
        What the impostor pairs weigh that a person is part of, of shape (people, coarse); each pair
        stands in two rows.
    sampled, sampled_masses
        Of some two people, drawn as their pairs weigh, the coarse histogram of their impostor pairs, which
        sums to one, of shape (k, coarse), and what those weigh, (k,): ``excess`` asks for it.
    genuine_scores, genuine_people
        Pairs of two images of one person, of shape (g,): the score, and the index of the person.
    same_item_scores, same_item_people
        Pairs of one image under two probes, of shape (s,); empty within one probe.
    tail_scores, tail_people
        The highest impostor scores, falling, of shape (t,), and both their people, (t, 2). All
        impostor pairs above ``tail_scores[-1]`` are there.
    """

    weigh: Weigh
    images: Int[np.ndarray, " people"]
    others: Int[np.ndarray, " people"]
    ordered: bool
    reach: float
    grid: Grid
    impostor: Int[np.ndarray, " bins"]
    impostor_beyond: Float[np.ndarray, " bins"]
    impostor_mass: Float[np.ndarray, " bins"]
    impostor_by_person: Float[np.ndarray, "people coarse"]
    sampled: Float[np.ndarray, "k coarse"]
    sampled_masses: Float[np.ndarray, " k"]
    genuine_scores: Float[np.ndarray, " g"]
    genuine_people: Int[np.ndarray, " g"]
    same_item_scores: Float[np.ndarray, " s"]
    same_item_people: Int[np.ndarray, " s"]
    tail_scores: Float[np.ndarray, " t"]
    tail_people: Int[np.ndarray, "t 2"]

    @property
    def unresolved(self) -> bool:
        """Whether all scores lie in one bin, so that their counts tell nothing apart."""
        filled = np.flatnonzero(self.impostor)
        return len(filled) == 1 and bool(
            (self.grid.index(self.genuine_scores, len(self.impostor)) == filled[0]).all()
        )

    def distance(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Turn scores into distances."""
        return (1.0 - scores) * (self.reach / 2)

    @cached_property
    def row_weights(self) -> Float[np.ndarray, " people"]:
        """What an image of each person weighs on the first side of an impostor pair."""
        return row_weights(self.images, self.weigh)

    @cached_property
    def column_weights(self) -> Float[np.ndarray, " people"]:
        """What an image of each person weighs on the second side of an impostor pair."""
        return row_weights(self.others, self.weigh)

    @cached_property
    def genuine_weights(self) -> Float[np.ndarray, " people"]:
        """What one genuine pair of each person weighs; 0 where a person has none."""
        return row_weights(self._of_each(self.genuine_people), self.weigh)

    @cached_property
    def same_item_weights(self) -> Float[np.ndarray, " people"]:
        """What one image under two probes weighs, of each person."""
        return row_weights(self._of_each(self.same_item_people), self.weigh)

    @cached_property
    def genuine_masses(self) -> Float[np.ndarray, " people"]:
        """What the genuine pairs of each person weigh together: what ``effective_number`` asks for."""
        found: np.ndarray = self._of_each(self.genuine_people) * self.genuine_weights
        return found

    @cached_property
    def genuine_order(self) -> Int[np.ndarray, " g"]:
        """Where the genuine scores stand as they rise."""
        found: np.ndarray = np.argsort(self.genuine_scores, kind="stable")
        return found

    def _of_each(self, owners: np.ndarray) -> Int[np.ndarray, " people"]:
        return np.bincount(owners, minlength=len(self.images))

    def centres(self, bins: int) -> Float[np.ndarray, " bins"]:
        """Give a score for each bin: the middle in the bulk, the impostors' mean beyond it."""
        ends = self.grid.edges(bins)
        found: np.ndarray = (ends[1:] + ends[:-1]) / 2
        there = np.where(np.isfinite(self.impostor_beyond), self.impostor, 0)
        counts = there.reshape(bins, -1).sum(axis=1)
        sums = np.where(there > 0, there * self.impostor_beyond, 0.0).reshape(bins, -1).sum(axis=1)
        first, end = self.grid.bulk(bins)
        outside = (counts > 0) & ((np.arange(bins) < first) | (np.arange(bins) >= end))
        found[outside] = sums[outside] / counts[outside]
        return found

    @property
    def genuine(self) -> Float[np.ndarray, " bins"]:
        """What the genuine scores weigh in the fine bins."""
        weights = self.genuine_weights[self.genuine_people]
        bins = len(self.impostor)
        return np.bincount(self.grid.index(self.genuine_scores, bins), weights, minlength=bins)

    @cached_property
    def genuine_by_person(self) -> Float[np.ndarray, "people coarse"]:
        """What each person's genuine scores weigh in the coarse bins."""
        people, coarse = self.impostor_by_person.shape
        index = self.genuine_people * coarse + self.grid.index(self.genuine_scores, coarse)
        weights = self.genuine_weights[self.genuine_people]
        found: np.ndarray = np.bincount(index, weights, minlength=people * coarse)
        return found.reshape(people, coarse)


NOBODY: Int[np.ndarray, "0 2"] = np.empty((0, 2), np.int64)


def row_weights(sizes: Int[np.ndarray, " people"], weigh: Weigh) -> Float[np.ndarray, " people"]:
    """Give what one of each person's rows weighs, of which there are ``sizes``; 0 where there is none."""
    there = sizes > 0
    if weigh == "pairs":
        return there.astype(np.float64)
    found: np.ndarray = np.divide(1.0, sizes, out=np.zeros(len(sizes)), where=there)
    return found


def all_pairs(
    a: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    b: Float[np.ndarray, "n d"] | None = None,
    *,
    metric: Metric = "cosine",
    weigh: Weigh = "pairs",
    tail: int = TAIL,
    bins: int = BINS,
    coarse: int = COARSE,
) -> Pairs:
    """Score every pair of images.

    Parameters
    ----------
    a
        Rows of shape (n, d); of length one for the cosine.
    labels
        The person of each row, 0…people−1, of shape (n,).
    b
        The same images under another probe, row for row. Without it each unordered pair of rows of
        ``a`` is scored once; with it every row of ``a`` against every row of ``b``, and the pairs
        of an image with itself are kept apart.
    metric
        ``cosine`` similarity, or ``euclidean`` distance turned into a score.
    weigh
        ``pairs``: each pair weighs the same. ``people``: the genuine pairs of each person together weigh
        one, and so do the impostor pairs of each two people.
    tail
        About how many of the highest impostor scores to keep, with their people: all where there are
        fewer, and never more.
    bins, coarse
        Numbers of bins; the first is the second times a power of two.

    Raises
    ------
    ValueError
        If it is not.

    Notes
    -----
    Memory beyond the inputs: about 15 MB a thread for blocks, plus people × coarse × 4 bytes a thread,
    which are so few that this stays within 2 GB; 8 bytes where people of unlike numbers of images weigh.
    While ``Kept`` pairs are in use, cosines that were counted already are given again.
    """
    kept = reused.in_use()
    if kept is None or metric != "cosine":
        return _counted(a, labels, b, metric, weigh, tail, bins, coarse)
    key = reused.key((a, labels, b), "pairs", b is None, weigh, bins, coarse)
    had, found = kept.get(key) or (None, None)
    if found is None or tail not in (had, 0):
        # Who asks next may want a tail, which would be another sweep, and costs this one little.
        had = tail or TAIL
        found = _counted(a, labels, b, metric, weigh, had, bins, coarse)
        kept.put(key, (had, found))
    # A kept tail is left off for who asks for none.
    return found if tail == had else replace(found, tail_scores=found.tail_scores[:0], tail_people=NOBODY)


def _counted(
    a: np.ndarray,
    labels: np.ndarray,
    b: np.ndarray | None,
    metric: Metric,
    weigh: Weigh,
    tail: int,
    bins: int,
    coarse: int,
) -> Pairs:
    order = np.argsort(labels, kind="stable")
    left = np.ascontiguousarray(a[order], dtype=np.float32)
    right = left if b is None else np.ascontiguousarray(b[order], dtype=np.float32)
    people = labels[order].astype(np.uint32)
    images = np.bincount(people)
    sides, cross = ((people, people), (images, images)), b is not None
    scorer = _Scorer.of(metric, left, right)
    within, some = _within_people(scorer, people, cross=cross), _sample(scorer, people, people)
    if scorer.metric == "cosine" and Grid.of([within[0], some]).width < CLOSE:
        scorer = scorer.centred()
        within, some = _within_people(scorer, people, cross=cross), _sample(scorer, people, people)
    genuine, genuine_people, same, same_people = within
    counted = _sweep_all(scorer, *sides, (genuine, some), weigh, tail, bins, coarse, cross=cross)
    return Pairs(
        weigh=weigh,
        images=images,
        others=images,
        ordered=b is not None,
        reach=scorer.reach,
        genuine_scores=genuine,
        genuine_people=genuine_people,
        same_item_scores=same,
        same_item_people=same_people,
        **counted,
    )


def template_pairs(
    a: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    *,
    weigh: Weigh = "pairs",
    tail: int = TAIL,
    bins: int = BINS,
    coarse: int = COARSE,
) -> Pairs:
    """Score every image against every person's template: the mean of that person's unit vectors.

    An image is held against its own person's template without itself, so people with one image have
    no genuine pair. Parameters are those of ``all_pairs``.
    """
    order = np.argsort(labels, kind="stable")
    left = np.ascontiguousarray(a[order], dtype=np.float32)
    people = labels[order].astype(np.uint32)
    images = np.bincount(people)
    sums = by_person(left, people)
    several = np.flatnonzero(images[people] > 1)
    rest = _at_length_one(sums[people[several]] - left[several])
    genuine = np.einsum("ij,ij->i", left[several], rest)
    scorer = _Scorer.of("cosine", left, _at_length_one(sums))
    sides = (people, np.arange(len(images), dtype=np.uint32)), (images, np.ones_like(images))
    some = _sample(scorer, *sides[0])
    counted = _sweep_all(scorer, *sides, (genuine, some), weigh, tail, bins, coarse, cross=True)
    return Pairs(
        weigh=weigh,
        images=images,
        others=np.ones_like(images),
        ordered=True,
        reach=scorer.reach,
        genuine_scores=genuine,
        genuine_people=people[several].astype(np.int64),
        same_item_scores=np.empty(0, np.float32),
        same_item_people=np.empty(0, np.int64),
        **counted,
    )


def _at_length_one(vectors: np.ndarray) -> np.ndarray:
    """Bring rows to length one in float32; what has no direction stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit.astype(np.float32)


@dataclass(frozen=True)
class _Scorer:
    """Two sets of rows, and how a pair of them is scored: less an origin, near which floats lie closer."""

    left: np.ndarray
    right: np.ndarray
    left_squares: np.ndarray
    right_squares: np.ndarray
    metric: Metric
    reach: float
    origin: float

    @classmethod
    def of(cls, metric: Metric, left: np.ndarray, right: np.ndarray) -> "_Scorer":
        none = np.empty(0, np.float32)
        if metric == "cosine":
            return cls(left, right, none, none, metric, 2.0, 0.0)
        # About the middle, where squares are smallest and their differences lose least; a mean would be
        # drawn away by one row that is far off.
        centre = _middle(left, right)
        same = right is left
        left = left - centre
        right = left if same else right - centre
        first, second = (np.einsum("ij,ij->i", rows, rows) for rows in (left, right))
        reach = float(np.sqrt(first.max()) + np.sqrt(second.max()))
        return cls(left, right, first, second, metric, reach or 1.0, 1.0)

    def centred(self) -> "_Scorer":
        """Score cosines that lie close together about a middle: x·y = (x − c)·(y − c) + c·(x + y − c)."""
        left = exactly_one(self.left)
        right = left if self.right is self.left else exactly_one(self.right)
        centre = _middle(left, right)
        origin = float(centre @ centre)
        columns = []
        for k, rows in enumerate((left, right)):
            rest = rows - centre
            own = (rest @ centre)[:, None]
            columns.append(np.hstack([rest, *((own, np.ones_like(own))[:: 1 - 2 * k])]).astype(np.float32))
        return replace(self, left=columns[0], right=columns[1], origin=origin)

    def block(self, rows: slice, columns: slice) -> np.ndarray:
        """Score each of some rows with each of some columns, less the origin."""
        products: np.ndarray = self.left[rows] @ self.right[columns].T
        if self.metric == "cosine":
            return products
        from embedlab.maths.pairs._sweep import distances

        distances(products, self.left_squares[rows], self.right_squares[columns], self._factor)
        return products

    def each(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Score pairs of one row and one column each, less the origin."""
        found = np.empty(len(rows), self.left.dtype)
        for start in range(0, len(rows), BLOCK):
            some = slice(start, start + BLOCK)
            a, b = self.left[rows[some]], self.right[columns[some]]
            if self.metric == "cosine":
                found[some] = np.einsum("ij,ij->i", a, b)
            else:
                a -= b
                found[some] = self._score(np.einsum("ij,ij->i", a, a))
        return found

    def full(self, scores: np.ndarray) -> np.ndarray:
        """Add the origin, in as many digits as that takes."""
        return scores.astype(np.float64) + self.origin if self.origin else scores

    def _score(self, squared: np.ndarray) -> np.ndarray:
        np.maximum(squared, 0.0, out=squared)
        np.sqrt(squared, out=squared)
        squared *= self._factor
        return squared

    @property
    def _factor(self) -> np.float32:
        """What turns a Euclidean distance into a score, less the origin."""
        return np.float32(-2.0 / self.reach)


def _middle(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Give the median of the rows, number by number, of some of them."""
    some = np.concatenate([left[:: len(left) // MIDDLE + 1], right[:: len(right) // MIDDLE + 1]])
    found: np.ndarray = np.median(some, axis=0)
    return found


def _sweep_all(
    scorer: _Scorer,
    sides: tuple[np.ndarray, np.ndarray],
    sizes: tuple[np.ndarray, np.ndarray],
    known: tuple[np.ndarray, np.ndarray],
    weigh: Weigh,
    tail: int,
    bins: int,
    coarse: int,
    *,
    cross: bool,
) -> dict[str, Any]:
    """Count the impostor pairs, block by block, and keep the highest.

    ``sides`` are the people of rows and of columns, ``sizes`` how many rows and columns each person has;
    ``known`` are all genuine scores, and impostor scores drawn at random, less the scorer's origin.
    """
    coarse = min(coarse, bins)
    shift = (bins // coarse).bit_length() - 1
    if coarse << shift != bins:
        raise ValueError(f"bins must be coarse times a power of two, not {bins} with coarse {coarse}")
    rows_of, columns_of = sides
    weights = (row_weights(sizes[0], weigh), row_weights(sizes[1], weigh))
    # Where all weigh the same, pairs are counted, and weighed afterwards.
    level = all(np.ptp(each) == 0 for each in weights)
    genuine, some = known
    grid = Grid.of([genuine, scorer.full(some)])
    top = _Tail(tail, _floor(some, len(rows_of), len(columns_of), tail, cross=cross))
    count = _Count(
        scorer, sides, None if level else weights, grid, bins, coarse, shift, tail, top.floor, cross=cross
    )
    sums = _Sums.none(bins, coarse, count.persons, np.dtype(np.float64))
    for part in shared(count, min(SHARES, count.blocks)):
        sums.add(part.sums)
        top.floor = max(top.floor, part.floor)
        top.add(part.scores, part.people)
    tail_scores, tail_people = top.sorted()
    impostor, mass, by_person = sums.fine, sums.mass, sums.by_person
    if level:
        one = float(weights[0][0] * weights[1][0])
        mass, by_person = impostor * one, by_person * one
    sampled, sampled_masses = _sampled(scorer, sides, weights, grid, coarse, weigh, cross=cross)
    return {
        "sampled": sampled,
        "sampled_masses": sampled_masses,
        "grid": grid,
        "impostor": impostor,
        "impostor_beyond": np.divide(
            sums.beyond, impostor, out=np.full(bins, np.nan), where=(sums.beyond != 0) & (impostor > 0)
        )
        + scorer.origin,
        "impostor_mass": mass,
        "impostor_by_person": by_person,
        "tail_scores": scorer.full(tail_scores),
        "tail_people": tail_people,
    }


@dataclass(frozen=True)
class _Sums:
    """What impostor pairs add up to, as ``_sweep`` counts it."""

    fine: np.ndarray
    mass: np.ndarray
    beyond: np.ndarray
    by_person: np.ndarray

    @classmethod
    def none(cls, bins: int, coarse: int, persons: int, kind: np.dtype[Any]) -> "_Sums":
        return cls(
            np.zeros(bins, np.int64), np.zeros(bins), np.zeros(bins), np.zeros((persons, coarse), kind)
        )

    def add(self, other: "_Sums") -> None:
        for name, array in vars(self).items():
            array += getattr(other, name)


@dataclass(frozen=True)
class _Part:
    """What one share of the blocks gave, with the highest of its scores: all above ``floor``."""

    sums: _Sums
    scores: np.ndarray
    people: np.ndarray
    floor: float


@dataclass(frozen=True)
class _Count:
    """Counts shares of the blocks, here or in another process.

    A share is a run of blocks that one thread counts one after the other, and shares are added in their
    order, so that sums of broken numbers have the same bits whoever counted.
    """

    scorer: _Scorer
    sides: tuple[np.ndarray, np.ndarray]
    weights: tuple[np.ndarray, np.ndarray] | None
    grid: Grid
    bins: int
    coarse: int
    shift: int
    tail: int
    floor: float
    cross: bool

    @property
    def block(self) -> int:
        return min(BLOCK, max(map(len, self.sides)))

    @property
    def persons(self) -> int:
        return int(self.sides[0].max()) + 1

    @property
    def blocks(self) -> int:
        down, across = (-(-len(side) // self.block) for side in self.sides)
        return down * across if self.cross else down * (down + 1) // 2

    def __call__(self, mine: Sequence[int]) -> Iterator[_Part]:
        """Give what each share of some holds, in their order, and tell of each block."""
        kind = np.dtype(np.float64 if self.weights else np.int32)
        threads = min(_threads(self.persons, self.coarse, kind.itemsize), len(mine))
        ends = np.arange(min(SHARES, self.blocks) + 1) * self.blocks // min(SHARES, self.blocks)
        done: SimpleQueue[tuple[int, _Part | BaseException | None]] = SimpleQueue()
        over, buffers, area = Event(), SimpleQueue[tuple[np.ndarray, np.ndarray]](), self.block**2
        for _ in range(threads):
            buffers.put((np.empty(area, np.float32), np.empty((area, 2), np.int32)))

        def work(share: int) -> None:
            buffer = buffers.get()
            try:
                for part in self._counted(ends[share], ends[share + 1], kind, *buffer):
                    if over.is_set():
                        return
                    done.put((share, part))
            except BaseException as error:
                done.put((share, error))
            finally:
                buffers.put(buffer)

        total = int(sum(ends[share + 1] - ends[share] for share in mine))
        found = (done.get() for _ in range(total))
        following, held = iter(mine), dict[int, _Part]()
        # A thread a share, each with matrix products of its own: threads inside the product would go on
        # spinning after it and take the cores from the counting.
        with unthreaded(), ThreadPoolExecutor(threads) as pool:
            try:
                # Few are under way or wait for one before them, as each holds a histogram a person.
                waiting = deque(islice(following, 2 * threads))
                for share in waiting:
                    pool.submit(work, share)
                for share, part in self._tracked(found, total):
                    if isinstance(part, BaseException):
                        raise part
                    if part is not None:
                        held[share] = part
                    while waiting and waiting[0] in held:
                        yield held.pop(waiting.popleft())
                        for another in islice(following, 1):
                            waiting.append(another)
                            pool.submit(work, another)
            finally:
                over.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _counted(
        self, first: int, end: int, kind: np.dtype[Any], scores: np.ndarray, people: np.ndarray
    ) -> Iterator[_Part | None]:
        """Count a run of blocks; what they hold comes with the last one."""
        from embedlab.maths.pairs._sweep import sweep as sweep_block

        (rows_of, columns_of), block = self.sides, self.block
        sums = _Sums.none(self.bins, self.coarse, self.persons, kind)
        top = _Tail(self.tail, self.floor)
        grid, bulk = self.grid.compiled(self.bins, self.scorer.origin), self.grid.bulk(self.bins)
        weights: tuple[Any, Any] = self.weights or (None, None)
        places = _places(len(rows_of), len(columns_of), block, cross=self.cross)
        for k, (rows, columns) in enumerate(islice(places, first, end), first + 1):
            size = sweep_block(
                self.scorer.block(rows, columns), rows_of[rows], columns_of[columns],
                -block - 1 if self.cross else rows.start - columns.start, self.shift,
                grid, bulk, sums.beyond,
                sums.fine, sums.by_person, top.floor, scores, people, *weights, sums.mass,
            )  # fmt: skip
            top.add(scores[:size].copy(), people[:size].copy())
            yield None if k < end else _Part(sums, *top.cut(), top.floor)

    def _tracked(self, found: Iterator[T], total: int) -> Iterator[T]:
        if self.blocks == 1:
            return found
        rows, columns = map(len, self.sides)
        pairs = rows * columns if self.cross else rows * (rows - 1) // 2
        size = f"{pairs:,} pairs of {rows:,} images" + (f" with {columns:,}" if self.cross else "")
        return sweep(found, "all pairs, in blocks", total, size)


def _threads(persons: int, coarse: int, itemsize: int = 4) -> int:
    """Choose how many threads count, each into a histogram a person of its own, and as many that wait."""
    from numba import get_num_threads

    cores = get_num_threads() // beside()
    return max(1, min(cores, THREADS, ROOM // (2 * persons * coarse * itemsize)))


def _places(rows: int, columns: int, block: int, *, cross: bool) -> Iterator[Place]:
    """Name the blocks, without those below the diagonal where each pair counts once."""
    for row in range(0, rows, block):
        for column in range(0 if cross else row, columns, block):
            yield slice(row, min(row + block, rows)), slice(column, min(column + block, columns))


def _sample(scorer: _Scorer, rows_of: np.ndarray, columns_of: np.ndarray) -> np.ndarray:
    """Score some impostor pairs that are drawn at random, less the scorer's origin."""
    rng = np.random.default_rng(0)
    size = min(SAMPLE, 4 * len(rows_of) * len(columns_of))
    a, b = (rng.integers(len(people), size=size) for people in (rows_of, columns_of))
    apart = rows_of[a] != columns_of[b]
    return scorer.each(a[apart], b[apart])


def _sampled(
    scorer: _Scorer,
    sides: tuple[np.ndarray, np.ndarray],
    weights: tuple[np.ndarray, np.ndarray],
    grid: Grid,
    coarse: int,
    weigh: Weigh,
    *,
    cross: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw some two people, as likely as their pairs weigh, and give the histograms of their pairs."""
    rng = np.random.default_rng(1)
    rows_of, columns_of = sides
    persons = np.unique(rows_of)
    if weigh == "people":
        one, other = persons[rng.integers(len(persons), size=(2, TWO_PEOPLE))]
    else:
        one = rows_of[rng.integers(len(rows_of), size=TWO_PEOPLE)]
        other = columns_of[rng.integers(len(columns_of), size=TWO_PEOPLE)]
    of = [
        [np.searchsorted(people, np.arange(int(rows_of.max()) + 1), side=side) for side in ("left", "right")]
        for people in sides
    ]
    scores, weight, pair_of = [np.empty(0)], [np.empty(0)], [np.empty(0, np.int64)]
    apart = one != other
    for k, pair in enumerate(zip(one[apart], other[apart], strict=True)):
        for i, j in (pair, pair[::-1]) if cross else (pair,):
            block = scorer.block(slice(of[0][0][i], of[0][1][i]), slice(of[1][0][j], of[1][1][j]))
            scores.append(block.ravel())
            weight.append(np.full(block.size, weights[0][i] * weights[1][j]))
            pair_of.append(np.full(block.size, k))
    index = np.concatenate(pair_of) * coarse + grid.index(scorer.full(np.concatenate(scores)), coarse)
    several = int(apart.sum())
    found = np.bincount(index, np.concatenate(weight), minlength=several * coarse).reshape(several, coarse)
    masses = found.sum(axis=1)
    return found / masses[:, None], masses


def _floor(sample: np.ndarray, n: int, m: int, tail: int, *, cross: bool) -> float:
    """Guess from a sample a score that half as many pairs again as asked for lie above.

    Pairs below it need not be kept at all. A guess that is too high only shortens the tail.
    """
    if tail == 0:
        return float("inf")
    total = n * m if cross else n * (n - 1) // 2
    if 2 * tail >= total:
        return -float("inf")
    return float(np.quantile(sample, 1 - 1.5 * tail / total))


class _Tail:
    """The highest scores seen so far; the floor rises as better ones come."""

    def __init__(self, size: int, floor: float) -> None:
        self.size = size
        self.floor = floor
        self.scores: list[np.ndarray] = []
        self.people: list[np.ndarray] = []
        self.held = 0

    def add(self, scores: np.ndarray, people: np.ndarray) -> None:
        self.scores.append(scores)
        self.people.append(people)
        self.held += len(scores)
        if self.held > 2 * self.size:
            self._cut()

    def _cut(self) -> None:
        scores, people = np.concatenate(self.scores), np.concatenate(self.people)
        if len(scores) >= self.size > 0:
            reached = float(np.partition(scores, len(scores) - self.size)[len(scores) - self.size])
            self.floor = max(self.floor, reached)
        # Scores equal to the floor go too: neither which of them came first nor who was at work when it
        # rose may matter.
        kept = scores > self.floor
        scores, people = scores[kept], people[kept]
        self.scores, self.people, self.held = [scores], [people], len(scores)

    def cut(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the highest scores in the order in which they came, and their people."""
        self._cut()
        return self.scores[0], self.people[0]

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        scores, people = self.cut()
        # Pairs come in the same order whoever counted them, so a stable sort settles ties alike.
        order = np.argsort(-scores, kind="stable")
        return scores[order], people[order].astype(np.int64)


def _within_people(
    scorer: _Scorer, people: np.ndarray, *, cross: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Score the pairs inside each person; rows are sorted by person."""
    starts = np.flatnonzero(np.r_[True, people[1:] != people[:-1], True])
    scores: list[np.ndarray] = [np.empty(0, np.float32)]
    owners: list[np.ndarray] = [np.empty(0, np.int64)]
    for begin, end in track(pairwise(starts), "pairs of one person", len(starts) - 1):
        if end - begin < 2:
            continue
        block = scorer.block(slice(begin, end), slice(begin, end))
        mask = ~np.eye(len(block), dtype=bool) if cross else np.triu(np.ones_like(block, dtype=bool), 1)
        found = block[mask]
        scores.append(found)
        owners.append(np.full(len(found), people[begin], dtype=np.int64))
    every = np.arange(len(people) if cross else 0)
    same = scorer.full(scorer.each(every, every))
    return (
        scorer.full(np.concatenate(scores)),
        np.concatenate(owners),
        same,
        people[: len(same)].astype(np.int64),
    )
