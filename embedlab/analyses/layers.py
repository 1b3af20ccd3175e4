"""Layers: how far apart two networks are, layer by layer, once it is known which channel is which.

*Distance.* Channels have no natural order, so those of the second network are permuted, consistently
through the network, to match the first's by their weights [2]_ (layer by layer where nobody knows how
layers hang together). Kernels are compared in a form that scales undone by a norm layer do not change,
by ‖A − B‖ / √(½(‖A‖² + ‖B‖²)): 0 for a permuted copy, √2 for orthogonal kernels. Beside it stand the
distance without matching and what shuffled channels give; freshly initialised networks in the second's
place, matched in the same way, and two fresh networks; and two trainings of one recipe from different
seeds, if they are among the models.

*Spectra.* The singular values of each layer as a matrix of one row an output channel, in units of
the Marchenko–Pastur edge, where those of independent weights end; and the stable rank ‖W‖_F² / ‖W‖₂²,
which is how many directions a layer would have if all were as strong as the strongest. Both beside fresh
layers.

*Norm layers.* After matching, the mean over channels of |difference of the running means| in units of
the common standard deviation, and of |ln ratio of the running variances|, beside shuffled channels.

How to read it
--------------
The null of a distance is that of fresh networks: matching finds likeness in chance as well, the more the
fewer channels there are. A layer is called closer if its distance is lower than a further fresh network
would get, by a t test over the fresh ones, Bonferroni over layers [1]_. A stable rank below that of fresh
layers says that a few directions have grown; it is called lower by the same test.

Limits
------
Intervals are a bootstrap over output channels with the matching as it is. They hold for these two
trainings; only two seeds of one recipe show what another training would give. The search for the matching
may miss the best one, for fresh networks as well. Closer than a fresh network is not the same function:
kernels that are smooth in both networks are closer for that alone. Networks that started from one seed
stay close for that alone, with or without matching. The matching chooses channels by weights that norm
statistics depend on, which flatters the drift of the norm layers. The t test takes the distances of fresh
networks to be normal, as sums over many weights nearly are; a layer of few weights is not. Layers
of one name and shape are compared, nothing else. Models that come as ONNX or as embeddings have no
weights to read and are left out.

References
----------
.. [1] Dunn, O. J. Multiple comparisons among means. Journal of the American Statistical Association
   56(293), 1961.
.. [2] Ainsworth, S. K., Hayase, J. and Srinivasa, S. Git Re-Basin: merging models modulo permutation
   symmetries. ICLR 2023.
.. [3] Entezari, R. et al. The role of permutation invariance in linear mode connectivity of neural
   networks. ICLR 2022.
.. [4] Martin, C. H. and Mahoney, M. W. Implicit self-regularization in deep neural networks. JMLR 22(165),
   2021.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Analysis, Finding, Params, Result, bounded
from embedlab.charts import Cell, Chart, Curve, Curves, Heatmap, Table
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates
from embedlab.lab.weights import LayerWeights, shared_layers
from embedlab.maths.kernels.channel_matching import Matching, fresh_like, match, scale_free
from embedlab.maths.kernels.layer_distance import (
    Distance,
    further_p_value,
    further_range,
    norm_drift,
    relative_distance,
)
from embedlab.maths.kernels.spectra import (
    fresh_singular_values,
    relative_to_edge,
    singular_values,
    stable_rank,
)
from embedlab.progress import busy, track

TEST = 0.05
FRESH_LAYERS = 8
BINS = 60
DRAWN_FROM = 100
SMALL_LEFT_OUT = f"Layers of fewer than {DRAWN_FROM} weights stand in the table only."
SHOWN_MODELS, SHOWN_PAIRS = 8, 2
DISTANCE, UNMATCHED, ALL = "relative distance", "relative distance without matching", "all layers"
BETWEEN_FRESH = "relative distance of two fresh networks"
MEAN, VARIANCE = "drift of the running mean", "drift of the running variance"
DRIFTS: tuple[tuple[str, str, Literal["dash", "dot"]], ...] = (
    (MEAN, "mean", "dash"),
    (VARIANCE, "variance", "dot"),
)


@dataclass(frozen=True)
class LayerParams(Params):
    """Knobs of the comparison of layers."""

    fresh: int = bounded(8, least=4)
    """How many fresh networks are matched to the first, for the null, and half as many to fresh ones."""
    restarts: int = bounded(2, least=1)
    """How many starts the search for the matching gets, for fresh networks too."""
    shuffles: int = bounded(2000, least=1)
    """How many shuffles of the channels stand behind each null of shuffled channels."""
    resamples: int = bounded(1000, least=1)
    """How many bootstrap resamples of channels stand behind each interval."""
    seed: int = bounded(0, least=0)
    """Seed of everything that is drawn."""


@dataclass(frozen=True)
class Layers(Result):
    """Two networks' layers. An axis ``two`` has an entry for each network.

    Attributes
    ----------
    how
        How channels were matched, in words.
    estimates
        Distance over all weights and by layer after matching, null: fresh networks; and the distance of two
        fresh networks.
    whole_p, distance_p
        The p values of the first, and by layer.
    sizes
        How many weights each layer has.
    fresh, fresh_fresh
        Distances of fresh networks to the first one, and to each other, by layer.
    by_layer
        Distances without matching and, of the norm layers that could be matched, how far their statistics
        are apart; null: shuffled channels.
    unmatched_p
        The p values of the former.
    stable_ranks, fresh_ranks
        Of each layer; mean of fresh ones and the ends of where 95 % of them lie.
    spectrum_layers, spectra
        A first and a last layer: singular values of the first, the second, and fresh networks.
    """

    a: str = field(metadata={"hidden": True})
    b: str = field(metadata={"hidden": True})
    recipe_a: str = field(metadata={"hidden": True})
    recipe_b: str = field(metadata={"hidden": True})
    how: str = field(metadata={"label": "channels matched"})
    compared: int = field(metadata={"label": "layers compared"})
    left_out: int = field(metadata={"label": "layers that only one network has, left out"})
    closer: int = field(metadata={"label": "layers closer than fresh networks"})
    lower_a: int = field(metadata={"label": "layers of lower stable rank than fresh, first network"})
    lower_b: int = field(metadata={"label": "layers of lower stable rank than fresh, second network"})
    estimates: Estimates
    by_layer: Estimates = field(metadata={"hidden": True})
    whole_p: float = field(metadata={"hidden": True})
    seed: int = field(metadata={"hidden": True})
    layers: tuple[str, ...]
    sizes: Int[np.ndarray, " layers"]
    distance_p: Float[np.ndarray, " layers"]
    fresh: Float[np.ndarray, "fresh layers"]
    fresh_fresh: Float[np.ndarray, "half layers"]
    unmatched_p: Float[np.ndarray, " layers"]
    stable_ranks: Float[np.ndarray, "layers two"]
    fresh_ranks: Float[np.ndarray, "layers 3"]
    spectrum_layers: tuple[str, ...]
    spectra: Float[np.ndarray, "shown 3 bins"]

    @property
    def models(self) -> tuple[str, str]:
        """The two networks' names."""
        return self.a, self.b

    @property
    def whole(self) -> Estimate:
        """The distance over all weights after matching."""
        return self.estimates[DISTANCE, ALL]

    @property
    def level(self) -> float:
        """The distance of the first network and fresh ones."""
        return self.whole.null or 0.0

    @property
    def one_recipe(self) -> bool:
        """Whether the two are trainings of one recipe from different seeds."""
        return bool(self.recipe_a) and self.recipe_a == self.recipe_b and self.a != self.b


