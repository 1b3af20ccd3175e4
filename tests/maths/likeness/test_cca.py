"""SVCCA, PWCCA and Procrustes: what published code gives, plain forms, how weights move them."""

import numpy as np
import pytest

from embedlab.maths.likeness import cca
from embedlab.maths.likeness.halves import Cross, Halves
from embedlab.maths.likeness.similarity import PROCRUSTES, PWCCA, SVCCA
from tests.spaces import example


def test_the_angle_is_that_of_netrep_fitted_and_held_out():
    """ahwillia/netrep 3059f54, LinearMetric(alpha=1.0, score_method="angular"), fit on one half each."""
    x, y = example()
    half = np.repeat([0, 1], 30)
    a, b = Halves.of(x, half), Halves.of(y, half)
    turns = cca.turns(a, b, Cross.of(a, b))
    np.testing.assert_allclose(
        np.arccos([turn.cosine for turn in turns]), [0.7153796568089195, 0.7349490057068093], rtol=1e-12
    )
    whole = np.zeros(60, int)
    both = [Halves.of(np.concatenate([rows, rows]), np.r_[whole, whole + 1]) for rows in (x, y)]
    fits = cca.turns(*both, Cross.of(*both))
    assert np.arccos(cca.procrustes(fits).value) == pytest.approx(0.7065077464093362, rel=1e-12)


def test_canonical_correlations_are_those_of_a_plain_cca():
    x, y = example()
    half = np.repeat([0, 1], 30)
    a, b = Halves.of(x, half), Halves.of(y, half)
    fits = cca.canonical(a, b, Cross.of(a, b), cca.whitenings(a, 1.0), cca.whitenings(b, 1.0))
    one, other = (np.linalg.qr(rows[:30] - rows[:30].mean(axis=0))[0] for rows in (x, y))
    np.testing.assert_allclose(fits[0].in_sample, np.linalg.svd(one.T @ other)[1], rtol=1e-10)
    judged = [
        np.corrcoef(x[30:] @ p, y[30:] @ q)[0, 1] for p, q in zip(fits[0].a.T, fits[0].b.T, strict=True)
    ]
    np.testing.assert_allclose(fits[0].correlations, judged, rtol=1e-10)


def test_svcca_keeps_the_components_that_carry_the_share_asked_for():
    space = Halves.of(np.random.default_rng(0).normal(size=(400, 4)) * [10, 5, 1, 0.1], np.arange(400) % 2)
    assert [w.shape[1] for w in cca.whitenings(space, 0.99)] == [2, 2]
    for scatter, directions in zip(space.scatters, cca.whitenings(space, 1.0), strict=True):
        np.testing.assert_allclose(directions.T @ scatter @ directions, np.eye(4), atol=1e-9)


@pytest.mark.parametrize("name", [SVCCA, PWCCA, PROCRUSTES])
def test_rows_move_fitted_measures_as_their_weight_says(name):
    """Whoever counts twice in both halves' judgement moves it by the influence, less its √2."""
    x, y = example()
    half = np.repeat([0, 1], 30)
    a, b = Halves.of(x, half), Halves.of(y, half)
    cross = Cross.of(a, b)
    if name == PROCRUSTES:
        fits = cca.turns(a, b, cross)
        gradient = cca.turn_gradient(a, b, fits)
    else:
        fits = cca.canonical(a, b, cross, cca.whitenings(a, 0.99), cca.whitenings(b, 0.99))
        weights = tuple(fit.even if name == SVCCA else fit.weights for fit in fits)
        gradient = cca.correlation_gradient(a, b, fits, weights)

    def judged(w):
        values = []
        for fit in (0, 1):
            mine = half == 1 - fit
            v, one = w[mine], fits[fit]
            if name == PROCRUSTES:
                p, q = (a.rows[mine] - a.means[fit]) @ one.rotation, b.rows[mine] - b.means[fit]
                inner, own, other = ((v[:, None] * s).sum() for s in (p * q, 0 * p, q**2))
                own = (v[:, None] * (a.rows[mine] - a.means[fit]) ** 2).sum()
                values.append(inner / np.sqrt(own * other))
                continue
            p, q = a.rows[mine] @ one.a, b.rows[mine] @ one.b
            p, q = p - np.average(p, 0, v), q - np.average(q, 0, v)
            r = (v @ (p * q)) / np.sqrt((v @ p**2) * (v @ q**2))
            values.append(r @ weights[fit])
        return np.mean(values)

    direction = np.random.default_rng(0).normal(size=60)
    slope = (judged(1 + 1e-5 * direction) - judged(1 - 1e-5 * direction)) / 2e-5
    assert gradient @ direction == pytest.approx(slope * np.sqrt(2), rel=1e-4)


def test_spaces_of_unlike_dimensions_turn_as_if_filled_up_with_zeros():
    x, y = example()
    half = np.repeat([0, 1], 30)
    wide = np.c_[y, np.zeros((60, 1))]
    values = []
    for other in (y, wide):
        a, b = Halves.of(x, half), Halves.of(other, half)
        values.append(cca.procrustes(cca.turns(a, b, Cross.of(a, b))).value)
    assert values[0] == pytest.approx(values[1], rel=1e-10)
