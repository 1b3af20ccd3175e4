"""Every backbone is made by its name, described, and made again."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from embedlab.errors import UserError
from embedlab.lab import weights
from embedlab.networks import backbones
from embedlab.networks.fused import Fused
from tests.networks.drawn import built, images


def test_there_are_the_backbones_of_the_field():
    assert set(backbones.NAMES) == {
        "ir_18", "ir_50", "ir_100", "ir_se_18", "ir_se_50", "ir_se_100", "se_resnet_50", "sphereface_20",
        "sphereface_20_bn", "mobilefacenet",
    }  # fmt: skip


@pytest.mark.parametrize("dimension", [3, 7])
@pytest.mark.parametrize("name", backbones.NAMES)
def test_every_backbone_takes_size_width_and_dimension(name, dimension):
    with torch.device("meta"):
        network = backbones.build(name, input_size=48, width=4, dimension=dimension)
        assert network(torch.zeros(2, 3, 48, 48)).shape == (2, dimension)
    assert (network.input_size, network.dimension) == (48, dimension)
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert first.out_channels == 4


@pytest.mark.parametrize("name", backbones.NAMES)
def test_a_described_backbone_is_made_again(name):
    numbers = {"input_size": 32, "width": 2, "dimension": 5, "dropout": 0.2}
    with torch.device("meta"):
        network = backbones.build(name, **numbers)
        described = json.loads(json.dumps(backbones.describe(network)))
        again = backbones.rebuild(described)
    assert described | {"backbone": name} | numbers == described
    assert backbones.describe(again) == described
    shapes = [[(key, value.shape) for key, value in n.state_dict().items()] for n in (network, again)]
    assert shapes[0] == shapes[1]
    assert [m.p for m in again.modules() if isinstance(m, nn.Dropout)] == [0.2]


def test_a_description_keeps_the_layout():
    layout = {"inner_norm": True, "first_shortcut": "convolution", "last_affine": True, "linear_bias": False}
    network = backbones.build("ir_18", input_size=16, width=2, **layout)
    described = backbones.describe(network)
    assert described | layout == described
    assert list(backbones.rebuild(described).state_dict()) == list(network.state_dict())


def test_a_description_keeps_the_stem_and_one_from_before_stems_has_none():
    made = backbones.build("ir_18", input_size=32, width=2, stem=4)
    again = backbones.rebuild(backbones.describe(made))
    assert again.input_layer[0].stride == (4, 4)
    old = {
        k: v for k, v in backbones.describe(backbones.build("ir_18", input_size=32)).items() if k != "stem"
    }
    assert backbones.rebuild(old).input_layer[0].stride == (1, 1)


def test_changing_a_description_leaves_the_networks_own():
    network = built("mobilefacenet", input_size=16, width=2)
    backbones.describe(network)["backbone"] = "other"
    assert backbones.describe(network)["backbone"] == "mobilefacenet"


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("resnet", {}, "unknown backbone 'resnet': choose one of ir_18"),
        ("ir_50", {"input_size": 100}, "input_size of ir_50 must be a positive multiple of 16, not 100"),
        ("mobilefacenet", {"input_size": 0}, "positive multiple of 16, not 0"),
        ("ir_18", {"width": 0}, "width 0.*must be at least 1"),
        ("ir_18", {"dimension": 0}, "dimension 0"),
        ("ir_18", {"dropout": 1.0}, "dropout 1.0.*below 1"),
        (
            "ir_18",
            {"stem": 3},
            "ir_18 cannot have a stem of 3: a stem of 2 or 4 is for the residual networks",
        ),
        ("mobilefacenet", {"stem": 2}, "mobilefacenet cannot have a stem of 2"),
        ("ir_18", {"norm": True}, "ir_18 has no layout 'norm': choose among inner_norm, first_shortcut"),
        ("mobilefacenet", {"inner_norm": True}, "mobilefacenet has no layout 'inner_norm': there is one"),
        ("ir_18", {"first_shortcut": "pool"}, "first_shortcut = 'pool': choose 'subsample' or 'convolution'"),
        ("ir_18", {"last_affine": "yes"}, "last_affine = 'yes': choose False or True"),
    ],
)
def test_what_cannot_be_built_is_told(name, options, match):
    with pytest.raises(UserError, match=match):
        backbones.build(name, **({"input_size": 32} | options))


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"backbone": "ir_18"},
        {"backbone": "ir_18", "input_size": "large"},
        {"backbone": "fused"},
        {"backbone": "fused", "parts": [3]},
        {"backbone": "fused", "parts": [], "way": 1},
        {"backbone": ["ir_18"]},
        7,
    ],
)
def test_a_description_that_says_nothing_is_told(description):
    with pytest.raises(UserError, match="describes no network|unknown backbone|choose"):
        backbones.rebuild(description)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ir_18", {"last_affine": True}, {"output_layer.0", "output_layer.3", "output_layer.4"}),
        ("ir_se_18", {}, {"output_layer.0", "output_layer.3"}),
        ("se_resnet_50", {}, {"output_layer.2"}),
        ("se_resnet_50", {"dimension": 64}, set()),
        ("sphereface_20", {}, {"fc5"}),
        ("sphereface_20_bn", {}, {"fc5", "bn5"}),
        ("mobilefacenet", {}, {"conv_6_dw.conv", "conv_6_dw.bn", "linear", "bn"}),
    ],
)
def test_the_output_layers_are_named(name, options, expected):
    network = built(name, **({"input_size": 16, "width": 2, "dimension": 5} | options))
    found = backbones.output_parameters(network)
    assert {name.rpartition(".")[0] for name in found} == expected
    assert set(found) <= {name for name, _ in network.named_parameters()}


def test_the_output_layers_of_a_fused_network_are_those_of_all_parts():
    parts = [built(name, input_size=16, width=2, dimension=5) for name in ("ir_18", "sphereface_20")]
    found = backbones.output_parameters(Fused(parts))
    assert found == [
        f"parts.{k}.{name}" for k, part in enumerate(parts) for name in backbones.output_parameters(part)
    ]
    assert "parts.1.fc5.weight" in found


def test_networks_are_laid_out_channels_last_where_that_is_fastest():
    assert backbones.memory_format("cpu") is backbones.memory_format("cuda") is torch.channels_last
    assert backbones.memory_format("mps") is torch.contiguous_format


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("name", ["ir_se_18", "se_resnet_50", "mobilefacenet"])
def test_a_step_in_the_fastest_layout_learns_the_same_as_in_the_plain_one(name, width):
    network = built(name, input_size=16, width=width, dimension=4, dropout=0.0).train()
    gradients = []
    for layout in (torch.contiguous_format, backbones.memory_format("cpu")):
        network = network.to(memory_format=layout)
        network.zero_grad()
        network(images(16, 4).contiguous(memory_format=layout)).square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.999


@pytest.mark.parametrize(
    ("name", "options", "architecture"),
    [
        ("ir_50", {}, "IR-SE"),
        ("ir_se_18", {"inner_norm": True, "first_shortcut": "convolution"}, "IR-SE"),
        ("sphereface_20", {}, "SphereFace"),
        ("sphereface_20_bn", {}, "SphereFace"),
        ("mobilefacenet", {}, "unknown"),
        ("se_resnet_50", {}, "unknown"),
    ],
)
def test_layer_weights_tell_how_the_layers_hang_together(tmp_path, name, options, architecture):
    network = built(name, input_size=16, width=4, **options)
    tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(tensors, tmp_path / "m.safetensors", metadata={"order": "\n".join(tensors)})
    found = weights.read(tmp_path / "m.safetensors", name)
    assert weights.architecture(found) == architecture
    kinds = [
        (nn.Conv2d, found.layers),
        (nn.PReLU, found.slopes),
        (nn.BatchNorm2d | nn.BatchNorm1d, found.norms),
    ]
    for kind, names in kinds:
        assert set(names) == {n for n, m in network.named_modules() if isinstance(m, kind)}
