from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import genpareto

from embedlab.maths.pairs import tails
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.people.bootstrap import resamples


@pytest.mark.parametrize("shape", [-0.3, -0.1, 0.0, 0.2])
def test_parameters_are_those_that_scipy_finds(shape):
    x = genpareto.rvs(shape, scale=0.03, size=3000, random_state=0)
    found = np.array(tails.parameters(x, np.ones((1, len(x)))))[:, 0]
    expected_shape, _, expected_scale = genpareto.fit(x, floc=0)
    np.testing.assert_allclose(found[0], expected_shape, atol=2e-3)
    np.testing.assert_allclose(found[1], expected_scale, rtol=2e-3)


def test_a_weight_of_two_is_a_score_that_stands_twice():
    x = genpareto.rvs(-0.2, size=500, random_state=1)
    weights = np.where(np.arange(500) < 100, 2.0, 1.0)[None]
    twice = np.r_[x, x[:100]]
    np.testing.assert_allclose(
        np.array(tails.parameters(x, weights)), np.array(tails.parameters(twice, np.ones((1, 600))))
    )


def test_a_weighting_that_weighs_nothing_has_no_fit():
    x = genpareto.rvs(-0.2, size=200, random_state=1)
    shape, scale = tails.parameters(x, np.zeros((1, 200)))
    assert np.isnan([shape[0], scale[0]]).all()


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2])
def test_shares_beyond_and_thresholds_are_each_others_inverse_and_scipys(shape):
    fit = tails.Fit(0.4, 500, np.array([0.01]), np.array([shape]), np.array([0.05]), 1.0)
    rates = np.array([1e-3, 1e-6, 1e-9])
    found = fit.threshold(rates)[0]
    start = tails.stretched(np.array(0.4))
    expected = start + genpareto.isf(rates / 0.01, shape, scale=0.05)
    np.testing.assert_allclose(tails.stretched(found), expected)
    np.testing.assert_allclose(fit.beyond(found)[0], rates)


def test_beyond_the_end_of_a_tail_there_is_nothing():
    assert tails.survival(np.array([1.0]), np.array([-0.5]), np.array([0.1]))[0, 0] == 0


def sphere(people, dimension, seed):
    rows = np.random.default_rng(seed).normal(size=(people, dimension))
    return (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)


def test_of_vectors_drawn_evenly_the_fit_mostly_holds():
    p = []
    for seed in range(40):
        pairs = all_pairs(sphere(150, 24, seed), np.arange(150))
        fit = tails.fitted(pairs, resamples(150, 200, 0), 500)
        p.append((fit.p, fit.steady_p))
    assert (np.mean(np.array(p) < 0.1, axis=0) <= 0.2).all()
    assert (np.mean(np.array(p) < 0.7, axis=0) >= 0.3).all()


def test_where_some_are_pairs_of_one_person_the_fit_does_not_hold():
    rows = sphere(300, 24, 0)
    rows[100:200] = rows[:100] + 0.02 * rows[200:300]
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    found = tails.fitted(all_pairs(rows, np.arange(300)), resamples(300, 200, 0), 1000)
    assert not found.holds
    assert found.steady_p < 0.05


def test_too_few_pairs_have_no_fit():
    assert tails.fitted(all_pairs(sphere(20, 8, 0), np.arange(20)), resamples(20, 20, 0), 5000) is None
    same = np.ones((200, 4), np.float32) / 2
    assert tails.fitted(all_pairs(same, np.arange(200)), resamples(200, 20, 0), 5000) is None


def test_of_suspects_all_pairs_of_two_people_leave_the_tail():
    rows = np.repeat(sphere(60, 8, 0), 2, axis=0)
    pairs = all_pairs(rows, np.repeat(np.arange(60), 2))
    found = tails.without(pairs, 3)
    assert len(pairs.tail_scores) - len(found.tail_scores) == 12
    assert found.tail_scores[0] == pairs.tail_scores[12]
    assert len(tails.without(pairs, 0).tail_scores) == len(pairs.tail_scores)


def test_a_tail_as_heavy_as_no_faces_make_does_not_hold():
    usual = tails.Fit(0.4, 500, np.array([0.01]), np.array([0.0]), np.array([0.05]), 1.0)
    assert usual.holds
    for change in ({"shape": np.array([0.3])}, {"p": 0.01}, {"steady_p": 0.01}):
        assert not replace(usual, **change).holds


def test_the_scale_of_scores_has_no_end_but_theirs():
    scores = np.array([-0.9, -0.2, 0.0, 0.3, 0.99])
    found = tails.stretched(scores)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found, np.sign(scores) * -np.log(1 - scores**2))
    assert np.isfinite(tails.stretched(np.array([1.0])))
