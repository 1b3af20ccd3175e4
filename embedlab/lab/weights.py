"""LayerWeights: a checkpoint's convolution kernels by layer name, without torch."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embedlab.digest import Digest
from embedlab.errors import UserError

NORM_STATISTICS = ("weight", "bias", "running_mean", "running_var")

ARROW = " -> "
FIXED = "fixed"
"""The group of channels whose order is given: an image's colours, an embedding's components."""


@dataclass(frozen=True)
class LayerWeights:
    """The convolution kernels of one model.

    Attributes
    ----------
    model
        The model's name.
    layers
        Layer name → kernels of shape (out channels, in channels, height, width), in network order.
    norms
        Norm layer's name → its statistics (``running_mean``, ``running_var`` and, where the layer
        is affine, ``weight`` and ``bias``), each of shape (channels,).
    recipe
        What two trainings of one recipe share, whatever their seeds; empty where it is not known.
    slopes
        PReLU layer's name → its slope in each channel, of shape (channels,).
    family, wires
        How the layers hang together, as the network itself was asked; empty where it was not, and names
        and shapes must tell.
    """

    model: str
    layers: Mapping[str, Float[np.ndarray, "o i h w"]]
    norms: Mapping[str, Mapping[str, Float[np.ndarray, " c"]]]
    recipe: str = ""
    slopes: Mapping[str, Float[np.ndarray, " c"]] = field(default_factory=dict)
    family: str = ""
    wires: Mapping[str, "Wire"] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The model's name."""
        return self.model

    @property
    def fingerprint(self) -> str:
        """A hash of the model's name and of every name and number."""
        digest = Digest()
        for name in (self.model, self.recipe):
            digest.text(name)
        for norm, statistics in (("", self.layers), *self.norms.items(), ("", self.slopes)):
            digest.text(norm)
            digest.column(list(statistics))
            for values in statistics.values():
                digest.array(values)
        if self.wires:
            digest.text(self.family)
            digest.column([f"{name}: {wire}" for name, wire in self.wires.items()])
        return digest.hexdigest()


def read(path: Path, model: str) -> LayerWeights:
    """Read the kernels and norm statistics of a safetensors checkpoint.

    Raises
    ------
    UserError
        If the file is no safetensors file or is cut short.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            keys = list(file.keys())
            tensors = {key: file.get_tensor(key) for key in keys}
            order = (file.metadata() or {}).get("order")
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"cannot read {path} as safetensors ({error}): train or import the model again"
        ) from None
    # safetensors sorts by name; the writer keeps the network's own order in the header.
    names = [k for k in order.split("\n") if k in tensors] if order else keys
    return of_tensors({name: tensors[name] for name in names}, model)


def of_tensors(tensors: Mapping[str, np.ndarray], model: str) -> LayerWeights:
    """Sort a state dict's tensors, in network order, into kernels, norm statistics and slopes."""
    layers: dict[str, Any] = {}
    norms: dict[str, dict[str, Any]] = {}
    slopes: dict[str, Any] = {}
    for key in tensors:
        layer, _, kind = key.rpartition(".")
        if kind == "weight" and tensors[key].ndim == 4:
            layers[layer] = tensors[key]
        elif f"{layer}.running_mean" in tensors and kind in NORM_STATISTICS:
            norms.setdefault(layer, {})[kind] = tensors[key]
        elif kind == "weight" and tensors[key].ndim == 1 and f"{layer}.bias" not in tensors:
            slopes[layer] = tensors[key]
    return LayerWeights(model=model, layers=layers, norms=norms, slopes=slopes)


def shared_layers(a: LayerWeights, b: LayerWeights) -> list[str]:
    """Name the layers that two networks have under one name and in one shape, in the order of ``a``.

    Raises
    ------
    UserError
        If there are none.
    """
    shared = [n for n, kernels in a.layers.items() if n in b.layers and b.layers[n].shape == kernels.shape]
    if not shared:
        raise UserError(
            f"{a.model} and {b.model} share no layer of one name and shape, so they cannot be compared layer "
            "by layer: choose two models of one architecture and width"
        )
    return shared


