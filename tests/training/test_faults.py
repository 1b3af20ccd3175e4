"""Full disks, too little memory and signals end a training in words, and cost as little as can be."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict

import pytest
import torch
from safetensors import SafetensorError

from embedlab import progress
from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.networks import checkpoints
from embedlab.training import faults, state, steps, trainer
from embedlab.training.curves import Curves
from embedlab.training.recipe import Recipe


def tiny(**changes) -> Recipe:
    values = {"data": "lowres", "input_size": 16, "width": 4, "dimension": 8, "epochs": 2, "batch": 6}
    return Recipe(**(values | changes))


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path / "lab")


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        UserError("cannot write lab/x: No space left on device: choose another place"),
    ],
)
def test_a_full_disk_is_one_line_with_what_to_do(tmp_path, error):
    with (
        pytest.raises(UserError, match=r"cannot write to .*(No space|quota).*make room there, and the same"),
        faults.writing(tmp_path),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, os.strerror(errno.EROFS)),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
        SafetensorError("Error while serializing: I/O error: Read-only file system (os error 30)"),
    ],
)
def test_a_folder_that_may_not_be_written_to_is_one_line_with_what_to_do(tmp_path, error):
    with (
        pytest.raises(
            UserError, match=r"cannot write to .*(Read-only|Permission).*make it writable, and the"
        ),
        faults.writing(tmp_path),
    ):
        raise error


def test_other_errors_of_writing_stay_what_they_are(tmp_path):
    with pytest.raises(IsADirectoryError), faults.writing(tmp_path):
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    with pytest.raises(UserError, match="^another mistake$"), faults.writing(tmp_path):
        raise UserError("another mistake")


FILL = """
import resource, signal, sys, json
import torch
torch.set_num_threads(1)
from embedlab.data.datasets import open_dataset
from embedlab.errors import UserError
from embedlab.lab.store import Lab
from embedlab.training import steps, trainer
from embedlab.training.recipe import Recipe
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
take = steps.Run.take_step
def limited(self, plan):
    if self.taken == 8:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    return take(self, plan)
steps.Run.take_step = limited
try:
    trainer.train(Lab(sys.argv[1]), "m", Recipe(**json.loads(sys.argv[2])), [open_dataset(sys.argv[3])])
except UserError as error:
    print(error)
"""


def test_a_state_that_does_not_fit_on_the_disk_leaves_the_one_before(people, lab, tmp_path):
    dataset = people("lowres")
    words = [str(lab.root), json.dumps(asdict(tiny(state_every=3))), str(dataset.root)]
    ended = subprocess.run(
        [sys.executable, "-c", FILL, *words], capture_output=True, text=True, timeout=120, check=True
    )
    assert "cannot write to" in ended.stdout
    assert "make room there, and the same command goes on" in ended.stdout
    folder = lab.checkpoint("m")
    assert not list(folder.glob(".*"))
    _, kept = state.read(folder / state.FILE, trainer._key(lab, "m", tiny(state_every=3), [dataset], None))
    assert (kept.epoch, kept.step) == (1, 0)
    reference = trainer.train(Lab(tmp_path / "unbroken"), "m", tiny(state_every=3), [dataset])
    trainer.train(lab, "m", tiny(state_every=3), [dataset])
    assert (folder / "model.safetensors").read_bytes() == (reference / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("owner", "name"), [(Curves, "flush"), (checkpoints, "write_json")])
def test_a_disk_that_fills_while_curves_or_checkpoint_are_written_is_said(
    people, lab, monkeypatch, owner, name
):
    dataset = people("lowres")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(UserError, match="No space left on device.*make room"):
            trainer.train(lab, "m", tiny(), [dataset])
    assert lab.trained() == []
    trainer.train(lab, "m", tiny(), [dataset])
    assert lab.trained() == ["m"]


def short_of_memory(monkeypatch, most: int, error: BaseException) -> list[int]:
    """Let a step fail that shows more images than fit; list what was tried."""
    tried = []
    loss = steps.Run.loss

    def limited(self, plan):
        tried.append(len(plan))
        if len(plan) > most:
            raise error
        return loss(self, plan)

    monkeypatch.setattr(steps.Run, "loss", limited)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_says_which_batch_fits(people, lab, monkeypatch, error):
    tried = short_of_memory(monkeypatch, 11, error)
    with pytest.raises(
        UserError, match=r"a step of 32 images of 16 px does not fit .*; 11 do.*set batch = 11 .*--fresh"
    ):
        trainer.train(lab, "m", tiny(batch=32), [people("lowres")])
    assert tried == [32, 16, 8, 12, 10, 11]
    assert not (lab.checkpoint("m") / state.FILE).exists()


def test_a_batch_of_people_and_of_two_resolutions_stays_one(people, lab, monkeypatch):
    short_of_memory(monkeypatch, 24, MemoryError())
    with pytest.raises(UserError, match="a step of 32 images .*set batch = 12 "):
        trainer.train(lab, "m", tiny(batch=32, low="cross", per_identity=4), [people("lowres", count=8)])


def test_memory_too_small_for_two_images_is_said(people, lab, monkeypatch):
    short_of_memory(monkeypatch, 1, MemoryError())
    with pytest.raises(UserError, match="and two images do not either: lower width or input_size"):
        trainer.train(lab, "m", tiny(batch=8), [people("lowres")])


def test_any_other_error_of_a_step_is_a_bug(people, lab, monkeypatch):
    short_of_memory(monkeypatch, 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer.train(lab, "m", tiny(), [people("lowres")])


@pytest.mark.parametrize("fitting", range(2, 63))
def test_the_batch_found_fits_and_is_near_the_largest(fitting):
    found = faults.largest_batch(64, lambda batch: batch <= fitting)
    assert found <= fitting
    assert found >= 0.8 * fitting - 1


def signalled(monkeypatch, number: int, at: int) -> None:
    """Send this process a signal while a step is taken."""
    take = steps.Run.take_step

    def struck(self, plan):
        if self.taken == at:
            os.kill(os.getpid(), number)
        return take(self, plan)

    monkeypatch.setattr(steps.Run, "take_step", struck)


@pytest.mark.parametrize("at", [2, 5])
@pytest.mark.parametrize(
    ("number", "raised", "said"),
    [(signal.SIGTERM, faults.Terminated, "SIGTERM"), (signal.SIGINT, KeyboardInterrupt, "Ctrl-C")],
)
def test_a_signal_ends_the_step_and_keeps_the_state(
    people, lab, tmp_path, monkeypatch, capsys, number, raised, said, at
):
    dataset = people("lowres")
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        signalled(patch, number, at)
        with progress.shown(), pytest.raises(raised) as ended:
            trainer.train(lab, "m", tiny(), [dataset])
    assert f"m: stopped by {said} after {at + 1} steps; the state is kept in" in capsys.readouterr().err
    if raised is faults.Terminated:
        assert ended.value.code == 143
    assert signal.getsignal(number) is before
    kept = state.read(lab.checkpoint("m") / state.FILE, trainer._key(lab, "m", tiny(), [dataset], None))[1]
    assert kept.images == 6 * (at + 1)
    reference = trainer.train(Lab(tmp_path / "unbroken"), "m", tiny(), [dataset])
    folder = trainer.train(lab, "m", tiny(), [dataset])
    assert (folder / "model.safetensors").read_bytes() == (reference / "model.safetensors").read_bytes()


def test_a_second_interrupt_does_not_wait():
    with faults.Signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.asked == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_signals_stay_as_they_are():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def inside() -> None:
        with faults.Signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
