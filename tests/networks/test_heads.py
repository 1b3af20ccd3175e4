"""ArcFace is the published formula; every head is finite everywhere, in float32, and teaches."""

import math

import pytest
import torch

from embedlab.errors import UserError
from embedlab.networks import heads
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
    logits = head(scale=64.0, margin=0.5).logits(3 * at_angle(theta), OWN)[0]
    expected = [64 * math.cos(theta + 0.5), 64 * math.sin(theta), 0.0]
    assert logits.tolist() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("theta", [math.pi - 0.49, 2.9, math.pi])
def test_past_a_half_turn_the_logit_goes_on_falling(theta):
    logit = head(scale=1.0, margin=0.5).logits(at_angle(theta), OWN)[0, 0].item()
    assert logit == pytest.approx(math.cos(theta) - 0.5 * math.sin(0.5), abs=1e-5)
    before = head(scale=1.0, margin=0.5).logits(at_angle(theta - 0.2), OWN)[0, 0].item()
    assert logit < before


def test_the_easy_margin_leaves_angles_above_ninety_degrees_alone():
    easy = head(scale=1.0, margin=0.5, easy_margin=True)
    assert easy.logits(at_angle(1.0), OWN)[0, 0].item() == pytest.approx(math.cos(1.5), abs=1e-5)
    assert easy.logits(at_angle(2.0), OWN)[0, 0].item() == pytest.approx(math.cos(2.0), abs=1e-5)


def test_only_the_own_class_has_a_margin():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0])
    with_margin, without = head(margin=0.5).logits(x, labels), head(margin=0.0).logits(x, labels)
    changed = (with_margin - without).abs() > 1e-3
    assert torch.equal(changed, torch.nn.functional.one_hot(labels, 3).bool())


@pytest.mark.parametrize("theta", [0.0, math.pi])
def test_gradients_are_finite_where_the_cosine_is_one_or_minus_one(theta):
    arcface = head(scale=64.0, margin=0.5)
    x = at_angle(theta).requires_grad_()
    arcface(x, OWN).backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(arcface.weight.grad).all()


def test_the_gradient_is_that_of_finite_differences():
    arcface = head(scale=4.0, margin=0.5)
    x = at_angle(0.8).requires_grad_()
    arcface.logits(x, OWN)[0, 0].backward()
    slope = (x.grad * torch.tensor([[-math.sin(0.8), math.cos(0.8), 0.0]])).sum().item()
    assert slope == pytest.approx(-4 * math.sin(1.3), rel=1e-4)


def test_half_precision_around_it_changes_nothing():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1])
    arcface = head()
    with torch.autocast("cpu", torch.bfloat16):
        logits = arcface.logits(x, labels)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, arcface.logits(x, labels))


# Usual margins; the scale is small, so that no logit is lost beside others.
MARGINS = {
    "softmax": 0.0,
    "sphereface": 4.0,
    "cosface": 0.35,
    "arcface": 0.5,
    "adaface": 0.4,
    "magface": 0.45,
    "adaface_sharpness": 0.4,
    "magface_sharpness": 0.45,
    "derivenet": 1.0,
}


def built(name: str, dimension: int = 8, classes: int = 5, **options: float) -> heads.Head:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return heads.build(name, dimension, classes, margin=MARGINS[name], **options)


def test_there_is_a_margin_here_for_every_head():
    assert tuple(MARGINS) == heads.NAMES


@pytest.mark.parametrize("name", heads.NAMES)
def test_a_head_has_a_centre_for_each_class_and_a_mean_loss_in_float32(name):
    head = built(name)
    assert head.weight.shape == (5, 8)
    draw = torch.Generator().manual_seed(0)
    x, labels = torch.randn(6, 8, generator=draw), torch.tensor([0, 1, 2, 3, 4, 0])
    sharpness = torch.rand(6, generator=draw) * 500 if head.needs_sharpness else None
    assert head.needs_sharpness == name.endswith("sharpness")
    head.eval()
    loss = head(x, labels, sharpness, step=10_000)
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    logits = head.logits(x, labels, sharpness, step=10_000)
    assert logits.shape == (6, 5)
    expected = torch.nn.functional.cross_entropy(logits, labels) + (head.penalty(x) or 0.0)
    assert torch.equal(loss, expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(x, labels, sharpness, step=10_000), loss)


