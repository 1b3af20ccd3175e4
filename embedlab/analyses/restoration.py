"""Restoration: whether a linear map undoes what a degraded image does to its vector.

Within a model, maps are fitted from a degraded probe to the native one on matched images of some people, and
judged on others; never from native to degraded, which is another question with another answer. Maps of rising
freedom stand apart: a shift that all vectors share, shift and scale (shrinkage), a rotation (orthogonal
Procrustes) with shift at its scale, and ridge, any linear map with its size penalised, whose λ is chosen by
cross-validation among the people fitted on. Vectors are brought to length one before.

How to read it
--------------
R² is the share of the squared distance of native vectors from their mean (of those fitted on) that mapped
ones explain; below 0 where the mean does better. Where a rotation explains no more than shift and scale,
nothing is turned: blur then shrinks and moves, and rotation and scale in one map would hide that. In-sample
figures are called so.

Rank-1 is the share of mapped probes whose person comes first among native images, one for each held-out
person, never the same image where a person has several. Beside it stand unmapped vectors (sharp and blurred
images in one gallery as they are), both probes searched by themselves, and the null: the same fit on pairs
of different people.

95 % intervals are those of a bootstrap over the held-out people [1]_, paired between all maps, and between
models on the same images, with two further parts: who else is in the gallery, and whom the map was fitted
on, by leaving out one fold of these people after another. In planted sets they held the expected value in 91
to 99 % of sets; shares near 1 have longer ones than they should.

Limits
------
What a degraded image has lost no map brings back. A map that fails leaves maps that are not linear open.
Intervals do not cover networks trained anew, or another dataset. The null is one shuffle.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [2] Schönemann, P. H. A generalized solution of the orthogonal Procrustes problem. Psychometrika 31(1),
   1966.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Cell, Chart, Table
from embedlab.estimates import Estimate, Estimates, People, compared, judged, shares
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.linear.crossmodel import R2, RANK_1
from embedlab.maths.linear.map_inputs import MapInputs
from embedlab.maths.linear.map_trials import (
    MAPS,
    RIDGE,
    ROTATION,
    SCALED_SHIFT,
    SOURCE,
    TARGET,
    UNMAPPED,
    Choices,
    try_maps,
)

# Pairs of probes drawn as bars and in the table of every map; models and probes of which sentences are said.
BARS, TABLED, TOLD = 6, 4, 2
BARRED = (UNMAPPED, SCALED_SHIFT, ROTATION, RIDGE, SOURCE, TARGET)
NULL = "ridge on pairs of different people"


@dataclass(frozen=True)
class RestorationParams(Params):
    """Knobs of the analysis of restoration."""

    pairs: Literal["same image", "same person"] = "same image"
    """What is matched in a fit: an image with itself, or with another image of the person."""
    held: float = bounded(0.5, above=0, below=1)
    """The share of people held out to judge on."""
    folds: int = bounded(10, least=2)
    """Folds of people, among those fitted on, that choose λ and the rank and stand behind intervals."""
    people: int = bounded(10_000, least=4)
    """How many people are drawn at most."""
    images: int = bounded(20, least=1)
    """How many images a person brings at most, so that people with many do not rule."""
    probes: int = bounded(10, least=1)
    """How many probes a held-out person brings at most."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of all draws: people, halves, folds, galleries and resamples."""


@dataclass(frozen=True)
class Restoration(Result):
    """Maps from a degraded to the native probe of a model, judged on held-out people; estimates by map."""

    model: str = field(metadata={"hidden": True})
    native: str = field(metadata={"hidden": True})
    degraded: str = field(metadata={"hidden": True})
    people: int = field(metadata={"label": "people drawn"})
    all_people: int = field(metadata={"label": "people in both sets"})
    fitted_people: int = field(metadata={"label": "people fitted on"})
    fitted_pairs: int = field(metadata={"label": "pairs fitted on"})
    pairs: str = field(metadata={"label": "pairs are of the"})
    gallery: int = field(metadata={"label": "held-out people, all in the gallery"})
    searched: int = field(metadata={"label": "of these bring probes"})
    probes: int
    same_image: bool = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    estimates: Estimates
    each: Float[np.ndarray, "maps 3"]
    penalty: float = field(metadata={"label": "λ of ridge, in mean eigenvalues"})
    rank: int = field(metadata={"label": "rank of low-rank ridge"})


def compute(a: EmbeddingSet, b: EmbeddingSet, params: RestorationParams) -> Restoration:
    """Fit all maps from the degraded probe ``b`` to the native ``a`` on some people; judge on the others.

    Raises
    ------
    UserError
        If the sets share no item or too few people, or all vectors of a set are one.
    """
    inputs = MapInputs.of(a, b, params).turned()
    choices = Choices(params.folds, params.probes, 0.0, params.seed)
    who = choices.trial(inputs)
    people = People.of(range(len(who.gallery)), params, items=(*inputs.names, str(params.probes)))
    done = try_maps(inputs, people.counts, choices, curve=False)
    found, chance = Estimates(), 1 / len(who.gallery)
    for entry, figures in {**done.judged, NULL: done.shuffled}.items():
        for what, drawn in figures.items():
            null = done.shuffled[what].value if entry == RIDGE else chance if what == RANK_1 else None
            n, share = (len(who.gallery), False) if what == R2 else (who.searched, True)
            found[what, entry] = people.estimate(drawn, n, null, share=share)
    return Restoration(
        title=f"{b.probe} → {a.title}",
        model=a.model,
        native=a.probe,
        degraded=b.probe,
        people=len(inputs.held),
        all_people=inputs.all_people,
        fitted_people=len(np.unique(inputs.people)),
        fitted_pairs=len(inputs.rows),
        pairs=params.pairs,
        gallery=len(who.gallery),
        searched=who.searched,
        probes=len(who.probes),
        same_image=who.same_image,
        seed=params.seed,
        estimates=found,
        each=done.each,
        penalty=done.penalty,
        rank=done.rank,
    )


