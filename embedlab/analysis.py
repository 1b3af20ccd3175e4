"""The contract of an analysis: Params, Result, Analysis; and where analyses are found."""

import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import json
import math
import operator
import pkgutil
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, Self, TypeVar, cast

import numpy as np

from embedlab import closure, plugins
from embedlab.charts import Chart
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, Finding, Tone, counted
from embedlab.estimates import label as written
from embedlab.files.frames import frame
from embedlab.lab.store import checked_name, sha256_of, write_json
from embedlab.over import Kind, Over, Word, named
from embedlab.shapes import check_shapes

ENTRY_POINTS = "embedlab.analyses"
NO_LISTS: Mapping[str, Any] = MappingProxyType({})
INPUTS = ("embedlab.analysis", "embedlab.lab.embeddings", "embedlab.lab.weights")
"""On these every result depends, however its analysis came by them."""

ESTIMATED = ("value", "low", "high", "n", "null")

BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "least": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "most": ("at most", operator.le),
    "below": ("below", operator.lt),
}

__all__ = [
    "Analysis", "Estimate", "Estimates", "Finding", "Number", "Params", "Result", "Tone",
    "bounded", "code_fingerprint", "get", "names",
]  # fmt: skip

N = TypeVar("N", int, float)


def bounded(
    default: N,
    *,
    least: N | None = None,
    above: N | None = None,
    most: N | None = None,
    below: N | None = None,
) -> N:
    """Declare a number of ``Params`` with default and bounds: ``bins: int = bounded(64, least=4)``."""
    given = {"least": least, "above": above, "most": most, "below": below}
    return field(default=default, metadata={k: v for k, v in given.items() if v is not None})


def bounds_of(declared: dataclasses.Field[Any]) -> dict[str, float]:
    """Give the bounds that a field was declared with, by the words of ``BOUNDS``."""
    return {word: declared.metadata[word] for word in BOUNDS if word in declared.metadata}


def in_words(declared: dataclasses.Field[Any]) -> str:
    """Say a field's bounds, such as "at least 4 and at most 4096"; nothing where it has none."""
    return " and ".join(f"{BOUNDS[word][0]} {bound}" for word, bound in bounds_of(declared).items())


def _check(declared: dataclasses.Field[Any], value: Any, name: str) -> None:
    if not all(BOUNDS[word][1](value, bound) for word, bound in bounds_of(declared).items()):
        raise UserError(f"{name} must be {in_words(declared)}, not {value}")