def compute(a: LayerWeights, b: LayerWeights, params: LayerParams) -> Layers:
    """Match two networks' channels and compare their layers, beside fresh networks.

    Raises
    ------
    UserError
        If a network has no convolution, or they share no layer of one name and shape.
    """
    for weights in (a, b):
        if not weights.layers:
            raise UserError(f"{weights.model} has no convolution layers: leave it out of this analysis")
    shared = shared_layers(a, b)
    with busy("matching channels"):
        values, matching = _matched(a, b, shared, params)
    fresh, fresh_fresh = _fresh(a, b, shared, params)
    nulls = fresh.mean(axis=0)
    whole = {
        (DISTANCE, ALL): Estimate(values[-1], n=len(shared), null=float(nulls[-1])),
        (BETWEEN_FRESH,): Estimate(float(fresh_fresh[:, -1].mean()), n=len(fresh_fresh)),
    }
    near, far, unmatched_p = _distances(a, b, matching, dict(zip(shared, nulls, strict=False)), params)
    p_values = np.array(
        [further_p_value(near[DISTANCE, name].value, fresh[:, k]) for k, name in enumerate(shared)]
    )
    ranks, fresh_ranks, rank_p = _stable_ranks(a, b, shared, params)
    lower = (rank_p <= TEST / len(shared)).sum(axis=0)
    return Layers(
        title=f"{a.model} and {b.model}",
        a=a.model,
        b=b.model,
        recipe_a=a.recipe,
        recipe_b=b.recipe,
        how="layer by layer" if matching.architecture == "unknown" else "through the network",
        compared=len(shared),
        left_out=len(a.layers) + len(b.layers) - 2 * len(shared),
        closer=int((p_values <= TEST / len(shared)).sum()),
        lower_a=int(lower[0]),
        lower_b=int(lower[1]),
        estimates=Estimates(whole | near),
        by_layer=Estimates(far | _norms(a, matching.apply(b), params)),
        whole_p=further_p_value(values[-1], fresh[:, -1]),
        seed=params.seed,
        layers=tuple(shared),
        sizes=np.array([a.layers[name].size for name in shared]),
        distance_p=p_values,
        fresh=fresh[:, :-1],
        fresh_fresh=fresh_fresh[:, :-1],
        unmatched_p=unmatched_p,
        stable_ranks=ranks,
        fresh_ranks=fresh_ranks,
        **_spectra(a, b, shared, params),
    )


