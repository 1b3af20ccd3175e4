"""Similarity: how alike the spaces of several models are, by eight measures, beside what chance gives.

All models' vectors of the images they share are compared at length one, two models at a time.

- *Linear CKA* and *RBF CKA* [1]_: do the same pairs of images have large inner products, or small
  distances? Debiased by the unbiased HSIC [2]_; RBF over minibatches, its width a share of the median
  distance.
- *SVCCA* [3]_ and *PWCCA* [4]_: how far do linear functions of both spaces correlate? Within the principal
  components that carry 99 % of the variance; SVCCA is the plain mean, PWCCA weights directions by what
  they say of a space's coordinates. *Procrustes*: the cosine of the angle between the clouds after the
  best rotation; the angle is the angular Procrustes distance [5]_. These three fit a map: it is fitted on
  one half of the people and judged on the other, and the other way round; in-sample figures stand in the
  table.
- *RSA* [6]_: Spearman's correlation of all pairs' cosine distances. *Mutual k-NN* and *CKNNA* [7]_: the
  share of an image's nearest neighbours that both spaces name, and CKA on these alone. On a sample.

The null re-pairs people at random: one person's images in one space stand against another's in the
other. That both group a person's images is then part of the null, and what exceeds it is likeness of the
arrangement of people; ``shuffle = "images"`` re-pairs images instead, and grouping counts as likeness.
The corrected score is (value − null)/(ceiling − null). The ceiling is what two seeds of one recipe reach
where such are among the models, else 1. Intervals are 95 % percentile intervals of a bootstrap
over people, to first order in their weights; p counts the shuffles that do as well.

How to read it
--------------
0 is chance and 1 is the ceiling. Measures differ in what they overlook (see the table): CKA and RSA are
ruled by the widest directions, the CCA family counts narrow ones as much, neighbours look at the finest
scale only. One measure alone shows little; the same order of pairs by several shows more. A value
without its null shows nothing: independent noise scores high in-sample, and two models that agree on who
is who share neighbours whatever else they do.

Limits
------
With a ceiling of 1 no two trainings reach a score of 1, even of one recipe; one ceiling serves all pairs,
whatever their recipes. Alike is not as good: a model can be unlike another and better. Mutual k-NN and
CKNNA depend on the size of the sample, so compare them at one size. Fits overfit where people are few: a
held-out score then understates. A person of very many images rules CKA and CKNNA, which then have long
intervals, and overlaps several others when people are re-paired. Intervals hold fits and lists of
neighbours fixed. Those of SVCCA, PWCCA and Procrustes are widened by √2, a factor chosen on simulations
because the two halves' judgements go together, not derived. In 200 other simulated sets each of nine
kinds, of 60 or 200 people, 95 % intervals held the mean of all sets in 90–100 % of them (linear CKA, RSA,
fitted measures), 85–100 % (RBF CKA: too short where spaces are nearly equal) and 93–100 % (neighbours: as
a rule too long). The low ends are mostly of sets in which a few people have very many images.

References
----------
.. [1] Kornblith, S., Norouzi, M., Lee, H. and Hinton, G. Similarity of neural network representations
   revisited. ICML 2019.
.. [2] Song, L., Smola, A., Gretton, A., Bedo, J. and Borgwardt, K. Feature selection via dependence
   maximization. Journal of Machine Learning Research 13, 2012.
.. [3] Raghu, M., Gilmer, J., Yosinski, J. and Sohl-Dickstein, J. SVCCA: singular vector canonical
   correlation analysis for deep learning dynamics and interpretability. NeurIPS 2017.
.. [4] Morcos, A. S., Raghu, M. and Bengio, S. Insights on representational similarity in neural networks
   with canonical correlation. NeurIPS 2018.
.. [5] Williams, A. H., Kunz, E., Kornblith, S. and Linderman, S. W. Generalized shape metrics on neural
   representations. NeurIPS 2021.
.. [6] Kriegeskorte, N., Mur, M. and Bandettini, P. Representational similarity analysis: connecting the
   branches of systems neuroscience. Frontiers in Systems Neuroscience 2, 2008.
.. [7] Huh, M., Cheung, B., Wang, T. and Isola, P. The platonic representation hypothesis. ICML 2024.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Cell, Chart, Dendrogram, Heatmap, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, Place, compared, undrawn
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.likeness.corrected import NAMES, Scores, scores, tabled
from embedlab.maths.likeness.similarity import (
    LINEAR_CKA,
    MEASURES,
    PROCRUSTES,
    Measured,
    Plan,
    Space,
    compare,
)
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.permutation import p_value
from embedlab.progress import carried, track

S = TypeVar("S")
T = TypeVar("T")
FEWEST_PEOPLE = 10
SURE = 0.05
THREADS = 4
ANGLE = "Procrustes angle in radians"
CORRECTED, IN_SAMPLE = ({name: f"{word} {name}" for name in NAMES} for word in ("corrected", "in-sample"))
# Results that are told one by one, and rows of pairs in a picture.
MOST_TOLD, MOST_ROWS = 2, 15


@dataclass(frozen=True)
class SimilarityParams(Params):
    """Knobs of the similarity analysis."""

    sample: int = bounded(2000, least=20)
    """How many images at most RSA, mutual k-NN and CKNNA compare all pairs of."""
    neighbours: int = bounded(10, least=1)
    """How many nearest neighbours of an image mutual k-NN and CKNNA look at."""
    bandwidth: float = bounded(0.5, above=0)
    """The width of the RBF kernel, in units of the median distance."""
    batch: int = bounded(256, least=4)
    """How many images at most stand in a minibatch of RBF CKA."""
    variance: float = bounded(0.99, above=0, most=1)
    """The share of variance carried by the components within which SVCCA and PWCCA are fitted."""
    shuffle: Literal["people", "images"] = "people"
    """What the null re-pairs at random: whole people, or images whoever they show."""
    shuffles: int = bounded(39, least=1)
    """How many random pairings stand behind each null."""
    refits: int = bounded(19, least=1)
    """How many stand behind those of SVCCA, PWCCA and Procrustes, which are fitted again each time."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the halves, the sample, the minibatches, the random pairings and the resamples."""


