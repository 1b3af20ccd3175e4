"""Identification: finding the right person in a gallery, and nobody where there is nobody to find.

A gallery holds one entry for each person: one image, or with ``gallery="template"`` the mean of the unit
vectors of half of the person's images. The probes are the other images of the people who have several,
so no image is ever compared with itself. People with one image stand in the gallery as distractors.

*Closed set*: every probe's person is in the gallery. Its rank is one plus the number of other people who
score at least as high (a tie counts against the person), and the CMC curve gives the share of probes
whose rank is no more than k [2]_.

*Open set*: a share ``unknown`` of the people is not enrolled. A probe raises an alarm if its highest score
in the gallery is at least the threshold. FPIR is the share of probes of unknown people that do. TPIR is
the share of probes of enrolled people whose right person comes first *and* reaches the threshold [2]_. The
threshold for a FPIR is that of the highest scores of the unknown probes, never that of single pairs: in
a gallery of N people a probe has N chances of a false alarm.

Who is enrolled and with which image is drawn ``draws`` times; figures are means over the draws, and the
lowest and the highest draw stand beside them.

How to read it
--------------
Higher is better. Rank 1 is how often the first answer is right when somebody must be named; TPIR is how
often the right name is given when nobody may be named in vain too often. The null is chance: k of N for
rank k, FPIR/N for TPIR. A FPIR is shown only if FPIR × unknown probes ≥ 1 in every draw; one that rests on
fewer than 10 false alarms is marked unstable. Intervals are 95 % percentile intervals of a bootstrap over
the people of the probes [1]_, the galleries staying as they are; where every probe is right, or none, they
are the exact ones of Clopper and Pearson over people.

Limits
------
Figures belong to the gallery's size: a larger gallery is harder, so compare models on one set only. No
person brings more than ``probes`` probes a draw, so that people with many images do not rule. Gallery and
probes are of one condition; the resolution analysis crosses them. The intervals do not cover another
gallery: the spread over draws hints at that. Images of one person under two names count as errors.

References
----------
.. [1] Bolle, R. M., Ratha, N. K. and Pankanti, S. Error analysis of pattern recognition systems: the
   subsets bootstrap. Computer Vision and Image Understanding 93(1), 2004.
.. [2] ISO/IEC 19795-1:2021. Biometric performance testing and reporting, part 1.
.. [3] Phillips, P. J., Grother, P. and Micheals, R. Evaluation methods in face recognition. In: Li, S. Z.
   and Jain, A. K. (eds), Handbook of Face Recognition, 2nd edition. Springer, 2011.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Number, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.estimates import Estimate, Estimates, People, compared
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs import weighted
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import clopper_pearson
from embedlab.maths.turns import shuffled
from embedlab.progress import blocks, track

RANKS = 20
RANK_1, RANK_5 = "rank-1", "rank-5"
FPIRS = (1e-1, 1e-2, 1e-3)
STABLE = 10
CURVE_POINTS = 41
BLOCK = 8_000_000
TEMPLATES = ", templates enrolled"
DASHES: tuple[Literal["solid", "dash", "dot"], ...] = ("solid", "dash", "dot")


@dataclass(frozen=True)
class IdentificationParams(Params):
    """Knobs of the identification analysis."""

    gallery: Literal["one image", "template"] = "one image"
    """What a person is enrolled with: one image, or the mean of half of the images."""
    probes: int = bounded(10, least=1)
    """How many probes a person brings at most, in one draw."""
    unknown: float = bounded(0.5, above=0, below=1)
    """The share of people who are not enrolled in the open set."""
    fpir: float = bounded(1e-2, above=0, below=1)
    """The false positive identification rate at which models are compared in words."""
    draws: int = bounded(5, least=1)
    """How many galleries are drawn."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the galleries and of the resamples."""


