"""Fused networks: several backbones look at one image, and their embeddings become one."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from embedlab.errors import UserError
from embedlab.networks.blocks import Backbone


class Fused(Backbone):
    """Backbones side by side, whose embeddings are added up or put one after the other.

    Each part sees the image at its own input size. A part may be shown less than that: the image is shrunk
    first, as a degradation does to a data set.

    Parameters
    ----------
    parts
        The backbones.
    fusion
        ``"sum"`` or ``"concatenate"``.
    shrink
        For each part the pixels its image is shrunk to first, 0 for as it is; empty shrinks none.

    Attributes
    ----------
    input_size
        The largest of the parts'.
    dimension
        The parts' own if they are added up, else all together.

    Raises
    ------
    UserError
        If there are no parts, embeddings that are added up differ in length, or ``shrink`` is not one
        number for each part.
    """

    output_layers = ()
    family = "fused"

    def __init__(
        self,
        parts: Sequence[Backbone],
        fusion: Literal["sum", "concatenate"] = "sum",
        shrink: Sequence[int] = (),
    ) -> None:
        super().__init__()
        dimensions = [part.dimension for part in parts]
        if not parts:
            raise UserError("a fused network has no parts: name the trained models to fuse")
        if fusion not in ("sum", "concatenate"):
            raise UserError(f"unknown fusion {fusion!r}: choose sum or concatenate")
        if fusion == "sum" and len(set(dimensions)) > 1:
            raise UserError(
                f"embeddings of lengths {', '.join(map(str, dimensions))} cannot be added up: fuse models of "
                "one dimension, or choose fusion = concatenate"
            )
        if (shrink and len(shrink) != len(parts)) or min(shrink, default=0) < 0:
            raise UserError(
                f"shrink is {'+'.join(map(str, shrink))} for {len(parts)} parts: give each part one number "
                "of pixels, 0 for as it is"
            )
        self.parts = nn.ModuleList(parts)
        self.fusion = fusion
        self.shrink = tuple(shrink) or (0,) * len(parts)
        self.sizes = tuple(part.input_size for part in parts)
        self.input_size = max(self.sizes)
        self.dimension = dimensions[0] if fusion == "sum" else sum(dimensions)
        self.description = {
            "backbone": "fused",
            "parts": [part.description for part in parts],
            "fusion": fusion,
            "shrink": list(self.shrink),
        }

    def forward(self, x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Turn normalised images into embeddings, not of unit length."""
        embeddings = []
        for part, size, pixels in zip(self.parts, self.sizes, self.shrink, strict=True):
            shown = brought(x, pixels) if 0 < pixels < x.shape[-1] else x
            embeddings.append(part(brought(shown, size)))
        if self.fusion == "sum":
            return torch.stack(embeddings).sum(0)
        return torch.cat(embeddings, dim=1)


def brought(x: Float[Tensor, "n c s s"], size: int) -> Float[Tensor, "n c t t"]:
    """Resize images as PIL's bilinear filter does, which antialiases when shrinking; no rounding.

    Resizing is linear, and its weights add up to one, so normalised images may be resized as well as those
    of 0…255.
    """
    if x.shape[-1] == size:
        return x
    resized: Tensor = functional.interpolate(
        x, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return resized
