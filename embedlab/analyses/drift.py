"""Drift: what a threshold that was set on native images lets in and loses at other resolutions.

A system in use has one threshold. Here it is the one of FAR ``far`` among native images, applied wherever
images of two resolutions meet. The same images are embedded as they are ("native") and after being shrunk to
fewer pixels. A cell of the table pairs every image at the gallery's resolution with every other image at the
probe's [1]_: two images of one person are a genuine pair, images of two people an impostor pair, and an image
never meets itself. The FAR then is no longer the one asked for, and neither is TAR what a threshold of the
cell's *own*, which keeps the FAR asked for, would give.

Intervals are 95 % intervals of a bootstrap over people [2]_ that finds every threshold anew in
each resample, the one of native × native too. All cells are resampled alike, so differences have intervals of
their own.

How to read it
--------------
Rows are galleries, columns are probes, and resolution grows down and to the right. Hatched cells get more
than three times the FAR asked for: there a high TAR is no merit, since strangers are let in as well. A drift
of +2 means a hundred times as many false accepts as asked for. The null of a TAR is the FAR beside it.

Limits
------
Every ordered pair of images is counted, so gallery and probe may change places: the table is
symmetric, and one half of it is computed. On the diagonal that counts each pair twice over, which
changes no share. The FAR of native × native is the one asked for by construction. The threshold
meets other images but the same people, so that drift is that of resolution alone; verification tells
what a threshold is worth among other people. Impostor shares above the highest 500,000 pairs
of a cell are exact; lower thresholds are read from histograms, exact to a bin of 3·10⁻⁵, and how they
vary is told to first order. Each person weighs the same, or each pair (``weigh``).

References
----------
.. [1] Aghdam, O. A., Bozorgtabar, B., Ekenel, H. K. and Thiran, J.-P. Exploring factors for improving
   low resolution face recognition. CVPR Workshops, 2019.
.. [2] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab import resolutions
from embedlab.analysis import Analysis, Finding, Number, Params, bounded
from embedlab.charts import Cell, Chart, Heatmap, Table
from embedlab.estimates import Estimate, Estimates, People, claim, compared, label, shares, where
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.pairs import levels, roc
from embedlab.maths.pairs.all_pairs import Pairs, Weigh, all_pairs
from embedlab.maths.pairs.levels import STABLE
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.effective import effective_number
from embedlab.maths.people.evidence import LEVEL
from embedlab.maths.people.permutation import holm
from embedlab.progress import track
from embedlab.resolutions import AcrossResolutions, Crossed, Ladder

FAR, TAR, OWN = "FAR", "TAR", "TAR, own threshold"
MEASURES = (FAR, TAR, OWN)
UNSAFE = 3.0
"""A FAR that many times the one asked for is no longer taken for it."""

LIMIT = f"FAR over {UNSAFE:g} times the one asked for"


@dataclass(frozen=True)
class DriftParams(Params):
    """Knobs of the drift analysis."""

    pixels: str = resolutions.PIXELS
    """Sides in pixels that images are shrunk to, whole numbers separated by spaces; native images are
    always there, and with the default the sizes that the study names."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate at which the threshold is set on native images."""
    weigh: Weigh = "people"
    """Each person and each two people weigh the same, or each pair does, as in the field's protocols."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Drift(AcrossResolutions):
    """FAR and TAR that one threshold gets in every gallery with every probe.

    Attributes
    ----------
    estimates
        FAR and TAR at the threshold, and TAR at each cell's own.
    false_accepts
        Impostor pairs that the threshold accepts, and those that the own one does.
    """

    threshold: float = field(metadata={"label": "threshold of native × native"})
    false_accepts: Int[np.ndarray, "2 k k"]

    def table(self, what: str) -> Float[np.ndarray, "k k"]:
        """Give one figure of every gallery and probe."""
        k = range(len(self.pixels))
        return np.array([[self.at(what, (g, p)).value for p in k] for g in k])

    @property
    def unsafe(self) -> Bool[np.ndarray, "k k"]:
        """Where FAR is far above the one asked for."""
        return self.table(FAR) > UNSAFE * self.far

    def counted(self, what: str, cell: Crossed) -> int:
        """Count the false accepts that a figure rests on."""
        return int(self.false_accepts[1 if what == OWN else 0, *cell])

    def numbers(self) -> dict[str, Number]:
        """List the native row and the diagonal, those that rest on few false accepts marked."""
        half = _half(len(self.pixels))
        few = {label((w, *self.place(c))) for w in MEASURES for c in half if self.counted(w, c) < STABLE}
        others = {label((w, *self.place(c))) for w in MEASURES for c in half if c[0] not in (c[1], self.last)}
        others |= {label((OWN, *self.place(c))) for c in half}
        whole = super().numbers().items()
        return {f"{k}, unstable" if k in few else k: v for k, v in whole if k not in others}


def _half(k: int) -> list[Crossed]:
    """List native × native, then each gallery with itself and the probes below it."""
    falling = range(k)[::-1]
    return [(g, p) for g in falling for p in falling if p <= g]


def wanted(params: DriftParams, probes: Sequence[str]) -> tuple[str, ...]:
    """Name the probes to measure, as ``resolutions.wanted`` says."""
    return resolutions.wanted(params.pixels, "drift", probes)


def compute(sets: Sequence[EmbeddingSet], params: DriftParams) -> Drift:
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
        If ``pixels`` cannot be read, the native images or all others are missing, no person has two images,
        or there are too few impostor pairs for any usual FAR.
    """
    asked, ladder = resolutions.read(params.pixels, "drift"), Ladder.of(sets)
    shared = resolutions.shared(ladder, asked, params.far)
    far, names, k = ladder.resolvable(params.far), ladder.names, len(ladder.pixels)
    people, found, lowest = People.of(ladder.native.identities, params), Estimates(), np.nan
    false, fixed = np.empty((2, k, k), np.int64), (np.empty(0), np.empty(0))
    for g, p in track(_half(k), f"pairing resolutions in {ladder.native.model}"):
        other = None if g == p else ladder.images[p].unit
        pairs = all_pairs(ladder.images[g].unit, ladder.native.labels, other, weigh=params.weigh)
        own = roc.limits(pairs, np.array([far]), people.counts)
        if g == p == k - 1:  # Native × native comes first.
            fixed, lowest = own, float(roc.lowest_accepted(pairs, own[0])[0])
        measured, false[:, g, p] = _cell(pairs, people, fixed, own, far)
        false[:, p, g] = false[:, g, p]
        found |= {(what, names[g], names[p]): one for what, one in measured.items()}
    return Drift(
        **shared,
        estimates=found,
        threshold=lowest,
        false_accepts=false,
    )


