"""Distances within and between people, within each probe and across two.

The cosine distance 1 − similarity is collected over all pairs of images: *intra*, two images of one
person; *inter*, images of two people; and across two probes also *same image*, one image seen under
both. An image is never compared with itself within a probe. d′ is the gap between the means of inter
and intra in units of their pooled deviation, √(½(σ²ₐ + σ²ₑ)) [1]_; the overlap is the area that both
distributions cover [2]_. Both are given for the Euclidean distance too, of the normalised vectors (√2 times
the root of the cosine distance, so that its overlap is the same) and of the vectors as they are.

Up to three probes are held against each other two by two; of more, only the first against each other one.

With ``pairs="identity means"`` one distance is the mean over all images of two people, as some studies
take it. Such a mean holds, within one probe, the distance of zero of each image to itself, which pulls
intra towards zero; and averaging hides how widely single images are spread. Both make d′ larger than it is
between images. Euclidean distances are then left out.

Each person's intra pairs together weigh the same, and so do the inter pairs of each two people
(``weigh="people"``): the figures are those of a person drawn at random. With ``weigh="pairs"`` every pair
weighs the same, as in the field's protocols (all pairs of a set; lists such as LFW's): there a person with n
images has n(n − 1)/2 of the intra pairs, in LFW one of 1,680 people 58 %. With equal numbers of images both
are one. Where d′ differs beyond its interval the report gives both. Intervals are 95 % intervals of a
bootstrap over people; ``maths.people.bootstrap`` says how often they held the truth.

How to read it
--------------
Two humps far apart are a space that tells people apart. A left shoulder of the inter hump is pairs
of people that the model confuses; ``confusions`` names them. If the same image under two probes lies
further apart than two images of one person within a probe, the change of resolution outweighs the change
of image. The null, where labels mean nothing, is d′ = 0 and an overlap of 1. Beside each figure of genuine
pairs, n is how many people they tell as much as, (Σm)²/Σm² over the m that each person's pairs weigh [3]_.

Limits
------
d′ summarises two bell curves; where the humps are skewed, look at the verification section. The overlap is
the area where the curves cross once; where they cross more often the area is smaller. Intervals speak of
other people, not of the same network trained again with another seed. Across probes the two images of a
pair were never seen at the same resolution, so intra there holds both causes.

References
----------
.. [1] Daugman, J. Biometric decision landscapes. Technical report 482, University of Cambridge, 2000.
.. [2] Inman, H. F. and Bradley, E. L. The overlapping coefficient as a measure of agreement between
   probability distributions. Communications in Statistics 18(10), 1989.
.. [3] Kish, L. Survey Sampling. Wiley, 1965.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, Chart, Histogram, Role
from embedlab.errors import UserError
from embedlab.estimates import (
    Estimate,
    Estimates,
    People,
    Place,
    bars,
    by_place,
    claim,
    compared,
    few_people,
    rulers,
    undrawn,
    where,
)
from embedlab.lab.embeddings import EmbeddingSet, check_pairs, crossed, crossings
from embedlab.maths.pairs.all_pairs import Pairs, Weigh, all_pairs
from embedlab.maths.pairs.identity_means import identity_means
from embedlab.maths.pairs.moments import Spread, chord, mean
from embedlab.maths.people.effective import effective_number
from embedlab.progress import track

D_PRIME, OVERLAP = "d′", "overlap"
INTRA, INTER = "mean intra distance", "mean inter distance"
SAME_IMAGE, RATIO = "mean same-image distance", "same-image over intra distance"
PEOPLE = "effective number of people"
OTHERWISE = {"people": "d′, each pair weighing the same", "pairs": "d′, each person weighing the same"}
D_NORMALISED, D_RAW = "d′, Euclidean, normalised", "d′, Euclidean, raw"
OVERLAP_RAW = "overlap, Euclidean, raw"
POOR_OVERLAP = 0.25
NEAR = 0.5
ROLES: dict[str, Role] = {
    "intra: two images of one person": "genuine",
    "inter: two people": "impostor",
    "one image, both probes": "same image",
}


@dataclass(frozen=True)
class DistanceParams(Params):
    """Knobs of the distance analysis."""

    bins: int = bounded(64, least=4, most=4096)
    """How many equal bins the pictures have."""
    weigh: Weigh = "people"
    """Each person and each two people weigh the same, or each pair does, as in the field's protocols."""
    pairs: Literal["images", "identity means"] = "images"
    """One distance is that of two images, or the mean over all images of two people."""
    interval: Literal["percentile", "bca"] = "percentile"
    """Quantiles of resamples (of shares: the exact binomial), or bias-corrected and accelerated ones."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Distances(Result):
    """Distributions of distance in one model, a row a place: a probe, or two across."""

    places: tuple[Place, ...] = field(metadata={"hidden": True})
    pairs: str = field(metadata={"label": "what counts as one distance"})
    weigh: str = field(metadata={"label": "what weighs the same"})
    estimates: Estimates
    rulers: tuple[tuple[Any, ...], ...] = field(metadata={"hidden": True})
    dropped: int = field(metadata={"label": "images in one probe only, left out across probes"})
    edges: Float[np.ndarray, "places bins+1"]
    intra: Float[np.ndarray, "places bins"]
    inter: Float[np.ndarray, "places bins"]
    same_image: Float[np.ndarray, "places bins"]
    pair_counts: Int[np.ndarray, "places 2"]


def compute(sets: Sequence[EmbeddingSet], params: DistanceParams) -> Distances:
    """Measure all pairs within each probe, and across two probes of the same images.

    Raises
    ------
    UserError
        If a set shows one person only, or nobody twice, or two probes share no item, or all pairs are at
        one distance.
    """
    found, counted, named, dropped = Estimates(), [], [], 0
    places: list[Place] = []
    each = track(crossings(sets), "measuring probes, and across them", crossed(len(sets)))
    for place, a, b, left_out in each:
        check_pairs(a)
        pairs = _pairs(a, b, params)
        counted.append(_measure(place, a, b, pairs, params, found))
        owners = np.bincount(pairs.genuine_people, minlength=len(a.identities))
        named += [(len(places), *one) for one in rulers(owners, a.identities)]
        places.append(place)
        dropped += left_out
    return Distances(
        title=sets[0].model,
        places=tuple(places),
        pairs=params.pairs,
        weigh=params.weigh,
        estimates=found,
        rulers=tuple(named),
        dropped=dropped,
        **{name: np.stack([one[name] for one in counted]) for name in counted[0]},
    )


def _measure(
    place: Place,
    a: EmbeddingSet,
    b: EmbeddingSet | None,
    pairs: Pairs,
    params: DistanceParams,
    found: Estimates,
) -> dict[str, np.ndarray]:
    """Measure one place into ``found``; give its histograms by their fields' names."""
    people = People.of(a.identities, params)
    effective = effective_number(pairs.genuine_masses)
    spread, paired = Spread(pairs, people.counts), round(effective)
    intra, inter = spread.intra(_cosine).mean, spread.inter(_cosine).mean
    told_apart = spread.d_prime(_cosine)
    if not np.isfinite(told_apart.value):
        raise UserError(
            f"{a.title} has all pairs of a kind at one distance, so d′ has no unit: check the vectors"
        )
    # Under the null, where labels mean nothing, every pair is as far apart as two people are.
    found[D_PRIME, *place] = people.estimate(told_apart, paired, 0.0)
    found[OVERLAP, *place] = people.estimate(spread.overlap(), paired, 1.0, share=True, graded=True)
    found[INTRA, *place] = people.estimate(intra, paired, inter.value)
    found[INTER, *place] = people.estimate(inter, len(a.identities))
    found[PEOPLE, *place] = Estimate(effective, n=int((pairs.genuine_masses > 0).sum()))
    if b is not None:
        scores, owners = pairs.same_item_scores, pairs.same_item_people
        moved = mean(_cosine(scores), owners, people.counts, pairs.same_item_weights)
        found[SAME_IMAGE, *place] = people.estimate(moved, len(a.identities), inter.value)
        found[RATIO, *place] = found[SAME_IMAGE, *place] / found[INTRA, place[0]]
    if np.ptp(pairs.images):
        other = Spread(_otherwise(a, b, pairs), people.counts[:0])
        found[OTHERWISE[params.weigh], *place] = Estimate(other.d_prime(_cosine).value, n=paired)
    if params.pairs == "images":
        vectors = None if b is None else b.vectors
        raw = all_pairs(a.vectors, a.labels, vectors, metric="euclidean", weigh=params.weigh, tail=0)
        lengths = Spread(raw, people.counts)
        found[D_NORMALISED, *place] = undrawn(people.estimate(spread.d_prime(chord), paired, 0.0))
        found[D_RAW, *place] = undrawn(people.estimate(lengths.d_prime(raw.distance), paired, 0.0))
        found[OVERLAP_RAW, *place] = undrawn(
            people.estimate(lengths.overlap(), paired, 1.0, share=True, graded=True)
        )
    return _binned(pairs, params.bins)


