"""How far a cloud may be turned and still be brought back: ``python -m benchmarks.cpd_basin``.

Sources are clouds of people (a centre a person, ten images about it, axes of unlike width), or
the leading principal components of an embedding file. Targets are the same points turned by an angle
about a random axis, scaled, shifted, each moved by noise of its own, and shuffled. A registration has
recovered the turn where its root mean square error, point by point, is within 5 % of what Procrustes
reaches *knowing* the pairs. Printed is the share of draws that did, an angle a column.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from embedlab.maths.clouds.cpd import Settings, rigid
from embedlab.maths.linear import procrustes

ANGLES = (0, 15, 30, 45, 60, 75, 90, 120, 150, 180)
Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def people(count: int, dimensions: int, draw: np.random.Generator) -> np.ndarray:
    """Draw a cloud of people, ten images each."""
    centres = draw.normal(size=(max(count // 10, 1), dimensions)) * np.linspace(1.3, 0.8, dimensions)
    return centres[draw.integers(len(centres), size=count)] + 0.35 * draw.normal(size=(count, dimensions))


def components(path: Path, dimensions: int) -> np.ndarray:
    """Project an embedding file onto its leading principal components."""
    from embedlab.lab.embeddings import read

    vectors = read(path).unit.astype(np.float64)
    vectors -= vectors.mean(axis=0)
    axes = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1][:, :dimensions]
    projected: np.ndarray = vectors @ axes
    return projected


def turn(dimensions: int, degrees: float | None, draw: np.random.Generator) -> np.ndarray:
    """Turn in a random plane by an angle, or, where none is given, in every direction at random."""
    basis, upper = np.linalg.qr(draw.normal(size=(dimensions, dimensions)))
    basis *= np.sign(np.diag(upper))
    if np.linalg.det(basis) < 0:
        basis[:, 0] *= -1
    if degrees is None:
        return basis
    angle = np.radians(degrees)
    plane = np.eye(dimensions)
    plane[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    turned: np.ndarray = basis @ plane @ basis.T
    return turned


def planted(
    y: np.ndarray, degrees: float | None, noise: float, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Give the targets of a cloud, row for row, and the order in which a registration gets them."""
    size = np.sqrt(y.var(axis=0).mean())
    x = 1.7 * y @ turn(y.shape[1], degrees, draw) + 3 * size * draw.normal(size=y.shape[1])
    return x + 1.7 * noise * size * draw.normal(size=y.shape), draw.permutation(len(y))


def error(x: np.ndarray, moved: np.ndarray) -> float:
    return float(np.sqrt(((x - moved) ** 2).sum(axis=1).mean()))


def pycpd(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    from pycpd import RigidRegistration

    return RigidRegistration(X=x, Y=y).register()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--dimensions", type=int, default=3)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--embeddings", type=Path, help="an embedding file in place of drawn people")
    parser.add_argument("--everywhere", action="store_true", help="turn every direction at random, no angle")
    parser.add_argument("--pycpd", action="store_true", help="beside it pycpd, in its default settings")
    args = parser.parse_args()
    methods: dict[str, Method] = {
        "default": lambda x, y: rigid(x, y).moved,
        "no search": lambda x, y: rigid(x, y, settings=Settings(search=False)).moved,
    }
    if args.pycpd:
        methods["pycpd"] = pycpd
    whole = components(args.embeddings, args.dimensions) if args.embeddings else None
    angles: tuple[int | None, ...] = (None,) if args.everywhere else ANGLES
    print(f"{args.points} points, {args.dimensions} dimensions, {args.draws} draws an angle")
    print(f"{'noise':>5} {'method':>10}", *(f"{'all' if a is None else a:>5}" for a in angles), "   seconds")
    for noise in args.noise:
        for name, method in methods.items():
            shares, began = [], time.process_time()
            for angle in angles:
                kept = 0
                for seed in range(args.draws):
                    draw = np.random.default_rng(seed)
                    if whole is None:
                        y = people(args.points, args.dimensions, draw)
                    else:
                        y = whole[draw.permutation(len(whole))[: args.points]]
                    x, order = planted(y, angle, noise, draw)
                    best = error(x, procrustes.fit(y, x).apply(y))
                    kept += error(x, method(x[order], y)) <= 1.05 * best + 1e-6 * np.sqrt(x.var())
                shares.append(kept / args.draws)
            seconds = (time.process_time() - began) / args.draws / len(angles)
            row = [f"{share:5.0%}" for share in shares]
            print(f"{noise:5.2f} {name:>10}", *row, f"{seconds:10.2f}", flush=True)


if __name__ == "__main__":
    main()
