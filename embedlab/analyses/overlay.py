"""Overlay: two models' pictures of the same faces, laid over each other.

A sample of people is shown, of each a few images. Both models' unit vectors are brought to their first 20
principal components [1]_, and the second's are turned, mirrored, scaled and shifted onto the first's
(Procrustes [2]_, fitted on the points shown). A thin line joins an image's two places. The colour is what
changed: of a point's k nearest among those shown, in the spaces themselves and not in the picture, the
share that both models do not have in common. *Neighbours shared* is the mean of what they have; where
images lie at random it is k/(n − 1), and more as soon as both keep a person's images together. Its interval
is the 95 % percentile interval of a bootstrap over the people shown.

How to read it
--------------
Grey points have one neighbourhood in both models, red ones another; whether the lines are long says little,
since two axes are a shadow of both spaces. Similarity measures on all images how alike the spaces are.

Limits
------
A sample of people is shown, and neighbours are sought among it: with more people the share is another.
Images of one person are among the neighbours. Directions that only one model has cannot be laid onto the
other's.

References
----------
.. [1] Jolliffe, I. T. and Cadima, J. Principal component analysis: a review and recent developments.
   Philosophical Transactions of the Royal Society A 374, 2016.
.. [2] Gower, J. C. and Dijksterhuis, G. B. Procrustes Problems. Oxford University Press, 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Scatter
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.linear import procrustes
from embedlab.maths.pairs.moments import mean
from embedlab.maths.space.components import principal
from embedlab.maths.space.neighbours import nearest, overlap
from embedlab.maths.turns import some_by_name

COMPONENTS = 20
FEWEST = 5
FEW = 2
SHARED = "neighbours shared"


@dataclass(frozen=True)
class OverlayParams(Params):
    """Knobs of the overlay."""

    people: int = bounded(100, least=1)
    """How many people are shown, drawn at random."""
    images: int = bounded(3, least=1)
    """How many images of each are shown at most."""
    neighbours: int = bounded(15, least=1)
    """How many nearest neighbours of a point are looked at; at most half of the others."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind the interval."""
    seed: int = bounded(0, least=0)
    """Seed of the draw and of the resamples."""


@dataclass(frozen=True)
class Overlay(Result):
    """Where two models place the images shown, and which share of its neighbours each changed."""

    a: str = field(metadata={"hidden": True})
    b: str = field(metadata={"hidden": True})
    people: int = field(metadata={"label": "people shown"})
    all_people: int = field(metadata={"label": "people in all"})
    neighbours: int = field(metadata={"label": "neighbours looked at"})
    seed: int = field(metadata={"hidden": True})
    unmatched: float = field(metadata={"label": "share of spread that the turn leaves unmatched"})
    estimates: Estimates
    identities: tuple[str, ...]
    person: Int[np.ndarray, " n"]
    items: Shaped[np.ndarray, " n"]
    places: Float[np.ndarray, "2 n 2"]
    changed: Float[np.ndarray, " n"]


