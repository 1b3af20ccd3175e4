"""Time what feeds a training beside its peers, interleaved: ``python -m benchmarks.packing``.

An epoch of batches at the network's size, in random order, half of them mirrored, from

- a pack, gathered from its memory map (embedlab);
- the images read into memory once (embedlab without a pack; the reading is not in its time, but told);
- a file an image, each read in threads (embedlab without a pack, were it not to keep them);
- the same files through torch's ``DataLoader`` with worker processes and PIL, which is how a trainer is
  commonly fed.

The files lie in the page cache for all of them, which flatters the small files: on a disk that is read
anew each of them costs a seek. Each contender gives the same float32 batches. Beside it: what packing
costs once, and resizing a batch to random lower resolutions beside PIL.
"""

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from embedlab.data.datasets import Dataset, open_dataset
from embedlab.data.degradations import prepare
from embedlab.data.packed import pack
from embedlab.networks.embedder import Preprocessing
from embedlab.training import images as training_images
from embedlab.training import resize
from embedlab.training.recipe import Recipe
from embedlab.training.sampling import Epoch

Feed = Callable[[int], Iterator[torch.Tensor]]


def files(folder: Path, count: int, side: int) -> Dataset:
    """Save smooth pictures, which compress as faces do, as JPEG."""
    draw = np.random.default_rng(0)
    for k in range(count):
        path = folder / f"p{k % 100}" / f"{k}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = draw.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=92)
    return open_dataset(folder)


class Normalised(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """One image a file, as the trainers with a ``DataLoader`` have it: decoded, mirrored, normalised."""

    def __init__(self, dataset: Dataset, size: int) -> None:
        self.dataset, self.size = dataset, size

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> torch.Tensor:
        with Image.open(self.dataset.path(i)) as picture:
            image = picture.convert("RGB")
            if image.width != self.size:
                image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
            x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
        if torch.rand(()) < 0.5:
            x = x.flip(-1)
        return (x - 127.5) / 127.5


def from_images(dataset: Dataset, recipe: Recipe) -> Feed:
    read = training_images.read([dataset], Preprocessing(recipe.input_size))

    def feed(number: int) -> Iterator[torch.Tensor]:
        epoch = Epoch(recipe, read.labels.numpy(), number)
        for step in range(epoch.steps):
            yield read.batch(epoch.plan(step)).x

    return feed


def from_files(dataset: Dataset, recipe: Recipe, threads: int) -> Feed:
    contract = Preprocessing(recipe.input_size)

    def one(i: int, mirrored: bool) -> np.ndarray:
        image = prepare(dataset.image(i), None, recipe.input_size)
        return image[:, ::-1] if mirrored else image

    def feed(number: int) -> Iterator[torch.Tensor]:
        epoch = Epoch(recipe, dataset.labels, number)
        with ThreadPoolExecutor(threads) as pool:
            for step in range(epoch.steps):
                plan = epoch.plan(step)
                yield torch.from_numpy(
                    contract.apply(np.stack(list(pool.map(one, plan.chosen, plan.mirrored))))
                )

    return feed


def from_loader(dataset: Dataset, recipe: Recipe, workers: int) -> Feed:
    source = Normalised(dataset, recipe.input_size)
    loader = DataLoader(
        source, recipe.batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True
    )
    return lambda _: iter(loader)


def compare(side: int, size: int, asked: argparse.Namespace, folder: Path) -> None:
    dataset = files(folder / f"faces{side}", asked.images, side)
    begun = time.perf_counter()
    packed = pack(dataset, folder / f"faces{side}.pack")
    packing = time.perf_counter() - begun
    recipe = Recipe(data="x", input_size=size, batch=asked.batch)
    begun = time.perf_counter()
    held = from_images(dataset, recipe)
    reading = time.perf_counter() - begun
    contenders: dict[str, Feed] = {
        "pack": from_images(packed, recipe),
        "held in memory": held,
        f"files, {asked.workers} threads": from_files(dataset, recipe, asked.workers),
        f"DataLoader, {asked.workers} workers": from_loader(dataset, recipe, asked.workers),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(asked.rounds + 1):
        for name, feed in contenders.items():
            gc.collect()
            begun, shown = time.perf_counter(), 0
            for x in feed(number):
                shown += len(x)
            if number:  # The first round starts the workers.
                seconds[name].append((time.perf_counter() - begun) / shown)
    print(f"{asked.images:,} JPEG files of {side} px, batches of {asked.batch} at {size} px; medians")
    print(f"  once: packed in {packing:.1f} s, or read into memory in {reading:.1f} s")
    pace = float(np.median(seconds["pack"]))
    for name, took in seconds.items():
        one = float(np.median(took))
        print(f"  {name:24s} {1 / one:10,.0f} images/s   the pack is {one / pace:6.1f} × as fast")


def resizing(asked: argparse.Namespace, height: int = 144) -> None:
    draw = np.random.default_rng(0)
    images = torch.from_numpy(draw.integers(0, 256, (asked.batch, 3, height, height), dtype=np.uint8))
    sides = np.round(2 ** draw.uniform(3, np.log2(height), asked.batch)).astype(np.int64)
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()

    def plain() -> torch.Tensor:
        made = [prepare(image, int(side), height) for image, side in zip(arrays, sides, strict=True)]
        return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)

    contenders = {
        "PIL, a loop": plain,
        f"CPU: PIL in {torch.get_num_threads()} threads": lambda: resize.through(images, sides, height),
        "accelerators: products": lambda: resize.by_matrices(images, sides, height),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    expected = plain()
    for number in range(asked.rounds + 1):
        for name, made in contenders.items():
            begun = time.perf_counter()
            assert torch.equal(made(), expected), name
            if number:
                seconds[name].append((time.perf_counter() - begun) / asked.batch)
    print(f"{height} px through 8 to {height} px, on this CPU; the same bits")
    pace = float(np.median(seconds["PIL, a loop"]))
    for name, took in seconds.items():
        one = float(np.median(took))
        print(f"  {name:24s} {1 / one:10,.0f} images/s   {pace / one:6.2f} × the loop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for side, size in ((36, 32), (36, 36), (144, 144)):
            compare(side, size, asked, Path(folder) / str(size))
    resizing(asked)


if __name__ == "__main__":
    main()
