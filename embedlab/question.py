"""The contract of a question: what a person asks, and how estimates of analyses answer it.

A question reads results of analyses, never embeddings, and makes claims: an effect with its interval, and
the smallest effect that matters. All claims of a report are judged together, since a report that asks
many things says something false more often than one that asks one. With m claims each interval is made
as wide as 1 − 0.05/m asks, so that the chance of any false ``yes`` or ``no`` in a report stays at 5 %
(Bonferroni) [1]_: a 95 % interval is stretched about its value by z(1 − 0.025/m) / z(0.975), which keeps
what is skewed skewed.

``yes``: the whole interval lies beyond what matters. ``no``: all of it lies within, so that "no" is shown,
as in a test of equivalence [2]_, not taken from a lack of evidence. ``undecided`` otherwise, with how many
people would decide it: an interval narrows as one over the root of their number. ``cannot``: the
analyses it needs gave nothing, and why.

References
----------
.. [1] Dunn, O. J. Multiple comparisons among means. Journal of the American Statistical Association
   56(293), 1961.
.. [2] Schuirmann, D. J. A comparison of the two one-sided tests procedure and the power approach. Journal
   of Pharmacokinetics and Biopharmaceutics 15, 1987.
"""

import dataclasses
import importlib
import math
import pkgutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any, Literal, TypeVar

import numpy as np

from embedlab import analysis, plugins
from embedlab.analysis import Params, Result
from embedlab.errors import Terminated, UserError, first_line
from embedlab.estimates import Estimate, as_points, counted, unknown
from embedlab.maths.people.evidence import LEAST_FOR_CLAIM

Verdict = Literal["yes", "no", "undecided", "cannot"]
Said = Literal["yes", "no", "undecided", "cannot", "some"]
Results = Mapping[str, Sequence[Result]]
"""By the name of an analysis, what its runs found."""

T = TypeVar("T")

VERDICTS: Mapping[Verdict, str] = {"yes": "yes", "no": "no", "undecided": "open", "cannot": "n/a"}
"""How a verdict is shown that has no words of its own."""

LEVEL = 0.05
"""The chance that a report of things that are not so has any ``yes``."""

ENTRY_POINTS = "embedlab.questions"

MANY_CLAIMS = 100
"""Over so many claims an effect is sure whatever else a report judges, when a place is picked."""

NOTHING = "the results hold nothing that it could be judged by"

BEYOND_REACH = 100
"""More than so many times the people at hand are not proposed: nobody has them."""

NEAR = 0.25
"""So far from what matters, as a share of it, an effect is near; one that is farther off is only unsure."""

TIMES, MANY = "times", "many"
"""How an effect is written that is the logarithm of a ratio, or of a number of people."""

LOGARITHMS = (TIMES, MANY)


