"""From a command's words to its work: prepare, analyse, report."""

import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedlab import analysis as contract
from embedlab import compute, ranks
from embedlab.commands import words
from embedlab.commands.preparation import Prepared, prepare
from embedlab.commands.request import EMBEDDED_PROBE, Request, embedded_dataset, given_data
from embedlab.errors import UserError, enough_memory
from embedlab.lab.store import LONGEST_NAME, check_spared, made_name
from embedlab.progress import say
from embedlab.study import Study
from embedlab.wording import said, speaking

if TYPE_CHECKING:
    from embedlab.lab.store import Lab
    from embedlab.report import Section
    from embedlab.report.pseudonyms import Pseudonyms
    from embedlab.runner import Outcome
    from embedlab.study import Planned

NAMED = 3
"""Reasons that a message gives at most."""


def report(
    request: Request, study: Study, out: Path, paper: Path | None = None, within: float | None = None
) -> tuple[Path, bool]:
    """Do the main job: prepare, analyse, write the report.

    Parameters
    ----------
    request, study
        What is asked.
    out
        Where the report goes: a folder, or the HTML file.
    paper
        A folder for its figures, tables and text in the forms that a paper takes; None for none.
    within
        Seconds that the analyses may take, on as many people as that allows; None takes all.

    Returns
    -------
    The HTML file, and whether every analysis ran without a bug.

    Raises
    ------
    UserError
        As ``prepare`` does, if none of the analyses applies, or if the report cannot be written.
    """
    from embedlab.lab.store import check_writable
    from embedlab.report import paper as for_paper
    from embedlab.report.build import check_place

    with ranks.joined() as here:
        study, questions = _checked(request, study)
        page = out if out.suffix.lower() in (".html", ".htm") else out / "index.html"
        check_place(page)
        check_writable(page)
        if paper is not None:
            for_paper.check_place(paper, page)
        asked, prepared = _prepared(request, study, questions, within)
        sound = ranks.led(here, lambda: _reported(asked, prepared, page, paper))
    return page, sound is not False


def _reported(request: Request, prepared: Prepared, page: Path, paper: Path | None) -> bool:
    """Analyse what is prepared, write the report, and say whether every analysis ran without a bug."""
    from embedlab.focus import MANY
    from embedlab.question import listed
    from embedlab.report import answering, statements
    from embedlab.report.build import Head
    from embedlab.report.growing import growing
    from embedlab.report.methods import Sources
    from embedlab.runner import embedding_records, outcomes, probes_used, sets_used, told_drawn
    from embedlab.study import names

    settled, stages, planned = prepared.study, prepared.stages, prepared.planned
    records, files = embedding_records(request.lab, settled, planned), _files(prepared)
    sets = sets_used(request.lab, settled, planned)
    drawn = told_drawn(sets)
    for line in drawn:
        say(f"  {line}")
    probes = probes_used(request.lab, settled, planned)
    hidden = _pseudonyms(request, prepared, probes) if request.pseudonyms else None
    cautions = [hidden.text(one) if hidden else one for one in _cautions(prepared, drawn)]
    with speaking(settled.words, names(settled)):
        # A page leaves prose as its author wrote it, and these sentences are the house's.
        cautions = [said(one) for one in cautions]

    def origin() -> dict[str, list[tuple[str, str]]]:
        found = _provenance(request, prepared, records, files)
        return hidden.provenance(found) if hidden else found

    head = Head(
        title=settled.title or listed(settled.models, MANY),
        models=settled.models,
        provenance=origin(),
        probes=probes,
        prose="\n\n".join(filter(None, [settled.prose, *cautions])),
        sets=sets,
        overrides=settled.overrides,
        said=settled.statements,
        facts=_facts(request.lab, settled, records),
        sources=Sources.of(request.lab, settled.models, records, drawn),
        words=settled.words,
    )
    with _faces(request, prepared, hidden), growing(page, head, names(settled)) as made:
        if curves := _curves(request, settled, records):
            made.append(curves)
        found = []
        with stages("analysing"):
            for one in outcomes(request.lab, settled, planned, fresh=request.fresh, jobs=request.jobs):
                request.lab.check_imported()
                outcome = hidden.outcome(one) if hidden else one
                made.add(outcome)
                found.append(outcome)
        _check_answered(found, settled)
        stages.seconds["analysing"] -= made.seconds
        stages.seconds["writing the report"] = made.seconds
        enough = enough_memory("the report", "ask for fewer analyses (--only), probes or models")
        with stages("writing the report"), enough:
            made.finish(origin())
            if paper is not None:
                made.paper(paper)
    say(f"time: {stages.summary()}")
    with speaking(settled.words):
        answers = answering.of(found, settled.overrides)
        for line in (
            *answering.as_text(answers),
            *statements.as_text(statements.held(settled.statements, answers)),
        ):
            say(line)
    return made.sound


