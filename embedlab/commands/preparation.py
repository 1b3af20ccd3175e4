"""Make what a study needs and is missing, or say which command makes it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from embedlab import compute
from embedlab.commands import trainings
from embedlab.commands.request import (
    EMBEDDED_PROBE,
    Request,
    embedded_data,
    embedded_dataset,
    given_data,
    known_attributes,
    reading_of,
)
from embedlab.commands.words import IMPORTED, Foreign, Recipe, VectorsFile, Word, recognised
from embedlab.data.degradations import Probe, parse_probe
from embedlab.errors import UserError
from embedlab.estimates import counted
from embedlab.formats import interchange
from embedlab.lab.store import WEIGHTS_FROM, Lab
from embedlab.progress import busy, say
from embedlab.study import Planned, Study, asked, probes_of, takes_sets

if TYPE_CHECKING:
    from embedlab.data.datasets import Dataset
    from embedlab.networks.embedder import Embedder

Networks: TypeAlias = "Mapping[Word, Embedder | None]"
"""The models of a study, with their networks where those are open."""

SHRUNK = 32


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
            with busy(name):
                yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    def summary(self) -> str:
        """List the stages with their seconds on one line."""
        parts = [f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items()]
        return f"{', '.join(parts)}; {sum(self.seconds.values()):.1f} s in all"


def network(request: Request, word: str) -> "Embedder":
    """Open a model that can be run on images.

    Raises
    ------
    UserError
        If there is no such model, or only its embeddings are known.
    """
    found = recognised(word, request.lab).opened(request)
    if found is None:
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
    planned
        The runs of its analyses, if they are to be run.
    """

    study: Study
    stages: Stages
    skipped: tuple[tuple[str, str, str], ...] = ()
    datasets: "Mapping[str, Dataset]" = field(default_factory=dict)
    planned: tuple[Planned, ...] = ()


def prepare(
    request: Request, study: Study, questions: Sequence[Planned] | None = None, *, analysing: bool = True
) -> Prepared:
    """Make the embeddings a study needs: draw data, train, extract, import.

    Parameters
    ----------
    request, study
        What is asked.
    questions
        The study's analyses with their parameters, where somebody read them already; see ``study.asked``.
    analysing
        Whether the analyses will be run, and the probes that they want beyond the study's are needed. For
        analyses of weights alone nothing is embedded.

    Raises
    ------
    UserError
        If a model or probe is unknown, a checkpoint is missing and may not be trained, the data cannot be
        read, or none of the analyses that the study names can be run on its models.
    """
    stages = Stages()
    # What cannot be made is told before anything long begins.
    probes = [parse_probe(probe) for probe in study.probes]
    words = [recognised(text, request.lab) for text in study.models]
    _check_presets(request, words)
    networks = {word: word.opened(request) for word in words}
    names = _names(request.lab, networks)
    files = {names[word]: word.path for word in words if isinstance(word, VectorsFile)}
    reading = {name: _reading(request, files, name) for name in files}
    if request.reading and not files:
        option = f"--{next(iter(request.reading)).replace('_', '-')}"
        raise UserError(
            f"{option} is about files of vectors, and no model is one: leave it out, or name a file "
            f"{', '.join(VectorsFile.endings)}"
        )
    questions = (asked(study) if questions is None else questions) if analysing else []
    _check_weights(study, questions, networks, names)
    embedding = not analysing or takes_sets(questions)
    extracting = embedding and any(word.embeds for word in words)
    opened = _opened(request, probes, stages, extracting=extracting)
    if embedding:
        dataset = next(iter(opened), EMBEDDED_PROBE) if extracting else ""
        study = _with_probes(request.lab, study, names, dataset)
    settled = replace(study, models=tuple(names.values()), probes=tuple(dict.fromkeys(study.probes)))
    if embedding:
        vectors = {word: name for word, name in names.items() if not word.embeds}
        _tell_lacking(_stored(request.lab, vectors, study.people), settled)
    planned = tuple(one.on(settled) for one in questions)
    _check_runs(settled, planned)
    _trained(request, networks, stages)
    _lend_weights(request.lab, networks, names, planned)
    for name, path in files.items() if embedding else ():
        with stages(f"importing {name}"):
            found = interchange.import_embeddings(path, model=name, probe=IMPORTED, **reading[name])
            interchange.save(request.lab, found, path)
    skipped: dict[tuple[str, str, str], None] = {}
    if extracting:
        wanted = probes_of(planned, settled)
        skipped = _extracted(
            request, networks, list(map(parse_probe, wanted)), opened, stages, settled.people
        )
    _lend_networks(request.lab, networks, names, planned, opened, settled.people)
    if extracting and request.data is None and not settled.attributes:
        settled = replace(settled, attributes=known_attributes(request, next(iter(opened), EMBEDDED_PROBE)))
    return Prepared(settled, stages, tuple(skipped), opened, planned)


