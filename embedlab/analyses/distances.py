"""Distances within and between people, within each probe and across two.

The cosine distance 1 − similarity is collected over all pairs of images: *intra*, two images of one
person; *inter*, images of two people; and across two probes also *same image*, one image seen under
both. An image is never compared with itself within a probe. d′ is the gap between the means of inter
and intra in units of their pooled deviation, √(½(σ²ₐ + σ²ₑ)) [1]_; the overlap is the area that both
distributions cover [2]_. One table gives both for the Euclidean distance too, of the normalised vectors
(√2 times the root of the cosine distance, so that its overlap is the same) and of the vectors as the
network gave them. The cosine does not ask for lengths: raw or normalised is one.

Up to three probes are held against each other two by two; of more, only the first against each other one.

With ``pairs="identity means"`` one distance is the mean over all images of two people, as some studies
take it, and everybody counts once. Such a mean holds, within one probe, the distance of zero of each image
to itself, which pulls intra towards zero; and averaging hides how widely single images are spread. Both make
d′ larger than it is between images: it is that of averages. Euclidean distances are then left out.

Intervals are 95 % intervals of a bootstrap over people.

How to read it
--------------
Two humps far apart are a space that tells people apart. A left shoulder of the inter hump is pairs
of people that the model confuses; ``confusions`` names them. If the same image under two probes lies
further apart than two images of one person within a probe, the change of resolution outweighs the change
of picture. The null, where labels mean nothing, is d′ = 0 and an overlap of 1.

Limits
------
Every pair weighs the same, so people with many images rule the intra distribution. d′ summarises two
bell curves; where the humps are skewed, look at the verification section. Overlap is measured in 64
bins and comes out too small where there are only hundreds of genuine pairs, since they leave bins
empty; for raw vectors the bins span the largest distance that vectors of such lengths could have.
Intervals speak of other people, not of the same network trained again with another seed. Across probes
the two images of a pair were never seen at the same resolution, so intra there holds both causes.

References
----------
.. [1] Daugman, J. Biometric decision landscapes. Technical report 482, University of Cambridge, 2000.
.. [2] Inman, H. F. and Bradley, E. L. The overlapping coefficient as a measure of agreement between
   probability distributions. Communications in Statistics 18(10), 1989.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, Chart, Histogram, Role, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People, Place, bars, by_place, compared, undrawn, where
from embedlab.lab.embeddings import EmbeddingSet, check_pairs, crossed, crossings
from embedlab.maths.pairs.all_pairs import Pairs, all_pairs, edges, histogram
from embedlab.maths.pairs.identity_means import identity_means
from embedlab.maths.pairs.moments import Drawn, Spread, chord, mean
from embedlab.progress import track

D_PRIME, OVERLAP = "d′", "overlap"
INTRA, INTER = "mean intra distance", "mean inter distance"
SAME_IMAGE, EXCESS = "mean same-image distance", "same-image less intra distance"
NORMALISED, RAW = "Euclidean, normalised", "Euclidean, raw"
D_NORMALISED, D_RAW, OVERLAP_RAW = (f"d′, {NORMALISED}", f"d′, {RAW}", f"overlap, {RAW}")
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
QUANTILES = {kind: tuple(f"{kind} {level:.0%}" for level in LEVELS) for kind in ("intra", "inter")}
POOR_OVERLAP = 0.25
ROLES: dict[str, Role] = {
    "intra: two images of one person": "genuine",
    "inter: two people": "impostor",
    "one image, both probes": "same image",
}


@dataclass(frozen=True)
class DistanceParams(Params):
    """Knobs of the distance analysis."""

    bins: int = bounded(64, least=4, most=4096)
    """How many equal bins of cosine distance, over 0…2, the pictures have: a power of two."""
    pairs: Literal["images", "identity means"] = "images"
    """One distance is that of two images, or the mean over all images of two people."""
    pictures: Literal["cosine", "all measures"] = "cosine"
    """Whether the Euclidean distances are drawn too; the table has them either way."""
    interval: Literal["percentile", "bca"] = "percentile"
    """Kind of the bootstrap intervals; those of differences are always percentile ones."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Distances(Result):
    """Distributions of distance in one model, a row a place: a probe, or two across."""

    places: tuple[Place, ...] = field(metadata={"hidden": True})
    pairs: str = field(metadata={"label": "what counts as one distance"})
    pictures: str = field(metadata={"hidden": True})
    estimates: Estimates
    further: Estimates = field(metadata={"hidden": True})
    dropped: int = field(metadata={"label": "images in one probe only, left out across probes"})
    edges: Float[np.ndarray, " bins+1"]
    intra: Int[np.ndarray, "places bins"]
    inter: Int[np.ndarray, "places bins"]
    same_image: Int[np.ndarray, "places bins"]
    raw_reach: Float[np.ndarray, " places"]
    raw_intra: Int[np.ndarray, "places bins"]
    raw_inter: Int[np.ndarray, "places bins"]


