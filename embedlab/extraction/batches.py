"""Images become parts of embedding sets: read by threads, resized for each probe, embedded in batches."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from jaxtyping import Float, UInt8

from embedlab.data.datasets import Dataset, UnreadableImage
from embedlab.data.degradations import Cropped, prepare
from embedlab.extraction.parts import Part, usable
from embedlab.networks.embedder import Embedder

Image = UInt8[np.ndarray, "s s 3"]


@dataclass(frozen=True)
class Task:
    """What all probes of a pass share.

    Attributes
    ----------
    embedder
        The network.
    dataset
        The images.
    batch
        Images the network gets at once.
    flip
        Whether the vector of the mirror image is added.
    strict
        Whether an image that cannot be used is an error.
    cropped
        Counts the images that are not square.
    """

    embedder: Embedder
    dataset: Dataset
    batch: int
    flip: bool
    strict: bool
    cropped: Cropped = field(default_factory=Cropped, compare=False)


def embedded_parts(task: Task, rows: range, probes: int, images: Iterator[list[Image] | str]) -> list[Part]:
    """Make one part for each of several probes; every probe's batches are those it would have alone."""
    begun = time.monotonic()
    good: list[int] = []
    bad: list[tuple[int, str]] = []
    vectors: list[list[np.ndarray]] = [[] for _ in range(probes)]
    waiting: list[list[Image]] = []
    for row in rows:
        found = next(images)
        if isinstance(found, str):
            bad.append((row, found))
        else:
            good.append(row)
            waiting.append(found)
        if waiting and (len(waiting) == task.batch or row == rows[-1]):
            for probe, batch in enumerate(zip(*waiting, strict=True)):
                vectors[probe].append(_vectors(task, np.stack(batch)))
            waiting.clear()
    took = (time.monotonic() - begun) / probes
    none = np.empty((0, task.embedder.dimension), np.float32)
    return [usable(np.concatenate(each) if each else none, good, list(bad), took) for each in vectors]


def _vectors(task: Task, images: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
    found = task.embedder.embed(images)
    if task.flip:
        found = found + task.embedder.embed(np.ascontiguousarray(images[:, :, ::-1]))
    return found


TOGETHER = 16
"""The most images a thread reads in a row: to hand over each alone costs a fifth of reading small ones."""


def read_ahead(task: Task, plan: Iterable[tuple[int, tuple[int | None, ...]]]) -> Iterator[list[Image] | str]:
    """Yield each image as its probes show it, in order, or why it cannot be used; threads read ahead."""
    size = task.embedder.preprocessing.size

    def read(row: int, pixels: tuple[int | None, ...]) -> list[Image] | str:
        try:
            image = task.dataset.image(row)
        except UnreadableImage as error:
            return str(error)
        task.cropped.see(image)
        return [prepare(image, side, size) for side in pixels]

    def read_all(lot: list[tuple[int, tuple[int | None, ...]]]) -> list[list[Image] | str]:
        return [read(*one) for one in lot]

    threads = os.cpu_count() or 1
    rows, together = iter(plan), min(TOGETHER, max(1, task.batch // 8))
    going = (2 * task.batch + threads) // together
    ahead: deque[Future[list[list[Image] | str]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        while lot := list(islice(rows, together)):
            ahead.append(pool.submit(read_all, lot))
            if len(ahead) >= going:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