def _check_presets(request: Request, words: Sequence[Word]) -> None:
    files = [word.called for word in words if isinstance(word, Foreign)]
    if strangers := [name for name in request.preprocessing if name and name not in files]:
        raise UserError(
            f"--preprocessing names {strangers[0]!r}, and no model file is called that: there are "
            f"{', '.join(files) or 'none'}"
        )


def _reading(request: Request, files: Mapping[str, Path], name: str) -> dict[str, str]:
    """Say how a file of vectors is read; what is missing for it is told here, before the work."""
    found = reading_of(request.reading, files, name)
    if files[name].suffix.lower() == ".npy" and "items" not in found:
        raise UserError(
            f"{files[name]} does not say whose vectors it holds: give a CSV file with the columns item and "
            "identity with --items"
        )
    return found


def _check_weights(
    study: Study, questions: Sequence[Planned], networks: Networks, names: Mapping[Word, str]
) -> None:
    """Tell at once that analyses of weights will have none to look at.

    Raises
    ------
    UserError
        If the study names these analyses, and no others.
    """
    without = [
        names[word]
        for word, network in networks.items()
        if not isinstance(word, Recipe) and getattr(network, "network", None) is None
    ]
    have, fewest = len(networks) - len(without), {"weights": 1, "weight pair": 2}
    needs = {
        one.analysis.name: min(fewest.get(over.word, 0) for over in one.analysis.overs) for one in questions
    }
    wanting = [name for name, count in needs.items() if count > have]
    if not wanting or not (without and study.analyses):
        return
    s = "s" if len(wanting) == 1 else ""
    what = (
        f"look{s} at the weights of networks"
        if any(needs[name] == 1 for name in wanting)
        else f"compare{s} the weights of two networks"
    )
    said = f"{' and '.join(wanting)} {what}, and of {' and '.join(without)} there are none to read"
    reason = f"{said}: {WEIGHTS_FROM}"
    if len(wanting) == len(study.analyses):
        raise UserError(reason)
    say(f"  {reason}")


def _check_runs(settled: Study, planned: Sequence[Planned]) -> None:
    """Refuse a study that names analyses of which none has anything to run on, before the work.

    Raises
    ------
    UserError
        If so; the message says what each of them takes.
    """
    if settled.analyses and planned and not any(one.runs for one in planned):
        reasons = dict.fromkeys(f"{one.analysis.name} compares {one.analysis.needs}" for one in planned)
        raise UserError(
            f"{'; '.join(reasons)}, and there {'is' if len(settled.models) == 1 else 'are'} "
            f"{counted(len(settled.models), 'model')} ({', '.join(settled.models)}) and "
            f"{counted(len(settled.probes), 'probe')} ({', '.join(settled.probes) or 'none'}): "
            "name more with --models or --probes"
        )


def _opened(
    request: Request, probes: Sequence[Probe], stages: Stages, *, extracting: bool
) -> "dict[str, Dataset]":
    """Open the images that were given, and those of the probes that were named.

    Raises
    ------
    UserError
        If a probe is of other images than those given, or of none that there are.
    """
    opened: dict[str, Dataset] = {}
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
    for name in dict.fromkeys(probe.dataset for probe in probes) if extracting else ():
        if name not in opened:
            with stages("data"):
                opened[name] = embedded_dataset(request, name)
    return opened


def _with_probes(lab: Lab, study: Study, names: Mapping[Word, str], dataset: str) -> Study:
    """Check the probes that a study names, or choose: the images as they are, and shrunk to 32 pixels.

    Of models that are only embeddings these two are taken where both are stored, else all. What is stored
    and not taken is said.

    Parameters
    ----------
    lab, study
        Where embeddings are stored, and what is asked.
    names
        The names of all models.
    dataset
        The images that are embedded now; empty if none are.

    Raises
    ------
    UserError
        If no model has embeddings of a probe, and none is made now.
    """
    stored = _stored(lab, names, study.people)
    having = list(dict.fromkeys(probe for probes in stored.values() for probe in probes))
    if study.probes:
        if not dataset and (unknown := [probe for probe in study.probes if probe not in having]):
            raise UserError(
                f"unknown probe {unknown[0]!r}: no network is named that could make it, and stored are "
                + "; ".join(f"{', '.join(probes) or 'none'} of {name}" for name, probes in stored.items())
            )
        return study
    taken = [dataset, f"{dataset}@{SHRUNK}"] if dataset else _usual(having)
    if left := [probe for probe in having if probe not in taken]:
        say(f"  probes: {', '.join(taken)} (stored as well: {', '.join(left)}; name them with --probes)")
    return replace(study, probes=tuple(taken))


def _stored(lab: Lab, names: Mapping[Word, str], people: int) -> dict[str, list[str]]:
    """List the probes that each model has or, if it is a file of vectors, will have."""
    return {
        name: [IMPORTED] if isinstance(word, VectorsFile) else lab.probes(name, people)
        for word, name in names.items()
    }


