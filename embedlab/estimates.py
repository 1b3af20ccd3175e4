"""What every analysis speaks in: estimates that know how they were drawn, and can be compared.

An ``Estimate`` carries the replicates behind its interval and the name of the draw they came from, so
that ``a - b`` is the difference with *its* interval: that of the paired resamples where both were drawn
alike, none where they were not. ``Estimates`` keeps them by what was measured and where, never by a
sentence. ``People`` draws. ``compared`` and ``claim`` are the only places that judge.

A sentence that claims something holds two wordings, for where it is claimed and for where it may be chance,
and the p between them; ``settled`` decides over all sentences of a report which are claimed.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar, get_args

import numpy as np
from jaxtyping import Float

from embedlab.charts import BarSeries
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people import evidence
from embedlab.maths.people.bootstrap import (
    bca_interval,
    left_out,
    population,
    resamples,
)
from embedlab.maths.people.effective import LEAST, ruling

Tone = Literal["good", "bad", "plain"]
Family = Literal["difference", "null"]
"""What a claim is about: one thing against another, or against what chance gives.

What beats chance mostly does so by far. Decided together with these clear cases, differences, which mostly
are none, would each be left nearly 5 %.
"""
Place = tuple[str, ...]
"""Where something was measured: a probe, or two that were held against each other."""

T = TypeVar("T")

ROUNDING = 1e-7
"""What single precision leaves of a share of none."""

FINEST = 1e-3
MOST_TIMES = math.log(1 / FINEST - 1)
"""The logarithm of the most times as many errors that are told: the share of one side is so fine at most."""


def _undrawn() -> np.ndarray:
    return np.empty(0, np.float32)


@dataclass(frozen=True)
class Estimate:
    """A headline number with its interval, its null, and the replicates that it is compared by.

    Attributes
    ----------
    value
        The number itself.
    low, high
        Ends of the 95 % interval; None where none can be given.
    n
        How many independent units (identities, unless the analysis says otherwise) it rests on.
    null
        The same number where there is nothing to find (shuffled pairing, unrelated identities,
        random weights); None where the analysis says why there is none.
    draws
        The number in each resample, of shape (resamples,); empty where it is not compared.
    drawn_from
        Names the people and their resamples; two estimates of one name were drawn alike.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    null: float | None = None
    draws: Float[np.ndarray, " resamples"] = field(default_factory=_undrawn, compare=False, repr=False)
    drawn_from: str = field(default="", compare=False, repr=False)

    def __format__(self, spec: str) -> str:
        """Format as "0.91 [0.88, 0.93]", each number by ``spec`` (default ``.3f``)."""
        spec = spec or ".3f"
        text = _written(self.value, spec)
        if self.low is None or self.high is None:
            return text
        return f"{text} [{_written(self.low, spec)}, {_written(self.high, spec)}]"

    def points(self) -> str:
        """Write a difference of shares in percentage points, as "+1.2 points [-0.3, +2.7]"."""
        ends = [end for end in (self.value, self.low, self.high) if end is not None]
        digits = 1 if max(map(abs, ends)) >= 0.01 else 2
        value, *span = (f"{100 * end:+.{digits}f}" for end in ends)
        return f"{value} points [{', '.join(span)}]" if len(span) == 2 else f"{value} points"

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Give the difference with the interval of the paired resamples; none where they are not paired.

        Nor is there one of fewer people than ``evidence.LEAST_FOR_INTERVAL``. Of a share of none or all,
        which is the same in every resample, the interval itself goes in, by the sum of squares [1]_.

        References
        ----------
        .. [1] Newcombe, R. G. Interval estimation for the difference between independent proportions:
           comparison of eleven methods. Statistics in Medicine 17(8), 1998.
        """
        gap, n = self.value - other.value, min(self.n, other.n)
        if not self.is_paired(other):
            return Estimate(gap, n=n, null=0.0)
        draws = self.draws.astype(np.float64) - other.draws
        low, high = evidence.expanded(gap, draws, n)
        (down, up), (more, less) = self._unseen(), other._unseen()
        if gap and low is not None and high is not None and max(down, up, more, less) > 0:
            low, high = gap - math.hypot(gap - low, down, less), gap + math.hypot(high - gap, up, more)
        return Estimate(gap, low, high, n, 0.0, draws, self.drawn_from)

    def _unseen(self) -> tuple[float, float]:
        """Give how far the interval reaches below and above, where no resample shows it; else nothing."""
        if self.low is None or self.high is None or self.low == self.high:
            return 0.0, 0.0
        return (0.0, 0.0) if self.varies else (self.value - self.low, self.high - self.value)

    def __truediv__(self, other: "Estimate") -> "Estimate":
        """Give the ratio with the interval of the paired resamples; none where they are not paired."""
        ratio, n = self.value / other.value if other.value else float("nan"), min(self.n, other.n)
        if not self.is_paired(other):
            return Estimate(ratio, n=n, null=1.0)
        below = np.where(other.draws == 0, np.nan, other.draws.astype(np.float64))
        draws = self.draws / below
        return Estimate(ratio, *evidence.expanded(ratio, draws, n), n, 1.0, draws, self.drawn_from)

    def __neg__(self) -> "Estimate":
        low, high = (None if end is None else -end for end in (self.high, self.low))
        null = None if self.null is None else -self.null
        return Estimate(-self.value, low, high, self.n, null, -self.draws, self.drawn_from)

    @property
    def varies(self) -> bool:
        """Whether resamples differ, as far as they are numbers."""
        there = self.draws[np.isfinite(self.draws)]
        return bool(len(there)) and bool(np.ptp(there) > 0)

    @property
    def over_null(self) -> "Estimate | None":
        """By how much it is above its null, with its own interval; None where it has no null."""
        if self.null is None:
            return None
        value, low, high = (None if e is None else e - self.null for e in (self.value, self.low, self.high))
        return Estimate(
            value or 0.0, low, high, self.n, 0.0, self.draws - np.float32(self.null), self.drawn_from
        )

    @property
    def log(self) -> "Estimate":
        """The natural logarithm of a number above zero, with the interval of that of its replicates."""
        draws, value = np.log(self.draws.astype(np.float64)), math.log(self.value)
        return Estimate(value, *evidence.expanded(value, draws, self.n), self.n, None, draws, self.drawn_from)

    def beyond(self, margin: float) -> "tuple[Estimate, Estimate]":
        """Give what it has above −``margin`` and above ``margin``, each with its own interval."""
        below, above = (dataclasses.replace(self, null=end).over_null for end in (-margin, margin))
        assert below is not None
        assert above is not None
        return below, above

    @property
    def p(self) -> float:
        """The chance of a value so far from zero where there is nothing; NaN where nobody can tell.

        Two-sided, from the replicates, as `embedlab.maths.people.evidence.two_sided_p` says; where there are
        none the interval's half width stands for 1.96 SD. On which side of 5 % p lies the interval decides,
        so that the two never disagree.
        """
        if self.sign is None or self.low is None or self.high is None:
            return math.nan
        if len(self.draws):
            found = evidence.two_sided_p(self.value, self.draws, self.n)
        else:
            found = evidence.normal_p(self.value, (self.high - self.low) / 2 / 1.96, self.n)
        level = evidence.LEVEL
        return min(found, level) if self.sign else max(found, math.nextafter(level, 1.0))

    def is_paired(self, other: "Estimate") -> bool:
        """Say whether both were measured on the same people, resampled alike."""
        return bool(self.drawn_from) and self.drawn_from == other.drawn_from

    @property
    def sign(self) -> Literal[-1, 0, 1] | None:
        """1 above zero beyond chance, −1 below, 0 if it may be either; None where nobody can tell.

        Nobody can where there is no interval, or fewer people than ``evidence.LEAST_FOR_CLAIM`` (or kernels,
        where those are the units).
        """
        if self.low is None or self.high is None or 0 < self.n < evidence.LEAST_FOR_CLAIM:
            return None
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def times(a: Estimate, b: Estimate, none: float = 0.0) -> Estimate | None:
    """Give the logarithm of how many times as large one rate is as another.

    ``a`` is a share of both together, whose interval is that of ``evidence.of_share``: so few errors give a
    long one, of either side, and no end is a ratio below zero. None where one of both is ``none`` at most.
    """
    if min(a.value, b.value) <= none:
        return None
    n, value = min(a.n, b.n), math.log(a.value / b.value)
    if not a.is_paired(b):
        return Estimate(value, n=n, null=0.0)
    mine, others = (one.draws.astype(np.float64) for one in (a, b))
    whole = mine + others
    shares = np.divide(mine, whole, out=np.full(len(whole), np.nan), where=whole > none)
    ends = evidence.of_share(a.value / (a.value + b.value), shares, n, graded=True)
    low, high = (None if end is None else float(_log_odds(np.array(end))) for end in ends)
    return Estimate(value, low, high, n, 0.0, _log_odds(shares).astype(np.float32), a.drawn_from)


def times_the_errors(a: Estimate, b: Estimate) -> Estimate | None:
    """Give the logarithm of how many times as often ``b`` errs as ``a``, of two shares of what is right.

    As ``times`` does; None where one of both never errs.
    """
    wrong, others = (
        dataclasses.replace(one, value=1 - one.value, draws=1 - one.draws.astype(np.float64))
        for one in (a, b)
    )
    return times(others, wrong, ROUNDING)


def _log_odds(share: np.ndarray) -> np.ndarray:
    """Give log(share / (1 − share)), at most that of ``FINEST`` from either end."""
    from scipy.special import logit

    odds: np.ndarray = logit(np.clip(share, FINEST, 1 - FINEST))
    return odds


class Estimates(dict[Place, Estimate]):
    """Estimates by (what, where …): what was measured, then the parts of the place, if it has any."""

    def places(self, what: str) -> tuple[Place, ...]:
        """List where something was measured."""
        return tuple(key[1:] for key in self if key[0] == what)

    def at(self, what: str, place: Place) -> Estimate | None:
        """Find an estimate; None where there is none."""
        return self.get((what, *place))

    def row(self, what: str, places: Sequence[Place]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give values, low and high ends at some places, of shape (places,); NaN for what there is not."""
        found = [self.at(what, place) for place in places]
        ends = [(e.value, e.low, e.high) if e else (None, None, None) for e in found]
        value, low, high = np.array(ends, np.float64).reshape(-1, 3).T
        return value, low, high

    def labelled(self) -> dict[str, Estimate]:
        """Give each by its label, "what, where", those of one ``what`` together."""
        order = dict.fromkeys(key[0] for key in self)
        return {label(key): self[key] for what in order for key in self if key[0] == what}


