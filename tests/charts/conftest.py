"""Draw a chart in both libraries."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def drawn() -> Callable[[Any], tuple[Any, Any]]:
    """Give a function that draws a chart: plotly figure and matplotlib axes, rendered for certain."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    def draw(chart: Any) -> tuple[Any, Any]:
        page = Figure()
        ax = page.add_subplot(projection=chart.projection)
        chart.matplotlib(ax)
        page.canvas.draw()
        figure = chart.plotly()
        figure.to_json()
        return figure, ax

    return draw
