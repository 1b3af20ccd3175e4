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

from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Chart, Curve, Curves, Heatmap, Table
from embedlab.embeddings import EmbeddingSet, aligned
from embedlab.errors import UserError
from embedlab.maths.bootstrap import interval, population, resamples
from embedlab.maths.crossmodel import COSINE, FIGURES, R2, RANK_1, TAR, Judge, trial
from embedlab.maths.linear_maps import METHODS
from embedlab.maths.map_trials import (
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
from embedlab.maths.matched import held_out, same_person
from embedlab.maths.span import within_span

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

    Arrays go over directions, the figures R², cosine, rank-1 and TAR, and the entries of ``ENTRIES``; those
    of the curve over its maps, numbers of pairs, and rank-1 and R². NaN where there is nothing.
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
    estimates: Dict[str, Estimate]
    population: str = field(metadata={"hidden": True})
    values: Float[np.ndarray, "directions figures entries"]
    low: Float[np.ndarray, "directions figures entries"]
    high: Float[np.ndarray, "directions figures entries"]
    nulls: Float[np.ndarray, "directions figures entries"]
    in_sample: Float[np.ndarray, "directions two methods"]
    false_accepts: Int[np.ndarray, "directions entries"]
    rank_draws: Float[np.ndarray, "directions entries resamples"]
    penalties: Float[np.ndarray, " path"]
    path_errors: Float[np.ndarray, "directions folds path"]
    path_pooled: Float[np.ndarray, "directions path"]
    chosen_penalty: Float[np.ndarray, " directions"]
    rank_errors: Float[np.ndarray, "directions ranks"]
    chosen_rank: Int[np.ndarray, " directions"]
    sizes: Int[np.ndarray, " sizes"]
    curve: Float[np.ndarray, "directions maps sizes two"]
    curve_low: Float[np.ndarray, "directions maps sizes two"]
    curve_high: Float[np.ndarray, "directions maps sizes two"]

    def name(self, direction: int) -> str:
        """Give a direction in words, without model or probe where both sides share it."""
        return f"{self.sources[direction]} → {self.targets[direction]}"

    def figure(self, direction: int, figure: int, entry: str) -> Estimate | None:
        """Give one number with its interval and its null; None where there is none."""
        place = (direction, figure, ENTRIES.index(entry))
        value, low, high, null = (
            None if np.isnan(all_[place]) else float(all_[place])
            for all_ in (self.values, self.low, self.high, self.nulls)
        )
        n = self.searched if figure in (RANK_1, TAR) else self.gallery
        return None if value is None else Estimate(value, low, high, n, null)

    def estimate(self, direction: int, what: str) -> Estimate | None:
        """Give a headline number of a direction by what it is; None where there is none."""
        return self.estimates.get(f"{self.name(direction)}: {what}")


@dataclass(frozen=True)
class _Sample:
    """The drawn images in both spaces at length one, by person and item, and who is held out."""

    a: np.ndarray
    b: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    all_people: int
    population: str


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
    counts = resamples(gallery, params.resamples, params.seed)
    path = np.geomspace(*PENALTY_ENDS, params.penalties)
    both = tuple(zip(_few_axes(sample), (a, b), strict=True))
    done = []
    for (x, source), (y, into) in [both[::-1]] if degraded else [both, both[::-1]]:
        unit = x.shape[1] / source.vectors.shape[1]
        choices = Choices(params.folds, path, params.rank, params.seed, unit)
        centre = y[partners].mean(axis=0, dtype=np.float64)
        if not all(((y[some] - centre) ** 2).sum() > 1e-9 for some in (partners, held)):
            raise UserError(f"all drawn images of {into.title} have one vector: check the vectors")
        judge = Judge(y[held], owners, centre, who, counts, far)
        done.append(try_maps(x[rows], y[partners], people, x[held], judge, choices))
    arrays = [found.arrays(searched) for found in done]
    names = (b.probe, a.probe) if degraded else (a.model, b.model)
    sources, targets = ((names[0],), (names[1],)) if degraded else (names, names[::-1])
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
        estimates={
            f"{source} → {target}: {what}": one
            for source, target, found in zip(sources, targets, done, strict=True)
            for what, one in _headlines(found, _tar_name(params.far, impostors), searched, gallery).items()
        },
        population=sample.population,
        **{name: np.stack([one[name] for one in arrays]) for name in arrays[0]},
        penalties=path,
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
    images = np.bincount(labels)
    all_people = len(images)
    if all_people < 4:
        raise UserError(
            f"{a.title} and {b.title} share {all_people} people: four are needed, two to fit a map on and "
            "two to judge it on; add images of other people"
        )
    drawn = rng.permutation(all_people)[: params.people]
    mixed = np.lexsort((rng.random(len(labels)), labels))
    turn = np.empty(len(labels), np.int64)
    turn[mixed] = np.arange(len(labels)) - np.repeat(np.cumsum(images) - images, images)
    kept = order[np.isin(labels, drawn) & (turn < params.images)]
    first, second = pair.a.take(kept), pair.b.take(kept)
    named = [*first.identities, *first.items, str(params.held), str(params.probes)]
    return _Sample(
        a=first.unit,
        b=second.unit,
        labels=first.labels,
        held=held_out(np.bincount(first.labels), params.held, rng),
        all_people=all_people,
        population=population(named, params.resamples, params.seed),
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


def _headlines(done: MapTrial, tar: str, searched: int, gallery: int) -> dict[str, Estimate]:
    """Give the numbers of the report's table."""
    main, null = done.judged[RIDGE], done.nulls[RIDGE].values
    found = {
        f"{FIGURES[figure]}, {RIDGE}": Estimate(
            float(main.values[figure]), *main.ends(figure, gallery), gallery, float(null[figure])
        )
        for figure in (R2, COSINE)
    }
    for figure, name in ((RANK_1, "rank-1"), (TAR, tar)):
        if np.isnan(main.values[figure]):
            continue
        for entry in (UNMAPPED, ROTATION, RIDGE, SOURCE, TARGET):
            if entry in done.judged:
                one, by_chance = done.judged[entry], done.nulls[entry].values[figure]
                ends = one.ends(figure, searched)
                found[f"{name}, {entry}"] = Estimate(
                    float(one.values[figure]), *ends, searched, float(by_chance)
                )
        for ceiling in (TARGET, SOURCE):
            top = done.judged[ceiling]
            found[f"loss of {name} against {ceiling}"] = Estimate(
                *top.above(main, figure), searched, float(top.values[figure] - null[figure])
            )
    others = {OVER_ROTATION: done.judged[ROTATION], OVER_NULL: done.nulls[RIDGE]}
    if UNMAPPED in done.judged:
        others[OVER_UNMAPPED] = done.judged[UNMAPPED]
        if (closed := done.gap_closed(RIDGE)) is not None:
            found[GAP] = Estimate(*closed, searched, 0.0)
    found |= {name: Estimate(*main.above(other, RANK_1), searched, 0.0) for name, other in others.items()}
    if FEW in done.sizes and done.sizes[-1] >= ENOUGH * FEW:
        found |= {_few_name(name): Estimate(*done.lost_with(FEW, name), searched, 0.0) for name in CURVES}
    return found


def _few_name(entry: str) -> str:
    return f"loss of rank-1 with {FEW} pairs, {entry}"


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
    drawn += [*(_few_chart(some, len(ways), k) for k in range(2)), _path_chart(some, len(ways))]
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
    series = []
    for entry in (UNMAPPED, ROTATION, RIDGE, SOURCE, TARGET):
        found = [r.figure(d, RANK_1, entry) for r, d in shown]
        value, low, high = (
            np.array([getattr(one, end, None) for one in found], np.float64)
            for end in ("value", "low", "high")
        )
        series.append(BarSeries(entry, value, low, high))
    unequal = np.isnan(series[0].values).any()
    missing = " Unmapped vectors of unequal dimension cannot be compared." if unequal else ""
    return Bars(
        title="Rank-1 from degraded to native" if degraded else "Rank-1 between models",
        ylabel="rank-1 of held-out people",
        categories=tuple(
            f"{r.sources[d]}, {r.model_a}" if degraded else r.name(d) + (f", {r.probe}" if several else "")
            for r, d in shown
        ),
        series=tuple(series),
        nulls=np.array([r.nulls[d, RANK_1, ENTRIES.index(RIDGE)] for r, d in shown]),
        note=f"{_who(shown)} Null: ridge fitted on pairs of different people.{missing}"
        + _others(len(shown), len(ways)),
    )


def _matrix(probe: str, group: Sequence[Mapping]) -> Heatmap:
    models = tuple(dict.fromkeys(name for r in group for name in (r.model_a, r.model_b)))
    values = np.full((len(models), len(models)), np.nan)
    text = np.full(values.shape, "", dtype=object)
    for r in group:
        for d, (source, target) in enumerate(zip(r.sources, r.targets, strict=True)):
            mapped, own, top = (
                float(r.values[d, RANK_1, ENTRIES.index(entry)]) for entry in (RIDGE, SOURCE, TARGET)
            )
            row, column = models.index(source), models.index(target)
            values[row, column], values[row, row] = mapped, own
            kept = f"\n({mapped / min(own, top):.0%})" if min(own, top) > 0 else ""
            text[row, column], text[row, row] = f"{mapped:.1%}{kept}", f"{own:.1%}\nby itself"
    alike = len({r.population for r in group}) == 1
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


def _few_chart(ways: Sequence[Way], there: int, figure: int) -> Curves:
    name = ("rank-1", "R²")[figure]
    return Curves(
        title=f"How many pairs a map needs: {name}",
        xlabel="pairs fitted on",
        ylabel=f"{name} of held-out people",
        curves=tuple(
            Curve(
                name=f"{_label((r, d))}, {CURVES[k]}",
                x=r.sizes.astype(np.float64),
                y=r.curve[d, k, :, figure],
                low=r.curve_low[d, k, :, figure],
                high=r.curve_high[d, k, :, figure],
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
        for e, entry in enumerate(ENTRIES):
            found = [r.figure(d, figure, entry) for figure in range(len(FIGURES))]
            within = r.in_sample[d, :, METHODS.index(entry)] if entry in METHODS else np.full(2, np.nan)
            if found[RANK_1] is not None:
                name = f"{entry} (rank {r.chosen_rank[d]})" if entry == "low-rank ridge" else entry
                plain = (*within, r.nulls[d, R2, e], r.nulls[d, RANK_1, e])
                rows.append((_label((r, d)), name, *map(_cell, found), *map(_cell, plain)))
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


def _cell(one: Estimate | float | None) -> str:
    return "–" if one is None or one != one else f"{one:.3f}"


def _summary(ways: Sequence[Way]) -> Table:
    def row(way: Way) -> tuple[str, ...]:
        r, d = way
        wanted = (
            *(f"rank-1, {entry}" for entry in (UNMAPPED, RIDGE, SOURCE, TARGET)),
            *(f"loss of {what} against {TARGET}" for what in ("rank-1", _tar_name(r.far, r.impostors))),
            *(f"R², {RIDGE}", OVER_ROTATION),
        )
        return (_label(way), *(_cell(r.estimate(d, what)) for what in wanted))

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
    restored = [w for w in ways if w[0].kind == "degraded pair" and w[0].estimate(w[1], OVER_UNMAPPED)]
    across = [way for way in ways if way not in restored]
    few = len(ways) <= TOLD
    said = [_across(way) for way in across] if few or len(across) < 2 else [_all_across(across)]
    said += [_restored(way) for way in restored] if few or len(restored) < 2 else [_all_restored(restored)]
    said += [*_models_apart(restored), _stretching(ways)]
    return said + _few_pairs([way for way in ways if way[0].estimate(way[1], _few_name(RIDGE))])


def _of(way: Way, what: str) -> Estimate:
    found = way[0].estimate(way[1], what)
    if found is None:
        raise ValueError(f"{way[0].title} has no {what}")
    return found


def _rank_1(way: Way, entry: str) -> float:
    return _of(way, f"rank-1, {entry}").value


def _sign(one: Estimate) -> int:
    """Say whether a difference is above (1) or below (-1) zero beyond chance, or may be either (0)."""
    if one.low is None or one.high is None:
        return 0
    return 1 if one.low > 0 else -1 if one.high < 0 else 0


def _loss(way: Way) -> Estimate:
    """Give the change of rank-1 against the target by itself."""
    one = _of(way, f"loss of rank-1 against {TARGET}")
    low, high = (None if end is None else -end for end in (one.high, one.low))
    return Estimate(-one.value, low, high, one.n)


def _points(one: Estimate) -> str:
    return one.points() + ("" if _sign(one) else ", which may be chance")


def _across(way: Way) -> Finding:
    r, d = way
    main = _of(way, f"rank-1, {RIDGE}")
    text = (
        f"Mapped by ridge from {r.sources[d]} to {r.targets[d]} ({_place(r)}), the vectors of people it was "
        f"not fitted on (R² {_of(way, f'R², {RIDGE}').value:.2f}) find the right one of {r.gallery:,} "
        f"people first for {main.value:.1%} of probes, against {main.null or 0.0:.1%} by a map fitted on "
        "pairs of different people"
    )
    if _sign(_of(way, OVER_NULL)) < 1:
        return Finding(f"{text}: the difference may be chance.", "bad")
    return Finding(
        f"{text}; {r.targets[d]} by itself finds {_rank_1(way, TARGET):.1%} and {r.sources[d]} by itself "
        f"{_rank_1(way, SOURCE):.1%}. Against the former that is a change of {_points(_loss(way))}."
    )


def _restored(way: Way) -> Finding:
    r, d = way
    floor, main, top = (_rank_1(way, entry) for entry in (UNMAPPED, RIDGE, TARGET))
    change, closed = _of(way, OVER_UNMAPPED), r.estimate(d, GAP)
    text = (
        f"A linear map (ridge) from {r.sources[d]} to {r.targets[d]} {_place(r)} takes rank-1 of people it "
        f"was not fitted on from {floor:.1%} to {main:.1%}, where {r.targets[d]} by itself has {top:.1%}: a "
        f"change of {_points(change)}"
    )
    if closed is not None and _sign(change) > 0:
        text += f", or {closed:.0%} of the gap"
    return Finding(f"{text}.", ("bad", "plain", "good")[_sign(change) + 1])


def _range(ways: Sequence[Way], numbers: Sequence[Estimate]) -> str:
    """Name the lowest and the highest of several differences."""
    order = np.argsort([one.value for one in numbers], kind="stable")
    low, high = (f"{numbers[k].points()} ({_label(ways[k])})" for k in (order[0], order[-1]))
    return f"{low} to {high}"


def _all_across(ways: Sequence[Way]) -> Finding:
    order = sorted(ways, key=lambda way: _rank_1(way, RIDGE))
    low, high = (f"{_rank_1(way, RIDGE):.1%} ({_label(way)})" for way in (order[0], order[-1]))
    changes = [_loss(way) for way in ways]
    chance = [_sign(_of(way, OVER_NULL)) < 1 for way in ways].count(True)
    return Finding(
        f"In {len(ways)} directions between spaces, vectors mapped by ridge find the right person first for "
        f"{low} to {high} of probes of people it was not fitted on"
        + (f", in {chance} of them perhaps by chance" if chance else "")
        + f"; against the target by itself rank-1 changes by {_range(ways, changes)}, and is lower beyond "
        f"chance in {[_sign(one) for one in changes].count(-1)}."
    )


def _all_restored(ways: Sequence[Way]) -> Finding:
    changes = [_of(way, OVER_UNMAPPED) for way in ways]
    up, down = ([_sign(one) for one in changes].count(sign) for sign in (1, -1))
    return Finding(
        f"Over {len(ways)} maps (ridge) from a degraded to the native probe, rank-1 of people not fitted on "
        f"changes by {_range(ways, changes)} against unmapped vectors: it rises beyond chance in {up} and "
        f"falls in {down}."
    )


def _models_apart(ways: Sequence[Way]) -> list[Finding]:
    """Compare what a map gains in two models, for the probe where they differ most."""
    found = []
    for name in dict.fromkeys(r.name(d) for r, d in ways):
        group = [way for way in ways if way[0].name(way[1]) == name]
        group = [way for way in group if way[0].population == group[0][0].population]
        group.sort(key=lambda way: _of(way, OVER_UNMAPPED).value)
        less, more = group[0], group[-1]
        if less[0].model_a != more[0].model_a:
            value = _of(more, OVER_UNMAPPED).value - _of(less, OVER_UNMAPPED).value
            ends = interval(_gain_draws(more) - _gain_draws(less))
            found.append((Estimate(value, *ends, more[0].searched, 0.0), name, more, less))
    if not found:
        return []
    apart, name, more, less = max(found, key=lambda one: one[0].value)
    gains = [100 * _of(way, OVER_UNMAPPED).value for way in (more, less)]
    return [
        Finding(
            f"Ridge from {name} changes rank-1 by {gains[0]:+.1f} points in {more[0].model_a} and by "
            f"{gains[1]:+.1f} in {less[0].model_a}{', where models differ most' if len(found) > 1 else ''}: "
            f"a difference of {_points(apart)}."
        )
    ]


def _gain_draws(way: Way) -> np.ndarray:
    main, floor = (way[0].rank_draws[way[1], ENTRIES.index(entry)] for entry in (RIDGE, UNMAPPED))
    gained: np.ndarray = main - floor
    return gained


def _each(ways: Sequence[Way], numbers: Sequence[Estimate]) -> str:
    return " and ".join(f"{_points(one)} ({_label(way)})" for way, one in zip(ways, numbers, strict=True))


def _stretching(ways: Sequence[Way]) -> Finding:
    """Say whether a rotation does as well as a map that may stretch."""
    found = [_of(way, OVER_ROTATION) for way in ways]
    lead = "Rank-1 by ridge, which may stretch, less that by a rotation (Procrustes) is"
    if len(ways) <= 2:
        return Finding(f"{lead} {_each(ways, found)}.")
    up, down = ([_sign(one) for one in found].count(sign) for sign in (1, -1))
    return Finding(
        f"{lead} {_range(ways, found)}; of {len(ways)} maps it is above zero beyond chance in {up} and "
        f"below in {down}."
    )


def _few_pairs(ways: Sequence[Way]) -> list[Finding]:
    """Test whether some hundreds of pairs do as well as all."""
    if not ways:
        return []
    parts, worse = [], []
    for entry, name in ((RIDGE, "ridge"), (ROTATION, "a rotation")):
        found = [_of(way, _few_name(entry)) for way in ways]
        worse.append([_sign(one) for one in found].count(1))
        parts.append(
            f"{name} loses {_each(ways, found)}"
            if len(ways) <= 2
            else f"{name} loses {_range(ways, found)}, beyond chance in {worse[-1]} of {len(ways)} maps"
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
