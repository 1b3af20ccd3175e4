"""A study: which models, probes, analyses and parameters; from a TOML file or from CLI words."""

import dataclasses
import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from embedlab import analysis as contract
from embedlab import question, wording
from embedlab.analysis import Analysis, Params
from embedlab.errors import UserError, checked_word
from embedlab.files.documents import text_of, toml
from embedlab.formats import protocols
from embedlab.formats.protocols import PairList
from embedlab.over import Input
from embedlab.wording import Words

CHAPTERS: Mapping[str, tuple[str, ...]] = {
    "Recognition": ("verification", "accuracy", "calibration", "identification", "watchlist", "scaling"),
    "Resolution": ("resolution", "drift", "separability", "displacement", "encoding", "restoration"),
    "Errors": ("distances", "confusions", "enrolment", "audit", "groups", "quality", "membership"),
    "Space": ("geometry", "norms", "components", "projection"),
    "Models compared": (
        "similarity",
        "families",
        "neighbours",
        "movers",
        "mapping",
        "migration",
        "registration",
        "overlay",
    ),
    "Inside the networks": (
        "structure",
        "kernels",
        "directions",
        "layers",
        "barrier",
        "spectra",
        "norm_layers",
        "training",
    ),
}
"""What a report is read by, and the analyses in each chapter, in the order in which they are asked."""

FURTHER = "Further"
"""The chapter of analyses that no chapter names."""

READING_ORDER = tuple(name for names in CHAPTERS.values() for name in names)
"""How a report asks if nobody says otherwise; further analyses come after these, by name."""


def chapter_of(name: str) -> str:
    """Name the chapter of a report in which an analysis stands."""
    return next((chapter for chapter, names in CHAPTERS.items() if name in names), FURTHER)


@dataclass(frozen=True)
class Statement:
    """What somebody said, and the answer that would bear it out.

    Attributes
    ----------
    text
        A sentence.
    question
        The name of the question that it answers.
    verdict
        What the answer is where it is true: ``yes`` or ``no``.
    models
        Of which models; none means of all that were asked.
    about
        Words in what the answer is counted in, where a question has several, as "threshold".
    """

    text: str
    question: str
    verdict: Literal["yes", "no"]
    models: tuple[str, ...] = ()
    about: str = ""


@dataclass(frozen=True)
class Study:
    """What is asked; its report is the answer.

    Attributes
    ----------
    models, probes
        Names, in the order in which they are shown.
    analyses
        Names of analyses; empty means all there are.
    overrides
        Analysis → parameter → value, where it differs from the default.
    pairs
        File of pairs, for all analyses that take such a list; the same as their parameter for it.
    attributes
        CSV file of columns to join onto every embedding set.
    title, prose
        The report's heading, and Markdown-free paragraphs put before the findings.
    statements
        What was said before, to be held against the answers.
    words
        What people and images are called; see ``wording.speaking``.
    people
        How many people of each set are drawn, with all their images; 0 takes all.
    """

    models: tuple[str, ...]
    probes: tuple[str, ...] = ()
    analyses: tuple[str, ...] = ()
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pairs: str = ""
    attributes: str = ""
    title: str = ""
    prose: str = ""
    statements: tuple[Statement, ...] = ()
    words: Words = field(default_factory=dict)
    people: int = 0


@dataclass(frozen=True)
class Planned:
    """An analysis with its parameters, and the inputs of each of its runs.

    Attributes
    ----------
    analysis, params
        What is asked.
    runs
        The inputs of each run.
    lists
        The lists of pairs that every run gets beside them, by parameter; see ``with_lists``.
    """

    analysis: Analysis[Any, Any]
    params: Params
    runs: tuple[tuple[Input, ...], ...] = ()
    lists: Mapping[str, PairList] = field(default_factory=dict)

    def on(self, study: Study) -> "Planned":
        """Give the same with the runs over a study's models and probes, and over those it asks for itself."""
        analysis, given = self.analysis, study
        if analysis.probes is not None and study.probes:
            probes = dict.fromkeys(analysis.probes(self.params, study.probes))
            given = dataclasses.replace(study, probes=tuple(probes))
        return dataclasses.replace(
            self, runs=tuple(run for over in analysis.overs for run in over.runs(given))
        )


