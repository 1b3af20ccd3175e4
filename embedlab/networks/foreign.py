"""Networks trained elsewhere: ONNX files through onnxruntime, and PyTorch files of known layouts."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from embedlab import compute
from embedlab.errors import UserError, first_line
from embedlab.networks.embedder import PRESETS, Embedder, Preprocessing
from embedlab.progress import say
from embedlab.store import checked_name, made_name

ASSUMED = "insightface"

CHUNK = 16
"""Images a call where the file leaves the number open. A fixed number of images on one thread each
gives the same bits on every machine of a kind, and keeps all cores as busy as larger calls do."""


class OnnxEmbedder:
    """An ONNX network of faces to vectors; see ``open_onnx``.

    Attributes
    ----------
    name
        The model's name in the lab.
    preprocessing
        The contract its images keep.
    assumed_preprocessing
        Whether that contract is a guess, because nobody stated it.
    dimension
        Length of its vectors.
    fingerprint
        sha256 of the file, and of the files its weights lie in.
    batch
        Images a call: the number fixed in the file, or None where it is open.
    usual_batch
        Images that keep the device busy.
    device
        What it runs on, in words.
    """

    def __init__(
        self,
        session: Any,
        name: str,
        preprocessing: Preprocessing,
        *,
        assumed_preprocessing: bool,
        fingerprint: str,
        batch: int | None,
        threads: int,
        device: str,
    ) -> None:
        self.name = name
        self.preprocessing = preprocessing
        self.assumed_preprocessing = assumed_preprocessing
        self.fingerprint = fingerprint
        self.batch = batch
        self.device = device
        self.usual_batch = 256 if device.startswith("cuda") else 2 * CHUNK * threads
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        self._pool = ThreadPoolExecutor(threads)
        size = preprocessing.size
        self.dimension = self.embed(np.full((1, size, size, 3), 128, dtype=np.uint8)).shape[1]

    def embed(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        """Turn RGB images of ``preprocessing.size`` into float32 vectors, not normalised.

        Raises
        ------
        UserError
            If the network fails on them, or its first output is no vector an image.
        """
        step = self.batch or (len(images) if self.device.startswith("cuda") else CHUNK)
        chunks = [images[k : k + step] for k in range(0, len(images), step)]
        return np.concatenate(list(self._pool.map(self._run, chunks)))

    def _run(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        n = len(images)
        if self.batch and n < self.batch:
            images = np.concatenate([images, np.repeat(images[-1:], self.batch - n, axis=0)])
        try:
            output = self._session.run([self._output], {self._input: self.preprocessing.apply(images)})[0]
        except Exception as error:
            # onnxruntime's errors have no common class.
            raise UserError(
                f"model {self.name} fails on a batch of shape {(len(images), 3, *images.shape[1:3])}: "
                f"{_short(error)}: export it for that shape"
            ) from None
        output = np.asarray(output)
        if output.ndim < 2 or len(output) != len(images) or any(side != 1 for side in output.shape[2:]):
            raise UserError(
                f"model {self.name} gives an output of shape {output.shape} for {len(images)} images: its "
                "first output must be a vector an image, (n, d)"
            )
        return np.ascontiguousarray(output[:n].reshape(n, -1), dtype=np.float32)


def open_model(path: Path | str, preprocessing: str | None = None, name: str | None = None) -> Embedder:
    """Open a model file of another maker: ``.onnx``, or ``.pth`` and ``.pt`` of a known layout.

    Parameters
    ----------
    path
        The file.
    preprocessing
        Name of a preset, see ``PRESETS``; else it is looked for as ``open_onnx`` does.
    name
        The model's name in the lab; by default the file's.

    Raises
    ------
    UserError
        If the file is missing, of another kind, broken, or no network of faces.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return open_onnx(path, preprocessing, name)
    if suffix in (".pth", ".pt"):
        from embedlab.networks.checkpoints import load_pth

        contract, assumed = _contract(_file(path), preprocessing, None)
        embedder = load_pth(path, contract, compute.device())
        embedder.name = checked_name(name, "model") if name is not None else made_name(path.stem, "model")
        embedder.assumed_preprocessing = assumed
        if assumed:
            _say_assumed(path)
        return embedder
    raise UserError(f"{path} is no model file that can be read: give an .onnx, .pth or .pt file")


