"""Similarities brought to one scale: 0 where items are matched at random, 1 at the ceiling.

References
----------
.. [1] Rüger, B. Das maximale Signifikanzniveau des Tests "Lehne H₀ ab, wenn k unter n gegebenen Tests zur
   Ablehnung führen". Metrika 25, 1978.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from embedlab.maths.likeness.similarity import MEASURES, Measured
from embedlab.maths.people.bootstrap import interval

NAMES = tuple(measure.name for measure in MEASURES)


def tabled(
    found: Sequence[Mapping[str, Measured]], what: Callable[[Measured], float]
) -> Float[np.ndarray, "pairs measures"]:
    """Make a table, a row a pair of spaces and a column a measure."""
    return np.array([[float(what(one)) for one in measured.values()] for measured in found])


@dataclass(frozen=True)
class Scores:
    """(value − null)/(ceiling − null) of every pair and measure.

    Attributes
    ----------
    null
        What each pair's value is by chance.
    ceiling
        What two seeds of one recipe reach, the mean over all such pairs: one for all pairs of spaces,
        so that their scores can be compared. 1 where there are no seeds, nothing but seeds, or seeds
        that are no more alike than chance.
    by_seeds
        Whether it is that of seeds.
    score, drawn
        The score, and that of each resample: value and ceiling are resampled alike, the null is held
        fixed. NaN where a measure is not defined.
    twins
        The pairs that are two seeds of one recipe.
    """

    null: Float[np.ndarray, "pairs measures"]
    ceiling: Float[np.ndarray, " measures"]
    by_seeds: Bool[np.ndarray, " measures"]
    score: Float[np.ndarray, "pairs measures"]
    drawn: Float[np.ndarray, "pairs measures b"]
    twins: tuple[int, ...]


def scores(
    found: Sequence[Mapping[str, Measured]],
    counts: Float[np.ndarray, "b people"],
    recipes: Sequence[str],
) -> Scores:
    """Place every pair's values between chance and what two seeds of one recipe reach.

    Parameters
    ----------
    found
        What ``similarity.compare`` gave, a pair each, in the order of ``combinations`` of the spaces; or some
        of its measures.
    counts
        Resamples as ``bootstrap.resamples`` gives them.
    recipes
        The recipe of each space; empty where unknown.
    """
    value, null = tabled(found, lambda m: m.value), tabled(found, lambda m: float(np.mean(m.nulls)))
    drawn = np.array([[one.replicates(counts) for one in measured.values()] for measured in found])
    twins = tuple(k for k, (a, b) in enumerate(combinations(recipes, 2)) if a and a == b)
    ceiling, above, by_seeds = (
        np.ones(value.shape[1]),
        np.ones(drawn.shape[1:]),
        np.zeros(value.shape[1], bool),
    )
    if 0 < len(twins) < len(found):
        together, chance = drawn[list(twins)].mean(axis=0), null[list(twins)].max(axis=0)
        lows = [interval(one)[0] for one in together]
        by_seeds = np.array([low is not None and low > n for low, n in zip(lows, chance, strict=True)])
        ceiling = np.where(by_seeds, value[list(twins)].mean(axis=0), 1.0)
        above = np.where(by_seeds[:, None], together, 1.0)
    room = np.where(ceiling > null, ceiling - null, np.nan)
    rooms = np.where(above > null[..., None], above - null[..., None], np.nan)
    return Scores(null, ceiling, by_seeds, (value - null) / room, (drawn - null[..., None]) / rooms, twins)


def of_most(p: Float[np.ndarray, " measures"]) -> float:
    """Give a p value for more than half of some tests, however they depend on each other [1]_.

    It is the p value past the middle, times their number over its place; NaN without one.
    """
    there = np.sort(p[np.isfinite(p)])
    past = len(there) // 2 + 1
    return min(1.0, float(there[past - 1]) * len(there) / past) if len(there) else float("nan")
