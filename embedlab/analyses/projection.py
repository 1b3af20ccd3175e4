"""Projection: what the embedding space looks like, in pictures that say how far they can be trusted.

A sample of people is shown: of each a few images, the same ones under every probe; a picture is a sample
and says so. *Principal components* [1]_ are fitted on one half of all people, and those shown are of the
other half. *t-SNE* [2]_ and *UMAP* [3]_ lay out the very points that they show, from a start by principal
components [4]_.

*Trustworthiness* is how little a picture invents: 1 where every point's k nearest neighbours in the picture
are near in the space too [5]_. *Neighbours kept* is the share of each point's k nearest neighbours in the
space that are still among its k nearest in the picture. Both are means over the points shown; their nulls
are those of random positions, about one half and k/(n − 1). Intervals are 95 % intervals of a
bootstrap over the people shown. Two models are laid over each other by overlay.

How to read it
--------------
Each colour is a person, each mark a probe. If one probe's marks lie in a cloud of their own, the model
encodes resolution; if marks of one colour lie together whatever their shape, it encodes the person. Trust
what you see only as far as the figures under the picture go. In t-SNE and UMAP look only at who lies beside
whom: distances between clusters are no measure of anything, and neither are their sizes and densities. A
structure that another layout (``layouts``) does not show is none.

Limits
------
Two or three axes are a shadow of the space: clouds that overlap there may lie apart in it, never the other
way round. Components may be mirrored from one model to another. Maps split what is one cloud and find
clusters in noise. The people of the named picture are those with the most images: no random sample.

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

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Scatter
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.linear.joint import Joint, Sample
from embedlab.maths.pairs.moments import mean
from embedlab.maths.space import layouts as maps
from embedlab.maths.space.components import Components, principal
from embedlab.maths.space.layouts import Surroundings
from embedlab.maths.space.neighbours import chance_trustworthiness, nearest, overlap, trustworthiness
from embedlab.progress import busy, track

AXES = 3
NEIGHBOURS = 15
IMAGES, NAMED_IMAGES = 4, 20
FEWEST = 5
FLAT, SOLID, TSNE, UMAP, NAMED = "PCA 2-D", "PCA 3-D", "t-SNE", "UMAP", "t-SNE, named people"
TRUST, KEPT = "trustworthiness", "neighbours kept"
FITTED = "None of them is among those that the axes were fitted on."
LAID = "Laid out for the points shown: distances between clusters, their sizes and densities mean nothing."


@dataclass(frozen=True)
class ProjectionParams(Params):
    """Knobs of the projection."""

    drawn: int = bounded(100, least=1)
    """How many of the people that were not fitted on are shown, drawn at random."""
    named: int = bounded(10, least=1)
    """How many people the named picture shows: those with the most images."""
    points: int = bounded(800, least=1)
    """About how many points a picture has at most: with many probes fewer images of each are drawn."""
    layouts: int = bounded(1, least=1)
    """How often t-SNE and UMAP are laid out: from three on their spread shows what of a map is accident."""
    dimensions: int = bounded(3, least=2, most=3)
    """In how many dimensions the principal components are drawn."""
    map_dimensions: int = bounded(2, least=2, most=3)
    """In how many dimensions t-SNE and UMAP lay out the drawn people; named ones lie in the plane."""
    perplexity: float = bounded(30.0, above=0)
    """About how many neighbours a point of t-SNE listens to; bounded by the number of points."""
    surroundings: int = bounded(15, least=2)
    """How many neighbours UMAP takes a point's surroundings to be; bounded by the number of points."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the split of people, of the draw, of the maps and of the resamples."""


@dataclass(frozen=True)
class Projection(Result):
    """Pictures of drawn people: the points of all pictures stand one under another, padded to three axes."""

    fitted_people: int = field(metadata={"label": "people fitted on"})
    judged_people: int = field(metadata={"label": "people not fitted on"})
    drawn_people: int = field(metadata={"label": "people drawn, of those not fitted on"})
    all_people: int = field(metadata={"label": "people in all"})
    images: int = field(metadata={"label": "images drawn of a person, at most"})
    named_images: int = field(metadata={"hidden": True})
    dimensions: int = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    estimates: Estimates
    neighbours: int = field(metadata={"label": "k of trustworthiness and neighbours kept"})
    component_shares: Float[np.ndarray, " 3"]
    probes: tuple[str, ...]
    identities: tuple[str, ...]
    pictures: tuple[str, ...]
    axes: Int[np.ndarray, " pictures"]
    kept_by_layout: Float[np.ndarray, "pictures layouts"]
    picture: Int[np.ndarray, " n"]
    points: Float[np.ndarray, "n 3"]
    person: Int[np.ndarray, " n"]
    probe: Int[np.ndarray, " n"]
    items: Shaped[np.ndarray, " n"]


