"""Groups: whether groups of people are falsely matched, or missed, more often than others.

Columns that say the same of all images of a person, such as gender, group people. At one threshold, that of
FAR ``far`` among all images, FMR is measured for every pair of groups, as blocks of the matrix of scores
[1]_, and FNMR for every group. In the words of ISO/IEC 19795-10 [2]_ groups that differ show *differential
performance*: a false positive differential, or a false negative one.

Four numbers sum up the FMR within groups and the FNMR: the largest over the geometric mean, of either [3]_;
*inequity*, the root of max FMR / min FMR × max FNMR / min FNMR; and *GARBE*, the mean of the two Gini
coefficients, 0 where all are alike and 1 where one group has all errors [4]_.

How to read it
--------------
The diagonal of the heatmap is FMR within groups; off it stand people of two groups, who mostly look less
alike, so that a set of many groups looks safer than it is within each. All four numbers grow by chance: their
null is the mean over people dealt anew into groups of the same sizes, and p says how often those do as much.

Limits
------
The threshold stays; intervals are those of its rates, by a bootstrap over people. A group needs ten people
with two images, and ten false accepts expected within it; smaller ones are named and left out, as are columns
that differ among images of one person. Where fewer than two are left, the next usual FAR is taken. A group
without an error counts half of one in ratios. In the null groups are random people: where groups look unlike
each other their rates vary more, which intervals show. Nothing is said of causes: images, cameras and ages
of groups may differ as well.

References
----------
.. [1] Howard, J. J., Sirotin, Y. B. and Vemury, A. R. The effect of broad and specific demographic
   homogeneity on the imposter distributions and false match rates in face recognition. BTAS, 2019.
.. [2] ISO/IEC 19795-10:2024, Biometric performance testing and reporting, part 10: quantifying biometric
   system performance variation across demographic groups.
.. [3] Grother, P. Face Recognition Vendor Test, part 8: summarizing demographic differentials. NIST, 2022.
.. [4] Howard, J. J. et al. Evaluating proposed fairness models for face recognition algorithms. 2022.
   arXiv:2203.05051.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Heatmap, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, claim, compared
from embedlab.formats import attributes
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs import roc
from embedlab.maths.pairs.all_pairs import TAIL, Weigh, all_pairs
from embedlab.maths.pairs.blocks import Errors
from embedlab.maths.pairs.levels import RATES, STABLE
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.evidence import LEAST_FOR_CLAIM
from embedlab.maths.people.permutation import p_value, told

FMR, FNMR = "FMR", "FNMR"
MATCHED, MISSED = "max FMR / geometric mean", "max FNMR / geometric mean"
INEQUITY, GARBE = "inequity", "GARBE"
SUMMARIES = (MATCHED, MISSED, INEQUITY, GARBE)
MOST_TAIL = 20_000_000
"""More accepted impostor pairs than so many are not kept: 20 bytes each."""
NAMED = 5


@dataclass(frozen=True)
class GroupsParams(Params):
    """Knobs of the analysis of groups."""

    columns: str = ""
    """Columns that group people, separated by spaces; empty takes all that do."""
    far: float = bounded(1e-3, above=0, below=1)
    """The false accept rate, among all images, whose threshold is judged."""
    weigh: Weigh = "people"
    """Each person and each two people weigh the same, or each pair does."""
    shuffles: int = bounded(999, least=1)
    """How often people are dealt anew into the groups, for the null."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples and of the shuffles."""


