"""From a command's words to its work: prepare, analyse, report."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedlab import compute
from embedlab.errors import UserError
from embedlab.preparation import Prepared, Request, prepare
from embedlab.progress import say
from embedlab.study import Study


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
    from embedlab.runner import embedding_records, run_study
    from embedlab.store import atomic_file
    from embedlab.study import plan

    _once(study)
    plan(study)  # An unknown analysis or parameter is told before the work, not after it.
    page = out if out.suffix == ".html" else out / "index.html"
    with atomic_file(page.with_name(f".{page.name}.try")):
        pass  # Nor a place that cannot be written.
    page.with_name(f".{page.name}.try").unlink()
    prepared = prepare(request, study)
    settled, stages = prepared.study, prepared.stages
    with stages("analysing"):
        outcomes = run_study(request.lab, settled, fresh=request.fresh)
    with stages("writing the report"):
        records = embedding_records(request.lab, settled)
        curves = training_section(request.lab, settled.models, records)
        build(
            page,
            title=settled.title or " and ".join(settled.models),
            outcomes=outcomes,
            models=settled.models,
            probes=settled.probes,
            provenance=_provenance(request, prepared, records),
            prose=settled.prose,
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
    from embedlab.runner import embedding_records, run_study
    from embedlab.show import as_text
    from embedlab.study import plan

    _once(study)
    plan(study)
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
        settled.probes,
        found,
        outcomes,
        _provenance(request, prepared, embedding_records(request.lab, settled)),
    )
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False), sound


def extract(request: Request, study: Study) -> list[Path]:
    """Make the embeddings of a study's models and probes; return their files."""
    prepared = prepare(request, study).study
    return [
        path
        for model in prepared.models
        for probe in prepared.probes
        if (path := request.lab.embeddings_file(model, probe)).is_file()
    ]


def _once(study: Study) -> None:
    if twice := [model for model in study.models if study.models.count(model) > 1]:
        raise UserError(f"model {twice[0]!r} is named twice: name each model once")


def _provenance(
    request: Request, prepared: Prepared, records: Sequence[Mapping[str, Any]]
) -> dict[str, list[tuple[str, str]]]:
    """Gather what a reader needs to do the same again."""
    from embedlab.runner import versions

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
    for record in records:
        heading = f"{record['probe']} in {record['model']}"
        data = record.get("dataset", {})
        rows = [
            ("model hash", str(record.get("model_sha256") or "")),
            ("imported from", _words(record.get("imported_from"))),
            ("preprocessing", _words(record.get("preprocessing"))),
            ("images", f"{data.get('images', '')} of {data.get('people', '')} people" if data else ""),
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
