"""Training images, in memory or in packs on disk, and batches of them at the network's size."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from embedlab.data.datasets import Dataset, UnreadableImage
from embedlab.data.degradations import MIDDLE, Cropped, prepare
from embedlab.data.packed import PackedDataset
from embedlab.errors import UserError
from embedlab.networks.embedder import Preprocessing
from embedlab.progress import say, track
from embedlab.training import augment
from embedlab.training.resize import through
from embedlab.training.sampling import Plan

MAX_SIZES = 8
"""Images of rarer sizes are enlarged when they are read, so that a batch is gathered in few steps."""

HELD_SHARE = 0.5
"""Share of a GPU's free memory that the images of packs may take; the rest is the network's."""


class Block(Protocol):
    """Images of one size, wherever they lie."""

    @property
    def side(self) -> int:
        """Side in pixels."""

    def rows(self, rows: Int[Tensor, " b"]) -> UInt8[Tensor, "b 3 h h"]:
        """Gather some of the images, on the device; ``rows`` are on the CPU."""


@dataclass(frozen=True)
class Held:
    """Images in the device's memory: uint8 of shape (k, 3, h, h)."""

    images: UInt8[Tensor, "k 3 h h"]

    @property
    def side(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[-1])

    def rows(self, rows: Int[Tensor, " b"]) -> UInt8[Tensor, "b 3 h h"]:
        """Gather where they lie."""
        return self.images[rows.to(self.images.device)]


@dataclass(frozen=True)
class Mapped:
    """Images in a file's memory map, uint8 of shape (k, h, h, 3); only what is gathered is read."""

    images: UInt8[np.ndarray, "k h h 3"]
    device: str

    @property
    def side(self) -> int:
        """Side in pixels."""
        return int(self.images.shape[1])

    def rows(self, rows: Int[Tensor, " b"]) -> UInt8[Tensor, "b 3 h h"]:
        """Gather in memory that the device can fetch from by itself, and have it fetch."""
        pinned = torch.device(self.device).type == "cuda"
        gathered = torch.empty(len(rows), *self.images.shape[1:], dtype=torch.uint8, pin_memory=pinned)
        # mode="clip", because "raise" gathers into a buffer first; the rows were checked at opening.
        np.take(self.images, rows.numpy(), axis=0, out=gathered.numpy(), mode="clip")
        return gathered.to(self.device, non_blocking=pinned).permute(0, 3, 1, 2).contiguous()

    def held(self, together: int = 1024) -> Held:
        """Bring all of them to the device, some at a time."""
        count, side = len(self.images), self.side
        made = torch.empty(count, 3, side, side, dtype=torch.uint8, device=self.device)
        for start in range(0, count, together):
            stop = min(start + together, count)
            made[start:stop] = self.rows(torch.arange(start, stop))
        return Held(made)


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Attributes
    ----------
    x
        The network's input, float32.
    labels
        Index of each image's identity, on the same device.
    pixels
        The same images as RGB on the scale 0…255, as the network sees them; None if not asked for.
    """

    x: Float[Tensor, "b 3 s s"]
    labels: Int[Tensor, " b"]
    pixels: Float[Tensor, "b 3 s s"] | None = None


@dataclass(frozen=True)
class Images:
    """The images of one or more data sets, each kept at its own size unless that is above the input's.

    Larger ones are shrunk by the filter that extraction uses, once where they are read from files of
    their own, in each batch where they lie in a pack; smaller ones are enlarged batch by batch, because
    a small image takes a fraction of the memory.

    Attributes
    ----------
    blocks
        Images of one size each.
    block, row
        For each image, which block it lies in and at which row.
    labels
        For each image, the index of its identity.
    identities
        ``<data set>/<identity>``, so that people of two data sets are never taken for one.
    unreadable
        Images left out, each with ``item`` and ``reason``.
    preprocessing
        The contract of the network's input.
    device
        Where batches are made.
    """

    blocks: tuple[Block, ...]
    block: Int[Tensor, " n"]
    row: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    identities: tuple[str, ...]
    unreadable: tuple[dict[str, str], ...]
    preprocessing: Preprocessing
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def identities_sha256(self) -> str:
        """Hash of the identities' sorted names."""
        return hashlib.sha256("\n".join(sorted(self.identities)).encode()).hexdigest()

    def sides(self, plan: Plan) -> Int[Tensor, " b"]:
        """Give the resolution that each image of a step shows, in pixels: its own, or a lower one."""
        own = torch.tensor([min(block.side, self.preprocessing.size) for block in self.blocks])
        shown = own[self.block[torch.from_numpy(plan.chosen)]]
        lower = torch.from_numpy(plan.sides)
        return torch.where(lower > 0, torch.minimum(lower, shown), shown).to(self.device)

    def batch(self, plan: Plan, *, pixels: bool = False) -> Batch:
        """Gather the images of a step and change them as it says, on the device.

        In this order: gathered, brought to the input's size (by way of a lower resolution where the plan
        has one), mirrored, coloured, partly blanked out with the contract's mean colour, put in channel
        order and normalised.

        Parameters
        ----------
        plan
            What the step sees.
        pixels
            Give the images on the scale 0…255 as well.
        """
        contract = self.preprocessing
        chosen = torch.from_numpy(plan.chosen)
        x = self._sized(chosen, plan.sides)
        x = augment.flipped(x, plan.mirrored)
        x = augment.jittered(x, plan.jitter)
        bgr = contract.channels == "BGR"
        x = augment.erased(x, plan.erasing, contract.mean[::-1] if bgr else contract.mean)
        mean, std = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (contract.mean, contract.std)
        )
        seen = x.clone() if pixels else None
        x = (x.flip(1) if bgr else x).sub_(mean).div_(std)
        return Batch(x, self.labels[chosen].to(self.device), seen)

    def _sized(self, chosen: Int[Tensor, " b"], sides: Int[np.ndarray, " b"]) -> Float[Tensor, "b 3 s s"]:
        size, device = self.preprocessing.size, self.device
        x = torch.empty(len(chosen), 3, size, size, device=device)
        block = self.block[chosen].numpy()
        for number, images in enumerate(self.blocks):
            lowered = (sides > 0) & (sides < min(images.side, size))
            for low in (False, True):
                here = np.flatnonzero((block == number) & (lowered == low))
                if len(here) == 0:
                    continue
                rows = torch.from_numpy(here)
                found = images.rows(self.row[chosen[rows]])
                if found.shape[-1] > size:
                    found = through(found, np.zeros(len(here), np.int64), size)
                made = through(found, sides[here], size).float() if low else enlarged(found, size)
                if len(here) == len(chosen):
                    return made
                x[rows.to(device)] = made
        return x


