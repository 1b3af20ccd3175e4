"""A training that is killed and resumed ends in the very bytes of an unbroken one."""

import time
from pathlib import Path

import numpy as np
import pytest

from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.networks import checkpoints
from embedlab.training import state, steps, trainer
from embedlab.training.recipe import Recipe
from tests.processes import Started

TRAIN = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from embedlab.data.datasets import open_dataset
from embedlab.lab.store import Lab
from embedlab.training import recipe, trainer
made = recipe.load(Path(sys.argv[1]))
print("ready", flush=True)
trainer.train(Lab(sys.argv[2]), "m", made, [open_dataset(sys.argv[3])])
"""

RECIPE = """
data = "lowres"
input_size = 32
width = 8
dimension = 16
dropout = 0.4
scale = 16.0
margin = 0.2
epochs = 4
batch = 8
state_every = 2
"""


def begin(recipe: Path, lab: Path, data: Path) -> Started:
    """Start a training in a process of its own, and wait until it is about to train."""
    process = Started(TRAIN, recipe, lab, data)
    process.until("ready\n")
    return process


def test_killed_at_random_moments_it_ends_in_the_bytes_of_an_unbroken_run(people, tmp_path):
    dataset = people("lowres", count=8, each=8)
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE)
    unbroken = begin(recipe, tmp_path / "unbroken", dataset.root)
    assert unbroken.wait(120) == 0

    lab, draw = Lab(tmp_path / "broken"), np.random.default_rng(0)
    kills, resumed = 0, 0
    while True:
        process = begin(recipe, lab.root, dataset.root)
        # The run writes sixteen states; at most three before each of four kills, so a kill finds it at work.
        states, delay = int(draw.integers(0, 4)), float(draw.uniform(0, 0.1))
        if kills == 4 or not lives_until(process, lab, states, delay):
            break
        process.kill()
        process.wait()
        kills += 1
        resumed += everything_under_final_names_loads(lab)
    assert process.wait(120) == 0
    assert kills > 1
    assert resumed > 1
    model = Path("checkpoints/m/model.safetensors")
    assert (lab.root / model).read_bytes() == (tmp_path / "unbroken" / model).read_bytes()
    records = [checkpoints.read_record(Lab(tmp_path / where), "m") for where in ("broken", "unbroken")]
    assert records[0].metrics == records[1].metrics


def lives_until(process: Started, lab: Lab, states: int, delay: float) -> bool:
    """Wait for some new states and a little longer; tell whether the training still runs."""
    path = lab.checkpoint("m") / state.FILE
    seen = written(path)
    while states and process.poll() is None:
        if written(path) != seen:
            seen, states = written(path), states - 1
        time.sleep(0.001)
    time.sleep(delay)
    return process.poll() is None


def written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def everything_under_final_names_loads(lab: Lab) -> bool:
    """Load what a killed training left; tell whether there was a state to go on from."""
    from safetensors import safe_open

    if lab.trained():
        checkpoints.load(lab, "m")
    path = lab.checkpoint("m") / state.FILE
    if path.exists():
        with safe_open(path, framework="np") as file:
            assert all(file.get_tensor(name) is not None for name in file.keys())  # noqa: SIM118
        return True
    return False


def test_a_kill_just_before_the_record_is_written_costs_no_training(people, tmp_path, monkeypatch):
    dataset, lab, made = people("lowres"), Lab(tmp_path / "lab"), tiny()
    reference = trainer.train(Lab(tmp_path / "reference"), "m", made, [dataset])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(lab, "m", made, [dataset])
    assert lab.trained() == []
    monkeypatch.setattr(steps.Run, "take_step", None)
    folder = trainer.train(lab, "m", made, [dataset])
    assert (folder / "model.safetensors").read_bytes() == (reference / "model.safetensors").read_bytes()


def stopped(lab: Lab, dataset, made: Recipe, monkeypatch, after: int, **options) -> None:
    """Train until ``after`` steps are taken, and stop as at Ctrl-C."""
    taken = 0
    step = steps.Run.take_step

    def counted(self, plan):
        nonlocal taken
        if taken == after:
            raise KeyboardInterrupt
        taken += 1
        return step(self, plan)

    with monkeypatch.context() as patch:
        patch.setattr(steps.Run, "take_step", counted)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(lab, "m", made, [dataset], **options)


def tiny(**changes) -> Recipe:
    values = {"data": "lowres", "input_size": 16, "width": 8, "dimension": 8, "epochs": 2, "batch": 6}
    return Recipe(**(values | changes))


@pytest.mark.parametrize("after", [1, 3, 6, 7, 11])
def test_stopped_after_any_step_it_ends_in_the_bytes_of_an_unbroken_run(people, tmp_path, monkeypatch, after):
    dataset, lab = people("lowres"), Lab(tmp_path / "lab")
    reference = trainer.train(Lab(tmp_path / "reference"), "m", tiny(state_every=2), [dataset])
    stopped(lab, dataset, tiny(state_every=2), monkeypatch, after)
    folder = trainer.train(lab, "m", tiny(state_every=2), [dataset])
    assert (folder / "model.safetensors").read_bytes() == (reference / "model.safetensors").read_bytes()
    assert (
        checkpoints.read_record(lab, "m").metrics
        == checkpoints.read_record(Lab(tmp_path / "reference"), "m").metrics
    )


def test_a_state_of_another_recipe_needs_fresh(people, tmp_path, monkeypatch):
    dataset, lab = people("lowres"), Lab(tmp_path / "lab")
    stopped(lab, dataset, tiny(), monkeypatch, after=8)
    with pytest.raises(UserError, match=r"recipe width 8, now 16.*--fresh"):
        trainer.train(lab, "m", tiny(width=16), [dataset])
    trainer.train(lab, "m", tiny(width=16), [dataset], fresh=True)
    assert checkpoints.read_record(lab, "m").network["width"] == 16


def test_a_model_stays_until_its_fresh_successor_is_done(people, tmp_path, monkeypatch):
    dataset, lab = people("lowres"), Lab(tmp_path / "lab")
    trainer.train(lab, "m", tiny(seed=1), [dataset])
    first = checkpoints.load(lab, "m").fingerprint
    stopped(lab, dataset, tiny(seed=2), monkeypatch, after=8, fresh=True)
    assert checkpoints.load(lab, "m").fingerprint == first
    trainer.train(lab, "m", tiny(seed=2), [dataset])
    assert checkpoints.load(lab, "m").fingerprint != first
    assert checkpoints.read_record(lab, "m").seed == 2
