"""What each stage costs as images grow: CPU seconds and peak memory, measured, and what follows for more.

    python -m benchmarks.scale [--sizes 10000 30000 100000] [--stages all-pairs …] [--dimension 128]

Vectors are planted, ten images a person. Every cell runs in a process of its own, with one thread unless
``OMP_NUM_THREADS`` and ``NUMBA_NUM_THREADS`` say otherwise; imports and compiling are left out, since a
small set runs first. *Power* is p in N^p between the last two sizes; memory is the process's peak beyond
what it held with its inputs read. What is told of larger sizes takes the power in brackets, which the stage
has by its making, from the last size measured: it is a sum, not a measurement.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

IMAGES, SMALL = 10, 600
LARGER = (10**6, 10**7, 10**9)
# By its making a stage grows as pairs do (2), or at most as images do (1): some draw a sample and grow less.
STAGES = {
    "all-pairs": 2,
    "calibration": 2,
    "neighbours, exact": 2,
    "neighbours, faiss": 2,
    "components": 1,
    "geometry": 1,
    "mapping": 2,
    "similarity": 1,
}
# Images of whom no more are drawn: 10,000 people, all searched.
MOST = {"mapping": 100_000}


def planted(model: str, images: int, dimension: int):
    """Draw people and images round them, as many as asked for."""
    from embedlab.examples import planted as drawn

    return drawn(model, "faces", noise=0.8, people=images // IMAGES, images=IMAGES, dimension=dimension)


def work(stage: str, images: int, dimension: int) -> Callable[[], object]:
    """Read the inputs of a stage, and give what remains to be done."""
    from embedlab import analysis

    one = planted("one", images, dimension)
    unit, labels = one.unit, one.labels
    if stage == "all-pairs":
        from embedlab.maths.pairs.all_pairs import all_pairs

        return lambda: all_pairs(unit, labels)
    if stage == "neighbours, exact":
        from embedlab.maths.space.neighbours import nearest

        return lambda: nearest(unit, 10)
    if stage == "neighbours, faiss":
        import faiss

        faiss.omp_set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

        def search() -> object:
            index = faiss.IndexFlatIP(dimension)
            index.add(unit)
            return index.search(unit, 11)

        return search
    found = analysis.get(stage)
    if {"set", "model"} & {over.word for over in found.overs}:
        return lambda: found.run((one,), found.params)
    other = planted("other", images, dimension)
    return lambda: found.run((one, other), found.params)


def peak() -> float:
    """Give the largest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(stage: str, images: int, dimension: int) -> None:
    """Run a stage once small and once as asked; print its figures as JSON."""
    work(stage, SMALL, dimension)()
    ready = work(stage, images, dimension)
    held, cpu, wall = peak(), time.process_time(), time.perf_counter()
    ready()
    print(
        json.dumps(
            {
                "cpu": time.process_time() - cpu,
                "wall": time.perf_counter() - wall,
                "beyond": peak() - held,
                "peak": peak(),
            }
        )
    )


def cell(stage: str, images: int, dimension: int) -> dict[str, float] | None:
    """Measure in a process of its own; None where a package is missing."""
    one = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    code = f"from benchmarks.scale import measure; measure({stage!r}, {images}, {dimension})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=one | dict(os.environ)
    )
    if done.returncode:
        print(f"{stage} at {images:,}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def told(seconds: float) -> str:
    """Give a time in a unit that fits."""
    for unit, size in (("years", 3.15e7), ("days", 86_400.0), ("h", 3600.0)):
        if seconds >= size:
            return f"{seconds / size:,.3g} {unit}"
    return f"{seconds:.3g} s"


def row(stage: str, found: dict[int, dict[str, float]]) -> str:
    """Put a stage's figures into a line of a Markdown table."""
    sizes = sorted(found)
    cells = [f"{found[n]['cpu']:.1f}, {found[n]['beyond']:,.0f} MB" for n in sizes]
    power = "–"
    if len(sizes) > 1:
        last, before = sizes[-1], sizes[-2]
        power = f"{math.log(found[last]['cpu'] / found[before]['cpu']) / math.log(last / before):.2f}"
    most = MOST.get(stage, max(LARGER))
    ahead = [told(found[sizes[-1]]["cpu"] * (min(n, most) / sizes[-1]) ** STAGES[stage]) for n in LARGER]
    return f"| {stage} | {' | '.join(cells)} | {power} ({STAGES[stage]}) | {' | '.join(ahead)} |"


def main() -> None:
    """Print one row a stage as soon as it is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 30_000, 100_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--dimension", type=int, default=128)
    given = parser.parse_args()
    names = [f"{n:,}" for n in given.sizes] + ["power"] + [f"{n:.0e}" for n in LARGER]
    print("| CPU s, MB beyond inputs | " + " | ".join(names) + " |")
    print("|" + "---|" * (len(names) + 1))
    for stage in given.stages:
        found = {n: figures for n in given.sizes if (figures := cell(stage, n, given.dimension))}
        if found:
            print(row(stage, found), flush=True)


if __name__ == "__main__":
    main()
