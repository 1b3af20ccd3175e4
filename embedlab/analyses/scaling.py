"""Scaling: which threshold a false alarm rate asks for among millions of people, and whom it misses there.

A gallery of N people, one image each, lets a stranger's probe meet N impostor scores. With FMR(t) the share
of impostor scores above t, FPIR is 1 − (1 − FMR(t))^N [1]_, so that 1 % among a million people needs an FMR
of 10⁻⁸: far fewer than most sets have pairs. The tail is therefore fitted, by a generalised Pareto
distribution of the scores above a high one [2]_, on the scale −log(1 − s²), on which vectors that lie evenly
have ξ = 0 in any number of dimensions (`embedlab.maths.pairs.tails`). *FNIR* is how often a probe of an
enrolled person stays below the threshold or finds somebody else first: the mean of 1 − (1 − FMR(s))^N over
genuine scores s above the threshold, and 1 below.

*FPIR it will get* is that of this very threshold, were other people measured: its interval says how far the
rate asked for may be missed. Thresholds of FARs that the pairs resolve stand beside, with intervals of the
thresholds themselves; the FAR that a threshold gets among other people stands in `verification`.

How to read it
--------------
The curve of FNIR says what growth costs where the rate of false alarms is kept. *Pairs needed* is how many
times the pairs at hand one such false alarm takes: up to a hundred times is what the method was tried on,
beyond, intervals grow and so do doubts. The null of FNIR is chance, 1 − FPIR / N.

Where a fit does not hold there is no answer. The distance between tail and fit, and the change of ξ in the
upper half, are tested by resamples of people (*p of the fit*), and ξ may be 0.25 at most. The usual cause
are people under two names: a hundred such pairs among millions are the whole far tail. `audit` lists them,
and ``suspects`` leaves out the pairs of so many two people, those who score highest.

Limits
------
Who leaves out true lookalikes, such as twins, gets too low a threshold: look at the pairs first. On shrunk
images the same people no longer score highest, so that fewer can be left out; a tail that breaks off (ξ
below −0.25) is refused, a less obvious cut is not seen. Probes that look like many others have their false
alarms together, so that the true FPIR is somewhat lower than 1 − (1 − FMR)^N (Jensen). More people like
these: other cameras and ages, and more siblings, are not foretold. Of 600 people in 16 and 64 even
dimensions, and 200 in 64, intervals of thresholds from those that the pairs resolve to 50,000 times beyond
held the truth in 87 to 93 % of 100 simulations each, on seeds that nothing was chosen on, a little too
rarely; further out they missed it mostly on the cautious side. A tenth of the people of Labeled Faces in the
Wild, 50 suspects left out, foretold the thresholds that all of them show at FAR 10⁻⁵ and 10⁻⁶ in 38 of 40
draws each: two models at two sizes of image.

References
----------
.. [1] Grother, P. and Phillips, P. J. Models of large population recognition performance. CVPR 2004.
.. [2] Coles, S. An Introduction to Statistical Modeling of Extreme Values. Springer, 2001, ch. 4.
.. [3] ISO/IEC 19795-1:2021. Biometric performance testing and reporting, part 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People, compared, shares
from embedlab.lab.embeddings import EmbeddingSet, check_pairs
from embedlab.maths.pairs import levels, roc, tails
from embedlab.maths.pairs.all_pairs import Pairs, Weigh, all_pairs
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.pairs.ranked import Ranked
from embedlab.maths.pairs.tails import Fit
from embedlab.maths.people.effective import effective_number

THRESHOLD, FPIR, FNIR, SHAPE = "threshold", "FPIR it will get", "FNIR", "shape ξ of the tail"
SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
POINTS = 81
LOWEST = 1e-10


@dataclass(frozen=True)
class ScalingParams(Params):
    """Knobs of the analysis of scaling."""

    people: int = bounded(1_000_000, least=2, most=10_000_000_000)
    """How many people are enrolled, of whom sentences speak."""
    fpir: float = bounded(1e-2, above=0, most=0.1)
    """The false positive identification rate that is kept at every size."""
    far: float = bounded(1e-3, above=0, below=1)
    """A false accept rate whose threshold is given beside the usual ones."""
    suspects: int = bounded(0, least=0)
    """Of how many two people, those of the highest scores, pairs are left out as of one under two names."""
    exceedances: int = bounded(2000, least=40)
    """How many of the highest impostor scores are fitted at most."""
    weigh: Weigh = "people"
    """Each person and each two people weigh the same, or each pair does."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the resamples."""


