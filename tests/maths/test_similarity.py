"""Measures of similarity: what published code gives, what naive forms give, what is planted."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from embedlab.maths import cca, cka, hsic
from embedlab.maths.bootstrap import interval, resamples
from embedlab.maths.halves import Cross, Halves, rematched
from embedlab.maths.neighbour_alignment import Near, cknna, mutual
from embedlab.maths.rsa import Ranked, spearman
from embedlab.maths.similarity import (
    CKNNA,
    LINEAR_CKA,
    MEASURES,
    MUTUAL,
    PROCRUSTES,
    PWCCA,
    RBF_CKA,
    RSA,
    SVCCA,
    Plan,
    Space,
    compare,
)

NAMES = [measure.name for measure in MEASURES]


def example():
    """The input whose figures by published code are written down below."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(60, 6)) * [3, 2, 1.5, 1, 1, 0.5] + 0.4
    y = x @ rng.normal(size=(6, 5)) + 2.0 * rng.normal(size=(60, 5))
    return x, y


def plan(owners, **changes):
    given = {
        "owners": owners, "sample": 400, "together": True, "neighbours": 5, "bandwidth": 0.5, "batch": 100,
        "variance": 0.99, "shuffles": 39, "refits": 19, "seed": 0,
    }  # fmt: skip
    return Plan(**(given | changes))


