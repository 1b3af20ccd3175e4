"""Several processes that share one piece of work, as ``torchrun`` starts them.

What they say to each other goes by ``torch.distributed``.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TypeVar

from embedlab import compute
from embedlab.errors import UserError
from embedlab.progress import shown

T = TypeVar("T")

TIMEOUT = timedelta(hours=24)
"""How long processes that are done wait for the others."""

_agreements = count()


@dataclass(frozen=True)
class Ranks:
    """One process among those that share the work.

    Attributes
    ----------
    rank
        Its number.
    world
        How many there are.
    local
        Its number on this machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes what is shared and speaks."""
        return self.rank == 0


ALONE = Ranks()


def from_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Read what ``torchrun`` says of this process; without it there is one process.

    Raises
    ------
    UserError
        If the variables are no whole numbers that agree.
    """
    if "WORLD_SIZE" not in environment:
        return ALONE
    words = {name: environment.get(name, "0") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    try:
        rank, world, local = (int(word) for word in words.values())
    except ValueError:
        rank, world, local = -1, 0, 0
    if not 0 <= rank < world:
        said = ", ".join(f"{name}={word}" for name, word in words.items())
        raise UserError(f"the environment says {said}: start the processes with torchrun")
    return Ranks(rank, world, local)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes while the block runs; all but the first are silent.

    On CUDA each process of a machine gets a card of its own, so that networks must be loaded inside.

    Raises
    ------
    UserError
        If the device cannot be shared by processes, a machine has fewer cards than processes, or the
        others cannot be reached.
    """
    ranks = from_environment()
    if ranks.world == 1:
        yield ranks
        return
    import torch
    from torch import distributed

    device = compute.device()
    if device not in ("cpu", "cuda"):
        raise UserError(f"several processes cannot share {device}: pass --device cpu, or use one process")
    if device == "cuda":
        if ranks.local >= torch.cuda.device_count():
            raise UserError(
                f"process {ranks.local} of this machine has no card, there are {torch.cuda.device_count()}: "
                "start one process a card"
            )
        torch.cuda.set_device(ranks.local)
    with ExitStack() as stack:
        if not distributed.is_initialized():
            # Words between the processes go by gloo even where gradients go by NCCL.
            backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
            try:
                distributed.init_process_group(backend, timeout=TIMEOUT)
            except (ValueError, RuntimeError) as error:
                raise UserError(
                    f"the {ranks.world} processes cannot reach each other ({error}): start them with torchrun"
                ) from None
            stack.callback(distributed.destroy_process_group)
        if not ranks.leads:
            stack.enter_context(shown(stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))))
        yield ranks


@contextmanager
def agreed(ranks: Ranks) -> Iterator[Callable[[], bool]]:
    """Run a block in all processes; if the user must mend something in one, all stop, and the first says so.

    The block is given a function that says whether another process has stopped already, and must not
    wait for the other processes itself. They leave the block together.

    Raises
    ------
    UserError
        In the first process, what the process of lowest number raised.
    SystemExit
        In the others, with status 2.
    """
    if ranks.world == 1:
        yield lambda: False
        return
    from torch import distributed

    store = distributed.distributed_c10d._get_default_store()
    stopped = f"embedlab/stopped/{next(_agreements)}"
    failure = ""
    try:
        yield lambda: bool(store.check([stopped]))
    except UserError as error:
        failure = str(error)
        store.set(stopped, failure)
    said: list[str] = [""] * ranks.world
    distributed.all_gather_object(said, failure)
    if first := next(filter(None, said), None):
        raise UserError(first) if ranks.leads else SystemExit(2)


def from_first(value: T, ranks: Ranks) -> T:
    """Give all processes the first one's value."""
    if ranks.world == 1:
        return value
    from torch import distributed

    held = [value]
    distributed.broadcast_object_list(held)
    return held[0]
