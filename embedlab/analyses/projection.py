"""Projection: the shape of the space, seen in pictures that say how far they can be trusted.

Unit vectors of one model under all probes are taken jointly. *Principal components* [1]_ are fitted on
one half of the people; variance is measured on the others, about the fitted mean. The scree is the share
of that variance along each component. *Effective rank* is the participation ratio (Σλ)²/Σλ² of the
covariance's eigenvalues: how many equally wide directions would spread the vectors as much. It is
estimated across the halves, as tr S·tr T/tr ST with S and T their covariances, because the plain ratio
comes out too small from a sample: here numerator and denominator are each free of bias. The exponential
of the eigenvalues' entropy, of the same name elsewhere, is another number, and never a smaller one. The
null of all three shuffles every coordinate over the rows, which keeps each coordinate's spread and
destroys what they share.

*t-SNE* [2]_ and *UMAP* [3]_ place people of that other half in the plane, from a start by principal
components [4]_. They are fitted on the very points they show.

*Trustworthiness* is how little a picture invents: 1 where every point's k nearest neighbours in the
picture are near in the space too [5]_. *Neighbours kept* is the share of each point's k nearest
neighbours in the space that are still among its k nearest in the picture. Both are means over the drawn
points; their nulls are those of random positions, about one half and k/(n − 1). Three seeds show what
is accident: for PCA each draws its own halves and people, for the maps each adds its own noise, of a
hundredth, to the start, and UMAP draws its steps anew.

Two models that drew the same images are compared by *shared neighbours*: of the k nearest neighbours that
a point has among the drawn ones in the space itself, not in a picture, the share that it has in both
models. Unrelated spaces share k/(n − 1). For the eye the second model's first 20 components are turned,
mirrored, scaled and shifted onto the first's (Procrustes), and the pictures are coloured by the share
that changed, because how far a point moved from one picture to the other says little.

Intervals are 95 % percentile intervals of a bootstrap over the people judged or drawn, what was fitted
staying as it is; for the effective rank over the people of both halves.

How to read it
--------------
Each colour is a person, each mark a probe. If one probe's marks lie in a cloud of their own, the
model encodes resolution; if marks of one colour lie together whatever their shape, it encodes the
person. Trust what you see only as far as explained variance, trustworthiness and neighbours kept go. In
t-SNE and UMAP look only at who lies beside whom: distances between clusters are no measure of anything,
and neither are the sizes and densities of clusters. A structure that another seed does not show is none.

Limits
------
Two or three axes are a shadow of the space: clouds that overlap there may lie apart in it, never the
other way round. The axes are those of largest variance, not those that tell people or probes apart best.
Components may be mirrored from one model to another. Maps split what is one cloud and find clusters in
noise. Variance counts every image, so people with many images rule it; of the drawn people a few images
each are shown, the same ones under every probe. The ten of the named picture are those with the most
images: no random sample. Neighbours are sought among the drawn images only, and people's own images,
sharp and blurred, are among them: with more people drawn the share is another.

References
----------
.. [1] Jolliffe, I. T. and Cadima, J. Principal component analysis: a review and recent developments.
   Philosophical Transactions of the Royal Society A 374, 2016.
.. [2] van der Maaten, L. and Hinton, G. Visualizing data using t-SNE. Journal of Machine Learning
   Research 9, 2008.
.. [3] McInnes, L., Healy, J. and Melville, J. UMAP: uniform manifold approximation and projection for
   dimension reduction. arXiv 1802.03426, 2018.
.. [4] Kobak, D. and Linderman, G. C. Initialization is critical for preserving global data structure in
   both t-SNE and UMAP. Nature Biotechnology 39, 2021.
.. [5] Venna, J. and Kaski, S. Neighborhood preservation in nonlinear projection methods: an
   experimental study. ICANN 2001.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Curve, Curves, Scatter, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, compared, unknown
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.linear import procrustes
from embedlab.maths.linear.joint import Joint, Sample
from embedlab.maths.pairs.moments import Drawn, mean
from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space import layouts as maps
from embedlab.maths.space.components import Components, RatioAcross, participation_ratio, principal, shares
from embedlab.maths.space.neighbours import chance_trustworthiness, nearest, overlap, trustworthiness
from embedlab.progress import busy, track

AXES = 3
SCREE = 20
NEIGHBOURS = 15
IMAGES = 4
NAMED_IMAGES = 20
SEEDS = 3
FEWEST = 5
FLAT, SOLID, TSNE, UMAP, NAMED = "PCA 2-D", "PCA 3-D", "t-SNE", "UMAP", "t-SNE, named people"
EXPLAINED = "variance explained by 3 axes, people not fitted on"
RANK = "effective rank, across the halves"
TRUST, KEPT = "trustworthiness", "neighbours kept"


@dataclass(frozen=True)
class ProjectionParams(Params):
    """Knobs of the projection."""

    drawn: int = bounded(100, least=1)
    """How many of the people that were not fitted on to draw."""
    named: int = bounded(10, least=1)
    """How many people the named picture shows: those with the most images."""
    points: int = bounded(1200, least=1)
    """About how many points a picture has at most: with many probes fewer images of each are drawn."""
    dimensions: int = bounded(3, least=2, most=3)
    """In how many dimensions the principal components are drawn."""
    map_dimensions: int = bounded(2, least=2, most=3)
    """In how many dimensions t-SNE and UMAP lay out the drawn people; named ones lie in the plane."""
    perplexity: float = bounded(30.0, above=0)
    """About how many neighbours a point of t-SNE listens to; bounded by the number of points."""
    surroundings: int = bounded(15, least=2)
    """How many neighbours UMAP takes a point's surroundings to be; bounded by the number of points."""
    compared: Literal["PCA", "t-SNE", "UMAP"] = "PCA"
    """Which picture two models are compared in; maps of two models seldom lie alike, however turned."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the split of people, of the draw, of the maps and of the resamples."""


