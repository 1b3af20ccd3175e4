import math
import warnings

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from embedlab.maths.clouds._cpd_turns import alongside, around, principal
from embedlab.maths.clouds._expectation import expectation, likelihood
from embedlab.maths.clouds.cpd import Settings, affine, frame, log_volume, rigid
from embedlab.maths.linear import procrustes

PLAIN = Settings(
    outliers=0.0,
    standardise=False,
    accelerate=False,
    search=False,
    dtype="float64",
    paper_outliers=True,
    tolerance=0,
)


def people(n, d, draw):
    """An embedding-like cloud: ten images about each centre, axes of unlike width."""
    centres = draw.normal(size=(max(n // 10, 1), d)) * np.linspace(1.3, 0.8, d)
    return centres[draw.integers(len(centres), size=n)] + 0.35 * draw.normal(size=(n, d))


def turn(d, degrees, draw):
    basis = np.linalg.qr(draw.normal(size=(d, d)))[0]
    if np.linalg.det(basis) < 0:
        basis[:, 0] *= -1
    angle, plane = np.radians(degrees), np.eye(d)
    plane[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    return basis @ plane @ basis.T


def planted(n, d, degrees, *, noise=0.0, seed=0, scale=1.7):
    """Sources, targets row for row, the order targets are given in, the rotation and the shift."""
    draw = np.random.default_rng(seed)
    y = people(n, d, draw)
    rotation, shift = turn(d, degrees, draw), 5 * draw.normal(size=d)
    x = scale * y @ rotation + shift + noise * scale * y.std() * draw.normal(size=(n, d))
    return y, x, draw.permutation(n), rotation, shift


def rmse(a, b):
    return np.sqrt(((a - b) ** 2).sum(axis=1).mean())


def pycpd():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return pytest.importorskip("pycpd")


# Planted truths


@pytest.mark.parametrize("d", [2, 3, 16, 128])
@pytest.mark.parametrize("degrees", [0, 40])
def test_rotation_scale_and_shift_are_recovered_in_any_dimension(d, degrees):
    y, x, order, rotation, shift = planted(400, d, degrees)
    found = rigid(x[order], y)
    assert found.converged
    assert found.reason == "the variance is at its floor: the clouds coincide"
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-9)
    np.testing.assert_allclose(found.shift, shift, atol=1e-8)
    assert found.scale == pytest.approx(1.7, abs=1e-9)
    np.testing.assert_allclose(found.moved[order], x[order], atol=1e-8)


@pytest.mark.parametrize("d", [2, 3, 16])
def test_any_matrix_is_recovered(d):
    y, _, order, _, shift = planted(400, d, 0)
    matrix = turn(d, 25, np.random.default_rng(1)) @ (
        np.eye(d) + 0.15 * np.random.default_rng(2).normal(size=(d, d))
    )
    found = affine((y @ matrix + shift)[order], y)
    assert found.converged
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-6)
    np.testing.assert_allclose(found.shift, shift, atol=1e-6)
    np.testing.assert_allclose(found.scale, abs(np.linalg.det(matrix)) ** (1 / d), rtol=1e-6)


@pytest.mark.parametrize(("d", "degrees"), [(2, 90), (2, 180), (3, 90), (3, 120), (3, 180)])
def test_turns_of_a_right_angle_and_more_are_found(d, degrees):
    """pycpd ends in a wrong optimum from 90° on."""
    y, x, order, rotation, _ = planted(400, d, degrees)
    np.testing.assert_allclose(rigid(x[order], y).rotation, rotation, atol=1e-6)
    matrix = rotation @ np.diag(np.linspace(1.2, 0.9, d))
    found = affine((y @ matrix)[order], y)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-6)


def test_a_large_turn_is_found_by_trying_turns_and_not_without():
    y, x, order, rotation, _ = planted(400, 3, 180)
    blind = rigid(x[order], y, settings=Settings(search=False))
    assert np.abs(blind.rotation - rotation).max() > 0.5


@pytest.mark.parametrize("noise", [0.1, 0.3])
@pytest.mark.parametrize("degrees", [15, 100])
def test_noisy_clouds_end_within_five_percent_of_procrustes(noise, degrees):
    """pycpd stops after 100 iterations, worse than where it began."""
    y, x, order, _, _ = planted(2000, 3, degrees, noise=noise)
    found = rigid(x[order], y)
    assert found.converged
    assert found.reason == "steps are below the tolerance"
    assert rmse(found.moved, x) < 1.05 * rmse(procrustes.fit(y, x).apply(y), x)


def test_a_registration_maps_new_points():
    y, x, order, rotation, shift = planted(300, 3, 20)
    found = rigid(x[order], y)
    new = np.random.default_rng(9).normal(size=(7, 3))
    np.testing.assert_allclose(found.transform(new), 1.7 * new @ rotation + shift, atol=1e-5)
    np.testing.assert_allclose(found.transform(y), found.moved, atol=1e-12)
    with pytest.raises(ValueError, match=r"shape \(k, 3\), not \(7, 2\)"):
        found.transform(new[:, :2])


def test_a_part_of_the_cloud_finds_its_place_in_the_whole():
    y, x, order, rotation, _ = planted(600, 3, 20)
    found = rigid(x[order], y[: 600 // 2])
    assert np.abs(found.rotation - rotation).max() < 1e-6


# Settings mean the same everywhere


@pytest.mark.parametrize("unit", [0.01, 1e6])
@pytest.mark.parametrize("register", [rigid, affine])
def test_no_setting_has_a_unit(register, unit):
    """pycpd's tolerances are absolute: in other units it stops elsewhere."""
    y, x, order, _, _ = planted(300, 3, 20, noise=0.2)
    settings = Settings(dtype="float64")
    one = register(x[order], y, settings=settings)
    other = register(unit * x[order], unit * y, settings=settings)
    assert other.iterations == pytest.approx(one.iterations, abs=1)
    np.testing.assert_allclose(other.matrix, one.matrix, atol=1e-5)
    assert other.sigma2 == pytest.approx(unit**2 * one.sigma2, rel=1e-4)
    assert other.trace_loglik[-1] + 3 * math.log(unit) == pytest.approx(one.trace_loglik[-1], abs=1e-5)


def test_the_stopping_rule_does_not_depend_on_the_number_of_points():
    """pycpd's objective is a sum over points: twice the points, twice the change."""
    y, x, order, _, _ = planted(300, 3, 20, noise=0.2)
    settings = Settings(search=False)
    once = rigid(x[order], y, settings=settings)
    twice = rigid(np.repeat(x[order], 2, axis=0), np.repeat(y, 2, axis=0), settings=settings)
    assert twice.iterations == pytest.approx(once.iterations, abs=2)
    np.testing.assert_allclose(twice.matrix, once.matrix, atol=1e-4)


def test_the_size_of_a_cloud_is_kept_where_scale_is_off():
    y, x, order, rotation, _ = planted(300, 3, 20, noise=0.1, scale=1.0)
    found = rigid(x[order], y, scale=False)
    assert found.scale == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(found.rotation, rotation, atol=0.03)


def test_sigma2_is_the_residual_where_scale_is_off():
    """pycpd's repository and probreg report 0.56 where 0.09 is left."""
    y, x, order, _, _ = planted(300, 3, 10, noise=0.1, scale=2.0)
    found = rigid(x[order], y, scale=False, settings=Settings(iterations=60, search=False))
    e = expectation(x[order], found.moved, found.sigma2, 0.0)
    squares = ((x[order][:, None] - found.moved) ** 2).sum(axis=2)
    weights = np.exp(-squares / (2 * found.sigma2))
    weights /= weights.sum(axis=1, keepdims=True)
    left = (weights * squares).sum() / (3 * 300)
    assert e.pt1.sum() == pytest.approx(300)
    assert found.sigma2 == pytest.approx(left, rel=0.1)


def test_far_outliers_do_not_ruin_the_fit():
    """Without an outlier term one target in ten far off ruins pycpd's fit: rmse 38."""
    y, x, order, rotation, shift = planted(500, 3, 20)
    x[:50] = 200 * np.random.default_rng(3).normal(size=(50, 3))
    found = rigid(x[order], y)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-3)
    np.testing.assert_allclose(found.shift, shift, atol=1e-2)


def test_far_outliers_do_not_set_the_units():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 500, 3))
    x[:50] *= 1000
    f = frame(x, y)
    assert f.size_x == pytest.approx(1, abs=0.1)
    assert np.abs(f.centre_x).max() < 0.2
    assert log_volume(x) == pytest.approx(3 * np.log(6), abs=0.3)
    np.testing.assert_allclose(f.to_data(f.x), x)
    np.testing.assert_allclose(f.from_data(y), f.y)