def compute(sets: Sequence[EmbeddingSet], params: ProjectionParams) -> Projection:
    """Fit components on half the people of all probes, and draw people of the other half.

    Raises
    ------
    UserError
        If there are fewer than four people or too few images to draw, or vectors of fewer than three
        numbers or without variance.
    """
    rows, model = Joint.of(sets), sets[0].model
    if len(rows.identities) < 4:
        raise UserError(
            f"{model}: a projection is fitted on half of the people and shows the others, and there "
            f"are only {len(rows.identities)}: give images of at least 4"
        )
    if rows.vectors.shape[1] < AXES:
        raise UserError(f"{model} has vectors of {rows.vectors.shape[1]} numbers; three axes need at least 3")
    fitted, judged = rows.halves(params.seed)
    inside = np.isin(rows.person, fitted)
    with busy(f"principal components of {np.count_nonzero(inside):,} images"):
        components = principal(rows.vectors[inside], rows.vectors)
    component_shares = _explained(components, rows.vectors[~inside], model)
    images = _images(IMAGES, min(params.drawn, len(judged)), len(sets), params)
    shown = _enough(model, rows.sample(np.sort(judged[: params.drawn]), images, params.seed))
    most = rows.most_photographed(judged, params.named)
    named_images = _images(NAMED_IMAGES, len(most), len(sets), params)
    named = _enough(model, rows.sample(most, named_images, params.seed))
    drawn = {
        **_pictures(rows, shown, components, params),
        NAMED: _Picture.of(NAMED, named, _around(rows, named, params), params),
    }
    estimates, kept = Estimates(), []
    for name, one in track(drawn.items(), "judging pictures", len(drawn)):
        quality, by_layout = one.quality(_people(rows, one.sample, params))
        estimates |= {(what, name): found for what, found in quality.items()}
        kept.append(np.resize(by_layout, params.layouts))
    sample = np.concatenate([one.sample.rows for one in drawn.values()])
    who, person = np.unique(rows.person[sample], return_inverse=True)
    return Projection(
        title=model,
        fitted_people=len(fitted),
        judged_people=len(judged),
        drawn_people=len(shown.people),
        all_people=len(rows.identities),
        images=images,
        named_images=named_images,
        dimensions=params.dimensions,
        seed=params.seed,
        estimates=estimates,
        neighbours=_k(shown),
        component_shares=component_shares,
        probes=rows.probes,
        identities=tuple(rows.identities[who].tolist()),
        pictures=tuple(drawn),
        axes=np.array([one.placed[0].shape[1] for one in drawn.values()]),
        kept_by_layout=np.stack(kept),
        picture=np.repeat(np.arange(len(drawn)), [len(one.sample.rows) for one in drawn.values()]),
        points=np.concatenate([one.solid for one in drawn.values()]),
        person=person,
        probe=rows.probe[sample],
        items=rows.items[sample],
    )


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


def _explained(components: Components, others: np.ndarray, model: str) -> Float[np.ndarray, " 3"]:
    """Give the share of the variance of people not fitted on, about the fitted mean, along each axis."""
    whole = ((others - components.mean) ** 2).sum()
    if min(components.variances.sum(), whole / len(others)) < 1e-10:
        raise UserError(
            f"{model}: all vectors of half of the people point one way, so there is nothing to see: "
            "check the vectors"
        )
    found: np.ndarray = (components.project(others, AXES) ** 2).sum(axis=0) / whole
    return found


def _around(rows: Joint, sample: Sample, params: ProjectionParams) -> Surroundings:
    return Surroundings.of(rows.vectors[sample.rows], params.perplexity, params.surroundings, _k(sample))


@dataclass(frozen=True)
class _Picture:
    """Points of a sample, placed once for each layout, and their neighbours in the space."""

    sample: Sample
    around: Surroundings
    placed: list[np.ndarray]

    @classmethod
    def of(cls, name: str, sample: Sample, around: Surroundings, params: ProjectionParams) -> "_Picture":
        """Lay the points out by t-SNE or UMAP."""
        axes, placed = 2 if name == NAMED else params.map_dimensions, []
        for seed in range(params.seed, params.seed + params.layouts):
            with busy(f"{name} of {len(sample.rows):,} images"):
                if name == UMAP:
                    placed.append(maps.umap(around, params.surroundings, seed, axes))
                else:
                    placed.append(maps.tsne(around, params.perplexity, seed, axes))
        return cls(sample, around, placed)

    @property
    def solid(self) -> Float[np.ndarray, "n 3"]:
        """The first layout, padded to three axes."""
        first = self.placed[0]
        return np.pad(first, ((0, 0), (0, AXES - first.shape[1]))).astype(np.float32)

    def quality(self, people: People) -> tuple[dict[str, Estimate], list[float]]:
        """Say how far the first layout can be trusted; and what each layout keeps of the neighbours."""
        n, k, owners = len(self.sample.rows), _k(self.sample), self.sample.owners
        near = self.around.near[:, :k]
        kept = [overlap(near, nearest(one, k, metric="euclidean")[0]) for one in self.placed]
        trust = trustworthiness(self.around.vectors, self.placed[0], k)
        nulls = {TRUST: chance_trustworthiness(n, k), KEPT: k / (n - 1)}
        found = {TRUST: mean(trust, owners, people.counts), KEPT: mean(kept[0], owners, people.counts)}
        shown = len(self.sample.people)
        estimates = {what: people.estimate(found[what], shown, null) for what, null in nulls.items()}
        return estimates, [float(values.mean()) for values in kept]


