import numpy as np
import pytest

from embedlab.maths import roc
from embedlab.maths.bootstrap import resamples
from embedlab.maths.pairs import all_pairs
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


def test_no_far_is_told_where_the_tail_ends(noisy):
    short = all_pairs(noisy.unit, noisy.labels, tail=20)
    assert np.isnan(roc.achieved_far(short, np.ones((1, 40), np.float32), np.array([-0.5]))).all()
    assert roc.false_accepts(short, -1.0) == short.impostor.sum()


def test_a_resample_without_genuine_pairs_has_no_share(pairs):
    assert np.isnan(roc.accepted_share(pairs, np.zeros((1, 40), np.float32), np.array([[0.0]]))).all()
