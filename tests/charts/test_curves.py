"""Curves: lines and bands on linear, logarithmic and probit axes."""

import numpy as np
import pytest
from scipy.stats import norm

from embedlab.charts import Curve, Curves
from embedlab.charts.base import PALETTE
from embedlab.charts.curves import probit_ticks


def curves(*lines, **changes):
    return Curves(**({"title": "t", "xlabel": "FAR", "ylabel": "FRR", "curves": lines} | changes))


def test_a_line_runs_where_its_numbers_say(drawn):
    x, y = np.array([0.1, 0.2, 0.4]), np.array([1.0, 0.5, 0.25])
    figure, ax = drawn(curves(Curve("a", x, y)))
    np.testing.assert_array_equal(figure.data[0].x, x)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), y)


def test_normal_scores_give_a_straight_line_on_probit_axes(drawn):
    threshold = np.linspace(-1, 3, 50)
    far, frr = norm.sf(threshold), norm.cdf(threshold, loc=2)
    figure, ax = drawn(curves(Curve("det", far, frr), xscale="probit", yscale="probit"))
    np.testing.assert_allclose(figure.data[0].x, -threshold, atol=1e-9)
    np.testing.assert_allclose(figure.data[0].y, threshold - 2, atol=1e-9)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), -threshold, atol=1e-9)


def test_probit_ticks_are_rates_a_person_can_read(drawn):
    places, texts = probit_ticks(0.0005, 0.6)
    assert texts == ["0.1 %", "1 %", "5 %", "20 %", "50 %"]
    np.testing.assert_allclose(norm.cdf(places), [0.001, 0.01, 0.05, 0.2, 0.5])
    line = Curve("det", np.array([0.001, 0.5]), np.array([0.5, 0.001]))
    figure, ax = drawn(curves(line, xscale="probit", yscale="probit"))
    assert "0.1 %" in figure.layout.xaxis.ticktext
    assert "0.1 %" in [tick.get_text() for tick in ax.get_xticklabels()]


@pytest.mark.parametrize("scale", ["log", "probit"])
def test_what_an_axis_cannot_show_is_left_out_and_not_drawn_at_its_edge(drawn, scale):
    figure, _ = drawn(curves(Curve("a", np.array([0.0, 0.01, 0.1]), np.array([0.5, 0.4, 0.3])), xscale=scale))
    assert np.isnan(figure.data[0].x).tolist() == [True, False, False]


def test_an_interval_is_a_band_from_low_to_high(drawn):
    x, y = np.array([0.0, 1.0]), np.array([0.5, 0.6])
    figure, ax = drawn(curves(Curve("a", x, y, low=y - 0.1, high=y + 0.2)))
    band = figure.data[0]
    np.testing.assert_allclose(band.y, [0.7, 0.8, 0.5, 0.4])
    assert len(ax.collections) == 1


def test_a_band_that_reaches_zero_ends_at_the_end_of_a_log_axis(drawn):
    x, y = np.array([1.0, 2.0]), np.array([0.1, 0.2])
    figure, _ = drawn(curves(Curve("a", x, y, low=np.zeros(2), high=y), yscale="log"))
    assert np.isfinite(figure.data[0].y).all()
    assert min(figure.data[0].y) == pytest.approx(0.1 / 1.1)


def test_two_lines_of_one_model_share_the_colour_and_differ_in_dash(drawn):
    x = np.array([0.0, 1.0])
    figure, _ = drawn(
        curves(Curve("a", x, x, model="m"), Curve("b", x, x, model="m"), Curve("c", x, x, model="n"))
    )
    assert [t.line.color for t in figure.data] == [PALETTE[0], PALETTE[0], PALETTE[1]]
    assert [t.line.dash for t in figure.data] == ["solid", "dash", "solid"]


def test_the_diagonal_spans_both_axes(drawn):
    x = np.array([0.1, 1.0])
    figure, _ = drawn(curves(Curve("a", x, x), diagonal=True))
    assert list(figure.data[-1].x) == list(figure.data[-1].y) == [0.1, 1.0]


def test_a_chart_without_curves_draws(drawn):
    figure, _ = drawn(curves(xscale="probit", diagonal=True))
    assert len(figure.data) == 0


def test_arrays_of_a_curve_must_agree():
    with pytest.raises(ValueError, match="values for x of"):
        Curve("a", np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="one end of an interval"):
        Curve("a", np.zeros(2), np.zeros(2), low=np.zeros(2))