@dataclass(frozen=True)
class Identification(Result):
    """CMC and open-set curve of one set, means over several galleries."""

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
    enrolled: int = field(metadata={"label": "people enrolled in the open set"})
    known_probes: int = field(metadata={"label": "probes of enrolled people, fewest of a draw"})
    unknown_probes: int = field(metadata={"label": "probes of unknown people, fewest of a draw"})
    fpir: float = field(metadata={"hidden": True})
    cmc: Float[np.ndarray, "draws ranks"]
    cmc_low: Float[np.ndarray, " ranks"]
    cmc_high: Float[np.ndarray, " ranks"]
    levels: Float[np.ndarray, " levels"]
    thresholds: Float[np.ndarray, "draws levels"]
    false_alarms: Int[np.ndarray, "draws levels"]
    achieved: Float[np.ndarray, "draws levels"]
    tpirs: Float[np.ndarray, "draws levels"]
    curve_fpir: Float[np.ndarray, " points"]
    curve_tpir: Float[np.ndarray, " points"]
    curve_low: Float[np.ndarray, " points"]
    curve_high: Float[np.ndarray, " points"]

    def at(self, fpir: float) -> int | None:
        """Find the index of a level, or None where the unknown probes cannot resolve it."""
        close = np.flatnonzero(np.isclose(self.levels, fpir, rtol=1e-6))
        return int(close[0]) if len(close) else None

    def numbers(self) -> dict[str, Number]:
        """List the numbers by label, rates that rest on few false alarms marked."""
        few = {
            tpir_at(level) for k, level in enumerate(self.levels) if self.false_alarms[:, k].min() < STABLE
        }
        return {f"{k}, unstable" if k in few else k: v for k, v in super().numbers().items()}

    @property
    def condition(self) -> str:
        """What models are compared on: the probe, and whether templates are enrolled."""
        return self.probe + (TEMPLATES if self.template else "")


@dataclass(frozen=True)
class _Draw:
    """One gallery, searched.

    Attributes
    ----------
    mated_people, ranks
        Person and rank of each probe in the closed set, of shape (m,).
    known_people, known_scores
        Person of each probe of an enrolled person in the open set, and the score at which it is found
        first; minus infinity where another comes first.
    unknown_people, unknown_scores
        Person and highest score of each probe of an unknown person.
    """

    mated_people: np.ndarray
    ranks: np.ndarray
    known_people: np.ndarray
    known_scores: np.ndarray
    unknown_people: np.ndarray
    unknown_scores: np.ndarray


