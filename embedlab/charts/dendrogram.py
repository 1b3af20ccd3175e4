"""Dendrogram: what is alike stands together, joined at the distance of its groups."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from embedlab.charts.base import MARKER, colour_if_model, figure, mpl_look, mpl_plain, plain, short
from embedlab.shapes import check_shapes


@dataclass(frozen=True, kw_only=True, eq=False)
class Dendrogram:
    """A tree of nested groups, leaves at the left, each merge at its distance.

    Attributes
    ----------
    title
        The heading.
    labels
        Names of the leaves.
    merges
        A row a merge, as ``scipy.cluster.hierarchy.linkage`` gives them: the two groups (leaves first,
        then earlier merges), their distance, and the number of leaves.
    xlabel
        What the distance is, with its unit.
    note
        The sentence under the picture.

    Raises
    ------
    TypeError
        If ``merges`` is no matrix of floats of four columns.
    ValueError
        If it does not join all leaves into one tree.
    """

    title: str
    labels: tuple[str, ...]
    merges: Float[np.ndarray, "m 4"]
    xlabel: str
    note: str = ""
    projection: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_shapes(self)
        joined = sorted(self.merges[:, :2].astype(int).ravel().tolist())
        if len(self.merges) != max(0, len(self.labels) - 1) or joined != list(range(2 * len(self.merges))):
            raise ValueError(f"{len(self.merges)} merges do not join {len(self.labels)} leaves into one tree")

    def leaves(self) -> list[int]:
        """Give the leaves from top to bottom, so that no branches cross."""
        groups = [[leaf] for leaf in range(len(self.labels))]
        for first, second in self.merges[:, :2].astype(int):
            groups.append(groups[first] + groups[second])
        return groups[-1] if groups else []

    def _brackets(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Give each merge as a line through four points: out along one branch, over, back along the other."""
        places = dict(zip(self.leaves(), range(len(self.labels)), strict=True))
        spots = [(0.0, float(places[leaf])) for leaf in range(len(self.labels))]
        lines = []
        for first, second, distance, _ in self.merges:
            (x0, y0), (x1, y1) = spots[int(first)], spots[int(second)]
            lines.append((np.array([x0, distance, distance, x1]), np.array([y0, y0, y1, y1])))
            spots.append((float(distance), (y0 + y1) / 2))
        return lines

    def _range(self) -> tuple[float, float]:
        """Leave room for the leaves' marks."""
        distances = self.merges[:, 2]
        reach = float(distances[np.isfinite(distances)].max(initial=0)) or 1.0
        return -0.03 * reach, 1.05 * reach

    def plotly(self) -> Any:
        """Draw as a plotly Figure."""
        import plotly.graph_objects as go

        fig = figure(
            self.title,
            height=int(np.clip(170 + 30 * len(self.labels), 260, max(760, 170 + 14 * len(self.labels)))),
        )
        for x, y in self._brackets():
            fig.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    mode="lines",
                    line={"color": MARKER, "width": 2},
                    hovertext=f"joined at {short(float(x[1]))}",
                    hoverinfo="text",
                    showlegend=False,
                )
            )
        names = [self.labels[leaf] for leaf in self.leaves()]
        fig.add_trace(
            go.Scatter(
                x=np.zeros(len(names)),
                y=np.arange(len(names)),
                mode="markers",
                marker={"size": 10, "color": [colour_if_model(name, MARKER) for name in names]},
                hovertext=[plain(name) for name in names],
                hoverinfo="text",
                showlegend=False,
                cliponaxis=False,
            )
        )
        fig.update_xaxes(title_text=plain(self.xlabel), range=list(self._range()))
        fig.update_yaxes(
            tickmode="array",
            tickvals=list(range(len(names))),
            ticktext=[plain(name) for name in names],
            range=[max(len(names), 1) - 0.5, -0.5],
            showgrid=False,
            showline=False,
            ticks="",
        )
        return fig

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes."""
        mpl_look(ax, self.title)
        for x, y in self._brackets():
            ax.plot(x, y, color=MARKER, linewidth=1.5)
        names = [self.labels[leaf] for leaf in self.leaves()]
        shades = [colour_if_model(name, MARKER) for name in names]
        ax.scatter(np.zeros(len(names)), np.arange(len(names)), s=36, c=shades, zorder=3, clip_on=False)
        ax.set_xlim(*self._range())
        ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
        ax.set_yticks(range(len(names)), [mpl_plain(name) for name in names])
        ax.set_xlabel(mpl_plain(self.xlabel))
        ax.grid(visible=False, axis="y")
