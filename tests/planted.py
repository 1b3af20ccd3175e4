"""Embedding sets and weights with a known truth, which several tests share."""

import numpy as np

from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.weights import LayerWeights


def embedding_set(
    people: int = 30,
    images: int = 3,
    dimension: int = 16,
    noise: float = 0.5,
    model: str = "m",
    probe: str = "p",
    seed: int = 0,
) -> EmbeddingSet:
    """Draw people as Gaussian centres (the same for every noise) and images round them."""
    centres = np.random.default_rng(99).normal(size=(people, dimension))
    labels = np.repeat(np.arange(people), images)
    vectors = centres[labels] + noise * np.random.default_rng(seed).normal(size=(len(labels), dimension))
    return EmbeddingSet.from_rows(
        model,
        probe,
        vectors,
        [f"item{k:04d}" for k in range(len(labels))],
        [f"person{k:03d}" for k in labels],
    )


def renamed(a: EmbeddingSet, rows, vectors) -> EmbeddingSet:
    """The same set with other vectors in some rows."""
    moved = a.vectors.copy()
    moved[rows] = vectors
    people = np.asarray(a.identities)[a.labels].tolist()
    return EmbeddingSet.from_rows(a.model, a.probe, moved, a.items.tolist(), people)


def columns(table, *names):
    """Give of each row of a table the entries in some columns."""
    return [tuple(row[table.columns.index(name)] for name in names) for row in table.rows]


def layer_weights(model: str = "m", seed: int = 0, channels: int = 16, layers: int = 3) -> LayerWeights:
    """Draw kernels over three input channels."""
    rng = np.random.default_rng(seed)
    kernels = {f"conv{k}": rng.normal(size=(channels, 3, 3, 3)).astype(np.float32) for k in range(layers)}
    return LayerWeights(model, kernels, {})
