from dataclasses import dataclass

import numpy as np
import pytest
from jaxtyping import Float, Int

from embedlab.shapes import check_shapes


@dataclass
class Histogram:
    edges: Float[np.ndarray, " bins+1"]
    counts: Int[np.ndarray, " bins"]
    name: str = ""


def test_fields_that_agree_pass():
    check_shapes(Histogram(np.zeros(4), np.zeros(3, int)))


@pytest.mark.parametrize(
    ("edges", "counts", "wrong"),
    [
        (np.zeros(3), np.zeros(3, int), "edges is float64"),
        (np.zeros(4), np.zeros(3), "counts is float64"),
        (np.zeros((2, 2)), np.zeros(3, int), "edges is float64"),
        ([0.0], np.zeros(3, int), "edges is <class 'list'>"),
    ],
)
def test_a_wrong_field_is_named(edges, counts, wrong):
    with pytest.raises(TypeError, match=f"Histogram.{wrong}"):
        check_shapes(Histogram(edges, counts))
