"""Trainings: on which data, measured on whom, in which order, and several at once."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab import compute
from embedlab.commands.request import EMBEDDED_PROBE, Request, embedded_data
from embedlab.errors import UserError
from embedlab.progress import say

if TYPE_CHECKING:
    from embedlab.data.datasets import Dataset
    from embedlab.formats.protocols import PairList
    from embedlab.training.recipe import Recipe

# Seconds one core takes to learn from one image at 144 px and full width: arithmetic, and memory
# traffic, which rules narrow networks.
ARITHMETIC_S, TRAFFIC_S = 0.5, 0.15
CUDA_CORES = 40.0
NARROW = 32
"""Width up to which a network's steps wait for launches on a card, and several fit there side by side."""
FAULTS = {
    number
    for name in ("SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE", "SIGBUS")
    if (number := getattr(signal, name, None))
}


def train(
    request: Request,
    recipe_name: str,
    overrides: Mapping[str, Any],
    *,
    name: str | None = None,
    validation: str | None = None,
    pairs: str | None = None,
) -> Path:
    """Train a recipe on the embedded data, or on data of yours.

    ``request.data`` is a folder with data sets of the names that the recipe gives, or one data set, which
    then stands for them.

    Parameters
    ----------
    request
        What is asked.
    recipe_name
        A recipe that comes with embedlab, or a TOML file.
    overrides
        Values that replace those of the recipe.
    name
        The model's name; by default the recipe's.
    validation
        A data set of other people; by default ``highres_eval`` where it lies beside the data.
    pairs
        The file of pairs among them; by default drawn.

    Raises
    ------
    UserError
        If the recipe or a parameter is unknown, a data set it needs is missing, or somebody of the
        validation is trained on.
    """
    from embedlab.training import recipe, trainer

    chosen = recipe.load(recipe_name, scale=request.scale, overrides=overrides)
    model = name or Path(recipe_name).stem
    # What cannot be done is told before faces are drawn.
    request.lab.refuse_strangers(model)
    listed = None if pairs is None else _listed(pairs, validation)
    folder = Path(request.data) if request.data is not None else embedded_data(request)
    data = _sources(chosen, recipe_name, folder)
    minutes = minutes_of(chosen, sum(len(one) for one in data))
    return trainer.train(
        request.lab,
        model,
        chosen,
        data,
        _validation(folder, data, validation, listed),
        fresh=request.fresh,
        strict=request.strict,
        told=f"{request.scale} scale, roughly {_duration(minutes)} here from the beginning",
    )


def _sources(chosen: "Recipe", recipe_name: str, folder: Path) -> "list[Dataset]":
    """Open what a recipe is trained on: data sets in a folder, or the one data set that was given."""
    from embedlab.data import sources

    found = {name: sources.find(folder, name) if folder.is_dir() else None for name in chosen.datasets}
    data = [one for one in found.values() if one is not None]
    if len(data) == len(found):
        return data
    if not data and sources.is_dataset(folder):
        one = sources.open_source(folder)
        say(f"  trained on {one.name} in place of {' and '.join(found)}")
        return [one]
    missing = next(name for name, one in found.items() if one is None)
    raise UserError(
        f"recipe {recipe_name} needs the data set {missing!r}, and {folder} has neither {missing}_ids.txt "
        f"nor {missing}.pack, {missing}.rec or a folder {missing}: add it, give one data set of your own as "
        "--data, or leave --data out to use the embedded faces"
    )


def _listed(pairs: str, validation: str | None) -> "PairList":
    from embedlab.formats import protocols

    if validation is None:
        raise UserError(f"{pairs} holds pairs of images that were not given: name them with --validation")
    return protocols.read(pairs)


def _validation(
    folder: Path, data: "Sequence[Dataset]", named: str | None, listed: "PairList | None"
) -> "tuple[Dataset, PairList] | None":
    """Open the people that training is measured on, and their pairs."""
    from embedlab.data import sources, split
    from embedlab.formats import protocols

    if named is None:
        beside = folder / f"{EMBEDDED_PROBE}_pairs.csv"
        if not beside.is_file():
            return None
        named, listed = str(folder / EMBEDDED_PROBE), protocols.read(beside)
    others = sources.open_source(named)
    for one in data:
        both = set(one.identities) & set(others.identities)
        # Two data sets may call two people the same; parts of one do not.
        related = one.name.removesuffix("_train") == others.name.removesuffix("_held")
        if both and (related or one.fingerprint == others.fingerprint):
            raise UserError(
                f"{len(both):,} people of {others.name} are trained on, such as {min(both)!r}: validate on "
                "others; `embedlab data pack --hold-out 0.2` keeps some apart"
            )
    if listed is None and sources.is_bin(named):
        listed = protocols.read(named)
    return others, listed if listed is not None else split.draw_pairs(others)


def needed(request: Request, names: Sequence[str]) -> list[list[str]]:
    """Order recipes so that whatever one starts from or fuses comes before it.

    Returns
    -------
    Groups to be trained one after the other, those within a group in any order; models that the lab
    has already are left out unless they were asked for.

    Raises
    ------
    UserError
        If a recipe needs a model that is neither trained nor a recipe.
    """
    from embedlab.training import recipe

    depth: dict[str, int] = {}

    def place(name: str, asked_by: str = "") -> int:
        if asked_by and name in request.lab.trained() and name not in names:
            return -1
        if not recipe.known(name):
            raise UserError(
                f"recipe {asked_by} needs the model {name!r}, which is neither in {request.lab.root} nor a "
                "recipe: train or import it first"
            )
        if name not in depth:
            before = recipe.load(name, scale=request.scale).models
            depth[name] = 1 + max((place(one, name) for one in before), default=-1)
        return depth[name]

    for name in names:
        place(name)
    return [[name for name in depth if depth[name] == level] for level in range(max(depth.values()) + 1)]


