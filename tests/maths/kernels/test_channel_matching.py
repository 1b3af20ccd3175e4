from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from embedlab.errors import UserError
from embedlab.lab import weights
from embedlab.lab.weights import FIXED, LayerWeights
from embedlab.maths.kernels import channel_matching
from embedlab.networks import backbones


@pytest.fixture
def network_of(tmp_path):
    """Make a network with norm statistics and slopes as training leaves them, and its LayerWeights."""

    def made(width, seed=0, name="ir_se_18", **layout):
        torch.manual_seed(seed)
        network = backbones.build(name, input_size=16, width=width, dimension=8, **layout).eval()
        for name, tensor in network.state_dict().items():
            if tensor.ndim == 1 and tensor.is_floating_point():
                mean = 0.0 if "mean" in name or "bias" in name else 1.0
                tensor.copy_(mean + 0.3 * torch.randn(tensor.shape).clamp(-2, 2))
        return network, read(network)

    def read(network):
        tensors = {key: value.contiguous() for key, value in network.state_dict().items()}
        save_file(tensors, tmp_path / "m.safetensors", metadata={"order": "\n".join(tensors)})
        return weights.read(tmp_path / "m.safetensors", "m")

    return made


def loaded(network, changed, last=None):
    """Give the outputs for random images after a network's parameters were replaced."""
    state = network.state_dict()
    for name, kernels in (changed.layers | changed.slopes).items():
        state[f"{name}.weight"] = torch.from_numpy(kernels)
    for name, norm in changed.norms.items():
        state |= {f"{name}.{kind}": torch.from_numpy(values) for kind, values in norm.items()}
    if last is not None:
        state["output_layer.3.weight"] = state["output_layer.3.weight"][:, torch.from_numpy(last)]
    network.load_state_dict(state)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return network(images).numpy()


def drawn_order(given, seed):
    """Draw a random permutation of every group of channels."""
    rng, wires = np.random.default_rng(seed), weights.wiring(given)
    sizes = {wires[n].outputs: len(kernels) for n, kernels in given.layers.items()}
    return {group: rng.permutation(size) for group, size in sizes.items()}


def permuted(given, seed):
    order = drawn_order(given, seed)
    return channel_matching.reordered(given, weights.wiring(given), order), order


def noisy(given, share, seed=0):
    """Add noise of this share of each layer's own spread."""
    rng = np.random.default_rng(seed)
    layers = {
        n: (k + share * k.std() * rng.normal(size=k.shape)).astype(np.float32)
        for n, k in given.layers.items()
    }
    return replace(given, layers=layers)


def distances(a, b):
    return np.array([np.linalg.norm(a.layers[n] - b.layers[n]) for n in a.layers])


def chain(seed=0, widths=(3, 6, 5, 7)):
    rng = np.random.default_rng(seed)
    steps = enumerate(pairwise(widths))
    return LayerWeights("c", {f"conv{k}": rng.normal(size=(o, i, 3, 3)) for k, (i, o) in steps}, {})


def test_a_permuted_network_is_the_same_function(network_of):
    network, given = network_of(8)
    before = loaded(network, given)
    other, order = permuted(given, 1)
    after = loaded(network, other, last=order["stream 7"])
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert np.abs(before).max() > 0.1
    assert (distances(given, other) > 0).sum() > 30


@pytest.mark.parametrize("width", [4, 8, 24])
def test_a_permuted_copy_is_matched_exactly(network_of, width):
    given = network_of(width)[1]
    other, order = permuted(given, 2)
    found = channel_matching.match(given, other)
    assert all(np.array_equal(found.permutations[g], np.argsort(order[g])) for g in order)
    back = found.apply(other)
    assert back.fingerprint == given.fingerprint
    assert found.architecture == "IR-SE"
    assert found.converged
    assert found.objective == pytest.approx(1, abs=1e-5)
    assert abs(found.start_objective) < 0.3


@pytest.mark.parametrize(
    "layout", [{"inner_norm": True}, {"inner_norm": True, "first_shortcut": "convolution"}]
)
@pytest.mark.parametrize("name", ["ir_18", "ir_se_18"])
def test_a_norm_layer_inside_the_blocks_is_permuted_and_matched_with_them(network_of, name, layout):
    network, given = network_of(8, name=name, **layout)
    before = loaded(network, given)
    other, order = permuted(given, 1)
    np.testing.assert_allclose(loaded(network, other, last=order["stream 7"]), before, atol=1e-3)
    assert np.abs(before).max() > 1
    assert not np.array_equal(
        other.norms["body.3.res_layer.2"]["weight"], given.norms["body.3.res_layer.2"]["weight"]
    )
    found = channel_matching.match(given, other)
    assert (found.architecture, len(found.permutations)) == ("IR-SE", len(order))
    assert found.apply(other).fingerprint == given.fingerprint