def clustered(people=60, images=4, dimension=8, seed=0):
    """People as centres, images round them, directions of unequal width."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), images)
    rows = rng.normal(size=(people, dimension))[owners] + 0.7 * rng.normal(size=(len(owners), dimension))
    return owners, rows * np.linspace(2, 0.5, dimension)


def measured(x, y, owners, **changes):
    chosen = plan(owners, **changes)
    return compare(Space.of(x, chosen), Space.of(y, chosen), chosen)


def rotation(dimension, seed=1):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dimension, dimension)))[0]


def linear_hsic(x, y):
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return hsic.of_features(x, y, x.T @ y)


def off_diagonal(kernel):
    return kernel - np.diag(np.diag(kernel))


def naive_hsic(a, b, weights=None):
    """Song et al., eq. 5, from n×n arrays as it stands there; n is the sum of the weights."""
    a, b = off_diagonal(a), off_diagonal(b)
    w = np.ones(len(a)) if weights is None else weights
    n, pairs = w.sum(), np.outer(w, w)
    trace, through = (pairs * a * b.T).sum(), (w @ a * w) @ (b @ w)
    total = trace + (pairs * a).sum() * (pairs * b).sum() / ((n - 1) * (n - 2)) - 2 * through / (n - 2)
    return total / (n * (n - 3))


# Published code on the same numbers -------------------------------------------------------------------


def test_unbiased_hsic_is_that_of_platonic_rep():
    """minyoungg/platonic-rep 07ef02a, metrics.py, hsic_unbiased, in double precision."""
    x, y = example()
    theirs = (458.4111475292156, 75.95502795072628, 6380.545935009699)
    ours = [linear_hsic(a, b).value for a, b in ((x, y), (x, x), (y, y))]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_unbiased_hsic_of_rbf_kernels_is_that_of_platonic_rep():
    """The three of its cka(kernel_metric="rbf", rbf_sigma=2.5, unbiased=True)."""
    x, y = (squareform(np.exp(-(pdist(rows) ** 2) / (2 * 2.5**2))) for rows in example())
    theirs = (0.0026938666500359396, 0.02802629659567161, 0.003872002349037367)
    ours = [hsic.of_kernels(a, b).value for a, b in ((x, y), (x, x), (y, y))]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_mutual_k_nn_is_that_of_platonic_rep():
    """Its mutual_knn(topk=5) on rows of length one."""
    x, y = example()
    value, _, _ = mutual(Near.of(x, 5), Near.of(y, 5))
    assert value == pytest.approx(0.3033333333333334, abs=1e-12)


def test_cknna_is_that_of_platonic_rep():
    """Its cknna(topk=5) on rows of length one, without the 1e-6 under the line."""
    x, y = example()
    across, own_x, own_y = 0.011207738541342775, 0.03751111657607179, 0.03789625455921549
    found, _ = cknna(Near.of(x, 5), Near.of(y, 5))
    assert found.value == pytest.approx(across / np.sqrt(own_x * own_y), rel=1e-10)


def test_the_angle_is_that_of_netrep_fitted_and_held_out():
    """ahwillia/netrep 3059f54, LinearMetric(alpha=1.0, score_method="angular"), fit on one half each."""
    x, y = example()
    half = np.repeat([0, 1], 30)
    a, b = Halves.of(x, half), Halves.of(y, half)
    turns = cca.turns(a, b, Cross.of(a, b))
    np.testing.assert_allclose(
        np.arccos([turn.cosine for turn in turns]), [0.7153796568089195, 0.7349490057068093], rtol=1e-12
    )
    whole = np.zeros(60, int)
    both = [Halves.of(np.concatenate([rows, rows]), np.r_[whole, whole + 1]) for rows in (x, y)]
    fits = cca.turns(*both, Cross.of(*both))
    assert np.arccos(cca.procrustes(fits).value) == pytest.approx(0.7065077464093362, rel=1e-12)


def test_rsa_is_that_of_rsatoolbox():
    """rsatoolbox 0.3.2, compare(…, method="spearman") of RDMs of cosine distances."""
    x, y = example()
    value, _, _ = spearman(Ranked.of(x), Ranked.of(y))
    assert value == pytest.approx(0.55616028, abs=1e-8)


# Naive forms ------------------------------------------------------------------------------------------


def test_feature_space_and_kernel_forms_are_the_naive_one():
    x, y = example()
    naive = naive_hsic(x @ x.T, y @ y.T)
    assert linear_hsic(x, y).value == pytest.approx(naive, rel=1e-12)
    kernels = [off_diagonal(rows @ rows.T) for rows in (x, y)]
    assert hsic.of_kernels(*kernels).value == pytest.approx(naive, rel=1e-12)
    centred = [hsic.u_centred(kernel) for kernel in kernels]
    assert (centred[0] * centred[1]).sum() / (60 * 57) == pytest.approx(naive, rel=1e-12)


@pytest.mark.parametrize("form", ["features", "kernels", "sparse"])
def test_the_gradient_is_what_a_small_change_of_weight_does(form):
    from scipy.sparse import csr_array

    x, y = example()
    rng = np.random.default_rng(0)
    a, b = (off_diagonal(rows @ rows.T) for rows in (x - x.mean(axis=0), y - y.mean(axis=0)))
    if form == "sparse":
        a, b = (kernel * (rng.random(kernel.shape) < 0.3) for kernel in (a, b))
    found = {
        "features": lambda: linear_hsic(x, y),
        "kernels": lambda: hsic.of_kernels(a, b),
        "sparse": lambda: hsic.of_sparse(csr_array(a), csr_array(b)),
    }[form]()
    direction = rng.normal(size=60)
    step = 1e-5 * direction
    slope = (naive_hsic(a, b, 1 + step) - naive_hsic(a, b, 1 - step)) / 2e-5
    assert found.value == pytest.approx(naive_hsic(a, b), rel=1e-10)
    assert found.gradient @ direction == pytest.approx(slope, rel=1e-6)


def test_rows_in_single_precision_and_many_blocks_change_nothing(monkeypatch):
    x, y = example()
    whole = linear_hsic(x, y)
    monkeypatch.setattr(hsic, "BLOCK", 7)
    np.testing.assert_allclose(linear_hsic(x, y).gradient, whole.gradient, rtol=1e-9, atol=1e-9)
    rough = linear_hsic(x.astype(np.float32), y.astype(np.float32))
    assert rough.value == pytest.approx(whole.value, rel=1e-4)


def test_shuffled_linear_cka_is_that_of_the_shuffled_rows():
    owners, x = clustered()
    y = x @ rotation(8) + np.random.default_rng(3).normal(size=x.shape)
    half = owners % 2
    a, b = Halves.of(x, half), Halves.of(y, half)
    order = rematched(owners, np.random.default_rng(0), together=False)
    product = a.rows.T @ b.rows[order]
    own = (linear_hsic(x, x), linear_hsic(y, y))
    _, nulls = cka.linear(a.rows, b.rows, a.rows.T @ b.rows, own, [(order, product)])
    naive = naive_hsic(x @ x.T, y[order] @ y[order].T) / np.sqrt(own[0].value * own[1].value)
    assert nulls[0] == pytest.approx(naive, rel=1e-9)


def test_rbf_cka_by_one_minibatch_is_the_naive_one_and_shuffles_too():
    x, y = example()

    def kernel(rows):
        sigma = 0.7 * np.median(pdist(rows))
        return np.exp(-((rows[:, None] - rows) ** 2).sum(axis=2) / (2 * sigma**2))

    order = np.random.default_rng(0).permutation(60)
    found, nulls = cka.rbf(x, y, bandwidth=0.7, batch=60, seed=0, orders=[order])
    size = np.sqrt(naive_hsic(kernel(x), kernel(x)) * naive_hsic(kernel(y), kernel(y)))
    assert found.value == pytest.approx(naive_hsic(kernel(x), kernel(y)) / size, rel=1e-10)
    assert nulls[0] == pytest.approx(naive_hsic(kernel(x), kernel(y[order])) / size, abs=1e-5)


def test_minibatches_of_rbf_cka_mean_the_same_as_the_whole():
    _, x = clustered(people=300, images=1)
    y = x @ rotation(8) + np.random.default_rng(3).normal(size=x.shape)
    whole, _ = cka.rbf(x, y, bandwidth=0.5, batch=300, seed=0)
    parts = [cka.rbf(x, y, bandwidth=0.5, batch=30, seed=k)[0].value for k in range(20)]
    assert abs(np.mean(parts) - whole.value) < 3 * np.std(parts) / np.sqrt(len(parts))
    assert np.std(parts) < 0.1


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


def test_the_gradient_of_mutual_k_nn_counts_a_neighbour_by_its_weight():
    x, y = example()
    a, b = Near.of(x, 5), Near.of(y, 5)
    value, gradient, _ = mutual(a, b)

    def weighed(w):
        shares = []
        for one, other in zip(a.indices, b.indices, strict=True):
            common = w[np.intersect1d(one, other)].sum()
            shares.append(common / ((w[one].sum() + w[other].sum()) / 2))
        return np.average(shares, weights=w)

    direction = np.random.default_rng(0).normal(size=60)
    slope = (weighed(1 + 1e-5 * direction) - weighed(1 - 1e-5 * direction)) / 2e-5
    assert weighed(np.ones(60)) == pytest.approx(value)
    assert gradient @ direction == pytest.approx(slope, rel=1e-6)


def test_neighbours_of_shuffled_items_are_those_found_anew():
    x, y = example()
    order = np.random.default_rng(0).permutation(60)
    near, (value, _, nulls) = Near.of(x, 5), mutual(Near.of(x, 5), Near.of(y, 5), [order])
    anew = Near.of(y[order], 5)
    np.testing.assert_array_equal(Near.of(y, 5).renamed(order).indices, anew.indices)
    assert nulls[0] == mutual(near, anew)[0] != value
    _, aligned = cknna(near, Near.of(y, 5), [order])
    assert aligned[0] == pytest.approx(cknna(near, anew)[0].value, rel=1e-9)


def test_canonical_correlations_are_those_of_a_plain_cca():
    x, y = example()
    half = np.repeat([0, 1], 30)
    a, b = Halves.of(x, half), Halves.of(y, half)
    fits = cca.canonical(a, b, Cross.of(a, b), cca.whitenings(a, 1.0), cca.whitenings(b, 1.0))
    one, other = (np.linalg.qr(rows[:30] - rows[:30].mean(axis=0))[0] for rows in (x, y))
    np.testing.assert_allclose(fits[0].in_sample, np.linalg.svd(one.T @ other)[1], rtol=1e-10)
    judged = [
        np.corrcoef(x[30:] @ p, y[30:] @ q)[0, 1] for p, q in zip(fits[0].a.T, fits[0].b.T, strict=True)
    ]
    np.testing.assert_allclose(fits[0].correlations, judged, rtol=1e-10)


def test_svcca_keeps_the_components_that_carry_the_share_asked_for():
    space = Halves.of(np.random.default_rng(0).normal(size=(400, 4)) * [10, 5, 1, 0.1], np.arange(400) % 2)
    assert [w.shape[1] for w in cca.whitenings(space, 0.99)] == [2, 2]
    for scatter, directions in zip(space.scatters, cca.whitenings(space, 1.0), strict=True):
        np.testing.assert_allclose(directions.T @ scatter @ directions, np.eye(4), atol=1e-9)


@pytest.mark.parametrize("name", [SVCCA, PWCCA, PROCRUSTES])
def test_rows_move_fitted_measures_as_their_weight_says(name):
    """Whoever counts twice in both halves' judgement moves it by the influence, less its √2."""
    x, y = example()
    half = np.repeat([0, 1], 30)
    a, b = Halves.of(x, half), Halves.of(y, half)
    cross = Cross.of(a, b)
    if name == PROCRUSTES:
        fits = cca.turns(a, b, cross)
        gradient = cca.turn_gradient(a, b, fits)
    else:
        fits = cca.canonical(a, b, cross, cca.whitenings(a, 0.99), cca.whitenings(b, 0.99))
        weights = tuple(fit.even if name == SVCCA else fit.weights for fit in fits)
        gradient = cca.correlation_gradient(a, b, fits, weights)

    def judged(w):
        values = []
        for fit in (0, 1):
            mine = half == 1 - fit
            v, one = w[mine], fits[fit]
            if name == PROCRUSTES:
                p, q = (a.rows[mine] - a.means[fit]) @ one.rotation, b.rows[mine] - b.means[fit]
                inner, own, other = ((v[:, None] * s).sum() for s in (p * q, 0 * p, q**2))
                own = (v[:, None] * (a.rows[mine] - a.means[fit]) ** 2).sum()
                values.append(inner / np.sqrt(own * other))
                continue
            p, q = a.rows[mine] @ one.a, b.rows[mine] @ one.b
            p, q = p - np.average(p, 0, v), q - np.average(q, 0, v)
            r = (v @ (p * q)) / np.sqrt((v @ p**2) * (v @ q**2))
            values.append(r @ weights[fit])
        return np.mean(values)

    direction = np.random.default_rng(0).normal(size=60)
    slope = (judged(1 + 1e-5 * direction) - judged(1 - 1e-5 * direction)) / 2e-5
    assert gradient @ direction == pytest.approx(slope * np.sqrt(2), rel=1e-4)


