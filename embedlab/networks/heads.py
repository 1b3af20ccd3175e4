"""Classification heads by name: what turns embeddings into a loss while training."""

from embedlab.errors import UserError
from embedlab.networks.margins import ArcFace, CosFace, Head, Softmax, SphereFace
from embedlab.networks.quality_heads import AdaFace, AdaFaceSharpness, MagFace, MagFaceSharpness

__all__ = [
    "NAMES",
    "AdaFace",
    "AdaFaceSharpness",
    "ArcFace",
    "CosFace",
    "Head",
    "MagFace",
    "MagFaceSharpness",
    "Softmax",
    "SphereFace",
    "build",
]

NAMES = (
    "softmax",
    "sphereface",
    "cosface",
    "arcface",
    "adaface",
    "magface",
    "adaface_sharpness",
    "magface_sharpness",
)


def build(
    name: str,
    dimension: int,
    classes: int,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    margin_high: float = 0.8,
    easy_margin: bool = False,
) -> Head:
    """Make a head by its name; its centres are drawn from torch's generator.

    Parameters
    ----------
    name
        One of ``NAMES``.
    dimension
        Length of the embedding.
    classes
        Number of identities.
    scale
        The scale s; ``softmax`` and ``sphereface`` have none: there the embedding's length is the scale.
    margin
        The margin m: radians for ``arcface`` (usually 0.5), a cosine for ``cosface`` (0.35), a whole factor
        for ``sphereface`` (4), both of radians and cosine for ``adaface`` (0.4), radians at the lowest
        quality for ``magface`` (0.45); none for ``softmax``.
    margin_high
        MagFace's margin at the highest quality, in radians (0.8).
    easy_margin
        ArcFace and MagFace: add the margin only where the angle is below 90°.

    Raises
    ------
    UserError
        If there is no head of that name, or it cannot have such a margin.
    """
    sizes = (dimension, classes)
    match name:
        case "softmax":
            return Softmax(*sizes)
        case "sphereface":
            if margin != int(margin) or margin < 1:
                raise UserError(f"sphereface's margin must be a whole factor, not {margin:g}: set margin = 4")
            return SphereFace(*sizes, int(margin))
        case "cosface":
            return CosFace(*sizes, scale, margin)
        case "arcface":
            return ArcFace(*sizes, scale, margin, easy_margin=easy_margin)
        case "adaface" | "adaface_sharpness":
            return (AdaFaceSharpness if name.endswith("sharpness") else AdaFace)(*sizes, scale, margin)
        case "magface" | "magface_sharpness":
            if margin > margin_high:
                raise UserError(
                    f"{name}'s margin {margin:g} is above its margin_high {margin_high:g}: lower margin"
                )
            kind = MagFaceSharpness if name.endswith("sharpness") else MagFace
            return kind(*sizes, scale, margin, margin_high, easy_margin=easy_margin)
    raise UserError(f"unknown head {name!r}: choose one of {', '.join(NAMES)}")
