"""Scatter: colour is who, symbol is under which condition."""

import base64

import numpy as np
import pytest

from embedlab.charts import Scatter
from embedlab.charts.scatter import BACK


def scatter(dimensions=3, **changes):
    rng = np.random.default_rng(0)
    values = {
        "title": "two probes",
        "points": rng.normal(size=(40, dimensions)).astype(np.float32),
        "axes": ("PC 1", "PC 2", "PC 3")[:dimensions],
        "groups": np.arange(40) % 10,
        "group_names": tuple(f"person {i}" for i in range(10)),
        "marks": np.repeat([0, 1], 20),
        "mark_names": ("highres", "highres@32"),
    }
    return Scatter(**(values | changes))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_mark_is_a_trace_with_its_own_points(drawn, dimensions):
    chart = scatter(dimensions)
    figure, ax = drawn(chart)
    for mark, symbol in enumerate(["cross", "circle"]):
        trace = next(t for t in figure.data if t.hovertext and t.legendgroup == f"mark{mark}")
        got = np.stack([trace[axis] for axis in "xyz"[:dimensions]], axis=1)
        mine = chart.points[chart.marks == mark]
        # Points of people who have no colour are drawn first, or they would hide the others.
        grey = np.isin(chart.groups[chart.marks == mark], (8, 9))
        np.testing.assert_array_equal(got, np.concatenate([mine[grey], mine[~grey]]))
        assert trace.marker.symbol == symbol
    assert len(ax.collections) == 2


def test_one_person_has_one_colour_under_both_marks(drawn):
    figure, _ = drawn(scatter())
    first, second = (t for t in figure.data if t.hovertext)
    assert list(first.marker.color) == list(second.marker.color)
    assert len(set(first.marker.color)) == 9, "eight people and the grey of the others"


def test_of_many_people_those_of_the_most_points_have_colours_and_a_line(drawn):
    """Nobody tells a hundred hues apart; the line joins an image before and after it was shrunk."""
    groups = np.concatenate([np.arange(30), [29, 28, 27, 26, 25, 24, 23, 22]])
    items = np.array([f"{k}.png" for k in range(38)])
    chart = scatter(
        2,
        points=np.random.default_rng(1).normal(size=(76, 2)),
        groups=np.tile(groups, 2),
        group_names=tuple(map(str, range(30))),
        marks=np.repeat([0, 1], 38),
        people=np.tile(groups, 2).astype(str),
        items=np.tile(items, 2),
    )
    figure, ax = drawn(chart)
    trace = next(t for t in figure.data if t.hovertext)
    coloured = {g for g, shade in zip(groups, trace.marker.color, strict=True) if shade != BACK}
    assert coloured == set(range(22, 30))
    lines = next(t for t in figure.data if t.mode == "lines")
    assert len(lines.x) == 3 * 16, "two images of each of the eight"
    assert len(ax.lines) == 16
    assert [t.name for t in figure.data][-1] == "grey: 22 of 30 people"


def unpacked(trace):
    packed = trace.meta["from"]
    return np.stack(
        [np.frombuffer(base64.b64decode(packed[axis]["bdata"]), "<f4") for axis in packed], axis=1
    )


def test_points_know_where_they_were(drawn):
    start = np.zeros((40, 2))
    chart = scatter(2, start=start, stages=("before", "<after>"), links=np.array([[0, 20]]))
    figure, _ = drawn(chart)
    assert list(figure.layout.meta["stages"]) == ["before", "<after>"]
    moved = [t for t in figure.data if t.meta]
    assert [len(unpacked(t)) for t in moved] == [3, 20, 20]
    assert np.nanmax(np.abs(unpacked(moved[1]))) == 0
    still, _ = drawn(scatter(2, start=scatter(2).points, stages=("a", "b")))
    assert still.layout.meta is None
    with pytest.raises(ValueError, match="that were at"):
        scatter(2, start=start[:3])


def test_items_under_two_marks_go_out_from_the_first(drawn):
    items = np.tile(np.array([f"{k}.png" for k in range(20)]), 2)
    chart = scatter(3, people=items, items=items)
    start, stages = chart.rolled()
    assert stages == ("highres", "highres@32")
    np.testing.assert_array_equal(start[20:], chart.points[:20])
    np.testing.assert_array_equal(start[:20], chart.points[:20])
    figure, _ = drawn(chart)
    still, moving = (t for t in figure.data if t.hovertext)
    assert still.meta is None
    first = np.stack([still[axis] for axis in "xyz"], axis=1)
    np.testing.assert_array_equal(unpacked(moving), first)
    twice = np.array(["same.png"] * 40)
    assert scatter(3, people=twice, items=twice).rolled() is None


