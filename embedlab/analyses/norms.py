"""Norms: what the length of a vector says, of resolution and of whether the image is recognised.

Networks trained by a softmax leave short vectors to images that they cannot read, and some losses ask for it
[1]_. Each degraded probe's mean norm is held against the first probe's, on the same images. An image is
*recognised* if the nearest of all other images of its probe shows the same person; people with one image are
looked at but not asked for. The AUC of the norm is the chance that a recognised image has a longer vector
than one that is not; its null is one half.

Intervals are 95 % percentile intervals of a bootstrap over people, paired across models and probes of the
same images.

How to read it
--------------
An AUC above one half says that the norm can serve as a measure of quality; its n counts the people behind the
rarer outcome.

Limits
------
The interval of recognition keeps the neighbours found once. Norm and recognition may share a cause, such as
pose. Vectors that come at one length say nothing here.

References
----------
.. [1] Meng, Q. et al. MagFace: a universal representation for face recognition and quality assessment.
   CVPR 2021.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Chart, Curve, Curves
from embedlab.estimates import Estimate, Estimates, People, judged
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.pairs.moments import Drawn, mean
from embedlab.maths.people.bootstrap import weighted_mean
from embedlab.maths.space.recognition import leave_one_out, resampled_auc
from embedlab.progress import track

NORM, CHANGE = "mean norm", "share by which the mean norm changes"
RECOGNISED, FORETOLD = "images recognised", "AUC of norm for recognised"
TENTHS = 10
# With fewer people behind one of two outcomes an AUC is not spoken of.
STABLE = 10
# Lengths that differ by less than this share of their mean are one length, stored with rounding.
ONE_LENGTH = 1e-3
# Models of which sentences are said.
TOLD = 4


@dataclass(frozen=True)
class NormsParams(Params):
    """Knobs of the analysis of norms."""

    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Norms(Result):
    """The lengths of one model's vectors, probe by probe."""

    probes: tuple[str, ...]
    estimates: Estimates
    one_length: tuple[bool, ...] = field(metadata={"hidden": True})
    by_norm: Float[np.ndarray, "probes 3 tenths"]


def compute(sets: Sequence[EmbeddingSet], params: NormsParams) -> Norms:
    """Hold each probe's norms against the first's, and against who is recognised."""
    found = Estimates()
    for one in sets:
        people = People.of(one.identities, params)
        drawn = mean(one.norms, one.labels, people.counts)
        found[NORM, one.probe] = people.estimate(drawn, len(one.identities))
    for other in sets[1:]:
        if np.isin(other.items, sets[0].items).any() and not (_one_length(sets[0]) and _one_length(other)):
            found[CHANGE, sets[0].probe, other.probe] = _change(sets[0], other, params)
    by_norm = [_recognition(one, params, found) for one in track(sets, "recognition of probes")]
    return Norms(
        title=sets[0].model,
        probes=tuple(s.probe for s in sets),
        estimates=found,
        one_length=tuple(map(_one_length, sets)),
        by_norm=np.stack(by_norm),
    )


def _one_length(embeddings: EmbeddingSet) -> bool:
    return bool(np.ptp(embeddings.norms) < ONE_LENGTH * embeddings.norms.mean())


def _change(first: EmbeddingSet, second: EmbeddingSet, params: NormsParams) -> Estimate:
    both = aligned(first, second)
    people, n = People.of(both.a.identities, params), len(both.a.identities)
    before, after = (mean(s.norms, s.labels, people.counts) for s in (both.a, both.b))
    change = Drawn(after.value / before.value - 1, after.replicates / before.replicates - 1)
    return people.estimate(change, n, 0.0)


