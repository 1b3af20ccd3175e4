"""Maps of points into two or three dimensions that keep neighbours: t-SNE and UMAP, started from a PCA.

The start decides where clusters lie to each other, and without one they lie by chance [1]_. The seed adds
noise to it, of a hundredth of its spread, so that maps of several seeds show what of a map is accident. Both
start from neighbours that were found before, exactly, and once for both.

References
----------
.. [1] Kobak, D. and Linderman, G. C. Initialization is critical for preserving global data structure in
   both t-SNE and UMAP. Nature Biotechnology 39, 2021.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embedlab.maths.space.neighbours import nearest

NOISE = 0.01
# The spread of t-SNE's start, far below that of the picture it grows into.
SMALL = 1e-4
# What UMAP compiles anew in each process, for nine seconds in all, by its modules.
COMPILED = {
    "umap_": ("smooth_knn_dist", "compute_membership_strengths"),
    "layouts": ("_nb_optimize_layout_euclidean_single_epoch",),
}


@dataclass(frozen=True)
class Surroundings:
    """Points, and each one's nearest others: Euclidean, exact, nearest first.

    Attributes
    ----------
    vectors
        The points, n at least 5.
    near, distances
        Indices of the nearest others and how far away they are.
    """

    vectors: Float[np.ndarray, "n d"]
    near: Int[np.ndarray, "n k"]
    distances: Float[np.ndarray, "n k"]

    @classmethod
    def of(
        cls, vectors: Float[np.ndarray, "n d"], perplexity: float, neighbours: int, least: int = 1
    ) -> "Surroundings":
        """Find as many neighbours as t-SNE of a perplexity and UMAP of so many neighbours ask for."""
        most = max(_tsne_neighbours(len(vectors), perplexity), neighbours - 1, least)
        near, distances = nearest(vectors, min(most, len(vectors) - 1), metric="euclidean")
        return cls(vectors, near, distances)

    def with_selves(self, k: int) -> tuple[Int[np.ndarray, "n k+1"], Float[np.ndarray, "n k+1"]]:
        """Give each point and its k nearest: both libraries count a point as its own first neighbour."""
        indices = np.column_stack([np.arange(len(self.near)), self.near[:, :k]]).astype(np.int32)
        return indices, np.pad(self.distances[:, :k], ((0, 0), (1, 0))).astype(np.float32)


def _perplexity(n: int, perplexity: float) -> float:
    return min(perplexity, (n - 1) / 3)


def _tsne_neighbours(n: int, perplexity: float) -> int:
    return min(n - 1, int(3 * _perplexity(n, perplexity) + 1))


def tsne(around: Surroundings, perplexity: float, seed: int, dimensions: int = 2) -> Float[np.ndarray, "n k"]:
    """Lay points out by t-SNE (Barnes–Hut) [1]_.

    Parameters
    ----------
    around
        The points and their neighbours, as many as the perplexity asks for.
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
    from scipy.sparse import csr_array
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n = len(around.vectors)
    k = _tsne_neighbours(n, perplexity)
    indices, distances = around.with_selves(k)
    graph = csr_array((distances.ravel(), indices.ravel(), np.arange(n + 1) * (k + 1)), (n, n))
    model = TSNE(
        n_components=dimensions,
        perplexity=_perplexity(n, perplexity),
        init=(SMALL * _start(around.vectors, seed, dimensions)).astype(np.float32),
        learning_rate="auto",
        method="barnes_hut",
        metric="precomputed",
        random_state=seed,
        n_jobs=1,
    )
    # Its steps are short: threads that wait for each other cost a hundred times as much on a busy machine.
    with threadpool_limits(1, "openmp"):
        placed: np.ndarray = model.fit_transform(graph)
    return placed


def umap(around: Surroundings, neighbours: int, seed: int, dimensions: int = 2) -> Float[np.ndarray, "n k"]:
    """Lay points out by UMAP [1]_, on one thread, from exact neighbours.

    Parameters
    ----------
    around
        The points and their neighbours, as many as are asked for less one.
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
    n = len(around.vectors)
    k = min(neighbours, n - 1)
    indices, distances = around.with_selves(k - 1)
    made = _umap()
    with warnings.catch_warnings():
        # Without a search index of its own it cannot place further points, which nobody asks for.
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning)
        model = made(
            n_components=dimensions,
            n_neighbors=k,
            metric="euclidean",
            init=_start(around.vectors, seed, dimensions).astype(np.float32),
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(indices, distances),
            force_approximation_algorithm=True,
        )
        placed: np.ndarray = model.fit_transform(around.vectors.astype(np.float32))
    return placed


@cache
def _umap() -> Any:
    """Import UMAP's class, and let what it compiles be kept on disk."""
    from embedlab.maths._compiled import kept

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        import umap

    for module, names in COMPILED.items():
        for name in names:
            # Other versions may call it otherwise: then it is compiled anew.
            if hasattr(function := getattr(getattr(umap, module), name, None), "enable_caching"):
                kept(function)
    return umap.UMAP


def pca(vectors: Float[np.ndarray, "n d"], dimensions: int = 2) -> Float[np.ndarray, "n k"]:
    """Lay points out by their first principal components, signed so that the largest loading is positive."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    left, strengths, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(dimensions), np.abs(right[:dimensions]).argmax(axis=1)])
    placed: np.ndarray = left[:, :dimensions] * strengths[:dimensions] * signs
    return placed


def _start(vectors: np.ndarray, seed: int, size: int) -> Float[np.ndarray, "n k"]:
    """Give the first principal components, of spread one along the first, with a little noise."""
    placed = pca(vectors, size)
    noise = np.random.default_rng(seed).normal(scale=NOISE, size=placed.shape)
    started: np.ndarray = placed / (placed[:, 0].std() or 1.0) + noise
    return started
