"""The picture of an item under a probe, small enough to show: for the faces in a report."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from embedlab.data.datasets import Dataset, UnreadableImage, open_dataset
from embedlab.data.degradations import parse_probe, prepare
from embedlab.errors import UserError

SIDE = 64
KEPT = 2_000

Lookup = Callable[[str, str], "UInt8[np.ndarray, 'h w 3'] | None"]


def pictures_of(datasets: Mapping[str, Dataset]) -> Lookup:
    """Give a function from a probe and an item to its picture, 64 px a side; None where there is none.

    A picture is read when it is first asked for, and shrunk as the probe says. Where there is one data
    set only, a probe of another name, such as that of imported embeddings, is looked for in it.
    """
    rows: dict[str, dict[str, int]] = {}

    @lru_cache(KEPT)
    def picture(probe: str, item: str) -> UInt8[np.ndarray, "h w 3"] | None:
        try:
            asked = parse_probe(probe)
        except UserError:
            return None
        # Two data sets may call images of two people the same, so that a guess could show the wrong one.
        name = asked.dataset if len(datasets) > 1 else next(iter(datasets))
        if name not in datasets:
            return None
        if name not in rows:
            rows[name] = {found: row for row, found in enumerate(datasets[name].items)}
        if item not in rows[name]:
            return None
        try:
            return prepare(datasets[name].image(rows[name][item]), asked.pixels, SIDE)
        except UnreadableImage:
            return None

    return picture


def pictures_in(folder: Path) -> Lookup | None:
    """Give the pictures of the data sets that lie in a lab's data folder; None if there are none."""
    found = {path.name.removesuffix("_ids.txt"): path for path in sorted(folder.glob("*_ids.txt"))}
    return pictures_of({name: open_dataset(path) for name, path in found.items()}) if found else None
