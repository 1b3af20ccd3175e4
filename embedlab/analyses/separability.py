"""Separability: how far apart an image's versions live, and in what sense.

The first probe is the reference, every other one is held against it, on the images that all of them
show and on unit vectors. Four figures answer four meanings of "apart".

*Readable*: logistic regression (L2, C = 1, on coordinates standardised within the fold) is fitted on
the people of all folds but one and tells the two versions of the others' images apart. Accuracy is
the share of versions named rightly; each image stands in both classes, so it is balanced, and unlike
AUC it needs no score that is comparable between folds.

*Energy distance*, 2·E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖, is zero only where both clouds are spread alike
[1]_. Pairs of one person's images are left out, so that it is unbiased and may come out below zero.
Divided by 2·E‖X − Y‖ it is a share, 0 for equal clouds and 1 at most.

*Displacement*: a common shift, then rotation and scale as well (Procrustes, fitted with the known
pairs [2]_), are fitted on all folds but one; the shares say how much of the others' mean squared
displacement each step takes away, and what remains is the image's own. They sum to one.

*η²* = 1 − (sum of squares within groups)/(total): the share of a principal component's variance that
an attribute explains, the clustering index of [3]_; 1 where it explains all. The literature also
prints within/total under that name, the other way round. Components are fitted on one half of the
people, η² is that of the others.

Nulls are permutations that leave a person's images together. For all that concerns resolution the
versions of a person's images change places at random, and classifier, shift or map is fitted again
(the map after the common shift has been taken out); an attribute's values are dealt out to other
people. p is the share of permutations, the measured one included, that do as well [4]_; for η² as
well as the best of all components, which corrects for their number. Intervals are 95 % percentile
intervals of a bootstrap over the people judged; what was fitted stays as it is.

How to read it
--------------
Accuracy near one half: a straight cut cannot find the resolution. Accuracy near one says that it can,
not that it matters: look how far apart the clouds lie, and whether resolution has principal
components of its own. A displacement that is mostly common shift can be undone by subtracting one
vector, rotation and scale by one map; the remainder is lost to both.

Limits
------
Chance for a straight cut does not exclude a curved one. Procrustes has d(d − 1)/2 angles
to fit: with few people it turns by noise and its held-out share falls below zero, which is shown as
it is. Least squares shrinks what is noisy: where displacements are noise alone the map still takes
some of them away, and the null shows how much. Unit vectors have no norm, and a shift of vectors is
no pure shift on the sphere. η² of one attribute may be another's that goes with it; p is corrected for
the components, not for the number of attributes or probes. Intervals hold what was fitted fixed and
come out a little short: in 300 simulated sets of 100 people in 10 dimensions, 95 % ones of accuracy
held its mean in 89–91 %, of shift and rotation in 90–93 %, of energy distance in 93 %; with 300 people
accuracy in 92–95 %. Near chance believe p. People and images are a sample where there are many.

References
----------
.. [1] Székely, G. J. and Rizzo, M. L. Energy statistics: a class of statistics based on distances.
   Journal of Statistical Planning and Inference 143(8), 2013.
.. [2] Schönemann, P. H. A generalized solution of the orthogonal Procrustes problem. Psychometrika
   31(1), 1966.
.. [3] Howard, J. J., Sirotin, Y. B., Tipton, J. L. and Vemury, A. R. Quantifying the extent to which
   race and gender features determine identity in commercial face recognition algorithms. DHS S&T
   Technical Paper Series, 2021.
.. [4] Phipson, B. and Smyth, G. K. Permutation P-values should never be zero. Statistical Applications
   in Genetics and Molecular Biology 9(1), 2010.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Bars, BarSeries, Chart, Heatmap, Histogram
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, Place, bars, compared, undrawn
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.linear.span import within_span
from embedlab.maths.pairs.moments import Drawn, mean
from embedlab.maths.people.bootstrap import weighted_mean
from embedlab.maths.people.folds import identity_folds
from embedlab.maths.people.permutation import p_value
from embedlab.maths.space.displacement import chance_map, chance_shift, residuals
from embedlab.maths.space.energy import between_people
from embedlab.maths.space.readout import held_out
from embedlab.maths.space.variance import Shuffle, Units, dealt_out, versions_changed
from embedlab.maths.turns import some_by_name
from embedlab.progress import track

FEWEST_PEOPLE = 4
FEWEST_VALUES, MOST_VALUES = 2, 20
SURE = 0.05
BINS = 40
ACCURACY, ENERGY, ENERGY_SHARE = "held-out accuracy", "energy distance", "energy distance as a share"
DISPLACEMENT, SCALE = "mean displacement", "scale of the fitted map"
PARTS = ("common shift", "rotation and scale", "the image's own")
ETA = "largest η² of a component"
P_OF = {what: f"p of {what}" for what in (ACCURACY, ENERGY, *PARTS, ETA)}
RESOLUTION = "resolution"


@dataclass(frozen=True)
class SeparabilityParams(Params):
    """Knobs of the separability analysis."""

    people: int = bounded(500, least=FEWEST_PEOPLE)
    """How many people to draw, where there are more."""
    images: int = bounded(4, least=1)
    """How many images of each person to draw, where there are more."""
    folds: int = bounded(5, least=2)
    """How many folds of people the classifier and the split of the displacement are judged on."""
    components: int = bounded(10, least=1)
    """How many principal components η² is given for."""
    permutations: int = bounded(999, least=1)
    """How many permutations stand behind the p values of energy distance, common shift and η²."""
    refits: int = bounded(39, least=1)
    """How many stand behind those for which a classifier or a rotation is fitted again each time."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the draw, the folds, the permutations and the resamples."""