def _pairs(a: EmbeddingSet, b: EmbeddingSet | None, params: DistanceParams) -> Pairs:
    other = None if b is None else b.unit
    if params.pairs == "identity means":
        return identity_means(a.unit, a.labels, other, tail=0)
    return all_pairs(a.unit, a.labels, other, weigh=params.weigh, tail=0)


def _otherwise(a: EmbeddingSet, b: EmbeddingSet | None, pairs: Pairs) -> Pairs:
    """Weigh the same pairs the other way."""
    if pairs.weigh == "people":
        return replace(pairs, weigh="pairs", impostor_mass=pairs.impostor.astype(np.float64))
    return all_pairs(a.unit, a.labels, None if b is None else b.unit, weigh="people", tail=0)


def _cosine(scores: np.ndarray) -> np.ndarray:
    return 1.0 - scores


def _binned(pairs: Pairs, bins: int) -> dict[str, np.ndarray]:
    """Count distances, as they weigh, in equal bins over all that there are."""
    every = _cosine(pairs.centres(len(pairs.impostor)))
    intra, same = _cosine(pairs.genuine_scores), _cosine(pairs.same_item_scores)
    filled = np.concatenate([every[pairs.impostor > 0], intra, same])
    counted = (
        ("intra", intra, pairs.genuine_weights[pairs.genuine_people]),
        ("inter", every, pairs.impostor_mass),
        ("same_image", same, pairs.same_item_weights[pairs.same_item_people]),
    )
    ends = np.linspace(filled.min(), filled.max(), bins + 1)
    return {
        "edges": ends,
        "pair_counts": np.array([len(intra), pairs.impostor.sum()]),
        **{name: np.histogram(values, ends, weights=w)[0].astype(float) for name, values, w in counted},
    }


