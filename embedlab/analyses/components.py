"""Components: how many directions the vectors spread along.

The unit vectors of all images that every probe shows are taken jointly. *Principal components* [1]_ are
fitted on one half of the people, and everything is judged on the others. The *scree* is the share of their
variance, about the fitted mean, along each component. The *participation ratio* (Σλ)²/Σλ² of the
covariance's eigenvalues says how many equally wide directions would spread the vectors as much. It is
estimated across the halves, as tr S·tr T/tr ST with S and T their covariances, because the plain ratio
comes out too small from a sample: here numerator and denominator are each free of bias. The null of all
these shuffles every coordinate over the rows, which keeps each coordinate's spread and destroys what they
share.

Intervals are 95 % percentile intervals of a bootstrap over the people judged, for the participation ratio
over those of both halves; the components stay as they are.

How to read it
--------------
A few high bars at the left of the scree are a space of few directions. What a component holds, see encoding.

Limits
------
Components are those of largest variance, not those that tell people or probes apart best. Variance counts
every image, so people with many images rule it. The participation ratio of geometry is that of one probe
alone; the exponential of the eigenvalues' entropy, called effective rank elsewhere, is another number, and
never a smaller one.

References
----------
.. [1] Jolliffe, I. T. and Cadima, J. Principal component analysis: a review and recent developments.
   Philosophical Transactions of the Royal Society A 374, 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Curve, Curves
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People
from embedlab.lab.embeddings import EmbeddingSet, shared_by
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.people.folds import identity_folds
from embedlab.maths.space.components import Components, RatioAcross, principal, shares
from embedlab.progress import busy

AXES, SCREE = 3, 20
FEWEST_PEOPLE = 4
EXPLAINED, RATIO = "variance explained by 3 components", "participation ratio, all probes together"


@dataclass(frozen=True)
class ComponentsParams(Params):
    """Knobs of the components analysis."""

    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the halves, the null and the resamples."""


@dataclass(frozen=True)
class Spread(Result):
    """How wide a model's space is along each component.

    The rows of ``scree`` are shares of variance: of the people judged, the ends of its interval, in sample,
    and the null.
    """

    fitted_people: int = field(metadata={"label": "people fitted on"})
    people: int = field(metadata={"label": "people judged"})
    images: int = field(metadata={"label": "images of each probe"})
    dimension: int = field(metadata={"label": "numbers a vector"})
    estimates: Estimates
    scree: Float[np.ndarray, "5 components"]


def compute(sets: Sequence[EmbeddingSet], params: ComponentsParams) -> Spread:
    """Fit components on half the people of all probes, and judge them on the other half.

    Raises
    ------
    UserError
        If the probes share no image or fewer than four people, or half of the people have one vector.
    """
    cut, _ = shared_by(sets)
    shared, model, people = cut[0], sets[0].model, len(cut[0].identities)
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{model}: components are fitted on half of the people and judged on the others, and only "
            f"{people} are in every probe: give images of at least {FEWEST_PEOPLE}"
        )
    vectors, owners = np.stack([s.unit for s in cut]), shared.labels
    fold = identity_folds(people, 2, params.seed)
    judged = fold == 1
    fitted, d = vectors[:, ~judged[owners]], vectors.shape[2]
    with busy(f"principal components of {vectors[..., 0].size:,} images"):
        found = principal(fitted.reshape(-1, d), vectors.reshape(-1, d))
        scree, estimates = _spread(found, vectors, owners, judged, shared, params)
    if estimates is None:
        raise UserError(
            f"{model}: all vectors of half of the people point one way, so there is nothing to see: "
            "check the vectors"
        )
    return Spread(
        title=model,
        fitted_people=people - int(judged.sum()),
        people=int(judged.sum()),
        images=len(owners),
        dimension=d,
        estimates=estimates,
        scree=scree[:, :SCREE],
    )


def _spread(
    found: Components,
    vectors: np.ndarray,
    owners: np.ndarray,
    judged: np.ndarray,
    shared: EmbeddingSet,
    params: ComponentsParams,
) -> tuple[np.ndarray, Estimates | None]:
    """Measure the variance of the people judged along each component, and how many directions there are."""
    versions, d = len(vectors), vectors.shape[2]
    rows = judged[owners]
    place = np.where(judged, np.cumsum(judged), np.cumsum(~judged)) - 1
    own, other = (np.tile(place[owners[one]], versions) for one in (~rows, rows))
    fitted, others = (vectors[:, one].reshape(-1, d) for one in (~rows, rows))
    squares = found.squares(others, other, int(judged.sum()))
    whole = squares.sum(axis=0)
    if min(found.variances.sum(), whole.sum() / len(other)) < 1e-10:
        return np.empty((5, 0)), None
    who = np.asarray(shared.identities)
    people = People.of(who[judged], params, items=who[~judged])
    counts = people.counts.astype(np.float64)
    drawn = shares(counts @ squares)
    across = RatioAcross.of(fitted, own, others, other, found.mean)
    # A seed of its own, or halves of one size would be resampled in step.
    more = resamples(int((~judged).sum()), params.resamples, params.seed + 1).astype(np.float64)
    shuffled = np.random.default_rng([params.seed, 1]).permuted(vectors.reshape(-1, d), axis=0)
    dealt = np.tile(rows, versions)
    chance = principal(shuffled[~dealt], shuffled)
    null = shares(chance.squares(shuffled[dealt], np.zeros_like(other), 1)[0])
    null_ratio = RatioAcross.of(shuffled[~dealt], own, shuffled[dealt], other, chance.mean).value
    explained = Drawn(float(shares(whole)[:AXES].sum()), drawn[:, :AXES].sum(axis=1))
    estimates = Estimates()
    estimates[EXPLAINED,] = people.estimate(explained, int(judged.sum()), float(null[:AXES].sum()))
    estimates[RATIO,] = people.estimate(
        Drawn(across.value, across.replicates(more, counts)), len(who), null_ratio
    )
    ends = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return np.stack([shares(whole), *ends, shares(found.variances), null]), estimates


def charts(results: Sequence[Spread]) -> list[Chart]:
    """Draw the scree of all."""
    return [_scree(results)]


def _scree(results: Sequence[Spread]) -> Curves:
    lines: list[Curve] = []
    for r in results:
        judged, low, high, _, null = r.scree
        x = np.arange(1.0, len(judged) + 1)
        lines.append(Curve(r.title, x, judged, low, high, model=r.title, markers=True))
        lines.append(Curve(f"{r.title}, null", x, null, dash="dot", role="null"))
    return Curves(
        title="Variance along each principal component",
        xlabel="component",
        ylabel="share of variance",
        curves=tuple(lines),
        note="Of people not fitted on, with 95 % interval; null: every coordinate shuffled over the rows.",
    )


def findings(results: Sequence[Spread]) -> list[Finding]:
    """Say how much a few components carry; geometry compares how many directions are used."""
    return [_told(r) for r in results]


def _told(r: Spread) -> Finding:
    explained = r.estimates[EXPLAINED,]
    return Finding(
        f"Three principal components carry {explained:.0%} of the variance of new people in {r.title} "
        f"({explained.null or 0.0:.0%} if its {r.dimension} coordinates were unrelated)."
    )


ANALYSIS = Analysis(
    question="How many directions do the vectors spread along?",
    over="model",
    params=ComponentsParams(),
    result=Spread,
    compute=compute,
    charts=charts,
    findings=findings,
)