@dataclass(frozen=True)
class Separability(Result):
    """How the other probes of one model differ from its first, and what explains its components."""

    people: int = field(metadata={"label": "people drawn"})
    all_people: int = field(metadata={"label": "people in all"})
    images: int = field(metadata={"label": "images of each probe"})
    dropped: int = field(metadata={"label": "images not in every probe, left out"})
    seed: int = field(metadata={"hidden": True})
    reference: str = field(metadata={"hidden": True})
    probes: tuple[str, ...]
    estimates: Estimates
    p_values: Mapping[Place, float]
    left_out: str = field(metadata={"label": "attributes left out"})
    judged_people: int = field(metadata={"label": "people that η² is judged on"})
    attributes: tuple[str, ...]
    component_shares: Float[np.ndarray, " components"]
    eta: Float[np.ndarray, "attributes components"]
    eta_low: Float[np.ndarray, "attributes components"]
    eta_high: Float[np.ndarray, "attributes components"]
    eta_p: Float[np.ndarray, "attributes components"]
    log_odds_edges: Float[np.ndarray, "probes bins+1"]
    log_odds: Int[np.ndarray, "probes 2 bins"]

    def of(self, what: str, name: str) -> Estimate:
        """Give the estimate of a probe or an attribute."""
        return self.estimates[what, name]

    def p(self, what: str, name: str) -> float:
        """Give its p value."""
        return self.p_values[P_OF[what], name]


def compute(sets: Sequence[EmbeddingSet], params: SeparabilityParams) -> Separability:
    """Hold every other probe of a model against its first, on the images that all of them show.

    Raises
    ------
    UserError
        If there is one probe only, the probes share no image or fewer than four people, or all vectors
        are one.
    """
    _check(sets)
    sample = _drawn(sets, params)
    draws = _Draws.of(sample, params)
    held = {
        s.probe: _compare(sample.vectors[0], vectors, draws)
        for s, vectors in track(tuple(zip(sets[1:], sample.vectors[1:], strict=True)), "comparing probes")
    }
    explained, left_out, component_shares = _explained(sample, params)
    found = [(name, c.estimates, c.p_values) for name, c in held.items()]
    found += [(a.name, {ETA: a.estimate}, {ETA: float(np.nanmin(a.p))}) for a in explained]
    histograms = [_histograms(c.log_odds) for c in held.values()]
    return Separability(
        title=sets[0].model,
        people=draws.people,
        all_people=sample.all_people,
        images=len(sample.owners),
        dropped=sample.dropped,
        seed=params.seed,
        reference=sets[0].probe,
        probes=tuple(held),
        estimates=Estimates({(k, name): one for name, numbers, _ in found for k, one in numbers.items()}),
        p_values={(P_OF[what], name): value for name, _, ps in found for what, value in ps.items()},
        left_out="; ".join(left_out) or "none",
        judged_people=explained[0].estimate.n,
        attributes=tuple(a.name for a in explained),
        component_shares=component_shares,
        eta=np.stack([a.eta for a in explained]),
        eta_low=np.stack([a.low for a in explained]),
        eta_high=np.stack([a.high for a in explained]),
        eta_p=np.stack([a.p for a in explained]),
        log_odds_edges=np.stack([edges for edges, _ in histograms]),
        log_odds=np.stack([counts for _, counts in histograms]),
    )


