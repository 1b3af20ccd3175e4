"""Heatmap: numbers as colours; a cell without a number is grey."""

import numpy as np
import pytest

from embedlab.charts import Heatmap
from embedlab.charts.base import DIVERGING, NO_VALUE, VIRIDIS, blend, contrast, to_hex

VALUES = np.array([[0.5, np.nan, -2.0], [1.0, 0.0, 0.25]])


def heatmap(**changes):
    return Heatmap(
        **({"title": "t", "xlabels": ("a", "b", "c"), "ylabels": ("r", "s"), "values": VALUES} | changes)
    )


def test_the_numbers_are_in_the_figure_as_they_are(drawn):
    figure, _ = drawn(heatmap())
    np.testing.assert_array_equal(figure.data[0].z, VALUES)


def test_a_missing_value_is_grey_in_both_libraries_and_no_zero(drawn):
    figure, ax = drawn(heatmap())
    grey = next(t for t in figure.data if t.type == "heatmap" and t.name == "no value")
    np.testing.assert_array_equal(np.isfinite(np.array(grey.z, float)), np.isnan(VALUES))
    assert grey.colorscale[0][1] == NO_VALUE
    assert figure.data[0].hovertext[0][1].endswith("no value")
    image = ax.images[0]
    assert to_hex(image.cmap(image.norm(image.get_array()))[0, 1, :3]) == NO_VALUE


def test_a_whole_matrix_has_no_grey_layer(drawn):
    figure, _ = drawn(heatmap(values=np.ones((2, 3))))
    assert len(figure.data) == 1


def test_diverging_colours_are_even_on_both_sides_of_zero(drawn):
    figure, ax = drawn(heatmap(diverging=True))
    assert (figure.data[0].zmin, figure.data[0].zmax) == (-2, 2)
    assert ax.images[0].get_clim() == (-2, 2)


def test_nothing_is_written_into_a_cell_without_a_value(drawn):
    figure, ax = drawn(heatmap(text=np.full((2, 3), "0.0")))
    (written,) = (trace for trace in figure.data if trace.name == "text")
    assert (0, 1) not in zip(written.y, written.x, strict=True)
    assert len(written.text) == 5
    assert [text.get_text() for text in ax.texts].count("0.0") == 5


@pytest.mark.parametrize("diverging", [True, False])
def test_a_matrix_without_any_value_draws(drawn, diverging):
    drawn(heatmap(values=np.full((2, 3), np.nan), diverging=diverging))


def test_two_columns_of_one_name_stay_two(drawn):
    figure, _ = drawn(heatmap(xlabels=("a", "a", "<b>")))
    assert figure.layout.xaxis.ticktext == ("a", "a", "&lt;b&gt;")
    assert len(figure.data[0].x) == 3


def test_labels_and_text_must_fit():
    with pytest.raises(ValueError, match="2 rows and 1 columns"):
        heatmap(xlabels=("a",))
    with pytest.raises(ValueError, match="text of shape"):
        heatmap(text=np.full((1, 1), "x"))


def test_a_span_makes_pictures_comparable(drawn):
    figure, ax = drawn(heatmap(span=(0.0, 100.0)))
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 100)
    assert ax.images[0].get_clim() == (0, 100)


def test_a_text_may_have_two_lines_and_gets_room_for_them(drawn):
    one, _ = drawn(
        heatmap(
            values=np.ones((9, 1)), xlabels=("a",), ylabels=tuple("rstuvwxyz"), text=np.full((9, 1), "<1")
        )
    )
    two, ax = drawn(
        heatmap(
            values=np.ones((9, 1)),
            xlabels=("a",),
            ylabels=tuple("rstuvwxyz"),
            text=np.full((9, 1), "<1\n[0, 2]"),
        )
    )
    assert two.data[1].text[0] == "&lt;1<br>[0, 2]"
    assert "<1\n[0, 2]" in [text.get_text() for text in ax.texts]
    assert two.layout.height > one.layout.height


def test_a_warning_is_hatched_in_both_libraries_and_in_the_key(drawn):
    mask = np.array([[True, False, False], [False, False, True]])
    figure, ax = drawn(heatmap(hatched=mask, hatched_label="FAR over 3 × <that asked>"))
    lines = figure.data[-1]
    assert lines.name == "FAR over 3 × &lt;that asked&gt;"
    x, y = (np.array(side, float).reshape(-1, 3)[:, :2] for side in (lines.x, lines.y))
    cells = np.stack([np.rint(y.mean(axis=1)), np.rint(x.mean(axis=1))], axis=1)
    np.testing.assert_array_equal(np.unique(cells, axis=0), np.argwhere(mask))
    assert (np.abs(x - cells[:, 1:]) <= 0.5).all()
    assert (np.abs(y - cells[:, :1]) <= 0.5).all()
    patches = [patch for patch in ax.patches if patch.get_hatch()]
    assert [(patch.get_y() + 0.5, patch.get_x() + 0.5) for patch in patches] == [(0, 0), (1, 2)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["FAR over 3 × <that asked>"]


def test_nothing_is_hatched_where_nothing_is_asked(drawn):
    figure, ax = drawn(heatmap(hatched=np.zeros((2, 3), bool), hatched_label="x", values=np.ones((2, 3))))
    assert len(figure.data) == 1
    assert not ax.patches
    with pytest.raises(ValueError, match=r"hatched of shape \(3, 2\) for values of shape \(2, 3\)"):
        heatmap(hatched=np.zeros((3, 2), bool))


@pytest.mark.parametrize("diverging", [True, False])
def test_every_colour_of_the_scale_has_an_ink_of_enough_contrast(drawn, diverging):
    values = np.linspace(-1, 1, 512)[None]
    labels = tuple(map(str, range(512)))
    chart = heatmap(
        values=values, xlabels=labels, ylabels=("r",), text=np.full((1, 512), "x"), diverging=diverging
    )
    figure, ax = drawn(chart)
    (written,) = (trace for trace in figure.data if trace.name == "text")
    ground = blend((values + 1) / 2, DIVERGING if diverging else VIRIDIS)[0]
    for inks in (written.textfont.color, [text.get_color() for text in ax.texts if text.get_text() == "x"]):
        ink = np.array([[int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in inks])
        assert contrast(ink, ground).min() >= 4.5
    image = ax.images[0]
    there = 255 * image.cmap(image.norm(image.get_array()))[0, :, :3]
    assert np.abs(there - ground).max() < 3