@dataclass(frozen=True)
class Scaling(Result):
    """Thresholds and misses of one set among more people than it has.

    Attributes
    ----------
    sizes, rates
        Numbers of people enrolled, and the FMR that each asks for.
    pairs_needed
        How many times the impostor pairs at hand one false match at that FMR takes.
    levels, accepts
        The FARs whose thresholds the pairs give, and the impostor pairs that each lets in.
    tail_scores, tail
        Scores, and the FMR beyond each: measured, fitted, and the ends of the fit.
    """

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    people: int = field(metadata={"hidden": True})
    fpir: float = field(metadata={"label": "FPIR that is kept"})
    suspects: int = field(metadata={"label": "two people whose pairs are left out"})
    impostor_pairs: int
    exceedances: int = field(metadata={"label": "impostor scores fitted"})
    start: float = field(metadata={"label": "score above which is fitted"})
    p: float = field(metadata={"label": "p of the fit"})
    steady_p: float = field(metadata={"label": "p of ξ in the upper half"})
    estimates: Estimates
    sizes: tuple[int, ...] = field(metadata={"hidden": True})
    pairs_needed: tuple[float, ...] = field(metadata={"hidden": True})
    levels: tuple[float, ...] = field(metadata={"hidden": True})
    accepts: tuple[int, ...] = field(metadata={"hidden": True})
    tail_scores: Float[np.ndarray, " points"]
    tail: Float[np.ndarray, "4 points"]


def enrolled(people: int) -> str:
    """Name a size."""
    return f"{people:,} people"


def at_far(far: float) -> str:
    """Name an operating point."""
    return f"FAR {far:g}"


def compute(embeddings: EmbeddingSet, params: ScalingParams) -> Scaling:
    """Fit the tail of impostor scores, and give thresholds, FPIR and FNIR of more people.

    Raises
    ------
    UserError
        If there are no genuine pairs, too few impostor pairs for a tail, the fit does not hold, the suspects
        are too many, or the pairs at hand show the size that is asked for themselves.
    """
    check_pairs(embeddings)
    everything = all_pairs(embeddings.unit, embeddings.labels, weigh=params.weigh)
    pairs = tails.without(everything, params.suspects)
    people = People.of(embeddings.identities, params)
    fit = _holding(tails.fitted(pairs, people.counts, params.exceedances), embeddings.title, params.suspects)
    asked = sorted({*SIZES, params.people})
    rates = -np.expm1(np.log1p(-params.fpir) / np.array(asked, np.float64))
    beyond = rates < fit.share[0]
    sizes, rates = [n for n, there in zip(asked, beyond, strict=True) if there], rates[beyond]
    if params.people not in sizes:
        raise UserError(
            f"{embeddings.title} shows {params.people:,} people at FPIR {params.fpir:g} by itself: ask "
            "watchlist, or give a larger scaling.people"
        )
    impostors = int(pairs.impostor.sum())
    one, other = pairs.tail_people[: fit.exceedances].T
    n, paired = len(np.union1d(one, other)), round(effective_number(pairs.genuine_masses))
    found = Estimates({(SHAPE,): people.estimate(Drawn.of(fit.shape), n, 0.0)})
    at = fit.threshold(rates)
    got = -np.expm1(np.log1p(-fit.beyond(at[0])) * np.array(sizes))
    for k, (size, missed) in enumerate(zip(sizes, _missed(pairs, people, fit, at, sizes), strict=True)):
        place = enrolled(size)
        found[THRESHOLD, place] = people.estimate(Drawn.of(at[:, k]), n)
        found[FPIR, place] = people.estimate(Drawn.of(got[:, k]), n)
        found[FNIR, place] = people.estimate(missed, paired, 1 - params.fpir / size, share=True)
    resolved = levels.resolved(params.far, impostors)
    limits, drawn = roc.limits(pairs, resolved, people.counts)
    for far, limit, replicates in zip(resolved.tolist(), limits, drawn.T, strict=True):
        everybody = len(embeddings.identities)
        found[THRESHOLD, at_far(far)] = people.estimate(Drawn(float(limit), replicates), everybody)
    scores, tail = _tail(pairs, fit)
    return Scaling(
        title=embeddings.title,
        model=embeddings.model,
        probe=embeddings.probe,
        people=params.people,
        fpir=params.fpir,
        suspects=params.suspects,
        impostor_pairs=impostors,
        exceedances=fit.exceedances,
        start=fit.start,
        p=fit.p,
        steady_p=fit.steady_p,
        estimates=found,
        sizes=tuple(sizes),
        pairs_needed=tuple((1 / rates / impostors).tolist()),
        levels=tuple(resolved.tolist()),
        accepts=tuple(roc.false_accepts(pairs, limit) for limit in limits),
        tail_scores=scores,
        tail=tail,
    )


