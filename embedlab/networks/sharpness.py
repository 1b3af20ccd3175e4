"""How sharp an image is: the variance of its Laplacian, on the device, of the image the network sees."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the grey value (ITU-R BT.601), as in OpenCV and Pillow."""


def sharpness(x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, " n"]:
    """Give the variance of the Laplacian of each grey image.

    The same figure as ``cv2.Laplacian(grey, cv2.CV_64F).var()``: 3×3 kernel with −4 in the middle, edges
    mirrored about the last pixel. It is 0 for a flat image, some units for a face brought up from 32 px,
    some hundreds for a sharp photograph, and grows with noise as with detail.

    Parameters
    ----------
    x
        RGB images, 0…255, at least 2 px a side; not normalised.

    Returns
    -------
    Tensor
        Float32, squared grey levels; without gradient.

    References
    ----------
    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study", ICPR 2000.
    """
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        red, green, blue = x.float().unbind(1)
        grey = GREY[0] * red + GREY[1] * green + GREY[2] * blue
        near = functional.pad(grey[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
        around = near[:, :-2, 1:-1] + near[:, 2:, 1:-1] + near[:, 1:-1, :-2] + near[:, 1:-1, 2:]
        return (around - 4.0 * grey).flatten(1).var(1, correction=0)
