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

The ROC finds its thresholds on the pairs that it judges, as is usual. Beside it stands what a threshold
is worth elsewhere: chosen on one half of the people and applied to the other, both ways round, with the
TAR and the FAR that it really got.

Limits
------
People with many images rule the genuine pairs: a person with n images has n(n − 1)/2 of them.
Intervals speak of other people, not of the same network trained again with another seed. Histograms
of 65,536 bins stand behind AUC, EER and high FAR, exact to a bin of 3·10⁻⁵; thresholds at low FAR are
exact. Pairs of the drawn copies of one person count as neither kind.

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
from embedlab.maths import roc
from embedlab.maths.bootstrap import interval, population, resamples, share_interval
from embedlab.maths.pairs import all_pairs

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
STABLE = 10
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
    transferred: Mapping[str, Estimate]
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
    counts = resamples(len(embeddings.identities), params.resamples, params.seed)
    point, drawn = roc.limits(pairs, np.concatenate([levels, curve_far]), counts)
    tar = roc.accepted_share(pairs, np.ones((1, counts.shape[1]), np.float32), point[None])[0]
    replicates = roc.accepted_share(pairs, counts, drawn)
    auc, auc_replicates, eer, eer_replicates = roc.auc_and_eer(pairs, counts)
    k = len(levels)
    paired = len(np.unique(pairs.genuine_people))
    accepted = np.array([roc.false_accepts(pairs, limit) for limit in point[:k]], dtype=np.int64)
    ends = [share_interval(float(v), draws, paired) for v, draws in zip(tar, replicates.T, strict=True)]
    estimates = {
        f"TAR@FAR={level:.3g}" + ("" if false >= STABLE else ", unstable"): Estimate(
            float(share), *span, paired, float(level)
        )
        for level, share, span, false in zip(levels, tar[:k], ends[:k], accepted, strict=True)
    }
    return Verification(
        title=embeddings.title,
        model=embeddings.model,
        probe=embeddings.probe,
        people=len(embeddings.identities),
        images=len(embeddings.items),
        genuine_pairs=len(pairs.genuine_scores),
        impostor_pairs=impostors,
        tar=estimates,
        transferred=_transferred(embeddings, params),
        eer=Estimate(eer, *interval(eer_replicates), paired, 0.5),
        auc=Estimate(auc, *interval(auc_replicates), paired, 0.5),
        far=params.far,
        population=population(embeddings.identities, params.resamples, params.seed),
        levels=levels,
        # The lowest accepted score: the float above the highest rejected one.
        thresholds=np.nextafter(point[:k].astype(np.float32), np.float32(2)).astype(np.float64),
        false_accepts=accepted,
        tar_replicates=replicates[:, :k],
        eer_replicates=eer_replicates,
        auc_replicates=auc_replicates,
        curve_far=curve_far,
        curve_tar=tar[k:],
        curve_low=np.array([np.nan if low is None else low for low, _ in ends[k:]]),
        curve_high=np.array([np.nan if high is None else high for _, high in ends[k:]]),
    )


def _transferred(embeddings: EmbeddingSet, params: VerificationParams) -> dict[str, Estimate]:
    """Choose the threshold on one half of the people and judge it on the other, both ways round."""
    order = np.random.default_rng([params.seed, 1]).permutation(len(embeddings.identities))
    halves = [
        embeddings.take(np.flatnonzero(np.isin(embeddings.labels, chosen)))
        for chosen in np.array_split(order, 2)
    ]
    found = [all_pairs(half.unit, half.labels) for half in halves]
    if any(params.far * pairs.impostor.sum() < 1 or not len(pairs.genuine_scores) for pairs in found):
        return {}
    tar, far, drawn_tar, drawn_far, people = [], [], [], [], 0
    for k, (chosen, judged) in enumerate((found, found[::-1])):
        # The half that chooses is resampled as well, so the interval knows that the threshold was drawn.
        choosing = resamples(len(chosen.images), params.resamples, params.seed + 1 + k)
        judging = resamples(len(judged.images), params.resamples, params.seed + 3 + k)
        point, drawn = roc.limits(chosen, np.array([params.far]), choosing)
        ones = np.ones((1, len(judged.images)), np.float32)
        tar.append(float(roc.accepted_share(judged, ones, point[None])[0, 0]))
        far.append(roc.false_accepts(judged, float(point[0])) / int(judged.impostor.sum()))
        drawn_tar.append(roc.accepted_share(judged, judging, drawn)[:, 0])
        drawn_far.append(roc.achieved_far(judged, judging, drawn[:, 0]))
        people += len(np.unique(judged.genuine_people))
    share = float(np.mean(tar))
    ends = share_interval(share, np.mean(drawn_tar, axis=0), people)
    got = float(np.mean(far))
    return {
        f"TAR, threshold for FAR={params.far:g} from other people": Estimate(share, *ends, people, got),
        f"FAR that this threshold gets (asked: {params.far:g})": Estimate(
            got, *interval(np.mean(drawn_far, axis=0)), len(embeddings.identities)
        ),
    }


