"""Partial FC: a head whose softmax sees some of the classes each step, shared out among processes.

With a million people the logits, not the network, fill the memory. Each process holds the centres of a
slice of the classes, and of these a step takes the batch's own classes and some random others; embeddings
and labels are gathered from all processes, and the sum of exponentials goes over all of them.

References
----------
.. [1] An et al., "Partial FC: Training 10 Million Identities on a Single Machine", ICCV Workshops 2021.
.. [2] An et al., "Killing Two Birds with One Stone: Efficient and Robust Training of Face Recognition
   CNNs by Partial FC", CVPR 2022, and InsightFace's ``arcface_torch/partial_fc.py`` and
   ``partial_fc_v2.py``.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn

from embedlab.errors import UserError
from embedlab.networks import heads
from embedlab.networks.collectives import cross_entropy, gathered, rank, shared, world
from embedlab.networks.margins import precise

HIGHEST = 2**62
"""Lot of the classes that are always drawn; those of the others are below."""


class Sampled(nn.Module):
    """Any head of ``heads.NAMES`` on a sample of the classes, shared out among the processes.

    The loss is that of the whole batch, the same on every process. A process's share is not to be wrapped
    in DistributedDataParallel: the gradients of its centres are whole as they are. Those of the embeddings
    come out as DistributedDataParallel wants them for the network, which averages over the processes.
    With ``rate`` 1 it is the plain head, shared out.

    Which classes a step sees depends on the seed, the step and the labels of the whole batch alone, not on
    how many processes there are. Classes that a step does not see stay as they are, with their momentum
    and without weight decay [1]_ (``partial_fc.py``; in ``partial_fc_v2.py`` momentum and decay go on
    moving them). For that the optimiser holds the seen rows only: each step exchanges the head's
    parameters, in ``attach``'s optimiser too, so that ``parameters()`` must be asked anew each step.

    Parameters
    ----------
    head_name
        The head; one of ``heads.NAMES``.
    dimension
        Length of the embedding.
    classes
        Number of identities, over all processes.
    rate
        Share of the classes that a step sees, above 0, up to 1; at least as many as the batch has rows.
    seed
        What the sample is drawn from, together with the step.
    options
        As for ``heads.build``.

    Raises
    ------
    UserError
        If the rate is not above 0 and at most 1, or the head cannot be made, or needs all classes.
    """

    def __init__(
        self,
        head_name: str,
        dimension: int,
        classes: int,
        rate: float = 1.0,
        *,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        if not 0.0 < rate <= 1.0:
            raise UserError(f"sample_rate is {rate:g}: choose a share above 0, at most 1")
        self.classes, self.rate, self.seed = classes, rate, seed
        # Drawn whole and then cut, so that the centres do not depend on the number of processes.
        self.head = heads.build(head_name, dimension, classes, **options)
        if self.head.needs_images:
            raise UserError(f"{head_name} holds every class against every other: set sample_rate = 1")
        self.head.whole_batch = True
        self.start, self.stop = (classes * place // world() for place in (rank(), rank() + 1))
        self._optimiser: torch.optim.Optimizer | None = None
        self._seen: Tensor | None = None
        self._moving = False
        for name, parameter in self.head.named_parameters():
            share = parameter.data[self.start : self.stop].clone()
            parameter.data = share
            if rate < 1.0:
                self.register_buffer(f"all_{name}", share, persistent=False)
                self.register_buffer(f"momentum_{name}", torch.zeros_like(share), persistent=False)
                parameter.data = share[:0].clone()

    @property
    def needs_sharpness(self) -> bool:
        """Whether ``forward`` must be given the images' sharpness."""
        return self.head.needs_sharpness

    @property
    def needs_images(self) -> bool:
        """Whether ``forward`` must be given the sharp images; none of these heads need them."""
        return self.head.needs_images

    def attach(self, optimiser: torch.optim.Optimizer) -> None:
        """Name the optimiser (SGD) that holds the parameters, whose momentum then goes with the classes."""
        self._optimiser = optimiser

    def forward(
        self,
        embeddings: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        sharpness: Float[Tensor, " n"] | None = None,
        *,
        step: int = 0,
    ) -> Float[Tensor, ""]:
        """Give the mean loss of the whole batch from this process's rows; as many on each process."""
        embeddings, labels = gathered(precise(embeddings)), gathered(labels)
        if sharpness is not None:
            sharpness = gathered(sharpness)
        columns = self._columns(labels, step)
        loss = cross_entropy(self.head.logits(embeddings, columns, sharpness, step=step), columns)
        penalty = self.head.penalty(embeddings)
        return loss if penalty is None else loss + shared(penalty)

    def sample(self, labels: Int[Tensor, " n"], step: int) -> Int[Tensor, " k"]:
        """List the classes that a step sees, rising: those of the whole batch's labels, and random others."""
        # Static, as a count of the distinct labels would make an accelerator wait.
        count = min(self.classes, max(round(self.rate * self.classes), len(labels)))
        derived = np.random.SeedSequence((self.seed, step)).generate_state(1, np.uint64)
        # On the CPU, so that the sample is the same on every device.
        draw = torch.Generator().manual_seed(int(derived[0]))
        lots = torch.randint(HIGHEST, (self.classes,), generator=draw).to(labels.device)
        lots[labels] = HIGHEST
        return lots.topk(count).indices.sort().values

    def gradient_norm(self) -> Float[Tensor, ""]:
        """Give the L2 norm of the centres' gradients after ``backward``, over all processes.

        Together with that of the network, the longest gradient can be cut alike on every process.
        """
        found = [parameter.grad for parameter in self.head.parameters() if parameter.grad is not None]
        squared = nn.utils.get_total_norm(found).square()
        if world() > 1:
            distributed.all_reduce(squared)
        return squared.sqrt()

    def full_state(self) -> dict[str, Tensor]:
        """Give centres, momentum and statistics of all classes, on the CPU; every process must call it.

        Names are those of the plain head's state dict, and ``momentum.<name>`` once there is momentum. It
        does not matter to ``load_full_state`` how many processes wrote them.
        """
        self._put_back()
        state = dict(self.head.named_buffers())
        for name, parameter in self.head.named_parameters():
            state[name] = self._whole(parameter.data if self.rate == 1.0 else self._all(name))
            momentum = self._momentum(name, parameter)
            if momentum is not None:
                state[f"momentum.{name}"] = self._whole(momentum)
        return {name: value.detach().cpu().clone() for name, value in state.items()}

    @torch.no_grad()
    def load_full_state(self, state: dict[str, Tensor]) -> None:
        """Take what ``full_state`` gave, each process its share; ``attach`` comes first.

        Raises
        ------
        ValueError
            If it is the state of another head, or of another number of classes.
        """
        own = dict(self.head.named_buffers())
        expected = {name: tuple(value.shape) for name, value in own.items()}
        for name, parameter in self.head.named_parameters():
            expected[name] = (self.classes, *parameter.shape[1:])
        found = {
            name: tuple(value.shape) for name, value in state.items() if not name.startswith("momentum.")
        }
        if found != expected:
            raise ValueError(f"the head's state has {found}, not {expected}")
        for name, buffer in own.items():
            buffer.copy_(state[name])
        self._seen = None
        self._moving = any(name.startswith("momentum.") for name in state)
        for name, parameter in self.head.named_parameters():
            if self._optimiser is not None:
                self._optimiser.state[parameter].pop("momentum_buffer", None)
            share = state[name][self.start : self.stop].to(parameter.device)
            momentum = state.get(f"momentum.{name}")
            if momentum is not None:
                momentum = momentum[self.start : self.stop].to(parameter.device)
            if self.rate < 1.0:
                self._all(name).copy_(share)
                self._all(name, "momentum").copy_(torch.zeros_like(share) if momentum is None else momentum)
            else:
                parameter.copy_(share)
                if momentum is not None and self._optimiser is not None:
                    self._optimiser.state[parameter]["momentum_buffer"] = momentum.clone()

    def _columns(self, labels: Tensor, step: int) -> Tensor:
        """Bring the classes that the step sees into the head; give the column of each row's own, or −1."""
        own = (labels >= self.start) & (labels < self.stop)
        columns = labels - self.start
        if self.rate < 1.0:
            seen = self.sample(labels, step) - self.start
            if world() > 1:
                seen = seen[(seen >= 0) & (seen < self.stop - self.start)]
            if self._optimiser is None and torch.is_grad_enabled():
                raise RuntimeError("momentum would be carried to other classes: call attach(optimiser)")
            self._take(seen)
            columns = torch.searchsorted(seen, columns)
        return torch.where(own, columns, -1)

    @torch.no_grad()
    def _take(self, seen: Tensor) -> None:
        self._put_back()
        for name, before in list(self.head.named_parameters()):
            # A new one, as autograd holds a parameter to the shape it had in a graph still alive.
            parameter = nn.Parameter(self._all(name)[seen])
            setattr(self.head, name, parameter)
            if self._optimiser is not None:
                for group in self._optimiser.param_groups:
                    group["params"] = [parameter if held is before else held for held in group["params"]]
                self._optimiser.state.pop(before, None)
                # Before the first step no parameter has momentum, and a fused step wants all or none.
                if self._moving:
                    self._optimiser.state[parameter]["momentum_buffer"] = self._all(name, "momentum")[seen]
        self._seen = seen

    @torch.no_grad()
    def _put_back(self) -> None:
        if self._seen is None:
            return
        for name, parameter in self.head.named_parameters():
            self._all(name)[self._seen] = parameter.data
            momentum = self._optimiser.state[parameter].get("momentum_buffer") if self._optimiser else None
            if momentum is not None:
                self._all(name, "momentum")[self._seen] = momentum
                self._moving = True

    def _all(self, name: str, what: str = "all") -> Tensor:
        return self.get_buffer(f"{what}_{name}")

    def _momentum(self, name: str, parameter: nn.Parameter) -> Tensor | None:
        if self.rate < 1.0:
            return self._all(name, "momentum") if self._moving else None
        found = self._optimiser.state[parameter] if self._optimiser is not None else {}
        return found.get("momentum_buffer")

    def _whole(self, share: Tensor) -> Tensor:
        if world() == 1:
            return share
        whole = share.new_zeros((self.classes, *share.shape[1:]))
        whole[self.start : self.stop] = share
        distributed.all_reduce(whole)
        return whole
