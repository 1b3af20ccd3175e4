"""Training steps a second against a plain PyTorch loop and the way InsightFace's trainer feeds its network.

All three train the same network under the same head on the same images, interleaved in one run; each reads
its images from disk in its own way, and every image is mirrored at random and normalised:

* embedlab: a pack, batches gathered and augmented on the device, channels last, fused SGD, bfloat16 on CUDA;
* plain: PNG files, a ``DataLoader`` with a worker a core, float32, default SGD;
* InsightFace: a ``.rec`` file decoded in the workers of a ``DataLoader``, the next batch fetched and sent by
  a background thread, gradients clipped at 5; float16 with a loss scale on CUDA, as arcface_torch does.

::

    python -m benchmarks.training --sizes 32 144 --width 64 --batch 64
"""

import argparse
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from embedlab import compute
from embedlab.data import packed, recorded
from embedlab.data.datasets import Dataset, open_dataset
from embedlab.lab.store import Lab
from embedlab.networks import backbones
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.heads import build as build_head
from embedlab.ranks import ALONE
from embedlab.training import images as training_images
from embedlab.training import learner
from embedlab.training.distributed import Slice
from embedlab.training.recipe import Recipe
from embedlab.training.sampling import Epoch
from embedlab.training.state import Progress
from embedlab.training.steps import Run

Step = Callable[[], object]


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = compute.device()
    print(f"{compute.describe()}; {options.backbone}, width {options.width}, batches of {options.batch}")
    practical = _peak(device)
    print(f"practical peak of a 3x3 convolution: {practical / 1e12:.3f} TFLOP/s")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            dataset = _faces(Path(folder), options.images, size)
            recipe = Recipe(
                data="faces", input_size=size, backbone=options.backbone, width=options.width,
                batch=options.batch, epochs=1_000_000, compiled=options.compiled,
            )  # fmt: skip
            work = _operations(recipe) * options.batch
            ways = {
                "embedlab": _embedlab(Path(folder), dataset, recipe, device),
                "plain PyTorch": _plain(dataset, recipe, device),
                "InsightFace's way": _insightface(Path(folder), dataset, recipe, device),
            }
            took = _interleaved(ways, options.rounds, options.steps, device)
        print(f"\n{size} px, {work / options.batch / 1e9:.2f} GFLOP an image, forward and backward")
        for name, seconds in took.items():
            images = options.batch / seconds
            print(
                f"  {name:18} {images:10.1f} images/s  {took[name] / took['embedlab']:5.2f} x the time  "
                f"{work / seconds / practical:6.1%} of the practical peak"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 144])
    parser.add_argument("--backbone", default="ir_se_18")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps a round")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compiled", action="store_true", help="embedlab's network through torch.compile")
    return parser.parse_args()


def _faces(folder: Path, count: int, size: int) -> Dataset:
    """Write smooth random pictures of a hundred people; what they show costs nothing to train on."""
    draw = np.random.default_rng(0)
    for number in range(count):
        path = folder / "faces" / f"p{number % 100:03d}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(draw.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(path)
    return open_dataset(folder / "faces")


def _peak(device: str) -> float:
    """Measure operations a second of a large convolution, in the arithmetic that training uses."""
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    layer = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(device, kind)
    x = torch.randn(256 if device == "cuda" else 8, 256, 28, 28, device=device, dtype=kind)
    layer, x = layer.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    best = float("inf")
    with torch.no_grad():
        for _ in range(20):
            begun = time.perf_counter()
            layer(x)
            _wait(device)
            best = min(best, time.perf_counter() - begun)
    return 2 * 256 * 256 * 9 * 28 * 28 * len(x) / best