@dataclass(frozen=True)
class Groups(Result):
    """Error rates of groups in one set.

    Attributes
    ----------
    groups
        Of each group the column, its name, its people, those with two images, and its images.
    p
        By column and summary, how often shuffled people reach it.
    left_out
        Groups that are too small, in words; and columns that do not group people.
    """

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    far: float = field(metadata={"label": "FAR of the threshold"})
    far_asked: float = field(metadata={"hidden": True})
    threshold: float
    shuffles: int = field(metadata={"hidden": True})
    groups: tuple[tuple[str, str, int, int, int], ...] = field(metadata={"hidden": True})
    left_out: tuple[str, ...] = field(metadata={"hidden": True})
    p: dict[tuple[str, str], float] = field(metadata={"hidden": True})
    estimates: Estimates

    @property
    def columns(self) -> tuple[str, ...]:
        """What groups people."""
        return tuple(dict.fromkeys(column for column, *_ in self.groups))

    def within(self, what: str, column: str) -> dict[str, Estimate]:
        """Give FMR within groups, or FNMR, by group."""
        named = [group for of, group, *_ in self.groups if of == column]
        return {g: self.estimates[what, column, *((g, g) if what == FMR else (g,))] for g in named}


def compute(embeddings: EmbeddingSet, params: GroupsParams) -> Groups:
    """Measure each column's groups at one threshold.

    Raises
    ------
    UserError
        If there are no genuine or no impostor pairs, no column groups people or one asked for is not there,
        fewer than two groups are large enough, or the FAR accepts more pairs than are kept.
    """
    check_pairs(embeddings)
    columns, left_out = _columns(embeddings, params)
    images = np.bincount(embeddings.labels)
    far, kept = _standing(columns, images, params.far)
    tail = min(max(math.ceil(2 * far * len(embeddings.items) ** 2), TAIL), MOST_TAIL)
    pairs = all_pairs(embeddings.unit, embeddings.labels, weigh=params.weigh, tail=tail)
    people = People.of(embeddings.identities, params)
    limit = float(roc.limits(pairs, np.array([far]), people.counts[:1])[0][0])
    if len(pairs.tail_scores) < pairs.impostor.sum() and not limit >= pairs.tail_scores[-1]:
        raise UserError(
            f"FAR {far:g} accepts over {len(pairs.tail_scores):,} pairs of {embeddings.title}, too many to "
            "keep: give a lower groups.far"
        )
    errors, found, p, groups = Errors.of(pairs, limit), Estimates(), {}, []
    for column, names in kept.items():
        members = [np.flatnonzero(columns[column] == name) for name in names]
        estimates, rates = _rates(column, dict(zip(names, members, strict=True)), errors, people, far)
        found |= estimates
        drawn, chance = errors.summed_up(members, rates, params.shuffles, params.seed)
        for what, one, null in zip(SUMMARIES, drawn, chance, strict=True):
            found[what, column] = people.estimate(one, min(map(len, members)), float(np.nanmean(null)))
            p[column, what] = p_value(one.value, null)
        sizes = [images[who] for who in members]
        groups += [
            (column, name, len(has), int((has > 1).sum()), int(has.sum()))
            for name, has in zip(names, sizes, strict=True)
        ]
    return Groups(
        title=embeddings.title,
        model=embeddings.model,
        probe=embeddings.probe,
        far=far,
        far_asked=params.far,
        threshold=float(roc.lowest_accepted(pairs, np.array([limit]))[0]),
        shuffles=params.shuffles,
        groups=tuple(groups),
        left_out=(*left_out, *_small(columns, kept, images, far)),
        p=p,
        estimates=found,
    )


def _columns(embeddings: EmbeddingSet, params: GroupsParams) -> tuple[dict[str, np.ndarray], list[str]]:
    """Give the group of each person by column, empty where it is not known; and columns that give none."""
    asked = params.columns.split() or list(embeddings.attributes)
    of = {name: attributes.of_people(embeddings, name, "groups.columns") for name in asked}
    found = {name: groups for name, groups in of.items() if groups is not None}
    differing = [name for name in of if name not in found]
    if not found:
        told = "; ".join(f"{name} differs among images of one person" for name in differing)
        raise UserError(
            f"{embeddings.title} has no column that groups people{told and f' ({told})'}: give one with "
            "--attributes, such as a CSV of name,gender"
        )
    named = f"{', '.join(differing)}: not the same for all images of a person"
    return found, [named] if differing else []


