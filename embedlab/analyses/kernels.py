"""Kernels: what two networks' first-layer kernels look like, how structured they are, and whose is whose.

*Structure.* A first-layer kernel is measured by the energy share of its low frequencies, its total
variation, and the share of energy that the best Gabor function explains; over all its colours together
(of layers over more than four input channels, single slices of one channel). The same is done with
freshly drawn Gaussian kernels of the shape. The smallest p value of the three, judged by the smallest
of fresh kernels, is the kernel's p value; structured are those found at a false discovery rate of 5 %
[1]_. All is done again without each channel's mean: a kernel that blurs evenly is smooth, but only one
with an edge, a bar or the like is structured *beyond its mean*. A layer as a whole is tested by shuffling
which kernels are its own and which are fresh. Deeper layers are tested by slices, as a whole only.

*Matching.* The second network's kernels are assigned to the first's, one to one, for the largest sum of
absolute correlations, so up to order and sign; beside it the same with fresh kernels in their place.

*Sums*, as the original study tabulated them: of all weights of a layer, and of all its weights min-max
scaled to 0..1. The latter is the layer's size times where zero lies between its extremes, plus the sum
over the range: it follows two weights, the smallest and the largest, and says nothing about the others.

How to read it
--------------
Tiles show kernels in the colours they respond to: grey is zero, and one scale serves a whole network. A
kernel counts as structured only against fresh ones, since any noise of 9 or 27 numbers looks like something;
the table says how much of a kernel's energy a pattern must hold to be found in 80 % of cases, and what
is not found is not shown to be absent. The null of a share of structured kernels is what fresh ones
get; that of a correlation is fresh kernels, matched in the same way; that of a sum's difference is zero.

Limits
------
Intervals of shares are those of Clopper and Pearson, of their difference by squaring and adding [2]_,
those of sums a bootstrap over output channels: they take kernels for independent draws, and hold for
these trainings, not for others of the same recipe. Fresh is Gaussian, and only a kernel's
direction counts, which is alike for He's and Glorot's initialisation. A pattern is one that is smooth or
like a Gabor function; another kind would go unseen. At 3×3, edges, bars and gratings are hardly told apart,
and a slice of one channel is too small to be judged alone. High correlation of matched kernels may come
from smoothness alone: two even blurs of one colour are alike whatever they were trained for. Models that
come as ONNX or as embeddings have no weights to read and are left out. How far apart the layers are when
the channels are matched through the network is asked by the analysis ``layers``.

References
----------
.. [1] Benjamini, Y. and Hochberg, Y. Controlling the false discovery rate. Journal of the Royal
   Statistical Society B 57(1), 1995.
.. [2] Newcombe, R. G. Interval estimation for the difference between independent proportions. Statistics
   in Medicine 17(8), 1998.
.. [3] Daugman, J. G. Uncertainty relation for resolution in space, spatial frequency, and orientation
   optimized by two-dimensional visual cortical filters. JOSA A 2(7), 1985.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table, Tile, Tiles
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, People, judged, undrawn
from embedlab.lab.weights import LayerWeights, shared_layers
from embedlab.maths.kernels.channel_matching import first_layer_match
from embedlab.maths.kernels.kernel_structure import (
    COLOURS,
    centred,
    fresh,
    kernel_p_values,
    layer_p_value,
    least_found,
    patterns,
    share_of_fresh,
    statistics,
    structured,
)
from embedlab.maths.kernels.layer_distance import FEWEST
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import clopper_pearson
from embedlab.maths.people.permutation import p_value
from embedlab.progress import track

TEST = 0.05
POINTS = 101
FRESH_MATCHES = 199
ROUNDED = 100
SHOWN_MODELS, SHOWN_PAIRS, SHOWN_TILES, COLUMNS = 8, 2, 64, 8
KINDS = ("structured first-layer kernels", "structured beyond the mean")
NETWORKS = ("first network", "second network")
DIFFERENCE = "difference"
CORRELATION = "mean |r| of matched first-layer kernels"
OF_KERNELS = ("mean_share", "measured", "p_values", "found")
OF_LAYERS = ("whole_kernels", "layer_p", "least", "fresh_mean", "fresh_quantiles")
CENTRED = "Without each channel's mean. "
LOW, SUM, SCALED, ZERO = "low frequencies", "sum", "scaled sum", "size × place of zero"


@dataclass(frozen=True)
class KernelParams(Params):
    """Knobs of the kernel comparison."""

    fresh_kernels: int = bounded(5000, least=100)
    """How many freshly drawn kernels of each shape are the null of the structure."""
    slices: int = bounded(2000, least=1)
    """How many slices of a deeper layer are measured at most."""
    shuffles: int = bounded(2000, least=1)
    """How many shuffles of own and fresh kernels stand behind the p value of a layer."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of output channels stand behind the interval of a difference of sums."""
    seed: int = bounded(0, least=0)
    """Seed of everything that is drawn."""


