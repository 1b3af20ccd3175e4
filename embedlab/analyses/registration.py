"""Registration: two clouds brought together without knowing which points belong together.

Coherent Point Drift (CPD) takes the points of the moving cloud (the source) for centres of a Gaussian
mixture and moves them together until the fixed cloud (the target) is likely under it [1]_. It is never
told which points are the same image. The target is the native probe and the source the degraded one of
the same model; or they are two models' vectors of one probe. Unit vectors are brought to a few
principal axes: to common ones of both clouds within one model; each to its own, in the order of
variance, and to spread one between models, whose axes have nothing in common.

People are dealt into three groups. Axes and registration are fitted on the *first*. The *second* serves
the null: the same registration of clouds of as many people each, drawn from the first two groups,
nobody in both. The *third* judges, and nothing was fitted on it. There the source goes through the
fitted map, and for each of its images the nearest one is sought in the target: the share that find
**the same image**, or an image of **the same person** (the same one included), before and after. Beside
them stands the same map fitted *with known pairs* on the first group: Procrustes, which is what rigid
registration can hope for [2]_, and for affine and deformable registration the better of it and the
affine map of least squares.

Distances are in units of the target's spread, the root mean square distance of its fitted points to
their mean. *RMSE* is that of held-out known pairs. *Intra* and *inter* are the mean distances from a
moved image to the target's of the same person and of others; their ratio, unlike either, does not fall
because a cloud has shrunk. The *energy distance* [3]_ as a share is 0 for clouds that are spread alike
and 1 for clouds far apart: overlap, whoever is where.

Between models, whose axes have neither order nor sign in common, turns and mirrorings are tried first and
CPD goes on from the likeliest; each draw of the null does so for itself. Intervals are 95 %
percentile intervals of a bootstrap over the judged people, all fits staying as they are; differences are
of the same resamples.

How to read it
--------------
Read "after" against three others: "before", known pairs and unrelated people. Surely above before and
above every draw of unrelated people it has found who is who: *part* of the correspondence; *as much as
known pairs find* if it comes nine tenths of the way from chance to these; and *the true correspondence*
if moreover at least half of the images find themselves. Not surely above the unrelated people, its
matches may come from the clouds' *shape* alone, whomever they show. Where matches do not surely rise
while the energy distance falls, CPD laid clouds over one another and no more: this is what a picture
after registration cannot show. Where neither the clouds before nor known pairs match surely
better than chance, there is *nothing that can be shown* on these axes. An RMSE of 1 is what all points
in one place would have; 1.4 is that of unrelated clouds of equal spread.

Limits
------
Matches depend on how many images are searched, and in three dimensions even a perfect map finds few
among many: compare with the known pairs' share, not with 100 %. Another number of axes is another
question. Least squares need not give the most matches, and CPD may pass it by a little. CPD finds the
optimum nearest to its start: within one model, where it starts with the axes as they are, it may miss
a large turn and never mirrors; between models the search may miss the right turn, in many dimensions
above all. What CPD does not find may be there all the same: known pairs tell. Intervals hold the fits
and the target fixed. People and images are a sample where there are many.

References
----------
.. [1] Myronenko, A. and Song, X. Point set registration: coherent point drift. IEEE Transactions on
   Pattern Analysis and Machine Intelligence 32(12), 2010.
.. [2] Schönemann, P. H. A generalized solution of the orthogonal Procrustes problem. Psychometrika
   31(1), 1966.
.. [3] Székely, G. J. and Rizzo, M. L. Energy statistics: a class of statistics based on distances.
   Journal of Statistical Planning and Inference 143(8), 2013.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Chart, Curve, Curves, Histogram, Role, Scatter, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, compared, label
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.clouds import correspondence
from embedlab.maths.clouds.correspondence import Correspondence
from embedlab.maths.clouds.paired_clouds import FITTED, JUDGED, PairedClouds
from embedlab.maths.linear import linear_maps, procrustes
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import weighted_mean
from embedlab.maths.space.energy import between_people
from embedlab.progress import busy, track

TRACED = 200
DRAWN, LINKED = 150, 40
BINS = 50
CHARTED, LISTED, FEW, NAMED = 2, 6, 4, 3
# After registration counts as near the known pairs if it comes this far from chance to them; and as the true
# correspondence if most images find themselves.
NEAR, MOST = 0.9, 0.5
# Smaller energy distances and smaller steps nearer are not spoken of.
FAINT = 0.01

BEFORE, AFTER, NULL = "before", "after", "unrelated people"
PROCRUSTES, AFFINE = "Procrustes, known pairs", "affine, known pairs"
ROLES: dict[str, Role] = {BEFORE: "before", AFTER: "after", PROCRUSTES: "ceiling", NULL: "null"}
IMAGE, PERSON, RMSE, RATIO = "same image", "same person", "RMSE", "intra over inter"
INTRA, INTER, ENERGY = "intra distance", "inter distance", "energy distance as a share"
GAIN, BEYOND = "same image, after minus before", "same image, after minus unrelated people"
NEARER = "intra over inter, after minus before"
FOUND, LIMIT = "the true correspondence", "as much as known pairs find"
SHAPE, PARTLY = "matches that shape may give", "part of the correspondence"
KEPT, OVERLAP = "nothing sure beyond before", "no sure correspondence"
WORSE, NOTHING = "less than before", "nothing that can be shown"
Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RegistrationParams(Params):
    """Knobs of the registration."""

    dimensions: int = bounded(3, least=0)
    """How many principal axes are registered; 0 for all that both spaces have."""
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
    people: int = bounded(400, least=3)
    """How many people at most are registered, and how many judge."""
    images: int = bounded(3, least=1)
    """How many images of each at most."""
    search: Literal["between models", "always", "never"] = "between models"
    """When turns and mirrorings all around are tried first; else CPD starts with the axes as they are."""
    nulls: int = bounded(10, least=1)
    """How many registrations of unrelated people stand behind the null."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the groups, the draw, the null and the resamples."""


