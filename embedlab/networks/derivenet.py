"""DeriveNet's loss: margins between people follow from how alike their reconstructed faces are."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from embedlab.networks.collectives import gathered
from embedlab.networks.margins import Head, precise

SIDE = 32
"""Side in pixels of the images that are reconstructed."""
SCALE = 127.5


class DeriveNet(Head):
    """Derived-margin softmax, with a reconstruction of the sharp image that derives the margins.

    A linear layer g reconstructs the sharp image from the embedding of a blurred one. A class's centre C is
    the mean of its reconstructions. People whose centres are alike are the ones to be confused, so the logit
    of another class j is w_j·x + ``margin``·cos(C_j, C_y) where y is the own class, whose logit is w_y·x: it
    must win by more, the more j resembles it. Beside the cross-entropy stands the reconstruction-center loss
    λ·(‖sharp − g(x)‖² + ‖g(x) − C_y‖²).

    The centres move by half towards the mean of each batch's reconstructions of the class, as those of the
    center loss [2]_; a class that no batch has shown has no margin. They are in the state dict. Margins and
    centres have no gradient.

    What differs from the paper, as far as its abstract and [3]_ tell: reconstructed are RGB images of 32 px,
    by one layer; and the centres move instead of being means over all that was ever reconstructed, since the
    network that made the first ones is gone.

    Parameters
    ----------
    dimension, classes
        As for any head.
    margin
        What the cosine of two centres is multiplied by; 1 as published.
    weight
        The weight λ, of sums over 32 × 32 × 3 values between −1 and 1.

    Attributes
    ----------
    centres
        The class centres, (classes, 3·32·32); zero where there is none yet.

    References
    ----------
    .. [1] Singh, M., Nagpal, S., Singh, R. and Vatsa, M. DeriveNet for (very) low resolution image
       classification. IEEE TPAMI 44(10), 2022.
    .. [2] Wen, Y. et al. A discriminative feature learning approach for deep face recognition. ECCV 2016.
    .. [3] github.com/arinaLozhkina/LowResolutionFaceRecognition (``student_report.tex``), which reimplements
       it.
    """

    MOVED = 0.5
    needs_images = True

    def __init__(self, dimension: int, classes: int, margin: float = 1.0, *, weight: float = 1e-3) -> None:
        super().__init__(dimension, classes, margin=margin)
        self.reconstruct = nn.Linear(dimension, 3 * SIDE * SIDE)
        self.recent = weight
        self.centres: Tensor
        self.register_buffer("centres", torch.zeros(classes, 3 * SIDE * SIDE))

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        images: Float[Tensor, "n 3 s s"] | None = None,
        *,
        step: int = 0,
    ) -> Float[Tensor, ""]:
        """Give the mean loss of a batch; in training the centres move first.

        Parameters
        ----------
        embeddings, labels, step
            As for any head.
        images
            The sharp image of each row, RGB, 0…255, whatever resolution the row's own image has; without
            them nothing is reconstructed.
        """
        loss = super().forward(embeddings, labels, step=step)
        if images is None:
            return loss
        with torch.autocast(embeddings.device.type, enabled=False):
            made = self.reconstruct(precise(embeddings).to(self.reconstruct.weight.dtype))
            if self.training:
                self._move(made, labels)
            sharp = (
                functional.adaptive_avg_pool2d(precise(images), SIDE).flatten(1).to(made.dtype) / SCALE - 1
            )
            apart = (sharp - made).square().sum(1) + (made - self.centres[labels]).square().sum(1)
            whole: Tensor = loss + self.recent * apart.mean()
            return whole

    def logits(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        *_: object,
        **__: object,
    ) -> Float[Tensor, "n classes"]:
        """Give the logits, the other classes' with their margins; none for a row labelled −1."""
        with torch.autocast(embeddings.device.type, enabled=False):
            x = precise(embeddings)
            return functional.linear(x, self.weight.to(x.dtype)) + self.derived(labels).to(x.dtype)

    @torch.no_grad()
    def derived(self, labels: Int[Tensor, " n"]) -> Float[Tensor, "n classes"]:
        """Give the margins between each row's class and the others, and none for its own."""
        centres = functional.normalize(self.centres)
        own = labels.clamp(min=0)
        margins = self.margin * (centres[own] @ centres.T) * (labels >= 0)[:, None]
        return margins.scatter(1, own[:, None], 0.0)

    @torch.no_grad()
    def _move(self, made: Tensor, labels: Tensor) -> None:
        made, labels = gathered(made.detach()), gathered(labels)
        shown, rows = labels.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        means = made.new_zeros(len(shown), made.shape[1]).index_add_(0, rows, made)
        means /= rows.bincount()[:, None]
        before = self.centres[shown]
        fresh = ~before.any(1, keepdim=True)
        self.centres[shown] = torch.where(fresh, means, before.lerp(means, self.MOVED))