def compute(embeddings: EmbeddingSet, params: IdentificationParams) -> Identification:
    """Draw galleries, search every probe in them, and give CMC and open-set figures.

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
    unit = embeddings.unit[order]
    drawn = [_draw(unit, images, params, k) for k in track(range(params.draws), "searching galleries")]
    everybody = People.of(embeddings.identities, params, items=embeddings.items[order])
    several = int((images > 1).sum())
    cmc, cmc_draws = _ranks(drawn, min(RANKS, people), everybody.counts)
    chance = np.arange(1, cmc.shape[1] + 1) / people
    within = _estimates(cmc.mean(axis=0), cmc_draws, several, chance, everybody)
    known, unknown = (
        min(len(scores) for scores in kind)
        for kind in zip(*((d.known_scores, d.unknown_scores) for d in drawn), strict=True)
    )
    enrolled = people - _unknown(images, params)[0].sum()
    levels, curve = _fpirs(params.fpir, unknown if known else 0)
    rates = np.concatenate([levels, curve])
    thresholds, alarms, tpirs, tpir_draws = _open_set(drawn, rates, everybody.counts)
    k, means = len(levels), tpirs.mean(axis=0)
    found_people = min(len(np.unique(d.known_people)) for d in drawn)
    named = _estimates(means, tpir_draws, found_people, rates / max(enrolled, 1), everybody)
    found = Estimates({(name,): within[r - 1] for name, r in ((RANK_1, 1), (RANK_5, 5)) if r <= len(within)})
    found |= {(tpir_at(level),): named[j] for j, level in enumerate(levels)}
    sizes = np.array([len(d.unknown_scores) for d in drawn])
    return Identification(
        title=embeddings.title + (TEMPLATES if params.gallery == "template" else ""),
        model=embeddings.model,
        probe=embeddings.probe,
        template=params.gallery == "template",
        gallery=people,
        distractors=people - several,
        people=several,
        probes=len(drawn[0].ranks),
        probes_a_person=params.probes,
        galleries=params.draws,
        estimates=found,
        enrolled=int(enrolled),
        known_probes=known,
        unknown_probes=unknown,
        fpir=params.fpir,
        cmc=cmc,
        **_band("cmc", within),
        levels=levels,
        thresholds=thresholds[:, :k],
        false_alarms=alarms[:, :k],
        achieved=alarms[:, :k] / np.maximum(sizes, 1)[:, None],
        tpirs=tpirs[:, :k],
        curve_fpir=curve,
        curve_tpir=means[k:],
        **_band("curve", named[k:]),
    )


def _unknown(
    images: np.ndarray, params: IdentificationParams, draw: int = 0
) -> tuple[np.ndarray, np.random.Generator]:
    """Draw who is unknown: the same share of people with several images and of those with one."""
    rng = np.random.default_rng([params.seed, 5, draw])
    found = np.zeros(len(images), dtype=bool)
    for group in (np.flatnonzero(images > 1), np.flatnonzero(images == 1)):
        size = round(params.unknown * len(group))
        found[rng.permutation(group)[:size]] = True
    return found, rng


def _draw(unit: np.ndarray, images: np.ndarray, params: IdentificationParams, draw: int) -> _Draw:
    """Enrol everybody, and search in all of the gallery and in its enrolled part."""
    unknown, rng = _unknown(images, params, draw)
    people = len(images)
    labels = np.repeat(np.arange(people), images)
    # Each person's images in random order: the first are enrolled, those that follow are probes.
    order, turn = shuffled(labels, rng)
    own = np.maximum(images // 2, 1) if params.gallery == "template" else np.ones_like(images)
    entries = np.zeros((people, unit.shape[1]))
    enrolled = turn < own[labels]
    np.add.at(entries, labels[enrolled], unit[order[enrolled]])
    lengths = np.linalg.norm(entries, axis=1, keepdims=True)
    gallery = np.divide(entries, lengths, out=np.zeros_like(entries), where=lengths > 0).astype(np.float32)
    probe = ~enrolled & (turn < (own + params.probes)[labels])
    # An unknown person with one image stands in the gallery of the closed set, and is a probe of the open.
    probe |= unknown[labels] & (images[labels] == 1)
    # Enrolled people come first, so that they are one block of columns.
    columns = np.argsort(unknown, kind="stable")
    place = np.argsort(columns)
    ranks, scores, highest = _search(
        unit[order[probe]], gallery[columns], place[labels[probe]], int((~unknown).sum())
    )
    who = labels[probe]
    mated, strange = images[who] > 1, unknown[who]
    return _Draw(
        mated_people=who[mated],
        ranks=ranks[mated],
        known_people=who[~strange],
        known_scores=np.where(scores > highest, scores, -np.inf)[~strange],
        unknown_people=who[strange],
        unknown_scores=highest[strange],
    )


def _search(
    probes: np.ndarray, gallery: np.ndarray, own: np.ndarray, enrolled: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each probe's rank, its own person's score, and the highest of the other enrolled people."""
    n = len(probes)
    ranks, scores, highest = np.empty(n, np.int64), np.empty(n), np.full(n, -np.inf)
    size = max(1, BLOCK // len(gallery))
    for start in blocks(range(0, n, size), "searching a gallery, in blocks"):
        rows = slice(start, min(start + size, n))
        block = probes[rows] @ gallery.T
        each = np.arange(len(block))
        right = block[each, own[rows]]
        block[each, own[rows]] = -np.inf
        ranks[rows] = 1 + (block >= right[:, None]).sum(axis=1)
        scores[rows] = right
        if enrolled:
            highest[rows] = block[:, :enrolled].max(axis=1)
    return ranks, scores, highest


def _ranks(drawn: Sequence[_Draw], ranks: int, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the share of probes found within each rank, a draw, and the replicates of its mean."""
    people = counts.shape[1]
    found, replicates = [], []
    for one in drawn:
        kept = one.ranks <= ranks
        index = one.mated_people[kept] * ranks + one.ranks[kept] - 1
        hits = np.bincount(index, minlength=people * ranks).reshape(people, ranks).cumsum(axis=1)
        found.append(hits.sum(axis=0) / len(one.ranks))
        whole = counts @ np.bincount(one.mated_people, minlength=people).astype(np.float32)
        blank = np.full((len(counts), ranks), np.nan)
        weighed = counts @ hits.astype(np.float32)
        replicates.append(np.divide(weighed, whole[:, None], out=blank, where=whole[:, None] > 0))
    return np.stack(found), np.mean(replicates, axis=0)


def _fpirs(reference: float, unknown: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the rates that so many unknown probes resolve, falling, and those a curve is drawn at."""
    levels = np.array([r for r in sorted({*FPIRS, reference}, reverse=True) if r * unknown >= 1])
    return levels, np.geomspace(1.0 / unknown, 1.0, CURVE_POINTS)[:-1] if unknown else np.empty(0)


def _open_set(
    drawn: Sequence[_Draw], fpirs: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give thresholds, false alarms and TPIR at each rate, a draw, and the replicates of the mean TPIR."""
    thresholds, alarms, shares = (np.zeros((len(drawn), len(fpirs))) for _ in range(3))
    replicates = np.zeros((len(counts), len(fpirs)))
    if len(fpirs):
        rows = np.concatenate([np.ones((1, counts.shape[1]), np.float32), counts])
        for k, one in enumerate(track(drawn, "thresholds of the open set")):
            limits, tpir = _at_rates(one, fpirs, rows)
            alarms[k] = (one.unknown_scores > limits[0][:, None]).sum(axis=1)
            thresholds[k] = np.nextafter(limits[0].astype(np.float32), np.float32(2))
            shares[k] = tpir[0]
            replicates += tpir[1:] / len(drawn)
    return thresholds, alarms.astype(np.int64), shares, replicates


def _at_rates(one: _Draw, fpirs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the highest score that is rejected at each rate, in each resample, and TPIR there."""
    # A last person who weighs one: a probe weighs what its own person does, a pair of people would both.
    weights = np.pad(rows, ((0, 0), (0, 1)), constant_values=1.0)
    order = np.argsort(-one.unknown_scores, kind="stable")
    who = one.unknown_people[order]
    pairs = np.stack([who, np.full_like(who, rows.shape[1])], axis=1)
    whole = rows[:, who].sum(axis=1, dtype=np.float64)[:, None]
    rising = np.argsort(fpirs)
    limits = weighted.thresholds(
        one.unknown_scores[order].astype(np.float32), pairs, weights, whole * fpirs[rising] * (1 + 1e-12)
    )[:, np.argsort(rising)]
    order = np.argsort(one.known_scores, kind="stable")
    tpir = weighted.shares(one.known_scores[order], one.known_people[order], rows, limits)
    # A resample without unknown people has no threshold.
    return limits, np.where(np.isnan(limits), np.nan, tpir)


def tpir_at(fpir: float) -> str:
    """Name the TPIR at a false positive identification rate."""
    return f"TPIR@FPIR={fpir:.3g}"


def _estimates(
    values: np.ndarray, replicates: np.ndarray, n: int, nulls: np.ndarray, people: People
) -> list[Estimate]:
    """Give each share with the interval of the bootstrap, or the exact one where all are right or none."""
    found = []
    for value, draws, null in zip(values.tolist(), replicates.T, nulls.tolist(), strict=True):
        one = people.estimate(Drawn(value, draws), n, null)
        if value in (0.0, 1.0):
            low, high = clopper_pearson(round(value) * max(n, 1), max(n, 1))
            one = dataclasses.replace(one, low=low, high=high)
        found.append(one)
    return found


def _band(curve: str, estimates: Sequence[Estimate]) -> dict[str, np.ndarray]:
    """Give the ends of the intervals, by their fields' names."""
    ends = np.array([(one.low, one.high) for one in estimates], dtype=np.float64).reshape(-1, 2)
    return {f"{curve}_low": ends[:, 0], f"{curve}_high": ends[:, 1]}


def charts(results: Sequence[Identification]) -> list[Chart]:
    """CMC and open-set curves of all sets, and their points with the spread over galleries."""
    conditions = list(dict.fromkeys(r.condition for r in results))
    dash = {name: DASHES[k % len(DASHES)] for k, name in enumerate(conditions)}
    galleries = (
        "Means over the galleries that were drawn; bands are 95 % intervals of a bootstrap over the people "
    )
    cmc = Curves(
        title="CMC: the right person within the first k (closed set)",
        xlabel="rank k",
        ylabel="share of probes found",
        curves=tuple(
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
        ),
        note=f"{galleries}of the probes. Chance is k of as many people as the gallery holds.",
    )
    drawn: list[Chart] = [cmc]
    searched = [r for r in results if len(r.curve_fpir)]
    if searched:
        drawn.append(
            Curves(
                title="Open set: TPIR over FPIR",
                xlabel="FPIR: share of unknown people's probes that raise an alarm",
                ylabel="TPIR: share of enrolled people's probes named rightly",
                curves=tuple(
                    Curve(
                        name=r.title,
                        x=r.curve_fpir,
                        y=r.curve_tpir,
                        low=r.curve_low,
                        high=r.curve_high,
                        model=r.model,
                        dash=dash[r.condition],
                    )
                    for r in searched
                ),
                xscale="log",
                note=f"{galleries}of the probes. Thresholds come from the highest scores of unknown probes.",
            )
        )
    return [*drawn, _table(results)]


def _table(results: Sequence[Identification]) -> Table:
    rows: list[tuple[object, ...]] = []
    for r in results:
        for name, rank in ((RANK_1, 1), (RANK_5, 5)):
            if (name,) in r.estimates:
                column = r.cmc[:, rank - 1]
                rows.append((r.title, name, r.estimates[name,], _between(column), "–", "–", "–"))
        for k, level in enumerate(r.levels):
            alarms = r.false_alarms[:, k]
            rows.append(
                (
                    r.title,
                    f"TPIR@FPIR={level:g}",
                    r.estimates[tpir_at(level),],
                    _between(r.tpirs[:, k]),
                    Cell(threshold := r.thresholds[:, k].mean(), f"{threshold:.4f}"),
                    Cell(achieved := r.achieved[:, k].mean(), f"{achieved:.2e}"),
                    f"{_between(alarms, 'd')}" + ("" if alarms.min() >= STABLE else " (unstable)"),
                )
            )
    return Table(
        title="Identification",
        columns=(
            "set",
            "figure",
            "mean of galleries",
            "lowest to highest gallery",
            "threshold",
            "FPIR achieved",
            "false alarms a gallery",
        ),
        rows=tuple(rows),
        note="Thresholds and achieved FPIR are means over galleries; points with fewer than "
        f"{STABLE} false alarms are unstable; what the unknown probes cannot resolve is left out.",
    )


def _between(values: np.ndarray, spec: str = ".3f") -> str:
    low, high = (format(end, spec) for end in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def findings(results: Sequence[Identification]) -> list[Finding]:
    """Compare models within each probe, closed and open set; and probes within each model."""
    said = []
    for condition in dict.fromkeys(r.condition for r in results):
        group = [r for r in results if r.condition == condition]
        said += _closed(condition, group) + _open(condition, group)
    for model, template in dict.fromkeys((r.model, r.template) for r in results):
        first, *rest = [r for r in results if (r.model, r.template) == (model, template)]
        for other in rest:
            text = (
                f"In {model}, rank-1 goes from {_first(first):.1%} on {first.condition} to "
                f"{_first(other):.1%} on {other.condition}"
            )
            said.append(compared(text, other.estimates[RANK_1,], first.estimates[RANK_1,], word="change"))
    return said


def _first(r: Identification) -> float:
    return r.estimates[RANK_1,].value


def _closed(condition: str, group: Sequence[Identification]) -> list[Finding]:
    best, *rest = sorted(group, key=lambda r: -_first(r))
    text = f"On {condition}, {best.model} names the right one of {best.gallery:,} people first for"
    if not rest:
        spread = _between(100 * best.cmc[:, 0], ".1f")
        over = f" ({spread} % over {best.galleries} galleries)" if best.galleries > 1 else ""
        return [Finding(f"{text} {best.estimates[RANK_1,]:.1%} of probes{over}.")]
    return [
        compared(
            f"{text} {_first(best):.1%} of probes, {other.model} "
            + (f"one of {other.gallery:,} " if other.gallery != best.gallery else "")
            + f"for {_first(other):.1%}",
            best.estimates[RANK_1,],
            other.estimates[RANK_1,],
        )
        for other in rest
    ]


def _open(condition: str, group: Sequence[Identification]) -> list[Finding]:
    said = [
        Finding(
            f"In {r.title}, {r.unknown_probes:,} probes of unknown people are too few for TPIR at FPIR "
            f"{r.fpir:g}: at least {1 / r.fpir:,.0f} are needed.",
            "bad",
        )
        for r in group
        if r.at(r.fpir) is None
    ]
    group = [r for r in group if r.at(r.fpir) is not None]
    for fpir in dict.fromkeys(r.fpir for r in group):
        best, *rest = sorted((r for r in group if r.fpir == fpir), key=lambda r: -_tpir(r, fpir).value)
        fewest = min(int(r.false_alarms[:, r.at(fpir)].min()) for r in (best, *rest))
        unstable = f" (unstable, fewer than {STABLE} false alarms)" if fewest < STABLE else ""
        text = (
            f"On {condition}, with {best.enrolled:,} people enrolled and the others unknown, "
            f"{best.model} names"
        )
        point = f"of probes rightly at FPIR {fpir:g}{unstable}"
        if not rest:
            said.append(Finding(f"{text} {_tpir(best, fpir):.1%} {point}."))
        said += [
            compared(
                f"{text} {_tpir(best, fpir).value:.1%} {point}, {other.model} {_tpir(other, fpir).value:.1%}",
                _tpir(best, fpir),
                _tpir(other, fpir),
            )
            for other in rest
        ]
    return said


def _tpir(r: Identification, fpir: float) -> Estimate:
    index = r.at(fpir)
    if index is None:
        raise ValueError(f"{r.title} does not resolve FPIR {fpir}")
    return r.estimates[tpir_at(r.levels[index]),]


ANALYSIS = Analysis(
    question="Is the right person found in a gallery?",
    over="set",
    params=IdentificationParams(),
    result=Identification,
    compute=compute,
    charts=charts,
    findings=findings,
)
