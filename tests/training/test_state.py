"""A run's state comes back bit by bit, or says why it does not."""

import pytest
import torch

from embedlab.errors import UserError
from embedlab.networks.backbones import IRSE18
from embedlab.networks.heads import ArcFace
from embedlab.training import state
from embedlab.training.state import Learner, Progress

KEY = {"recipe": {"epochs": 2, "width": 2}, "data": {"lowres": "abc"}}


def learner(seed: int, steps: int = 0) -> Learner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, head = IRSE18(16, 8, 4).to(memory_format=torch.channels_last), ArcFace(4, 3)
        made = Learner(
            network, head, torch.optim.SGD([*network.parameters(), *head.parameters()], 0.1, 0.9, fused=True)
        )
        for _ in range(steps):
            labels = torch.tensor([0, 1, 2, 0])
            loss = torch.nn.functional.cross_entropy(head(network(torch.randn(4, 3, 16, 16)), labels), labels)
            made.optimiser.zero_grad()
            loss.backward()
            made.optimiser.step()
    return made


def test_weights_momentum_and_progress_come_back_bit_by_bit(tmp_path):
    saved, restored = learner(0, steps=3), learner(1)
    progress = Progress(epoch=1, step=4, loss_sum=0.1 + 0.2, seconds=3.25, images=16, history=[{"epoch": 1}])
    state.write(tmp_path / state.FILE, saved, progress, KEY)
    assert state.read(tmp_path / state.FILE, restored, KEY) == progress
    before, after = saved.tensors(), restored.tensors()
    assert before.keys() == after.keys()
    assert any(name.startswith("momentum.network.body") for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_momentum_lies_in_memory_as_its_parameter_does(tmp_path):
    state.write(tmp_path / state.FILE, learner(0, steps=1), Progress(), KEY)
    restored = learner(1)
    state.read(tmp_path / state.FILE, restored, KEY)
    for parameter in restored.network.parameters():
        assert restored.optimiser.state[parameter]["momentum_buffer"].stride() == parameter.stride()


def test_no_state_is_a_beginning(tmp_path):
    assert state.read(tmp_path / state.FILE, learner(0), KEY) == Progress()


def test_a_state_of_another_recipe_or_other_data_is_refused(tmp_path):
    state.write(tmp_path / state.FILE, learner(0), Progress(), KEY)
    with pytest.raises(UserError, match=r"recipe width 2, now 4.*--fresh"):
        state.read(tmp_path / state.FILE, learner(0), KEY | {"recipe": {"epochs": 2, "width": 4}})
    with pytest.raises(UserError, match=r"data highres; data lowres.*--fresh"):
        state.read(tmp_path / state.FILE, learner(0), KEY | {"data": {"highres": "abc"}})


def test_a_broken_state_says_how_to_begin_anew(tmp_path):
    (tmp_path / state.FILE).write_bytes(b"broken")
    with pytest.raises(UserError, match=r"cannot resume from .*train_state.safetensors.*--fresh"):
        state.read(tmp_path / state.FILE, learner(0), KEY)
