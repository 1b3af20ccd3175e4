"""What several processes do together, with gradient; with one process each is the plain thing.

The gradients are made for networks under DistributedDataParallel, which averages the gradients of its
parameters over the processes: ``gathered`` hands back the sum over processes times their number, so that
the average is the gradient of the loss of the whole batch.
"""

from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, distributed
from torch.autograd import Function
from torch.nn import functional


def world() -> int:
    """Count the processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Give this process's number among them."""
    return distributed.get_rank() if world() > 1 else 0


def gathered(x: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "all ..."]:
    """Join the rows of all processes, in the order of their ranks; each has as many rows.

    Backward, a row gets the sum of the processes' gradients times their number.
    """
    if world() == 1:
        return x
    return _Gather.apply(x) if x.requires_grad else _all_rows(x)  # type: ignore[no-untyped-call]


def shared(loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Keep a loss that every process computes of the whole, gathered batch, but count its gradient once."""
    return loss if world() == 1 else loss.detach() + (loss - loss.detach()) / world()


def cross_entropy(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """Give the mean cross-entropy where each process holds the logits of other classes.

    Parameters
    ----------
    logits
        The whole batch's logits for this process's classes; there may be none.
    labels
        Column of each row's own class, −1 where another process has it.

    Returns
    -------
    Tensor
        The same on all processes; each one's gradient is that for its own logits.
    """
    if world() == 1:
        return functional.cross_entropy(logits, labels)
    own: Tensor = logits.new_zeros(len(logits))
    if logits.shape[1]:
        own = torch.where(labels < 0, 0.0, logits.gather(1, labels.clamp(min=0)[:, None])[:, 0])
    normaliser: Tensor = _LogSumExp.apply(logits)  # type: ignore[no-untyped-call]
    everywhere: Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]
    return (normaliser - everywhere).mean()


def _all_rows(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
    distributed.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return _all_rows(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        # Summed whole, as gloo cannot reduce and scatter; embeddings are small beside what DDP sums.
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.chunk(world())[rank()] * world()


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        return gradients[0]


class _LogSumExp(Function):
    """The logarithm of the sum of exponentials over the classes of all processes."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        highest = logits.amax(1) if logits.shape[1] else logits.new_full((len(logits),), -torch.inf)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        total = torch.exp(logits - highest[:, None]).sum(1)
        distributed.all_reduce(total)
        normaliser = highest + total.log()
        ctx.save_for_backward(logits, normaliser)
        return normaliser

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        logits, normaliser = ctx.saved_tensors
        return gradients[0][:, None] * torch.exp(logits - normaliser[:, None])
