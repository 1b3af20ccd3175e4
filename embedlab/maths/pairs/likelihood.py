"""Scores as likelihood ratios: how much likelier a score is of one person than of two, and at what cost.

References
----------
.. [1] Brümmer, N. and du Preez, J. Application-independent evaluation of speaker detection. Computer Speech
   and Language 20(2–3), 2006.
.. [2] Ayer, M. et al. An empirical distribution function for sampling with incomplete information. Annals of
   Mathematical Statistics 26(4), 1955.
.. [3] Naeini, M. P., Cooper, G. F. and Hauskrecht, M. Obtaining well calibrated probabilities using Bayesian
   binning. AAAI, 2015.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float

from embedlab.maths.pairs.all_pairs import Pairs

RIDGE = 1e-9
"""What a squared slope, in deviations of the scores, costs: where they part all pairs it stays finite."""
STEPS, HALVED = 12, 6
"""Most Newton steps that bring a line to a resample, and how often one is halved that does not help."""


@dataclass(frozen=True)
class Weighed:
    """Scores, rising, and what genuine and impostor pairs weigh at each; both sum to one.

    Attributes
    ----------
    scores, genuine, impostor
        Of shape (n,).
    pairs
        What all genuine and all impostor pairs weigh: of how many observations they are.
    """

    scores: Float[np.ndarray, " n"]
    genuine: Float[np.ndarray, " n"]
    impostor: Float[np.ndarray, " n"]
    pairs: tuple[float, float]

    @classmethod
    def of(cls, pairs: Pairs) -> Self:
        """Take genuine scores one by one, and impostor scores at the mean or middle of each fine bin."""
        there = pairs.impostor_mass > 0
        centres = pairs.centres(len(pairs.impostor))[there]
        weights = pairs.genuine_weights[pairs.genuine_people]
        scores = np.concatenate([pairs.genuine_scores.astype(np.float64), centres])
        if pairs.unresolved:
            # What lies in one bin differs by rounding alone.
            scores = np.full(len(scores), scores.mean())
        genuine = np.concatenate([weights, np.zeros(len(centres))])
        return cls.made(scores, genuine, np.concatenate([np.zeros(len(weights)), pairs.impostor_mass[there]]))

    @classmethod
    def made(
        cls,
        scores: Float[np.ndarray, " m"],
        genuine: Float[np.ndarray, " m"],
        impostor: Float[np.ndarray, " m"],
    ) -> Self:
        """Sort scores, and put equal ones together."""
        places, index = np.unique(scores, return_inverse=True)
        g, i = (np.bincount(index, masses, minlength=len(places)) for masses in (genuine, impostor))
        return cls(places, g / g.sum(), i / i.sum(), (float(g.sum()), float(i.sum())))


def cost_of_genuine(llr: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Give what a genuine pair costs in bits, by its natural log-likelihood ratio."""
    found: np.ndarray = np.logaddexp(0, -llr) / np.log(2)
    return found


def cllr(llr: Float[np.ndarray, " n"], weighed: Weighed) -> float:
    """Give the cost of log-likelihood ratios, in bits a pair [1]_: 0 is perfect, 1 what an LLR of 0 costs."""
    return float(weighed.genuine @ cost_of_genuine(llr) + weighed.impostor @ cost_of_genuine(-llr)) / 2


def logistic(weighed: Weighed) -> tuple[float, float]:
    """Fit slope and offset of LLR = slope · score + offset at the least cost, both kinds alike [1]_."""
    from scipy.optimize import minimize
    from scipy.special import expit

    both = (weighed.genuine + weighed.impostor) / 2
    middle = float(both @ weighed.scores)
    spread = float(np.sqrt(both @ (weighed.scores - middle) ** 2))
    if spread < 1e-12:
        return 0.0, 0.0
    x = np.stack([(weighed.scores - middle) / spread, np.ones(len(weighed.scores))])

    def cost(at: np.ndarray) -> tuple[float, np.ndarray]:
        llr = at @ x
        loss = weighed.genuine @ np.logaddexp(0, -llr) + weighed.impostor @ np.logaddexp(0, llr)
        slopes = x @ (weighed.impostor * expit(llr) - weighed.genuine * expit(-llr))
        return float(loss) + RIDGE * float(at[0]) ** 2, slopes + np.array([2 * RIDGE * at[0], 0.0])

    def bend(at: np.ndarray) -> np.ndarray:
        p = expit(at @ x)
        found: np.ndarray = (x * (2 * both * p * (1 - p))) @ x.T + np.diag([2 * RIDGE, 1e-15])
        return found

    a, b = minimize(cost, np.zeros(2), jac=True, hess=bend, method="trust-exact", options={"gtol": 1e-12}).x
    return float(a / spread), float(b - a * middle / spread)


