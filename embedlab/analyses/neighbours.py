"""Neighbours: how many of their nearest people everybody keeps in a second space, and in other images.

Two spaces are compared on the same images: one model's native and degraded probe, or one probe in two
models. A person's place is the mean of the unit vectors of their images. Of the ``k`` other people
nearest to a person in the first space, the share is *kept* that is among the k nearest in the second as
well. Lists of names alone are compared, so the spaces need not have the same axes or dimension.

Images are noise: two sets of images of one person have other neighbours too. So no image is ever used
on both sides. Everybody's images are dealt into two halves, ``splits`` times; one half's list in the
first space is held against the other half's in the second. How far the two halves agree *within* each
space says how much noise there is [1]_.

What would be kept if *nothing but the choice of images* differed is measured on twins: two spaces drawn from
the steadier real one, with everybody in the same place, whose images scatter anew until halves agree within
each twin as far as in the real space it stands for, and all images agree across the twins as far as across
the real spaces. Twins are measured as the real spaces are. What people keep less than that is a change of
their neighbourhood; ``movers`` says whose.

How to read it
--------------
Compare *kept* with *other images alone*: equal numbers mean the same neighbourhoods, as far as these images
can tell, and *kept* at the null means that nothing of them is left. The null is what lists of two different
people have in common: k of the others, and more if both spaces have the same hubs. Where halves of a
person's images agree no further than that within a space, no neighbourhood can be told there, and so no
change of it. *Kept with the same images* is what a comparison without halves would show; it is too high
where both spaces are misled by the same images. Intervals are 95 % intervals of a bootstrap over people,
as those who have neighbours and as those who are some.

Limits
------
Only people with two images take part, as neighbours as well; with more people, or more images of each,
other lists come out. Lists of half of a person's images are compared, so shares are lower than those of all
images. In the twins everybody's images scatter alike, but for their number. What other images alone would
leave is sure to half a point only. Intervals of what is kept are some 1.3 times as long as they should be; of
32 planted pairs of spaces that differ in noise alone one showed a loss.

References
----------
.. [1] Spearman, C. The proof and measurement of association between two things. American Journal of
   Psychology 15(1), 1904.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, Tone, bounded
from embedlab.charts import Chart, Curve, Curves, Heatmap, Histogram, Table
from embedlab.estimates import Estimate, People, compared, counted, judged, shares, undrawn
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.space.neighbourhoods import (
    FEWEST,
    Photographs,
    beside_twins,
    noise_alone,
    resampled_means,
)

BINS = 25
# So many people's shares, of several twins, say well enough what a mean is.
VALUES = 1000
# How many results are drawn one by one, and told one by one.
DRAWN, TOLD, COMPARED = 3, 4, 3
# Half a point: how far twins may be off where nothing but noise differs.
INEXACT = 0.005


@dataclass(frozen=True)
class NeighboursParams(Params):
    """Knobs of the comparison of neighbourhoods."""

    k: int = bounded(10, least=1)
    """How many nearest people are a neighbourhood; at most half of the others."""
    people: int = bounded(2000, least=FEWEST)
    """How many people to draw at most, of those with two images or more."""
    images: int = bounded(20, least=2)
    """How many images of a person to draw at most."""
    splits: int = bounded(6, least=1)
    """How often everybody's images are dealt into halves."""
    twins: int = bounded(3, least=1)
    """How many pairs of twins are drawn to see what other images alone do, at least: few people need more."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the draw of people and images, of the halves, of the twins and of the resamples."""


@dataclass(frozen=True)
class Neighbours(Result):
    """How much of people's neighbourhoods two spaces share; a row of ``curves`` as in ``CURVES``."""

    kind: str = field(metadata={"hidden": True})
    model_a: str = field(metadata={"hidden": True})
    model_b: str = field(metadata={"hidden": True})
    probe_a: str = field(metadata={"hidden": True})
    probe_b: str = field(metadata={"hidden": True})
    k: int = field(metadata={"label": "people in a neighbourhood"})
    people: int
    people_of: int = field(metadata={"label": "of these with two images or more"})
    images: int
    seed: int = field(metadata={"hidden": True})
    across: Estimate = field(metadata={"label": "kept across the spaces"})
    expected: Estimate = field(metadata={"label": "kept by other images alone"})
    lost: Estimate = field(metadata={"label": "difference from other images alone"})
    within_a: Estimate = field(metadata={"label": "kept within the first space"})
    within_b: Estimate = field(metadata={"label": "kept within the second space"})
    same_images: Estimate = field(metadata={"label": "kept with the same images"})
    kept: Float[np.ndarray, " people"]
    kept_by_twins: Float[np.ndarray, " twin_people"]
    curves: Float[np.ndarray, "5 longest"]

    @property
    def first(self) -> str:
        """The first space in words, as far as it differs from the second."""
        return self.probe_a if self.kind == "degraded" else self.model_a

    @property
    def second(self) -> str:
        """The second space in words, as far as it differs from the first."""
        return self.probe_b if self.kind == "degraded" else self.model_b

    @property
    def common(self) -> str:
        """What both spaces have in common."""
        return f"in {self.model_a}" if self.kind == "degraded" else f"on {self.probe_a}"

    @property
    def steady(self) -> bool:
        """Whether two halves of a person's images agree further than chance in both spaces."""
        return all((over := one.over_null) and over.sign == 1 for one in (self.within_a, self.within_b))

    @property
    def series(self) -> str:
        """What results of one row of a picture have in common."""
        ends = f"{self.model_a}, from {self.probe_a}", f"{self.model_a} and {self.model_b}"
        return ends[self.kind != "degraded"]


