import tracemalloc

import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from embedlab.errors import UserError
from embedlab.maths.clouds import _coherence, _deformable_em
from embedlab.maths.clouds._expectation import Expectation
from embedlab.maths.clouds.cpd import Settings, rigid
from embedlab.maths.clouds.cpd_deformable import deformable
from tests.clouds import bent, bunny, fish

EXACT = Settings(dtype="float64")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rmse(a, b):
    return np.sqrt(((a - b) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("cloud", [fish, bunny])
def test_a_planted_bend_is_undone_where_no_rigid_map_can(cloud, rng):
    y = cloud(300, rng)
    x = bent(y)
    found = deformable(x[rng.permutation(300)], y)
    assert rmse(y, x) > 0.3
    assert rmse(rigid(x, y).moved, x) > 0.2
    assert rmse(found.moved, x) < 0.02


def test_a_bent_surface_is_found_from_other_points_of_it_in_spite_of_noise(rng):
    """No point has its counterpart in the other cloud, and those judged are in neither."""
    y, others = bunny(600, rng), bunny(400, rng)
    x = bent(bunny(600, rng)) + rng.normal(scale=0.03, size=(600, 3))
    surface = KDTree(bent(bunny(20_000, rng)))
    stiff, soft = (fit(x, y).transform(others) for fit in (rigid, deformable))
    assert rmse(soft, bent(others)) < 0.8 * rmse(stiff, bent(others))
    away_stiff, away_soft = (np.sqrt((surface.query(points)[0] ** 2).mean()) for points in (stiff, soft))
    assert away_soft < 0.5 * away_stiff


def test_a_tenth_of_far_outliers_does_not_pull_the_cloud_away(rng):
    y = bunny(300, rng)
    x = np.vstack([bent(y), rng.uniform(-60, 60, size=(30, 3))])
    found = deformable(x, y, settings=Settings(outliers=0.1))
    assert rmse(found.moved, bent(y)) < 0.1


@pytest.mark.parametrize("unit", [0.01, 1000.0])
def test_stopping_at_once_in_small_units_is_no_fault_of_ours(unit, rng):
    """The same clouds in another unit, elsewhere, give the same map."""
    y = fish(200, rng)
    x = bent(y)
    one = deformable(x, y, settings=EXACT)
    other = deformable(x * unit + 7 * unit, y * unit - 3 * unit, settings=EXACT)
    np.testing.assert_allclose((other.moved - 7 * unit) / unit, one.moved, atol=1e-6)
    assert other.iterations == one.iterations > 5
    assert other.sigma2 == pytest.approx(one.sigma2 * unit**2, rel=1e-4)
    points = fish(50, rng)
    np.testing.assert_allclose(
        other.transform(points * unit - 3 * unit) / unit - 7, one.transform(points), atol=1e-5
    )


def test_alpha_and_beta_mean_the_same_in_more_dimensions(rng):
    """Dimensions in which nothing extends change nothing, but that outliers fill more of them."""
    y = fish(150, rng)
    x = bent(y)
    flat = Settings(outliers=0.0, sigma2=0.1, dtype="float64")
    wide = [np.hstack([cloud, np.zeros((150, 3))]) for cloud in (x, y)]
    one, other = deformable(x, y, settings=flat), deformable(*wide, settings=flat)
    assert not np.allclose(other.moved, wide[1])
    np.testing.assert_allclose(other.moved[:, 2:], 0, atol=1e-9)
    assert other.width == pytest.approx(one.width)


def test_no_step_lowers_the_penalised_likelihood(rng):
    found = deformable(bunny(200, rng), bunny(150, rng), settings=EXACT)
    assert len(found.trace_loglik) == len(found.trace_sigma2) == found.iterations > 10
    assert np.diff(found.trace_loglik).min() > -1e-9
    assert found.trace_loglik[-1] > found.trace_loglik[0]


def test_it_says_why_it_stopped(rng):
    y = fish(100, rng)
    found = deformable(bent(y), y, settings=Settings(iterations=3))
    assert not found.converged
    assert found.reason == "the limit of iterations was reached"
    assert "floor" in deformable(y, y).reason
    lost = deformable(bent(y), y, settings=Settings(sigma2=1e-9, outliers=0.5))
    assert not lost.converged
    assert "collapsed" in lost.reason
    np.testing.assert_allclose(lost.moved, y + lost.shift)


def test_it_rests_only_once_points_and_variance_both_do(rng):
    """Along a surface points creep long after σ² has come to rest."""
    seen, x, y = [], bunny(150, rng), bunny(120, rng)
    resting = deformable(
        x, y, settings=Settings(iterations=2000, tolerance=1e-5, accelerate=False),
        callback=lambda *step: seen.append(step[1]),
    )  # fmt: skip
    assert resting.converged
    assert resting.reason == "steps are below the tolerance"
    assert rmse(seen[-1], seen[-2]) < 1e-5 * resting.width / 2
    still = np.abs(np.diff(np.log(resting.trace_sigma2))) < 1e-4
    assert still[:-1].any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rank", [None, 60])
def test_steps_that_are_extrapolated_end_where_plain_ones_do_and_sooner(rank, seed):
    """Two noisy draws of a bumpy surface, of which one is bent: plain steps creep."""
    rng = np.random.default_rng(seed)
    y, x = bunny(250, rng), bent(bunny(300, rng)) + rng.normal(scale=0.15, size=(300, 3))
    plain, onward = (
        deformable(x, y, rank=rank, settings=Settings(iterations=5000, dtype="float64", accelerate=faster))
        for faster in (False, True)
    )
    assert plain.converged
    assert onward.converged
    assert onward.iterations < 0.6 * plain.iterations
    assert onward.trace_loglik[-1] > plain.trace_loglik[-1] - 1e-6


def test_an_extrapolation_goes_further_away_from_a_saddle():
    """A map of known eigenvalues: a slow direction comes to its end, one that grows is never turned."""
    rates = np.array([[0.95, 1.02], [0.3, 0.0]])
    e = Expectation(np.ones(2), np.ones(2), np.zeros((2, 2)), 0.0)
    subspace = _deformable_em._Subspace(alpha=0.0)
    seen = [np.array([[1e-3, 1e-3], [1e-3, 0.0]])]
    for _ in range(8):
        state, plain = (_deformable_em.State(a, 0 * a, 0.0, 1.0) for a in (seen[-1], rates * seen[-1]))
        seen.append(subspace.extrapolate(state, plain, e, floor=1e-8).steps)
    slow, grown = np.array(seen)[:, 0].T
    assert abs(slow[-1]) < 0.02 * 0.95**8 * slow[0]
    assert (np.diff(grown) > 0).all()
    assert grown[-1] > 5 * 1.02**8 * grown[0]


def test_a_look_at_each_step_is_in_the_units_of_the_data(rng):
    y = fish(100, rng) * 50 + 300
    x = bent(y / 50) * 50
    seen = []
    found = deformable(x, y, callback=lambda *step: seen.append(step))
    assert [step[0] for step in seen] == list(range(1, found.iterations + 1))
    np.testing.assert_array_equal(seen[-1][1], found.moved)
    np.testing.assert_allclose([step[2] for step in seen], found.trace_sigma2)


@pytest.mark.parametrize("count", [80, 200, 900])
def test_new_points_move_with_their_neighbours_at_equal_and_other_sizes(count, rng):
    """pycpd 2.0.0 gives new points the drift of the old ones row by row, or fails."""
    y = bunny(200, rng)
    found = deformable(bent(y), y)
    points = bunny(count, np.random.default_rng(5))
    kernel = np.exp(-cdist(points, y, "sqeuclidean") / (2 * found.width**2))
    expected = points + found.shift + kernel @ found.weights
    np.testing.assert_allclose(found.transform(points), expected, atol=1e-9)
    assert rmse(found.transform(points), bent(points)) < 0.3 * rmse(points, bent(points))
    np.testing.assert_allclose(found.transform(y), found.moved, atol=1e-5)


def test_far_from_all_sources_nothing_drifts(rng):
    y = fish(100, rng)
    found = deformable(bent(y) + 5, y)
    far = np.array([[1e3, -1e3]])
    np.testing.assert_allclose(found.transform(far), far + found.shift)
    np.testing.assert_array_equal(found.matrix, np.eye(2))


def test_points_of_other_dimensions_are_refused(rng):
    y = fish(50, rng)
    with pytest.raises(ValueError, match="shape"):
        deformable(bent(y), y).transform(np.zeros((3, 5)))


def test_a_low_rank_comes_near_the_whole_and_the_nearer_the_higher(rng):
    y = bunny(300, rng)
    x = bent(y) + rng.normal(scale=0.05, size=y.shape)
    settings = Settings(iterations=30, dtype="float64")
    whole = deformable(x, y, settings=settings).moved
    errors = [rmse(deformable(x, y, rank=rank, settings=settings).moved, whole) for rank in (3, 20, 80)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3 * rmse(y, whole)


@pytest.mark.parametrize("beta", [2.0, 0.2])
def test_a_low_rank_of_all_points_is_the_whole(beta, rng):
    """Of a wide kernel, whose rank to rounding is small, and of a narrow one, which is of full rank."""
    y = bunny(150, rng)
    x = bent(y) + rng.normal(scale=0.05, size=y.shape)
    settings = Settings(iterations=25, dtype="float64")
    whole, low = (deformable(x, y, beta=beta, rank=rank, settings=settings) for rank in (None, 150))
    np.testing.assert_allclose(low.moved, whole.moved, atol=1e-7)
    points = bunny(40, rng)
    np.testing.assert_allclose(low.transform(points), whole.transform(points), atol=1e-5)


@pytest.mark.parametrize("beta", [8.0, 0.2])
@pytest.mark.parametrize("penalty", [1.0, 1e-3])
def test_the_drift_solves_the_papers_equation(beta, penalty, rng):
    """Solved as it stands in the paper, by a general solver; one source answers for nothing."""
    y, pull = bunny(120, rng) / 2, rng.normal(size=(120, 3))
    p1 = rng.uniform(0, 2, 120)
    p1[7], pull[7] = 0.0, 0.0
    gram = np.exp(-cdist(y, y, "sqeuclidean") / (2 * beta**2))
    weights = np.linalg.solve(p1[:, None] * gram + penalty * np.eye(120), pull)
    kernel = _coherence.full(y, beta)
    assert isinstance(kernel, _coherence.Factored if beta > 1 else _coherence.Dense)
    found = kernel.drift(p1, pull, penalty)
    np.testing.assert_allclose(found.weights, weights, atol=1e-9 * np.abs(weights).max())
    np.testing.assert_allclose(found.steps, gram @ weights, atol=1e-9 * np.abs(weights).max())
    assert found.energy == pytest.approx(np.trace(weights.T @ gram @ weights), rel=1e-6)


@pytest.mark.parametrize(("beta", "error"), [(3.0, 1e-4), (0.5, 0.15)])
def test_the_leading_eigenvectors_are_those_of_the_whole_kernel(beta, error, rng):
    """Sketching is the more exact the faster eigenvalues fall, which they do for wide kernels."""
    y = bunny(200, rng)
    vectors, values = _coherence.low_rank(y, beta, 12)
    gram = np.exp(-cdist(y, y, "sqeuclidean") / (2 * beta**2))
    theirs = np.linalg.eigvalsh(gram)[::-1]
    np.testing.assert_allclose(values, theirs[:12], rtol=error)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(12), atol=1e-6)
    left = np.linalg.norm(gram - (vectors * values) @ vectors.T, 2)
    assert theirs[12] * 0.999 < left < 2 * theirs[12]


def test_a_rank_above_what_the_kernel_has_gives_what_it_has(rng):
    y = np.repeat(fish(9, rng), 20, axis=0)
    vectors, values = _coherence.low_rank(y, 1.0, 50)
    assert vectors.shape == (180, len(values))
    assert len(values) <= 9


def test_the_kernel_of_width_beta_is_not_probregs(rng):
    """probreg computes exp(−d²/2^β)."""
    points = np.array([[0.0, 0.0], [0.0, 3.0]])
    assert _coherence.product(points, points, 3.0, np.eye(2))[0, 1] == pytest.approx(np.exp(-0.5))


def test_a_low_rank_never_holds_the_whole_kernel(rng):
    y = bunny(4_000, rng)
    deformable(y[:50], y[:50], rank=5, settings=Settings(iterations=1))
    tracemalloc.start()
    deformable(bent(y[:200]), y, rank=20, settings=Settings(iterations=2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000 * 4_000 * 8 / 4


def test_too_many_points_for_a_whole_kernel_are_told_to_take_a_rank(rng, monkeypatch):
    monkeypatch.setattr(_coherence, "LARGEST", 50)
    y = fish(60, rng)
    with pytest.raises(UserError, match="60 points.* give a rank"):
        deformable(bent(y), y)
    assert deformable(bent(y), y, rank=20).converged


def test_ten_copies_of_each_point_change_nothing_but_the_weights(rng):
    y = bunny(100, rng)
    x = bent(y)
    one = deformable(x, y, settings=EXACT)
    many = deformable(np.repeat(x, 10, axis=0), np.repeat(y, 10, axis=0), alpha=20.0, settings=EXACT)
    np.testing.assert_allclose(many.moved[::10], one.moved, atol=1e-3)
    assert np.isfinite(many.moved).all()


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 3)), ((3, 2), (40, 2)), ((40, 2), (3, 2)), ((5, 30), (6, 30))]
)
def test_few_points_and_many_dimensions_give_finite_numbers(shapes, rng):
    x, y = (rng.normal(size=shape) for shape in shapes)
    for rank in (None, 2):
        found = deformable(x, y, rank=rank)
        assert np.isfinite(found.moved).all()
        assert np.isfinite(found.trace_loglik).all()
        assert found.reason


def test_a_flat_cloud_stays_in_its_plane(rng):
    y = np.column_stack([fish(80, rng), np.zeros(80)])
    x = np.column_stack([bent(y[:, :2]), np.zeros(80)])
    np.testing.assert_allclose(deformable(x, y).moved[:, 2], 0, atol=1e-9)


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"beta": -1.0}, {"beta": np.nan}, {"rank": 0}])
def test_settings_that_make_no_sense_are_refused(wrong, rng):
    with pytest.raises(ValueError, match="must be"):
        deformable(fish(20, rng), fish(20, rng), **wrong)


def test_clouds_that_make_no_sense_are_refused(rng):
    y = fish(20, rng)
    for x, said in (
        (np.zeros((20, 2)), "one point"),
        (np.full((20, 2), np.nan), "finite"),
        (y[:, :1], "dim"),
    ):
        with pytest.raises(ValueError, match=said):
            deformable(x, y)
