"""Accuracy: how many pairs of the field's list are judged rightly, at a threshold from its other folds.

Accuracy is that of Labeled Faces in the Wild [1]_: for each of ten folds of pairs, the threshold that is
most accurate on the other nine judges that fold; the figure is the mean over folds. The pairs are those
of a list (``pairs``), in its own folds; a list without folds has no accuracy. Without a list they are
*drawn pairs*: people are dealt into folds, and in each as many genuine as impostor pairs are drawn.

Of a list the ROC is given as well, exact: TAR@FAR is the share of its genuine pairs accepted at the lowest
threshold whose share of accepted impostor pairs does not exceed FAR. Every pair counts once, as in the
tables that people publish.

How to read it
--------------
Higher is better. The null of accuracy is the share of the more frequent kind of pairs, one half in most
lists; that of TAR is FAR, that of EER and AUC one half. Intervals are 95 % intervals of a bootstrap over
people: a pair of one person i weighs wᵢ, a pair of i and j wᵢ·wⱼ, and thresholds are found anew [2]_.

Two habits decide the last digit. Where several thresholds are equally accurate the *highest* is taken, as
InsightFace's does; 0.3 points can hang on it. The deviation of the folds is the *population's*, divided by
the number of folds, as NumPy's ``std`` gives it. LFW's report gives the standard error of the mean behind
± [1]_, which divides by one less, and by the root of their number. Neither is an interval.

Limits
------
Accuracy says little about a low FAR: verification does. The folds of a list may share people, as those of
``.bin`` files do. Where every person stands in few pairs, weights wᵢ·wⱼ make intervals too wide, not too
narrow [3]_: in 200 simulated lists each they held the true accuracy, EER, AUC and TAR in 97 to 100 %.
Pairs of a list that lack an image are left out, and a comparison with others' figures then is none.

References
----------
.. [1] Huang, G. B., Ramesh, M., Berg, T. and Learned-Miller, E. Labeled Faces in the Wild: a database for
   studying face recognition in unconstrained environments. University of Massachusetts, Amherst,
   technical report 07-49, 2007.
.. [2] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [3] Owen, A. B. The pigeonhole bootstrap. Annals of Applied Statistics 1(2), 2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from embedlab import operating
from embedlab.analysis import Analysis, Finding, Params, bounded
from embedlab.charts import Cell, Chart, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People
from embedlab.formats import protocols
from embedlab.formats.protocols import PairList
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs import levels, listed
from embedlab.maths.pairs.moments import Drawn
from embedlab.operating import Operating

FOLDS = 10
DRAWN_A_FOLD = 300
NAMED = 3
DRAWN = "drawn pairs"


@dataclass(frozen=True)
class AccuracyParams(Params):
    """Knobs of the accuracy analysis."""

    pairs: str = field(default="", metadata={"pairs": True})
    """A list of pairs to judge: pairs.txt as LFW has it, InsightFace's .bin, or CSV with the columns
    image_a,image_b,same and, if there are folds, fold. Without it pairs are drawn."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate at which models are compared in words on a list without folds."""
    interval: Literal["percentile", "bca"] = "percentile"
    """Quantiles of resamples (of shares: the exact binomial), or bias-corrected and accelerated ones."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples and of drawn pairs."""


@dataclass(frozen=True)
class Accuracy(Operating):
    """The accuracy of one set over folds, and the ROC of a list of pairs.

    Attributes
    ----------
    source
        Whose pairs were judged.
    name
        What the accuracy is called; empty where the list has no folds.
    spread
        The population's standard deviation of the folds.
    missing_items, contradicted_items
        Some of the items that are not there, and of the pairs that say otherwise than the set.
    """

    source: str = field(metadata={"hidden": True})
    name: str = field(default="", metadata={"hidden": True})
    spread: float | None = field(
        default=None, metadata={"label": "standard deviation of the folds (population's)"}
    )
    fold_accuracy: Float[np.ndarray, " folds"] = field(default_factory=lambda: np.empty(0))
    fold_thresholds: Float[np.ndarray, " folds"] = field(default_factory=lambda: np.empty(0))
    missing: int | None = field(default=None, metadata={"label": "listed pairs that lack an image"})
    missing_items: tuple[str, ...] = ()
    contradicted: int | None = field(
        default=None, metadata={"label": "listed pairs that contradict the set's identities"}
    )
    contradicted_items: tuple[str, ...] = ()

    @property
    def accuracy(self) -> Estimate | None:
        """The mean over folds."""
        return self.estimates.at(self.name, ())


