"""Learning rates: a rise, then half a cosine, steps at milestones, or steps where validation stalls."""

import math

from embedlab.training.recipe import Recipe, numbers
from embedlab.training.state import Progress

PLATEAU_DIVISOR = 5.0
MILESTONE_DIVISOR = 10.0


def learning_rate(recipe: Recipe, step: int, steps: int, divisions: int = 0) -> float:
    """Give the rate of a step: a linear rise, then what the recipe's schedule says.

    Parameters
    ----------
    recipe
        Holds the highest rate, the epochs of the rise and the schedule.
    step
        Number of the step over all epochs, from 0.
    steps
        Steps an epoch.
    divisions
        How often validation has stalled; only ``plateau`` asks.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017 (cosine).
    Cao et al., "VGGFace2", FG 2018, and He et al., "Deep Residual Learning", CVPR 2016 (plateau).
    """
    total = recipe.epochs * steps
    rise = min(recipe.warmup_epochs * steps, total)
    rate = recipe.learning_rate
    if recipe.schedule == "multistep":
        passed = sum(step >= share * total for share in numbers(recipe.milestones))
        rate /= MILESTONE_DIVISOR**passed
    elif recipe.schedule == "plateau":
        rate /= PLATEAU_DIVISOR**divisions
    if step < rise:
        return rate * min(1.0, (step + 1) / rise)
    if recipe.schedule == "cosine":
        return rate * 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))
    return rate


def watch(recipe: Recipe, progress: Progress, accuracy: float) -> bool:
    """Enter a validation's accuracy into the books of ``plateau``; tell whether the rate falls now.

    Parameters
    ----------
    recipe
        Says how many validations without a better accuracy are waited for.
    progress
        Keeps the best accuracy and the count, so that a resumed run goes on counting.
    accuracy
        The pair accuracy just measured.
    """
    if recipe.schedule != "plateau":
        return False
    if accuracy > progress.best:
        progress.best, progress.stalled = accuracy, 0
        return False
    progress.stalled += 1
    if progress.stalled < recipe.patience:
        return False
    progress.stalled = 0
    progress.divisions += 1
    return True