@dataclass(frozen=True)
class Registration(Result):
    """One cloud brought onto another: what held-out people gain, and how CPD went.

    The rows of ``histograms`` count distances of the same image and of different people before, then
    both after. Angles are in degrees: of the found turn, of Procrustes's, and of the turn that is
    between them.
    """

    pair: str = field(metadata={"hidden": True})
    model: str = field(metadata={"hidden": True})
    target: str = field(metadata={"hidden": True})
    source: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    kind: str = field(metadata={"label": "kind of map"})
    engine: str
    seed: int = field(metadata={"hidden": True})
    axes: int = field(metadata={"label": "axes registered"})
    explained: float = field(metadata={"label": "share of the target's variance on them, people judged"})
    fitted_people: int = field(metadata={"label": "people registered"})
    fitted_images: int = field(metadata={"label": "images registered"})
    judged_people: int = field(metadata={"label": "people judged"})
    judged_images: int = field(metadata={"label": "images judged, all searched"})
    all_people: int = field(metadata={"label": "people in all"})
    dropped: int = field(metadata={"label": "images in one set only, left out"})
    verdict: str = field(metadata={"label": "registration finds"})
    estimates: Estimates
    ceiling: str = field(metadata={"hidden": True})
    chance_image: float = field(metadata={"label": "same image, by chance"})
    chance_person: float = field(metadata={"label": "same person, by chance"})
    converged: bool = field(metadata={"hidden": True})
    reason: str = field(metadata={"label": "why CPD stopped"})
    iterations: int = field(metadata={"label": "iterations of CPD"})
    searched: bool = field(metadata={"label": "turns and mirrorings tried first"})
    scale: float = field(metadata={"label": "scale found"})
    known_scale: float = field(metadata={"label": "scale by Procrustes"})
    turned: float = field(metadata={"label": "largest angle turned, degrees (180 where mirrored)"})
    known_turned: float = field(metadata={"label": "largest angle turned by Procrustes, degrees"})
    apart: float = field(metadata={"label": "largest angle between the two turns, degrees"})
    trace_held_out: bool = field(metadata={"hidden": True})
    angles: Float[np.ndarray, "3 axes"]
    null_matches: Float[np.ndarray, " nulls"]
    trace_iterations: Int[np.ndarray, " steps"]
    trace_sigma2: Float[np.ndarray, " steps"]
    trace_match: Float[np.ndarray, " steps"]
    edges: Float[np.ndarray, " bins+1"]
    histograms: Int[np.ndarray, "4 bins"]
    items: Shaped[np.ndarray, " drawn"]
    fixed: Float[np.ndarray, "drawn shown"]
    moving: Float[np.ndarray, "drawn shown"]
    moved: Float[np.ndarray, "drawn shown"]

    def of(self, what: str, how: str) -> Estimate:
        """Give an estimate of a method."""
        return self.estimates[what, how]

    @property
    def methods(self) -> tuple[str, ...]:
        """What stands beside each other, known pairs before the null."""
        return tuple(m for m in (BEFORE, AFTER, PROCRUSTES, AFFINE, NULL) if (IMAGE, m) in self.estimates)


