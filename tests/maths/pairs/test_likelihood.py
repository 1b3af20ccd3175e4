"""Likelihood ratios are those of known laws, and their costs those of the pairs written out."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from embedlab.maths.pairs import likelihood
from embedlab.maths.pairs.all_pairs import all_pairs
from embedlab.maths.pairs.likelihood import Weighed
from tests.planted import uneven


def gaussians(n=4000, gap=1.5, seed=0):
    """Scores of N(±gap, 1), whose LLR is 2 · gap · score."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(gap, size=n), rng.normal(-gap, size=3 * n)])
    same = np.arange(4 * n) < n
    return scores, same, Weighed.made(scores, same * 1.0, ~same * 1.0)


def test_cost_is_that_of_the_pairs_written_out():
    """The formula of Brümmer and du Preez, a pair at a time, in base two."""
    scores, same, weighed = gaussians(200)
    llr = 2.2 * weighed.scores - 0.3
    genuine = [math.log2(1 + math.exp(-(2.2 * s - 0.3))) for s in scores[same]]
    impostor = [math.log2(1 + math.exp(2.2 * s - 0.3)) for s in scores[~same]]
    right = (math.fsum(genuine) / len(genuine) + math.fsum(impostor) / len(impostor)) / 2
    assert likelihood.cllr(llr, weighed) == pytest.approx(right, abs=1e-12)
    assert likelihood.cllr(0 * llr, weighed) == pytest.approx(1)


@pytest.mark.parametrize("weigh", ["people", "pairs"])
def test_binned_impostors_cost_what_the_pairs_do(weigh):
    """Within a millionth, at an LLR as steep as that of a real network."""
    a = uneven([1, 3, 2, 4, 5] * 12, noise=0.8, dimension=32)
    weighed = Weighed.of(all_pairs(a.unit, a.labels, weigh=weigh))
    has = np.bincount(a.labels)
    i, j = np.triu_indices(len(a.items), 1)
    llr = 30 * (a.unit.astype(np.float64) @ a.unit.T.astype(np.float64))[i, j] - 8
    one, other = a.labels[i], a.labels[j]
    weight = 1 / (has[one] * has[other]) if weigh == "people" else np.ones(len(i))
    genuine = one == other
    if weigh == "people":
        weight[genuine] = 2 / (has[one] * (has[one] - 1))[genuine]
    right = np.average(np.log2(1 + np.exp(-llr[genuine])), weights=weight[genuine]) / 2
    right += np.average(np.log2(1 + np.exp(llr[~genuine])), weights=weight[~genuine]) / 2
    assert likelihood.cllr(30 * weighed.scores - 8, weighed) == pytest.approx(right, abs=1e-6)


def test_the_line_of_known_gaussians_is_found_and_costs_what_theory_says():
    _, _, weighed = gaussians(100_000)
    slope, offset = likelihood.logistic(weighed)
    assert slope == pytest.approx(3, rel=0.02)
    assert offset == pytest.approx(0, abs=0.05)
    right = quad(lambda s: norm.pdf(s, 1.5) * np.log2(1 + np.exp(-3 * s)), -9, 12)[0]
    assert likelihood.cllr(slope * weighed.scores + offset, weighed) == pytest.approx(right, rel=0.02)
    assert likelihood.least_cllr(weighed) == pytest.approx(right, rel=0.02)
    starts, llr = likelihood.isotonic(weighed)
    for score in (-1.0, -0.5, 0.0, 0.5, 1.0):
        assert llr[np.searchsorted(starts, score, side="right") - 1] == pytest.approx(3 * score, abs=0.3)


def test_the_line_is_that_of_another_logistic_regression():
    scores, same, weighed = gaussians(300, gap=0.8)
    weights = np.where(same, 1 / same.sum(), 1 / (~same).sum())
    peer = LogisticRegression(C=1e9, tol=1e-12, max_iter=1000).fit(scores[:, None], same, weights * 1e3)
    found = likelihood.logistic(weighed)
    assert found == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), abs=1e-4)


def test_the_steps_are_those_of_another_isotonic_regression():
    scores, same, weighed = gaussians(300, gap=0.4)
    scores, same = np.round(scores, 1), same  # Many ties.
    weighed = Weighed.made(scores, same * 1.0, ~same * 1.0)
    weights = np.where(same, 1 / same.sum(), 1 / (~same).sum())
    peer = IsotonicRegression().fit(scores, same.astype(float), weights)
    np.testing.assert_allclose(likelihood.pooled(weighed), peer.predict(weighed.scores), atol=1e-9)


