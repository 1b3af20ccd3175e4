"""Where to start: turns tried on a few points, since expectation-maximisation finds the nearest optimum only.

In two and three dimensions turns are tried all around; in any number, the turn that brings principal
axes onto principal axes, with the sign of each axis by likelihood. The best few and the turn at hand
are followed to their optimum on a sample, and the likeliest end is where the whole clouds begin.

References
----------
.. [1] Alexa, M. Super-Fibonacci spirals: fast, low-discrepancy sampling of SO(3). CVPR 2022.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np

TRIED = 360
"""Turns tried in three dimensions: each lies within about 25° of any."""

SKETCH, HOPEFUL = 24, 40
"""Targets that all turns are scored on, and how many of the best are then scored on all targets."""

FOLLOWED, FINISHED = 8, 3
"""Turns followed some steps, and those of them followed to the end."""

BEGUN, BEGUN_MANY = 7, 10
"""How many those steps are in up to three dimensions, and in more, where one turn alone is tried."""

COARSE, FINE = 300, 1000
"""Points a cloud that turns are tried on, and that they are followed on."""

FLIPPED = 48
"""Leading principal axes whose signs are tried; skewness decides on the rest."""

MARGIN = 10.0
"""Log-likelihood, over all targets of the sample, that a turn must gain on the turn at hand."""


@cache
def around(dimensions: int, *, reflect: bool) -> list[np.ndarray]:
    """Give turns that cover all turns evenly, of two or three dimensions; else none."""
    if dimensions == 2:
        angles = np.arange(24) * (2 * math.pi / 24)
        turns = [np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) for a in angles]
    elif dimensions == 3:
        turns = [_of_quaternion(q) for q in _spirals(TRIED)]
    else:
        return []
    mirror = np.diag([1.0] * (dimensions - 1) + [-1.0])
    return turns + [turn @ mirror for turn in turns] if reflect else turns


@cache
def evenly(dimensions: int, *, reflect: bool) -> np.ndarray:
    """Give the same as one array, of shape (turns, d, d)."""
    return np.array(around(dimensions, reflect=reflect)).reshape(-1, dimensions, dimensions)


def alongside(x: np.ndarray, y: np.ndarray, *, reflect: bool) -> list[np.ndarray]:
    """Turn the principal axes of ``y`` onto those of ``x``, in few dimensions: with each choice of signs."""
    to, of = _axes(x), _axes(y)
    turns = [(of * signs) @ to.T for signs in itertools.product((1.0, -1.0), repeat=len(to))]
    return [turn for turn in turns if reflect or np.linalg.det(turn) > 0]


def principal(
    x: np.ndarray,
    y: np.ndarray,
    some: tuple[np.ndarray, np.ndarray],
    likelihood: Callable[[np.ndarray], float],
    *,
    reflect: bool,
) -> np.ndarray:
    """Turn the principal axes of ``y`` onto those of ``x``, signs by skewness first, then by likelihood.

    ``likelihood`` is told the squared distances of ``some`` targets to sources. Another sign of an axis
    adds to them a product of two columns, so that it costs no product over all dimensions.
    """
    to, of = _axes(x), _axes(y)
    signs = np.sign(((x @ to) ** 3).mean(axis=0) * ((y @ of) ** 3).mean(axis=0))
    signs[signs == 0] = 1
    here, there = some[0] @ to, some[1] @ of
    squares = (here**2).sum(axis=1)[:, None] + (there**2).sum(axis=1) - 2 * (here * signs) @ there.T

    def turn() -> np.ndarray:
        whole: np.ndarray = (of * signs) @ to.T
        return whole

    def flipped(axis: int) -> np.ndarray:
        other: np.ndarray = np.multiply.outer(4 * signs[axis] * here[:, axis], there[:, axis])
        other += squares
        return other

    best = likelihood(squares)
    for _ in range(3):
        before = best
        for axis in range(len(signs))[-FLIPPED:]:
            other = flipped(axis)
            value = likelihood(other)
            if value > best:
                best, squares = value, other
                signs[axis] *= -1
        if best == before:
            break
    # The sense of rotation is put right by the axis that matters least.
    if not reflect and np.linalg.det(turn()) < 0:
        losses = [likelihood(flipped(axis)) for axis in range(min(len(signs), FLIPPED))]
        signs[int(np.argmax(losses))] *= -1
    return turn()


def apart(turns: Iterable[np.ndarray], count: int, angle: float) -> list[np.ndarray]:
    """Take the first few turns that differ from all taken by more than an angle."""
    taken: list[np.ndarray] = []
    for turn in turns:
        d = len(turn)
        # ‖A − B‖² = 2d − 2 tr AᵀB = 4 (1 − cos θ) for a turn by θ in one plane.
        if all(2 * d - 2 * float((turn * other).sum()) > 4 * (1 - math.cos(angle)) for other in taken):
            taken.append(turn)
        if len(taken) == count:
            break
    return taken


def _axes(points: np.ndarray) -> np.ndarray:
    centred = points - points.mean(axis=0)
    axes: np.ndarray = np.linalg.eigh(centred.T @ centred)[1]
    return axes


def _spirals(count: int) -> np.ndarray:
    """Give unit quaternions of shape (count, 4), evenly over all turns."""
    golden, plastic = math.sqrt(2), 1.533751168755204288118041
    s = np.arange(count) + 0.5
    low, high = np.sqrt(s / count), np.sqrt(1 - s / count)
    alpha, beta = 2 * math.pi * s / golden, 2 * math.pi * s / plastic
    parts = (low * np.sin(alpha), low * np.cos(alpha), high * np.sin(beta), high * np.cos(beta))
    return np.stack(parts, axis=1)


def _of_quaternion(q: np.ndarray) -> np.ndarray:
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
