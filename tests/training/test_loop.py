"""Training learns what was planted, keeps its books, and stops in words."""

import json

import numpy as np
import pytest
import torch

from embedlab import progress
from embedlab.errors import UserError
from embedlab.networks import checkpoints
from embedlab.store import Lab
from embedlab.training import loop, recipe
from embedlab.training.recipe import Recipe


def tiny(**changes) -> Recipe:
    values = {
        "data": "lowres", "input_size": 16, "width": 4, "dimension": 16, "epochs": 2, "batch": 8,
        "dropout": 0.1, "scale": 16.0, "margin": 0.1, "learning_rate": 0.1, "warmup_epochs": 0.5,
    }  # fmt: skip
    return Recipe(**(values | changes))


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path / "lab")


def test_training_finds_the_people_and_knows_others_apart(people, pairs, lab):
    strangers = people("strangers", count=8, seed=99)
    loop.train(lab, "m", tiny(epochs=6), [people("lowres", count=12, each=8)], (strangers, pairs(strangers)))
    record = checkpoints.read_record(lab, "m")
    losses = [entry["loss"] for entry in record.history]
    assert losses[-1] < 0.5 * losses[0]
    assert record.metrics["pair_accuracy"] > 0.9
    assert record.metrics["pair_accuracy@32"] > 0.9


def test_the_record_says_how_the_model_was_made(people, pairs, lab):
    dataset = people("lowres")
    dataset.path(3).write_bytes(b"broken")
    strangers = people("strangers", seed=9)
    loop.train(lab, "m", tiny(), [dataset], (strangers, pairs(strangers)))
    record = checkpoints.read_record(lab, "m")
    assert Recipe(**record.recipe) == tiny()
    assert record.data == {"lowres": dataset.fingerprint}
    assert (record.identities, record.images, len(record.unreadable)) == (6, 35, 1)
    assert [entry["epoch"] for entry in record.history] == [1, 2]
    keys = {"epoch", "loss", "pair_accuracy", "pair_accuracy@32", "pair_chance", "learning_rate", "seconds"}
    assert all(set(entry) == keys for entry in record.history)
    assert record.images_per_second > 0
    assert record.seconds >= sum(entry["seconds"] for entry in record.history)
    assert set(record.versions) == {"python", "torch", "embedlab"}
    assert not (lab.checkpoint("m") / "train_state.safetensors").exists()
    assert checkpoints.load(lab, "m").preprocessing.size == 16


def test_one_seed_gives_the_same_bytes_and_another_gives_others(people, lab):
    dataset = people("lowres")
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        loop.train(lab, name, tiny(seed=seed), [dataset])
        weights.append((lab.checkpoint(name) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_training_leaves_the_random_generator_of_torch_as_it_was(people, lab):
    before = torch.random.get_rng_state()
    loop.train(lab, "m", tiny(epochs=1), [people("lowres")])
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_finished_model_is_not_trained_again(people, lab, monkeypatch):
    dataset = people("lowres")
    folder = loop.train(lab, "m", tiny(), [dataset])
    written = (folder / "model.json").stat().st_mtime_ns
    monkeypatch.setattr(loop._Run, "take_step", None)
    assert loop.train(lab, "m", tiny(), [dataset]) == folder
    assert (folder / "model.json").stat().st_mtime_ns == written


def test_another_recipe_or_other_data_need_fresh(people, lab):
    dataset = people("lowres")
    loop.train(lab, "m", tiny(), [dataset])
    with pytest.raises(UserError, match=r"recipe epochs 2, now 3.*--fresh"):
        loop.train(lab, "m", tiny(epochs=3), [dataset])
    with pytest.raises(UserError, match=r"data lowres.*--fresh"):
        loop.train(lab, "m", tiny(), [people("lowres", seed=5)])
    loop.train(lab, "m", tiny(epochs=3), [dataset], fresh=True)
    assert len(checkpoints.read_record(lab, "m").history) == 3


def test_a_loss_that_is_not_finite_stops_with_the_step_and_a_remedy(people, lab):
    with pytest.raises(
        UserError, match=r"loss is (nan|inf) at step \d+ of epoch 1: lower learning_rate.*clip"
    ):
        loop.train(lab, "m", tiny(learning_rate=1e30, warmup_epochs=0.0, epochs=1), [people("lowres")])
    assert lab.trained() == []


def test_clipping_bounds_the_gradient(people, lab, monkeypatch):
    norms = []
    clip = torch.nn.utils.clip_grad_norm_

    def watched(parameters, longest):
        clip(parameters, longest)
        norms.append(torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters])).item())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watched)
    loop.train(lab, "m", tiny(epochs=1, clip=0.01), [people("lowres")])
    assert norms
    assert max(norms) <= 0.0101