def test_the_same_call_gives_the_same_bits():
    y, x, order, _, _ = planted(300, 3, 120, noise=0.2)
    one, other = rigid(x[order], y), rigid(x[order], y)
    assert (one.matrix == other.matrix).all()
    assert (one.trace_sigma2 == other.trace_sigma2).all()


def test_single_and_mixed_precision_end_where_double_does():
    y, x, order, _, _ = planted(500, 3, 20, noise=0.2)
    double, mixed, single = (
        rigid(x[order], y, settings=Settings(dtype=dtype)) for dtype in ("float64", "mixed", "float32")
    )
    np.testing.assert_allclose(mixed.matrix, double.matrix, atol=2e-4)
    np.testing.assert_allclose(single.matrix, double.matrix, atol=2e-4)


# Starts


@pytest.mark.parametrize("degrees", [120, 180])
def test_a_start_may_be_turned_by_any_angle(degrees):
    """pycpd takes 120° and 180° for no rotations."""
    y, x, order, rotation, shift = planted(300, 3, degrees)
    found = rigid(x[order], y, rotation=rotation, size=1.7, shift=shift)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-6)
    near = turn(3, 15, np.random.default_rng(5))
    np.testing.assert_allclose(rigid(x[order], y, rotation=rotation @ near).rotation, rotation, atol=1e-6)
    found = affine(x[order], y, matrix=1.7 * rotation @ near, shift=shift)
    np.testing.assert_allclose(found.matrix, 1.7 * rotation, atol=1e-6)


