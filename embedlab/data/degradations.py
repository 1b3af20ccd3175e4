"""Probes: the condition images are seen under, and how they are brought to a network's input."""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from embedlab.errors import UserError
from embedlab.store import checked_name

MIN_PIXELS = 2


@dataclass(frozen=True)
class Probe:
    """A data set seen under one condition; as text ``highres_eval`` or ``highres_eval@32``."""

    dataset: str
    """Name of the data set."""
    pixels: int | None = None
    """Side in pixels that images are shrunk to; None leaves them as they are."""

    def __str__(self) -> str:
        return self.dataset if self.pixels is None else f"{self.dataset}@{self.pixels}"


def parse_probe(text: str) -> Probe:
    """Read a probe's name, ``NAME`` or ``NAME@PIXELS``.

    Raises
    ------
    UserError
        If the name cannot be that of a file, or PIXELS is no whole number of at least 2.
    """
    dataset, at, pixels = text.strip().partition("@")
    if not at:
        return Probe(checked_name(dataset, "data set"))
    # int() would also take "+32", "3_2" and digits of other scripts.
    shrunk = int(pixels) if re.fullmatch("[0-9]{1,6}", pixels) else 0
    if shrunk < MIN_PIXELS:
        raise UserError(
            f"{text!r} is not a probe: after @ stands the side in pixels that images are shrunk to, a whole "
            f"number of at least {MIN_PIXELS}, as in {dataset or 'NAME'}@32"
        )
    return Probe(checked_name(dataset, "data set"), shrunk)


def prepare(image: UInt8[np.ndarray, "h w 3"], pixels: int | None, size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Bring an image to a network's input size, by way of fewer pixels if asked.

    The central square is cut out, shrunk to ``pixels`` where that is smaller than the square (an image
    is never enlarged to be shrunk again), and brought to ``size``; each step by PIL's bilinear filter,
    which antialiases when it shrinks.

    Parameters
    ----------
    image
        RGB, 8 bits a channel.
    pixels
        Side in pixels to shrink to; None to leave it.
    size
        Side in pixels of the network's input.
    """
    from PIL import Image

    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = image[top : top + side, left : left + side]
    if side == size and (pixels is None or pixels >= side):
        return cut.copy()
    square = Image.fromarray(np.ascontiguousarray(cut))
    if pixels is not None and pixels < side:
        square = square.resize((pixels, pixels), Image.Resampling.BILINEAR)
    if square.width != size:
        square = square.resize((size, size), Image.Resampling.BILINEAR)
    # A copy, because what PIL shares is read-only.
    array: np.ndarray = np.array(square)
    return array
