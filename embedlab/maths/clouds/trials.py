"""Blind registration tried several times: each trial fits on some people and is judged on others.

One fit depends on who happened to be in it: between two models one group of people may lead to the true
correspondence and the next to a mirror image of it. Trials show how often. People are dealt into three
groups, whose parts go round, so that in three trials each person judges once; a new deal gives three
more. Beside the blind map each trial has what it must beat and what it may hope for, judged alike: the
cloud as it lies, the shift from centroid to centroid, the same registration of clouds that show different
people, and the maps that know the pairs.

A search that misses the true correspondence may have had nothing to see, or not have looked there. What it
climbs tells them apart: the likelihood of the target under the mixture, from known pairs on as from its own
start. Of many axes known pairs make a likely fit of anything, so wrong pairs stand beside them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.clouds import correspondence
from embedlab.maths.clouds.correspondence import Correspondence
from embedlab.maths.clouds.paired_clouds import FITTED, JUDGED, PairedClouds
from embedlab.maths.linear import linear_maps, procrustes
from embedlab.maths.linear.matched import other_people
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import weighted_mean
from embedlab.progress import track

if TYPE_CHECKING:
    from embedlab.maths.clouds.cpd import Settings

PARTS = 3
# In many dimensions a step costs as the dimension cubed, and what is not found soon is not found.
MANY, SOON, NEARLY = 16, 60, 1e-4

BEFORE, SHIFT, AFTER, NULL = "before", "shift only", "after", "unrelated people"
PROCRUSTES, AFFINE = "Procrustes, known pairs", "affine, known pairs"
MAPS = (BEFORE, SHIFT, AFTER, PROCRUSTES, AFFINE, NULL)
WRONG = "Procrustes, wrong pairs"
ENDS = (AFTER, PROCRUSTES, WRONG)
IMAGE, PERSON, RMSE, RATIO = "same image", "same person", "RMSE", "intra over inter"
# From pairs on CPD only settles.
SETTLING = 20
Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Blind:
    """A map that was fitted without pairs, whether that converged, and its log-likelihood if it has one."""

    apply: Map
    converged: bool
    likelihood: float | None = None


@dataclass(frozen=True)
class Trial:
    """One blind registration and what stands beside it, on people who had no part in any fit.

    Attributes
    ----------
    clouds
        What was registered.
    moved
        The judged source after each map, by its name; ``NULL`` not among them.
    judged
        How each lies to the judged target; of ``NULL`` the mean over its registrations.
    converged
        Whether CPD came to rest.
    likelihood
        Of what was fitted: ``AFTER``, from known pairs on, and from ``WRONG`` ones; none of maps that bend.
    """

    clouds: PairedClouds
    moved: Mapping[str, Float[np.ndarray, "n axes"]]
    judged: Mapping[str, Correspondence]
    converged: bool
    likelihood: Mapping[str, float]

    @classmethod
    def of(cls, clouds: PairedClouds, params: Any, seed: int, *, search: bool) -> "Trial":
        """Fit on the people who are fitted on, and judge."""
        (x, y), (fixed, moving), owners = clouds.rows(FITTED), clouds.rows(JUDGED), clouds.owners(JUDGED)
        found, known = blind(x, y, params, seed, search=search), _known(x, y, params.kind)
        moved = {BEFORE: moving, SHIFT: moving + x.mean(axis=0) - y.mean(axis=0), AFTER: found.apply(moving)}
        moved |= {how: apply(moving) for how, apply in known.items()}
        judged = {how: correspondence.judge(points, fixed, owners) for how, points in moved.items()}
        strangers = [
            blind(*clouds.unrelated(seed + k), params, seed, search=search).apply(moving)
            for k in range(params.nulls)
        ]
        judged[NULL] = correspondence.pooled([correspondence.judge(s, fixed, owners) for s in strangers])
        likely = {} if found.likelihood is None else {AFTER: found.likelihood}
        if likely:
            wrong = other_people(clouds.owners(FITTED), np.random.default_rng([seed, 32]))
            likely |= {PROCRUSTES: settled(x, y, params, seed), WRONG: settled(x[wrong], y, params, seed)}
        return cls(clouds, moved, judged, found.converged, likely)

    def measured(self, what: str, how: str, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give a figure of a map where the people who judge weigh so."""
        one = self.judged[how]
        if what == RMSE:
            return one.rmse(counts)
        if what == RATIO:
            return one.ratio(counts)
        return weighted_mean(one.items if what == IMAGE else one.people, one.owners, counts)


