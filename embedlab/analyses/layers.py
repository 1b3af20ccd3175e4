"""Layers: how far apart two networks are, layer by layer, once it is known which channel is which.

Channels have no natural order, so those of the second network are permuted, consistently through the
network, to match the first's by their weights [2]_ (layer by layer where nobody knows how layers hang
together). Kernels are compared by ‖A − B‖ / √(½(‖A‖² + ‖B‖²)): 0 for a permuted copy, √2 for orthogonal
kernels. In networks of the IR family, scales that a norm layer undoes are undone first; in all, those
of an output channel.

Beside it stand: the second network with random signs of its channels in every layer, matched in the same
way; the distance without matching, and what shuffled channels give; and two trainings of one recipe from
different seeds, if they are among the models.

How to read it
--------------
The null of a distance is that of random signs: they keep the size of every weight, the pattern of every
slice and the singular values of every layer, but not what the two networks' channels have in common.
Matching finds likeness there too, the more the fewer channels there are. The whole is called nearer if it
is nearer than all draws and than a further one would be (Student's t). A layer is, if it is further out
than any layer in any draw, which corrects for their number [3]_; layers without matching by Holm's rule [1]_.
Of pairs that share nothing (weights normal, uniform or t₃, input channels of unequal length, few directions,
even slices) 3 to 6 % are called nearer at 5 %, and 5 to 7 % have any of 3 layers called so. A permuted copy
that holds a tenth of the energy is found in 97 %, of a twentieth in 43 %, at 16 channels.

Limits
------
Intervals are a bootstrap over output channels with the matching as it is. They hold for these two
trainings; only two seeds of one recipe show what another training would give. The search for the matching
may miss the best one, with random signs as well. Nearer is not the same function: channels whose weights
share a sign in both networks are nearer for that alone. Networks that started from one seed stay near for
that alone, with or without matching. Layers of one name and shape are compared, nothing else. Models that
come as ONNX or as embeddings have no weights to read and are left out.

References
----------
.. [1] Holm, S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics
   6(2), 1979.
.. [2] Ainsworth, S. K., Hayase, J. and Srinivasa, S. Git Re-Basin: merging models modulo permutation
   symmetries. ICLR 2023.
.. [3] Westfall, P. H. and Young, S. S. Resampling-Based Multiple Testing. Wiley, 1993.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, claim
from embedlab.lab.weights import LayerWeights, shared_layers
from embedlab.maths.kernels.channel_matching import Matching, match, scale_free, with_signs
from embedlab.maths.kernels.layer_distance import (
    Distance,
    further_range,
    lowest_p_values,
    relative_distance,
)
from embedlab.maths.people.permutation import further_p_value, holm, told
from embedlab.progress import busy, track

TEST = 0.05
DRAWN_FROM = 100
SHOWN_PAIRS = 2
BY_LAYER, THROUGH = "layer by layer", "through the network"
DISTANCE, UNMATCHED, ALL = "relative distance", "relative distance without matching", "all layers"


@dataclass(frozen=True)
class LayerParams(Params):
    """Knobs of the comparison of layers."""

    signs: int = bounded(19, least=19)
    """How many draws of random signs of the second network are matched to the first, for the null."""
    restarts: int = bounded(2, least=1)
    """How many starts the search for the matching gets, with random signs too."""
    shuffles: int = bounded(4999, least=1)
    """How many shuffles of the channels stand behind the null of the distance without matching."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of channels stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of everything that is drawn."""


@dataclass(frozen=True)
class Layers(Result):
    """Two networks' layers.

    Attributes
    ----------
    one_recipe
        Whether the two are trainings of one recipe from different seeds.
    how
        How channels were matched, in words.
    estimates
        Distance over all weights and by layer after matching, null: random signs.
    whole_p, distance_p
        The p values of the first, and by layer, these corrected for their number.
    sizes
        How many weights each layer has.
    drawn
        Distances of the first network and each draw of signs of the second, by layer.
    by_layer
        Distances without matching; null: shuffled channels.
    unmatched_p
        Their p values, corrected for their number.
    """

    a: str = field(metadata={"hidden": True})
    b: str = field(metadata={"hidden": True})
    one_recipe: bool = field(metadata={"hidden": True})
    how: str = field(metadata={"label": "channels matched"})
    compared: int = field(metadata={"label": "layers compared"})
    left_out: int = field(metadata={"label": "layers that only one network has, left out"})
    nearer: int = field(metadata={"label": "layers nearer than random signs"})
    estimates: Estimates
    by_layer: Estimates = field(metadata={"hidden": True})
    whole_p: float = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    layers: tuple[str, ...]
    sizes: Int[np.ndarray, " layers"]
    distance_p: Float[np.ndarray, " layers"]
    drawn: Float[np.ndarray, "draws layers"]
    unmatched_p: Float[np.ndarray, " layers"]

    @property
    def whole(self) -> Estimate:
        """The distance over all weights after matching."""
        return self.estimates[DISTANCE, ALL]


