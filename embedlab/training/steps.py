"""The steps of one training: learn from batches, look at the losses, measure, keep the state."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from embedlab import compute
from embedlab.errors import UserError, is_out_of_memory
from embedlab.lab.learning import Measured
from embedlab.networks.adversary import strength
from embedlab.networks.backbones import memory_format
from embedlab.networks.octuplet import octuplet_loss
from embedlab.networks.sharpness import sharpness
from embedlab.progress import say, track
from embedlab.ranks import ALONE, Ranks, agreed, from_first
from embedlab.training import distributed, faults, state
from embedlab.training.curves import Curves
from embedlab.training.distributed import Slice
from embedlab.training.images import Images
from embedlab.training.learner import Learner, derived
from embedlab.training.recipe import Recipe
from embedlab.training.sampling import Epoch, Plan
from embedlab.training.schedule import learning_rate, watch
from embedlab.training.state import Progress
from embedlab.training.validation import Validation

LOSSES_HELD = 32
"""Steps between two looks at the losses; each look makes an accelerator wait."""


@dataclass
class Run:
    """One training: what it learns from and how far it is.

    Attributes
    ----------
    name
        The model's name.
    recipe
        How it is trained.
    images
        What it is trained on.
    held_out
        What it is measured on.
    device
        Where it learns.
    learner, progress
        What the steps change.
    key
        What is trained on what, from what.
    folder
        Where state and curves go.
    ranks
        This process among those that train together.
    here
        Which rows of the whole batch this process has.
    """

    name: str
    recipe: Recipe
    images: Images
    held_out: Validation | None
    device: str
    learner: Learner
    progress: Progress
    key: dict[str, Any]
    folder: Path
    ranks: Ranks = ALONE
    here: Slice = field(default_factory=lambda: Slice(1))
    curves: Curves | None = None
    signals: faults.Signals = field(default_factory=faults.Signals)

    def __post_init__(self) -> None:
        self.layout = memory_format(self.device)
        self.labels = self.images.labels.numpy()
        self.steps = Epoch(self.recipe, self.labels, 0).steps
        bfloat16 = {"auto": self.device == "cuda", "float32": False, "bfloat16": True}
        self.mixed = bfloat16[self.recipe.precision]
        self.clock, self.shown = monotonic(), 0

    def train(self) -> None:
        """Take the steps that are left of all epochs.

        Raises
        ------
        UserError
            If the loss stops being finite, or memory or disk do not suffice.
        Terminated
            After SIGTERM; the state is kept.
        KeyboardInterrupt
            After Ctrl-C; the state is kept.
        """
        with agreed(self.ranks), faults.writing(self.folder):
            if self.ranks.leads:
                self.curves = Curves(self.folder, step=self.taken)
        with self.signals:
            while self.progress.epoch < self.recipe.epochs:
                self.epoch()
        with agreed(self.ranks), faults.writing(self.folder):
            if self.curves:
                self.curves.close()

    @property
    def taken(self) -> int:
        """Steps taken, over all epochs."""
        return self.progress.epoch * self.steps + self.progress.step

    def epoch(self) -> None:
        """Take the epoch's steps that are left, measure, and keep the state."""
        progress, recipe = self.progress, self.recipe
        said = f"{self.name}, epoch {progress.epoch + 1} of {recipe.epochs}"
        held: list[tuple[Tensor, Tensor | None]] = []
        self.clock = monotonic()
        for plan in track(self.plans(), said, self.steps - progress.step):
            held.append(self.take_step(plan))
            progress.step += 1
            progress.images += len(plan)
            self.shown += len(plan)
            asked = distributed.highest(self.signals.asked, self.ranks)
            within = progress.step < self.steps
            saving = within and _is_due(recipe.state_every, progress.step)
            validating = within and _is_due(recipe.validate_every, progress.step)
            if len(held) == LOSSES_HELD or saving or validating or asked or not within:
                self.settle(held)
                held.clear()
            if validating and self.held_out:
                progress.validations.append({"step": progress.step, **self.measure().figures})
                self.clock = monotonic()
            # After what is due at this step, so that the run that goes on lacks nothing.
            if asked:
                self.stop(asked)
            if saving:
                self.keep()
        self.close(said)
        if asked := distributed.highest(self.signals.asked, self.ranks):
            self.stop(asked)

    def plans(self) -> Iterator[Plan]:
        """Draw the epoch's steps that are left."""
        epoch = Epoch(self.recipe, self.labels, self.progress.epoch)
        for step in range(self.progress.step, epoch.steps):
            yield epoch.plan(step)

    def rate(self, taken: int) -> float:
        """Give the learning rate after some steps."""
        return learning_rate(self.recipe, taken, self.steps, self.progress.divisions)

    def take_step(self, plan: Plan) -> tuple[Tensor, Tensor | None]:
        """Learn from one batch; give its loss and the gradient's norm without waiting for them.

        Raises
        ------
        UserError
            If memory does not suffice.
        """
        torch.manual_seed(derived(self.recipe.seed, self.progress.epoch, self.progress.step))
        try:
            return self.learn(plan)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, where the error and what it refers to are gone, is its memory free again.
        raise UserError(self.too_large(plan))

    def learn(self, plan: Plan) -> tuple[Tensor, Tensor | None]:
        """Take the step itself."""
        optimiser = self.learner.optimiser
        loss = self.loss(plan)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self.learner.clip(self.recipe.clip) if self.recipe.clip else None
        for group in optimiser.param_groups:
            group["lr"] = self.rate(self.taken)
        optimiser.step()
        return loss.detach(), norm

    def loss(self, plan: Plan) -> Tensor:
        """Show this process's share of a batch, and give its loss."""
        recipe, head = self.recipe, self.learner.head
        copies = 2 if plan.crossed else 1
        self.here.rows = distributed.rows(self.ranks, len(plan) // copies, copies)
        share = plan.shard(self.ranks.rank, self.ranks.world) if self.ranks.world > 1 else plan
        batch = self.images.batch(share, pixels=bool(head.needs_sharpness or head.needs_images))
        x = batch.x.contiguous(memory_format=self.layout)
        beside = batch.pixels
        if beside is not None:
            # The first half of a crossed step is the second at its own resolution.
            beside = beside.chunk(2)[0].repeat(2, 1, 1, 1) if head.needs_images else sharpness(beside)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.mixed):
            vectors = self.learner.embed(x)
            loss = self.learner.score(vectors, batch.labels, beside, step=self.taken)
            if recipe.octuplet:
                high, low = vectors.chunk(2)
                labels = batch.labels[: len(high)]
                loss = loss + recipe.octuplet * octuplet_loss(high, low, labels)
            if self.learner.read is not None:
                weight = recipe.adversarial * strength(self.taken / (recipe.epochs * self.steps))
                loss = loss + self.learner.read(vectors, self.images.sides(share), weight)
        return loss

    def settle(self, held: list[tuple[Tensor, Tensor | None]]) -> None:
        """Enter the losses of the last steps, or stop if one is not finite.

        Raises
        ------
        UserError
            If one is not finite; the state that was last kept stays.
        """
        progress = self.progress
        losses = distributed.mean(torch.stack([loss for loss, _ in held]), self.ranks).tolist()
        seconds = monotonic() - self.clock
        progress.spend(seconds, steps=True)
        first = progress.step - len(held)
        with agreed(self.ranks):
            for back, loss in enumerate(losses):
                if not math.isfinite(loss):
                    raise UserError(self.not_finite(loss, first + back + 1))
                progress.loss_sum += loss
        if self.curves:
            norms = [None if norm is None else float(norm) for _, norm in held]
            speed = self.shown / max(seconds, 1e-9)
            begun = progress.epoch * self.steps + first
            for back, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
                taken = begun + back
                self.curves.step(taken + 1, progress.epoch + 1, loss, self.rate(taken), speed, norm)
        self.clock, self.shown = monotonic(), 0

    def measure(self) -> Measured:
        """Measure on the held-out pairs; the first process does, and all hear of it.

        Raises
        ------
        UserError
            If the curves cannot be written.
        """
        assert self.held_out is not None
        begun = monotonic()
        measured: Measured | None = None
        with agreed(self.ranks), faults.writing(self.folder):
            if self.ranks.leads:
                measured = self.held_out.measure(self.learner.network, self.device)
                if self.curves:
                    self.curves.validated(self.taken, self.progress.epoch + 1, measured)
        measured = from_first(measured, self.ranks)
        assert measured is not None
        if watch(self.recipe, self.progress, measured.figures["pair_accuracy"]):
            say(f"  {self.name}: validation stalls, the learning rate falls to {self.rate(self.taken):g}")
        self.progress.spend(monotonic() - begun)
        return measured

    def close(self, said: str) -> None:
        """Measure after an epoch, enter it into the history, and keep the state."""
        progress = self.progress
        rate = self.rate(self.taken - 1)
        figures = self.measure().figures if self.held_out else {}
        loss = progress.loss_sum / self.steps
        progress.history.append(
            {
                "epoch": progress.epoch + 1,
                "loss": loss,
                **figures,
                **({"pair_chance": self.held_out.chance} if self.held_out else {}),
                **({"validations": progress.validations} if progress.validations else {}),
                "learning_rate": rate,
                "seconds": progress.epoch_seconds,
            }
        )
        told = [f"loss {loss:.3f}"]
        told += [f"{what.replace('_', ' ')} {value:.3f}" for what, value in figures.items()]
        say(f"  {said}: {', '.join(told)}, {progress.images_per_second:,.0f} images/s")
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.epoch_seconds, progress.validations = 0.0, 0.0, []
        self.keep()

    def keep(self) -> None:
        """Write the state, and the curves up to it; the first process does.

        Raises
        ------
        UserError
            If the disk is full; the state before stays.
        """
        tensors = self.learner.tensors()
        with agreed(self.ranks), faults.writing(self.folder):
            if self.ranks.leads:
                if self.curves:
                    self.curves.flush()
                state.write(self.folder / state.FILE, tensors, self.progress, self.key)

    def stop(self, asked: int) -> None:
        """Keep the state and end, as a signal asked.

        Raises
        ------
        Terminated
            For SIGTERM.
        KeyboardInterrupt
            For Ctrl-C.
        """
        if self.progress.epoch == self.recipe.epochs:
            return
        if self.progress.step:
            self.keep()
        say(
            f"{self.name}: stopped by {faults.spoken(asked)} after {self.taken:,} steps; the state is kept "
            f"in {self.folder}, and the same command goes on from there"
        )
        faults.obey(asked, aloud=self.ranks.leads)

    def not_finite(self, loss: float, step: int) -> str:
        """Say what to do about a loss that is no number."""
        return (
            f"{self.name}: the loss is {loss} at step {step} of epoch {self.progress.epoch + 1}: lower "
            f"learning_rate (now {self.recipe.learning_rate:g}), raise warmup_epochs "
            f"(now {self.recipe.warmup_epochs:g}), or set clip = 5, and train with --fresh"
        )

    def too_large(self, plan: Plan) -> str:
        """Say that memory ran out, and which batch would fit."""
        batch = len(plan) // (2 if plan.crossed else 1)
        said = (
            f"{self.name}: a step of {batch:,} images of {self.recipe.input_size} px does not fit into the "
            f"memory of {compute.describe()}"
        )
        if self.ranks.world > 1:
            # A trial would wait for the other processes, which may have had memory enough.
            return (
                f"{said} ({self.ranks.world} processes): try half as many with batch = {batch // 2}, --fresh"
            )
        found = faults.largest_batch(batch, self.fits, max(1, self.recipe.per_identity))
        if not found:
            return f"{said}, and two images do not either: lower width or input_size"
        return f"{said}; {found:,} do, as a trial shows: set batch = {found} and train with --fresh"

    def fits(self, batch: int) -> bool:
        """Try a step of a smaller batch, up to its gradients, and forget it."""
        optimiser = self.learner.optimiser
        optimiser.zero_grad(set_to_none=True)
        if self.device == "cuda":
            torch.cuda.empty_cache()
        try:
            # What the first step will hold beside the gradients.
            momenta = [
                torch.empty_like(parameter)
                for parameter in self.learner.parameters()
                if "momentum_buffer" not in optimiser.state[parameter]
            ]
            plan = Epoch(replace(self.recipe, batch=batch), self.labels, self.progress.epoch).plan(0)
            self.loss(plan).backward()  # type: ignore[no-untyped-call]
            del momenta
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True


def _is_due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
