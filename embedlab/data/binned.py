"""The images of an InsightFace ``.bin`` file as a data set."""

import hashlib
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from embedlab import bins
from embedlab.data.datasets import Dataset, read_image
from embedlab.errors import UserError
from embedlab.store import made_name

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