def test_a_mirrored_cloud_is_matched_only_where_mirroring_is_allowed():
    y, x, order, _, _ = planted(400, 3, 20)
    mirrored = x * [1, 1, -1]
    assert np.linalg.det(rigid(mirrored[order], y).rotation) == pytest.approx(1)
    found = rigid(mirrored[order], y, reflect=True)
    assert np.linalg.det(found.rotation) == pytest.approx(-1)
    np.testing.assert_allclose(found.moved, mirrored, atol=1e-5)
    start = np.diag([1.0, 1.0, -1.0])
    assert np.linalg.det(rigid(mirrored[order], y, reflect=True, rotation=start).rotation) == pytest.approx(
        -1
    )


def test_principal_axes_bring_a_cloud_back_from_any_turn_in_many_dimensions():
    draw = np.random.default_rng(0)
    y = people(500, 16, draw) * np.linspace(2, 0.5, 16)
    y += 0.5 * y**2 / y.std()
    basis = np.linalg.qr(draw.normal(size=(16, 16)))[0]
    basis[:, 0] *= np.sign(np.linalg.det(basis))
    x = (y @ basis)[draw.permutation(500)]
    np.testing.assert_allclose(rigid(x, y).rotation, basis, atol=1e-6)


def test_in_few_dimensions_axes_are_laid_onto_axes_with_each_sign():
    draw = np.random.default_rng(0)
    for d, each in ((2, 2), (3, 4)):
        y = draw.normal(size=(200, d)) * np.linspace(2, 1, d)
        rotation = turn(d, 130, draw)
        turns = alongside(y @ rotation, y, reflect=False)
        assert len(turns) == each
        assert min(np.abs(one - rotation).max() for one in turns) < 1e-9
        assert len(alongside(y @ rotation, y, reflect=True)) == 2 * each