def compute(a: EmbeddingSet, b: EmbeddingSet, params: NeighboursParams) -> Neighbours:
    """Compare everybody's nearest people in two spaces.

    Raises
    ------
    UserError
        If fewer than three people have two images.
    """
    there = Photographs.of(a, b, params)
    people = len(there.names)
    found = beside_twins(there, params, VALUES)
    everybody = People.of(there.names, params, items=there.items)
    means_of, draws = resampled_means(found.at_k, everybody.counts)
    level, level_draws = float(noise_alone(means_of, found.null)), noise_alone(draws, found.null)

    def estimate(mean: float, draws: np.ndarray) -> Estimate:
        one = Drawn(float(mean), np.clip(draws, 0.0, 1.0))
        return everybody.estimate(one, people, found.null, share=True)

    gap = Drawn(float(means_of[0, 2]) - level, draws[0, 2] - level_draws)
    kind = "degraded" if a.model == b.model else "models"
    real = found.real
    return Neighbours(
        title=f"{a.probe} to {b.probe} in {a.model}"
        if kind == "degraded"
        else f"{a.model} to {b.model} on {a.probe}",
        kind=kind,
        model_a=a.model,
        model_b=b.model,
        probe_a=a.probe,
        probe_b=b.probe,
        k=found.k,
        people=people,
        people_of=there.people_of,
        images=len(there.owners),
        seed=params.seed,
        across=estimate(means_of[0, 2], draws[0, 2]),
        expected=estimate(level, level_draws),
        lost=everybody.estimate(gap, people, 0.0),
        within_a=estimate(means_of[0, 0], draws[0, 0]),
        within_b=estimate(means_of[0, 1], draws[0, 1]),
        same_images=estimate(found.same.mean(), everybody.counts @ found.same / people),
        kept=found.at_k[0].rows[2],
        kept_by_twins=np.concatenate([one.rows[2] for one in found.at_k[1:]]),
        curves=np.stack(
            [
                real.across.mean(axis=0),
                np.mean([one.across.mean(axis=0) for one in found.alike], axis=0),
                *real.within.mean(axis=1),
                real.strangers,
            ]
        ),
    )


def charts(results: Sequence[Neighbours]) -> list[Chart]:
    """Draw all comparisons in one table, and for a few of them what was kept by person and by size."""
    few, drawn = _few(results), list[Chart]()
    if len({r.probe_b for r in results}) > 1 and len(results) > TOLD:
        drawn.append(_heatmap(results))
    drawn.append(_table(results))
    for r in few:
        drawn += [_histogram(r), _curves(r)]
    return drawn


def _few(results: Sequence[Neighbours]) -> list[Neighbours]:
    """Choose what is drawn one by one: all if they are few, else of each kind the one most changed."""
    if len(results) <= DRAWN:
        return list(results)
    kinds = dict.fromkeys(r.kind for r in results)
    return [min((r for r in results if r.kind == kind), key=lambda r: r.lost.value) for kind in kinds]


def _table(results: Sequence[Neighbours]) -> Table:
    return Table(
        title="Share of the nearest people kept",
        columns=(
            *("spaces", "k", "kept", "other images alone", "difference", "within first", "within second"),
            "other people's lists",
        ),
        rows=tuple(
            (r.title, r.k, r.across, r.expected, r.lost, r.within_a, r.within_b, r.across.null)
            for r in results
        ),
        note=f"Lists of halves of everybody's images, never the same image twice. {_sample(results[0])}",
    )


def _sample(r: Neighbours) -> str:
    if r.people == r.people_of:
        return f"All {r.people:,} people with two images or more."
    return f"{r.people:,} of {r.people_of:,} people with two images or more, seed {r.seed}."


