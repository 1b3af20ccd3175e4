"""Watchlist: the enrolled are named, and strangers are not (open set).

A share ``unknown`` of the people is not enrolled. The others stand in a gallery with one entry each: one
image, or with ``gallery="template"`` the mean of the unit vectors of half of the person's images. The probes
are the other images of the enrolled, and images of the unknown; no image is compared with itself.

A probe raises an alarm if its highest score in the gallery is at least the threshold. FPIR is the share of
probes of unknown people that do. TPIR is the share of probes of enrolled people whose right person comes
first *and* reaches the threshold [2]_; FNIR is the rest of them. The threshold for a FPIR is that of the
highest scores of the unknown probes, never that of single pairs: in a gallery of N people a probe has N
chances of a false alarm. Who is enrolled and with which image is drawn ``draws`` times; figures are means
over the draws, and the lowest and the highest draw stand beside them.

How to read it
--------------
Higher is better. TPIR is how often the right name is given when nobody may be named in vain too often. The
null is chance: FPIR of N. A FPIR is shown only if FPIR × unknown probes ≥ 1 in every draw; one that rests on
fewer than 10 false alarms is marked unstable. Intervals are 95 % percentile intervals of a bootstrap over
the people of the probes [1]_ that finds thresholds anew, the galleries staying as they are; where every probe
is right, or none, they are the exact ones of Clopper and Pearson over people.

Limits
------
Figures belong to the gallery's size: a larger gallery is harder, so compare models on one set only. No
person brings more than ``probes`` probes a draw, so that people with many images do not rule. The intervals
do not cover another gallery: the spread over draws hints at that. Images of one person under two names count
as errors, and a stranger who is enrolled under another name as a false alarm.

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
from jaxtyping import Float, Int

from embedlab import operating
from embedlab.analysis import Analysis, Finding, Number, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs import levels as rates
from embedlab.maths.pairs import weighted
from embedlab.maths.pairs.levels import STABLE
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.space import galleries
from embedlab.operating import TEMPLATES, exact, spread
from embedlab.progress import track

FPIRS = (1e-1, 1e-2, 1e-3)
CURVE_POINTS = 41


@dataclass(frozen=True)
class WatchlistParams(Params):
    """Knobs of the watchlist analysis."""

    gallery: Literal["one image", "template"] = "one image"
    """What a person is enrolled with: one image, or the mean of half of the images."""
    probes: int = bounded(10, least=1)
    """How many probes a person brings at most, in one draw."""
    unknown: float = bounded(0.5, above=0, below=1)
    """The share of people who are not enrolled."""
    fpir: float = bounded(1e-2, above=0, below=1)
    """The false positive identification rate at which models are compared in words."""
    draws: int = bounded(5, least=1)
    """How many galleries are drawn."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the galleries and of the resamples."""


@dataclass(frozen=True)
class Watchlist(Result):
    """The open-set curve of one set, over several galleries."""

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    template: bool = field(metadata={"hidden": True})
    enrolled: int = field(metadata={"label": "people enrolled"})
    strangers: int = field(metadata={"label": "people not enrolled"})
    known_probes: int = field(metadata={"label": "probes of enrolled people, fewest of a draw"})
    unknown_probes: int = field(metadata={"label": "probes of unknown people, fewest of a draw"})
    probes_a_person: int = field(metadata={"label": "probes a person, at most"})
    galleries: int = field(metadata={"label": "galleries drawn"})
    estimates: Estimates
    fpir: float = field(metadata={"hidden": True})
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
        return rates.index_of(self.levels, fpir)

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
class _Searched:
    """One gallery, searched.

    Attributes
    ----------
    known_people, known_scores
        Person of each probe of an enrolled person, and the score at which it is found first; minus infinity
        where another comes first.
    unknown_people, unknown_scores
        Person and highest score of each probe of an unknown person.
    """

    known_people: np.ndarray
    known_scores: np.ndarray
    unknown_people: np.ndarray
    unknown_scores: np.ndarray


