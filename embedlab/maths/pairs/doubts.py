"""Which labels several models doubt, by the log-likelihood ratios (LLR) of one person against two.

An LLR is linear in the cosine, so sums of LLRs over a person's images are linear in the sum of its unit
vectors: no pair of images is scored. Where models vote, what is said holds in each, and the least sure gives
the evidence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.maths.pairs import likelihood
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.pairs.likelihood import Weighed
from embedlab.maths.products import told_apart
from embedlab.maths.sums import by_person
from embedlab.progress import track

BLOCK = 1 << 24
TURNS = 4
"""How often labels are judged at most; on real faces few change after the second time."""


@dataclass(frozen=True)
class Voter:
    """One model's unit vectors, the line from cosine to LLR, and its Cllr: 1 where it tells nothing."""

    unit: Float[np.ndarray, "n d"]
    slope: float
    offset: float
    cost: float = 0.0

    @classmethod
    def of(cls, unit: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]) -> Self:
        """Fit the line to all pairs, people weighing alike."""
        every = Weighed.of(all_pairs(unit, labels, weigh="people", tail=0))
        slope, offset = likelihood.logistic(every)
        return cls(
            told_apart(unit, unit)[0], slope, offset, likelihood.cllr(slope * every.scores + offset, every)
        )

    def sums(
        self, labels: Int[np.ndarray, " n"], kept: Bool[np.ndarray, " n"]
    ) -> Float[np.ndarray, "people d"]:
        """Sum each person's vectors, of the images that are kept."""
        return by_person(self.unit[kept], labels[kept], int(labels.max()) + 1).astype(self.unit.dtype)


@dataclass(frozen=True)
class Evidence:
    """What the images of people say of each image, of shape (models, n), in nats.

    Attributes
    ----------
    own
        The mean LLR with the other images of its own person; NaN where there is none.
    other
        That with the other person, ``whose``, who is likest to the model that is least sure.
    matched
        With how many other people the mean LLR is above zero.
    """

    own: Float[np.ndarray, "models n"]
    other: Float[np.ndarray, "models n"]
    whose: Int[np.ndarray, " n"]
    matched: Float[np.ndarray, "models n"]


