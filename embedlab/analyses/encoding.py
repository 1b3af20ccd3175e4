"""Encoding: which principal components hold the resolution, or an attribute of the faces.

Principal components [1]_ of the unit vectors of all images that every probe shows, taken jointly, are
fitted on one half of the people. *η²* = 1 − (sum of squares within groups)/(total) is the share of the
others' variance along a component that the probe, or an attribute, explains: the clustering index of [2]_;
1 where it explains all. The literature also prints within/total under that name, the other way round.

Its null are permutations: the versions of a person's images change places together; an attribute's values
are dealt out to other people. p is the share of permutations, the measured one included, of which the best
component does as well [3]_, which corrects for the number of components. Intervals are 95 % percentile
intervals of a bootstrap over the people judged; the components stay as they are.

How to read it
--------------
Where the probe explains most of a leading component, blur is one of the strongest differences that the
model sees. Where it explains none, sharp and blurred images are spread alike. Beside each component stands
the share of the variance that it carries: all of a thin one is little.

Limits
------
Components are those of largest variance, not those that tell people or probes apart best: what none of them
holds may still be read along another direction, see separability. Every image counts, so people with many
images rule. η² of one attribute may be another's that goes with it; p is corrected for the components, not
for the number of attributes or probes.

References
----------
.. [1] Jolliffe, I. T. and Cadima, J. Principal component analysis: a review and recent developments.
   Philosophical Transactions of the Royal Society A 374, 2016.
.. [2] Howard, J. J., Sirotin, Y. B., Tipton, J. L. and Vemury, A. R. Quantifying the extent to which race
   and gender features determine identity in commercial face recognition algorithms. DHS S&T Technical Paper
   Series, 2021.
.. [3] Phipson, B. and Smyth, G. K. Permutation P-values should never be zero. Statistical Applications in
   Genetics and Molecular Biology 9(1), 2010.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Chart, Heatmap
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, Place, claim, undrawn
from embedlab.lab.embeddings import EmbeddingSet, shared_by
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.folds import identity_folds
from embedlab.maths.people.permutation import p_value
from embedlab.maths.space.components import principal
from embedlab.maths.space.variance import Shuffle, Units, dealt_out, versions_changed
from embedlab.maths.sums import by_person
from embedlab.progress import busy

FEWEST_PEOPLE = 4
FEWEST_VALUES, MOST_VALUES = 2, 20
SURE = 0.05
ETA, P, PROBE = "largest η² of a component", "p of the largest η²", "probe"


@dataclass(frozen=True)
class EncodingParams(Params):
    """Knobs of the encoding analysis."""

    components: int = bounded(10, least=1)
    """How many principal components η² is given for."""
    permutations: int = bounded(999, least=1)
    """How many permutations stand behind each p."""
    resamples: int = bounded(1000, least=2)
    """How many bootstrap resamples of people stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of the halves, the permutations and the resamples."""


@dataclass(frozen=True)
class Encoding(Result):
    """What explains a model's components, the probe first where there are several."""

    fitted_people: int = field(metadata={"label": "people fitted on"})
    people: int = field(metadata={"label": "people judged"})
    images: int = field(metadata={"label": "images of each probe"})
    estimates: Estimates
    p_values: Mapping[Place, float]
    left_out: str = field(metadata={"label": "attributes left out"})
    permutations: int = field(metadata={"hidden": True})
    attributes: tuple[str, ...]
    component_shares: Float[np.ndarray, " components"]
    eta: Float[np.ndarray, "attributes components"]
    eta_p: Float[np.ndarray, "attributes components"]


def compute(sets: Sequence[EmbeddingSet], params: EncodingParams) -> Encoding:
    """Fit components on half the people of all probes, and explain the variance of the others along them.

    Raises
    ------
    UserError
        If the probes share no image or fewer than four people, all vectors are one, or there is neither a
        second probe nor an attribute of some values.
    """
    cut, _ = shared_by(sets)
    shared, model, people = cut[0], sets[0].model, len(cut[0].identities)
    if people < FEWEST_PEOPLE:
        raise UserError(
            f"{model}: components are fitted on half of the people and judged on the others, and only "
            f"{people} are in every probe: give images of at least {FEWEST_PEOPLE}"
        )
    vectors, judged = np.stack([s.unit for s in cut]), identity_folds(people, 2, params.seed) == 1
    rows = judged[shared.labels]
    points, component_shares = _projected(vectors[:, ~rows], vectors[:, rows], model, params.components)
    explained, left_out = _explained(points, cut, rows, params)
    if not explained:
        raise UserError(
            f"{model}: there is nothing to explain components by: name a second probe, or give attributes of "
            f"{FEWEST_VALUES} to {MOST_VALUES} values (left out: {'; '.join(left_out) or 'none'})"
        )
    return Encoding(
        title=model,
        fitted_people=people - int(judged.sum()),
        people=int(judged.sum()),
        images=len(shared.items),
        estimates=Estimates({(ETA, name): one.best for name, one in explained.items()}),
        p_values={(P, name): float(np.nanmin(one.p)) for name, one in explained.items()},
        left_out="; ".join(left_out) or "none",
        permutations=params.permutations,
        attributes=tuple(explained),
        component_shares=component_shares,
        eta=np.stack([one.eta for one in explained.values()]),
        eta_p=np.stack([one.p for one in explained.values()]),
    )


