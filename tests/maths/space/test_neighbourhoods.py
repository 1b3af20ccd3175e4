"""Neighbourhoods of two spaces beside those of twins: means over people."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from embedlab.maths import reused
from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space import neighbourhoods
from embedlab.maths.space.kept import agreement
from embedlab.maths.space.neighbourhoods import AtK, Photographs, beside_twins, resampled_means
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


def test_twins_that_were_drawn_are_used_again_and_drawn_on(monkeypatch):
    rng = np.random.default_rng(0)
    places = rng.normal(size=(40, 12))
    (a, owners), (b, _) = (images(places, 4, 0.6, [0, side]) for side in (0, 1))
    there = Photographs(np.arange(40).astype(str), a, b, owners, np.arange(160).astype(str), 40)
    params = SimpleNamespace(k=5, splits=2, twins=1, seed=0)
    fresh = {values: beside_twins(there, params, values) for values in (40, 120, 80)}
    with reused.Kept().in_use():
        again = {40: beside_twins(there, params, 40)}
        monkeypatch.setattr(neighbourhoods, "agreement", None)  # The real spaces are not compared again.
        again |= {values: beside_twins(there, params, values) for values in (120, 80)}
    assert [len(one.alike) for one in again.values()] == [1, 3, 2]
    for values, expected in fresh.items():
        np.testing.assert_equal(dataclasses.asdict(again[values]), dataclasses.asdict(expected))


@pytest.mark.parametrize("differs", [{"k": 4}, {"splits": 1}, {"seed": 1}])
def test_twins_are_drawn_anew_where_anything_differs(differs):
    rng = np.random.default_rng(0)
    (a, owners), (b, _) = (images(rng.normal(size=(20, 8)), 4, 0.6, [0, side]) for side in (0, 1))
    there = Photographs(np.arange(20).astype(str), a, b, owners, np.arange(80).astype(str), 20)
    params = {"k": 5, "splits": 2, "twins": 1, "seed": 0}
    with reused.Kept().in_use():
        first = beside_twins(there, SimpleNamespace(**params), 20)
        assert beside_twins(there, SimpleNamespace(**params), 20).real is first.real
        assert beside_twins(there, SimpleNamespace(**params | differs), 20).real is not first.real
        turned = dataclasses.replace(there, a=there.b, b=there.a)
        assert beside_twins(turned, SimpleNamespace(**params), 20).real is not first.real