def _holding(fit: Fit | None, title: str, suspects: int) -> Fit:
    """Give the fit, if there is one that holds."""
    if fit is None:
        raise UserError(
            f"{title} has fewer than {tails.LEAST} scores in the highest {tails.DEEPEST:.0%} of impostor "
            "pairs, as far as they can be told from 1: add more people, or look at vectors that are all alike"
        )
    if not fit.holds:
        raise UserError(
            f"the highest impostor scores of {title} follow no generalised Pareto tail (p = {fit.p:.3f}, "
            f"upper half {fit.steady_p:.3f}, ξ = {fit.shape[0]:.2f}): look at audit for people under "
            "two names, mend them or give their number as scaling.suspects"
        )
    if suspects and fit.shape[0] < -tails.HEAVIEST:
        raise UserError(
            f"without {suspects:,} suspects the impostor scores of {title} break off "
            f"(ξ = {fit.shape[0]:.2f}), as where true lookalikes are left out: give fewer scaling.suspects"
        )
    return fit


def _missed(pairs: Pairs, people: People, fit: Fit, at: np.ndarray, sizes: Sequence[int]) -> list[Drawn]:
    """Give FNIR at each size, at the thresholds ``at`` of the set and of each resample, (rows, sizes)."""
    ranked = Ranked.of(pairs.genuine_scores, pairs.genuine_people, pairs.genuine_weights)
    scores = np.bincount(ranked.group, pairs.genuine_scores) / np.bincount(ranked.group)
    rows = np.concatenate([np.ones((1, people.counts.shape[1]), np.float32), people.counts])
    mass = ranked.sums(np.ones(len(pairs.genuine_scores)), rows)
    high = scores > fit.start
    alone = np.log1p(-np.minimum(fit.beyond(scores[high]), 0.5))
    found = []
    for limit, size in zip(at.T, sizes, strict=True):
        first = np.where(scores[high] > limit[:, None], np.exp(size * alone), 0.0)
        with np.errstate(invalid="ignore"):
            missed = 1 - (mass[:, high] * first).sum(axis=1) / mass.sum(axis=1)
        found.append(Drawn.of(missed))
    return found


