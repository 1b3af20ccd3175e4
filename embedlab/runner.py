"""Run an analysis or fetch its stored result; a failed one becomes a section, never a silence."""

import dataclasses
import hashlib
import itertools
import json
import platform
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from embedlab import analysis as contract
from embedlab import compute, focus
from embedlab.analysis import Analysis, Params, Result
from embedlab.errors import Terminated, Unwritable, UserError, enough_memory, first_line, lacking
from embedlab.estimates import counted
from embedlab.files import headroom, parquet
from embedlab.formats import attributes
from embedlab.lab import embeddings
from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.store import Lab, atomic_folder, sha256_of, steadily, sweep, write_json
from embedlab.maths.reused import KEPT, Kept
from embedlab.over import Input
from embedlab.progress import about, busy, say
from embedlab.question import listed
from embedlab.shares import beside
from embedlab.study import Planned, Study, plan, probes_of, with_lists
from embedlab.workers import Dealt, cores, dealt

PACKAGES = (
    *("embedlab", "numpy", "scipy", "numba", "torch", "pillow", "simplejpeg", "pyarrow", "onnxruntime"),
    *("plotly", "scikit-learn", "umap-learn"),
)

PAIRS = ("model pair", "weight pair", "network pair")
"""Words of analyses whose runs grow as the pairs of models."""

WORTH_A_PROCESS = 1 << 16
"""Numbers in a set's vectors below which analyses are over sooner than another process has begun."""

MOST_PROCESSES = 8
"""So many run analyses at most, unless more are asked for: the longest single run is the limit soon."""

PROCESS_BYTES, COPIES = 1 << 30, 3
"""What a process takes by itself, what it keeps included, and how often it holds the vectors."""

MEMORY_ADVICE = "give it fewer images, end other programs, or use a machine with more"


RESULT_FILES = ("result.json", "arrays.npz")
RECORD = "run.json"


