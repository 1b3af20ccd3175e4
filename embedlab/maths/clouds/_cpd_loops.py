"""The loop of ``_cpd_em`` compiled as a whole, for a few points, whose pairs take less than Python does.

It does what ``run`` there does with ``rigid_step`` or ``affine_step``, to rounding, and leaves to it what is
rare: points that leave directions open, and numbers near the ends of a type's range. Matrices are of few
dimensions, and factorised here: numba takes half a minute to compile LAPACK's.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from embedlab.maths._compiled import compiled, part
from embedlab.maths.clouds._expectation_loops import STRIP, room, sweep

OPEN = 1e-13
"""Directions of less than this share of the strongest are left to LAPACK."""

SINGLE, DOUBLE = 1e12, 1e144
"""Coordinates, in units of the kernel, that single and double precision are for."""

ROOM = 64
"""Targets whose kernel values are held at once."""

AFAR4, AFAR8, LN2 = 1e18, 1e150, 0.6931471805599453

F = TypeVar("F", bound=Callable[..., Any])


def _part(**options: Any) -> Callable[[F], F]:
    """Compile what is called from here alone: an entry for Python would take time to compile."""
    settings: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **options}
    made: Callable[[F], F] = part(error_model="numpy", **settings)
    return made


@_part()
def _solve(a: np.ndarray, b: np.ndarray) -> bool:
    """Replace ``b`` (k, r) by the solution of ``a`` (k, k), which is lost; say whether there is one."""
    k, columns = b.shape
    for i in range(k):
        pivot = i
        for j in range(i + 1, k):
            if abs(a[j, i]) > abs(a[pivot, i]):
                pivot = j
        if a[pivot, i] == 0:
            return False
        if pivot != i:
            for c in range(k):
                a[i, c], a[pivot, c] = a[pivot, c], a[i, c]
            for c in range(columns):
                b[i, c], b[pivot, c] = b[pivot, c], b[i, c]
        for j in range(i + 1, k):
            factor = a[j, i] / a[i, i]
            for c in range(i + 1, k):
                a[j, c] -= factor * a[i, c]
            for c in range(columns):
                b[j, c] -= factor * b[i, c]
    for i in range(k - 1, -1, -1):
        for c in range(columns):
            for j in range(i + 1, k):
                b[i, c] -= a[i, j] * b[j, c]
            b[i, c] /= a[i, i]
    return True


@_part()
def _mirrors(matrix: np.ndarray) -> bool:
    """Say whether the determinant is below zero."""
    a, below = np.empty((len(matrix), len(matrix))), False
    for i in range(len(a)):
        for j in range(len(a)):
            a[i, j] = matrix[i, j]
    for i in range(len(a)):
        pivot = i
        for j in range(i + 1, len(a)):
            if abs(a[j, i]) > abs(a[pivot, i]):
                pivot = j
        if pivot != i:
            below = not below
            for c in range(len(a)):
                a[i, c], a[pivot, c] = a[pivot, c], a[i, c]
        below = below != (a[i, i] < 0)
        for j in range(i + 1, len(a)):
            factor = a[j, i] / a[i, i]
            for c in range(i + 1, len(a)):
                a[j, c] -= factor * a[i, c]
    return below


@_part()
def _singular(a: np.ndarray, left: np.ndarray, strengths: np.ndarray, right: np.ndarray) -> bool:
    """Take ``a`` apart as left · diag(strengths) · rightᵀ by Jacobi's rotations; not if one is open."""
    d = len(a)
    for i in range(d):
        for j in range(d):
            left[i, j], right[i, j] = a[i, j], 1.0 if i == j else 0.0
    for _ in range(30):
        turned = False
        for i in range(d - 1):
            for j in range(i + 1, d):
                one = other = both = 0.0
                for c in range(d):
                    one += left[c, i] * left[c, i]
                    other += left[c, j] * left[c, j]
                    both += left[c, i] * left[c, j]
                if both * both <= 1e-30 * one * other:
                    continue
                turned = True
                slope = (other - one) / (2 * both)
                tangent = 1.0 / (abs(slope) + np.sqrt(1.0 + slope * slope))
                tangent = tangent if slope >= 0 else -tangent
                cosine = 1.0 / np.sqrt(1.0 + tangent * tangent)
                sine = cosine * tangent
                for c in range(d):
                    p, q = left[c, i], left[c, j]
                    left[c, i], left[c, j] = cosine * p - sine * q, sine * p + cosine * q
                    p, q = right[c, i], right[c, j]
                    right[c, i], right[c, j] = cosine * p - sine * q, sine * p + cosine * q
        if not turned:
            break
    weakest, strongest = np.inf, 0.0
    for i in range(d):
        square = 0.0
        for c in range(d):
            square += left[c, i] * left[c, i]
        strengths[i] = np.sqrt(square)
        weakest, strongest = min(weakest, strengths[i]), max(strongest, strengths[i])
    if not weakest > OPEN * d * strongest or not np.isfinite(strongest):
        return False
    for i in range(d):
        for c in range(d):
            left[c, i] /= strengths[i]
    return True