def test_scales_that_a_norm_layer_inside_a_block_undoes_decide_nothing(network_of):
    network, given = network_of(8, name="ir_18", inner_norm=True)
    before, rng = loaded(network, given), np.random.default_rng(0)
    layers, norms = dict(given.layers), {name: dict(norm) for name, norm in given.norms.items()}
    for k in range(8):
        first, norm, second = (f"body.{k}.res_layer.{place}" for place in (1, 2, 4))
        undone, passed = rng.uniform(0.5, 2, (2, len(layers[first]))).astype(np.float32)
        sign = rng.choice(np.float32([-1, 1]), len(undone))
        layers[first] = layers[first] * (sign * undone)[:, None, None, None]
        layers[second] = layers[second] / passed[:, None, None]
        for kind, factor in {"running_mean": sign * undone, "running_var": undone**2}.items():
            norms[norm][kind] = norms[norm][kind] * factor
        for kind, factor in {"weight": sign * passed, "bias": passed}.items():
            norms[norm][kind] = norms[norm][kind] * factor
    rescaled = replace(given, layers=layers, norms=norms)
    np.testing.assert_allclose(loaded(network, rescaled), before, atol=1e-3 * np.abs(before).max())
    a, b = channel_matching.scale_free(given), channel_matching.scale_free(rescaled)
    for name in a.layers:
        np.testing.assert_allclose(a.layers[name], b.layers[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["sphereface_20", "sphereface_20_bn"])
def test_spherefaces_pairs_are_permuted_with_the_stage_they_are_added_to(network_of, name):
    network, given = network_of(8, name=name)
    before = loaded(network, given)
    other, order = permuted(given, 1)
    state = network.state_dict()
    for stage in range(1, 5):
        if f"conv{stage}_1.bias" in state:
            state[f"conv{stage}_1.bias"] = state[f"conv{stage}_1.bias"][
                torch.from_numpy(order[f"stream {stage}"])
            ]
    state["fc5.weight"] = state["fc5.weight"][:, torch.from_numpy(order["stream 4"])]
    network.load_state_dict(state)
    after = loaded(network, other)
    np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())
    found = channel_matching.match(given, other)
    assert (found.architecture, len(found.permutations)) == ("SphereFace", 4 + 1 + 2 + 4 + 1)
    assert found.apply(other).fingerprint == given.fingerprint


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_a_noisy_permuted_copy_is_matched_too(network_of, noise, seed):
    given = network_of(8)[1]
    other, order = permuted(noisy(given, noise, seed), 3)
    found = channel_matching.match(given, other, restarts=1)
    assert all(np.array_equal(found.permutations[g], np.argsort(order[g])) for g in order)
    assert found.objective == pytest.approx((1 + noise**2) ** -0.5, abs=0.03)


def test_equal_starts_are_seen_under_noise_that_hides_them_from_the_outward_start(network_of):
    given = network_of(8)[1]
    other = noisy(given, 5.0)
    outward = channel_matching.match(given, other, restarts=1)
    found = channel_matching.match(given, other, restarts=2)
    same = np.mean(np.concatenate([p == np.arange(len(p)) for p in found.permutations.values()]))
    assert same > 0.9
    assert found.objective > outward.objective + 0.05