def _operations(recipe: Recipe) -> float:
    """Count the floating-point operations of an image, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    network = _network(recipe)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 3, recipe.input_size, recipe.input_size)).sum().backward()
    return counter.get_total_flops() / 2


def _network(recipe: Recipe) -> nn.Module:
    return backbones.build(
        recipe.backbone, input_size=recipe.input_size, width=recipe.width, dimension=recipe.dimension,
        dropout=recipe.dropout,
    )  # fmt: skip


def _interleaved(ways: dict[str, Step], rounds: int, steps: int, device: str) -> dict[str, float]:
    """Give the median seconds a step of each way, the ways taking turns."""
    for step in ways.values():
        step()
        step()
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, step in ways.items():
            # What another way's workers fetched ahead was fetched while it was not measured.
            step()
            _wait(device)
            begun = time.perf_counter()
            for _ in range(steps):
                step()
            _wait(device)
            took[name].append((time.perf_counter() - begun) / steps)
    return {name: float(np.median(seconds)) for name, seconds in took.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _embedlab(folder: Path, dataset: Dataset, recipe: Recipe, device: str) -> Step:
    pack = packed.pack(dataset, folder / "packs")
    images = training_images.read([pack], Preprocessing(recipe.input_size), device)
    lab = Lab(folder / "lab")
    learns = learner.readied(
        learner.make(lab, recipe, len(images.identities), device), recipe, device, ALONE, Slice(1)
    )
    run = Run("m", recipe, images, None, device, learns, Progress(), {}, lab.checkpoint("m"))
    plans = _plans(recipe, images.labels.numpy())

    def step() -> object:
        # Its loss is looked at every 32 steps only, so that an accelerator need not wait.
        return run.take_step(next(plans))

    return step


def _plans(recipe: Recipe, labels: np.ndarray) -> Iterator:
    for number in range(recipe.epochs):
        epoch = Epoch(recipe, labels, number)
        for step in range(epoch.steps):
            yield epoch.plan(step)


@dataclass
class _Files(torch.utils.data.Dataset):
    """Images read one by one, as a torch data set."""

    read: Callable[[int], np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        image = self.read(i)
        if np.random.rand() < 0.5:  # noqa: NPY002 - as the peers do
            image = image[:, ::-1]
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()
        return x.sub_(127.5).div_(127.5), int(self.labels[i])


def _endless(loader: torch.utils.data.DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def _loader(files: _Files, recipe: Recipe, device: str) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(
        files, recipe.batch, shuffle=True, drop_last=True, pin_memory=device == "cuda",
        num_workers=min(8, torch.get_num_threads()), persistent_workers=True,
    )  # fmt: skip


def _plain(dataset: Dataset, recipe: Recipe, device: str) -> Step:
    network, head, optimiser = _peer(dataset, recipe, device)
    batches = _endless(_loader(_Files(dataset.image, dataset.labels), recipe, device))

    def step() -> object:
        x, labels = (part.to(device) for part in next(batches))
        loss = head(network(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def _insightface(folder: Path, dataset: Dataset, recipe: Recipe, device: str) -> Step:
    recorded.write_rec(dataset, folder / "faces.rec")
    rec = recorded.open_rec(folder / "faces.rec")
    network, head, optimiser = _peer(dataset, recipe, device)
    scaler = torch.amp.GradScaler(enabled=device == "cuda")
    batches = _ahead(_endless(_loader(_Files(rec.image, rec.labels), recipe, device)), device)

    def step() -> object:
        x, labels = next(batches)
        with torch.autocast(device, torch.float16, enabled=device == "cuda"):
            vectors = network(x)
        loss = head(vectors, labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(network.parameters(), 5)
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad()
        return loss.item()

    return step


def _ahead(batches: Iterator, device: str) -> Iterator:
    """Fetch batches and send them to the device in a thread, as arcface_torch's DataLoaderX does."""
    waiting: queue.Queue = queue.Queue(2)

    def fetch() -> None:
        for batch in batches:
            waiting.put([part.to(device, non_blocking=True) for part in batch])

    threading.Thread(target=fetch, daemon=True).start()
    while True:
        yield waiting.get()


def _peer(
    dataset: Dataset, recipe: Recipe, device: str
) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    network = _network(recipe).to(device).train()
    head = build_head("arcface", recipe.dimension, len(dataset.identities)).to(device)
    parameters = [*network.parameters(), *head.parameters()]
    return network, head, torch.optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=5e-4)


if __name__ == "__main__":
    main()
