"""The heads whose margin follows the quality of each image: AdaFace, MagFace, and both by sharpness.

AdaFace and MagFace read the quality off the length of the embedding. The length, though, is what the
network makes of an image; the two ``…Sharpness`` heads take the Laplacian sharpness of the image itself
(``embedlab.networks.sharpness``), as log(1 + variance), since variances of the Laplacian lie over several
powers of ten.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from embedlab.networks.collectives import gathered
from embedlab.networks.margins import ArcFace, Head, precise


class AdaFace(Head):
    """Margin whose kind follows the quality: hard images of high quality count most, or those of low least.

    With the quality ẑ = clip((q − mean) / std · h, −1, 1), the logit of the own class is
    s·(cos(θ − m·ẑ) − (m + m·ẑ)), of any other s·cos θ: at ẑ = −1 ArcFace's, at 0 CosFace's margin. q is
    the length of the embedding, clipped to 0.001…100 and without gradient; mean and standard deviation are
    running ones over the batches (of all processes), kept in the state dict and updated in training mode.

    Parameters
    ----------
    dimension, classes, scale
        As for any head.
    margin
        The margin m; the authors' models have 0.4.
    h
        How wide ẑ spreads: with 0.333, three standard deviations reach ±1.
    t_alpha
        Weight of the newest batch in the running statistics.

    References
    ----------
    Kim et al., "AdaFace: Quality Adaptive Margin for Face Recognition", CVPR 2022, equations 14–17, and
    github.com/mk-minchul/AdaFace (``head.py``, whose state has ``batch_mean`` and ``batch_std`` too).
    """

    NEAREST = 1e-3
    """How near to ±1 cosines may come, and angles to 0 and π."""

    def __init__(
        self,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.4,
        *,
        h: float = 0.333,
        t_alpha: float = 0.01,
    ) -> None:
        super().__init__(dimension, classes, scale, margin)
        self.h, self.t_alpha = h, t_alpha
        self.batch_mean: Tensor
        self.batch_std: Tensor
        # As wide as this at first, so that the margin begins as CosFace's and adapts with the statistics.
        self.register_buffer("batch_mean", torch.tensor(20.0))
        self.register_buffer("batch_std", torch.tensor(100.0))

    def quality(self, x: Tensor, sharpness: Tensor | None) -> Tensor:
        """Give q of each row, without gradient."""
        del sharpness
        norms: Tensor = torch.linalg.vector_norm(x.detach(), dim=1)
        return norms.clamp(0.001, 100.0)

    def cosines(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n classes"]:
        """Give cos θ, not too near to ±1."""
        return super().cosines(x).clamp(-1.0 + self.NEAREST, 1.0 - self.NEAREST)

    def margins(self, x: Float[Tensor, "n d"], sharpness: Tensor | None, step: int) -> Tensor:  # noqa: ARG002
        """Give m·ẑ of each row; training updates the statistics first."""
        quality = self.quality(x, sharpness)
        if self.training:
            self._update(quality)
        z = ((quality - self.batch_mean) / (self.batch_std + self.NEAREST) * self.h).clamp(-1.0, 1.0)
        return self.margin * z[:, None]

    def own(self, cosine: Float[Tensor, "n 1"], m: Float[Tensor, "n 1"]) -> Float[Tensor, "n 1"]:
        """Give cos(θ − m·ẑ) − (m + m·ẑ)."""
        turned = (torch.acos(cosine) - m).clamp(self.NEAREST, math.pi - self.NEAREST)
        return torch.cos(turned) - (self.margin + m)

    @torch.no_grad()
    def _update(self, quality: Tensor) -> None:
        everyone = quality if self.whole_batch else gathered(quality)
        self.batch_mean.lerp_(everyone.mean().to(self.batch_mean.dtype), self.t_alpha)
        if len(everyone) > 1:
            self.batch_std.lerp_(everyone.std().to(self.batch_std.dtype), self.t_alpha)


class MagFace(ArcFace):
    """Margin that grows with the length of the embedding, which thereby comes to measure quality.

    The logit of the own class is s·cos(θ + m(a)), of any other s·cos θ, where a is the length, cut to
    l_a…u_a, and m(a) rises linearly from ``margin`` at l_a to ``margin_high`` at u_a. The loss also has
    λ_g·g(a), g(a) = 1/a + a/u_a², which rewards length. As for ArcFace, where θ + m would pass π the logit
    goes on falling. Lengths grow with quality if λ_g ≥ s·K·u_a²·l_a² / (u_a² − l_a²), K being the slope of
    m(a): 22.6 for the usual values.

    Parameters
    ----------
    dimension
        Length of the embedding; of networks that end in batch norm, its root is about the length a.
    classes, scale
        As for any head.
    margin, margin_high
        The margins l_m and u_m in radians; the authors' are 0.45 and 0.8.
    easy_margin
        Add the margin only where θ < π/2, as the authors' code does.
    l_a, u_a
        Shortest and longest length that tell.
    lambda_g
        The weight λ_g.

    Raises
    ------
    ValueError
        If the margin would fall.

    References
    ----------
    Meng et al., "MagFace: A Universal Representation for Face Recognition and Quality Assessment",
    CVPR 2021, equations 3–5, and github.com/IrvingMeng/MagFace (``models/magface.py``).
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.45,
        margin_high: float = 0.8,
        *,
        easy_margin: bool = False,
        l_a: float = 10.0,
        u_a: float = 110.0,
        lambda_g: float = 35.0,
    ) -> None:
        if margin > margin_high:
            raise ValueError(f"margin {margin:g} is above its margin_high {margin_high:g}: lower margin")
        super().__init__(dimension, classes, scale, margin, easy_margin=easy_margin)
        self.margin_high = margin_high
        self.l_a, self.u_a = l_a, u_a
        self.lambda_g = lambda_g

    def magnitude(self, x: Tensor, sharpness: Tensor | None) -> Tensor:
        """Give a of each row, from l_a to u_a."""
        del sharpness
        norms: Tensor = torch.linalg.vector_norm(x, dim=1)
        return norms.clamp(self.l_a, self.u_a)

    def margins(self, x: Float[Tensor, "n d"], sharpness: Tensor | None, step: int) -> Tensor:  # noqa: ARG002
        """Give m(a) of each row."""
        slope = (self.margin_high - self.margin) / (self.u_a - self.l_a)
        return slope * (self.magnitude(x, sharpness)[:, None] - self.l_a) + self.margin

    def penalty(self, embeddings: Float[Tensor, "n d"]) -> Float[Tensor, ""] | None:
        """Give λ_g times the mean of g(a)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            a = self.magnitude(precise(embeddings), None)
            return self.lambda_g * (1.0 / a + a / self.u_a**2).mean()


class AdaFaceSharpness(AdaFace):
    """AdaFace by the image: q is log(1 + v), v the image's Laplacian sharpness, instead of the length."""

    needs_sharpness = True

    def quality(self, x: Tensor, sharpness: Tensor | None) -> Tensor:
        """Give q of each row."""
        return log_sharpness(sharpness).to(x.dtype)


