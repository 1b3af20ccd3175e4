"""Verification: genuine pairs accepted at a given risk of a false accept.

Every pair of images within a set is scored by cosine similarity and accepted at score ≥ threshold.
TAR@FAR is the share of genuine pairs accepted at the lowest threshold whose share of accepted
impostor pairs does not exceed FAR; it equals 1 − FNMR@FMR, the same thing in the other dialect.
EER is the error where both kinds are equally frequent; AUC is the chance that a genuine pair scores
above an impostor pair.

Intervals are 95 % percentile intervals of a bootstrap over people: a resample that draws person i
wᵢ times weighs i's genuine pairs wᵢ and the impostor pairs of i and j wᵢ·wⱼ, and finds its own
thresholds [1]_. Two models on the same people, or two probes of them, are resampled alike, so the
interval of their difference is smaller than their own intervals suggest. If every genuine pair is
accepted the interval is given by the rule of three over people.

How to read it
--------------
The ROC curve shows TAR at every FAR that the data can resolve: higher is better, and the left end is
where security lives. An operating point exists only if FAR × impostor pairs ≥ 1; one that rests on
fewer than 10 false accepts is marked unstable. The null is what chance gives: TAR equals FAR,
AUC and EER are one half.

Limits
------
People with many images rule the genuine pairs: a person with n images has n(n − 1)/2 of them. The
thresholds are found on the same pairs that are judged; they describe this set and promise nothing
for another one. Intervals speak of other people, not of the same network trained again with another
seed. Histograms of 65,536 bins stand behind AUC, EER and high FAR, exact to a bin of
3·10⁻⁵; thresholds at low FAR are exact. Pairs of the drawn copies of one person count as neither
kind.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [2] ISO/IEC 19795-1:2021. Biometric performance testing and reporting, part 1.
.. [3] Hanley, J. A. and McNeil, B. J. The meaning and use of the area under a receiver operating
   characteristic (ROC) curve. Radiology 143(1), 1982.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result
from embedlab.charts import Chart, Curve, Curves, Table
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError
from embedlab.maths.bootstrap import impostor_histograms, interval, population, resamples, share_interval
from embedlab.maths.pairs import Pairs, all_pairs, edges

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
STABLE = 10
UNPAIRED = "they were measured on different people, so no interval of the difference is given"
CURVE_POINTS = 61


@dataclass(frozen=True)
class VerificationParams(Params):
    """Knobs of the verification analysis."""

    far: float = 1e-3
    """The false accept rate at which models are compared in words."""
    resamples: int = 1000
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = 0
    """Seed of the resamples."""


@dataclass(frozen=True)
class Verification(Result):
    """The ROC of one set, with intervals."""

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    people: int
    images: int
    genuine_pairs: int = field(metadata={"label": "genuine pairs"})
    impostor_pairs: int = field(metadata={"label": "impostor pairs"})
    tar: Mapping[str, Estimate]
    eer: Estimate = field(metadata={"label": "EER"})
    auc: Estimate = field(metadata={"label": "AUC"})
    far: float = field(metadata={"hidden": True})
    population: str = field(metadata={"hidden": True})
    levels: Float[np.ndarray, " levels"]
    thresholds: Float[np.ndarray, " levels"]
    false_accepts: Int[np.ndarray, " levels"]
    tar_replicates: Float[np.ndarray, "resamples levels"]
    eer_replicates: Float[np.ndarray, " resamples"]
    auc_replicates: Float[np.ndarray, " resamples"]
    curve_far: Float[np.ndarray, " points"]
    curve_tar: Float[np.ndarray, " points"]
    curve_low: Float[np.ndarray, " points"]
    curve_high: Float[np.ndarray, " points"]

    def at(self, far: float) -> int | None:
        """Find the index of a level, or None where the set cannot resolve it."""
        close = np.flatnonzero(np.isclose(self.levels, far, rtol=1e-6))
        return int(close[0]) if len(close) else None


def compute(embeddings: EmbeddingSet, params: VerificationParams) -> Verification:
    """Score all pairs within a set and find its ROC with intervals.

    Raises
    ------
    UserError
        If no person has two images, or there is only one person, or ``far`` is not between 0 and 1.
    """
    from embedlab.maths._sweep import weighted_thresholds

    if not 0 < params.far < 1:
        raise UserError(f"verification.far must lie between 0 and 1, not {params.far}: 0.001 is usual")
    if len(embeddings.identities) < 2:
        raise UserError(
            f"{embeddings.title} shows one person only ({embeddings.identities[0]!r}), so there are no "
            "impostor pairs: add images of other people"
        )
    pairs = all_pairs(embeddings.unit, embeddings.labels)
    if not len(pairs.genuine_scores):
        raise UserError(
            f"{embeddings.title} has no person with two images, so there are no genuine pairs: add more "
            "images of the same people"
        )
    impostors = int(pairs.impostor.sum())
    wanted = sorted({*FARS, params.far}, reverse=True)
    levels = np.array([far for far in wanted if far * impostors >= 1])
    lowest = max(1.0 / impostors, FARS[-1])
    curve_far = np.geomspace(lowest, 1.0, CURVE_POINTS)[:-1]
    every = np.concatenate([levels, curve_far])
    order = np.argsort(every)

    ones = np.ones((1, len(embeddings.identities)), np.float32)
    counts = resamples(len(embeddings.identities), params.resamples, params.seed)
    tails = [
        weighted_thresholds(
            pairs.tail_scores,
            pairs.tail_people,
            weights,
            _impostor_weight(pairs, weights)[:, None] * every[order],
        )
        for weights in (ones, counts)
    ]
    exact, drawn = (tail[:, np.argsort(order)] for tail in tails)
    point = np.where(np.isnan(exact[0]), _safe_edge(pairs.impostor, every), exact[0])
    coarse = impostor_histograms(pairs.impostor_by_person, counts)
    # Where the kept tail ends, the threshold moves by what the coarse histogram says it moves.
    centre = _bulk_threshold(impostor_histograms(pairs.impostor_by_person, ones)[0], every)
    bulk = np.stack([_bulk_threshold(histogram, every) for histogram in coarse]) - centre + point
    drawn = np.where(np.isnan(drawn) | np.isnan(exact), bulk, drawn)

    scores, owners = pairs.genuine_scores.astype(np.float64), pairs.genuine_people
    tar = _accepted(scores, owners, ones, point[None])[0]
    replicates = _accepted(scores, owners, counts, drawn)
    auc, auc_replicates, eer, eer_replicates = _whole_curve(pairs, counts, coarse)
    k = len(levels)
    paired = np.unique(owners)
    accepted = np.array([_false_accepts(pairs, threshold) for threshold in point[:k]], dtype=np.int64)
    estimates = {}
    for level, share, false, draws in zip(levels, tar[:k], accepted, replicates[:, :k].T, strict=True):
        low, high = share_interval(float(share), draws, len(paired))
        mark = "" if false >= STABLE else ", unstable"
        estimates[f"TAR@FAR={level:.3g}{mark}"] = Estimate(float(share), low, high, len(paired), float(level))
    bands = [
        share_interval(float(v), draws, len(paired))
        for v, draws in zip(tar[k:], replicates[:, k:].T, strict=True)
    ]
    return Verification(
        title=embeddings.title,
        model=embeddings.model,
        probe=embeddings.probe,
        people=len(embeddings.identities),
        images=len(embeddings.items),
        genuine_pairs=len(scores),
        impostor_pairs=impostors,
        tar=estimates,
        eer=Estimate(eer, *interval(eer_replicates), len(paired), 0.5),
        auc=Estimate(auc, *interval(auc_replicates), len(paired), 0.5),
        far=params.far,
        population=population(embeddings.identities, params.resamples, params.seed),
        levels=levels,
        thresholds=point[:k],
        false_accepts=accepted,
        tar_replicates=replicates[:, :k],
        eer_replicates=eer_replicates,
        auc_replicates=auc_replicates,
        curve_far=curve_far,
        curve_tar=tar[k:],
        curve_low=np.array([np.nan if low is None else low for low, _ in bands]),
        curve_high=np.array([np.nan if high is None else high for _, high in bands]),
    )


def _impostor_weight(pairs: Pairs, counts: np.ndarray) -> np.ndarray:
    """Sum wᵢ·wⱼ over all impostor pairs, in closed form from the images a person has."""
    weighted = counts.astype(np.float64) * pairs.images
    whole: np.ndarray = (weighted.sum(axis=1) ** 2 - (weighted**2).sum(axis=1)) / 2
    return whole


def _bulk_threshold(histogram: np.ndarray, fars: np.ndarray) -> np.ndarray:
    """Find the score above which a share ``fars`` of a histogram over [−1, 1] lies."""
    above = np.r_[0.0, np.cumsum(histogram[::-1], dtype=np.float64)]
    found: np.ndarray = np.interp(fars * above[-1], above, edges(len(histogram))[::-1])
    return found


def _safe_edge(histogram: np.ndarray, fars: np.ndarray) -> np.ndarray:
    """Find the lowest bin edge above which no more than a share ``fars`` lies."""
    above = np.r_[0, np.cumsum(histogram[::-1])]
    index = np.searchsorted(above, fars * above[-1] * (1 + 1e-12), side="right") - 1
    edge: np.ndarray = edges(len(histogram))[::-1][index]
    return edge


def _accepted(
    scores: np.ndarray, owners: np.ndarray, counts: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Give the weighted share of genuine scores above each resample's thresholds."""
    order = np.argsort(scores)
    ordered, people = scores[order], owners[order]
    found = np.full(thresholds.shape, np.nan)
    for b, (weights, limits) in enumerate(zip(counts, thresholds, strict=True)):
        weight = np.r_[0.0, np.cumsum(weights[people], dtype=np.float64)]
        if weight[-1] > 0:
            # A threshold is the highest rejected impostor score: accept what lies strictly above.
            below = weight[np.searchsorted(ordered, limits, side="right")]
            found[b] = 1.0 - below / weight[-1]
    return found


