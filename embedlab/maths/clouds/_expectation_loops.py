"""The compiled inner loops of ``_expectation``: apart, because importing numba takes a second.

Written so that the compiler turns each loop over sources into vector instructions: no slices within
it, a minimum taken over bit patterns (which order as the numbers do where none is negative), and an
exponential of arithmetic alone.
"""

import numpy as np
from numba import types
from numba.extending import overload

from embedlab.maths._compiled import compiled, part

STRIP = 1024
"""Sources that loops take at once: short enough for the nearest cache."""

ROWS = 16
"""Targets that are scored at once."""

TOGETHER = 16
"""Targets whose densities share one logarithm."""

NOTHING = 1e-30
"""Posteriors below it are none: single precision would be slow on them."""

LOW, HIGH = -30.0, 10.0
"""Log-densities of clutter, over that of a source right there, that kernel values need not be scaled for."""

_LN2 = 0.6931471805599453

# 2^f for |f| ≤ ½ by minimax fits, of relative errors below 2.4e-7 and 3e-16.
_S0, _S1, _S2, _S3, _S4, _S5 = (
    np.float32(c) for c in (1.0, 0.693147, 0.2402212, 0.05550654, 0.009675625, 0.0013291765)
)
_D1, _D2, _D3, _D4, _D5 = (
    0.69314718055995, 0.24022650695910097, 0.05550410866444772, 0.009618129107606888, 0.0013333558230164974
)  # fmt: skip
_D6, _D7, _D8, _D9, _D10 = (
    0.0001540353044173605, 1.5252657260200837e-05, 1.321544258792169e-06, 1.0208690299958306e-07,
    7.072585949269223e-09,
)  # fmt: skip


@part(fastmath=True)
def _exp2_single(t: np.float32) -> np.float32:
    t = t if t > np.float32(-126.0) else np.float32(-126.0)
    nearest = np.float32(np.rint(t))
    f = np.float32(t - nearest)
    whole = np.int32(nearest)
    p = np.float32(((((_S5 * f + _S4) * f + _S3) * f + _S2) * f + _S1) * f + _S0)
    return np.int32(p.view(np.int32) + (whole << np.int32(23))).view(np.float32)


@part(fastmath=True)
def _exp2_double(t: float) -> float:
    t = t if t > -1022.0 else -1022.0
    nearest = np.rint(t)
    f = t - nearest
    whole = np.int32(nearest)
    f2 = f * f
    low = ((_D5 * f + _D4) * f + _D3) * f2 + (_D2 * f + _D1)
    high = ((_D10 * f + _D9) * f + _D8) * f2 + (_D7 * f + _D6)
    p = np.float64((high * (f2 * f2 * f) + low) * f + 1.0)
    return np.int64(p.view(np.int64) + (np.int64(whole) << np.int64(52))).view(np.float64)


def exp2(t: float) -> float:
    """Raise two to a power that is not above zero; what would be subnormal stays at the least normal."""
    raise NotImplementedError


def pattern(t: float) -> int:
    """Give the bits of a number as an integer."""
    raise NotImplementedError


def number(bits: int) -> float:
    """Give the number that bits stand for."""
    raise NotImplementedError


# numba chooses by type, and wants choosers without annotations.
overload(exp2, jit_options={"nogil": True, "fastmath": True})(
    lambda t: (lambda t: _exp2_single(t)) if t == types.float32 else (lambda t: _exp2_double(t))
)
overload(pattern, jit_options={"nogil": True, "fastmath": True})(
    lambda t: (
        (lambda t: np.float32(t).view(np.int32))
        if t == types.float32
        else (lambda t: np.float64(t).view(np.int64))
    )
)
overload(number, jit_options={"nogil": True, "fastmath": True})(
    lambda bits: (
        (lambda bits: np.int32(bits).view(np.float32))
        if bits == types.int32
        else (lambda bits: np.int64(bits).view(np.float64))
    )
)