@dataclass(frozen=True)
class Run:
    """One run of one analysis: its result, or why there is none.

    Attributes
    ----------
    title
        The inputs in words.
    result
        What was found; None if the run failed.
    reason
        Why the analysis does not apply, in a sentence; empty if it does.
    error
        The traceback of a bug, or how the process ended that made it; empty otherwise.
    record
        Provenance as it stands in ``run.json``.
    cached
        Whether the result was fetched, not computed.
    caution
        What the result leaves out, in a sentence; empty if nothing.
    unstored
        Why the result could not be kept, and will be computed again; empty if it was.
    inputs
        What it was over.
    """

    title: str
    result: Result | None = None
    reason: str = ""
    error: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    cached: bool = False
    caution: str = ""
    unstored: str = ""
    inputs: tuple[Input, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """The models of its inputs."""
        return tuple(dict.fromkeys(one.model for one in self.inputs))


@dataclass(frozen=True)
class Outcome:
    """All runs of one analysis.

    Attributes
    ----------
    analysis, params, runs
        What was run, how, and on what.
    focus
        Of many models those that are looked into, the best first; empty where all are.
    caution
        What was left out since there are many, in a sentence.
    """

    analysis: Analysis[Any, Any]
    params: Params
    runs: tuple[Run, ...]
    focus: tuple[str, ...] = ()
    caution: str = ""

    @property
    def shown(self) -> "Outcome":
        """Give what a section shows of it: of many models the runs on those that are looked into."""
        if not self.focus:
            return self
        chosen = set(self.focus)
        runs = [run for run in self.runs if set(run.models) <= chosen or len(run.models) > focus.MANY]
        return dataclasses.replace(self, runs=tuple(runs))

    @property
    def results(self) -> list[Result]:
        """The results of the runs that succeeded."""
        return [run.result for run in self.runs if run.result is not None]


@cache
def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def run_study(
    lab: Lab,
    study: Study,
    planned: Sequence[Planned] | None = None,
    *,
    fresh: bool = False,
    quiet: bool = False,
    jobs: int | None = 1,
) -> list[Outcome]:
    """Run every analysis of a study, or fetch what is stored: all that ``outcomes`` gives."""
    return list(outcomes(lab, study, planned, fresh=fresh, quiet=quiet, jobs=jobs))


def outcomes(
    lab: Lab,
    study: Study,
    planned: Sequence[Planned] | None = None,
    *,
    fresh: bool = False,
    quiet: bool = False,
    jobs: int | None = 1,
) -> Iterator[Outcome]:
    """Run the analyses of a study one after the other or side by side, or fetch what is stored.

    Parameters
    ----------
    lab
        Where inputs are read and results are kept.
    study
        What to run.
    planned
        Its runs, where somebody planned them already.
    fresh
        Compute again even where a result is stored.
    quiet
        Leave it to the caller to tell what does not apply or failed.
    jobs
        How many processes run analyses; None takes a core each where sets are large and memory allows. A
        script that asks for more than 1 must be one that can be imported, as `multiprocessing` wants it.

    Yields
    ------
    An outcome an analysis, in their order, as soon as it is done. A UserError of a run becomes its
    ``reason``; any other exception its ``error``, so that one failure does not cost the others.

    Raises
    ------
    UserError
        If the study's attributes cannot be read or joined, as ``attributes.read`` and ``joined`` say, or
        name nobody in any set; if a list of pairs cannot be read.
    """
    asked = with_lists(plan(study) if planned is None else planned)
    every = [_possible(lab, one, study) for one in asked]
    inputs = _Inputs(lab, study)
    inputs.join(dict.fromkeys(one for planned in every for run in planned.runs for one in run))
    many = focus.is_many(study.models)
    chosen = focus.best([], study.models) if many else ()
    for stage in _stages(every) if many else [every]:
        if many:
            stage = [focus.narrowed(each, chosen, study.probes) for each in stage]
        for each, runs in _done(stage, inputs, fresh=fresh, jobs=jobs):
            runs = runs or [_inapplicable(each, study)]
            for line in () if quiet else _reasons(each.analysis.name, runs):
                say(line)
            for run in runs:
                if run.unstored:
                    say(f"  {each.analysis.name} of {run.title} could not be stored: {run.unstored}")
                if run.error and not quiet:
                    say(f"  {each.analysis.name} failed on {run.title}:\n{run.error}")
            if many and each.analysis.name == focus.RANKING:
                chosen = focus.best([run.result for run in runs if run.result is not None], study.models)
            pairs = any(over.word in PAIRS for over in each.analysis.overs)
            caution = focus.told(chosen, study.models, pairs=pairs) if many else ""
            yield Outcome(each.analysis, each.params, tuple(runs), chosen, caution)


def _stages(every: Sequence[Planned]) -> list[list[Planned]]:
    """Split the analyses behind the one that ranks models: what comes then runs on the best."""
    names = [one.analysis.name for one in every]
    cut = names.index(focus.RANKING) + 1 if focus.RANKING in names else 0
    return [list(every[:cut]), list(every[cut:])]


def _done(
    stage: Sequence[Planned], inputs: "_Inputs", *, fresh: bool, jobs: int | None
) -> Iterator[tuple[Planned, list[Run]]]:
    """Give each analysis with its runs, in their order, as soon as they are done."""
    work = [(place, taken) for place, each in enumerate(stage) for taken in each.runs]
    found: dict[int, Run] = {}
    first = waiting = 0

    def here(piece: tuple[int, tuple[Input, ...]]) -> Run:
        return _run(stage[piece[0]], piece[1], inputs, fresh=fresh)

    def packed(piece: tuple[int, tuple[Input, ...]]) -> Any:
        each, taken = stage[piece[0]], piece[1]
        lent = any(one.kind != "set" for one in taken)
        if lent or not _known(each.analysis) or (not fresh and _is_stored(inputs, each, taken)):
            return None
        return each.analysis.name, each.params, taken, each.lists

    def lost(piece: tuple[int, tuple[Input, ...]], why: str) -> Run:
        advice = f"analyse fewer at once, as with --jobs 1, or {MEMORY_ADVICE}"
        return Run(" and ".join(one.title for one in piece[1]), error=f"{why}: {advice}")

    count = _processes(work, inputs, packed) if jobs is None else max(1, min(jobs, len(work)))
    inputs.kept.most = _room(count)
    given = (inputs.lab.root, inputs.study, compute.device(), fresh, inputs.kept.most)
    how = Dealt(here, _elsewhere, given, packed, lambda piece: inputs.numbers(piece[1]), _models_of, lost)
    done = dealt(work, how, count, "analysing")
    while waiting < len(stage):
        needed = range(first, first + len(stage[waiting].runs))
        if all(place in found for place in needed):
            runs = [_with_caution(found[place], work[place][1], inputs) for place in needed]
            yield stage[waiting], runs
            first, waiting = needed.stop, waiting + 1
        else:
            place, run = next(done)
            found[place] = run
    # Ends the loop that is tracked.
    next(done, None)


def _models_of(piece: tuple[int, tuple[Input, ...]]) -> frozenset[str]:
    """Name what pieces of work share: one process reads a model's sets, and counts their pairs for all."""
    return frozenset(one.model for one in piece[1])


def _processes(work: Sequence[Any], inputs: "_Inputs", packed: Callable[[Any], Any]) -> int:
    """Choose how many processes are worth their start, and have the memory they take."""
    sets = {one for _, taken in work for one in taken if one.kind == "set"}
    largest = max((inputs.numbers([one]) for one in sets), default=0)
    cores_ = cores()
    # Where torchrun started others, they share what is counted.
    if cores_ == 1 or beside() > 1 or compute.device() != "cpu" or largest < WORTH_A_PROCESS:
        return 1
    computed = sum(packed(piece) is not None for piece in work)
    memory = headroom.free() // (PROCESS_BYTES + COPIES * 4 * sum(inputs.numbers([one]) for one in sets))
    return max(1, min(cores_, MOST_PROCESSES, computed // 2, memory))


def _room(processes: int) -> int:
    """Choose how many bytes each process may keep of what it counted: six sizes of LFW take 630 MB."""
    return max(KEPT, min(4 * KEPT, headroom.free() // (8 * processes)))


def _known(analysis: Analysis[Any, Any]) -> bool:
    """Whether another process finds the same analysis by its name."""
    try:
        return contract.get(analysis.name) == analysis
    except UserError:
        return False


def _elsewhere(
    root: Path, study: Study, device: str, fresh: bool, room: int
) -> Callable[[tuple[str, Params, tuple[Input, ...], Mapping[str, Any]]], Run]:
    """Begin in another process: give what makes a run there of what ``packed`` gave."""
    compute.choose(device)
    inputs = _Inputs(Lab(root), study)
    inputs.kept.most = room

    def made(packed: tuple[str, Params, tuple[Input, ...], Mapping[str, Any]]) -> Run:
        name, params, taken, lists = packed
        return _run(Planned(contract.get(name), params, (taken,), lists), taken, inputs, fresh=fresh)

    return made


def _with_caution(run: Run, chosen: Sequence[Input], inputs: "_Inputs") -> Run:
    """Keep what a run is over, and say how many images stand in some of its sets only."""
    run = dataclasses.replace(run, inputs=tuple(chosen))
    alone = inputs.alone(chosen) if run.result is not None else 0
    if not alone:
        return run
    images = f"{alone:,} image{'s' if alone > 1 else ''} stood in"
    where = "one set only" if len(chosen) == 2 else "some of the sets only"
    text = f"{images} {where} and {'were' if alone > 1 else 'was'} left out where the sets are compared"
    return dataclasses.replace(run, caution=". ".join(filter(None, [run.caution, text])))


def _inapplicable(planned: Planned, study: Study) -> Run:
    have = f"{counted(len(study.models), 'model')} and {counted(len(study.probes), 'probe')}"
    return Run("this study", reason=f"it compares {planned.analysis.needs}, and the study names {have}")


def _reasons(name: str, runs: Sequence[Run]) -> Iterator[str]:
    """Say why an analysis does not apply, once of runs whose reasons differ in their own names alone."""
    alike: list[list[Run]] = []
    for run in (run for run in runs if run.reason):
        found = next((group for group in alike if _same_reason(group[0], run)), None)
        if found is None:
            alike.append([run])
        else:
            found.append(run)
    for first, *others in alike:
        nor = f", nor to {counted(len(others), 'other')}" if others else ""
        yield f"  {name} does not apply to {first.title}{nor}: {first.reason}"


def _same_reason(one: Run, other: Run) -> bool:
    def names(run: Run) -> set[str]:
        return {name for each in run.inputs for name in (each.model, each.probe)}

    words, others = (str(run.reason).split() for run in (one, other))
    return len(words) == len(others) and all(
        a == b or (a.strip(".,:;") in names(one) and b.strip(".,:;") in names(other))
        for a, b in zip(words, others, strict=True)
    )


def _possible(lab: Lab, planned: Planned, study: Study) -> Planned:
    """Leave out the probes that an analysis wants beyond the study's where the lab has no such vectors."""

    def there(one: Input) -> bool:
        # A probe of the study itself stays: that it is missing is told as the reason of that run.
        return one.kind != "set" or one.probe in study.probes or _file(lab, one, study.people).is_file()

    gone = dict.fromkeys(one for run in planned.runs for one in run if not there(one))
    if not gone:
        return planned
    without: dict[str, list[str]] = {}
    for model in dict.fromkeys(one.model for one in gone):
        without.setdefault(", ".join(one.probe for one in gone if one.model == model), []).append(model)
    for probes, models in without.items():
        where = listed(models)
        say(
            f"  {planned.analysis.name} goes without {probes} in {where}: the lab has no embeddings of it, "
            "and no network to make them"
        )
    if planned.analysis.takes_many:
        runs = [tuple(filter(there, run)) for run in planned.runs]
    else:
        runs = [run if all(map(there, run)) else () for run in planned.runs]
    return dataclasses.replace(planned, runs=tuple(run for run in runs if run))


def _file(lab: Lab, one: Input, people: int) -> Path:
    return lab.embeddings_file(one.model, one.probe, people)


class _Inputs:
    """Inputs read once, however many analyses ask for them; with the study's attributes, if any."""

    def __init__(self, lab: Lab, study: Study) -> None:
        self.lab, self.study, self.people = lab, study, study.people
        self.attributes = attributes.read(study.attributes) if study.attributes else None
        self.read: dict[Input, Any] = {}
        self.without: dict[int, list[str]] = {}
        self.counted: dict[frozenset[Input], int] = {}
        self.kept = Kept()

    def get(self, wanted: Input) -> Any:
        if wanted not in self.read:
            if wanted.kind == "set":
                self.read[wanted] = self._with_attributes(self._set(wanted))
            elif wanted.kind == "network":
                self.read[wanted] = self.lab.network(wanted.model, wanted.probe)
            else:
                self.read[wanted] = self.lab.weights(wanted.model)
        return self.read[wanted]

    def _set(self, wanted: Input) -> EmbeddingSet:
        found = self.lab.embeddings(wanted.model, wanted.probe, self.people)
        if is_stale(self.lab, wanted.model, wanted.probe, self.people):
            say(
                f"  {wanted.title} was not made by the network {wanted.model} as it is in {self.lab.root} "
                f"now: `embedlab extract --models {wanted.model}` makes it again",
            )
        return found

    def _with_attributes(self, found: EmbeddingSet) -> EmbeddingSet:
        if self.attributes is None:
            return found
        joined, without = self.attributes.joined(found)
        if without:
            self.without.setdefault(without, []).append(found.title)
        return joined

    def numbers(self, chosen: Iterable[Input]) -> int:
        """Count the numbers in the vectors of some sets; none of what cannot be read, nor of weights."""
        found = 0
        for one in chosen:
            # Why it cannot be read is told as the reason of each run that wants it.
            with suppress(UserError):
                found += self.get(one).vectors.size if one.kind == "set" else 0
        return found

    def alone(self, chosen: Sequence[Input]) -> int:
        """Count the items that not all of some sets have; equal columns of items are told at once."""
        sets = [self.get(one) for one in chosen if one.kind == "set"]
        first, *others = [one.items for one in sets] or [np.empty(0, dtype=str)]
        if all(np.array_equal(first, items) for items in others):
            return 0
        key = frozenset(chosen)
        if key not in self.counted:
            _, standing = np.unique(np.concatenate([first, *others]), return_counts=True)
            self.counted[key] = int((standing < len(sets)).sum())
        return self.counted[key]

    def join(self, wanted: Iterable[Input]) -> None:
        """Join the attributes onto all sets at once, so that a mistake in them is told before the work.

        Raises
        ------
        UserError
            If they name nobody in any set, or clash with a set's own.
        """
        if self.attributes is None:
            return
        sets = [one for one in wanted if one.kind == "set" and self._readable(one)]
        if not sets:
            return
        unknown = self.attributes.unknown()
        if not self.attributes.used:
            raise UserError(
                f"{self.attributes.path} names none of the {self.attributes.by} of {sets[0].title}: its "
                f"names, such as {unknown[0]!r}, must be written as there, such as {self._example(sets[0])!r}"
            )
        for count, (first, *others) in self.without.items():
            more = f" and of {len(others)} other sets" if others else ""
            say(f"  {count:,} {self.attributes.by} of {first}{more} have no row in {self.attributes.path}")
        if unknown and not self.people:
            say(
                f"  {len(unknown):,} {self.attributes.by} of {self.attributes.path} are in no set, such as "
                f"{unknown[0]!r}"
            )

    def _readable(self, one: Input) -> bool:
        try:
            found = self._set(one)
        except UserError:
            return False  # It is told as the reason of each run that wanted it.
        self.read[one] = self._with_attributes(found)
        return True

    def _example(self, one: Input) -> str:
        found = self.get(one)
        return str(
            found.items[0] if self.attributes and self.attributes.by == "items" else found.identities[0]
        )


def _values(
    inputs: "_Inputs", planned: Planned, chosen: Sequence[Input]
) -> tuple[list[Any], list[str], Path]:
    """Give the inputs of a run, the fingerprints of all that it takes, and where its result is kept."""
    values = [inputs.get(one) for one in chosen]
    prints = [value.fingerprint for value in (*values, *planned.lists.values())]
    analysis = planned.analysis
    return values, prints, inputs.lab.result(analysis.name, analysis.key(planned.params, prints))


def _is_stored(inputs: "_Inputs", planned: Planned, chosen: Sequence[Input]) -> bool:
    """Whether there is no need to compute: a result is kept, or an input cannot be read."""
    try:
        return _values(inputs, planned, chosen)[2].is_dir()
    except UserError:
        return True


def _run(planned: Planned, chosen: Sequence[Input], inputs: _Inputs, *, fresh: bool) -> Run:
    analysis, params = planned.analysis, planned.params
    title = " and ".join(one.title for one in chosen)
    try:
        values, fingerprints, folder = _values(inputs, planned, chosen)
        names = [*(one.title for one in chosen), *(f"pairs of {one.name}" for one in planned.lists.values())]
        if not fresh and (stored := _fetched(folder, analysis, title)) is not None:
            return stored
        begun = time.perf_counter()
        doing = f"{analysis.name}, {_named(chosen)}"
        enough = enough_memory(f"{analysis.name} of {title}", MEMORY_ADVICE)
        with enough, busy(doing), about(doing), inputs.kept.in_use():
            result = analysis.run(values, params, planned.lists)
        record = {
            "analysis": analysis.name,
            "key": folder.name,
            "title": result.title,
            "params": dataclasses.asdict(params),
            "files": params.files(),
            "inputs": [
                {"input": name, "fingerprint": print_}
                for name, print_ in zip(names, fingerprints, strict=True)
            ],
            "code": analysis.code,
            "versions": versions(),
            "machine": platform.machine(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - begun, 3),
        }
        unstored = _store(folder, result, record)
    except UserError as error:
        return Run(title, reason=str(error))
    except (Exception, SystemExit) as error:
        # Another package's analysis may end the interpreter; a signal, or another process, has to.
        if isinstance(error, Terminated) or (
            isinstance(error, SystemExit) and analysis.name in contract.builtin()
        ):
            raise
        if line := lacking(error):
            return Run(title, reason=line)
        return Run(title, error=traceback.format_exc())
    return Run(title, result, record=record, unstored=unstored)


def _store(folder: Path, result: Result, record: dict[str, Any]) -> str:
    """Keep a result, or say why it cannot be kept: hours of computing are shown all the same."""
    try:
        with atomic_folder(folder, replace=folder.is_dir()) as temporary:
            result.save(temporary)
            record["sha256"] = {name: sha256_of(temporary / name) for name in RESULT_FILES}
            record["sha256"][RECORD] = _digest(record)
            write_json(temporary / RECORD, record)
    except Unwritable as error:
        return str(error)
    return ""


class _Changed(Exception):
    """A stored result is not what was written."""


def _fetched(folder: Path, analysis: Analysis[Any, Any], title: str) -> Run | None:
    """Give a stored result; None where there is none, or what is there is not what was written."""
    if not folder.is_dir():
        return None
    sweep(folder.parent)
    try:
        return steadily(folder, lambda there: _stored(there, analysis, title))
    except Exception as error:
        # Of a damaged file JSON, zip and numpy raise nearly anything.
        changed = isinstance(error, _Changed)
        why = str(error) if changed else f"it cannot be read ({first_line(error)})"
    say(f"  the stored {analysis.name} of {title} is not used, for {why}: it is computed again")
    return None


def _stored(folder: Path, analysis: Analysis[Any, Any], title: str) -> Run:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    told = record["sha256"]
    changed = [name for name in RESULT_FILES if sha256_of(folder / name) != told[name]]
    if _digest(record) != told[RECORD] or record["key"] != folder.name:
        changed.append(RECORD)
    if changed:
        raise _Changed(f"{' and '.join(changed)} changed since")
    return Run(title, analysis.result.load(folder), record=record, cached=True)


def _digest(record: Mapping[str, Any]) -> str:
    """Hash a record, but for its own hash."""
    files = {name: value for name, value in record["sha256"].items() if name != RECORD}
    return hashlib.sha256(json.dumps({**record, "sha256": files}, sort_keys=True).encode()).hexdigest()


def _named(chosen: Sequence[Input]) -> str:
    """Name the inputs of a run shortly enough to stand beside a bar."""
    if len(chosen) < 3:
        return " and ".join(one.title for one in chosen)
    models, probes = (
        dict.fromkeys(names) for names in zip(*((o.model, o.probe) for o in chosen), strict=True)
    )
    if len(models) == 1:
        return f"{len(chosen)} probes in {chosen[0].model}"
    return f"{chosen[0].probe} in {len(models)} models" if len(probes) == 1 else f"{len(chosen)} sets"


def probes_used(lab: Lab, study: Study, planned: Sequence[Planned] | None = None) -> tuple[str, ...]:
    """List a study's probes, and those that its analyses ask for beyond them and some model has."""
    every = probes_of(plan(study) if planned is None else planned, study)
    having = {probe for model in study.models for probe in lab.probes(model, study.people)}
    return tuple(probe for probe in every if probe in study.probes or probe in having)


def is_stale(lab: Lab, model: str, probe: str, people: int = 0) -> bool:
    """Say whether stored vectors bear the name of a network of the lab that did not make them."""
    return model in lab.trained() and not lab.is_made_here(model, probe, people)


def sets_used(lab: Lab, study: Study, planned: Sequence[Planned] | None = None) -> list[dict[str, Any]]:
    """List the sets that a study uses: model, probe, numbers of images and people, and a hash of their names.

    Equal hashes say that the same images of the same people were measured, whatever their order. Where people
    are drawn, ``of_people`` says of how many.
    """
    found, last = [], None
    for model, probe in itertools.product(study.models, probes_used(lab, study, planned)):
        path = lab.embeddings_file(model, probe, study.people)
        # What cannot be read is told where it is needed.
        with suppress(UserError):
            if path.is_file():
                last = embeddings.members(path, last, study.people)
                found.append({"model": model, "probe": probe, **last.told})
    return found


def told_drawn(sets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of the sets in ``sets_used`` how many people were drawn, and of how many, where they were."""
    found: dict[tuple[int, int, int], dict[str, None]] = {}
    for one in sets:
        if "of_people" in one:
            key = (one["people"], one["of_people"], one["images"])
            found.setdefault(key, {})[str(one["probe"])] = None
    return [
        f"{some:,} of the {every:,} people of {listed(probes)} were drawn, with all their "
        f"{counted(images, 'image')}"
        for (some, every, images), probes in found.items()
    ]


def _dimension(path: Path) -> int | None:
    """Read how many numbers the vectors of a file have; None of a file that does not say."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(parquet.parts(path)[0])
    kind = schema.field("embedding").type if "embedding" in schema.names else None
    return getattr(kind, "list_size", None)


def embedding_records(
    lab: Lab, study: Study, planned: Sequence[Planned] | None = None
) -> list[dict[str, Any]]:
    """Give the provenance that stands in each embedding file that a study uses.

    ``model`` and ``probe`` are what folder and file are called now; ``stale`` says that the network of
    that name did not make the vectors; ``dimension`` is how many numbers each has; of a file that cannot be
    read ``unreadable`` says why.
    """
    found, probes = [], probes_used(lab, study, planned)
    for model in study.models:
        for probe in probes:
            path = lab.embeddings_file(model, probe, study.people)
            named = {"model": model, "probe": probe}
            if path.is_file():
                try:
                    stale = {"stale": True} if is_stale(lab, model, probe, study.people) else {}
                    told = embeddings.metadata(path)
                    found.append({**told, **named, **stale, "dimension": _dimension(path)})
                except UserError as error:
                    found.append({**named, "unreadable": str(error)})
    return found