@_part()
def _rigid(cross: np.ndarray, mirror: bool, rotation: np.ndarray) -> float:
    """Write the rotation R of greatest Σ R∘cross, and return that sum; NaN where a direction is open."""
    d = len(cross)
    left, right, strengths = np.empty((d, d)), np.empty((d, d)), np.empty(d)
    if not _singular(cross, left, strengths, right):
        return np.nan
    weakest = 0
    for i in range(d):
        if strengths[i] < strengths[weakest]:
            weakest = i
    _outer(left, right, rotation)
    if not mirror and _mirrors(rotation):
        strengths[weakest] *= -1
        for c in range(d):
            left[c, weakest] *= -1
        _outer(left, right, rotation)
    agreement = 0.0
    for i in range(d):
        agreement += strengths[i]
    return agreement


@_part()
def _outer(left: np.ndarray, right: np.ndarray, product: np.ndarray) -> None:
    """Write left · rightᵀ."""
    for i in range(len(product)):
        for j in range(len(product)):
            product[i, j] = 0.0
            for c in range(left.shape[1]):
                product[i, j] += left[i, c] * right[j, c]


@_part()
def _turned(near: np.ndarray, towards: np.ndarray, rotation: np.ndarray) -> bool:
    """Write what ``cpd_steps.turned`` gives."""
    d = len(near)
    way, onward, square = np.zeros((d, d)), np.empty((d, d)), 0.0
    for i in range(d):
        for j in range(d):
            square += near[i, j] * near[i, j]
            for c in range(d):
                way[i, j] += near[c, i] * towards[c, j] - towards[c, i] * near[c, j]
    size = np.sqrt(square / d)
    for i in range(d):
        for j in range(d):
            one, along = (1.0 if i == j else 0.0), way[i, j] / (4 * size * size)
            way[i, j], onward[i, j] = one + along, one - along
    if not _solve(onward, way):
        return False
    for i in range(d):
        for j in range(d):
            rotation[i, j] = 0.0
            for c in range(d):
                rotation[i, j] += near[i, c] * way[c, j]
            rotation[i, j] /= size
    return True


@_part()
def _columns(
    points: np.ndarray, strips: int, wide: int, strip: int, like: np.ndarray, filler: float
) -> np.ndarray:
    """Lay points out as (strips, wide, strip), as ``sweep`` takes sources; what is left gets ``filler``."""
    laid = room(strips * wide * strip, like).reshape((strips, wide, strip))
    for s in range(strips):
        for c in range(wide):
            for k in range(strip):
                j = s * strip + k
                laid[s, c, k] = 0.0
                if j >= len(points):
                    laid[s, c, k] = filler if c == 0 else 0.0
                elif c < points.shape[1]:
                    laid[s, c, k] = points[j, c]
    return laid


@_part(fastmath=True)
def _place(
    y: np.ndarray,
    m: int,
    matrix: np.ndarray,
    shift: np.ndarray,
    about: np.ndarray,
    unit: float,
    v: np.ndarray,
) -> float:
    """Write mapped sources into ``v`` in units of the kernel; return the farthest coordinate."""
    d, strip, far = len(shift), y.shape[2], 0.0
    row = np.empty(strip)
    for s in range(len(y)):
        used = min(strip, m - s * strip)
        for c in range(d):
            for k in range(used):
                row[k] = shift[c] - about[c]
            for i in range(d):
                factor = matrix[i, c]
                for k in range(used):
                    row[k] += y[s, i, k] * factor
            for k in range(used):
                place = row[k] * unit
                v[s, c, k] = place
                far = max(far, abs(place))
    return far


