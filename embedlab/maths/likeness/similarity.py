"""How alike two spaces of the same items are, by eight measures, each beside its null.

A measure gives a value, the value's derivative by each person's weight, and what it gives where items are
matched at random. The derivative turns a bootstrap over people into one product: a resample's value is,
to first order, value + (counts − 1)·influence. At the null, where first-order terms vanish, it makes the
variance of a U-statistic such as HSIC twice what it is, so intervals err towards caution there.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.likeness import cca, cka
from embedlab.maths.likeness.halves import Cross, Halves, rematched
from embedlab.maths.likeness.hsic import Hsic, of_features
from embedlab.maths.likeness.neighbour_alignment import Near, cknna, mutual
from embedlab.maths.likeness.rsa import Ranked, spearman
from embedlab.maths.people.folds import identity_folds
from embedlab.maths.turns import turns
from embedlab.progress import track

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
        Its derivative by the weight of each person, of shape (people,).
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

    @cached_property
    def people(self) -> int:
        """How many people there are."""
        return int(self.owners.max()) + 1

    @cached_property
    def half(self) -> Int[np.ndarray, " n"]:
        """The half of each item; a person's items are in one."""
        found: np.ndarray = identity_folds(self.people, 2, self.seed)[self.owners]
        return found

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
        return np.sort(order[fits[place[self.owners[order]]]])

    @cached_property
    def sampled_people(self) -> int:
        """How many people the sample holds."""
        return len(np.unique(self.owners[self.rows]))

    def by_person(self, gradient: np.ndarray, *, sampled: bool = False) -> np.ndarray:
        """Sum a derivative over each person's items."""
        owners = self.owners[self.rows] if sampled else self.owners
        return np.bincount(owners, gradient, minlength=self.people)

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
    white: tuple[np.ndarray, np.ndarray]
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
            Near.of(some, plan.neighbours),
        )


def compare(a: Space, b: Space, plan: Plan) -> dict[str, Measured]:
    """Compare two spaces of the same items by every measure; a result a name of ``MEASURES``."""
    found = _by_moments(a, b, plan)
    alignment, nulls = cka.rbf(
        a.halves.rows, b.halves.rows, bandwidth=plan.bandwidth, batch=plan.batch, seed=plan.seed,
        orders=plan.orders[: plan.shuffles],
    )  # fmt: skip
    found[RBF_CKA] = Measured(alignment.value, plan.by_person(alignment.gradient), nulls)
    orders = plan.sample_orders
    for name, (value, gradient, nulls) in (
        (RSA, spearman(a.ranked, b.ranked, orders)),
        (MUTUAL, mutual(a.near, b.near, orders)),
    ):
        found[name] = Measured(value, plan.by_person(gradient, sampled=True), nulls)
    alignment, nulls = cknna(a.near, b.near, orders)
    found[CKNNA] = Measured(alignment.value, plan.by_person(alignment.gradient, sampled=True), nulls)
    return {measure.name: found[measure.name] for measure in MEASURES}


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
            refits.append(_fitted(a, b, by_chance)[0])
    alignment, nulls = cka.linear(x.rows, y.rows, cross.raw.sum(axis=0), (a.own, b.own), wholes)
    found = {LINEAR_CKA: Measured(alignment.value, plan.by_person(alignment.gradient), nulls)}
    values, gradients = _fitted(a, b, cross, graded=True)
    for name, value in values.items():
        chance = [one[name] for one in refits]
        found[name] = Measured(
            value.value,
            plan.by_person(gradients[name]),
            np.array([one.value for one in chance]),
            value.in_sample,
            float(np.mean([one.in_sample for one in chance])),
        )
    return found


def _fitted(
    a: Space, b: Space, cross: Cross, *, graded: bool = False
) -> tuple[dict[str, cca.Fitted], dict[str, np.ndarray]]:
    """Fit on either half and judge on the other; derivatives by each row's weight where asked for."""
    x, y = a.halves, b.halves
    directions = cca.canonical(x, y, cross, a.white, b.white)
    turns = cca.turns(x, y, cross)
    values = {
        SVCCA: cca.svcca(directions),
        PWCCA: cca.pwcca(directions),
        PROCRUSTES: cca.procrustes(turns),
    }
    if not graded:
        return values, {}
    first, second = directions
    return values, {
        SVCCA: cca.correlation_gradient(x, y, directions, (first.even, second.even)),
        PWCCA: cca.correlation_gradient(x, y, directions, (first.weights, second.weights)),
        PROCRUSTES: cca.turn_gradient(x, y, turns),
    }
