"""Models that Python code gives: ``module:callable``.

``embedlab report --models mypkg.net:load`` imports ``mypkg.net`` and calls ``load()``. This runs the
user's own code, with all the user's rights, on the user's word; nothing else in embedlab does so, and
model files never do. What the callable may return:

- a ``torch.nn.Module`` that takes normalised images (n, 3, s, s) and gives vectors (n, d), or several
  outputs of which the first that is (n, d) with d > 1 is taken;
- a function from uint8 RGB images (n, s, s, 3) to vectors (n, d), which prepares them by itself;
- an embedder as ``embedlab.networks.embedder.Embedder`` describes it, taken as it is.

How images are prepared stands in an attribute ``preprocessing`` of what is returned, or else of the
callable: a preset's name, a dictionary or a ``Preprocessing``. Of a function only the size matters.
"""

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from embedlab import compute
from embedlab.closure import closure
from embedlab.errors import Terminated, UserError, first_line
from embedlab.files.columns import narrowed
from embedlab.lab.store import checked_name, made_name
from embedlab.lab.weights import NORM_STATISTICS, LayerWeights, of_tensors
from embedlab.networks import inference
from embedlab.networks.embedder import PRESETS, Embedder, Preprocessing
from embedlab.progress import say

ASSUMED = "insightface"


@dataclass(slots=True)
class FunctionEmbedder:
    """A user's function as the extractor sees it; it prepares its images by itself."""

    name: str
    preprocessing: Preprocessing
    dimension: int
    fingerprint: str
    function: Callable[[np.ndarray], Any]
    assumed_preprocessing: bool = False
    device: str = "as the function has it"

    def embed(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        """Turn RGB images of ``preprocessing.size`` into float32 vectors, not normalised.

        Raises
        ------
        UserError
            If the function raises, or gives no vector an image.
        """
        try:
            # A function may work in its argument's place, and the images are wanted again to be mirrored.
            found = self.function(images.copy())
        except Terminated:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"model {self.name} fails on {_of(images)}: {_said(error)}") from error
        if torch.is_tensor(found):
            found = found.detach().float().cpu().numpy()
        vectors = np.asarray(found) if not isinstance(found, dict | str | None) else None
        if (
            vectors is None
            or vectors.dtype.kind not in "fiu"
            or vectors.ndim != 2
            or len(vectors) != len(images)
        ):
            what = type(found).__name__ if vectors is None else f"an array {vectors.shape} of {vectors.dtype}"
            raise UserError(
                f"model {self.name} gives {what} for {_of(images)}: it must return numbers of shape (n, d), "
                "a row an image"
            )
        if self.dimension not in (0, vectors.shape[1]):
            raise UserError(
                f"model {self.name} gives vectors of {vectors.shape[1]} numbers, and before of "
                f"{self.dimension}: it must always return equally many"
            )
        return narrowed(vectors)


