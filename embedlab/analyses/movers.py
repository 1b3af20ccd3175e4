"""Movers: whose nearest people are others in a second space, and who came and went.

Two spaces are compared on the same images: one model's native and degraded probe, or one probe in two
models. Of the ``k`` people nearest to a person in the first space, the share is *kept* that is among the k
nearest in the second as well, by halves of everybody's images, as in ``neighbours``. What would be kept if
nothing but the choice of images differed is measured on twins, as there.

For each person the expected share follows from how far their own halves agree within the spaces, along the
line that fits the twins. The p value is how often twins of people with about as many images lose as much;
its tail is extrapolated by a generalised Pareto distribution [1]_. People are *found changed* if the false
discovery rate is at most ``fdr`` [2]_ and they lose at least one of the k neighbours more than expected.

How to read it
--------------
The share of people found changed stands beside its null, the share found by the same rule between twins, in
which nobody has changed. *Came* are those among a person's nearest in the second space who were not in the
first, with the place that they had there; *went* are the others. Names are listed from all images.

Limits
------
Only people with two images take part, as neighbours as well. In the twins everybody's images scatter alike,
but for their number: whoever has far more uneven images than others may be found changed, or be
overlooked. The most changed are the extremes of many: in other images of theirs the change would be smaller.
Nobody found changed is no proof that nobody did; with two or three images and a noisy space only a large
change can be found, and who is found just so may not be with another seed.

References
----------
.. [1] Knijnenburg, T. A., Wessels, L. F. A., Reinders, M. J. T. and Shmulevich, I. Fewer permutations,
   more accurate P-values. Bioinformatics 25(12), 2009.
.. [2] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate. Journal of the Royal
   Statistical Society B 57(1), 1995.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Face, Faces, Table, faces_at_hand
from embedlab.estimates import Estimate, People, claim
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.evidence import LEAST_FOR_CLAIM
from embedlab.maths.space.losses import beyond_noise, p_values, places
from embedlab.maths.space.neighbourhoods import (
    FEWEST,
    Photographs,
    beside_twins,
    noise_alone,
    resampled_means,
)

# So many null values say well enough how far noise goes.
NULL_VALUES = 3000
# How many results are drawn one by one, and told one by one.
DRAWN, TOLD = 3, 4
FACES, LISTED, NAMED, NEAR = 4, 4, 3, 7


@dataclass(frozen=True)
class MoversParams(Params):
    """Knobs of the search for people whose neighbourhood changed."""

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
    fdr: float = bounded(0.05, above=0, below=1)
    """The false discovery rate at which people are found changed."""
    shown: int = bounded(8, least=1)
    """How many people are listed: those found changed, and those that come nearest to it."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind the interval."""
    seed: int = bounded(0, least=0)
    """Seed of the draw of people and images, of the halves, of the twins and of the resamples."""


@dataclass(frozen=True)
class Movers(Result):
    """Whose neighbourhood changed between two spaces.

    Attributes
    ----------
    names, kept, expected_of, p, q, found
        Each drawn person, the share kept, the share that other images alone would leave, the p value, the
        one adjusted for all people, and whether they are found changed.
    most
        The people listed, most changed first, as indices into ``names``.
    near_a, near_b, place_b, place_a
        The nearest people of each one listed, in either space, and what place those have in the other.
    faces
        The image of each person that lies nearest to their mean in the first space.
    """

    first: str = field(metadata={"hidden": True})
    second: str = field(metadata={"hidden": True})
    common: str = field(metadata={"hidden": True})
    probe_a: str = field(metadata={"hidden": True})
    probe_b: str = field(metadata={"hidden": True})
    k: int = field(metadata={"label": "people in a neighbourhood"})
    people: int
    people_of: int = field(metadata={"label": "of these with two images or more"})
    images: int
    fdr: float = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    changed: Estimate = field(metadata={"label": "people found changed"})
    steady: bool = field(metadata={"label": "halves agree further than chance"})
    names: Shaped[np.ndarray, " people"]
    faces: Shaped[np.ndarray, " people"]
    kept: Float[np.ndarray, " people"]
    expected_of: Float[np.ndarray, " people"]
    p: Float[np.ndarray, " people"]
    q: Float[np.ndarray, " people"]
    found: Bool[np.ndarray, " people"]
    most: Int[np.ndarray, " shown"]
    near_a: Int[np.ndarray, "shown near"]
    near_b: Int[np.ndarray, "shown near"]
    place_b: Int[np.ndarray, "shown near"]
    place_a: Int[np.ndarray, "shown near"]

    @property
    def least_q(self) -> float:
        """The chance that anybody is found where nobody's changed (Simes): the least adjusted p value.

        NaN of fewer people than support a claim; above any level where nobody is found.
        """
        if self.people < LEAST_FOR_CLAIM:
            return float("nan")
        return float(self.q[self.found].min()) if self.found.any() else 1.0

    @property
    def where(self) -> str:
        """The two spaces in words."""
        return f"from {self.first} to {self.second} {self.common}"


