"""The compiled inner loop of ``pairs``: apart, because importing numba takes a second."""

from typing import Any

import numpy as np
from numba import prange

from embedlab.maths._compiled import compiled

# Resamples whose weights stand side by side, and scores between two looks at the levels.
LANES = 8
STRIDE = 64


@compiled(nogil=True)
def sweep(
    scores: np.ndarray,
    row_labels: np.ndarray,
    column_labels: np.ndarray,
    offset: int,
    shift: int,
    grid: np.ndarray,
    bulk: tuple[int, int],
    beyond: np.ndarray,
    fine: np.ndarray,
    by_person: np.ndarray,
    floor: float,
    tail_scores: np.ndarray,
    tail_people: np.ndarray,
    row_weights: Any,
    column_weights: Any,
    mass: np.ndarray,
) -> int:
    """Count the impostor pairs of one block of scores, and return how many went into the tail.

    With weights a person, ``mass`` and ``by_person`` hold the products of both people's; without them
    ``mass`` is left alone, and the compiler leaves out what weighs.

    Columns below ``row + offset + 1`` are passed over, so a block on the diagonal counts each
    unordered pair once; an ``offset`` of -rows - 1 counts all. ``column_labels`` rise. A fine bin lies in the
    coarse bin of its number shifted right by ``shift``.

    ``grid`` holds the four ends of the three pieces of the scores' range, and bins a score in each piece;
    scores outside the bins of ``bulk`` are summed up in ``beyond``.

    A row is gone through several times, each time for one kind of count: its bins stay in the fastest cache,
    and where one loop writes to several places, the processor waits to see whether they are the same.
    """
    rows, columns = scores.shape
    by = np.uint32(shift)
    first_bin, bins = np.uint32(bulk[0]), np.uint32(bulk[1] - bulk[0])
    size = 0
    own = np.zeros(by_person.shape[1], by_person.dtype)
    index, weights = np.empty(columns, np.uint32), np.empty(columns, by_person.dtype)
    for row in range(rows):
        person = row_labels[row]
        first = max(0, row + offset + 1)
        if first >= columns:
            continue
        line, places, others = scores[row, first:], index[first:], column_labels[first:]
        _places(line, grid, np.float32(len(fine) - 1), places)
        start = end = len(others)
        if others[0] <= person <= others[-1]:
            start = np.searchsorted(others, person, side="left")
            end = np.searchsorted(others, person, side="right")
        own[:] = 0
        # Those before the person's own images, and those behind them.
        for part in range(2):
            some = slice(0, start) if part == 0 else slice(end, len(others))
            at, who, said = places[some], others[some], line[some]
            _count(at, fine)
            if row_weights is None:
                _count_coarse(at, by, own)
                _count_people(at, by, who, by_person)
            else:
                weigh = weights[: len(at)]
                _weigh(who, row_weights[person], column_weights, weigh)
                _add(at, weigh, mass)
                _add_coarse(at, by, weigh, own)
                _add_people(at, by, who, weigh, by_person)
            size = _keep(said, who, person, floor, tail_scores, tail_people, size)
            _sum_beyond(at, said, first_bin, bins, beyond)
        by_person[person] += own
    return size


# Bins are unsigned, since numba asks of every signed index whether it counts from the end.


@compiled(nogil=True)
def _places(line: np.ndarray, grid: np.ndarray, last: np.float32, index: np.ndarray) -> None:
    low, inner, outer, high = grid[0], grid[1], grid[2], grid[3]
    below, within, above = grid[4], grid[5], grid[6]
    for k in range(len(line)):
        score = line[k]
        place = (
            (min(max(score, low), inner) - low) * below
            + (min(max(score, inner), outer) - inner) * within
            + (min(max(score, outer), high) - outer) * above
        )
        index[k] = np.uint32(min(place, last))


@compiled(nogil=True)
def _count(index: np.ndarray, fine: np.ndarray) -> None:
    for k in range(len(index)):
        fine[index[k]] += 1


@compiled(nogil=True)
def _count_coarse(index: np.ndarray, by: np.uint32, own: np.ndarray) -> None:
    for k in range(len(index)):
        own[index[k] >> by] += 1


@compiled(nogil=True)
def _count_people(index: np.ndarray, by: np.uint32, people: np.ndarray, by_person: np.ndarray) -> None:
    for k in range(len(index)):
        by_person[people[k], index[k] >> by] += 1