@dataclass(frozen=True)
class Similarity(Result):
    """How alike the models' spaces are under one probe; of arrays a row is a pair, a column a measure.

    Attributes
    ----------
    estimates
        Each measure and its corrected score, by the pair of models.
    in_sample
        What measures that fit give on the people fitted on, by the pair.
    """

    probe: str = field(metadata={"hidden": True})
    models: tuple[str, ...]
    dimensions: tuple[int, ...]
    people: int
    images: int
    dropped: int = field(metadata={"label": "images not in every model's set, left out"})
    sample_people: int = field(metadata={"label": "people in the sample"})
    sample_images: int = field(metadata={"label": "images in the sample"})
    shuffle: str = field(metadata={"label": "re-paired at random in the null"})
    shuffles: int = field(metadata={"label": "random pairings"})
    refits: int = field(metadata={"label": "random pairings of fitted measures"})
    seed: int = field(metadata={"hidden": True})
    neighbours: int = field(metadata={"hidden": True})
    estimates: Estimates
    in_sample: Estimates = field(metadata={"hidden": True})
    measures: tuple[str, ...]
    twins: tuple[Place, ...]
    null_high: Float[np.ndarray, "pairs measures"]
    p: Float[np.ndarray, "pairs measures"]
    ceiling: Float[np.ndarray, " measures"]
    by_seeds: Bool[np.ndarray, " measures"]

    @property
    def pairs(self) -> tuple[Place, ...]:
        """Each two of the models."""
        return tuple(combinations(self.models, 2))

    def score(self, measure: str, pair: Place) -> Estimate | None:
        """Give a corrected score; None where the measure is not defined."""
        return self.estimates.at(CORRECTED[measure], pair)

    def is_beyond_chance(self, measure: str, pair: Place) -> bool:
        """Say whether few random pairings do as well."""
        return bool(self.p[self.pairs.index(pair), NAMES.index(measure)] <= SURE)

    def ranked(self, measure: str) -> list[tuple[Place, Estimate]]:
        """List the pairs that have a score, the closest first; those that set the ceiling are left out."""
        judged = [pair for pair in self.pairs if pair not in self.twins] or self.pairs
        there = [(pair, score) for pair in judged if (score := self.score(measure, pair))]
        return sorted(there, key=lambda one: -one[1].value)


