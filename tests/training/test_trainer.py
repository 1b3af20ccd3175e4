"""Training learns what was planted, keeps its books, and stops in words."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from embedlab import progress
from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.networks import checkpoints
from embedlab.training import steps, trainer
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
    trainer.train(
        lab, "m", tiny(epochs=6), [people("lowres", count=12, each=8)], (strangers, pairs(strangers))
    )
    record = checkpoints.read_record(lab, "m")
    losses = [entry["loss"] for entry in record.history]
    assert losses[-1] < 0.5 * losses[0]
    assert record.metrics["pair_accuracy"] > 0.9
    assert record.metrics["pair_accuracy@32"] > 0.9


def test_the_record_says_how_the_model_was_made(people, pairs, lab):
    dataset = people("lowres")
    dataset.path(3).write_bytes(b"broken")
    strangers = people("strangers", seed=9)
    trainer.train(lab, "m", tiny(), [dataset], (strangers, pairs(strangers)))
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
        trainer.train(lab, name, tiny(seed=seed), [dataset])
        weights.append((lab.checkpoint(name) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_training_leaves_the_random_generator_of_torch_as_it_was(people, lab):
    before = torch.random.get_rng_state()
    trainer.train(lab, "m", tiny(epochs=1), [people("lowres")])
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_finished_model_is_not_trained_again(people, lab, monkeypatch):
    dataset = people("lowres")
    folder = trainer.train(lab, "m", tiny(), [dataset])
    written = (folder / "model.json").stat().st_mtime_ns
    monkeypatch.setattr(steps.Run, "take_step", None)
    assert trainer.train(lab, "m", tiny(), [dataset]) == folder
    assert (folder / "model.json").stat().st_mtime_ns == written


def test_another_recipe_or_other_data_need_fresh(people, lab):
    dataset = people("lowres")
    trainer.train(lab, "m", tiny(), [dataset])
    with pytest.raises(UserError, match=r"recipe epochs 2, now 3.*--fresh"):
        trainer.train(lab, "m", tiny(epochs=3), [dataset])
    with pytest.raises(UserError, match=r"data lowres.*--fresh"):
        trainer.train(lab, "m", tiny(), [people("lowres", seed=5)])
    trainer.train(lab, "m", tiny(epochs=3), [dataset], fresh=True)
    assert len(checkpoints.read_record(lab, "m").history) == 3


def test_a_loss_that_is_not_finite_stops_with_the_step_and_a_remedy(people, lab):
    with pytest.raises(
        UserError, match=r"loss is (nan|inf) at step \d+ of epoch 1: lower learning_rate.*clip"
    ):
        trainer.train(lab, "m", tiny(learning_rate=1e30, warmup_epochs=0.0, epochs=1), [people("lowres")])
    assert lab.trained() == []


def test_a_batch_larger_than_the_data_is_cut_to_it(people, lab):
    trainer.train(lab, "m", tiny(batch=500, epochs=1), [people("lowres", count=3, each=3)])
    assert checkpoints.read_record(lab, "m").images == 9


def test_a_line_an_epoch_is_said(people, pairs, lab, capsys):
    strangers = people("strangers", seed=9)
    with progress.shown():
        trainer.train(lab, "m", tiny(), [people("lowres")], (strangers, pairs(strangers)))
    said = capsys.readouterr().err
    assert "m: 36 images of 6 people, 2 epochs, ir_se_18 of width 4, head arcface on cpu" in said
    assert "epoch 2 of 2: loss " in said
    assert "images/s" in said


def test_fine_tuning_begins_from_the_weights_of_a_model(people, lab):
    dataset, others = people("lowres"), people("highres", seed=3)
    trainer.train(lab, "first", tiny(), [dataset])
    gentle = tiny(initial="first", data="highres", learning_rate=1e-6, epochs=1, dropout=0.0)
    trainer.train(lab, "second", gentle, [others])
    trainer.train(lab, "drawn", replace(gentle, initial=""), [others])
    first, second, drawn = (checkpoints.load_network(lab, name) for name in ("first", "second", "drawn"))
    weights = [network.input_layer[0].weight for network in (first, second, drawn)]
    torch.testing.assert_close(weights[1], weights[0], atol=1e-4, rtol=0)
    assert not torch.equal(weights[1], weights[0])
    assert not torch.allclose(weights[2], weights[0], atol=1e-2)
    record = checkpoints.read_record(lab, "second")
    assert record.seen == sorted([dataset.fingerprint, others.fingerprint])
    assert record.origin == {"first": checkpoints.read_record(lab, "first").weights_sha256}


def test_another_beginning_needs_fresh(people, lab):
    dataset = people("lowres")
    trainer.train(lab, "first", tiny(epochs=1), [dataset])
    tuned = tiny(initial="first", epochs=1)
    trainer.train(lab, "second", tuned, [dataset])
    trainer.train(lab, "first", tiny(epochs=1, seed=5), [dataset], fresh=True)
    with pytest.raises(UserError, match=r"model second .*\(origin first\).*--fresh"):
        trainer.train(lab, "second", tuned, [dataset])


def test_a_model_is_not_trained_from_itself(people, lab):
    dataset = people("lowres")
    trainer.train(lab, "m", tiny(epochs=1), [dataset])
    with pytest.raises(UserError, match="m cannot be trained from itself: give the new model another name"):
        trainer.train(lab, "m", tiny(initial="m"), [dataset])


@pytest.mark.parametrize(
    ("trained", "moved"), [("none", ()), ("output", ("parts.0.output", "parts.1.output"))]
)
def test_frozen_parts_keep_every_number_and_output_layers_learn(people, lab, trained, moved):
    dataset = people("lowres", side=40)
    trainer.train(lab, "small", tiny(epochs=1), [dataset])
    trainer.train(lab, "large", tiny(epochs=1, input_size=32, seed=1), [dataset])
    fused = tiny(
        parts="large+small", shrink="0+8", input_size=32, trained=trained, epochs=3, fusion="concatenate"
    )
    trainer.train(lab, "fused", fused, [dataset])
    network = checkpoints.load_network(lab, "fused")
    before = {
        f"parts.{k}.{key}": value
        for k, name in enumerate(("large", "small"))
        for key, value in checkpoints.load_network(lab, name).state_dict().items()
    }
    assert network.dimension == 32
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]) == (not key.startswith(moved or "nothing")), key
    record = checkpoints.read_record(lab, "fused")
    assert set(record.origin) == {"large", "small"}
    assert checkpoints.load(lab, "fused").embed(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 32)


def test_the_head_above_frozen_parts_learns(people, lab):
    dataset = people("lowres")
    for name, seed in (("a", 0), ("b", 1)):
        trainer.train(lab, name, tiny(epochs=4, seed=seed), [dataset])
    trainer.train(lab, "fused", tiny(parts="a+b", trained="none", epochs=10, learning_rate=0.5), [dataset])
    losses = [entry["loss"] for entry in checkpoints.read_record(lab, "fused").history]
    assert losses[-1] < 0.7 * losses[0]


def test_plateau_needs_pairs(people, lab):
    with pytest.raises(UserError, match='schedule = "plateau" lowers .* no pairs to validate on'):
        trainer.train(lab, "m", tiny(schedule="plateau"), [people("lowres")])


def test_a_model_trained_on_a_pack_has_seen_what_was_packed(people, lab, tmp_path):
    from embedlab.data import packed

    dataset = people("lowres")
    pack = packed.pack(dataset, tmp_path / "lowres.pack")
    trainer.train(lab, "m", tiny(epochs=1), [pack])
    assert checkpoints.read_record(lab, "m").seen == sorted([dataset.fingerprint, pack.fingerprint])
