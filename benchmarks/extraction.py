"""Time extraction beside its peers: ``python -m benchmarks.extraction --data ../shared/data/lfw144``.

All contenders see the same files, on the same machine, with the same number of threads; rounds go from one to
the next, so that a busy machine slows all alike. "From files" is what a user waits for: from image files to
stored vectors (embedlab also hashes the files and writes Parquet). "Network" has the images in memory.

==================  ====================================================================================
PyTorch             ``DataLoader`` with a worker a thread, PIL, the plain network in float32
ONNX Runtime        PIL in threads, the network exported to ONNX, batches of 64, all threads in a call
InsightFace's way   as its ``onnx_ijbc.py``: ``DataLoader``, OpenCV, batches of 128, ONNX Runtime's defaults
the same, pixels    that, and PIL shrinks what OpenCV decodes, so that the pixels are everybody's
==================  ====================================================================================

OpenCV shrinks without antialiasing: where images are shrunk, InsightFace's way does less work than the
others, and its vectors are others. CPU seconds are those of all threads and workers.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from embedlab.data.datasets import Dataset, open_dataset
from embedlab.data.degradations import Probe, prepare
from embedlab.extraction.extract import extract
from embedlab.lab.store import Lab
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.foreign import open_onnx
from embedlab.networks.inference import embedder

TORCH_MODELS = {
    "IR-SE-18, width 64, 144 px": ("ir_se_18", 64, 144),
    "IR-SE-18, width 16, 144 px": ("ir_se_18", 16, 144),
    "IR-SE-18, width 16, 32 px": ("ir_se_18", 16, 32),
    "MobileFaceNet, 112 px": ("mobilefacenet", 64, 112),
}


@dataclass
class Subject:
    """A model in the forms that the contenders take."""

    network: Any
    """The torch network, None for an ONNX file of another maker."""
    onnx: Path
    contract: Preprocessing
    embedder: Any
    fixed: int | None
    """Images a call that the ONNX file fixes."""


class Faces:
    """A map-style data set for ``DataLoader``: one prepared image a row."""

    def __init__(
        self, paths: Sequence[Path], contract: Preprocessing, *, decode: str = "PIL", shrink: str = "PIL"
    ) -> None:
        self.paths, self.contract, self.decode, self.shrink = paths, contract, decode, shrink

    def __len__(self) -> int:
        """Count the images."""
        return len(self.paths)

    def __getitem__(self, i: int) -> np.ndarray:
        """Read, resize and normalise one image."""
        size = self.contract.size
        if self.decode == "OpenCV":
            import cv2

            image = cv2.cvtColor(cv2.imread(str(self.paths[i])), cv2.COLOR_BGR2RGB)
        else:
            with Image.open(self.paths[i]) as opened:
                image = np.asarray(opened.convert("RGB"))
        if len(image) != size and self.shrink == "OpenCV":
            image = cv2.resize(image, (size, size))
        elif len(image) != size:
            image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
        return self.contract.apply(image[None])[0]


def loaded(faces: Faces, batch: int, threads: int) -> Iterator[np.ndarray]:
    """Go through the images as ``DataLoader`` gives them."""
    from torch.utils.data import DataLoader

    for found in DataLoader(faces, batch_size=batch, num_workers=threads):  # type: ignore[arg-type]
        yield found.numpy()


def pooled(paths: Sequence[Path], contract: Preprocessing, batch: int, threads: int) -> Iterator[np.ndarray]:
    """Go through the images in batches that threads prepare one batch ahead."""
    faces = Faces(paths, contract)
    lots = [range(k, min(k + batch, len(paths))) for k in range(0, len(paths), batch)]
    with ThreadPoolExecutor(threads) as pool:
        ahead = [pool.submit(faces.__getitem__, i) for i in lots[0]]
        for k in range(len(lots)):
            now = ahead
            ahead = [pool.submit(faces.__getitem__, i) for i in lots[k + 1]] if k + 1 < len(lots) else []
            yield np.stack([each.result() for each in now])


def session(path: Path, threads: int | None) -> Any:
    """Open an ONNX file; None threads leaves ONNX Runtime's defaults."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def called(opened: Any, batch: np.ndarray, fixed: int | None) -> np.ndarray:
    """Run a session on a batch, in calls of the size that the file fixes."""
    name, step = opened.get_inputs()[0].name, fixed or len(batch)
    calls = [opened.run(None, {name: batch[k : k + step]})[0] for k in range(0, len(batch), step)]
    return np.concatenate([found.reshape(len(found), -1) for found in calls])


def from_files(subject: Subject, dataset: Dataset, threads: int) -> dict[str, Callable[[], np.ndarray]]:
    """Give the contenders that go from files to vectors."""
    import torch

    paths = [dataset.path(i) for i in range(len(dataset))]
    ours, defaults = session(subject.onnx, threads), session(subject.onnx, None)

    def embedlab() -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            lab = Lab(folder)
            fresh = replace(dataset)  # without the fingerprint that was computed before
            extract(lab, subject.embedder, fresh, Probe(dataset.name))
            return lab.embeddings(subject.embedder.name, dataset.name).vectors

    def pytorch() -> np.ndarray:
        with torch.inference_mode():
            batches = loaded(Faces(paths, subject.contract), 64, threads)
            return np.concatenate([subject.network(torch.from_numpy(batch)).numpy() for batch in batches])

    def runtime() -> np.ndarray:
        batches = pooled(paths, subject.contract, 64, threads)
        return np.concatenate([called(ours, batch, subject.fixed) for batch in batches])

    def insightface(shrink: str) -> np.ndarray:
        faces = Faces(paths, subject.contract, decode="OpenCV", shrink=shrink)
        batches = loaded(faces, 128, threads)
        return np.concatenate([called(defaults, batch, subject.fixed) for batch in batches])

    made = {
        "embedlab": embedlab,
        "ONNX Runtime": runtime,
        "InsightFace's way": lambda: insightface("OpenCV"),
        "the same, pixels": lambda: insightface("PIL"),
    }
    return made if subject.network is None else {**made, "PyTorch": pytorch}