@dataclass(frozen=True)
class Kernels(Result):
    """Two networks' kernels. An axis ``two`` has an entry for each network.

    Attributes
    ----------
    estimates
        Of each network's first layer the share of structured kernels, as it is and beyond its mean, and
        their difference; of matched kernels the mean correlation, where they can be matched.
    by_layer
        Of each layer in each network the mean low-frequency share, if its kernels are larger than 1×1, the
        sum, the scaled one, and the layer's size times the place of zero between its extremes; and how
        far the sums are apart.
    whole_kernels
        Whether kernels were measured over all input channels, or slices of one.
    kernel_of, mean_share, measured, p_values, found
        For each first-layer kernel, those of the first network first: which network it is of; the energy
        share of its channels' means; low-frequency share, evenness, and Gabor share beyond the mean; and p
        values and verdicts as it is and beyond its mean.
    layer_p, least
        As it is and beyond the mean: p value of the layer; energy share that is found in 80 % of cases.
    fresh_mean, fresh_quantiles
        What fresh kernels give: means of the three statistics, and quantiles of the first and the last.
    first_order, first_r
        Matched kernels (of a, of b), best first, and their signed correlations.
    first_fresh_r
        The absolute correlation that 5 % of matched fresh kernels exceed.
    deep, deep_fresh, deep_p
        Layers of larger kernels than 1×1: the mean low-frequency share of fresh kernels, and the p value
        of the layer's structure.
    """

    a: str = field(metadata={"hidden": True})
    b: str = field(metadata={"hidden": True})
    estimates: Estimates
    by_layer: Estimates = field(metadata={"hidden": True})
    correlation_p: float = field(metadata={"hidden": True})
    slices: int = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    whole_kernels: Bool[np.ndarray, " two"]
    kernel_of: Int[np.ndarray, " k"]
    mean_share: Float[np.ndarray, " k"]
    measured: Float[np.ndarray, "k 3"]
    p_values: Float[np.ndarray, "k 2"]
    found: Bool[np.ndarray, "k 2"]
    layer_p: Float[np.ndarray, "two 2"]
    least: Float[np.ndarray, "two 2"]
    fresh_mean: Float[np.ndarray, "two 3"]
    fresh_quantiles: Float[np.ndarray, "two 2 points"]
    first_a: Float[np.ndarray, "o i h w"]
    first_b: Float[np.ndarray, "p j v u"]
    first_order: Int[np.ndarray, "matched 2"]
    first_r: Float[np.ndarray, " matched"]
    first_fresh_r: float | None = field(metadata={"hidden": True})
    deep: tuple[str, ...]
    deep_fresh: Float[np.ndarray, " deep"]
    deep_p: Float[np.ndarray, "deep two"]
    layers: tuple[str, ...]

    @property
    def models(self) -> tuple[str, str]:
        """The two networks' names."""
        return self.a, self.b

    @property
    def correlation(self) -> Estimate | None:
        """How alike matched first-layer kernels are; None where they cannot be matched."""
        return self.estimates.at(CORRELATION, ())

    def along(self, what: str, k: int, names: Sequence[str]) -> np.ndarray:
        """Give one figure of a network's layers; NaN for what there is not."""
        return self.by_layer.row(what, [(name, NETWORKS[k]) for name in names])[0]