def compute(a: LayerWeights, b: LayerWeights, params: LayerParams) -> Layers:
    """Match two networks' channels and compare their layers, beside the second with random signs.

    Raises
    ------
    UserError
        If a network has no convolution, or they share no layer of one name and shape.
    """
    for weights in (a, b):
        if not weights.layers:
            raise UserError(f"{weights.model} has no convolution layers: leave it out of this analysis")
    shared = shared_layers(a, b)
    x, y = scale_free(a), scale_free(b)
    with busy("matching channels"):
        values, matching = _matched(x, y, shared, params)
    seeds = np.random.SeedSequence([params.seed, 24]).generate_state(params.signs)
    each = track(seeds, "matching channels of random signs")
    drawn = np.array([_matched(x, with_signs(y, int(seed)), shared, params)[0] for seed in each])
    nulls = drawn.mean(axis=0)
    near, far, unmatched_p = _distances(x, y, matching, dict(zip(shared, nulls, strict=False)), params)
    p_values = lowest_p_values(np.array(values[:-1]), drawn[:, :-1])
    whole = {(DISTANCE, ALL): Estimate(values[-1], n=len(shared), null=float(nulls[-1]))}
    return Layers(
        title=f"{a.model} and {b.model}",
        a=a.model,
        b=b.model,
        one_recipe=bool(a.recipe) and a.recipe == b.recipe and a.model != b.model,
        how=BY_LAYER if matching.architecture == "unknown" else THROUGH,
        compared=len(shared),
        left_out=len(a.layers) + len(b.layers) - 2 * len(shared),
        nearer=int((p_values <= TEST).sum()),
        estimates=Estimates(whole | near),
        by_layer=far,
        whole_p=further_p_value(-values[-1], -drawn[:, -1]),
        seed=params.seed,
        layers=tuple(shared),
        sizes=np.array([a.layers[name].size for name in shared]),
        distance_p=p_values,
        drawn=drawn[:, :-1],
        unmatched_p=holm(unmatched_p),
    )


def _matched(
    x: LayerWeights, y: LayerWeights, names: Sequence[str], params: LayerParams
) -> tuple[list[float], Matching]:
    """Match y to x, and give the distances of the layers and, last, that of all weights together."""
    found = match(x, y, seed=params.seed, restarts=params.restarts, scaled=True)
    z = found.apply(y).layers
    gaps = np.array([_energy(x.layers[name] - z[name]) for name in names])
    sizes = np.array([(_energy(x.layers[name]) + _energy(z[name])) / 2 for name in names])
    gaps, sizes = np.append(gaps, gaps.sum()), np.append(sizes, sizes.sum())
    values = np.sqrt(np.divide(gaps, sizes, out=np.zeros_like(gaps), where=sizes > 0))
    return [float(value) for value in values], found


def _energy(kernels: np.ndarray) -> float:
    return float(np.vdot(kernels, kernels))


def _distances(
    x: LayerWeights, y: LayerWeights, matching: Matching, nulls: Mapping[str, float], params: LayerParams
) -> tuple[Estimates, Estimates, np.ndarray]:
    """Give each layer's distance, matched; and as channels are numbered, with its p values."""
    z = matching.apply(y)
    near, far, p_values = Estimates(), Estimates(), []
    for k, (name, null) in enumerate(nulls.items()):
        own, seed = x.layers[name], params.seed + k
        matched = relative_distance(own, z.layers[name], replicates=params.resamples, seed=seed)
        near[DISTANCE, name] = replace(_estimate(matched, len(own)), null=float(null))
        numbered = relative_distance(own, y.layers[name], shuffles=params.shuffles, seed=seed)
        far[UNMATCHED, name] = _estimate(numbered, len(own))
        p_values.append(numbered.p_value)
    return near, far, np.array(p_values)


def _estimate(distance: Distance, n: int) -> Estimate:
    return Estimate(distance.value, distance.low, distance.high, n, distance.null)


def charts(results: Sequence[Layers]) -> list[Chart]:
    """Draw the first pairs by layer, and put all pairs into one table."""
    shown = results[:SHOWN_PAIRS]
    return [*map(_distance_chart, shown), _pairs_table(results), *map(_layer_table, shown)]


def _large(r: Layers) -> np.ndarray:
    """Give the places of the layers that are drawn: a few weights are far from anything by chance."""
    large = np.flatnonzero(r.sizes >= DRAWN_FROM)
    return large if len(large) else np.arange(len(r.layers))


