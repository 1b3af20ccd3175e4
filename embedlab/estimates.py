"""What every analysis speaks in: estimates that know how they were drawn, and can be compared.

An ``Estimate`` carries the replicates behind its interval and the name of the draw they came from, so
that ``a - b`` is the difference with *its* interval: that of the paired resamples where both were drawn
alike, none where they were not. ``Estimates`` keeps them by what was measured and where, never by a
sentence. ``People`` draws. ``compared`` is the only place that judges a difference.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

import numpy as np
from jaxtyping import Float

from embedlab.charts import BarSeries
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import (
    bca_interval,
    interval,
    left_out,
    population,
    resamples,
    share_interval,
)

Tone = Literal["good", "bad", "plain"]
Place = tuple[str, ...]
"""Where something was measured: a probe, or two that were held against each other."""

T = TypeVar("T")


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
        text = format(self.value, spec)
        if self.low is None or self.high is None:
            return text
        return f"{text} [{format(self.low, spec)}, {format(self.high, spec)}]"

    def points(self) -> str:
        """Write a difference of shares in percentage points, as "+1.2 points [-0.3, +2.7]"."""
        ends = [end for end in (self.value, self.low, self.high) if end is not None]
        digits = 1 if max(map(abs, ends)) >= 0.01 else 2
        value, *span = (f"{100 * end:+.{digits}f}" for end in ends)
        return f"{value} points [{', '.join(span)}]" if len(span) == 2 else f"{value} points"

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Give the difference with the interval of the paired resamples; none where they are not paired."""
        gap, n = self.value - other.value, min(self.n, other.n)
        if not self.is_paired(other):
            return Estimate(gap, n=n, null=0.0)
        draws = self.draws.astype(np.float64) - other.draws
        return Estimate(gap, *interval(draws), n, 0.0, draws, self.drawn_from)

    def __neg__(self) -> "Estimate":
        low, high = (None if end is None else -end for end in (self.high, self.low))
        null = None if self.null is None else -self.null
        return Estimate(-self.value, low, high, self.n, null, -self.draws, self.drawn_from)

    def is_paired(self, other: "Estimate") -> bool:
        """Say whether both were measured on the same people, resampled alike."""
        return bool(self.drawn_from) and self.drawn_from == other.drawn_from

    @property
    def sign(self) -> Literal[-1, 0, 1] | None:
        """1 above zero beyond chance, −1 below, 0 if it may be either; None where nobody can tell."""
        if self.low is None or self.high is None:
            return None
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


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

    def estimate(self, found: Drawn, n: int, null: float | None = None, *, share: bool = False) -> Estimate:
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
            Whether it is a share of people or of their images: at 0 and 1 the rule of three holds.
        """
        drawn, jackknife = np.split(found.replicates, [self.resamples])
        if share and found.value in (0.0, 1.0):
            ends = share_interval(found.value, drawn, n)
        else:
            ends = bca_interval(found.value, drawn, jackknife) if len(jackknife) else interval(drawn)
        return Estimate(found.value, *ends, n, null, drawn.astype(np.float32), self.drawn_from)


@dataclass(frozen=True)
class Finding:
    """One sentence made from the numbers beside it, and whether it is good news.

    Attributes
    ----------
    text
        The sentence.
    tone
        Good news, bad news, or neither.
    gap
        The difference that it is about, where it is about one.
    """

    text: str
    tone: Tone = "plain"
    gap: Estimate | None = field(default=None, compare=False, repr=False)


def compared(
    text: str,
    a: Estimate,
    b: Estimate,
    *,
    spec: str = "points",
    word: str = "difference",
    tones: tuple[Tone, Tone] = ("bad", "good"),
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
        The tone of a difference below zero beyond chance, and of one above.

    Returns
    -------
    Finding
        In one of five cases: above or below zero beyond chance; that it may be chance; that the two were
        measured on different people; or that too few people stand behind an interval.
    """
    return judged(text, a - b, paired=a.is_paired(b), spec=spec, word=word, tones=tones)


def judged(
    text: str,
    gap: Estimate,
    *,
    paired: bool = True,
    spec: str = "points",
    word: str = "difference",
    tones: tuple[Tone, Tone] = ("bad", "good"),
) -> Finding:
    """End a sentence with a difference that was measured as such; as ``compared`` does."""
    told = _told(gap, spec)
    if gap.sign is None:
        return Finding(f"{text}; {unknown(word, paired=paired)}.", gap=gap)
    if gap.sign == 0:
        return Finding(f"{text}: the {word} of {told} may be chance.", gap=gap)
    return Finding(f"{text}: a {word} of {told}.", tones[gap.sign > 0], gap)


def hedged(gap: Estimate, *, spec: str = "points", word: str = "difference") -> str:
    """Write a difference within a sentence that goes on: "+1.2 points [-0.3, +2.7], which may be chance"."""
    if gap.sign is None:
        return f"{_told(gap, spec)} ({unknown(word)})"
    return _told(gap, spec) + ("" if gap.sign else ", which may be chance")


def _told(gap: Estimate, spec: str) -> str:
    return gap.points() if spec == "points" else format(gap, spec)


def unknown(word: str = "difference", *, paired: bool = True) -> str:
    """Say why a difference has no interval."""
    if paired:
        return f"too few people to say how sure the {word} is"
    return f"they were measured on different people or images, so no interval of the {word} is given"


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
