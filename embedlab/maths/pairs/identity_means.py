"""Distances of people instead of images: each the mean over all images of two people."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.pairs.all_pairs import TAIL, Pairs, all_pairs
from embedlab.maths.sums import by_person


def identity_means(
    a: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    b: Float[np.ndarray, "n d"] | None = None,
    *,
    tail: int = TAIL,
) -> Pairs:
    """Count each two people once, by the mean cosine of all their images.

    The mean over a block of images is the product of two people's mean unit vectors, so no block is ever
    formed. Everybody is held against themselves too, each image with itself included: a cosine of one
    within one probe.

    Parameters
    ----------
    a, labels, b
        As for ``pairs.all_pairs``; rows are of length one, and each person has one at least.
    tail
        As there.

    Returns
    -------
    Pairs of one genuine score a person, so that each pair and each person weigh the same. Across probes
    the mean cosine of a person's images, each with itself, stands with the same-item scores.
    """
    images = np.bincount(labels)[:, None]
    people = np.arange(len(images))
    means = _means(a, labels, images)
    if b is None:
        pairs = all_pairs(means, people, tail=tail)
        own = np.einsum("ij,ij->i", means, means)
        return replace(pairs, genuine_scores=own, genuine_people=people)
    pairs = all_pairs(means, people, _means(b, labels, images), tail=tail)
    same = np.einsum("ij,ij->i", a.astype(np.float64), b.astype(np.float64))
    return replace(
        pairs,
        genuine_scores=pairs.same_item_scores,
        genuine_people=pairs.same_item_people,
        same_item_scores=np.bincount(labels, same) / images[:, 0],
    )


def _means(vectors: np.ndarray, labels: np.ndarray, images: np.ndarray) -> np.ndarray:
    return by_person(vectors / images[labels], labels, len(images))
