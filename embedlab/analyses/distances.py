"""Distances within and between people, within each probe and across two.

The cosine distance 1 − similarity is collected over all pairs of images: *intra*, two images of one
person; *inter*, images of two people; and across two probes also *same image*, one image seen under
both. An image is never compared with itself within a probe. d′ is the gap between the means of inter
and intra in units of their pooled deviation, √(½(σ²ₐ + σ²ₑ)) [1]_; the overlap is the area that both
distributions cover [2]_. One table gives both for the Euclidean distance too, of the normalised vectors
(√2 times the root of the cosine distance, so that its overlap is the same) and of the vectors as the
network gave them. The cosine does not ask for lengths: raw or normalised is one.

Up to three probes are held against each other two by two; of more, only the first against each other one.

For each person the *margin* is the distance of the nearest impostor, to any of the images, less the mean
distance between the person's own images. Across probes images of the first probe are held against
impostors seen under the second. The worst false matches are the pairs of two people that are most alike;
of the worst false non-matches, pairs of one person that are least alike, there is one a person.

With ``pairs="identity means"`` one distance is the mean over all images of two people, as some studies
take it, and everybody counts once. Such a mean holds, within one probe, the distance of zero of each image
to itself, which pulls intra towards zero; and averaging hides how widely single images are spread. Both make
d′ larger than it is between images: it is that of averages. Euclidean distances are then left out; margins
and worst pairs remain those of images.

Intervals are 95 % intervals of a bootstrap over people; that of the share of people with a negative
margin draws the people again but leaves the impostors as they are.

How to read it
--------------
Two humps far apart are a space that tells people apart. A left shoulder of the inter hump is pairs
of people that the model confuses. If the same image under two probes lies further apart than two
images of one person within a probe, the change of resolution outweighs the change of picture. The
null, where labels mean nothing, is d′ = 0 and an overlap of 1, and everybody has a negative margin, since
the nearest of all others lies nearer than the mean. Look at the worst pairs before blaming the model:
they are often wrong labels, or one photograph under two names.

Limits
------
Every pair weighs the same, so people with many images rule the intra distribution. d′ summarises two
bell curves; where the humps are skewed, look at the verification section. Overlap is measured in 64
bins and comes out too small where there are only hundreds of genuine pairs, since they leave bins
empty; for raw vectors the bins span the largest distance that vectors of such lengths could have. The
more people there are, the nearer is the nearest impostor: margins of sets of unlike size do not compare.
The worst of many is extreme by being picked, so the lists carry no intervals. Intervals speak of other
people, not of the same network trained again with another seed. Across probes the two images of a pair
were never seen at the same resolution, so intra there holds both causes.

References
----------
.. [1] Daugman, J. Biometric decision landscapes. Technical report 482, University of Cambridge, 2000.
.. [2] Inman, H. F. and Bradley, E. L. The overlapping coefficient as a measure of agreement between
   probability distributions. Communications in Statistics 18(10), 1989.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result
from embedlab.charts import Bars, BarSeries, Chart, Face, Faces, Histogram, Table, faces_at_hand
from embedlab.embeddings import EmbeddingSet, aligned
from embedlab.errors import UserError
from embedlab.maths.bootstrap import (
    bca_interval,
    interval,
    left_out,
    population,
    resamples,
    share_interval,
)
from embedlab.maths.extremes import false_matches, first_of_each, nearest_impostors, within_people
from embedlab.maths.identity_means import identity_means
from embedlab.maths.moments import Drawn, Spread, chord, mean
from embedlab.maths.pairs import Pairs, all_pairs, edges, histogram

POOR_OVERLAP = 0.25
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
NORMALISED, RAW = "Euclidean, normalised", "Euclidean, raw"
ALL_CROSSED = 3
ONE_PHOTOGRAPH = 0.999
# Of conditions after the first the report shows this many of the worst.
BRIEFLY = 3
PAIRS_OF_FACES = 8
NAMED = 5
DIFFERENT, SAME = "two people", "one person"


@dataclass(frozen=True)
class DistanceParams(Params):
    """Knobs of the distance analysis."""

    bins: int = 64
    """How many equal bins of cosine distance, over 0…2, the pictures have: a power of two up to 4096."""
    pairs: Literal["images", "identity means"] = "images"
    """One distance is that of two images, or the mean over all images of two people."""
    pictures: Literal["cosine", "all measures"] = "cosine"
    """Whether the Euclidean distances are drawn too; the table has them either way."""
    worst: int = 20
    """How many of the worst identities and of the worst pairs of each kind to list."""
    interval: Literal["percentile", "bca"] = "percentile"
    """Kind of the bootstrap intervals; differences between models always have percentile ones."""
    resamples: int = 1000
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = 0
    """Seed of the resamples."""


@dataclass(frozen=True)
class Distances(Result):
    """Distributions of distance in one model, a row a condition; people and pairs, a row each."""

    conditions: tuple[str, ...]
    pairs: str = field(metadata={"label": "what counts as one distance"})
    pictures: str = field(metadata={"hidden": True})
    d_prime: Mapping[str, Estimate]
    overlap: Mapping[str, Estimate]
    intra_mean: Mapping[str, Estimate]
    inter_mean: Mapping[str, Estimate]
    same_image_mean: Mapping[str, Estimate]
    same_image_excess: Mapping[str, Estimate]
    negative_margin: Mapping[str, Estimate]
    quantiles: Mapping[str, Estimate] = field(metadata={"hidden": True})
    measures: Mapping[str, Estimate] = field(metadata={"hidden": True})
    dropped: int = field(metadata={"label": "images in one probe only, left out across probes"})
    edges: Float[np.ndarray, " bins+1"]
    intra: Int[np.ndarray, "conditions bins"]
    inter: Int[np.ndarray, "conditions bins"]
    same_image: Int[np.ndarray, "conditions bins"]
    raw_reach: Float[np.ndarray, " conditions"]
    raw_intra: Int[np.ndarray, "conditions bins"]
    raw_inter: Int[np.ndarray, "conditions bins"]
    d_prime_replicates: Float[np.ndarray, "resamples conditions"]
    negative_margin_replicates: Float[np.ndarray, "resamples conditions"]
    population: tuple[str, ...] = field(metadata={"hidden": True})
    person_condition: Int[np.ndarray, " persons"]
    person: Shaped[np.ndarray, " persons"]
    person_intra: Float[np.ndarray, " persons"]
    person_nearest: Float[np.ndarray, " persons"]
    worst_people: tuple[tuple[Any, ...], ...] = field(metadata={"hidden": True})
    worst_pairs: tuple[tuple[Any, ...], ...] = field(metadata={"hidden": True})


def compute(sets: Sequence[EmbeddingSet], params: DistanceParams) -> Distances:
    """Measure all pairs within each probe, and across two probes of the same images.

    Raises
    ------
    UserError
        If a set shows one person only, or nobody twice, or two probes share no item, ``bins`` is
        no power of two up to 4096, or ``worst`` is not positive.
    """
    if params.bins not in [2**k for k in range(2, 13)]:
        raise UserError(f"distances.bins must be a power of two from 4 to 4096, not {params.bins}")
    if params.worst < 1:
        raise UserError(f"distances.worst must be at least 1, not {params.worst}")
    measured = [_measure(one.probe, one, None, params) for one in sets]
    dropped = 0
    for a, b in _crossed(len(sets)):
        both = aligned(sets[a], sets[b])
        dropped += both.dropped_a + both.dropped_b
        name = f"{both.a.probe} × {both.b.probe}"
        measured.append(_measure(name, both.a, both.b, params, within=measured[a]))
    numbers: dict[str, Any] = {
        name: {label: one for m in measured for label, one in m.numbers[name].items()}
        for name in measured[0].numbers
    }
    arrays: dict[str, Any] = {
        name: np.stack([m.arrays[name] for m in measured]) for name in measured[0].arrays
    }
    return Distances(
        title=sets[0].model,
        conditions=tuple(m.name for m in measured),
        pairs=params.pairs,
        pictures=params.pictures,
        dropped=dropped,
        edges=1.0 + edges(params.bins),
        population=tuple(m.population for m in measured),
        **numbers,
        **arrays,
        d_prime_replicates=np.stack([m.d_prime.replicates[: params.resamples] for m in measured], axis=1),
        negative_margin_replicates=np.stack(
            [m.worst.negative.replicates[: params.resamples] for m in measured], axis=1
        ),
        person_condition=np.repeat(np.arange(len(measured)), [len(m.worst.person) for m in measured]),
        person=np.concatenate([m.worst.person for m in measured]),
        person_intra=np.concatenate([m.worst.intra for m in measured]),
        person_nearest=np.concatenate([m.worst.nearest for m in measured]),
        worst_people=tuple(row for m in measured for row in m.worst.people),
        worst_pairs=tuple(row for m in measured for row in m.worst.pairs),
    )


def _crossed(probes: int) -> Iterable[tuple[int, int]]:
    """Give which probes are held against each other."""
    if probes <= ALL_CROSSED:
        return itertools.combinations(range(probes), 2)
    return ((0, other) for other in range(1, probes))


@dataclass(frozen=True)
class _Condition:
    """What is measured under one probe, or across two: parts of the result, by their names there."""

    name: str
    population: str
    intra_mean: Drawn
    d_prime: Drawn
    numbers: dict[str, dict[str, Estimate]]
    arrays: dict[str, np.ndarray]
    worst: "_Worst"


def _measure(
    name: str,
    a: EmbeddingSet,
    b: EmbeddingSet | None,
    params: DistanceParams,
    within: _Condition | None = None,
) -> _Condition:
    """Measure one condition.

    ``within`` is the condition that distances of one image across probes are held against.
    """
    _check_people(a)
    people = len(a.identities)
    counts = resamples(people, params.resamples, params.seed)
    if params.interval == "bca":
        counts = np.concatenate([counts, left_out(people, params.seed)])
    drawn_from = population(a.identities, params.resamples, params.seed)
    pairs = _pairs(a, b, params)
    paired = len(np.unique(pairs.genuine_people))
    spread = Spread(pairs, counts)
    intra, inter = spread.intra(_cosine).mean, spread.inter(_cosine).mean
    d_prime = spread.d_prime(_cosine)
    # Under the null, where labels mean nothing, every pair is as far apart as two people are.
    numbers: dict[str, dict[str, Estimate]] = {
        "d_prime": {f"d′, {name}": _estimate(d_prime, paired, 0.0, params)},
        "overlap": {f"overlap, {name}": _estimate(spread.overlap(), paired, 1.0, params)},
        "intra_mean": {f"mean intra distance, {name}": _estimate(intra, paired, inter.value, params)},
        "inter_mean": {f"mean inter distance, {name}": _estimate(inter, people, None, params)},
        "same_image_mean": {},
        "same_image_excess": {},
        "quantiles": _quantiles(name, spread, paired, params),
        "measures": {},
    }
    same = pairs.same_item_scores
    if within is not None:
        moved = mean(_cosine(same), pairs.same_item_people, counts)
        numbers["same_image_mean"][f"mean same-image distance, {name}"] = _estimate(
            moved, people, inter.value, params
        )
        numbers["same_image_excess"][f"same-image less intra distance, {name}"] = (
            _estimate(moved - within.intra_mean, paired, 0.0, params)
            if within.population == drawn_from
            else Estimate(moved.value - within.intra_mean.value, n=paired, null=0.0)
        )
    arrays = {
        # Bins of similarity, turned round, are bins of distance.
        "intra": histogram(pairs.genuine_scores, params.bins)[::-1],
        "inter": _binned(pairs, params),
        "same_image": histogram(same, params.bins)[::-1],
        "raw_reach": np.array(np.nan),
        "raw_intra": np.zeros(params.bins, np.int64),
        "raw_inter": np.zeros(params.bins, np.int64),
    }
    if params.pairs == "images":
        numbers["measures"][f"d′, {NORMALISED}, {name}"] = _estimate(
            spread.d_prime(chord), paired, 0.0, params
        )
        other = None if b is None else b.vectors
        raw = all_pairs(a.vectors, a.labels, other, metric="euclidean", tail=0)
        lengths = Spread(raw, counts)
        numbers["measures"] |= {
            f"d′, {RAW}, {name}": _estimate(lengths.d_prime(raw.distance), paired, 0.0, params),
            f"overlap, {RAW}, {name}": _estimate(lengths.overlap(), paired, 1.0, params),
        }
        arrays |= {
            "raw_reach": np.array(raw.reach),
            "raw_intra": histogram(raw.genuine_scores, params.bins)[::-1],
            "raw_inter": _binned(raw, params),
        }
    worst = _worst(name, a, b, counts, params)
    judged = int(np.isfinite(worst.intra).sum())
    numbers["negative_margin"] = {
        f"people with a negative margin, {name}": _share(worst.negative, judged, 1.0, params)
    }
    return _Condition(name, drawn_from, intra, d_prime, numbers, arrays, worst)


def _check_people(embeddings: EmbeddingSet) -> None:
    if len(embeddings.identities) < 2:
        raise UserError(
            f"{embeddings.title} shows one person only ({embeddings.identities[0]!r}), so there is no "
            "distance between people: add images of others"
        )
    if np.bincount(embeddings.labels).max() < 2:
        raise UserError(
            f"{embeddings.title} has no person with two images, so there is no distance within people: add "
            "more images of the same people"
        )


def _pairs(a: EmbeddingSet, b: EmbeddingSet | None, params: DistanceParams) -> Pairs:
    count = identity_means if params.pairs == "identity means" else all_pairs
    pairs = count(a.unit, a.labels, None if b is None else b.unit, tail=0)
    if np.ptp(pairs.genuine_scores) == 0 and np.count_nonzero(pairs.impostor) == 1:
        raise UserError(
            f"{a.title} has all pairs of images at one distance, so d′ has no unit: check the vectors"
        )
    if pairs.unresolved:
        raise UserError(
            f"{a.title} has all scores within {2 / len(pairs.impostor):.0e} of one another, too close for "
            "their resolution: subtract the mean of all vectors from each, or check them"
        )
    return pairs


def _cosine(scores: np.ndarray) -> np.ndarray:
    return 1.0 - scores


def _binned(pairs: Pairs, params: DistanceParams) -> np.ndarray:
    counts: np.ndarray = pairs.impostor.reshape(params.bins, -1).sum(axis=1)[::-1]
    return counts


def _ends(found: Drawn, params: DistanceParams) -> tuple[float | None, float | None]:
    drawn = found.replicates[: params.resamples]
    if params.interval == "bca":
        return bca_interval(found.value, drawn, found.replicates[params.resamples :])
    return interval(drawn)


def _estimate(found: Drawn, n: int, null: float | None, params: DistanceParams) -> Estimate:
    return Estimate(found.value, *_ends(found, params), n, null)


def _share(found: Drawn, n: int, null: float, params: DistanceParams) -> Estimate:
    nobody_or_all = found.value in (0.0, 1.0)
    ends = share_interval(found.value, found.replicates, n) if nobody_or_all else _ends(found, params)
    return Estimate(found.value, *ends, n, null)


def _quantiles(name: str, spread: Spread, paired: int, params: DistanceParams) -> dict[str, Estimate]:
    """Give quantiles of distance: the other end of those of similarity."""
    intra, inter = spread.quantiles([1.0 - level for level in LEVELS])
    found = {}
    for level, own, other in zip(LEVELS, intra, inter, strict=True):
        one = Drawn(1.0 - own.value, 1.0 - own.replicates)
        two = Drawn(1.0 - other.value, 1.0 - other.replicates)
        found[_quantile(name, "intra", level)] = _estimate(one, paired, two.value, params)
        found[_quantile(name, "inter", level)] = _estimate(two, len(spread.pairs.images), None, params)
    return found


def _quantile(condition: str, kind: str, level: float) -> str:
    return f"{kind} {level:.0%}, {condition}"


@dataclass(frozen=True)
class _Worst:
    """Every person's distances, and the worst people and pairs of one condition."""

    person: np.ndarray
    intra: np.ndarray
    nearest: np.ndarray
    negative: Drawn
    people: list[tuple[Any, ...]]
    pairs: list[tuple[Any, ...]]


