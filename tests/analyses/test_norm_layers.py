import dataclasses

import numpy as np
import pytest

from embedlab.analyses import norm_layers
from embedlab.analyses.norm_layers import MEAN, VARIANCE, NormLayerParams
from embedlab.errors import UserError
from embedlab.lab.weights import LayerWeights, wiring
from embedlab.maths.kernels.channel_matching import reordered
from tests.planted import layer_weights

FEW = NormLayerParams(restarts=1, shuffles=199, resamples=100)


def texts(*results):
    found = [f.text for f in norm_layers.findings(results)]
    assert max(len(text.split()) for text in found) <= 30
    return found


def residual(model, seed):
    """The first layers of a residual network, told by their names, with norm layers."""
    rng = np.random.default_rng(seed)
    norm = {"running_mean": rng.normal(size=12), "running_var": rng.uniform(1, 9, size=12)}
    kernels = {
        "input_layer.0": rng.normal(size=(12, 3, 3, 3)),
        "body.0.res_layer.1": rng.normal(size=(12, 12, 3, 3)),
        "body.0.res_layer.3": rng.normal(size=(12, 12, 3, 3)),
    }
    return LayerWeights(model, kernels, {"input_layer.1": norm, "body.0.res_layer.0": norm})


def test_norm_statistics_of_a_permuted_copy_have_not_drifted():
    a, rng = residual("a", 0), np.random.default_rng(1)
    wires = wiring(a)
    order = {wires[name].outputs: rng.permutation(12) for name in a.layers}
    found = norm_layers.compute(a, dataclasses.replace(reordered(a, wires, order), model="b"), FEW)
    assert found.layers == ("input_layer.1", "body.0.res_layer.0")
    drifts = [found.estimates[what, norm] for what in (MEAN, VARIANCE) for norm in found.layers]
    assert [e.value for e in drifts] == pytest.approx([0] * 4)
    assert min(e.null for e in drifts) > 0.3
    assert "In 2 of 2 norm layers of a and b, running means of matched channels are nearer" in texts(found)[0]
    assert [chart.title for chart in norm_layers.charts([found])] == [
        "Drift of the norm layers of a and b",
        "Norm layers of a and b",
    ]


def test_norm_statistics_that_have_nothing_in_common_are_not_nearer():
    found = [norm_layers.compute(layer_weights("a", k), layer_weights("b", 50 + k), FEW) for k in range(20)]
    assert np.mean([(one.p_values <= 0.05).any() for one in found]) <= 0.25
    assert any("In no norm layer of a and b, running" in text for text in texts(found[0]))
    assert len(texts(*found)) == 1


def test_a_norm_layer_that_never_varied_is_left_out_and_networks_of_these_refused():
    a, b = layer_weights("a"), layer_weights("b", 1)
    still = {name: {kind: 0 * v for kind, v in norm.items()} for name, norm in b.norms.items()}
    found = norm_layers.compute(a, dataclasses.replace(b, norms=b.norms | {"norm1": still["norm1"]}), FEW)
    assert found.layers == ("norm0", "norm2")
    with pytest.raises(UserError, match="a and b share no norm layer whose channels are known"):
        norm_layers.compute(a, dataclasses.replace(b, norms=still), FEW)


def test_networks_without_a_common_layer_are_refused():
    with pytest.raises(UserError, match="share no layer of one name and shape"):
        norm_layers.compute(layer_weights("a"), layer_weights("b", channels=8), FEW)
