"""Galleries of enrolled people: who is in one and with what, and what a search in it finds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from embedlab.maths.products import told_apart
from embedlab.maths.sums import by_person
from embedlab.maths.turns import shuffled
from embedlab.progress import blocks

# Scores of one block of a search.
BLOCK = 8_000_000


@dataclass(frozen=True)
class Gallery:
    """An entry a person, and probes to search for.

    Attributes
    ----------
    entries
        A vector of length one for each enrolled person, of shape (enrolled, d).
    probes
        Rows of the images that are searched for, of shape (m,).
    owners
        The person of each, (m,).
    places
        Where among the entries that person stands, (m,); −1 where it is not enrolled.
    """

    entries: Float[np.ndarray, "enrolled d"]
    probes: Int[np.ndarray, " m"]
    owners: Int[np.ndarray, " m"]
    places: Int[np.ndarray, " m"]


def drawn(
    unit: Float[np.ndarray, "n d"],
    images: Int[np.ndarray, " people"],
    unknown: Bool[np.ndarray, " people"],
    rng: np.random.Generator,
    *,
    most: int,
    template: bool = False,
) -> Gallery:
    """Enrol each person with one image, or with the mean of half of the images, and probe with others.

    No image is both. An unknown person is not enrolled; of one who has a single image, that is a probe.

    Parameters
    ----------
    unit
        Vectors of length one, person after person.
    images
        How many of them each person has.
    unknown
        Who is not enrolled.
    rng
        Draws which images are enrolled.
    most
        How many probes a person brings at most.
    template
        Whether half of the images are enrolled.
    """
    people = len(images)
    labels = np.repeat(np.arange(people), images)
    # Each person's images in random order: the first are enrolled, those that follow are probes.
    order, turn = shuffled(labels, rng)
    own = np.maximum(images // 2, 1) if template else np.ones_like(images)
    enrolled = turn < own[labels]
    entries = by_person(unit[order[enrolled]], labels[enrolled], people)
    lengths = np.linalg.norm(entries, axis=1, keepdims=True)
    entries = np.divide(entries, lengths, out=np.zeros_like(entries), where=lengths > 0)
    probe = ~enrolled & (turn < (own + most)[labels]) | (unknown & (images == 1))[labels]
    places = np.where(unknown, -1, np.cumsum(~unknown) - 1)
    return Gallery(entries[~unknown].astype(np.float32), order[probe], labels[probe], places[labels[probe]])


def strangers(
    images: Int[np.ndarray, " people"], share: float, rng: np.random.Generator
) -> Bool[np.ndarray, " people"]:
    """Draw who is unknown: the same share of people with several images and of those with one."""
    found = np.zeros(len(images), dtype=bool)
    for group in (np.flatnonzero(images > 1), np.flatnonzero(images == 1)):
        found[rng.permutation(group)[: round(share * len(group))]] = True
    return found


def search(
    unit: Float[np.ndarray, "n d"], gallery: Gallery
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Score every probe with every entry.

    Returns
    -------
    How many other people score at least as high as the probe's own (a tie counts against it), its own
    person's score, and the highest score of the others; minus infinity where there is no such person, and
    then nobody is counted.
    """
    n = len(gallery.probes)
    ahead, scores, highest = np.zeros(n, np.int64), np.full(n, -np.inf), np.full(n, -np.inf)
    size = max(1, BLOCK // max(len(gallery.entries), 1))
    probes, entries = told_apart(unit[gallery.probes], gallery.entries)
    for start in blocks(range(0, n if len(gallery.entries) else 0, size), "searching a gallery, in blocks"):
        rows = slice(start, min(start + size, n))
        block = probes[rows] @ entries.T
        known = np.flatnonzero(gallery.places[rows] >= 0)
        place = gallery.places[rows][known]
        right = block[known, place]
        block[known, place] = -np.inf
        scores[start + known] = right
        ahead[start + known] = (block[known] >= right[:, None]).sum(axis=1)
        highest[rows] = block.max(axis=1)
    return ahead, scores, highest
