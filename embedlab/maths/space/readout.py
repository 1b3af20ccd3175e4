"""A linear classifier of two versions of the same points, judged on people it was not fitted on."""

import warnings
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear.span import basis_of
from embedlab.progress import track


def held_out(
    versions: Float[np.ndarray, "2 n d"],
    owners: Int[np.ndarray, " n"],
    fold: Int[np.ndarray, " people"],
    signs: Float[np.ndarray, "b people"],
) -> tuple[Float[np.ndarray, "2 n"], Float[np.ndarray, "b n"]]:
    """Judge each fold's points by logistic regression (L2, C = 1) on all others, a fit a labelling.

    Coordinates are standardised on the points fitted on.

    Parameters
    ----------
    versions
        Both versions of each point.
    owners
        The person of each point.
    fold
        The fold of each person, 0…k−1.
    signs
        A labelling a row: −1 where the versions of that person's points change places, else 1. The
        null model is the same model, fitted in the same way.

    Returns
    -------
    By the first labelling, the log odds that each is a second version; and by each labelling, which
    share of a point's two versions is named rightly: 0, ½ or 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    first, right = np.empty(versions.shape[:2]), np.empty((len(signs), versions.shape[1]))
    folds, labellings = range(fold.max() + 1), range(len(signs))
    for k, j in track(product(folds, labellings), "fitting classifiers", len(folds) * len(labellings)):
        if j == 0:
            out = fold[owners] == k
            fitted, judged = _standardised(versions[:, ~out], versions[:, out])
        sign = signs[j, owners]
        is_second = np.concatenate([sign[~out] < 0, sign[~out] > 0])
        with warnings.catch_warnings():
            # Nearly converged is near enough, for the value and its nulls alike.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(max_iter=300).fit(fitted, is_second)
        odds = judged @ model.coef_[0] + model.intercept_[0]
        # Of two equal versions one is named rightly, whichever it is.
        right[j, out] = ((odds[0] * sign[out] <= 0).astype(float) + (odds[1] * sign[out] > 0)) / 2
        if j == 0:
            first[:, out] = odds
    return first, right


def _standardised(fitted: np.ndarray, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring coordinates to mean 0 and spread 1 on the points fitted on, these one under another.

    Coordinates along axes that these points span are given where there are fewer of these: the classifier
    penalises all directions alike, and is nowhere inclined to those that it has not seen.
    """
    rows = fitted.reshape(-1, fitted.shape[2])
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    rows, judged = (rows - centre) / spread, (judged - centre) / spread
    basis = basis_of(rows)
    return (rows, judged) if basis is None else (rows @ basis, judged @ basis)