def test_the_legend_lists_marks_and_not_people(drawn):
    figure, ax = drawn(scatter())
    listed = [t.name for t in figure.data if t.showlegend is not False]
    assert listed == ["highres", "highres@32", "grey: 2 of 10 people"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["highres", "highres@32"]


def test_links_join_the_two_points_of_each_pair(drawn):
    chart = scatter(links=np.array([[0, 20], [3, 23]]))
    figure, _ = drawn(chart)
    lines = next(t for t in figure.data if t.mode == "lines")
    np.testing.assert_array_equal(lines.x[:2], chart.points[[0, 20], 0])
    assert np.isnan(lines.x[2])
    np.testing.assert_array_equal(lines.z[3:5], chart.points[[3, 23], 2])


def test_markup_in_names_reaches_neither_hover_nor_axes(drawn):
    figure, _ = drawn(scatter(group_names=("<img src=x onerror=alert(1)>",) * 10, axes=("<b>", "y", "z")))
    assert "<img" not in figure.to_json()
    assert "<b>" not in figure.to_json()


def test_an_index_without_a_name_is_an_error():
    with pytest.raises(ValueError, match="a group has no name"):
        scatter(group_names=("only one",))


def test_axes_must_fit_the_points():
    with pytest.raises(ValueError, match="2 axes for points of 3 dimensions"):
        scatter(axes=("a", "b"))


def test_hover_needs_a_text_a_point():
    with pytest.raises(ValueError, match="3 hover texts for 40 points"):
        scatter(hover=np.array(["a", "b", "c"]))


def test_arrays_that_do_not_fit_are_an_error():
    with pytest.raises(TypeError, match=r"Scatter\.groups"):
        scatter(groups=np.zeros(7, dtype=int))


def test_values_are_coloured_on_one_scale_under_both_marks(drawn):
    values = np.linspace(0.2, 0.6, 40)
    figure, ax = drawn(scatter(2, values=values, value_label="change", value_range=(0.0, 1.0)))
    for mark in (0, 1):
        trace = next(t for t in figure.data if t.hovertext and t.legendgroup == f"mark{mark}")
        np.testing.assert_array_equal(trace.marker.color, values[20 * mark : 20 * mark + 20])
        assert trace.marker.coloraxis == "coloraxis"
    bar = figure.layout.coloraxis
    assert (bar.cmin, bar.cmax, bar.colorbar.title.text) == (0.0, 1.0, "change")
    assert ax.figure.axes[1].get_ylabel() == "change"
    first, last = (ax.collections[mark].get_facecolors() for mark in (0, 1))
    assert not np.allclose(first[0], last[-1])


def test_without_a_range_the_bar_spans_the_values_even_a_single_one(drawn):
    figure, _ = drawn(scatter(3, values=np.linspace(-1, 3, 40)))
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-1.0, 3.0)
    figure, _ = drawn(scatter(2, values=np.full(40, 2.0)))
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (2.0, 3.0)


def test_names_stand_amid_their_points_as_they_are_written(drawn):
    names = ("<b>x", "$y$", "nobody")
    chart = scatter(2, named=True, groups=np.arange(40) % 2, group_names=names)
    figure, ax = drawn(chart)
    notes = figure.layout.annotations
    assert [note.text for note in notes] == ["&lt;b&gt;x", "$y$"]
    for g, note in enumerate(notes):
        middle = np.median(chart.points[chart.groups == g], axis=0)
        np.testing.assert_allclose([note.x, note.y], middle)
        np.testing.assert_allclose(ax.texts[g].get_position(), middle)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_axes_can_be_those_of_another_chart(drawn, dimensions):
    figure, ax = drawn(scatter(dimensions, ranges=((-9.0, 9.0), (-8.0, 8.0), (-7.0, 7.0))[:dimensions]))
    page = figure.layout.scene if dimensions == 3 else figure.layout
    assert page.xaxis.range == (-9.0, 9.0)
    assert page.yaxis.range == (-8.0, 8.0)
    assert ax.get_xlim() == (-9.0, 9.0)
    assert ax.get_ylim() == (-8.0, 8.0)


@pytest.mark.parametrize("values", [np.zeros(3), np.full(40, np.nan)])
def test_colours_need_a_number_a_point(values):
    with pytest.raises(ValueError, match="a number for each of 40 points"):
        scatter(values=values)


def test_ranges_must_fit_the_axes():
    with pytest.raises(ValueError, match="ranges of 2 axes for 3"):
        scatter(ranges=((0.0, 1.0), (0.0, 1.0)))


def test_names_are_not_written_in_three_dimensions():
    with pytest.raises(ValueError, match="in two dimensions only"):
        scatter(3, named=True)


def test_two_clouds_of_the_same_items_are_joined_and_share_a_frame():
    rng = np.random.default_rng(0)
    clouds, items = tuple(rng.normal(size=(2, 30, 3))), np.array([f"item{k}" for k in range(30)])
    within = np.concatenate([*clouds, [[9.0, 9.0, 9.0]]])
    chart = Scatter.of_two("t", clouds, ("a", "b"), items, within=within, links=5, note="n")
    np.testing.assert_array_equal(chart.points[chart.marks == 1], clouds[1])
    np.testing.assert_array_equal(chart.links, [[k, k + 30] for k in range(5)])
    assert chart.hover[31] == "item1, b"
    assert all(low < within[:, k].min() and high > 9.0 for k, (low, high) in enumerate(chart.ranges))
