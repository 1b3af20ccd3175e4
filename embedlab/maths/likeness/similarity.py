"""How alike two spaces of the same items are, by eight measures, each beside its null.

A measure gives a value, each person's influence on it, and what it gives where items are matched at random.
The influence turns a bootstrap over people into one product: a resample's value is, to first order, value +
(counts − 1)·influence. Of CKA and RSA it is the derivative by the person's weight; measures that fit, or
look for neighbours, are made anew without a group of people at a time. At the null, where first-order
terms vanish, the derivative doubles the variance of a U-statistic such as HSIC: intervals are too long there.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.likeness import cca, cka
from embedlab.maths.likeness.exchange import halves_of, levelled, rematched
from embedlab.maths.likeness.hsic import Hsic, of_features
from embedlab.maths.likeness.jackknife import groups_of, influence, left_out
from embedlab.maths.likeness.moments import Cross, Halves
from embedlab.maths.likeness.mutual import Near, cknna, mutual
from embedlab.maths.likeness.rsa import Ranked, spearman
from embedlab.maths.products import unthreaded
from embedlab.maths.turns import turns
from embedlab.progress import carried, track

S = TypeVar("S")
T = TypeVar("T")
THREADS = 4

# No person fills more than this share of a sample.
MOST_OF_SAMPLE = 10


@dataclass(frozen=True)
class Measure:
    """A measure of similarity, 1 for equal spaces, and what it does not see.

    Attributes
    ----------
    name
        Its name.
    orthogonal, scaling, translation, invertible, permutation
        Whether it stays the same where one space is turned or mirrored, made larger in all directions,
        moved, mapped by any invertible matrix, or has its columns in another order.
    fitted
        Whether it fits a map, and so is judged on people it was not fitted on.
    sampled
        Whether it compares all pairs of a sample instead of all items.
    """

    name: str
    orthogonal: bool = True
    scaling: bool = True
    translation: bool = True
    invertible: bool = False
    permutation: bool = True
    fitted: bool = False
    sampled: bool = False


LINEAR_CKA, RBF_CKA, SVCCA, PWCCA = "linear CKA", "RBF CKA", "SVCCA", "PWCCA"
PROCRUSTES, RSA, MUTUAL, CKNNA = "Procrustes", "RSA", "mutual k-NN", "CKNNA"
MEASURES = (
    Measure(LINEAR_CKA),
    Measure(RBF_CKA),
    Measure(SVCCA, fitted=True),
    Measure(PWCCA, orthogonal=False, fitted=True),
    Measure(PROCRUSTES, fitted=True),
    Measure(RSA, translation=False, sampled=True),
    Measure(MUTUAL, translation=False, sampled=True),
    Measure(CKNNA, translation=False, sampled=True),
)


@dataclass(frozen=True)
class Measured:
    """What one measure found.

    Attributes
    ----------
    value
        The measure; NaN where it is not defined.
    influence
        That of each person, of shape (people,).
    nulls
        Its values where items are matched at random.
    in_sample, in_sample_null
        Of a measure that fits: what it gives on the rows that were fitted, and there by chance.
    """

    value: float
    influence: Float[np.ndarray, " people"]
    nulls: Float[np.ndarray, " b"]
    in_sample: float = float("nan")
    in_sample_null: float = float("nan")

    def replicates(self, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
        """Give the value of each resample to first order; no measure exceeds 1."""
        found: np.ndarray = np.clip(self.value + (counts - 1) @ self.influence, -1.0, 1.0)
        return found


@dataclass(frozen=True)
class Plan:
    """What all comparisons of the same items share.

    Attributes
    ----------
    owners
        The person of each item, 0…people−1.
    sample
        The most items of which all pairs are compared.
    together
        Whether a person's items stay together where items are matched at random.
    neighbours
        How many nearest neighbours mutual k-NN and CKNNA look at.
    bandwidth
        Of the RBF kernel, in units of the median distance.
    batch
        Items in a minibatch of RBF CKA.
    variance
        The share of variance that the principal components within which CCA is fitted must carry.
    shuffles, refits
        How often items are matched at random, and how often a fit is made anew on such matches.
    seed
        Seed of all draws.
    """

    owners: Int[np.ndarray, " n"]
    sample: int
    together: bool
    neighbours: int
    bandwidth: float
    batch: int
    variance: float
    shuffles: int
    refits: int
    seed: int

    @classmethod
    def of(cls, owners: Int[np.ndarray, " n"], params: Any) -> "Plan":
        """Plan as an analysis's parameters say; ``shuffle`` is "people" or "images"."""
        names = [one.name for one in fields(cls) if one.name not in ("owners", "together")]
        asked = {name: getattr(params, name) for name in names}
        return cls(owners=owners, together=params.shuffle == "people", **asked)

    @cached_property
    def people(self) -> int:
        """How many people there are."""
        return int(self.owners.max()) + 1

    @cached_property
    def half(self) -> Int[np.ndarray, " n"]:
        """The half of each item; a person's items are in one."""
        return halves_of(self.owners, self.seed)

    @cached_property
    def rows(self) -> Int[np.ndarray, " m"]:
        """The sample: all items of people in random order while they fit, a tenth of it a person at most."""
        rng = np.random.default_rng([self.seed, 20])
        place = rng.permutation(self.people)
        order = np.lexsort((rng.permutation(len(self.owners)), place[self.owners]))
        if len(order) > self.sample:
            order = order[turns(self.owners[order]) < max(1, self.sample // MOST_OF_SAMPLE)]
        sizes = np.bincount(place[self.owners[order]])
        fits = np.cumsum(sizes) <= self.sample
        rows = np.sort(order[fits[place[self.owners[order]]]])
        if not self.together:
            return rows
        _, owners = np.unique(self.owners[rows], return_inverse=True)
        found: np.ndarray = rows[levelled(owners, rng)]
        return found

    @cached_property
    def sampled_people(self) -> int:
        """How many people the sample holds."""
        return len(np.unique(self.owners[self.rows]))

    def by_person(self, gradient: np.ndarray, *, sampled: bool = False) -> np.ndarray:
        """Sum a derivative over each person's items."""
        owners = self.owners[self.rows] if sampled else self.owners
        return np.bincount(owners, gradient, minlength=self.people)

    @cached_property
    def group(self) -> Int[np.ndarray, " people"]:
        """The group of each person, who are left out together."""
        return groups_of(self.people, self.seed)

    @cached_property
    def sample_group(self) -> Int[np.ndarray, " people"]:
        """The same of the sample; −1 for people outside it."""
        who = np.unique(self.owners[self.rows])
        found = np.full(self.people, -1)
        found[who] = groups_of(len(who), self.seed)
        return found

    @cached_property
    def orders(self) -> tuple[Int[np.ndarray, " n"], ...]:
        """Orders that match each item with a random one of its half."""
        found = []
        for k in range(max(self.shuffles, self.refits)):
            rng = np.random.default_rng([self.seed, 21, k])
            order = np.empty(len(self.owners), np.int32)
            for h in (0, 1):
                mine = np.flatnonzero(self.half == h)
                _, owners = np.unique(self.owners[mine], return_inverse=True)
                order[mine] = mine[rematched(owners, rng, together=self.together)]
            found.append(order)
        return tuple(found)

    @cached_property
    def sample_orders(self) -> tuple[Int[np.ndarray, " m"], ...]:
        """Orders that match each item of the sample with a random one."""
        _, owners = np.unique(self.owners[self.rows], return_inverse=True)
        return tuple(
            rematched(owners, np.random.default_rng([self.seed, 22, k]), together=self.together)
            for k in range(self.shuffles)
        )


@dataclass(frozen=True)
class Space:
    """One model's vectors and what every comparison of them needs."""

    halves: Halves
    own: Hsic
    white: cca.Whitenings
    ranked: Ranked
    near: Near

    @classmethod
    def of(cls, vectors: Float[np.ndarray, "n d"], plan: Plan) -> "Space":
        """Prepare vectors, row for row with ``plan.owners``."""
        halves = Halves.of(vectors, plan.half)
        rows, some = halves.rows, vectors[plan.rows]
        return cls(
            halves,
            of_features(rows, rows, Cross.of(halves, halves).raw.sum(axis=0)),
            cca.whitenings(halves, plan.variance),
            Ranked.of(some),
            Near.of(some, plan.neighbours, plan.sample_group[plan.owners[plan.rows]]),
        )


def compare_all(spaces: Sequence[Float[np.ndarray, "n _d"]], plan: Plan) -> list[dict[str, Measured]]:
    """Compare each two spaces, row for row with ``plan.owners``, in the order of ``combinations``."""
    with _threads() as mapped:
        ready = list(track(mapped(lambda x: Space.of(x, plan), spaces), "reading models", len(spaces)))
        pairs = list(combinations(ready, 2))
        found = mapped(lambda pair: compare(*pair, plan), pairs)
        return list(track(found, "comparing models", len(pairs)))


def linear_all(
    spaces: Sequence[Float[np.ndarray, "n _d"]],
    owners: Int[np.ndarray, " n"],
    orders: Sequence[Int[np.ndarray, " n"]],
) -> list[dict[str, Measured]]:
    """Compare each two spaces by linear CKA alone.

    Parameters
    ----------
    spaces
        Rows of the same items.
    owners
        The person of each item, 0…people−1.
    orders
        Matches at random: item i of the first space with item ``order[i]`` of the second.
    """

    def centred(rows: np.ndarray) -> tuple[np.ndarray, Hsic]:
        rows = rows - rows.mean(axis=0)
        return rows, of_features(rows, rows, (rows.T @ rows).astype(np.float64))

    def aligned(pair: tuple[tuple[np.ndarray, Hsic], tuple[np.ndarray, Hsic]]) -> dict[str, Measured]:
        (x, own_x), (y, own_y) = pair
        cross = (x.T @ y).astype(np.float64)
        shuffled = ((order, x.T @ y[order]) for order in orders)
        found, nulls = cka.linear(x, y, cross, (own_x, own_y), shuffled)
        return {LINEAR_CKA: Measured(found.value, np.bincount(owners, found.gradient), nulls)}

    with _threads() as mapped:
        ready = list(track(mapped(centred, spaces), "reading models", len(spaces)))
        pairs = list(combinations(ready, 2))
        return list(track(mapped(aligned, pairs), "comparing models", len(pairs)))


@contextmanager
def _threads() -> Iterator[Callable[[Callable[[S], T], Sequence[S]], Iterator[T]]]:
    """Open a few threads, each with matrix products of its own: the same bits however many there are.

    Given is a map whose work tells of its progress, and ends soon where nobody waits for it any more.
    """
    stopped = threading.Event()
    with unthreaded(), ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        try:
            yield lambda work, items: pool.map(carried(work, stopped), items)
        finally:
            stopped.set()


def compare(a: Space, b: Space, plan: Plan) -> dict[str, Measured]:
    """Compare two spaces of the same items by every measure; a result a name of ``MEASURES``."""
    found = _by_moments(a, b, plan)
    alignment, nulls = cka.rbf(
        a.halves.rows, b.halves.rows, bandwidth=plan.bandwidth, batch=plan.batch, seed=plan.seed,
        orders=plan.orders[: plan.shuffles],
    )  # fmt: skip
    found[RBF_CKA] = Measured(alignment.value, plan.by_person(alignment.gradient), nulls)
    orders = plan.sample_orders
    value, gradient, nulls = spearman(a.ranked, b.ranked, orders)
    found[RSA] = Measured(value, plan.by_person(gradient, sampled=True), nulls)
    without = left_out(
        lambda gone: _shared_neighbours(a.near.without(gone), b.near.without(gone)),
        plan.sample_group[plan.owners[plan.rows]],
    )
    for k, (name, measure) in enumerate(((MUTUAL, mutual), (CKNNA, cknna))):
        value, nulls = measure(a.near, b.near, orders)
        found[name] = Measured(value, influence(value, without[k], plan.sample_group), nulls)
    return {measure.name: found[measure.name] for measure in MEASURES}


def _shared_neighbours(a: Near, b: Near) -> tuple[float, ...]:
    return mutual(a, b)[0], cknna(a, b)[0]


def _by_moments(a: Space, b: Space, plan: Plan) -> dict[str, Measured]:
    """Take linear CKA and the fitted measures from the same products, shuffled ones too."""
    x, y = a.halves, b.halves
    cross = Cross.of(x, y)
    wholes, refits = [], []
    for k, order in enumerate(track(plan.orders, "matching images at random")):
        by_chance = Cross.of(x, y, order)
        if k < plan.shuffles:
            wholes.append((order, by_chance.raw.sum(axis=0)))
        if k < plan.refits:
            refits.append(_fitted(x, y, (a.white, b.white), by_chance))
    alignment, nulls = cka.linear(x.rows, y.rows, cross.raw.sum(axis=0), (a.own, b.own), wholes)
    found = {LINEAR_CKA: Measured(alignment.value, plan.by_person(alignment.gradient), nulls)}
    without = left_out(lambda gone: _fitted_without(a, b, cross, plan, gone), plan.group[plan.owners])
    for k, (name, value) in enumerate(_fitted(x, y, (a.white, b.white), cross).items()):
        chance = [one[name] for one in refits]
        found[name] = Measured(
            value.value,
            influence(value.value, without[k], plan.group),
            np.array([one.value for one in chance]),
            value.in_sample,
            float(np.mean([one.in_sample for one in chance])),
        )
    return found


def _fitted_without(a: Space, b: Space, cross: Cross, plan: Plan, gone: np.ndarray) -> tuple[float, ...]:
    """Fit and judge anew without some rows; NaN where a half is left with no spread."""
    rows = np.flatnonzero(gone)
    if np.bincount(a.halves.half[~gone], minlength=2).min() < 2:
        return (np.nan,) * 3
    x, y = a.halves.without(rows), b.halves.without(rows)
    if min(one.spread / all_.spread for one, all_ in ((x, a.halves), (y, b.halves))) < cca.FLAT:
        return (np.nan,) * 3
    white = cca.whitenings(x, plan.variance), cca.whitenings(y, plan.variance)
    return tuple(one.value for one in _fitted(x, y, white, cross.without(x, y, rows)).values())


def _fitted(
    x: Halves, y: Halves, white: tuple[cca.Whitenings, cca.Whitenings], cross: Cross
) -> dict[str, cca.Fitted]:
    """Fit on either half and judge on the other."""
    directions = cca.canonical(x, y, cross, *white)
    return {
        SVCCA: cca.svcca(directions),
        PWCCA: cca.pwcca(directions),
        PROCRUSTES: cca.procrustes(cca.turns(x, y, cross)),
    }
