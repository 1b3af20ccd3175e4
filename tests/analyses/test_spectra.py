import dataclasses

import numpy as np
import pytest

from benchmarks.kernels import network
from embedlab.analyses import spectra
from embedlab.analyses.spectra import STABLE, SpectraParams
from embedlab.errors import UserError
from embedlab.lab.weights import LayerWeights

FEW = SpectraParams()


def texts(*results):
    found = [f.text for f in spectra.findings(results)]
    assert max(len(text.split()) for text in found) <= 30
    return found


def test_a_planted_direction_lowers_the_stable_rank():
    a = network("normal", 0)
    heavy = {n: k + np.float32(1.5) for n, k in a.layers.items()}
    plain, found = (spectra.compute(w, FEW) for w in (a, dataclasses.replace(a, model="b", layers=heavy)))
    assert (plain.lower, found.lower) == (0, 3)
    assert (found.ranks[0] < found.low).all()
    assert found.spectra[0, 0, 0] > 1.5 * plain.spectra[0, 0, 0]
    assert found.spectra[0, 1, 0] == pytest.approx(1, abs=0.3)
    assert texts(found)[0].startswith("In 3 of 3 layers of b a few directions are stronger than in the same")


@pytest.mark.parametrize("law", ["normal", "uniform", "t₃", "unequal"])
def test_networks_without_a_direction_are_seldom_called_lower(law):
    found = [spectra.compute(network(law, k), FEW).lower > 0 for k in range(60)]
    assert np.mean(found) <= 0.15


def test_layers_of_one_direction_are_left_out_and_a_network_of_these_refused():
    layers = {
        "one": np.ones((1, 3, 3, 3)),
        "zero": np.zeros((4, 4, 3, 3)),
        "two": np.eye(2)[:, :, None, None],
    }
    found = spectra.compute(LayerWeights("a", layers, {}), FEW)
    assert found.layers == ("two",)
    assert found.by_layer[STABLE, "two"].value == pytest.approx(2)
    with pytest.raises(UserError, match="a has no convolution of more than one direction"):
        spectra.compute(LayerWeights("a", {"one": np.ones((1, 3, 3, 3))}, {}), FEW)


def test_many_networks_stay_few_charts_and_sentences():
    found = [spectra.compute(network("normal", k, (3, 6, 4)), FEW) for k in range(10)]
    charts = spectra.charts(found)
    assert len(charts) == 1 + 2 * 2 + 2
    assert "2 more networks are left out" in charts[0].note
    assert len(texts(*found)) == 1
    table = charts[-2]
    assert table.rows[1][2].value == found[0].ranks[0][1]
    assert table.rows[1][4].value == found[0].p_values[1]
