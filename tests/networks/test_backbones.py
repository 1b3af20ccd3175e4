"""IR-SE-18 has the published shape, names and number of parameters."""

import pytest
import torch
from torch import nn

from embedlab.networks.backbones import IRSE18, SEModule, Subsample, memory_format, widths


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_full_network_has_the_published_number_of_parameters():
    assert parameters(IRSE18(32)) == pytest.approx(11.5e6, rel=5e-3)
    assert parameters(IRSE18(144)) == pytest.approx(16.6e6, rel=5e-3)


@pytest.mark.parametrize("size", [32, 112, 144])
def test_every_input_size_gives_one_vector_an_image(size):
    network = IRSE18(size, width=2, dimension=5).eval()
    assert network(torch.zeros(3, 3, size, size)).shape == (3, 5)


def test_a_size_that_four_halvings_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of 16"):
        IRSE18(100)


def test_blocks_double_their_channels_and_halve_the_map_at_every_second():
    network = IRSE18(144, width=4)
    assert widths(4) == (4, 4, 8, 8, 16, 16, 32, 32)
    x = network.input_layer(torch.zeros(2, 3, 144, 144))
    shapes = []
    for block in network.body:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (4, 72, 72), (4, 72, 72), (8, 36, 36), (8, 36, 36),
        (16, 18, 18), (16, 18, 18), (32, 9, 9), (32, 9, 9),
    ]  # fmt: skip


def test_modules_bear_the_names_of_insightface_pytorch():
    kinds = {name: type(module) for name, module in IRSE18(32, width=2).named_modules()}
    assert [kinds[f"input_layer.{i}"] for i in range(3)] == [nn.Conv2d, nn.BatchNorm2d, nn.PReLU]
    assert [kinds[f"body.2.res_layer.{i}"] for i in range(6)] == [
        nn.BatchNorm2d, nn.Conv2d, nn.PReLU, nn.Conv2d, nn.BatchNorm2d, SEModule,
    ]  # fmt: skip
    assert kinds["body.2.res_layer.5.fc1"] is kinds["body.2.res_layer.5.fc2"] is nn.Conv2d
    assert [kinds[f"body.2.shortcut_layer.{i}"] for i in range(2)] == [nn.Conv2d, nn.BatchNorm2d]
    assert kinds["body.3.shortcut_layer"] is Subsample
    assert [kinds[f"output_layer.{i}"] for i in range(5)] == [
        nn.BatchNorm2d, nn.Dropout, nn.Flatten, nn.Linear, nn.BatchNorm1d,
    ]  # fmt: skip


def test_no_convolution_has_a_bias_and_the_last_norm_no_weights():
    network = IRSE18(32, width=2)
    assert all(m.bias is None for m in network.modules() if isinstance(m, nn.Conv2d))
    assert network.output_layer[4].weight is None


def test_convolutions_start_with_the_spread_that_keeps_gradients():
    network = IRSE18(32, width=64)
    conv = network.body[4].res_layer[1].weight  # 256 channels out, 3×3: fan-out 2304
    assert conv.std().item() == pytest.approx((2 / 2304) ** 0.5, rel=0.02)


def test_the_shortcut_is_a_max_pool_of_single_pixels():
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    for stride in (1, 2):
        assert torch.equal(Subsample(stride)(x), nn.MaxPool2d(1, stride)(x))


def test_squeeze_and_excitation_scales_each_channel_by_one_weight():
    x = torch.rand(2, 32, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.5
    ratio = SEModule(32)(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), atol=1e-6)
    assert ((ratio > 0) & (ratio < 1)).all()


def test_a_narrow_squeeze_keeps_one_channel():
    assert SEModule(4).fc1.weight.shape == (1, 4, 1, 1)
    assert SEModule(64).fc1.weight.shape == (4, 64, 1, 1)


def test_dropout_acts_in_training_only():
    network = IRSE18(32, width=2, dropout=0.9)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network.eval()
    assert torch.equal(network(x), network(x))
    features = network.output_layer[1].train()(torch.ones(1000))
    assert (features == 0).float().mean().item() == pytest.approx(0.9, abs=0.05)


def test_narrow_networks_whose_channels_the_kernels_spoil_are_not_laid_out_channels_last():
    assert memory_format(8, "cpu") is memory_format(64, "cuda") is torch.channels_last
    assert memory_format(4, "cpu") is memory_format(12, "cuda") is memory_format(64, "mps")
    assert memory_format(4, "cpu") is torch.contiguous_format
