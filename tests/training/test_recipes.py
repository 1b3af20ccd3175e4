"""Every recipe that comes with embedlab trains, and its checkpoint reloads to the same outputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from embedlab.lab.store import Lab
from embedlab.networks import checkpoints
from embedlab.training import curves, recipe, trainer

STEPS, BATCH = 5, 8


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One lab for all, because some recipes begin from what others trained."""
    return Lab(tmp_path_factory.mktemp("recipes") / "lab")


def trained(lab, name, sets, called=""):
    chosen = recipe.load(name, "demo")
    chosen = replace(chosen, epochs=1, batch=BATCH, epoch_images=STEPS * BATCH)
    for one in chosen.models:
        if one not in lab.trained():
            trained(lab, one, sets)
    data = [sets[source] for source in chosen.datasets]
    return chosen, trainer.train(lab, called or name, chosen, data, sets["validation"])


@pytest.fixture(scope="module")
def sets(people_in, pairs, tmp_path_factory):
    """People to train on in small images and in large ones, and pairs of others to validate on."""
    folder = tmp_path_factory.mktemp("people")
    strangers = people_in(folder, "strangers", count=8, seed=9)
    sides = {"lowres": 36, "highres": 144}
    known = {name: people_in(folder, name, count=6, each=8, side=side) for name, side in sides.items()}
    return {**known, "validation": (strangers, pairs(strangers))}


@pytest.mark.parametrize("name", recipe.names())
def test_five_steps_give_a_checkpoint_of_the_same_outputs(name, lab, sets, monkeypatch):
    kept = {}
    save = checkpoints.save

    def watched(where, network, record):
        kept[record.name] = network
        return save(where, network, record)

    monkeypatch.setattr(checkpoints, "save", watched)
    # Under another name, because it may have been trained already for a recipe that begins from it.
    called = f"{name}_itself"
    chosen, folder = trained(lab, name, sets, called)
    losses = curves.read(folder).loss
    assert len(losses) == STEPS
    assert np.isfinite(losses).all()
    assert np.isfinite(checkpoints.read_record(lab, called).metrics["loss"])
    images = torch.randn(2, 3, chosen.input_size, chosen.input_size)
    with torch.inference_mode():
        # In one layout: another one sums in another order.
        expected = kept[called].eval().to(memory_format=torch.contiguous_format)(images)
        again = checkpoints.load_network(lab, called).eval()(images)
    assert torch.equal(again, expected)
    assert checkpoints.load(lab, called).dimension == expected.shape[1]


@pytest.mark.parametrize("scale", recipe.SCALES)
def test_a_recipe_that_goes_on_from_another_has_its_network(scale):
    for name in recipe.names():
        one = recipe.load(name, scale)
        if one.initial:
            parent = recipe.load(one.initial, scale)
            if not parent.parts:
                same = ("backbone", "input_size", "width", "stem", "dimension")
                assert {k: getattr(one, k) for k in same} == {k: getattr(parent, k) for k in same}, name
