"""Migration: how few people must be known to both models for an old gallery to be moved to a new one.

The images of the old gallery are gone; of some people there are others, which both models embed. From these
known people a map is made, the old vectors of everybody else are moved by it, and probes of the new model
are searched among them: other images of these people, of whom nobody is told who is who. Tried are *ridge*
(any linear map, its size penalised), a *rotation* (orthogonal Procrustes), and *self-training*: points of
the old gallery, rotated, and of the new probes that are each other's nearest by CSLS [1]_ are taken for
pairs, and the rotation is fitted anew, round after round; from all known people a *residual MLP* too: ridge
and a small network that learns what it leaves, where that helps others.

How to read it
--------------
Rank-1 is the share of probes that find their person first. An adapter needs as many known people as it takes
to stay within ``matters`` of ridge on all of them. Null: a map of pairs of different people.

The *certificate* needs no truth. Where self-training has found the right map, half of its matches give the
same map as the other half, told by a cosine; its null starts from known pairs dealt to other people. Wrong
matches are mutual as often as right ones, so how many there are certifies nothing.

*Half moved* is a gallery in which half of the people was enrolled anew and the others moved, searched at one
threshold. What mixing costs is the mean of a moved and a new gallery less that.

Intervals are a bootstrap over the people searched, paired, and over who is known.

Limits
------
People with one image are left out. Among probes of many strangers self-training would have more to mistake.
Wrong pairs are one shuffle. The certificate says that a map is right, not that it loses nothing. On LFW
(EdgeFace, MobileFaceNet) 21 to 26 known people of 840 were enough for self-training, 300 to 340 for ridge;
at 32 pixels 95 to 150, and 440. It held wherever rank-1 was near that, and nowhere else; every MLP left 4 to
56 % more of held-out people than ridge.

References
----------
.. [1] Conneau, A., Lample, G., Ranzato, M., Denoyer, L. and Jégou, H. Word translation without parallel data.
   ICLR 2018. arXiv 1710.04087.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, as_points, bars, claim, compared, judged
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.clouds import migration
from embedlab.maths.clouds.migration import ADAPTERS, HALF, MLP, MOVED, NEW, OLD, RIDGE, SELF, WRONG
from embedlab.maths.linear.crossmodel import R2, RANK_1, TAR, trial
from embedlab.maths.linear.map_inputs import MapInputs

NEEDED, COST = "known people needed", "cost of being half moved"
FEWEST, STABLE, CURVED, SHOWN = 8, 10, 2, 4
Ends = tuple[str, str]


@dataclass(frozen=True)
class MigrationParams(Params):
    """Knobs of the analysis of migration."""

    matters: float = bounded(0.02, above=0, below=1)
    """The loss of rank-1 against ridge on all known people that is still near enough, for what is needed."""
    held: float = bounded(0.5, above=0, below=1)
    """The share of people nobody knows, whose gallery is moved."""
    draws: int = bounded(3, least=2)
    """How often known people are drawn."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate of TAR."""
    people: int = bounded(2000, least=8)
    """How many people with two images or more are drawn at most."""
    images: int = bounded(5, least=2)
    """How many images a person brings at most."""
    probes: int = bounded(3, least=1)
    """How many probes a person brings at most."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of all draws."""

    @property
    def pairs(self) -> str:
        """What known people give: each of their images in both models."""
        return "same image"


@dataclass(frozen=True)
class Migration(Result):
    """Galleries moved between two models, both ways, from rising numbers of known people.

    Estimates are by figure, gallery or adapter, old and new model; ``fewer`` by adapter and number. Arrays
    hold what `Certificate` says of the way from the first source to the second, then of the way back.
    """

    probe: str = field(metadata={"hidden": True})
    sources: tuple[str, str] = field(metadata={"hidden": True})
    matters: float = field(metadata={"hidden": True})
    tar: str = field(metadata={"label": "TAR is"})
    gallery: int = field(metadata={"label": "people in the old gallery"})
    probes: int
    known: int = field(metadata={"label": "known people at most"})
    estimates: Estimates
    fewer: Estimates = field(metadata={"hidden": True})
    sizes: Int[np.ndarray, " sizes"]
    agreement: Float[np.ndarray, "2 sizes draws"]
    wrong: Float[np.ndarray, "2 sizes draws"]
    certified: Int[np.ndarray, " 2"]
    p_values: Float[np.ndarray, " 2"]


