"""Two spaces side by side in a notebook: what is selected in one is shown in the other, and as a table."""

import io
import warnings
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.charts.base import MARKER, mpl_plain, visible
from embedlab.errors import UserError, lacking
from embedlab.estimates import counted
from embedlab.files import names
from embedlab.files.frames import frame
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.space import layouts
from embedlab.maths.space.neighbours import nearest, overlap
from embedlab.progress import busy
from embedlab.wording import said

Layout = Literal["umap", "pca"]

NEIGHBOURS = 15
"""So many shape a UMAP, and so many are counted to say how far a picture can be trusted."""

LEAST = 5
"""So few images make no map."""

HOW = "drag round some, add more with Shift, clear with Escape"
SCRIPT = Path(__file__).parent / "static" / "two_spaces.js"
STANDS_OUT = "#D55E00"


def linked(
    a: EmbeddingSet, b: EmbeddingSet, *, layout: Layout = "umap", most: int = 5_000, seed: int = 0
) -> "Linked":
    """Lay the same images out in two spaces, side by side.

    In a notebook a lasso or box in one space shows its images in the other; ``.to_pandas()`` gives them as a
    table. That takes anywidget (the extra ``notebooks``); without it both spaces are shown, and
    ``.select(…)`` does what the lasso would.

    Parameters
    ----------
    a, b
        Two models' sets of one probe, or one model's of two probes; joined by the names of images.
    layout
        ``umap``, of unit vectors; or ``pca``, which is quicker and keeps less.
    most
        So many images at most are shown; of more, as many are drawn, which stands beside the picture.
    seed
        Seed of the draw and of the layout.

    Raises
    ------
    UserError
        If the sets share fewer than 5 images, or as `aligned` does.
    """
    if layout not in ("umap", "pca"):
        raise UserError(f"there is no layout {layout!r}: choose umap or pca")
    pair = aligned(a, b)
    shared = len(pair.a.items)
    if shared < LEAST or most < LEAST:
        least = min(shared, most)
        raise UserError(f"{counted(least, 'image')} make no map: give two sets that share {LEAST} or more")
    rows = np.arange(shared)
    if shared > most:
        rows = np.sort(np.random.default_rng(seed).choice(shared, most, replace=False))
    sets = pair.a.take(rows), pair.b.take(rows)
    left, right = (_Space.of(one, layout, seed) for one in sets)
    return Linked(*sets, left, right, shared)


@dataclass(frozen=True)
class _Space:
    """Where images lie in a picture of a space, and how far that can be trusted."""

    points: Float[np.ndarray, "n 2"]
    near: Int[np.ndarray, "n k"]
    kept: float

    @classmethod
    def of(cls, one: EmbeddingSet, layout: Layout, seed: int) -> Self:
        k = min(NEIGHBOURS, len(one.items) - 1)
        near, distances = nearest(one.unit, k, metric="euclidean")
        with busy(f"{layout.upper()} of {len(one.items):,} images"):
            if layout == "umap":
                points = layouts.umap(layouts.Surroundings(one.unit, near, distances), k + 1, seed)
            else:
                points = layouts.pca(one.unit)
        seen, _ = nearest(points, k, metric="euclidean")
        return cls(points, near, float(overlap(near, seen).mean()))


