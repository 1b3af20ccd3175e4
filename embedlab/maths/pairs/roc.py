"""ROC arithmetic on counted pairs: thresholds, accepted shares, AUC and EER, a resample at a time.

A *limit* is the highest impostor score that is rejected: what lies strictly above it is accepted, so
the share of accepted impostors never exceeds the one asked for. Resamples are counts a person, as
``bootstrap.resamples`` gives them; a row of ones is the set itself. Shares are of what pairs weigh, as
``pairs.weigh`` says; only ``false_accepts`` counts them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.pairs import excess, weighted
from embedlab.maths.pairs.all_pairs import Pairs
from embedlab.maths.pairs.moments import Drawn
from embedlab.maths.people.bootstrap import impostor_histograms, impostor_moves, shares


@dataclass(frozen=True)
class Rates:
    """How often pairs are accepted at k false accept rates, of a set and of b resamples of its people.

    Attributes
    ----------
    thresholds
        The lowest score accepted at each rate, of shape (k,).
    false_accepts
        Impostor pairs accepted at each rate, (k,).
    tar, tar_replicates
        Share of genuine pairs accepted, (k,), and in each resample, at its own thresholds, (b, k).
    auc, auc_replicates, eer, eer_replicates
        Area under the ROC curve, and the equal error rate; a number and (b,) each.
    """

    thresholds: Float[np.ndarray, " k"]
    false_accepts: Int[np.ndarray, " k"]
    tar: Float[np.ndarray, " k"]
    tar_replicates: Float[np.ndarray, "b k"]
    auc: float
    auc_replicates: Float[np.ndarray, " b"]
    eer: float
    eer_replicates: Float[np.ndarray, " b"]


def rates(pairs: Pairs, fars: Float[np.ndarray, " k"], counts: Float[np.ndarray, "b people"]) -> Rates:
    """Find what is accepted at each false accept rate; parameters are those of ``limits``."""
    point, drawn = limits(pairs, fars, counts)
    ones = np.ones((1, counts.shape[1]), np.float32)
    auc, auc_replicates, eer, eer_replicates = auc_and_eer(pairs, counts)
    return Rates(
        # The lowest accepted score: the float above the highest rejected one.
        thresholds=lowest_accepted(pairs, point),
        false_accepts=np.array([false_accepts(pairs, limit) for limit in point], dtype=np.int64),
        tar=accepted_share(pairs, ones, point[None])[0],
        tar_replicates=accepted_share(pairs, counts, drawn),
        auc=auc,
        auc_replicates=auc_replicates,
        eer=eer,
        eer_replicates=eer_replicates,
    )


def lowest_accepted(pairs: Pairs, limits: Float[np.ndarray, "*k"]) -> Float[np.ndarray, "*k"]:
    """Give the float above each limit, in the digits that the scores have."""
    kind: np.dtype[Any] = pairs.tail_scores.dtype
    found: np.ndarray = np.nextafter(np.asarray(limits).astype(kind), kind.type(2)).astype(np.float64)
    return found


def transferred(
    chosen: Pairs,
    judged: Pairs,
    far: float,
    choosing: Float[np.ndarray, "b people"],
    judging: Float[np.ndarray, "b others"],
) -> tuple[float, Float[np.ndarray, " b"], float, Float[np.ndarray, " b"]]:
    """Choose a threshold on some people and judge it on others.

    Parameters
    ----------
    chosen, judged
        All pairs of either people.
    far
        The false accept rate that the threshold is chosen for.
    choosing, judging
        Resamples of either people. Those who choose are resampled as well, so that an interval knows
        that the threshold was drawn.

    Returns
    -------
    The share of genuine pairs that are accepted, with its replicates, and the share of impostor pairs
    that are, with its own.
    """
    point, drawn = limits(chosen, np.array([far]), choosing)
    ones = np.ones((1, judging.shape[1]), np.float32)
    return (
        float(accepted_share(judged, ones, point[None])[0, 0]),
        accepted_share(judged, judging, drawn)[:, 0],
        accepted_far(judged, float(point[0])),
        achieved_far(judged, judging, drawn[:, 0]),
    )


def both_ways(
    halves: tuple[Pairs, Pairs],
    far: float,
    counts: tuple[Float[np.ndarray, "b people"], Float[np.ndarray, "b others"]],
) -> tuple[Drawn, Drawn]:
    """Choose a threshold on either half of the people, judge it on the other, and take the means.

    The errors of both ways cancel: a half that is stricter than the other by chance gives away one way what
    it gains the other. Of the mean only a term of second order is left, which resamples of halves that
    differ exaggerate: it then moves with the difference of both ways, which it does not over samples, where
    neither half is the first one. What the mean of the accepted impostors owes to that difference, by least
    squares over the resamples, is taken off.

    Parameters
    ----------
    halves
        All pairs of either half.
    far
        The false accept rate that thresholds are chosen for.
    counts
        Resamples of either half.

    Returns
    -------
    The shares of genuine and of impostor pairs that are accepted.
    """
    (one, other), (first, second) = halves, counts
    tar, tar_draws, accepted, draws = transferred(one, other, far, first, second)
    tar_back, tar_draws_back, accepted_back, draws_back = transferred(other, one, far, second, first)
    mean, gap = (draws + draws_back) / 2, draws - draws_back
    known = np.isfinite(gap)
    if known.any() and np.ptp(gap[known]) > 0:
        gap = gap - gap[known].mean()
        mean = mean - gap * (gap[known] @ mean[known]) / (gap[known] @ gap[known])
    return (
        Drawn((tar + tar_back) / 2, (tar_draws + tar_draws_back) / 2),
        Drawn((accepted + accepted_back) / 2, np.maximum(mean, 0.0)),
    )


def limits(
    pairs: Pairs, fars: Float[np.ndarray, " k"], counts: Float[np.ndarray, "b people"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "b k"]]:
    """Find the limit at each false accept rate, for the set itself and for each resample.

    Parameters
    ----------
    pairs
        All pairs of the set.
    fars
        Shares of impostor pairs that may be accepted, in any order.
    counts
        The resamples.

    Returns
    -------
    Limits of the set, of shape (k,), and of the resamples, (b, k). They are exact where the kept tail
    of impostor scores reaches. Beyond it the set's are exact to a bin, and a resample's move by what
    the coarse histogram says they move.
    """
    ones = np.ones((1, counts.shape[1]), np.float32)
    exact = _exact(pairs, fars, ones)[0]
    point = np.where(np.isnan(exact), _safe_edge(pairs, fars), exact)
    drawn = np.full((len(counts), len(fars)), np.nan)
    tail, coarse = excess.Tail.of(pairs), pairs.impostor_by_person.shape[1]
    ends = pairs.grid.edges(coarse)
    whole = impostor_histograms(pairs.impostor_by_person, ones)[0]
    inside = np.isfinite(exact)
    steps = np.full(len(fars), np.nan)
    for k in np.flatnonzero(inside):
        steps[k] = excess.stepped(tail.shrinkage(int(np.searchsorted(-pairs.tail_scores, -exact[k]))))
    for c in np.unique(steps[inside]):
        drawn[:, steps == c] = _exact(pairs, fars[steps == c], excess.shrunk(counts, float(c)))
    beyond = np.flatnonzero(~inside | np.isnan(drawn).any(axis=0))
    # They are linear in the weights, so that those of shrunk weights are shrunk themselves.
    moves = impostor_moves(pairs.impostor_by_person, counts[: len(counts) if len(beyond) else 0])
    for k in beyond:
        c = excess.of_function(pairs, (pairs.centres(coarse) > point[k]).astype(np.float64))
        moved = np.maximum(whole + c * moves, 0.0)
        bulk = _bulk(moved, ends, fars[k]) - _bulk(whole[None], ends, fars[k]) + point[k]
        drawn[:, k] = np.where(np.isnan(drawn[:, k]), bulk, drawn[:, k])
    return point, drawn


def _exact(
    pairs: Pairs, fars: Float[np.ndarray, " k"], weights: Float[np.ndarray, "b people"]
) -> Float[np.ndarray, "b k"]:
    """Find limits within the kept tail; NaN beyond it."""
    order = np.argsort(fars)
    return weighted.thresholds(
        pairs.tail_scores,
        pairs.tail_people,
        _times(weights, pairs.row_weights),
        # Sums of weights that are no whole numbers may round upwards.
        impostor_weight(pairs, weights)[:, None] * fars[order] * (1 + 1e-12),
        _times(weights, pairs.column_weights),
    )[:, np.argsort(order)]


def impostor_weight(pairs: Pairs, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
    """Sum what all impostor pairs weigh in each resample, in closed form from the images a person has."""
    weights = counts.astype(np.float64)
    rows, columns = pairs.images * pairs.row_weights, pairs.others * pairs.column_weights
    whole: np.ndarray = (weights @ rows) * (weights @ columns) - weights**2 @ (rows * columns)
    return whole if pairs.ordered else whole / 2


def _times(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weigh resamples; who weighs nothing has no pair either."""
    return counts if (weights[weights > 0] == 1).all() else counts * weights


