"""Make what a study needs and is missing, or say which command makes it."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from embedlab import compute, trainings
from embedlab.errors import UserError
from embedlab.networks.foreign import TORCH_SUFFIXES
from embedlab.progress import say
from embedlab.request import EMBEDDED_PROBE, Request, embedded_data, embedded_dataset, given_data
from embedlab.store import made_name
from embedlab.study import Study, plan, probes_of

if TYPE_CHECKING:
    from embedlab.data.datasets import Dataset
    from embedlab.networks.embedder import Embedder

SHRUNK = 32
FOREIGN = (".onnx", *TORCH_SUFFIXES)
CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
VECTORS = (".parquet", ".csv", ".npy", ".npz")
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


def _network(request: Request, word: str) -> "Embedder | Untrained | None":
    """Turn a model's name or path into a network; None for a model that is only its embeddings.

    Raises
    ------
    UserError
        If there is no such model, or it is a recipe that is not trained and may not be.
    """
    from embedlab.networks import callables, checkpoints, foreign
    from embedlab.training import recipe

    path = Path(word)
    if CALLABLE.fullmatch(word):
        return callables.open_callable(word, _preset(request, made_name(word, "model")))
    if _is_vectors(word):
        if not path.exists():
            raise UserError(f"{word} does not exist: give the path of a file of embeddings")
        return None
    if path.suffix.lower() in FOREIGN:
        return foreign.open_model(path, _preset(request, path.stem))
    if word in request.lab.trained():
        return checkpoints.load(request.lab, word, compute.device())
    if word in recipe.names():
        if request.train:
            return UNTRAINED
        minutes = trainings.rough_minutes(request, recipe.load(word, scale=request.scale))
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


def _preset(request: Request, name: str) -> str | None:
    return request.preprocessing.get(name, request.preprocessing.get(""))


def network(request: Request, word: str) -> "Embedder":
    """Open a model that can be run on images.

    Raises
    ------
    UserError
        If there is no such model, or only its embeddings are known.
    """
    found = _network(request, word)
    if found is None or isinstance(found, str):
        raise UserError(
            f"{word} is no network that can be run here: name a trained model or a network's file"
        )
    return found


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
    from embedlab.extraction import extract_all
    from embedlab.networks import checkpoints

    lab, stages = request.lab, Stages()
    probes = [parse_probe(probe) for probe in study.probes]
    files = [Path(word).stem for word in study.models if Path(word).suffix.lower() in FOREIGN]
    files += [made_name(word, "model") for word in study.models if CALLABLE.fullmatch(word)]
    if strangers := [name for name in request.preprocessing if name and name not in files]:
        raise UserError(
            f"--preprocessing names {strangers[0]!r}, and no model file is called that: there are "
            f"{', '.join(files) or 'none'}"
        )
    # What cannot be made is told before anything long begins.
    networks = {word: _network(request, word) for word in study.models}
    names = _names(request, networks)
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
            trainings.train_all(replace(request, data=None), untrained)
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
        for name in dict.fromkeys(probe.dataset for probe in probes):
            if name not in opened:
                with stages("data"):
                    opened[name] = embedded_dataset(request, name)
            asked = [probe for probe in probes if probe.dataset == name]
            with stages(f"extracting {names[word]}"):
                done = extract_all(
                    lab, network, opened[name], asked,
                    batch=request.batch, strict=request.strict, fresh=request.fresh, flip=request.flip,
                )  # fmt: skip
            for probe, one in zip(asked, done, strict=True):
                skipped += [(str(probe), item, reason) for item, reason in one.skipped]
    return Prepared(settled, stages, tuple(dict.fromkeys(skipped)), opened)


def _is_vectors(word: str) -> bool:
    return Path(word).suffix.lower() in VECTORS


def _names(request: Request, networks: "Mapping[str, Embedder | Untrained | None]") -> dict[str, str]:
    """Give each model its name in the lab.

    Raises
    ------
    UserError
        If two are called the same, or one from elsewhere as a network of the lab.
    """
    trained = request.lab.trained()
    names: dict[str, str] = {}
    for word, network in networks.items():
        if _is_vectors(word):
            name = made_name(Path(word).stem, "imported")
        else:
            name = word if network is None or isinstance(network, str) else network.name
        if name in names.values():
            raise UserError(f"two of the models are called {name!r}: rename one of the files")
        if name in trained and name != word:
            raise UserError(
                f"{word} would be called {name!r}, as a network in {request.lab.root} is, and be taken for "
                f"it: rename it, or write {name} if that network is meant"
                + (f"; `embedlab import {word} --model NAME` renames it too" if _is_vectors(word) else "")
            )
        names[word] = name
    return names


def _import(request: Request, word: str, name: str) -> None:
    from embedlab import interchange

    found = interchange.import_embeddings(Path(word), model=name, probe="imported")
    interchange.save(request.lab, found, Path(word))
