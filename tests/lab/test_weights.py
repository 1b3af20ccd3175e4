import numpy as np
import pytest
from safetensors.numpy import save_file

from embedlab.errors import UserError
from embedlab.lab import weights
from tests.planted import layer_weights


def test_kernels_come_in_network_order_and_norms_apart(tmp_path):
    tensors = {
        "z.weight": np.ones((2, 3, 3, 3), np.float32),
        "a.weight": np.full((4, 2, 1, 1), 2, np.float32),
        "bn.weight": np.ones(4, np.float32),
        "bn.running_mean": np.zeros(4, np.float32),
        "bn.running_var": np.ones(4, np.float32),
        "fc.weight": np.ones((5, 4), np.float32),
    }
    save_file(tensors, tmp_path / "m.safetensors", metadata={"order": "\n".join(tensors)})
    found = weights.read(tmp_path / "m.safetensors", "m")
    assert list(found.layers) == ["z", "a"]
    assert set(found.norms["bn"]) == {"weight", "running_mean", "running_var"}
    assert found.title == "m"


def test_a_broken_file_is_told(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="cannot read .* as safetensors"):
        weights.read(tmp_path / "m.safetensors", "m")


def irse(blocks, width=4, squeeze=True):
    """Draw an IR-SE network; a block that is True has a convolution in its shortcut and doubles the width."""
    layers = {"input_layer.0": (width, 3, 3, 3)}
    for k, shortcut in enumerate(blocks):
        out = 2 * width if shortcut else width
        if shortcut:
            layers[f"body.{k}.shortcut_layer.0"] = (out, width, 1, 1)
        layers[f"body.{k}.res_layer.1"] = (out, width, 3, 3)
        layers[f"body.{k}.res_layer.3"] = (out, out, 3, 3)
        if squeeze:
            layers[f"body.{k}.res_layer.5.fc1"] = (2, out, 1, 1)
            layers[f"body.{k}.res_layer.5.fc2"] = (out, 2, 1, 1)
        width = out
    return {name: np.ones(shape, np.float32) for name, shape in layers.items()}


def test_blocks_share_a_residual_stream_until_a_shortcut_has_a_convolution():
    layers = irse([False, True, False])
    norms = {n: {} for n in ("input_layer.1", "body.1.res_layer.0", "body.1.res_layer.4", "output_layer.4")}
    slopes = {"body.1.res_layer.2": np.ones(8, np.float32)}
    given = weights.LayerWeights("m", layers, norms, slopes=slopes)
    assert weights.architecture(given) == "IR-SE"
    wires = weights.wiring(given)
    assert wires["input_layer.0"] == (weights.FIXED, "stream 0")
    assert wires["body.0.res_layer.3"] == ("inner 0", "stream 0")
    assert wires["body.1.res_layer.0"] == ("stream 0", "stream 0")
    assert wires["body.1.res_layer.1"] == ("stream 0", "inner 1")
    assert wires["body.1.res_layer.2"] == ("inner 1", "inner 1")
    assert wires["body.1.shortcut_layer.0"] == ("stream 0", "stream 2")
    assert wires["body.1.res_layer.4"] == ("stream 2", "stream 2")
    assert wires["body.2.res_layer.3"].outputs == wires["body.1.res_layer.3"].outputs == "stream 2"
    assert wires["body.2.res_layer.5.fc1"] == ("stream 2", "squeeze 2")
    assert wires["output_layer.4"].outputs == weights.FIXED
    assert set(wires) == {*layers, *norms, *slopes}


def test_deep_blocks_follow_each_other_by_number():
    given = weights.LayerWeights("m", irse([False] * 10 + [True, False], squeeze=False), {})
    wires = weights.wiring(given)
    assert wires["body.9.res_layer.1"].inputs == wires["body.10.res_layer.1"].inputs == "stream 0"
    assert wires["body.11.res_layer.1"].inputs == "stream 11"


def test_a_norm_layer_inside_a_block_moves_the_layers_after_it_one_place_on():
    layers = irse([False])
    for old, new in (("3", "4"), ("5.fc1", "6.fc1"), ("5.fc2", "6.fc2")):
        layers[f"body.0.res_layer.{new}"] = layers.pop(f"body.0.res_layer.{old}")
    norms = {f"body.0.res_layer.{k}": {} for k in (0, 2, 5)}
    given = weights.LayerWeights("m", layers, norms, slopes={"body.0.res_layer.3": np.ones(4, np.float32)})
    assert weights.architecture(given) == "IR-SE"
    wires = weights.wiring(given)
    assert wires["body.0.res_layer.1"] == ("stream 0", "inner 0")
    assert wires["body.0.res_layer.2"] == wires["body.0.res_layer.3"] == ("inner 0", "inner 0")
    assert wires["body.0.res_layer.4"] == ("inner 0", "stream 0")
    assert wires["body.0.res_layer.5"] == ("stream 0", "stream 0")
    assert wires["body.0.res_layer.6.fc2"] == ("squeeze 0", "stream 0")
    assert set(wires) == {*layers, *norms, *given.slopes}


