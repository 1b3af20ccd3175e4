"""Mapping: whether one model's gallery can be kept for another, by a linear map between their spaces.

A map is fitted on matched vectors of some people and judged on others, both ways. Pairs are the same image in
both models, or two images of one person [1]_. Ridge is any linear map with its size penalised, as much as
cross-validation among the people fitted on advises. A rotation (orthogonal Procrustes) may turn, mirror and
move, and keeps all distances. Vectors are brought to length one before, as faces are compared by cosine.

How to read it
--------------
Probes of the source model are mapped and searched among the target model's own vectors, one image for each
held-out person, never the same image as the probe where a person has several. Rank-1 is the share found
first; TAR@FAR the share of genuine pairs of the same comparisons that are accepted where FAR of the impostor
pairs are. Beside them stand both models searched by themselves, and the null: the same fit on pairs of
different people. R² is the share of the squared distance from the mean (of those fitted on) that the map
explains; below 0 where the mean does better.

95 % intervals are those of a bootstrap over the held-out people [2]_, paired between all maps, with two
further parts: who else is in the gallery, and whom the map was fitted on, by leaving out one fold of these
people after another. In planted sets they held the expected value in 91 to 99 %, a rank-1 of 0.995 in 97 to
100 % at some 1.7 times the right width. An operating point exists only if FAR × impostor pairs ≥ 1; it is
unstable with fewer than 10 let in.

Limits
------
A map that fails leaves maps that are not linear open. Searching a mapped gallery with probes of the new model
is the same with the roles changed, and was not measured apart. Intervals do not cover networks trained anew,
or another dataset. The curve over pairs rests on one draw of them; the null is one shuffle.

References
----------
.. [1] McNeely-White, D., Sattelberg, B., Blanchard, N. and Beveridge, R. Canonical face embeddings. IEEE
   Transactions on Biometrics, Behavior, and Identity Science 4(2), 2022. arXiv 2010.02323.
.. [2] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Cell, Chart, Curve, Curves, Heatmap, Table
from embedlab.estimates import Estimate, Estimates, People, compared, judged
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.linear.crossmodel import R2, RANK_1, TAR, Trial
from embedlab.maths.linear.map_inputs import MapInputs
from embedlab.maths.linear.map_trials import (
    RIDGE,
    ROTATION,
    SOURCE,
    TARGET,
    UNMAPPED,
    Choices,
    MapTrial,
    try_maps,
)

# False accepts of a stable TAR; directions drawn as bars and as curves, and probes with a matrix.
STABLE, BARS, LINES, MATRICES = 10, 6, 4, 3
BARRED = (UNMAPPED, ROTATION, RIDGE, SOURCE, TARGET)
NULL = "ridge on pairs of different people"


@dataclass(frozen=True)
class MappingParams(Params):
    """Knobs of the mapping analysis."""

    pairs: Literal["same image", "same person"] = "same image"
    """What is matched in a fit: an image with itself, or with another image of the person."""
    held: float = bounded(0.5, above=0, below=1)
    """The share of people held out to judge on."""
    folds: int = bounded(10, least=2)
    """Folds of people, among those fitted on, that choose the penalty and stand behind intervals."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate of TAR."""
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
class Mapping(Result):
    """Maps in both directions between two models, judged on held-out people.

    Estimates are by figure, map, source and target; ``fewer`` by number of pairs instead of the map.
    """

    probe: str = field(metadata={"hidden": True})
    sources: tuple[str, str] = field(metadata={"hidden": True})
    people: int = field(metadata={"label": "people drawn"})
    all_people: int = field(metadata={"label": "people in both sets"})
    fitted_people: int = field(metadata={"label": "people fitted on"})
    fitted_pairs: int = field(metadata={"label": "pairs fitted on"})
    pairs: str = field(metadata={"label": "pairs are of the"})
    gallery: int = field(metadata={"label": "held-out people, all in the gallery"})
    searched: int = field(metadata={"label": "of these bring probes"})
    probes: int
    same_image: bool = field(metadata={"hidden": True})
    impostors: int = field(metadata={"label": "impostor pairs"})
    tar: str = field(metadata={"hidden": True})
    estimates: Estimates
    fewer: Estimates = field(metadata={"hidden": True})
    sizes: Int[np.ndarray, " sizes"]