def compute(a: EmbeddingSet, b: EmbeddingSet, params: MigrationParams) -> Migration:
    """Move the gallery of each model to the other from few known people.

    Raises
    ------
    UserError
        If the sets share no item, too few people with two images, or all vectors of a set are one.
    """
    pair = aligned(a, b)
    several = np.flatnonzero(np.bincount(pair.a.labels)[pair.a.labels] > 1)
    people = len(np.unique(pair.a.labels[several]))
    if people < FEWEST:
        raise UserError(
            f"{a.title} and {b.title} share {people} people with two images: {FEWEST} are needed, half of "
            "them to be known and half to be searched; add images"
        )
    there = MapInputs.of(pair.a.take(several), pair.b.take(several), params)
    who = trial(there.owners, params.probes, params.seed)
    drawn = People.of(range(len(who.gallery)), params, items=(*there.names, str(params.probes)))
    far = params.far if params.far * who.impostors >= 1 else 0.0
    tar = f"TAR@FAR={params.far:g}" + (", unstable" if params.far * who.impostors < STABLE else "")
    found, fewer, told = Estimates(), Estimates(), []
    for inputs, ends in ((there, (a.model, b.model)), (there.turned(), (b.model, a.model))):
        moving = migration.Moving(inputs, who, drawn.counts, far, params.seed)
        tried = migration.along(moving, params.draws)
        for kept, own in zip(
            (found, fewer), _figures(moving, tried, drawn, ends, params.matters), strict=True
        ):
            kept |= own
        told.append(migration.Certificate.of(tried))
    return Migration(
        title=f"{a.model} and {b.model} on {a.probe}",
        probe=a.probe,
        sources=(a.model, b.model),
        matters=params.matters,
        tar=tar,
        gallery=len(who.gallery),
        probes=len(who.probes),
        known=int((~there.held).sum()),
        estimates=found,
        fewer=fewer,
        sizes=np.array(list(tried)),
        agreement=np.array([one.agreement for one in told]),
        wrong=np.array([one.wrong for one in told]),
        certified=np.array([one.holds_from for one in told]),
        p_values=np.array([one.p_value for one in told]),
    )


def _figures(
    moving: migration.Moving, tried: dict[int, migration.Attempts], people: People, ends: Ends, matters: float
) -> tuple[Estimates, Estimates]:
    """Give the figures of whole galleries and what is needed; and rank-1 by adapter and number."""
    n, chance, found, fewer = moving.who.searched, 1 / len(moving.who.gallery), Estimates(), Estimates()
    whole, cost = migration.galleries(moving)
    for gallery, figures in whole.items():
        for what, drawn in figures.items():
            null = whole[WRONG][what].value if gallery in (MOVED, MLP) else chance if what == RANK_1 else None
            found[what, gallery, *ends] = people.estimate(drawn, n, null, share=what != R2)
    found |= {(COST, what, *ends): people.estimate(drawn, n, 0.0) for what, drawn in cost.items()}
    for name, (size, one) in product(ADAPTERS, tried.items()):
        drawn = one.of(name, moving.seed)
        fewer[RANK_1, name, str(size), *ends] = people.estimate(drawn, n, chance, share=True)
    needed = migration.knees(tried, matters, moving.seed)
    found |= {(NEEDED, name, *ends): people.estimate(drawn, n) for name, drawn in needed.items()}
    return found, fewer


Way = tuple[Migration, int]


def _ends(way: Way) -> Ends:
    return way[0].sources[::-1] if way[1] else way[0].sources


