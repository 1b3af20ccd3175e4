"""What learns: a network, a head and their optimiser, made as a recipe says."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from embedlab.data.datasets import Dataset
from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.networks import backbones, checkpoints, heads
from embedlab.networks.adversary import ResolutionReader
from embedlab.networks.blocks import Backbone
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.fused import Fused
from embedlab.networks.sampled import Sampled
from embedlab.ranks import Ranks
from embedlab.training import compiling, distributed
from embedlab.training.distributed import Slice
from embedlab.training.recipe import Recipe, numbers


@dataclass(frozen=True)
class Learner:
    """Everything that a step changes.

    Attributes
    ----------
    network
        The network by itself: what is measured and kept.
    head
        The head by itself; with ``sample_rate`` below 1 and several processes, this one's classes.
    optimiser
        Moves the parameters that learn.
    embed, score
        Network and head as a step calls them: compiled, or averaging their gradients over the processes.
    reader
        What reads the resolution off the vectors, where the network learns to keep it from them.
    read
        The same as a step calls it.
    """

    network: nn.Module
    head: nn.Module
    optimiser: torch.optim.Optimizer
    embed: Callable[..., Tensor]
    score: Callable[..., Tensor]
    reader: nn.Module | None = None
    read: Callable[..., Tensor] | None = None

    @property
    def _parts(self) -> dict[str, nn.Module]:
        reader = {} if self.reader is None else {"reader": self.reader}
        return {"network": self.network, "head": self.head, **reader}

    def parameters(self) -> list[nn.Parameter]:
        """List the parameters that learn."""
        return [parameter for _, parameter in self._named_parameters() if parameter.requires_grad]

    def _named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for part, module in self._parts.items():
            for name, parameter in module.named_parameters():
                yield f"{part}.{name}", parameter

    def tensors(self) -> dict[str, Tensor]:
        """Name the tensors of network, head and momentum; all processes must ask together."""
        found = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        sampled = isinstance(self.head, Sampled)
        held = self.head.full_state() if isinstance(self.head, Sampled) else self.head.state_dict()
        found |= {f"head.{name}": value for name, value in held.items()}
        if self.reader is not None:
            found |= {f"reader.{name}": value for name, value in self.reader.state_dict().items()}
        for name, parameter in self._named_parameters():
            momentum = self.optimiser.state[parameter].get("momentum_buffer")
            if momentum is not None and not (sampled and name.startswith("head.")):
                found[f"momentum.{name}"] = momentum
        return {name: value.detach().cpu().contiguous() for name, value in found.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take the tensors that ``tensors`` gave.

        Raises
        ------
        RuntimeError, ValueError
            If they are of another network or head.
        """
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "head": {}, "momentum": {}, "reader": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.network.load_state_dict(parts["network"])
        if isinstance(self.head, Sampled):
            self.head.load_full_state(parts["head"])
        else:
            self.head.load_state_dict(parts["head"])
        if self.reader is not None:
            self.reader.load_state_dict(parts["reader"])
        for name, parameter in self._named_parameters():
            if name in parts["momentum"]:
                # Laid out as the parameter is, because the fused step walks both in step.
                buffer = torch.empty_like(parameter).copy_(parts["momentum"][name])
                self.optimiser.state[parameter]["momentum_buffer"] = buffer.detach()

    def clip(self, longest: float) -> Tensor:
        """Shorten the gradient over all parameters to a length, and give the length it had."""
        parameters = self.parameters()
        if not isinstance(self.head, Sampled):
            whole: Tensor = nn.utils.clip_grad_norm_(parameters, longest)
            return whole
        plain = [self.network] if self.reader is None else [self.network, self.reader]
        found = [p.grad for part in plain for p in part.parameters() if p.grad is not None]
        parts = [nn.utils.get_total_norm(found), self.head.gradient_norm()]
        norm: Tensor = torch.linalg.vector_norm(torch.stack(parts))
        nn.utils.clip_grads_with_norm_(parameters, longest, norm)
        return norm


