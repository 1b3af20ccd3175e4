"""Linear maps: whether vectors of one model, or of blurred images, can be turned into another's.

A map is fitted on matched vectors of some people and judged on others. Between two models it is fitted
both ways, on the same images; within a model from a degraded probe to the native one, which asks whether
blur does to all faces something that a linear map undoes. Six kinds of map are tried: a common shift, a
rotation (orthogonal Procrustes) with and without change of size, least squares, ridge, and ridge of low
rank. The ridge penalty λ and the rank are chosen by cross-validation among the people fitted on; nobody is
in two folds. Pairs are the same image in both spaces, or two images of one person [1]_.

All vectors are brought to length one before they are fitted, since faces are compared by cosine: length
then has no part in the score, and would only give some images more weight than others.

How to read it
--------------
R² is the share of the squared distance of people's vectors from the mean (of those fitted on) that the map
explains; at most 1, and below 0 where the mean would do better. The cosine is that of an image's mapped
vector with its own vector in the target space. Both are of the same image, whatever the map was fitted on.
In-sample figures stand in the table beside them, called so.

Recognition is what matters: probes from the source space are mapped and searched in a gallery in the
target space, one image for each held-out person, never the same image as the probe where a person has
several. Rank-1 is the share found first; TAR@FAR the share of genuine pairs of the same comparisons that
are accepted where FAR of the impostor pairs are. Beside them stand the unmapped vectors (where both spaces
have equally many dimensions), both spaces searched by themselves (the ceilings), and the null: the same
fit on pairs of different people, judged alike. The loss is the ceiling's figure less the mapped one. All
are measured on the same images, and differences on the same resamples: 95 % intervals are those of a
bootstrap over the held-out people [3]_, gallery and map staying as they are. An operating point exists only
if FAR × impostor pairs ≥ 1; one that lets in fewer than 10 is marked unstable.

The path shows the cross-validated error over λ, which is counted in mean eigenvalues of the Gram matrix so
that it means the same in every space. Another picture shows what is reached with fewer pairs, for it has
been said that 500 suffice; it rests on one draw of them. Published for face networks are rank-1
from about 2 % unmapped to above 90 % mapped [2]_ and a loss of under 1 % of accuracy on LFW [1]_.

Limits
------
A map that works says that both spaces hold much the same in much the same linear form, and not that they
are equal; one that fails leaves maps that are not linear open. What a degraded image has lost no map brings
back. Searching a mapped gallery with probes of the new model is the same with the roles changed, and was
not measured apart. Intervals do not cover another gallery, other pairs to fit on, or networks trained anew.
People fitted and judged are of one dataset; elsewhere a map may do worse. The null is one
shuffle, and none for a mean shift, which is the same however rows are paired.

References
----------
.. [1] McNeely-White, D., Sattelberg, B., Blanchard, N. and Beveridge, R. Canonical face embeddings. IEEE
   Transactions on Biometrics, Behavior, and Identity Science 4(2), 2022. arXiv 2010.02323.
.. [2] arXiv 2604.07282.
.. [3] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Cell, Chart, Curve, Curves, Heatmap, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, hedged, judged, undrawn, unknown
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.linear.crossmodel import COSINE, FIGURES, R2, RANK_1, TAR, Judge, trial
from embedlab.maths.linear.linear_maps import METHODS
from embedlab.maths.linear.map_trials import (
    CURVES,
    ENTRIES,
    RIDGE,
    ROTATION,
    SOURCE,
    TARGET,
    UNMAPPED,
    Choices,
    MapTrial,
    try_maps,
)
from embedlab.maths.linear.matched import held_out, same_person
from embedlab.maths.linear.span import within_span
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.turns import some_of_each

PENALTY_ENDS = (1e-6, 1e4)
# What is said to suffice; and how many times as many pairs there must be to judge that.
FEW, ENOUGH = 500, 1.2
STABLE = 10
# Directions drawn as bars of a kind, as curves and in the table of all maps, and told one by one.
BARS, LINES, TABLED, TOLD = 6, 4, 4, 4
MATRICES = 3
# A path with an error above this is drawn on a logarithmic axis.
STEEP = 5.0

GAP = "share of the gap in rank-1 closed"
OVER_ROTATION = "rank-1, ridge less Procrustes"
OVER_UNMAPPED = "rank-1, ridge less unmapped"
OVER_NULL = "rank-1, ridge less ridge on shuffled pairs"
LOST = f"loss of rank-1 with {FEW} pairs"
# What is drawn as bars and compared, besides ridge by every figure.
BARRED = (UNMAPPED, ROTATION, RIDGE, SOURCE, TARGET)


@dataclass(frozen=True)
class MappingParams(Params):
    """Knobs of the mapping analysis."""

    pairs: Literal["same image", "same person"] = "same image"
    """What is matched in a fit: an image with itself, or with another image of the person."""
    held: float = bounded(0.5, above=0, below=1)
    """The share of people held out to judge on."""
    folds: int = bounded(5, least=2)
    """Folds of people, among those fitted on, that choose λ and the rank."""
    penalties: int = bounded(41, least=2)
    """How many λ the path has, from 1e-6 to 1e4."""
    rank: int = bounded(0, least=0)
    """Rank of the low-rank map; 0 to choose it."""
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
    """Maps in one direction (degraded to native) or in both (between models), judged on held-out people.

    Estimates are by figure, map and direction, differences by what they are and direction; ``others`` are
    those of the maps and of the numbers of pairs that the tables and curves alone show. Arrays go over
    directions; NaN where there is nothing.
    """

    kind: str = field(metadata={"hidden": True})
    model_a: str = field(metadata={"hidden": True})
    model_b: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    sources: tuple[str, ...] = field(metadata={"hidden": True})
    targets: tuple[str, ...] = field(metadata={"hidden": True})
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
    far: float = field(metadata={"label": "FAR of TAR"})
    seed: int = field(metadata={"hidden": True})
    estimates: Estimates
    others: Estimates = field(metadata={"hidden": True})
    in_sample: Float[np.ndarray, "directions two methods"]
    penalties: Float[np.ndarray, " path"]
    path_errors: Float[np.ndarray, "directions folds path"]
    path_pooled: Float[np.ndarray, "directions path"]
    chosen_penalty: Float[np.ndarray, " directions"]
    rank_errors: Float[np.ndarray, "directions ranks"]
    chosen_rank: Int[np.ndarray, " directions"]
    sizes: Int[np.ndarray, " sizes"]

    def name(self, direction: int) -> str:
        """Give a direction in words, without model or probe where both sides share it."""
        return _direction(self.sources[direction], self.targets[direction])

    @property
    def tar(self) -> str:
        """Name the TAR."""
        return _tar_name(self.far, self.impostors)

    def at(self, direction: int, what: str, *where: str) -> Estimate | None:
        """Find a figure or a difference in a direction; None where there is none."""
        place = (*where, self.name(direction))
        return self.estimates.at(what, place) or self.others.at(what, place)


def _direction(source: str, target: str) -> str:
    return f"{source} → {target}"


def _pairs(size: int) -> str:
    return f"{size} pairs"


@dataclass(frozen=True)
class _Sample:
    """The drawn images in both spaces at length one, by person and item, and who is held out."""

    a: np.ndarray
    b: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    all_people: int
    names: tuple[str, ...]


def compute(a: EmbeddingSet, b: EmbeddingSet, params: MappingParams) -> Mapping:
    """Fit all maps on some people and judge them on the others.

    Raises
    ------
    UserError
        If the sets share no item or too few people, or all vectors of a set are one.
    """
    degraded = a.model == b.model
    sample = _sample(a, b, params)
    rows, partners = _matched(sample, params)
    held = np.flatnonzero(sample.held[sample.labels])
    owners = np.unique(sample.labels[held], return_inverse=True)[1]
    people = np.unique(sample.labels[rows], return_inverse=True)[1]
    who = trial(owners, params.probes, params.seed)
    gallery, searched = len(who.gallery), len(np.unique(who.owners))
    impostors = len(who.probes) * (gallery - 1)
    far = params.far if params.far * impostors >= 1 else 0.0
    drawn = People.of(range(gallery), params, items=sample.names)
    path = np.geomspace(*PENALTY_ENDS, params.penalties)
    both = tuple(zip(_few_axes(sample), (a, b), strict=True))
    done = []
    for (x, out_of), (y, into) in [both[::-1]] if degraded else [both, both[::-1]]:
        unit = x.shape[1] / out_of.vectors.shape[1]
        choices = Choices(params.folds, path, params.rank, params.seed, unit)
        centre = y[partners].mean(axis=0, dtype=np.float64)
        if not all(((y[some] - centre) ** 2).sum() > 1e-9 for some in (partners, held)):
            raise UserError(f"all drawn images of {into.title} have one vector: check the vectors")
        judge = Judge(y[held], owners, centre, who, drawn.counts, far)
        done.append(try_maps(x[rows], y[partners], people, x[held], judge, choices))
    names = (b.probe, a.probe) if degraded else (a.model, b.model)
    sources, targets = ((names[0],), (names[1],)) if degraded else (names, names[::-1])
    told, others, tar = Estimates(), Estimates(), _tar_name(params.far, impostors)
    for source, target, one in zip(sources, targets, done, strict=True):
        name = _direction(source, target)
        figures, more = _figures(one, name, tar, drawn, searched)
        told |= figures | _differences(one, name, tar, drawn, searched)
        others |= more
    return Mapping(
        title=f"{b.probe} → {a.title}" if degraded else f"{a.model} and {b.model} on {a.probe}",
        kind="degraded pair" if degraded else "model pair",
        model_a=a.model,
        model_b=b.model,
        probe=a.probe,
        sources=sources,
        targets=targets,
        people=len(sample.held),
        all_people=sample.all_people,
        fitted_people=int(people.max()) + 1,
        fitted_pairs=len(rows),
        pairs=params.pairs,
        gallery=gallery,
        searched=searched,
        probes=len(who.probes),
        same_image=who.same_image,
        impostors=impostors,
        far=params.far,
        seed=params.seed,
        estimates=told,
        others=others,
        in_sample=np.stack([one.in_sample for one in done]),
        penalties=path,
        path_errors=np.stack([one.path.errors for one in done]),
        path_pooled=np.stack([one.path.pooled for one in done]),
        chosen_penalty=np.array([one.penalty for one in done]),
        rank_errors=np.stack([one.path.rank_errors for one in done]),
        chosen_rank=np.array([one.rank for one in done]),
        sizes=done[0].sizes,
    )


def _few_axes(sample: _Sample) -> Sequence[np.ndarray]:
    """Bring both spaces to common axes that few rows lie along; spaces of unequal dimension have none."""
    both = sample.a, sample.b
    return within_span(*both) if sample.a.shape[1] == sample.b.shape[1] else both


def _tar_name(far: float, impostors: int) -> str:
    return f"TAR@FAR={far:g}" + (", unstable" if far * impostors < STABLE else "")


def _sample(a: EmbeddingSet, b: EmbeddingSet, params: MappingParams) -> _Sample:
    """Join the sets, draw people and images, and hold people out."""
    pair = aligned(a, b)
    rng = np.random.default_rng([params.seed, 8])
    # By names, so that how the rows lie changes nothing.
    order = np.lexsort((pair.a.items, pair.a.labels))
    labels = pair.a.labels[order]
    all_people = len(pair.a.identities)
    if all_people < 4:
        raise UserError(
            f"{a.title} and {b.title} share {all_people} people: four are needed, two to fit a map on and "
            "two to judge it on; add images of other people"
        )
    drawn = rng.permutation(all_people)[: params.people]
    few = some_of_each(labels, params.images, rng)
    kept = order[few[np.isin(labels[few], drawn)]]
    first, second = pair.a.take(kept), pair.b.take(kept)
    return _Sample(
        a=first.unit,
        b=second.unit,
        labels=first.labels,
        held=held_out(np.bincount(first.labels), params.held, rng),
        all_people=all_people,
        names=(*first.identities, *first.items, str(params.held), str(params.probes)),
    )


def _matched(sample: _Sample, params: MappingParams) -> tuple[np.ndarray, np.ndarray]:
    """Match rows of the people fitted on."""
    rows = np.flatnonzero(~sample.held[sample.labels])
    if params.pairs == "same image":
        return rows, rows
    own, partners = same_person(sample.labels[rows], np.random.default_rng([params.seed, 9]))
    if len(np.unique(sample.labels[rows[own]])) < 2:
        raise UserError(
            "fewer than two of the people fitted on have two images, so pairs of one person cannot be "
            "made: set mapping.pairs to 'same image', or add images"
        )
    return rows[own], rows[partners]


def _figures(
    done: MapTrial, name: str, tar: str, people: People, searched: int
) -> tuple[Estimates, Estimates]:
    """Give the figures of a direction: those of the report's table, and the others."""
    told, others = Estimates(), Estimates()
    whole = {(entry,): done.judged[entry] for entry in ENTRIES if entry in done.judged}
    few = {(entry, _pairs(size)): found for (entry, size), found in done.fewer.items()}
    for figure in FIGURES:
        what, share = tar if figure == TAR else figure, figure in (RANK_1, TAR)
        n = searched if share else len(people.counts[0])
        for place, found in (whole | few).items():
            if figure in found:
                null = done.nulls[place[0]].get(figure) if place in whole else None
                one = people.estimate(found[figure], n, null, share=share)
                if place == (RIDGE,) or (share and place in [(entry,) for entry in BARRED]):
                    told[what, *place, name] = one
                else:
                    others[what, *place, name] = undrawn(one)
    return told, others


