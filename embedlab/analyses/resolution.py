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
from jaxtyping import Float, Float32, Int

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result, bounded
from embedlab.charts import Chart, Curve, Curves, Heatmap, Table
from embedlab.embeddings import EmbeddingSet, aligned
from embedlab.errors import UserError
from embedlab.maths import roc
from embedlab.maths.bootstrap import interval, population, resamples, share_interval
from embedlab.maths.pairs import Pairs, all_pairs
from embedlab.progress import track

Cell = tuple[int, int]
FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
STABLE = 10
NATIVE = 0  # Stands for "as it is" among numbers of pixels.
OWN, FIXED, GOT = 0, 1, 2
LABELS = ("TAR, {}, own threshold", "TAR, {}, fixed threshold", "FAR, {}, fixed threshold")
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

    Axes of three are the measures: TAR at the own threshold, TAR at the fixed one, and the FAR that the
    fixed one gets. Axes of k are gallery and probe, in rising order of ``pixels``, native (0) last.
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
    estimates: Mapping[str, Estimate]
    population: str = field(metadata={"hidden": True})
    pixels: Int[np.ndarray, " k"]
    figures: Float[np.ndarray, "3 k k"]
    ends: Float[np.ndarray, "2 3 k k"]
    false_accepts: Int[np.ndarray, "3 k k"]
    replicates: Float32[np.ndarray, "3 resamples k k"]

    @property
    def names(self) -> tuple[str, ...]:
        """Resolutions in words, rising."""
        return tuple(_name(p) for p in self.pixels)

    def at(self, measure: int, cell: Cell) -> Estimate:
        """Give one figure of one cell with its interval."""
        low, high = self.ends[:, measure, *cell]
        return Estimate(float(self.figures[measure, *cell]), _number(low), _number(high), self.people)

    def unsteady(self, measure: int, cell: Cell) -> bool:
        """Say whether a figure rests on too few false accepts."""
        return bool(self.false_accepts[measure, *cell] < STABLE)


