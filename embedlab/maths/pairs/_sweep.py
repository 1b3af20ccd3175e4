"""The compiled inner loop of ``pairs``: apart, because importing numba takes a second."""

from typing import Any

import numpy as np
from numba import prange

from embedlab.maths._compiled import compiled


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
    unordered pair once; an ``offset`` of -rows - 1 counts all. A fine bin lies in the coarse bin of
    its number shifted right by ``shift``.

    ``grid`` holds the four ends of the three pieces of the scores' range, and bins a score in each piece;
    scores outside the bins of ``bulk`` are summed up in ``beyond``.

    Bins of a whole row are found first, in a loop that the compiler turns into vector instructions;
    and they are unsigned, since numba asks of every signed index whether it counts from the end.
    """
    rows, columns = scores.shape
    last = np.float32(len(fine) - 1)
    low, inner, outer, high = grid[0], grid[1], grid[2], grid[3]
    below, within, above = grid[4], grid[5], grid[6]
    by = np.uint32(shift)
    first_bin, end_bin = np.uint32(bulk[0]), np.uint32(bulk[1])
    size = 0
    own = np.zeros(by_person.shape[1], by_person.dtype)
    index = np.empty(columns, np.uint32)
    for row in range(rows):
        person = row_labels[row]
        line = scores[row]
        first = max(0, row + offset + 1)
        for column in range(first, columns):
            score = line[column]
            place = (
                (min(max(score, low), inner) - low) * below
                + (min(max(score, inner), outer) - inner) * within
                + (min(max(score, outer), high) - outer) * above
            )
            index[column] = np.uint32(min(place, last))
        own[:] = 0
        for column in range(first, columns):
            other = column_labels[column]
            if other == person:
                continue
            place_of = index[column]
            fine[place_of] += 1
            if place_of < first_bin or place_of >= end_bin:
                beyond[place_of] += line[column]
            if row_weights is None:
                own[place_of >> by] += 1
                by_person[other, place_of >> by] += 1
            else:
                weight = row_weights[person] * column_weights[other]
                mass[place_of] += weight
                own[place_of >> by] += weight
                by_person[other, place_of >> by] += weight
            if line[column] > floor:
                tail_scores[size] = line[column]
                tail_people[size, 0] = person
                tail_people[size, 1] = other
                size += 1
        by_person[person] += own
    return size


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
    shape (resamples, people); ``allowed`` of shape (resamples, levels) rises along levels: the weight of
    impostor pairs that each level lets in. NaN where the scores end first.
    """
    resamples, levels = allowed.shape
    found = np.full((resamples, levels), np.nan)
    for b in prange(resamples):
        let_in = 0.0
        level = 0
        k = 0
        while k < len(scores) and level < levels:
            # Pairs of one score stand or fall together.
            tied = 0.0
            end = k
            while end < len(scores) and scores[end] == scores[k]:
                tied += weights[b, people[end, 0]] * others[b, people[end, 1]]
                end += 1
            while level < levels and let_in + tied > allowed[b, level]:
                found[b, level] = scores[k]
                level += 1
            let_in += tied
            k = end
    return found


@compiled(parallel=True, nogil=True)
def weighted_shares(
    scores: np.ndarray, people: np.ndarray, weights: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Give, a resample and limit, the weighted share of scores strictly above the limit.

    ``scores`` rise, of shape (n,), with their people; ``weights`` are (resamples, people), ``limits``
    (resamples, k). NaN where a resample weighs nothing.
    """
    resamples, levels = limits.shape
    found = np.full((resamples, levels), np.nan)
    for b in prange(resamples):
        running = np.empty(len(scores) + 1)
        running[0] = 0.0
        for k in range(len(scores)):
            running[k + 1] = running[k] + weights[b, people[k]]
        whole = running[len(scores)]
        if whole > 0.0:
            for level in range(levels):
                below = np.searchsorted(scores, limits[b, level], side="right")
                found[b, level] = 1.0 - running[below] / whole
    return found
