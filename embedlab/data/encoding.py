"""How pixels become the bytes of a PNG or JPEG file."""

import io
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from embedlab.errors import UserError

Encode = Callable[["UInt8[np.ndarray, 'h w 3']"], bytes]
FORMATS = ("png", "jpg")


def encoder(format: str, quality: int = 95) -> Encode:
    """Give a function from an RGB image of shape (h, w, 3) to the bytes of a file.

    Parameters
    ----------
    format
        ``png``, which loses nothing, or ``jpg``, with the colours' resolution kept whole.
    quality
        Of JPEG, 1 to 100.

    Raises
    ------
    UserError
        If the format is neither, or the quality no number from 1 to 100.
    """
    if format not in FORMATS:
        raise UserError(f"images cannot be written as {format!r}: choose {' or '.join(FORMATS)}")
    if not 1 <= quality <= 100:
        raise UserError(f"a JPEG quality of {quality} does not exist: choose 1 to 100")
    # Deflate's higher levels take several times as long for a few per cent of the size.
    options = {"compress_level": 3} if format == "png" else {"quality": quality, "subsampling": 0}

    def encode(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG" if format == "png" else "JPEG", **options)
        return file.getvalue()

    return encode
