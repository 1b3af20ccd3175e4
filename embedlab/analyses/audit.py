"""Audit: which labels look wrong, by every model's vote, in a list that a person can act on.

Scores become log-likelihood ratios (LLR) of one person against two, by a line that is fitted to each model's
pairs [1]_. Models vote: what is said holds in each of them, and its evidence is that of the model that is
least sure.

- *wrong label*: an image's mean LLR with another person's images is above that with its own person's. By
  chance it is so as often as where what others say is dealt anew among the images: that gives the false
  discovery rate (FDR) [2]_. Those found are left out, and all are judged again.
- *two names*: all images of two people are alike. The prior is that one in as many pairs as there are people
  is one person; the FDR is the mean chance of being wrong among those named [3]_.
- *two people*: images of one name fall into two parts of two images or more, which no LLR above zero joins.
- *one photograph*: two images are nearly equal: cosine distance below a thousandth, and a twentieth of what
  is usual within a person.
- *matches everybody*: an image is like over 1 % of all people, ten of them and ten times as many as is usual.

``embedlab run audit --save FILE`` writes all of it as CSV.

How to read it
--------------
Look at the images before changing a label: twins, images of two people and bad crops look like faults as
well. Evidence is in nats: 6.9 is a thousand to one. The null of the share of doubted labels is the share that
is expected by chance.

Limits
------
Who has one image cannot be unlike it; such a fault shows as *two names*. Of two people with two images each
who have swapped one, nobody can tell which is right. Bad images may be unlike their own and like others at
once, which dealing anew does not know. The line is fitted to the labels that are doubted. The last three
kinds are rules without an FDR. On Labeled Faces in the Wild with two networks, twice 1 % of labels swapped:
97 % were found, and 89 and 93 % of those named had been swapped; as it is, six of its images are named.

References
----------
.. [1] Brümmer, N. and du Preez, J. Application-independent evaluation of speaker detection. Computer Speech
   and Language 20(2–3), 2006.
.. [2] Storey, J. D. A direct approach to false discovery rates. Journal of the Royal Statistical Society B
   64(3), 2002.
.. [3] Müller, P., Parmigiani, G. and Rice, K. FDR and Bayesian multiple comparisons rules. Bayesian
   Statistics 8, 2007.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Face, Faces, Table, faces_at_hand
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People
from embedlab.lab.embeddings import EmbeddingSet, check_pairs, shared_by
from embedlab.lab.store import atomic_file
from embedlab.maths.pairs import doubts
from embedlab.maths.pairs.doubts import Voter
from embedlab.maths.pairs.extremes import nearest_impostors, within_people
from embedlab.maths.pairs.moments import mean

WRONG, NAMES, PARTS, TWICE, EVERYBODY = (
    "wrong label", "two names", "two people", "one photograph", "matches everybody"
)  # fmt: skip
KINDS = (WRONG, NAMES, PARTS, TWICE, EVERYBODY)
DOUBTED = "images whose label every model doubts"
# Cosine distance of one photograph, also as a share of what is usual within a person: where all scores lie
# close together everything is alike.
ONE_PHOTOGRAPH, OF_INTRA = 1e-3, 0.05
AT_LEAST, OF_PEOPLE, OF_USUAL = 10, 0.01, 10
USELESS = 0.9
"""A model whose scores cost so many bits a pair, of one at most, has no vote."""
NAMED = 3
SHOWN = 8
COLUMNS = ("kind", "image", "person", "like_image", "like_person", "evidence", "fdr", "what_to_do")
ADVICE = {
    WRONG: "look at the image: give it to the person it is like, or remove it",
    NAMES: "look at both people: if they are one, give them one name",
    PARTS: "look at the images: if they show two people, part them",
    TWICE: "remove one of the two images, and correct its name if that is wrong",
    EVERYBODY: "look at the image: remove it if no face can be told in it",
}


class Fault(NamedTuple):
    """Something that looks wrong: an image and its person, what they are like, how sure, and the FDR."""

    kind: str
    image: str
    person: str
    like_image: str
    like_person: str
    evidence: float
    fdr: float


@dataclass(frozen=True)
class AuditParams(Params):
    """Knobs of the audit."""

    fdr: float = bounded(0.05, above=0, below=1)
    """The share of false ones among the wrong labels that are named, and among people of two names."""
    deals: int = bounded(200, least=1)
    """How often likeness to others is dealt anew among the images."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the deals and of the resamples."""


