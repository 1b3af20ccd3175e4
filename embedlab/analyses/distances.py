"""Distances within and between people, within each probe and across two.

The cosine distance 1 − similarity is collected over all pairs of images: *intra*, two images of one
person; *inter*, images of two people; and across two probes also *same image*, one image seen under
both. An image is never compared with itself within a probe. d′ is the gap between the means of inter
and intra in units of their pooled deviation, √(½(σ²ₐ + σ²ₑ)) [1]_; the overlap is the area that both
distributions cover [2]_.

Intervals are 95 % percentile intervals of a bootstrap over people.

How to read it
--------------
Two humps far apart are a space that tells people apart. A left shoulder of the inter hump is pairs
of people that the model confuses. If the same image under two probes lies further apart than two
images of one person within a probe, the change of resolution outweighs the change of picture. The
null, where labels mean nothing, is d′ = 0 and an overlap of 1.

Limits
------
Every pair weighs the same, so people with many images rule the intra distribution. d′ summarises two
bell curves; where the humps are skewed, look at the verification section. Overlap is measured in 64
bins and comes out too small where there are only hundreds of genuine pairs, since they leave bins
empty. Intervals speak of other people, not of the same network trained again with another seed. Across
probes the two images of a pair were never seen at the same resolution, so intra there
holds both causes.

References
----------
.. [1] Daugman, J. Biometric decision landscapes. Technical report 482, University of Cambridge, 2000.
.. [2] Inman, H. F. and Bradley, E. L. The overlapping coefficient as a measure of agreement between
   probability distributions. Communications in Statistics 18(10), 1989.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result
from embedlab.charts import Chart, Histogram
from embedlab.embeddings import EmbeddingSet, aligned
from embedlab.errors import UserError
from embedlab.maths.bootstrap import (
    impostor_histograms,
    interval,
    population,
    resamples,
    shares,
    weighted_mean,
)
from embedlab.maths.pairs import Pairs, all_pairs, edges, histogram

POOR_OVERLAP = 0.25
OVERLAP_BINS = 64


@dataclass(frozen=True)
class DistanceParams(Params):
    """Knobs of the distance analysis."""

    bins: int = 64
    """How many equal bins of cosine distance, over 0…2, the pictures have: a power of two up to 4096."""
    resamples: int = 1000
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = 0
    """Seed of the resamples."""


@dataclass(frozen=True)
class Distances(Result):
    """Distributions of cosine distance in one model, a row a condition."""

    conditions: tuple[str, ...]
    d_prime: Mapping[str, Estimate]
    overlap: Mapping[str, Estimate]
    intra_mean: Mapping[str, Estimate]
    inter_mean: Mapping[str, Estimate]
    same_image_mean: Mapping[str, Estimate]
    same_image_excess: Mapping[str, Estimate]
    dropped: int = field(metadata={"label": "images in one probe only, left out across probes"})
    edges: Float[np.ndarray, " bins+1"]
    intra: Int[np.ndarray, "conditions bins"]
    inter: Int[np.ndarray, "conditions bins"]
    same_image: Int[np.ndarray, "conditions bins"]
    d_prime_replicates: Float[np.ndarray, "resamples conditions"]
    population: tuple[str, ...] = field(metadata={"hidden": True})


def compute(sets: Sequence[EmbeddingSet], params: DistanceParams) -> Distances:
    """Measure all pairs within each probe, and across each two probes of the same images.

    Raises
    ------
    UserError
        If a set shows one person only, or nobody twice, or two probes share no item, or ``bins`` is
        no power of two up to 4096.
    """
    if params.bins not in [2**k for k in range(2, 13)]:
        raise UserError(f"distances.bins must be a power of two from 4 to 4096, not {params.bins}")
    measured: list[_Condition] = []
    dropped = 0
    for embeddings in sets:
        pairs = _checked(embeddings, all_pairs(embeddings.unit, embeddings.labels, tail=0))
        measured.append(_measure(embeddings.probe, embeddings, pairs, params))
    for a, b in itertools.combinations(range(len(sets)), 2):
        both = aligned(sets[a], sets[b])
        dropped += both.dropped_a + both.dropped_b
        pairs = _checked(both.a, all_pairs(both.a.unit, both.a.labels, both.b.unit, tail=0))
        name = f"{both.a.probe} × {both.b.probe}"
        measured.append(_measure(name, both.a, pairs, params, within=measured[a]))
    return Distances(
        title=sets[0].model,
        conditions=tuple(m.name for m in measured),
        d_prime={f"d′, {m.name}": m.d_prime for m in measured},
        overlap={f"overlap, {m.name}": m.overlap for m in measured},
        intra_mean={f"mean intra distance, {m.name}": m.intra_mean for m in measured},
        inter_mean={f"mean inter distance, {m.name}": m.inter_mean for m in measured},
        same_image_mean={f"mean same-image distance, {m.name}": m.same_mean for m in measured if m.same_mean},
        same_image_excess={
            f"same-image less intra distance, {m.name}": m.same_excess for m in measured if m.same_excess
        },
        dropped=dropped,
        edges=1.0 + edges(params.bins),
        # Bins of similarity, turned round, are bins of distance.
        intra=np.stack([m.intra[::-1] for m in measured]),
        inter=np.stack([m.inter[::-1] for m in measured]),
        same_image=np.stack([m.same[::-1] for m in measured]),
        d_prime_replicates=np.stack([m.drawn_d_prime for m in measured], axis=1),
        population=tuple(m.population for m in measured),
    )


@dataclass(frozen=True)
class _Condition:
    """What is measured under one probe, or across two."""

    name: str
    population: str
    d_prime: Estimate
    overlap: Estimate
    intra_mean: Estimate
    inter_mean: Estimate
    same_mean: Estimate | None
    same_excess: Estimate | None
    drawn_d_prime: np.ndarray
    drawn_intra: np.ndarray
    intra: np.ndarray
    inter: np.ndarray
    same: np.ndarray


def _checked(embeddings: EmbeddingSet, pairs: Pairs) -> Pairs:
    if len(pairs.images) < 2:
        raise UserError(
            f"{embeddings.title} shows one person only ({embeddings.identities[0]!r}), so there is no "
            "distance between people: add images of others"
        )
    if not len(pairs.genuine_scores):
        raise UserError(
            f"{embeddings.title} has no person with two images, so there is no distance within people: add "
            "more images of the same people"
        )
    if np.ptp(pairs.genuine_scores) == 0 and np.count_nonzero(pairs.impostor) == 1:
        raise UserError(
            f"{embeddings.title} has all pairs of images at one distance, so d′ has no unit: check the "
            "vectors"
        )
    return pairs


def _measure(
    name: str,
    embeddings: EmbeddingSet,
    pairs: Pairs,
    params: DistanceParams,
    within: _Condition | None = None,
) -> _Condition:
    """Turn one condition's pairs into estimates and histograms.

    ``within`` is the condition that distances of one image across probes are held against.
    """
    people = len(pairs.images)
    paired = len(np.unique(pairs.genuine_people))
    counts = resamples(people, params.resamples, params.seed)
    drawn_from = population(embeddings.identities, params.resamples, params.seed)
    genuine = pairs.genuine_scores.astype(np.float64)
    intra = _Moments.of_scores(genuine, pairs.genuine_people, counts)
    whole = pairs.impostor_by_person.sum(axis=0) / 2
    inter = _Moments.of_histograms(
        pairs.impostor, whole, impostor_histograms(pairs.impostor_by_person, counts)
    )
    drawn_d_prime = _d_prime(
        intra.drawn_mean - inter.drawn_mean, (intra.drawn_variance + inter.drawn_variance) / 2
    )
    d_prime = _d_prime(
        np.array([intra.mean - inter.mean]), np.array([(intra.variance + inter.variance) / 2])
    )[0]
    overlap, drawn_overlap = _overlap(pairs, counts)
    # Under the null, where labels mean nothing, every pair is as far apart as two people are.
    far = 1.0 - inter.mean
    drawn_intra = 1.0 - intra.drawn_mean
    same = pairs.same_item_scores.astype(np.float64)
    same_mean = same_excess = None
    if within is not None:
        drawn = 1.0 - weighted_mean(same, pairs.same_item_people, counts)
        same_mean = Estimate(1.0 - float(same.mean()), *interval(drawn), people, far)
        ends = interval(drawn - within.drawn_intra) if within.population == drawn_from else (None, None)
        same_excess = Estimate(same_mean.value - within.intra_mean.value, *ends, paired, 0.0)
    return _Condition(
        name=name,
        population=drawn_from,
        d_prime=Estimate(float(d_prime), *interval(drawn_d_prime), paired, 0.0),
        overlap=Estimate(overlap, *interval(drawn_overlap), paired, 1.0),
        intra_mean=Estimate(1.0 - intra.mean, *interval(drawn_intra), paired, far),
        inter_mean=Estimate(far, *interval(1.0 - inter.drawn_mean), people),
        same_mean=same_mean,
        same_excess=same_excess,
        drawn_d_prime=drawn_d_prime,
        drawn_intra=drawn_intra,
        intra=histogram(genuine, params.bins),
        inter=pairs.impostor.reshape(params.bins, -1).sum(axis=1),
        same=histogram(same, params.bins),
    )


def _d_prime(gap: np.ndarray, variance: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.divide(
        gap, np.sqrt(np.maximum(variance, 0)), out=np.full(len(gap), np.nan), where=variance > 1e-12
    )
    return found


@dataclass(frozen=True)
class _Moments:
    """Mean and variance of similarities, and their bootstrap replicates."""

    mean: float
    variance: float
    drawn_mean: np.ndarray
    drawn_variance: np.ndarray

    @classmethod
    def of_scores(cls, scores: np.ndarray, owners: np.ndarray, counts: np.ndarray) -> "_Moments":
        mean = weighted_mean(scores, owners, counts)
        return cls(
            float(scores.mean()),
            float(scores.var()),
            mean,
            weighted_mean(scores**2, owners, counts) - mean**2,
        )

    @classmethod
    def of_histograms(cls, fine: np.ndarray, whole: np.ndarray, drawn: np.ndarray) -> "_Moments":
        """Take values from a fine histogram, and how they vary from coarse ones."""
        mean, variance = _moments(fine[None])
        coarse_mean, coarse_variance = _moments(whole[None])
        drawn_mean, drawn_variance = _moments(drawn)
        return cls(
            float(mean[0]),
            float(variance[0]),
            drawn_mean - coarse_mean + mean,
            drawn_variance - coarse_variance + variance,
        )


def _moments(histograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centres = (edges(histograms.shape[1])[1:] + edges(histograms.shape[1])[:-1]) / 2
    share = shares(histograms)
    mean = share @ centres
    return mean, share @ centres**2 - mean**2


def _overlap(pairs: Pairs, counts: np.ndarray) -> tuple[float, np.ndarray]:
    genuine, impostor = (
        h.reshape(len(h), OVERLAP_BINS, -1).sum(axis=2).astype(np.float32)
        for h in (pairs.genuine_by_person, pairs.impostor_by_person)
    )
    whole = _common(genuine.sum(axis=0)[None], impostor.sum(axis=0)[None] / 2)
    return float(whole[0]), _common(counts @ genuine, impostor_histograms(impostor, counts))


def _common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Give the area that two histograms, each of area one, both cover; a row each."""
    common: np.ndarray = np.minimum(shares(a), shares(b)).sum(axis=1)
    return common


