"""The gradient is reversed, and a network that has learned against the reader tells the resolution worse."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from embedlab.networks import heads
from embedlab.networks.adversary import HIDDEN, ResolutionReader, octaves, reversed_gradient, strength


def test_forward_changes_nothing_and_backward_turns_the_gradient():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = reversed_gradient(x, 0.7)
    assert torch.equal(y, x)
    (y**3).sum().backward()
    torch.testing.assert_close(x.grad, -0.7 * 3 * x.detach() ** 2)


def reader(dimension: int = 5, largest: int = 144) -> ResolutionReader:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ResolutionReader(dimension, largest)


def test_the_reader_descends_and_the_vectors_climb_as_finite_differences_say():
    made = reader().double()
    # Its own double precision, which single would hide differences in.
    made.forward = lambda v, sides, weight: functional.cross_entropy(  # type: ignore[method-assign]
        made.read(reversed_gradient(functional.normalize(v), weight)), octaves(sides)
    )
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(4, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    sides = torch.tensor([8, 20, 40, 144])
    made(x, sides, 0.5).backward()
    bias = made.read[2].bias
    step = 1e-6
    for parameter, gradient, sign in ((x, x.grad, -0.5), (bias, bias.grad, 1.0)):
        flat = parameter.detach().view(-1)
        for k in range(0, len(flat), 3):
            before = flat[k].item()
            ends = []
            for moved in (before + step, before - step):
                flat[k] = moved
                ends.append(made(x.detach() if parameter is not x else parameter.detach(), sides, 0.5).item())
            flat[k] = before
            slope = (ends[0] - ends[1]) / (2 * step)
            assert gradient.view(-1)[k].item() == pytest.approx(sign * slope, abs=1e-7)


def test_the_loss_is_a_cross_entropy_over_octaves_of_unit_vectors():
    made = reader()
    x, sides = torch.randn(4, 5), torch.tensor([8, 20, 40, 144])
    expected = functional.cross_entropy(made.read(functional.normalize(x)), torch.tensor([3, 4, 5, 7]))
    torch.testing.assert_close(made(x, sides, 1.0), expected)
    torch.testing.assert_close(made(9 * x, sides, 1.0), expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(made(x, sides, 1.0), expected)
    assert made.read[2].out_features == 8


@pytest.mark.parametrize(("side", "octave"), [(1, 0), (7, 2), (8, 3), (15, 3), (16, 4), (144, 7), (256, 8)])
def test_an_octave_holds_sides_up_to_twice_its_first(side, octave):
    assert octaves(torch.tensor([side])).tolist() == [octave]


def test_a_reader_has_a_class_for_each_side_up_to_the_largest():
    for largest in (16, 112, 128, 144):
        assert octaves(torch.tensor([largest])).item() < reader(largest=largest).read[2].out_features
        assert reader(largest=largest).read[0].out_features == HIDDEN


def test_the_reversed_gradient_begins_at_nothing_and_rises_to_all():
    assert strength(0.0) == 0.0
    assert strength(0.1) == pytest.approx(2 / (1 + math.exp(-1)) - 1)
    assert strength(1.0) == pytest.approx(1.0, abs=1e-4)


def learned(weight: float, seed: int = 0, steps: int = 400) -> tuple[float, float]:
    """Train where half of the people are mostly seen blurred, which so tells of people.

    Returns
    -------
    How well a linear classifier that took no part reads blur from vectors of other people, half of whose
    images are blurred; and how many of its own people the head names rightly.
    """
    draw = torch.Generator().manual_seed(seed)
    seen, others = (torch.randn(60, 24, generator=draw) for _ in range(2))
    blur = 2 * torch.randn(24, generator=draw)
    layer = torch.nn.Linear(24, 16)
    torch.nn.init.normal_(layer.weight, std=0.3, generator=draw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head, read = heads.build("arcface", 16, 60, scale=16.0, margin=0.1), ResolutionReader(16, 64)

    def shown(count: int, centres: torch.Tensor, uneven: float) -> tuple[torch.Tensor, ...]:
        people = torch.randint(60, (count,), generator=draw)
        chance = torch.where(people % 2 == 0, 0.5 + uneven, 0.5 - uneven)
        low = torch.rand(count, generator=draw) < chance
        x = centres[people] + low[:, None] * blur + 0.3 * torch.randn(count, 24, generator=draw)
        return x, people, torch.where(low, 16, 64)

    parts = (layer, head, read)
    optimiser = torch.optim.SGD([p for part in parts for p in part.parameters()], 0.05, 0.9)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.025 * (1 + math.cos(math.pi * step / steps))
        x, people, sides = shown(64, seen, 0.45)
        vectors = layer(x)
        loss = head(vectors, people, step=step) + read(vectors, sides, weight * strength(step / steps))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        x, people, _ = shown(1000, seen, 0.45)
        named = (head.eval().cosines(layer(x)).argmax(1) == people).float().mean().item()
        x, _, sides = shown(4000, others, 0.0)
        unit = functional.normalize(layer(x)).numpy()
    fitted = LogisticRegression(max_iter=1000).fit(unit[:2000], sides[:2000])
    return float(np.mean(fitted.predict(unit[2000:]) == sides[2000:].numpy())), named


@pytest.mark.parametrize("seed", [0, 2])
def test_after_training_against_the_reader_the_resolution_is_read_worse_and_people_as_well(seed):
    plain, named_before = learned(0.0, seed)
    against, named_after = learned(0.1, seed)
    assert plain > 0.75
    assert against < plain - 0.08
    assert min(named_before, named_after) > 0.97
