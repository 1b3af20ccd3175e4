import dataclasses

import numpy as np
import pytest

from embedlab import progress
from embedlab.analyses.registration import RegistrationParams
from embedlab.maths.clouds.paired_clouds import FITTED, JUDGED
from embedlab.maths.clouds.trials import AFTER, BEFORE, IMAGE, NULL, PERSON, RMSE, SHIFT, Trials, over_trials
from tests.planted import embedding_set

PARAMS = RegistrationParams(people=500, images=4, resamples=50)


@pytest.fixture(scope="module")
def tried():
    pair = (embedding_set(probe=probe, seed=k, noise=0.3) for k, probe in enumerate(("p", "p@32")))
    return Trials.of(*pair, PARAMS, axes=3, deals=2, search=False)


def test_in_three_trials_each_person_judges_once(tried):
    for deal in (tried.each[:3], tried.each[3:]):
        judges = [set(one.clouds.people(JUDGED)) for one in deal]
        assert sum(map(len, judges)) == len(set.union(*judges)) == 30
    assert not np.array_equal(tried.each[0].clouds.people(JUDGED), tried.each[3].clouds.people(JUDGED))
    np.testing.assert_array_equal(tried.people, np.arange(30))


def test_the_first_deal_is_the_same_however_many_there_are(tried):
    pair = [embedding_set(probe=probe, seed=k, noise=0.3) for k, probe in enumerate(("p", "p@32"))]
    once = Trials.of(*pair, PARAMS, axes=3, deals=1, search=False)
    np.testing.assert_array_equal(once.matches, tried.matches[:3])
    other = Trials.of(*pair, dataclasses.replace(PARAMS, seed=1), axes=3, deals=1, search=False)
    assert not np.array_equal(once.names, other.names)


def test_a_shift_is_that_of_the_fitted_centroids(tried):
    one = tried.each[1]
    x, y = one.clouds.rows(FITTED)
    np.testing.assert_allclose(one.moved[SHIFT] - one.moved[BEFORE], [x.mean(0) - y.mean(0)] * 30, atol=1e-9)


def test_figures_are_means_over_trials_of_those_who_judge_them(tried):
    counts = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), 50).astype(np.float32)
    drawn, rows = tried.measured(IMAGE, AFTER, counts, tried.people)
    assert drawn.value == pytest.approx(tried.matches[:, tried.maps.index(AFTER)].mean())
    assert [row.value for row in rows] == pytest.approx(tried.matches[:, tried.maps.index(AFTER)])
    one = tried.each[4]
    weights = counts[7, one.clouds.people(JUDGED)][one.clouds.owners(JUDGED)]
    assert rows[4].replicates[7] == pytest.approx(np.average(one.judged[AFTER].items, weights=weights))
    apart = ((one.moved[AFTER] - one.clouds.rows(JUDGED)[0]) ** 2).sum(axis=1)
    by_hand = np.sqrt(np.average(apart, weights=weights))
    assert tried.measured(RMSE, AFTER, counts, tried.people)[1][4].replicates[7] == pytest.approx(by_hand)
    assert tried.chance(IMAGE) == pytest.approx(1 / 30)
    assert tried.chance(PERSON) == pytest.approx(1 / 10)
    assert tried.chance(RMSE) is None
    assert tried.maps[-1] == NULL


@pytest.mark.parametrize("count", [3, 9])
def test_the_mean_over_trials_varies_as_independent_trials_would(count):
    """Its interval holds the truth in 95 % of draws, however few trials there are."""
    rng, held = np.random.default_rng(0), 0
    for seed in range(300):
        trials = rng.normal(size=count)
        drawn = over_trials(np.repeat(trials[:, None], 401, axis=1), seed)
        assert drawn.value == pytest.approx(trials.mean())
        low, high = np.quantile(drawn.replicates, [0.025, 0.975])
        held += low <= 0 <= high
    assert 0.91 <= held / 300 <= 0.98
    alike = over_trials(np.tile(np.r_[0.5, rng.random(400)], (9, 1)), 0)
    assert alike.value == 0.5


def test_two_fits_of_three_that_succeed_are_not_sure_to():
    """Six of nine tell that more than one does."""
    for count in (3, 9):
        ended = np.r_[0.9, 0.9, 0.1].repeat(count // 3)
        for seed in range(20):
            low = np.quantile(over_trials(np.repeat(ended[:, None], 401, axis=1), seed).replicates, 0.025)
            assert (low > 0.2) == (count == 9)


def test_trials_without_anybody_in_a_resample_are_passed_over():
    drawn = over_trials(np.array([[3.0, np.nan, np.nan], [3.0, 2.0, np.nan], [3.0, 4.0, np.nan]]), 0)
    assert drawn.value == 3.0
    assert drawn.replicates[0] == 3.0
    assert np.isnan(drawn.replicates[1])


def test_every_fit_is_told_of():
    heard = []

    class Listener:
        def loop(self, items, what, total):
            heard.append((what, total))
            yield from items

    token = progress._listener.set(Listener())
    try:
        pair = (embedding_set(9, probe=probe, seed=k) for k, probe in enumerate(("p", "p@32")))
        Trials.of(*pair, PARAMS, axes=0, deals=2, search=False)
    finally:
        progress._listener.reset(token)
    assert heard[0] == ("registering p@32 in m onto p in m on all axes, group after group", 6)
