"""The models of a report side by side: one table of them, and of several a heatmap in the order of likeness.

All numbers are those of verification, resolution and drift. A difference from the best model is held to the
interval that is simultaneous over the report's claims: the question that picks the best one counts every two
models among them, so that nothing is claimed twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedlab.analyses.drift import FAR, Drift
from embedlab.analyses.resolution import TAR, Resolution
from embedlab.analyses.verification import Verification
from embedlab.charts import Heatmap
from embedlab.estimates import Estimate
from embedlab.focus import native
from embedlab.question import Answer, simultaneous, verdict_of
from embedlab.questions.sizes import BREAKS
from embedlab.report.numbers import plain_estimate
from embedlab.runner import Outcome

SOUND = 3.0
"""How many times the FAR asked for one threshold may let in at a size that is called sound."""

SEVERAL = 3
"""From so many models on they are clustered."""

Facts = Mapping[str, tuple[int | None, str]]
"""Model → how many numbers its vectors have, and what it was trained on; empty where nobody knows."""


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes
    ----------
    model
        Its name.
    dimension, trained
        As ``Facts`` has them.
    tar
        TAR on images as they are; None where the FAR asked for cannot be resolved.
    behind
        By how much TAR is less than the best model's, with a simultaneous interval; None of the best one.
    small
        TAR of the smallest sound size against images as they are.
    breaks
        Where recognition breaks, in words.
    operate
        The threshold at the FAR asked for.
    """

    model: str
    dimension: int | None
    trained: str
    tar: Estimate | None
    behind: Estimate | None
    small: Estimate | None
    breaks: str
    operate: str


@dataclass(frozen=True)
class Overview:
    """The models of a report side by side.

    Attributes
    ----------
    rows
        The models, the best first.
    probe, far
        The images as they are, and the FAR that TAR is told at.
    size
        The smallest size at which one threshold is sound in every model; empty where none is.
    heatmap
        TAR of every model and probe; None of fewer than ``SEVERAL`` models, or of one probe.
    """

    rows: tuple[Row, ...]
    probe: str
    far: float
    size: str
    heatmap: Heatmap | None = field(default=None, compare=False)

    @property
    def trained(self) -> bool:
        """Whether it is known of any model what it was trained on."""
        return any(row.trained for row in self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Head the columns of ``plain`` and ``cells``."""
        small = (f"TAR at {self.size}",) if self.size else ()
        behind = ("behind the best, points",) if len(self.rows) > 1 else ()
        trained = ("trained on",) if self.trained else ()
        return ("model", "dim", *trained, "TAR as is", *behind, *small, "breaks at", "operate at")

    def cells(self) -> list[list[Any]]:
        """Give the rows of a table: text, numbers and estimates."""
        found = []
        for row in self.rows:
            trained = (row.trained or None,) if self.trained else ()
            behind = (row.behind,) if len(self.rows) > 1 else ()
            small = (row.small,) if self.size else ()
            there = (row.model, row.dimension, *trained, row.tar, *behind, *small, row.breaks, row.operate)
            found.append(list(there))
        return found

    def plain(self) -> dict[str, Any]:
        """Give the table as plain values, for ``report.json``."""
        rows = [[plain_estimate(v) if isinstance(v, Estimate) else v for v in row] for row in self.cells()]
        return {"probe": self.probe, "far": self.far, "columns": list(self.columns), "rows": rows}


def of(outcomes: Sequence[Outcome], answers: Sequence[Answer], facts: Facts) -> Overview | None:
    """Set the models of some outcomes side by side; None where none has a TAR on images as they are.

    Parameters
    ----------
    outcomes
        What the analyses gave, on all models.
    answers
        The answers that were judged by them.
    facts
        What is known of the models besides.
    """
    results = [r for one in outcomes for r in one.results]
    every = [r for r in results if isinstance(r, Verification) and not r.templates]
    probe = next(iter(native(list(dict.fromkeys(r.probe for r in every)))), "")
    there = {r.model: r for r in every if r.probe == probe and r.at(r.far) is not None}
    if not there:
        return None
    tar = {model: r.tar(r.far) for model, r in there.items()}
    order = sorted(tar, key=lambda model: -tar[model].value)
    over = max((one.over for one in answers), default=1)
    ladders = {r.model: r for r in results if isinstance(r, Resolution) and r.dataset == probe}
    drifts = {r.model: r for r in results if isinstance(r, Drift) and r.dataset == probe}
    size = _smallest_sound([drifts[model] for model in order if model in drifts])
    broken = {one.subject[0]: one for one in answers if one.kind == BREAKS}
    behind = {model: simultaneous(tar[order[0]] - tar[model], over) for model in order[1:]}
    rows = tuple(
        Row(
            model,
            *facts.get(model, (None, "")),
            tar[model],
            behind.get(model),
            _small(ladders.get(model), size),
            _breaks(broken.get(model)),
            f"{float(there[model].thresholds[there[model].at(there[model].far) or 0]):.4f}",
        )
        for model in order
    )
    far = there[order[0]].far
    return Overview(rows, probe, far, size, _heatmap(every, order, far))


def _smallest_sound(drifts: Sequence[Drift]) -> str:
    """Name the smallest size at which FAR, against native images, is nowhere surely over ``SOUND`` times."""
    shared = [name for name in drifts[0].names[:-1] if all(name in r.names for r in drifts)] if drifts else []
    for name in shared:
        rates = [(r.far, r.estimates.at(FAR, r.place((r.last, r.names.index(name))))) for r in drifts]
        if all(one is not None and verdict_of(one, SOUND * far) != "yes" for far, one in rates):
            return name
    return ""


def _small(r: Resolution | None, size: str) -> Estimate | None:
    if r is None or size not in r.names:
        return None
    return r.estimates.at(TAR, r.place((r.last, r.names.index(size))))


def _breaks(answer: Answer | None) -> str:
    if answer is None or not answer.brief:
        return "n/a"
    return answer.brief.removeprefix("breaks at ")


def _heatmap(every: Sequence[Verification], models: Sequence[str], far: float) -> Heatmap | None:
    """Draw TAR of every model and probe, models in the order of their clustering."""
    told = [r for r in every if r.model in models and r.at(r.far) is not None]
    probes = list(dict.fromkeys(r.probe for r in told))
    if len(models) < SEVERAL or len(probes) < 2:
        return None
    from scipy.cluster.hierarchy import leaves_list, linkage

    places = {model: k for k, model in enumerate(models)}
    values = np.full((len(models), len(probes)), np.nan)
    for r in told:
        values[places[r.model], probes.index(r.probe)] = r.tar(r.far).value
    # What cannot be told counts as the middle of the others, so that it joins a model to none.
    middle = np.nanmean(values, axis=0)
    tree = linkage(np.where(np.isfinite(values), values, middle), "average", optimal_ordering=True)
    order = leaves_list(tree)
    return Heatmap(
        title=f"TAR at FAR {far:g} of every model and probe",
        xlabels=tuple(probes),
        ylabels=tuple(models[k] for k in order),
        values=values[order],
        text=np.where(np.isfinite(values), np.char.mod("%.3f", values), "")[order],
        colour_label="TAR",
        span=(0.0, 1.0),
        note="Each probe among its own images, at a threshold of its own. Models stand in the order of "
        "average linkage over these rows: neighbours do alike.",
    )