def compute(a: LayerWeights, b: LayerWeights, params: KernelParams) -> Kernels:
    """Measure two networks' kernels beside fresh ones, and match those of their first layers.

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
    parts = [_structure(weights, params) for weights in track((a, b), "first layers beside fresh ones")]
    firsts = [next(iter(weights.layers.values())).astype(np.float64) for weights in (a, b)]
    correlation, matched = _matches(firsts[0], firsts[1], params)
    low, deep = _deep(a, b, shared, params)
    return Kernels(
        title=f"{a.model} and {b.model}",
        a=a.model,
        b=b.model,
        estimates=Estimates(_shares(parts, params) | correlation),
        by_layer=Estimates(low | _sums(a, b, shared, params)),
        slices=params.slices,
        seed=params.seed,
        **_joined(parts),
        first_a=firsts[0],
        first_b=firsts[1],
        **matched,
        **deep,
        layers=tuple(shared),
    )


def _structure(weights: LayerWeights, params: KernelParams) -> dict[str, np.ndarray]:
    """Measure the first layer's kernels as they are and beyond their means, each beside fresh ones."""
    kernels = next(iter(weights.layers.values())).astype(np.float64)
    whole = kernels.shape[1] <= COLOURS
    x = kernels if whole else patterns(kernels, params.slices, params.seed)
    if kernels.shape[2:] == (1, 1):
        x = x[:0]
    n, (channels, height, width) = len(x), x.shape[1:]
    energy = (x**2).sum(axis=(1, 2, 3))
    means = height * width * (x.mean(axis=(2, 3)) ** 2).sum(axis=1)
    part = {
        "whole_kernels": np.array(whole),
        "mean_share": np.divide(means, energy, out=np.full(n, np.nan), where=energy > 0),
        "measured": np.full((n, 3), np.nan),
        "p_values": np.ones((n, 2)),
        "found": np.zeros((n, 2), dtype=bool),
        "layer_p": np.full(2, np.nan),
        "least": np.full(2, np.nan),
        "fresh_mean": np.full(3, np.nan),
        "fresh_quantiles": np.full((2, POINTS), np.nan),
    }
    for k, (beyond, columns) in enumerate(((False, [0, 1]), (True, [2])) if n else ()):
        shape = (channels, height, width)
        null = fresh(*shape, params.fresh_kernels, params.seed, beyond_mean=beyond)
        part["fresh_mean"][columns] = null[:, columns].mean(axis=0)
        part["fresh_quantiles"][k] = np.quantile(null[:, columns[0]], np.linspace(0, 1, POINTS))
        least = least_found(shape, params.fresh_kernels, params.seed, TEST / n, beyond_mean=beyond)
        part["least"][k] = np.nan if least is None else least
        y = centred(x) if beyond else x
        there = np.any(y != 0, axis=(1, 2, 3))
        if there.any():
            own = statistics(y[there])
            part["measured"][np.ix_(there, columns)] = own[:, columns]
            part["p_values"][there, k] = kernel_p_values(own, null)
            part["found"][:, k] = structured(part["p_values"][:, k], TEST)
            part["layer_p"][k] = layer_p_value(own, null, params.shuffles, params.seed)
    return part


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Put the kernels of both networks one after another, and what a layer has one of side by side."""
    return {
        "kernel_of": np.repeat([0, 1], [len(part["found"]) for part in parts]),
        **{name: np.concatenate([part[name] for part in parts]) for name in OF_KERNELS},
        **{name: np.stack([part[name] for part in parts]) for name in OF_LAYERS},
    }


def _shares(parts: Sequence[Mapping[str, np.ndarray]], params: KernelParams) -> Estimates:
    """Give the share of structured kernels in each network, and the difference."""
    shares = Estimates()
    for k, kind in enumerate(KINDS):
        for part, network in zip(parts, NETWORKS, strict=True):
            if n := len(part["found"]):
                count = int(part["found"][:, k].sum())
                null = share_of_fresh(n, TEST, params.seed)
                shares[kind, network] = Estimate(count / n, *clopper_pearson(count, n), n, null)
        if len(shares.places(kind)) == 2:
            shares[kind, DIFFERENCE] = _difference(shares, kind)
    return shares


def _difference(shares: Estimates, kind: str) -> Estimate:
    """Give first − second, its interval by squaring and adding the distances to the ends of both [2]_."""
    (p, q), (p_low, q_low), (p_high, q_high) = (
        ends.tolist() for ends in shares.row(kind, [(network,) for network in NETWORKS])
    )
    low, high = p - q - math.hypot(p - p_low, q_high - q), p - q + math.hypot(p_high - p, q - q_low)
    return Estimate(p - q, low, high, sum(shares[kind, network].n for network in NETWORKS), 0.0)


def _matches(a: np.ndarray, b: np.ndarray, params: KernelParams) -> tuple[Estimates, dict[str, Any]]:
    """Match first-layer kernels, best pairs first, beside fresh ones in b's place."""
    if a.shape[1:] != b.shape[1:] or a[0].size < 3:
        nothing = {"first_order": np.zeros((0, 2), np.int64), "first_r": np.zeros(0)}
        return Estimates(), nothing | {"correlation_p": 1.0, "first_fresh_r": None}
    found = first_layer_match(a, b)
    rows = np.flatnonzero(found.order >= 0)
    rows = rows[np.argsort(-found.correlation[rows], kind="stable")]
    rng = np.random.default_rng([params.seed, 25])
    drawn = [first_layer_match(a, rng.normal(size=b.shape)).correlation for _ in range(FRESH_MATCHES)]
    null = np.stack([r[np.isfinite(r)] for r in drawn])
    value = float(found.correlation[rows].mean())
    mean = Estimate(value, n=len(rows), null=float(null.mean()))
    return Estimates({(CORRELATION,): mean}), {
        "correlation_p": p_value(value, null.mean(axis=1)),
        "first_fresh_r": float(np.quantile(null, 0.95)),
        "first_order": np.stack([rows, found.order[rows]], axis=1).astype(np.int64),
        "first_r": (found.sign * found.correlation)[rows],
    }


