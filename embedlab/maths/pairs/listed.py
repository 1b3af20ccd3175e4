"""Arithmetic on a list of pairs: ROC, k-fold accuracy, and their replicates; and how to draw such a list.

Lists are short beside all pairs, so every score is kept and nothing is binned. Resamples are counts a
person, as ``bootstrap.resamples`` gives them: a pair of one person i weighs wᵢ, a pair of i and j the product
of both's, drawn towards one so that it varies no more than it does from list to list (``excess``).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab import progress
from embedlab.maths.pairs import excess
from embedlab.maths.pairs.roc import Rates
from embedlab.maths.people.folds import identity_folds

BLOCK = 4_000_000
ALIKE = 0.1


@dataclass(frozen=True)
class Listed:
    """Scored pairs.

    Attributes
    ----------
    scores
        Similarity of each pair, of shape (n,).
    same
        Whether a pair is genuine, (n,).
    people
        The people of its images, (n, 2).
    """

    scores: Float[np.ndarray, " n"]
    same: Bool[np.ndarray, " n"]
    people: Int[np.ndarray, "n 2"]

    def take(self, rows: np.ndarray) -> "Listed":
        """Cut the list to some pairs, in that order."""
        return Listed(self.scores[rows], self.same[rows], self.people[rows])

    def weights(self, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, "b n"]:
        """Weigh each pair in each resample."""
        first, second = self.people.T
        near = excess.shrunk(counts, self._shrinkage())
        found: np.ndarray = np.where(first == second, counts[:, first], near[:, first] * near[:, second])
        return found

    def _shrinkage(self) -> float:
        """Find by how much weights of impostor pairs are drawn towards one, from the tenth most alike."""
        scores, people = self.scores[~self.same], self.people[~self.same]
        if not len(scores):
            return 1.0
        own = (scores >= np.quantile(scores, 1 - ALIKE)).astype(np.float64)
        own -= own.mean()
        size = int(self.people.max()) + 1
        whole = np.bincount(people[:, 0], own, minlength=size) + np.bincount(
            people[:, 1], own, minlength=size
        )
        low, high = np.sort(people, axis=1).T
        _, both = np.unique(low * size + high, return_inverse=True)
        each = np.bincount(both, own)
        return float(excess.shrinkage(np.array((whole**2).sum()), np.array((each**2).sum()), products=True))


def scored(
    unit: Float[np.ndarray, "n d"], a: Int[np.ndarray, " p"], b: Int[np.ndarray, " p"]
) -> Float[np.ndarray, " p"]:
    """Give the cosine similarity of rows ``a`` with rows ``b``, of vectors of length one."""
    size = max(1, BLOCK // unit.shape[1])
    blocks = [slice(k, k + size) for k in range(0, len(a), size)]
    return np.concatenate([np.einsum("ij,ij->i", unit[a[s]], unit[b[s]]) for s in blocks])


def rates(listed: Listed, fars: Float[np.ndarray, " k"], counts: Float[np.ndarray, "b people"]) -> Rates:
    """Find what is accepted at each false accept rate, with AUC and EER; exact.

    The threshold at a rate is the lowest that accepts no more than that share of impostor pairs. EER is
    where the straight lines between the points of the ROC curve meet FAR = 1 − TAR. A resample without
    pairs of both kinds gives NaN.

    Parameters
    ----------
    listed
        The pairs; at least one of each kind.
    fars
        Shares of impostor pairs that may be accepted.
    counts
        The resamples.
    """
    order = np.argsort(-listed.scores, kind="stable")
    falling = listed.take(order)
    # Pairs of one score stand or fall together.
    ends = np.flatnonzero(np.r_[falling.scores[1:] != falling.scores[:-1], True])
    rows = np.concatenate([np.ones((1, counts.shape[1]), np.float32), counts])
    read = []
    for block in _blocks(len(rows), len(order)):
        weights = falling.weights(rows[block]).astype(np.float64)
        hits, false = (_running(weights * kind, ends) for kind in (falling.same, ~falling.same))
        read += [_read(one, other, fars) for one, other in zip(hits, false, strict=True)]
    levels, tar, auc, eer = (np.array(column) for column in zip(*read, strict=True))
    groups, reached = falling.scores[ends], levels[0].astype(np.int64)
    limit = groups[np.minimum(reached, len(groups) - 1)]
    accepted = np.r_[0, np.cumsum(~falling.same)[ends]]
    return Rates(
        thresholds=np.where(reached < len(groups), np.nextafter(limit, limit.dtype.type(2)), limit).astype(
            np.float64
        ),
        false_accepts=accepted[reached],
        tar=tar[0],
        tar_replicates=tar[1:],
        auc=float(auc[0]),
        auc_replicates=auc[1:],
        eer=float(eer[0]),
        eer_replicates=eer[1:],
    )


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    size = max(1, BLOCK // max(columns, 1))
    for start in progress.blocks(range(0, rows, size), "resamples of listed pairs"):
        yield slice(start, start + size)


def _running(weights: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sum up along rows, read at the end of each group, from zero."""
    return np.pad(np.cumsum(weights, axis=1)[:, ends], ((0, 0), (1, 0)))