def test_spaces_of_unlike_dimensions_turn_as_if_filled_up_with_zeros():
    x, y = example()
    half = np.repeat([0, 1], 30)
    wide = np.c_[y, np.zeros((60, 1))]
    values = []
    for other in (y, wide):
        a, b = Halves.of(x, half), Halves.of(other, half)
        values.append(cca.procrustes(cca.turns(a, b, Cross.of(a, b))).value)
    assert values[0] == pytest.approx(values[1], rel=1e-10)


# Planted truths ---------------------------------------------------------------------------------------


@cache
def by_measure(change):
    owners, x = clustered()
    rng = np.random.default_rng(5)
    y = x @ rng.normal(size=(8, 6)) + rng.normal(size=(len(x), 6))
    changed = {
        "nothing": y,
        "orthogonal": y @ rotation(6),
        "scaling": 3.7 * y,
        "translation": np.add(y, [3, -1, 0, 2, 0, 1]),
        "permutation": y[:, [3, 0, 5, 1, 2, 4]],
        "invertible": y @ (rotation(6, 2) * [4, 2, 1, 1, 0.5, 0.2]) @ rotation(6, 3),
    }[change]
    return {name: one.value for name, one in measured(x, changed, owners, shuffles=1, refits=1).items()}


@pytest.mark.parametrize("change", ["orthogonal", "scaling", "translation", "invertible", "permutation"])
@pytest.mark.parametrize("measure", MEASURES, ids=NAMES)
def test_each_measure_overlooks_what_it_says_and_nothing_else(measure, change):
    gap = abs(by_measure(change)[measure.name] - by_measure("nothing")[measure.name])
    if getattr(measure, change):
        assert gap < 1e-6
    else:
        assert gap > 1e-3


