"""Heatmap: a matrix of numbers as colours; a cell without a number is grey, never zero."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float, Shaped

from embedlab.charts.base import (
    DIVERGING,
    NO_VALUE,
    VIRIDIS,
    blend,
    cell,
    figure,
    ink_on,
    mpl_look,
    mpl_plain,
    plain,
)
from embedlab.shapes import check_shapes

# A hatched cell has lines from edge to edge at these places, in parts of its width.
HATCH = (-0.6, -0.3, 0.0, 0.3, 0.6)
# Of more cells no text can be read, and rows are no lower than a line of it.
READABLE, LINE_PX = 1024, 14


@dataclass(frozen=True, kw_only=True, eq=False)
class Heatmap:
    """A matrix of numbers with named rows and columns.

    Attributes
    ----------
    title
        The heading.
    xlabels, ylabels
        Names of the columns and of the rows.
    values
        Float of shape (rows, columns); NaN where there is no value.
    text
        What is written into each cell; None to write nothing. A text may have several lines.
    xlabel, ylabel, colour_label
        What columns, rows and colours stand for, with units.
    diverging
        Colours on both sides of zero: for differences.
    span
        Values of the first and the last colour, for pictures to be compared; None to take those of
        the values.
    note
        The sentence under the picture.
    hatched
        Which cells are drawn with lines over their colour, as a warning; None for no cell.
    hatched_label
        What the lines mean, for the key.

    Raises
    ------
    TypeError
        If ``values`` is no matrix of floats.
    ValueError
        If there is not a label for each row and column, or not text or hatching for each cell.
    """

    title: str
    xlabels: tuple[str, ...]
    ylabels: tuple[str, ...]
    values: Float[np.ndarray, "r c"]
    text: Shaped[np.ndarray, "r c"] | None = None
    xlabel: str = ""
    ylabel: str = ""
    colour_label: str = ""
    diverging: bool = False
    span: tuple[float, float] | None = None
    note: str = ""
    hatched: Bool[np.ndarray, "r c"] | None = None
    hatched_label: str = ""
    projection: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_shapes(self)
        if self.values.shape != (len(self.ylabels), len(self.xlabels)):
            raise ValueError(
                f"values of shape {self.values.shape} for {len(self.ylabels)} rows and "
                f"{len(self.xlabels)} columns"
            )
        if self.text is not None and np.shape(self.text) != self.values.shape:
            raise ValueError(f"text of shape {np.shape(self.text)} for values of shape {self.values.shape}")
        if self.hatched is not None and self.hatched.shape != self.values.shape:
            raise ValueError(f"hatched of shape {self.hatched.shape} for values of shape {self.values.shape}")

    def _hatches(self) -> list[tuple[int, int]]:
        """List row and column of each hatched cell."""
        return [] if self.hatched is None else [(int(r), int(c)) for r, c in np.argwhere(self.hatched)]

    def _span(self) -> tuple[float, float]:
        if self.span is not None:
            return self.span
        there = self.values[np.isfinite(self.values)]
        if not len(there):
            return (-1.0, 1.0) if self.diverging else (0.0, 1.0)
        if self.diverging:
            reach = float(np.abs(there).max()) or 1.0
            return -reach, reach
        low, high = float(there.min()), float(there.max())
        return low, high if high > low else low + 1.0

    def spans(self) -> tuple[tuple[float, float]]:
        """Give the values of the first and the last colour."""
        return (self._span(),)

    def within(self, spans: tuple[tuple[float, float] | None, ...]) -> Self:
        """Draw with the colours of other values."""
        return replace(self, span=spans[0])

    def _shades(self) -> tuple[str, ...]:
        return DIVERGING if self.diverging else VIRIDIS

    def inks(self) -> np.ndarray:
        """Give the ink of each cell's text, by its contrast with the cell's colour: ``#RRGGBB``."""
        low, high = self._span()
        return ink_on(blend(np.clip((self.values - low) / (high - low), 0, 1), self._shades()))

    def _texts(self) -> list[list[str]] | None:
        if self.text is None or self.values.size > READABLE:
            return None
        there = np.isfinite(self.values)
        return [
            [str(text) if ok else "" for text, ok in zip(*pair, strict=True)]
            for pair in zip(np.asarray(self.text), there, strict=True)
        ]

    def _height(self, lines: int) -> int:
        """Give the height in pixels: rows of some lines of text, lower ones where there are many."""
        rows = len(self.ylabels)
        return int(np.clip(150 + (20 * lines + 14) * rows, 300, max(760, 150 + LINE_PX * rows)))

    def plotly(self) -> Any:
        """Draw as a plotly Figure."""
        import plotly.graph_objects as go

        rows, columns = self.values.shape
        texts = self._texts()
        lines = max((text.count("\n") + 1 for row in texts or () for text in row), default=1)
        fig = figure(self.title, height=self._height(lines))
        low, high = self._span()
        hover = [
            [
                f"{plain(y)}<br>{plain(x)}<br>{cell(v) if np.isfinite(v) else 'no value'}"
                for x, v in zip(self.xlabels, row, strict=True)
            ]
            for y, row in zip(self.ylabels, self.values, strict=True)
        ]
        shades = self._shades()
        scale = [[i / (len(shades) - 1), shade] for i, shade in enumerate(shades)]
        gap = 1 if rows <= 40 and columns <= 40 else 0
        fig.add_trace(
            go.Heatmap(
                x=np.arange(columns),
                y=np.arange(rows),
                z=self.values,
                zmin=low,
                zmax=high,
                colorscale=scale,
                colorbar={"title": {"text": plain(self.colour_label), "side": "right"}, "thickness": 14},
                hovertext=hover,
                hoverinfo="text",
                xgap=gap,
                ygap=gap,
                showlegend=False,
            )
        )
        missing = ~np.isfinite(self.values)
        if missing.any():
            # The missing cells are a layer of their own, so that their grey is no step of the scale.
            fig.add_trace(
                go.Heatmap(
                    x=np.arange(columns),
                    y=np.arange(rows),
                    z=np.where(missing, 1.0, np.nan),
                    colorscale=[[0, NO_VALUE], [1, NO_VALUE]],
                    showscale=False,
                    hoverinfo="skip",
                    xgap=gap,
                    ygap=gap,
                    name="no value",
                )
            )
            fig.add_trace(
                go.Scatter(
                    x=[None],
                    y=[None],
                    mode="markers",
                    marker={"symbol": "square", "size": 12, "color": NO_VALUE},
                    name="no value",
                    showlegend=True,
                )
            )
        if cells := self._hatches():
            x, y = _lines(cells)
            fig.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    mode="lines",
                    line={"color": "rgba(0, 0, 0, 0.55)", "width": 1},
                    hoverinfo="skip",
                    name=plain(self.hatched_label),
                    showlegend=bool(self.hatched_label),
                )
            )
        if texts is not None:
            # The heatmap's own text has one ink for all cells, or picks it by another rule than contrast.
            down, along = np.nonzero(np.array(texts).reshape(self.values.shape))
            fig.add_trace(
                go.Scatter(
                    x=along,
                    y=down,
                    mode="text",
                    text=[
                        "<br>".join(map(plain, texts[r][c].split("\n")))
                        for r, c in zip(down, along, strict=True)
                    ],
                    textfont={"color": self.inks()[down, along].tolist(), "size": 12},
                    hoverinfo="skip",
                    showlegend=False,
                    name="text",
                )
            )
        plain_axis = {"showgrid": False, "showline": False, "ticks": ""}
        ticks = {"tickmode": "array"}
        fig.update_xaxes(
            title_text=plain(self.xlabel),
            tickvals=list(range(columns)),
            ticktext=[plain(x) for x in self.xlabels],
            range=[-0.5, columns - 0.5],
            **ticks,
            **plain_axis,
        )
        fig.update_yaxes(
            title_text=plain(self.ylabel),
            tickvals=list(range(rows)),
            ticktext=[plain(y) for y in self.ylabels],
            range=[rows - 0.5, -0.5],
            **ticks,
            **plain_axis,
        )
        return fig

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes."""
        from matplotlib.colors import LinearSegmentedColormap

        mpl_look(ax, self.title)
        ax.grid(visible=False)
        colours = LinearSegmentedColormap.from_list("scale", self._shades()).with_extremes(bad=NO_VALUE)
        low, high = self._span()
        if self.values.size:
            image = ax.imshow(self.values, cmap=colours, vmin=low, vmax=high, aspect="auto")
            ax.figure.colorbar(image, ax=ax, label=mpl_plain(self.colour_label))
        self._hatch(ax)
        texts, inks = self._texts(), self.inks()
        for row, line in enumerate(texts or ()):
            for column, text in enumerate(line):
                ink = inks[row, column]
                safe = "\n".join(map(mpl_plain, text.split("\n")))
                ax.text(column, row, safe, ha="center", va="center", color=ink, fontsize=8)
        ax.set_xticks(range(len(self.xlabels)), [mpl_plain(x) for x in self.xlabels], rotation=45, ha="right")
        ax.set_yticks(range(len(self.ylabels)), [mpl_plain(y) for y in self.ylabels])
        ax.set_xlabel(mpl_plain(self.xlabel))
        ax.set_ylabel(mpl_plain(self.ylabel))

    def _hatch(self, ax: Any) -> None:
        from matplotlib.patches import Rectangle

        for k, (row, column) in enumerate(self._hatches()):
            label = mpl_plain(self.hatched_label) if k == 0 else ""
            ax.add_patch(
                Rectangle(
                    (column - 0.5, row - 0.5), 1, 1,
                    fill=False, hatch="//", edgecolor=(0, 0, 0, 0.55), linewidth=0, label=label or None,
                )
            )  # fmt: skip
        if self.hatched_label and self._hatches():
            ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), frameon=False)


def _lines(cells: list[tuple[int, int]]) -> tuple[list[float | None], list[float | None]]:
    """Give the ends of the lines of hatched cells, with a gap after each line."""
    x: list[float | None] = []
    y: list[float | None] = []
    for row, column in cells:
        for shift in HATCH:
            low, high = max(-0.5, -0.5 + shift), min(0.5, 0.5 + shift)
            x += [column + low, column + high, None]
            y += [row - low + shift, row - high + shift, None]
    return x, y
