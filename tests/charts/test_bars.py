"""Bars: numbers with intervals, each beside its null; a missing one says so."""

import numpy as np
import pytest

from embedlab.charts import Bars, BarSeries
from embedlab.charts.base import PALETTE


def bars(*series, **changes):
    return Bars(**({"title": "t", "ylabel": "TAR", "categories": ("a", "b"), "series": series} | changes))


def test_heights_and_intervals_are_the_numbers(drawn):
    one = BarSeries("s", np.array([0.5, 0.7]), low=np.array([0.4, 0.65]), high=np.array([0.7, 0.8]))
    figure, ax = drawn(bars(one))
    assert list(figure.data[0].y) == [0.5, 0.7]
    np.testing.assert_allclose(figure.data[0].error_y.array, [0.2, 0.1])
    np.testing.assert_allclose(figure.data[0].error_y.arrayminus, [0.1, 0.05])
    assert [patch.get_height() for patch in ax.patches] == [0.5, 0.7]


def test_a_missing_value_is_no_bar_and_says_na(drawn):
    figure, ax = drawn(bars(BarSeries("s", np.array([np.nan, 0.7]))))
    assert list(figure.data[0].y) == [0.7]
    assert list(figure.data[0].x) == [1.0]
    said = next(t for t in figure.data if t.type == "scatter" and t.mode == "text")
    assert (list(said.text), list(said.x)) == (["n/a"], [0.0])
    assert "n/a" in [text.get_text() for text in ax.texts]
    assert len(ax.patches) == 1


@pytest.mark.parametrize("nulls", [{"b": 0.1}, np.array([np.nan, 0.1]), [float("nan"), 0.1]])
def test_a_null_is_a_tick_across_its_own_category(drawn, nulls):
    figure, _ = drawn(bars(BarSeries("s", np.array([0.5, 0.7])), nulls=nulls))
    null = next(t for t in figure.data if t.name == "null")
    assert list(null.y[:2]) == [0.1, 0.1]
    assert list(null.x[:2]) == [0.6, 1.4]


def test_without_nulls_there_is_no_tick(drawn):
    figure, _ = drawn(bars(BarSeries("s", np.array([0.5, 0.7]))))
    assert "null" not in [t.name for t in figure.data]


def test_bars_of_one_group_stand_side_by_side_in_the_models_colours(drawn):
    values = np.array([0.5, 0.7])
    figure, _ = drawn(bars(BarSeries("x", values, model="m"), BarSeries("y", values, model="n")))
    first, second = figure.data
    assert np.all(np.asarray(second.x) - np.asarray(first.x) >= first.width)
    assert [first.marker.color, second.marker.color] == list(PALETTE[:2])


def test_two_series_of_one_model_differ_in_hatching(drawn):
    values = np.array([0.5, 0.7])
    figure, _ = drawn(bars(BarSeries("x", values, model="m"), BarSeries("y", values, model="m")))
    assert figure.data[0].marker.pattern.shape is None
    assert figure.data[1].marker.pattern.shape == "/"
    # plotly would draw the hatching on nothing at all, which is white on white.
    assert figure.data[1].marker.pattern.bgcolor == figure.data[1].marker.color


def test_two_categories_of_one_name_stay_two(drawn):
    figure, _ = drawn(bars(BarSeries("s", np.array([0.5, 0.7])), categories=("a", "a")))
    assert list(figure.data[0].x) == [0.0, 1.0]
    assert figure.layout.xaxis.ticktext == ("a", "a")


def test_arrays_must_have_a_number_a_category():
    with pytest.raises(ValueError, match="for 2 categories"):
        bars(BarSeries("s", np.zeros(3)))
    with pytest.raises(ValueError, match="nulls for 2 categories"):
        bars(nulls=np.zeros(1))
    with pytest.raises(ValueError, match="which is no category"):
        bars(nulls={"c": 0.0})
    with pytest.raises(ValueError, match="interval ends"):
        BarSeries("s", np.zeros(2), np.zeros(1), np.zeros(2))
    with pytest.raises(ValueError, match="one end of its intervals"):
        BarSeries("s", np.zeros(2), low=np.zeros(2))


def test_long_names_stand_upright_so_that_none_is_hidden():
    names = tuple(f"highlow144 to lowres144 on highres_eval@{k}" for k in (8, 16, 32))
    long = Bars(title="t", ylabel="y", categories=names, series=(BarSeries("a", np.ones(3)),))
    axis = long.plotly().layout.xaxis
    assert axis.tickangle == -90
    assert [text.replace("<br>", " ") for text in axis.ticktext] == list(names)
    short = Bars(title="t", ylabel="y", categories=("a", "b"), series=(BarSeries("a", np.ones(2)),))
    assert short.plotly().layout.xaxis.tickangle is None
