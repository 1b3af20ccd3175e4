"""Curves: lines with interval bands over linear, logarithmic or probit axes (ROC, DET, learning curves)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np

from embedlab.charts.base import (
    DASHES,
    MPL_DASHES,
    NULL,
    Role,
    Scale,
    faded,
    figure,
    mpl_legend,
    mpl_look,
    mpl_plain,
    plain,
    series_colours,
    short,
)

# Rates at which a probit axis is labelled, the ones DET curves are read at.
PROBIT_TICKS = (
    *(1e-7, 1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.05, 0.2, 0.5),
    *(0.8, 0.95, 0.99, 0.999, 0.9999, 0.99999, 0.999999),
)


@dataclass(frozen=True, eq=False)
class Curve:
    """One line.

    Attributes
    ----------
    name
        What the legend says.
    x, y
        Where it runs; same length. NaN breaks the line.
    low, high
        Ends of the interval of ``y``, drawn as a band; both or neither.
    model
        The model it belongs to, which gives its colour.
    dash, markers
        The line's style, and whether each point is marked.
    role
        What it stands for if it belongs to no model, which then gives its colour.

    Raises
    ------
    ValueError
        If the arrays differ in length, or only one end of the interval is given.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    model: str = ""
    dash: Literal["solid", "dash", "dot"] = "solid"
    markers: bool = False
    role: Role | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"curve {self.name!r} has one end of an interval, not both")
        for values in (self.y, self.low, self.high):
            if values is not None and np.shape(values) != np.shape(self.x):
                raise ValueError(
                    f"curve {self.name!r}: {np.shape(values)} values for x of {np.shape(self.x)}"
                )


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """Several lines over the same axes.

    Attributes
    ----------
    title
        The heading.
    xlabel, ylabel
        What the axes show, with units.
    curves
        The lines.
    xscale, yscale
        ``linear``; ``log``; or ``probit``, on which a rate of normally distributed scores is a
        straight line [1]_. What such an axis cannot show (a rate of exactly 0 or 1) is left out.
    diagonal
        Draw x = y for comparison.
    xticks
        What is written at which x, on a linear or logarithmic axis; None to let the libraries choose.
    note
        The sentence under the picture.
    ranges
        The ends of both axes, for pictures to be compared; None to fit the lines.

    References
    ----------
    .. [1] Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997.
    """

    title: str
    xlabel: str
    ylabel: str
    curves: tuple[Curve, ...]
    xscale: Scale = "linear"
    yscale: Scale = "linear"
    diagonal: bool = False
    xticks: Mapping[float, str] | None = None
    note: str = ""
    ranges: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None)
    projection: None = field(default=None, init=False, repr=False)

    def _looks(self) -> list[tuple[str, str]]:
        picked = series_colours([c.model for c in self.curves], [c.role for c in self.curves])
        taken: set[tuple[str, str]] = set()
        looks = []
        for curve, (shade, _) in zip(self.curves, picked, strict=True):
            dash: str = curve.dash
            if (shade, dash) in taken:
                dash = next((d for d in DASHES if (shade, d) not in taken), dash)
            taken.add((shade, dash))
            looks.append((shade, dash))
        return looks

    def plotly(self) -> Any:
        """Draw as a plotly Figure; on a probit axis the values are transformed and labelled as rates."""
        import plotly.graph_objects as go

        fig = figure(self.title, height=480)
        xlimits, ylimits = self._limits()
        for i, (curve, (shade, dash)) in enumerate(zip(self.curves, self._looks(), strict=True)):
            x = _placed(curve.x, self.xscale)
            if curve.low is not None and curve.high is not None:
                bx, low, high = _band(x, curve, self.yscale, ylimits)
                fig.add_trace(
                    go.Scatter(
                        x=np.concatenate([bx, bx[::-1]]),
                        y=np.concatenate([high, low[::-1]]),
                        fill="toself",
                        fillcolor=faded(shade, 0.16),
                        line={"width": 0},
                        mode="lines",
                        hoverinfo="skip",
                        showlegend=False,
                        legendgroup=f"curve{i}",
                    )
                )
            fig.add_trace(
                go.Scatter(
                    x=x,
                    y=_placed(curve.y, self.yscale),
                    mode="lines+markers" if curve.markers else "lines",
                    name=plain(curve.name),
                    line={"color": shade, "dash": dash, "width": 2},
                    marker={"size": 6},
                    hovertext=_hover(curve),
                    hoverinfo="text",
                    legendgroup=f"curve{i}",
                    connectgaps=False,
                )
            )
        if self.diagonal and xlimits and ylimits:
            ends = np.array([max(xlimits[0], ylimits[0]), min(xlimits[1], ylimits[1])])
            fig.add_trace(
                go.Scatter(
                    x=_placed(ends, self.xscale),
                    y=_placed(ends, self.yscale),
                    mode="lines",
                    line={"color": NULL, "dash": "dot", "width": 1},
                    hoverinfo="skip",
                    showlegend=False,
                )
            )
        fig.update_xaxes(title_text=plain(self.xlabel), **_axis(self.xscale, xlimits))
        if self.xticks is not None:
            texts = [plain(text) for text in self.xticks.values()]
            fig.update_xaxes(tickmode="array", tickvals=list(self.xticks), ticktext=texts)
        fig.update_yaxes(title_text=plain(self.ylabel), **_axis(self.yscale, ylimits))
        for update, scale, span in self._given(fig.update_xaxes, fig.update_yaxes):
            update(range=np.log10(span).tolist() if scale == "log" else _roomy(span))
        return fig

    def _given(self, *updates: Any) -> list[tuple[Any, Scale, tuple[float, float]]]:
        axes = zip(updates, (self.xscale, self.yscale), self.ranges, strict=True)
        return [(update, scale, ends) for update, scale, ends in axes if ends is not None]

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes."""
        xlimits, ylimits = self._limits()
        for curve, (shade, dash) in zip(self.curves, self._looks(), strict=True):
            x = _placed(curve.x, self.xscale)
            if curve.low is not None and curve.high is not None:
                bx, low, high = _band(x, curve, self.yscale, ylimits)
                ax.fill_between(bx, low, high, color=shade, alpha=0.16, linewidth=0)
            ax.plot(
                x,
                _placed(curve.y, self.yscale),
                color=shade,
                linestyle=MPL_DASHES[dash],
                marker="o" if curve.markers else "",
                markersize=4,
                label=mpl_plain(curve.name),
            )
        if self.diagonal and xlimits and ylimits:
            ends = np.array([max(xlimits[0], ylimits[0]), min(xlimits[1], ylimits[1])])
            ax.plot(
                _placed(ends, self.xscale), _placed(ends, self.yscale), color=NULL, linestyle=":", linewidth=1
            )
        mpl_look(ax, self.title)
        for axis, scale, limits in (("x", self.xscale, xlimits), ("y", self.yscale, ylimits)):
            if scale == "log":
                getattr(ax, f"set_{axis}scale")("log")
            if scale == "probit" and limits:
                places, texts = probit_ticks(*limits)
                getattr(ax, f"set_{axis}ticks")(places, texts)
                getattr(ax, f"set_{axis}lim")(*_placed(np.array(limits), "probit"))
        if self.xticks is not None:
            ax.set_xticks(list(self.xticks), [mpl_plain(text) for text in self.xticks.values()])
            ax.minorticks_off()
        for update, scale, span in self._given(ax.set_xlim, ax.set_ylim):
            update(*(span if scale == "log" else _roomy(span)))
        ax.set_xlabel(mpl_plain(self.xlabel))
        ax.set_ylabel(mpl_plain(self.ylabel))
        mpl_legend(ax)

    def spans(self) -> tuple[tuple[float, float] | None, ...]:
        """Give the ends of both axes with the intervals; None for a probit axis, which has its own."""
        bands = [end for c in self.curves for end in (c.low, c.high) if end is not None]
        x = _reach([c.x for c in self.curves], self.xscale)
        y = _reach([*(c.y for c in self.curves), *bands], self.yscale)
        return None if self.xscale == "probit" else x, None if self.yscale == "probit" else y

    def within(self, spans: tuple[tuple[float, float] | None, ...]) -> Self:
        """Draw within other ends."""
        return replace(self, ranges=(spans[0], spans[1]))

    def _limits(self) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        xlimits = _reach([c.x for c in self.curves], self.xscale)
        return xlimits, _reach([c.y for c in self.curves], self.yscale)


def _roomy(ends: tuple[float, float]) -> list[float]:
    room = 0.03 * (ends[1] - ends[0]) or 0.5
    return [ends[0] - room, ends[1] + room]


def probit_ticks(low: float, high: float) -> tuple[np.ndarray, list[str]]:
    """Give the places on a probit axis, and the rates in per cent that are written there."""
    from scipy.special import ndtri

    rates = [rate for rate in PROBIT_TICKS if low <= rate <= high]
    places: np.ndarray = ndtri(np.array(rates))
    return places, [f"{short(100 * rate)} %" for rate in rates]


def _placed(values: Any, scale: Scale) -> np.ndarray:
    """Bring values to where they stand on the axis; what it cannot show becomes NaN."""
    places: np.ndarray = np.asarray(values, dtype=np.float64)
    if scale == "log":
        places = np.where(places > 0, places, np.nan)
    if scale == "probit":
        from scipy.special import ndtri

        inside = (places > 0) & (places < 1)
        places = np.where(inside, ndtri(np.where(inside, places, 0.5)), np.nan)
    return places


def _reach(many: Sequence[Any], scale: Scale) -> tuple[float, float] | None:
    """Give the smallest and the largest value that the axis can show, with a little room."""
    values = np.concatenate([np.asarray(v, dtype=np.float64).ravel() for v in many]) if many else np.empty(0)
    values = values[np.isfinite(_placed(values, scale))]
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    if scale == "probit":
        return low / 1.3, 1 - (1 - high) / 1.3
    return (low / 1.1, high * 1.1) if scale == "log" else (low, high)


def _band(
    x: np.ndarray, curve: Curve, scale: Scale, limits: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place the interval; an end that the axis cannot show is drawn to the axis's own end."""
    low, high = np.asarray(curve.low, np.float64), np.asarray(curve.high, np.float64)
    if scale != "linear" and limits:
        low, high = np.clip(low, *limits), np.clip(high, *limits)
    low, high = _placed(low, scale), _placed(high, scale)
    there = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    return x[there], low[there], high[there]


def _axis(scale: Scale, limits: tuple[float, float] | None) -> dict[str, Any]:
    if scale == "log":
        decades = np.log10(limits[1] / limits[0]) if limits else 0.0
        return {"type": "log", "exponentformat": "power"} | ({"dtick": 1} if decades > 2 else {})
    if scale == "probit" and limits:
        places, texts = probit_ticks(*limits)
        span = _placed(np.array(limits), "probit")
        return {"tickmode": "array", "tickvals": places, "ticktext": texts, "range": span.tolist()}
    return {}


def _hover(curve: Curve) -> list[str]:
    name = plain(curve.name)
    texts = [
        f"{name}<br>({short(float(x))}, {short(float(y))})" for x, y in zip(curve.x, curve.y, strict=True)
    ]
    if curve.low is None or curve.high is None:
        return texts
    ends = zip(texts, curve.low, curve.high, strict=True)
    return [f"{text} [{short(float(low))}, {short(float(high))}]" for text, low, high in ends]
