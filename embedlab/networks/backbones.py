"""Backbones by name: how one is made, described in a few words of JSON, and made again.

========================================  =========================================================
name                                      network
========================================  =========================================================
ir_18, ir_50, ir_100                      residual, as ArcFace's (`embedlab.networks.residual`)
ir_se_18, ir_se_50, ir_se_100             the same with squeeze-and-excitation
se_resnet_50                              VGGFace2's (`embedlab.networks.seresnet`)
sphereface_20, sphereface_20_bn           SphereFace's (`embedlab.networks.sphereface`)
mobilefacenet                             the small one (`embedlab.networks.mobilefacenet`)
========================================  =========================================================
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from embedlab import compute
from embedlab.errors import UserError
from embedlab.networks.blocks import STRIDE, Backbone, Subsample
from embedlab.networks.fused import Fused
from embedlab.networks.mobilefacenet import MobileFaceNet
from embedlab.networks.residual import BLOCKS, IR, STEMS, Layout
from embedlab.networks.seresnet import SEResNet50
from embedlab.networks.sphereface import SphereFace20

_RESIDUAL: dict[str, Callable[..., Backbone]] = {
    f"ir_{kind}{layers}": partial(IR, layers, squeeze=bool(kind)) for kind in ("", "se_") for layers in BLOCKS
}
_OTHERS: dict[str, Callable[..., Backbone]] = {
    "se_resnet_50": SEResNet50,
    "sphereface_20": SphereFace20,
    "sphereface_20_bn": partial(SphereFace20, normalised=True),
    "mobilefacenet": MobileFaceNet,
}
NAMES = (*_RESIDUAL, *_OTHERS)

N = TypeVar("N", bound=nn.Module)


def build(
    name: str,
    *,
    input_size: int,
    width: int = 64,
    dimension: int = 128,
    dropout: float = 0.4,
    stem: int = 1,
    **layout: Any,
) -> Backbone:
    """Make a backbone by its name, with weights drawn from torch's generator.

    Parameters
    ----------
    name
        One of ``NAMES``.
    input_size
        Side of the input in pixels, a multiple of 16.
    width
        Channels of the first stage; the later ones have a multiple of it.
    dimension
        Length of the embedding.
    dropout
        Share of the last feature map that training drops.
    stem
        Of the residual networks, the stride of the first convolution.
    layout
        Of the residual networks, whatever differs from `embedlab.networks.residual.Layout`.

    Raises
    ------
    UserError
        If there is no backbone of that name, a number is out of range, or the network has no such layout.
    """
    if name not in NAMES:
        raise UserError(f"unknown backbone {name!r}: choose one of {', '.join(NAMES)}")
    if input_size < STRIDE or input_size % STRIDE:
        raise UserError(f"input_size of {name} must be a positive multiple of {STRIDE}, not {input_size}")
    if min(width, dimension) < 1 or not 0 <= dropout < 1:
        raise UserError(
            f"{name} cannot have width {width}, dimension {dimension} and dropout {dropout}: the first two "
            "must be at least 1, and dropout at least 0 and below 1"
        )
    if stem not in (STEMS if name in _RESIDUAL else (1,)):
        raise UserError(
            f"{name} cannot have a stem of {stem}: a stem of {' or '.join(map(str, STEMS[1:]))} is for the "
            f"residual networks {', '.join(_RESIDUAL)}"
        )
    options = _layout(name, layout)
    numbers = {"input_size": input_size, "width": width, "dimension": dimension, "dropout": dropout}
    if name not in _RESIDUAL:
        network = _OTHERS[name](**numbers)
        network.description = {"backbone": name, **numbers}
        return network
    network = _RESIDUAL[name](**numbers, stem=stem, layout=options)
    network.description = {"backbone": name, **numbers, "stem": stem, **asdict(options)}
    return network


def _layout(name: str, given: Mapping[str, Any]) -> Layout:
    known = {field.name: field.default for field in fields(Layout)} if name in _RESIDUAL else {}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UserError(f"{name} has no layout {unknown[0]!r}: {_choices(known)}")
    for key, value in given.items():
        choices = ("subsample", "convolution") if isinstance(known[key], str) else (False, True)
        if value not in choices:
            raise UserError(f"{name} cannot have {key} = {value!r}: choose {choices[0]!r} or {choices[1]!r}")
    return Layout(**given)


def _choices(known: Mapping[str, Any]) -> str:
    return f"choose among {', '.join(known)}" if known else "there is one layout only"


def describe(network: nn.Module) -> dict[str, Any]:
    """Say in plain JSON what ``rebuild`` needs to make a network of the same shape."""
    assert isinstance(network, Backbone)
    return dict(network.description)


def rebuild(description: Mapping[str, Any]) -> Backbone:
    """Make the network that ``describe`` described, its weights yet to be loaded.

    Raises
    ------
    UserError
        If it describes no network of this version.
    """
    try:
        given = dict(description)
        name = given.pop("backbone")
        if name != "fused":
            return build(name, **given)
        return Fused([rebuild(part) for part in given.pop("parts")], **given)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(
            f"this describes no network: {str(description)[:200]} ({type(error).__name__}: {error}); it was "
            "written by another version of embedlab, or changed by hand"
        ) from None


def output_parameters(network: nn.Module) -> list[str]:
    """Name the parameters between the last feature map and the embedding, in all parts of a fused network.

    Where the pooled features are the embedding there are none.
    """
    if isinstance(network, Fused):
        return [
            f"parts.{k}.{name}" for k, part in enumerate(network.parts) for name in output_parameters(part)
        ]
    assert isinstance(network, Backbone)
    within = tuple(f"{layer}." for layer in network.output_layers)
    return [name for name, _ in network.named_parameters() if name.startswith(within)]


def placed(network: N, device: str) -> N:
    """Move a network to a device, in the layout and with the strides that it is fastest with there."""
    if device == "cpu":
        compute.keep_memory()
    for module in network.modules():
        if isinstance(module, Subsample):
            module.place(device)
    return network.to(device).to(memory_format=memory_format(device))  # type: ignore[call-overload,no-any-return]


def memory_format(device: str) -> torch.memory_format:
    """Name the layout in memory that networks are fastest in: channels last, except on MPS."""
    return torch.contiguous_format if device == "mps" else torch.channels_last