def compute(a: EmbeddingSet, b: EmbeddingSet, params: MoversParams) -> Movers:
    """Find the people whose nearest people are others in a second space.

    Raises
    ------
    UserError
        If fewer than three people have two images.
    """
    there = Photographs.of(a, b, params)
    beside = beside_twins(there, params, NULL_VALUES)
    people, k, at_k, images = len(there.names), beside.k, beside.at_k, np.bincount(there.owners)
    everybody = People.of(there.names, params, items=there.items)
    means_of, draws = resampled_means(at_k, everybody.counts)
    level = float(noise_alone(means_of, beside.null))
    expected, differences, null = beyond_noise(at_k, level)

    def judge(values: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p = p_values(values, others, images)
        q = _adjusted(p)
        # Rounding must not decide about exactly one neighbour.
        return p, q, (q <= params.fdr) & (values <= -1 / k + 1e-9)

    p, q, found = judge(differences, null)
    by_chance = [judge(null[i], np.delete(null, i, axis=0))[2] for i in range(len(null)) if len(null) > 1]
    share = Drawn(float(found.mean()), everybody.counts @ found / people)
    within = [everybody.estimate(Drawn(float(means_of[0, j]), draws[0, j]), people) for j in (0, 1)]
    most = np.lexsort((differences, ~found))[: params.shown]
    ranks = [places(x, most) for x in there.means]
    near_a, near_b = (np.argsort(x, axis=1, kind="stable")[:, : max(k, min(NEAR, people - 1))] for x in ranks)
    degraded = a.model == b.model
    ends = (a.probe, b.probe) if degraded else (a.model, b.model)
    return Movers(
        title=f"{ends[0]} to {ends[1]} {'in' if degraded else 'on'} {a.model if degraded else a.probe}",
        first=ends[0],
        second=ends[1],
        common=f"in {a.model}" if degraded else f"on {a.probe}",
        probe_a=a.probe,
        probe_b=b.probe,
        k=k,
        people=people,
        people_of=there.people_of,
        images=len(there.owners),
        fdr=params.fdr,
        seed=params.seed,
        changed=everybody.estimate(
            share, people, float(np.mean(by_chance)) if by_chance else None, share=True
        ),
        steady=all(one.low is not None and one.low > beside.null for one in within),
        names=there.names,
        faces=_typical(there),
        kept=at_k[0].rows[2],
        expected_of=expected,
        p=p,
        q=q,
        found=found,
        most=most,
        near_a=near_a,
        near_b=near_b,
        place_b=np.take_along_axis(ranks[1], near_a, axis=1) + 1,
        place_a=np.take_along_axis(ranks[0], near_b, axis=1) + 1,
    )


def _adjusted(p: np.ndarray) -> np.ndarray:
    from scipy.stats import false_discovery_control

    adjusted: np.ndarray = false_discovery_control(np.clip(p, 0.0, 1.0))
    return adjusted


def _typical(there: Photographs) -> np.ndarray:
    """Name the image of each person that lies nearest to the mean."""
    near = np.einsum("ij,ij->i", there.a, there.means[0][there.owners])
    order = np.lexsort((-near, there.owners))
    found: np.ndarray = there.items[order[np.flatnonzero(np.diff(there.owners, prepend=-1))]]
    return found


def charts(results: Sequence[Movers]) -> list[Chart]:
    """List who changed, and show them, for the comparisons in which most people did."""
    few = sorted(range(len(results)), key=lambda k: -results[k].changed.value)[:DRAWN]
    few = [k for k in few if results[k].found.any()] or few[:1]
    drawn: list[Chart] = []
    for r in (results[k] for k in sorted(few)):
        drawn.append(_people(r))
        drawn += [_faces(r)] if faces_at_hand() else []
    return drawn


def _people(r: Movers) -> Table:
    rows = []
    for j, i in enumerate(r.most):
        came = _moved(r, r.near_b[j], r.place_a[j])
        went = _moved(r, r.near_a[j], r.place_b[j])
        p = "< 0.0001" if r.p[i] < 1e-4 else f"{r.p[i]:.4f}"
        found = "changed" if r.found[i] else "not told from noise"
        rows.append((r.names[i], f"{r.kept[i]:.0%}", f"{r.expected_of[i]:.0%}", p, found, came, went))
    some = "" if r.people == r.people_of else f" {r.people:,} of {r.people_of:,} people, seed {r.seed}."
    return Table(
        title=f"Whose neighbourhood changed most: {r.title}",
        columns=(
            *("person", "kept", "other images alone", "p", f"at a false discovery rate of {r.fdr:.0%}"),
            f"came (place in {r.first})",
            f"went (place in {r.second})",
        ),
        rows=tuple(rows),
        note=f"Those found changed come first, by what they keep less than expected. Came and went: up to "
        f"{LISTED} of the {r.k} nearest people by all images, nearest first. p values are not adjusted for "
        f"the number of people; what is called changed is.{some}",
    )


def _moved(r: Movers, near: np.ndarray, places: np.ndarray) -> str:
    moved = [f"{r.names[i]} ({at:,})" for i, at in zip(near[: r.k], places[: r.k], strict=True) if at > r.k]
    more = len(moved) - LISTED
    return ", ".join(moved[:LISTED]) + (f" and {more} more" if more > 0 else "") or "nobody"


def _faces(r: Movers) -> Faces:
    rows: list[tuple[str, tuple[Face, ...]]] = []
    for j, i in enumerate(r.most[:FACES]):
        for space, probe, near, others in (
            (r.first, r.probe_a, r.near_a[j], r.place_b[j]),
            (r.second, r.probe_b, r.near_b[j], r.place_a[j]),
        ):
            faces = [Face(probe, str(r.faces[i]), str(r.names[i]), str(r.names[i]))]
            for o, at in zip(near[:NEAR], others[:NEAR], strict=True):
                faces.append(Face(probe, str(r.faces[o]), f"{r.names[o]} ({at:,})", str(r.names[o])))
            rows.append((f"{r.names[i]}, {space}", tuple(faces)))
    return Faces(
        title=f"Who is near to those whose neighbourhood changed most: {r.title}",
        rows=tuple(rows),
        note="Each person twice: first, and followed by the nearest people, nearest first, in the one space "
        "and then in the other. In brackets the place that these have in the other space. Everybody is "
        "shown by the image nearest to their mean.",
    )


def findings(results: Sequence[Movers]) -> list[Finding]:
    """Say how many people are found changed, and name some."""
    steady = [r for r in results if r.steady]
    if len(results) <= TOLD or not steady:
        return [_who(r) for r in results[:TOLD]]
    people, times = np.unique(np.concatenate([r.names[r.found] for r in steady]), return_counts=True)
    named = [f"{people[i]} (in {times[i]})" for i in np.lexsort((people, -times))[:NAMED]]
    start = f"In at least one of {len(steady)} comparisons"
    p = min(1.0, len(steady) * min(r.least_q for r in steady))
    return [
        _found(start, len(people), named, "most often", f"in any of {len(steady)} comparisons", steady[0], p)
    ]


def _who(r: Movers) -> Finding:
    if not r.steady:
        return Finding(
            f"Whose nearest people changed cannot be told {r.where}: two halves of a person's images share "
            "no more of them than images of different people."
        )
    named = [str(r.names[i]) for i in r.most[:NAMED] if r.found[i]]
    start = f"From{r.where.removeprefix('from')},"
    return _found(start, int(r.found.sum()), named, "most of all", r.where, r, r.least_q)


def _found(
    start: str, count: int, named: Sequence[str], how: str, where: str, r: Movers, p: float
) -> Finding:
    told = f" ({how} {_listed(named)})" if named else ""
    return claim(
        f"{start} {_count(count, r.people)} other nearest people, beyond what other images change{told}.",
        f"Nobody is found whose nearest people change {where} by more than other images would; that is no "
        "proof that nobody's do.",
        p,
    )


def _count(found: int, people: int) -> str:
    return f"{found:,} of {people:,} people {'has' if found == 1 else 'have'}"


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


ANALYSIS = Analysis(
    question="Whose nearest people are others in a second space, beyond what the choice of images changes?",
    over=("degraded pair", "model pair"),
    params=MoversParams(),
    result=Movers,
    compute=compute,
    charts=charts,
    findings=findings,
)
