import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from embedlab.maths.pairs import excess, roc
from embedlab.maths.pairs.all_pairs import all_pairs, template_pairs
from embedlab.maths.people.bootstrap import impostor_histograms, resamples
from tests.planted import embedding_set


@pytest.fixture(scope="module")
def noisy():
    return embedding_set(people=40, images=3, noise=1.0)


@pytest.fixture(scope="module")
def pairs(noisy):
    return all_pairs(noisy.unit, noisy.labels)


def resampled(noisy, counts):
    """Write a resample out: scores of its impostor and genuine pairs, with their weights."""
    scores = noisy.unit @ noisy.unit.T
    weight = counts[noisy.labels].astype(float)
    same = noisy.labels[:, None] == noisy.labels
    upper = np.triu(np.ones_like(same), 1)
    impostor = upper & ~same
    return (
        scores[impostor],
        np.outer(weight, weight)[impostor],
        scores[upper & same],
        weight[np.nonzero(upper & same)[0]],
    )


@pytest.fixture
def unshrunk(monkeypatch):
    """Weigh pairs as the counts say, so that they can be written out."""
    monkeypatch.setattr("embedlab.maths.pairs.excess.shrunk", lambda counts, c: counts)


@pytest.mark.usefixtures("unshrunk")
def test_limits_of_a_resample_are_those_of_its_written_out_pairs(noisy, pairs):
    counts = resamples(40, 20, seed=3)
    fars = np.array([0.1, 0.01, 0.05])
    _, drawn = roc.limits(pairs, fars, counts)
    for row, limits in zip(counts, drawn, strict=True):
        scores, weights, _, _ = resampled(noisy, row)
        assert roc.impostor_weight(pairs, row[None])[0] == pytest.approx(weights.sum())
        for far, limit in zip(fars, limits, strict=True):
            assert weights[scores > limit + 1e-6].sum() <= far * weights.sum() * (1 + 1e-9)
            assert weights[scores > limit - 1e-6].sum() > far * weights.sum() * (1 - 1e-9)


@pytest.mark.usefixtures("unshrunk")
def test_shares_of_a_resample_are_those_of_its_written_out_pairs(noisy, pairs):
    counts = resamples(40, 20, seed=4)
    limits = np.full((20, 1), 0.3)
    tar = roc.accepted_share(pairs, counts, limits)[:, 0]
    far = roc.achieved_far(pairs, counts, limits[:, 0])
    for k, row in enumerate(counts):
        impostors, weights, genuine, own = resampled(noisy, row)
        assert tar[k] == pytest.approx(own[genuine > 0.3].sum() / own.sum())
        assert far[k] == pytest.approx(weights[impostors > 0.3].sum() / weights.sum())


def test_the_set_itself_is_a_resample_of_ones(pairs):
    point, _ = roc.limits(pairs, np.array([0.01]), np.ones((1, 40), np.float32))
    accepted = roc.false_accepts(pairs, float(point[0]))
    assert accepted == int(0.01 * pairs.impostor.sum())
    ones = np.ones((1, 40), np.float32)
    assert roc.achieved_far(pairs, ones, point)[0] == pytest.approx(accepted / pairs.impostor.sum())


@pytest.mark.usefixtures("unshrunk")
def test_below_the_tail_the_far_is_that_of_the_written_out_pairs_to_first_order(noisy):
    """wᵢwⱼ is 1 + δᵢ + δⱼ + δᵢδⱼ; all but the last term is kept."""
    short = all_pairs(noisy.unit, noisy.labels, tail=20)
    counts = resamples(40, 20, seed=5)
    scores, _, _, _ = resampled(noisy, np.ones(40))
    one, other = (noisy.labels[side] for side in np.nonzero(np.triu(noisy.labels[:, None] != noisy.labels)))
    for limit in (-0.5, 0.0, 0.2):
        assert limit < short.tail_scores[-1]
        far = roc.achieved_far(short, counts, np.full(20, limit))
        whole = []
        for k, row in enumerate(counts):
            first_order = row[one] + row[other] - 1
            assert far[k] == pytest.approx(first_order[scores > limit].sum() / first_order.sum(), abs=0.01)
            weights = row[one] * row[other]
            whole.append(weights[scores > limit].sum() / weights.sum())
        assert np.abs(far - whole).mean() < 0.02
        itself = roc.achieved_far(short, np.ones((1, 40), np.float32), np.array([limit]))[0]
        assert itself == pytest.approx((scores > limit).mean(), abs=1e-3)
    assert roc.false_accepts(short, -1.0) == short.impostor.sum()