def compute(sets: Sequence[EmbeddingSet], params: SimilarityParams) -> Similarity:
    """Compare each two models' vectors of one probe, on the images that all of them show.

    Raises
    ------
    UserError
        If there is one model only, the models share too few people or images, all vectors of a model
        are one, or ``neighbours`` are more than the images compared.
    """
    _check(sets)
    shared = reduce(lambda kept, other: aligned(kept, other).a, sets[1:], sets[0])
    shared = shared.take(np.argsort(shared.items))
    people = len(shared.identities)
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{sets[0].probe}: maps are fitted on half of the people and judged on the others, and the "
            f"models share only {people}: give images of at least {FEWEST_PEOPLE}"
        )
    plan = _plan(shared.labels, params)
    if len(plan.rows) <= params.neighbours:
        raise UserError(
            f"similarity.neighbours must be less than the {len(plan.rows)} images compared, not "
            f"{params.neighbours}"
        )
    with _pool() as mapped:
        spaces = list(track(mapped(lambda s: _space(shared, s, plan), sets), "reading models", len(sets)))
        places = list(combinations(range(len(sets)), 2))
        measured = mapped(lambda place: compare(spaces[place[0]], spaces[place[1]], plan), places)
        found = list(track(measured, "comparing models", len(places)))
    drawn = People.of(shared.identities, params, items=shared.items)
    table = scores(found, drawn.counts, [s.recipe for s in sets])
    sizes = {m.name: plan.sampled_people if m.sampled else people for m in MEASURES}
    models = tuple(s.model for s in sets)
    pairs: tuple[Place, ...] = tuple(combinations(models, 2))
    by_pair = dict(zip(pairs, found, strict=True))
    return Similarity(
        title=sets[0].probe,
        probe=sets[0].probe,
        models=models,
        dimensions=tuple(s.vectors.shape[1] for s in sets),
        people=people,
        images=len(shared.items),
        dropped=len(np.unique(np.concatenate([s.items for s in sets]))) - len(shared.items),
        sample_people=plan.sampled_people,
        sample_images=len(plan.rows),
        shuffle=params.shuffle,
        shuffles=params.shuffles,
        refits=params.refits,
        seed=params.seed,
        neighbours=params.neighbours,
        estimates=Estimates(_values(by_pair, drawn, sizes) | _scores(pairs, table, drawn, sizes)),
        in_sample=_in_sample(by_pair, sizes),
        measures=NAMES,
        twins=tuple(pairs[k] for k in table.twins),
        null_high=tabled(found, lambda m: np.quantile(m.nulls, 1 - SURE)),
        p=tabled(found, lambda m: p_value(m.value, m.nulls) if np.isfinite(m.value) else np.nan),
        ceiling=table.ceiling,
        by_seeds=table.by_seeds,
    )


def _check(sets: Sequence[EmbeddingSet]) -> None:
    if len(sets) < 2:
        raise UserError(
            f"{sets[0].model} is the only model, and there is nothing to hold it against: name a second one"
        )


def _plan(owners: np.ndarray, params: SimilarityParams) -> Plan:
    return Plan(
        owners=owners,
        sample=params.sample,
        together=params.shuffle == "people",
        neighbours=params.neighbours,
        bandwidth=params.bandwidth,
        batch=params.batch,
        variance=params.variance,
        shuffles=params.shuffles,
        refits=params.refits,
        seed=params.seed,
    )


def _space(shared: EmbeddingSet, one: EmbeddingSet, plan: Plan) -> Space:
    vectors = aligned(shared, one).b.unit
    for half in (0, 1):
        if np.ptp(vectors[plan.half == half], axis=0).max() < 1e-6:
            raise UserError(f"all vectors of {one.title} are one: check how they were made")
    return Space.of(vectors, plan)


@contextmanager
def _pool() -> Iterator[Callable[[Callable[[S], T], Sequence[S]], Iterator[T]]]:
    """Open a few threads, each with matrix products of its own: the same bits however many there are.

    Given is a map whose work tells of its progress, and ends soon where nobody waits for it any more.
    """
    from threadpoolctl import threadpool_limits

    stopped = threading.Event()
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        try:
            yield lambda work, items: pool.map(carried(work, stopped), items)
        finally:
            stopped.set()


