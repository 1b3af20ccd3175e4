"""Charts: pictures as data, drawn by plotly or matplotlib, a kind per file."""

from embedlab.charts.alt import alt
from embedlab.charts.bars import Bars, BarSeries
from embedlab.charts.base import PALETTE, Chart, Role, Scale, colour, model_colours
from embedlab.charts.curves import Curve, Curves
from embedlab.charts.dendrogram import Dendrogram
from embedlab.charts.faces import Face, Faces, faces_at_hand, faces_from
from embedlab.charts.globe import Globe
from embedlab.charts.heatmap import Heatmap
from embedlab.charts.histogram import Histogram
from embedlab.charts.panels import alike, groups
from embedlab.charts.scatter import Scatter
from embedlab.charts.table import Cell, Table
from embedlab.charts.tiles import Tile, Tiles

__all__ = [
    "PALETTE",
    "BarSeries",
    "Bars",
    "Cell",
    "Chart",
    "Curve",
    "Curves",
    "Dendrogram",
    "Face",
    "Faces",
    "Globe",
    "Heatmap",
    "Histogram",
    "Role",
    "Scale",
    "Scatter",
    "Table",
    "Tile",
    "Tiles",
    "alike",
    "alt",
    "colour",
    "faces_at_hand",
    "faces_from",
    "groups",
    "model_colours",
]
