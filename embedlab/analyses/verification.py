"""Verification: genuine pairs accepted at a given risk of a false accept.

Every pair of images within a set is scored by cosine similarity and accepted at score ≥ threshold.
TAR@FAR is the share of genuine pairs accepted at the lowest threshold whose share of accepted
impostor pairs does not exceed FAR; it equals 1 − FNMR@FMR, the same thing in the other dialect.
EER is the error where both kinds are equally frequent; AUC is the chance that a genuine pair scores
above an impostor pair. With ``templates`` every image is held against every person instead: against the
mean of the person's unit vectors, from which the image itself is left out.

Accuracy is that of Labeled Faces in the Wild [4]_: for each of ten folds of pairs, the threshold that is
most accurate on the other nine judges that fold; the figure is the mean over folds. The pairs are those
of a list (``pairs``), in its own folds. Without one, or where it has no folds, they are *drawn pairs*:
people are dealt into folds, and in each as many genuine as impostor pairs are drawn.

Intervals are 95 % intervals of a bootstrap over people: a resample that draws person i wᵢ times weighs
i's genuine pairs wᵢ and the impostor pairs of i and j wᵢ·wⱼ, and finds its own thresholds [1]_. Two
models on the same people, or two probes of them, are resampled alike, so the interval of their
difference is smaller than their own intervals suggest. If every genuine pair is accepted, or none, the
interval is given by the rule of three over people.

How to read it
--------------
The ROC curve shows TAR at every FAR that the data can resolve: higher is better, and the left end is
where security lives. The DET curve shows the same errors, 1 − TAR over FAR, on axes where normally
distributed scores give a straight line: lower is better, and parallel lines are alike in kind [5]_. An
operating point exists only if FAR × impostor pairs ≥ 1; one that rests on fewer than 10 false accepts is
marked unstable. The null is what chance gives: TAR equals FAR, AUC and EER are one half, accuracy is the
share of the more frequent kind of pairs.

The ROC finds its thresholds on the pairs that it judges, as is usual. Beside it stands what a threshold
is worth elsewhere: chosen on one half of the people and applied to the other, both ways round, with the
TAR and the FAR that it really got.

Limits
------
People with many images rule the genuine pairs: a person with n images has n(n − 1)/2 of them, or n with
templates. Intervals speak of other people, not of the same network trained again with another seed.
Histograms of 65,536 bins stand behind AUC, EER and high FAR, and how far AUC and EER may therefore be
off stands beside them; thresholds at low FAR are exact, and so is everything on listed pairs. Pairs of
the drawn copies of one person count as neither kind. The folds of a list may share people, as those of
``.bin`` files do, and so their standard deviation is no interval; accuracy itself says little about a low
FAR. Where every person stands in few listed or drawn pairs, weights wᵢ·wⱼ make intervals too wide, not too
narrow [6]_: in 200 simulated lists each they held the true accuracy, EER, AUC and TAR in 97 to 100 %.
Intervals of differences are percentile intervals, whatever ``interval`` says.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [2] ISO/IEC 19795-1:2021. Biometric performance testing and reporting, part 1.
.. [3] Hanley, J. A. and McNeil, B. J. The meaning and use of the area under a receiver operating
   characteristic (ROC) curve. Radiology 143(1), 1982.
.. [4] Huang, G. B., Ramesh, M., Berg, T. and Learned-Miller, E. Labeled Faces in the Wild: a database for
   studying face recognition in unconstrained environments. University of Massachusetts, Amherst,
   technical report 07-49, 2007.
.. [5] Martin, A. et al. The DET curve in assessment of detection task performance. Eurospeech, 1997.
.. [6] Owen, A. B. The pigeonhole bootstrap. Annals of Applied Statistics 1(2), 2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Number, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, Place, compared
from embedlab.formats import protocols
from embedlab.formats.protocols import PairList
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs import listed, roc
from embedlab.maths.pairs.all_pairs import Pairs, all_pairs, template_pairs
from embedlab.maths.pairs.moments import Drawn

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
STABLE = 10
CURVE_POINTS = 61
DET_REACH = 0.5
FOLDS = 10
DRAWN_A_FOLD = 300
NAMED = 3
ALL, LISTED = "all", "listed"
EER, AUC = "EER", "AUC"
AGAINST = ", images against templates"
DASHES: tuple[Literal["solid", "dash", "dot"], ...] = ("solid", "dash", "dot")


@dataclass(frozen=True)
class VerificationParams(Params):
    """Knobs of the verification analysis."""

    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate at which models are compared in words."""
    pairs: str = field(default="", metadata={"pairs": True})
    """A list of pairs to judge beside all pairs: pairs.txt as LFW has it, InsightFace's .bin, or CSV
    with the columns image_a,image_b,same and, if there are folds, fold."""
    templates: bool = False
    """Hold every image against every person's mean vector instead of against every image."""
    interval: Literal["percentile", "bca"] = "percentile"
    """Which 95 % interval the bootstrap gives: percentile, or bias-corrected and accelerated."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples, of the halves that choose thresholds and of drawn pairs."""


