"""Embedding sets and weights with a known truth, which several tests share."""

from dataclasses import replace

import numpy as np

from embedlab.lab.embeddings import EmbeddingSet
from embedlab.lab.weights import FIXED, LayerWeights, Wire


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


def grouped(a: EmbeddingSet, groups=("f", "m"), column: str = "sex") -> EmbeddingSet:
    """The same set with a column that deals people into groups in turn."""
    return replace(a, attributes={**a.attributes, column: np.asarray(groups)[a.labels % len(groups)]})


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
    """Draw kernels over three input channels, each layer with a norm layer behind it."""
    rng = np.random.default_rng(seed)
    kernels = {f"conv{k}": rng.normal(size=(channels, 3, 3, 3)).astype(np.float32) for k in range(layers)}
    norms = {
        f"norm{k}": {"running_mean": rng.normal(size=channels), "running_var": rng.uniform(1, 4, channels)}
        for k in range(layers)
    }
    wires = {f"conv{k}": Wire(FIXED, f"conv{k}") for k in range(layers)}
    wires |= {f"norm{k}": Wire(f"conv{k}", f"conv{k}") for k in range(layers)}
    return LayerWeights(model, kernels, norms, family="planted", wires=wires)


def gaussian(people, seed):
    """People and their images as Gaussians of one population, so that sets of other seeds show others."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), 4)
    vectors = rng.normal(size=(people, 16))[labels] + 0.8 * rng.normal(size=(len(labels), 16))
    return EmbeddingSet.from_rows(
        "m", "p", vectors, [str(k) for k in range(len(labels))], labels.astype(str).tolist()
    )


def uneven(images, seed=0, noise=0.7, dimension=16, model="m", probe="p", permuted=False):
    """People with as many images as told, round Gaussian centres."""
    labels = np.repeat(np.arange(len(images)), images)
    centres = np.random.default_rng(99).normal(size=(len(images), dimension))
    vectors = centres[labels] + noise * np.random.default_rng(seed).normal(size=(len(labels), dimension))
    order = np.random.default_rng(1).permutation(len(labels)) if permuted else np.arange(len(labels))
    return EmbeddingSet.from_rows(
        model,
        probe,
        vectors[order],
        [f"item{k:05d}" for k in order],
        [f"person{k:04d}" for k in labels[order]],
    )


def ladder(noises, *, model="m", data="d", collapse=None, people=50, images=4, seed=0):
    """Draw native images, and the same with noise of their own and a common shift at fewer pixels."""
    rng = np.random.default_rng(99)
    labels = np.repeat(np.arange(people), images)
    native = rng.normal(size=(people, 16))[labels] + 0.5 * rng.normal(size=(len(labels), 16))
    common = 4 * np.eye(16)[0]
    items = [f"item{k:04d}" for k in range(len(labels))]
    names = [f"person{k:03d}" for k in labels]
    return [
        EmbeddingSet.from_rows(
            model,
            f"{data}@{pixels}" if pixels else data,
            native
            + noise * np.random.default_rng([seed, pixels]).normal(size=native.shape)
            + (collapse or {}).get(pixels, 0.0) * common,
            items,
            names,
        )
        for pixels, noise in noises.items()
    ]
