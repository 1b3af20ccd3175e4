"""Calibration: how much likelier a score is of one person than of two, and whether that holds at other sizes.

A cosine is no probability. The log-likelihood ratio (LLR) of a score says how much likelier it is between two
images of one person than of two people; with the odds before, it gives the odds after. It is fitted on the
pairs of one half of the people and judged on those of the other: as a line through the scores (*logistic*
[1]_), and as steps that rise (*isotonic*: adjacent violators pooled). What it costs is *Cllr*, in bits a
pair: 0 is perfect, 1 what costs who says nothing [1]_. The *least Cllr* is that of the best rising LLRs for
the very pairs that are judged: what is above it is the fault of the calibration, what is below that of the
scores.

On further probes the same images are judged by their own calibration, and by that of the first probe: whether
a score is worth there what it is worth here. *ECE*, the expected calibration error, is by how much
probabilities and shares of one person differ on average, where both are equally likely before [2]_.

``embedlab run calibration --save FILE`` writes the calibrations as JSON;
``embedlab.formats.calibrations.read(FILE).probability(score, prior)`` applies one.

How to read it
--------------
On the diagonal of the reliability curve probabilities are what they say; below it too many are promised. An
LLR of 0 speaks for neither, one of 6.9 is a thousand to one. The null of Cllr is 1.

Limits
------
An LLR holds for pairs like these: images of one person that are alike otherwise, strangers drawn at random.
It says how likely, never who. The least Cllr is in sample and so a little too low. Steps are no surer than
the pairs are many; the line goes on beyond the scores that were seen. Impostor scores are read from bins of
3·10⁻⁵. Intervals are of a bootstrap over the people judged and, apart from them, over those fitted on: the
calibrations are fitted anew to each resample. Where two are alike, the interval of their difference is half
as wide again as it need be.

References
----------
.. [1] Brümmer, N. and du Preez, J. Application-independent evaluation of speaker detection. Computer Speech
   and Language 20(2–3), 2006.
.. [2] Naeini, M. P., Cooper, G. F. and Hauskrecht, M. Obtaining well calibrated probabilities using Bayesian
   binning. AAAI, 2015.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimates, People, compared
from embedlab.formats import calibrations
from embedlab.formats.calibrations import Calibration, Kind
from embedlab.lab.embeddings import EmbeddingSet, check_pairs, shared_by
from embedlab.maths.pairs import excess, likelihood
from embedlab.maths.pairs.all_pairs import Pairs, Weigh, all_pairs
from embedlab.maths.pairs.likelihood import Weighed
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import impostor_histograms, resamples, shares
from embedlab.maths.people.evidence import LEAST_FOR_CLAIM
from embedlab.maths.people.folds import identity_folds
from embedlab.progress import track

OWN, STEPS, NATIVE, LEAST = "Cllr", "Cllr, isotonic", "Cllr, native calibration", "least Cllr"
ECE, ECE_NATIVE = "ECE", "ECE, native calibration"
BINS = 15
THOUSAND = math.log(1000)
LINE: Kind = "logistic"
RISEN: Kind = "isotonic"
# What the seed of those who are fitted on is above that of those who judge.
APART = 1 << 31


@dataclass(frozen=True)
class CalibrationParams(Params):
    """Knobs of the analysis of calibration."""

    weigh: Weigh = "people"
    """Each person and each two people weigh the same, or each pair does."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the halves and of the resamples."""


