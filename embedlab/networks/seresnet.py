"""SE-ResNet-50, with which VGGFace2 was published: 2048 pooled features, or an embedding of them.

The variant is the authors' (Caffe's): the stride of a stage is on its first 1×1 convolution, and the first
max-pool has no padding and rounds up. At 224 px the last feature map has 7×7 pixels.

References
----------
.. [1] Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, table 1.
.. [2] Cao et al., "VGGFace2: A dataset for recognising faces across pose and age", FG 2018. Code:
   ``cydonia999/VGGFace2-pytorch``, ``models/senet.py``; shorter embeddings are the authors'
   ``senet50_256_pytorch`` (``feat_extract``, without a bias).
"""

from jaxtyping import Float
from torch import Tensor, nn

from embedlab.networks.blocks import Backbone, SEModule, Subsample, he_normal

BLOCKS = (3, 4, 6, 3)
EXPANSION = 4
"""A block's output channels, in its inner ones."""


class SEBottleneck(nn.Module):
    """A 1×1, a 3×3 and a 1×1 convolution, squeeze-and-excitation, and the shortcut [1]_."""

    def __init__(self, channels: int, inner: int, stride: int, *, convolved: bool) -> None:
        super().__init__()
        out = EXPANSION * inner
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.se = SEModule(out, bias=True)
        self.relu = nn.ReLU(inplace=True)
        # Without a convolution the shortcut is the input itself, and its stride 1.
        self.subsample = Subsample(1)
        self.downsample: nn.Module = nn.Identity()
        if convolved:
            pointwise = nn.Conv2d(channels, out, 1, bias=False)
            self.downsample = nn.Sequential(pointwise, nn.BatchNorm2d(out))
            self.subsample = Subsample(stride, self.conv1, pointwise)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Add the weighed branch to the shortcut."""
        x = self.subsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        out: Tensor = self.relu(self.se(self.bn3(self.conv3(y))) + self.downsample(x))
        return out


class SEResNet50(Backbone):
    """SE-ResNet-50 up to its pooled features, and a linear layer to the embedding if that is shorter.

    Parameters
    ----------
    input_size
        Side of the input in pixels, a multiple of 16.
    width
        Inner channels of the first stage; the others have 2, 4 and 8 times as many.
    dimension
        Length of the embedding; ``32 * width`` (2048) gives the pooled features themselves.
    dropout
        Share of the pooled features that training drops.
    """

    family = "SE-ResNet"

    def __init__(self, input_size: int, width: int = 64, dimension: int = 128, dropout: float = 0.4) -> None:
        super().__init__()
        self.input_size, self.dimension = input_size, dimension
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = width
        stages = []
        for stage, blocks in enumerate(BLOCKS):
            inner = width * 2**stage
            layers = []
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 0 else 1
                layers.append(SEBottleneck(channels, inner, stride, convolved=block == 0))
                channels = EXPANSION * inner
            stages.append(nn.Sequential(*layers))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.output_layer = nn.Sequential(nn.Flatten(), nn.Dropout(dropout))
        if dimension != channels:
            self.output_layer.append(nn.Linear(channels, dimension, bias=False))
        he_normal(self)

    def forward(self, x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Turn normalised images into embeddings, not of unit length."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        out: Tensor = self.output_layer(self.avgpool(x))
        return out
