"""Scatter: colour is who, symbol is under which condition."""

import numpy as np
import pytest

from embedlab.charts import Scatter


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
        np.testing.assert_array_equal(got, chart.points[chart.marks == mark])
        assert trace.marker.symbol == symbol
    assert len(ax.collections) == 2


def test_one_person_has_one_colour_under_both_marks(drawn):
    figure, _ = drawn(scatter())
    first, second = (t for t in figure.data if t.hovertext)
    assert list(first.marker.color) == list(second.marker.color)
    assert len(set(first.marker.color)) == 10


def test_the_legend_lists_marks_and_not_people(drawn):
    figure, ax = drawn(scatter())
    assert [t.name for t in figure.data if t.showlegend is not False] == ["highres", "highres@32"]
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
