"""Error rates as analyses give them: operating points with their estimates, curves, tables and sentences.

Where all pairs, listed pairs and galleries are measured by different arithmetic, they are told alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from jaxtyping import Float, Int

from embedlab.analysis import Number, Result
from embedlab.charts import Cell, Curve, Curves, Table
from embedlab.estimates import Estimate, Estimates, Finding, People, compared, shares
from embedlab.maths.pairs import levels
from embedlab.maths.pairs.levels import STABLE
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.pairs.roc import Rates
from embedlab.maths.people.bootstrap import clopper_pearson
from embedlab.maths.people.effective import effective_number

DET_REACH = 0.5
EER, AUC = "EER", "AUC"
TEMPLATES = ", templates enrolled"
DASHES: tuple[Literal["solid", "dash", "dot"], ...] = ("solid", "dash", "dot")


def tar_at(far: float) -> str:
    """Name the TAR at an operating point."""
    return f"TAR@FAR={far:.3g}"


def exact(people: People, found: Drawn, n: int, null: float) -> Estimate:
    """Give a share its interval by the bootstrap; the exact one where all of n people are right, or none."""
    one = people.estimate(found, n, null, share=True)
    if found.value not in (0.0, 1.0):
        return one
    low, high = clopper_pearson(round(found.value) * max(n, 1), max(n, 1))
    return replace(one, low=low, high=high)


def spread(values: np.ndarray, spec: str = ".3f") -> str:
    """Write the lowest and the highest of some numbers; one where they read alike."""
    low, high = (format(end, spec) for end in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def dashes(conditions: Sequence[str]) -> dict[str, Literal["solid", "dash", "dot"]]:
    """Give each condition the dash of its lines, in their order."""
    return {one: DASHES[k % len(DASHES)] for k, one in enumerate(dict.fromkeys(conditions))}


@dataclass(frozen=True)
class Operating(Result):
    """Operating points of one set, and its curve.

    Attributes
    ----------
    far
        The rate at which models are compared in words.
    levels, thresholds, false_accepts, achieved
        Rates that the impostor pairs resolve, falling, with the lowest score that is accepted at each, how
        many impostor pairs are, and what share of all that is, as they weigh.
    effective
        How many people with equally many genuine pairs would tell as much.
    curve_far, curve_tar, curve_low, curve_high
        The ROC curve and the ends of its intervals.
    """

    model: str = field(metadata={"hidden": True})
    probe: str = field(metadata={"hidden": True})
    genuine_pairs: int = field(metadata={"label": "genuine pairs"})
    impostor_pairs: int = field(metadata={"label": "impostor pairs"})
    effective: float = field(metadata={"label": "effective number of people"})
    estimates: Estimates
    far: float = field(metadata={"hidden": True})
    levels: Float[np.ndarray, " levels"]
    thresholds: Float[np.ndarray, " levels"]
    false_accepts: Int[np.ndarray, " levels"]
    achieved: Float[np.ndarray, " levels"]
    curve_far: Float[np.ndarray, " points"]
    curve_tar: Float[np.ndarray, " points"]
    curve_low: Float[np.ndarray, " points"]
    curve_high: Float[np.ndarray, " points"]

    def at(self, far: float) -> int | None:
        """Find the index of a level, or None where the set cannot resolve it."""
        return levels.index_of(self.levels, far)

    def numbers(self) -> dict[str, Number]:
        """List the numbers by label, operating points that rest on few false accepts marked."""
        few = {
            tar_at(far) for far, false in zip(self.levels, self.false_accepts, strict=True) if false < STABLE
        }
        return {f"{k}, unstable" if k in few else k: v for k, v in super().numbers().items()}

    @property
    def eer(self) -> Estimate:
        """The equal error rate."""
        return self.estimates[EER,]

    @property
    def auc(self) -> Estimate:
        """The area under the ROC curve."""
        return self.estimates[AUC,]

    @property
    def condition(self) -> str:
        """What models are compared on."""
        return self.probe

    @property
    def lowest(self) -> float:
        """The rate asked for, or the lowest one that is resolved; NaN where none is."""
        return (
            self.far
            if self.at(self.far) is not None
            else float(self.levels[-1])
            if len(self.levels)
            else np.nan
        )

    def tar(self, far: float) -> Estimate:
        """Give the share of genuine pairs accepted at a level.

        Raises
        ------
        ValueError
            If the set does not resolve it.
        """
        index = self.at(far)
        if index is None:
            raise ValueError(f"{self.title} does not resolve FAR {far}")
        return self.estimates[tar_at(self.levels[index]),]


def points(
    rates: Rates, asked: np.ndarray, achieved: np.ndarray, masses: np.ndarray, people: People
) -> tuple[Estimates, dict[str, Any]]:
    """Give TAR at each level, EER and AUC; and operating points and curve by the fields' names.

    Parameters
    ----------
    rates
        What was measured at ``asked``, and behind it at the rates of a curve.
    asked, achieved
        The levels, and the rates that they got.
    masses
        What the genuine pairs of each person weigh together.
    people
        Whose resamples the replicates are.
    """
    k, found, effective = len(asked), Estimates(), effective_number(masses)
    n = round(effective)
    drawn = [Drawn(float(tar), draws) for tar, draws in zip(rates.tar, rates.tar_replicates.T, strict=True)]
    for far, tar in zip(asked, drawn, strict=False):
        found[tar_at(far),] = people.estimate(tar, n, float(far), share=True)
    found[EER,] = people.estimate(Drawn(rates.eer, rates.eer_replicates), n, 0.5, share=True, graded=True)
    found[AUC,] = people.estimate(Drawn(rates.auc, rates.auc_replicates), n, 0.5, share=True, graded=True)
    band = [people.estimate(tar, n, share=True) for tar in drawn[k:]]
    ends = np.array([(one.low, one.high) for one in band], dtype=np.float64).reshape(-1, 2)
    return found, {
        "effective": effective,
        "levels": asked,
        "achieved": achieved,
        "thresholds": rates.thresholds[:k],
        "false_accepts": rates.false_accepts[:k],
        "curve_tar": rates.tar[k:],
        "curve_low": ends[:, 0],
        "curve_high": ends[:, 1],
    }


def common(group: Sequence[Operating]) -> tuple[float, str]:
    """Find the operating point that all of a group resolve, and name it with its caution.

    Returns
    -------
    NaN where one of them resolves none.
    """
    far = float(np.max([r.lowest for r in group]))
    counts = [int(r.false_accepts[k]) for r in group if (k := r.at(far)) is not None]
    return far, f"FAR {far:g}{levels.unstable(min(counts, default=STABLE))}"


class Ranked(Protocol):
    """A result of one model."""

    @property
    def model(self) -> str:
        """The model's name."""


