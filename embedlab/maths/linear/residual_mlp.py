"""Ridge and what a small network adds to it: x ↦ ridge(x) + MLP(x), fitted on matched rows.

The network has one hidden layer of rectified units and learns what ridge leaves over [1]_. Of each row that
is what ridge fitted on the other folds leaves, since what it leaves of rows that it was fitted on is too
little. Its weight decay is chosen on people it was not fitted on, among them none of it at all: where the
spaces are related by a linear map the network is left out, and the map is ridge. Adam with decoupled weight
decay [2]_ takes a set number of steps, so that the cost is bounded whatever the rows.

References
----------
.. [1] He, K., Zhang, X., Ren, S. and Sun, J. Deep residual learning for image recognition. CVPR, 2016.
.. [2] Loshchilov, I. and Hutter, F. Decoupled weight decay regularization. ICLR, 2019.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear.linear_maps import LinearMap, RidgePath
from embedlab.progress import track

HIDDEN, STEPS, BATCH = 128, 600, 256
RATE, MOMENTS, TINY = 1e-2, (0.9, 0.99), 1e-8
DECAYS = (0.3, 3.0, 30.0)
# Of ten folds two choose the decay.
EVERY = 5


@dataclass(frozen=True, eq=False)
class ResidualMLP:
    """x ↦ linear(x) + size · (relu((x − centre) / unit · enter + bias) · leave + shift).

    Attributes
    ----------
    linear
        Ridge.
    weights
        ``enter`` (d_a, hidden), ``bias`` (hidden,), ``leave`` (hidden, d_b) and ``shift`` (d_b,).
    centre, unit, size
        Mean of the rows fitted on and their root mean square about it; that of what ridge left.
    decay
        The weight decay; infinite where the network is left out.
    """

    linear: LinearMap
    weights: tuple[np.ndarray, ...]
    centre: Float[np.ndarray, " d_a"]
    unit: float
    size: float
    decay: float

    def apply(self, x: Float[np.ndarray, "n d_a"]) -> Float[np.ndarray, "n d_b"]:
        """Map rows.

        Raises
        ------
        ValueError
            If the rows do not have d_a numbers.
        """
        mapped = self.linear.apply(x)
        return mapped + self.size * self.added(x) if np.isfinite(self.decay) else mapped

    def added(self, x: Float[np.ndarray, "n d_a"]) -> Float[np.ndarray, "n d_b"]:
        """Give what the network says of rows, in units of ``size``."""
        return forward(((x - self.centre) / self.unit).astype(np.float32), self.weights)[1]


def forward(x: np.ndarray, weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Give the hidden units of rows and the network's output."""
    enter, bias, leave, shift = weights
    hidden = np.maximum(x @ enter + bias, 0)
    return hidden, hidden @ leave + shift


def gradients(x: np.ndarray, y: np.ndarray, weights: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Differentiate half the mean squared distance of the output from ``y``, by each of the weights."""
    hidden, found = forward(x, weights)
    error = (found - y) / np.float32(len(x))
    back = (error @ weights[2].T) * (hidden > 0)
    return x.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)


def fit(
    x: Float[np.ndarray, "n d_a"],
    y: Float[np.ndarray, "n d_b"],
    fold: Int[np.ndarray, " n"],
    path: RidgePath,
    *,
    seed: int,
) -> tuple[ResidualMLP, list[ResidualMLP]]:
    """Fit it, and, for intervals, on all folds but one, for each.

    Parameters
    ----------
    x, y
        Matched rows.
    fold
        The fold of each row, 0…k−1; rows of one person are in one.
    path
        Ridge on these rows and folds.
    seed
        Seed of the first weights and of the order of rows.
    """
    parts, without = np.unique(fold), path.without_each()
    left = np.empty((len(y), y.shape[1]))
    for k, ridge in zip(parts, without, strict=True):
        left[fold == k] = y[fold == k] - ridge.apply(x[fold == k])

    def fitted(ridge: LinearMap, rows: np.ndarray, decay: float) -> ResidualMLP:
        return _fitted(ridge, x[rows], left[rows], decay, seed)

    judges = np.isin(fold, parts[::EVERY])
    whole = float((left[judges] ** 2).sum())
    missed = {np.inf: whole}
    for decay in track(DECAYS, "choosing the weight decay of a small network"):
        one = fitted(path.ridge(), ~judges, decay)
        missed[decay] = float(((left[judges] - one.size * one.added(x[judges])) ** 2).sum())
    best = min(missed, key=lambda decay: missed[decay])
    each = track(list(zip(parts, without, strict=True)), "a small network, a fold left out")
    return fitted(path.ridge(), np.ones(len(x), bool), best), [
        fitted(ridge, fold != k, best) for k, ridge in each
    ]


def _fitted(ridge: LinearMap, x: np.ndarray, left: np.ndarray, decay: float, seed: int) -> ResidualMLP:
    centre = x.mean(axis=0, dtype=np.float64)
    unit, size = (float(np.sqrt((rows**2).mean())) or 1.0 for rows in (x - centre, left))
    if not np.isfinite(decay):
        return ResidualMLP(ridge, (), centre, unit, size, decay)
    rows, goals = ((x - centre) / unit).astype(np.float32), (left / size).astype(np.float32)
    return ResidualMLP(ridge, _descended(rows, goals, decay, seed), centre, unit, size, decay)


def _descended(x: np.ndarray, y: np.ndarray, decay: float, seed: int) -> tuple[np.ndarray, ...]:
    """Take ``STEPS`` steps of Adam over rows in random order; the rate falls as half a cosine."""
    rng = np.random.default_rng([seed, 31])
    shapes = ((x.shape[1], HIDDEN), (HIDDEN,), (HIDDEN, y.shape[1]), (y.shape[1],))
    # What leaves the hidden layer starts at nothing, so that the first map is ridge.
    weights = [np.zeros(shape, np.float32) for shape in shapes]
    weights[0] = rng.normal(0, np.sqrt(2 / x.shape[1]), shapes[0]).astype(np.float32)
    firsts, seconds = ([np.zeros_like(one) for one in weights] for _ in range(2))
    order = np.empty(0, np.int64)
    for step in range(1, STEPS + 1):
        if len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(len(x))])
        rows, order = order[:BATCH], order[BATCH:]
        rate = RATE * (1 + np.cos(np.pi * step / STEPS)) / 2
        slopes = gradients(x[rows], y[rows], weights)
        for weight, slope, first, second in zip(weights, slopes, firsts, seconds, strict=True):
            first += (1 - MOMENTS[0]) * (slope - first)
            second += (1 - MOMENTS[1]) * (slope**2 - second)
            sizes = np.sqrt(second / (1 - MOMENTS[1] ** step)) + TINY
            # Weights decay, offsets do not.
            weight *= 1 - rate * decay * (weight.ndim > 1)
            weight -= rate / (1 - MOMENTS[0] ** step) * first / sizes
    return tuple(weights)
