"""Histogram: how values of several series are spread, as filled steps over common edges."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from embedlab.charts.base import (
    DASHES,
    MARKER,
    MPL_DASHES,
    Role,
    faded,
    figure,
    mpl_legend,
    mpl_look,
    mpl_plain,
    plain,
    series_colours,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Histogram:
    """Counts of several series over the same bins.

    Attributes
    ----------
    title
        The heading.
    xlabel
        What is counted, with its unit.
    edges
        Bin edges, ascending, shape (bins + 1,).
    series
        Name → counts of shape (bins,).
    roles
        Name → what the series stands for, which gives its colour.
    density
        Scale each series to an area of its own of one, so that few and many pairs can be compared.
    lines
        Name → where a vertical line stands, such as a threshold.
    note
        The sentence under the picture.
    ranges
        The ends of the axis, and the largest height, for pictures to be compared; None to take those of the
        series.

    Raises
    ------
    ValueError
        If a series does not have one count a bin, or a role is that of no series.
    """

    title: str
    xlabel: str
    edges: Float[np.ndarray, " bins+1"]
    series: Mapping[str, np.ndarray]
    roles: Mapping[str, Role] = field(default_factory=dict)
    density: bool = True
    lines: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    ranges: tuple[tuple[float, float], float] | None = None
    projection: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, counts in self.series.items():
            if np.shape(counts) != (len(self.edges) - 1,):
                raise ValueError(f"{name!r} has {np.shape(counts)} counts for {len(self.edges) - 1} bins")
        if strangers := [name for name in self.roles if name not in self.series]:
            raise ValueError(f"a role for {strangers[0]!r}, which is no series")

    def heights(self) -> dict[str, np.ndarray]:
        """Give what is drawn: counts, or densities; a series without any count has no height at all."""
        drawn = {}
        for name, counts in self.series.items():
            heights = np.asarray(counts, dtype=np.float64)
            total = heights.sum()
            if total == 0:
                heights = np.full_like(heights, np.nan)
            elif self.density:
                heights = heights / (total * np.diff(self.edges))
            drawn[name] = heights
        return drawn

    def reach(self) -> tuple[float, float]:
        """Give the part of the axis where anything stands, with a little room."""
        edges = np.asarray(self.edges, dtype=np.float64)
        filled = np.zeros(max(0, len(edges) - 1), dtype=bool)
        for counts in self.series.values():
            filled |= np.asarray(counts) > 0
        at = np.flatnonzero(filled)
        ends = [edges[at[0]], edges[at[-1] + 1]] if len(at) else [*edges[:1], *edges[-1:]]
        ends = [value for value in (*ends, *self.lines.values()) if np.isfinite(value)] or [0.0]
        room = 0.02 * (max(ends) - min(ends)) or 0.5
        return float(min(ends) - room), float(max(ends) + room)

    def spans(self) -> tuple[tuple[float, float] | None, ...]:
        """Give the ends of both axes."""
        heights = [one[np.isfinite(one)] for one in self.heights().values()]
        top = max((float(one.max(initial=0)) for one in heights), default=0.0)
        return self.reach(), (0.0, 1.05 * top) if top else None

    def within(self, spans: tuple[tuple[float, float] | None, ...]) -> Self:
        """Draw within other ends."""
        x, y = spans
        return replace(self, ranges=None if x is None or y is None else (x, y[1]))

    def plotly(self) -> Any:
        """Draw as a plotly Figure."""
        import plotly.graph_objects as go

        fig = figure(self.title)
        shades = self._shades()
        for (name, heights), (shade, repeat) in zip(self.heights().items(), shades, strict=True):
            empty = np.isnan(heights).all()
            fig.add_trace(
                go.Scatter(
                    x=self.edges,
                    y=np.append(heights, heights[-1:]),
                    name=plain(f"{name} (none)" if empty else name),
                    mode="lines",
                    line={"shape": "hv", "color": shade, "width": 1.5, "dash": DASHES[repeat % len(DASHES)]},
                    fill="none" if empty else "tozeroy",
                    fillcolor=faded(shade, 0.28 / (1 + repeat)),
                    hovertemplate="%{x:.3f}: %{y:.4g}",
                )
            )
        for (name, at), dash in zip(self.lines.items(), cycle(DASHES[1:]), strict=False):
            fig.add_shape(
                type="line",
                x0=at,
                x1=at,
                y0=0,
                y1=1,
                yref="paper",
                line={"color": MARKER, "width": 1.6, "dash": dash},
                name=plain(name),
                showlegend=True,
            )
        fig.update_xaxes(
            title_text=plain(self.xlabel),
            showgrid=False,
            range=self.ranges[0] if self.ranges else self.reach(),
        )
        fig.update_yaxes(title_text=self._ylabel, rangemode="tozero")
        if self.ranges:
            fig.update_yaxes(range=[0, self.ranges[1]])
        fig.update_layout(hovermode="x unified")
        return fig

    def _shades(self) -> list[tuple[str, int]]:
        return series_colours([""] * len(self.series), [self.roles.get(name) for name in self.series])

    @property
    def _ylabel(self) -> str:
        return "density" if self.density else "count"

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes."""
        shades = self._shades()
        for (name, heights), (shade, repeat) in zip(self.heights().items(), shades, strict=True):
            if np.isnan(heights).all():
                ax.plot([], [], color=shade, label=mpl_plain(f"{name} (none)"))
                continue
            ax.stairs(heights, self.edges, fill=True, color=shade, alpha=0.28 / (1 + repeat))
            dash = MPL_DASHES[DASHES[repeat % len(DASHES)]]
            ax.stairs(heights, self.edges, color=shade, linestyle=dash, label=mpl_plain(name))
        for (name, at), dash in zip(self.lines.items(), cycle(DASHES[1:]), strict=False):
            ax.axvline(at, color=MARKER, linestyle=MPL_DASHES[dash], label=mpl_plain(name))
        mpl_look(ax, self.title)
        ax.set_xlim(*(self.ranges[0] if self.ranges else self.reach()))
        if self.ranges:
            ax.set_ylim(0, self.ranges[1])
        ax.set_xlabel(mpl_plain(self.xlabel))
        ax.set_ylabel(self._ylabel)
        mpl_legend(ax)