def _values(
    found: Mapping[Place, Mapping[str, Measured]], drawn: People, sizes: Mapping[str, int]
) -> Estimates:
    values = Estimates()
    for pair, measured in found.items():
        for name, one in measured.items():
            if not np.isfinite(one.value):
                continue
            moved, null = Drawn(one.value, one.replicates(drawn.counts)), float(np.mean(one.nulls))
            values[name, *pair] = undrawn(drawn.estimate(moved, sizes[name], null))
            if name == PROCRUSTES:
                values[ANGLE, *pair] = undrawn(drawn.estimate(*_angle(one, moved, sizes[name])))
    return values


def _angle(one: Measured, cosine: Drawn, people: int) -> tuple[Drawn, int, float]:
    """Give the angular distance of which Procrustes' figure is the cosine, and its null."""
    turned = np.arccos(np.clip([one.value, *one.nulls], -1, 1))
    return Drawn(float(turned[0]), np.arccos(cosine.replicates)), people, float(turned[1:].mean())


def _scores(pairs: Sequence[Place], table: Scores, drawn: People, sizes: Mapping[str, int]) -> Estimates:
    return Estimates(
        {
            (CORRECTED[name], *pair): drawn.estimate(
                Drawn(float(table.score[k, m]), table.drawn[k, m]), sizes[name], 0.0
            )
            for k, pair in enumerate(pairs)
            for m, name in enumerate(NAMES)
            if np.isfinite(table.score[k, m])
        }
    )


def _in_sample(found: Mapping[Place, Mapping[str, Measured]], sizes: Mapping[str, int]) -> Estimates:
    return Estimates(
        {
            (IN_SAMPLE[m.name], *pair): Estimate(one.in_sample, n=sizes[m.name], null=one.in_sample_null)
            for pair, measured in found.items()
            for m in MEASURES
            if m.fitted and np.isfinite((one := measured[m.name]).value)
        }
    )


def _named(pair: Place) -> str:
    return " and ".join(pair)


def charts(results: Sequence[Similarity]) -> list[Chart]:
    """Measures beside their nulls, or matrices of models and their tree; scores over probes; tables."""
    first = results[0]
    drawn: list[Chart] = []
    if len(first.pairs) == 1:
        drawn.append(_beside_nulls(first))
    else:
        drawn += [*(_matrix(first, name) for name in NAMES), *_tree(first)]
    if len(results) > 1:
        drawn.append(_over_probes(results))
    return [*drawn, _numbers(results), _invariances()]


def _sample(r: Similarity) -> str:
    whole = f"{r.images:,} images of {r.people:,} people"
    if r.sample_images < r.images:
        whole += (
            f"; RSA, mutual k-NN and CKNNA on {r.sample_images:,} images of {r.sample_people:,} of these "
            f"people, seed {r.seed}"
        )
    return f"{whole}. "


def _chance(r: Similarity) -> str:
    return f"{r.shuffles} random pairings of {r.shuffle} ({r.refits} where a map is fitted)"


def _other_probes(results: Sequence[Similarity]) -> str:
    others = [r.probe for r in results[1:]]
    return f" Other probes ({', '.join(others)}) are in the summary and the numbers." if others else ""


def _beside_nulls(r: Similarity) -> Chart:
    (pair,) = r.pairs
    found = [r.estimates.at(name, pair) for name in NAMES]
    value, low, high = np.concatenate([r.estimates.row(name, r.pairs) for name in NAMES], axis=1)
    return Bars(
        title=f"Similarity of {_named(pair)} on {r.probe}",
        ylabel="similarity, 1 for equal spaces",
        categories=NAMES,
        series=(BarSeries(_named(pair), value, low, high),),
        nulls=np.array([e.null if e else np.nan for e in found], np.float64),
        note=f"{_sample(r)}Mark: mean of {_chance(r)}. Procrustes is the cosine of the angular distance.",
    )


def _matrix(r: Similarity, name: str) -> Chart:
    values = np.eye(len(r.models))
    upper = np.triu_indices_from(values, 1)
    values[upper] = values.T[upper] = r.estimates.row(CORRECTED[name], r.pairs)[0]
    text = np.where(np.isfinite(values), np.char.mod("%.2f", values), "")
    np.fill_diagonal(text, "1")
    return Heatmap(
        title=f"{name} between models on {r.probe}, corrected for chance",
        xlabels=r.models,
        ylabels=r.models,
        values=values,
        text=text,
        colour_label="corrected score",
        span=(0.0, 1.0),
        note=f"0: as {r.shuffle} re-paired at random; 1: {_one(r, name)}.",
    )


