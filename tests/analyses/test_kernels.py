import numpy as np
import pytest

from embedlab.analyses import kernels
from embedlab.analyses.kernels import KernelParams
from embedlab.errors import UserError
from embedlab.weights import LayerWeights
from tests.planted import layer_weights

FEW = KernelParams(shuffles=400, resamples=200)


def test_equal_weights_are_at_distance_zero_and_closer_than_chance():
    found = kernels.compute(layer_weights("a"), layer_weights("b"), FEW)
    assert all(e.value == pytest.approx(0, abs=1e-6) for e in found.distance.values())
    assert found.closer == 3
    assert "closer than shuffled channels in 3 of 3 layers" in kernels.findings([found])[0].text


def test_unrelated_weights_stand_at_the_null():
    found = kernels.compute(layer_weights("a"), layer_weights("b", seed=1), FEW)
    for estimate in found.distance.values():
        assert estimate.value == pytest.approx(estimate.null, abs=0.15)
        assert estimate.null == pytest.approx(np.sqrt(2), abs=0.05)
    assert found.closer == 0
    assert "no closer than shuffled channels in any of 3 layers" in kernels.findings([found])[0].text


def test_a_permuted_copy_stands_at_the_null_too():
    a = layer_weights("a")
    b = LayerWeights("b", {n: np.roll(k, 1, axis=0) for n, k in a.layers.items()}, {})
    assert kernels.compute(a, b, FEW).closer == 0


def test_distance_and_sums_are_those_written_out():
    a, b = layer_weights("a"), layer_weights("b", seed=1)
    found = kernels.compute(a, b, FEW)
    x, y = a.layers["conv1"].astype(float), b.layers["conv1"].astype(float)
    expected = np.linalg.norm(x - y) / np.sqrt((np.linalg.norm(x) ** 2 + np.linalg.norm(y) ** 2) / 2)
    assert found.distance["relative distance, conv1"].value == pytest.approx(expected)
    assert found.sum_a[1] == pytest.approx(x.sum())
    assert found.difference[1].value == pytest.approx((x - y).sum())
    assert found.difference[1].low < (x - y).sum() < found.difference[1].high


def test_layers_of_one_network_only_are_counted():
    a = layer_weights("a")
    b = LayerWeights("b", {"conv0": a.layers["conv0"], "other": a.layers["conv1"]}, {})
    found = kernels.compute(a, b, FEW)
    assert (found.compared, found.left_out) == (1, 3)


def test_networks_without_a_common_layer_are_refused():
    with pytest.raises(UserError, match="share no layer of one name and shape"):
        kernels.compute(layer_weights("a"), layer_weights("b", channels=8), FEW)


def test_networks_without_convolutions_are_refused():
    with pytest.raises(UserError, match="b has no convolution kernels"):
        kernels.compute(layer_weights("a"), LayerWeights("b", {}, {}), FEW)


def test_each_network_is_drawn_once():
    pair = kernels.compute(layer_weights("a"), layer_weights("b", seed=1), FEW)
    other = kernels.compute(layer_weights("a"), layer_weights("c", seed=2), FEW)
    titles = [c.title for c in kernels.charts([pair, other])]
    assert titles[:3] == [f"First-layer kernels of {m}" for m in "abc"]


def test_zero_is_grey_in_a_colour_tile():
    weights = LayerWeights("a", {"c": np.zeros((1, 3, 3, 3), np.float32)}, {})
    tiles = kernels.charts([kernels.compute(weights, weights, FEW)])[0]
    assert set(np.unique(tiles.tiles[0].image)) == {128}
