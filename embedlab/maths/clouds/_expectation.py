"""The expectation step of Coherent Point Drift, the hot kernel under ``cpd``.

Every pair of a target and a source costs one exponential, and no array of all pairs is ever made:
a run of targets meets all sources while its kernel values are still in the cache, once to sum them
and once to share each target out. Per target the distance of the nearest source is taken off before
the exponential, so that neither a far point nor a small variance makes a sum of zeros.

References
----------
.. [1] Myronenko, A. and Song, X. Point set registration: Coherent Point Drift. IEEE TPAMI 32(12),
   2010, arXiv:0905.2635.
"""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from embedlab import compute
from embedlab.maths.products import unthreaded

LOOPS = 16
"""Up to so many dimensions distances are summed in the loop; above, by matrix products."""

WIDE = 64
"""Sources are scored by so many at once; what is left over would be scored one by one."""

FEW = 1 << 24
"""Up to so many pairs the CPU does it: asking for a device would load torch and take longer."""

# Sums are taken in a fixed number of parts, whatever the threads, so that they are the same bits.
_PARTS = 8
_PART_BYTES = 1 << 26
_AFAR = {np.dtype(np.float32): 1e18, np.dtype(np.float64): 1e150}


@dataclass(frozen=True)
class Expectation:
    """What one expectation step yields: sums over P, the (m, n) posterior that is never made.

    Attributes
    ----------
    p1
        P·1, how much of the targets each source answers for, of shape (m,).
    pt1
        Pᵀ·1, how much of each target is answered for, of shape (n,): one less the posterior that it
        is an outlier.
    px
        P·X, of shape (m, d).
    loglik
        Log-likelihood of the targets under the mixture.
    """

    p1: Float[np.ndarray, " m"]
    pt1: Float[np.ndarray, " n"]
    px: Float[np.ndarray, "m d"]
    loglik: float


