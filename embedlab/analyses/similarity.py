"""Similarity: how alike the spaces of several models are, by eight measures, beside what chance gives.

All models' vectors of the images they share are compared at length one, two models at a time.

- *Linear CKA* and *RBF CKA* [1]_: do the same pairs of images have large inner products, or small
  distances? Debiased by the unbiased HSIC [2]_; RBF over minibatches.
- *SVCCA* [3]_ and *PWCCA* [4]_: how far do linear functions of both spaces correlate? Within the principal
  components that carry 99 % of the variance; PWCCA weights directions by what they say of a space's
  coordinates. *Procrustes*: the cosine of the angular Procrustes distance [5]_. These three fit a map, on
  one half of the people, and are judged on the other, and the other way round.
- *RSA* [6]_: Spearman's correlation of all pairs' cosine distances. *Mutual k-NN* and *CKNNA* [7]_: the
  share of an image's nearest neighbours that both spaces name, and CKA on these alone. On a sample.

The null re-pairs people at random: one person's images in one space stand against another's in the other.
What both spaces owe to *who is who* is then part of the null, and what exceeds it is likeness of the
arrangement of people; ``shuffle = "images"`` re-pairs images instead, and grouping counts as likeness. People
change places with others of as many images only, or models that share nothing but the people would look
alike. So people of about as many images, 20 at least, keep as many as who has fewest; the rest is left out.

The corrected score is (value − null)/(ceiling − null). The ceiling is what two seeds of one recipe reach
where such are among the models, else 1. Null-calibrated scores [8]_ take the 95 % quantile of re-paired
images for the null and end at 0: a test and a size in one, for which knowing who is who is likeness. Here p
counts the random pairings that do as well, or is Student's for one further pairing where none does. Two
models are called alike where *more than half* of the measures say so: the p past the middle of eight, times
eight fifths, is at most 0.05. Intervals are a bootstrap's over people; fits and neighbours are made anew
without groups of them.

How to read it
--------------
0 is chance and 1 is the ceiling. No measure sees a change of scale, a rotation (but PWCCA) or the order of
columns; RSA, mutual k-NN and CKNNA see a shift; each sees some invertible map. CKA and RSA are ruled by the
widest directions, the CCA family counts narrow ones as much, neighbours look at the finest scale only.

Limits
------
With a ceiling of 1 no two trainings reach a score of 1, even of one recipe. Compare mutual k-NN and CKNNA at
one size of sample. Where people are few a held-out score of a fit understates. Intervals hold the null and
the numbers of images fixed. In planted sets of 150 people (equal numbers of images, LFW's, or one person of
sixty) models that share nothing but the people were called alike in 0–2 %, and those whose people's places
correlate by 0.3 in 68–93 %. Intervals held the mean of all sets in 87–100 %, 0.8 to 1.3 times as long as
right, RBF CKA's up to 1.4.

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
.. [8] Gröger, F. et al. Revisiting the Platonic representation hypothesis. arXiv 2602.14486, 2026.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Cell, Chart, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, Place, claim, compared, undrawn
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.likeness.scores import NAMES, Scores, of_most, scores, tabled
from embedlab.maths.likeness.shared import shared
from embedlab.maths.likeness.similarity import LINEAR_CKA, MEASURES, Measured, Plan, compare_all
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.permutation import further_p_value, holm, told

SURE = 0.05
# With them five of eight measures can reach p = 0.05.
FEWEST_SHUFFLES = 31
CORRECTED = {name: f"corrected {name}" for name in NAMES}
# Results that are told one by one, and series of bars.
MOST_TOLD, MOST_DRAWN = 2, 6


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
    """How many random pairings stand behind each null; fewer than 31 can show nothing."""
    refits: int = bounded(19, least=1)
    """How many stand behind those of SVCCA, PWCCA and Procrustes, which are fitted again each time."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the halves, the sample, the minibatches, the random pairings and the resamples."""