@part()
def room(size: int, like: np.ndarray) -> np.ndarray:
    """Make an array that begins with a cache line, so that no vector load spans two."""
    whole = np.empty(size + 64 // like.itemsize, like.dtype)
    first = (-whole.ctypes.data % 64) // like.itemsize
    return whole[first : first + size]


@part(fastmath=True)
def _least(kernel: np.ndarray, b: int) -> float:
    """Find the least of a row."""
    least = pattern(kernel[b, 0])
    for m in range(kernel.shape[1]):
        bits = pattern(kernel[b, m])
        least = bits if bits < least else least
    return number(least)


@part(fastmath=True)
def _weigh(kernel: np.ndarray, b: int, least: float) -> float:
    """Turn a row of squared distances into kernel values, of the nearest as one, and add them up."""
    total = least - least
    for m in range(kernel.shape[1]):
        value = exp2(least - kernel[b, m])
        kernel[b, m] = value
        total += value
    return total


@part(fastmath=True)
def _few(kernel: np.ndarray, u: np.ndarray, v: np.ndarray, nearest: np.ndarray, totals: np.ndarray) -> None:
    """Fill the rows of a strip with kernel values over three dimensions."""
    for b in range(len(u)):
        u0, u1, u2 = u[b, 0], u[b, 1], u[b, 2]
        least = pattern(kernel.dtype.type(np.inf))
        for m in range(v.shape[1]):
            x, y, z = v[0, m] - u0, v[1, m] - u1, v[2, m] - u2
            square = x * x + y * y + z * z
            kernel[b, m] = square
            bits = pattern(square)
            least = bits if bits < least else least
        nearest[b] = number(least)
        totals[b] = _weigh(kernel, b, nearest[b])


@part(fastmath=True)
def _plain(kernel: np.ndarray, u: np.ndarray, v: np.ndarray, nearest: np.ndarray, totals: np.ndarray) -> None:
    """Do it in one pass with kernel values as they are, where clutter keeps densities from zero."""
    # What a weight would make subnormal is none.
    faint = kernel.dtype.type(100.0 if kernel.itemsize == 4 else 900.0)
    for b in range(len(u)):
        u0, u1, u2 = u[b, 0], u[b, 1], u[b, 2]
        zero = total = u0 - u0
        for m in range(v.shape[1]):
            x, y, z = v[0, m] - u0, v[1, m] - u1, v[2, m] - u2
            square = x * x + y * y + z * z
            value = exp2(-square)
            value = value if square < faint else zero
            kernel[b, m] = value
            total += value
        nearest[b], totals[b] = 0.0, total


@part(fastmath=True)
def _more(kernel: np.ndarray, u: np.ndarray, v: np.ndarray, nearest: np.ndarray, totals: np.ndarray) -> None:
    """Do the same over any even number of dimensions."""
    for b in range(len(u)):
        u0, u1 = u[b, 0], u[b, 1]
        for m in range(v.shape[1]):
            x, y = v[0, m] - u0, v[1, m] - u1
            kernel[b, m] = x * x + y * y
        for i in range(2, u.shape[1], 2):
            u0, u1 = u[b, i], u[b, i + 1]
            for m in range(v.shape[1]):
                x, y = v[i, m] - u0, v[i + 1, m] - u1
                kernel[b, m] += x * x + y * y
        nearest[b] = _least(kernel, b)
        totals[b] = _weigh(kernel, b, nearest[b])


@part(fastmath=True)
def _combine(part: np.ndarray, kernel: np.ndarray, factors: np.ndarray) -> None:
    """Add ``factors`` (k, rows) times ``kernel`` (rows, m) to ``part`` (k, m), four rows at a time.

    Four sums at a time too: kernel values come from a slower cache than sums, and are read once.
    """
    fours = len(part) // 4 * 4
    for b in range(0, factors.shape[1] - 3, 4):
        for i in range(0, fours, 4):
            p, q, r, s = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
            p0, p1, p2, p3 = p[b], p[b + 1], p[b + 2], p[b + 3]
            q0, q1, q2, q3 = q[b], q[b + 1], q[b + 2], q[b + 3]
            r0, r1, r2, r3 = r[b], r[b + 1], r[b + 2], r[b + 3]
            s0, s1, s2, s3 = s[b], s[b + 1], s[b + 2], s[b + 3]
            for m in range(part.shape[1]):
                k0, k1, k2, k3 = kernel[b, m], kernel[b + 1, m], kernel[b + 2, m], kernel[b + 3, m]
                part[i, m] += (k0 * p0 + k1 * p1) + (k2 * p2 + k3 * p3)
                part[i + 1, m] += (k0 * q0 + k1 * q1) + (k2 * q2 + k3 * q3)
                part[i + 2, m] += (k0 * r0 + k1 * r1) + (k2 * r2 + k3 * r3)
                part[i + 3, m] += (k0 * s0 + k1 * s1) + (k2 * s2 + k3 * s3)
        for i in range(fours, len(part)):
            w0, w1, w2, w3 = factors[i, b], factors[i, b + 1], factors[i, b + 2], factors[i, b + 3]
            for m in range(part.shape[1]):
                part[i, m] += (kernel[b, m] * w0 + kernel[b + 1, m] * w1) + (
                    kernel[b + 2, m] * w2 + kernel[b + 3, m] * w3
                )


@part(fastmath=True)
def _add(sums: np.ndarray, part: np.ndarray) -> None:
    for i in range(len(sums)):
        for m in range(sums.shape[1]):
            sums[i, m] += part[i, m]
            part[i, m] = 0


@part(fastmath=True, error_model="numpy")
def _densities(
    nearest: np.ndarray, totals: np.ndarray, log_clutter: float, weights: np.ndarray, pt1: np.ndarray
) -> float:
    """Turn sums over sources into what makes probabilities of kernel values; return Σ log-density."""
    clutter, logs = log_clutter / _LN2, 0.0
    for first in range(0, len(pt1), TOGETHER):
        product, highest = 1.0, 0.0
        for b in range(first, min(first + TOGETHER, len(pt1))):
            near = -np.float64(nearest[b])
            nearer = near > clutter
            high, gap = (near, clutter - near) if nearer else (clutter, near - clutter)
            less = exp2(gap)
            scale = 1.0 if nearer else less
            inlier = scale * totals[b]
            density = inlier + (less if nearer else 1.0)
            weights[b] = scale / density
            pt1[b] = inlier / density
            # From e^LOW to one more than there are sources: a logarithm of several at once does not overflow.
            product *= density
            highest += high
        logs += _LN2 * highest + np.log(product)
    return logs


@compiled(nogil=True)
def normalise(kernel: np.ndarray, log_clutter: float, weights: np.ndarray, pt1: np.ndarray) -> float:
    """Turn squared distances into kernel values and their weights; return the sum of log-densities.

    Row b of ``kernel`` (b, m) comes as squared distances in units of 2σ² ln 2 and leaves as kernel
    values over that of the nearest source. ``weights[b]`` makes probabilities of them. Densities are
    in units of one source's.
    """
    nearest, totals = np.empty(len(kernel)), np.empty(len(kernel))
    for b in range(len(kernel)):
        least = _least(kernel, b)
        nearest[b], totals[b] = least, _weigh(kernel, b, least)
    return _densities(nearest, totals, log_clutter, weights, pt1)


@part(fastmath=True)
def _mapped(v: np.ndarray, matrix: np.ndarray, used: int, moved: np.ndarray) -> None:
    """Write the first sources of ``v`` (3, m), each times ``matrix`` (3, 3)."""
    for i in range(3):
        a, b, c = matrix[0, i], matrix[1, i], matrix[2, i]
        for m in range(used):
            moved[i, m] = v[0, m] * a + v[1, m] * b + v[2, m] * c


@compiled(nogil=True)
def score(
    u: np.ndarray, v: np.ndarray, used: int, matrices: np.ndarray, log_clutter: float, logs: np.ndarray
) -> None:
    """Write the sum of log-densities of targets ``u`` (n, 3) for sources by each of ``matrices`` (k, 3, 3).

    ``v`` (3, m) holds them, and beyond the ``used`` what is never near.
    """
    width = v.shape[1]
    kernel, moved = room(ROWS * width, u).reshape((ROWS, width)), room(3 * width, u).reshape((3, width))
    moved[:] = v
    nearest, totals, weights, pt1 = np.empty(ROWS, u.dtype), np.empty(ROWS), np.empty(ROWS), np.empty(ROWS)
    for k in range(len(matrices)):
        _mapped(v, matrices[k], used, moved)
        logs[k] = 0.0
        for first in range(0, len(u), ROWS):
            own = u[first : first + ROWS]
            if LOW < log_clutter < HIGH:
                _plain(kernel, own, moved, nearest, totals)
            else:
                _few(kernel, own, moved, nearest, totals)
            logs[k] += _densities(nearest, totals, log_clutter, weights, pt1[: len(own)])


# A part as well, of the loop of few points.
@compiled(nogil=True, forceinline=True)
def sweep(
    u: np.ndarray, v: np.ndarray, log_clutter: float, kernel: np.ndarray, sums: np.ndarray, pt1: np.ndarray
) -> float:
    """Add one run of targets to the sums of every source; return the sum of log-densities.

    ``u`` (n, d) holds targets and ``v`` (strips, d, m) sources, both in units where the kernel is
    2^(−r²); d is three or even. ``kernel`` (strips, rows, m) is the room for kernel values, rows a
    multiple of four. ``sums`` (strips, d + 1, m) takes Σ P and Σ P u.
    """
    strips, rows, dimensions = kernel.shape[0], kernel.shape[1], u.shape[1]
    weights, totals, least = np.empty(rows), np.empty(rows), np.empty(rows)
    nearest, share = np.empty((strips, rows), kernel.dtype), np.empty((strips, rows))
    factors = np.zeros((dimensions + 1, rows), kernel.dtype)
    part = room((dimensions + 1) * kernel.shape[2], kernel).reshape((dimensions + 1, kernel.shape[2]))
    part[:] = 0
    logs = 0.0
    for first in range(0, len(u), rows):
        used = min(rows, len(u) - first)
        own = u[first : first + used]
        # Each strip in units of its own nearest source, or of none, so that it is done while in the cache.
        for s in range(strips):
            if strips == 1 and dimensions == 3 and LOW < log_clutter < HIGH:
                _plain(kernel[s], own, v[s], nearest[s], share[s])
            elif dimensions == 3:
                _few(kernel[s], own, v[s], nearest[s], share[s])
            else:
                _more(kernel[s], own, v[s], nearest[s], share[s])
        for b in range(used):
            least[b], totals[b] = nearest[0, b], share[0, b]
            if strips == 1:
                share[0, b] = 1.0
                continue
            for s in range(1, strips):
                least[b] = min(least[b], nearest[s, b])
            totals[b] = 0.0
            for s in range(strips):
                lift = exp2(least[b] - nearest[s, b])
                totals[b] += lift * share[s, b]
                share[s, b] = lift
        logs += _densities(least, totals, log_clutter, weights, pt1[first : first + used])
        if used < rows:
            # What a last, shorter run leaves over counts for nothing.
            kernel[:, used:] = 0
        for s in range(strips):
            for b in range(used):
                weight = weights[b] * share[s, b]
                weight = weight if weight > NOTHING else 0.0
                factors[0, b] = weight
                for i in range(dimensions):
                    factors[i + 1, b] = weight * own[b, i]
            _combine(part, kernel[s], factors)
            _add(sums[s], part)
    return logs