def _name(pixels: int) -> str:
    return "native" if pixels == NATIVE else f"{pixels} px"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


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
    counts = resamples(len(sizes), params.resamples, params.seed)
    tables: dict[str, np.ndarray] = {
        "figures": np.empty((3, k, k)),
        "ends": np.empty((2, 3, k, k)),
        "false_accepts": np.empty((3, k, k), np.int64),
        "replicates": np.empty((3, params.resamples, k, k), np.float32),
    }
    fixed: tuple[np.ndarray, np.ndarray] = (np.empty(0), np.empty(0))
    cells = [(g, p) for g in reversed(range(k)) for p in range(g, k)]  # Native × native comes first.
    for g, p in track(cells, f"pairing resolutions in {native.model}"):
        pairs = all_pairs(images[g].unit, native.labels, None if g == p else images[p].unit)
        own = roc.limits(pairs, np.array([far]), counts)
        fixed = own if g == p == k - 1 else fixed
        for table, values in zip(tables.values(), _cell(pairs, counts, own, fixed), strict=True):
            table[..., g, p] = table[..., p, g] = values
    pixels = sorted(by_pixels, key=_rank)
    return Resolution(
        title=f"{dataset} in {native.model}",
        model=native.model,
        dataset=dataset,
        other_datasets=others,
        missing=tuple(sorted(_ladder(params.pixels) - set(pixels))),
        people=len(sizes),
        images=len(native.items),
        left_out=left_out,
        impostor_pairs=impostors,
        far=far,
        far_asked=params.far,
        # The lowest accepted score: the float above the highest rejected one.
        threshold=float(np.nextafter(np.float32(fixed[0][0]), np.float32(2))),
        estimates=_estimates([_name(p) for p in pixels], tables, far, int((sizes > 1).sum()), len(sizes)),
        population=population(native.identities, params.resamples, params.seed),
        pixels=np.array(pixels, dtype=np.int64),
        **tables,
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
    counts: np.ndarray,
    own: tuple[np.ndarray, np.ndarray],
    fixed: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Measure a cell at its own and at the fixed limit: figures, ends, false accepts, replicates."""
    ones = np.ones((1, counts.shape[1]), np.float32)
    point, drawn = np.concatenate([own[0], fixed[0]]), np.concatenate([own[1], fixed[1]], axis=1)
    false = np.array([roc.false_accepts(pairs, float(limit)) for limit in point])[[OWN, FIXED, FIXED]]
    figures = np.r_[roc.accepted_share(pairs, ones, point[None])[0], false[GOT] / int(pairs.impostor.sum())]
    tar = roc.accepted_share(pairs, counts, drawn)
    # A resample of one person alone has no impostor pair, so no threshold and no TAR.
    tar[roc.impostor_weight(pairs, counts) <= 0] = np.nan
    replicates = np.stack([*tar.T, roc.achieved_far(pairs, counts, drawn[:, FIXED])])
    paired = len(np.unique(pairs.genuine_people))
    ends = [
        share_interval(float(value), draws, people)
        for value, draws, people in zip(figures, replicates, (paired, paired, counts.shape[1]), strict=True)
    ]
    return figures, np.array(ends, dtype=np.float64).T, false, replicates


def _estimates(
    names: Sequence[str], tables: Mapping[str, np.ndarray], far: float, paired: int, people: int
) -> dict[str, Estimate]:
    """List the native row and the diagonal; the whole table is in the arrays."""
    last = len(names) - 1
    cells = [(last, last), *((last, p) for p in range(last)), *((p, p) for p in range(last))]
    found = {}
    for measure, label in enumerate(LABELS):
        # In native × native the fixed threshold is the own one.
        for g, p in cells if measure == OWN else cells[1:]:
            mark = ", unstable" if tables["false_accepts"][measure, g, p] < STABLE else ""
            low, high = map(_number, tables["ends"][:, measure, g, p])
            found[label.format(f"{names[g]} × {names[p]}") + mark] = Estimate(
                float(tables["figures"][measure, g, p]),
                low,
                high,
                people if measure == GOT else paired,
                float(tables["figures"][GOT, g, p]) if measure == FIXED else far,
            )
    return found


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


def _change(a: Resolution, b: Resolution, cell: Cell, other: Cell | None = None) -> Estimate:
    """Give TAR of a's cell less b's, own thresholds, with the paired interval."""
    return _less(a, (OWN, *cell), b, (OWN, *(other or cell)))


def _less(a: Resolution, at: tuple[int, int, int], b: Resolution, other: tuple[int, int, int]) -> Estimate:
    value = float(a.figures[at] - b.figures[other])
    if a.population != b.population:
        return Estimate(value)
    gaps = a.replicates[at[0], :, *at[1:]].astype(np.float64) - b.replicates[other[0], :, *other[1:]]
    return Estimate(value, *interval(gaps), a.people)


def _sure(e: Estimate) -> bool:
    """Say whether an interval leaves zero out."""
    return e.low is not None and e.high is not None and not e.low <= 0 <= e.high


def _grid(
    r: Resolution, title: str, note: str, of: Callable[[Cell], tuple[float, str]], **look: Any
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


def _written(r: Resolution, base: Resolution | None, measure: int, cell: Cell) -> str:
    """Write a figure, and the first model's in brackets: TAR in per cent, FAR in multiples of that asked."""

    def figure(of: Resolution) -> str:
        value = float(of.figures[measure, *cell])
        return f"{value / of.far:.2g}×" if measure == GOT else f"{100 * value:.1f}"

    bracket = "" if base is None else f"\n({figure(base)})"
    return f"{figure(r)}{' *' if r.unsteady(measure, cell) else ''}{bracket}"


def _legend(r: Resolution, base: Resolution | None, measure: int) -> str:
    text = " Intervals stand in the table below."
    text += "" if base is None else f" In brackets: {base.model}."
    few = (r.false_accepts[measure] < STABLE).any()
    return text + (f" * fewer than {STABLE} false accepts, unstable." if few else "")


def _shares(r: Resolution, base: Resolution | None, measure: int) -> Heatmap:
    name, note = "own thresholds", f"In each cell the threshold of FAR {r.far:g} there."
    if measure == FIXED:
        name = "fixed threshold"
        note = f"The threshold {r.threshold:.4f} of native × native at FAR {r.far:g}, applied everywhere."
    return _grid(
        r,
        f"TAR of {r.title}, {name}",
        note + _legend(r, base, measure),
        lambda cell: (100 * float(r.figures[measure, *cell]), _written(r, base, measure, cell)),
        colour_label="TAR in %",
        span=(0.0, 100.0),
    )


def _drift(r: Resolution) -> Float[np.ndarray, "k k"]:
    """Give the decades by which FAR misses the one asked for; of no false accept, what one would be."""
    one = 1 / (r.impostor_pairs * (2.0 - np.eye(len(r.pixels))))
    drift: np.ndarray = np.log10(np.maximum(r.figures[GOT], one) / r.far)
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
    def of(cell: Cell) -> tuple[float, str]:
        more = _change(r, base, cell)
        return 100 * more.value, f"{100 * more.value:+.1f}{'' if _sure(more) else ' ~'}"

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

    def line(
        r: Resolution, name: str, measure: int, dash: Literal["solid", "dash"], *, native: bool
    ) -> Curve:
        probes = np.arange(len(r.pixels))
        at = (measure, np.full(len(probes), probes[-1]) if native else probes, probes)
        x = np.array([places[p] for p in r.pixels.tolist()])
        low, high = r.ends[0][at], r.ends[1][at]
        return Curve(f"{r.model}, {name}", x, r.figures[at], low, high, r.model, dash, markers=True)

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
            row = [r.title, " × ".join(r.names[k] for k in cell)]
            row += [f"{r.at(OWN, cell):.1%}", f"{r.at(FIXED, cell):.1%}", f"{r.at(GOT, cell):.2g}"]
            for measure in (OWN, FIXED):
                few = " (unstable)" if r.unsteady(measure, cell) else ""
                row.append(f"{r.false_accepts[measure, *cell]:,}{few}")
            row.append("" if base is None else _change(r, base, cell).points().replace(" points", ""))
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


def _half(r: Resolution) -> list[Cell]:
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


def _between(r: Resolution, cell: Cell) -> str:
    kinds = dict.fromkeys(r.names[k].replace(" px", "-px") for k in cell)
    return f"between {' and '.join(kinds)} images"


def _breaks(r: Resolution) -> Finding:
    """Find the largest resolution at which a native gallery loses much, and more than chance."""
    last = len(r.pixels) - 1
    falling = range(last)[::-1]
    change = [_change(r, r, (last, p), (last, last)) for p in range(last)]
    lost = [p for p in falling if change[p].value < 0 and _sure(change[p])]
    broken = [p for p in lost if change[p].value < BREAK]

    def told(p: int) -> str:
        return f"{r.names[p]} ({r.figures[OWN, last, p]:.1%}, {change[p].points()})"

    few = any(r.unsteady(OWN, (last, p)) for p in range(last + 1))
    text = (
        f"On {r.title}, a native gallery accepts {r.at(OWN, (last, last)):.1%} of genuine native probes at "
        f"FAR {r.far:g}{_few(few)}"
    )
    if not lost:
        lowest = min(falling, key=lambda p: change[p].value)
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
    cells = _half(r)[1:]
    most = max(cells, key=lambda cell: float(r.figures[GOT, *cell]))
    got = r.at(GOT, most)
    # Against native × native, which falls short of the FAR asked by up to one false accept itself.
    drift = _less(r, (GOT, *most), r, (GOT, *_half(r)[0]))
    more = _sure(drift) and drift.value > 0
    text = (
        f"A threshold set for FAR {r.far:g} on native images gets FAR {got:.2g}{_few(r.unsteady(GOT, most))} "
        f"{_between(r, most)} in {r.title}"
    )
    if not more:
        text += ", the highest of all" + (
            "" if _sure(drift) else ", which may differ from that by chance alone"
        )
    cost = {cell: _less(r, (FIXED, *cell), r, (OWN, *cell)) for cell in cells}
    dear = min(cells, key=lambda cell: cost[cell].value)
    if cost[dear].value < 0 and _sure(cost[dear]):
        text += (
            f"; {_between(r, dear)} it accepts {r.figures[FIXED, *dear]:.1%} of genuine pairs where a "
            f"threshold of their own accepts {r.figures[OWN, *dear]:.1%} ({cost[dear].points()})"
        )
    return Finding(f"{text}.", "bad" if more else "plain")


def _compared(r: Resolution, base: Resolution) -> Finding:
    """Compare two models against a native gallery, resolution by resolution."""
    last = len(r.pixels) - 1
    row = [(last, p) for p in range(len(r.pixels))[::-1]]
    change = {r.names[p]: _change(r, base, (last, p)) for _, p in row}
    sides = [
        {n: e for n, e in change.items() if _sure(e) and (e.value > 0) == more} for more in (True, False)
    ]
    open_ = [name for name, e in change.items() if not _sure(e)]
    few = any(x.unsteady(OWN, cell) for x in (r, base) for cell in row)
    parts = [
        f"{word} genuine pairs at {', '.join(f'{name} ({e.points()})' for name, e in side.items())}"
        for word, side in zip(("more", "fewer"), sides, strict=True)
        if side
    ]
    text = f"Against a native gallery of {r.dataset} at FAR {r.far:g}{_few(few)}, "
    if r.population != base.population:
        told = ", ".join(f"{name} {100 * e.value:+.1f}" for name, e in change.items())
        text += f"{r.model} differs from {base.model} by these points of TAR: {told}; they were measured on "
        return Finding(f"{text}different people, so no interval of the difference is given.")
    if not parts:
        at = max(change, key=lambda name: abs(change[name].value))
        text += f"what {r.model} and {base.model} differ by may be chance at every resolution, at most"
        return Finding(f"{text} {change[at].points()} at {at}.")
    text += f"{r.model} accepts {' and '.join(parts)} than {base.model}"
    text += f"; at {', '.join(open_)} the difference may be chance" if open_ else ""
    return Finding(f"{text}.", "good" if parts and not sides[1] else "plain")


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