@dataclass(frozen=True)
class Claim:
    """What may be said of a subject, before it is known how many claims are judged beside it.

    Attributes
    ----------
    subject
        The models it is about.
    effect
        The number that decides: above ``matters`` it is so. None for a fact, which needs no interval.
    matters
        The smallest effect worth acting on, in the effect's own unit; 0 or more.
    said
        The sentence of each verdict that can be, without the effect and without a stop; and of ``some``,
        where the effect is surely above zero, and it is open whether it is above what matters.
    spec
        How the effect is written: in percentage points, by a format such as ``.2f``, or as ``TIMES`` or
        ``MANY`` where it and ``matters`` are logarithms.
    unit
        What ``matters`` is counted in and where, in words, as "points of TAR at 8 px": answers of one unit
        and verdict are told in one line.
    among
        From how many comparisons this one was picked, as the best of them.
    evidence
        Other numbers that it rests on, by what they are.
    hazard
        Verdict by which somebody could come to harm, as by an unsafe threshold; empty if there is none.
    winner
        The model whose colour the answer carries.
    p
        Where the effect has a test and no interval: its p value, which can show that it is so and never
        that it is not.
    word
        What the effect is, before it in brackets: a loss, a gain.
    aside
        What stands in brackets before the effect: thresholds, how many people, how it was measured.
    fact
        The verdict, where it is seen and not inferred, as that two images are one.
    kind
        What claims of other subjects must have in common with it to be counted beside it.
    brief
        The verdict in a few words that can stand before "in 41", as "breaks at 16 px"; where it is empty
        claims are told one by one, however many there are.
    marks
        The verdict in a word or two that need no question beside them, as "breaks": what a yes is good for
        differs from one question to the next. Where there is none a reader sees yes or no.
    least, most
        What an effect can be at least, as a rate, and at most, as the logarithm of all who are known, where
        neither points nor per cent say so; of ``TIMES`` the most times that are told, either way round.
    """

    subject: tuple[str, ...]
    effect: Estimate | None
    matters: float
    said: Mapping[Said, str]
    spec: str = "points"
    unit: str = ""
    among: int = 1
    evidence: Mapping[str, Estimate] = field(default_factory=dict)
    hazard: Verdict | None = None
    winner: str = ""
    p: float | None = None
    fact: Verdict | None = None
    word: str = ""
    aside: str = ""
    kind: str = ""
    brief: Mapping[Verdict, str] = field(default_factory=dict)
    marks: Mapping[Verdict, str] = field(default_factory=dict)
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class Answer:
    """One answer to one question.

    Attributes
    ----------
    question
        The name of the question.
    subject
        The models it is about; empty where it is about the report.
    verdict
        What the numbers say.
    text
        One sentence, with the numbers in brackets.
    effect
        The number that decided, with its simultaneous interval; None where the verdict is ``cannot``.
    matters, unit
        The smallest effect that matters, and what it is counted in.
    over
        Over how many claims of the report the interval is simultaneous.
    evidence, hazard, winner
        As ``Claim`` has them; ``hazard`` only where the verdict is the one that is.
    told
        The number that decided, as the sentence has it; empty where none did.
    trouble
        The traceback of a bug that kept it from being judged.
    kind, brief
        As ``Claim`` has them, ``brief`` that of the verdict.
    mark
        The verdict as a reader sees it; see ``shown_as``.
    """

    question: str
    subject: tuple[str, ...]
    verdict: Verdict
    text: str
    effect: Estimate | None = None
    matters: float = 0.0
    unit: str = ""
    over: int = 0
    evidence: Mapping[str, Estimate] = field(default_factory=dict)
    hazard: bool = False
    winner: str = ""
    told: str = ""
    trouble: str = ""
    kind: str = ""
    brief: str = ""
    mark: str = ""

    @property
    def shown_as(self) -> str:
        """The verdict in words that need no question beside them, where the claim gave any."""
        return self.mark or VERDICTS[self.verdict]


@dataclass(frozen=True)
class Question:
    """What is asked, what it needs, and who judges.

    Attributes
    ----------
    text
        What a person asks, ending in a question mark.
    needs
        Analysis → why the question needs it.
    params
        The smallest effects that matter, each with its docstring.
    judge
        Results of those analyses and params → claims. Raises UserError where they do not suffice, saying why.
    hazards
        Whether a claim can be a hazard: a gate that wants none has to be asked of such a question.
    """

    text: str
    needs: Mapping[str, str]
    params: Params
    judge: Callable[[Results, Any], Sequence[Claim]]
    hazards: bool = False

    @property
    def name(self) -> str:
        """The file's name is the question's name."""
        return self.judge.__module__.rpartition(".")[2]


def names() -> tuple[str, ...]:
    """List the questions in the order in which a report answers them; those of other packages come last."""
    return (*_builtin(), *_plugged()[0])


@cache
def _builtin() -> tuple[str, ...]:
    room = importlib.import_module("embedlab.questions")
    there = {one.name for one in pkgutil.iter_modules(room.__path__)}
    return tuple(name for name in room.ORDER if name in there) + tuple(sorted(there - set(room.ORDER)))


