"""Train one model: recipe and images in, checkpoint out, resumable at any moment."""

import platform
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch

import embedlab
from embedlab import compute
from embedlab.data.datasets import Dataset
from embedlab.errors import UserError
from embedlab.estimates import counted
from embedlab.formats.protocols import PairList
from embedlab.lab.store import Lab, locked, sweep
from embedlab.networks import checkpoints
from embedlab.networks.checkpoints import Record
from embedlab.networks.embedder import Preprocessing
from embedlab.progress import say
from embedlab.ranks import Ranks, agreed, companions, from_first, joined
from embedlab.training import distributed, faults, learner, state, validation
from embedlab.training import images as training_images
from embedlab.training.distributed import Slice
from embedlab.training.images import Images
from embedlab.training.learner import Learner
from embedlab.training.recipe import Recipe
from embedlab.training.sampling import Epoch
from embedlab.training.state import Progress
from embedlab.training.steps import Run


def train(
    lab: Lab,
    name: str,
    recipe: Recipe,
    data: Sequence[Dataset],
    validating: tuple[Dataset, PairList] | None = None,
    *,
    fresh: bool = False,
    strict: bool = False,
    told: str = "",
) -> Path:
    """Train a model, or go on with a training that was stopped, or do nothing if it is done.

    Under ``torchrun`` the processes train it together, each on its share of every batch; the first one
    writes and speaks. Apart from them one process at a time trains a model in a lab; another one waits,
    and then has what that one made or goes on with it. SIGTERM and Ctrl-C end the training at the end of
    a step, with a state to go on from.

    Parameters
    ----------
    lab
        Where the checkpoint goes, and where the models lie that training begins from.
    name
        The model's name.
    recipe
        How it is trained.
    data
        What it is trained on.
    validating
        Images and pairs of other people, to measure how well they are told apart.
    fresh
        Begin anew, whatever the lab holds of this model.
    strict
        Stop at unreadable images instead of leaving them out.
    told
        What else is said where the training begins, such as its scale.

    Returns
    -------
    Path
        The folder of the checkpoint.

    Raises
    ------
    UserError
        If the lab holds this model trained by another recipe, from other models or on other data, or
        vectors from elsewhere under its name, the
        data are too few, a model to begin from is missing or does not fit, the loss stops being finite,
        or memory or disk do not suffice.
    Terminated
        After SIGTERM.
    """
    with joined() as ranks, companions(ranks):
        # In a frame of its own: the group of processes can end only where nothing holds the network.
        _train(lab, name, recipe, data, validating, fresh, strict, told, ranks)
    return lab.checkpoint(name)


def _train(
    lab: Lab,
    name: str,
    recipe: Recipe,
    data: Sequence[Dataset],
    validating: tuple[Dataset, PairList] | None,
    fresh: bool,
    strict: bool,
    told: str,
    ranks: Ranks,
) -> None:
    device = compute.device()
    with ExitStack() as stack:
        # Weights and dropout draw from torch's own generator; outside it is left as it was.
        cards = [torch.cuda.current_device()] if device == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=cards))
        begun = monotonic()
        with agreed(ranks):
            lab.refuse_strangers(name)
            key = _key(lab, name, recipe, data, validating)
            kept = lab.checkpoint(name) / state.FILE
            done = not fresh and not kept.exists() and _is_finished(lab, name, key)
        if from_first(done, ranks):
            return
        with agreed(ranks):
            if ranks.leads:
                stack.enter_context(locked(lab.checkpoint(name), f"training {name}"))
        with agreed(ranks):
            # Whoever held the lock may have finished it.
            done = not fresh and _is_finished(lab, name, key)
            if (done or fresh) and ranks.leads:
                kept.unlink(missing_ok=True)
            if done:
                return
            preprocessing = learner.contract(lab, recipe)
            images = training_images.read(data, preprocessing, device, strict=strict)
            # Told before anything long begins where a batch cannot be shared out.
            Epoch(recipe, images.labels.numpy(), 0).plan(0).shard(ranks.rank, ranks.world)
            held_out = validation.prepared(*validating, preprocessing) if validating else None
        here = Slice(ranks.world)
        learns, progress = _begun(lab, name, recipe, images, key, device, ranks, here)
        say(
            f"{name}: {len(images):,} images of {len(images.identities):,} people, "
            f"{counted(recipe.epochs, 'epoch')}, {_network(recipe)}, head {recipe.head} on "
            f"{compute.describe()}"
            + (f"; {told}" if told else "")
            + (f" in {ranks.world} processes" if ranks.world > 1 else "")
            + (f", resumed in epoch {progress.epoch + 1}" if progress.images else "")
        )
        progress.seconds += monotonic() - begun
        run = Run(
            name, recipe, images, held_out, device, learns, progress, key, lab.checkpoint(name), ranks, here
        )
        run.train()
        with agreed(ranks), faults.writing(lab.checkpoint(name)):
            if ranks.leads:
                record = _record(name, recipe, key, images, progress, preprocessing, ranks)
                record = replace(record, seen=learner.seen(lab, recipe, data))
                checkpoints.save(lab, learns.network, record)
                kept.unlink(missing_ok=True)


