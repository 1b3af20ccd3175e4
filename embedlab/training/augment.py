"""Change the images of a batch where they lie: mirrored, coloured, partly blanked out.

Everything is drawn in the step's ``Plan``; here nothing is. Images are float32 on the scale 0…255, RGB.
The functions may use the memory of what they are given: fresh memory costs more than the arithmetic.

References
----------
torchvision, ``transforms/_functional_tensor.py``: ``adjust_brightness``, ``adjust_contrast``,
``adjust_saturation``, for images of floats (not rounded to 8 bits between).
Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)
"""How much of red, green and blue makes the brightness (ITU-R BT.601, as torchvision has it)."""

Images = Float[Tensor, "b 3 s s"]


def flipped(x: Images, mirrored: Bool[np.ndarray, " b"]) -> Images:
    """Mirror some of the images, left to right."""
    if not mirrored.any():
        return x
    rows = torch.from_numpy(np.flatnonzero(mirrored)).to(x.device)
    return x.index_copy_(0, rows, x.index_select(0, rows).flip(-1))


def jittered(x: Images, factors: Float[np.ndarray, "b 3"]) -> Images:
    """Change brightness, then contrast, then saturation, each cut to 0…255.

    Each is ``f·x + (1 − f)·y``: for brightness y is black, for contrast the image's mean grey, for
    saturation its own grey. torchvision draws the order of the three; here it is always this one.

    Parameters
    ----------
    x
        The images.
    factors
        Of each image f for brightness, contrast and saturation; 1 changes nothing.
    """
    if (factors == 1).all():
        return x
    brightness, contrast, saturation = (_column(column.astype(np.float32), x) for column in factors.T)
    x = x.mul_(brightness).clamp_(0, 255)
    x = x.lerp_(_grey(x).mean((2, 3), keepdim=True), 1 - contrast).clamp_(0, 255)
    return x.lerp_(_grey(x), 1 - saturation).clamp_(0, 255)


def erased(x: Images, rectangles: Float[np.ndarray, "b 4"], fill: Sequence[float]) -> Images:
    """Blank out a rectangle of some of the images.

    Parameters
    ----------
    x
        The images.
    rectangles
        As ``Plan.erasing`` has them; those of height 0 leave their image as it is.
    fill
        The colour put there, RGB.
    """
    if not rectangles[:, 0].any():
        return x
    side = x.shape[-1]
    shape, where = rectangles[:, :2], rectangles[:, 2:]
    # Whatever is blanked out is blanked out visibly: at least a pixel.
    pixels = np.where(shape > 0, np.maximum(np.round(shape * side), 1), 0).astype(np.int64)
    start = np.minimum(np.floor(where * (side - pixels + 1)).astype(np.int64), side - pixels)
    at = torch.arange(side, device=x.device)
    rows, columns = (
        (at >= _column(start[:, axis], x)) & (at < _column((start + pixels)[:, axis], x)) for axis in (0, 1)
    )
    blank = rows.transpose(2, 3) & columns
    for channel, value in enumerate(fill):
        x[:, channel : channel + 1].masked_fill_(blank, value)
    return x


def _grey(x: Images) -> Float[Tensor, "b 1 s s"]:
    return GREY[0] * x[:, 0:1] + GREY[1] * x[:, 1:2] + GREY[2] * x[:, 2:3]


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)[:, None, None, None]
