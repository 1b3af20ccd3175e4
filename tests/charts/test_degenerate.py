"""Every kind of chart draws nothing, one thing and things without a number, wherever charts are drawn."""

import json
import math

import numpy as np
import pytest

from embedlab import charts
from embedlab.analysis import Estimate
from embedlab.charts import (
    Bars,
    BarSeries,
    Curve,
    Curves,
    Dendrogram,
    Face,
    Faces,
    Globe,
    Heatmap,
    Histogram,
    Scatter,
    Table,
    Tile,
    Tiles,
    faces_from,
)
from embedlab.report import Section
from embedlab.report.build import fragment, part_of
from embedlab.report.items import Items

AMOUNTS = ("none", "one", "nan")
PLAIN = "a"
NASTY = (
    "<script>alert(1)</script>\"><img src=x onerror=alert(2)> it's {{ 7 * 7 }} {% raw %} %{x} & $\\frac$ "
    "two\nlines\x1b[31m\u202egnisrever\u2069 \u200f\x00 \udcff" + 200 * "n",
    "",
)


def numbers(amount, *shape):
    """Give numbers of a shape whose first axis is cut to what there is."""
    rows = {"none": 0, "one": 1}.get(amount, shape[0])
    if amount == "nan":
        return np.full(shape, np.nan)
    if amount == "equal":
        return np.ones(shape)
    return np.linspace(0.1, 0.9, math.prod((rows, *shape[1:]))).reshape(rows, *shape[1:])


def scatter(amount, name, dimensions=2, kind=Scatter, **more):
    points = numbers(amount, 5, dimensions)
    index = np.zeros(len(points), dtype=int)
    return kind(
        title=name,
        points=points,
        axes=(name,) * dimensions,
        groups=index,
        group_names=(name,) if len(index) else (),
        marks=index,
        mark_names=(name,) if len(index) else (),
        note=name,
        **more,
    )


def amounts(amount, name):
    values = np.nan_to_num(numbers(amount, 5))
    return scatter(
        amount,
        name,
        values=values,
        value_label=name,
        named=True,
        hover=np.array([name] * len(values)),
    )


def globe(amount, name):
    points = np.zeros((len(numbers(amount, 5, 3)), 3))
    points[:, 0] = 1
    index = np.zeros(len(points), dtype=int)
    names = (name,) if len(index) else ()
    return Globe(title=name, points=points, groups=index, group_names=names, marks=index, mark_names=names)


def linked(amount, name):
    pairs = np.array([[0, 0]]) if amount != "none" else np.zeros((0, 2), dtype=int)
    return scatter(amount, name, links=pairs, ranges=((0.0, 1.0), (0.0, 1.0)))


def histogram(amount, name):
    counts = {"none": np.zeros(0), "one": np.array([3.0])}.get(amount, numbers(amount, 4))
    edges = np.arange(len(counts) + 1.0)
    lines = {name: float("nan") if amount == "nan" else 0.5}
    return Histogram(title=name, xlabel=name, edges=edges, series={name: counts}, lines=lines, note=name)


def no_series(amount, name):
    return Histogram(title=name, xlabel=name, edges=numbers(amount, 4), series={})


def curves(scale, diagonal=True):
    def make(amount, name):
        y = numbers(amount, 6)
        one = Curve(name, y, y, low=0.9 * y, high=y, model=name, markers=True)
        return Curves(
            title=name,
            xlabel=name,
            ylabel=name,
            curves=(one, Curve(name, y, y)),
            xscale=scale,
            yscale=scale,
            diagonal=diagonal,
            note=name,
        )

    return make


def no_curves(amount, name):
    return Curves(title=name, xlabel=name, ylabel=name, curves=(), diagonal=True)


def heatmap(amount, name):
    values = numbers(amount, 3, 2)
    return Heatmap(
        title=name,
        xlabels=(name, name),
        ylabels=(name,) * len(values),
        values=values,
        text=np.full(values.shape, name, dtype=object).astype(str),
        xlabel=name,
        ylabel=name,
        colour_label=name,
        diverging=amount == "one",
    )


def no_columns(amount, name):
    values = np.zeros((len(numbers(amount, 3, 2)), 0))
    return Heatmap(title=name, xlabels=(), ylabels=(name,) * len(values), values=values)


