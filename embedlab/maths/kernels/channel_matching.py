"""Channel matching: which channel of one network is which of another, consistently through the network.

A network's channels have no natural order: permute the output channels of a convolution, and the
input channels of all that read them alike, and the function stays the same. ``match`` looks for
the permutations that bring the kernels of two networks closest [1]_ [2]_ [3]_.

A permuted copy is found exactly (tests: also under noise of three times the weights' spread); of networks
without relation a local optimum is found. Their kernels come closer by the choice alone, so a distance
after matching says something only beside that of a network that shares nothing (``with_signs``).

References
----------
.. [1] Ainsworth, S. K., Hayase, J. and Srinivasa, S. Git Re-Basin: merging models modulo
   permutation symmetries. ICLR 2023.
.. [2] Singh, S. P. and Jaggi, M. Model fusion via optimal transport. NeurIPS 2020.
.. [3] Entezari, R. et al. The role of permutation invariance in linear mode connectivity of neural
   networks. ICLR 2022.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int

from embedlab.lab.weights import (
    FIXED,
    LayerWeights,
    Wire,
    alike,
    architecture,
    residual_places,
    shared_layers,
    wiring,
)

GAIN = 1e-6
"""Least gain for which a group is permuted, as a share of the largest possible one: float32's rounding."""


@dataclass(frozen=True)
class Matching:
    """Which channel of ``b`` plays the part of each channel of ``a``.

    Attributes
    ----------
    wires
        Layer → the groups of channels it reads and writes, see `embedlab.lab.weights.wiring`.
    permutations
        Group → for each channel of ``a`` the channel of ``b``, of shape (channels,). The group
        ``FIXED`` (the image's colours, the embedding's components) is not among them.
    architecture
        The family, or ``"chain"``: the permutations are consistent through the network, and
        ``apply`` gives a network of the same function. ``"unknown"``: layers were matched one by one, output
        channels only, with their input channels as they stand.
    objective
        Cosine of the two networks over all weights of all layers, in the form ``scale_free`` (1 = same).
    start_objective
        The same before matching, channel k with channel k.
    sweeps
        Passes over all groups that the best start took.
    converged
        Whether its last pass changed nothing.
    """

    wires: Mapping[str, Wire]
    permutations: Mapping[str, Int[np.ndarray, " c"]]
    architecture: str
    objective: float
    start_objective: float
    sweeps: int
    converged: bool

    def apply(self, b: LayerWeights) -> LayerWeights:
        """Give ``b`` with its channels in the order of ``a``; see ``reordered``."""
        return reordered(b, self.wires, self.permutations)


def reordered(
    weights: LayerWeights, wires: Mapping[str, Wire], permutations: Mapping[str, Int[np.ndarray, " c"]]
) -> LayerWeights:
    """Permute a network's channels: channel k of a group becomes what was ``permutations[group][k]``.

    Kernels, norm statistics and slopes are permuted alike. Convolutions without a wire stay as they
    are; norm layers and slopes without one are left out, since nobody knows their channels.
    """

    def along(values: np.ndarray, group: str, axis: int) -> np.ndarray:
        return values.take(permutations[group], axis=axis) if group in permutations else values

    layers = {
        name: along(along(kernels, wires[name].outputs, 0), wires[name].inputs, 1)
        if name in wires
        else kernels
        for name, kernels in weights.layers.items()
    }
    norms = {
        name: {kind: along(values, wires[name].outputs, 0) for kind, values in norm.items()}
        for name, norm in weights.norms.items()
        if name in wires
    }
    slopes = {n: along(v, wires[n].outputs, 0) for n, v in weights.slopes.items() if n in wires}
    return replace(weights, layers=layers, norms=norms, slopes=slopes)


