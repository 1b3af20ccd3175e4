"""The heads whose margin is one number: softmax, SphereFace, CosFace and ArcFace.

A head turns embeddings into a loss while training, and is thrown away after. θ is the angle between an
embedding x and the centre of a class, which is a row of the head's ``weight``; the own class must win by
a margin. Logits are float32 also under autocast (float64 for float64 embeddings).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

# At cos θ = ±1 the slope of sin θ = √(1 − cos² θ) is infinite; so near to it float32 is exact to 2⁻²⁴.
CLOSEST = 1.0 - 2.0**-22


class Head(nn.Module):
    """Centres of classes, and the loss of embeddings against them.

    A head is its own class's term: the logit of another class is s·cos θ, that of the own class s·``own``.

    Parameters
    ----------
    dimension
        Length of the embedding.
    classes
        Number of identities.
    scale
        The scale s.
    margin
        The margin m.

    Attributes
    ----------
    weight
        The centres, (classes, dimension).
    needs_sharpness
        Whether ``forward`` must be given the images' sharpness (``embedlab.networks.sharpness``).
    needs_images
        Whether it must be given the sharp images themselves in that place.
    whole_batch
        Whether ``forward`` gets the rows of all processes, not only of this one; statistics of the batch
        are then not gathered again.
    """

    needs_sharpness = False
    needs_images = False

    def __init__(self, dimension: int, classes: int, scale: float = 1.0, margin: float = 0.0) -> None:
        super().__init__()
        self.scale, self.margin = scale, margin
        self.whole_batch = False
        self.weight = nn.Parameter(torch.empty(classes, dimension))
        nn.init.xavier_uniform_(self.weight)

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        sharpness: Float[Tensor, " n"] | None = None,
        *,
        step: int = 0,
    ) -> Float[Tensor, ""]:
        """Give the mean loss of a batch.

        Parameters
        ----------
        embeddings
            As the network gives them, not normalised.
        labels
            Class of each row.
        sharpness
            Sharpness of each row's image, where ``needs_sharpness``.
        step
            Number of the training step, from 0.
        """
        loss = functional.cross_entropy(self.logits(embeddings, labels, sharpness, step=step), labels)
        penalty = self.penalty(embeddings)
        return loss if penalty is None else loss + penalty

    def logits(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        sharpness: Float[Tensor, " n"] | None = None,
        *,
        step: int = 0,
    ) -> Float[Tensor, "n classes"]:
        """Give the logits, the own class's with its margin, for a cross-entropy.

        A label of −1 says that the own class is not among this head's; the row then has no margin.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            x = precise(embeddings)
            # Before the cosines, and also where there are none: a head may keep statistics of the batch.
            margins = self.margins(x, sharpness, step)
            return self.scales(x) * with_own(
                self.cosines(x), labels, lambda cosine: self.own(cosine, margins)
            )

    def cosines(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n classes"]:
        """Give cos θ between embeddings and centres."""
        return functional.linear(functional.normalize(x), functional.normalize(precise(self.weight)))

    def scales(self, x: Float[Tensor, "n d"]) -> float | Float[Tensor, "n 1"]:  # noqa: ARG002
        """Give the scale s: one for all, or each row's."""
        return self.scale

    def margins(self, x: Float[Tensor, "n d"], sharpness: Tensor | None, step: int) -> Any:  # noqa: ARG002
        """Give what ``own`` needs beside the cosine: the margin of all, or each row's, (n, 1)."""
        return self.margin

    def own(self, cosine: Float[Tensor, "n 1"], m: Any) -> Float[Tensor, "n 1"]:  # noqa: ARG002
        """Give the term of the own class from its cosine."""
        return cosine

    def penalty(self, embeddings: Float[Tensor, "n d"]) -> Float[Tensor, ""] | None:  # noqa: ARG002
        """Give what the loss has beside the cross-entropy, or None."""
        return None


def precise(x: Tensor) -> Tensor:
    """Bring half precision to float32; what is more precise stays so."""
    return x if x.dtype == torch.float64 else x.float()


def with_own(
    scores: Float[Tensor, "n classes"],
    labels: Int[Tensor, " n"],
    change: Callable[[Float[Tensor, "n 1"]], Float[Tensor, "n 1"]],
) -> Float[Tensor, "n classes"]:
    """Change each row's score of its own class; a row labelled −1 stays as it is."""
    if not scores.shape[1]:
        return scores
    at = labels.clamp(min=0)[:, None]
    own = scores.gather(1, at)
    return scores.scatter(1, at, torch.where(labels[:, None] < 0, own, change(own)))


def farther(own: Tensor, margin: float | Tensor, *, easy: bool) -> Tensor:
    """Give cos(θ + m) from cos θ; beyond θ + m = π, where it would rise again, cos θ − m·sin m."""
    cos: Callable[..., Any] = torch.cos if isinstance(margin, Tensor) else math.cos
    sin: Callable[..., Any] = torch.sin if isinstance(margin, Tensor) else math.sin
    own = own.clamp(-CLOSEST, CLOSEST)
    sine = torch.sqrt(1.0 - own * own)
    shifted = own * cos(margin) - sine * sin(margin)
    if easy:
        return torch.where(own > 0.0, shifted, own)
    return torch.where(own <= cos(math.pi - margin), own - margin * sin(margin), shifted)


class Softmax(Head):
    """Plain linear classifier with a bias: logits are x·w + b, without scale and margin.

    Weights are drawn by Xavier's rule and biases begin at 0, as in cavaface (``head/metrics.py``).
    """

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__(dimension, classes)
        self.bias = nn.Parameter(torch.zeros(classes))

    def logits(self, embeddings: Float[Tensor, "n d"], *_: Any, **__: Any) -> Float[Tensor, "n classes"]:
        """Give the logits."""
        with torch.autocast(embeddings.device.type, enabled=False):
            x = precise(embeddings)
            return functional.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class SphereFace(Head):
    """Multiplicative angular margin (A-Softmax): the own class must win though its angle is m-fold.

    The logit of the own class is ‖x‖·(λ·cos θ + ψ(θ)) / (1 + λ), of any other ‖x‖·cos θ, where
    ψ(θ) = (−1)ᵏ·cos(mθ) − 2k for θ between kπ/m and (k + 1)π/m falls from 1 to 1 − 2m. The length of the
    embedding is the scale. λ falls from step to step, since with the whole margin no network finds its
    way at first: max(``lowest``, ``base``·(1 + ``gamma``·(step + 1))^−``power``).

    Parameters
    ----------
    dimension, classes
        As for any head.
    margin
        The factor m, a whole number.
    base, gamma, power, lowest
        How λ falls; the values of the authors' 20-layer network.

    Raises
    ------
    ValueError
        If the factor is not whole.

    References
    ----------
    Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition", CVPR 2017, equation 7, and
    github.com/wy1iu/sphereface (``margin_inner_product_layer.cpp``, ``sphereface_model.prototxt``).
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        margin: float = 4,
        *,
        base: float = 1000.0,
        gamma: float = 0.12,
        power: float = 1.0,
        lowest: float = 5.0,
    ) -> None:
        if margin != int(margin) or margin < 1:
            raise ValueError(f"margin must be a whole factor, not {margin:g}: set margin = 4")
        super().__init__(dimension, classes, margin=int(margin))
        self.base, self.gamma, self.power, self.lowest = base, gamma, power, lowest

    def softness(self, step: int) -> float:
        """Give λ at a step, from 0."""
        falling: float = self.base * (1.0 + self.gamma * (step + 1)) ** -self.power
        return max(self.lowest, falling)

    def margins(self, x: Float[Tensor, "n d"], sharpness: Tensor | None, step: int) -> float:  # noqa: ARG002
        """Give λ."""
        return self.softness(step)

    def scales(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
        """Give ‖x‖."""
        length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        return length

    def own(self, cosine: Float[Tensor, "n 1"], m: float) -> Float[Tensor, "n 1"]:
        """Give (λ·cos θ + ψ(θ)) / (1 + λ)."""
        return (m * cosine + self._psi(cosine)) / (1.0 + m)

    def _psi(self, own: Tensor) -> Tensor:
        own = own.clamp(-1.0, 1.0)
        fold = torch.floor(self.margin * torch.acos(own.detach()) / math.pi)
        # The cosine of the multiple angle as a polynomial, whose slope is finite at cos θ = ±1.
        before, multiple = torch.ones_like(own), own
        for _ in range(int(self.margin) - 1):
            before, multiple = multiple, 2.0 * own * multiple - before
        return (1.0 - 2.0 * (fold % 2.0)) * multiple - 2.0 * fold


class CosFace(Head):
    """Additive cosine margin: the logit of the own class is s·(cos θ − m), of any other s·cos θ.

    Parameters
    ----------
    dimension, classes, scale
        As for any head.
    margin
        The margin m, a difference of cosines.

    References
    ----------
    Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018, equation 4.
    """

    def __init__(self, dimension: int, classes: int, scale: float = 64.0, margin: float = 0.35) -> None:
        super().__init__(dimension, classes, scale, margin)

    def own(self, cosine: Float[Tensor, "n 1"], m: float) -> Float[Tensor, "n 1"]:
        """Give cos θ − m."""
        return cosine - m


class ArcFace(Head):
    """Additive angular margin: the own class must win though its angle is made ``margin`` larger.

    The logit of the own class is s·cos(θ + m), of any other s·cos θ, where θ is the angle between
    the embedding and the class's centre. Beyond θ + m = π, where the cosine would rise again, it
    goes on as s·(cos θ − m·sin m).

    Parameters
    ----------
    dimension, classes, scale
        As for any head.
    margin
        The margin m in radians.
    easy_margin
        Add the margin only where θ < π/2.

    References
    ----------
    Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019.
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.5,
        *,
        easy_margin: bool = False,
    ) -> None:
        super().__init__(dimension, classes, scale, margin)
        self.easy_margin = easy_margin

    def own(self, cosine: Float[Tensor, "n 1"], m: float | Float[Tensor, "n 1"]) -> Float[Tensor, "n 1"]:
        """Give cos(θ + m)."""
        return farther(cosine, m, easy=self.easy_margin)
