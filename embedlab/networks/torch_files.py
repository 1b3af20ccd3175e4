"""The tensors of a PyTorch or safetensors file: found whatever they are saved under, and nothing else run.

A training program may save a state dict alone, under a key beside its optimiser, and again as an
exponential moving average (EMA). Which was taken of several is said. What is no such file is told by its
first bytes, and only files of ``torch.save`` are ever advised to be unpickled.
"""

import pickle
import pickletools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from embedlab.errors import UserError, first_line
from embedlab.files import signatures
from embedlab.networks import key_tables
from embedlab.networks.contracts import TORCH_SUFFIXES, model_file

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = (
    "state_dict",
    "state_dict_backbone",
    "model_state_dict",
    "model",
    "backbone",
    "network",
    "net",
)
"""Keys that programs save a state dict under, beside epoch and optimiser; of several the first is taken."""

DEPTH = 3
"""Some programs save the state dict within a checkpoint within a checkpoint."""

MOST_PICKLE = 8 << 20

_AVERAGE = re.compile(r"(^|[._/])(ema|swa|averaged?|shadow)([._/]|$)", re.IGNORECASE)
_QUANTISED = re.compile(r"(^|\.)_packed_params(\.|$)")
NAMED = 3


@dataclass(frozen=True)
class Tensors:
    """The state dict of a file.

    Attributes
    ----------
    state
        Its tensors, by key.
    prefix
        What stands before each key of the network.
    note
        Which was taken, where there was a choice; empty if there was none.
    """

    state: Mapping[str, "Tensor"]
    prefix: str
    note: str


def read(path: Path) -> Tensors:
    """Read the state dict of a file.

    Parameters
    ----------
    path
        A file written by ``torch.save`` or safetensors, whatever its suffix.

    Raises
    ------
    UserError
        If the file is none of these, cannot be read, holds code, is of a quantised network, or of no known
        layout; or holds several networks of which none is more than an average of another.
    """
    model_file(path)
    if path.suffix.lower() not in TORCH_SUFFIXES:
        raise UserError(
            f"{path} holds no state dict that can be read: give a file {', '.join(TORCH_SUFFIXES)}"
        )
    content = _content(path)
    found = list(_networks(content))
    if not found:
        raise _no_network(path, content)
    place, prefix, state = _chosen(found, path)
    others = [_words(*one[:2]) for one in found if one[:2] != (place, prefix)]
    note = f"of {listed([_words(place, prefix), *others])} the first was taken" if others else ""
    if not note and place.split("/")[-1] not in ("", *WRAPPERS):
        note = f"taken from {_words(place, '')}"
    return Tensors(state, prefix, note)


def _networks(content: Any) -> "Iterator[tuple[str, str, dict[str, Tensor]]]":
    """Find the networks of known layouts: the keys down to each, what stands before its keys, and tensors."""
    for place, tensors in _mappings(content):
        state = {key: value for key, value in tensors.items() if _is_tensor(value)}
        for prefix in key_tables.prefixes(list(state)):
            yield place, prefix, state


def _mappings(content: Any) -> "list[tuple[str, dict[str, Any]]]":
    """List the mappings of a file and the keys down to each, outermost first, and each once."""
    found: list[tuple[str, dict[str, Any]]] = []
    seen: set[int] = set()
    level = [("", content)]
    for _ in range(DEPTH + 1):
        below = []
        for place, one in level:
            # A pickle may hold a mapping that holds itself.
            if not isinstance(one, Mapping) or id(one) in seen:
                continue
            seen.add(id(one))
            found.append((place, {str(key): value for key, value in one.items()}))
            below += [
                (f"{place}/{key}" if place else str(key), value)
                for key, value in one.items()
                # Its moments have the names and shapes of the weights.
                if not str(key).lower().startswith("optim")
            ]
        level = below
    return found


def _is_tensor(value: Any) -> bool:
    import torch

    return torch.is_tensor(value)


def _chosen(
    found: "Sequence[tuple[str, str, dict[str, Tensor]]]", path: Path
) -> "tuple[str, str, dict[str, Tensor]]":
    """Take the one network, or the one that is no average, or that under the most usual key."""
    plain = [one for one in found if not _AVERAGE.search(f"{one[0]}/{one[1]}")] or list(found)
    if len(plain) == 1:
        return plain[0]
    usual = [[key for key in WRAPPERS if key in one[0].split("/")[-1:]] for one in plain]
    ranks = [WRAPPERS.index(keys[0]) if keys else len(WRAPPERS) for keys in usual]
    if ranks.count(min(ranks)) > 1:
        raise UserError(
            f"{path} holds several networks, under {', '.join(_words(*one[:2]) for one in plain)}: save the "
            "state dict of one"
        )
    return plain[ranks.index(min(ranks))]


