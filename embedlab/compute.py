"""Which device does the heavy arithmetic.

The choice is made once, by the command line's ``--device`` or by ``choose`` in a notebook, and read
by training, extraction and the hot kernels. Analyses cannot see it, so it is no part of a result's key.
"""

import os
import sys
from functools import cache
from importlib.metadata import version

from embedlab.errors import UserError

CHOICES = ("auto", "cpu", "cuda", "mps")

_choice = "auto"


def choose(choice: str) -> None:
    """Set the device for this process.

    Parameters
    ----------
    choice
        ``auto`` takes CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    UserError
        If there is no such device name, or the machine lacks the device.
    """
    global _choice
    if choice not in CHOICES:
        raise UserError(f"unknown device {choice!r}: choose one of {', '.join(CHOICES)}")
    if choice in ("cuda", "mps") and choice not in available():
        raise UserError(
            f"device {choice!r} is not available here: use --device auto, or one of {', '.join(available())}"
        )
    _choice = choice


def available() -> tuple[str, ...]:
    """Name the devices this machine has, best first; the CPU is always there."""
    try:
        if _for_cpus_alone():
            return ("cpu",)
        import torch
    except ModuleNotFoundError:
        # Analyses of stored vectors need none.
        return ("cpu",)
    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return (*found, "cpu")


@cache
def _for_cpus_alone() -> bool:
    """Whether torch's build says that it knows no card: loading it to ask takes a second."""
    return sys.platform != "darwin" and version("torch").endswith("+cpu")


def device() -> str:
    """Name the device that was chosen, with ``auto`` resolved."""
    return available()[0] if _choice == "auto" else _choice


def describe() -> str:
    """Name the device as a person would: the card's name, or the CPU with its threads."""
    if device() == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    return f"{device()}, {threads()} thread{'' if threads() == 1 else 's'}"


def threads() -> int:
    """Count the threads that the processor's arithmetic is spread over."""
    if (torch := sys.modules.get("torch")) is None:
        from threadpoolctl import threadpool_info

        return max((pool["num_threads"] for pool in threadpool_info()), default=1)
    return int(torch.get_num_threads())


WITHOUT_BFLOAT16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
"""What ``ONEDNN_MAX_CPU_ISA`` may hold oneDNN, which torch convolves by, to."""


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32: AVX-512's twice, AMX more.

    ``ONEDNN_MAX_CPU_ISA=AVX512_CORE`` has oneDNN do without either.
    """
    import torch

    most = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    asked = [getattr(torch.cpu, f"_is_{name}_supported", bool) for name in ("avx512_bf16", "amx_tile")]
    return most.upper() not in WITHOUT_BFLOAT16 and any(one() for one in asked)


KEPT = 1 << 30
"""Bytes that the C library keeps of what was freed; blocks above `SHARED` go back to the system at once."""

SHARED = 32 << 20
"""The most that glibc takes for the size below which blocks come from memory that it keeps."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_memory() -> None:
    """Have feature maps written to memory that the process holds already, instead of asking for it anew.

    torch gives each layer's output back to the C library, and glibc gives it back to the system, which clears
    the pages that the next layer gets: a fifth of a small network's time on the CPU. Other C libraries are
    left as they are.

    References
    ----------
    mallopt(3), ``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD``.
    """
    if sys.platform == "linux":
        import ctypes

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, SHARED)
            mallopt(_TRIM_THRESHOLD, KEPT)
