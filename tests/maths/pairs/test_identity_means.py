import numpy as np
import pytest

from embedlab.maths.pairs.identity_means import identity_means
from tests.planted import embedding_set


def blocks(scores, labels):
    """The original's computation: the mean of each two people's block, the diagonal included."""
    people = labels.max() + 1
    return np.array(
        [[scores[np.ix_(labels == i, labels == j)].mean() for j in range(people)] for i in range(people)]
    )


@pytest.fixture
def rows():
    """People of one to four images, in no order."""
    a = embedding_set(people=12, images=4)
    order = np.random.default_rng(2).permutation(len(a.items))
    return order[order % 4 <= a.labels[order] % 4]


def test_within_a_probe_they_are_the_block_means_with_every_image_against_itself(rows):
    a = embedding_set(people=12, images=4)
    unit, labels = a.unit[rows].astype(float), a.labels[rows]
    expected = blocks(unit @ unit.T, labels)
    found = identity_means(unit, labels)
    np.testing.assert_allclose(found.genuine_scores, np.diag(expected), atol=1e-6)
    np.testing.assert_allclose(found.tail_scores, np.sort(expected[np.triu_indices(12, 1)])[::-1], atol=1e-6)
    assert found.genuine_people.tolist() == list(range(12))
    assert found.impostor.sum() == 12 * 11 / 2
    # Someone with one image is at no distance from themselves.
    assert found.genuine_scores[0] == pytest.approx(1, abs=1e-6)


def test_across_probes_the_same_images_are_kept_apart_too(rows):
    a, b = embedding_set(people=12, images=4), embedding_set(people=12, images=4, seed=7)
    unit, other, labels = a.unit[rows].astype(float), b.unit[rows].astype(float), a.labels[rows]
    expected = blocks(unit @ other.T, labels)
    found = identity_means(unit, labels, other)
    np.testing.assert_allclose(found.genuine_scores, np.diag(expected), atol=1e-6)
    off = expected[~np.eye(12, dtype=bool)]
    np.testing.assert_allclose(found.tail_scores, np.sort(off)[::-1], atol=1e-6)
    same = [(unit * other).sum(axis=1)[labels == p].mean() for p in range(12)]
    np.testing.assert_allclose(found.same_item_scores, same, atol=1e-6)
    assert found.same_item_people.tolist() == list(range(12))