def train_all(request: Request, names: Sequence[str]) -> None:
    """Train several recipes and whatever they start from."""
    at_once = os.cpu_count() or 1
    for group in needed(request, names):
        for start in range(0, len(group), at_once):
            _train_group(request, group[start : start + at_once])


def _train_group(request: Request, names: Sequence[str]) -> None:
    """Train some recipes side by side, each in a process with its share of the cores.

    A narrow network gains little from a second thread and loses much when another program wants
    the core, so two networks on a core each are done well before one after the other on both. On a card
    fourteen narrow ones side by side were measured to learn from five times the images a second of one;
    wide ones keep it busy alone, and are trained one after the other.

    Raises
    ------
    UserError
        If a training fails; the others are stopped, and go on from their last state when asked again.
    """
    cores = os.cpu_count() or 1
    device = compute.device()
    alone = device == "mps" or (device == "cuda" and not all(_is_narrow(request, name) for name in names))
    if alone or min(cores, len(names)) < 2:
        for name in names:
            train(request, name, {})
        return
    threads = str(max(1, cores // len(names)))
    options = ["--lab", str(request.lab.root), "--scale", request.scale, "--device", device]
    options += ["--population", request.population]
    options += ["--fresh"] if request.fresh else []
    running: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:
        stack.callback(_end, running)
        pool = stack.enter_context(ThreadPoolExecutor(len(names)))
        stack.callback(_stop, running)
        for name in names:
            running[name] = subprocess.Popen(
                [sys.executable, "-m", "embedlab", "train", name, *options],
                env={**os.environ, "OMP_NUM_THREADS": threads},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        # A copied context lets each thread speak to whoever listens here.
        told = {pool.submit(copy_context().run, _relay, child): name for name, child in running.items()}
        for ended in as_completed(told):
            if status := running[told[ended]].wait():
                raise _failure(told[ended], status, ended.result(), options)


def _is_narrow(request: Request, name: str) -> bool:
    from embedlab.training import recipe

    chosen = recipe.load(name, scale=request.scale)
    if chosen.parts:
        # A part that is no recipe lies in the lab, and may be of any width.
        return all(recipe.known(one) and _is_narrow(request, one) for one in chosen.models)
    return chosen.width <= NARROW


def _stop(running: Mapping[str, "subprocess.Popen[str]"]) -> None:
    for child in running.values():
        child.terminate()


def _end(running: Mapping[str, "subprocess.Popen[str]"]) -> None:
    """Wait for processes that were asked to stop: they keep a state first, and none outlives this one."""
    for child in running.values():
        child.wait()
        if child.stderr is not None:
            child.stderr.close()


def _failure(name: str, status: int, last: str, options: Sequence[str]) -> Exception:
    """Put into words how the process of a training ended.

    Parameters
    ----------
    name
        What was trained.
    status
        Of the process: minus the number of the signal that ended it, as ``subprocess`` has it, or 128 and
        the number, as the process itself and shells have it.
    last
        The last line that it said.
    options
        What ``embedlab train`` was called with.
    """
    if status == 2:
        return UserError(last.removeprefix("embedlab: "))
    number = -status if status < 0 else status - 128
    if number not in set(signal.Signals):
        return RuntimeError(f"training {name} ended with status {status}: {last}")
    # With --fresh it would not go on from the state that it left.
    words = [name, *(word for word in options if word != "--fresh")]
    alone = f"`embedlab train {shlex.join(words)}`"
    word = signal.Signals(number).name
    if number in FAULTS:
        return UserError(
            f"training {name} died of {word}, a fault in a library's machine code: try it alone, with "
            f"plainer kernels: `ONEDNN_MAX_CPU_ISA=AVX2 {alone[1:]}; it goes on from its last state"
        )
    if word == "SIGKILL":
        return UserError(
            f"training {name} was ended by SIGKILL, as a system does that runs out of memory: train it alone "
            f"with {alone}, or at a smaller --scale or batch; it goes on from its last state"
        )
    return UserError(
        f"training {name} was ended by {word}: the same command goes on from its last state, and so does "
        f"{alone}"
    )


def _relay(child: "subprocess.Popen[str]") -> str:
    """Pass on what a process says, and return the last line of it."""
    line = ""
    for line in child.stderr or ():
        say(line.rstrip())
    return line.rstrip()


def rough_minutes(request: Request, chosen: "Recipe") -> float:
    """Guess how many minutes a training on the embedded faces takes on this machine."""
    from embedlab.data.synthetic import sets as synthetic

    people = synthetic.SCALES[request.scale]
    images = sum(getattr(people, name, 0) * synthetic.IMAGES.get(name, 0) for name in chosen.datasets)
    return minutes_of(chosen, images)


def minutes_of(chosen: "Recipe", images: int) -> float:
    """Guess how many minutes a recipe takes to learn from a number of images on this machine."""
    images = min(images, chosen.epoch_images or images)
    # A stem of 4 was measured to take a fifth of the time.
    area = (chosen.input_size / 144) ** 2 / chosen.stem
    seconds = (chosen.width / 64) ** 2 * area * ARITHMETIC_S + chosen.width / 64 * area * TRAFFIC_S
    speed_up = CUDA_CORES if compute.device() == "cuda" else float(os.cpu_count() or 1)
    return max(1.0, float(images * chosen.epochs * seconds / speed_up / 60))


def _duration(minutes: float) -> str:
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:,.0f} days"
