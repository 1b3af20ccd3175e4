import numpy as np
import pytest

from benchmarks.kernels import gabors, network
from embedlab.analyses import structure
from embedlab.analyses.structure import KINDS, StructureParams
from embedlab.errors import UserError
from embedlab.lab.weights import LayerWeights
from tests.planted import layer_weights

FEW = StructureParams(shuffles=199)
PATTERN = KINDS[1]


def one_layer(model, values):
    return LayerWeights(model, {"conv0": values.astype(np.float32)}, {})


def noise(model="noise", shape=(16, 3, 3, 3), seed=0):
    return one_layer(model, np.random.default_rng(seed).normal(size=shape))


def texts(*results):
    found = [f.text for f in structure.findings(results)]
    assert max(len(text.split()) for text in found) <= 30
    return found


def test_gabor_functions_are_structured_and_said_to_be():
    found = structure.compute(gabors(1.0, 0), StructureParams(shuffles=999))
    share = found.estimates[PATTERN,]
    assert share.value > 0.6
    assert share.low < share.value <= share.high
    assert share.null < 0.01
    assert found.layer_p[1] <= 0.01
    said = texts(found)
    assert said[0].startswith("First-layer kernels of gabors hold more pattern, such as edges, than")
    assert f"{found.found[:, 1].sum()} of 16 first-layer kernels of gabors hold a pattern" in said[1]


def test_noise_is_not_and_the_p_value_is_told():
    found = structure.compute(noise(), FEW)
    assert "are not shown to hold more pattern" in texts(found)[0]
    assert f"(p = {found.layer_p[1]:.2f})" in texts(found)[0]
    assert len(texts(found)) == 2


@pytest.mark.parametrize("law", ["normal", "uniform", "t₃", "unequal", "shared"])
def test_networks_without_a_pattern_are_seldom_called_structured(law):
    """`benchmarks/kernels.py` has the same of more networks, and of more shuffles."""
    found = [structure.compute(network(law, k), StructureParams(shuffles=39)) for k in range(40)]
    for k in (0, 1):
        assert np.mean([one.layer_p[k] <= 0.05 for one in found]) <= 0.15
        assert np.mean([one.layer_p[k] for one in found]) == pytest.approx(0.5, abs=0.15)
    assert np.mean([one.found.any() for one in found]) <= 0.1


def test_smaller_p_values_for_more_of_a_pattern():
    p_values = [structure.compute(gabors(share, 1), FEW).layer_p[1] for share in (0.75, 0.02)]
    assert p_values[0] <= 0.05 < p_values[1]


def test_blurs_are_structured_as_they_are_but_not_beyond_their_means():
    rng = np.random.default_rng(2)
    blurs = rng.normal(size=(16, 3, 1, 1)) + 0.1 * rng.normal(size=(16, 3, 3, 3))
    found = structure.compute(one_layer("blurs", blurs), StructureParams(shuffles=999))
    assert found.found.sum(axis=0).tolist() == [16, 0]
    assert found.mean_share.min() > 0.8
    assert (
        "0 of 16 first-layer kernels of blurs hold a pattern, such as edges, and 16 that or"
        in texts(found)[1]
    )


def test_a_dead_kernel_has_no_pattern_and_an_even_one_none_beyond_its_mean():
    values = np.random.default_rng(4).normal(size=(6, 3, 3, 3))
    values[0], values[1] = 0, 0.5
    found = structure.compute(one_layer("a", values), FEW)
    assert found.p_values[0].tolist() == [1, 1]
    assert found.p_values[1, 0] < 0.05
    assert found.p_values[1, 1] == 1
    assert np.isnan(found.measured[0]).all()
    assert structure.charts([found])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((4, 3, 3, 3)), "too small, or zero, to show a pattern"),
        (np.ones((4, 3, 3, 3)), "even blurs, without any other pattern"),
        (np.random.default_rng(0).normal(size=(8, 3, 1, 1)), "too small, or zero, to show a pattern"),
    ],
)
def test_kernels_that_can_show_no_pattern_are_said_to(values, said):
    found = structure.compute(one_layer("a", values), FEW)
    assert said in texts(found)[0]
    assert structure.charts([found])


def test_networks_whose_kernels_can_show_no_pattern_count_among_many():
    """One with a pattern is called so beside even ones, which can have none."""
    even = [structure.compute(one_layer("even", np.ones((4, 3, 3, 3))), FEW)] * structure.TOLD_MODELS
    found = structure.compute(gabors(1.0, 0), StructureParams(shuffles=1999))
    assert np.isnan(even[0].layer_p[1])
    for some in ([found, *even], [*even, found]):
        assert f"in 1 of {len(some)} networks" in texts(*some)[0]
    assert "not shown to hold more pattern" in texts(*even, even[0])[0]


def test_deeper_layers_are_tested_as_a_whole():
    rng = np.random.default_rng(5)
    layers = {
        "first": rng.normal(size=(16, 3, 3, 3)),
        "point": rng.normal(size=(4, 16, 1, 1)),
        "smooth": rng.normal(size=(16, 16, 3, 3)) + rng.normal(size=(16, 16, 1, 1)),
        "rough": rng.normal(size=(16, 16, 3, 3)),
    }
    found = structure.compute(LayerWeights("a", layers, {}), FEW)
    assert found.deep == ("first", "smooth", "rough")
    _, (smooth, smooth_null), (rough, rough_null) = found.low
    assert found.deep_p[1] == pytest.approx(3 / 1991)
    assert found.deep_p[2] > 0.05
    assert smooth > smooth_null + 0.1
    assert rough == pytest.approx(rough_null, abs=0.05)
    assert texts(found)[-1].startswith("In 1 of 3 layers of a low frequencies hold more energy than")


def test_wide_layers_are_measured_too():
    found = structure.compute(noise(shape=(8, 32, 3, 3)), StructureParams(shuffles=39))
    assert len(found.found) == 8
    assert found.layer_p[1] > 0.05
    assert structure.charts([found])


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(UserError, match="b has no convolution kernels"):
        structure.compute(LayerWeights("b", {}, {}), FEW)


def test_tables_hold_numbers_and_many_networks_stay_few_charts_and_sentences():
    found = [
        structure.compute(layer_weights(f"n{k}", seed=k), StructureParams(shuffles=19)) for k in range(11)
    ]
    charts = structure.charts(found)
    assert len(charts) == 8 + 3
    assert any("3 more networks are left out" in chart.note for chart in charts)
    table = next(chart for chart in charts if chart.title == "How structured the first layers are")
    assert len(table.rows) == 11
    row = table.rows[0]
    assert row[1].value == found[0].estimates[KINDS[0],]
    assert row[2].value == found[0].layer_p[0]
    assert row[3].value.value == pytest.approx(found[0].measured[:, 0].mean())
    assert row[3].value.null == found[0].shuffled_mean[0]
    assert len(texts(*found)) == 2
    assert "in any of 11 networks" in texts(*found)[0]
