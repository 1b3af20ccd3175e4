"""Several processes that train one model, as ``torchrun`` starts them; the gradients are torch's own DDP.

Two processes are to be one: each takes its slice of the batch that one process would take, batch norm
sees the statistics of the whole batch, and dropout draws the mask of the whole batch and keeps its slice.
"""

import warnings
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from embedlab.ranks import Ranks


def highest(value: int, ranks: Ranks) -> int:
    """Give all processes the highest of their numbers."""
    if ranks.world == 1:
        return value
    held = torch.tensor([value])
    distributed.all_reduce(held, distributed.ReduceOp.MAX)
    return int(held.item())


def mean(values: Tensor, ranks: Ranks) -> Tensor:
    """Average numbers over the processes."""
    if ranks.world > 1:
        distributed.all_reduce(values)
        values /= ranks.world
    return values


def rows(ranks: Ranks, batch: int, copies: int = 1) -> Int[Tensor, " b"]:
    """List which rows of the whole batch a process has.

    Parameters
    ----------
    ranks
        This process.
    batch
        Images in the whole batch, copies not counted.
    copies
        How often each image is in it; a process has all copies of its images, first the first ones.
    """
    each = batch // ranks.world
    first = torch.arange(ranks.rank * each, (ranks.rank + 1) * each)
    return torch.cat([first + copy * batch for copy in range(copies)])


class Slice:
    """Which rows of the whole batch this process has; ``GlobalDropout`` asks."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.rows: Int[Tensor, " b"] = torch.arange(0)


class GlobalDropout(nn.Dropout):
    """Dropout that draws the mask of the whole batch, as one process would, and keeps its own rows."""

    def __init__(self, p: float, here: Slice) -> None:
        super().__init__(p)
        self.here = here

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Blank out a share of the values and enlarge the others."""
        if not self.training or self.p == 0:
            return x
        spread = x.ndim == 4 and not x.is_contiguous()
        mask = torch.empty(
            (self.here.world * len(x), *x.shape[1:]),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last if spread else torch.contiguous_format,
        )
        mask.bernoulli_(1 - self.p).div_(1 - self.p)
        return x * mask[self.here.rows.to(x.device)]


class GlobalBatchNorm(_BatchNorm):
    """Batch norm over the batches of all processes, on any device.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Take what the layer that it stands for took."""

    def forward(self, x: Float[Tensor, "b c ..."]) -> Float[Tensor, "b c ..."]:
        """Normalise by the whole batch's mean and variance, or by the running ones in evaluation."""
        if not self.training:
            return super().forward(x)
        over = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = distributed.get_world_size() * x.numel() / x.shape[1]
        wide = x.float()
        average = _Sum.apply(wide.sum(over)) / count  # type: ignore[no-untyped-call]
        centred = wide - average.view(shape)
        variance = _Sum.apply((centred * centred).sum(over)) / count  # type: ignore[no-untyped-call]
        self._follow(average.detach(), variance.detach() * count / max(count - 1, 1))
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        normal: Tensor = out.to(x.dtype)
        return normal

    def _follow(self, average: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(average, momentum)
        self.running_var.lerp_(variance, momentum)


class _Sum(torch.autograd.Function):
    """Sum over the processes; so is the gradient, because each process's loss depends on all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def averaging(module: nn.Module) -> nn.Module:
    """Make a module average its gradients over the processes; one that does not learn stays as it is."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        return module
    with warnings.catch_warnings():
        # Statistics are alike in all processes already. Torch renames the option; 2.6 has the old name.
        warnings.simplefilter("ignore", FutureWarning)
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)


def synchronised(network: nn.Module, here: Slice, device: str) -> nn.Module:
    """Put layers that see the whole batch in the place of batch norm and dropout; names stay.

    On CUDA batch norm becomes torch's ``SyncBatchNorm``, which refuses elsewhere.
    """
    if device == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(child, nn.SyncBatchNorm):
                setattr(parent, name, _global_norm(child))
            elif type(child) is nn.Dropout:
                setattr(parent, name, GlobalDropout(child.p, here))
    return network


def _global_norm(norm: _BatchNorm) -> GlobalBatchNorm:
    made = GlobalBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    if norm.affine:
        made.weight, made.bias = norm.weight, norm.bias
    made.running_mean, made.running_var = norm.running_mean, norm.running_var
    made.num_batches_tracked = norm.num_batches_tracked
    return made.train(norm.training)
