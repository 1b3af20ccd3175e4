"""Octuplet loss: triplets within and across resolutions, to fine-tune a network that knows one of them."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from embedlab.networks.collectives import gathered, shared


def octuplet_loss(
    high: Float[Tensor, "n d"],
    low: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    margin: float = 0.5,
    *,
    unit: bool = True,
) -> Float[Tensor, ""]:
    """Give the octuplet loss of images and their counterparts of lower resolution.

    Four triplet losses with batch-hard mining [2]_, summed: anchors of high resolution against images of
    high, and of low resolution; anchors of low resolution against images of high, and of low. Each anchor
    takes its farthest positive and its nearest negative, max(0, d(a, p) − d(a, n) + margin), averaged over
    the anchors. An image and its own counterpart are no positive pair, as in the authors' code. An anchor
    without a positive in the batch has d(a, p) = 0; one without a negative counts nothing. Over several
    processes the whole batch is mined, and every process gives the same loss.

    Parameters
    ----------
    high, low
        Embeddings of the images, and of the same images at lower resolution, row by row.
    labels
        Whom the rows show; two or more images of a person make positives.
    margin
        How much farther negatives shall be than positives, in Euclidean distance.
    unit
        Bring the embeddings to length 1 first, which is how they are compared later; distances are then
        from 0 to 2. Without, as published: distances of raw embeddings, whose margin depends on how long
        these are (25 for the authors' networks).

    References
    ----------
    .. [1] Knoche et al., "Octuplet Loss: Make Face Recognition Robust to Image Resolution", FG 2023,
       and github.com/Martlgap/octuplet-loss (``pt_octuplet_loss.py``).
    .. [2] Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017.
    """
    with torch.autocast(high.device.type, enabled=False):
        sides = [gathered(side.float()) for side in (high, low)]
        if unit:
            sides = [functional.normalize(side) for side in sides]
        labels = gathered(labels)
        same = labels[:, None] == labels
        positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        losses = [
            triplet_losses(torch.cdist(anchors, others), positive, ~same, margin)
            for anchors in sides
            for others in sides
        ]
        return shared(torch.stack(losses).sum(0).mean())


def triplet_losses(
    apart: Float[Tensor, "n m"], positive: Bool[Tensor, "n m"], negative: Bool[Tensor, "n m"], margin: float
) -> Float[Tensor, " n"]:
    """Give each anchor's loss, from its farthest positive and its nearest negative."""
    farthest = torch.where(positive, apart, 0.0).amax(1)
    nearest = torch.where(negative, apart, torch.inf).amin(1)
    return torch.relu(farthest - nearest + margin)
