"""Steps show the network what the plan says, in the arithmetic the recipe asks for, and keep the books."""

import numpy as np
import pytest
import torch

from embedlab import progress
from embedlab.lab import learning
from embedlab.lab.store import Lab
from embedlab.networks import checkpoints
from embedlab.networks.adversary import ResolutionReader, strength
from embedlab.networks.derivenet import DeriveNet
from embedlab.training import compiling, steps, trainer
from embedlab.training.learner import Learner
from embedlab.training.recipe import Recipe
from embedlab.training.validation import Validation


def tiny(**changes) -> Recipe:
    values = {
        "data": "lowres", "input_size": 16, "width": 4, "dimension": 8, "epochs": 2, "batch": 6,
        "scale": 16.0, "margin": 0.1,
    }  # fmt: skip
    return Recipe(**(values | changes))


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path / "lab")


def watching(monkeypatch) -> list[steps.Run]:
    """List the runs as they stand before each step."""
    seen = []
    learn = steps.Run.learn

    def watched(self, plan):
        seen.append((self, plan))
        return learn(self, plan)

    monkeypatch.setattr(steps.Run, "learn", watched)
    return seen


def test_a_short_epoch_shows_as_many_images_as_it_is_told(people, lab, monkeypatch):
    seen = watching(monkeypatch)
    trainer.train(lab, "m", tiny(epoch_images=17, batch=8), [people("lowres")])
    shown = [plan.chosen.tolist() for _, plan in seen]
    assert [len(chosen) for chosen in shown] == [8] * 4
    assert {*shown[0], *shown[1]} != {*shown[2], *shown[3]}


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_network_computes_as_precisely_as_the_recipe_says(people, lab, monkeypatch, precision, dtype):
    kinds = []
    forward = torch.nn.Linear.forward

    def watched(self, x):
        out = forward(self, x)
        if torch.is_grad_enabled():
            kinds.append(out.dtype)
        return out

    monkeypatch.setattr(torch.nn.Linear, "forward", watched)
    trainer.train(lab, "m", tiny(precision=precision, epochs=1), [people("lowres")])
    assert set(kinds) == {dtype}
    network = checkpoints.load_network(lab, "m")
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_bfloat16_learns_as_float32_does(people, lab):
    """With no dropout and hardly a step, what differs is the rounding alone."""
    dataset = people("lowres")
    for precision in ("float32", "bfloat16"):
        recipe = tiny(precision=precision, dropout=0.0, learning_rate=1e-5, epochs=1)
        trainer.train(lab, precision, recipe, [dataset])
    exact, rough = (learning.read(lab.checkpoint(name)).loss for name in ("float32", "bfloat16"))
    np.testing.assert_allclose(rough, exact, rtol=0.02)


