"""Confusions: who is nearly somebody else, and which pairs of images are the worst.

For each person the *margin* is the cosine distance of the nearest impostor, to any of the images, less
the mean distance between the person's own images. Across probes images of the first probe are held
against impostors seen under the second. The worst false matches are the two people that are most alike, each
two by their most similar images; of the worst false non-matches, pairs of one person that are least alike,
there is one a person.

Up to three probes are held against each other two by two; of more, only the first against each other one.
Intervals are those of a bootstrap over people, which draws the people again but leaves the impostors as they
are [1]_.

How to read it
--------------
The null, where labels mean nothing, is that everybody, and every image, has somebody else's image nearer,
since the nearest of all others lies nearer than the mean. Look at the worst pairs before blaming the model:
they are often wrong labels, or one photograph under two names, which `audit` looks for.

Limits
------
The more people there are, the nearer is the nearest impostor, and the more images a person has, the
sooner one of them is near somebody else: the share of images is told, since that of people grows with both,
and neither compares between sets of unlike size. The worst of many is extreme by being picked, so the lists
carry no intervals.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Face, Faces, Table, faces_at_hand
from embedlab.estimates import Estimate, Estimates, People, Place, compared, where
from embedlab.lab.embeddings import EmbeddingSet, check_pairs, crossed, crossings
from embedlab.maths.pairs.extremes import (
    false_matches_of_people,
    first_of_each,
    nearest_impostors,
    within_people,
)
from embedlab.maths.pairs.moments import mean
from embedlab.progress import track

NEARER = "images nearer to somebody else"
NEGATIVE = "people with a negative margin"
DIFFERENT, SAME = "two people", "one person"
# Of places after the first the report shows this many of the worst.
BRIEFLY = 3
PAIRS_OF_FACES = 8


@dataclass(frozen=True)
class ConfusionParams(Params):
    """Knobs of the analysis of confusions."""

    worst: int = bounded(20, least=1)
    """How many of the worst people and of the worst pairs of each kind to list."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Confusions(Result):
    """The worst people and pairs of one model, and every person's margin, a row a person and place."""

    places: tuple[Place, ...] = field(metadata={"hidden": True})
    estimates: Estimates
    person_place: Int[np.ndarray, " persons"]
    person: Shaped[np.ndarray, " persons"]
    person_intra: Float[np.ndarray, " persons"]
    person_nearest: Float[np.ndarray, " persons"]
    worst_people: tuple[tuple[Any, ...], ...] = field(metadata={"hidden": True})
    worst_pairs: tuple[tuple[Any, ...], ...] = field(metadata={"hidden": True})


def compute(sets: Sequence[EmbeddingSet], params: ConfusionParams) -> Confusions:
    """Find the worst people and pairs within each probe, and across two probes of the same images.

    Raises
    ------
    UserError
        If a set shows one person only, or nobody twice, or two probes share no item.
    """
    found, places, judged = Estimates(), [], []
    each = track(crossings(sets), "confusions within probes, and across them", crossed(len(sets)))
    for k, (place, a, b, _) in enumerate(each):
        check_pairs(a)
        places.append(place)
        judged.append(_judge(k, a, b, params))
        found[NEARER, *place] = judged[-1].nearer
        found[NEGATIVE, *place] = judged[-1].negative
    return Confusions(
        title=sets[0].model,
        places=tuple(places),
        estimates=found,
        person_place=np.repeat(np.arange(len(judged)), [len(one.person) for one in judged]),
        person=np.concatenate([one.person for one in judged]),
        person_intra=np.concatenate([one.intra for one in judged]),
        person_nearest=np.concatenate([one.nearest for one in judged]),
        worst_people=tuple(row for one in judged for row in one.people),
        worst_pairs=tuple(row for one in judged for row in one.pairs),
    )


@dataclass(frozen=True)
class _Judged:
    """Every person's distances, and the worst people and pairs of one place."""

    person: np.ndarray
    intra: np.ndarray
    nearest: np.ndarray
    nearer: Estimate
    negative: Estimate
    people: list[tuple[Any, ...]]
    pairs: list[tuple[Any, ...]]


def _judge(k: int, a: EmbeddingSet, b: EmbeddingSet | None, params: ConfusionParams) -> _Judged:
    other = None if b is None else b.unit
    impostors, scores = nearest_impostors(a.unit, a.labels, other)
    inside = within_people(a.unit, a.labels, other)
    rows = first_of_each(scores, a.labels)
    intra, nearest = 1.0 - inside.mean, 1.0 - scores[rows]
    margin = nearest - intra
    judged = np.flatnonzero(np.isfinite(margin))
    names, items = np.asarray(a.identities), a.items
    images = np.bincount(a.labels)
    people = [
        (
            k, str(names[p]), int(images[p]), float(intra[p]), float(nearest[p]), float(margin[p]),
            str(items[rows[p]]), str(items[impostors[rows[p]]]), str(names[a.labels[impostors[rows[p]]]]),
        )
        for p in judged[np.argsort(margin[judged], kind="stable")][: params.worst]
    ]  # fmt: skip
    matches = false_matches_of_people(a.unit, a.labels, scores, params.worst, other)
    pairs = [
        (k, kind, float(score), *(str(items[i]) for i in pair), *(str(names[a.labels[i]]) for i in pair))
        for kind, found in ((DIFFERENT, matches), (SAME, inside.lowest))
        for score, pair in zip(found.scores[: params.worst], found.rows, strict=False)
    ]
    drawn = People.of(a.identities, params)
    share = mean(margin[judged] < 0, judged, drawn.counts)
    negative = drawn.estimate(share, len(judged), 1.0, share=True)
    known = np.isfinite(inside.row_mean)
    # Where everything is equally near, nobody's own images are nearer.
    closer = mean(scores[known] >= inside.row_mean[known], a.labels[known], drawn.counts)
    nearer = drawn.estimate(closer, len(judged), 1.0, share=True)
    return _Judged(names, intra, nearest, nearer, negative, people, pairs)