def test_spherefaces_pairs_write_into_their_stage():
    shapes = {
        "conv1_1": (4, 3, 3, 3),
        "conv1_2": (4, 4, 3, 3),
        "conv1_3": (4, 4, 3, 3),
        "conv2_1": (8, 4, 3, 3),
    }
    layers = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    slopes = {name.replace("conv", "relu"): np.ones(len(kernels)) for name, kernels in layers.items()}
    given = weights.LayerWeights("m", layers, {"bn1_2": {}}, slopes=slopes)
    assert weights.architecture(given) == "SphereFace"
    wires = weights.wiring(given)
    assert wires["conv1_1"] == (weights.FIXED, "stream 1")
    assert wires["conv1_2"] == ("stream 1", "inner 1_1")
    assert wires["bn1_2"] == wires["relu1_2"] == ("inner 1_1", "inner 1_1")
    assert wires["conv1_3"] == ("inner 1_1", "stream 1")
    assert wires["relu1_3"] == ("stream 1", "stream 1")
    assert wires["conv2_1"] == ("stream 1", "stream 2")


def test_vggs_layers_of_the_same_names_are_a_chain():
    shapes = {"conv1_1": (4, 3, 3, 3), "conv1_2": (4, 4, 3, 3), "conv2_1": (8, 4, 3, 3)}
    given = weights.LayerWeights("m", {name: np.ones(shape) for name, shape in shapes.items()}, {})
    assert weights.architecture(given) == "chain"
    assert weights.wiring(given)["conv1_2"] == ("conv1_1", "conv1_2")


def test_fused_networks_are_of_unknown_wiring_even_where_shapes_would_fit():
    shapes = {"parts.0.a": (3, 3, 3, 3), "parts.1.a": (5, 3, 3, 3)}
    given = weights.LayerWeights("m", {name: np.ones(shape) for name, shape in shapes.items()}, {})
    assert weights.architecture(given) == "unknown"
    assert weights.wiring(given) == {name: (weights.FIXED, name) for name in shapes}


def test_other_networks_are_a_chain_if_shapes_fit_and_unknown_else():
    shapes = {"a": (4, 3, 3, 3), "b": (5, 4, 3, 3)}
    layers = {name: np.ones(shape) for name, shape in shapes.items()}
    given = weights.LayerWeights("m", layers, {})
    assert weights.architecture(given) == "chain"
    assert weights.wiring(given) == {"a": (weights.FIXED, "a"), "b": ("a", "b")}
    odd = weights.LayerWeights("m", layers | {"c": np.ones((5, 6, 1, 1))}, {})
    assert weights.architecture(odd) == "unknown"
    assert weights.wiring(odd)["c"] == (weights.FIXED, "c")
    broken = irse([False]) | {"body.0.res_layer.3": np.ones((5, 4, 3, 3), np.float32)}
    assert weights.architecture(weights.LayerWeights("m", broken, {})) == "unknown"


def test_slopes_are_read_and_part_of_the_fingerprint(tmp_path):
    tensors = {
        "conv.weight": np.ones((4, 3, 3, 3), np.float32),
        "ln.weight": np.ones(4, np.float32),
        "ln.bias": np.ones(4, np.float32),
        "prelu.weight": np.full(4, 0.3, np.float32),
    }
    save_file(tensors, tmp_path / "m.safetensors")
    found = weights.read(tmp_path / "m.safetensors", "m")
    assert list(found.slopes) == ["prelu"]
    np.testing.assert_array_equal(found.slopes["prelu"], np.float32(0.3))
    changed = weights.LayerWeights("m", found.layers, found.norms, slopes={"prelu": np.ones(4, np.float32)})
    assert changed.fingerprint != found.fingerprint


def test_fingerprint_tells_a_changed_weight():
    assert layer_weights().fingerprint == layer_weights().fingerprint
    assert layer_weights().fingerprint != layer_weights(seed=1).fingerprint


def test_shared_layers_have_one_name_and_one_shape():
    other = irse([True, False])
    del other["input_layer.0"]
    other["body.0.res_layer.1"] = other["body.0.res_layer.1"][:, :2]
    a, b = weights.LayerWeights("a", irse([True, False]), {}), weights.LayerWeights("b", other, {})
    expected = [name for name in a.layers if name not in ("input_layer.0", "body.0.res_layer.1")]
    assert weights.shared_layers(a, b) == expected
    wide = weights.LayerWeights("w", irse([True, False], width=8), {})
    with pytest.raises(UserError, match="a and w share no layer of one name and shape.*layer by layer"):
        weights.shared_layers(a, wide)


def test_the_fingerprint_is_of_one_model_and_of_every_place_a_number_stands_at():
    ones = np.ones(4, np.float32)
    kernels = np.ones((4, 4, 1, 1), np.float32)
    statistics = {"running_mean": ones, "running_var": ones}
    prints = {
        one.fingerprint
        for one in (
            weights.LayerWeights("a", {"conv": kernels}, {}),
            weights.LayerWeights("b", {"conv": kernels}, {}),
            weights.LayerWeights("a", {"conv": kernels}, {}, recipe="b"),
            weights.LayerWeights("a", {"conv": kernels}, {}, slopes={"conv": ones}),
            weights.LayerWeights("a", {}, {"conv": statistics}),
            weights.LayerWeights("a", {}, {"con": {"v": ones}}),
            weights.LayerWeights("a", {}, {}, slopes={"con.v": ones}),
            weights.LayerWeights("a", {"conv": kernels.reshape(4, 1, 2, 2)}, {}),
        )
    }
    assert len(prints) == 8
