"""Compiling changes no vector, and where it cannot be the reason is said."""

import pytest
import torch
from torch import nn

from embedlab import progress
from embedlab.training import compiling


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.PReLU(), nn.Linear(8, 2))


def test_a_compiled_network_gives_the_same_vectors_and_gradients(monkeypatch):
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    plain, made = network(), network()
    call, x = compiling.compiled(made, "cpu"), torch.linspace(-1, 1, 12).reshape(3, 4)
    torch.testing.assert_close(call(x), plain(x))
    call(x).sum().backward()
    plain(x).sum().backward()
    torch.testing.assert_close(made[0].weight.grad, plain[0].weight.grad)
    torch._dynamo.reset()


def test_a_machine_without_a_compiler_goes_on_uncompiled(monkeypatch, capsys):
    monkeypatch.setattr(compiling.shutil, "which", lambda _: None)
    made = network()
    with progress.shown():
        assert compiling.compiled(made, "cpu") is made
    assert "not compiled: no C++ compiler is installed (g++" in capsys.readouterr().err
    monkeypatch.setattr(compiling, "find_spec", lambda _: None)
    with progress.shown():
        assert compiling.compiled(made, "cuda") is made
    assert "not compiled: triton is not installed" in capsys.readouterr().err


def test_a_compiler_that_fails_is_said_once(monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("no header")

    monkeypatch.setattr(compiling, "BACKEND", broken)
    made, x = network(), torch.ones(2, 4)
    with progress.shown():
        call = compiling.compiled(made, "cpu")
        for _ in range(2):
            assert torch.equal(call(x), made(x))
    assert capsys.readouterr().err.count("not compiled: ") == 1
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("device", "alone", "mode"),
    [("cuda", True, "reduce-overhead"), ("cuda", False, None), ("cpu", True, None)],
)
def test_a_card_s_kernels_are_played_back_where_one_process_trains(monkeypatch, device, alone, mode):
    asked, begun = [], []
    monkeypatch.setattr(compiling.torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(1))
    monkeypatch.setattr(compiling, "find_spec", lambda _: True)
    monkeypatch.setattr(compiling.shutil, "which", lambda _: "c++")
    monkeypatch.setattr(
        compiling.torch, "compile", lambda network, **options: asked.append(options["mode"]) or network
    )
    made, x = network(), torch.ones(2, 4)
    assert torch.equal(compiling.compiled(made, device, alone=alone)(x), made(x))
    assert asked == [mode]
    assert bool(begun) == (mode is not None)