def _key(
    lab: Lab,
    name: str,
    recipe: Recipe,
    data: Sequence[Dataset],
    validating: tuple[Dataset, PairList] | None,
) -> dict[str, Any]:
    """Say what is trained, on what and from what, for a state or checkpoint to be compared with."""
    if name in recipe.models:
        raise UserError(
            f"{name} cannot be trained from itself: give the new model another name, or the recipe another "
            "model to begin from"
        )
    if recipe.schedule == "plateau" and validating is None:
        raise UserError(
            'schedule = "plateau" lowers the rate when validation stalls, and there are no pairs to validate '
            "on: give some, or choose another schedule"
        )
    return {
        "recipe": asdict(recipe),
        "data": {dataset.name: dataset.fingerprint for dataset in data},
        "origin": learner.origin(lab, recipe),
    }


def _is_finished(lab: Lab, name: str, key: dict[str, Any]) -> bool:
    """Tell whether the lab has this very model; refuse to overwrite another."""
    if name not in lab.trained():
        return False
    sweep(lab.checkpoint(name))
    record = checkpoints.read_record(lab, name)
    trained = {"recipe": record.recipe, "data": record.data, "origin": record.origin}
    try:
        state.check(trained, key, f"the model {name} in {lab.root}")
    except UserError:
        if (lab.checkpoint(name) / state.FILE).exists():
            # It may be this recipe's own; reading it tells.
            return False
        raise
    checkpoints.load(lab, name)
    return True


def _begun(
    lab: Lab,
    name: str,
    recipe: Recipe,
    images: Images,
    key: dict[str, Any],
    device: str,
    ranks: Ranks,
    here: Slice,
) -> tuple[Learner, Progress]:
    """Make what learns, and bring it to where an earlier try ended."""
    path = lab.checkpoint(name) / state.FILE
    with agreed(ranks):
        learns = learner.make(lab, recipe, len(images.identities), device)
        tensors, progress = state.read(path, key)
        if tensors:
            try:
                learns.restore(tensors)
            except (RuntimeError, ValueError) as error:
                raise state.unreadable(path, error) from None
    if distributed.highest(progress.images, ranks) != -distributed.highest(-progress.images, ranks):
        raise UserError(
            f"the processes see different states in {lab.root}: it must be one folder that all machines share"
        )
    return learner.readied(learns, recipe, device, ranks, here), progress


def _network(recipe: Recipe) -> str:
    return f"parts {recipe.parts}" if recipe.parts else f"{recipe.backbone} of width {recipe.width}"


def _record(
    name: str,
    recipe: Recipe,
    key: dict[str, Any],
    images: Images,
    progress: Progress,
    preprocessing: Preprocessing,
    ranks: Ranks,
) -> Record:
    last = progress.history[-1]
    described = compute.describe() + (f", {ranks.world} processes" if ranks.world > 1 else "")
    return Record(
        name=name,
        recipe=asdict(recipe),
        preprocessing=preprocessing,
        data=key["data"],
        origin=key["origin"],
        identities=len(images.identities),
        identities_sha256=images.identities_sha256,
        images=len(images),
        unreadable=list(images.unreadable),
        history=progress.history,
        metrics={what: value for what, value in last.items() if what == "loss" or "accuracy" in what},
        seed=recipe.seed,
        device=described,
        images_per_second=progress.images_per_second,
        seconds=progress.seconds,
        versions={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "embedlab": embedlab.__version__,
        },
    )
