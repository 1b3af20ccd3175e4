"""The compiled inner loop of ``_coherence``: apart, because importing numba takes a second."""

import numpy as np

from embedlab.maths._compiled import compiled, part
from embedlab.maths.clouds._expectation_loops import exp2


@part(fastmath=True)
def _line(line: np.ndarray) -> None:
    for i in range(len(line)):
        power = line[i]
        line[i] = exp2(power if power < 0 else power - power)


@compiled(nogil=True)
def powers(block: np.ndarray) -> None:
    """Raise two to each element of ``block``, in place; what rounding left above zero becomes one."""
    for i in range(len(block)):
        _line(block[i])
