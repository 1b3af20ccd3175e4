"""Maps of points into the plane."""

import numpy as np
import pytest
from numba.core.caching import FunctionCache
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from embedlab.maths.space import layouts
from embedlab.maths.space.layouts import Surroundings, tsne, umap
from embedlab.maths.space.neighbours import trustworthiness


@pytest.fixture(scope="module")
def clusters():
    rng = np.random.default_rng(0)
    return np.repeat(rng.normal(size=(12, 20)), 8, axis=0) + 0.2 * rng.normal(size=(96, 20))


def around(vectors, perplexity=10.0, neighbours=8):
    return Surroundings.of(vectors, perplexity, neighbours)


@pytest.mark.parametrize(("place", "size"), [(tsne, 10.0), (umap, 8)])
def test_a_map_keeps_clusters_and_repeats_itself_under_its_seed(place, size, clusters):
    placed = place(around(clusters), size, 0)
    assert placed.shape == (96, 2)
    assert trustworthiness(clusters, placed, 7).mean() > 0.95
    np.testing.assert_array_equal(place(around(clusters), size, 0), placed)
    assert not np.allclose(place(around(clusters), size, 1), placed)


@pytest.mark.parametrize(("place", "size"), [(tsne, 10.0), (umap, 8)])
def test_a_third_dimension_keeps_no_less(place, size, clusters):
    solid = place(around(clusters), size, 0, 3)
    assert solid.shape == (96, 3)
    assert solid[:, 2].std() > 0.05 * solid[:, 0].std()
    assert trustworthiness(clusters, solid, 7).mean() > 0.95


@pytest.mark.parametrize(("place", "size"), [(tsne, 30.0), (umap, 15)])
def test_five_points_are_enough_and_equal_ones_do_no_harm(place, size):
    """The size asked for is more than there are points."""
    few = np.random.default_rng(0).normal(size=(5, 3))
    few[1] = few[0]
    assert np.isfinite(place(around(few, 30.0, 15), size, 0)).all()


def test_what_umap_compiles_is_kept_on_disk():
    """These are the installed version's names: else every report would compile for nine seconds."""
    layouts._umap()
    import umap as package

    for module, names in layouts.COMPILED.items():
        for name in names:
            function = getattr(getattr(package, module), name)
            assert isinstance(function._cache, FunctionCache)


def test_global_order_comes_from_the_start(clusters):
    """Along a chain of clusters far ones stay farther apart, as they do not once the clusters are dealt anew.

    Layouts differ from machine to machine, so it is the ranks of distances that are held, of several seeds.
    UMAP's do not keep that order, which one layout of one machine can hide.
    """
    chain = clusters + np.outer(np.repeat(np.arange(12), 8), np.full(20, 1.5))
    apart = pdist(np.arange(12)[:, None])
    rng = np.random.default_rng(0)
    kept, dealt = [], []
    for seed in range(3):
        middles = tsne(around(chain), 10.0, seed).reshape(12, 8, 2).mean(axis=1)
        kept.append(spearmanr(apart, pdist(middles)).statistic)
        dealt += [spearmanr(apart, pdist(rng.permutation(middles))).statistic for _ in range(100)]
    assert np.median(kept) > np.quantile(dealt, 0.99)


def test_given_neighbours_t_sne_draws_from_the_likenesses_that_it_would_find_itself(clusters, monkeypatch):
    """Of scikit-learn's own search; what grows out of them differs by the last bits of their rounding."""
    from sklearn.manifold import TSNE, _t_sne

    seen = []
    real = _t_sne._joint_probabilities_nn

    def watched(*args):
        seen.append(real(*args))
        return seen[-1]

    monkeypatch.setattr(_t_sne, "_joint_probabilities_nn", watched)
    tsne(around(clusters), 10.0, 0)
    start = (layouts.SMALL * layouts._start(clusters, 0, 2)).astype(np.float32)
    TSNE(perplexity=10.0, init=start, random_state=0).fit(clusters.astype(np.float32))
    ours, theirs = (one.toarray() for one in seen)
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_neighbours_are_found_once_for_both():
    points = np.random.default_rng(0).normal(size=(100, 5))
    assert around(points).near.shape == (100, 31)
    assert around(points, 10.0, 50).near.shape == (100, 49)
    assert around(points[:6], 30.0, 15).near.shape == (6, 5)


def test_t_sne_runs_on_one_thread(clusters, monkeypatch):
    """Two threads that wait for each other took two minutes, on a busy machine, for a second of work."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_info

    seen = []
    real = TSNE.fit_transform

    def watched(self, graph):
        seen.extend(one["num_threads"] for one in threadpool_info() if one["user_api"] == "openmp")
        return real(self, graph)

    monkeypatch.setattr(TSNE, "fit_transform", watched)
    tsne(around(clusters), 10.0, 0)
    assert set(seen) == {1}
