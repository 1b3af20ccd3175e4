"""What each step of a training sees, drawn ahead: which images, mirrored, how small, how coloured.

Every draw follows from the recipe's seed, the epoch, the step and what it is for. So a training that
goes on after a stop, and one that is shared by several processes, draw what an unbroken one of one
process draws.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.data.degradations import MIN_PIXELS
from embedlab.errors import UserError
from embedlab.shapes import check_shapes
from embedlab.training.recipe import Recipe

# What a stream of draws is for; none is 0, because numpy takes (seed, epoch) for (seed, epoch, 0, 0).
PEOPLE, PICKED, LOW, JITTER, ERASING = 1, 2, 3, 4, 5

ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)
"""Least and largest share of the image that is blanked out, and height over width of the rectangle:
torchvision's ``RandomErasing``, near those of Zhong et al."""


@dataclass(frozen=True)
class Plan:
    """What one step sees: a row an image.

    Attributes
    ----------
    chosen
        Index of each image.
    mirrored
        Whether it is mirrored.
    sides
        Side in pixels that it is shrunk to before it is brought to the network's size; 0 leaves it.
    jitter
        Factors of brightness, contrast and saturation; 1 changes nothing.
    erasing
        Height and width of the blanked-out rectangle as shares of the image's side, and where it lies
        between the top and the bottom, and between the left and the right; height 0 blanks nothing.
    crossed
        Whether the second half are the images of the first at lower resolutions.
    """

    chosen: Int[np.ndarray, " n"]
    mirrored: Bool[np.ndarray, " n"]
    sides: Int[np.ndarray, " n"]
    jitter: Float[np.ndarray, "n 3"]
    erasing: Float[np.ndarray, "n 4"]
    crossed: bool = False

    def __post_init__(self) -> None:
        check_shapes(self)

    def __len__(self) -> int:
        return len(self.chosen)

    def shard(self, rank: int, world: int) -> "Plan":
        """Take one process's share of a step: rows ``rank·b … (rank + 1)·b`` of the images.

        Of a crossed step both halves are shared in the same way, so that each process has the lower
        resolutions of its own images.

        Parameters
        ----------
        rank, world
            Number of the process, from 0, and how many there are.

        Raises
        ------
        UserError
            If the images cannot be shared equally.
        """
        images = len(self) // 2 if self.crossed else len(self)
        if images % world:
            raise UserError(
                f"a step of {images} images cannot be shared equally by {world} processes: make the recipe's "
                f"batch a multiple of {world} (with per_identity, the people of a batch too)"
            )
        each = images // world
        rows = np.arange(rank * each, (rank + 1) * each)
        if self.crossed:
            rows = np.concatenate([rows, images + rows])
        columns = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "crossed"}
        return replace(self, **{name: column[rows] for name, column in columns.items()})


