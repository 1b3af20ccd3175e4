"""Checkpoints: a trained backbone and all that is known of it; and state dicts from elsewhere.

::

    lab/checkpoints/<model>/model.safetensors   the backbone's tensors; the head is not kept
    lab/checkpoints/<model>/model.json          the record: recipe, preprocessing, history, …

The record is written last and holds the sha256 of the weights, so weights and record of two
different trainings are never taken for one model.
"""

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from embedlab.errors import UserError
from embedlab.networks.embedder import Preprocessing
from embedlab.store import Lab, atomic_file, sha256_of, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from embedlab.networks.backbones import IRSE18

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
    schema: int = field(default=SCHEMA)
    """Version of this record's layout."""


@dataclass(slots=True)
class TorchEmbedder:
    """A torch backbone as the extractor sees it (`embedlab.networks.embedder.Embedder`)."""

    name: str
    preprocessing: Preprocessing
    dimension: int
    fingerprint: str
    network: "IRSE18"
    device: str
    assumed_preprocessing: bool = False

    def embed(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        """Turn RGB images of ``preprocessing.size`` into float32 vectors, not normalised."""
        import torch

        from embedlab.networks.backbones import memory_format

        with (
            torch.inference_mode(),
            torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"),
        ):
            batch = torch.from_numpy(self.preprocessing.apply(images)).to(self.device)
            batch = batch.contiguous(memory_format=memory_format(self.network.width, self.device))
            vectors: np.ndarray = self.network(batch).float().cpu().numpy()
        return vectors


def save(lab: Lab, network: "IRSE18", record: Record) -> Path:
    """Write a backbone and its record; what was there before is replaced.

    A kill in between leaves no record, and so no model, rather than two halves.

    Returns
    -------
    Path
        The folder of the checkpoint.
    """
    from dataclasses import replace

    from safetensors.torch import save_file

    folder = lab.checkpoint(record.name)
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    (folder / RECORD).unlink(missing_ok=True)
    with atomic_file(folder / WEIGHTS) as temporary:
        # One key only: safetensors writes several in an order that differs from run to run.
        save_file(tensors, temporary, metadata={"order": "\n".join(tensors)})
        sha256 = sha256_of(temporary)
    write_json(folder / RECORD, asdict(replace(record, weights_sha256=sha256)))
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
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"cannot read {path} ({error}): train the model again with `embedlab train {name} --fresh`"
        ) from None


def load(lab: Lab, name: str, device: str = "cpu") -> TorchEmbedder:
    """Load a trained model of the lab, ready to embed.

    Raises
    ------
    UserError
        If there is no such checkpoint, it cannot be read, or weights and record belong to two
        different trainings.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    record = read_record(lab, name)
    path = lab.checkpoint(name) / WEIGHTS
    again = f"train the model again with `embedlab train {name} --fresh`"
    try:
        sha256 = sha256_of(path)
        if sha256 != record.weights_sha256:
            raise UserError(f"{path} is not the file that {RECORD} beside it was written for: {again}")
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path} ({error}): {again}") from None
    network = _built(state, str(path))
    if network.input_size != record.preprocessing.size:
        raise UserError(
            f"{path} takes images of {network.input_size} px, and {RECORD} says {record.preprocessing.size}: "
            f"{again}"
        )
    return _embedder(name, network, record.preprocessing, sha256, device)


def load_pth(
    path: Path | str, preprocessing: Preprocessing | None = None, device: str = "cpu"
) -> TorchEmbedder:
    """Load an IR-SE-18 state dict that another program saved with ``torch.save``.

    The state dict may stand alone or under ``state_dict`` or ``model``, with or without the
    ``module.`` that ``DataParallel`` adds. Width, input size and dimension are read off the shapes.
    Nothing but tensors is unpickled.

    Parameters
    ----------
    path
        The file.
    preprocessing
        The contract its images keep; by default RGB as (x − 127.5) / 127.5. Its size is replaced by
        the network's own.

    Raises
    ------
    UserError
        If the file cannot be read, holds code, or is of another network.
    """
    import torch

    path = Path(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        sha256 = sha256_of(path)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than tensors, which embedlab does not run: save its state_dict"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"cannot read {path} as a PyTorch checkpoint ({reason}): save its state_dict with torch.save"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(torch.is_tensor(v) for v in content.values()):
        raise UserError(
            f"{path} holds no state dict of tensors: save the network's state_dict() with torch.save"
        )
    network = _built({str(key).removeprefix("module."): v for key, v in content.items()}, str(path))
    contract = (preprocessing or Preprocessing(network.input_size)).at(network.input_size)
    return _embedder(path.stem, network, contract, sha256, device)


def _embedder(
    name: str, network: "IRSE18", preprocessing: Preprocessing, sha256: str, device: str
) -> TorchEmbedder:
    from embedlab.networks.backbones import memory_format

    network = network.eval().requires_grad_(False).to(device)
    network = network.to(memory_format=memory_format(network.width, device))  # type: ignore[call-overload]
    return TorchEmbedder(name, preprocessing, network.dimension, sha256, network, device)


def _built(state: Mapping[str, "Tensor"], where: str) -> "IRSE18":
    """Make the IR-SE-18 whose shapes a state dict has, and fill it."""
    from embedlab.networks.backbones import IRSE18, SHRINKAGE, widths

    first, last = state.get("input_layer.0.weight"), state.get("output_layer.3.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 2:
        found = ", ".join(list(state)[:3]) or "nothing"
        raise UserError(
            f"{where} is no IR-SE-18: it lacks input_layer.0.weight or output_layer.3.weight (it begins with "
            f"{found}); export the network to ONNX instead"
        )
    width, dimension = first.shape[0], last.shape[0]
    side = isqrt(last.shape[1] // widths(width)[-1])
    network = IRSE18(SHRINKAGE * max(side, 1), width, dimension)
    expected = network.state_dict()
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    wrong = {
        "missing": sorted(set(expected) - set(state) - counters),
        "unknown": sorted(set(state) - set(expected)),
        "of another shape": sorted(
            k for k in set(expected) & set(state) if expected[k].shape != state[k].shape
        ),
    }
    if any(wrong.values()):
        said = "; ".join(
            f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
            for what, keys in wrong.items()
            if keys
        )
        raise UserError(
            f"{where} is no IR-SE-18 of width {width}: {said}; export the network to ONNX instead"
        )
    network.load_state_dict(dict(state), strict=False)
    return network