def test_norm_layers_slopes_and_biases_do_not_decay():
    learner = loop._learner(tiny(weight_decay=0.5), 3, "cpu")
    decayed = {id(p) for g in learner.optimiser.param_groups if g["weight_decay"] == 0.5 for p in g["params"]}
    for name, parameter in learner.network.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim > 1), name
    assert id(learner.head.weight) in decayed
    count = sum(len(group["params"]) for group in learner.optimiser.param_groups)
    assert count == len([*learner.network.parameters(), *learner.head.parameters()])


def test_the_rate_rises_then_falls_along_half_a_cosine():
    made = tiny(epochs=10, learning_rate=0.4, warmup_epochs=2.0)
    rates = np.array([loop.learning_rate(made, step, 5) for step in range(50)])
    np.testing.assert_allclose(rates[:10], 0.4 * np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10:], 0.2 * (1 + np.cos(np.pi * np.arange(40) / 40)))


def test_a_batch_larger_than_the_data_is_cut_to_it(people, lab):
    loop.train(lab, "m", tiny(batch=500, epochs=1), [people("lowres", count=3, each=3)])
    assert checkpoints.read_record(lab, "m").images == 9


def test_each_epoch_shows_each_image_at_most_once_in_a_new_order():
    made = tiny()
    orders = [
        torch.cat([chosen for chosen, _ in loop._batches(made, 37, 8, epoch, 0, 4)]).tolist()
        for epoch in (0, 1)
    ]
    assert all(len(set(order)) == len(order) == 32 for order in orders)
    assert orders[0] != orders[1]
    mirrored = torch.cat([m for _, m in loop._batches(made, 4000, 8, 0, 0, 500)]).float().mean()
    assert mirrored.item() == pytest.approx(0.5, abs=0.05)
    assert not torch.cat([m for _, m in loop._batches(tiny(flip=False), 100, 8, 0, 0, 12)]).any()


def test_a_short_epoch_shows_as_many_images_as_it_is_told(people, lab, monkeypatch):
    seen = []
    step = loop._Run.take_step

    def watched(run, chosen, mirrored):
        seen.append(chosen)
        return step(run, chosen, mirrored)

    monkeypatch.setattr(loop._Run, "take_step", watched)
    loop.train(lab, "m", tiny(epoch_images=17), [people("lowres")])
    assert [len(chosen) for chosen in seen] == [8] * 4
    assert set(torch.cat(seen[:2]).tolist()) != set(torch.cat(seen[2:]).tolist())


def test_a_line_an_epoch_is_said(people, pairs, lab, capsys):
    strangers = people("strangers", seed=9)
    with progress.shown():
        loop.train(lab, "m", tiny(), [people("lowres")], (strangers, pairs(strangers)))
    said = capsys.readouterr().err
    assert "m: 36 images of 6 people, 2 epochs on cpu" in said
    assert "epoch 2 of 2: loss " in said
    assert "images/s" in said


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_builds_and_takes_a_step(people, lab, name):
    made = recipe.load(name, "demo", {"epochs": 1, "batch": 4, "width": 2})
    sides = {"lowres": 36, "highres": 144}
    data = [people(dataset, count=2, each=2, side=sides[dataset]) for dataset in made.datasets]
    loop.train(lab, name, made, data)
    loss = json.loads((lab.checkpoint(name) / "model.json").read_text())["metrics"]["loss"]
    assert np.isfinite(loss)
