"""Quality: whether discarding the images of lowest quality rids a system of its misses.

A measure of quality is worth what it foretells. At one fixed threshold, that of FAR ``far`` among all
images, genuine pairs are discarded in the order of their quality, the lowest first: the
*error-versus-discard characteristic* (EDC) is the FNMR of those that are left, over the share that is
discarded [1]_ [2]_. A pair is as good as the worse of its two images, so that discarding pairs below a
quality is discarding images below it. The quality of an image is the length of its vector, which losses such
as MagFace's make a measure of quality [3]_, or a numeric column of the attributes, ``column``, higher being
better.

*pAUC* is the mean FNMR along the curve, up to the share ``discard``. Beside it stand its null, which is FNMR
itself (pairs discarded at random change nothing), and the best possible, where the misses themselves are
discarded first. *Share reached* is how far it lies from the one towards the other.

How to read it
--------------
A curve that falls steeply at its left end marks a measure that finds the misses; a flat one says nothing. A
share reached of 1 is perfect, of 0 random; below 0 the measure throws the good images away. The best
possible seldom can be had: it knows which pairs fail, and no image fails alone.

Limits
------
The threshold stays, and so FAR among the pairs that are left may be another. Images of equal quality are
discarded at random, in expectation. Few misses make long intervals: n counts people with a missed pair (or
with one that is not, if they are fewer), and fewer than ten claim nothing. Where the impostor pairs do not
resolve FAR ``far``, the lowest usual one that they do is taken. Images without a number in the column are
left out. Where blurred images have pairs with blurred ones only, a quality may order people rather than
images; each person weighs the same, and people are resampled.

References
----------
.. [1] Schlett, T., Rathgeb, C., Tapia, J. and Busch, C. Considerations on the evaluation of biometric quality
   assessment algorithms. IEEE T-BIOM, 2023. arXiv:2303.13294.
.. [2] ISO/IEC 29794-1:2024, Biometric sample quality, part 1: framework.
.. [3] Meng, Q. et al. MagFace: a universal representation for face recognition and quality assessment.
   CVPR 2021.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People, compared, counted, shares
from embedlab.formats import attributes
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs import discard, levels, roc
from embedlab.maths.pairs.all_pairs import Weigh, all_pairs
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.pairs.ranked import Ranked

FNMR, PAUC, BEST = "FNMR, nothing discarded", "pAUC", "pAUC, best possible"
LEFT, REACHED = "FNMR, all discarded that may be", "share reached"
NORM = "norm"
POINTS = 101
# Lengths that differ by less than this share of their mean are one length, stored with rounding.
ONE_LENGTH = 1e-3


@dataclass(frozen=True)
class QualityParams(Params):
    """Knobs of the analysis of quality."""

    column: str = ""
    """The numeric column of attributes that is the quality, higher being better; empty takes the norm."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate, among all images, whose threshold is judged."""
    discard: float = bounded(0.2, above=0, below=1)
    """The share of genuine pairs up to which pAUC goes."""
    weigh: Weigh = "people"
    """Each person and each two people weigh the same, or each pair does."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Quality(Result):
    """Error against discard of one set.

    Attributes
    ----------
    left_out
        Images without a number in the column.
    discarded
        The shares at which the curves are drawn.
    curves
        FNMR, its low and its high end, and FNMR at the best possible.
    """

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    quality: str
    far: float = field(metadata={"label": "FAR of the threshold"})
    far_asked: float = field(metadata={"hidden": True})
    threshold: float
    pairs: int = field(metadata={"label": "genuine pairs"})
    missed: int = field(metadata={"label": "genuine pairs missed"})
    left_out: int = field(metadata={"label": "images without a quality"})
    estimates: Estimates
    discarded: Float[np.ndarray, " points"]
    curves: Float[np.ndarray, "4 points"]


def compute(embeddings: EmbeddingSet, params: QualityParams) -> Quality:
    """Discard genuine pairs by their quality, at one threshold.

    Raises
    ------
    UserError
        If there are no genuine or no impostor pairs, too few for any FAR, the column is not there or holds
        text, all vectors have one length, or the threshold misses no genuine pair, or all.
    """
    quality = _quality(embeddings, params.column)
    there = np.isfinite(quality)
    one, quality = embeddings.take(np.flatnonzero(there)), quality[there]
    check_pairs(one)
    pairs = all_pairs(one.unit, one.labels, weigh=params.weigh)
    impostors = int(pairs.impostor.sum())
    resolved = levels.resolved(params.far, impostors)
    if not len(resolved):
        raise UserError(f"{one.title} has {impostors} impostor pairs, too few for FAR 0.1: add more people")
    far = max(params.far, float(resolved.min()))
    people = People.of(one.identities, params)
    limit = float(roc.limits(pairs, np.array([far]), people.counts[:1])[0][0])
    missed = pairs.genuine_scores <= limit
    if missed.all() or not missed.any():
        how, do = ("every", "higher") if missed.all() else ("no", "lower")
        raise UserError(
            f"at FAR {far:g} {how} genuine pair of {one.title} is missed: nothing can be foretold; "
            f"give a {do} quality.far"
        )
    ranked = Ranked.of(discard.of_pairs(quality, one.labels), pairs.genuine_people, pairs.genuine_weights)
    shares = np.linspace(0, params.discard, POINTS)
    rows = np.concatenate([np.ones((1, len(one.identities)), np.float32), people.counts])
    curve = discard.left(ranked, missed.astype(np.float64), rows, shares)
    best = discard.best(curve[:, 0], shares)
    # Of who is missed, or not, whichever are fewer: how much can be known rests on them.
    n = min(len(np.unique(pairs.genuine_people[which])) for which in (missed, ~missed))
    fnmr, pauc, least = curve[:, 0], discard.area(curve), discard.area(best)
    with np.errstate(invalid="ignore", divide="ignore"):
        reached = np.where(fnmr > least, (fnmr - pauc) / (fnmr - least), np.nan)
    paired, start = len(np.unique(pairs.genuine_people)), float(fnmr[0])
    found = Estimates()
    for what, drawn, behind, null in (
        (FNMR, fnmr, paired, None),
        (LEFT, curve[:, -1], n, start),
        (PAUC, pauc, n, start),
        (BEST, least, n, None),
    ):
        found[what,] = people.estimate(Drawn.of(drawn), behind, null, share=True)
    found[REACHED,] = people.estimate(Drawn.of(reached), n, 0.0)
    ends = [people.estimate(Drawn.of(at), paired, share=True) for at in curve.T]
    band = np.array([(e.low, e.high) for e in ends], dtype=np.float64).T
    return Quality(
        title=one.title,
        model=one.model,
        probe=one.probe,
        quality=params.column or NORM,
        far=far,
        far_asked=params.far,
        threshold=float(roc.lowest_accepted(pairs, np.array([limit]))[0]),
        pairs=len(missed),
        missed=int(missed.sum()),
        left_out=int((~there).sum()),
        estimates=found,
        discarded=shares,
        curves=np.stack([curve[0], *band, best[0]]),
    )


def _quality(embeddings: EmbeddingSet, column: str) -> np.ndarray:
    """Give the quality of each image; NaN where it has none."""
    if not column:
        norms = embeddings.norms.astype(np.float64)
        if np.ptp(norms) < ONE_LENGTH * norms.mean():
            raise UserError(
                f"the vectors of {embeddings.title} have one length, which is no quality: give a numeric "
                "column of the attributes as quality.column"
            )
        return norms
    found = np.full(len(embeddings.items), np.nan)
    for k, value in enumerate(attributes.of_images(embeddings, column, "quality.column")):
        try:
            found[k] = float(value) if value not in (None, "") else np.nan
        except (TypeError, ValueError):
            raise UserError(
                f"{embeddings.items[k]} of {embeddings.title} has {value!r} in {column}, which is no number: "
                "quality.column must name a column of numbers"
            ) from None
    if not np.isfinite(found).any():
        raise UserError(f"{column} is empty for all images of {embeddings.title}: give them numbers")
    return found


def charts(results: Sequence[Quality]) -> list[Chart]:
    """FNMR over what is discarded; pAUC beside its null and its best."""
    lines = []
    for r in results:
        value, low, high, best = r.curves
        x = 100 * r.discarded
        lines += [
            Curve(r.title, x, value, low, high, model=r.model),
            Curve(f"{r.title}, best possible", x, best, model=r.model, dash="dot"),
            Curve(f"{r.title}, by chance", x, np.full(len(x), value[0]), role="null", dash="dash"),
        ]
    rows = [
        (
            r.title,
            r.quality,
            Cell(r.far, f"{r.far:g}"),
            f"{r.missed:,} of {r.pairs:,}",
            *(Cell(e, f"{e:.2%}") for e in (r.estimates[what,] for what in (FNMR, LEFT, PAUC, BEST))),
            Cell(r.estimates[REACHED,], f"{r.estimates[REACHED,]:.0%}"),
        )
        for r in results
    ]
    return [
        Curves(
            title="Error against discard",
            xlabel="per cent of genuine pairs discarded, lowest quality first",
            ylabel="FNMR of those that are left",
            curves=tuple(lines),
            note="At one threshold. Bands are 95 % intervals of a bootstrap over people. By chance: "
            "discarded at random. Best possible: the misses themselves first.",
        ),
        Table(
            title="What discarding wins",
            columns=("set", "quality", "FAR", "missed", "FNMR", "FNMR left", PAUC, "best possible", REACHED),
            rows=tuple(rows),
            note="pAUC is the mean FNMR along the curve; discarded at random it is FNMR.",
        ),
    ]


def findings(results: Sequence[Quality]) -> list[Finding]:
    """Say what discarding wins against chance, how much of what could be won, and what is left out."""
    said = []
    for r in results:
        fnmr, left = r.estimates[FNMR,], r.estimates[LEFT,]
        text = f"On {r.title} at FAR {r.far:g}, discarding {r.discarded[-1]:.0%} of genuine pairs by "
        text += f"{r.quality} takes FNMR from {' to '.join(shares(fnmr, left))}"
        said.append(compared(text, left, fnmr, word="change", tones=("good", "bad"), family="null"))
        reached = r.estimates[REACHED,]
        if reached.sign == 1:
            wins = f"discarding by {r.quality} wins {reached:.0%} of what discarding only misses would"
            said.append(Finding(f"On {r.title}, {wins}."))
        if r.far != r.far_asked:
            said.append(
                Finding(f"On {r.title}, FAR {r.far_asked:g} needs further people; {r.far:g} is taken.")
            )
        if r.left_out:
            images = counted(r.left_out, "image")
            said.append(Finding(f"On {r.title}, {images} without a number in {r.quality} are left out."))
    return said


ANALYSIS = Analysis(
    question="Does discarding images of low quality rid a system of its misses?",
    over="set",
    params=QualityParams(),
    result=Quality,
    compute=compute,
    charts=charts,
    findings=findings,
)