@dataclass(frozen=True)
class Calibrated(Result):
    """The calibrations of one model's probes, and what they cost.

    Attributes
    ----------
    probes
        The first one's calibration is the native one.
    lines
        Slope and offset of each probe.
    step_probe, step_start, step_llr
        The steps of all probes: whose each is, the score at which it begins, and its LLR.
    promised, kept
        Mean probability and share of one person in bins, by own and by native calibration; NaN where empty.
    """

    model: str = field(metadata={"hidden": True})
    probes: tuple[str, ...] = field(metadata={"hidden": True})
    estimates: Estimates
    lines: Float[np.ndarray, "probes 2"]
    step_probe: Int[np.ndarray, " steps"]
    step_start: Float[np.ndarray, " steps"]
    step_llr: Float[np.ndarray, " steps"]
    promised: Float[np.ndarray, "probes 2 bins"]
    kept: Float[np.ndarray, "probes 2 bins"]

    @property
    def calibrations(self) -> list[Calibration]:
        """What `--save` writes."""
        found = []
        for k, (probe, line) in enumerate(zip(self.probes, self.lines.tolist(), strict=True)):
            mine = self.step_probe == k
            starts, steps = tuple(self.step_start[mine].tolist()), tuple(self.step_llr[mine].tolist())
            found.append(Calibration(self.model, probe, line[0], line[1], starts, steps))
        return found


def compute(sets: Sequence[EmbeddingSet], params: CalibrationParams) -> Calibrated:
    """Fit calibrations on one half of the people, and judge them on the other.

    Raises
    ------
    UserError
        If there are no genuine or no impostor pairs, probes share no image, or a half has too few people with
        two images.
    """
    cut = shared_by(sets)[0]
    check_pairs(cut[0])
    # People with pairs are dealt apart from the others, so that either half has as many.
    several = np.bincount(cut[0].labels) > 1
    half = np.zeros(len(several), np.int64)
    for kind in (several, ~several):
        if kind.sum() > 1:
            half[kind] = identity_folds(int(kind.sum()), 2, params.seed)
    rows = [np.flatnonzero(half[cut[0].labels] == side) for side in (0, 1)]
    judges = cut[0].take(rows[1]).identities
    if several.sum() < 2 * LEAST_FOR_CLAIM:
        raise UserError(
            f"{cut[0].title} has {several.sum()} people with two images, too few for two halves of "
            f"{LEAST_FOR_CLAIM}: add more"
        )
    people, found = People.of(judges, params), Estimates()
    # The people fitted on are drawn too, and apart from those who judge.
    fitters = len(cut[0].take(rows[0]).identities)
    drawn = resamples(fitters, params.resamples, params.seed + APART)
    n = int((several & (half == 1)).sum())
    made, reliable = list[_Fitted](), list[np.ndarray]()
    for k, one in enumerate(track(cut, f"calibrating scores of {sets[0].model}", len(cut))):
        fitted, judged = (
            all_pairs(part.unit, part.labels, weigh=params.weigh, tail=0)
            for part in (one.take(rows[0]), one.take(rows[1]))
        )
        every = Weighed.of(judged)
        made.append(_Fitted.of(one, fitted, drawn))
        own, native = made[k], made[0]
        for what, llr, how in ((OWN, own, LINE), (STEPS, own, RISEN), (NATIVE, native, LINE))[: 2 + (k > 0)]:
            found[what, one.probe] = people.estimate(_cost(judged, every, people.counts, llr, how), n, 1.0)
        found[LEAST, one.probe] = people.estimate(_least(judged, every, people.counts), n, 1.0)
        bins = []
        for what, llr in ((ECE, own), (ECE_NATIVE, native))[: 1 + (k > 0)]:
            error, counted = _reliability(judged, every, people.counts, llr)
            found[what, one.probe] = people.estimate(error, n)
            with np.errstate(invalid="ignore"):
                bins.append(counted[1:] / counted[0])
        # On the first probe the native calibration is its own.
        reliable.append(np.broadcast_to(np.stack(bins, axis=1), (2, 2, BINS)))
    each = [one.given for one in made]
    return Calibrated(
        title=sets[0].model,
        model=sets[0].model,
        probes=tuple(one.probe for one in cut),
        estimates=found,
        lines=np.array([(one.slope, one.offset) for one in each]),
        step_probe=np.repeat(np.arange(len(each)), [len(one.starts) for one in each]),
        step_start=np.concatenate([one.starts for one in each]),
        step_llr=np.concatenate([one.steps for one in each]),
        promised=np.array([promised for promised, _ in reliable]),
        kept=np.array([kept for _, kept in reliable]),
    )


