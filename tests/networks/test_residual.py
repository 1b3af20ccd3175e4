"""IR and IR-SE: published shapes, names and numbers of parameters, and the function of their sources."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from embedlab.networks import backbones
from embedlab.networks.blocks import SEModule, Subsample
from embedlab.networks.residual import BLOCKS, Layout
from tests.networks.drawn import built, images, normed, sloped

ADAFACE = {"inner_norm": True}
FACE_EVOLVE = {"last_affine": True}
IRESNET = {"inner_norm": True, "first_shortcut": "convolution", "last_affine": True}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_ir_se_18_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameters(backbones.build("ir_se_18", input_size=32)) == pytest.approx(11.5e6, rel=5e-3)
        assert parameters(backbones.build("ir_se_18", input_size=144)) == pytest.approx(16.6e6, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "layout", "published"),
    [
        ("ir_50", FACE_EVOLVE, 43_574_976),
        ("ir_50", IRESNET, 43_590_848),
        ("ir_se_50", FACE_EVOLVE, 43_797_696),
        ("ir_100", IRESNET, 65_156_160),
        ("ir_18", IRESNET, 24_025_600),
    ],
)
def test_the_deep_networks_have_their_sources_numbers_of_parameters(name, layout, published):
    with torch.device("meta"):
        network = backbones.build(name, input_size=112, dimension=512, **layout)
    assert parameters(network) == published


@pytest.mark.parametrize("layers", BLOCKS)
def test_a_network_has_as_many_layers_as_its_name_says(layers):
    """Count as the sources do: two convolutions a block, the first convolution and the linear layer."""
    assert 2 * sum(BLOCKS[layers]) + 2 == layers


@pytest.mark.parametrize("size", [32, 112, 144])
def test_every_input_size_gives_one_vector_an_image(size):
    network = built("ir_se_18", input_size=size, width=2, dimension=5)
    assert network(torch.zeros(3, 3, size, size)).shape == (3, 5)


def test_stages_double_their_channels_and_halve_the_map():
    network = built("ir_18", input_size=144, width=4)
    x = network.input_layer(torch.zeros(2, 3, 144, 144))
    shapes = []
    for block in network.body:
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (4, 72, 72), (4, 72, 72), (8, 36, 36), (8, 36, 36),
        (16, 18, 18), (16, 18, 18), (32, 9, 9), (32, 9, 9),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stem", "sides"), [(1, (144, 72, 36, 18, 9)), (2, (72, 72, 36, 18, 9)), (4, (36, 36, 18, 9, 9))]
)
def test_a_stem_shrinks_at_once_what_the_first_stages_would_shrink(stem, sides):
    network = built("ir_18", input_size=144, width=4, stem=stem)
    x = network.input_layer(torch.zeros(2, 3, 144, 144))
    found = [x.shape[-1]]
    for block in network.body:
        x = block(x)
        found.append(x.shape[-1])
    assert (found[0], *found[2::2]) == sides
    assert network(torch.zeros(2, 3, 144, 144)).shape == (2, network.dimension)


@pytest.mark.parametrize("stem", [2, 4])
def test_a_stem_sees_every_pixel_and_is_centred(stem):
    network = built("ir_18", input_size=32, width=1, stem=stem)
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)
    network.input_layer[0](x).sum().backward()
    assert (x.grad != 0).all()
    x.grad = None
    network.input_layer[0](x)[0, 0, 3, 3].backward()
    rows = np.flatnonzero(x.grad.abs().sum(dim=(0, 1, 3)))
    assert (rows[0] + rows[-1]) / 2 == (3 + 0.5) * stem - 0.5


def test_modules_bear_the_names_of_insightface_pytorch():
    network = built("ir_se_18", input_size=32, width=2)
    kinds = {name: type(module) for name, module in network.named_modules()}
    assert [kinds[f"input_layer.{i}"] for i in range(3)] == [nn.Conv2d, nn.BatchNorm2d, nn.PReLU]
    assert [kinds[f"body.2.res_layer.{i}"] for i in range(6)] == [
        nn.BatchNorm2d, nn.Conv2d, nn.PReLU, nn.Conv2d, nn.BatchNorm2d, SEModule,
    ]  # fmt: skip
    assert kinds["body.2.res_layer.5.fc1"] is kinds["body.2.res_layer.5.fc2"] is nn.Conv2d
    assert [kinds[f"body.2.shortcut_layer.{i}"] for i in range(2)] == [nn.Conv2d, nn.BatchNorm2d]
    assert kinds["body.0.shortcut_layer"] is kinds["body.3.shortcut_layer"] is Subsample
    assert [kinds[f"output_layer.{i}"] for i in range(5)] == [
        nn.BatchNorm2d, nn.Dropout, nn.Flatten, nn.Linear, nn.BatchNorm1d,
    ]  # fmt: skip


def test_modules_of_adaface_have_a_norm_layer_more_and_those_of_ir_no_squeeze():
    network = built("ir_se_18", input_size=32, width=2, **ADAFACE)
    assert [type(module) for module in network.body[0].res_layer] == [
        nn.BatchNorm2d, nn.Conv2d, nn.BatchNorm2d, nn.PReLU, nn.Conv2d, nn.BatchNorm2d, SEModule,
    ]  # fmt: skip
    assert len(built("ir_18", input_size=32, width=2).body[0].res_layer) == 5


def test_only_the_first_block_of_iresnet_has_a_shortcut_that_others_have_not():
    plain, iresnet = (
        {
            key.rpartition(".")[0]
            for key in built("ir_50", input_size=16, width=2, **layout).state_dict()
            if "shortcut" in key
        }
        for layout in ({}, IRESNET)
    )
    assert iresnet - plain == {"body.0.shortcut_layer.0", "body.0.shortcut_layer.1"}


def test_no_convolution_has_a_bias_and_the_layout_says_what_the_output_has():
    network = built("ir_se_18", input_size=32, width=2)
    assert all(m.bias is None for m in network.modules() if isinstance(m, nn.Conv2d))
    assert network.output_layer[4].weight is None
    assert network.output_layer[3].bias is not None
    other = built("ir_se_18", input_size=32, width=2, last_affine=True, linear_bias=False)
    assert other.output_layer[4].weight is not None
    assert other.output_layer[3].bias is None


def by_hand(state, x, blocks):
    """Write the network out in formulas over its state dict."""
    conv = functional.conv2d
    x = sloped(
        state,
        "input_layer.2",
        normed(state, "input_layer.1", conv(x, state["input_layer.0.weight"], padding=1)),
    )
    for k in range(sum(blocks)):
        stride = 2 if k in [sum(blocks[:stage]) for stage in range(4)] else 1
        res, cut = f"body.{k}.res_layer", f"body.{k}.shortcut_layer"
        inside = f"{res}.4.weight" in state and state[f"{res}.4.weight"].ndim == 4
        y = conv(normed(state, f"{res}.0", x), state[f"{res}.1.weight"], padding=1)
        y = normed(state, f"{res}.2", y) if inside else y
        y = sloped(state, f"{res}.{2 + inside}", y)
        y = conv(y, state[f"{res}.{3 + inside}.weight"], stride=stride, padding=1)
        y = normed(state, f"{res}.{4 + inside}", y)
        if f"{res}.{5 + inside}.fc1.weight" in state:
            first, second = (state[f"{res}.{5 + inside}.fc{i}.weight"].flatten(1) for i in (1, 2))
            y = y * torch.sigmoid((y.mean((2, 3)) @ first.T).clamp(min=0) @ second.T)[:, :, None, None]
        if f"{cut}.0.weight" in state:
            x = normed(state, f"{cut}.1", conv(x, state[f"{cut}.0.weight"], stride=stride))
        else:
            x = functional.max_pool2d(x, 1, stride)
        x = x + y
    x = normed(state, "output_layer.0", x).flatten(1) @ state["output_layer.3.weight"].T
    return normed(state, "output_layer.4", x + state["output_layer.3.bias"])


@pytest.mark.parametrize("layout", [{}, FACE_EVOLVE, ADAFACE, IRESNET])
@pytest.mark.parametrize("name", ["ir_18", "ir_se_18"])
def test_the_network_is_its_formulas(name, layout):
    network = built(name, input_size=32, width=4, dimension=6, **layout)
    with torch.inference_mode():
        expected = by_hand(network.state_dict(), images(32), BLOCKS[int(name.split("_")[-1])])
        torch.testing.assert_close(network(images(32)), expected, rtol=1e-3, atol=1e-3)
    assert expected.std() > 0.05


def test_a_seed_draws_the_weights_it_always_drew():
    """Published numbers stay reproducible: modules are made in this order, and kernels drawn last."""

    def conv(*shape):
        return nn.Conv2d(*shape, bias=False).weight

    def linear(*shape):
        made = nn.Linear(*shape)
        return made.weight, made.bias

    torch.manual_seed(5)
    kernels = {"input_layer.0": conv(3, 4, 3)}
    channels = 4
    for k in range(8):
        out = 4 * 2 ** (k // 2)
        if channels != out:
            kernels[f"body.{k}.shortcut_layer.0"] = conv(channels, out, 1)
        kernels[f"body.{k}.res_layer.1"] = conv(channels, out, 3)
        kernels[f"body.{k}.res_layer.3"] = conv(out, out, 3)
        kernels[f"body.{k}.res_layer.5.fc1"] = conv(out, max(1, out // 16), 1)
        kernels[f"body.{k}.res_layer.5.fc2"] = conv(max(1, out // 16), out, 1)
        channels = out
    weight, bias = linear(32 * 2 * 2, 6)
    for kernel in kernels.values():
        nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")
    torch.manual_seed(5)
    state = backbones.build("ir_se_18", input_size=32, width=4, dimension=6).state_dict()
    assert {name for name, tensor in state.items() if tensor.ndim == 4} == {
        f"{name}.weight" for name in kernels
    }
    for name, kernel in kernels.items():
        assert torch.equal(state[f"{name}.weight"], kernel), name
    assert torch.equal(state["output_layer.3.weight"], weight)
    assert torch.equal(state["output_layer.3.bias"], bias)


def test_the_shortcut_is_a_max_pool_of_single_pixels():
    x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    for stride in (1, 2):
        assert torch.equal(Subsample(stride)(x), nn.MaxPool2d(1, stride)(x))


def test_dropout_acts_in_training_only():
    network = built("ir_se_18", input_size=32, width=2, dropout=0.9)
    assert torch.equal(network(images(32)), network(images(32)))
    features = network.output_layer[1].train()(torch.ones(1000))
    assert (features == 0).float().mean().item() == pytest.approx(0.9, abs=0.05)


def test_the_default_layout_is_the_one_that_seeds_and_demo_numbers_go_back_to():
    assert Layout() == Layout(
        inner_norm=False, first_shortcut="subsample", last_affine=False, linear_bias=True
    )
