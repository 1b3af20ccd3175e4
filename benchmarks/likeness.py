"""Are likenesses of two spaces honest? ``python -m benchmarks.likeness`` takes some minutes.

Two models are planted on the same people again and again. ``claims`` says how often they are called more
alike than re-paired people: where they share nothing but who is who (false), and where they share a little
(power). ``coverage`` says how often 95 % intervals hold the mean of all samples, and how long they are in
units of the 3.92 standard deviations that are right.
"""

import numpy as np

from embedlab.maths.likeness.exchange import levelled
from embedlab.maths.likeness.scores import of_most
from embedlab.maths.likeness.similarity import MEASURES, Measured, Plan, Space, compare
from embedlab.maths.people.bootstrap import interval, resamples
from embedlab.maths.people.permutation import p_value

NAMES = tuple(measure.name for measure in MEASURES)
# How many people of Labeled Faces in the Wild have 1, 2, 3, … images: 4069, 779, 291, …
LFW = (
    *np.repeat([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [4069, 779, 291, 187, 112, 55, 39, 33, 26, 15]),
    *np.repeat([11, 12, 13, 14, 15, 17, 19, 21, 24, 30], [16, 10, 11, 10, 14, 13, 12, 9, 10, 12]),
    *(32, 32, 32, 33, 33, 33, 35, 36, 37, 39, 39, 41, 41, 42, 42, 44, 48, 49, 52, 52, 53, 55, 60, 71),
    *(77, 109, 121, 144, 236, 530),
)
COUNTS = ("equal", "LFW", "ruling")


def images(kind: str, people: int, rng: np.random.Generator) -> np.ndarray:
    """Draw how many images each person has: four; as in LFW; or three, but one person sixty."""
    if kind == "LFW":
        return rng.choice(LFW, people)
    found = np.full(people, 4 if kind == "equal" else 3)
    found[:1] = 60 if kind == "ruling" else found[:1]
    return found


def pair(kind: str, people: int, seed: int, shared: float, dimension: int = 16, noise: float = 0.7):
    """Plant two spaces whose people's places correlate by ``shared``, and give their owners."""
    rng = np.random.default_rng([11, seed])
    owners = np.repeat(np.arange(people), images(kind, people, np.random.default_rng(5)))
    common, *own = rng.normal(size=(3, people, dimension))
    places = [np.sqrt(shared) * common + np.sqrt(1 - shared) * one for one in own]
    spaces = [place[owners] + noise * rng.normal(size=(len(owners), dimension)) for place in places]
    spaces[1] = spaces[1] @ np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
    return owners, *(x / np.linalg.norm(x, axis=1, keepdims=True) for x in spaces)


def measured(owners, x, y, seed: int, shuffles: int = 31) -> tuple[dict[str, Measured], int]:
    """Compare two spaces as the analysis does, and count the people."""
    rows = levelled(owners, np.random.default_rng(seed))
    x, y, (_, owners) = x[rows], y[rows], np.unique(owners[rows], return_inverse=True)
    plan = Plan(
        owners=owners, sample=2000, together=True, neighbours=10, bandwidth=0.5, batch=256, variance=0.99,
        shuffles=shuffles, refits=shuffles, seed=seed,
    )  # fmt: skip
    return compare(Space.of(x, plan), Space.of(y, plan), plan), plan.people


def claims(kind: str, shared: float, sets: int = 60, people: int = 150) -> np.ndarray:
    """Give how often p ≤ 0.05 by each measure, and at the end how often by more than half of them."""
    found = (measured(*pair(kind, people, seed, shared), seed)[0] for seed in range(sets))
    p = np.array([[p_value(one[n].value, one[n].nulls) for n in NAMES] for one in found])
    return np.append((p <= 0.05).mean(axis=0), np.mean([of_most(one) <= 0.05 for one in p]))


def coverage(kind: str, sets: int = 60, people: int = 150, shared: float = 0.7) -> np.ndarray:
    """Give how often intervals hold the mean of all sets, and their relative width: (2, len(NAMES))."""
    values, ends = [], []
    for seed in range(sets):
        found, there = measured(*pair(kind, people, seed, shared), seed, 1)
        counts = resamples(there, 300, seed)
        values.append([found[name].value for name in NAMES])
        ends.append([interval(found[name].replicates(counts)) for name in NAMES])
    truth, (low, high) = np.mean(values, axis=0), np.moveaxis(np.array(ends), 2, 0)
    held = (low <= truth) & (truth <= high)
    return np.stack([held.mean(axis=0), (high - low).mean(axis=0) / 3.92 / np.std(values, axis=0)])


def main() -> None:
    for kind in COUNTS:
        for shared in (0.0, 0.3):
            each = dict(zip((*NAMES, "most"), claims(kind, shared), strict=True))
            print(f"{kind}, shared {shared}:", ", ".join(f"{n} {v:.0%}" for n, v in each.items()), flush=True)
        held = zip(NAMES, *coverage(kind), strict=True)
        print(f"{kind}, intervals:", ", ".join(f"{n} {c:.0%} w {w:.2f}" for n, c, w in held), flush=True)


if __name__ == "__main__":
    main()
