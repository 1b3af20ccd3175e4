"""Scatter: points in two or three dimensions; colour is who (or how much), symbol is which condition."""

import base64
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.charts.base import (
    MARKER,
    NULL,
    faded,
    figure,
    many_colours,
    mpl_legend,
    mpl_look,
    mpl_plain,
    plain,
    visible,
)
from embedlab.shapes import check_shapes
from embedlab.wording import said

SYMBOLS = ("cross", "circle", "diamond", "square", "x", "circle-open", "diamond-open", "square-open")
MPL_SYMBOLS = ("P", "o", "D", "s", "X", "o", "D", "s")
# Of more groups than these the others are grey: nobody tells a hundred hues apart.
COLOURED, BACK = 8, "#A9B2BA"
# From grey over orange to red: little stays back, much stands out, on a white page as on a dark one.
AMOUNTS = ("#B4C0C8", "#E8A33D", "#A50F26")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scatter:
    """Points of many groups (people) under a few marks (conditions).

    Attributes
    ----------
    title
        The heading.
    points
        Float of shape (n, 2) or (n, 3).
    axes
        A label an axis.
    groups, group_names
        Index of each point into ``group_names``; drawn as colour.
    named
        Write each group's name amid its points; in two dimensions only.
    values, value_label, value_range
        A number a point, which the colour then shows instead of the group; what it is; and the
        numbers at the ends of the colour bar, those that occur if None.
    marks, mark_names
        Index of each point into ``mark_names``; drawn as symbol, and what the legend lists.
    hover
        Text shown at each point; empty for the names of group and mark.
    links
        Pairs of rows joined by a thin line: the same item under two marks; shape (k, 2).
    ranges
        The ends of each axis, so that two charts can be compared; None to fit the points.
    note
        The sentence under the picture.
    people, items
        Whom each point stands for, "" where that is not known here, and by which image: a report then finds
        them in all its pictures.
    start, stages
        Where each point was before, such as before a registration, and what then and now are called: a report
        lets the reader go to and fro between both. Where the same items stand under two marks and nothing is
        given, the second mark's points go out from those of the first.

    Raises
    ------
    TypeError
        If the arrays do not fit together.
    ValueError
        If there are not as many axes as dimensions, an index has no name, values are no numbers, or
        names are to be written in three dimensions.
    """

    title: str
    points: Float[np.ndarray, "n d"]
    axes: tuple[str, ...]
    groups: Int[np.ndarray, " n"]
    group_names: tuple[str, ...]
    marks: Int[np.ndarray, " n"]
    mark_names: tuple[str, ...]
    hover: Shaped[np.ndarray, " n"] | None = None
    links: Int[np.ndarray, "k 2"] | None = None
    note: str = ""
    named: bool = False
    values: Float[np.ndarray, " n"] | None = None
    value_label: str = ""
    value_range: tuple[float, float] | None = None
    ranges: tuple[tuple[float, float], ...] | None = None
    people: Shaped[np.ndarray, " n"] | None = None
    items: Shaped[np.ndarray, " n"] | None = None
    start: Float[np.ndarray, "n d"] | None = None
    stages: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        check_shapes(self)
        if self.points.shape[1] not in (2, 3) or len(self.axes) != self.points.shape[1]:
            raise ValueError(f"{len(self.axes)} axes for points of {self.points.shape[1]} dimensions")
        for index, named, what in (
            (self.groups, self.group_names, "group"),
            (self.marks, self.mark_names, "mark"),
        ):
            if len(index) and not (index.min() >= 0 and index.max() < len(named)):
                raise ValueError(f"a {what} has no name: {len(named)} names, indices to {index.max()}")
        if self.hover is not None and len(self.hover) != len(self.points):
            raise ValueError(f"{len(self.hover)} hover texts for {len(self.points)} points")
        if self.values is not None and not (
            len(self.values) == len(self.points) and np.isfinite(self.values).all()
        ):
            raise ValueError(f"colours need a number for each of {len(self.points)} points")
        if self.ranges is not None and len(self.ranges) != len(self.axes):
            raise ValueError(f"ranges of {len(self.ranges)} axes for {len(self.axes)}")
        if self.start is not None and self.start.shape != self.points.shape:
            raise ValueError(f"points of shape {self.points.shape} that were at {self.start.shape}")
        if self.named and self.projection:
            raise ValueError("names of groups can be written in two dimensions only")

    @classmethod
    def of_two(
        cls,
        title: str,
        clouds: tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n d"]],
        names: tuple[str, str],
        items: Shaped[np.ndarray, " n"],
        *,
        within: Float[np.ndarray, "m d"],
        links: int,
        note: str,
        start: Float[np.ndarray, "n d"] | None = None,
        stages: tuple[str, str] = ("", ""),
    ) -> Self:
        """Draw two clouds of the same items, some of them joined.

        Parameters
        ----------
        title, note
            As above.
        clouds, names
            The clouds, row for row, and what each is called.
        items
            What each row is.
        within
            Points that the ranges hold, so that several such charts can be compared.
        links
            How many items are joined by a line.
        start, stages
            Where the second cloud was before, and what then and now are called.
        """
        n, d = clouds[0].shape
        low, high = within.min(axis=0), within.max(axis=0)
        room = 0.04 * np.maximum(high - low, 1e-6)
        which, linked = np.repeat([0, 1], n), np.arange(min(links, n))
        return cls(
            title=title,
            points=np.concatenate(clouds),
            axes=tuple(f"axis {k + 1}" for k in range(d)),
            groups=which,
            group_names=names,
            marks=which,
            mark_names=names,
            hover=np.array([f"{item}, {name}" for name in names for item in items]),
            people=np.full(2 * n, "", dtype=str),
            items=np.tile(items, 2),
            links=np.stack([linked, linked + n], axis=1),
            start=None if start is None else np.concatenate([clouds[0], start]),
            stages=stages,
            ranges=tuple(zip((low - room).tolist(), (high + room).tolist(), strict=True)),
            note=note,
        )

    def spans(self) -> tuple[tuple[float, float] | None, ...]:
        """Give the ends of each axis, and of the colours where they are numbers."""
        low, high = (self.points.min(axis=0), self.points.max(axis=0)) if len(self.points) else (None, None)
        if self.ranges is not None:
            axes: list[tuple[float, float] | None] = list(self.ranges)
        elif low is None or high is None:
            axes = [None] * len(self.axes)
        else:
            room = 0.04 * np.maximum(high - low, 1e-6)
            axes = list(zip((low - room).tolist(), (high + room).tolist(), strict=True))
        return (*axes, None if self.values is None else self._span())

    def within(self, spans: tuple[tuple[float, float] | None, ...]) -> Self:
        """Draw within other ends."""
        *axes, values = spans
        ends = [one for one in axes if one is not None]
        ranges = tuple(ends) if len(ends) == len(self.axes) else self.ranges
        return replace(self, ranges=ranges, value_range=values or self.value_range)

    @property
    def projection(self) -> Literal["3d"] | None:
        """What axes ``matplotlib`` needs."""
        return "3d" if self.points.shape[1] == 3 else None

    def _span(self) -> tuple[float, float]:
        if self.value_range is not None or self.values is None or not len(self.values):
            return self.value_range or (0.0, 1.0)
        low, high = float(self.values.min()), float(self.values.max())
        return low, high if high > low else low + 1.0

    def _names(self) -> list[tuple[np.ndarray, str]]:
        """Give the place and the text of each group's name; a group without points has none."""
        there = np.unique(self.groups) if self.named else ()
        return [(np.median(self.points[self.groups == g], axis=0), self.group_names[g]) for g in there]

    def rolled(self) -> tuple[np.ndarray, tuple[str, str]] | None:
        """Give where each point was before, and what then and now are called; None where nothing moved."""
        if self.start is not None:
            return (self.start, self.stages) if not np.array_equal(self.start, self.points) else None
        first = self._first()
        if first is None or self.items is None:
            return None
        second = [
            (k, str(one)) for k, one in enumerate(self.items) if self.marks[k] == 1 and str(one) in first
        ]
        if not second:
            return None
        start = self.points.copy()
        start[[k for k, _ in second]] = self.points[[first[item] for _, item in second]]
        return start, (self.mark_names[0], self.mark_names[1])

    def _back(self) -> np.ndarray:
        """Say which groups stand back in grey: of more than a few all but those of the most points."""
        sizes = np.bincount(self.groups, minlength=len(self.group_names))
        back = np.zeros(len(self.group_names), dtype=bool)
        if len(back) > COLOURED and not self.named and self.values is None:
            back[np.argsort(-sizes, kind="stable")[COLOURED:]] = True
        return back

    def _rows(self, mark: int) -> np.ndarray:
        """Give the rows of a mark, those that stand back first, so that no others are hidden by them."""
        rows = np.flatnonzero(self.marks == mark)
        return rows[np.argsort(~self._back()[self.groups[rows]], kind="stable")]

    def _colours(self) -> np.ndarray:
        back = self._back()
        shades = np.full(len(back), BACK, dtype=object)
        shades[~back] = many_colours(int((~back).sum()))
        return shades

    def _lines(self) -> np.ndarray:
        """Give the rows that a line joins: as given, else an item of a coloured group under two marks."""
        if self.links is not None:
            return self.links
        first = self._first()
        if first is None or self.values is not None:
            return np.empty((0, 2), dtype=np.int64)
        back = self._back()[self.groups]
        pairs = [
            (first[item], k)
            for k, item in enumerate(self.items if self.items is not None else ())
            if self.marks[k] == 1 and item in first and not back[k]
        ]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def _first(self) -> dict[str, int] | None:
        """Give the row of each item under the first of two marks; None where an item stands there twice."""
        if self.items is None or len(self.mark_names) != 2:
            return None
        rows = np.flatnonzero(self.marks == 0)
        found = {str(self.items[k]): int(k) for k in rows}
        return found if len(found) == len(rows) else None

    def _linked(self) -> np.ndarray | None:
        """Give person and item of each point, of shape (n, 2); None where points stand for nobody."""
        if self.people is None or self.items is None:
            return None
        return np.stack([self.people.astype(str), self.items.astype(str)], axis=1)

    def _hover(self) -> list[str]:
        if self.hover is not None:
            return [plain(text) for text in self.hover]
        names = zip(self.groups, self.marks, strict=True)
        return [f"{plain(self.group_names[g])}<br>{plain(self.mark_names[m])}" for g, m in names]

    def plotly(self) -> Any:
        """Draw as a plotly Figure, a trace a mark, so that the legend switches marks on and off."""
        import plotly.graph_objects as go

        solid = self.points.shape[1] == 3
        trace = go.Scatter3d if solid else go.Scatter
        fig = figure(self.title, height=580 if solid else 520)
        moved = self.rolled()
        before = self.points if moved is None else moved[0]
        if moved is not None:
            fig.update_layout(meta={"stages": [visible(said(name)) for name in moved[1]]})
        links = self._lines()
        if len(links):
            gaps = np.full((len(links), 1, self.points.shape[1]), np.nan)
            path, was = (
                np.concatenate([places[links], gaps], axis=1).reshape(-1, self.points.shape[1])
                for places in (self.points, before)
            )
            line = {"color": faded(NULL, 0.45), "width": 1.5 if solid else 0.8}
            fig.add_trace(
                trace(
                    **_xyz(path),
                    mode="lines",
                    line=line,
                    name="same item",
                    hoverinfo="skip",
                    connectgaps=False,
                    meta=_from(path, was),
                )
            )
        colours, hover = self._colours(), np.array(self._hover(), dtype=object)
        who = self._linked()
        for mark, name in enumerate(self.mark_names):
            rows = self._rows(mark)
            marker: dict[str, Any] = {
                "symbol": SYMBOLS[mark % len(SYMBOLS)],
                "size": (5 if mark % len(SYMBOLS) == 0 else 3.5) if solid else 8,
                "opacity": 0.85,
                "line": {"width": 0},
            }
            linked = None if who is None else who[rows].tolist()
            if self.values is None:
                fill: dict[str, Any] = {"color": colours[self.groups[rows]].tolist()}
            else:
                fill = {"color": self.values[rows], "coloraxis": "coloraxis"}
            fig.add_trace(
                trace(
                    **_xyz(self.points[rows]),
                    mode="markers",
                    marker=marker | fill,
                    name=plain(name),
                    hovertext=hover[rows].tolist(),
                    hoverinfo="text",
                    customdata=linked,
                    legendgroup=f"mark{mark}",
                    showlegend=False,
                    meta=_from(self.points[rows], before[rows]),
                )
            )
            # The symbol of a mark of many people is grey: the colour of one would stand for that person.
            mine = np.unique(self.groups[rows])
            shade = colours[mine[0]] if len(mine) == 1 and self.values is None else MARKER
            key = marker | {"color": shade, "size": marker["size"] + 2}
            nowhere: dict[str, Any] = {axis: [None] for axis in "xyz"[: self.points.shape[1]]}
            fig.add_trace(
                trace(**nowhere, mode="markers", marker=key, name=plain(name), legendgroup=f"mark{mark}")
            )
        if others := int(self._back().sum()):
            nowhere = {axis: [None] for axis in "xyz"[: self.points.shape[1]]}
            grey = {"symbol": "circle", "color": BACK, "size": 8}
            name = f"grey: {others:,} of {len(self.group_names):,} people"
            fig.add_trace(trace(**nowhere, mode="markers", marker=grey, name=plain(name)))
        fig.update_layout(legend_itemsizing="constant")
        if self.values is not None:
            low, high = self._span()
            bar = {"title": {"text": plain(self.value_label), "side": "right"}, "thickness": 14}
            steps = [[i / (len(AMOUNTS) - 1), shade] for i, shade in enumerate(AMOUNTS)]
            fig.update_layout(coloraxis={"colorscale": steps, "cmin": low, "cmax": high, "colorbar": bar})
        for place, name in self._names():
            fig.add_annotation(x=place[0], y=place[1], text=plain(name), **_LABEL)
        if solid:
            # The 3-D axes draw text on a canvas that does not know HTML entities.
            titles = [visible(said(axis)).replace("<", "\u2039").replace(">", "\u203a") for axis in self.axes]
            scene: dict[str, Any] = {
                f"{letter}axis_title_text": text for letter, text in zip("xyz", titles, strict=True)
            }
            for letter, ends in zip("xyz", self.ranges or (), strict=False):
                scene[f"{letter}axis_range"] = ends
            fig.update_scenes(
                **scene,
                aspectmode="data",
                camera={"eye": {"x": 1.5, "y": 1.5, "z": 0.95}, "center": {"x": 0, "y": 0, "z": -0.12}},
            )
            fig.update_layout(margin={"l": 0, "r": 0, "b": 0})
        else:
            fig.update_xaxes(title_text=plain(self.axes[0]))
            fig.update_yaxes(title_text=plain(self.axes[1]))
            if self.ranges is not None:
                fig.update_xaxes(range=self.ranges[0])
                fig.update_yaxes(range=self.ranges[1])
        return fig

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes; 3-D axes where the points have three dimensions."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        colours = self._colours()
        amounts = ScalarMappable(
            Normalize(*self._span()), LinearSegmentedColormap.from_list("amounts", AMOUNTS)
        )
        for pair in self._lines():
            ax.plot(*self.points[pair].T, color=NULL, alpha=0.4, linewidth=0.6)
        for mark, name in enumerate(self.mark_names):
            rows = self._rows(mark)
            shades = (
                colours[self.groups[rows]].tolist()
                if self.values is None
                else list(amounts.to_rgba(self.values[rows]))
            )
            hollow = SYMBOLS[mark % len(SYMBOLS)].endswith("open")
            paint = {"facecolors": "none", "edgecolors": shades} if hollow else {"c": shades, "linewidths": 0}
            ax.scatter(
                *self.points[rows].T,
                marker=MPL_SYMBOLS[mark % len(MPL_SYMBOLS)],
                s=18,
                label=mpl_plain(name),
                **paint,
            )
        mpl_look(ax, self.title)
        ax.set_xlabel(mpl_plain(self.axes[0]))
        ax.set_ylabel(mpl_plain(self.axes[1]))
        if self.projection == "3d":
            ax.set_zlabel(mpl_plain(self.axes[2]))
        for letter, ends in zip("xyz", self.ranges or (), strict=False):
            getattr(ax, f"set_{letter}lim")(*ends)
        for place, name in self._names():
            ax.text(
                *place,
                mpl_plain(name),
                fontsize=7,
                ha="center",
                va="center",
                bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1},
            )
        if self.values is not None:
            ax.figure.colorbar(amounts, ax=ax, label=mpl_plain(self.value_label))
        legend = mpl_legend(ax)
        for handle in legend.legend_handles if legend else ():
            handle.set_color(MARKER)


# Ink and ground are those of the look, light or dark.
_LABEL: dict[str, Any] = {"showarrow": False, "font": {"size": 11}, "borderpad": 1}


def _from(points: np.ndarray, before: np.ndarray) -> dict[str, Any] | None:
    """Give where points were, packed as plotly packs numbers; None where they did not move."""
    if np.array_equal(points, before, equal_nan=True):
        return None
    packed = (base64.b64encode(axis.astype("<f4").tobytes()).decode() for axis in before.T)
    return {"from": {name: {"dtype": "f4", "bdata": text} for name, text in zip("xyz", packed, strict=False)}}


def _xyz(points: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip("xyz", points.T.astype(np.float32), strict=False))
