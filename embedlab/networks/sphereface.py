"""SphereFace-20: twenty layers of 3×3 convolutions and PReLUs, with and without BatchNorm.

Sub-modules bear the names of the authors' network (``conv1_1``, ``relu1_1`` … ``fc5``), which
``clcarwin/sphereface_pytorch`` has too. There the input has 112×96 px; here it is square.

References
----------
.. [1] Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition", CVPR 2017, table 2. Code:
   ``wy1iu/sphereface``, ``train/code/sphereface_model.prototxt``.
.. [2] Ioffe and Szegedy, "Batch Normalization", ICML 2015. On the embedding too, as
   ``ydwen/opensphere``, ``model/backbone/sfnet.py``.
"""

from jaxtyping import Float
from torch import Tensor, nn

from embedlab.networks.blocks import STRIDE, Backbone, he_normal

LAYERS = (3, 5, 9, 3)
"""Convolutions in each stage: the first with stride 2, then pairs with a shortcut."""
SPREAD = 0.01
"""Standard deviation that the kernels of the pairs start with; so each pair begins as the identity."""


class SphereFace20(Backbone):
    """The 20-layer network of SphereFace [1]_.

    Parameters
    ----------
    input_size
        Side of the input in pixels, a multiple of 16.
    width
        Channels of the first stage; the others have 2, 4 and 8 times as many.
    dimension
        Length of the embedding.
    dropout
        Share of the last feature map that training drops.
    normalised
        A BatchNorm between each convolution and its PReLU and on the embedding, and none of the
        convolutions' biases [2]_.
    """

    output_layers = ("fc5", "bn5")
    family = "SphereFace"

    def __init__(
        self,
        input_size: int,
        width: int = 64,
        dimension: int = 128,
        dropout: float = 0.4,
        *,
        normalised: bool = False,
    ) -> None:
        super().__init__()
        self.input_size, self.dimension = input_size, dimension
        self.normalised = normalised
        channels = 3
        for stage, layers in enumerate(LAYERS, 1):
            out = width * 2 ** (stage - 1)
            for layer in range(1, layers + 1):
                first = layer == 1
                self.add_module(
                    f"conv{stage}_{layer}",
                    nn.Conv2d(channels, out, 3, 2 if first else 1, 1, bias=first and not normalised),
                )
                if normalised:
                    self.add_module(f"bn{stage}_{layer}", nn.BatchNorm2d(out))
                self.add_module(f"relu{stage}_{layer}", nn.PReLU(out))
                channels = out
        self.dropout = nn.Dropout(dropout)
        self.fc5 = nn.Linear(channels * (input_size // STRIDE) ** 2, dimension)
        self.bn5 = nn.BatchNorm1d(dimension) if normalised else nn.Identity()
        self.start()

    def start(self) -> None:
        """Draw the weights: as the authors do, or for BatchNorm's sake as for other networks."""
        if self.normalised:
            he_normal(self)
            return
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # See ``he_normal``.
                nn.init.normal_(module.weight, std=SPREAD)

    def forward(self, x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Turn normalised images into embeddings, not of unit length."""
        for stage, layers in enumerate(LAYERS, 1):
            x = self._layer(x, stage, 1)
            for layer in range(2, layers, 2):
                x = x + self._layer(self._layer(x, stage, layer), stage, layer + 1)
        out: Tensor = self.bn5(self.fc5(self.dropout(x.flatten(1))))
        return out

    def _layer(self, x: Tensor, stage: int, layer: int) -> Tensor:
        for kind in ("conv", "bn", "relu") if self.normalised else ("conv", "relu"):
            x = self.get_submodule(f"{kind}{stage}_{layer}")(x)
        return x
