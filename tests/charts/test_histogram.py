"""Histogram: counts become densities of area one; what has no count has no height."""

import numpy as np
import pytest

from embedlab.charts import Histogram
from embedlab.charts.base import DIFFERENT, MARKER, SAME

EDGES = np.array([0.0, 0.5, 1.0, 2.0])


def histogram(**changes):
    series = {"intra": np.array([3, 1, 0]), "inter": np.array([0, 10, 30])}
    return Histogram(
        **({"title": "t", "xlabel": "cosine distance", "edges": EDGES, "series": series} | changes)
    )


def test_each_series_has_area_one_of_its_own(drawn):
    chart = histogram()
    figure, _ = drawn(chart)
    for heights in chart.heights().values():
        assert np.sum(heights * np.diff(EDGES)) == pytest.approx(1)
    np.testing.assert_allclose(figure.data[0].y, [1.5, 0.5, 0, 0])
    np.testing.assert_array_equal(figure.data[0].x, EDGES)


def test_counts_are_drawn_as_they_are_where_asked(drawn):
    figure, ax = drawn(histogram(density=False))
    assert list(figure.data[1].y) == [0, 10, 30, 30]
    assert ax.get_ylabel() == "count"


def test_an_empty_series_is_named_as_empty_and_never_drawn_as_zero(drawn):
    figure, _ = drawn(histogram(series={"intra": np.zeros(3, dtype=int)}))
    assert figure.data[0].name == "intra (none)"
    assert np.isnan(figure.data[0].y).all()


def test_same_and_different_people_have_their_colours(drawn):
    figure, _ = drawn(histogram(roles={"intra": "genuine", "inter": "impostor"}))
    assert [trace.line.color for trace in figure.data] == [SAME, DIFFERENT]


def test_a_role_is_that_of_a_series():
    with pytest.raises(ValueError, match="a role for 'outer', which is no series"):
        histogram(roles={"outer": "null"})


def test_lines_stand_where_they_belong_and_differ_in_dashes(drawn):
    figure, ax = drawn(histogram(lines={"m": 0.7, "EER": 0.9}))
    shapes = figure.layout.shapes
    assert [(s.x0, s.x1, s.name) for s in shapes] == [(0.7, 0.7, "m"), (0.9, 0.9, "EER")]
    assert {s.line.color for s in shapes} == {MARKER}
    assert shapes[0].line.dash != shapes[1].line.dash
    assert len(ax.lines) == 2


def test_the_axis_reaches_as_far_as_anything_stands():
    low, high = histogram(series={"a": np.array([0, 4, 0])}, lines={"far": 1.5}).reach()
    assert low == pytest.approx(0.48)
    assert high == pytest.approx(1.52)


def test_counts_and_bins_must_agree():
    with pytest.raises(ValueError, match="counts for 3 bins"):
        histogram(series={"intra": np.zeros(4)})
