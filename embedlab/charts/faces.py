"""Faces: rows of pictures of named items, fetched when they are drawn.

A result keeps item names, never pixels. Inside ``with faces_from(lookup):`` a chart finds the pictures;
elsewhere ``faces_at_hand()`` is false, and an analysis leaves the chart out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedlab.charts.tiles import NOMINAL_WIDTH, Tile, Tiles, webp

SIDE = 64
COLUMNS = 8
# A picture that is not there: the grey of missing values.
MISSING = np.full((SIDE, SIDE, 3), 0xD4, dtype=np.uint8)
CHARACTER_PX = 6.2
# Of WebP, which takes a fifth of a PNG for faces.
QUALITY = 80

Lookup = Callable[[str, str], "np.ndarray | None"]
_source: ContextVar[Lookup | None] = ContextVar("embedlab_faces", default=None)


@contextmanager
def faces_from(lookup: Lookup) -> Iterator[None]:
    """Let every chart drawn in the block find its faces.

    Parameters
    ----------
    lookup
        Probe and item → the picture, uint8 of shape (h, w, 3), or None where there is none.
    """
    token = _source.set(lookup)
    try:
        yield
    finally:
        _source.reset(token)


def faces_at_hand() -> bool:
    """Say whether there is anything to take pictures from."""
    return _source.get() is not None


@dataclass(frozen=True)
class Face:
    """One item, as it looks under one probe.

    Attributes
    ----------
    probe, item
        What is shown, by name.
    caption
        The words under it; those that do not fit are cut, and whole under the pointer.
    person
        Whom it shows, by name; a report then finds them in all its pictures.
    """

    probe: str
    item: str
    caption: str = ""
    person: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Faces:
    """Rows of faces, each under a heading of its own.

    Attributes
    ----------
    title
        The heading.
    rows
        A row's heading and its faces; a long row goes on in the next line, at an even number, so that
        pairs stay together.
    note
        The sentence under the picture.
    """

    title: str
    rows: tuple[tuple[str, tuple[Face, ...]], ...]
    note: str = ""
    projection: None = field(default=None, init=False, repr=False)

    def found(self) -> int:
        """Count the faces that there is a picture of."""
        return sum(_fetched(face) is not None for _, faces in self.rows for face in faces)

    def tiles(self) -> Tiles:
        """Fetch the pictures: the chart that draws them.

        A face without a picture is a grey tile with its caption.
        """
        longest = max((len(faces) for _, faces in self.rows), default=1)
        columns = max(1, min(COLUMNS, longest))
        made: list[Tile] = []
        headings: list[str] = []
        for heading, faces in self.rows:
            lines = max(1, -(-len(faces) // columns))
            headings += [heading, *[""] * (lines - 1)]
            made += [_tile(face) for face in faces]
            made += [GAP] * (lines * columns - len(faces))
        return _Grid(
            title=self.title, tiles=tuple(made), columns=columns, rows=tuple(headings), note=self.note
        )

    def plotly(self) -> Any:
        """Draw as a plotly Figure."""
        return self.tiles().plotly()

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes."""
        self.tiles().matplotlib(ax)


# What stands where a row has no more faces.
GAP = Tile(np.zeros((1, 1, 3), dtype=np.uint8))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Grid(Tiles):
    """Tiles with gaps, and with captions that are cut one by one."""

    def picture(self) -> np.ndarray:
        canvas = super().picture()
        for tile, (top, left) in zip(self.tiles, self._corners(), strict=True):
            if tile is GAP:
                canvas[top, left] = 0
        return canvas

    def _encoded(self) -> str:
        return webp(self.picture(), QUALITY)

    def _captions(self) -> list[str]:
        room = int(NOMINAL_WIDTH / self.columns / CHARACTER_PX)
        return [_cut(tile.caption, room) for tile in self.tiles]


def _cut(text: str, room: int) -> str:
    """Cut in the middle: names differ at their end, where the number of the image and the score stand."""
    if len(text) <= room:
        return text
    tail = room // 2
    return f"{text[: room - 1 - tail].rstrip()}…{text[-tail:].lstrip()}"


def _fetched(face: Face) -> np.ndarray | None:
    lookup = _source.get()
    return None if lookup is None else lookup(face.probe, face.item)


def thumbnail(face: Face) -> str:
    """Give a face as the ``data:`` address of a picture of 64 px at most; empty where there is none."""
    found = _fetched(face)
    if found is None:
        return ""
    small = _shrunk(found)
    return webp(np.dstack([small, np.full(small.shape[:2], 255, np.uint8)]), QUALITY)


def _tile(face: Face) -> Tile:
    found = _fetched(face)
    return Tile(MISSING if found is None else _shrunk(found), face.caption, (face.person, face.item))


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    longest = max(pixels.shape[:2])
    if longest <= SIDE:
        return pixels
    from PIL import Image

    height, width = (max(1, round(side * SIDE / longest)) for side in pixels.shape[:2])
    small = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small)
