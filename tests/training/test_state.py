"""A run's state comes back bit by bit, or says why it does not."""

import pytest
import torch

from embedlab.errors import UserError
from embedlab.training import state
from embedlab.training.state import Progress

KEY = {"recipe": {"epochs": 2, "width": 2}, "data": {"lowres": "abc"}, "origin": {"first": "123"}}
TENSORS = {"network.a": torch.tensor([0.1, float("nan")]), "head.weight": torch.arange(6.0).reshape(2, 3)}


def test_tensors_and_progress_come_back_bit_by_bit(tmp_path):
    progress = Progress(
        epoch=1, step=4, loss_sum=0.1 + 0.2, seconds=3.25, images=16, history=[{"epoch": 1}],
        validations=[{"step": 2}], best=0.7, stalled=1, divisions=2,
    )  # fmt: skip
    state.write(tmp_path / state.FILE, TENSORS, progress, KEY)
    tensors, read = state.read(tmp_path / state.FILE, KEY)
    assert read == progress
    assert tensors.keys() == TENSORS.keys()
    assert all(
        torch.equal(tensors[name].view(torch.int32), TENSORS[name].view(torch.int32)) for name in TENSORS
    )


def test_no_state_is_a_beginning(tmp_path):
    assert state.read(tmp_path / state.FILE, KEY) == ({}, Progress())


@pytest.mark.parametrize(
    ("part", "values", "said"),
    [
        ("recipe", {"epochs": 2, "width": 4}, "recipe width 2, now 4"),
        ("data", {"highres": "abc"}, "data highres; data lowres"),
        ("origin", {"first": "456"}, "origin first"),
        ("origin", {}, "origin first"),
    ],
)
def test_a_state_of_another_recipe_other_data_or_another_beginning_is_refused(tmp_path, part, values, said):
    state.write(tmp_path / state.FILE, TENSORS, Progress(), KEY)
    with pytest.raises(UserError, match=rf"another recipe or other data \({said}\): pass --fresh"):
        state.read(tmp_path / state.FILE, KEY | {part: values})


def test_what_an_older_record_lacks_is_taken_for_the_default():
    state.check({"recipe": {"epochs": 2, "width": 2}, "data": {}}, KEY | {"data": {}, "origin": {}}, "m")
    asked = {"recipe": {"epochs": 2, "width": 2, "head": "arcface"}, "data": {}}
    state.check({"recipe": {"epochs": 2, "width": 2}, "data": {}}, asked, "m")
    with pytest.raises(UserError, match="recipe head 'arcface', now 'cosface'"):
        state.check({"recipe": {}, "data": {}}, {"recipe": {"head": "cosface"}, "data": {}}, "m")


def test_a_broken_state_says_how_to_begin_anew(tmp_path):
    (tmp_path / state.FILE).write_bytes(b"broken")
    with pytest.raises(UserError, match=r"cannot resume from .*train_state.safetensors.*--fresh"):
        state.read(tmp_path / state.FILE, KEY)
