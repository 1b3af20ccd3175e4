"""Two spaces' neighbourhoods of the same people, beside those of twins that differ in noise alone."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.errors import UserError
from embedlab.lab.embeddings import EmbeddingSet, aligned
from embedlab.maths import reused
from embedlab.maths.space.kept import Agreement, agreement, kept, means, nearest_people
from embedlab.maths.space.twins import Twins
from embedlab.maths.turns import some_of_each
from embedlab.progress import busy, track

FEWEST, LONGEST = 3, 50
# Twins are not drawn without end.
MOST_TWINS = 20


@dataclass(frozen=True)
class Photographs:
    """The images that take part, those of a person one after another.

    Attributes
    ----------
    names, people_of
        Who takes part, and of how many with two images or more.
    a, b, owners, items
        Unit rows in either space, the person of each and its name.
    """

    names: Shaped[np.ndarray, " people"]
    a: Float[np.ndarray, "n d"]
    b: Float[np.ndarray, "n e"]
    owners: Int[np.ndarray, " n"]
    items: Shaped[np.ndarray, " n"]
    people_of: int

    @classmethod
    def of(cls, a: EmbeddingSet, b: EmbeddingSet, params: Any) -> "Photographs":
        """Take the same images from both sets, in the order of names: how rows lie must not matter.

        Parameters
        ----------
        a, b
            The sets.
        params
            ``people`` and ``images`` of each at most, and ``seed``.

        Raises
        ------
        UserError
            If fewer than three people have two images.
        """
        both = aligned(a, b)
        several = np.flatnonzero(np.bincount(both.a.labels) > 1)
        if len(several) < FEWEST:
            raise UserError(
                f"{a.title} and {b.title} share {len(several)} people with two images, too few to be each "
                f"other's neighbours: at least {FEWEST} are needed; add more images of the same people"
            )
        rng = np.random.default_rng([params.seed, 10])
        chosen = np.sort(rng.permutation(several)[: params.people])
        order = np.lexsort((both.a.items, both.a.labels))
        order = order[np.isin(both.a.labels[order], chosen)]
        owners = np.searchsorted(chosen, both.a.labels[order])
        rows = some_of_each(owners, params.images, rng)
        order, owners = order[rows], owners[rows]
        names = np.asarray(both.a.identities)[chosen]
        there = both.a.unit[order], both.b.unit[order]
        return cls(names, *there, owners, both.a.items[order], len(several))

    @property
    def means(self) -> tuple[Float[np.ndarray, "people d"], Float[np.ndarray, "people e"]]:
        """Everybody's mean direction by all their images, in either space."""
        return means(self.a, self.owners), means(self.b, self.owners)


@dataclass(frozen=True)
class AtK:
    """Shares kept in the first space, in the second and across, of one size of neighbourhood.

    Attributes
    ----------
    rows
        Of each person's own neighbours.
    columns
        What a person adds to the lists that they stand in.
    """

    rows: Float[np.ndarray, "3 people"]
    columns: Float[np.ndarray, "3 people"]

    @classmethod
    def of(cls, one: Agreement, k: int) -> "AtK":
        """Take one size from many."""
        rows = np.concatenate([one.within[:, :, k - 1], one.across[None, :, k - 1]])
        return cls(rows, np.concatenate([one.within_others, one.across_others[None]]))

    @property
    def own(self) -> Float[np.ndarray, " people"]:
        """The mean of both spaces' own agreement: what is kept across where noise alone is at work."""
        mean: np.ndarray = self.rows[:2].mean(axis=0)
        return mean


@dataclass(frozen=True)
class Beside:
    """Two real spaces and their twins.

    Attributes
    ----------
    k
        How many nearest people are a neighbourhood.
    real, alike
        How far lists agree in the real spaces, and in each pair of twins.
    same
        The share that each person keeps with all images on both sides.
    """

    k: int
    real: Agreement
    alike: Sequence[Agreement]
    same: Float[np.ndarray, " people"]

    @property
    def at_k(self) -> list[AtK]:
        """The shares of the neighbourhoods asked for, the real ones first."""
        return [AtK.of(one, self.k) for one in (self.real, *self.alike)]

    @property
    def null(self) -> float:
        """What lists of two different people have in common across the real spaces."""
        return float(self.real.strangers[self.k - 1])


