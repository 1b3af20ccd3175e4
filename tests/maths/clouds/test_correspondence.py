import numpy as np
import pytest
from scipy.spatial.distance import cdist

from embedlab.maths.clouds import correspondence
from embedlab.maths.clouds.correspondence import chance, judge, pooled

OWNERS = np.array([0, 0, 1, 1, 1, 2, 3, 3])
ONES = np.ones((1, 4), np.float32)


def clouds(noise=0.6, dimension=3, seed=0):
    """People as centres and images close about them, so that one's other images are often nearest."""
    rng = np.random.default_rng(seed)
    fixed = 2.0 * rng.normal(size=(4, dimension))[OWNERS] + 0.3 * rng.normal(size=(len(OWNERS), dimension))
    return fixed + noise * rng.normal(size=fixed.shape), fixed


@pytest.mark.parametrize("dimension", [3, 20])
@pytest.mark.parametrize("block", [3, 512])
def test_it_counts_as_a_table_of_all_distances_does(dimension, block, monkeypatch):
    monkeypatch.setattr(correspondence, "BLOCK", block)
    moved, fixed = clouds(noise=0.6 if dimension == 3 else 1.5, dimension=dimension)
    found = judge(moved, fixed, OWNERS)
    apart = cdist(moved, fixed)
    nearest, same = apart.argmin(axis=1), OWNERS[:, None] == OWNERS
    np.testing.assert_array_equal(found.items, nearest == np.arange(8))
    np.testing.assert_array_equal(found.people, OWNERS[nearest] == OWNERS)
    assert 0 < found.items.sum() < found.people.sum() <= 8
    assert found.rmse(ONES)[0] == pytest.approx(np.sqrt((apart.diagonal() ** 2).mean()))
    assert found.intra(ONES)[0] == pytest.approx(apart[same].mean())
    assert found.inter(ONES)[0] == pytest.approx(apart[~same].mean())
    assert found.ratio(ONES)[0] == pytest.approx(apart[same].mean() / apart[~same].mean())


def test_a_person_counted_twice_weighs_as_often_in_every_pair():
    moved, fixed = clouds()
    found, counts = judge(moved, fixed, OWNERS), np.array([[2.0, 0.0, 1.0, 1.0]], np.float32)
    weights = counts[0][OWNERS]
    apart, same = cdist(moved, fixed), OWNERS[:, None] == OWNERS
    pairs = np.where(same, 0.0, np.outer(weights, weights))
    own = np.where(same, weights[:, None], 0.0)
    assert found.inter(counts)[0] == pytest.approx((pairs * apart).sum() / pairs.sum())
    assert found.intra(counts)[0] == pytest.approx((own * apart).sum() / own.sum())
    assert found.rmse(counts)[0] == pytest.approx(np.sqrt(np.average(apart.diagonal() ** 2, weights=weights)))


def test_a_resample_of_one_person_has_no_distance_to_others():
    found = judge(*clouds(), OWNERS)
    alone = np.array([[4.0, 0.0, 0.0, 0.0]], np.float32)
    assert np.isnan(found.inter(alone)[0])
    assert np.isnan(found.ratio(alone)[0])


def test_shrinking_both_clouds_leaves_the_ratio_and_shrinking_one_to_a_point_gives_one():
    moved, fixed = clouds()
    ratio = judge(moved, fixed, OWNERS).ratio(ONES)[0]
    assert judge(0.1 * moved, 0.1 * fixed, OWNERS).ratio(ONES)[0] == pytest.approx(ratio)
    assert ratio < 0.8
    rng = np.random.default_rng(1)
    fixed = rng.normal(size=(400, 3))
    point = np.zeros_like(fixed)
    people = np.arange(400)
    one = np.ones((1, 400), np.float32)
    assert judge(point, fixed, people).ratio(one)[0] == pytest.approx(1.0)


def test_pooled_moves_are_means():
    fixed = clouds()[1]
    many = [
        judge(clouds(noise=noise, seed=noise_seed)[0], fixed, OWNERS)
        for noise_seed, noise in ((1, 0.1), (2, 2.0))
    ]
    both = pooled(many)
    np.testing.assert_allclose(both.items, (many[0].items + many[1].items) / 2)
    assert both.inter(ONES)[0] == pytest.approx((many[0].inter(ONES)[0] + many[1].inter(ONES)[0]) / 2)
    assert set(np.unique(both.items)) <= {0.0, 0.5, 1.0}


def test_chance_is_what_random_order_gives():
    rng = np.random.default_rng(0)
    picks = rng.integers(0, 8, size=(20_000, 8))
    image, person = chance(OWNERS)
    assert (picks == np.arange(8)).mean() == pytest.approx(image, abs=0.005)
    assert (OWNERS[picks] == OWNERS).mean() == pytest.approx(person, abs=0.005)


@pytest.mark.parametrize(
    ("owners", "rows"), [(OWNERS[::-1], 8), (OWNERS + 1, 8), (OWNERS * 2, 8), (OWNERS[:5], 8), (OWNERS, 7)]
)
def test_clouds_and_owners_must_fit(owners, rows):
    moved, fixed = clouds()
    with pytest.raises(ValueError, match="owners"):
        judge(moved, fixed[:rows], owners)
