"""Planted sets and weights to try things on, where nothing has been trained or extracted yet."""

import numpy as np

from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.weights import LayerWeights


def planted(
    model: str = "planted",
    probe: str = "faces",
    noise: float = 0.6,
    *,
    people: int = 60,
    images: int = 4,
    dimension: int = 32,
) -> EmbeddingSet:
    """Draw people as Gaussian centres and images round them.

    The people are the same for every model and probe, each of which turns the space its own way where its
    model is another, and draws its own noise: so sets can be compared and mapped onto each other.

    Parameters
    ----------
    model, probe
        What the set is called.
    noise
        Standard deviation of images round their person, where people lie 1 apart along each axis.
    people, images, dimension
        How many people, images a person, and numbers a vector.
    """
    rng = np.random.default_rng([*model.encode(), 0, *probe.encode()])
    turn = np.linalg.qr(np.random.default_rng([*model.encode()]).normal(size=(dimension, dimension)))[0]
    labels = np.repeat(np.arange(people), images)
    places = np.random.default_rng(0).normal(size=(people, dimension))[labels]
    vectors = (places + noise * rng.normal(size=places.shape)) @ turn
    items = [f"item{k:04d}" for k in range(len(labels))]
    return EmbeddingSet.from_rows(model, probe, vectors, items, [f"person{k:03d}" for k in labels])


def planted_weights(model: str = "planted", kernels: int = 16) -> LayerWeights:
    """Draw the kernels of two layers as they are drawn before training."""
    rng = np.random.default_rng([*model.encode()])
    shapes = {"conv1": (kernels, 3, 3, 3), "conv2": (kernels, kernels, 3, 3)}
    return LayerWeights(
        model, {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}, {}
    )