def _cell(
    pairs: Pairs,
    people: People,
    fixed: tuple[np.ndarray, np.ndarray],
    own: tuple[np.ndarray, np.ndarray],
    far: float,
) -> tuple[dict[str, Estimate], np.ndarray]:
    """Measure a cell at the fixed and at its own limit, and count the false accepts of both."""
    ones = np.ones((1, people.counts.shape[1]), np.float32)
    point, drawn = np.concatenate([fixed[0], own[0]]), np.concatenate([fixed[1], own[1]], axis=1)
    false = np.array([roc.false_accepts(pairs, float(limit)) for limit in point])
    tar, draws = (roc.accepted_share(pairs, *at) for at in ((ones, point[None]), (people.counts, drawn)))
    # A resample of one person alone has no impostor pair, so no threshold and no TAR.
    draws[roc.impostor_weight(pairs, people.counts) <= 0] = np.nan
    got = Drawn(roc.accepted_far(pairs, float(point[0])), roc.achieved_far(pairs, people.counts, drawn[:, 0]))
    accepted = [Drawn(float(value), each) for value, each in zip(tar[0], draws.T, strict=True)]
    paired = round(effective_number(pairs.genuine_masses))
    return {
        FAR: people.estimate(got, people.counts.shape[1], far, share=True),
        TAR: people.estimate(accepted[0], paired, got.value, share=True),
        OWN: people.estimate(accepted[1], paired, far, share=True),
    }, false


def charts(results: Sequence[Drift]) -> list[Chart]:
    """FAR over resolution; FAR and TAR of every gallery and probe a model; numbers."""
    drawn: list[Chart] = [
        resolutions.curves(
            *(
                results,
                FAR,
                "FAR over resolution, one threshold",
                "The threshold is that of native × native.",
            ),
            max(r.far for r in results),
            yscale="log",
        )
    ]
    reach = max(float(np.abs(_decades(r)).max()) for r in results) or 1.0
    for r in results:
        drawn += [
            _grid(
                r,
                f"FAR of {r.title}",
                f"The FAR that the threshold of native × native gets, in multiples of the {r.far:g} it was "
                "set for: red where more impostors get in, blue where fewer.",
                _decades(r),
                [[f"{_times(r.at(FAR, (g, p)).value / r.far)}×" for p in _k(r)] for g in _k(r)],
                colour_label=f"log₁₀(FAR / {r.far:g})",
                diverging=True,
                span=(-reach, reach),
            ),
            _grid(
                r,
                f"TAR of {r.title}",
                f"The threshold {r.threshold:.4f} of native × native at FAR {r.far:g}, applied everywhere.",
                100 * r.table(TAR),
                [[f"{100 * r.at(TAR, (g, p)).value:.1f}" for p in _k(r)] for g in _k(r)],
                colour_label="TAR in %",
                span=(0.0, 100.0),
            ),
        ]
    return [*drawn, _table(results)]


def _k(r: Drift) -> range:
    return range(len(r.pixels))


