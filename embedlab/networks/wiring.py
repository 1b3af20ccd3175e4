"""Which channels of a network go together, read off its calls, whatever its layers are called."""

import operator
from typing import Any

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from embedlab.lab import weights
from embedlab.lab.weights import FIXED, Wire
from embedlab.networks.blocks import Backbone
from embedlab.networks.fused import Fused

PASSING = (
    nn.ReLU
    | nn.PReLU
    | nn.Sigmoid
    | nn.Dropout
    | nn.MaxPool2d
    | nn.AdaptiveAvgPool2d
    | nn.Identity
    | nn.Flatten
)
"""Layers that leave each channel by itself, and in its place."""


def described(network: nn.Module) -> dict[str, Any]:
    """Say in plain JSON how a network's layers hang together, for ``embedlab.lab.weights.wired`` to read."""
    assert isinstance(network, Backbone)
    return weights.described(network.family, traced(network))


def traced(network: Backbone) -> dict[str, Wire]:
    """Name the group of channels that each layer with weights reads and writes.

    Channels that are added or multiplied are of one group, which bears the name of the first layer that
    writes it. The image's colours and the embedding's components are ``FIXED``, and so is what passes
    through anything that is not known here.

    Parameters
    ----------
    network
        Calls each of its layers once.
    """
    if isinstance(network, Fused):
        return {
            f"parts.{k}.{name}": Wire(*(one if one == FIXED else f"parts.{k}.{one}" for one in wire))
            for k, part in enumerate(network.parts)
            if isinstance(part, Backbone)
            for name, wire in traced(part).items()
        }
    groups, wires = _Groups(), dict[str, Wire]()
    written: dict[fx.Node, str] = {}
    for node in _Tracer().trace(network).nodes:
        read = [written[one] for one in node.all_input_nodes]
        if node.op == "call_module":
            name = str(node.target)
            layer = network.get_submodule(name)
            wire = _wire(name, layer, read[0], groups)
            written[node] = wire.outputs
            if isinstance(layer, nn.Conv2d | nn.Linear | _BatchNorm | nn.PReLU):
                wires[name] = wire
        else:
            known = node.target in (operator.add, operator.mul, operator.getitem, "flatten")
            written[node] = groups.joined(*read) if known else groups.joined(FIXED, *read)
    return {name: Wire(*map(groups.joined, wire)) for name, wire in wires.items()}


def _wire(name: str, layer: nn.Module, read: str, groups: "_Groups") -> Wire:
    if isinstance(layer, nn.Conv2d) and layer.groups == 1:
        return Wire(read, groups.joined(name))
    if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels:
        # Its kernels have one input channel each.
        return Wire(FIXED, read)
    if isinstance(layer, nn.Linear):
        return Wire(read, FIXED)
    if isinstance(layer, PASSING | _BatchNorm):
        return Wire(read, read)
    return Wire(groups.joined(FIXED, read), FIXED)


class _Tracer(fx.Tracer):
    """Takes layers that stand for torch's own, such as those of several processes, for what they are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _BatchNorm | nn.Dropout) or super().is_leaf_module(m, module_qualified_name)


class _Groups:
    """Groups of channels that turn out to be one, by the name of the first; the very first is ``FIXED``."""

    def __init__(self) -> None:
        self._joined = {FIXED: FIXED}

    def joined(self, *groups: str) -> str:
        """Make groups one, and give its name."""
        names = {self._named(group) for group in groups}
        one = next(known for known in self._joined if known in names)
        self._joined |= dict.fromkeys(names, one)
        return one

    def _named(self, group: str) -> str:
        while self._joined.setdefault(group, group) != group:
            group = self._joined[group]
        return group
