"""Maps of points into two or three dimensions that keep neighbours: t-SNE and UMAP, started from a PCA.

The start decides where clusters lie to each other, and without one they lie by chance [1]_. The seed adds
noise to it, of a hundredth of its spread, so that maps of several seeds show what of a map is accident.

References
----------
.. [1] Kobak, D. and Linderman, G. C. Initialization is critical for preserving global data structure in
   both t-SNE and UMAP. Nature Biotechnology 39, 2021.
"""

import warnings

import numpy as np
from jaxtyping import Float

from embedlab.maths.space.neighbours import nearest

NOISE = 0.01
# The spread of t-SNE's start, far below that of the picture it grows into.
SMALL = 1e-4


def tsne(
    vectors: Float[np.ndarray, "n d"], perplexity: float, seed: int, dimensions: int = 2
) -> Float[np.ndarray, "n k"]:
    """Lay points out by t-SNE (Barnes–Hut) [1]_.

    Parameters
    ----------
    vectors
        Rows, n at least 5; distances are Euclidean.
    perplexity
        About how many neighbours each point listens to; never more than (n − 1)/3 are used.
    seed
        Seed of the noise on the start.
    dimensions
        2 or 3.

    References
    ----------
    .. [1] van der Maaten, L. and Hinton, G. Visualizing data using t-SNE. Journal of Machine Learning
       Research 9, 2008.
    """
    from sklearn.manifold import TSNE

    model = TSNE(
        n_components=dimensions,
        perplexity=min(perplexity, (len(vectors) - 1) / 3),
        init=(SMALL * _start(vectors, seed, dimensions)).astype(np.float32),
        learning_rate="auto",
        method="barnes_hut",
        random_state=seed,
        n_jobs=1,
    )
    placed: np.ndarray = model.fit_transform(vectors.astype(np.float32))
    return placed


def umap(
    vectors: Float[np.ndarray, "n d"], neighbours: int, seed: int, dimensions: int = 2
) -> Float[np.ndarray, "n k"]:
    """Lay points out by UMAP [1]_, on one thread, from exact neighbours.

    Parameters
    ----------
    vectors
        Rows, n at least 5; distances are Euclidean.
    neighbours
        How many points, itself among them, make a point's surroundings; never more than n − 1 are used.
    seed
        Seed of the noise on the start and of the layout.
    dimensions
        2 or 3.

    References
    ----------
    .. [1] McInnes, L., Healy, J. and Melville, J. UMAP: uniform manifold approximation and projection for
       dimension reduction. arXiv 1802.03426, 2018.
    """
    k = min(neighbours, len(vectors) - 1)
    indices, distances = nearest(vectors, k - 1, metric="euclidean")
    # UMAP counts a point as its own first neighbour.
    indices = np.column_stack([np.arange(len(vectors)), indices]).astype(np.int32)
    distances = np.pad(distances, ((0, 0), (1, 0))).astype(np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        # Without a search index of its own it cannot place further points, which nobody asks for.
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning)
        from umap import UMAP

        model = UMAP(
            n_components=dimensions,
            n_neighbors=k,
            metric="euclidean",
            init=_start(vectors, seed, dimensions).astype(np.float32),
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(indices, distances),
            force_approximation_algorithm=True,
        )
        placed: np.ndarray = model.fit_transform(vectors.astype(np.float32))
    return placed


def _start(vectors: np.ndarray, seed: int, size: int) -> Float[np.ndarray, "n k"]:
    """Give the first principal components, of spread one along the first, with a little noise."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    left, strengths, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(size), np.abs(right[:size]).argmax(axis=1)])
    placed: np.ndarray = left[:, :size] * strengths[:size] * signs
    noise = np.random.default_rng(seed).normal(scale=NOISE, size=placed.shape)
    started: np.ndarray = placed / (placed[:, 0].std() or 1.0) + noise
    return started