def charts(results: Sequence[Distances]) -> list[Chart]:
    """Histograms of each model and place, and d′ side by side."""
    drawn: list[Chart] = [_histogram(r, k) for r in results for k in range(len(r.places))]
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
    return drawn


def _histogram(r: Distances, k: int) -> Histogram:
    same = r.same_image[k]
    series = dict(zip(ROLES, (r.intra[k], r.inter[k], same)[: 3 if same.any() else 2], strict=False))
    averaged = " Each is a mean over all images of two people." if r.pairs == "identity means" else ""
    own, other = r.pair_counts[k]
    return Histogram(
        title=f"{where(r.places[k])} in {r.title}",
        xlabel="cosine distance",
        edges=r.edges[k],
        series=series,
        roles={name: ROLES[name] for name in series},
        note=f"{own:,} intra and {other:,} inter pairs; each curve has area one.{averaged}",
    )


def findings(results: Sequence[Distances]) -> list[Finding]:
    """Say how well people are told apart, and what the change of probe costs."""
    said = []
    for place, group in by_place(results, D_PRIME, lambda r: r.estimates).items():
        said += _told_apart(place, group)
    for r in results:
        said += [_blur(r, p) for p in r.places if r.estimates[OVERLAP, *p].value > POOR_OVERLAP]
        said += [_moved(r, p) for p in r.estimates.places(RATIO)]
        said += _weighed(r, r.places[0])
    first = results[0]
    for place in (place for place in first.places if len(place) == 1):
        ruled = _rulers(first, place) if first.weigh == "pairs" else []
        said += few_people(where(place), first.estimates[PEOPLE, *place].value, ruled)
    if any(r.pairs == "identity means" for r in results):
        said.append(Finding("These d′ are of means over images, and larger than between two images."))
    return said


