import inspect
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from embedlab.errors import UserError
from embedlab.maths.clouds import _coherence
from embedlab.maths.clouds import cpd_pycpd as ours
from tests.clouds import bent, bunny, fish, turned

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    theirs = pytest.importorskip("pycpd")

NAMES = ("RigidRegistration", "AffineRegistration", "DeformableRegistration")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=[fish, bunny])
def clouds(request, rng):
    """Two noisy clouds of different sizes, bent, turned, scaled and shifted against each other."""
    x = request.param(160, rng)
    y = x[rng.permutation(160)[:120]] + rng.normal(scale=0.05, size=(120, x.shape[1]))
    return x, turned(bent(y, 0.05), 20) * 0.8 + 0.3


def steps(module, name, x, y, **settings):
    """Run a registration and keep every iterate."""
    made = getattr(module, name)(X=x, Y=y, **settings)
    kept = []

    def keep(iteration, error, X, Y):
        kept.append((iteration, Y.copy(), made.sigma2, made.Np, made.Pt1.copy(), error))

    moved, parameters = made.register(keep)
    return made, kept, moved, parameters


@pytest.mark.parametrize("w", [0.0, 0.2])
@pytest.mark.parametrize("name", NAMES)
def test_each_iterate_is_pycpds(name, w, clouds):
    settings = {"w": w, "max_iterations": 30, "tolerance": 0}
    a, mine, moved, parameters = steps(ours, name, *clouds, **settings)
    b, other, their_moved, their_parameters = steps(theirs, name, *clouds, **settings)
    assert [one[0] for one in mine] == [one[0] for one in other] == list(range(1, 31))
    for own, peer in zip(mine, other, strict=True):
        np.testing.assert_allclose(own[1], peer[1], rtol=1e-6, atol=1e-6 * np.abs(peer[1]).max())
        np.testing.assert_allclose(own[2:4], peer[2:4], rtol=1e-6)
        np.testing.assert_allclose(own[4], peer[4], rtol=1e-6, atol=1e-9)
        if name == "RigidRegistration":
            assert own[5] == pytest.approx(peer[5], rel=1e-6)
    np.testing.assert_array_equal(moved, a.TY)
    np.testing.assert_allclose(moved, their_moved, rtol=1e-6, atol=1e-6)
    for own, peer in zip(parameters, their_parameters, strict=True):
        np.testing.assert_allclose(own, peer, rtol=1e-5, atol=1e-6 * np.abs(peer).max())
    assert (a.N, a.M, a.D, a.iteration) == (b.N, b.M, b.D, b.iteration)
    np.testing.assert_allclose(a.P1, b.P1, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(a.PX, b.P @ b.X, rtol=1e-6, atol=1e-9)
    if name != "DeformableRegistration":
        new = np.ones((7, b.D))
        np.testing.assert_allclose(a.transform_point_cloud(new), b.transform_point_cloud(new), rtol=1e-6)


@pytest.mark.parametrize(
    "settings", [{}, {"tolerance": 0.1}, {"max_iterations": 4}, {"sigma2": 0.05, "w": 0.1}]
)
@pytest.mark.parametrize("name", ["RigidRegistration", "DeformableRegistration"])
def test_it_stops_where_pycpd_stops(name, settings, clouds):
    mine, other = steps(ours, name, *clouds, **settings)[0], steps(theirs, name, *clouds, **settings)[0]
    assert mine.iteration == other.iteration
    assert mine.diff == pytest.approx(other.diff, rel=1e-3, abs=1e-9)
    np.testing.assert_allclose(mine.TY, other.TY, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_keyword_and_attribute_of_pycpds_is_there_but_the_posterior(name, clouds):
    mine, other = (getattr(module, name)(X=clouds[0], Y=clouds[1]) for module in (ours, theirs))
    asked = set(inspect.signature(getattr(theirs, name)).parameters) - {"args", "kwargs"}
    assert asked <= set(inspect.signature(getattr(ours, name)).parameters)
    for attribute in vars(other).keys() - {"P"}:
        value = getattr(mine, attribute)
        assert np.shape(value) == np.shape(getattr(other, attribute)), attribute
    with pytest.raises(AttributeError, match="never formed"):
        _ = mine.P


def test_all_may_be_given_as_in_pycpds_readme(clouds):
    x, y = clouds
    moved, (s, r, t) = ours.RigidRegistration(**{"X": x, "Y": y}).register(lambda **kwargs: None)
    np.testing.assert_allclose(moved, s * y @ r + t, atol=1e-9)
    moved, (b, t) = ours.AffineRegistration(X=x, Y=y).register(None)
    np.testing.assert_allclose(moved, y @ b + t, atol=1e-9)
    moved, (g, w) = ours.DeformableRegistration(X=x, Y=y, alpha=2, beta=2).register()
    np.testing.assert_allclose(moved, y + g @ w, atol=1e-6)


@pytest.mark.parametrize("degrees", [120, 180])
def test_rejecting_rotations_of_120_and_180_degrees_is_no_fault_of_ours(degrees, rng):
    x = bunny(100, rng)
    y = turned(x, degrees)
    start = turned(np.eye(3), -degrees + 5)
    with pytest.raises(ValueError, match="rotation matrix"):
        theirs.RigidRegistration(X=x, Y=y, R=start)
    moved, (s, r, _) = ours.RigidRegistration(X=x, Y=y, R=start, sigma2=0.1).register()
    np.testing.assert_allclose(moved, x, atol=1e-3)
    np.testing.assert_allclose(r, turned(np.eye(3), -degrees), atol=1e-3)
    assert s == pytest.approx(1, abs=1e-3)


def test_a_mirrored_cloud_is_turned_as_pycpd_turns_it_and_never_mirrored(rng):
    """Mirrored along its flattest axis, which is the one to give up."""
    y = rng.normal(size=(60, 3)) * [3.0, 2.0, 0.05]
    x = y * [1.0, 1.0, -1.0]
    settings = {"max_iterations": 5, "tolerance": 0, "sigma2": 0.01}
    mine, other = (steps(module, "RigidRegistration", x, y, **settings)[0] for module in (ours, theirs))
    assert np.linalg.det(mine.R) == pytest.approx(1)
    np.testing.assert_allclose(mine.R, np.eye(3), atol=0.05)
    np.testing.assert_allclose(mine.R, other.R, atol=1e-6)
    np.testing.assert_allclose(mine.TY, other.TY, atol=1e-6)


def test_a_start_that_mirrors_or_makes_no_sense_is_refused(clouds):
    x, y = clouds
    d = x.shape[1]
    mirror = np.diag([-1.0] + [1.0] * (d - 1))
    for wrong, said in (
        ({"R": mirror}, "mirrors"),
        ({"R": np.zeros((d, d))}, "invertible"),
        ({"t": np.ones(7)}, "shift"),
    ):
        with pytest.raises(ValueError, match=said):
            ours.RigidRegistration(X=x, Y=y, **wrong)
    with pytest.raises(ValueError, match="s must be"):
        ours.RigidRegistration(X=x, Y=y, s=0)
    with pytest.raises(ValueError, match="invertible"):
        ours.AffineRegistration(X=x, Y=y, B=np.ones((d, d)))


@pytest.mark.parametrize("d", [4, 16])
def test_refusing_more_than_three_dimensions_is_no_fault_of_ours(d, rng):
    x = rng.normal(size=(80, d)) * np.linspace(1, 3, d)
    with pytest.raises(ValueError, match="2D or 3D"):
        theirs.RigidRegistration(X=x, Y=x)
    y = turned(x, 15) / 2 - 1
    moved, (s, r, _) = ours.RigidRegistration(X=x, Y=y, sigma2=0.3, max_iterations=200).register()
    np.testing.assert_allclose(moved, x, atol=1e-5)
    assert s == pytest.approx(2)
    np.testing.assert_allclose(r.T @ r, np.eye(d), atol=1e-9)


def posterior(x, moved, sigma2, w):
    """All pairs, as the paper writes them."""
    kernel = np.exp(-cdist(moved, x, "sqeuclidean") / (2 * sigma2))
    clutter = (2 * np.pi * sigma2) ** (x.shape[1] / 2) * w / (1 - w) * len(moved) / len(x)
    return kernel / (kernel.sum(axis=0) + clutter)


@pytest.mark.parametrize("scale", [True, False])
def test_the_variance_is_the_residual_with_and_without_a_scale(scale, clouds):
    """pycpd's repository reports 0.56 without scale where the residual is 0.09."""
    x, y = clouds
    made = ours.RigidRegistration(X=x, Y=y, scale=scale, w=0.1, max_iterations=7)
    for _ in range(7):
        before = (made.TY, made.sigma2)
        made.iterate()
    p = posterior(x, *before, 0.1)
    residual = (p * cdist(made.TY, x, "sqeuclidean")).sum()
    assert made.sigma2 == pytest.approx(residual / (p.sum() * x.shape[1]))
    assert (made.s == 1) is not scale


def test_a_size_that_is_given_stays_where_scale_is_off(clouds):
    made = ours.RigidRegistration(X=clouds[0], Y=clouds[1], s=1.25, scale=False)
    _, (s, r, t) = made.register()
    assert s == 1.25
    np.testing.assert_allclose(made.TY, 1.25 * clouds[1] @ r + t)


@pytest.mark.parametrize("name", ["RigidRegistration", "AffineRegistration"])
def test_the_objective_is_the_papers_also_where_affine(name, clouds):
    """pycpd takes tr(B·YPY·B) for tr(Bᵀ·YPY·B)."""
    x, y = clouds
    made = getattr(ours, name)(X=x, Y=turned(y, 25), w=0.1)
    for _ in range(6):
        before = (made.TY, made.sigma2)
        made.iterate()
    p = posterior(x, *before, 0.1)
    residual = (p * cdist(made.TY, x, "sqeuclidean")).sum()
    expected = residual / (2 * before[1]) + x.shape[1] * p.sum() / 2 * np.log(before[1])
    assert made.q == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [50, 120, 300])
@pytest.mark.parametrize("low_rank", [False, True])
def test_new_points_at_equal_or_other_size_are_mapped_by_the_kernel(low_rank, count, rng):
    """pycpd 2.0.0 is wrong at equal size, without a word, and fails at others."""
    y = bunny(120, rng)
    made = ours.DeformableRegistration(X=bent(y), Y=y, low_rank=low_rank, num_eig=60)
    made.register()
    points = bunny(count, rng)
    kernel = np.exp(-cdist(points, y, "sqeuclidean") / (2 * 2.0**2))
    np.testing.assert_allclose(made.transform_point_cloud(points), points + kernel @ made.W, atol=1e-9)
    np.testing.assert_allclose(made.transform_point_cloud(y), made.TY, atol=1e-4)
    moved = made.TY.copy()
    assert made.transform_point_cloud() is None
    np.testing.assert_array_equal(made.TY, moved)


def test_stopping_at_once_in_small_units_is_told(rng):
    y = fish(100, rng)
    x = bent(y)
    with pytest.warns(RuntimeWarning, match="tolerance 0.001 is above sigma2.*smaller tolerance"):
        steps(ours, "DeformableRegistration", x * 0.01, y * 0.01)
    made = steps(ours, "DeformableRegistration", x * 0.01, y * 0.01, tolerance=1e-7, beta=0.02, alpha=2e4)[0]
    peer = steps(ours, "DeformableRegistration", x, y, tolerance=1e-3)[0]
    np.testing.assert_allclose(made.TY, peer.TY * 0.01, atol=1e-4)
    assert made.iteration == peer.iteration


def test_far_targets_keep_their_share_without_outliers_and_lose_it_with(rng):
    """A kernel that underflows drops such targets in pycpd although w = 0 says that there are no outliers."""
    x = np.vstack([fish(50, rng), [[1e4, 1e4]]])
    made = ours.RigidRegistration(X=x, Y=fish(50, rng), sigma2=1.0)
    made.expectation()
    np.testing.assert_allclose(made.Pt1, 1)
    made = ours.RigidRegistration(X=x, Y=fish(50, rng), sigma2=1.0, w=0.1)
    made.expectation()
    assert made.Pt1[-1] < 1e-100
    assert made.Pt1[:-1].min() > 0.1


def test_ruin_by_far_outliers_is_averted_by_w(rng):
    y = bunny(200, rng)
    x = np.vstack([turned(y, 15), rng.uniform(-60, 60, size=(20, 3))])
    errors = []
    for w in (0.0, 0.1):
        moved, _ = ours.RigidRegistration(X=x, Y=y, w=w, max_iterations=300).register()
        errors.append(np.sqrt(((moved - x[:200]) ** 2).sum(axis=1).mean()))
    assert errors[0] > 1
    assert errors[1] < 0.1


def test_a_source_that_answers_for_nothing_makes_no_system_singular(rng):
    """pycpd gives up with a singular matrix once a row of P underflows and σ² is small."""
    x = fish(60, rng)
    y = np.vstack([x + 0.01, [[50.0, 50.0]]])
    made = ours.DeformableRegistration(
        X=x, Y=y, beta=0.3, alpha=0.1, sigma2=1e-3, tolerance=0, max_iterations=40
    )
    made.register()
    assert made.P1[-1] < 1e-200
    np.testing.assert_allclose(made.TY[:60], x, atol=1e-2)
    np.testing.assert_allclose(made.TY[60], y[60])


def test_clouds_that_coincide_end_in_finite_numbers(clouds):
    x, _ = clouds
    for name in NAMES:
        made = steps(ours, name, x, x.copy(), tolerance=0, max_iterations=150)[0]
        assert np.isfinite(made.TY).all()
        np.testing.assert_allclose(made.TY, x, atol=1e-3)


def test_a_low_rank_of_all_points_is_the_whole_and_g_is_there_when_asked_for(clouds):
    x, y = clouds
    settings = {"tolerance": 0, "max_iterations": 15}
    whole = steps(ours, "DeformableRegistration", x, y, **settings)[0]
    low, _, _, ((q, s), w) = steps(
        ours, "DeformableRegistration", x, y, low_rank=True, num_eig=120, **settings
    )
    np.testing.assert_allclose(low.TY, whole.TY, atol=1e-6)
    np.testing.assert_allclose(q @ s @ (q.T @ w), low.TY - y, atol=1e-6)
    np.testing.assert_allclose(low.inv_S @ s, np.eye(len(s)), atol=1e-9)
    np.testing.assert_allclose(low.G, np.exp(-cdist(y, y, "sqeuclidean") / 8), atol=1e-12)


def test_the_deformable_objective_falls_and_is_finite(clouds):
    """pycpd reports infinity."""
    kept = steps(ours, "DeformableRegistration", *clouds)[1]
    errors = [one[5] for one in kept]
    assert np.diff(errors[1:]).max() < 0


def test_no_array_of_all_pairs_is_held(rng):
    """pycpd takes (M, N, D) for the start and the expectation alone."""
    x, y = bunny(3_000, rng), bunny(3_000, rng)
    settings = {"max_iterations": 2, "tolerance": 0}
    steps(ours, "RigidRegistration", x[:50], y[:50], **settings)
    for name, more in (*((name, {}) for name in NAMES[:2]), (NAMES[2], {"low_rank": True, "num_eig": 20})):
        tracemalloc.start()
        made = getattr(ours, name)(X=x, Y=y, **settings, **more)
        made.register()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3_000 * 3_000 * 8 / 4, name


def test_too_many_points_for_a_whole_kernel_are_told_to_take_a_low_rank(rng, monkeypatch):
    monkeypatch.setattr(_coherence, "LARGEST", 50)
    with pytest.raises(UserError, match="give low_rank=True"):
        ours.DeformableRegistration(X=fish(60, rng), Y=fish(60, rng))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"X": [[0.0, 1.0]]}, "target point cloud"),
        ({"Y": np.zeros(3)}, "source point cloud"),
        ({"Y": np.full((5, 2), np.nan)}, "not finite"),
        ({"Y": np.zeros((5, 3))}, "same number of dimensions"),
        ({"sigma2": -1}, "sigma2 must be a number > 0"),
        ({"max_iterations": "many"}, "max_iterations must be"),
        ({"tolerance": -0.1}, "tolerance must be a number >= 0"),
        ({"w": 1.0}, "w must be a number >= 0 and < 1"),
        ({"alpha": 0}, "alpha must be"),
        ({"beta": np.inf}, "beta must be"),
    ],
)
def test_what_pycpd_refuses_is_refused(wrong, said, rng):
    given = {"X": fish(20, rng), "Y": fish(10, rng)} | wrong
    with pytest.raises(ValueError, match=said):
        ours.DeformableRegistration(**given)


def test_clouds_of_one_point_and_flat_ones_are_told(rng):
    one = np.zeros((5, 2))
    with pytest.raises(UserError, match="nothing to register"):
        ours.RigidRegistration(X=one, Y=one)
    flat = np.column_stack([np.arange(5.0), np.zeros(5)])
    with pytest.raises(UserError, match="fewer than its 2 dimensions"):
        ours.AffineRegistration(X=fish(20, rng), Y=flat).register()


def test_clouds_too_far_apart_for_their_sigma2_are_told(rng):
    made = ours.RigidRegistration(X=fish(20, rng), Y=fish(20, rng) + 1e6, sigma2=1.0, w=0.5)
    with pytest.raises(UserError, match="no source reaches any target"):
        made.register()