@pytest.mark.parametrize("reflect", [False, True])
def test_signs_of_principal_axes_are_told_by_likelihood_where_clouds_are_not_skew(reflect):
    draw = np.random.default_rng(0)
    half = draw.normal(size=(100, 5)) * np.linspace(2, 1, 5)
    y = np.vstack([half, -half, np.eye(5)])
    rotation = turn(5, 130, draw)
    if reflect:
        rotation[:, 0] *= -1
    x = y @ rotation
    told = []

    def of_squares(squares):
        told.append((squares, likelihood(squares, 5, 0.1, 0.1)))
        return told[-1][1]

    found = principal(x, y, (x, y), of_squares, reflect=reflect)
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    # Distances are kept up to date axis by axis; those of the best signs are of the clouds so turned.
    best = max(told, key=lambda one: one[1])[0]
    np.testing.assert_allclose(best, cdist(x, y @ found, "sqeuclidean"), atol=1e-9)


def test_turns_tried_lie_close_to_any_turn():
    draw = np.random.default_rng(0)
    for d, angle in ((2, 8), (3, 35)):
        for reflect in (False, True):
            tried = np.array(around(d, reflect=reflect))
            assert np.linalg.det(tried).min() == pytest.approx(-1 if reflect else 1)
            for _ in range(300):
                any_turn = turn(d, draw.uniform(0, 360), draw)
                cosines = ((tried * any_turn).sum(axis=(1, 2)) - (d - 2)) / 2
                assert np.degrees(np.arccos(min(cosines.max(), 1))) < angle
    assert around(4, reflect=False) == []


@pytest.mark.parametrize("reflect", [False, True])
def test_on_a_line_there_is_no_turn_but_a_mirroring_to_try(reflect):
    draw = np.random.default_rng(0)
    y = draw.gamma(1.0, size=(120, 1))
    found = rigid(2.0 - 3 * y if reflect else 2.0 + 3 * y, y, reflect=reflect)
    # A dense line is a smooth density, whose scale has an optimum of its own.
    np.testing.assert_allclose(found.matrix, -3.0 if reflect else 3.0, rtol=0.2)


def test_a_cloud_that_looks_alike_from_all_sides_is_not_turned_without_need():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 1500, 3))
    found = rigid(x, y)
    angle = np.degrees(np.arccos((np.trace(found.rotation) - 1) / 2))
    assert angle < 60


# Ends


def test_it_says_why_it_stopped():
    y, x, order, _, _ = planted(300, 3, 20, noise=0.2)
    short = rigid(x[order], y, settings=Settings(iterations=3, search=False))
    assert (short.converged, short.iterations) == (False, 3)
    assert short.reason == "the limit of iterations was reached"
    assert len(short.trace_sigma2) == len(short.trace_loglik) == 3
    none = rigid(x[order], y, settings=Settings(iterations=0, search=False))
    assert none.iterations == 0
    assert not none.converged


def test_the_likelihood_never_falls_though_steps_are_extrapolated():
    y, x, order, _, _ = planted(500, 3, 40, noise=0.3)
    for accelerate in (True, False):
        trace = rigid(x[order], y, settings=Settings(search=False, accelerate=accelerate)).trace_loglik
        assert (np.diff(trace) > -1e-5).all()


def test_extrapolation_ends_where_plain_steps_do_in_fewer():
    y, x, order, _, _ = planted(1000, 3, 15, noise=0.3)
    quick, plain = (
        rigid(x[order], y, settings=Settings(search=False, accelerate=a, iterations=1000, dtype="float64"))
        for a in (True, False)
    )
    assert quick.iterations < 0.5 * plain.iterations
    np.testing.assert_allclose(quick.matrix, plain.matrix, atol=2e-4)


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("register", [rigid, affine])
def test_unrelated_clouds_do_not_blow_up(register, d):
    draw = np.random.default_rng(0)
    found = register(people(400, d, draw), people(300, d, draw))
    assert np.isfinite(found.moved).all()
    assert np.isfinite(found.matrix).all()
    assert np.abs(found.moved).max() < 100
    assert found.sigma2 > 0.01 or not found.converged


def test_each_step_is_told():
    y, x, order, _, _ = planted(200, 3, 20, noise=0.2)
    told = []
    found = rigid(x[order], y, callback=lambda *step: told.append(step))
    assert told[-1][0] == found.iterations
    np.testing.assert_allclose(told[-1][1], found.moved)
    assert told[-1][2] == found.sigma2


