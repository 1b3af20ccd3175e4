"""Verification: genuine pairs accepted at a given risk of a false accept.

Every pair of images within a set is scored by cosine similarity and accepted at score ≥ threshold.
TAR@FAR is the share of genuine pairs accepted at the lowest threshold whose share of accepted
impostor pairs does not exceed FAR; it equals 1 − FNMR@FMR, the same thing in the other dialect.
EER is the error where both kinds are equally frequent; AUC is the chance that a genuine pair scores
above an impostor pair. With ``templates`` every image is held against every person instead: against the
mean of the person's unit vectors, from which the image itself is left out.

Intervals are 95 % intervals of a bootstrap over people: a resample that draws person i wᵢ times weighs
i's genuine pairs wᵢ and the impostor pairs of i and j wᵢ·wⱼ, and finds its own thresholds [1]_. Two
models on the same people, or two probes of them, are resampled alike, so the interval of their
difference is smaller than their own intervals suggest. If every genuine pair is accepted, or none, the
interval is given by the rule of three over people.

How to read it
--------------
The ROC curve shows TAR at every FAR that the data can resolve: higher is better, and the left end is
where security lives. The DET curve shows the same errors, 1 − TAR over FAR, on axes where normally
distributed scores give a straight line: lower is better, and parallel lines are alike in kind [4]_. An
operating point exists only if FAR × impostor pairs ≥ 1; one that rests on fewer than 10 false accepts is
marked unstable. The null is what chance gives: TAR equals FAR, AUC and EER are one half.

The ROC finds its thresholds on the pairs that it judges, as is usual. Beside it stands what a threshold
is worth elsewhere: chosen on one half of the people and applied to the other, both ways round, with the
TAR and the FAR that it really got. Where a few people look like many others, whichever half lacks them
chooses too low a threshold, and the FAR that it gets is above the one asked for. Where a half allows fewer
than 10 false accepts, that FAR has no interval: in simulations of 20 and 40 people it lay wholly above the
mean of all samples in 31 and 10 %, and of 75 people, who allow 10, in 5 to 9 %.

Limits
------
A person with n images has n(n − 1)/2 genuine pairs, or n with templates. By default each person's genuine
pairs together weigh the same, and so do the impostor pairs of each two people; with ``weigh="pairs"``, the
field's habit, people with many images rule, and intervals get too short: where one of 150 people has 60
images they held TAR@FAR=1e-3 in 84 % of simulations, and those by person in 94 to 96 %. TAR by the other
weighing stands beside it, and *n* is the effective number of people, (Σm)²/Σm² over what each weighs.
Intervals speak of other people, not of the same network trained again with another seed.
Histograms of 65,536 bins stand behind AUC, EER and high FAR, and how far AUC and EER may therefore be
off stands beside them; thresholds at low FAR are exact. Pairs of the drawn copies of one person count as
neither kind. Intervals of differences are percentile intervals, whatever ``interval`` says. Of one set's
two halves neither is another camera or country: a threshold may carry over worse than shown here.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [2] ISO/IEC 19795-1:2021. Biometric performance testing and reporting, part 1.
.. [3] Hanley, J. A. and McNeil, B. J. The meaning and use of the area under a receiver operating
   characteristic (ROC) curve. Radiology 143(1), 1982.
.. [4] Martin, A. et al. The DET curve in assessment of detection task performance. Eurospeech, 1997.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from embedlab import operating
from embedlab.analysis import Analysis, Finding, Params, bounded
from embedlab.charts import Chart
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, claim, compared, few_people, rulers, shares
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs import levels, roc
from embedlab.maths.pairs.all_pairs import Pairs, Weigh, all_pairs, template_pairs
from embedlab.maths.people.effective import effective_number
from embedlab.operating import Operating, tar_at

AGAINST = ", images against templates"


@dataclass(frozen=True)
class VerificationParams(Params):
    """Knobs of the verification analysis."""

    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate at which models are compared in words."""
    weigh: Weigh = "people"
    """Each person and each two people weigh the same, or each pair does, as in the field's protocols."""
    templates: bool = False
    """Hold every image against every person's mean vector instead of against every image."""
    interval: Literal["percentile", "bca"] = "percentile"
    """Quantiles of resamples (of shares: the exact binomial), or bias-corrected and accelerated ones."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples, and of the halves that choose thresholds."""