def compute(embeddings: EmbeddingSet, params: WatchlistParams) -> Watchlist:
    """Draw galleries, search every probe in them, and give the open-set figures.

    Raises
    ------
    UserError
        If there is only one person, no person has two images, or the unknown or the enrolled have no probe.
    """
    check_pairs(embeddings)
    people = len(embeddings.identities)
    images = np.bincount(embeddings.labels, minlength=people)
    # In the order of names, so that models draw the same galleries however their rows lie.
    order = np.lexsort((embeddings.items, embeddings.labels))
    unit = embeddings.unit[order]
    searched = [_searched(unit, images, params, k) for k in track(range(params.draws), "searching galleries")]
    known, unknown = (
        min(map(len, kind))
        for kind in zip(*((one.known_scores, one.unknown_scores) for one in searched), strict=True)
    )
    if not known or not unknown:
        raise UserError(
            f"{embeddings.title} has too few people with two images for a gallery and strangers: there are "
            f"{known} probes of enrolled people and {unknown} of others; add more images"
        )
    resampled = People.of(embeddings.identities, params, items=embeddings.items[order])
    levels, curve = rates.resolved(params.fpir, unknown, FPIRS), rates.along(unknown, CURVE_POINTS)
    asked, k = np.concatenate([levels, curve]), len(levels)
    thresholds, alarms, tpirs, tpir_draws = _open_set(searched, asked, resampled.counts)
    means = [Drawn(*one) for one in zip(tpirs.mean(axis=0), tpir_draws.T, strict=True)]
    enrolled = people - int(_strangers(images, params, 0).sum())
    found_people = min(len(np.unique(one.known_people)) for one in searched)
    named = [
        exact(resampled, one, found_people, float(rate) / max(enrolled, 1))
        for one, rate in zip(means, asked, strict=True)
    ]
    ends = np.array([(one.low, one.high) for one in named[k:]], dtype=np.float64).reshape(-1, 2)
    sizes = np.array([len(one.unknown_scores) for one in searched])
    return Watchlist(
        title=embeddings.title + (TEMPLATES if params.gallery == "template" else ""),
        model=embeddings.model,
        probe=embeddings.probe,
        template=params.gallery == "template",
        enrolled=enrolled,
        strangers=people - enrolled,
        known_probes=known,
        unknown_probes=unknown,
        probes_a_person=params.probes,
        galleries=params.draws,
        estimates=Estimates(
            {(tpir_at(float(level)),): one for level, one in zip(levels, named, strict=False)}
        ),
        fpir=params.fpir,
        levels=levels,
        thresholds=thresholds[:, :k],
        false_alarms=alarms[:, :k],
        achieved=alarms[:, :k] / sizes[:, None],
        tpirs=tpirs[:, :k],
        curve_fpir=curve,
        curve_tpir=tpirs.mean(axis=0)[k:],
        curve_low=ends[:, 0],
        curve_high=ends[:, 1],
    )


def _strangers(images: np.ndarray, params: WatchlistParams, draw: int) -> np.ndarray:
    return galleries.strangers(images, params.unknown, np.random.default_rng([params.seed, 6, draw]))


def _searched(unit: np.ndarray, images: np.ndarray, params: WatchlistParams, draw: int) -> _Searched:
    unknown, rng = _strangers(images, params, draw), np.random.default_rng([params.seed, 5, draw])
    template = params.gallery == "template"
    gallery = galleries.drawn(unit, images, unknown, rng, most=params.probes, template=template)
    _, scores, highest = galleries.search(unit, gallery)
    known, owners = gallery.places >= 0, gallery.owners
    return _Searched(
        known_people=owners[known],
        known_scores=np.where(scores > highest, scores, -np.inf)[known],
        unknown_people=owners[~known],
        unknown_scores=highest[~known],
    )