def _one(r: Similarity, name: str) -> str:
    """Say what a score of 1 is."""
    return "as two seeds of one recipe" if _by_seeds(r, name) else "equal spaces"


def _seeds(r: Similarity) -> str:
    return _named(r.twins[0]) if len(r.twins) == 1 else f"{len(r.twins)} pairs"


def _by_seeds(r: Similarity, name: str) -> bool:
    return bool(r.by_seeds[NAMES.index(name)])


def _tree(r: Similarity) -> list[Chart]:
    from scipy.cluster.hierarchy import linkage

    likeness = r.estimates.row(CORRECTED[LINEAR_CKA], r.pairs)[0]
    if np.isnan(likeness).any():
        return []
    return [
        Dendrogram(
            title=f"Models by likeness on {r.probe}",
            labels=r.models,
            merges=linkage(np.maximum(0.0, 1.0 - likeness), "average"),
            xlabel=f"1 − corrected {LINEAR_CKA}",
            note="Average linkage; groups join at the mean distance of their models.",
        )
    ]


def _over_probes(results: Sequence[Similarity]) -> Chart:
    """Draw scores over probes: by measure for two models, of linear CKA by pair for more."""
    pairs = tuple(dict.fromkeys(pair for r in results for pair in r.pairs))
    single, shown = len(pairs) == 1, pairs[:MOST_ROWS]
    rows = [(name, pairs[0]) for name in NAMES] if single else [(LINEAR_CKA, pair) for pair in shown]
    cells = [[r.score(*row) for r in results] for row in rows]
    what = _named(pairs[0]) if single else LINEAR_CKA
    more = f" The first {MOST_ROWS} of {len(pairs)} pairs." if len(pairs) > len(shown) else ""
    return Heatmap(
        title=f"Similarity over probes: {what}, corrected for chance",
        xlabels=tuple(r.probe for r in results),
        ylabels=tuple(name if single else _named(pair) for name, pair in rows),
        values=np.array([[e.value if e else np.nan for e in row] for row in cells]),
        text=np.array([[format(e, ".2f").replace(" ", "\n", 1) if e else "" for e in row] for row in cells]),
        xlabel="probe",
        colour_label="corrected score",
        span=(0.0, 1.0),
        note=f"With 95 % intervals.{more}",
    )


def _numbers(results: Sequence[Similarity]) -> Chart:
    """List values, nulls, ceilings and scores: of all probes for two models, of the first for more."""
    told = results if len(results[0].pairs) == 1 else results[:1]
    rows = [row for r in told for pair in r.pairs for name in NAMES if (row := _row(r, name, pair))]
    return Table(
        title="Similarity, its null and its ceiling",
        columns=(
            "probe", "models", "measure", "value", "null", f"{1 - SURE:.0%} of nulls", "p", "ceiling",
            "corrected", "in-sample (its null)",
        ),
        rows=tuple(rows),
        folded=len(rows) > len(NAMES),
        note=f"{_sample(told[0])}Null: mean of {_chance(told[0])}."
        + (" Two seeds of one recipe score 1 by construction." if told[0].by_seeds.any() else "")
        + (_other_probes(results) if len(told) < len(results) else ""),
    )  # fmt: skip


def _row(r: Similarity, name: str, pair: Place) -> tuple[object, ...]:
    value, fitted = r.estimates.at(name, pair), r.in_sample.at(IN_SAMPLE[name], pair)
    if value is None:
        return ()
    k, m = r.pairs.index(pair), NAMES.index(name)
    return (
        r.probe,
        _named(pair),
        name,
        value,
        Cell(value.null, f"{value.null:z.3f}"),
        Cell(r.null_high[k, m], f"{r.null_high[k, m]:z.3f}"),
        Cell(r.p[k, m], f"{r.p[k, m]:.3f}"),
        Cell(r.ceiling[m], f"{r.ceiling[m]:.3f}, two seeds" if r.by_seeds[m] else "1"),
        r.score(name, pair),
        Cell(fitted, f"{fitted:.3f} ({fitted.null:.3f})") if fitted else "",
    )


