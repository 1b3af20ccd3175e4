"""The resumable state of a training run: written whole or not at all, between two steps.

No state of a random generator is in it: every draw is derived from (seed, epoch, step), so that a run
that was killed and resumed draws what an unbroken one does.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from embedlab.errors import UserError, first_line
from embedlab.networks.backbones import IRSE18
from embedlab.store import atomic_file

FILE = "train_state.safetensors"


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    epoch, step
        The next step to take, both from 0.
    loss_sum
        Sum of the losses of the steps taken in this epoch.
    epoch_seconds, step_seconds, seconds
        Time spent in this epoch; in steps, over all epochs; and in all.
    images
        Images shown so far.
    history
        What was measured after each whole epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    epoch_seconds: float = 0.0
    step_seconds: float = 0.0
    seconds: float = 0.0
    images: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def images_per_second(self) -> float:
        """Images through forward, backward and step, a second."""
        return self.images / max(self.step_seconds, 1e-9)

    def spend(self, seconds: float, *, steps: bool = False) -> None:
        """Count time, in steps or beside them."""
        self.seconds += seconds
        self.epoch_seconds += seconds
        self.step_seconds += seconds * steps


@dataclass(frozen=True)
class Learner:
    """Everything that a step changes."""

    network: IRSE18
    head: nn.Module
    optimiser: torch.optim.Optimizer

    def _named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        parts: dict[str, nn.Module] = {"network": self.network, "head": self.head}
        for part, module in parts.items():
            for name, parameter in module.named_parameters():
                yield f"{part}.{name}", parameter

    def tensors(self) -> dict[str, Tensor]:
        """Name the tensors of backbone, head and momentum."""
        found = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        found |= {f"head.{name}": value for name, value in self.head.state_dict().items()}
        for name, parameter in self._named_parameters():
            momentum = self.optimiser.state[parameter].get("momentum_buffer")
            if momentum is not None:
                found[f"momentum.{name}"] = momentum
        return {name: value.detach().cpu().contiguous() for name, value in found.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take the tensors that ``tensors`` gave."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "head": {}, "momentum": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.network.load_state_dict(parts["network"])
        self.head.load_state_dict(parts["head"])
        for name, parameter in self._named_parameters():
            if name in parts["momentum"]:
                # Laid out as the parameter is, because the fused step walks both in step.
                buffer = torch.empty_like(parameter).copy_(parts["momentum"][name])
                self.optimiser.state[parameter]["momentum_buffer"] = buffer.detach()


def write(path: Path, learner: Learner, progress: Progress, key: dict[str, Any]) -> None:
    """Write the state; ``key`` says what is trained on what, and must agree on reading."""
    from safetensors.torch import save_file

    note = {"progress": asdict(progress), "key": key}
    with atomic_file(path) as temporary:
        save_file(learner.tensors(), temporary, metadata={"embedlab": json.dumps(note)})


def read(path: Path, learner: Learner, key: dict[str, Any]) -> Progress:
    """Restore a run, or begin one where there is no state.

    Raises
    ------
    UserError
        If the state is of another recipe or other data, or cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return Progress()
    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {})["embedlab"])
            check(note["key"], key, f"the training to resume in {path.parent}")
            learner.restore({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        return Progress(**note["progress"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"cannot resume from {path} ({first_line(error)}): pass --fresh to begin anew"
        ) from None


def check(stored: dict[str, Any], key: dict[str, Any], what: str) -> None:
    """Compare what a state or checkpoint was trained by with what is asked for now.

    Raises
    ------
    UserError
        If recipe or data differ; the message says where.
    """
    changes = []
    for part in ("recipe", "data"):
        before, now = stored[part], key[part]
        for name in sorted(set(before) | set(now)):
            if before.get(name) != now.get(name):
                values = "" if part == "data" else f" {before.get(name)!r}, now {now.get(name)!r}"
                changes.append(f"{part} {name}{values}")
    if changes:
        shown = "; ".join(changes[:3]) + ("; …" if len(changes) > 3 else "")
        raise UserError(f"{what} had another recipe or other data ({shown}): pass --fresh to begin anew")
