"""Geometry: how a model's vectors lie on the unit sphere, and what their length says.

*Mean resultant length* is the length of the mean of all unit vectors: 0 where they balance, 1 where they
coincide; the same for people's means. *Uniformity* is log E exp(−2‖x − y‖²) over pairs of images, lower
where they are spread more evenly; *alignment* is E‖x − y‖² over pairs of one person [1]_. *Effective
rank* is the participation ratio (Σλ)²/Σλ² of the covariance's eigenvalues. The *two-NN* dimension comes
from the ratio of the distances to the second and the first nearest neighbour [2]_, over one image of each
person, since images of one person would fake a low one; the largest tenth of the ratios is left out.
*Hubness* is the skewness of how often an image is among the ten nearest of others [3]_.

The null of all but alignment is measured by the same code on as many vectors drawn uniformly on the
sphere. What is known of it: mean squared resultant length 1/n; uniformity −4 + log ₀F₁(; d/2; 4);
effective rank about nd/(n + d). The null of alignment is what pairs of two people give.

An image is *recognised* if the nearest of all other images of its probe shows the same person; people
with one image are looked at but not asked for. The AUC of the norm is the chance that a recognised image
has a longer vector than one that is not; its null is one half.

Intervals are 95 % percentile intervals of a bootstrap over people, paired across models and probes of
the same images.

How to read it
--------------
Outside the range of 95 % of uniform samples the sphere is not used as evenly as it could be; inside it,
this sample shows no difference, which is no proof that there is none. Images of one person should lie
together, so even well spread people are less uniform than the null, the more images each has. A low
effective rank beside a high two-NN dimension is a space with a few strong directions and many weak ones.
An AUC above one half says that the norm can serve as a measure of quality; its n counts the people
behind the rarer outcome.

Limits
------
Uniformity, effective rank, two-NN and hubness are those of a sample of images where there are many, and
depend on its size, as their nulls do: compare them at one size. Projection's effective rank is that of
the people behind the sample, under all probes at once, and so is usually the higher one. Two-NN comes
out too low in more than about twenty dimensions. Its interval and that of hubness keep the neighbours
found once and count them anew, and so does that of recognition: over 150 planted sets of 200 people
each, 95 % intervals held the expected value in 88 to 91 % of sets for two-NN, 91 to 95 % for hubness,
and 94 % or more for the others. Every pair weighs the same in alignment, so people with many images rule
it. Norm and recognition may share a cause, such as pose.

References
----------
.. [1] Wang, T. and Isola, P. Understanding contrastive representation learning through alignment and
   uniformity on the hypersphere. ICML 2020.
.. [2] Facco, E. et al. Estimating the intrinsic dimension of datasets by a minimal neighborhood
   information. Scientific Reports 7, 2017.
.. [3] Radovanović, M., Nanopoulos, A. and Ivanović, M. Hubs in space: popular nearest neighbors in
   high-dimensional data. JMLR 11, 2010.
.. [4] Meng, Q. et al. MagFace: a universal representation for face recognition and quality assessment.
   CVPR 2021.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Number, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Chart, Curve, Curves, Globe, Role, Table
from embedlab.charts.base import short
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, compared, label
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.pairs.moments import Drawn, mean
from embedlab.maths.people.bootstrap import resamples, weighted_mean
from embedlab.maths.space import evenness, sphere
from embedlab.maths.space.evenness import MEASURES, Uniform
from embedlab.maths.space.recognition import leave_one_out, resampled_auc
from embedlab.progress import track

RANK, ALIGNMENT = "effective rank", "alignment"
NORM, OVER, LESS = "mean norm", "norm, second over first", "norm, second less first"
RECOGNISED, FORETOLD = "images recognised", "AUC of norm for recognised"
TENTHS = 10
# With fewer people behind one of two outcomes an AUC is not spoken of.
STABLE = 10
# Lengths that differ by less than this share of their mean are one length, stored with rounding.
ONE_LENGTH = 1e-3


@dataclass(frozen=True)
class GeometryParams(Params):
    """Knobs of the geometry analysis."""

    images: int = bounded(2000, least=10)
    """At most how many images uniformity, effective rank, two-NN and hubness look at, drawn by name."""
    neighbours: int = bounded(10, least=1)
    """k of hubness: an image is found by another if it is among its k nearest."""
    every_image: bool = False
    """Whether two-NN looks at every image of the sample instead of one of each person."""
    draws: int = bounded(39, least=39)
    """How many uniform samples stand behind each null; 39 are the fewest that give a 95 % range."""
    drawn: int = bounded(20, least=1)
    """At most how many people a globe of three-dimensional vectors shows."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
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
    one_length: tuple[bool, ...]
    hubs: tuple[tuple[str, str, int], ...]
    null_low: Float[np.ndarray, "probes measures"]
    null_high: Float[np.ndarray, "probes measures"]
    found: Int[np.ndarray, "probes times"]
    found_null: Int[np.ndarray, "probes times"]
    by_norm: Float[np.ndarray, "probes 3 tenths"]
    globe: Float[np.ndarray, "g 3"]
    globe_person: Int[np.ndarray, " g"]
    globe_probe: Int[np.ndarray, " g"]
    globe_items: Shaped[np.ndarray, " g"]
    globe_people: tuple[str, ...]
    people: int

    def get(self, measure: str, probe: str) -> Estimate | None:
        """Find an Estimate by what it measures and where; None where there is none."""
        return self.estimates.at(measure, (probe,))

    def numbers(self) -> dict[str, Number]:
        """List the numbers by label, how many images there are and were looked at among them."""
        counts = {"images": self.images, "images in the sample": self.sampled}
        found: dict[str, Number] = {
            label((what, probe)): count
            for what, row in counts.items()
            for probe, count in zip(self.probes, row, strict=True)
        }
        return found | super().numbers()

    def span(self, measure: str, probe: str) -> tuple[float, float]:
        """Give the range that 95 % of uniform samples keep to."""
        at = self.probes.index(probe), MEASURES.index(measure)
        return float(self.null_low[at]), float(self.null_high[at])