def unusable() -> dict[str, str]:
    """Say of each question of another package that cannot be asked why, in a sentence."""
    return dict(_plugged()[1])


def _plugged() -> tuple[dict[str, Question], dict[str, str]]:
    """Import what other packages declare under ``embedlab.questions``, by name; and why some cannot be."""
    return _imported(tuple(plugins.points(ENTRY_POINTS)))


@cache
def _imported(points: tuple[EntryPoint, ...]) -> tuple[dict[str, Question], dict[str, str]]:
    found: dict[str, Question] = {}
    why: dict[str, str] = {}
    for point in points:
        where, mend = plugins.where("question", point.name, point.value), plugins.MEND
        try:
            one = plugins.load("question", point.name, point.value)
        except UserError as error:
            why[point.name] = str(error)
            continue
        one = getattr(one, "QUESTION", one)
        if not isinstance(one, Question):
            why[point.name] = f"{where} is {type(one).__name__}, not an embedlab.question.Question: {mend}"
        elif point.name in (*_builtin(), *found):
            why[point.name] = f"{where} has the name of another, and is left out: rename its entry point"
        elif point.name != one.name:
            why[point.name] = (
                f"{where} is called {one.name!r} after the module of its judge: call the entry point so too"
            )
        else:
            found[point.name] = one
    return found, why