class Linked:
    """Two spaces of the same images, and which of these are selected.

    Attributes
    ----------
    a, b
        The sets, cut to the images shown, in the same order.
    """

    def __init__(self, a: EmbeddingSet, b: EmbeddingSet, left: _Space, right: _Space, shared: int) -> None:
        self.a, self.b = a, b
        self._spaces = (left, right)
        self._shared = shared
        self._chosen = np.zeros(len(a.items), dtype=bool)

    @property
    def selected(self) -> tuple[str, ...]:
        """The names of the images that are selected."""
        return tuple(self.a.items[self._chosen].tolist())

    def select(self, items: Iterable[str] = (), *, person: str = "") -> "Linked":
        """Select images by their names, or those of a person; none of either clears the selection.

        Raises
        ------
        UserError
            If an image or the person is not among those shown.
        """
        wanted = [items] if isinstance(items, str) else list(items)
        chosen = np.isin(self.a.items, wanted)
        if lost := sorted(set(map(str, wanted)) - set(self.a.items[chosen].tolist())):
            raise UserError(f"image {lost[0]!r} is not shown here: {names.near(lost[0], self.a.items)}")
        if person:
            if person not in self.a.identities:
                raise UserError(f"{person!r} is not shown here: {names.near(person, self.a.identities)}")
            chosen |= self.a.labels == self.a.identities.index(person)
        self._choose(chosen)
        return self

    def to_pandas(self) -> Any:
        """Give the selected images as a ``pandas.DataFrame``; all that are shown where none is selected.

        Columns: item, identity, the attributes of the first set, the place in either picture, and
        ``neighbours kept``: the share of an image's nearest 15 in the first space that it has in the second.

        Raises
        ------
        UserError
            If pandas is not installed.
        """
        rows = np.flatnonzero(self._chosen) if self._chosen.any() else np.arange(len(self._chosen))
        places = {
            f"{axis} in {one.title}": space.points[rows, k]
            for one, space in zip((self.a, self.b), self._spaces, strict=True)
            for k, axis in enumerate("xy")
        }
        people = np.asarray(self.a.identities)[self.a.labels[rows]]
        extra = {name: np.asarray(column)[rows] for name, column in self.a.attributes.items()}
        kept = overlap(*(space.near for space in self._spaces))[rows]
        return frame(
            {"item": self.a.items[rows], "identity": people, **extra, **places, "neighbours kept": kept}
        )

    def __repr__(self) -> str:
        """Say what is shown, and how much of it is selected."""
        chosen = int(self._chosen.sum())
        return f"<Linked {self.a.title} and {self.b.title}: {self._images()}, {chosen:,} selected>"

    def _images(self) -> str:
        n = len(self.a.items)
        return f"{n:,} images" + (f", drawn from {self._shared:,}" if n < self._shared else "")

    def _choose(self, chosen: Bool[np.ndarray, " n"]) -> None:
        self._chosen = chosen
        if "widget" in self.__dict__:
            self.widget.chosen = np.flatnonzero(chosen).tolist()

    def _titles(self) -> list[str]:
        k = min(NEIGHBOURS, len(self.a.items) - 1)
        chance = k / (len(self.a.items) - 1)
        return [
            f"{one.title}: {space.kept:.0%} of neighbours kept ({chance:.0%} by chance)"
            for one, space in zip((self.a, self.b), self._spaces, strict=True)
        ]

    @cached_property
    def widget(self) -> Any:
        """The linked picture, an anywidget, made when it is first shown.

        Raises
        ------
        ModuleNotFoundError
            If anywidget is not installed.
        """
        import anywidget
        import traitlets

        people = np.asarray(self.a.identities)[self.a.labels].tolist()
        # To 0…1: by what each picture is scaled means nothing.
        points = b"".join(_within(space.points).astype("<f4").tobytes() for space in self._spaces)
        told = f"selected of {said(self._images())}; {HOW}"
        named = [visible(f"{who} · {item}") for who, item in zip(people, self.a.items, strict=True)]
        traits: dict[str, Any] = {
            "points": traitlets.Bytes(points),
            "chosen": traitlets.List(np.flatnonzero(self._chosen).tolist()),
            "names": traitlets.List(named),
            "titles": traitlets.List([visible(one) for one in self._titles()]),
            "told": traitlets.Unicode(told),
        }
        synced = {name: trait.tag(sync=True) for name, trait in traits.items()}
        made = type("LinkedWidget", (anywidget.AnyWidget,), {"_esm": SCRIPT.read_text("utf-8"), **synced})()
        made.observe(self._heard, names="chosen")
        return made

    def _heard(self, change: dict[str, Any]) -> None:
        self._chosen = np.isin(np.arange(len(self._chosen)), change["new"])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:  # noqa: ARG002
        """Show the linked picture; beside it, for what runs no widgets, the still one."""
        shown: Any = {}
        hint = ""
        try:
            shown = self.widget._repr_mimebundle_()
        except ModuleNotFoundError as error:
            if (told := lacking(error)) is None:
                raise
            hint = f"A still picture: for a selection by hand {told}. A selection by .select(…) does without."
        # Some versions give a pair, of the data and of what is known of it.
        data = shown[0] if isinstance(shown, tuple) else shown
        still = {
            "image/png": b64encode(self._picture(hint)).decode(),
            "text/plain": f"{self!r} {hint}".strip(),
        }
        return {**(data or {}), **still}

    def _picture(self, hint: str) -> bytes:
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(11, 5), layout="constrained")
        some, file = bool(self._chosen.any()), io.BytesIO()
        ink = np.where(self._chosen, STANDS_OUT, MARKER).tolist()
        clear = np.where(self._chosen | (not some), 1.0, 0.25)
        for ax, space, title in zip(drawn.subplots(1, 2), self._spaces, self._titles(), strict=True):
            ax.scatter(*space.points.T, s=9, c=ink, alpha=clear, linewidths=0)
            ax.set_title(mpl_plain(title), loc="left", fontsize=9)
            ax.set_xticks([])
            ax.set_yticks([])
        if some or hint or len(self.a.items) < self._shared:
            told = f"{int(self._chosen.sum()):,} selected of {said(self._images())}. {hint}"
            drawn.supxlabel(mpl_plain(told), x=0.0, ha="left", fontsize=9)
        with warnings.catch_warnings():
            # A name in a script that the font lacks is drawn as boxes.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            drawn.savefig(file, format="png", dpi=110)
        return file.getvalue()


def _within(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "2 n"]:
    low, high = points.min(axis=0), points.max(axis=0)
    scaled: np.ndarray = (points - low) / np.where(high > low, high - low, 1)
    return scaled.T