@dataclass(frozen=True)
class Trials:
    """Several trials on the same number of axes, whose mean is what is given."""

    each: tuple[Trial, ...]
    seed: int

    @classmethod
    def of(
        cls, a: EmbeddingSet, b: EmbeddingSet, params: Any, *, axes: int, deals: int, search: bool
    ) -> "Trials":
        """Register b onto a, group after group of people.

        Parameters
        ----------
        a, b
            The target and the source.
        params
            The parameters of `embedlab.analyses.registration`: how clouds are drawn and registered.
        axes
            How many principal axes; 0 for all that both spaces have.
        deals
            How often people are dealt anew; the first deal is the same whatever their number.
        search
            Whether turns and mirrorings are tried first.

        Raises
        ------
        UserError
            If they share fewer than nine people, a cloud has no spread, or there are too few points for
            the map.
        """
        seeds, found = np.random.default_rng([params.seed, 24]).integers(2**31, size=deals).tolist(), []
        what = f"registering {b.title} onto {a.title} on {axes or 'all'} axes, group after group"
        for k in track(range(PARTS * deals), what):
            deal, part = divmod(k, PARTS)
            clouds = PairedClouds.of(
                a, b, axes=axes, people=params.people, images=params.images, seed=seeds[deal], part=part
            )
            fitted = len(clouds.rows(FITTED)[0])
            if params.kind in ("affine", "deformable") and fitted < clouds.axes + 2:
                raise UserError(
                    f"{a.title} and {b.title}: {fitted} images are too few for an affine map of "
                    f"{clouds.axes} axes: give more images, or lower registration.dimensions and .native"
                )
            found.append(Trial.of(clouds, params, seeds[deal] + part, search=search))
        return cls(tuple(found), params.seed)

    @property
    def axes(self) -> int:
        """How many axes there are."""
        return self.each[0].clouds.axes

    @property
    def people(self) -> Int[np.ndarray, " people"]:
        """Who judges in some trial, as numbers among all people."""
        return np.unique(np.concatenate([one.clouds.people(JUDGED) for one in self.each]))

    @property
    def names(self) -> Shaped[np.ndarray, " images"]:
        """The items that judge, trial after trial."""
        return np.concatenate([one.clouds.names[one.clouds.group == JUDGED] for one in self.each])

    @property
    def maps(self) -> tuple[str, ...]:
        """What there is to compare, known pairs before the null."""
        return tuple(how for how in MAPS if how in self.each[0].judged)

    @property
    def explained(self) -> float:
        """The share of the target's variance that lies along the axes, of the people who judge."""
        return float(np.mean([one.clouds.explained for one in self.each]))

    @property
    def matches(self) -> Float[np.ndarray, "trials maps"]:
        """How often the same image is nearest, by trial and map."""
        return np.array([[one.judged[how].items.mean() for how in self.maps] for one in self.each])

    def chance(self, what: str) -> float | None:
        """Give how often a fixed point picked at random would do; None for what is no share."""
        if what not in (IMAGE, PERSON):
            return None
        return float(
            np.mean([correspondence.chance(one.judged[AFTER].owners)[what == PERSON] for one in self.each])
        )

    def measured(
        self, what: str, how: str, counts: Float[np.ndarray, "b people"], people: Int[np.ndarray, " people"]
    ) -> tuple[Drawn, list[Drawn]]:
        """Give a figure of a map, as the mean over trials and of each of them.

        Parameters
        ----------
        what, how
            ``IMAGE``, ``PERSON``, ``RMSE`` or ``RATIO``, and one of ``maps``.
        counts
            How often each person stands in each resample.
        people
            Who these are, as numbers among all; rising.
        """
        whole = np.concatenate([np.ones((1, counts.shape[1]), counts.dtype), counts])
        rows = [
            one.measured(what, how, whole[:, np.searchsorted(people, one.clouds.people(JUDGED))])
            for one in self.each
        ]
        return over_trials(np.array(rows), self.seed), [Drawn.of(row) for row in rows]

    @property
    def likelihoods(self) -> Float[np.ndarray, "trials 3"]:
        """The log-likelihoods of the maps of ``ENDS``, by trial; NaN where there is none."""
        return np.array([[one.likelihood.get(how, np.nan) for how in ENDS] for one in self.each])