class Rescaled:
    """A network whose channels are scaled and whose signs are flipped so that its function stays."""

    def __init__(self, given, seed=0):
        self.rng = np.random.default_rng(seed)
        self.layers = dict(given.layers)
        self.norms = {name: dict(norm) for name, norm in given.norms.items()}
        self.wires = weights.wiring(given)
        for name in given.norms:
            if self.wires[name].outputs != FIXED:
                self.undone_by_the_norm(name)
        for group in sorted({wire.outputs for wire in self.wires.values()} - {FIXED}):
            self.stream(group) if group.startswith("stream") else self.inner(group)
        self.weights = replace(given, layers=self.layers, norms=self.norms)

    def scale(self, conv, factors, axis):
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        self.layers[conv] = (self.layers[conv] * factors.reshape(shape)).astype(np.float32)

    def scale_norm(self, norm, factors, *kinds):
        for kind in kinds:
            self.norms[norm][kind] = (self.norms[norm][kind] * factors).astype(np.float32)

    def undone_by_the_norm(self, norm):
        """Scale and flip the kernels in front of a norm layer, or its factors against its reader."""
        factors = self.rng.uniform(0.5, 2, len(self.norms[norm]["weight"]))
        if norm.endswith("res_layer.0"):
            factors *= self.rng.choice([-1, 1], len(factors))
            self.scale_norm(norm, factors, "weight", "bias")
            self.scale(norm[:-1] + "1", 1 / factors, 1)
        elif not norm.startswith("output"):
            signs = self.rng.choice([-1, 1], len(factors))
            self.scale(norm[:-1] + {"1": "0", "4": "3"}[norm[-1]], signs * factors, 0)
            self.scale_norm(norm, signs * factors, "running_mean")
            self.scale_norm(norm, factors**2, "running_var")
            self.scale_norm(norm, signs, "weight")

    def inner(self, group):
        """Scale what a (P)ReLU in a block gets, and undo it where it is read."""
        factors = None
        for name in self.layers:
            if self.wires[name].outputs == group:
                factors = self.rng.uniform(0.5, 2, len(self.layers[name]))
                self.scale(name, factors, 0)
            elif self.wires[name].inputs == group:
                self.scale(name, 1 / factors, 1)

    def stream(self, group):
        """Scale all that is written into a residual stream, and undo it wherever it is read."""
        writers = [n for n in self.norms if n[-1] in "14" and self.wires[n].outputs == group]
        factors = self.rng.uniform(0.5, 2, len(self.norms[writers[0]]["weight"]))
        for norm in self.norms:
            if norm in writers:
                self.scale_norm(norm, factors, "weight", "bias")
            elif self.wires[norm].outputs == group:
                self.scale_norm(norm, factors, "running_mean")
                self.scale_norm(norm, factors**2, "running_var")
        for name in self.layers:
            if self.wires[name].inputs == group and name.endswith(("fc1", "shortcut_layer.0")):
                self.scale(name, 1 / factors, 1)


def test_scales_that_the_function_does_not_see_decide_nothing(network_of):
    network, given = network_of(8)
    before = loaded(network, given)
    rescaled = Rescaled(given).weights
    np.testing.assert_allclose(loaded(network, rescaled), before, atol=1e-3)
    a, b = channel_matching.scale_free(given), channel_matching.scale_free(rescaled)
    assert np.median(distances(given, rescaled)) > 1
    for name in a.layers:
        np.testing.assert_allclose(a.layers[name], b.layers[name], atol=1e-4, err_msg=name)
        assert a.layers[name].dtype == np.float32
    other, order = permuted(rescaled, 4)
    found = channel_matching.match(given, other)
    assert all(np.array_equal(found.permutations[g], np.argsort(order[g])) for g in order)


def test_scale_free_keeps_what_a_sigmoid_sees_and_a_dead_channel(network_of):
    given = network_of(8)[1]
    squeeze, first = "body.7.res_layer.5.fc2", "input_layer.0"
    layers = given.layers | {squeeze: given.layers[squeeze] * np.linspace(1, 9, 64).reshape(-1, 1, 1, 1)}
    layers[first] = layers[first] * (np.arange(8) > 0).reshape(-1, 1, 1, 1)
    kernels = channel_matching.scale_free(replace(given, layers=layers)).layers
    assert np.mean(kernels[squeeze] ** 2) == pytest.approx(1, abs=1e-5)
    sizes = np.abs(kernels[squeeze]).mean(axis=(1, 2, 3))
    assert sizes[32:].mean() > 2 * sizes[:32].mean()
    assert (kernels[first][0] == 0).all()
    np.testing.assert_allclose(np.mean(kernels[first][1:] ** 2, axis=(1, 2, 3)), 1, rtol=1e-5)


def test_networks_without_relation_come_as_close_as_with_random_signs(network_of):
    (_, a), (_, b) = network_of(8, 0), network_of(8, 1)
    found = channel_matching.match(a, b)
    signed = [channel_matching.match(a, channel_matching.with_signs(b, s)).objective for s in range(4)]
    assert found.objective > found.start_objective + 0.05
    assert found.objective == pytest.approx(np.mean(signed), abs=0.03)
    assert channel_matching.match(a, permuted(a, 0)[0]).objective > 5 * max(signed)


def test_what_is_scaled_already_is_matched_as_it_is(network_of):
    a, b = network_of(8, 0)[1], network_of(8, 1)[1]
    x, y = channel_matching.scale_free(a), channel_matching.scale_free(b)
    assert channel_matching.match(x, y, scaled=True).objective == channel_matching.match(a, b).objective