def _recognition(
    embeddings: EmbeddingSet, params: NormsParams, found: Estimates
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
        found[FORETOLD, embeddings.probe] = people.estimate(Drawn.of(auc), rarer, 0.5)
    if len(rows) >= TENTHS**2:
        for k, tenth in enumerate(np.array_split(np.argsort(norms, kind="stable"), TENTHS)):
            share = _share(hits[tenth], owners[tenth], people, chance)
            curve[:, k] = [np.nan if end is None else end for end in (share.value, share.low, share.high)]
    return curve


def _share(hits: np.ndarray, owners: np.ndarray, people: People, null: float) -> Estimate:
    drawn = Drawn(float(hits.mean()), weighted_mean(hits.astype(np.float64), owners, people.counts))
    return people.estimate(drawn, len(np.unique(owners)), null, share=True)


def charts(results: Sequence[Norms]) -> list[Chart]:
    """Images recognised by the length of their vector, and the change of the mean length by probe."""
    drawn: list[Chart] = [_by_norm(results)] if any(np.isfinite(r.by_norm).any() for r in results) else []
    return [*drawn, _norm_bars(results)]


def _by_norm(results: Sequence[Norms]) -> Curves:
    return Curves(
        title="Images recognised, by the length of their vector",
        xlabel="per cent of images with a shorter vector",
        ylabel="share whose nearest other image is the same person",
        curves=tuple(
            Curve(
                f"{probe} in {r.title}",
                (np.arange(TENTHS) + 0.5) * 100 / TENTHS,
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


def _norm_bars(results: Sequence[Norms]) -> Bars:
    places = tuple(dict.fromkeys((probe,) for r in results for probe in r.probes))
    return Bars(
        title="Length of the vectors, by probe",
        ylabel="mean norm",
        categories=tuple(probe for (probe,) in places),
        series=tuple(BarSeries(r.title, *r.estimates.row(NORM, places), model=r.title) for r in results),
    )


def findings(results: Sequence[Norms]) -> list[Finding]:
    """Say whether the norm foretells recognition, and how it changes from probe to probe."""
    told = [r for r in results if not all(r.one_length)]
    silent = [r.title for r in results if all(r.one_length)]
    said = [*map(_quality, told[:TOLD]), *(one for r in told[:TOLD] for one in _lengths(r))]
    if silent:
        more = f" and {len(silent) - TOLD} more models" if len(silent) > TOLD else ""
        said.append(
            Finding(
                f"The vectors of {', '.join(silent[:TOLD])}{more} come at one length, so their norm says "
                "nothing."
            )
        )
    return said


def _lengths(r: Norms) -> list[Finding]:
    """Tell the change that is largest of all probes."""
    places = r.estimates.places(CHANGE)
    most = sorted(places, key=lambda place: -abs(r.estimates[CHANGE, *place].value))[:1]
    return [
        judged(
            f"In {r.title}, vectors on {probe} have another mean length than on {first}",
            r.estimates[CHANGE, first, probe],
            spec="+.1%",
            word="change",
            tones=("plain", "plain"),
        )
        for first, probe in most
    ]


def _quality(r: Norms) -> Finding:
    """Tell the first probe of which something can be told."""
    found = [(p, e) for p in r.probes if (e := r.estimates.at(FORETOLD, (p,)))]
    stable = [(p, e) for p, e in found if e.n >= STABLE]
    if stable:
        probe, auc = stable[0]
        return judged(
            f"On {probe} in {r.title}, recognised images have longer vectors than others in {auc.value:.0%} "
            "of pairs, where 50% is chance",
            auc.over_null or auc,
            tones=("plain", "plain"),
        )
    if found:
        few = ", ".join(f"{e.n} on {p}" for p, e in found)
        why = f"too few people have a recognised image, or an unrecognised one ({few})"
    elif r.estimates.places(RECOGNISED):
        why = "either every image of a probe is recognised or none is"
    else:
        why = "nobody has two images of one probe"
    return Finding(f"What the norm foretells in {r.title} cannot be said: {why}.")


ANALYSIS = Analysis(
    question="What does a vector's length say?",
    over="model",
    params=NormsParams(),
    result=Norms,
    compute=compute,
    charts=charts,
    findings=findings,
)
