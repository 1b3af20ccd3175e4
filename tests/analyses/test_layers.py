import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from embedlab.analyses import layers
from embedlab.analyses.layers import BETWEEN_FRESH, DISTANCE, MEAN, UNMATCHED, VARIANCE, LayerParams
from embedlab.charts import Table
from embedlab.errors import UserError
from embedlab.lab.weights import LayerWeights, wiring
from embedlab.maths.kernels.channel_matching import reordered
from tests.planted import layer_weights

FEW = LayerParams(fresh=5, shuffles=99, resamples=100)
CHANNELS = (3, 12, 16, 8)


def chain(model="a", seed=0, recipe=""):
    """A network whose layers read one another, with norm statistics of its own."""
    rng = np.random.default_rng(seed)
    kernels = {
        f"conv{k}": rng.normal(size=(o, i, 3, 3)).astype(np.float32)
        for k, (i, o) in enumerate(pairwise(CHANNELS))
    }
    return LayerWeights(model, kernels, {}, recipe=recipe)


def permuted(weights, seed=1, **changes):
    """The same network, its channels in another order and of other sizes."""
    rng = np.random.default_rng(seed)
    wires = wiring(weights)
    sizes = {wires[name].outputs: len(kernels) for name, kernels in weights.layers.items()}
    order = {group: rng.permutation(size) for group, size in sizes.items()}
    return dataclasses.replace(reordered(weights, wires, order), **changes)


def noisy(weights, amount, seed=2, **changes):
    rng = np.random.default_rng(seed)
    kernels = {
        n: k + np.float32(amount) * rng.normal(size=k.shape).astype("f4") for n, k in weights.layers.items()
    }
    return dataclasses.replace(weights, layers=kernels, **changes)


def by_layer(found, what=DISTANCE):
    return [(found.by_layer | found.estimates)[what, name] for name in found.layers]


def test_a_permuted_copy_is_at_distance_zero_and_far_without_matching():
    found = layers.compute(chain(), permuted(chain(), model="b"), FEW)
    assert found.whole.value == pytest.approx(0, abs=1e-3)
    assert all(e.value == pytest.approx(0, abs=1e-3) for e in by_layer(found))
    assert min(e.value for e in by_layer(found, UNMATCHED)) > 1
    assert found.closer == found.compared == 3
    assert found.how == "through the network"
    assert "relative distance of 0.000 over all layers" in layers.findings([found])[0].text
    assert "nearer in 3 of 3 layers" in layers.findings([found])[0].text


def test_scales_of_channels_change_nothing():
    a = chain()
    scaled = {
        n: k * np.linspace(0.5, 2, len(k), dtype="f4")[:, None, None, None] for n, k in a.layers.items()
    }
    found = layers.compute(a, dataclasses.replace(a, model="b", layers=scaled), FEW)
    assert found.whole.value == pytest.approx(0, abs=1e-3)


def test_an_unrelated_network_is_as_far_as_fresh_ones():
    found = layers.compute(chain(), chain("b", seed=5), FEW)
    assert found.whole.value == pytest.approx(found.whole.null, abs=0.05)
    assert found.estimates[BETWEEN_FRESH,].value == pytest.approx(found.whole.null, abs=0.05)
    assert found.whole.null < 1.38
    assert found.closer == 0
    assert "not shown to be nearer than those" in layers.findings([found])[0].text


def test_unrelated_networks_are_seldom_called_nearer():
    wrong = [layers.compute(chain(), chain("b", seed=10 + k), LayerParams(8, 1, 1, 1)) for k in range(40)]
    assert sum(r.whole_p <= 0.05 for r in wrong) <= 6
    assert 0.3 < np.mean([r.whole_p for r in wrong]) < 0.7


def test_a_noisy_permuted_copy_lies_between():
    found = layers.compute(chain(), permuted(noisy(chain(), 0.5), model="b"), FEW)
    expected = np.sqrt(2 - 2 / np.sqrt(1 + 0.5**2))
    assert found.whole.value == pytest.approx(expected, abs=0.03)
    assert found.whole_p < 1e-4
    for estimate in by_layer(found):
        assert estimate.low < estimate.value < estimate.high < estimate.null


def test_two_seeds_of_one_recipe_are_the_level_to_compare_with():
    a, b, c = chain("a", recipe="r"), noisy(chain("b", recipe="r"), 0.5), chain("c", seed=4)
    other, twins = layers.compute(a, c, FEW), layers.compute(a, b, FEW)
    assert twins.one_recipe
    assert not other.one_recipe
    alone = layers.findings([other])[-1].text
    assert "No two of these networks are known to be trainings of one recipe" in alone
    assert "a and b at 0." in layers.findings([other, twins])[-1].text
    drawn = layers.charts([other, twins])[0]
    assert any(curve.name == "two seeds of one recipe" for curve in drawn.curves)
    assert "Seeds of one recipe: a and b" in drawn.note
    assert "No two seeds" in layers.charts([other])[0].note


