"""Learning curves of several models on one axis: loss, learning rate, pair accuracy, ROC."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from embedlab.charts import Chart, Curve, Curves
from embedlab.lab.learning import Validated
from embedlab.report.trained import Trained

POINTS = 200
# With more models than this a condition has a picture of its own.
TOGETHER = 3
MOVED = 3
DASHES: tuple[Literal["solid", "dash", "dot"], ...] = ("solid", "dash", "dot")


def charts(trained: Sequence[Trained]) -> list[Chart]:
    """Draw everything that the models' trainings left."""
    drawn = [
        _loss_by_images(trained),
        _by_epoch("Training loss by epoch", "mean loss", trained, "loss"),
        _learning_rate(trained),
        *_accuracy(trained),
        *_last_rocs(trained),
        *_moved_rocs(trained),
    ]
    return [chart for chart in drawn if any(len(curve.x) for curve in chart.curves)]


def blocks(values: np.ndarray, points: int = POINTS) -> np.ndarray:
    """Give the means of at most so many runs of neighbouring values, of equal length but for the last."""
    size = max(1, -(-len(values) // points))
    starts = np.arange(0, len(values), size)
    lengths = np.diff(np.append(starts, len(values)))
    means: np.ndarray = np.add.reduceat(values, starts) / lengths if len(values) else np.zeros(0)
    return means


def _loss_by_images(trained: Sequence[Trained]) -> Curves:
    paces = {(one.images_a_step or 0) * (one.steps_an_epoch or 0) for one in trained}
    if len(paces) == 1 and all(one.learned is None for one in trained):
        trained = ()  # The picture by epoch is the same.
    curves, most = [], 1
    for one in trained:
        if one.images_a_step is None or one.steps_an_epoch is None:
            continue
        if one.learned is None:
            x, y = _epochs(one, "loss")
            x = x * one.steps_an_epoch * one.images_a_step
        else:
            x, y = blocks(one.learned.step * float(one.images_a_step)), blocks(one.learned.loss)
            most = max(most, -(-len(one.learned.loss) // POINTS))
        curves.append(Curve(one.name, x, y, model=one.name, markers=one.learned is None))
    marked = any(curve.markers for curve in curves)
    note = f"A point is the mean of up to {most} steps." if most > 1 else ""
    note += " Marked points are means of epochs." if marked and len(curves) > 1 else ""
    return Curves(
        title="Training loss by images seen",
        xlabel="images seen",
        ylabel="mean loss",
        curves=tuple(curves),
        note=note.strip(),
    )


def _by_epoch(title: str, ylabel: str, trained: Sequence[Trained], key: str) -> Curves:
    curves = tuple(Curve(one.name, *_epochs(one, key), model=one.name, markers=True) for one in trained)
    return Curves(title=title, xlabel="epoch", ylabel=ylabel, curves=curves)


def _epochs(one: Trained, key: str) -> tuple[np.ndarray, np.ndarray]:
    entries = [entry for entry in one.history if entry.get(key) is not None]
    return (
        np.array([entry["epoch"] for entry in entries], float),
        np.array([entry[key] for entry in entries], float),
    )


def _learning_rate(trained: Sequence[Trained]) -> Curves:
    curves = []
    for one in trained:
        x, y = _epochs(one, "learning_rate")
        if one.learned is not None and one.steps_an_epoch:
            x, y = blocks(one.learned.step / one.steps_an_epoch), blocks(one.learned.learning_rate)
        curves.append(Curve(one.name, x, y, model=one.name, markers=one.learned is None))
    return Curves(title="Learning rate", xlabel="epoch", ylabel="learning rate", curves=tuple(curves))


def in_words(condition: str) -> str:
    """Say what was done to the images of a condition."""
    return f"shrunk to {condition.removeprefix('@')} px first" if condition else "as they are"


def _split(trained: Sequence[Trained]) -> list[list[str]]:
    """Give the conditions of each picture: all in one for few models, else one each."""
    conditions = sorted({condition for one in trained for condition in one.conditions})
    if not conditions:
        return []
    return [conditions] if len(trained) <= TOGETHER else [[condition] for condition in conditions]


def _named(one: Trained, condition: str, conditions: Sequence[str]) -> str:
    return f"{one.name} {condition}".strip() if len(conditions) > 1 else one.name


def _ending(conditions: Sequence[str]) -> str:
    return f", images {in_words(conditions[0])}" if len(conditions) == 1 and conditions[0] else ""


def _accuracy(trained: Sequence[Trained]) -> list[Curves]:
    drawn = []
    for conditions in _split(trained):
        curves = []
        for one in trained:
            for k, condition in enumerate(conditions):
                if condition not in one.conditions:
                    continue
                x, y = _epochs(one, f"pair_accuracy{condition}")
                validations = one.learned.validated(condition) if one.learned is not None else ()
                if validations and one.steps_an_epoch:
                    x = np.array([v.step / one.steps_an_epoch for v in validations])
                    y = np.array([v.pair_accuracy for v in validations])
                name = _named(one, condition, conditions)
                curves.append(Curve(name, x, y, model=one.name, dash=DASHES[k % 3], markers=True))
        drawn.append(
            Curves(
                title=f"Pair accuracy on the validation pairs{_ending(conditions)}",
                xlabel="epoch",
                ylabel="share of pairs",
                curves=tuple(curves),
            )
        )
    return drawn


def _last_rocs(trained: Sequence[Trained]) -> list[Curves]:
    drawn = []
    for conditions in _split(trained):
        shown = [
            (one, k, last)
            for one in trained
            for k, condition in enumerate(conditions)
            if (last := one.last(condition)) is not None and last.roc is not None
        ]
        if not shown:
            continue
        curves = [
            _roc(last, _named(one, last.condition, conditions), one.name, DASHES[k % 3])
            for one, k, last in shown
        ]
        note = _support([last for _, _, last in shown])
        if missing := [one.name for one in trained if one.name not in {found.name for found, _, _ in shown}]:
            note += f" No curve was kept of {', '.join(missing)}."
        drawn.append(
            Curves(
                title=f"ROC of the last validation{_ending(conditions)}",
                xlabel="false accept rate",
                ylabel="true accept rate",
                curves=tuple(curves),
                xscale="log",
                note=note,
            )
        )
    return drawn


def _moved_rocs(trained: Sequence[Trained]) -> list[Curves]:
    moved = [
        (one, found)
        for one in trained
        if one.learned is not None
        and len(found := [v for v in one.learned.validated() if v.roc is not None]) > 1
    ]
    drawn = []
    for one, found in moved[:MOVED]:
        chosen = list(dict.fromkeys((0, (len(found) - 1) // 2, len(found) - 1)))
        note = _support([found[-1]])
        if len(moved) > MOVED:
            note += f" The first {MOVED} of {len(moved)} models are shown."
        drawn.append(
            Curves(
                title=f"ROC of {one.name} as it learned",
                xlabel="false accept rate",
                ylabel="true accept rate",
                curves=tuple(_roc(found[k], _when(found[k], one), "", "solid") for k in chosen),
                xscale="log",
                note=note,
            )
        )
    return drawn


def _when(validated: Validated, one: Trained) -> str:
    epochs = validated.step / (one.steps_an_epoch or 1.0)
    return f"after epoch {epochs:.4g}"


def _roc(validated: Validated, name: str, model: str, dash: Literal["solid", "dash", "dot"]) -> Curve:
    roc = validated.roc
    assert roc is not None
    there = roc.far > 0
    return Curve(name, roc.far[there], roc.tar[there], model=model, dash=dash)


def _support(shown: Sequence[Validated]) -> str:
    fewest = min(one.roc.impostors for one in shown if one.roc is not None)
    return (
        f"Of {fewest:,} pairs of two people: left of a false accept rate of {10 / fewest:.2g} fewer than ten "
        "of them stand behind a point."
    )
