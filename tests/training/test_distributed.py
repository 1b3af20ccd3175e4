"""Several processes train as one does, stop together, and go on from each other's states."""

import copy
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from embedlab.lab import learning
from embedlab.lab.store import Lab
from embedlab.networks import checkpoints
from embedlab.ranks import ALONE, Ranks
from embedlab.training import distributed, trainer
from embedlab.training.distributed import GlobalBatchNorm, GlobalDropout, Slice
from embedlab.training.recipe import Recipe
from tests.processes import grouped

TRAIN = """
import json, os, shutil, signal, sys
from contextlib import ExitStack
from pathlib import Path
import torch
from torch import distributed as processes
torch.set_num_threads(1)
from embedlab import progress, ranks
from embedlab.data.datasets import open_dataset
from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.training import faults, steps, trainer
from embedlab.training.recipe import Recipe
from tests.processes import threads

folder, data = Path(sys.argv[1]), open_dataset(sys.argv[2])
recipes = {name: Recipe(**values) for name, values in json.loads(sys.argv[3]).items()}
rank, at = int(os.environ["RANK"]), {}
take = steps.Run.take_step

def watched(self, plan):
    if rank == 1 and self.taken == at.get("terminated"):
        os.kill(os.getpid(), signal.SIGTERM)
    if rank == 1 and self.taken == at.get("mistaken"):
        raise ZeroDivisionError("a mistake")
    return take(self, plan)

def train(lab, name):
    trainer.train(Lab(folder / lab), name, recipes[name], [data])

steps.Run.take_step = watched
with progress.shown(), ExitStack() as stack:
    train("two", "plain")
    print("left:", *threads(), flush=True)
    # The rest in one group, because a group that ended cannot begin again at the same port.
    stack.enter_context(ranks.group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2))
    for name in ("crossed", "sampled", "quality", "derived", "adversarial"):
        train("two", name)
    try:
        train("odd", "odd")
    except UserError as error:
        print("said:", error, flush=True)
    except SystemExit as error:
        print("ended:", error.code, flush=True)
    at["terminated"] = 2
    try:
        train("broken", "sampled")
    except faults.Terminated as error:
        print("ended:", error.code, flush=True)
    del at["terminated"]
    if rank == 0:
        shutil.copytree(folder / "broken", folder / "alone")
    processes.barrier()
    train("broken", "sampled")
    at["mistaken"] = 1
    train("mistaken", "plain")
"""


def tiny(**changes) -> Recipe:
    values = {
        "data": "lowres", "input_size": 16, "width": 8, "dimension": 16, "epochs": 2, "batch": 8,
        "dropout": 0.3, "scale": 8.0, "margin": 0.1, "learning_rate": 0.02, "warmup_epochs": 0.5,
    }  # fmt: skip
    return Recipe(**(values | changes))


RECIPES = {
    "plain": tiny(clip=2.0, weight_decay=0.01),
    "crossed": tiny(low="cross", low_exponents="3+4", per_identity=2, octuplet=0.5),
    "sampled": tiny(head="adaface", sample_rate=0.5, clip=2.0, low="random", low_exponents="3+4"),
    "quality": tiny(head="adaface_sharpness", jitter=0.2, erasing=0.5),
    "derived": tiny(head="derivenet", margin=1.0, low="cross", low_exponents="3+4"),
    "adversarial": tiny(adversarial=0.5, low="random", low_exponents="3+4", clip=2.0),
    "odd": tiny(batch=9),
}


TRAINED = [name for name in RECIPES if name != "odd"]


@pytest.fixture(scope="module")
def shared(people_in, tmp_path_factory):
    """Let two processes train all recipes, stop and go on; give data, folder and what they said."""
    folder = tmp_path_factory.mktemp("shared")
    dataset = people_in(folder, "lowres")
    recipes = json.dumps({name: asdict(recipe) for name, recipe in RECIPES.items()})
    return dataset, folder, grouped(TRAIN, folder, dataset.root, recipes)


def same_weights(a: Lab, b: Lab, name: str) -> None:
    first, second = (load_file(lab.checkpoint(name) / "model.safetensors") for lab in (a, b))
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, atol=1e-4, rtol=1e-3, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", TRAINED)
def test_two_processes_have_the_losses_and_weights_of_one(shared, tmp_path, name):
    dataset, folder, ended = shared
    one, two = Lab(tmp_path / "one"), Lab(folder / "two")
    assert two.trained() == sorted(TRAINED), ended
    trainer.train(one, name, RECIPES[name], [dataset])
    a, b = (learning.read(lab.checkpoint(name)) for lab in (one, two))
    assert len(a.loss) == len(b.loss) == 8
    np.testing.assert_allclose(a.loss, b.loss, atol=2e-5, rtol=1e-5)
    np.testing.assert_allclose(a.gradient_norm, b.gradient_norm, rtol=1e-3)
    same_weights(one, two, name)