def _matched(
    a: LayerWeights, b: LayerWeights, names: Sequence[str], params: LayerParams
) -> tuple[list[float], Matching]:
    """Match b to a, and give the distances of the layers and, last, that of all weights together."""
    found = match(a, b, seed=params.seed, restarts=params.restarts)
    x, y = scale_free(a).layers, found.apply(scale_free(b)).layers
    gaps = np.array([_energy(x[name] - y[name]) for name in names])
    sizes = np.array([(_energy(x[name]) + _energy(y[name])) / 2 for name in names])
    gaps, sizes = np.append(gaps, gaps.sum()), np.append(sizes, sizes.sum())
    values = np.sqrt(np.divide(gaps, sizes, out=np.zeros_like(gaps), where=sizes > 0))
    return [float(value) for value in values], found


def _energy(kernels: np.ndarray) -> float:
    return float(np.vdot(kernels, kernels))


def _fresh(
    a: LayerWeights, b: LayerWeights, names: Sequence[str], params: LayerParams
) -> tuple[np.ndarray, np.ndarray]:
    """Give what ``_matched`` gives of a and fresh networks, and of fresh networks in both places."""
    state = np.random.SeedSequence([params.seed, 24]).generate_state(3 * params.fresh)
    seeds = [int(seed) for seed in state]
    count, half = params.fresh, params.fresh // 2
    drawn = track(seeds[:count], "matching fresh networks")
    own = [_matched(a, fresh_like(b, s), names, params)[0] for s in drawn]
    pairs = zip(seeds[count : count + half], seeds[count + half : count + 2 * half], strict=True)
    drawn_twice = track(pairs, "matching fresh networks with fresh ones", half)
    both = [_matched(fresh_like(a, s), fresh_like(b, t), names, params)[0] for s, t in drawn_twice]
    return np.array(own), np.array(both)


def _distances(
    a: LayerWeights, b: LayerWeights, matching: Matching, nulls: Mapping[str, float], params: LayerParams
) -> tuple[Estimates, Estimates, np.ndarray]:
    """Give each layer's distance, matched; and as channels are numbered, with its p values."""
    x, y = scale_free(a), scale_free(b)
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


