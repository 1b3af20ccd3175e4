"""One model's vectors of the same images at several resolutions, and what analyses over them share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Int

from embedlab.analysis import Finding, Result
from embedlab.charts import Curve, Curves
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, Place
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.pairs import levels

Crossed = tuple[int, int]
"""A gallery and a probe, by their places in a ladder."""

NATIVE = 0  # Stands for "as it is" among numbers of pixels.

PIXELS = "8 16 24 32 64"
"""Resolutions that are measured where nobody says otherwise."""


def name_of(pixels: int) -> str:
    """Name a resolution: "native", or "24 px"."""
    return "native" if pixels == NATIVE else f"{pixels} px"


def read(pixels: str, where: str) -> set[int]:
    """Read the parameter ``pixels`` of an analysis.

    Raises
    ------
    UserError
        If it holds anything but whole numbers; the message names ``where``.
    """
    words = pixels.split()
    if not words or not all(map(_is, words)):
        raise UserError(
            f"{where}.pixels must be whole numbers of at least 2 separated by spaces, not {pixels!r}: "
            'write "8 16 24"'
        )
    return {int(word) for word in words}


def _is(word: str) -> bool:
    """Whether a word is a number of pixels."""
    return re.fullmatch("[0-9]{1,6}", word) is not None and int(word) >= 2


def wanted(pixels: str, where: str, probes: Sequence[str]) -> tuple[str, ...]:
    """Name the probes to measure: the first data set of a study at every resolution.

    To ``PIXELS``, which nobody chose, come those that the study names itself.

    Probes of further data sets stay as they are, so that the result can say that they were not measured.
    """
    first = next((probe.partition("@")[0] for probe in probes), "")
    others = tuple(probe for probe in probes if probe.partition("@")[0] != first)
    sides = read(pixels, where)
    if pixels == PIXELS:
        parts = (probe.partition("@") for probe in probes)
        sides |= {int(side) for name, _, side in parts if name == first and _is(side)}
    ladder = (f"{first}@{one}" for one in sorted(sides, reverse=True))
    return (first, *ladder, *others) if first else ()


@dataclass(frozen=True)
class Ladder:
    """The images that all resolutions of one data set share.

    Attributes
    ----------
    dataset, others
        The data set, and those that are not looked at.
    pixels
        Resolutions in rising order, native (0) last.
    images
        Their sets, row for row.
    left_out
        How many images some resolution lacks.
    """

    dataset: str
    others: tuple[str, ...]
    pixels: tuple[int, ...]
    images: tuple[EmbeddingSet, ...]
    left_out: int

    @classmethod
    def of(cls, sets: Sequence[EmbeddingSet]) -> Self:
        """Take the sets of the first data set, and cut them to the items they share.

        Raises
        ------
        UserError
            If the native images or all others are missing, a probe's name has no number of pixels behind its
            @, or no person has two images.
        """
        first, *others = dict.fromkeys(s.probe.partition("@")[0] for s in sets)
        found = _by_pixels(first, sets)
        common = found[NATIVE]
        for one in found.values():
            common = aligned(common, one).a
        everything = np.unique(np.concatenate([one.items for one in found.values()]))
        pixels = tuple(sorted(found, key=lambda p: float("inf") if p == NATIVE else p))
        images = tuple(aligned(common, found[p]).b for p in pixels)
        if np.bincount(common.labels).max() < 2:
            raise UserError(
                f"{found[NATIVE].title} has no person with two images at every resolution, so there are no "
                "genuine pairs: add more images of the same people"
            )
        return cls(first, tuple(others), pixels, images, len(everything) - len(common.items))

    @property
    def native(self) -> EmbeddingSet:
        """The images as they are."""
        return self.images[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Resolutions in words, rising."""
        return tuple(map(name_of, self.pixels))

    @property
    def impostors(self) -> int:
        """How many pairs of two people there are within one resolution."""
        sizes = np.bincount(self.native.labels).astype(np.int64)
        return int(len(self.native.items) ** 2 - (sizes**2).sum()) // 2

    def resolvable(self, far: float) -> float:
        """Give the FAR asked for, or the lowest usual one that the impostor pairs resolve.

        Raises
        ------
        UserError
            If they resolve none.
        """
        if far * self.impostors >= 1:
            return far
        usual = levels.resolved(far, self.impostors)
        if not len(usual):
            raise UserError(
                f"{self.native.title} has {self.impostors:,} impostor pairs, too few for any FAR up to 0.1: "
                f"at least 10 are needed, and {np.ceil(1 / far):,.0f} for FAR {far:g}; add images of more "
                "people"
            )
        return float(usual[-1])


def _by_pixels(dataset: str, sets: Sequence[EmbeddingSet]) -> Mapping[int, EmbeddingSet]:
    """Take the sets of one data set by their pixels."""
    found: dict[int, EmbeddingSet] = {}
    for one in sets:
        name, _, pixels = one.probe.partition("@")
        if name == dataset:
            if not re.fullmatch("[0-9]{0,6}", pixels):
                raise UserError(f"{one.title}: after @ stands a whole number of pixels, as in {dataset}@32")
            found[int(pixels or NATIVE)] = one
    if NATIVE not in found:
        raise UserError(
            f"{sets[0].model} has no native images of {dataset}, on which the threshold is set: add the "
            f"probe {dataset}"
        )
    if len(found) < 2:
        raise UserError(f"{found[NATIVE].title} is there as it is only: add a probe such as {dataset}@32")
    return found