@dataclass(frozen=True)
class Params:
    """An analysis's knobs: flat scalars, each with a default and a docstring under it.

    A number is declared with its bounds, ``bounded(64, least=4)``; none beyond them can be made. A field
    that names a file is text, declared ``field(default="", metadata={"file": True})``; empty is no file. What
    stands in the file then belongs to the inputs of a result. One that names a list of pairs has the
    metadata ``{"pairs": True}``: it is read before the work, once for all analyses, and ``compute`` gets it
    as a `embedlab.formats.protocols.PairList`, by the field's name.

    Raises
    ------
    UserError
        If a number is beyond its bounds.
    """

    def __post_init__(self) -> None:
        where = type(self).__module__.rpartition(".")[2]
        for one in dataclasses.fields(self):
            _check(one, getattr(self, one.name), f"{where}.{one.name}")

    def with_overrides(
        self, overrides: Mapping[str, Any], where: str = "", beside: "Params | None" = None
    ) -> Self:
        """Return a copy with some values changed; text is read as the field's own type.

        Of an analysis and a question of one name each is given what is set for both: what the record
        ``beside`` this one declares is left to it.

        Raises
        ------
        UserError
            If a name is unknown, or a value has the wrong type or is beyond its bounds; the message lists
            what there is.
        """
        hints = typing.get_type_hints(type(self))
        declared = {one.name: one for one in dataclasses.fields(self)}
        others = [one.name for one in dataclasses.fields(beside)] if beside is not None else []
        changed = {}
        for name, value in overrides.items():
            if name not in hints:
                if name in others:
                    continue
                there = ", ".join([*hints, *others]) or "none"
                raise UserError(f"unknown parameter {where}{name}: there are {there}")
            changed[name] = _converted(value, hints[name], f"{where}{name}")
            _check(declared[name], changed[name], f"{where}{name}")
        return dataclasses.replace(self, **changed)

    def files(self) -> dict[str, str]:
        """Hash each file that a field names: parameter → sha256 of the contents.

        Raises
        ------
        UserError
            If one is not there.
        """
        found = {}
        for one in dataclasses.fields(self):
            path = getattr(self, one.name) if one.metadata.get("file") else ""
            if path:
                try:
                    found[one.name] = sha256_of(Path(path))
                except OSError as error:
                    raise UserError(
                        f"cannot read {path}: {error.strerror or error}: {one.name} must name a file"
                    ) from None
        return found

    def lists(self) -> dict[str, str]:
        """Give the fields that name a list of pairs, with the file each names; empty where it names none."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("pairs")}


def _converted(value: Any, hint: Any, name: str) -> Any:
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value in choices:
            return value
        raise UserError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
    if hint is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, str) and hint in (int, float):
        with contextlib.suppress(ValueError):
            value = hint(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} must be a finite number, not {value!r}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise UserError(f"{name} must be a whole number of at most 64 bits: give a smaller one")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UserError(f"{name} must be {hint.__name__}, not {value!r}")


Number = Estimate | float | int | str


@dataclass(frozen=True)
class Result:
    """What ``compute`` found: a title, scalars and Estimates, and arrays with declared shapes.

    Fields may be str, int, float, bool, None, Estimate, tuples of these, Estimates, a dict from label or
    from what and place to a number, or a numpy array annotated with jaxtyping.
    """

    title: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # A dataclass would make one that writes out every array.
        super().__init_subclass__(**kwargs)
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        check_shapes(self)

    def __repr__(self) -> str:
        """Name it, and how much it holds: its numbers are in ``numbers()`` and ``to_pandas()``."""
        return f"<{type(self).__name__} of {self.title}: {counted(len(self.numbers()), 'number')}>"

    def to_pandas(self) -> Any:
        """Give the numbers as a ``pandas.DataFrame``: label, value, low, high, n and null.

        Raises
        ------
        UserError
            If pandas is not installed.
        """
        return frame(
            {
                "label": label,
                **({k: getattr(one, k) for k in ESTIMATED} if isinstance(one, Estimate) else {"value": one}),
            }
            for label, one in self.numbers().items()
        ).reindex(columns=["label", *ESTIMATED])

    def numbers(self) -> dict[str, Number]:
        """List the numbers for the report's table, by label."""
        found: dict[str, Number] = {}
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            label = one.metadata.get("label", one.name.replace("_", " "))
            if one.name == "title" or one.metadata.get("hidden"):
                continue
            if isinstance(value, Estimates):
                found |= value.labelled()
            elif isinstance(value, Mapping):
                found |= {written(key) if isinstance(key, tuple) else key: v for key, v in value.items()}
            elif isinstance(value, Estimate | float | int | str):
                found[label] = value
        return found

    def save(self, folder: Path) -> None:
        """Write ``result.json`` and ``arrays.npz`` into an existing folder, without pickle.

        A number that is not finite is written as its name, since JSON has none; programs that read the
        report's numbers get null.
        """
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        draws: dict[int, list[np.ndarray]] = {}
        scalars = {name: _encoded(value, draws) for name, value in values.items() if name not in arrays}
        write_json(folder / "result.json", scalars)
        stacked = {_stack(count): np.stack(rows).astype(np.float32) for count, rows in draws.items()}
        np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **arrays, **stacked)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; equal to the result that was saved."""
        scalars = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        fields = {one.name for one in dataclasses.fields(cls)}
        values = {name: _decoded(value, arrays) for name, value in scalars.items()}
        return cls(**values, **{name: array for name, array in arrays.items() if name in fields})


def _stack(count: int) -> str:
    """Name the array of all draws of so many resamples; no field can be called so."""
    return f"draws of {count}"


def _encoded(value: Any, draws: dict[int, list[np.ndarray]]) -> Any:
    """Turn a field into plain values; replicates of estimates go to ``draws``, by their number."""
    if isinstance(value, Estimate):
        plain = {key: _encoded(getattr(value, key), draws) for key in ESTIMATED}
        if len(value.draws):
            rows = draws.setdefault(len(value.draws), [])
            rows.append(value.draws)
            plain |= {"draws": [len(value.draws), len(rows) - 1], "drawn_from": value.drawn_from}
        return {"estimate": plain}
    if isinstance(value, Estimates):
        return {"estimates": [[list(key), _encoded(item, draws)] for key, item in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"not finite": str(float(value))}
    if isinstance(value, Mapping):
        return {"mapping": [[key, _encoded(item, draws)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return [_encoded(item, draws) for item in value]
    return value


def _decoded(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, dict) and "estimate" in value:
        plain = dict(value["estimate"])
        plain |= {key: _decoded(plain[key], arrays) for key in ESTIMATED}
        if "draws" in plain:
            count, row = plain["draws"]
            plain["draws"] = arrays[_stack(count)][row]
        return Estimate(**plain)
    if isinstance(value, dict) and "estimates" in value:
        return Estimates({tuple(key): _decoded(item, arrays) for key, item in value["estimates"]})
    if isinstance(value, dict) and "not finite" in value:
        return float(value["not finite"])
    if isinstance(value, dict) and "mapping" in value:
        pairs = value["mapping"]
        return {_decoded(key, arrays): _decoded(item, arrays) for key, item in pairs}
    if isinstance(value, list):
        return tuple(_decoded(item, arrays) for item in value)
    return value


P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Analysis(Generic[P, R]):
    """A question and the three functions that answer it.

    Attributes
    ----------
    question
        What is asked, ending in a question mark.
    over
        What one run takes, by a word of `embedlab.over.OVERS`: compute(a, params) for ``set``;
        compute(a, b, params) for the pairs, where a is the native probe of a ``degraded pair``;
        compute(sets, params) for ``model`` and ``models``. Several of these words, if ``compute`` takes the
        inputs of each.
    params
        The defaults.
    result
        The record that ``compute`` returns.
    compute, charts, findings
        Inputs and params → result; results → charts; results → sentences.
    probes
        For an analysis that needs more than the study's probes: params and those probes → the probes
        of its own runs. Those that are missing are made.
    called
        The name of another package's analysis; empty where the file's name is the name.
    declared
        The module that its entry point names; empty where that of ``compute`` declares it.
    save
        For an analysis that gives a file to work with: results and a path → that file, written.
    """

    question: str
    over: Word | tuple[Word, ...]
    params: P
    result: type[R]
    compute: Callable[..., R]
    charts: Callable[[Sequence[R]], list[Chart]]
    findings: Callable[[Sequence[R]], list[Finding]]
    probes: Callable[[P, Sequence[str]], tuple[str, ...]] | None = None
    called: str = ""
    declared: str = ""
    save: Callable[[Sequence[R], Path], None] | None = None

    @property
    def name(self) -> str:
        """The file's name is the analysis's name, unless an entry point gives another."""
        return self.called or self.compute.__module__.rpartition(".")[2]

    @property
    def overs(self) -> tuple[Over, ...]:
        """What its runs are over.

        Raises
        ------
        UserError
            If there is no such kind of run.
        """
        return tuple(map(named, self.over if isinstance(self.over, tuple) else (self.over,)))

    @property
    def needs(self) -> str:
        """What must be there for a run, in words."""
        return " or ".join(dict.fromkeys(one.needs for one in self.overs))

    def looks_at(self, kind: Kind) -> bool:
        """Whether a run takes embedding sets, or weights."""
        return any(one.kind == kind for one in self.overs)

    @property
    def doc(self) -> str:
        """The module's docstring: what it measures, how to read it, limits, references."""
        return inspect.getdoc(importlib.import_module(self.compute.__module__)) or ""

    @property
    def takes_many(self) -> bool:
        """Whether ``compute`` takes a sequence of however many sets."""
        return all(one.many for one in self.overs)

    def run(self, inputs: Sequence[Any], params: Params, lists: Mapping[str, Any] = NO_LISTS) -> R:
        """Call ``compute`` as ``over`` says: on a sequence of sets, or on one or two inputs.

        Parameters
        ----------
        inputs, params
            What it takes.
        lists
            The lists of pairs that ``params`` names, by their fields.
        """
        if self.takes_many:
            return self.compute(tuple(inputs), params, **lists)
        return self.compute(*inputs, params, **lists)

    @property
    def code(self) -> str:
        """Hash the code that a result depends on, wherever its parts are declared."""
        parts = (_written(self.compute), self.result, type(self.params))
        declared = [self.compute.__module__, *(str(part.__module__) for part in parts)]
        return code_fingerprint(self.declared or declared[0], declared)

    def key(self, params: Params, fingerprints: Sequence[str]) -> str:
        """Name a result by its code, its parameters, the files they name, and its inputs, lists of pairs too.

        Raises
        ------
        UserError
            If a parameter names a file that is not there.
        """
        parts: list[Any] = [self.code, dataclasses.asdict(params)]
        parts += [list(fingerprints), *([files] if (files := params.files()) else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _written(function: Any) -> Any:
    """Look behind decorators and ``functools.partial`` for the function that somebody wrote."""
    while (inner := getattr(function, "__wrapped__", getattr(function, "func", None))) is not None:
        function = inner
    return function


def code_fingerprint(module: str, further: Sequence[str] = ()) -> str:
    """Hash the code that a result depends on: all that the analysis imports, and what hands it its inputs.

    Hashing source rather than a version by hand means that no edit can leave a stale result, at
    the price of one recomputation after a comment has changed. Charts do not count: ``compute`` may not
    use them, so no number of a result can come from there.
    """
    return closure.fingerprint(module, (*INPUTS, *further))


def builtin() -> dict[str, str]:
    """List the analyses that come with embedlab and the module that declares each."""
    folder = str(Path(__file__).parent / "analyses")
    return {m.name: f"embedlab.analyses.{m.name}" for m in sorted(pkgutil.iter_modules([folder]))}


def names() -> dict[str, str]:
    """List every analysis and where it is declared, without importing any of them.

    Returns
    -------
    Name → module, or ``module:attribute`` as an entry point may have it.
    """
    others = {point.name: point.value for point in reversed(plugins.points(ENTRY_POINTS))}
    return dict(sorted((others | builtin()).items()))


def unusable() -> dict[str, str]:
    """Import the analyses of other packages, and say of each that cannot be used why, in a sentence.

    Returns
    -------
    Name of the entry point → what is wrong; where it has the name of another analysis, that name and its
    value, ``name = module``.
    """
    found, taken = {}, dict(builtin())
    for point in plugins.points(ENTRY_POINTS):
        if point.name in taken:
            found[f"{point.name} = {point.value}"] = (
                f"the analysis {point.name!r} of {point.value} has the name of that of {taken[point.name]}, "
                "and is left out: rename its entry point"
            )
            continue
        taken[point.name] = point.value
        try:
            _declared(point.name, point.value)
        except UserError as error:
            found[point.name] = str(error)
    return found


def get(name: str) -> Analysis[Any, Any]:
    """Import one analysis by name.

    Raises
    ------
    UserError
        If there is none of that name, and the message lists what there is; or if it is another package's
        and cannot be imported.
    """
    # Our own go before others' of the name, and a look at all that is installed takes long.
    if own := builtin().get(name):
        return cast("Analysis[Any, Any]", importlib.import_module(own).ANALYSIS)
    known = names()
    if name not in known:
        raise UserError(f"unknown analysis {name!r}: there are {', '.join(known)}")
    return _declared(name, known[name])


def _declared(name: str, value: str) -> Analysis[Any, Any]:
    """Import what an entry point names: a module that declares ``ANALYSIS``, or ``module:attribute``."""
    where = plugins.where("analysis", name, value)
    try:
        checked_name(name, "analysis")
    except UserError as error:
        raise UserError(f"{where} is left out: {error}") from None
    found = plugins.load("analysis", name, value, "ANALYSIS")
    if not isinstance(found, Analysis):
        kind = type(found).__name__
        raise UserError(
            f"{where} is {kind}, not an embedlab.analysis.Analysis: mend or uninstall that package"
        )
    try:
        _ = found.overs
    except UserError as error:
        raise UserError(f"{where} cannot be run ({error}): mend or uninstall that package") from None
    return dataclasses.replace(found, called=name, declared=plugins.parts(value)[0])
