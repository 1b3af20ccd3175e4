"""Table: named columns of text and numbers."""

from dataclasses import dataclass, field
from typing import Any

from embedlab.charts.base import cell, figure, mpl_plain, plain


@dataclass(frozen=True)
class Cell:
    """A value, and how it is written where a person reads it; programs get the value.

    Attributes
    ----------
    value
        A number, an Estimate, or None.
    text
        What stands in the table.
    """

    value: Any
    text: str

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows under named columns.

    Attributes
    ----------
    title
        The heading.
    columns
        Names of the columns.
    rows
        A value a column: text, a number, a Cell where a number is written in some way of its own, or an
        Estimate, which writes its own interval.
    note
        The sentence under the table.
    folded
        Whether a report shows the heading alone until it is opened.

    Raises
    ------
    ValueError
        If a row does not have a value a column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""
    folded: bool = False
    projection: None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} values for {len(self.columns)} columns")

    def cells(self) -> list[list[str]]:
        """Give the rows as they are written."""
        return [[cell(value) for value in row] for row in self.rows]

    def plotly(self) -> Any:
        """Draw as a plotly Figure."""
        import plotly.graph_objects as go

        cells = self.cells()
        fig = figure(self.title, height=min(800, 150 + 28 * len(cells)))
        align = ["left", *["right"] * (len(self.columns) - 1)]
        fig.add_trace(
            go.Table(
                header={
                    "values": [f"<b>{plain(name)}</b>" for name in self.columns],
                    "align": align,
                    "fill": {"color": "#E6E9EC"},
                    "font": {"color": "#22272C"},
                },
                cells={
                    "values": [[plain(row[i]) for row in cells] for i in range(len(self.columns))],
                    "align": align,
                    "fill": {"color": "#FFFFFF"},
                    "font": {"color": "#22272C"},
                    "height": 26,
                },
            )
        )
        return fig

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes."""
        ax.set_title(mpl_plain(self.title), loc="left", fontsize=11)
        ax.axis("off")
        if not (self.rows and self.columns):
            return
        table = ax.table(
            cellText=[[mpl_plain(text) for text in row] for row in self.cells()],
            colLabels=[mpl_plain(name) for name in self.columns],
            loc="center",
        )
        table.auto_set_font_size(value=False)
        table.set_fontsize(8)