def _none() -> np.ndarray:
    return np.empty(0)


def _nothing() -> np.ndarray:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Verification(Result):
    """The ROC of one set, with intervals, and its accuracy over folds; and the ROC of a list of pairs."""

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    templates: bool = field(metadata={"hidden": True})
    people: int
    images: int
    genuine_pairs: int = field(metadata={"label": "genuine pairs"})
    impostor_pairs: int = field(metadata={"label": "impostor pairs"})
    estimates: Estimates
    eer_bin_error: float = field(metadata={"label": "EER: bins make it wrong by at most"})
    auc_bin_error: float = field(metadata={"label": "AUC: bins make it wrong by at most"})
    far: float = field(metadata={"hidden": True})
    levels: Float[np.ndarray, " levels"]
    thresholds: Float[np.ndarray, " levels"]
    false_accepts: Int[np.ndarray, " levels"]
    curve_far: Float[np.ndarray, " points"]
    curve_tar: Float[np.ndarray, " points"]
    curve_low: Float[np.ndarray, " points"]
    curve_high: Float[np.ndarray, " points"]
    accuracy_name: str = field(default="", metadata={"hidden": True})
    accuracy_source: str = field(default="", metadata={"hidden": True})
    accuracy_spread: float | None = field(
        default=None, metadata={"label": "accuracy: standard deviation of its folds"}
    )
    fold_accuracy: Float[np.ndarray, " folds"] = field(default_factory=_none)
    fold_thresholds: Float[np.ndarray, " folds"] = field(default_factory=_none)
    list_name: str = field(default="", metadata={"hidden": True})
    list_pairs: int | None = field(default=None, metadata={"label": "listed pairs"})
    list_impostors: int = field(default=0, metadata={"hidden": True})
    list_missing: int | None = field(default=None, metadata={"label": "listed pairs that lack an image"})
    list_missing_items: tuple[str, ...] = ()
    list_contradicted: int | None = field(
        default=None, metadata={"label": "listed pairs that contradict the set's identities"}
    )
    list_contradicted_items: tuple[str, ...] = ()
    list_levels: Float[np.ndarray, " listlevels"] = field(default_factory=_none)
    list_thresholds: Float[np.ndarray, " listlevels"] = field(default_factory=_none)
    list_false_accepts: Int[np.ndarray, " listlevels"] = field(default_factory=_nothing)
    list_curve_far: Float[np.ndarray, " listpoints"] = field(default_factory=_none)
    list_curve_tar: Float[np.ndarray, " listpoints"] = field(default_factory=_none)
    list_curve_low: Float[np.ndarray, " listpoints"] = field(default_factory=_none)
    list_curve_high: Float[np.ndarray, " listpoints"] = field(default_factory=_none)

    def at(self, far: float) -> int | None:
        """Find the index of a level, or None where the set cannot resolve it."""
        close = np.flatnonzero(np.isclose(self.levels, far, rtol=1e-6))
        return int(close[0]) if len(close) else None

    def numbers(self) -> dict[str, Number]:
        """List the numbers by label, operating points that rest on few false accepts marked."""
        few = {
            tar_at(far) for far, false in zip(self.levels, self.false_accepts, strict=True) if false < STABLE
        }
        return {f"{k}, unstable" if k in few else k: v for k, v in super().numbers().items()}

    @property
    def eer(self) -> Estimate:
        """The equal error rate of all pairs."""
        return self.estimates[EER,]

    @property
    def auc(self) -> Estimate:
        """The area under the ROC curve of all pairs."""
        return self.estimates[AUC,]

    @property
    def condition(self) -> str:
        """What models are compared on: the probe, and whether its images meet templates."""
        return self.probe + (AGAINST if self.templates else "")