def _told_apart(place: Place, group: Sequence[Distances]) -> list[Finding]:
    """Hold the best model against each other one."""
    best, *rest = group
    d = best.estimates[D_PRIME, *place]
    text = f"On {where(place)}, {D_PRIME} of distances within and between people is"
    if not rest:
        return [Finding(f"{text} {d:.2f} in {best.title}.")]
    text += f" {d.value:.2f} in {best.title}"
    others = [(r.title, r.estimates[D_PRIME, *place]) for r in rest]
    return [compared(f"{text} and {one.value:.2f} in {who}", d, one, spec=".2f") for who, one in others]


def _blur(r: Distances, place: Place) -> Finding:
    found = r.estimates[OVERLAP, *place]
    gap = replace(found, null=POOR_OVERLAP).over_null or found
    text = f"In {r.title}, distances within and between people overlap by {found:.0%} on {where(place)}"
    return claim(f"{text}.", f"{text}, as far as can be told.", gap.p, tone="bad", gap=gap)


def _moved(r: Distances, place: Place) -> Finding:
    """Say how far one image under both probes lies apart, in units of two images of one person."""
    first, ratio = place[0], r.estimates[RATIO, *place]
    text = f"In {r.title}, an image of {place[0]} and the same one of {place[1]} lie"
    if ratio.low is None or ratio.high is None:
        same = r.estimates[SAME_IMAGE, *place].value
        other = f"{first} alone shows other people, or too few twice, to hold that against their images"
        return Finding(f"{text} {same:.3f} apart; {other}.")
    apart = f"{text} {ratio:.0%} as far apart as two images of one person on {first}."
    if NEAR <= ratio.value <= 1:
        return Finding(apart)
    # Good is only what is far nearer, and bad what is further.
    gap = replace(ratio, null=NEAR if ratio.value < NEAR else 1.0).over_null or ratio
    return claim(apart, apart, gap.p, tone="good" if gap.value < 0 else "bad", gap=gap)


def _weighed(r: Distances, place: Place) -> list[Finding]:
    """Say how d′ changes with what weighs the same, where that is beyond its interval."""
    d, other = r.estimates[D_PRIME, *place], r.estimates.at(OTHERWISE[r.weigh], place)
    if other is None or d.low is None or d.high is None or d.low <= other.value <= d.high:
        return []
    each_person, each_pair = (d, other)[:: 1 if r.weigh == "people" else -1]
    held = "".join(f" ({who} has {share:.0%} of them)" for who, share in _rulers(r, place)[:1])
    text = f"On {where(place)} in {r.title}, {D_PRIME} is {each_person:.2f} where each person weighs the same"
    return [Finding(f"{text} and {each_pair:.2f} where each pair does{held}.")]


def _rulers(r: Distances, place: Place) -> list[tuple[str, float]]:
    return [(who, share) for k, who, share in r.rulers if r.places[k] == place]


ANALYSIS = Analysis(
    question="Are two faces of one person closer than faces of two people?",
    over="model",
    params=DistanceParams(),
    result=Distances,
    compute=compute,
    charts=charts,
    findings=findings,
)
