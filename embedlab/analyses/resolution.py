"""Resolution: a gallery at one resolution against probe images at another, for every pair of them.

The same images are embedded as they are ("native") and after being shrunk to fewer pixels. A cell of
the table pairs every image at the gallery's resolution with every other image at the probe's [1]_: two
images of one person are a genuine pair, images of two people an impostor pair, and an image never
meets itself. TAR@FAR is the share of genuine pairs accepted at the FAR asked for, twice over:

* at the cell's *own threshold*: what the resolutions could give;
* at a *fixed threshold*, chosen on native × native and applied everywhere, as a system in use does. The
  FAR then is no longer the one asked for, and the *drift* says how far off it is.

Intervals are 95 % percentile intervals of a bootstrap over people [2]_ that finds every threshold
anew in each resample, the one of native × native too. All cells and all models on the same people
are resampled alike, so differences have intervals of their own.

How to read it
--------------
Rows are galleries, columns are probes, and resolution grows down and to the right. Read the native row
for new images against good enrolled ones, the diagonal for images of one kind among themselves. Where
models are compared, the first model's figure stands in brackets. By chance TAR equals FAR. A drift of
+2 means a hundred times as many false accepts as asked for.

Limits
------
Every ordered pair of images is counted, so gallery and probe may change places: the table is
symmetric, and one half of it is computed. On the diagonal that counts each pair twice over, which
changes no share. A cell's own threshold is found on the pairs that it judges, so its TAR is in-sample,
as in any ROC, and the FAR of native × native is the one asked for by construction. The fixed threshold
meets other images but the same people, so that drift is that of resolution alone; verification tells
what a threshold is worth among other people. Shrinking is not the whole of distance: noise,
compression and blur of a real camera are not in it. Impostor shares above the highest 500,000 pairs
of a cell are exact; lower thresholds are read from histograms, exact to a bin of 3·10⁻⁵, and how they
vary is told to first order. People with many images rule the genuine pairs.

References
----------
.. [1] Aghdam, O. A., Bozorgtabar, B., Ekenel, H. K. and Thiran, J.-P. Exploring factors for improving
   low resolution face recognition. CVPR Workshops, 2019.
.. [2] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Number, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Heatmap, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, Place, compared, judged, label, unknown, where
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.pairs import roc
from embedlab.maths.pairs.all_pairs import Pairs, all_pairs
from embedlab.maths.pairs.moments import Drawn
from embedlab.progress import track

Crossed = tuple[int, int]
FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
STABLE = 10
NATIVE = 0  # Stands for "as it is" among numbers of pixels.
OWN, FIXED, GOT = "TAR, own threshold", "TAR, fixed threshold", "FAR, fixed threshold"
MEASURES = (OWN, FIXED, GOT)
BREAK = -0.1  # Of TAR.


@dataclass(frozen=True)
class ResolutionParams(Params):
    """Knobs of the resolution analysis."""

    pixels: str = "8 16 24 32 64"
    """Sides in pixels that images are shrunk to, whole numbers separated by spaces; native images are
    always there."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate at which thresholds are set."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Resolution(Result):
    """TAR and FAR of every gallery with every probe.

    Places are a gallery and a probe of as many pixels or fewer.

    Attributes
    ----------
    estimates
        TAR at the own threshold and at the fixed one, and the FAR that the fixed one gets.
    pixels
        Resolutions in rising order, native (0) last.
    false_accepts
        Those at the own threshold and at the fixed one.
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
    threshold: float = field(metadata={"label": "threshold of native × native"})
    estimates: Estimates
    pixels: Int[np.ndarray, " k"]
    false_accepts: Int[np.ndarray, "2 k k"]

    @property
    def names(self) -> tuple[str, ...]:
        """Resolutions in words, rising."""
        return tuple(_name(p) for p in self.pixels)

    @property
    def last(self) -> int:
        """Where native images stand."""
        return len(self.pixels) - 1

    def numbers(self) -> dict[str, Number]:
        """List the native row and the diagonal, those that rest on few false accepts marked."""
        few = {
            label((what, *self.place(cell)))
            for what in MEASURES
            for cell in _half(self)
            if self.unsteady(what, cell)
        }
        # In native × native the fixed threshold is the own one.
        shown = {(OWN, "native", "native")} | {(w, *p) for w in MEASURES for p in _listed(self.names)[1:]}
        others = {label(key) for key in self.estimates if key not in shown}
        whole = super().numbers().items()
        return {f"{k}, unstable" if k in few else k: v for k, v in whole if k not in others}

    def place(self, cell: Crossed) -> Place:
        """Name the two resolutions of a cell, whichever is gallery and whichever probe."""
        return self.names[max(cell)], self.names[min(cell)]

    def at(self, what: str, cell: Crossed) -> Estimate:
        """Give one figure of one cell."""
        return self.estimates[what, *self.place(cell)]

    def table(self, what: str) -> Float[np.ndarray, "k k"]:
        """Give one figure of every gallery and probe."""
        k = range(len(self.pixels))
        return np.array([[self.at(what, (g, p)).value for p in k] for g in k])

    def counted(self, what: str, cell: Crossed) -> int:
        """Count the false accepts that a figure rests on."""
        return int(self.false_accepts[0 if what == OWN else 1, *cell])

    def unsteady(self, what: str, cell: Crossed) -> bool:
        """Say whether a figure rests on too few false accepts."""
        return self.counted(what, cell) < STABLE


def _name(pixels: int) -> str:
    return "native" if pixels == NATIVE else f"{pixels} px"


def _ladder(text: str) -> set[int]:
    """Read the parameter ``pixels``."""
    words = text.split()
    if not words or not all(re.fullmatch("[0-9]{1,6}", word) and int(word) >= 2 for word in words):
        raise UserError(
            f"resolution.pixels must be whole numbers of at least 2 separated by spaces, not {text!r}: "
            'write "8 16 24"'
        )
    return {int(word) for word in words}


def wanted(params: ResolutionParams, probes: Sequence[str]) -> tuple[str, ...]:
    """Name the probes to measure: the first data set of a study at every resolution.

    Probes of further data sets stay as they are, so that the result can say that they were not measured.

    Raises
    ------
    UserError
        If ``pixels`` cannot be read.
    """
    ladder = sorted(_ladder(params.pixels), reverse=True)
    first = next((probe.partition("@")[0] for probe in probes), "")
    others = tuple(probe for probe in probes if probe.partition("@")[0] != first)
    return (first, *(f"{first}@{pixels}" for pixels in ladder), *others) if first else ()


def compute(sets: Sequence[EmbeddingSet], params: ResolutionParams) -> Resolution:
    """Pair every resolution with every other, on the images that all of them have.

    Parameters
    ----------
    sets
        One model's vectors, native and at fewer pixels, in any order. Where they are of several data
        sets, the first one's are taken.
    params
        Knobs.

    Raises
    ------
    UserError
        If ``pixels`` cannot be read, the native images or all others are missing, no
        person has two images, or there are too few impostor pairs for any usual FAR.
    """
    _ladder(params.pixels)
    dataset, by_pixels, others = _of_one_data_set(sets)
    images, left_out = _shared(by_pixels)
    native, k = images[-1], len(images)
    sizes = np.bincount(native.labels)
    if sizes.max() < 2:
        raise UserError(
            f"{native.title} has no person with two images at every resolution, so there are no genuine "
            "pairs: add more images of the same people"
        )
    impostors = (len(native.items) ** 2 - int((sizes**2).sum())) // 2
    far = _resolvable(params.far, impostors, native.title)
    people, names = People.of(native.identities, params), [_name(p) for p in sorted(by_pixels, key=_rank)]
    found, false = Estimates(), np.empty((2, k, k), np.int64)
    fixed: tuple[np.ndarray, np.ndarray] = (np.empty(0), np.empty(0))
    cells = [(g, p) for g in reversed(range(k)) for p in range(g, k)]  # Native × native comes first.
    for g, p in track(cells, f"pairing resolutions in {native.model}"):
        pairs = all_pairs(images[g].unit, native.labels, None if g == p else images[p].unit)
        own = roc.limits(pairs, np.array([far]), people.counts)
        fixed = own if g == p == k - 1 else fixed
        measured, false[:, g, p] = _cell(pairs, people, own, fixed, far)
        false[:, p, g] = false[:, g, p]
        found |= {(what, names[p], names[g]): one for what, one in measured.items()}
    places = dict.fromkeys([*_listed(names), *found.places(OWN)])
    return Resolution(
        title=f"{dataset} in {native.model}",
        model=native.model,
        dataset=dataset,
        other_datasets=others,
        missing=tuple(sorted(_ladder(params.pixels) - set(by_pixels))),
        people=len(sizes),
        images=len(native.items),
        left_out=left_out,
        impostor_pairs=impostors,
        far=far,
        far_asked=params.far,
        # The lowest accepted score: the float above the highest rejected one.
        threshold=float(np.nextafter(np.float32(fixed[0][0]), np.float32(2))),
        estimates=Estimates({(w, *place): found[w, *place] for w in MEASURES for place in places}),
        pixels=np.array(sorted(by_pixels, key=_rank), dtype=np.int64),
        false_accepts=false,
    )


def _rank(pixels: int) -> float:
    return float("inf") if pixels == NATIVE else pixels


def _of_one_data_set(
    sets: Sequence[EmbeddingSet],
) -> tuple[str, dict[int, EmbeddingSet], tuple[str, ...]]:
    """Take the sets of the first data set by their pixels, and name the other data sets."""
    first, *others = dict.fromkeys(s.probe.partition("@")[0] for s in sets)
    found: dict[int, EmbeddingSet] = {}
    for one in sets:
        name, _, pixels = one.probe.partition("@")
        if name == first:
            if not re.fullmatch("[0-9]{0,6}", pixels):
                raise UserError(f"{one.title}: after @ stands a whole number of pixels, as in {first}@32")
            found[int(pixels or NATIVE)] = one
    if NATIVE not in found:
        raise UserError(
            f"{sets[0].model} has no native images of {first}, on which the threshold is set: add the probe "
            f"{first}"
        )
    if len(found) < 2:
        raise UserError(f"{found[NATIVE].title} is there as it is only: add a probe such as {first}@32")
    return first, found, tuple(others)


def _shared(by_pixels: Mapping[int, EmbeddingSet]) -> tuple[list[EmbeddingSet], int]:
    """Cut all resolutions, rising, to the items they share; and count the items that are lost."""
    common = by_pixels[NATIVE]
    for one in by_pixels.values():
        common = aligned(common, one).a
    everything = np.unique(np.concatenate([one.items for one in by_pixels.values()]))
    images = [aligned(common, by_pixels[p]).b for p in sorted(by_pixels, key=_rank)]
    return images, len(everything) - len(common.items)


def _resolvable(far: float, impostors: int, title: str) -> float:
    """Give the FAR asked for, or the lowest usual one that the impostor pairs resolve."""
    if far * impostors >= 1:
        return far
    levels = [level for level in FARS if level * impostors >= 1]
    if not levels:
        raise UserError(
            f"{title} has {impostors:,} impostor pairs, too few for any FAR up to 0.1: at least 10 are "
            f"needed, and {np.ceil(1 / far):,.0f} for FAR {far:g}; add images of more people"
        )
    return levels[-1]


def _cell(
    pairs: Pairs,
    people: People,
    own: tuple[np.ndarray, np.ndarray],
    fixed: tuple[np.ndarray, np.ndarray],
    far: float,
) -> tuple[dict[str, Estimate], np.ndarray]:
    """Measure a cell at its own and at the fixed limit, and count the false accepts of both."""
    ones = np.ones((1, people.counts.shape[1]), np.float32)
    point, drawn = np.concatenate([own[0], fixed[0]]), np.concatenate([own[1], fixed[1]], axis=1)
    false = np.array([roc.false_accepts(pairs, float(limit)) for limit in point])
    tar, draws = (roc.accepted_share(pairs, *at) for at in ((ones, point[None]), (people.counts, drawn)))
    # A resample of one person alone has no impostor pair, so no threshold and no TAR.
    draws[roc.impostor_weight(pairs, people.counts) <= 0] = np.nan
    got = Drawn(
        float(false[1] / int(pairs.impostor.sum())), roc.achieved_far(pairs, people.counts, drawn[:, 1])
    )
    accepted = [Drawn(float(value), each) for value, each in zip(tar[0], draws.T, strict=True)]
    paired = len(np.unique(pairs.genuine_people))
    return {
        OWN: people.estimate(accepted[0], paired, far, share=True),
        FIXED: people.estimate(accepted[1], paired, got.value, share=True),
        GOT: people.estimate(got, people.counts.shape[1], far, share=True),
    }, false


def _listed(names: Sequence[str]) -> list[Place]:
    """List native × native, the rest of the native row, and the rest of the diagonal."""
    *fewer, native = names
    return [(native, native), *((native, name) for name in fewer), *((name, name) for name in fewer)]


def charts(results: Sequence[Resolution]) -> list[Chart]:
    """Tables as pictures a model, differences to the first model, curves over resolution, numbers."""
    drawn: list[Chart] = []
    reach = max(float(np.abs(_drift(r)).max()) for r in results) or 1.0
    for r in results:
        base = _baseline(r, results)
        drawn += [_shares(r, base, OWN), _shares(r, base, FIXED), _drifts(r, base, reach)]
        if base is not None:
            drawn.append(_differences(r, base))
    return [*drawn, *_curves(results), _table(results)]


def _baseline(r: Resolution, results: Sequence[Resolution]) -> Resolution | None:
    """Give the first result of the same data set, resolutions and FAR; None for that one itself."""
    alike = [b for b in results if (b.dataset, b.far, b.names) == (r.dataset, r.far, r.names)]
    return None if alike[0] is r else alike[0]


def _grid(
    r: Resolution, title: str, note: str, of: Callable[[Crossed], tuple[float, str]], **look: Any
) -> Heatmap:
    """Draw a value with its text for each gallery and probe."""
    k = range(len(r.pixels))
    cells = [[of((g, p)) for p in k] for g in k]
    return Heatmap(
        title=title,
        xlabels=r.names,
        ylabels=r.names,
        values=np.array([[value for value, _ in row] for row in cells]),
        text=np.array([[text for _, text in row] for row in cells]),
        xlabel="probe",
        ylabel="gallery",
        note=note,
        **look,
    )


def _written(r: Resolution, base: Resolution | None, what: str, cell: Crossed) -> str:
    """Write a figure, and the first model's in brackets: TAR in per cent, FAR in multiples of that asked."""

    def figure(of: Resolution) -> str:
        value = of.at(what, cell).value
        return f"{value / of.far:.2g}×" if what == GOT else f"{100 * value:.1f}"

    bracket = "" if base is None else f"\n({figure(base)})"
    return f"{figure(r)}{' *' if r.unsteady(what, cell) else ''}{bracket}"