def derived(*numbers: int) -> int:
    """Derive a seed of torch's generator from the recipe's seed, an epoch and a step."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def make(lab: Lab, recipe: Recipe, classes: int, device: str) -> Learner:
    """Make what a recipe trains; weights that are not read are drawn from the recipe's seed.

    Parameters
    ----------
    lab
        Where the models are that the training begins from.
    recipe
        What to make.
    classes
        Number of identities.
    device
        Where it learns.

    Raises
    ------
    UserError
        If a model to begin from is missing or does not fit the recipe.
    """
    torch.manual_seed(derived(recipe.seed))
    network = make_network(lab, recipe)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.dropout
    head = make_head(recipe, int(network.dimension), classes).to(device)
    reader = None
    if recipe.adversarial:
        reader = ResolutionReader(int(network.dimension), recipe.input_size).to(device)
    network = backbones.placed(network, device)
    freeze(network, recipe.trained)
    optimiser = _optimiser(recipe, [network] if reader is None else [network, reader], head)
    return Learner(network, head, optimiser, network, head, reader, reader)


def readied(learner: Learner, recipe: Recipe, device: str, ranks: Ranks, here: Slice) -> Learner:
    """Make network and head learn in all processes as in one, and compile the network if the recipe says so.

    Parameters
    ----------
    learner
        What ``make`` gave, with its state; it is changed.
    recipe
        Says whether to compile.
    device
        Where it learns.
    ranks
        This process among those that train together; all of them must ask together.
    here
        Which rows of the batch this process has, for dropout.
    """
    embed, score, read = learner.embed, learner.score, learner.read
    if ranks.world > 1:
        embed = distributed.averaging(distributed.synchronised(learner.network, here, device))
        # A sampled head has its own classes in each process.
        if not isinstance(learner.head, Sampled):
            score = distributed.averaging(learner.head)
        if learner.reader is not None:
            read = distributed.averaging(learner.reader)
    if recipe.compiled:
        embed = compiling.compiled(embed, device, alone=ranks.world == 1)
    return replace(learner, embed=embed, score=score, read=read)


def make_head(recipe: Recipe, dimension: int, classes: int) -> nn.Module:
    """Make the head, sampled if the recipe says so."""
    options: dict[str, Any] = {
        "scale": recipe.scale,
        "margin": recipe.margin,
        "margin_high": recipe.margin_high,
        "easy_margin": recipe.easy_margin,
    }
    if recipe.sample_rate < 1:
        return Sampled(recipe.head, dimension, classes, recipe.sample_rate, seed=recipe.seed, **options)
    return heads.build(recipe.head, dimension, classes, **options)


def make_network(lab: Lab, recipe: Recipe) -> Backbone:
    """Make the network, with weights that are drawn, or those of the models it begins from.

    Raises
    ------
    UserError
        If one of those is missing, or does not fit the recipe.
    """
    if recipe.parts:
        return _fused(lab, recipe)
    options = {
        name: getattr(recipe, name) for name in ("input_size", "width", "stem", "dimension", "dropout")
    }
    if not recipe.initial:
        return backbones.build(recipe.backbone, **options)
    network = checkpoints.load_network(lab, recipe.initial)
    described, asked = backbones.describe(network), {"backbone": recipe.backbone, **options}
    if described["backbone"] == "fused":
        asked = {"input_size": recipe.input_size, "dimension": recipe.dimension}
        described = {name: getattr(network, name) for name in asked}
    asked.pop("dropout", None)
    differing = [
        f"{name} {described.get(name)!r}, not {value!r}"
        for name, value in asked.items()
        if described.get(name, 1 if name == "stem" else None) != value
    ]
    if differing:
        raise UserError(
            f"model {recipe.initial} has {'; '.join(differing)}: give the recipe what the model has, "
            "as by training at the same scale, or begin from another"
        )
    return network


def _fused(lab: Lab, recipe: Recipe) -> Fused:
    parts = [checkpoints.load_network(lab, name) for name in recipe.models]
    network = Fused(parts, recipe.fusion, tuple(int(side) for side in numbers(recipe.shrink)))
    if network.input_size != recipe.input_size:
        raise UserError(
            f"the parts {recipe.parts} take images of up to {network.input_size} px, and input_size is "
            f"{recipe.input_size}: set input_size = {network.input_size}"
        )
    return network


def origin(lab: Lab, recipe: Recipe) -> dict[str, str]:
    """Give the hash of the weights of each model that a recipe begins from.

    Raises
    ------
    UserError
        If one is not trained.
    """
    return {name: checkpoints.read_record(lab, name).weights_sha256 for name in recipe.models}


def seen(lab: Lab, recipe: Recipe, data: Sequence[Dataset]) -> list[str]:
    """List the fingerprints of what a model was trained on, what it begins from included.

    Of a pack also that of the images it was packed from, which are the same.
    """
    found = {one.fingerprint for one in data} | {str(getattr(one, "source", "")) for one in data}
    for name in recipe.models:
        record = checkpoints.read_record(lab, name)
        found |= {*record.data.values(), *record.seen}
    return sorted(found - {""})


def contract(lab: Lab, recipe: Recipe) -> Preprocessing:
    """Say how images are prepared: as for the models that training begins from, else the usual way.

    Raises
    ------
    UserError
        If the models were trained on images prepared in different ways.
    """
    found = {name: checkpoints.read_record(lab, name).preprocessing for name in recipe.models}
    sized = {name: one.at(recipe.input_size) for name, one in found.items()}
    if len(set(sized.values())) > 1:
        raise UserError(
            f"the models {' and '.join(sized)} take images prepared in different ways (channels, mean or "
            "std): begin from models that agree"
        )
    return next(iter(sized.values()), Preprocessing(recipe.input_size))


def freeze(network: nn.Module, trained: str) -> None:
    """Let ``all``, the ``output`` layers or ``none`` of a network learn.

    Frozen layers need no gradient, keep the statistics of their batch norm, and drop nothing.

    Raises
    ------
    UserError
        If the output layers shall learn and there are none.
    """
    if trained == "all":
        network.train()
        return
    names = set(backbones.output_parameters(network)) if trained == "output" else set()
    if trained == "output" and not names:
        raise UserError(
            'trained = "output", and the network has no layers after its last feature map: choose "all" or '
            '"none"'
        )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in names)
    network.eval()
    for module in network.modules():
        held = list(module.parameters())
        if held and all(parameter.requires_grad for parameter in held):
            # With its parts that have no parameters, such as dropout.
            module.train()


class Descent(torch.optim.SGD):
    """SGD that does not load torch's compiler, which takes two seconds, to be left alone by it.

    Networks are compiled here, and steps of the optimiser are not.
    """

    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.SGD.zero_grad)
    state_dict = inspect.unwrap(torch.optim.SGD.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.SGD.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


def _optimiser(recipe: Recipe, plain: list[nn.Module], head: nn.Module) -> torch.optim.Optimizer:
    # The fused step takes a group's momenta all or none, and a sampled head brings its own.
    parts: list[list[nn.Module]] = [[*plain, head]]
    if isinstance(head, Sampled):
        parts = [plain, [head]]
    groups: list[dict[str, Any]] = []
    for part in parts:
        held = [p for module in part for p in module.parameters() if p.requires_grad]
        groups.append({"params": [p for p in held if p.ndim > 1], "weight_decay": recipe.weight_decay})
        groups.append({"params": [p for p in held if p.ndim <= 1], "weight_decay": 0.0})
    made = Descent(groups, lr=recipe.learning_rate, momentum=recipe.momentum, fused=True)
    if isinstance(head, Sampled):
        head.attach(made)
    return made
