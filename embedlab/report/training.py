"""How the models of a report learned: loss and pair accuracy an epoch, as their checkpoints keep them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from embedlab.analysis import Estimate, Finding
from embedlab.charts import Chart, Curve, Curves
from embedlab.report.sections import Numbers, Section
from embedlab.store import Lab

ABOUT = (
    (
        "How to read it",
        "The loss is the mean over an epoch's batches of the training objective; it must fall. Pair accuracy "
        "is the share of validation pairs called right, matching or not, with the threshold taken from nine "
        "tenths of the pairs and applied to the tenth; chance is the share of the more frequent kind. The "
        "embedded validation pairs show none of the people trained on; in data of your own that is for you "
        "to see to.",
    ),
    (
        "Limits",
        "Losses of different recipes are not comparable: they depend on the number of people and the margin. "
        "Pair accuracy is no verification at a low false accept rate, and its tenths share people. It has no "
        "interval here; the verification section has them.",
    ),
)


def training_section(
    lab: Lab, models: Sequence[str], embedded: Sequence[Mapping[str, Any]] = ()
) -> Section | None:
    """Draw the learning curves of the models that have a checkpoint; None if none has.

    Parameters
    ----------
    lab
        Where the checkpoints are.
    models
        The report's models.
    embedded
        What stands in the embedding files of the report, to tell data that a model was trained on.
    """
    records = {
        model: json.loads((lab.checkpoint(model) / "model.json").read_text(encoding="utf-8"))
        for model in models
        if (lab.checkpoint(model) / "model.json").is_file()
    }
    records = {model: record for model, record in records.items() if record.get("history")}
    if not records:
        return None
    charts: list[Chart] = [_curves("Training loss", "mean loss", records, {"": "loss"})]
    measured = {key for record in records.values() for entry in record["history"] for key in entry}
    conditions = {
        key.removeprefix("pair_accuracy"): key for key in sorted(measured) if key.startswith("pair_accuracy")
    }
    if conditions:
        charts.append(_curves("Pair accuracy on the validation pairs", "share of pairs", records, conditions))
    return Section(
        name="training",
        heading="How did the models learn?",
        findings=(
            *(_finding(model, record) for model, record in records.items()),
            *(leak for model, record in records.items() for leak in _leaks(model, record, embedded)),
        ),
        charts=tuple(charts),
        numbers=_numbers(records),
        about=ABOUT,
    )


def _curves(title: str, ylabel: str, records: dict[str, Any], keys: dict[str, str]) -> Curves:
    dashes: tuple[Literal["solid", "dash", "dot"], ...] = ("solid", "dash", "dot")
    curves = []
    for model, record in records.items():
        for k, (suffix, key) in enumerate(keys.items()):
            entries = [entry for entry in record["history"] if entry.get(key) is not None]
            curves.append(
                Curve(
                    name=f"{model} {suffix}".strip(),
                    x=np.array([entry["epoch"] for entry in entries], float),
                    y=np.array([entry[key] for entry in entries], float),
                    model=model,
                    dash=dashes[k % len(dashes)],
                    markers=True,
                )
            )
    return Curves(title=title, xlabel="epoch", ylabel=ylabel, curves=tuple(curves))


def _finding(model: str, record: dict[str, Any]) -> Finding:
    history = record["history"]
    first, last = history[0], history[-1]
    text = (
        f"{model} trained for {len(history)} epochs; its loss went from {first['loss']:.2f} to "
        f"{last['loss']:.2f}"
    )
    if last.get("pair_accuracy") is not None:
        text += f" and it calls {last['pair_accuracy']:.1%} of the validation pairs right"
        if last.get("pair_chance") is not None:
            text += f" (chance {last['pair_chance']:.0%})"
    return Finding(f"{text}.")


def _leaks(model: str, record: dict[str, Any], embedded: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Name the probes whose very images the model was trained on."""
    learned = set(record.get("data", {}).values())
    return [
        Finding(
            f"{model} was trained on the images of {one['probe']}: all its figures there are in-sample and "
            "say nothing of other people.",
            "bad",
        )
        for one in embedded
        if one["model"] == model and one.get("dataset", {}).get("fingerprint") in learned
    ]


def _numbers(records: dict[str, Any]) -> Numbers:
    rows: dict[str, tuple[Any, ...]] = {}
    last = [record["history"][-1] for record in records.values()]
    for key in dict.fromkeys(key for entry in last for key in entry if key.startswith("pair_accuracy")):
        rows[key.replace("_", " ") + ", last epoch"] = tuple(
            None if entry.get(key) is None else Estimate(entry[key], null=entry.get("pair_chance"))
            for entry in last
        )
    rows["loss, last epoch"] = tuple(float(entry["loss"]) for entry in last)
    rows["epochs"] = tuple(len(record["history"]) for record in records.values())
    for key in ("seconds", "images_per_second", "seed"):
        rows[key.replace("_", " ")] = tuple(record.get(key) for record in records.values())
    rows["weights sha256"] = tuple(str(record.get("weights_sha256", ""))[:12] for record in records.values())
    return Numbers(tuple(records), rows)