def _deep(
    a: LayerWeights, b: LayerWeights, names: Sequence[str], params: KernelParams
) -> tuple[Estimates, dict[str, Any]]:
    """Give the mean low-frequency share of each layer's slices, and test whether they are structured."""
    found = Estimates()
    deep = [name for name in names if a.layers[name].shape[2:] != (1, 1)]
    nulls, p_values = np.full(len(deep), np.nan), np.full((len(deep), 2), np.nan)
    for k, name in enumerate(track(deep, "deeper layers beside fresh ones")):
        both = [patterns(w.layers[name], params.slices, params.seed) for w in (a, b)]
        channels, height, width = both[0].shape[1:]
        null = fresh(channels, height, width, params.fresh_kernels, params.seed)
        nulls[k] = null[:, 0].mean()
        for m, slices in enumerate(both):
            if n := len(slices):
                own = statistics(slices)
                found[LOW, name, NETWORKS[m]] = Estimate(float(own[:, 0].mean()), n=n, null=float(nulls[k]))
                p_values[k, m] = layer_p_value(own, null, params.shuffles, params.seed)
    return found, {"deep": tuple(deep), "deep_fresh": nulls, "deep_p": p_values}


def _sums(a: LayerWeights, b: LayerWeights, names: Sequence[str], params: KernelParams) -> Estimates:
    """Sum each layer's weights, as they are and min-max scaled, and give the size times zero's place."""
    found = Estimates()
    for k, name in enumerate(names):
        both = [w.layers[name].astype(np.float64) for w in (a, b)]
        n = len(both[0])
        for network, values in zip(NETWORKS, both, strict=True):
            found[SUM, name, network] = Estimate(float(values.sum()), n=n)
            low, high = values.min(), values.max()
            if high > low:
                scaled = float(((values - low) / (high - low)).sum())
                found[SCALED, name, network] = Estimate(scaled, n=n)
                found[ZERO, name, network] = Estimate(float(-values.size * low / (high - low)), n=n)
        gaps = (both[0] - both[1]).reshape(n, -1).sum(axis=1)
        channels = People.of(range(n), replace(params, seed=params.seed + k))
        drawn = channels.counts @ gaps if n >= FEWEST else np.full(len(channels.counts), np.nan)
        found[SUM, name, DIFFERENCE] = undrawn(channels.estimate(Drawn(float(gaps.sum()), drawn), n, 0.0))
    return found


def charts(results: Sequence[Kernels]) -> list[Chart]:
    """Draw each network once and the first pairs, and put all networks into one table."""
    networks = _networks(results)
    shown = dict(list(networks.items())[:SHOWN_MODELS])
    more = f" {len(networks) - len(shown)} more networks are left out." if len(networks) > len(shown) else ""
    drawn: list[Chart] = [_tiles(r, k) for r, k in shown.values()]
    drawn.append(_structure_table(networks))
    drawn += _statistic_charts(shown, more)
    drawn += [_depth_chart(shown, more)] if any(len(r.deep) > 1 for r, _ in shown.values()) else []
    drawn += [_matched_tiles(r) for r in results[:SHOWN_PAIRS] if len(r.first_r)]
    drawn += [_matches_table(results)] if len(results) > 1 else []
    drawn += _sum_charts(shown, more)
    drawn += [_layer_table(r) for r in results[:SHOWN_PAIRS]]
    return drawn


