"""A model and a probe become an embedding set: in batches, resumable, with bounded memory."""

import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from embedlab import compute, embeddings
from embedlab.data.datasets import Dataset, UnreadableImage
from embedlab.data.degradations import Probe, prepare
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError
from embedlab.networks.embedder import Embedder
from embedlab.progress import say, track
from embedlab.runner import versions
from embedlab.store import Lab, atomic_file, write_json

SCHEMA = 1

SHARD = 512
"""Images a stored part: what a killed extraction loses at most."""

NAMED_SKIPS = 3


@dataclass(frozen=True)
class Extraction:
    """What came of one extraction.

    Attributes
    ----------
    path
        The Parquet file.
    rows
        How many images have a vector.
    skipped
        Item and reason of each image that has none.
    seconds
        What this call took.
    cached
        Whether the file was there already.
    images_per_second
        Images read and embedded by this call, a second; 0 if none were.
    """

    path: Path
    rows: int
    skipped: tuple[tuple[str, str], ...]
    seconds: float
    cached: bool
    images_per_second: float


@dataclass(frozen=True)
class _Shard:
    """A run of consecutive items: the vectors of the good ones, and why the others have none."""

    vectors: Float[np.ndarray, "m d"]
    rows: tuple[int, ...]
    skipped: tuple[tuple[int, str], ...]
    seconds: float


def extract(
    lab: Lab,
    embedder: Embedder,
    dataset: Dataset,
    probe: Probe,
    *,
    batch: int | None = None,
    strict: bool = False,
    fresh: bool = False,
) -> Extraction:
    """Embed every image of a data set under one probe, and store the set in the lab.

    Images are read and resized by threads, a bounded number ahead of the network. What is done is kept
    in parts beside the file to come, so that an extraction that was killed goes on where it was, and
    ends in the same vectors. Where the lab has these vectors already nothing is computed.

    Parameters
    ----------
    lab
        Where the set is stored, as ``embeddings/<model>/<probe>.parquet``.
    embedder
        The network.
    dataset
        The images.
    probe
        Their condition; its data set's name should be that of ``dataset``.
    batch
        Images the network gets at once; by default what suits the device.
    strict
        Fail at the first image that cannot be used, where otherwise it is skipped and listed.
    fresh
        Extract again even where the lab has these vectors.

    Raises
    ------
    UserError
        If no image can be used, or one cannot and ``strict`` is set; if ``batch`` is not positive.
    """
    if batch is not None and batch < 1:
        raise UserError(f"a batch of {batch} images is no batch: give at least 1")
    begun = time.monotonic()
    path = lab.embeddings_file(embedder.name, str(probe))
    identity = _identity(embedder, dataset, probe)
    if not fresh:
        stored = _stored(path, identity, strict=strict, begun=begun)
        if stored is not None:
            return stored
    usual = 64 if _device(embedder).startswith("cpu") else 256
    batch = batch or int(getattr(embedder, "usual_batch", usual))
    parts = _Parts(path.with_name(f".{path.stem}.parts"), {**identity, "batch": batch, "shard": SHARD})
    parts.open(fresh=fresh)
    done = _fill(parts, embedder, dataset, probe, batch, strict=strict)
    try:
        embedded, skipped, seconds = _merged(parts, embedder, dataset, probe)
    except FileNotFoundError:
        # Another process extracted the same, finished first and cleared the parts away.
        stored = _stored(path, identity, strict=strict, begun=begun)
        if stored is None:
            raise
        return stored
    head = {
        **identity,
        "assumed_preprocessing": bool(getattr(embedder, "assumed_preprocessing", False)),
        "skipped": [list(pair) for pair in skipped],
        "versions": versions(),
        "device": _device(embedder),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
    }
    with atomic_file(path) as temporary:
        embeddings.write(temporary, embedded, head)
    parts.clear()
    _tell_skipped(skipped, len(dataset))
    took = time.monotonic() - begun
    return Extraction(path, len(embedded.items), skipped, took, cached=False, images_per_second=done / took)


