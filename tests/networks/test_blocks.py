import pytest
import torch
from torch import nn

from embedlab.networks.blocks import Backbone, SEModule, he_normal


def test_squeeze_and_excitation_scales_each_channel_by_one_weight():
    x = torch.rand(2, 32, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.5
    ratio = SEModule(32)(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), atol=1e-6)
    assert ((ratio > 0) & (ratio < 1)).all()


@pytest.mark.parametrize("bias", [False, True])
def test_the_weight_is_a_sigmoid_of_two_layers_over_the_channels_means(bias):
    module = SEModule(32, bias=bias)
    assert (module.fc1.bias is not None) == bias
    x = torch.rand(2, 32, 3, 3, generator=torch.Generator().manual_seed(0))
    first, second = (conv.weight.flatten(1) for conv in (module.fc1, module.fc2))
    hidden = x.mean((2, 3)) @ first.T + (module.fc1.bias if bias else 0)
    weight = torch.sigmoid(hidden.clamp(min=0) @ second.T + (module.fc2.bias if bias else 0))
    torch.testing.assert_close(module(x), x * weight[:, :, None, None])


def test_a_narrow_squeeze_keeps_one_channel():
    assert SEModule(4).fc1.weight.shape == (1, 4, 1, 1)
    assert SEModule(64).fc1.weight.shape == (4, 64, 1, 1)


def test_kernels_start_with_the_spread_that_keeps_gradients():
    conv = nn.Conv2d(32, 256, 3)
    he_normal(nn.Sequential(nn.Identity(), conv))
    assert conv.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert abs(conv.weight.mean().item()) < 1e-3


def test_a_backbone_has_one_output_layer_unless_it_says_otherwise():
    assert Backbone.output_layers == ("output_layer",)