def _networks(results: Sequence[Kernels]) -> dict[str, tuple[Kernels, int]]:
    """Give each network, with the first result that holds it, and whether as its first or second."""
    found: dict[str, tuple[Kernels, int]] = {}
    for r in results:
        for k, model in enumerate(r.models):
            found.setdefault(model, (r, k))
    return found


def _tiles(r: Kernels, k: int) -> Tiles:
    """Draw a network's first layer, each kernel with the p values of its structure."""
    kernels = (r.first_a, r.first_b)[k]
    images, scale = _images(kernels)
    own = r.p_values[r.kernel_of == k]
    tested = bool(r.whole_kernels[k]) and len(own) == len(images)
    captions = [f"channel {c}" for c in range(len(images))]
    if tested:
        captions = [f"{c}: {_p(p).lstrip('0')}|{_p(q).lstrip('0')}" for c, (p, q) in enumerate(own)]
    return Tiles(
        title=f"First-layer kernels of {r.models[k]}",
        tiles=tuple(Tile(i, c) for i, c in zip(images, captions, strict=True))[:SHOWN_TILES],
        columns=COLUMNS,
        signed=kernels.shape[1] != 3,
        note=f"{len(images)} kernels of {kernels.shape[2]}×{kernels.shape[3]} weights"
        + (f", the first {SHOWN_TILES} shown" if len(images) > SHOWN_TILES else "")
        + f"; grey is zero, full colour is {scale:.2f}."
        + (" Under each: channel, and p against fresh kernels, as it is|beyond its mean." if tested else ""),
    )


