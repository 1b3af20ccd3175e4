import numpy as np
import pytest
from scipy.stats import kstest, norm, ortho_group
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from embedlab.maths.people.permutation import p_value
from embedlab.maths.space import readout
from embedlab.maths.space.readout import held_out

PEOPLE = 30
OWNERS = np.repeat(np.arange(PEOPLE), 3)
FOLD = np.arange(PEOPLE) % 3
NONE = np.ones((0, PEOPLE))


def versions(seed=0, dimension=4, gap=0.0):
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(2, PEOPLE, dimension))[:, OWNERS] + rng.normal(size=(2, len(OWNERS), dimension))
    drawn[1, :, 0] += gap
    return drawn


def signs(count, seed=0):
    return np.random.default_rng(seed).choice([-1.0, 1.0], size=(count, PEOPLE))


def test_without_a_ridge_it_is_scikit_learns_discriminant_over_people(monkeypatch):
    monkeypatch.setattr(readout, "RIDGE", 1e-12)
    both = versions(gap=1.5)
    found = held_out(both, OWNERS, FOLD, NONE)
    theirs = cross_val_predict(
        LinearDiscriminantAnalysis(solver="lsqr"),
        both.reshape(-1, 4),
        np.repeat([0, 1], len(OWNERS)),
        cv=PredefinedSplit(np.tile(FOLD[OWNERS], 2)),
        method="decision_function",
    ).reshape(2, -1)
    np.testing.assert_allclose(found.odds, theirs, atol=1e-6)
    right = ((theirs[0] <= 0).astype(float) + (theirs[1] > 0)) / 2
    np.testing.assert_allclose(found.right, np.bincount(OWNERS, right) / 3)


@pytest.mark.parametrize(("people", "dimension", "gap"), [(100, 64, 2.0), (200, 32, 1.0), (300, 64, 0.6)])
def test_it_reads_no_less_than_logistic_regression(people, dimension, gap):
    """L2 with C = 1 on standardised coordinates; no axis is a special one, as in a network's output."""
    rng = np.random.default_rng(people)
    spread = np.exp(-np.arange(dimension) / (dimension / 5))
    both = (
        rng.normal(size=(people, dimension)) * spread + 0.5 * rng.normal(size=(2, people, dimension)) * spread
    )
    both[1] += gap * rng.normal(size=dimension) * spread / np.sqrt(dimension) * 3
    both = both @ ortho_group.rvs(dimension, random_state=0)
    fold = np.arange(people) % 5
    found = held_out(both, np.arange(people), fold, np.ones((0, people))).right.mean()
    right = []
    for k in range(5):
        fitted, judged = both[:, fold != k], both[:, fold == k]
        middle, size = fitted.mean(axis=(0, 1)), fitted.std(axis=(0, 1))
        model = LogisticRegression(max_iter=300).fit(
            ((fitted - middle) / size).reshape(-1, dimension), np.repeat([0, 1], fitted.shape[1])
        )
        truth = np.repeat([0, 1], judged.shape[1])
        right.append(model.predict(((judged - middle) / size).reshape(-1, dimension)) == truth)
    assert found > np.concatenate(right).mean() - 0.02


def test_a_planted_overlap_gives_its_accuracy():
    """Of two Gaussians 2σ apart a cut names Φ(1) rightly."""
    rng = np.random.default_rng(0)
    both = rng.normal(size=(2, 3000, 2))
    both[1, :, 1] += 2
    found = held_out(both, np.arange(3000), np.arange(3000) % 5, np.ones((0, 3000)))
    assert found.right.mean() == pytest.approx(norm.cdf(1), abs=0.015)


def test_a_labelling_is_the_versions_in_other_places():
    both, one = versions(gap=1.0), signs(1)
    found = held_out(both, OWNERS, FOLD, one)
    change = (one[0, OWNERS] < 0)[:, None]
    again = held_out(np.where(change, both[::-1], both), OWNERS, FOLD, NONE)
    assert found.by_chance[0] == pytest.approx(again.right.mean())


def test_what_a_person_has_of_its_own_does_not_help():
    """Each person's versions differ by a vector of its own: in sample that is easily learned."""
    rights = []
    for seed in range(6):
        both = versions(seed, dimension=40)
        both[1] += 3 * np.random.default_rng(100 + seed).normal(size=(PEOPLE, 40))[OWNERS]
        rights.append(held_out(both, OWNERS, FOLD, NONE).right.mean())
    assert np.mean(rights) == pytest.approx(0.5, abs=0.08)


def test_equal_versions_are_named_rightly_half_the_time():
    both = np.repeat(versions()[:1], 2, axis=0)
    found = held_out(both, OWNERS, FOLD, signs(3), refits=2)
    for rights in (found.right, found.by_chance, found.refitted, found.fewer):
        np.testing.assert_allclose(rights, 0.5, rtol=1e-12)


def test_a_coordinate_without_spread_does_no_harm():
    both = versions(gap=3.0)
    both[:, :, 3] = 7.0
    found = held_out(both, OWNERS, FOLD, NONE)
    assert np.isfinite(found.odds).all()
    assert found.right.mean() > 0.7


def test_people_with_many_points_count_once():
    both = versions(gap=1.0)[:, ::3]
    owners = np.concatenate([np.arange(PEOPLE), np.zeros(200, int)])
    many = held_out(both[:, owners], owners, FOLD, signs(2), refits=3)
    once = held_out(both, np.arange(PEOPLE), FOLD, signs(2), refits=3)
    np.testing.assert_allclose(many.right, once.right)
    np.testing.assert_allclose(many.by_chance, once.by_chance)
    np.testing.assert_allclose(many.fewer, once.fewer)


def test_with_more_people_to_learn_from_more_is_read():
    rng = np.random.default_rng(0)
    both = rng.normal(size=(2, 300, 40))
    both[1] += 0.25
    found = held_out(both, np.arange(300), np.arange(300) % 5, np.ones((0, 300)), refits=20)
    assert (np.diff(found.fewer) > 0).all()
    assert found.fewer[-1] == pytest.approx(found.right.mean())
    assert found.refitted.std() > 0
    assert abs(found.refitted.mean() - found.right.mean()) < 0.1


def test_p_is_uniform_where_versions_do_not_differ():
    ps = []
    for seed in range(60):
        found = held_out(versions(seed, 2), OWNERS, FOLD % 2, signs(19, seed))
        ps.append(p_value(found.right.mean(), found.by_chance))
    # Ties of few images make p too large rather than too small.
    assert kstest(ps, "uniform", alternative="greater").pvalue > 0.05
    assert np.mean(ps) == pytest.approx(0.5, abs=0.12)
