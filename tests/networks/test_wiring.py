"""Channels that are said to go together may change places: the network's function stays as it is."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from embedlab.errors import UserError
from embedlab.lab import weights
from embedlab.lab.store import Lab
from embedlab.lab.weights import FIXED
from embedlab.maths.kernels import channel_matching
from embedlab.networks import backbones, checkpoints, wiring
from embedlab.networks.blocks import Backbone
from embedlab.networks.fused import Fused
from tests.networks.drawn import built, images
from tests.networks.test_checkpoints import record

OTHER = {"inner_norm": True, "first_shortcut": "convolution", "last_affine": True}


def read_off(network: nn.Module) -> weights.LayerWeights:
    return weights.of_tensors({key: value.numpy() for key, value in network.state_dict().items()}, "m")


def made(name: str) -> Backbone:
    if name == "fused":
        return Fused([made("ir_18"), made("mobilefacenet")], "concatenate").eval()
    if name == "pooled":
        return built("se_resnet_50", input_size=32, width=4, dimension=128)
    layout = OTHER if name == "other" else {}
    return built("ir_se_18" if layout else name, input_size=32, width=4, dimension=6, **layout)


def shuffled(network: Backbone) -> dict[str, torch.Tensor]:
    """Give the state of a network whose groups of channels are each in another order."""
    wires, state = wiring.traced(network), network.state_dict()
    draw, orders = torch.Generator().manual_seed(0), {}
    for name, wire in wires.items():
        if wire.outputs != FIXED and f"{name}.weight" in state:
            orders.setdefault(wire.outputs, torch.randperm(len(state[f"{name}.weight"]), generator=draw))
    for key, value in state.items():
        wire = wires[key.rpartition(".")[0]]
        if value.ndim and wire.outputs in orders:
            value = value[orders[wire.outputs]]
        if value.ndim > 1 and wire.inputs in orders:
            order = orders[wire.inputs]
            value = value.view(len(value), len(order), -1)[:, order].reshape(value.shape)
        state[key] = value
    return state


SHORT = [name for name in backbones.NAMES if not name.endswith("100")]


@pytest.mark.parametrize("name", [*SHORT, "other", "pooled", "fused"])
def test_groups_may_be_permuted_and_all_vectors_stay(name):
    network = made(name)
    state = shuffled(network)
    changed = sum(not torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert changed > 0.8 * sum(value.ndim > 0 for value in state.values())
    with torch.inference_mode():
        before = network(images(32, 3))
        network.load_state_dict(state)
        torch.testing.assert_close(network(images(32, 3)), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in backbones.NAMES if name.startswith(("ir", "sph"))])
@pytest.mark.parametrize("layout", [{}, OTHER])
def test_what_is_traced_is_what_the_names_say_in_checkpoints_without_it(name, layout):
    network = built(name, input_size=16, width=4, dimension=6, **(layout if name.startswith("ir") else {}))
    named = read_off(network)
    asked = weights.wired(named, wiring.described(network), "model.json")
    assert weights.architecture(asked) == weights.architecture(named) == network.family
    assert weights.alike(weights.wiring(asked), weights.wiring(named))
    assert weights.wiring(asked) != weights.wiring(named)


def test_wirings_are_alike_only_if_the_same_channels_go_together():
    wire = weights.Wire
    a = {"x": wire(FIXED, "1"), "y": wire("1", "2"), "z": wire("2", "1")}
    assert weights.alike(a, {"x": wire(FIXED, "p"), "y": wire("p", "q"), "z": wire("q", "p")})
    assert not weights.alike(a, {"x": wire(FIXED, "p"), "y": wire("p", "q"), "z": wire("q", "r")})
    assert not weights.alike(a, {"x": wire(FIXED, "p"), "y": wire("p", "p"), "z": wire("p", "p")})
    assert not weights.alike(a, {"x": wire(FIXED, FIXED), "y": wire(FIXED, "q"), "z": wire("q", FIXED)})
    assert not weights.alike(a, {"x": wire(FIXED, "p"), "y": wire("p", "q")})


class Rolled(Backbone):
    """Its channels change places between two convolutions, by a call that nobody here knows."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 2, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.roll(self.a(x), 1, 1)).flatten(1)


def test_what_passes_through_something_unknown_is_fixed():
    assert wiring.traced(Rolled()) == {"a": (FIXED, FIXED), "b": (FIXED, FIXED)}


@pytest.mark.parametrize("name", ["mobilefacenet", "se_resnet_50", "pooled", "fused"])
def test_a_permuted_copy_of_any_network_is_matched_exactly(tmp_path, name):
    lab, network = Lab(tmp_path), made(name)
    checkpoints.save(lab, network, record(name="first"))
    network.load_state_dict(shuffled(network))
    checkpoints.save(lab, network, record(name="second"))
    found = channel_matching.match(lab.weights("first"), lab.weights("second"))
    assert found.architecture == network.family
    assert found.start_objective < 0.9
    assert found.objective == pytest.approx(1, abs=1e-5)
    same = found.apply(lab.weights("second"))
    assert all(np.array_equal(same.layers[k], kernels) for k, kernels in lab.weights("first").layers.items())


def test_a_checkpoint_that_does_not_tell_its_wiring_is_read_by_its_names(tmp_path):
    lab, network = Lab(tmp_path), made("ir_se_18")
    checkpoints.save(lab, network, record(name="new"))
    checkpoints.save(lab, network, record(name="old"))
    path = lab.checkpoint("old") / "model.json"
    told = json.loads(path.read_text())
    told.pop("wiring")
    path.write_text(json.dumps(told))
    new, old = lab.weights("new"), lab.weights("old")
    assert (bool(new.wires), bool(old.wires)) == (True, False)
    assert channel_matching.match(new, old).architecture == channel_matching.match(old, new).architecture
    assert weights.architecture(old) == weights.architecture(new) == "IR-SE"
    assert checkpoints.load(lab, "old").dimension == 6


@pytest.mark.parametrize("damage", ["lacking", "of another size", "no wires", "text"])
def test_a_wiring_of_another_network_is_refused(tmp_path, damage):
    lab = Lab(tmp_path)
    checkpoints.save(lab, made("ir_18"), record(name="m"))
    path = lab.checkpoint("m") / "model.json"
    told = json.loads(path.read_text())
    layers = told["wiring"]["layers"]
    match damage:
        case "lacking":
            del layers["input_layer.0"]
        case "of another size":
            layers["body.3.res_layer.1"] = layers["body.0.res_layer.1"]
        case "no wires":
            layers["input_layer.0"] = "fixed"
        case "text":
            told["wiring"] = "IR-SE"
    path.write_text(json.dumps(told))
    with pytest.raises(UserError, match=r"model\.json has a wiring that is not of the network m: .* --fresh"):
        lab.weights("m")
