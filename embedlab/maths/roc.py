"""ROC arithmetic on counted pairs: thresholds, accepted shares, AUC and EER, a resample at a time.

A *limit* is the highest impostor score that is rejected: what lies strictly above it is accepted, so
the share of accepted impostors never exceeds the one asked for. Resamples are counts a person, as
``bootstrap.resamples`` gives them; a row of ones is the set itself.
"""

import numpy as np
from jaxtyping import Float

from embedlab.maths.bootstrap import impostor_histograms, shares
from embedlab.maths.pairs import Pairs, edges


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
    from embedlab.maths._sweep import weighted_thresholds

    ones = np.ones((1, counts.shape[1]), np.float32)
    order = np.argsort(fars)
    exact, drawn = (
        weighted_thresholds(
            pairs.tail_scores,
            pairs.tail_people,
            weights,
            impostor_weight(pairs, weights)[:, None] * fars[order],
        )[:, np.argsort(order)]
        for weights in (ones, counts)
    )
    point = np.where(np.isnan(exact[0]), _safe_edge(pairs.impostor, fars), exact[0])
    coarse = impostor_histograms(pairs.impostor_by_person, counts)
    centre = _bulk(impostor_histograms(pairs.impostor_by_person, ones)[0], fars)
    bulk = np.stack([_bulk(histogram, fars) for histogram in coarse]) - centre + point
    return point, np.where(np.isnan(drawn) | np.isnan(exact), bulk, drawn)


def impostor_weight(pairs: Pairs, counts: Float[np.ndarray, "b people"]) -> Float[np.ndarray, " b"]:
    """Sum wᵢ·wⱼ over all impostor pairs, in closed form from the images a person has."""
    weighted = counts.astype(np.float64) * pairs.images
    whole: np.ndarray = (weighted.sum(axis=1) ** 2 - (weighted**2).sum(axis=1)) / 2
    return whole


def _bulk(histogram: np.ndarray, fars: np.ndarray) -> np.ndarray:
    """Find the score above which a share ``fars`` of a histogram over [−1, 1] lies."""
    above = np.r_[0.0, np.cumsum(histogram[::-1], dtype=np.float64)]
    found: np.ndarray = np.interp(fars * above[-1], above, edges(len(histogram))[::-1])
    return found


def _safe_edge(histogram: np.ndarray, fars: np.ndarray) -> np.ndarray:
    """Find the lowest bin edge above which no more than a share ``fars`` lies."""
    above = np.r_[0, np.cumsum(histogram[::-1])]
    index = np.searchsorted(above, fars * above[-1] * (1 + 1e-12), side="right") - 1
    edge: np.ndarray = edges(len(histogram))[::-1][index]
    return edge


def accepted_share(
    pairs: Pairs, counts: Float[np.ndarray, "b people"], limits: Float[np.ndarray, "b k"]
) -> Float[np.ndarray, "b k"]:
    """Give the weighted share of genuine scores above each resample's limits; NaN where it has none."""
    order = np.argsort(pairs.genuine_scores)
    ordered, people = pairs.genuine_scores[order].astype(np.float64), pairs.genuine_people[order]
    found = np.full(limits.shape, np.nan)
    for b, (weights, row) in enumerate(zip(counts, limits, strict=True)):
        weight = np.r_[0.0, np.cumsum(weights[people], dtype=np.float64)]
        if weight[-1] > 0:
            below = weight[np.searchsorted(ordered, row, side="right")]
            found[b] = 1.0 - below / weight[-1]
    return found


def false_accepts(pairs: Pairs, limit: float) -> int:
    """Count the impostor pairs above a limit: exactly within the kept tail, else to a bin."""
    if len(pairs.tail_scores) and limit >= pairs.tail_scores[-1]:
        return int((pairs.tail_scores > limit).sum())
    upper = edges(len(pairs.impostor))[1:]
    return int(pairs.impostor[upper > limit].sum())


def achieved_far(
    pairs: Pairs, counts: Float[np.ndarray, "b people"], limits: Float[np.ndarray, " b"]
) -> Float[np.ndarray, " b"]:
    """Give each resample's weighted share of impostor pairs above a limit chosen elsewhere.

    NaN where the kept tail does not reach down to the limit, or a resample holds one person only.
    """
    found = np.full(len(counts), np.nan)
    above = np.searchsorted(-pairs.tail_scores, -limits, side="left")
    whole = impostor_weight(pairs, counts)
    for b, (row, size, limit) in enumerate(zip(counts, above, limits, strict=True)):
        if len(pairs.tail_scores) and limit >= pairs.tail_scores[-1] and whole[b] > 0:
            people = pairs.tail_people[:size]
            found[b] = float(row[people[:, 0]] @ row[people[:, 1]]) / whole[b]
    return found


def auc_and_eer(
    pairs: Pairs, counts: Float[np.ndarray, "b people"]
) -> tuple[float, Float[np.ndarray, " b"], float, Float[np.ndarray, " b"]]:
    """Give AUC with its replicates, and EER with its own.

    Values come from the fine histograms; how they vary comes from the coarse ones.
    """
    impostor = impostor_histograms(pairs.impostor_by_person, counts)
    genuine = counts @ pairs.genuine_by_person.astype(np.float32)
    fine = _of_histograms(pairs.genuine[None].astype(np.float64), pairs.impostor[None].astype(np.float64))
    coarse = _of_histograms(
        pairs.genuine_by_person.sum(axis=0)[None].astype(np.float64),
        pairs.impostor_by_person.sum(axis=0)[None] / 2,
    )
    auc, eer = _of_histograms(genuine.astype(np.float64), impostor.astype(np.float64))
    shift = [float(f[0] - c[0]) for f, c in zip(fine, coarse, strict=True)]
    limited = [np.clip(auc + shift[0], 0, 1), np.clip(eer + shift[1], 0, 1)]
    return float(fine[0][0]), limited[0], float(fine[1][0]), limited[1]


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