@_part(fastmath=True)
def _targets(x: np.ndarray, about: np.ndarray, unit: float, u: np.ndarray) -> float:
    """Write targets into ``u`` in units of the kernel; return the farthest coordinate."""
    far = 0.0
    for c in range(x.shape[1]):
        for b in range(len(x)):
            place = (x[b, c] - about[c]) * unit
            u[b, c] = place
            far = max(far, abs(place))
    return far


@_part(fastmath=True)
def _total(sums: np.ndarray, row: int, m: int) -> float:
    """Add up one row of sums over all sources."""
    total, strip = 0.0, sums.shape[2]
    for s in range(len(sums)):
        for k in range(min(strip, m - s * strip)):
            total += sums[s, row, k]
    return total


@_part(fastmath=True)
def _moments(
    x: np.ndarray, y: np.ndarray, m: int, about: np.ndarray, unit: float, sums: np.ndarray, pt1: np.ndarray,
    weight: float, mean_x: np.ndarray, mean_y: np.ndarray, cross: np.ndarray, gram: np.ndarray,
) -> float:  # fmt: skip
    """Write weighted means, and moments of the sources about theirs; return that of the targets."""
    d, strip = x.shape[1], y.shape[2]
    for c in range(d):
        for i in range(d):
            cross[i, c] = gram[i, c] = 0.0
        mean_x[c], mean_y[c] = about[c] + _total(sums, c + 1, m) / unit / weight, 0.0
        for s in range(len(y)):
            total = 0.0
            for k in range(min(strip, m - s * strip)):
                total += sums[s, 0, k] * y[s, c, k]
            mean_y[c] += total / weight
    spread = 0.0
    for c in range(d):
        for b in range(len(x)):
            spread += pt1[b] * (x[b, c] - mean_x[c]) ** 2
    for s in range(len(y)):
        for i in range(d):
            for c in range(d):
                to, also, own, other, away = 0.0, 0.0, mean_y[i], mean_y[c], about[c] - mean_x[c]
                for k in range(min(strip, m - s * strip)):
                    to += (y[s, i, k] - own) * (sums[s, c + 1, k] / unit + sums[s, 0, k] * away)
                    also += (y[s, i, k] - own) * (y[s, c, k] - other) * sums[s, 0, k]
                cross[i, c] += to
                gram[i, c] += also
    return spread


@_part()
def _maximise(
    cross: np.ndarray,
    gram: np.ndarray,
    spread: float,
    rigid: bool,
    scale: bool,
    mirror: bool,
    matrix: np.ndarray,
) -> float:
    """Write the matrix of least weighted squares, and what it leaves; NaN where a direction is open."""
    d = len(cross)
    if rigid:
        own = 0.0
        for c in range(d):
            own += gram[c, c]
        agreement = _rigid(cross, mirror, matrix)
        size = agreement / own if scale else 1.0
        for i in range(d):
            for c in range(d):
                matrix[i, c] *= size
        return float(spread - 2 * size * agreement + size * size * own)
    left, right, strengths = np.empty((d, d)), np.empty((d, d)), np.empty(d)
    if not _singular(gram, left, strengths, right):
        return np.nan
    for i in range(d):
        for c in range(d):
            matrix[i, c], left[i, c] = cross[i, c], gram[i, c]
    if not _solve(left, matrix):
        return np.nan
    for i in range(d):
        for c in range(d):
            spread -= 2 * matrix[i, c] * cross[i, c]
            for k in range(d):
                spread += matrix[i, c] * gram[i, k] * matrix[k, c]
    return spread