@dataclass(frozen=True)
class Projection(Result):
    """How wide the space is along each component, and pictures of drawn people.

    The rows of ``scree`` are shares of variance: of the people not fitted on, the ends of its interval,
    in sample, and the null. ``native`` holds the neighbours in the space, as rows of the drawn ones.
    """

    fitted_people: int = field(metadata={"label": "people fitted on"})
    judged_people: int = field(metadata={"label": "people judged"})
    drawn_people: int = field(metadata={"label": "people drawn, of those judged"})
    all_people: int = field(metadata={"label": "people in all"})
    images: int = field(metadata={"label": "images drawn of a person, at most"})
    named_images: int = field(metadata={"hidden": True})
    dimensions: int = field(metadata={"hidden": True})
    compared: str = field(metadata={"hidden": True})
    resamples: int = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    estimates: Estimates
    explained_in_sample: float = field(metadata={"label": "variance explained by 3 axes, in sample"})
    rank_in_sample: float = field(metadata={"label": "effective rank, in sample"})
    dimension: int = field(metadata={"label": "numbers a vector"})
    neighbours: int = field(metadata={"label": "k of trustworthiness and neighbours kept"})
    pictures: tuple[str, ...]
    trustworthiness_by_seed: Float[np.ndarray, "pictures seeds"]
    kept_by_seed: Float[np.ndarray, "pictures seeds"]
    scree: Float[np.ndarray, "5 components"]
    probes: tuple[str, ...]
    identities: tuple[str, ...]
    person: Int[np.ndarray, " n"]
    probe: Int[np.ndarray, " n"]
    items: Shaped[np.ndarray, " n"]
    pca: Float[np.ndarray, "n components"]
    tsne: Float[np.ndarray, "n axes"]
    umap: Float[np.ndarray, "n axes"]
    native: Int[np.ndarray, "n k"]
    named_identities: tuple[str, ...]
    named_person: Int[np.ndarray, " m"]
    named_probe: Int[np.ndarray, " m"]
    named_items: Shaped[np.ndarray, " m"]
    named_tsne: Float[np.ndarray, "m 2"]


