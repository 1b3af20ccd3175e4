"""Softmax, SphereFace, CosFace and ArcFace are their published formulas, and those of another library."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from embedlab.networks.margins import ArcFace, CosFace, Head, Softmax, SphereFace

KINDS = {
    "softmax": lambda: Softmax(6, 4),
    "sphereface": lambda: SphereFace(6, 4, 4, base=10.0),
    "cosface": lambda: CosFace(6, 4, scale=16.0, margin=0.35),
    "arcface": lambda: ArcFace(6, 4, scale=16.0, margin=0.5),
    "arcface, easy": lambda: ArcFace(6, 4, scale=16.0, margin=0.5, easy_margin=True),
}
ANGLES = np.array([0.02, 0.4, 0.78, 0.8, 1.2, 1.6, 2.0, 2.4, 2.62, 2.66, 3.0, 3.12])


def made(kind: str) -> Head:
    """A head in float64 with some weight (and some bias) of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        head = KINDS[kind]().double()
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter)
    return head


def at_angles(weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Embeddings of several lengths at ``ANGLES`` from the centres of their own classes."""
    draw = torch.Generator().manual_seed(0)
    own = functional.normalize(weight.detach())[labels]
    other = torch.randn(own.shape, generator=draw, dtype=own.dtype)
    other = functional.normalize(other - (other * own).sum(1, keepdim=True) * own)
    angles = torch.from_numpy(ANGLES)[:, None]
    lengths = 0.5 + 5 * torch.rand((len(own), 1), generator=draw, dtype=own.dtype)
    return lengths * (torch.cos(angles) * own + torch.sin(angles) * other)


def by_hand(kind: str, head: Head, x: np.ndarray, labels: np.ndarray, step: int) -> np.ndarray:
    """Each logit from the formula, angle by angle."""
    weight = head.weight.detach().numpy()
    if kind == "softmax":
        return x @ weight.T + head.bias.detach().numpy()
    logits = np.empty((len(x), len(weight)))
    for i, one in enumerate(x):
        length = np.linalg.norm(one)
        for j, centre in enumerate(weight):
            theta = math.acos(one @ centre / length / np.linalg.norm(centre))
            own = labels[i] == j
            if kind == "sphereface":
                k = int(theta // (math.pi / 4))
                psi = (-1) ** k * math.cos(4 * theta) - 2 * k
                softness = max(5.0, 10.0 / (1 + 0.12 * (step + 1)))
                value = (softness * math.cos(theta) + psi) / (1 + softness) if own else math.cos(theta)
                logits[i, j] = length * value
            elif kind == "cosface":
                logits[i, j] = 16 * (math.cos(theta) - 0.35 * own)
            elif not own or (kind == "arcface, easy" and theta >= math.pi / 2):
                logits[i, j] = 16 * math.cos(theta)
            elif kind == "arcface" and theta + 0.5 >= math.pi:
                logits[i, j] = 16 * (math.cos(theta) - 0.5 * math.sin(0.5))
            else:
                logits[i, j] = 16 * math.cos(theta + 0.5)
    return logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [0, 50])
def test_logits_are_the_formula_written_out_by_hand(kind, step):
    head, labels = made(kind), torch.arange(12) % 4
    x = at_angles(head.weight, labels)
    found = head.logits(x, labels, step=step)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(
        found.detach().numpy(), by_hand(kind, head, x.numpy(), labels.numpy(), step), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind):
    head, labels = made(kind), torch.arange(12) % 4
    x = at_angles(head.weight, labels).requires_grad_()
    names = [name for name, _ in head.named_parameters()]

    def loss(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(head, dict(zip(names, values, strict=True)), (x, labels))

    assert torch.autograd.gradcheck(loss, (x, *head.parameters()), eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_whose_own_class_is_elsewhere_has_no_margin(kind):
    head, labels = made(kind), torch.arange(12) % 4
    x = at_angles(head.weight, labels)
    elsewhere = labels.clone()
    elsewhere[::2] = -1
    found, whole = head.logits(x, elsewhere), head.logits(x, labels)
    assert torch.equal(found[1::2], whole[1::2])
    plain = found[::2]
    if kind == "softmax":
        assert torch.equal(plain, whole[::2])
        return
    scale = x.norm(dim=1, keepdim=True)[::2] if kind == "sphereface" else 16.0
    cosine = functional.normalize(x) @ functional.normalize(head.weight).T
    torch.testing.assert_close(plain, scale * cosine[::2])


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
@pytest.mark.parametrize("kind", ["sphereface", "cosface", "arcface"])
def test_losses_and_gradients_are_those_of_pytorch_metric_learning(kind):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    head = made(kind)
    if kind == "sphereface":
        # That library has the whole margin from the first step on.
        head.base = head.lowest = 0.0
        peer = losses.SphereFaceLoss(4, 6, margin=4)
    elif kind == "cosface":
        peer = losses.CosFaceLoss(4, 6, margin=0.35, scale=16)
    else:
        peer = losses.ArcFaceLoss(4, 6, margin=math.degrees(0.5), scale=16)
    peer.W.data = head.weight.detach().T.clone()
    labels = torch.arange(12) % 4
    ours = at_angles(head.weight, labels).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    loss, expected = head(ours, labels), peer(theirs, labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(head.weight.grad, peer.W.grad.T)


def test_spherefaces_lambda_falls_with_the_step_as_in_the_authors_prototxt():
    head = SphereFace(6, 4)
    assert head.softness(0) == pytest.approx(1000 / 1.12)
    assert head.softness(99) == pytest.approx(1000 / 13)
    assert head.softness(10**6) == 5.0


def test_spherefaces_own_logit_falls_steadily_with_the_angle():
    head = SphereFace(2, 2, 4, base=0.0, lowest=0.0).double()
    head.weight.data = torch.eye(2, dtype=torch.float64)
    angles = torch.linspace(0.0, math.pi, 400, dtype=torch.float64)
    x = torch.stack([torch.cos(angles), torch.sin(angles)], 1)
    own = head.logits(x, torch.zeros(400, dtype=torch.long))[:, 0]
    assert (own.diff() < 0).all()
    assert own[[0, -1]].tolist() == pytest.approx([1.0, -7.0])


def test_the_softmax_begins_without_bias():
    assert torch.equal(Softmax(6, 4).bias, torch.zeros(4))
