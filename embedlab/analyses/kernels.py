"""Kernels: what two networks' convolution weights look like, and how far apart they are, by layer.

For each convolution that both networks have under one name and shape: the sum of all weights of each
network, as the original study tabulated it, and the difference of the sums; and the relative distance
‖A − B‖ / √(½(‖A‖² + ‖B‖²)), which is 0 for equal weights and √2 for unrelated ones of mean zero. Its
null is the same distance after the output channels of B have been shuffled: an unrelated pairing that
keeps every kernel as it is.

Intervals are 95 % percentile intervals of a bootstrap over output channels. A layer is called closer
than chance if its distance is below all but 5 % / (number of layers) of the shuffles (Bonferroni [1]_).

How to read it
--------------
Tiles show the first layer's kernels in the colours they respond to: grey is zero, and one scale serves
a whole network. In the distance chart, a bar that ends at its null mark says that channel k of one
network has no more to do with channel k of the other than with any other channel.

Limits
------
Channels have no natural order: two networks that compute the same function may hold the same kernels
in another order, and then stand at the null here; and two that started from one seed share their first
weights, and stay closer than chance for that alone. A layer's sum says nothing of its kernels, since
positive and negative weights cancel; it is shown because the original study used it. Models that come
as ONNX or as embeddings have no weights to read and are left out.

References
----------
.. [1] Dunn, O. J. Multiple comparisons among means. Journal of the American Statistical Association
   56(293), 1961.
.. [2] Entezari, R. et al. The role of permutation invariance in linear mode connectivity of neural
   networks. ICLR 2022.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from embedlab.analysis import Analysis, Estimate, Finding, Params, Result
from embedlab.charts import Bars, BarSeries, Chart, Table, Tile, Tiles
from embedlab.errors import UserError
from embedlab.maths.bootstrap import interval, resamples
from embedlab.weights import LayerWeights

COLUMNS = 16
TEST = 0.05


@dataclass(frozen=True)
class KernelParams(Params):
    """Knobs of the kernel comparison."""

    shuffles: int = 2000
    """How many shuffles of the output channels make the null."""
    resamples: int = 1000
    """How many bootstrap resamples of output channels stand behind each interval."""
    seed: int = 0
    """Seed of the shuffles and resamples."""


@dataclass(frozen=True)
class Kernels(Result):
    """Two networks' kernels, layer by layer."""

    a: str = field(metadata={"hidden": True})
    b: str = field(metadata={"hidden": True})
    compared: int = field(metadata={"label": "layers compared"})
    left_out: int = field(metadata={"label": "layers that only one network has, left out"})
    closer: int = field(metadata={"label": "layers closer than chance"})
    distance: Mapping[str, Estimate]
    layers: tuple[str, ...]
    sum_a: Float[np.ndarray, " layers"]
    sum_b: Float[np.ndarray, " layers"]
    difference: tuple[Estimate, ...]
    p_values: Float[np.ndarray, " layers"]
    first_a: Float[np.ndarray, "o i h w"]
    first_b: Float[np.ndarray, "p j k l"]


