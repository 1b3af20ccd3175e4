"""DeriveNet's loss is the described formula, its centres are those of the reconstructions, and it teaches."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from embedlab.networks.derivenet import SIDE, DeriveNet

PIXELS = 3 * SIDE * SIDE


def head(margin: float = 1.0, classes: int = 4, dimension: int = 6) -> DeriveNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = DeriveNet(dimension, classes, margin)
        made.centres.copy_(torch.randn(classes, PIXELS))
    return made


def batch(rows: int = 5, side: int = 48) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    images = 255 * torch.rand(rows, 3, side, side, generator=draw)
    return torch.randn(rows, 6, generator=draw), torch.tensor([0, 1, 2, 3, 0])[:rows], images


@pytest.mark.parametrize("margin", [0.0, 1.0, 2.5])
def test_the_loss_is_the_formula_written_out(margin):
    made = head(margin).eval()
    x, labels, images = batch()
    w, centres = made.weight.detach().numpy(), made.centres.numpy()
    g = made.reconstruct(x).detach().numpy()
    sharp = functional.interpolate(images, (SIDE, SIDE), mode="area").flatten(1).numpy() / 127.5 - 1
    losses = []
    for row, own in enumerate(labels.tolist()):
        of = [float(w[j] @ x[row].numpy()) for j in range(4)]
        alike = [
            centres[j] @ centres[own] / np.linalg.norm(centres[j]) / np.linalg.norm(centres[own])
            for j in range(4)
        ]
        raised = [np.exp(of[j] + (margin * alike[j] if j != own else 0)) for j in range(4)]
        apart = ((sharp[row] - g[row]) ** 2).sum() + ((g[row] - centres[own]) ** 2).sum()
        losses.append(-np.log(raised[own] / sum(raised)) + 1e-3 * apart)
    assert made(x, labels, images).item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_people_who_look_alike_must_be_parted_by_more():
    made = head(classes=3)
    made.centres.copy_(torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.5]]).repeat(1, PIXELS // 2))
    of_first = made.derived(torch.tensor([0]))[0]
    assert of_first[0] == 0
    assert of_first[1] > 0.9 > 0 > of_first[2]


def test_a_class_that_was_never_shown_has_no_margin():
    made = head()
    made.centres[2] = 0
    margins = made.derived(torch.arange(4))
    assert not margins[2].any()
    assert not margins[:, 2].any()
    assert margins[0, 1] != 0


def test_a_row_without_a_class_has_no_margin():
    assert not head().derived(torch.tensor([-1, -1])).any()


def test_centres_begin_at_the_mean_reconstruction_and_move_halfway_to_the_next():
    made = head()
    made.centres.zero_()
    x, labels, images = batch()
    made(x, labels, images)
    g = made.reconstruct(x).detach()
    first = (g[0] + g[4]) / 2
    torch.testing.assert_close(made.centres[0], first)
    torch.testing.assert_close(made.centres[1:], g[1:4])
    made(x[:1], labels[:1], images[:1])
    torch.testing.assert_close(made.centres[0], (first + g[0]) / 2)
    torch.testing.assert_close(made.centres[1:], g[1:4])


def test_measuring_moves_no_centre_and_centres_have_no_gradient():
    made = head().eval()
    before = made.centres.clone()
    x, labels, images = batch()
    made(x.requires_grad_(), labels, images).backward()
    assert torch.equal(made.centres, before)
    assert "centres" in made.state_dict()
    assert "centres" not in dict(made.named_parameters())


def test_the_gradient_is_that_of_finite_differences():
    made = head().double().eval()
    x, labels, images = batch(3)
    assert torch.autograd.gradcheck(
        lambda x: made(x, labels, images.double()), x.double().requires_grad_(), atol=1e-6
    )


def test_it_learns_to_reconstruct_the_sharp_image_and_to_part_people():
    draw = torch.Generator().manual_seed(0)
    faces = 255 * torch.rand(4, 3, 4, 4, generator=draw).repeat_interleave(8, 2).repeat_interleave(8, 3)
    made = head()
    made.centres.zero_()
    made.recent = 0.05
    layer = torch.nn.Linear(12, 6)
    torch.nn.init.normal_(layer.weight, std=0.5, generator=draw)
    blurred = functional.adaptive_avg_pool2d(faces, 2).flatten(1) / 127.5 - 1
    optimiser = torch.optim.SGD([*layer.parameters(), *made.parameters()], 0.02, 0.9)
    for _ in range(400):
        labels = torch.randint(4, (32,), generator=draw)
        x = layer(blurred[labels] + 0.05 * torch.randn(32, 12, generator=draw))
        loss = made(x, labels, faces[labels])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        x = layer(blurred)
        shown = made.reconstruct(x)
        sharp = faces.flatten(1) / 127.5 - 1
        assert made.eval().logits(x, torch.full((4,), -1)).argmax(1).tolist() == [0, 1, 2, 3]
        assert (shown - sharp).square().mean() < 0.1 * (sharp - sharp.mean(0)).square().mean()
        assert (made.centres - sharp).square().mean() < 0.1 * (sharp - sharp.mean(0)).square().mean()