def _facts(
    lab: "Lab", study: Study, records: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[int | None, str]]:
    """Tell of each model how many numbers a vector has and what it was trained on, where that is known."""
    sizes = {record["model"]: record.get("dimension") for record in records}
    found = {}
    for model in study.models:
        told = ""
        # What the record lacks, as that of another program may, is not known.
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((lab.checkpoint(model) / "model.json").read_text(encoding="utf-8"))
            told = (
                f"{', '.join(record['data'])}: {record['images']:,} images of {record['identities']:,} people"
            )
        found[model] = sizes.get(model), told
    return found


def _curves(request: Request, study: Study, records: Sequence[Mapping[str, Any]]) -> "Section | None":
    from embedlab.report import sections
    from embedlab.report.training import training_section

    try:
        return training_section(request.lab, study.models, records)
    except Exception:
        return sections.broken("training", "How did the models learn?")


def _prepared(
    request: Request, study: Study, questions: "Sequence[Planned]", within: float | None
) -> tuple[Request, Prepared]:
    if within is None:
        return request, prepare(request, study, questions)
    if ranks.from_environment().world > 1:
        raise UserError("--within tries people in one process: leave it out under torchrun, or give --people")
    from embedlab.commands.within import fitted

    return fitted(request, study, questions, within)


def run(
    request: Request, study: Study, *, as_json: bool, save: Path | None = None, within: float | None = None
) -> tuple[str, bool]:
    """Prepare, run the study's analyses, and give numbers and findings as text or JSON.

    With ``save`` each analysis writes its results there as well; ``within`` is as ``report`` has it.

    Returns
    -------
    The text, and whether every analysis ran without a bug.

    Raises
    ------
    UserError
        As ``prepare`` does, if none of the analyses applies, or one has nothing to save.
    """
    with ranks.joined() as here:
        study, questions = _checked(request, study)
        if save is not None:
            _check_saving(request, study, save)
        asked, prepared = _prepared(request, study, questions, within)
        return ranks.led(here, lambda: _ran(asked, prepared, save, as_json=as_json)) or ("", True)


def _ran(request: Request, prepared: Prepared, save: Path | None, *, as_json: bool) -> tuple[str, bool]:
    """Run what is prepared, and give what it says and whether all is sound."""
    from embedlab.runner import run_study, sets_used, told_drawn

    settled, planned = prepared.study, prepared.planned
    for line in told_drawn(sets_used(request.lab, settled, planned)) if settled.people else ():
        say(f"  {line}")
    outcomes = run_study(
        request.lab, settled, planned, fresh=request.fresh, quiet=not as_json, jobs=request.jobs
    )
    request.lab.check_imported()
    _check_answered(outcomes, settled)
    for one in outcomes:
        if save is not None and one.analysis.save is not None and one.results:
            one.analysis.save(one.results, save)
    with speaking(settled.words, (*settled.models, *settled.probes)):
        return _told(request, prepared, outcomes, as_json=as_json)