def enlarged(images: UInt8[Tensor, "b 3 h h"], size: int) -> Float[Tensor, "b 3 s s"]:
    """Enlarge 8-bit images of shape (b, 3, h, h) to ``size`` as PIL's bilinear filter does."""
    x = images.float()
    if x.shape[-1] == size:
        return x
    # PIL stores 8 bits, so the nearest whole number is what extraction sees.
    return functional.interpolate(x, (size, size), mode="bilinear", align_corners=False).round_()


def read(
    datasets: Sequence[Dataset], preprocessing: Preprocessing, device: str = "cpu", *, strict: bool = False
) -> Images:
    """Read every image of some data sets; unreadable ones are left out and counted.

    Of a pack nothing is read but its table: batches are gathered from its memory map, or from the
    device's own memory where that is a GPU's and the images of all packs fit in half of what is free.

    Parameters
    ----------
    datasets
        What to read; a person of one is never the same as a person of another.
    preprocessing
        The contract of the network's input.
    device
        Where the images are kept and batches are made.
    strict
        Stop at unreadable images, those that a pack left out among them.

    Raises
    ------
    UserError
        If nothing can be read, the images show fewer than two people, or one is unreadable and
        ``strict``.
    """
    loose = [dataset for dataset in datasets if not isinstance(dataset, PackedDataset)]
    found = _Loose(min(8, os.cpu_count() or 1), preprocessing.size)
    for dataset in loose:
        found.read(dataset)
    blocks, block_of, row_of = found.blocks(device)
    mapped: list[Mapped] = []
    block, row, labels = [], [], []
    identities: list[str] = []
    unreadable: list[dict[str, str]] = []
    for dataset in datasets:
        skipped: Sequence[dict[str, str]]
        if isinstance(dataset, PackedDataset):
            block.append(dataset.block + len(blocks) + len(mapped))
            row.append(dataset.row)
            mapped += [Mapped(images, device) for images in dataset.blocks]
            kept, skipped = dataset.labels, dataset.skipped
        else:
            here, kept, skipped = found.of(dataset)
            block.append(block_of[here])
            row.append(row_of[here])
        labels.append(kept + len(identities))
        identities += [f"{dataset.name}/{identity}" for identity in dataset.identities]
        unreadable += [{"item": f"{dataset.name}/{one['item']}", "reason": one["reason"]} for one in skipped]
    _told(unreadable, strict)
    # Only people with an image are a class; the others could never be recognised.
    present, labels_of = np.unique(np.concatenate([*labels, np.zeros(0, np.int64)]), return_inverse=True)
    if len(present) < 2:
        raise UserError(
            f"{', '.join(d.name for d in datasets) or 'no data set'} gives {len(labels_of)} readable images "
            f"of {len(present)} people: training needs at least two people"
        )
    return Images(
        blocks=(*blocks, *_placed(mapped, device)),
        block=torch.from_numpy(np.concatenate(block)),
        row=torch.from_numpy(np.concatenate(row)),
        labels=torch.from_numpy(labels_of),
        identities=tuple(identities[i] for i in present),
        unreadable=tuple(unreadable),
        preprocessing=preprocessing,
        device=device,
    )