def _legend(r: Resolution, base: Resolution | None, what: str) -> str:
    text = " Intervals stand in the table below."
    text += "" if base is None else f" In brackets: {base.model}."
    few = any(r.unsteady(what, cell) for cell in _half(r))
    return text + (f" * fewer than {STABLE} false accepts, unstable." if few else "")


def _shares(r: Resolution, base: Resolution | None, what: str) -> Heatmap:
    name, note = "own thresholds", f"In each cell the threshold of FAR {r.far:g} there."
    if what == FIXED:
        name = "fixed threshold"
        note = f"The threshold {r.threshold:.4f} of native × native at FAR {r.far:g}, applied everywhere."
    return _grid(
        r,
        f"TAR of {r.title}, {name}",
        note + _legend(r, base, what),
        lambda cell: (100 * r.at(what, cell).value, _written(r, base, what, cell)),
        colour_label="TAR in %",
        span=(0.0, 100.0),
    )


def _drift(r: Resolution) -> Float[np.ndarray, "k k"]:
    """Give the decades by which FAR misses the one asked for; of no false accept, what one would be."""
    one = 1 / (r.impostor_pairs * (2.0 - np.eye(len(r.pixels))))
    drift: np.ndarray = np.log10(np.maximum(r.table(GOT), one) / r.far)
    return drift


