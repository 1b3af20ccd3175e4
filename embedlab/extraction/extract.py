"""A model and probes become embedding sets: in batches, resumable, shared by processes, in bounded memory."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from embedlab import compute, ranks
from embedlab.data import split
from embedlab.data.datasets import Dataset
from embedlab.data.degradations import MIDDLE, Probe
from embedlab.errors import UserError, enough_memory
from embedlab.extraction import parts as extraction_parts
from embedlab.extraction.batches import Task, embedded_parts, read_ahead
from embedlab.extraction.parts import Parts
from embedlab.lab import embeddings
from embedlab.lab.store import Lab, atomic_file, locked, people_of, sweep
from embedlab.networks.embedder import Embedder
from embedlab.progress import say, track
from embedlab.ranks import Ranks
from embedlab.runner import versions

SCHEMA = 2
"""Raised where the same images give other pixels: since 2 TIFFs are turned once."""

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
        What this call took, with the other probes of its pass.
    cached
        Whether the file was there already.
    images_per_second
        Images embedded for this probe by this call, a second; 0 if none were.
    """

    path: Path
    rows: int
    skipped: tuple[tuple[str, str], ...]
    seconds: float
    cached: bool
    images_per_second: float


@dataclass(frozen=True)
class _Job:
    """A probe whose vectors are to be made."""

    probe: Probe
    path: Path
    identity: dict[str, Any]
    parts: Parts
    images: int


def extract(
    lab: Lab,
    embedder: Embedder,
    dataset: Dataset,
    probe: Probe,
    *,
    batch: int | None = None,
    strict: bool = False,
    fresh: bool = False,
    flip: bool = False,
) -> Extraction:
    """Embed every image of a data set under one probe: ``extract_all`` for one."""
    return extract_all(
        lab, embedder, dataset, [probe], batch=batch, strict=strict, fresh=fresh, flip=flip
    )[0]  # fmt: skip


def extract_all(
    lab: Lab,
    embedder: Embedder,
    dataset: Dataset,
    probes: Sequence[Probe],
    *,
    batch: int | None = None,
    strict: bool = False,
    fresh: bool = False,
    flip: bool = False,
    people: int = 0,
) -> list[Extraction]:
    """Embed every image of a data set under several probes in one pass, and store the sets in the lab.

    An image is read once and resized for each probe, by threads, a bounded number ahead of the network.
    What is done is kept in parts beside the files to come, so that an extraction that was killed goes on
    where it was, and ends in the same vectors. Of probes whose vectors the lab has already nothing is
    computed. Several processes that ``torchrun`` started share the parts; the first one merges them.

    Parameters
    ----------
    lab
        Where the sets are stored, as ``embeddings/<model>/<probe>.parquet``; with several processes, a folder
        that they all see.
    embedder
        The network.
    dataset
        The images.
    probes
        Their conditions; the data set's name in them should be that of ``dataset``.
    batch
        Images the network gets at once; by default what suits the device.
    strict
        Fail at the first image that cannot be used, where otherwise it is skipped and listed.
    fresh
        Extract again even where the lab has these vectors.
    flip
        Embed each image and its mirror image, and store the sum of the two vectors as the network gave
        them, whose direction is that of InsightFace's flip test [1]_. Which was chosen stands in the file.
    people
        Embed the images of so many people alone, drawn by their names as by ``EmbeddingSet.draw``, into files
        beside those of everybody. Probes of which the lab has everybody, or more people, are kept as they
        are: those sets are the ones that are brought up to date. 0 takes everybody.

    Returns
    -------
    list of Extraction
        One for each of ``probes``, in their order.

    Raises
    ------
    UserError
        If no image can be used, or one cannot and ``strict`` is set; if ``batch`` is not positive.

    References
    ----------
    .. [1] ``deepinsight/insightface``, ``recognition/arcface_torch/eval/verification.py``: the embeddings
       of both are added and then normalised.
    """
    if batch is not None and batch < 1:
        raise UserError(f"a batch of {batch} images is no batch: give at least 1")
    of: dict[int, list[Probe]] = {}
    asked = people if people < len(dataset.identities) else 0
    for probe in dict.fromkeys(probes):
        of.setdefault(people_of(lab.embeddings_file(embedder.name, str(probe), asked)), []).append(probe)
    found: dict[Probe, Extraction] = {}
    for count, some in of.items():
        pass_ = _Pass(lab, embedder, dataset, count, strict=strict, fresh=fresh, flip=flip)
        found |= zip(some, _embedded(pass_, some, batch), strict=True)
    return [found[probe] for probe in probes]