R = TypeVar("R", bound=Ranked)


def best_against_rest(
    words: tuple[str, str, str], group: Sequence[R], of: Callable[[R], Estimate], spec: str = ".1%"
) -> list[Finding]:
    """Hold the best model against each of the others, a sentence each, however many there are.

    Parameters
    ----------
    words
        What stands before the best model's name, between that and its figure, and after the figure.
    group
        Results measured alike; the higher the figure the better.
    of
        The figure of one.
    spec
        How it is written, in percent.

    Returns
    -------
    One sentence where there is one model, or none is shown to beat chance.
    """
    if not group:
        return []
    before, between, after = words
    best, *rest = sorted(group, key=lambda r: -of(r).value)
    one = of(best)
    alone = f"{before}{best.model}{between}{one:{spec}}{after}"
    if one.null is not None and one.low is not None and one.low <= one.null:
        beaten = f"not shown to beat chance ({one.null:{spec}})"
        return [Finding(f"{alone}{', the highest, and' if rest else ','} {beaten}.")]
    if not rest:
        return [Finding(f"{alone}.")]
    said = []
    for r in rest:
        most, least = shares(one, of(r), digits=int(spec[1]))
        text = f"{before}{best.model}{between}{most}{after}, {r.model} {least}"
        said.append(compared(text, one, of(r)))
    return said


def ranking(where: str, group: Sequence[Operating], pairs: str = "genuine pairs") -> list[Finding]:
    """Hold the best model against each of the others, at the lowest rate that all of them resolve."""
    if not group:
        return []
    far, point = common(group)
    return best_against_rest(
        (f"On {where}, ", " accepts ", f" of {pairs} at {point}"), group, lambda r: r.tar(far)
    )


def curves(results: Sequence[Operating], what: str, note: str = "") -> list[Curves]:
    """Draw ROC and DET of all sets; ``what`` names the pairs."""
    dash = dashes([r.condition for r in results])
    roc_lines, det_lines = [], []
    for r in results:
        look: dict[str, Any] = {"model": r.model, "dash": dash[r.condition]}
        x, y, low, high = r.curve_far, r.curve_tar, r.curve_low, r.curve_high
        near = x <= DET_REACH
        roc_lines.append(Curve(r.title, x, y, low, high, **look))
        det_lines.append(Curve(r.title, x[near], 1 - y[near], 1 - high[near], 1 - low[near], **look))
    return [
        Curves(
            title=f"ROC over {what}",
            xlabel="FAR: share of impostor pairs accepted",
            ylabel="TAR: share of genuine pairs accepted",
            curves=tuple(roc_lines),
            xscale="log",
            note="Bands are 95 % intervals from a bootstrap over people. Chance is TAR = FAR. In the other "
            f"dialect, TAR@FAR is 1 − FNMR@FMR.{note}",
        ),
        Curves(
            title=f"DET over {what}",
            xlabel="FAR: share of impostor pairs accepted",
            ylabel="1 − TAR: share of genuine pairs rejected",
            curves=tuple(det_lines),
            xscale="probit",
            yscale="probit",
            note="Lower is better. Both axes are probits: normally distributed scores give a straight line."
            f"{note}",
        ),
    ]


def table(results: Sequence[Operating], title: str = "Operating points") -> Table:
    """List the operating points of all sets; a set that resolves none has a row that says so."""
    rows: list[tuple[Any, ...]] = []
    for r in results:
        if not len(r.levels):
            rows.append((r.title, f"none is resolved by {r.impostor_pairs:,} impostor pairs", *["–"] * 4))
        columns = zip(r.levels, r.thresholds, r.achieved, r.false_accepts, strict=True)
        for level, threshold, got, false in columns:
            rows.append(
                (
                    r.title,
                    Cell(level, f"{level:g}"),
                    r.estimates[tar_at(level),],
                    Cell(threshold, f"{threshold:.4f}"),
                    Cell(got, f"{got:.2e}"),
                    Cell(false, f"{false:,}" + ("" if false >= STABLE else " (unstable)")),
                )
            )
    return Table(
        title=title,
        columns=("set", "FAR asked", "TAR", "threshold", "FAR achieved", "false accepts"),
        rows=tuple(rows),
        note=f"Points with fewer than {STABLE} false accepts are unstable; points that the pairs cannot "
        "resolve are left out.",
    )
