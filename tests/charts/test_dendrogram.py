"""Dendrogram: nested groups, each joined at its distance."""

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from embedlab.charts import Dendrogram, model_colours
from embedlab.charts.base import MARKER, colour

# Two twins, and two loners of which one is nearer.
DISTANCES = np.array([[0, 0.4, 0.1, 0.9], [0.4, 0, 0.4, 0.9], [0.1, 0.4, 0, 0.9], [0.9, 0.9, 0.9, 0]])
MERGES = hierarchy.linkage(squareform(DISTANCES), "average")


def dendrogram(**changes):
    given = {"title": "t", "labels": ("a", "b", "a2", "z"), "merges": MERGES, "xlabel": "distance"}
    return Dendrogram(**(given | changes))


def test_leaves_that_merge_first_stand_together():
    places = dendrogram().leaves()
    assert sorted(places) == [0, 1, 2, 3]
    assert abs(places.index(0) - places.index(2)) == 1


def test_each_merge_is_a_line_that_turns_at_its_distance(drawn):
    figure, ax = drawn(dendrogram())
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    np.testing.assert_allclose([line.x[1] for line in lines], [0.1, 0.4, 0.9])
    np.testing.assert_allclose([line.x[2] for line in lines], [0.1, 0.4, 0.9])
    np.testing.assert_allclose([line.get_xdata()[1] for line in ax.lines], [0.1, 0.4, 0.9])


def test_the_tree_is_the_one_that_scipy_draws(drawn):
    figure, _ = drawn(dendrogram())
    theirs = hierarchy.dendrogram(MERGES, no_plot=True)
    ours = sorted(tuple(map(float, t.x)) for t in figure.data if t.mode == "lines")
    assert [sorted(line) for line in ours] == [sorted(line) for line in sorted(map(tuple, theirs["dcoord"]))]


def test_branches_begin_where_their_groups_were_joined(drawn):
    """The second merge's branch to the twins starts at their own merge, halfway between them."""
    figure, _ = drawn(dendrogram())
    first, second = (t for t in figure.data[:2])
    ends = {(float(second.x[k]), float(second.y[k])) for k in (0, 3)}
    assert (0.1, float(np.mean([first.y[0], first.y[3]]))) in ends


def test_names_stand_in_the_order_of_the_leaves(drawn):
    figure, ax = drawn(dendrogram(labels=("a", "b", "<c>", "z$")))
    order = dendrogram().leaves()
    assert list(figure.layout.yaxis.ticktext) == [("a", "b", "&lt;c&gt;", "z$")[k] for k in order]
    assert [t.get_text() for t in ax.get_yticklabels()] == [("a", "b", "<c>", r"z\$")[k] for k in order]


def test_a_model_keeps_its_colour(drawn):
    with model_colours(["z", "a"]):
        figure, _ = drawn(dendrogram())
        shades = dict(zip(figure.layout.yaxis.ticktext, figure.data[-1].marker.color, strict=True))
        assert shades["z"] == colour("z")
        assert shades["a"] == colour("a")
        assert shades["b"] == MARKER


def test_equal_leaves_at_distance_zero_draw(drawn):
    drawn(dendrogram(labels=("a", "b"), merges=np.array([[0.0, 1.0, 0.0, 2.0]])))


@pytest.mark.parametrize("merges", [MERGES[:2], MERGES[[0, 0, 1]]])
def test_merges_must_make_one_tree(merges):
    with pytest.raises(ValueError, match="one tree"):
        dendrogram(merges=merges)


def test_merges_must_have_four_columns():
    with pytest.raises(TypeError, match="merges"):
        dendrogram(merges=MERGES[:, :3])
