"""Charts that show the same of two models stand beside each other, within one span."""

import dataclasses

import numpy as np
import pytest

from embedlab.charts import (
    Bars,
    BarSeries,
    Curve,
    Curves,
    Heatmap,
    Histogram,
    Scatter,
    Table,
    Tile,
    Tiles,
    alike,
    groups,
    model_colours,
)

RNG = np.random.default_rng(0)


def scatter(model, scale):
    return Scatter(
        title=f"t-SNE of p in {model}",
        points=scale * RNG.normal(size=(9, 2)),
        axes=("x", "y"),
        groups=np.zeros(9, np.int64),
        group_names=("who",),
        marks=np.zeros(9, np.int64),
        mark_names=("p",),
        values=scale * RNG.random(9),
    )


MADE = {
    "scatter": scatter,
    "heatmap": lambda model, scale: Heatmap(
        title=f"η² of {model}", xlabels=("a",), ylabels=("b", "c"), values=scale * np.array([[0.1], [0.5]])
    ),
    "bars": lambda model, scale: Bars(
        title=model,
        ylabel="y",
        categories=("a",),
        series=(BarSeries("s", np.array([scale]), np.array([scale / 2]), np.array([scale * 2])),),
    ),
    "curves": lambda model, scale: Curves(
        title=f"{model}",
        xlabel="x",
        ylabel="y",
        curves=(Curve("c", np.arange(1.0, 9), scale * np.arange(1.0, 9)),),
        yscale="log",
    ),
    "histogram": lambda model, scale: Histogram(
        title=f"pairs in {model}",
        xlabel="d",
        edges=scale * np.arange(4.0),
        series={"s": np.array([1, 2, 1])},
    ),
    "tiles": lambda model, scale: Tiles(
        title=f"kernels of {model}", tiles=(Tile(scale * RNG.normal(size=(3, 3))),), columns=1, signed=True
    ),
}


@pytest.mark.parametrize("kind", MADE)
def test_panels_of_two_models_share_their_spans_and_hold_all(kind, drawn):
    one, other = MADE[kind]("brie", 1.0), MADE[kind]("gouda", 3.0)
    with model_colours(["brie", "gouda"]):
        first, second = alike([one, other])
    ends = [axis for chart in (first, second) for axis in drawn(chart)[0].select_yaxes()]
    assert ends[0].range == ends[1].range
    for kept in ("ranges", "span", "value_range"):
        assert getattr(first, kept, 0) == getattr(second, kept, 0)
    wide = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(one.spans(), other.spans(), strict=True)]
    shared = {"scatter": [*(first.ranges if kind == "scatter" else ()), getattr(first, "value_range", None)]}
    if kind == "scatter":
        np.testing.assert_allclose(shared[kind], wide)
    elif kind in ("heatmap", "bars", "tiles"):
        assert [first.span] == wide


def test_a_model_whose_name_begins_as_another_s_is_its_panel():
    with model_colours(["brie", "brie2", "2brie"]):
        assert groups([MADE["heatmap"](name, 1.0) for name in ("brie", "brie2", "2brie")]) == [0, 0, 0]


def test_pictures_of_two_kinds_are_no_panels():
    with model_colours(["brie", "gouda"]):
        tiles = MADE["tiles"]("brie", 1.0)
        assert groups([tiles, dataclasses.replace(tiles, title="kernels of gouda")]) == [0, 0]
        map_ = dataclasses.replace(MADE["heatmap"]("gouda", 1.0), title="kernels of gouda")
        assert groups([tiles, map_]) == [0, 1]


def test_a_span_that_one_panel_has_not_is_shared_by_none():
    full = scatter("brie", 2.0)
    none = np.zeros(0, np.int64)
    changes = {"points": np.zeros((0, 2)), "groups": none, "marks": none, "values": None}
    empty = dataclasses.replace(full, title="t-SNE of p in gouda", **changes)
    with model_colours(["brie", "gouda"]):
        first, second = alike([full, empty])
    assert (first.ranges, second.ranges) == (None, None)
    assert (first.value_range, second.value_range) == (None, None)


def test_other_charts_stay_apart_and_as_they_are():
    with model_colours(["brie", "gouda"]):
        made = [
            MADE["heatmap"]("brie", 1.0),
            Table(title="rows of brie", columns=(), rows=()),
            MADE["bars"]("brie", 1.0),
            MADE["heatmap"]("gouda", 2.0),
            dataclasses.replace(MADE["heatmap"]("gouda", 9.0), colour_label="another"),
            dataclasses.replace(MADE["heatmap"]("x", 9.0), title="η² of nobody"),
        ]
        numbers = groups(made)
        assert numbers[0] == numbers[3]
        assert len(set(numbers)) == 5
        ordered = alike(made)
    assert [chart.title for chart in ordered[:3]] == ["η² of brie", "η² of gouda", "rows of brie"]
    assert ordered[2:] == (made[1], made[2], made[4], made[5])
    assert groups(made) == list(range(6)), "without models nothing is a panel"


def test_a_probit_axis_keeps_its_own_ends():
    curves = MADE["curves"]("brie", 0.01)
    assert dataclasses.replace(curves, yscale="probit").spans()[1] is None
