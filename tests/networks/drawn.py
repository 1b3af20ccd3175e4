"""Networks as training leaves them, without training."""

import torch
from torch import nn

from embedlab.networks import backbones


def built(name: str, seed: int = 0, **options):
    """Build a backbone of drawn weights, statistics and slopes, ready to embed; torch's generator is left."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = backbones.build(name, **options).eval()
        return as_trained(network)


def as_trained(network: nn.Module):
    """Draw norm layers' factors, biases and statistics, slopes and biases around what they start with."""
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1 and tensor.is_floating_point():
            mean = 0.0 if "mean" in name or "bias" in name else 1.0
            tensor.copy_(mean + 0.3 * torch.randn(tensor.shape).clamp(-2, 2))
    return network


def images(size: int, count: int = 3):
    """Draw normalised images."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def normed(state, name: str, x):
    """Apply a norm layer in evaluation by its formula; epsilon is PyTorch's 1e-5."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var = (state[f"{name}.running_{kind}"].view(shape) for kind in ("mean", "var"))
    y = (x - mean) / (var + 1e-5).sqrt()
    if f"{name}.weight" in state:
        y = y * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)
    return y


def sloped(state, name: str, x):
    """Apply a PReLU by its formula."""
    return x.clamp(min=0) + state[f"{name}.weight"].view(1, -1, 1, 1) * x.clamp(max=0)
