"""What a picture says for whoever does not see it is read off its numbers."""

import numpy as np
import pytest

from embedlab.charts import (
    Bars,
    BarSeries,
    Curve,
    Curves,
    Dendrogram,
    Face,
    Faces,
    Heatmap,
    Histogram,
    Scatter,
    Table,
    Tile,
    Tiles,
    alt,
)

X = np.array([1.0, 2.0, 3.0])
SAID = {
    "the highest and the lowest bar": (
        Bars(
            title="t",
            ylabel="y",
            categories=("a", "b", "c"),
            series=(BarSeries("m", np.array([0.5, 0.25, np.nan])), BarSeries("n", np.full(3, np.nan))),
        ),
        "m 0.5 for a, 0.25 for b; n has no value",
    ),
    "both ends of lines, and how many more there are": (
        Curves(
            title="t",
            xlabel="x",
            ylabel="y",
            curves=tuple(Curve(f"m{k}", X, X * k) for k in range(5)),
            xticks={1.0: "8 px"},
        ),
        "m0 0 at 8 px, 0 at 3; m1 1 at 8 px, 3 at 3; m2 2 at 8 px, 6 at 3; and 2 more",
    ),
    "a bar that has no other once": (
        Bars(title="t", ylabel="y", categories=("a", "b"), series=(BarSeries("m", np.array([np.nan, 0.5])),)),
        "m 0.5 for b",
    ),
    "a point that has no other once": (
        Curves(title="t", xlabel="x", ylabel="y", curves=(Curve("m", X, np.array([np.nan, 4.0, np.nan])),)),
        "m 4 at 2",
    ),
    "extreme cells and warnings": (
        Heatmap(
            title="t",
            xlabels=("a", "b"),
            ylabels=("r", "s"),
            values=np.array([[1.0, np.nan], [0.5, 3.0]]),
            hatched=np.array([[False, False], [False, True]]),
            hatched_label="over 3 × the FAR",
        ),
        "lowest 0.5 (s, a); highest 3 (s, b); 1 hatched: over 3 × the FAR",
    ),
    "a matrix without a value": (
        Heatmap(title="t", xlabels=("a",), ylabels=("r",), values=np.array([[np.nan]])),
        "no cell has a value",
    ),
    "where half of a distribution lies": (
        Histogram(title="t", xlabel="x", edges=np.arange(4.0), series={"m": [1, 2, 9], "n": [0, 0, 0]}),
        "half of m lies below about 2.5; n has none",
    ),
    "points by condition": (
        Scatter(
            title="t",
            points=np.zeros((3, 2)),
            axes=("x", "y"),
            groups=np.zeros(3, np.int64),
            group_names=("a",),
            marks=np.array([0, 0, 1]),
            mark_names=("sharp", "blurred"),
        ),
        "2 points of sharp; 1 point of blurred",
    ),
    "small images": (Tiles(title="t", tiles=(Tile(np.zeros((2, 2))),), columns=1), "1 small image"),
    "rows of faces": (Faces(title="t", rows=(("worst", (Face("p", "i"),)),)), "worst: 1 face"),
    "who is joined first": (
        Dendrogram(
            title="t", labels=("a", "b", "c"), merges=np.array([[0.0, 2, 0.5, 2], [1, 3, 2, 3]]), xlabel="d"
        ),
        "a and c are joined first, at 0.5; all at 2",
    ),
    "nothing of a table, which is read itself": (Table(title="t", columns=("a",), rows=()), ""),
}


@pytest.mark.parametrize("what", SAID)
def test_it_says(what):
    chart, said = SAID[what]
    assert alt(chart) == said
