"""Time all-pairs counting beside its peers, interleaved: ``python -m benchmarks.pairs``.

Every contender histograms the cosine similarity of all pairs, genuine and impostor apart. embedlab
also keeps a histogram a person and the highest impostor scores, which the identity bootstrap needs.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from embedlab.maths.pairs.all_pairs import all_pairs

Counts = tuple[np.ndarray, np.ndarray]


def embedlab(unit: np.ndarray, labels: np.ndarray, bins: int) -> Counts:
    found = all_pairs(unit, labels, bins=bins)
    return found.genuine, found.impostor


def numpy_blocks(unit: np.ndarray, labels: np.ndarray, bins: int, block: int = 1024) -> Counts:
    edges = np.linspace(-1, 1, bins + 1)
    counts = [np.zeros(bins, np.int64), np.zeros(bins, np.int64)]
    columns = np.arange(len(unit))
    for start in range(0, len(unit), block):
        scores = unit[start : start + block] @ unit.T
        later = columns > np.arange(start, start + len(scores))[:, None]
        same = labels[start : start + block, None] == labels
        for kind, mask in ((0, later & same), (1, later & ~same)):
            counts[kind] += np.histogram(scores[mask], edges)[0]
    return counts[0], counts[1]


def scikit_learn(unit: np.ndarray, labels: np.ndarray, bins: int) -> Counts:
    from sklearn.metrics import pairwise_distances_chunked

    counts = [np.zeros(bins, np.int64), np.zeros(bins, np.int64)]
    columns, start = np.arange(len(unit)), 0
    edges = np.linspace(-1, 1, bins + 1)
    for chunk in pairwise_distances_chunked(unit, metric="cosine", working_memory=64):
        later = columns > np.arange(start, start + len(chunk))[:, None]
        same = labels[start : start + len(chunk), None] == labels
        for kind, mask in ((0, later & same), (1, later & ~same)):
            counts[kind] += np.histogram(1 - chunk[mask], edges)[0]
        start += len(chunk)
    return counts[0], counts[1]


def scipy_whole(unit: np.ndarray, labels: np.ndarray, bins: int) -> Counts:
    from scipy.spatial.distance import pdist

    scores = 1 - pdist(unit, "cosine")
    rows, columns = np.triu_indices(len(unit), 1)
    same = labels[rows] == labels[columns]
    edges = np.linspace(-1, 1, bins + 1)
    return np.histogram(scores[same], edges)[0], np.histogram(scores[~same], edges)[0]


CONTENDERS: dict[str, Callable[[np.ndarray, np.ndarray, int], Counts]] = {
    "embedlab": embedlab,
    "numpy, blocks": numpy_blocks,
    "scikit-learn, chunked": scikit_learn,
    "scipy pdist": scipy_whole,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--bins", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, asked.images // 4, asked.images))
    unit = rng.normal(size=(asked.images, asked.dimension))
    unit += 2 * rng.normal(size=(asked.images, asked.dimension))[labels]
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    _, labels = np.unique(labels, return_inverse=True)
    embedlab(unit[:100], labels[:100], asked.bins)  # Compiles.
    wall, work = {name: [] for name in CONTENDERS}, {name: [] for name in CONTENDERS}
    for _ in range(asked.rounds):
        for name, count in CONTENDERS.items():
            begun, cpu = time.perf_counter(), time.process_time()
            genuine, impostor = count(unit, labels, asked.bins)
            wall[name].append(time.perf_counter() - begun)
            work[name].append(time.process_time() - cpu)
            pairs = asked.images * (asked.images - 1) // 2
            assert genuine.sum() + impostor.sum() == pairs, name
    print(f"{asked.images:,} images, {asked.dimension} numbers each, {pairs / 1e6:,.0f} M pairs; medians")
    for name in CONTENDERS:
        ratios = [np.median(t[name]) / np.median(t["embedlab"]) for t in (wall, work)]
        print(
            f"{name:24s} wall {np.median(wall[name]):6.2f} s ({ratios[0]:5.1f} ×)   "
            f"CPU {np.median(work[name]):6.2f} s ({ratios[1]:5.1f} ×)"
        )
    print(f"peak memory of all: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