def test_compiling_changes_no_loss(people, lab, monkeypatch):
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    dataset = people("lowres")
    for name, compiled in (("plain", False), ("compiled", True)):
        trainer.train(lab, name, tiny(compiled=compiled, dropout=0.0, epochs=1), [dataset])
    losses = [learning.read(lab.checkpoint(name)).loss for name in ("plain", "compiled")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    torch._dynamo.reset()


def test_crossed_batches_and_the_octuplet_loss_are_added(people, lab, monkeypatch):
    seen, given = watching(monkeypatch), []

    def octuplet(high, low, labels):
        given.append((high.shape, low.shape, labels.tolist()))
        return 0.0 * high.sum() + 1000.0

    monkeypatch.setattr(steps, "octuplet_loss", octuplet)
    recipe = tiny(low="cross", low_exponents="3+3", per_identity=2, octuplet=0.5, epochs=1)
    trainer.train(lab, "m", recipe, [people("lowres")])
    assert all(plan.crossed and len(plan) == 12 for _, plan in seen)
    for high, low, labels in given:
        assert high == low == (6, 8)
        assert sorted(labels) == sorted(2 * list(set(labels)))
    assert (learning.read(lab.checkpoint("m")).loss > 500).all()
    assert seen[0][0].progress.images == 12 * len(seen)


def test_a_head_that_asks_for_sharpness_gets_that_of_the_images_shown(people, lab, monkeypatch):
    given = []

    def sharp(pixels):
        given.append((tuple(pixels.shape), float(pixels.min()) >= 0, float(pixels.max()) > 100))
        return torch.full((len(pixels),), 50.0)

    monkeypatch.setattr(steps, "sharpness", sharp)
    trainer.train(lab, "plain", tiny(epochs=1), [people("lowres")])
    assert given == []
    trainer.train(lab, "m", tiny(head="magface_sharpness", margin_high=0.3, epochs=1), [people("lowres")])
    assert set(given) == {((6, 3, 16, 16), True, True)}


def test_a_head_that_asks_for_images_gets_the_sharp_ones_for_both_halves(people, lab, monkeypatch):
    seen, given = watching(monkeypatch), []
    forward = DeriveNet.forward

    def watched(self, vectors, labels, images=None, *, step=0):
        given.append((images, labels))
        return forward(self, vectors, labels, images, step=step)

    monkeypatch.setattr(DeriveNet, "forward", watched)
    recipe = tiny(head="derivenet", margin=1.0, low="cross", low_exponents="3+3", epochs=1)
    trainer.train(lab, "m", recipe, [people("lowres")])
    assert len(given) == len(seen)
    for (run, plan), (images, labels) in zip(seen, given, strict=True):
        sharp = run.images.batch(plan, pixels=True).pixels[: len(plan) // 2]
        assert torch.equal(images, torch.cat([sharp, sharp]))
        assert torch.equal(labels, torch.cat([labels[: len(sharp)]] * 2))
    assert np.isfinite(learning.read(lab.checkpoint("m")).loss).all()


@pytest.mark.parametrize("low", ["random", "cross"])
def test_the_reader_is_told_each_images_resolution_and_its_gradient_is_reversed(
    people, lab, monkeypatch, low
):
    given = []
    forward = ResolutionReader.forward

    def watched(self, vectors, sides, weight):
        given.append((sides.tolist(), weight, len(vectors)))
        return forward(self, vectors, sides, weight)

    seen = watching(monkeypatch)
    monkeypatch.setattr(ResolutionReader, "forward", watched)
    recipe = tiny(low=low, low_exponents="3+3", adversarial=0.5, epochs=2)
    trainer.train(lab, "m", recipe, [people("lowres")])
    steps_taken = len(seen)
    for taken, ((_, plan), (sides, weight, rows)) in enumerate(zip(seen, given, strict=True)):
        assert sides == [side or 16 for side in plan.sides.tolist()]
        assert rows == len(plan)
        assert weight == pytest.approx(0.5 * strength(taken / steps_taken))


def test_a_training_against_the_reader_goes_on_from_where_it_stopped(people, lab, tmp_path, monkeypatch):
    recipe = tiny(low="random", adversarial=0.5, epochs=2)
    data = [people("lowres")]
    whole = trainer.train(Lab(tmp_path / "whole"), "m", recipe, data)
    learn = steps.Run.learn

    def broken(self, plan):
        if self.taken == 8:
            raise KeyboardInterrupt
        return learn(self, plan)

    monkeypatch.setattr(steps.Run, "learn", broken)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(lab, "m", recipe, data)
    monkeypatch.setattr(steps.Run, "learn", learn)
    again = trainer.train(lab, "m", recipe, data)
    assert learning.read(again).loss.tolist() == learning.read(whole).loss.tolist()


def test_curves_hold_every_step_and_validations_come_when_they_are_due(people, pairs, lab):
    strangers = people("strangers", seed=9)
    recipe = tiny(validate_every=2, clip=5.0, warmup_epochs=0.0)
    trainer.train(lab, "m", recipe, [people("lowres")], (strangers, pairs(strangers)))
    learned = learning.read(lab.checkpoint("m"))
    history = checkpoints.read_record(lab, "m").history
    assert learned.step.tolist() == list(range(1, 13))
    assert learned.epoch.tolist() == [1] * 6 + [2] * 6
    for epoch, entry in enumerate(history):
        assert learned.loss[6 * epoch : 6 * epoch + 6].mean() == pytest.approx(entry["loss"])
        assert learned.learning_rate[6 * epoch + 5] == pytest.approx(entry["learning_rate"])
        assert [one["step"] for one in entry["validations"]] == [2, 4]
    assert [one.step for one in learned.validated()] == [2, 4, 6, 8, 10, 12]
    assert learned.validated("@32")[-1].pair_accuracy == history[-1]["pair_accuracy@32"]
    assert (learned.gradient_norm > 0).all()
    assert (learned.images_per_second > 0).all()


def test_validation_within_an_epoch_changes_no_weight(people, pairs, lab):
    dataset, strangers = people("lowres"), people("strangers", seed=9)
    folders = [
        trainer.train(lab, name, tiny(validate_every=every), [dataset], (strangers, pairs(strangers)))
        for name, every in (("never", 0), ("often", 1))
    ]
    first, second = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == second


def test_where_validation_stalls_the_rate_falls_and_a_stop_changes_nothing(
    people, pairs, lab, tmp_path, monkeypatch, capsys
):
    strangers = people("strangers", seed=9)
    data, held = [people("lowres")], (strangers, pairs(strangers))
    measure = Validation.measure

    def stalled(self, network, device):
        found = measure(self, network, device)
        return type(found)(dict(found.figures, pair_accuracy=0.5), found.rocs, found.right, found.pairs)

    monkeypatch.setattr(Validation, "measure", stalled)
    recipe = tiny(schedule="plateau", patience=2, validate_every=2, warmup_epochs=0.0, learning_rate=0.1)
    with progress.shown():
        unbroken = trainer.train(Lab(tmp_path / "unbroken"), "m", recipe, data, held)
    assert "validation stalls, the learning rate falls to 0.02" in capsys.readouterr().err
    rates = learning.read(unbroken).learning_rate
    np.testing.assert_allclose(rates, [0.1] * 6 + [0.02] * 4 + [0.004] * 2)

    learn = steps.Run.learn

    def broken(self, plan):
        if self.taken == 9:
            raise KeyboardInterrupt
        return learn(self, plan)

    with monkeypatch.context() as patch:
        patch.setattr(steps.Run, "learn", broken)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(lab, "m", recipe, data, held)
    folder = trainer.train(lab, "m", recipe, data, held)
    assert (folder / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()
    np.testing.assert_array_equal(learning.read(folder).learning_rate, rates)


def test_the_gradient_is_clipped_before_the_step(people, lab, monkeypatch):
    asked = []
    clip = Learner.clip

    def watched(self, longest):
        norm = clip(self, longest)
        found = [parameter.grad.flatten() for parameter in self.parameters()]
        asked.append((longest, float(torch.linalg.vector_norm(torch.cat(found)))))
        return norm

    monkeypatch.setattr(Learner, "clip", watched)
    trainer.train(lab, "m", tiny(epochs=1, clip=0.01), [people("lowres")])
    assert len(asked) == 6
    assert all(longest == 0.01 and length <= 0.0101 for longest, length in asked)
    learned = learning.read(lab.checkpoint("m"))
    assert (learned.gradient_norm > 0.02).all()