def compute(sets: Sequence[EmbeddingSet], params: DistanceParams) -> Distances:
    """Measure all pairs within each probe, and across two probes of the same images.

    Raises
    ------
    UserError
        If a set shows one person only, or nobody twice, or two probes share no item, or ``bins`` is
        no power of two.
    """
    if params.bins.bit_count() != 1:
        raise UserError(f"distances.bins must be a power of two, not {params.bins}")
    found, further = Estimates(), Estimates()
    places, counted, dropped = [], [], 0
    for place, a, b, left_out in track(
        crossings(sets), "measuring probes, and across them", crossed(len(sets))
    ):
        places.append(place)
        counted.append(_measure(place, a, b, params, found, further))
        dropped += left_out
    return Distances(
        title=sets[0].model,
        places=tuple(places),
        pairs=params.pairs,
        pictures=params.pictures,
        estimates=found,
        further=further,
        dropped=dropped,
        edges=1.0 + edges(params.bins),
        **{name: np.stack([one[name] for one in counted]) for name in counted[0]},
    )


def _measure(
    place: Place,
    a: EmbeddingSet,
    b: EmbeddingSet | None,
    params: DistanceParams,
    found: Estimates,
    further: Estimates,
) -> dict[str, np.ndarray]:
    """Measure one place into ``found`` and ``further``; give its histograms by their fields' names."""
    check_pairs(a)
    people = People.of(a.identities, params)
    pairs = _pairs(a, b, params)
    paired = len(np.unique(pairs.genuine_people))
    spread = Spread(pairs, people.counts)
    intra, inter = spread.intra(_cosine).mean, spread.inter(_cosine).mean
    # Under the null, where labels mean nothing, every pair is as far apart as two people are.
    found[D_PRIME, *place] = people.estimate(spread.d_prime(_cosine), paired, 0.0)
    found[OVERLAP, *place] = people.estimate(spread.overlap(), paired, 1.0)
    found[INTRA, *place] = people.estimate(intra, paired, inter.value)
    found[INTER, *place] = people.estimate(inter, len(a.identities))
    if b is not None:
        moved = mean(_cosine(pairs.same_item_scores), pairs.same_item_people, people.counts)
        found[SAME_IMAGE, *place] = people.estimate(moved, len(a.identities), inter.value)
        found[EXCESS, *place] = found[SAME_IMAGE, *place] - found[INTRA, place[0]]
    _quantiles(place, spread, paired, people, further)
    return _binned(pairs, "", params) | {
        "same_image": histogram(pairs.same_item_scores, params.bins)[::-1],
        **_euclidean(place, a, b, spread, paired, people, params, further),
    }


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


def _binned(pairs: Pairs, prefix: str, params: DistanceParams) -> dict[str, np.ndarray]:
    """Count distances: bins of similarity, turned round, are bins of distance."""
    return {
        prefix + "intra": histogram(pairs.genuine_scores, params.bins)[::-1],
        prefix + "inter": pairs.impostor.reshape(params.bins, -1).sum(axis=1)[::-1],
    }


