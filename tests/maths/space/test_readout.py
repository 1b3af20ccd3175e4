import numpy as np
import pytest
from scipy.stats import kstest, norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from embedlab.maths.people.permutation import p_value
from embedlab.maths.space.readout import held_out

PEOPLE = 30
OWNERS = np.repeat(np.arange(PEOPLE), 3)
FOLD = np.arange(PEOPLE) % 3


def versions(seed=0, dimension=4, gap=0.0):
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(2, PEOPLE, dimension))[:, OWNERS] + rng.normal(size=(2, len(OWNERS), dimension))
    drawn[1, :, 0] += gap
    return drawn


def signs(count, seed=0):
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(count, PEOPLE))


def test_it_is_scikit_learns_cross_validation_over_people():
    both = versions(gap=1.5)
    odds, right = held_out(both, OWNERS, FOLD, np.ones((1, PEOPLE)))
    theirs = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression()),
        both.reshape(-1, 4),
        np.repeat([0, 1], len(OWNERS)),
        cv=PredefinedSplit(np.tile(FOLD[OWNERS], 2)),
        method="decision_function",
    ).reshape(2, -1)
    np.testing.assert_allclose(odds, theirs, atol=1e-6)
    np.testing.assert_array_equal(right[0], ((theirs[0] <= 0).astype(float) + (theirs[1] > 0)) / 2)


def test_a_planted_overlap_gives_its_accuracy():
    """Of two Gaussians 2σ apart a cut names Φ(1) rightly."""
    rng = np.random.default_rng(0)
    both = rng.normal(size=(2, 3000, 2))
    both[1, :, 1] += 2
    _, right = held_out(both, np.arange(3000), np.arange(3000) % 5, np.ones((1, 3000)))
    assert right.mean() == pytest.approx(norm.cdf(1), abs=0.015)


def test_a_labelling_is_the_versions_in_other_places():
    both, one = versions(gap=1.0), signs(1)
    _, right = held_out(both, OWNERS, FOLD, one)
    change = (one[0, OWNERS] < 0)[:, None]
    swapped = np.where(change, both[::-1], both)
    _, again = held_out(swapped, OWNERS, FOLD, np.ones((1, PEOPLE)))
    np.testing.assert_array_equal(right, again)


def test_what_a_person_has_of_its_own_does_not_help():
    """Each person's versions differ by a vector of its own: in sample that is easily learned."""
    rights = []
    for seed in range(6):
        both = versions(seed, dimension=40)
        both[1] += 3 * np.random.default_rng(100 + seed).normal(size=(PEOPLE, 40))[OWNERS]
        rights.append(held_out(both, OWNERS, FOLD, np.ones((1, PEOPLE)))[1].mean())
        flat, truth = both.reshape(-1, 40), np.repeat([0, 1], len(OWNERS))
        assert LogisticRegression().fit(flat, truth).score(flat, truth) > 0.85
    assert np.mean(rights) == pytest.approx(0.5, abs=0.08)


def test_equal_versions_are_named_rightly_half_the_time():
    both = np.repeat(versions()[:1], 2, axis=0)
    _, right = held_out(both, OWNERS, FOLD, np.concatenate([np.ones((1, PEOPLE)), signs(3)]))
    assert (right == 0.5).all()


def test_a_coordinate_without_spread_does_no_harm():
    both = versions(gap=3.0)
    both[:, :, 3] = 7.0
    odds, right = held_out(both, OWNERS, FOLD, np.ones((1, PEOPLE)))
    assert np.isfinite(odds).all()
    assert right.mean() > 0.7


def test_p_is_uniform_where_versions_do_not_differ():
    ps = []
    for seed in range(24):
        labellings = np.concatenate([np.ones((1, PEOPLE)), signs(9, seed)])
        scores = held_out(versions(seed, 2), OWNERS, FOLD % 2, labellings)[1].mean(axis=1)
        ps.append(p_value(scores[0], scores[1:]))
    # Ties of few images make p too large rather than too small.
    assert kstest(ps, "uniform", alternative="greater").pvalue > 0.05
    assert np.mean(ps) == pytest.approx(0.5, abs=0.15)
