"""Partial FC: the head's logits on a sample of the classes; several processes do what one does."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from embedlab.errors import UserError
from embedlab.networks import heads
from embedlab.networks.sampled import Sampled
from tests.networks import two_processes

# All heads but the one that holds every class against every other.
WHOLE = tuple(name for name in heads.NAMES if name != "derivenet")
ROOT = Path(__file__).parents[2]
KINDS = ("softmax", "cosface", "arcface")
MARGINS = {"softmax": 0.0, "sphereface": 4.0, "cosface": 0.35}


def batch(rows: int = 6, classes: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(rows, 8, generator=draw) * 5, torch.randint(classes, (rows,), generator=draw)


def pair(name: str, rate: float, classes: int = 20) -> tuple[heads.Head, Sampled]:
    """The plain head and the sampled one, from the same draw, with different biases."""
    margin = MARGINS.get(name, 0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = heads.build(name, 8, classes, margin=margin)
        torch.manual_seed(0)
        sampled = Sampled(name, 8, classes, rate, seed=5, margin=margin)
    if name == "softmax":
        plain.bias.data = torch.linspace(-1, 1, classes)
        sampled.load_full_state(plain.state_dict())
    return plain, sampled


def attached(sampled: Sampled, **options: float) -> torch.optim.SGD:
    optimiser = torch.optim.SGD(sampled.parameters(), 0.1, **options)
    sampled.attach(optimiser)
    return optimiser


def test_a_head_that_holds_all_classes_together_is_refused():
    with pytest.raises(
        UserError, match="derivenet holds every class against every other: set sample_rate = 1"
    ):
        Sampled("derivenet", 8, 20, 1.0, margin=1.0)


@pytest.mark.parametrize("name", WHOLE)
def test_with_all_classes_it_is_the_plain_head(name):
    plain, sampled = pair(name, 1.0)
    attached(sampled)
    (x, labels), y = batch(), batch()[0]
    sharpness = torch.arange(6) * 50.0 if sampled.needs_sharpness else None
    assert sampled.needs_sharpness == plain.needs_sharpness
    loss, expected = (
        head(given.requires_grad_(), labels, sharpness, step=7) for head, given in ((sampled, x), (plain, y))
    )
    assert torch.equal(loss, expected)
    loss.backward()
    expected.backward()
    assert torch.equal(x.grad, y.grad)
    assert torch.equal(sampled.head.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("name", WHOLE)
def test_sampled_logits_are_the_plain_heads_of_the_sampled_classes(name):
    plain, sampled = pair(name, 0.4)
    attached(sampled)
    x, labels = batch()
    sharpness = torch.arange(6) * 50.0 if sampled.needs_sharpness else None
    loss = sampled(x, labels, sharpness, step=7)
    seen = sampled.sample(labels, 7)
    assert len(seen) == 8
    logits = plain.logits(x, labels, sharpness, step=7)[:, seen]
    expected = functional.cross_entropy(logits, torch.searchsorted(seen, labels))
    torch.testing.assert_close(loss, expected + (plain.penalty(x) or 0.0))


def test_the_sample_has_the_batchs_classes_and_random_others():
    _, sampled = pair("arcface", 0.4)
    labels = batch()[1]
    counts = torch.zeros(20)
    for step in range(500):
        seen = sampled.sample(labels, step)
        assert len(seen) == 8
        assert torch.equal(seen, seen.unique())
        assert torch.isin(labels, seen).all()
        counts[seen] += 1
    others = counts[~torch.isin(torch.arange(20), labels)]
    expected = 500 * (8 - len(labels.unique())) / len(others)
    assert (others - expected).abs().max() < 5 * expected**0.5


def test_the_sample_depends_on_seed_and_step_alone():
    (_, one), (_, other) = pair("arcface", 0.4), pair("cosface", 0.4)
    labels = batch()[1]
    assert torch.equal(one.sample(labels, 3), other.sample(labels.flip(0), 3))
    assert not torch.equal(one.sample(labels, 3), one.sample(labels, 4))
    assert not torch.equal(one.sample(labels, 3), Sampled("arcface", 8, 20, 0.4, seed=6).sample(labels, 3))


def test_a_batch_of_more_people_than_the_rate_gives_keeps_them_all():
    _, sampled = pair("arcface", 0.05)
    labels = torch.arange(6)
    seen = sampled.sample(labels, 0)
    assert seen.tolist() == labels.tolist()
    attached(sampled)
    assert torch.isfinite(sampled(batch()[0], labels, step=0))


def test_classes_that_a_step_does_not_see_rest_and_the_others_move_as_sgd_moves_them():
    """Momentum goes with the class: it is the velocity of the last step that saw it."""
    plain, sampled = pair("arcface", 0.4)
    optimiser = attached(sampled, momentum=0.9, weight_decay=0.01)
    weight, velocity = plain.weight.detach().clone(), torch.zeros(20, 8)
    x, labels = batch()
    for step in range(8):
        labels_now = (labels.roll(step) + step % 3) % 20
        seen = sampled.sample(labels_now, step)
        optimiser.zero_grad()
        sampled(x, labels_now, step=step).backward()
        optimiser.step()
        head = heads.ArcFace(8, len(seen))
        head.weight.data = weight[seen].clone()
        head(x, torch.searchsorted(seen, labels_now)).backward()
        velocity[seen] = 0.9 * velocity[seen] + head.weight.grad + 0.01 * weight[seen]
        weight[seen] -= 0.1 * velocity[seen]
    state = sampled.full_state()
    torch.testing.assert_close(state["weight"], weight)
    # Processors add in other orders, and a momentum of eight steps keeps the difference.
    torch.testing.assert_close(state["momentum.weight"], velocity, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rate", [0.4, 1.0])
def test_a_training_goes_on_from_its_state_to_the_same_bits(rate):
    def steps(sampled: Sampled, optimiser: torch.optim.SGD, start: int, stop: int) -> dict[str, torch.Tensor]:
        x, labels = batch()
        for step in range(start, stop):
            optimiser.zero_grad()
            sampled(x, labels, step=step).backward()
            optimiser.step()
        return sampled.full_state()

    _, through = pair("adaface", rate)
    unbroken = steps(through, attached(through, momentum=0.9), 0, 6)
    _, first = pair("adaface", rate)
    halfway = steps(first, attached(first, momentum=0.9), 0, 3)
    second = Sampled("adaface", 8, 20, rate, seed=5)
    optimiser = attached(second, momentum=0.9)
    second.load_full_state(halfway)
    found = steps(second, optimiser, 3, 6)
    assert found.keys() == unbroken.keys() == {"weight", "momentum.weight", "batch_mean", "batch_std"}
    assert all(torch.equal(found[name], unbroken[name]) for name in found)


def test_the_state_of_another_number_of_classes_is_refused():
    _, sampled = pair("arcface", 0.4)
    with pytest.raises(ValueError, match=r"the head's state has \{'weight': \(21, 8\)\}"):
        sampled.load_full_state({"weight": torch.zeros(21, 8)})


def test_without_its_optimiser_a_sampled_head_does_not_train():
    _, sampled = pair("arcface", 0.4)
    with pytest.raises(RuntimeError, match=r"call attach\(optimiser\)"):
        sampled(*batch())
    with torch.no_grad():
        assert torch.isfinite(sampled(*batch()))


@pytest.mark.parametrize("rate", [0.0, 1.1])
def test_a_rate_is_a_share(rate):
    with pytest.raises(UserError, match="sample_rate is .*: choose a share above 0, at most 1"):
        Sampled("arcface", 8, 20, rate)


def test_a_sampled_head_teaches_a_linear_layer_to_part_planted_people():
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(20, 12, generator=draw)
    _, sampled = pair("arcface", 0.5)
    sampled.head.scale = 16.0
    layer = torch.nn.Linear(12, 8)
    torch.nn.init.normal_(layer.weight, std=0.5, generator=draw)
    optimiser = torch.optim.SGD([*layer.parameters(), *sampled.parameters()], 0.05, 0.9)
    sampled.attach(optimiser)
    losses = []
    for step in range(120):
        labels = torch.randint(20, (8,), generator=draw)
        x = layer(centres[labels] + 0.1 * torch.randn(8, 12, generator=draw))
        loss = sampled(x, labels, step=step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    cosine = functional.normalize(layer(centres)) @ functional.normalize(sampled.full_state()["weight"]).T
    assert (cosine.argmax(1) == torch.arange(20)).float().mean() > 0.9


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """What two processes found, each on half of the rows and half of the classes."""
    folder = tmp_path_factory.mktemp("processes")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with contextlib.ExitStack() as running:
        processes = []
        for rank in range(2):
            said = running.enter_context((folder / f"{rank}.log").open("w"))
            command = [sys.executable, two_processes.__file__, str(rank), "2", str(folder)]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=said)
            processes.append(running.enter_context(process))
            # One that fails leaves the other waiting.
            running.callback(process.kill)
        failed = [process.wait(timeout=300) for process in processes[:1]]
        failed += [process.wait(timeout=30) for process in processes[1:]]
    assert not any(failed), "\n".join((folder / f"{rank}.log").read_text() for rank in range(2))
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", two_processes.CASES)
def test_two_processes_train_as_one_does(case, processes):
    expected = two_processes.train(case)
    for found in processes:
        assert found[case].keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(
                found[case][name], value, rtol=1e-9, atol=1e-9, msg=lambda said, name=name: f"{name}: {said}"
            )


def test_a_case_really_leaves_a_process_without_classes():
    case = "a process without classes in its sample"
    classes = two_processes.CASES[case][1]
    found = two_processes.train(case)
    upper = [(found[f"classes {step}"] >= classes // 2).any().item() for step in range(two_processes.STEPS)]
    assert not all(upper)


def test_the_octuplet_loss_of_two_processes_is_that_of_one(processes):
    expected = two_processes.octuplet()
    for found in processes:
        torch.testing.assert_close(found["octuplet"]["loss"], expected["loss"])
        torch.testing.assert_close(found["octuplet"]["gradient"], expected["gradient"])


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_two_processes_go_on_from_the_whole_state_and_give_it_back(rate, processes):
    for found in processes:
        given, state = found[f"resumed at {rate}"], found["arcface, sampled"]
        assert set(given) == {"weight", "momentum.weight"}
        assert all(torch.equal(value, state[f"head {name}"]) for name, value in given.items())
