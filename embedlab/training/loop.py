"""Train one model: recipe and images in, checkpoint out, resumable at any moment."""

import math
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import embedlab
from embedlab import compute
from embedlab.data.datasets import Dataset
from embedlab.errors import UserError
from embedlab.networks import checkpoints
from embedlab.networks.backbones import IRSE18, memory_format
from embedlab.networks.checkpoints import Record
from embedlab.networks.embedder import Preprocessing
from embedlab.networks.heads import ArcFace
from embedlab.progress import say, track
from embedlab.protocols import PairList
from embedlab.store import Lab
from embedlab.training import images as training_images
from embedlab.training import state, validation
from embedlab.training.images import Images
from embedlab.training.recipe import Recipe
from embedlab.training.state import Learner, Progress
from embedlab.training.validation import Validation

LOSSES_HELD = 32
"""Steps between two looks at the losses; each look makes an accelerator wait."""


def train(
    lab: Lab,
    name: str,
    recipe: Recipe,
    data: Sequence[Dataset],
    validating: tuple[Dataset, PairList] | None = None,
    *,
    fresh: bool = False,
    strict: bool = False,
) -> Path:
    """Train a model, or go on with a training that was stopped, or do nothing if it is done.

    Parameters
    ----------
    lab
        Where the checkpoint goes.
    name
        The model's name.
    recipe
        How it is trained.
    data
        What it is trained on.
    validating
        Images and pairs of other people, for the pair accuracy after each epoch.
    fresh
        Begin anew, whatever the lab holds of this model.
    strict
        Stop at unreadable images instead of leaving them out.

    Returns
    -------
    Path
        The folder of the checkpoint.

    Raises
    ------
    UserError
        If the lab holds this model trained by another recipe or on other data, the data are too few,
        or the loss stops being finite.
    """
    folder = lab.checkpoint(name)
    state_path = folder / state.FILE
    key = {"recipe": asdict(recipe), "data": {dataset.name: dataset.fingerprint for dataset in data}}
    if fresh:
        state_path.unlink(missing_ok=True)
    elif _is_finished(lab, name, key):
        state_path.unlink(missing_ok=True)
        return folder

    begun = time.monotonic()
    device = compute.device()
    preprocessing = Preprocessing(recipe.input_size)
    images = training_images.read(data, preprocessing, device, strict=strict)
    held_out = validation.prepared(*validating, preprocessing) if validating else None
    # Weights and dropout draw from torch's own generator; outside it is left as it was.
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        learner = _learner(recipe, len(images.identities), device)
        progress = state.read(state_path, learner, key)
        say(
            f"{name}: {len(images):,} images of {len(images.identities):,} people, "
            f"{recipe.epochs} epochs on {compute.describe()}"
            + (f", resumed in epoch {progress.epoch + 1}" if progress.images else "")
        )
        progress.seconds += time.monotonic() - begun
        labels = images.labels.to(device)
        run = _Run(name, recipe, images, labels, held_out, device, learner, progress, key, state_path)
        while progress.epoch < recipe.epochs:
            run.epoch()
    record = _record(name, recipe, key["data"], images, progress, preprocessing)
    checkpoints.save(lab, learner.network, record)
    state_path.unlink(missing_ok=True)
    return folder


def _is_finished(lab: Lab, name: str, key: dict[str, Any]) -> bool:
    if name not in lab.trained():
        return False
    record = checkpoints.read_record(lab, name)
    try:
        state.check({"recipe": record.recipe, "data": record.data}, key, f"the model {name} in {lab.root}")
    except UserError:
        if (lab.checkpoint(name) / state.FILE).exists():
            # It may be this recipe's own; reading it tells.
            return False
        raise
    checkpoints.load(lab, name)
    return True


def _learner(recipe: Recipe, classes: int, device: str) -> Learner:
    torch.manual_seed(_derived(recipe.seed))
    network = IRSE18(recipe.input_size, recipe.width, recipe.dimension, recipe.dropout)
    head = ArcFace(recipe.dimension, classes, recipe.scale, recipe.margin, easy_margin=recipe.easy_margin).to(
        device
    )
    network = network.to(device)
    network = network.to(memory_format=memory_format(recipe.width, device))  # type: ignore[call-overload]
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.SGD(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        fused=True,
    )
    return Learner(network.train(), head, optimiser)


