"""All probes of one model taken together, row under row, and people drawn from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from embedlab.lab.embeddings import EmbeddingSet


@dataclass(frozen=True)
class Sample:
    """Rows of some people.

    Attributes
    ----------
    people
        Who they are, as indices into the identities.
    rows
        Which rows, ordered by person, then probe, then item's name.
    owners
        The person of each row, as index into ``people``.
    """

    people: Int[np.ndarray, " people"]
    rows: Int[np.ndarray, " n"]
    owners: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class Joint:
    """The rows of all probes.

    Attributes
    ----------
    vectors
        Unit rows, float32 of shape (n, d).
    identities
        The people of all probes, sorted.
    person, probe
        Indices of each row into the identities and into the sets.
    items
        The image of each row, of the same name under every probe.
    probes
        Names of the probes.
    """

    vectors: Float[np.ndarray, "n d"]
    identities: Shaped[np.ndarray, " people"]
    person: Int[np.ndarray, " n"]
    probe: Int[np.ndarray, " n"]
    items: Shaped[np.ndarray, " n"]
    probes: tuple[str, ...]

    @classmethod
    def of(cls, sets: Sequence[EmbeddingSet]) -> "Joint":
        """Put the sets one under another, people joined by name."""
        people = np.concatenate([np.asarray(s.identities)[s.labels] for s in sets])
        identities, person = np.unique(people, return_inverse=True)
        return cls(
            vectors=np.concatenate([s.unit for s in sets]),
            identities=identities,
            person=person,
            probe=np.repeat(np.arange(len(sets)), [len(s.items) for s in sets]),
            items=np.concatenate([s.items for s in sets]),
            probes=tuple(s.probe for s in sets),
        )

    def halves(self, seed: int) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
        """Split the people at random; the order within each half is random too.

        It depends on the seed and the number of people alone, so two models of the same people are
        split alike.
        """
        shuffled = np.random.default_rng(seed).permutation(len(self.identities))
        half = len(shuffled) // 2
        return shuffled[:half], shuffled[half:]

    def owners(self, *groups: Int[np.ndarray, " people"]) -> list[Int[np.ndarray, " n"]]:
        """Give for each group of people the places in it of its rows' people, row by row."""
        found = []
        for group in groups:
            place = np.full(len(self.identities), -1)
            place[group] = np.arange(len(group))
            places = place[self.person]
            found.append(places[places >= 0])
        return found

    def sample(self, people: Int[np.ndarray, " people"], images: int, seed: int) -> Sample:
        """Take up to some images of each person, the same ones under every probe.

        Images are drawn by name, so two models of the same items draw the same.
        """
        picked = []
        for one in people:
            mine = np.flatnonzero(self.person == one)
            names = np.unique(self.items[mine])
            if len(names) > images:
                names = np.random.default_rng([seed, int(one)]).choice(names, images, replace=False)
            mine = mine[np.isin(self.items[mine], names)]
            picked.append(mine[np.lexsort((self.items[mine], self.probe[mine]))])
        owners = np.repeat(np.arange(len(people)), [len(mine) for mine in picked])
        return Sample(people, np.concatenate(picked), owners)

    def most_photographed(self, among: Int[np.ndarray, " m"], count: int) -> Int[np.ndarray, " k"]:
        """Give the people with the most images, whatever the probe; of equal ones the first by name."""
        _, item = np.unique(self.items, return_inverse=True)
        pairs = np.unique(np.stack([self.person, item]), axis=1)
        images = np.bincount(pairs[0], minlength=len(self.identities))
        among = np.sort(among)
        return np.sort(among[np.argsort(-images[among], kind="stable")[:count]])
