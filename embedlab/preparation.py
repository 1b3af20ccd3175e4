"""Make what a study needs and is missing, or say which command makes it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from embedlab import compute
from embedlab.errors import UserError
from embedlab.progress import say
from embedlab.store import Lab, made_name
from embedlab.study import Study, plan, probes_of

if TYPE_CHECKING:
    from embedlab.data.datasets import Dataset
    from embedlab.networks.embedder import Embedder
    from embedlab.training.recipe import Recipe

EMBEDDED_PROBE = "highres_eval"
SHRUNK = 32
FOREIGN = (".onnx", ".pth", ".pt")
VECTORS = (".parquet", ".csv", ".npy", ".npz")
# Seconds one core takes to learn from one image at 144 px and full width: arithmetic, and memory
# traffic, which rules narrow networks.
ARITHMETIC_S, TRAFFIC_S = 0.5, 0.15
CUDA_CORES = 40.0
Untrained = Literal["untrained"]
UNTRAINED: Untrained = "untrained"


@dataclass
class Stages:
    """How long each stage of a command took, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Say that a stage begins, and keep how long it took."""
        say(name)
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    def summary(self) -> str:
        """List the stages with their seconds on one line."""
        parts = [f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items()]
        return f"{', '.join(parts)}; {sum(self.seconds.values()):.1f} s in all"


@dataclass(frozen=True)
class Request:
    """What a command line asked for, beyond the study itself.

    Attributes
    ----------
    lab
        The working folder.
    data
        Folder, index file or ``.bin`` file of images; None is the embedded synthetic faces.
    scale
        Size of the embedded data and of recipes: demo, small or paper.
    train
        Whether to train known recipes that have no checkpoint.
    preprocessing
        Preset by model name for models from elsewhere; under "" the one for all.
    strict, fresh
        Whether an unreadable image is fatal; whether stored results are passed over.
    batch
        Images a batch in extraction; None lets the extractor choose.
    """

    lab: Lab
    data: str | None = None
    scale: str = "demo"
    train: bool = False
    preprocessing: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    fresh: bool = False
    batch: int | None = None


def embedded_data(request: Request) -> Path:
    """Make the synthetic faces if they are not there, and return their folder."""
    from embedlab.data import synthetic

    folder = request.lab.data
    made = synthetic.make(folder, scale=request.scale, device=compute.device())
    if not made.cached:
        say(f"  drew synthetic faces ({request.scale} scale) into {folder} in {made.seconds:.1f} s")
    return folder


def given_data(request: Request) -> "Dataset | None":
    """Open the data set that the command named; None if it named none."""
    from embedlab.data.binned import open_bin
    from embedlab.data.datasets import open_dataset

    if request.data is None:
        return None
    dataset = open_bin(request.data) if is_bin(request.data) else open_dataset(request.data)
    if dataset.caution:
        say(f"  caution: {dataset.caution}")
    if dataset.ignored:
        say(f"  {dataset.ignored:,} files of {request.data} are no images of a person and were passed over")
    return dataset


def is_bin(path: str) -> bool:
    """Say whether a path names an InsightFace file of images and their pairs."""
    return Path(path).suffix.lower() == ".bin"


def embedded_dataset(request: Request, name: str) -> "Dataset":
    """Open one of the embedded data sets, drawing them if needed.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    from embedlab.data.datasets import open_dataset

    folder = embedded_data(request)
    known = sorted(path.name.removesuffix("_ids.txt") for path in folder.glob("*_ids.txt"))
    if name not in known:
        raise UserError(f"unknown probe {name!r}: the data sets in {folder} are {', '.join(known)}")
    return open_dataset(folder / f"{name}_ids.txt")


def train(
    request: Request, recipe_name: str, overrides: Mapping[str, Any], *, name: str | None = None
) -> Path:
    """Train a recipe on the embedded data, or on data sets of the same names in a folder of yours.

    Raises
    ------
    UserError
        If the recipe or a parameter is unknown, or a data set it needs is missing.
    """
    from embedlab import protocols
    from embedlab.data.datasets import open_dataset
    from embedlab.training import loop, recipe

    chosen = recipe.load(recipe_name, scale=request.scale, overrides=overrides)
    folder = Path(request.data) if request.data is not None else embedded_data(request)
    data = []
    for source in chosen.datasets:
        index, plain = folder / f"{source}_ids.txt", folder / source
        if not index.is_file() and not plain.is_dir():
            raise UserError(
                f"recipe {recipe_name} needs the data set {source!r}, and {folder} has neither "
                f"{source}_ids.txt nor a folder {source}: add it, or leave --data out to use the "
                "embedded faces"
            )
        data.append(open_dataset(index if index.is_file() else plain, name=source))
    pairs_file = folder / f"{EMBEDDED_PROBE}_pairs.csv"
    validation = None
    if pairs_file.is_file():
        validation = (open_dataset(folder / EMBEDDED_PROBE), protocols.read(pairs_file))
    return loop.train(
        request.lab,
        name or Path(recipe_name).stem,
        chosen,
        data,
        validation,
        fresh=request.fresh,
        strict=request.strict,
    )


