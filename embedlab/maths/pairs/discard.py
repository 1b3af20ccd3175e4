"""Error against discard: how often genuine pairs are missed once those of lowest quality are set aside."""

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.pairs.ranked import Ranked


def of_pairs(quality: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " g"]:
    """Give the quality of each genuine pair, the lower of its two images', in the order of ``all_pairs``."""
    order = np.argsort(labels, kind="stable")
    found = [np.empty(0)]
    for own in np.split(quality[order], np.flatnonzero(np.diff(labels[order])) + 1):
        if len(own) > 1:
            one, other = np.triu_indices(len(own), 1)
            found.append(np.minimum(own[one], own[other]))
    return np.concatenate(found)


def left(
    ranked: Ranked,
    wrong: Float[np.ndarray, " n"],
    counts: Float[np.ndarray, "b people"],
    discarded: Float[np.ndarray, " shares"],
) -> Float[np.ndarray, "b shares"]:
    """Give the share of errors among what is left when the lowest ranks are discarded.

    Within a group, as of equal qualities, what is discarded is taken at random: in expectation.

    Parameters
    ----------
    ranked
        What is discarded, lowest first.
    wrong
        1 for an error, else 0.
    counts
        Resamples; a row of ones is the set itself.
    discarded
        Which shares of all are discarded, below 1.

    Returns
    -------
    NaN where a resample weighs nothing.
    """
    whole, errors = (np.cumsum(ranked.sums(v, counts), axis=1) for v in (np.ones(len(wrong)), wrong))
    found = np.full((len(counts), len(discarded)), np.nan)
    for b in np.flatnonzero(whole[:, -1] > 0):
        share, error = (np.r_[0.0, summed[b]] / whole[b, -1] for summed in (whole, errors))
        found[b] = error[-1] - np.interp(discarded, share, error)
    rates: np.ndarray = np.maximum(found, 0.0) / (1 - discarded)
    return rates


def best(
    rates: Float[np.ndarray, " b"], discarded: Float[np.ndarray, " shares"]
) -> Float[np.ndarray, "b shares"]:
    """Give what is left of error rates where the errors themselves are discarded first."""
    found: np.ndarray = np.maximum(rates[:, None] - discarded, 0.0) / (1 - discarded)
    return found


def area(rates: Float[np.ndarray, "b shares"]) -> Float[np.ndarray, " b"]:
    """Give the mean height of curves over shares that lie evenly: the partial area over its width."""
    found: np.ndarray = (rates[:, 1:] + rates[:, :-1]).mean(axis=1) / 2
    return found
