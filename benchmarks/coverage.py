"""Do 95 % intervals hold the truth in 95 % of samples? ``python -m benchmarks.coverage`` takes some minutes.

People are drawn again and again from one population of Gaussians; the truth is that of very many of them. The
table stands in the docstring of ``embedlab.maths.people.bootstrap``; a test holds a shorter run of it.
"""

import numpy as np

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


def held(sets: int = SETS, resamples: int = RESAMPLES) -> np.ndarray:
    """Give how often percentile and BCa intervals hold the truth: (2, len(NAMES))."""
    few = bootstrap.resamples(4000, 2, 0)
    truth = np.mean([statistics(*drawn(4000, 1000 + k), few)[0] for k in range(8)], axis=0)
    found = np.zeros((2, len(NAMES)))
    for seed in range(sets):
        counts = np.vstack([bootstrap.resamples(PEOPLE, resamples, seed), bootstrap.left_out(PEOPLE, seed)])
        values, replicates = statistics(*drawn(PEOPLE, seed), counts)
        for k, (value, column) in enumerate(zip(values, replicates.T, strict=True)):
            resampled, jackknife = column[:resamples], column[resamples:]
            for kind, (low, high) in enumerate(
                (bootstrap.interval(resampled), bootstrap.bca_interval(value, resampled, jackknife))
            ):
                found[kind, k] += low <= truth[k] <= high
    return found / sets


def main() -> None:
    for name, percentile, bca in zip(NAMES, *held(), strict=True):
        print(f"{name:15s} percentile {percentile:.3f}  BCa {bca:.3f}")


if __name__ == "__main__":
    main()