def test_below_the_tail_the_sets_own_far_is_exact_to_a_fine_bin_however_rough_the_coarse_ones(noisy):
    rough = all_pairs(noisy.unit, noisy.labels, tail=20, coarse=4)
    scores, _, _, _ = resampled(noisy, np.ones(40))
    ones = np.ones((1, 40), np.float32)
    for limit in (-0.4, 0.1, 0.23):
        found = roc.achieved_far(rough, ones, np.array([limit]))[0]
        assert found == pytest.approx((scores > limit).mean(), abs=1e-3)


def test_the_weight_of_all_impostor_pairs_is_that_of_the_written_out_ones():
    uneven = embedding_set(people=12, images=3).take([*range(0, 30), 31, 33])
    counts = resamples(len(uneven.identities), 5, seed=0)
    weight = counts[:, uneven.labels].astype(float)
    apart = uneven.labels[:, None] != uneven.labels
    both = np.einsum("bi,bj,ij->b", weight, weight, apart)
    templates = np.einsum("bi,bj,ij->b", weight, counts, uneven.labels[:, None] != np.arange(counts.shape[1]))
    unit, labels = uneven.unit, uneven.labels
    np.testing.assert_allclose(roc.impostor_weight(all_pairs(unit, labels), counts), both / 2)
    np.testing.assert_allclose(roc.impostor_weight(all_pairs(unit, labels, unit), counts), both)
    np.testing.assert_allclose(roc.impostor_weight(template_pairs(unit, labels), counts), templates)


def test_a_resample_of_one_person_has_no_far(noisy):
    alone = np.zeros((1, 40), np.float32)
    alone[0, 3] = 40
    for tail in (20, 500_000):
        pairs = all_pairs(noisy.unit, noisy.labels, tail=tail)
        assert np.isnan(roc.achieved_far(pairs, alone, np.array([0.0]))).all()


@pytest.mark.parametrize("bins", [256, 4096, 65_536])
def test_bins_err_no_more_than_is_said(noisy, bins):
    pairs = all_pairs(noisy.unit, noisy.labels, bins=bins, coarse=256)
    ones = np.ones((1, 40), np.float32)
    auc, _, eer, _ = roc.auc_and_eer(pairs, ones)
    auc_error, eer_error = roc.bin_errors(pairs)
    scores, _, genuine, _ = resampled(noisy, ones[0])
    same = np.r_[np.zeros(len(scores)), np.ones(len(genuine))]
    fpr, tpr, _ = roc_curve(same, np.r_[scores, genuine], drop_intermediate=False)
    exact = roc_auc_score(same, np.r_[scores, genuine])
    gap = fpr + tpr - 1
    k = int(np.argmax(gap >= 0))
    where = fpr[k - 1] - gap[k - 1] / (gap[k] - gap[k - 1]) * (fpr[k] - fpr[k - 1])
    assert abs(auc - exact) <= auc_error + 1e-9
    assert abs(eer - where) <= eer_error + 1e-9
    assert auc_error < 60 / bins
    assert eer_error < 60 / bins


def test_the_worst_that_a_bin_can_hide_is_the_bound():
    """One bin for all: AUC may be 0 or 1 and is called 0.5, EER may be anything."""
    pairs = all_pairs(np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]), bins=1, coarse=1)
    auc, _, eer, _ = roc.auc_and_eer(pairs, np.ones((1, 2), np.float32))
    assert (auc, eer) == (0.5, 0.5)
    assert roc.bin_errors(pairs) == (0.5, 1.0)


def test_rates_are_what_their_thresholds_accept(noisy, pairs):
    counts = resamples(40, 10, seed=6)
    found = roc.rates(pairs, np.array([0.1, 0.01]), counts)
    scores, _, genuine, _ = resampled(noisy, np.ones(40))
    for k, far in enumerate((0.1, 0.01)):
        assert found.false_accepts[k] == (scores > found.thresholds[k] + 1e-6).sum()
        assert found.false_accepts[k] == int(far * len(scores))
        assert found.tar[k] == pytest.approx((genuine >= found.thresholds[k]).mean())
    assert found.tar_replicates.shape == (10, 2)