def people_needed(far: float, images: float) -> int:
    """Say how many people, of so many images each, a group needs for ten expected false accepts within it."""
    pairs = STABLE / far / images**2
    return max(LEAST_FOR_CLAIM, math.ceil((1 + math.sqrt(1 + 8 * pairs)) / 2))


def _standing(
    columns: Mapping[str, np.ndarray], images: np.ndarray, asked: float
) -> tuple[float, dict[str, list[str]]]:
    """Find the lowest FAR, from the one asked for on, at which two groups are large enough, and those."""

    def stands(has: np.ndarray, far: float) -> bool:
        pairs = (has.sum() ** 2 - (has**2).sum()) / 2
        return bool((has > 1).sum() >= LEAST_FOR_CLAIM and far * pairs >= STABLE)

    for far in (asked, *sorted(rate for rate in RATES if rate > asked)):
        kept = {name: [g for g in _names(of) if stands(images[of == g], far)] for name, of in columns.items()}
        if kept := {name: groups for name, groups in kept.items() if len(groups) > 1}:
            return far, kept
    raise UserError(
        f"fewer than two groups of {' or '.join(columns)} have {LEAST_FOR_CLAIM} people with two images: "
        "give more people"
    )


def _names(of: np.ndarray) -> list[str]:
    return [str(name) for name in np.unique(of[of != ""])]


def _small(
    columns: Mapping[str, np.ndarray], kept: Mapping[str, list[str]], images: np.ndarray, far: float
) -> list[str]:
    """Tell of each column the groups that are too small, and how many people would do."""
    found = []
    for column, of in columns.items():
        small = [f"{g} ({(of == g).sum():,})" for g in _names(of) if g not in kept.get(column, ())]
        if small:
            more = f" and {len(small) - NAMED:,} more" if len(small) > NAMED else ""
            need = people_needed(far, float(images[of != ""].mean()))
            found.append(f"{column} {', '.join(small[:NAMED])}{more}, for about {need:,} people are needed")
    return found


def _rates(
    column: str, members: Mapping[str, np.ndarray], errors: Errors, people: People, far: float
) -> tuple[Estimates, tuple[list[Drawn], list[Drawn]]]:
    """Measure FMR of every pair of groups, and FNMR of each; beside it, FMR within and FNMR as drawn."""
    found, within, missed = Estimates(), list[Drawn](), list[Drawn]()
    overall = errors.fnmr(np.concatenate(list(members.values())), people.counts[:1]).value
    for g, h in itertools.combinations_with_replacement(members, 2):
        size = min(len(members[g]), len(members[h]))
        drawn = errors.fmr(members[g], members[h], people.counts)
        found[FMR, column, g, h] = people.estimate(drawn, size, far, share=True)
        within += [drawn] if g == h else []
    for g, who in members.items():
        paired = int((errors.images[who] > 1).sum())
        missed.append(errors.fnmr(who, people.counts))
        found[FNMR, column, g] = people.estimate(missed[-1], paired, overall, share=True)
    return found, (within, missed)


def charts(results: Sequence[Groups]) -> list[Chart]:
    """FMR of every pair of groups; rates of groups, and what sums them up."""
    rates, sums = [], []
    for r in results:
        for column, group, *sizes in r.groups:
            fmr, fnmr = (r.within(what, column)[group] for what in (FMR, FNMR))
            rates.append((r.title, column, group, *sizes, Cell(fmr, f"{fmr:.2g}"), Cell(fnmr, f"{fnmr:.1%}")))
        for column, what in r.p:
            one = r.estimates[what, column]
            null, p = Cell(one.null, f"{one.null:.2f}"), told(r.p[column, what])
            sums.append((r.title, column, what, Cell(one, f"{one:.2f}"), null, p))
    return [
        *(_blocks(r, column) for r in results for column in r.columns),
        Table(
            title="Error rates of groups",
            columns=("set", "column", "group", "people", "with two images", "images", "FMR within", "FNMR"),
            rows=tuple(rates),
            note="All at the threshold of one FAR among all images. FMR within is of two people of a group.",
        ),
        Table(
            title="How far groups differ",
            columns=("set", "column", "number", "value", "by chance", "p"),
            rows=tuple(sums),
            note="By chance: the mean where people are dealt into groups of the same sizes at random.",
        ),
    ]


