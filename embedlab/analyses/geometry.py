"""Geometry: how a model's vectors lie on the unit sphere.

*Uniformity* is log E exp(−2‖x − y‖²) over pairs of images, lower where they are spread more evenly;
*alignment* is E‖x − y‖² over pairs of one person, every person counted once [1]_. The *mean resultant
length* of people's means is the length of the mean of their directions: 0 where they balance, 1 where they
coincide. The *participation ratio* (Σλ)²/Σλ² of the covariance's eigenvalues says how many equally wide
directions would spread as much [2]_. It is estimated over pairs of different people, who weigh alike, and
does not grow with the sample. The *two-NN* dimension comes from the ratio of the distances to the second
and the first nearest neighbour [3]_, over one image of each person, since images of one person would fake a
low one; the largest tenth of the ratios is left out. *Hubness* is the skewness of how often an image is
among the ten nearest of others [4]_.

The null of uniformity, resultant length, two-NN and hubness is measured by the same code on as many vectors
drawn uniformly on the sphere; that of the participation ratio is the dimension. The null of alignment is
what pairs of two people give.

Intervals of 95 % are those of a bootstrap over people, paired across models and probes of the same images;
of two-NN and hubness those of thirds of the people, since neighbours must be found anew [5]_. In planted
sets of 100 and 150 people they held the expected value in 92 to 97 % of sets.

How to read it
--------------
Inside the range of 95 % of uniform samples this sample shows no difference, which is no proof that there is
none. Images of one person should lie together, so even well spread people are less uniform than the null.
A low participation ratio beside a high two-NN dimension: few strong directions and many weak ones.

Limits
------
Uniformity, two-NN and hubness are those of a sample where images are many, and depend on its size, as their
nulls do. The participation ratio of components is that of all probes together, and so another. Two-NN comes
out too low in more than about twenty dimensions.

References
----------
.. [1] Wang, T. and Isola, P. Understanding contrastive representation learning through alignment and
   uniformity on the hypersphere. ICML 2020.
.. [2] Gao, P. et al. A theory of multineuronal dimensionality, dynamics and measurement. bioRxiv 214262,
   2017.
.. [3] Facco, E. et al. Estimating the intrinsic dimension of datasets by a minimal neighborhood
   information. Scientific Reports 7, 2017.
.. [4] Radovanović, M., Nanopoulos, A. and Ivanović, M. Hubs in space: popular nearest neighbors in
   high-dimensional data. JMLR 11, 2010.
.. [5] Politis, D. N., Romano, J. P. and Wolf, M. Subsampling. Springer, 1999.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Chart, Globe, Table
from embedlab.charts.base import short
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, claim, compared
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space import evenness, sphere
from embedlab.maths.space.components import ratio_between
from embedlab.maths.space.evenness import MEASURES
from embedlab.maths.sums import by_person
from embedlab.progress import track

RESULTANT, UNIFORMITY, TWO_NN, HUBNESS = MEASURES
RANK, ALIGNMENT = "participation ratio", "alignment"
# Models of which sentences are said, and the share of images that makes a hub worth one.
TOLD, HUB = 4, 0.1


@dataclass(frozen=True)
class GeometryParams(Params):
    """Knobs of the geometry analysis."""

    images: int = bounded(2000, least=10)
    """At most how many images uniformity, two-NN and hubness look at, drawn by name."""
    neighbours: int = bounded(10, least=1)
    """k of hubness: an image is found by another if it is among its k nearest."""
    draws: int = bounded(39, least=39)
    """How many uniform samples stand behind each null; 39 are the fewest that give a 95 % range."""
    drawn: int = bounded(20, least=1)
    """At most how many people a globe of three-dimensional vectors shows."""
    resamples: int = bounded(1000, least=2)
    """How many resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the samples, of the uniform vectors and of the resamples."""


@dataclass(frozen=True)
class Geometry(Result):
    """One model's vectors on the sphere, probe by probe."""

    probes: tuple[str, ...]
    dimension: int = field(metadata={"label": "numbers a vector"})
    neighbours: int = field(metadata={"label": "k of hubness"})
    draws: int = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    images: tuple[int, ...]
    sampled: tuple[int, ...]
    estimates: Estimates
    hubs: tuple[tuple[str, str, int], ...]
    spans: Float[np.ndarray, "probes 2 measures"]
    unlike_uniform: Float[np.ndarray, "probes 3"]
    globe: Float[np.ndarray, "g 3"]
    globe_person: Int[np.ndarray, " g"]
    globe_probe: Int[np.ndarray, " g"]
    globe_items: Shaped[np.ndarray, " g"]
    globe_people: tuple[str, ...]
    people: int

    def get(self, measure: str, probe: str) -> Estimate | None:
        """Find an Estimate by what it measures and where; None where there is none."""
        return self.estimates.at(measure, (probe,))

    def span(self, measure: str, probe: str) -> tuple[float, float]:
        """Give the range that 95 % of uniform samples keep to."""
        low, high = self.spans[self.probes.index(probe), :, MEASURES.index(measure)]
        return float(low), float(high)

    def side(self, measure: str, probe: str) -> str:
        """Say where a measure lies: above that range, below or within."""
        found, (low, high) = self.estimates[measure, probe].value, self.span(measure, probe)
        return "above" if found > high else "below" if found < low else "within"