def compute(sets: Sequence[EmbeddingSet], params: ProjectionParams) -> Projection:
    """Fit components on half the people of all probes, and draw people of the other half.

    Raises
    ------
    UserError
        If there are fewer than four people or too few images to draw, or vectors of fewer than three
        numbers or without variance.
    """
    rows, model = _joint(sets), sets[0].model
    halves = [_Halves.of(rows, params.seed + k) for k in track(range(SEEDS), "principal components")]
    fitted, judged = halves[0].fitted, halves[0].judged
    variance = _Variance.of(rows, halves[0], model, params)
    images = _images(IMAGES, min(params.drawn, len(judged)), len(sets), params)
    samples = [
        _enough(model, rows.sample(np.sort(half.judged[: params.drawn]), images, params.seed + k))
        for k, half in enumerate(halves)
    ]
    most = rows.most_photographed(judged, params.named)
    named_images = _images(NAMED_IMAGES, len(most), len(sets), params)
    shown, named = samples[0], _enough(model, rows.sample(most, named_images, params.seed))
    pictures = _pictures(rows, halves, samples, named, params)
    judging = track(pictures.items(), "judging pictures", len(pictures))
    quality = {name: _Quality.of(rows, many, params) for name, many in judging}
    estimates = variance.estimates
    estimates |= {(TRUST, name): q.trust for name, q in quality.items()}
    estimates |= {(KEPT, name): q.kept for name, q in quality.items()}
    k = _k(shown)
    return Projection(
        title=model,
        fitted_people=len(fitted),
        judged_people=len(judged),
        drawn_people=len(shown.people),
        all_people=len(rows.identities),
        images=images,
        named_images=named_images,
        dimensions=params.dimensions,
        compared=params.compared,
        resamples=params.resamples,
        seed=params.seed,
        estimates=estimates,
        explained_in_sample=variance.explained_in_sample,
        rank_in_sample=variance.rank_in_sample,
        dimension=rows.vectors.shape[1],
        neighbours=k,
        pictures=tuple(quality),
        trustworthiness_by_seed=np.stack([q.trust_by_seed for q in quality.values()]),
        kept_by_seed=np.stack([q.kept_by_seed for q in quality.values()]),
        scree=variance.scree[:, :SCREE],
        probes=rows.probes,
        identities=tuple(rows.identities[shown.people].tolist()),
        person=shown.owners,
        probe=rows.probe[shown.rows],
        items=rows.items[shown.rows],
        pca=halves[0].components.project(rows.vectors[shown.rows], SCREE).astype(np.float32),
        tsne=pictures[TSNE][0][1],
        umap=pictures[UMAP][0][1],
        native=nearest(rows.vectors[shown.rows], k, metric="euclidean")[0].astype(np.int32),
        named_identities=tuple(rows.identities[most].tolist()),
        named_person=named.owners,
        named_probe=rows.probe[named.rows],
        named_items=rows.items[named.rows],
        named_tsne=pictures[NAMED][0][1],
    )


def _joint(sets: Sequence[EmbeddingSet]) -> Joint:
    rows, model = Joint.of(sets), sets[0].model
    if len(rows.identities) < 4:
        raise UserError(
            f"{model}: a projection is fitted on half of the people and shows the others, and there "
            f"are only {len(rows.identities)}: give images of at least 4"
        )
    if rows.vectors.shape[1] < AXES:
        raise UserError(f"{model} has vectors of {rows.vectors.shape[1]} numbers; three axes need at least 3")
    return rows


def _enough(model: str, sample: Sample) -> Sample:
    if len(sample.rows) < FEWEST:
        raise UserError(
            f"{model}: {len(sample.rows)} images of {len(sample.people)} people make no picture: give or "
            f"draw at least {FEWEST}"
        )
    return sample


