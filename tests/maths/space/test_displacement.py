import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from embedlab.maths.space.displacement import moved

PEOPLE = 60
FOLD = np.arange(PEOPLE) % 3


def cloud(seed=0, dimension=4, people=PEOPLE):
    return np.random.default_rng(seed).normal(size=(people, dimension))


def left(a, b, owners=None, fold=FOLD):
    """What is left after a shift, after shift and scale, after shift and rotation, after all."""
    found = moved(a, b, np.arange(len(a)) if owners is None else owners, fold)
    whole = found.before.sum()
    parts = (found.shift, found.scaled[0], found.turned, found.whole[0])
    return [float(one.sum() / whole) for one in parts]


TURN = ortho_group.rvs(4, random_state=0)


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        pytest.param(lambda a: a + np.arange(4), (0, 0, 0, 0), id="shift"),
        pytest.param(lambda a: 0.6 * a, (1, 0, 1, 0), id="shrinkage"),
        pytest.param(lambda a: a @ TURN, (1, None, 0, 0), id="rotation"),
        pytest.param(lambda a: a @ TURN + 9, (None, None, 0, 0), id="rotation and shift"),
    ],
)
def test_what_was_planted_leaves_nothing_to_its_own_map_alone(planted, expected):
    a = cloud()
    found = left(a - a.mean(axis=0), planted(a - a.mean(axis=0)))
    for one, value in zip(found, expected, strict=True):
        if value is None:
            assert 1e-3 < one < 1.1
        else:
            assert one == pytest.approx(value, abs=0.1 if value else 1e-9)


def test_noise_alone_is_nobodys():
    """The scale takes what it can, since least squares shrinks what is noisy; the rotation does harm."""
    rng = np.random.default_rng(5)
    middle = cloud(dimension=20)
    a, b = (middle + 0.5 * rng.normal(size=middle.shape) for _ in range(2))
    shift, scaled, turned, whole = left(a, b)
    assert shift > 0.98
    assert 0.7 < scaled < 0.95
    assert turned > shift
    assert whole > scaled
    found = moved(a, b, np.arange(PEOPLE), FOLD)
    assert found.spread[1].sum() / found.spread[0].sum() == pytest.approx(1, abs=0.1)


def test_each_map_is_least_squares_on_the_others_folds():
    a = cloud()
    b = 0.7 * a @ TURN + 1 + 0.2 * cloud(1)
    found = moved(a, b, np.arange(PEOPLE), FOLD)
    out = FOLD == 1
    centre_a, centre_b = a[~out].mean(axis=0), b[~out].mean(axis=0)
    x, y = a[~out] - centre_a, b[~out] - centre_b
    rotation, strength = orthogonal_procrustes(x, y)
    for size, turn, mine in (
        (1.0, np.eye(4), found.shift),
        ((x * y).sum() / (x**2).sum(), np.eye(4), found.scaled[0]),
        (1.0, rotation, found.turned),
        (strength / (x**2).sum(), rotation, found.whole[0]),
    ):
        placed = size * (a[out] - centre_a) @ turn + centre_b
        np.testing.assert_allclose(mine[out], ((placed - b[out]) ** 2).sum(axis=1), rtol=1e-9)


def test_the_way_back_is_the_way_there_of_the_other_cloud():
    a, b = cloud(), 0.5 * cloud() + 0.3 * cloud(1)
    there, back = moved(a, b, np.arange(PEOPLE), FOLD), moved(b, a, np.arange(PEOPLE), FOLD)
    np.testing.assert_allclose(there.scaled[1], back.scaled[0])
    np.testing.assert_allclose(there.whole[1], back.whole[0])
    np.testing.assert_allclose(there.turned, back.turned)
    np.testing.assert_allclose(there.shift, back.shift)


def test_a_person_counts_once_however_many_points_it_has():
    a, b = cloud(), cloud(1)
    owners = np.concatenate([np.arange(PEOPLE), np.repeat([0, 7], 50)])
    many = moved(a[owners], b[owners], owners, FOLD)
    once = moved(a, b, np.arange(PEOPLE), FOLD)
    np.testing.assert_allclose(many.whole, once.whole, rtol=1e-9)
    np.testing.assert_allclose(many.scaled, once.scaled, rtol=1e-9)


def test_equal_clouds_have_not_moved():
    a = cloud()
    found = moved(a, a.copy(), np.arange(PEOPLE), FOLD)
    assert not found.before.any()
    assert not found.length.any()
