"""At which error rates something can be told: a rate needs as many trials as one error among them takes."""

import numpy as np
from jaxtyping import Float

RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
STABLE = 10
"""A rate that rests on fewer errors is unstable."""

POINTS = 61


def resolved(reference: float, trials: int, usual: tuple[float, ...] = RATES) -> Float[np.ndarray, " levels"]:
    """Give the usual rates and the one asked for, falling, as far as so many trials resolve them."""
    rates = sorted({*usual, reference}, reverse=True)
    return np.array([rate for rate in rates if rate * trials >= 1], dtype=np.float64)


def along(trials: int, points: int = POINTS) -> Float[np.ndarray, " points"]:
    """Give the rates that a curve is drawn at, rising; none without trials."""
    if not trials:
        return np.empty(0)
    return np.geomspace(max(1.0 / trials, RATES[-1]), 1.0, points)[:-1]


def index_of(levels: Float[np.ndarray, " levels"], rate: float) -> int | None:
    """Find a rate among those that are resolved; None where it is not."""
    close = np.flatnonzero(np.isclose(levels, rate, rtol=1e-6))
    return int(close[0]) if len(close) else None


def unstable(errors: float) -> str:
    """Caution, in brackets, where a rate rests on too few errors; nothing else."""
    return "" if errors >= STABLE else " (unstable)"
