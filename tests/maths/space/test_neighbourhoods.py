"""Neighbourhoods of two spaces beside those of twins: means over people."""

import numpy as np
import pytest

from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space.kept import agreement
from embedlab.maths.space.neighbourhoods import AtK, resampled_means
from tests.spaces import images


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


def test_intervals_of_what_is_kept_are_about_as_long_as_they_should_be():
    """1.3 times; where who joins a list displaces nobody they were half as long again."""
    values, spreads, counts = [], [], resamples(80, 100, 0)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        places = rng.normal(size=(80, 12))
        (a, owners), (b, _) = (images(places, 4, 0.6, [seed, side]) for side in (0, 1))
        means, draws = resampled_means([AtK.of(agreement(a, b, owners, 8, 8, 2, rng), 8)] * 2, counts)
        values.append(means[0])
        spreads.append(draws[0].std(axis=1))
    ratio = np.mean(spreads, axis=0) / np.std(values, axis=0)
    assert 0.85 < ratio.mean() < 1.7
