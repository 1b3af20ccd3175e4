"""Run an analysis or fetch its stored result; a failed one becomes a section, never a silence."""

import dataclasses
import json
import platform
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from embedlab import embeddings
from embedlab.analysis import Analysis, Params, Result, code_fingerprint
from embedlab.errors import UserError
from embedlab.progress import say, track
from embedlab.store import Lab, atomic_folder, write_json
from embedlab.study import Input, Planned, Study, plan

PACKAGES = ("embedlab", "numpy", "scipy", "numba", "torch", "pillow", "pyarrow", "onnxruntime", "plotly")


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
        The traceback of a bug; empty otherwise.
    record
        Provenance as it stands in ``run.json``.
    cached
        Whether the result was fetched, not computed.
    """

    title: str
    result: Result | None = None
    reason: str = ""
    error: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    cached: bool = False


@dataclass(frozen=True)
class Outcome:
    """All runs of one analysis."""

    analysis: Analysis[Any, Any]
    params: Params
    runs: tuple[Run, ...]

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


def run_study(lab: Lab, study: Study, *, fresh: bool = False) -> list[Outcome]:
    """Run every analysis of a study, or fetch what is stored.

    Parameters
    ----------
    lab
        Where inputs are read and results are kept.
    study
        What to run.
    fresh
        Compute again even where a result is stored.

    Returns
    -------
    An outcome an analysis. A UserError of a run becomes its ``reason``; any other exception its
    ``error``, so that one failure does not cost the others.
    """
    outcomes = []
    inputs = _Inputs(lab)
    for planned in plan(study):
        what = f"analysing: {planned.analysis.name}"
        runs = [
            _run(lab, planned, chosen, inputs, fresh=fresh)
            for chosen in track(planned.runs, what, len(planned.runs))
        ]
        if not runs:
            runs = [_inapplicable(planned, study)]
        for run in runs:
            if run.reason:
                say(f"  {planned.analysis.name} does not apply to {run.title}: {run.reason}")
            if run.error:
                say(f"  {planned.analysis.name} failed on {run.title}:\n{run.error}")
        outcomes.append(Outcome(planned.analysis, planned.params, tuple(runs)))
    return outcomes


def _inapplicable(planned: Planned, study: Study) -> Run:
    needs = {"probe pair": "two probes of one model", "model pair": "two models", "weight pair": "two models"}
    need = needs.get(planned.analysis.over, "a model and a probe")
    have = f"{len(study.models)} model(s) and {len(study.probes)} probe(s)"
    return Run("this study", reason=f"it compares {need}, and the study names {have}")


class _Inputs:
    """Inputs read once, however many analyses ask for them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.read: dict[Input, Any] = {}

    def get(self, wanted: Input) -> Any:
        if wanted not in self.read:
            if wanted.kind == "set":
                self.read[wanted] = self.lab.embeddings(wanted.model, wanted.probe)
            else:
                self.read[wanted] = self.lab.weights(wanted.model)
        return self.read[wanted]


def _run(lab: Lab, planned: Planned, chosen: Sequence[Input], inputs: _Inputs, *, fresh: bool) -> Run:
    analysis, params = planned.analysis, planned.params
    title = " and ".join(one.title for one in chosen)
    try:
        values = [inputs.get(one) for one in chosen]
        fingerprints = [value.fingerprint for value in values]
        folder = lab.result(analysis.name, analysis.key(params, fingerprints))
        if folder.is_dir() and not fresh:
            record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            return Run(title, analysis.result.load(folder), record=record, cached=True)
        begun = time.perf_counter()
        result = analysis.run(values, params)
        record = {
            "analysis": analysis.name,
            "title": result.title,
            "params": dataclasses.asdict(params),
            "inputs": [
                {"input": one.title, "fingerprint": print_}
                for one, print_ in zip(chosen, fingerprints, strict=True)
            ],
            "code": code_fingerprint(analysis.compute.__module__),
            "versions": versions(),
            "machine": platform.machine(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - begun, 3),
        }
        with atomic_folder(folder, replace=fresh) as temporary:
            result.save(temporary)
            write_json(temporary / "run.json", record)
    except UserError as error:
        return Run(title, reason=str(error))
    except Exception:
        return Run(title, error=traceback.format_exc())
    return Run(title, result, record=record)


def embedding_records(lab: Lab, study: Study) -> list[dict[str, Any]]:
    """Give the provenance that stands in each embedding file of a study."""
    found = []
    for model in study.models:
        for probe in study.probes:
            path = lab.embeddings_file(model, probe)
            if path.is_file():
                found.append({"model": model, "probe": probe, **embeddings.metadata(path)})
    return found