def expectation(
    x: Float[np.ndarray, "n d"],
    ty: Float[np.ndarray, "m d"],
    sigma2: float,
    outliers: float,
    *,
    log_volume: float | None = None,
    dtype: DTypeLike = np.float64,
    block: int | None = None,
    device: str | None = None,
) -> Expectation:
    """Share every target out among the sources, each a Gaussian of variance σ², and the outliers.

    The density of a target is w/V + (1 − w)/m · Σ N(x; y, σ²I).

    Parameters
    ----------
    x
        Targets, which stay.
    ty
        Sources where they have moved to.
    sigma2
        Variance a coordinate, above zero.
    outliers
        w, the share of targets that no source answers for, in [0, 1).
    log_volume
        Logarithm of V, over which outliers are uniform; log n where not given, as in the paper, which
        means different things in different units.
    dtype
        Of distances and kernel values; sums are in double precision either way. float64 is exact to
        rounding. float32 is several times as fast, and within 1e-5 of it, relative to the largest
        value of each output, while σ is above a thousandth of the clouds' extent (``cpd`` goes over
        to float64 below).
    block
        Bytes of kernel values that a thread holds at once; chosen for the cache where not given.
    device
        "cpu" is the compiled loop; "cuda" and "mps", and "torch" for the CPU, do the same blockwise
        in torch. ``compute.device()`` where not given and there are more than a few pairs.

    Raises
    ------
    ValueError
        If shapes do not fit, σ² is not above zero, w is not in [0, 1), or a point is not finite.
    """
    if x.ndim != 2 or ty.ndim != 2 or x.shape[1] != ty.shape[1] or not x.size or not ty.size:
        raise ValueError(f"x and ty must be points of one dimension, not {x.shape} and {ty.shape}")
    if not (sigma2 > 0 and math.isfinite(sigma2)) or not 0 <= outliers < 1:
        raise ValueError(f"sigma2 must be above 0 and outliers in [0, 1), not {sigma2} and {outliers}")
    (n, d), m = x.shape, len(ty)
    clutter, each = _constants((n, m, d), sigma2, outliers, log_volume)
    # In units where the kernel is 2^(−r²), about a place amid the sources whatever lies far out.
    few = ty[:: 1 + m // 256]
    centre = np.partition(few, len(few) // 2, axis=0)[len(few) // 2].astype(np.float64)
    unit = math.sqrt(math.log2(math.e) / (2 * sigma2))
    u, v = (x - centre) * unit, (ty - centre) * unit
    kind, reach = np.dtype(dtype), max(np.abs(u).max(), np.abs(v).max())
    if not reach < _AFAR[np.dtype(np.float64)] / 1e6:
        raise ValueError(f"sigma2 = {sigma2} is too small for these points, or a point is not finite")
    if not reach < _AFAR[np.dtype(np.float32)] / 1e6:
        kind = np.dtype(np.float64)
    if device is None:
        device = "cpu" if n * m <= FEW else compute.device()
    if device == "mps" and kind == np.float64:
        device = "cpu"
    if device == "cpu":
        logs, pt1, sums = _compiled(u, v, clutter, kind, block)
    else:
        logs, pt1, sums = _torch(u, v, clutter, kind, block, "cpu" if device == "torch" else device)
    p1 = sums[0]
    px = np.ascontiguousarray((sums[1:] / unit).T) + p1[:, None] * centre
    return Expectation(p1, pt1, px, float(logs + n * each))


def likelihood(
    squares: Float[np.ndarray, "n m"],
    dimensions: int,
    sigma2: float,
    outliers: float,
    *,
    log_volume: float | None = None,
    dtype: DTypeLike = np.float64,
) -> float:
    """Give the log-likelihood alone, of few targets and sources whose squared distances are at hand.

    Parameters
    ----------
    squares
        Squared distances of targets to sources; below zero, by rounding, counts as zero.
    dimensions
        Of the points.
    sigma2, outliers, log_volume, dtype
        As in ``expectation``.
    """
    from embedlab.maths.clouds._expectation_loops import normalise

    n, m = squares.shape
    clutter, each = _constants((n, m, dimensions), sigma2, outliers, log_volume)
    kernel = np.multiply(squares, math.log2(math.e) / (2 * sigma2), dtype=dtype, casting="same_kind")
    np.maximum(kernel, 0, out=kernel)
    return float(normalise(kernel, clutter, np.empty(n), np.empty(n)) + n * each)


def likelihoods(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    matrices: Float[np.ndarray, "k d d"],
    sigma2: float,
    outliers: float,
    *,
    log_volume: float | None = None,
    dtype: DTypeLike = np.float64,
) -> Float[np.ndarray, " k"]:
    """Give the log-likelihood alone, of few targets in up to three dimensions, for several maps of sources.

    Parameters
    ----------
    x, y
        Targets, and sources.
    matrices
        Sources are tried as ``y @ matrix`` with each.
    sigma2, outliers, log_volume, dtype
        As in ``expectation``.
    """
    from embedlab.maths.clouds._expectation_loops import score

    (n, d), m, k, kind = x.shape, len(y), len(matrices), np.dtype(dtype)
    clutter, each = _constants((n, m, d), sigma2, outliers, log_volume)
    unit = math.sqrt(math.log2(math.e) / (2 * sigma2))
    targets, sources = np.zeros((n, 3), kind), _aligned((3, -(-m // WIDE) * WIDE), kind)
    maps, logs = np.zeros((k, 3, 3), kind), np.empty(k)
    targets[:, :d], maps[:, :d, :d] = x * unit, matrices
    sources[:] = 0
    sources[:d, :m], sources[0, m:] = y.T * unit, _AFAR[kind]
    score(targets, sources, m, maps, clutter, logs)
    found: np.ndarray = logs + n * each
    return found


def _constants(
    shape: tuple[int, int, int], sigma2: float, outliers: float, log_volume: float | None
) -> tuple[float, float]:
    """Give the log-density of outliers in units of one source's, and what makes log-densities of such."""
    n, m, d = shape
    log_normal = 0.5 * d * math.log(2 * math.pi * sigma2)
    clutter, each = odds(n, m, outliers, log_volume)
    return clutter + log_normal, each - log_normal


def odds(n: int, m: int, outliers: float, log_volume: float | None) -> tuple[float, float]:
    """Give an outlier's log-odds to a source, and a source's log-weight, without what hangs on σ²."""
    volume = math.log(n) if log_volume is None else log_volume
    # Finite where there are no outliers: compiled loops know no infinity.
    clutter = math.log(outliers / (1 - outliers)) + math.log(m) - volume if outliers else -1e300
    return clutter, math.log1p(-outliers) - math.log(m)


def start_sigma2(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """Give the mean squared difference a coordinate over all pairs, without making the pairs."""
    between = x.mean(axis=0, dtype=np.float64) - y.mean(axis=0, dtype=np.float64)
    within = x.var(axis=0, dtype=np.float64) + y.var(axis=0, dtype=np.float64)
    return float((within + between**2).mean())


_Sums = tuple[float, np.ndarray, np.ndarray]


def _compiled(u: np.ndarray, v: np.ndarray, clutter: float, kind: np.dtype[Any], block: int | None) -> _Sums:
    """Run the compiled loop, a part of the targets a thread."""
    (n, d), m = u.shape, len(v)
    direct = d <= LOOPS
    share = _direct if direct else _products
    room = block or (min(1 << 20, 64 * m * kind.itemsize) if direct else 1 << 23)
    rows = max(4, room // (m * kind.itemsize) // 4 * 4)
    if direct:
        u, v = _loop_layout(u, v, kind)
    parts = max(1, min(_PARTS, _PART_BYTES // (8 * m * (d + 1)), n // (4 * rows)))
    edges = [n * part // parts for part in range(parts + 1)]
    pt1 = np.empty(n)

    def work(part: int) -> tuple[float, np.ndarray]:
        own = slice(edges[part], edges[part + 1])
        return share(u[own], v, clutter, kind, min(rows, -(-n // 4) * 4), pt1[own])

    threads = min(parts, _threads()) if parts > 1 else 1
    if threads == 1:
        done: Iterable[tuple[float, np.ndarray]] = map(work, range(parts))
    else:
        with ThreadPoolExecutor(threads) as pool:
            done = list(pool.map(work, range(parts)))
    logs, sums = 0.0, np.zeros((d + 1, m))
    for more, part in done:
        logs += more
        sums += part[: d + 1, :m]
    return logs, pt1, sums


def _threads() -> int:
    from numba import get_num_threads

    return int(get_num_threads())


def _loop_layout(u: np.ndarray, v: np.ndarray, kind: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Lay targets out as (n, d) and sources as (strips, d, m), d brought to three or an even number."""
    from embedlab.maths.clouds._expectation_loops import STRIP

    m, d = v.shape
    wide = 3 if d <= 3 else d + d % 2
    strip = min(STRIP, -(-m // 16) * 16)
    strips = -(-m // strip)
    targets, sources = np.zeros((len(u), wide), kind), np.zeros((wide, strips * strip), kind)
    targets[:, :d], sources[:d, :m] = u, v.T
    # Sources that fill up the last strip stand where none is ever near.
    sources[0, m:] = _AFAR[kind]
    laid = _aligned((strips, wide, strip), kind)
    laid[:] = sources.reshape(wide, strips, strip).transpose(1, 0, 2)
    return targets, laid


def _aligned(shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray:
    """Make an array that begins with a cache line, so that no vector load spans two."""
    size = math.prod(shape) * kind.itemsize
    room = np.empty(size + 64, np.uint8)
    first = -room.ctypes.data % 64
    return room[first : first + size].view(kind).reshape(shape)


def _direct(
    u: np.ndarray, v: np.ndarray, clutter: float, kind: np.dtype[Any], rows: int, pt1: np.ndarray
) -> tuple[float, np.ndarray]:
    """Sum over targets ``u`` and sources ``v``, as laid out, by the compiled loop."""
    from embedlab.maths.clouds._expectation_loops import sweep

    strips, d, strip = v.shape
    sums = _aligned((strips, d + 1, strip), np.dtype(np.float64))
    sums[:] = 0
    logs = sweep(u, v, clutter, _aligned((strips, rows, strip), kind), sums, pt1)
    return logs, sums.transpose(1, 0, 2).reshape(d + 1, strips * strip)


def _products(
    u: np.ndarray, v: np.ndarray, clutter: float, kind: np.dtype[Any], rows: int, pt1: np.ndarray
) -> tuple[float, np.ndarray]:
    """Sum over targets ``u`` (n, d) and sources ``v`` (m, d), distances by matrix products."""
    from embedlab.maths.clouds._expectation_loops import normalise

    # r² = −2 u·v + |v|² + |u|² in one product.
    one = np.ones((max(len(u), len(v)), 1))
    left = np.hstack([-2 * u, one[: len(u)], (u**2).sum(1, keepdims=True)]).astype(kind)
    right = np.hstack([v, (v**2).sum(1, keepdims=True), one[: len(v)]]).astype(kind).T
    own = np.hstack([one[: len(u)], u])
    kernel, weights = np.empty((rows, right.shape[1]), kind), np.empty(rows)
    sums, logs = np.zeros((u.shape[1] + 1, right.shape[1])), 0.0
    with unthreaded():
        for first in range(0, len(u), rows):
            run = slice(first, min(first + rows, len(u)))
            used = run.stop - first
            np.matmul(left[run], right, out=kernel[:used])
            logs += normalise(kernel[:used], clutter, weights, pt1[run])
            sums += (weights[:used, None] * own[run]).astype(kind).T @ kernel[:used]
    return logs, sums


def _torch(
    u: np.ndarray, v: np.ndarray, clutter: float, kind: np.dtype[Any], block: int | None, device: str
) -> _Sums:
    """Do the same in torch, a block of targets after the other."""
    import torch

    (n, d), m = u.shape, len(v)
    real = torch.float32 if kind == np.float32 else torch.float64
    exact = torch.float32 if device == "mps" else torch.float64
    rows = max(1, (block or (1 << 23 if device == "cpu" else 1 << 28)) // (m * kind.itemsize))
    targets = torch.from_numpy(u).to(device=device, dtype=real)
    sources = torch.from_numpy(v).to(device=device, dtype=real)
    sums = torch.zeros((d + 1, m), dtype=exact, device=device)
    pt1, logs = np.empty(n), 0.0
    for first in range(0, n, rows):
        own = targets[first : first + rows]
        kernel = _squares(own, sources)
        least = kernel.amin(dim=1, keepdim=True)
        kernel.sub_(least).neg_().exp2_()
        nearest = -math.log(2) * least[:, 0].cpu().double().numpy()
        inlier = nearest + np.log(kernel.sum(dim=1).cpu().double().numpy())
        density = np.logaddexp(inlier, clutter)
        pt1[first : first + rows] = np.exp(inlier - density)
        logs += float(density.sum())
        weights = torch.from_numpy(np.exp(nearest - density)).to(device=device, dtype=real)[:, None]
        sums += torch.hstack([weights, weights * own]).T @ kernel
    return logs, pt1, sums.cpu().double().numpy()


def _squares(own: Any, sources: Any) -> Any:
    """Give the squared distances of a block in torch; few dimensions one by one, without cancelling."""
    if own.shape[1] > LOOPS:
        squares = (own**2).sum(1, keepdim=True) + (sources**2).sum(1)
        return squares.addmm_(own, sources.T, alpha=-2).clamp_(min=0)
    squares = (own[:, :1] - sources[:, 0]).square_()
    for i in range(1, own.shape[1]):
        gaps = own[:, i : i + 1] - sources[:, i]
        squares.addcmul_(gaps, gaps)
    return squares
