"""Which first-layer kernel of one network is which of another, and how alike they are.

Unlike deeper channels, first-layer kernels can be looked at one by one: a kernel's weights over the image's
colours mean the same in both networks. They are assigned to each other one to one, for the largest sum of
absolute correlations, so up to order and sign. The more kernels there are to choose from, the more alike are
the chosen ones by chance alone, so the same is done with the second network's own kernels in other
arrangements.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from embedlab.errors import UserError
from embedlab.maths.kernels.shuffles import arrangements
from embedlab.progress import track


class FirstLayerMatch(NamedTuple):
    """See ``first_layer_match``; one entry for each kernel of a."""

    order: Int[np.ndarray, " o"]
    """The kernel of b, or −1 where b has fewer kernels and none is left."""
    sign: Int[np.ndarray, " o"]
    """1, or −1 where b's kernel is the negative of a's (1 where there is none)."""
    correlation: Float[np.ndarray, " o"]
    """Pearson correlation over the kernel's weights after the sign, ≥ 0; nan where there is none."""


def first_layer_match(ka: Float[np.ndarray, "o i h w"], kb: Float[np.ndarray, "p i h w"]) -> FirstLayerMatch:
    """Match two first layers' kernels to each other up to order and sign.

    The one-to-one assignment with the largest sum of |correlation| (Hungarian algorithm). A kernel
    of equal weights correlates with none (0).

    Raises
    ------
    UserError
        If the kernels' input channels or sizes differ.
    """
    if ka.shape[1:] != kb.shape[1:]:
        raise UserError(
            f"first-layer kernels of shapes {ka.shape[1:]} and {kb.shape[1:]} cannot be correlated: choose "
            "two models whose first layers have kernels of one size over the same channels"
        )
    correlations = _standardised(ka) @ _standardised(kb).T
    rows, columns = _assigned(correlations)
    order, sign = np.full(len(ka), -1), np.ones(len(ka), np.int64)
    correlation = np.full(len(ka), np.nan)
    matched = correlations[rows, columns]
    order[rows], sign[rows] = columns, np.where(matched < 0, -1, 1)
    correlation[rows] = np.minimum(np.abs(matched), 1.0)
    return FirstLayerMatch(order, sign, correlation)


def matched_in_other_places(
    ka: Float[np.ndarray, "o i h w"], kb: Float[np.ndarray, "p i h w"], shuffles: int, seed: int
) -> Float[np.ndarray, " shuffles"]:
    """Give the mean |correlation| of matched kernels, b's weights in random places and with random signs.

    Places and signs are drawn alike for all kernels and channels of b: exact where b has no pattern.
    """
    order, sign = arrangements(kb[0, 0].size, shuffles, seed, True)
    a, flat = _standardised(ka), kb.reshape(*kb.shape[:2], -1)
    drawn = track(zip(order[1:], sign[1:], strict=True), "matching shuffled kernels", shuffles)
    return np.array([_mean(a @ _standardised(flat[:, :, one] * signs).T) for one, signs in drawn])


def matched_turned(
    ka: Float[np.ndarray, "o i h w"], kb: Float[np.ndarray, "p i h w"], shuffles: int, seed: int
) -> Float[np.ndarray, " shuffles"]:
    """Give the mean |correlation| of matched kernels, each of b's turned and mirrored at random.

    Turned kernels are as smooth, and of the same colours, as they were: what is left to be alike in two
    networks that share no filter. Kernels that are not square are mirrored only.
    """
    square = kb.shape[2] == kb.shape[3]
    mirrored = [kb[:, :, ::down, ::across] for down in (1, -1) for across in (1, -1)]
    ways = mirrored + [k.swapaxes(2, 3) for k in mirrored if square]
    a = _standardised(ka)
    correlations = np.stack([a @ _standardised(way).T for way in ways])
    drawn = np.random.default_rng([seed, 26]).integers(len(ways), size=(shuffles, len(kb)))
    columns = np.arange(len(kb))
    each = track(drawn, "matching turned kernels")
    return np.array([_mean(correlations[way, :, columns].T) for way in each])


def _assigned(correlations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.abs(correlations), maximize=True)
    return rows, columns


def _mean(correlations: np.ndarray) -> float:
    return float(np.abs(correlations[_assigned(correlations)]).mean())


def _standardised(kernels: np.ndarray) -> np.ndarray:
    """Give each kernel as a row, centred and of unit length; a constant kernel becomes zero."""
    rows = kernels.reshape(len(kernels), -1).astype(np.float64)
    centred = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    flat: np.ndarray = lengths <= 1e-12 * np.abs(rows).max(axis=1, keepdims=True)
    standardised: np.ndarray = np.divide(centred, lengths, out=np.zeros_like(centred), where=~flat)
    return standardised


def pictures(kernels: Float[np.ndarray, "o i h w"]) -> list[np.ndarray]:
    """Turn kernels over colour images into colours, grey being zero, others into their mean over channels."""
    scale = float(np.abs(kernels).max()) or 1.0
    if kernels.shape[1] == 3:
        return list(np.round(127.5 * (1 + kernels.transpose(0, 2, 3, 1) / scale)).astype(np.uint8))
    return list(kernels.mean(axis=1) / scale)
