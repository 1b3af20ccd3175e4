"""PyTorch networks trained elsewhere become checkpoints of the lab, exactly: a tensor for a tensor.

``embedlab import backbone.pth`` reads a state dict, tells by `embedlab.networks.key_tables` whose network
it is, fills ours with it and stores that beside the networks trained here. Nothing but tensors is
unpickled. A tensor that is missing, unknown or of another shape is named, and nothing is imported then.
"""

import pickle
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import embedlab
from embedlab import compute
from embedlab.errors import UserError, first_line
from embedlab.networks import checkpoints, foreign, inference, key_tables
from embedlab.networks.embedder import PRESETS, Preprocessing
from embedlab.networks.key_tables import Match
from embedlab.progress import say
from embedlab.store import Lab, checked_name, made_name, sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from embedlab.networks.blocks import Backbone

WRAPPERS = (
    "state_dict",
    "state_dict_backbone",
    "model_state_dict",
    "model",
    "backbone",
    "network",
    "net",
)
"""Keys that programs save a state dict under, beside epoch and optimiser; looked for in this order."""

NAMED = 3


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
    """

    network: "Backbone"
    match: Match
    sha256: str
    prefix: str
    left_out: tuple[str, ...]

    @property
    def words(self) -> str:
        """Say in a line what was found."""
        network = self.network
        under = f", under {self.prefix!r}" if self.prefix else ""
        beside = f"; left out: {_listed(self.left_out)}" if self.left_out else ""
        return (
            f"layout of {self.match.source}{under}: {self.match.backbone}, width {self.match.width}, "
            f"{network.input_size} px, {network.dimension} numbers{beside}"
        )


def read(path: Path | str, *, backbone: str | None = None, input_size: int | None = None) -> Imported:
    """Read a state dict of a known layout into a network.

    Parameters
    ----------
    path
        A file written by ``torch.save`` or safetensors. The state dict may stand alone or under one of
        ``WRAPPERS``, and its keys may all begin alike (``module.``, ``model.``, ``backbone.``).
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
    whole, sha256 = _tensors(path)
    prefix = key_tables.prefix(list(whole), str(path))
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
    return Imported(network, found, sha256, prefix, tuple(sorted(set(whole) - {prefix + k for k in state})))


def open_file(path: Path, preprocessing: str | None, name: str | None) -> inference.TorchEmbedder:
    """Open a file of another maker without importing it; see `embedlab.networks.foreign.open_model`."""
    found = read(path)
    contract, assumed = foreign.contract(path, preprocessing, found.network.input_size, found.match.preset)
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
        As ``read`` does, if there is another model of that name already, or if the preset is not known.
    """
    path = Path(path)
    made = checked_name(name, "model") if name is not None else made_name(path.stem, "model")
    found = read(path, backbone=backbone, input_size=input_size)
    contract, assumed = foreign.contract(path, preprocessing, found.network.input_size, found.match.preset)
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
        "doctor` measures which channel order and scaling suit it"
    )


def _tensors(path: Path) -> tuple[dict[str, "Tensor"], str]:
    """Read the tensors of a file, by key, and its sha256."""
    import torch

    if not path.is_file():
        raise UserError(f"there is no model file {path}: correct the path")
    if path.suffix.lower() not in foreign.TORCH_SUFFIXES:
        raise UserError(
            f"{path} holds no state dict that can be read: give a file {', '.join(foreign.TORCH_SUFFIXES)}"
        )
    content = _safetensors(path) if path.suffix.lower() == ".safetensors" else _unpickled(path)
    # Some programs save the state dict within a checkpoint within a checkpoint.
    for _ in range(2):
        within = [content[key] for key in WRAPPERS if isinstance(content, Mapping) and key in content]
        content = next((each for each in within if isinstance(each, Mapping)), content)
    tensors = content if isinstance(content, Mapping) else {}
    if not tensors or not all(torch.is_tensor(value) for value in tensors.values()):
        raise UserError(
            f"{path} holds no state dict of tensors: save the network's state_dict() with torch.save"
        )
    return {str(key): value for key, value in tensors.items()}, sha256_of(path)


def _safetensors(path: Path) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"cannot read {path} as safetensors ({first_line(error)}): save it again") from None
    return tensors


def _unpickled(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            # It says that a pickle of another protocol may fail; if so, it does.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        bare = f"{path.stem}.pth"
        raise UserError(
            f"{path} holds more than tensors (as whole networks and Lightning's .ckpt files do), which "
            "embedlab does not run: in the program that made it, and if you trust it, save the tensors alone "
            f"with torch.save(torch.load({path.name!r}, weights_only=False)['state_dict'], {bare!r})"
        ) from None
    except Exception as error:
        # What is no pickle makes torch's reader raise nearly anything.
        raise UserError(
            f"cannot read {path} as a PyTorch checkpoint ({first_line(error)}): save its state_dict with "
            "torch.save"
        ) from None


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
        "not finite": sorted(
            theirs
            for theirs in both.values()
            if state[theirs].is_floating_point() and not bool(torch.isfinite(state[theirs]).all())
        ),
    }
    if any(wrong.values()):
        said = "; ".join(f"{len(keys)} {what} ({_listed(keys)})" for what, keys in wrong.items() if keys)
        raise UserError(
            f"{where} is no {found.backbone} of width {found.width} in the layout of {found.source}: {said}; "
            "export the network to ONNX instead"
        )
    network.load_state_dict({key: state[theirs] for key, theirs in both.items()}, strict=False)
    return network


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
