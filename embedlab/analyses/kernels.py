"""Kernels: whether two networks have the same first-layer filters, and the same sums of weights.

*Matching.* The second network's first-layer kernels are assigned to the first's, one to one, for the
largest sum of absolute correlations, so up to order and sign. The same is done with the second's own weights
in random places with random signs, and with its own kernels turned and mirrored at random. Both p values are
the share of these that correlate as much [1]_.

*Sums*, as the original study tabulated them: of all weights of a layer, and of all its weights min-max
scaled to 0..1. The latter is the layer's size times where zero lies between its extremes, plus the sum
over the range: it follows two weights, the smallest and the largest, and says nothing about the others.

How to read it
--------------
Tiles show kernels in the colours they respond to: grey is zero, and one scale serves a whole network. Above
random places: the networks share something, if only that their kernels are smooth. Above turned kernels:
they share filters, and not only kinds of filters. The null of a sum's difference is zero.

Of pairs that share nothing (weights normal, uniform or t₃, input channels of unequal length) 5 to 6 % are
called alike at 5 % by the first, 3 to 7 % by the second. A permuted copy that holds a quarter of the energy
is always found, of a tenth in 43 %, at 16 channels.

Limits
------
Intervals of sums are a bootstrap over output channels: they take channels for independent draws, and hold for
these trainings, not for others of the same recipe. Networks that started from one seed stay alike for that
alone. Models that come as ONNX or as embeddings have no weights to read and are left out.

References
----------
.. [1] Phipson, B. and Smyth, G. K. Permutation P-values should never be zero. Statistical Applications
   in Genetics and Molecular Biology 9(1), 2010.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table, Tile, Tiles
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, claim, undrawn
from embedlab.lab.weights import LayerWeights, shared_layers
from embedlab.maths.kernels.first_layers import (
    first_layer_match,
    matched_in_other_places,
    matched_turned,
    pictures,
)
from embedlab.maths.kernels.layer_distance import FEWEST
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.permutation import holm, p_value, told

TEST = 0.05
SHOWN_MODELS, SHOWN_PAIRS, SHOWN_TILES, COLUMNS = 8, 2, 64, 8
NETWORKS = ("first network", "second network")
DIFFERENCE = "difference"
NULLS = ("weights in random places", "kernels turned and mirrored at random")
CORRELATION = "mean |r| of matched first-layer kernels"
SUM, SCALED, ZERO = "sum", "scaled sum", "size × place of zero"


@dataclass(frozen=True)
class KernelParams(Params):
    """Knobs of the kernel comparison."""

    shuffles: int = bounded(999, least=19)
    """How many arrangements of the second network's own kernels make each null of the matching."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of output channels stand behind the interval of a difference of sums."""
    seed: int = bounded(0, least=0)
    """Seed of everything that is drawn."""


@dataclass(frozen=True)
class Kernels(Result):
    """Two networks' kernels.

    Attributes
    ----------
    estimates
        The mean correlation of matched kernels, where they can be matched; null: weights in random places.
    places_p, turned, turned_p
        Its p value against these; and what turned kernels give, with the p value against them.
    by_layer
        Of each layer in each network the sum, the scaled one, and the layer's size times the place of zero
        between its extremes; and how far the sums are apart.
    order, r
        Matched kernels (of a, of b), best first, and their signed correlations.
    """

    a: str = field(metadata={"hidden": True})
    b: str = field(metadata={"hidden": True})
    estimates: Estimates
    places_p: float = field(metadata={"hidden": True})
    turned: float = field(metadata={"hidden": True})
    turned_p: float = field(metadata={"hidden": True})
    by_layer: Estimates = field(metadata={"hidden": True})
    shuffles: int = field(metadata={"hidden": True})
    first_a: Float[np.ndarray, "o i h w"]
    first_b: Float[np.ndarray, "p j v u"]
    order: Int[np.ndarray, "matched 2"]
    r: Float[np.ndarray, " matched"]
    layers: tuple[str, ...]

    @property
    def models(self) -> tuple[str, str]:
        """The two networks' names."""
        return self.a, self.b

    @property
    def correlation(self) -> Estimate | None:
        """How alike matched first-layer kernels are; None where they cannot be matched."""
        return self.estimates.at(CORRELATION, ())

    def along(self, what: str, k: int) -> np.ndarray:
        """Give one figure of a network's layers; NaN for what there is not."""
        return self.by_layer.row(what, [(name, NETWORKS[k]) for name in self.layers])[0]