def _differences(done: MapTrial, name: str, tar: str, people: People, searched: int) -> Estimates:
    found = Estimates()

    def add(one: Drawn, *what: str, null: float = 0.0) -> None:
        found[*what, name] = people.estimate(one, searched, null)

    main, null, floor = done.judged[RIDGE], done.nulls[RIDGE], done.judged.get(UNMAPPED)
    for figure, what in ((RANK_1, RANK_1), (TAR, tar)):
        for ceiling in (TARGET, SOURCE) if figure in main else ():
            top = done.judged[ceiling][figure]
            add(top - main[figure], _loss(what, ceiling), null=top.value - null[figure])
    add(main[RANK_1] - done.judged[ROTATION][RANK_1], OVER_ROTATION)
    add(main[RANK_1] - done.shuffled[RANK_1], OVER_NULL)
    if floor:
        add(main[RANK_1] - floor[RANK_1], OVER_UNMAPPED)
        if people.estimate(done.judged[TARGET][RANK_1] - floor[RANK_1], searched).sign == 1:
            add(done.gap_closed(RIDGE), GAP)
    for entry in CURVES if done.sizes[-1] >= ENOUGH * FEW else ():
        if lost := done.lost_with(FEW, entry):
            add(lost, LOST, entry)
    return found


def _loss(what: str, ceiling: str) -> str:
    return f"loss of {what} against {ceiling}"


