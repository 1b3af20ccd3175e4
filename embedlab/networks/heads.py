"""Classification heads by name: what turns embeddings into a loss while training."""

from embedlab.errors import UserError
from embedlab.networks.derivenet import DeriveNet
from embedlab.networks.margins import ArcFace, CosFace, Head, Softmax, SphereFace
from embedlab.networks.quality_heads import AdaFace, AdaFaceSharpness, MagFace, MagFaceSharpness

__all__ = [
    "NAMES",
    "AdaFace",
    "AdaFaceSharpness",
    "ArcFace",
    "CosFace",
    "DeriveNet",
    "Head",
    "MagFace",
    "MagFaceSharpness",
    "Softmax",
    "SphereFace",
    "build",
]

HEADS: dict[str, tuple[type[Head], tuple[str, ...]]] = {
    "softmax": (Softmax, ()),
    "sphereface": (SphereFace, ("margin",)),
    "cosface": (CosFace, ("scale", "margin")),
    "arcface": (ArcFace, ("scale", "margin", "easy_margin")),
    "adaface": (AdaFace, ("scale", "margin")),
    "magface": (MagFace, ("scale", "margin", "margin_high", "easy_margin")),
    "adaface_sharpness": (AdaFaceSharpness, ("scale", "margin")),
    "magface_sharpness": (MagFaceSharpness, ("scale", "margin", "margin_high", "easy_margin")),
    "derivenet": (DeriveNet, ("margin",)),
}
"""Name → the head, and which of ``build``'s options it has."""
NAMES = tuple(HEADS)


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
        The scale s; ``softmax``, ``sphereface`` and ``derivenet`` have none: there the embedding's length is
        the scale.
    margin
        The margin m: radians for ``arcface`` (usually 0.5), a cosine for ``cosface`` (0.35), a whole factor
        for ``sphereface`` (4), both of radians and cosine for ``adaface`` (0.4), radians at the lowest
        quality for ``magface`` (0.45), a factor of the likeness of two people for ``derivenet`` (1); none for
        ``softmax``.
    margin_high
        MagFace's margin at the highest quality, in radians (0.8).
    easy_margin
        ArcFace and MagFace: add the margin only where the angle is below 90°.

    Raises
    ------
    UserError
        If there is no head of that name, or it cannot have such a margin.
    """
    if name not in HEADS:
        raise UserError(f"unknown head {name!r}: choose one of {', '.join(NAMES)}")
    kind, has = HEADS[name]
    options = {"scale": scale, "margin": margin, "margin_high": margin_high, "easy_margin": easy_margin}
    try:
        return kind(dimension, classes, **{option: options[option] for option in has})
    except ValueError as error:
        raise UserError(f"{name}'s {error}") from None