def where(place: Place) -> str:
    """Write a place: "faces", or "faces × faces@32"."""
    return " × ".join(place)


def label(key: Place) -> str:
    """Write a key of ``Estimates``: "d′, faces × faces@32"."""
    what, *place = key
    return f"{what}, {where(tuple(place))}" if place else what


@dataclass(frozen=True)
class People:
    """The people of a set, drawn again and again: what intervals and comparisons rest on.

    Attributes
    ----------
    counts
        How often each person stands in each resample, of shape (resamples, people); below them the rows
        of the jackknife, where BCa intervals were asked for.
    resamples
        How many rows are resamples.
    drawn_from
        Names the people and the draw.
    """

    counts: Float[np.ndarray, "rows people"]
    resamples: int
    drawn_from: str

    @classmethod
    def of(cls, identities: Iterable[Any], params: Any, *, items: Iterable[str] = ()) -> Self:
        """Draw as ``params.resamples``, ``params.seed`` and, if there is one, ``params.interval`` say.

        Parameters
        ----------
        identities
            The people, in the order of the set's labels.
        params
            The analysis's parameters.
        items
            Names of the images where only some were looked at, so that two samples that differ are not
            taken for paired.
        """
        who = list(map(str, identities))
        counts = resamples(len(who), params.resamples, params.seed)
        if getattr(params, "interval", "percentile") == "bca":
            counts = np.concatenate([counts, left_out(len(who), params.seed)])
        who.extend(map(str, items))
        return cls(counts, params.resamples, population(who, params.resamples, params.seed))

    def estimate(
        self, found: Drawn, n: int, null: float | None = None, *, share: bool = False, graded: bool = False
    ) -> Estimate:
        """Give a statistic with its interval.

        Parameters
        ----------
        found
            Its value, and its replicates over ``counts``.
        n
            How many people it rests on.
        null
            What it is where there is nothing to find.
        share
            Whether it is a share, between 0 and 1, of people, images or pairs: its interval is then
            ``evidence.of_share``.
        graded
            Whether it is a share to which people add by more and less, as to AUC.

        Returns
        -------
        With an interval that holds its value, as ``evidence.expanded`` says; without one where fewer than
        ``evidence.LEAST_FOR_INTERVAL`` people or numbers stand behind it.
        """
        drawn, jackknife = np.split(found.replicates, [self.resamples])
        if share:
            ends = evidence.of_share(found.value, drawn, n, graded=graded)
        else:
            ends = evidence.expanded(found.value, drawn, n)
        if len(jackknife) and None not in ends and not (share and found.value in (0.0, 1.0)):
            low, high = bca_interval(found.value, drawn, jackknife)
            if low is not None and high is not None:
                ends = evidence.holding(found.value, low, high, float(np.nanmedian(drawn)))
        if share:
            ends = _within(ends)
        return Estimate(found.value, *ends, n, null, drawn.astype(np.float32), self.drawn_from)


