"""Colours mean one thing each; text from data shows as it is written."""

import itertools
from typing import get_args

import numpy as np
import pytest

from embedlab.charts import (
    PALETTE,
    Bars,
    BarSeries,
    Curve,
    Curves,
    Histogram,
    Role,
    Scatter,
    Tiles,
    colour,
    model_colours,
)
from embedlab.charts.base import (
    DIFFERENT,
    NULL,
    ROLES,
    SAME,
    SERIES,
    blend,
    cell,
    many_colours,
    mpl_legend,
    mpl_plain,
    plain,
    series_colours,
    short,
    visible,
)


def test_a_model_has_one_colour_wherever_it_stands():
    with model_colours(["a", "b", "c"]):
        assert [colour("c"), colour("a")] == [PALETTE[2], PALETTE[0]]
        assert series_colours(["c", "a"], [None, None]) == [(PALETTE[2], 0), (PALETTE[0], 0)]


def test_a_model_that_was_not_named_gets_a_free_colour_and_keeps_it():
    with model_colours(["a"]):
        assert colour("stranger") == colour("stranger") == PALETTE[1]


def test_colours_of_a_block_end_with_the_block():
    with model_colours(["a", "b"]):
        inside = colour("b")
    assert inside == PALETTE[1]
    assert colour("b") == PALETTE[0]


def test_outside_a_block_the_models_of_one_chart_differ():
    shades = [shade for shade, _ in series_colours(["m", "n", "m"], [None] * 3)]
    assert shades == [PALETTE[0], PALETTE[1], PALETTE[0]]


def test_every_role_has_a_colour_of_its_own():
    assert set(ROLES) == set(get_args(Role))
    assert len(set(ROLES.values())) == len(ROLES)
    looks = series_colours([""] * 5, ["genuine", "impostor", "null", "genuine", "impostor"])
    assert looks == [(SAME, 0), (DIFFERENT, 0), (NULL, 0), (SAME, 1), (DIFFERENT, 1)]


def test_a_series_without_a_role_takes_no_colour_of_a_role_beside_it():
    roles = [*ROLES, *[None] * (len(SERIES) - 4)]
    looks = series_colours([""] * len(roles), roles)
    assert {repeat for _, repeat in looks} == {0}


def test_a_series_is_a_models_or_has_a_role():
    with pytest.raises(ValueError, match="its model, 'm', or of its role, 'null'"):
        series_colours(["m"], ["null"])


def bars(names, roles):
    values = np.ones(2)
    series = tuple(BarSeries(name, values, role=role) for name, role in zip(names, roles, strict=True))
    return Bars(title="t", ylabel="y", categories=("a", "b"), series=series)


def curves(names, roles):
    x = np.arange(3.0)
    lines = tuple(Curve(name, x, x + k, role=roles[k]) for k, name in enumerate(names))
    return Curves(title="t", xlabel="x", ylabel="y", curves=lines)


def histogram(names, roles):
    found = {name: role for name, role in zip(names, roles, strict=True) if role}
    counts = dict.fromkeys(names, np.array([1, 2]))
    return Histogram(title="t", xlabel="x", edges=np.arange(3.0), series=counts, roles=found)


@pytest.mark.parametrize("chart", [bars, curves, histogram])
@pytest.mark.parametrize(
    "roles", [(None, None), ("before", "after"), ("null", "genuine"), (None, "impostor")]
)
def test_colours_follow_roles_and_never_words(chart, roles, drawn):
    """Such names were once taken for roles: of pairs of one person, and of a model."""
    with model_colours(["m"]):
        pictures = [
            drawn(chart(names, roles))[0]
            for names in (("first", "second"), ("matched", "not matched"), ("m", "null of two people"))
        ]
    shades = [[(trace.marker.color or trace.line.color) for trace in one.data] for one in pictures]
    assert shades[0] == shades[1] == shades[2]
    assert len(set(shades[0])) == 2
    assert PALETTE[0] not in shades[0]
    for shade, role in zip(shades[0], roles, strict=True):
        assert role is None or shade == ROLES[role]


def test_no_series_takes_a_colour_that_belongs_to_models():
    shades = [shade for shade, _ in series_colours([""] * 20, [None] * 20)]
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


@pytest.mark.parametrize(("entries", "inside"), [(6, True), (36, False)])
def test_a_long_key_stands_below_the_axes(entries, inside):
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(8, 5))
    for k in range(entries):
        ax.plot([0, 1], [0, k], label=f"probe in model{k}")
    legend = mpl_legend(ax)
    fig.canvas.draw()
    top = legend.get_window_extent().y1
    assert bool(top > ax.get_window_extent().y0) is inside
    plt.close(fig)