@dataclass(frozen=True)
class Verification(Operating):
    """The ROC of all pairs of one set, with intervals, and what a threshold is worth among other people."""

    weigh: str = field(metadata={"label": "what weighs the same"})
    templates: bool = field(metadata={"hidden": True})
    rulers: tuple[tuple[Any, ...], ...] = field(metadata={"hidden": True})
    people: int
    images: int
    eer_bin_error: float = field(metadata={"label": "EER: bins make it wrong by at most"})
    auc_bin_error: float = field(metadata={"label": "AUC: bins make it wrong by at most"})

    @property
    def condition(self) -> str:
        """What models are compared on: the probe, and whether its images meet templates."""
        return self.probe + (AGAINST if self.templates else "")


def compute(embeddings: EmbeddingSet, params: VerificationParams) -> Verification:
    """Score all pairs within a set, and find its ROC with intervals.

    Raises
    ------
    UserError
        If no person has two images, or there is only one person, or all scores are too close together.
    """
    check_pairs(embeddings)
    scored, people = _scored(embeddings, params), People.of(embeddings.identities, params)
    if scored.unresolved:
        width = 2 / len(scored.impostor)
        raise UserError(
            f"{embeddings.title} has all scores within {width:.0e} of one another, too close for their "
            "resolution: subtract the mean of all vectors from each, or check them"
        )
    impostors = int(scored.impostor.sum())
    asked, curve = levels.resolved(params.far, impostors), levels.along(impostors)
    rates = roc.rates(scored, np.concatenate([asked, curve]), people.counts)
    point, _ = roc.limits(scored, asked, people.counts[:1])
    achieved = np.array([roc.accepted_far(scored, float(limit)) for limit in point])
    found, fields = operating.points(rates, asked, achieved, scored.genuine_masses, people)
    found |= _transferred(embeddings, people, params)
    if len(asked) and np.ptp(scored.images):
        found |= _otherwise(embeddings, scored, max(params.far, float(asked[-1])), params)
    genuine = np.bincount(scored.genuine_people, minlength=len(embeddings.identities))
    auc_error, eer_error = roc.bin_errors(scored)
    return Verification(
        title=embeddings.title + (AGAINST if params.templates else ""),
        model=embeddings.model,
        probe=embeddings.probe,
        weigh=params.weigh,
        templates=params.templates,
        rulers=rulers(genuine, embeddings.identities),
        people=len(embeddings.identities),
        images=len(embeddings.items),
        genuine_pairs=len(scored.genuine_scores),
        impostor_pairs=impostors,
        eer_bin_error=eer_error,
        auc_bin_error=auc_error,
        far=params.far,
        estimates=found,
        curve_far=curve,
        **fields,
    )


def _scored(embeddings: EmbeddingSet, params: VerificationParams) -> Pairs:
    score = template_pairs if params.templates else all_pairs
    return score(embeddings.unit, embeddings.labels, weigh=params.weigh)


def _otherwise(embeddings: EmbeddingSet, scored: Pairs, far: float, params: VerificationParams) -> Estimates:
    """Measure TAR where the same pairs weigh the other way."""
    if params.weigh == "people":
        other = replace(scored, weigh="pairs", impostor_mass=scored.impostor.astype(np.float64))
    else:
        other = _scored(embeddings, replace(params, weigh="people"))
    everybody = np.ones((1, len(embeddings.identities)), np.float32)
    point, _ = roc.limits(other, np.array([far]), everybody)
    return Estimates(
        {
            (otherwise(far, params.weigh),): Estimate(
                float(roc.accepted_share(other, everybody, point[None])[0, 0])
            )
        }
    )


def otherwise(far: float, weigh: str) -> str:
    """Name the TAR that is found where pairs weigh in the way that was not asked for."""
    return f"{tar_at(far)}, each {'pair' if weigh == 'people' else 'person'} weighing the same"


def _transferred(embeddings: EmbeddingSet, people: People, params: VerificationParams) -> Estimates:
    """Choose the threshold on one half of the people and judge it on the other, both ways round.

    Returns
    -------
    The means of both ways; nothing where a half cannot resolve the rate.
    """
    everybody = len(embeddings.identities)
    order = np.random.default_rng([params.seed, 1]).permutation(everybody)
    halves = [np.sort(half) for half in np.array_split(order, 2)]
    both = [
        _scored(embeddings.take(np.flatnonzero(np.isin(embeddings.labels, half))), params) for half in halves
    ]
    accepted = min(params.far * int(pairs.impostor.sum()) for pairs in both)
    if accepted < 1 or not all(len(pairs.genuine_scores) for pairs in both):
        return Estimates()
    drawn = people.counts[:, halves[0]], people.counts[:, halves[1]]
    tar, far = roc.both_ways((both[0], both[1]), params.far, drawn)
    paired = round(sum(effective_number(pairs.genuine_masses) for pairs in both))
    tar_of, far_of = elsewhere(params.far)
    got = people.estimate(far, everybody, params.far, share=True)
    if accepted < levels.STABLE:
        got = Estimate(got.value, n=got.n, null=got.null)
    return Estimates({(tar_of,): people.estimate(tar, paired, far.value, share=True), (far_of,): got})


