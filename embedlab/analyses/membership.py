"""Membership: whether a vector gives away that the network was trained on the person.

A network draws the people it was trained on together and pushes them apart from each other. Somebody who has
nothing but vectors may thus guess of a person whether they were among them: *membership inference* [1]_, here
in the form that looks at all images of a person together, which is what gave it away in [2]_. Three attacks
are tried, each a number a person, the higher the likelier: *compactness*, the mean cosine between their
images; *apartness*, one minus the cosine between their mean vector and the nearest other person's; and the
mean *norm*. Each is judged by its AUC, the share of pairs of one person trained on and one not in which the
first has the higher number. Its null is one half.

Who was trained on is known where the network is one of the lab: it keeps fingerprints of its data, and of
those of the model it began from. Or a column of attributes, ``column``, says it of each person.

Intervals are 95 % intervals of a bootstrap over people, paired across models.

How to read it
--------------
An AUC of one half gives nothing away. Two data sets may differ without any training, by camera or by age:
then a network that was trained on neither tells their people apart as well. What exceeds such a network's
AUC, on the same people, is due to training.

Limits
------
Images are those trained on; of new images of these people less may be given away. Everybody brings as many
images, ``images``; more would give the attack more. Attacks that learn from networks of their own, or that
see the classifier's output, are stronger: an AUC of one half here is no proof of privacy. AUC is a mean over
people: a few may be given away where most are not [3]_.

References
----------
.. [1] Shokri, R., Stronati, M., Song, C. and Shmatikov, V. Membership inference attacks against machine
   learning models. IEEE S&P, 2017.
.. [2] Liew, S. P. and Takahashi, T. FaceLeaks: inference attacks against transfer learning models via
   black-box queries. 2020. arXiv:2010.14023.
.. [3] Carlini, N. et al. Membership inference attacks from first principles. IEEE S&P, 2022.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, Chart
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People, Place, bars, compared, judged, where
from embedlab.formats import attributes
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.space.neighbours import nearest
from embedlab.maths.space.recognition import resampled_auc
from embedlab.maths.sums import by_person

COMPACT, APART, NORM = "compactness", "apartness", "norm"
ATTACKS = (COMPACT, APART, NORM)
YES, NO = ("yes", "true", "1"), ("no", "false", "0")
# Lengths that differ by less than this share of their mean are one length, stored with rounding.
ONE_LENGTH = 1e-3
# Models of which sentences are said.
TOLD = 4


@dataclass(frozen=True)
class MembershipParams(Params):
    """Knobs of the membership analysis."""

    images: int = bounded(3, least=2)
    """How many images of a person an attack sees, drawn at random; people with fewer are left out."""
    column: str = "trained"
    """The column of attributes that says, where there is one, who was trained on: yes or no."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the images and of the resamples."""


@dataclass(frozen=True)
class Membership(Result):
    """How well people trained on are told from others by one model's vectors.

    Attributes
    ----------
    trained
        Of each probe whether the model was trained on its images: yes, no, or empty where it is not known.
    estimates
        AUC by attack and place: a probe, where a column says who was trained on; or two, the people of the
        first being those that were, if it was so.
    """

    trained: Mapping[str, str]
    images: int = field(metadata={"label": "images of each person"})
    people: Mapping[str, int] = field(metadata={"label": "people with so many images"})
    estimates: Estimates

    def known(self, place: Place) -> bool:
        """Say whether the model was trained on the people of the first probe, and not on the second's."""
        return len(place) == 1 or [self.trained[probe] for probe in place] == ["yes", "no"]

    def is_apart_from(self, place: Place) -> bool:
        """Say whether the model was trained on nobody of a place."""
        return len(place) > 1 and all(self.trained[probe] == "no" for probe in place)


def compute(sets: Sequence[EmbeddingSet], params: MembershipParams) -> Membership:
    """Hold people trained on against others: of two probes of different images, or as a column says.

    Raises
    ------
    UserError
        If there are neither two such probes nor a column, the column says neither yes nor no, or differs
        among images of one person, or fewer than two people of a side have images enough.
    """
    found = Estimates()
    looked = [_looked(one, params) for one in sets]
    for place, members, others in _sides(looked, params):
        people = _people(place, members, others, params)
        n = min(len(members.identities), len(others.identities))
        for attack, auc in _aucs(members, others, people.counts).items():
            found[attack, *place] = people.estimate(auc, n, 0.5, share=True, graded=True)
            if len(place) > 1:
                other = Drawn(1 - auc.value, 1 - auc.replicates)
                found[attack, *place[::-1]] = people.estimate(other, n, 0.5, share=True, graded=True)
    if not found:
        raise UserError(
            "people trained on are held against others, and no two probes show different images: name a "
            "probe of the training's images beside another, or give a column of attributes "
            f"{params.column!r} of yes and no"
        )
    return Membership(
        title=sets[0].model,
        trained={one.probe: one.trained for one in sets},
        images=params.images,
        people={one.probe: len(one.identities) for one in looked},
        estimates=found,
    )


def _looked(one: EmbeddingSet, params: MembershipParams) -> EmbeddingSet:
    """Draw as many images of everybody, whatever the order of rows."""
    order = np.argsort(one.items)
    order = np.random.default_rng(params.seed).permutation(order)
    order = order[np.argsort(one.labels[order], kind="stable")]
    sizes = np.bincount(one.labels)
    turn = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    enough = np.repeat(sizes >= params.images, sizes)
    kept = order[enough & (turn < params.images)]
    if not len(kept):
        raise UserError(
            f"nobody in {one.title} has {params.images} images: give membership.images fewer, at least 2"
        )
    return one.take(kept)


