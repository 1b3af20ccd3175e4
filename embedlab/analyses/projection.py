"""Projection: the shape of the space, seen along its three widest directions.

Principal component analysis [1]_ of one model's unit vectors under all probes jointly. The axes are
fitted on one half of the people and the picture shows people of the other half, so that nothing seen
was fitted. Explained variance is the share of the shown people's variance, about the fitted mean,
that the three axes carry; its null is the same figure after every coordinate has been shuffled over
the rows, which leaves each coordinate's spread and destroys what they share.

Trustworthiness is how little the picture invents: 1 where every point's k nearest neighbours in the
picture are near in the space too [2]_. Neighbours kept is the share of each point's k nearest
neighbours in the space that are still among its k nearest in the picture. Both are means over the
drawn points; their nulls are those of random positions, one half and k/(n − 1).

Intervals are 95 % percentile intervals of a bootstrap over the shown people.

How to read it
--------------
Each colour is a person, each mark a probe. If one probe's marks lie in a cloud of their own, the
model encodes resolution; if marks of one colour lie together whatever their shape, it encodes the
person. Trust what you see only as far as explained variance and trustworthiness go.

Limits
------
Three axes are a shadow of the space: clouds that overlap here may lie apart in it, never the other
way round. The axes are those of largest variance, not those that tell people or probes apart best.
Components may be mirrored from one model to another. Of a person with more than four images four are
drawn and judged, the same ones under every probe.

References
----------
.. [1] Jolliffe, I. T. and Cadima, J. Principal component analysis: a review and recent developments.
   Philosophical Transactions of the Royal Society A 374, 2016.
.. [2] Venna, J. and Kaski, S. Neighborhood preservation in nonlinear projection methods: an
   experimental study. ICANN 2001.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result
from embedlab.charts import Chart, Scatter
from embedlab.embeddings import EmbeddingSet
from embedlab.errors import UserError
from embedlab.maths.bootstrap import interval, resamples, weighted_mean

COMPONENTS = 3
NEIGHBOURS = 15
IMAGES = 4


@dataclass(frozen=True)
class ProjectionParams(Params):
    """Knobs of the projection."""

    drawn: int = 100
    """How many of the people that were not fitted on to draw."""
    resamples: int = 1000
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = 0
    """Seed of the split of people, of the draw and of the resamples."""


@dataclass(frozen=True)
class Projection(Result):
    """Points of the drawn people along the fitted axes."""

    fitted_people: int = field(metadata={"label": "people fitted on"})
    shown_people: int = field(metadata={"label": "people judged and drawn"})
    all_people: int = field(metadata={"label": "people in all"})
    seed: int = field(metadata={"hidden": True})
    explained: Estimate = field(metadata={"label": "variance explained by 3 axes, people not fitted on"})
    explained_in_sample: float = field(metadata={"label": "variance explained by 3 axes, in sample"})
    trustworthiness: Estimate
    neighbours_kept: Estimate = field(metadata={"label": "neighbours kept"})
    neighbours: int = field(metadata={"label": "k of both"})
    probes: tuple[str, ...]
    identities: tuple[str, ...]
    axis_shares: Float[np.ndarray, " 3"]
    points: Float[np.ndarray, "n 3"]
    person: Int[np.ndarray, " n"]
    probe: Int[np.ndarray, " n"]
    items: Shaped[np.ndarray, " n"]


def compute(sets: Sequence[EmbeddingSet], params: ProjectionParams) -> Projection:
    """Fit three axes on half the people of all probes, and project drawn people of the other half.

    Raises
    ------
    UserError
        If there are fewer than four people, or vectors of fewer than three numbers.
    """
    vectors = np.concatenate([s.unit for s in sets]).astype(np.float64)
    people = np.concatenate([np.asarray(s.identities)[s.labels] for s in sets])
    items = np.concatenate([s.items for s in sets])
    probe = np.repeat(np.arange(len(sets)), [len(s.items) for s in sets])
    identities, person = np.unique(people, return_inverse=True)
    if len(identities) < 4:
        raise UserError(
            f"{sets[0].model}: a projection is fitted on half of the people and shows the others, and there "
            f"are only {len(identities)}: give images of at least 4"
        )
    if vectors.shape[1] < COMPONENTS:
        raise UserError(
            f"{sets[0].model} has vectors of {vectors.shape[1]} numbers; three axes need at least 3"
        )
    rng = np.random.default_rng(params.seed)
    shuffled = rng.permutation(len(identities))
    half = len(identities) // 2
    is_fitted = np.isin(person, shuffled[:half])
    shown = np.sort(shuffled[half:][: params.drawn])
    mean, axes = _axes(vectors[is_fitted])
    rows = _drawn_rows(person, probe, items, shown, params.seed)
    points = (vectors[rows] - mean) @ axes
    owners = np.searchsorted(shown, person[rows])
    counts = resamples(len(shown), params.resamples, params.seed)
    scattered = rng.permuted(vectors, axis=0)
    null_mean, null_axes = _axes(scattered[is_fitted])
    explained, drawn = _explained(vectors[rows] - mean, axes, owners, counts)
    null, _ = _explained(scattered[rows] - null_mean, null_axes, owners, counts)
    in_sample, _ = _explained(
        vectors[is_fitted] - mean, axes, np.zeros(int(is_fitted.sum()), int), counts[:1, :1]
    )
    k = min(NEIGHBOURS, (len(rows) - 1) // 2)
    trust, kept = _neighbourhoods(vectors[rows], points, k)
    centred = vectors[rows] - mean
    return Projection(
        title=sets[0].model,
        fitted_people=half,
        shown_people=len(shown),
        all_people=len(identities),
        seed=params.seed,
        explained=Estimate(explained, *interval(drawn), len(shown), null),
        explained_in_sample=in_sample,
        trustworthiness=_mean(trust, owners, counts, 0.5),
        neighbours_kept=_mean(kept, owners, counts, k / (len(rows) - 1)),
        neighbours=k,
        probes=tuple(s.probe for s in sets),
        identities=tuple(map(str, identities[shown])),
        axis_shares=(points**2).sum(axis=0) / (centred**2).sum(),
        points=points,
        person=owners,
        probe=probe[rows],
        items=items[rows],
    )


def _axes(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the mean and the three widest directions, of shape (d, 3), each with a fixed sign."""
    mean = vectors.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(vectors, rowvar=False))
    axes = directions[:, ::-1][:, :COMPONENTS]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(COMPONENTS)])
    return mean, axes * signs