def _told(
    request: Request, prepared: Prepared, outcomes: "Sequence[Outcome]", *, as_json: bool
) -> tuple[str, bool]:
    """Give what outcomes say as text or JSON, and whether all is sound."""
    from embedlab.report import numbers, sections
    from embedlab.report.show import told
    from embedlab.runner import embedding_records, probes_used, sets_used

    settled, planned = prepared.study, prepared.planned
    found = sections.together([sections.of_outcome(outcome) for outcome in outcomes])
    if not as_json:
        texts = [told(section) for section in found]
        said = filter(None, [*(text for text, _ in texts), sections.comparisons(found).text()])
        return "\n\n".join(said), all(sound for _, sound in texts)
    records = embedding_records(request.lab, settled, planned)
    whole = numbers.document(
        settled.title,
        settled.models,
        probes_used(request.lab, settled, planned),
        found,
        outcomes,
        _provenance(request, prepared, records, _files(prepared)),
        sets_used(request.lab, settled, planned),
    )
    sound = all(one.sound for one in found) and not any(one["state"] == "broken" for one in whole["sections"])
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False), sound


def _check_saving(request: Request, study: Study, path: Path) -> None:
    """Refuse to save what has no file, or where none can be, or over what is read.

    Raises
    ------
    UserError
        If so.
    """
    savers = [name for name in contract.builtin() if contract.get(name).save is not None]
    if without := [name for name in study.analyses if contract.get(name).save is None]:
        raise UserError(
            f"{without[0]} has no file to save: leave out --save, which is for {' and '.join(savers)}"
        )
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(f"cannot write {path}: give the name of a file in a folder that is there")
    items = [word.partition("=")[2] or word for word in request.reading.get("items", ())]
    read = (*study.models, *items, study.pairs, study.attributes, request.data)
    check_spared(path, [one for one in read if one and Path(one).is_file()])


def extract(request: Request, study: Study) -> list[Path]:
    """Make the embeddings of a study's models and probes; return their files.

    Raises
    ------
    UserError
        As ``prepare`` does, or if a model is named twice.
    """
    _check_models(study)
    prepared = prepare(request, study, analysing=False).study
    found = []
    for model in prepared.models:
        for probe in prepared.probes:
            path = request.lab.embeddings_file(model, probe)
            if path.is_file():
                found.append(path)
            else:
                say(f"  there is no {probe} in {model}, which is only its embeddings")
    return found


def examine(request: Request, model: str, images: int) -> str:
    """Feed a model images as its contract says and otherwise, and say which it recognises better.

    Raises
    ------
    UserError
        If the model is no network that can be run here, or the data cannot be read.
    """
    from embedlab.commands.preparation import network
    from embedlab.extraction.selftest import selftest

    embedder = network(request, model)
    dataset = given_data(request) or embedded_dataset(request, EMBEDDED_PROBE)
    return selftest(embedder, dataset, images=images).text()


def named(models: Sequence[str]) -> str:
    """Name a folder for the report of some models; a long name ends in a hash of all of it."""
    whole = "-".join(made_name(words.of(model).title, "model") for model in models)
    if len(whole) <= LONGEST_NAME:
        return whole
    return f"{whole[: LONGEST_NAME - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _check_models(study: Study) -> None:
    if twice := [model for model in study.models if study.models.count(model) > 1]:
        raise UserError(f"model {twice[0]!r} is named twice: name each model once")


def _checked(request: Request, study: Study) -> tuple[Study, "list[Planned]"]:
    """Tell mistakes in what is asked before the work, not after it; pairs that lie in the data are taken.

    Returns
    -------
    The study, and its analyses with their parameters and lists of pairs.
    """
    from embedlab import analysis
    from embedlab.data.sources import is_bin
    from embedlab.formats import attributes
    from embedlab.study import asked, takes_pairs, with_lists

    for reason in analysis.unusable().values():
        say(f"  caution: {reason}")
    _check_models(study)
    if request.data is not None and is_bin(request.data) and takes_pairs(study):
        study = replace(study, pairs=study.pairs or request.data)
    questions = with_lists(asked(study))
    if study.attributes:
        attributes.read(study.attributes)
    return study, questions