def read(path: Path) -> Study:
    """Read a study from TOML; the prose is the ``.md`` file of the same name beside it, if any.

    The file has ``models`` and, if wanted, ``title``, ``probes``, ``analyses``, ``pairs``,
    ``attributes``, a table ``[set.<analysis>]`` of parameters, ``words = { identity = "speaker" }`` where it
    is not about images of people, ``people = 5000`` where so many of them are enough, and a ``[[statement]]``
    for each thing that was said before, with the keys of ``Statement``. Paths start from the working folder,
    as those of the command line do.

    Raises
    ------
    UserError
        If the file is missing or no TOML, a key is unknown or of the wrong kind, or the prose is no text.
    """
    values = toml(path, "the study")
    known = {
        "title",
        "models",
        "probes",
        "analyses",
        "pairs",
        "attributes",
        "people",
        "set",
        "statement",
        "words",
    }
    if unknown := sorted(set(values) - known):
        raise UserError(f"{path}: unknown key {unknown[0]!r}: a study has {', '.join(sorted(known))}")
    for key in ("models", "probes", "analyses"):
        words = values.get(key, [])
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError(f'{path}: {key} must be a list of names, such as {key} = ["…"]')
        for word in words:
            checked_word(word, f"{path}: {key}")
    for key in ("pairs", "attributes"):
        if not isinstance(values.get(key, ""), str):
            raise UserError(f'{path}: {key} must be the path of a file, such as {key} = "{key}.csv"')
    overrides = values.get("set", {})
    if not isinstance(overrides, dict) or not all(isinstance(v, dict) for v in overrides.values()):
        raise UserError(f"{path}: parameters stand in a table each, such as [set.distances]")
    words = values.get("words", {})
    if not isinstance(words, dict):
        raise UserError(f'{path}: words must be a table, such as words = {{ identity = "speaker" }}')
    if not values.get("models"):
        raise UserError(f'{path}: no models named: add a line such as models = ["lowres144"]')
    people = values.get("people", 0)
    if not isinstance(people, int) or isinstance(people, bool) or people < 0 or people == 1:
        raise UserError(f"{path}: people must be a whole number of people to draw, two or more, or 0 for all")
    prose = path.with_suffix(".md")
    return Study(
        models=tuple(values["models"]),
        probes=tuple(values.get("probes", ())),
        analyses=tuple(values.get("analyses", ())),
        overrides=overrides,
        pairs=values.get("pairs", ""),
        attributes=values.get("attributes", ""),
        title=str(values.get("title", path.stem)),
        prose=text_of(prose, "the prose") if prose.is_file() else "",
        statements=_statements(path, values.get("statement", [])),
        words=wording.checked(words, f"{path}: words"),
        people=people,
    )


def _statements(path: Path, found: Any) -> tuple[Statement, ...]:
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UserError(f"{path}: what was said stands in a table each, [[statement]]")
    keys = [one.name for one in dataclasses.fields(Statement)]
    made = []
    for number, one in enumerate(found, 1):
        where = f"{path}: statement {number}"
        if unknown := sorted(set(one) - set(keys)):
            raise UserError(f"{where}: unknown key {unknown[0]!r}: it has {', '.join(keys)}")
        models = one.get("models", [])
        if not isinstance(models, list) or not all(isinstance(word, str) for word in models):
            raise UserError(f'{where}: models must be a list of names, such as models = ["…"]')
        words = {key: one.get(key, "") for key in keys if key != "models"}
        if not all(isinstance(word, str) for word in words.values()) or not words["text"]:
            raise UserError(f"{where}: text, question, verdict and about must be text, and text a sentence")
        if words["question"] not in question.names():
            raise UserError(
                f"{where}: there is no question {words['question']!r}: there are "
                f"{', '.join(question.names())}"
            )
        if words["verdict"] not in ("yes", "no"):
            raise UserError(f"{where}: verdict must be yes or no, as the answer is where it is true")
        made.append(Statement(**words, models=tuple(models)))
    return tuple(made)


