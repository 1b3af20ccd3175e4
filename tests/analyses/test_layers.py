import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.kernels import copied, network
from embedlab.analyses import layers
from embedlab.analyses.layers import DISTANCE, UNMATCHED, LayerParams
from embedlab.charts import Table
from embedlab.errors import UserError
from embedlab.lab.weights import LayerWeights, wiring
from embedlab.maths.kernels.channel_matching import reordered
from tests.planted import layer_weights

FEW = LayerParams(signs=19, restarts=1, shuffles=99, resamples=100)
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


def texts(*results):
    found = [f.text for f in layers.findings(results)]
    assert max(len(text.split()) for text in found) <= 30
    return found


def by_layer(found, what=DISTANCE):
    return [(found.by_layer | found.estimates)[what, name] for name in found.layers]


def test_a_permuted_copy_is_at_distance_zero_and_far_without_matching():
    found = layers.compute(chain(), permuted(chain(), model="b"), FEW)
    assert found.whole.value == pytest.approx(0, abs=1e-3)
    assert all(e.value == pytest.approx(0, abs=1e-3) for e in by_layer(found))
    assert min(e.value for e in by_layer(found, UNMATCHED)) > 1
    assert found.nearer == found.compared == 3
    assert found.how == "through the network"
    assert "a and b are nearer to each other than with random signs" in texts(found)[0]
    assert "(distance 0.000, random signs 1." in texts(found)[0]
    assert "One by one, 3 of 3 layers of " in texts(found)[1]


def test_scales_of_channels_change_nothing():
    a = chain()
    scaled = {
        n: k * np.linspace(0.5, 2, len(k), dtype="f4")[:, None, None, None] for n, k in a.layers.items()
    }
    found = layers.compute(a, dataclasses.replace(a, model="b", layers=scaled), FEW)
    assert found.whole.value == pytest.approx(0, abs=1e-3)


def test_an_unrelated_network_is_as_far_as_random_signs_make_it():
    found = layers.compute(chain(), chain("b", seed=5), FEW)
    assert found.whole.value == pytest.approx(found.whole.null, abs=0.05)
    assert found.whole.null < 1.38
    assert found.nearer == 0
    assert "not shown to be nearer to each other" in texts(found)[0]


@pytest.mark.parametrize("law", ["t₃", "unequal", "low rank"])
def test_unrelated_networks_are_seldom_called_nearer(law):
    """`benchmarks/kernels.py` has the same of more networks."""
    few = LayerParams(19, 1, 1, 1)
    found = [layers.compute(network(law, 2 * k), network(law, 2 * k + 1), few) for k in range(30)]
    assert np.mean([r.whole_p <= 0.05 for r in found]) <= 0.15
    assert np.mean([r.nearer > 0 for r in found]) <= 0.15
    assert 0.35 < np.mean([r.whole_p for r in found]) < 0.65


def test_a_permuted_copy_that_holds_a_quarter_of_the_energy_is_found_under_any_law():
    for law in ("t₃", "unequal", "low rank"):
        found = layers.compute(*copied(0.25, law, 0), FEW)
        assert found.whole_p <= 0.05
        assert found.nearer >= 2


def test_a_noisy_permuted_copy_lies_between():
    found = layers.compute(chain(), permuted(noisy(chain(), 0.5), model="b"), FEW)
    expected = np.sqrt(2 - 2 / np.sqrt(1 + 0.5**2))
    assert found.whole.value == pytest.approx(expected, abs=0.03)
    assert found.whole_p < 1e-4
    assert "p below 0.0001" in texts(found)[0]
    for estimate in by_layer(found):
        assert estimate.low < estimate.value < estimate.high < estimate.null


def test_two_seeds_of_one_recipe_are_the_level_to_compare_with():
    a, b, c = chain("a", recipe="r"), noisy(chain("b", recipe="r"), 0.5), chain("c", seed=4)
    other, twins = layers.compute(a, c, FEW), layers.compute(a, b, FEW)
    assert twins.one_recipe
    assert not other.one_recipe
    assert len(texts(other)) == 2
    assert (
        "Two seeds of one recipe, a and b, come this near to each other: distance 0."
        in texts(other, twins)[-1]
    )


def test_networks_from_one_seed_are_found_by_their_numbers():
    found = layers.compute(chain(), noisy(chain("b"), 1.0), FEW)
    assert found.unmatched_p == pytest.approx([0.03] * 3)
    assert "Without matching, channels of 3 of 3 layers of " in texts(found)[-1]


def test_where_the_wiring_is_unknown_layers_are_matched_one_by_one_and_that_is_said():
    a = dataclasses.replace(layer_weights("a"), wires={}, family="")
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


def test_the_tables_hold_numbers_and_what_a_dead_layer_has_not_is_no_number():
    a, b = (
        dataclasses.replace(w, layers=w.layers | {"dead": np.zeros((2, 2, 3, 3), "f4")})
        for w in (chain(), chain("b", 1))
    )
    found = layers.compute(a, b, FEW)
    pairs, by_name = (c for c in layers.charts([found]) if isinstance(c, Table))
    assert pairs.rows[0][1].value == found.whole.value
    assert pairs.rows[0][3].value == found.whole_p
    row = by_name.rows[1]
    assert row[2] == found.estimates[DISTANCE, "conv1"]
    assert row[5].value == found.by_layer[UNMATCHED, "conv1"]
    assert by_name.cells()[-1][1] == "dead"


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
    assert len(charts) == 2 + 1 + 2
    assert len(next(c for c in charts if c.title == "Distance over all layers").rows) == 5
    assert len(texts(*pairs)) == 2
    assert "none of 5 pairs" in texts(*pairs)[0]
