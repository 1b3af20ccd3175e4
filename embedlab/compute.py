"""Which device does the heavy arithmetic.

The choice is made once, by the command line's ``--device`` or by ``choose`` in a notebook, and read
by training, extraction and the hot kernels. Analyses cannot see it, so it is no part of a result's key.
"""

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
    try:
        import torch
    except ModuleNotFoundError:
        from threadpoolctl import threadpool_info

        return max((pool["num_threads"] for pool in threadpool_info()), default=1)
    return torch.get_num_threads()