@dataclass(frozen=True)
class _Judged:
    """Pairs by their rows, scored; their folds, if there are any; and what to tell of them."""

    rows: tuple[np.ndarray, np.ndarray]
    pairs: listed.Listed
    folds: np.ndarray | None
    told: dict[str, Any]


def compute(embeddings: EmbeddingSet, params: AccuracyParams, pairs: PairList | None = None) -> Accuracy:
    """Judge the pairs of a list, or drawn ones.

    Parameters
    ----------
    embeddings, params
        What is judged, and how.
    pairs
        The list; by default that which ``params.pairs`` names, if any.

    Raises
    ------
    UserError
        If no person has two images, or there is only one person; if the list of pairs cannot be read, none
        of its pairs is in the set, or all those are of one kind; if there is no list, and too few people for
        folds.
    """
    check_pairs(embeddings)
    if pairs is None and params.pairs:
        pairs = protocols.read(params.pairs)
    judged = _drawn(embeddings, params) if pairs is None else _asked(embeddings, pairs)
    same = judged.pairs.same
    people = _people(embeddings, judged, params)
    # Drawn pairs are too few for a low FAR, and verification has all there are.
    trials = 0 if pairs is None else int((~same).sum())
    asked, curve = levels.resolved(params.far, trials), levels.along(trials)
    rates = listed.rates(judged.pairs, np.concatenate([asked, curve]), people.counts)
    masses = np.bincount(judged.pairs.people[same][:, 0], minlength=len(embeddings.identities))
    found, fields = operating.points(
        rates, asked, rates.false_accepts[: len(asked)] / (~same).sum(), masses, people
    )
    found = Estimates() if pairs is None else found
    return Accuracy(
        title=embeddings.title,
        model=embeddings.model,
        probe=embeddings.probe,
        genuine_pairs=int(same.sum()),
        impostor_pairs=int((~same).sum()),
        far=params.far,
        curve_far=curve,
        **judged.told,
        **fields,
        **_over_folds(judged, people, found),
        estimates=found,
    )


def _asked(embeddings: EmbeddingSet, asked: PairList) -> _Judged:
    """Find the pairs of a list in a set."""
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
    against = np.flatnonzero(same != (embeddings.labels[a] == embeddings.labels[b]))
    told = {
        "source": f"pairs of {asked.name}",
        "missing": int((~there).sum()),
        "missing_items": tuple(dict.fromkeys(missing))[:NAMED],
        "contradicted": len(against),
        "contradicted_items": tuple(
            f"{embeddings.items[a[k]]} with {embeddings.items[b[k]]}" for k in against[:NAMED]
        ),
    }
    return _judged(embeddings, (a, b), same, None if asked.folds is None else asked.folds[there], told)


def _drawn(embeddings: EmbeddingSet, params: AccuracyParams) -> _Judged:
    """Deal people into folds and draw pairs within each."""
    # In the order of names, so that models draw the same pairs however their rows lie.
    order = np.lexsort((embeddings.items, embeddings.labels))
    a, b, same, folds = listed.drawn_pairs(embeddings.labels[order], FOLDS, DRAWN_A_FOLD, params.seed)
    if len(np.unique(folds)) < 2:
        raise UserError(
            f"{embeddings.title} shows too few people for two folds of pairs: give images of at least four, "
            "two of them with two images, or a list of pairs"
        )
    return _judged(embeddings, (order[a], order[b]), same, folds, {"source": DRAWN})


def _judged(
    embeddings: EmbeddingSet,
    rows: tuple[np.ndarray, np.ndarray],
    same: np.ndarray,
    folds: np.ndarray | None,
    told: dict[str, Any],
) -> _Judged:
    people = np.stack([embeddings.labels[side] for side in rows], axis=1)
    return _Judged(rows, listed.Listed(listed.scored(embeddings.unit, *rows), same, people), folds, told)