def _device(embedder: Embedder) -> str:
    return str(getattr(embedder, "device", "") or compute.describe())


def _identity(embedder: Embedder, dataset: Dataset, probe: Probe) -> dict[str, Any]:
    """Say what makes vectors these vectors, as plain JSON."""
    return {
        "schema": SCHEMA,
        "probe": str(probe),
        "model_sha256": embedder.fingerprint,
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "images": len(dataset),
            "people": len(dataset.identities),
            **({"caution": dataset.caution} if dataset.caution else {}),
        },
        "preprocessing": json.loads(json.dumps(embedder.preprocessing.to_json())),
    }


def _stored(path: Path, identity: dict[str, Any], *, strict: bool, begun: float) -> Extraction | None:
    if not path.is_file():
        return None
    try:
        head = embeddings.metadata(path)
    except UserError:
        say(f"  {path} cannot be read: it is made again")
        return None
    differs = [key for key, value in identity.items() if head.get(key) != value]
    if differs:
        say(f"  {path} was made with another {_words(differs)}: it is made again")
        return None
    skipped = tuple((str(item), str(reason)) for item, reason in head["skipped"])
    if strict and skipped:
        raise _strict(*skipped[0])
    _tell_skipped(skipped, int(head["dataset"]["images"]))
    rows = int(head["dataset"]["images"]) - len(skipped)
    return Extraction(path, rows, skipped, time.monotonic() - begun, cached=True, images_per_second=0.0)


def _words(differs: list[str]) -> str:
    names = {"model_sha256": "model of that name", "dataset": "data set"}
    return " and another ".join(names.get(key, key) for key in differs)


def _strict(item: str, reason: str) -> UserError:
    return UserError(f"image {item} cannot be used: {reason}: mend or remove it, or leave out --strict")


def _tell_skipped(skipped: tuple[tuple[str, str], ...], n: int) -> None:
    if skipped:
        named = "; ".join(f"{item} ({reason})" for item, reason in skipped[:NAMED_SKIPS])
        more = "; …" if len(skipped) > NAMED_SKIPS else ""
        be = "was" if len(skipped) == 1 else "were"
        say(f"  {len(skipped):,} of {n:,} images {be} skipped: {named}{more}")