def _of(way: Way, *what: str) -> Estimate:
    return way[0].estimates[*what, *_ends(way)]


def _label(way: Way) -> str:
    return f"{' → '.join(_ends(way))}, {way[0].probe}"


def _ways(results: Sequence[Migration]) -> list[Way]:
    """List every way, of each probe the one that finds most first."""
    probes = [r.probe for r in results]
    ways = [(r, way) for r in results for way in (0, 1)]
    return sorted(ways, key=lambda way: (probes.index(way[0].probe), -_of(way, RANK_1, MOVED).value))


def charts(results: Sequence[Migration]) -> list[Chart]:
    """Rank-1 and the certificate over known people, of some ways; whole galleries; all that is needed."""
    ways = _ways(results)
    drawn = [chart for way in ways[:CURVED] for chart in (_curves(way), _halves(way))]
    return [*drawn, _galleries(ways[:SHOWN], len(ways)), _table(ways)]


def _curves(way: Way) -> Curves:
    r, ends = way[0], _ends(way)
    x = r.sizes.astype(np.float64)
    flat = {name: np.full(len(x), _of(way, RANK_1, name).value) for name in (NEW, WRONG)}
    places = {name: [(name, str(size), *ends) for size in r.sizes] for name in ADAPTERS}
    return Curves(
        title=f"Known people to move a gallery, {_label(way)}",
        xlabel="known people",
        ylabel="rank-1 of people nobody knows",
        curves=(
            *(Curve(name, x, *r.fewer.row(RANK_1, at), markers=True) for name, at in places.items()),
            Curve(NEW, x, flat[NEW], role="ceiling"),
            Curve("wrong pairs (null)", x, flat[WRONG], role="null", dash="dash"),
        ),
        xscale="log",
        note=f"{r.probes:,} probes searched among {r.gallery:,} people. Mean over draws of known people; "
        "bands: 95 % over people and draws.",
    )


def _halves(way: Way) -> Curves:
    r, k = way
    x = r.sizes.astype(np.float64)
    known, wrong = (
        (np.nanmean(each, axis=1), np.nanmin(each, axis=1), np.nanmax(each, axis=1))
        for each in (r.agreement[k], r.wrong[k])
    )
    return Curves(
        title=f"Certificate of self-training, {_label(way)}",
        xlabel="known people",
        ylabel="cosine of the maps of two halves of the matches",
        curves=(
            Curve("known pairs", x, *known, markers=True),
            Curve("wrong pairs (null)", x, *wrong, role="null"),
        ),
        xscale="log",
        note="No truth is needed for it. Bands: from the least to the most of the draws of known people.",
    )


def _galleries(ways: Sequence[Way], there: int) -> Bars:
    places = [(_label(way),) for way in ways]
    series = {
        name: Estimates({(RANK_1, _label(way)): _of(way, RANK_1, name) for way in ways})
        for name in (OLD, MOVED, MLP, HALF, NEW)
    }
    more = f" These are {len(ways)} of {there} ways." if there > len(ways) else ""
    return Bars(
        title="Rank-1 while a gallery is moved",
        ylabel="rank-1 of people nobody knows",
        categories=tuple(place for (place,) in places),
        series=bars(series, RANK_1, places),
        nulls=np.array([_of(way, RANK_1, WRONG).value for way in ways]),
        note=f"Moved by ridge on all known people; null: on pairs of different people.{more}",
    )


def _table(ways: Sequence[Way]) -> Table:
    def row(way: Way) -> tuple[object, ...]:
        r, none = way[0], Cell(None, "–")
        needed = [r.estimates.at(NEEDED, (name, *_ends(way))) for name in ADAPTERS]
        holds = int(r.certified[way[1]])
        tars = [r.estimates.at(TAR, (name, *_ends(way))) or none for name in (MOVED, HALF, NEW)]
        counts = [Cell(one, f"{one:,.0f}") if one else none for one in needed]
        return (_label(way), *counts, Cell(holds, f"{holds:,}") if holds else none, *tars)

    first = ways[0][0]
    return Table(
        title="Known people needed, and TAR of galleries",
        columns=(
            *("way", *(f"needed by {name}" for name in ADAPTERS), "certificate holds from"),
            *(f"{first.tar}, {MOVED}", HALF, NEW),
        ),
        rows=tuple(map(row, ways)),
        note=f"Needed to lose at most {as_points(first.matters)} of rank-1 against ridge on all "
        f"{first.known:,}; – where not even all are enough.",
    )


