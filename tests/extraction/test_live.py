"""A network that an analysis runs with weights of its choice, on few images of people in two halves."""

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from embedlab.analyses.barrier import (
    AS_THEY_ARE,
    ENDS,
    HALFWAY,
    MATCHED,
    TAR,
    BarrierParams,
    compute,
    findings,
)
from embedlab.data.datasets import open_dataset
from embedlab.data.degradations import Probe
from embedlab.errors import UserError
from embedlab.extraction import live
from embedlab.extraction.live import LiveNetwork
from embedlab.lab.embeddings import drawn
from embedlab.lab.weights import FIXED
from embedlab.maths.kernels.channel_matching import rewired
from embedlab.networks import inference
from embedlab.networks.embedder import Preprocessing
from tests.networks.drawn import built

SIZE, PEOPLE, EACH, NOISE = 32, 24, 4, 100
QUICK = BarrierParams(resamples=100, shuffles=39, steps=1)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """People are coarse patterns, and their images the same with noise."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(7)
    for p in range(PEOPLE):
        (folder / f"p{p:02d}").mkdir()
        base = rng.integers(0, 256, (4, 4, 3)).repeat(8, axis=0).repeat(8, axis=1)
        for k in range(EACH + (p == 3)):
            pixels = np.clip(base + rng.normal(0, NOISE, base.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"p{p:02d}" / f"{k}.png")
    return open_dataset(folder)


def network(backbone="ir_se_18", seed=0, width=4):
    return built(backbone, seed, input_size=SIZE, width=width, dimension=16)


def lent(torch_network, faces, name="a"):
    embedder = inference.embedder(name, torch_network, Preprocessing(SIZE), name, "cpu")
    return LiveNetwork(embedder, faces, Probe(faces.name))


def reordered(one, seed=0):
    """The same network with its channels in another order, in every group of them."""
    rng, sizes = np.random.default_rng(seed), {}
    for name, kernels in one.weights.layers.items():
        sizes[one.wires[name].outputs] = len(kernels)
    orders = {group: rng.permutation(size) for group, size in sizes.items() if group != FIXED}
    return rewired(one.tensors, one.wires, orders)


def test_of_people_that_are_drawn_others_are_not_shown(faces):
    everybody = lent(network(), faces)
    few = LiveNetwork(everybody.embedder, faces, Probe(faces.name), people=6)
    kept = {name for name, there in zip(faces.identities, drawn(faces.identities, 6), strict=True) if there}
    shown = {faces.identities[faces.labels[row]] for row in (*few._setting, *few._judging)}
    assert shown == kept
    assert set(few.names[: few.labels.max() + 1]) < kept
    assert few.fingerprint != everybody.fingerprint


@pytest.mark.parametrize("backbone", ["ir_18", "ir_se_18", "sphereface_20_bn", "mobilefacenet"])
def test_a_network_of_other_channel_order_has_the_same_vectors(faces, backbone):
    one = lent(network(backbone), faces)
    own = one.embed(one.tensors)
    other = one.embed(reordered(one))
    assert np.abs(own).max() > 0.01
    np.testing.assert_allclose(other, own, atol=1e-3 * np.abs(own).max())


def test_statistics_are_those_of_the_images_that_do_not_judge(faces):
    one = lent(network(), faces)
    setting, judging = one._inputs
    assert not set(np.asarray(faces.labels)[one._setting]) & set(np.asarray(faces.labels)[one._judging])
    made = one._with(one.tensors)
    first = made.get_submodule("input_layer.1")
    seen = torch.cat([made.get_submodule("input_layer.0")(some) for some in setting.split(live.BATCH)])
    parts = [some.mean(dim=(0, 2, 3)) for some in seen.split(live.BATCH)]
    np.testing.assert_allclose(first.running_mean, torch.stack(parts).mean(dim=0).detach(), atol=1e-5)
    assert len(judging) == len(one.labels) == PEOPLE // 2 * EACH
    kept = one.embedder.network.get_submodule("input_layer.1").running_mean
    assert not np.allclose(kept, first.running_mean)


def test_every_network_is_shown_the_same_images_and_no_more_than_a_bounded_number(faces, monkeypatch):
    a, b = lent(network(), faces), lent(network(seed=1), faces, "b")
    assert a.names == b.names
    assert a.fingerprint != b.fingerprint
    monkeypatch.setattr(live, "IMAGES", 40)
    few = lent(network(), faces)
    assert len(few._judging) <= 20
    assert len(few._setting) <= 20
    assert np.bincount(few.labels).min() >= 2


def test_equal_networks_have_no_barrier_and_a_cka_of_one(faces):
    one = lent(network(), faces)
    found = compute(one, one, QUICK)
    assert (found.estimates[TAR, ENDS] - found.at(MATCHED, HALFWAY)).value == 0
    assert found.at(AS_THEY_ARE, HALFWAY) == found.at(MATCHED, HALFWAY)
    np.testing.assert_allclose(found.cka, 1, atol=1e-6)
    assert abs(found.null.mean()) < 0.1
    assert set(found.layers) <= set(one.weights.layers)
    assert len(found.layers) > 20


@pytest.fixture(scope="module")
def trained(faces):
    """A network that tells these people apart, as far as sixty steps of a third of the images teach it."""
    made, one = network("ir_18", width=8).train(), lent(network("ir_18", width=8), faces)
    rows = np.concatenate([one._setting, one._judging])
    images, people = torch.cat(one._inputs), torch.as_tensor(np.asarray(faces.labels)[rows])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = torch.nn.Linear(16, PEOPLE)
        steps = torch.optim.Adam([*made.parameters(), *head.parameters()], lr=3e-3)
        for _ in range(60):
            some = torch.randperm(len(images))[: len(images) // 3]
            steps.zero_grad()
            torch.nn.functional.cross_entropy(head(made(images[some])), people[some]).backward()
            steps.step()
    return made.eval()


def test_a_permuted_copy_has_a_barrier_as_it_is_and_none_once_matched(trained, faces):
    one = lent(trained, faces)
    copy = network("ir_18", width=8)
    copy.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in reordered(one).items()})
    found = compute(one, lent(copy, faces, "b"), dataclasses.replace(QUICK, resamples=300))
    ends, halfway = found.estimates[TAR, ENDS], found.at(MATCHED, HALFWAY)
    assert ends.value > 0.6
    assert abs(ends.value - halfway.value) < 0.02
    assert (ends - found.at(AS_THEY_ARE, HALFWAY)).value > 0.2
    np.testing.assert_allclose(found.cka, 1, atol=0.01)
    texts = [one.text for one in findings([found])]
    assert texts[0].startswith("Halfway between a and b, channels matched, TAR is ")
    assert re.match("Halfway between a and b, matched channels give a TAR of .* a difference of", texts[1])
    assert "Layers of a and b respond alike to one image (CKA 1.00 on average" in texts[2]


def test_cka_is_that_of_the_unbiased_formula(faces):
    """Song et al.'s eq. 5, written out over all pairs of images."""
    a, b = lent(network(), faces), lent(network(seed=1), faces, "b")
    found = compute(a, b, QUICK)

    def hsic(k, m):
        n, one = len(k), np.ones(len(k))
        k, m = (x - np.diag(np.diag(x)) for x in (k, m))
        whole = np.trace(k @ m) + one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2))
        return (whole - 2 * one @ k @ m @ one / (n - 2)) / (n * (n - 3))

    responses = [one.responses() for one in (a, b)]
    for layer, value in zip(found.layers, found.cka, strict=True):
        x, y = (one[layer].astype(np.float64) for one in responses)
        x, y = x @ x.T, y @ y.T
        assert value == pytest.approx(hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y)), abs=1e-6)


def test_networks_of_unlike_shape_and_those_that_are_no_backbones_are_refused(faces):
    one = lent(network(), faces)
    with pytest.raises(UserError, match="a and b are of unlike shape"):
        compute(one, lent(network(width=8), faces, "b"), QUICK)
    strange = SimpleNamespace(name="strange", network=torch.nn.Linear(3, 2))
    with pytest.raises(UserError, match="no network whose weights can be changed"):
        LiveNetwork(strange, faces, Probe(faces.name))
    with pytest.raises(UserError, match="impostor pairs resolve no FAR"):
        compute(one, one, dataclasses.replace(QUICK, far=1e-5))


def test_two_people_with_two_images_are_needed(tmp_path):
    for k, person in enumerate("ppq"):
        (tmp_path / person).mkdir(exist_ok=True)
        Image.fromarray(np.zeros((SIZE, SIZE, 3), np.uint8)).save(tmp_path / person / f"{k}.png")
    with pytest.raises(UserError, match="has 1 person with two images: two are needed"):
        lent(network(), open_dataset(tmp_path))