class MagFaceSharpness(MagFace):
    """MagFace by the image: the margin grows with the Laplacian sharpness v, instead of the length.

    a = l_a + (u_a − l_a)·min(1, log(1 + v) / log(1 + ``SHARP``)): a flat image has the margin
    ``margin``, one of sharpness ``SHARP`` or more ``margin_high``. There is no λ_g·g(a): no weight of the
    network could change it.
    """

    SHARP = 1000.0
    needs_sharpness = True

    def magnitude(self, x: Tensor, sharpness: Tensor | None) -> Tensor:
        """Give a of each row, from l_a to u_a."""
        share = (log_sharpness(sharpness) / math.log1p(self.SHARP)).clamp(max=1.0)
        return (self.l_a + (self.u_a - self.l_a) * share).to(x.dtype)

    def penalty(self, embeddings: Float[Tensor, "n d"]) -> None:
        """Give none."""


def log_sharpness(sharpness: Float[Tensor, " n"] | None) -> Float[Tensor, " n"]:
    """Give log(1 + v) of sharpnesses v.

    Raises
    ------
    ValueError
        If there are none.
    """
    if sharpness is None:
        raise ValueError("this head needs the sharpness of the images: pass networks.sharpness.sharpness(x)")
    return torch.log1p(precise(sharpness.detach()).clamp(min=0.0))