# pycpd


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("w", [0.0, 0.1])
def test_rigid_steps_are_pycpds(d, w):
    y, x, order, _, _ = planted(120, d, 20, noise=0.05)
    for iterations in (1, 7, 40):
        theirs = pycpd().RigidRegistration(X=x[order], Y=y, w=w, max_iterations=iterations, tolerance=0)
        start = theirs.sigma2
        moved, (s, r, t) = theirs.register()
        settings = Settings(**{**PLAIN.__dict__, "outliers": w, "sigma2": start, "iterations": iterations})
        ours = rigid(x[order], y, shift=np.zeros(d), size=1.0, settings=settings)
        np.testing.assert_allclose(ours.rotation, r, atol=1e-6)
        np.testing.assert_allclose(ours.shift, np.ravel(t), atol=1e-6)
        assert ours.scale == pytest.approx(s, rel=1e-6)
        np.testing.assert_allclose(ours.moved, moved, atol=1e-6)
        assert ours.sigma2 == pytest.approx(theirs.sigma2, rel=1e-6)


@pytest.mark.parametrize(("d", "w"), [(2, 0.0), (2, 0.1), (3, 0.0), (3, 0.1), (16, 0.0)])
def test_affine_steps_are_pycpds(d, w):
    y, x, order, _, _ = planted(120, d, 20, noise=0.05)
    for iterations in (1, 7, 30):
        theirs = pycpd().AffineRegistration(X=x[order], Y=y, w=w, max_iterations=iterations, tolerance=0)
        start = theirs.sigma2
        moved, (b, _t) = theirs.register()
        settings = Settings(**{**PLAIN.__dict__, "outliers": w, "sigma2": start, "iterations": iterations})
        ours = affine(x[order], y, matrix=np.eye(d), shift=np.zeros(d), settings=settings)
        np.testing.assert_allclose(ours.matrix, b, atol=1e-6)
        np.testing.assert_allclose(ours.moved, moved, atol=1e-5)
        assert ours.sigma2 == pytest.approx(theirs.sigma2, rel=1e-6)


@pytest.mark.parametrize("d", [2, 3])
def test_both_come_to_rest_on_the_same_transform(d):
    y, x, order, _, _ = planted(150, d, 10, noise=0.1)
    s, r, _t = pycpd().RigidRegistration(X=x[order], Y=y, max_iterations=1500, tolerance=1e-12).register()[1]
    settings = Settings(outliers=0.0, dtype="float64", tolerance=1e-10, iterations=500)
    ours = rigid(x[order], y, settings=settings)
    np.testing.assert_allclose(ours.rotation, r, atol=1e-6)
    assert ours.scale == pytest.approx(s, rel=1e-6)
    b, _ = pycpd().AffineRegistration(X=x[order], Y=y, max_iterations=1500, tolerance=1e-12).register()[1]
    np.testing.assert_allclose(affine(x[order], y, settings=settings).matrix, b, atol=1e-5)


# Little, much and odd data


def test_flat_clouds_are_turned_within_what_they_span():
    y, _x, order, _, _ = planted(300, 3, 30)
    flat = y * [1, 1, 0]
    target = (1.7 * flat @ turn(3, 30, np.random.default_rng(8)) + 2)[order]
    for register in (rigid, affine):
        found = register(target, flat)
        assert np.isfinite(found.matrix).all()
        np.testing.assert_allclose(found.moved[order], target, atol=1e-5)
        assert np.linalg.matrix_rank(found.matrix) == 3
    assert np.linalg.det(rigid(target, flat).rotation) == pytest.approx(1)


def test_points_on_a_line_are_matched():
    draw = np.random.default_rng(0)
    along = np.sort(draw.exponential(size=80))[:, None]
    y, x = along * [1.0, 0, 0], along * [0.6, 0.8, 0]
    found = rigid(x, y)
    np.testing.assert_allclose(found.moved, x, atol=1e-5)
    np.testing.assert_allclose(found.rotation[2], [0, 0, 1], atol=0.5)


def test_doubled_points_change_nothing():
    y, x, order, rotation, _ = planted(200, 3, 30)
    found = rigid(np.repeat(x[order], 3, axis=0), y)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(3, 2000), (2000, 3), (2, 2)])