def compute(a: EmbeddingSet, b: EmbeddingSet, params: MappingParams) -> Mapping:
    """Fit all maps on some people and judge them on the others, both ways.

    Raises
    ------
    UserError
        If the sets share no item or too few people, or all vectors of a set are one.
    """
    there = MapInputs.of(a, b, params)
    choices = Choices(params.folds, params.probes, params.far, params.seed)
    who = choices.trial(there)
    drawn = People.of(range(len(who.gallery)), params, items=(*there.names, str(params.probes)))
    tar = f"TAR@FAR={params.far:g}" + (", unstable" if params.far * who.impostors < STABLE else "")
    found, fewer = Estimates(), Estimates()
    for inputs, ends in ((there, (a.model, b.model)), (there.turned(), (b.model, a.model))):
        done = try_maps(inputs, drawn.counts, choices, curve=True)
        found |= _figures(done, who, drawn, ends, tar)
        for size, few in done.fewer.items():
            fewer[RANK_1, str(size), *ends] = drawn.estimate(few[RANK_1], who.searched, share=True)
    return Mapping(
        title=f"{a.model} and {b.model} on {a.probe}",
        probe=a.probe,
        sources=(a.model, b.model),
        people=len(there.held),
        all_people=there.all_people,
        fitted_people=len(np.unique(there.people)),
        fitted_pairs=len(there.rows),
        pairs=params.pairs,
        gallery=len(who.gallery),
        searched=who.searched,
        probes=len(who.probes),
        same_image=who.same_image,
        impostors=who.impostors,
        tar=tar,
        estimates=found,
        fewer=fewer,
        sizes=done.sizes,
    )


def _figures(done: MapTrial, who: Trial, people: People, ends: tuple[str, str], tar: str) -> Estimates:
    """Give the figures of a direction, those of shuffled pairs among them."""
    found, chance = Estimates(), 1 / len(who.gallery)
    judged = {entry: done.judged[entry] for entry in BARRED if entry in done.judged}
    for entry, figures in {**judged, NULL: done.shuffled}.items():
        for what, drawn in figures.items():
            null = done.shuffled[what].value if entry == RIDGE else chance if what == RANK_1 else None
            n, share = (len(who.gallery), False) if what == R2 else (who.searched, True)
            one = people.estimate(drawn, n, null, share=share)
            found[tar if what == TAR else what, entry, *ends] = one
    return found


Way = tuple[Mapping, int]


def _ways(results: Sequence[Mapping]) -> list[Way]:
    """List every direction, the one that loses least first, of each probe."""
    ways, probes = [(r, d) for r in results for d in (0, 1)], [r.probe for r in results]
    return sorted(ways, key=lambda way: (probes.index(way[0].probe), -_loss(way).value))


def _ends(way: Way) -> tuple[str, str]:
    a, b = way[0].sources
    return (b, a) if way[1] else (a, b)


def _of(way: Way, what: str, entry: str) -> Estimate:
    return way[0].estimates[what, entry, *_ends(way)]


def _loss(way: Way) -> Estimate:
    return _of(way, RANK_1, RIDGE) - _of(way, RANK_1, TARGET)


def _label(way: Way) -> str:
    return f"{' → '.join(_ends(way))}, {way[0].probe}"


def charts(results: Sequence[Mapping]) -> list[Chart]:
    """Rank-1 of all, the matrix over three models and more, few pairs, and all figures."""
    ways = _ways(results)
    groups = [[r for r in results if r.probe == probe] for probe in dict.fromkeys(r.probe for r in results)]
    matrices = [_matrix(group) for group in groups[:MATRICES] if len(group) > 1]
    return [_overview(ways), *matrices, _few_chart(ways), _summary(ways)]


def _others(shown: int, there: int) -> str:
    return f" These are {shown} of {there} directions." if there > shown else ""


def _who(r: Mapping) -> str:
    cut = f" {r.people:,} of {r.all_people:,} people." if r.people < r.all_people else ""
    one = " Probe and gallery are the same image, since nobody has two." if r.same_image else ""
    return (
        f"{r.gallery:,} held-out people in the gallery, {r.probes:,} probes of {r.searched:,} of them; maps "
        f"fitted on {r.fitted_pairs:,} pairs of the {r.pairs}, of {r.fitted_people:,} others.{cut}{one}"
    )


def _overview(ways: Sequence[Way]) -> Bars:
    shown = ways[:BARS]
    rows = [[r.estimates.row(RANK_1, [(e, *_ends((r, d)))]) for r, d in shown] for e in BARRED]
    return Bars(
        title="Rank-1 between models",
        ylabel="rank-1 of held-out people",
        categories=tuple(map(_label, shown)),
        series=tuple(
            BarSeries(entry, *np.concatenate(row, axis=1)) for entry, row in zip(BARRED, rows, strict=True)
        ),
        nulls=np.array([_of(way, RANK_1, RIDGE).null for way in shown], np.float64),
        note=f"{_who(shown[0][0])} Null: {NULL}.{_others(len(shown), len(ways))}",
    )