def _worst(
    name: str, a: EmbeddingSet, b: EmbeddingSet | None, counts: np.ndarray, params: DistanceParams
) -> _Worst:
    other = None if b is None else b.unit
    impostors, scores = nearest_impostors(a.unit, a.labels, other)
    inside = within_people(a.unit, a.labels, other)
    rows = first_of_each(scores, a.labels)
    intra, nearest = 1.0 - inside.mean, 1.0 - scores[rows]
    margin = nearest - intra
    judged = np.flatnonzero(np.isfinite(margin))
    names, items = np.asarray(a.identities), a.items
    images = np.bincount(a.labels)
    people = [
        (
            name, str(names[p]), int(images[p]), float(intra[p]), float(nearest[p]), float(margin[p]),
            str(items[rows[p]]), str(items[impostors[rows[p]]]), str(names[a.labels[impostors[rows[p]]]]),
        )
        for p in judged[np.argsort(margin[judged], kind="stable")][: params.worst]
    ]  # fmt: skip
    matches = false_matches(a.unit, a.labels, scores, params.worst, other)
    pairs = [
        (name, kind, float(score), *(str(items[k]) for k in pair), *(str(names[a.labels[k]]) for k in pair))
        for kind, found in ((DIFFERENT, matches), (SAME, inside.lowest))
        for score, pair in zip(found.scores[: params.worst], found.rows, strict=False)
    ]
    negative = mean(margin[judged] < 0, judged, counts)
    return _Worst(names, intra, nearest, negative, people, pairs)


