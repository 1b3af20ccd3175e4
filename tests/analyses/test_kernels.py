import numpy as np
import pytest

from embedlab.analyses import kernels
from embedlab.analyses.kernels import DIFFERENCE, KINDS, LOW, NETWORKS, SCALED, SUM, ZERO, KernelParams
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates
from embedlab.lab.weights import LayerWeights
from embedlab.maths.kernels.kernel_structure import planted
from tests.planted import layer_weights

FEW = KernelParams(fresh_kernels=1000, shuffles=199, resamples=100, slices=200)
KERNELS = KINDS[0]
FIRST, SECOND = NETWORKS


def one_layer(model, values, name="conv0"):
    return LayerWeights(model, {name: values.astype(np.float32)}, {})


def gabors(model="gabors", channels=16, size=3):
    return one_layer(model, planted(channels, 3, size, size, seed=1))


def fresh(model="fresh", channels=16, size=3, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(channels, 3, size, size))
    return one_layer(model, drawn * np.sqrt(2 / (channels * size**2)))


@pytest.fixture(scope="module")
def found():
    return kernels.compute(gabors(), fresh(), FEW)


def test_gabor_kernels_are_called_structured_and_fresh_he_normal_ones_are_not(found):
    first = found.estimates[KERNELS, FIRST]
    second = found.estimates[KERNELS, SECOND]
    more = found.estimates[KERNELS, DIFFERENCE]
    assert first.value == 1
    assert first.low > 0.7
    assert second.value <= 1 / 16
    assert first.null < 0.01
    assert more.low > 0.5
    assert found.layer_p[0, 0] == pytest.approx(1 / 200)
    assert found.layer_p[1, 0] > 0.05
    text = kernels.findings([found])[0].text
    assert text.startswith("Of the first-layer kernels, 16 of 16 in gabors (79% to 100%")
    assert "more structured than freshly drawn ones: a difference of +" in text


def test_blurs_are_structured_as_they_are_but_not_beyond_their_means():
    rng = np.random.default_rng(2)
    blurs = rng.normal(size=(16, 3, 1, 1)) + 0.1 * rng.normal(size=(16, 3, 3, 3))
    found = kernels.compute(one_layer("blurs", blurs), gabors(), FEW)
    assert found.found[found.kernel_of == 0].sum(axis=0).tolist() == [16, 0]
    assert found.mean_share[:16].min() > 0.8
    text = kernels.findings([found])[0].text
    assert "Beyond their means, by a pattern such as an edge or a bar, 0 of 16 in blurs" in text
    assert "a Gabor pattern would have to hold" in text


def test_two_fresh_networks_may_differ_by_chance_only():
    found = kernels.compute(fresh("a"), fresh("b", seed=1), FEW)
    assert "may be chance" in kernels.findings([found])[0].text
    assert "not beyond chance more than a's with fresh kernels" in kernels.findings([found])[1].text
    assert found.correlation.value == pytest.approx(found.correlation.null, abs=0.1)
    assert (np.diff(np.abs(found.first_r)) <= 0).all()


def test_kernels_are_matched_up_to_order_and_sign():
    a = fresh("a")
    order = np.random.default_rng(3).permutation(16)
    b = one_layer("b", -a.layers["conv0"][order])
    found = kernels.compute(a, b, FEW)
    np.testing.assert_array_equal(order[found.first_order[:, 1]], found.first_order[:, 0])
    np.testing.assert_allclose(found.first_r, -1, atol=1e-5)
    assert found.correlation.value == pytest.approx(1)
    assert found.correlation.null < 0.6
    tiles = next(c for c in kernels.charts([found]) if "above its match" in c.title)
    assert tiles.rows == ("a", "b") * 2
    assert tiles.tiles[8].caption == f"channel {found.first_order[0, 1]}: -1.00"


def test_of_unequal_numbers_of_kernels_the_fewer_are_matched():
    found = kernels.compute(
        LayerWeights("a", layer_weights(channels=16).layers | {"last": np.ones((2, 2, 1, 1))}, {}),
        LayerWeights("b", layer_weights(channels=10, seed=1).layers | {"last": np.ones((2, 2, 1, 1))}, {}),
        FEW,
    )
    assert found.correlation.n == len(found.first_r) == 10
    assert found.kernel_of.tolist() == [0] * 16 + [1] * 10
    assert kernels.charts([found])


