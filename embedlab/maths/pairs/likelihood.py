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


def bins_of(llr: Float[np.ndarray, " n"], bins: int) -> tuple[Float[np.ndarray, " n"], np.ndarray]:
    """Give the probability of one person, where it is as likely as not beforehand, and its bin of [0, 1]."""
    from scipy.special import expit

    p = expit(llr)
    return p, np.minimum((p * bins).astype(np.int64), bins - 1)


def reliability(
    llr: Float[np.ndarray, " n"],
    genuine: Float[np.ndarray, "*b n"],
    impostor: Float[np.ndarray, "*b n"],
    bins: int,
) -> Float[np.ndarray, "3 *b k"]:
    """Count in each bin of probability what pairs weigh, what they promise, and what they keep.

    Returns
    -------
    The weight of the pairs in each bin, of all one; the sum of their probabilities; and what genuine ones
    weigh.
    """
    p, index = bins_of(llr, bins)
    into = (index[:, None] == np.arange(bins)).astype(np.float64)
    both = (genuine + impostor) / 2
    return np.stack([both @ into, (both * p) @ into, genuine / 2 @ into])


def calibration_error(counted: Float[np.ndarray, "3 *b k"]) -> Float[np.ndarray, "*b"]:
    """Give the expected calibration error [3]_ of what ``reliability`` counted."""
    found: np.ndarray = np.abs(counted[1] - counted[2]).sum(axis=-1)
    return found
