import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import hyp0f1
from scipy.stats import skew as skew_of_scipy

from embedlab.maths.people.bootstrap import resamples
from embedlab.maths.space import sphere, subsampling
from embedlab.maths.sums import by_person

PEOPLE, EACH, D = 60, 3, 8
LABELS = np.repeat(np.arange(PEOPLE), EACH)
NONE = np.empty((0, 1), bool)
ONCE = np.ones((1, PEOPLE), np.float32)


def unit(n=PEOPLE * EACH, d=D, seed=0, towards=0.0):
    drawn = np.random.default_rng(seed).normal(size=(n, d))
    drawn[:, 0] += towards
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def repeated(row, labels):
    """Stack the images of a resample's people, and say which copy each belongs to."""
    rows, copies = [], []
    for person, times in enumerate(row.astype(int)):
        for copy in range(times):
            mine = np.flatnonzero(labels == person)
            rows += mine.tolist()
            copies += [(person, copy)] * len(mine)
    return np.array(rows), copies


def plain_mean(x, row, kernel, itself):
    """Average a kernel over the pairs of a resample, one by one, without those of two copies."""
    rows, copies = repeated(row, LABELS)
    values = []
    for i, (a, who) in enumerate(zip(rows, copies, strict=True)):
        for j, (b, other) in enumerate(zip(rows, copies, strict=True)):
            if (i != j or itself) and (who[0] != other[0] or who == other):
                values.append(kernel(float(x[a] @ x[b])))
    return np.mean(values)


def test_uniform_vectors_have_length_one_and_no_direction():
    x = sphere.uniform(20_000, 3, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.cov(x, rowvar=False), np.eye(3) / 3, atol=0.01)


def test_the_resultant_of_uniform_vectors_has_mean_square_one_over_n():
    rng = np.random.default_rng(0)
    squares = [sphere.uniform_resultant(50, 4, rng) ** 2 for _ in range(2000)]
    assert np.mean(squares) == pytest.approx(1 / 50, rel=0.08)
    assert sphere.uniform_resultant(20_000, 4, rng) < 0.03


def test_the_mean_resultant_length_is_that_of_the_mean():
    x = unit(towards=2)
    sums, sizes = by_person(x, LABELS), np.bincount(LABELS)
    value, replicates = sphere.mean_resultant_length(sums, sizes, ONCE)
    assert value == pytest.approx(np.linalg.norm(x.mean(axis=0)), abs=1e-6)
    assert replicates[0] == pytest.approx(value, abs=1e-6)


def test_resamples_leave_out_pairs_of_two_copies():
    x = unit(towards=1)
    counts = resamples(PEOPLE, 2, 0)
    sums, sizes = by_person(x, LABELS), np.bincount(LABELS)
    _, lengths = sphere.mean_resultant_length(sums, sizes, counts)
    logs = sphere.resampled_uniformity(x, LABELS, counts)
    for b, row in enumerate(counts):
        assert lengths[b] ** 2 == pytest.approx(plain_mean(x, row, lambda s: s, True), abs=1e-5)
        assert logs[b] == pytest.approx(
            np.log(plain_mean(x, row, lambda s: np.exp(4 * s - 4), False)), abs=1e-4
        )


def test_replicates_lie_round_the_value_even_where_there_is_no_direction():
    """A plain bootstrap would put all of them above it: each copy points its own way twice."""
    x = unit(n=900)
    labels = np.arange(900)
    sums = by_person(x, labels)
    value, replicates = sphere.mean_resultant_length(sums, np.ones(900, int), resamples(900, 500, 0))
    assert (replicates < value).mean() > 0.3


def test_uniformity_is_the_formula_of_the_paper():
    x = unit(towards=1)
    assert sphere.uniformity(x) == pytest.approx(np.log(np.exp(-2 * pdist(x) ** 2).mean()), abs=1e-5)
    assert sphere.resampled_uniformity(x, LABELS, ONCE)[0] == pytest.approx(sphere.uniformity(x), abs=1e-6)


@pytest.mark.parametrize("d", [3, 32])
def test_uniformity_of_uniform_vectors_is_the_closed_form(d):
    x = sphere.uniform(3000, d, np.random.default_rng(0))
    assert sphere.uniformity(x) == pytest.approx(-4 + np.log(hyp0f1(d / 2, 4)), abs=5e-3)


def test_sums_over_pairs_do_not_hang_on_the_blocks(monkeypatch):
    x = unit(towards=1)
    shuffled = np.random.default_rng(0).permutation(len(x))
    whole = sphere.pair_sums(x, LABELS, sphere.potential, itself=False)
    monkeypatch.setattr(sphere, "BLOCK", 7)
    cut = sphere.pair_sums(x[shuffled], LABELS[shuffled], sphere.potential, itself=False)
    np.testing.assert_allclose(cut, whole, rtol=1e-5)


def test_alignment_is_the_mean_squared_distance_of_each_kind_of_pair():
    x = unit(towards=1)
    sums, sizes = by_person(x, LABELS), np.bincount(LABELS)
    same, replicates, different = sphere.alignment(sums, sizes, ONCE)
    squared = ((x[:, None] - x) ** 2).sum(axis=2)
    own = LABELS[:, None] == LABELS
    assert same == pytest.approx(squared[own & ~np.eye(len(x), dtype=bool)].mean(), abs=1e-5)
    assert different == pytest.approx(squared[~own].mean(), abs=1e-5)
    assert replicates[0] == pytest.approx(same)


