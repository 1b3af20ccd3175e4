"""Leaving groups of people out: the spread it gives is the true one."""

import numpy as np
import pytest

from embedlab.maths.likeness.jackknife import GROUPS, groups_of, influence, left_out


def spread(statistic, values, group):
    whole = statistic(np.zeros(len(values), bool))
    moved = influence(whole[0], left_out(statistic, group)[0], group)
    return np.sqrt(((moved - moved.mean()) ** 2).sum())


@pytest.mark.parametrize("people", [12, 20, 400])
def test_the_spread_of_a_mean_is_its_standard_error(people):
    """But for Student's t, and where groups are of many, for chance."""
    values = np.random.default_rng(0).normal(size=people)
    group = groups_of(people, 0)
    found = spread(lambda gone: (float(values[~gone].mean()),), values, group)
    student = 1.123 if people == 12 else 1.068
    error = values.std() / np.sqrt(people - 1)
    assert found == pytest.approx(student * error, rel=0.05 if people <= GROUPS else 0.3)


def test_what_two_people_do_together_counts_about_once():
    """Of a sum over pairs of unrelated people the plain jackknife has 2.3 times the variance."""
    found = []
    for seed in range(40):
        x = np.random.default_rng(seed).normal(size=60)

        def statistic(gone, x=x):
            y = x[~gone]
            return (float((y.sum() ** 2 - (y**2).sum()) / (len(y) * (len(y) - 1))),)

        found.append(spread(statistic, x, groups_of(60, 0)) ** 2)
    assert 1 < np.mean(found) / (2 / (60 * 59)) < 1.9


def test_people_outside_have_no_part():
    moved = influence(1.0, np.array([[1.0, 1.2, 0.8], [1.1, 0.9, 1.0]]), np.array([-1, 0, 1, 2, -1]))
    assert moved[[0, 4]].tolist() == [0, 0]
    assert np.abs(moved[1:4]).sum() > 0
