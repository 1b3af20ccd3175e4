"""What every chart can do, and the one set of colours and the one look of the whole report.

Colours mean one thing each. The palette belongs to **models**: inside ``with model_colours(names)``
a model has one colour in every chart. Everything that is no model (pairs of one person against
pairs of two, layers, conditions) takes its colour from another scheme, so that a colour never
stands for a model in one chart and for something else in the next. A series says which model's it is, or
which role it has; no colour is told from a name.
"""

import colorsys
import html
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import cycle
from typing import Any, Literal, Protocol

import numpy as np

from embedlab.wording import said

# Okabe and Ito's colours: told apart by colour-blind readers and in grey print. For models only.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#A6761D")
# Tol's muted scheme, colour-blind safe as well, for series that are no models.
SERIES = ("#CC6677", "#88CCEE", "#999933", "#332288", "#DDCC77", "#117733", "#AA4499")
SAME, DIFFERENT, NULL, NO_VALUE = "#44AA99", "#AA3377", "#8A8A8A", "#D4D4D4"
MARKER = "#6B7280"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
MPL_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}
# ColorBrewer's RdBu, which red-green blind readers can tell apart; blue is negative.
DIVERGING = ("#2166AC", "#67A9CF", "#D1E5F0", "#F7F7F7", "#FDDBC7", "#EF8A62", "#B2182B")
# Matplotlib's viridis, which rises evenly in lightness.
VIRIDIS = (
    *("#440154", "#482878", "#3E4989", "#31688E", "#26828E"),
    *("#1F9E89", "#35B779", "#6ECE58", "#B5DE2B", "#FDE725"),
)
# Pixels above the axes, for the heading.
TOP = 84
# A key of more entries stands below the axes, in so many columns at most.
KEY_INSIDE, KEY_COLUMNS = 6, 3
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

Scale = Literal["linear", "log", "probit"]
Role = Literal["genuine", "impostor", "same image", "null", "before", "after", "ceiling"]
"""What a series that is no model's stands for; each has one colour in every chart."""

ROLES: dict[Role, str] = {
    **{"genuine": SAME, "impostor": DIFFERENT, "same image": SERIES[0], "null": NULL},
    **{"before": SERIES[1], "after": SERIES[3], "ceiling": SERIES[5]},
}
# All control characters but the tab and the line's end, and the marks that embed or override a direction.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_models: ContextVar[dict[str, str] | None] = ContextVar("embedlab_model_colours", default=None)


class Chart(Protocol):
    """A picture as data, which can draw itself in either library."""

    @property
    def title(self) -> str:
        """What the picture shows, as its heading."""

    @property
    def note(self) -> str:
        """A sentence that stands under the picture; may be empty."""

    @property
    def projection(self) -> Literal["3d"] | None:
        """What axes ``matplotlib`` needs: ``plt.subplot(projection=chart.projection)``."""

    def plotly(self) -> Any:
        """Draw as a plotly Figure."""

    def matplotlib(self, ax: Any) -> None:
        """Draw into matplotlib axes (3-D axes where ``chart.projection`` is "3d")."""


@contextmanager
def model_colours(names: Sequence[str]) -> Iterator[None]:
    """Give each model one colour, by its place in ``names``, for every chart drawn in the block."""
    names = list(dict.fromkeys(names))
    token = _models.set({name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)})
    try:
        yield
    finally:
        _models.reset(token)


def models_known() -> tuple[str, ...]:
    """List the models that have a colour in the block."""
    return tuple(_models.get() or ())


def colour(model: str) -> str:
    """Give a model's colour; outside ``model_colours`` the first of the palette.

    A model that the block does not name gets a colour after those that are named, the same one
    each time.
    """
    known = _models.get()
    if known is None:
        return PALETTE[0]
    return known.setdefault(model, PALETTE[len(known) % len(PALETTE)])


def colour_if_model(name: str, otherwise: str) -> str:
    """Give a model's colour if the block names such a model, else another."""
    return (_models.get() or {}).get(name, otherwise)


