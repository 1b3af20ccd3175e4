"""Canonical correlations and orthogonal Procrustes, fitted on one half of the people, judged on the other.

Each half fits once and judges once; the figure is the mean of both.

References
----------
.. [1] Raghu, M., Gilmer, J., Yosinski, J. and Sohl-Dickstein, J. SVCCA: singular vector canonical
   correlation analysis for deep learning dynamics and interpretability. NeurIPS 2017.
.. [2] Morcos, A. S., Raghu, M. and Bengio, S. Insights on representational similarity in neural networks
   with canonical correlation. NeurIPS 2018.
.. [3] Williams, A. H., Kunz, E., Kornblith, S. and Linderman, S. W. Generalized shape metrics on neural
   representations. NeurIPS 2021.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from embedlab.maths.likeness.moments import Cross, Halves
from embedlab.maths.linear.procrustes import thin_svd

# A direction with less than this share of the widest one's variance is rounding.
FLAT = 1e-10

Whitenings = tuple[np.ndarray, np.ndarray]
"""For each half the directions T, of shape (d, k), with TᵀST = I for its scatter S."""


@dataclass(frozen=True)
class Fitted:
    """A measure whose fit is judged on strangers.

    Attributes
    ----------
    value
        The mean of both halves' judgements.
    in_sample
        What it would be on the rows that were fitted.
    """

    value: float
    in_sample: float


@dataclass(frozen=True)
class Canonical:
    """Canonical directions of one half, and what they correlate in the other.

    Attributes
    ----------
    a, b
        Directions in each space, of shapes (p, m) and (q, m), of length one in the judged half.
    correlations
        Of the judged half, signed, of shape (m,).
    in_sample
        Of the half that was fitted.
    weights
        What PWCCA gives each: the mean over both spaces, each summing to one.
    """

    a: Float[np.ndarray, "p m"]
    b: Float[np.ndarray, "q m"]
    correlations: Float[np.ndarray, " m"]
    in_sample: Float[np.ndarray, " m"]
    weights: Float[np.ndarray, " m"]


def whitenings(space: Halves, variance: float) -> Whitenings:
    """Find the directions in which each half varies by one.

    Parameters
    ----------
    space
        The rows.
    variance
        The share of the variance that the k widest principal components must carry: the first step of
        SVCCA [1]_.
    """
    found = []
    for scatter in space.scatters:
        values, directions = np.linalg.eigh(scatter)
        values, directions = np.maximum(values[::-1], 0.0), directions[:, ::-1]
        kept = 1 + int(np.searchsorted(np.cumsum(values), variance * values.sum() * (1 - 1e-12)))
        kept = min(kept, int((values > FLAT * values[0]).sum()))
        found.append(directions[:, :kept] / np.sqrt(values[:kept]))
    return found[0], found[1]


def canonical(
    a: Halves,
    b: Halves,
    cross: Cross,
    white_a: Whitenings,
    white_b: Whitenings,
) -> tuple[Canonical, Canonical]:
    """Fit canonical directions on either half and judge them on the other.

    ``white_a`` and ``white_b`` come from ``whitenings``; the first of the result is fitted on half 0.
    """
    found = []
    for fit in (0, 1):
        judged = 1 - fit
        left, strengths, right = thin_svd(white_a[fit].T @ cross.centred[fit] @ white_b[fit])
        one, other = white_a[fit] @ left, white_b[fit] @ right.T
        weights = [_projection(one, a, fit), _projection(other, b, fit)]
        one, other = one / _lengths(one, a.scatters[judged]), other / _lengths(other, b.scatters[judged])
        correlations = (one * (cross.centred[judged] @ other)).sum(axis=0)
        found.append(Canonical(one, other, correlations, strengths, (weights[0] + weights[1]) / 2))
    return found[0], found[1]


def svcca(fits: tuple[Canonical, Canonical]) -> Fitted:
    """Give the mean canonical correlation [1]_."""
    return Fitted(*(float(np.mean([r.mean() for r in rs])) for rs in _both(fits)))


def pwcca(fits: tuple[Canonical, Canonical]) -> Fitted:
    """Give the canonical correlations weighted by how much each direction speaks for a space's columns.

    The mean of both spaces' weightings, so that it does not matter which space comes first; [2]_ takes
    one of them.
    """
    weights = [one.weights for one in fits]
    return Fitted(*(float(np.mean([w @ r for w, r in zip(weights, rs, strict=True)])) for rs in _both(fits)))


@dataclass(frozen=True)
class Turn:
    """An orthogonal map fitted on one half, judged on the other.

    Attributes
    ----------
    rotation
        Of shape (p, q); where the dimensions differ it is the rotation of the smaller space, filled up
        with zeros, into the larger. Directions that the fitted rows say nothing of go nowhere.
    cosine
        Of the angle between both clouds of the judged half, about the means of the fitted one.
    in_sample
        The same of the half that was fitted.
    """

    rotation: Float[np.ndarray, "p q"]
    cosine: float
    in_sample: float


def turns(a: Halves, b: Halves, cross: Cross) -> tuple[Turn, Turn]:
    """Fit a rotation on either half, and judge it on the other; the first is fitted on half 0 [3]_."""
    found = []
    for fit in (0, 1):
        judged = 1 - fit
        left, strengths, right = thin_svd(cross.centred[fit])
        known = strengths > strengths[0] * max(a.rows.shape) * np.finfo(np.float64).eps
        # Where fewer rows than dimensions leave a turn open, any is as good, and their mean is none.
        rotation = left[:, known] @ right[known]
        moved_a, moved_b = a.means[judged] - a.means[fit], b.means[judged] - b.means[fit]
        inner = (rotation * cross.centred[judged]).sum() + a.sizes[judged] * (moved_a @ rotation @ moved_b)
        size = np.sqrt(np.prod([_spread(space, fit) for space in (a, b)]))
        own = np.sqrt(np.trace(a.scatters[fit]) * np.trace(b.scatters[fit]))
        found.append(Turn(rotation, float(inner / size), float(strengths.sum() / own)))
    return found[0], found[1]


def procrustes(fits: tuple[Turn, Turn]) -> Fitted:
    """Give the cosine of the angular Procrustes distance [3]_: 1 for clouds that a rotation makes one."""
    return Fitted(
        float(np.mean([one.cosine for one in fits])), float(np.mean([one.in_sample for one in fits]))
    )


def _both(fits: tuple[Canonical, Canonical]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [one.correlations for one in fits], [one.in_sample for one in fits]


def _projection(directions: np.ndarray, space: Halves, fit: int) -> np.ndarray:
    along = directions.T @ space.scatters[fit]
    # The one figure that is of a space's own columns.
    along = along if space.basis is None else along @ space.basis.T
    sums = np.abs(along).sum(axis=1)
    found: np.ndarray = sums / sums.sum()
    return found


def _lengths(directions: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    squared = (directions * (scatter @ directions)).sum(axis=0)
    # A direction in which the judged half does not vary correlates with nothing.
    found: np.ndarray = np.sqrt(np.where(squared > 0, squared, np.inf))
    return found


def _spread(space: Halves, fit: int) -> float:
    """Sum the judged half's squared distances from the fitted half's mean."""
    judged = 1 - fit
    moved = space.means[judged] - space.means[fit]
    return float(np.trace(space.scatters[judged]) + space.sizes[judged] * (moved @ moved))
