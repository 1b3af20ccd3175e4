"""AdaFace, MagFace and their siblings by sharpness are the published formulas, and keep their statistics."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from embedlab.networks.quality_heads import AdaFace, AdaFaceSharpness, MagFace, MagFaceSharpness

LABELS = torch.arange(12) % 4


def made(kind: type, **options: float):
    """A head in float64 with centres of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return kind(6, 4, 16.0, **options).double()


def batch(longest: float = 130.0) -> torch.Tensor:
    """Embeddings from 5 to ``longest`` long."""
    draw = torch.Generator().manual_seed(1)
    x = functional.normalize(torch.randn(12, 6, generator=draw, dtype=torch.float64))
    return x * torch.linspace(5.0, longest, 12, dtype=torch.float64)[:, None]


def cosines(head, x: torch.Tensor) -> np.ndarray:
    return (functional.normalize(x) @ functional.normalize(head.weight.detach()).T).numpy()


def adaface_by_hand(cosine: np.ndarray, quality: np.ndarray, mean: float, std: float) -> np.ndarray:
    cosine = cosine.clip(-0.999, 0.999)
    logits = 16 * cosine
    for i, own in enumerate(LABELS.tolist()):
        z = min(1.0, max(-1.0, (quality[i] - mean) / (std + 1e-3) * 0.333))
        theta = math.acos(cosine[i, own]) - 0.4 * z
        theta = min(math.pi - 1e-3, max(1e-3, theta))
        logits[i, own] = 16 * (math.cos(theta) - (0.4 + 0.4 * z))
    return logits


def magface_by_hand(cosine: np.ndarray, a: np.ndarray, *, easy: bool) -> np.ndarray:
    logits = 16 * cosine
    for i, own in enumerate(LABELS.tolist()):
        m = (0.8 - 0.45) / (110 - 10) * (a[i] - 10) + 0.45
        theta = math.acos(cosine[i, own])
        if easy:
            value = math.cos(theta + m) if theta < math.pi / 2 else math.cos(theta)
        else:
            value = math.cos(theta + m) if theta + m < math.pi else math.cos(theta) - m * math.sin(m)
        logits[i, own] = 16 * value
    return logits


def test_adaface_is_the_formula_written_out_by_hand_with_the_updated_statistics():
    head, x = made(AdaFace, t_alpha=0.5), batch()
    found = head.logits(x, LABELS).detach().numpy()
    norms = np.linalg.norm(x.numpy(), axis=1).clip(0.001, 100)
    mean, std = (20 + norms.mean()) / 2, (100 + norms.std(ddof=1)) / 2
    assert head.batch_mean.item() == pytest.approx(mean)
    assert head.batch_std.item() == pytest.approx(std)
    np.testing.assert_allclose(found, adaface_by_hand(cosines(head, x), norms, mean, std), atol=1e-9)


def test_adafaces_margin_goes_from_arcfaces_to_a_cosine_that_grows():
    head, x = made(AdaFace).eval(), batch()
    head.batch_mean.fill_(50.0)
    head.batch_std.fill_(10.0)
    norms = np.linalg.norm(x.numpy(), axis=1).clip(0.001, 100)
    assert norms[0] < 50 - 30 * 1.01
    assert norms[-1] > 50 + 30 * 1.01
    found = head.logits(x, LABELS).detach().numpy()
    np.testing.assert_allclose(found, adaface_by_hand(cosines(head, x), norms, 50, 10), atol=1e-9)
    theta = math.acos(cosines(head, x)[0, 0])
    assert found[0, 0] == pytest.approx(16 * math.cos(theta + 0.4))


def test_adafaces_statistics_rest_outside_training_and_are_in_the_state():
    head = made(AdaFace).eval()
    head.logits(batch(), LABELS)
    assert head.batch_mean.item() == 20.0
    head.train().logits(batch(), LABELS)
    assert head.batch_mean.item() != 20.0
    other = made(AdaFace)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.batch_std, head.batch_std)
    assert set(head.state_dict()) == {"weight", "batch_mean", "batch_std"}


def test_a_batch_of_one_leaves_adafaces_deviation_as_it_was():
    head = made(AdaFace)
    assert torch.isfinite(head(batch()[:1], LABELS[:1]))
    assert head.batch_std.item() == 100.0


def test_the_lengths_give_adaface_no_gradient():
    """The loss does not depend on the length but through the margin, which is held."""
    head, x = made(AdaFace), batch().requires_grad_()
    head(x, LABELS).backward()
    along = (x.grad * functional.normalize(x.detach())).sum(1)
    torch.testing.assert_close(along, torch.zeros_like(along), atol=1e-12, rtol=0.0)