def _histograms(pairs: Pairs, counts: np.ndarray, adds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give coarse shares of genuine and impostor pairs: of the set, and below of each resample."""
    drawn = excess.shrunk(counts, excess.of_function(pairs, adds))
    genuine = np.concatenate([pairs.genuine_by_person.sum(axis=0)[None], counts @ pairs.genuine_by_person])
    impostor = impostor_histograms(pairs.impostor_by_person, np.concatenate([np.ones_like(drawn[:1]), drawn]))
    return shares(genuine.astype(np.float64)), shares(impostor.astype(np.float64))


def _moved(value: float, coarse: np.ndarray) -> Drawn:
    """Give a value with replicates that move as the coarse histograms say."""
    return Drawn(value, np.maximum(coarse[1:] - coarse[0] + value, 0.0))


@dataclass(frozen=True)
class _Fitted:
    """A calibration, and those of all resamples of the people it was fitted on: lines, and steps."""

    given: Calibration
    lines: Float[np.ndarray, "b 2"]
    risen: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def of(cls, one: EmbeddingSet, pairs: Pairs, counts: np.ndarray) -> "_Fitted":
        """Fit to the pairs themselves, and of each resample to its coarse histograms."""
        whole = Weighed.of(pairs)
        line, steps = likelihood.logistic(whole), likelihood.isotonic(whole)
        centres = pairs.centres(pairs.impostor_by_person.shape[1])
        from scipy.special import expit

        genuine, impostor = _histograms(pairs, counts, expit(line[0] * centres + line[1]))
        risen = []
        for g, i in zip(genuine[1:], impostor[1:], strict=True):
            there = (g > 0) | (i > 0)
            each = Weighed(centres[there], g[there], i[there], whole.pairs)
            risen.append(likelihood.isotonic(each) if there.any() else steps)
        lines = likelihood.logistic_of_each(line, centres, genuine, impostor)
        # What coarse bins move a line by on the pairs themselves they move all lines by.
        given = Calibration(one.model, one.probe, *line, *(tuple(part.tolist()) for part in steps))
        return cls(given, lines[1:] - lines[0] + line, tuple(risen))

    def llr(self, scores: np.ndarray, kind: Kind) -> Float[np.ndarray, "b+1 n"]:
        """Give the LLRs of scores, by the calibration that is given and by each resample's."""
        first = self.given.llr(scores, kind)[None]
        if kind == LINE:
            return np.concatenate([first, self.lines[:, :1] * scores + self.lines[:, 1:]])
        each = [llr[np.maximum(np.searchsorted(at, scores, "right") - 1, 0)] for at, llr in self.risen]
        return np.concatenate([first, each])


def _cost(pairs: Pairs, every: Weighed, counts: np.ndarray, fitted: _Fitted, kind: Kind) -> Drawn:
    """Give Cllr, and what it is where those who judge and those fitted on are drawn anew."""
    llr, cost = fitted.llr(pairs.centres(pairs.impostor_by_person.shape[1]), kind), likelihood.cost_of_genuine
    genuine, impostor = _histograms(pairs, counts, cost(-llr[0]))
    coarse = ((genuine * cost(llr)).sum(axis=1) + (impostor * cost(-llr)).sum(axis=1)) / 2
    return _moved(likelihood.cllr(fitted.given.llr(every.scores, kind), every), coarse)


def _least(pairs: Pairs, every: Weighed, counts: np.ndarray) -> Drawn:
    centres = pairs.centres(pairs.impostor_by_person.shape[1])
    rows = zip(*_histograms(pairs, counts, centres), strict=True)
    coarse = [
        likelihood.least_cllr(Weighed(centres[there], g[there], i[there], (1, 1))) if there.any() else np.nan
        for g, i in rows
        for there in [(g > 0) | (i > 0)]
    ]
    return _moved(likelihood.least_cllr(every), np.array(coarse))


def _reliability(
    pairs: Pairs, every: Weighed, counts: np.ndarray, fitted: _Fitted
) -> tuple[Drawn, np.ndarray]:
    """Give ECE, and what pairs weigh, promise and keep in each bin of probability."""
    llr = fitted.llr(pairs.centres(pairs.impostor_by_person.shape[1]), LINE)
    whole = likelihood.reliability(fitted.given.llr(every.scores), every.genuine, every.impostor, BINS)
    coarse = likelihood.reliability(llr, *_histograms(pairs, counts, llr[0]), BINS)
    return _moved(float(likelihood.calibration_error(whole)), likelihood.calibration_error(coarse)), whole


def save(results: Sequence[Calibrated], path: Path) -> None:
    """Write the calibrations as JSON."""
    calibrations.write(path, [one for r in results for one in r.calibrations])


def charts(results: Sequence[Calibrated]) -> list[Chart]:
    """Reliability of each probe's own calibration and of the native one; costs."""
    curves = [
        Curve(
            f"{r.model}, {probe}{how}",
            r.promised[k, j],
            r.kept[k, j],
            model=r.model,
            dash="dot" if j else "solid",
            markers=True,
        )
        for r in results
        for k, probe in enumerate(r.probes)
        for j, how in enumerate(("", ", native calibration"))
        if k or not j
    ]
    whats = (OWN, STEPS, NATIVE, LEAST, ECE, ECE_NATIVE)
    rows = [
        (r.model, c.probe, *(Cell(e, f"{e:.3f}") if e else "" for e in found), *_scores(c))
        for r in results
        for c in r.calibrations
        for found in [[r.estimates.at(what, (c.probe,)) for what in whats]]
    ]
    return [
        Curves(
            title="What probabilities promise, and what they keep",
            xlabel="mean probability of one person",
            ylabel="share of one person",
            curves=tuple(curves),
            diagonal=True,
            note="Of people that nothing was fitted on, where one person and two are as likely beforehand.",
        ),
        Table(
            title="What calibrated scores cost, in bits a pair",
            columns=("model", "probe", *whats, "score of LR 1", "score of LR 1000"),
            rows=tuple(rows),
            note="LR: how much likelier the score is of one person, by the line.",
        ),
    ]


def _scores(one: Calibration) -> tuple[str, str]:
    """Give the scores whose LLR is 0 and a thousand to one; none beyond a cosine's range."""
    at = [(llr - one.offset) / one.slope if one.slope > 0 else math.nan for llr in (0.0, THOUSAND)]
    first, second = (f"{score:.3f}" if abs(score) <= 1 else "none" for score in at)
    return first, second


def findings(results: Sequence[Calibrated]) -> list[Finding]:
    """Say what a score is worth, what it costs, and whether it is worth as much at other sizes."""
    said = []
    for r in results:
        first, *others = r.calibrations
        even, sure = _scores(first)
        cost, least = (r.estimates[what, first.probe].value for what in (OWN, LEAST))
        if "none" not in (even, sure):
            text = f"In {r.model} a cosine of {even} on {first.probe} speaks for neither, one of {sure}"
            said.append(Finding(f"{text} is a thousand times likelier of one person than of two."))
        text = f"On {first.probe} in {r.model}, calibrated scores cost {cost:.3f} bits a pair"
        said.append(Finding(f"{text} (Cllr; 1 if they told nothing), {least:.3f} at best."))
        for one in others:
            native, own = (r.estimates[what, one.probe] for what in (NATIVE, OWN))
            text = f"On {one.probe} in {r.model}, Cllr is {native.value:.3f} by the calibration of"
            text += f" {first.probe}, {own.value:.3f} by its own"
            said.append(compared(text, native, own, spec="+.3f", tones=("plain", "bad")))
    return said


ANALYSIS = Analysis(
    question="What is the probability that a score is of one person, and does it hold at other sizes?",
    over="model",
    params=CalibrationParams(),
    result=Calibrated,
    compute=compute,
    charts=charts,
    findings=findings,
    save=save,
)
"""`save` writes what `embedlab run calibration --save` asks for."""