def _drifts(r: Resolution, base: Resolution | None, reach: float) -> Heatmap:
    drift = _drift(r)
    return _grid(
        r,
        f"FAR of {r.title}, fixed threshold",
        f"The FAR that the threshold of native × native gets, in multiples of the {r.far:g} it was set for: "
        f"red where more impostors get in, blue where fewer.{_legend(r, base, GOT)}",
        lambda cell: (float(drift[cell]), _written(r, base, GOT, cell)),
        colour_label=f"log₁₀(FAR / {r.far:g})",
        diverging=True,
        span=(-reach, reach),
    )


def _differences(r: Resolution, base: Resolution) -> Heatmap:
    def of(cell: Crossed) -> tuple[float, str]:
        more = r.at(OWN, cell) - base.at(OWN, cell)
        return 100 * more.value, f"{100 * more.value:+.1f}{'' if more.sign else ' ~'}"

    return _grid(
        r,
        f"TAR of {r.title} less that of {base.model}, own thresholds",
        f"Red where {r.model} accepts more genuine pairs at FAR {r.far:g}. ~ marks differences whose paired "
        "interval, in the table below, includes zero or cannot be told: they may be chance.",
        of,
        colour_label="points of TAR",
        diverging=True,
    )


def _curves(results: Sequence[Resolution]) -> list[Curves]:
    """Draw TAR against a native gallery, and the FAR of the fixed threshold."""
    top = 2.0 * max(int(r.pixels.max()) for r in results)
    places = {p: float(p or top) for r in results for p in r.pixels.tolist()}

    def line(r: Resolution, name: str, what: str, dash: Literal["solid", "dash"], *, native: bool) -> Curve:
        cells = [(r.last if native else p, p) for p in range(len(r.pixels))]
        ends = r.estimates.row(what, [r.place(cell) for cell in cells])
        x = np.array([places[p] for p in r.pixels.tolist()])
        return Curve(f"{r.model}, {name}", x, *ends, r.model, dash, markers=True)

    tar, far = [], []
    for r in results:
        tar.append(line(r, "own threshold", OWN, "solid", native=True))
        tar.append(line(r, "fixed threshold", FIXED, "dash", native=True))
        far.append(line(r, "native × p", GOT, "solid", native=True))
        far.append(line(r, "p × p", GOT, "dash", native=False))
    ends = np.array([min(places.values()), top])
    far += [
        Curve(f"null: {f:g}", ends, np.full(2, f), dash="dot", role="null")
        for f in sorted({r.far for r in results})
    ]
    titles = ("TAR over resolution, native gallery", "FAR over resolution, fixed threshold")
    return [
        Curves(
            title=title,
            xlabel="resolution p of the probe",
            ylabel=title[:3],
            curves=tuple(curves),
            xscale="log",
            yscale="log" if curves is far else "linear",
            xticks={place: _name(p) for p, place in places.items()},
            note="The fixed threshold is that of native × native. Bands are 95 % intervals from a bootstrap "
            "over people. p is the resolution on the axis; native stands at its end, whatever its pixels.",
        )
        for title, curves in zip(titles, (tar, far), strict=True)
    ]


