"""The contract of an analysis: Params, Result, Analysis; and where analyses are found."""

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar, cast

import numpy as np

from embedlab.charts import Chart
from embedlab.errors import UserError
from embedlab.estimates import Estimate, Estimates, Finding, Tone
from embedlab.shapes import check_shapes
from embedlab.store import sha256_of, write_json

Over = Literal["set", "model", "probe pair", "degraded pair", "model pair", "models", "weight pair"]
ENTRY_POINTS = "embedlab.analyses"

__all__ = [
    "Analysis", "Estimate", "Estimates", "Finding", "Number", "Over", "Params", "Result", "Tone",
    "code_fingerprint", "get", "names",
]  # fmt: skip


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
        try:
            return hint(value)
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UserError(f"{name} must be {hint.__name__}, not {value!r}")


Number = Estimate | float | int | str


@dataclass(frozen=True)
class Result:
    """What ``compute`` found: a title, scalars and Estimates, and arrays with declared shapes.

    Fields may be str, int, float, bool, None, Estimate, tuples of these, Estimates, a dict from label
    to Estimate, or a numpy array annotated with jaxtyping.
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
            if isinstance(value, Estimates):
                found |= value.labelled()
            elif isinstance(value, Mapping):
                found.update({str(k): v for k, v in value.items()})
            elif isinstance(value, Estimate | float | int | str):
                found[label] = value
        return found

    def save(self, folder: Path) -> None:
        """Write ``result.json`` and ``arrays.npz`` into an existing folder; no pickle, no NaN."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
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
        fields = {field.name for field in dataclasses.fields(cls)}
        values = {name: _decoded(value, arrays) for name, value in scalars.items()}
        return cls(**values, **{name: array for name, array in arrays.items() if name in fields})


def _stack(count: int) -> str:
    """Name the array of all draws of so many resamples; no field can be called so."""
    return f"draws of {count}"


def _encoded(value: Any, draws: dict[int, list[np.ndarray]]) -> Any:
    """Turn a field into plain values; replicates of estimates go to ``draws``, by their number."""
    if isinstance(value, Estimate):
        plain = {key: getattr(value, key) for key in ("value", "low", "high", "n", "null")}
        if len(value.draws):
            rows = draws.setdefault(len(value.draws), [])
            rows.append(value.draws)
            plain |= {"draws": [len(value.draws), len(rows) - 1], "drawn_from": value.drawn_from}
        return {"estimate": plain}
    if isinstance(value, Estimates):
        return {"estimates": [[list(key), _encoded(item, draws)] for key, item in value.items()]}
    if isinstance(value, Mapping):
        return {"mapping": [[key, _encoded(item, draws)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return [_encoded(item, draws) for item in value]
    return value


def _decoded(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, dict) and "estimate" in value:
        plain = dict(value["estimate"])
        if "draws" in plain:
            count, row = plain["draws"]
            plain["draws"] = arrays[_stack(count)][row]
        return Estimate(**plain)
    if isinstance(value, dict) and "estimates" in value:
        return Estimates({tuple(key): _decoded(item, arrays) for key, item in value["estimates"]})
    if isinstance(value, dict) and "mapping" in value:
        return {key: _decoded(item, arrays) for key, item in value["mapping"]}
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
    """

    question: str
    over: Over | tuple[Over, ...]
    params: P
    result: type[R]
    compute: Callable[..., R]
    charts: Callable[[Sequence[R]], list[Chart]]
    findings: Callable[[Sequence[R]], list[Finding]]
    probes: Callable[[P, Sequence[str]], tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        """The file's name is the analysis's name."""
        return self.compute.__module__.rpartition(".")[2]

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

    def key(self, params: Params, fingerprints: Sequence[str]) -> str:
        """Name a result by its code, its parameters, the files they name, and its inputs.

        Raises
        ------
        UserError
            If a parameter names a file that is not there.
        """
        parts: list[Any] = [code_fingerprint(self.compute.__module__), dataclasses.asdict(params)]
        parts += [list(fingerprints), *([files] if (files := params.files()) else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@cache
def code_fingerprint(module: str) -> str:
    """Hash the source that a result depends on: the analysis, ``maths/``, the embedding set, pair lists.

    Hashing source rather than a version by hand means that no edit can leave a stale result, at
    the price of one recomputation after a comment has changed.
    """
    root = Path(__file__).parent
    spec = importlib.util.find_spec(module)
    files = [Path(spec.origin)] if spec and spec.origin else []
    files += [root / name for name in ("embeddings.py", "weights.py", "protocols.py", "bins.py")]
    files += [Path(__file__), *sorted(root.glob("maths/*.py"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def names() -> dict[str, str]:
    """List every analysis and the module that declares it, without importing any of them."""
    folder = str(Path(__file__).parent / "analyses")
    builtin = {m.name: f"embedlab.analyses.{m.name}" for m in pkgutil.iter_modules([folder])}
    plugins = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return dict(sorted((plugins | builtin).items()))


def get(name: str) -> Analysis[Any, Any]:
    """Import one analysis by name.

    Raises
    ------
    UserError
        If there is none of that name; the message lists what there is.
    """
    known = names()
    if name not in known:
        raise UserError(f"unknown analysis {name!r}: there are {', '.join(known)}")
    return cast("Analysis[Any, Any]", importlib.import_module(known[name]).ANALYSIS)