def findings(results: Sequence[Migration]) -> list[Finding]:
    """Say of the first probe's best and worst ways what is kept, who must be known, and what mixing costs."""
    ways = [way for way in _ways(results) if way[0].probe == results[0].probe]
    ends = ways if len(ways) <= 2 else [ways[0], ways[-1]]
    return [one for way in ends for one in _of_way(way)]


def _of_way(way: Way) -> list[Finding]:
    r, (old, new) = way[0], _ends(way)
    moved, own, wrong = (_of(way, RANK_1, name) for name in (MOVED, NEW, WRONG))
    text = f"Moved from {old} to {new} on {r.probe} by {r.known:,} known people, a gallery gives "
    text += f"{moved.value:.1%} rank-1"
    if (moved - wrong).sign in (0, -1):
        return [compared(f"{text}, by wrong pairs {wrong.value:.1%}", moved, wrong, tones=("plain", "plain"))]
    said = [compared(f"{text}, enrolled anew {own.value:.1%}", moved, own, tones=("plain", "plain"))]
    bent, from_to = _of(way, RANK_1, MLP), f"from {old} to {new} on {r.probe}"
    if bent == moved:
        said.append(Finding(f"A residual MLP {from_to} adds nothing to ridge, and is left out."))
    else:
        text = f"Moved {from_to}, ridge and a residual MLP give {bent.value:.1%} rank-1"
        said.append(compared(f"{text}, ridge alone {moved.value:.1%}", bent, moved, tones=("plain", "plain")))
    few, many = (r.estimates.at(NEEDED, (name, old, new)) for name in (SELF, RIDGE))
    if few and many:
        near = f"to come within {as_points(r.matters)} of ridge on {r.known:,} people"
        text = f"From {old} to {new} on {r.probe}, {near} self-training needs {few.value:,.0f}, "
        text += f"ridge {many.value:,.0f}"
        word = "difference in people"
        said.append(compared(text, few, many, spec=",.0f", word=word, tones=("plain", "plain")))
    said.append(_certified(way))
    if (COST, TAR, old, new) in r.estimates:
        half, cost = _of(way, TAR, HALF), r.estimates[COST, TAR, old, new]
        text = f"At FAR {r.tar.partition('=')[2]} on {r.probe}, a gallery half moved from {old} to {new} has "
        text += f"TAR {half.value:.1%}, moved and new ones average {half.value + cost.value:.1%}"
        said.append(judged(text, -cost, tones=("bad", "plain")))
    return said


def _certified(way: Way) -> Finding:
    r, k = way
    (old, new), holds = _ends(way), int(r.certified[k])
    place = r.sizes.tolist().index(holds or r.known)
    told = f"(cosine {np.nanmin(r.agreement[k, place]):.2f}, from wrong pairs {np.nanmean(r.wrong[k]):.2f})"
    what = f"halves of what self-training matches from {old} to {new} on {r.probe}"
    rank = r.fewer[RANK_1, SELF, str(r.sizes[place]), old, new].value
    return claim(
        f"From {holds:,} known people on, {what} give one map {told}: rank-1 {rank:.1%}.",
        f"Not even from {r.known:,} known people {what} are shown to give one map {told}.",
        float(r.p_values[k]),
    )


ANALYSIS = Analysis(
    question="How few people must be known to move an old gallery to a new model?",
    over="model pair",
    params=MigrationParams(),
    result=Migration,
    compute=compute,
    charts=charts,
    findings=findings,
)