def series_colours(models: Sequence[str], roles: Sequence[Role | None]) -> list[tuple[str, int]]:
    """Give each series of one chart a colour, and how many before it have the same.

    What a series is called counts for nothing: words such as "not matched" tell no role.

    Parameters
    ----------
    models
        The model each series belongs to; an empty string where it belongs to none.
    roles
        What each stands for; None where it has no role. A series without either has a colour that no
        other of the chart has, as long as the scheme lasts.

    Raises
    ------
    ValueError
        If a series belongs to a model and has a role as well, since it can have one colour only.

    Returns
    -------
    A colour a series, and 0 for the first series of that colour, 1 for the second, and so on: what
    a dash or a hatching must tell apart.
    """
    known = _models.get()
    if known is None:
        known = {m: PALETTE[i % len(PALETTE)] for i, m in enumerate(dict.fromkeys(filter(None, models)))}
    seen: dict[str, int] = {}
    chosen = []
    taken = {ROLES[role] for role in roles if role}
    free = cycle([shade for shade in SERIES if shade not in taken])
    for model, role in zip(models, roles, strict=True):
        if model and role:
            raise ValueError(f"a series has the colour of its model, {model!r}, or of its role, {role!r}")
        if model:
            picked = known[model] if model in known else colour(model)
        else:
            picked = ROLES[role] if role else next(free)
        chosen.append((picked, seen.get(picked, 0)))
        seen[picked] = seen.get(picked, 0) + 1
    return chosen


def many_colours(n: int) -> list[str]:
    """Give colours for n groups: the series scheme while it lasts, then a cycle of 24 hues."""
    if n <= len(SERIES):
        return list(SERIES[:n])
    # Steps of the golden section put neighbours far apart on the hue circle.
    hues = []
    for i in range(24):
        hue, light = (0.61803398875 * i) % 1.0, (0.38, 0.52, 0.64)[i % 3]
        hues.append(to_hex(colorsys.hls_to_rgb(hue, light, 0.62)))
    return [hues[i % len(hues)] for i in range(n)]


def to_hex(rgb: Sequence[float]) -> str:
    """Write a colour with parts in 0 to 1 as ``#RRGGBB``."""
    return "#" + "".join(f"{round(255 * part):02X}" for part in rgb)


