"""From a command's words to its work: prepare, analyse, report."""

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab import compute
from embedlab.errors import UserError, enough_memory
from embedlab.preparation import Prepared, prepare
from embedlab.progress import say
from embedlab.request import EMBEDDED_PROBE, Request, embedded_dataset, given_data
from embedlab.study import Study

if TYPE_CHECKING:
    from embedlab.runner import Outcome


def report(request: Request, study: Study, out: Path) -> tuple[Path, bool]:
    """Do the main job: prepare, analyse, write the report.

    Returns
    -------
    The HTML file, and whether every analysis ran without a bug.

    Raises
    ------
    UserError
        As ``prepare`` does, or if the report cannot be written.
    """
    from embedlab.report import build
    from embedlab.report.training import training_section
    from embedlab.runner import embedding_records, probes_used, run_study
    from embedlab.store import check_writable

    study = _checked(request, study)
    page = out if out.suffix == ".html" else out / "index.html"
    check_writable(page)
    prepared = prepare(request, study)
    settled, stages = prepared.study, prepared.stages
    with stages("analysing"):
        outcomes = run_study(request.lab, settled, fresh=request.fresh)
    enough = enough_memory("the report", "ask for fewer analyses (--only), probes or models")
    with stages("writing the report"), _faces(prepared), enough:
        records = embedding_records(request.lab, settled)
        curves = training_section(request.lab, settled.models, records)
        build(
            page,
            title=settled.title or " and ".join(settled.models),
            outcomes=outcomes,
            models=settled.models,
            probes=probes_used(request.lab, settled),
            provenance=_provenance(request, prepared, records),
            prose="\n\n".join(filter(None, [settled.prose, *_cautions(prepared), *_unstored(outcomes)])),
            extra=[curves] if curves else [],
        )
    say(f"time: {stages.summary()}")
    return page, not any(run.error for outcome in outcomes for run in outcome.runs)


def run(request: Request, study: Study, *, as_json: bool) -> tuple[str, bool]:
    """Prepare, run the study's analyses, and give numbers and findings as text or JSON.

    Returns
    -------
    The text, and whether every analysis ran without a bug.
    """
    from embedlab.report import numbers, sections
    from embedlab.runner import embedding_records, probes_used, run_study
    from embedlab.show import as_text

    study = _checked(request, study)
    prepared = prepare(request, study)
    outcomes = run_study(request.lab, prepared.study, fresh=request.fresh)
    sound = not any(run.error for outcome in outcomes for run in outcome.runs)
    found = [sections.of_outcome(outcome) for outcome in outcomes]
    if not as_json:
        return "\n\n".join(as_text(section) for section in found), sound
    settled = prepared.study
    whole = numbers.document(
        settled.title,
        settled.models,
        probes_used(request.lab, settled),
        found,
        outcomes,
        _provenance(request, prepared, embedding_records(request.lab, settled)),
    )
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False), sound


def extract(request: Request, study: Study) -> list[Path]:
    """Make the embeddings of a study's models and probes; return their files."""
    prepared = prepare(request, study, analysing=False).study
    return [
        path
        for model in prepared.models
        for probe in prepared.probes
        if (path := request.lab.embeddings_file(model, probe)).is_file()
    ]


def examine(request: Request, model: str, images: int) -> str:
    """Feed a model images as its contract says and otherwise, and say which it recognises better.

    Raises
    ------
    UserError
        If the model is no network that can be run here, or the data cannot be read.
    """
    from embedlab.preparation import network
    from embedlab.selftest import selftest

    embedder = network(request, model)
    dataset = given_data(request) or embedded_dataset(request, EMBEDDED_PROBE)
    return selftest(embedder, dataset, images=images).text()


def _checked(request: Request, study: Study) -> Study:
    """Tell mistakes in what is asked before the work, not after it; pairs that lie in the data are taken."""
    from embedlab import attributes, protocols
    from embedlab.data.sources import is_bin
    from embedlab.study import names, plan

    if twice := [model for model in study.models if study.models.count(model) > 1]:
        raise UserError(f"model {twice[0]!r} is named twice: name each model once")
    if request.data is not None and is_bin(request.data) and "verification" in names(study):
        study = replace(study, pairs=study.pairs or request.data)
    for planned in plan(study):
        if "pairs" in planned.params.files():
            protocols.read(dataclasses.asdict(planned.params)["pairs"])
    if study.attributes:
        attributes.read(study.attributes)
    return study


def _cautions(prepared: Prepared) -> list[str]:
    every = prepared.datasets.values()
    return [f"*Caution* for {one.name}: {one.caution}." for one in every if one.caution]


def _unstored(outcomes: "Sequence[Outcome]") -> list[str]:
    found = [run.unstored for outcome in outcomes for run in outcome.runs if run.unstored]
    if not found:
        return []
    which = "1 result" if len(found) == 1 else f"{len(found):,} results"
    return [f"*Caution*: {which} could not be stored and will be computed again: {found[0]}."]


def _faces(prepared: Prepared) -> AbstractContextManager[None]:
    """Let charts find the pictures of the items where their data set was opened."""
    from embedlab.charts import faces_from
    from embedlab.data.pictures import pictures_of

    return faces_from(pictures_of(prepared.datasets)) if prepared.datasets else nullcontext()


def _provenance(
    request: Request, prepared: Prepared, records: Sequence[Mapping[str, Any]]
) -> dict[str, list[tuple[str, str]]]:
    """Gather what a reader needs to do the same again."""
    from embedlab.runner import versions
    from embedlab.store import sha256_of

    lab = request.lab
    found = {
        "This report": [
            ("command", shlex.join(["embedlab", *sys.argv[1:]])),
            ("date", datetime.now(UTC).isoformat(timespec="seconds")),
            ("device", compute.describe()),
            *((f"time, {name}", f"{seconds:.1f} s") for name, seconds in prepared.stages.seconds.items()),
        ],
        "Versions": list(versions().items()),
    }
    if request.data is None and (lab.data / "synthetic.json").is_file():
        drawn = json.loads((lab.data / "synthetic.json").read_text(encoding="utf-8"))
        found["Synthetic faces"] = [
            (key, _words(drawn.get(key))) for key in ("scale", "seed", "people", "renderer")
        ]
    files = [("pairs", prepared.study.pairs), ("attributes", prepared.study.attributes)]
    found["This report"] += [
        (what, f"{Path(name).name}, sha256 {sha256_of(Path(name))}") for what, name in files if name
    ]
    for record in records:
        heading = f"{record['probe']} in {record['model']}"
        data = record.get("dataset", {})
        rows = [
            ("model hash", str(record.get("model_sha256") or "")),
            ("imported from", _words(record.get("imported_from"))),
            ("preprocessing", _words(record.get("preprocessing"))),
            ("images", f"{data.get('images', '')} of {data.get('people', '')} people" if data else ""),
            ("caution on people", str(data.get("caution", ""))),
            ("data hash", str(data.get("fingerprint", ""))),
            ("made", str(record.get("created", ""))),
        ]
        if record.get("assumed_preprocessing"):
            rows.append(("caution", "the preprocessing was assumed, not known: set it with --preprocessing"))
        found[heading] = [(k, v) for k, v in rows if v]
    if prepared.skipped:
        found["Images left out"] = [(f"{probe}: {item}", reason) for probe, item, reason in prepared.skipped]
    return found


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "/".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return "" if value is None else str(value)