def charts(results: Sequence[Distances]) -> list[Chart]:
    """Histograms of each model and condition, d′ side by side, and the worst people and pairs."""
    drawn: list[Chart] = []
    for r in results:
        for k in range(len(r.conditions)):
            drawn += _histograms(r, k)
    drawn += _bars(results) if any(len(r.conditions) > 1 for r in results) else []
    drawn += [_measures_table(results)] if any(r.measures for r in results) else []
    for r in results:
        drawn.append(_quantile_table(r))
        drawn += _worst_tables(r)
        drawn += _faces(r) if faces_at_hand() else []
    return drawn


def _histograms(r: Distances, k: int) -> list[Chart]:
    pictures = [("cosine distance", r.edges, r.intra[k], r.inter[k], r.same_image[k])]
    if r.pictures == "all measures" and r.measures:
        none = np.zeros_like(r.same_image[k])
        reach = r.edges * r.raw_reach[k] / 2
        pictures += [
            ("Euclidean distance, normalised", np.sqrt(2 * r.edges), *pictures[0][2:]),
            ("Euclidean distance, raw", reach, r.raw_intra[k], r.raw_inter[k], none),
        ]
    averaged = " Each is a mean over all images of two people." if r.pairs == "identity means" else ""
    drawn: list[Chart] = []
    for label, places, intra, inter, same in pictures:
        series = {"intra: two images of one person": intra, "inter: two people": inter}
        if same.any():
            series["one image, both probes"] = same
        drawn.append(
            Histogram(
                title=f"{r.conditions[k]} in {r.title}",
                xlabel=label,
                edges=places,
                series=series,
                note=f"{intra.sum():,} intra and {inter.sum():,} inter pairs; each curve has area "
                f"one.{averaged}",
            )
        )
    return drawn


