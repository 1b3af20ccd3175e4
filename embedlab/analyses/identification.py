"""Identification: how often the right person of a gallery comes first (closed set).

A gallery holds one entry for each person: one image, or with ``gallery="template"`` the mean of the unit
vectors of half of the person's images. The probes are the other images of the people who have several,
so no image is ever compared with itself. People with one image stand in the gallery as distractors.

Every probe's person is in the gallery. Its rank is one plus the number of other people who score at least
as high (a tie counts against the person), and the CMC curve gives the share of probes whose rank is no more
than k [2]_. Which image is enrolled is drawn ``draws`` times; figures are means over the draws, and the
lowest and the highest draw stand beside them. What happens to people who are not enrolled at all is asked by
watchlist.

How to read it
--------------
Higher is better. Rank 1 is how often the first answer is right when somebody must be named. The null is
chance: k of N people for rank k. Intervals are 95 % intervals of a bootstrap over the people of
the probes [1]_, the galleries staying as they are; where every probe is right, or none, they are the exact
ones of Clopper and Pearson over people.

Limits
------
Figures belong to the gallery's size: a larger gallery is harder, so compare models on one set only. No
person brings more than ``probes`` probes a draw, so that people with many images do not rule. Gallery and
probes are of one condition; resolution and drift cross them. The intervals do not cover another gallery: the
spread over draws hints at that. Images of one person under two names count as errors.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [2] ISO/IEC 19795-1:2021. Biometric performance testing and reporting, part 1.
.. [3] Phillips, P. J., Grother, P. and Micheals, R. Evaluation methods in face recognition. In: Li, S. Z.
   and Jain, A. K. (eds), Handbook of Face Recognition, 2nd edition. Springer, 2011.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from embedlab import operating
from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Curve, Curves, Table
from embedlab.estimates import Estimate, Estimates, People, compared, shares
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.space import galleries
from embedlab.operating import TEMPLATES, exact, spread
from embedlab.progress import track

RANKS = 20
RANK_1, RANK_5 = "rank-1", "rank-5"


@dataclass(frozen=True)
class IdentificationParams(Params):
    """Knobs of the identification analysis."""

    gallery: Literal["one image", "template"] = "one image"
    """What a person is enrolled with: one image, or the mean of half of the images."""
    probes: int = bounded(10, least=1)
    """How many probes a person brings at most, in one draw."""
    draws: int = bounded(5, least=1)
    """How many galleries are drawn."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the galleries and of the resamples."""


@dataclass(frozen=True)
class Identification(Result):
    """CMC of one set, over several galleries."""

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    template: bool = field(metadata={"hidden": True})
    gallery: int = field(metadata={"label": "people in the gallery"})
    distractors: int = field(metadata={"label": "of these with one image, distractors"})
    people: int = field(metadata={"label": "people who bring probes"})
    probes: int = field(metadata={"label": "probes a draw"})
    probes_a_person: int = field(metadata={"label": "probes a person, at most"})
    galleries: int = field(metadata={"label": "galleries drawn"})
    estimates: Estimates
    cmc: Float[np.ndarray, "draws ranks"]
    cmc_low: Float[np.ndarray, " ranks"]
    cmc_high: Float[np.ndarray, " ranks"]

    @property
    def condition(self) -> str:
        """What models are compared on: the probe, and whether templates are enrolled."""
        return self.probe + (TEMPLATES if self.template else "")

    @property
    def first(self) -> Estimate:
        """How often the right person comes first."""
        return self.estimates[RANK_1,]