def test_networks_from_one_seed_are_found_by_their_numbers():
    found = layers.compute(chain(), noisy(chain("b"), 1.0), FEW)
    assert (found.unmatched_p <= 0.05 / 3).all()
    assert "channels are nearer than shuffled ones in 3 layers" in layers.findings([found])[0].text


def test_where_the_wiring_is_unknown_layers_are_matched_one_by_one_and_that_is_said():
    a = layer_weights("a")
    b = dataclasses.replace(
        a, model="b", layers={n: np.roll(k, k.shape[0] // 3, 0) for n, k in a.layers.items()}
    )
    found = layers.compute(a, b, FEW)
    assert found.how == "layer by layer"
    assert found.whole.value == pytest.approx(0, abs=1e-3)
    assert "nobody knows how these layers hang together" in layers.charts([found])[0].note


def test_layers_of_one_network_only_are_counted():
    a = layer_weights("a")
    b = LayerWeights("b", {"conv0": a.layers["conv0"], "other": a.layers["conv1"]}, {})
    found = layers.compute(a, b, FEW)
    assert (found.compared, found.left_out) == (1, 3)


def test_a_planted_direction_lowers_the_stable_rank():
    a = chain()
    heavy = {n: k + np.float32(1.5) for n, k in a.layers.items()}
    found = layers.compute(a, dataclasses.replace(a, model="b", layers=heavy), FEW)
    assert (found.lower_a, found.lower_b) == (0, 3)
    assert (found.stable_ranks[:, 1] < found.fresh_ranks[:, 1]).all()
    assert found.spectra[0, 1, 0] > 1.5 * found.spectra[0, 0, 0]


def residual(model, seed):
    """The first layers of a residual network, with norm layers whose channels are known."""
    rng = np.random.default_rng(seed)
    norm = {"running_mean": rng.normal(size=12), "running_var": rng.uniform(1, 9, size=12)}
    kernels = {
        "input_layer.0": rng.normal(size=(12, 3, 3, 3)),
        "body.0.res_layer.1": rng.normal(size=(12, 12, 3, 3)),
        "body.0.res_layer.3": rng.normal(size=(12, 12, 3, 3)),
    }
    return LayerWeights(model, kernels, {"input_layer.1": norm, "body.0.res_layer.0": norm})


def test_norm_statistics_of_a_permuted_copy_have_not_drifted():
    a = residual("a", 0)
    found = layers.compute(a, permuted(a, model="b"), FEW)
    norms = (("input_layer.1",), ("body.0.res_layer.0",))
    assert found.by_layer.places(MEAN) == found.by_layer.places(VARIANCE) == norms
    drifts = [found.by_layer[what, *norm] for what in (MEAN, VARIANCE) for norm in norms]
    assert [e.value for e in drifts] == pytest.approx([0] * 4)
    assert min(e.null for e in drifts) > 0.3
    assert any(c.title.startswith("Drift of the norm layers") for c in layers.charts([found]))


def test_the_tables_hold_numbers_and_what_a_dead_layer_has_not_is_no_number():
    a, b = (
        dataclasses.replace(w, layers=w.layers | {"dead": np.zeros((2, 2, 3, 3), "f4")})
        for w in (chain(), chain("b", 1))
    )
    found = layers.compute(a, b, FEW)
    pairs, by_name, _ = (c for c in layers.charts([found, found]) if isinstance(c, Table))
    assert pairs.rows[0][1].value == found.whole.value
    assert pairs.rows[0][3].value == found.whole_p
    row = by_name.rows[1]
    assert row[2] == found.estimates[DISTANCE, "conv1"]
    assert row[5].value == found.by_layer[UNMATCHED, "conv1"]
    assert row[8].value == found.stable_ranks[1, 0]
    assert by_name.cells()[-1][1] == "dead"
    assert by_name.cells()[-1][8] == "n/a"


def test_networks_without_a_common_layer_are_refused():
    with pytest.raises(UserError, match="share no layer of one name and shape"):
        layers.compute(layer_weights("a"), layer_weights("b", channels=8), FEW)


def test_networks_without_convolutions_are_refused():
    with pytest.raises(UserError, match="b has no convolution layers"):
        layers.compute(layer_weights("a"), LayerWeights("b", {}, {}), FEW)


def test_many_pairs_stay_few_charts_and_sentences():
    networks = [chain(f"n{k}", seed=k) for k in range(6)]
    pairs = [layers.compute(networks[0], other, FEW) for other in networks[1:]]
    charts = layers.charts(pairs)
    assert len(charts) <= 10
    heat = next(c for c in charts if c.title == "Distance of all pairs, over all layers")
    assert heat.values.shape == (6, 6)
    assert np.isfinite(heat.values).sum() == 2 * 5
    assert len(next(c for c in charts if c.title == "All pairs of networks").rows) == 5
    assert len(layers.findings(pairs)) == 2
    assert "0 of 5 pairs" in layers.findings(pairs)[0].text