def logistic_of_each(
    line: tuple[float, float],
    scores: Float[np.ndarray, " n"],
    genuine: Float[np.ndarray, "b n"],
    impostor: Float[np.ndarray, "b n"],
) -> Float[np.ndarray, "b 2"]:
    """Fit the line of ``logistic`` to each of many weighings of the same scores, by Newton's steps.

    Parameters
    ----------
    line
        Slope and offset to start from: those of all pairs.
    scores, genuine, impostor
        Scores, and what genuine and impostor pairs weigh at each; every row of either sums to one.

    Returns
    -------
    Slope and offset of each row; ``line`` where a row holds no pairs (NaN). Where its pairs can be parted, it
    ends after ``STEPS`` steps, less steep than there.
    """
    from scipy.special import expit

    found = np.tile(np.array(line), (len(genuine), 1))
    there = np.isfinite(genuine + impostor).all(axis=1)
    genuine, impostor = genuine[there], impostor[there]
    both = (genuine + impostor) / 2
    middle, spread = 0.0, 0.0
    if len(both):
        middle = float(both.mean(axis=0) @ scores)
        spread = float(np.sqrt(both.mean(axis=0) @ (scores - middle) ** 2))
    if spread < 1e-12:
        return found
    x = np.stack([(scores - middle) / spread, np.ones(len(scores))])
    at = found[there] @ [[spread, middle], [0.0, 1.0]]

    def loss(at: np.ndarray) -> np.ndarray:
        llr = at @ x
        bits = genuine * np.logaddexp(0, -llr) + impostor * np.logaddexp(0, llr)
        whole: np.ndarray = bits.sum(axis=1) + RIDGE * at[:, 0] ** 2
        return whole

    before = loss(at)
    for _ in range(STEPS):
        p = expit(at @ x)
        slopes = (impostor * p - genuine * (1 - p)) @ x.T + 2 * RIDGE * at * [1, 0]
        bends = np.einsum("bn,in,jn->bij", 2 * both * p * (1 - p), x, x, optimize=True)
        step = np.linalg.solve(bends + np.diag([2 * RIDGE, 1e-15]), slopes[..., None])[..., 0]
        for _ in range(HALVED):
            after = loss(at - step)
            worse = ~(after <= before)
            if not worse.any():
                break
            step[worse] /= 2
        step[worse], after[worse] = 0.0, before[worse]
        at, gained, before = at - step, before - after, after
        if gained.max() < 1e-9:
            break
    found[there] = at @ [[1 / spread, -middle / spread], [0.0, 1.0]]
    return found


def pooled(weighed: Weighed) -> Float[np.ndarray, " n"]:
    """Give at each score the share of genuine weight, never falling: adjacent violators are pooled [2]_."""
    from scipy.optimize import isotonic_regression

    both = weighed.genuine + weighed.impostor
    found: np.ndarray = isotonic_regression(weighed.genuine / both, weights=both).x
    return found


def isotonic(weighed: Weighed) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Fit LLRs that rise in steps.

    One more genuine pair below all, and one more impostor pair above all, keep them finite: nothing is surer
    than so many pairs can make it.

    Returns
    -------
    The score at which each step begins, and its LLR.
    """
    ends = weighed.scores[[0, -1]] + [-1.0, 1.0]
    (g, i), zero = weighed.pairs, np.zeros(1)
    more = Weighed.made(
        np.concatenate([ends[:1], weighed.scores, ends[1:]]),
        np.concatenate([np.ones(1), g * weighed.genuine, zero]),
        np.concatenate([zero, i * weighed.impostor, np.ones(1)]),
    )
    share = np.clip(pooled(more), 1e-300, 1 - 1e-16)
    first = np.flatnonzero(np.r_[True, np.diff(share) > 0])
    return more.scores[first], np.log(share[first]) - np.log1p(-share[first])


def least_cllr(weighed: Weighed) -> float:
    """Give the Cllr of the best of all rising LLRs, in sample: what scores cost at least."""
    from scipy.special import xlogy

    share = pooled(weighed)
    return float(
        -(xlogy(weighed.genuine, share) + xlogy(weighed.impostor, 1 - share)).sum() / (2 * np.log(2))
    )


def bins_of(llr: Float[np.ndarray, "*b n"], bins: int) -> tuple[Float[np.ndarray, "*b n"], np.ndarray]:
    """Give the probability of one person, where it is as likely as not beforehand, and its bin of [0, 1]."""
    from scipy.special import expit

    p = expit(llr)
    return p, np.minimum((p * bins).astype(np.int64), bins - 1)


def reliability(
    llr: Float[np.ndarray, "*b n"],
    genuine: Float[np.ndarray, "*b n"],
    impostor: Float[np.ndarray, "*b n"],
    bins: int,
) -> Float[np.ndarray, "3 *b k"]:
    """Count in each bin of probability what pairs weigh, what they promise, and what they keep.

    Parameters
    ----------
    llr
        Log-likelihood ratios: one of each score, or one of each in every row.
    genuine, impostor
        What pairs weigh at each score; a row a resample, if there are many.
    bins
        How many bins.

    Returns
    -------
    The weight of the pairs in each bin, of all one; the sum of their probabilities; and what genuine ones
    weigh.
    """
    p, index = bins_of(llr, bins)
    both = (genuine + impostor) / 2
    *rows, n = both.shape
    count = both.size // max(n, 1)
    at = (np.arange(count)[:, None] * bins + np.broadcast_to(index, both.shape).reshape(count, n)).ravel()
    masses = (both, both * p, genuine / 2)
    return np.stack([np.bincount(at, m.ravel(), count * bins).reshape(*rows, bins) for m in masses])


def calibration_error(counted: Float[np.ndarray, "3 *b k"]) -> Float[np.ndarray, "*b"]:
    """Give the expected calibration error [3]_ of what ``reliability`` counted."""
    found: np.ndarray = np.abs(counted[1] - counted[2]).sum(axis=-1)
    return found
