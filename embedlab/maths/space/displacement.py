"""What a displacement is made of: a shift common to all, a rotation and change of size, and the rest.

Both maps are fitted on the people of all folds but one and judged on those of that fold. Nulls let
the two versions of a person's points change places at random, which leaves how far they lie apart
and takes away whatever all have in common [1]_.

References
----------
.. [1] Good, P. Permutation, Parametric and Bootstrap Tests of Hypotheses. Springer, 2005.
"""

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.linear import procrustes
from embedlab.progress import track


def residuals(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"], fold: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], float]:
    """Give each held-out point's squared misfit after the shift and after the similarity map.

    Parameters
    ----------
    a, b
        Where each point is before and after.
    fold
        The fold of each point, 0…k−1.

    Returns
    -------
    Misfit after the shift, misfit after shift, rotation and size, and the map's mean scale.
    """
    shifted, mapped = np.empty((2, len(a)))
    scales = []
    for k in range(fold.max() + 1):
        out = fold == k
        shift = (b[~out] - a[~out]).mean(axis=0)
        found = procrustes.fit(a[~out], b[~out])
        shifted[out] = ((a[out] + shift - b[out]) ** 2).sum(axis=1)
        mapped[out] = ((found.apply(a[out]) - b[out]) ** 2).sum(axis=1)
        scales.append(found.scale)
    return shifted, mapped, float(np.mean(scales))


def chance_shift(
    moved: Float[np.ndarray, "n d"],
    owners: Int[np.ndarray, " n"],
    fold: Int[np.ndarray, " people"],
    signs: Float[np.ndarray, "b people"],
) -> Float[np.ndarray, " b"]:
    """Give by how much a shift lessens the held-out squared misfit where versions change places.

    Parameters
    ----------
    moved
        The displacement of each point.
    owners
        The person of each point.
    fold
        The fold of each person.
    signs
        −1 where a person's versions change places, else 1.
    """
    sums = np.zeros((len(fold), moved.shape[1]))
    np.add.at(sums, owners, moved)
    points = np.bincount(owners)
    gained = np.zeros(len(signs))
    for k in range(fold.max() + 1):
        out = fold == k
        shift = signs[:, ~out] @ sums[~out] / points[~out].sum()
        gained += 2 * np.einsum("bd,bd->b", shift, signs[:, out] @ sums[out])
        gained -= points[out].sum() * (shift**2).sum(axis=1)
    return gained


def chance_map(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "n d"],
    owners: Int[np.ndarray, " n"],
    fold: Int[np.ndarray, " people"],
    signs: Float[np.ndarray, "b people"],
) -> Float[np.ndarray, " b"]:
    """Give by how much rotation and size lessen it after the shift, where versions change places.

    The common shift is taken out first: two clouds side by side that change places at random are
    mirror images, and a map that mirrors would find the shift again.
    """
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    gained = []
    for one in track(signs, "maps of versions changed at random"):
        change = (one[owners] < 0)[:, None]
        shifted, mapped, _ = residuals(np.where(change, b, a), np.where(change, a, b), fold[owners])
        gained.append(float((shifted - mapped).sum()))
    return np.array(gained)
