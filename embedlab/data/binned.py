"""The images of an InsightFace ``.bin`` file as a data set, and a data set's pairs as such a file."""

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from embedlab.data.datasets import Dataset, UnreadableImage, read_image
from embedlab.data.degradations import Cropped, prepare
from embedlab.data.encoding import encoder
from embedlab.errors import UserError
from embedlab.formats import insightface_bin as bins
from embedlab.formats.protocols import PairList
from embedlab.lab.store import made_name
from embedlab.progress import say, track

CAUTION = (
    "people are known only as far as the file's pairs say: two images that no matching pair joins count as "
    "two people, so that figures over all pairs look worse than they are; those on the file's own pairs stand"
)


@dataclass(frozen=True, eq=False)
class BinDataset(Dataset):
    """Images that lie encoded in memory; ``path`` leads nowhere."""

    encoded: tuple[bytes, ...] = field(default=(), repr=False)

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decode item ``i``.

        Raises
        ------
        UnreadableImage
            As ``read_image`` does.
        """
        return read_image(io.BytesIO(self.encoded[i]))

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of identities and of item names, which are hashes of the contents."""
        digest = hashlib.sha256()
        for item, label in zip(self.items, self.labels, strict=True):
            digest.update(f"{item}\0{self.identities[label]}\0".encode())
        return digest.hexdigest()


def open_bin(path: Path | str) -> BinDataset:
    """Read the images of a ``.bin`` file; people are those whom its matching pairs join.

    Items are named by their contents, as ``protocols.read`` names them in the pairs of the same file. An
    image in no matching pair is a person of its own, so that two images of one person may count as two
    people: ``caution`` says so.

    Raises
    ------
    UserError
        If the file is no such file, or all its images are of one person.
    """
    path = Path(path)
    held = bins.read(path)
    items = tuple(held.images)
    labels = _people(items, held)
    people = int(labels.max()) + 1
    if people < 2:
        raise UserError(f"{path} holds images of one person only: at least two people are needed to compare")
    digits = max(4, len(str(people)))
    return BinDataset(
        name=made_name(path.stem.replace("@", " "), "data"),
        root=path,
        items=items,
        labels=labels,
        identities=tuple(f"person{k:0{digits}d}" for k in range(1, people + 1)),
        caution=CAUTION,
        encoded=tuple(held.images.values()),
    )


def write_bin(
    dataset: Dataset,
    pairs: PairList,
    path: Path | str,
    *,
    size: int | None = None,
    encoding: str = "png",
    quality: int = 95,
) -> int:
    """Write the images of pairs as a ``.bin`` file, for InsightFace to be tried on them.

    Folds are not written, because the format has none: whoever reads it cuts ten runs of neighbours, so
    that the pairs should stand fold by fold. A pair of which an image is not in the data set, or cannot
    be read, is left out, counted and named.

    Parameters
    ----------
    dataset, pairs
        The images, and which are compared.
    path
        The file to write.
    size
        Side in pixels that every image is brought to; by default they stay as they are, and whoever
        reads the file brings them to its network's size.
    encoding
        ``png``, which loses nothing, or ``jpg``.
    quality
        Of JPEG.

    Returns
    -------
    How many pairs were written.

    Raises
    ------
    UserError
        If none can be, or the file cannot be written.
    """
    encode = encoder(encoding, quality)
    a, b = pairs.rows(dataset.items)
    encoded: dict[int, bytes] = {}
    cropped = Cropped()
    reasons: dict[str, str] = {}
    needed = np.unique(np.concatenate([a, b]))

    def made(row: int) -> bytes | UnreadableImage:
        try:
            image = dataset.image(row)
        except UnreadableImage as error:
            return error
        if size is not None:
            cropped.see(image)
            image = prepare(image, None, size)
        return encode(image)

    rows = needed[needed >= 0].tolist()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for row, one in track(zip(rows, pool.map(made, rows), strict=True), "encoding", len(rows)):
            if isinstance(one, bytes):
                encoded[row] = one
            else:
                reasons[dataset.items[row]] = str(one)
    for name, row in zip((*pairs.a, *pairs.b), (*a, *b), strict=True):
        if row < 0:
            reasons.setdefault(name, f"not in {dataset.name}")
    whole = [k for k in range(len(pairs)) if a[k] in encoded and b[k] in encoded]
    if reasons:
        item, reason = next(iter(reasons.items()))
        told = (
            f"{len(pairs) - len(whole):,} of {len(pairs):,} pairs lack an image ({len(reasons):,} images; "
            f"first {item}: {reason})"
        )
        if not whole:
            raise UserError(f"{told}: give the pairs of this data set")
        say(f"  {told}; left out")
    cropped.told(dataset.name, "only their central square was written")
    images = [encoded[int(row)] for k in whole for row in (a[k], b[k])]
    bins.write(path, images, [bool(pairs.same[k]) for k in whole])
    return len(whole)


def _people(items: tuple[str, ...], held: bins.Bin) -> Int[np.ndarray, " n"]:
    """Give each item a number for its person, in the file's order."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    row = {item: k for k, item in enumerate(items)}
    joined = [(row[a], row[b]) for a, b, same in zip(held.a, held.b, held.same, strict=True) if same]
    ends = np.array(joined, dtype=np.int32).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=(len(items),) * 2)
    _, components = connected_components(graph, directed=False)
    _, first, labels = np.unique(components, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    numbered: np.ndarray = order[labels].astype(np.int64)
    return numbered
