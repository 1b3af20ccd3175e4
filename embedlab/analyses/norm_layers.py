"""Norm layers: whether two networks' norm layers have seen the same, once it is known which channel is which.

Channels of the second network are matched to the first's by their weights, as in the analysis ``layers``
[1]_. Then each norm layer's running statistics are compared: the mean over channels of |difference of the
running means| in units of the common standard deviation, and of |ln ratio of the running variances|.

How to read it
--------------
0 is the same. The null is the mean over shuffles of the second's channels: a norm layer is called nearer if
few shuffles are as near [2]_, corrected for the number of norm layers.

Limits
------
The matching chooses channels by weights that norm statistics depend on, which flatters the drift. Only norm
layers of which it is known whose channels they norm are compared. Intervals are a bootstrap over channels
with the matching as it is, and hold for these two trainings. Models that come as ONNX or as embeddings have
no weights to read and are left out.

References
----------
.. [1] Ainsworth, S. K., Hayase, J. and Srinivasa, S. Git Re-Basin: merging models modulo permutation
   symmetries. ICLR 2023.
.. [2] Phipson, B. and Smyth, G. K. Permutation P-values should never be zero. Statistical Applications
   in Genetics and Molecular Biology 9(1), 2010.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, claim
from embedlab.lab.weights import LayerWeights, shared_layers
from embedlab.maths.kernels.channel_matching import match
from embedlab.maths.kernels.layer_distance import norm_drift
from embedlab.maths.people.permutation import holm
from embedlab.progress import busy, track

TEST = 0.05
SHOWN_PAIRS = 2
MEAN, VARIANCE = "drift of the running mean", "drift of the running variance"
DRIFTS: tuple[tuple[str, str, Literal["dash", "dot"]], ...] = (
    (MEAN, "mean", "dash"),
    (VARIANCE, "variance", "dot"),
)


@dataclass(frozen=True)
class NormLayerParams(Params):
    """Knobs of the comparison of norm layers."""

    restarts: int = bounded(2, least=1)
    """How many starts the search for the matching gets."""
    shuffles: int = bounded(4999, least=1)
    """How many shuffles of the channels are the null."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of channels stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of everything that is drawn."""


@dataclass(frozen=True)
class Norms(Result):
    """How far two networks' norm layers are apart, by layer; null: shuffled channels.

    Attributes
    ----------
    estimates
        The drift of means and variances, by norm layer.
    p_values
        Of the two drifts of each norm layer, corrected for the number of layers.
    """

    estimates: Estimates
    shuffles: int = field(metadata={"hidden": True})
    layers: tuple[str, ...]
    p_values: Float[np.ndarray, "layers 2"]


def compute(a: LayerWeights, b: LayerWeights, params: NormLayerParams) -> Norms:
    """Match two networks' channels, and compare the running statistics of their norm layers.

    Raises
    ------
    UserError
        If they share no layer of one name and shape, or no norm layer whose channels are known.
    """
    shared_layers(a, b)
    with busy("matching channels"):
        other = match(a, b, seed=params.seed, restarts=params.restarts).apply(b)
    found, p_values = Estimates(), []
    for k, (name, own) in enumerate(track(a.norms.items(), "drift of norm layers", len(a.norms))):
        theirs = other.norms.get(name, {})
        if not {"running_mean", "running_var"} <= set(own) & set(theirs):
            continue
        if own["running_mean"].shape != theirs["running_mean"].shape:
            continue
        drift = norm_drift(
            own, theirs, shuffles=params.shuffles, replicates=params.resamples, seed=params.seed + k
        )
        if drift.mean is None or drift.variance is None:
            continue
        for what, one in ((MEAN, drift.mean), (VARIANCE, drift.variance)):
            found[what, name] = Estimate(one.value, one.low, one.high, drift.channels, one.null)
        p_values.append([drift.mean.p_value, drift.variance.p_value])
    if not p_values:
        raise UserError(
            f"{a.model} and {b.model} share no norm layer whose channels are known, as they are in "
            "networks of the backbones that embedlab builds: leave norm_layers out"
        )
    return Norms(
        title=f"{a.model} and {b.model}",
        estimates=found,
        shuffles=params.shuffles,
        layers=tuple(name for (name,) in found.places(MEAN)),
        p_values=np.stack([holm(column) for column in np.array(p_values).T], axis=1),
    )


