"""How structured convolution kernels are: smooth, even, or like a Gabor function, against fresh ones.

A kernel is its h × w weights over c input channels. Three statistics, none of which depends on the kernel's
size, and each larger for more structure:

- *low-frequency share*: energy (squared weights) in the slow half of the cosine transform, u/(h−1) + v/(w−1)
  ≤ ½. Of a 3×3 kernel these are the mean and the two gradients, 3 of 9 numbers: a third of a fresh one's.
- *evenness*: minus the total variation, here the mean absolute difference of weights that are neighbours,
  in units of the root-mean-square weight. Near 1.1 for a fresh kernel, 0 for a constant one.
- *Gabor share*: the share of the energy that the best Gabor function [1]_ explains, with one shape for all
  channels and a factor for each. Phase and factors are solved for, the rest is searched for on a grid
  and refined. Below 5×5 the envelope is round, in the middle and of one width, so that direction,
  frequency, phase and a factor a channel are fitted: 4 numbers of 9 for one channel, 6 of 27 for three.

As a Gabor function fits any few numbers well, none of them means anything alone. All are read against
the same statistics of fresh kernels, Gaussian and of the same shape, fitted in the same way.

References
----------
.. [1] Daugman, J. G. Uncertainty relation for resolution in space, spatial frequency, and orientation
   optimized by two-dimensional visual cortical filters. JOSA A 2(7), 1985.
.. [2] Westfall, P. H. and Young, S. S. Resampling-Based Multiple Testing. Wiley, 1993.
.. [3] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate. Journal of the Royal Statistical
   Society B 57(1), 1995.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float

from embedlab.maths.people.permutation import p_value

STATISTICS = ("low-frequency share", "evenness", "Gabor share")
COLOURS = 4
SMALL = 5
BLOCK = 4_000_000
SHUFFLED = 200
ROUNDS = 5
FOUND = 0.8


def patterns(kernels: Float[np.ndarray, "o i h w"], most: int, seed: int) -> Float[np.ndarray, "n c h w"]:
    """Give what is looked at: whole kernels over up to four input channels, else slices of one channel.

    Slices are drawn where there are more than ``most``. Those without any weight other than zero are
    left out: they have no pattern.
    """
    o, i, h, w = kernels.shape
    found = kernels if i <= COLOURS else kernels.reshape(o * i, 1, h, w)
    found = found[np.any(found != 0, axis=(1, 2, 3))]
    if len(found) > most:
        found = found[np.sort(np.random.default_rng([seed, 17]).choice(len(found), most, replace=False))]
    return found.astype(np.float64)


def statistics(kernels: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n 3"]:
    """Measure each kernel; columns as in ``STATISTICS``, all larger for more structure.

    Raises
    ------
    ValueError
        If the kernels are 1×1, which have no pattern, or one has no weight other than zero.
    """
    if kernels.shape[2:] == (1, 1):
        raise ValueError("kernels of 1×1 weights have no pattern")
    if not len(kernels):
        return np.zeros((0, len(STATISTICS)))
    norms = np.sqrt((kernels**2).sum(axis=(1, 2, 3), keepdims=True))
    if norms.min() == 0:
        raise ValueError("a kernel of zeros has no pattern")
    unit = kernels / norms
    return np.stack([low_frequency(unit), -total_variation(unit), gabor(unit)[0]], axis=1)


def low_frequency(kernels: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, " n"]:
    """Give the share of each kernel's energy in the slow half of its cosine transform."""
    from scipy.fft import dctn

    energy = (dctn(kernels, axes=(2, 3), norm="ortho") ** 2).sum(axis=1)
    u, v = (np.arange(side) / max(side - 1, 1) for side in kernels.shape[2:])
    slow = u[:, None] + v <= 0.5 + 1e-9
    share: np.ndarray = energy[:, slow].sum(axis=1) / energy.sum(axis=(1, 2))
    return share


def total_variation(kernels: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, " n"]:
    """Give the mean absolute difference of neighbouring weights, over the root-mean-square weight."""
    steps = [np.abs(np.diff(kernels, axis=axis)).reshape(len(kernels), -1) for axis in (2, 3)]
    size = np.sqrt((kernels**2).mean(axis=(1, 2, 3)))
    found: np.ndarray = np.concatenate(steps, axis=1).mean(axis=1) / size
    return found


