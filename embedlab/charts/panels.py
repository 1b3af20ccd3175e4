"""Panels: charts that show the same of several models, brought to one span."""

from collections.abc import Sequence
from typing import Any

from embedlab.charts.base import Chart, models_known

Spans = tuple[tuple[float, float] | None, ...]
"""The ends of each axis, or of the colours; None where an axis has none that could be shared."""


def groups(charts: Sequence[Chart]) -> list[int]:
    """Give each chart the number of what it shows: those of one number differ in the model only.

    Two charts are panels where kind, labels and title are the same but for the names of models.
    """
    names = sorted(filter(None, models_known()), key=len, reverse=True)
    found: dict[Any, int] = {}
    return [found.setdefault(_what(chart, names, k), len(found)) for k, chart in enumerate(charts)]


def _what(chart: Chart, names: Sequence[str], place: int) -> Any:
    title = str(getattr(chart, "title", ""))
    for name in names:
        title = title.replace(name, "\N{MIDDLE DOT}")
    if not hasattr(chart, "spans") or title == getattr(chart, "title", ""):
        return place
    labels = [
        getattr(chart, name, "") for name in ("xlabel", "ylabel", "colour_label", "value_label", "projection")
    ]
    return type(chart), title, *labels


def alike(charts: Sequence[Chart]) -> tuple[Chart, ...]:
    """Put panels beside each other, and give each group one span of axes and of colours."""
    numbers = groups(charts)
    made: list[Chart] = []
    for number in dict.fromkeys(numbers):
        them: list[Any] = [chart for chart, one in zip(charts, numbers, strict=True) if one == number]
        if len(them) > 1:
            shared = _hull([one.spans() for one in them])
            them = [one.within(shared) for one in them]
        made += them
    return tuple(made)


def _hull(many: Sequence[Spans]) -> Spans:
    found: list[tuple[float, float] | None] = []
    for axis in zip(*many, strict=True):
        there = [one for one in axis if one is not None]
        whole = (
            (min(low for low, _ in there), max(high for _, high in there))
            if len(there) == len(axis)
            else None
        )
        found.append(whole)
    return tuple(found)