def rewired(
    tensors: Mapping[str, np.ndarray],
    wires: Mapping[str, Wire],
    permutations: Mapping[str, Int[np.ndarray, " c"]],
) -> dict[str, np.ndarray]:
    """Permute a network's channels in all its tensors, as ``reordered`` does in its kernels.

    A linear layer that reads a flattened map has as many numbers a channel as the map has places.

    Parameters
    ----------
    tensors
        Weights, biases and statistics by the name of their layer and their own.
    wires
        Of every layer with weights.
    permutations
        As in ``Matching``.
    """

    def along(values: np.ndarray, group: str, axis: int) -> np.ndarray:
        order = permutations.get(group)
        if order is None or values.ndim <= axis or values.shape[axis] < len(order):
            return values
        places = values.shape[axis] // len(order)
        rows = (order[:, None] * places + np.arange(places)).ravel()
        moved: np.ndarray = values.take(rows, axis=axis)
        return moved

    found = {}
    for key, values in tensors.items():
        wire = wires.get(key.rpartition(".")[0])
        # The second axis of kernels is what they read; all else has one, which is what they write.
        found[key] = values if wire is None else along(along(values, wire.outputs, 0), wire.inputs, 1)
    return found


def match(
    a: LayerWeights,
    b: LayerWeights,
    *,
    seed: int = 0,
    restarts: int = 3,
    sweeps: int = 50,
    scaled: bool = False,
) -> Matching:
    """Match the channels of two networks by their weights: coordinate ascent, one assignment a group [1]_.

    Maximised is the inner product over all weights in the form that ``scale_free`` gives: scales that a
    norm layer undoes decide nothing, and every weight counts alike, which is maximum likelihood where
    the copies differ by noise that is a like share of each kernel.
    The first start matches group by group from the image outward, which finds a permuted copy exactly;
    the second starts from channel k = channel k, the best where both networks began from the same
    weights; further ones from random permutations, and visit the groups in random order.

    Parameters
    ----------
    a, b
        Networks; layers of one name and shape are matched. If they do not have all layers in common,
        or their wiring is unknown, each common layer is matched on its own (``architecture`` says so).
    seed
        Of the orders and random starts.
    restarts
        How many starts; the best objective is kept.
    sweeps
        Most passes over all groups in one start.
    scaled
        Whether both are given in the form ``scale_free`` already.

    Raises
    ------
    UserError
        If no layer is common to both.
    """
    shared = shared_layers(a, b)
    kind, wires = architecture(a), wiring(a)
    if len(shared) < max(len(a.layers), len(b.layers)) or not alike(wires, wiring(b)):
        kind, wires = "unknown", {name: Wire(FIXED, name) for name in shared}
    x, y = (_rows(weights if scaled else scale_free(weights), shared) for weights in (a, b))
    problem = _Problem(x, y, wires)
    rng = np.random.default_rng(seed)
    identity = {group: np.arange(size) for group, size in problem.sizes.items()}
    start_objective = problem.objective(identity)
    best: tuple[float, dict[str, np.ndarray], int, bool] | None = None
    for restart in range(max(restarts, 1)):
        groups = list(problem.sizes)
        if restart == 0:
            start = problem.outward()
        elif restart == 1:
            start = dict(identity)
        else:
            start = {group: rng.permutation(size) for group, size in problem.sizes.items()}
            rng.shuffle(groups)
        found, passes, converged = problem.ascend(start, groups, sweeps)
        value = problem.objective(found)
        if best is None or value > best[0]:
            best = (value, found, passes, converged)
        if value > 1 - GAIN:
            break
    assert best is not None
    return Matching(wires, best[1], kind, best[0], start_objective, best[2], best[3])


def _rows(weights: LayerWeights, names: list[str]) -> dict[str, np.ndarray]:
    """Lay each layer out as float32 of shape (out channels, in channels, height · width)."""
    return {
        n: np.ascontiguousarray(weights.layers[n].reshape(*weights.layers[n].shape[:2], -1), np.float32)
        for n in names
    }