def _pictures(
    rows: Joint, shown: Sample, components: Components, params: ProjectionParams
) -> dict[str, _Picture]:
    """Draw components, and maps of the same points from neighbours found once."""
    around = _around(rows, shown, params)
    pca = components.project(around.vectors, AXES)
    drawn = {FLAT: _Picture(shown, around, [pca[:, :2]]), SOLID: _Picture(shown, around, [pca])}
    return drawn | {name: _Picture.of(name, shown, around, params) for name in (TSNE, UMAP)}


def _people(rows: Joint, sample: Sample, params: ProjectionParams) -> People:
    """Draw the people of a sample; other images of them, or other probes, are another draw."""
    images = zip(rows.person[sample.rows], rows.probe[sample.rows], rows.items[sample.rows], strict=True)
    names = (f"{rows.identities[who]} {rows.probes[how]} {item}" for who, how, item in images)
    return People.of(rows.identities[sample.people].tolist(), params, items=names)


def charts(results: Sequence[Projection]) -> list[Chart]:
    """Draw four pictures a model, components of all within one span."""
    unwanted = SOLID if all(r.dimensions == 2 for r in results) else FLAT
    reach = 1.05 * max(float(np.abs(r.points[r.picture <= r.pictures.index(SOLID)]).max()) for r in results)
    return [_picture(r, name, reach) for r in results for name in r.pictures if name != unwanted]


def _picture(r: Projection, name: str, reach: float) -> Scatter:
    place, pca = r.pictures.index(name), name in (FLAT, SOLID)
    mine, axes = r.picture == place, int(r.axes[place])
    who, groups = np.unique(r.person[mine], return_inverse=True)
    shown = zip(r.person[mine], r.items[mine], r.probe[mine], strict=True)
    kind = TSNE if name == NAMED else name
    title = f"t-SNE of {len(who)} named people" if name == NAMED else f"{name} of {' and '.join(r.probes)}"
    return Scatter(
        title=f"{title} in {r.title}",
        points=r.points[mine, :axes],
        axes=tuple(
            f"PC {k + 1} ({r.component_shares[k]:.1%})" if pca else f"{kind} {k + 1}" for k in range(axes)
        ),
        groups=groups,
        group_names=tuple(r.identities[k] for k in who),
        named=name == NAMED,
        marks=r.probe[mine],
        mark_names=r.probes,
        hover=np.array([f"{r.identities[one]}: {item}, {r.probes[how]}" for one, item, how in shown]),
        people=np.array(r.identities)[r.person[mine]],
        items=np.array(r.items[mine]),
        ranges=((-reach, reach),) * axes if pca else None,
        note=f"{_sampled(r, name)} {FITTED if pca else LAID} {_trust(r, name)}",
    )


def _sampled(r: Projection, picture: str) -> str:
    if picture == NAMED:
        return (
            f"The people with the most images among the {r.judged_people:,} not fitted on, at most "
            f"{r.named_images} images of each: no random sample."
        )
    few = "1 image" if r.images == 1 else f"{r.images} images"
    return f"A sample: {r.drawn_people:,} of {r.all_people:,} people, seed {r.seed}, at most {few} of each."


def _trust(r: Projection, picture: str) -> str:
    trust, kept = r.estimates[TRUST, picture], r.estimates[KEPT, picture]
    every = r.kept_by_layout[r.pictures.index(picture)]
    over = f"; {every.min():.0%}–{every.max():.0%} over {len(every)} layouts" if np.ptp(every) else ""
    chance = f"{kept.null:.0%} by chance{over}"
    return f"Trustworthiness {trust.value:.2f}, neighbours kept {kept.value:.0%} ({chance})."


def findings(results: Sequence[Projection]) -> list[Finding]:
    """Say which picture of each model can be trusted most."""
    said = []
    for r in results:
        names = [name for name in r.pictures if name != NAMED]
        best = max(names, key=lambda name: r.estimates[KEPT, name].value)
        kept = r.estimates[KEPT, best]
        text = f"Of the pictures of {r.title}, {best} keeps the most of each point's {r.neighbours} nearest"
        said.append(Finding(f"{text} neighbours, {kept:.0%} ({kept.null or 0.0:.0%} by chance)."))
    return said


ANALYSIS = Analysis(
    question="What does the embedding space look like, and where do sharp and blurred images land?",
    over="model",
    params=ProjectionParams(),
    result=Projection,
    compute=compute,
    charts=charts,
    findings=findings,
)
