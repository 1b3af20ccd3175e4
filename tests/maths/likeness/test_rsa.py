"""RSA: what published code and scipy give, weights, ties."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from embedlab.maths.likeness.rsa import Ranked, spearman
from tests.spaces import example


def test_rsa_is_that_of_rsatoolbox():
    """rsatoolbox 0.3.2, compare(…, method="spearman") of RDMs of cosine distances."""
    x, y = example()
    value, _, _ = spearman(Ranked.of(x), Ranked.of(y))
    assert value == pytest.approx(0.55616028, abs=1e-8)


def test_rsa_is_scipys_spearman_ties_included():
    rng = np.random.default_rng(0)
    # Cosines of these are exactly 0, ½ or 1, so that nearly all pairs are tied.
    corners = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [2, 0, 0, 0], [0, 2, 0, 0]])
    x = corners[rng.integers(5, size=40)]
    y = np.where(rng.random((40, 1)) < 0.5, x, corners[rng.integers(5, size=40)])
    order = rng.permutation(40)
    value, _, nulls = spearman(Ranked.of(x), Ranked.of(y), [order])
    one, other, shuffled = (np.round(pdist(rows, "cosine"), 9) for rows in (x, y, y[order]))
    assert value == pytest.approx(spearmanr(one, other).statistic, rel=1e-9)
    assert nulls[0] == pytest.approx(spearmanr(one, shuffled).statistic, abs=1e-6)


def test_the_gradient_of_rsa_is_what_a_small_change_of_weight_does():
    x, y = example()
    value, gradient, _ = spearman(Ranked.of(x), Ranked.of(y))
    one, other = pdist(x, "cosine"), pdist(y, "cosine")

    def weighed(weights):
        pairs = np.outer(weights, weights)[np.triu_indices(60, 1)]
        pairs = pairs / pairs.sum()
        ranks = []
        for apart in (one, other):
            order = np.argsort(apart)
            rank = np.empty(len(apart))
            rank[order] = np.cumsum(pairs[order]) - pairs[order] / 2
            ranks.append(rank - pairs @ rank)
        a, b = ranks
        return pairs @ (a * b) / np.sqrt((pairs @ a**2) * (pairs @ b**2))

    direction = np.random.default_rng(0).normal(size=60)
    slope = (weighed(1 + 1e-5 * direction) - weighed(1 - 1e-5 * direction)) / 2e-5
    assert weighed(np.ones(60)) == pytest.approx(value, rel=1e-9)
    assert gradient @ direction == pytest.approx(slope, rel=1e-3)


def test_one_dissimilarity_for_all_pairs_is_no_number_and_no_zero():
    flat = Ranked.of(np.eye(6))
    value, gradient, nulls = spearman(flat, flat, [np.arange(6)])
    assert np.isnan(value)
    assert np.isnan(gradient).all()
    assert np.isnan(nulls).all()
