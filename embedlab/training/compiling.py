"""Compiling a network's forward and backward pass, where the machine can."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from embedlab.errors import first_line
from embedlab.progress import say

BACKEND = "inductor"
COMPILERS = ("g++", "clang++", "c++")


def compiled(network: Callable[..., Tensor], device: str, *, alone: bool = True) -> Callable[..., Tensor]:
    """Compile a network with ``torch.compile``; where that cannot be, say why and give it as it is.

    The compiler runs at the first call; if it fails there, the network goes on uncompiled. On a card whose
    process trains ``alone`` the kernels are recorded and played back as CUDA graphs, because a step of narrow
    layers waits for launches; what a call gives is then good until the next call.
    """
    if missing := _missing(device):
        say(f"  not compiled: {missing}")
        return network
    graphs = alone and device.startswith("cuda") and BACKEND == "inductor"
    made = torch.compile(network, backend=BACKEND, mode="reduce-overhead" if graphs else None)
    sound = True

    def call(x: Tensor) -> Tensor:
        nonlocal sound
        if sound:
            try:
                if graphs:
                    torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
                return made(x)
            except (torch._dynamo.exc.TorchDynamoException, torch._inductor.exc.InductorError) as error:
                sound = False
                say(f"  not compiled: {first_line(error)}")
        return network(x)

    return call


def _missing(device: str) -> str | None:
    """Say what the compiler would need and this machine lacks; None if nothing."""
    if BACKEND != "inductor":
        return None
    if device == "cuda" and find_spec("triton") is None:
        return "triton is not installed, which compiles for CUDA"
    if device == "cpu" and not any(map(shutil.which, COMPILERS)):
        return f"no C++ compiler is installed ({', '.join(COMPILERS)})"
    return None