def _bars(results: Sequence[Distances]) -> list[Chart]:
    conditions = tuple(dict.fromkeys(c for r in results for c in r.conditions))
    series = []
    for r in results:
        found = [r.d_prime.get(f"d′, {c}") for c in conditions]
        ends = [(e.value, e.low, e.high) if e else (None, None, None) for e in found]
        value, low, high = np.array(ends, dtype=np.float64).T
        series.append(BarSeries(name=r.title, values=value, low=low, high=high, model=r.title))
    return [
        Bars(
            title="d′ of intra and inter distances",
            ylabel="d′",
            categories=conditions,
            series=tuple(series),
            nulls=dict.fromkeys(conditions, 0.0),
            note="Cosine distance; whiskers are 95 % intervals from a bootstrap over people.",
        )
    ]


def _measures_table(results: Sequence[Distances]) -> Table:
    rows = [
        (
            r.title,
            c,
            _d(r, c),
            *(r.measures.get(f"d′, {m}, {c}") for m in (NORMALISED, RAW)),
            r.overlap[f"overlap, {c}"],
            r.measures.get(f"overlap, {RAW}, {c}"),
        )
        for r in results
        for c in r.conditions
    ]
    return Table(
        title="d′ and overlap by measure",
        columns=(
            "model", "condition", "d′, cosine", f"d′, {NORMALISED}", f"d′, {RAW}",
            "overlap, cosine", f"overlap, {RAW}",
        ),
        rows=tuple(rows),
        note="The cosine is the same for raw and for normalised vectors. Euclidean distance of normalised "
        "vectors rises with the cosine distance, so their overlap is the same.",
    )  # fmt: skip


