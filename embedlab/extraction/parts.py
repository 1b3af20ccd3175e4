"""The parts of an embedding set that is being extracted, and the one file they become.

A part holds the vectors of a run of consecutive items. Parts lie in a hidden folder beside the file to
come, so that an extraction that was killed goes on where it was, and several processes can share one.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.files import parquet
from embedlab.lab import embeddings
from embedlab.lab.store import atomic_file, write_json

if TYPE_CHECKING:
    from embedlab.data.datasets import Dataset

PART = ("vectors", "rows", "skipped", "reasons", "seconds")
GROUP = 16
"""Parts a row group of the file: what merging holds in memory at once."""


@dataclass(frozen=True)
class Part:
    """The vectors of the good items of a run, and why the others have none.

    Attributes
    ----------
    vectors
        float32 of shape (m, d).
    rows
        Whose they are: rows of the data set, ascending.
    skipped
        Row and reason of each of the others.
    seconds
        What making it took.
    """

    vectors: Float[np.ndarray, "m d"]
    rows: Int[np.ndarray, " m"]
    skipped: tuple[tuple[int, str], ...]
    seconds: float


def usable(
    vectors: Float[np.ndarray, "m d"], rows: list[int], skipped: list[tuple[int, str]], seconds: float
) -> Part:
    """Make a part of what a network gave; vectors without a direction count as skipped."""
    finite = np.isfinite(vectors).all(axis=1)
    keep = finite & vectors.any(axis=1)
    at = np.asarray(rows, dtype=np.int64)
    for row, is_finite in zip(at[~keep], finite[~keep], strict=True):
        what = "zero" if is_finite else "not finite"
        skipped.append((int(row), f"the network's vector is {what}"))
    return Part(vectors[keep].astype(np.float32, copy=False), at[keep], tuple(sorted(skipped)), seconds)


class Parts:
    """The folder of the parts of one set.

    Parameters
    ----------
    folder
        Where they lie.
    identity
        What they are parts of, as plain JSON.
    starts
        First row of each part.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], starts: range) -> None:
        self.folder = folder
        self.identity = dict(identity)
        self.starts = starts

    def open(self, *, fresh: bool) -> None:
        """Keep the parts that are there if they are of this very set, else clear them away."""
        manifest = self.folder / "manifest.json"
        try:
            same = json.loads(manifest.read_text(encoding="utf-8")) == self.identity
        except (OSError, ValueError):
            same = False
        if fresh or not same:
            self.clear()
            write_json(manifest, self.identity)

    def has(self, start: int) -> bool:
        """Tell whether the part that starts at a row is there, and whole: each array has a checksum."""
        try:
            # Opened here because numpy leaves a damaged archive open.
            with self._file(start).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return all(stored[name] is not None for name in PART)
        except Exception:
            # A damaged archive makes zipfile, zlib and numpy raise nearly anything.
            return False

    def write(self, start: int, part: Part) -> None:
        """Store a part."""
        with atomic_file(self._file(start)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                vectors=part.vectors,
                rows=part.rows,
                skipped=np.array([row for row, _ in part.skipped], dtype=np.int64),
                reasons=np.array([reason for _, reason in part.skipped], dtype=str),
                seconds=np.float64(part.seconds),
            )

    def vectors(self, start: int) -> tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " m"]]:
        """Read a part's vectors, and the rows they are of."""
        with np.load(self._file(start), allow_pickle=False) as stored:
            return stored["vectors"], stored["rows"]

    def skipped(self, start: int) -> tuple[tuple[int, str], ...]:
        """Read row and reason of the items of a part that have no vector."""
        with np.load(self._file(start), allow_pickle=False) as stored:
            return tuple(zip(stored["skipped"].tolist(), stored["reasons"].tolist(), strict=True))

    def seconds(self) -> float:
        """Add up what making the parts took."""
        total = 0.0
        for start in self.starts:
            with np.load(self._file(start), allow_pickle=False) as stored:
                total += float(stored["seconds"])
        return total

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, start: int) -> Path:
        return self.folder / f"{start:09d}.npz"


def merge(parts: Parts, path: Path, dataset: "Dataset", metadata: Mapping[str, Any]) -> int:
    """Write the parts as one Parquet file, a row group at a time, as ``embeddings.write`` does a set.

    Parameters
    ----------
    parts
        All of them are there.
    path
        The file, which the caller makes atomic.
    dataset
        Whose rows they are of.
    metadata
        With ``model`` and ``probe``, what stands in the file's schema.

    Returns
    -------
    int
        Rows written.
    """
    tables = (
        embeddings.table(
            vectors,
            [dataset.items[row] for row in rows],
            [dataset.identities[dataset.labels[row]] for row in rows],
        )
        for vectors, rows in _groups(parts)
    )
    return parquet.write(path, tables, metadata)


def _groups(parts: Parts) -> Iterator[tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " m"]]]:
    for k in range(0, len(parts.starts), GROUP):
        read = [parts.vectors(start) for start in parts.starts[k : k + GROUP]]
        vectors, rows = (np.concatenate(column) for column in zip(*read, strict=True))
        if len(rows):
            yield vectors, rows
