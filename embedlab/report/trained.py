"""The trained models of a report: their records, the curves beside them, and what pairs say of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from embedlab.analysis import Estimate
from embedlab.errors import UserError
from embedlab.lab import learning
from embedlab.lab.learning import Learned, Validated, ValidationPairs
from embedlab.lab.store import Lab
from embedlab.maths.people import bootstrap
from embedlab.report.sections import Note

RESAMPLES = 1000
# Weights of pairs held at once: resamples × pairs.
HELD = 4_000_000


@dataclass(frozen=True, eq=False)
class Trained:
    """A model with what is known of its training.

    Attributes
    ----------
    name
        The model's name.
    record
        Its ``model.json``.
    learned
        The curves beside it; None if an older version trained it.
    """

    name: str
    record: dict[str, Any]
    learned: Learned | None

    @property
    def history(self) -> list[dict[str, Any]]:
        """An entry an epoch."""
        entries: list[dict[str, Any]] = self.record["history"]
        return entries

    @property
    def images_a_step(self) -> int | None:
        """How many images a step sees; None if the record does not say."""
        recipe, images = self.record.get("recipe", {}), self.record.get("images")
        if not images or not recipe.get("batch"):
            return None
        return int(min(recipe["batch"], recipe.get("epoch_images") or images, images))

    @property
    def steps_an_epoch(self) -> float | None:
        """How many steps an epoch has."""
        if self.learned is not None and len(self.learned.step):
            return float(self.learned.step[-1] / self.learned.epoch[-1])
        if self.images_a_step is None:
            return None
        images = self.record["images"]
        shown = min(self.record["recipe"].get("epoch_images") or images, images)
        return float(shown // self.images_a_step)

    @property
    def conditions(self) -> list[str]:
        """The conditions it was validated under: ``""``, ``"@32"``."""
        keys = {key for entry in self.history for key, value in entry.items() if value is not None}
        if self.learned is not None and self.learned.validations:
            keys = {f"pair_accuracy{one.condition}" for one in self.learned.validations}
        return sorted(key.removeprefix("pair_accuracy") for key in keys if key.startswith("pair_accuracy"))

    def last(self, condition: str) -> Validated | None:
        """Give the last validation under a condition, where its curves were kept."""
        found = self.learned.validated(condition) if self.learned is not None else ()
        return found[-1] if found else None

    def accuracy(self, condition: str) -> float | None:
        """Give the pair accuracy of the last validation."""
        last = self.last(condition)
        value = last.pair_accuracy if last else self.history[-1].get(f"pair_accuracy{condition}")
        return None if value is None else float(value)

    def judged(self, one: Validated | None) -> bool:
        """Say whether it is known who the pairs of a validation show and which were judged rightly."""
        pairs = self.learned.pairs if self.learned is not None else None
        return bool(one and pairs and one.pairs == pairs.fingerprint and len(one.right) == len(pairs.same))

    def estimate(self, condition: str) -> Estimate | None:
        """Give the last pair accuracy with its interval over people, where the judgements were kept."""
        value, last = self.accuracy(condition), self.last(condition)
        if value is None:
            return None
        if last is None or self.learned is None or self.learned.pairs is None or not self.judged(last):
            return Estimate(value, null=self.history[-1].get("pair_chance"))
        pairs = self.learned.pairs
        drawn = replicates(pairs, last.right[None])[:, 0]
        low, high = bootstrap.share_interval(value, drawn, pairs.people)
        return Estimate(value, low, high, n=pairs.people, null=last.chance)


def load(lab: Lab, models: Sequence[str]) -> tuple[list[Trained], list[Note]]:
    """Read what the lab knows of the training of each model that was trained there.

    Returns
    -------
    The models with a history, in the order given, and a remark on each whose curves cannot be read.
    """
    found, notes = [], []
    for model in models:
        path = lab.checkpoint(model) / "model.json"
        if not path.is_file():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        if not record.get("history"):
            continue
        learned = None
        try:
            learned = learning.read(path.parent) if learning.is_recorded(path.parent) else None
        except UserError as error:
            notes.append(Note(f"Only the means of {model}'s epochs are shown: {error}."))
        found.append(Trained(model, record, learned))
    return found, notes


def replicates(
    pairs: ValidationPairs, right: Bool[np.ndarray, "m p"], count: int = RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "b m"]:
    """Give the pair accuracy in resamples of the people the pairs show, the same for each row.

    Pairs of one person weigh as often as that person was drawn, pairs of two the product. Each kind keeps
    the share of the accuracy that it has, as the list of pairs fixes that.

    Parameters
    ----------
    pairs
        Whom the pairs show.
    right
        Which pairs were judged rightly, a row a validation.
    count, seed
        How many resamples to draw, and from what.

    Returns
    -------
    Accuracies; NaN where a resample holds no pair of a kind.
    """
    counts = bootstrap.resamples(pairs.people, count, seed)
    whole = np.zeros((count, len(right)))
    for kind in (True, False):
        here = pairs.same == kind
        first, second, judged = pairs.first[here], pairs.second[here], right[:, here].T.astype(np.float32)
        step = max(1, HELD // max(1, len(first)))
        for start in range(0, count, step):
            drawn = counts[start : start + step]
            weights = drawn[:, first] if kind else drawn[:, first] * drawn[:, second]
            total = weights.sum(axis=1, dtype=np.float64)[:, None]
            share = np.divide(
                weights @ judged, total, out=np.full((len(drawn), len(right)), np.nan), where=total > 0
            )
            whole[start : start + step] += here.mean() * share
    return whole


def simultaneous(
    values: Float[np.ndarray, " k"], drawn: Float[np.ndarray, "b k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Give intervals that hold for all of several differences at once, at 95 % [1]_.

    The largest standardised deviation among them is what a resample must not exceed; so the best of
    many models is not called better because it was picked.

    Parameters
    ----------
    values
        The differences.
    drawn
        The same in resamples.

    Returns
    -------
    The lower and the upper ends. A difference that no resample moves has no interval: both are NaN.

    References
    ----------
    .. [1] Davison, A. C. and Hinkley, D. V. Bootstrap Methods and their Application. Cambridge, 1997,
       ch. 4 (adjusted for several tests by the distribution of their maximum).
    """
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    if len(drawn) < 2:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    spread = drawn.std(axis=0, ddof=1)
    moved = np.divide(np.abs(drawn - values), spread, out=np.zeros_like(drawn), where=spread > 0)
    reach = np.quantile(moved.max(axis=1), bootstrap.LEVEL) * np.where(spread > 0, spread, np.nan)
    return values - reach, values + reach