def faded(shade: str, alpha: float) -> str:
    """Write ``#RRGGBB`` with an opacity, as CSS."""
    red, green, blue = (int(shade[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def blend(values: np.ndarray, anchors: Sequence[str]) -> np.ndarray:
    """Turn values in 0 to 1, of any shape, into uint8 RGB along evenly spaced anchor colours.

    A value that is no number becomes the grey of missing values.
    """
    table = np.array([[int(a[i : i + 2], 16) for i in (1, 3, 5)] for a in (*anchors, NO_VALUE)], float)
    at = np.linspace(0, 1, len(anchors))
    filled = np.nan_to_num(values)
    rgb = np.stack([np.interp(filled, at, table[:-1, c]) for c in range(3)], axis=-1)
    rgb[np.isnan(values)] = table[-1]
    return rgb.round().astype(np.uint8)


def contrast(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give the contrast of colours, uint8 RGB along the last axis, as WCAG defines it: 1 to 21."""
    light, dark = _luminance(one), _luminance(other)
    found: np.ndarray = (np.maximum(light, dark) + 0.05) / (np.minimum(light, dark) + 0.05)
    return found


def _luminance(rgb: np.ndarray) -> np.ndarray:
    part = np.asarray(rgb, np.float64) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    found: np.ndarray = linear @ np.array([0.2126, 0.7152, 0.0722])
    return found


def ink_on(rgb: np.ndarray) -> np.ndarray:
    """Give the ink, black or white, that is read best on colours; one of both has a contrast of 4.5 or more.

    Parameters
    ----------
    rgb
        uint8 of shape (…, 3).

    Returns
    -------
    ``#RRGGBB``, of shape (…).
    """
    black, white = np.zeros(3, np.uint8), np.full(3, 255, np.uint8)
    return np.where(contrast(rgb, black) >= contrast(rgb, white), "#000000", "#FFFFFF")


def visible(text: str) -> str:
    """Show what steers instead of being read: control characters, and those that turn text round.

    An escape sequence cannot act on a terminal then, nor a mark of direction on the words after it.
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(text: object) -> str:
    """Make text safe for plotly, which reads a part of HTML: it shows as written, in a study's words."""
    return visible(html.escape(said(_one_line(text)), quote=False))


def _one_line(text: object) -> str:
    return " ".join(str(text).splitlines())


def mpl_plain(text: object) -> str:
    """Make text safe for matplotlib, in a study's words: no formulas, nothing hidden from the legend."""
    safe = visible(said(_one_line(text))).replace("$", r"\$")
    return f" {safe}" if safe.startswith("_") else safe


def cell(value: object) -> str:
    """Write one value of a table: text as it is, numbers short, a missing one as "n/a"."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return "n/a"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, float | np.floating):
        return short(float(value))
    return format(value, "") if not isinstance(value, str) else value


def short(value: float) -> str:
    """Write a number with about four significant digits, in powers of ten only where it must be."""
    if value == 0:
        return "0"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= 10_000 and abs(value) < 1e15 else f"{value:.4g}"


_apart: ContextVar[bool] = ContextVar("embedlab_look_apart", default=False)


def figure(title: str, *, height: int = 440) -> Any:
    """Start a plotly figure in the one look that all charts share."""
    import plotly.graph_objects as go

    # Given at once, for a figure that is begun without them gets plotly's own look first, and loses it.
    layout: dict[str, Any] = {"title": {"text": plain(title)}, "height": height}
    if _apart.get():
        return go.Figure(layout={"template": "none", "margin": {"t": TOP}, **layout})
    return go.Figure(layout={"template": _light(), **layout})


@cache
def _light() -> Any:
    return look()


@contextmanager
def look_apart() -> Iterator[None]:
    """Begin plotly figures without the look, for a page that holds it once: it takes half of the time."""
    before = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(before)


def look(*, dark: bool = False) -> Any:
    """Give the plotly template: system font, thin grid, legend below the title, room for labels."""
    import plotly.graph_objects as go

    ink, line, grid = ("#E4E7EA", "#5B636B", "#30363C") if dark else ("#22272C", "#9AA3AB", "#E6E9EC")
    back = "#181B1E" if dark else "#FFFFFF"
    axis = {
        "automargin": True,
        "gridcolor": grid,
        "gridwidth": 1,
        "linecolor": line,
        "showline": True,
        "ticks": "outside",
        "tickcolor": line,
        "ticklen": 4,
        "title": {"standoff": 10, "font": {"size": 13}},
        "zeroline": False,
    }
    solid: dict[str, Any] = {
        "backgroundcolor": back,
        "gridcolor": grid,
        "linecolor": line,
        "zerolinecolor": line,
    }
    solid |= {"showbackground": True, "tickfont": {"size": 10}, "title": {"font": {"size": 12}}}
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": ink},
            "paper_bgcolor": back,
            "plot_bgcolor": back,
            "colorway": list(SERIES),
            "title": {
                "x": 0.0,
                "xref": "container",
                "xanchor": "left",
                "pad": {"l": 12},
                "font": {"size": 16},
            },
            "margin": {"l": 64, "r": 24, "t": TOP, "b": 56},
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"},
            "annotationdefaults": {"bgcolor": faded(back, 0.8), "font": {"color": ink}},
            "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
            "xaxis": axis,
            "yaxis": axis,
            "scene": {"xaxis": solid, "yaxis": solid, "zaxis": solid},
        }
    )


def mpl_legend(ax: Any) -> Any:
    """Add a legend where anything has a name, below the axes where it is long; None where nothing has."""
    entries = len(ax.get_legend_handles_labels()[0])
    if entries <= KEY_INSIDE:
        return ax.legend(frameon=False) if entries else None
    columns = min(KEY_COLUMNS, -(-entries // KEY_INSIDE))
    return ax.legend(
        frameon=False, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=columns, fontsize="small"
    )


def mpl_look(ax: Any, title: str) -> None:
    """Give matplotlib axes the same look: heading at left, thin grid, no box."""
    ax.set_title(mpl_plain(title), loc="left", fontsize=11)
    if ax.name != "3d":
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_axisbelow(True)
        ax.grid(color="#E6E9EC", linewidth=0.8)