class Vectors(nn.Module):
    """A user's network with the one output that is a vector an image."""

    def __init__(self, network: nn.Module, name: str, dimension: int = 0) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.dimension = dimension

    def forward(self, x: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n d"]:
        """Run the network and take the vectors.

        Raises
        ------
        UserError
            If the network fails, or no output is a vector an image.
        """
        try:
            found = self.network(x)
        except Terminated:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(
                f"model {self.name} fails on a batch of shape {tuple(x.shape)}: {_said(error)}"
            ) from error
        several: Sequence[Any] = [found] if torch.is_tensor(found) else _outputs(found)
        flat = [
            out.flatten(1)
            for out in several
            if torch.is_tensor(out)
            and out.ndim >= 2
            and len(out) == len(x)
            and all(side == 1 for side in out.shape[2:])
            and out.is_floating_point()
        ]
        if not flat:
            shapes = ", ".join(
                str(tuple(out.shape)) if torch.is_tensor(out) else type(out).__name__ for out in several
            )
            raise UserError(
                f"model {self.name} gives {shapes or 'nothing'} for {len(x)} images: one output must be a "
                "vector an image, (n, d)"
            )
        return next((out for out in flat if out.shape[1] > 1), flat[0])


def open_callable(spec: str, preprocessing: str | None = None, name: str | None = None) -> Embedder:
    """Import a module, call one of its functions, and take what it returns for a model.

    This runs code. The working folder is looked in for the module, before all others.

    Parameters
    ----------
    spec
        ``module:callable``, as in ``mypkg.net:load`` or ``net:Models.small``.
    preprocessing
        Name of a preset, see ``PRESETS``; goes before the attribute. For a network that has neither
        ``insightface`` is assumed, and that is said.
    name
        The model's name in the lab; by default the embedder's own, or made of ``spec``.

    Returns
    -------
    Embedder
        Its fingerprint is a hash of the network's weights and of the module's source, or an attribute
        ``fingerprint`` where there is one. A function that reads its weights from elsewhere should have
        that attribute, since its source does not change with them.

    Raises
    ------
    UserError
        If there is no such module or attribute, it raises, returns something else, gives no vectors, or
        its preprocessing is not to be understood.
    """
    function = _imported(spec)
    try:
        found = function()
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{spec} raises when called without arguments: {_said(error)}") from error
    module = sys.modules[spec.partition(":")[0]]
    if _is_embedder(found):
        return _as_it_is(cast(Embedder, found), spec, preprocessing, name)
    if not isinstance(found, nn.Module) and not callable(found):
        raise UserError(
            f"{spec} returns {type(found).__name__}: it must return a torch.nn.Module, a function from uint8 "
            "images (n, s, s, 3) to vectors (n, d), or an embedder"
        )
    made = checked_name(name, "model") if name is not None else made_name(spec, "model")
    contract, assumed = _contract(spec, found, function, preprocessing)
    embedder = _ready(found, made, contract, _fingerprint(found, function, module))
    embedder.assumed_preprocessing = assumed
    if assumed:
        what = "size 112" if isinstance(embedder, FunctionEmbedder) else "RGB, (x - 127.5) / 127.5, 112 px"
        say(
            f"  {spec}: preprocessing {ASSUMED!r} is assumed ({what}); state it with --preprocessing or an "
            f"attribute `preprocessing` (known: {', '.join(PRESETS)})",
            once=True,
        )
    return embedder


def layer_weights(embedder: Embedder) -> LayerWeights | None:
    """Read the kernels of a network that is loaded, whoever made it; None where there is no torch network.

    What stands in ``weight``, ``bias`` and the running statistics of each module is taken, so kernels that
    are computed from others, as under weight normalisation, come as the network uses them.
    """
    network = getattr(embedder, "network", None)
    network = network.network if isinstance(network, Vectors) else network
    while isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        network = network.module
    network = getattr(network, "_orig_mod", network)  # What torch.compile wraps.
    if not isinstance(network, nn.Module):
        return None
    found = {}
    with torch.no_grad():
        for name, module in network.named_modules():
            for kind in NORM_STATISTICS:
                value = getattr(module, kind, None)
                if torch.is_tensor(value) and value.is_floating_point():
                    found[f"{name}.{kind}"] = value.detach().float().cpu().numpy()
    return of_tensors(found, embedder.name)


def _ready(
    found: Any, name: str, contract: Preprocessing, fingerprint: str
) -> "FunctionEmbedder | inference.TorchEmbedder":
    probe = np.full((2, contract.size, contract.size, 3), 128, np.uint8)
    if isinstance(found, nn.Module):
        network = Vectors(found.eval().float(), name)
        ready = inference.embedder(name, network, contract, fingerprint, compute.device())
        ready.dimension = network.dimension = ready.embed(probe).shape[1]
        return ready
    wrapped = FunctionEmbedder(name, contract, 0, fingerprint, found)
    wrapped.dimension = wrapped.embed(probe).shape[1]
    return wrapped


def _imported(spec: str) -> Callable[[], Any]:
    module, colon, attribute = spec.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise UserError(f"{spec!r} is no module:callable: write it as in mypkg.net:load")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise UserError(
                f"there is no module {error.name!r} for {spec}: run where it lies, install it, or name its "
                "folder in PYTHONPATH"
            ) from None
        raise UserError(f"{module} cannot be imported: {_said(error)}") from error
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{module} cannot be imported: {_said(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [
                key for key, value in vars(found).items() if callable(value) and not key.startswith("_")
            ]
            raise UserError(
                f"{module} has no {attribute!r}: it has {', '.join(sorted(public)[:20]) or 'nothing to call'}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"{spec} is {type(found).__name__}, and must be something to call without arguments")
    return cast(Callable[[], Any], found)


def _is_embedder(found: Any) -> bool:
    fields = ("name", "preprocessing", "dimension", "fingerprint")
    return all(hasattr(found, key) for key in fields) and callable(getattr(found, "embed", None))


def _as_it_is(found: Embedder, spec: str, preprocessing: str | None, name: str | None) -> Embedder:
    if not isinstance(found.preprocessing, Preprocessing):
        kind = type(found.preprocessing).__name__
        raise UserError(
            f"{spec} returns an embedder whose preprocessing is {kind}: make it an "
            "embedlab.networks.embedder.Preprocessing"
        )
    if preprocessing is not None:
        raise UserError(
            f"{spec} returns an embedder that states its preprocessing: leave out --preprocessing for it"
        )
    found.name = checked_name(name if name is not None else str(found.name), "model")
    return found


def _contract(spec: str, found: Any, function: Any, preset: str | None) -> tuple[Preprocessing, bool]:
    size = getattr(found, "input_size", None)
    size = size if isinstance(size, int) else None
    stated = preset or getattr(found, "preprocessing", None) or getattr(function, "preprocessing", None)
    assumed = stated is None
    where = "--preprocessing" if preset else spec
    if isinstance(stated, Preprocessing):
        contract = stated
    elif isinstance(stated, Mapping):
        contract = Preprocessing.from_json({**({"size": size} if size else {}), **stated}, where)
    else:
        word = ASSUMED if assumed else stated
        if not isinstance(word, str) or word not in PRESETS:
            raise UserError(f"{where}: unknown preprocessing {word!r}: choose one of {', '.join(PRESETS)}")
        contract = PRESETS[word].at(size) if size else PRESETS[word]
    if size not in (None, contract.size):
        raise UserError(
            f"{spec} states images of {contract.size} px, and its network's input_size is {size}: correct one"
        )
    return contract, assumed


def _fingerprint(found: Any, function: Any, module: Any) -> str:
    for stated in (getattr(found, "fingerprint", None), getattr(function, "fingerprint", None)):
        if isinstance(stated, str) and stated:
            return stated
    digest = hashlib.sha256()
    if isinstance(found, nn.Module):
        for key, value in sorted(found.state_dict().items()):
            if torch.is_tensor(value):
                digest.update(f"{key}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
                # As bytes, because numpy knows no bfloat16.
                digest.update(
                    value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                )
    sources: dict[str, str] = {}
    for each in (module, *_homes(found)):
        sources |= _sources(each)
    digest.update(repr(sorted(sources.items())).encode())
    return digest.hexdigest()


def _sources(module: Any) -> dict[str, str]:
    """Hash the files that a module and what it imports stand in, but for embedlab's and installed ones."""
    try:
        found, _ = closure(module.__name__)
    except ModuleNotFoundError:
        file = inspect.getsourcefile(module)
        return {module.__name__: hashlib.sha256(Path(file).read_bytes()).hexdigest()} if file else {}
    ours = module.__name__.partition(".")[0] == "embedlab"
    return {name: one for name, one in found.items() if ours or name.partition(".")[0] != "embedlab"}


def _homes(found: Any) -> list[Any]:
    """Name the modules that what was returned was written in, but not those of installed packages."""
    parts = found.modules() if isinstance(found, nn.Module) else ()
    names = {getattr(found, "__module__", None), *(type(one).__module__ for one in (found, *parts))}
    modules = [sys.modules.get(str(name)) for name in sorted(filter(None, names))]
    return [
        each
        for each in modules
        if getattr(each, "__file__", None) and "site-packages" not in str(getattr(each, "__file__", ""))
    ]


def _outputs(found: Any) -> list[Any]:
    if isinstance(found, Mapping):
        return list(found.values())
    return list(found) if isinstance(found, tuple | list) else [found]


def _of(images: np.ndarray) -> str:
    return f"{len(images)} images of {images.shape[1]} px"


def _said(error: BaseException) -> str:
    """Say what foreign code raised, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {first_line(error) if isinstance(error, Exception) else error}{where}"