def test_one_process_writes_and_speaks(shared):
    _, folder, ended = shared
    assert checkpoints.read_record(Lab(folder / "two"), "plain").device.endswith("2 processes")
    assert "in 2 processes" in ended[0].stderr
    assert "Traceback" in ended[1].stderr.splitlines()[0]


def test_a_training_leaves_no_thread_of_its_group(shared):
    """One that is at work while the interpreter ends aborts the process."""
    *_, ended = shared
    assert [process.stdout.splitlines()[0] for process in ended] == ["left:", "left:"]


def test_a_batch_that_cannot_be_shared_ends_both_and_one_says_why(shared):
    *_, ended = shared
    first, second = (process.stdout.splitlines()[1] for process in ended)
    assert first.startswith("said: a step of 9 images cannot be shared equally by 2 processes")
    assert second == "ended: 2"


def test_terminated_processes_go_on_exactly_or_as_one(shared):
    dataset, folder, ended = shared
    two, broken, alone = (Lab(folder / name) for name in ("two", "broken", "alone"))
    assert all(process.stdout.endswith("ended: 143\n") for process in ended)
    assert "sampled: stopped by SIGTERM after 3 steps; the state is kept" in ended[0].stderr
    places = [lab.checkpoint("sampled") for lab in (two, broken)]
    bytes_of = [(place / "model.safetensors").read_bytes() for place in places]
    assert bytes_of[0] == bytes_of[1]
    np.testing.assert_array_equal(*(learning.read(place).loss for place in places))
    trainer.train(alone, "sampled", RECIPES["sampled"], [dataset])
    same_weights(alone, two, "sampled")


def test_all_processes_end_when_one_fails(shared):
    *_, ended = shared
    assert [process.returncode for process in ended] == [1, 1]
    assert "ZeroDivisionError: a mistake\n" in ended[1].stderr
    assert "Traceback" not in ended[0].stderr


@pytest.fixture
def group(tmp_path):
    """Make this process a group of one."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(3, affine=False), nn.BatchNorm2d(3)])
def test_batch_norm_over_one_process_is_torchs(group, norm):
    draw = torch.Generator().manual_seed(0)
    shape = (6, 3, 4, 4) if isinstance(norm, nn.BatchNorm2d) else (6, 3)
    x = [torch.randn(shape, generator=draw).mul_(3).add_(2).requires_grad_() for _ in range(2)]
    x[1].data.copy_(x[0].data)
    ours = distributed.synchronised(nn.Sequential(copy.deepcopy(norm)), Slice(1), "cpu")
    assert isinstance(ours[0], GlobalBatchNorm)
    out = [norm(x[0]), ours(x[1])]
    for one in out:
        (one**3).sum().backward()
    torch.testing.assert_close(out[1], out[0])
    torch.testing.assert_close(x[1].grad, x[0].grad, atol=1e-4, rtol=1e-4)
    assert ours[0].state_dict().keys() == norm.state_dict().keys()
    for name, value in norm.state_dict().items():
        torch.testing.assert_close(ours[0].state_dict()[name], value)
    ours.eval()
    torch.testing.assert_close(ours(x[1]), norm.eval()(x[0]))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_of_two_processes_is_that_of_one(layout):
    x = torch.ones(4, 8, 3, 3).contiguous(memory_format=layout)
    torch.manual_seed(5)
    whole = nn.Dropout(0.4)(x)
    for rank in range(2):
        here = Slice(2)
        here.rows = distributed.rows(Ranks(rank, 2), 4)
        torch.manual_seed(5)
        assert torch.equal(GlobalDropout(0.4, here)(x[here.rows]), whole[here.rows])
    assert GlobalDropout(0.4, here).eval()(x) is x


def test_a_process_has_the_copies_of_its_own_images():
    assert distributed.rows(Ranks(1, 2), 6, 2).tolist() == [3, 4, 5, 9, 10, 11]
    assert distributed.rows(ALONE, 3).tolist() == [0, 1, 2]
