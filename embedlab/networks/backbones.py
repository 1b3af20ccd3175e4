"""IR-SE-18: the residual backbone with squeeze-and-excitation that face recognition trains.

Sub-modules bear the names that InsightFace_Pytorch and cavaface give them (``input_layer.0``,
``body.3.res_layer.1``, ``body.2.shortcut_layer.0``, ``output_layer.3`` …), so that a state dict
trained there has the same keys.

References
----------
.. [1] Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019
   (the improved residual unit, BN-conv-BN-PReLU-conv-BN).
.. [2] Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

REDUCTION = 16
STRIDES = (2, 1, 2, 1, 2, 1, 2, 1)
SHRINKAGE = 16


def widths(width: int) -> tuple[int, ...]:
    """List the blocks' channels, which double at every second block."""
    return tuple(width * 2 ** (block // 2) for block in range(len(STRIDES)))


def memory_format(width: int, device: str) -> torch.memory_format:
    """Name the layout in memory that a network of this width is fastest in.

    Channels last, except on MPS, and except where channels are no multiple of eight: there oneDNN's
    backward pass of a strided 1×1 convolution writes out of bounds (torch 2.13, AVX2).
    """
    return torch.contiguous_format if device == "mps" or width % 8 else torch.channels_last


class SEModule(nn.Module):
    """Squeeze-and-excitation: weigh each channel by what the whole image says [2]_."""

    def __init__(self, channels: int, reduction: int = REDUCTION) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Scale every channel by its weight between 0 and 1."""
        weight: Tensor = self.sigmoid(self.fc2(self.relu(self.fc1(self.avg_pool(x)))))
        return x * weight


class Subsample(nn.Module):
    """Keep every ``stride``-th row and column: a max-pool of 1×1 windows, at no cost."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c i j"]:
        """Give a view of the kept pixels."""
        return x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride]


class IRSEBlock(nn.Module):
    """The improved residual unit [1]_ with squeeze-and-excitation; the stride is on the second conv."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module
        if channels == out_channels:
            self.shortcut_layer = Subsample(stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, out_channels, 3, 1, 1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            SEModule(out_channels),
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Add the residual branch to the shortcut."""
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


class IRSE18(nn.Module):
    """IR-SE-18: a 3×3 convolution, eight IR-SE blocks, and a linear layer to the embedding.

    Parameters
    ----------
    input_size
        Side of the input in pixels, a multiple of 16.
    width
        Channels of the first blocks; the others have 2, 4 and 8 times as many.
    dimension
        Length of the embedding.
    dropout
        Share of the last feature map that training drops.

    Raises
    ------
    ValueError
        If ``input_size`` is no positive multiple of 16.
    """

    def __init__(self, input_size: int, width: int = 64, dimension: int = 128, dropout: float = 0.4) -> None:
        super().__init__()
        if input_size < SHRINKAGE or input_size % SHRINKAGE:
            raise ValueError(f"input_size must be a positive multiple of {SHRINKAGE}, not {input_size}")
        self.input_size = input_size
        self.width = width
        self.dimension = dimension
        outs = widths(width)
        ins: Sequence[int] = (width, *outs[:-1])
        side = input_size // SHRINKAGE
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        self.body = nn.Sequential(*map(IRSEBlock, ins, outs, STRIDES))
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(outs[-1]),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(outs[-1] * side * side, dimension),
            nn.BatchNorm1d(dimension, affine=False),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Turn normalised images into embeddings, not of unit length."""
        out: Tensor = self.output_layer(self.body(self.input_layer(x)))
        return out