def _bulk(histograms: np.ndarray, ends: np.ndarray, far: float) -> np.ndarray:
    """Find the score above which a share ``far`` of each histogram with these edges lies."""
    above = np.zeros((len(histograms), len(ends)))
    np.cumsum(histograms[:, ::-1], axis=1, out=above[:, 1:])
    falling = ends[::-1].copy()
    return np.array([np.interp(far * row[-1], row, falling) for row in above])


def _safe_edge(pairs: Pairs, fars: np.ndarray) -> np.ndarray:
    """Find the lowest bin edge above which no more than a share ``fars`` lies."""
    above = np.r_[0, np.cumsum(pairs.impostor_mass[::-1])]
    index = np.searchsorted(above, fars * above[-1] * (1 + 1e-12), side="right") - 1
    edge: np.ndarray = pairs.grid.edges(len(pairs.impostor))[::-1][index]
    return edge


def accepted_share(
    pairs: Pairs, counts: Float[np.ndarray, "b people"], limits: Float[np.ndarray, "b k"]
) -> Float[np.ndarray, "b k"]:
    """Give the weighted share of genuine scores above each resample's limits; NaN where it has none."""
    order = pairs.genuine_order
    scores = pairs.genuine_scores[order].astype(np.float64)
    found: np.ndarray = weighted.shares(
        scores,
        pairs.genuine_people[order],
        _times(counts, pairs.genuine_weights),
        np.ascontiguousarray(limits, dtype=np.float64),
    )
    return found


