"""Enrolment: which enrolled images cause most false matches, and what is won by removing them.

Every image is enrolled, and searched with every image of all other people, at one threshold: that of FAR
``far`` among all pairs of two people. An image's *false matches* are the people whom it is taken for, each
counted by the share of their images that match it. The images of most false matches (*wolves* and *lambs* of
the biometric menagerie [1]_, hubs of nearest neighbours [2]_) are what to look at: they are mostly blurred,
turned away, covered or tiny, and another image of the same person mends them.

What removing them wins is never measured by the probes that chose them. People are dealt into halves; the
share ``remove`` of all images that the one half's probes call worst is removed, FMR is told by the other
half's, and the other way round. The list of ``embedlab run enrolment --save FILE``, in CSV, is chosen by all.

How to read it
--------------
The null is FMR as it was: images removed at random leave it. Each person's probes weigh the same together,
whatever their number, and each enrolled image does. Where FMR falls by no more than the share of images that
was removed, false matches are spread over all images, and no list of them is worth new images.

Intervals are a bootstrap over the people who are searched; the gallery is as it is, and so are the lists that
the halves chose.

Limits
------
An image of a wrong label or a person under two names causes false matches that are none: `audit` first. The
threshold stays. Who loses the only image needs another one. The halves choose by half of the probes, so the
list chosen by all is rather better than what is told. The worst images of one model need not be another's.
On Labeled Faces in the Wild with two networks that wins little: without the worst 1 % FMR falls by 1 and 2 %
of itself, at 32 pixels by 2 and 5 %.

References
----------
.. [1] Doddington, G., Liggett, W., Martin, A., Przybocki, M. and Reynolds, D. Sheep, goats, lambs and wolves:
   a statistical analysis of speaker performance. ICSLP 1998.
.. [2] Radovanović, M., Nanopoulos, A. and Ivanović, M. Hubs in space: popular nearest neighbors in
   high-dimensional data. JMLR 11, 2010.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Face, Faces, Table, faces_at_hand
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People, counted, judged
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.lab.store import atomic_file
from embedlab.maths.pairs import levels, roc
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.pairs.extremes import false_alarms
from embedlab.maths.pairs.moments import Drawn

FMR, CHANGE = "FMR", "change of FMR, as a share of it"
BEFORE, AFTER = "all enrolled", "worst removed"
SIZES = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 3000, 5000, 10_000)
MOST = 0.1
"""Up to this share of the gallery is removed along the curve."""
SHOWN = 12
COLUMNS = ("model", "probe", "image", "person", "false_matches", "share", "images_left", "what_to_do")
REPLACE = "look at the image: remove it, since the person has others"
ANOTHER = "look at the image: take another image of the person, then remove it"


@dataclass(frozen=True)
class EnrolmentParams(Params):
    """Knobs of the analysis of enrolled images."""

    remove: float = bounded(0.01, above=0, below=1)
    """The share of enrolled images that is removed, and listed."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate, among all pairs, whose threshold is judged."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the halves and of the resamples."""


@dataclass(frozen=True)
class Enrolment(Result):
    """The images of one gallery that cause most false matches.

    Attributes
    ----------
    worst
        Image, person, how many people it is taken for, its share of all false matches, and how many other
        images the person has; the worst first.
    sizes
        How many images were removed along the curve.
    alone
        How many of the people listed have no other image.
    estimates
        FMR before and after so many are removed, and its change.
    along
        FMR by the number of images removed.
    """

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    far: float = field(metadata={"label": "FAR of the threshold"})
    far_asked: float = field(metadata={"hidden": True})
    threshold: float
    images: int = field(metadata={"label": "images enrolled"})
    removed: int = field(metadata={"label": "images removed"})
    alone: int = field(metadata={"label": "of these the only one of their person"})
    worst: tuple[tuple[str, str, float, float, int], ...] = field(metadata={"hidden": True})
    estimates: Estimates
    along: Estimates = field(metadata={"hidden": True})
    sizes: Int[np.ndarray, " sizes"]


def compute(embeddings: EmbeddingSet, params: EnrolmentParams) -> Enrolment:
    """Rank enrolled images by false matches, and remove the worst as other people's probes tell.

    Raises
    ------
    UserError
        If there are no genuine or no impostor pairs, or too few for any FAR.
    """
    check_pairs(embeddings)
    labels, names = embeddings.labels, embeddings.identities
    pairs = all_pairs(embeddings.unit, labels, weigh="people")
    impostors = int(pairs.impostor.sum())
    resolved = levels.resolved(params.far, impostors)
    if not len(resolved):
        raise UserError(
            f"{embeddings.title} has {impostors} impostor pairs, too few for FAR 0.1: add more people"
        )
    far = max(params.far, float(resolved.min()))
    people = People.of(names, params)
    limit = float(roc.limits(pairs, np.array([far]), people.counts[:1])[0][0])
    alarms = _alarms(embeddings, limit)
    half = np.random.default_rng([params.seed, 27]).permutation(np.arange(len(names)) % 2)
    removed = max(1, round(params.remove * len(labels)))
    sizes = [s for s in sorted({0, removed, *SIZES}) if s <= max(MOST * len(labels), removed)]
    found, along = Estimates(), Estimates()
    # Whoever is searched is judged by the list that the other half chose.
    lists = [_worst(alarms[:, half != k]) for k in (0, 1)]
    rows = np.concatenate([np.ones((1, len(names)), np.float32), people.counts])
    rates = {}
    for size in sizes:
        wrong, whole = np.where(half, *(_left(alarms, labels, order[size:]) for order in lists[::-1]))
        rates[size] = (rows @ wrong) / (rows @ whole)
        null = float(rates[0][0]) if size else None
        along[FMR, str(size)] = people.estimate(Drawn.of(rates[size]), len(names), null, share=True)
    found[FMR, BEFORE], found[FMR, AFTER] = along[FMR, "0"], along[FMR, str(removed)]
    change = np.divide(rates[removed], rates[0], out=np.full(len(rows), np.nan), where=rates[0] > 0) - 1
    found[CHANGE,] = people.estimate(Drawn.of(change), len(names), 0.0)
    each, images = alarms.sum(axis=1), np.bincount(labels)
    listed = [i for i in _worst(alarms)[:removed] if each[i]]
    return Enrolment(
        title=embeddings.title,
        model=embeddings.model,
        probe=embeddings.probe,
        far=far,
        far_asked=params.far,
        threshold=float(roc.lowest_accepted(pairs, np.array([limit]))[0]),
        images=len(labels),
        removed=removed,
        alone=sum(int(images[labels[i]] == 1) for i in listed),
        worst=tuple(
            (str(embeddings.items[i]), names[labels[i]], float(each[i]), float(each[i] / each.sum()),
             int(images[labels[i]]) - 1)
            for i in listed
        ),
        estimates=found,
        along=along,
        sizes=np.array(sizes),
    )  # fmt: skip


def _alarms(embeddings: EmbeddingSet, limit: float) -> Any:
    """Give the share of each person's images that match each enrolled one, sparse, of shape (n, people)."""
    from scipy.sparse import csr_array

    labels, images = embeddings.labels, np.bincount(embeddings.labels)
    rows, others = false_alarms(embeddings.unit, labels, limit)
    who = labels[others]
    return csr_array((1 / images[who], (rows, who)), shape=(len(labels), len(images)))