class Epoch:
    """The steps of one pass over the images, or over ``epoch_images`` of them.

    Without ``per_identity`` images are shown in an order drawn anew for each epoch, none twice. With it
    a step shows ``batch // per_identity`` people and ``per_identity`` images of each (P × K; Hermans et
    al.): people in an order drawn anew whenever fewer are left than a step needs, so that no step shows
    one twice; of each person images drawn anew for each step, without repetition where there are enough
    of them, else with.

    With ``low = "cross"`` a step shows each of its images a second time, in the same order, at a lower
    resolution; the two are mirrored, coloured and blanked out alike, so that nothing else tells them
    apart. A side is ``round(2^u)`` with u uniform between the recipe's exponents.

    Parameters
    ----------
    recipe
        How the model is trained.
    labels
        For each image, the index of its identity.
    epoch
        Number of the epoch, from 0.

    Attributes
    ----------
    batch
        Images a step, over all processes; each seen twice with ``low = "cross"``.
    steps
        Steps of the epoch.

    References
    ----------
    Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017.
    Massoli, Amato and Falchi, "Cross-resolution learning for face recognition", Image and Vision
    Computing 99, 2020. Their code (``vggface2_training_data_set.py``) cuts u to a whole number, so that
    only 8, 16, 32, 64 and 128 px occur; here every side between occurs.
    """

    def __init__(self, recipe: Recipe, labels: Int[np.ndarray, " n"], epoch: int) -> None:
        self.recipe, self.epoch = recipe, epoch
        labels = np.asarray(labels)
        images = len(labels)
        shown = min(recipe.epoch_images or images, images)
        self.batch = min(recipe.batch, shown)
        draw = np.random.default_rng((recipe.seed, epoch))
        self._order = draw.permutation(images)
        self._mirrored = (draw.random(images) < 0.5) & recipe.flip
        self._people = None
        if recipe.per_identity:
            self._people = _People(labels, recipe.per_identity, self.batch)
            self.batch = self._people.shown * recipe.per_identity
        self.steps = max(1, shown // self.batch)

    def plan(self, step: int) -> Plan:
        """Draw everything of one step, from 0."""
        recipe, n = self.recipe, self.batch
        here = np.arange(step * n, (step + 1) * n)
        chosen = self._people.chosen(self, step) if self._people else self._order[here]
        jitter, erasing = np.ones((n, 3)), np.zeros((n, 4))
        if recipe.jitter:
            jitter = self._draw(step, JITTER).uniform(1 - recipe.jitter, 1 + recipe.jitter, (n, 3))
        if recipe.erasing:
            erasing = _rectangles(self._draw(step, ERASING), n, recipe.erasing)
        sides = np.zeros(n, np.int64)
        if recipe.low != "never":
            draw = self._draw(step, LOW)
            low = (draw.random(n) < recipe.low_share) | (recipe.low == "cross")
            least, most = map(float, recipe.low_exponents.split("+"))
            drawn = np.maximum(np.round(2.0 ** draw.uniform(least, most, n)), MIN_PIXELS).astype(np.int64)
            sides = np.where(low & (drawn < recipe.input_size), drawn, 0)
        # A person with few images can make a batch longer than the images are many.
        plan = Plan(chosen, self._mirrored[here % len(self._mirrored)], sides, jitter, erasing)
        return _crossed(plan) if recipe.low == "cross" else plan

    def _draw(self, step: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.recipe.seed, self.epoch, step, purpose))


def _crossed(high: Plan) -> Plan:
    """Put every image a second time behind the others, and only there at its lower resolution."""
    n = len(high)
    twice = {
        field.name: np.concatenate([getattr(high, field.name)] * 2)
        for field in fields(high)
        if field.name != "crossed"
    }
    twice["sides"][:n] = 0
    return Plan(**twice, crossed=True)


def _rectangles(draw: np.random.Generator, n: int, share: float) -> Float[np.ndarray, "n 4"]:
    erased = draw.random(n) < share
    area = draw.uniform(*ERASED_AREA, n)
    ratio = np.exp(draw.uniform(math.log(ERASED_RATIO[0]), math.log(ERASED_RATIO[1]), n))
    where = draw.random((n, 2))
    # A rectangle longer than the image, which torchvision draws anew, is cut to it.
    shape = np.minimum(np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=1), 1.0)
    return np.where(erased[:, None], np.concatenate([shape, where], axis=1), 0.0)


class _People:
    """Images by person, and which people a step shows."""

    def __init__(self, labels: Int[np.ndarray, " n"], each: int, batch: int) -> None:
        self.each = each
        self.order = np.argsort(labels, kind="stable")
        self.counts = np.bincount(labels)
        self.starts = np.cumsum(self.counts) - self.counts
        self.present = np.flatnonzero(self.counts)
        self.shown = min(max(1, batch // each), len(self.present))
        self.round = -1
        self.people = self.present

    def chosen(self, epoch: Epoch, step: int) -> Int[np.ndarray, " n"]:
        """Give ``each`` images of each person of a step, one person after the other."""
        round_, turn = divmod(step, len(self.present) // self.shown)
        if round_ != self.round:
            self.people = epoch._draw(round_, PEOPLE).permutation(self.present)
            self.round = round_
        draw = epoch._draw(step, PICKED)
        picked = []
        for person in self.people[turn * self.shown : (turn + 1) * self.shown].tolist():
            count = int(self.counts[person])
            which = draw.choice(count, self.each, replace=count < self.each)
            picked.append(self.order[self.starts[person] + which])
        return np.concatenate(picked)