@compiled(nogil=True)
def _weigh(people: np.ndarray, mine: float, theirs: np.ndarray, weights: np.ndarray) -> None:
    for k in range(len(people)):
        weights[k] = mine * theirs[people[k]]


@compiled(nogil=True)
def _add(index: np.ndarray, weights: np.ndarray, mass: np.ndarray) -> None:
    for k in range(len(index)):
        mass[index[k]] += weights[k]


@compiled(nogil=True)
def _add_coarse(index: np.ndarray, by: np.uint32, weights: np.ndarray, own: np.ndarray) -> None:
    for k in range(len(index)):
        own[index[k] >> by] += weights[k]


@compiled(nogil=True)
def _add_people(
    index: np.ndarray, by: np.uint32, people: np.ndarray, weights: np.ndarray, by_person: np.ndarray
) -> None:
    for k in range(len(index)):
        by_person[people[k], index[k] >> by] += weights[k]


@compiled(nogil=True)
def _keep(
    line: np.ndarray,
    people: np.ndarray,
    person: int,
    floor: float,
    tail_scores: np.ndarray,
    tail_people: np.ndarray,
    size: int,
) -> int:
    for start in range(0, len(line), STRIDE):
        some = line[start : start + STRIDE]
        # Most strides have none, and whether one has takes no branch an entry.
        found = False
        for k in range(len(some)):
            found |= some[k] > floor
        if found:
            for k in range(len(some)):
                if some[k] > floor:
                    tail_scores[size] = some[k]
                    tail_people[size, 0] = person
                    tail_people[size, 1] = people[start + k]
                    size += 1
    return size


@compiled(nogil=True)
def _sum_beyond(
    index: np.ndarray, line: np.ndarray, first: np.uint32, bins: np.uint32, beyond: np.ndarray
) -> None:
    for start in range(0, len(index), STRIDE):
        some = index[start : start + STRIDE]
        # Unsigned: what lies below the first bin is beyond all.
        found = False
        for k in range(len(some)):
            found |= some[k] - first >= bins
        if found:
            for k in range(len(some)):
                if some[k] - first >= bins:
                    beyond[some[k]] += line[start + k]


@compiled(nogil=True)
def distances(
    products: np.ndarray, row_squares: np.ndarray, column_squares: np.ndarray, factor: np.float32
) -> None:
    """Turn a block of dot products, in place, into Euclidean distances times a factor."""
    for i in range(len(products)):
        line = products[i]
        for j in range(len(line)):
            squared = row_squares[i] - np.float32(2.0) * line[j] + column_squares[j]
            line[j] = np.sqrt(max(squared, np.float32(0.0))) * factor


