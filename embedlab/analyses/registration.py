"""Registration: two clouds brought together without knowing which points belong together.

Coherent Point Drift (CPD) takes the points of the moving cloud (the source) for centres of a Gaussian
mixture and moves them until the fixed cloud (the target) is likely under it [1]_; it is never told which
points are the same image. The target is the native probe and the source the degraded one of the same model;
or they are two models' vectors of one probe. Unit vectors are brought to a few principal axes, and to all of
them: common ones within one model; each model's own, by variance and to spread one, between two.

People are dealt into three groups: axes and registration are fitted on the first; the second serves the
null; the third judges, by how often a moved image has the same image nearest. Groups take turns and people
are dealt anew, since a fit depends on who was in it: figures are means over *fits*. Beside *after*
registration stand

- *before*: the clouds as they lie;
- *shift only*: centroid onto centroid, which needs no registration;
- *unrelated people*, the null: clouds of different people registered likewise, from the first two groups;
- *known pairs*: Procrustes, which is what rigid registration can hope for; for affine and deformable
  registration the affine map of least squares too.

*RMSE* is that of known pairs; *intra over inter* the mean distance across the clouds to images of the same
person, over that to others'. Intervals are 95 % intervals of a bootstrap over the people who judge, with
what the mean over so few fits may be off by (Student's law); differences are of the same resamples and fits.

How to read it
--------------
Registration is credited with what it finds beyond the best of before, shift only and unrelated people, where
that is surely above zero and two thirds of the fits come at least half as far. It finds *the correspondence*
if fewer than half were matched without it, half or more with it, and it comes nine tenths of the way from
chance to known pairs; *more than was there* if half were matched already; else *part of the correspondence*.
*A shift and no more* surely beats before, and is not surely beaten. *Fits disagree* where some surely find
more and the rest does not. An RMSE of 1 is that of all points in one place, 1.4 that of unrelated clouds.

Limits
------
Matches depend on how many images are searched, and on three axes even a perfect map finds few among many.
CPD finds the optimum nearest to its start: within one model it may miss a large turn and never mirrors;
between models turns and mirrorings are tried first, and the right one may be missed, on many axes above all.
It is *identifiable* if CPD from known pairs on gets more likely than by itself, and than from wrong pairs.

References
----------
.. [1] Myronenko, A. and Song, X. Point set registration: coherent point drift. IEEE TPAMI 32(12), 2010.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, Tone, bounded
from embedlab.charts import Bars, BarSeries, Chart, Role, Scatter, Table
from embedlab.estimates import Estimate, Estimates, People, compared
from embedlab.identified import NEAR, missed
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.clouds import trials
from embedlab.maths.clouds.paired_clouds import FITTED, JUDGED
from embedlab.maths.clouds.trials import AFFINE, AFTER, BEFORE, IMAGE, NULL, PROCRUSTES, SHIFT, Trials

DRAWN, LINKED = 150, 40
CHARTED, LISTED, FEW = 2, 6, 4
# Most images are at least this share.
MOST = 0.5
# This share of the fits must come half as far as their mean; so many that surely find more disagree with the
# others; and where so many images are matched before, nothing is left to find.
MOSTLY, SOME, ALL = 2 / 3, 2, 0.98

FIGURES = (IMAGE, trials.PERSON, trials.RMSE, trials.RATIO)
ROLES: dict[str, Role] = {BEFORE: "before", AFTER: "after", PROCRUSTES: "ceiling", NULL: "null"}
FOUND, MORE, PARTLY = "the correspondence", "more than was there", "part of the correspondence"
MOVED, KEPT, NONE = "a shift and no more", "nothing beyond what was there", "no correspondence"
UNSURE, WORSE, NOTHING = "fits disagree", "less than was there", "nothing that can be shown"
RIVALS, _SAID = (BEFORE, SHIFT, NULL), {SHIFT: "shifted", NULL: "registered to strangers"}


@dataclass(frozen=True)
class RegistrationParams(Params):
    """Knobs of the registration."""

    dimensions: int = bounded(3, least=0)
    """How many principal axes a few are; 0 to register on all only."""
    native: int = bounded(128, least=2)
    """How many axes all are at most, those of most variance; none but the few if it is not above these."""
    kind: Literal["rigid", "similarity", "affine", "deformable"] = "similarity"
    """What the map may do: turn and shift; scale too; any linear map and shift; or bend smoothly."""
    engine: Literal["embedlab", "pycpd"] = "embedlab"
    """Which implementation registers; pycpd is slower by far, and rigid in 2 or 3 dimensions only."""
    outliers: float = bounded(0.1, least=0, below=1)
    """The share of target points taken to have no counterpart."""
    alpha: float = bounded(2.0, above=0)
    """How stiff a deformable registration is."""
    beta: float = bounded(2.0, above=0)
    """How far its points move together."""
    rank: int = bounded(100, least=0)
    """The rank its kernel is cut to; 0 for all of it, as pycpd has it: the cost grows with points cubed."""
    people: int = bounded(200, least=3)
    """How many people at most a fit registers, and how many judge it."""
    images: int = bounded(3, least=1)
    """How many images of each at most."""
    deals: int = bounded(3, least=1)
    """How often people are dealt anew; each deal gives three fits."""
    search: Literal["between models", "always", "never"] = "between models"
    """When turns and mirrorings all around are tried first; else CPD starts with the axes as they are."""
    nulls: int = bounded(1, least=1)
    """How many registrations of unrelated people stand beside each fit."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people and fits stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the groups, the draw, the null and the resamples."""


