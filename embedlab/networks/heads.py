"""Classification heads: what turns embeddings into a loss while training, and is thrown away after."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

# At cos θ = ±1 the slope of sin θ = √(1 − cos² θ) is infinite; so near to it float32 is exact to 2⁻²⁴.
CLOSEST = 1.0 - 2.0**-22


class ArcFace(nn.Module):
    """Additive angular margin: the own class must win though its angle is made ``margin`` larger.

    The logit of the own class is s·cos(θ + m), of any other s·cos θ, where θ is the angle between
    the embedding and the class's centre. Beyond θ + m = π, where the cosine would rise again, it
    goes on as s·(cos θ − m·sin m). Computed in float32 also under autocast.

    Parameters
    ----------
    dimension
        Length of the embedding.
    classes
        Number of identities.
    scale
        The scale s.
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
        super().__init__()
        self.scale = scale
        self.margin = margin
        self.easy_margin = easy_margin
        self.weight = nn.Parameter(torch.empty(classes, dimension))
        nn.init.xavier_uniform_(self.weight)

    def forward(
        self, embeddings: Float[Tensor, "n d"], labels: Int[Tensor, " n"]
    ) -> Float[Tensor, "n classes"]:
        """Give the logits, the own class's with its margin, for a cross-entropy."""
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine = functional.linear(
                functional.normalize(embeddings.float()), functional.normalize(self.weight.float())
            )
            own = cosine.gather(1, labels[:, None]).clamp(-CLOSEST, CLOSEST)
            sine = torch.sqrt(1.0 - own * own)
            shifted = own * math.cos(self.margin) - sine * math.sin(self.margin)
            if self.easy_margin:
                shifted = torch.where(own > 0.0, shifted, own)
            else:
                wrapped = own <= math.cos(math.pi - self.margin)
                shifted = torch.where(wrapped, own - self.margin * math.sin(self.margin), shifted)
            return self.scale * cosine.scatter(1, labels[:, None], shifted)