def _read(
    hits: np.ndarray, false: np.ndarray, fars: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Read one ROC curve: how many groups each rate lets in, TAR there, AUC and EER."""
    blank = np.full(len(fars), np.nan)
    if hits[-1] == 0 or false[-1] == 0:
        return blank, blank, np.nan, np.nan
    reached = np.searchsorted(false, fars * false[-1] * (1 + 1e-12), side="right") - 1
    tar, far = hits / hits[-1], false / false[-1]
    gap = far + tar - 1.0
    after = int(np.searchsorted(gap, 0.0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    eer = far[after - 1] + share * (far[after] - far[after - 1])
    return reached.astype(np.float64), tar[reached], float(np.trapezoid(tar, far)), float(eer)


@dataclass(frozen=True)
class Folded:
    """Accuracy over folds.

    Attributes
    ----------
    accuracy, thresholds
        Of each fold, folds rising, of shape (folds,).
    mean
        Mean of ``accuracy``.
    replicates
        The mean of each resample, (b,); NaN where one cannot be judged.
    """

    accuracy: Float[np.ndarray, " folds"]
    thresholds: Float[np.ndarray, " folds"]
    mean: float
    replicates: Float[np.ndarray, " b"]


def fold_accuracy(
    listed: Listed, folds: Int[np.ndarray, " n"], counts: Float[np.ndarray, "b people"]
) -> Folded:
    """Judge each fold at the threshold that is most accurate on all the others, as LFW asks [1]_.

    Candidates are the middles between neighbouring scores of the folds that choose, and one that
    rejects all of them and one that accepts all, so the best of all thresholds is found, not that of a
    grid. Of thresholds that are equally accurate the highest is taken, as InsightFace's grid does. A
    resample weighs the choosing as well as the judging; its mean is over the folds it holds pairs of.

    Parameters
    ----------
    listed
        The pairs.
    folds
        The fold of each pair; at least two differ.
    counts
        The resamples.

    References
    ----------
    .. [1] Huang, G. B., Ramesh, M., Berg, T. and Learned-Miller, E. Labeled Faces in the Wild.
       University of Massachusetts, Amherst, technical report 07-49, 2007.
    """
    order = np.argsort(-listed.scores, kind="stable")
    falling, fold_of = listed.take(order), folds[order]
    rows = np.concatenate([np.ones((1, counts.shape[1]), np.float32), counts])
    names = np.unique(folds)
    accuracy, thresholds = np.full((2, len(rows), len(names)), np.nan)
    for block in _blocks(len(rows), len(order)):
        weights = falling.weights(rows[block]).astype(np.float64)
        for k, fold in enumerate(names):
            own = fold_of == fold
            threshold = _most_accurate(falling.scores[~own], falling.same[~own], weights[:, ~own])
            right = (falling.scores[own] >= threshold[:, None]) == falling.same[own]
            whole = weights[:, own].sum(axis=1)
            there = (whole > 0) & np.isfinite(threshold)
            got = (weights[:, own] * right).sum(axis=1)
            accuracy[block, k] = np.divide(got, whole, out=np.full(len(whole), np.nan), where=there)
            thresholds[block, k] = threshold
    judged = np.isfinite(accuracy).sum(axis=1)
    means = np.divide(np.nansum(accuracy, axis=1), judged, out=np.full(len(rows), np.nan), where=judged > 0)
    return Folded(accuracy[0], thresholds[0], float(means[0]), means[1:])


def _most_accurate(scores: np.ndarray, same: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Find the most accurate threshold of each row of weights; scores fall."""
    ends = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])
    groups = scores[ends].astype(np.float64)
    above = np.nextafter(scores[0], scores.dtype.type(2)).astype(np.float64)
    candidates = np.r_[above, (groups[1:] + groups[:-1]) / 2, groups[-1]]
    # What accepting wins over rejecting: a genuine pair is then right, an impostor pair wrong.
    best = np.argmax(_running(np.where(same, weights, -weights), ends), axis=1)
    found: np.ndarray = np.where(weights.sum(axis=1) > 0, candidates[best], np.nan)
    return found