def _projected(
    fitted: np.ndarray, judged: np.ndarray, model: str, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Project held-out vectors on the fitted components, and give the share of variance of each."""
    d = fitted.shape[2]
    with busy(f"principal components of {fitted[..., 0].size:,} images"):
        found = principal(fitted.reshape(-1, d), np.concatenate([fitted, judged], axis=1).reshape(-1, d))
    wide = found.variances > max(found.variances[0], 1e-12) * 1e-9
    points = np.stack([found.project(version, min(most, int(wide.sum()))) for version in judged])
    whole = ((judged - judged.mean(axis=(0, 1))) ** 2).sum(dtype=np.float64)
    if not points.size or whole <= 1e-12:
        raise UserError(f"{model}: all images have one vector under every probe: check the vectors")
    return points, ((points - points.mean(axis=(0, 1))) ** 2).sum(axis=(0, 1)) / whole


@dataclass(frozen=True)
class _Explained:
    """η² of every component for one attribute."""

    best: Estimate
    eta: np.ndarray
    p: np.ndarray


def _explained(
    points: np.ndarray, cut: Sequence[EmbeddingSet], rows: np.ndarray, params: EncodingParams
) -> tuple[dict[str, _Explained], list[str]]:
    """Give what each attribute explains, the probe first; and the attributes left out, in words."""
    owners, versions = np.unique(cut[0].labels[rows], return_inverse=True)[1], len(points)
    explained = {PROBE: _by_probe(points, owners, params)} if versions > 1 else {}
    left_out = []
    for name in dict.fromkeys(name for s in cut for name in s.attributes):
        columns = [list(map(str, s.attributes[name])) for s in cut if name in s.attributes]
        if len(columns) < len(cut) or any(column != columns[0] for column in columns):
            left_out.append(f"{name} (not the same in every probe)")
            continue
        values = np.array(["" if _missing(v) else str(v) for v in np.asarray(cut[0].attributes[name])[rows]])
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
        called = f"{name} (column)" if name == PROBE else name
        explained[called] = _eta(units, codes, dealt_out(codes, whose), params)
    return explained, left_out


def _missing(value: Any) -> bool:
    return value is None or bool(value != value) or str(value) == ""


def _by_probe(points: np.ndarray, owners: np.ndarray, params: EncodingParams) -> _Explained:
    """Group the points by probe; a person's images under one probe stay together."""
    versions, people = len(points), int(owners.max()) + 1
    sums = np.array([[by_person(one, owners) for one in points**power] for power in (1, 2)])
    units = Units(
        np.tile(np.arange(people), versions),
        np.tile(np.bincount(owners), versions).astype(float),
        *sums.reshape(2, versions * people, -1),
    )
    return _eta(units, np.repeat(np.arange(versions), people), versions_changed(versions, people), params)


def _eta(units: Units, codes: np.ndarray, shuffle: Shuffle, params: EncodingParams) -> _Explained:
    value = units.eta_squared(codes)
    best = int(value.argmax())
    people = People.of(range(units.people), params)
    drawn = units.resampled(codes, people.counts)[:, best]
    drawn = drawn if units.people > 1 else np.full_like(drawn, np.nan)
    by_chance = units.by_chance(shuffle, params.permutations, np.random.default_rng([params.seed, 12])).max(
        axis=1
    )
    estimate = people.estimate(Drawn(float(value[best]), drawn), units.people, float(by_chance.mean()))
    return _Explained(undrawn(estimate), value, np.array([p_value(one, by_chance) for one in value]))


def charts(results: Sequence[Encoding]) -> list[Chart]:
    """Show what explains each model's components, in colours of one span."""
    most = max(float(r.eta.max()) for r in results) or 1.0
    return [_eta_chart(r, most) for r in results]


def _eta_chart(r: Encoding, most: float) -> Heatmap:
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
        span=(0.0, most),
        note=f"{r.people:,} people not fitted on. * p ≤ {SURE} over {len(r.component_shares)} components. "
        f"Attributes left out: {r.left_out}.",
    )


def findings(results: Sequence[Encoding]) -> list[Finding]:
    """Say which component the probe explains, and the attribute that explains the most."""
    said = []
    for r in results:
        others = [name for name in r.attributes if name != PROBE]
        names = [name for name in r.attributes if name == PROBE]
        names += [max(others, key=lambda name: r.estimates[ETA, name].value)] if others else []
        said += [_explaining(r, name) for name in names]
    return said


def _explaining(r: Encoding, name: str) -> Finding:
    found, p, best = (
        r.estimates[ETA, name],
        r.p_values[P, name],
        int(r.eta[r.attributes.index(name)].argmax()),
    )
    what = "Resolution" if name == PROBE else f"The attribute {name}"
    chance = f"{found.null or 0.0:.1%} by chance, p = {p:.3f}"
    return claim(
        f"{what} explains at most {found:.1%} of a leading component of {r.title}, of number {best + 1} with "
        f"{r.component_shares[best]:.0%} of the variance ({chance}).",
        f"{what} is not found to explain a leading component of {r.title} ({found.value:.1%} at most, "
        f"{chance}).",
        p,
        least_p=1 / (1 + r.permutations),
    )


ANALYSIS = Analysis(
    question="Which principal components hold the resolution, or an attribute of the faces?",
    over="model",
    params=EncodingParams(),
    result=Encoding,
    compute=compute,
    charts=charts,
    findings=findings,
)