def _told(unreadable: list[dict[str, str]], strict: bool) -> None:
    if not unreadable:
        return
    first = f"{unreadable[0]['item']}: {unreadable[0]['reason']}"
    if strict:
        raise UserError(
            f"{len(unreadable):,} unreadable images ({first}): remove them, or leave out --strict"
        )
    say(f"  left out {len(unreadable):,} unreadable images ({first})")


def _placed(mapped: list[Mapped], device: str) -> list[Block]:
    """Hold the images of packs on a GPU if they fit there."""
    wanted = sum(one.images.nbytes for one in mapped)
    if not mapped or torch.device(device).type != "cuda":
        return list(mapped)
    free, _ = torch.cuda.mem_get_info(device)
    if wanted > HELD_SHARE * free:
        return list(mapped)
    return [one.held() for one in track(mapped, f"bringing {wanted / 1e9:.1f} GB of images to the GPU")]


class _Loose:
    """Images of data sets that are not packed, read into memory."""

    def __init__(self, threads: int, size: int) -> None:
        self.threads, self.size = threads, size
        self.pixels: list[np.ndarray] = []
        self.found: dict[int, tuple[slice, Int[np.ndarray, " k"], list[dict[str, str]]]] = {}

    def read(self, dataset: Dataset) -> None:
        """Read a data set's images, larger ones shrunk to the input's size."""
        start = len(self.pixels)
        labels: list[int] = []
        unreadable: list[dict[str, str]] = []
        cropped = Cropped()

        def image(i: int) -> np.ndarray | UnreadableImage:
            try:
                found = dataset.image(i)
            except UnreadableImage as error:
                return error
            cropped.see(found)
            return prepare(found, None, min(self.size, *found.shape[:2]))

        with ThreadPoolExecutor(self.threads) as pool:
            progress = track(pool.map(image, range(len(dataset))), f"reading {dataset.name}", len(dataset))
            for item, label, one in zip(dataset.items, dataset.labels.tolist(), progress, strict=True):
                if isinstance(one, UnreadableImage):
                    unreadable.append({"item": item, "reason": str(one)})
                    continue
                self.pixels.append(one)
                labels.append(label)
        cropped.told(dataset.name, MIDDLE)
        here = slice(start, len(self.pixels))
        self.found[id(dataset)] = (here, np.array(labels, dtype=np.int64), unreadable)

    def of(self, dataset: Dataset) -> tuple[slice, Int[np.ndarray, " k"], list[dict[str, str]]]:
        """Give where a data set's images stand, whom they show, and which could not be read."""
        return self.found[id(dataset)]

    def blocks(self, device: str) -> tuple[list[Block], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Stack images of one size, and give the block and the row of each."""
        pixels = self.pixels
        kept = {side for side, _ in Counter(len(one) for one in pixels).most_common(MAX_SIZES)}
        for i, one in enumerate(pixels):
            if len(one) not in kept:
                pixels[i] = prepare(one, None, self.size)
        sides = np.array([len(one) for one in pixels], dtype=np.int64)
        blocks: list[Block] = []
        block, row = np.zeros(len(pixels), np.int64), np.zeros(len(pixels), np.int64)
        for number, side in enumerate(np.unique(sides)):
            members = np.flatnonzero(sides == side)
            block[members], row[members] = number, np.arange(len(members))
            stack = torch.from_numpy(np.stack([pixels[i] for i in members]))
            blocks.append(Held(stack.permute(0, 3, 1, 2).contiguous().to(device)))
        return blocks, block, row
