import pytest
import torch
from torch import nn
from torch.nn import functional

from embedlab.networks import backbones
from tests.networks.drawn import built, images, normed, sloped


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_network_has_the_authors_number_of_parameters():
    """Theirs, with 112×96 px, 512 components and the 10,574 people of CASIA, has 28.08 million."""
    with torch.device("meta"):
        network = backbones.build("sphereface_20", input_size=112, dimension=512)
    wider = 512 * 512 * 7 * (7 - 6)
    assert parameters(network) - wider + 512 * 10_574 == pytest.approx(28.08e6, rel=1e-3)


def test_there_are_twenty_convolutions_and_norm_layers_only_if_asked_for():
    plain, normalised = (
        built(name, input_size=32, width=2) for name in ("sphereface_20", "sphereface_20_bn")
    )
    for network in (plain, normalised):
        assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == 20
    assert not any(isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d) for m in plain.modules())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in normalised.modules()) == 20


def test_modules_bear_the_authors_names():
    names = set(built("sphereface_20", input_size=32, width=2).state_dict())
    assert {
        "conv1_1.weight",
        "conv1_1.bias",
        "relu1_1.weight",
        "conv4_3.weight",
        "fc5.weight",
        "fc5.bias",
    } <= names
    assert "conv1_2.bias" not in names


@pytest.mark.parametrize("size", [16, 112, 144])
@pytest.mark.parametrize("name", ["sphereface_20", "sphereface_20_bn"])
def test_every_input_size_gives_one_vector_an_image(name, size):
    network = built(name, input_size=size, width=2, dimension=3)
    assert network(torch.zeros(3, 3, size, size)).shape == (3, 3)


def by_hand(state, x):
    """Write the network out in formulas over its state dict."""

    def layer(x, place, stride=1):
        bias = state.get(f"conv{place}.bias")
        x = functional.conv2d(x, state[f"conv{place}.weight"], bias, stride=stride, padding=1)
        x = normed(state, f"bn{place}", x) if f"bn{place}.weight" in state else x
        return sloped(state, f"relu{place}", x)

    for stage, pairs in enumerate((1, 2, 4, 1), 1):
        x = layer(x, f"{stage}_1", 2)
        for pair in range(1, pairs + 1):
            x = x + layer(layer(x, f"{stage}_{2 * pair}"), f"{stage}_{2 * pair + 1}")
    x = x.flatten(1) @ state["fc5.weight"].T + state["fc5.bias"]
    return normed(state, "bn5", x) if "bn5.weight" in state else x


@pytest.mark.parametrize("name", ["sphereface_20", "sphereface_20_bn"])
def test_the_network_is_its_formulas(name):
    network = built(name, input_size=48, width=4, dimension=6)
    with torch.inference_mode():
        expected = by_hand(network.state_dict(), images(48))
        torch.testing.assert_close(network(images(48)), expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 0.05


def test_each_pair_begins_near_the_identity_and_biases_at_zero():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = backbones.build("sphereface_20", input_size=16, width=16)
    assert network.conv3_2.weight.std().item() == pytest.approx(0.01, rel=0.05)
    limit = (6 / (9 * (16 + 32))) ** 0.5  # Glorot and Bengio 2010, eq. 16
    assert network.conv2_1.weight.abs().max().item() == pytest.approx(limit, rel=0.02)
    assert not network.conv2_1.bias.any()
    assert not network.fc5.bias.any()


def test_norm_layers_bear_kernels_of_the_usual_spread():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = backbones.build("sphereface_20_bn", input_size=16, width=16)
    assert network.conv3_2.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