def _table(results: Sequence[Resolution]) -> Table:
    """Write one half of every table in numbers, with the paired differences."""
    rows = []
    for r in results:
        base = _baseline(r, results)
        for cell in _half(r):
            row: list[Any] = [r.title, where(r.place(cell))]
            for what, spec in ((OWN, ".1%"), (FIXED, ".1%"), (GOT, ".2g")):
                row.append(Cell(r.at(what, cell), format(r.at(what, cell), spec)))
            for what in (OWN, FIXED):
                few = " (unstable)" if r.unsteady(what, cell) else ""
                row.append(Cell(r.counted(what, cell), f"{r.counted(what, cell):,}{few}"))
            more = None if base is None else r.at(OWN, cell) - base.at(OWN, cell)
            row.append("" if more is None else Cell(more, more.points().replace(" points", "")))
            rows.append(tuple(row[: 7 + (len(results) > 1)]))
    columns = [
        *("set", "gallery × probe", "TAR, own threshold", "TAR, fixed threshold", "FAR, fixed threshold"),
        *("false accepts, own", "false accepts, fixed", "own TAR less the first model's, points"),
    ]
    return Table(
        title="TAR and FAR of every gallery and probe",
        columns=tuple(columns[: 7 + (len(results) > 1)]),
        rows=tuple(rows),
        note="Gallery and probe may change places. The fixed threshold is that of native × native.",
    )