def test_lines_of_many_weighings_are_those_fitted_one_by_one():
    weighed = gaussians(150, gap=0.8)[-1]
    rng = np.random.default_rng(3)
    drawn = [rng.multinomial(150, side, size=20) / 150 for side in (weighed.genuine, weighed.impostor)]
    line = likelihood.logistic(weighed)
    found = likelihood.logistic_of_each(line, weighed.scores, *drawn)
    right = [likelihood.logistic(Weighed(weighed.scores, g, i, (1, 1))) for g, i in zip(*drawn, strict=True)]
    np.testing.assert_allclose(found, right, atol=2e-4)
    assert np.std(found[:, 0]) > 0.05
    drawn[0][7] = np.nan
    found = likelihood.logistic_of_each(line, weighed.scores, *drawn)
    assert found[7] == pytest.approx(line), "nobody is in it"
    np.testing.assert_allclose(np.delete(found, 7, 0), np.delete(right, 7, 0), atol=2e-4)


def test_a_weighing_that_parts_everybody_has_a_steep_and_finite_line():
    scores, genuine = np.linspace(0, 1, 9), np.arange(9) > 4
    rows = np.array([genuine / genuine.sum(), np.ones(9) / 9]), np.array([~genuine / 5, np.ones(9) / 9])
    steep, flat = likelihood.logistic_of_each((3.0, -1.5), scores, *rows)
    assert 20 < steep[0] < 1e5
    assert -steep[1] / steep[0] == pytest.approx(0.5, abs=0.1)
    assert flat == pytest.approx((0, 0), abs=1e-6)
    same = likelihood.logistic_of_each((0.0, 0.0), np.full(9, 0.3), *rows)
    assert (same == 0).all()


def test_no_line_or_step_is_worth_more_than_the_least():
    for seed in range(5):
        _, _, weighed = gaussians(100, gap=0.5, seed=seed)
        slope, offset = likelihood.logistic(weighed)
        least = likelihood.least_cllr(weighed)
        assert 0 < least <= likelihood.cllr(slope * weighed.scores + offset, weighed) <= 1
        starts, llr = likelihood.isotonic(weighed)
        risen = llr[np.searchsorted(starts, weighed.scores, side="right") - 1]
        assert least <= likelihood.cllr(risen, weighed)


def test_scores_that_part_everybody_or_nobody_give_finite_ratios():
    parted = Weighed.made(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0, 1, 1]), np.array([1.0, 1, 0, 0]))
    slope, offset = likelihood.logistic(parted)
    assert 0 < slope < 1e4
    assert likelihood.cllr(slope * parted.scores + offset, parted) < 1e-3
    _, llr = likelihood.isotonic(parted)
    assert np.isfinite(llr).all()
    # One more impostor above both genuine pairs: these are no likelier than two to one.
    assert llr.max() == pytest.approx(np.log((2 / 2) / (1 / 2)), abs=0.5)
    same = Weighed.made(np.full(4, 0.3), np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, 1]))
    assert likelihood.logistic(same) == (0, 0)
    assert likelihood.least_cllr(same) == pytest.approx(1)


def test_calibration_error_is_that_of_the_bins_written_out():
    _, _, weighed = gaussians(300, gap=0.7)
    llr = 2.5 * weighed.scores + 0.4
    counted = likelihood.reliability(llr, weighed.genuine, weighed.impostor, 10)
    p, right = 1 / (1 + np.exp(-llr)), 0.0
    for k in range(10):
        mine = (p >= k / 10) & (p < (k + 1) / 10)
        mass = (weighed.genuine + weighed.impostor)[mine] / 2
        right += abs((mass * p[mine]).sum() - weighed.genuine[mine].sum() / 2)
    assert likelihood.calibration_error(counted) == pytest.approx(right)
    assert counted[0].sum() == pytest.approx(1)
    rows = [np.stack([side, side]) for side in (weighed.genuine, weighed.impostor)]
    assert likelihood.calibration_error(likelihood.reliability(llr, *rows, 10)) == pytest.approx([right] * 2)
    two = likelihood.reliability(np.stack([llr, 0 * llr]), *rows, 10)
    assert two[:, 0] == pytest.approx(counted)
    assert np.flatnonzero(two[0, 1]).tolist() == [5], "all pairs are promised one half"


def test_vectors_that_are_all_alike_differ_by_rounding_alone():
    a = uneven([3] * 20)
    unit = np.full_like(a.unit, 0.25)
    weighed = Weighed.of(all_pairs(unit, a.labels, weigh="people"))
    assert likelihood.logistic(weighed) == (0, 0)
    assert likelihood.least_cllr(weighed) == pytest.approx(1)