def _distance_chart(r: Layers) -> Curves:
    """Draw the distance of layers by place, matched and not, beside random signs."""
    k = _large(r)
    places = [(r.layers[layer],) for layer in k]
    null = r.drawn[:, k]
    unknown = ", since nobody knows how these layers hang together, with input channels as they stand"
    return Curves(
        title=f"Distance of the layers of {r.title}",
        xlabel="layer, from the image on; the table below has their names",
        ylabel="relative distance",
        curves=(
            Curve("matched", k + 1, *r.estimates.row(DISTANCE, places), markers=True, role="after"),
            Curve("not matched", k + 1, r.by_layer.row(UNMATCHED, places)[0], dash="dash", role="before"),
            Curve("random signs (null)", k + 1, null.mean(axis=0), *further_range(null), role="null"),
        ),
        note=f"0 is equal, √2 orthogonal. Random signs: of {r.b}'s channels, then matched alike. Channels "
        f"were matched {r.how}{unknown if r.how == BY_LAYER else ''}. Bands: 95 % over channels; and where a "
        f"further draw of signs would lie, from {len(r.drawn)} drawn with seed {r.seed}. Layers of fewer "
        f"than {DRAWN_FROM} weights stand in the table only.",
    )


def _pairs_table(results: Sequence[Layers]) -> Table:
    return Table(
        title="Distance over all layers",
        columns=(
            *("pair", "relative distance", "random signs", "p", "layers nearer"),
            *("channels matched", "seeds of one recipe"),
        ),
        rows=tuple(
            (
                *(r.title, _cell(r.whole.value), _cell(r.whole.null), _cell(r.whole_p, ".2g")),
                *(Cell(r.nearer, f"{r.nearer} of {r.compared}"), r.how, r.one_recipe),
            )
            for r in results
        ),
        note="Over all weights, channels matched; p: of a further draw of signs being as near.",
    )


def _cell(value: float | None, spec: str = ".3f") -> Cell | None:
    return Cell(value, format(value, spec)) if value is not None and np.isfinite(value) else None


def _layer_table(r: Layers) -> Table:
    rows = []
    for k, name in enumerate(r.layers):
        matched, unmatched = r.estimates[DISTANCE, name], r.by_layer[UNMATCHED, name]
        first = (k + 1, name, matched, _cell(matched.null), _cell(r.distance_p[k], ".2g"))
        apart = Cell(unmatched, f"{unmatched.value:.3f}")
        rows.append((*first, apart, _cell(unmatched.null), _cell(r.unmatched_p[k], ".2g")))
    return Table(
        title=f"Layers of {r.title}, by name",
        columns=(*("", "layer", "matched", "random signs", "p", "not matched", "shuffled", "p of shuffles"),),
        rows=tuple(rows),
        note="Relative distances, with matching (p: of a further draw of signs being as near) and without "
        f"(p: the share of channel shuffles as near), both corrected for {r.compared} layers; "
        "intervals are over output channels.",
        folded=True,
    )


def findings(results: Sequence[Layers]) -> list[Finding]:
    """Say how near the networks are beside random signs, and beside two seeds of one recipe."""
    said = [one for r in results for one in _of_one(r)] if len(results) <= SHOWN_PAIRS else _of_all(results)
    return said + [
        Finding(f"Two seeds of one recipe, {r.title}, come this near to each other: {_numbers(r)}.")
        for r in [r for r in results if r.one_recipe][:SHOWN_PAIRS]
    ]


def _numbers(r: Layers) -> str:
    return f"distance {r.whole.value:.3f}, random signs {r.whole.null:.3f}"


def _of_one(r: Layers) -> list[Finding]:
    start = f"With channels matched, {r.title} are"
    numbers = f"{_numbers(r)}, {told(r.whole_p)}"
    end = f"nearer to each other than with random signs of channels ({numbers})."
    numbered = int((r.unmatched_p <= TEST).sum())
    said = [
        claim(f"{start} {end}", f"{start} not shown to be {end}", r.whole_p),
        claim(
            f"One by one, {r.nearer} of {r.compared} layers of {r.title} are nearer than with random signs.",
            f"One by one, no layer of {r.title} is shown to be nearer than with random signs.",
            float(r.distance_p.min()),
        ),
    ]
    same = claim(
        f"Without matching, channels of {numbered} of {r.compared} layers of {r.title} are nearer than "
        "shuffled ones, as in networks that started from one seed.",
        f"Without matching, channels of {r.title} are not shown to be nearer than shuffled ones.",
        float(r.unmatched_p.min()),
    )
    return [*said, same] if numbered else said


def _of_all(results: Sequence[Layers]) -> list[Finding]:
    p_values, best = holm(np.array([r.whole_p for r in results])), min(results, key=lambda r: r.whole.value)
    pairs, end = (
        f"{len(results)} pairs of networks",
        "nearer to each other than with random signs of channels.",
    )
    return [
        claim(
            f"With channels matched, {(p_values <= TEST).sum()} of {pairs} are {end}",
            f"With channels matched, none of {pairs} is shown to be {end}",
            float(p_values.min()),
        ),
        Finding(f"The nearest are {best.title} ({_numbers(best)})."),
    ]


ANALYSIS = Analysis(
    question="Are two networks alike, layer by layer, once their channels are matched?",
    over="weight pair",
    params=LayerParams(),
    result=Layers,
    compute=compute,
    charts=charts,
    findings=findings,
)
