"""Checkpoints: a trained backbone and all that is known of it.

::

    lab/checkpoints/<model>/model.safetensors   the backbone's tensors; the head is not kept
    lab/checkpoints/<model>/model.json          the record: recipe, preprocessing, history, …

The record is written last and holds the sha256 of the weights, so weights and record of two
different trainings are never taken for one model.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.errors import UserError
from embedlab.lab.store import Lab, atomic_file, locked, sha256_of, write_json
from embedlab.networks import inference
from embedlab.networks.embedder import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn

    from embedlab.networks.blocks import Backbone

SCHEMA = 1
WEIGHTS = "model.safetensors"
RECORD = "model.json"


@dataclass(frozen=True)
class Record:
    """What ``model.json`` says of a model."""

    name: str
    """The model's name in the lab."""
    recipe: dict[str, Any]
    """Every value of the recipe it was trained by."""
    preprocessing: Preprocessing
    """The contract its images keep."""
    data: dict[str, str]
    """Data set → fingerprint."""
    identities: int
    """How many people it was trained on."""
    identities_sha256: str
    """Hash of their sorted names."""
    images: int
    """How many images it was trained on."""
    unreadable: list[dict[str, str]]
    """Images left out, each with ``item`` and ``reason``."""
    history: list[dict[str, Any]]
    """One entry an epoch: ``epoch``, ``loss``, ``pair_accuracy``, ``pair_accuracy@32``,
    ``pair_chance``, ``learning_rate``, ``seconds``."""
    metrics: dict[str, Any]
    """The last epoch's figures."""
    seed: int
    """What every random draw was derived from."""
    device: str
    """What it was trained on."""
    images_per_second: float
    """Images through forward, backward and step, a second."""
    seconds: float
    """How long training took, reading and validation included."""
    versions: dict[str, str]
    """Of python, torch and embedlab."""
    weights_sha256: str = ""
    """Hash of ``model.safetensors``; set by ``save``."""
    network: dict[str, Any] = field(default_factory=dict)
    """What `backbones.rebuild` makes the network of; set by ``save``. Empty in older records, whose
    networks are all IR-SE-18."""
    wiring: dict[str, Any] = field(default_factory=dict)
    """Which layers read and write which channels, see `embedlab.networks.wiring`; set by ``save``. Empty in
    older records, where the layers' names tell it of some networks."""
    origin: dict[str, str] = field(default_factory=dict)
    """Hash of the weights of each model that training began from."""
    seen: list[str] = field(default_factory=list)
    """Fingerprints of all that it, or a model it began from, was trained on; of packs their sources' too."""
    schema: int = field(default=SCHEMA)
    """Version of this record's layout."""


def save(lab: Lab, network: "nn.Module", record: Record) -> Path:
    """Write a backbone and its record; what was there before is replaced.

    A kill in between leaves no record, and so no model, rather than two halves.

    Returns
    -------
    Path
        The folder of the checkpoint.
    """
    from safetensors.torch import save_file

    from embedlab.networks import wiring
    from embedlab.networks.backbones import describe

    folder = lab.checkpoint(record.name)
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with locked(folder, f"writing {record.name}"):
        with atomic_file(folder / WEIGHTS) as temporary:
            # One key only: safetensors writes several in an order that differs from run to run.
            save_file(tensors, temporary, metadata={"order": "\n".join(tensors)})
            sha256 = sha256_of(temporary)
            # Not before the weights are whole: a full disk leaves the model that was there.
            (folder / RECORD).unlink(missing_ok=True)
        described = replace(
            record, weights_sha256=sha256, network=describe(network), wiring=wiring.described(network)
        )
        write_json(folder / RECORD, asdict(described))
    return folder


