"""How long each analysis of embeddings takes, and how much memory, on planted vectors.

    python -m benchmarks.analyses [VECTORS] [DIMENSION]

Every analysis runs in a process of its own: those of one space on one model under two probes (over one
set, on both); those of two spaces on these probes as a degraded pair and on two models as a pair. Seconds
exclude imports and compiling (a small set runs first); memory is the process's peak, imports included, and
beside it what the process held before the large run.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np

NAMES = (
    "verification",
    "identification",
    "distances",
    "resolution",
    "separability",
    "displacement",
    "encoding",
    "components",
    "projection",
    "geometry",
    "norms",
    "restoration",
    "similarity",
    "mapping",
    "registration",
    "neighbours",
)
IMAGES = 5


def planted(vectors: int, dimension: int, probe: str, noise: float, model: str = "planted"):
    """Draw people as Gaussian centres and images round them; another model turns the same centres."""
    from embedlab.lab.embeddings import EmbeddingSet

    people = vectors // IMAGES
    centres = np.random.default_rng(0).normal(size=(people, dimension))
    labels = np.repeat(np.arange(people), IMAGES)
    if model != "planted":
        centres = centres @ np.linalg.qr(np.random.default_rng(1).normal(size=(dimension, dimension)))[0]
    drawn = np.random.default_rng(int(noise * 1000) + len(model)).normal(size=(len(labels), dimension))
    return EmbeddingSet.from_rows(
        model, probe, centres[labels] + noise * drawn, [f"i{k:06d}" for k in range(len(labels))],
        [f"p{k:05d}" for k in labels],
    )  # fmt: skip


def peak() -> float:
    """Give the largest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(name: str, vectors: int, dimension: int) -> None:
    """Time one analysis and print the figures as JSON."""
    from embedlab import analysis

    found = analysis.get(name)
    for size in (500, vectors):
        sets = [planted(size, dimension, f"faces{at}", noise) for at, noise in (("", 0.8), ("@32", 1.1))]
        other = planted(size, dimension, "faces", 0.8, "another")
        runs = {"set": [(s,) for s in sets], "models": [(sets[0], other)], "model pair": [(sets[0], other)]}
        before, begun = peak(), time.perf_counter()
        for over in found.overs:
            for inputs in runs.get(over.word, [tuple(sets)]):
                found.run(inputs, found.params)
        seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "before": before, "peak": peak()}))


def main() -> None:
    vectors, dimension = (int(word) for word in (*sys.argv[1:3], *("20000", "128")[len(sys.argv) - 1 :]))
    print(f"{vectors:,} vectors of {dimension} numbers, two probes")
    total = 0.0
    for name in NAMES:
        words = [
            sys.executable,
            "-c",
            f"from benchmarks.analyses import one; one({name!r}, {vectors}, {dimension})",
        ]
        figures = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        total += figures["seconds"]
        print(
            f"{name:15s} {figures['seconds']:6.1f} s   peak {figures['peak']:6,.0f} MB "
            f"({figures['before']:,.0f} MB before)"
        )
    print(f"{'all':15s} {total:6.1f} s")


if __name__ == "__main__":
    main()
