"""A network that can be run on images with weights of one's choice: what an analysis asks for beside vectors.

Whoever has networks and images lends them to the lab, as ``Lab.live``; analyses know them by this alone.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from embedlab.lab.weights import LayerWeights, Wire


class Live(Protocol):
    """A network, and some images of people in two groups: those who set norm statistics, and who judge."""

    @property
    def title(self) -> str:
        """Images and network in words."""

    @property
    def model(self) -> str:
        """The network's name."""

    @property
    def probe(self) -> str:
        """What the images are seen under."""

    @property
    def fingerprint(self) -> str:
        """A hash of weights and images."""

    @property
    def weights(self) -> LayerWeights:
        """Its convolutions and norm layers."""

    @property
    def tensors(self) -> Mapping[str, np.ndarray]:
        """All its weights and statistics by name."""

    @property
    def wires(self) -> Mapping[str, Wire]:
        """Which channels each layer with weights reads and writes, linear ones too."""

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """The people of the images that judge, 0…people−1."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of these people and images, by which draws are told apart."""

    def embed(self, tensors: Mapping[str, np.ndarray]) -> Float[np.ndarray, "n d"]:
        """Embed the images that judge by other weights; norm statistics are set by the other images."""

    def responses(self) -> Mapping[str, Float[np.ndarray, "n k"]]:
        """Give what each convolution says of the images that judge, averaged to few places."""