def test_a_constant_kernel_correlates_with_none_and_a_dead_one_has_no_pattern():
    values = np.random.default_rng(4).normal(size=(6, 3, 3, 3))
    values[0] = 0
    values[1] = 0.5
    found = kernels.compute(one_layer("a", values), fresh("b", channels=6), FEW)
    assert found.p_values[0].tolist() == [1, 1]
    assert found.p_values[1, 0] < 0.01
    assert found.p_values[1, 1] == 1
    assert np.isnan(found.measured[0]).all()
    assert kernels.charts([found])


def test_a_network_that_is_zero_everywhere_is_a_sentence():
    zero = one_layer("zero", np.zeros((4, 3, 3, 3)))
    found = kernels.compute(zero, fresh("b", channels=4), FEW)
    assert "0 of 4 in zero" in kernels.findings([found])[0].text
    assert "nan" not in kernels.findings([found])[0].text
    tiles = kernels.charts([found])[0]
    assert set(np.unique(tiles.tiles[0].image)) == {128}


def test_kernels_of_one_weight_are_said_to_have_no_pattern():
    a, b = (one_layer(m, np.random.default_rng(k).normal(size=(8, 3, 1, 1))) for k, m in enumerate("ab"))
    found = kernels.compute(a, b, FEW)
    assert not any(found.estimates.places(kind) for kind in KINDS)
    assert "no kernel that could show a pattern" in kernels.findings([found])[0].text
    assert kernels.charts([found])


def test_layers_over_many_channels_are_measured_by_slices():
    a, b = (one_layer(m, np.random.default_rng(k).normal(size=(8, 32, 3, 3))) for k, m in enumerate("ab"))
    found = kernels.compute(a, b, FEW)
    assert found.whole_kernels.tolist() == [False, False]
    assert len(found.found) == 2 * FEW.slices
    assert "slices of the first layer's kernels" in kernels.findings([found])[0].text
    assert kernels.charts([found])


def test_deeper_layers_are_tested_as_a_whole():
    rng = np.random.default_rng(5)
    smooth = rng.normal(size=(16, 16, 3, 3)) + rng.normal(size=(16, 16, 1, 1))
    layers = {
        "first": rng.normal(size=(16, 3, 3, 3)),
        "point": rng.normal(size=(4, 16, 1, 1)),
        "deep": smooth,
    }
    a = LayerWeights("a", layers, {})
    b = LayerWeights("b", layers | {"deep": rng.normal(size=(16, 16, 3, 3))}, {})
    found = kernels.compute(a, b, FEW)
    assert found.deep == ("first", "deep")
    smooth, fresh_like = (found.by_layer[LOW, "deep", network] for network in NETWORKS)
    assert (smooth.n, fresh_like.n) == (200, 200)
    assert found.deep_p[1, 0] < 0.01 < found.deep_p[1, 1]
    assert smooth.value > smooth.null + 0.1
    assert fresh_like.value == pytest.approx(fresh_like.null, abs=0.05)
    assert ("point",) not in found.by_layer.places(LOW)


def test_sums_are_those_written_out_and_the_scaled_ones_follow_zeros_place():
    a, b = layer_weights("a"), layer_weights("b", seed=1)
    found = kernels.compute(a, b, FEW)
    x, y = a.layers["conv1"].astype(float), b.layers["conv1"].astype(float)
    of = {key: found.by_layer[key, "conv1", FIRST].value for key in (SUM, SCALED, ZERO)}
    assert of[SUM] == pytest.approx(x.sum())
    assert found.by_layer[SUM, "conv1", SECOND].value == pytest.approx(y.sum())
    scaled = (x - x.min()) / (x.max() - x.min())
    assert of[SCALED] == pytest.approx(scaled.sum())
    place = -x.min() / (x.max() - x.min())
    assert of[ZERO] == pytest.approx(x.size * place)
    assert of[SCALED] - of[ZERO] == pytest.approx(x.sum() / (x.max() - x.min()))
    gap = found.by_layer[SUM, "conv1", DIFFERENCE]
    assert gap.value == pytest.approx((x - y).sum())
    assert gap.low < (x - y).sum() < gap.high
    (chart,) = (c for c in kernels.charts([found]) if c.title.endswith("min-max scaled"))
    assert "says nothing about the other weights" in chart.note


