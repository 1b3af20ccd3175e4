"""What can be said of how models learned, and what their validation pairs cannot tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedlab.analysis import Estimate, Finding
from embedlab.lab.learning import Validated, ValidationPairs
from embedlab.lab.store import learned_from
from embedlab.report.trained import Trained, replicates, simultaneous
from embedlab.report.training_charts import in_words

# What a loss depends on besides how well a network does.
LOSS = (
    "head",
    "scale",
    "margin",
    "margin_high",
    "easy_margin",
    "sample_rate",
    "octuplet",
    "adversarial",
    "low",
    "fusion",
)
LEAST_EPOCHS = 4
# No validation before this share of the steps tells how the training ended.
EARLIEST = 0.6


def findings(trained: Sequence[Trained], embedded: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """State what is in-sample first, then the comparisons, then each model's own course."""
    conditions = sorted({condition for one in trained for condition in one.conditions})
    return [
        *(leak for one in trained for leak in _leaks(one, embedded)),
        *(found for condition in conditions for found in _highest(trained, condition)),
        *_ends(trained),
        *_losses(trained),
        *(_course(one) for one in trained),
    ]


def _highest(trained: Sequence[Trained], condition: str) -> list[Finding]:
    """Say which model ends highest, and which others it is told apart from."""
    known = {one.name: value for one in trained if (value := one.accuracy(condition)) is not None}
    if len(known) < 2:
        return []
    at = f"pair accuracy at the last validation, images {in_words(condition)}"
    models = _comparable([one for one in trained if one.name in known], condition)
    if len(models) < 2:
        best = _best(known)
        return [
            Finding(
                f"{_listed(best)} {_have(best)} the highest {at}: {known[best[0]]:.1%}; whether that is "
                "chance cannot be told, for no two models have judgements kept of the same pairs."
            )
        ]
    names = [one.name for one in models]
    pairs, leads = _leads(models, condition)
    among = f"On the same {len(pairs.same):,} pairs,"
    left = [name for name in known if name not in names]
    aside = f" Not compared, for want of judgements of these pairs: {_listed(left)}." if left else ""
    best = _best({name: known[name] for name in names})
    if not leads:
        return [Finding(f"{among} {_listed(best)} have the same {at}: {known[best[0]]:.1%}.{aside}")]
    head = f"{among} {_listed(best)} {_have(best)} the highest {at}: {known[best[0]]:.1%}"
    nearest = min(leads, key=lambda lead: lead.value.value)
    gap = f"{nearest.behind} is behind by {nearest.value.points().removeprefix('+')}"
    close = list(dict.fromkeys(lead.behind for lead in leads if not lead.is_told))
    if not close:
        return [Finding(f"{head}, told apart from every other; the nearest, {gap}.{aside}", "good")]
    told = [name for name in names if name not in best and name not in close]
    head += f", told apart from {_listed(told)}" if told else ""
    by = gap.removeprefix(f"{close[0]} is behind by ") if len(close) == 1 else gap
    return [Finding(f"{head}; the lead over {_listed(close)} may be chance ({by}).{aside}")]


def _best(known: Mapping[str, float]) -> list[str]:
    return [name for name, value in known.items() if value == max(known.values())]


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _comparable(models: Sequence[Trained], condition: str) -> list[Trained]:
    """Give those of the models that were judged on the same pairs; the largest such group."""
    groups: dict[str, list[Trained]] = {}
    for one in models:
        last = one.last(condition)
        if last is not None and one.judged(last):
            groups.setdefault(last.pairs, []).append(one)
    return max(groups.values(), key=len, default=[])


@dataclass(frozen=True)
class _Lead:
    """How much a model is behind one of the best, with an interval that holds for all couples at once."""

    behind: str
    value: Estimate

    @property
    def is_told(self) -> bool:
        return self.value.low is not None and self.value.low > 0


