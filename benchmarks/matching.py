"""Channels matched by their weights beside rebasin 0.0.47, its authors' coordinate descent for torch modules.

::

    pip install --no-deps rebasin==0.0.47 torchview graphviz
    python -m benchmarks.matching

Planted: the second network is the first with its channels permuted and noise in its kernels, of so many
times their energy; told is the share of hidden channels that are found. Free: two networks that were drawn
apart; nothing is to be found, and told is how near the kernels come, ‖A − B‖² less than without matching.
The peer minimises ‖A − B‖² of the kernels as they are, so ours is asked for the same (``scaled=True``).
"""

import argparse
import copy
import time
import warnings

import numpy as np
import torch
from torch import nn

from embedlab.lab.weights import LayerWeights, of_tensors
from embedlab.maths.kernels.channel_matching import match, reordered
from embedlab.networks import backbones

KINDS = ("ir_se_18", "sphereface_20")


def drawn(kind: str, width: int, seed: int) -> nn.Module:
    """Draw a network."""
    torch.manual_seed(seed)
    return backbones.build(kind, input_size=32, width=width, dimension=16, dropout=0.0).eval()


def weights_of(network: nn.Module) -> LayerWeights:
    """Read a network's kernels."""
    return of_tensors({name: value.numpy() for name, value in network.state_dict().items()}, "m")


def planted(network: nn.Module, noise: float, seed: int) -> nn.Module:
    """Permute the channels of a network at random, and add noise to its kernels."""
    rng, held = np.random.default_rng(seed), weights_of(network)
    free = match(held, held, restarts=1, sweeps=1, scaled=True)
    orders = {group: rng.permutation(len(order)) for group, order in free.permutations.items()}
    moved = reordered(held, free.wires, orders)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for name, kernels in moved.layers.items():
            spread = np.sqrt(noise) * kernels.std()
            own = kernels + spread * rng.normal(size=kernels.shape)
            other.get_submodule(name).weight.copy_(torch.from_numpy(own.astype(np.float32)))
    return other


def distance(a: LayerWeights, b: LayerWeights) -> float:
    """Give ‖A − B‖² over the kernels of convolutions."""
    return float(sum(((kernels - b.layers[name]) ** 2).sum() for name, kernels in a.layers.items()))


def ours(a: nn.Module, b: nn.Module) -> tuple[LayerWeights, float]:
    """Match by embedlab; give the kernels of ``b`` in the order of ``a``, and the seconds."""
    one, other = weights_of(a), weights_of(b)
    begun = time.perf_counter()
    found = match(one, other, restarts=3, scaled=True)
    return found.apply(other), time.perf_counter() - begun


def theirs(a: nn.Module, b: nn.Module) -> tuple[LayerWeights, float]:
    """Match by the peer, on a copy."""
    from rebasin import PermutationCoordinateDescent

    moved = copy.deepcopy(b)
    begun = time.perf_counter()
    PermutationCoordinateDescent(a, moved, torch.randn(2, 3, 32, 32)).rebasin()
    return weights_of(moved), time.perf_counter() - begun


def found_share(a: LayerWeights, b: LayerWeights) -> float:
    """Give the share of channels of the 3×3 convolutions whose own kernel of ``a`` is the nearest."""
    right = count = 0
    for name, kernels in a.layers.items():
        if kernels.shape[-1] < 3:
            continue
        rows, others = kernels.reshape(len(kernels), -1), b.layers[name].reshape(len(kernels), -1)
        nearest = (others**2).sum(1)[None] - 2 * rows @ others.T
        right += int((nearest.argmin(1) == np.arange(len(rows))).sum())
        count += len(rows)
    return right / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--noises", type=float, nargs="+", default=[0.1, 1.0, 3.0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("network, case: ours | theirs, seconds ours | theirs")
    for kind in KINDS:
        for width in options.widths:
            for noise in (*options.noises, None):
                rows = [_row(kind, width, noise, seed) for seed in range(options.seeds)]
                told = np.mean(rows, axis=0)
                case = "free, ‖A − B‖² less" if noise is None else f"noise {noise:g}, channels found"
                print(
                    f"{kind} of width {width}, {case}: {told[0]:.1%} | {told[1]:.1%}, "
                    f"{told[2]:.2f} | {told[3]:.2f} s",
                    flush=True,
                )


def _row(kind: str, width: int, noise: float | None, seed: int) -> tuple[float, float, float, float]:
    a = drawn(kind, width, seed)
    b = drawn(kind, width, 1000 + seed) if noise is None else planted(a, noise, seed)
    held, (one, first), (other, second) = weights_of(a), ours(a, b), theirs(a, b)
    if noise is None:
        before = distance(held, weights_of(b))
        return 1 - distance(held, one) / before, 1 - distance(held, other) / before, first, second
    return found_share(held, one), found_share(held, other), first, second


if __name__ == "__main__":
    main()
