"""Networks trained elsewhere: ONNX files through onnxruntime, and PyTorch files of known layouts."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from embedlab import compute
from embedlab.errors import UserError, first_line
from embedlab.files import signatures
from embedlab.lab.store import checked_name, made_name
from embedlab.networks.contracts import ASSUMED, TORCH_SUFFIXES, contract, model_file
from embedlab.networks.embedder import PRESETS, Embedder, Preprocessing
from embedlab.progress import say

Layout = Literal["NCHW", "NHWC"]

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
    layout
        Whether the input has its colour planes first (``NCHW``) or its colours last (``NHWC``).
    output
        Name of the output that the vectors come from: the first that is a vector an image.
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
        layout: Layout = "NCHW",
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
        self.layout = layout
        self._pool = ThreadPoolExecutor(threads)
        self.output, self.dimension = self._tried()

    def embed(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        """Turn RGB images of ``preprocessing.size`` into float32 vectors, not normalised.

        Raises
        ------
        UserError
            If the network fails on them, or its output is no vector an image.
        """
        step = self.batch or (len(images) if self.device.startswith("cuda") else CHUNK)
        chunks = [images[k : k + step] for k in range(0, len(images), step)]
        return np.concatenate(list(self._pool.map(self._run, chunks)))

    def _run(self, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        (output,) = self._call(images, [self.output])
        if not _is_vectors(output, len(output)) or len(output) < len(images):
            raise UserError(
                f"model {self.name} gives an output of shape {output.shape} for {len(images)} images: it "
                "must give a vector an image, (n, d); export it so"
            )
        return np.ascontiguousarray(output[: len(images)].reshape(len(images), -1), dtype=np.float32)

    def _call(self, images: UInt8[np.ndarray, "n s s 3"], outputs: list[str] | None) -> list[np.ndarray]:
        """Run the network on no more images than a call may have; its rows may be more than the images."""
        n = len(images)
        if self.batch and n < self.batch:
            images = np.concatenate([images, np.repeat(images[-1:], self.batch - n, axis=0)])
        x = self.preprocessing.apply(images)
        if self.layout == "NHWC":
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        try:
            return [np.asarray(output) for output in self._session.run(outputs, {self._input: x})]
        except Exception as error:
            # onnxruntime's errors have no common class.
            raise UserError(
                f"model {self.name} fails on a batch of shape {x.shape}: {_short(error)}: export it for that "
                "shape"
            ) from None

    def _tried(self) -> tuple[str, int]:
        """Find the output of the vectors, and whether a call may have several images where it says so."""
        try:
            return self._found_output()
        except UserError:
            if self.batch is not None:
                raise
            # Many exporters open the input, and leave a fixed shape within.
            self.batch = 1
            try:
                found = self._found_output()
            except UserError:
                self.batch = None
            else:
                say(f"  model {self.name} takes one image a call, though its input is open: taken one by one")
                return found
            raise

    def _found_output(self) -> tuple[str, int]:
        """Find the output that holds the vectors by running the network on two grey images."""
        size, n = self.preprocessing.size, self.batch or 2
        names = [each.name for each in self._session.get_outputs()]
        outputs = self._call(np.full((n, size, size, 3), 128, dtype=np.uint8), None)
        vectors = {name: out[0].size for name, out in zip(names, outputs, strict=True) if _is_vectors(out, n)}
        if not vectors:
            shapes = ", ".join(f"{name} {out.shape}" for name, out in zip(names, outputs, strict=True))
            raise UserError(
                f"model {self.name} has no output that is a vector an image, (n, d): for {n} images it gives "
                f"{shapes}; export it with one"
            )
        # One number an image is a norm or a quality beside the vector, unless there is nothing else.
        return next(((name, d) for name, d in vectors.items() if d > 1), next(iter(vectors.items())))


def _is_vectors(output: np.ndarray, n: int) -> bool:
    flat = output.ndim >= 2 and all(side == 1 for side in output.shape[2:])
    return flat and len(output) == n and output.dtype.kind == "f"


def open_model(path: Path | str, preprocessing: str | None = None, name: str | None = None) -> Embedder:
    """Open a model file of another maker: ``.onnx``, or a state dict of a known layout.

    A state dict is told by `embedlab.networks.key_tables`, as ``embedlab import`` does.

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
    if suffix in TORCH_SUFFIXES:
        from embedlab.networks import imports

        return imports.open_file(model_file(path), preprocessing, name)
    raise UserError(
        f"{path} is no model file that can be read: give a file .onnx, {', '.join(TORCH_SUFFIXES)}"
    )


