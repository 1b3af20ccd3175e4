"""Resolution: how many genuine pairs are still accepted when images have fewer pixels.

The same images are embedded as they are ("native") and after being shrunk to fewer pixels. A native gallery
meets probes of p pixels: every native image is paired with every *other* image at p [1]_. Beside it images
of p pixels meet each other. Two images of one person are a genuine pair, images of two people an impostor
pair, and an image never meets itself. TAR@FAR is the share of genuine pairs accepted at the FAR asked for,
at a threshold of these resolutions' own: what they could give. What one threshold for all gives is asked by
drift.

Intervals are 95 % intervals of a bootstrap over people [2]_ that finds every threshold anew in
each resample. All resolutions and all models on the same people are resampled alike, so differences have
intervals of their own.

Where the data say who cannot be told apart at how many pixels (an attribute ``doubles``, as synthetic
families have it), a ceiling is drawn: the TAR of a recogniser that reads all that is left and guesses among
doubles.

How to read it
--------------
The curve falls where faces can no longer be told apart. By chance TAR equals FAR. Where the dashed line,
images of p among themselves, falls far below the solid one, the network maps *different* people's small
images to one place: their impostors score as high as genuine pairs, and no threshold helps. Against a native
gallery the same images may do well. The mean over resolutions is that of the solid line without native.

Limits
------
A threshold is found on the pairs that it judges, so TAR is in-sample, as in any ROC. Every ordered pair of
images is counted, so gallery and probe may change places. Shrinking is not the whole of distance: noise,
compression and blur of a real camera are not in it. Impostor scores above the highest 500,000 pairs are
exact; lower thresholds are read from histograms, exact to a bin of 3·10⁻⁵, and how they vary is told to first
order. Each person weighs the same, or each pair (``weigh``); *n* is the effective number of people.

References
----------
.. [1] Aghdam, O. A., Bozorgtabar, B., Ekenel, H. K. and Thiran, J.-P. Exploring factors for improving
   low resolution face recognition. CVPR Workshops, 2019.
.. [2] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embedlab import operating, resolutions
from embedlab.analysis import Analysis, Finding, Number, Params, bounded
from embedlab.charts import Cell, Chart, Curve, Table
from embedlab.estimates import Estimate, Estimates, People, compared, label, shares, where
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.pairs import levels, roc
from embedlab.maths.pairs.all_pairs import Weigh, all_pairs
from embedlab.maths.pairs.levels import STABLE
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.effective import effective_number
from embedlab.progress import track
from embedlab.resolutions import AcrossResolutions, Crossed, Ladder

TAR, MEAN = "TAR", "TAR, mean over resolutions"
BREAK = -0.1  # Of TAR.
DOUBLES = "doubles"
"""Attribute that says with whom a person is mistaken at each number of pixels, as in ``8:3 16:17 144:60``."""


@dataclass(frozen=True)
class ResolutionParams(Params):
    """Knobs of the resolution analysis."""

    pixels: str = resolutions.PIXELS
    """Sides in pixels that images are shrunk to, whole numbers separated by spaces; native images are
    always there, and with the default the sizes that the study names."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate at which thresholds are set."""
    weigh: Weigh = "people"
    """Each person and each two people weigh the same, or each pair does, as in the field's protocols."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Resolution(AcrossResolutions):
    """TAR of a native gallery with every probe, and of each resolution with itself.

    Attributes
    ----------
    thresholds, false_accepts
        The lowest score accepted, and the impostor pairs accepted, in the order of ``cells``.
    ceilings
        TAR of the best recogniser at each resolution, in their order; NaN where the data do not say it.
    """

    thresholds: Float[np.ndarray, " cells"]
    false_accepts: Int[np.ndarray, " cells"]
    ceilings: Float[np.ndarray, " k"] = field(metadata={"hidden": True})

    @property
    def cells(self) -> list[Crossed]:
        """Each gallery and probe: native × native, the rest of the native row, the rest of the diagonal."""
        return _cells(len(self.pixels))

    def few(self, *cells: Crossed) -> str:
        """Caution where figures rest on too few false accepts."""
        return levels.unstable(min(int(self.false_accepts[self.cells.index(cell)]) for cell in cells))

    def numbers(self) -> dict[str, Number]:
        """List the numbers by label, those that rest on few false accepts marked."""
        few = {label((TAR, *self.place(cell))) for cell in self.cells if self.few(cell)}
        return {f"{k}, unstable" if k in few else k: v for k, v in super().numbers().items()}

    @property
    def mean(self) -> Estimate:
        """TAR of a native gallery, the mean over all that is shrunk."""
        return self.estimates[MEAN,]


def _cells(k: int) -> list[Crossed]:
    last, fewer = k - 1, range(k - 1)[::-1]
    return [(last, last), *((last, p) for p in fewer), *((p, p) for p in fewer)]


def wanted(params: ResolutionParams, probes: Sequence[str]) -> tuple[str, ...]:
    """Name the probes to measure, as ``resolutions.wanted`` says."""
    return resolutions.wanted(params.pixels, "resolution", probes)


def compute(sets: Sequence[EmbeddingSet], params: ResolutionParams) -> Resolution:
    """Pair native images with every resolution, and every resolution with itself.

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
    asked, ladder = resolutions.read(params.pixels, "resolution"), Ladder.of(sets)
    shared = resolutions.shared(ladder, asked, params.far)
    far, native = ladder.resolvable(params.far), ladder.native
    people, found, cells = People.of(native.identities, params), Estimates(), _cells(len(ladder.pixels))
    thresholds, false = np.empty(len(cells)), np.empty(len(cells), np.int64)
    for k, (g, p) in enumerate(track(cells, f"pairing resolutions in {native.model}")):
        other = None if g == p else ladder.images[p].unit
        pairs = all_pairs(ladder.images[g].unit, native.labels, other, weigh=params.weigh)
        rates = roc.rates(pairs, np.array([far]), people.counts)
        thresholds[k], false[k] = rates.thresholds[0], rates.false_accepts[0]
        draws = rates.tar_replicates[:, 0]
        # A resample of one person alone has no impostor pair, so no threshold and no TAR.
        draws[roc.impostor_weight(pairs, people.counts) <= 0] = np.nan
        paired = round(effective_number(pairs.genuine_masses))
        one = people.estimate(Drawn(float(rates.tar[0]), draws), paired, far, share=True)
        found[TAR, ladder.names[g], ladder.names[p]] = one
    row = [found[TAR, "native", name] for name in ladder.names[:-1]]
    mean = Drawn(float(np.mean([one.value for one in row])), np.mean([one.draws for one in row], axis=0))
    found[MEAN,] = people.estimate(mean, row[0].n, far, share=True)
    ceilings = np.array([ceiling(native, p, far) for p in ladder.pixels])
    return Resolution(
        **shared, estimates=found, thresholds=thresholds, false_accepts=false, ceilings=ceilings
    )