class Wire(NamedTuple):
    """Which group of channels a layer reads, and which it writes; channels of one group go together."""

    inputs: str
    outputs: str

    def __str__(self) -> str:
        return f"{self.inputs}{ARROW}{self.outputs}"


def described(family: str, wires: Mapping[str, Wire]) -> dict[str, Any]:
    """Say in plain JSON how a network's layers hang together."""
    return {"family": family, "layers": {name: str(wire) for name, wire in wires.items()}}


def wired(weights: LayerWeights, description: Mapping[str, Any], where: Path) -> LayerWeights:
    """Give the network the wiring that ``described`` described; as it is where there is none.

    Raises
    ------
    UserError
        If that is no wiring of this network; ``where`` is the file to blame.
    """
    if not description:
        return weights
    try:
        wires = {name: Wire(*wire.split(ARROW)) for name, wire in description["layers"].items()}
        fits = bool(description["family"]) and {*weights.layers} <= {*wires} and _fits(weights, wires)
    except (AttributeError, KeyError, TypeError):
        fits = False
    if not fits:
        raise UserError(
            f"{where} has a wiring that is not of the network {weights.model}: train or import it again with "
            "--fresh"
        )
    return replace(weights, family=str(description["family"]), wires=wires)


def alike(a: Mapping[str, Wire], b: Mapping[str, Wire]) -> bool:
    """Say whether two wirings are one, but for the names of the groups."""
    if a.keys() != b.keys():
        return False
    pairs = {(FIXED, FIXED)}.union(*(zip(a[name], b[name], strict=True) for name in a))
    return len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)


def architecture(weights: LayerWeights) -> str:
    """Tell how the layers hang together: as the network was asked, else as far as names and shapes show it.

    Returns
    -------
    The network's family if its wiring is known. Else ``"IR-SE"`` if all layers bear the names of that family
    of residual networks (of any depth and width, with or without squeeze-and-excitation, with or without a
    norm layer inside the blocks); ``"SphereFace"`` if they bear those of its networks (``conv1_1`` …);
    ``"chain"`` if each layer has as many input channels as the layer before it has outputs, which then is
    taken for what it reads; else ``"unknown"``, and for fused networks.
    """
    if weights.wires:
        return weights.family
    if any(name.startswith("parts.") for name in weights.layers):
        return "unknown"
    for kind, wired in _WIRED.items():
        if weights.layers and set(weights.layers) <= set(found := wired(weights)) and _fits(weights, found):
            return kind
    return "chain" if _fits(weights, _chain(weights)) else "unknown"


def wiring(weights: LayerWeights) -> dict[str, Wire]:
    """Name the group of channels that each layer reads and writes.

    Permuting the channels of a group alike in all layers of it leaves the network's function as it
    is. In a residual network all blocks up to the next convolution in a shortcut write into one group.
    Channels of the group ``FIXED`` cannot be permuted.

    Returns
    -------
    Layer → groups: convolutions, and norm and PReLU layers (which read and write one group) as far as
    the architecture places them. Where it is ``"unknown"``, each convolution writes a group
    of its own and reads ``FIXED``: its inputs have to be taken as they stand.
    """
    kind = architecture(weights)
    if weights.wires or kind in _WIRED:
        placed = {*weights.layers, *weights.norms, *weights.slopes}
        found = weights.wires or _WIRED[kind](weights)
        return {name: wire for name, wire in found.items() if name in placed}
    if kind == "chain":
        return _chain(weights)
    return {name: Wire(FIXED, name) for name in weights.layers}