def test_a_turned_larger_copy_is_the_same_space_by_every_measure_that_overlooks_turns():
    owners, x = clustered()
    found = measured(x, 3 * x @ rotation(8), owners, shuffles=5, refits=5)
    for measure in MEASURES:
        one = found[measure.name]
        if measure.orthogonal:
            assert one.value == pytest.approx(1, abs=1e-6), measure.name
            low, high = interval(one.replicates(resamples(60, 100, 0)))
            assert high - low < 1e-6, measure.name


@cache
def of_noise(together):
    """Independent spaces, 20 times; with ``together`` people are centres in both, but other ones."""
    found = []
    for seed in range(20):
        owners, x = clustered(seed=seed) if together else (clustered()[0], None)
        rng = np.random.default_rng([seed, 1])
        x = rng.normal(size=(240, 8)) if x is None else x
        y = clustered(dimension=6, seed=1000 + seed)[1] if together else rng.normal(size=(240, 6))
        found.append(measured(x, y, owners, seed=seed, shuffles=19, refits=9))
    return found


@pytest.mark.parametrize("together", [False, True], ids=["noise", "people in other places"])
@pytest.mark.parametrize("name", NAMES)
def test_unrelated_spaces_are_at_their_null_by_every_measure(name, together):
    """The value less the null is nothing, on average and within its interval nearly always."""
    counts = resamples(60, 200, 0)
    gaps, inside = [], 0
    for found in of_noise(together):
        one = found[name]
        null = one.nulls.mean()
        gaps.append(one.value - null)
        low, high = interval(one.replicates(counts))
        inside += low <= null <= high
    assert abs(np.mean(gaps)) < 3.5 * np.std(gaps) / np.sqrt(len(gaps))
    assert inside >= 16


