"""How images of a network from elsewhere are prepared: as told, as stated beside its file, or as assumed."""

import json
from pathlib import Path

from embedlab.errors import UserError
from embedlab.networks.embedder import PRESETS, Preprocessing

ASSUMED = "insightface"

TORCH_SUFFIXES = (".pth", ".pt", ".ckpt", ".tar", ".safetensors")


def model_file(path: Path) -> Path:
    """Give the path back if there is a file that can be read.

    Raises
    ------
    UserError
        If there is none, or it cannot be read.
    """
    try:
        if path.is_file():
            with path.open("rb"):
                return path
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}: make it readable") from None
    raise UserError(f"there is no model file {path}: correct the path")


def contract(
    path: Path, preset: str | None, size: int | None, assumed: str = ASSUMED
) -> tuple[Preprocessing, bool]:
    """Find how a model file's images are prepared: as told, as the JSON file beside it says, or as assumed.

    Parameters
    ----------
    path
        The model file.
    preset
        Name of a preset that the user states.
    size
        Side of the network's input, None where it is open.
    assumed
        Name of the preset to take where nobody states anything.

    Returns
    -------
    The contract, and whether it is assumed.

    Raises
    ------
    UserError
        If there is no such preset, or the JSON file is wrong or contradicts the size.
    """
    if preset is not None:
        return _preset(preset, size, "--preprocessing"), False
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return _preset(assumed, size, ""), True
    try:
        stated = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {beside} as JSON ({error}): correct it or remove it") from None
    stated = stated.get("preprocessing") if isinstance(stated, dict) else None
    if isinstance(stated, str):
        return _preset(stated, size, str(beside)), False
    if not isinstance(stated, dict):
        raise UserError(
            f'{beside} states no preprocessing: write {{"preprocessing": NAME}} with one of '
            f"{', '.join(PRESETS)}, or a whole contract in its place"
        )
    usual = {"size": size or PRESETS[assumed].size}
    found = Preprocessing.from_json({**usual, **stated}, str(beside))
    if size not in (None, found.size):
        raise UserError(
            f"{beside} says size {found.size}, but the network's input is {size} x {size}: correct it or "
            "leave the size out"
        )
    return found, False


def _preset(name: str, size: int | None, where: str) -> Preprocessing:
    if name not in PRESETS:
        raise UserError(f"{where}: unknown preprocessing {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name] if size is None else PRESETS[name].at(size)