def _times(ratio: float) -> str:
    """Write a ratio with two digits that count, and never as a power of ten."""
    return f"{ratio:,.0f}" if ratio >= 9.95 else f"{ratio:.2g}"


def _decades(r: Drift) -> Float[np.ndarray, "k k"]:
    """Give the decades by which FAR misses the one asked for; of no false accept, what one would be."""
    one = 1 / (r.impostor_pairs * (2.0 - np.eye(len(r.pixels))))
    drift: np.ndarray = np.log10(np.maximum(r.table(FAR), one) / r.far)
    return drift


def _grid(r: Drift, title: str, note: str, values: np.ndarray, text: list[list[str]], **look: Any) -> Heatmap:
    return Heatmap(
        title=title,
        xlabels=r.names,
        ylabels=r.names,
        values=values,
        text=np.array(text),
        xlabel="probe",
        ylabel="gallery",
        note=f"{note} Intervals stand in the table below.",
        hatched=r.unsafe,
        hatched_label=LIMIT,
        **look,
    )


def _table(results: Sequence[Drift]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for r in results:
        for cell in _half(len(r.pixels)):
            row: list[Any] = [r.title, where(r.place(cell))]
            for what, spec in ((FAR, ".2g"), (TAR, ".1%"), (OWN, ".1%")):
                row.append(Cell(r.at(what, cell), format(r.at(what, cell), spec)))
            for what in (FAR, OWN):
                few = "" if r.counted(what, cell) >= STABLE else " (unstable)"
                row.append(Cell(r.counted(what, cell), f"{r.counted(what, cell):,}{few}"))
            rows.append((*row, f"over {UNSAFE:g}×" if r.unsafe[cell] else ""))
    return Table(
        title="FAR and TAR of every gallery and probe",
        columns=(
            *("set", "gallery × probe", "FAR", "TAR", "TAR, own threshold", "false accepts"),
            *("false accepts, own threshold", "unsafe"),
        ),
        rows=tuple(rows),
        note="Gallery and probe may change places. The threshold is that of native × native.",
    )


def findings(results: Sequence[Drift]) -> list[Finding]:
    """Say what one threshold lets in, where it is unsafe, and what it loses."""
    said = [one for r in results for one in (_most(r), *_unsafe(r), *_dearest(r))]
    return said + [one for r in results if r.far != r.far_asked for one in resolutions.cautions(r)[:1]]


def _most(r: Drift) -> Finding:
    """Hold the highest FAR against that between native images, up to one accept below the one asked for."""
    native, *cells = _half(len(r.pixels))
    most = max(cells, key=lambda cell: r.at(FAR, cell).value)
    got, asked = r.at(FAR, most), r.at(FAR, native)
    text = (
        f"In {r.model}, the threshold of FAR {r.far:g} on native images gets FAR {got.value:.2g}"
        f"{levels.unstable(r.counted(FAR, most))} at worst, {resolutions.between(r.place(most))}"
    )
    return compared(text, got, asked, spec="+.2g", tones=("plain", "bad"), among=len(cells))


def _unsafe(r: Drift) -> list[Finding]:
    """Count the cells whose FAR is far too high beyond chance, and name the one of most pixels."""
    half = _half(len(r.pixels))[1:]
    over = [replace(r.at(FAR, cell), null=UNSAFE * r.far).over_null for cell in half]
    p_values = holm(np.array([one.p if one and one.sign == 1 else 1.0 for one in over]))
    found = [cell for cell, p in zip(half, p_values, strict=True) if p <= LEVEL]
    if len(found) < 2:
        return []
    largest = max(found, key=lambda cell: cell[::-1])
    text = (
        f"In {r.model}, the native threshold gets over {UNSAFE:g} × its FAR in {len(found)} of {len(half)} "
        f"pairings, already {resolutions.between(r.place(largest))} (FAR {r.at(FAR, largest).value:.2g})"
    )
    return [claim(f"{text}.", f"{text}; that may be chance.", float(p_values.min()), tone="bad")]


def _dearest(r: Drift) -> list[Finding]:
    """Tell where the threshold loses most against one of the cell's own, if it loses anything."""
    cells = _half(len(r.pixels))[1:]
    dear = min(cells, key=lambda cell: r.at(TAR, cell).value - r.at(OWN, cell).value)
    fixed, own = r.at(TAR, dear), r.at(OWN, dear)
    if fixed.value >= own.value:
        return []
    lost, kept = shares(fixed, own)
    between = resolutions.between(r.place(dear))
    text = f"In {r.model}, the native threshold accepts {lost} of genuine pairs {between}, their own {kept}"
    return [compared(text, fixed, own, among=len(cells))]


ANALYSIS = Analysis(
    question="What does one threshold for all resolutions let in, and what does it lose?",
    over="model",
    params=DriftParams(),
    result=Drift,
    compute=compute,
    charts=charts,
    findings=findings,
    probes=wanted,
)