@dataclass(frozen=True)
class Similarity(Result):
    """How alike the models' spaces are under one probe; of ``p`` a row is a pair, a column a measure.

    ``estimates`` has each measure and its corrected score, by the pair of models.
    """

    probe: str = field(metadata={"hidden": True})
    models: tuple[str, ...]
    dimensions: tuple[int, ...]
    people: int
    images: int
    dropped: int = field(metadata={"label": "images not in every model's set, left out"})
    uneven: int = field(metadata={"label": "images left out, so that people of as many can be re-paired"})
    sample_people: int = field(metadata={"label": "people in the sample"})
    sample_images: int = field(metadata={"label": "images in the sample"})
    shuffle: str = field(metadata={"label": "re-paired at random in the null"})
    shuffles: int = field(metadata={"label": "random pairings"})
    refits: int = field(metadata={"label": "random pairings of fitted measures"})
    seed: int = field(metadata={"hidden": True})
    estimates: Estimates
    p: Float[np.ndarray, "pairs measures"]

    @property
    def pairs(self) -> tuple[Place, ...]:
        """Each two of the models."""
        return tuple(combinations(self.models, 2))

    def score(self, measure: str, pair: Place) -> Estimate | None:
        """Give a corrected score; None where the measure is not defined."""
        return self.estimates.at(CORRECTED[measure], pair)

    @property
    def smallest_p(self) -> Float[np.ndarray, " measures"]:
        """The smallest p value that each measure's random pairings allow."""
        return np.array([1 / (1 + (self.refits if m.fitted else self.shuffles)) for m in MEASURES])

    def beyond_chance(self, pair: Place) -> int:
        """Count the measures that few random pairings reach."""
        return int((self.p[self.pairs.index(pair)] <= SURE).sum())

    def p_alike(self, pair: Place) -> float:
        """Give the p value of being more alike than re-paired by more than half of the measures."""
        return of_most(self.p[self.pairs.index(pair)])


def compute(sets: Sequence[EmbeddingSet], params: SimilarityParams) -> Similarity:
    """Compare each two models' vectors of one probe, on the images that all of them show.

    Raises
    ------
    UserError
        If there is one model only, the models share too few people or images, all vectors of a model
        are one, or ``neighbours`` are more than the images compared.
    """
    there = shared(sets, params.seed, together=params.shuffle == "people")
    images, people = there.images, len(there.images.identities)
    plan = Plan.of(images.labels, params)
    if len(plan.rows) <= params.neighbours:
        raise UserError(
            f"similarity.neighbours must be less than the {len(plan.rows)} images compared, not "
            f"{params.neighbours}"
        )
    found = compare_all(there.vectors, plan)
    drawn = People.of(images.identities, params, items=images.items)
    table = scores(found, drawn.counts, [s.recipe for s in sets])
    sizes = {m.name: plan.sampled_people if m.sampled else people for m in MEASURES}
    models = tuple(s.model for s in sets)
    pairs: tuple[Place, ...] = tuple(combinations(models, 2))
    return Similarity(
        title=sets[0].probe,
        probe=sets[0].probe,
        models=models,
        dimensions=tuple(s.vectors.shape[1] for s in sets),
        people=people,
        images=len(images.items),
        dropped=there.dropped,
        uneven=there.uneven,
        sample_people=plan.sampled_people,
        sample_images=len(plan.rows),
        shuffle=params.shuffle,
        shuffles=params.shuffles,
        refits=params.refits,
        seed=params.seed,
        estimates=_estimates(dict(zip(pairs, found, strict=True)), table, drawn, sizes),
        p=tabled(found, lambda m: further_p_value(m.value, m.nulls) if np.isfinite(m.value) else np.nan),
    )


def _estimates(
    found: Mapping[Place, Mapping[str, Measured]], table: Scores, drawn: People, sizes: Mapping[str, int]
) -> Estimates:
    values, corrected = Estimates(), Estimates()
    for k, (pair, measured) in enumerate(found.items()):
        for m, (name, one) in enumerate(measured.items()):
            if not np.isfinite(one.value):
                continue
            moved, null = Drawn(one.value, one.replicates(drawn.counts)), float(np.mean(one.nulls))
            values[name, *pair] = undrawn(drawn.estimate(moved, sizes[name], null))
            if np.isfinite(table.score[k, m]):
                score = Drawn(float(table.score[k, m]), table.drawn[k, m])
                corrected[CORRECTED[name], *pair] = drawn.estimate(score, sizes[name], 0.0)
    return Estimates(values | corrected)


def _named(pair: Place) -> str:
    return " and ".join(pair)


def charts(results: Sequence[Similarity]) -> list[Chart]:
    """Scores by measure, of probes for two models and else of pairs; the numbers."""
    first = results[0]
    single = len(first.pairs) == 1
    rows = [(r, pair) for r in (results if single else results[:1]) for pair in r.pairs]
    more = f" The first {MOST_DRAWN} of {len(rows)} pairs." if len(rows) > MOST_DRAWN else ""
    bars = Bars(
        title=f"Similarity of {_named(first.pairs[0])}" if single else f"Similarity on {first.probe}",
        ylabel="score corrected for chance",
        categories=NAMES,
        series=tuple(
            BarSeries(
                r.probe if single else _named(pair),
                *np.concatenate([r.estimates.row(name, [pair]) for name in CORRECTED.values()], axis=1),
            )
            for r, pair in rows[:MOST_DRAWN]
        ),
        note=f"0: {first.shuffle} re-paired at random; 1: equal spaces, or two seeds of one recipe if "
        f"such are among the models. {_sample(first)}{more}",
    )
    return [bars, _numbers(results)]


