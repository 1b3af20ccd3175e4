"""What a network looks like to the extractor, and the contract of how its images are prepared."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from embedlab.errors import UserError


@dataclass(frozen=True)
class Preprocessing:
    """How a face becomes a network's input; it travels with every checkpoint and embedding.

    Images are cut to their central square, brought to ``size`` by PIL's bilinear filter (which
    antialiases when shrinking), put in channel order, and normalised as ``(x − mean) / std`` with
    x in 0…255.
    """

    size: int
    """Side of the network's input in pixels."""
    channels: Literal["RGB", "BGR"] = "RGB"
    """Order of the colour channels."""
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """What is subtracted, per channel in that order, on the scale 0…255."""
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    """What is divided by, per channel in that order, on the scale 0…255."""
    interpolation: Literal["bilinear"] = "bilinear"
    """PIL's name of the resizing filter."""

    def apply(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n 3 s s"]:
        """Turn RGB images of the network's size into its input."""
        ordered = (images[..., ::-1] if self.channels == "BGR" else images).transpose(0, 3, 1, 2)
        scaled = np.empty(ordered.shape, np.float32)
        # In place and in the network's own layout: ten times faster than broadcasting along channels.
        np.copyto(scaled, ordered)
        scaled -= np.array(self.mean, np.float32)[:, None, None]
        scaled /= np.array(self.std, np.float32)[:, None, None]
        return scaled

    def to_json(self) -> dict[str, Any]:
        """Give the contract as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> "Preprocessing":
        """Read a contract back; ``where`` names the file in errors.

        Raises
        ------
        UserError
            If a key is unknown or missing, or a value is of the wrong kind.
        """
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown or "size" not in values:
            raise UserError(
                f"{where}: preprocessing has unknown keys {sorted(unknown)} or lacks 'size': the keys are "
                f"{', '.join(cls.__dataclass_fields__)}"
            )
        try:
            known = dict(values)
            for key in ("mean", "std"):
                if key in known:
                    red, green, blue = map(float, known[key])
                    known[key] = (red, green, blue)
            known["size"] = int(known["size"])
        except (TypeError, ValueError):
            raise UserError(
                f"{where}: preprocessing needs a whole number 'size' and three numbers each in 'mean' and "
                "'std'"
            ) from None
        if (
            known.get("channels", "RGB") not in ("RGB", "BGR")
            or known.get("interpolation", "bilinear") != "bilinear"
        ):
            raise UserError(f"{where}: 'channels' must be RGB or BGR, and 'interpolation' bilinear")
        if known["size"] < 1 or 0 in known.get("std", (1,)):
            raise UserError(f"{where}: 'size' must be positive and 'std' must not be zero")
        return cls(**known)

    def at(self, size: int) -> "Preprocessing":
        """Give the same contract for another input size."""
        return replace(self, size=size)


# The size here is the usual one; the network's own input size replaces it.
PRESETS = {
    "insightface": Preprocessing(112),
    "arcface-paper": Preprocessing(112, std=(128.0, 128.0, 128.0)),
    "adaface": Preprocessing(112, channels="BGR"),
    "imagenet": Preprocessing(112, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    "raw01": Preprocessing(112, mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)),
    "raw255": Preprocessing(112, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
}


class Embedder(Protocol):
    """A network that turns faces into vectors, wherever it came from."""

    name: str
    """The model's name in the lab."""
    preprocessing: Preprocessing
    """The contract its images keep."""
    dimension: int
    """Length of its vectors."""
    fingerprint: str
    """sha256 of its weights."""

    def embed(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        """Turn RGB images of ``preprocessing.size`` into float32 vectors, not normalised."""