def test_a_person_of_many_images_weighs_no_more_in_alignment():
    x = unit(towards=1)
    labels = np.r_[np.zeros(30, int), LABELS[:-30] + 1]
    sums, sizes = by_person(x, labels), np.bincount(labels)
    once = np.ones((1, len(sizes)), np.float32)
    squared = ((x[:, None] - x) ** 2).sum(axis=2)
    of = [squared[labels == p][:, labels == p] for p in range(len(sizes))]
    each = [one[~np.eye(len(one), dtype=bool)].mean() for one in of]
    assert sphere.alignment(sums, sizes, once)[0] == pytest.approx(np.mean(each), abs=1e-5)


def test_alignment_needs_a_pair():
    x = unit(n=PEOPLE)
    same, replicates, _ = sphere.alignment(x.astype(float), np.ones(PEOPLE, int), ONCE)
    assert np.isnan(same)
    assert np.isnan(replicates).all()


@pytest.mark.parametrize("d", [2, 5, 10])
@pytest.mark.parametrize("kind", ["cube", "sphere", "gaussian"])
def test_the_two_nn_dimension_is_that_of_scikit_dimension(d, kind):
    """Its ``discard_fraction`` is 0.1 as well, and its ``method`` "linear", both by default."""
    from skdim.id import TwoNN

    rng = np.random.default_rng(d)
    points = {
        "cube": lambda: rng.uniform(size=(1000, d)),
        "sphere": lambda: sphere.uniform(1000, d + 1, rng).astype(float),
        "gaussian": lambda: rng.normal(size=(1000, d)),
    }[kind]()
    found, _, rows = sphere.two_nn(points, NONE)
    assert len(rows) == 1000
    assert found == pytest.approx(TwoNN(discard_fraction=0.1).fit(points).dimension_, rel=1e-6)
    assert found == pytest.approx(d, rel=0.15)


def test_twins_have_no_ratio():
    x = np.random.default_rng(0).normal(size=(100, 4))
    assert sorted(sphere.two_nn(np.r_[x, x[:5]], NONE)[2]) == list(range(5, 100))
    assert np.isnan(sphere.two_nn(x[:2], NONE)[0])
    assert np.isnan(sphere.two_nn_dimension(np.empty(0)))


def test_a_planted_hub_is_found_by_all():
    rng = np.random.default_rng(0)
    centre = np.eye(200)[0]
    x = np.r_[[centre], centre + rng.normal(size=(300, 200)) / np.sqrt(200)]
    skew, _, times = sphere.hubness(x / np.linalg.norm(x, axis=1, keepdims=True), 10, NONE)
    assert times.argmax() == 0
    assert times[0] > 290
    assert times.sum() == 301 * 10
    assert skew == pytest.approx(skew_of_scipy(times))


def test_k_is_less_than_half_of_a_handful():
    times = [sphere.hubness(np.eye(n), 10, NONE)[2] for n in (2, 3, 9, 100)]
    assert [int(one.sum()) for one in times] == [0, 3, 36, 1000]


def test_thirds_are_measured_as_sets_of_their_own():
    """Neighbours are those among the rows drawn, found without another search."""
    x = unit(n=400)
    drawn = subsampling.thirds(400, 3, 0)
    _, dimensions, _ = sphere.two_nn(x, drawn)
    _, skews, _ = sphere.hubness(x, 5, drawn)
    plain = [(sphere.two_nn(x[own], NONE)[0], sphere.hubness(x[own], 5, NONE)[0]) for own in drawn]
    for found, alone in zip((dimensions, skews), np.array(plain).T, strict=True):
        np.testing.assert_allclose(np.diff(found) / np.sqrt(133 / 267), np.diff(alone))


@pytest.mark.slow
def test_intervals_of_what_looks_at_neighbours_hold_the_truth():
    values, held = [], []
    for seed in range(120):
        x = unit(n=120, d=12, seed=seed, towards=1)
        drawn = subsampling.thirds(120, 150, 0)
        found = [sphere.two_nn(x, drawn)[:2], sphere.hubness(x, 10, drawn)[:2]]
        values.append([value for value, _ in found])
        held.append([np.quantile(replicates, [0.025, 0.975]) for _, replicates in found])
    truth, (low, high) = np.mean(values, axis=0), np.transpose(held, (2, 0, 1))
    inside = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert ((inside > 0.91) & (inside < 0.99)).all(), inside


def test_one_person_of_many_images_is_no_hub_for_them():
    """Whoever has sixty images is among the nearest of most of them, and of nobody else's."""
    rng = np.random.default_rng(3)
    owners = np.repeat(np.arange(31), [60] + [2] * 30)
    x = rng.normal(size=(31, 32))[owners] + 0.5 * rng.normal(size=(len(owners), 32))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    every, others = (sphere.hubness(unit, 10, NONE, who) for who in (None, owners))
    assert every[0] == others[0], "how skewed the occurrence is does not depend on whose images they are"
    near = np.argsort(-(unit @ unit.T - 2 * np.eye(len(unit))), axis=1)[:, :10]
    counted = [(near[owners != who] == k).sum() for k, who in enumerate(owners)]
    np.testing.assert_array_equal(others[2], counted)
    assert others[2][owners == 0].max() < every[2][owners == 0].max() / 2
