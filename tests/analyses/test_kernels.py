import numpy as np
import pytest

from embedlab.analyses import kernels
from embedlab.analyses.kernels import DIFFERENCE, NETWORKS, SCALED, SUM, ZERO, KernelParams
from embedlab.errors import UserError
from embedlab.lab.weights import LayerWeights
from embedlab.maths.kernels.kernel_structure import planted
from tests.planted import layer_weights

FEW = KernelParams(shuffles=99, resamples=100)
FIRST, SECOND = NETWORKS


def one_layer(model, values, name="conv0"):
    return LayerWeights(model, {name: values.astype(np.float32)}, {})


def fresh(model="fresh", channels=16, size=3, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(channels, 3, size, size))
    return one_layer(model, drawn * np.sqrt(2 / (channels * size**2)))


def texts(*results):
    found = [f.text for f in kernels.findings(results)]
    assert max(len(text.split()) for text in found) <= 30
    return found


def test_networks_without_relation_are_not_called_alike():
    found = kernels.compute(fresh("a"), fresh("b", seed=1), FEW)
    said = texts(found)
    assert "on average, not shown to be more than with weights in random places" in said[0]
    assert "on average, not shown to be more than with kernels turned and mirrored at random" in said[1]
    assert found.correlation.value == pytest.approx(found.correlation.null, abs=0.1)
    assert (np.diff(np.abs(found.r)) <= 0).all()


def test_kernels_are_matched_up_to_order_and_sign():
    a = fresh("a")
    order = np.random.default_rng(3).permutation(16)
    b = one_layer("b", -a.layers["conv0"][order])
    found = kernels.compute(a, b, FEW)
    np.testing.assert_array_equal(order[found.order[:, 1]], found.order[:, 0])
    np.testing.assert_allclose(found.r, -1, atol=1e-5)
    assert found.correlation.value == pytest.approx(1)
    assert max(found.correlation.null, found.turned) < 0.7
    assert "1.00 on average, more than with weights in random places" in texts(found)[0]
    assert "p = 0.010, the smallest possible" in texts(found)[0]
    tiles = next(c for c in kernels.charts([found]) if "above its match" in c.title)
    assert tiles.rows == ("a", "b") * 2
    assert tiles.tiles[8].caption == f"channel {found.order[0, 1]}: -1.00"


def test_blurs_are_alike_for_being_smooth_and_not_more_than_turned_ones():
    rng = np.random.default_rng(2)
    a, b = (one_layer(m, rng.normal(size=(16, 3, 1, 1)) + 0.1 * rng.normal(size=(16, 3, 3, 3))) for m in "ab")
    found = kernels.compute(a, b, FEW)
    assert found.places_p == pytest.approx(0.01)
    assert found.turned_p > 0.05
    assert found.turned == pytest.approx(found.correlation.value, abs=0.02)


def test_other_gabor_functions_are_more_alike_than_noise_and_the_same_ones_than_turned_ones():
    bank, other = (planted(16, 3, 5, 5, seed=k) for k in (1, 2))
    noise = 0.1 * np.random.default_rng(0).normal(size=bank.shape)
    apart, same = (
        kernels.compute(one_layer("a", bank), one_layer("b", y), FEW) for y in (other, (bank + noise)[::-1])
    )
    assert apart.turned_p > 0.05
    assert same.turned_p == pytest.approx(0.01)
    assert same.turned < same.correlation.value - 0.1


def test_of_unequal_numbers_of_kernels_the_fewer_are_matched():
    wide, narrow = layer_weights(channels=16), layer_weights(channels=10, seed=1)
    last = {"last": np.ones((2, 2, 1, 1))}
    found = kernels.compute(
        LayerWeights("a", wide.layers | last, {}), LayerWeights("b", narrow.layers | last, {}), FEW
    )
    assert found.correlation.n == len(found.r) == 10
    assert kernels.charts([found])


def test_a_network_that_is_zero_everywhere_is_drawn_grey_and_correlates_with_none():
    zero = one_layer("zero", np.zeros((4, 3, 3, 3)))
    found = kernels.compute(zero, fresh("b", channels=4), FEW)
    assert found.correlation.value == 0
    assert "nan" not in " ".join(texts(found))
    assert set(np.unique(kernels.charts([found])[0].tiles[0].image)) == {128}


def test_kernels_of_one_weight_are_not_matched():
    a, b = (one_layer(m, np.random.default_rng(k).normal(size=(8, 3, 1, 1))) for k, m in enumerate("ab"))
    found = kernels.compute(a, b, FEW)
    assert found.correlation is None
    assert texts(found) == ["First-layer kernels differ in size or are 1×1, and cannot be matched."]
    assert kernels.charts([found])


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
    first, second = (found.along(SCALED, k) for k in (0, 1))
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_a_difference_of_sums_over_few_channels_has_no_interval():
    a, b = (layer_weights(m, seed=k, channels=4) for k, m in enumerate("ab"))
    gap = kernels.compute(a, b, FEW).by_layer[SUM, "conv1", DIFFERENCE]
    assert gap.value == pytest.approx(float((a.layers["conv1"] - b.layers["conv1"]).sum()), abs=1e-4)
    assert (gap.low, gap.high, gap.n) == (None, None, 4)


def test_tables_hold_numbers_and_what_is_constant_has_no_scaled_sum():
    a, b = (
        LayerWeights(m, layer_weights(seed=k).layers | {"dead": np.zeros((2, 2, 3, 3), "f4")}, {})
        for k, m in enumerate("ab")
    )
    found = kernels.compute(a, b, FEW)
    matches, layers = (
        next(c for c in kernels.charts([found]) if c.title.startswith(t))
        for t in ("First-layer kernels matched", "Sums")
    )
    assert matches.rows[0][2].value == found.correlation.value
    assert matches.rows[0][6].value == found.turned_p
    assert layers.rows[1][1].value == found.by_layer[SUM, "conv1", FIRST].value
    assert layers.cells()[-1][-2:] == ["n/a", "n/a"]


def test_networks_without_a_common_layer_are_refused():
    with pytest.raises(UserError, match="share no layer of one name and shape"):
        kernels.compute(layer_weights("a"), layer_weights("b", channels=8), FEW)


def test_networks_without_convolutions_are_refused():
    with pytest.raises(UserError, match="b has no convolution kernels"):
        kernels.compute(layer_weights("a"), LayerWeights("b", {}, {}), FEW)


def test_many_pairs_stay_few_charts_and_sentences():
    networks = [fresh(f"n{k}", channels=6, seed=k) for k in range(11)]
    pairs = [kernels.compute(networks[0], other, FEW) for other in networks[1:]]
    few, many = kernels.charts(pairs[:2]), kernels.charts(pairs)
    assert len(many) == len(few)
    assert any("3 more networks are left out" in c.note for c in many)
    assert len(next(c for c in many if c.title.startswith("First-layer kernels matched")).rows) == 10
    assert len(texts(*pairs)) == 2
    assert (
        "not shown to correlate more than with weights in random places in any of 10 pairs"
        in texts(*pairs)[0]
    )