def _quantile_table(r: Distances) -> Table:
    rows = [
        (c, kind, means[f"mean {kind} distance, {c}"], *(r.quantiles[_quantile(c, kind, q)] for q in LEVELS))
        for c in r.conditions
        for kind, means in (("intra", r.intra_mean), ("inter", r.inter_mean))
    ]
    return Table(
        folded=True,
        title=f"Cosine distances in {r.title}",
        columns=("condition", "pairs", "mean", *(f"{level:.0%}" for level in LEVELS)),
        rows=tuple(rows),
        note="Mean and quantiles, with 95 % intervals.",
    )


def _worst_tables(r: Distances) -> list[Chart]:
    """Give the worst of the first condition at length, and those of the others in brief."""
    first, *others = r.conditions
    drawn: list[Chart] = [
        _people_table(f"Smallest margins on {first} in {r.title}", r, (first,), len(r.worst_people)),
        _pairs_table(f"Worst pairs on {first} in {r.title}", r, (first,), len(r.worst_pairs)),
    ]
    if others:
        title = f"on other probes and across probes in {r.title}"
        drawn += [
            _people_table(f"Smallest margins {title}", r, others, BRIEFLY),
            _pairs_table(f"Worst pairs {title}", r, others, BRIEFLY),
        ]
    return drawn


