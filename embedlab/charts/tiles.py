"""Tiles: many small images (kernels, faces) side by side, every pixel crisp."""

import base64
import io
import math
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from embedlab.charts.base import DIVERGING, MARKER, blend, figure, mpl_plain, plain

GREYS = ("#000000", "#FFFFFF")
# Beyond this many pixels a picture is sent as PNG, not as numbers one can read at the pointer.
NUMBERS_AT_MOST = 60_000
NOMINAL_WIDTH = 760
CAPTION_PX = 18


@dataclass(frozen=True, eq=False)
class Tile:
    """One small image.

    Attributes
    ----------
    image
        Shape (h, w), or (h, w, 3) for RGB; uint8, or float, in 0 to 1 if it is RGB.
    caption
        The words under it.
    who
        Person and item that it shows, if it shows anybody.

    Raises
    ------
    ValueError
        If the image has another shape.
    """

    image: np.ndarray
    caption: str = ""
    who: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.image)
        if not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) or 0 in shape:
            raise ValueError(f"tile {self.caption!r} has shape {shape}, not (h, w) or (h, w, 3)")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tiles:
    """A grid of small images, filled row by row.

    Attributes
    ----------
    title
        The heading.
    tiles
        The images. Grey float images share one scale, so that they can be compared.
    columns
        How many stand in a row.
    signed
        Colours on both sides of zero: for weights and differences.
    rows
        Headings of the rows; empty for none.
    note
        The sentence under the picture.
    span
        Numbers of the first and the last colour of grey float images, for pictures to be compared; None to
        take those of the images.

    Raises
    ------
    ValueError
        If ``columns`` is below one, or there is not a heading for each row.
    """

    title: str
    tiles: tuple[Tile, ...]
    columns: int
    signed: bool = False
    rows: tuple[str, ...] = ()
    note: str = ""
    span: tuple[float, float] | None = None
    projection: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise ValueError(f"{self.columns} columns: give at least one")
        if self.rows and len(self.rows) != self._row_count:
            raise ValueError(f"{len(self.rows)} row headings for {self._row_count} rows of tiles")

    @property
    def _row_count(self) -> int:
        return math.ceil(len(self.tiles) / self.columns)

    @property
    def _size(self) -> tuple[int, int]:
        heights = [tile.image.shape[0] for tile in self.tiles]
        return max(heights, default=1), max((tile.image.shape[1] for tile in self.tiles), default=1)

    def _layout(self) -> tuple[int, int, int]:
        """Give the height and width of a cell, and the gap between cells, in pixels of the tiles."""
        height, width = self._size
        gap = max(1, round(0.08 * width))
        captions = 0
        if any(self._captions()):
            captions = math.ceil(CAPTION_PX * self.columns * (width + gap) / NOMINAL_WIDTH)
        return height + gap + captions, width + gap, gap

    def _corners(self) -> list[tuple[int, int]]:
        """Give where each tile begins in the composite, smaller ones in the middle of their cell."""
        cell_h, cell_w, _ = self._layout()
        height, width = self._size
        return [
            (
                (i // self.columns) * cell_h + (height - tile.image.shape[0]) // 2,
                (i % self.columns) * cell_w + (width - tile.image.shape[1]) // 2,
            )
            for i, tile in enumerate(self.tiles)
        ]

    def _shape(self) -> tuple[int, int]:
        cell_h, cell_w, gap = self._layout()
        return max(1, self._row_count * cell_h), max(1, self.columns * cell_w - gap)

    @property
    def _colour(self) -> bool:
        return any(tile.image.ndim == 3 for tile in self.tiles)

    def spans(self) -> tuple[tuple[float, float] | None]:
        """Give the numbers of the first and the last colour; None where there is no scale of colours."""
        return (None if self._colour else self._span(),)

    def within(self, spans: tuple[tuple[float, float] | None, ...]) -> Self:
        """Draw with the colours of other numbers."""
        return replace(self, span=spans[0])

    def _span(self) -> tuple[float, float]:
        if self.span is not None:
            return self.span
        grey = [np.asarray(tile.image, np.float64).ravel() for tile in self.tiles if tile.image.ndim == 2]
        values = np.concatenate(grey) if grey else np.zeros(1)
        values = values[np.isfinite(values)]
        if self.signed:
            reach = float(np.abs(values).max(initial=0)) or 1.0
            return -reach, reach
        if all(tile.image.dtype == np.uint8 for tile in self.tiles):
            return 0.0, 255.0
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        return low, high if high > low else low + 1.0

    def composite(self) -> np.ndarray:
        """Put the numbers of all grey tiles into one array of shape (h, w); NaN between tiles."""
        canvas = np.full(self._shape(), np.nan, dtype=np.float32)
        for tile, (top, left) in zip(self.tiles, self._corners(), strict=True):
            height, width = tile.image.shape
            canvas[top : top + height, left : left + width] = tile.image
        return canvas

    def picture(self) -> np.ndarray:
        """Put all tiles into one picture, uint8 of shape (h, w, 4), clear between tiles."""
        canvas = np.zeros((*self._shape(), 4), dtype=np.uint8)
        low, high = self._span()
        for tile, (top, left) in zip(self.tiles, self._corners(), strict=True):
            height, width = tile.image.shape[:2]
            if tile.image.ndim == 2:
                scaled = (np.asarray(tile.image, np.float64) - low) / (high - low)
                rgb = blend(scaled, DIVERGING if self.signed else GREYS)
            elif tile.image.dtype == np.uint8:
                rgb = tile.image
            else:
                rgb = (255 * np.clip(np.nan_to_num(tile.image), 0, 1)).round().astype(np.uint8)
            area = canvas[top : top + height, left : left + width]
            area[..., :3], area[..., 3] = rgb, 255
        return canvas

    def _encoded(self) -> str:
        return png(self.picture())

    def _captions(self) -> list[str]:
        """Give what fits under the tiles: the captions, else what tells them apart, else nothing."""
        room = int(NOMINAL_WIDTH / self.columns / 6.2)
        texts = [tile.caption for tile in self.tiles]
        if max(map(len, texts), default=0) > room:
            words = [text.split() for text in texts]
            shared = next((i for i, same in enumerate(zip(*words, strict=False)) if len(set(same)) > 1), 0)
            texts = [" ".join(some[shared:]) for some in words]
        return texts if max(map(len, texts), default=0) <= room else [""] * len(texts)

    def plotly(self) -> Any:
        """Draw as a plotly Figure: one picture for all tiles, so that hundreds are as quick as one."""
        import plotly.graph_objects as go

        height, width = self._shape()
        cell_h, cell_w, _ = self._layout()
        tile_h, tile_w = self._size
        fig = figure(self.title, height=int(np.clip(NOMINAL_WIDTH / width * height, 60, 2400)) + 110)
        low, high = self._span()
        if self._colour or height * width > NUMBERS_AT_MOST:
            fig.add_trace(go.Image(source=self._encoded(), hoverinfo="skip"))
        else:
            shades = DIVERGING if self.signed else GREYS
            fig.add_trace(
                go.Heatmap(
                    z=self.composite(),
                    x0=0,
                    dx=1,
                    y0=0,
                    dy=1,
                    zmin=low,
                    zmax=high,
                    colorscale=[[i / (len(shades) - 1), shade] for i, shade in enumerate(shades)],
                    colorbar={"thickness": 12, "len": min(1.0, 220 / fig.layout.height)},
                    hovertemplate="%{z:.4g}<extra></extra>",
                    hoverongaps=False,
                    showscale=self.signed,
                )
            )
        if any(tile.caption for tile in self.tiles):
            room = 3 * width / NOMINAL_WIDTH
            linked: dict[str, Any] = {}
            if any(tile.who for tile in self.tiles):
                # A report rings the tiles of a person: it needs to know how far they reach.
                linked["customdata"] = [tile.who or ("", "") for tile in self.tiles]
                linked["meta"] = {"tile": [tile_w, tile_h + room]}
            fig.add_trace(
                go.Scatter(
                    x=[(i % self.columns) * cell_w + (tile_w - 1) / 2 for i in range(len(self.tiles))],
                    y=[(i // self.columns) * cell_h + tile_h - 0.5 + room for i in range(len(self.tiles))],
                    mode="text",
                    text=[plain(text) for text in self._captions()],
                    textposition="bottom center",
                    textfont={"size": 11},
                    hovertext=[plain(tile.caption) for tile in self.tiles],
                    hoverinfo="text",
                    cliponaxis=False,
                    showlegend=False,
                    **linked,
                )
            )
        bare = {"showgrid": False, "showline": False, "ticks": "", "showticklabels": False}
        fig.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", **bare)
        fig.update_yaxes(range=[height - 0.5, -0.5], scaleanchor="x", constrain="domain", **bare)
        if self.rows:
            fig.update_yaxes(
                showticklabels=True,
                tickmode="array",
                tickvals=[row * cell_h + (tile_h - 1) / 2 for row in range(len(self.rows))],
                ticktext=[plain(name) for name in self.rows],
            )
        fig.update_layout(margin={"l": 24, "r": 16, "b": 16, "t": 64})
        return fig

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes."""
        cell_h, cell_w, _ = self._layout()
        tile_h, tile_w = self._size
        ax.set_title(mpl_plain(self.title), loc="left", fontsize=11)
        ax.imshow(self.picture(), interpolation="nearest")
        for i, text in enumerate(self._captions()):
            x, y = (i % self.columns) * cell_w + (tile_w - 1) / 2, (i // self.columns) * cell_h + tile_h
            ax.text(x, y, mpl_plain(text), ha="center", va="top", fontsize=7, color=MARKER)
        ax.set_xticks([])
        places = [row * cell_h + (tile_h - 1) / 2 for row in range(len(self.rows))]
        ax.set_yticks(places, [mpl_plain(name) for name in self.rows])
        ax.spines[:].set_visible(False)


def png(pixels: np.ndarray) -> str:
    """Encode uint8 RGBA of shape (h, w, 4) as the ``data:`` address of a PNG."""
    return _address(pixels, "PNG", optimize=True)


def webp(pixels: np.ndarray, quality: int) -> str:
    """Encode uint8 RGBA of shape (h, w, 4) as the ``data:`` address of a WebP, for photographs."""
    return _address(pixels, "WebP", quality=quality, alpha_quality=100, method=6)


def _address(pixels: np.ndarray, kind: str, **options: Any) -> str:
    from PIL import Image

    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(encoded.getvalue()).decode()
