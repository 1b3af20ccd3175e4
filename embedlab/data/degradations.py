"""Probes: the condition images are seen under, and how they are brought to a network's input."""

import re
from collections import Counter
from dataclasses import dataclass
from threading import Lock

import numpy as np
from jaxtyping import UInt8

from embedlab.errors import UserError
from embedlab.lab.store import checked_name
from embedlab.progress import say

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


FITS = ("crop", "pad", "stretch")


def squared(image: UInt8[np.ndarray, "h w 3"], fit: str = "crop") -> UInt8[np.ndarray, "s s 3"]:
    """Make an image square: by its central square, by grey bars beside it, or by stretching it.

    Parameters
    ----------
    image
        RGB, 8 bits a channel.
    fit
        One of ``FITS``. Padded and stretched images have the longer side, so that nothing is lost.

    Raises
    ------
    UserError
        If there is no such way.
    """
    from PIL import Image

    if fit not in FITS:
        raise UserError(f"images cannot be made square by {fit!r}: choose {', '.join(FITS)}")
    height, width = image.shape[:2]
    if height == width:
        return image
    side = min(height, width) if fit == "crop" else max(height, width)
    top, left = abs(height - side) // 2, abs(width - side) // 2
    if fit == "crop":
        return image[top : top + side, left : left + side]
    if fit == "stretch":
        stretched: np.ndarray = np.array(
            Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
        )
        return stretched
    whole = np.full((side, side, 3), BARS, dtype=np.uint8)
    whole[top : top + height, left : left + width] = image
    return whole


BARS = 128
"""The middle of the scale, near zero once normalised."""


class Cropped:
    """Counts the images that are not square, of which `prepare` takes the middle; by many threads."""

    def __init__(self) -> None:
        self._shapes: Counter[tuple[int, ...]] = Counter()
        self._images = 0
        self._lock = Lock()

    def see(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Count an image as it was read."""
        with self._lock:
            self._images += 1
            if image.shape[0] != image.shape[1]:
                self._shapes[image.shape[:2]] += 1

    def told(self, name: str, what: str) -> None:
        """Say how many images of a data set are not square, of what sizes, and what is done with them."""
        count = self._shapes.total()
        if not count:
            return
        sizes = [
            f"{width} x {height} px" + (f" ({many:,})" if len(self._shapes) > 1 else "")
            for (height, width), many in self._shapes.most_common(NAMED_SIZES)
        ]
        more = ", …" if len(self._shapes) > NAMED_SIZES else ""
        be = "is" if count == 1 else "are"
        say(
            f"  {count:,} of {self._images:,} images of {name} {be} not square, but of "
            f"{', '.join(sizes)}{more}: {what}"
        )


NAMED_SIZES = 3
MIDDLE = "only their central square is used; `embedlab data pack --fit pad` keeps all of it"


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

    cut = squared(image)
    side = len(cut)
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