def evidence(
    voters: Sequence[Voter], labels: Int[np.ndarray, " n"], kept: Bool[np.ndarray, " n"]
) -> Evidence:
    """Hold every image against every person, as the images that are kept show them."""
    n, sizes = len(labels), np.bincount(labels[kept], minlength=int(labels.max()) + 1)
    own, other, matched = np.empty((3, len(voters), n))
    whose, sums = np.empty(n, np.int64), [v.sums(labels, kept) for v in voters]
    means = [total / np.maximum(sizes, 1)[:, None].astype(total.dtype) for total in sums]
    step = max(1, BLOCK // len(sizes))
    for start in track(range(0, n, step), "images against all people", -(-n // step)):
        rows = slice(start, min(start + step, n))
        at, mine = np.arange(rows.stop - start), labels[rows]
        each = np.stack(
            [v.slope * (v.unit[rows] @ m.T) + v.offset for v, m in zip(voters, means, strict=True)]
        )
        rest = (sizes[mine] - kept[rows]).astype(np.float64)
        for k, v in enumerate(voters):
            alike = np.einsum("ij,ij->i", v.unit[rows], sums[k][mine]) - kept[rows]
            mean = np.divide(alike, rest, out=np.full(len(at), np.nan), where=rest > 0)
            own[k, rows] = v.slope * mean + v.offset
        each[:, at, mine] = -np.inf
        each[:, :, sizes == 0] = -np.inf
        matched[:, rows] = (each > 0).sum(axis=2)
        whose[rows] = each.min(axis=0).argmax(axis=1)
        other[:, rows] = each[:, at, whose[rows]]
    return Evidence(own, other, whose, matched)


@dataclass(frozen=True)
class Doubted:
    """Images that look like another person more than like their own, the surest first.

    Attributes
    ----------
    rows, whose
        Which, and whom they are like, of shape (k,).
    sure, fdr
        By how many nats, and the false discovery rate of naming so many, (k,).
    by_chance
        How many of them are expected by chance.
    matched
        What ``evidence`` says of all images once those are left out, (models, n).
    """

    rows: Int[np.ndarray, " k"]
    whose: Int[np.ndarray, " k"]
    sure: Float[np.ndarray, " k"]
    fdr: Float[np.ndarray, " k"]
    by_chance: float
    matched: Float[np.ndarray, "models n"]


def wrong_labels(
    voters: Sequence[Voter], labels: Int[np.ndarray, " n"], level: float, deals: int, seed: int
) -> Doubted:
    """Name the images that are likelier of another person, at a false discovery rate (FDR) of ``level``.

    The evidence is the mean LLR with the other person less that with the own one. By chance it is as high as
    where what others say is dealt anew among the images. Wrong labels also spoil what is said of their
    neighbours and what chance gives, so those found are left out of both, and all are judged again.
    """
    doubted = np.zeros(len(labels), dtype=bool)
    for turn in range(TURNS):
        found = evidence(voters, labels, ~doubted)
        known = np.isfinite(found.own[0])
        sure = np.where(known, (found.other - found.own).min(axis=0), -np.inf)
        order = np.argsort(-sure, kind="stable")
        order = order[sure[order] > 0]
        right, rng = np.flatnonzero(known & ~doubted), np.random.default_rng([seed, 21, turn])
        false = np.zeros(len(order))
        for _ in range(deals):
            dealt = np.sort((found.other[:, rng.permutation(right)] - found.own[:, right]).min(axis=0))
            false += len(dealt) - np.searchsorted(dealt, sure[order])
        rates = np.minimum((false + 1) / deals / np.arange(1, len(order) + 1), 1.0)
        rates = np.minimum.accumulate(rates[::-1])[::-1]
        named = int(np.count_nonzero(rates <= level))
        rows, whose, before = order[:named], found.whose[order[:named]], doubted
        doubted = np.isin(np.arange(len(labels)), rows)
        if (doubted == before).all():
            break
    else:
        found = evidence(voters, labels, ~doubted)
    expected = float(false[named - 1]) / deals if named else 0.0
    return Doubted(rows, whose, sure[rows], rates[:named], expected, found.matched)


def one_person(
    voters: Sequence[Voter], labels: Int[np.ndarray, " n"], kept: Bool[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, "k 2"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Rank two people who are rather one: their images' mean LLR is above the prior of one in all people.

    Returns
    -------
    Both people, the surest first; the odds' logarithm; and the mean chance of being wrong down to each.
    """
    sizes = np.bincount(labels[kept], minlength=int(labels.max()) + 1)
    people, pairs, odds = len(sizes), [np.empty((0, 2), np.int64)], [np.empty(0)]
    means = [v.sums(labels, kept) / np.maximum(sizes, 1)[:, None].astype(v.unit.dtype) for v in voters]
    step = max(1, BLOCK // people)
    for start in range(0, people, step):
        each = [
            v.slope * (m[start : start + step] @ m.T) + v.offset for v, m in zip(voters, means, strict=True)
        ]
        least = np.min(each, axis=0) - math.log(people)
        a, b = np.nonzero(least > 0)
        once = (a + start < b) & (sizes[a + start] > 0) & (sizes[b] > 0)
        pairs.append(np.stack([a[once] + start, b[once]], axis=1))
        odds.append(least[a[once], b[once]].astype(np.float64))
    every = np.concatenate(odds)
    order = np.argsort(-every, kind="stable")
    wrong = 1 / (1 + np.exp(np.minimum(every[order], 700)))
    return np.concatenate(pairs)[order], every[order], np.cumsum(wrong) / np.arange(1, len(order) + 1)


def two_parts(
    voters: Sequence[Voter], rows: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " j"], Int[np.ndarray, " k"], float] | None:
    """Part a person's images where no LLR above zero joins them in any model, two at least on either side.

    Returns
    -------
    The rows of the two largest parts, and how far their mean LLR is below zero; None where there is one part.
    """
    from scipy.sparse.csgraph import connected_components

    llr = [v.slope * (v.unit[rows] @ v.unit[rows].T) + v.offset for v in voters]
    _, part = connected_components(np.max(llr, axis=0) > 0, directed=False)
    large = [np.flatnonzero(part == k) for k in np.argsort(-np.bincount(part), kind="stable")[:2]]
    if len(large) < 2 or len(large[1]) < 2:
        return None
    apart = min(-float(one[np.ix_(*large)].mean()) for one in llr)
    return rows[large[0]], rows[large[1]], apart
