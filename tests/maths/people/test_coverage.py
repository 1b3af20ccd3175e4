"""Do 95 % intervals hold the truth in 95 % of samples? People are drawn 500 times from one population.

The measured figures stand in the docstring of ``embedlab.maths.people.bootstrap``; ``pytest -rP`` prints
them.
"""

import numpy as np
import pytest

from embedlab.maths.pairs import moments, roc
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.people import bootstrap

FARS = np.array([1e-1, 1e-2, 1e-3])
NAMES = ("mean", "d′", "TAR@FAR=0.1", "TAR@FAR=0.01", "TAR@FAR=0.001", "EER", "AUC")
PEOPLE, IMAGES, SETS, RESAMPLES = 250, 4, 500, 500


def drawn(people, seed, dimension=16, noise=0.9):
    rng = np.random.default_rng([7, seed])
    labels = np.repeat(np.arange(people), IMAGES)
    vectors = rng.normal(size=(people, dimension))[labels] + noise * rng.normal(size=(len(labels), dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def statistics(vectors, labels, counts):
    """Each statistic of the set itself, and of each row of counts."""
    pairs = all_pairs(vectors, labels)
    limits, drawn_limits = roc.limits(pairs, FARS, counts)
    tar = roc.accepted_share(pairs, np.ones((1, counts.shape[1]), np.float32), limits[None])[0]
    shares = roc.accepted_share(pairs, counts, drawn_limits)
    auc, drawn_auc, eer, drawn_eer = roc.auc_and_eer(pairs, counts)
    mean = moments.mean(pairs.genuine_scores, pairs.genuine_people, counts)
    d_prime = moments.Spread(pairs, counts).d_prime(pairs.distance)
    return (
        np.array([mean.value, d_prime.value, *tar, eer, auc]),
        np.column_stack([mean.replicates, d_prime.replicates, shares, drawn_eer, drawn_auc]),
    )


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    few = bootstrap.resamples(4000, 2, 0)
    truth = np.mean([statistics(*drawn(4000, 1000 + k), few)[0] for k in range(8)], axis=0)
    held = np.zeros((2, len(NAMES)))
    for seed in range(SETS):
        counts = np.vstack([bootstrap.resamples(PEOPLE, RESAMPLES, seed), bootstrap.left_out(PEOPLE, seed)])
        values, replicates = statistics(*drawn(PEOPLE, seed), counts)
        for k, (value, column) in enumerate(zip(values, replicates.T, strict=True)):
            resampled, jackknife = column[:RESAMPLES], column[RESAMPLES:]
            for kind, (low, high) in enumerate(
                (bootstrap.interval(resampled), bootstrap.bca_interval(value, resampled, jackknife))
            ):
                held[kind, k] += low <= truth[k] <= high
    share = held / SETS
    for name, *found in zip(NAMES, *share, strict=True):
        print(f"{name:15s} percentile {found[0]:.3f}  BCa {found[1]:.3f}")
    percentile, bca = share
    assert ((bca >= 0.93) & (bca <= 0.97)).all()
    assert ((percentile >= 0.92) & (percentile <= 0.97)).all()
    # Of a skewed statistic near its end the percentile interval is the shorter of the two.
    assert (percentile[:-1] >= 0.93).all()