def _sides(
    looked: Sequence[EmbeddingSet], params: MembershipParams
) -> Iterator[tuple[Place, EmbeddingSet, EmbeddingSet]]:
    """Give each place with the people on both sides of it."""
    for one in looked:
        if params.column in one.attributes:
            told = _told(one, params.column)
            yes, no = (one.take(np.flatnonzero(told[one.labels] == way)) for way in (1, 0))
            yield (one.probe,), yes, no
    for a, b in combinations(looked, 2):
        alike = a.probe.partition("@")[2] == b.probe.partition("@")[2]
        if alike and not np.isin(a.items, b.items).any():
            yield (a.probe, b.probe), a, b


def _told(one: EmbeddingSet, column: str) -> np.ndarray:
    """Say of each person whether they were trained on: 1, 0, or -1 where the column is empty."""
    said = attributes.of_people(one, column, "membership.column")
    if said is None:
        raise UserError(f"{column} of {one.title} says yes and no of one person: say one of a person")
    if bad := sorted({text for text in said.tolist() if text and text.lower() not in YES + NO}):
        raise UserError(
            f"{column} of {one.title} says {bad[0]!r} of a person: it must say yes or no, or name another "
            "column by membership.column"
        )
    told = np.array([1 if text.lower() in YES else 0 if text else -1 for text in said.tolist()])
    if min((told == way).sum() for way in (1, 0)) < 2:
        raise UserError(
            f"{column} of {one.title} says yes of {(told == 1).sum()} people and no of {(told == 0).sum()}: "
            "two of each are needed at least"
        )
    return told


def _people(place: Place, members: EmbeddingSet, others: EmbeddingSet, params: MembershipParams) -> People:
    """Draw people of both sides; models that looked at the same images of them are paired."""
    probes = (place * 2)[:2]
    named = [f"{p}/{who}" for p, one in zip(probes, (members, others), strict=True) for who in one.identities]
    return People.of(named, params, items=(*members.items, *others.items))


def _aucs(
    members: EmbeddingSet, others: EmbeddingSet, counts: Float[np.ndarray, "b people"]
) -> dict[str, Drawn]:
    """Give the AUC of each attack that can be made."""
    sides = (members, others)
    inside = np.repeat([True, False], [len(one.identities) for one in sides])
    sums = np.concatenate([by_person(one.unit, one.labels, len(one.identities)) for one in sides])
    k = np.concatenate([np.bincount(one.labels) for one in sides])
    squared = (sums**2).sum(axis=1)
    # Images that cancel out have no mean direction; any then does.
    means = np.where(squared[:, None] > ONE_LENGTH, sums, 1.0)
    scores = {COMPACT: (squared - k) / (k * (k - 1)), APART: nearest(means, 1)[1][:, 0]}
    norms = np.concatenate([np.bincount(one.labels, one.norms) for one in sides]) / k
    if np.ptp(norms) >= ONE_LENGTH * norms.mean():
        scores[NORM] = norms
    rows = np.concatenate([np.ones((1, len(inside)), np.float32), counts])
    owners = np.arange(len(inside))
    return {name: Drawn.of(resampled_auc(score, inside, owners, rows)) for name, score in scores.items()}


def charts(results: Sequence[Membership]) -> list[Chart]:
    """AUC of each attack, at the places where somebody was trained on."""
    every = dict.fromkeys(place for r in results for place in r.estimates.places(COMPACT))
    places = [p for p in every if any(r.known(p) for r in results if p in r.estimates.places(COMPACT))]
    places = places or list(every)[:1]
    estimates = {r.title: r.estimates for r in results}
    return [
        Bars(
            title=f"Telling people trained on from others, by {attack}",
            ylabel="AUC",
            categories=tuple(map(where, places)),
            series=bars(estimates, attack, places),
            nulls={where(place): 0.5 for place in places},
            note="Of two probes, the people of the first and those of the second. A model that was trained "
            "on neither shows how far they differ by themselves.",
        )
        for attack in ATTACKS
        if any(r.estimates.places(attack) for r in results)
    ]


def findings(results: Sequence[Membership]) -> list[Finding]:
    """Say whether people trained on are told from others, and beyond a model that was not trained on them."""
    told = [r for r in results if any(map(r.known, r.estimates.places(COMPACT)))]
    said = [one for r in told[:TOLD] for one in _attacked(r, results)]
    unknown = "No probe shows people that a model is known to be trained on beside others: nothing is told."
    return said or [Finding(unknown)]


def _attacked(r: Membership, results: Sequence[Membership]) -> Iterator[Finding]:
    for place in filter(r.known, r.estimates.places(COMPACT)):
        tried = [attack for attack in ATTACKS if r.estimates.at(attack, place)]
        best = max(tried, key=lambda attack: abs(r.estimates[attack, *place].value - 0.5))
        auc = r.estimates[best, *place]
        sides = f"{place[0]}, trained on, " + (
            "are told from others" if len(place) == 1 else f"are told from {place[1]}"
        )
        yield judged(
            f"In {r.title} people of {sides} by {best} in {auc.value:.0%} of pairs (chance 50 %)",
            auc.over_null or auc,
            tones=("plain", "bad"),
            family="null",
            among=len(tried),
        )
        for other in [q for q in results if q.is_apart_from(place) and q.estimates.at(best, place)][:1]:
            apart = other.estimates[best, *place]
            yield compared(
                f"By {best} {place[0]} is told from {place[1]} in {auc.value:.0%} in {r.title}, trained on "
                f"it, and {apart.value:.0%} in {other.title}, trained on neither",
                auc,
                apart,
                tones=("plain", "bad"),
                among=len(tried),
            )


ANALYSIS = Analysis(
    question="Does a vector give away that the network was trained on the person?",
    over="model",
    params=MembershipParams(),
    result=Membership,
    compute=compute,
    charts=charts,
    findings=findings,
)
