import numpy as np
import pytest
from scipy.stats import kstest, ortho_group

from embedlab.maths.people.permutation import p_value
from embedlab.maths.space.displacement import chance_map, chance_shift, residuals

PEOPLE, IMAGES = 60, 2
OWNERS = np.repeat(np.arange(PEOPLE), IMAGES)
FOLD = np.arange(PEOPLE) % 3


def cloud(seed=0, dimension=4):
    return np.random.default_rng(seed).normal(size=(len(OWNERS), dimension))


def signs(count, seed=0):
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(count, PEOPLE))


def parts(a, b):
    """Shares of shift, of rotation and scale, and the rest."""
    whole = ((b - a) ** 2).sum()
    shifted, mapped, scale = residuals(a, b, FOLD[OWNERS])
    return 1 - shifted.sum() / whole, (shifted - mapped).sum() / whole, mapped.sum() / whole, scale


def test_a_pure_shift_is_all_shift():
    a = cloud()
    assert parts(a, a + np.arange(4)) == pytest.approx((1, 0, 0, 1))


def test_a_pure_rotation_is_all_rotation():
    a = cloud()
    a -= a.mean(axis=0)
    shift, turn, own, scale = parts(a, a @ ortho_group.rvs(4, random_state=0))
    assert turn == pytest.approx(1, abs=0.05)
    assert shift == pytest.approx(0, abs=0.05)
    assert own == pytest.approx(0)
    assert scale == pytest.approx(1)


def test_a_pure_change_of_scale_is_found_with_its_factor():
    a = cloud()
    _, turn, own, scale = parts(a, 0.6 * a)
    assert turn == pytest.approx(1, abs=0.05)
    assert own == pytest.approx(0)
    assert scale == pytest.approx(0.6)


def test_a_planted_mixture_is_split_as_it_was_planted():
    """Mean squares 4 of shift, 1 of scale (¼ of a cloud of 4 axes), 4·0.25 of noise."""
    a = np.random.default_rng(1).normal(size=(len(OWNERS) * 20, 4))
    b = 1.5 * a + [2, 0, 0, 0] + 0.5 * np.random.default_rng(2).normal(size=a.shape)
    fold = np.tile(FOLD[OWNERS], 20)
    shifted, mapped, _ = residuals(a, b, fold)
    whole = ((b - a) ** 2).sum()
    found = (1 - shifted.sum() / whole, (shifted - mapped).sum() / whole, mapped.sum() / whole)
    assert found == pytest.approx((4 / 6, 1 / 6, 1 / 6), abs=0.03)


def test_displacements_dealt_out_to_others_keep_the_shift_and_lose_the_rotation():
    a = cloud()
    a -= a.mean(axis=0)
    moved = a @ ortho_group.rvs(4, random_state=0) - a + 2
    true = parts(a, a + moved)
    dealt = parts(a, a + np.random.default_rng(3).permutation(moved))
    assert dealt[0] == pytest.approx(true[0], abs=0.02)
    assert true[1] > 0.1
    assert dealt[1] < 0


def test_what_is_judged_was_not_fitted_on():
    """Noise of its own has no share: fitting it costs, in more dimensions more."""
    few, many = (
        parts(a, a + np.random.default_rng(5).normal(size=a.shape) * 0.1)
        for a in (cloud(dimension=2), cloud(dimension=60))
    )
    assert few[0] < 0.01
    assert few[1] > -0.05
    assert many[1] < few[1]
    assert many[1] < -0.1


def test_the_null_of_the_shift_is_that_of_versions_that_changed_places():
    a, b = cloud(), cloud(1) + 1
    change = (signs(1)[0, OWNERS] < 0)[:, None]
    first, second = np.where(change, b, a), np.where(change, a, b)
    shifted, _, _ = residuals(first, second, FOLD[OWNERS])
    whole = ((b - a) ** 2).sum()
    assert chance_shift(b - a, OWNERS, FOLD, signs(1))[0] == pytest.approx(whole - shifted.sum())


def test_a_shift_leaves_nothing_to_the_null_of_the_rotation():
    """Mirroring would undo a shift whose versions change places."""
    a = cloud()
    assert chance_map(a, a + 5, OWNERS, FOLD, signs(5)) == pytest.approx(np.zeros(5), abs=1e-6)


def test_a_small_rotation_stands_out_from_its_null():
    a = cloud()
    angle = 0.3
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    b = a @ turn + 0.1 * cloud(1)
    shifted, mapped, _ = residuals(a, b, FOLD[OWNERS])
    nulls = chance_map(a, b, OWNERS, FOLD, signs(39))
    assert p_value((shifted - mapped).sum(), nulls) == pytest.approx(1 / 40)
    assert nulls.mean() < 0.2 * (shifted - mapped).sum()


@pytest.mark.parametrize("null", ["shift", "map"])
def test_p_is_uniform_where_nothing_is_common(null):
    """Two noisy versions of one cloud: least squares shrinks, and the null does so too."""
    ps = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(PEOPLE, 3))[OWNERS]
        a, b = (
            centres + 0.7 * rng.normal(size=(PEOPLE, 3))[OWNERS] + 0.3 * rng.normal(size=centres.shape)
            for _ in range(2)
        )
        shifted, mapped, _ = residuals(a, b, FOLD[OWNERS])
        if null == "shift":
            nulls = chance_shift(b - a, OWNERS, FOLD, signs(99, seed + 1000))
            ps.append(p_value(((b - a) ** 2).sum() - shifted.sum(), nulls))
        else:
            nulls = chance_map(a, b, OWNERS, FOLD, signs(19, seed + 1000))
            ps.append(p_value((shifted - mapped).sum(), nulls))
    assert kstest(ps, "uniform").pvalue > 0.02
