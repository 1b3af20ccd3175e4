"""Neighbourhoods of two spaces beside those of twins: means over people."""

import numpy as np
import pytest

from embedlab.maths.space.neighbourhoods import AtK, resampled_means


def test_people_are_drawn_as_those_who_have_neighbours_and_as_those_who_are_some():
    rng = np.random.default_rng(0)
    at_k = [AtK(rng.random((3, 5)), rng.random((3, 5))) for _ in range(3)]
    counts = np.array([[1, 1, 1, 1, 1], [3, 0, 1, 1, 0]], np.float32)
    means, draws = resampled_means(at_k, counts)
    twin = (at_k[1].rows + at_k[2].rows + at_k[1].columns + at_k[2].columns) / 2
    for side, both in enumerate((at_k[0].rows + at_k[0].columns, twin)):
        assert draws[side, :, 0] == pytest.approx(means[side])
        more = (2 * both[:, 0] - both[:, 1] - both[:, 4]) / 5
        assert draws[side, :, 1] == pytest.approx(means[side] + more)
    assert means[0] == pytest.approx(at_k[0].rows.mean(axis=1))