def compute(
    embeddings: EmbeddingSet, params: VerificationParams, pairs: PairList | None = None
) -> Verification:
    """Score all pairs within a set, and those of a list; find ROC and accuracy with intervals.

    Parameters
    ----------
    embeddings, params
        What is judged, and how.
    pairs
        The list to judge beside all pairs; by default that which ``params.pairs`` names, if any.

    Raises
    ------
    UserError
        If no person has two images, or there is only one person, or all scores are too close together; if
        the list of pairs cannot be read, none of its pairs is in the set, or all those are of one kind.
    """
    check_pairs(embeddings)
    scored, people = _scored(embeddings, params), People.of(embeddings.identities, params)
    if scored.unresolved:
        width = 2 / len(scored.impostor)
        raise UserError(
            f"{embeddings.title} has all scores within {width:.0e} of one another, too close for their "
            "resolution: subtract the mean of all vectors from each, or check them"
        )
    if pairs is None and params.pairs:
        pairs = protocols.read(params.pairs)
    asked = None if pairs is None else _asked(embeddings, pairs)
    impostors = int(scored.impostor.sum())
    levels, curve = _fars(params.far, impostors)
    rates = roc.rates(scored, np.concatenate([levels, curve]), people.counts)
    paired = len(np.unique(scored.genuine_people))
    found = Estimates()
    _points(rates, levels, paired, people, (), found)
    _transferred(embeddings, people, params, found)
    auc_error, eer_error = roc.bin_errors(scored)
    return Verification(
        title=embeddings.title + (AGAINST if params.templates else ""),
        model=embeddings.model,
        probe=embeddings.probe,
        templates=params.templates,
        people=len(embeddings.identities),
        images=len(embeddings.items),
        genuine_pairs=len(scored.genuine_scores),
        impostor_pairs=impostors,
        eer_bin_error=eer_error,
        auc_bin_error=auc_error,
        far=params.far,
        estimates=found,
        **_curve("", rates, levels, curve, paired, people),
        **_accuracy(embeddings, asked, people, params, found),
        **(_of_list(asked, people, params, found) if asked else {}),
    )


def _scored(embeddings: EmbeddingSet, params: VerificationParams) -> Pairs:
    score = template_pairs if params.templates else all_pairs
    return score(embeddings.unit, embeddings.labels)