def _false_accepts(pairs: Pairs, threshold: float) -> int:
    if len(pairs.tail_scores) and threshold >= pairs.tail_scores[-1]:
        return int((pairs.tail_scores > threshold).sum())
    upper = edges(len(pairs.impostor))[1:]
    return int(pairs.impostor[upper > threshold].sum())


def _whole_curve(
    pairs: Pairs, counts: np.ndarray, impostor: np.ndarray
) -> tuple[float, np.ndarray, float, np.ndarray]:
    """Give AUC and EER from the fine histograms and their replicates from the coarse ones."""
    genuine = counts @ pairs.genuine_by_person.astype(np.float32)
    fine = _auc_eer(pairs.genuine[None].astype(np.float64), pairs.impostor[None].astype(np.float64))
    coarse = _auc_eer(
        pairs.genuine_by_person.sum(axis=0)[None].astype(np.float64),
        pairs.impostor_by_person.sum(axis=0)[None] / 2,
    )
    auc, eer = _auc_eer(genuine.astype(np.float64), impostor.astype(np.float64))
    shift = [float(f[0] - c[0]) for f, c in zip(fine, coarse, strict=True)]
    limited = [np.clip(auc + shift[0], 0, 1), np.clip(eer + shift[1], 0, 1)]
    return float(fine[0][0]), limited[0], float(fine[1][0]), limited[1]


