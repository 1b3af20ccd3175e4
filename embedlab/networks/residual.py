"""IR and IR-SE: the residual backbones that face recognition trains, with 18, 50 or 100 layers.

Sub-modules bear the names that cavaface, face.evoLVe and InsightFace_Pytorch give them
(``input_layer.0``, ``body.3.res_layer.1``, ``body.2.shortcut_layer.0``, ``output_layer.3`` …).
The sources differ in four details, which `Layout` names:

================================================  ==============  ===================  ===============
source                                            ``inner_norm``  ``first_shortcut``   ``last_affine``
================================================  ==============  ===================  ===============
here; cavaface (``resnet_irse.py``)               no              ``"subsample"``      no
face.evoLVe, InsightFace_Pytorch                  no              ``"subsample"``      yes
AdaFace (``net.py``)                              yes             ``"subsample"``      no
InsightFace (``arcface_torch``, ``iresnet.py``)   yes             ``"convolution"``    yes
================================================  ==============  ===================  ===============

References
----------
.. [1] Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019
   (the improved residual unit, BN-conv-BN-PReLU-conv-BN).
.. [2] Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from embedlab.networks.blocks import STRIDE, Backbone, SEModule, Subsample, he_normal

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
"""Layers → residual blocks in each of the four stages."""

STEMS = (1, 2, 4)
"""Strides of the first convolution."""

KEEPING = (0, 3)
"""Stages that keep the size, one for each halving by the stem."""


@dataclass(frozen=True)
class Layout:
    """In what details the network differs from source to source."""

    inner_norm: bool = False
    """A BatchNorm between the first convolution of a block and its PReLU, as in the paper [1]_."""
    first_shortcut: Literal["subsample", "convolution"] = "subsample"
    """Shortcut of the first block, whose channels do not change: every second pixel, or a convolution."""
    last_affine: bool = False
    """A factor and a bias in the BatchNorm of the embedding."""
    linear_bias: bool = True
    """A bias in the linear layer."""


class IRBlock(nn.Module):
    """The improved residual unit [1]_, with or without squeeze-and-excitation [2]_.

    The stride is on the second convolution.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        stride: int,
        *,
        squeeze: bool,
        inner_norm: bool = False,
        convolved: bool = False,
    ) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module
        if convolved or channels != out_channels:
            pointwise = nn.Conv2d(channels, out_channels, 1, bias=False)
            self.shortcut_layer = nn.Sequential(
                OrderedDict(
                    {
                        "subsample": Subsample(stride, pointwise),
                        "0": pointwise,
                        "1": nn.BatchNorm2d(out_channels),
                    }
                )
            )
        else:
            self.shortcut_layer = Subsample(stride)
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, out_channels, 3, 1, 1, bias=False),
            *([nn.BatchNorm2d(out_channels)] if inner_norm else []),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            *([SEModule(out_channels)] if squeeze else []),
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Add the residual branch to the shortcut."""
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


class IR(Backbone):
    """IR or IR-SE: a 3×3 convolution, four stages of residual blocks, a linear layer to the embedding.

    Parameters
    ----------
    layers
        18, 50 or 100, see `BLOCKS`.
    input_size
        Side of the input in pixels, a multiple of 16.
    width
        Channels of the first stage; the others have 2, 4 and 8 times as many.
    dimension
        Length of the embedding.
    dropout
        Share of the last feature map that training drops.
    squeeze
        Squeeze-and-excitation at the end of each block (IR-SE).
    stem
        Stride of the first convolution, 1, 2 or 4; above 1 its kernel is twice as wide. The first stage, and
        with 4 the last, then keep the size, so that the last feature map is as large as without.
    layout
        The details that differ between sources.
    """

    family = "IR-SE"

    def __init__(
        self,
        layers: int,
        input_size: int,
        width: int = 64,
        dimension: int = 128,
        dropout: float = 0.4,
        *,
        squeeze: bool,
        stem: int = 1,
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        layout = layout or Layout()
        self.input_size, self.dimension = input_size, dimension
        outs = [width * 2**stage for stage, blocks in enumerate(BLOCKS[layers]) for _ in range(blocks)]
        kept = KEEPING[: STEMS.index(stem)]
        strides = [
            2 if block == 0 and stage not in kept else 1
            for stage, blocks in enumerate(BLOCKS[layers])
            for block in range(blocks)
        ]
        ins: Sequence[int] = (width, *outs[:-1])
        side = input_size // STRIDE
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, width, 3 if stem == 1 else 2 * stem, stem, max(1, stem // 2), bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
        )
        self.body = nn.Sequential(
            *(
                IRBlock(
                    before,
                    after,
                    stride,
                    squeeze=squeeze,
                    inner_norm=layout.inner_norm,
                    convolved=block == 0 and layout.first_shortcut == "convolution",
                )
                for block, (before, after, stride) in enumerate(zip(ins, outs, strides, strict=True))
            )
        )
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(outs[-1]),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(outs[-1] * side * side, dimension, bias=layout.linear_bias),
            nn.BatchNorm1d(dimension, affine=layout.last_affine),
        )
        he_normal(self)

    def forward(self, x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Turn normalised images into embeddings, not of unit length."""
        out: Tensor = self.output_layer(self.body(self.input_layer(x)))
        return out