def _stable_ranks(
    a: LayerWeights, b: LayerWeights, names: Sequence[str], params: LayerParams
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each layer's stable rank in both networks; mean and range of fresh ones; and p values."""
    ranks, null, p_values = [], [], []
    for name in names:
        own = [stable_rank(singular_values(w.layers[name])) for w in (a, b)]
        found = fresh_singular_values(a.layers[name].shape, FRESH_LAYERS, params.seed)
        each = np.array([stable_rank(one) for one in found])
        ranks.append(own)
        null.append([each.mean(), *further_range(each)])
        p_values.append([further_p_value(one, each) if np.isfinite(one) else 1.0 for one in own])
    return np.array(ranks), np.array(null), np.array(p_values)


def _spectra(a: LayerWeights, b: LayerWeights, names: Sequence[str], params: LayerParams) -> dict[str, Any]:
    """Give the singular values of a first and a last layer of a, of b and of fresh networks."""
    wide = [n for n in names if min(len(a.layers[n]), a.layers[n][0].size) > 1]
    large = [n for n in wide if a.layers[n][0, 0].size > 1] or wide
    shown = tuple(dict.fromkeys(large[k] for k in (0, -1))) if large else ()
    found = np.zeros((len(shown), 3, BINS))
    for k, name in enumerate(shown):
        shape = a.layers[name].shape
        lines = [relative_to_edge(singular_values(w.layers[name]), shape) for w in (a, b)]
        null = fresh_singular_values(shape, FRESH_LAYERS, params.seed)
        lines.append(np.mean([relative_to_edge(one, shape) for one in null], axis=0))
        for m, line in enumerate(lines):
            found[k, m] = np.interp(np.linspace(0, 1, BINS), np.linspace(0, 1, len(line)), line)
    return {"spectrum_layers": shown, "spectra": found}


def _norms(a: LayerWeights, b: LayerWeights, params: LayerParams) -> Estimates:
    """Compare the running statistics of the norm layers that both networks have, b's channels matched."""
    found = Estimates()
    for k, (name, own) in enumerate(a.norms.items()):
        other = b.norms.get(name, {})
        if not {"running_mean", "running_var"} <= set(own) & set(other):
            continue
        if own["running_mean"].shape != other["running_mean"].shape:
            continue
        drift = norm_drift(
            own, other, shuffles=params.shuffles, replicates=params.resamples, seed=params.seed + k
        )
        if drift.mean is not None and drift.variance is not None:
            found[MEAN, name] = _estimate(drift.mean, drift.channels)
            found[VARIANCE, name] = _estimate(drift.variance, drift.channels)
    return found


def charts(results: Sequence[Layers]) -> list[Chart]:
    """Draw the first pairs, all networks' stable ranks, and all pairs in one picture and table."""
    networks = _networks(results)
    drawn: list[Chart] = [_distance_chart(r, results) for r in results[:SHOWN_PAIRS]]
    if len(networks) > 2:
        drawn.append(_map(results, tuple(networks)))
    if len(results) > 1:
        drawn.append(_pairs_table(results))
    drawn.append(_rank_chart(networks))
    drawn += [_spectrum_chart(results[0], k) for k in range(len(results[0].spectrum_layers))]
    drawn += [_norm_chart(r) for r in results[:SHOWN_PAIRS] if r.by_layer.places(MEAN)]
    drawn += [_layer_table(r) for r in results[:SHOWN_PAIRS]]
    return drawn


def _networks(results: Sequence[Layers]) -> dict[str, tuple[Layers, int]]:
    """Give each network, with the first result that holds it, and whether as its first or second."""
    found: dict[str, tuple[Layers, int]] = {}
    for r in results:
        for k, model in enumerate(r.models):
            found.setdefault(model, (r, k))
    return found


def _large(r: Layers) -> np.ndarray:
    """Give the places of the layers that are drawn: a few weights are far from anything by chance."""
    large = np.flatnonzero(r.sizes >= DRAWN_FROM)
    return large if len(large) else np.arange(len(r.layers))


def _distance_chart(r: Layers, results: Sequence[Layers]) -> Curves:
    """Draw the distance by layer, matched and not, beside fresh networks and two seeds of one recipe."""
    k = _large(r)
    places = [(r.layers[layer],) for layer in k]
    low, high = further_range(r.fresh[:, k])
    curves = [
        Curve("matched", k + 1, *r.estimates.row(DISTANCE, places), markers=True, role="after"),
        Curve("not matched", k + 1, r.by_layer.row(UNMATCHED, places)[0], dash="dash", role="before"),
        Curve("fresh network (null)", k + 1, r.fresh[:, k].mean(axis=0), low, high, role="null"),
        Curve("two fresh networks (null)", k + 1, r.fresh_fresh[:, k].mean(axis=0), dash="dot", role="null"),
    ]
    twins = [t for t in results if t.one_recipe and t is not r and t.recipe_a in (r.recipe_a, r.recipe_b)]
    alike = [t for t in twins if t.layers == r.layers]
    for twin in alike[:1]:
        apart = twin.estimates.row(DISTANCE, places)[0]
        curves.append(Curve("two seeds of one recipe", k + 1, apart, dash="dash"))
    words = " No two seeds of a recipe of theirs are among the models to compare with."
    if alike:
        words = f" Seeds of one recipe: {alike[0].title}, matched."
    if r.one_recipe:
        words = (
            " The two are trainings of one recipe from different seeds: so near does another training come."
        )
    return Curves(
        title=f"Distance of the layers of {r.title}",
        xlabel="layer, from the image on; the table below has their names",
        ylabel="relative distance",
        curves=tuple(curves),
        note=f"0 is equal, √2 orthogonal. Fresh: {r.a} and a fresh network, matched alike. Channels were "
        f"matched {_matched_words(r)}. Bands: 95 % over channels; and where a further fresh network would "
        f"lie, from {len(r.fresh)} drawn with seed {r.seed}. {SMALL_LEFT_OUT}{words}",
    )


def _matched_words(r: Layers) -> str:
    unknown = ", since nobody knows how these layers hang together, with input channels as they stand"
    return r.how + (unknown if r.how == "layer by layer" else "")


def _map(results: Sequence[Layers], networks: tuple[str, ...]) -> Heatmap:
    """Draw the distance of every pair, the fresh level below it."""
    values = np.full((len(networks), len(networks)), np.nan)
    text = np.full(values.shape, "", dtype=object)
    for r in results:
        cells = (networks.index(r.a), networks.index(r.b))
        for cell in (cells, cells[::-1]):
            values[cell] = r.whole.value
            text[cell] = f"{r.whole.value:.2f}\n({r.level:.2f})"
    return Heatmap(
        title="Distance of all pairs, over all layers",
        xlabels=networks,
        ylabels=networks,
        values=values,
        text=text.astype(str),
        colour_label="relative distance",
        note="After matching; in brackets, the first of the pair and fresh networks.",
    )


def _pairs_table(results: Sequence[Layers]) -> Table:
    return Table(
        title="All pairs of networks",
        columns=(
            *("pair", "relative distance", "fresh networks", "p", "layers closer"),
            *("channels matched", "seeds of one recipe"),
        ),
        rows=tuple(
            (
                r.title,
                _cell(r.whole.value),
                _cell(r.level),
                Cell(r.whole_p, _p(r.whole_p)),
                Cell(r.closer, f"{r.closer} of {r.compared}"),
                r.how,
                r.one_recipe,
            )
            for r in results
        ),
        note="Over all weights of all layers, after matching; p: of a further fresh network being as near.",
    )


def _p(value: float) -> str:
    return "below 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.001 else f"{value:.3f}"


def _cell(value: float | None, spec: str = ".3f") -> Cell | None:
    return Cell(value, format(value, spec)) if value is not None and np.isfinite(value) else None


def _rank_chart(networks: Mapping[str, tuple[Layers, int]]) -> Curves:
    shown = list(networks.items())[:SHOWN_MODELS]
    curves = []
    for model, (r, m) in shown:
        k = _large(r)
        relative = r.stable_ranks[k, m] / r.fresh_ranks[k, 0]
        curves.append(Curve(model, k + 1, relative, model=model, markers=True))
    longest = max((r for _, (r, _) in shown), key=lambda r: len(r.layers))
    k = _large(longest)
    band = longest.fresh_ranks[k].T / longest.fresh_ranks[k, 0]
    curves.append(Curve("fresh layers (null)", k + 1, band[0], band[1], band[2], dash="dash", role="null"))
    more = f" {len(networks) - len(shown)} more networks are left out." if len(networks) > len(shown) else ""
    return Curves(
        title="Stable rank by layer",
        xlabel="layer, from the image on; the table below has their names",
        ylabel="stable rank / stable rank of fresh layers",
        curves=tuple(curves),
        note="Below 1, a few directions are stronger than in fresh layers of the shape. Band: where 95 % of "
        f"fresh layers lie, from {FRESH_LAYERS} drawn with seed {longest.seed}. {SMALL_LEFT_OUT}{more}",
    )


def _spectrum_chart(r: Layers, k: int) -> Curves:
    x = np.linspace(0, 1, BINS)
    curves = [Curve(m, x, line, model=m) for m, line in zip(r.models, r.spectra[k], strict=False)]
    curves.append(Curve("fresh layers (null)", x, r.spectra[k, 2], dash="dash", role="null"))
    return Curves(
        title=f"Singular values of {r.spectrum_layers[k]}, {r.title}",
        xlabel="place among the singular values, from the largest (0) to the smallest (1)",
        ylabel="singular value / Marchenko–Pastur edge",
        curves=tuple(curves),
        note="In a large layer, the singular values of independent weights of the same size end at 1; in a "
        f"small one they scatter about it. Fresh: mean of {FRESH_LAYERS}.",
    )


def _norm_chart(r: Layers) -> Curves:
    norms = r.by_layer.places(MEAN)
    x = np.arange(1, len(norms) + 1)
    curves = [Curve(name, x, *r.by_layer.row(what, norms), markers=True) for what, name, _ in DRIFTS]
    for what, name, dash in DRIFTS:
        null = np.array([r.by_layer[what, *norm].null for norm in norms], np.float64)
        curves.append(Curve(f"{name}, shuffled channels (null)", x, null, dash=dash, role="null"))
    return Curves(
        title=f"Drift of the norm layers of {r.title}",
        xlabel="norm layer, from the image on",
        ylabel="mean over channels",
        curves=tuple(curves),
        note="Mean: |difference of the running means| in common standard deviations. Variance: |ln ratio of "
        f"the running variances|. Channels were matched {r.how}. Bands: 95 % over channels.",
    )


def _layer_table(r: Layers) -> Table:
    rows = []
    for k, name in enumerate(r.layers):
        matched, unmatched = r.estimates[DISTANCE, name], r.by_layer[UNMATCHED, name]
        ranks = (*r.stable_ranks[k], r.fresh_ranks[k, 0])
        rows.append(
            (
                *(k + 1, name, matched, _cell(matched.null), Cell(r.distance_p[k], _p(r.distance_p[k]))),
                *(Cell(unmatched, f"{unmatched.value:.3f}"), _cell(unmatched.null)),
                *(_cell(r.unmatched_p[k], ".4f"), *(_cell(rank, ".2f") for rank in ranks)),
            )
        )
    return Table(
        title=f"Layers of {r.title}, by name",
        columns=(
            *("", "layer", "matched", "fresh", "p", "not matched", "shuffled", "p of shuffles"),
            *(f"stable rank, {m}" for m in (*r.models, "fresh")),
        ),
        rows=tuple(rows),
        note="Relative distances, with matching (p: of a further fresh network being as near) and without "
        "(p: the share of channel shuffles as near); intervals are over output channels.",
        folded=True,
    )


def findings(results: Sequence[Layers]) -> list[Finding]:
    """Say how near the networks are beside fresh ones, and beside two seeds of one recipe."""
    said = [_words(r) for r in results] if len(results) <= SHOWN_PAIRS else [_words_of_all(results)]
    twins = [r for r in results if r.one_recipe]
    if twins:
        listed = ", ".join(
            f"{r.title} at {r.whole.value:.3f} (fresh networks {r.level:.3f})" for r in twins[:3]
        )
        said.append(Finding(f"Trainings of one recipe from different seeds come this near: {listed}."))
    else:
        said.append(
            Finding(
                "No two of these networks are known to be trainings of one recipe from different seeds, so "
                "how near such a pair comes is not known here."
            )
        )
    return said


def _words(r: Layers) -> Finding:
    if r.whole_p <= TEST:
        verdict = f"nearer than those (p {_is(r.whole_p)})"
    else:
        verdict = f"not shown to be nearer than those (p {_is(r.whole_p)})"
    text = (
        f"With channels matched {r.how}, {r.a} and {r.b} are at a relative distance of {r.whole.value:.3f} "
        f"over all layers, {r.a} and fresh networks at {r.level:.3f}: {verdict}, and nearer in "
        f"{r.closer} of {r.compared} layers one by one. Stable rank is lower than in fresh layers in "
        f"{r.lower_a} of them in {r.a} and {r.lower_b} in {r.b}."
    )
    numbered = int((r.unmatched_p <= TEST / r.compared).sum())
    if numbered:
        text += (
            f" As they are numbered, channels are nearer than shuffled ones in {numbered} layers, as in "
            "networks that started from one seed."
        )
    return Finding(text)


def _is(p_value: float) -> str:
    return "below 0.0001" if p_value < 1e-4 else f"= {_p(p_value)}"


def _words_of_all(results: Sequence[Layers]) -> Finding:
    near = sum(r.whole_p <= TEST / len(results) for r in results)
    best = min(results, key=lambda r: r.whole.value)
    return Finding(
        f"With channels matched, {near} of {len(results)} pairs of networks are nearer than the first of the "
        f"pair and fresh networks (Bonferroni over pairs); the nearest are {best.a} and {best.b}, at a "
        f"relative distance of {best.whole.value:.3f} over all layers, {best.a} and fresh networks being at "
        f"{best.level:.3f}."
    )


ANALYSIS = Analysis(
    question="Are two networks alike, layer by layer, once their channels are matched?",
    over="weight pair",
    params=LayerParams(),
    result=Layers,
    compute=compute,
    charts=charts,
    findings=findings,
)