def compute(a: EmbeddingSet, b: EmbeddingSet, params: RegistrationParams) -> Registration:
    """Register b onto a on some people, and judge the map on others.

    Raises
    ------
    UserError
        If they share fewer than nine people, a cloud has no spread, or there are too few points for the
        map.
    """
    clouds = PairedClouds.of(
        a, b, axes=params.dimensions, people=params.people, images=params.images, seed=params.seed
    )
    (x, y), (fixed, moving), owners = clouds.rows(FITTED), clouds.rows(JUDGED), clouds.owners(JUDGED)
    if params.kind in ("affine", "deformable") and len(x) < clouds.axes + 2:
        raise UserError(
            f"{a.title} and {b.title}: {len(x)} images are too few for an affine map of {clouds.axes} axes: "
            "give more images, or lower registration.dimensions"
        )
    within = a.model == b.model
    trace = _Trace(clouds, params)
    search = params.search == "always" or (params.search == "between models" and not within)
    with busy(f"registering {len(y):,} images onto {len(x):,}"):
        found = _register(x, y, params, search=search, trace=trace)
    known = _known(x, y, params.kind)
    moved = {BEFORE: moving, AFTER: found.apply(moving)} | {n: apply(moving) for n, apply in known.items()}
    judged = {name: correspondence.judge(points, fixed, owners) for name, points in moved.items()}
    nulls = []
    for k in track(range(params.nulls), "registering unrelated people"):
        stranger = _register(*clouds.unrelated(params.seed + k), params, search=search)
        nulls.append(correspondence.judge(stranger.apply(moving), fixed, owners))
    items = clouds.names[clouds.group == JUDGED]
    people = People.of(range(int(owners[-1]) + 1), params, items=items)
    measured = _Measured.of(judged, nulls, moved, fixed, people)
    turn, known_turn = (procrustes.fit(y, to(y)) for to in (found.apply, known[PROCRUSTES]))
    turns = (turn.rotation, known_turn.rotation, turn.rotation.T @ known_turn.rotation)
    angles = np.stack([correspondence.angles(rotation) for rotation in turns])
    edges, histograms = _histograms(fixed, moved[BEFORE], moved[AFTER], owners)
    shown = np.random.default_rng([params.seed, 22]).permutation(len(fixed))[:DRAWN]
    return Registration(
        title=f"{b.probe} onto {a.probe} in {a.model}"
        if within
        else f"{b.model} onto {a.model} on {a.probe}",
        pair="degraded pair" if within else "model pair",
        model=a.model,
        target=a.probe if within else a.model,
        source=b.probe if within else b.model,
        probe=f"{b.probe} onto {a.probe}" if within else a.probe,
        kind=params.kind,
        engine=params.engine,
        seed=params.seed,
        axes=clouds.axes,
        explained=clouds.explained,
        fitted_people=len(np.unique(clouds.person[clouds.group == FITTED])),
        fitted_images=len(x),
        judged_people=people.counts.shape[1],
        judged_images=len(fixed),
        all_people=clouds.all_people,
        dropped=clouds.dropped,
        verdict=measured.verdict,
        estimates=measured.estimates,
        ceiling=measured.ceiling,
        chance_image=measured.chances[0],
        chance_person=measured.chances[1],
        converged=found.converged,
        reason=found.reason,
        iterations=found.iterations,
        searched=search,
        scale=turn.scale,
        known_scale=known_turn.scale,
        turned=float(angles[0].max()),
        known_turned=float(angles[1].max()),
        apart=float(angles[2].max()),
        trace_held_out=trace.held_out,
        angles=angles,
        null_matches=measured.null_matches,
        trace_iterations=np.array(trace.iterations, dtype=np.int64),
        trace_sigma2=np.array(trace.sigma2),
        trace_match=np.array(trace.match),
        edges=edges,
        histograms=histograms,
        items=items[shown],
        fixed=fixed[shown, :3],
        moving=moving[shown, :3],
        moved=moved[AFTER][shown, :3],
    )


