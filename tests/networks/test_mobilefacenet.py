import pytest
import torch
from torch import nn
from torch.nn import functional

from embedlab.networks import backbones
from tests.networks.drawn import built, images, normed, sloped


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_network_has_the_published_number_of_parameters():
    """0.99 million in the paper, with 128 components; 1,200,512 in InsightFace_Pytorch, with 512."""
    with torch.device("meta"):
        paper, larger = (backbones.build("mobilefacenet", input_size=112, dimension=d) for d in (128, 512))
    assert parameters(paper) == pytest.approx(0.99e6, rel=0.02)
    assert parameters(larger) == 1_200_512


def test_the_maps_are_those_of_the_paper():
    network = built("mobilefacenet", input_size=112, width=4)
    x, shapes = torch.zeros(1, 3, 112, 112), []
    for name in (
        "conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5", "conv_6_sep",
        "conv_6_dw",
    ):  # fmt: skip
        x = network.get_submodule(name)(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (4, 56, 56), (4, 56, 56), (4, 28, 28), (4, 28, 28), (8, 14, 14), (8, 14, 14), (8, 7, 7), (8, 7, 7),
        (32, 7, 7), (32, 1, 1),
    ]  # fmt: skip


def test_modules_bear_the_names_of_insightface_pytorch():
    names = set(built("mobilefacenet", input_size=16, width=2).state_dict())
    assert {
        "conv1.conv.weight", "conv1.prelu.weight", "conv2_dw.bn.running_mean", "conv_23.conv_dw.conv.weight",
        "conv_3.model.3.project.bn.weight", "conv_5.model.1.conv.prelu.weight", "conv_6_sep.conv.weight",
        "conv_6_dw.conv.weight", "linear.weight", "bn.weight",
    } <= names  # fmt: skip
    assert "linear.bias" not in names
    assert "conv_6_dw.prelu.weight" not in names


@pytest.mark.parametrize("size", [16, 112, 144])
def test_every_input_size_gives_one_vector_an_image(size):
    network = built("mobilefacenet", input_size=size, width=2, dimension=3)
    assert network(torch.zeros(3, 3, size, size)).shape == (3, 3)


def by_hand(state, x):
    """Write the network out in formulas over its state dict."""

    def conv(x, name, stride=1, padding=0, linear=False):
        kernels = state[f"{name}.conv.weight"]
        groups = len(kernels) if kernels.shape[1] == 1 else 1
        x = functional.conv2d(x, kernels, stride=stride, padding=padding, groups=groups)
        x = normed(state, f"{name}.bn", x)
        return x if linear else sloped(state, f"{name}.prelu", x)

    def inverted(x, name, stride):
        y = conv(conv(x, f"{name}.conv"), f"{name}.conv_dw", stride, 1)
        return conv(y, f"{name}.project", linear=True)

    x = conv(conv(x, "conv1", 2, 1), "conv2_dw", 1, 1)
    for down, repeated, times in (
        ("conv_23", "conv_3", 4),
        ("conv_34", "conv_4", 6),
        ("conv_45", "conv_5", 2),
    ):
        x = inverted(x, down, 2)
        for k in range(times):
            x = x + inverted(x, f"{repeated}.model.{k}", 1)
    x = conv(conv(x, "conv_6_sep"), "conv_6_dw", linear=True).flatten(1)
    return normed(state, "bn", x @ state["linear.weight"].T)


def test_the_network_is_its_formulas():
    network = built("mobilefacenet", input_size=48, width=4, dimension=6)
    with torch.inference_mode():
        expected = by_hand(network.state_dict(), images(48))
        torch.testing.assert_close(network(images(48)), expected, rtol=1e-3, atol=1e-3)
    assert expected.std() > 0.05