def test_what_both_spaces_owe_to_grouping_people_is_part_of_the_null():
    """Neighbours are shared because people are; re-pairing images instead would call that likeness."""
    for name in (MUTUAL, CKNNA, RBF_CKA):
        apart = np.mean([found[name].value for found in of_noise(True)])
        owners, x = clustered(seed=0)
        y = clustered(dimension=6, seed=1000)[1]
        scattered = measured(x, y, owners, together=False, shuffles=19, refits=1)[name].nulls
        assert apart > scattered.max(), name


def test_in_sample_figures_of_noise_are_high_where_held_out_ones_are_nothing():
    rng = np.random.default_rng(0)
    found = measured(rng.normal(size=(240, 40)), rng.normal(size=(240, 40)), clustered()[0])
    for name in (SVCCA, PWCCA, PROCRUSTES):
        one = found[name]
        assert one.in_sample > 0.4, name
        assert one.in_sample_null == pytest.approx(one.in_sample, abs=0.05), name
        assert abs(one.value) < 0.1, name


def test_it_does_not_matter_which_space_comes_first():
    owners, x = clustered()
    y = x @ np.random.default_rng(2).normal(size=(8, 6)) + np.random.default_rng(3).normal(size=(240, 6))
    there, back = (measured(*pair, owners, shuffles=1, refits=1) for pair in ((x, y), (y, x)))
    for name in NAMES:
        # The published CKNNA takes sums over who names an item in one space and whom it names in the other.
        rounding = 1e-4 if name == CKNNA else 1e-9
        assert there[name].value == pytest.approx(back[name].value, abs=rounding), name
        np.testing.assert_allclose(there[name].influence, back[name].influence, atol=rounding)


@pytest.mark.parametrize("name", NAMES)
def test_more_noise_is_less_alike(name):
    owners, x = clustered()
    noise = np.random.default_rng(3).normal(size=x.shape)
    near, far = (measured(x, x + size * noise, owners, shuffles=1, refits=1)[name].value for size in (0.2, 1))
    assert 1 > near > far > 0