def _quantiles(place: Place, spread: Spread, paired: int, people: People, further: Estimates) -> None:
    """Add quantiles of distance: the other end of those of similarity."""
    intra, inter = spread.quantiles([1.0 - level for level in LEVELS])
    for k, (own, other) in enumerate(zip(intra, inter, strict=True)):
        one, two = (Drawn(1.0 - drawn.value, 1.0 - drawn.replicates) for drawn in (own, other))
        further[QUANTILES["intra"][k], *place] = undrawn(people.estimate(one, paired, two.value))
        further[QUANTILES["inter"][k], *place] = undrawn(people.estimate(two, len(spread.pairs.images)))


def _euclidean(
    place: Place,
    a: EmbeddingSet,
    b: EmbeddingSet | None,
    spread: Spread,
    paired: int,
    people: People,
    params: DistanceParams,
    further: Estimates,
) -> dict[str, np.ndarray]:
    """Measure Euclidean distances; those of means over images are left out."""
    if params.pairs != "images":
        nothing = np.zeros(params.bins, np.int64)
        return {"raw_reach": np.array(np.nan), "raw_intra": nothing, "raw_inter": nothing}
    raw = all_pairs(a.vectors, a.labels, None if b is None else b.vectors, metric="euclidean", tail=0)
    lengths = Spread(raw, people.counts)
    for what, drawn, null in (
        (D_NORMALISED, spread.d_prime(chord), 0.0),
        (D_RAW, lengths.d_prime(raw.distance), 0.0),
        (OVERLAP_RAW, lengths.overlap(), 1.0),
    ):
        further[what, *place] = undrawn(people.estimate(drawn, paired, null))
    return {"raw_reach": np.array(raw.reach), **_binned(raw, "raw_", params)}


def charts(results: Sequence[Distances]) -> list[Chart]:
    """Histograms of each model and place, d′ side by side, and quantiles."""
    drawn: list[Chart] = [chart for r in results for k in range(len(r.places)) for chart in _histograms(r, k)]
    if any(len(r.places) > 1 for r in results):
        places = tuple(dict.fromkeys(place for r in results for place in r.places))
        drawn.append(
            Bars(
                title="d′ of intra and inter distances",
                ylabel=D_PRIME,
                categories=tuple(map(where, places)),
                series=bars({r.title: r.estimates for r in results}, D_PRIME, places),
                nulls=dict.fromkeys(map(where, places), 0.0),
                note="Cosine distance; whiskers are 95 % intervals from a bootstrap over people.",
            )
        )
    if any(r.further.places(D_RAW) for r in results):
        drawn.append(_measures_table(results))
    return [*drawn, *map(_quantile_table, results)]


def _histograms(r: Distances, k: int) -> list[Chart]:
    pictures = [("cosine distance", r.edges, r.intra[k], r.inter[k], r.same_image[k])]
    if r.pictures == "all measures" and r.further.places(D_RAW):
        none = np.zeros_like(r.same_image[k])
        reach = r.edges * r.raw_reach[k] / 2
        pictures += [
            ("Euclidean distance, normalised", np.sqrt(2 * r.edges), *pictures[0][2:]),
            ("Euclidean distance, raw", reach, r.raw_intra[k], r.raw_inter[k], none),
        ]
    averaged = " Each is a mean over all images of two people." if r.pairs == "identity means" else ""
    drawn: list[Chart] = []
    for xlabel, ends, intra, inter, same in pictures:
        series = dict(zip(ROLES, (intra, inter, same)[: 3 if same.any() else 2], strict=False))
        drawn.append(
            Histogram(
                title=f"{where(r.places[k])} in {r.title}",
                xlabel=xlabel,
                edges=ends,
                series=series,
                roles={name: ROLES[name] for name in series},
                note=f"{intra.sum():,} intra and {inter.sum():,} inter pairs; each curve has area "
                f"one.{averaged}",
            )
        )
    return drawn