def charts(results: Sequence[Confusions]) -> list[Chart]:
    """Tables of the worst people and pairs, the first place at length, and their faces."""
    drawn: list[Chart] = []
    for r in results:
        others = range(1, len(r.places))
        where_ = f"on {where(r.places[0])} in {r.title}"
        drawn += [
            _people_table(f"Smallest margins {where_}", r, [0], len(r.worst_people)),
            _pairs_table(f"Worst pairs {where_}", r, [0], len(r.worst_pairs)),
        ]
        if others:
            where_ = f"on other probes and across probes in {r.title}"
            drawn += [
                _people_table(f"Smallest margins {where_}", r, others, BRIEFLY),
                _pairs_table(f"Worst pairs {where_}", r, others, BRIEFLY),
            ]
        drawn += [_faces(r)] if faces_at_hand() else []
    return drawn


def _people_table(title: str, r: Confusions, places: Sequence[int], most: int) -> Table:
    rows = [row for k in places for row in [row for row in r.worst_people if row[0] == k][:most]]
    return Table(
        folded=True,
        title=title,
        columns=(
            "condition", "person", "images", "mean intra", "nearest impostor", "margin", "image", "impostor",
            "who is",
        ),
        rows=tuple((where(r.places[k]), *rest) for k, *rest in rows),
        note="Cosine distances. Margin: the nearest impostor's distance less the mean intra distance.",
    )  # fmt: skip


def _pairs_table(title: str, r: Confusions, places: Sequence[int], most: int) -> Table:
    rows = [row for k in places for kind in (DIFFERENT, SAME) for row in _listed(r, k, kind)[:most]]
    return Table(
        folded=True,
        title=title,
        columns=("condition", "pair of", "similarity", "item", "other item", "person", "other person"),
        rows=tuple((where(r.places[k]), *rest) for k, *rest in rows),
        note="Two people who are most alike: false matches, one pair of each two. One person's images that "
        "are least alike: false non-matches, one pair a person.",
    )


def _listed(r: Confusions, place: int, kind: str) -> list[tuple[Any, ...]]:
    return [row for row in r.worst_pairs if row[:2] == (place, kind)]


def _faces(r: Confusions) -> Chart:
    (probe,) = r.places[0]
    rows = [
        (
            f"{kind}, {how}",
            tuple(
                Face(probe, item, f"{person}, {row[2]:.2f}", person)
                for row in _listed(r, 0, kind)[:PAIRS_OF_FACES]
                for item, person in zip(row[3:5], row[5:7], strict=True)
            ),
        )
        for kind, how in ((DIFFERENT, "most alike"), (SAME, "least alike"))
    ]
    least = [row for row in r.worst_people if row[0] == 0][:PAIRS_OF_FACES]
    worst = (
        Face(probe, item, who, who) for row in least for item, who in ((row[6], row[1]), (row[7], row[8]))
    )
    return Faces(
        title=f"Worst pairs and people on {probe} in {r.title}",
        rows=(*rows, ("smallest margins", tuple(worst))),
        note="Side by side in pairs, worst first, with similarities; smallest margins: a person "
        "and the nearest impostor.",
    )


def findings(results: Sequence[Confusions]) -> list[Finding]:
    """Say how many images lie nearer to an impostor."""
    ranked = sorted(results, key=lambda r: r.estimates[NEARER, *r.places[0]].value)
    best, *rest = ranked
    others = [r for r in rest if r.places[0] == best.places[0]]
    return [_nearer(r, best) for r in others] or [_nearer(best)]


def _nearer(r: Confusions, best: Confusions | None = None) -> Finding:
    """Tell how many images lie nearer to an impostor, in a model alone or beside the best."""
    place = r.places[0]
    share = r.estimates[NEARER, *place]
    end = "of images lie nearer another's than, on average, their own person's"
    if best is None:
        return Finding(f"On {where(place)} in {r.title}, {share:.1%} {end}.")
    least = best.estimates[NEARER, *place]
    return compared(
        f"On {where(place)}, {share.value:.1%} {end} in {r.title}, {least.value:.1%} in {best.title}",
        share,
        least,
        tones=("plain", "plain"),
    )


ANALYSIS = Analysis(
    question="Who is confused with whom, and which pairs of images are the worst?",
    over="model",
    params=ConfusionParams(),
    result=Confusions,
    compute=compute,
    charts=charts,
    findings=findings,
)