@dataclass(frozen=True)
class _Pass:
    """What is embedded in one pass over images, and how."""

    lab: Lab
    embedder: Embedder
    everybody: Dataset
    people: int
    strict: bool
    fresh: bool
    flip: bool

    @property
    def dataset(self) -> Dataset:
        """The images of those who are drawn."""
        if not self.people:
            return self.everybody
        kept = embeddings.drawn(self.everybody.identities, self.people)
        return split.subset(self.everybody, np.flatnonzero(kept), self.everybody.name)


def _embedded(asked: _Pass, probes: Sequence[Probe], batch: int | None) -> list[Extraction]:
    embedder, fresh, strict = asked.embedder, asked.fresh, asked.strict
    begun = time.monotonic()
    usual = 64 if _device(embedder).startswith("cpu") else 256
    batch = batch or int(getattr(embedder, "usual_batch", usual))
    with ranks.joined() as here, ExitStack() as stack:
        task = Task(embedder, asked.dataset, ranks.from_first(batch, here), asked.flip, strict)
        wanted = [_job(asked, task, probe) for probe in probes]
        done: dict[str, Extraction] = {}
        with ranks.agreed(here):
            if here.leads:
                done = {} if fresh else _all_stored(wanted, strict=strict)
                waited = _lock(stack, [job for job in wanted if str(job.probe) not in done])
                if waited and not fresh:
                    # What the other process has made.
                    done = _all_stored(wanted, strict=strict)
        there = ranks.from_first(list(done), here)
        jobs = [job for job in wanted if str(job.probe) not in there]
        with ranks.agreed(here):
            for job in jobs if here.leads else ():
                job.parts.open(fresh=fresh)
        what = f"batches of {task.batch:,} images in {embedder.name}"
        with ranks.agreed(here) as stopped, enough_memory(what, "pass a smaller --batch"):
            embedded = _fill(task, jobs, here, stopped)
        took = time.monotonic() - begun
        with ranks.agreed(here):
            for job in jobs if here.leads else ():
                done[str(job.probe)] = _finished(task, job, embedded[job.probe] / took)
                _superseded(asked, job)
        done = ranks.from_first(done, here)
    took = time.monotonic() - begun
    return [replace(done[str(probe)], seconds=took) for probe in probes]


def _device(embedder: Embedder) -> str:
    return str(getattr(embedder, "device", "") or compute.describe())


def _identity(asked: _Pass, task: Task, probe: Probe) -> dict[str, Any]:
    """Say what makes vectors these vectors, as plain JSON."""
    dataset = asked.everybody
    return {
        "schema": SCHEMA,
        "probe": str(probe),
        "model_sha256": task.embedder.fingerprint,
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "images": len(dataset),
            "people": len(dataset.identities),
            **({"caution": dataset.caution} if dataset.caution else {}),
            # Of a pack, so that it is known for the images it was packed from.
            **({"source": source} if (source := getattr(dataset, "source", "")) else {}),
        },
        "preprocessing": json.loads(json.dumps(task.embedder.preprocessing.to_json())),
        "flip": task.flip,
        **({"drawn": {"people": asked.people, "images": len(task.dataset)}} if asked.people else {}),
    }


def _job(asked: _Pass, task: Task, probe: Probe) -> _Job:
    path = asked.lab.embeddings_file(task.embedder.name, str(probe), asked.people)
    identity = _identity(asked, task, probe)
    starts = range(0, len(task.dataset), SHARD)
    whole = {**identity, "batch": task.batch, "shard": SHARD}
    return _Job(
        probe, path, identity, Parts(path.with_name(f".{path.stem}.parts"), whole, starts), len(task.dataset)
    )


def _lock(stack: ExitStack, jobs: list[_Job]) -> bool:
    """Keep other processes from these probes; tell whether one was at work on them."""
    # In one order everywhere, so that no two wait for each other.
    waited = False
    for job in sorted(jobs, key=lambda job: job.path):
        doing = f"extracting {job.probe} in {job.path.parent.name}"
        waited |= stack.enter_context(locked(job.path, doing))
    return waited


def _all_stored(jobs: list[_Job], *, strict: bool) -> dict[str, Extraction]:
    found = {str(job.probe): _stored(job, strict=strict) for job in jobs}
    return {probe: one for probe, one in found.items() if one is not None}


def _stored(job: _Job, *, strict: bool) -> Extraction | None:
    path = job.path
    sweep(path.parent)
    if not path.is_file():
        return None
    try:
        head = embeddings.metadata(path)
        embeddings.check(path)
    except UserError:
        say(f"  {path} cannot be read or is damaged: it is made again")
        return None
    # Files from before there was a choice hold the vectors of the images alone.
    known = {"flip": False, **head}
    differs = [key for key, value in job.identity.items() if known.get(key) != value]
    if differs:
        say(f"  {path} was made with another {_words(differs)}: it is made again")
        return None
    skipped = tuple((str(item), str(reason)) for item, reason in head["skipped"])
    if strict and skipped:
        raise _strict(*skipped[0])
    job.parts.clear()  # A kill after the file was whole leaves them.
    _tell_skipped(skipped, job.images)
    rows = job.images - len(skipped)
    return Extraction(path, rows, skipped, 0.0, cached=True, images_per_second=0.0)


