"""Planted spaces between which there is a linear map."""

import numpy as np

from embedlab.lab.embeddings import EmbeddingSet


def faces(vectors, model="a", probe="p", images=4, order=None):
    labels = np.arange(len(vectors)) // images
    rows = np.arange(len(vectors)) if order is None else order
    return EmbeddingSet.from_rows(
        model, probe, vectors[rows], [f"i{k:05d}" for k in rows], [f"person{labels[k]:04d}" for k in rows]
    )


def vectors(people=80, images=4, d=12, noise=0.25, seed=0):
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(people, d)).repeat(images, axis=0) + noise * rng.normal(
        size=(people * images, d)
    )
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def turn(d=12, seed=9):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