def compute(a: LayerWeights, b: LayerWeights, params: KernelParams) -> Kernels:
    """Compare two networks' kernels layer by layer.

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
    shared = [n for n, kernels in a.layers.items() if n in b.layers and b.layers[n].shape == kernels.shape]
    if not shared:
        raise UserError(
            f"{a.model} and {b.model} share no layer of one name and shape, so their kernels cannot be "
            "compared layer by layer: choose two models of one architecture and width"
        )
    distances: dict[str, Estimate] = {}
    differences: list[Estimate] = []
    p_values = []
    for k, name in enumerate(shared):
        x, y = (w.layers[name].reshape(len(w.layers[name]), -1).astype(np.float64) for w in (a, b))
        distance, p_value = _distance(x, y, params, k)
        distances[f"relative distance, {name}"] = distance
        differences.append(_difference(x, y, params, k))
        p_values.append(p_value)
    found = np.array(p_values)
    first = [next(iter(weights.layers.values())).astype(np.float64) for weights in (a, b)]
    return Kernels(
        title=f"{a.model} and {b.model}",
        a=a.model,
        b=b.model,
        compared=len(shared),
        left_out=len(set(a.layers) ^ set(b.layers))
        + sum(n in b.layers and b.layers[n].shape != v.shape for n, v in a.layers.items()),
        closer=int((found <= TEST / len(shared)).sum()),
        distance=distances,
        layers=tuple(shared),
        sum_a=np.array([float(a.layers[n].sum(dtype=np.float64)) for n in shared]),
        sum_b=np.array([float(b.layers[n].sum(dtype=np.float64)) for n in shared]),
        difference=tuple(differences),
        p_values=found,
        first_a=first[0],
        first_b=first[1],
    )


def _distance(x: np.ndarray, y: np.ndarray, params: KernelParams, layer: int) -> tuple[Estimate, float]:
    """Give the relative distance of two layers, rows being channels, and its p value.

    ‖x − Py‖² = ‖x‖² + ‖y‖² − 2·Σᵢ xᵢ·y_π(i): one product of the channels serves all shuffles.
    """
    products = x @ y.T
    own, other = (x**2).sum(axis=1), (y**2).sum(axis=1)
    common = np.diagonal(products)
    size = (own.sum() + other.sum()) / 2
    if size == 0:
        return Estimate(0.0, n=len(x)), 1.0
    value = float(np.sqrt(max(0.0, 2 - 2 * common.sum() / size)))
    counts = resamples(len(x), params.resamples, params.seed + layer)
    sizes = counts @ ((own + other) / 2)
    drawn = np.sqrt(
        np.maximum(0.0, 2 - 2 * np.divide(counts @ common, sizes, out=np.zeros(len(counts)), where=sizes > 0))
    )
    rng = np.random.default_rng([params.seed, layer])
    rows = np.arange(len(x))
    null = np.sqrt(
        np.maximum(
            0.0,
            2
            - 2
            * np.array([products[rows, rng.permutation(len(x))].sum() for _ in range(params.shuffles)])
            / size,
        )
    )
    p_value = (1 + int((null <= value).sum())) / (1 + params.shuffles)
    return Estimate(value, *interval(drawn), len(x), float(null.mean())), p_value


def _difference(x: np.ndarray, y: np.ndarray, params: KernelParams, layer: int) -> Estimate:
    gaps = (x - y).sum(axis=1)
    counts = resamples(len(gaps), params.resamples, params.seed + layer)
    return Estimate(float(gaps.sum()), *interval(counts @ gaps), len(gaps), 0.0)


def charts(results: Sequence[Kernels]) -> list[Chart]:
    """First-layer kernels of each network once, then sums and distances of each pair."""
    drawn: list[Chart] = []
    seen: set[str] = set()
    for r in results:
        for model, kernels in ((r.a, r.first_a), (r.b, r.first_b)):
            if model not in seen:
                seen.add(model)
                drawn.append(_tiles(model, kernels))
    for r in results:
        null = np.array([e.null if e.null is not None else np.nan for e in r.distance.values()])
        drawn.append(
            Bars(
                title=f"Distance of the kernels of {r.title}",
                ylabel="relative distance",
                categories=r.layers,
                series=(_series("relative distance", list(r.distance.values())),),
                nulls=null,
                note="0 means equal weights; the mark is the null of shuffled channels.",
            )
        )
        drawn.append(
            Bars(
                title=f"Sum of all weights by layer, {r.title}",
                ylabel="sum of weights",
                categories=r.layers,
                series=(BarSeries(r.a, r.sum_a, model=r.a), BarSeries(r.b, r.sum_b, model=r.b)),
                note="As in the original study; positive and negative weights cancel, so a sum says nothing "
                "of the kernels themselves.",
            )
        )
        drawn.append(
            Table(
                title=f"Layers of {r.title}",
                columns=("layer", f"sum in {r.a}", f"sum in {r.b}", "difference", "relative distance", "p"),
                rows=tuple(
                    (name, f"{sa:.2f}", f"{sb:.2f}", f"{gap:.2f}", f"{distance:.3f}", f"{p:.4f}")
                    for name, sa, sb, gap, distance, p in zip(
                        r.layers, r.sum_a, r.sum_b, r.difference, r.distance.values(), r.p_values, strict=True
                    )
                ),
                note="p: share of channel shuffles with a smaller distance; intervals are over channels.",
            )
        )
    return drawn


def _series(name: str, estimates: Sequence[Estimate]) -> BarSeries:
    ends = [(e.value, e.low, e.high) for e in estimates]
    values, low, high = (
        np.array([np.nan if v is None else v for v in column]) for column in zip(*ends, strict=True)
    )
    return BarSeries(name, values, low, high)


def _tiles(model: str, kernels: np.ndarray) -> Tiles:
    """Draw kernels over colour images in colour, others by their mean over input channels."""
    scale = float(np.abs(kernels).max()) or 1.0
    if kernels.shape[1] == 3:
        images = [np.round(127.5 * (1 + k.transpose(1, 2, 0) / scale)).astype(np.uint8) for k in kernels]
    else:
        images = [k.mean(axis=0) / scale for k in kernels]
    return Tiles(
        title=f"First-layer kernels of {model}",
        tiles=tuple(Tile(image, f"channel {k}") for k, image in enumerate(images)),
        columns=COLUMNS,
        signed=kernels.shape[1] != 3,
        note=f"{len(images)} kernels of {kernels.shape[2]}×{kernels.shape[3]} weights; grey is zero, full "
        f"colour is {scale:.2f}.",
    )


def findings(results: Sequence[Kernels]) -> list[Finding]:
    """Say in how many layers two networks' kernels are closer than a shuffle of the channels."""
    said = []
    for r in results:
        estimates = list(r.distance.values())
        nearest = min(range(len(estimates)), key=lambda k: estimates[k].value)
        best = estimates[nearest]
        if r.closer == 0:
            text = (
                f"The kernels of {r.a} and {r.b} are no closer than shuffled channels in any of "
                f"{r.compared} layers: there is no sign that a channel of one corresponds to the channel of "
                f"the same number in the other."
            )
        else:
            text = (
                f"The kernels of {r.a} and {r.b} are closer than shuffled channels in {r.closer} of "
                f"{r.compared} layers; the closest is {r.layers[nearest]} at {best:.2f} "
                f"(shuffled {best.null or 0.0:.2f})."
            )
        said.append(Finding(text))
    return said


ANALYSIS = Analysis(
    question="Do two networks' kernels resemble each other, layer by layer?",
    over="weight pair",
    params=KernelParams(),
    result=Kernels,
    compute=compute,
    charts=charts,
    findings=findings,
)
