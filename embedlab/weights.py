"""LayerWeights: a checkpoint's convolution kernels by layer name, without torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from embedlab.errors import UserError

NORM_STATISTICS = ("weight", "bias", "running_mean", "running_var")


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
    """

    model: str
    layers: Mapping[str, Float[np.ndarray, "o i h w"]]
    norms: Mapping[str, Mapping[str, Float[np.ndarray, " c"]]]
    recipe: str = ""

    @property
    def title(self) -> str:
        """The model's name."""
        return self.model

    @property
    def fingerprint(self) -> str:
        """A hash of every name and number."""
        digest = hashlib.sha256()
        named: list[tuple[str, Any]] = list(self.layers.items())
        named += [(f"{n}.{k}", v) for n, norm in self.norms.items() for k, v in norm.items()]
        for name, values in named:
            digest.update(f"{name}:{values.dtype}:{values.shape}:".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        digest.update(self.recipe.encode())
        return digest.hexdigest()


def read(path: Path, model: str) -> LayerWeights:
    """Read the kernels and norm statistics of a safetensors checkpoint.

    Raises
    ------
    UserError
        If the file is no safetensors file or is cut short.
    """
    from safetensors import SafetensorError, safe_open

    layers: dict[str, Any] = {}
    norms: dict[str, dict[str, Any]] = {}
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
    for key in names:
        layer, _, kind = key.rpartition(".")
        if kind == "weight" and tensors[key].ndim == 4:
            layers[layer] = tensors[key]
        elif f"{layer}.running_mean" in tensors and kind in NORM_STATISTICS:
            norms.setdefault(layer, {})[kind] = tensors[key]
    return LayerWeights(model=model, layers=layers, norms=norms)
