"""SVCCA, PWCCA and Procrustes: what published code gives, plain forms, how weights move them."""

import numpy as np
import pytest

from embedlab.maths.likeness import cca
from embedlab.maths.likeness.moments import Cross, Halves
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


def test_spaces_of_unlike_dimensions_turn_as_if_filled_up_with_zeros():
    x, y = example()
    half = np.repeat([0, 1], 30)
    wide = np.c_[y, np.zeros((60, 1))]
    values = []
    for other in (y, wide):
        a, b = Halves.of(x, half), Halves.of(other, half)
        values.append(cca.procrustes(cca.turns(a, b, Cross.of(a, b))).value)
    assert values[0] == pytest.approx(values[1], rel=1e-10)
