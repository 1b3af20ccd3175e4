"""The contract of an analysis: Params, Estimate, Result, Finding, Analysis; and where they are found."""

import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import json
import math
import pkgutil
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar, cast

import numpy as np

from embedlab import closure
from embedlab.charts import Chart
from embedlab.errors import Terminated, UserError, first_line
from embedlab.shapes import check_shapes
from embedlab.store import checked_name, sha256_of, write_json

Over = Literal["set", "model", "probe pair", "degraded pair", "model pair", "models", "weight pair"]
Tone = Literal["good", "bad", "plain"]
ENTRY_POINTS = "embedlab.analyses"
INPUTS = ("embedlab.analysis", "embedlab.embeddings", "embedlab.weights")
"""On these every result depends, however its analysis came by them."""


@dataclass(frozen=True)
class Params:
    """An analysis's knobs: flat scalars, each with a default and a docstring under it.

    A field that names a file is text, declared ``field(default="", metadata={"file": True})``; empty is
    no file. What stands in the file then belongs to the inputs of a result.
    """

    def with_overrides(self, overrides: Mapping[str, Any], where: str = "") -> Self:
        """Return a copy with some values changed; text is read as the field's own type.

        Raises
        ------
        UserError
            If a name is unknown or a value has the wrong type; the message lists what there is.
        """
        hints = typing.get_type_hints(type(self))
        changed = {}
        for name, value in overrides.items():
            if name not in hints:
                raise UserError(f"unknown parameter {where}{name}: there are {', '.join(hints) or 'none'}")
            changed[name] = _converted(value, hints[name], f"{where}{name}")
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


@dataclass(frozen=True)
class Estimate:
    """A headline number with its interval and its null.

    Attributes
    ----------
    value
        The number itself.
    low, high
        Ends of the 95 % interval; None where none can be given.
    n
        How many independent units (identities, unless the analysis says otherwise) it rests on.
    null
        The same number where there is nothing to find (shuffled pairing, unrelated identities,
        random weights); None where the analysis says why there is none.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    null: float | None = None

    def __format__(self, spec: str) -> str:
        """Format as "0.91 [0.88, 0.93]", each number by ``spec`` (default ``.3f``)."""
        spec = spec or ".3f"
        text = format(self.value, spec)
        if self.low is None or self.high is None:
            return text
        return f"{text} [{format(self.low, spec)}, {format(self.high, spec)}]"

    def points(self) -> str:
        """Write a difference of shares in percentage points, as "+1.2 points [-0.3, +2.7]"."""
        ends = [end for end in (self.value, self.low, self.high) if end is not None]
        digits = 1 if max(map(abs, ends)) >= 0.01 else 2
        value, *span = (f"{100 * end:+.{digits}f}" for end in ends)
        return f"{value} points [{', '.join(span)}]" if len(span) == 2 else f"{value} points"


Number = Estimate | float | int | str


@dataclass(frozen=True)
class Result:
    """What ``compute`` found: a title, scalars and Estimates, and arrays with declared shapes.

    Fields may be str, int, float, bool, None, Estimate, tuples of these, a dict from label to
    Estimate, or a numpy array annotated with jaxtyping.
    """

    title: str

    def __post_init__(self) -> None:
        check_shapes(self)

    def numbers(self) -> dict[str, Number]:
        """List the numbers for the report's table, by label."""
        found: dict[str, Number] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            label = field.metadata.get("label", field.name.replace("_", " "))
            if field.name == "title" or field.metadata.get("hidden"):
                continue
            if isinstance(value, Mapping):
                found.update({str(k): v for k, v in value.items()})
            elif isinstance(value, Estimate | float | int | str):
                found[label] = value
        return found

    def save(self, folder: Path) -> None:
        """Write ``result.json`` and ``arrays.npz`` into an existing folder, without pickle.

        A number that is not finite is written as its name, since JSON has none; programs that read the
        report's numbers get null.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        write_json(
            folder / "result.json",
            {name: _encoded(value) for name, value in values.items() if name not in arrays},
        )
        np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; equal to the result that was saved."""
        scalars = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        values = {name: _decoded(value) for name, value in scalars.items()}
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            values |= {name: arrays[name] for name in arrays.files}
        return cls(**values)


