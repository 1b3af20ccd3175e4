"""How the models of a report learned: loss, learning rate, pair accuracy and ROC, all on one axis."""

from collections.abc import Mapping, Sequence
from typing import Any

from embedlab.lab.store import Lab
from embedlab.report import trained as trained_models
from embedlab.report.sections import Numbers, Section
from embedlab.report.trained import Trained
from embedlab.report.training_charts import charts
from embedlab.report.training_findings import findings

FARS = (0.1, 0.01, 0.001, 1e-4)
STABLE = 10

ABOUT = (
    (
        "How to read it",
        "The loss is the mean of the training objective over a step's images; it must fall. Pair accuracy "
        "is the share of validation pairs called right, matching or not, with the threshold taken from nine "
        "tenths of the pairs and applied to the tenth; chance is the share of the more frequent kind. "
        "``@32`` is the same with images shrunk to 32 px first. The ROC curve gives the share of matching "
        "pairs accepted (TAR) where the threshold accepts a share of the others (FAR); higher and further "
        "left is better. The embedded validation pairs show none of the people trained on; in data of your "
        "own that is for you to see to.",
    ),
    (
        "Limits",
        "Losses of different recipes are not comparable: they depend on the number of people, the head, its "
        "scale and its margin. Pair accuracy is no verification at a low false accept rate, and its tenths "
        "share people. Intervals come from resampling the people of the pairs, with the thresholds held; "
        "models are compared on the same resamples, and the intervals of the differences hold for all of "
        "them at once, so that the best of many is not called better because it was picked. The last "
        "validation is compared, not the best one, which would be chosen by its luck. Where a recipe lets "
        "validation steer the learning rate, its accuracy is slightly flattered.",
    ),
)


def training_section(
    lab: Lab, models: Sequence[str], embedded: Sequence[Mapping[str, Any]] = ()
) -> Section | None:
    """Draw the learning curves of the models that have a checkpoint; None if none has.

    Checkpoints of older versions have no curves beside them, and are shown by the means of their epochs.

    Parameters
    ----------
    lab
        Where the checkpoints are.
    models
        The report's models.
    embedded
        What stands in the embedding files of the report, to tell data that a model was trained on.
    """
    trained, notes = trained_models.load(lab, models)
    if not trained:
        return None
    return Section(
        name="training",
        heading="How did the models learn?",
        findings=tuple(findings(trained, embedded)),
        charts=tuple(charts(trained)),
        numbers=_numbers(trained),
        notes=tuple(notes),
        about=ABOUT,
        state="partial" if notes else "ok",
    )


def _numbers(trained: Sequence[Trained]) -> Numbers:
    rows: dict[str, tuple[Any, ...]] = {}
    conditions = sorted({condition for one in trained for condition in one.conditions})
    for condition in conditions:
        rows[f"pair accuracy{condition}, last epoch"] = tuple(one.estimate(condition) for one in trained)
    for condition in conditions:
        rows |= _operating_points(trained, condition)
    rows["loss, last epoch"] = tuple(float(one.history[-1]["loss"]) for one in trained)
    rows["epochs"] = tuple(len(one.history) for one in trained)
    if any(one.images_a_step for one in trained):
        rows["images seen"] = tuple(_images_seen(one) for one in trained)
    for key in ("seconds", "images_per_second", "seed"):
        rows[key.replace("_", " ")] = tuple(one.record.get(key) for one in trained)
    rows["weights sha256"] = tuple(str(one.record.get("weights_sha256", ""))[:12] for one in trained)
    return Numbers(tuple(one.name for one in trained), rows)


def _operating_points(trained: Sequence[Trained], condition: str) -> dict[str, tuple[Any, ...]]:
    """Give AUC and the TAR at each FAR that the pairs of some model support."""
    rocs = [last.roc if (last := one.last(condition)) is not None else None for one in trained]
    known = [roc for roc in rocs if roc is not None]
    if not known:
        return {}
    rows: dict[str, tuple[Any, ...]] = {f"AUC{condition}": tuple(roc.auc if roc else None for roc in rocs)}
    for far in FARS:
        if any(roc.supports(far) for roc in known):
            stable = all(roc.supports(far, STABLE) for roc in known if roc.supports(far))
            label = f"TAR{condition} at FAR {far:g}{'' if stable else ' (unstable)'}"
            rows[label] = tuple(roc.tar_at(far) if roc else None for roc in rocs)
    return rows


def _images_seen(one: Trained) -> int | None:
    if one.images_a_step is None or one.steps_an_epoch is None:
        return None
    return round(one.images_a_step * one.steps_an_epoch * len(one.history))