@pytest.mark.usefixtures("unshrunk")
def test_a_transferred_threshold_is_chosen_on_one_set_and_judged_on_the_other(noisy):
    halves = [noisy.take(np.flatnonzero(noisy.labels % 2 == k)) for k in range(2)]
    chosen, judged = (all_pairs(half.unit, half.labels) for half in halves)
    counts = [resamples(20, 15, seed=k) for k in range(2)]
    tar, tars, far, fars = roc.transferred(chosen, judged, 0.01, *counts)
    falling = np.sort(resampled(halves[0], np.ones(20))[0])[::-1]
    limit = falling[int(0.01 * len(falling))]
    impostors, _, genuine, _ = resampled(halves[1], np.ones(20))
    assert tar == pytest.approx((genuine > limit + 1e-6).mean())
    assert far == pytest.approx((impostors > limit + 1e-6).mean())
    for k in range(15):
        limit = roc.limits(chosen, np.array([0.01]), counts[0])[1][k, 0]
        impostors, weights, genuine, own = resampled(halves[1], counts[1][k])
        assert tars[k] == pytest.approx(own[genuine > limit + 1e-6].sum() / own.sum())
        assert fars[k] == pytest.approx(weights[impostors > limit + 1e-6].sum() / weights.sum())


def test_a_resample_without_genuine_pairs_has_no_share(pairs):
    assert np.isnan(roc.accepted_share(pairs, np.zeros((1, 40), np.float32), np.array([[0.0]]))).all()


def test_what_both_ways_give_is_their_mean_and_owes_nothing_to_their_difference():
    """Over samples neither half is the first one, so the mean does not go with the difference."""
    found = embedding_set(people=60, images=3, noise=1.0)
    halves = [found.take(np.flatnonzero(found.labels % 2 == k)) for k in range(2)]
    one, other = (all_pairs(half.unit, half.labels) for half in halves)
    counts = resamples(60, 200, seed=5)
    first, second = counts[:, ::2], counts[:, 1::2]
    tar, far = roc.both_ways((one, other), 0.01, (first, second))
    there, back = (
        roc.transferred(one, other, 0.01, first, second),
        roc.transferred(other, one, 0.01, second, first),
    )
    np.testing.assert_allclose((tar.value, far.value), [(there[k] + back[k]) / 2 for k in (0, 2)])
    np.testing.assert_allclose(tar.replicates, (there[1] + back[1]) / 2)
    as_drawn, gap = (there[3] + back[3]) / 2, there[3] - back[3]
    assert abs(np.corrcoef(far.replicates, gap)[0, 1]) < 0.1
    assert far.replicates.std() < as_drawn.std()


def test_below_the_kept_scores_a_limit_is_read_from_all_of_the_histogram():
    """The lowest bin counts too, though scores seldom lie there."""
    ends = np.array([0.0, 1.0, 2.0, 3.0])
    found = [float(roc._bulk(np.array([[6, 2, 2]]), ends, far)[0]) for far in (0.1, 0.2, 0.3, 0.7)]
    assert found == pytest.approx([2.5, 2.0, 1.5, 0.5])


def read(histogram, ends, far):
    """Read between the edges the score above which a share of a histogram lies."""
    below = np.concatenate([[0.0], np.cumsum(histogram.astype(float))])
    return np.interp((1 - far) * below[-1], below, ends)


@pytest.mark.parametrize("weigh", ["pairs", "people"])
def test_limits_below_the_tail_are_read_from_the_histograms_of_the_shrunk_weights(noisy, weigh):
    short = all_pairs(noisy.unit, noisy.labels, tail=20, weigh=weigh)
    counts, fars = resamples(len(short.images), 40, 0), np.array([0.1, 0.3, 0.9])
    point, drawn = roc.limits(short, fars, counts)
    coarse = short.impostor_by_person.shape[1]
    ends = short.grid.edges(coarse)
    for k, far in enumerate(fars):
        above = (short.centres(coarse) > point[k]).astype(float)
        weights = excess.shrunk(counts, excess.of_function(short, above))
        whole = short.impostor_by_person.sum(axis=0)[None] / 2
        moved = impostor_histograms(short.impostor_by_person, weights)
        expected = [read(histogram, ends, far) - read(whole[0], ends, far) + point[k] for histogram in moved]
        np.testing.assert_allclose(drawn[:, k], expected, atol=1e-6)