def _superseded(asked: _Pass, job: _Job) -> None:
    """Remove the sets of fewer people, who are all in this one."""
    for path in asked.lab.drawn_files(asked.embedder.name, str(job.probe)):
        if not asked.people or people_of(path) < asked.people:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()


def _words(differs: list[str]) -> str:
    names = {
        "model_sha256": "model of that name",
        "dataset": "data set",
        "flip": "choice about mirror images (flip)",
        "drawn": "choice of people",
    }
    return " and another ".join(names.get(key, key) for key in differs)


def _strict(item: str, reason: str) -> UserError:
    return UserError(f"image {item} cannot be used: {reason}: mend or remove it, or leave out --strict")


def _tell_skipped(skipped: tuple[tuple[str, str], ...], n: int) -> None:
    if skipped:
        named = "; ".join(f"{item} ({reason})" for item, reason in skipped[:NAMED_SKIPS])
        more = "; …" if len(skipped) > NAMED_SKIPS else ""
        be = "was" if len(skipped) == 1 else "were"
        say(f"  {len(skipped):,} of {n:,} images {be} skipped: {named}{more}")


def _fill(task: Task, jobs: list[_Job], here: Ranks, stopped: Callable[[], bool]) -> dict[Probe, int]:
    """Make this process's share of the parts that are missing; count the images of each probe."""
    n = len(task.dataset)
    missing = []
    for start in range(0, n, SHARD)[here.rank :: here.world]:
        wanting = [job for job in jobs if not job.parts.has(start)]
        for job in jobs if task.strict else ():
            if job not in wanting:
                _raise_if_skipped(job.parts.skipped(start), task.dataset)
        if wanting:
            missing.append((range(start, min(start + SHARD, n)), wanting))
    counts = {job.probe: sum(len(rows) for rows, wanting in missing if job in wanting) for job in jobs}
    for probe, count in counts.items() if here.world == 1 else ():
        if count < n:
            say(
                f"  going on with {n - count:,} of {n:,} images done"
                + (f" for {probe}" if len(jobs) > 1 else "")
            )
    if not jobs:
        return counts
    what = f"{' and '.join(str(job.probe) for job in jobs)} in {task.embedder.name}"
    plan = ((row, tuple(job.probe.pixels for job in wanting)) for rows, wanting in missing for row in rows)
    images = track(read_ahead(task, plan), what, sum(len(rows) for rows, _ in missing))
    for rows, wanting in missing:
        if stopped():
            break
        for job, part in zip(wanting, embedded_parts(task, rows, len(wanting), images), strict=True):
            if task.strict:
                _raise_if_skipped(part.skipped, task.dataset)
            job.parts.write(rows[0], part)
    else:
        # The loop has taken every image, but only the end of the iterator closes its progress bar.
        for _ in images:
            pass
        task.cropped.told(task.dataset.name, MIDDLE)
    return counts


def _raise_if_skipped(skipped: tuple[tuple[int, str], ...], dataset: Dataset) -> None:
    if skipped:
        row, reason = skipped[0]
        raise _strict(dataset.items[row], reason)


def _finished(task: Task, job: _Job, speed: float) -> Extraction:
    """Make a probe's parts one file."""
    dataset, embedder = task.dataset, task.embedder
    try:
        skipped = tuple(
            (dataset.items[row], reason)
            for start in job.parts.starts
            for row, reason in job.parts.skipped(start)
        )
        if len(skipped) == len(dataset):
            job.parts.clear()
            item, reason = skipped[0]
            raise UserError(
                f"none of the {len(dataset):,} images of {dataset.name} can be used, such as {item}: "
                f"{reason}: look at the files"
            )
        head = {
            "model": embedder.name,
            **job.identity,
            "assumed_preprocessing": bool(getattr(embedder, "assumed_preprocessing", False)),
            "skipped": [list(pair) for pair in skipped],
            "versions": versions(),
            "device": _device(embedder),
            # Of networks of other makers it is theirs.
            **({"precision": told} if (told := getattr(embedder, "precision", "")) else {}),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(job.parts.seconds(), 3),
        }
        with atomic_file(job.path) as temporary:
            rows = extraction_parts.merge(job.parts, temporary, dataset, head)
    except FileNotFoundError:
        # Another run extracted the same, finished first and cleared the parts away.
        stored = _stored(job, strict=task.strict)
        if stored is None:
            raise
        return stored
    job.parts.clear()
    _tell_skipped(skipped, len(dataset))
    return Extraction(job.path, rows, skipped, 0.0, cached=False, images_per_second=speed)