def test_intervals_hold_the_mean_of_all_samples_about_as_often_as_they_say():
    counts = resamples(60, 200, 0)
    values, ends = {name: [] for name in NAMES}, {name: [] for name in NAMES}
    for seed in range(40):
        owners, x = clustered(seed=seed)
        y = x + 1.2 * np.random.default_rng([seed, 7]).normal(size=x.shape)
        for name, one in measured(x, y, owners, seed=seed, shuffles=1, refits=1).items():
            values[name].append(one.value)
            ends[name].append(interval(one.replicates(counts)))
    for name in NAMES:
        low, high = np.array(ends[name]).T
        truth = np.mean(values[name])
        assert np.mean((low <= truth) & (truth <= high)) >= 0.85, name
        # Those of CKNNA are too long, as its users are told.
        assert np.mean(high - low) / 3.92 < (2.5 if name == CKNNA else 1.5) * np.std(values[name]), name


# Halves, samples, shuffles ----------------------------------------------------------------------------


def test_people_keep_together_in_halves_and_shuffles():
    owners = np.repeat(np.arange(30), 4)
    chosen = plan(owners)
    for order in chosen.orders[:5]:
        assert sorted(order.tolist()) == list(range(120))
        np.testing.assert_array_equal(chosen.half[order], chosen.half)
        met = owners[order].reshape(30, 4)
        assert (met == met[:, :1]).all()
    assert any((owners[order] != owners).any() for order in chosen.orders)


def test_shuffled_images_do_not_keep_together():
    owners = np.repeat(np.arange(30), 4)
    met = owners[plan(owners, together=False).orders[0]].reshape(30, 4)
    assert (met != met[:, :1]).any()


def test_a_sample_is_of_whole_people_and_no_larger_than_asked_for():
    rng = np.random.default_rng(0)
    owners = rng.permutation(np.repeat(np.arange(200), rng.integers(1, 9, size=200)))
    chosen = plan(owners, sample=100)
    assert 80 < len(chosen.rows) <= 100
    taken = np.bincount(owners[chosen.rows], minlength=200)
    assert set(taken[taken > 0]) <= set(np.bincount(owners)[taken > 0])
    np.testing.assert_array_equal(taken[taken > 0], np.bincount(owners)[taken > 0])
    assert chosen.sampled_people == (taken > 0).sum()


@pytest.mark.parametrize("seed", range(8))
def test_a_person_of_very_many_images_does_not_fill_the_sample(seed):
    owners = np.r_[np.zeros(5000, int), np.repeat(np.arange(1, 31), 4)]
    chosen = plan(owners, sample=100, seed=seed)
    assert np.bincount(owners[chosen.rows])[0] <= 10
    assert chosen.sampled_people > 20


def test_all_images_are_the_sample_where_they_fit():
    owners = np.repeat(np.arange(30), 4)
    np.testing.assert_array_equal(plan(owners, sample=120).rows, np.arange(120))


def test_sampled_measures_do_not_hear_of_people_outside_the_sample():
    owners, x = clustered()
    y = x + np.random.default_rng(3).normal(size=x.shape)
    chosen = plan(owners, sample=100)
    found = compare(Space.of(x, chosen), Space.of(y, chosen), chosen)
    outside = np.setdiff1d(np.arange(60), owners[chosen.rows])
    assert len(outside)
    for name in (RSA, MUTUAL, CKNNA):
        assert not found[name].influence[outside].any()
    for name in (LINEAR_CKA, RBF_CKA, SVCCA, PWCCA, PROCRUSTES):
        assert found[name].influence[outside].all()


def test_one_dissimilarity_for_all_pairs_is_no_number_and_no_zero():
    flat = Ranked.of(np.eye(6))
    value, gradient, nulls = spearman(flat, flat, [np.arange(6)])
    assert np.isnan(value)
    assert np.isnan(gradient).all()
    assert np.isnan(nulls).all()


def test_a_kernel_whose_own_hsic_is_not_above_zero_aligns_with_nothing():
    flat = hsic.Hsic(0.0, np.zeros(5))
    found = hsic.Alignment.of(hsic.Hsic(0.1, np.ones(5)), flat, replace(flat, value=1.0))
    assert np.isnan(found.value)
    assert np.isnan(found.gradient).all()
