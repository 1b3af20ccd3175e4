"""Families: which of several models are alike, and how close two seeds of one recipe are.

Every two models are held against each other by debiased linear CKA [1]_, which asks whether the same pairs
of images have large inner products, on the images that all of them show, at length one. The null re-pairs
people at random, with others of as many images, as ``similarity`` does; what exceeds it is likeness of the
arrangement of people. The corrected score is (value − null)/(ceiling − null). The ceiling is what two seeds
of one recipe reach where such are among the models, else 1.

The tree joins the closest models first, at the mean distance of their groups (average linkage), where
distance is 1 − the corrected score.

How to read it
--------------
0 is chance and 1 is the ceiling. Models that join far to the left are alike. Two seeds of one recipe say how
alike models can be that differ in nothing but chance; models of two recipes that are as close differ in
nothing that linear CKA sees.

Limits
------
Linear CKA is ruled by the widest directions; ``similarity`` has seven more measures. One ceiling serves all
pairs, whatever their recipes. Alike is not as good. Chance may decide the order of pairs that lie close
together; of the closest two it is said. A tree is drawn whether there are families or not.

References
----------
.. [1] Kornblith, S., Norouzi, M., Lee, H. and Hinton, G. Similarity of neural network representations
   revisited. ICML 2019.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Dendrogram, Heatmap
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, Place, compared, undrawn
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.likeness.exchange import rematched
from embedlab.maths.likeness.scores import scores
from embedlab.maths.likeness.shared import shared
from embedlab.maths.likeness.similarity import LINEAR_CKA, linear_all
from embedlab.maths.pairs.moments import Drawn

CORRECTED = f"corrected {LINEAR_CKA}"


@dataclass(frozen=True)
class FamiliesParams(Params):
    """Knobs of the comparison of many models."""

    shuffles: int = bounded(19, least=1)
    """How many random pairings of people stand behind each null."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the images that stay, the random pairings and the resamples."""


@dataclass(frozen=True)
class Families(Result):
    """How alike each two of several models are under one probe.

    Attributes
    ----------
    estimates
        Linear CKA and its corrected score, by the pair of models.
    twins
        The pairs that are two seeds of one recipe.
    """

    probe: str = field(metadata={"hidden": True})
    models: tuple[str, ...]
    people: int
    images: int
    dropped: int = field(metadata={"label": "images not in every model's set, left out"})
    uneven: int = field(metadata={"label": "images left out, so that people of as many can be re-paired"})
    shuffles: int = field(metadata={"label": "random pairings"})
    estimates: Estimates
    twins: tuple[Place, ...]
    ceiling: float
    by_seeds: bool = field(metadata={"label": "the ceiling is that of two seeds"})

    @property
    def likeness(self) -> Float[np.ndarray, " pairs"]:
        """The corrected score of each two models; NaN where there is none."""
        return self.estimates.row(CORRECTED, list(combinations(self.models, 2)))[0]

    @property
    def ranked(self) -> list[tuple[Place, Estimate]]:
        """The pairs that have a score, the closest first; those that set the ceiling are left out."""
        pairs = list(combinations(self.models, 2))
        told = [pair for pair in pairs if pair not in self.twins] or pairs
        there = [(pair, score) for pair in told if (score := self.estimates.at(CORRECTED, pair))]
        return sorted(there, key=lambda one: -one[1].value)


def compute(sets: Sequence[EmbeddingSet], params: FamiliesParams) -> Families:
    """Compare each two models' vectors of one probe, on the images that all of them show.

    Raises
    ------
    UserError
        If there are fewer than three models, they share too few people, or all vectors of one are one.
    """
    if len(sets) == 2:
        raise UserError("two models make no families: name a third one; similarity compares two")
    there = shared(sets, params.seed)
    images = there.images
    rngs = [np.random.default_rng([params.seed, 21, k]) for k in range(params.shuffles)]
    orders = [rematched(images.labels, rng, together=True) for rng in rngs]
    found = linear_all(there.vectors, images.labels, orders)
    people = People.of(images.identities, params, items=images.items)
    table = scores(found, people.counts, [s.recipe for s in sets])
    models, n = tuple(s.model for s in sets), len(images.identities)
    pairs: list[Place] = list(combinations(models, 2))
    estimates = Estimates()
    for k, (pair, one) in enumerate(zip(pairs, (measured[LINEAR_CKA] for measured in found), strict=True)):
        if not np.isfinite(table.score[k, 0]):
            continue
        moved = Drawn(one.value, one.replicates(people.counts))
        estimates[LINEAR_CKA, *pair] = undrawn(people.estimate(moved, n, float(one.nulls.mean())))
        score = Drawn(float(table.score[k, 0]), table.drawn[k, 0])
        estimates[CORRECTED, *pair] = people.estimate(score, n, 0.0)
    return Families(
        title=sets[0].probe,
        probe=sets[0].probe,
        models=models,
        people=n,
        images=len(images.items),
        dropped=there.dropped,
        uneven=there.uneven,
        shuffles=params.shuffles,
        estimates=estimates,
        twins=tuple(pairs[k] for k in table.twins),
        ceiling=float(table.ceiling[0]),
        by_seeds=bool(table.by_seeds[0]),
    )