def _invariances() -> Chart:
    return Table(
        title="What each measure does not see",
        columns=("measure", "rotation", "one scale", "shift", "any invertible map", "order of columns"),
        rows=tuple(
            (m.name, m.orthogonal, m.scaling, m.translation, m.invertible, m.permutation) for m in MEASURES
        ),
        folded=True,
        note="Yes: the measure stays the same where one space is changed so. Vectors are brought to length "
        "one first, so none of them sees norms here.",
    )


def findings(results: Sequence[Similarity]) -> list[Finding]:
    """Say how alike the models are beyond chance, by which measures, and how that moves with the probe."""
    told = results if len(results) <= MOST_TOLD else [results[0], results[-1]]
    said = []
    for r in told:
        said.append(_one_pair(r) if len(r.pairs) == 1 else _many_pairs(r))
        said += _against_seeds(r)
    if len(results) > 1:
        said += _from_first_to_last(results[0], results[-1])
    return said


def _one_pair(r: Similarity) -> Finding:
    (pair,) = r.pairs
    there = [(name, score) for name in NAMES if (score := r.score(name, pair))]
    beyond = sum(r.is_beyond_chance(name, pair) for name, _ in there)
    text = (
        f"On {r.probe}, {_named(pair)} are more alike than with {r.shuffle} re-paired at random by "
        f"{beyond} of {len(there)} measures (p ≤ {SURE} each)"
    )
    if not there or not beyond:
        return Finding(f"{text}; that does not show that they have nothing in common.")
    (most, high), (least, low) = (pick(there, key=lambda one: one[1].value) for pick in (max, min))
    return Finding(
        f"{text}; corrected for chance, where 1 is equal spaces, they run from {low:.2f} ({least}) to "
        f"{high:.2f} ({most})."
    )


def _many_pairs(r: Similarity) -> Finding:
    ranked = r.ranked(LINEAR_CKA)
    if not ranked:
        return Finding(f"On {r.probe}, {LINEAR_CKA} is not defined for any pair of models of two recipes.")
    (near, high), (far, low) = ranked[0], ranked[-1]
    beyond = sum(r.is_beyond_chance(LINEAR_CKA, pair) for pair, _ in ranked)
    firsts = [best[0][0] for name in NAMES if (best := r.ranked(name))]
    return Finding(
        f"On {r.probe}, by {LINEAR_CKA} corrected for chance (1: {_one(r, LINEAR_CKA)}), {_named(near)} are "
        f"the closest of {len(ranked)} pairs of models ({high:.2f}) and {_named(far)} the furthest apart "
        f"({low:.2f}); {beyond} pairs are more alike than with {r.shuffle} re-paired at random (p ≤ {SURE} "
        f"each), and {firsts.count(near)} of {len(firsts)} measures find the same pair closest."
    )


def _against_seeds(r: Similarity) -> list[Finding]:
    """Hold the closest pair of two recipes against two seeds of one, by every measure that can be."""
    if not (ranked := r.ranked(LINEAR_CKA)):
        return []
    pair = ranked[0][0]
    judged = [score for name in NAMES if _by_seeds(r, name) and (score := r.score(name, pair))]
    if not judged:
        return []
    less = sum(score.high is not None and score.high < 1 for score in judged)
    return [
        Finding(
            f"On {r.probe}, {_named(pair)} are less alike than two seeds of one recipe ({_seeds(r)}) by "
            f"{less} of {len(judged)} measures (95 % intervals below 1)."
        )
    ]


def _from_first_to_last(a: Similarity, b: Similarity) -> list[Finding]:
    """Follow the closest pair from the first probe to the last one, on the same resamples."""
    both = [(pair, before, b.score(LINEAR_CKA, pair)) for pair, before in a.ranked(LINEAR_CKA)]
    there = [(pair, before, after) for pair, before, after in both if after]
    if not there:
        return []
    pair, before, after = there[0]
    text = (
        f"From {a.probe} to {b.probe} the corrected {LINEAR_CKA} of {_named(pair)} goes from "
        f"{before.value:.3f} to {after.value:.3f}"
    )
    return [compared(text, after, before, spec="+.3f", word="change", tones=("plain", "plain"))]


ANALYSIS = Analysis(
    question="How alike are the models' spaces, beyond what chance gives?",
    over="models",
    params=SimilarityParams(),
    result=Similarity,
    compute=compute,
    charts=charts,
    findings=findings,
)