def _within(ends: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    """Cut the ends of a share's interval to what a share can be."""
    low, high = ends
    return (None, None) if low is None or high is None else (max(low, 0.0), min(high, 1.0))


@dataclass(frozen=True)
class Finding:
    """One sentence made from the numbers beside it, and whether it is good news.

    One that claims something has a p and two wordings; it reads as it would alone, until ``settled`` decides
    over all sentences that stand together.

    Attributes
    ----------
    text
        The sentence as it stands.
    tone
        Good news, bad news, or neither.
    gap
        The difference that it is about, where it is about one.
    p
        The chance of what it claims where there is nothing; None where it claims nothing of the kind.
    least_p
        The smallest that p could have been: 1 / (1 + shuffles) where it is a count.
    claim, otherwise
        The sentence where it is claimed, with its tone, and where it may be chance.
    family
        What it is decided together with: a difference of two with other differences, what is claimed
        against a null with others of the kind.
    q
        p after how many were compared; at most 5 % where it is claimed. None before ``settled``.
    claimed
        Whether it reads as claimed; None where there is nothing to claim.
    """

    text: str
    tone: Tone = "plain"
    gap: Estimate | None = field(default=None, compare=False, repr=False)
    p: float | None = None
    least_p: float = 0.0
    claim: tuple[str, Tone] = ("", "plain")
    otherwise: str = ""
    family: Family = "null"
    q: float | None = None
    claimed: bool | None = None

    def decided(self, q: float, among: int) -> "Finding":
        """Word it as its q among so many comparisons asks for; ``among`` is 1 where it stands alone."""
        if self.p is None:
            return self
        if q <= evidence.LEVEL:
            text, tone = self.claim
            return dataclasses.replace(self, text=text, tone=tone, q=q, claimed=True)
        text = self.otherwise
        if self.p <= evidence.LEVEL and among > 1:
            text = f"{text.removesuffix('.')} (one of {among} comparisons)."
        return dataclasses.replace(self, text=text, tone="plain", q=q, claimed=False)


def claim(
    text: str,
    otherwise: str,
    p: float,
    *,
    tone: Tone = "plain",
    gap: Estimate | None = None,
    least_p: float = 0.0,
    family: Family = "null",
) -> Finding:
    """Make a sentence that claims something beyond chance, by a p value of the analysis's own.

    Parameters
    ----------
    text, otherwise
        Two whole sentences: where it is claimed, and where it may be chance.
    p
        The chance of it where there is nothing to find; not a number where it cannot be told, and then
        ``otherwise`` stands.
    tone
        The tone of ``text``; ``otherwise`` has none.
    gap
        The difference or excess that it is about.
    least_p
        The smallest that p could have been: 1 / (1 + shuffles) where it is a count.
    family
        What it is decided together with.
    """
    if math.isnan(p):
        return Finding(otherwise, gap=gap)
    found = Finding(
        text, tone, gap, p=p, least_p=least_p, claim=(text, tone), otherwise=otherwise, family=family
    )
    return found.decided(p, 1)


def compared(
    text: str,
    a: Estimate,
    b: Estimate,
    *,
    spec: str = "points",
    word: str = "difference",
    tones: tuple[Tone, Tone] = ("bad", "good"),
    family: Family = "difference",
    among: int = 1,
) -> Finding:
    """End a sentence with how ``a`` differs from ``b``.

    Parameters
    ----------
    text
        The sentence so far, without a stop.
    a, b
        What is compared: a less b is told.
    spec
        How the difference is written: in percentage points, or by a format such as ``.2f``.
    word
        What it is called: difference, change.
    tones
        The tone of a difference below zero beyond chance, and of one above. Good is only said where a is
        beyond its null, if it has one.
    family
        What it is decided together with.
    among
        From how many places this one was picked for its difference, which p allows for (Bonferroni).

    Returns
    -------
    Finding
        In one of six cases: above or below zero beyond chance; that it may be chance; that there is none;
        that the two were measured on different people; or that too few people stand behind an interval.
    """
    better = 1 if tones[1] == "good" else -1
    over = a.over_null
    return judged(
        text,
        a - b,
        paired=a.is_paired(b),
        spec=spec,
        word=word,
        tones=tones,
        beats=over is None or over.sign == better,
        family=family,
        among=among,
    )


def judged(
    text: str,
    gap: Estimate,
    *,
    paired: bool = True,
    spec: str = "points",
    word: str = "difference",
    tones: tuple[Tone, Tone] = ("bad", "good"),
    beats: bool = True,
    family: Family = "difference",
    among: int = 1,
    exact: float = 0.0,
) -> Finding:
    """End a sentence with a difference that was measured as such; as ``compared`` does.

    Parameters
    ----------
    text, gap, spec, word, tones, family, among
        As there.
    paired
        Whether both sides were drawn alike.
    beats
        Whether what would be praised is beyond its null; else no good tone is given.
    exact
        How far the measure may be off where nothing differs: a difference is one that surely exceeds it, and
        there is none where it surely stays below.
    """
    told = _told(gap, spec)
    if gap.sign is None or math.isnan(gap.p):
        return Finding(f"{text}; {unknown(word, paired=paired)}.", gap=gap)
    if gap.value == gap.low == gap.high == 0:
        return Finding(f"{text}: there is no {word}.", gap=gap)
    p, tone, chance = gap.p, tones[gap.sign > 0], "chance"
    if exact:
        below, above = gap.beyond(exact)
        margin = as_points(exact) if spec == "points" else format(exact, spec)
        if below.sign == 1 and above.sign == -1:
            same = f"{text}, which is the same within {margin}."
            open_ = f"{text}; that this is the same within {margin} is not sure."
            return claim(same, open_, max(below.p, above.p), gap=gap, least_p=evidence.least_p(gap.n))
        over = above if gap.value > 0 else below
        p = over.p if over.value * gap.value > 0 else 1.0
        chance = "the measure's own error" if gap.sign and not over.sign else chance
    picked = f"largest of {among} {word}s, {told}," if among > 1 else f"{word} of {told}"
    return claim(
        f"{text}: a {word} of {told}.",
        f"{text}: the {picked} may be {chance}.",
        min(1.0, among * p),
        tone="plain" if tone == "good" and not beats else tone,
        gap=gap,
        least_p=evidence.least_p(gap.n),
        family=family,
    )


@dataclass(frozen=True)
class Comparisons:
    """How many sentences of a report claim something, and how many may.

    Attributes
    ----------
    count
        How many were compared with chance.
    claimed
        How many of them are claimed.
    """

    count: int
    claimed: int

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Self:
        """Count those of findings that were settled."""
        known = [one.claimed for one in findings if one.claimed is not None]
        return cls(len(known), sum(known))

    @property
    def by_chance(self) -> float:
        """How many would be claimed where nothing differs, were each judged alone."""
        return self.count * evidence.LEVEL

    def text(self) -> str:
        """Say it in a sentence; empty where it would not say more than the one sentence does."""
        if self.count < 2:
            return ""
        expected = "fewer than one" if self.by_chance < 1 else f"about {self.by_chance:.0f}"
        claimed = f"{self.claimed} {'is' if self.claimed == 1 else 'are'}" if self.claimed else "none is"
        share = f", of which at most {evidence.LEVEL:.0%} are expected to be false" if self.claimed else ""
        return (
            f"Of {self.count} comparisons {expected} would be expected to pass for real by chance alone; "
            f"{claimed} claimed{share}."
        )


def settled(findings: Iterable[Finding]) -> list[Finding]:
    """Decide over all sentences that stand together which are claimed, by Benjamini and Hochberg's rule.

    Differences are decided together, and claims against a null. The order stays.
    """
    found = list(findings)
    among = sum(one.p is not None for one in found)
    for family in get_args(Family):
        places = [k for k, one in enumerate(found) if one.p is not None and one.family == family]
        q = evidence.adjusted([found[k].p or 0.0 for k in places])
        for k, value in zip(places, q, strict=True):
            found[k] = found[k].decided(value, among)
    return found


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Put claims in the order of their strength, each where a claim stood, and open ones last."""
    every = list(findings)
    claims = iter(sorted((f for f in every if f.claimed), key=_strength))
    told = [next(claims) if one.claimed else one for one in every if one.claimed is not False]
    return told + sorted((f for f in every if f.claimed is False), key=_strength)


def _strength(finding: Finding) -> float:
    return 1.0 if finding.p is None else finding.p


def _written(number: float, spec: str) -> str:
    """Format a number; one that rounds to zero has no sign, but where ``spec`` wants one for each."""
    text = format(number, spec)
    unsigned = not spec.startswith("+") and number > -1 and not set(text) & set("123456789")
    return text.removeprefix("-") if unsigned else text


def _told(gap: Estimate, spec: str) -> str:
    return gap.points() if spec == "points" else format(gap, spec)


def unknown(word: str = "difference", *, paired: bool = True) -> str:
    """Say why a difference has no interval."""
    if paired:
        return f"too few people to say how sure the {word} is"
    return f"measured on different people or images, so the {word} has no interval"


def shares(*them: Estimate, digits: int = 1, beside: Sequence[Estimate] = ()) -> list[str]:
    """Write shares in percent, as finely as it takes for their differences to be those that are told.

    Of 98.75 and 95.95 % the difference is 2.8 points, which 98.8 and 95.9 % would not give.

    Parameters
    ----------
    them
        Estimates that are told beside the difference of any two.
    digits
        How many decimals at least.
    beside
        Others, whose differences are not told; they come last, written as finely.
    """
    pairs = [two for two in itertools.combinations(them, 2) if math.isfinite(two[0].value - two[1].value)]
    told = [(a - b).points().split()[0] for a, b in pairs]
    fewest = max([digits, *(len(one.rpartition(".")[2]) for one in told)])
    for finer in range(fewest, fewest + 3):
        written = [f"{100 * one.value:.{finer}f}" for one in (*them, *beside)]
        seen = {one: float(text) for one, text in zip(map(id, them), written, strict=False)}
        gaps = [seen[id(a)] - seen[id(b)] for a, b in pairs]
        exact = [10.0 ** -len(one.rpartition(".")[2]) / 2 for one in told]
        if all(abs(g - float(t)) < e * 1.02 for g, t, e in zip(gaps, told, exact, strict=True)):
            break
    return [f"{one}%" for one in written]


def as_points(share: float) -> str:
    """Write a share in percentage points: "2 points", "1 point"."""
    return f"{100 * share:g} point{'' if math.isclose(share, 0.01) else 's'}"


def counted(n: int, noun: str, several: str = "") -> str:
    """Write how many there are: "1 probe", "1,680 people" (``several`` where it is not the noun and an s)."""
    return f"{n:,} {noun if n == 1 else several or f'{noun}s'}"


def by_place(results: Iterable[T], what: str, of: Callable[[T], Estimates]) -> dict[Place, list[T]]:
    """Group results by the places where something was measured, the highest value first."""
    found: dict[Place, list[T]] = {}
    for r in results:
        for place in of(r).places(what):
            found.setdefault(place, []).append(r)
    return {place: sorted(group, key=lambda r: -of(r)[what, *place].value) for place, group in found.items()}


def bars(
    series: Mapping[str, Estimates],
    what: str,
    places: Sequence[Place],
    models: Mapping[str, str] | None = None,
) -> tuple[BarSeries, ...]:
    """Give a series of bars a title, a bar a place."""
    return tuple(
        BarSeries(title, *estimates.row(what, places), model=(models or {}).get(title, title))
        for title, estimates in series.items()
    )


def undrawn(estimate: Estimate) -> Estimate:
    """Leave out the replicates, for what is only shown."""
    return dataclasses.replace(estimate, draws=_undrawn(), drawn_from="")


def rulers(masses: Float[np.ndarray, " people"], identities: Sequence[Any]) -> tuple[tuple[str, float], ...]:
    """Name the people who hold far more than their share of the genuine pairs, with what they hold."""
    return tuple((str(identities[p]), float(share)) for p, share in zip(*ruling(masses), strict=True))


def few_people(place: str, effective: float, ruled: Sequence[tuple[str, float]]) -> list[Finding]:
    """Warn where genuine pairs rest on few people, and name those who rule them.

    Parameters
    ----------
    place
        Where the pairs are from.
    effective
        How many people they rest on, as ``effective_number`` says.
    ruled
        Who rules them, as ``rulers`` says.
    """
    if effective >= LEAST:
        return []
    named = " and ".join(f"{who} ({share:.0%} of them)" for who, share in ruled)
    if not named:
        return [Finding(f"Only {effective:.0f} people on {place} have two images, so its figures are rough.")]
    people = "1 person" if round(effective) == 1 else f"{effective:.0f} people"
    text = (
        f"Genuine pairs on {place} tell no more than {people} with equally many would; most are of {named}."
    )
    return [Finding(text)]
