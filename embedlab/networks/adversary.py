"""Gradient reversal: a classifier learns to read resolution from vectors, and the network to prevent it."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

HIDDEN = 64
STEEPNESS = 10.0


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, weight: float) -> Tensor:
        context.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -context.weight * gradient, None


def reversed_gradient(x: Float[Tensor, "n d"], weight: float) -> Float[Tensor, "n d"]:
    """Give ``x`` as it is, with −``weight`` times the gradient that comes back."""
    found: Tensor = _Reversed.apply(x, weight)  # type: ignore[no-untyped-call]
    return found


def strength(done: float) -> float:
    """Give the share of its weight that the reversed gradient has after a share p of the training.

    2 / (1 + e^(−10 p)) − 1: none at first, when there is nothing to read yet, nearly all after a half, as
    Ganin and Lempitsky have it.
    """
    return 2.0 / (1.0 + math.exp(-STEEPNESS * done)) - 1.0


def octaves(sides: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Give the classes that are read: ⌊log₂ side⌋, so that 8 to 15 px are one, 16 to 31 the next."""
    return torch.log2(sides.double()).floor().long()


class ResolutionReader(nn.Module):
    """A small network that reads the octave of an image's resolution from its vector, at length one.

    Its loss is a cross-entropy. The classifier descends it, and what made the vectors climbs it [1]_. Such a
    game circles where its weight is large, the more so with momentum [2]_: with a weight of 1 resolution was
    read as well afterwards as without, or better; with 0.1 worse. A reader that took no part must judge.

    Parameters
    ----------
    dimension
        Length of the embedding.
    largest
        Side in pixels of the network's input, the largest resolution.

    References
    ----------
    .. [1] Ganin, Y. and Lempitsky, V. Unsupervised domain adaptation by backpropagation. ICML 2015.
    .. [2] Gidel, G. et al. Negative momentum for improved game dynamics. AISTATS 2019.
    """

    def __init__(self, dimension: int, largest: int) -> None:
        super().__init__()
        classes = int(math.log2(largest)) + 1
        self.read = nn.Sequential(nn.Linear(dimension, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))

    def forward(
        self, vectors: Float[Tensor, "n d"], sides: Int[Tensor, " n"], weight: float
    ) -> Float[Tensor, ""]:
        """Give the mean loss of the reader, whose gradient for the vectors is reversed and weighed.

        Parameters
        ----------
        vectors
            Embeddings, not normalised.
        sides
            The resolution that each image shows, in pixels a side.
        weight
            What the reversed gradient is multiplied by.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            unit = functional.normalize(vectors.float())
            return functional.cross_entropy(self.read(reversed_gradient(unit, weight)), octaves(sides))