def _fars(reference: float, impostors: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the rates that so many impostor pairs resolve, falling, and those that a curve is drawn at."""
    levels = np.array([far for far in sorted({*FARS, reference}, reverse=True) if far * impostors >= 1])
    lowest = max(1.0 / impostors, FARS[-1])
    return levels, np.geomspace(lowest, 1.0, CURVE_POINTS)[:-1]


def tar_at(far: float) -> str:
    """Name the TAR at an operating point."""
    return f"TAR@FAR={far:.3g}"


def _points(
    rates: roc.Rates, levels: np.ndarray, n: int, people: People, place: Place, found: Estimates
) -> None:
    """Add TAR at each level, EER and AUC."""
    for k, far in enumerate(levels):
        tar = Drawn(float(rates.tar[k]), rates.tar_replicates[:, k])
        found[tar_at(far), *place] = people.estimate(tar, n, float(far), share=True)
    found[EER, *place] = people.estimate(Drawn(rates.eer, rates.eer_replicates), n, 0.5, share=True)
    found[AUC, *place] = people.estimate(Drawn(rates.auc, rates.auc_replicates), n, 0.5, share=True)


def _curve(
    prefix: str, rates: roc.Rates, levels: np.ndarray, curve: np.ndarray, n: int, people: People
) -> dict[str, Any]:
    """Give the operating points, and the curve with its band, by their fields' names."""
    k = len(levels)
    drawn = zip(rates.tar[k:], rates.tar_replicates[:, k:].T, strict=True)
    band = [people.estimate(Drawn(float(tar), draws), n, share=True) for tar, draws in drawn]
    ends = np.array([(one.low, one.high) for one in band], dtype=np.float64)
    return {
        f"{prefix}levels": levels,
        f"{prefix}thresholds": rates.thresholds[:k],
        f"{prefix}false_accepts": rates.false_accepts[:k],
        f"{prefix}curve_far": curve,
        f"{prefix}curve_tar": rates.tar[k:],
        f"{prefix}curve_low": ends[:, 0],
        f"{prefix}curve_high": ends[:, 1],
    }


def _transferred(
    embeddings: EmbeddingSet, people: People, params: VerificationParams, found: Estimates
) -> None:
    """Choose the threshold on one half of the people and judge it on the other, both ways round."""
    everybody = len(embeddings.identities)
    order = np.random.default_rng([params.seed, 1]).permutation(everybody)
    halves = [np.sort(half) for half in np.array_split(order, 2)]
    both = [
        _scored(embeddings.take(np.flatnonzero(np.isin(embeddings.labels, half))), params) for half in halves
    ]
    if any(params.far * pairs.impostor.sum() < 1 or not len(pairs.genuine_scores) for pairs in both):
        return
    drawn = [people.counts[:, half] for half in halves]
    ways = [roc.transferred(both[k], both[1 - k], params.far, drawn[k], drawn[1 - k]) for k in range(2)]
    tar, tar_draws, far, far_draws = (np.mean(way, axis=0) for way in zip(*ways, strict=True))
    paired = sum(len(np.unique(pairs.genuine_people)) for pairs in both)
    tar_of, far_of = elsewhere(params.far)
    found[tar_of,] = people.estimate(Drawn(float(tar), tar_draws), paired, float(far), share=True)
    found[far_of,] = people.estimate(Drawn(float(far), far_draws), everybody, share=True)


def elsewhere(far: float) -> tuple[str, str]:
    """Name the TAR and the FAR that a threshold from other people gets."""
    return (
        f"TAR, threshold for FAR={far:g} from other people",
        f"FAR that this threshold gets (asked: {far:g})",
    )


@dataclass(frozen=True)
class _Asked:
    """What a set holds of a list of pairs: scores, folds and items; and what to tell of the rest."""

    pairs: listed.Listed
    folds: np.ndarray | None
    a: np.ndarray
    b: np.ndarray
    told: dict[str, Any]


def _asked(embeddings: EmbeddingSet, asked: PairList) -> _Asked:
    file = asked.source or asked.name
    a, b = asked.rows(embeddings.items.tolist())
    there = (a >= 0) & (b >= 0)
    if not there.any():
        raise UserError(
            f"{embeddings.title} holds none of the {len(asked):,} pairs of {file}, such as {asked.a[0]!r} "
            f"with {asked.b[0]!r} (its items are called like {str(embeddings.items[0])!r}): give the list "
            "that belongs to these images"
        )
    missing = [name for row, name in zip([*a, *b], [*asked.a, *asked.b], strict=True) if row < 0]
    a, b, same = a[there], b[there], asked.same[there]
    if same.all() or not same.any():
        raise UserError(
            f"all pairs of {file} that {embeddings.title} holds are of "
            f"{'one person' if same[0] else 'two people'}: give a list with pairs of both kinds"
        )
    people = np.stack([embeddings.labels[a], embeddings.labels[b]], axis=1)
    against = np.flatnonzero(same != (people[:, 0] == people[:, 1]))
    told = {
        "list_name": asked.name,
        "list_pairs": len(same),
        "list_impostors": int((~same).sum()),
        "list_missing": int((~there).sum()),
        "list_missing_items": tuple(dict.fromkeys(missing))[:NAMED],
        "list_contradicted": len(against),
        "list_contradicted_items": tuple(
            f"{embeddings.items[a[k]]} with {embeddings.items[b[k]]}" for k in against[:NAMED]
        ),
    }
    scores = listed.scored(embeddings.unit, a, b)
    folds = None if asked.folds is None else asked.folds[there]
    return _Asked(listed.Listed(scores, same, people), folds, a, b, told)


def _of_list(asked: _Asked, people: People, params: VerificationParams, found: Estimates) -> dict[str, Any]:
    """Measure the listed pairs."""
    levels, curve = _fars(params.far, asked.told["list_impostors"])
    rates = listed.rates(asked.pairs, np.concatenate([levels, curve]), people.counts)
    paired = len(np.unique(asked.pairs.people[asked.pairs.same]))
    _points(rates, levels, paired, people, (LISTED,), found)
    return {**_curve("list_", rates, levels, curve, paired, people), **asked.told}


def _accuracy(
    embeddings: EmbeddingSet,
    asked: _Asked | None,
    people: People,
    params: VerificationParams,
    found: Estimates,
) -> dict[str, Any]:
    """Measure the accuracy over the list's folds, or over folds of people with drawn pairs."""
    if asked and asked.folds is not None and len(np.unique(asked.folds)) > 1:
        a, b, pairs, folds = asked.a, asked.b, asked.pairs, asked.folds
        source = f"pairs of {asked.told['list_name']}"
    else:
        # In the order of names, so that models draw the same pairs however their rows lie.
        order = np.lexsort((embeddings.items, embeddings.labels))
        a, b, same, folds = listed.drawn_pairs(embeddings.labels[order], FOLDS, DRAWN_A_FOLD, params.seed)
        a, b, source = order[a], order[b], "drawn pairs"
        whose = np.stack([embeddings.labels[a], embeddings.labels[b]], axis=1)
        if len(np.unique(folds)) < 2:
            return {}
        pairs = listed.Listed(listed.scored(embeddings.unit, a, b), same, whose)
    folded = listed.fold_accuracy(pairs, folds, people.counts)
    chance = float(max(pairs.same.mean(), 1 - pairs.same.mean()))
    judged = [*embeddings.items[a], *embeddings.items[b], *map(str, [*pairs.same, *folds])]
    alike = People.of(embeddings.identities, params, items=judged)
    name = f"{len(folded.accuracy)}-fold accuracy on {source}"
    found[name,] = alike.estimate(
        Drawn(folded.mean, folded.replicates), len(np.unique(pairs.people)), chance, share=True
    )
    return {
        "accuracy_name": name,
        "accuracy_source": source,
        "accuracy_spread": float(np.std(folded.accuracy, ddof=1)),
        "fold_accuracy": folded.accuracy,
        "fold_thresholds": folded.thresholds,
    }


def charts(results: Sequence[Verification]) -> list[Chart]:
    """ROC and DET of all sets, those of a list of pairs, the operating points, and accuracies."""
    drawn: list[Chart] = _curves(results, "", "all pairs")
    with_list = [r for r in results if r.list_name]
    if with_list:
        drawn += _curves(with_list, "list_", "listed pairs")
    rows = [row for r in results for row in _rows(r, ALL, "", (), r.impostor_pairs)]
    rows += [row for r in with_list for row in _rows(r, LISTED, "list_", (LISTED,), r.list_impostors)]
    drawn.append(
        Table(
            title="Operating points",
            columns=("set", "pairs", "FAR asked", "TAR", "threshold", "FAR achieved", "false accepts"),
            rows=tuple(rows),
            note=f"Points with fewer than {STABLE} false accepts are unstable; points that the pairs cannot "
            "resolve are left out.",
        )
    )
    judged = tuple(
        (
            r.title,
            r.accuracy_source,
            len(r.fold_accuracy),
            Cell(one := r.estimates[r.accuracy_name,], f"{one:.4f}"),
            Cell(r.accuracy_spread, f"{r.accuracy_spread:.4f}"),
            f"{r.fold_thresholds.min():.4f} to {r.fold_thresholds.max():.4f}",
        )
        for r in results
        if r.accuracy_name
    )
    if judged:
        drawn.append(
            Table(
                title="Accuracy over folds",
                columns=("set", "pairs", "folds", "accuracy", "deviation of folds", "thresholds"),
                rows=judged,
                note="Each fold is judged at the threshold that is most accurate on the others. Intervals "
                "are of a bootstrap over people; the standard deviation of folds is none.",
            )
        )
    return drawn


def _curves(results: Sequence[Verification], prefix: str, what: str) -> list[Chart]:
    probes = list(dict.fromkeys(r.condition for r in results))
    roc_lines, det_lines = [], []
    for r in results:
        far, tar, low, high = (getattr(r, f"{prefix}curve_{name}") for name in ("far", "tar", "low", "high"))
        dash = DASHES[probes.index(r.condition) % len(DASHES)]
        low_far = far <= DET_REACH
        roc_lines.append(Curve(name=r.title, x=far, y=tar, low=low, high=high, model=r.model, dash=dash))
        det_lines.append(
            Curve(
                name=r.title,
                x=far[low_far],
                y=1 - tar[low_far],
                low=1 - high[low_far],
                high=1 - low[low_far],
                model=r.model,
                dash=dash,
            )
        )
    templates = " Where images meet templates, a template is the mean of a person's other vectors."
    note = templates if not prefix and any(r.templates for r in results) else ""
    return [
        Curves(
            title=f"ROC over {what}",
            xlabel="FAR: share of impostor pairs accepted",
            ylabel="TAR: share of genuine pairs accepted",
            curves=tuple(roc_lines),
            xscale="log",
            note="Bands are 95 % intervals from a bootstrap over people. Chance is TAR = FAR. In the other "
            f"dialect, TAR@FAR is 1 − FNMR@FMR.{note}",
        ),
        Curves(
            title=f"DET over {what}",
            xlabel="FAR: share of impostor pairs accepted",
            ylabel="1 − TAR: share of genuine pairs rejected",
            curves=tuple(det_lines),
            xscale="probit",
            yscale="probit",
            note="Lower is better. Both axes are probits: normally distributed scores give a straight line."
            f"{note}",
        ),
    ]


def _rows(r: Verification, pairs: str, prefix: str, place: Place, impostors: int) -> list[tuple[object, ...]]:
    columns = (getattr(r, f"{prefix}{name}") for name in ("levels", "thresholds", "false_accepts"))
    return [
        (
            r.title,
            pairs,
            Cell(level, f"{level:g}"),
            r.estimates[tar_at(level), *place],
            Cell(threshold, f"{threshold:.4f}"),
            Cell(false / impostors, f"{false / impostors:.2e}"),
            Cell(false, f"{false:,}" + ("" if false >= STABLE else " (unstable)")),
        )
        for level, threshold, false in zip(*columns, strict=True)
    ]


def findings(results: Sequence[Verification]) -> list[Finding]:
    """Compare models within each probe, and probes within each model; and tell what does not hold."""
    said = []
    for condition in dict.fromkeys(r.condition for r in results):
        group = [r for r in results if r.condition == condition]
        said += _ranking(condition, group) + _accuracies(condition, group)
    for model, templates in dict.fromkeys((r.model, r.templates) for r in results):
        mine = [r for r in results if (r.model, r.templates) == (model, templates)]
        said += [_drop(mine[0], other) for other in mine[1:]]
    for r in results:
        said += [*_drift(r), *_unresolved(r), *_list_gaps(r)]
    return said


def _level(r: Verification) -> float:
    """Give the reference FAR, or the lowest one the set resolves."""
    return r.far if r.at(r.far) is not None else float(r.levels[-1]) if len(r.levels) else float("nan")


def _tar(r: Verification, far: float) -> Estimate:
    index = r.at(far)
    if index is None:
        raise ValueError(f"{r.title} does not resolve FAR {far}")
    return r.estimates[tar_at(r.levels[index]),]


def _point(group: Sequence[Verification]) -> tuple[float, str]:
    """Find the operating point that all of a group resolve, and name it with its caution."""
    far = float(np.max([_level(r) for r in group]))
    counts = [r.false_accepts[k] for r in group if (k := r.at(far)) is not None]
    unstable = f" (unstable, fewer than {STABLE} false accepts)" if counts and min(counts) < STABLE else ""
    return far, f"FAR {far:g}{unstable}"


def _ranking(condition: str, group: Sequence[Verification]) -> list[Finding]:
    group = [r for r in group if len(r.levels)]
    if not group:
        return []
    far, point = _point(group)
    best, *rest = sorted(group, key=lambda r: -_tar(r, far).value)
    text = f"On {condition}, {best.model} accepts {_tar(best, far):.1%} of genuine pairs at {point}"
    if not rest:
        return [Finding(f"{text}; its EER is {best.estimates[EER,]:.2%}.")]
    return [
        compared(f"{text}, {other.model} {_tar(other, far):.1%}", _tar(best, far), _tar(other, far))
        for other in rest
    ]


def _accuracies(condition: str, group: Sequence[Verification]) -> list[Finding]:
    said = []
    for name in dict.fromkeys(r.accuracy_name for r in group if r.accuracy_name):
        best, *rest = sorted(
            (r for r in group if r.accuracy_name == name), key=lambda r: -r.estimates[name,].value
        )
        one = best.estimates[name,]
        text = f"On {condition}, the {name} is {one:.2%} in {best.model}"
        if not rest:
            said.append(
                Finding(f"{text}; its folds have a standard deviation of {best.accuracy_spread:.2%}.")
            )
        said += [
            compared(f"{text} and {other:.2%} in {r.model}", one, other)
            for r in rest
            for other in [r.estimates[name,]]
        ]
    return said


def _drop(whole: Verification, other: Verification) -> Finding:
    far, point = _point((whole, other))
    if not np.isfinite(far):
        return Finding(f"To compare {whole.title} and {other.title} there are too few impostor pairs.", "bad")
    text = (
        f"In {whole.model}, TAR at {point} goes from {_tar(whole, far).value:.1%} on {whole.condition} to "
        f"{_tar(other, far).value:.1%} on {other.condition}"
    )
    return compared(text, _tar(other, far), _tar(whole, far), word="change")


def _drift(r: Verification) -> list[Finding]:
    """Speak up where a threshold from other people does not keep the FAR it was chosen for."""
    tar_of, far_of = elsewhere(r.far)
    if (far_of,) not in r.estimates:
        return []
    tar, got = r.estimates[tar_of,], r.estimates[far_of,]
    if got.low is None or got.high is None or got.low <= r.far <= got.high:
        return []
    return [
        Finding(
            f"In {r.title}, a threshold chosen for FAR {r.far:g} on half of the people gets FAR {got:.2g} on "
            f"the others, with TAR {tar:.1%}.",
            "bad" if got.value > r.far else "plain",
        )
    ]


def _unresolved(r: Verification) -> list[Finding]:
    if r.at(r.far) is not None:
        return []
    instead = f"FAR {_level(r):g} is used instead" if len(r.levels) else "no other FAR can be told either"
    return [
        Finding(
            f"In {r.title}, {r.impostor_pairs:,} impostor pairs are too few for TAR at FAR {r.far:g} (at "
            f"least {1 / r.far:,.0f} are needed); {instead}.",
            "bad",
        )
    ]


def _list_gaps(r: Verification) -> list[Finding]:
    """Tell which listed pairs could not be judged, and which say otherwise than the set."""
    said = []
    if r.list_missing:
        said.append(
            Finding(
                f"In {r.title}, {r.list_missing:,} pairs of {r.list_name} lack an image and are left out "
                f"({_named(r.list_missing_items)}).",
                "bad",
            )
        )
    if r.list_contradicted:
        said.append(
            Finding(
                f"In {r.title}, {r.list_contradicted:,} pairs of {r.list_name} contradict the identities "
                f"({_named(r.list_contradicted_items)}); they are judged as the list has them.",
                "bad",
            )
        )
    return said


def _named(items: Sequence[str]) -> str:
    return "such as " + ", ".join(map(repr, items))


ANALYSIS = Analysis(
    question="How many genuine pairs are accepted at a given risk of a false accept?",
    over="set",
    params=VerificationParams(),
    result=Verification,
    compute=compute,
    charts=charts,
    findings=findings,
)
