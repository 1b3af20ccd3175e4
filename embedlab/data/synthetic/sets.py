"""Data sets of synthetic faces in the layout of the original project.

::

    <folder>/highres/<person>/<person>_0001.png         144 px, 4 images a person
    <folder>/highres_eval/<person>/<person>_0001.png    144 px, 3 images a person, other people
    <folder>/lowres/<person>/<person>_0001.png          36 px, 20 images a person, others again
    <folder>/<set>_ids.txt                              a line an image: path, label
    <folder>/highres_pairs.csv, highres_eval_pairs.csv  matching and non-matching pairs
    <folder>/<set>_attributes.csv                       family, yaw, light … of each image, and its doubles
    <folder>/synthetic.json                             what was drawn, and its ceilings; written last

One process at a time draws into a folder. An interrupted ``make`` goes on where it stopped: a picture
depends on its person, its number and the seed alone, and no file has its final name before it is whole.
"""

import csv
import io
import json
import os
import threading
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from embedlab.data.synthetic import faces, populations
from embedlab.data.synthetic.populations import POPULATIONS, SIZES, People
from embedlab.errors import UserError
from embedlab.formats import protocols
from embedlab.formats.protocols import PairList
from embedlab.lab.store import atomic_file, locked, sweep, write_json
from embedlab.progress import track
from embedlab.workers import end_with_parent

RECORD = "synthetic.json"
STARTED = "synthetic.started.json"  # what is being drawn; goes when the record comes
PIXELS = {"highres": 144, "highres_eval": 144, "lowres": 36}
IMAGES = {"highres": 4, "highres_eval": 3, "lowres": 20}
PREFIX = {"highres": "h", "highres_eval": "e", "lowres": "l"}
# Each set draws its people and its pictures from streams of its own.
STREAM = {"highres": 1, "highres_eval": 2, "lowres": 3}
PAIRED = ("highres", "highres_eval")
MOST_PAIRS = 3_000
BLOCK = 64


@dataclass(frozen=True)
class Scale:
    """How many people each data set shows."""

    highres: int
    highres_eval: int
    lowres: int


SCALES = {
    "demo": Scale(200, 300, 250),
    "small": Scale(300, 300, 2_000),
    "paper": Scale(2_500, 2_000, 50_000),
}


@dataclass(frozen=True)
class Summary:
    """What ``make`` left in the folder.

    Attributes
    ----------
    folder, scale, seed
        As asked.
    people, images
        How many, by data set.
    seconds
        What this call took.
    cached
        Whether everything was there already.
    """

    folder: Path
    scale: str
    seed: int
    people: dict[str, int]
    images: dict[str, int]
    seconds: float
    cached: bool


def make(
    folder: Path,
    scale: str = "demo",
    seed: int = 0,
    device: str = "cpu",
    population: str = "easy",
) -> Summary:
    """Draw the three data sets into a folder, or find that they are there.

    Parameters
    ----------
    folder
        Where the data sets go.
    scale
        One of ``SCALES``.
    seed
        What people and pictures are drawn from.
    device
        The torch device that draws.
    population
        Whom to draw, one of ``populations.POPULATIONS``.

    Raises
    ------
    UserError
        If there is no such scale or population, or the folder holds synthetic faces of another scale, seed,
        population or renderer.
    """
    if scale not in SCALES:
        raise UserError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
    if population not in POPULATIONS:
        raise UserError(f"unknown population {population!r}: choose one of {', '.join(POPULATIONS)}")
    begun = time.monotonic()
    people = asdict(SCALES[scale])
    images = {name: count * IMAGES[name] for name, count in people.items()}
    asked = {
        **{"scale": scale, "seed": seed, "population": population},
        **{"renderer": faces.renderer_version(), "people": people, "images": images},
    }
    # Once the record is there it stays: what is whole is read without a lock, from a read-only disk too.
    cached = (folder / RECORD).is_file() and _is_there(folder, asked)
    if not cached:
        with locked(folder, f"drawing faces into {folder}"):
            cached = _is_there(folder, asked)
            if not cached:
                _draw(folder, asked, device)
    return Summary(folder, scale, seed, people, images, time.monotonic() - begun, cached)


