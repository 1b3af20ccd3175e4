"""How often are networks without pattern called structured, or alike? ``python -m benchmarks.kernels``.

Each law draws the weights of pairs of networks that share nothing and have no pattern in space ("smooth" and
"low rank" have even slices, and are for comparisons of two). Beside these rates of false claims at 5 % stand
those of planted truths: Gabor functions in noise, and a permuted copy of a network mixed with another. It
takes some minutes. The tables stand in the docstrings of the analyses; tests hold shorter runs.
"""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np

from embedlab.analyses import kernels, layers, spectra, structure
from embedlab.analyses.kernels import KernelParams
from embedlab.analyses.layers import LayerParams
from embedlab.analyses.spectra import SpectraParams
from embedlab.analyses.structure import StructureParams
from embedlab.lab.weights import LayerWeights, wiring
from embedlab.maths.kernels.channel_matching import reordered
from embedlab.maths.kernels.kernel_structure import centred, planted

PAIRS, CHANNELS, LEVEL = 60, (3, 16, 16, 16), 0.05


def unequal(rng, shape):
    return rng.normal(size=shape) * np.exp(rng.normal(size=(shape[1], 1, 1)))


def low_rank(rng, shape):
    return rng.normal(size=shape) + rng.normal(size=(shape[0], 1, 1, 1)) * rng.normal(size=(shape[1], 1, 1))


def shared(rng, shape):
    """All input channels of a kernel have one pattern, by a factor each."""
    return rng.normal(size=(shape[0], 1, *shape[2:])) * rng.normal(size=(*shape[:2], 1, 1))


def smooth(rng, shape):
    return rng.normal(size=shape) + rng.normal(size=(*shape[:2], 1, 1))


LAWS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, size=shape),
    "t₃": lambda rng, shape: rng.standard_t(3, size=shape),
    "unequal": unequal,
    "low rank": low_rank,
    "shared": shared,
    "smooth": smooth,
}


def network(law, seed, channels=CHANNELS):
    """Draw a network whose layers read one another."""
    rng = np.random.default_rng([31, seed])
    each = enumerate(pairwise(channels))
    found = {f"conv{k}": LAWS[law](rng, (o, i, 3, 3)).astype(np.float32) for k, (i, o) in each}
    return LayerWeights(f"{law} {seed}", found, {})


def claims(a, b, shuffles=199):
    """Give what is claimed of two networks, by name."""
    one = structure.compute(a, StructureParams(shuffles))
    pair = kernels.compute(a, b, KernelParams(shuffles, 1))
    far = layers.compute(a, b, LayerParams(19, 1, 99, 1))
    return {
        "a first layer, as it is": one.layer_p[0] <= LEVEL,
        "a first layer, beyond its mean": one.layer_p[1] <= LEVEL,
        "any kernel of it, as it is": one.found[:, 0].any(),
        "any kernel of it, beyond its mean": one.found[:, 1].any(),
        "any layer smoother": one.smooth > 0,
        "any layer of few directions": spectra.compute(a, SpectraParams()).lower > 0,
        "alike, random places": pair.places_p <= LEVEL,
        "alike, turned": pair.turned_p <= LEVEL,
        "networks nearer": far.whole_p <= LEVEL,
        "any layer nearer": far.nearer > 0,
        "any layer nearer unmatched": (far.unmatched_p <= LEVEL).any(),
    }


def rates(law, pairs=PAIRS, shuffles=199):
    """Give the share of pairs of networks without relation of which each thing is claimed."""
    found = [claims(network(law, 2 * k), network(law, 2 * k + 1), shuffles) for k in range(pairs)]
    return {what: float(np.mean([one[what] for one in found])) for what in found[0]}


def gabors(share, seed, size=3, channels=16):
    """Draw a first layer of Gabor functions that hold this share of its energy beyond the mean."""
    noise = np.random.default_rng([32, seed]).normal(size=(channels, 3, size, size))
    signal, noise = (
        centred(x).reshape(channels, -1) for x in (planted(channels, 3, size, size, seed), noise)
    )
    signal, noise = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (signal, noise))
    mixed = np.sqrt(share) * signal + np.sqrt(1 - share) * noise
    return LayerWeights("gabors", {"conv0": mixed.reshape(channels, 3, size, size).astype(np.float32)}, {})


def copied(share, law, seed):
    """Draw a network, and one whose weights are to this share of energy the first's, channels permuted."""
    a, other = network(law, 2 * seed), network(law, 2 * seed + 1)
    rng, wires = np.random.default_rng([33, seed]), wiring(a)
    order = {wires[name].outputs: rng.permutation(len(kernels)) for name, kernels in a.layers.items()}
    mixed = {
        name: np.float32(np.sqrt(share)) * kernels + np.float32(np.sqrt(1 - share)) * other.layers[name]
        for name, kernels in a.layers.items()
    }
    return a, reordered(replace(a, model="copy", layers=mixed), wires, order)


def main(pairs: int = PAIRS) -> None:
    table = {law: rates(law, pairs) for law in LAWS}
    print(f"{'claimed without ground':36s}", *(f"{law:>9s}" for law in LAWS))
    for what in table["normal"]:
        print(f"{what:36s}", *(f"{table[law][what]:9.0%}" for law in LAWS), flush=True)
    print("\nGabor functions' share of energy      layer   kernels found")
    for size in (3, 5):
        for share in (1.0, 0.9, 0.75, 0.5, 0.25):
            found = [structure.compute(gabors(share, seed, size), StructureParams(999)) for seed in range(10)]
            layer = np.mean([one.layer_p[1] <= LEVEL for one in found])
            single = np.mean([one.found[:, 1].mean() for one in found])
            print(
                f"{size}×{size}  {share:4.0%}                            {layer:6.0%} {single:14.0%}",
                flush=True,
            )
    print("\nshare of a permuted copy     alike, random places   alike, turned   nearer   layers nearer")
    for law in ("normal", "t₃"):
        for share in (0.75, 0.5, 0.25, 0.1, 0.05):
            both = [copied(share, law, seed) for seed in range(15)]
            pair = [kernels.compute(a, b, KernelParams(199, 1)) for a, b in both]
            far = [layers.compute(a, b, LayerParams(19, 1, 99, 1)) for a, b in both]
            shares = (
                np.mean([one.places_p <= LEVEL for one in pair]),
                np.mean([one.turned_p <= LEVEL for one in pair]),
                np.mean([one.whole_p <= LEVEL for one in far]),
                np.mean([one.nearer / one.compared for one in far]),
            )
            print(f"{law:8s} {share:4.0%}", *(f"{value:14.0%}" for value in shares), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