def compute(embeddings: EmbeddingSet, params: IdentificationParams) -> Identification:
    """Draw galleries, and search every probe in them.

    Raises
    ------
    UserError
        If there is only one person, or no person has two images.
    """
    check_pairs(embeddings)
    people = len(embeddings.identities)
    images = np.bincount(embeddings.labels, minlength=people)
    # In the order of names, so that models draw the same galleries however their rows lie.
    order = np.lexsort((embeddings.items, embeddings.labels))
    unit, everybody = embeddings.unit[order], np.zeros(people, dtype=bool)
    resampled = People.of(embeddings.identities, params, items=embeddings.items[order])
    ranks, found, drawn = min(RANKS, people), [], []
    for draw in track(range(params.draws), "searching galleries"):
        rng = np.random.default_rng([params.seed, 5, draw])
        template = params.gallery == "template"
        gallery = galleries.drawn(unit, images, everybody, rng, most=params.probes, template=template)
        ahead, _, _ = galleries.search(unit, gallery)
        share, replicates = _within(ahead, gallery.owners, ranks, resampled.counts)
        found.append(share)
        drawn.append(replicates)
    cmc, several = np.stack(found), int((images > 1).sum())
    means = [Drawn(*one) for one in zip(cmc.mean(axis=0), np.mean(drawn, axis=0).T, strict=True)]
    within = [exact(resampled, one, several, (k + 1) / people) for k, one in enumerate(means)]
    ends = np.array([(one.low, one.high) for one in within], dtype=np.float64)
    return Identification(
        title=embeddings.title + (TEMPLATES if params.gallery == "template" else ""),
        model=embeddings.model,
        probe=embeddings.probe,
        template=params.gallery == "template",
        gallery=people,
        distractors=people - several,
        people=several,
        probes=len(gallery.probes),
        probes_a_person=params.probes,
        galleries=params.draws,
        estimates=Estimates(
            {(name,): within[k] for name, k in ((RANK_1, 0), (RANK_5, 4)) if k < len(within)}
        ),
        cmc=cmc,
        cmc_low=ends[:, 0],
        cmc_high=ends[:, 1],
    )


def _within(
    ahead: np.ndarray, owners: np.ndarray, ranks: int, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give the share of probes found within each rank, and its replicates."""
    people = counts.shape[1]
    kept = ahead < ranks
    index = owners[kept] * ranks + ahead[kept]
    hits = np.bincount(index, minlength=people * ranks).reshape(people, ranks).cumsum(axis=1)
    whole = counts @ np.bincount(owners, minlength=people).astype(np.float32)
    blank = np.full((len(counts), ranks), np.nan)
    weighed = counts @ hits.astype(np.float32)
    replicates = np.divide(weighed, whole[:, None], out=blank, where=whole[:, None] > 0)
    return hits.sum(axis=0) / len(owners), replicates


def charts(results: Sequence[Identification]) -> list[Chart]:
    """CMC curves of all sets, and their first points with the spread over galleries."""
    dash = operating.dashes([r.condition for r in results])
    curves = tuple(
        Curve(
            name=r.title,
            x=np.arange(1, r.cmc.shape[1] + 1),
            y=r.cmc.mean(axis=0),
            low=r.cmc_low,
            high=r.cmc_high,
            model=r.model,
            dash=dash[r.condition],
            markers=True,
        )
        for r in results
    )
    rows = tuple(
        (r.title, name, r.estimates[name,], spread(r.cmc[:, k]))
        for r in results
        for name, k in ((RANK_1, 0), (RANK_5, 4))
        if (name,) in r.estimates
    )
    return [
        Curves(
            title="CMC: the right person within the first k (closed set)",
            xlabel="rank k",
            ylabel="share of probes found",
            curves=curves,
            note="Means over the galleries that were drawn; bands are 95 % intervals of a bootstrap over the "
            "people of the probes. Chance is k of as many people as the gallery holds.",
        ),
        Table(
            title="Identification",
            columns=("set", "figure", "mean of galleries", "lowest to highest gallery"),
            rows=rows,
        ),
    ]


def findings(results: Sequence[Identification]) -> list[Finding]:
    """Compare models within each probe, and probes within each model."""
    said = []
    for condition, size in dict.fromkeys((r.condition, r.gallery) for r in results):
        said += operating.best_against_rest(
            (f"On {condition}, ", f" names the right one of {size:,} people first for ", " of probes"),
            [r for r in results if (r.condition, r.gallery) == (condition, size)],
            lambda r: r.first,
        )
    for model, template in dict.fromkeys((r.model, r.template) for r in results):
        whole, *others = (r for r in results if (r.model, r.template) == (model, template))
        for r in others:
            was, now = shares(whole.first, r.first)
            text = f"In {model}, rank-1 goes from {was} on {whole.condition} to {now} on {r.condition}"
            said.append(compared(text, r.first, whole.first, word="change"))
    return said


ANALYSIS = Analysis(
    question="How often does the right person of a gallery come first?",
    over="set",
    params=IdentificationParams(),
    result=Identification,
    compute=compute,
    charts=charts,
    findings=findings,
)
