"""ArcFace is the published formula, in float32, and finite everywhere."""

import math

import pytest
import torch

from embedlab.networks.heads import ArcFace


def at_angle(theta: float) -> torch.Tensor:
    """A vector at ``theta`` from the first axis."""
    return torch.tensor([[math.cos(theta), math.sin(theta), 0.0]])


def head(**options: float | bool) -> ArcFace:
    arcface = ArcFace(3, 3, **options)
    arcface.weight.data = torch.eye(3)
    return arcface


OWN = torch.tensor([0])


@pytest.mark.parametrize("theta", [0.1, 0.7, 1.5, 2.0, 2.6])
def test_the_own_class_gets_the_cosine_of_the_angle_plus_the_margin(theta):
    logits = head(scale=64.0, margin=0.5)(3 * at_angle(theta), OWN)[0]
    expected = [64 * math.cos(theta + 0.5), 64 * math.sin(theta), 0.0]
    assert logits.tolist() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("theta", [math.pi - 0.49, 2.9, math.pi])
def test_past_a_half_turn_the_logit_goes_on_falling(theta):
    logit = head(scale=1.0, margin=0.5)(at_angle(theta), OWN)[0, 0].item()
    assert logit == pytest.approx(math.cos(theta) - 0.5 * math.sin(0.5), abs=1e-5)
    before = head(scale=1.0, margin=0.5)(at_angle(theta - 0.2), OWN)[0, 0].item()
    assert logit < before


def test_the_easy_margin_leaves_angles_above_ninety_degrees_alone():
    easy = head(scale=1.0, margin=0.5, easy_margin=True)
    assert easy(at_angle(1.0), OWN)[0, 0].item() == pytest.approx(math.cos(1.5), abs=1e-5)
    assert easy(at_angle(2.0), OWN)[0, 0].item() == pytest.approx(math.cos(2.0), abs=1e-5)


def test_only_the_own_class_has_a_margin():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0])
    with_margin, without = head(margin=0.5)(x, labels), head(margin=0.0)(x, labels)
    changed = (with_margin - without).abs() > 1e-3
    assert torch.equal(changed, torch.nn.functional.one_hot(labels, 3).bool())


@pytest.mark.parametrize("theta", [0.0, math.pi])
def test_gradients_are_finite_where_the_cosine_is_one_or_minus_one(theta):
    arcface = head(scale=64.0, margin=0.5)
    x = at_angle(theta).requires_grad_()
    torch.nn.functional.cross_entropy(arcface(x, OWN), OWN).backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(arcface.weight.grad).all()


def test_the_gradient_is_that_of_finite_differences():
    arcface = head(scale=4.0, margin=0.5)
    x = at_angle(0.8).requires_grad_()
    arcface(x, OWN)[0, 0].backward()
    slope = (x.grad * torch.tensor([[-math.sin(0.8), math.cos(0.8), 0.0]])).sum().item()
    assert slope == pytest.approx(-4 * math.sin(1.3), rel=1e-4)


def test_half_precision_around_it_changes_nothing():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1])
    arcface = head()
    with torch.autocast("cpu", torch.bfloat16):
        logits = arcface(x, labels)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, arcface(x, labels))