def merged(
    study: Study,
    *,
    probes: Sequence[str] = (),
    analyses: Sequence[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    pairs: str | None = None,
    attributes: str | None = None,
    people: int | None = None,
) -> Study:
    """Return a study with words of the command line put over those of its file."""
    sets = {name: dict(values) for name, values in study.overrides.items()}
    for name in sets.keys() & contract.names().keys() if pairs else ():
        for key in _lists(name):
            sets[name].pop(key, None)
    for name, values in (overrides or {}).items():
        sets.setdefault(name, {}).update(values)
    return dataclasses.replace(
        study,
        probes=tuple(probes) or study.probes,
        analyses=tuple(analyses) or study.analyses,
        overrides=sets,
        pairs=pairs or study.pairs,
        attributes=attributes or study.attributes,
        people=study.people if people is None else people,
    )


def parse_set(words: Sequence[str], only: str = "") -> dict[str, dict[str, Any]]:
    """Turn ``distances.bins=400`` words into overrides by analysis.

    Parameters
    ----------
    words
        As they stand on the command line.
    only
        The analysis (or recipe) meant where a word names none: ``bins=400``.

    Raises
    ------
    UserError
        If a word is not of that form.
    """
    overrides: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        analysis, _, parameter = name.rpartition(".")
        analysis = analysis or only
        if not (equals and analysis and parameter):
            such = [f"{one}.{name}={value}" for one in _takers(name)] if equals and not analysis else []
            hint = f", such as {question.listed(such)}" if such else ""
            raise UserError(f"cannot read --set {word!r}: write it as analysis.parameter=value{hint}")
        given = overrides.setdefault(analysis, {})
        if given.setdefault(parameter, value) != value:
            raise UserError(f"--set gives {name} twice, as {given[parameter]} and as {value}: leave one out")
    return overrides


def _takers(parameter: str) -> list[str]:
    """Name the analyses that have a parameter."""
    usable = sorted(set(contract.names()) - set(contract.unusable()))
    return [name for name in usable if parameter in contract.get(name).params.__dataclass_fields__]


def asked(study: Study) -> list[Planned]:
    """Read which analyses a study asks for, with which parameters; what they run on may come later.

    Raises
    ------
    UserError
        If an analysis, a parameter or an override is unknown, a parameter names a file that is not there, or
        no analysis takes the study's pairs.
    """
    wanted = names(study)
    if study.pairs and not takes_pairs(study):
        takers = " or ".join(filter(_lists, names(Study(study.models))))
        raise UserError(
            f"the pairs of {study.pairs} are for {takers}, which is not run: leave them out, or run it too"
        )
    questions = [name for name in study.overrides if name in question.names()]
    for name in questions:
        question.params_of(name, study.overrides)
    if strangers := [name for name in study.overrides if name not in (*wanted, *questions)]:
        raise UserError(
            f"parameters set for {strangers[0]!r}, which is not run: there are {', '.join(wanted)}, and the "
            f"questions {', '.join(question.names())}"
        )
    found = []
    for name in wanted:
        analysis = contract.get(name)
        sets = dict.fromkeys(analysis.params.lists(), study.pairs) if study.pairs else {}
        beside = question.get(name).params if name in questions else None
        given = {**sets, **study.overrides.get(name, {})}
        params = analysis.params.with_overrides(given, where=f"{name}.", beside=beside)
        params.files()
        for path in filter(None, params.lists().values()):
            protocols.check(path)
        found.append(Planned(analysis, params))
    return found


def plan(study: Study) -> list[Planned]:
    """Decide which runs answer a study; raises as ``asked`` does."""
    return [one.on(study) for one in asked(study)]


def with_lists(planned: Sequence[Planned]) -> list[Planned]:
    """Read the lists of pairs that parameters name, each file once; those that are read already stay.

    Raises
    ------
    UserError
        If one cannot be read.
    """
    lists = [{key: path for key, path in one.params.lists().items() if path} for one in planned]
    found = {
        path: one.lists[key]
        for one, own in zip(planned, lists, strict=True)
        for key, path in own.items()
        if key in one.lists
    }
    for path in (path for own in lists for path in own.values()):
        if path not in found:
            found[path] = protocols.read(path)
    return [
        dataclasses.replace(one, lists={key: found[path] for key, path in own.items()})
        for one, own in zip(planned, lists, strict=True)
    ]


def takes_pairs(study: Study) -> bool:
    """Say whether an analysis of a study takes a list of pairs."""
    return any(map(_lists, names(study)))


def _lists(name: str) -> tuple[str, ...]:
    """Name the parameters of an analysis that name lists of pairs."""
    return tuple(contract.get(name).params.lists())


def names(study: Study) -> tuple[str, ...]:
    """List the analyses of a study: those it names, else all that can be used, in reading order."""
    place = {name: k for k, name in enumerate(READING_ORDER)}
    if study.analyses:
        return study.analyses
    usable = set(contract.names()) - set(contract.unusable())
    return tuple(sorted(usable, key=lambda name: (place.get(name, len(place)), name)))


def takes_sets(planned: Sequence[Planned]) -> bool:
    """Say whether an analysis looks at images or their embeddings, or all look at weights alone."""
    return any(one.analysis.looks_at(kind) for one in planned for kind in ("set", "network"))


def probes_of(planned: Sequence[Planned], study: Study) -> tuple[str, ...]:
    """List a study's probes and those that its analyses ask for beyond them."""
    further = (one.probe for each in planned for run in each.runs for one in run if one.kind == "set")
    return tuple(dict.fromkeys((*study.probes, *further)))


def params_of(name: str) -> dict[str, tuple[Any, str]]:
    """Give each parameter of an analysis with its default, and its docstring and bounds.

    The docstring is the string that stands under the field in the source.
    """
    params = contract.get(name).params
    kind: Any = type(params)
    docs = _documented(kind)
    found = {}
    for one in dataclasses.fields(params):
        bounds = contract.in_words(one)
        words = [
            *docs.get(one.name, "").split(),
            *([f"{bounds[0].upper()}{bounds[1:]}."] if bounds else ()),
        ]
        found[one.name] = (getattr(params, one.name), " ".join(words))
    return found


@cache
def _documented(kind: type) -> dict[str, str]:
    """Read from a record's source what stands under each field."""
    import ast
    import inspect

    # Python's own look for a class parses the whole module first.
    lines = inspect.findsource(sys.modules[kind.__module__])[0]
    named = re.compile(rf"class {kind.__qualname__}\b")
    head = next((k for k, line in enumerate(lines) if named.match(line)), None)
    text = inspect.getsource(kind) if head is None else "".join(inspect.getblock(lines[head:]))
    body = ast.parse(text).body[0].body  # type: ignore[attr-defined]
    return {
        a.target.id: str(b.value.value)
        for a, b in itertools.pairwise(body)
        if isinstance(a, ast.AnnAssign)
        and isinstance(a.target, ast.Name)
        and isinstance(b, ast.Expr)
        and isinstance(b.value, ast.Constant)
    }
