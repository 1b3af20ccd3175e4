"""How well the vectors of one space stand for those of another: R², rank-1 and TAR@FAR.

A gallery holds one image for each person, and the probes are other images of the people who have several;
people with one image stand in the gallery as distractors. Each probe is compared with every entry, which
gives one genuine and many impostor pairs a probe: rank-1 and TAR@FAR come from the same comparisons.
Every space is searched by the same images in the same gallery, so the replicates of two searches may be
taken off each other.

Replicates hold three sources of chance: who is searched; who else is in the gallery; and whom a map was
fitted on. Of the latter two a part of what moves a figure is the same images' own chance once more, which the
first has already: that part is estimated and taken off, so that it does not count twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.maths.linear.linear_maps import LinearMap
from embedlab.maths.pairs import weighted
from embedlab.maths.pairs.moments import Drawn, mean
from embedlab.maths.people.bootstrap import weighted_mean
from embedlab.maths.products import told_apart
from embedlab.maths.turns import shuffled
from embedlab.progress import blocks

R2, RANK_1, TAR = "R²", "rank-1", "TAR"

Figures = Mapping[str, Drawn]
"""By name, with their replicates."""

BLOCK = 4_000_000
# Impostor scores kept, in multiples of those that the asked rate lets in; resamples reach further down.
REACH = 3
FEWEST_KEPT = 20_000


@dataclass(frozen=True)
class Trial:
    """Who is searched where.

    Attributes
    ----------
    gallery
        A row for each person 0…people−1, of shape (people,).
    probes, owners
        Rows that are searched, and the person of each, of shape (q,).
    same_image
        Whether probes are the images of the gallery itself, as they must be where nobody has two.
    """

    gallery: Int[np.ndarray, " people"]
    probes: Int[np.ndarray, " q"]
    owners: Int[np.ndarray, " q"]
    same_image: bool

    @property
    def searched(self) -> int:
        """How many people bring probes."""
        return len(np.unique(self.owners))

    @property
    def impostors(self) -> int:
        """How many pairs of a probe and another person there are."""
        return len(self.probes) * (len(self.gallery) - 1)


def trial(labels: Int[np.ndarray, " n"], most: int, seed: int) -> Trial:
    """Draw a gallery and its probes.

    Parameters
    ----------
    labels
        The person of each row, 0…people−1, each with one row at least.
    most
        How many probes a person brings at most.
    seed
        Equal seeds give equal trials.
    """
    rng = np.random.default_rng([seed, 7])
    order, turn = shuffled(labels, rng)
    gallery = order[turn == 0]
    probes = order[(turn > 0) & (turn <= most)]
    if not len(probes):
        return Trial(gallery, gallery, labels[gallery], same_image=True)
    return Trial(gallery, probes, labels[probes], same_image=False)


@dataclass(frozen=True)
class Search:
    """Every probe, searched.

    Attributes
    ----------
    owners
        The person of each probe, of shape (q,).
    hits
        Whether the right person scores above all others, (q,).
    genuine
        The score with the right person, (q,).
    impostors
        How many impostor pairs there are.
    blocked
        The person of each probe that one other person alone scores above, and that person, (t, 2).
    tail_scores, tail_people
        The highest impostor scores, falling, and their people: the probe's and the gallery's.
    """

    owners: Int[np.ndarray, " q"]
    hits: Bool[np.ndarray, " q"]
    genuine: Float[np.ndarray, " q"]
    impostors: int
    blocked: Int[np.ndarray, "s 2"]
    tail_scores: Float[np.ndarray, " t"]
    tail_people: Int[np.ndarray, "t 2"]

    def rank_1(self, counts: Float[np.ndarray, "b people"]) -> Drawn:
        """Give the share of probes whose right person comes first.

        Of who else is in the gallery to first order: who alone stands before the right person of some probes
        takes those from the share with each more of them.
        """
        found, people = mean(self.hits, self.owners, counts), counts.shape[1]
        taken = np.bincount(self.blocked[:, 1], minlength=people) / len(self.owners)
        each = np.unique(self.blocked, axis=0, return_counts=True)[1] / len(self.owners)
        share = _beyond(taken - taken.mean(), float((each**2).sum()))
        return Drawn(found.value, np.clip(found.replicates - share * ((counts - 1) @ taken), 0, 1))

    def accepted(self, far: float) -> Bool[np.ndarray, " q"]:
        """Say of each probe whether it is accepted where a share ``far`` of impostor pairs is."""
        let_in = int(far * self.impostors * (1 + 1e-12))
        limit = self.tail_scores[let_in] if let_in < len(self.tail_scores) else -np.inf
        return self.genuine > limit

    def tar(
        self, far: float, counts: Float[np.ndarray, "b people"]
    ) -> tuple[float, Float[np.ndarray, " b"], int]:
        """Give the share of genuine pairs accepted where a share ``far`` of impostor pairs is.

        Each resample finds its own threshold. A pair of persons i and j weighs wᵢ·wⱼ.

        Returns
        -------
        TAR, its replicates (NaN where a resample has no pairs of a kind), and the impostor pairs accepted.
        """
        rows = np.concatenate([np.ones((1, counts.shape[1]), np.float32), counts])
        probes = np.bincount(self.owners, minlength=counts.shape[1]) * rows.astype(np.float64)
        whole = probes.sum(axis=1) * rows.sum(axis=1, dtype=np.float64) - (probes * rows).sum(axis=1)
        limits = weighted.thresholds(
            self.tail_scores, self.tail_people, rows, whole[:, None] * far * (1 + 1e-12)
        )
        order = np.argsort(self.genuine, kind="stable")
        shares = weighted.shares(self.genuine[order].astype(np.float64), self.owners[order], rows, limits)
        shares = np.where(np.isnan(limits), np.nan, shares)[:, 0]
        return float(shares[0]), shares[1:], int((self.tail_scores > limits[0, 0]).sum())


@dataclass(frozen=True, eq=False)
class Mapped:
    """Rows mapped by x ↦ x·matrix + shift, in single precision.

    Attributes
    ----------
    rows, matrix, shift
        Of shapes (n, k), (k, d) and (d,).
    """

    rows: Float[np.ndarray, "n k"]
    matrix: Float[np.ndarray, "k d"]
    shift: Float[np.ndarray, " d"]

    @classmethod
    def by(cls, one: LinearMap, rows: Float[np.ndarray, "n k"]) -> "Mapped":
        """Map rows: single precision is enough to judge them and takes half the time."""
        return cls(*(part.astype(np.float32) for part in (rows, one.matrix, one.shift)))

    @cached_property
    def vectors(self) -> Float[np.ndarray, "n d"]:
        """What they are mapped to."""
        mapped: np.ndarray = self.rows @ self.matrix + self.shift
        return mapped


@dataclass(frozen=True, eq=False)
class Judge:
    """Images in a target space, by which all that is to stand for them is judged.

    Attributes
    ----------
    target
        Their vectors, of shape (n, d).
    owners
        Their people, 0…people−1, (n,).
    centre
        What R² is counted from: the mean of the target vectors that were fitted on, (d,).
    who
        Who is searched where.
    counts
        Resamples of the people, as ``bootstrap.resamples`` draws them.
    far
        The false accept rate of TAR; 0 to leave it out.
    seed
        Seed of what stands for other people to fit on.
    moved
        Whether what is mapped is the gallery, searched by the target's own; else it is what searches.
    """

    target: Float[np.ndarray, "n d"]
    owners: Int[np.ndarray, " n"]
    centre: Float[np.ndarray, " d"]
    who: Trial
    counts: Float[np.ndarray, "b people"]
    far: float
    seed: int = 0
    moved: bool = False

    def mapped(
        self,
        vectors: Float[np.ndarray, "n d"] | Mapped,
        without: Sequence[Float[np.ndarray, "n d"] | Mapped] = (),
    ) -> Figures:
        """Judge vectors that stand for the target's.

        Parameters
        ----------
        vectors
            Mapped by a map fitted on all there is to fit on.
        without
            Mapped by maps fitted without one group of people each.
        """
        missed = self._missed(vectors)
        whole = ((self.target - self.centre) ** 2).sum(axis=1, dtype=np.float64)
        below = weighted_mean(whole, self.owners, self.counts)
        explained = 1 - weighted_mean(missed, self.owners, self.counts) / below
        figures = {
            R2: Drawn(float(1 - missed.sum() / whole.sum()), explained),
            **self._searched(self._search(vectors)),
        }
        if without:
            each = [self._by_row(other, whole.mean()) for other in without]
            for name, found in figures.items():
                owners = self.owners if name == R2 else self.who.owners
                moved = self._refitted(np.stack([rows[name] for rows in each]), owners)
                replicates = found.replicates + moved
                figures[name] = Drawn(found.value, replicates if name == R2 else np.clip(replicates, 0, 1))
        return figures

    def native(self, vectors: Float[np.ndarray, "n k"]) -> Figures:
        """Judge a space searched by itself; it has no R²."""
        return self._searched(search(vectors, vectors, self.who, self.far))

    def _search(self, vectors: np.ndarray | Mapped) -> Search:
        if self.moved:
            return search(self.target, _array(vectors), self.who, self.far)
        return search(vectors, self.target, self.who, self.far)

    def _missed(self, vectors: np.ndarray | Mapped) -> Float[np.ndarray, " n"]:
        """Give the squared distance of each image from what stands for it."""
        missed: np.ndarray = ((self.target - _array(vectors)) ** 2).sum(axis=1, dtype=np.float64)
        return missed

    def _searched(self, found: Search) -> Figures:
        figures = {RANK_1: found.rank_1(self.counts)}
        if self.far:
            tar, draws, _ = found.tar(self.far, self.counts)
            figures[TAR] = Drawn(tar, draws)
        return figures

    def _by_row(self, vectors: np.ndarray | Mapped, whole: float) -> dict[str, np.ndarray]:
        """Give the numbers, an image or probe each, whose means are the figures."""
        found = self._search(vectors)
        rows = {R2: 1 - self._missed(vectors) / whole, RANK_1: found.hits.astype(np.float64)}
        return rows | ({TAR: found.accepted(self.far).astype(np.float64)} if self.far else {})

    def _refitted(
        self, values: Float[np.ndarray, "groups rows"], owners: Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, " b"]:
        """Draw how far a figure would be off, had its map been fitted on others: the jackknife's spread."""
        groups, people = len(values), self.counts.shape[1]
        moved = values.mean(axis=1)
        moved = moved - moved.mean()
        apart = values - values.mean(axis=0) - moved[:, None]
        sums = np.stack([np.bincount(owners, row, minlength=people) for row in apart])
        share = _beyond(moved, float((sums**2).sum()) / values.shape[1] ** 2)
        rng = np.random.default_rng([self.seed, 12])
        drawn: np.ndarray = rng.standard_normal((len(self.counts), groups)) @ moved
        return drawn * float(share * np.sqrt((groups - 1) / groups))


