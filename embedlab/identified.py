"""Whether a correspondence that registration misses was there to be seen: in the likelihood of known pairs.

As the findings of registration tell it, and the question of blind registration.
"""

from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from embedlab.estimates import Estimate, Finding, claim
from embedlab.maths.clouds.trials import AFTER, IMAGE, PROCRUSTES

NEAR = 0.9
"""Near known pairs is what comes this far from chance to them."""


class Registered(Protocol):
    """What a registration over several fits says: `embedlab.analyses.registration.Registration`."""

    @property
    def title(self) -> str:
        """What was registered onto what."""

    @property
    def spaces(self) -> tuple[str, ...]:
        """On which axes."""

    @property
    def fit_space(self) -> Int[np.ndarray, " fits"]:
        """The place in ``spaces`` of each fit."""

    @property
    def fit_likelihood(self) -> Float[np.ndarray, "fits 3"]:
        """Log-likelihood an image as registered, from known pairs on, and from wrong ones; or NaN."""

    def of(self, what: str, how: str, space: int) -> Estimate:
        """Give a figure of a map on the axes of that place."""


def unfound(r: Registered, space: int) -> tuple[float, float, float] | None:
    """Hold the likelihood of known pairs against the best that was to be had without them.

    Without them that is what was found or, where that is likelier, what wrong pairs lead to: they say how
    likely a fit pairs make of clouds that have nothing in common.

    Returns
    -------
    Both, means over fits, and the p of their difference by a paired t-test over fits. None where there is no
    likelihood, or registration comes near what known pairs find.
    """
    from scipy.special import stdtr

    rows = r.fit_likelihood[r.fit_space == space].astype(np.float64)
    known, after = (r.of(IMAGE, how, space) for how in (PROCRUSTES, AFTER))
    chance = after.null or 0.0
    if not np.isfinite(rows).all() or after.value - chance >= NEAR * (known.value - chance):
        return None
    found, paired, wrong = rows.mean(axis=0)
    gaps = rows[:, 1] - rows[:, 0 if found >= wrong else 2]
    spread = float(gaps.std(ddof=1)) / len(gaps) ** 0.5
    p = 2 * float(stdtr(len(gaps) - 1, -abs(gaps.mean()) / spread)) if spread else 1.0
    return float(paired), float(max(found, wrong)), p if gaps.mean() > 0 else 1.0


def missed(r: Registered, space: int) -> list[Finding]:
    """Say whether what registration did not find was there to be seen."""
    held = unfound(r, space)
    if held is None:
        return []
    (known, other, p), where = held, f"{r.spaces[space]} of {r.title}"
    told = f"(log-likelihood an image {known:.1f} from known pairs on, {other:.1f} at best without)"
    return [
        claim(
            f"The correspondence on {where} is identifiable, though not surely found {told}.",
            f"Whether the correspondence on {where} is identifiable is open {told}.",
            p,
            family="difference",
        )
    ]