def gabor(
    kernels: Float[np.ndarray, "n c h w"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 6"]]:
    """Fit the best Gabor function to each kernel: search a grid, then refine.

    Returns
    -------
    The share of energy it explains; and its direction, frequency (cycles a weight), logarithms of the
    envelope's width (weights) and of its aspect, and the place of its middle, across and down.
    """
    n, c, h, w = kernels.shape
    grid, steps, low, high = _family(h, w)
    flat = kernels.reshape(n, c, h * w)
    shares, best = np.empty(n), np.empty((n, grid.shape[1]))
    even, odd = _bases(grid, h, w)
    size = max(1, BLOCK // (len(grid) * c))
    for start in range(0, n, size):
        rows = slice(start, start + size)
        found = _explained(flat[rows] @ even.T, flat[rows] @ odd.T)
        top = found.argmax(axis=1)
        shares[rows], best[rows] = found[np.arange(len(top)), top], grid[top]
    for _ in range(ROUNDS):
        for k in np.flatnonzero(steps):
            for side in (-1, 1):
                trial = best.copy()
                trial[:, k] = np.clip(trial[:, k] + side * steps[k], low[k], high[k])
                even, odd = _bases(trial, h, w)
                found = _explained(
                    np.einsum("ncp,np->nc", flat, even)[..., None],
                    np.einsum("ncp,np->nc", flat, odd)[..., None],
                )[:, 0]
                better = found > shares
                shares[better], best[better] = found[better], trial[better]
        steps = steps / 2
    explained: np.ndarray = shares / (flat**2).sum(axis=(1, 2))
    return explained, best


def _family(h: int, w: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give the grid of Gabor functions of a shape, the first steps to refine by, and the limits."""
    side = max(h, w)
    small = side < SMALL
    turns = np.arange(12) * np.pi / 12
    frequencies = np.arange(0.05, 0.71, 0.1) if small else np.linspace(0.5 / side, 0.5, 6)
    widths = np.log([side / 3]) if small else np.log([0.15 * side, 0.25 * side, 0.4 * side])
    aspects = np.log([1.0]) if small else np.log([0.6, 1.2])
    places = [0.0] if small else [-side / 5, 0.0, side / 5]
    axes = np.meshgrid(turns, frequencies, widths, aspects, places, places, indexing="ij")
    grid = np.stack([axis.ravel() for axis in axes], axis=1)
    gaps = np.array([np.pi / 12, np.diff(frequencies)[0], 0.5, 0.7, side / 5, side / 5])
    steps = np.where([1, 1, *([not small] * 4)], gaps / 2, 0.0)
    low = np.array([-np.inf, 0.02, np.log(0.1 * side), np.log(0.4), -side / 3, -side / 3])
    high = np.array([np.inf, 0.71, np.log(0.6 * side), np.log(2.0), side / 3, side / 3])
    return grid, steps, low, high


def _bases(members: Float[np.ndarray, "t 6"], h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Give orthonormal vectors of shape (t, h·w) that span each Gabor function in all its phases."""
    y, x = (axis.ravel() - (side - 1) / 2 for axis, side in zip(np.indices((h, w)), (h, w), strict=True))
    turn, frequency, width, aspect, right, down = members.T[..., None]
    across = (x - right) * np.cos(turn) + (y - down) * np.sin(turn)
    along = (y - down) * np.cos(turn) - (x - right) * np.sin(turn)
    envelope = np.exp(-(across**2 + (np.exp(aspect) * along) ** 2) / (2 * np.exp(2 * width)))
    even = envelope * np.cos(2 * np.pi * frequency * across)
    odd = envelope * np.sin(2 * np.pi * frequency * across)
    even = _unit(even)
    return even, _unit(odd - (odd * even).sum(axis=1, keepdims=True) * even)


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: np.ndarray = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-9)
    return found


def _explained(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """Give the energy at the best phase: the larger eigenvalue of a 2×2 matrix of sums over channels."""
    first, second, mixed = (even**2).sum(axis=1), (odd**2).sum(axis=1), (even * odd).sum(axis=1)
    found: np.ndarray = (first + second) / 2 + np.sqrt(((first - second) / 2) ** 2 + mixed**2)
    return found


def centred(kernels: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n c h w"]:
    """Take each channel's mean out: what is left of an evenly blurring kernel is nothing, of an edge all.

    What rounding leaves of a constant kernel becomes zero.
    """
    left = kernels - kernels.mean(axis=(2, 3), keepdims=True)
    size = np.sqrt((kernels**2).sum(axis=(1, 2, 3), keepdims=True))
    rest = np.sqrt((left**2).sum(axis=(1, 2, 3), keepdims=True))
    found: np.ndarray = np.where(rest > 1e-6 * size, left, 0.0)
    return found


@lru_cache(maxsize=32)
def fresh(
    channels: int, height: int, width: int, count: int, seed: int, *, beyond_mean: bool = False
) -> Float[np.ndarray, "n 3"]:
    """Measure ``count`` fresh kernels, Gaussian as He's and Glorot's initialisations draw them.

    With ``beyond_mean``, each channel's mean is taken out first.
    """
    drawn = np.random.default_rng([seed, 16]).normal(size=(count, channels, height, width))
    found = statistics(centred(drawn) if beyond_mean else drawn)
    found.setflags(write=False)
    return found


def kernel_p_values(
    measured: Float[np.ndarray, "n 3"], null: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, " n"]:
    """Give each kernel's p value: how often a fresh kernel is as structured in its best statistic.

    The smallest of a kernel's p values over the statistics is judged by the smallest of fresh kernels'
    [2]_, so that looking three times costs what it should.
    """
    least, least_null = _shares(measured, null).min(axis=1), _shares(null, null).min(axis=1)
    below = np.searchsorted(np.sort(least_null), least, side="right")
    found: np.ndarray = (1 + below) / (1 + len(null))
    return found


def _shares(measured: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Give the share of fresh kernels that reach each number, by statistic."""
    columns = [
        len(null) - np.searchsorted(np.sort(null[:, k]), measured[:, k] - 1e-12)
        for k in range(measured.shape[1])
    ]
    return np.stack(columns, axis=1) / len(null)


def structured(p_values: Float[np.ndarray, "... n"], level: float) -> Bool[np.ndarray, "... n"]:
    """Call kernels of one layer structured, at a false discovery rate of ``level`` [3]_."""
    from scipy.stats import false_discovery_control

    if not p_values.size:
        return np.zeros(p_values.shape, dtype=bool)
    found: np.ndarray = false_discovery_control(p_values, axis=-1) <= level
    return found


def share_of_fresh(count: int, level: float, seed: int, draws: int = 2000) -> float:
    """Give the share of ``count`` fresh kernels that ``structured`` calls so on average."""
    drawn = np.random.default_rng([seed, 23]).uniform(size=(draws, count))
    return float(structured(drawn, level).mean())


def layer_p_value(
    measured: Float[np.ndarray, "n 3"], null: Float[np.ndarray, "m 3"], shuffles: int, seed: int
) -> float:
    """Test whether a layer's kernels are more structured than fresh ones.

    The statistic is the largest, over the three, of the standardised mean of the layer's kernels. Up to
    200 kernels it is judged by shuffling which kernels are the layer's and which are fresh, which takes
    account of there being three [2]_; of more kernels, the means are normal, and the smallest p value is
    tripled.
    """
    n, m = len(measured), len(null)
    both = np.concatenate([measured, null])
    both = (both - both.mean(axis=0)) / np.maximum(both.std(axis=0), 1e-12)
    largest = float(both[:n].sum(axis=0).max())
    if n <= SHUFFLED:
        return p_value(largest, both[_drawn(n, n + m, shuffles, seed)].sum(axis=1).max(axis=1))
    from scipy.special import ndtr

    return float(min(1.0, both.shape[1] * ndtr(-largest / np.sqrt(n * m / (n + m)))))


@lru_cache(maxsize=8)
def _drawn(n: int, of: int, shuffles: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 18])
    return np.stack([rng.choice(of, n, replace=False, shuffle=False) for _ in range(shuffles)])


def planted(count: int, channels: int, height: int, width: int, seed: int) -> Float[np.ndarray, "n c h w"]:
    """Draw Gabor functions of random direction, frequency, phase, place and colour, of unit length."""
    rng = np.random.default_rng([seed, 19])
    grid, _, _, _ = _family(height, width)
    low, high = grid.min(axis=0), grid.max(axis=0)
    even, odd = _bases(rng.uniform(low, high, size=(count, len(low))), height, width)
    phase = rng.uniform(0, 2 * np.pi, size=(count, 1))
    shape = np.cos(phase) * even + np.sin(phase) * odd
    colour = _unit(rng.normal(size=(count, channels)))
    found: np.ndarray = colour[:, :, None] * _unit(shape)[:, None]
    return found.reshape(count, channels, height, width)


@lru_cache(maxsize=32)
def least_found(
    shape: tuple[int, int, int],
    count: int,
    seed: int,
    level: float,
    *,
    beyond_mean: bool = False,
    trials: int = 200,
) -> float | None:
    """Give the power: how much of a kernel's energy must be a Gabor function for it to be found.

    Parameters
    ----------
    shape
        Channels, height and width.
    count, seed
        Of the fresh kernels.
    level
        The p value that is called found.
    beyond_mean
        Whether each channel's mean is taken out of all kernels.
    trials
        How many planted kernels the share is estimated from.

    Returns
    -------
    The smallest share (in steps of 0.05) of ``planted`` functions mixed with noise at which 80 % or more
    have a p value of at most ``level``, and at all larger ones too; None where even 95 % of the energy is
    not enough.
    """
    null = fresh(*shape, count, seed, beyond_mean=beyond_mean)
    signal = planted(trials, *shape, seed)
    noise = np.random.default_rng([seed, 20]).normal(size=signal.shape)
    if beyond_mean:
        signal, noise = centred(signal), centred(noise)
    signal, noise = (v.reshape(trials, -1) for v in (signal, noise))
    signal = _unit(signal)
    noise = _unit(noise - (noise * signal).sum(axis=1, keepdims=True) * signal)
    found = None
    for share in np.arange(0.95, 0.04, -0.05):
        mixed = np.sqrt(share) * signal + np.sqrt(1 - share) * noise
        p_values = kernel_p_values(statistics(mixed.reshape(trials, *shape)), null)
        if (p_values <= level).mean() < FOUND:
            break
        found = round(float(share), 2)
    return found