def open_onnx(path: Path | str, preprocessing: str | None = None, name: str | None = None) -> OnnxEmbedder:
    """Open an ONNX network of faces.

    Its one input is float32, (N, 3, H, W) or, as networks that began in TensorFlow have it, (N, H, W, 3);
    N, H and W may be open. Of its outputs the first that is a vector an image is taken; one number an
    image, such as a norm beside it, is passed over.

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
        If the file is missing, broken, or its input or outputs have other shapes; if the preset is not
        known or the JSON file is wrong.
    """
    path = model_file(Path(path))
    name = checked_name(name, "model") if name is not None else made_name(path.stem, "model")
    session, threads, device = _session(path)
    batch, size, layout = _input_shape(session, path)
    stated, assumed = contract(path, preprocessing, size)
    embedder = OnnxEmbedder(
        session,
        name,
        stated,
        assumed_preprocessing=assumed,
        fingerprint=_fingerprint(path),
        batch=batch,
        threads=threads,
        device=device,
        layout=layout,
    )
    if assumed:
        _say_assumed(path)
    if len(session.get_outputs()) > 1:
        names = ", ".join(each.name for each in session.get_outputs())
        say(f"  {path.name}: of its outputs ({names}) {embedder.output!r} is taken for the vectors")
    return embedder


def _say_assumed(path: Path) -> None:
    say(
        f"  {path.name}: preprocessing {ASSUMED!r} is assumed (RGB, (x - 127.5) / 127.5); if it was trained "
        f'otherwise, say so with --preprocessing, or write {{"preprocessing": "imagenet"}} or the like to '
        f"{path.with_suffix('.json')} "
        f"(known: {', '.join(PRESETS)})",
        # A command that tries ever more people opens its networks for each try.
        once=True,
    )


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
        session = onnxruntime.InferenceSession(
            # Its second try prints, and tries something else only where there is a GPU.
            str(path), options, providers=providers, enable_fallback=int(len(providers) > 1)
        )  # fmt: skip
        for each in (*session.get_inputs(), *session.get_outputs()):
            # A damaged file may hold names that are no text, which shows only here.
            _ = each.name, each.shape, each.type
    except Exception as error:
        # onnxruntime's errors have no common class.
        raise _unreadable(path, error) from None
    if session.get_providers()[0] == "CUDAExecutionProvider":
        return session, 1, "cuda, onnxruntime"
    threads = os.cpu_count() or 1
    return session, threads, f"cpu, onnxruntime, {threads} threads"


def _unreadable(path: Path, error: Exception) -> UserError:
    kind = signatures.of_file(path)
    if kind not in (None, signatures.ONNX):
        return UserError(f"{path} is no ONNX network, but {kind.name}: {kind.cure or 'give the network'}")
    missing = [name for name in _outside(path.read_bytes()) if not (path.parent / name).is_file()]
    if missing:
        return UserError(
            f"{path} keeps its weights in {missing[0]}, and there is no such file beside it: fetch that too"
        )
    return UserError(
        f"cannot read {path} as an ONNX network ({_short(error)}): export it, or fetch it, again"
    )


def _input_shape(session: Any, path: Path) -> tuple[int | None, int | None, Layout]:
    """Give the fixed number of images a call and the side of the input, None where open, and its layout."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise UserError(f"{path} has {len(inputs)} inputs ({names}): a network of faces has one, of images")
    shape, kind = inputs[0].shape, inputs[0].type
    # An open side is a name, None or, from some exporters, a number below one.
    known = [side if isinstance(side, int) and side > 0 else None for side in shape]
    if len(known) != 4:
        known = [None, 0, None, None]
    layout: Layout = "NHWC" if known[3] == 3 and known[1] != 3 else "NCHW"
    planes, height, width = (known[k] for k in ((3, 1, 2) if layout == "NHWC" else (1, 2, 3)))
    sides = {side for side in (height, width) if side is not None}
    if planes not in (None, 3) or len(sides) > 1:
        raise UserError(
            f"{path} has an input of shape {tuple(shape)}: it must be (N, 3, H, W) or (N, H, W, 3), as high "
            "as wide; export it so"
        )
    if kind != "tensor(float)":
        raise UserError(f"{path} has an input of type {kind}: it must be float32; export it so")
    return known[0], sides.pop() if sides else None, layout


def _fingerprint(path: Path) -> str:
    """Hash the file, and the files beside it that it keeps its weights in."""
    content = path.read_bytes()
    digest = sha256(content)
    for name in _outside(content):
        weights = path.parent / name
        if weights.is_file():
            with weights.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _outside(content: bytes) -> list[str]:
    """Name the files that an ONNX network keeps its weights in."""
    # Protobuf: field 1 "location", then field 2, a length below 128, and the file's name.
    found = re.finditer(rb"\x0a\x08location\x12([\x01-\x7f])", content)
    return sorted({os.fsdecode(content[match.end() : match.end() + match[1][0]]) for match in found})


def _short(error: Exception) -> str:
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", first_line(error))