def _people(embeddings: EmbeddingSet, judged: _Judged, params: AccuracyParams) -> People:
    """Name the draw by the pairs too: what other pairs of the same people tell is no paired difference."""
    folds = () if judged.folds is None else judged.folds
    names = (name for side in judged.rows for name in embeddings.items[side])
    items = [*names, *map(str, [*judged.pairs.same, *folds])]
    return People.of(embeddings.identities, params, items=items)


def _over_folds(judged: _Judged, people: People, found: Estimates) -> dict[str, Any]:
    """Add the accuracy, if there are folds, and give what belongs to it."""
    same, folds = judged.pairs.same, judged.folds
    if folds is None or len(np.unique(folds)) < 2:
        return {}
    chance = float(max(same.mean(), 1 - same.mean()))
    folded = listed.fold_accuracy(judged.pairs, folds, people.counts)
    name = f"{len(folded.accuracy)}-fold accuracy on {judged.told['source']}"
    shown = len(np.unique(judged.pairs.people))
    found[name,] = people.estimate(Drawn(folded.mean, folded.replicates), shown, chance, share=True)
    return {
        "name": name,
        "spread": float(np.std(folded.accuracy)),
        "fold_accuracy": folded.accuracy,
        "fold_thresholds": folded.thresholds,
    }


def charts(results: Sequence[Accuracy]) -> list[Chart]:
    """Accuracies, and of lists of pairs the ROC and its operating points."""
    drawn: list[Chart] = []
    rows = tuple(
        (
            r.title,
            r.source,
            len(r.fold_accuracy),
            Cell(r.accuracy, f"{r.accuracy:.4f}"),
            Cell(r.spread, f"{r.spread:.4f}"),
            f"{r.fold_thresholds.min():.4f} to {r.fold_thresholds.max():.4f}",
        )
        for r in results
        if r.accuracy is not None
    )
    if rows:
        drawn.append(
            Table(
                title="Accuracy over folds",
                columns=("set", "pairs", "folds", "accuracy", "deviation of folds", "thresholds"),
                rows=rows,
                note="Each fold is judged at the threshold that is most accurate on the others, the highest "
                "of equally good ones. The deviation is the population's (divided by the number of folds) "
                "and no interval; intervals are of a bootstrap over people.",
            )
        )
    if asked := [r for r in results if len(r.curve_far)]:
        drawn += [operating.curves(asked, "listed pairs")[0], operating.table(asked)]
    return drawn


def findings(results: Sequence[Accuracy]) -> list[Finding]:
    """Hold the best model against each of the others, and tell which pairs could not be judged."""
    said = []
    for probe, source in dict.fromkeys((r.probe, r.source) for r in results):
        group = [r for r in results if (r.probe, r.source) == (probe, source)]
        for name in dict.fromkeys(r.name for r in group if r.name):
            said += operating.best_against_rest(
                (f"On {probe}, ", f" has a {name} of ", ""),
                [r for r in group if r.name == name],
                lambda r: r.estimates[r.name,],
                ".2%",
            )
        # A list without folds has no accuracy.
        group = [r for r in group if not r.name]
        said += operating.ranking(probe, [r for r in group if len(r.levels)], f"genuine {source}")
        few = "have no folds, and those of two people are too few for any FAR up to 0.1"
        said += [Finding(f"On {r.title}, the {source} {few}.") for r in group if not len(r.levels)]
    return said + [one for r in results for one in _gaps(r)]


def _gaps(r: Accuracy) -> list[Finding]:
    """Tell which listed pairs could not be judged, and which say otherwise than the set."""
    said = []
    if r.missing:
        named = ", ".join(map(repr, r.missing_items))
        said.append(
            f"On {r.title}, {r.missing:,} {r.source} lack an image and are left out (such as {named})."
        )
    if r.contradicted:
        named = ", ".join(map(repr, r.contradicted_items))
        said.append(
            f"On {r.title}, {r.contradicted:,} {r.source} contradict the identities (such as {named}); they "
            "are judged as the list has them."
        )
    return [Finding(text) for text in said]


ANALYSIS = Analysis(
    question="How many pairs of the field's list are judged rightly?",
    over="set",
    params=AccuracyParams(),
    result=Accuracy,
    compute=compute,
    charts=charts,
    findings=findings,
)