class _Parts:
    """The hidden folder a running extraction keeps its finished parts in."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity = identity

    def open(self, *, fresh: bool) -> None:
        """Keep the parts that are there if they are of this very extraction, else clear them away."""
        manifest = self.folder / "manifest.json"
        try:
            same = json.loads(manifest.read_text(encoding="utf-8")) == self.identity
        except (OSError, ValueError):
            same = False
        if fresh or not same:
            self.clear()
            write_json(manifest, self.identity)

    def file(self, start: int) -> Path:
        return self.folder / f"{start:09d}.npz"

    def write(self, start: int, shard: _Shard) -> None:
        with atomic_file(self.file(start)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                vectors=shard.vectors,
                rows=np.array(shard.rows, dtype=np.int64),
                skipped=np.array([row for row, _ in shard.skipped], dtype=np.int64),
                reasons=np.array([reason for _, reason in shard.skipped], dtype=str),
                seconds=np.float64(shard.seconds),
            )

    def read(self, start: int) -> _Shard:
        with np.load(self.file(start), allow_pickle=False) as stored:
            skipped = zip(stored["skipped"].tolist(), stored["reasons"].tolist(), strict=True)
            return _Shard(
                vectors=stored["vectors"],
                rows=tuple(stored["rows"].tolist()),
                skipped=tuple(skipped),
                seconds=float(stored["seconds"]),
            )

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _fill(
    parts: _Parts, embedder: Embedder, dataset: Dataset, probe: Probe, batch: int, *, strict: bool
) -> int:
    """Make the parts that are missing; give the number of images that were read."""
    every = range(0, len(dataset), SHARD)
    starts = [start for start in every if not parts.file(start).is_file()]
    for start in sorted(set(every) - set(starts)) if strict else ():
        _raise_if_skipped(parts.read(start), dataset)
    missing = [range(start, min(start + SHARD, len(dataset))) for start in starts]
    total = sum(map(len, missing))
    if total < len(dataset):
        say(f"  going on with {len(dataset) - total:,} of {len(dataset):,} images done")
    images = _read_ahead(
        dataset, probe, embedder.preprocessing.size, [i for run in missing for i in run], batch
    )
    seen = track(images, f"{probe} in {embedder.name}", total)
    for rows in missing:
        begun = time.monotonic()
        good: list[int] = []
        bad: list[tuple[int, str]] = []
        vectors: list[np.ndarray] = []
        waiting: list[np.ndarray] = []
        for row in rows:
            image = next(seen)
            if isinstance(image, str):
                bad.append((row, image))
            else:
                good.append(row)
                waiting.append(image)
            if waiting and (len(waiting) == batch or row == rows[-1]):
                vectors.append(embedder.embed(np.stack(waiting)))
                waiting.clear()
        found = np.concatenate(vectors) if vectors else np.empty((0, embedder.dimension), np.float32)
        shard = _usable(found, good, bad, time.monotonic() - begun)
        if strict:
            _raise_if_skipped(shard, dataset)
        parts.write(rows[0], shard)
    # The loop has taken every image, but only the end of the iterator closes its progress bar.
    for _ in seen:
        pass
    return total


def _raise_if_skipped(shard: _Shard, dataset: Dataset) -> None:
    if shard.skipped:
        row, reason = shard.skipped[0]
        raise _strict(dataset.items[row], reason)


def _usable(
    vectors: Float[np.ndarray, "m d"], rows: list[int], skipped: list[tuple[int, str]], seconds: float
) -> _Shard:
    finite = np.isfinite(vectors).all(axis=1)
    keep = finite & vectors.any(axis=1)
    for row, is_finite in zip(np.asarray(rows)[~keep], finite[~keep], strict=True):
        what = "zero" if is_finite else "not finite"
        skipped.append((int(row), f"the network's vector is {what}"))
    good = tuple(row for row, kept in zip(rows, keep, strict=True) if kept)
    return _Shard(vectors[keep].astype(np.float32, copy=False), good, tuple(sorted(skipped)), seconds)


def _read_ahead(
    dataset: Dataset, probe: Probe, size: int, rows: list[int], batch: int
) -> Iterator[UInt8[np.ndarray, "s s 3"] | str]:
    """Yield the images in order, or why one cannot be used; threads read a bounded number ahead."""

    def read(row: int) -> np.ndarray | str:
        try:
            return prepare(dataset.image(row), probe.pixels, size)
        except UnreadableImage as error:
            return str(error)

    threads = os.cpu_count() or 1
    ahead: deque[Future[np.ndarray | str]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for row in rows:
            ahead.append(pool.submit(read, row))
            if len(ahead) >= 2 * batch + threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _merged(
    parts: _Parts, embedder: Embedder, dataset: Dataset, probe: Probe
) -> tuple[EmbeddingSet, tuple[tuple[str, str], ...], float]:
    vectors = np.empty((len(dataset), embedder.dimension), dtype=np.float32)
    rows: list[int] = []
    skipped: list[tuple[str, str]] = []
    seconds = 0.0
    for start in range(0, len(dataset), SHARD):
        shard = parts.read(start)
        vectors[len(rows) : len(rows) + len(shard.rows)] = shard.vectors
        rows.extend(shard.rows)
        skipped.extend((dataset.items[row], reason) for row, reason in shard.skipped)
        seconds += shard.seconds
    if not rows:
        parts.clear()
        item, reason = skipped[0]
        raise UserError(
            f"none of the {len(dataset):,} images of {dataset.name} can be used, such as {item}: {reason}: "
            "look at the files"
        )
    embedded = EmbeddingSet.from_rows(
        model=embedder.name,
        probe=str(probe),
        vectors=vectors[: len(rows)],
        items=[dataset.items[row] for row in rows],
        people=[dataset.identities[dataset.labels[row]] for row in rows],
    )
    return embedded, tuple(skipped), seconds
