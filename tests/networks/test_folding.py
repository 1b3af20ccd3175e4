import numpy as np
import pytest
import torch
from torch import nn

from embedlab.networks import backbones
from embedlab.networks.folding import ShiftedConv, folded
from embedlab.networks.fused import Fused

SIZE = 32


def trained(name, seed=0, dimension=16, size=SIZE):
    """A backbone whose BatchNorms have seen data, so that none is the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = backbones.build(name, input_size=size, width=8, dimension=dimension)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
                module.bias.data.normal_(0, 0.5, generator=generator)
        if isinstance(module, nn.PReLU):
            module.weight.data.uniform_(-0.2, 0.4, generator=generator)
    return network.eval().requires_grad_(False)


def faces(n=3, size=SIZE, seed=1):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def off(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


# The networks of 100 layers are of the same blocks.
@pytest.mark.parametrize("name", [name for name in backbones.NAMES if not name.endswith("100")])
def test_a_folded_backbone_gives_the_backbones_vectors(name):
    network = trained(name)
    found = folded(network)(faces())
    exact = trained(name).double()(faces().double())
    assert off(found.double(), exact) < 4 * off(network(faces()).double(), exact) + 1e-6


def test_nothing_but_convolutions_linear_layers_and_activations_is_left_of_ir_se():
    kinds = {type(module) for module in folded(trained("ir_se_18")).modules()}
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout}
    assert ShiftedConv in kinds


@pytest.mark.parametrize("name", ["ir_se_18", "mobilefacenet"])
def test_the_network_itself_is_left_as_it_is(name):
    network, untouched = trained(name), trained(name)
    folded(network)
    assert str(network) == str(untouched)
    for key, value in untouched.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)
    assert torch.equal(network(faces()), untouched(faces()))


@pytest.mark.parametrize("fusion", ["sum", "concatenate"])
def test_a_fused_networks_parts_are_folded(fusion):
    network = Fused([trained("ir_18"), trained("ir_se_18", 1, size=48)], fusion, shrink=(16, 0)).eval()
    parts = list(network.parts)
    made = folded(network)
    assert off(made(faces(size=48)), network(faces(size=48))) < 5e-6
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    assert list(network.parts) == parts


@pytest.mark.parametrize("bias", [False, True])
def test_a_norm_before_a_padded_convolution_is_folded_exactly_up_to_the_corners(bias):
    generator = torch.Generator().manual_seed(2)
    norm, conv = nn.BatchNorm2d(4).eval(), nn.Conv2d(4, 5, 3, padding=1, bias=bias)
    norm.running_mean.normal_(3, 1, generator=generator)
    norm.running_var.uniform_(0.5, 2, generator=generator)
    norm.bias.data.normal_(0, 2, generator=generator)
    for parameter in conv.parameters():
        parameter.data.normal_(0, 1, generator=generator)
    x = torch.randn(2, 4, 6, 7, generator=generator)
    with torch.inference_mode():
        expected = conv(norm(x))
        difference = (ShiftedConv(norm, conv)(x) - expected).abs().amax((0, 1))
    assert difference.shape == (6, 7)
    np.testing.assert_allclose(difference, 0, atol=1e-5 * float(expected.abs().max()))


def test_a_norm_whose_input_goes_elsewhere_too_is_kept():
    class Forked(backbones.Backbone):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.norm = nn.BatchNorm2d(4)
            self.input_size, self.dimension = 4, 64

        def forward(self, x):
            y = self.conv(x)
            return (self.norm(y) + y).flatten(1)

    network = Forked().eval().requires_grad_(False)
    network.norm.running_mean.fill_(1)
    made = folded(network)
    assert any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    assert off(made(faces(size=4)), network(faces(size=4))) < 1e-6