def _drawn_rows(
    person: np.ndarray, probe: np.ndarray, items: np.ndarray, shown: np.ndarray, seed: int
) -> np.ndarray:
    """Pick up to four images of each shown person by name, and all their rows, probe by probe."""
    rows = []
    for one in shown:
        mine = np.flatnonzero(person == one)
        names = np.unique(items[mine])
        if len(names) > IMAGES:
            names = np.random.default_rng([seed, int(one)]).choice(names, IMAGES, replace=False)
        mine = mine[np.isin(items[mine], names)]
        rows.append(mine[np.argsort(probe[mine], kind="stable")])
    return np.concatenate(rows)


def _explained(
    centred: np.ndarray, axes: np.ndarray, owners: np.ndarray, counts: np.ndarray
) -> tuple[float, np.ndarray]:
    kept, whole = ((centred @ axes) ** 2).sum(axis=1), (centred**2).sum(axis=1)
    above, below = weighted_mean(kept, owners, counts), weighted_mean(whole, owners, counts)
    return float(kept.sum() / whole.sum()), np.divide(
        above, below, out=np.full(len(above), np.nan), where=below > 0
    )


def _mean(values: np.ndarray, owners: np.ndarray, counts: np.ndarray, null: float) -> Estimate:
    return Estimate(
        float(values.mean()), *interval(weighted_mean(values, owners, counts)), counts.shape[1], null
    )


def _neighbourhoods(space: np.ndarray, picture: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Give each point's trustworthiness and share of neighbours kept; their means are the figures."""
    n = len(space)
    ranks, orders = [], []
    for points in (space, picture):
        squared = (points**2).sum(axis=1)
        distances = squared[:, None] + squared - 2 * points @ points.T
        np.fill_diagonal(distances, -np.inf)
        order = np.argsort(distances, axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(n)[None], axis=1)
        ranks.append(rank)
        orders.append(order[:, 1 : k + 1])
    intruders = np.maximum(np.take_along_axis(ranks[0], orders[1], axis=1) - k, 0).sum(axis=1)
    kept = (np.take_along_axis(ranks[1], orders[0], axis=1) <= k).mean(axis=1)
    return 1.0 - intruders * (2.0 / (k * (2 * n - 3 * k - 1))), kept


def charts(results: Sequence[Projection]) -> list[Chart]:
    """One cloud a model: a colour a person, a mark a probe."""
    drawn: list[Chart] = []
    for r in results:
        people = np.asarray(r.identities)[r.person]
        probes = np.asarray(r.probes)[r.probe]
        drawn.append(
            Scatter(
                title=f"{' and '.join(r.probes)} in {r.title}",
                points=r.points,
                axes=tuple(f"PC {k + 1} ({share:.1%})" for k, share in enumerate(r.axis_shares)),
                groups=r.person,
                group_names=r.identities,
                marks=r.probe,
                mark_names=r.probes,
                hover=np.array(
                    [f"{who}: {item}, {how}" for who, item, how in zip(people, r.items, probes, strict=True)]
                ),
                note=f"{r.shown_people:,} of {r.all_people:,} people, seed {r.seed}, none of them among the "
                f"{r.fitted_people:,} that the axes were fitted on; at most {IMAGES} images of each. "
                f"Trustworthiness "
                f"{r.trustworthiness.value:.2f}, neighbours kept {r.neighbours_kept.value:.0%} "
                f"(k = {r.neighbours}).",
            )
        )
    return drawn


def findings(results: Sequence[Projection]) -> list[Finding]:
    """Say how much of the space each picture shows, and how far it can be trusted."""
    said = []
    for r in results:
        null = 0.0 if r.explained.null is None else r.explained.null
        said.append(
            Finding(
                f"Three axes fitted on {r.fitted_people:,} people carry {r.explained:.0%} of the variance of "
                f"{r.shown_people:,} others in {r.title} ({null:.0%} if its coordinates were unrelated), and "
                f"{r.neighbours_kept.value:.0%} of each point's {r.neighbours} nearest neighbours stay so in "
                f"the picture ({r.neighbours_kept.null or 0.0:.0%} by chance)."
            )
        )
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