def _gain(r: Restoration) -> Estimate:
    return r.estimates[RANK_1, RIDGE] - r.estimates[RANK_1, UNMAPPED]


def charts(results: Sequence[Restoration]) -> list[Chart]:
    """Rank-1 and R² by map, and the figures of every map."""
    return [_bars(results, RANK_1), _bars(results, R2), _summary(results), _every_map(results)]


def _others(shown: int, there: int) -> str:
    return f" These are {shown} of {there}." if there > shown else ""


def _bars(results: Sequence[Restoration], what: str) -> Bars:
    shown = results[:BARS]
    entries = [entry for entry in BARRED if any((what, entry) in r.estimates for r in shown)]
    rows = [[r.estimates.row(what, [(entry,)]) for r in shown] for entry in entries]
    first, null = shown[0], [r.estimates[what, RIDGE].null for r in shown]
    who = (
        f"{first.gallery:,} held-out people in the gallery, {first.probes:,} probes of {first.searched:,} of "
        f"them; maps fitted on {first.fitted_pairs:,} pairs of the {first.pairs}, of "
        f"{first.fitted_people:,} others."
    )
    if first.people < first.all_people:
        who += f" {first.people:,} of {first.all_people:,} people, seed {first.seed}."
    if first.same_image:
        who += " Probe and gallery are the same image, since nobody has two."
    return Bars(
        title=f"{what} from degraded to native",
        ylabel=f"{what} of held-out people",
        categories=tuple(f"{r.degraded}, {r.model}" for r in shown),
        series=tuple(
            BarSeries(entry, *np.concatenate(row, axis=1)) for entry, row in zip(entries, rows, strict=True)
        ),
        nulls=np.array(null, np.float64),
        note=f"{who} Null: {NULL}.{_others(len(shown), len(results))}",
    )


def _summary(results: Sequence[Restoration]) -> Table:
    def row(r: Restoration) -> tuple[object, ...]:
        ranks = [r.estimates[RANK_1, entry] for entry in (UNMAPPED, RIDGE, SOURCE, TARGET)]
        explained = [r.estimates[R2, entry] for entry in (SCALED_SHIFT, ROTATION, RIDGE)]
        turned = explained[1] - explained[0]
        return (f"{r.degraded} → {r.native}, {r.model}", *ranks, _gain(r), *explained, turned)

    return Table(
        title="From degraded to native",
        columns=(
            *("direction", "rank-1, unmapped", "rank-1, ridge", "rank-1, degraded by itself"),
            *("rank-1, native by itself", "ridge less unmapped", "R², shift and scale"),
            *("R², rotation and shift", "R², ridge", "rotation less shift and scale"),
        ),
        rows=tuple(map(row, results)),
        folded=len(results) > TABLED,
    )


def _every_map(results: Sequence[Restoration]) -> Table:
    shown = results[:TABLED]
    return Table(
        title="Every map",
        columns=("direction", "map", "R²", "rank-1", "in-sample R²"),
        rows=tuple(
            (f"{r.degraded} → {r.native}, {r.model}", name, *(Cell(one, f"{one:.3f}") for one in values))
            for r in shown
            for name, values in zip(MAPS, r.each.tolist(), strict=True)
        ),
        folded=True,
        note="Of held-out people; in-sample R² is that of the pairs fitted on."
        + _others(len(shown), len(results)),
    )


def findings(results: Sequence[Restoration]) -> list[Finding]:
    """Say for each degraded probe what a map gains, where most and least; displacement says if it turns."""
    said = []
    for probe in list(dict.fromkeys(r.degraded for r in results))[:TOLD]:
        ranked = sorted((r for r in results if r.degraded == probe), key=lambda r: -_gain(r).value)
        ends = ranked[:1] if len(ranked) == 1 else [ranked[0], ranked[-1]]
        said += [_restored(r) for r in ends] + [_apart(*pair) for pair in pairwise(ends)]
    return said


def _restored(r: Restoration) -> Finding:
    """Claim a gain only where the map also beats one fitted on pairs of different people."""
    mapped, floor, top = (r.estimates[RANK_1, entry] for entry in (RIDGE, UNMAPPED, TARGET))
    was, now, whole = shares(floor, mapped, top)
    return judged(
        f"In {r.model}, a linear map takes rank-1 of {r.degraded} among {r.gallery:,} people from {was} to "
        f"{now} (sharp: {whole})",
        _gain(r),
        word="change",
        beats=(mapped - r.estimates[RANK_1, NULL]).sign == 1,
    )


def _apart(more: Restoration, less: Restoration) -> Finding:
    """Compare what a map gains in the model where it gains most and in that where it gains least."""
    gains = [_gain(r) for r in (more, less)]
    return compared(
        f"A linear map of {more.degraded} changes rank-1 by {100 * gains[0].value:+.1f} points in "
        f"{more.model} and {100 * gains[1].value:+.1f} in {less.model}",
        *gains,
        tones=("plain", "plain"),
    )


ANALYSIS = Analysis(
    question="Can a linear map undo what a degraded image does to its vector?",
    over="degraded pair",
    params=RestorationParams(),
    result=Restoration,
    compute=compute,
    charts=charts,
    findings=findings,
)