def network_only(subject: Subject, images: np.ndarray, threads: int) -> dict[str, Callable[[], np.ndarray]]:
    """Give the contenders that have the images in memory, as bytes."""
    import torch

    ours = session(subject.onnx, threads)
    lots = [images[k : k + 64] for k in range(0, len(images), 64)]

    def pytorch() -> np.ndarray:
        with torch.inference_mode():
            batches = (torch.from_numpy(subject.contract.apply(lot)) for lot in lots)
            return np.concatenate([subject.network(batch).numpy() for batch in batches])

    made: dict[str, Callable[[], np.ndarray]] = {
        "embedlab": lambda: subject.embedder.embed(images),
        "ONNX Runtime": lambda: np.concatenate(
            [called(ours, subject.contract.apply(lot), subject.fixed) for lot in lots]
        ),
    }
    return made if subject.network is None else {**made, "PyTorch": pytorch}


def race(contenders: dict[str, Callable[[], np.ndarray]], n: int, rounds: int, what: str) -> None:
    """Run the contenders in turn, and print images a second and the ratios to embedlab."""
    vectors = {name: run() for name, run in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            begun, busy = time.perf_counter(), sum(os.times()[:4])
            run()
            seconds[name].append(time.perf_counter() - begun)
            cpu[name].append(sum(os.times()[:4]) - busy)
    mean = {name: statistics.median(found) for name, found in seconds.items()}
    unit = {name: found / np.linalg.norm(found, axis=1, keepdims=True) for name, found in vectors.items()}
    print(f"  {what}, {n:,} images")
    for name in contenders:
        ratios, worked = (
            [other / own for other, own in zip(found[name], found["embedlab"], strict=True)]
            for found in (seconds, cpu)
        )
        cosine = (unit[name] * unit["embedlab"]).sum(1).min()
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        print(
            f"    {name:18s} {n / mean[name]:8.1f} images/s, {1e3 * min(cpu[name]) / n:7.3f} CPU ms each; "
            f"embedlab is {statistics.median(ratios):.2f}x as fast ({spread}), by CPU "
            f"{statistics.median(worked):.2f}x; least cosine to its vectors {cosine:.6f}"
        )


def of_torch(name: str, width: int, size: int, folder: Path) -> Subject:
    """Make a network with drawn weights, and export it."""
    import torch

    from embedlab.networks import backbones

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = backbones.build(name, input_size=size, width=width).eval().requires_grad_(False)
    path = folder / f"{name}-{width}-{size}.onnx"
    with warnings.catch_warnings():
        # The exporter that needs no further package is on its way out.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(2, 3, size, size),), str(path), dynamo=False,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )  # fmt: skip
    contract = Preprocessing(size)
    return Subject(network, path, contract, embedder("bench", network, contract, "0" * 64, "cpu"), None)


def of_file(path: Path) -> Subject:
    """Open an ONNX file of another maker."""
    opened = open_onnx(path, "imagenet" if path.stem.startswith("mobilefacenet") else "insightface")
    return Subject(None, path, opened.preprocessing, opened, opened.batch)


def main() -> None:
    """Run the races."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--data", type=Path, required=True, help="a folder of <person>/<image>")
    options.add_argument("--onnx", type=Path, nargs="*", default=[], help="ONNX files of other makers")
    options.add_argument("--models", nargs="*", default=list(TORCH_MODELS), help="which torch networks")
    options.add_argument(
        "--seconds", type=float, default=8, help="images are so many that a run takes about this"
    )
    options.add_argument("--images", type=int, help="so many images instead, the same for other versions")
    options.add_argument("--peers", nargs="*", help="the contenders beside embedlab; by default all")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = options.parse_args()

    def asked(contenders: dict[str, Callable[[], np.ndarray]]) -> dict[str, Callable[[], np.ndarray]]:
        names = contenders if given.peers is None else ("embedlab", *given.peers)
        return {name: run for name, run in contenders.items() if name in names}

    import torch

    torch.set_num_threads(given.threads)
    whole = open_dataset(given.data)
    print(f"{given.threads} threads, {given.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        subjects = {name: of_torch(*TORCH_MODELS[name], Path(folder)) for name in given.models}
        subjects |= {path.stem: of_file(path) for path in given.onnx}
        for name, subject in subjects.items():
            print(name)
            sample = np.stack([prepare(whole.image(i), None, subject.contract.size) for i in range(64)])
            subject.embedder.embed(sample)
            begun = time.perf_counter()
            subject.embedder.embed(sample)
            n = int(given.seconds * 64 / (time.perf_counter() - begun))
            n = given.images or min(max(n // 64, 1) * 64, len(whole), 4096)
            dataset = replace(whole, items=whole.items[:n], labels=whole.labels[:n])
            race(asked(from_files(subject, dataset, given.threads)), n, given.rounds, "from files")
            images = np.stack([prepare(dataset.image(i), None, subject.contract.size) for i in range(n)])
            race(asked(network_only(subject, images, given.threads)), n, given.rounds, "network")


if __name__ == "__main__":
    main()