def charts(results: Sequence[Distances]) -> list[Chart]:
    """One histogram a model and condition: intra, inter and, across probes, same image."""
    drawn: list[Chart] = []
    for result in results:
        for k, condition in enumerate(result.conditions):
            series = {
                "intra: two images of one person": result.intra[k],
                "inter: two people": result.inter[k],
            }
            if result.same_image[k].any():
                series["one image, both probes"] = result.same_image[k]
            note = (
                f"{result.intra[k].sum():,} intra and {result.inter[k].sum():,} inter pairs; each curve has "
                "area one."
            )
            drawn.append(
                Histogram(
                    title=f"{condition} in {result.title}",
                    xlabel="cosine distance",
                    edges=result.edges,
                    series=series,
                    note=note,
                )
            )
    return drawn


def findings(results: Sequence[Distances]) -> list[Finding]:
    """Say how well people are told apart in each condition, and what the change of probe costs."""
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
        said += [
            _blur(r, condition)
            for condition in r.conditions
            if f"overlap, {condition}" in r.overlap and _mixed(r, condition)
        ]
        said += [
            _moved(r, c)
            for c in r.conditions
            if f"same-image less intra distance, {c}" in r.same_image_excess
        ]
    return said


def _d(r: Distances, condition: str) -> Estimate:
    return r.d_prime[f"d′, {condition}"]


def _mixed(r: Distances, condition: str) -> bool:
    return r.overlap[f"overlap, {condition}"].value > POOR_OVERLAP


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
