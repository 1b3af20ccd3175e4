"""What the choice of images alone would change of people's neighbourhoods: spaces that differ in that alone.

Two lists of neighbours agree no further than two halves of one person's images let them [1]_. What remains
after that is told from noise by *twins*: pairs of spaces drawn to hold the same people in the same places,
each as noisy as the real one.

References
----------
.. [1] Spearman, C. The proof and measurement of association between two things. American Journal of
   Psychology 15(1), 1904.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.space.kept import Agreement, agreement, halves, halves_lists, kept, means, nearest_people

# How finely the noise of twins is matched, and over how many draws of it.
CLOSE, MATCHED = 0.02, 2


@dataclass(frozen=True)
class Twins:
    """Pairs of spaces that hold the same people in the same places and differ in noise alone.

    Attributes
    ----------
    centres
        Where people lie, of shape (people, d).
    residuals
        How far images lie from their people, of shape (n, d).
    owners
        The person of each image, rising.
    sizes
        How large the noise is in each twin, 1 for that of ``residuals``.
    shared
        What share of its noise an image has in common in both: their correlation.
    """

    centres: Float[np.ndarray, "people d"]
    residuals: Float[np.ndarray, "n d"]
    owners: Int[np.ndarray, " n"]
    sizes: tuple[float, float] = (1.0, 1.0)
    shared: float = 0.0

    @classmethod
    def of(cls, unit: Float[np.ndarray, "n d"], owners: Int[np.ndarray, " n"]) -> "Twins":
        """Take places and noise from a space; rows as for ``agreement``."""
        images = np.bincount(owners)
        centres = np.add.reduceat(unit, np.cumsum(images) - images, axis=0) / images[:, None]
        # A mean of few images lies nearer to each of them than the person does.
        residuals = (unit - centres[owners]) * np.sqrt(images / (images - 1))[owners, None]
        return cls(centres.astype(np.float32), residuals.astype(np.float32), owners)

    def matched(self, levels: tuple[float, float], same: float, k: int, rng: np.random.Generator) -> "Twins":
        """Make the twins as noisy as two real spaces.

        Parameters
        ----------
        levels
            The share of the k nearest people that two halves of a person's images have in common in each
            space. It is largest without any noise.
        same
            The share that all images of a person have in common across the spaces, the same in both. What
            is missing counts as noise of each space's own, so a real change makes the twins differ more
            than they need: they err towards finding nobody changed.
        k
            How many nearest people.
        rng
            Draws the noise.
        """
        deals = [(halves(self.owners, rng), self._noise(rng)) for _ in range(MATCHED)]

        @cache
        def share(size: float) -> float:
            lists = [
                halves_lists(self._seen(size * noise), self.owners, half, k, rng) for half, noise in deals
            ]
            return float(np.mean([kept(*pair)[:, -1] for pair in lists]))

        sizes = _found(share, levels[0]), _found(share, levels[1])
        pairs = [(self._noise(rng), self._noise(rng)) for _ in range(MATCHED)]

        @cache
        def apart(angle: float) -> float:
            both = [self._pair(sizes, float(np.cos(angle)), *pair) for pair in pairs]
            lists = [[nearest_people(means(x, self.owners), k, rng) for x in pair] for pair in both]
            return float(np.mean([kept(*pair)[:, -1] for pair in lists]))

        angle = min(_found(apart, same, most=np.pi / 2), np.pi / 2)
        return replace(self, sizes=sizes, shared=float(np.cos(angle)))

    def agreement(self, k: int, longest: int, splits: int, rng: np.random.Generator) -> Agreement:
        """Draw both twins and compare them as the real spaces are compared."""
        a, b = self._pair(self.sizes, self.shared, self._noise(rng), self._noise(rng))
        return agreement(a, b, self.owners, k, longest, splits, rng)

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        """Deal the images' departures from their people anew, each to any image, of either sign."""
        sign = rng.choice(np.array([-1, 1], np.float32), size=(len(self.residuals), 1))
        dealt: np.ndarray = self.residuals[rng.permutation(len(self.residuals))] * sign
        return dealt

    def _seen(self, noise: np.ndarray) -> np.ndarray:
        rows = self.centres[self.owners] + noise.astype(np.float32)
        found: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return found

    def _pair(
        self, sizes: tuple[float, float], shared: float, noise: np.ndarray, other: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        second = shared * noise + np.sqrt(max(0.0, 1 - shared**2)) * other
        return self._seen(sizes[0] * noise), self._seen(sizes[1] * second)


def _found(share: Callable[[float], float], level: float, most: float = 100.0) -> float:
    """Find where a share, which falls from 0 on, comes down to a level; the end where it never does."""
    from scipy.optimize import brentq

    low, high = 0.0, min(1.0, most)
    while share(high) > level:
        if high >= most:
            return most
        low, high = high, min(2 * high, most)
    if low == 0 and share(0.0) <= level:
        return 0.0
    found: float = brentq(lambda at: share(at) - level, low, high, xtol=CLOSE * high, full_output=False)
    return found