@dataclass(frozen=True)
class Registration(Result):
    """One cloud brought onto another, over several fits.

    Tuples and ``chance`` have an entry a space: a few axes, all axes. Arrays of ``fits`` have a row a fit;
    columns of ``fit_matches`` are ``maps``, of ``fit_likelihood`` `trials.ENDS`. The picture is of the first.
    """

    models: tuple[str, str] = field(metadata={"hidden": True})
    probes: tuple[str, str] = field(metadata={"hidden": True})
    spaces: tuple[str, ...] = field(metadata={"label": "registered on"})
    explained: tuple[float, ...] = field(metadata={"label": "share of the target's variance on them"})
    verdicts: tuple[str, ...] = field(metadata={"label": "registration finds"})
    agreeing: tuple[int, ...] = field(metadata={"label": "fits that surely find more than without it"})
    converged: tuple[float, ...] = field(metadata={"label": "share of fits that converged"})
    fitted_images: int = field(metadata={"label": "images a fit registers"})
    judged_images: int = field(metadata={"label": "images that judge a fit, all searched"})
    judged_people: int = field(metadata={"label": "people who judge some fit"})
    all_people: int = field(metadata={"label": "people in all"})
    dropped: int = field(metadata={"label": "images in one set only, left out"})
    estimates: Estimates
    maps: tuple[str, ...] = field(metadata={"hidden": True})
    fit_space: Int[np.ndarray, " fits"]
    fit_matches: Float[np.ndarray, "fits maps"]
    fit_likelihood: Float[np.ndarray, "fits 3"]
    items: Shaped[np.ndarray, " drawn"]
    fixed: Float[np.ndarray, "drawn shown"]
    moving: Float[np.ndarray, "drawn shown"]
    moved: Float[np.ndarray, "drawn shown"]

    @property
    def names(self) -> tuple[str, str]:
        """Name target and source: two probes of one model, or two models."""
        return self.probes if self.models[0] == self.models[1] else self.models

    @property
    def short(self) -> str:
        """Name the pair where there is little room."""
        target, source = self.names
        if self.names is self.probes:
            return f"{source.removeprefix(target)} in {self.models[0]}"
        return f"{source} onto {target}{''.join(self.probes[0].partition('@')[1:])}"

    def of(self, what: str, how: str, space: int = 0) -> Estimate:
        """Give an estimate of a map, on the few axes or (1) on all."""
        return self.estimates[what, how, self.spaces[space]]

    def most(self, maps: Sequence[str], space: int = 0) -> str:
        """Name the map by which the same image is nearest most often."""
        return max((m for m in maps if m in self.maps), key=lambda how: self.of(IMAGE, how, space).value)