def _images(most: int, people: int, probes: int, params: ProjectionParams) -> int:
    return max(1, min(most, params.points // (people * probes)))


def _k(sample: Sample) -> int:
    return min(NEIGHBOURS, (len(sample.rows) - 1) // 2)


@dataclass(frozen=True)
class _Halves:
    """The people fitted on, the others in the order they are drawn in, and what was fitted."""

    fitted: np.ndarray
    judged: np.ndarray
    components: Components

    @classmethod
    def of(cls, rows: Joint, seed: int) -> "_Halves":
        fitted, judged = rows.halves(seed)
        return cls(fitted, judged, principal(rows.vectors[np.isin(rows.person, fitted)], rows.vectors))


@dataclass(frozen=True)
class _Variance:
    """What the components fitted on one half of the people say of the other."""

    scree: np.ndarray
    estimates: Estimates
    explained_in_sample: float
    rank_in_sample: float

    @classmethod
    def of(cls, rows: Joint, halves: _Halves, model: str, params: ProjectionParams) -> "_Variance":
        inside, (own, other) = np.isin(rows.person, halves.fitted), rows.owners(halves.fitted, halves.judged)
        components, people = halves.components, len(halves.judged)
        squares = components.squares(rows.vectors[~inside], other, people)
        fitted, whole = components.variances, squares.sum(axis=0)
        if min(fitted.sum(), whole.sum() / len(other)) < 1e-10:
            raise UserError(
                f"{model}: all vectors of half of the people point one way, so there is nothing to see: "
                "check the vectors"
            )
        everybody = rows.identities[np.concatenate([halves.judged, halves.fitted])].tolist()
        judged = People.of(everybody[:people], params, items=everybody[people:])
        counts = judged.counts.astype(np.float64)
        drawn = shares(counts @ squares)
        across = RatioAcross.of(rows.vectors[inside], own, rows.vectors[~inside], other, components.mean)
        # A seed of its own, or halves of one size would be resampled in step.
        more = resamples(len(halves.fitted), params.resamples, params.seed + 1).astype(np.float64)
        ranks = across.replicates(more, counts)
        shuffled = np.random.default_rng([params.seed, 1]).permuted(rows.vectors, axis=0)
        chance = principal(shuffled[inside], shuffled)
        null = shares(chance.squares(shuffled[~inside], np.zeros_like(other), 1)[0])
        null_rank = RatioAcross.of(shuffled[inside], own, shuffled[~inside], other, chance.mean).value
        explained = Drawn(float(shares(whole)[:AXES].sum()), drawn[:, :AXES].sum(axis=1))
        rank = Drawn(across.value, ranks)
        found = Estimates()
        found[EXPLAINED,] = judged.estimate(explained, people, float(null[:AXES].sum()))
        found[RANK,] = judged.estimate(rank, len(rows.identities), null_rank)
        ends = np.nanquantile(drawn, [0.025, 0.975], axis=0)
        return cls(
            scree=np.stack([shares(whole), *ends, shares(fitted), null]),
            estimates=found,
            explained_in_sample=float(shares(fitted)[:AXES].sum()),
            rank_in_sample=participation_ratio(fitted),
        )


_Pictures = list[tuple[Sample, np.ndarray]]


def _pictures(
    rows: Joint, halves: Sequence[_Halves], samples: Sequence[Sample], named: Sample, params: ProjectionParams
) -> dict[str, _Pictures]:
    """Draw every picture under each seed: the points and whose they are."""
    shown = samples[0]
    drawn: dict[str, _Pictures] = {name: [] for name in (FLAT, SOLID, TSNE, UMAP, NAMED)}
    for k, (half, sample) in enumerate(track(zip(halves, samples, strict=True), "drawing pictures", SEEDS)):
        seed = params.seed + k
        solid = half.components.project(rows.vectors[sample.rows], AXES)
        drawn[FLAT].append((sample, solid[:, :2]))
        drawn[SOLID].append((sample, solid))
        vectors, axes = rows.vectors[shown.rows], params.map_dimensions
        with busy(f"t-SNE of {len(vectors):,} images"):
            drawn[TSNE].append((shown, maps.tsne(vectors, params.perplexity, seed, axes)))
        with busy(f"UMAP of {len(vectors):,} images"):
            drawn[UMAP].append((shown, maps.umap(vectors, params.surroundings, seed, axes)))
        with busy(f"t-SNE of {len(named.rows):,} images of people by name"):
            drawn[NAMED].append((named, maps.tsne(rows.vectors[named.rows], params.perplexity, seed)))
    return drawn


@dataclass(frozen=True)
class _Quality:
    """How far a picture can be trusted, and how far the seeds agree."""

    trust: Estimate
    kept: Estimate
    trust_by_seed: np.ndarray
    kept_by_seed: np.ndarray

    @classmethod
    def of(cls, rows: Joint, pictures: _Pictures, params: ProjectionParams) -> "_Quality":
        trusts, kepts = [], []
        for sample, points in pictures:
            space, k = rows.vectors[sample.rows], _k(sample)
            near, seen = (nearest(x, k, metric="euclidean")[0] for x in (space, points))
            trusts.append(trustworthiness(space, points, k))
            kepts.append(overlap(near, seen))
        shown = pictures[0][0]
        people, n, k = _people(rows, shown, params), len(shown.rows), _k(shown)
        return cls(
            _mean(trusts[0], shown.owners, people, chance_trustworthiness(n, k)),
            _mean(kepts[0], shown.owners, people, k / (n - 1)),
            np.array([values.mean() for values in trusts]),
            np.array([values.mean() for values in kepts]),
        )


def _people(rows: Joint, sample: Sample, params: ProjectionParams) -> People:
    """Draw the people of a sample; other images of them, or other probes, are another draw."""
    images = zip(rows.person[sample.rows], rows.probe[sample.rows], rows.items[sample.rows], strict=True)
    names = (f"{rows.identities[who]} {rows.probes[how]} {item}" for who, how, item in images)
    return People.of(rows.identities[sample.people].tolist(), params, items=names)


def _mean(values: np.ndarray, owners: np.ndarray, people: People, null: float) -> Estimate:
    return people.estimate(mean(values, owners, people.counts), len(people.counts[0]), null)


@dataclass(frozen=True)
class _Agreement:
    """How many neighbours the drawn points of two models share: each point, and on the whole."""

    points: np.ndarray
    whole: Estimate


def _agreement(a: Projection, b: Projection) -> _Agreement | None:
    """Compare two models' neighbours; None where they did not draw the same images."""
    if not a.estimates[TRUST, FLAT].is_paired(b.estimates[TRUST, FLAT]):
        return None
    points = overlap(a.native, b.native)
    people = People.of(a.identities, a)
    return _Agreement(points, _mean(points, a.person, people, a.neighbours / (len(points) - 1)))


def charts(results: Sequence[Projection]) -> list[Chart]:
    """Four pictures a model, the scree and the quality of all; two coloured ones for each comparison."""
    drawn: list[Chart] = []
    for r in results:
        drawn += [_cloud(r, FLAT if r.dimensions == 2 else SOLID), _cloud(r, TSNE), _cloud(r, UMAP)]
        drawn.append(_named(r))
    drawn += [_scree(results), _qualities(results)]
    for other in results[1:]:
        agreement = _agreement(results[0], other)
        if agreement is not None:
            drawn += _changed(results[0], other, agreement)
    return drawn


def _points(r: Projection, picture: str) -> np.ndarray:
    return {FLAT: r.pca[:, :2], SOLID: r.pca[:, :AXES], TSNE: r.tsne, UMAP: r.umap}[picture]


def _axes(r: Projection, picture: str) -> tuple[str, ...]:
    if picture in (FLAT, SOLID):
        size = 2 if picture == FLAT else 3
        return tuple(f"PC {k + 1} ({share:.1%})" for k, share in enumerate(r.scree[0, :size]))
    return tuple(f"{picture} {k + 1}" for k in range(_points(r, picture).shape[1]))


def _hover(names: Sequence[str], person: np.ndarray, items: np.ndarray, probes: np.ndarray) -> np.ndarray:
    rows = zip(person, items, probes, strict=True)
    return np.array([f"{names[who]}: {item}, {how}" for who, item, how in rows])


def _cloud(r: Projection, picture: str) -> Scatter:
    return Scatter(
        title=f"{picture} of {' and '.join(r.probes)} in {r.title}",
        points=_points(r, picture),
        axes=_axes(r, picture),
        groups=r.person,
        group_names=r.identities,
        marks=r.probe,
        mark_names=r.probes,
        hover=_hover(r.identities, r.person, r.items, np.asarray(r.probes)[r.probe]),
        note=f"{_sampled(r)} {_reading(r, picture)} {_trust(r, picture)}",
    )


def _named(r: Projection) -> Scatter:
    return Scatter(
        title=f"t-SNE of {len(r.named_identities)} named people in {r.title}",
        points=r.named_tsne,
        axes=(f"{TSNE} 1", f"{TSNE} 2"),
        groups=r.named_person,
        group_names=r.named_identities,
        named=True,
        marks=r.named_probe,
        mark_names=r.probes,
        hover=_hover(r.named_identities, r.named_person, r.named_items, np.asarray(r.probes)[r.named_probe]),
        note=f"The {len(r.named_identities)} people with the most images among the {r.judged_people:,} not "
        f"fitted on, at most {r.named_images} images of each: no random sample. {_reading(r, NAMED)} "
        f"{_trust(r, NAMED)}",
    )


def _sampled(r: Projection) -> str:
    few = "1 image" if r.images == 1 else f"{r.images} images"
    return f"{r.drawn_people:,} of {r.all_people:,} people, seed {r.seed}, at most {few} of each."


def _reading(r: Projection, picture: str) -> str:
    if picture in (FLAT, SOLID):
        return f"None of them is among the {r.fitted_people:,} that the axes were fitted on."
    return (
        "Fitted on the points it shows; distances between clusters, and their sizes and densities, mean "
        "nothing."
    )


def _trust(r: Projection, picture: str) -> str:
    row = r.pictures.index(picture)
    trust, kept = r.trustworthiness_by_seed[row], r.kept_by_seed[row]
    return (
        f"Trustworthiness {trust[0]:.2f} ({trust.min():.2f}–{trust.max():.2f} over {len(trust)} seeds), "
        f"neighbours kept {kept[0]:.0%} ({kept.min():.0%}–{kept.max():.0%})."
    )


def _scree(results: Sequence[Projection]) -> Curves:
    lines: list[Curve] = []
    for r in results:
        judged, low, high, fitted, null = r.scree
        x = np.arange(1, len(judged) + 1)
        lines += [
            Curve(r.title, x, judged, low, high, model=r.title, markers=True),
            Curve(f"{r.title}, in sample", x, fitted, model=r.title, dash="dash"),
            Curve(f"{r.title}, null", x, null, dash="dot", role="null"),
        ]
    return Curves(
        title="Variance along each principal component",
        xlabel="component",
        ylabel="share of variance",
        curves=tuple(lines),
        note="Fitted on one half of the people, measured on the others (with 95 % interval) and, in sample, "
        "on the same; null: every coordinate shuffled over the rows.",
    )


def _qualities(results: Sequence[Projection]) -> Table:
    rows = []
    for r in results:
        for k, name in enumerate(r.pictures):
            trust, kept = r.estimates[TRUST, name], r.estimates[KEPT, name]
            spread = (
                f"{v.min():.3f}–{v.max():.3f}" for v in (r.trustworthiness_by_seed[k], r.kept_by_seed[k])
            )
            over_trust, over_kept = spread
            rows.append((r.title, name, trust, over_trust, trust.null, kept, over_kept, kept.null))
    over = f"over {SEEDS} seeds"
    return Table(
        title="How far each picture can be trusted",
        columns=(
            *("model", "picture", "trustworthiness", over, "by chance", "neighbours kept", over, "by chance"),
        ),
        rows=tuple(rows),
        note="PCA is judged on people it was not fitted on; t-SNE and UMAP are fitted on what they show.",
    )


def _changed(a: Projection, b: Projection, agreement: _Agreement) -> list[Chart]:
    """Draw both models' pictures, the second brought onto the first, coloured by what changed."""
    onto, moved, turned = _aligned(a, b)
    both = np.concatenate([onto, moved])
    low, high = both.min(axis=0), both.max(axis=0)
    room = 0.04 * np.maximum(high - low, 1e-6)
    change, whole = 1.0 - agreement.points, agreement.whole
    hover = _hover(a.identities, a.person, a.items, np.asarray(a.probes)[a.probe])
    note = (
        f"{_sampled(a)} Colour: of a point's {a.neighbours} nearest neighbours among the drawn, in the "
        f"spaces themselves, the share that both models do not have in common: {1 - whole.value:.0%} on "
        f"average, {1 - (whole.null or 0.0):.0%} between unrelated spaces."
    )
    kind = "PC" if a.compared == "PCA" else a.compared
    drawn: list[Chart] = []
    for title, points, more in (
        (f"{a.title}: where neighbours change in {b.title}", onto, ""),
        (f"{b.title} turned onto {a.title}", moved, f" {turned}"),
    ):
        drawn.append(
            Scatter(
                title=title,
                points=points,
                axes=(f"{kind} 1 of {a.title}", f"{kind} 2 of {a.title}"),
                groups=a.person,
                group_names=a.identities,
                marks=a.probe,
                mark_names=a.probes,
                hover=np.array([f"{t}: {c:.0%} changed" for t, c in zip(hover, change, strict=True)]),
                note=note + more,
                values=change,
                value_label=f"share of {a.neighbours} neighbours changed",
                value_range=(0.0, 1.0),
                ranges=tuple(zip((low - room).tolist(), (high + room).tolist(), strict=True)),
            )
        )
    return drawn


def _aligned(a: Projection, b: Projection) -> tuple[np.ndarray, np.ndarray, str]:
    """Bring the second picture onto the first, and say what that leaves.

    Components are turned in as many dimensions as are at hand, because a direction that is the second
    of one model may be the fifth of the other.
    """
    if a.compared == "PCA":
        size = min(a.pca.shape[1], b.pca.shape[1])
        onto, moved = a.pca[:, :size].astype(np.float64), b.pca[:, :size].astype(np.float64)
    else:
        onto, moved = (_points(r, a.compared).astype(np.float64) for r in (a, b))
    moved = procrustes.fit(moved, onto).apply(moved)
    middle = onto.mean(axis=0)
    whole, matched = float(((onto - middle) ** 2).sum()), float(((moved - middle) ** 2).sum())
    # Least squares shrinks what does not fit; drawn at its own size, it does not look like a collapse.
    moved = middle + (moved - middle) * np.sqrt(whole / matched if matched else 1.0)
    where = f" in the first {onto.shape[1]} components" if a.compared == "PCA" else ""
    turned = (
        f"Turned, mirrored, shifted and brought to one size with {a.title}{where}, as fits these points "
        f"best; {1 - matched / whole if whole else 0.0:.0%} of their spread there stays unmatched."
    )
    return onto[:, :2], moved[:, :2], turned


def findings(results: Sequence[Projection]) -> list[Finding]:
    """Say how wide each space is, how far its pictures can be trusted, and what models share."""
    said = []
    for r in results:
        said += [_width(r), _best(r)]
    for other in results[1:]:
        said += _comparison(results[0], other)
    return said


def _width(r: Projection) -> Finding:
    explained, rank = r.estimates[EXPLAINED,], r.estimates[RANK,]
    return Finding(
        f"Three axes fitted on {r.fitted_people:,} people carry {explained:.0%} of the variance of "
        f"{r.judged_people:,} others in {r.title} ({explained.null or 0.0:.0%} if its coordinates were "
        f"unrelated); its effective rank, estimated across both halves, is {rank:.1f} of {r.dimension} "
        f"({rank.null or 0.0:.1f} if unrelated)."
    )


def _best(r: Projection) -> Finding:
    names = [name for name in r.pictures if name != NAMED]
    best = max(names, key=lambda name: r.estimates[KEPT, name].value)
    kept, seeds = r.estimates[KEPT, best], r.kept_by_seed[r.pictures.index(best)]
    return Finding(
        f"Of the pictures of {r.title}, {best} keeps the most of each point's {r.neighbours} nearest "
        f"neighbours, {kept:.0%} ({kept.null or 0.0:.0%} by chance; {seeds.min():.0%} to {seeds.max():.0%} "
        f"over {len(seeds)} seeds)."
    )


def _comparison(a: Projection, b: Projection) -> list[Finding]:
    agreement = _agreement(a, b)
    if agreement is None:
        return [
            Finding(
                f"{a.title} and {b.title} did not draw the same images, so their spaces are not compared."
            )
        ]
    whole = agreement.whole
    null = whole.null or 0.0
    text = (
        f"Of an image's {a.neighbours} nearest among the drawn ones, {a.title} and {b.title} share "
        f"{whole:.0%} ({null:.0%} between unrelated spaces)"
    )
    if whole.low is None:
        text += f"; {unknown('share')}"
    elif whole.low <= null:
        text += ", which may be chance"
    wide, narrow = sorted((a, b), key=lambda r: -r.estimates[RANK,].value)
    return [Finding(f"{text}."), _wider(wide, narrow)]


def _wider(wide: Projection, narrow: Projection) -> Finding:
    one, other = wide.estimates[RANK,], narrow.estimates[RANK,]
    ends = (one - other).value, (one - other).low, (one - other).high
    if all(end is not None and abs(end) < 0.05 for end in ends):
        return Finding(f"{wide.title} and {narrow.title} have one effective rank, to a tenth.")
    text = f"The effective rank of {wide.title} is above that of {narrow.title}"
    return compared(text, one, other, spec=".1f", tones=("plain", "plain"))


ANALYSIS = Analysis(
    question="What does the embedding space look like, and where do sharp and blurred images land?",
    over="model",
    params=ProjectionParams(),
    result=Projection,
    compute=compute,
    charts=charts,
    findings=findings,
)