def open_onnx(path: Path | str, preprocessing: str | None = None, name: str | None = None) -> OnnxEmbedder:
    """Open an ONNX network of input (N, 3, H, W), float32, whose first output is a vector an image.

    How its images are prepared stands in ``<model>.json`` beside it, as the name of a preset
    (``{"preprocessing": "imagenet"}``) or as a whole contract (``{"preprocessing": {"channels": "BGR",
    "mean": […], …}}``); ``preprocessing`` goes before that. Where neither is there, the preset
    ``insightface`` is taken, and that it was assumed is said and kept with the embeddings.

    Parameters
    ----------
    path
        The file. A fixed number of images a call is kept to by filling up the last call.
    preprocessing
        Name of a preset, see ``PRESETS``.
    name
        The model's name in the lab; by default the file's.

    Raises
    ------
    UserError
        If the file is missing, broken, or its input or output has another shape; if the preset is not
        known or the JSON file is wrong.
    """
    path = _file(Path(path))
    name = checked_name(name, "model") if name is not None else made_name(path.stem, "model")
    session, threads, device = _session(path)
    batch, size = _input_shape(session, path)
    contract, assumed = _contract(path, preprocessing, size)
    embedder = OnnxEmbedder(
        session,
        name,
        contract,
        assumed_preprocessing=assumed,
        fingerprint=_fingerprint(path),
        batch=batch,
        threads=threads,
        device=device,
    )
    if assumed:
        _say_assumed(path)
    return embedder


def _say_assumed(path: Path) -> None:
    say(
        f"  {path.name}: preprocessing {ASSUMED!r} is assumed (RGB, (x - 127.5) / 127.5); if it was trained "
        f'otherwise, say so with --preprocessing, or write {{"preprocessing": "imagenet"}} or the like to '
        f"{path.with_suffix('.json')} "
        f"(known: {', '.join(PRESETS)})"
    )


def _file(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"there is no model file {path}: correct the path")
    return path


def _session(path: Path) -> tuple[Any, int, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and compute.device() == "cuda":
        providers.insert(0, "CUDAExecutionProvider")
    # Several calls of one thread each keep the cores busier than one call of many threads: 1.7 times
    # on a network whose file fixes one image a call, as many public files do.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        # onnxruntime's errors have no common class.
        raise UserError(f"cannot read {path} as an ONNX network ({_short(error)}): export it again") from None
    if session.get_providers()[0] == "CUDAExecutionProvider":
        return session, 1, "cuda, onnxruntime"
    threads = os.cpu_count() or 1
    return session, threads, f"cpu, onnxruntime, {threads} threads"


def _input_shape(session: Any, path: Path) -> tuple[int | None, int | None]:
    """Give the fixed number of images a call and the side of the input, None where it is open."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise UserError(f"{path} has {len(inputs)} inputs ({names}): a network of faces has one, of images")
    shape, kind = inputs[0].shape, inputs[0].type
    batch, channels, height, width = shape if len(shape) == 4 else (0, 0, 0, 0)
    fixed = isinstance(height, int), isinstance(width, int)
    if (
        (isinstance(channels, int) and channels != 3)
        or fixed[0] != fixed[1]
        or (all(fixed) and height != width)
    ):
        raise UserError(
            f"{path} has an input of shape {tuple(shape)}: it must be (N, 3, H, W), colour planes first and "
            "as high as wide; export it so"
        )
    if kind != "tensor(float)":
        raise UserError(f"{path} has an input of type {kind}: it must be float32; export it so")
    return (batch if isinstance(batch, int) and batch > 0 else None), (height if all(fixed) else None)


def _contract(path: Path, preset: str | None, size: int | None) -> tuple[Preprocessing, bool]:
    if preset is not None:
        return _preset(preset, size, "--preprocessing"), False
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return _preset(ASSUMED, size, ""), True
    try:
        stated = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {beside} as JSON ({error}): correct it or remove it") from None
    stated = stated.get("preprocessing") if isinstance(stated, dict) else None
    if isinstance(stated, str):
        return _preset(stated, size, str(beside)), False
    if not isinstance(stated, dict):
        raise UserError(
            f'{beside} states no preprocessing: write {{"preprocessing": NAME}} with one of '
            f"{', '.join(PRESETS)}, or a whole contract in its place"
        )
    usual = {"size": size or PRESETS[ASSUMED].size}
    contract = Preprocessing.from_json({**usual, **stated}, str(beside))
    if size not in (None, contract.size):
        raise UserError(
            f"{beside} says size {contract.size}, but the network's input is {size} x {size}: correct it or "
            "leave the size out"
        )
    return contract, False


def _preset(name: str, size: int | None, where: str) -> Preprocessing:
    if name not in PRESETS:
        raise UserError(f"{where}: unknown preprocessing {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name] if size is None else PRESETS[name].at(size)


def _fingerprint(path: Path) -> str:
    """Hash the file, and the files beside it that it keeps its weights in."""
    content = path.read_bytes()
    digest = sha256(content)
    # Protobuf: field 1 "location", then field 2, a length below 128, and the file's name.
    found = re.finditer(rb"\x0a\x08location\x12([\x01-\x7f])", content)
    names = {content[match.end() : match.end() + match[1][0]] for match in found}
    for name in sorted(names):
        weights = path.parent / os.fsdecode(name)
        if weights.is_file():
            with weights.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _short(error: Exception) -> str:
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", first_line(error))