def bars(amount, name):
    values = numbers(amount, 3)
    one = BarSeries(name, values, 0.9 * values, values, model=name)
    return Bars(
        title=name, ylabel=name, categories=(name,) * len(values), series=(one, one), nulls=values, note=name
    )


def no_bars(amount, name):
    return Bars(title=name, ylabel=name, categories=(name,) * len(numbers(amount, 3)), series=())


def tiles(amount, name, **more):
    images = numbers(amount, 3, 4, 4)
    made = tuple(Tile(image, name) for image in images)
    return Tiles(title=name, tiles=made, columns=2, rows=(name,) * -(-len(made) // 2), note=name, **more)


def colour_tiles(amount, name):
    return Tiles(title=name, tiles=tuple(Tile(one, name) for one in numbers(amount, 2, 3, 3, 3)), columns=2)


def faces(amount, name):
    some = tuple(Face(name, name, name) for _ in numbers(amount, 3))
    return Faces(title=name, rows=((name, some),) if amount != "none" else (), note=name)


def empty_row(amount, name):
    return Faces(title=name, rows=((name, ()),))


def table(amount, name):
    values = numbers(amount, 20)
    return Table(
        title=name,
        columns=(name, name, "interval"),
        rows=tuple((name, float(v), Estimate(float(v), float(v), float(v), 1, float(v))) for v in values),
        folded=amount == "one",
        note=name,
    )


def no_columns_at_all(amount, name):
    return Table(title=name, columns=(), rows=((),) * len(numbers(amount, 3)))


def tree(amount, name):
    leaves = {"none": 0, "one": 1}.get(amount, 3)
    merges = np.array([[0, 1, 0.5, 2], [2, 3, 0.5, 3]], dtype=float)[: max(0, leaves - 1)]
    merges[:, 2] = numbers(amount, 2)[: len(merges)] if leaves > 1 else merges[:, 2]
    return Dendrogram(title=name, labels=(name,) * leaves, merges=merges, xlabel=name, note=name)


KINDS = {
    "scatter": scatter,
    "scatter in space": lambda amount, name: scatter(amount, name, 3),
    "scatter of amounts": amounts,
    "scatter with links": linked,
    "globe": globe,
    "histogram": histogram,
    "histogram without series": no_series,
    "curves": curves("linear"),
    "curves, log": curves("log"),
    "curves, probit": curves("probit"),
    "curves without any": no_curves,
    "heatmap": heatmap,
    "heatmap without columns": no_columns,
    "bars": bars,
    "bars without series": no_bars,
    "tiles": tiles,
    "tiles, signed": lambda amount, name: tiles(amount, name, signed=True),
    "tiles, coloured": colour_tiles,
    "faces": faces,
    "faces without any": empty_row,
    "table": table,
    "table without columns": no_columns_at_all,
    "dendrogram": tree,
}


def test_every_kind_of_chart_is_tried():
    made = {type(make("one", "a")) for make in KINDS.values()}
    known = {one for one in vars(charts).values() if isinstance(one, type) and hasattr(one, "matplotlib")}
    assert known - {charts.Chart} == made


def shown(chart):
    """Draw a chart in the page and in a notebook, and give the section's HTML."""
    section = Section("s", "?", charts=(chart,))
    part = part_of(section, 0, Items())
    assert part.sound, part.body
    fragment(section)
    return part


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_of_little_draws(kind, amount, drawn):
    chart = KINDS[kind](amount, PLAIN)
    with faces_from(lambda probe, item: np.zeros((4, 4, 3), np.uint8)):
        drawn(chart)
        shown(chart)


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_shown_and_neither_obeyed_nor_in_the_way(kind, name, drawn):
    chart = KINDS[kind]("equal", name)
    with faces_from(lambda probe, item: np.zeros((4, 4, 3), np.uint8)):
        drawn(chart)
        part = shown(chart)
    text = part.body
    assert "<script>alert" not in text
    assert "<img" not in text
    assert not name or "{{ 7 * 7 }}" in text
    assert not set("\x1b\u202e\u2069\x00\udcff") & set(text)
    for script in text.split('type="application/json"')[1:]:
        json.loads(script.partition(">")[2].partition("</script>")[0])