def compute(a: LayerWeights, b: LayerWeights, params: KernelParams) -> Kernels:
    """Match two networks' first-layer kernels, beside rearranged ones, and sum the weights of their layers.

    Raises
    ------
    UserError
        If a network has no convolution, or they share no layer of one name and shape.
    """
    for weights in (a, b):
        if not weights.layers:
            raise UserError(
                f"{weights.model} has no convolution kernels to compare: leave it out of this analysis"
            )
    shared = shared_layers(a, b)
    firsts = [next(iter(weights.layers.values())).astype(np.float64) for weights in (a, b)]
    return Kernels(
        title=f"{a.model} and {b.model}",
        a=a.model,
        b=b.model,
        by_layer=_sums(a, b, shared, params),
        shuffles=params.shuffles,
        first_a=firsts[0],
        first_b=firsts[1],
        layers=tuple(shared),
        **_matches(firsts[0], firsts[1], params),
    )


def _matches(a: np.ndarray, b: np.ndarray, params: KernelParams) -> dict[str, Any]:
    """Match first-layer kernels, best pairs first, beside the second's in other arrangements."""
    if a.shape[1:] != b.shape[1:] or a[0, 0].size < 2:
        nothing = {"order": np.zeros((0, 2), np.int64), "r": np.zeros(0), "estimates": Estimates()}
        return nothing | {"places_p": 1.0, "turned": np.nan, "turned_p": 1.0}
    found = first_layer_match(a, b)
    rows = np.flatnonzero(found.order >= 0)
    rows = rows[np.argsort(-found.correlation[rows], kind="stable")]
    value = float(found.correlation[rows].mean())
    shuffled = matched_in_other_places(a, b, params.shuffles, params.seed)
    turned = matched_turned(a, b, params.shuffles, params.seed)
    return {
        "estimates": Estimates({(CORRELATION,): Estimate(value, n=len(rows), null=float(shuffled.mean()))}),
        "places_p": p_value(value, shuffled),
        "turned": float(turned.mean()),
        "turned_p": p_value(value, turned),
        "order": np.stack([rows, found.order[rows]], axis=1).astype(np.int64),
        "r": (found.sign * found.correlation)[rows],
    }


def _sums(a: LayerWeights, b: LayerWeights, names: Sequence[str], params: KernelParams) -> Estimates:
    """Sum each layer's weights, as they are and min-max scaled, and give the size times zero's place."""
    found = Estimates()
    for k, name in enumerate(names):
        both = [w.layers[name].astype(np.float64) for w in (a, b)]
        n = len(both[0])
        for network, values in zip(NETWORKS, both, strict=True):
            found[SUM, name, network] = Estimate(float(values.sum()), n=n)
            if (span := np.ptp(values)) > 0:
                scaled, zero = (values - values.min()).sum() / span, -values.size * values.min() / span
                found[SCALED, name, network] = Estimate(float(scaled), n=n)
                found[ZERO, name, network] = Estimate(float(zero), n=n)
        gaps = (both[0] - both[1]).reshape(n, -1).sum(axis=1)
        channels = People.of(range(n), replace(params, seed=params.seed + k))
        drawn = channels.counts @ gaps if n >= FEWEST else np.full(len(channels.counts), np.nan)
        found[SUM, name, DIFFERENCE] = undrawn(channels.estimate(Drawn(float(gaps.sum()), drawn), n, 0.0))
    return found