def _half(r: Resolution) -> list[Crossed]:
    """List native × native, then each gallery with itself and the probes below it."""
    falling = range(len(r.pixels))[::-1]
    return [(g, p) for g in falling for p in falling if p <= g]


def findings(results: Sequence[Resolution]) -> list[Finding]:
    """Say where accuracy breaks, what one threshold gets and costs, and which model keeps more."""
    said = []
    for r in results:
        said += [_breaks(r), _costs(r), *_cautions(r)]
    for r in results:
        base = _baseline(r, results)
        if base is not None:
            said.append(_compared(r, base))
        elif r is not results[0]:
            text = f"No comparison of {r.title} with {results[0].title}: data set, resolutions or FAR differ."
            said.append(Finding(text))
    return said


def _few(few: bool) -> str:
    return f" (unstable, fewer than {STABLE} false accepts)" if few else ""


def _between(r: Resolution, cell: Crossed) -> str:
    kinds = dict.fromkeys(r.names[k].replace(" px", "-px") for k in cell)
    return f"between {' and '.join(kinds)} images"


def _breaks(r: Resolution) -> Finding:
    """Find the largest resolution at which a native gallery loses much, and more than chance."""
    native, falling = (r.last, r.last), range(r.last)[::-1]
    change = [r.at(OWN, (r.last, p)) - r.at(OWN, native) for p in range(r.last)]
    lost = [p for p in falling if change[p].sign == -1]
    broken = [p for p in lost if change[p].value < BREAK]

    def told(p: int) -> str:
        return f"{r.names[p]} ({r.at(OWN, (r.last, p)).value:.1%}, {change[p].points()})"

    few = any(r.unsteady(OWN, (r.last, p)) for p in range(r.last + 1))
    text = (
        f"On {r.title}, a native gallery accepts {r.at(OWN, native):.1%} of genuine native probes at "
        f"FAR {r.far:g}{_few(few)}"
    )
    if not lost:
        lowest = min(falling, key=lambda p: change[p].value)
        if change[lowest].sign is None:
            return Finding(f"{text}, and fewest at {told(lowest)}; {unknown('loss')}.")
        return Finding(
            f"{text}; no loss is beyond chance, and the lowest figure elsewhere is at {told(lowest)}."
        )
    if broken:
        points = f"{-100 * BREAK:.0f} points"
        text += f"; accuracy breaks at {told(broken[0])}, the largest resolution to lose over {points}"
    else:
        text += f"; the greatest loss beyond chance is at {told(min(lost, key=lambda p: change[p].value))}"
    if broken and lost[0] != broken[0]:
        text += f", and the largest to lose more than chance is {told(lost[0])}"
    return Finding(f"{text}.", "bad" if broken else "plain")


