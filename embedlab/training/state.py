"""The resumable state of a training run: written whole or not at all, between two steps.

No state of a random generator is in it: every draw is derived from (seed, epoch, step), so that a run
that was killed and resumed draws what an unbroken one does, with as many processes or with others.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from embedlab.errors import UserError, first_line
from embedlab.lab.store import atomic_file
from embedlab.training.recipe import Recipe

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
    validations
        What was measured within this epoch.
    best, stalled, divisions
        Of the schedule ``plateau``: the best accuracy, the validations since, and how often the rate
        was divided.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    epoch_seconds: float = 0.0
    step_seconds: float = 0.0
    seconds: float = 0.0
    images: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)
    best: float = 0.0
    stalled: int = 0
    divisions: int = 0

    @property
    def images_per_second(self) -> float:
        """Images through forward, backward and step, a second."""
        return self.images / max(self.step_seconds, 1e-9)

    def spend(self, seconds: float, *, steps: bool = False) -> None:
        """Count time, in steps or beside them."""
        self.seconds += seconds
        self.epoch_seconds += seconds
        self.step_seconds += seconds * steps


def write(path: Path, tensors: dict[str, Tensor], progress: Progress, key: dict[str, Any]) -> None:
    """Write the state.

    Parameters
    ----------
    path
        The file; what was there stays until the new one is whole.
    tensors
        What ``Learner.tensors`` gave.
    progress
        How far the run is.
    key
        What is trained, from what and on what; it must agree on reading.
    """
    from safetensors.torch import save_file

    note = {"progress": asdict(progress), "key": key}
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata={"embedlab": json.dumps(note)})


def read(path: Path, key: dict[str, Any]) -> tuple[dict[str, Tensor], Progress]:
    """Read a state; no tensors and no progress where there is none.

    Raises
    ------
    UserError
        If the state is of another recipe or other data, or cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return {}, Progress()
    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {})["embedlab"])
            check(note["key"], key, f"the training to resume in {path.parent}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, Progress(**note["progress"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> UserError:
    """Put into words that a state cannot be used."""
    return UserError(f"cannot resume from {path} ({first_line(error)}): pass --fresh to begin anew")


def check(stored: dict[str, Any], key: dict[str, Any], what: str) -> None:
    """Compare what a state or checkpoint was trained by with what is asked for now.

    Raises
    ------
    UserError
        If recipe, data or the models it began from differ; the message says where.
    """
    changes = []
    for part in ("recipe", "data", "origin"):
        before, now = stored.get(part, {}), key.get(part, {})
        for name in sorted(set(before) | set(now)):
            was, is_now = _value(part, before, name), _value(part, now, name)
            if was != is_now:
                values = f" {was!r}, now {is_now!r}" if part == "recipe" else ""
                changes.append(f"{part} {name}{values}")
    if changes:
        shown = "; ".join(changes[:3]) + ("; …" if len(changes) > 3 else "")
        raise UserError(f"{what} had another recipe or other data ({shown}): pass --fresh to begin anew")


def _value(part: str, values: dict[str, Any], name: str) -> Any:
    # A record of before a parameter existed was trained by what is now its default.
    default = getattr(Recipe, name, None) if part == "recipe" else None
    return values.get(name, default)