def train_all(request: Request, names: Sequence[str]) -> None:
    """Train several recipes; on a CPU side by side, each in a process with its share of the cores.

    A narrow network gains little from a second thread and loses much when another program wants
    the core, so two networks on a core each are done well before one after the other on both.

    Raises
    ------
    UserError
        If a training fails; the others are stopped, and go on from their last state when asked again.
    """
    cores = os.cpu_count() or 1
    if compute.device() != "cpu" or min(cores, len(names)) < 2:
        for name in names:
            train(request, name, {})
        return
    threads = str(max(1, cores // len(names)))
    options = ["--lab", str(request.lab.root), "--scale", request.scale, "--device", "cpu"]
    options += ["--fresh"] if request.fresh else []
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "embedlab", "train", name, *options],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    }
    with ExitStack() as stack, ThreadPoolExecutor(len(running)) as pool:
        for child in running.values():
            stack.enter_context(child)  # Waits for it and closes its pipe.
        # A copied context lets each thread speak to whoever listens here.
        told = {pool.submit(copy_context().run, _relay, child): name for name, child in running.items()}
        try:
            for ended in as_completed(told):
                name, last = told[ended], ended.result()
                if status := running[name].wait():
                    if status == 2:
                        raise UserError(last.removeprefix("embedlab: "))
                    raise RuntimeError(f"training {name} ended with status {status}: {last}")
        finally:
            for child in running.values():
                child.terminate()


def _relay(child: "subprocess.Popen[str]") -> str:
    """Pass on what a process says, and return the last line of it."""
    line = ""
    for line in child.stderr or ():
        say(line.rstrip())
    return line.rstrip()


def _network(request: Request, word: str) -> "Embedder | Untrained | None":
    """Turn a model's name or path into a network; None for a model that is only its embeddings.

    Raises
    ------
    UserError
        If there is no such model, or it is a recipe that is not trained and may not be.
    """
    from embedlab.networks import checkpoints, foreign
    from embedlab.training import recipe

    path = Path(word)
    if _is_vectors(word):
        if not path.is_file():
            raise UserError(f"{word} does not exist: give the path of a file of embeddings")
        return None
    if path.suffix.lower() in FOREIGN:
        preset = request.preprocessing.get(path.stem, request.preprocessing.get(""))
        return foreign.open_model(path, preset)
    if word in request.lab.trained():
        return checkpoints.load(request.lab, word, compute.device())
    if word in recipe.names():
        if request.train:
            return UNTRAINED
        minutes = rough_minutes(request, recipe.load(word, scale=request.scale))
        raise UserError(
            f"model {word!r} is a known recipe without a checkpoint in {request.lab.root}: train it with "
            f"`embedlab train {word} --scale {request.scale}` (roughly {minutes:.0f} min here), or add "
            "--train"
        )
    if word in request.lab.models():
        return None
    known = [*request.lab.models(), *(n for n in recipe.names() if n not in request.lab.models())]
    raise UserError(
        f"unknown model {word!r}: name one of {', '.join(known)}, or give the path of an .onnx, .pth, "
        ".parquet, .csv, .npy or .npz file"
    )


@dataclass(frozen=True)
class Prepared:
    """A study whose inputs all exist.

    Attributes
    ----------
    study
        The study, with models and probes by their names in the lab.
    stages
        How long making the inputs took.
    skipped
        Probe, item and reason of each image that could not be used.
    datasets
        The images that were opened, by the name of their data set.
    """

    study: Study
    stages: Stages
    skipped: tuple[tuple[str, str, str], ...] = ()
    datasets: "Mapping[str, Dataset]" = field(default_factory=dict)