def _people_table(title: str, r: Distances, conditions: Sequence[str], most: int) -> Table:
    rows = [row for c in conditions for row in [row for row in r.worst_people if row[0] == c][:most]]
    return Table(
        folded=True,
        title=title,
        columns=(
            "condition", "person", "images", "mean intra", "nearest impostor", "margin", "image", "impostor",
            "who is",
        ),
        rows=tuple(rows),
        note="Cosine distances. Margin: the nearest impostor's distance less the mean intra distance.",
    )  # fmt: skip


def _pairs_table(title: str, r: Distances, conditions: Sequence[str], most: int) -> Table:
    rows = [row for c in conditions for kind in (DIFFERENT, SAME) for row in _listed(r, c, kind)[:most]]
    return Table(
        folded=True,
        title=title,
        columns=("condition", "pair of", "similarity", "item", "other item", "person", "other person"),
        rows=tuple(rows),
        note="Two people who are most alike: false matches. One person's images that are least alike: false "
        "non-matches, one pair a person.",
    )


def _listed(r: Distances, condition: str, kind: str) -> list[tuple[Any, ...]]:
    return [row for row in r.worst_pairs if row[:2] == (condition, kind)]


def _faces(r: Distances) -> list[Chart]:
    probe = r.conditions[0]
    pairs = {
        f"{kind}, {how}": _listed(r, probe, kind)[:PAIRS_OF_FACES]
        for kind, how in ((DIFFERENT, "most alike"), (SAME, "least alike"))
    }
    rows = {
        heading: tuple(
            Face(probe, item, f"{person}, {row[2]:.2f}")
            for row in found
            for item, person in zip(row[3:5], row[5:7], strict=True)
        )
        for heading, found in pairs.items()
    }
    least = [row for row in r.worst_people if row[0] == probe][:PAIRS_OF_FACES]
    rows["smallest margins"] = tuple(
        Face(probe, item, who) for row in least for item, who in ((row[6], row[1]), (row[7], row[8]))
    )
    return [
        Faces(
            title=f"Worst pairs and people on {probe} in {r.title}",
            rows=tuple(rows.items()),
            note="Side by side in pairs, worst first, with similarities; smallest margins: a person "
            "and the nearest impostor.",
        )
    ]


def findings(results: Sequence[Distances]) -> list[Finding]:
    """Say how well people are told apart, what the change of probe costs, and who is confused."""
    said = []
    for condition in dict.fromkeys(c for r in results for c in r.conditions):
        having = sorted(
            (r for r in results if condition in r.conditions), key=lambda r: -_d(r, condition).value
        )
        said += [_comparison(condition, having[0], other) for other in having[1:]]
        if len(having) == 1:
            d = _d(having[0], condition)
            said.append(
                Finding(
                    f"On {condition} in {having[0].title}, intra and inter distances lie d′ = {d:.2f} apart."
                )
            )
    for r in results:
        said += [_blur(r, c) for c in r.conditions if r.overlap[f"overlap, {c}"].value > POOR_OVERLAP]
        said += [
            _moved(r, c)
            for c in r.conditions
            if f"same-image less intra distance, {c}" in r.same_image_excess
        ]
    said += _margins(results) + _one_photograph(results)
    if any(r.pairs == "identity means" for r in results):
        said.append(
            Finding(
                "These d′ are of means over all images of two people, each image with itself included, and "
                "say nothing of how far two single images lie apart."
            )
        )
    return said


def _d(r: Distances, condition: str) -> Estimate:
    return r.d_prime[f"d′, {condition}"]


