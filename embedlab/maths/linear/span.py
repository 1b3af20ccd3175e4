"""The space that rows span, so that few rows of many numbers cost what few numbers would.

Inner products, distances, and whatever follows from them alone stay as they are, to rounding, where all rows
are brought to coordinates along orthonormal axes of the space that they span: at most as many axes as rows.
What looks at single coordinates does not.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def basis_of(*clouds: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d k"] | None:
    """Give orthonormal axes, as columns, that the rows of all clouds together lie along.

    Parameters
    ----------
    clouds
        Rows, of shape (n, d) each and of one d.

    Returns
    -------
    As many axes as there are rows; None where these are no fewer than dimensions, so that nothing is gained.
    """
    if sum(map(len, clouds)) >= clouds[0].shape[1]:
        return None
    rows = np.concatenate([cloud.astype(np.float64) for cloud in clouds])
    return np.linalg.qr(rows.T)[0]


def within_span(*clouds: Float[np.ndarray, "n d"]) -> Sequence[Float[np.ndarray, "n k"]]:
    """Bring clouds to common axes that all of their rows lie along; as they are where that gains nothing."""
    basis = basis_of(*clouds)
    return clouds if basis is None else [cloud.astype(np.float64) @ basis for cloud in clouds]
