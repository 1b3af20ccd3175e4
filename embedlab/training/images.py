"""Training images in memory, and batches of them at the network's size."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from embedlab.data.datasets import Dataset, UnreadableImage
from embedlab.data.degradations import prepare
from embedlab.errors import UserError
from embedlab.networks.embedder import Preprocessing
from embedlab.progress import say, track

MAX_SIZES = 8
"""Images of rarer sizes are enlarged when they are read, so that a batch is gathered in few steps."""


@dataclass(frozen=True)
class Images:
    """The images of one or more data sets, each kept at its own size unless that is above the input's.

    Larger ones are shrunk once, by the filter that extraction uses; smaller ones are enlarged batch by
    batch, because a small image takes a fraction of the memory.

    Attributes
    ----------
    blocks
        Images of one size each, uint8 of shape (k, 3, s, s).
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
    """

    blocks: tuple[Tensor, ...]
    block: Int[Tensor, " n"]
    row: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    identities: tuple[str, ...]
    unreadable: tuple[dict[str, str], ...]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def identities_sha256(self) -> str:
        """Hash of the identities' sorted names."""
        return hashlib.sha256("\n".join(sorted(self.identities)).encode()).hexdigest()

    def batch(self, chosen: Int[Tensor, " b"], mirrored: Bool[Tensor, " b"]) -> Float[Tensor, "b 3 s s"]:
        """Gather images, mirror some, and bring them to the network's input.

        Parameters
        ----------
        chosen
            Indices of images, on the CPU.
        mirrored
            Which of them to mirror, on the CPU.
        """
        size = self.preprocessing.size
        device = self.blocks[0].device
        x = torch.empty(len(chosen), 3, size, size, device=device)
        block = self.block[chosen]
        for number, images in enumerate(self.blocks):
            here = torch.nonzero(block == number)[:, 0]
            if len(here) == 0:
                continue
            rows = self.row[chosen[here]].to(device)
            x[here.to(device)] = enlarged(images[rows], size)
        x = torch.where(mirrored.to(device)[:, None, None, None], x.flip(-1), x)
        mean, std = (
            torch.tensor(values, device=device)[:, None, None]
            for values in (self.preprocessing.mean, self.preprocessing.std)
        )
        if self.preprocessing.channels == "BGR":
            x = x.flip(1)
        return (x - mean) / std


def enlarged(images: Tensor, size: int) -> Float[Tensor, "b 3 s s"]:
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

    Parameters
    ----------
    datasets
        What to read; a person of one is never the same as a person of another.
    preprocessing
        The contract of the network's input.
    device
        Where the images are kept.
    strict
        Stop at unreadable images.

    Raises
    ------
    UserError
        If nothing can be read, the images show fewer than two people, or one is unreadable and
        ``strict``.
    """
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    identities: list[str] = []
    unreadable: list[dict[str, str]] = []
    size = preprocessing.size

    def image(dataset: Dataset, i: int) -> np.ndarray | UnreadableImage:
        try:
            found = dataset.image(i)
        except UnreadableImage as error:
            return error
        return prepare(found, None, min(size, *found.shape[:2]))

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for dataset in datasets:
            found = pool.map(image, [dataset] * len(dataset), range(len(dataset)))
            progress = track(found, f"reading {dataset.name}", len(dataset))
            for item, label, one in zip(dataset.items, dataset.labels.tolist(), progress, strict=True):
                if isinstance(one, UnreadableImage):
                    unreadable.append({"item": f"{dataset.name}/{item}", "reason": str(one)})
                    continue
                pixels.append(one)
                labels.append(len(identities) + label)
            identities += [f"{dataset.name}/{identity}" for identity in dataset.identities]
    if unreadable:
        first = f"{unreadable[0]['item']}: {unreadable[0]['reason']}"
        if strict:
            raise UserError(
                f"{len(unreadable):,} unreadable images ({first}): remove them, or leave out --strict"
            )
        say(f"  left out {len(unreadable):,} unreadable images ({first})")
    # Only people with an image are a class; the others could never be recognised.
    present, labels_of = np.unique(np.array(labels, dtype=np.int64), return_inverse=True)
    if len(present) < 2:
        raise UserError(
            f"{', '.join(d.name for d in datasets) or 'no data set'} gives {len(pixels)} readable images of "
            f"{len(present)} people: training needs at least two people"
        )
    kept = {side for side, _ in Counter(len(one) for one in pixels).most_common(MAX_SIZES)}
    for i, one in enumerate(pixels):
        if len(one) not in kept:
            pixels[i] = prepare(one, None, size)
    sides = np.array([len(one) for one in pixels])
    blocks, block, row = [], np.zeros(len(pixels), np.int64), np.zeros(len(pixels), np.int64)
    for number, side in enumerate(np.unique(sides)):
        members = np.flatnonzero(sides == side)
        block[members], row[members] = number, np.arange(len(members))
        stack = torch.from_numpy(np.stack([pixels[i] for i in members]))
        blocks.append(stack.permute(0, 3, 1, 2).contiguous().to(device))
    return Images(
        blocks=tuple(blocks),
        block=torch.from_numpy(block),
        row=torch.from_numpy(row),
        labels=torch.from_numpy(labels_of),
        identities=tuple(identities[i] for i in present),
        unreadable=tuple(unreadable),
        preprocessing=preprocessing,
    )