def _measures_table(results: Sequence[Distances]) -> Table:
    rows = [
        (
            r.title,
            where(place),
            r.estimates[D_PRIME, *place],
            r.further.at(D_NORMALISED, place),
            r.further.at(D_RAW, place),
            r.estimates[OVERLAP, *place],
            r.further.at(OVERLAP_RAW, place),
        )
        for r in results
        for place in r.places
    ]
    return Table(
        title="d′ and overlap by measure",
        columns=(
            "model", "condition", "d′, cosine", D_NORMALISED, D_RAW, "overlap, cosine", OVERLAP_RAW,
        ),
        rows=tuple(rows),
        note="The cosine is the same for raw and for normalised vectors. Euclidean distance of normalised "
        "vectors rises with the cosine distance, so their overlap is the same.",
    )  # fmt: skip


def _quantile_table(r: Distances) -> Table:
    rows = [
        (where(place), kind, r.estimates[mean_of, *place], *(r.further[q, *place] for q in QUANTILES[kind]))
        for place in r.places
        for kind, mean_of in (("intra", INTRA), ("inter", INTER))
    ]
    return Table(
        folded=True,
        title=f"Cosine distances in {r.title}",
        columns=("condition", "pairs", "mean", *(f"{level:.0%}" for level in LEVELS)),
        rows=tuple(rows),
        note="Mean and quantiles, with 95 % intervals.",
    )


def findings(results: Sequence[Distances]) -> list[Finding]:
    """Say how well people are told apart, and what the change of probe costs."""
    said = []
    for place, group in by_place(results, D_PRIME, lambda r: r.estimates).items():
        said += _told_apart(place, group)
    for r in results:
        said += [_blur(r, p) for p in r.places if r.estimates[OVERLAP, *p].value > POOR_OVERLAP]
        said += [_moved(r, p) for p in r.estimates.places(EXCESS)]
    if any(r.pairs == "identity means" for r in results):
        said.append(
            Finding(
                "These d′ are of means over all images of two people, each image with itself included, and "
                "say nothing of how far two single images lie apart."
            )
        )
    return said


def _told_apart(place: Place, group: Sequence[Distances]) -> list[Finding]:
    """Hold the best model against each other one."""
    best, *rest = group
    d = best.estimates[D_PRIME, *place]
    if not rest:
        return [
            Finding(
                f"On {where(place)} in {best.title}, intra and inter distances lie {D_PRIME} = {d:.2f} apart."
            )
        ]
    text = f"On {where(place)}, intra and inter distances lie {D_PRIME} = {d:.2f} apart in {best.title}"
    return [
        compared(f"{text} and {other:.2f} in {r.title}", d, other, spec=".2f")
        for r in rest
        for other in [r.estimates[D_PRIME, *place]]
    ]


def _blur(r: Distances, place: Place) -> Finding:
    overlap = r.estimates[OVERLAP, *place]
    return Finding(
        f"In {r.title}, the intra and inter distances of {where(place)} overlap by {overlap:.0%}.", "bad"
    )


def _moved(r: Distances, place: Place) -> Finding:
    first, excess = place[0], r.estimates[EXCESS, *place]
    same = r.estimates[SAME_IMAGE, *place].value
    text = f"In {r.title}, one image under both probes of {where(place)} lies {same:.3f} apart on average"
    match excess.sign:
        case None:
            return Finding(
                f"{text}; {first} alone shows other people, or too few twice, to hold that against two "
                "images of one person."
            )
        case 1:
            further = "further than two images of one person"
            return Finding(f"{text}, {further} on {first} by {excess:.3f}.", "bad", excess)
        case -1:
            nearer = "nearer than two images of one person"
            return Finding(f"{text}, {nearer} on {first} by {-excess:.3f}.", "good", excess)
    return Finding(
        f"{text}, about as far as two images of one person on {first} (difference {excess:.3f}).", gap=excess
    )


ANALYSIS = Analysis(
    question="Are two faces of one person closer than faces of two people?",
    over="model",
    params=DistanceParams(),
    result=Distances,
    compute=compute,
    charts=charts,
    findings=findings,
)