@pytest.mark.parametrize("easy", [False, True])
def test_magface_is_the_formula_written_out_by_hand(easy):
    head, x = made(MagFace, easy_margin=easy), batch()
    a = np.linalg.norm(x.numpy(), axis=1).clip(10, 110)
    found = head.logits(x, LABELS).detach().numpy()
    np.testing.assert_allclose(found, magface_by_hand(cosines(head, x), a, easy=easy), atol=1e-9)
    own = functional.cross_entropy(torch.from_numpy(found), LABELS).item()
    assert head(x, LABELS).item() == pytest.approx(own + 35 * (1 / a + a / 110**2).mean())


def test_magfaces_margin_at_the_shortest_and_the_longest_length():
    head = made(MagFace)
    x = torch.tensor([[1.0, 1, 0, 0, 0, 0], [1.0, 1, 0, 0, 0, 0]], dtype=torch.float64)
    x *= torch.tensor([[0.1], [1000.0]], dtype=torch.float64)
    head.weight.data = torch.eye(4, 6, dtype=torch.float64)
    own = head.logits(x, torch.tensor([0, 0]))[:, 0] / 16
    assert own.tolist() == pytest.approx([math.cos(math.pi / 4 + 0.45), math.cos(math.pi / 4 + 0.8)])


@pytest.mark.parametrize("kind", [AdaFace, MagFace, AdaFaceSharpness, MagFaceSharpness])
def test_gradients_are_those_of_finite_differences(kind):
    # Lengths at which nothing is cut, whose kinks have no slope.
    head, x = made(kind).eval(), batch(90.0)[2:].requires_grad_()
    sharpness = torch.linspace(0, 500, 10) if head.needs_sharpness else None
    held = x.detach().clone()

    def loss(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if kind is AdaFace:
            # Its quality has no gradient, so finite differences must not see it change.
            x = functional.normalize(x) * held.norm(dim=1, keepdim=True)
        return torch.func.functional_call(head, {"weight": weight}, (x, LABELS[2:], sharpness))

    assert torch.autograd.gradcheck(loss, (x, head.weight), eps=1e-6, atol=1e-5)


def test_adaface_by_sharpness_takes_the_logarithm_of_the_sharpness_for_the_length():
    head, x = made(AdaFaceSharpness, t_alpha=0.5), batch()
    sharpness = torch.linspace(0.0, 900.0, 12)
    found = head.logits(x, LABELS, sharpness).detach().numpy()
    quality = np.log1p(sharpness.double().numpy())
    mean, std = (20 + quality.mean()) / 2, (100 + quality.std(ddof=1)) / 2
    expected = adaface_by_hand(cosines(head, x), quality, mean, std)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_magface_by_sharpness_maps_flat_to_the_lowest_and_sharp_to_the_highest_margin():
    head, x = made(MagFaceSharpness), batch()
    sharpness = torch.tensor([0.0, 1, 3, 10, 30, 100, 300, 999, 1000, 1001, 1e5, 1e9])
    a = 10 + 100 * np.minimum(1.0, np.log1p(sharpness.double().numpy()) / np.log1p(1000.0))
    assert a[[0, -1]].tolist() == [10, 110]
    found = head.logits(x, LABELS, sharpness).detach().numpy()
    np.testing.assert_allclose(found, magface_by_hand(cosines(head, x), a, easy=False), atol=1e-5)
    assert head.penalty(x) is None


@pytest.mark.parametrize("kind", [AdaFaceSharpness, MagFaceSharpness])
def test_by_sharpness_the_length_of_the_embedding_does_not_matter(kind):
    head, x = made(kind).eval(), batch()
    sharpness = torch.linspace(0.0, 900.0, 12)
    torch.testing.assert_close(
        head.logits(x, LABELS, sharpness), head.logits(functional.normalize(x), LABELS, sharpness)
    )


@pytest.mark.parametrize("kind", [AdaFaceSharpness, MagFaceSharpness])
def test_a_sharpness_that_is_not_there_is_an_error(kind):
    with pytest.raises(ValueError, match="needs the sharpness of the images"):
        made(kind)(batch(), LABELS)


def test_a_process_without_classes_keeps_the_statistics_of_all():
    head, x = made(AdaFace, t_alpha=0.5), batch()
    head.whole_batch = True
    head.weight = torch.nn.Parameter(head.weight.detach()[:0])
    assert head.logits(x, torch.full((12,), -1)).shape == (12, 0)
    norms = np.linalg.norm(x.numpy(), axis=1).clip(0.001, 100)
    assert head.batch_mean.item() == pytest.approx((20 + norms.mean()) / 2)
