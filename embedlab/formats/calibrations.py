"""Calibrations of scores as JSON: what `embedlab run calibration --save` writes, and how it is applied."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from embedlab.errors import UserError
from embedlab.files.documents import text_of
from embedlab.lab.store import write_json

SCHEMA = 1
Kind = Literal["logistic", "isotonic"]


@dataclass(frozen=True)
class Calibration:
    """What a cosine of one model under one probe says of two images being of one person.

    Attributes
    ----------
    model, probe
        Whose scores it was fitted on.
    slope, offset
        The logistic one: LLR = slope · score + offset.
    starts, steps
        The isotonic one: the score at which each step begins, rising, and its LLR.
    """

    model: str
    probe: str
    slope: float
    offset: float
    starts: tuple[float, ...]
    steps: tuple[float, ...]

    def llr(self, scores: Any, kind: Kind = "logistic") -> Float[np.ndarray, "*n"]:
        """Give natural logarithms of likelihood ratios: one person against two."""
        scores = np.asarray(scores, np.float64)
        if kind == "logistic":
            found: np.ndarray = self.slope * scores + self.offset
            return found
        at = np.searchsorted(self.starts, scores, side="right") - 1
        risen: np.ndarray = np.asarray(self.steps)[np.maximum(at, 0)]
        return risen

    def probability(
        self, scores: Any, prior: float = 0.5, kind: Kind = "logistic"
    ) -> Float[np.ndarray, "*n"]:
        """Give the probability of one person, where it was ``prior`` before the images were seen."""
        from scipy.special import expit, logit

        if not 0 < prior < 1:
            raise UserError(f"a prior of {prior} leaves nothing to find: give one between 0 and 1")
        found: np.ndarray = expit(self.llr(scores, kind) + logit(prior))
        return found


def write(path: Path, calibrations: Iterable[Calibration]) -> None:
    """Write calibrations as JSON."""
    write_json(
        path, {"schema": SCHEMA, "score": "cosine", "calibrations": [asdict(one) for one in calibrations]}
    )


def read(path: Path | str, model: str = "", probe: str = "") -> Calibration:
    """Read the first calibration of a file, or that of a model and a probe.

    Raises
    ------
    UserError
        If the file is none, or holds none of that model and probe; the message lists what it holds.
    """
    path = Path(path)
    try:
        document = json.loads(text_of(path, "the calibration"))
        if document["schema"] != SCHEMA:
            raise UserError(f"{path} has schema {document['schema']!r}, not {SCHEMA}: save it again")
        found = [
            Calibration(
                str(one["model"]),
                str(one["probe"]),
                float(one["slope"]),
                float(one["offset"]),
                tuple(map(float, one["starts"])),
                tuple(map(float, one["steps"])),
            )
            for one in document["calibrations"]
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(
            f"{path} is no calibration: give what `embedlab run calibration --save` wrote"
        ) from None
    if any(len(one.starts) != len(one.steps) or not one.starts for one in found):
        raise UserError(f"{path} is no calibration: its steps are not whole; save it again")
    fitting = [one for one in found if model in ("", one.model) and probe in ("", one.probe)]
    if not fitting:
        there = ", ".join(f"{one.probe} in {one.model}" for one in found) or "nothing"
        raise UserError(
            f"{path} has no calibration of {probe or 'any probe'} in {model or 'any model'}: it has {there}"
        )
    return fitting[0]
