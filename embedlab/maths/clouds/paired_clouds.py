"""The drawn images of two embedding sets as two clouds on a few axes, fitted on some of the people."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths.people.folds import identity_folds
from embedlab.maths.space.components import Components, principal
from embedlab.maths.turns import some_by_name

FEWEST_PEOPLE = 9
FITTED, ADDED, JUDGED = range(3)


@dataclass(frozen=True)
class PairedClouds:
    """Two clouds, row for row the same items, sorted by person.

    Attributes
    ----------
    target, source
        Coordinates on the axes; a unit is the spread (root mean square distance to the mean) of the
        target's fitted rows, and between two models of each cloud's own.
    person
        The person of each row, as a number among all of them.
    group
        ``FITTED`` for rows of the people the axes are fitted on, ``ADDED`` for those of as many more
        people, ``JUDGED`` for the rest.
    names
        The item of each row.
    all_people
        How many people there were to draw from.
    dropped
        How many images stand in one set only.
    explained
        The share of the target's variance, of the people judged, that lies along the axes.
    """

    target: Float[np.ndarray, "n axes"]
    source: Float[np.ndarray, "n axes"]
    person: Int[np.ndarray, " n"]
    group: Int[np.ndarray, " n"]
    names: Shaped[np.ndarray, " n"]
    all_people: int
    dropped: int
    explained: float

    @classmethod
    def of(
        cls,
        a: EmbeddingSet,
        b: EmbeddingSet,
        *,
        axes: int,
        people: int,
        images: int,
        seed: int,
        part: int = 0,
    ) -> "PairedClouds":
        """Draw people and images by name, so that every pair of the same images draws the same.

        Parameters
        ----------
        a, b
            The target and the source: of one model, whose axes they then share; or of two.
        axes
            How many principal axes; 0 for all that both spaces have.
        people
            How many people a group has at most.
        images
            How many images a person has at most.
        seed
            Seed of the groups and of the draw.
        part
            Parts go round: of 0, 1 and 2 each lets another third of the people judge.

        Raises
        ------
        UserError
            If they share no image or fewer than nine people, there are not two axes, or a cloud has no
            spread.
        """
        pair = aligned(a, b)
        everyone = len(pair.a.identities)
        if everyone < FEWEST_PEOPLE:
            raise UserError(
                f"{a.title} and {b.title} share {everyone} people: they are dealt into three groups, to fit, "
                f"to compare and to judge, so give at least {FEWEST_PEOPLE}"
            )
        rng = np.random.default_rng([seed, 20])
        rows = some_by_name(pair.a.items, pair.a.labels, images, rng)
        fold, shuffled = identity_folds(everyone, 3, seed), rng.permutation(everyone)
        chosen = np.concatenate([shuffled[fold[shuffled] == k][:people] for k in range(3)])
        rows = rows[np.isin(pair.a.labels[rows], chosen)]
        group = (fold[pair.a.labels[rows]] + part) % 3
        target, source, explained = _on_axes(pair.a.take(rows), pair.b.take(rows), group, axes)
        dropped = pair.dropped_a + pair.dropped_b
        person, names = pair.a.labels[rows], pair.a.items[rows]
        return cls(target, source, person, group, names, everyone, dropped, explained)

    @property
    def axes(self) -> int:
        """How many axes there are."""
        return int(self.target.shape[1])

    def rows(self, group: int) -> tuple[Float[np.ndarray, "m axes"], Float[np.ndarray, "m axes"]]:
        """Take a group's target and source."""
        mine = self.group == group
        return self.target[mine], self.source[mine]

    def people(self, group: int) -> Int[np.ndarray, " people"]:
        """Give the people of a group."""
        return np.unique(self.person[self.group == group])

    def owners(self, group: int) -> Int[np.ndarray, " m"]:
        """Give the person of each of a group's rows, as 0, 1, 2…."""
        found: np.ndarray = np.unique(self.person[self.group == group], return_inverse=True)[1]
        return found

    def unrelated(self, seed: int) -> tuple[Float[np.ndarray, "m axes"], Float[np.ndarray, "k axes"]]:
        """Take the target of some people and the source of others, none of them judged.

        Of either there are as many as are fitted on, or one fewer.
        """
        pool = np.unique(self.person[self.group != JUDGED])
        pool = np.random.default_rng([seed, 21]).permutation(pool)
        half = len(pool) // 2
        some, others = (np.isin(self.person, people) for people in (pool[:half], pool[half:]))
        return self.target[some], self.source[others]


def _fitted(cloud: np.ndarray, fitted: np.ndarray, axes: int) -> Components:
    """Fit axes on some rows; where they span fewer than are asked for, the other rows add theirs."""
    return principal(cloud[fitted], cloud if axes > np.count_nonzero(fitted) else None)


def _on_axes(
    a: EmbeddingSet, b: EmbeddingSet, group: np.ndarray, axes: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Bring unit vectors to axes and units; and give the share of the target's variance along these."""
    most = min(a.vectors.shape[1], b.vectors.shape[1])
    axes = min(axes or most, most)
    if axes < 2:
        raise UserError(
            f"{a.title} and {b.title} would be registered on one axis: give vectors of at least two numbers, "
            "and ask for two dimensions or more"
        )
    fitted, judged = group == FITTED, group == JUDGED
    one_model = a.model == b.model
    if one_model:
        spaces = [_fitted(np.concatenate([a.unit, b.unit]), np.tile(fitted, 2), axes)] * 2
    else:
        spaces = [_fitted(a.unit, fitted, axes), _fitted(b.unit, fitted, axes)]
    axes = min(axes, *(len(space.variances) for space in spaces))
    target, source = (space.project(s.unit, axes) for space, s in zip(spaces, (a, b), strict=True))
    spreads = [float(np.sqrt(cloud[fitted].var(axis=0).sum())) for cloud in (target, source)]
    for one, spread in zip((a, b), spreads, strict=True):
        if not spread > 1e-6:
            raise UserError(f"{one.title}: the images drawn have one and the same vector, which is no cloud")
    whole = float(a.unit[judged].var(axis=0).sum())
    explained = float(target[judged].var(axis=0).sum()) / whole if whole else 0.0
    return target / spreads[0], source / spreads[0 if one_model else 1], explained
