"""Small data sets of people who are told apart by a pattern of colours."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from embedlab.data.datasets import Dataset, open_dataset
from embedlab.formats.protocols import PairList

People = Callable[..., Dataset]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these spend their time waiting for threads, the more so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def people_in() -> People:
    """Make a data set in a folder: people have patterns, and images of one person differ by noise."""

    def make(
        folder: Path, name: str, *, count: int = 6, each: int = 6, side: int = 20, seed: int = 0
    ) -> Dataset:
        draw = np.random.default_rng(seed)
        for person in range(count):
            pattern = draw.integers(0, 256, (4, 4, 3))
            # Mirrored, because training mirrors.
            pattern = (pattern + pattern[:, ::-1]) // 2
            for image in range(each):
                pixels = np.clip(pattern + draw.normal(0, 12, pattern.shape), 0, 255).astype(np.uint8)
                path = folder / "data" / name / f"p{person}" / f"{image}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR).save(path)
        return open_dataset(folder / "data" / name)

    return make


@pytest.fixture
def people(people_in: People, tmp_path: Path) -> People:
    """Make a data set in the test's own folder."""
    return partial(people_in, tmp_path)


@pytest.fixture(scope="session")
def pairs() -> Callable[[Dataset], PairList]:
    """Pair neighbouring images of one person, and each image with one of the next person."""

    def make(dataset: Dataset) -> PairList:
        a: list[str] = []
        b: list[str] = []
        same: list[bool] = []
        each = len(dataset) // len(dataset.identities)
        for i, item in enumerate(dataset.items):
            if (i + 1) % each:
                a, b, same = [*a, item], [*b, dataset.items[i + 1]], [*same, True]
            a, b, same = [*a, item], [*b, dataset.items[(i + each) % len(dataset)]], [*same, False]
        return PairList(tuple(a), tuple(b), np.array(same))

    return make