def _leads(models: Sequence[Trained], condition: str) -> tuple[ValidationPairs, list[_Lead]]:
    """Compare every couple of models, and give those that one of the best is part of."""
    lasts = [last for one in models if (last := one.last(condition)) is not None]
    pairs = models[0].learned.pairs if models[0].learned is not None else None
    assert pairs is not None
    right = np.stack([last.right for last in lasts])
    drawn, values = replicates(pairs, right), right.mean(axis=1)
    couples = np.array([(i, j) for i in range(len(models)) for j in range(len(models)) if i < j])
    # The better one of a couple stands first.
    swapped = values[couples[:, 0]] < values[couples[:, 1]]
    first, second = np.where(swapped[:, None], couples[:, ::-1], couples).T
    gaps = values[first] - values[second]
    low, high = simultaneous(gaps, drawn[:, first] - drawn[:, second])
    return pairs, [
        _Lead(models[j].name, _estimate(gaps[k], low[k], high[k], pairs.people))
        for k, (i, j) in enumerate(zip(first, second, strict=True))
        if values[i] == values.max() and gaps[k] > 0
    ]


def _estimate(value: float, low: float, high: float, n: int) -> Estimate:
    if not np.isfinite([low, high]).all():
        return Estimate(float(value), n=n)
    return Estimate(float(value), float(low), float(high), n=n)


def _ends(trained: Sequence[Trained]) -> list[Finding]:
    """Say whose accuracy still rose towards the end of the training."""
    names, people, values, drawn = [], [], [], []
    for one in trained:
        last, before = one.last(""), _earlier(one)
        pairs = one.learned.pairs if one.learned is not None else None
        if last is None or before is None or pairs is None:
            continue
        sampled = replicates(pairs, np.stack([last.right, before.right]))
        names.append(one.name)
        people.append(pairs.people)
        values.append(float(last.right.mean() - before.right.mean()))
        drawn.append(sampled[:, 0] - sampled[:, 1])
    if not names:
        return []
    low, high = simultaneous(np.array(values), np.stack(drawn, axis=1))
    rose, fell = low > 0, high < 0
    said = []
    for what, chosen in (
        ("still rose in", rose),
        ("fell in", fell),
        ("did not change by more than chance may in", ~(rose | fell)),
    ):
        members = [
            f"{names[k]} ({_estimate(values[k], low[k], high[k], people[k]).points()})"
            for k in np.flatnonzero(chosen)
        ]
        if members:
            said.append(f"{what} {_listed(members)}")
    return [Finding(f"Over about the last quarter of the training, pair accuracy {'; '.join(said)}.")]


def _earlier(one: Trained) -> Validated | None:
    """Give the last validation before the last quarter of the steps, on the pairs of the last one."""
    last = one.last("")
    if last is None or one.learned is None or not one.judged(last):
        return None
    found = [
        before
        for before in one.learned.validated()
        if EARLIEST * last.step <= before.step <= 0.75 * last.step and one.judged(before)
    ]
    return found[-1] if found else None


def _losses(trained: Sequence[Trained]) -> list[Finding]:
    """Name what makes the losses of two models incomparable."""
    if len(trained) < 2:
        return []
    recipes = [one.record.get("recipe", {}) for one in trained]
    differing = [
        key.replace("_", " ") for key in LOSS if len({str(r.get(key)) for r in recipes if key in r}) > 1
    ]
    if len({one.record.get("identities_sha256") for one in trained}) > 1:
        differing.append("people trained on")
    if not differing:
        return []
    return [
        Finding(
            f"The losses are not comparable between all of these models: they differ in {_listed(differing)}."
        )
    ]


def _course(one: Trained) -> Finding:
    first, last = one.history[0], one.history[-1]
    epochs = len(one.history)
    text = (
        f"{one.name} trained for {epochs} epoch{'s' if epochs > 1 else ''}; its loss went from "
        f"{first['loss']:.2f} to {last['loss']:.2f}"
    )
    if epochs >= LEAST_EPOCHS:
        before = one.history[int(0.75 * epochs) - 1]
        change = (last["loss"] - before["loss"]) / abs(before["loss"]) if before["loss"] else 0.0
        text += f" ({change:+.0%} since epoch {before['epoch']})"
    accuracy = one.estimate("")
    if accuracy is not None:
        text += f" and it calls {accuracy:.1%} of the validation pairs right"
        if accuracy.null is not None:
            text += f" (chance {accuracy.null:.0%})"
    return Finding(f"{text}.")


def _leaks(one: Trained, embedded: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Name the probes whose very images the model, or one that it began from, was trained on."""
    return [
        Finding(
            f"{one.name} was trained on the images of {entry['probe']}: all its figures there are in-sample "
            "and say nothing of other people.",
            "bad",
        )
        for entry in embedded
        if entry["model"] == one.name and learned_from(one.record, entry.get("dataset", {})) == "yes"
    ]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