def _words(place: str, prefix: str) -> str:
    return repr(f"{place}/{prefix}" if place and prefix else place or prefix)


def _no_network(path: Path, content: Any) -> UserError:
    """Say what a file holds in place of a network: of its mappings the one with the most tensors."""
    mappings = _mappings(content) or [("", {})]
    place, inner = max(mappings, key=lambda one: sum(map(_is_tensor, one[1].values())))
    if any(_QUANTISED.search(key) or getattr(value, "is_quantized", False) for key, value in inner.items()):
        return quantised(path)
    keys = list(mappings[0][1])
    tensors = [key for key, value in inner.items() if _is_tensor(value)]
    if not tensors:
        what = f"keys {listed(keys)}" if keys else f"a {type(content).__name__}"
        return UserError(
            f"{path} holds no state dict of tensors, but {what}: save the network's state_dict() with "
            "torch.save"
        )
    outer = f" under its keys {listed(keys)}" if place else ""
    return UserError(
        f"{path} is no network of a known layout (IR, IR-SE, iresnet, MobileFaceNet, SphereFace-20 or "
        f"SE-ResNet-50){outer}: it begins with {listed(tensors)}; give your own code as "
        "module:callable, a function that returns the network with its weights, or export it to ONNX"
    )


def quantised(path: Path) -> UserError:
    """Say that a network's weights are whole numbers."""
    return UserError(
        f"{path} is of a quantised network, whose weights are whole numbers on scales of their own: give the "
        "network from before it was quantised, or export it to ONNX"
    )


def _content(path: Path) -> Any:
    kind = signatures.of_file(path)
    if kind is signatures.SAFETENSORS or (kind is None and path.suffix.lower() == ".safetensors"):
        return _safetensors(path)
    if kind is signatures.TORCH:
        return _unpickled(path)
    if kind is signatures.SCRIPT:
        raise UserError(
            f"{path} is {kind.name}, which embedlab does not run: save the network's state_dict() with "
            "torch.save, or export it to ONNX"
        )
    if kind is None:
        raise UserError(
            f"cannot read {path} as a PyTorch checkpoint (it does not begin as torch.save writes one): fetch "
            "it again, or save the network's state_dict() with torch.save"
        )
    cure = kind.cure or "give the file of the network's weights"
    raise UserError(f"{path} is no PyTorch file, but {kind.name}: {cure}")


def _safetensors(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"cannot read {path} as safetensors ({first_line(error)}): save it again") from None
    return tensors


def _unpickled(path: Path) -> Any:
    import torch

    try:
        # An open file, because of a path torch believes the suffix.
        with path.open("rb") as file, warnings.catch_warnings():
            # It says that a pickle of another protocol may fail; if so, it does.
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _more_than_tensors(path, error) from None
    except Exception as error:
        # A damaged file makes torch's reader raise nearly anything.
        raise UserError(
            f"cannot read {path} as a PyTorch checkpoint ({first_line(error)}): save its state_dict with "
            "torch.save"
        ) from None


def _more_than_tensors(path: Path, error: Exception) -> UserError:
    words = _strings(path)
    name = re.search(r"GLOBAL ([\w.]+)", str(error))
    what = f", such as {name[1]}" if name else ""
    key = next((key for key in WRAPPERS if key in words), "state_dict")
    # A network that was saved whole, and not its state dict.
    taken = ".state_dict()" if "_modules" in words and key not in words else f"[{key!r}]"
    return UserError(
        f"{path} holds more than tensors (as whole networks and Lightning's .ckpt files do){what}, which "
        "embedlab does not run: in the program that made it, and if you trust it, save the tensors alone "
        f"with torch.save(torch.load({path.name!r}, weights_only=False){taken}, {_free(path)!r})"
    )


def _free(path: Path) -> str:
    """Name a file that is not there yet, beside this one and where the program runs."""
    number = 1
    while True:
        name = f"{path.stem}-tensors{'' if number == 1 else number}.pth"
        if not (path.with_name(name).exists() or Path(name).exists()):
            return name
        number += 1


def _strings(path: Path) -> frozenset[str]:
    """List the words of a file's pickle, without following its instructions."""
    words = set()
    try:
        with ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as file:
                data = file.read(MOST_PICKLE)
        for _, argument, _ in pickletools.genops(data):
            if isinstance(argument, str):
                words.add(argument)
    except (OSError, BadZipFile, StopIteration, ValueError, NotImplementedError):
        # Of a damaged file, or one from before torch.save wrote archives, what was found so far.
        pass
    return frozenset(words)


def listed(names: Sequence[str]) -> str:
    """Name some, and say that there are more."""
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