def charts(results: Sequence[Verification]) -> list[Chart]:
    """ROC of all sets on one picture, and the operating points in a table."""
    probes = list(dict.fromkeys(r.probe for r in results))
    dashes: tuple[Literal["solid", "dash", "dot"], ...] = ("solid", "dash", "dot")
    picture = Curves(
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
    return [picture, points]


def findings(results: Sequence[Verification]) -> list[Finding]:
    """Compare models within each probe, and probes within each model, at the reference FAR."""
    said = []
    for probe in dict.fromkeys(r.probe for r in results):
        said += _ranking(probe, [r for r in results if r.probe == probe])
    for model in dict.fromkeys(r.model for r in results):
        mine = [r for r in results if r.model == model]
        said += [_drop(mine[0], other) for other in mine[1:]]
    said += [drift for r in results if (drift := _drift(r)) is not None]
    for r in results:
        if r.at(r.far) is None:
            instead = (
                f"FAR {_level(r):g} is used instead" if len(r.levels) else "no other FAR can be told either"
            )
            said.append(
                Finding(
                    f"{r.title} has {r.impostor_pairs:,} impostor pairs, too few for TAR at FAR {r.far:g} "
                    f"(at least {1 / r.far:,.0f} are needed); {instead}.",
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


def _point(group: Sequence[Verification]) -> tuple[float, str]:
    """Find the operating point that all of a group resolve, and name it with its caution."""
    far = float(np.max([_level(r) for r in group]))
    counts = [r.false_accepts[k] for r in group if (k := r.at(far)) is not None]
    unstable = f" (unstable, fewer than {STABLE} false accepts)" if counts and min(counts) < STABLE else ""
    return far, f"FAR {far:g}{unstable}"


def _ranking(probe: str, group: Sequence[Verification]) -> list[Finding]:
    group = [r for r in group if len(r.levels)]
    if not group:
        return []
    far, point = _point(group)
    best, *rest = sorted(group, key=lambda r: -_tar(r, far).value)
    text = f"On {probe}, {best.model} accepts {_tar(best, far):.1%} of genuine pairs at {point}"
    if not rest:
        return [Finding(f"{text}; its EER is {best.eer:.2%}.")]
    said = []
    for other in rest:
        sentence = f"{text}, {other.model} {_tar(other, far):.1%}"
        more = _difference(best, other, far)
        if more.low is None:
            said.append(Finding(f"{sentence}; {_unsure(best, other)}."))
        elif more.low > 0:
            said.append(Finding(f"{sentence}: a difference of {_points(more)}.", "good"))
        else:
            said.append(Finding(f"{sentence}: the difference of {_points(more)} may be chance."))
    return said


def _drop(whole: Verification, other: Verification) -> Finding:
    far, point = _point((whole, other))
    if not np.isfinite(far):
        return Finding(f"{whole.title} and {other.title} have too few impostor pairs to compare.", "bad")
    change = _difference(other, whole, far)
    text = (
        f"In {whole.model}, TAR at {point} goes from {_tar(whole, far).value:.1%} on {whole.probe} to "
        f"{_tar(other, far).value:.1%} on {other.probe}"
    )
    if change.low is None or change.high is None:
        return Finding(f"{text}; {_unsure(whole, other)}.")
    if change.high < 0:
        return Finding(f"{text}, a change of {_points(change)}.", "bad")
    if change.low > 0:
        return Finding(f"{text}, a change of {_points(change)}.", "good")
    return Finding(f"{text}; the change of {_points(change)} may be chance.")


def _unsure(a: Verification, b: Verification) -> str:
    """Say why a difference has no interval."""
    if a.population != b.population:
        return "they were measured on different people, so no interval of the difference is given"
    return "too few people have two images to say how sure the difference is"


def _drift(r: Verification) -> Finding | None:
    """Speak up where a threshold from other people does not keep the FAR it was chosen for."""
    if not r.transferred:
        return None
    tar, got = r.transferred.values()
    if got.low is None or got.high is None or got.low <= r.far <= got.high:
        return None
    return Finding(
        f"In {r.title}, a threshold chosen for FAR {r.far:g} on half of the people gets FAR {got:.2g} on the "
        f"others, with TAR {tar:.1%}.",
        "bad" if got.value > r.far else "plain",
    )


def _points(share: Estimate) -> str:
    """Write a difference of shares in percentage points, with its interval."""
    ends = (share.value, share.low or 0.0, share.high or 0.0)
    digits = 1 if max(map(abs, ends)) >= 0.01 else 2
    value, low, high = (f"{100 * end:+.{digits}f}" for end in ends)
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