def _encoded(value: Any) -> Any:
    if isinstance(value, Estimate):
        return {"estimate": {name: _encoded(part) for name, part in dataclasses.asdict(value).items()}}
    if isinstance(value, float) and not math.isfinite(value):
        return {"not finite": str(float(value))}
    if isinstance(value, Mapping):
        return {"mapping": [[key, _encoded(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return [_encoded(item) for item in value]
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict) and "estimate" in value:
        return Estimate(**{name: _decoded(part) for name, part in value["estimate"].items()})
    if isinstance(value, dict) and "not finite" in value:
        return float(value["not finite"])
    if isinstance(value, dict) and "mapping" in value:
        return {key: _decoded(item) for key, item in value["mapping"]}
    if isinstance(value, list):
        return tuple(_decoded(item) for item in value)
    return value


@dataclass(frozen=True)
class Finding:
    """One sentence made from the numbers beside it, and whether it is good news."""

    text: str
    tone: Tone = "plain"

    @classmethod
    def of_difference(cls, text: str, more: Estimate, word: str = "difference") -> Self:
        """End a sentence with a difference of shares: good or bad beyond chance, else said to be open."""
        if more.low is None or more.high is None:
            raise ValueError(f"a {word} without an interval cannot be judged")
        if more.low <= 0 <= more.high:
            return cls(f"{text}: the {word} of {more.points()} may be chance.")
        return cls(f"{text}: a {word} of {more.points()}.", "good" if more.low > 0 else "bad")


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
        What one run takes: ``set`` compute(a, params); ``model`` compute(sets of all probes of one
        model, params); ``probe pair`` compute(a, b, params) of one model; ``degraded pair`` the same
        with a as the native probe and b a degraded one; ``model pair`` compute(a, b, params) for one
        probe; ``models`` compute(sets of all models for one probe, params); ``weight pair``
        compute(wa, wb, params). Several of these, if ``compute`` takes the inputs of each.
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
    """

    question: str
    over: Over | tuple[Over, ...]
    params: P
    result: type[R]
    compute: Callable[..., R]
    charts: Callable[[Sequence[R]], list[Chart]]
    findings: Callable[[Sequence[R]], list[Finding]]
    probes: Callable[[P, Sequence[str]], tuple[str, ...]] | None = None
    called: str = ""

    @property
    def name(self) -> str:
        """The file's name is the analysis's name, unless an entry point gives another."""
        return self.called or self.compute.__module__.rpartition(".")[2]

    @property
    def overs(self) -> tuple[Over, ...]:
        """What its runs take, always as a tuple."""
        return self.over if isinstance(self.over, tuple) else (self.over,)

    @property
    def doc(self) -> str:
        """The module's docstring: what it measures, how to read it, limits, references."""
        return inspect.getdoc(importlib.import_module(self.compute.__module__)) or ""

    @property
    def takes_many(self) -> bool:
        """Whether ``compute`` takes a sequence of however many sets."""
        return self.over in ("model", "models")

    def run(self, inputs: Sequence[Any], params: Params) -> R:
        """Call ``compute`` as ``over`` says: on a sequence of sets, or on one or two inputs."""
        if self.takes_many:
            return self.compute(tuple(inputs), params)
        return self.compute(*inputs, params)

    @property
    def code(self) -> str:
        """Hash the code that a result depends on, wherever its parts are declared."""
        declared = (self.result.__module__, type(self.params).__module__)
        return code_fingerprint(self.compute.__module__, declared)

    def key(self, params: Params, fingerprints: Sequence[str]) -> str:
        """Name a result by its code, its parameters, the files they name, and its inputs.

        Raises
        ------
        UserError
            If a parameter names a file that is not there.
        """
        parts: list[Any] = [self.code, dataclasses.asdict(params)]
        parts += [list(fingerprints), *([files] if (files := params.files()) else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


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
    plugins = {point.name: point.value for point in reversed(_plugins())}
    return dict(sorted((plugins | builtin()).items()))


def unusable() -> dict[str, str]:
    """Import the analyses of other packages, and say of each that cannot be used why, in a sentence.

    Returns
    -------
    Name of the entry point → what is wrong; where it has the name of another analysis, that name and its
    value, ``name = module``.
    """
    found, taken = {}, dict(builtin())
    for point in _plugins():
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
    known = names()
    if name not in known:
        raise UserError(f"unknown analysis {name!r}: there are {', '.join(known)}")
    if name not in builtin():
        return _declared(name, known[name])
    return cast("Analysis[Any, Any]", importlib.import_module(known[name]).ANALYSIS)


def _plugins() -> list[EntryPoint]:
    """List other packages' analyses; of two that bear one name the first counts."""
    found = list(dict.fromkeys(entry_points(group=ENTRY_POINTS)))
    return sorted(found, key=lambda point: (point.name, point.value))


def _declared(name: str, value: str) -> Analysis[Any, Any]:
    """Import what an entry point names: a module that declares ``ANALYSIS``, or ``module:attribute``."""
    where = f"the analysis {name!r}, which another package declares as {value},"
    module, _, attribute = value.partition("[")[0].strip().partition(":")
    try:
        checked_name(name, "analysis")
    except UserError as error:
        raise UserError(f"{where} is left out: {error}") from None
    try:
        found: Any = importlib.import_module(module.strip())
        for part in (attribute.strip() or "ANALYSIS").split("."):
            found = getattr(found, part)
    except Terminated:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{where} cannot be imported ({type(error).__name__}: {first_line(error)}): mend or uninstall "
            "that package"
        ) from error
    if not isinstance(found, Analysis):
        kind = type(found).__name__
        raise UserError(
            f"{where} is {kind}, not an embedlab.analysis.Analysis: mend or uninstall that package"
        )
    return dataclasses.replace(found, called=name)
