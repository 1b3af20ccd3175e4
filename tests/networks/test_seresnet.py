import pytest
import torch
from torch import nn
from torch.nn import functional

from embedlab.networks import backbones
from embedlab.networks.seresnet import BLOCKS
from tests.networks.drawn import built, images, normed


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_network_has_the_published_number_of_parameters():
    with torch.device("meta"):
        pooled = backbones.build("se_resnet_50", input_size=224, dimension=2048)
        short = backbones.build("se_resnet_50", input_size=224, dimension=128)
    # With the 1000 classes of ImageNet it has 28.09 million.
    assert parameters(pooled) + 2048 * 1000 + 1000 == pytest.approx(28.09e6, rel=1e-4)
    assert parameters(short) - parameters(pooled) == 2048 * 128


def test_there_are_fifty_layers():
    assert 3 * sum(BLOCKS) + 2 == 50


def test_the_maps_are_those_of_the_paper():
    network = built("se_resnet_50", input_size=224, width=4)
    x = network.maxpool(network.conv1(torch.zeros(1, 3, 224, 224)))
    shapes = [tuple(x.shape[1:])]
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 56, 56), (16, 56, 56), (32, 28, 28), (64, 14, 14), (128, 7, 7)]


@pytest.mark.parametrize("size", [16, 32, 112, 144])
def test_every_input_size_gives_one_vector_an_image(size):
    network = built("se_resnet_50", input_size=size, width=2, dimension=5)
    assert network(torch.zeros(3, 3, size, size)).shape == (3, 5)


def test_the_whole_length_gives_the_pooled_features_themselves():
    network = built("se_resnet_50", input_size=32, width=2, dimension=64)
    seen = []
    network.layer4.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    out = network(images(32))
    torch.testing.assert_close(out, seen[0].mean((2, 3)))
    assert (out >= 0).all()
    assert not list(network.output_layer.parameters())


def by_hand(state, x):
    """Write the network out in formulas over its state dict."""
    conv = functional.conv2d
    x = normed(state, "bn1", conv(x, state["conv1.weight"], stride=2, padding=3)).clamp(min=0)
    x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
    for stage, blocks in enumerate(BLOCKS, 1):
        for k in range(blocks):
            block, stride = f"layer{stage}.{k}", 2 if k == 0 and stage > 1 else 1
            y = normed(state, f"{block}.bn1", conv(x, state[f"{block}.conv1.weight"], stride=stride)).clamp(
                min=0
            )
            y = normed(state, f"{block}.bn2", conv(y, state[f"{block}.conv2.weight"], padding=1)).clamp(min=0)
            y = normed(state, f"{block}.bn3", conv(y, state[f"{block}.conv3.weight"]))
            pooled = y.mean((2, 3), keepdim=True)
            hidden = conv(pooled, state[f"{block}.se.fc1.weight"], state[f"{block}.se.fc1.bias"]).clamp(min=0)
            y = y * torch.sigmoid(
                conv(hidden, state[f"{block}.se.fc2.weight"], state[f"{block}.se.fc2.bias"])
            )
            if k == 0:
                x = normed(
                    state,
                    f"{block}.downsample.1",
                    conv(x, state[f"{block}.downsample.0.weight"], stride=stride),
                )
            x = (x + y).clamp(min=0)
    return x.mean((2, 3)) @ state["output_layer.2.weight"].T


def test_the_network_is_its_formulas():
    network = built("se_resnet_50", input_size=48, width=4, dimension=6)
    with torch.inference_mode():
        expected = by_hand(network.state_dict(), images(48))
        torch.testing.assert_close(network(images(48)), expected, rtol=1e-3, atol=1e-3)
    assert expected.std() > 0.05