@dataclass
class _Problem:
    """The sum of bilinear assignment problems that matching is; kernels of shape (out, in, pixels)."""

    a: Mapping[str, np.ndarray]
    b: Mapping[str, np.ndarray]
    wires: Mapping[str, Wire]
    sizes: dict[str, int] = field(init=False)
    weights: dict[str, int] = field(init=False)
    largest: float = field(init=False)
    known: dict[tuple[str, int], tuple[bytes, np.ndarray]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sizes = {}
        self.weights = {}
        self.largest = float(np.sqrt(_squares(self.a) * _squares(self.b)))
        for name, kernels in self.a.items():
            for group, size in zip(self.groups(name), kernels.shape[:2], strict=True):
                if group != FIXED:
                    self.sizes[group] = size
                    self.weights[group] = self.weights.get(group, 0) + kernels.size

    def groups(self, name: str) -> tuple[str, str]:
        """Name the groups of a layer's axes 0 and 1."""
        return self.wires[name].outputs, self.wires[name].inputs

    def touching(self, group: str) -> Iterator[tuple[str, int]]:
        """Give the layers that write (axis 0) or read (axis 1) a group."""
        for name in self.a:
            for axis, found in enumerate(self.groups(name)):
                if found == group:
                    yield name, axis

    def products(self, name: str, axis: int, other: np.ndarray | None) -> np.ndarray:
        """Give a layer's inner products, channel of a × channel of b, with the other axis permuted."""
        state = b"" if other is None else other.tobytes()
        if (name, axis) not in self.known or self.known[name, axis][0] != state:
            a, b = self.a[name], self.b[name]
            if other is not None:
                b = b.take(other, axis=1 - axis)
            a, b = (np.moveaxis(v, axis, 0).reshape(v.shape[axis], -1) for v in (a, b))
            self.known[name, axis] = (state, a @ b.T)
        return self.known[name, axis][1]

    def gains(self, group: str, permutations: Mapping[str, np.ndarray]) -> np.ndarray:
        """Sum the products of all layers that touch a group and whose other group is known."""
        total = np.zeros((self.sizes[group], self.sizes[group]))
        for name, axis in self.touching(group):
            other = self.groups(name)[1 - axis]
            if other == FIXED or other in permutations:
                total += self.products(name, axis, permutations.get(other))
        return total

    def outward(self) -> dict[str, np.ndarray]:
        """Match group by group from the image on: next is the one most of whose writers can be read."""
        found: dict[str, np.ndarray] = {}

        def readable(group: str) -> float:
            share = [0, 0]
            for name, axis in self.touching(group):
                known = self.wires[name].inputs in {FIXED, *found}
                share[known] += self.a[name].size if axis == 0 else 0
            return share[1] / max(sum(share), 1)

        while len(found) < len(self.sizes):
            group = max((g for g in self.sizes if g not in found), key=readable)
            found[group] = _assign(self.gains(group, found))
        return found

    def ascend(
        self, start: dict[str, np.ndarray], groups: list[str], sweeps: int
    ) -> tuple[dict[str, np.ndarray], int, bool]:
        """Solve group after group with the others held, until a pass changes nothing."""
        found = dict(start)
        neighbours = {
            g: {self.groups(name)[1 - axis] for name, axis in self.touching(g)} - {FIXED} for g in groups
        }
        open_groups = set(groups)
        for sweep in range(1, sweeps + 1):
            for group in groups:
                if group not in open_groups:
                    continue
                open_groups.discard(group)
                gains = self.gains(group, found)
                better = _assign(gains)
                rows, least = np.arange(len(better)), GAIN * self.weights[group]
                if gains[rows, better].sum() > gains[rows, found[group]].sum() + least:
                    found[group] = better
                    open_groups |= neighbours[group]
            if not open_groups:
                return found, sweep, True
        return found, sweeps, False

    def objective(self, permutations: Mapping[str, np.ndarray]) -> float:
        """Give the cosine over all weights of all layers; 0 where all are zero."""
        total = 0.0
        for name in self.a:
            outputs, inputs = self.groups(name)
            products = self.products(name, 0, permutations.get(inputs))
            rows = np.arange(len(products))
            total += float(products[rows, permutations.get(outputs, rows)].sum(dtype=np.float64))
        return total / self.largest if self.largest > 0 else 0.0


def _squares(layers: Mapping[str, np.ndarray]) -> float:
    return sum(float(np.sum(v**2, dtype=np.float64)) for v in layers.values())


def _assign(gains: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    columns: np.ndarray = linear_sum_assignment(gains, maximize=True)[1]
    return columns


def scale_free(weights: LayerWeights) -> LayerWeights:
    """Give the kernels in a form that is the same for all channel scales of one function, in float32.

    In the IR-SE family: the factors of a norm layer are moved into the kernels that read it, the length of
    a kernel right in front of a (P)ReLU into those that read it, the sign of a norm layer's factor into
    the kernel in front of it. Then, and in any network, each output channel's kernel is divided by its root
    mean square (in ``fc2``, which a sigmoid follows, all together by theirs); a zero kernel stays zero.
    """
    layers = {name: np.asarray(kernels, np.float32) for name, kernels in weights.layers.items()}
    residual = architecture(weights) == "IR-SE"
    if residual:
        _fold(layers, weights)
    for name, kernels in layers.items():
        together = residual and name.endswith(".fc2")
        sizes = np.sqrt(
            np.mean(kernels**2, axis=None if together else (1, 2, 3), dtype=np.float64, keepdims=True)
        ).astype(np.float32)
        layers[name] = np.divide(kernels, sizes, out=np.zeros_like(kernels), where=sizes > 0)
    return replace(weights, layers=layers)


def _fold(layers: dict[str, np.ndarray], weights: LayerWeights) -> None:
    """Move the scales of an IR-SE network's norm layers and inner channels into the kernels, in place."""
    one, norms = np.float32(1), weights.norms

    def factor(norm: str, kind: str = "weight") -> np.ndarray:
        return np.asarray(norms.get(norm, {}).get(kind, 1.0), np.float32)

    def fold(name: str, *, inputs: np.ndarray | None = None, signs: np.ndarray | None = None) -> None:
        if name in layers and inputs is not None:
            layers[name] = layers[name] * inputs.reshape(1, -1, 1, 1)
        if name in layers and signs is not None:
            layers[name] = layers[name] * np.where(signs < 0, -one, one).reshape(-1, 1, 1, 1)

    fold("input_layer.0", signs=factor("input_layer.1"))
    blocks = sorted({m[0] for name in layers if (m := re.match(r"body\.\d+", name))})
    for block in blocks:
        places = residual_places(weights, block)
        first, second, squeeze = places["first"], places["second"], f"{places['squeeze']}.fc1"
        last = factor(places["last norm"])
        fold(first, inputs=factor(places["norm"]))
        if "inner norm" in places:
            inner = factor(places["inner norm"])
            fold(first, signs=inner)
            fold(second, inputs=np.abs(inner), signs=last)
        else:
            fold(second, inputs=_lengths(layers[first]), signs=last)
        fold(squeeze, inputs=np.abs(last))
        if squeeze in layers:
            fold(f"{places['squeeze']}.fc2", inputs=_lengths(layers[squeeze]))
        # What a shortcut reads is as wide as the norm layer beside it found it.
        fold(
            f"{block}.shortcut_layer.0",
            inputs=np.sqrt(factor(f"{block}.res_layer.0", "running_var")),
            signs=factor(f"{block}.shortcut_layer.1"),
        )


def _lengths(kernels: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.sqrt((kernels**2).sum(axis=(1, 2, 3), dtype=np.float64)).astype(np.float32)
    return lengths


def with_signs(weights: LayerWeights, seed: int) -> LayerWeights:
    """Give each layer's output channels, and its input channels, random signs: the null of a comparison.

    Two networks that share nothing are as near as one of them and the other with such signs, whatever the
    law of their weights, however unequal their channels, and however few directions carry a layer: sizes,
    singular values and the pattern of each slice stay as they were. Only what channels of one network have
    to do with those of the other is lost. Exact wherever a channel is as likely to have the other sign.
    """
    rng = np.random.default_rng([seed, 27])

    def signed(kernels: np.ndarray) -> np.ndarray:
        outputs, inputs = (rng.choice(np.array([-1, 1], kernels.dtype), n) for n in kernels.shape[:2])
        found: np.ndarray = kernels * outputs[:, None, None, None] * inputs[:, None, None]
        return found

    return replace(weights, layers={name: signed(kernels) for name, kernels in weights.layers.items()})