def _derived(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Give the rate of a step: a linear rise, then half a cosine down to zero.

    Parameters
    ----------
    recipe
        Holds the highest rate and the epochs of the rise.
    step
        Number of the step over all epochs, from 0.
    steps
        Steps an epoch.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    """
    total = recipe.epochs * steps
    rise = min(recipe.warmup_epochs * steps, total)
    if step < rise:
        return recipe.learning_rate * min(1.0, (step + 1) / rise)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))


@dataclass
class _Run:
    """One training: what it learns from and how far it is."""

    name: str
    recipe: Recipe
    images: Images
    labels: torch.Tensor
    held_out: Validation | None
    device: str
    learner: Learner
    progress: Progress
    key: dict[str, Any]
    state_path: Path

    @property
    def shown(self) -> int:
        """Images an epoch, before they are cut to whole batches."""
        return min(self.recipe.epoch_images or len(self.images), len(self.images))

    @property
    def batch(self) -> int:
        return min(self.recipe.batch, self.shown)

    @property
    def steps(self) -> int:
        return self.shown // self.batch

    def epoch(self) -> None:
        """Take the epoch's steps that are left, measure, and write the state."""
        progress, recipe = self.progress, self.recipe
        epoch = progress.epoch
        said = f"{self.name}, epoch {epoch + 1} of {recipe.epochs}"
        batches = _batches(recipe, len(self.images), self.batch, epoch, progress.step, self.steps)
        losses: list[torch.Tensor] = []
        clock = time.monotonic()
        for chosen, mirrored in track(batches, said, self.steps - progress.step):
            losses.append(self.take_step(chosen, mirrored))
            progress.step += 1
            progress.images += self.batch
            saving = (
                recipe.state_every > 0
                and progress.step % recipe.state_every == 0
                and progress.step < self.steps
            )
            if len(losses) == LOSSES_HELD or saving or progress.step == self.steps:
                self.settle(losses)
                losses.clear()
                progress.spend(time.monotonic() - clock, steps=True)
                clock = time.monotonic()
            if saving:
                state.write(self.state_path, self.learner, progress, self.key)
        self.measure(said)
        progress.epoch, progress.step = epoch + 1, 0
        progress.loss_sum, progress.epoch_seconds = 0.0, 0.0
        state.write(self.state_path, self.learner, progress, self.key)

    def rate(self, step: int) -> float:
        return learning_rate(self.recipe, self.progress.epoch * self.steps + step, self.steps)

    def take_step(self, chosen: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
        """Learn from one batch; give its loss without waiting for it."""
        learner, recipe, device = self.learner, self.recipe, self.device
        torch.manual_seed(_derived(recipe.seed, self.progress.epoch, self.progress.step))
        x = self.images.batch(chosen, mirrored)
        x = x.contiguous(memory_format=memory_format(recipe.width, device))
        labels = self.labels[chosen.to(device)]
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = nn.functional.cross_entropy(learner.head(learner.network(x), labels), labels)
        learner.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip:
            parameters = [*learner.network.parameters(), *learner.head.parameters()]
            nn.utils.clip_grad_norm_(parameters, recipe.clip)
        for group in learner.optimiser.param_groups:
            group["lr"] = self.rate(self.progress.step)
        learner.optimiser.step()
        return loss.detach()

    def settle(self, losses: list[torch.Tensor]) -> None:
        """Add the losses of the last steps to the epoch's, or stop if one is not finite."""
        for back, loss in enumerate(torch.stack(losses).tolist()):
            if not math.isfinite(loss):
                step = self.progress.step - len(losses) + back + 1
                raise UserError(
                    f"{self.name}: the loss is {loss} at step {step} of epoch {self.progress.epoch + 1}: "
                    f"lower learning_rate (now {self.recipe.learning_rate:g}), raise warmup_epochs "
                    f"(now {self.recipe.warmup_epochs:g}), or set clip = 5, and train with --fresh"
                )
            self.progress.loss_sum += loss

    def measure(self, said: str) -> None:
        """Measure the pair accuracies, and enter the epoch into the history."""
        progress = self.progress
        begun = time.monotonic()
        measured = self.held_out.accuracies(self.learner.network, self.device) if self.held_out else {}
        progress.spend(time.monotonic() - begun)
        loss = progress.loss_sum / self.steps
        progress.history.append(
            {
                "epoch": progress.epoch + 1,
                "loss": loss,
                **measured,
                **({"pair_chance": self.held_out.chance} if self.held_out else {}),
                "learning_rate": self.rate(self.steps - 1),
                "seconds": progress.epoch_seconds,
            }
        )
        figures = [f"loss {loss:.3f}"]
        figures += [f"{what.replace('_', ' ')} {value:.3f}" for what, value in measured.items()]
        say(f"  {said}: {', '.join(figures)}, {progress.images_per_second:,.0f} images/s")


def _batches(
    recipe: Recipe, images: int, batch: int, epoch: int, start: int, stop: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Draw the epoch's order and mirroring, and give its batches from step ``start`` to ``stop``."""
    draw = np.random.default_rng((recipe.seed, epoch))
    order = torch.from_numpy(draw.permutation(images))
    mirrored = torch.from_numpy((draw.random(images) < 0.5) & recipe.flip)
    for step in range(start, stop):
        here = slice(step * batch, (step + 1) * batch)
        yield order[here], mirrored[here]


def _record(
    name: str,
    recipe: Recipe,
    data: dict[str, str],
    images: Images,
    progress: Progress,
    preprocessing: Preprocessing,
) -> Record:
    last = progress.history[-1]
    return Record(
        name=name,
        recipe=asdict(recipe),
        preprocessing=preprocessing,
        data=data,
        identities=len(images.identities),
        identities_sha256=images.identities_sha256,
        images=len(images),
        unreadable=list(images.unreadable),
        history=progress.history,
        metrics={what: value for what, value in last.items() if what == "loss" or "accuracy" in what},
        seed=recipe.seed,
        device=compute.describe(),
        images_per_second=progress.images_per_second,
        seconds=progress.seconds,
        versions={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "embedlab": embedlab.__version__,
        },
    )
