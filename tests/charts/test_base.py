"""Colours mean one thing each; text from data shows as it is written."""

import itertools

import numpy as np
import pytest

from embedlab.charts import PALETTE, Scatter, Tiles, colour, model_colours
from embedlab.charts.base import (
    DIFFERENT,
    NULL,
    SAME,
    SERIES,
    blend,
    cell,
    many_colours,
    mpl_plain,
    plain,
    series_colours,
    short,
    visible,
)


def test_a_model_has_one_colour_wherever_it_stands():
    with model_colours(["a", "b", "c"]):
        assert [colour("c"), colour("a")] == [PALETTE[2], PALETTE[0]]
        assert series_colours(["x", "y"], ["c", "a"]) == [(PALETTE[2], 0), (PALETTE[0], 0)]
        assert series_colours(["b"])[0][0] == PALETTE[1]


def test_a_model_that_was_not_named_gets_a_free_colour_and_keeps_it():
    with model_colours(["a"]):
        assert colour("stranger") == colour("stranger") == PALETTE[1]


def test_colours_of_a_block_end_with_the_block():
    with model_colours(["a", "b"]):
        inside = colour("b")
    assert inside == PALETTE[1]
    assert colour("b") == PALETTE[0]


def test_outside_a_block_the_models_of_one_chart_differ():
    shades = [shade for shade, _ in series_colours(["1", "2", "3"], ["m", "n", "m"])]
    assert shades == [PALETTE[0], PALETTE[1], PALETTE[0]]


def test_same_different_and_null_have_colours_of_their_own():
    names = ["intra: two images of one person", "inter: two people", "null", "genuine", "impostor"]
    assert [s for s, _ in series_colours(names)] == [SAME, DIFFERENT, NULL, SAME, DIFFERENT]
    assert [n for _, n in series_colours(names)] == [0, 0, 0, 1, 1]


def test_no_series_takes_a_colour_that_belongs_to_models():
    shades = [shade for shade, _ in series_colours([f"layer {i}" for i in range(20)])]
    assert not set(shades) & set(PALETTE)
    assert {SAME, DIFFERENT, NULL}.isdisjoint({*PALETTE, *SERIES})


def test_neighbours_among_many_groups_differ_in_colour():
    colours = many_colours(100)
    assert len(colours) == 100
    assert all(a != b for a, b in itertools.pairwise(colours))
    assert len(set(colours)) == 24


def test_markup_in_names_is_shown_and_not_obeyed():
    assert plain("<b>x</b>\n& y") == "&lt;b&gt;x&lt;/b&gt; &amp; y"
    assert mpl_plain("$\\frac$") == r"\$\frac\$"
    assert mpl_plain("_hidden") == " _hidden"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[("x", "x"), (2500, "2,500"), (np.int64(3), "3"), (0.123456, "0.1235"), (float("nan"), "n/a")],
        *[(None, "n/a"), (True, "yes"), (0.0, "0"), (1234567.0, "1,234,567"), (2e-7, "2e-07")],
    ],
)
def test_table_cells_read_well(value, text):
    assert cell(value) == text


def test_infinity_is_written_with_its_sign():
    assert [short(float("inf")), short(float("-inf"))] == ["∞", "-∞"]


def test_blend_hits_its_anchors_and_shows_missing_values_in_grey():
    rgb = blend(np.array([0.0, 0.5, 1.0, np.nan]), ("#000000", "#0000FF"))
    assert rgb.tolist() == [[0, 0, 0], [0, 0, 128], [0, 0, 255], [212, 212, 212]]


def test_charts_say_which_axes_they_need():
    index = np.zeros(2, dtype=int)
    names = {"group_names": ("p",), "marks": index, "mark_names": ("m",), "groups": index}
    assert Scatter(title="", points=np.zeros((2, 3)), axes=("x", "y", "z"), **names).projection == "3d"
    assert Scatter(title="", points=np.zeros((2, 2)), axes=("x", "y"), **names).projection is None
    assert Tiles(title="", tiles=(), columns=1).projection is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[0m", r"a\u001b[0m"),
        ("\u202eevil\u2069", r"\u202eevil\u2069"),
        ("\udcff\x00\x7f\x85", r"\udcff\u0000\u007f\u0085"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("سلام\u200f, 日本, é", "سلام\u200f, 日本, é"),
    ],
)
def test_what_steers_is_shown_and_what_is_read_stays(text, shown):
    assert visible(text) == shown
