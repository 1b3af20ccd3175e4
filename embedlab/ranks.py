"""Several processes that share one piece of work, as ``torchrun`` starts them.

What they say to each other goes by ``torch.distributed``.
"""

import atexit
import gc
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from embedlab import compute, shares
from embedlab.errors import UserError
from embedlab.progress import shown

T = TypeVar("T")

TIMEOUT = timedelta(hours=24)
"""How long processes that are done wait for the others."""

SAID = timedelta(seconds=5)
"""How long a process that the user must mend something for waits for the first one to say the same."""

LOST = ("connection closed", "connection reset", "broken pipe", "gloo", "nccl", "timed out")

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
                stack.enter_context(group(backend, timeout=TIMEOUT))
            except (ValueError, RuntimeError) as error:
                raise UserError(
                    f"the {ranks.world} processes cannot reach each other ({error}): start them with torchrun"
                ) from None
        if not ranks.leads:
            stack.enter_context(shown(stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))))
        try:
            yield ranks
        except UserError as error:
            if _told_by_first(str(error), ranks):
                raise SystemExit(2) from None
            raise


@contextmanager
def group(backend: str, **meeting: Any) -> Iterator[None]:
    """Be one of a group of processes while the block runs; its threads end with it.

    A thread of gloo's that lets go of a tensor while the interpreter ends aborts the process, though all
    its work was done (PyTorch issue 190489), and the threads live as long as anything holds the group.
    """
    from torch import distributed

    # The defaults of its functions are the group of when it is imported, which they would never let go.
    from torch.distributed.nn import functional  # noqa: F401

    distributed.init_process_group(backend, **meeting)
    # Let go of last, with this frame: this reference waits for the threads without keeping them from the
    # interpreter, that of a network waits and keeps them, for ever.
    held = [distributed.group.WORLD]
    try:
        yield
    except BaseException:
        # The frames that the error came through hold networks.
        atexit.register(held.clear)
        raise
    finally:
        distributed.destroy_process_group()
        # Networks of DistributedDataParallel refer to themselves.
        gc.collect()


def _told_by_first(said: str, ranks: Ranks) -> bool:
    """Tell whether the first process ends with the same words, as all do where none is at fault."""
    from torch import distributed

    store = distributed.distributed_c10d._get_default_store()
    if ranks.leads:
        store.set("embedlab/said", said)
        return False
    with suppress(RuntimeError):
        store.wait(["embedlab/said"], SAID)
        return bool(store.get("embedlab/said").decode() == said)
    return False


@contextmanager
def companions(ranks: Ranks) -> Iterator[None]:
    """End quietly where another process is gone: that one says why.

    Raises
    ------
    SystemExit
        With status 1, if the connection to the others breaks in the block.
    """
    try:
        yield
    except RuntimeError as error:
        from torch import distributed

        lost = isinstance(error, distributed.DistError) or any(word in str(error).lower() for word in LOST)
        if ranks.world == 1 or not lost:
            raise
        raise SystemExit(1) from None


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


def led(ranks: Ranks, work: Callable[[], T]) -> T | None:
    """Let the first process do some work, and the others their share of what is ``shared`` in it.

    Returns
    -------
    What the work gives; None in the other processes.

    Raises
    ------
    SystemExit
        With status 1, if another process is gone: that one says why.
    """
    if ranks.world == 1:
        return work()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not ranks.leads:
        with companions(ranks), shares.among(None, processes):
            _help(ranks)
        return None
    helpers = _Helpers(ranks)
    with shares.among(helpers, processes):
        try:
            found = work()
        except Exception:
            helpers.dismiss()
            raise
    helpers.dismiss()
    return found


class _Helpers:
    """The other processes, as the first one sees them: piece k is done by process k mod their number."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.owed: deque[int] = deque()

    def __call__(self, task: shares.Task[Any], pieces: int) -> Iterator[Any]:
        if pieces == 1:
            yield from task(range(1))
            return
        self._ask((task, pieces))
        own, world = task(range(0, pieces, self.ranks.world)), self.ranks.world
        self.owed.extend(k % world for k in range(pieces) if k % world)
        for k in range(pieces):
            yield self._next() if k % world else next(own)

    def dismiss(self) -> None:
        """Tell the others that there is nothing more to do."""
        self._ask(None)

    def _ask(self, what: tuple[shares.Task[Any], int] | None) -> None:
        # A task that failed here was not given up by the others.
        while self.owed:
            self._next()
        with companions(self.ranks):
            from_first(what, self.ranks)

    def _next(self) -> Any:
        from torch import distributed

        held = [None]
        with companions(self.ranks):
            distributed.recv_object_list(held, self.owed.popleft())
        return held[0]


def _help(ranks: Ranks) -> None:
    """Do the pieces of this process of whatever the first one asks, until it asks no more."""
    from torch import distributed

    while (asked := from_first(None, ranks)) is not None:
        task, pieces = asked
        mine = range(ranks.rank, pieces, ranks.world)
        for found in task(mine) if mine else ():
            distributed.send_object_list([found], 0)
