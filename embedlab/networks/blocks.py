"""What several backbones are made of."""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

REDUCTION = 16

STRIDE = 16
"""How many input pixels a pixel of the last feature map stands for; input sizes are multiples of it."""


class Backbone(nn.Module):
    """A network of faces to vectors; `embedlab.networks.backbones.build` makes one by its name.

    Attributes
    ----------
    input_size
        Side of the input in pixels.
    dimension
        Length of the embedding.
    description
        What `embedlab.networks.backbones.rebuild` makes the same network of, in plain JSON.
    output_layers
        Names of the modules between the last feature map and the embedding.
    family
        What networks of this kind are called, whatever their depth and width.
    """

    input_size: int
    dimension: int
    description: dict[str, Any]
    output_layers: ClassVar[tuple[str, ...]] = ("output_layer",)
    family: ClassVar[str]


class Subsample(nn.Module):
    """Keep every ``stride``-th row and column: a max-pool of 1×1 windows, at no cost.

    Before 1×1 convolutions it does what a stride of theirs would. On a CPU the stride itself is not to be
    had: in channels-last layout oneDNN's gradient of such a kernel writes out of bounds where there are fewer
    channels than a register has numbers, 16 with AVX-512 and 8 with AVX2 (oneDNN 3.12, in torch 2.13). On a
    card the view costs copies, and a training step an eighth more, so that there the convolutions stride.

    Parameters
    ----------
    stride
        Rows and columns from one that is kept to the next.
    *pointwise
        The 1×1 convolutions that alone read what is kept.
    """

    def __init__(self, stride: int, *pointwise: nn.Conv2d) -> None:
        super().__init__()
        self.whole = stride
        self.stride = stride
        # In a tuple, so that their parameters have one name each.
        self.pointwise = pointwise

    def place(self, device: str) -> None:
        """Stride here, or have the convolutions do it where that is sound and faster."""
        theirs = self.whole if self.pointwise and device.startswith("cuda") else 1
        self.stride = self.whole // theirs
        for convolution in self.pointwise:
            convolution.stride = (theirs, theirs)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c i j"]:
        """Give a view of the kept pixels."""
        return x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride]


class SEModule(nn.Module):
    """Squeeze-and-excitation: weigh each channel by what the whole image says [1]_.

    References
    ----------
    .. [1] Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018.
    """

    def __init__(self, channels: int, reduction: int = REDUCTION, *, bias: bool = False) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Scale every channel by its weight between 0 and 1."""
        weight: Tensor = self.sigmoid(self.fc2(self.relu(self.fc1(self.avg_pool(x)))))
        return x * weight


def he_normal(network: nn.Module) -> None:
    """Draw the kernels with the spread that keeps the size of gradients through ReLUs (fan-out) [1]_.

    References
    ----------
    .. [1] He et al., "Delving Deep into Rectifiers", ICCV 2015, eq. 14.
    """
    for module in network.modules():
        # Where weights are read afterwards none are drawn: for those torch would load its compiler, 2 s.
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
