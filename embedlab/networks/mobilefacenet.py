"""MobileFaceNet: a million parameters, for devices that have no more to spare.

Sub-modules bear the names that InsightFace_Pytorch gives them (``conv_23.conv_dw.conv``,
``conv_3.model.0.project.bn``, ``conv_6_dw.conv``, ``linear`` …).

References
----------
.. [1] Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile
   Devices", CCBR 2018, table 1. Code: ``TreB1eN/InsightFace_Pytorch``, ``model.py``.
.. [2] Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018.
"""

from jaxtyping import Float
from torch import Tensor, nn

from embedlab.networks.blocks import STRIDE, Backbone, he_normal


class ConvBlock(nn.Module):
    """A convolution, BatchNorm, and PReLU unless it is to be linear."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int = 1, padding: int = 0, *, groups: int = 1,
        linear: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)
        if not linear:
            self.prelu = nn.PReLU(out)
        self.linear = linear

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Apply them in turn."""
        out: Tensor = self.bn(self.conv(x))
        return out if self.linear else self.prelu(out)


class DepthWise(nn.Module):
    """The inverted residual [2]_: widen, convolve each channel by itself, narrow; a shortcut at stride 1."""

    def __init__(self, channels: int, out: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv = ConvBlock(channels, inner, 1)
        self.conv_dw = ConvBlock(inner, inner, 3, stride, 1, groups=inner)
        self.project = ConvBlock(inner, out, 1, linear=True)
        self.residual = stride == 1

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Apply the three convolutions, and add the input if there is a shortcut."""
        out: Tensor = self.project(self.conv_dw(self.conv(x)))
        return x + out if self.residual else out


class Repeated(nn.Module):
    """Several inverted residuals of one shape."""

    def __init__(self, channels: int, blocks: int, inner: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*(DepthWise(channels, channels, inner, 1) for _ in range(blocks)))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Apply them in turn."""
        out: Tensor = self.model(x)
        return out


class MobileFaceNet(Backbone):
    """MobileFaceNet [1]_: inverted residuals, and a depth-wise convolution over the whole last feature map.

    Parameters
    ----------
    input_size
        Side of the input in pixels, a multiple of 16.
    width
        Channels of the first stage; the later ones have 2 times, the last 8 times as many.
    dimension
        Length of the embedding.
    dropout
        Share of the features before the embedding that training drops.
    """

    output_layers = ("conv_6_dw", "linear", "bn")
    family = "MobileFaceNet"

    def __init__(self, input_size: int, width: int = 64, dimension: int = 128, dropout: float = 0.4) -> None:
        super().__init__()
        self.input_size, self.dimension = input_size, dimension
        w, side = width, input_size // STRIDE
        self.conv1 = ConvBlock(3, w, 3, 2, 1)
        self.conv2_dw = ConvBlock(w, w, 3, 1, 1, groups=w)
        self.conv_23 = DepthWise(w, w, 2 * w, 2)
        self.conv_3 = Repeated(w, 4, 2 * w)
        self.conv_34 = DepthWise(w, 2 * w, 4 * w, 2)
        self.conv_4 = Repeated(2 * w, 6, 4 * w)
        self.conv_45 = DepthWise(2 * w, 2 * w, 8 * w, 2)
        self.conv_5 = Repeated(2 * w, 2, 4 * w)
        self.conv_6_sep = ConvBlock(2 * w, 8 * w, 1)
        self.conv_6_dw = ConvBlock(8 * w, 8 * w, side, groups=8 * w, linear=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(8 * w, dimension, bias=False)
        self.bn = nn.BatchNorm1d(dimension)
        he_normal(self)

    def forward(self, x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Turn normalised images into embeddings, not of unit length."""
        x = self.conv_3(self.conv_23(self.conv2_dw(self.conv1(x))))
        x = self.conv_5(self.conv_45(self.conv_4(self.conv_34(x))))
        x = self.conv_6_dw(self.conv_6_sep(x)).flatten(1)
        out: Tensor = self.bn(self.linear(self.dropout(x)))
        return out