def _draw(folder: Path, asked: dict[str, Any], device: str) -> None:
    # Without it, drawing on after an interruption could mix the faces of two seeds.
    write_json(folder / STARTED, asked)
    ceilings = {}
    for name, count in asked["people"].items():
        people = populations.draw_people(asked["population"], count, asked["seed"] * 10 + STREAM[name])
        _draw_set(folder, name, people, asked["images"][name] // count, asked, device)
        if people.levels is not None and count > 1:
            ceilings[name] = [asdict(populations.ceiling(people, pixels)) for pixels in SIZES]
    write_json(folder / RECORD, {**asked, **({"ceilings": ceilings} if ceilings else {})})
    (folder / STARTED).unlink()


def _is_there(folder: Path, asked: dict[str, Any]) -> bool:
    """Tell whether all is there; refuse a folder with other faces, finished or not."""
    path = next((folder / name for name in (RECORD, STARTED) if (folder / name).is_file()), None)
    if path is None:
        return False
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        differs = [key for key in asked if there.get(key) != asked[key]]
    except (ValueError, AttributeError):
        raise UserError(f"{path} cannot be read: remove {folder} and draw the faces again") from None
    if differs:
        keys = ("scale", "seed", *(["population"] if "population" in differs else []))
        told = ", ".join(f"{key} {there.get(key)}" for key in keys)
        wanted = ", ".join(f"{key} {asked[key]}" for key in keys)
        why = "drawn by another renderer"
        if "renderer" not in differs:
            why = f"{told}, and {wanted} was asked for"
        raise UserError(f"{folder} holds synthetic faces: {why}: remove that folder, or name another --lab")
    return path.name == RECORD


def item(name: str, person: int, number: int) -> str:
    """Name an image from its data set's folder: ``h0001/h0001_0001.png``; both count from one."""
    who = f"{PREFIX[name]}{person + 1:04d}"
    return f"{who}/{who}_{number + 1:04d}.png"


def _draw_set(
    folder: Path, name: str, people: People, per_person: int, asked: dict[str, Any], device: str
) -> None:
    seed, count = asked["seed"], len(people.identities) * per_person
    nuisances = populations.draw_conditions(asked["population"], count, seed * 10 + STREAM[name])
    who = np.arange(count) // per_person
    files = [item(name, row // per_person, row % per_person) for row in range(count)]
    for person in folder.glob(f"{name}/*/"):
        sweep(person)
    there = {
        path.relative_to(folder / name).as_posix()
        for path in folder.glob(f"{name}/*/*.png")
        if path.stat().st_size  # A power cut leaves names of files that never reached the disk.
    }
    missing = [row for row, file in enumerate(files) if file not in there]
    blocks = [missing[start : start + BLOCK] for start in range(0, len(missing), BLOCK)]
    with _workers(device, len(blocks)) as pool:
        work = [
            (
                people.identities[who[rows]],
                nuisances[rows],
                None if people.marks is None else people.marks[who[rows]],
                PIXELS[name],
                seed,
                device,
                [folder / name / files[row] for row in rows],
            )
            for rows in blocks
        ]
        try:
            for _ in track(pool.map(_draw_block, work), f"drawing {name}, {BLOCK} at a time", len(blocks)):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)  # Who was asked to end does not draw all the others first.
            raise
    lines = [f"{name}/{file} {row // per_person}\n" for row, file in enumerate(files)]
    with atomic_file(folder / f"{name}_ids.txt") as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    columns = {"item": files, **populations.attributes(people, who, nuisances)}
    with atomic_file(folder / f"{name}_attributes.csv") as temporary, temporary.open("w", newline="") as out:
        csv.writer(out).writerows([list(columns), *zip(*columns.values(), strict=True)])
    if name in PAIRED:
        protocols.write(folder / f"{name}_pairs.csv", _pairs(name, len(people.identities), seed))


def _workers(device: str, blocks: int) -> Executor:
    """Give processes that draw on the CPU, a core each, or one thread where a GPU does the work.

    The renderer is made of many small operations, which gain nothing from two threads each and lose
    much to a busy neighbour.
    """
    cores = os.cpu_count() or 1
    if device != "cpu" or blocks < 2 or cores < 2:
        return ThreadPoolExecutor(1)
    # A forked child would inherit torch's threads in a state nobody knows.
    return ProcessPoolExecutor(min(cores, blocks), get_context("spawn"), initializer=_begin)


def _begin() -> None:
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=end_with_parent, daemon=True).start()


def _draw_block(work: tuple[Any, ...]) -> None:
    identities, nuisances, marks, pixels, seed, device, paths = work
    drawn = faces.render(identities, nuisances, pixels, marks=marks, seed=seed, device=device)
    for path, picture in zip(paths, drawn, strict=True):
        _save(path, picture)


def _save(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    encoded = io.BytesIO()
    # Level 1 takes a third of the time of the default for a tenth more bytes: noise hardly packs.
    Image.fromarray(picture).save(encoded, "PNG", compress_level=1)
    with atomic_file(path, durable=False) as temporary:
        temporary.write_bytes(encoded.getvalue())


def _pairs(name: str, people: int, seed: int) -> PairList:
    """List all matching pairs, at most ``MOST_PAIRS``, and as many of two people."""
    rng = np.random.default_rng([seed, STREAM[name]])
    per_person = IMAGES[name]
    matching = [
        (person, first, person, second)
        for person in range(people)
        for first in range(per_person)
        for second in range(first + 1, per_person)
    ]
    if len(matching) > MOST_PAIRS:
        chosen = np.sort(rng.choice(len(matching), MOST_PAIRS, replace=False))
        matching = [matching[k] for k in chosen]
    others: dict[tuple[int, int, int, int], None] = {}
    while len(others) < len(matching) and people > 1:
        a, b = np.sort(rng.choice(people, 2, replace=False))
        first, second = rng.integers(per_person, size=2)
        others[int(a), int(first), int(b), int(second)] = None
    every = [*matching, *others]
    return PairList(
        a=tuple(item(name, a, i) for a, i, _, _ in every),
        b=tuple(item(name, b, j) for _, _, b, j in every),
        same=np.arange(len(every)) < len(matching),
    )
