"""Globe: points on the unit sphere in three dimensions, between lines of longitude and latitude."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from embedlab.charts.base import NULL
from embedlab.charts.scatter import Scatter

STEP = 30
FINE = 73
# Light enough for points of every colour, on a white page and on a dark one.
LAND = "#E3E6EA"


@dataclass(frozen=True, kw_only=True, eq=False)
class Globe(Scatter):
    """A Scatter of unit vectors, with the sphere they lie on.

    Attributes
    ----------
    points
        Float of shape (n, 3), each of length one.
    axes
        Names of the three coordinates.

    Raises
    ------
    ValueError
        If a point does not lie on the unit sphere, or as Scatter says.
    """

    axes: tuple[str, ...] = ("x", "y", "z")

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = np.linalg.norm(self.points, axis=1)
        if self.points.shape[1] != 3 or not np.allclose(lengths, 1.0, atol=1e-3):
            raise ValueError("a globe shows points of three dimensions and of length one only")

    def rolled(self) -> None:
        """Let no point go to and fro: the straight way leads through the sphere, where nobody sees it."""

    def _lines(self) -> np.ndarray:
        return np.empty((0, 2), dtype=np.int64) if self.links is None else self.links

    def plotly(self) -> Any:
        """Draw as a plotly Figure: the sphere and its lines beneath the points."""
        import plotly.graph_objects as go

        fig = super().plotly()
        lines = graticule()
        fig.add_trace(
            go.Scatter3d(
                x=lines[:, 0],
                y=lines[:, 1],
                z=lines[:, 2],
                mode="lines",
                line={"color": NULL, "width": 1.5},
                hoverinfo="skip",
                showlegend=False,
                connectgaps=False,
            )
        )
        # A little smaller than the sphere, so that it hides the far side and not the points.
        x, y, z = 0.985 * _surface()
        fig.add_trace(
            go.Surface(
                x=x,
                y=y,
                z=z,
                surfacecolor=np.zeros_like(x),
                colorscale=[[0, LAND], [1, LAND]],
                lighting={"ambient": 1.0, "diffuse": 0.0, "specular": 0.0, "fresnel": 0.0},
                showscale=False,
                hoverinfo="skip",
                contours={axis: {"highlight": False} for axis in "xyz"},
            )
        )
        hidden = {"visible": False, "range": [-1.05, 1.05]}
        camera = {"eye": {"x": 1.0, "y": 1.0, "z": 0.6}, "center": {"x": 0, "y": 0, "z": 0}}
        fig.update_scenes(xaxis=hidden, yaxis=hidden, zaxis=hidden, aspectmode="cube", camera=camera)
        return fig

    def matplotlib(self, ax: Any) -> None:
        """Draw into 3-D matplotlib axes."""
        ax.plot_surface(*(0.985 * _surface()), color=NULL, alpha=0.12, linewidth=0)
        ax.plot(*graticule().T, color=NULL, alpha=0.4, linewidth=0.5)
        super().matplotlib(ax)
        ax.set_box_aspect((1, 1, 1))
        ax.set_axis_off()


def graticule() -> np.ndarray:
    """Give meridians and parallels every 30° as one path of shape (m, 3), broken by NaN."""
    along = np.linspace(0, 2 * np.pi, FINE)
    round_ = np.ones(FINE)
    paths = [_on_sphere(along, at * round_) for at in np.radians(np.arange(0, 180, STEP))]
    paths += [_on_sphere(at * round_, along) for at in np.radians(np.arange(STEP - 90, 90, STEP))]
    return np.concatenate([np.r_[path, np.full((1, 3), np.nan)] for path in paths])


def _on_sphere(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], axis=-1)


def _surface() -> np.ndarray:
    latitude, longitude = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, 25), np.linspace(0, 2 * np.pi, 49))
    return np.moveaxis(_on_sphere(latitude, longitude), -1, 0)