def ceiling(native: EmbeddingSet, pixels: int, far: float) -> float:
    """Give the TAR of a recogniser that accepts doubles, as many as the FAR allows, and no one else.

    Parameters
    ----------
    native
        The images as they are, whose attribute ``doubles`` is read.
    pixels
        Side; 0 is native, for which the largest side stands that the attribute names.
    far
        False accept rate.

    Returns
    -------
    NaN if somebody has no such attribute, or it does not name that side.
    """
    _, first = np.unique(native.labels, return_index=True)
    told = np.asarray(native.attributes.get(DOUBLES, [""] * len(native.items)))[first]
    read = [{int(side): group for side, group in re.findall(r"(\d+):(\d+)", str(text))} for text in told]
    groups = [one[side] for one in read if (side := pixels or max(one, default=0)) in one]
    if len(groups) < max(2, len(read)):
        return float("nan")
    alike = np.unique(groups, return_counts=True)[1]
    mistaken = float((alike * (alike - 1)).sum() / (len(groups) * (len(groups) - 1)))
    return 1.0 if mistaken <= far else far / mistaken


def charts(results: Sequence[Resolution]) -> list[Chart]:
    """TAR over resolution, and its numbers."""
    note = "Thresholds are each resolution's own."
    drawn = resolutions.curves(results, TAR, "TAR over resolution", note)
    if known := [r for r in results if np.isfinite(r.ceilings).any()]:
        # A ceiling is of the people, whatever the model.
        whole = max(known, key=lambda r: len(r.pixels))
        x, name = drawn.curves[2 * list(results).index(whole)].x, "ceiling: best on what is left to be seen"
        top = Curve(name, x, whole.ceilings, dash="dash", role="ceiling")
        drawn = replace(drawn, curves=(*drawn.curves, top))
    return [drawn, _table(results)]