@dataclass(frozen=True)
class Audited(Result):
    """What looks wrong to every model.

    Attributes
    ----------
    models, probe
        Who voted, on what.
    faults
        Of each what ``Fault`` has, the surest of a kind first.
    """

    models: tuple[str, ...] = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    faults: tuple[tuple[str, str, str, str, str, float, float], ...] = field(metadata={"hidden": True})
    estimates: Estimates

    def of(self, kind: str) -> list[Fault]:
        """List the faults of one kind."""
        return [Fault(*one) for one in self.faults if one[0] == kind]


def first_probe(_: AuditParams, probes: Sequence[str]) -> tuple[str, ...]:
    """Look at the first probe only: labels are the same on all, and the others are mostly blurred."""
    return tuple(probes[:1])


def compute(sets: Sequence[EmbeddingSet], params: AuditParams) -> Audited:
    """Let the models vote on the images that they share.

    Raises
    ------
    UserError
        If there are no genuine or no impostor pairs, models share no image, or a model tells nobody apart.
    """
    cut = shared_by(sets)[0]
    one, labels = cut[0], cut[0].labels
    check_pairs(one)
    voters = [Voter.of(s.unit, labels) for s in cut]
    if blind := [
        s.title for s, voter in zip(cut, voters, strict=True) if voter.slope <= 0 or voter.cost > USELESS
    ]:
        raise UserError(f"{blind[0]} tells nearly nobody apart, so it cannot vote: leave that model out")
    wrong = doubts.wrong_labels(voters, labels, params.fdr, params.deals, params.seed)
    kept = ~np.isin(np.arange(len(labels)), wrong.rows)
    items, names = [str(item) for item in one.items], one.identities
    faults = [
        Fault(WRONG, items[i], names[labels[i]], "", names[j], float(sure), float(fdr))
        for i, j, sure, fdr in zip(wrong.rows, wrong.whose, wrong.sure, wrong.fdr, strict=True)
    ]
    both, odds, rates = doubts.one_person(voters, labels, kept)
    faults += [
        Fault(NAMES, "", names[a], "", names[b], float(odds[k]), float(rates[k]))
        for k, (a, b) in enumerate(both[rates <= params.fdr])
    ]
    faults += [*_two_people(one, voters, kept), *_one_photograph(cut)]
    usual = wrong.matched.mean(axis=1, keepdims=True)
    many = np.maximum(max(AT_LEAST, OF_PEOPLE * len(names)), OF_USUAL * usual)
    faults += [
        Fault(EVERYBODY, items[i], names[labels[i]], "", "", float(wrong.matched[:, i].min()), math.nan)
        for i in np.flatnonzero((wrong.matched > many).all(axis=0))
    ]
    people = People.of(names, params)
    drawn = mean(~kept, labels, people.counts)
    by_chance = wrong.by_chance / len(items)
    return Audited(
        title=f"{one.probe} in {', '.join(s.model for s in cut)}",
        models=tuple(s.model for s in cut),
        probe=one.probe,
        faults=tuple((*fault,) for fault in faults),
        estimates=Estimates({(DOUBTED,): people.estimate(drawn, len(names), by_chance, share=True)}),
    )


def _two_people(one: EmbeddingSet, voters: Sequence[Voter], kept: np.ndarray) -> list[Fault]:
    """Find people who fall into two, wrong labels left aside."""
    rows, found = np.flatnonzero(kept)[np.argsort(one.labels[kept], kind="stable")], []
    ends = np.searchsorted(one.labels[rows], np.arange(len(one.identities) + 1))
    for p in np.flatnonzero(np.diff(ends) >= 4):
        parts = doubts.two_parts(voters, rows[ends[p] : ends[p + 1]])
        if parts:
            first, second = (str(one.items[each[0]]) for each in parts[:2])
            found.append(
                Fault(PARTS, first, one.identities[p], second, one.identities[p], parts[2], math.nan)
            )
    return sorted(found, key=lambda fault: -fault.evidence)