def _check(sets: Sequence[EmbeddingSet]) -> None:
    if len(sets) < 2:
        raise UserError(
            f"{sets[0].title} is the model's only probe, and there is nothing to tell it from: name a second "
            "one of the same images"
        )


@dataclass(frozen=True)
class _Sample:
    """The drawn images under every probe, sorted by person."""

    vectors: tuple[np.ndarray, ...]
    owners: np.ndarray
    items: np.ndarray
    attributes: Mapping[str, np.ndarray]
    varying: tuple[str, ...]
    all_people: int
    dropped: int


def _drawn(sets: Sequence[EmbeddingSet], params: SeparabilityParams) -> _Sample:
    """Draw people, and images of each, by name: the same ones for every model of the same images."""
    shared = reduce(lambda kept, other: aligned(kept, other).a, sets[1:], sets[0])
    people = len(shared.identities)
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{sets[0].model}: components are fitted on half of the people and judged on the others, and "
            f"only {people} are in every probe: give images of at least {FEWEST_PEOPLE}"
        )
    rng = np.random.default_rng([params.seed, 10])
    chosen = rng.permutation(people)[: params.people]
    rows = some_by_name(shared.items, shared.labels, params.images, rng)
    reference = shared.take(rows[np.isin(shared.labels[rows], chosen)])
    cut = (reference, *(aligned(reference, s).b for s in sets[1:]))
    same = {
        name: np.asarray(values)
        for name, values in reference.attributes.items()
        if all(name in s.attributes and _equal(values, s.attributes[name]) for s in cut)
    }
    return _Sample(
        vectors=tuple(s.unit.astype(np.float64) for s in cut),
        owners=reference.labels,
        items=reference.items,
        attributes=same,
        varying=tuple(sorted({name for s in cut for name in s.attributes} - set(same))),
        all_people=people,
        dropped=len(np.unique(np.concatenate([s.items for s in sets]))) - len(shared.items),
    )


def _equal(a: Any, b: Any) -> bool:
    return list(map(str, a)) == list(map(str, b))


@dataclass(frozen=True)
class _Draws:
    """What all comparisons share: resamples, folds, and who changes places in each permutation."""

    owners: np.ndarray
    drawn: People
    fold: np.ndarray
    signs: np.ndarray
    refits: np.ndarray

    @property
    def people(self) -> int:
        return len(self.fold)

    @classmethod
    def of(cls, sample: _Sample, params: SeparabilityParams) -> "_Draws":
        people = int(sample.owners.max()) + 1
        rng = np.random.default_rng([params.seed, 11])
        signs, refits = (
            rng.choice([-1.0, 1.0], size=(count, people)) for count in (params.permutations, params.refits)
        )
        return cls(
            owners=sample.owners,
            drawn=People.of(range(people), params, items=sample.items),
            fold=identity_folds(people, min(params.folds, people), params.seed),
            signs=signs,
            refits=refits,
        )


@dataclass
class _Comparison:
    """One probe held against the reference."""

    estimates: dict[str, Estimate]
    p_values: dict[str, float]
    log_odds: np.ndarray


def _compare(a: np.ndarray, b: np.ndarray, draws: _Draws) -> _Comparison:
    found = _read(a, b, draws)
    a, b = within_span(a, b)
    _measure_energy(found, a, b, draws)
    _split_displacement(found, a, b, draws)
    return found


