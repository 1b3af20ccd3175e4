"""Steps of training do no damage: every backbone takes some, in processes whose death a test survives.

oneDNN's kernels for one shape or another have written out of bounds; what that does depends on the
processor, the layout and the channels. Here all backbones are as narrow as demos are, and narrower.
"""

import os
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from embedlab.networks import backbones
from embedlab.networks.backbones import placed
from embedlab.networks.blocks import Subsample
from embedlab.networks.folding import folded
from embedlab.networks.fused import Fused
from tests.networks.drawn import built, images

KINDS = [name for name in backbones.NAMES if not name.endswith(("_50", "_100"))] + ["se_resnet_50"]
"""A network of each kind of block: those of 50 and 100 layers have no others."""
IRESNET = {"first_shortcut": "convolution", "inner_norm": True, "last_affine": True, "linear_bias": False}

STEPS = """
import faulthandler, sys
import torch
from embedlab.networks import backbones
torch.set_num_threads(1)
faulthandler.enable()
torch.manual_seed(0)
for layout in (torch.channels_last, torch.contiguous_format):
    for kind in sys.argv[2:]:
        for width in map(int, sys.argv[1].split()):
            print(layout, kind, width, file=sys.stderr, flush=True)
            # Damage shows in large feature maps, and those of narrow networks are cheap.
            network = backbones.build(kind, input_size=112, width=width, dimension=8).train()
            network = network.to(memory_format=layout)
            x = torch.randn(2, 3, 112, 112).contiguous(memory_format=layout)
            for _ in range(2):
                network.zero_grad()
                network(x).square().mean().backward()
print("whole")
"""


# A register holds 16 numbers or, with AVX2, 8.
@pytest.mark.parametrize(("highest", "widths"), [("this processor's", "4 8 12 16"), ("AVX2", "4 12")])
def test_every_backbone_takes_steps_at_any_width_in_both_layouts_without_damage(highest, widths):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_PERTURB_": "165"}
    if highest == "AVX2":
        environment["ONEDNN_MAX_CPU_ISA"] = highest
    ended = subprocess.run(
        [sys.executable, "-c", STEPS, widths, *KINDS],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    died = f" of {signal.Signals(-ended.returncode).name}" if ended.returncode < 0 else ""
    assert ended.stdout == "whole\n", f"it died{died} at {ended.stderr[-2000:]}"


def strided(network):
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride != (1, 1)
    ]


def test_no_backbone_has_a_strided_pointwise_convolution():
    """Its gradient writes out of bounds in oneDNN 3.12; ``blocks.Subsample`` goes before a plain one."""
    networks = [built(name, input_size=16, width=2) for name in backbones.NAMES]
    networks += [built(name, input_size=16, width=2, **IRESNET) for name in ("ir_18", "ir_se_18")]
    networks.append(Fused(networks[:2]))
    assert not [name for network in networks for name in strided(network)]
    assert not strided(folded(built("se_resnet_50", input_size=16, width=2)))
    assert strided(nn.Sequential(nn.Conv2d(2, 2, 1, 2))) == ["0"]


@pytest.mark.parametrize("name", ["ir_18", "se_resnet_50"])
def test_on_a_card_pointwise_convolutions_stride_by_themselves_and_give_the_same(name):
    network = built(name, input_size=32, width=4, dimension=8, dropout=0.0).double()
    x = images(32, 2).double()
    expected = network(x)
    steps = [module for module in network.modules() if isinstance(module, Subsample)]
    for module in steps:
        module.place("cuda:0")
    assert len(strided(network)) == {"ir_18": 3, "se_resnet_50": 6}[name]
    assert all(module.stride == 1 for module in steps if module.pointwise)
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)
    # Back on a CPU none does, whatever device it was on.
    assert not strided(placed(network, "cpu"))
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)