def _one_photograph(cut: Sequence[EmbeddingSet]) -> list[Fault]:
    """Find images of two people that are as alike as one photograph is to itself."""
    seen = []
    for s in cut:
        nearest, scores = nearest_impostors(s.unit, s.labels)
        usual = float(np.nanmedian(1 - within_people(s.unit, s.labels).mean))
        rows = np.flatnonzero(1 - scores < min(ONE_PHOTOGRAPH, OF_INTRA * usual))
        seen.append(
            {(min(i, j), max(i, j)) for i, j in zip(rows.tolist(), nearest[rows].tolist(), strict=True)}
        )
    one = cut[0]
    who = [(str(item), one.identities[label]) for item, label in zip(one.items, one.labels, strict=True)]
    return [
        Fault(TWICE, who[i][0], who[i][1], who[j][0], who[j][1], float(one.unit[i] @ one.unit[j]), math.nan)
        for i, j in sorted(set.intersection(*seen))
    ]


def save(results: Sequence[Audited], path: Path) -> None:
    """Write all faults as CSV, with what to do about each."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for fault in dict.fromkeys(Fault(*one) for r in results for one in r.faults):
            fdr = "" if math.isnan(fault.fdr) else f"{fault.fdr:.3g}"
            rows.writerow([*fault[:5], f"{fault.evidence:.4g}", fdr, ADVICE[fault.kind]])


def charts(results: Sequence[Audited]) -> list[Chart]:
    """Tables of what looks wrong, and the faces of it."""
    drawn: list[Chart] = []
    for r in results:
        rows = [
            (
                *fault[:5],
                Cell(fault.evidence, f"{fault.evidence:.4g}"),
                "" if math.isnan(fault.fdr) else Cell(fault.fdr, f"{fault.fdr:.2g}"),
            )
            for fault in (Fault(*one) for one in r.faults)
        ]
        drawn.append(
            Table(
                title=f"What looks wrong on {r.title}",
                columns=("kind", "image", "person", "like image", "like person", "evidence", "FDR"),
                rows=tuple(rows),
                note="Evidence in nats; of one photograph the cosine, of “matches everybody” the people.",
            )
        )
        if faces_at_hand() and any(fault[1] for fault in r.faults):
            drawn.append(_faces(r))
    return drawn


def _faces(r: Audited) -> Faces:
    rows = []
    for kind in (WRONG, TWICE, PARTS, EVERYBODY):
        shown = [
            Face(r.probe, image, f"{person}, like {like}" if like != person else person, person)
            for fault in r.of(kind)[:SHOWN]
            for image, person, like in (
                (fault.image, fault.person, fault.like_person),
                (fault.like_image, fault.like_person, fault.person),
            )
            if image
        ]
        if shown:
            rows.append((kind, tuple(shown)))
    return Faces(title=f"Images that look wrong on {r.title}", rows=tuple(rows), note="The surest first.")


def findings(results: Sequence[Audited]) -> list[Finding]:
    """Say what looks wrong, and how much of it chance would give."""
    said = []
    for r in results:
        by = "every model" if len(r.models) > 1 else r.models[0]
        share = r.estimates[DOUBTED,]
        many = f"{share.value:.2%} of images look" if share.value else "no image looks"
        text = f"On {r.probe}, {many} mislabelled to {by}"
        said.append(
            Finding(f"{text}, where chance would give {share.null:.2%}.", "bad" if r.of(WRONG) else "plain")
        )
        for fault in r.of(WRONG)[:NAMED]:
            what = f"{fault.image} of {fault.person} looks like {fault.like_person} to {by}"
            said.append(Finding(f"{what}, and unlike {fault.person}: check its label.", "bad"))
        for kind, text in (
            (TWICE, "{0.image} of {0.person} and {0.like_image} of {0.like_person} are one photograph"),
            (NAMES, "{0.person} and {0.like_person} look like one person"),
            (PARTS, "{0.person} looks like two people, as in {0.image} and {0.like_image}"),
            (EVERYBODY, "{0.image} of {0.person} is like {0.evidence:.0f} other people"),
        ):
            every = r.of(kind)
            said += [Finding(f"{text.format(fault)} to {by}.", "bad") for fault in every[:NAMED]]
            if len(every) > NAMED:
                said.append(Finding(f"Of the kind “{kind}” {r.probe} has {len(every) - NAMED:,} more."))
    return said


ANALYSIS = Analysis(
    question="Which labels and images look wrong to every model?",
    over="models",
    params=AuditParams(),
    result=Audited,
    compute=compute,
    charts=charts,
    findings=findings,
    probes=first_probe,
    save=save,
)