class _Trace:
    """σ² and the share of matches at each iteration: of held-out images, unless the map bends."""

    def __init__(self, clouds: PairedClouds, params: RegistrationParams) -> None:
        (x, y), (fixed, moving) = clouds.rows(FITTED), clouds.rows(JUDGED)
        self.held_out = params.kind != "deformable" and len(y) > clouds.axes
        self.iterations = [0]
        self.sigma2 = [np.nan]
        rng = np.random.default_rng([params.seed, 23])
        some = rng.permutation(len(fixed) if self.held_out else len(x))[:TRACED]
        self._fixed = (fixed if self.held_out else x)[some]
        self._rows = some
        self._weights = np.eye(len(some))
        if self.held_out:
            # Where an affine map sends these points follows from where it has sent some others.
            self._rows = rng.permutation(len(y))[: 4 * (clouds.axes + 1)]
            known, asked = (np.column_stack([c, np.ones(len(c))]) for c in (y[self._rows], moving[some]))
            self._weights = asked @ np.linalg.pinv(known)
        self.match = [correspondence.match_rate(self._weights @ y[self._rows], self._fixed)]

    def __call__(self, iteration: int, moved: np.ndarray, sigma2: float) -> None:
        self.iterations.append(int(iteration))
        self.sigma2.append(float(sigma2))
        self.match.append(correspondence.match_rate(self._weights @ moved[self._rows], self._fixed))


@dataclass(frozen=True)
class _Found:
    """A fitted map for any points, and how the fit ended."""

    apply: Map
    converged: bool
    reason: str
    iterations: int


def _start(x: np.ndarray, y: np.ndarray, params: RegistrationParams) -> np.ndarray:
    """Find the turn, mirrored or not, that rigid registration comes to the likeliest end from."""
    from embedlab.maths.clouds.cpd import Settings, rigid

    settings = Settings(outliers=params.outliers, seed=params.seed)
    found: np.ndarray = rigid(x, y, scale=params.kind != "rigid", reflect=True, settings=settings).rotation
    return found


def _register(
    x: np.ndarray, y: np.ndarray, params: RegistrationParams, *, search: bool, trace: _Trace | None = None
) -> _Found:
    """Register y onto x, from where it stands or from the best turn."""
    from embedlab.maths.clouds.cpd import Settings
    from embedlab.maths.clouds.registration import register

    start = _start(x, y, params) if search else np.eye(x.shape[1])
    made = register(
        x,
        y @ start,
        params.kind,
        engine=params.engine,
        settings=Settings(outliers=params.outliers, search=False),
        alpha=params.alpha,
        beta=params.beta,
        rank=min(params.rank, len(y)) or None if params.engine == "embedlab" else None,
        callback=trace,
    )
    return _Found(lambda points: made.transform(points @ start), made.converged, made.reason, made.iterations)


def _known(x: np.ndarray, y: np.ndarray, kind: str) -> dict[str, Map]:
    """Fit the maps that know the pairs."""
    found: dict[str, Map] = {PROCRUSTES: procrustes.fit(y, x, scale=kind != "rigid").apply}
    if kind in ("affine", "deformable"):
        found[AFFINE] = linear_maps.fit(y, x, "least squares").apply
    return found