def _heatmap(results: Sequence[Neighbours]) -> Heatmap:
    series = list(dict.fromkeys(r.series for r in results))
    columns = list(dict.fromkeys(r.probe_b for r in results))
    values = np.full((len(series), len(columns)), np.nan)
    text = np.full(values.shape, "", dtype="U40")
    for r in results:
        at = series.index(r.series), columns.index(r.probe_b)
        values[at] = r.across.value
        text[at] = f"{r.across.value:.0%} of {r.expected.value:.0%}"
    return Heatmap(
        title="Share of the nearest people kept, of what other images alone would leave",
        xlabels=tuple(columns),
        ylabels=tuple(series),
        values=values,
        text=text,
        xlabel="probe",
        colour_label="kept",
        span=(0.0, 1.0),
        note="Rows that name one model compare its native probe with each degraded one; rows of two "
        "models compare these on each probe.",
    )


def _histogram(r: Neighbours) -> Histogram:
    edges = np.linspace(0, 1, BINS + 1)
    return Histogram(
        title=f"How many of their nearest people each person keeps: {r.title}",
        xlabel=f"share of a person's {r.k} nearest people kept",
        edges=edges,
        series={
            f"kept from {r.first} to {r.second}": np.histogram(r.kept, edges)[0],
            "other images alone": np.histogram(r.kept_by_twins, edges)[0],
        },
        lines={"other people's lists (null)": float(r.across.null or 0.0)},
        note=_sample(r),
    )


def _curves(r: Neighbours) -> Curves:
    k = np.arange(1, r.curves.shape[1] + 1)
    across, alone, first, second, null = r.curves
    return Curves(
        title=f"Kept by size of neighbourhood: {r.title}",
        xlabel="nearest people compared",
        ylabel="share kept",
        curves=(
            Curve(f"{r.first} to {r.second}", k, across),
            Curve("other images alone", k, alone, dash="dash"),
            Curve(f"within {r.first}", k, first, dash="dot"),
            Curve(f"within {r.second}", k, second, dash="dot"),
            Curve("other people's lists (null)", k, null, dash="dash", role="null"),
        ),
        note=f"Other images alone are matched at {r.k} nearest people.",
    )


def findings(results: Sequence[Neighbours]) -> list[Finding]:
    """Say what share is kept beside what other images alone would leave, and which model keeps more."""
    told = list(results)
    if len(results) > TOLD:
        groups = [[r for r in results if r.series == one] for one in dict.fromkeys(r.series for r in results)]
        told = [min(group, key=lambda r: r.lost.value) for group in groups]
    return [_kept(r) for r in told] + _compared(results)


def _kept(r: Neighbours) -> Finding:
    if not r.steady:
        worse, space = min(((r.within_a, r.first), (r.within_b, r.second)), key=lambda one: one[0].value)
        return Finding(
            f"No change of neighbours can be told from {r.first} to {r.second} {r.common}: within {space}, "
            f"halves of a person's images share only {worse:.1%} of "
            f"{counted(r.k, 'nearest person', 'nearest people')}."
        )
    text = (
        f"From {r.first} to {r.second} {r.common}, {r.across.value:.1%} of a person's {r.k} nearest people "
        f"stay; other images alone would leave {r.expected.value:.1%}"
    )
    tones: tuple[Tone, Tone] = ("bad" if r.kind == "degraded" else "plain", "plain")
    return judged(text, r.lost, tones=tones, exact=INEXACT)


def _compared(results: Sequence[Neighbours]) -> list[Finding]:
    """Compare models by what they keep on the same degraded probe."""
    said = []
    degraded = [r for r in results if r.kind == "degraded"]
    for pair in list(dict.fromkeys((r.probe_a, r.probe_b) for r in degraded))[:COMPARED]:
        group = [r for r in degraded if (r.probe_a, r.probe_b) == pair]
        best, *rest = sorted(group, key=lambda r: -r.across.value)
        for other in rest[:COMPARED]:
            most, least = shares(best.across, other.across)
            text = (
                f"From {pair[0]} to {pair[1]}, {most} of a person's nearest people stay in {best.model_a} "
                f"and {least} in {other.model_a}"
            )
            # Neighbourhoods of another size are other things to keep.
            other_across = other.across if other.k == best.k else undrawn(other.across)
            said.append(compared(text, best.across, other_across))
    return said


ANALYSIS = Analysis(
    question="Do people keep their nearest people in a second space, but for what other images change?",
    over=("degraded pair", "model pair"),
    params=NeighboursParams(),
    result=Neighbours,
    compute=compute,
    charts=charts,
    findings=findings,
)
