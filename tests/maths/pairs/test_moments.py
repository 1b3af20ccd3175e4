import numpy as np
import pytest
from scipy.stats import norm

from embedlab.maths.pairs.all_pairs import Pairs, all_pairs
from embedlab.maths.pairs.grid import Grid
from embedlab.maths.pairs.moments import Drawn, Spread, chord, mean
from embedlab.maths.people.bootstrap import resamples
from tests.planted import embedding_set

COARSE = 256


def cosine(scores):
    return 1 - scores


def planted(people, images=4):
    """People of whom some are more like everybody else than others are."""
    a = embedding_set(people=people, images=images, dimension=64, noise=0.8)
    common = np.random.default_rng(5).uniform(0, 1.5, size=people)
    unit = a.unit + (common[a.labels] / 8)[:, None]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit.astype(float), a.labels, all_pairs(unit, a.labels)


def of_scores(genuine, impostor, people):
    """Pairs with known scores, dealt out to the people in turn."""
    owners = np.arange(len(genuine)) % people
    by_person = np.zeros((people, COARSE), np.int64)
    ends = np.linspace(-1, 1, COARSE + 1)
    for side in (0, 1):
        for p in range(people):
            by_person[p] += np.histogram(impostor[(np.arange(len(impostor)) + side) % people == p], ends)[0]
    fine = np.histogram(impostor, np.linspace(-1, 1, 65_537))[0]
    images = np.full(people, 2)
    none, nobody = np.empty(0, np.float32), np.empty(0, np.int64)
    return Pairs(
        "pairs", images, images, False, 2.0, Grid.whole(), fine, np.full(65_536, np.nan), fine.astype(float),
        by_person, np.empty((0, COARSE)), np.empty(0), genuine, owners, none, nobody, none,
        np.empty((0, 2), np.int64),
    )  # fmt: skip


def test_a_planted_d_prime_of_two_gaussians_is_found_with_its_overlap():
    rng = np.random.default_rng(0)
    genuine, impostor = 0.5 + 0.1 * rng.normal(size=40_000), 0.1 + 0.1 * rng.normal(size=40_000)
    spread = Spread(of_scores(genuine, impostor, 100), resamples(100, 200, 0))
    d = spread.d_prime(cosine)
    assert d.value == pytest.approx(4, abs=0.04)
    assert abs(d.replicates - d.value).max() < 0.3
    assert spread.overlap().value == pytest.approx(2 * norm.cdf(-2), abs=0.005)


def test_quantiles_are_those_of_the_scores_to_a_bin():
    unit, labels, pairs = planted(people=40)
    intra, inter = Spread(pairs, resamples(40, 100, 0)).quantiles((0.05, 0.5, 0.95))
    scores = unit @ unit.T
    same, upper = labels[:, None] == labels, np.triu(np.ones_like(scores, bool), 1)
    expected = np.quantile(scores[same & upper], (0.05, 0.5, 0.95))
    np.testing.assert_allclose([q.value for q in intra], expected, atol=1e-6)
    expected = np.quantile(scores[~same & upper], (0.05, 0.5, 0.95))
    np.testing.assert_allclose([q.value for q in inter], expected, atol=1e-4)


def test_replicates_are_those_of_pairs_counted_as_often_as_their_people():
    unit, labels, pairs = planted(people=60)
    counts = resamples(60, 150, 0)
    spread = Spread(pairs, counts)
    often = counts.astype(int)
    intra = [np.repeat(1 - pairs.genuine_scores, row[pairs.genuine_people]) for row in often]
    scores = 1 - unit @ unit.T
    apart = labels[:, None] != labels
    inter = [(scores[apart], np.outer(row[labels], row[labels])[apart]) for row in often]
    moments = spread.intra(cosine)
    np.testing.assert_allclose(moments.mean.replicates, [x.mean() for x in intra], atol=1e-6)
    np.testing.assert_allclose(moments.variance.replicates, [x.var() for x in intra], atol=1e-6)
    # Impostors are weighed to first order: as good as the same for how widely a mean is spread.
    written = np.array([np.average(values, weights=w) for values, w in inter])
    found = spread.inter(cosine).mean
    assert np.corrcoef(found.replicates, written)[0, 1] > 0.97
    assert found.replicates.std() == pytest.approx(written.std(), rel=0.1)
    # Quantiles move as those of the pairs do.
    (median,), _ = spread.quantiles((0.5,))
    written = np.array([1 - np.median(x) for x in intra])
    assert np.corrcoef(median.replicates, written)[0, 1] > 0.97
    assert median.replicates.std() == pytest.approx(written.std(), rel=0.1)


def test_other_scales_measure_other_distances():
    unit, labels, pairs = planted(people=30)
    scores = unit @ unit.T
    same, upper = labels[:, None] == labels, np.triu(np.ones_like(scores, bool), 1)
    intra, inter = (np.sqrt(2 - 2 * scores[kind & upper]) for kind in (same, ~same))
    spread = Spread(pairs, resamples(30, 50, 0))
    expected = (inter.mean() - intra.mean()) / np.sqrt((intra.var() + inter.var()) / 2)
    assert spread.d_prime(chord).value == pytest.approx(expected, rel=1e-4)
    assert spread.d_prime(chord).value != pytest.approx(spread.d_prime(cosine).value, rel=1e-2)


def test_a_difference_is_taken_resample_by_resample():
    gap = Drawn(3.0, np.array([3.0, 4.0])) - Drawn(1.0, np.array([2.0, 0.0]))
    assert gap.value == 2.0
    assert gap.replicates.tolist() == [1.0, 4.0]


def test_a_resample_without_genuine_pairs_has_no_number():
    a = embedding_set(people=3)
    rows = np.r_[0:3, 3, 6]  # Only the first person has two images.
    spread = Spread(all_pairs(a.unit[rows], a.labels[rows]), np.array([[1, 1, 1], [0, 2, 1]], np.float32))
    assert np.isfinite(spread.d_prime(cosine).replicates).tolist() == [True, False]
    assert np.isfinite(spread.overlap().replicates).tolist() == [True, False]
    assert np.isfinite(spread.quantiles((0.5,))[0][0].replicates).tolist() == [True, False]
    assert np.isfinite(mean(np.ones(2), np.array([0, 0]), spread.counts).replicates).tolist() == [True, False]


def test_a_resample_that_is_the_set_itself_has_its_numbers():
    _, _, pairs = planted(people=30)
    spread = Spread(pairs, np.ones((1, 30), np.float32))
    found = [spread.inter(cosine).mean, spread.inter(cosine).variance, spread.intra(chord).mean]
    found += [spread.intra(chord).variance, spread.d_prime(chord), spread.overlap()]
    found += [quantile for side in spread.quantiles((0.05, 0.5)) for quantile in side]
    for one in found:
        assert one.replicates[0] == pytest.approx(one.value, rel=1e-5)