def _comparison(condition: str, best: Distances, other: Distances) -> Finding:
    i, j = best.conditions.index(condition), other.conditions.index(condition)
    text = (
        f"On {condition}, intra and inter distances lie d′ = {_d(best, condition):.2f} apart in "
        f"{best.title} and {_d(other, condition):.2f} in {other.title}"
    )
    if best.population[i] != other.population[j]:
        return Finding(
            f"{text}; they were measured on different people, so no interval of the difference is given."
        )
    low, high = interval(best.d_prime_replicates[:, i] - other.d_prime_replicates[:, j])
    if low is None or high is None:
        return Finding(f"{text}; too few people have two images to say how sure the difference is.")
    more = Estimate(_d(best, condition).value - _d(other, condition).value, low, high)
    if low > 0:
        return Finding(f"{text}: a difference of {more:.2f}.", "good")
    return Finding(f"{text}: the difference of {more:.2f} may be chance.")


def _margins(results: Sequence[Distances]) -> list[Finding]:
    """Say of each model how many people lie nearer to an impostor, and hold it against the best one."""
    said = []
    ranked = sorted(results, key=lambda r: _negative(r).value)
    best = ranked[0]
    for r in ranked:
        share, first = _negative(r), r.conditions[0]
        worst = r.worst_people[0]
        text = (
            f"On {first} in {r.title}, {share:.1%} of {share.n:,} people have somebody else's image nearer "
            f"than their own lie on average; the smallest margin is that of {worst[1]} "
            f"({worst[5]:+.3f}, to {worst[8]})"
        )
        if r is not best and (first, r.population[0]) == (best.conditions[0], best.population[0]):
            low, high = interval(r.negative_margin_replicates[:, 0] - best.negative_margin_replicates[:, 0])
            if low is not None and high is not None:
                more = Estimate(share.value - _negative(best).value, low, high)
                text += f"; {'a' if low > 0 else 'the'} difference of {more.points()} to {best.title}"
                text += "" if low > 0 else " may be chance"
        said.append(Finding(f"{text}."))
    return said


def _negative(r: Distances) -> Estimate:
    return r.negative_margin[f"people with a negative margin, {r.conditions[0]}"]


def _one_photograph(results: Sequence[Distances]) -> list[Finding]:
    """Name the pairs of two people that are nearly equal, with the models that say so."""
    seen: dict[tuple[str, ...], list[str]] = {}
    for r in results:
        for row in _listed(r, r.conditions[0], DIFFERENT):
            if row[2] > ONE_PHOTOGRAPH:
                seen.setdefault(tuple(sorted(row[3:5])), []).append(r.title)
    if not seen:
        return []
    named = [f"{a} = {b} (in {' and '.join(models)})" for (a, b), models in list(seen.items())[:NAMED]]
    more = f" and {len(seen) - NAMED} more of those listed" if len(seen) > NAMED else ""
    return [
        Finding(
            f"Images of two people are more alike than {ONE_PHOTOGRAPH}, so look whether they are one "
            f"photograph under two names: {', '.join(named)}{more}.",
            "bad",
        )
    ]


def _blur(r: Distances, condition: str) -> Finding:
    overlap = r.overlap[f"overlap, {condition}"]
    return Finding(
        f"In {r.title}, the intra and inter distances of {condition} overlap by {overlap:.0%}.", "bad"
    )


def _moved(r: Distances, condition: str) -> Finding:
    first = condition.split(" × ")[0]
    same = r.same_image_mean[f"mean same-image distance, {condition}"].value
    excess = r.same_image_excess[f"same-image less intra distance, {condition}"]
    text = f"In {r.title}, one image under both probes of {condition} lies {same:.3f} apart on average"
    if excess.low is None or excess.high is None:
        return Finding(
            f"{text}; {first} alone shows other people, or too few twice, to hold that against two images of "
            "one person."
        )
    if excess.low > 0:
        return Finding(f"{text}, further than two images of one person on {first} by {excess:.3f}.", "bad")
    if excess.high < 0:
        nearer = Estimate(-excess.value, -excess.high, -excess.low)
        return Finding(
            f"{text}, nearer than two images of one person on {first} by {nearer:.3f}.",
            "good",
        )
    return Finding(f"{text}, about as far as two images of one person on {first} (difference {excess:.3f}).")


ANALYSIS = Analysis(
    question="Are two faces of one person closer than faces of two people?",
    over="model",
    params=DistanceParams(),
    result=Distances,
    compute=compute,
    charts=charts,
    findings=findings,
)