@_part()
def _way(y: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Give the root mean square way of a coordinate of the sources between two states."""
    d, total = y.shape[1], 0.0
    for j in range(len(y)):
        for c in range(d):
            way = after[d * d + c] - before[d * d + c]
            for i in range(d):
                way += y[j, i] * (after[i * d + c] - before[i * d + c])
            total += way * way
    return float(np.sqrt(total / y.size))


@_part()
def _copy(one: np.ndarray, other: np.ndarray) -> None:
    for c in range(len(one)):
        other[c] = one[c]


@_part()
def _dot(one: np.ndarray, other: np.ndarray) -> float:
    total = 0.0
    for c in range(len(one)):
        total += one[c] * other[c]
    return total


@_part()
def _onward(
    here: np.ndarray,
    step: np.ndarray,
    moves: np.ndarray,
    turns: np.ndarray,
    k: int,
    reach: float,
    packed: np.ndarray,
) -> bool:
    """Extrapolate by Anderson's method from the ``k`` steps before into ``packed``."""
    gram, share, ridge = np.empty((k, k)), np.empty((k, 1)), 0.0
    for i in range(k):
        for j in range(k):
            gram[i, j] = _dot(turns[i], turns[j])
        share[i, 0] = _dot(turns[i], step)
        ridge += gram[i, i]
    for i in range(k):
        gram[i, i] += 1e-10 * ridge + 1e-300
    if not _solve(gram, share):
        return False
    for c in range(len(step)):
        packed[c] = 0.0
        for i in range(k):
            packed[c] -= share[i, 0] * (moves[i, c] + turns[i, c])
    longest, length = reach * np.sqrt(_dot(step, step)), np.sqrt(_dot(packed, packed))
    part = min(1.0, longest / max(length, 1e-300))
    for c in range(len(step)):
        packed[c] = here[c] + step[c] + part * packed[c]
    return True


@_part()
def _pack(state: np.ndarray, d: int, extent: float, packed: np.ndarray) -> None:
    """Write a state in units that a step is measured in."""
    for c in range(len(state) - 1):
        packed[c] = state[c] * extent if c < d * d else state[c]
    packed[len(state) - 1] = 0.5 * np.sqrt(d) * extent * np.log(state[len(state) - 1])


@_part()
def _unpack(
    packed: np.ndarray, near: np.ndarray, d: int, extent: float, rigid: bool, scale: bool, state: np.ndarray
) -> bool:
    """Write the state of an extrapolation: a map of the kind, and a variance near that of the step before."""
    last = len(near) - 1
    for c in range(last):
        state[c] = packed[c] / extent if c < d * d else packed[c]
    if rigid:
        matrix = state[: d * d].reshape((d, d))
        turn = np.empty((d, d))
        if not _turned(near[: d * d].reshape((d, d)), matrix, turn):
            return False
        size = 0.0
        for i in range(d):
            for j in range(d):
                size += turn[i, j] * matrix[i, j] / d
        for i in range(d):
            for j in range(d):
                matrix[i, j] = turn[i, j] * (max(size, 1e-3) if scale else 1.0)
    ln, before = packed[last] / (0.5 * np.sqrt(d) * extent), np.log(near[last])
    state[last] = np.exp(min(max(ln, before - 1), before + 1))
    return True


@compiled(nogil=True, error_model="numpy")
def em(
    x: np.ndarray, sources: np.ndarray, amid: np.ndarray, state: np.ndarray, kind: tuple[bool, bool, bool],
    mixture: tuple[float, float], ends: tuple[int, float, float, float, float, float, float],
    extrapolation: tuple[int, float, float], sigma2: np.ndarray, loglik: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """Iterate from ``state``, a matrix, a shift and σ² in a row, and leave there where it ends.

    Parameters
    ----------
    x, sources, amid
        Targets (n, d), sources (m, d), and a place amid the sources.
    kind
        Whether rigid, and then whether size may change and the turn may mirror.
    mixture
        Log-odds of an outlier to each source, and log-weight of a source, without what hangs on σ².
    ends
        Iterations, tolerance, least σ², extent, targets to be answered for, σ² above which single precision
        does, and the least map.
    extrapolation
        Steps looked back on (none for plain steps), how far to go, and what rounding may take.
    sigma2, loglik
        Take the course, of shape (iterations,).

    Returns
    -------
    The number in ``_cpd_em.REASONS`` of why it ended, below zero where the case is left to that loop; and
    iterations taken.
    """
    (n, d), m, last = x.shape, len(sources), len(state) - 1
    rigid, scale, mirror = kind
    odds, each = mixture
    iterations, tolerance, floor, extent, answered, coarse, least = ends
    memory, far, slack = extrapolation
    # Room, as ``sweep`` takes it.
    single, double = np.empty(0, np.float32), np.empty(0, np.float64)
    wide, strip = (3 if d <= 3 else d + d % 2), min(STRIP, (m + 15) // 16 * 16)
    strips, rows = (m + strip - 1) // strip, min(ROOM, (n + 3) // 4 * 4)
    y = _columns(sources, strips, wide, strip, double, 0.0)
    v4, v8 = (_columns(sources, strips, wide, strip, single, AFAR4),
              _columns(sources, strips, wide, strip, double, AFAR8))  # fmt: skip
    u4, u8 = np.zeros((n, wide), np.float32), np.zeros((n, wide))
    kernel4 = room(strips * rows * strip, single).reshape((strips, rows, strip))
    kernel8 = room(strips * rows * strip, double).reshape((strips, rows, strip))
    sums, pt1 = room(strips * (wide + 1) * strip, double).reshape((strips, wide + 1, strip)), np.empty(n)
    at, plain, safe = np.empty(last + 1), np.empty(last + 1), np.empty(last + 1)
    _copy(state, at)
    _copy(state, safe)
    is_safe, best, reach = True, -np.inf, far
    here, step, there, stepped = (
        np.empty(last + 1),
        np.empty(last + 1),
        np.empty(last + 1),
        np.empty(last + 1),
    )
    moves, turns, packed = (
        np.empty((memory + 1, last + 1)),
        np.empty((memory + 1, last + 1)),
        np.empty(last + 1),
    )
    mean_x, mean_y, about = np.empty(d), np.empty(d), np.empty(d)
    cross, gram, behind, known = np.empty((d, d)), np.empty((d, d)), 0, False
    matrix, shift, found = at[: d * d].reshape((d, d)), at[d * d : last], plain[: d * d].reshape((d, d))
    for iteration in range(iterations):
        unit, log_normal = np.sqrt(0.5 / (LN2 * at[last])), 0.5 * d * np.log(2 * np.pi * at[last])
        for c in range(d):
            about[c] = shift[c]
            for i in range(d):
                about[c] += amid[i] * matrix[i, c]
        for s in range(strips):
            for c in range(wide + 1):
                for k in range(strip):
                    sums[s, c, k] = 0.0
        if (
            at[last] > coarse * extent * extent
            and _targets(x, about, unit, u4) < SINGLE
            and _place(y, m, matrix, shift, about, unit, v4) < SINGLE
        ):
            logs = sweep(u4, v4, odds + log_normal, kernel4, sums, pt1)
        elif _targets(x, about, unit, u8) < DOUBLE and _place(y, m, matrix, shift, about, unit, v8) < DOUBLE:
            logs = sweep(u8, v8, odds + log_normal, kernel8, sums, pt1)
        else:
            return -1, 0
        likelihood = (logs + n * (each - log_normal)) / n
        if not is_safe and not likelihood >= best - slack * (1 + abs(best)):
            reach /= 16
            _copy(safe, at)
            is_safe = True
            sigma2[iteration], loglik[iteration] = at[last], best
            continue
        weight = _total(sums, 0, m)
        if not weight > answered:
            _copy(at, state)
            return 3, iteration
        spread = _moments(x, y, m, about, unit, sums, pt1, weight, mean_x, mean_y, cross, gram)
        variance = _maximise(cross, gram, spread, rigid, scale, mirror, found) / (weight * d)
        largest = 0.0
        for c in range(d):
            plain[d * d + c] = mean_x[c]
            for i in range(d):
                plain[d * d + c] -= mean_y[i] * found[i, c]
                largest = max(largest, abs(found[i, c]))
        if not (np.isfinite(variance) and np.isfinite(largest)):
            return -1, 0
        if largest < least:
            _copy(at, state)
            return 5, iteration
        plain[last] = max(variance, floor)
        sigma2[iteration], loglik[iteration] = plain[last], likelihood
        floored = max(plain[last], at[last]) <= floor
        rests = abs(np.log(plain[last] / at[last])) < 10 * tolerance
        if floored or (rests and _way(sources, at, plain) / extent < tolerance):
            _copy(plain, state)
            return (2 if floored else 1), iteration + 1
        best, is_safe = likelihood, True
        _copy(plain, safe)
        if memory == 0 or plain[last] <= floor:
            _copy(plain, at)
            continue
        _pack(at, d, extent, here)
        _pack(plain, d, extent, step)
        for c in range(last + 1):
            step[c] -= here[c]
            moves[behind, c], turns[behind, c] = here[c] - there[c], step[c] - stepped[c]
        _copy(here, there)
        _copy(step, stepped)
        if not known:
            _copy(plain, at)
            known = True
            continue
        behind += 1
        if behind == memory:
            for k in range(1, behind):
                _copy(moves[k], moves[k - 1])
                _copy(turns[k], turns[k - 1])
            behind -= 1
        is_safe = False
        if not (
            _onward(here, step, moves, turns, behind, reach, packed)
            and _unpack(packed, plain, d, extent, rigid, scale, at)
        ):
            return -1, 0
        at[last] = max(at[last], floor)
        reach = min(2 * reach, far)
    _copy(safe, state)
    return 0, iterations
