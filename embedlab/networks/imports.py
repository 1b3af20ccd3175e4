"""PyTorch networks trained elsewhere become checkpoints of the lab, exactly: a tensor for a tensor.

``embedlab import backbone.pth`` reads a state dict, tells by `embedlab.networks.key_tables` whose network
it is, fills ours with it and stores that beside the networks trained here. Nothing but tensors is
unpickled. A tensor that is missing, unknown or of another shape is named, and nothing is imported then.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import embedlab
from embedlab import compute
from embedlab.errors import UserError
from embedlab.lab.store import Lab, checked_name, made_name, sha256_of
from embedlab.networks import checkpoints, contracts, inference, key_tables, torch_files
from embedlab.networks.embedder import PRESETS, Preprocessing
from embedlab.networks.key_tables import Match
from embedlab.networks.torch_files import listed
from embedlab.progress import say

if TYPE_CHECKING:
    from torch import Tensor

    from embedlab.networks.blocks import Backbone


@dataclass(frozen=True)
class Imported:
    """A network that was read.

    Attributes
    ----------
    network
        Ours, filled.
    match
        What it was told to be.
    sha256
        Of the file.
    prefix
        What stood before each key.
    left_out
        Tensors beside the network, such as a head's.
    note
        Which of several networks of the file it is; empty if there was no choice.
    """

    network: "Backbone"
    match: Match
    sha256: str
    prefix: str
    left_out: tuple[str, ...]
    note: str = ""

    @property
    def words(self) -> str:
        """Say in a line what was found."""
        network = self.network
        under = f", under {self.prefix!r}" if self.prefix else ""
        beside = f"; left out: {listed(self.left_out)}" if self.left_out else ""
        note = f"; {self.note}" if self.note else ""
        return (
            f"layout of {self.match.source}{under}: {self.match.backbone}, width {self.match.width}, "
            f"{network.input_size} px, {network.dimension} numbers{note}{beside}"
        )


def read(path: Path | str, *, backbone: str | None = None, input_size: int | None = None) -> Imported:
    """Read a state dict of a known layout into a network.

    Parameters
    ----------
    path
        A file written by ``torch.save`` or safetensors. The state dict may stand alone or under keys, and its
        own keys may all begin alike (``module.``, ``model.``, ``backbone.``); see ``torch_files.read``.
    backbone
        What it should be; told otherwise it is refused. By default whatever it is.
    input_size
        Side of the input in pixels, checked in the same way. Needed only where features are pooled.

    Raises
    ------
    UserError
        If the file cannot be read, holds code, is of another network, or a tensor is missing, unknown, of
        another shape or not finite.
    """
    path = Path(path)
    held = torch_files.read(path)
    whole, prefix = held.state, held.prefix
    state = {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}
    found = key_tables.match({key: tuple(value.shape) for key, value in state.items()}, str(path))
    if backbone not in (None, found.backbone):
        raise UserError(
            f"{path} is {found.backbone} in the layout of {found.source}, not {backbone}: "
            f"`embedlab import {path} --recipe {found.backbone}`"
        )
    size = found.input_size or input_size
    if size is None:
        raise UserError(
            f"{path} is {found.backbone}, whose shapes leave the input open: say how large with "
            f"`embedlab import {path} --input PX`"
        )
    if input_size not in (None, size):
        raise UserError(
            f"{path} takes images of {size} px, as its linear layer says, not {input_size}: "
            f"`embedlab import {path} --input {size}`"
        )
    network = _filled(found, size, state, str(path))
    left_out = tuple(sorted(set(whole) - {prefix + key for key in state}))
    return Imported(network, found, sha256_of(path), prefix, left_out, held.note)


def open_file(path: Path, preprocessing: str | None, name: str | None) -> inference.TorchEmbedder:
    """Open a file of another maker without importing it; see `embedlab.networks.foreign.open_model`."""
    found = read(path)
    contract, assumed = contracts.contract(path, preprocessing, found.network.input_size, found.match.preset)
    made = checked_name(name, "model") if name is not None else made_name(path.stem, "model")
    embedder = inference.embedder(made, found.network, contract, found.sha256, compute.device())
    embedder.assumed_preprocessing = assumed
    say(f"  {path.name}: {found.words}")
    if assumed:
        _say_assumed(path, found.match)
    return embedder


def import_backbone(
    lab: Lab,
    path: Path | str,
    *,
    backbone: str | None = None,
    input_size: int | None = None,
    name: str | None = None,
    preprocessing: str | None = None,
    fresh: bool = False,
) -> Path:
    """Make a checkpoint of a network trained elsewhere.

    It is used like one trained here: for extraction, for the analyses of kernels and layers, and in
    recipes as ``initial`` or among ``parts``. Its record says which file it came from, by name and sha256.

    Parameters
    ----------
    lab
        Where it is stored.
    path
        The file; see ``read``.
    backbone, input_size
        What it should be; see ``read``.
    name
        The model's name in the lab; by default the file's.
    preprocessing
        Name of a preset, see ``PRESETS``. By default ``<file>.json`` beside it is asked, and then the usual
        preset of the source is assumed, which is said and recorded.
    fresh
        Put it in the place of another model of that name.

    Returns
    -------
    Path
        The folder of the checkpoint.

    Raises
    ------
    UserError
        As ``read`` does, if there is another model of that name already or vectors from elsewhere are
        called so, or if the preset is not known.
    """
    path = Path(path)
    made = checked_name(name, "model") if name is not None else made_name(path.stem, "model")
    lab.refuse_strangers(made)
    found = read(path, backbone=backbone, input_size=input_size)
    contract, assumed = contracts.contract(path, preprocessing, found.network.input_size, found.match.preset)
    recipe = {
        "imported": path.name,
        "sha256": found.sha256,
        "source": found.match.source,
        "backbone": found.match.backbone,
        "input_size": found.network.input_size,
        "width": found.match.width,
        "dimension": found.network.dimension,
        "preprocessing_assumed": assumed,
    }
    say(f"  {path.name}: {found.words}")
    if assumed:
        _say_assumed(path, found.match)
    record = _record(made, found, recipe, contract)
    if made in lab.trained() and not fresh:
        there = checkpoints.read_record(lab, made)
        if (there.recipe, there.preprocessing) == (recipe, contract):
            say(f"  {made} is there already, from this file")
            return lab.checkpoint(made)
        raise UserError(
            f"there is another model {made!r} in {lab.root}: import this one under another --model, or with "
            "--fresh in its place"
        )
    return checkpoints.save(lab, found.network, record)


def _record(
    name: str, found: Imported, recipe: dict[str, Any], contract: Preprocessing
) -> checkpoints.Record:
    import torch

    from embedlab.networks import backbones

    return checkpoints.Record(
        name=name,
        recipe=recipe,
        network=backbones.describe(found.network),
        preprocessing=contract,
        data={},
        identities=0,
        identities_sha256="",
        images=0,
        unreadable=[],
        history=[],
        metrics={},
        seed=0,
        device="",
        images_per_second=0.0,
        seconds=0.0,
        versions={
            "python": ".".join(map(str, sys.version_info[:3])),
            "torch": torch.__version__,
            "embedlab": embedlab.__version__,
        },
    )


def _say_assumed(path: Path, match: Match) -> None:
    caution = f"; {match.caution}" if match.caution else ""
    say(
        f"  {path.name}: preprocessing {match.preset!r} is assumed, as {match.source} has it{caution}. If it "
        f"was trained otherwise, say so with --preprocessing (known: {', '.join(PRESETS)}); `embedlab "
        "doctor` measures which channel order and scaling suit it",
        once=True,
    )


def _filled(found: Match, size: int, state: Mapping[str, "Tensor"], where: str) -> "Backbone":
    """Make the network and fill it, or name every tensor that does not fit."""
    import torch

    from embedlab.networks import backbones

    with torch.random.fork_rng(devices=[]):
        network = backbones.build(
            found.backbone,
            input_size=size,
            width=found.width,
            dimension=found.dimension,
            **found.layout,
        )
    if any(value.is_quantized for value in state.values()):
        raise torch_files.quantised(Path(where))
    ours = network.state_dict()
    table = {key: found.theirs(key) for key in ours}
    # Counters of batches, which nothing reads; older files lack them.
    counters = {theirs for theirs in table.values() if theirs.endswith("num_batches_tracked")}
    both = {key: theirs for key, theirs in table.items() if theirs in state}
    wrong = {
        "missing": sorted(set(table.values()) - set(state) - counters),
        "unknown": sorted(set(state) - set(table.values())),
        "of another shape": sorted(
            f"{theirs} {tuple(state[theirs].shape)} for {tuple(ours[key].shape)}"
            for key, theirs in both.items()
            if state[theirs].shape != ours[key].shape
        ),
        "of whole or complex numbers": sorted(
            theirs
            for key, theirs in both.items()
            if ours[key].is_floating_point() and not state[theirs].is_floating_point()
        ),
        # As float32, the numbers that the network will have.
        "not finite": sorted(
            theirs
            for theirs in both.values()
            if state[theirs].is_floating_point() and not bool(torch.isfinite(state[theirs].float()).all())
        ),
    }
    if any(wrong.values()):
        said = "; ".join(f"{len(keys)} {what} ({listed(keys)})" for what, keys in wrong.items() if keys)
        raise UserError(
            f"{where} is no {found.backbone} of width {found.width} in the layout of {found.source}: {said}; "
            "export the network to ONNX instead"
        )
    network.load_state_dict({key: state[theirs] for key, theirs in both.items()}, strict=False)
    return network