def _blocks(r: Groups, column: str) -> Heatmap:
    """Draw FMR of every pair of groups in multiples of the FAR of all, down to a thousandth of it."""
    names = tuple(r.within(FNMR, column))
    pairs = [[r.estimates.at(FMR, (column, *sorted((g, h)))) for g in names] for h in names]
    rates = np.array([[one.value if one else np.nan for one in row] for row in pairs])
    times = np.log10(np.maximum(rates, r.far / 1000) / r.far)
    reach = float(np.nanmax(np.abs(times))) or 1.0
    return Heatmap(
        title=f"FMR of every pair of groups of {column}, {r.title}",
        xlabels=names,
        ylabels=names,
        values=times,
        text=np.array([[f"{rate:.2g}\n{rate / r.far:.2g}×" for rate in row] for row in rates]),
        xlabel=column,
        ylabel=column,
        colour_label=f"log₁₀(FMR / {r.far:g})",
        diverging=True,
        span=(-reach, reach),
        note=f"At the threshold {r.threshold:.4f} of FAR {r.far:g} among all images, and in multiples of it: "
        "red where strangers pass more often. Intervals stand in the tables.",
    )


def findings(results: Sequence[Groups]) -> list[Finding]:
    """Say which groups are falsely matched and missed most, whether beyond chance, and what is left out."""
    said = [f for r in results for column in r.columns for f in (*_gaps(r, column), *_beyond(r, column))]
    for r in (one for one in results if one.far != one.far_asked):
        text = f"groups are judged at FAR {r.far:g}, for at {r.far_asked:g} they are too small"
        said.append(Finding(f"On {r.title}, {text}."))
    left_out = dict.fromkeys((r.probe, text) for r in results for text in r.left_out)
    return said + [Finding(f"On {probe}, groups leave out {text}.") for probe, text in left_out]


def _gaps(r: Groups, column: str) -> Iterator[Finding]:
    for what, spec, gap in ((FMR, ".2g", "+.2g"), (FNMR, ".1%", "points")):
        rates = r.within(what, column)
        least, *_, most = sorted(rates, key=lambda g: rates[g].value)
        yield compared(
            f"On {r.title} at FAR {r.far:g}, {what} is {rates[most].value:{spec}} within {column} “{most}”, "
            f"{rates[least].value:{spec}} within “{least}”",
            rates[most],
            rates[least],
            spec=gap,
            tones=("plain", "bad"),
            among=math.comb(len(rates), 2),
        )


def _beyond(r: Groups, column: str) -> Iterator[Finding]:
    for what, rate in ((MATCHED, FMR), (MISSED, FNMR)):
        one, p, groups = r.estimates[what, column], r.p[column, what], r.within(rate, column)
        where, differs = f"On {r.title}", f"{rate} differs among groups of {column}"
        end = f"(largest over geometric mean {one.value:.2f}, {one.null:.2f} by chance, {told(p)})"
        yield claim(
            f"{where}, {differs} more than among people dealt at random {end}.",
            f"{where}, that {differs} more than by chance is not shown {end}.",
            p,
            tone="bad",
            gap=one,
            least_p=1 / (1 + r.shuffles),
            family="difference" if len(groups) == 2 else "null",  # Of two it is theirs once more.
        )


ANALYSIS = Analysis(
    question="Are groups of people falsely matched, or missed, more often than others?",
    over="set",
    params=GroupsParams(),
    result=Groups,
    compute=compute,
    charts=charts,
    findings=findings,
)
