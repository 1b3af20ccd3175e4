"""What a picture says, in a sentence for whoever does not see it, read off the numbers that it draws."""

from functools import singledispatch
from typing import Any

import numpy as np

from embedlab.charts.bars import Bars
from embedlab.charts.base import short
from embedlab.charts.curves import Curves
from embedlab.charts.dendrogram import Dendrogram
from embedlab.charts.faces import Faces
from embedlab.charts.heatmap import Heatmap
from embedlab.charts.histogram import Histogram
from embedlab.charts.scatter import Scatter
from embedlab.charts.tiles import Tiles

# Of more series than these the first are told, and how many more there are.
TOLD = 3


@singledispatch
def alt(chart: Any) -> str:
    """Say what a chart shows; empty for a kind that says nothing of itself, such as a table."""
    del chart
    return ""


def _few(said: list[str], all_of_them: int) -> str:
    more = f"; and {all_of_them - len(said):,} more" if all_of_them > len(said) else ""
    return "; ".join(said) + more


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun if n == 1 else f'{noun}s'}"


@alt.register
def _(chart: Bars) -> str:
    said = []
    for one in chart.series[:TOLD]:
        values = np.asarray(one.values, dtype=np.float64)
        there = np.flatnonzero(np.isfinite(values))
        if not len(there):
            said.append(f"{one.name} has no value")
            continue
        low, high = there[np.argmin(values[there])], there[np.argmax(values[there])]
        text = f"{one.name} {short(values[high])} for {chart.categories[high]}"
        said.append(text if low == high else f"{text}, {short(values[low])} for {chart.categories[low]}")
    return _few(said, len(chart.series))


@alt.register
def _(chart: Curves) -> str:
    said = []
    for one in chart.curves[:TOLD]:
        x, y = np.asarray(one.x, np.float64), np.asarray(one.y, np.float64)
        there = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if not len(there):
            said.append(f"{one.name} has no value")
            continue
        first, last = there[0], there[-1]
        ends = [_place(chart, x[k]) for k in (first, last)]
        text = f"{one.name} {short(y[first])} at {ends[0]}"
        said.append(text if first == last else f"{text}, {short(y[last])} at {ends[1]}")
    return _few(said, len(chart.curves))


def _place(chart: Curves, x: float) -> str:
    return (chart.xticks or {}).get(float(x)) or short(float(x))


@alt.register
def _(chart: Heatmap) -> str:
    there = np.isfinite(chart.values)
    if not there.any():
        return "no cell has a value"
    said = []
    for word, find in (("lowest", np.nanargmin), ("highest", np.nanargmax)):
        row, column = np.unravel_index(int(find(chart.values)), chart.values.shape)
        value = short(float(chart.values[row, column]))
        said.append(f"{word} {value} ({chart.ylabels[row]}, {chart.xlabels[column]})")
    warned = int(chart.hatched.sum()) if chart.hatched is not None else 0
    return "; ".join(said) + (f"; {warned} hatched: {chart.hatched_label}" if warned else "")


@alt.register
def _(chart: Histogram) -> str:
    middles = (np.asarray(chart.edges[:-1]) + np.asarray(chart.edges[1:])) / 2
    said = []
    for name, counts in list(chart.series.items())[:TOLD]:
        summed = np.cumsum(np.asarray(counts, np.float64))
        if not len(summed) or summed[-1] <= 0:
            said.append(f"{name} has none")
            continue
        half = int(np.searchsorted(summed, summed[-1] / 2))
        said.append(f"half of {name} lies below about {short(float(middles[half]))}")
    return _few(said, len(chart.series))


@alt.register
def _(chart: Scatter) -> str:
    counts = np.bincount(chart.marks, minlength=len(chart.mark_names))
    said = [
        f"{_count(int(n), 'point')} of {name}"
        for n, name in list(zip(counts, chart.mark_names, strict=True))[:TOLD]
    ]
    return _few(said, len(chart.mark_names))


@alt.register
def _(chart: Tiles) -> str:
    return _count(len(chart.tiles), "small image")


@alt.register
def _(chart: Faces) -> str:
    return _few(
        [f"{heading}: {_count(len(faces), 'face')}" for heading, faces in chart.rows[:TOLD]], len(chart.rows)
    )


@alt.register
def _(chart: Dendrogram) -> str:
    if not len(chart.merges):
        return f"{len(chart.labels)} leaf" if len(chart.labels) == 1 else "no leaves"
    first, second, distance, _ = chart.merges[0]
    pair = [chart.labels[int(k)] for k in (first, second) if k < len(chart.labels)]
    last = float(chart.merges[-1, 2])
    return f"{' and '.join(pair)} are joined first, at {short(float(distance))}; all at {short(last)}"