def charts(results: Sequence[Families]) -> list[Chart]:
    """Draw the tree of the models on the first probe, and a matrix in its order."""
    from scipy.cluster.hierarchy import linkage

    r = results[0]
    order, drawn = list(range(len(r.models))), list[Chart]()
    if not np.isnan(r.likeness).any():
        tree = Dendrogram(
            title=f"Models by likeness on {r.probe}",
            labels=r.models,
            merges=linkage(np.maximum(0.0, 1.0 - r.likeness), "average"),
            xlabel=f"1 − corrected {LINEAR_CKA}",
            note="Average linkage; groups join at the mean distance of their models.",
        )
        order, drawn = tree.leaves(), [tree]
    values = np.eye(len(r.models))
    upper = np.triu_indices_from(values, 1)
    values[upper] = values.T[upper] = r.likeness
    values, names = values[np.ix_(order, order)], tuple(r.models[k] for k in order)
    text = np.where(np.isfinite(values), np.char.mod("%.2f", values), "")
    np.fill_diagonal(text, "1")
    matrix = Heatmap(
        title=f"{LINEAR_CKA} between models on {r.probe}, corrected for chance",
        xlabels=names,
        ylabels=names,
        values=values,
        text=text,
        colour_label="corrected score",
        span=(0.0, 1.0),
        note=f"0: as people re-paired at random; 1: {_one(r)}. {r.images:,} images of {r.people:,} people.",
    )
    return [*drawn, matrix]


def _one(r: Families) -> str:
    return "as two seeds of one recipe" if r.by_seeds else "equal spaces"


def _named(pair: Place) -> str:
    return " and ".join(pair)


def findings(results: Sequence[Families]) -> list[Finding]:
    """Say which models are closest and furthest apart, beside two seeds, and from probe to probe."""
    r = results[0]
    if not (ranked := r.ranked):
        return [Finding(f"On {r.probe}, {LINEAR_CKA} is defined for no two models of two recipes.")]
    (near, high), (far, low) = ranked[0], ranked[-1]
    said = []
    if len(ranked) > 1:
        (second, next_high), text = ranked[1], f"On {r.probe}, {_named(near)} are the closest models"
        text += f" (corrected {LINEAR_CKA} {high.value:.2f}), before {_named(second)} ({next_high.value:.2f})"
        said.append(compared(text, high, next_high, spec="+.2f", tones=("plain", "plain")))
    if len(ranked) > 2:
        (other, next_low), text = ranked[-2], f"On {r.probe}, {_named(far)} are the furthest apart"
        text += f" (corrected {LINEAR_CKA} {low.value:.2f}), after {_named(other)} ({next_low.value:.2f})"
        said.append(compared(text, low, next_low, spec="+.2f", tones=("plain", "plain")))
    if r.by_seeds:
        seeds = replace(high, value=1.0, low=1.0, high=1.0, draws=np.ones_like(high.draws))
        text = (
            f"On {r.probe}, {_named(near)} reach {high.value:.2f} of the likeness of two seeds of one recipe"
        )
        said.append(compared(text, high, seeds, spec="+.2f", tones=("plain", "plain")))
    after = results[-1].estimates.at(CORRECTED, near)
    if len(results) > 1 and after:
        text = (
            f"From {r.probe} to {results[-1].probe} the corrected {LINEAR_CKA} of {_named(near)} goes from "
        )
        text += f"{high.value:.2f} to {after.value:.2f}"
        said.append(compared(text, after, high, spec="+.2f", word="change", tones=("plain", "plain")))
    return said


ANALYSIS = Analysis(
    question="Which models are alike, and how close are two seeds of one recipe?",
    over="models",
    params=FamiliesParams(),
    result=Families,
    compute=compute,
    charts=charts,
    findings=findings,
)
