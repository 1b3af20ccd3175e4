"""Where the bins of scores lie: even and fine over the bulk of the scores, wider beyond it.

Some networks put all vectors into a narrow cone, so that all cosines lie within a hundredth; bins that are
even over all possible scores would then hold them all. And one strange image must not stretch the bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

OUTER = 1 / 16
"""Which part of the bins lies below the bulk, and which above."""
REACH = 4.0
"""The bulk reaches so many interquartile ranges from the median: normal scores leave it once in a million."""
ROOM = 0.05
"""What a sample of the scores is widened by on either side, in parts of its range."""


@dataclass(frozen=True)
class Grid:
    """Three pieces of the range of scores, each cut evenly.

    Attributes
    ----------
    knots
        The ends of the pieces, rising, of shape (4,).
    places
        Which part of the bins lies below each, from 0 to 1, (4,).
    """

    knots: Float[np.ndarray, " 4"]
    places: Float[np.ndarray, " 4"]

    @classmethod
    def whole(cls) -> "Grid":
        """Cut [−1, 1] evenly."""
        return cls(np.array([-1.0, -1.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]))

    @classmethod
    def of(cls, kinds: Sequence[Float[np.ndarray, " n"]]) -> "Grid":
        """Fit the pieces to samples of scores, a sample a kind of pairs.

        No score lies beyond −1 or 1; equal scores everywhere leave all of that to one even piece.
        """
        low, high = np.inf, -np.inf
        for some in (kind.astype(np.float64) for kind in kinds if len(kind)):
            first, middle, third = np.quantile(some, [0.25, 0.5, 0.75])
            reach = REACH * (third - first)
            low = min(low, max(middle - reach, some.min()))
            high = max(high, min(middle + reach, some.max()))
        if not high > low:
            every = np.concatenate([np.asarray(kind, np.float64) for kind in kinds])
            low, high = every.min(initial=np.inf), every.max(initial=-np.inf)
        if not high > low:
            return cls.whole()
        room = ROOM * (high - low)
        low, high = max(low - room, -1.0), min(high + room, 1.0)
        below, above = OUTER * (low > -1.0), OUTER * (high < 1.0)
        return cls(np.array([-1.0, low, high, 1.0]), np.array([0.0, below, 1.0 - above, 1.0]))

    @property
    def width(self) -> float:
        """How far the bulk of the scores reaches."""
        return float(self.knots[2] - self.knots[1])

    def edges(self, bins: int) -> Float[np.ndarray, " bins+1"]:
        """Give the edges of so many bins."""
        places, knots = self._pieces()
        found: np.ndarray = np.interp(np.arange(bins + 1) / bins, places, knots)
        return found

    def index(self, scores: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " n"]:
        """Give the bin of each score."""
        places, knots = self._pieces()
        found = np.interp(scores.astype(np.float64), knots, places) * bins
        index: np.ndarray = np.minimum(found.astype(np.int64), bins - 1)
        return index

    def compiled(self, bins: int, origin: float) -> Float[np.ndarray, " 7"]:
        """Give what the compiled sweep asks for: knots less the origin, and bins a score in each piece."""
        steps = np.diff(self.knots)
        slopes = np.divide(bins * np.diff(self.places), steps, out=np.zeros(3), where=steps > 0)
        found: np.ndarray = np.r_[self.knots - origin, slopes].astype(np.float32)
        return found

    def bulk(self, bins: int) -> tuple[int, int]:
        """Give the first of the bins that hold the bulk, and the one after their last."""
        return int(np.floor(self.places[1] * bins)), int(np.ceil(self.places[2] * bins))

    def _pieces(self) -> tuple[np.ndarray, np.ndarray]:
        kept = np.r_[True, np.diff(self.places) > 0]
        return self.places[kept], self.knots[kept]