def charts(results: Sequence[Norms]) -> list[Chart]:
    """Draw the drift by norm layer of the first pairs."""
    return [chart for r in results[:SHOWN_PAIRS] for chart in (_chart(r), _table(r))]


def _chart(r: Norms) -> Curves:
    places, x, curves = [(name,) for name in r.layers], np.arange(1, len(r.layers) + 1), []
    for what, name, dash in DRIFTS:
        curves.append(Curve(name, x, *r.estimates.row(what, places), markers=True))
        null = np.array([r.estimates[what, *place].null for place in places], np.float64)
        curves.append(Curve(f"{name}, shuffled channels (null)", x, null, dash=dash, role="null"))
    return Curves(
        title=f"Drift of the norm layers of {r.title}",
        xlabel="norm layer, from the image on",
        ylabel="mean over channels",
        curves=tuple(curves),
        note="Mean: |difference of the running means| in common standard deviations. Variance: |ln ratio of "
        "the running variances|. Bands: 95 % over channels.",
    )


def _table(r: Norms) -> Table:
    rows = []
    for name, p_values in zip(r.layers, r.p_values, strict=True):
        both = (r.estimates[what, name] for what in (MEAN, VARIANCE))
        cells = [
            (e, Cell(e.null, f"{e.null:.3f}"), Cell(p, f"{p:.2g}"))
            for e, p in zip(both, p_values, strict=True)
        ]
        rows.append((name, *cells[0], *cells[1]))
    return Table(
        title=f"Norm layers of {r.title}",
        columns=("layer", "mean", "shuffled", "p", "variance", "shuffled ", "p "),
        rows=tuple(rows),
        note=f"p: the share of channel shuffles as near, after Holm's correction for {len(r.layers)} layers.",
        folded=True,
    )


def findings(results: Sequence[Norms]) -> list[Finding]:
    """Say in how many norm layers the statistics of matched channels are nearer than chance makes them."""
    if len(results) > SHOWN_PAIRS:
        return [_of_all(results)]
    return [
        _of_one(r, f"running {what} of matched channels", r.p_values[:, k])
        for r in results
        for k, what in enumerate(("means", "variances"))
    ]


def _of_one(r: Norms, what: str, p_values: np.ndarray) -> Finding:
    count, end = (p_values <= TEST).sum(), "nearer than those of shuffled ones."
    return claim(
        f"In {count} of {len(p_values)} norm layers of {r.title}, {what} are {end}",
        f"In no norm layer of {r.title}, {what} are shown to be {end}",
        float(p_values.min()),
        least_p=len(p_values) / (1 + r.shuffles),
    )


def _of_all(results: Sequence[Norms]) -> Finding:
    shares = [(r.p_values <= TEST).any(axis=1).mean() for r in results]
    end, span = "running statistics of matched channels are", f"{min(shares):.0%} to {max(shares):.0%}"
    return claim(
        f"In {span} of a pair's norm layers, {end} nearer than those of shuffled ones.",
        f"In no pair's norm layers, {end} shown to be nearer than those of shuffled ones.",
        float(holm(np.array([min(1.0, 2 * r.p_values.min()) for r in results])).min()),
    )


ANALYSIS = Analysis(
    question="Have two networks' norm layers seen the same, once their channels are matched?",
    over="weight pair",
    params=NormLayerParams(),
    result=Norms,
    compute=compute,
    charts=charts,
    findings=findings,
)