@pytest.mark.parametrize("name", heads.NAMES)
@pytest.mark.parametrize("length", [0.0, 1e-6, 1.0, 1e4])
def test_losses_and_gradients_are_finite_on_and_against_the_centre_in_half_precision(name, length):
    head = built(name)
    own = torch.nn.functional.normalize(head.weight.detach())
    x = torch.cat([own, -own, torch.roll(own, 1, 0)]).mul(length).bfloat16().requires_grad_()
    labels = torch.arange(5).repeat(3)
    sharpness = torch.tensor([0.0, 1.0, 1e9] * 5) if head.needs_sharpness else None
    with torch.autocast("cpu", torch.bfloat16):
        loss = head(x, labels, sharpness, step=100_000)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(head.weight.grad).all()
    assert all(torch.isfinite(buffer).all() for buffer in head.buffers())


@pytest.mark.parametrize("name", heads.NAMES)
def test_a_margin_makes_the_own_class_harder_to_win(name):
    head = built(name).eval()
    x = torch.nn.functional.normalize(head.weight.detach()) * 20
    x = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(5)
    sharpness = torch.full((5,), 100.0) if head.needs_sharpness else None
    with_margin = head.logits(x, labels, sharpness, step=10**6)
    without = head.logits(x, torch.full((5,), -1), sharpness, step=10**6)
    changed = (with_margin - without).abs() > 1e-3
    if name in ("softmax", "derivenet"):
        # DeriveNet raises the others instead, once it knows how alike they are: see its own tests.
        assert not changed.any()
    else:
        assert torch.equal(changed, torch.eye(5, dtype=torch.bool))
        assert (with_margin <= without + 1e-4).all()


@pytest.mark.parametrize("name", heads.NAMES)
def test_a_head_teaches_a_linear_layer_to_part_planted_people(name):
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(5, 12, generator=draw)
    head = built(name, scale=16.0)
    layer = torch.nn.Linear(12, 8)
    torch.nn.init.normal_(layer.weight, std=0.5, generator=draw)
    optimiser = torch.optim.SGD([*layer.parameters(), *head.parameters()], 0.05, 0.9)
    losses = []
    for step in range(120):
        labels = torch.randint(5, (40,), generator=draw)
        x = layer(centres[labels] + 0.2 * torch.randn(40, 12, generator=draw))
        sharpness = torch.rand(40, generator=draw) * 300 if head.needs_sharpness else None
        # Not from the beginning, so that SphereFace's λ changes little and the losses can be compared.
        loss = head(x, labels, sharpness, step=1000 + step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    at_first, at_last = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
    floor = head.penalty(layer(centres)).item() if name == "magface" else 0.0
    assert at_last - floor < 0.3 * (at_first - floor)
    # Nearest in angle, or for softmax by its own rule.
    plain = head.eval().logits(
        layer(centres), torch.full((5,), -1), torch.ones(5) if head.needs_sharpness else None
    )
    assert plain.argmax(1).tolist() == [0, 1, 2, 3, 4]


def test_easy_margins_and_high_margins_reach_the_heads_that_have_them():
    assert heads.build("arcface", 8, 5, easy_margin=True).easy_margin
    magface = heads.build("magface", 8, 5, margin=0.3, margin_high=0.9, easy_margin=True)
    assert (magface.margin, magface.margin_high, magface.easy_margin) == (0.3, 0.9, True)
    assert heads.build("cosface", 8, 5, scale=30.0, margin=0.2).scale == 30.0
    assert heads.build("adaface", 8, 5, margin=0.2).margin == 0.2


def test_an_unknown_head_lists_those_there_are():
    with pytest.raises(UserError, match=r"unknown head 'triplet': choose one of softmax, sphereface"):
        heads.build("triplet", 8, 5)


@pytest.mark.parametrize("margin", [0.5, 0.0, 2.5])
def test_spherefaces_margin_is_a_whole_factor(margin):
    with pytest.raises(UserError, match=r"whole factor, not .*: set margin = 4"):
        heads.build("sphereface", 8, 5, margin=margin)


def test_magfaces_margin_rises():
    with pytest.raises(UserError, match=r"magface_sharpness's margin 0.9 is above its margin_high 0.8"):
        heads.build("magface_sharpness", 8, 5, margin=0.9)