def read_record(lab: Lab, name: str) -> Record:
    """Read a model's ``model.json``.

    Raises
    ------
    UserError
        If there is no such checkpoint, or the record cannot be read.
    """
    path = lab.checkpoint(name) / RECORD
    if not path.is_file():
        there = ", ".join(lab.trained()) or "none"
        raise UserError(
            f"no checkpoint of model {name!r} in {lab.root} (there are: {there}): make it with "
            f"`embedlab train {name}`"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["schema"] != SCHEMA:
            raise UserError(
                f"{path} has layout {values['schema']!r}, and this embedlab reads {SCHEMA}: train the "
                f"model again with `embedlab train {name} --fresh`"
            )
        values["preprocessing"] = Preprocessing.from_json(values["preprocessing"], str(path))
        return Record(**values)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"cannot read {path} ({error}): train the model again with `embedlab train {name} --fresh`"
        ) from None


def load(lab: Lab, name: str, device: str = "cpu") -> inference.TorchEmbedder:
    """Load a trained model of the lab, ready to embed.

    Raises
    ------
    UserError
        If there is no such checkpoint, it cannot be read, or weights and record belong to two
        different trainings.
    """
    network, record = _loaded(lab, name)
    ready = inference.embedder(name, network, record.preprocessing, record.weights_sha256, device)
    ready.assumed_preprocessing = bool(record.recipe.get("preprocessing_assumed"))
    return ready


def load_network(lab: Lab, name: str) -> "Backbone":
    """Load the network of a trained model of the lab as it was built: on the CPU, in float32, to train on.

    Raises
    ------
    UserError
        As ``load``.
    """
    return _loaded(lab, name)[0]


def _loaded(lab: Lab, name: str) -> tuple["Backbone", Record]:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from embedlab.networks.backbones import rebuild

    record = read_record(lab, name)
    path = lab.checkpoint(name) / WEIGHTS
    imported = record.recipe.get("imported")
    again = (
        f"import it again with `embedlab import {imported} --model {name} --fresh`"
        if imported
        else f"train the model again with `embedlab train {name} --fresh`"
    )
    try:
        sha256 = sha256_of(path)
        if sha256 != record.weights_sha256:
            raise UserError(f"{path} is not the file that {RECORD} beside it was written for: {again}")
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path} ({error}): {again}") from None
    if record.network:
        try:
            with torch.device("meta"):
                network = rebuild(record.network)
        except UserError as error:
            raise UserError(f"{path.with_name(RECORD)}: {error}: {again}") from None
    else:
        network = _read_off(state, str(path), again)
    _fill(network, state, f"{path} is not the network that {RECORD} describes", again)
    if network.input_size != record.preprocessing.size:
        raise UserError(
            f"{path} takes images of {network.input_size} px, and {RECORD} says {record.preprocessing.size}: "
            f"{again}"
        )
    return network, record


def _read_off(state: Mapping[str, "Tensor"], where: str, again: str) -> "Backbone":
    """Make the IR-SE-18 whose shapes an older checkpoint has, without weights."""
    import torch

    from embedlab.networks.backbones import build
    from embedlab.networks.blocks import STRIDE

    first, last = state.get("input_layer.0.weight"), state.get("output_layer.3.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 2:
        found = ", ".join(list(state)[:3]) or "nothing"
        raise UserError(
            f"{where} is no IR-SE-18: it lacks input_layer.0.weight or output_layer.3.weight (it begins with "
            f"{found}): {again}"
        )
    width, dimension = first.shape[0], last.shape[0]
    side = isqrt(last.shape[1] // max(8 * width, 1))
    with torch.device("meta"):
        return build("ir_se_18", input_size=STRIDE * max(side, 1), width=width, dimension=dimension)


def _fill(network: "Backbone", state: Mapping[str, "Tensor"], what: str, advice: str) -> None:
    """Give a network that was made without weights the tensors of a state dict, all and nothing else."""
    expected = network.state_dict()
    wrong = {
        "missing": sorted(set(expected) - set(state)),
        "unknown": sorted(set(state) - set(expected)),
        "of another shape": sorted(
            k for k in set(expected) & set(state) if expected[k].shape != state[k].shape
        ),
    }
    if any(wrong.values()):
        said = "; ".join(
            f"{len(keys)} {kind} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
            for kind, keys in wrong.items()
            if keys
        )
        raise UserError(f"{what}: {said}; {advice}")
    network.to_empty(device="cpu").load_state_dict(dict(state))