def _auc_eer(genuine: np.ndarray, impostor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give AUC and EER of histograms, a row each; NaN where a row has no genuine pairs."""
    totals = genuine.sum(axis=1, keepdims=True)
    g = np.divide(genuine, totals, out=np.full_like(genuine, np.nan), where=totals > 0)
    i = impostor / impostor.sum(axis=1, keepdims=True)
    below = np.cumsum(i, axis=1)
    auc = (g * (below - i / 2)).sum(axis=1)
    missed = np.pad(np.cumsum(g, axis=1), ((0, 0), (1, 0)))
    accepted = 1.0 - np.pad(below, ((0, 0), (1, 0)))
    gap = missed - accepted
    after = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(gap))
    before = np.maximum(after - 1, 0)
    step = gap[rows, after] - gap[rows, before]
    share = np.divide(-gap[rows, before], step, out=np.zeros(len(gap)), where=step > 0)
    eer = missed[rows, before] + share * (missed[rows, after] - missed[rows, before])
    return auc, np.where(np.isnan(auc), np.nan, eer)


def charts(results: Sequence[Verification]) -> list[Chart]:
    """ROC of all sets on one picture, and the operating points in a table."""
    probes = list(dict.fromkeys(r.probe for r in results))
    dashes: tuple[Literal["solid", "dash", "dot"], ...] = ("solid", "dash", "dot")
    roc = Curves(
        title="ROC over all pairs",
        xlabel="FAR: share of impostor pairs accepted",
        ylabel="TAR: share of genuine pairs accepted",
        curves=tuple(
            Curve(
                name=r.title,
                x=r.curve_far,
                y=r.curve_tar,
                low=r.curve_low,
                high=r.curve_high,
                model=r.model,
                dash=dashes[probes.index(r.probe) % len(dashes)],
            )
            for r in results
        ),
        xscale="log",
        note="Bands are 95 % intervals from a bootstrap over people. Chance is TAR = FAR.",
    )
    rows = [
        (
            r.title,
            f"{level:g}",
            estimate,
            f"{threshold:.4f}",
            f"{false / r.impostor_pairs:.2e}",
            f"{false:,}" + ("" if false >= STABLE else " (unstable)"),
        )
        for r in results
        for level, estimate, threshold, false in zip(
            r.levels, r.tar.values(), r.thresholds, r.false_accepts, strict=True
        )
    ]
    points = Table(
        title="Operating points",
        columns=("set", "FAR asked", "TAR", "threshold", "FAR achieved", "false accepts"),
        rows=tuple(rows),
        note=f"Points with fewer than {STABLE} false accepts are unstable; points that the pairs cannot "
        "resolve are left out.",
    )
    return [roc, points]


def findings(results: Sequence[Verification]) -> list[Finding]:
    """Compare models within each probe, and probes within each model, at the reference FAR."""
    said = []
    for probe in dict.fromkeys(r.probe for r in results):
        said += _ranking(probe, [r for r in results if r.probe == probe])
    for model in dict.fromkeys(r.model for r in results):
        mine = [r for r in results if r.model == model]
        said += [_drop(mine[0], other) for other in mine[1:]]
    for r in results:
        if r.at(r.far) is None:
            said.append(
                Finding(
                    f"{r.title} has {r.impostor_pairs:,} impostor pairs, too few for TAR at FAR {r.far:g} "
                    f"(at least {1 / r.far:,.0f} are needed); FAR {_level(r):g} is used instead.",
                    "bad",
                )
            )
    return said


def _level(r: Verification) -> float:
    """Give the reference FAR, or the lowest one the set resolves."""
    return r.far if r.at(r.far) is not None else float(r.levels[-1]) if len(r.levels) else float("nan")


def _tar(r: Verification, far: float) -> Estimate:
    index = r.at(far)
    if index is None:
        raise ValueError(f"{r.title} does not resolve FAR {far}")
    return list(r.tar.values())[index]


def _ranking(probe: str, group: Sequence[Verification]) -> list[Finding]:
    far = max(_level(r) for r in group)
    if not np.isfinite(far):
        return []
    best, *rest = sorted(group, key=lambda r: -_tar(r, far).value)
    text = f"On {probe}, {best.model} accepts {_tar(best, far):.1%} of genuine pairs at FAR {far:g}"
    if not rest:
        return [Finding(f"{text}; its EER is {best.eer:.2%}.")]
    said = []
    for other in rest:
        sentence = f"{text}, {other.model} {_tar(other, far):.1%}"
        more = _difference(best, other, far)
        if more.low is None:
            said.append(Finding(f"{sentence}; {UNPAIRED}."))
        elif more.low > 0:
            said.append(Finding(f"{sentence}: a difference of {_points(more)}.", "good"))
        else:
            said.append(Finding(f"{sentence}: the difference of {_points(more)} may be chance."))
    return said


def _drop(whole: Verification, other: Verification) -> Finding:
    far = max(_level(whole), _level(other))
    if not np.isfinite(far):
        return Finding(f"{whole.title} and {other.title} have too few impostor pairs to compare.", "bad")
    change = _difference(other, whole, far)
    text = (
        f"In {whole.model}, TAR at FAR {far:g} goes from {_tar(whole, far).value:.1%} on {whole.probe} to "
        f"{_tar(other, far).value:.1%} on {other.probe}"
    )
    if change.low is None or change.high is None:
        return Finding(f"{text}; {UNPAIRED}.")
    if change.high < 0:
        return Finding(f"{text}, a change of {_points(change)}.", "bad")
    if change.low > 0:
        return Finding(f"{text}, a change of {_points(change)}.", "good")
    return Finding(f"{text}; the change of {_points(change)} may be chance.")


def _points(share: Estimate) -> str:
    """Write a difference of shares in percentage points, with its interval."""
    ends = (share.value, share.low or 0.0, share.high or 0.0)
    value, low, high = (f"{100 * end:+.1f}" for end in ends)
    return f"{value} points [{low}, {high}]"


def _difference(a: Verification, b: Verification, far: float) -> Estimate:
    """Give TAR of a minus TAR of b with the interval of the paired resamples."""
    value = _tar(a, far).value - _tar(b, far).value
    i, j = a.at(far), b.at(far)
    if a.population != b.population or i is None or j is None:
        return Estimate(value)
    low, high = interval(a.tar_replicates[:, i] - b.tar_replicates[:, j])
    return Estimate(value, low, high, a.people, 0.0)


ANALYSIS = Analysis(
    question="How many genuine pairs are accepted at a given risk of a false accept?",
    over="set",
    params=VerificationParams(),
    result=Verification,
    compute=compute,
    charts=charts,
    findings=findings,
)
