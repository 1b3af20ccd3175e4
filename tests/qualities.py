"""Faces of better and worse quality, planted, with vectors of unequal length."""

import numpy as np

from embedlab.lab.embeddings import EmbeddingSet
from embedlab.maths.space import sphere


def made(vectors, labels=None, model="m", probe="p"):
    labels = np.arange(len(vectors)) if labels is None else labels
    return EmbeddingSet.from_rows(
        model, probe, vectors, [f"i{k:05}" for k in range(len(vectors))], [f"p{k:04}" for k in labels]
    )


def faces(people=120, images=4, d=16, quality=True, model="m", probe="p", seed=0, noise=0.9):
    """Draw people round uniform centres; a poor image is noisier and, with ``quality``, shorter."""
    labels = np.repeat(np.arange(people), images)
    centres = sphere.uniform(people, d, np.random.default_rng(7))
    rng = np.random.default_rng(seed)
    poor = rng.uniform(0.2, 1.8, size=(len(labels), 1))
    x = centres[labels] + noise * poor * rng.normal(size=(len(labels), d)) / np.sqrt(d)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return made(
        x * (20 - 5 * poor if quality else rng.uniform(10, 20, (len(labels), 1))), labels, model, probe
    )