@dataclass(frozen=True)
class _Measured:
    """Every figure of every map, and what they come to."""

    estimates: Estimates
    ceiling: str
    chances: tuple[float, float]
    null_matches: np.ndarray
    verdict: str

    @classmethod
    def of(
        cls,
        judged: Mapping[str, Correspondence],
        nulls: Sequence[Correspondence],
        moved: Mapping[str, np.ndarray],
        fixed: np.ndarray,
        people: People,
    ) -> "_Measured":
        owners = judged[AFTER].owners
        n, chances = people.counts.shape[1], correspondence.chance(owners)
        # The first row is the people as they are.
        counts = np.concatenate([np.ones((1, n), np.float32), people.counts])
        rates = _rates({**judged, NULL: correspondence.pooled(nulls)}, counts)
        for how in (BEFORE, AFTER):
            rates[INTRA, how], rates[INTER, how] = judged[how].intra(counts), judged[how].inter(counts)
            rates[ENERGY, how] = between_people(moved[how], fixed, owners).share(counts)
        found = Estimates()
        for (what, how), values in rates.items():
            null = float(rates[what, NULL][0]) if (what, NULL) in rates and how == AFTER else None
            share = what in (IMAGE, PERSON)
            if share and null is None:
                null = chances[what == PERSON]
            found[what, how] = people.estimate(Drawn(float(values[0]), values[1:]), n, null, share=share)
        for name, what, other in ((GAIN, IMAGE, BEFORE), (BEYOND, IMAGE, NULL), (NEARER, RATIO, BEFORE)):
            found[name,] = found[what, AFTER] - found[what, other]
        ceiling = max((PROCRUSTES, AFFINE), key=lambda how: rates[IMAGE, how][0] if how in judged else -1.0)
        null_matches = np.array([one.items.mean() for one in nulls])
        verdict = _verdict(found, ceiling, chances[0], null_matches)
        return cls(found, ceiling, chances, null_matches, verdict)


def _rates(
    judged: Mapping[str, Correspondence], counts: np.ndarray
) -> dict[tuple[str, str], Float[np.ndarray, " b"]]:
    found = {}
    for how, one in judged.items():
        found[IMAGE, how] = weighted_mean(one.items, one.owners, counts)
        found[PERSON, how] = weighted_mean(one.people, one.owners, counts)
        found[RMSE, how], found[RATIO, how] = one.rmse(counts), one.ratio(counts)
    return found


def _verdict(estimates: Estimates, ceiling: str, chance: float, null_matches: np.ndarray) -> str:
    """Say in a few words what registration has found, counting only what is surely so."""
    before, after, known = (estimates[IMAGE, how] for how in (BEFORE, AFTER, ceiling))
    gain, beyond = estimates[GAIN,], estimates[BEYOND,]
    if not (_above(before, chance) or _above(known, chance)):
        return NOTHING
    if gain.high is not None and gain.high < 0:
        return WORSE
    if not _above(gain, 0.0):
        return KEPT if _above(before, chance) else OVERLAP
    if not (_above(beyond, 0.0) and after.value > null_matches.max()):
        return SHAPE
    near = after.value - chance >= NEAR * (max(before.value, known.value) - chance)
    if not near:
        return PARTLY
    return FOUND if after.value >= MOST else LIMIT


def _above(one: Estimate, level: float) -> bool:
    return one.low is not None and one.low > level