def compute(a: EmbeddingSet, b: EmbeddingSet, params: RegistrationParams) -> Registration:
    """Register b onto a, on some people after others, and judge each fit on those who were not in it.

    Raises
    ------
    UserError
        If they share fewer than nine people, a cloud has no spread, or points are too few for the map.
    """
    within = a.model == b.model
    title = f"{b.probe} onto {a.probe} in {a.model}" if within else f"{b.model} onto {a.model} on {a.probe}"
    search = params.search == "always" or (params.search == "between models" and not within)
    whole = min(a.vectors.shape[1], b.vectors.shape[1])
    asked = {min(axes, whole) for axes in (max(params.native, params.dimensions), params.dimensions) if axes}
    tried = [Trials.of(a, b, params, axes=n, deals=params.deals, search=search) for n in sorted(asked)]
    spaces = [f"all {some.axes} axes" if some.axes == whole else f"{some.axes} axes" for some in tried]
    people = People.of(tried[0].people, params, items=np.concatenate([some.names for some in tried]))
    outcomes = [_measure(*one, people, tried[0].people) for one in zip(spaces, tried, strict=True)]
    first = tried[0].each[0]
    fixed = first.clouds.rows(JUDGED)[0]
    shown = np.random.default_rng([params.seed, 22]).permutation(len(fixed))[:DRAWN]
    return Registration(
        title=title,
        models=(a.model, b.model),
        probes=(a.probe, b.probe),
        spaces=tuple(spaces),
        explained=tuple(some.explained for some in tried),
        verdicts=tuple(verdict for _, verdict, _ in outcomes),
        agreeing=tuple(agreeing for _, _, agreeing in outcomes),
        converged=tuple(float(np.mean([one.converged for one in some.each])) for some in tried),
        fitted_images=len(first.clouds.rows(FITTED)[0]),
        judged_images=len(fixed),
        judged_people=len(tried[0].people),
        all_people=first.clouds.all_people,
        dropped=first.clouds.dropped,
        estimates=Estimates(pair for found, _, _ in outcomes for pair in found.items()),
        maps=tried[0].maps,
        fit_space=np.repeat(np.arange(len(tried)), [len(some.each) for some in tried]),
        fit_matches=np.concatenate([some.matches for some in tried]),
        fit_likelihood=np.concatenate([some.likelihoods for some in tried]),
        items=tried[0].names[shown],
        fixed=fixed[shown, :3],
        moving=first.moved[BEFORE][shown, :3],
        moved=first.moved[AFTER][shown, :3],
    )


def _measure(space: str, tried: Trials, people: People, everyone: np.ndarray) -> tuple[Estimates, str, int]:
    """Estimate all figures on one space; say what they come to, and for how many fits surely."""
    found, n, each = Estimates(), len(tried.people), {}
    for what, how in ((what, how) for what in FIGURES for how in tried.maps):
        drawn, each[what, how] = tried.measured(what, how, people.counts, everyone)
        null = tried.chance(what)
        found[what, how, space] = people.estimate(drawn, n, null, share=null is not None)
    rival = max(RIVALS, key=lambda how: found[IMAGE, how, space].value)
    other, whole = found[IMAGE, rival, space], found[IMAGE, AFTER, space] - found[IMAGE, rival, space]
    after, own = ([people.estimate(one, n) for one in each[IMAGE, how]] for how in (AFTER, rival))
    # A fit is not worse for that in it, by luck, clouds lie together already: the rival's mean counts too.
    gaps = [a - min(b, other, key=lambda one: one.value) for a, b in zip(after, own, strict=True)]
    agreeing = sum(gap.sign == 1 for gap in gaps)
    mostly = np.quantile([gap.value for gap in gaps], 1 - MOSTLY) >= whole.value / 2
    return found, _verdict(found, space, rival, agreeing, mostly=bool(mostly)), agreeing


def _verdict(found: Estimates, space: str, rival: str, agreeing: int, *, mostly: bool) -> str:
    """Say in a few words what registration finds, counting only what is surely so."""
    before, after, other = (found[IMAGE, how, space] for how in (BEFORE, AFTER, rival))
    known = [one for how in (PROCRUSTES, AFFINE) if (one := found.at(IMAGE, (how, space)))]
    gap, chance = (after - other).sign, after.null or 0.0
    if not any((one.low or 0.0) > chance for one in (before, *known)):
        return NOTHING
    if gap == 1 and mostly:
        near = after.value - chance >= NEAR * (max(one.value for one in known) - chance)
        return MORE if other.value >= MOST else FOUND if near and after.value >= MOST else PARTLY
    if gap == -1:
        return WORSE
    if gap == 1 or (agreeing >= SOME and other.value < MOST):
        return UNSURE
    if (found[IMAGE, SHIFT, space] - before).sign == 1:
        return MOVED
    return KEPT if (before.low or 0.0) > chance else NONE


def charts(results: Sequence[Registration]) -> list[Chart]:
    """Bars and a table over all, and the clouds of the first pair of either kind."""
    first = {r.names is r.probes: r for r in reversed(results)}
    some = first.values() if len(first) > 1 else results[:CHARTED]
    return [_bars(results), *map(_clouds, some), _table(results)]


def _bars(results: Sequence[Registration]) -> Bars:
    some = [(r, space) for r in results[:LISTED] for space in r.spaces]
    series = []
    for how in (how for how in trials.MAPS if any(how in r.maps for r, _ in some)):
        name = f"registered to {NULL}" if how == NULL else how
        value, low, high = np.hstack([r.estimates.row(IMAGE, [(how, space)]) for r, space in some])
        series.append(BarSeries(name, value, low, high, role=ROLES.get(how)))
    rest = f" The first {LISTED} of {len(results)}; the others are in the table." if results[LISTED:] else ""
    return Bars(
        title="Held-out images whose nearest neighbour across the clouds is the same image",
        ylabel="share of held-out images",
        categories=tuple(f"{r.short}, {space}" for r, space in some),
        series=tuple(series),
        nulls=np.array([r.estimates[IMAGE, AFTER, space].null for r, space in some]),
        note=f"Means over all fits; 95 % intervals over people and fits. The dotted mark is chance.{rest}",
    )