def beside_twins(there: Photographs, params: Any, values: int) -> Beside:
    """Compare two spaces, and pairs of twins as noisy as they are.

    Parameters
    ----------
    there
        The images.
    params
        ``k`` nearest people, at most half of the others; ``splits`` into halves; ``twins``; ``seed``.
    values
        How many shares of people to draw, of ``twins`` pairs at least and ``MOST_TWINS`` at most.

    Notes
    -----
    While ``Kept`` is in use, spaces that were compared already are not compared again.
    """
    memory = reused.in_use()
    key = reused.key((there.a, there.b, there.owners), "twins", params.k, params.splits, params.seed)
    found: _Drawing | None = memory.get(key) if memory else None
    if found is None:
        found = _Drawing.of(there, params)
    alike = found.draw(max(params.twins, min(MOST_TWINS, -(-values // len(there.names)))))
    if memory:
        memory.put(key, found)
    return Beside(found.k, found.real, alike, found.same)


@dataclass
class _Drawing:
    """Twins as far as they are drawn: whoever asks for more of the same spaces' draws on."""

    k: int
    longest: int
    splits: int
    real: Agreement
    same: Float[np.ndarray, " people"]
    twins: Twins
    rng: np.random.Generator
    alike: list[Agreement] = field(default_factory=list)

    @classmethod
    def of(cls, there: Photographs, params: Any) -> Self:
        """Compare the real spaces, and make twins as noisy as they are."""
        people = len(there.names)
        k = min(params.k, (people - 1) // 2)
        longest = max(k, min(LONGEST, people - 2))
        rng = np.random.default_rng([params.seed, 11])
        real = agreement(there.a, there.b, there.owners, k, longest, params.splits, rng)
        levels = real.within[:, :, k - 1].mean(axis=1)
        same = kept(*(nearest_people(x, k, rng) for x in there.means))[:, k - 1]
        # People stay where they are in the space where halves agree further.
        twins = Twins.of(there.a if levels[0] >= levels[1] else there.b, there.owners)
        with busy("making twins as noisy as the spaces"):
            twins = twins.matched((float(levels[0]), float(levels[1])), float(same.mean()), k, rng)
        return cls(k, longest, params.splits, real, same, twins, rng)

    def draw(self, pairs: int) -> Sequence[Agreement]:
        """Give the first so many pairs of twins, the same however many were asked for before."""
        for _ in track(range(len(self.alike), pairs), "drawing twins"):
            # Where a draw is broken off, the next begins where this one did.
            rng = deepcopy(self.rng)
            self.alike.append(self.twins.agreement(self.k, self.longest, self.splits, rng))
            self.rng = rng
        return self.alike[:pairs]


def resampled_means(
    at_k: Sequence[AtK], counts: Float[np.ndarray, "b people"]
) -> tuple[np.ndarray, np.ndarray]:
    """Give the three mean shares of the real spaces and of the mean twin, and their replicates.

    People are drawn as they are neighbours too, to first order: a share is a mean over pairs of people.

    Returns
    -------
    Of shapes (2, 3) and (2, 3, b).
    """
    kinds = [at_k[:1], at_k[1:]]
    values = np.stack([np.mean([x.rows for x in kind], axis=0) for kind in kinds])
    both = values + np.stack([np.mean([x.columns for x in kind], axis=0) for kind in kinds])
    means_of = values.mean(axis=2)
    draws = np.einsum("bp,skp->skb", counts - 1, both) / counts.shape[1] + means_of[:, :, None]
    return means_of, draws


def noise_alone(shares: np.ndarray, null: float) -> np.ndarray:
    """Give what noise alone would leave: the twins' share, for twins matched up to a little.

    What is missing is made up for as in the correction for attenuation: a share beyond chance goes with
    the root of the product of the shares within the spaces.

    Parameters
    ----------
    shares
        As ``resampled_means`` gives them.
    null
        That of lists of two different people.
    """
    real, twin = shares
    ratio = np.maximum(real[:2] - null, 1e-6) / np.maximum(twin[:2] - null, 1e-6)
    found: np.ndarray = null + (twin[2] - null) * np.clip(np.sqrt(ratio[0] * ratio[1]), 0.5, 2.0)
    return found