def _array(vectors: np.ndarray | Mapped) -> np.ndarray:
    return vectors.vectors if isinstance(vectors, Mapped) else vectors


def _beyond(moved: np.ndarray, noise: float) -> float:
    """Give the factor that takes squared noise out of what moves a figure."""
    spread = float((moved**2).sum())
    return float(np.sqrt(max(0.0, 1 - noise / spread))) if spread > 0 else 0.0


def cosines(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Give the cosine of each row with its partner; 0 where one has no direction."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.einsum("ij,ij->i", a, b, dtype=np.float64)
    found: np.ndarray = np.divide(products, lengths, out=np.zeros(len(a)), where=lengths > 0)
    return found


def search(
    probes: Float[np.ndarray, "n d"] | Mapped, gallery: Float[np.ndarray, "n d"], who: Trial, far: float
) -> Search:
    """Search the probes' rows of one space in the gallery's rows of another by cosine similarity.

    Parameters
    ----------
    probes, gallery
        All rows in either space, not necessarily of length one; a row without direction finds nobody.
    who
        Which of them take part.
    far
        The highest false accept rate that will be asked for; at 0 no impostor score is kept.
    """
    b = unit(gallery[who.gallery])
    if isinstance(probes, Mapped):
        a, b = sides(probes.rows[who.probes], probes.vectors[who.probes], probes.matrix, probes.shift, b)
    else:
        a = unit(probes[who.probes])
    a, b = told_apart(a, b)
    n, people = len(a), len(b)
    impostors = n * (people - 1)
    keep = max(int(REACH * far * impostors), FEWEST_KEPT) if far else 0
    hits, genuine = np.empty(n, bool), np.empty(n, a.dtype)
    blocked = []
    tail = _Tail(keep)
    size = max(1, BLOCK // people)
    for start in blocks(range(0, n, size), "searching the gallery"):
        rows = slice(start, min(start + size, n))
        block = a[rows] @ b.T
        each, own = np.arange(len(block)), who.owners[rows]
        genuine[rows] = block[each, own]
        block[each, own] = -np.inf
        first = block.argmax(axis=1)
        missed = np.flatnonzero(block[each, first] >= genuine[rows])
        hits[rows] = True
        hits[start + missed] = False
        # Few are missed, so that only their rows are looked through for who stands before them.
        alone = missed[(block[missed] >= genuine[start + missed, None]).sum(axis=1) == 1]
        blocked.append(np.stack([own[alone], first[alone]], axis=1))
        if keep:
            tail.add(block, own)
    scores, pairs = tail.sorted()
    return Search(who.owners, hits, genuine, impostors, np.concatenate(blocked), scores, pairs)


def unit(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Bring rows to length one, in single precision; one without direction stays as it is."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: np.ndarray = np.divide(rows, lengths, out=np.zeros(rows.shape), where=lengths > 0)
    return found.astype(np.float32)


def sides(
    x: Float[np.ndarray, "n k"],
    mapped: Float[np.ndarray, "n d"],
    matrix: Float[np.ndarray, "k d"],
    shift: Float[np.ndarray, " d"],
    onto: Float[np.ndarray, "m d"],
) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, "m c"]]:
    """Give the two sides of the product that is the cosines of mapped rows with unit rows.

    Where the map goes from few numbers to many, the product is that of the few: rows x·M + t have the same
    products with unit rows u as x has with M·u, and one more, t·u.
    """
    n, d = mapped.shape
    if (x.shape[1] + 1) * (n + d) >= n * d:
        return unit(mapped), onto
    lengths = np.linalg.norm(mapped, axis=1, keepdims=True)
    size = np.divide(1, lengths, out=np.zeros(lengths.shape), where=lengths > 0)
    before = np.concatenate([x * size, size], axis=1).astype(np.float32)
    return before, onto @ np.concatenate([matrix, shift[None]]).astype(np.float32).T


class _Tail:
    """The highest impostor scores so far, with their people."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.floor = -np.inf
        self.scores = np.empty(0, np.float32)
        self.people = np.empty((0, 2), np.int64)

    def add(self, block: np.ndarray, owners: np.ndarray) -> None:
        if block.size > 2 * self.keep and not len(self.scores):
            # What lies below the highest of one block cannot be among the highest of all.
            self.floor = float(np.partition(block.ravel(), block.size - self.keep)[block.size - self.keep])
        # The least finite number lets all in but a probe's own person.
        at = np.flatnonzero(block >= max(self.floor, np.finfo(np.float32).min))
        rows, columns = np.divmod(at, block.shape[1])
        self.scores = np.concatenate([self.scores, block.ravel()[at]])
        self.people = np.concatenate([self.people, np.stack([owners[rows], columns], axis=1)])
        if len(self.scores) > 2 * self.keep:
            place = len(self.scores) - self.keep
            self.floor = float(np.partition(self.scores, place)[place])
            kept = self.scores >= self.floor
            self.scores, self.people = self.scores[kept], self.people[kept]

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(-self.scores, kind="stable")
        return self.scores[order], self.people[order]
