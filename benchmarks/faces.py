"""Measure how many synthetic faces a minute are drawn: ``python -m benchmarks.faces``."""

import argparse
import time

from embedlab.data.synthetic import faces


def rate(threads: int, size: int, count: int) -> float:
    """Give faces a minute; the first, untimed call loads torch and warms its caches."""
    identities, nuisances = faces.draw_identities(count, 0), faces.draw_nuisances(count, 0)
    faces.render(identities[:8], nuisances[:8], size, threads=threads)
    begun = time.perf_counter()
    faces.render(identities, nuisances, size, threads=threads)
    return 60 * count / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=144, help="pixels (default: 144)")
    parser.add_argument("--count", type=int, default=400, help="faces to draw (default: 400)")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the best counts (default: 3)")
    asked = parser.parse_args()
    for threads in (2, 1):
        best = max(rate(threads, asked.size, asked.count) for _ in range(asked.repeats))
        print(f"{asked.size} px, {threads} threads: {best:,.0f} faces a minute")


if __name__ == "__main__":
    main()