def _sample(r: Similarity) -> str:
    whole = f"{r.images:,} images of {r.people:,} people"
    if r.uneven:
        whole += f" ({r.uneven:,} left out, so that people of as many can be re-paired)"
    if r.sample_images < r.images:
        whole += f"; RSA and neighbours on {r.sample_images:,} of {r.sample_people:,} people, seed {r.seed}"
    return f"{whole}."


def _numbers(results: Sequence[Similarity]) -> Chart:
    """List values, nulls and scores: of all probes for two models, of the first for more."""
    r = results[0]
    told = results if len(r.pairs) == 1 else results[:1]
    rows = [row for one in told for pair in one.pairs for name in NAMES if (row := _row(one, name, pair))]
    return Table(
        title="Similarity and its null",
        columns=("probe", "models", "measure", "value", "null", "p", "corrected"),
        rows=tuple(rows),
        folded=True,
        note=f"{_sample(r)} Null: mean of {r.shuffles} random pairings of {r.shuffle} ({r.refits} of fits).",
    )


def _row(r: Similarity, name: str, pair: Place) -> tuple[object, ...]:
    value, m = r.estimates.at(name, pair), NAMES.index(name)
    if value is None:
        return ()
    p = float(r.p[r.pairs.index(pair), m])
    null = Cell(value.null, f"{value.null:z.3f}")
    return (
        r.probe,
        _named(pair),
        name,
        value,
        null,
        Cell(p, told(p).removeprefix("p = ")),
        r.score(name, pair),
    )


def findings(results: Sequence[Similarity]) -> list[Finding]:
    """Say whether the models are alike beyond chance, how much, and how that moves with the probe."""
    said = []
    for r in results if len(results) <= MOST_TOLD else [results[0], results[-1]]:
        if (least := of_most(r.smallest_p)) > SURE:
            said.append(
                Finding(
                    f"On {r.probe}, {r.shuffles} random pairings are too few to tell likeness from chance "
                    f"(p ≥ {least:.2f}): ask for {FEWEST_SHUFFLES} shuffles or more."
                )
            )
        else:
            said += _alike(r)
    first, last = results[0], results[-1]
    return said + (_from_to(first, last) if len(results) > 1 and first.pairs == last.pairs else [])


def _alike(r: Similarity) -> list[Finding]:
    if len(r.pairs) > 1:
        corrected = holm(np.array([r.p_alike(pair) for pair in r.pairs]))
        alike = int((corrected <= SURE).sum())
        end = "people alike beyond chance, by more than half of the measures."
        text = f"On {r.probe}, {alike} of {len(r.pairs)} pairs of models arrange {end}"
        none = f"On {r.probe}, no pair of {len(r.pairs)} is shown to arrange {end}"
        # That of the weakest of those that are counted.
        return [claim(text, none, float(np.sort(corrected)[max(alike - 1, 0)]))]
    (pair,) = r.pairs
    count, p = f"{r.beyond_chance(pair)} of {len(NAMES)} measures", r.p_alike(pair)
    found = claim(
        f"On {r.probe}, {_named(pair)} arrange people alike beyond chance, by {count} ({told(p)}).",
        f"On {r.probe}, {_named(pair)} are not shown to arrange people alike beyond chance: {count} exceed "
        f"it, {told(p)} for more than half.",
        p,
    )
    if p > SURE:
        return [found]
    scores = [(name, score.value) for name in NAMES if (score := r.score(name, pair))]
    (most, high), (worst, low) = (pick(scores, key=lambda one: one[1]) for pick in (max, min))
    one = f"{low:.2f}" == f"{high:.2f}"
    span = f"{high:.2f} by every measure" if one else f"{low:.2f} ({worst}) to {high:.2f} ({most})"
    text = f"On {r.probe}, the likeness of {_named(pair)} is {span}, corrected for chance "
    return [found, Finding(f"{text}(0: {r.shuffle} re-paired, 1: equal spaces).")]


def _from_to(a: Similarity, b: Similarity) -> list[Finding]:
    """Follow two models from the first probe to the last one, on the same resamples."""
    before, after = (r.score(LINEAR_CKA, r.pairs[0]) for r in (a, b))
    if len(a.pairs) > 1 or not before or not after:
        return []
    text = (
        f"From {a.probe} to {b.probe} the corrected {LINEAR_CKA} of {_named(a.pairs[0])} goes from "
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