def test_random_signs_keep_sizes_singular_values_and_slices_and_undo_a_copy():
    given = chain(widths=(3, 24, 24))
    signed = channel_matching.with_signs(given, 0)
    for name, kernels in given.layers.items():
        np.testing.assert_array_equal(np.abs(signed.layers[name]), np.abs(kernels))
        slices = signed.layers[name] / kernels
        assert (slices == slices[:, :, :1, :1]).all()
        matrices = (w.layers[name].reshape(24, -1) for w in (given, signed))
        np.testing.assert_allclose(*(np.linalg.svd(m, compute_uv=False) for m in matrices))
    assert channel_matching.match(given, signed).objective < 0.6


def test_a_chain_is_matched_through_its_layers():
    given = chain()
    other, order = permuted(given, 5)
    found = channel_matching.match(given, other)
    assert found.architecture == "chain"
    assert all(np.array_equal(found.permutations[g], np.argsort(order[g])) for g in order)
    assert distances(given, found.apply(other)).max() == 0


def test_the_best_of_all_permutations_of_a_small_chain_is_found():
    a, b = chain(0, (2, 4, 4)), chain(1, (2, 4, 4))
    x, y = (list(channel_matching.scale_free(w).layers.values()) for w in (a, b))
    size = np.sqrt(sum((v**2).sum() for v in x) * sum((v**2).sum() for v in y))
    best = max(
        ((x[0] * y[0][list(p)]).sum() + (x[1] * y[1][list(q)][:, list(p)]).sum()) / size
        for p in permutations(range(4))
        for q in permutations(range(4))
    )
    found = channel_matching.match(a, b, restarts=30)
    assert found.objective == pytest.approx(best, abs=1e-5)
    moved = channel_matching.scale_free(found.apply(b)).layers.values()
    assert sum((v * w).sum() for v, w in zip(x, moved, strict=True)) / size == pytest.approx(best, abs=1e-5)


def test_layers_of_unknown_wiring_are_matched_one_by_one():
    rng = np.random.default_rng(0)
    a = LayerWeights("a", {"x": rng.normal(size=(6, 3, 3, 3)), "y": rng.normal(size=(5, 4, 3, 3))}, {})
    turned = {"x": a.layers["x"][::-1], "y": np.roll(a.layers["y"], 2, axis=0)}
    b = LayerWeights("b", turned, {"n": {"running_mean": np.zeros(6), "running_var": np.ones(6)}})
    found = channel_matching.match(a, b)
    assert found.architecture == "unknown"
    assert found.objective == pytest.approx(1, abs=1e-5)
    assert distances(a, found.apply(b)).max() == 0
    assert found.apply(b).norms == {}


def test_networks_of_other_depth_are_matched_in_common_layers_only():
    a, b = chain(), chain()
    a = replace(a, layers={n: k for n, k in a.layers.items() if n != "conv2"})
    found = channel_matching.match(a, b)
    assert found.architecture == "unknown"
    assert set(found.permutations) == {"conv0", "conv1"}
    np.testing.assert_array_equal(found.apply(b).layers["conv2"], b.layers["conv2"])


def test_networks_without_a_common_layer_are_told_apart():
    with pytest.raises(UserError, match="c and c share no layer of one name and shape"):
        channel_matching.match(chain(), chain(0, (3, 8)))


def test_a_search_that_was_cut_short_says_so(network_of):
    given = network_of(8)[1]
    other = permuted(noisy(given, 3.0), 6)[0]
    cut, whole = (channel_matching.match(given, other, restarts=1, sweeps=s) for s in (1, 50))
    assert not cut.converged
    assert cut.sweeps == 1
    assert whole.converged
    assert whole.sweeps > 1
    assert whole.objective >= cut.objective


def test_one_seed_gives_one_matching():
    a, b = chain(0), chain(1)
    one, two = (channel_matching.match(a, b, seed=3, restarts=5) for _ in range(2))
    assert one.objective == two.objective
    assert all(np.array_equal(one.permutations[g], two.permutations[g]) for g in one.permutations)


def test_nothing_permutes_the_fixed_channels(network_of):
    given = network_of(4)[1]
    found = channel_matching.match(given, permuted(given, 0)[0])
    assert FIXED not in found.permutations
    assert found.wires["input_layer.0"].inputs == FIXED


def test_networks_of_zeros_have_no_cosine():
    zeros = LayerWeights("z", {"conv": np.zeros((3, 2, 3, 3))}, {})
    assert channel_matching.match(zeros, zeros).objective == 0