def residual_places(weights: LayerWeights, block: str) -> dict[str, str]:
    """Name the layers of one block of an IR-SE network by their part in it; see `_residual`.

    A norm layer between the first convolution and its PReLU moves all after it one place on.
    """
    inside = f"{block}.res_layer.4" in weights.layers
    parts = ["norm", "first", *(["inner norm"] if inside else []), "slope", "second", "last norm", "squeeze"]
    return {part: f"{block}.res_layer.{place}" for place, part in enumerate(parts)}


def _residual(weights: LayerWeights) -> dict[str, Wire]:
    """Wire an IR-SE network by its layers' names."""
    stream = "stream 0"
    wires = {"input_layer.0": Wire(FIXED, stream)}
    wires |= {f"input_layer.{k}": Wire(stream, stream) for k in (1, 2)}
    blocks = {int(m[1]) for name in weights.layers if (m := re.match(r"body\.(\d+)\.", name))}
    for k in sorted(blocks):
        block, inner, squeeze = f"body.{k}", f"inner {k}", f"squeeze {k}"
        shortcut = f"{block}.shortcut_layer.0" in weights.layers
        before, stream = stream, f"stream {k + 1}" if shortcut else stream
        places = residual_places(weights, block)
        wires |= {
            places["norm"]: Wire(before, before),
            places["first"]: Wire(before, inner),
            places["slope"]: Wire(inner, inner),
            places["second"]: Wire(inner, stream),
            places["last norm"]: Wire(stream, stream),
            f"{places['squeeze']}.fc1": Wire(stream, squeeze),
            f"{places['squeeze']}.fc2": Wire(squeeze, stream),
        }
        if "inner norm" in places:
            wires[places["inner norm"]] = Wire(inner, inner)
        if shortcut:
            wires[f"{block}.shortcut_layer.0"] = Wire(before, stream)
            wires[f"{block}.shortcut_layer.1"] = Wire(stream, stream)
    wires["output_layer.0"] = Wire(stream, stream)
    wires |= {f"output_layer.{k}": Wire(FIXED, FIXED) for k in (3, 4)}
    return wires


def _sphereface(weights: LayerWeights) -> dict[str, Wire]:
    """Wire a SphereFace network by its layers' names: after the first of a stage, pairs with a shortcut.

    Other networks, VGG's, call their convolutions the same, but have no slopes.
    """
    wires = {"fc5": Wire(FIXED, FIXED), "bn5": Wire(FIXED, FIXED)}
    for name in (*weights.layers, *weights.norms, *weights.slopes):
        found = re.fullmatch(r"(conv|bn|relu)(\d+_\d+)", name)
        if not found or f"relu{found[2]}" not in weights.slopes:
            continue
        kind, (stage, layer) = found[1], map(int, found[2].split("_"))
        before = f"stream {stage - 1}" if stage > 1 else FIXED
        stream, inner = f"stream {stage}", f"inner {stage}_{layer // 2}"
        outputs = inner if layer % 2 == 0 else stream
        reads = before if layer == 1 else stream if layer % 2 == 0 else inner
        wires[name] = Wire(reads if kind == "conv" else outputs, outputs)
    return wires


_WIRED: dict[str, Callable[[LayerWeights], dict[str, Wire]]] = {
    "IR-SE": _residual,
    "SphereFace": _sphereface,
}


def _chain(weights: LayerWeights) -> dict[str, Wire]:
    names = list(weights.layers)
    return {name: Wire(before, name) for before, name in zip([FIXED, *names], names, strict=False)}


def _fits(weights: LayerWeights, wires: Mapping[str, Wire]) -> bool:
    """Say whether all that share a group have one number of channels."""
    sizes: dict[str, set[int]] = {}
    for name, kernels in weights.layers.items():
        for group, size in zip((wires[name].outputs, wires[name].inputs), kernels.shape, strict=False):
            sizes.setdefault(group, set()).add(size)
    return all(len(found) == 1 for group, found in sizes.items() if group != FIXED)