def compute(sets: Sequence[EmbeddingSet], params: GeometryParams) -> Geometry:
    """Measure how each probe's vectors lie on the sphere.

    Raises
    ------
    UserError
        If a set shows one person only or has vectors of one number.
    """
    _check(sets)
    # Probes of equally many images and people share their uniform samples.
    null = cache(partial(evenness.uniform, k=params.neighbours, draws=params.draws, seed=params.seed))
    measured = [_spread(one, null, params) for one in track(sets, "spread of probes")]
    sampled, found, spans, unlike, hubs = zip(*measured, strict=True)
    return Geometry(
        title=sets[0].model,
        probes=tuple(s.probe for s in sets),
        dimension=sets[0].vectors.shape[1],
        neighbours=min(params.neighbours, (min(sampled) - 1) // 2),
        draws=params.draws,
        seed=params.seed,
        images=tuple(len(s.items) for s in sets),
        sampled=sampled,
        estimates=Estimates({key: one for each in found for key, one in each.items()}),
        hubs=hubs,
        spans=np.stack(spans),
        unlike_uniform=np.stack(unlike),
        **_globe(sets, params),
        people=len({name for s in sets for name in s.identities}),
    )


def _check(sets: Sequence[EmbeddingSet]) -> None:
    for one in sets:
        if len(one.identities) < 2:
            raise UserError(
                f"{one.title} shows one person only ({one.identities[0]!r}), so nothing can be said of how "
                "people are spread: add images of others"
            )
        if one.vectors.shape[1] < 2:
            raise UserError(f"{one.title} has vectors of one number; a sphere needs at least 2")


def _spread(
    embeddings: EmbeddingSet, null: Callable[..., np.ndarray], params: GeometryParams
) -> tuple[int, Estimates, np.ndarray, np.ndarray, tuple[str, str, int]]:
    """Give how many images were looked at, what was found, uniform samples' range, p, and the hub."""
    unit, labels, probe = embeddings.unit, embeddings.labels, embeddings.probe
    sample = embeddings.take(evenness.some_by_name(embeddings.items, params.images, params.seed))
    everybody = People.of(embeddings.identities, params, items=sample.items)
    drawn = resamples(len(sample.identities), params.resamples, params.seed)
    chosen = evenness.one_each(sample.labels, params.seed)
    few, k, seed = (sample.unit, sample.labels, drawn), params.neighbours, params.seed
    even = evenness.measure(unit, labels, everybody.counts, few, chosen, k=k, seed=seed)
    uniform = null(len(embeddings.identities), len(sample.items), len(chosen), unit.shape[1])
    sums, sizes = by_person(unit, labels), np.bincount(labels)
    rank, ranks = ratio_between(unit, labels, everybody.counts)
    near, near_drawn, far = sphere.alignment(sums, sizes, everybody.counts)
    rows = [
        *zip(MEASURES, even.values, even.replicates, even.units, uniform.mean(axis=0)[:-1], strict=True),
        (RANK, rank, ranks, len(sizes), float(unit.shape[1])),
        (ALIGNMENT, near, near_drawn, int((sizes > 1).sum()), far),
    ]
    found = Estimates()
    for name, value, replicates, n, expected in rows:
        if np.isfinite(value) and np.isfinite(expected):
            found[name, probe] = everybody.estimate(Drawn(float(value), replicates), n, float(expected))
    top = int(np.argmax(even.found))
    hub = (str(sample.items[top]), sample.identities[sample.labels[top]], int(even.found[top]))
    span, unlike = evenness.span(uniform[:, :-1]), evenness.unlike_uniform(even, uniform)
    return len(sample.items), found, span, unlike, hub


def _globe(sets: Sequence[EmbeddingSet], params: GeometryParams) -> dict[str, Any]:
    """Pick the images of drawn people where vectors have three dimensions, and none elsewhere."""
    names = np.unique(np.concatenate([s.identities for s in sets]))
    most = min(params.drawn, len(names)) if sets[0].vectors.shape[1] == 3 else 0
    shown = np.sort(np.random.default_rng([params.seed, 4]).choice(names, most, replace=False))
    people = [np.asarray(s.identities)[s.labels] for s in sets]
    rows = [np.flatnonzero(np.isin(who, shown)) for who in people]
    points = [s.unit[r, :3] for s, r in zip(sets, rows, strict=True)]
    who = np.concatenate([named[r] for named, r in zip(people, rows, strict=True)])
    return {
        "globe": np.concatenate(points).reshape(-1, 3).astype(np.float32),
        "globe_person": np.searchsorted(shown, who),
        "globe_probe": np.repeat(np.arange(len(sets)), [len(r) for r in rows]),
        "globe_items": np.array([s.items[k] for s, r in zip(sets, rows, strict=True) for k in r], dtype=str),
        "globe_people": tuple(map(str, shown)),
    }


def charts(results: Sequence[Geometry]) -> list[Chart]:
    """How much of the sphere is used, a globe in 3-D, and every measure beside uniform vectors'."""
    globes = [_globe_chart(r) for r in results if len(r.globe)]
    return [_overview(results), *globes, _against_uniform(results)]


def _overview(results: Sequence[Geometry]) -> Bars:
    names = (RANK, UNIFORMITY, TWO_NN)
    series = []
    for r, probe in [(one, p) for one in results for p in one.probes]:
        nulls = [np.nan if (one := r.get(name, probe)) is None else one.null for name in names]
        ends = [r.estimates.row(name, [(probe,)]) for name in names]
        value, *span = (np.concatenate(row) / np.array(nulls, np.float64) for row in zip(*ends, strict=True))
        # Uniformity is negative, so the quotient turns its ends round.
        low, high = np.sort(span, axis=0)
        series.append(BarSeries(f"{probe} in {r.title}", value, low, high, model=r.title))
    return Bars(
        title="How much of the sphere is used",
        ylabel="share of what uniform vectors give",
        categories=names,
        series=tuple(series),
        nulls=np.ones(len(names)),
        note=f"1 is a uniform sample of the same size, 0 all vectors at one point. {_looked_at(results)}",
    )


def _looked_at(results: Sequence[Geometry]) -> str:
    counts = dict.fromkeys(pair for r in results for pair in zip(r.sampled, r.images, strict=True))
    cut = ", ".join(f"{few:,} of {every:,}" for few, every in counts if few < every)
    told = f"Pairs and neighbours are those of a sample: {cut} images, seed {results[0].seed}."
    return told if cut else "All images were looked at."


def _globe_chart(r: Geometry) -> Globe:
    who = np.array(r.globe_people)[r.globe_person]
    shown = zip(who, r.globe_items, r.globe_probe, strict=True)
    return Globe(
        title=f"The sphere of {r.title}",
        points=r.globe,
        groups=r.globe_person,
        group_names=r.globe_people,
        marks=r.globe_probe,
        mark_names=r.probes,
        hover=np.array([f"{name}: {item}, {r.probes[how]}" for name, item, how in shown]),
        people=who,
        items=r.globe_items,
        note=f"A colour a person: {len(r.globe_people):,} of {r.people:,} people, seed {r.seed}.",
    )


def _against_uniform(results: Sequence[Geometry]) -> Table:
    rows = []
    for r in results:
        for probe, name in ((p, m) for p in r.probes for m in (RANK, *MEASURES)):
            one = r.get(name, probe)
            if one is not None:
                span = "–" if name == RANK else " to ".join(map(short, r.span(name, probe)))
                side = "–" if name == RANK else r.side(name, probe)
                rows.append((f"{probe} in {r.title}", name, one, short(one.null or 0.0), span, side))
    return Table(
        folded=True,
        title="Measured beside uniform samples",
        columns=("set", "measure", "measured", "uniform, mean", "uniform, 95 % range", "measured lies"),
        rows=tuple(rows),
        note=f"{results[0].draws} uniform samples of the same size, seed {results[0].seed}. "
        "Within the range, this sample shows no difference from uniform.",
    )


def findings(results: Sequence[Geometry]) -> list[Finding]:
    """Compare how many directions are used; say of each model how even it is, and name hubs."""
    said = []
    for probe in dict.fromkeys(r.probes[0] for r in results):
        there = [(r, rank) for r in results if r.probes[0] == probe and (rank := r.get(RANK, probe))]
        said += _ranks(probe, sorted(there, key=lambda one: -one[1].value)[:TOLD])
    return said + [one for r in results[:TOLD] for one in (*_evenness(r), *_hubs(r))]


def _ranks(probe: str, ranked: Sequence[tuple[Geometry, Estimate]]) -> list[Finding]:
    said = []
    for best, most in ranked[:1]:
        text = (
            f"On {probe}, vectors of {best.title} vary about their mean as if along {most:.1f} equally wide"
        )
        said.append(Finding(f"{text} directions of {best.dimension} (participation ratio)."))
        for r, rank in ranked[1:]:
            text = f"On {probe}, the participation ratio is {most.value:.1f} in {best.title} and"
            text += f" {rank.value:.1f} in {r.title}"
            said.append(compared(text, most, rank, spec=".1f", tones=("plain", "plain")))
    return said


def _evenness(r: Geometry) -> list[Finding]:
    said, probe, (even, shared, _) = [], r.probes[0], map(float, r.unlike_uniform[0])
    if found := r.get(UNIFORMITY, probe):
        low, high = r.span(UNIFORMITY, probe)
        start, which = f"On {probe}, vectors of {r.title} are", "more" if found.value < low else "less"
        end = f"uniformity {found.value:.3f}, where 95% of uniform samples have {low:.3f} to {high:.3f}."
        otherwise = f"{start} not shown to be spread otherwise than uniform ones: {end}"
        said.append(claim(f"{start} {which} evenly spread than uniform ones: {end}", otherwise, even))
    if found := r.get(RESULTANT, probe):
        end = f"the mean of their unit vectors has length {found:.3f}, that of uniform ones {found.null:.3f}."
        text, end = f"On {probe}, people in {r.title}", f"a direction: {end}"
        said.append(claim(f"{text} share {end}", f"{text} are not shown to share {end}", shared))
    return said


def _hubs(r: Geometry) -> list[Finding]:
    """Name an image that many of others' have among their nearest, for the probe where they are most."""
    share, k = max((times / max(r.sampled[k] - 1, 1), k) for k, (_, _, times) in enumerate(r.hubs))
    item, who, times = r.hubs[k]
    text = (
        f"On {r.probes[k]} in {r.title}, image {item} ({who}) is among the {r.neighbours} nearest of "
        f"{times:,} of {r.sampled[k] - 1:,} others, {who}'s own not counted"
    )
    # It is picked among the probes.
    p = min(1.0, len(r.hubs) * float(r.unlike_uniform[k, -1]))
    said = claim(
        f"{text}: vectors crowd round it.", f"{text}, as one of uniform vectors may be.", p, tone="bad"
    )
    return [said] if share > HUB and r.sampled[k] > 10 * r.neighbours else []


ANALYSIS = Analysis(
    question="Is the sphere used, and by how many dimensions?",
    over="model",
    params=GeometryParams(),
    result=Geometry,
    compute=compute,
    charts=charts,
    findings=findings,
)
