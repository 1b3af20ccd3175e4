"""Twins: spaces that differ in noise alone, as noisy as real ones."""

import dataclasses

import numpy as np
import pytest

from embedlab.maths.space.kept import agreement, kept, means, nearest_people
from embedlab.maths.space.twins import Twins
from tests.spaces import images, unit


@pytest.fixture
def places():
    return np.random.default_rng(1).normal(size=(300, 24))


@pytest.mark.parametrize(("noise", "common"), [((0.4, 0.4), 0.0), ((0.3, 0.8), 0.0), ((0.4, 0.4), 0.9)])
def test_twins_agree_as_two_spaces_do_that_differ_in_noise_alone(places, noise, common):
    rng = np.random.default_rng(0)
    first = rng.normal(size=(1200, 24))
    second = common * first + np.sqrt(1 - common**2) * rng.normal(size=(1200, 24))
    owners = np.repeat(np.arange(300), 4)
    a, b = (
        unit(places[owners] + size * more).astype(np.float32)
        for size, more in zip(noise, (first, second), strict=True)
    )
    real = agreement(a, b, owners, 10, 10, 6, rng)
    same = kept(*(nearest_people(means(x, owners), 10, rng) for x in (a, b)))[:, -1].mean()
    levels = real.within[:, :, 9].mean(axis=1)
    twins = Twins.of(a, owners).matched((levels[0], levels[1]), same, 10, rng)
    found = twins.agreement(10, 10, 6, rng)
    assert found.within[:, :, 9].mean(axis=1) == pytest.approx(levels, abs=0.02)
    assert found.across[:, 9].mean() == pytest.approx(real.across[:, 9].mean(), abs=0.02)
    assert twins.shared == pytest.approx(common, abs=0.25)
    assert (twins.sizes[1] > 1.5 * twins.sizes[0]) == (noise[1] > noise[0])


def test_noise_is_the_same_whether_a_person_has_two_images_or_nine(places):
    owners = np.repeat(np.arange(300), [2, 9] * 150)
    rows = unit(places)[owners] + 0.1 * np.random.default_rng(0).normal(size=(len(owners), 24))
    squares = (Twins.of(rows, owners).residuals ** 2).mean(axis=1)
    many = owners % 2 == 1
    assert squares[many].mean() == pytest.approx(0.01, rel=0.05)
    assert squares[~many].mean() == pytest.approx(0.01, rel=0.05)


def test_twins_of_a_space_without_any_noise_left_stay_as_they_are(places):
    rows, owners = images(places, 3, 0.2, 0)
    twins = Twins.of(rows, owners).matched((1.0, 1.0), 1.0, 10, np.random.default_rng(0))
    assert twins.sizes == (0.0, 0.0)
    noisy = Twins.of(rows, owners).matched((0.0, 0.0), 0.0, 10, np.random.default_rng(0))
    assert noisy.sizes == (100.0, 100.0)
    assert noisy.shared == pytest.approx(0.0, abs=1e-12)
    assert dataclasses.replace(noisy, sizes=(0.0, 0.0)).agreement(
        10, 10, 1, np.random.default_rng(0)
    ).across.mean() == pytest.approx(1.0)
