"""How many people a figure really rests on, where some have far more pairs than others.

A person with n images has n(n − 1)/2 genuine pairs: of the 1,680 people with pairs in Labeled Faces in the
Wild one holds 58 % of all. The *effective number* is that of as many people of equal shares whose mean
would be as uncertain [1]_.

References
----------
.. [1] Kish, L. Survey Sampling. Wiley, 1965.
"""

import numpy as np
from jaxtyping import Float, Int

LEAST = 50
"""Below this many effective people a report warns: so few were too few for intervals in simulations."""


def effective_number(masses: Float[np.ndarray, " people"]) -> float:
    """Give (Σm)²/Σm² of what each person weighs; 0 where nobody weighs anything.

    Parameters
    ----------
    masses
        What each person's pairs weigh together, as ``Pairs.genuine_masses`` gives it.

    Returns
    -------
    Between 1 and the number of people who weigh something; that number where all weigh the same.
    """
    masses = np.asarray(masses, np.float64)
    squares = float(masses @ masses)
    return float(masses.sum()) ** 2 / squares if squares > 0 else 0.0


def ruling(
    masses: Float[np.ndarray, " people"], most: int = 3
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Find who weighs the most: people whose share is at least twice that of an equal one.

    Returns
    -------
    At most ``most`` people, the heaviest first, and their shares of the whole.
    """
    masses = np.asarray(masses, np.float64)
    whole, there = float(masses.sum()), np.count_nonzero(masses)
    order = np.argsort(-masses, kind="stable")[:most]
    heavy = order[masses[order] * there >= 2 * whole] if whole > 0 else order[:0]
    return heavy, masses[heavy] / (whole or 1.0)
