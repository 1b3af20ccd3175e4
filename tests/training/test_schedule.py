"""Learning rates follow the formulas written out, and the plateau counts on after a stop."""

from dataclasses import asdict

import numpy as np
import pytest

from embedlab.training.recipe import Recipe
from embedlab.training.schedule import learning_rate, watch
from embedlab.training.state import Progress


def rates(recipe: Recipe, steps: int, divisions: int = 0) -> np.ndarray:
    return np.array([learning_rate(recipe, s, steps, divisions) for s in range(recipe.epochs * steps)])


def test_the_rate_rises_then_falls_along_half_a_cosine():
    found = rates(Recipe(epochs=10, learning_rate=0.4, warmup_epochs=2.0), 5)
    np.testing.assert_allclose(found[:10], 0.4 * np.arange(1, 11) / 10)
    np.testing.assert_allclose(found[10:], 0.2 * (1 + np.cos(np.pi * np.arange(40) / 40)))


def test_multistep_divides_by_ten_at_shares_of_the_training():
    recipe = Recipe(
        epochs=10, learning_rate=0.4, schedule="multistep", milestones="0.5+0.8", warmup_epochs=0.0
    )
    np.testing.assert_allclose(rates(recipe, 2), [0.4] * 10 + [0.04] * 6 + [0.004] * 4)


@pytest.mark.parametrize("schedule", ["cosine", "multistep", "plateau"])
def test_every_schedule_rises_first(schedule):
    recipe = Recipe(epochs=10, learning_rate=0.4, schedule=schedule, warmup_epochs=1.5)
    np.testing.assert_allclose(rates(recipe, 4)[:6], 0.4 * np.arange(1, 7) / 6)


def test_plateau_divides_by_five_each_time_validation_stalls():
    recipe = Recipe(epochs=2, learning_rate=0.5, schedule="plateau", warmup_epochs=0.0)
    np.testing.assert_allclose([rates(recipe, 3, k)[4] for k in range(3)], [0.5, 0.1, 0.02])
    assert len(set(rates(recipe, 3))) == 1


def test_a_stall_is_as_many_validations_without_a_better_one_as_patience_says():
    recipe, progress = Recipe(schedule="plateau", patience=2), Progress()
    accuracies = [0.6, 0.7, 0.7, 0.71, 0.65, 0.70, 0.71, 0.6, 0.8]
    falls = [watch(recipe, progress, accuracy) for accuracy in accuracies]
    assert falls == [False, False, False, False, False, True, False, True, False]
    assert (progress.divisions, progress.best, progress.stalled) == (2, 0.8, 0)


def test_the_count_goes_on_after_a_stop():
    recipe, unbroken, stopped = Recipe(schedule="plateau", patience=2), Progress(), Progress()
    for accuracy in (0.7, 0.6):
        watch(recipe, unbroken, accuracy)
        watch(recipe, stopped, accuracy)
        stopped = Progress(**asdict(stopped))
    assert watch(recipe, unbroken, 0.6) is watch(recipe, stopped, 0.6) is True
    assert unbroken == stopped


def test_other_schedules_keep_no_count():
    progress = Progress()
    assert not watch(Recipe(schedule="cosine", patience=1), progress, 0.0)
    assert progress == Progress()