def drawn_pairs(
    labels: Int[np.ndarray, " n"], folds: int, each: int, seed: int
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"], Bool[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Deal people into folds, and draw as many genuine as impostor pairs in each, none of them twice.

    No person gives a second genuine pair before every other of the fold has given a first one, so that
    people with many images do not rule. Impostor pairs are of two people and an image of each, all
    equally likely.

    Parameters
    ----------
    labels
        The person of each row.
    folds
        How many folds; fewer where people are too few.
    each
        How many pairs of either kind to draw a fold, at most.
    seed
        Equal seeds give equal pairs.

    Returns
    -------
    Rows ``a`` and ``b`` of each pair, whether it is genuine, and its fold; a fold without pairs of both
    kinds is left out.
    """
    rng = np.random.default_rng([seed, 4])
    images = np.bincount(labels)
    rows = np.split(np.argsort(labels, kind="stable"), np.cumsum(images)[:-1])
    fold_of = _dealt(images, folds, seed)
    a, b, same, of = ([np.empty(0, np.int64)] for _ in range(4))
    for fold in range(int(fold_of.max()) + 1):
        own = [rows[person] for person in np.flatnonzero(fold_of == fold)]
        genuine, impostor = _genuine(own, each, rng), _impostor(own, each, rng)
        size = min(len(genuine), len(impostor))
        found = np.concatenate([genuine[:size], impostor[:size]])
        a.append(found[:, 0])
        b.append(found[:, 1])
        same.append(np.repeat([1, 0], size))
        of.append(np.full(2 * size, fold))
    return np.concatenate(a), np.concatenate(b), np.concatenate(same).astype(bool), np.concatenate(of)


def _dealt(images: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Deal people with several images evenly, and then those with one; all into fold 0 if they are few."""
    found = np.zeros(len(images), np.int64)
    several = np.flatnonzero(images > 1)
    folds = min(folds, len(several), len(images) // 2)
    for people in (several, np.flatnonzero(images == 1)):
        if 2 <= folds <= len(people):
            found[people] = identity_folds(len(people), folds, seed)
    return found


def _genuine(images: list[np.ndarray], each: int, rng: np.random.Generator) -> np.ndarray:
    found, turn = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
    for own in images:
        whole = len(own) * (len(own) - 1) // 2
        codes = rng.choice(whole, size=min(whole, each), replace=False) if whole else np.empty(0, np.int64)
        # Pairs (i, j) with i < j, numbered j by j.
        j = ((1 + np.sqrt(1 + 8 * codes.astype(np.float64))) / 2).astype(np.int64)
        found.append(np.stack([own[codes - j * (j - 1) // 2], own[j]], axis=1))
        turn.append(np.arange(len(codes)))
    pairs, turns = np.concatenate(found), np.concatenate(turn)
    first: np.ndarray = pairs[np.lexsort((rng.random(len(turns)), turns))][:each]
    return first


def _impostor(images: list[np.ndarray], each: int, rng: np.random.Generator) -> np.ndarray:
    images = [own for own in images if len(own)]
    people = len(images)
    if people < 2:
        return np.empty((0, 2), np.int64)
    # Four times as many as needed: some are drawn twice.
    one = rng.integers(people, size=4 * each)
    other = (one + rng.integers(1, people, size=4 * each)) % people
    sizes = np.array([len(own) for own in images])
    flat, starts = np.concatenate(images), np.cumsum(sizes) - sizes
    pairs = np.stack([flat[starts[who] + rng.integers(sizes[who])] for who in (one, other)], axis=1)
    _, first = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True)
    found: np.ndarray = pairs[np.sort(first)][:each]
    return found