def _read(a: np.ndarray, b: np.ndarray, draws: _Draws) -> _Comparison:
    """Tell the versions of each fold's images apart by a classifier of the other folds."""
    owners = draws.owners
    signs = np.concatenate([np.ones((1, draws.people)), draws.refits])
    log_odds, right = held_out(np.stack([a, b]), owners, draws.fold, signs)
    value, nulls = float(right[0].mean()), right[1:].mean(axis=1)
    drawn = Drawn(value, weighted_mean(right[0], owners, draws.drawn.counts))
    return _Comparison(
        estimates={ACCURACY: draws.drawn.estimate(drawn, draws.people, float(nulls.mean()), share=True)},
        p_values={ACCURACY: p_value(value, nulls)},
        log_odds=log_odds,
    )


def _histograms(log_odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give edges, and counts of shape (2, bins); what lies far out stands in the last bins."""
    limit = float(np.quantile(np.abs(log_odds), 0.99)) or 1.0
    edges = np.linspace(-limit, limit, BINS + 1)
    return edges, np.stack([np.histogram(np.clip(v, -limit, limit), edges)[0] for v in log_odds])


def _measure_energy(found: _Comparison, a: np.ndarray, b: np.ndarray, draws: _Draws) -> None:
    energy = between_people(a, b, draws.owners)
    every = np.ones((1, draws.people))
    nulls = energy.swapped(draws.signs)
    distance, share = energy.distance(every)[0], np.nan_to_num(energy.share(every)[0])
    null = float(nulls.mean())
    per_unit = share / distance if distance else 0.0
    for what, value, drawn, chance in (
        (ENERGY, distance, energy.distance(draws.drawn.counts), null),
        (ENERGY_SHARE, share, energy.share(draws.drawn.counts), null * per_unit),
    ):
        found.estimates[what] = draws.drawn.estimate(Drawn(float(value), drawn), draws.people, float(chance))
    found.p_values[ENERGY] = p_value(float(energy.swapped(every)[0]), nulls)


def _split_displacement(found: _Comparison, a: np.ndarray, b: np.ndarray, draws: _Draws) -> None:
    """Split the squared displacement of held-out images; nothing to split where none moves."""
    owners, people = draws.owners, draws.people
    moved = ((b - a) ** 2).sum(axis=1)
    lengths = mean(np.sqrt(moved), owners, draws.drawn.counts)
    found.estimates[DISPLACEMENT] = draws.drawn.estimate(lengths, people, 0.0)
    if not moved.any():
        return
    shifted, mapped, scale = residuals(a, b, draws.fold[owners])
    whole, total = weighted_mean(moved, owners, draws.drawn.counts), moved.sum()
    nulls = (
        chance_shift(b - a, owners, draws.fold, draws.signs) / total,
        chance_map(a, b, owners, draws.fold, draws.refits) / total,
        np.ones(1),
    )
    steps = (moved - shifted, shifted - mapped, mapped)
    for part, step, null in zip(PARTS, steps, nulls, strict=True):
        drawn = weighted_mean(step, owners, draws.drawn.counts)
        shares = np.divide(drawn, whole, out=np.full(len(whole), np.nan), where=whole > 0)
        value = float(step.sum() / total)
        found.estimates[part] = draws.drawn.estimate(Drawn(value, shares), people, float(null.mean()))
        if part in PARTS[:2]:
            found.p_values[part] = p_value(value, null)
    found.estimates[SCALE] = Estimate(scale, n=people, null=1.0)


@dataclass(frozen=True)
class _Explained:
    """η² of every component for one attribute, on people that the components were not fitted on."""

    name: str
    estimate: Estimate
    eta: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray


def _explained(sample: _Sample, params: SeparabilityParams) -> tuple[list[_Explained], list[str], np.ndarray]:
    """Fit components on half of the people, and explain the others' variance along them.

    Returns
    -------
    What each attribute explains, resolution first; the attributes left out, in words; and each
    component's share of the judged people's variance.
    """
    fold = identity_folds(int(sample.owners.max()) + 1, 2, params.seed)
    judged = (fold == 1)[sample.owners]
    joint = np.stack(sample.vectors)
    points, component_shares = _components(joint[:, ~judged], joint[:, judged], params.components)
    owners = np.unique(sample.owners[judged], return_inverse=True)[1]
    versions = len(points)
    found = [_by_version(points, owners, params)]
    left_out = [f"{name} (not the same in every probe)" for name in sample.varying]
    for name, column in sample.attributes.items():
        values = np.array(["" if _missing(v) else str(v) for v in column[judged]])
        there = values != ""
        kept, codes = np.unique(values[there], return_inverse=True)
        if not FEWEST_VALUES <= len(kept) <= MOST_VALUES:
            left_out.append(
                f"{name} ({len(kept):,} values among the people judged, not {FEWEST_VALUES} to {MOST_VALUES})"
            )
            continue
        whose = np.unique(owners[there], return_inverse=True)[1]
        mine = points[:, there]
        units = Units(whose, np.full(len(whose), float(versions)), mine.sum(axis=0), (mine**2).sum(axis=0))
        label = f"{name} (column)" if name == RESOLUTION else name
        found.append(_eta(label, units, codes, dealt_out(codes, whose), params))
    return found, left_out, component_shares


def _missing(value: Any) -> bool:
    return value is None or bool(value != value) or str(value) == ""


def _components(fitted: np.ndarray, judged: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Project held-out vectors on the fitted components, and give the share of variance of each."""
    d = fitted.shape[2]
    flat, others = within_span(fitted.reshape(-1, d), judged.reshape(-1, d))
    judged = others.reshape(*judged.shape[:2], -1)
    centre = flat.mean(axis=0)
    variances, directions = np.linalg.eigh((flat - centre).T @ (flat - centre))
    axes = directions[:, variances > max(variances[-1], 1e-12) * 1e-9][:, ::-1][:, :most]
    points = (judged - centre) @ axes
    whole = ((judged - judged.mean(axis=(0, 1))) ** 2).sum()
    if not axes.size or whole <= 1e-12:
        raise UserError("all drawn images have one vector under every probe: check the vectors")
    return points, ((points - points.mean(axis=(0, 1))) ** 2).sum(axis=(0, 1)) / whole


def _by_version(points: np.ndarray, owners: np.ndarray, params: SeparabilityParams) -> _Explained:
    """Group the points by probe; a person's images under one probe stay together."""
    versions, people = len(points), int(owners.max()) + 1
    sums = np.zeros((2, versions, people, points.shape[2]))
    for k, version in enumerate(points):
        np.add.at(sums[0, k], owners, version)
        np.add.at(sums[1, k], owners, version**2)
    units = Units(
        np.tile(np.arange(people), versions),
        np.tile(np.bincount(owners), versions).astype(float),
        *sums.reshape(2, versions * people, -1),
    )
    codes = np.repeat(np.arange(versions), people)
    return _eta(RESOLUTION, units, codes, versions_changed(versions, people), params)


def _eta(
    name: str, units: Units, codes: np.ndarray, shuffle: Shuffle, params: SeparabilityParams
) -> _Explained:
    value = units.eta_squared(codes)
    people = People.of(range(units.people), params)
    drawn = units.resampled(codes, people.counts)
    if units.people < 2:
        drawn = np.full_like(drawn, np.nan)
    rng = np.random.default_rng([params.seed, 12])
    best_by_chance = units.by_chance(shuffle, params.permutations, rng).max(axis=1)
    null = float(best_by_chance.mean())
    found = [
        undrawn(people.estimate(Drawn(float(one), draws), units.people, null))
        for one, draws in zip(value, drawn.T, strict=True)
    ]
    return _Explained(
        name=name,
        estimate=found[int(value.argmax())],
        eta=value,
        low=np.array([one.low for one in found], dtype=float),
        high=np.array([one.high for one in found], dtype=float),
        p=np.array([p_value(one, best_by_chance) for one in value]),
    )


def charts(results: Sequence[Separability]) -> list[Chart]:
    """Readability over probes; a model, the split of the displacement, η² and the hardest cut."""
    names = tuple(dict.fromkeys(name for r in results for name in r.probes))
    drawn: list[Chart] = [
        Bars(
            title=f"Telling a probe from {' or '.join(dict.fromkeys(r.reference for r in results))} linearly",
            ylabel="held-out accuracy",
            categories=names,
            series=bars({r.title: r.estimates for r in results}, ACCURACY, [(name,) for name in names]),
            nulls={
                n: float(np.mean([r.of(ACCURACY, n).null or 0.0 for r in results if n in r.probes]))
                for n in names
            },
            note="Mark: versions named at random. "
            + " ".join(
                dict.fromkeys(
                    f"{r.people:,} of {r.all_people:,} people, seed {r.seed}; {r.images:,} images."
                    for r in results
                )
            ),
        )
    ]
    for r in results:
        if moved := _movers(r):
            drawn.append(
                Bars(
                    title=f"What displacement from {r.reference} is made of in {r.title}",
                    ylabel="share of the mean squared displacement",
                    categories=moved,
                    series=(*(_bars(part, r, moved) for part in PARTS), _chance(r, moved)),
                    note="On people not fitted on; below zero a step does harm. By chance: where versions "
                    f"change places at random. There a shift takes {_shift_by_chance(r)}.",
                )
            )
        drawn += [_eta_chart(r), _cut_chart(r)]
    return drawn


def _bars(part: str, r: Separability, names: Sequence[str]) -> BarSeries:
    return BarSeries(part, *r.estimates.row(part, [(name,) for name in names]))


def _movers(r: Separability) -> tuple[str, ...]:
    """Give the probes under which anything moves."""
    return tuple(name for (name,) in r.estimates.places(PARTS[0]))


def _chance(r: Separability, names: Sequence[str]) -> BarSeries:
    nulls = np.array([r.of(PARTS[1], name).null for name in names], float)
    return BarSeries(f"{PARTS[1]} by chance", nulls, role="null")


def _shift_by_chance(r: Separability) -> str:
    nulls = [r.of(PARTS[0], name).null or 0.0 for name in _movers(r)]
    low, high = f"{min(nulls):.1%}", f"{max(nulls):.1%}"
    return low if low == high else f"{low} to {high}"


def _eta_chart(r: Separability) -> Heatmap:
    marked = zip(r.eta.T, r.eta_p.T, strict=True)
    text = [[f"{v:.1%} *" if p <= SURE else f"{v:.1%}" for v, p in zip(*row, strict=True)] for row in marked]
    return Heatmap(
        title=f"What explains the principal components of {r.title}",
        xlabels=r.attributes,
        ylabels=tuple(f"PC {k + 1} ({share:.1%})" for k, share in enumerate(r.component_shares)),
        values=r.eta.T,
        text=np.array(text),
        ylabel="component (its share of variance)",
        colour_label="η²",
        note=f"{r.judged_people:,} people, none of them among those that the components were fitted on. "
        f"* p ≤ {SURE} over {len(r.component_shares)} components. Attributes left out: {r.left_out}.",
    )


def _cut_chart(r: Separability) -> Histogram:
    name = _hardest(r)
    place = r.probes.index(name)
    reference, other = r.log_odds[place]
    return Histogram(
        title=f"The cut between {r.reference} and {name} in {r.title}",
        xlabel=f"held-out log odds of {name}",
        edges=r.log_odds_edges[place],
        series={r.reference: reference, name: other},
        lines={"cut": 0.0},
        note=f"{_of_several(r, 'The hardest to tell')}What lies beyond the axis stands in its last bin.",
    )


def _of_several(r: Separability, what: str) -> str:
    return f"{what} of {len(r.probes)} probes. " if len(r.probes) > 1 else ""


def _hardest(r: Separability) -> str:
    return min(r.probes, key=lambda name: r.of(ACCURACY, name).value)


def findings(results: Sequence[Separability]) -> list[Finding]:
    """Say how well resolution is read, how far versions lie apart and how, and what it explains."""
    said = []
    for r in results:
        said += [_reading(r), _moving(r), _explaining(r), *_attribute(r)]
    for a, b in combinations(results, 2):
        if a.reference == b.reference and set(a.probes) & set(b.probes):
            said += _differences(a, b)
    return said


def _doubt(p: float) -> str:
    return ", which may be chance" if p > SURE else ""


def _among(r: Separability, what: str) -> str:
    return f", {what} of {len(r.probes)} probes," if len(r.probes) > 1 else ""


def _reading(r: Separability) -> Finding:
    name = _hardest(r)
    accuracy, energy, p = r.of(ACCURACY, name), r.of(ENERGY_SHARE, name), r.p(ACCURACY, name)
    return Finding(
        f"From vectors of people it was not fitted on, a linear classifier tells {r.reference} from {name}"
        f"{_among(r, 'the hardest')} in {accuracy:.1%} of images in {r.title} ({accuracy.null or 0.0:.1%} by "
        f"chance, p = {p:.3f}{_doubt(p)}); their energy distance is {energy:.1%} of the distance between the "
        f"clouds (p = {r.p(ENERGY, name):.3f}{_doubt(r.p(ENERGY, name))})."
    )


def _moving(r: Separability) -> Finding:
    name = max(r.probes, key=lambda name: r.of(DISPLACEMENT, name).value)
    if name not in _movers(r):
        return Finding(f"In {r.title} no image has another vector under {name} than under {r.reference}.")
    shift, turn, own = (r.of(part, name) for part in PARTS)
    shift_p, turn_p = (r.p(part, name) for part in PARTS[:2])
    text = (
        f"Of an image's squared displacement from {r.reference} to {name}{_among(r, 'the furthest')} in "
        f"{r.title}, {shift:.1%} is a shift common to all (p = {shift_p:.3f}{_doubt(shift_p)})"
    )
    if turn.value <= 0:
        return Finding(
            f"{text}; a rotation and change of scale fitted on other people explains no more of it (its "
            f"held-out share is {turn:.1%})."
        )
    return Finding(
        f"{text}, {turn:.1%} a rotation and change of scale ({turn.null or 0.0:.1%} where versions change "
        f"places at random, p = {turn_p:.3f}{_doubt(turn_p)}) and {own:.1%} its own, on people not fitted on."
    )


def _explaining(r: Separability) -> Finding:
    best, p = int(r.eta[0].argmax()), r.p(ETA, RESOLUTION)
    found, share = r.of(ETA, RESOLUTION), r.component_shares[best]
    return Finding(
        f"Resolution explains {found:.1%} of the variance of PC {best + 1} of {r.title}, the most of "
        f"{len(r.component_shares)} components ({found.null or 0.0:.1%} by chance, p = {p:.3f}{_doubt(p)}); "
        f"that component carries {share:.0%} of the variance of people not fitted on."
    )


def _attribute(r: Separability) -> list[Finding]:
    if len(r.attributes) < 2:
        return []
    row = 1 + int(r.eta[1:].max(axis=1).argmax())
    name, best = r.attributes[row], int(r.eta[row].argmax())
    found, p = r.of(ETA, name), r.p(ETA, name)
    others = len(r.attributes) - 1
    return [
        Finding(
            f"{'The attribute' if others == 1 else f'Of {others} attributes,'} {name} explains "
            f"{'at most' if others == 1 else 'the most of one component,'} {found:.1%} of the variance of PC "
            f"{best + 1}, in {r.title} ({found.null or 0.0:.1%} by chance, p = {p:.3f}{_doubt(p)})."
        )
    ]


def _differences(a: Separability, b: Separability) -> list[Finding]:
    """Compare two models: how readable the probe hardest to tell is, and what moves the furthest one."""
    shared = [name for name in a.probes if name in b.probes]
    hardest = min(shared, key=lambda name: a.of(ACCURACY, name).value + b.of(ACCURACY, name).value)
    lead = f"A linear classifier tells {hardest} from {a.reference} in"
    said = [_compared(lead, "images", a, b, ACCURACY, hardest)]
    moved = [name for name in _movers(a) if name in _movers(b)]
    if moved:
        far = max(moved, key=lambda name: a.of(DISPLACEMENT, name).value + b.of(DISPLACEMENT, name).value)
        whole = f"the displacement from {a.reference} to {far}"
        said.append(_compared("A shift common to all is", whole, a, b, PARTS[0], far))
    return said


def _compared(lead: str, whole: str, a: Separability, b: Separability, what: str, name: str) -> Finding:
    more, less = sorted((a, b), key=lambda r: -r.of(what, name).value)
    one, other = more.of(what, name), less.of(what, name)
    text = f"{lead} {one.value:.1%} of {whole} in {more.title} and {other.value:.1%} in {less.title}"
    return compared(text, one, other, tones=("plain", "plain"))


ANALYSIS = Analysis(
    question="How far apart do sharp and blurred versions of a face live, and in what sense?",
    over="model",
    params=SeparabilityParams(),
    result=Separability,
    compute=compute,
    charts=charts,
    findings=findings,
)