def _clouds(r: Registration) -> Scatter:
    return Scatter.of_two(
        f"{r.title}: the clouds before and after registration",
        (r.fixed, r.moved),
        (f"{r.names[0]} (fixed)", f"{r.names[1]} (moving)"),
        r.items,
        within=np.concatenate([r.fixed, r.moving, r.moved]),
        links=LINKED,
        start=r.moving,
        stages=("before registration", "after registration"),
        note=f"{len(r.items)} of {r.judged_images:,} held-out images of the first fit on {r.spaces[0]} "
        f"({r.explained[0]:.0%} of the variance), {r.fixed.shape[1]} drawn. Lines join the same image, for "
        f"at most {LINKED}. That clouds overlap says nothing of who lies where.",
    )


def _table(results: Sequence[Registration]) -> Table:
    rows = []
    for r, k in [(one, k) for one in results for k in range(len(one.spaces))]:
        for how, shares in zip(r.maps, r.fit_matches[r.fit_space == k].T, strict=True):
            figures = (r.of(what, how, k) for what in FIGURES)
            span, said = f"{min(shares):.3f} to {max(shares):.3f}", r.verdicts[k] if how == AFTER else "–"
            rows.append((r.short, r.spaces[k], how, *figures, span, said))
    return Table(
        title="Registration, judged on held-out people",
        columns=("pair", "on", "map", *FIGURES, "same image, over fits", "it finds"),
        rows=tuple(rows),
        note="Means over fits, and the lowest and highest of them; RMSE in units of the target's spread.",
        folded=len(results) > FEW,
    )


def findings(results: Sequence[Registration]) -> list[Finding]:
    """Say what registration adds to what is there without it; of many results, how many find what."""
    if len(results) <= FEW:
        return [said for r in results for said in _outcome(r)]
    said = []
    for k, space in enumerate(max(results, key=lambda r: len(r.spaces)).spaces):
        found = [r.verdicts[k] for r in results if k < len(r.spaces)]
        often = sorted(dict.fromkeys(found), key=found.count, reverse=True)
        counts = ", ".join(f"{one} in {found.count(one)}" for one in often)
        said.append(Finding(f"Of {len(found)} blind registrations on {space}: {counts}."))
    return said


def _outcome(r: Registration) -> list[Finding]:
    """Say of each space what registration adds, and last what known pairs find."""
    said = []
    for k, space in enumerate(r.spaces):
        rival, before, after = r.most(RIVALS, k), r.of(IMAGE, BEFORE, k), r.of(IMAGE, AFTER, k)
        text = f"On {space} of {r.title}, {before.value:.1%} of images find themselves"
        if before.value >= ALL and r.verdicts[k] == KEPT:
            said.append(Finding(f"{text} without registration: nothing is left to find."))
            continue
        other = f", {_SAID[rival]} {r.of(IMAGE, rival, k).value:.1%}" if rival != BEFORE else ""
        good: Tone = "good" if r.verdicts[k] == FOUND else "plain"
        text += f"{other}, registered {after.value:.1%}"
        said.append(compared(text, after, r.of(IMAGE, rival, k), tones=("bad", good)))
        said += [] if r.verdicts[k] in (FOUND, MORE, NOTHING) else missed(r, k)
        if r.verdicts[k] == UNSURE:
            fits = f"{r.agreeing[k]} of {(r.fit_space == k).sum()} surely find more, the others do not"
            said.append(Finding(f"Fits disagree on {space} of {r.title}: {fits}."))
    known = [
        f"{r.of(IMAGE, r.most((PROCRUSTES, AFFINE), k), k).value:.1%} on {space}"
        + (f" ({r.explained[k]:.0%} of the variance)" if r.explained[k] < ALL else "")
        for k, space in enumerate(r.spaces)
    ]
    return [*said, Finding(f"Of images of {r.title}, known pairs let {' and '.join(known)} find themselves.")]


ANALYSIS = Analysis(
    question="Can two clouds be registered without known pairs, and does that find who is who?",
    over=("degraded pair", "model pair"),
    params=RegistrationParams(),
    result=Registration,
    compute=compute,
    charts=charts,
    findings=findings,
)