def blind(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], params: Any, seed: int, *, search: bool
) -> Blind:
    """Register y onto x, from where it stands or from the turn that is likeliest in the end."""
    from embedlab.maths.clouds.cpd import rigid
    from embedlab.maths.clouds.registration import register

    settings = _settings(x, params, seed, search=search)
    of_a_body = params.kind in ("rigid", "similarity")
    start = np.eye(x.shape[1])
    if search or (of_a_body and params.engine == "embedlab"):
        first = rigid(x, y, scale=params.kind != "rigid", reflect=search, settings=settings)
        if of_a_body and params.engine == "embedlab":
            return Blind(first.transform, first.converged, _last(first.trace_loglik))
        start = first.rotation
    made = register(
        x,
        y @ start,
        params.kind,
        engine=params.engine,
        settings=replace(settings, search=False),
        alpha=params.alpha,
        beta=params.beta,
        rank=min(params.rank, len(y)) or None if params.engine == "embedlab" else None,
    )
    return Blind(lambda points: made.transform(points @ start), made.converged)


def settled(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n d"], params: Any, seed: int) -> float:
    """Give the log-likelihood of a row of x where CPD comes to rest from y laid onto x row by row."""
    from embedlab.maths.clouds.cpd import rigid

    found = procrustes.fit(y, x, scale=params.kind != "rigid")
    apart = float(((x - found.apply(y)) ** 2).mean()) or None
    settings = replace(_settings(x, params, seed, search=False), sigma2=apart, iterations=SETTLING)
    ended = rigid(
        x, y, scale=params.kind != "rigid", reflect=True, settings=settings,
        rotation=found.rotation, size=max(found.scale, 1e-3), shift=found.shift,
    )  # fmt: skip
    return _last(ended.trace_loglik)


def _last(trace: Float[np.ndarray, " steps"]) -> float:
    """Give the likelihood at the end; NaN of clouds that coincide, where no step is taken."""
    return float(trace[-1]) if len(trace) else np.nan


def _settings(x: np.ndarray, params: Any, seed: int, *, search: bool) -> "Settings":
    from embedlab.maths.clouds.cpd import Settings

    settings = Settings(outliers=params.outliers, search=search, seed=seed)
    return replace(settings, iterations=SOON, tolerance=NEARLY) if x.shape[1] > MANY else settings


def _known(x: np.ndarray, y: np.ndarray, kind: str) -> dict[str, Map]:
    """Fit the maps that know the pairs."""
    found: dict[str, Map] = {PROCRUSTES: procrustes.fit(y, x, scale=kind != "rigid").apply}
    if kind in ("affine", "deformable"):
        found[AFFINE] = linear_maps.fit(y, x, "least squares").apply
    return found


def over_trials(values: Float[np.ndarray, "trials b+1"], seed: int) -> Drawn:
    """Give the mean over trials, and replicates that vary as other trials and other people would make it.

    Of F trials that end in v the mean is uncertain by s/√F, with s² their variance, and that is known from F
    numbers only: by Student's law of F − 1 degrees of freedom. Draws of trials with replacement are too few
    for that where F is small (of three, with one that failed, they say that a third fails). To the mean of
    each resample a normal error of that size is added, stretched to Student's 95 %; it is one combination of
    the trials, the same for all statistics, so that differences between maps stay those of one trial.

    Parameters
    ----------
    values
        A row a trial: the statistic of the people as they are, then of each of their resamples; NaN where
        a resample holds none of the people of a trial.
    seed
        Equal seeds draw equal errors, so that statistics of one set of trials stay paired.
    """
    from scipy.special import stdtrit

    count, resamples = len(values), values.shape[1] - 1
    there = np.isfinite(values)
    known = there.sum(axis=0)
    sums = np.where(there, values, 0.0).sum(axis=0)
    means = np.divide(sums, known, out=np.full(len(known), np.nan), where=known > 0)
    if count > 1:
        errors = np.random.default_rng([seed, 25]).normal(size=(resamples, count))
        stretched = stdtrit(count - 1, 0.975) / stdtrit(np.inf, 0.975)
        means[1:] += errors @ (values[:, 0] - values[:, 0].mean()) * stretched / np.sqrt(count * (count - 1))
    return Drawn.of(means)