def _tell_lacking(stored: Mapping[str, Sequence[str]], settled: Study) -> None:
    """Say which models that are only embeddings have none of the probes in question."""
    for name, probes in stored.items():
        if settled.probes and not set(probes) & set(settled.probes):
            say(
                f"  {name} is only its embeddings, and has none of {', '.join(settled.probes)}: it has "
                f"{', '.join(probes) or 'none'}, so it stands in no comparison"
            )


def _usual(stored: Sequence[str]) -> list[str]:
    """Take of each data set's probes the images as they are and at 32 pixels, or all if one is missing."""
    found: list[str] = []
    for dataset in dict.fromkeys(probe.partition("@")[0] for probe in stored):
        usual = [dataset, f"{dataset}@{SHRUNK}"]
        every = [probe for probe in stored if probe.partition("@")[0] == dataset]
        found += usual if set(usual) <= set(every) else every
    return found


def _trained(request: Request, networks: "dict[Word, Embedder | None]", stages: Stages) -> None:
    """Train what is asked for and has no checkpoint, and put the networks in place."""
    from embedlab.networks import checkpoints

    untrained = [word for word in networks if isinstance(word, Recipe)]
    if not untrained:
        return
    texts = [word.text for word in untrained]
    with stages("data"):
        embedded_data(request)
    with stages(f"training {' and '.join(texts)}"):
        trainings.train_all(replace(request, data=None), texts)
    networks |= {word: checkpoints.load(request.lab, word.text, compute.device()) for word in untrained}


def _lend_weights(
    lab: Lab, networks: Networks, names: Mapping[Word, str], planned: Sequence[Planned]
) -> None:
    """Hand on the weights of networks that have no checkpoint, where an analysis looks at weights."""
    theirs = {word: one for word, one in networks.items() if one is not None and isinstance(word, Foreign)}
    if not theirs or not any(one.analysis.looks_at("weights") for one in planned):
        return
    from embedlab.networks import callables

    for word, network in theirs.items():
        if (weights := callables.layer_weights(network)) is not None:
            lab.lent[names[word]] = weights


def _lend_networks(
    lab: Lab,
    networks: Networks,
    names: Mapping[Word, str],
    planned: Sequence[Planned],
    opened: "Mapping[str, Dataset]",
    people: int,
) -> None:
    """Hand on networks with images to be run on, or why that cannot be, where an analysis asks for it."""
    wanted = {one for each in planned for run in each.runs for one in run if one.kind == "network"}
    if not wanted:
        return
    from embedlab.extraction.live import LiveNetwork

    having = {names[word]: network for word, network in networks.items() if network is not None}
    for one in wanted:
        shown = parse_probe(one.probe)
        if one.model in having and shown.dataset in opened:
            recipe = lab.recipe(one.model) if one.model in lab.trained() else ""
            try:
                made = LiveNetwork(having[one.model], opened[shown.dataset], shown, recipe, people)
            except UserError as error:
                lab.live[one.model, one.probe] = error
            else:
                lab.live[one.model, one.probe] = made


def _extracted(
    request: Request,
    networks: Networks,
    probes: Sequence[Probe],
    opened: "dict[str, Dataset]",
    stages: Stages,
    people: int,
) -> dict[tuple[str, str, str], None]:
    """Embed the probes by every network, of so many people that are drawn.

    Give probe, item and reason of each image that could not be used.
    """
    from embedlab.extraction.extract import extract_all

    skipped: dict[tuple[str, str, str], None] = {}
    for network in networks.values():
        if network is None:
            continue
        for name in dict.fromkeys(probe.dataset for probe in probes):
            if name not in opened:
                with stages("data"):
                    opened[name] = embedded_dataset(request, name)
            asked = [probe for probe in probes if probe.dataset == name]
            with stages(f"extracting {network.name}"):
                done = extract_all(
                    request.lab, network, opened[name], asked,
                    batch=request.batch, strict=request.strict, fresh=request.fresh, flip=request.flip,
                    people=people,
                )  # fmt: skip
            for probe, one in zip(asked, done, strict=True):
                skipped |= dict.fromkeys((str(probe), item, reason) for item, reason in one.skipped)
    return skipped


def _names(lab: Lab, networks: Networks) -> dict[Word, str]:
    """Give each model its name in the lab.

    Raises
    ------
    UserError
        If two are called the same, or one from elsewhere as a network of the lab.
    """
    trained = lab.trained()
    names: dict[Word, str] = {}
    for word, network in networks.items():
        name = word.name if network is None else network.name
        if name in names.values():
            raise UserError(f"two of the models are called {name!r}: rename one of the files")
        if name in trained and name != word.text:
            importing = f"; `embedlab import {word.text} --model NAME` renames it too"
            raise UserError(
                f"{word.text} would be called {name!r}, as a network in {lab.root} is, and be taken for "
                f"it: rename it, or write {name} if that network is meant"
                + (importing if isinstance(word, VectorsFile) else "")
            )
        names[word] = name
    return names