def false_accepts(pairs: Pairs, limit: float) -> int:
    """Count the impostor pairs above a limit: exactly within the kept tail, else to a bin."""
    if len(pairs.tail_scores) and limit >= pairs.tail_scores[-1]:
        return int((pairs.tail_scores > limit).sum())
    upper = pairs.grid.edges(len(pairs.impostor))[1:]
    return int(pairs.impostor[upper > limit].sum())


def accepted_far(pairs: Pairs, limit: float) -> float:
    """Give the share of impostor pairs above a limit, as they weigh; exact as ``false_accepts`` is."""
    ones = np.ones((1, len(pairs.images)))
    whole = float(impostor_weight(pairs, ones)[0])
    if len(pairs.tail_scores) and limit >= pairs.tail_scores[-1]:
        one, other = pairs.tail_people[pairs.tail_scores > limit].T
        return float(pairs.row_weights[one] @ pairs.column_weights[other]) / whole
    upper = pairs.grid.edges(len(pairs.impostor))[1:]
    return float(pairs.impostor_mass[upper > limit].sum()) / whole


def achieved_far(
    pairs: Pairs, counts: Float[np.ndarray, "b people"], limits: Float[np.ndarray, " b"]
) -> Float[np.ndarray, " b"]:
    """Give each resample's weighted share of impostor pairs above a limit chosen elsewhere.

    Exact where the kept tail reaches down to the limit; below it to first order, from the coarse
    histograms, read between their edges. NaN where a resample holds one person only.
    """
    found = np.full(len(counts), np.nan)
    several = impostor_weight(pairs, counts) > 0
    known = limits[np.isfinite(limits)]
    if not len(known):
        return found
    middle = float(np.median(known))
    depth = int(np.searchsorted(-pairs.tail_scores, -middle))
    if len(pairs.tail_scores) and middle >= pairs.tail_scores[-1]:
        counts = excess.shrunk(counts, excess.Tail.of(pairs).shrinkage(depth))
    else:
        centres = pairs.centres(pairs.impostor_by_person.shape[1])
        counts = excess.shrunk(counts, excess.of_function(pairs, (centres > middle).astype(np.float64)))
    above = np.searchsorted(-pairs.tail_scores, -limits, side="left")
    whole = impostor_weight(pairs, counts)
    reached = limits >= (pairs.tail_scores[-1] if len(pairs.tail_scores) else np.inf)
    inside = np.flatnonzero(reached & several)
    one, other = (_times(counts[inside], each) for each in (pairs.row_weights, pairs.column_weights))
    found[inside] = weighted.sums(pairs.tail_people, one, other, above[inside]) / whole[inside]
    beyond = np.flatnonzero(~reached & several)
    if len(beyond):
        drawn = impostor_histograms(pairs.impostor_by_person, counts[beyond])
        asked = limits[beyond]
        own = _share_above(pairs, pairs.impostor_by_person.sum(axis=0)[None], asked[None])[0]
        exact = _share_above(pairs, pairs.impostor_mass[None], asked[None])[0]
        moved = np.divide(exact, own, out=np.ones_like(own), where=own > 0)
        found[beyond] = np.minimum(_share_above(pairs, drawn, asked[:, None])[:, 0] * moved, 1.0)
    return found