def charts(results: Sequence[Kernels]) -> list[Chart]:
    """Draw the first pairs' matched kernels and all networks' sums, and put all pairs into one table."""
    networks: dict[str, tuple[Kernels, int]] = {}
    for r in results:
        for k, model in enumerate(r.models):
            networks.setdefault(model, (r, k))
    shown = dict(list(networks.items())[:SHOWN_MODELS])
    more = f" {len(networks) - len(shown)} more networks are left out." if len(networks) > len(shown) else ""
    drawn: list[Chart] = [_matched_tiles(r) for r in results[:SHOWN_PAIRS] if len(r.r)]
    drawn += [_matches_table(results)] if any(r.correlation for r in results) else []
    return [*drawn, *_sum_charts(shown, more), *map(_layer_table, results[:SHOWN_PAIRS])]


def _matched_tiles(r: Kernels) -> Tiles:
    """Draw each kernel of the first network above its match in the second."""
    best, correlations = r.order[: SHOWN_TILES // 2], r.r[: SHOWN_TILES // 2]
    of_a, of_b = pictures(r.first_a), pictures(r.first_b)
    columns = min(COLUMNS, len(best))
    empty = Tile(np.full_like(of_a[0], 255) if of_a[0].ndim == 3 else np.full(of_a[0].shape, np.nan))
    tiles: list[Tile] = []
    for start in range(0, len(best), columns):
        some = slice(start, start + columns)
        tiles += [Tile(of_a[i], f"channel {i}") for i, _ in best[some]]
        tiles += [empty] * (columns - len(best[some]))
        pairs = zip(best[some], correlations[some], strict=True)
        tiles += [Tile(of_b[j], f"channel {j}: {v:+.2f}") for (_, j), v in pairs]
    cut = f" The best {len(best)} pairs of {len(r.r)} are shown." if len(best) < len(r.r) else ""
    return Tiles(
        title=f"First-layer kernels of {r.a}, each above its match in {r.b}",
        tiles=tuple(tiles),
        columns=columns,
        rows=tuple(model for _ in range(0, len(best), columns) for model in r.models),
        signed=r.first_a.shape[1] != 3,
        note="One to one, for the largest sum of |r|, Pearson's correlation over all weights of a kernel; "
        f"where r is negative, one is like the other's negative.{cut}",
    )


def _matches_table(results: Sequence[Kernels]) -> Table:
    return Table(
        title="First-layer kernels matched up to order and sign",
        columns=(
            *("pair", "kernels matched", "mean |r|", "random places", "p", "turned at random"),
            "p, turned",
        ),
        rows=tuple(
            (r.title, mean.n, *map(_cell, (mean.value, mean.null, r.places_p, r.turned, r.turned_p)))
            if (mean := r.correlation)
            else (r.title, *[None] * 6)
            for r in results
        ),
        note="Only kernels of one size, larger than 1×1, over the same channels can be correlated. The "
        f"smallest p possible with {results[0].shuffles:,} shuffles is {1 / (1 + results[0].shuffles):.2g}.",
    )


def _cell(value: float | None) -> Cell | None:
    return Cell(value, f"{value:.3f}") if value is not None and np.isfinite(value) else None


def _sum_charts(shown: Mapping[str, tuple[Kernels, int]], more: str) -> list[Chart]:
    """Draw the sums of the original study."""
    sums, scaled, off = [], [], []
    for model, (r, k) in shown.items():
        x = np.arange(1, len(r.layers) + 1)
        whole, zero = r.along(SCALED, k), r.along(ZERO, k)
        sums.append(Curve(model, x, r.along(SUM, k), model=model, markers=True))
        scaled.append(Curve(model, x, whole, model=model, markers=True))
        scaled.append(Curve(f"{model}: {ZERO}", x, zero, model=model, dash="dot"))
        off.append(np.abs(whole - zero) / whole)
    gaps = np.concatenate(off)
    gaps = gaps[np.isfinite(gaps)]
    agree = f" In half of these layers the two differ by {np.median(gaps):.1%} or less." if len(gaps) else ""
    note = (
        "As in the original study: with weights scaled to 0..1 a sum is the layer's size times where zero "
        "lies between the smallest and the largest (dotted), plus the sum over the range, and says nothing "
        f"about the other weights.{agree}{more}"
    )
    xlabel = "layer, from the image on"
    return [
        Curves(
            title="Sum of all weights by layer",
            xlabel=xlabel,
            ylabel="sum of weights",
            curves=tuple(sums),
            note=f"As in the original study; positive and negative weights cancel.{more}",
        ),
        Curves(
            title="Sum of all weights by layer, min-max scaled",
            xlabel=xlabel,
            ylabel="sum of scaled weights",
            yscale="log",
            curves=tuple(scaled),
            note=note,
        ),
    ]


def _layer_table(r: Kernels) -> Table:
    gaps = [r.by_layer[SUM, name, DIFFERENCE] for name in r.layers]
    columns = (
        r.layers,
        *(map(_cell, r.along(SUM, k)) for k in (0, 1)),
        [Cell(gap, f"{gap:.2f}") for gap in gaps],
        *(map(_cell, r.along(SCALED, k)) for k in (0, 1)),
    )
    return Table(
        title=f"Sums of the layers of {r.title}",
        columns=(
            *("layer", *(f"sum in {m}" for m in r.models), "difference"),
            *(f"scaled sum in {m}" for m in r.models),
        ),
        rows=tuple(zip(*columns, strict=True)),
        note="Layers that both networks have. The 95 % interval of a difference is over output channels.",
        folded=True,
    )


def findings(results: Sequence[Kernels]) -> list[Finding]:
    """Say how alike matched kernels are: of each pair, or in how many of them more than chance makes them."""
    matched = [(r, r.correlation) for r in results if r.correlation is not None]
    if not matched:
        return [Finding("First-layer kernels differ in size or are 1×1, and cannot be matched.")]
    if len(matched) > SHOWN_PAIRS:
        return [_of_all(what, p_values) for what, p_values in zip(NULLS, _tests(matched), strict=True)]
    return [finding for r, mean in matched for finding in _of_one(r, mean)]


def _of_one(r: Kernels, mean: Estimate) -> Iterator[Finding]:
    start, least = f"Matched first-layer kernels of {r.title} correlate", 1 / (1 + r.shuffles)
    for what, null, p in zip(NULLS, (mean.null, r.turned), (r.places_p, r.turned_p), strict=True):
        end = f"at {mean.value:.2f} on average, {{}}more than with {what} ({null:.2f}, {told(p, least)})."
        more, open_ = (f"{start} {end.format(word)}" for word in ("", "not shown to be "))
        yield claim(more, open_, p, least_p=least)


def _tests(matched: Sequence[tuple[Kernels, Estimate]]) -> np.ndarray:
    return np.array([(r.places_p, r.turned_p) for r, _ in matched]).T


def _of_all(what: str, p_values: np.ndarray) -> Finding:
    """Say in how many pairs kernels are alike, after Holm's correction."""
    corrected, start = holm(p_values), "Matched first-layer kernels"
    return claim(
        f"{start} correlate more than with {what} in {(corrected <= TEST).sum()} of {len(p_values)} pairs.",
        f"{start} are not shown to correlate more than with {what} in any of {len(p_values)} pairs.",
        float(corrected.min()),
    )


ANALYSIS = Analysis(
    question="Do two networks have the same first-layer filters, and the same sums of weights?",
    over="weight pair",
    params=KernelParams(),
    result=Kernels,
    compute=compute,
    charts=charts,
    findings=findings,
)