def compute(sets: Sequence[EmbeddingSet], params: GeometryParams) -> Geometry:
    """Measure each probe's vectors on the sphere, and their length against probe and recognition.

    Raises
    ------
    UserError
        If a set shows one person only or has vectors of one number.
    """
    _check(sets)
    # Probes of equally many images and people share their uniform samples.
    null = cache(partial(evenness.uniform, k=params.neighbours, draws=params.draws, seed=params.seed))
    measured = [_spread(one, null, params) for one in track(sets, "spread of probes")]
    found = Estimates()
    for one in measured:
        found |= one.spread
    _norms(sets, params, found)
    by_norm = [_recognition(one, params, found) for one in track(sets, "recognition of probes")]
    times = max(len(h) for m in measured for h in (m.found, m.found_null))
    return Geometry(
        title=sets[0].model,
        probes=tuple(s.probe for s in sets),
        dimension=sets[0].vectors.shape[1],
        neighbours=min(evenness.k_for(m.sampled, params.neighbours) for m in measured),
        draws=params.draws,
        seed=params.seed,
        images=tuple(len(s.items) for s in sets),
        sampled=tuple(m.sampled for m in measured),
        estimates=found,
        one_length=tuple(_one_length(s) for s in sets),
        hubs=tuple(m.hub for m in measured),
        null_low=np.stack([m.span[0] for m in measured]),
        null_high=np.stack([m.span[1] for m in measured]),
        found=np.stack([np.pad(m.found, (0, times - len(m.found))) for m in measured]),
        found_null=np.stack([np.pad(m.found_null, (0, times - len(m.found_null))) for m in measured]),
        by_norm=np.stack(by_norm),
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


@dataclass(frozen=True)
class _Spread:
    """How one probe's vectors lie on the sphere."""

    sampled: int
    spread: Estimates
    span: tuple[np.ndarray, np.ndarray]
    found: np.ndarray
    found_null: np.ndarray
    hub: tuple[str, str, int]


def _spread(embeddings: EmbeddingSet, null: Callable[..., Uniform], params: GeometryParams) -> _Spread:
    n, d = embeddings.vectors.shape
    people = len(embeddings.identities)
    sample = embeddings.take(_sample(embeddings.items, params))
    everybody = People.of(embeddings.identities, params, items=sample.items)
    drawn = resamples(len(sample.identities), params.resamples, params.seed)
    chosen = np.arange(len(sample.items)) if params.every_image else _one_each(sample.labels, params)
    even = evenness.measure(
        embeddings.unit,
        embeddings.labels,
        everybody.counts,
        (sample.unit, sample.labels, drawn),
        chosen,
        params.neighbours,
    )
    uniform = null(n, people, len(sample.items), len(chosen), d)
    expected = uniform.values.mean(axis=0)
    spread, probe = Estimates(), embeddings.probe
    for i, name in enumerate(MEASURES):
        if np.isfinite(even.values[i]) and np.isfinite(expected[i]):
            one = Drawn(float(even.values[i]), even.replicates[i])
            spread[name, probe] = everybody.estimate(one, even.units[i], float(expected[i]))
    sums, sizes = sphere.person_sums(embeddings.unit, embeddings.labels), np.bincount(embeddings.labels)
    near, near_drawn, far = sphere.alignment(sums, sizes, everybody.counts)
    if np.isfinite(near):
        one = Drawn(near, near_drawn)
        spread[ALIGNMENT, probe] = everybody.estimate(one, int((sizes > 1).sum()), far)
    hub = int(np.argmax(even.found))
    return _Spread(
        sampled=len(sample.items),
        spread=spread,
        span=uniform.span(),
        found=np.bincount(even.found),
        found_null=uniform.found,
        hub=(str(sample.items[hub]), sample.identities[sample.labels[hub]], int(even.found[hub])),
    )


def _sample(items: np.ndarray, params: GeometryParams) -> np.ndarray:
    """Draw images by name: probes and models of the same images get the same ones, in the same order."""
    order = np.argsort(items)
    if len(order) <= params.images:
        return order
    rng = np.random.default_rng([params.seed, 1])
    return order[np.sort(rng.choice(len(order), params.images, replace=False))]


def _one_each(labels: np.ndarray, params: GeometryParams) -> np.ndarray:
    shuffled = np.random.default_rng([params.seed, 2]).permutation(len(labels))
    _, first = np.unique(labels[shuffled], return_index=True)
    return np.sort(shuffled[first])


def _one_length(embeddings: EmbeddingSet) -> bool:
    return bool(np.ptp(embeddings.norms) < ONE_LENGTH * embeddings.norms.mean())


def _norms(sets: Sequence[EmbeddingSet], params: GeometryParams, found: Estimates) -> None:
    """Add each probe's mean norm, and its ratio to and difference from the first's on the same images."""
    for one in sets:
        people = People.of(one.identities, params)
        drawn = mean(one.norms, one.labels, people.counts)
        found[NORM, one.probe] = people.estimate(drawn, len(one.identities))
    for other in sets[1:]:
        if (_one_length(sets[0]) and _one_length(other)) or not np.isin(other.items, sets[0].items).any():
            continue
        both = aligned(sets[0], other)
        people, n = People.of(both.a.identities, params), len(both.a.identities)
        before, after = (mean(s.norms, s.labels, people.counts) for s in (both.a, both.b))
        ratio = Drawn(after.value / before.value, after.replicates / before.replicates)
        found[LESS, sets[0].probe, other.probe] = people.estimate(after - before, n, 0.0)
        found[OVER, sets[0].probe, other.probe] = people.estimate(ratio, n, 1.0)


def _recognition(
    embeddings: EmbeddingSet, params: GeometryParams, found: Estimates
) -> Float[np.ndarray, "3 tenths"]:
    """Add how many images are recognised and whether the norm foretells it; give the share by norm."""
    rows, hits = leave_one_out(embeddings.unit, embeddings.labels)
    curve = np.full((3, TENTHS), np.nan)
    if not len(rows):
        return curve
    owners, norms = embeddings.labels[rows], embeddings.norms[rows]
    sizes = np.bincount(embeddings.labels)
    people = People.of(embeddings.identities, params)
    chance = float(((sizes[owners] - 1) / (len(embeddings.items) - 1)).mean())
    found[RECOGNISED, embeddings.probe] = _share(hits, owners, people, chance)
    if _one_length(embeddings):
        return curve
    auc = resampled_auc(norms, hits, owners, np.r_[np.ones((1, len(sizes)), np.float32), people.counts])
    if np.isfinite(auc[0]):
        rarer = min(len(np.unique(owners[hits == way])) for way in (True, False))
        found[FORETOLD, embeddings.probe] = people.estimate(Drawn(float(auc[0]), auc[1:]), rarer, 0.5)
    if len(rows) >= TENTHS**2:
        for k, tenth in enumerate(np.array_split(np.argsort(norms, kind="stable"), TENTHS)):
            share = _share(hits[tenth], owners[tenth], people, chance)
            curve[:, k] = (share.value, *(np.nan if end is None else end for end in (share.low, share.high)))
    return curve


def _share(hits: np.ndarray, owners: np.ndarray, people: People, null: float) -> Estimate:
    drawn = Drawn(float(hits.mean()), weighted_mean(hits.astype(np.float64), owners, people.counts))
    return people.estimate(drawn, len(np.unique(owners)), null, share=True)


def _globe(sets: Sequence[EmbeddingSet], params: GeometryParams) -> dict[str, Any]:
    """Pick the images of drawn people where vectors have three dimensions, and none elsewhere."""
    names = np.unique(np.concatenate([s.identities for s in sets]))
    rng = np.random.default_rng([params.seed, 4])
    shown = np.sort(rng.choice(names, min(params.drawn, len(names)), replace=False))
    flat = sets[0].vectors.shape[1] != 3
    people = [np.asarray(s.identities)[s.labels] for s in sets]
    rows = [np.flatnonzero(np.isin(who, shown[:0] if flat else shown)) for who in people]
    points = [np.empty((0, 3)) if flat else s.unit[r] for s, r in zip(sets, rows, strict=True)]
    who = np.concatenate([named[r] for named, r in zip(people, rows, strict=True)])
    return {
        "globe": np.concatenate(points).astype(np.float32),
        "globe_person": np.searchsorted(shown, who),
        "globe_probe": np.repeat(np.arange(len(sets)), [len(r) for r in rows]),
        "globe_items": np.concatenate([s.items[r] for s, r in zip(sets, rows, strict=True)]),
        "globe_people": () if flat else tuple(map(str, shown)),
    }


def charts(results: Sequence[Geometry]) -> list[Chart]:
    """Spread beside uniform's, the plane of uniformity and alignment, hubs, norms, and a globe in 3-D."""
    drawn: list[Chart] = [_overview(results), _plane(results), _hubness(results)]
    if any(np.isfinite(r.by_norm).any() for r in results):
        drawn.append(_by_norm(results))
    if any(r.estimates.places(OVER) for r in results):
        drawn.append(_norm_bars(results))
    return [*drawn, *(_globe_chart(r) for r in results if len(r.globe)), _against_uniform(results)]


def _each(results: Sequence[Geometry]) -> list[tuple[Geometry, str]]:
    return [(r, probe) for r in results for probe in r.probes]


def _ends(found: Estimate | None) -> np.ndarray:
    """Give value, low and high; NaN for what there is not."""
    ends = (None, None, None) if found is None else (found.value, found.low, found.high)
    return np.array([np.nan if end is None else end for end in ends])


def _overview(results: Sequence[Geometry]) -> Bars:
    names = ("uniformity", "effective rank", "two-NN dimension")
    series = []
    for r, probe in _each(results):
        directed = r.get(MEASURES[1], probe)
        shares = [(1 - _ends(directed)[[0, 2, 1]]) / (1 - _null_of(directed))]
        shares += [np.array(_ends(one) / _null_of(one)) for one in (r.get(name, probe) for name in names)]
        # Uniformity is negative, so the quotient turns its ends round.
        shares[1] = shares[1][[0, 2, 1]]
        series.append(_bars(f"{probe} in {r.title}", r.title, shares))
    return Bars(
        title="How much of the sphere is used",
        ylabel="share of what uniform vectors give",
        categories=("balance", *names),
        series=tuple(series),
        nulls=np.ones(len(names) + 1),
        note="1 is a uniform sample of the same size, 0 all vectors at one point. Balance is 1 less the mean "
        f"resultant length of people's means. {_looked_at(results)}",
    )


def _bars(name: str, model: str, rows: Sequence[np.ndarray]) -> BarSeries:
    value, low, high = np.array(rows).T
    return BarSeries(name, value, low, high, model)


def _null_of(found: Estimate | None) -> float:
    return np.nan if found is None or found.null is None else found.null


def _looked_at(results: Sequence[Geometry]) -> str:
    counts = [pair for r in results for pair in zip(r.sampled, r.images, strict=True)]
    cut = list(dict.fromkeys(f"{few:,} of {all_:,}" for few, all_ in counts if few < all_))
    if not cut:
        return "All images were looked at."
    return f"Pairs and neighbours are those of a sample: {', '.join(cut)} images, seed {results[0].seed}."


def _plane(results: Sequence[Geometry]) -> Curves:
    def along(r: Geometry, pick: Callable[[Estimate | None], float]) -> list[np.ndarray]:
        return [np.array([pick(r.get(what, p)) for p in r.probes]) for what in ("uniformity", ALIGNMENT)]

    curves = []
    for r in results:
        x, y = along(r, lambda one: _ends(one)[0])
        null_x, null_y = along(r, _null_of)
        curves.append(Curve(r.title, x, y, model=r.title, markers=True))
        curves.append(Curve(f"null of {r.title}", null_x, null_y, role="null", markers=True))
    return Curves(
        title="Uniformity and alignment",
        xlabel="uniformity, log E exp(−2‖x − y‖²): lower is more even",
        ylabel="alignment, E‖x − y‖² of one person's pairs: lower is tighter",
        curves=tuple(curves),
        note=f"A line runs from {' to '.join(results[0].probes)}. The null is uniform vectors, and pairs of "
        "two people.",
    )


def _hubness(results: Sequence[Geometry]) -> Curves:
    def curve(name: str, counts: np.ndarray, model: str = "", role: Role | None = None) -> Curve:
        # The share at "at least t times", for t from 1 to the most that occurred.
        share = counts[::-1].cumsum()[::-1][1:] / counts.sum()
        times = np.flatnonzero(share > 0)
        return Curve(name, times + 1.0, share[times], model=model, role=role)

    curves = [
        curve(f"{p} in {r.title}", r.found[k], r.title) for r in results for k, p in enumerate(r.probes)
    ]
    nulls = [curve(f"null of {r.title}", r.found_null[0], role="null") for r in results]
    hubs = [
        f"{item} ({who}) {times:,} times on {p} in {r.title}"
        for r in results
        for p, (item, who, times) in zip(r.probes, r.hubs, strict=True)
    ]
    return Curves(
        title=f"How often an image is among the {results[0].neighbours} nearest of others",
        xlabel="times found, at least",
        ylabel="share of images",
        curves=(*curves, *nulls),
        xscale="log",
        yscale="log",
        note=f"A long tail to the right is hubs. Found most often: {'; '.join(hubs)}. {_looked_at(results)}",
    )


def _by_norm(results: Sequence[Geometry]) -> Curves:
    places = (np.arange(TENTHS) + 0.5) * 100 / TENTHS
    return Curves(
        title="Images recognised, by the length of their vector",
        xlabel="per cent of images with a shorter vector",
        ylabel="share whose nearest other image is the same person",
        curves=tuple(
            Curve(
                f"{probe} in {r.title}",
                places,
                y=r.by_norm[k, 0],
                low=r.by_norm[k, 1],
                high=r.by_norm[k, 2],
                model=r.title,
                markers=True,
            )
            for r in results
            for k, probe in enumerate(r.probes)
            if np.isfinite(r.by_norm[k]).any()
        ),
        note="Tenths of each probe's images; only people with two or more are asked for. If the norm said "
        "nothing, each line would be flat.",
    )


def _norm_bars(results: Sequence[Geometry]) -> Bars:
    places = tuple(dict.fromkeys(place for r in results for place in r.estimates.places(OVER)))
    return Bars(
        title="Length of the vectors, by probe",
        ylabel="% by which the same images' mean norm changes",
        categories=tuple(second for _, second in places),
        series=tuple(
            _bars(r.title, r.title, [100 * (_ends(r.estimates.at(OVER, place)) - 1) for place in places])
            for r in results
        ),
        nulls=np.zeros(len(places)),
        note=f"Against {results[0].probes[0]}; 0 is no change.",
    )


def _globe_chart(r: Geometry) -> Globe:
    who = np.asarray(r.globe_people)[r.globe_person]
    how = np.asarray(r.probes)[r.globe_probe]
    return Globe(
        title=f"The sphere of {r.title}",
        points=r.globe,
        groups=r.globe_person,
        group_names=r.globe_people,
        marks=r.globe_probe,
        mark_names=r.probes,
        hover=np.array([f"{a}: {item}, {b}" for a, item, b in zip(who, r.globe_items, how, strict=True)]),
        note=f"A colour a person: {len(r.globe_people):,} of {r.people:,} people, seed {r.seed}.",
    )


def _against_uniform(results: Sequence[Geometry]) -> Table:
    rows = []
    for r, probe in _each(results):
        for name in MEASURES:
            one = r.get(name, probe)
            if one is not None:
                low, high = r.span(name, probe)
                where = f"{short(low)} to {short(high)}"
                rows.append(
                    (f"{probe} in {r.title}", name, one, short(_null_of(one)), where, _side(r, name, probe))
                )
    return Table(
        folded=True,
        title="Measured beside uniform samples",
        columns=("set", "measure", "measured", "uniform, mean", "uniform, 95 % range", "measured lies"),
        rows=tuple(rows),
        note=f"{results[0].draws} uniform samples of the same size, seed {results[0].seed}. "
        "Within the range, this sample shows no difference from uniform.",
    )


def findings(results: Sequence[Geometry]) -> list[Finding]:
    """Compare how many dimensions are used; say of each model how even it is and what its norms tell."""
    said = []
    for probe in dict.fromkeys(r.probes[0] for r in results):
        said += _ranks(probe, [r for r in results if r.probes[0] == probe and r.get(RANK, probe)])
    for r in results:
        said += [found for found in (_evenness(r), _lengths(r), _quality(r)) if found is not None]
    return said


def _ranks(probe: str, group: Sequence[Geometry]) -> list[Finding]:
    if not group:
        return []
    best, *rest = sorted(group, key=lambda r: -r.estimates[RANK, probe].value)
    if not rest:
        return [Finding(f"On {probe}, {_rank(best, probe)}{_two_nn(best, probe)}.")]
    return [
        compared(
            f"On {probe}, {_rank(best, probe)}, {_rank(other, probe)}",
            best.estimates[RANK, probe],
            other.estimates[RANK, probe],
            spec=".1f",
            tones=("plain", "plain"),
        )
        for other in rest
    ]


def _rank(r: Geometry, probe: str) -> str:
    found, at = r.estimates[RANK, probe], r.probes.index(probe)
    few, whole = r.sampled[at], r.images[at]
    sample = f"{few:,} of {whole:,} images" if few < whole else f"{whole:,} images"
    return (
        f"{r.title} has an effective rank of {found:.1f} in {r.dimension} dimensions ({sample}; as many "
        f"uniform vectors: {_null_of(found):.1f})"
    )


def _two_nn(r: Geometry, probe: str) -> str:
    found = r.get("two-NN dimension", probe)
    return "" if found is None else f" and a two-NN dimension of {found:.1f} (uniform: {_null_of(found):.1f})"


def _side(r: Geometry, name: str, probe: str) -> str:
    found = r.estimates[name, probe].value
    low, high = r.span(name, probe)
    return "above" if found > high else "below" if found < low else "within"


def _evenness(r: Geometry) -> Finding | None:
    probe = r.probes[0]
    found = r.get("uniformity", probe)
    if found is None:
        return None
    low, high = r.span("uniformity", probe)
    span = f"95 % of uniform samples of that size lie in {low:.3f} to {high:.3f}"
    side = _side(r, "uniformity", probe)
    if side == "within":
        off = [name for name in MEASURES if r.get(name, probe) and _side(r, name, probe) != "within"]
        also = f"; outside theirs lie its {', '.join(off)}" if off else ""
        return Finding(f"On {probe}, {r.title} has uniformity {found:.3f}, and {span}{also}.")
    text = (
        f"The vectors of {probe} in {r.title} are {'less' if side == 'above' else 'more'} even than uniform "
        f"ones: uniformity {found:.3f}, where {span}"
    )
    directed = r.get(MEASURES[1], probe)
    if directed is not None and _side(r, MEASURES[1], probe) == "above":
        text += (
            f"; people share a direction (mean resultant length of their means {directed:.3f}, uniform "
            f"{_null_of(directed):.3f})"
        )
    return Finding(f"{text}.")


def _lengths(r: Geometry) -> Finding | None:
    if all(r.one_length):
        return Finding(
            f"The vectors of {r.title} all come at one length, so their norm says nothing of resolution or "
            "quality."
        )
    told = []
    for first, probe in r.estimates.places(OVER):
        ratio = r.estimates[OVER, first, probe]
        if ratio.low is not None and ratio.high is not None:
            change = Estimate(ratio.value - 1, ratio.low - 1, ratio.high - 1)
            unsure = " (may be chance)" if ratio.low <= 1 <= ratio.high else ""
            told.append(f"by {change:+.1%}{unsure} on {probe}")
    if not told:
        return None
    changes = ", ".join(told)
    return Finding(
        f"In {r.title}, against {first}, the mean length of the same images' vectors changes {changes}."
    )


def _quality(r: Geometry) -> Finding | None:
    found = [(p, e) for p in r.probes if (e := r.get(FORETOLD, p)) is not None]
    told = [
        (p, e, e.low, e.high) for p, e in found if e.n >= STABLE and e.low is not None and e.high is not None
    ]
    if not told:
        if not found:
            return _nothing_to_foretell(r)
        few = ", ".join(f"{e.n} on {p}" for p, e in found)
        return Finding(
            f"In {r.title}, too few people have a recognised image, or an unrecognised one, to say what the "
            f"norm foretells ({few})."
        )
    figures = ", ".join(f"{e:.2f} on {p}" for p, e, _, _ in told)
    null = "0.50 if the norm said nothing"
    if all(low > 0.5 for _, _, low, _ in told):
        return Finding(f"In {r.title}, longer vectors are recognised more often: AUC {figures} ({null}).")
    if all(high < 0.5 for _, _, _, high in told):
        return Finding(f"In {r.title}, longer vectors are recognised less often: AUC {figures} ({null}).")
    return Finding(
        f"In {r.title}, the AUC of the norm for being recognised is {figures} ({null}); where the interval "
        "holds 0.50, that may be chance."
    )


def _nothing_to_foretell(r: Geometry) -> Finding | None:
    if not r.estimates.places(RECOGNISED):
        return Finding(
            f"In {r.title} nobody has two images of one probe, so alignment and recognition are not measured."
        )
    if any(r.one_length):
        return None
    return Finding(
        f"In {r.title} either every image of a probe is recognised or none is, so the norm has nothing to "
        "foretell."
    )


ANALYSIS = Analysis(
    question="Is the sphere used, and what does a vector's length say?",
    over="model",
    params=GeometryParams(),
    result=Geometry,
    compute=compute,
    charts=charts,
    findings=findings,
)