def _histograms(
    fixed: np.ndarray, before: np.ndarray, after: np.ndarray, owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count distances of the same image and of different people before and after, over common bins."""
    series = []
    for moved in (before, after):
        own = np.linalg.norm(moved - fixed, axis=1)
        series += [own, correspondence.other_people(moved, fixed, owners)]
    top = max(float(np.quantile(values, 0.995)) for values in series)
    edges = np.linspace(0.0, top or 1.0, BINS + 1)
    counts = [np.histogram(np.minimum(values, edges[-1]), edges)[0] for values in series]
    return edges, np.stack(counts).astype(np.int64)


def charts(results: Sequence[Registration]) -> list[Chart]:
    """Bars and a table over all; clouds and distances of the first pair of either kind; how CPD went."""
    drawn: list[Chart] = [_bars(results)]
    for r in _shown(results):
        drawn += [_cloud(r, r.moving, BEFORE), _cloud(r, r.moved, AFTER), _distances(r)]
    return [*drawn, *_traces(results), _table(results)]


def _shown(results: Sequence[Registration]) -> list[Registration]:
    """Choose whose clouds are drawn: within one model and between two, as far as there are both."""
    first = {r.pair: r for r in reversed(results)}
    return [r for r in results if r is first[r.pair]] if len(first) > 1 else list(results[:CHARTED])


def _short(r: Registration) -> str:
    """Name a pair where there is little room."""
    if r.pair == "degraded pair":
        return f"{r.source.removeprefix(r.target)} in {r.model}"
    return f"{r.source} onto {r.target}{''.join(r.probe.partition('@')[1:])}"


def _rest(results: Sequence[Registration], shown: int) -> str:
    return (
        f" The first {shown} of {len(results)}; the others stand in the table."
        if len(results) > shown
        else ""
    )


def _bars(results: Sequence[Registration]) -> Bars:
    some = results[:LISTED]
    series = []
    for how in (BEFORE, AFTER, PROCRUSTES, AFFINE, NULL):
        values, low, high = np.concatenate([r.estimates.row(IMAGE, [(how,)]) for r in some], axis=1)
        if np.isfinite(values).any():
            name = f"registered to {NULL}" if how == NULL else how
            series.append(BarSeries(name, values, low, high, role=ROLES.get(how)))
    sizes = [r.judged_images for r in some]
    many = f"{max(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    return Bars(
        title="Held-out images whose nearest neighbour across the clouds is the same image",
        ylabel="share of held-out images",
        categories=tuple(_short(r) for r in some),
        series=tuple(series),
        nulls=np.array([r.chance_image for r in some]),
        note=f"Each is searched among {many} images; 95 % intervals of a bootstrap over the people judged. "
        f"The dotted mark is chance; registered to {NULL}: the mean of several draws."
        f"{_rest(results, len(some))}",
    )


def _cloud(r: Registration, moving: np.ndarray, when: str) -> Scatter:
    """Draw both clouds; the ranges hold both pictures' points, so that they can be compared."""
    n, whole = len(r.fixed), np.concatenate([r.fixed, r.moving, r.moved])
    low, high = whole.min(axis=0), whole.max(axis=0)
    room = 0.04 * np.maximum(high - low, 1e-6)
    which = np.repeat([0, 1], n)
    linked = np.arange(min(LINKED, n))
    first = f"the first {r.fixed.shape[1]} of {r.axes} axes; all" if r.axes > 3 else f"{r.axes} axes, which"
    return Scatter(
        title=f"{r.title}: the clouds {when} registration",
        points=np.concatenate([r.fixed, moving]),
        axes=tuple(f"axis {k + 1}" for k in range(r.fixed.shape[1])),
        groups=which,
        group_names=(r.target, r.source),
        marks=which,
        mark_names=(f"{r.target} (fixed)", f"{r.source} (moving)"),
        hover=np.array([f"{item}, {name}" for name in (r.target, r.source) for item in r.items]),
        links=np.stack([linked, linked + n], axis=1),
        ranges=tuple(zip((low - room).tolist(), (high + room).tolist(), strict=True)),
        note=f"{n} of {r.judged_images:,} held-out images, seed {r.seed}, on {first} carry "
        f"{r.explained:.0%} of the target's variance. Lines join the same image, for {len(linked)} of them. "
        "Units: the target's spread. That clouds overlap says nothing of who lies where.",
    )


def _distances(r: Registration) -> Histogram:
    roles: dict[str, Role] = {}
    for when in (BEFORE, AFTER):
        roles |= {label((IMAGE, when)): "same image", label(("different people", when)): "impostor"}
    before, after = (r.of(RATIO, how) for how in (BEFORE, AFTER))
    return Histogram(
        title=f"{r.title}: distances across the clouds",
        xlabel="distance from a moving to a fixed image, in units of the target's spread",
        edges=r.edges,
        series=dict(zip(roles, r.histograms, strict=True)),
        roles=roles,
        note=f"Held-out people; those of different people from at most {correspondence.BLOCK} images. Intra "
        f"over inter is {before:.2f} before and {after:.2f} after. What lies beyond the axis stands in its "
        "last bin.",
    )


def _traces(results: Sequence[Registration]) -> list[Curves]:
    first = _shown(results)
    some = [*first, *(r for r in results if all(r is not one for one in first))][:FEW]
    more = f" {len(some)} of {len(results)} registrations." if len(results) > len(some) else ""
    inside = (
        "" if all(r.trace_held_out for r in some) else " Of a map that bends: of images it was fitted on."
    )
    sigma2, match = (
        tuple(Curve(_short(r), r.trace_iterations, y) for r, y in zip(some, many, strict=True))
        for many in ([r.trace_sigma2 for r in some], [r.trace_match for r in some])
    )
    return [
        Curves(
            title="σ² of CPD at each iteration",
            xlabel="iteration",
            ylabel="σ², in units of the target's spread squared",
            curves=sigma2,
            yscale="log",
            note=f"It falls as the clouds come to overlap, whether or not the right points meet.{more}",
        ),
        Curves(
            title="The same image nearest, at each iteration of CPD",
            xlabel="iteration",
            ylabel=f"share of at most {TRACED} held-out images",
            curves=match,
            note=f"From before registration (0) on. At most {TRACED} images are searched, so that more are "
            f"found than among all.{inside}{more}",
        ),
    ]


def _table(results: Sequence[Registration]) -> Table:
    rows = []
    for r in results:
        ending = f"{'converged' if r.converged else 'stopped'} after {r.iterations}"
        for how in r.methods:
            figures = (r.of(what, how) for what in (IMAGE, PERSON, RMSE, RATIO))
            about = (r.verdict, ending) if how == AFTER else ("–", "–")
            rows.append((_short(r), how, *figures, *about))
    return Table(
        title="Registration, judged on held-out people",
        columns=("pair", "map", IMAGE, PERSON, RMSE, RATIO, "CPD finds", "CPD"),
        rows=tuple(rows),
        note="Shares of images whose nearest one across the clouds is the same image or person; RMSE of "
        f"known pairs in units of the target's spread. {NULL.capitalize()}: the mean over draws.",
        folded=len(results) > FEW,
    )


def findings(results: Sequence[Registration]) -> list[Finding]:
    """Say whether registration finds the true correspondence; of many results in a few sentences."""
    if len(results) > FEW:
        return _summary(results)
    said = [_outcome(r) for r in results]
    return said + ([_way(results[0])] if len(results) == 1 else _compared(results))


_MAPS = {"rigid": "rigid", "similarity": "rigid, with scale", "affine": "affine", "deformable": "deformable"}
_TONES: dict[str, Literal["good", "bad", "plain"]] = {
    FOUND: "good",
    LIMIT: "plain",
    PARTLY: "plain",
    SHAPE: "plain",
    KEPT: "plain",
    OVERLAP: "bad",
    WORSE: "bad",
    NOTHING: "bad",
}


def _outcome(r: Registration) -> Finding:
    before, after, known, null = (r.of(IMAGE, how).value for how in (BEFORE, AFTER, r.ceiling, NULL))
    gain = r.estimates[GAIN,]
    return Finding(
        f"Over {r.axes} axes, CPD ({_MAPS[r.kind]}) of {r.title} {_words(r)}. The same image is nearest for "
        f"{after:.1%} of {r.judged_images:,} held-out images after it and for {before:.1%} before "
        f"({gain.points()}), for {known:.1%} by {_by(r)} with known pairs, for {null:.1%} where "
        f"registered to {NULL}, and for {r.chance_image:.2%} by chance.",
        _TONES[r.verdict],
    )


def _by(r: Registration) -> str:
    return "Procrustes" if r.ceiling == PROCRUSTES else "an affine map"


def _words(r: Registration) -> str:
    """Say what CPD does; where it brings no matches, whether it brings anything else."""
    before, after = (r.of(ENERGY, how) for how in (BEFORE, AFTER))
    overlaps = after.high is not None and max(after.high, FAINT) < before.value
    words = {
        FOUND: "finds the true correspondence",
        LIMIT: "finds about as much of the true correspondence as known pairs do, but for fewer "
        "than half of the images",
        PARTLY: "finds a part of the true correspondence",
        SHAPE: "brings matches, but not surely more than when registered to unrelated people: the clouds' "
        "shape alone may bring them",
        WORSE: "leaves fewer matches than there were",
        KEPT: "brings no sure gain in matches",
        OVERLAP: "brings no sure gain in matches",
        NOTHING: "brings nothing that could be shown, as even known pairs match not surely beyond chance",
    }[r.verdict]
    if r.verdict in (FOUND, LIMIT, PARTLY, SHAPE, WORSE):
        return words
    if overlaps:
        words = (
            f"lays the clouds over one another (energy distance {before.value:.1%} before, {after.value:.1%} "
            f"after) but {words}"
        )
    if (end := r.estimates[NEARER,].high) is None or end > -FAINT:
        return words
    ratio = {how: r.of(RATIO, how).value for how in (BEFORE, AFTER, r.ceiling, NULL)}
    return (
        f"{words}, though across the clouds a person's own images come nearer, from {ratio[BEFORE]:.2f} to "
        f"{ratio[AFTER]:.2f} times the distance of other people's ({ratio[r.ceiling]:.2f} with known pairs, "
        f"{ratio[NULL]:.2f} registered to {NULL})"
    )


def _way(r: Registration) -> Finding:
    """Say how CPD ended, where it turned, and what distances became."""
    before, after, known = (r.of(RATIO, how) for how in (BEFORE, AFTER, r.ceiling))
    ended = "converged" if r.converged else "did not converge"
    return Finding(
        f"CPD {ended} after {r.iterations:,} iterations ({r.reason}); it turned the source by up to "
        f"{r.turned:.0f}°, Procrustes by {r.known_turned:.0f}°, and {r.apart:.0f}° lie between the two. "
        f"Across the clouds a person's own images lie {after:.2f} times as far as other people's, "
        f"{before.value:.2f} times before and {known.value:.2f} times with known pairs.",
        "plain" if r.converged else "bad",
    )


def _compared(results: Sequence[Registration]) -> list[Finding]:
    """Compare the registrations of one probe by different models: the best with each other one."""
    said = []
    for pair, probe in dict.fromkeys((r.pair, r.probe) for r in results):
        group = [r for r in results if (r.pair, r.probe) == (pair, probe)]
        best, *rest = sorted(group, key=lambda r: -r.of(IMAGE, AFTER).value)
        for other in rest:
            high, low = (r.of(IMAGE, AFTER) for r in (best, other))
            text = (
                f"After registration the same image is nearest for {high.value:.1%} in {best.title} and for "
                f"{low.value:.1%} in {other.title}"
            )
            said.append(compared(text, high, low))
    return said


def _summary(results: Sequence[Registration]) -> list[Finding]:
    """Count the outcomes, and name the registration that tells its own people best from others."""
    parts = []
    for verdict in _TONES:
        titles = [r.title for r in results if r.verdict == verdict]
        if titles:
            more = f" and {len(titles) - NAMED} more" if len(titles) > NAMED else ""
            parts.append(f"{verdict} in {len(titles)} ({'; '.join(titles[:NAMED])}{more})")
    best = max(results, key=lambda r: r.estimates[BEYOND,].value)
    after, known, null = (best.of(IMAGE, how) for how in (AFTER, best.ceiling, NULL))
    return [
        Finding(f"Of {len(results)} registrations, judged on held-out people, CPD finds {', '.join(parts)}."),
        Finding(
            f"It stands out the most from registration to {NULL} in {best.title}: the same image is nearest "
            f"for {after:.1%}, for {null.value:.1%} with {NULL} and {known.value:.1%} by {_by(best)} with "
            "known pairs."
        ),
    ]


ANALYSIS = Analysis(
    question="Can two clouds be registered without known pairs, and does that find who is who?",
    over=("degraded pair", "model pair"),
    params=RegistrationParams(),
    result=Registration,
    compute=compute,
    charts=charts,
    findings=findings,
)