@compiled(parallel=True, nogil=True)
def weighted_thresholds(
    scores: np.ndarray,
    people: np.ndarray,
    weights: np.ndarray,
    others: np.ndarray,
    allowed: np.ndarray,
) -> np.ndarray:
    """Find, a resample and level, the highest impostor score that may no longer be accepted.

    ``scores`` fall; a pair weighs ``weights`` of its first person times ``others`` of its second, both of
    shape (resamples, people) and never negative; ``allowed`` of shape (resamples, levels) rises along
    levels: the weight of impostor pairs that each level lets in. NaN where the scores end first.

    A person's weights in some resamples stand side by side, so that a pair is looked up once for all of
    them. Sums only rise, so that a stride that ends below a level holds no limit.
    """
    resamples, levels = allowed.shape
    found = np.full((resamples, levels), np.nan)
    for block in prange((resamples + LANES - 1) // LANES):
        first = block * LANES
        lanes = min(LANES, resamples - first)
        one, other = _side_by_side(weights, first), _side_by_side(others, first)
        level = np.zeros(LANES, np.int64)
        let_in, before, tied = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
        left = lanes if levels > 0 else 0
        begin = 0
        while begin < len(scores) and left > 0:
            end = min(begin + STRIDE, len(scores))
            # Pairs of one score stand or fall together.
            while end < len(scores) and scores[end] == scores[end - 1]:
                end += 1
            before[:] = let_in
            _let_in(scores, people, one, other, begin, end, let_in, tied)
            for lane in range(lanes):
                if level[lane] == levels or not let_in[lane] > allowed[first + lane, level[lane]]:
                    continue
                level[lane] = _limits(
                    scores, people, one[:, lane], other[:, lane], begin, end, before[lane],
                    allowed[first + lane], found[first + lane], level[lane],
                )  # fmt: skip
                left -= level[lane] == levels
            begin = end
    return found


@compiled(nogil=True)
def _side_by_side(weights: np.ndarray, first: int) -> np.ndarray:
    """Turn some resamples' weights into rows of people; lanes beyond the last resample are zero."""
    found = np.zeros((weights.shape[1], LANES), weights.dtype)
    for lane in range(min(LANES, len(weights) - first)):
        found[:, lane] = weights[first + lane]
    return found


@compiled(nogil=True)
def _let_in(
    scores: np.ndarray,
    people: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    begin: int,
    end: int,
    let_in: np.ndarray,
    tied: np.ndarray,
) -> None:
    """Add what the pairs of a stride weigh, those of one score together."""
    k = begin
    while k < end:
        a, b = one[np.uint32(people[k, 0])], other[np.uint32(people[k, 1])]
        if k + 1 == end or scores[k + 1] != scores[k]:
            for lane in range(LANES):
                let_in[lane] += a[lane] * b[lane]
            k += 1
            continue
        score = scores[k]
        tied[:] = 0.0
        while k < end and scores[k] == score:
            a, b = one[np.uint32(people[k, 0])], other[np.uint32(people[k, 1])]
            for lane in range(LANES):
                tied[lane] += a[lane] * b[lane]
            k += 1
        for lane in range(LANES):
            let_in[lane] += tied[lane]


@compiled(nogil=True)
def _limits(
    scores: np.ndarray,
    people: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    begin: int,
    end: int,
    let_in: float,
    allowed: np.ndarray,
    found: np.ndarray,
    level: int,
) -> int:
    """Find the limits of one resample within a stride, and return the first level beyond it."""
    k = begin
    while k < end and level < len(allowed):
        first = k
        tied = 0.0
        while k < end and scores[k] == scores[first]:
            tied += one[people[k, 0]] * other[people[k, 1]]
            k += 1
        while level < len(allowed) and let_in + tied > allowed[level]:
            found[level] = scores[first]
            level += 1
        let_in += tied
    return level


@compiled(parallel=True, nogil=True)
def weighted_sums(
    people: np.ndarray, weights: np.ndarray, others: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Sum, a resample, what the first ``ends`` pairs weigh; weights are those of ``weighted_thresholds``."""
    found = np.zeros(len(ends))
    for block in prange((len(ends) + LANES - 1) // LANES):
        first = block * LANES
        lanes = min(LANES, len(ends) - first)
        one, other = _side_by_side(weights, first), _side_by_side(others, first)
        running = np.zeros(LANES)
        shared = ends[first : first + lanes].min()
        for k in range(shared):
            a, b = one[np.uint32(people[k, 0])], other[np.uint32(people[k, 1])]
            for lane in range(LANES):
                running[lane] += a[lane] * b[lane]
        for lane in range(lanes):
            for k in range(shared, ends[first + lane]):
                running[lane] += one[people[k, 0], lane] * other[people[k, 1], lane]
            found[first + lane] = running[lane]
    return found


@compiled(parallel=True, nogil=True)
def weighted_shares(
    scores: np.ndarray, people: np.ndarray, weights: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Give, a resample and limit, the weighted share of scores strictly above the limit.

    ``scores`` rise, of shape (n,), with their people; ``weights`` are (resamples, people), ``limits``
    (resamples, k). NaN where a resample weighs nothing.

    Sums are kept at the beginning of each stride, and gone on with from there.
    """
    resamples, levels = limits.shape
    found = np.full((resamples, levels), np.nan)
    for block in prange((resamples + LANES - 1) // LANES):
        first = block * LANES
        own = _side_by_side(weights, first)
        kept = np.empty((len(scores) // STRIDE + 1, LANES))
        running = np.zeros(LANES)
        for k in range(len(scores)):
            if k % STRIDE == 0:
                kept[k // STRIDE] = running
            row = own[np.uint32(people[k])]
            for lane in range(LANES):
                running[lane] += row[lane]
        if len(scores) % STRIDE == 0:
            kept[len(scores) // STRIDE] = running
        for lane in range(min(LANES, resamples - first)):
            whole = running[lane]
            if whole > 0.0:
                for level in range(levels):
                    below = np.searchsorted(scores, limits[first + lane, level], side="right")
                    stride = below // STRIDE
                    part = kept[stride, lane]
                    for k in range(stride * STRIDE, below):
                        part += own[people[k], lane]
                    found[first + lane, level] = 1.0 - part / whole
    return found
