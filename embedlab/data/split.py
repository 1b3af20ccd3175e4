"""People kept apart: a share of a data set's identities for training, the others to judge by."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from embedlab.data.datasets import Dataset
from embedlab.errors import UserError
from embedlab.formats.protocols import PairList

MOST_PAIRS = 3_000


@dataclass(frozen=True, eq=False)
class Subset(Dataset):
    """Some images of another data set, under the same names.

    Attributes
    ----------
    whole
        The data set they are of.
    rows
        Where each item stands in it; int64 of shape (n,).
    """

    whole: Dataset = field(kw_only=True, repr=False)
    rows: Int[np.ndarray, " n"] = field(kw_only=True, repr=False)

    def path(self, i: int) -> Path:
        """Name the file of item ``i``."""
        return self.whole.path(int(self.rows[i]))

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """Read item ``i``, as the whole data set does."""
        return self.whole.image(int(self.rows[i]))

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of the whole data set's fingerprint and of which items these are."""
        digest = hashlib.sha256(self.whole.fingerprint.encode())
        digest.update(self.rows.astype("<i8").tobytes())
        return digest.hexdigest()


def subset(dataset: Dataset, people: Int[np.ndarray, " p"], name: str) -> Subset:
    """Take the images of some people.

    Parameters
    ----------
    dataset
        The whole.
    people
        Indices into its ``identities``.
    name
        What the part is called.
    """
    rows = np.flatnonzero(np.isin(dataset.labels, people))
    kept = np.unique(dataset.labels[rows])
    return Subset(
        name=name,
        root=dataset.root,
        items=tuple(dataset.items[row] for row in rows),
        files=tuple(dataset.files[row] for row in rows) if dataset.files else (),
        labels=np.searchsorted(kept, dataset.labels[rows]).astype(np.int64),
        identities=tuple(dataset.identities[person] for person in kept),
        caution=dataset.caution,
        whole=dataset,
        rows=rows.astype(np.int64),
    )


def split(dataset: Dataset, share: float, seed: int = 0) -> tuple[Subset, Subset]:
    """Split a data set by identity: nobody is in both parts.

    Parameters
    ----------
    dataset
        The whole.
    share
        How many of the people are held out, between 0 and 1.
    seed
        Who they are is drawn from.

    Returns
    -------
    ``<name>_train`` and ``<name>_held``.

    Raises
    ------
    UserError
        If fewer than two people would be left in either part.
    """
    people = len(dataset.identities)
    held = round(share * people)
    if not 2 <= held <= people - 2:
        raise UserError(
            f"holding out {share:g} of the {people:,} people of {dataset.name} leaves {people - held:,} and "
            f"{held:,}: each part needs at least two; choose another share"
        )
    order = np.random.default_rng(seed).permutation(people)
    train, others = subset(dataset, order[held:], "_"), subset(dataset, order[:held], "_")
    return replace(train, name=f"{dataset.name}_train"), replace(others, name=f"{dataset.name}_held")


def draw_pairs(dataset: Dataset, most: int = MOST_PAIRS, seed: int = 0) -> PairList:
    """Draw pairs of images: matching ones, each person taken in turn, and as many of two people.

    Taking the people in turn keeps one with hundreds of images from ruling the figures. No pair is
    drawn twice.

    Parameters
    ----------
    dataset
        The images.
    most
        How many pairs of either kind at most.
    seed
        What they are drawn from.

    Raises
    ------
    UserError
        If nobody has two images.
    """
    draw = np.random.default_rng(seed)
    order = np.argsort(dataset.labels, kind="stable")
    ends = np.cumsum(np.bincount(dataset.labels, minlength=len(dataset.identities)))
    rows = np.split(order, ends[:-1])
    several = [own for own in rows if len(own) > 1]
    if not several:
        raise UserError(f"nobody in {dataset.name} has two images, so there are no pairs of one person")
    wanted = min(most, sum(len(own) * (len(own) - 1) // 2 for own in several))
    matching: dict[tuple[int, int], None] = {}
    while len(matching) < wanted:
        # A person whose pairs are used up draws in vain; the others go on.
        for own in several:
            a, b = sorted(draw.choice(own, 2, replace=False).tolist())
            matching[a, b] = None
            if len(matching) == wanted:
                break
    others: dict[tuple[int, int], None] = {}
    possible = (len(dataset) ** 2 - sum(len(own) ** 2 for own in rows)) // 2
    while len(others) < min(wanted, possible):
        first, second = draw.choice(len(rows), 2, replace=False)
        a, b = sorted((int(draw.choice(rows[first])), int(draw.choice(rows[second]))))
        others[a, b] = None
    every = [*matching, *others]
    return PairList(
        a=tuple(dataset.items[a] for a, _ in every),
        b=tuple(dataset.items[b] for _, b in every),
        same=np.arange(len(every)) < len(matching),
    )