def test_shuffling_all_but_two_weights_leaves_the_scaled_sum_as_it_is():
    a = layer_weights("a")
    shuffled = {
        n: np.random.default_rng(0).permutation(k.ravel()).reshape(k.shape) for n, k in a.layers.items()
    }
    found = kernels.compute(a, LayerWeights("b", shuffled, {}), FEW)
    first, second = (found.along(SCALED, k, found.layers) for k in (0, 1))
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_the_interval_of_a_difference_of_shares_is_newcombes():
    both = zip(NETWORKS, ((0.8, 0.6, 0.9, 10), (0.5, 0.3, 0.7, 10)), strict=True)
    found = kernels._difference(Estimates({("k", n): Estimate(*values) for n, values in both}), "k")
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - np.hypot(0.2, 0.2))
    assert found.high == pytest.approx(0.3 + np.hypot(0.1, 0.2))


def test_a_difference_of_sums_over_few_channels_has_no_interval():
    a, b = (layer_weights(m, seed=k, channels=4) for k, m in enumerate("ab"))
    gap = kernels.compute(a, b, FEW).by_layer[SUM, "conv1", DIFFERENCE]
    assert gap.value == pytest.approx(float((a.layers["conv1"] - b.layers["conv1"]).sum()), abs=1e-4)
    assert (gap.low, gap.high, gap.n) == (None, None, 4)


def test_tables_hold_numbers_and_no_layer_without_a_test_is_given_one():
    a, b = (
        LayerWeights(m, layer_weights(seed=k).layers | {"dead": np.zeros((2, 2, 3, 3), "f4")}, {})
        for k, m in enumerate("ab")
    )
    found = kernels.compute(a, b, FEW)
    structure, layers = (
        next(c for c in kernels.charts([found]) if c.title.startswith(t)) for t in ("How str", "Layers of")
    )
    row = structure.rows[0]
    assert row[1].value == found.estimates[KERNELS, FIRST]
    assert row[2].value == found.layer_p[0, 0]
    assert row[4].value.value == pytest.approx(found.measured[:16, 0].mean())
    assert row[4].value.null == found.fresh_mean[0, 0]
    assert layers.rows[1][1].value == found.by_layer[SUM, "conv1", FIRST].value
    assert layers.rows[1][-2].value == found.deep_p[1, 0]
    assert layers.cells()[-1][-2:] == ["n/a", "n/a"]


def test_networks_without_a_common_layer_are_refused():
    with pytest.raises(UserError, match="share no layer of one name and shape"):
        kernels.compute(layer_weights("a"), layer_weights("b", channels=8), FEW)


def test_networks_without_convolutions_are_refused():
    with pytest.raises(UserError, match="b has no convolution kernels"):
        kernels.compute(layer_weights("a"), LayerWeights("b", {}, {}), FEW)


def test_each_network_is_drawn_once_and_many_pairs_stay_few_charts():
    networks = [fresh(f"n{k}", channels=6, seed=k) for k in range(11)]
    pairs = [kernels.compute(networks[0], other, FEW) for other in networks[1:]]
    few, many = kernels.charts(pairs[:2]), kernels.charts(pairs)
    assert [c.title for c in few[:3]] == [f"First-layer kernels of n{k}" for k in range(3)]
    assert len(many) <= len(few) + 5
    table = next(c for c in many if c.title == "How structured the first layers are")
    assert len(table.rows) == 11
    assert any("3 more networks are left out" in c.note for c in many)
    texts = [f.text for f in kernels.findings(pairs)]
    assert len(texts) == 2
    assert "3 more networks in the table" in texts[0]
    assert "in 0 of 10 pairs" in texts[1] or "of 10 pairs" in texts[1]