def _worst(alarms: Any) -> Int[np.ndarray, " n"]:
    """Order enrolled images by how many people they are taken for, most first."""
    order: np.ndarray = np.argsort(-alarms.sum(axis=1), kind="stable")
    return order


def _left(alarms: Any, labels: np.ndarray, kept: np.ndarray) -> Float[np.ndarray, "2 people"]:
    """Give each person's false matches with what is enrolled still, and how many there could be."""
    there = np.zeros(len(labels))
    there[kept] = 1
    return np.stack([there @ alarms, there.sum() - np.bincount(labels, there)])


def save(results: Sequence[Enrolment], path: Path) -> None:
    """Write the images that cause most false matches as CSV, with what to do about each."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for r in results:
            for image, person, taken, share, left in r.worst:
                told = (f"{taken:.4g}", f"{share:.4g}", left, REPLACE if left else ANOTHER)
                rows.writerow([r.model, r.probe, image, person, *told])


def charts(results: Sequence[Enrolment]) -> list[Chart]:
    """FMR over the number of images removed, and the images to look at."""
    drawn: list[Chart] = [_curves(results)]
    for r in results:
        rows = tuple(
            (image, person, Cell(taken, f"{taken:.1f}"), Cell(share, f"{share:.2%}"), left)
            for image, person, taken, share, left in r.worst[:SHOWN]
        )
        drawn.append(
            Table(
                title=f"Enrolled images that cause most false matches in {r.title}",
                columns=("image", "person", "people it is taken for", "of all false matches", "other images"),
                rows=rows,
                note=f"At FAR {r.far:g}, of {r.images:,} enrolled images; a file lists {len(r.worst):,}. A "
                "person counts by the share of their images that match.",
            )
        )
        if r.worst and faces_at_hand():
            faces = tuple(
                Face(r.probe, one[0], f"{one[1]}, taken for {one[2]:.0f} people", one[1])
                for one in r.worst[:SHOWN]
            )
            drawn.append(
                Faces(title=f"Images of most false matches in {r.title}", rows=(("worst first", faces),))
            )
    return drawn


def _curves(results: Sequence[Enrolment]) -> Curves:
    lines = []
    for r in results:
        x = 100 * r.sizes / r.images
        value, low, high = r.along.row(FMR, [(str(size),) for size in r.sizes])
        lines += [
            Curve(r.title, x, value, low, high, model=r.model, markers=True),
            Curve(
                f"{r.title}, removed at random (null)", x, np.full(len(x), value[0]), role="null", dash="dash"
            ),
        ]
    return Curves(
        title="False matches over what is removed",
        xlabel="per cent of enrolled images removed, those of most false matches first",
        ylabel="FMR of people who did not choose them",
        curves=tuple(lines),
        note="Chosen by the probes of half of the people and judged by the others', both ways, at one "
        "threshold. Bands are 95 % intervals of a bootstrap over the people who are searched.",
    )


def findings(results: Sequence[Enrolment]) -> list[Finding]:
    """Say what removing the worst images wins, whom it leaves without one, and at which FAR."""
    said = []
    for r in results:
        before, after = (r.estimates[FMR, which].value for which in (BEFORE, AFTER))
        share = r.removed / r.images
        text = f"On {r.title}, removing the {share:.1%} of enrolled images that others' probes call worst "
        text += f"takes FMR from {before:.3%} to {after:.3%}"
        gap = r.estimates[CHANGE,]
        said.append(
            judged(text, gap, spec="+.1%", word="relative change", tones=("plain", "plain"), family="null")
        )
        if r.alone:
            only = f"{r.alone} of the {counted(len(r.worst), 'image')} to look at"
            said.append(
                Finding(f"On {r.title}, {only} are the only ones of their people: take others first.")
            )
        if r.far != r.far_asked:
            said.append(
                Finding(f"On {r.title}, FAR {r.far_asked:g} needs further people; {r.far:g} is taken.")
            )
    return said


ANALYSIS = Analysis(
    question="Which enrolled images cause most false matches, and what is won by removing them?",
    over="set",
    params=EnrolmentParams(),
    result=Enrolment,
    compute=compute,
    charts=charts,
    findings=findings,
    save=save,
)