def _images(kernels: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Turn kernels over colour images into colours, others into their mean over input channels."""
    scale = float(np.abs(kernels).max()) or 1.0
    if kernels.shape[1] == 3:
        return list(np.round(127.5 * (1 + kernels.transpose(0, 2, 3, 1) / scale)).astype(np.uint8)), scale
    return list(kernels.mean(axis=1) / scale), scale


def _p(value: float) -> str:
    return f"{value:.4f}" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _structure_table(networks: Mapping[str, tuple[Kernels, int]]) -> Table:
    return Table(
        title="How structured the first layers are",
        columns=(
            *("network", "structured", "p", "found from", "low frequencies (fresh)"),
            *("total variation (fresh)", "share of means", "beyond the mean", "p beyond", "found from"),
            "Gabor fit (fresh)",
        ),
        rows=tuple(
            (
                model,
                *_structured(r, k, 0),
                _beside_fresh(r, k, 0),
                _beside_fresh(r, k, 1, sign=-1),
                *_cells([_mean(r.mean_share[r.kernel_of == k])], "{:.2f}".format),
                *_structured(r, k, 1),
                _beside_fresh(r, k, 2),
            )
            for model, (r, k) in networks.items()
        ),
        note=f"Structured: found at a false discovery rate of {TEST:.0%}; p: of the layer as a whole. "
        "Found from: the share of energy that a Gabor function must hold for a kernel to be found in "
        "80 % of cases at the p value that a single one needs. The others are means over kernels, in "
        "brackets those of fresh ones. Share of means: energy of the channels' means. The last four are "
        "without them.",
    )


def _structured(r: Kernels, k: int, j: int) -> tuple[Cell | None, ...]:
    """Give how many of a network's kernels are structured, the p value of the layer, and the power."""
    own, least = r.found[r.kernel_of == k, j], r.least[k, j]
    if not len(own):
        return None, None, None
    count = f"{own.sum()} of {len(own)}{'' if r.whole_kernels[k] else ' slices'}"
    share = r.estimates[KINDS[j], NETWORKS[k]]
    return Cell(share, count), *_cells([r.layer_p[k, j]], _p), Cell(least, _least(least))


def _beside_fresh(r: Kernels, k: int, column: int, sign: int = 1) -> Cell | None:
    """Give the mean of a statistic over a network's kernels, that of fresh ones in brackets."""
    null = sign * float(r.fresh_mean[k, column])
    own = r.measured[r.kernel_of == k, column]
    mean = Estimate(sign * _mean(own), n=int(np.isfinite(own).sum()), null=null)
    return Cell(mean, f"{mean:.2f} ({null:.2f})") if mean.n else None


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


def _least(value: float) -> str:
    return f"{value:.0%}" if np.isfinite(value) else "over 95%"


def _statistic_charts(shown: Mapping[str, tuple[Kernels, int]], more: str) -> list[Chart]:
    """Draw how low-frequency and Gabor shares of first-layer kernels lie beside those of fresh ones."""
    drawn: list[Chart] = []
    kinds = (
        (0, "Low frequencies", "share of energy in low frequencies", ""),
        (2, "Best Gabor fit", "share of energy that the best Gabor function explains", CENTRED),
    )
    for j, (column, title, label, words) in enumerate(kinds):
        curves, nulls = [], {}
        for model, (r, k) in shown.items():
            values = np.sort(r.measured[r.kernel_of == k, column])
            values = values[np.isfinite(values)]
            if len(values):
                steps = np.linspace(0, 1, len(values) + 1)
                curves.append(Curve(model, np.repeat(values, 2), np.repeat(steps, 2)[1:-1], model=model))
                height, width = (r.first_a, r.first_b)[k].shape[2:]
                nulls[height, width] = r.fresh_quantiles[k, j]
        if curves:
            grid = np.linspace(0, 1, POINTS)
            curves += [
                Curve(f"fresh {height}×{width} kernels (null)", x, grid, dash="dash", role="null")
                for (height, width), x in nulls.items()
            ]
            drawn.append(
                Curves(
                    title=f"{title} of first-layer kernels",
                    xlabel=label,
                    ylabel="share of kernels at or below",
                    curves=tuple(curves),
                    note=f"{words}A line to the right of the fresh kernels' is more structured.{more}",
                )
            )
    return drawn


def _depth_chart(shown: Mapping[str, tuple[Kernels, int]], more: str) -> Curves:
    curves = []
    for model, (r, k) in shown.items():
        x = np.arange(1, len(r.deep) + 1)
        curves.append(Curve(model, x, r.along(LOW, k, r.deep), model=model, markers=True))
    longest = max((r for r, _ in shown.values()), key=lambda r: len(r.deep))
    x = np.arange(1, len(longest.deep) + 1)
    curves.append(Curve("fresh kernels (null)", x, longest.deep_fresh, dash="dash", role="null"))
    beyond = ", ".join(
        f"{(r.deep_p[:, k] <= TEST / len(r.deep)).sum()} of {len(r.deep)} in {model}"
        for model, (r, k) in shown.items()
        if len(r.deep)
    )
    return Curves(
        title="Low frequencies by depth",
        xlabel="convolution with kernels larger than 1×1, from the image on",
        ylabel="mean share of energy in low frequencies",
        curves=tuple(curves),
        note=f"Slices of one input channel, at most {longest.slices:,} a layer, seed {longest.seed}; whole "
        f"kernels over up to {COLOURS} channels. Layers that as a whole are more structured than fresh ones "
        f"(any of the three statistics, Bonferroni over layers): {beyond}.{more}",
    )


def _matched_tiles(r: Kernels) -> Tiles:
    """Draw each kernel of the first network above its match in the second."""
    best, correlations = r.first_order[: SHOWN_TILES // 2], r.first_r[: SHOWN_TILES // 2]
    (of_a, _), (of_b, _) = _images(r.first_a), _images(r.first_b)
    columns = min(COLUMNS, len(best))
    empty = Tile(np.full_like(of_a[0], 255) if of_a[0].ndim == 3 else np.full(of_a[0].shape, np.nan))
    tiles: list[Tile] = []
    for start in range(0, len(best), columns):
        some = slice(start, start + columns)
        tiles += [Tile(of_a[i], f"channel {i}") for i, _ in best[some]]
        tiles += [empty] * (columns - len(best[some]))
        pairs = zip(best[some], correlations[some], strict=True)
        tiles += [Tile(of_b[j], f"channel {j}: {v:+.2f}") for (_, j), v in pairs]
    fresh_words = ""
    if r.correlation is not None:
        fresh_words = (
            f" Mean |r| is {r.correlation.value:.2f}, of fresh kernels in place of {r.b}'s "
            f"{r.correlation.null:.2f} (p = {_p(r.correlation_p)}); 5 % of matched fresh kernels are above "
            f"{r.first_fresh_r:.2f}."
        )
    cut = f" The best {len(best)} pairs of {len(r.first_r)} are shown." if len(best) < len(r.first_r) else ""
    return Tiles(
        title=f"First-layer kernels of {r.a}, each above its match in {r.b}",
        tiles=tuple(tiles),
        columns=columns,
        rows=tuple(model for _ in range(0, len(best), columns) for model in r.models),
        signed=r.first_a.shape[1] != 3,
        note="One to one, for the largest sum of |r|, Pearson's correlation over all weights of a kernel; "
        f"where r is negative, one is like the other's negative.{fresh_words}{cut}",
    )


def _matches_table(results: Sequence[Kernels]) -> Table:
    return Table(
        title="First-layer kernels of all pairs, matched up to order and sign",
        columns=("pair", "kernels matched", "mean |r|", "fresh kernels", "p"),
        rows=tuple(
            (r.title, mean.n, mean.value, mean.null, *_cells([r.correlation_p], _p))
            if (mean := r.correlation)
            else (r.title, None, None, None, None)
            for r in results
        ),
        note="Only kernels of one size over the same channels can be correlated.",
    )


def _sum_charts(shown: Mapping[str, tuple[Kernels, int]], more: str) -> list[Chart]:
    """Draw the sums of the original study."""
    sums, scaled, off = [], [], []
    for model, (r, k) in shown.items():
        x = np.arange(1, len(r.layers) + 1)
        whole, zero = r.along(SCALED, k, r.layers), r.along(ZERO, k, r.layers)
        sums.append(Curve(model, x, r.along(SUM, k, r.layers), model=model, markers=True))
        scaled.append(Curve(model, x, whole, model=model, markers=True))
        scaled.append(Curve(f"{model}: {ZERO}", x, zero, model=model, dash="dot"))
        off.append(np.abs(whole - zero) / whole)
    gaps = np.concatenate(off)
    gaps = gaps[np.isfinite(gaps)]
    agree = f" In half of these layers the two differ by {np.median(gaps):.1%} or less." if len(gaps) else ""
    return [
        Curves(
            title="Sum of all weights by layer",
            xlabel="layer, from the image on",
            ylabel="sum of weights",
            curves=tuple(sums),
            note="As in the original study; positive and negative weights cancel, so a sum says nothing "
            f"of the kernels themselves.{more}",
        ),
        Curves(
            title="Sum of all weights by layer, min-max scaled",
            xlabel="layer, from the image on",
            ylabel="sum of scaled weights",
            yscale="log",
            curves=tuple(scaled),
            note="As in the original study, which scaled each layer's weights to 0..1. That maps the "
            "smallest weight to 0 and the largest to 1, and so the sum is the layer's size times where zero "
            "lies between the two (dotted), plus the sum over the range: it says nothing about the other "
            f"weights.{agree}{more}",
        ),
    ]


def _layer_table(r: Kernels) -> Table:
    deep = dict(zip(r.deep, np.c_[r.deep_fresh, r.deep_p], strict=True))
    null, *p_values = np.array([deep.get(name, np.full(3, np.nan)) for name in r.layers]).T
    columns = (
        r.layers,
        *(_cells(r.along(SUM, k, r.layers), "{:.2f}".format) for k in (0, 1)),
        [Cell(gap := r.by_layer[SUM, name, DIFFERENCE], f"{gap:.2f}") for name in r.layers],
        *(r.along(SCALED, k, r.layers) for k in (0, 1)),
        *(_cells(r.along(LOW, k, r.layers), "{:.3f}".format) for k in (0, 1)),
        _cells(null, "{:.3f}".format),
        *(_cells(values, _p) for values in p_values),
    )
    return Table(
        title=f"Layers of {r.title}",
        columns=(
            "layer",
            *(f"sum in {m}" for m in r.models),
            "difference",
            *(f"scaled sum in {m}" for m in r.models),
            *(f"low frequencies in {m}" for m in (*r.models, "fresh")),
            *(f"p, {m}" for m in r.models),
        ),
        rows=tuple(zip(*columns, strict=True)),
        note="Layers that both networks have. The interval of a difference is over output channels; p: of "
        "the layer's structure against fresh kernels.",
        folded=True,
    )


def _cells(values: Iterable[float], write: Callable[[float], str]) -> list[Cell | None]:
    return [Cell(value, write(value)) if np.isfinite(value) else None for value in values]


def findings(results: Sequence[Kernels]) -> list[Finding]:
    """Say how many kernels are structured beyond chance, and how alike matched ones are."""
    if len(results) > SHOWN_PAIRS:
        return [_structure_of_all(_networks(results)), *_matches_of_all(results)]
    said = []
    for r in results:
        said.append(_structure_words(r))
        if r.correlation is not None:
            beyond = "more than" if r.correlation_p <= TEST else "not beyond chance more than"
            said.append(
                Finding(
                    f"Matched up to order and sign, the first-layer kernels of {r.a} and {r.b} correlate at "
                    f"{r.correlation.value:.2f} on average, {beyond} {r.a}'s with fresh kernels "
                    f"({r.correlation.null:.2f}, p = {_p(r.correlation_p)})."
                )
            )
    return said


def _structure_words(r: Kernels) -> Finding:
    if not all((r.kernel_of == k).any() for k in (0, 1)):
        return Finding(
            f"The first layer of {r.a} or of {r.b} has no kernel that could show a pattern: they are of one "
            "weight a channel, or zero."
        )
    what = "first-layer kernels" if r.whole_kernels.all() else "slices of the first layer's kernels"
    leads = (f"Of the {what},", "Beyond their means, by a pattern such as an edge or a bar,")
    ends = ("are more structured than freshly drawn ones", "are more structured")
    said = []
    for j, (kind, lead, end) in enumerate(zip(KINDS, leads, ends, strict=True)):
        counts = " and ".join(_count_words(r, k, j) for k in (0, 1))
        said.append(judged(f"{lead} {counts} {end}", r.estimates[kind, DIFFERENCE]).text)
    if not r.found[:, 1].all():
        least = " and ".join(dict.fromkeys(_least(value) for value in r.least[:, 1]))
        said.append(
            f"To be found in 80 % of cases, a Gabor pattern would have to hold {least} of what is left of a "
            "kernel."
        )
    return Finding(" ".join(said))


def _count_words(r: Kernels, k: int, j: int) -> str:
    share, own = r.estimates[KINDS[j], NETWORKS[k]], r.found[r.kernel_of == k, j]
    digits = 0 if len(own) < ROUNDED else 1
    test = f"; the layer: p = {_p(r.layer_p[k, j])}" if np.isfinite(r.layer_p[k, j]) else ""
    ends = f"{share.low:.{digits}%} to {share.high:.{digits}%}"
    return f"{own.sum()} of {len(own)} in {r.models[k]} ({ends}{test})"


def _structure_of_all(networks: Mapping[str, tuple[Kernels, int]]) -> Finding:
    said = []
    for j, lead in enumerate(
        ("More structured than fresh ones are, of the first-layer kernels,", "beyond their means,")
    ):
        counts = [
            f"{r.found[own, j].sum()} of {own.sum()} in {model}"
            for model, (r, k) in list(networks.items())[:SHOWN_MODELS]
            if (own := r.kernel_of == k).any()
        ]
        said.append(f"{lead} {', '.join(counts) or 'none of those measured'}")
    more = (
        f" ({len(networks) - SHOWN_MODELS} more networks in the table)"
        if len(networks) > SHOWN_MODELS
        else ""
    )
    return Finding(f"{'; '.join(said)}{more}.")


def _matches_of_all(results: Sequence[Kernels]) -> list[Finding]:
    found = [(r, r.correlation) for r in results if r.correlation is not None]
    if not found:
        return []
    beyond = sum(r.correlation_p <= TEST for r, _ in found)
    best, value = max(found, key=lambda one: one[1].value)
    return [
        Finding(
            "Matched up to order and sign, first-layer kernels correlate more than with fresh ones in "
            f"{beyond} of {len(found)} pairs (p ≤ {TEST:g} each, {TEST * len(found):.2g} expected by "
            f"chance), most in {best.title} ({value.value:.2f}, fresh {value.null or 0.0:.2f})."
        )
    ]


ANALYSIS = Analysis(
    question="Are first-layer kernels structured or near random, and do two networks' resemble each other?",
    over="weight pair",
    params=KernelParams(),
    result=Kernels,
    compute=compute,
    charts=charts,
    findings=findings,
)