def _check_answered(outcomes: "Sequence[Outcome]", study: Study) -> None:
    """Refuse to call it an answer where no analysis gave one.

    Raises
    ------
    UserError
        If no run has a result and none failed with a bug; the message gives the reasons.
    """
    if any(run.error or run.result is not None for outcome in outcomes for run in outcome.runs):
        return
    reasons = list(dict.fromkeys(run.reason for outcome in outcomes for run in outcome.runs))
    more = f"; and {len(reasons) - NAMED} more reasons" if len(reasons) > NAMED else ""
    raise UserError(
        f"none of the analyses asked for ({', '.join(outcome.analysis.name for outcome in outcomes)}) "
        f"applies to {', '.join(study.models)} (probes: {', '.join(study.probes) or 'none'}): "
        f"{'; '.join(reasons[:NAMED])}{more}"
    )


def _cautions(prepared: Prepared, drawn: Sequence[str]) -> list[str]:
    from embedlab import analysis

    every = prepared.datasets.values()
    found = [f"{one}." for one in drawn]
    found += [f"*Caution* for {one.name}: {one.caution}." for one in every if one.caution]
    return [*found, *(f"*Caution*: {reason}." for reason in analysis.unusable().values())]


def _faces(request: Request, prepared: Prepared, hidden: "Pseudonyms | None") -> AbstractContextManager[None]:
    """Let charts find the pictures of the items where their data set was opened and they may be shown."""
    from embedlab.charts import faces_from
    from embedlab.data.pictures import pictures_of

    if not (prepared.datasets and request.pictures):
        return nullcontext()
    pictures = pictures_of(prepared.datasets)
    return faces_from(hidden.lookup(pictures) if hidden else pictures)


def _pseudonyms(request: Request, prepared: Prepared, probes: Sequence[str]) -> "Pseudonyms":
    """Name everybody that any of the data shows."""
    from embedlab.lab import embeddings
    from embedlab.report.pseudonyms import Pseudonyms

    owners: dict[tuple[str, str], None] = {}
    for one in prepared.datasets.values():
        owners |= dict.fromkeys(zip(one.items, (one.identities[k] for k in one.labels), strict=True))
    for model in prepared.study.models:
        for probe in probes:
            # What cannot be read is told where it is needed.
            with suppress(UserError):
                found = embeddings.read(request.lab.embeddings_file(model, probe))
                people = np.asarray(found.identities)[found.labels].tolist()
                owners |= dict.fromkeys(zip(found.items.tolist(), people, strict=True))
    kept = (*prepared.study.models, *probes, *prepared.datasets)
    return Pseudonyms.of(owners, kept, prepared.study.words)


def _files(prepared: Prepared) -> list[tuple[str, str]]:
    """Name the files that were given beside models and images, with their hashes."""
    from embedlab.lab.store import sha256_of

    lists = dict.fromkeys(one.source for planned in prepared.planned for one in planned.lists.values())
    files = [*(("pairs", path) for path in lists), ("attributes", prepared.study.attributes)]
    return [(what, f"{Path(name).name}, sha256 {sha256_of(Path(name))}") for what, name in files if name]


def _provenance(
    request: Request,
    prepared: Prepared,
    records: Sequence[Mapping[str, Any]],
    files: Sequence[tuple[str, str]] = (),
) -> dict[str, list[tuple[str, str]]]:
    """Gather what a reader needs to do the same again."""
    from embedlab.report.pseudonyms import without_folders
    from embedlab.runner import versions

    lab = request.lab
    found = {
        "This report": [
            ("command", shlex.join(["embedlab", *without_folders(sys.argv[1:])])),
            ("date", datetime.now(UTC).isoformat(timespec="seconds")),
            ("device", compute.describe()),
            *((f"time, {name}", f"{seconds:.1f} s") for name, seconds in prepared.stages.seconds.items()),
        ],
        "Versions": list(versions().items()),
    }
    if request.data is None and (lab.data / "synthetic.json").is_file():
        drawn = json.loads((lab.data / "synthetic.json").read_text(encoding="utf-8"))
        found["Synthetic faces"] = [
            (key, _words(drawn.get(key))) for key in ("scale", "seed", "population", "people", "renderer")
        ]
    found["This report"] += files
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
        if record.get("stale"):
            rows.append(
                (
                    "caution",
                    f"the network {record['model']} that the lab holds now did not make these vectors",
                )
            )
        rows.append(("caution", str(record.get("unreadable", ""))))
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