def _costs(r: Resolution) -> Finding:
    """Say what the threshold of native × native gets elsewhere, and what it loses there."""
    native, *cells = _half(r)
    most = max(cells, key=lambda cell: r.at(GOT, cell).value)
    got, asked = r.at(GOT, most), r.at(GOT, native)
    # Native × native falls short of the FAR asked by up to one false accept itself.
    text = (
        f"A threshold set for FAR {r.far:g} on native images gets FAR {got:.2g}{_few(r.unsteady(GOT, most))} "
        f"{_between(r, most)} in {r.title}, the highest of all, and {asked.value:.2g} between native ones"
    )
    drift = compared(text, got, asked, spec="+.2g", tones=("plain", "bad"))
    dear = min(cells, key=lambda cell: r.at(FIXED, cell).value - r.at(OWN, cell).value)
    fixed, own = r.at(FIXED, dear), r.at(OWN, dear)
    if fixed.value >= own.value or (fixed - own).sign == 0:
        return drift
    text = (
        f"{drift.text} {_between(r, dear).capitalize()} it accepts {fixed.value:.1%} of genuine pairs where "
        f"a threshold of their own accepts {own.value:.1%}"
    )
    return Finding(compared(text, fixed, own).text, drift.tone)


def _compared(r: Resolution, base: Resolution) -> Finding:
    """Compare two models against a native gallery, resolution by resolution."""
    row = [(r.last, p) for p in range(len(r.pixels))[::-1]]
    sides = [(r.at(OWN, cell), base.at(OWN, cell)) for cell in row]
    change = {r.names[p]: mine - theirs for (_, p), (mine, theirs) in zip(row, sides, strict=True)}
    few = any(x.unsteady(OWN, cell) for x in (r, base) for cell in row)
    text = f"Against a native gallery of {r.dataset} at FAR {r.far:g}{_few(few)}, {r.model}"
    if any(e.sign is None for e in change.values()):
        told = ", ".join(f"{name} {100 * e.value:+.1f}" for name, e in change.items())
        why = unknown(paired=all(mine.is_paired(theirs) for mine, theirs in sides))
        return Finding(f"{text} differs from {base.model} by these points of TAR: {told}; {why}.")
    by_sign = {sign: {n: e for n, e in change.items() if e.sign == sign} for sign in (1, -1, 0)}
    parts = [
        f"{word} genuine pairs at {', '.join(f'{n} ({e.points()})' for n, e in by_sign[sign].items())}"
        for sign, word in ((1, "more"), (-1, "fewer"))
        if by_sign[sign]
    ]
    if not parts:
        at = max(change, key=lambda name: abs(change[name].value))
        return judged(
            f"{text} and {base.model} differ beyond chance at no resolution, most at {at}", change[at]
        )
    text += f" accepts {' and '.join(parts)} than {base.model}"
    text += f"; at {', '.join(by_sign[0])} no difference is beyond chance" if by_sign[0] else ""
    return Finding(f"{text}.", "plain" if by_sign[-1] else "good")


def _cautions(r: Resolution) -> list[Finding]:
    """Say what was asked and could not be done."""
    said = []
    if r.far != r.far_asked:
        said.append(
            f"Each resolution of {r.title} has {r.impostor_pairs:,} impostor pairs, too few for FAR "
            f"{r.far_asked:g} (at least {np.ceil(1 / r.far_asked):,.0f} are needed); FAR {r.far:g} is used "
            "instead."
        )
    if r.missing:
        said.append(f"There are no vectors of {', '.join(map(_name, r.missing))} of {r.title}.")
    if r.left_out:
        said.append(f"On {r.title}, {r.left_out:,} images are left out, as some resolution lacks them.")
    if r.other_datasets:
        said.append(
            f"Of the data sets only {r.dataset} was measured in {r.model}, not "
            f"{', '.join(r.other_datasets)}: ask for one at a time."
        )
    return [Finding(text, "bad") for text in said]


ANALYSIS = Analysis(
    question="Down to which resolution are faces recognised, and what does one threshold for all cost?",
    over="model",
    params=ResolutionParams(),
    result=Resolution,
    compute=compute,
    charts=charts,
    findings=findings,
    probes=wanted,
)