def elsewhere(far: float) -> tuple[str, str]:
    """Name the TAR and the FAR that a threshold from other people gets."""
    return (
        f"TAR, threshold for FAR={far:g} from other people",
        f"FAR that this threshold gets (asked: {far:g})",
    )


def charts(results: Sequence[Verification]) -> list[Chart]:
    """ROC and DET of all sets, and the operating points."""
    templates = " Where images meet templates, a template is the mean of a person's other vectors."
    note = templates if any(r.templates for r in results) else ""
    return [*operating.curves(results, "all pairs", note), operating.table(results)]


def findings(results: Sequence[Verification]) -> list[Finding]:
    """Compare models within each probe, and probes within each model; and tell what does not hold."""
    said = []
    for condition in dict.fromkeys(r.condition for r in results):
        said += operating.ranking(
            condition, [r for r in results if r.condition == condition and len(r.levels)]
        )
    for model, templates in dict.fromkeys((r.model, r.templates) for r in results):
        whole, *others = (r for r in results if (r.model, r.templates) == (model, templates))
        said += [_drop(whole, other) for other in others if len(whole.levels) and len(other.levels)]
    first = {(r.model, r.templates): r.title for r in reversed(results)}.values()
    for r in results:
        said += [*((*_weighed(r), *_kept(r)) if r.title in first else ()), *_unresolved(r)]
    for probe in dict.fromkeys(r.probe for r in results):
        one = next(r for r in results if r.probe == probe)
        said += few_people(probe, one.effective, one.rulers if one.weigh == "pairs" else ())
    return said


def _drop(whole: Verification, other: Verification) -> Finding:
    far, point = operating.common((whole, other))
    was, now = shares(whole.tar(far), other.tar(far))
    text = (
        f"In {whole.model}, TAR at {point} goes from {was} on {whole.condition} to {now} on {other.condition}"
    )
    return compared(text, other.tar(far), whole.tar(far), word="change")


def _weighed(r: Verification) -> list[Finding]:
    """Say how TAR changes with what weighs the same, where that is beyond its interval."""
    far = r.lowest
    one, other = (r.estimates.at(what, ()) for what in (tar_at(far), otherwise(far, r.weigh)))
    if one is None or other is None or one.low is None or one.high is None:
        return []
    if one.low <= other.value <= one.high:
        return []
    person, pair = (one, other)[:: 1 if r.weigh == "people" else -1]
    held = "".join(f" ({who} has {share:.0%} of them)" for who, share in r.rulers[:1])
    text = f"On {r.title}, TAR at FAR {far:g} is {person.value:.1%} where each person weighs the same"
    return [Finding(f"{text} and {pair.value:.1%} where each pair does{held}.")]


def _kept(r: Verification) -> list[Finding]:
    """Say whether a threshold keeps the FAR that it was chosen for among other people."""
    _, far_of = elsewhere(r.far)
    got = r.estimates.at(far_of, ())
    gap = got and got.over_null
    if got is None or gap is None:
        return []
    text = (
        f"On {r.title}, a threshold set for FAR {r.far:g} on half of the people gets {got:.3g} on the others"
    )
    if got.low is None:
        return [Finding(f"{text}; too few false accepts to be told from chance.")]
    return [
        claim(
            f"{text}, {'more' if gap.value > 0 else 'less'} than asked for.",
            f"{text}; the difference may be chance.",
            gap.p,
            tone="bad" if gap.value > 0 else "plain",
            gap=gap,
        )
    ]


def _unresolved(r: Verification) -> list[Finding]:
    if r.at(r.far) is not None:
        return []
    instead = f"FAR {r.lowest:g} is used instead" if len(r.levels) else "no other FAR can be told either"
    return [
        Finding(
            f"On {r.title}, {r.impostor_pairs:,} impostor pairs are too few for TAR at FAR {r.far:g} (at "
            f"least {1 / r.far:,.0f} are needed); {instead}."
        )
    ]


ANALYSIS = Analysis(
    question="How many genuine pairs are accepted at a given risk of a false accept?",
    over="set",
    params=VerificationParams(),
    result=Verification,
    compute=compute,
    charts=charts,
    findings=findings,
)
