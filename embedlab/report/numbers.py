"""report.json: every number, finding, parameter and run record of a report, for programs to read."""

import base64
import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np

from embedlab.analysis import Result
from embedlab.charts import Cell, Table
from embedlab.estimates import Comparisons, Estimate, Estimates, Finding, Place
from embedlab.over import Input
from embedlab.report.pseudonyms import without_paths
from embedlab.report.sections import Section, broken, comparisons
from embedlab.runner import Outcome
from embedlab.wording import said

SCHEMA = 2
"""What stands where in ``report.json``; a change that breaks readers raises it."""

DRAWN = ("verification", "accuracy", "identification", "watchlist", "resolution", "restoration", "mapping")
"""Sections whose estimates stand with their draws, so that a later report can be held against this one."""

MOST_DRAWN = 1000
"""Estimates of a section with their draws at most, each of some 2 KB for 1,000 resamples."""

LONGEST = 1_000_000
"""Draws of an estimate at most."""

ALL_COMPARED = 6
ALL_PLACES = 400
NOTHING = Comparisons(0, 0)


def document(
    title: str,
    models: Sequence[str],
    probes: Sequence[str],
    sections: Sequence[Section],
    outcomes: Sequence[Outcome],
    provenance: Mapping[str, Sequence[tuple[str, str]]],
    sets: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Give the whole report as plain values; a number that is not finite becomes null.

    Parameters
    ----------
    title, models, probes, provenance
        As the report shows them.
    sections
        All sections in the order shown.
    outcomes
        The outcomes that the first of the sections were made of, in the same order.
    sets
        The sets that were measured, as ``runner.sets_used`` lists them.
    """
    parts = [
        part(section, outcome)
        for section, outcome in zip(sections, chain(outcomes, repeat(None)), strict=False)
    ]
    return assembled(title, models, probes, parts, provenance, sets=sets, compared=comparisons(sections))


def assembled(
    title: str,
    models: Sequence[str],
    probes: Sequence[str],
    parts: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Sequence[tuple[str, str]]],
    *,
    answers: Sequence[Mapping[str, Any]] = (),
    sets: Sequence[Mapping[str, Any]] = (),
    said: Sequence[Mapping[str, Any]] = (),
    compared: Comparisons = NOTHING,
    overview: Mapping[str, Any] | None = None,
    unfinished: bool = False,
    methods: Any = None,
) -> dict[str, Any]:
    """Give the whole report as plain values from those of its sections.

    Parameters
    ----------
    title, models, probes, provenance
        As the report shows them.
    parts
        What ``part`` gave of each section.
    answers
        The answers, as plain values.
    sets
        The sets that were measured, as ``runner.sets_used`` lists them.
    said
        What was said before, and whether the answers bear it out.
    compared
        How many of their findings claim something.
    overview
        The table of all models, as plain values; None where there is none.
    unfinished
        Whether analyses are still to come.
    methods
        How it was done, as `embedlab.report.methods.of` tells it.
    """
    head: dict[str, Any] = jsonable(
        {"schema": SCHEMA, "title": title, "unfinished": unfinished, "models": models, "probes": probes}
    )
    rows = {heading: [list(row) for row in rows] for heading, rows in provenance.items()}
    head["comparisons"] = {**dataclasses.asdict(compared), "by_chance": compared.by_chance}
    head |= {"sets": jsonable(sets), "statements": jsonable(said)}
    head["overview"] = jsonable(overview)
    if methods is not None:
        head["methods"] = jsonable(methods)
    return {**head, "answers": list(answers), "sections": list(parts), "provenance": jsonable(rows)}


def part(section: Section, outcome: Outcome | None) -> dict[str, Any]:
    """Give one section as plain values; what cannot be given so is a section that says it is broken."""
    try:
        plain: dict[str, Any] = jsonable(_section(section, outcome))
    except Exception:
        plain = jsonable(_section(broken(section.name, section.heading), None))
    return plain


def _section(section: Section, outcome: Outcome | None) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    if section.numbers is not None:
        for i, column in enumerate(section.numbers.columns):
            values = {label: row[i] for label, row in section.numbers.rows.items() if row[i] is not None}
            numbers[_unused(column, numbers)] = values
    tables = [
        {"title": said(chart.title), "columns": [*map(said, chart.columns)], "rows": chart.rows}
        for chart in section.charts
        if isinstance(chart, Table)
    ]
    whole: dict[str, Any] = {
        "name": section.name,
        "question": said(section.heading),
        "state": section.state,
        "findings": findings_of(section.findings),
        "cautions": [*map(said, section.cautions)],
        "numbers": numbers,
        "tables": tables,
    }
    if outcome is not None:
        drawn = MOST_DRAWN if section.name in DRAWN else 0
        inputs = [run.inputs for run in outcome.runs if run.result is not None]
        whole["estimates"] = estimates_of(outcome.results, inputs, drawn)
        whole["differences"] = differences_of(outcome.results)
        whole["params"] = dataclasses.asdict(outcome.params)
        whole["runs"] = [
            {
                "title": run.title,
                "reason": said(without_paths(run.reason)),
                "error": run.error,
                "caution": said(without_paths(run.caution)),
                "record": run.record,
            }
            for run in outcome.runs
        ]
    return whole


def findings_of(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Give findings as plain values; with p, q and whether it is claimed where one claims something."""
    return [_finding(one) for one in findings]


def _finding(one: Finding) -> dict[str, Any]:
    found: dict[str, Any] = {"text": said(one.text), "tone": one.tone}
    if one.gap is not None:
        found["difference"] = plain_estimate(one.gap)
    if one.p is not None:
        found |= {"p": one.p, "least_p": one.least_p, "q": one.q, "claimed": one.claimed}
        found["family"] = one.family
    return found


def plain_estimate(estimate: Estimate) -> dict[str, Any]:
    """Give an estimate as plain values, without its draws."""
    return {key: getattr(estimate, key) for key in ("value", "low", "high", "n", "null")}


def _kept(result: Result) -> Estimates:
    """Gather the estimates of a result, those that its table does not show among them."""
    found = Estimates()
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if isinstance(value, Estimates):
            found |= value
        elif isinstance(value, Estimate):
            found[field.metadata.get("label", field.name.replace("_", " ")),] = value
    return found


def estimates_of(
    results: Sequence[Result], inputs: Sequence[Sequence[Input]] = (), drawn: int = 0
) -> list[dict[str, Any]]:
    """List every estimate by result, what was measured, and the parts of the place.

    Parameters
    ----------
    results
        What was found.
    inputs
        What each result is over: its models and probes stand with its estimates.
    drawn
        How many estimates stand with their draws at most; of more the first of every result, then the second.
    """
    found = []
    for result, over in zip(results, inputs or repeat(()), strict=False):
        names = {"models": dict.fromkeys(one.model for one in over)}
        names["probes"] = dict.fromkeys(one.probe for one in over if one.probe)
        over_what = {key: list(value) for key, value in names.items()} if over else {}
        for place, ((what, *where), estimate) in enumerate(_kept(result).items()):
            row = {"result": result.title, "what": what, "where": where, **over_what}
            found.append((place, row | plain_estimate(estimate), estimate))
    for _, row, estimate in sorted(found, key=lambda one: one[0])[:drawn]:
        if estimate.drawn_from:
            row |= {"drawn_from": estimate.drawn_from, "draws": packed(estimate.draws)}
    return [row for _, row, _ in found]


def packed(draws: np.ndarray) -> str:
    """Write draws as text: little-endian float32, zlib, base64."""
    return base64.b64encode(zlib.compress(np.asarray(draws, "<f4").tobytes(), 9)).decode()


def unpacked(text: str) -> np.ndarray:
    """Read draws that ``packed`` wrote.

    Raises
    ------
    ValueError
        If the text is none of its kind, or holds more than ``LONGEST`` draws.
    """
    reader = zlib.decompressobj()
    try:
        found = reader.decompress(base64.b64decode(text, validate=True), 4 * LONGEST)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the draws cannot be read: {error}") from None
    if reader.unconsumed_tail or not reader.eof or len(found) % 4:
        raise ValueError("the draws are cut short, or too many")
    return np.frombuffer(found, "<f4").astype(np.float32)


def differences_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """List the differences that have an interval of their own, because both sides were drawn alike.

    Of several results of one place each is held against each other one, of more than ``ALL_COMPARED``
    against the first; of one result each place against the first of the same measure. A result of more than
    ``ALL_PLACES``, as of all pairs of many models, has none: they would outweigh all else.
    """
    kept = [(result.title, _kept(result)) for result in results]
    found = []
    for i, (title, mine) in enumerate(kept):
        few = len(mine) <= ALL_PLACES
        for other, theirs in kept[i + 1 :] if few and (len(kept) <= ALL_COMPARED or i == 0) else []:
            found += [_difference(key, title, mine, key, other, theirs) for key in mine if key in theirs]
        firsts: dict[str, Place] = {}
        for key in mine if few else ():
            first = firsts.setdefault(key[0], key)
            found += [_difference(key, title, mine, first, title, mine)] if key != first else []
    return [one for one in found if one is not None]


def _difference(
    key: Place, title: str, mine: Estimates, other_key: Place, other: str, theirs: Estimates
) -> dict[str, Any] | None:
    a, b = mine[key], theirs[other_key]
    if not a.is_paired(b):
        return None
    sides = {"a": {"result": title, "where": key[1:]}, "b": {"result": other, "where": other_key[1:]}}
    return {"what": key[0], **sides, **plain_estimate(a - b)}


def _unused(title: str, taken: Mapping[str, Any]) -> str:
    number = 2
    name = title
    while name in taken:
        name = f"{title} ({number})"
        number += 1
    return name


def jsonable(value: Any) -> Any:
    """Turn a value into what JSON can say: an Estimate into an object, NaN into null."""
    if isinstance(value, Estimate):
        return jsonable(plain_estimate(value))
    if isinstance(value, Cell):
        return jsonable(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return jsonable(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


SEARCHED = {
    "barrier": ("",),
    "directions": ("",),
    "kernels": ("",),
    "layers": ("",),
    "migration": ("self-training", "residual MLP", "known people needed"),
    "norm_layers": ("",),
    "projection": ("t-SNE", "UMAP"),
    "registration": (", after", "after minus", "unrelated people", "RMSE, Procrustes, known pairs"),
}
"""Section → what is in the labels of numbers that differ from machine to machine beyond their intervals.

Matchings of kernels, maps and registrations can end in another optimum for a change in the last bit, and
processors differ in that. Their intervals are over people or kernels, with the optimum that was found, and so
do not say how far the number of another machine may lie. Closed forms (PCA, Procrustes with known pairs)
move as the vectors do; but how far two networks are apart once one is turned onto the other is told to 2 % by
three hundred people, and two trainings of both on other processors differed by 5 %. How many people must be
known is where two curves meet: where all there are are just enough on one machine, they are not on another.
"""


def headlines(document: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Pick the Estimates that hold on every machine out of a ``report.json``.

    Left out is what rests on a search (``SEARCHED``) and what its own name calls unstable, operating points
    of few false accepts. This is what ``reports/demo/numbers.json`` keeps of one report, for tests to compare
    with.

    Returns
    -------
    Section → result → label → estimate; a section without any is there, and empty.
    """
    return {
        section["name"]: {
            column: {
                label: value
                for label, value in values.items()
                if isinstance(value, Mapping) and is_stable(section["name"], label)
            }
            for column, values in section["numbers"].items()
        }
        for section in document["sections"]
    }


def is_stable(section: str, label: str) -> bool:
    """Tell whether another machine's number lies within what its interval suggests."""
    return "unstable" not in label and not any(word in label for word in SEARCHED.get(section, ()))