def prepare(request: Request, study: Study, *, analysing: bool = True) -> Prepared:
    """Make the embeddings a study needs: draw data, train, extract, import.

    Parameters
    ----------
    request, study
        What is asked.
    analysing
        Whether the analyses will be run, and the probes that they want beyond the study's are needed.

    Raises
    ------
    UserError
        If a model or probe is unknown, a checkpoint is missing and may not be trained, or the data
        cannot be read.
    """
    from embedlab.data.degradations import Probe, parse_probe
    from embedlab.extraction import extract
    from embedlab.networks import checkpoints

    lab, stages = request.lab, Stages()
    probes = [parse_probe(probe) for probe in study.probes]
    files = [Path(word).stem for word in study.models if Path(word).suffix.lower() in FOREIGN]
    if strangers := [name for name in request.preprocessing if name and name not in files]:
        raise UserError(
            f"--preprocessing names {strangers[0]!r}, and no model file is called that: there are "
            f"{', '.join(files) or 'none'}"
        )
    # What cannot be made is told before anything long begins.
    networks = {word: _network(request, word) for word in study.models}
    names = _names(networks)
    opened: dict[str, Dataset] = {}
    extracting = any(network is not None for network in networks.values())
    if request.data is not None:
        with stages("data"):
            given = given_data(request)
        assert given is not None
        opened[given.name] = given
        if extracting and (others := [probe for probe in probes if probe.dataset != given.name]):
            raise UserError(
                f"unknown probe {str(others[0])!r}: the data given are called {given.name!r}, so write "
                f"{given.name} or {given.name}@PIXELS"
            )
    if untrained := [word for word, network in networks.items() if network is UNTRAINED]:
        with stages("data"):
            embedded_data(request)
        with stages(f"training {' and '.join(untrained)}"):
            train_all(replace(request, data=None), untrained)
        networks |= {word: checkpoints.load(lab, word, compute.device()) for word in untrained}
    for word in filter(_is_vectors, networks):
        with stages(f"importing {names[word]}"):
            _import(request, word, names[word])
    if extracting and not probes:
        dataset = next(iter(opened), EMBEDDED_PROBE)
        probes = [Probe(dataset), Probe(dataset, SHRUNK)]
    found = [str(probe) for probe in probes] or [p for name in names.values() for p in lab.probes(name)]
    settled = replace(study, models=tuple(names.values()), probes=tuple(dict.fromkeys(found)))
    if extracting and analysing:
        probes = [parse_probe(probe) for probe in probes_of(plan(settled), settled)]
    skipped: list[tuple[str, str, str]] = []
    for word, network in networks.items():
        if network is None or isinstance(network, str):
            continue
        for probe in probes:
            if probe.dataset not in opened:
                with stages("data"):
                    opened[probe.dataset] = embedded_dataset(request, probe.dataset)
            with stages(f"extracting {names[word]}"):
                done = extract(
                    lab, network, opened[probe.dataset], probe,
                    batch=request.batch, strict=request.strict, fresh=request.fresh,
                )  # fmt: skip
            skipped += [(str(probe), item, reason) for item, reason in done.skipped]
    return Prepared(settled, stages, tuple(dict.fromkeys(skipped)), opened)


def _is_vectors(word: str) -> bool:
    return Path(word).suffix.lower() in VECTORS


def _names(networks: "Mapping[str, Embedder | Untrained | None]") -> dict[str, str]:
    """Give each model its name in the lab.

    Raises
    ------
    UserError
        If two are called the same.
    """
    names: dict[str, str] = {}
    for word, network in networks.items():
        if _is_vectors(word):
            name = made_name(Path(word).stem, "imported")
        else:
            name = word if network is None or isinstance(network, str) else network.name
        if name in names.values():
            raise UserError(f"two of the models are called {name!r}: rename one of the files")
        names[word] = name
    return names


def _import(request: Request, word: str, name: str) -> None:
    from embedlab import interchange

    found = interchange.import_embeddings(Path(word), model=name, probe="imported")
    interchange.save(request.lab, found, Path(word))


def rough_minutes(request: Request, chosen: "Recipe") -> float:
    """Guess how many minutes a training takes on this machine."""
    from embedlab.data import synthetic

    people = synthetic.SCALES[request.scale]
    images = sum(getattr(people, name, 0) * synthetic.IMAGES.get(name, 0) for name in chosen.datasets)
    images = min(images, chosen.epoch_images or images)
    area = (chosen.input_size / 144) ** 2
    seconds = (chosen.width / 64) ** 2 * area * ARITHMETIC_S + chosen.width / 64 * area * TRAFFIC_S
    speed_up = CUDA_CORES if compute.device() == "cuda" else float(os.cpu_count() or 1)
    return max(1.0, float(images * chosen.epochs * seconds / speed_up / 60))
