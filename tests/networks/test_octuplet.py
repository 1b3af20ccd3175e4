"""The octuplet loss is four triplet losses with batch-hard mining, within and across resolutions."""

import math

import numpy as np
import pytest
import torch

from embedlab.networks.octuplet import octuplet_loss

HIGH = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 0.0]])
LOW = torch.tensor([[0.0, 1.0], [3.0, 0.0], [6.0, 8.0]])
LABELS = torch.tensor([7, 7, 9])


def test_a_tiny_case_worked_out_by_hand():
    # Row by row max(0, farthest positive − nearest negative + 2); the third person has no positive.
    high_high = [5 - 6 + 2, 5 - 5 + 2, 0]
    high_low = [3 - 10 + 2, math.sqrt(18) - 5 + 2, 0]
    low_high = [math.sqrt(18) - math.sqrt(37) + 2, 3 - 3 + 2, 0]
    low_low = [math.sqrt(10) - math.sqrt(85) + 2, math.sqrt(10) - math.sqrt(73) + 2, 0]
    sums = sum(max(0.0, value) for losses in (high_high, high_low, low_high, low_low) for value in losses)
    assert octuplet_loss(HIGH, LOW, LABELS, 2.0, unit=False).item() == pytest.approx(sums / 3, rel=1e-6)


def by_loops(high: np.ndarray, low: np.ndarray, labels: np.ndarray, margin: float) -> float:
    total = 0.0
    for anchors in (high, low):
        for others in (high, low):
            for i, anchor in enumerate(anchors):
                apart = np.linalg.norm(others - anchor, axis=1)
                positive = [d for j, d in enumerate(apart) if labels[j] == labels[i] and j != i]
                negative = [d for j, d in enumerate(apart) if labels[j] != labels[i]]
                if negative:
                    total += max(0.0, max(positive, default=0.0) - min(negative) + margin)
    return total / len(labels)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5], [3, 3, 3, 3, 3, 3]])
def test_it_is_what_loops_over_all_triplets_find(labels):
    draw = np.random.default_rng(0)
    high, low = draw.normal(size=(2, 6, 4))
    found = octuplet_loss(torch.tensor(high), torch.tensor(low), torch.tensor(labels), 0.5, unit=False)
    assert found.item() == pytest.approx(by_loops(high, low, np.array(labels), 0.5), rel=1e-5)


def test_by_default_distances_are_between_unit_vectors():
    draw = np.random.default_rng(1)
    high, low = draw.normal(size=(2, 6, 4))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (high, low)]
    labels = np.array([0, 0, 1, 1, 2, 2])
    found = octuplet_loss(torch.tensor(30 * high), torch.tensor(low), torch.tensor(labels), 0.5)
    assert found.item() == pytest.approx(by_loops(*unit, labels, 0.5), rel=1e-5)


def test_equal_images_have_finite_gradients():
    x = torch.ones(4, 3, requires_grad=True)
    octuplet_loss(x, x, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(x.grad).all()


def test_it_brings_the_resolutions_of_a_person_together():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(2)
    high = torch.randn(8, 6, generator=draw)
    low = torch.randn(8, 6, generator=draw).requires_grad_()
    optimiser = torch.optim.SGD([low], 0.5)
    losses = []
    for _ in range(60):
        loss = octuplet_loss(high, low, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_half_precision_around_it_changes_nothing():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    with torch.autocast("cpu", torch.bfloat16):
        within = octuplet_loss(x, x.flip(0), labels)
    assert torch.equal(within, octuplet_loss(x, x.flip(0), labels))