def test_very_unlike_numbers_of_points_give_a_finite_answer(n, m):
    draw = np.random.default_rng(0)
    found = rigid(draw.normal(size=(n, 3)), draw.normal(size=(m, 3)))
    assert np.isfinite(found.moved).all()
    assert found.reason


def test_fewer_points_than_dimensions():
    draw = np.random.default_rng(0)
    y = draw.normal(size=(5, 20))
    found = rigid(y[::-1] + 1, y)
    np.testing.assert_allclose(found.moved, y + 1, atol=1e-5)
    found = affine(y[::-1] + 1, y)
    np.testing.assert_allclose(found.moved, y + 1, atol=1e-5)


CLOUD = np.random.default_rng(0).normal(size=(20, 3))


@pytest.mark.parametrize("register", [rigid, affine])
@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (CLOUD[:1], CLOUD, "x, the targets, are all one point"),
        (CLOUD, np.ones((5, 3)), "y, the sources, are all one point"),
        (CLOUD, CLOUD[:, :2], "one dimension, not 3 and 2"),
        (CLOUD[0], CLOUD, r"x, the targets, must be points of shape \(n, d\)"),
        (CLOUD, CLOUD[:0], r"y, the sources, must be points of shape \(n, d\)"),
        (np.where(CLOUD > 1, np.nan, CLOUD), CLOUD, "x, the targets, hold a value that is not finite"),
        (CLOUD, np.where(CLOUD > 1, np.inf, CLOUD), "y, the sources, hold a value that is not finite"),
    ],
)
def test_clouds_that_make_no_sense_are_refused(register, x, y, match):
    with pytest.raises(ValueError, match=match):
        register(x, y)


@pytest.mark.parametrize(
    ("start", "match"),
    [
        ({"rotation": np.eye(2)}, r"orthogonal and of shape \(3, 3\)"),
        ({"rotation": 2 * np.eye(3)}, "orthogonal"),
        ({"rotation": np.diag([1, 1, -1])}, "reflect=True"),
        ({"size": 0.0}, "size must be above 0"),
        ({"size": 2.0, "scale": False}, "size must be 1 where scale is off"),
        ({"shift": np.zeros(2)}, "shift must be 3 finite numbers"),
    ],
)
def test_starts_that_make_no_sense_are_refused(start, match):
    with pytest.raises(ValueError, match=match):
        rigid(CLOUD, CLOUD, **start)


def test_an_affine_start_is_a_square_matrix():
    with pytest.raises(ValueError, match=r"matrix must be finite and of shape \(3, 3\)"):
        affine(CLOUD, CLOUD, matrix=np.eye(2))


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"outliers": 1.0}, "outliers must be in"),
        ({"iterations": -1}, "must not be negative"),
        ({"tolerance": -1.0}, "must not be negative"),
        ({"tolerance": math.nan}, "must not be negative, nor NaN"),
        ({"iterations": 2.5}, "iterations must be a whole number"),
        ({"start": math.inf}, "start and sigma2 must be above 0, and finite"),
        ({"sigma2": math.nan}, "start and sigma2 must be above 0, and finite"),
        ({"start": 0.0}, "start and sigma2 must be above 0"),
        ({"sigma2": 0.0}, "start and sigma2 must be above 0"),
        ({"dtype": "float16"}, "mixed, float32 or float64"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, match):
    with pytest.raises(ValueError, match=match):
        Settings(**setting)


@pytest.mark.parametrize("far", [50.0, 300.0, 1000.0])
@pytest.mark.parametrize("side", ["target", "source"])
@pytest.mark.parametrize("kind", [rigid, affine])
def test_one_point_far_away_does_not_turn_the_others(kind, side, far):
    rng = np.random.default_rng(1)
    y = rng.normal(size=(200, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    x = 2 * y @ (turn * np.sign(np.linalg.det(turn))) + 1 + 0.02 * rng.normal(size=y.shape)
    stray = np.array([[far, 0.0, 0.0]])
    targets, sources = (np.vstack([x, stray]), y) if side == "target" else (x, np.vstack([y, stray]))
    found = kind(targets, sources)
    assert found.converged, found.reason
    assert np.sqrt(((found.moved[:200] - x) ** 2).sum(axis=1).mean()) < 0.1