def compute(a: EmbeddingSet, b: EmbeddingSet, params: OverlayParams) -> Overlay:
    """Draw people, turn the second model's components onto the first's, and compare neighbours.

    Raises
    ------
    UserError
        If fewer than five images are to be shown, or a model has one vector for all of them.
    """
    both = aligned(a, b)
    order = np.argsort(both.a.items)
    first, second = both.a.take(order), both.b.take(order)
    rng = np.random.default_rng([params.seed, 10])
    chosen = rng.permutation(len(first.identities))[: params.people]
    rows = np.sort(some_by_name(first.items, first.labels, params.images, rng))
    rows = rows[np.isin(first.labels[rows], chosen)]
    if len(rows) < FEWEST:
        raise UserError(
            f"{a.title} and {b.title}: {len(rows)} images make no picture: give or draw at least {FEWEST}"
        )
    whose, person = np.unique(first.labels[rows], return_inverse=True)
    identities = tuple(np.asarray(first.identities)[whose].tolist())
    clouds = [s.unit[rows].astype(np.float64) for s in (first, second)]
    places, unmatched = _laid(clouds[0], clouds[1], f"{a.title} and {b.title}")
    k = min(params.neighbours, (len(rows) - 1) // 2)
    shared = overlap(*(nearest(cloud, k, metric="euclidean")[0] for cloud in clouds))
    people = People.of(identities, params, items=first.items[rows])
    estimate = people.estimate(mean(shared, person, people.counts), len(identities), k / (len(rows) - 1))
    return Overlay(
        title=f"{b.model} on {a.title}",
        a=a.title,
        b=b.title,
        people=len(identities),
        all_people=len(first.identities),
        neighbours=k,
        seed=params.seed,
        unmatched=unmatched,
        estimates=Estimates({(SHARED,): estimate}),
        identities=identities,
        person=person,
        items=first.items[rows],
        places=places.astype(np.float32),
        changed=1.0 - shared,
    )


def _laid(a: np.ndarray, b: np.ndarray, title: str) -> tuple[np.ndarray, float]:
    """Bring the second cloud onto the first; give both along two axes, and what stays unmatched.

    Components are turned in as many dimensions as are at hand, because a direction that is the second
    of one model may be the fifth of the other.
    """
    if min(cloud.var(axis=0).sum() for cloud in (a, b)) < 1e-10:
        raise UserError(f"{title}: one of them has one vector for all images shown: check the vectors")
    size = min(COMPONENTS, a.shape[1], b.shape[1])
    onto, moved = (principal(cloud).project(cloud, size) for cloud in (a, b))
    size = min(onto.shape[1], moved.shape[1])
    onto, moved = onto[:, :size], moved[:, :size]
    moved = procrustes.fit(moved, onto).apply(moved)
    whole, matched = float((onto**2).sum()), float((moved**2).sum())
    # Least squares shrinks what does not fit; drawn at its own size, it does not look like a collapse.
    grown = moved * np.sqrt(whole / matched if matched else 1.0)
    flat = [np.pad(cloud, ((0, 0), (0, max(0, 2 - size))))[:, :2] for cloud in (onto, grown)]
    return np.stack(flat), 1.0 - matched / whole


def charts(results: Sequence[Overlay]) -> list[Chart]:
    """Draw a picture of each two models, all with one span of axes."""
    reach = 1.05 * max(float(np.abs(r.places).max()) for r in results)
    return [_picture(r, reach) for r in results]


def _picture(r: Overlay, reach: float) -> Scatter:
    n, names, shared = len(r.items), (r.a, r.b), r.estimates[SHARED,]
    model, changed = np.repeat([0, 1], n), np.tile(r.changed, 2)
    hover = [
        f"{r.identities[who]}: {item}, {name}: {change:.0%} changed"
        for name in names
        for who, item, change in zip(r.person, r.items, r.changed, strict=True)
    ]
    return Scatter(
        title=f"{r.b} laid over {r.a}",
        points=r.places.reshape(2 * n, 2),
        axes=(f"PC 1 of {r.a}", f"PC 2 of {r.a}"),
        groups=np.tile(r.person, 2),
        group_names=r.identities,
        marks=model,
        mark_names=names,
        links=np.stack([np.arange(n), np.arange(n) + n], axis=1),
        hover=np.array(hover),
        people=np.tile(np.array(r.identities)[r.person], 2),
        items=np.tile(r.items, 2),
        values=changed,
        value_label=f"share of {r.neighbours} neighbours changed",
        value_range=(0.0, 1.0),
        ranges=((-reach, reach), (-reach, reach)),
        note=f"A sample: {r.people:,} of {r.all_people:,} people, seed {r.seed}. Turned, mirrored, shifted "
        f"and brought to one size as fits these points best; {r.unmatched:.0%} of their spread is unmatched. "
        f"Colour: {1 - shared.value:.0%} of neighbours changed on average, "
        f"{1 - (shared.null or 0.0):.0%} where images lie at random.",
    )


def findings(results: Sequence[Overlay]) -> list[Finding]:
    """Say how many neighbours two models share: each two, or the most and the least alike of many."""
    if len(results) <= FEW:
        return [_sharing(r) for r in results]
    ordered = sorted(results, key=lambda r: r.estimates[SHARED,].value)
    return [_sharing(ordered[-1]), _sharing(ordered[0])]


def _sharing(r: Overlay) -> Finding:
    shared = r.estimates[SHARED,]
    return Finding(
        f"Of an image's {r.neighbours} nearest among the {len(r.items):,} shown, {shared:.0%} are the same "
        f"in {r.a} and {r.b} ({shared.null or 0.0:.0%} if images lay at random)."
    )


ANALYSIS = Analysis(
    question="Which faces change their neighbours from one model to another?",
    over="model pair",
    params=OverlayParams(),
    result=Overlay,
    compute=compute,
    charts=charts,
    findings=findings,
)