def _matrix(group: Sequence[Mapping]) -> Heatmap:
    models = tuple(dict.fromkeys(name for r in group for name in r.sources))
    values = np.full((len(models), len(models)), np.nan)
    for way in _ways(group):
        row, column = map(models.index, _ends(way))
        values[row, column] = _of(way, RANK_1, RIDGE).value
        values[row, row] = _of(way, RANK_1, SOURCE).value
    return Heatmap(
        title=f"Rank-1 of vectors mapped by ridge, on {group[0].probe}",
        xlabels=models,
        ylabels=models,
        values=values,
        text=np.array([[f"{one:.1%}" if np.isfinite(one) else "" for one in row] for row in values]),
        xlabel="model of the gallery",
        ylabel="model of the probes",
        colour_label="rank-1",
        span=(0.0, 1.0),
        note="On people not fitted on; on the diagonal each model by itself.",
    )


def _few_chart(ways: Sequence[Way]) -> Curves:
    shown = ways[:LINES]
    return Curves(
        title="How many pairs a map needs",
        xlabel="pairs fitted on",
        ylabel="rank-1 of held-out people, by ridge",
        curves=tuple(
            Curve(
                _label((r, d)),
                r.sizes.astype(np.float64),
                *r.fewer.row(RANK_1, [(str(size), *_ends((r, d))) for size in r.sizes]),
                model=_ends((r, d))[0],
                markers=True,
            )
            for r, d in shown
        ),
        xscale="log",
        note=f"One draw of each number, the smaller within the larger.{_others(len(shown), len(ways))}",
    )


def _summary(ways: Sequence[Way]) -> Table:
    def row(way: Way) -> tuple[object, ...]:
        tars = [way[0].estimates.at(way[0].tar, (entry, *_ends(way))) for entry in (RIDGE, TARGET)]
        lost = tars[0] - tars[1] if tars[0] and tars[1] else Cell(None, "–")
        found = [_of(way, RANK_1, entry) for entry in (RIDGE, SOURCE, TARGET)]
        return (_label(way), *found, _loss(way), lost, _of(way, R2, RIDGE))

    fars = "/".join(dict.fromkeys(r.tar for r, _ in ways))
    return Table(
        title="All directions, mapped by ridge",
        columns=(
            *("direction", "rank-1, mapped", f"rank-1, {SOURCE}", f"rank-1, {TARGET}"),
            *("change of rank-1 against the target", f"change of {fars}", "R²"),
        ),
        rows=tuple(map(row, ways)),
    )


def findings(results: Sequence[Mapping]) -> list[Finding]:
    """Say of the first probe's best and worst directions what converting loses, and what it needs."""
    ways = [way for way in _ways(results) if way[0].probe == results[0].probe]
    ends = ways if len(ways) <= 2 else [ways[0], ways[-1]]
    return [*map(_converted, ends), *map(_turned, ends), *(one for way in ends[:1] for one in _enough(way))]


def _converted(way: Way) -> Finding:
    source, target = _ends(way)
    mapped, top = _of(way, RANK_1, RIDGE), _of(way, RANK_1, TARGET)
    beyond = mapped - _of(way, RANK_1, NULL)
    text = (
        f"Mapped from {source} to {target} on {way[0].probe}, {mapped.value:.1%} of probes find their person "
        f"first among {way[0].gallery:,}"
    )
    if beyond.sign != 1:
        null = f"{text}, {mapped.null or 0.0:.1%} by one of wrong pairs"
        return judged(null, beyond, tones=("plain", "plain"))
    return compared(f"{text}, {top.value:.1%} in {target} itself", mapped, top, tones=("plain", "plain"))


def _turned(way: Way) -> Finding:
    """Say whether a rotation does as well as a map that may stretch."""
    source, target = _ends(way)
    ridge, rotation = _of(way, RANK_1, RIDGE), _of(way, RANK_1, ROTATION)
    return compared(
        f"From {source} to {target} on {way[0].probe}, a rotation finds {rotation.value:.1%} of probes, "
        f"a map that may also stretch (ridge) {ridge.value:.1%}",
        ridge,
        rotation,
        tones=("plain", "plain"),
    )


def _enough(way: Way) -> list[Finding]:
    """Say whether the last number of pairs but all does as well as all."""
    r, ends = way[0], _ends(way)
    few = [(size, one) for size in r.sizes[:-1] if (one := r.fewer.at(RANK_1, (str(size), *ends)))]
    every = r.estimates[RANK_1, RIDGE, *ends]
    return [
        compared(
            f"Fitted on {size:,} of {r.fitted_pairs:,} pairs, a map from {ends[0]} to {ends[1]} finds "
            f"{one.value:.1%}, on all {every.value:.1%}",
            every,
            one,
            tones=("plain", "plain"),
        )
        for size, one in few[-1:]
    ]


ANALYSIS = Analysis(
    question="Can one model's gallery be converted to another's by a linear map?",
    over="model pair",
    params=MappingParams(),
    result=Mapping,
    compute=compute,
    charts=charts,
    findings=findings,
)
