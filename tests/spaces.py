"""Spaces of the same items to compare, planted, and naive forms to hold measures against."""

import numpy as np

from embedlab.maths.likeness import hsic
from embedlab.maths.likeness.similarity import Plan, Space, compare


def example():
    """The input whose figures by published code are written down below."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(60, 6)) * [3, 2, 1.5, 1, 1, 0.5] + 0.4
    y = x @ rng.normal(size=(6, 5)) + 2.0 * rng.normal(size=(60, 5))
    return x, y


def plan(owners, **changes):
    given = {
        "owners": owners, "sample": 400, "together": True, "neighbours": 5, "bandwidth": 0.5, "batch": 100,
        "variance": 0.99, "shuffles": 39, "refits": 19, "seed": 0,
    }  # fmt: skip
    return Plan(**(given | changes))


def clustered(people=60, images=4, dimension=8, seed=0):
    """People as centres, images round them, directions of unequal width."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), images)
    rows = rng.normal(size=(people, dimension))[owners] + 0.7 * rng.normal(size=(len(owners), dimension))
    return owners, rows * np.linspace(2, 0.5, dimension)


def measured(x, y, owners, **changes):
    chosen = plan(owners, **changes)
    return compare(Space.of(x, chosen), Space.of(y, chosen), chosen)


def rotation(dimension, seed=1):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dimension, dimension)))[0]


def linear_hsic(x, y):
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return hsic.of_features(x, y, x.T @ y)


def off_diagonal(kernel):
    return kernel - np.diag(np.diag(kernel))


def naive_hsic(a, b, weights=None):
    """Song et al., eq. 5, from n×n arrays as it stands there; n is the sum of the weights."""
    a, b = off_diagonal(a), off_diagonal(b)
    w = np.ones(len(a)) if weights is None else weights
    n, pairs = w.sum(), np.outer(w, w)
    trace, through = (pairs * a * b.T).sum(), (w @ a * w) @ (b @ w)
    total = trace + (pairs * a).sum() * (pairs * b).sum() / ((n - 1) * (n - 2)) - 2 * through / (n - 2)
    return total / (n * (n - 3))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def images(places, count, noise, seed):
    """So many images of each person round their places, as unit rows, and whose they are."""
    owners = np.repeat(np.arange(len(places)), count)
    rows = places[owners] + noise * np.random.default_rng(seed).normal(size=(len(owners), places.shape[1]))
    return unit(rows).astype(np.float32), owners
