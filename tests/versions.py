"""Versions of the same people's images, planted."""

import numpy as np

from embedlab.lab.embeddings import EmbeddingSet


def probe(vectors, name="p", model="m", images=2, attributes=None, owners=None):
    """A set of people with a few images each, from vectors."""
    n = len(vectors)
    owners = np.arange(n) // images if owners is None else owners
    return EmbeddingSet.from_rows(
        model,
        name,
        vectors,
        [f"item{k:04d}" for k in range(n)],
        [f"person{k:03d}" for k in owners],
        attributes,
    )


def sphere(n=160, dimension=5, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(n, dimension))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def noisy(seed, people=40, images=2, dimension=6, centres=0, spread=0.5):
    """Versions of the same people's images that differ by noise alone."""
    middle = np.random.default_rng([99, centres]).normal(size=(people, dimension))
    drawn = np.repeat(middle, images, axis=0)
    return drawn + spread * np.random.default_rng(seed).normal(size=drawn.shape)