def _table(results: Sequence[Resolution]) -> Table:
    rows: list[tuple[Any, ...]] = []
    for r in results:
        for k, cell in enumerate(r.cells):
            one, threshold, false = r.at(TAR, cell), r.thresholds[k], int(r.false_accepts[k])
            lost = one - r.at(TAR, (r.last, r.last))
            rows.append(
                (
                    *(r.title, where(r.place(cell)), Cell(one, f"{one:.1%}")),
                    Cell(lost, lost.points().replace(" points", "")) if k else "",
                    Cell(threshold, f"{threshold:.4f}"),
                    Cell(false, f"{false:,}" + ("" if false >= STABLE else " (unstable)")),
                )
            )
    return Table(
        title="TAR of every resolution",
        columns=(
            "set",
            "gallery × probe",
            "TAR",
            "less that of native, points",
            "threshold",
            "false accepts",
        ),
        rows=tuple(rows),
        note="Gallery and probe may change places. Each threshold is the resolutions' own.",
    )


def findings(results: Sequence[Resolution]) -> list[Finding]:
    """Say which model keeps more, where accuracy breaks, and where small images look alike."""
    said = []
    for key in dict.fromkeys((r.dataset, r.names, r.far) for r in results):
        group = [r for r in results if (r.dataset, r.names, r.far) == key]
        few = max(r.few(*r.cells[: r.last + 1]) for r in group)
        said += operating.best_against_rest(
            (
                f"Between native and {_span(group[0])} images of {group[0].dataset}, ",
                " accepts ",
                f" of genuine pairs at FAR {group[0].far:g}{few}",
            ),
            group,
            lambda r: r.mean,
        )
    return said + [one for r in results for one in (_breaks(r), *_alike(r), *resolutions.cautions(r))]


def _span(r: Resolution) -> str:
    first, *_, last = (*r.names[:-1], r.names[-2])
    return first if first == last else f"{first.removesuffix(' px')}–{last}"


def _breaks(r: Resolution) -> Finding:
    """Tell the largest resolution at which a native gallery loses much, or else the worst one."""
    native = r.at(TAR, (r.last, r.last))
    lost = {p: r.at(TAR, (r.last, p)) - native for p in range(r.last)[::-1]}
    broken = [p for p, gap in lost.items() if gap.sign == -1 and gap.value < BREAK]
    p = broken[0] if broken else min(lost, key=lambda k: lost[k].value)
    kind = f"the largest size to lose over {-100 * BREAK:.0f} points" if broken else "the lowest of all sizes"
    one, few = r.at(TAR, (r.last, p)), r.few((r.last, r.last), (r.last, p))
    was, now = shares(native, one)
    text = f"In {r.model}, TAR against native images goes from {was} to {now} at {r.names[p]}{few}, {kind}"
    return compared(text, one, native, word="change", among=r.last)


def _alike(r: Resolution) -> list[Finding]:
    """Name the resolution whose images look alike: among themselves they lose most, and much."""
    gaps = {p: r.at(TAR, (p, p)) - r.at(TAR, (r.last, p)) for p in range(r.last)}
    p = min(gaps, key=lambda k: gaps[k].value)
    if gaps[p].value >= BREAK:
        return []
    one, native = r.at(TAR, (p, p)), r.at(TAR, (r.last, p))
    alike, mixed = shares(one, native)
    text = (
        f"In {r.model}, TAR of {r.names[p]} images is {alike} among themselves (threshold "
        f"{r.thresholds[r.cells.index((p, p))]:.2f}) and {mixed} against native ones"
    )
    return [compared(text, one, native, among=r.last)]


ANALYSIS = Analysis(
    question="Down to which resolution are faces recognised?",
    over="model",
    params=ResolutionParams(),
    result=Resolution,
    compute=compute,
    charts=charts,
    findings=findings,
    probes=wanted,
)