def get(name: str) -> Question:
    """Find a question by name.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    if name not in _builtin():
        plugged = _plugged()[0]
        if name not in plugged:
            raise UserError(f"there is no question {name!r}: there are {', '.join((*_builtin(), *plugged))}")
        return plugged[name]
    found = importlib.import_module(f"embedlab.questions.{name}").QUESTION
    if not isinstance(found, Question):
        raise UserError(f"the file of question {name!r} holds no Question: name it QUESTION")
    return found


def answers(
    results: Results,
    reasons: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Answer]:
    """Judge all questions that some results bear on.

    Parameters
    ----------
    results
        What analyses found, by their names.
    reasons
        Why an analysis gave nothing, by its name, for those that were asked.
    overrides
        Parameters of questions, by question and name.

    Returns
    -------
    The answers in the order of the questions; a question whose analyses were not asked for has none.
    """
    made: list[tuple[str, Claim | Answer]] = []
    for name in names():
        question = get(name)
        params = params_of(name, overrides or {})
        made += [(name, one) for one in _claims(question, params, results, reasons or {})]
    over = sum(one.among for _, one in made if isinstance(one, Claim) and one.fact is None)
    return [judged(name, one, over) if isinstance(one, Claim) else one for name, one in made]


def params_of(name: str, overrides: Mapping[str, Mapping[str, Any]]) -> Params:
    """Give the parameters of a question with what is set for it; an analysis may have the same name.

    Raises
    ------
    UserError
        If something is set that neither has.
    """
    given = overrides.get(name, {})
    beside = analysis.get(name).params if given and name in analysis.names() else None
    return get(name).params.with_overrides(given, where=f"{name}.", beside=beside)


def _claims(
    question: Question, params: Params, results: Results, reasons: Mapping[str, str]
) -> Iterator[Claim | Answer]:
    there = {name: results[name] for name in question.needs if results.get(name)}
    if not there:
        why = next((reasons[name] for name in question.needs if name in reasons), "")
        if why:
            yield Answer(question.name, (), "cannot", why)
        return
    try:
        claims = question.judge(there, params)
        yield from claims or (Answer(question.name, (), "cannot", NOTHING),)
    except UserError as error:
        yield Answer(question.name, (), "cannot", str(error))
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        why = f"it could not be judged; this is a bug: {first_line(error)}"
        yield Answer(question.name, (), "cannot", why, trouble=traceback.format_exc())


def judged(name: str, claim: Claim, over: int) -> Answer:
    """Give the verdict on a claim among ``over`` that are judged together."""
    effect = claim.effect and simultaneous(claim.effect, over)
    if effect and claim.spec == "points":
        effect = _of_nobody(effect, over)
    least, most = claim.least, claim.most
    if claim.spec == "points" or claim.spec.endswith("%"):
        least, most = -1.0 if claim.spec == "points" else 0.0, 1.0
    elif claim.spec == TIMES:
        least = -most
    wide = effect
    if effect and effect.low is not None and effect.high is not None:
        # Widened, the ends would pass what a share, the difference of two, or a number can be.
        effect = dataclasses.replace(effect, low=max(effect.low, least), high=min(effect.high, most))
    verdict, told, ending = claim.fact or "undecided", "", ""
    if claim.fact is None and effect is not None and wide is not None:
        if claim.p is not None:
            verdict = "yes" if claim.p * over <= LEVEL and effect.value > claim.matters else "undecided"
            told = f"p = {claim.p:.2g}"
        else:
            verdict = verdict_of(effect, claim.matters)
            ending = _outlook(wide, claim, least, most) if verdict == "undecided" else ""
            told = _told(effect, claim)
    surely = verdict == "undecided" and effect is not None and effect.sign == 1 and "some" in claim.said
    said = claim.said["some" if surely else verdict]
    matters = claim.matters
    if claim.spec in LOGARITHMS:
        effect, matters = effect and _exp(effect), math.exp(matters)
    if told and claim.word:
        told = f"{claim.word} {told}"
    aside = "; ".join(filter(None, (claim.aside, told, ending)))
    return Answer(
        question=name,
        subject=claim.subject,
        verdict=verdict,
        text=f"{said}{f' ({aside})' if aside else ''}.",
        effect=effect,
        matters=matters,
        unit=claim.unit,
        over=over,
        evidence=claim.evidence,
        hazard=claim.hazard == verdict,
        winner=claim.winner,
        told=told,
        kind=claim.kind,
        brief=claim.brief.get(verdict, ""),
        mark=claim.marks.get(verdict, ""),
    )


def _told(effect: Estimate, claim: Claim) -> str:
    if claim.spec in LOGARITHMS:
        ends = [math.exp(end) for end in (effect.value, effect.low, effect.high) if end is not None]
        value, *span = (f"{end:.2g}" if claim.spec == TIMES and end < 99.5 else f"{end:,.0f}" for end in ends)
        return f"{value} [{', '.join(span)}] {claim.unit}" if span else f"{value} {claim.unit}"
    return effect.points() if claim.spec == "points" else format(effect, claim.spec)


def _exp(effect: Estimate) -> Estimate:
    """Bring a logarithm back to what it is of."""
    low, high = (None if end is None else math.exp(end) for end in (effect.low, effect.high))
    value, draws = math.exp(effect.value), np.exp(effect.draws)
    return dataclasses.replace(effect, value=value, low=low, high=high, null=1.0, draws=draws)


def simultaneous(effect: Estimate, over: int, level: float = LEVEL) -> Estimate:
    """Widen a 95 % interval so that ``over`` of them hold together with 1 − ``level``; none stays none."""
    from scipy.special import ndtri

    if effect.low is None or effect.high is None:
        return effect
    by = float(ndtri(1 - level / 2 / max(over, 1)) / ndtri(1 - LEVEL / 2))
    low, high = (effect.value + by * (end - effect.value) for end in (effect.low, effect.high))
    return dataclasses.replace(effect, low=low, high=high)


def _of_nobody(effect: Estimate, over: int) -> Estimate:
    """Widen the interval of a difference of shares that is the same in every resample: nobody of n differs.

    Of other people as many may differ as leave nobody among n with a chance of ``LEVEL`` / ``over``: the rule
    of three, to either side. Any other interval stays.
    """
    if effect.low is None or effect.low != effect.high or not effect.n:
        return effect
    most = min(math.log(max(over, 1) / LEVEL) / effect.n, 1.0)
    return dataclasses.replace(effect, low=effect.value - most, high=effect.value + most)


def verdict_of(effect: Estimate, matters: float) -> Verdict:
    """Say whether an interval lies beyond what matters, within it, or neither; few people decide nothing."""
    if effect.sign is None or effect.low is None or effect.high is None:
        return "undecided"
    if effect.low > matters:
        return "yes"
    return "no" if effect.high < matters else "undecided"


def _outlook(effect: Estimate, claim: Claim, least: float, most: float) -> str:
    """Say what would decide a claim that is open, ``effect`` being its own with the interval widened."""
    below = effect.value < claim.matters
    # How long an interval would be is not known where it ends with who is there, or with what can be.
    if claim.spec == MANY and below and (effect.high or 0.0) >= most:
        return f"more than {math.exp(most):,.0f} could not be tried"
    if claim.effect and (claim.effect.high == most if below else claim.effect.low == least):
        return "many more people would decide"
    return what_would_decide(effect, claim.matters)


def what_would_decide(effect: Estimate, matters: float) -> str:
    """Say about how many times as many people would decide, were the effect what it seems to be."""
    if effect.sign is None or effect.low is None or effect.high is None:
        if effect.n >= LEAST_FOR_CLAIM and not effect.drawn_from:
            return f"{unknown(paired=False)}: give both the same ones"
        return f"{counted(effect.n, 'person is', 'people are')} too few to judge by"
    off = effect.value - matters
    half = effect.value - effect.low if off > 0 else effect.high - effect.value
    times = math.inf if off == 0 else half / abs(off)
    if not len(effect.draws) or effect.varies:
        # Where nobody differs the interval shrinks as people grow, and else with their square root.
        times **= 2
    if times > BEYOND_REACH:
        if abs(off) < abs(matters) * NEAR:
            return "so near to what matters that more people would hardly decide it"
        return f"over {BEYOND_REACH} times as many people would decide"
    # Not how many: of those at hand some only have the pairs that an analysis needs.
    times = round(times, 6)
    rounded = math.ceil(10 * times) / 10 if times < 10 else math.ceil(times)
    return f"about {max(rounded, 1.1):g} times as many people would decide"


def best_of(estimates: Mapping[str, Estimate]) -> tuple[str, str, Estimate, int]:
    """Find the best of some models and the difference that decides whether it is: that to the second best.

    Returns
    -------
    Both models, the first less the second, and the number of comparisons among which it was picked.
    """
    order = sorted(estimates, key=lambda name: -estimates[name].value)
    best, second = order[:2]
    return best, second, estimates[best] - estimates[second], math.comb(len(order), 2)


def worst_of(effects: Mapping[T, Estimate], matters: float) -> T:
    """Pick the place that decides: the largest effect surely beyond what matters, else the furthest reaching.

    Then a ``no`` of the place that was picked holds for all places.
    """
    sure = {
        at: one for at, one in effects.items() if verdict_of(simultaneous(one, MANY_CLAIMS), matters) == "yes"
    }
    return max(sure or effects, key=lambda at: effects[at].value if sure else _reach(effects[at]))


def _reach(one: Estimate) -> float:
    return one.value if one.high is None else one.high


def no_room(
    subject: tuple[str, ...], top: Estimate, matters: float, what: str, kind: str = ""
) -> Claim | None:
    """Refuse to judge a loss where there is no more to lose than does not matter: a ``no`` would say nothing.

    Parameters
    ----------
    subject, matters, kind
        Those of the claim that would be made.
    top
        The share that may get lost.
    what
        What it is, in words that begin a sentence.
    """
    if top.value > matters:
        return None
    left = f"{what} is {top.value:.1%}, which leaves no {as_points(matters)} to lose"
    return Claim(subject, None, matters, {"cannot": left}, fact="cannot", kind=kind)


def listed(words: Iterable[str], most: int = 3) -> str:
    """Write some names as "a, b and c"; of many the first, and how many more."""
    them = list(words)
    if len(them) > most:
        return f"{', '.join(them[:most])} and {len(them) - most:,} more"
    return f"{', '.join(them[:-1])} and {them[-1]}" if len(them) > 1 else "".join(them)