def _tail(pairs: Pairs, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Give scores from the start on to where one in 10¹⁰ lies beyond, with FMR measured and fitted."""
    last = float(fit.threshold(np.array([LOWEST]))[0, 0])
    scores = np.linspace(fit.start, last, POINTS)
    fitted = fit.beyond(scores)
    low, high = np.nanquantile(fitted[1:], [0.025, 0.975], axis=0)
    measured = np.array([roc.accepted_far(pairs, float(score)) for score in scores])
    shown = [np.where(rate >= LOWEST, rate, np.nan) for rate in (measured, fitted[0])]
    return scores, np.stack([*shown, np.maximum(low, LOWEST), np.maximum(high, LOWEST)])


def charts(results: Sequence[Scaling]) -> list[Chart]:
    """FNIR over the number of people; the tail, measured and fitted; thresholds."""
    missed, tail, rows, points = [], [], [], []
    for r in results:
        places = [(enrolled(n),) for n in r.sizes]
        value, low, high = r.estimates.row(FNIR, places)
        sizes = np.array(r.sizes, np.float64)
        missed.append(Curve(r.title, sizes, value, low, high, model=r.model, markers=True))
        measured, fitted, least, most = r.tail
        tail.append(Curve(r.title, r.tail_scores, fitted, least, most, model=r.model))
        tail.append(Curve(f"{r.title}, measured", r.tail_scores, measured, model=r.model, dash="dot"))
        for (place,), times in zip(places, r.pairs_needed, strict=True):
            got, fnir, at = (r.estimates[what, place] for what in (FPIR, FNIR, THRESHOLD))
            cells = Cell(at, f"{at:.3f}"), Cell(got, f"{got:.2%}"), Cell(fnir, f"{fnir:.1%}")
            rows.append((r.title, place, *cells, Cell(times, f"{times:,.3g}×")))
        for far, accepts in zip(r.levels, r.accepts, strict=True):
            at = r.estimates[THRESHOLD, at_far(far)]
            few = levels.unstable(accepts)
            points.append((r.title, Cell(far, f"{far:g}"), Cell(at, f"{at:.4f}"), f"{accepts:,}{few}"))
    kept = ", ".join(dict.fromkeys(f"{r.fpir:g}" for r in results))
    return [
        Curves(
            title="Missed among N people, as false alarms stay",
            xlabel="people enrolled",
            ylabel="FNIR: share of enrolled people's probes not named",
            curves=tuple(missed),
            xscale="log",
            note=f"At the threshold of FPIR {kept} at each size. Bands are 95 % intervals of a bootstrap "
            "over people, who fit the tail anew.",
        ),
        Table(
            title="Among N people",
            columns=("set", "enrolled", THRESHOLD, FPIR, FNIR, "pairs needed"),
            rows=tuple(rows),
            note=f"Each threshold is that of FPIR {kept}, by the fitted tail. Pairs needed: for one such "
            "false match, in multiples of those at hand.",
        ),
        Curves(
            title="The tail of impostor scores",
            xlabel="cosine similarity",
            ylabel="FMR: share of impostor scores above",
            curves=tuple(tail),
            yscale="log",
            note="Fitted, with bands of the resamples, and as measured. Beyond the measured line the fit "
            "alone speaks.",
        ),
        Table(
            title="Thresholds that the pairs give",
            columns=("set", "FAR", THRESHOLD, "false accepts"),
            rows=tuple(points),
            note="A score above the threshold is accepted; intervals are of the threshold.",
        ),
    ]


def findings(results: Sequence[Scaling]) -> list[Finding]:
    """Say what so many people ask for, what growth costs, and how models differ."""
    said = []
    for r in results:
        place = enrolled(r.people)
        at, fnir = (r.estimates[what, place] for what in (THRESHOLD, FNIR))
        text = f"On {r.title}, FPIR {r.fpir:g} among {place} asks for a threshold of {at:.3f}"
        said.append(Finding(f"{text}; FNIR is then {fnir:.1%}."))
        if (first := r.sizes[0]) != r.people:
            before = r.estimates[FNIR, enrolled(first)]
            was, now = shares(before, fnir)
            text = f"On {r.title} at FPIR {r.fpir:g}, FNIR goes from {was} among {first:,} people to {now} "
            text += f"among {r.people:,}"
            said.append(compared(text, fnir, before, word="change", tones=("plain", "bad")))
        if r.suspects:
            said.append(
                Finding(f"On {r.title}, pairs of {r.suspects:,} two people are left out as suspects.")
            )
    for probe, people, fpir in dict.fromkeys((r.probe, r.people, r.fpir) for r in results):
        group = [r for r in results if (r.probe, r.people, r.fpir) == (probe, people, fpir)]
        best, *rest = sorted(group, key=lambda r: r.estimates[FNIR, enrolled(r.people)].value)
        for r in rest:
            worse, better = (one.estimates[FNIR, enrolled(people)] for one in (r, best))
            most, least = shares(worse, better)
            text = f"On {probe} among {people:,} people, FNIR is {most} in {r.model}, {least} in {best.model}"
            said.append(compared(text, worse, better, tones=("plain", "plain")))
    return said


ANALYSIS = Analysis(
    question="Which threshold do millions of people ask for, and whom does it then miss?",
    over="set",
    params=ScalingParams(),
    result=Scaling,
    compute=compute,
    charts=charts,
    findings=findings,
)