def _share_above(pairs: Pairs, histograms: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Read between the edges which share of each histogram lies above its limits."""
    below = np.pad(np.cumsum(shares(histograms), axis=1), ((0, 0), (1, 0)))
    places = pairs.grid.edges(histograms.shape[1])
    return np.stack([1.0 - np.interp(asked, places, row) for asked, row in zip(limits, below, strict=True)])


def auc_and_eer(
    pairs: Pairs, counts: Float[np.ndarray, "b people"]
) -> tuple[float, Float[np.ndarray, " b"], float, Float[np.ndarray, " b"]]:
    """Give AUC with its replicates, and EER with its own.

    Values come from the fine histograms; how they vary comes from the coarse ones.
    """
    by_person, genuine = pairs.impostor_by_person, counts @ pairs.genuine_by_person.astype(np.float32)
    coarse = pairs.genuine_by_person.sum(axis=0)[None], by_person.sum(axis=0)[None] / 2
    fine = _of_histograms(pairs.genuine[None].astype(np.float64), pairs.impostor_mass[None])
    own, centres = _of_histograms(*coarse), pairs.centres(by_person.shape[1])
    below = np.cumsum(shares(coarse[0])[0])
    # What an impostor score adds: genuine ones below it to AUC; whether it is accepted to EER.
    at_eer = centres[min(int(np.searchsorted(below, own[1][0])), len(centres) - 1)]
    found = []
    for k, adds in enumerate((below, (centres > at_eer).astype(np.float64))):
        impostor = impostor_histograms(by_person, excess.shrunk(counts, excess.of_function(pairs, adds)))
        drawn = _of_histograms(genuine.astype(np.float64), impostor.astype(np.float64))[k]
        found.append(np.clip(drawn + fine[k][0] - own[k][0], 0, 1))
    return float(fine[0][0]), found[0], float(fine[1][0]), found[1]


def bin_errors(pairs: Pairs) -> tuple[float, float]:
    """Bound how far AUC and EER, read from the fine histograms, may be from those of the scores.

    Within a bin nobody knows who is above whom: AUC counts such pairs half, and so errs by no more than
    half the share of them. EER lies where the errors cross; whatever the order of the scores in that
    bin, both errors together stay within it.

    Returns
    -------
    The largest possible errors of AUC and of EER; NaN without pairs of both kinds.
    """
    g, i = shares(pairs.genuine[None])[0], shares(pairs.impostor_mass[None])[0]
    missed, accepted = np.r_[0.0, np.cumsum(g)], 1.0 - np.r_[0.0, np.cumsum(i)]
    after = max(int(np.argmax(missed >= accepted)), 1)
    low = max(missed[after - 1], accepted[after])
    high = min(missed[after], accepted[after - 1])
    return float((g * i).sum() / 2), float(max(high - low, 0.0))


def _of_histograms(genuine: np.ndarray, impostor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give AUC and EER of histograms, a row each; NaN where a row lacks pairs of a kind."""
    g, i = shares(genuine), shares(impostor)
    below = np.cumsum(i, axis=1)
    auc = (g * (below - i / 2)).sum(axis=1)
    missed = np.pad(np.cumsum(g, axis=1), ((0, 0), (1, 0)))
    accepted = 1.0 - np.pad(below, ((0, 0), (1, 0)))
    gap = missed - accepted
    after = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(gap))
    before = np.maximum(after - 1, 0)
    step = gap[rows, after] - gap[rows, before]
    share = np.divide(-gap[rows, before], step, out=np.zeros(len(gap)), where=step > 0)
    eer = missed[rows, before] + share * (missed[rows, after] - missed[rows, before])
    return auc, np.where(np.isnan(auc), np.nan, eer)
