"""Bars: numbers with intervals by category, each beside its null."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import wrap
from typing import Any, Self

import numpy as np

from embedlab.charts.base import (
    MARKER,
    Role,
    figure,
    mpl_legend,
    mpl_look,
    mpl_plain,
    plain,
    series_colours,
    short,
)

PATTERNS = ("", "/", ".", "x", "-")
MPL_PATTERNS = ("", "///", "...", "xxx", "---")
WIDTH = 0.8
# Characters of a name, and of all names, beyond which they stand upright.
LONG, ROOM = 22, 70


@dataclass(frozen=True, eq=False)
class BarSeries:
    """One bar a category.

    Attributes
    ----------
    name
        What the legend says.
    values
        A number a category; NaN where there is none.
    low, high
        Ends of the intervals; both or neither. NaN where there is none.
    model
        The model it belongs to, which gives its colour.
    role
        What it stands for if it belongs to no model, which then gives its colour.

    Raises
    ------
    ValueError
        If the arrays differ in length, or only one end of the intervals is given.
    """

    name: str
    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    model: str = ""
    role: Role | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"series {self.name!r} has one end of its intervals, not both")
        for ends in (self.low, self.high):
            if ends is not None and np.shape(ends) != np.shape(self.values):
                raise ValueError(
                    f"series {self.name!r} has interval ends of shape {np.shape(ends)} for values of "
                    f"shape {np.shape(self.values)}"
                )


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """Groups of bars, a group a category and a bar a series.

    Attributes
    ----------
    title
        The heading.
    ylabel
        What the height shows, with its unit.
    categories
        Names of the groups.
    series
        The bars.
    nulls
        What each category would show if there were nothing to find: by category's name, or an
        array with one number a category (NaN for none); drawn as a tick across the group.
    note
        The sentence under the picture.
    span
        The ends of the axis of heights, for pictures to be compared; None to fit the bars.

    Raises
    ------
    ValueError
        If a series or the nulls do not have one number a category, or a null has no category.
    """

    title: str
    ylabel: str
    categories: tuple[str, ...]
    series: tuple[BarSeries, ...]
    nulls: Mapping[str, float] | np.ndarray | Sequence[float] | None = None
    note: str = ""
    span: tuple[float, float] | None = None
    projection: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for one in self.series:
            if np.shape(one.values) != (len(self.categories),):
                raise ValueError(
                    f"series {one.name!r} has values of shape {np.shape(one.values)} for "
                    f"{len(self.categories)} categories"
                )
        if isinstance(self.nulls, Mapping):
            if strangers := [name for name in self.nulls if name not in self.categories]:
                raise ValueError(f"a null for {strangers[0]!r}, which is no category")
        elif self.nulls is not None and len(self.nulls) != len(self.categories):
            raise ValueError(f"{len(self.nulls)} nulls for {len(self.categories)} categories")

    def _nulls(self) -> np.ndarray:
        if self.nulls is None:
            return np.full(len(self.categories), np.nan)
        if isinstance(self.nulls, Mapping):
            return np.array([self.nulls.get(name, np.nan) for name in self.categories], dtype=np.float64)
        return np.asarray(self.nulls, dtype=np.float64)

    def _centres(self) -> list[np.ndarray]:
        step = WIDTH / max(len(self.series), 1)
        places = np.arange(len(self.categories), dtype=np.float64)
        return [places - WIDTH / 2 + (i + 0.5) * step for i in range(len(self.series))]

    def spans(self) -> tuple[tuple[float, float] | None]:
        """Give the ends of the axis of heights, with the intervals and zero."""
        every = [v for one in self.series for v in (one.values, one.low, one.high) if v is not None]
        values = np.concatenate([[0.0], self._nulls(), *(np.asarray(v, np.float64) for v in every)])
        values = values[np.isfinite(values)]
        low, high = float(values.min()), float(values.max())
        room = 0.05 * (high - low)
        return ((low - room if low < 0 else 0.0, high + room),) if high > low else (None,)

    def within(self, spans: tuple[tuple[float, float] | None, ...]) -> Self:
        """Draw within other ends."""
        return replace(self, span=spans[0])

    def plotly(self) -> Any:
        """Draw as a plotly Figure; a missing value is no bar and says "n/a"."""
        import plotly.graph_objects as go

        fig = figure(self.title, height=460)
        step = WIDTH / max(len(self.series), 1)
        looks = series_colours([s.model for s in self.series], [s.role for s in self.series])
        for one, centres, (shade, repeat) in zip(self.series, self._centres(), looks, strict=True):
            values = np.asarray(one.values, dtype=np.float64)
            there = np.isfinite(values)
            marker: dict[str, Any] = {"color": shade, "line": {"width": 0}}
            if repeat:
                marker["pattern"] = {
                    "shape": PATTERNS[repeat % len(PATTERNS)],
                    "fgcolor": "#FFFFFF",
                    "bgcolor": shade,
                    "size": 6,
                }
            fig.add_trace(
                go.Bar(
                    x=centres[there],
                    y=values[there],
                    width=0.92 * step,
                    marker=marker,
                    name=plain(one.name),
                    error_y=_whiskers(one, there),
                    hovertext=[text for text, ok in zip(self._hover(one), there, strict=True) if ok],
                    hoverinfo="text",
                )
            )
            if not there.all():
                fig.add_trace(
                    go.Scatter(
                        x=centres[~there],
                        y=np.zeros(int((~there).sum())),
                        mode="text",
                        text=["n/a"] * int((~there).sum()),
                        textposition="top center",
                        textfont={"color": MARKER, "size": 11},
                        hoverinfo="skip",
                        showlegend=False,
                    )
                )
        nulls = self._nulls()
        at = np.flatnonzero(np.isfinite(nulls))
        if len(at):
            gaps = np.full(len(at), np.nan)
            x = np.stack([at - WIDTH / 2, at + WIDTH / 2, gaps], axis=1).ravel()
            y = np.stack([nulls[at], nulls[at], gaps], axis=1).ravel()
            # A line beneath makes the mark readable on every bar; a report draws it in its own colour.
            halo = {"color": "#FFFFFF", "width": 4}
            fig.add_trace(
                go.Scatter(
                    x=x, y=y, mode="lines", line=halo, hoverinfo="skip", showlegend=False, meta={"halo": True}
                )
            )
            fig.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    mode="lines",
                    line={"color": MARKER, "width": 2, "dash": "dot"},
                    name="null",
                    hovertemplate="null %{y:.4g}<extra></extra>",
                )
            )
        fig.update_xaxes(
            tickmode="array",
            tickvals=list(range(len(self.categories))),
            ticktext=["<br>".join(map(plain, self._lines(name))) for name in self.categories],
            # Plotly hides tilted names that would leave the picture; upright ones never do.
            tickangle=-90 if self.is_crowded() else None,
            range=[-0.6, len(self.categories) - 0.4],
            showgrid=False,
            ticks="",
        )
        fig.update_yaxes(title_text=plain(self.ylabel), zeroline=True, zerolinecolor=MARKER, zerolinewidth=1)
        if self.span is not None:
            fig.update_yaxes(range=self.span)
        # Places are numbers and not names, because plotly would merge two categories of one name.
        fig.update_layout(barmode="overlay", legend_itemsizing="constant")
        return fig

    def is_crowded(self) -> bool:
        """Say whether the names of the categories stand upright, and take much of the height."""
        longest = max(map(len, self.categories), default=0)
        return longest > LONG and longest * len(self.categories) > ROOM

    def _lines(self, name: str) -> list[str]:
        return wrap(name, LONG) if self.is_crowded() else [name]

    def _hover(self, one: BarSeries) -> list[str]:
        texts = []
        for i, category in enumerate(self.categories):
            text = f"{plain(one.name)}, {plain(category)}<br>{short(float(one.values[i]))}"
            if one.low is not None and one.high is not None and np.isfinite(one.low[i]):
                text += f" [{short(float(one.low[i]))}, {short(float(one.high[i]))}]"
            texts.append(text)
        return texts

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes."""
        step = WIDTH / max(len(self.series), 1)
        looks = series_colours([s.model for s in self.series], [s.role for s in self.series])
        mpl_look(ax, self.title)
        for one, centres, (shade, repeat) in zip(self.series, self._centres(), looks, strict=True):
            values = np.asarray(one.values, dtype=np.float64)
            there = np.isfinite(values)
            ax.bar(
                centres[there],
                values[there],
                0.92 * step,
                color=shade,
                label=mpl_plain(one.name),
                hatch=MPL_PATTERNS[repeat % len(MPL_PATTERNS)],
                edgecolor="white",
            )
            if one.low is not None and one.high is not None:
                reach = np.stack([values - np.asarray(one.low), np.asarray(one.high) - values])
                known = there & np.isfinite(reach).all(axis=0)
                ax.errorbar(
                    centres[known],
                    values[known],
                    np.clip(reach[:, known], 0, None),
                    fmt="none",
                    ecolor="#333333",
                    capsize=3,
                    linewidth=1,
                )
            for centre in centres[~there]:
                ax.text(centre, 0, "n/a", ha="center", va="bottom", color=MARKER, fontsize=8)
        nulls = self._nulls()
        at = np.flatnonzero(np.isfinite(nulls))
        if len(at):
            ends = (at - WIDTH / 2, at + WIDTH / 2)
            ax.hlines(nulls[at], *ends, color="white", linewidth=3)
            ax.hlines(nulls[at], *ends, color=MARKER, linestyle=":", label="null")
        ax.axhline(0, color=MARKER, linewidth=0.8)
        ax.set_xticks(range(len(self.categories)), [mpl_plain(name) for name in self.categories])
        ax.set_ylabel(mpl_plain(self.ylabel))
        if self.span is not None:
            ax.set_ylim(*self.span)
        ax.grid(visible=False, axis="x")
        mpl_legend(ax)


def _whiskers(one: BarSeries, there: np.ndarray) -> dict[str, Any] | None:
    if one.low is None or one.high is None:
        return None
    values = np.asarray(one.values, dtype=np.float64)[there]
    return {
        "type": "data",
        "symmetric": False,
        "array": np.asarray(one.high, np.float64)[there] - values,
        "arrayminus": values - np.asarray(one.low, np.float64)[there],
        "thickness": 1.2,
        "width": 4,
        "color": MARKER,
    }