@dataclass(frozen=True)
class AcrossResolutions(Result):
    """What was measured of one model between resolutions; places are a gallery and a probe of fewer pixels.

    Attributes
    ----------
    missing
        Numbers of pixels that were asked for and are not there.
    pixels
        Resolutions in rising order, native (0) last.
    """

    model: str = field(metadata={"hidden": True})
    dataset: str = field(metadata={"hidden": True})
    other_datasets: tuple[str, ...] = field(metadata={"hidden": True})
    missing: tuple[int, ...] = field(metadata={"hidden": True})
    people: int
    images: int
    left_out: int = field(metadata={"label": "images left out, which some resolution lacks"})
    impostor_pairs: int = field(metadata={"label": "impostor pairs within one resolution"})
    far: float = field(metadata={"label": "FAR at which thresholds are set"})
    far_asked: float = field(metadata={"hidden": True})
    estimates: Estimates
    pixels: Int[np.ndarray, " k"]

    @property
    def names(self) -> tuple[str, ...]:
        """Resolutions in words, rising."""
        return tuple(map(name_of, self.pixels))

    @property
    def last(self) -> int:
        """Where native images stand."""
        return len(self.pixels) - 1

    def place(self, cell: Crossed) -> Place:
        """Name the two resolutions of a cell, whichever is gallery and whichever probe."""
        return self.names[max(cell)], self.names[min(cell)]

    def at(self, what: str, cell: Crossed) -> Estimate:
        """Give one figure of one cell."""
        return self.estimates[what, *self.place(cell)]


def shared(ladder: Ladder, asked: set[int], far: float) -> dict[str, Any]:
    """Give what every result over a ladder has, by its fields' names."""
    return {
        "title": f"{ladder.dataset} in {ladder.native.model}",
        "model": ladder.native.model,
        "dataset": ladder.dataset,
        "other_datasets": ladder.others,
        "missing": tuple(sorted(asked - set(ladder.pixels))),
        "people": len(np.unique(ladder.native.labels)),
        "images": len(ladder.native.items),
        "left_out": ladder.left_out,
        "impostor_pairs": ladder.impostors,
        "far": ladder.resolvable(far),
        "far_asked": far,
        "pixels": np.array(ladder.pixels, dtype=np.int64),
    }


def between(names: Place) -> str:
    """Say which images meet: "between native and 8-px images"."""
    kinds = dict.fromkeys(name.replace(" px", "-px") for name in names)
    return f"between {' and '.join(kinds)} images"


def curves(
    results: Sequence[AcrossResolutions],
    what: str,
    title: str,
    note: str,
    further: float | None = None,
    **look: Any,
) -> Curves:
    """Draw a figure of a native gallery with each resolution, and of each resolution with itself.

    Parameters
    ----------
    results
        Whose figure; native stands at the end of the axis, whatever its pixels.
    what
        The figure.
    title, note, look
        Of the picture.
    further
        Where a line of the null runs, if anywhere.
    """
    top = 2.0 * max(int(r.pixels.max()) for r in results)
    places = {p: float(p or top) for r in results for p in r.pixels.tolist()}

    def line(r: AcrossResolutions, name: str, dash: Literal["solid", "dash"], cells: list[Crossed]) -> Curve:
        ends = r.estimates.row(what, [r.place(cell) for cell in cells])
        x = np.array([places[p] for p in r.pixels.tolist()])
        return Curve(f"{r.model}, {name}", x, *ends, r.model, dash, markers=True)

    drawn = []
    for r in results:
        drawn.append(line(r, "native gallery", "solid", [(r.last, p) for p in range(len(r.pixels))]))
        drawn.append(line(r, "among themselves", "dash", [(p, p) for p in range(len(r.pixels))]))
    if further is not None:
        ends = np.array([min(places.values()), top])
        drawn.append(Curve(f"null: {further:g}", ends, np.full(2, further), dash="dot", role="null"))
    return Curves(
        title=title,
        xlabel="resolution of the probe",
        ylabel=what,
        curves=tuple(drawn),
        xscale="log",
        xticks={place: name_of(p) for p, place in places.items()},
        note=f"{note} Bands are 95 % intervals from a bootstrap over people. Native stands at the end, "
        "whatever its pixels.",
        **look,
    )


def cautions(r: AcrossResolutions) -> list[Finding]:
    """Say what was asked and could not be done."""
    said = []
    if r.far != r.far_asked:
        said.append(
            f"Each resolution of {r.title} has {r.impostor_pairs:,} impostor pairs, too few for FAR "
            f"{r.far_asked:g} (at least {np.ceil(1 / r.far_asked):,.0f} are needed); FAR {r.far:g} is used "
            "instead."
        )
    if r.missing:
        said.append(f"There are no vectors of {', '.join(map(name_of, r.missing))} of {r.title}.")
    if r.left_out:
        said.append(f"On {r.title}, {r.left_out:,} images are left out, as some resolution lacks them.")
    if r.other_datasets:
        said.append(
            f"Of the data sets only {r.dataset} was measured in {r.model}, not "
            f"{', '.join(r.other_datasets)}: ask for one at a time."
        )
    return [Finding(text) for text in said]