Way = tuple[Mapping, int]


def charts(results: Sequence[Mapping]) -> list[Chart]:
    """Rank-1 of all, the matrix over models, few pairs, the path, and the figures of every map."""
    ways = [(r, d) for r in results for d in range(len(r.sources))]
    kinds = [[way for way in ways if way[0].kind == kind] for kind in ("degraded pair", "model pair")]
    drawn: list[Chart] = [_overview(kind) for kind in kinds if kind]
    pairs = [r for r in results if r.kind == "model pair"]
    probes = list(dict.fromkeys(r.probe for r in pairs))[:MATRICES]
    drawn += [_matrix(probe, [r for r in pairs if r.probe == probe]) for probe in probes]
    # Of either kind as many, where there are both.
    share = max(LINES // 2, LINES - min(map(len, kinds)))
    some = [way for kind in kinds for way in kind[:share]][:LINES]
    drawn += [*(_few_chart(some, len(ways), figure) for figure in (RANK_1, R2)), _path_chart(some, len(ways))]
    return [*drawn, _every_map(some[:TABLED], len(ways)), _summary(ways)]


def _place(r: Mapping) -> str:
    return f"in {r.model_a}" if r.kind == "degraded pair" else f"on {r.probe}"


def _label(way: Way) -> str:
    return f"{way[0].name(way[1])} {_place(way[0])}"


def _model(way: Way) -> str:
    return way[0].sources[way[1]] if way[0].kind == "model pair" else way[0].model_a


def _others(shown: int, there: int) -> str:
    return f" These are {shown} of {there} directions; all are in the last table." if there > shown else ""


def _who(ways: Sequence[Way]) -> str:
    told = dict.fromkeys(
        f"{r.gallery:,} held-out people in the gallery, {r.probes:,} probes of {r.searched:,} of them; maps "
        f"fitted on {r.fitted_pairs:,} pairs of the {r.pairs}, of {r.fitted_people:,} others."
        + (f" {r.people:,} of {r.all_people:,} people, seed {r.seed}." if r.people < r.all_people else "")
        + (" Probe and gallery are the same image, since nobody has two." if r.same_image else "")
        for r, _ in ways
    )
    return " ".join(list(told)[:2]) + (" Other directions rest on others." if len(told) > 2 else "")


def _overview(ways: Sequence[Way]) -> Bars:
    shown = ways[:BARS]
    several = len({r.probe for r, _ in shown}) > 1
    degraded = shown[0][0].kind == "degraded pair"
    series = tuple(
        BarSeries(
            entry,
            *np.concatenate([r.estimates.row(RANK_1, [(entry, r.name(d))]) for r, d in shown], axis=1),
        )
        for entry in BARRED
    )
    unequal = np.isnan(series[0].values).any()
    missing = " Unmapped vectors of unequal dimension cannot be compared." if unequal else ""
    return Bars(
        title="Rank-1 from degraded to native" if degraded else "Rank-1 between models",
        ylabel="rank-1 of held-out people",
        categories=tuple(
            f"{r.sources[d]}, {r.model_a}" if degraded else r.name(d) + (f", {r.probe}" if several else "")
            for r, d in shown
        ),
        series=series,
        nulls=np.array([_of(way, RANK_1, RIDGE).null for way in shown], np.float64),
        note=f"{_who(shown)} Null: ridge fitted on pairs of different people.{missing}"
        + _others(len(shown), len(ways)),
    )


def _matrix(probe: str, group: Sequence[Mapping]) -> Heatmap:
    models = tuple(dict.fromkeys(name for r in group for name in (r.model_a, r.model_b)))
    values = np.full((len(models), len(models)), np.nan)
    text = np.full(values.shape, "", dtype=object)
    for r in group:
        for d, (source, target) in enumerate(zip(r.sources, r.targets, strict=True)):
            mapped, own, top = (_of((r, d), RANK_1, entry).value for entry in (RIDGE, SOURCE, TARGET))
            row, column = models.index(source), models.index(target)
            values[row, column], values[row, row] = mapped, own
            kept = f"\n({mapped / min(own, top):.0%})" if min(own, top) > 0 else ""
            text[row, column], text[row, row] = f"{mapped:.1%}{kept}", f"{own:.1%}\nby itself"
    alike = len({_of((r, 0), RANK_1, RIDGE).drawn_from for r in group}) == 1
    return Heatmap(
        title=f"Rank-1 of vectors mapped by ridge, on {probe}",
        xlabels=models,
        ylabels=models,
        values=values,
        text=text.astype(str),
        xlabel="model of the gallery",
        ylabel="model of the probes",
        colour_label="rank-1",
        span=(0.0, 1.0),
        note="On people not fitted on. In brackets: as a share of what the poorer of the two models finds by "
        "itself." + ("" if alike else " Not all pairs of models were measured on the same images."),
    )


def _few_chart(ways: Sequence[Way], there: int, figure: str) -> Curves:
    return Curves(
        title=f"How many pairs a map needs: {figure}",
        xlabel="pairs fitted on",
        ylabel=f"{figure} of held-out people",
        curves=tuple(
            Curve(
                f"{_label((r, d))}, {CURVES[k]}",
                r.sizes.astype(np.float64),
                *r.others.row(figure, [(CURVES[k], _pairs(size), r.name(d)) for size in r.sizes]),
                model=_model((r, d)),
                dash=("solid", "dash")[k],
                markers=True,
            )
            for r, d in ways
            for k in range(len(CURVES) if len(ways) <= LINES // 2 else 1)
        ),
        xscale="log",
        note="One draw of each number of pairs, the smaller within the larger; bands are 95 % intervals "
        f"over the held-out people.{_others(len(ways), there)}",
    )


def _path_chart(ways: Sequence[Way], there: int) -> Curves:
    curves = [
        Curve(
            name=_label((r, d)),
            x=r.penalties,
            y=r.path_pooled[d],
            low=r.path_errors[d].min(axis=0),
            high=r.path_errors[d].max(axis=0),
            model=_model((r, d)),
        )
        for r, d in ways
    ]
    # Points apart: a line is broken by what is no number.
    x, y = np.full((2, 2 * len(ways)), np.nan)
    x[::2] = [r.chosen_penalty[d] for r, d in ways]
    y[::2] = [r.path_pooled[d].min() for r, d in ways]
    chosen = (
        f"{r.chosen_penalty[d]:.2g}"
        + (" (an end of the path)" if r.chosen_penalty[d] in r.penalties[[0, -1]] else "")
        for r, d in ways
    )
    return Curves(
        title="Error over the ridge penalty λ",
        xlabel="λ in mean eigenvalues of the Gram matrix",
        ylabel="cross-validated 1 − R²",
        curves=(*curves, Curve(name="chosen", x=x, y=y, markers=True)),
        xscale="log",
        yscale="log" if max(curve.y.max() for curve in curves) > STEEP else "linear",
        note="Over folds of the people fitted on; bands reach from the best fold to the worst. Chosen: "
        f"{', '.join(chosen)}.{_others(len(ways), there)}",
    )


def _every_map(ways: Sequence[Way], there: int) -> Table:
    rows: list[tuple[object, ...]] = []
    for r, d in ways:
        for entry in ENTRIES:
            found = {what: r.at(d, what, entry) for what in (R2, COSINE, RANK_1, r.tar)}
            within = r.in_sample[d, :, METHODS.index(entry)] if entry in METHODS else (None, None)
            if found[RANK_1] is not None:
                name = f"{entry} (rank {r.chosen_rank[d]})" if entry == "low-rank ridge" else entry
                nulls = (one and one.null for one in (found[R2], found[RANK_1]))
                rows.append((_label((r, d)), name, *map(_cell, (*found.values(), *within, *nulls))))
    far = "/".join(dict.fromkeys(f"{r.far:g}" for r, _ in ways))
    unsure = (
        f" TAR rests on fewer than {STABLE} false accepts and is unstable, or is left out where FAR × "
        "impostor pairs is below 1."
    )
    return Table(
        title="Every map",
        columns=(
            *("direction", "map", "R²", "cosine", "rank-1", f"TAR@FAR={far}"),
            *("in-sample R²", "in-sample cosine", "null of R²", "null of rank-1"),
        ),
        rows=tuple(rows),
        folded=len(rows) > len(ENTRIES),
        note="Of held-out people; in-sample figures are those of the pairs fitted on. Null: fitted on "
        "pairs of different people, which leaves a mean shift as it is; chance where nothing is fitted."
        + (unsure if any(r.far * r.impostors < STABLE for r, _ in ways) else "")
        + _others(len(ways), there),
    )


def _cell(one: Estimate | float | None) -> Estimate | Cell:
    if isinstance(one, Estimate):
        return one
    return Cell(None, "–") if one is None or np.isnan(one) else Cell(float(one), f"{one:.3f}")


def _summary(ways: Sequence[Way]) -> Table:
    def row(way: Way) -> tuple[Any, ...]:
        r, d = way
        wanted = (
            *((RANK_1, entry) for entry in (UNMAPPED, RIDGE, SOURCE, TARGET)),
            *((_loss(what, TARGET),) for what in (RANK_1, r.tar)),
            *((R2, RIDGE), (OVER_ROTATION,)),
        )
        return (_label(way), *(_cell(r.at(d, *what)) for what in wanted))

    return Table(
        title="All directions, mapped by ridge",
        columns=(
            *("direction", "rank-1, unmapped", "rank-1, mapped", f"rank-1, {SOURCE}", f"rank-1, {TARGET}"),
            *("loss of rank-1 against the target", "loss of TAR", "R²", "rank-1, ridge less Procrustes"),
        ),
        rows=tuple(row(way) for way in ways),
        folded=len(ways) > len(ENTRIES),
    )


def findings(results: Sequence[Mapping]) -> list[Finding]:
    """Say how much maps recover, whether a rotation is enough, and whether few pairs are."""
    ways = [(r, d) for r in results for d in range(len(r.sources))]
    restored = [way for way in ways if way[0].kind == "degraded pair" and way[0].at(way[1], OVER_UNMAPPED)]
    across = [way for way in ways if way not in restored]
    few = len(ways) <= TOLD
    said = [_across(way) for way in across] if few or len(across) < 2 else [_all_across(across)]
    said += [_restored(way) for way in restored] if few or len(restored) < 2 else [_all_restored(restored)]
    said += [*_models_apart(restored), _stretching(ways)]
    return said + _few_pairs([way for way in ways if way[0].at(way[1], LOST, RIDGE)])


def _of(way: Way, what: str, *where: str) -> Estimate:
    found = way[0].at(way[1], what, *where)
    if found is None:
        raise ValueError(f"{way[0].title} has no {what}")
    return found


def _rank_1(way: Way, entry: str) -> float:
    return _of(way, RANK_1, entry).value


def _change(way: Way) -> Estimate:
    """Give the change of rank-1 against the target by itself."""
    return -_of(way, _loss(RANK_1, TARGET))


def _across(way: Way) -> Finding:
    r, d = way
    main, beyond, change = _of(way, RANK_1, RIDGE), _of(way, OVER_NULL), _change(way)
    text = (
        f"Mapped by ridge from {r.sources[d]} to {r.targets[d]} ({_place(r)}), the vectors of people it was "
        f"not fitted on (R² {_of(way, R2, RIDGE).value:.2f}) find the right one of {r.gallery:,} "
        f"people first for {main.value:.1%} of probes, against {main.null or 0.0:.1%} by a map fitted on "
        "pairs of different people"
    )
    if beyond.sign != 1:
        return replace(judged(text, beyond), tone="plain" if beyond.sign is None else "bad")
    return Finding(
        f"{text}; {r.targets[d]} by itself finds {_rank_1(way, TARGET):.1%} and {r.sources[d]} by itself "
        f"{_rank_1(way, SOURCE):.1%}. Against the former that is a change of "
        f"{hedged(change, word='change')}.",
        gap=change,
    )


def _restored(way: Way) -> Finding:
    r, d = way
    floor, main, top = (_rank_1(way, entry) for entry in (UNMAPPED, RIDGE, TARGET))
    change, closed = _of(way, OVER_UNMAPPED), r.at(d, GAP)
    text = (
        f"A linear map (ridge) from {r.sources[d]} to {r.targets[d]} {_place(r)} takes rank-1 of people it "
        f"was not fitted on from {floor:.1%} to {main:.1%}, where {r.targets[d]} by itself has {top:.1%}"
    )
    if closed is not None and change.sign == 1:
        text += f", and closes {closed:.0%} of the gap"
    return judged(text, change, word="change")


def _range(ways: Sequence[Way], numbers: Sequence[Estimate]) -> str:
    """Name the lowest and the highest of several differences."""
    order = np.argsort([one.value for one in numbers], kind="stable")
    low, high = (f"{numbers[k].points()} ({_label(ways[k])})" for k in (order[0], order[-1]))
    return f"{low} to {high}"


def _signs(numbers: Sequence[Estimate]) -> tuple[int, int, str]:
    """Count the differences above and below zero beyond chance, and tell of those without interval."""
    signs = Counter(one.sign for one in numbers)
    return signs[1], signs[-1], f" ({unknown()} in {signs[None]})" if signs[None] else ""


def _all_across(ways: Sequence[Way]) -> Finding:
    order = sorted(ways, key=lambda way: _rank_1(way, RIDGE))
    low, high = (f"{_rank_1(way, RIDGE):.1%} ({_label(way)})" for way in (order[0], order[-1]))
    changes = [_change(way) for way in ways]
    beyond, _, untold = _signs([_of(way, OVER_NULL) for way in ways])
    _, down, open_ = _signs(changes)
    chance = len(ways) - beyond
    return Finding(
        f"In {len(ways)} directions between spaces, vectors mapped by ridge find the right person first for "
        f"{low} to {high} of probes of people it was not fitted on"
        + (f", in {chance} of them perhaps by chance{untold}" if chance else "")
        + f"; against the target by itself rank-1 changes by {_range(ways, changes)}, and is lower beyond "
        f"chance in {down}{open_}."
    )


def _all_restored(ways: Sequence[Way]) -> Finding:
    changes = [_of(way, OVER_UNMAPPED) for way in ways]
    up, down, untold = _signs(changes)
    return Finding(
        f"Over {len(ways)} maps (ridge) from a degraded to the native probe, rank-1 of people not fitted on "
        f"changes by {_range(ways, changes)} against unmapped vectors: it rises beyond chance in {up} and "
        f"falls in {down}{untold}."
    )


def _models_apart(ways: Sequence[Way]) -> list[Finding]:
    """Compare what a map gains in two models, for the probe where they differ most."""
    found = []
    for name in dict.fromkeys(r.name(d) for r, d in ways):
        group = [(_of(way, OVER_UNMAPPED), way[0].model_a) for way in ways if way[0].name(way[1]) == name]
        group = sorted((one for one in group if one[0].is_paired(group[0][0])), key=lambda one: one[0].value)
        less, more = group[0], group[-1]
        if less[1] != more[1]:
            found.append((more[0] - less[0], name, more, less))
    if not found:
        return []
    apart, name, (most, there), (least, here) = max(found, key=lambda one: one[0].value)
    return [
        judged(
            f"Ridge from {name} changes rank-1 by {100 * most.value:+.1f} points in {there} and by "
            f"{100 * least.value:+.1f} in {here}{', where models differ most' if len(found) > 1 else ''}",
            apart,
            tones=("plain", "plain"),
        )
    ]


def _each(ways: Sequence[Way], numbers: Sequence[Estimate]) -> str:
    return " and ".join(f"{hedged(one)} ({_label(way)})" for way, one in zip(ways, numbers, strict=True))


def _stretching(ways: Sequence[Way]) -> Finding:
    """Say whether a rotation does as well as a map that may stretch."""
    found = [_of(way, OVER_ROTATION) for way in ways]
    lead = "Rank-1 by ridge, which may stretch, less that by a rotation (Procrustes) is"
    if len(ways) <= 2:
        return Finding(f"{lead} {_each(ways, found)}.")
    up, down, untold = _signs(found)
    return Finding(
        f"{lead} {_range(ways, found)}; of {len(ways)} maps it is above zero beyond chance in {up} and "
        f"below in {down}{untold}."
    )


def _few_pairs(ways: Sequence[Way]) -> list[Finding]:
    """Test whether some hundreds of pairs do as well as all."""
    if not ways:
        return []
    parts, worse = [], []
    for entry, name in ((RIDGE, "ridge"), (ROTATION, "a rotation")):
        found = [_of(way, LOST, entry) for way in ways]
        up, _, untold = _signs(found)
        worse.append(up)
        parts.append(
            f"{name} loses {_each(ways, found)}"
            if len(ways) <= 2
            else f"{name} loses {_range(ways, found)}, beyond chance in {up} of {len(ways)} maps{untold}"
        )
    verdict = (
        "every map here gains from more"
        if min(worse) == len(ways)
        else "some maps here gain from more"
        if max(worse)
        else "that more would help is not shown here, nor that it would not"
    )
    return [
        Finding(
            f"It has been said that {FEW} pairs suffice. Fitted on so many of {_counts(ways)}, "
            f"{'; '.join(parts)}, of rank-1: {verdict}."
        )
    ]


def _counts(ways: Sequence[Way]) -> str:
    low, high = (f(r.fitted_pairs for r, _ in ways) for f in (min, max))
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


ANALYSIS = Analysis(
    question="Can a linear map turn one space into another, or a blurred face's vector into a sharp one's?",
    over=("degraded pair", "model pair"),
    params=MappingParams(),
    result=Mapping,
    compute=compute,
    charts=charts,
    findings=findings,
)