def _open_set(
    searched: Sequence[_Searched], fpirs: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give thresholds, false alarms and TPIR at each rate, a draw, and the replicates of the mean TPIR."""
    thresholds, alarms, shares = (np.zeros((len(searched), len(fpirs))) for _ in range(3))
    replicates = np.zeros((len(counts), len(fpirs)))
    rows = np.concatenate([np.ones((1, counts.shape[1]), np.float32), counts])
    for k, one in enumerate(track(searched, "thresholds of the open set")):
        limits, tpir = _at_rates(one, fpirs, rows)
        alarms[k] = (one.unknown_scores > limits[0][:, None]).sum(axis=1)
        # The next score: in single precision, unless they were told apart in double.
        single = limits[0].astype(np.float32)
        coarse = np.nextafter(single, np.float32(2))
        thresholds[k] = np.where(single == limits[0], coarse, np.nextafter(limits[0], 2))
        shares[k] = tpir[0]
        replicates += tpir[1:] / len(searched)
    return thresholds, alarms.astype(np.int64), shares, replicates


def _at_rates(one: _Searched, fpirs: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the highest score that is rejected at each rate, in each resample, and TPIR there."""
    # A last person who weighs one: a probe weighs what its own person does, a pair of people would both.
    weights = np.pad(rows, ((0, 0), (0, 1)), constant_values=1.0)
    order = np.argsort(-one.unknown_scores, kind="stable")
    who = one.unknown_people[order]
    pairs = np.stack([who, np.full_like(who, rows.shape[1])], axis=1)
    whole = rows[:, who].sum(axis=1, dtype=np.float64)[:, None]
    rising = np.argsort(fpirs)
    scores = one.unknown_scores[order]
    single = scores.astype(np.float32)
    limits = weighted.thresholds(
        single if (single == scores).all() else scores, pairs, weights, whole * fpirs[rising] * (1 + 1e-12)
    )[:, np.argsort(rising)]
    order = np.argsort(one.known_scores, kind="stable")
    tpir = weighted.shares(one.known_scores[order], one.known_people[order], rows, limits)
    # A resample without unknown people has no threshold.
    return limits, np.where(np.isnan(limits), np.nan, tpir)


def tpir_at(fpir: float) -> str:
    """Name the TPIR at a false positive identification rate."""
    return f"TPIR@FPIR={fpir:.3g}"


def charts(results: Sequence[Watchlist]) -> list[Chart]:
    """Open-set curves of all sets, and their points with the spread over galleries."""
    dash = operating.dashes([r.condition for r in results])
    curves = tuple(
        Curve(r.title, r.curve_fpir, r.curve_tpir, r.curve_low, r.curve_high, r.model, dash[r.condition])
        for r in results
    )
    rows: list[tuple[object, ...]] = []
    for r in results:
        for k, level in enumerate(r.levels):
            alarms = r.false_alarms[:, k]
            rows.append(
                (
                    r.title,
                    Cell(level, f"{level:g}"),
                    r.estimates[tpir_at(level),],
                    spread(r.tpirs[:, k]),
                    Cell(threshold := r.thresholds[:, k].mean(), f"{threshold:.4f}"),
                    Cell(achieved := r.achieved[:, k].mean(), f"{achieved:.2e}"),
                    f"{spread(alarms, 'd')}" + ("" if alarms.min() >= STABLE else " (unstable)"),
                )
            )
    return [
        Curves(
            title="Open set: TPIR over FPIR",
            xlabel="FPIR: share of unknown people's probes that raise an alarm",
            ylabel="TPIR: share of enrolled people's probes named rightly",
            curves=curves,
            xscale="log",
            note="Means over the galleries that were drawn; bands are 95 % intervals of a bootstrap over the "
            "people of the probes. Thresholds come from the highest scores of unknown probes.",
        ),
        Table(
            title="Open set",
            columns=(
                *("set", "FPIR asked", "TPIR", "lowest to highest gallery", "threshold", "FPIR achieved"),
                "false alarms a gallery",
            ),
            rows=tuple(rows),
            note="Thresholds and achieved FPIR are means over galleries; points with fewer than "
            f"{STABLE} false alarms are unstable; what the unknown probes cannot resolve is left out.",
        ),
    ]


def findings(results: Sequence[Watchlist]) -> list[Finding]:
    """Compare models within each probe, and tell where the rate asked for cannot be told."""
    said: list[Finding] = []
    searched = [r for r in results if r.at(r.fpir) is not None]
    for condition, enrolled, fpir in dict.fromkeys((r.condition, r.enrolled, r.fpir) for r in searched):
        group = [r for r in searched if (r.condition, r.enrolled, r.fpir) == (condition, enrolled, fpir)]
        fewest = min(int(r.false_alarms[:, r.at(fpir)].min()) for r in group)
        said += operating.best_against_rest(
            (
                f"On {condition}, with {enrolled:,} people enrolled, ",
                " names ",
                f" of their probes rightly at FPIR {fpir:g}{rates.unstable(fewest)}",
            ),
            group,
            lambda r: r.estimates[tpir_at(r.fpir),],
        )
    return said + [
        Finding(
            f"On {r.title}, TPIR at FPIR {r.fpir:g} needs {1 / r.fpir:,.0f} probes of unknown people: "
            f"there {'is' if r.unknown_probes == 1 else 'are'} {r.unknown_probes:,}."
        )
        for r in results
        if r.at(r.fpir) is None
    ]


ANALYSIS = Analysis(
    question="Are the enrolled named, and strangers not?",
    over="set",
    params=WatchlistParams(),
    result=Watchlist,
    compute=compute,
    charts=charts,
    findings=findings,
)
